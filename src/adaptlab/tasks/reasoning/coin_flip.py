"""A coin that some flip and some do not: keeping track of a state (Wei et al., 2022)."""

import random
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_word
from adaptlab.tasks.reasoning.names import NAMES
from adaptlab.tasks.reasoning.settings import within

OTHER = {"heads": "tails", "tails": "heads"}


def load(people: int = 2) -> ProblemTask:
    """1 to 12 people. To flip is to turn over, not to toss: so the state is always known."""
    within("people", people, 1, 12)
    return ProblemTask(
        "coin flip", "boolean", ("yes", "no"), partial(draw, people=people), same_word, True
    )


def draw(generator: random.Random, people: int) -> Problem:
    """Everyone flips the coin or does not, as a fair coin would have it."""
    question, steps, up = ["A coin is heads up."], [], "heads"
    for name in generator.sample(NAMES, people):
        if generator.random() < 0.5:
            up = OTHER[up]
            question.append(f"{name} flips it over.")
            steps.append(f"{name} flips it over, so it is {up} up.")
        else:
            question.append(f"{name} does not flip it.")
            steps.append(f"{name} does not flip it, so it stays {up} up.")
    question.append("Is the coin still heads up?")
    end = "So it is still heads up." if up == "heads" else "So it is no longer heads up."
    return Problem(" ".join(question), "yes" if up == "heads" else "no", (*steps, end))
