"""A whole model with quantised weights, as plain numbers that any forward can compute with.

    embeddings   16 bits   as they were
    linear       4 bits    w  ->  how(w), quantised and dequantised again
    norms, head  16 bits   as they were

Nothing gets smaller or faster in memory: this measures what the rounding does to the answers.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError

How = Callable[[torch.Tensor], torch.Tensor]


def linear_layers(model: PreTrainedModel) -> Iterator[tuple[str, nn.Linear]]:
    """(name, layer) of the decoder's linear layers: not embeddings, norms or the head.

    Raises AdaptlabError if there is none.
    """
    inside = {id(module) for module in model.get_decoder().modules()}
    head, found = model.get_output_embeddings(), False
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and id(module) in inside and module is not head:
            found = True
            yield name, module
    if not found:
        raise AdaptlabError(f"{type(model).__name__} has no linear layer that could be quantised")


def linear_weights(model: PreTrainedModel) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, weight (out, in)) of the decoder's linear layers; see `linear_layers`."""
    return ((f"{name}.weight", layer.weight) for name, layer in linear_layers(model))


@torch.no_grad()
def apply_(model: PreTrainedModel, how: How) -> PreTrainedModel:
    """Replace each linear weight of the decoder by how(weight), in place and in its own format.

    Raises AdaptlabError if `how` changes a shape, or there is no linear layer.
    """
    for name, weight in linear_weights(model):
        weight.copy_(_made(name, weight, how))
    return model


@torch.no_grad()
def quantised(model: PreTrainedModel, how: How) -> PreTrainedModel:
    """A copy of the model with how(weight) for each linear weight of the decoder.

    how: for instance `lambda w: blockwise.quantise(w).dequantise()`.
    Raises AdaptlabError as `apply_`.
    """
    made = {
        id(weight): nn.Parameter(_made(name, weight, how).to(weight), weight.requires_grad)
        for name, weight in linear_weights(model)
    }
    return copy.deepcopy(model, made)  # what is made already is not copied first


def model_bytes(model: PreTrainedModel, bits_per_weight: float) -> int:
    """The bytes of the model with linear weights of so many bits and all else in 16.

    A head that is tied to the embeddings counts once.
    """
    every = sum(weight.numel() for weight in model.parameters())
    linear = sum(weight.numel() for _, weight in linear_weights(model))
    return round((linear * bits_per_weight + (every - linear) * 16) / 8)


def _made(name: str, weight: torch.Tensor, how: How) -> torch.Tensor:
    made = how(weight.detach())
    if made.shape != weight.shape:
        raise AdaptlabError(f"{name} of {[*weight.shape]} came back as {[*made.shape]}")
    return made
