"""Is a tweet about a real disaster? "I'm on fire today!" is not. Figure Eight (2015)."""

import html
import re
from collections.abc import Hashable

import pandas as pd
from datasets import DatasetDict

from adaptlab import sources
from adaptlab.tasks import SPLITS, Task, split_by_hash

SOURCE = "disaster-tweets"
RUN = 6  # words in a row that no two splits share: with that many, one tweet is a copy of the other
# UTF-8 that was read as Windows-1252, saved as Mac Roman and read as Latin-1: "\x89Ûª" for "’".
# Two signs did not survive that whole.
MISREAD = re.compile(r"[^\x00-\x7f]+")
BROKEN = {"\x89Û_": "…", "\x89Û\x9d": "”"}


def load() -> Task:
    """5,060 / 655 / 685 tweets (0 no, 1 yes); yes are 39, 38 and 43 in 100.

    Links are left out and names of users are "@user": neither says what a tweet is about, links
    hide that two tweets are copies, and the names are people's. HTML entities and misread letters
    are mended; hashtags stay. Signs that were lost before us are "?".
    News are tweeted many times over in slightly other words. So train and dev are without the
    tweets that share six words in a row with one of a later split (358 of 5,418 and 19 of 674).
    With them, links and names, 20 in 100 of test would have a near copy in train; now 1 in 100 has.
    The tweets are as their authors wrote them, rude ones included.
    """
    table = pd.read_csv(sources.path(SOURCE, "disaster-tweets.csv"))
    return Task(
        name="disasters",
        splits=_without_shared_runs(split_by_hash(table["text"].map(_clean), table["target"])),
        label_words=(" no", " yes"),
        template="Tweet: {text}\nAbout a real disaster:",
        sources=(SOURCE,),
    )


def _clean(text: str) -> str:
    for broken, sign in BROKEN.items():
        text = text.replace(broken, sign)
    text = html.unescape(html.unescape(MISREAD.sub(_mended, text)))  # some are escaped twice
    text = re.sub(r"@\w+", "@user", re.sub(r"https?\S*", "", text))
    return " ".join(text.split())


def _mended(misread: re.Match) -> str:
    try:
        return misread[0].encode("latin-1").decode("mac-roman").encode("cp1252").decode("utf-8")
    except UnicodeError:  # it was read rightly: these letters mean themselves
        return misread[0]


def _without_shared_runs(splits: DatasetDict) -> DatasetDict:
    """Leave out the rows that share a run of words with a split kept further from training."""
    taken: set[Hashable] = set()
    kept: dict[str, list[int]] = {}
    for split in reversed(SPLITS):
        runs = [_runs(text) for text in splits[split]["text"]]
        kept[split] = [row for row, own in enumerate(runs) if taken.isdisjoint(own)]
        taken.update(*(runs[row] for row in kept[split]))
    return DatasetDict({split: splits[split].select(kept[split]) for split in SPLITS})


def _runs(text: str) -> set[Hashable]:
    """All runs of RUN words of a text, whatever their case; a shorter text is one run."""
    words = re.findall(r"\w+", text.casefold())
    return {tuple(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1))}
