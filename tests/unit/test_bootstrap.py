"""Intervals by drawing items anew, against formulas and libraries."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import RESAMPLES, draws
from adaptlab.evaluation.bootstrap import auroc_score, ece_score, ratio_score
from adaptlab.evaluation.reliability import reliability

DRAW = np.random.default_rng(0)


def test_each_draw_has_as_many_items_as_there_are():
    drawn = np.concatenate(list(draws(7)))
    assert drawn.shape == (RESAMPLES, 7)
    assert (drawn.sum(1) == 7).all()
    assert drawn.mean(0) == pytest.approx(np.ones(7), abs=0.05)
    assert (next(draws(7)) == drawn[:500]).all()
    assert (next(draws(7, seed=1)) != drawn[:500]).any()


def test_a_ratio_is_that_of_the_sums():
    bits, letters = DRAW.gamma(9, 5, size=200), DRAW.integers(10, 60, size=200)
    found = ratio_score(bits, letters, "bits per character")
    assert found.value == pytest.approx(bits.sum() / letters.sum())
    assert found.low < found.value < found.high
    assert (found.n, found.metric) == (200, "bits per character")


def test_of_equal_sizes_it_has_the_interval_of_a_mean():
    values = DRAW.normal(3, 2, size=400)
    found = ratio_score(values, np.ones(400), "loss")
    half = 1.96 * values.std() / 20
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), 0.1)


def test_auroc_is_scikit_learn_s():
    inside, outside = DRAW.normal(1, 1, 40).round(1), DRAW.normal(0, 1, 30).round(1)
    found = auroc_score(inside, outside)
    labels = [1] * 40 + [0] * 30
    assert found.value == pytest.approx(roc_auc_score(labels, [*inside, *outside]))
    assert found.low < found.value < found.high
    assert auroc_score([2, 3], [0, 1]).value == 1
    assert auroc_score([1, 1], [1]).value == 0.5


def test_ece_is_that_of_all_predictions():
    confidence = [DRAW.uniform(0, 1, size) for size in (30, 5, 60, 1, 44)]
    right = [sure > DRAW.uniform(0, 1, len(sure)) for sure in confidence]
    found = ece_score(confidence, right)
    assert found.value == reliability(np.concatenate(confidence), np.concatenate(right)).ece
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n == 140


@pytest.mark.parametrize(
    "score",
    [
        lambda: ratio_score([], [], "loss"),
        lambda: ratio_score([1, 2], [1], "loss"),
        lambda: auroc_score([], [1]),
        lambda: ece_score([np.array([])], [np.array([])]),
    ],
)
def test_no_items(score):
    with pytest.raises(AdaptlabError):
        score()
