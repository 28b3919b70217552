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

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError
from adaptlab.models import trainable_parameters


def with_label_head(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, label_words: Sequence[str]
) -> PreTrainedModel:
    """The same decoder with a head that scores labels: one row of weights for each label.

    A label's row starts as that of its word in the output head, so that before training this is
    the model's zero-shot answer, by construction. The decoder is shared with `model`: training
    one changes the other. Raises AdaptlabError unless each word is a token, all different.
    """
    tokens = [tokenizer(word, add_special_tokens=False).input_ids for word in label_words]
    if any(len(ids) != 1 for ids in tokens) or len({ids[0] for ids in tokens}) != len(tokens):
        raise AdaptlabError(f"each label needs a word of one token of its own, not {label_words}")
    old = model.get_output_embeddings().weight
    head = nn.Linear(old.shape[1], len(tokens), bias=False, dtype=old.dtype, device=old.device)
    with torch.no_grad():
        head.weight.copy_(old[[ids[0] for ids in tokens]])
    labelled = twin(model)
    labelled.set_output_embeddings(head)
    return labelled


def train_top(model: PreTrainedModel, k: int) -> int:
    """Only the top k layers, the final norm and the head are trained; k = 0: the head alone.

    Returns how many parameters that is. Raises AdaptlabError if the model has fewer layers.
    """
    depth = len(_layers(model))
    _check(k, depth)
    return train_layers(model, range(depth - k, depth))


def train_bottom(model: PreTrainedModel, k: int) -> int:
    """Only the bottom k layers and the head are trained; see `train_top`."""
    _check(k, len(_layers(model)))
    return train_layers(model, range(k))


def train_layers(model: PreTrainedModel, chosen: range) -> int:
    """Only these layers and the head are trained, and the final norm if the last layer is.

    An output head that shares its weights with the input embeddings trains both. Returns how many
    parameters that is. Raises AdaptlabError for layers that the model does not have.
    """
    layers = _layers(model)
    if any(not 0 <= index < len(layers) for index in chosen):
        raise AdaptlabError(f"the model has layers 0 to {len(layers) - 1}, not {list(chosen)}")
    norm = getattr(_decoder(model), "norm", None)
    if norm is None:
        raise AdaptlabError(f"{type(model).__name__} has no final norm where it is looked for")
    model.requires_grad_(False)
    for index in chosen:
        layers[index].requires_grad_(True)
    if len(layers) - 1 in chosen:
        norm.requires_grad_(True)
    model.get_output_embeddings().requires_grad_(True)
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
    decoder = _decoder(model)
    lower, rest, upper = twin(decoder), twin(decoder), twin(model)
    lower.layers, rest.layers = decoder.layers[:layers], _without(decoder.layers, layers)
    lower.norm = nn.Identity()
    name = next(name for name, module in model.named_children() if module is decoder)
    upper._modules[name] = rest
    return lower, upper


class Activations:
    """What frozen layers make of each text, kept in memory from its first use.

    lower: the frozen layers, the lower part of a `cut`. limit: the most bytes that are kept; what
        is beyond it is computed anew each time.
    """

    def __init__(self, lower: nn.Module, limit: int = 4 * 2**30):
        self._lower, self._limit = lower.eval(), limit  # without dropout
        self.layers = len(lower.layers)
        self._kept: dict[tuple[int, ...], torch.Tensor] = {}
        self.bytes = 0

    def __call__(self, texts: Sequence[tuple[int, ...]], device: torch.device) -> torch.Tensor:
        """The hidden states of texts, given as token ids, padded with zeros: (B, T, D)."""
        missing = [ids for ids in dict.fromkeys(texts) if ids not in self._kept]
        found = dict(zip(missing, self._run(missing, device), strict=True)) if missing else {}
        for ids, hidden in found.items():
            if self.bytes + hidden.nbytes <= self._limit:
                self._kept[ids] = hidden.cpu().clone()  # of its own, not a view of the batch
                self.bytes += hidden.nbytes
        rows = [found[ids] if ids in found else self._kept[ids].to(device) for ids in texts]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    @torch.no_grad()
    def _run(self, texts: Sequence[tuple[int, ...]], device: torch.device) -> Iterator:
        rows = [torch.tensor(ids, device=device) for ids in texts]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        hidden = self._lower(input_ids=padded, use_cache=False).last_hidden_state
        return (hidden[i, : len(ids)] for i, ids in enumerate(texts))


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


def _decoder(model: PreTrainedModel) -> PreTrainedModel:
    return model.get_decoder()


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    layers = getattr(_decoder(model), "layers", None)
    if layers is None:
        raise AdaptlabError(f"{type(model).__name__} has no list of layers to choose from")
    return layers


def _check(k: int, depth: int) -> None:
    if not 0 <= k <= depth:
        raise AdaptlabError(f"the model has {depth} layers; {k} were asked for")


def _of(module: nn.Module | None) -> Iterator[nn.Parameter]:
    return module.parameters() if module is not None else iter(())
