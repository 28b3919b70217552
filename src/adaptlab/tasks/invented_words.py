"""Does a text use a word that nobody has read before? The lecture's farduddle, and others like it.

definition   To do a "farduddle" means to jump up and down really fast.
"used"       The children farduddled in the snow.
"repeated"   To do a "farduddle" means to jump up and down really fast.
"not used"   The children fardaddled in the snow.

The words follow GPT-3's test of new words (Brown et al., 2020); but for the first two, which the
lecture took from there, they are made up here, with their definitions.
"""

import re
from dataclasses import dataclass

COPIED = 5  # words of the definition in a row, from which on a text repeats it
KINDS = ("used", "repeated", "not used")
VOWELS = "aeiou"


@dataclass(frozen=True)
class Invented:
    """A word and the sentence that says what it means; the word stands in the sentence."""

    word: str
    definition: str


WORDS = (
    Invented("whatpu", 'A "whatpu" is a small, furry animal native to Tanzania.'),
    Invented("farduddle", 'To do a "farduddle" means to jump up and down really fast.'),
    Invented("glimber", 'To "glimber" means to whistle while cooking.'),
    Invented("snorvet", 'A "snorvet" is a wooden spoon that is used to stir paint.'),
    Invented("plenk", 'To "plenk" means to fall asleep in a public place.'),
    Invented("dorpet", 'A "dorpet" is a hat made of leaves and string.'),
    Invented("mivvle", 'To "mivvle" means to fold a letter into a paper boat.'),
    Invented("brantick", 'A "brantick" is a boat with a garden on its roof.'),
    Invented("sporrin", 'To "sporrin" means to count sheep in the wrong order.'),
    Invented("tazlet", 'A "tazlet" is a lamp that runs on rain water.'),
    Invented("wump", 'To "wump" means to walk down the stairs backwards.'),
    Invented("quimsel", 'A "quimsel" is a song that is sung only by bakers.'),
    Invented("jorfy", 'To "jorfy" means to wave at a train that has already left.'),
)


def forms(word: str) -> set[str]:
    """The word and its regular inflections: plural and third person, past, -ing, possessive."""
    stems = {word, word + "s", word + "'s", word + "ed", word + "ing"}
    if word.endswith("e"):
        stems |= {word + "d", word[:-1] + "ing"}
    if word.endswith(("s", "x", "z", "ch", "sh")):
        stems.add(word + "es")
    if word.endswith("y") and word[-2:-1] not in VOWELS:
        stems |= {word[:-1] + "ies", word[:-1] + "ied"}
    if word[-1] not in VOWELS + "wxy" and word[-2:-1] in VOWELS:  # plan, planned
        stems |= {word + word[-1] + "ed", word + word[-1] + "ing"}
    return stems


def first_line(text: str, introduced: bool = False) -> str:
    """The first line of a text that is not blank, "" if there is none.

    introduced: the text begins with an introduction, as a chat's reply often does: "Here is a
        sentence with the word glimber:". What stands up to the first colon of that line is left
        out, and where nothing follows it in the line, the next one is taken.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not introduced or not lines or ":" not in lines[0]:
        return lines[0] if lines else ""
    rest = lines[0].partition(":")[2].strip(" *")
    return rest or (lines[1] if len(lines) > 1 else "")


def judge(text: str, invented: Invented) -> str:
    """One of KINDS: whether a text uses the word in a sentence of its own, by word form alone.

    A text with a form of the word "repeats" if it has COPIED words of the definition in a row.
    Whether the word's meaning fits, or its part of speech, is not looked at.
    """
    words = _words(text)
    if not forms(invented.word) & set(words):
        return "not used"
    known = _words(invented.definition)
    runs = {tuple(known[i : i + COPIED]) for i in range(len(known) - COPIED + 1)}
    copies = any(tuple(words[i : i + COPIED]) in runs for i in range(len(words)))
    return "repeated" if copies else "used"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower().replace("’", "'"))
