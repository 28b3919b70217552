"""Training inside a random subspace: D weights are moved by d numbers (Li et al., 2018).

    theta = theta_0 + P x        x (d,) is trained, from 0;  P (D, d) is drawn once and kept

Each weight hangs on one number, h(i), with a random sign: P[i, h(i)] = +-1 / sqrt(count), where
`count` weights hang on that number. So the columns of P are orthonormal, and P and P^T cost one
pass over the weights.

    weights, one after the other    0 1 2 3 4 5 6 | 0 1 2 3 4 5 6 | 0 1 ...    counted mod L
    number h(i), for d = 5          0 1 2 3 4 0 1   0 1 2 3 4 0 1   0 1 ...    that, mod d

L is the first prime from d on that divides no side of a weight. Counted mod d itself, a column of
a matrix of width 576 would fall onto one number for d = 64, as 64 divides 576.

Aghajanyan et al. (2021) found so that a pre-trained model can be adapted by few numbers. Their P is
a Fastfood transform, in which each weight hangs on all numbers: denser, and about log2 d passes
slower. In one variant they train one more scale for each layer. Ours has none.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning.optimizers import Weights

AT_ONCE = 2**20  # weights that are worked on together: they stay in the processor's cache


@dataclass(frozen=True)
class RandomSubspace:
    """Adam (Kingma and Ba, 2015) on `dimensions` numbers, of which each weight follows one.

    A rate of r moves a number by about r a step, and a weight by r / sqrt(D / d): take a rate
    sqrt(D / d) times the one of plain Adam. It works on any weights, LoRA's or all.
    seed: that of the signs. Raises AdaptlabError for fewer dimensions than 1 or more than weights,
    and for weight decay, which leads out of the subspace.
    """

    dimensions: int
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if self.dimensions < 1:
            raise AdaptlabError(f"a subspace of {self.dimensions} dimensions: it needs 1 or more")

    def __call__(self, weights: Weights, weight_decay: float) -> "SubspaceAdam":
        if weight_decay:
            raise AdaptlabError("weight decay leads out of the subspace: take 0")
        projection = Projection(list(weights.values()), self.dimensions, self.seed)
        return SubspaceAdam(projection, self.betas, self.eps)


class Projection:
    """P (D, d), never written out but by `dense`; it keeps one byte a weight, the signs.

    weights: D numbers in all, in order. Raises AdaptlabError if D is less than d.
    """

    def __init__(self, weights: Sequence[nn.Parameter], dimensions: int, seed: int):
        self.weights, self.dimensions = list(weights), dimensions
        self.total = sum(weight.numel() for weight in self.weights)
        if dimensions > self.total:
            raise AdaptlabError(f"a subspace of {dimensions} dimensions in {self.total} weights")
        self.period = _period(dimensions, {n for weight in self.weights for n in weight.shape})
        draw, like = torch.Generator().manual_seed(seed), self.weights[0]
        self.signs, counts = [], torch.zeros(self.period, dtype=torch.float64)
        for weight, start in self._starts():
            bits = torch.randint(0, 2, (weight.numel(),), dtype=torch.int8, generator=draw)
            self.signs.append(bits.mul_(2).sub_(1).to(weight.device))
            for _, rows, place in self._pieces(weight.numel(), start):
                counts[place] += rows
        self.scale = self._folded(counts).rsqrt().to(like)  # (d,)

    @torch.no_grad()
    def down(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """P^T g, (d,), of a g that is cut like the weights; None counts as 0."""
        sums = torch.zeros(self.period).to(self.scale)
        for i, (weight, start) in enumerate(self._starts()):
            if tensors[i] is not None:
                flat = tensors[i].reshape(-1)
                for part, rows, place in self._pieces(weight.numel(), start):
                    signed = flat[part] * self.signs[i][part]
                    sums[place] += signed.view(rows, -1).sum(0)
        return self._folded(sums) * self.scale

    @torch.no_grad()
    def add(self, numbers: Tensor) -> None:
        """weights <- weights + P x, in place. numbers: x, (d,)."""
        spread = self._spread(numbers)
        for i, (weight, start) in enumerate(self._starts()):
            flat = weight.view(-1) if weight.is_contiguous() else weight.reshape(-1)
            for part, rows, place in self._pieces(weight.numel(), start):
                moves = self.signs[i][part].view(rows, -1) * spread[place]
                flat[part] += moves.view(-1)
            if not weight.is_contiguous():  # then flat was a copy
                weight.copy_(flat.view_as(weight))

    def dense(self) -> Tensor:
        """P, (D, d), for a handful of weights."""
        signs = torch.cat(self.signs).to(self.scale)
        number = torch.arange(self.total) % self.period % self.dimensions
        matrix = torch.zeros(self.total, self.dimensions).to(self.scale)
        matrix[torch.arange(self.total), number] = signs * self.scale[number]
        return matrix

    def _starts(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Each weight, and where in the period it starts."""
        start = 0
        for weight in self.weights:
            yield weight, start
            start = (start + weight.numel()) % self.period

    def _pieces(self, count: int, start: int) -> Iterator[tuple[slice, int, slice]]:
        """(slice of the weight, as so many rows, slice of the period that each row lies on)."""
        head = min(count, (self.period - start) % self.period)
        if head:
            yield slice(0, head), 1, slice(start, start + head)
        while head < count:
            rows = min(max(1, AT_ONCE // self.period), (count - head) // self.period)
            length = rows * self.period or count - head  # what is left at the end is no whole row
            yield slice(head, head + length), max(1, rows), slice(0, min(length, self.period))
            head += length

    def _folded(self, sums: Tensor) -> Tensor:
        """(L,) to (d,): what lies on the same number is added up."""
        rows = math.ceil(self.period / self.dimensions)
        padded = nn.functional.pad(sums, (0, rows * self.dimensions - self.period))
        return padded.view(rows, self.dimensions).sum(0)

    def _spread(self, numbers: Tensor) -> Tensor:
        """(d,) to (L,), scaled."""
        rows = math.ceil(self.period / self.dimensions)
        return (numbers * self.scale).repeat(rows)[: self.period]


class SubspaceAdam(torch.optim.Optimizer):
    """torch's Adam on x; the weights follow. `numbers` is x, (d,): all that was learned."""

    def __init__(self, projection: Projection, betas: tuple[float, float], eps: float):
        self.projection = projection
        self.numbers = nn.Parameter(torch.zeros_like(projection.scale))
        self.adam = torch.optim.Adam([self.numbers], betas=betas, eps=eps)
        super().__init__(projection.weights, {"lr": 1.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step of x down P^T g, and the weights by P times it; one without a gradient too."""
        self.numbers.grad = self.projection.down(
            [weight.grad for weight in self.projection.weights]
        )
        before = self.numbers.clone()
        self.adam.param_groups[0]["lr"] = self.param_groups[0]["lr"]
        self.adam.step()
        self.projection.add(self.numbers - before)

    def state_dict(self) -> dict:
        """torch's, with x and the state of its Adam."""
        own = {"numbers": self.numbers.detach(), "adam": self.adam.state_dict()}
        return {**super().state_dict(), **own}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict) -> None:
        """Take up what `state_dict` gave."""
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        self.numbers.copy_(state_dict["numbers"])
        self.adam.load_state_dict(state_dict["adam"])


def d90(
    scores: Mapping[int, float], full: float, floor: float = 0.0, share: float = 0.9
) -> int | None:
    """The least number of dimensions whose score is at least 90% of full training's, or None.

    scores: by dimensions; higher is better. full: the score of training all weights. As published
    (Li et al., 2018; Aghajanyan et al., 2021) it is 90% of the raw score, so that of an accuracy of
    0.9 to be had, 0.81 is asked for, where guessing gives 0.5. floor: the score of a baseline;
    then it is 90% of the gain over that, 0.86 here.
    Raises AdaptlabError if full training is no better than the floor.
    """
    if not full > floor:
        raise AdaptlabError(f"full training reaches {full}, no more than the floor of {floor}")
    wanted = floor + share * (full - floor)
    return min((d for d, score in scores.items() if score >= wanted), default=None)


def _period(dimensions: int, sides: set[int]) -> int:
    """The first prime from `dimensions` on that divides no side."""
    number = max(2, dimensions)
    while not _is_prime(number) or any(side % number == 0 for side in sides):
        number += 1
    return number


def _is_prime(number: int) -> bool:
    return all(number % factor for factor in range(2, math.isqrt(number) + 1))
