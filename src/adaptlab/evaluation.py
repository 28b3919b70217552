"""Intervals and paired tests: how sure a score is, and whether two scores differ."""

from dataclasses import dataclass

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from adaptlab.errors import AdaptlabError
from adaptlab.records import Score

LEVEL = 0.95
RESAMPLES = 10_000


def accuracy_score(correct: np.ndarray) -> Score:
    """Accuracy and its interval.

    correct: (items,) booleans of one run: Wilson's interval (Wilson, 1927), which holds for small
        n and near 0 and 1. Or (seeds, items), several runs on the same items: a bootstrap that
        draws seeds and items anew (Davison and Hinkley, 1997, section 3.8), for both are chance.
    Raises AdaptlabError if it is empty.
    """
    correct = np.asarray(correct, dtype=bool)
    if correct.size == 0:
        raise AdaptlabError("no items to score")
    if correct.ndim == 1 or len(correct) == 1:
        flat = correct.reshape(-1)
        low, high = proportion_confint(flat.sum(), flat.size, 1 - LEVEL, method="wilson")
        return Score(float(flat.mean()), float(low), float(high), flat.size)
    means = _two_way_bootstrap(correct.astype(float))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Score(float(correct.mean()), float(low), float(high), correct.shape[1])


@dataclass(frozen=True)
class Difference:
    """How much better a is than b on the same items: mean, 95% interval, and p of no difference."""

    value: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return (
            f"{100 * self.value:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}], "
            f"p = {self.p:.2g}"
        )


def paired_difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """Accuracy of a minus accuracy of b, item by item.

    a, b: (items,) booleans, right or wrong on the same items in the same order.
    The interval is a bootstrap over items; p is McNemar's exact test (McNemar, 1947).
    Raises AdaptlabError if the shapes differ.
    """
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1 or a.size == 0:
        raise AdaptlabError(f"paired scores need the same items: {a.shape} and {b.shape}")
    difference = a.astype(float) - b
    means = _two_way_bootstrap(difference[None])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    p = mcnemar(table, exact=True).pvalue
    return Difference(float(difference.mean()), float(low), float(high), float(p))


def _two_way_bootstrap(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """RESAMPLES means of `values` (seeds, items), rows and columns drawn with replacement."""
    seeds, items = values.shape
    draw = np.random.default_rng(seed)
    row_counts = draw.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)  # (R, S)
    weighted = row_counts @ values / seeds  # (R, items): the mean over the drawn seeds
    column_counts = draw.multinomial(items, np.full(items, 1 / items), size=RESAMPLES)
    return np.einsum("ri,ri->r", weighted, column_counts) / items
