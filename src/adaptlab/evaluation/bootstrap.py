"""Intervals of what is neither a share nor a text metric, by drawing the items anew (Efron, 1979).

Items must be chosen so that they are independent: windows of a text, articles, sentences; not the
tokens in them, whose losses depend on each other.
"""

from collections.abc import Sequence

import numpy as np

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import draws, percentiles
from adaptlab.evaluation.reliability import reliability
from adaptlab.records import Score


def ratio_score(amounts: np.ndarray, sizes: np.ndarray, metric: str) -> Score:
    """The sum of amounts over the sum of sizes, such as bits and characters, and its 95% interval.

    amounts, sizes: (items,). Raises AdaptlabError if there are no items, or sizes of others.
    """
    amounts, sizes = np.asarray(amounts, float), np.asarray(sizes, float)
    if amounts.size == 0 or sizes.shape != amounts.shape or (sizes <= 0).any():
        raise AdaptlabError(f"amounts {amounts.shape} need positive sizes, not {sizes.shape}")
    drawn = [(times @ amounts) / (times @ sizes) for times in draws(len(sizes))]
    return _score(amounts.sum() / sizes.sum(), np.concatenate(drawn), len(sizes), metric)


def auroc_score(inside: np.ndarray, outside: np.ndarray) -> Score:
    """How often a value of `inside` is above one of `outside`; a tie counts half.

    This is the area under the ROC curve: 0.5 where the values tell nothing, 1 where they separate
    the two groups. Each group is drawn anew on its own. Raises AdaptlabError if one is empty.
    """
    inside, outside = np.asarray(inside, float), np.asarray(outside, float)
    if not (inside.size and outside.size):
        raise AdaptlabError(f"{inside.size} items inside and {outside.size} outside: need both")
    above = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)  # (I, O)
    pairs = zip(draws(len(inside)), draws(len(outside), seed=1), strict=True)
    drawn = [np.einsum("ci,io,co->c", a, above, b, optimize=True) for a, b in pairs]
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
    drawn = [np.abs(times @ gaps).sum(1) / (times @ sizes) for times in draws(len(gaps))]
    return _score(found.ece, np.concatenate(drawn), found.n, "ECE")


def _score(value: float, drawn: np.ndarray, n: int, metric: str) -> Score:
    low, high = percentiles(drawn)
    return Score(float(value), float(min(low, value)), float(max(high, value)), n, metric)
