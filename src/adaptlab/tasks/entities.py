"""Real and invented things to ask a model about: does it know when it does not know?

Novels, cities and composers. The real ones are as well known as any; the invented ones are made
by rule from syllables, so that nothing can have been written about them.
"""

import re
from dataclasses import dataclass

import numpy as np

QUESTIONS = {
    "novel": "The novel {name} was written by",
    "city": "The city of {name} is located in the country of",
    "composer": "The composer {name} was born in the country of",
}
REAL = {
    "novel": {
        "Pride and Prejudice": "Austen",
        "Oliver Twist": "Dickens",
        "War and Peace": "Tolstoy",
        "Crime and Punishment": "Dostoevsky|Dostoyevsky",
        "Moby-Dick": "Melville",
        "Frankenstein": "Shelley",
        "Dracula": "Stoker",
        "Wuthering Heights": "Brontë|Bronte",
        "Nineteen Eighty-Four": "Orwell",
        "Brave New World": "Huxley",
        "The Great Gatsby": "Fitzgerald",
        "Robinson Crusoe": "Defoe",
        "Don Quixote": "Cervantes",
        "Les Misérables": "Hugo",
    },
    "city": {
        "Paris": "France",
        "Rome": "Italy",
        "Madrid": "Spain",
        "Lisbon": "Portugal",
        "Athens": "Greece",
        "Vienna": "Austria",
        "Warsaw": "Poland",
        "Oslo": "Norway",
        "Helsinki": "Finland",
        "Cairo": "Egypt",
        "Nairobi": "Kenya",
        "Tokyo": "Japan",
        "Mumbai": "India",
        "Lima": "Peru",
    },
    "composer": {
        "Johann Sebastian Bach": "Germany",
        "Ludwig van Beethoven": "Germany",
        "Wolfgang Amadeus Mozart": "Austria",
        "Joseph Haydn": "Austria",
        "Frédéric Chopin": "Poland",
        "Pyotr Ilyich Tchaikovsky": "Russia",
        "Sergei Rachmaninoff": "Russia",
        "Giuseppe Verdi": "Italy",
        "Antonio Vivaldi": "Italy",
        "Claude Debussy": "France",
        "Edvard Grieg": "Norway",
        "Edward Elgar": "England|United Kingdom|Britain",
    },
}
STARTS = ("Vor", "Quel", "Tham", "Brin", "Zel", "Mar", "Dro", "Kes", "Ful", "Nas", "Gre", "Oth")
MIDDLES = ("ri", "da", "lo", "ve", "nu", "ska", "mi", "tho")
ENDS = ("lane", "wick", "mar", "dun", "stal", "vik", "more", "gar", "nesk", "bourne")
FIRST_NAMES = ("Anna", "Carl", "Elena", "Henrik", "Johann", "Maria", "Paul", "Sofia")
THINGS = ("Lanterns", "Orchards", "Letters", "Daughters", "Clocks", "Bridges")
# How a text says that its writer does not know, or that there is no such thing.
REFUSALS = (
    *("unknown", "not known", "do not know", "don't know", "did not know", "not sure", "unclear"),
    *("uncertain", "anonymous", "no one", "nobody", "no such", "does not exist", "doesn't exist"),
    *("fictional", "fictitious", "invented", "imaginary"),
)
# An answer ends here; a full stop behind a single capital is an initial's.
ANSWER_END = re.compile(r"[,;:(\n]|(?<!\b[A-Z])\.")


@dataclass(frozen=True)
class Entity:
    """A thing, the text that asks for one fact about it, and the fact; None if it is invented."""

    kind: str
    name: str
    prompt: str
    answer: str | None

    @property
    def real(self) -> bool:
        return self.answer is not None

    def right(self, text: str) -> bool:
        """Whether a text holds the answer, in one of its spellings; never for an invented thing."""
        return self.real and any(spelling in text for spelling in self.answer.split("|"))


def entities(seed: int = 0) -> list[Entity]:
    """40 real and 40 invented things, as many of each kind; `seed` decides what is invented.

    Real and invented come in turns, and so do the kinds: the first n are a fair part of all.
    """
    draw = np.random.default_rng(seed)
    pairs = []  # of a real and an invented one; (place within its kind, pair)
    for kind, answers in REAL.items():
        invented = _invented(kind, len(answers), draw)
        for place, (name, answer) in enumerate(answers.items()):
            pair = (_entity(kind, name, answer), _entity(kind, invented[place], None))
            pairs.append((place, pair))
    pairs.sort(key=lambda item: item[0])  # kinds in turns; the sort is stable
    return [entity for _, pair in pairs for entity in pair]


def answer_in(text: str) -> str:
    """What a text that goes on from a prompt gives as the answer: all before the first comma, full
    stop or the like."""
    return ANSWER_END.split(text.strip(), maxsplit=1)[0].strip()


def names_something(text: str) -> bool:
    """Whether the answer in a text begins with a name, that is a capital, after "the" at most."""
    return re.match(r"(the |The )?[A-Z]", answer_in(text)) is not None


def is_refusal(text: str) -> bool:
    """Whether a text says that the answer is not known, by the words of REFUSALS."""
    words = "|".join(map(re.escape, REFUSALS))
    return re.search(rf"\b({words})\b", text, re.IGNORECASE) is not None


def _entity(kind: str, name: str, answer: str | None) -> Entity:
    return Entity(kind, name, QUESTIONS[kind].format(name=name), answer)


def _invented(kind: str, count: int, draw: np.random.Generator) -> list[str]:
    names: dict[str, None] = {}  # a dict keeps the order and drops copies
    while len(names) < count:
        names[_name(kind, draw)] = None
    return list(names)


def _name(kind: str, draw: np.random.Generator) -> str:
    place = "".join(draw.choice(parts) for parts in (STARTS, MIDDLES, ENDS))
    if kind == "novel":
        return f"The {draw.choice(THINGS)} of {place}"
    return f"{draw.choice(FIRST_NAMES)} {place}" if kind == "composer" else place
