"""Score predictions on one set of items, write a record for each run, and sum up over seeds."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from datasets import Dataset

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import accuracy_score
from adaptlab.records import Book, Record
from adaptlab.runtime import Measurement

T = TypeVar("T")


class Scoreboard:
    """The runs of one experiment on the same items: methods, each with one or more seeds."""

    def __init__(
        self, book: Book, experiment: str, task: str, split: str, rows: Dataset, model: str
    ):
        self._book = book
        self._rows = rows
        self._labels = np.asarray(rows["label"])
        self._common = {"experiment": experiment, "task": task, "split": split, "model": model}
        self._runs: dict[str, dict[int, Record]] = {}  # by method, then seed

    def add(
        self,
        method: str,
        predictions: Sequence[int],
        took: Measurement,
        seed: int,
        trained_parameters: int = 0,
        **config: Any,
    ) -> Record:
        """Record one run: `predictions` has a label for each item, in order."""
        predictions = np.asarray(predictions)
        if predictions.shape != self._labels.shape:
            raise AdaptlabError(f"{predictions.shape} predictions for {self._labels.shape} items")
        record = self._book.add(
            method=method,
            seed=seed,
            score=accuracy_score(predictions == self._labels),
            took=took,
            trained_parameters=trained_parameters,
            config=config,
            predictions=predictions.tolist(),
            items=self._rows["id"],
            **self._common,
        )
        self._runs.setdefault(method, {})[seed] = record
        return record

    def correct(self, method: str) -> np.ndarray:
        """Which items each run of `method` got right, (seeds, items) booleans."""
        return np.array([r.predictions for r in self._runs[method].values()]) == self._labels

    def summary(self) -> list[Record]:
        """One record a method: its run, or over several seeds the mean, its interval, the median
        time and the highest peak. Those over seeds are recorded as well."""
        return [
            next(iter(runs.values()))
            if len(runs) == 1
            else self._over_seeds(method, [*runs.values()])
            for method, runs in self._runs.items()
        ]

    def _over_seeds(self, method: str, runs: Sequence[Record]) -> Record:
        took = Measurement(
            float(np.median([run.seconds for run in runs])), max(run.peak_bytes for run in runs)
        )
        return self._book.add(
            method=method,
            seed=None,
            score=accuracy_score(self.correct(method)),
            took=took,
            trained_parameters=runs[0].trained_parameters,
            config={"seeds": [run.seed for run in runs], "scores": [run.score for run in runs]},
            items=self._rows["id"],
            **self._common,
        )


def choose(candidates: Sequence[T], score: Callable[[T], float]) -> T:
    """The candidate with the highest score, the first of equals. A single one is not scored."""
    return candidates[0] if len(candidates) == 1 else max(candidates, key=score)
