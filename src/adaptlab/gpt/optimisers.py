"""Gradient descent and Adam, from their equations.

SGD   theta <- theta - rate g
Adam  m <- beta1 m + (1 - beta1) g          a running mean of the gradient
      v <- beta2 v + (1 - beta2) g^2        and of its square
      theta <- theta - rate m^ / (sqrt(v^) + epsilon)

m and v start at 0, so after t steps they hold only a share 1 - beta^t of the mean they stand for.
The bias correction divides by that share: m^ = m / (1 - beta1^t), v^ = v / (1 - beta2^t).
One lecture prints 1 - beta, without the power. At t = 1 the two agree. With the usual betas, 0.9
and 0.999, the lecture's step is then longer, twice as long at t = 12; from t = 106 on it is
shorter, and in the end it is sqrt(1 - beta2) / (1 - beta1) = 0.32 of the right one for good.

The steps change the parameters in place, and take the gradients as an argument, so that they work
with gradients found by hand and, as `[p.grad for p in parameters]`, with autograd's.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from adaptlab.errors import AdaptlabError


def bias_correction(beta: float, step: int) -> float:
    """1 - beta^t: the share of a running mean that has been filled after t steps, t from 1."""
    return 1 - beta**step


@torch.no_grad()
def sgd_step(parameters: Sequence[Tensor], gradients: Sequence[Tensor], rate: float) -> None:
    """theta <- theta - rate g (Robbins and Monro, 1951), in place.

    Raises AdaptlabError if the gradients do not match the parameters.
    """
    check(parameters, gradients)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter -= rate * gradient


class Adam:
    """Kingma and Ba (2015), algorithm 1.

    It keeps two numbers a parameter, m and v, in the parameter's own type.
    correction: what m and v are divided by, a function of beta and of the step.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        correction: Callable[[float, int], float] = bias_correction,
    ):
        self.parameters = list(parameters)
        self.rate, self.betas, self.epsilon, self.correction = rate, betas, epsilon, correction
        self.means = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.squares = [torch.zeros_like(p, requires_grad=False) for p in self.parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step down the gradients, one of the parameter's shape for each parameter.

        Raises AdaptlabError if they do not match the parameters.
        """
        check(self.parameters, gradients)
        self.steps += 1
        beta1, beta2 = self.betas
        share1 = self.correction(beta1, self.steps)
        share2 = self.correction(beta2, self.steps)
        for p, g, m, v in zip(self.parameters, gradients, self.means, self.squares, strict=True):
            m += (1 - beta1) * (g - m)  # the same as beta1 m + (1 - beta1) g
            v += (1 - beta2) * (g * g - v)
            p -= self.rate * (m / share1) / ((v / share2).sqrt() + self.epsilon)


class AdamW:
    """Loshchilov and Hutter (2019), algorithm 2: Adam, and every step shrinks the weights.

    theta <- theta - rate decay theta, before the step of Adam (as in torch; the paper multiplies
    the decay by the schedule alone, not by the rate). Decay that is added to the
    gradient instead, as L2 regularisation, would be divided by sqrt(v^) like all of it: weights
    with large gradients would decay less.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rate: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        decay: float = 0.01,
    ):
        self.adam = Adam(parameters, rate, betas, epsilon)
        self.decay = decay

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step. Raises AdaptlabError if the gradients do not match the parameters."""
        check(self.adam.parameters, gradients)  # before anything is changed
        for parameter in self.adam.parameters:
            parameter -= self.adam.rate * self.decay * parameter
        self.adam.step(gradients)


def check(parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Raises AdaptlabError unless there is one gradient of the right shape for each parameter."""
    if [p.shape for p in parameters] != [getattr(g, "shape", None) for g in gradients]:
        raise AdaptlabError("each parameter needs one gradient of its own shape")
