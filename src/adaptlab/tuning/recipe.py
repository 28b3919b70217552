"""How to train, and what happened: settings and history of a run."""

import math
from dataclasses import dataclass, field

from adaptlab.errors import AdaptlabError


@dataclass(frozen=True)
class Recipe:
    """How to train: a linear warm-up and decay of the rate, gradients clipped to norm `clip`.

    clip: math.inf leaves gradients as they are, for an optimizer that clips them itself.
    accumulation: in how many parts a batch goes through the model, for one that does not fit.
    checkpointing: layers keep only their input for the way back and compute the rest anew.
    evaluate_every: steps between two looks at dev; None: one after each epoch.
    keep_best: end with the weights that had the lowest loss on dev, not with the last ones.
    patience: stop after so many looks at dev without a lower loss; None: never.
    save_every: steps between two checkpoints, where a file for them is given.
    Raises AdaptlabError for a count below 1, a learning rate or seed below 0, a warm-up that is no
    share, or a clip that is not above 0.
    """

    learning_rate: float
    epochs: int = 1
    batch_size: int = 16
    accumulation: int = 1
    checkpointing: bool = False
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.0
    clip: float = 1.0
    evaluate_every: int | None = None
    keep_best: bool = False
    patience: int | None = None
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (
            self.epochs, self.batch_size, self.accumulation, self.save_every, self.evaluate_every,
            self.patience,
        )  # fmt: skip
        if any(count is not None and count < 1 for count in counts):
            raise AdaptlabError("every count of a Recipe must be at least 1")
        if not (0 <= self.learning_rate < math.inf):  # NaN is not either
            raise AdaptlabError(f"the learning rate is {self.learning_rate}; it must be 0 or more")
        if not 0 <= self.warmup <= 1:
            raise AdaptlabError(f"the warm-up is a share of the steps, 0 to 1, not {self.warmup}")
        if not self.clip > 0:
            raise AdaptlabError(f"gradients clipped to {self.clip} teach nothing: more than 0")
        if self.seed < 0:
            raise AdaptlabError(f"the seed is {self.seed}; it must be 0 or more")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0, out of `steps`."""
        rising = max(1, math.ceil(self.warmup * steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * max(0.0, (steps - step) / max(1, steps - rising))


@dataclass(frozen=True)
class Look:
    """What a look at dev found after so many steps: mean loss in nats, share of right answers."""

    step: int
    loss: float
    accuracy: float


@dataclass
class History:
    """The loss of each step in nats, the looks at dev, and the speed."""

    losses: list[float] = field(default_factory=list)
    dev: list[Look] = field(default_factory=list)
    examples_per_second: float = 0.0

    @property
    def best(self) -> Look:
        """The look with the lowest loss, the first of equals.

        Raises AdaptlabError if dev was never looked at.
        """
        if not self.dev:
            raise AdaptlabError("dev was never looked at: no look is the best")
        return min(self.dev, key=lambda look: look.loss)
