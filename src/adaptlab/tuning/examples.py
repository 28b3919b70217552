"""Texts become training examples: token ids, and which positions are asked for what.

    classify      Review : a moving film Sentiment :          the label, asked at the last token
                                                   ^ 1

    answer        Review : a moving film Sentiment : positive      each answer token, asked at
                                                   ^ positive      the token before it

    text          The tower was built in 1889 .               every token, asked at the one before
                  ^tower ^was ^built ...

A label and a next token are asked for in the same way, so one loss serves them all.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from adaptlab.batching import encode, padded
from adaptlab.errors import AdaptlabError

POOL = 32  # batches that are sorted by length together


@dataclass(frozen=True)
class Example:
    """What is fed to the model, at which positions it is asked, and the right answers.

    Every example weighs the same in the loss, however many positions are asked.
    Raises AdaptlabError if none is asked, one has no token, or there are not as many answers.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[int, ...]

    def __post_init__(self) -> None:
        asked, told = len(self.positions), len(self.targets)
        if asked != told or not asked:
            raise AdaptlabError(f"an example is asked at {asked} positions and has {told} targets")
        if not 0 <= min(self.positions) <= max(self.positions) < len(self.ids):
            raise AdaptlabError(f"an example of {len(self.ids)} tokens is asked beyond them")


@dataclass(frozen=True)
class Examples(Sequence[Example]):
    """Examples, and how many texts were cut to fit."""

    rows: tuple[Example, ...]
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice):
        return Examples(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(self.rows + other.rows, self.truncated + other.truncated)


def classify(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    labels: Sequence[int],
    limit: int | None = None,
) -> Examples:
    """The label is asked at the last token of each text.

    limit: the most tokens of a text, by default what the tokenizer says its model can read. Of a
        longer one the beginning is cut off (see `batching.encode`). How many were cut is counted,
        and a warning says so.
    Raises AdaptlabError for no texts, a text without tokens, or a label that is missing or not a
    whole number from 0 on.
    """
    _check_equal(len(texts), len(labels), "labels")
    for i, label in enumerate(labels):
        if not _is_a_label(label):
            raise AdaptlabError(f"text {i} has no label: {label} (they are whole numbers, 0 or up)")
    limit = tokenizer.model_max_length if limit is None else limit
    coded, cut = _encode(tokenizer, texts, limit)
    if cut:
        warnings.warn(f"{cut} of {len(texts)} texts were cut to {limit} tokens", stacklevel=2)
    rows = zip(coded, labels, strict=True)
    return Examples(tuple(Example(ids, (len(ids) - 1,), (int(y),)) for ids, y in rows), cut)


def answer(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str]
) -> Examples:
    """Each token of the answer is asked at the token before it; the prompt is only read.

    Raises AdaptlabError if there is none, an answer has no tokens, or it merges with its prompt.
    """
    _check_equal(len(prompts), len(answers), "answers")
    joined = [prompt + said for prompt, said in zip(prompts, answers, strict=True)]
    whole, _ = _encode(tokenizer, joined)
    starts, _ = _encode(tokenizer, prompts)
    rows = []
    for ids, start, text in zip(whole, starts, joined, strict=True):
        if ids[: len(start)] != start or len(ids) == len(start):
            raise AdaptlabError(f"the answer in {text[-40:]!r} has no tokens of its own")
        asked = range(len(start) - 1, len(ids) - 1)
        rows.append(Example(ids[:-1], tuple(asked), ids[len(start) :]))
    return Examples(tuple(rows))


def text(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> Examples:
    """Plain text, to be continued: each token but the first is asked at the one before it.

    length: tokens in a row; a longer text goes on in the next row. A rest of one token, which
    nothing stands before, is dropped. Raises AdaptlabError if there is none.
    """
    if length < 2:
        raise AdaptlabError(f"a row of {length} tokens has nothing to predict: take 2 or more")
    coded, _ = _encode(tokenizer, texts)
    parts = [ids[at : at + length] for ids in coded for at in range(0, len(ids), length)]
    rows = [Example(p[:-1], tuple(range(len(p) - 1)), p[1:]) for p in parts if len(p) > 1]
    if not rows:
        raise AdaptlabError("no text has two tokens")
    return Examples(tuple(rows))


def _is_a_label(label: object) -> bool:
    try:
        return int(label) == label and label >= 0
    except (TypeError, ValueError, OverflowError):  # None, a word, NaN, infinity
        return False


def _check_equal(texts: int, others: int, what: str) -> None:
    if texts != others:
        raise AdaptlabError(f"{texts} texts have {others} {what}")


def _encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int | None = None
) -> tuple[list[tuple[int, ...]], int]:
    if not len(texts):
        raise AdaptlabError("no examples to train on")
    return encode(tokenizer, texts, limit)


@dataclass(frozen=True)
class Batch:
    """Examples as tensors, padded on the right, where no earlier token sees the padding.

    inputs: token ids (B, T), or hidden states (B, T, D). rows, columns, targets: (N,) what is
    asked, at which position of which example. weights: (N,), a total of 1 for each example.
    """

    inputs: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


def collate(examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
    """Examples as one batch of token ids."""
    ids, _ = padded([each.ids for each in examples])
    asked = [
        (i, at, target, 1 / len(each.targets))
        for i, each in enumerate(examples)
        for at, target in zip(each.positions, each.targets, strict=True)
    ]
    rows, columns, targets, weights = zip(*asked, strict=True)
    parts = (ids, *map(torch.tensor, (rows, columns, targets, weights)))
    return Batch(*(part.to(device) for part in parts))


def shuffled(
    examples: Sequence[Example], size: int, seed: int, epoch: int
) -> Iterator[list[Example]]:
    """The batches of an epoch in a new order, examples of like length together.

    Lengths are sorted within pools of 32 batches, so that little of a batch is padding. A pool is a
    random sample of the examples; where there is but one, every epoch's batches are nearly the
    same, in another order.
    """
    draw = np.random.default_rng((seed, epoch))
    order = draw.permutation(len(examples))
    for pool in np.split(order, range(POOL * size, len(order), POOL * size)):
        by_length = sorted(pool, key=lambda i: len(examples[i].ids))
        parts = [by_length[i : i + size] for i in range(0, len(by_length), size)]
        for part in draw.permutation(len(parts)):
            yield [examples[i] for i in parts[part]]
