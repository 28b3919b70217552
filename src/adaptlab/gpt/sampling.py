"""From logits to text, in batches, with or without a cache; see `adaptlab.sampling` for a draw."""

from collections.abc import Collection, Sequence

import torch

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.cache import KVCache
from adaptlab.gpt.model import GPT
from adaptlab.sampling import GREEDY, Sampling, draw


@torch.inference_mode()
def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    sampling: Sampling = GREEDY,
    stop: Collection[int] = (),
    seed: int | None = None,
    cached: bool = True,
) -> list[list[int]]:
    """Continue each prompt by up to `new_tokens` tokens; returns the new token ids of each.

    model: in eval mode, or its dropout is drawn as well.

    prompts: token ids, of any lengths; shorter ones are padded at the left, unseen by the model.
    stop: ids that end a continuation; they are not part of it.
    seed: of the draws; the same prompts, seed and batch give the same text.
    cached: keep keys and values, so that a step costs one token and not the whole sequence.
    A text that outgrows the context goes on from its last half context, all the model can still
    see. Raises AdaptlabError for no or empty prompts, or one longer than the context.
    """
    _check(model, prompts)
    cached = cached and model.config.causal  # without a mask, old keys depend on new tokens
    device = model.token_embedding.weight.device
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    ids, starts = _pad_left(prompts, device)  # (B, T), (B,)
    width, ended = ids.shape[1], torch.zeros(len(prompts), dtype=torch.bool, device=device)
    stops = torch.tensor(sorted(stop), dtype=torch.long, device=device)
    cache, first = None, 0  # columns from `first` on are what the model still sees
    for _ in range(new_tokens):
        if ids.shape[1] - first > model.config.context_length:
            first, cache = ids.shape[1] - max(1, model.config.context_length // 2), None
        if cached and cache is None:
            cache = _room(model, ids.shape[1] - first, new_tokens, len(prompts))
        unread = first + cache.filled if cached else first
        padding = (starts - first).clamp(min=0)
        hidden = model.hidden(ids[:, unread:], cache, padding if padding.any() else None)
        chosen = draw(model.head(hidden[:, -1]), sampling, generator)  # (B,)
        ids = torch.cat((ids, chosen[:, None]), dim=1)
        ended |= torch.isin(chosen, stops)
        if len(stops) and ended.all():
            break
    return [_until(row[width:].tolist(), set(stop)) for row in ids]


def _check(model: GPT, prompts: Sequence[Sequence[int]]) -> None:
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise AdaptlabError("a prompt is empty: give the model at least one token to go on from")
    longest = max(map(len, prompts))
    if longest > model.config.context_length:
        raise AdaptlabError(
            f"a prompt of {longest} tokens is longer than the context of "
            f"{model.config.context_length}"
        )


def _pad_left(
    prompts: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts side by side, (B, T), their last tokens in one column; and where each starts."""
    width = max(map(len, prompts))
    starts = [width - len(prompt) for prompt in prompts]
    rows = [[0] * start + list(prompt) for start, prompt in zip(starts, prompts, strict=True)]
    return torch.tensor(rows, device=device), torch.tensor(starts, device=device)


def _room(model: GPT, tokens: int, new_tokens: int, batch: int) -> KVCache:
    """A cache for `tokens` and all that can follow in the context."""
    weight = model.token_embedding.weight
    length = min(tokens + new_tokens, model.config.context_length)
    return KVCache(model.config, batch, length, weight.dtype, weight.device)


def _until(ids: list[int], stop: set[int]) -> list[int]:
    end = next((i for i, token in enumerate(ids) if token in stop), len(ids))
    return ids[:end]
