"""Which linear layers of a model get an adapter.

all-linear                        every one in the decoder, not the output head
q_proj                            those of that name, in every layer
layers.2?.self_attn.[qv]_proj     shell patterns: q and v in layers 20 to 29
model.layers.0.mlp.up_proj        one
"""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError, unknown

EVERY_LINEAR = "all-linear"


def matching(
    model: PreTrainedModel, linears: Mapping[str, nn.Module], targets: str | Sequence[str]
) -> list[str]:
    """The full names of the linear layers that targets match, in the model's order.

    linears: the model's, by their full names. targets: each matches a full name or its end, from a
    dot on. Raises AdaptlabError for a target that matches none, with near names, or for no targets.
    """
    if targets == EVERY_LINEAR:
        inside = {id(part) for part in model.get_decoder().modules()}
        inside.discard(id(model.get_output_embeddings()))
        if found := [name for name, part in linears.items() if id(part) in inside]:
            return found
        raise AdaptlabError(f"the decoder of {type(model).__name__} has no nn.Linear")
    if not targets:
        raise AdaptlabError(f'a LoRA needs targets, such as "q_proj" or "{EVERY_LINEAR}"')
    chosen: set[str] = set()
    for target in (targets,) if isinstance(targets, str) else targets:
        found = {n for n in linears if fnmatchcase(n, target) or fnmatchcase(n, f"*.{target}")}
        if not found:
            near = difflib.get_close_matches(target, linears, n=3, cutoff=0.5)
            raise unknown("linear layer", target, near or {_last(name) for name in linears})
        chosen |= found
    return [name for name in linears if name in chosen]


def shortest(model: nn.Module, chosen: Sequence[str]) -> list[str]:
    """The last names of the chosen layers where these match no other module, else the full names.

    A module inside a chosen layer does not count: it is part of it.
    """
    inside = tuple(f"{name}." for name in chosen)
    last = {_last(name) for name in chosen}
    names = [name for name, _ in model.named_modules() if not name.startswith(inside)]
    alike = {name for name in names if _last(name) in last}
    return sorted(last) if alike == set(chosen) else list(chosen)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
