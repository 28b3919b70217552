"""Weights packed for a CPU's matrix kernels: the same numbers, for generation only.

A step of generation multiplies every weight matrix by a few vectors, so it takes as long as it
takes to read the weights. oneDNN reads them faster in a block layout of its own; torch.nn.Linear
would have to bring them into it at every call.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# torch.compile's own operators, which torch does not promise to keep.
OPERATORS = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
KNOWN = ("torch.", "transformers.")  # modules that only call their linear layers


class PackedLinear(nn.Module):
    """x W' + b, with W in oneDNN's layout. It has no gradient."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def can_pack(weight: torch.Tensor) -> bool:
    """Whether the hardware and this build of torch have such kernels for this weight."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS):
        return False
    return weight.dtype is torch.float32 or (
        weight.dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


@contextmanager
def packed_linears(model: nn.Module) -> Iterator[None]:
    """The model with packed linear layers within the block, where it can be; then as it was.

    The packed matrices are a second copy for as long. A model with modules that are neither
    torch's nor transformers' (adapters, quantised layers) is left alone: they may read weights.
    """
    plain = [(name, part) for name, part in model.named_modules() if type(part) is nn.Linear]
    ours = all(type(part).__module__.startswith(KNOWN) for part in model.modules())
    if not ours or not plain or not all(can_pack(part.weight) for _, part in plain):
        yield
        return
    for name, linear in plain:
        _replace(model, name, PackedLinear(linear))
    try:
        yield
    finally:
        for name, linear in plain:
            _replace(model, name, linear)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
