"""Problems with worked steps in a few characters, for a model that is trained from scratch.

family    question      steps                   answer   read it as
boolean   Ta&Fb^T       aF bT                   T        (T and F) xor T, a and b in turn
modular   3a+4b*2       a2 b4                   4        (3 + 4) * 2, every result modulo 5
sum       084+027       47011 82111 00101       0111     4 + 7 + 0 is 11, 8 + 2 + 1 is 11

A step of a sum is a column, the last one first: its two digits, the carry that came in, and their
total in two digits. The two chains are worked from the left. A letter stands before each operation
and again before its result: an index hint (Zhou et al., 2024). A small model learns sooner to look
a letter up than to count places, and what is to be seen is whether it can do the steps.
"""

import operator
import random
from collections.abc import Callable
from functools import partial
from itertools import count, islice

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_number, same_word

HINTS = "abcdefghijklmnop"
DIGITS = 5  # of both numbers of a sum, zeros in front included
OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
VALUES = {"boolean": "FT", "modular": "01234"}
# What stands before "& F" or "| T" does not matter, so a guesser would look at the end of a chain
# alone. No value of "x ^ y" is without regard to x: most operators are that one.
OPERATORS = {"boolean": "&|^^^^", "modular": "+-*"}
MOST = {"boolean": len(HINTS), "modular": len(HINTS), "sum": DIGITS}
CHARACTERS = "0123456789FT" + "".join(OPERATIONS) + HINTS  # all that a problem is written in


def load(family: str, least: int, most: int) -> ProblemTask:
    """A family at `least` to `most` operations, or digits of a sum; each as often as the others.

    A question is in one split, whatever the range that it was drawn from. There are few short
    ones: `problems` of a range, all different, are mostly long; `drawn` keeps the sizes even.
    Raises AdaptlabError for an unknown family, or a range that is empty or beyond `MOST`.
    """
    if family not in MOST:
        raise unknown("family of worked problems", family, MOST)
    if not 1 <= least <= most <= MOST[family]:
        raise AdaptlabError(
            f"a {family} problem has 1 to {MOST[family]} parts, not {least} to {most}"
        )
    draw = draw_sum if family == "sum" else partial(draw_chain, family=family)
    return ProblemTask(
        f"worked {family} {least} to {most}",
        "boolean" if family == "boolean" else "number",
        tuple(VALUES["boolean"]) if family == "boolean" else (),
        lambda generator: draw(generator, generator.randint(least, most)),
        same_word if family == "boolean" else same_number,
    )


def drawn(task: ProblemTask, split: str, n: int, seed: int = 0) -> list[Problem]:
    """n problems of a split as they come, some of them more than once: what to train on.

    Raises AdaptlabError for an unknown or empty split, or n below 1.
    """
    task.problems(split, 1)  # there is one, or drawing would not end
    if n < 1:
        raise AdaptlabError(f"{n} problems were asked for")
    generator = random.Random(f"{task.name} {split} {seed} drawn")
    endless = (task.draw(generator) for _ in count())
    return list(islice((problem for problem in endless if problem.split == split), n))


def draw_chain(generator: random.Random, length: int, family: str) -> Problem:
    """`length` operations, one after the other; the result of the last one is the answer."""
    values = VALUES[family]
    value = question = generator.choice(values)
    steps = []
    for hint in HINTS[:length]:
        sign, operand = generator.choice(OPERATORS[family]), generator.choice(values)
        result = OPERATIONS[sign](values.index(value), values.index(operand))
        value = values[result % len(values)]
        question += f"{hint}{sign}{operand}"
        steps.append(f"{hint}{value}")
    return Problem(question, value, tuple(steps))


def draw_sum(generator: random.Random, digits: int) -> Problem:
    """Two numbers of `digits` digits, with zeros in front so that every column has its place."""
    first, second = (generator.randrange(10 ** (digits - 1), 10**digits) for _ in range(2))
    carry, steps = 0, []
    for column in range(DIGITS):
        ones = 10**column
        above, below = first // ones % 10, second // ones % 10
        total = above + below + carry
        steps.append(f"{above}{below}{carry}{total:02}")
        carry = total // 10
    question = f"{first:0{DIGITS}}+{second:0{DIGITS}}"
    return Problem(question, f"{first + second:0{DIGITS + 1}}", tuple(steps))
