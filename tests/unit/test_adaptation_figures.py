"""The figures of fine-tuning: the checks of all figures, and what these alone must show."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from test_gpt_figures import (  # their checks, on the figures of this file's fixture
    test_it_says_what_it_shows,
    test_texts_keep_apart_and_within_the_width,
)
from test_probe_figures import (
    test_texts_lie_within_the_figure,
    test_what_is_drawn_lies_inside_the_axes,
)

from adaptlab.errors import AdaptlabError
from adaptlab.records import Record
from adaptlab.report import adaptation_figures as adaptation
from adaptlab.report import memory_figures as memory
from adaptlab.report import training_figures as training
from adaptlab.report.labels import luminance
from adaptlab.report.marks import looks
from adaptlab.report.style import LOOKS, SERIES, figure_style

__all__ = [
    "test_it_says_what_it_shows",
    "test_texts_keep_apart_and_within_the_width",
    "test_texts_lie_within_the_figure",
    "test_what_is_drawn_lies_inside_the_axes",
]

RNG = np.random.default_rng(0)
NAN = float("nan")
DEPTHS = (0, 1, 2, 4, 8, 16, 30)
GB = 10**9


def record(method: str, score: float, k: int | None = None, **other) -> Record:
    own = {
        "notebook": "08", "experiment": "depth", "task": "t", "split": "test", "model": "m",
        "seed": None, "n": 400, "metric": "accuracy", "low": score - 0.03, "high": score + 0.02,
        "seconds": 20.0 + 9 * (k or 0), "peak_bytes": GB + 10**8 * (k or 0),
        "trained_parameters": 1154 + 3_540_000 * (k or 0), "config": {} if k is None else {"k": k},
    }  # fmt: skip
    return Record(**{"method": method, "score": score} | own | other)


def name(k: int) -> str:
    return {0: "head only", 30: "full fine-tuning"}.get(k, f"top {k}")


DEEP = [record(name(k), 0.67 + 0.2 * (1 - 0.6**i), k) for i, k in enumerate(DEPTHS)]
BASELINES = [record("zero-shot", 0.665), record("probe", 0.838), record("bag of words", 0.835)]
TWICE = [
    record("zero-shot", 0.6, 0, trained_parameters=0, seconds=0.2),
    record("full fine-tuning", 0.8, 30, trained_parameters=134_515_008, seconds=12_345.0),
    record("top 30", 0.8, 30),
]
POINTS = {
    "fine-tuned, no replay": ((87.1, 84, 90), (41.2, 40.1, 42.6)),
    "5% replay": ((86.9, 84, 90), (24.0, 23.5, 24.4)),
    "25% replay": ((86.2, 83, 89), (20.1, 19.8, 20.4)),
    "LoRA": ((85.9, 83, 89), (22.5, 22.1, 22.9)),
    "head only": ((67.0, 63, 71), (18.9, 18.9, 18.9)),
    "top 4": ((84.0, 81, 87), (19.5, 19.3, 19.8)),
}
FAR = POINTS | {"learning rate 1e-3": ((51.0, 47, 55), (9e4, 7e4, 1.2e5))}
AXES = ("accuracy on the new task, %", "perplexity of general text")
UNTOUCHED = ("untouched", 18.9)
SAME = {f"a run with a long name {i}": ((80.0, 80, 80), (20.0, 20, 20)) for i in range(12)}


def parts(*sizes: float) -> dict[str, float]:
    return {part: GB * size for part, size in zip(memory.PARTS, sizes, strict=True)}


PREDICTED = {
    "full fine-tuning, fp32, AdamW": parts(0.538, 0, 0.538, 1.076, 0.61, 0),
    "full fine-tuning, bf16 with fp32 copies, AdamW, checkpointing":
        parts(0.269, 0.538, 0.269, 1.076, 0.08, 0),
    "head only": parts(0.538, 0, 0, 0, 0.02, 0),
}  # fmt: skip
MEASURED = {
    setup: {part: 1.04 * size for part, size in sizes.items()} | {"other": 6e7}
    for setup, sizes in PREDICTED.items()
}
EPOCHS = range(11)
RUNS = {"full fine-tuning": 0.7, "LoRA": 0.4, "head only": 0.1}
LOSSES = {
    run: ([2 * np.exp(-e * r) for e in EPOCHS],
          [0.4 + 0.9 * np.exp(-1.2 * e * r) + 0.04 * e * r for e in EPOCHS])
    for run, r in RUNS.items()
}  # fmt: skip
SHARES = {run: [0.85 - 0.35 * np.exp(-2 * e * r) for e in EPOCHS] for run, r in RUNS.items()}
MANY = {f"learning rate {i}e-5": ([1.0, 0.5], [1.0, 0.9]) for i in range(6)}
ROBUST = {
    panel: [record(name(k), 0.8 - 0.01 * k - 0.02 * i) for k in (0, 4, 30)] + BASELINES[:2]
    for i, panel in enumerate(("in domain", "restaurants", "typos", "negated", "shuffled words"))
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "depth": lambda: adaptation.against_depth(DEEP, "T?", BASELINES),
    "one depth": lambda: adaptation.against_depth(DEEP[:1], "T?" * 60),
    "the same depth twice": lambda: adaptation.against_depth(TWICE, "T?", BASELINES[:1]),
    "equal depths": lambda: adaptation.against_depth(
        [record("run", 0.8, k, seconds=5, trained_parameters=10**6) for k in DEPTHS], "T?"
    ),
    "nothing trained": lambda: adaptation.against_depth(
        [record("a", 0.8, k, trained_parameters=0, peak_bytes=0) for k in (0, 2)], "T?"
    ),
    "losses by depth": lambda: adaptation.against_depth(
        [record(name(k), 2 - k / 20, k, metric="loss") for k in (0, 4)], "T?"
    ),
    "trade-off": lambda: adaptation.trade_off(POINTS, "T?", *AXES, UNTOUCHED),
    "far trade-off": lambda: adaptation.trade_off(FAR, "T?", *AXES, UNTOUCHED, log_y=True),
    "one point": lambda: adaptation.trade_off({"LoRA": POINTS["LoRA"]}, "T?", *AXES),
    "twelve points at one place": lambda: adaptation.trade_off(SAME, "T?", *AXES, UNTOUCHED),
    "equal points, logarithmic": lambda: adaptation.trade_off(
        {"a": ((1, 1, 1), (1, 1, 1))}, "T?", *AXES, log_y=True
    ),
    "memory": lambda: memory.memory_bars(PREDICTED, MEASURED, "T?"),
    "little memory": lambda: memory.memory_bars({"$a$": parts(1e-6, 0, 0, 0, 2e-6, 0)}, {}, "T?"),
    "other parts": lambda: memory.memory_bars(
        {"a": {"weights": 1e9, "KV cache": 2e9, "LoRA": 1e8}}, {"a": {"weights": 0.0}}, "T?"
    ),
    "no bytes": lambda: memory.memory_bars({"a": {"weights": 0}}, {"a": {}}, "T?"),
    "overfitting": lambda: adaptation.overfitting(EPOCHS, LOSSES, SHARES, "T?"),
    "one epoch": lambda: adaptation.overfitting([1], {"a": ([0.5], [0.6])}, {"a": [0.7]}, "T?"),
    "many runs": lambda: adaptation.overfitting([1, 2.5], MANY, {"a": [0.5, NAN]}, "T?"),
    "robustness": lambda: training.text_scores(ROBUST, "T?", ["zero-shot"]),
}  # fmt: skip


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
        ("depth", ("head only 67.0% [64.0%, 69.0%]", "k = 0 takes 20 s, 1 GB, 1,154 parameters",
                   "k = 30 takes 290 s, 4 GB", "probe 83.8%")),
        ("the same depth twice", ("k = all", "134,515,008 parameters")),
        ("trade-off", ("LoRA 85.9 [83, 89] and 22.5 [22.1, 22.9]", "untouched 18.9")),
        ("memory", ("predicted 2.76 (weights 0.538", "measured 2.93, error −5.8%")),
        ("overfitting", ("full fine-tuning, best 0.54, at epoch 4", "LoRA, best 85.0%")),
        ("robustness", ("restaurants: probe 83.8%", "head only 78.0% [75.0%, 80.0%]")),
    ],
)  # fmt: skip
def test_the_alternative_text_reads_the_numbers(of, numbers):
    label = FIGURES[of]().get_label()
    assert all(number in label for number in numbers), label


def test_depths_stand_in_order_and_a_second_one_is_called_all():
    top, *_, parameters = FIGURES["the same depth twice"]().axes
    assert [tick.get_text() for tick in top.get_xticklabels()] == ["0", "30", "all"]
    assert "embeddings" in top.get_xlabel()
    assert parameters.get_yscale() == "symlog", "0 has a place"
    assert FIGURES["depth"]().axes[-1].get_yscale() == "log"


@pytest.mark.parametrize("of", ["trade-off", "far trade-off", "one point"])
def test_names_hide_no_point(of):
    with figure_style():
        figure = FIGURES[of]()
        FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    renderer = figure.canvas.get_renderer()
    points = [(x[0], y[0]) for x, y in (FAR if of == "far trade-off" else POINTS).values()]
    marks = [Bbox([at - 4, at + 4]) for at in axes.transData.transform(points)]
    for text in axes.texts:
        assert not Text.get_window_extent(text, renderer).count_overlaps(marks), text.get_text()


def test_names_without_room_stand_at_the_right():
    figure = FIGURES["twelve points at one place"]()
    (axes,) = figure.axes
    with figure_style():
        FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    assert len(axes.texts) == 13
    for text in axes.texts:
        assert Text.get_window_extent(text, renderer).x0 > axes.get_window_extent().x1


def test_bars_are_as_long_as_the_bytes():
    bars = FIGURES["memory"]().axes[0].patches
    widths = np.array([bar.get_width() for bar in bars]).reshape(-1, 2, len(memory.PARTS))
    expected = [list(sizes.values()) for sizes in PREDICTED.values()]
    np.testing.assert_allclose(widths[:, 0], np.array(expected) / GB)
    hatches = {bar.get_hatch() for bar in bars}
    assert len(hatches) == len(memory.PARTS), "apart in grey print"


def test_the_best_epochs_are_marked():
    left, right = FIGURES["overfitting"]().axes
    (x,), (y,) = left.lines[2].get_data()  # after the first run's training and dev
    dev = LOSSES["full fine-tuning"][1]
    assert (x, y) == (np.argmin(dev), min(dev))
    (x,), (y,) = right.lines[1].get_data()
    assert y == 100 * max(SHARES["full fine-tuning"])


def test_methods_of_one_family_keep_apart():
    family = ["head only", "top 1", "top 2", "top 4", "top 8", "top 16", "top 24", "top 30"]
    shades = [luminance(LOOKS[each].colour) for each in [*family, "full fine-tuning"]]
    assert shades == sorted(shades), "the fewer layers, the darker"
    markers = [LOOKS[each].marker for each in [*family, "full fine-tuning"]]
    assert len(set(markers)) == len(markers)
    assert LOOKS["full fine-tuning"] == LOOKS["fine-tuned"]


def test_names_without_a_look_share_none():
    names = ["probe", "LoRA", *(f"run {i}" for i in range(12))]
    given = looks(names)
    assert given["probe"] == LOOKS["probe"]
    assert len(set(given.values())) == len(names)
    assert LOOKS["probe"].colour not in {given[f"run {i}"].colour for i in range(12)}
    assert set(looks([*LOOKS, "a"])) == {*LOOKS, "a"}
    assert looks(["a"])["a"] == SERIES[0]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: adaptation.against_depth([record("probe", 0.8)], "T?"),
        lambda: adaptation.against_depth([record("top 1", NAN, 1)], "T?"),
        lambda: adaptation.against_depth([], "T?"),
        lambda: adaptation.against_depth([*TWICE, record("a", 0.1, 30)], "T?"),
        lambda: adaptation.trade_off({}, "T?", *AXES),
        lambda: adaptation.trade_off({"a": ((1, NAN, 1), (1, 1, 1))}, "T?", *AXES),
        lambda: adaptation.trade_off({"a": ((1, 1, 1), (1, 0, 1))}, "T?", *AXES, log_y=True),
        lambda: memory.memory_bars({}, {}, "T?"),
        lambda: memory.memory_bars({"a": {"weights": NAN}}, {}, "T?"),
        lambda: memory.memory_bars({"a": {"weights": 1}}, {"a": {"other": -1}}, "T?"),
        lambda: adaptation.overfitting([1, 2], {"a": ([1.0], [1.0, 2.0])}, {}, "T?"),
        lambda: adaptation.overfitting([1], {"a": ([1.0], [NAN])}, {"a": [0.5]}, "T?"),
        lambda: adaptation.overfitting([1], {"a": ([1.0], [1.0])}, {}, "T?"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(AdaptlabError):
        draw()
