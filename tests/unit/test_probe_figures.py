"""The figures of probes: the checks of all figures, and what these alone must show."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_gpt_figures import (  # their checks, on the figures of this file's fixture
    shown,
    test_it_says_what_it_shows,
    test_texts_keep_apart_and_within_the_width,
    texts,
)

from adaptlab.errors import AdaptlabError
from adaptlab.report import probe_figures as probe
from adaptlab.report.style import figure_style

__all__ = ["test_it_says_what_it_shows", "test_texts_keep_apart_and_within_the_width"]

RNG = np.random.default_rng(0)
LAYERS = range(31)
CONTROLS = {
    "shuffled labels": 0.5, "random weights": 0.63, "embeddings only": 0.71,
    "bag of words": 0.77, "zero-shot": 0.66,
}  # fmt: skip
POOLINGS = ["last token", "mean", "mean of all tokens but the first", "max"]
NAN = float("nan")


def hump(peak: float, top: float, base: float = 0.5, seeds: int = 3) -> np.ndarray:
    """(seeds, 31): accuracies that are highest around a layer."""
    curve = base + (top - base) * np.exp(-(((np.arange(31) - peak) / 14) ** 2))
    return curve + RNG.normal(0, 0.005, (seeds, 31))


def growth(first: float, last: float) -> dict[int, tuple[float, float, float]]:
    scores = np.linspace(first, last, 10)
    return {8 * 2**i: (score, score - 0.03, score + 0.02) for i, score in enumerate(scores)}


MAP = np.concatenate([hump(15 + i, 0.85 - 0.02 * i, seeds=1) for i in range(4)])
HOLED = np.where(RNG.random((4, 31)) < 0.2, NAN, MAP)
PROPERTIES = {
    "sentiment": hump(17, 0.86), "topic of twenty, a long name": hump(12, 0.7, 0.05),
    "part of speech": hump(6, 0.93, 0.17), "sentence length": hump(2, 0.8, 0.25),
    "language": hump(4, 0.99), "tense of the main verb": hump(10, 0.88),
}  # fmt: skip
FLOORS = dict(zip(PROPERTIES, (0.5, 0.05, 0.17, 0.25, 0.5, 0.5), strict=True))
GAPS = np.where(np.isin(LAYERS, (0, 7, 30)), NAN, hump(17, 0.86, seeds=1)[0])
CURVES = {"probe": growth(0.55, 0.87), "bag of words": growth(0.5, 0.78)}
CONSTANTS = {"zero-shot": (0.66, 0.62, 0.7), "few-shot": (0.7, 0.66, 0.74)}
EQUAL = (0.7, 0.7, 0.7)
FIGURES: dict[str, Callable[[], Figure]] = {
    "map": lambda: probe.layer_pooling_map(MAP, POOLINGS, LAYERS, CONTROLS, "T?"),
    "map with holes": lambda: probe.layer_pooling_map(HOLED, POOLINGS, LAYERS, CONTROLS, "T?"),
    "wide cells": lambda: probe.layer_pooling_map(
        MAP[:, ::8], POOLINGS, LAYERS[::8], {"zero-shot, calibrated by context": 0.6}, "T?"
    ),
    "narrow cells": lambda: probe.layer_pooling_map(
        MAP[:, :17], POOLINGS, LAYERS[:17], CONTROLS, "T?"
    ),
    "no controls": lambda: probe.layer_pooling_map(MAP[:1], ["mean"], LAYERS, {}, "T?" * 60),
    "equal cells": lambda: probe.layer_pooling_map(
        np.full((2, 2), 0.5), ["a", "b"], [4, 30], {"c": 0.5}, "T?"
    ),
    "one cell": lambda: probe.layer_pooling_map(np.ones((1, 1)), ["a"], [0], {}, "T?"),
    "layers": lambda: probe.by_layer(PROPERTIES, LAYERS, "T?", floors=FLOORS),
    "layers, not normalised": lambda: probe.by_layer(
        PROPERTIES, LAYERS, "T?", floors=FLOORS, normalised=False
    ),
    "layers with gaps": lambda: probe.by_layer(
        {"gaps": GAPS, "given": (GAPS, GAPS - 0.04, GAPS + 0.09)}, LAYERS, "T?", "macro F1"
    ),
    "equal lines": lambda: probe.by_layer(
        {f"property {i}": np.full(2, 0.5) for i in range(9)}, [0, 1], "T?"
    ),
    "one layer": lambda: probe.by_layer({"a": np.array([0.5])}, [0], "T?", floors={"a": 0.4}),
    "efficiency": lambda: probe.data_efficiency(CURVES, CONSTANTS, "T?"),
    "one size": lambda: probe.data_efficiency({"probe": {100: (0.7, 0.6, 0.8)}}, {}, "T?"),
    "close sizes": lambda: probe.data_efficiency(
        {
            "probe": dict.fromkeys((1000, 1024, 1050, 16_384, 20_000), EQUAL),
            "another with a longer name": {50: (0.7, 0.65, 0.75), 100: (NAN, NAN, NAN)},
        },
        dict.fromkeys(("zero-shot", "a rather long name of a method"), EQUAL),
        "T?",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Iterator[Figure]:
    """A drawn figure; a missing glyph or a layout that fails is a warning, and so an error."""
    with warnings.catch_warnings(), figure_style():
        warnings.simplefilter("error")
        made = FIGURES[request.param]()
        FigureCanvasAgg(made).draw()
        yield made


def test_what_is_drawn_lies_inside_the_axes(figure):
    for axes in shown(figure):
        inside = axes.get_window_extent()
        marked = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
        for line in marked:
            points = line.get_transform().transform(np.array(line.get_data(), float).T)
            least, most = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
            assert (least >= inside.p0 - 1).all()
            assert (most <= inside.p1 + 1).all()
        for shape in [*axes.collections, *axes.patches]:
            box = shape.get_window_extent(figure.canvas.get_renderer())
            if np.isfinite(box.extents).all() and box.height:  # bars of intervals, bands, cells
                assert inside.y0 - 2 <= box.y0 <= box.y1 <= inside.y1 + 2
                assert box.x1 <= inside.x1 + 2


def test_texts_lie_within_the_figure(figure):
    for text in texts(figure):
        box = Text.get_window_extent(text, figure.canvas.get_renderer())
        assert box.x0 >= -2, text.get_text()
        assert box.y0 >= -2, text.get_text()
        assert box.y1 <= figure.bbox.y1 + 2, text.get_text()
    assert figure.get_figwidth() == 7


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("one cell", ("best a, layer 0: 100.0%",)),
        ("equal cells", ("from 50.0% to 50.0%", "c 50.0%")),
        ("one layer", ("a (floor 40.0%) 16.7% at layer 0",)),
        ("efficiency", ("probe 55.0% [52.0, 57.0] at 8", "zero-shot 66.0% [62.0, 70.0]")),
        ("close sizes", ("at 1,050", "75.0] at 50;")),
    ],
)
def test_the_alternative_text_reads_the_numbers(name, numbers):
    label = FIGURES[name]().get_label()
    assert all(number in label for number in numbers), label


def test_the_best_cell_is_outlined_and_named():
    values = np.full((2, 4), 0.5)
    values[1, 2] = 0.9
    values[0, 3] = NAN
    figure = probe.layer_pooling_map(values, ["a", "b"], [0, 5, 9, 12], {}, "T?")
    axes = figure.axes[0]
    assert "b, layer 9: 90.0%" in axes.get_title("left")
    *hatched, _, outline = axes.patches
    assert (outline.get_x(), outline.get_y()) == (1.5, 0.5)
    assert [cell.get_hatch() for cell in hatched] == ["////"]
    assert sorted(text.get_text() for text in axes.texts) == ["50.0"] * 6 + ["90.0"]


def test_many_layers_have_no_numbers_and_fewer_ticks():
    axes = FIGURES["map"]().axes[0]
    assert not axes.texts
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["0", "2", "4"]


def test_floors_make_properties_comparable():
    half, tenth = np.full((2, 3), 0.75), np.full((2, 3), 0.55)
    figure = probe.by_layer(
        {"of two": half, "of ten": tenth}, [0, 1, 2], "T?", floors={"of two": 0.5, "of ten": 0.1}
    )
    lines = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 3]
    for line in lines:
        np.testing.assert_allclose(line.get_ydata(), 50)


def test_a_band_reaches_from_the_least_to_the_most():
    seeds = np.array([[0.5, 0.6], [0.7, NAN], [0.6, 0.8]])
    np.testing.assert_allclose(probe._middle("a", seeds, 2), [[0.6, 0.7], [0.5, 0.6], [0.7, 0.8]])


@pytest.mark.parametrize(
    "draw",
    [
        lambda: probe.layer_pooling_map(MAP, POOLINGS, range(30), {}, "T?"),
        lambda: probe.layer_pooling_map(np.full((1, 2), NAN), ["a"], [0, 1], {}, "T?"),
        lambda: probe.by_layer({"a": np.ones(3)}, [0, 1], "T?"),
        lambda: probe.by_layer({"a": np.full(2, NAN)}, [0, 1], "T?"),
        lambda: probe.by_layer({"a": np.ones(2)}, [0, 1], "T?", floors={"b": 0.5}),
        lambda: probe.by_layer({"a": np.ones(2)}, [0, 1], "T?", floors={"a": 1.0}),
        lambda: probe.data_efficiency({"a": {0: EQUAL, 8: EQUAL}}, {}, "T?"),
        lambda: probe.data_efficiency({"a": {8: (NAN, NAN, NAN)}}, {}, "T?"),
        lambda: probe.data_efficiency({}, CONSTANTS, "T?"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(AdaptlabError):
        draw()
