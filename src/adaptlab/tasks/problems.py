"""Problems with one right answer, worked steps, and a checker: what reasoning is measured on.

question   "Take the last letters of the words in "Ada Byron" and concatenate them."
steps      ("The last letter of "Ada" is "a".", "The last letter of "Byron" is "n".")
answer     "an"
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks import SPLITS, split_of

Kind = Literal["number", "boolean", "option", "word"]
TRIES = 2000  # draws for one new problem before a task is said to have no more


@dataclass(frozen=True)
class Problem:
    """One question.

    answer: in the form that `ProblemTask.check` and a parser of its kind give: "12", "yes",
        "(A)", "an".
    steps: how to get there, a sentence each; they do not say "The answer is".
    group: problems of one group are all in one split, since who knows one knows the others; by
        default a problem is a group of its own.
    data: what a checker needs beside the answer, if anything.
    """

    question: str
    answer: str
    steps: tuple[str, ...] = ()
    group: str = ""
    data: Any = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the question; its signs count, since 3 - 2 is not 3 + 2."""
        return _digest(self.question)

    @property
    def split(self) -> str:
        """The split that it belongs to, whatever the seed."""
        return split_of(_digest(self.group or self.question))


@dataclass(frozen=True)
class ProblemTask:
    """A family of problems.

    kind: what an answer is. options: all answers that a "boolean" or "option" can have, in the
        form of `Problem.answer`; empty for the other kinds.
    draw: a new problem from a random generator.
    check: whether an answer, as a parser found it, is right for a problem.
    balanced: whether `problems` has every option equally often, up to one.
    pool: all problems there are, where they can be listed; empty where they are drawn.
    sources: names of the sources (sources.toml) that the problems come from.
    """

    name: str
    kind: Kind
    options: tuple[str, ...]
    draw: Callable[[random.Random], Problem]
    check: Callable[[str, Problem], bool]
    balanced: bool = False
    pool: tuple[Problem, ...] = ()
    sources: tuple[str, ...] = ()

    def problems(self, split: str, n: int, seed: int = 0) -> list[Problem]:
        """n different problems of a split; a question belongs to one split, whatever the seed.

        Without `balanced`, the first problems of a longer list are those of a shorter one.
        Raises AdaptlabError for an unknown split, n below 1, or more than the task has.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if n < 1:
            raise AdaptlabError(f"{n} problems were asked for")
        generator = random.Random(f"{self.name} {split} {seed}")
        found: dict[str, Problem] = {}
        room = self._room(n, generator)
        for problem in self._candidates(split, generator, found):
            if problem.id in found or (self.balanced and not room[problem.answer]):
                continue
            found[problem.id] = problem
            room[problem.answer] -= 1
            if len(found) == n:
                break
        else:
            balance = " with every answer equally often" if self.balanced else ""
            raise AdaptlabError(
                f"{self.name}/{split} has fewer problems{balance} than the {n} that were asked for"
            )
        problems = list(found.values())
        if self.balanced:  # or the answer that is drawn more often would come early
            generator.shuffle(problems)
        return problems

    def _room(self, n: int, generator: random.Random) -> Counter[str]:
        """How many problems may have each answer; it binds balanced tasks alone."""
        if not self.balanced:
            return Counter()
        share, rest = divmod(n, len(self.options))
        return Counter(self.options * share + tuple(generator.sample(self.options, rest)))

    def _candidates(
        self, split: str, generator: random.Random, found: dict[str, Problem]
    ) -> Iterator[Problem]:
        """Problems of a split in random order: the pool's once, or new ones while some are new."""
        if self.pool:
            pool = [problem for problem in self.pool if problem.split == split]
            generator.shuffle(pool)
            yield from pool
            return
        misses, known = 0, len(found)
        while misses < TRIES:
            problem = self.draw(generator)
            if problem.split == split:
                yield problem
            misses = misses + 1 if len(found) == known else 0
            known = len(found)


def from_pool(
    name: str,
    kind: Kind,
    options: tuple[str, ...],
    pool: Sequence[Problem],
    check: Callable[[str, Problem], bool],
    balanced: bool = False,
    sources: tuple[str, ...] = (),
) -> ProblemTask:
    """A task of problems that can be listed: any number of them can be asked for, up to all."""
    pool = tuple(pool)
    return ProblemTask(
        name,
        kind,
        options,
        lambda generator: generator.choice(pool),
        check,
        balanced,
        pool,
        sources,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
