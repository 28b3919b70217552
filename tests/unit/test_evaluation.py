"""Intervals and tests against closed forms and simulation."""

from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import (
    accuracy_score,
    goodness_of_fit,
    mean_score,
    paired_difference,
    share_score,
)


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


def test_a_mean_has_student_s_interval():
    values = np.random.default_rng(0).normal(2, 0.5, 40)
    score = mean_score(values)
    known = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (score.low, score.high) == pytest.approx((known.low, known.high))
    assert (score.value, score.n, score.metric) == (values.mean(), 40, "loss")


def test_a_mean_over_seeds_draws_seeds_and_units():
    units = np.random.default_rng(0).normal(2, 0.5, 300)
    apart = np.array([[-0.3], [0.0], [0.3]])  # what a seed adds
    assert mean_score(units + apart).value == pytest.approx(units.mean())
    same, spread = (mean_score(units + s) for s in (0 * apart, apart))
    assert spread.high - spread.low > 3 * (same.high - same.low)


def test_the_interval_over_three_seeds_holds_the_mean_as_often_as_it_says():
    draw, held = np.random.default_rng(1), 0
    for _ in range(1000):
        values = (
            2 + draw.normal(0, 0.1, (3, 1)) + draw.normal(0, 1, 40) + draw.normal(0, 1, (3, 40))
        )
        score = mean_score(values)
        held += score.low <= 2 <= score.high
    assert 925 <= held <= 985


def test_equal_numbers_have_no_width():
    score = mean_score(np.ones(5))
    assert (score.low, score.value, score.high) == (1, 1, 1)


def test_one_number_has_no_interval():
    with pytest.raises(AdaptlabError, match="at least two numbers"):
        mean_score(np.ones(1))


def test_a_right_sampler_gives_even_p_values():
    draw, shares = np.random.default_rng(0), np.array([0.5, 0.3, 0.19, 0.0099, 0.0001, 0])
    found = [goodness_of_fit(draw.multinomial(2000, shares), shares) for _ in range(2000)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    wrong = draw.multinomial(20_000, [0.45, 0.35, 0.19, 0.0099, 0.0001, 0])
    assert goodness_of_fit(wrong, shares) < 1e-3


def test_goodness_of_fit_is_scipy_s_where_nothing_is_rare():
    counts, shares = np.array([30, 50, 20]), np.array([0.4, 0.4, 0.2])
    known = stats.chisquare(counts, 100 * shares).pvalue
    assert goodness_of_fit(counts, shares) == pytest.approx(known)


def test_an_impossible_draw_is_refused():
    with pytest.raises(AdaptlabError, match="probability 0"):
        goodness_of_fit(np.array([5, 1]), np.array([1.0, 0.0]))
    with pytest.raises(AdaptlabError, match="too few"):
        goodness_of_fit(np.array([100, 0]), np.array([1.0, 0.0]))


@pytest.mark.parametrize("n", range(1, 60))
def test_the_interval_of_none_right_holds_nought(n):
    none, every = accuracy_score(np.zeros(n)), accuracy_score(np.ones(n))
    assert none.low <= none.value == 0
    assert every.high >= every.value == 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_an_interval_of_shares_stays_within_them(shares):
    found, free = share_score(np.array(shares)), mean_score(np.array(shares))
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert (found.low, found.high) == (max(0, free.low), min(1, free.high))
    assert found.metric == "accuracy"


def test_what_is_no_share_is_refused():
    with pytest.raises(AdaptlabError, match="from 0 to 1"):
        share_score(np.array([0.5, 1.5]))
