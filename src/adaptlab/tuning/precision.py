"""Mixed precision: products in bf16, weights that are trained in fp32 (Micikevicius et al., 2018).

    trained weight, fp32  --rounded-->  its copy in the model, bf16  -->  forward, backward
          ^                                                                    |
          +------- AdamW <------------- gradient, fp32 <--widened-- gradient, bf16

A bf16 weight has 8 bits of precision. A step of fine-tuning is often smaller than half of its last
digit and would be rounded away, so the step is taken on an fp32 copy.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class MasterWeights:
    """The parameters a model computes with, and the fp32 weights that an optimizer changes.

    computing, trained: pairs in the same order; one and the same tensor where a parameter is fp32
    and computes in it.
    """

    computing: tuple[nn.Parameter, ...]
    trained: tuple[nn.Parameter, ...]

    def take_gradients(self) -> None:
        """Add the model's gradients to those of the fp32 weights, and free the model's."""
        for copy, weight in self._pairs():
            if copy.grad is not None:
                wide = copy.grad.float()
                weight.grad = wide if weight.grad is None else weight.grad.add_(wide)
                copy.grad = None

    @torch.no_grad()
    def give_weights(self) -> None:
        """Round the fp32 weights into the model."""
        for copy, weight in self._pairs():
            copy.copy_(weight)

    def _pairs(self):
        pairs = zip(self.computing, self.trained, strict=True)
        return ((copy, weight) for copy, weight in pairs if copy is not weight)


@contextmanager
def master_weights(parameters: Sequence[nn.Parameter], dtype: torch.dtype):
    """`parameters` have `dtype` inside the block, each with an fp32 weight behind it.

    Where `dtype` is fp32 they keep their own format: a parameter of a bf16 model meets bf16 inputs
    from its frozen neighbours, and no autocast stands between them.
    After the block they have the format they had before it, and the values of the fp32 weights.
    """
    before = [parameter.dtype for parameter in parameters]
    trained = tuple(
        p if p.dtype is dtype is torch.float32 else nn.Parameter(p.detach().float().clone())
        for p in parameters
    )
    for parameter in parameters:
        if dtype is not torch.float32:
            parameter.data = parameter.data.to(dtype)
        parameter.grad = None  # what another run left is none of ours
    try:
        yield MasterWeights(tuple(parameters), trained)
    finally:
        for parameter, weight, format_before in zip(parameters, trained, before, strict=True):
            parameter.grad = None
            if parameter is not weight:
                parameter.data = weight.data.to(format_before)
