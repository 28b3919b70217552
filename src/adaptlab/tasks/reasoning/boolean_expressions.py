"""Boolean expressions with not, and, or and brackets (BIG-bench Hard: Suzgun et al., 2022).

not True or (False or True) and True
= False or (False or True) and True      not True is False
= False or True and True                 False or True is True
= False or True                          True and True is True
= True                                   False or True is True
"""

import random
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_word
from adaptlab.tasks.reasoning.settings import within

Tree = bool | tuple  # True, ("not", tree) or ("and" or "or", tree, tree)
BINDS = {"or": 1, "and": 2, "not": 3}  # what binds more tightly needs no brackets
NEGATED = 0.3  # the share of parts with a "not" before them


def load(operators: int = 3) -> ProblemTask:
    """1 to 12 times "and" or "or", and some "not"; brackets only where they are needed.

    There are few small ones: with 1, a balanced test split has 6 problems; with 2, about 160.
    """
    within("operators", operators, 1, 12)
    return ProblemTask(
        "boolean expressions",
        "boolean",
        ("True", "False"),
        partial(draw, operators=operators),
        same_word,
        True,
    )


def draw(generator: random.Random, operators: int) -> Problem:
    """An expression, worked out one operation at a time."""
    tree = _grown(generator, operators)
    question, steps = f"What is {_text(tree)}?", []
    while isinstance(tree, tuple):
        tree, operation, value = _reduced(tree)
        rest = f", and what is left is {_text(tree)}" if isinstance(tree, tuple) else ""
        steps.append(f"{operation} is {value}{rest}.")
    return Problem(question, str(tree), tuple(steps))


def _grown(generator: random.Random, operators: int) -> Tree:
    if operators == 0:
        tree: Tree = generator.random() < 0.5
    else:
        left = generator.randrange(operators)
        name = generator.choice(("and", "or"))
        tree = (name, _grown(generator, left), _grown(generator, operators - 1 - left))
    return ("not", tree) if generator.random() < NEGATED else tree


def _text(tree: Tree) -> str:
    """As Python writes it: `and` and `or` are taken from the left."""
    if not isinstance(tree, tuple):
        return str(tree)
    if tree[0] == "not":
        return f"not {_inner(tree[1], BINDS['not'])}"
    name, left, right = tree
    return f"{_inner(left, BINDS[name])} {name} {_inner(right, BINDS[name] + 1)}"


def _inner(tree: Tree, least: int) -> str:
    loose = isinstance(tree, tuple) and BINDS[tree[0]] < least
    return f"({_text(tree)})" if loose else _text(tree)


def _reduced(tree: tuple) -> tuple[Tree, str, bool]:
    """The tree with its first operation on plain values done; that operation; its value."""
    for place, part in enumerate(tree):
        if isinstance(part, tuple):
            smaller, operation, value = _reduced(part)
            return (*tree[:place], smaller, *tree[place + 1 :]), operation, value
    name, *values = tree
    value = {"not": lambda: not values[0], "and": lambda: all(values), "or": lambda: any(values)}
    result = value[name]()
    return result, _text(tree), result
