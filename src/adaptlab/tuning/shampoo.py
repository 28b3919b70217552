"""Shampoo (Gupta et al., 2018): a matrix for each side of a weight makes its gradients even.

    W (m, n), gradient G      L <- L + G G^T (m, m)      R <- R + G^T G (n, n)      both from eps I
                              W <- W - rate L^(-1/4) G R^(-1/4)

A long side costs too much: its matrix has length^2 numbers, its root length^3 products. A side
longer than `longest` is left alone, and the exponent of the other side is then -1/2. A LoRA factor
(8, 576) so has one matrix of 8 by 8. Where no side is short, each number is divided by the root of
its own sum of squares, which is AdaGrad (Duchi et al., 2011). Like AdaGrad's, the sums only grow
and the steps shrink. There is no grafting: a step's length is Shampoo's own.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

Buckets = dict[tuple, list[nn.Parameter]]


class Shampoo(torch.optim.Optimizer):
    """Shampoo on tensors of any shape; (a, b, c, ...) counts as the matrix (a, b c ...).

    momentum: a running mean of the gradients, with Adam's bias correction, is preconditioned; the
        sums are of the plain ones. Weight decay is decoupled, as in AdamW.
    """

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        momentum: float,
        epsilon: float,
        longest: int,
        every: int,
        weight_decay: float,
        lr: float = 1.0,
    ):
        given = {"momentum": momentum, "epsilon": epsilon, "longest": longest, "every": every}
        super().__init__(weights, given | {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step down the gradients; a weight without one stays."""
        for group in self.param_groups:
            for alike in self._alike(group):
                self._step(alike, group)

    def _alike(self, group: dict) -> Iterator[list[nn.Parameter]]:
        """Weights of one shape and as many steps, whose matrices are worked on as one batch."""
        buckets: Buckets = {}
        for weight in group["params"]:
            if weight.grad is not None:
                state = self.state[weight]
                state.setdefault("step", 0)
                state.setdefault("mean", torch.zeros_like(weight))
                key = (weight.shape, weight.device, weight.dtype, state["step"])
                buckets.setdefault(key, []).append(weight)
        yield from buckets.values()

    def _step(self, weights: list[nn.Parameter], group: dict) -> None:
        states = [self.state[weight] for weight in weights]
        step, momentum = states[0]["step"] + 1, group["momentum"]
        gradient = torch.stack([weight.grad for weight in weights])  # (N, *shape)
        mean = torch.stack([state["mean"] for state in states]).lerp_(gradient, 1 - momentum)
        update = _matrices(mean / (1 - momentum**step))  # (N, m, n)
        gradient = _matrices(gradient)
        short = [side for side in (1, 2) if 1 < update.shape[side] <= group["longest"]]
        kept = {"mean": mean}
        if not short:
            kept["sum"] = self._sum(states, "sum", gradient.square(), group["epsilon"])
            update = update / kept["sum"].sqrt()
        for side in short:
            rows = gradient if side == 1 else gradient.mT
            name, root = f"side{side}", f"root{side}"
            start = group["epsilon"] * torch.eye(rows.shape[1]).to(rows)
            kept[name] = self._sum(states, name, rows @ rows.mT, start)  # (N, side, side)
            if (step - 1) % group["every"] == 0:
                kept[root] = _inverse_root(kept[name], 2 * len(short))
            else:
                kept[root] = torch.stack([state[root] for state in states])
            update = kept[root] @ update if side == 1 else update @ kept[root]
        for i, (weight, state) in enumerate(zip(weights, states, strict=True)):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.sub_(update[i].view_as(weight), alpha=group["lr"])
            state.update({name: value[i] for name, value in kept.items()}, step=step)

    def _sum(self, states: list[dict], name: str, new: torch.Tensor, start) -> torch.Tensor:
        """The sum of all `new` so far, on top of `start`."""
        if name not in states[0]:
            return new + start
        return new + torch.stack([state[name] for state in states])


def _matrices(tensors: torch.Tensor) -> torch.Tensor:
    """(N, a, b, ...) as (N, a, b ...); vectors as matrices of one column."""
    count, rows = len(tensors), tensors.shape[1] if tensors.ndim > 1 else 1
    return tensors.reshape(count, rows, -1)


def _inverse_root(matrices: torch.Tensor, root: int) -> torch.Tensor:
    """M^(-1 / root) of symmetric matrices (N, d, d) with eigenvalues above 0."""
    values, vectors = torch.linalg.eigh(matrices)
    # Rounding can push the smallest below 0; what is that small beside the largest is noise.
    noise = values[:, -1:] * torch.finfo(values.dtype).eps
    scaled = vectors * torch.maximum(values, noise)[:, None] ** (-1 / root)
    return scaled @ vectors.mT
