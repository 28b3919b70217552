"""Timing two ways of one job in turns, so that a machine that slows down slows both."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from adaptlab import runtime


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


def peak_elsewhere(module: str, *arguments: object) -> float:
    """The peak memory, in GB, of a job that a module runs as a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) / 1e9


def print_peak(job: Callable[[], object]) -> None:
    """In that process: run the job and print its peak memory, in bytes, as the last line."""
    with runtime.measure() as found:
        job()
    print(json.dumps(found.peak_bytes))


def try_out(results: Iterator[Result]) -> None:
    """Print what comes out of a benchmark that is to be tried, outside of `make bench`."""
    runtime.quiet()
    runtime.seed_everything(0)
    for result in results:
        print(result, flush=True)
