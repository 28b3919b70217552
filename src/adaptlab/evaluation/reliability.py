"""Calibration: is a model that is 80% sure right 8 times in 10?"""

from dataclasses import dataclass

import numpy as np

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.evaluation import accuracy_score

BINNINGS = ("width", "mass")


@dataclass(frozen=True)
class Bin:
    """n items of similar confidence: their mean confidence, and the share that is right.

    low, high: Wilson's 95% interval of the accuracy.
    """

    confidence: float
    accuracy: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Reliability:
    """The bins that hold items, from low to high confidence, and two sums over all n items.

    ece: the expected calibration error, the mean distance between confidence and accuracy of the
        bins, each weighted by its items; 0 to 1. Chance alone makes it positive, more so with few
        items in a bin.
    brier: the mean of (confidence - right)², 0 to 1 (Brier, 1950). It rewards being right as well
        as being calibrated, and needs no bins.
    """

    bins: tuple[Bin, ...]
    ece: float
    brier: float
    n: int


def reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 10, binning: str = "width"
) -> Reliability:
    """How confidence and accuracy agree (Naeini et al., 2015; Guo et al., 2017).

    confidence: (items,), the probability that the model gave its answer, 0 to 1.
    correct: (items,) booleans, whether the answer was right.
    binning: "width", bins that cut 0 to 1 into equal parts, or "mass", bins of about equally many
        items, between quantiles. A value on a bound belongs to the lower bin.
    Raises AdaptlabError if there are no items, the numbers differ, a confidence is no probability,
    there is not one bin, or for an unknown binning.
    """
    confidence, correct = np.asarray(confidence, float), np.asarray(correct, bool)
    _check(confidence, correct, bins, binning)
    steps = np.linspace(0, 1, bins + 1)
    bounds = steps if binning == "width" else np.quantile(confidence, steps)
    of_bin = np.searchsorted(bounds[1:-1], confidence)  # (items,), 0 to bins - 1
    filled = tuple(_bin(confidence[of_bin == i], correct[of_bin == i]) for i in np.unique(of_bin))
    return Reliability(
        bins=filled,
        ece=sum(each.n * abs(each.confidence - each.accuracy) for each in filled) / len(correct),
        brier=float(np.mean((confidence - correct) ** 2)),
        n=len(correct),
    )


def _bin(confidence: np.ndarray, correct: np.ndarray) -> Bin:
    score = accuracy_score(correct)
    return Bin(float(confidence.mean()), score.value, score.low, score.high, score.n)


def _check(confidence: np.ndarray, correct: np.ndarray, bins: int, binning: str) -> None:
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise AdaptlabError(f"confidence {confidence.shape} of other items than {correct.shape}")
    if not len(confidence):
        raise AdaptlabError("no items to score")
    if not ((confidence >= 0) & (confidence <= 1)).all():  # false for NaN too
        raise AdaptlabError("a confidence is a probability, from 0 to 1")
    if bins < 1:
        raise AdaptlabError(f"calibration needs at least one bin, not {bins}")
    if binning not in BINNINGS:
        raise unknown("binning", binning, BINNINGS)
