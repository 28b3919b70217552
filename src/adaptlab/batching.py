"""Sequences of similar length together, so that little is padded."""

from collections.abc import Callable, Iterator, Sequence


def by_length(lengths: Sequence[int], fits: Callable[[int, int], bool]) -> Iterator[list[int]]:
    """The indices of sequences in batches, longest first: what is too large then fails at once.

    fits: whether a batch may have this count and this longest length; it is padded to the longest.
        A single sequence is always let through.
    Sequences of one length stay in their order. Every index comes once.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and not fits(len(batch) + 1, lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
