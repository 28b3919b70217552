"""Token ids as training examples: windows of a text, or documents packed into rows.

A language model learns from every position at once, for the target of a token is the next one:

    ids      t0 t1 t2 t3 t4      inputs   t0 t1 t2 t3
                                 targets  t1 t2 t3 t4
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from adaptlab.errors import AdaptlabError

IGNORED = -100  # a target that does not count, as torch's cross_entropy has it


class Batch(NamedTuple):
    """inputs and targets (B, T); documents (B, T) where several share a row, else None."""

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor | None = None


class Windows:
    """One long text, seen through windows of `length` tokens.

    Raises AdaptlabError if the text is shorter than one window and its target.
    """

    def __init__(self, ids: Sequence[int], length: int):
        self.ids, self.length = torch.as_tensor(ids, dtype=torch.long), length
        if len(self.ids) <= length:
            raise AdaptlabError(f"{len(self.ids)} tokens are too few for a window of {length}")

    def draw(self, size: int, seed: int, step: int) -> Batch:
        """`size` windows at random places. Only seed and step decide which, so that a training
        that was broken off goes on with the batches it would have had."""
        places = np.random.default_rng((seed, step)).integers(
            len(self.ids) - self.length, size=size
        )
        return self._at(torch.from_numpy(places))

    def in_order(self, size: int, limit: int | None = None) -> Iterator[Batch]:
        """Windows side by side over the text, the first `limit` of them, in batches of `size`.

        Every token but the first, and the rest at the end, is a target exactly once.
        """
        places = torch.arange(0, len(self.ids) - self.length, self.length)[:limit]
        yield from map(self._at, places.split(size))

    @property
    def fingerprint(self) -> str:
        return _fingerprint(self.ids, self.length)

    def _at(self, places: torch.Tensor) -> Batch:
        window = self.ids[places[:, None] + torch.arange(self.length + 1)]  # (B, T + 1)
        return Batch(window[:, :-1], window[:, 1:])


@dataclass(frozen=True)
class Packed:
    """Rows of several documents each, (N, T): no padding is computed, no document sees another."""

    inputs: torch.Tensor
    targets: torch.Tensor
    documents: torch.Tensor

    def draw(self, size: int, seed: int, step: int) -> Batch:
        """`size` rows; every row once, in an order that seed decides, before any comes again."""
        rounds, places = np.divmod(np.arange(step * size, (step + 1) * size), len(self.inputs))
        orders = {
            r: np.random.default_rng((seed, int(r))).permutation(len(self.inputs))
            for r in np.unique(rounds)
        }
        rows = np.array([orders[r][place] for r, place in zip(rounds, places, strict=True)])
        return self._at(torch.from_numpy(rows))

    def in_order(self, size: int, limit: int | None = None) -> Iterator[Batch]:
        """The first `limit` rows, in batches of `size`."""
        yield from map(self._at, torch.arange(len(self.inputs))[:limit].split(size))

    @property
    def fingerprint(self) -> str:
        every = torch.stack((self.inputs, self.targets, self.documents))
        return _fingerprint(every, self.inputs.shape[1])

    def _at(self, rows: torch.Tensor) -> Batch:
        return Batch(self.inputs[rows], self.targets[rows], self.documents[rows])


def pack_documents(documents: Sequence[Sequence[int]], length: int, end: int) -> Packed:
    """Lay documents one after the other into rows of `length`, each closed by the id `end`.

    The end is a target, for a model has to learn to stop; what follows an end is none. A document
    that does not fit goes on in the next row, where it cannot see its beginning. Raises
    AdaptlabError if there is no full row.
    """
    ids = [token for document in documents for token in (*document, end)]
    owner = np.repeat(np.arange(len(documents)), [len(document) + 1 for document in documents])
    rows = (len(ids) - 1) // length
    if rows < 1:
        raise AdaptlabError(f"{len(ids)} tokens do not fill one row of {length}")
    tokens = torch.tensor(ids[: rows * length + 1])
    of = torch.from_numpy(owner[: rows * length + 1])
    targets = tokens[1:].masked_fill(of[1:] != of[:-1], IGNORED)
    shape = (rows, length)
    return Packed(tokens[:-1].view(shape), targets.view(shape), of[:-1].view(shape))


def pack_pairs(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], length: int, end: int
) -> Packed:
    """Pairs for fine-tuning in rows of `length`: the answer and its `end` are targets, the prompt
    is only read.

    No pair is cut; what is left of a row is padding, which is no target. Raises AdaptlabError if
    there is no pair, a prompt is empty, or a pair is longer than a row.
    """
    if not prompts:
        raise AdaptlabError("no pairs to pack")
    rows: list[list[tuple[int, int, int]]] = [[]]  # of (input, target, pair)
    for pair, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ids = [*prompt, *answer, end]
        if not len(prompt):
            raise AdaptlabError(f"the prompt of pair {pair} is empty")
        if len(ids) - 1 > length:
            raise AdaptlabError(f"pair {pair} has {len(ids) - 1} tokens; a row has {length}")
        if len(rows[-1]) + len(ids) - 1 > length:
            rows.append([])
        targets = [IGNORED] * (len(prompt) - 1) + [*answer, end]
        rows[-1] += zip(ids[:-1], targets, [pair] * len(targets), strict=True)
    padding = (0, IGNORED, -1)
    full = torch.tensor([row + [padding] * (length - len(row)) for row in rows])  # (N, T, 3)
    return Packed(*full.unbind(dim=-1))


def split(ids: Sequence[int], share: float = 0.9) -> tuple[Sequence[int], Sequence[int]]:
    """The first `share` of a text to train on, and the rest to validate."""
    cut = int(len(ids) * share)
    return ids[:cut], ids[cut:]


def _fingerprint(ids: torch.Tensor, length: int) -> str:
    return hashlib.sha256(ids.numpy().tobytes() + str(length).encode()).hexdigest()[:16]
