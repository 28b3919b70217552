"""Prompting as optimisation: find the prompt W that maximises E[ g( f([W, Q]), S ) ].

    W   the prompt: the text put before a question
    Q   the question, with its solution S
    f   the model: from the text [W, Q] to an answer
    g   the grade of an answer, given the solution

The gain of W is how much it adds to the same questions without it: E[g(f([W,Q]),S) - g(f(Q),S)].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PromptObjective:
    """f and g, with the questions and solutions that the expectation is taken over.

    f: texts -> answers, one each.
    g: (answers, solutions) -> grades, one each.
    """

    f: Callable[[Sequence[str]], np.ndarray]
    g: Callable[[np.ndarray, np.ndarray], np.ndarray]
    questions: Sequence[str]
    solutions: np.ndarray

    def answers(self, W: str = "") -> np.ndarray:
        """f([W, Q]) for every question, (items,)."""
        return self.f([W + Q for Q in self.questions])

    def grades(self, W: str = "") -> np.ndarray:
        """g(f([W, Q]), S) for every question, (items,)."""
        return self.g(self.answers(W), self.solutions)

    def value(self, W: str) -> float:
        """The objective: the mean grade under W."""
        return float(np.mean(self.grades(W)))

    def gain(self, W: str) -> float:
        """The mean grade under W minus that without a prompt."""
        return float(np.mean(self.grades(W) - self.grades()))

    def best(self, candidates: Sequence[str]) -> str:
        """The candidate with the highest value: max over W, by trying each."""
        return max(candidates, key=self.value)


def exact_match(answers: np.ndarray, solutions: np.ndarray) -> np.ndarray:
    """The simplest g: 1 for the right answer, 0 for any other."""
    return (np.asarray(answers) == np.asarray(solutions)).astype(float)
