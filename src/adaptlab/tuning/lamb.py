"""LAMB (You et al., 2020, algorithm 2): how far a tensor moves depends on how large it is.

    u = m^ / (sqrt(v^) + eps) + decay w       Adam's step, and the decay
    w <- w - rate (|w| / |u|) u               a tensor of length |w| moves by rate |w|

The quotient is the trust ratio. It is 1 for a tensor that is 0: B of LoRA takes one step of Adam,
and from then on grows by at most a share `rate` of its length, so LoRA needs a much higher rate
with it than with Adam.
"""

from collections.abc import Iterable

import torch
from torch import nn


class Lamb(torch.optim.Optimizer):
    """LAMB with Adam's bias correction, phi(z) = z, and one trust ratio a tensor."""

    def __init__(
        self,
        weights: Iterable[nn.Parameter],
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        lr: float = 1.0,
    ):
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(weights, given)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step down the gradients; a weight without one stays."""
        for group in self.param_groups:
            (beta1, beta2), eps = group["betas"], group["eps"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["step"] = 0
                    state["mean"], state["square"] = (torch.zeros_like(weight) for _ in range(2))
                state["step"] += 1
                mean = state["mean"].lerp_(weight.grad, 1 - beta1)
                square = state["square"].mul_(beta2)
                square.addcmul_(weight.grad, weight.grad, value=1 - beta2)
                share1, share2 = (1 - beta ** state["step"] for beta in (beta1, beta2))
                update = mean / share1 / ((square / share2).sqrt_() + eps)
                update.add_(weight, alpha=group["weight_decay"])
                weight.sub_(update.mul_(group["lr"] * _trust(weight, update)))


def _trust(weight: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
    """|w| / |u|, or 1 where either is 0."""
    own, step = weight.norm(), update.norm()
    return torch.where((own > 0) & (step > 0), own / step, 1.0)
