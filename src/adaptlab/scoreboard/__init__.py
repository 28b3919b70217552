"""Write a record for each run of an experiment, and sum up over seeds."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from datasets import Dataset

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import accuracy_score
from adaptlab.records import Book, Record, Score
from adaptlab.runtime import Measurement

T = TypeVar("T")


def over_seeds(
    book: Book, runs: Sequence[Record], score: Score, items: Sequence[str], **config: Any
) -> Record:
    """A method's only run; or a new record of several, which differ in their seeds.

    score: of them together. The new record has the median time and the highest peak, and what the
    configurations of all runs have in common.
    """
    if len(runs) == 1:
        return runs[0]
    first = runs[0]
    seconds = float(np.median([run.seconds for run in runs]))
    return book.add(
        experiment=first.experiment,
        method=first.method,
        task=first.task,
        split=first.split,
        model=first.model,
        seed=None,
        score=score,
        took=Measurement(seconds, max(run.peak_bytes for run in runs)),
        trained_parameters=first.trained_parameters,
        config=_shared(runs)
        | {"seeds": [r.seed for r in runs], "scores": [r.score for r in runs]}
        | config,
        items=items,
    )


def _shared(runs: Sequence[Record]) -> dict[str, Any]:
    settings = [run.config for run in runs]
    return {k: v for k, v in settings[0].items() if all(each.get(k) == v for each in settings)}


class Means:
    """The runs of one experiment, each a mean over the same units: items, or windows of a text."""

    def __init__(
        self,
        book: Book,
        experiment: str,
        task: str,
        split: str,
        model: str,
        score: Callable[[np.ndarray], Score],
        items: Sequence[str] = (),
    ):
        """score: from the values of one run (units,), or of several (seeds, units), the mean and
        its interval, such as `evaluation.mean_score`."""
        self._book, self._score, self._items = book, score, items
        self._common = {"experiment": experiment, "task": task, "split": split, "model": model}
        self._runs: dict[str, dict[int, Record]] = {}  # by method, then seed
        self._values: dict[str, dict[int, np.ndarray]] = {}

    def add(
        self,
        method: str,
        values: np.ndarray,
        took: Measurement,
        seed: int,
        trained_parameters: int = 0,
        predictions: Sequence[int | str] = (),
        **config: Any,
    ) -> Record:
        """Record one run: `values` has a number for each unit, in order."""
        record = self._book.add(
            method=method,
            seed=seed,
            score=self._score(values),
            took=took,
            trained_parameters=trained_parameters,
            config=config,
            predictions=predictions,
            items=self._items,
            **self._common,
        )
        self._runs.setdefault(method, {})[seed] = record
        self._values.setdefault(method, {})[seed] = np.asarray(values)
        return record

    def values(self, method: str) -> np.ndarray:
        """The values of every run of `method`, (seeds, units)."""
        return np.array(list(self._values[method].values()))

    def summary(self) -> list[Record]:
        """One record a method: its run, or over several seeds the mean, its interval, the median
        time and the highest peak. Those over seeds are recorded as well."""
        return [
            over_seeds(self._book, [*runs.values()], self._score(self.values(method)), self._items)
            for method, runs in self._runs.items()
        ]


class Scoreboard:
    """The runs of one experiment that predict labels of the same items."""

    def __init__(
        self, book: Book, experiment: str, task: str, split: str, rows: Dataset, model: str
    ):
        self._labels = np.asarray(rows["label"])
        self._means = Means(book, experiment, task, split, model, accuracy_score, rows["id"])

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
        right = predictions == self._labels
        said = predictions.tolist()
        return self._means.add(method, right, took, seed, trained_parameters, said, **config)

    def correct(self, method: str) -> np.ndarray:
        """Which items each run of `method` got right, (seeds, items) booleans."""
        return self._means.values(method)

    def summary(self) -> list[Record]:
        """One record a method, over all its seeds; see `Means`."""
        return self._means.summary()


def choose(candidates: Sequence[T], score: Callable[[T], float]) -> T:
    """The candidate with the highest score, the first of equals. A single one is not scored."""
    return candidates[0] if len(candidates) == 1 else max(candidates, key=score)
