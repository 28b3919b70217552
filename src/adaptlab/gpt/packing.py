"""Weights packed for a CPU's matrix kernels: the same decoder, for generation only.

A step of generation multiplies every weight matrix by a few vectors, so it takes as long as it
takes to read the weights. oneDNN reads them faster in a block layout of its own; torch.nn.Linear
would have to bring them into it at every call.
"""

import torch
from torch import nn

from adaptlab.gpt.model import GPT

# torch.compile's own operators, which torch does not promise to keep.
OPERATORS = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")


class PackedLinear(nn.Module):
    """x W' + b, with W in oneDNN's layout. It has no gradient."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def pack(model: GPT) -> GPT:
    """A decoder that generates faster, with `model`'s weights as they are now.

    The packed matrices are a second copy, the rest is shared: pack anew after training. Where the
    hardware or this build of torch has no such kernels, `model` itself comes back.
    """
    weight = model.token_embedding.weight
    if not _can_pack(weight):
        return model
    with torch.device("meta"):
        packed = GPT(model.config)
    packed.load_state_dict(model.state_dict(), assign=True)  # shared, not copied
    for name, module in list(packed.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            setattr(packed.get_submodule(parent), child, PackedLinear(model.get_submodule(name)))
    return packed.eval()


def _can_pack(weight: torch.Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS):
        return False
    return weight.dtype is torch.float32 or (
        weight.dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
