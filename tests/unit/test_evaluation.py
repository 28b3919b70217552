"""Intervals and tests against closed forms and simulation."""

from math import comb, sqrt

import numpy as np
import pytest

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import accuracy_score, paired_difference


def test_wilson_by_its_formula():
    n, k, z = 50, 43, 1.959963984540054
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    score = accuracy_score(np.arange(n) < k)
    assert (score.value, score.n) == (p, n)
    assert score.low == pytest.approx(centre - half)
    assert score.high == pytest.approx(centre + half)


def test_an_interval_over_seeds_counts_seeds_and_items():
    draw = np.random.default_rng(0)
    items = draw.random(400) < 0.8
    same = accuracy_score(np.tile(items, (5, 1)))
    one = accuracy_score(items)
    assert same.n == 400
    assert same.value == one.value
    assert same.high - same.low == pytest.approx(one.high - one.low, rel=0.15)
    apart = np.array([draw.random(400) < p for p in (0.6, 0.7, 0.8, 0.9)])
    wide = accuracy_score(apart)
    assert wide.high - wide.low > 1.5 * (same.high - same.low), "seeds that differ widen it"


def test_the_interval_over_seeds_covers():
    """Nine in ten or more of the intervals must hold the true mean of the simulated runs."""
    draw, held = np.random.default_rng(1), 0
    for _ in range(60):
        difficulty = draw.beta(4, 1, size=200)  # mean 0.8
        score = accuracy_score(draw.random((5, 200)) < difficulty)
        held += score.low <= 0.8 <= score.high
    assert held >= 54


def test_mcnemar_is_a_binomial_test_on_the_items_that_differ():
    a = np.array([1] * 9 + [0] * 2 + [1] * 30, bool)
    b = np.array([0] * 9 + [1] * 2 + [1] * 30, bool)
    difference = paired_difference(a, b)
    tail = sum(comb(11, k) for k in range(3)) / 2**11
    assert difference.p == pytest.approx(2 * tail)
    assert difference.value == pytest.approx(7 / 41)
    assert difference.low < difference.value < difference.high
    assert paired_difference(a, a).p == 1


def test_several_runs_are_paired_with_one_or_with_as_many():
    draw = np.random.default_rng(3)
    runs, one = draw.random((4, 300)) < 0.8, draw.random(300) < 0.6
    difference = paired_difference(runs, one)
    assert difference.value == pytest.approx(runs.mean() - one.mean())
    assert difference.p is None
    assert difference.low < difference.value < difference.high
    assert paired_difference(runs, runs).value == 0
    with pytest.raises(AdaptlabError, match="the same items"):
        paired_difference(runs, runs[:2])


def test_bad_scores_are_one_line():
    with pytest.raises(AdaptlabError, match="no items"):
        accuracy_score(np.array([]))
    with pytest.raises(AdaptlabError, match="the same items"):
        paired_difference(np.ones(3), np.ones(4))
