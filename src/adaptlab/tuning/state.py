"""What of a run is kept: checkpoints on disk, so that one that was killed goes on, and the best
weights so far."""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import torch
from accelerate import Accelerator

from adaptlab import checkpoint
from adaptlab.errors import AdaptlabError
from adaptlab.runtime import Runtime
from adaptlab.tuning.examples import Example
from adaptlab.tuning.precision import MasterWeights
from adaptlab.tuning.recipe import History, Look, Recipe


class Keeper:
    """Saves and resumes one run, and holds on to its best weights.

    model: the `identity.fingerprint` of the model as the run began.
    """

    def __init__(
        self,
        file: Path | None,
        model: str,
        masters: MasterWeights,
        recipe: Recipe,
        data: Sequence[Sequence[Example]],
        runtime: Runtime,
        adversary: str,
        optimizer: str,
    ):
        self._file, self._masters, self._recipe = file, masters, recipe
        self._best: list[torch.Tensor] = []
        if file is not None:
            self._identity = {
                # Only what decides the numbers: a run may be saved more or less often.
                "recipe": replace(recipe, save_every=1),
                "model": model,
                "examples": _digest(repr([[astuple(each) for each in part] for part in data])),
                "format": str(runtime.dtype),
                "adversary": adversary,
                "optimizer": optimizer,
            }

    def resume(self, optimizer: torch.optim.Optimizer) -> History:
        """The history so far, with weights and optimizer as they were; an empty one at first.

        Raises AdaptlabError if the checkpoint is of something else, or damaged.
        """
        if self._file is None or not self._file.exists():
            return History()
        state = checkpoint.load(self._file, **self._identity)
        self._put(state["weights"])
        optimizer.load_state_dict(state["optimizer"])
        self._best = state["best"]
        return History(state["losses"], [Look(*look) for look in state["dev"]])

    def save(
        self, optimizer: torch.optim.Optimizer, history: History, accelerator: Accelerator
    ) -> None:
        """Write a checkpoint, whole or not at all, where a file was given."""
        if self._file is None or not accelerator.is_main_process:
            return
        state = {
            "weights": list(self._masters.trained),
            "optimizer": optimizer.state_dict(),
            "losses": history.losses,
            "dev": [astuple(look) for look in history.dev],
            "best": self._best,
        }
        checkpoint.save(self._file, state, **self._identity)

    def note(self, history: History) -> None:
        """Keep the weights if the last look at dev is the best so far."""
        if self._recipe.keep_best and history.best is history.dev[-1]:
            self._best = [weight.detach().cpu().clone() for weight in self._masters.trained]

    def restore_best(self) -> None:
        """Go back to the weights with the lowest loss on dev, where these are wanted."""
        if self._best:
            self._put(self._best)
            self._best = []

    def not_a_number(self, step: int) -> AdaptlabError:
        """What to say of a loss or gradient that is none."""
        at = f"the last checkpoint is {self._file}" if self._file else "no checkpoint was asked for"
        return AdaptlabError(
            f"the loss or its gradient is not a number at step {step}; a lower learning rate may "
            f"help ({at})"
        )

    @torch.no_grad()
    def _put(self, weights: Sequence[torch.Tensor]) -> None:
        for weight, value in zip(self._masters.trained, weights, strict=True):
            weight.copy_(value)
        self._masters.give_weights()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
