"""Timing two ways of one job in turns, so that a machine that slows down slows both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One row of build/bench.json."""

    name: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    target: float

    def __str__(self) -> str:
        verdict = "reached" if self.ratio >= self.target else "MISSED"
        return (
            f"{self.name}: ours {self.ours:.4g}, theirs {self.theirs:.4g} {self.unit}; "
            f"ratio {self.ratio:.3g}, target {self.target:g} {verdict}"
        )


def seconds(job: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def faster(
    name: str,
    ours: Callable[[int], float],
    theirs: Callable[[int], float],
    unit: str,
    target: float,
    rounds: int,
) -> Result:
    """Both jobs once a round, taking turns; each returns its speed in `unit`, higher is better.

    The ratio is the median of the rounds' ratios.
    """
    pairs = []
    for turn in range(rounds):  # the first of a round in turns, too
        if turn % 2:
            second, first = theirs(turn), ours(turn)
        else:
            first, second = ours(turn), theirs(turn)
        pairs.append((first, second))
    mine, other = zip(*pairs, strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    return Result(name, statistics.median(mine), statistics.median(other), unit, ratio, target)
