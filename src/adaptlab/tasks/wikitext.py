"""General English text: WikiText-2, good and featured articles of Wikipedia, Merity et al. (2016).

Not a task to be right at, but to see what tuning on another one does to a language model, and to
mix into that tuning (replay). The splits are the data's own, by article: 600 / 60 / 60 of them.
"""

import gzip
import re
from functools import cache

from adaptlab import sources
from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks import key_of

SOURCE = "wikitext-2"
FILES = {"train": "train.raw.gz", "dev": "valid.raw.gz", "test": "test.raw.gz"}
# The file has spaces between words and signs, as `1 @,@ 000 people ( or so ) .`; a model is used
# to text as it is written. What to replace, in order; single quotes that stand alone are left.
PLAIN = (
    (r" @([-,.])@ ", r"\1"),
    (r" ([,.;:!?%°)\]])(?= |$)", r"\1"),
    (r"([(\[$£#]) ", r"\1"),
    (r" ('[A-Za-z])", r"\1"),  # it 's
    (r"s '(?= |$)", "s'"),  # players ' names
    (r"(?<=\d) – (?=\d)", "–"),
    (r" / ", "/"),
    (r'" ([^"]*?) "', r'"\1"'),
    (r"= (?==)", "="),  # headings: = = Plot = =
)


@cache
def text(split: str) -> str:
    """All of a split: 10.5, 1.1 and 1.2 million characters in train, dev and test.

    A paragraph is a line, and a heading stands between lines that are empty. Raises AdaptlabError
    for an unknown split.
    """
    if split not in FILES:
        raise unknown("split", split, FILES)
    raw = gzip.decompress(sources.path(SOURCE, FILES[split]).read_bytes()).decode()
    return "\n".join(_plain(line.strip()) for line in raw.split("\n"))


def passages(split: str, n: int, words: int = 50) -> list[str]:
    """n paragraphs of at least so many words, chosen by their hash; the first n are always the
    same ones.

    No headings; lists, tables and captions are mostly too short. Of 50 words there are 13,142 /
    1,361 / 1,553. Raises AdaptlabError for an unknown split or more paragraphs than there are.
    """
    lines = (line for line in text(split).split("\n") if not line.startswith("="))
    of_key = {key_of(line): line for line in lines if len(line.split()) >= words}
    if not 0 < n <= len(of_key):
        raise AdaptlabError(
            f"wikitext/{split} has {len(of_key)} paragraphs of {words} words or more; "
            f"{n} were asked for"
        )
    return [of_key[key] for key in sorted(of_key)[:n]]


def _plain(line: str) -> str:
    for pattern, plain in PLAIN:
        line = re.sub(pattern, plain, line)
    return line
