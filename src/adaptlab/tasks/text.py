"""Tasks whose answer is a text: a source, a mark that says what is wanted, and a target."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict

from adaptlab.errors import AdaptlabError
from adaptlab.tasks import SPLITS, first_rows, key_of, split_of


@dataclass(frozen=True)
class TextTask:
    """A task of writing one text from another, as a text to continue: `source <mark> target`.

    splits: train, dev and test, each with the columns id, source, target and references (all the
        right answers that are known; target is the first). Rows are ordered by id, a hash of the
        source, so that the first n rows of a split are a random sample of it.
    mark: what stands between source and target and names the task, as " <to-fr>".
    Source: Radford et al. (2018), Improving Language Understanding by Generative Pre-Training, for
    tasks as text with marks between the parts.
    """

    name: str
    splits: DatasetDict
    mark: str
    sources: tuple[str, ...]

    def prompt(self, source: str) -> str:
        """The source and the mark, with the target left open."""
        return f"{source}{self.mark}"

    def answer(self, target: str) -> str:
        """The target as it follows the prompt, its space first."""
        return f" {target}"

    def first(self, split: str, n: int | None = None) -> Dataset:
        """The first n rows of a split (all by default); the same rows in every run.

        Raises AdaptlabError for an unknown split or more rows than it has.
        """
        return first_rows(self.name, self.splits, split, n)

    def sample(self, n: int, seed: int) -> Dataset:
        """n different rows of train, drawn and shuffled by `seed`.

        Raises AdaptlabError for more rows than train has.
        """
        train = self.splits["train"]
        if not 0 < n <= len(train):
            raise AdaptlabError(f"{self.name}/train has {len(train)} rows; {n} were asked for")
        return train.select(np.random.default_rng(seed).choice(len(train), n, replace=False))


def split_pairs(pairs: Iterable[tuple[str, str]], one_in: int = 1) -> DatasetDict:
    """Split pairs of source and target 8 : 1 : 1 by a hash of each source.

    one_in: how much to keep, chosen by the same hash: one source in so many.

    Pairs whose sources differ only in case, punctuation or spaces are one row: its source and
    target are the first ones, and all its targets are the references. So no source is in two
    splits; and no target is, for a row is left out if a split that is kept further from training
    (test, then dev) holds one of its references.
    """
    source_of: dict[str, str] = {}
    references: dict[str, dict[str, None]] = {}  # a dict keeps the order and drops copies
    for source, target in pairs:
        key = key_of(source)
        if int(key, 16) % one_in:
            continue
        source_of.setdefault(key, source)
        references.setdefault(key, {})[target] = None
    keys: dict[str, list[str]] = {split: [] for split in SPLITS}
    for key in sorted(source_of):
        keys[split_of(key)].append(key)
    kept = _without_shared_targets(keys, references)
    return DatasetDict({split: _dataset(kept[split], source_of, references) for split in SPLITS})


def _without_shared_targets(
    keys: dict[str, list[str]], references: dict[str, dict[str, None]]
) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {}
    taken: set[str] = set()
    for split in reversed(SPLITS):
        targets = {key: set(map(key_of, references[key])) for key in keys[split]}
        kept[split] = [key for key in keys[split] if taken.isdisjoint(targets[key])]
        taken.update(*(targets[key] for key in kept[split]))
    return kept


def _dataset(
    keys: list[str], source_of: dict[str, str], references: dict[str, dict[str, None]]
) -> Dataset:
    answers = [list(references[key]) for key in keys]
    return Dataset.from_dict(
        {
            "id": keys,
            "source": [source_of[key] for key in keys],
            "target": [answer[0] for answer in answers],
            "references": answers,
        }
    )
