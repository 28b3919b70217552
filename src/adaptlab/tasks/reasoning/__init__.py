"""Families of problems to reason about; each is one file, with its checker.

reasoning.load("sums", digits=3).problems("test", 100)   ->   [Problem("What is 402 + 118?", ...
"""

import inspect
from collections.abc import Callable

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks.problems import ProblemTask
from adaptlab.tasks.reasoning import (
    analogies,
    boolean_expressions,
    coin_flip,
    dates,
    disambiguation,
    great_vibes,
    gsm8k,
    juggler,
    last_letters,
    object_counting,
    sports,
    sums,
)
from adaptlab.tasks.reasoning.gym import from_reasoning_gym

GENERATED: dict[str, Callable[..., ProblemTask]] = {
    "analogies": analogies.load,
    "boolean expressions": boolean_expressions.load,
    "coin flip": coin_flip.load,
    "dates": dates.load,
    "great vibes": great_vibes.load,
    "juggler": juggler.load,
    "last letters": last_letters.load,
    "object counting": object_counting.load,
    "sports": sports.load,
    "sums": sums.load,
}
FIXED: dict[str, Callable[..., ProblemTask]] = {
    "disambiguation": disambiguation.load,
    "gsm8k": gsm8k.load,
}
FAMILIES = GENERATED | FIXED

__all__ = ["FAMILIES", "FIXED", "GENERATED", "from_reasoning_gym", "load"]


def load(name: str, **settings: int) -> ProblemTask:
    """The family called `name`; a fixed set is fetched first if it is not there.

    settings: how hard it is, by the names of its module's `load`; easy by default.
    Raises AdaptlabError for an unknown name or setting, and for a setting out of its range.
    """
    if name not in FAMILIES:
        raise unknown("family of problems", name, FAMILIES)
    known = inspect.signature(FAMILIES[name]).parameters
    for setting in settings:
        if setting not in known:
            if not known:
                raise AdaptlabError(f"{name} has no settings, and so no {setting!r}")
            raise unknown(f"setting of {name}", setting, known)
    return FAMILIES[name](**settings)
