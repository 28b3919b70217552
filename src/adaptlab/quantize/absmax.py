"""Absmax rounding: weights as small integers, and a scale for some of them.

    weights   0.30  -1.27   0.02   0.64        per tensor    one scale for all
    scale     1.27 / 127 = 0.01                per channel   one for each row (an output)
    codes       30   -127      2     64        per group     one for each n weights of a row

The fewer weights share a scale, the smaller the scale, and the more bits the scales take.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from adaptlab.errors import AdaptlabError

Per = str | int  # "tensor", "channel", or how many weights of a row are a group


@dataclass(frozen=True, eq=False)
class Quantised:
    """codes (out, in) int8, in -(2^(bits-1) - 1) to 2^(bits-1) - 1; scales fp32: (1, 1) for a
    tensor, (out, 1) for channels, (out, groups) for groups of `group` weights."""

    codes: torch.Tensor
    scales: torch.Tensor
    bits: int
    group: int

    def dequantise(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Code times scale, (out, in), computed in fp32 and rounded to `dtype`."""
        grouped = _grouped(self.codes, self.group) * self.scales[..., None]  # (out, groups, group)
        return grouped.flatten(1)[:, : self.codes.shape[1]].to(dtype)

    @property
    def bits_per_parameter(self) -> float:
        """With the codes packed, which here take a byte each, and 32 bits for each scale."""
        return round(self.bits + 32 * self.scales.numel() / self.codes.numel(), 3)


def quantise(weight: torch.Tensor, bits: int, per: Per = "channel") -> Quantised:
    """Round a matrix (out, in) to integers of `bits` bits, 2 to 8; halves go to the even one.

    per: what shares a scale: "tensor", "channel" (a row), or so many weights along a row, where the
        last group of a row may be shorter. The scale is the largest absolute value over
        2^(bits-1) - 1, so that the range is symmetric and its lowest code (-128) is never used.
    A group of zeros gives zeros. Raises AdaptlabError for what is no matrix or is empty, a weight
    that is not a finite number in fp32, or bits and groups that are not as said.
    """
    group = _checked(weight, bits, per)
    most = 2 ** (bits - 1) - 1
    grouped = _grouped(weight.detach().float(), group)  # (out, groups, group)
    largest = grouped.abs().amax(-1)  # (out, groups)
    if per == "tensor":
        largest = largest.amax().view(1, 1)
    if not torch.isfinite(largest).all():
        raise AdaptlabError("a weight to be quantised is not a finite number")
    scales = largest / most
    # A scale of 0 belongs to weights that are 0, or too small to have one in fp32.
    steps = torch.where(scales[..., None] > 0, grouped / scales[..., None], 0.0)
    codes = steps.round_().clamp_(-most, most).to(torch.int8)
    return Quantised(codes.flatten(1)[:, : weight.shape[1]].contiguous(), scales, bits, group)


def _checked(weight: torch.Tensor, bits: int, per: Per) -> int:
    """How many weights of a row are a group."""
    if weight.ndim != 2 or not weight.numel():
        raise AdaptlabError(f"a matrix (out, in) is quantised, not a tensor of {[*weight.shape]}")
    if bits not in range(2, 9):
        raise AdaptlabError(f"integers of {bits} bits: choose from 2 to 8")
    if per in ("tensor", "channel"):
        return weight.shape[1]
    if isinstance(per, str) or per < 1:
        raise AdaptlabError(f"scales are per 'tensor', 'channel' or a group of 1 or more: {per!r}")
    return per


def _grouped(matrix: torch.Tensor, group: int) -> torch.Tensor:
    """(out, groups, group); the last group is filled up with zeros."""
    filled = F.pad(matrix, (0, -matrix.shape[1] % group))
    return filled.view(len(matrix), -1, group)
