"""The figures of reasoning: the checks of all figures, and what these must show."""

import warnings
from collections.abc import Callable, Iterator
from itertools import combinations

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
from adaptlab.report import reasoning_figures as reasoning
from adaptlab.report.labels import ink, luminance
from adaptlab.report.style import BASELINE, LOOKS, figure_style

__all__ = [
    "test_it_says_what_it_shows",
    "test_texts_keep_apart_and_within_the_width",
    "test_texts_lie_within_the_figure",
    "test_what_is_drawn_lies_inside_the_axes",
]

NAN = float("nan")
TASKS = ("coin flip", "last letters", "boolean expressions", "juggling balls", "object counting")
TECHNIQUES = (
    "zero-shot", "zero-shot CoT", "few-shot", "few-shot CoT", "self-consistency", "Auto-CoT",
    "least-to-most", "plan-and-solve", "analogical CoT", "contrastive CoT", "complex CoT",
)  # fmt: skip


def near(value: float, half: float = 6.0) -> tuple[float, float, float]:
    return value, value - half, value + half


PAIRS = {
    "zero-shot CoT": {task: near(4.0 * i - 18) for i, task in enumerate((*TASKS, "all"))},
    "few-shot CoT": {task: near(9.0 * i - 12) for i, task in enumerate((*TASKS, "all"))},
}
VOTES = {
    "self-consistency": {k: (48.0 * k, near(30 + 3 * np.log2(k))) for k in (1, 2, 4, 8, 16)},
    "few-shot, voted": {k: (4.0 * k, near(34 + np.log2(k))) for k in (1, 2, 4, 8, 16)},
    "few-shot CoT": {1: (46.5, near(33))},
}
COSTS = {name: (3 * 1.5**i, near(20 + 3 * (i % 4))) for i, name in enumerate(TECHNIQUES)}
HARDER = {
    "direct": {n: near(100 - 7.0 * n) for n in range(2, 8)},
    "filler": {n: near(101 - 7.2 * n) for n in range(2, 8)},
    "steps": {n: near(99 - 0.5 * n, 1) for n in range(2, 8)},
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "pairs": lambda: reasoning.gains(PAIRS, "T?", "gain, points", "direct answering"),
    "one pair": lambda: reasoning.gains({"a": {"$b$": (0, 0, 0)}}, "T?" * 60, "points", "b"),
    "three series": lambda: reasoning.gains(
        PAIRS | {"contrastive CoT": PAIRS["few-shot CoT"]}, "T?", "gain, points", "few-shot"
    ),
    "votes": lambda: reasoning.voting(VOTES, "T?", "accuracy, %", {"guessing": 21.0}),
    "one vote": lambda: reasoning.voting({"a": {1: (5.0, near(50))}}, "T?" * 60, "accuracy, %"),
    "equal votes": lambda: reasoning.voting(
        {"a": {k: (30.0 * k, (0.0, 0.0, 9.0)) for k in (1, 40)}}, "T?", "share"
    ),
    "costs": lambda: reasoning.against_tokens(
        COSTS, "T?", "tokens a question", "accuracy, %", ("guessing", 25.0)
    ),
    "one cost": lambda: reasoning.against_tokens({"a": (7, near(5))}, "T?" * 60, "tokens", "%"),
    "all at one place": lambda: reasoning.against_tokens(
        dict.fromkeys(TECHNIQUES, (30, (40.0, 30.0, 50.0))), "T?", "tokens", "accuracy, %"
    ),
    "harder": lambda: reasoning.by_difficulty(HARDER, "T?", "operators", "accuracy, %", 50),
    "from none": lambda: reasoning.by_difficulty(
        {"a": {0: (50, 40, 60), 1: (40, 30, 50)}}, "T?", "carries", "%"
    ),
    "one difficulty": lambda: reasoning.by_difficulty(
        {"steps": {4: (100, 100, 100)}}, "T?" * 60, "digits", "accuracy, %"
    ),
    "uneven difficulties": lambda: reasoning.by_difficulty(
        {"$a$": {1: near(80), 2: near(70), 16: near(5)}}, "T?", "steps", "%", 0
    ),
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
        ("pairs", ("zero-shot CoT coin flip -18 [-24, -12]", "0 is direct answering")),
        ("votes", ("self-consistency 30 [24, 36] at k = 1 and 48 tokens", "at k = 16 and 768",
                   "guessing 21")),
        ("costs", ("few-shot CoT 29 [23, 35] at 10.12", "guessing 25")),
        ("harder", ("direct 86 [80, 92] at 2, ", "steps 98 [97, 99] at 2", "guessing 50")),
    ],
)  # fmt: skip
def test_the_alternative_text_reads_the_numbers(of, numbers):
    label = FIGURES[of]().get_label()
    assert all(number in label for number in numbers), label


def test_each_row_has_a_dot_and_a_number_for_each_series():
    (axes,) = FIGURES["pairs"]().axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [*TASKS, "all"]
    for container, (name, own) in zip(axes.containers, PAIRS.items(), strict=True):
        line = container.lines[0]
        assert [*line.get_xdata()] == [value for value, _, _ in own.values()]
        assert line.get_color() == LOOKS[name].colour
    beside = [text.get_text() for text in axes.texts]
    assert beside[0] == "−18.0"
    assert beside[len(TASKS) + 1] == "−12.0"
    rows = [container.lines[0].get_ydata() for container in axes.containers]
    assert (rows[1] > rows[0]).all(), "the second series stands below the first"
    assert np.abs(np.diff(rows, axis=0)).max() < 0.5, "and nearer to its own row than to the next"


def test_both_panels_show_the_same_scores_over_samples_and_over_tokens():
    left, right = FIGURES["votes"]().axes
    for axes in (left, right):
        assert len(axes.containers) == len(VOTES)
    for name, own, by_k, by_tokens in zip(
        VOTES, VOTES.values(), left.containers, right.containers, strict=True
    ):
        assert [*by_k.lines[0].get_xdata()] == [*own], name
        assert [*by_tokens.lines[0].get_xdata()] == [tokens for tokens, _ in own.values()]
        assert np.array_equal(by_k.lines[0].get_ydata(), by_tokens.lines[0].get_ydata())
    levels = [line for line in left.lines if line.get_color() == BASELINE]
    assert [line.get_ydata()[0] for line in levels] == [21]
    assert left.get_ylim() == right.get_ylim()


def test_every_technique_is_named_once():
    for of in ("costs", "all at one place"):
        (axes,) = FIGURES[of]().axes
        words = [text.get_text().replace("\n", " ") for text in axes.texts]
        for name in TECHNIQUES:
            named = [word for word in words if word == name or word[2:] == name]
            assert len(named) == 1, (of, name, words)


def test_guessing_is_named_in_per_cent():
    for of, said in (("costs", "25%"), ("harder", "50%"), ("votes", "21%")):
        words = [text.get_text() for axes in FIGURES[of]().axes for text in axes.texts]
        assert any(word.replace("\n", " ") == f"guessing {said}" for word in words), words


def test_intervals_at_one_difficulty_stand_side_by_side():
    (axes,) = FIGURES["harder"]().axes
    firsts = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert len(set(firsts)) == 3
    assert firsts[1] == 2
    assert np.ptp(firsts) < 0.5
    ticks = [tick for tick in axes.get_xticks() if 2 <= tick <= 7]
    assert all(tick == int(tick) for tick in ticks)


def test_looks_keep_apart():
    hows = [LOOKS[name] for name in TECHNIQUES]
    assert len({(how.colour, how.marker) for how in hows}) == len(hows)
    for one, other in combinations(hows, 2):
        shades = [luminance(how.colour) for how in (one, other)]
        assert one.marker != other.marker or abs(np.diff(shades)[0]) > 0.15, "apart in grey print"
    for how in hows:
        assert 1.05 / (luminance(ink(how.colour)) + 0.05) >= 4.5
        assert luminance(how.colour) < 0.6, "visible on white"


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: reasoning.gains({}, "T?", "points", "b"), "no series"),
        (lambda: reasoning.gains({"a": {}}, "T?", "points", "b"), "at least one"),
        (lambda: reasoning.gains({"a": {"x": near(1)}, "b": {}}, "T?", "%", "b"), "b: differences"),
        (lambda: reasoning.gains({"a": {"x": (NAN, 0, 1)}}, "T?", "%", "b"), "a: numbers"),
        (lambda: reasoning.gains({"a": {"x": (2, 3, 4)}}, "T?", "%", "b"), "not within"),
        (lambda: reasoning.voting({}, "T?", "%"), "no curve"),
        (lambda: reasoning.voting({"a": {}}, "T?", "%"), "a: numbers"),
        (lambda: reasoning.voting({"a": {0: (5, near(1))}}, "T?", "%"), "above 0"),
        (lambda: reasoning.voting({"a": {1: (0, near(1))}}, "T?", "%"), "a, tokens: numbers"),
        (lambda: reasoning.voting(VOTES, "T?", "%", {"b": NAN}), "b: numbers"),
        (lambda: reasoning.against_tokens({}, "T?", "tokens", "%"), "no point"),
        (lambda: reasoning.against_tokens({"a": (0, near(1))}, "T?", "t", "%"), "a, tokens"),
        (lambda: reasoning.against_tokens({"a": (1, (1, 2, 3))}, "T?", "t", "%"), "not within"),
        (lambda: reasoning.against_tokens(COSTS, "T?", "t", "%", ("b", NAN)), "b: numbers"),
        (lambda: reasoning.by_difficulty({}, "T?", "n", "%"), "no series"),
        (lambda: reasoning.by_difficulty({"a": {}}, "T?", "n", "%"), "a: numbers"),
        (lambda: reasoning.by_difficulty({"a": {-1: near(1)}}, "T?", "n", "%"), "above -1"),
        (lambda: reasoning.by_difficulty(HARDER, "T?", "n", "%", NAN), "guessing: numbers"),
    ],
)
def test_bad_input_is_one_line(draw, said):
    with pytest.raises(AdaptlabError) as error:
        draw()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
