"""From logits to text: greedy, temperature, top-k, top-p; in batches, with or without a cache."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.cache import KVCache
from adaptlab.gpt.model import GPT


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    temperature: logits are divided by it; 0 is greedy, the likeliest token.
    top_k: only the k likeliest tokens can be drawn (Fan et al., 2018).
    top_p: only the likeliest tokens that together reach probability p (Holtzman et al., 2020).
    Raises AdaptlabError for values that make no sense.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise AdaptlabError(f"the temperature is {self.temperature}; it cannot be negative")
        if self.top_k is not None and self.top_k < 1:
            raise AdaptlabError(f"top_k is {self.top_k}; at least one token must remain")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise AdaptlabError(f"top_p is {self.top_p}; it is a probability above 0")


GREEDY = Sampling()


def probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The distribution that the next token is drawn from, (B, V), for logits (B, V).

    Temperature comes first, then top-k, then top-p, each on what the one before left over.
    """
    logits = logits.float()  # a sum over the vocabulary is too much for bf16
    if sampling.temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).float()
    logits = logits / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        weakest = logits.topk(sampling.top_k).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < weakest, -torch.inf)
    likely = logits.softmax(dim=-1)
    if sampling.top_p is not None and sampling.top_p < 1:  # at 1, rounding would leave some out
        ordered, order = likely.sort(dim=-1, descending=True)
        before = ordered.cumsum(dim=-1) - ordered  # the mass of all that are likelier
        ordered = ordered.masked_fill(before >= sampling.top_p, 0)  # the first one always stays
        likely = torch.zeros_like(likely).scatter(-1, order, ordered)
    return likely / likely.sum(dim=-1, keepdim=True)


def draw(
    logits: torch.Tensor, sampling: Sampling, generator: torch.Generator | None = None
) -> torch.Tensor:
    """One token id for each row of logits (B, V), (B,)."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, sampling), 1, generator=generator).squeeze(1)


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
