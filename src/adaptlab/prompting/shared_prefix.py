"""Attention of many rows that begin alike: the shared beginning is held, and read, once.

    shared   [ instruction, examples ]         keys and values (1, heads, P, D), one copy
    row 1         \\__[ question 1 ][ answer  ...
    row 2          \\__[ question 2 ][ ans    ...   own keys and values (B, heads, S, D)

A row's query meets both: its scores on the shared part and on its own part are put side by side
before the softmax, which is what attention over the whole text would compute. All rows' queries
meet the shared keys in one matrix product.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from adaptlab.errors import AdaptlabError
from adaptlab.models import logits_at

NAME = "adaptlab_shared_prefix"
Pairs = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each layer


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """How many first tokens all rows share."""
    first, last = min(rows), max(rows)  # the least and the greatest row agree as far as all do
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return shared


@torch.inference_mode()
def run_prefix(model: PreTrainedModel, ids: Sequence[int]) -> Pairs:
    """Keys and values (1, heads, prefix, D) of every layer for the shared tokens."""
    tokens = torch.tensor([ids], device=model.device)
    nowhere = torch.zeros(0, dtype=torch.long, device=model.device)
    cache = DynamicCache(config=model.config)
    logits_at(model, nowhere, nowhere, input_ids=tokens, past_key_values=cache, use_cache=True)
    return [(layer.keys, layer.values) for layer in cache.layers]


class Rows:
    """The rows of a batch: what they share, what each has of its own, which of it is real.

    prefix: keys and values of the shared tokens; empty where nothing is shared.
    room: columns for each row's own tokens; they are taken at once, so that a step writes one
        column instead of copying all of them.
    """

    def __init__(self, model: PreTrainedModel, prefix: Pairs, shared: int, count: int, room: int):
        config = model.config.get_text_config()
        self.prefix, self.shared, self.room = prefix, shared, room
        layers = config.num_hidden_layers
        self.cache = Cache(layers=[_OwnLayer(room) for _ in range(layers)])
        self.real = torch.zeros(count, room, dtype=torch.bool, device=model.device)  # (B, room)
        self.lengths = torch.zeros(count, dtype=torch.long, device=model.device)  # (B,)
        self.filled = 0

    @torch.inference_mode()
    def read(self, model: PreTrainedModel, ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Run new tokens of every row through the model; logits of each row's last one, (B, V).

        ids: (B, T), right-padded; real: (B, T), false for padding. Each row needs a real token.
        """
        ids, real = ids.to(model.device), real.to(model.device).bool()
        count, width = ids.shape
        start, self.filled = self.filled, self.filled + width
        self.real[:, start : self.filled] = real
        counted = real.long().cumsum(dim=1)  # (B, T)
        positions = self.shared + self.lengths[:, None] + counted - 1
        self.lengths = self.lengths + counted[:, -1]
        seen = self.real[:, None, : self.filled].expand(-1, width, -1)  # (B, T, S)
        if width > 1:
            column = torch.arange(self.filled, device=ids.device)
            seen = seen & (column <= start + torch.arange(width, device=ids.device)[:, None])
        return logits_at(
            model,
            torch.arange(count, device=ids.device),
            counted[:, -1] - 1,
            input_ids=ids,
            position_ids=positions.clamp(min=0),
            past_key_values=self.cache,
            use_cache=True,
            prefixed=_View(self.prefix, torch.where(seen, 0.0, -torch.inf)[:, None, None]),
        )

    @torch.inference_mode()
    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows, in this order; a row may come several times."""
        self.real, self.lengths = self.real[rows], self.lengths[rows]
        for layer in self.cache.layers:
            layer.select(rows)


class _View:
    """What the attention of every layer needs: the shared pairs, and a bias (B, 1, 1, T, S)."""

    def __init__(self, prefix: Pairs, bias: torch.Tensor):
        self.prefix, self.bias = prefix, bias


class _OwnLayer(CacheLayerMixin):
    """One layer's own keys and values, written into room that is taken at once."""

    def __init__(self, room: int):
        super().__init__()
        self.room, self.filled = room, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        batch, heads, _, width = key_states.shape
        self.keys = key_states.new_empty(batch, heads, self.room, width)
        self.values = value_states.new_empty(batch, heads, self.room, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.filled = self.filled, self.filled + key_states.shape[2]
        self.keys[:, :, start : self.filled] = key_states
        self.values[:, :, start : self.filled] = value_states
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def select(self, rows: torch.Tensor) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.filled + query_length, 0

    def get_seq_length(self) -> int:
        return self.filled

    def get_max_length(self) -> int:
        return self.room


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    prefixed: _View | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Attention over the shared and the own keys, for transformers' attention interface.

    query (B, H, T, D), key and value (B, K, S, D); returns (B, T, H, D). Every key head serves
    H / K query heads as it is, without copies of it.
    """
    if prefixed is None:
        raise AdaptlabError(f"{type(module).__name__} does not pass on what sharing a prefix needs")
    batch, heads, width, size = query.shape
    of_key = key.shape[1]
    grouped = query.view(batch, of_key, heads // of_key, width, size)  # (B, K, G, T, D)
    scale = size**-0.5 if scaling is None else scaling
    own = grouped.flatten(2, 3) @ key.transpose(-1, -2)  # (B, K, G T, S)
    scores = own.view(batch, of_key, -1, width, key.shape[2]).float() * scale + prefixed.bias
    if prefixed.prefix:
        shared_key, shared_value = prefixed.prefix[module.layer_idx]  # (1, K, P, D)
        once = grouped.transpose(0, 1).reshape(of_key, -1, size)  # (K, B G T, D)
        shared = (once @ shared_key[0].transpose(-1, -2)).float() * scale  # (K, B G T, P)
        shared = shared.view(of_key, batch, -1, width, shared.shape[-1]).transpose(0, 1)
        scores = torch.cat((shared, scores), dim=-1)  # (B, K, G, T, P + S)
    weights = scores.softmax(dim=-1).to(value.dtype)
    mine = weights[..., -key.shape[2] :].flatten(2, 3) @ value  # (B, K, G T, D)
    out = mine.view(batch, of_key, -1, width, size)
    if prefixed.prefix:
        first = weights[..., : -key.shape[2]].transpose(0, 1).reshape(of_key, -1, shared.shape[-1])
        out = out + (first @ shared_value[0]).view(of_key, batch, -1, width, size).transpose(0, 1)
    return out.flatten(1, 2).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, attend)


@contextmanager
def shared_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend as above within the block.

    Raises AdaptlabError for a model whose attention is of another kind: with soft caps or sinks,
    or with a window that its context exceeds.
    """
    config = model.config.get_text_config()
    for setting in ("attn_logit_softcapping", "sliding_window", "sinks"):
        if getattr(config, setting, None) and getattr(config, "use_sliding_window", True):
            raise AdaptlabError(
                f"{config.model_type} has {setting}, which generation with a shared prefix does "
                "not know: serve the model and use an endpoint"
            )
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
