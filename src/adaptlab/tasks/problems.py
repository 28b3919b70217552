"""Problems with one right answer, worked steps, and a checker: what reasoning is measured on.

question   "Take the last letters of the words in "Ada Byron" and concatenate them."
steps      ("The last letter of "Ada" is "a".", "The last letter of "Byron" is "n".")
answer     "an"
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks import SPLITS, key_of, split_of

Kind = Literal["number", "boolean", "option", "word"]
TRIES = 1000  # draws for one new problem before a task is said to have no more


@dataclass(frozen=True)
class Problem:
    """One question.

    answer: in the form that `ProblemTask.check` and a parser of its kind give: "12", "yes",
        "(A)", "an".
    steps: how to get there, a sentence each; they do not say "The answer is".
    """

    question: str
    answer: str
    steps: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the question."""
        return key_of(self.question)


@dataclass(frozen=True)
class ProblemTask:
    """A family of problems.

    kind: what an answer is. options: all answers that a "boolean" or "option" can have, in the
        form of `Problem.answer`; empty for the other kinds.
    draw: a new problem from a random generator.
    check: whether an answer, as a parser found it, is right for a problem.
    """

    name: str
    kind: Kind
    options: tuple[str, ...]
    draw: Callable[[random.Random], Problem]
    check: Callable[[str, Problem], bool]

    def problems(self, split: str, n: int, seed: int = 0) -> list[Problem]:
        """n different problems of a split; a question belongs to one split, whatever the seed.

        Raises AdaptlabError for an unknown split, n below 1, or more than the task has.
        """
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if n < 1:
            raise AdaptlabError(f"{n} problems were asked for")
        generator = random.Random(f"{self.name} {split} {seed}")
        found: dict[str, Problem] = {}
        while len(found) < n:
            problem = self._new(generator, split, found)
            found[problem.id] = problem
        return list(found.values())

    def _new(self, generator: random.Random, split: str, known: dict[str, Problem]) -> Problem:
        for _ in range(TRIES):
            problem = self.draw(generator)
            if problem.id not in known and split_of(problem.id) == split:
                return problem
        raise AdaptlabError(f"{self.name}/{split} has no more than {len(known)} problems")
