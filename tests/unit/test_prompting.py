"""The prompt objective and the calibrations, against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.prompting import calibration
from adaptlab.prompting.objective import PromptObjective, exact_match


def a_model_that_reads_marks(texts):
    """Answers 1 to a text with "!" in it, else 0."""
    return np.array([int("!" in text) for text in texts])


OBJECTIVE = PromptObjective(
    a_model_that_reads_marks, exact_match, ["a", "b!", "c!", "d"], np.array([1, 1, 1, 0])
)


def test_value_and_gain_by_hand():
    assert OBJECTIVE.grades().tolist() == [0, 1, 1, 1]
    assert OBJECTIVE.value("! ") == pytest.approx(3 / 4)  # all are answered 1: only d is wrong
    assert OBJECTIVE.gain("! ") == pytest.approx(0)
    assert OBJECTIVE.gain("nothing ") == 0


def test_the_best_prompt_has_the_highest_value():
    harmful = PromptObjective(a_model_that_reads_marks, exact_match, ["a", "b"], np.array([0, 0]))
    assert harmful.best(["! ", "quiet "]) == "quiet "
    assert harmful.gain("! ") == -1


LEANING = st.lists(st.floats(-5, 5), min_size=3, max_size=3)


@given(LEANING)
def test_calibration_cancels_a_constant_leaning(leaning):
    draw = np.random.default_rng(0)
    scores, empty = draw.normal(size=(20, 3)), draw.normal(size=(2, 3))
    leaning = np.array(leaning)
    np.testing.assert_array_equal(
        calibration.centred(scores).argmax(1), calibration.centred(scores + leaning).argmax(1)
    )
    np.testing.assert_array_equal(
        calibration.contextual(scores, empty[:1]).argmax(1),
        calibration.contextual(scores + leaning, empty[:1] + leaning).argmax(1),
    )
    np.testing.assert_array_equal(
        calibration.pmi(scores, empty[0]).argmax(1),
        calibration.pmi(scores + leaning, empty[0] + leaning).argmax(1),
    )


def test_contextual_calibration_is_zhao_s_diagonal_matrix():
    """p(option | item) is divided by the mean probability that content-free inputs give it."""
    scores = np.log([[0.6, 0.2], [0.3, 0.4]])
    empty = np.log([[0.5, 0.1], [0.9, 0.3]])
    mean = np.mean([[5 / 6, 1 / 6], [3 / 4, 1 / 4]], axis=0)
    expected = np.exp(scores) / mean
    found = np.exp(calibration.contextual(scores, empty))
    np.testing.assert_allclose(found, expected)


def test_pmi_is_the_log_of_a_ratio_of_probabilities():
    """By hand: "b" is the likelier word, but "a" is what the item made likelier."""
    scores, neutral = np.log([[0.2, 0.3]]), np.log([0.05, 0.3])
    found = calibration.pmi(scores, neutral)
    np.testing.assert_allclose(np.exp(found), [[4, 1]])
    assert scores.argmax() == 1
    assert found.argmax() == 0


@given(st.integers(0, 100))
def test_pmi_decides_as_contextual_calibration_with_one_input(seed):
    """They differ only in a constant of all options; with several inputs they may disagree."""
    draw = np.random.default_rng(seed)
    scores, empty = draw.normal(size=(20, 3)), draw.normal(size=(1, 3))
    np.testing.assert_array_equal(
        calibration.pmi(scores, empty[0]).argmax(1), calibration.contextual(scores, empty).argmax(1)
    )
