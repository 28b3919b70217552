"""Blockwise 4-bit quantisation with double quantisation, as QLoRA stores its frozen weights.

    64 weights         one absmax, fp32        64 codes, two a byte         bits per weight
    .03 -.11 ... .07   .11                     A2 0F ... 9C                 4 + 32/64 = 4.5

    256 absmaxes       less their mean, the same again with 8-bit codes:    4 + 8/64 + 32/(64 x 256)
                                                                            = 4.127

Codes, scales and weights are those of bitsandbytes on a CPU, bit for bit (Dettmers et al., 2023).
"""

import math
from dataclasses import dataclass
from functools import cache

import torch

from adaptlab.errors import AdaptlabError
from adaptlab.quantize import codebooks
from adaptlab.quantize.codebooks import Codebook, codebook

NESTED = 256  # scales that share a scale of their own
GRID = 2**16 - 1  # steps of the grid on which bitsandbytes' CPU code looks 8-bit levels up
TINY = 1e-38  # a block of zeros is divided by it
AT_ONCE = 2**18  # weights, so that what is made of them on the way stays in the processor's cache


@dataclass(frozen=True, eq=False)
class DoubleScales:
    """Scales as 8-bit codes: offset + level * absmax of their block of 256.

    codes (blocks,) uint8; absmax (blocks / 256,) fp32; offset () fp32, the scales' mean.
    """

    codes: torch.Tensor
    absmax: torch.Tensor
    offset: torch.Tensor

    def decode(self) -> torch.Tensor:
        """The scales, fp32, (blocks,)."""
        level = codebooks.dynamic().to(self.codes.device).index_select(0, self.codes.int())
        scale = self.absmax.repeat_interleave(NESTED)[: len(level)]
        return level * scale + self.offset

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return self.codes, self.absmax, self.offset


@dataclass(frozen=True, eq=False)
class Blocks:
    """A quantised tensor.

    packed: (weights / 2,) uint8, the first of two weights in the high nibble. scales: the largest
    absolute value of each block, fp32 or quantised again. shape, dtype: those of the weights.
    Raises AdaptlabError if a scale is not a finite number.
    """

    packed: torch.Tensor
    scales: torch.Tensor | DoubleScales
    shape: torch.Size
    dtype: torch.dtype
    block: int
    codebook: str

    def __post_init__(self) -> None:
        if not torch.isfinite(self.absmax).all():
            raise AdaptlabError("a scale of the quantised weights is not a finite number")

    @property
    def absmax(self) -> torch.Tensor:
        """The scale that each block is multiplied by, fp32, (blocks,)."""
        return self.scales.decode() if isinstance(self.scales, DoubleScales) else self.scales

    def codes(self) -> torch.Tensor:
        """The code of each weight, uint8, of the weights' shape."""
        both = torch.stack([self.packed >> 4, self.packed & 15], -1)  # (weights / 2, 2)
        return both.view(-1)[: self.shape.numel()].view(self.shape)

    def dequantise(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The weights, level * scale, rounded to `dtype` (by default the one they came in)."""
        count, absmax = self.shape.numel(), self.absmax
        made = torch.empty(count, dtype=dtype or self.dtype, device=self.packed.device)
        pairs = _pairs(codebook(self.codebook)).to(self.packed.device)
        step = _blocks_at_once(self.block)
        for place, scale in enumerate(absmax.split(step)):
            begin = place * step * self.block  # an even number
            end = min(begin + len(scale) * self.block, count)
            packed = self.packed[begin // 2 : (end + 1) // 2]
            level = pairs.index_select(0, packed.int()).view(torch.float32)[: end - begin]
            full = len(level) // self.block
            torch.mul(level[: full * self.block].view(full, self.block), scale[:full, None],
                      out=level[: full * self.block].view(full, self.block))  # fmt: skip
            level[full * self.block :] *= scale[-1]
            made[begin:end] = level
        return made.view(self.shape)


def quantise(
    weight: torch.Tensor, codebook: str = "nf4", block: int = 64, double: bool = True
) -> Blocks:
    """A tensor of any shape in blocks of `block` weights, in memory order; the last may be shorter.

    double: quantise the scales as well. Weights and scales that are halfway between two levels take
    the lower one. bitsandbytes on a CPU looks scales up on a grid of 65,536 points, so that about
    one in 440 gets the second-nearest level; so it is here.
    Raises AdaptlabError for no weights, a weight or scale that is not a finite number, a block size
    below 1, or an unknown codebook.
    """
    book = codebooks.codebook(codebook)
    if block < 1:
        raise AdaptlabError(f"a block of {block} weights: it must be 1 or more")
    if not weight.numel():
        raise AdaptlabError("there are no weights to quantise")
    codes, absmax = _coded(weight.detach().reshape(-1), book, block)
    scales = _double(absmax) if double else absmax
    return Blocks(_pack(codes), scales, weight.shape, weight.dtype, block, codebook)


def bits_per_parameter(block: int = 64, double: bool = True, bits: int = 4) -> float:
    """Bits a weight takes with its share of the scales: 4.5, and 4.127 where these are doubled."""
    return bits + (8 / block + 32 / (block * NESTED) if double else 32 / block)


def measured_bits(blocks: Blocks) -> float:
    """The same of real tensors: their bits over the number of weights."""
    double = isinstance(blocks.scales, DoubleScales)
    tensors = (blocks.packed, *(blocks.scales.tensors if double else (blocks.scales,)))
    return 8 * sum(tensor.nbytes for tensor in tensors) / blocks.shape.numel()


def _coded(flat: torch.Tensor, book: Codebook, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The code of each weight, (n,) or with a 0 more if n is odd, and each block's absmax, fp32."""
    count = len(flat)
    whole, blocks = count - count % block, math.ceil(count / block)
    codes = torch.empty(count + count % 2, dtype=torch.uint8, device=flat.device)
    absmax = torch.empty(blocks, device=flat.device)
    step = _blocks_at_once(block)
    for begin in range(0, whole // block, step):
        end = min(begin + step, whole // block)
        part = flat[begin * block : end * block].view(-1, block).float()  # (blocks, block)
        absmax[begin:end] = _finite(part.abs().amax(-1))
        inverse = 1 / absmax[begin:end].clamp(min=TINY)
        scaled = (part * inverse[:, None]).clamp_(-1, 1)
        codes[begin * block : end * block] = book.nearest(scaled.view(-1))
    if whole < count:  # bitsandbytes divides the shorter block, and multiplies the others
        rest = flat[whole:].float()
        absmax[-1] = _finite(rest.abs().amax()).clamp(min=TINY)
        codes[whole:count] = book.nearest((rest / absmax[-1]).clamp_(-1, 1))
    codes[count:] = book.nearest(torch.zeros(len(codes) - count, device=flat.device))
    return codes, absmax


def _finite(largest: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(largest).all():
        raise AdaptlabError("a weight to be quantised is not a finite number")
    return largest


def _double(absmax: torch.Tensor) -> DoubleScales:
    """Scales less their mean, quantised in blocks of 256 with the 8-bit codebook."""
    offset = absmax.mean()
    centred = absmax - offset
    rows = torch.nn.functional.pad(centred, (0, -len(centred) % NESTED)).view(-1, NESTED)
    largest = rows.abs().amax(-1)  # (blocks / 256,)
    scaled = (rows * (1 / largest)[:, None]).clamp_(-1, 1)
    scaled[largest == 0] = -1  # all scales equal: code 0, which a scale of 0 makes 0
    place = ((scaled + 1) * 0.5 * GRID + 0.5).nan_to_num(0).int()  # NaN only beside an infinity
    codes = _grid().to(absmax.device).index_select(0, place.view(-1))[: len(absmax)]
    return DoubleScales(codes, largest, offset)


@cache
def _grid() -> torch.Tensor:
    """The code of the 8-bit level nearest to each point of the grid, uint8, (65536,)."""
    levels = codebooks.dynamic()
    points = torch.arange(GRID + 1, dtype=torch.float64) / GRID * 2 - 1
    return torch.bucketize(points.float(), (levels[1:] + levels[:-1]) / 2).to(torch.uint8)


def _pack(codes: torch.Tensor) -> torch.Tensor:
    """Two 4-bit codes to a byte, the first in the high nibble."""
    packed = torch.empty(len(codes) // 2, dtype=torch.uint8, device=codes.device)
    for part, made in zip(codes.split(AT_ONCE), packed.split(AT_ONCE // 2), strict=True):
        pair = part.view(torch.int16)  # the second code is its high byte
        made.copy_((pair << 4) | (pair >> 8))  # what does not fit into a byte is dropped
    return packed


@cache
def _pairs(book: Codebook) -> torch.Tensor:
    """The two levels that each byte stands for, side by side in one 8-byte number: (256,)."""
    byte = torch.arange(256)
    both = torch.stack([book.values[byte >> 4], book.values[byte & 15]], -1)  # (256, 2)
    return both.view(torch.float64).view(-1)


def _blocks_at_once(block: int) -> int:
    return 2 * max(1, AT_ONCE // (2 * block))
