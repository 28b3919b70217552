"""Score written texts on one set of items, write a record for each metric, sum up over seeds."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation.text import mean_over_runs, signature
from adaptlab.records import Book, Record, Score
from adaptlab.runtime import Measurement
from adaptlab.scoreboard import over_seeds


class TextScoreboard:
    """The runs of one experiment on the same items: methods, each with one or more seeds.

    metrics: names that evaluation.text knows. A run's texts are kept in the record of the first.
    """

    def __init__(
        self,
        book: Book,
        experiment: str,
        task: str,
        split: str,
        rows: Dataset,
        model: str,
        metrics: Sequence[str],
    ):
        self._book, self._rows, self.metrics = book, rows, tuple(metrics)
        self._common = {"experiment": experiment, "task": task, "split": split, "model": model}
        self._runs: dict[tuple[str, str], dict[int, Record]] = {}  # by method and metric, then seed

    def add(
        self,
        method: str,
        texts: Sequence[str],
        took: Measurement,
        seed: int,
        trained_parameters: int = 0,
        **config: Any,
    ) -> list[Record]:
        """Record one run, a record for each metric: `texts` has one for each item, in order."""
        found = []
        for metric in self.metrics:
            first = metric == self.metrics[0]
            record = self._book.add(
                method=method,
                seed=seed,
                score=self._score(metric, [texts]),
                took=took,
                trained_parameters=trained_parameters,
                config=config | {"signature": signature(metric, self._rows["references"])},
                predictions=texts if first else (),
                items=self._rows["id"],
                **self._common,
            )
            found.append(record)
            self._runs.setdefault((method, metric), {})[seed] = record
        return found

    def texts(self, method: str) -> list[list[str]]:
        """What each run of `method` wrote, in the order of the items."""
        return [run.predictions for run in self._runs[method, self.metrics[0]].values()]

    def difference(self, metric: str, method: str, baseline: str) -> Score:
        """How many points of `metric` the runs of `method` are better than those of `baseline`, the
        mean over seeds; a baseline with one run is compared with each."""
        seeds, others = (self._runs[each, self.metrics[0]] for each in (method, baseline))
        if len(others) > 1 and seeds.keys() != others.keys():
            raise AdaptlabError(f"{method} and {baseline} were run with different seeds")
        paired = list(seeds) if len(others) > 1 else list(others)
        against = [others[seed].predictions for seed in paired]
        return mean_over_runs(metric, self.texts(method), self._rows["references"], against)

    def summary(self, metric: str) -> list[Record]:
        """One record a method: its run, or over several seeds the mean, its interval, the median
        time and the highest peak. Those over seeds are recorded as well."""
        return [
            over_seeds(
                self._book,
                [*runs.values()],
                self._score(metric, self.texts(method)),
                self._rows["id"],
                signature=signature(metric, self._rows["references"]),
            )
            for (method, of), runs in self._runs.items()
            if of == metric
        ]

    def _score(self, metric: str, runs: Sequence[Sequence[str]]) -> Score:
        return mean_over_runs(metric, runs, self._rows["references"])
