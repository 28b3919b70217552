"""Small edits of a text that leave its label as it is, at random or against a model.

"a charming film"  ->  "a cahrming film"  ->  right label's score, less the best wrong one's
                   ->  "a charmming film" ->  ...
                   ->  "a charming fipm"  ->  the lowest is kept, and edited on
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from adaptlab import sources
from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks import key_of

SOURCE = "vader"
# margins(items, texts) scores texts, of which the i-th is a version of item number items[i]; it
# returns an array (len(texts),)
Margins = Callable[[list[int], list[str]], np.ndarray]

LETTERS = re.compile(r"[^\W\d_]{4,}")
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# Words that turn what is said and are not in the lexicon of feelings.
TURNING = {
    *("not", "nor", "neither", "never", "none", "nobody", "nothing", "nowhere", "cannot", "but"),
    *("hardly", "barely", "scarcely", "rarely", "seldom", "despite", "without", "lacks"),
    *("few", "little", "less", "least", "too", "only", "lacking"),
}
NOT = re.compile(r".*n't|(ai|ca|do|does|did|is|are|was|were|wo|would|could|should|has|have|had)nt")
# Words that carry no feeling, whatever the text: only these are deleted.
FUNCTION = {
    *("a", "an", "the", "this", "that", "these", "those", "of", "to", "in", "on", "at", "by"),
    *("for", "with", "from", "as", "into", "and", "or", "so", "who", "which", "there", "is", "are"),
    *("was", "were", "be", "been", "am", "has", "have", "had", "i", "you", "he", "she", "it"),
    *("we", "they", "him", "them", "my", "your", "his", "her", "its", "our", "their", "it's"),
}


def character_edit(text: str, draw: np.random.Generator) -> str:
    """One typo in a random word of four letters or more; the text itself if there is none.

    Two letters swapped, one dropped, doubled, or replaced by its neighbour on the keyboard; the
    word's first and last letter stay, so that it can still be read. A word of feeling may be hit
    too. Source: Pruthi et al. (2019), Combating Adversarial Misspellings with Robust Word
    Recognition.
    """
    words = list(LETTERS.finditer(text))
    if not words:
        return text
    word = words[draw.integers(len(words))]
    kinds = _typos(word[0])
    kind = kinds[draw.integers(len(kinds))]
    return text[: word.start()] + kind[draw.integers(len(kind))] + text[word.end() :]


def word_edit(text: str, draw: np.random.Generator) -> str:
    """One word repeated, swapped with the next or deleted; the text itself if none can be.

    Words of the VADER lexicon of feelings (Hutto and Gilbert, 2014) and of negation are left, and
    their order with them. No lexicon has every word that carries a label ("stagey"), and a search
    would soon find those to delete: so only words like "the" and "of" are deleted.
    """
    words = list(re.finditer(r"\S+", text))
    free = [i for i, word in enumerate(words) if _is_free(word[0])]
    pairs = [i for i in free if i + 1 in free and words[i][0] != words[i + 1][0]]
    small = [i for i in free if words[i][0].casefold() in FUNCTION and len(words) > 1]
    changes = {_deleted: small, _repeated: free, _swapped: pairs}
    possible = [change for change, places in changes.items() if places]
    if not possible:
        return text
    change = possible[draw.integers(len(possible))]
    return change(text, words, changes[change][draw.integers(len(changes[change]))])


KINDS = {"character": character_edit, "word": word_edit}


def edited(texts: Sequence[str], kind: str, edits: int, seed: int) -> list[str]:
    """Each text with so many edits of a kind, "character" or "word", one upon the other.

    What becomes of a text depends on it and on `seed` alone, and more edits go on from fewer.
    Raises AdaptlabError for an unknown kind or a negative number.
    """
    edit = _edit(kind)
    if edits < 0:
        raise AdaptlabError(f"a text cannot be edited {edits} times")
    found = []
    for text in texts:
        draw = _draw(text, seed)
        for _ in range(edits):
            text = edit(text, draw)
        found.append(text)
    return found


@dataclass(frozen=True)
class Attacked:
    """Texts after an attack, the margin of each (N,), and how many texts the model scored for it,
    the N unedited ones included."""

    texts: list[str]
    margins: np.ndarray
    queries: int


def attack(
    texts: Sequence[str],
    margins: Margins,
    kind: str,
    candidates: int,
    rounds: int,
    seed: int,
) -> Attacked:
    """Look for edits that make a model wrong: greedy search, of which the model shows only scores.

    margins(items, texts) scores versions of the texts, `items` saying of which: the right label's
    score less that of the best wrong one, below 0 where the model is wrong. It is called once for
    the texts as they are, and once a round for all their candidates together.
    In each round every text that is not below 0 gets so many random edits of its current version,
    and the one of lowest margin is kept if it is lower than the current. More rounds go on from
    fewer. As in DeepWordBug (Gao et al., 2018) and TextFooler (Jin et al., 2020) the search is
    greedy and sees scores only; but those first find the words that matter to the model, and
    TextFooler puts synonyms for them. Here the proposals are random, so more queries are needed,
    and a text that withstands may fall to a better search.
    Raises AdaptlabError for an unknown kind, no candidate or a negative number of rounds.
    """
    edit = _edit(kind)
    if candidates < 1 or rounds < 0:
        raise AdaptlabError(f"cannot attack with {candidates} candidates in {rounds} rounds")
    current, draws = list(texts), [_draw(text, seed) for text in texts]
    lowest = np.array(margins(list(range(len(current))), list(current)), dtype=float)  # (N,)
    queries = len(current)
    for _ in range(rounds):
        offers = [
            (item, offer)
            for item in np.flatnonzero(lowest >= 0).tolist()
            for offer in _offers(current[item], edit, candidates, draws[item])
        ]
        if not offers:
            break
        found = margins([item for item, _ in offers], [offer for _, offer in offers])
        queries += len(offers)
        for (item, offer), margin in zip(offers, found, strict=True):
            if margin < lowest[item]:
                current[item], lowest[item] = offer, margin
    return Attacked(current, lowest, queries)


def _offers(text: str, edit: Callable, count: int, draw: np.random.Generator) -> list[str]:
    """Different edits of a text, `count` at most; the text itself is none."""
    offers = dict.fromkeys(edit(text, draw) for _ in range(count))
    return [offer for offer in offers if offer != text]


def _edit(kind: str) -> Callable[[str, np.random.Generator], str]:
    if kind not in KINDS:
        raise unknown("kind of edit", kind, KINDS)
    return KINDS[kind]


def _draw(text: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, int(key_of(text), 16)])


def _typos(word: str) -> list[list[str]]:
    """All typos in a word of four letters or more, by kind; no kind is empty."""
    inner = range(1, len(word) - 1)
    swapped = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in inner[:-1]]
    dropped = [word[:i] + word[i + 1 :] for i in inner]
    doubled = [word[:i] + word[i] + word[i:] for i in inner]
    missed = [word[:i] + key + word[i + 1 :] for i in inner for key in _keys_near(word[i])]
    kinds = (
        [typo for typo in kind if typo != word] for kind in (swapped, dropped, doubled, missed)
    )
    return [kind for kind in kinds if kind]


@cache
def _keys_near(letter: str) -> str:
    """The letters beside, above and below a letter on a QWERTY keyboard, in its case."""
    place = {key: (row, at) for row, keys in enumerate(KEYBOARD) for at, key in enumerate(keys)}
    if letter.lower() not in place:
        return ""
    row, at = place[letter.lower()]
    near = {(row, at - 1), (row, at + 1)}
    near |= {(row - 1, at), (row - 1, at + 1), (row + 1, at - 1), (row + 1, at)}  # rows are shifted
    keys = "".join(key for key, where in place.items() if where in near)
    return keys.upper() if letter.isupper() else keys


def _deleted(text: str, words: list[re.Match], at: int) -> str:
    if at + 1 < len(words):  # the space behind it goes too; behind the last word, that before it
        return text[: words[at].start()] + text[words[at + 1].start() :]
    return text[: words[at - 1].end()] + text[words[at].end() :]


def _repeated(text: str, words: list[re.Match], at: int) -> str:
    end = words[at].end()
    return f"{text[:end]} {words[at][0]}{text[end:]}"


def _swapped(text: str, words: list[re.Match], at: int) -> str:
    one, two = words[at], words[at + 1]
    between = text[one.end() : two.start()]
    return text[: one.start()] + two[0] + between + one[0] + text[two.end() :]


def _is_free(word: str) -> bool:
    """Whether a word may be moved: it has a letter, and no part of it is a word that must stay."""
    whole = word.casefold().replace("’", "'")
    parts = re.findall(r"[^\W_]+(?:'[^\W_]+)*", whole)
    if not any(map(str.isalpha, whole)) or whole in _lexicon():
        return False
    return not any(p in _lexicon() or p in TURNING or NOT.fullmatch(p) for p in parts)


@cache
def _lexicon() -> frozenset[str]:
    """The words of the VADER lexicon: the first of four columns."""
    text = sources.path(SOURCE, "vader_sentiment_lexicon.txt").read_text(encoding="latin-1")
    return frozenset(line.split("\t")[0].casefold() for line in text.split("\n") if line)
