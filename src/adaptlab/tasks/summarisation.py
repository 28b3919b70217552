"""A news article into one sentence: 1,000 articles of XSum (Narayan et al., 2018)."""

import json
import re
from collections.abc import Iterator

from adaptlab import sources
from adaptlab.errors import AdaptlabError
from adaptlab.tasks.text import TextTask, split_pairs

SOURCE = "xsum-1000"
LEAST_ARTICLE, LEAST_SUMMARY = 30, 6  # words; below are captions, not articles and summaries
# What the web page said about itself, on a line of its own.
OF_THE_PAGE = re.compile(
    r"Media playback is (not supported|unsupported) on (this|your) device"
    r"|\d+ \w+ \d{4} Last updated at \d\d:\d\d [A-Z]+"
)
# UTF-8 that was read as Windows-1252: "Â£" for "£".
MISREAD = re.compile(r"[\u00c2-\u00f4][^\x00-\x7f]+")
# Where a sentence may end: a full stop, and what closes a quotation or a bracket behind it; then
# comes a space and what may begin a sentence.
END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s+[\"'“‘(\[]*[A-Z0-9£$€])")
# A full stop behind one of these, or behind a single capital, ends no sentence.
ABBREVIATION = re.compile(
    r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|Prof|Rev|St|Sgt|Lt|Capt|Col|Gen|Sen|Rep|Gov|Jr|Sr|No|vs|v|Inc"
    r"|Jan|Feb|Mar|Apr|Aug|Sept|Oct|Nov|Dec))\.$"
)


def load() -> TextTask:
    """799 / 104 / 89 BBC articles with a summary of one sentence.

    The summary is what stood first on the page, and the article is the rest of it: so some
    summaries say what their article does not. A few articles are in Welsh.
    """
    return TextTask(
        name="summarisation",
        splits=split_pairs(_pairs()),
        mark=" <summarize>",
        sources=(SOURCE,),
    )


def lead(text: str) -> str:
    """The first sentence of a text, the usual baseline of summarising news.

    A line is at most one paragraph, so that its end ends a sentence. Abbreviations and initials do
    not ("Mr. Smith", "J. K. Rowling", "U.S. troops"); a rarer one may.
    """
    paragraph = text.strip().partition("\n")[0].strip()
    for end in END.finditer(paragraph):
        if not ABBREVIATION.search(paragraph[: end.end()]):
            return paragraph[: end.end()]
    return paragraph


def truncate(text: str, words: int) -> str:
    """The first `words` words of a text, its lines as they are; all of it if it has no more.

    Raises AdaptlabError for less than one word.
    """
    if words < 1:
        raise AdaptlabError(f"a text cannot be cut to {words} words")
    cut = re.match(rf"\s*(?:\S+\s+){{0,{words - 1}}}\S+", text)
    return cut[0] if cut else text


def _pairs() -> Iterator[tuple[str, str]]:
    with sources.path(SOURCE, "test.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            article, summary = _clean(row["document"]), _clean(row["summary"])
            if len(article.split()) >= LEAST_ARTICLE and len(summary.split()) >= LEAST_SUMMARY:
                yield article, summary


def _clean(text: str) -> str:
    """The text's own lines, misread letters mended, one space between words."""
    lines = (" ".join(line.split()) for line in MISREAD.sub(_mended, text).split("\n"))
    return "\n".join(line for line in lines if line and not OF_THE_PAGE.fullmatch(line))


def _mended(misread: re.Match) -> str:
    try:
        return misread[0].encode("cp1252").decode("utf-8")
    except UnicodeError:  # it was read rightly: these letters mean themselves
        return misread[0]
