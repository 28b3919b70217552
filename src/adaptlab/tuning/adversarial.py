"""Adversarial training: learn on inputs that were moved to where the loss is higher.

    embeddings e  -->  loss(e + d)  -->  gradient  -->  weights: one share of the step
                           ^                |
                           +-- d moves up --+   `steps` times, never further than `epsilon`

FreeLB (Zhu et al., 2020): the weights' gradients of all ascents are averaged. Words cannot be
moved a little; their embeddings can.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning.examples import Batch
from adaptlab.tuning.network import loss


@dataclass(frozen=True)
class Adversary:
    """Projected gradient ascent on the input embeddings.

    steps: ascents, each of which costs a forward and a backward. step_size: how far one goes.
    epsilon: how far they may lead in all. Both as a share of the length of a text's embeddings, so
        that they mean the same for any model and any length of text.
    Raises AdaptlabError for less than one ascent, or a length that is not above 0.
    """

    steps: int = 2
    step_size: float = 0.05
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise AdaptlabError(f"an adversary of {self.steps} steps gives no loss: take 1 or more")
        if not (self.step_size > 0 and self.epsilon > 0):
            raise AdaptlabError("an adversary's step_size and epsilon must be above 0")

    def losses(self, model: nn.Module, batch: Batch) -> Iterator[torch.Tensor]:
        """Shares of a batch's loss, to be taken backwards one by one; they sum up to it."""
        inner = getattr(model, "module", model)
        read, delta = _read(batch), None
        for _ in range(self.steps):
            embedded = inner.get_input_embeddings()(batch.inputs)  # (B, T, D)
            if delta is None:
                length = _norm(embedded.detach().float() * read)
                first = min(self.step_size, self.epsilon) * length
                delta = _random(read.expand(embedded.shape), first)
            delta.requires_grad_(True)
            moved = replace(batch, inputs=embedded + delta.to(embedded.dtype))
            yield loss(model, moved) / self.steps
            up = delta.grad / _norm(delta.grad).clamp_min(1e-12)
            delta = _within(delta.detach() + self.step_size * length * up, self.epsilon * length)


def _read(batch: Batch) -> torch.Tensor:
    """1 where a text is read, up to its last asked position, 0 in the padding: (B, T, 1)."""
    last = torch.zeros(len(batch.inputs), dtype=torch.long, device=batch.inputs.device)
    last.scatter_reduce_(0, batch.rows, batch.columns, "amax")
    places = torch.arange(batch.inputs.shape[1], device=batch.inputs.device)
    return (places <= last[:, None])[..., None].float()


def _norm(vectors: torch.Tensor) -> torch.Tensor:
    """The length of each text's (T, D), as (B, 1, 1)."""
    return vectors.flatten(1).norm(dim=1)[:, None, None]


def _random(read: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """A random direction of a given length for each text, in what is read of it: (B, T, D)."""
    noise = torch.randn(read.shape, device=read.device) * read
    return length * noise / _norm(noise)


def _within(delta: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """Shortened to epsilon where it is longer."""
    return delta * (epsilon / _norm(delta).clamp_min(1e-12)).clamp_max(1.0)
