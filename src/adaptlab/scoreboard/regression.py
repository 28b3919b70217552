"""Two runs of a prompt on the same cases: what the change fixed, what it broke, and how sure.

                     after: right     after: wrong
    before: right    still right      broken
    before: wrong    fixed            still wrong

Only the cases that changed tell which version is better (McNemar, 1947).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import Difference, accuracy_score, paired_difference
from adaptlab.prompting.suite_run import Outcome, SuiteRun
from adaptlab.records import Score

Kind = Literal["broken", "fixed", "still wrong", "still right"]
KINDS: tuple[Kind, ...] = ("broken", "fixed", "still wrong", "still right")  # worst news first
KIND = {
    (True, False): "broken",
    (False, True): "fixed",
    (False, False): "still wrong",
    (True, True): "still right",
}


@dataclass(frozen=True)
class Change:
    """One case in both runs."""

    before: Outcome
    after: Outcome

    @property
    def id(self) -> str:
        """The case's."""
        return self.before.id

    @property
    def kind(self) -> Kind:
        """What became of the case."""
        return KIND[self.before.passed, self.after.passed]


@dataclass(frozen=True)
class Regression:
    """Two runs on the same cases. changes: every case, by KINDS, then as in the later run."""

    before: SuiteRun
    after: SuiteRun
    changes: tuple[Change, ...]

    @property
    def counts(self) -> dict[Kind, int]:
        """How many cases are of each kind."""
        found = [change.kind for change in self.changes]
        return {kind: found.count(kind) for kind in KINDS}

    @property
    def rates(self) -> tuple[Score, Score]:
        """The share of cases that passed, before and after, with Wilson's interval."""
        return accuracy_score(self._passed("before")), accuracy_score(self._passed("after"))

    @cached_property
    def difference(self) -> Difference:
        """The rate after minus the rate before, with interval and McNemar's exact p."""
        return paired_difference(self._passed("after"), self._passed("before"))

    def _passed(self, which: str) -> list[bool]:
        return [getattr(change, which).passed for change in self.changes]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        before, after = self.rates
        return (
            f"{self.after.name} v{self.before.version} to v{self.after.version} on "
            f"{self.after.model}, {len(self.changes)} cases: {before} passed, then {after}; "
            f"{self.difference}; {counts}"
        )


def compare(before: SuiteRun, after: SuiteRun) -> Regression:
    """Pair two runs case by case.

    Raises AdaptlabError if they are of different cases or models: the difference would not be the
    prompt's.
    """
    if before.model != after.model:
        raise AdaptlabError(
            f"the runs are of different models, {before.model!r} and {after.model!r}: "
            "run both versions on one"
        )
    earlier = {outcome.id: outcome for outcome in before.outcomes}
    ids = [outcome.id for outcome in after.outcomes]
    if before.cases_hash != after.cases_hash or sorted(earlier) != sorted(ids):
        raise AdaptlabError(
            f"the runs are of different cases ({before.cases_hash} and {after.cases_hash}): "
            f"run v{before.version} again on the new ones"
        )
    changes = [Change(earlier[outcome.id], outcome) for outcome in after.outcomes]
    return Regression(
        before, after, tuple(sorted(changes, key=lambda change: KINDS.index(change.kind)))
    )
