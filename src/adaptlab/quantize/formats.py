"""Number formats: what a sign, some exponent bits and some mantissa bits can say.

    0.1 in bf16      0  01111011  1001101      + 1.1001101b x 2^(123 - 127) = 0.10009765625
    0.1 in fp16      0     01011  1001100110   closer, but nothing above 65504
    0.1 in int8      0  0000000                integers only: a scale has to do the rest

An exponent of zeros is that of the smallest normal number, without the leading 1: subnormals.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.quantize.codebooks import codebook


class Bits(NamedTuple):
    """A stored number: its bits in three parts, and the value they stand for."""

    sign: str
    exponent: str
    mantissa: str
    value: float


@dataclass(frozen=True)
class Format:
    """A way to store a number.

    kind: "float"; "integer", in two's complement with a scale of 1; or "codebook", levels in
        [-1, 1]. exponent, mantissa: bits. bias: what is subtracted from the exponent's bits.
    top: what the highest exponent is for. "ieee": infinity and NaN; "fn": numbers, and NaN where
        the mantissa is all ones (torch.float8_e4m3fn); "finite": numbers.

    Of the integers, absmax rounding uses -127 to 127 and -7 to 7, and leaves the lowest out.
    """

    name: str
    kind: str
    sign: int
    exponent: int
    mantissa: int
    bias: int = 0
    top: str = "ieee"

    @property
    def width(self) -> int:
        """Bits in all."""
        return self.sign + self.exponent + self.mantissa

    def values(self) -> torch.Tensor:
        """All finite values in ascending order, each once, fp32.

        Raises AdaptlabError for a format of more than 16 bits.
        """
        if self.width > 16:
            raise AdaptlabError(f"{self.name} has 2^{self.width} values: ask for 16 bits or fewer")
        if self.kind == "codebook":
            return codebook(self.name).levels.unique()
        if self.kind == "integer":
            return torch.arange(-self.largest - 1, self.largest + 1)
        field = torch.arange(2**self.exponent, dtype=torch.float64)[:, None]
        part = torch.arange(2**self.mantissa, dtype=torch.float64) / 2**self.mantissa
        power = torch.exp2(field.clamp(min=1) - self.bias)
        positive = ((field > 0) + part) * power  # (exponents, mantissas)
        positive = positive[positive <= self.largest]
        return torch.cat([-positive, positive]).float().unique()

    @property
    def largest(self) -> float:
        """The largest finite value."""
        if self.kind == "codebook":
            return 1.0
        if self.kind == "integer":
            return 2.0**self.mantissa - 1
        field = 2**self.exponent - (2 if self.top == "ieee" else 1)
        ones = 2 - 2.0**-self.mantissa * (2 if self.top == "fn" else 1)
        return math.ldexp(ones, field - self.bias)

    @property
    def smallest(self) -> float:
        """The smallest positive value that has all its digits (a normal number)."""
        if self.kind == "float":
            return math.ldexp(1.0, 1 - self.bias)
        return self.values()[self.values() > 0].min().item()

    @property
    def smallest_subnormal(self) -> float:
        """The smallest positive value."""
        return self.smallest * (2.0**-self.mantissa if self.kind == "float" else 1)

    def spacing(self, x: float) -> float:
        """From x, or the value below it in size, to the next one away from 0.

        Raises AdaptlabError for an x that is beyond the format's range.
        """
        if not abs(x) <= max(self.largest, -float(self._lowest)):  # NaN is not either
            raise AdaptlabError(f"{self.name} goes up to {self.largest:g}: it has no {x:g}")
        if self.kind == "integer":
            return 1.0
        if self.kind == "float":
            power = math.frexp(x)[1] - 1 if x else 1 - self.bias
            return math.ldexp(1.0, max(power, 1 - self.bias) - self.mantissa)
        sizes = self.values() if x >= 0 else -self.values().flip(0)  # (levels,), ascending
        above = min(int(torch.bucketize(abs(x), sizes, right=True)), len(sizes) - 1)
        return (sizes[above] - sizes[above - 1]).item()

    def round(self, x: torch.Tensor) -> torch.Tensor:
        """The nearest values, of x's shape, fp32 (fp64 where x is).

        Of two equally near ones a float and an integer take the even one, a codebook the lower.
        Beyond the largest value: "ieee" gives infinity, as IEEE 754 says; "fn", "finite", integers
        and codebooks give the largest, as torch does for float8_e4m3fn. NaN stays NaN.
        """
        if self.kind == "float":
            return self._round_float(x.double()).to(_wide(x))
        if self.kind == "integer":
            return x.to(_wide(x)).round().clamp(self._lowest, self.largest)
        book = codebook(self.name)
        made = book.levels[torch.bucketize(x.to(_wide(x)), book.midpoints.to(_wide(x)))]
        return made.to(_wide(x)).where(~x.isnan(), torch.nan)

    def bits(self, x: float) -> Bits:
        """How x is stored, once it is rounded.

        The whole code of an integer or a codebook is sign and mantissa. Raises AdaptlabError for
        NaN in a format that has none.
        """
        value = self.round(torch.tensor(x, dtype=torch.float64)).item()
        if math.isnan(value):
            return self._not_a_number()
        if self.kind == "codebook":
            code = int((codebook(self.name).values.double() - value).abs().argmin())
        elif self.kind == "integer":
            code = int(value) % 2**self.width
        else:
            code = self._float_code(value)
        text = f"{code:0{self.width}b}"
        cut = self.sign + self.exponent
        return Bits(text[: self.sign], text[self.sign : cut], text[cut:], value)

    @property
    def _lowest(self) -> float:
        return -self.largest - (self.kind == "integer")

    def _round_float(self, x: torch.Tensor) -> torch.Tensor:
        power = (torch.frexp(x).exponent.long() - 1).clamp(min=1 - self.bias)
        step = ((power - self.mantissa + 1023) << 52).view(torch.float64)  # 2^(...), exactly
        made = (x / step).round() * step
        over = torch.inf if self.top == "ieee" else self.largest
        return made.where(~(made.abs() > self.largest), made.sign() * over)

    def _float_code(self, value: float) -> int:
        """The bits of a value of this format, as one whole number."""
        negative, size = math.copysign(1.0, value) < 0, abs(value)
        if math.isinf(size):
            magnitude = (2**self.exponent - 1) << self.mantissa
        else:  # in units of the smallest subnormal the codes of a binade follow one another
            power = max(math.frexp(size)[1] - 1 if size else 1 - self.bias, 1 - self.bias)
            units = int(math.ldexp(size, self.mantissa - power))
            magnitude = units + ((power - (1 - self.bias)) << self.mantissa)
        return (negative << (self.width - 1)) + magnitude

    def _not_a_number(self) -> Bits:
        if self.kind != "float" or self.top == "finite":
            raise AdaptlabError(f"{self.name} cannot store a NaN")
        rest = "1" * (self.mantissa - 1) if self.top == "fn" else "0" * (self.mantissa - 1)
        return Bits("0", "1" * self.exponent, "1" + rest, math.nan)


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


FORMATS = {
    each.name: each
    for each in (
        Format("fp32", "float", 1, 8, 23, 127),
        Format("fp16", "float", 1, 5, 10, 15),
        Format("bf16", "float", 1, 8, 7, 127),
        Format("fp8_e4m3", "float", 1, 4, 3, 7, "fn"),
        Format("fp8_e5m2", "float", 1, 5, 2, 15),
        Format("fp4_e2m1", "float", 1, 2, 1, 1, "finite"),  # of the OCP standard
        Format("int8", "integer", 1, 0, 7),
        Format("int4", "integer", 1, 0, 3),
        Format("nf4", "codebook", 0, 0, 4),
        Format("fp4", "codebook", 0, 0, 4),  # bitsandbytes', whose sizes are levels as well
    )
}


def number_format(name: str) -> Format:
    """The format of this name. Raises AdaptlabError for an unknown one."""
    if name not in FORMATS:
        raise unknown("number format", name, FORMATS)
    return FORMATS[name]
