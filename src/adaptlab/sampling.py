"""How the next token is drawn from logits: greedy, temperature, top-k, top-p."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from adaptlab.errors import AdaptlabError


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


def draw_at(logits: torch.Tensor, sampling: Sampling, uniforms: torch.Tensor) -> torch.Tensor:
    """One token id for each row of logits (B, V), (B,): the one at which the row's cumulated
    probability passes its number in [0, 1). The same number gives the same token."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    passed = probabilities(logits, sampling).double().cumsum(dim=-1)  # (B, V)
    wanted = uniforms.double()[:, None] * passed[:, -1:]
    return torch.searchsorted(passed, wanted, right=True).squeeze(1)
