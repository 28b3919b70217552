"""Which pair of words is related as a given pair is? The analogies of lecture 003.

    braggart : modesty
    (A) fledgling : experience   (B) embezzler : greed   ...

A braggart lacks modesty, and a fledgling lacks experience.
"""

import random
from dataclasses import dataclass
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_option
from adaptlab.tasks.reasoning.settings import within

LABELS = ("(A)", "(B)", "(C)", "(D)", "(E)")
Pair = tuple[str, str]


@dataclass(frozen=True)
class Relation:
    """says: what the second word is to the first. near: relations that could be taken for it."""

    name: str
    says: str
    pairs: tuple[Pair, ...]
    near: tuple[str, ...] = ()

    def is_far(self, other: "Relation") -> bool:
        """Whether no pair of the one could be taken for one of the other."""
        return self is not other and self.name not in other.near and other.name not in self.near


def _relation(name: str, says: str, pairs: str, near: tuple[str, ...] = ()) -> Relation:
    """pairs: "bee hive, fox den"."""
    return Relation(name, says, tuple(tuple(pair.split()) for pair in pairs.split(", ")), near)


RELATIONS = (
    _relation(
        "lack", "what the first lacks",
        "braggart modesty, coward courage, miser generosity, liar honesty, traitor loyalty, "
        "beginner experience, fool wisdom, pauper money, tyrant mercy, idler diligence",
        near=("opposite",),
    ),
    _relation(
        "opposite", "the opposite of the first",
        "hot cold, up down, early late, rich poor, open closed, loud quiet, empty full, "
        "heavy light, wide narrow, true false",
        near=("lack",),
    ),
    _relation(
        "young", "the young of the first",
        "dog puppy, cat kitten, cow calf, sheep lamb, goat kid, horse foal, hen chick, "
        "lion cub, swan cygnet, deer fawn",
    ),
    _relation(
        "home", "what the first lives in",
        "bee hive, fox den, bird nest, spider web, badger sett, pig sty, monk monastery, "
        "nun convent, king palace, soldier barracks",
        near=("work",),
    ),
    _relation(
        "tool", "the tool of the first",
        "painter brush, lumberjack axe, tailor needle, surgeon scalpel, gardener spade, "
        "fisherman net, astronomer telescope, conductor baton, mason trowel, barber scissors",
        near=("work",),
    ),
    _relation(
        "product", "what the first makes",
        "baker bread, poet verse, brewer beer, cobbler shoes, potter bowl, composer music, "
        "sculptor statue, carpenter table, novelist novel, cook soup",
        near=("source",),
    ),
    _relation(
        "work", "where the first works",
        "teacher school, judge court, nurse hospital, actor theatre, waiter restaurant, "
        "farmer field, chemist laboratory, sailor ship, miner mine, librarian library",
        near=("home", "tool"),
    ),
    _relation(
        "whole", "what the first is a part of",
        "wheel car, petal flower, page book, finger hand, branch tree, roof house, "
        "chapter story, key keyboard, sail boat, toe foot",
        near=("group",),
    ),
    _relation(
        "group", "a group of the first",
        "wolf pack, fish school, goose flock, ant colony, star galaxy, singer choir, "
        "player team, elephant herd, lawyer firm, senator senate",
        near=("whole", "work", "home"),
    ),
    _relation(
        "degree", "a stronger word for the first",
        "warm scorching, big enormous, cool freezing, hungry starving, tired exhausted, "
        "angry furious, pretty gorgeous, wet soaked, scared terrified, good excellent",
    ),
    _relation(
        "kind", "what the first is a kind of",
        "rose flower, oak tree, salmon fish, copper metal, violin instrument, hammer tool, "
        "eagle bird, ruby gem, shirt garment, cottage building",
    ),
    _relation(
        "source", "what the first is made from",
        "wine grapes, paper pulp, cheese milk, glass sand, flour wheat, candle wax, "
        "butter cream, sweater wool, brick clay, tyre rubber",
        near=("product",),
    ),
    _relation(
        "purpose", "what the first is for",
        "knife cutting, pen writing, oven baking, ladder climbing, towel drying, broom sweeping, "
        "bed sleeping, ruler measuring, lamp lighting, soap washing",
    ),
)  # fmt: skip


def load(options: int = 5) -> ProblemTask:
    """2 to 5 options; one pair has the relation, the others each have another one."""
    within("options", options, 2, len(LABELS))
    return ProblemTask(
        "analogies",
        "option",
        LABELS[:options],
        partial(draw, options=options),
        same_option,
        balanced=True,
    )


def draw(generator: random.Random, options: int) -> Problem:
    """A relation, two of its pairs, and a pair of each of some other relations."""
    relation = generator.choice(RELATIONS)
    given, right = generator.sample(relation.pairs, 2)
    wrong = generator.sample([other for other in RELATIONS if other.is_far(relation)], options - 1)
    offered = [(relation, right), *((other, generator.choice(other.pairs)) for other in wrong)]
    generator.shuffle(offered)
    label = LABELS[offered.index((relation, right))]
    listed = [f"{LABELS[at]} {_text(pair)}" for at, (_, pair) in enumerate(offered)]
    return Problem(
        "\n".join(
            (f'Which pair of words is related in the same way as "{_text(given)}"?', *listed)
        ),
        label,
        (
            _said(f'"{_text(given)}"', relation),
            *(_said(LABELS[at], other) for at, (other, _) in enumerate(offered)),
            f"So it is {label} that is related in the same way.",
        ),
        group=", ".join(sorted((_text(given), _text(right)))),
    )


def _text(pair: Pair) -> str:
    return f"{pair[0]} : {pair[1]}"


def _said(what: str, relation: Relation) -> str:
    return f"In {what} the second word is {relation.says}."
