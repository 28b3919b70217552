"""Sums of numbers with several digits, worked out column by column from the right."""

import random
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_number
from adaptlab.tasks.reasoning.settings import within

COLUMNS = ("Ones", "Tens", "Hundreds", "Thousands", "Ten thousands", "Hundred thousands")
BEYOND = "Millions"  # where only a carry can be


def load(digits: int = 2, terms: int = 2) -> ProblemTask:
    """2 to 5 numbers of 1 to 6 digits each. The order of the numbers makes no new problem."""
    within("digits", digits, 1, len(COLUMNS))
    within("terms", terms, 2, 5)
    return ProblemTask("sums", "number", (), partial(draw, digits=digits, terms=terms), same_number)


def draw(generator: random.Random, digits: int, terms: int) -> Problem:
    """Numbers that begin with no zero."""
    numbers = [generator.randrange(10 ** (digits - 1), 10**digits) for _ in range(terms)]
    return Problem(
        f"What is {' + '.join(map(str, numbers))}?",
        str(sum(numbers)),
        _steps(numbers, digits),
        group=" + ".join(map(str, sorted(numbers))),
    )


def _steps(numbers: list[int], digits: int) -> tuple[str, ...]:
    steps, carry, written = [], 0, ""
    for place in range(digits):
        column = [number // 10**place % 10 for number in numbers] + [carry] * (carry > 0)
        total = sum(column)
        carry, digit = divmod(total, 10)
        written = f"{digit}{written}"
        carried = f", carry {carry}" if carry else ""
        added = f"{' + '.join(map(str, column))} = {total}"
        steps.append(f"{COLUMNS[place]}: {added}, write {digit}{carried}.")
    if carry:
        steps.append(f"{(*COLUMNS, BEYOND)[digits]}: write {carry}.")
        written = f"{carry}{written}"
    return (*steps, f"Together: {written}.")
