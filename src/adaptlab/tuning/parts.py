"""What to train: the head, the top k layers, the bottom k, any slice, or everything.

                       head only   top 2   bottom 2   everything
    embeddings             .         .        .           x
    layer 0                .         .        x           x
    layer 1                .         .        x           x
      ...                  .         .        .           x
    layer 28               .         x        .           x
    layer 29               .         x        .           x
    final norm             .         x        .           x
    head                   x         x        x           x

What lies below the lowest trained weight never changes, so its output for a text never changes
either: `cut` splits the model there, and `Activations` keeps that output from epoch to epoch.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.batching import by_length, padded
from adaptlab.errors import AdaptlabError
from adaptlab.models import output_head, trainable_parameters
from adaptlab.tuning.anatomy import final_norm, layers_of
from adaptlab.tuning.identity import checksum


def with_label_head(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, label_words: Sequence[str]
) -> PreTrainedModel:
    """The same decoder with a head that scores labels: one row of weights for each label.

    A label's row (and bias, in a head that has one) starts as that of its word in the output head,
    so that before training this is the model's zero-shot answer, by construction. The decoder is
    shared with `model`: training one changes the other.
    Raises AdaptlabError unless each word is a token, all different, and the model has a head.
    """
    tokens = [tokenizer(word, add_special_tokens=False).input_ids for word in label_words]
    if any(len(ids) != 1 for ids in tokens) or len({ids[0] for ids in tokens}) != len(tokens):
        raise AdaptlabError(f"each label needs a word of one token of its own, not {label_words}")
    old, rows = output_head(model).weight, [ids[0] for ids in tokens]
    bias = getattr(output_head(model), "bias", None)
    like = {"dtype": old.dtype, "device": old.device}
    head = nn.Linear(old.shape[1], len(rows), bias=bias is not None, **like)
    with torch.no_grad():
        head.weight.copy_(old[rows])
        if bias is not None:
            head.bias.copy_(bias[rows])
    labelled = twin(model)
    labelled.set_output_embeddings(head)
    return labelled


def train_top(model: PreTrainedModel, k: int) -> int:
    """Only the top k layers, the final norm and the head are trained; k = 0: the head alone.

    Returns how many parameters that is. Raises AdaptlabError if the model has fewer layers.
    """
    depth = len(layers_of(model)) if k else 0
    _check(k, depth)
    return train_layers(model, range(depth - k, depth))


def train_bottom(model: PreTrainedModel, k: int) -> int:
    """Only the bottom k layers and the head are trained; see `train_top`."""
    _check(k, len(layers_of(model)) if k else 0)
    return train_layers(model, range(k))


def train_layers(model: PreTrainedModel, chosen: range) -> int:
    """Only these layers and the head are trained, and the final norm if the last layer is.

    An output head that shares its weights with the input embeddings trains both. Returns how many
    parameters that is. Raises AdaptlabError for layers that the model does not have.
    """
    layers = layers_of(model) if chosen else []
    if any(not 0 <= index < len(layers) for index in chosen):
        raise AdaptlabError(f"the model has layers 0 to {len(layers) - 1}, not {list(chosen)}")
    above = [output_head(model)]
    if len(layers) - 1 in chosen:
        above.append(final_norm(model))
    model.requires_grad_(False)
    for part in (*above, *(layers[index] for index in chosen)):
        part.requires_grad_(True)
    return trainable_parameters(model)


def train_everything(model: PreTrainedModel) -> int:
    """All weights are trained; returns how many they are."""
    model.requires_grad_(True)
    return trainable_parameters(model)


def frozen_layers(model: nn.Module) -> int:
    """How many of the lowest layers can be cut off, because nothing in or below them is trained.

    0 where something else is trained (embeddings, a soft prompt), or the model cannot be cut:
    cutting needs a decoder that gives its layers what it is fed as embeddings, unchanged.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    if not any(child is decoder for child in model.children()) or not _can_be_cut(decoder):
        return 0
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    above = {id(p) for part in (decoder.norm, model.get_output_embeddings()) for p in _of(part)}
    for count in range(len(decoder.layers), 0, -1):
        if trained <= above and id(decoder.embed_tokens.weight) not in trained:
            return count
        above |= {id(p) for p in decoder.layers[count - 1].parameters()}
    return 0


def cut(model: PreTrainedModel, layers: int) -> tuple[nn.Module, PreTrainedModel]:
    """The model in two: its embeddings and lowest `layers`, and the rest with the head.

    Both share their weights with `model`. The upper one is fed with `inputs_embeds`, what the lower
    one returns as `last_hidden_state`, (B, T, D).
    """
    decoder = model.get_decoder()
    lower, rest, upper = twin(decoder), twin(decoder), twin(model)
    lower.layers, rest.layers = decoder.layers[:layers], _without(decoder.layers, layers)
    lower.norm = nn.Identity()
    name = next(name for name, module in model.named_children() if module is decoder)
    upper._modules[name] = rest
    return lower, upper


class Activations:
    """What frozen layers make of each text, and the memory where it is kept.

    lower: the frozen layers, the lower part of a `cut`. limit: the most bytes that are kept; what
        is beyond it is computed anew each time.
    """

    def __init__(self, lower: nn.Module, limit: int = 4 * 2**30):
        self._lower, self._limit = lower.eval(), limit  # without dropout
        self.layers = len(lower.layers)
        self._kept: dict[tuple[int, ...], torch.Tensor] = {}
        self.bytes = 0

    @cached_property
    def identity(self) -> str:
        """A checksum of the frozen weights, as they were when it was first needed."""
        return checksum(self._lower)

    def keep(self, texts: Sequence[tuple[int, ...]], device: torch.device, size: int) -> None:
        """Compute those of the texts that are not kept yet, and fit, so many at a time.

        A text's last digits depend on what it is computed together with: here on all the texts.
        """
        chosen, used, row = [], self.bytes, self._lower.get_input_embeddings().weight[0].nbytes
        for ids in dict.fromkeys(texts):
            if ids not in self._kept and used + len(ids) * row <= self._limit:
                chosen.append(ids)
                used += len(ids) * row
        _ = self.identity  # before anybody changes the weights
        for places in by_length([len(ids) for ids in chosen], lambda count, _: count <= size):
            some = [chosen[place] for place in places]
            for ids, hidden in zip(some, self._run(some, device), strict=True):
                self._kept[ids] = hidden[: len(ids)].to("cpu", copy=True)  # no view of the batch
                self.bytes += self._kept[ids].nbytes

    def __call__(self, texts: Sequence[tuple[int, ...]], device: torch.device) -> torch.Tensor:
        """The hidden states of texts, given as token ids, padded with anything: (B, T, D)."""
        missing = [ids for ids in dict.fromkeys(texts) if ids not in self._kept]
        if missing == list(texts):
            return self._run(texts, device)
        computed = self._run(missing, device).cpu() if missing else ()
        found = dict(zip(missing, computed, strict=True))
        rows = [self._kept[ids] if ids in self._kept else found[ids][: len(ids)] for ids in texts]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)

    @torch.no_grad()
    def _run(self, texts: Sequence[tuple[int, ...]], device: torch.device) -> torch.Tensor:
        ids, _ = padded(texts)
        return self._lower(input_ids=ids.to(device), use_cache=False).last_hidden_state


def twin(module: nn.Module) -> nn.Module:
    """A copy whose parts can be exchanged; the parts themselves are shared."""
    made = copy.copy(module)
    made._modules = dict(module._modules)
    for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
        vars(made).pop(name, None)  # what accelerate left on the other one is not this one's
    return made


class _Passed(nn.Module):
    """Stands where a layer was cut off, so that those above it keep their numbers."""

    def forward(self, hidden: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return hidden


def _without(layers: nn.ModuleList, lowest: int) -> nn.ModuleList:
    return nn.ModuleList([*(_Passed() for _ in range(lowest)), *layers[lowest:]])


@torch.no_grad()
def _can_be_cut(decoder: PreTrainedModel | None) -> bool:
    """Whether embeddings reach the layers, and the norm, as they are: some decoders scale them."""
    if not all(hasattr(decoder, part) for part in ("layers", "norm", "rotary_emb")):
        return False
    bare = twin(decoder)
    bare.layers, bare.norm = _without(decoder.layers, len(decoder.layers)), nn.Identity()
    weight = decoder.get_input_embeddings().weight
    hidden = torch.ones(1, 2, weight.shape[1], dtype=weight.dtype, device=weight.device)
    return torch.equal(bare(inputs_embeds=hidden, use_cache=False).last_hidden_state, hidden)


def _check(k: int, depth: int) -> None:
    if not 0 <= k <= depth:
        raise AdaptlabError(f"the model has {depth} layers; {k} were asked for")


def _of(module: nn.Module | None) -> Iterator[nn.Parameter]:
    return module.parameters() if module is not None else iter(())
