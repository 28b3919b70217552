"""The last letters of some words, joined (Wei et al., 2022): easy in steps, hard at once."""

import random
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_word
from adaptlab.tasks.reasoning.names import NAMES
from adaptlab.tasks.reasoning.settings import within


def load(words: int = 2) -> ProblemTask:
    """2 to 4 different first names. With two, there are about 500 answers."""
    within("words", words, 2, 4)
    return ProblemTask("last letters", "word", (), partial(draw, words=words), same_word)


def draw(generator: random.Random, words: int) -> Problem:
    """Names in random order."""
    chosen = generator.sample(NAMES, words)
    answer = "".join(name[-1] for name in chosen)
    return Problem(
        f'Take the last letter of each word in "{" ".join(chosen)}" and join them.',
        answer,
        (
            *(f'The last letter of "{name}" is "{name[-1]}".' for name in chosen),
            f'Joined, they are "{answer}".',
        ),
    )
