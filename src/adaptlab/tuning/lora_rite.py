"""LoRA-RITE (Yen et al., 2025): Adam for LoRA that does not care how the product is written.

    B A = (s B)(A / s) = (B Q)(Q^-1 A)         many pairs, one product

    B = U R               QR: U (out, r) spans what B spans, R (r, r) is what a pair may choose
    g = R^-T grad A       the unmagnified gradient; it is U^T grad(B A), in which no R is left
    V <- b2' P V P^T + (1 - b2') g g^T / in    its second moment, (r, r)
    M <- b1' P M + (1 - b1') V^(-1/2) g        and what Adam's mean would be; P = U^T U_old turns
    A <- A - rate R^-1 M                       both from the old basis to the new one

The step of B A that A takes is U R (R^-1 M) = U M: without R again. B is moved the same way, with
the QR of A^T, from the same old pair. b' = b (1 - b^(t-1)) / (1 - b^t) is Adam's bias correction.
While B = 0 the pseudo-inverse of R is 0 and A stays, as it does under any gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

SMALL = 1e-6  # added to the roots of the second moment's eigenvalues


class LoraRite(torch.optim.Optimizer):
    """The published algorithm on pairs A (rank, in) and B (out, rank), in the pairs' own format.

    An unmagnified gradient whose root mean square is above 1 counts as 0, and all of them together
    are clipped to length 1. So a loss whose gradients are that large throughout teaches nothing.
    escaped_mass: rho of the paper.
    """

    def __init__(
        self,
        pairs: list[tuple[nn.Parameter, nn.Parameter]],
        betas: tuple[float, float],
        escaped_mass: bool,
        lr: float = 1.0,
    ):
        weights = [weight for pair in pairs for weight in pair]  # A, B, A, B, ...
        super().__init__(weights, {"lr": lr, "betas": betas, "escaped_mass": escaped_mass})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step down the gradients; a pair without both stays."""
        for group in self.param_groups:
            halves = [half for pairs in self._alike(group) for half in self._halves(pairs)]
            if not halves:
                continue
            total = sum(half.gradient.square().sum() for half in halves).sqrt()
            for half in halves:  # all moves are known before the first weight is changed
                self._turn(half, group["betas"], group["escaped_mass"], (1 / total).clamp(max=1))
            for half in halves:
                self._move(half, group["lr"])

    def _alike(self, group: dict) -> list[list[tuple[nn.Parameter, nn.Parameter]]]:
        """Pairs of one shape and as many steps, which are worked on as one batch."""
        buckets, weights = {}, group["params"]
        for a, b in zip(weights[::2], weights[1::2], strict=True):
            if a.grad is not None and b.grad is not None:
                step = self.state[a].get("step", 0)
                buckets.setdefault((a.shape, b.shape, a.device, a.dtype, step), []).append((a, b))
        return list(buckets.values())

    def _halves(self, pairs: list[tuple[nn.Parameter, nn.Parameter]]) -> tuple["_Half", "_Half"]:
        """What is to be done to all A, and to all B."""
        ones, others = (list(weights) for weights in zip(*pairs, strict=True))
        a, grad_a = (torch.stack(each).mT for each in (ones, [w.grad for w in ones]))  # (N, in, r)
        b, grad_b = (torch.stack(each) for each in (others, [w.grad for w in others]))
        return _half(ones, grad_a, b, transposed=True), _half(others, grad_b, a, transposed=False)

    def _turn(
        self, half: "_Half", betas: tuple[float, float], escaped: bool, scale: Tensor
    ) -> None:
        """Bring the moments into the new basis, and the gradient into them."""
        states = [self.state[weight] for weight in half.weights]
        first, gradient, basis = not states[0], half.gradient * scale, half.basis  # (N, n, r)
        step = 1 if first else states[0]["step"] + 1
        beta1, beta2 = (beta * (1 - beta ** (step - 1)) / (1 - beta**step) for beta in betas)
        new = gradient.mT @ gradient / gradient.shape[1]  # (N, r, r)
        if first:  # beta' is 0
            second, mass, mean = new, new.new_zeros(len(new)), 0.0
        else:
            old = {
                name: torch.stack([s[name] for s in states]) for name in states[0] if name != "step"
            }
            turn = basis.mT @ old["basis"]  # P, (N, r, r)
            turned = turn @ old["second"] @ turn.mT
            mass = old["mass"]
            if escaped:
                mass = beta2 * (mass + _lost(old["second"], turned))
            second = beta2 * turned + (1 - beta2) * new
            mean = beta1 * old["mean"] @ turn.mT
        values, vectors = torch.linalg.eigh((second + second.mT) / 2)
        roots = (values.clamp(min=0) + mass[:, None]).sqrt() + SMALL  # (N, r)
        even = (gradient @ vectors / roots[:, None]) @ vectors.mT  # S = g (V + rho I)^(-1/2)
        half.mean = mean + (1 - beta1) * even
        kept = {"basis": basis, "second": second, "mass": mass, "mean": half.mean}
        for i, state in enumerate(states):
            state.update({name: value[i] for name, value in kept.items()}, step=step)

    def _move(self, half: "_Half", rate: float) -> None:
        moves = half.mean @ half.inverse.mT  # (N, n, r)
        for weight, move in zip(half.weights, moves, strict=True):
            weight.sub_(move.T if half.transposed else move, alpha=rate)


@dataclass
class _Half:
    """All A of one shape, or all B, written (n, r), and the bases of the other factors."""

    weights: list[nn.Parameter]
    gradient: Tensor  # (N, n, r), unmagnified
    basis: Tensor  # (N, m, r), U of the other factor
    inverse: Tensor  # (N, r, r), the pseudo-inverse of its R
    transposed: bool  # the weights are (r, n)
    mean: Tensor | None = None


def _half(weights: list[nn.Parameter], gradient: Tensor, other: Tensor, transposed: bool) -> _Half:
    """gradient: (N, n, r). other: the other factors, (N, m, r)."""
    basis, triangle = torch.linalg.qr(other)
    inverse = torch.linalg.pinv(triangle)
    unmagnified = gradient @ inverse
    large = unmagnified.square().mean((1, 2), keepdim=True) > 1
    return _Half(weights, unmagnified.masked_fill(large, 0.0), basis, inverse, transposed)


def _lost(old: Tensor, turned: Tensor) -> Tensor:
    """A bound on what the second moments (N, r, r) lost as they were turned, (N,)."""
    before, after = (torch.linalg.eigvalsh((each + each.mT) / 2) for each in (old, turned))
    lost = (before - after).amax(1).minimum((before - after).sum(1))  # the trace is their sum
    return lost.clamp(min=0)
