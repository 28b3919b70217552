"""The figures of prompting: the checks of all figures, and what these must show."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from test_gpt_figures import (  # their checks, on the figures of this file's fixture
    test_it_says_what_it_shows,
    test_texts_keep_apart_and_within_the_width,
)
from test_probe_figures import (
    test_texts_lie_within_the_figure,
    test_what_is_drawn_lies_inside_the_axes,
)

from adaptlab.errors import AdaptlabError
from adaptlab.report import prompt_figures as prompt
from adaptlab.report.labels import luminance
from adaptlab.report.style import BASELINE, LOOKS, figure_style

__all__ = [
    "test_it_says_what_it_shows",
    "test_texts_keep_apart_and_within_the_width",
    "test_texts_lie_within_the_figure",
    "test_what_is_drawn_lies_inside_the_axes",
]

NAN = float("nan")
WAYS = {
    "options scored": {"right": 80, "wrong": 40, "no answer": 0},
    "text, strict": {"right": 30, "wrong": 6, "no answer": 84},
    "text, lenient": {"right": 76, "wrong": 40, "no answer": 4},
}
SURE = {"options scored": (66.7, 57.8, 74.5), "text, strict": (25.0, 18.1, 33.4)}


def drawn(middle: float, half: float = 5.0, draws: int = 3):
    return (middle, middle - half, middle + half), list(np.linspace(middle - 6, middle + 6, draws))


SHOTS = {
    "few-shot": {k: drawn(60 + 3 * i) for i, k in enumerate((1, 2, 4, 8, 16))},
    "few-shot, centred": {k: drawn(72 + i) for i, k in enumerate((1, 2, 4, 8, 16))},
}
LEVELS = {"zero-shot": 70.3, "zero-shot, centred": 74.1, "guessing": 50.0}
SHARES = {"share": {p: drawn(5 + 11.0 * p, 4, 1) for p in (0, 2, 4, 6, 8)}}
SPREADS = {
    "other orders": {"few-shot": [55.0, 61, 72, 66, 50.5], "few-shot, centred": [72.0, 72, 72, 73]},
    "other examples": {"few-shot": [60.0, 71, 58], "few-shot, centred": [70.0, 74.5, 69]},
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "ways": lambda: prompt.outcomes(WAYS, "T?", "share of 120 reviews, %", SURE),
    "one way": lambda: prompt.outcomes({"$a$": {"right": 1}}, "T?" * 60, "share, %"),
    "small parts": lambda: prompt.outcomes(
        {"a long name of a way": {"a": 1, "b": 2, "c": 97}}, "T?", "share, %"
    ),
    "sure": lambda: prompt.outcomes(
        {"a": {"right": 3, "wrong": 0}}, "T?", "share, %", {"a": (100.0, 40.0, 100.0)}
    ),
    "shots": lambda: prompt.along(SHOTS, "T?", "k", "accuracy, %", LEVELS, log_x=True),
    "shares": lambda: prompt.along(SHARES, "T?", "positive", "said, %", {"true": 49.0}),
    "one place": lambda: prompt.along({"a": {4: drawn(3, 0)}}, "T?" * 60, "k", "%"),
    "one place, logarithmic": lambda: prompt.along(
        {"$a$": {4: drawn(3, 0, 1)}}, "T?", "k\nexamples", "%", log_x=True
    ),
    "spreads": lambda: prompt.spread(SPREADS, "T?", "accuracy, %", {"zero-shot": 70.0}),
    "one score": lambda: prompt.spread({"$a$": {"b": [1.0]}}, "T?" * 60, "share"),
    "many equal": lambda: prompt.spread({"orders": {"few-shot": [50.0] * 24}}, "T?", "%"),
}


@pytest.fixture(scope="module", params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Iterator[Figure]:
    """A drawn figure; a missing glyph or a layout that fails is a warning, and so an error."""
    with warnings.catch_warnings(), figure_style():
        warnings.simplefilter("error")
        made = FIGURES[request.param]()
        FigureCanvasAgg(made).draw()
        yield made


@pytest.mark.parametrize(
    ("of", "numbers"),
    [
        ("ways", ("text, strict right 25%, wrong 5%, no answer 70%", "share of 120 reviews")),
        ("shots", ("few-shot 60 [55, 65] at 1, ", "72 [67, 77] at 16; few-shot, centred 72",
                   "guessing 50")),
        ("spreads", ("other orders, few-shot 5 scores from 50.5 to 72, mean 60.9",
                     "zero-shot 70")),
    ],
)  # fmt: skip
def test_the_alternative_text_reads_the_numbers(of, numbers):
    label = FIGURES[of]().get_label()
    assert all(number in label for number in numbers), label


def test_the_parts_of_a_bar_are_shares_that_follow_each_other_and_fill_it():
    (axes,) = FIGURES["ways"]().axes
    bars = np.array([(b.get_x(), b.get_width()) for b in axes.patches]).reshape(3, 3, 2)
    assert np.allclose(bars[1, :, 1], [25, 5, 70])
    assert np.allclose(bars[:, 1:, 0], bars[:, :-1].sum(2)), "each begins where the last ends"
    assert np.allclose(bars[..., 1].sum(1), 100)
    assert [t.get_text() for t in axes.texts] == ["67%", "33%", "25%", "70%", "63%", "33%"]
    whiskers = [container.lines[0] for container in axes.containers if hasattr(container, "lines")]
    assert len(whiskers) == len(SURE)
    assert axes.get_xlabel().endswith("\nblue: right, orange: wrong, grey: no answer")


def test_the_parts_differ_in_grey_print():
    shades = [luminance(ground) for ground in prompt.GROUNDS.values()]
    assert np.diff(shades).min() > 0.2, "dark, middle, light"


def test_every_draw_is_a_dot_and_the_line_goes_through_the_means():
    (axes,) = FIGURES["shots"]().axes
    for container, (name, curve) in zip(axes.containers, SHOTS.items(), strict=True):
        line = container.lines[0]
        assert [*line.get_ydata()] == [ends[0] for ends, _ in curve.values()]
        assert line.get_color() == LOOKS[name].colour
        assert np.allclose(np.log2(line.get_xdata()), np.log2([*curve]), atol=0.1)
    dots = [line for line in axes.lines if line.get_markersize() == 3]
    assert len(dots) == sum(map(len, SHOTS.values()))
    assert {len(line.get_xdata()) for line in dots} == {3}
    levels = [line.get_ydata()[0] for line in axes.lines if line.get_color() == BASELINE]
    assert levels == [*LEVELS.values()]


def test_series_stand_beside_each_other():
    (axes,) = FIGURES["shots"]().axes
    first, second = (container.lines[0].get_xdata() for container in axes.containers)
    assert (second > first).all()


def test_equal_scores_do_not_hide_each_other():
    (axes,) = FIGURES["spreads"]().axes
    rows = [line for line in axes.lines if line.get_markersize() == 5]
    assert [len(line.get_xdata()) for line in rows] == [5, 4, 3, 3]
    heights = rows[1].get_ydata()
    assert len(set(heights[:3])) == 3
    assert np.abs(heights - 1).max() < 0.4
    assert [text.get_text() for text in axes.texts][:2] == ["50.5 to 72.0", "72.0 to 73.0"]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: prompt.outcomes({}, "T?", "%"), "no row"),
        (lambda: prompt.outcomes({"a": {"x": 0}}, "T?", "%"), "not all of them 0"),
        (lambda: prompt.outcomes({"a": {"x": 2, "y": -1}}, "T?", "%"), "a: "),
        (lambda: prompt.outcomes({"a": {"x": 1}, "b": {"y": 1}}, "T?", "%"), "b: counts of x"),
        (lambda: prompt.outcomes({"a": dict.fromkeys("wxyz", 1)}, "T?", "%"), "at most three"),
        (lambda: prompt.outcomes({"a": {"x": 1}}, "T?", "%", {"a": (1, 2, 3)}), "not within"),
        (lambda: prompt.along({}, "T?", "k", "%"), "no series"),
        (lambda: prompt.along({"a": {}}, "T?", "k", "%"), "a: numbers"),
        (lambda: prompt.along({"a": {1: ((NAN, 1, 1), [1])}}, "T?", "k", "%"), "a: numbers"),
        (lambda: prompt.along({"a": {1: ((1, 1, 1), [])}}, "T?", "k", "%"), "a: numbers"),
        (lambda: prompt.along({"a": {0: drawn(1)}}, "T?", "k", "%", log_x=True), "above 0"),
        (lambda: prompt.along(SHOTS, "T?", "k", "%", {"b": NAN}), "b: numbers"),
        (lambda: prompt.spread({}, "T?", "%"), "no group"),
        (lambda: prompt.spread({"a": {}}, "T?", "%"), "no method of 'a'"),
        (lambda: prompt.spread({"a": {"b": []}}, "T?", "%"), "a, b: numbers"),
        (lambda: prompt.spread({"a": {"b": [1]}}, "T?", "%", {"c": NAN}), "c: numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, said):
    with pytest.raises(AdaptlabError, match=said) as caught:
        draw()
    assert "\n" not in str(caught.value)
