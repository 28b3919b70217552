"""Calibration against numbers worked out by hand, scikit-learn and simulation."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from statsmodels.stats.proportion import proportion_confint

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation.reliability import reliability

DRAW = np.random.default_rng(0)
CONFIDENCE = DRAW.beta(4, 2, size=2000).round(2)  # many equal ones, some on the bins' bounds
CORRECT = DRAW.random(2000) < CONFIDENCE**2  # overconfident


def test_an_example_worked_out_by_hand():
    """Two bins: 0.2 and 0.4, none right; 0.6, 0.8 and 1.0, two of three right."""
    found = reliability([0.2, 0.4, 0.6, 0.8, 1.0], [0, 0, 1, 0, 1], bins=2)
    low, high = found.bins
    assert (low.confidence, low.accuracy, low.n) == pytest.approx((0.3, 0, 2))
    assert (high.confidence, high.accuracy, high.n) == pytest.approx((0.8, 2 / 3, 3))
    assert found.ece == pytest.approx(2 / 5 * 0.3 + 3 / 5 * (0.8 - 2 / 3))
    assert found.brier == pytest.approx((0.04 + 0.16 + 0.16 + 0.64 + 0) / 5)
    assert (high.low, high.high) == pytest.approx(proportion_confint(2, 3, method="wilson"))
    assert found.n == 5


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_bins_and_brier_score_are_scikit_learn_s(binning, strategy, bins):
    found = reliability(CONFIDENCE, CORRECT, bins, binning)
    accuracy, confidence = calibration_curve(CORRECT, CONFIDENCE, n_bins=bins, strategy=strategy)
    np.testing.assert_allclose([each.accuracy for each in found.bins], accuracy)
    np.testing.assert_allclose([each.confidence for each in found.bins], confidence)
    assert found.brier == pytest.approx(brier_score_loss(CORRECT, CONFIDENCE))
    assert sum(each.n for each in found.bins) == found.n == 2000


def test_bins_of_equal_mass_hold_about_equally_many():
    found = reliability(CONFIDENCE, CORRECT, 10, "mass")
    assert len(found.bins) == 10
    assert all(abs(each.n - 200) < 60 for each in found.bins)  # equal values stay together


def test_a_model_that_is_right_as_often_as_it_says_is_calibrated():
    """Each confidence c = k/10 ten times, right k times: exactly calibrated; the Brier score is
    the mean of c (1 - c)."""
    confidence = np.repeat(np.arange(11) / 10, 10)
    correct = np.concatenate([np.arange(10) < k for k in range(11)])
    for binning in ("width", "mass"):
        found = reliability(confidence, correct, 10, binning)
        assert found.ece == pytest.approx(0, abs=1e-12)
        assert found.brier == pytest.approx(np.mean(confidence * (1 - confidence)))


def test_drawn_answers_are_calibrated_within_their_intervals():
    draw = np.random.default_rng(1)
    confidence = draw.random(20_000)
    found = reliability(confidence, draw.random(20_000) < confidence)
    assert found.ece < 0.02
    assert found.brier == pytest.approx(1 / 6, abs=0.01)  # the integral of c (1 - c)
    assert sum(each.low <= each.confidence <= each.high for each in found.bins) >= 8


def test_overconfidence_is_the_distance_from_what_is_right():
    found = reliability(np.full(100, 0.9), np.arange(100) < 60)
    assert found.ece == pytest.approx(0.3)
    assert len(found.bins) == 1


@pytest.mark.parametrize("n", range(1, 60))
def test_a_bin_s_interval_holds_its_accuracy(n):
    for right in (0, 1):  # where an end may pass it by a rounding
        (found,) = reliability(np.full(n, 0.5), np.full(n, right)).bins
        assert found.low <= found.accuracy == right <= found.high


def test_bad_confidences_are_one_line():
    with pytest.raises(AdaptlabError, match="no items"):
        reliability([], [])
    with pytest.raises(AdaptlabError, match="other items"):
        reliability([0.5], [1, 0])
    with pytest.raises(AdaptlabError, match="a probability"):
        reliability([1.2], [1])
    with pytest.raises(AdaptlabError, match="a probability"):
        reliability([np.nan], [1])
    with pytest.raises(AdaptlabError, match="at least one bin"):
        reliability([0.5], [1], bins=0)
    with pytest.raises(AdaptlabError, match="did you mean width"):
        reliability([0.5], [1], binning="widht")
