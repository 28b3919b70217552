"""Quantisation-aware training: train the weights whose rounding works, not round trained weights.

    forward     w  --rounded-->  q(w)  --x-->  y         the loss is that of the rounded weights
    backward    dw <----as is--- dq    <------ dy        the straight-through estimator

Rounding has a gradient of 0 nearly everywhere. The straight-through estimator takes it for 1
(Bengio et al., 2013), so that w, which is kept in full, moves until q(w) does.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError
from adaptlab.quantize import absmax
from adaptlab.quantize.absmax import Per
from adaptlab.quantize.whole import linear_layers

SETTING = "quantisation_aware"  # in the model's config: two with other bits are two models


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: torch.Tensor, bits: int, per: Per) -> torch.Tensor:
        return absmax.quantise(weight, bits, per).dequantise(weight.dtype)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient, None, None


def fake_quantise(weight: torch.Tensor, bits: int, per: Per = "channel") -> torch.Tensor:
    """absmax.quantise(weight) dequantised, (out, in); its gradient goes to the weight unchanged.

    Raises AdaptlabError as `absmax.quantise`.
    """
    return _StraightThrough.apply(weight, bits, per)


class FakeQuantLinear(nn.Linear):
    """A linear layer that multiplies by its rounded weight; its parameters are the full ones.

    layer: whose parameters, the same tensors, these are.
    """

    def __init__(self, layer: nn.Linear, bits: int, per: Per):
        bias = layer.bias is not None
        super().__init__(layer.in_features, layer.out_features, bias, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.bits, self.per = bits, per
        self.train(layer.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., in) -> (..., out)."""
        return F.linear(x, fake_quantise(self.weight, self.bits, self.per), self.bias)


def make_quantisation_aware(model: PreTrainedModel, bits: int, per: Per = "channel") -> int:
    """Let the decoder's linear layers round their weights in each forward, in place.

    Names and parameters stay as they are, so the model trains, saves and loads as before. In a bf16
    run it is the bf16 copies of the weights that are rounded.
    Returns how many layers they are. Raises AdaptlabError if that is none or it was done before, or
    as `absmax.quantise`.
    """
    layers = list(linear_layers(model))
    if any(isinstance(layer, FakeQuantLinear) for _, layer in layers):
        raise AdaptlabError("the model is quantisation-aware already: finish(model) it first")
    with torch.no_grad():
        for _, layer in layers:  # before anything is changed
            absmax.quantise(layer.weight, bits, per)
    for name, layer in layers:
        model.set_submodule(name, FakeQuantLinear(layer, bits, per))
    setattr(model.config, SETTING, f"{bits} bits per {per}")
    return len(layers)


@torch.no_grad()
def finish(model: PreTrainedModel) -> PreTrainedModel:
    """Plain linear layers again, with the rounded weights for good, in place.

    Raises AdaptlabError for a model that is not quantisation-aware.
    """
    aware = [(n, each) for n, each in linear_layers(model) if isinstance(each, FakeQuantLinear)]
    if not aware:
        raise AdaptlabError("the model is not quantisation-aware: nothing to finish")
    for name, layer in aware:
        layer.weight.copy_(fake_quantise(layer.weight, layer.bits, layer.per))
        bias = layer.bias is not None
        plain = nn.Linear(layer.in_features, layer.out_features, bias, device="meta")
        plain.weight, plain.bias = layer.weight, layer.bias
        model.set_submodule(name, plain.train(layer.training))
    delattr(model.config, SETTING)
    return model
