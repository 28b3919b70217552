"""Tasks: examples in fixed splits, label words, a template and a metric. Each task is one file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets

from adaptlab.errors import AdaptlabError, unknown

if TYPE_CHECKING:
    from adaptlab.tasks.text import TextTask

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Task:
    """A labelled text classification task.

    splits: train, dev and test, each with the columns id, text and label. Rows are ordered by id,
        a hash of the text, so that the first n rows of a split are a random sample of it.
    label_words: what the model should answer, by label; each starts with its space.
    template: how one text is put as a question; it has one field, {text}.
    """

    name: str
    splits: DatasetDict
    label_words: tuple[str, ...]
    template: str
    sources: tuple[str, ...]

    def question(self, text: str) -> str:
        """Q: the text in the template, with the answer left open."""
        return self.template.format(text=text)

    def examples(self, rows: Dataset) -> str:
        """Rows as solved questions, each followed by a blank line: a few-shot prompt."""
        pairs = zip(rows["text"], rows["label"], strict=True)
        return "".join(f"{self.question(text)}{self.label_words[y]}\n\n" for text, y in pairs)

    def first(self, split: str, n: int | None = None) -> Dataset:
        """The first n rows of a split (all by default); the same rows in every run.

        Raises AdaptlabError for an unknown split or more rows than it has.
        """
        return first_rows(self.name, self.splits, split, n)

    def sample(self, n: int, seed: int) -> Dataset:
        """n rows of train, as many of each label as n allows, drawn and shuffled by `seed`."""
        train, labels = self.splits["train"], len(self.label_words)
        draw = np.random.default_rng(seed)
        of_label = np.asarray(train["label"])
        parts = []
        for label in range(labels):
            rows = np.flatnonzero(of_label == label)
            wanted = n // labels + (label < n % labels)
            if wanted > len(rows):
                raise AdaptlabError(f"{self.name}/train has {len(rows)} rows of label {label}")
            parts.append(train.select(draw.choice(rows, wanted, replace=False)))
        return concatenate_datasets(parts).select(draw.permutation(n))


def load(name: str) -> Task | TextTask:
    """Load a task by name, fetching its source where needed. Raises AdaptlabError if unknown."""
    from adaptlab.tasks import disasters, domains, questions, sentiment, summarisation, translation

    makers: dict[str, Callable[[], Task | TextTask]] = {
        **{domain: partial(domains.load, domain) for domain in domains.FILES},
        "disasters": disasters.load,
        "questions": questions.load,
        "sentiment": sentiment.load,
        "summarisation": summarisation.load,
        "translation": translation.load,
    }
    if name not in makers:
        raise unknown("task", name, makers)
    return makers[name]()


def accuracy(predictions: Sequence[int], labels: Sequence[int]) -> float:
    """The share of predictions equal to their label."""
    return float(np.mean(np.asarray(predictions) == np.asarray(labels)))


def first_rows(name: str, splits: DatasetDict, split: str, n: int | None) -> Dataset:
    """The first n rows of a split of the task `name` (None: all of them).

    Raises AdaptlabError for an unknown split or more rows than it has.
    """
    if split not in splits:
        raise unknown("split", split, splits)
    rows = splits[split]
    if n is None:
        return rows
    if not 0 < n <= len(rows):
        raise AdaptlabError(f"{name}/{split} has {len(rows)} rows; {n} were asked for")
    return rows.select(range(n))


def split_by_hash(texts: Iterable[str], labels: Iterable[int]) -> DatasetDict:
    """Remove duplicates and split 8 : 1 : 1 by a hash of each text.

    Texts that differ only in case, punctuation or spaces are one text; where such copies have
    different labels none is kept. A row's split depends on its text alone, so no new version of a
    library, and no change elsewhere in the data, can move a row from train to test.
    """
    labels_of: dict[str, set[int]] = {}
    text_of: dict[str, str] = {}
    for text, label in zip(texts, labels, strict=True):
        key = key_of(text)
        labels_of.setdefault(key, set()).add(int(label))
        text_of.setdefault(key, text)
    rows: dict[str, list[dict]] = {split: [] for split in SPLITS}
    for key in sorted(text_of):
        if len(labels_of[key]) == 1:
            (label,) = labels_of[key]
            rows[split_of(key)].append({"id": key, "text": text_of[key], "label": label})
    return DatasetDict({split: Dataset.from_list(rows[split]) for split in SPLITS})


def key_of(text: str) -> str:
    """A row's id: 16 hexadecimal digits, the same whatever the case, punctuation and spaces."""
    return hashlib.sha256(_bare(text).encode()).hexdigest()[:16]


def split_of(key: str) -> str:
    """The split of the row with this id: train, dev or test, 8 : 1 : 1."""
    # The last digits decide: the first ones are what rows are sorted by.
    tenth = int(key[-8:], 16) % 10
    return {8: "dev", 9: "test"}.get(tenth, "train")


def _bare(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()
