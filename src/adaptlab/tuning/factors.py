"""What an optimizer does to the two factors of LoRA: how far A moves, and how far B, step by step.

fit(model, ..., optimizer=Watched(LoraPlus(), log))      log: a row of two numbers a step
"""

from dataclasses import dataclass, field

import torch

from adaptlab.tuning.optimizers import Optimize, Weights, pairs


@dataclass(frozen=True)
class Watched:
    """An optimizer of LoRA pairs that writes down how far it has moved them.

    log: gets (rms of A's change, rms of B's change) after each step, over all pairs together,
    since the optimizer was made. Raises AdaptlabError for weights without a pair.
    """

    optimizer: Optimize
    log: list[tuple[float, float]] = field(default_factory=list, repr=False)

    def __call__(self, weights: Weights, weight_decay: float) -> torch.optim.Optimizer:
        made = self.optimizer(weights, weight_decay)
        factors = list(zip(*pairs(weights), strict=True))  # all A, all B
        starts = [[weight.detach().clone() for weight in each] for each in factors]
        under_way = []  # steps: torch calls the hooks again where one kind of step calls another

        def begin(*_) -> None:
            under_way.append(1)

        def note(*_) -> None:
            under_way.pop()
            if not under_way:
                moved = (_rms(each, start) for each, start in zip(factors, starts, strict=True))
                self.log.append(tuple(moved))

        made.register_step_pre_hook(begin)
        made.register_step_post_hook(note)
        return made


@torch.no_grad()
def _rms(weights: tuple[torch.Tensor, ...], starts: list[torch.Tensor]) -> float:
    squares = sum(float((w - s).square().sum()) for w, s in zip(weights, starts, strict=True))
    return (squares / sum(weight.numel() for weight in weights)) ** 0.5
