"""Intervals and paired tests: how sure a score is, and whether two scores differ."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import chisquare, t
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from adaptlab.errors import AdaptlabError
from adaptlab.records import Score

LEVEL = 0.95
RESAMPLES = 10_000


def accuracy_score(correct: np.ndarray) -> Score:
    """Accuracy and its interval.

    correct: (items,) booleans of one run: Wilson's interval (Wilson, 1927), which holds for small
        n and near 0 and 1. Or (seeds, items), several runs on the same items: the pigeonhole
        bootstrap (Owen, 2007), which draws seeds and items anew, for both are chance. With few
        seeds it is a little too narrow.
    Raises AdaptlabError if it is empty.
    """
    correct = np.asarray(correct, dtype=bool)
    if correct.size == 0:
        raise AdaptlabError("no items to score")
    if correct.ndim == 1 or len(correct) == 1:
        flat = correct.reshape(-1)
        low, high = proportion_confint(flat.sum(), flat.size, 1 - LEVEL, method="wilson")
        share = float(flat.mean())  # at 0 or 1 an end may pass it by a rounding
        return Score(share, min(share, float(low)), max(share, float(high)), flat.size)
    low, high = percentiles(_two_way_bootstrap(correct.astype(float)))
    return Score(float(correct.mean()), low, high, correct.shape[1])


def mean_score(values: np.ndarray, metric: str = "loss") -> Score:
    """The mean of any numbers and its interval, such as the losses on the windows of a text.

    values: (units,) of one run: Student's t over the units. Or (seeds, units), several runs on
        the same units: both seeds and units are chance, so their variances add up, with
        Satterthwaite's (1946) degrees of freedom; two or three seeds make a wide interval.
    Raises AdaptlabError with fewer than two units.
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    seeds, units = values.shape
    if units < 2:
        raise AdaptlabError(f"an interval needs at least two numbers, not {values.size}")
    of_units = values.mean(axis=0).var(ddof=1) / units
    of_seeds = values.mean(axis=1).var(ddof=1) / seeds if seeds > 1 else 0.0
    half = half_width((of_units, units), (of_seeds, seeds))
    mean = float(values.mean())
    return Score(mean, mean - half, mean + half, units, metric)


def share_score(values: np.ndarray, metric: str = "accuracy") -> Score:
    """As `mean_score`, for shares: each of the values, and so their mean, is within [0, 1].

    values: (units,) or (seeds, units), such as how often a vote of some of an item's samples is
        right. Student's interval can pass 0 or 1 where units are few, and ends there.
    Raises AdaptlabError as `mean_score`, and for a value outside of [0, 1].
    """
    values = np.asarray(values, dtype=float)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise AdaptlabError("shares are from 0 to 1")
    found = mean_score(values, metric)
    return Score(found.value, max(0.0, found.low), min(1.0, found.high), found.n, metric)


def half_width(*parts: tuple[float, int]) -> float:
    """Half of the 95% interval of a mean whose variance is the sum of parts.

    parts: the variance of the mean that each kind of luck makes, and from how many it was found.
        Satterthwaite (1946) gives the degrees of freedom: with few seeds that differ, few.
    """
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0
    freedom = variance**2 / sum(part**2 / max(1, count - 1) for part, count in parts)
    return float(np.sqrt(variance) * t.ppf((1 + LEVEL) / 2, freedom))


def goodness_of_fit(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """The p-value of Pearson's chi-square test (1900): do the counts fit the distribution?

    counts, probabilities: (outcomes,). Outcomes expected fewer than 5 times, for which the test
    does not hold, are counted as one, together with as many others as that takes.
    Raises AdaptlabError if less than two outcomes are left, or one of probability 0 was drawn.
    """
    counts, shares = np.asarray(counts), np.asarray(probabilities, dtype=float)
    if counts[shares == 0].any():
        raise AdaptlabError("an outcome of probability 0 was drawn")
    order = np.argsort(-shares)
    counts, expected = counts[order], counts.sum() * shares[order] / shares.sum()
    rest = expected[::-1].cumsum()[::-1]  # of each outcome and all rarer ones
    kept = int(np.sum((expected >= 5) & (np.append(rest[1:], 0) >= 5)))
    bins = [np.append(values[:kept], values[kept:].sum()) for values in (counts, expected)]
    if kept < 1:
        raise AdaptlabError("the counts are too few for two outcomes")
    return float(chisquare(*bins).pvalue)


@dataclass(frozen=True)
class Difference:
    """How much better a is than b on the same items: mean, 95% interval, and p of no difference.

    p is None over several seeds, where an exact test of one run does not apply.
    """

    value: float
    low: float
    high: float
    p: float | None

    def __str__(self) -> str:
        value, low, high = (100 * part for part in (self.value, self.low, self.high))
        points = f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"
        return points if self.p is None else f"{points}, p = {self.p:.2g}"


def paired_difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """Accuracy of a minus accuracy of b, item by item.

    a, b: (items,) or (seeds, items) booleans, right or wrong on the same items in the same order;
        one run is compared with each of several. The interval is a bootstrap over items, and over
        seeds where there are several; for one run of each, p is McNemar's exact test (1947).
    Raises AdaptlabError if the items, or the numbers of seeds, do not match.
    """
    a, b = np.atleast_2d(np.asarray(a, dtype=bool)), np.atleast_2d(np.asarray(b, dtype=bool))
    seeds = {len(a), len(b)} - {1}
    if a.shape[1] != b.shape[1] or a.size == 0 or len(seeds) > 1:
        raise AdaptlabError(f"paired scores need the same items: {a.shape} and {b.shape}")
    difference = a.astype(float) - b
    low, high = percentiles(_two_way_bootstrap(difference))
    p = None if seeds else float(mcnemar(_agreement(a[0], b[0]), exact=True).pvalue)
    return Difference(float(difference.mean()), low, high, p)


def draws(items: int, seed: int = 0, chunk: int = 500) -> Iterator[np.ndarray]:
    """How often the bootstrap draws each item, (chunk, items), until RESAMPLES draws are made."""
    draw = np.random.default_rng(seed)
    for _ in range(RESAMPLES // chunk):  # in chunks, to hold little at a time
        yield draw.multinomial(items, np.full(items, 1 / items), size=chunk).astype(float)


def percentiles(drawn: np.ndarray) -> tuple[float, float]:
    """The bounds of the bootstrap's 95% interval (Efron, 1979), the middle of `drawn`."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _agreement(a: np.ndarray, b: np.ndarray) -> list[list[int]]:
    """How many items both, only a, only b, and neither got right."""
    return [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]


def _two_way_bootstrap(values: np.ndarray, seed: int = 0, chunk: int = 500) -> np.ndarray:
    """RESAMPLES means of `values` (seeds, items), rows and columns drawn with replacement."""
    seeds, items = values.shape
    draw = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES // chunk):  # in chunks, to hold little at a time
        rows = draw.multinomial(seeds, np.full(seeds, 1 / seeds), size=chunk)  # (C, seeds)
        columns = draw.multinomial(items, np.full(items, 1 / items), size=chunk)  # (C, items)
        means.append(np.einsum("cs,si,ci->c", rows, values, columns, optimize=True))
    return np.concatenate(means) / (seeds * items)
