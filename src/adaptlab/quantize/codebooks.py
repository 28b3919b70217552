"""Codebooks: the levels that a 4-bit or 8-bit code can stand for, between -1 and 1.

    nf4    |    |   |  |  |  | | | | | |  |  |   |    |      |     crowded where weights are
    int4   |    |    |    |    |    |    |    |    |    |    |     the same step everywhere
    fp4    |      |      |   |  | | ||| | |  |   |      |      |   steps that grow with the number
          -1                        0                          1

A block of weights is divided by its largest absolute value, and each becomes its nearest level.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from scipy.stats import norm

from adaptlab.errors import unknown

CELLS = 1024  # on each side of 0: finer than the nearest two midpoints of any 4-bit codebook


@dataclass(frozen=True, eq=False)
class Codebook:
    """values: the level that each code stands for, (codes,), fp32, the largest at 1."""

    name: str
    values: torch.Tensor

    @cached_property
    def order(self) -> torch.Tensor:
        """The codes from the lowest level to the highest."""
        return torch.argsort(self.values, stable=True)

    @cached_property
    def levels(self) -> torch.Tensor:
        """The values in ascending order."""
        return self.values[self.order]

    @cached_property
    def midpoints(self) -> torch.Tensor:
        """Where the nearest level changes: (codes - 1,)."""
        return (self.levels[1:] + self.levels[:-1]) / 2

    def nearest(self, scaled: torch.Tensor) -> torch.Tensor:
        """The code of the level nearest to each number in [-1, 1], uint8, of the same shape.

        A number halfway between two levels takes the lower one. This is `torch.bucketize` on the
        midpoints, several times as fast: the number's place on an even grid says all but whether
        it is above the one midpoint in its cell.
        """
        bound, rank, code = (each.to(scaled.device) for each in self._cells)
        flat = scaled.reshape(-1)
        cell = (flat * CELLS).add_(CELLS).to(torch.int32)
        found = rank.index_select(0, cell) + (flat > bound.index_select(0, cell))
        if code.numel():
            found = code.index_select(0, found.to(torch.int32))
        return found.view(scaled.shape)

    @cached_property
    def _cells(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For each cell the midpoint in it, and the midpoints below it; code by rank, if not equal.

        A number's cell never falls as the number rises, so a midpoint in a lower cell is below it.
        """
        inside = self.midpoints[self.midpoints.abs() <= 1]
        where = (inside * CELLS).add_(CELLS).to(torch.int32)
        assert where.unique().numel() == where.numel(), "two midpoints in a cell"
        bound = torch.full((2 * CELLS + 1,), torch.inf).index_copy_(0, where.long(), inside)
        rank = torch.bucketize(torch.arange(2 * CELLS + 1, dtype=torch.int32), where)
        rank += (self.midpoints < -1).sum()
        is_sorted = torch.equal(self.order, torch.arange(len(self.order)))
        code = torch.empty(0) if is_sorted else self.order
        return bound, rank.to(torch.uint8), code.to(torch.uint8)


@cache
def nf4() -> Codebook:
    """NormalFloat, 4 bits (Dettmers et al., 2023): quantiles of the normal distribution.

    Eight levels above 0 and seven below it, at evenly spaced probabilities up to `edge`, and 0
    itself; all divided by the largest. In fp32 as in bitsandbytes, whose table this is, bit for
    bit. The lectures' list cuts it off after three digits.
    """
    edge = 0.9677083  # 1 - (1/30 + 1/32) / 2
    positive, negative = (
        norm.ppf(torch.linspace(edge, 0.5, count + 1)[:-1].numpy()).astype(np.float32)
        for count in (8, 7)
    )
    levels = np.concatenate([-negative, np.zeros(1, np.float32), positive[::-1]])
    return Codebook("nf4", torch.tensor(levels / levels.max()))


def averaged_quantiles(bits: int = 4) -> torch.Tensor:
    """The levels by the formula in QLoRA's text, which is not the table that its code uses.

    Level i is the mean of the quantiles i / (2^k + 1) and (i + 1) / (2^k + 1); the outermost two
    would be infinite and are left out, so 2^k - 1 levels remain; the largest is 1. (levels,), fp32.
    """
    edges = norm.ppf(np.arange(1, 2**bits + 1) / (2**bits + 1))
    levels = (edges[1:] + edges[:-1]) / 2
    return torch.tensor(levels / levels.max(), dtype=torch.float32)


@cache
def fp4() -> Codebook:
    """bitsandbytes' 4-bit float: a sign bit, two exponent bits e, one mantissa bit m.

    (1 + m/2) 2^(4 - e), and m/16 where e is 0; divided by the largest, 12. The exponent counts
    downwards and the smallest level is 1/192: not the e2m1 of the OCP standard.
    """
    positive = [m / 16 for m in (0, 1)]
    positive += [(1 + m / 2) * 2 ** (4 - e) for e in (1, 2, 3) for m in (0, 1)]
    values = torch.tensor([*positive, *(0.0 - value for value in positive)])
    return Codebook("fp4", values / 12)


@cache
def int4() -> Codebook:
    """Integers in two's complement, -8 to 7, divided by 7; -8 is never the nearest level."""
    return Codebook("int4", torch.tensor([*range(8), *range(-8, 0)]) / 7)


@cache
def dynamic() -> torch.Tensor:
    """The 8-bit levels in ascending order, (256,): dynamic exponents (Dettmers, 2015).

    For each power of ten from 1e-6 to 1, twice as many levels as for the one below it, evenly
    spaced from a tenth of it on, on both sides; and 0 and 1. Few steps for small numbers, many for
    large ones.
    """
    levels = [torch.tensor([0.0, 1.0])]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2**power + 1)
        centres = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (power - 6)
        levels += [centres, -centres]
    return torch.cat(levels).sort().values


CODEBOOKS: dict[str, Callable[[], Codebook]] = {"nf4": nf4, "fp4": fp4, "int4": int4}


def codebook(name: str) -> Codebook:
    """The 4-bit codebook of this name. Raises AdaptlabError for an unknown one."""
    if name not in CODEBOOKS:
        raise unknown("codebook", name, CODEBOOKS)
    return CODEBOOKS[name]()
