"""Which optimizer makes a step out of a gradient: what `fit(..., optimizer=...)` takes.

    spec, as AdamW() or LoraRite()    frozen, printed in a checkpoint's identity
      |  spec(weights by name, weight decay)
      v
    torch.optim.Optimizer             its groups hold lr as a multiple of the recipe's rate

Some know what a weight is for. LoRA writes a layer's change as a product B A of two low-rank
factors, and many pairs have the same product: s B and A / s, for one. LoRA+, scaled gradient
descent and LoRA-RITE work on pairs; AdamW, Lamb and Shampoo on any weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Protocol

import torch
from peft.optimizers import create_riemannian_optimizer
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import lamb, lora_rite, shampoo

Weights = Mapping[str, nn.Parameter]
Pair = tuple[nn.Parameter, nn.Parameter]


class Optimize(Protocol):
    """A frozen dataclass that builds a torch optimizer of the fp32 weights to be changed.

    weights: by their names in the model, in the model's order. Each group's lr is a multiple of
    the rate (1.0: the rate itself); `fit` multiplies it by the recipe's rate at each step. All
    that the optimizer keeps is in its state_dict.
    Raises AdaptlabError where it cannot work on these weights.
    """

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer: ...


def pairs(weights: Weights) -> list[Pair]:
    """The (A, B) of each LoRA pair: A (rank, in), named `...lora_A...`, and B (out, rank).

    Raises AdaptlabError if there is none, a factor lacks the other one, or the two do not multiply.
    """
    found = []
    for name in weights:
        if "lora_A" not in name and "lora_B" not in name:
            continue
        a, b = (weights.get(_factor(name, letter)) for letter in "AB")
        if a is None or b is None:
            raise AdaptlabError(f"{name} is no LoRA pair: its other factor is not trained")
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
            raise AdaptlabError(f"{name} is no LoRA pair: B {(*b.shape,)} times A {(*a.shape,)}")
        if weights[name] is a:
            found.append((a, b))
    if not found:
        raise AdaptlabError("this optimizer works on LoRA pairs, and no weight is named lora_A")
    return found


def only_pairs(weights: Weights) -> list[Pair]:
    """`pairs`, where there is nothing else. Raises AdaptlabError for a weight in no pair."""
    found = pairs(weights)
    for name in weights:
        if "lora_A" not in name and "lora_B" not in name:
            raise AdaptlabError(
                f"{name} is in no LoRA pair, and this optimizer works on nothing else"
            )
    return found


def _factor(name: str, letter: str) -> str:
    return name.replace("lora_A", f"lora_{letter}").replace("lora_B", f"lora_{letter}")


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), torch's fused one."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check_betas(self.betas)
        _check_positive("eps", self.eps)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(weights.values(), **_adamw(self, weight_decay))


@dataclass(frozen=True)
class LoraPlus:
    """LoRA+ (Hayou et al., 2024): AdamW, where B learns `ratio` times as fast as A.

    B starts at 0 and A does not: at one rate for both, the wider the model, the less A's steps do.
    Other weights learn at the rate of A. Raises AdaptlabError for weights without a pair.
    """

    ratio: float = 16.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check_betas(self.betas)
        _check_positive("ratio", self.ratio)
        _check_positive("eps", self.eps)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        fast = {id(b) for _, b in pairs(weights)}
        groups = [
            {"params": [w for w in weights.values() if id(w) not in fast]},
            {"params": [w for w in weights.values() if id(w) in fast], "lr": self.ratio},
        ]
        return torch.optim.AdamW(groups, **_adamw(self, weight_decay))


@dataclass(frozen=True)
class ScaledAdam:
    """AdamW on preconditioned gradients (Zhang and Pilanci, 2024), peft's.

    g_A <- (B^T B + damping I)^-1 g_A, and g_B <- g_B (A A^T + damping I)^-1.
    Raises AdaptlabError for a weight that is in no LoRA pair.
    """

    damping: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _check_betas(self.betas)
        _check_positive("damping", self.damping)
        _check_positive("eps", self.eps)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        given = _adamw(self, weight_decay)
        return _riemannian(weights, torch.optim.AdamW, self.damping, **given)


@dataclass(frozen=True)
class ScaledGradientDescent:
    """Gradient descent on preconditioned gradients, those of `ScaledAdam`, peft's.

    With no damping the product B A moves the same way whichever pair it is written as, to first
    order in the rate. `damping` keeps the inverse finite while B = 0, and spoils this.
    Raises AdaptlabError for a weight that is in no LoRA pair.
    """

    damping: float = 1e-2

    def __post_init__(self) -> None:
        _check_positive("damping", self.damping)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        given = {"lr": 1.0, "weight_decay": weight_decay}
        return _riemannian(weights, torch.optim.SGD, self.damping, **given)


@dataclass(frozen=True)
class Lamb:
    """Adam whose step in a tensor is as long as the tensor itself times the rate; `lamb` has it."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6

    def __post_init__(self) -> None:
        _check_betas(self.betas)
        _check_positive("eps", self.eps)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        return lamb.Lamb(weights.values(), self.betas, self.eps, weight_decay)


@dataclass(frozen=True)
class Shampoo:
    """A matrix for each side of a weight that makes its gradients even; `shampoo` has it.

    momentum: of the gradient that is preconditioned. epsilon: what the matrices start from.
    longest: a longer side is left alone. every: steps between two looks at the roots.
    """

    momentum: float = 0.9
    epsilon: float = 1e-6
    longest: int = 256
    every: int = 1

    def __post_init__(self) -> None:
        _check_betas((self.momentum,))
        _check_positive("epsilon", self.epsilon)
        if min(self.longest, self.every) < 1:
            raise AdaptlabError("longest and every of Shampoo must be at least 1")

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        given = (self.momentum, self.epsilon, self.longest, self.every)
        return shampoo.Shampoo(weights.values(), *given, weight_decay)


@dataclass(frozen=True)
class LoraRite:
    """Adam in coordinates in which all pairs of a product are the same; `lora_rite` has it.

    It clips on its own: train with `Recipe(clip=math.inf)`.
    escaped_mass: add to the second moment what was lost as the basis turned. The paper's algorithm
        does; its authors' code does not unless told to.
    Raises AdaptlabError for a weight that is in no LoRA pair, or for weight decay.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    escaped_mass: bool = False

    def __post_init__(self) -> None:
        _check_betas(self.betas)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        if weight_decay:
            raise AdaptlabError(f"LoRA-RITE knows no weight decay: take 0, not {weight_decay}")
        return lora_rite.LoraRite(only_pairs(weights), self.betas, self.escaped_mass)


def _adamw(spec: AdamW | LoraPlus | ScaledAdam, weight_decay: float) -> dict:
    settings = {"betas": spec.betas, "eps": spec.eps, "weight_decay": weight_decay}
    return {"lr": 1.0, "fused": True, **settings}


def _riemannian(
    weights: Weights, kind: type[torch.optim.Optimizer], damping: float, **settings
) -> torch.optim.Optimizer:
    only_pairs(weights)
    # peft asks a model for its parameters, and finds pairs by ".lora_A." in the names.
    stand_in = SimpleNamespace(
        named_parameters=lambda: [(f".{name}.", weight) for name, weight in weights.items()],
        parameters=weights.values,
    )
    return create_riemannian_optimizer(stand_in, kind, reg=damping, **settings)


def _check_betas(betas: tuple[float, ...]) -> None:
    if not all(0 <= beta < 1 for beta in betas):
        raise AdaptlabError(f"a running mean forgets by a factor from 0 to below 1, not {betas}")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise AdaptlabError(f"{name} must be above 0 and finite, not {value}")
