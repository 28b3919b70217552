"""The figures of LoRA and its optimisers: the checks of all figures, and what these must show."""

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
from adaptlab.report import lora_figures as lora
from adaptlab.report import optimiser_figures as optimiser
from adaptlab.report.labels import ink, luminance
from adaptlab.report.series import scientific
from adaptlab.report.style import BASELINE, LOOKS, figure_style

__all__ = [
    "test_it_says_what_it_shows",
    "test_texts_keep_apart_and_within_the_width",
    "test_texts_lie_within_the_figure",
    "test_what_is_drawn_lies_inside_the_axes",
]

NAN = float("nan")
KINDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
OPTIMISERS = ("AdamW", "LoRA+", "ScaledAdam", "Lamb", "Shampoo", "LoRA-RITE", "ScaledGD")
METHODS = ("LoRA", "QLoRA", "LoRA, merged", "norm gains", "full fine-tuning")
RANKS = (1, 2, 4, 8, 16, 32, 64)
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
DIMENSIONS = (10, 32, 100, 316, 1000, 3162, 10_000, 31_620)


def near(value: float, half: float = 2.0) -> tuple[float, float, float]:
    return value, value - half, value + half


def energy(count: int, power: float) -> np.ndarray:
    squares = np.arange(1, count + 1.0) ** -power
    return 100 * np.cumsum(squares) / squares.sum()


SPECTRA = {
    kind: energy(192 if kind in ("k_proj", "v_proj") else 576, 0.9 + 0.1 * i)
    for i, kind in enumerate(KINDS)
}
BY_RANK = {
    f"alpha = {a}": {r: near(80 + (1 + a / 99) * np.log2(r)) for r in RANKS} for a in (8, 16, 32)
}
LEVELS = {"full fine-tuning": 86.1, "head only": 71.0}
ROWS = {
    "q": (near(78), 115_200), "v": (near(81.2), 115_200),
    "all linear layers": (near(85), 1_843_200), "LoRA": (near(83.1), "460,800\nor so"),
}  # fmt: skip
DIVERGENCES = {"merged, 16-bit": ((1e-3, 9e-4, 2e-3), "99%"), "4-bit": ((0.1, 0.08, 0.2), "81%")}
LEARNT = {d: near(50 + 36 / (1 + (800 / d) ** 0.8)) for d in DIMENSIONS}
STEPS = np.arange(1, 301.0)
FACTORS = {
    name: (1e-5 * (1 + i / 5) * STEPS**0.7, 1e-4 * (1 + i) * STEPS**0.8)
    for i, name in enumerate(OPTIMISERS)
}
SWEEPS = {
    name: {r: near(86 - i / 2 - 9 * (np.log10(r) + 3.5 + 0.2 * i) ** 2, 1) for r in RATES}
    for i, name in enumerate(OPTIMISERS)
}
DRIFTS = {
    name: {"scale": 10.0 ** (3 * i - 16), "rotation": 0.0, "any": 10.0 ** (4 * i - 15)}
    for i, name in enumerate(OPTIMISERS)
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "spectra": lambda: lora.spectrum(SPECTRA, "T?", energy(576, 0.3)),
    "one singular value": lambda: lora.spectrum({"a": [100.0]}, "T?"),
    "part of a spectrum": lambda: lora.spectrum({"a": SPECTRA["q_proj"][:20]}, "T?" * 60),
    "ranks": lambda: lora.against_rank(BY_RANK, "T?", "rank r", "accuracy, %", LEVELS),
    "one rank": lambda: lora.against_rank({"LoRA": {8: (1, 1, 1)}}, "T?", "r", "loss, nats"),
    "close ranks": lambda: lora.against_rank(
        {"$a$": dict.fromkeys(range(1, 65), (0.5, 0.5, 0.5))}, "T?", "r", "share"
    ),
    "targets": lambda: lora.targets(ROWS, "T?", "accuracy, %", reference=("full", 86.0)),
    "divergences": lambda: lora.targets(
        DIVERGENCES, "T?", "divergence, nats", counts="same answer", log_x=True
    ),
    "one target": lambda: lora.targets({"$q$": ((1, 1, 1), 5)}, "T?" * 60, "%"),
    "close divergences": lambda: lora.targets(
        {"a": ((0.01, 0.01, 0.011), 5)}, "T?", "nats", log_x=True
    ),
    "dimensions": lambda: lora.intrinsic(LEARNT, 86, 50, "T?", 3162),
    "d90 beyond what was measured": lambda: lora.intrinsic({10: near(60)}, 86, 50, "T?", 10**6),
    "no d90": lambda: lora.intrinsic({10: near(60), 20: near(60)}, 86, 60, "T?", None),
    "factors": lambda: optimiser.factor_norms(FACTORS, "T?"),
    "one step": lambda: optimiser.factor_norms({"a": ([1e-3], [1e-9])}, "T?", "norm"),
    "from 0": lambda: optimiser.factor_norms(
        {"AdamW": ([0, 1.0, 1.1], [0, 0, 1.2])}, "T?", "norm", steps=[0, 10, 20]
    ),
    "rates": lambda: optimiser.rates(SWEEPS, "T?", "accuracy on dev, %"),
    "one rate": lambda: optimiser.rates({"SGD": {0.1: near(80)}}, "T?", "accuracy on dev, %"),
    "many rates": lambda: optimiser.rates(
        {"a": {10.0**i: near(80) for i in range(-9, 3)}}, "T?", "accuracy on dev, %"
    ),
    "drifts": lambda: optimiser.drifts(DRIFTS, "T?"),
    "one drift": lambda: optimiser.drifts({"$a$": {"any": 1e9}}, "T?"),
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
        ("spectra", ("down_proj 39.5% at r = 1, 90% at r = 35", "random matrix 0.8% at r = 1")),
        ("part of a spectrum", ("43% at last",)),
        ("ranks", ("alpha = 8 80 [78, 82] at 1, ", "full fine-tuning 86.1")),
        ("targets", ("q 78 [76, 80], 115,200", "layers 85 [83, 87], 1,843,200", "full 86")),
        ("divergences", ("and same answer: merged, 16-bit 0.001 [0.0009, 0.002], 99%",)),
        ("dimensions", ("at d = 31,620", "untrained 50", "90% of that 77.4", "d90 3,162")),
        ("no d90", ("d90 none measured",)),
        ("from 0", ("AdamW A 1.1, B 1.2, B / A 1.09",)),
        ("rates", ("AdamW best 86 [85, 87] at 0.0003",)),
        ("drifts", ("LoRA+ scale 1e-13, rotation 0, any 1e-11", "below 1e-10 it is rounding")),
    ],
)  # fmt: skip
def test_the_alternative_text_reads_the_numbers(of, numbers):
    label = FIGURES[of]().get_label()
    assert all(number in label for number in numbers), label


def test_a_spectrum_of_equal_values_needs_nine_tenths_of_them():
    flat = lora.spectrum({"identity": energy(10, 0), "rank one": [100.0, 100]}, "T?")
    assert "identity 10.0% at r = 1, 90% at r = 9" in flat.get_label()
    assert "rank one 100.0% at r = 1, 90% at r = 1" in flat.get_label()


def test_names_stand_in_the_order_in_which_spectra_rise():
    (axes,) = FIGURES["spectra"]().axes
    names = [text.get_text().split("\n")[0].split()[-1] for text in axes.texts]
    early = [SPECTRA[name][:48].sum() for name in names[1:]]
    assert names[0] == "matrix"
    assert early == sorted(early)
    heights = [text.xyann[1] for text in axes.texts]
    assert heights == sorted(heights), "the slowest is the lowest"


def test_intervals_at_one_rank_stand_side_by_side():
    (axes,) = FIGURES["ranks"]().axes
    firsts = sorted(container.lines[0].get_xdata()[0] for container in axes.containers)
    assert len(set(firsts)) == 3
    assert firsts[1] == 1, "the middle one at the rank itself"


def test_rows_stand_as_given_with_their_cost_at_the_right():
    (axes,) = FIGURES["targets"]().axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [*ROWS]
    head, *costs = (text.get_text() for text in axes.texts)
    assert head == "trained\nparameters"
    assert costs == ["115,200", "115,200", "1,843,200", "460,800\nor so"]
    drawn = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert drawn == [ends[0] for ends, _ in ROWS.values()]


def test_d90_is_a_ring_on_the_line_of_nine_tenths():
    (axes,) = FIGURES["dimensions"]().axes
    ring = axes.lines[-1]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (3162, pytest.approx(0.9 * 86))
    levels = {line.get_ydata()[0]: line.get_linestyle() for line in axes.lines
              if line.get_color() == BASELINE}  # fmt: skip
    assert levels == {86: "-", 50: "-", 0.9 * 86: "--"}
    assert any("d90 = 3,162" in text.get_text() for text in axes.texts)


def test_both_factors_share_one_scale_and_0_is_left_out():
    left, right = FIGURES["from 0"]().axes
    assert left.get_ylim() == right.get_ylim()
    assert left.get_yscale() == right.get_yscale() == "log"
    assert list(right.lines[0].get_xdata()) == [20]
    assert list(left.lines[0].get_xdata()) == [10, 20]


def test_the_best_rate_of_each_is_filled():
    (axes,) = FIGURES["rates"]().axes
    filled = [line for line in axes.lines if len(line.get_xdata()) == 1]
    for (name, curve), mark in zip(SWEEPS.items(), filled, strict=True):
        rate = max(curve, key=lambda rate: curve[rate][0])
        assert mark.get_xdata()[0] == rate, name
        assert any(f"at {scientific(rate)}" in text.get_text() for text in axes.texts)


def test_drifts_without_a_place_stand_at_the_edge():
    (axes,) = FIGURES["drifts"]().axes
    places = [line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None"]
    given = [drift for own in DRIFTS.values() for drift in own.values()]
    np.testing.assert_allclose(places, np.clip(given, 1e-16, 1e2))
    assert "rotation 0" in {text.get_text() for text in axes.texts}
    markers = {line.get_marker() for line in axes.lines} - {"None"}
    assert len(markers) == 3, "a marker for each change"


@pytest.mark.parametrize("names", [OPTIMISERS, METHODS])
def test_looks_keep_apart(names):
    hows = [LOOKS[name] for name in names]
    for one, other in combinations(hows, 2):
        assert one.colour != other.colour
        assert one.marker != other.marker
    for how in hows:
        assert 1.05 / (luminance(ink(how.colour)) + 0.05) >= 4.5
    shades = sorted(luminance(how.colour) for how in hows)
    assert shades[-1] < 0.6, "visible on white"


def test_rates_are_written_as_in_programs():
    assert [scientific(x) for x in (3e-4, 1, 2e1, 9.96e-4)] == ["3e-4", "1e0", "2e1", "1e-3"]
    assert scientific(1.26e-5, 1) == "1.3e-5"


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: lora.spectrum({}, "T?"), "no spectrum"),
        (lambda: lora.spectrum({"a": []}, "T?"), "a: numbers"),
        (lambda: lora.spectrum({"a": [1.0]}, "T?", [NAN]), "random matrix: numbers"),
        (lambda: lora.against_rank({}, "T?", "r", "%"), "no series"),
        (lambda: lora.against_rank({"a": {}}, "T?", "r", "%"), "a: numbers"),
        (lambda: lora.against_rank({"a": {0: near(1)}}, "T?", "r", "%"), "above 0"),
        (lambda: lora.against_rank({"a": {1: (2, 3, 4)}}, "T?", "r", "%"), "not within"),
        (lambda: lora.against_rank(BY_RANK, "T?", "r", "%", {"b": NAN}), "b: numbers"),
        (lambda: lora.targets({}, "T?", "%"), "no row"),
        (lambda: lora.targets({"a": ((1, NAN, 2), 1)}, "T?", "%"), "a: numbers"),
        (lambda: lora.targets({"a": ((1, 0, 2), 1)}, "T?", "%", log_x=True), "above 0"),
        (lambda: lora.targets(ROWS, "T?", "%", reference=("b", NAN)), "b: numbers"),
        (lambda: lora.intrinsic({}, 86, 50, "T?", None), "intrinsic dimension: numbers"),
        (lambda: lora.intrinsic(LEARNT, NAN, 50, "T?", None), "full score"),
        (lambda: lora.intrinsic(LEARNT, 86, 50, "T?", 0), "above 0, not 0"),
        (lambda: optimiser.factor_norms({}, "T?"), "no run"),
        (lambda: optimiser.factor_norms({"a": ([1.0], [])}, "T?"), "a: numbers"),
        (lambda: optimiser.factor_norms({"a": ([1.0], [0.0])}, "T?"), "above 0"),
        (lambda: optimiser.factor_norms({"a": ([1.0], [-1.0])}, "T?"), "above 0"),
        (lambda: optimiser.factor_norms({"a": ([1.0], [1.0])}, "T?", steps=[1, 2]), "for 2 steps"),
        (lambda: optimiser.rates({}, "T?", "%"), "no curve"),
        (lambda: optimiser.rates({"a": {0.0: near(1)}}, "T?", "%"), "above 0"),
        (lambda: optimiser.rates({"a": {0.1: (NAN, 1, 1)}}, "T?", "%"), "a: numbers"),
        (lambda: optimiser.drifts({}, "T?"), "no optimiser"),
        (lambda: optimiser.drifts({"a": {}}, "T?"), "a: numbers"),
        (lambda: optimiser.drifts({"a": {"any": -1.0}}, "T?"), "0 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, said):
    with pytest.raises(AdaptlabError, match=said) as caught:
        draw()
    assert "\n" not in str(caught.value)
