"""Does an optimizer care how a LoRA product is written? (LoRA-RITE: Yen et al., 2025)

B A  =  (B T)(T^-1 A)      two pairs, one product; T is invertible, (rank, rank)
|          |
30 steps on each of the same loss
|          |
B' A'  vs  B" A"           "transformation invariance": these are equal as well
"""

from typing import Literal

import torch
from torch import Tensor, nn

from adaptlab.errors import unknown
from adaptlab.tuning.optimizers import Optimize

Transform = Literal["scale", "rotation", "any"]
OUT, IN, RANK, TEXTS = 12, 10, 4, 40


def drift(
    optimizer: Optimize, transform: Transform, steps: int = 30, seed: int = 0, rate: float = 1e-2
) -> float:
    """How far apart two trainings of one product end, as a share of how far the first one got.

    A least-squares problem in float64 with an update of rank 4, from B that is not 0. The second
    training starts from (B T, T^-1 A): T is 10 times the identity ("scale"), a random orthogonal
    matrix ("rotation"), or a random matrix with singular values from 1/2 to 2 ("any").
    rate: that of every step, for an optimizer whose groups hold multiples of it.
    0 is invariance. Raises AdaptlabError for another transform.
    """
    draw = torch.Generator().manual_seed(seed)
    target, inputs, b, a = (
        torch.randn(*shape, generator=draw, dtype=torch.float64)
        for shape in ((OUT, IN), (IN, TEXTS), (OUT, RANK), (RANK, IN))
    )
    change = _change(transform, draw)
    start, b = b @ a / 10, b / 10
    ends = [
        _trained(optimizer, *pair, target, inputs, steps, rate)
        for pair in ((a, b), (torch.linalg.solve(change, a), b @ change))
    ]
    return ((ends[0] - ends[1]).norm() / (ends[0] - start).norm()).item()


def _change(transform: str, draw: torch.Generator) -> Tensor:
    """T, (rank, rank)."""
    left, right = (
        torch.linalg.qr(torch.randn(RANK, RANK, generator=draw, dtype=torch.float64))[0]
        for _ in range(2)
    )
    made = {
        "scale": 10 * torch.eye(RANK, dtype=torch.float64),
        "rotation": left,
        "any": left * torch.linspace(0.5, 2, RANK, dtype=torch.float64) @ right,
    }
    if transform not in made:
        raise unknown("transform", transform, made)
    return made[transform]


def _trained(
    optimizer: Optimize,
    a: Tensor,
    b: Tensor,
    target: Tensor,
    inputs: Tensor,
    steps: int,
    rate: float,
) -> Tensor:
    """The product B A (out, in) after so many steps down |(B A - target) inputs|^2 / numbers."""
    a, b = nn.Parameter(a.clone()), nn.Parameter(b.clone())
    update = optimizer({"layer.lora_A.weight": a, "layer.lora_B.weight": b}, 0.0)
    for group in update.param_groups:
        group["lr"] *= rate
    for _ in range(steps):
        update.zero_grad()
        ((b @ a - target) @ inputs).square().mean().backward()
        update.step()
    return (b @ a).detach()
