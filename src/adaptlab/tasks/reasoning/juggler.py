"""A part of a part of some things, after the juggler of Metzler's lecture.

The lecture asks: 16 balls, half of which are golf balls, half of "them" green: how many green
balls? "Them" may be the 8 golf balls or all 16, and other balls may be green too. Here each part
says of which things it is a part, and the question asks for the last part by its whole name.
"""

import math
import random
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_number
from adaptlab.tasks.reasoning.names import NAMES
from adaptlab.tasks.reasoning.settings import within

# What is done with the things; the things; parts of them, each a part of the one before.
SCENES = (
    ("juggles {}", "balls", "golf balls", "green golf balls", "striped green golf balls"),
    ("buys {}", "drinks", "cans", "cans of lemonade", "cold cans of lemonade"),
    ("owns {}", "books", "novels", "French novels", "signed French novels"),
    ("bakes {}", "cakes", "lemon cakes", "round lemon cakes", "large round lemon cakes"),
    ("keeps {}", "animals", "birds", "white birds", "young white birds"),
    ("takes {}", "photos", "portraits", "framed portraits", "large framed portraits"),
    ("sells {}", "flowers", "roses", "red roses", "cheap red roses"),
    ("collects {}", "coins", "silver coins", "old silver coins", "old Roman silver coins"),
    ("repairs {}", "machines", "clocks", "wall clocks", "broken wall clocks"),
    ("paints {}", "boxes", "wooden boxes", "blue wooden boxes", "heavy blue wooden boxes"),
    ("picks {}", "fruits", "apples", "ripe apples", "sour ripe apples"),
    ("sends {}", "letters", "long letters", "long love letters", "sad long love letters"),
)
PARTS = {2: "Half", 3: "A third", 4: "A quarter"}


def load(parts: int = 2, most: int = 100) -> ProblemTask:
    """1 to 3 parts in a row, each a half, a third or a quarter, of at most `most` things."""
    within("parts", parts, 1, 3)
    within("most", most, max(PARTS) ** 3, 10_000)
    return ProblemTask("juggler", "number", (), partial(draw, parts=parts, most=most), same_number)


def draw(generator: random.Random, parts: int, most: int) -> Problem:
    """A scene, its parts, and as many things as can be divided so."""
    does, *things = generator.choice(SCENES)
    divisors = [generator.choice(tuple(PARTS)) for _ in range(parts)]
    whole = math.prod(divisors)
    count = whole * generator.randint(1, most // whole)
    question = [f"{generator.choice(NAMES)} {does.format(f'{count} {things[0]}')}."]
    steps = []
    for divisor, of, part in zip(divisors, things, things[1:], strict=False):
        question.append(f"{PARTS[divisor]} of the {of} are {part}.")
        steps.append(f"{count} / {divisor} = {count // divisor} of the {of} are {part}.")
        count //= divisor
    question.append(f"How many {things[parts]} are there?")
    return Problem(" ".join(question), str(count), tuple(steps))
