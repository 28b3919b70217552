"""Intervals of what is neither a share nor a text metric, by drawing the items anew (Efron, 1979).

Items must be chosen so that they are independent: windows of a text, articles, sentences; not the
tokens in them, whose losses depend on each other.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import RESAMPLES, percentiles
from adaptlab.evaluation.reliability import reliability
from adaptlab.records import Score


def mean_score(values: np.ndarray, metric: str, weights: np.ndarray | None = None) -> Score:
    """The mean of values, each item with its weight, and its 95% interval.

    values: (items,), or (seeds, items) of several runs on the same items: then seeds and items
        are both drawn anew (Owen, 2007). With few seeds that is a little too narrow.
    weights: (items,), such as lengths; None: all the same.
    Raises AdaptlabError if there are no items, or the weights are not theirs.
    """
    values = np.atleast_2d(np.asarray(values, float))
    seeds, items = values.shape
    weights = np.ones(items) if weights is None else np.asarray(weights, float)
    if values.size == 0 or weights.shape != (items,) or not weights.sum() > 0:
        raise AdaptlabError(f"{weights.shape} weights for values {values.shape}")
    drawn = []
    for runs, times in _draws(seeds, items):  # (C, seeds), (C, items)
        each = times * weights
        total = np.einsum("cs,si,ci->c", runs, values, each, optimize=True)
        drawn.append(total / (each.sum(1) * seeds))
    value = float((values.mean(0) * weights).sum() / weights.sum())
    return _score(value, np.concatenate(drawn), items, metric)


def auroc_score(inside: np.ndarray, outside: np.ndarray) -> Score:
    """How often a value of `inside` is above one of `outside`; a tie counts half.

    This is the area under the ROC curve: 0.5 where the values tell nothing, 1 where they separate
    the two groups. Each group is drawn anew on its own. Raises AdaptlabError if one is empty.
    """
    inside, outside = np.asarray(inside, float), np.asarray(outside, float)
    if not (inside.size and outside.size):
        raise AdaptlabError(f"{inside.size} items inside and {outside.size} outside: need both")
    above = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)  # (I, O)
    pairs = zip(_draws(1, len(inside)), _draws(1, len(outside), seed=1), strict=True)
    drawn = [np.einsum("ci,io,co->c", a, above, b, optimize=True) for (_, a), (_, b) in pairs]
    drawn = np.concatenate(drawn) / above.size
    return _score(float(above.mean()), drawn, len(inside) + len(outside), "AUROC")


def ece_score(
    confidence: Sequence[np.ndarray], right: Sequence[np.ndarray], bins: int = 10
) -> Score:
    """The expected calibration error over all predictions, drawn by the item they belong to.

    confidence, right: for each item (predictions,), its tokens for a text. Bins are of equal width.
    Drawn items are noisier than the items, and noise adds to this error, so the interval may lie
    high; it is widened where it would not hold the value. n is the number of predictions.
    Raises AdaptlabError as `reliability`.
    """
    found = reliability(np.concatenate(confidence), np.concatenate(right), bins)
    cuts = np.linspace(0, 1, bins + 1)[1:-1]
    gaps = np.array(
        [
            np.bincount(np.searchsorted(cuts, sure), sure - hit, minlength=bins)
            for sure, hit in zip(confidence, right, strict=True)
        ]
    )  # (items, bins): by how much confidence exceeds what was right
    sizes = np.array([len(sure) for sure in confidence], float)
    drawn = [np.abs(times @ gaps).sum(1) / (times @ sizes) for _, times in _draws(1, len(gaps))]
    return _score(found.ece, np.concatenate(drawn), found.n, "ECE")


def _score(value: float, drawn: np.ndarray, n: int, metric: str) -> Score:
    low, high = percentiles(drawn)
    return Score(value, min(low, value), max(high, value), n, metric)


def _draws(
    seeds: int, items: int, seed: int = 0, chunk: int = 500
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each seed and each item is drawn, (chunk, seeds) and (chunk, items)."""
    draw = np.random.default_rng(seed)
    for _ in range(RESAMPLES // chunk):  # in chunks, to hold little at a time
        runs = draw.multinomial(seeds, np.full(seeds, 1 / seeds), size=chunk)
        yield runs, draw.multinomial(items, np.full(items, 1 / items), size=chunk)
