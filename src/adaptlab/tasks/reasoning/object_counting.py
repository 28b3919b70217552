"""How many of the things in a list are of one sort (BIG-bench Hard: Suzgun et al., 2022)."""

import random
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_number
from adaptlab.tasks.reasoning.names import NAMES
from adaptlab.tasks.reasoning.settings import within

# One and many of each, by sort; nothing that could be of two sorts.
SORTS = {
    "fruits": (
        ("apple", "apples"), ("banana", "bananas"), ("orange", "oranges"), ("plum", "plums"),
        ("peach", "peaches"), ("pear", "pears"), ("lemon", "lemons"), ("cherry", "cherries"),
    ),
    "animals": (
        ("cat", "cats"), ("dog", "dogs"), ("goat", "goats"), ("cow", "cows"), ("mouse", "mice"),
        ("rabbit", "rabbits"), ("horse", "horses"), ("pony", "ponies"),
    ),
    "musical instruments": (
        ("piano", "pianos"), ("flute", "flutes"), ("violin", "violins"), ("trumpet", "trumpets"),
        ("drum", "drums"), ("guitar", "guitars"), ("clarinet", "clarinets"), ("cello", "cellos"),
    ),
    "pieces of furniture": (
        ("chair", "chairs"), ("table", "tables"), ("bed", "beds"), ("sofa", "sofas"),
        ("desk", "desks"), ("wardrobe", "wardrobes"), ("bench", "benches"), ("stool", "stools"),
    ),
    "tools": (
        ("hammer", "hammers"), ("saw", "saws"), ("screwdriver", "screwdrivers"),
        ("chisel", "chisels"), ("drill", "drills"), ("wrench", "wrenches"),
    ),
}  # fmt: skip
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def load(things: int = 4, most: int = 3) -> ProblemTask:
    """2 to 8 things in the list, 1 to `most` (at most 9) of each; one or more are not counted."""
    within("things", things, 2, 8)
    within("most", most, 1, 9)
    return ProblemTask(
        "object counting", "number", (), partial(draw, things=things, most=most), same_number
    )


def draw(generator: random.Random, things: int, most: int) -> Problem:
    """Things of the sort that is asked for, and things of one other sort, in random order."""
    sort, other = generator.sample(tuple(SORTS), 2)
    least = max(1, things - len(SORTS[other]))
    counted = generator.randint(min(2, things - 1), min(things - 1, len(SORTS[sort])))
    counted = max(counted, least)
    kinds = generator.sample(SORTS[sort], counted)
    rest = generator.sample(SORTS[other], things - counted)
    listed = [(kind, generator.randint(1, most)) for kind in (*kinds, *rest)]
    generator.shuffle(listed)
    words = [_counted(kind, n) for kind, n in listed]
    name = generator.choice(NAMES)
    numbers = {kind: n for kind, n in listed if kind in kinds}
    return Problem(
        f"{name} has {', '.join(words[:-1])} and {words[-1]}. How many {sort} does {name} have?",
        str(sum(numbers.values())),
        _steps(sort, numbers),
    )


def _steps(sort: str, numbers: dict[tuple[str, str], int]) -> tuple[str, ...]:
    named = ", ".join(f"{n} {kind[n > 1]}" for kind, n in numbers.items())
    steps = [f"The {sort} are: {named}."]
    first, *others = numbers.values()
    for n in others:
        steps.append(f"{first} + {n} = {first + n}.")
        first += n
    return (*steps, f"That makes {first}.")


def _counted(kind: tuple[str, str], n: int) -> str:
    return f"{WORDS[n]} {kind[n > 1]}"
