"""The figures of the GPT notebooks: points are inside, texts apart, nothing needs a legend."""

import warnings
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from adaptlab.evaluation.reliability import reliability
from adaptlab.gpt.scaling import fit_power_law
from adaptlab.records import Record
from adaptlab.report import model_figures as model
from adaptlab.report import training_figures as training
from adaptlab.report.labels import apart, ink, luminance, on, short, visible
from adaptlab.report.style import SERIES, figure_style

RNG = np.random.default_rng(0)
ODD = [" international", "$x$", " $", "中", "🙂", "\t", "a" * 30, "\n", " the", "Ġ", "."]
SIZES = np.array([1e5, 4e5, 8e5, 3e6, 1.2e7])
LOSSES = 4 * SIZES**-0.07 * np.exp(RNG.normal(0, 0.01, (3, 5)))
LENGTHS = np.array([16, 64, 256, 1024])


def run(steps: int, last: float, every: int) -> tuple[list[float], list[tuple[int, float]]]:
    falling = last + (4.2 - last) * np.exp(-np.arange(1, steps + 1) / (steps / 10))
    return list(falling + RNG.normal(0, 0.05, steps)), [
        (step, falling[step - 1]) for step in range(every, steps + 1, every)
    ]


def record(method: str, score: float, metric: str = "loss", half: float = 0.02) -> Record:
    return Record(
        notebook="01", experiment="e", method=method, task="t", split="validation", model="m",
        seed=0, n=100, metric=metric, score=score, low=score - half, high=score + half,
        seconds=1.0, peak_bytes=1, trained_parameters=1, config={},
    )  # fmt: skip


def attention(heads: int, length: int) -> np.ndarray:
    raw = np.tril(RNG.exponential(1, (heads, length, length)))
    return raw / raw.sum(-1, keepdims=True)


def sure(items: int):
    confidence = RNG.beta(4, 1.5, items)
    return reliability(confidence, RNG.random(items) < confidence)


def times(each: np.ndarray) -> np.ndarray:
    return each * RNG.uniform(0.9, 1.2, (5, len(each)))


def ways(vocabulary: int) -> dict[str, np.ndarray]:
    plain = RNG.dirichlet(np.full(vocabulary, 0.1))
    names = ("the model's own", "temperature 0.7", "top-k, k = 5", "top-p, p = 0.8")
    return {"greedy": np.eye(vocabulary)[plain.argmax()]} | dict.fromkeys(names, plain)


CLOSE = {f"a run with a name {i}": run(300, 1.5 + i / 1000, 50) for i in range(6)}
LOSS = [record("base", 1.5), record("no positions", 2.4), record("a very long name of it", 1.501)]
BLEU = [record(name, 20.0 + i, "BLEU", 1) for i, name in enumerate(["LoRA", "$5", "3-gram"])]
LENS = [[ODD[(row + place) % len(ODD)] for place in range(12)] for row in range(25)]
NEXT = [(" Paris", 0.61), (" international", 0.2), ("$", 0.0004)]
FIGURES: dict[str, Callable[[], Figure]] = {
    "close runs": lambda: training.learning_curves(CLOSE, "T?", ("guessing: ln 65", 4.17)),
    "one run": lambda: training.learning_curves({"a": run(20, 2, 10)}, "T?", log_steps=True),
    "no validation": lambda: training.learning_curves({"a": ([3.0, 2.0, 1.0], [])}, "T?"),
    "unequal runs": lambda: training.learning_curves(
        {"a": run(500, 2, 100), "b": run(5, 2, 5), "c": ([], [(10, 2.0), (200, 1.5)])}, "T?" * 60
    ),
    "ablations": lambda: training.ablations(LOSS, "base", "T?"),
    "ablations, up": lambda: training.ablations(BLEU, "3-gram", "T?"),
    "scaling": lambda: training.scaling(SIZES, LOSSES, fit_power_law(SIZES, LOSSES), "T?"),
    "scaling, floor": lambda: training.scaling(
        SIZES, 1 + LOSSES[:1], fit_power_law(SIZES, 1 + LOSSES[:1], irreducible=True), "T?"
    ),
    "growth": lambda: training.growth(
        LENGTHS, times(0.004 + 0 * LENGTHS), times(0.004 + 5e-5 * LENGTHS), "T?"
    ),
    "no growth": lambda: training.growth(
        LENGTHS, times(0.004 + 0 * LENGTHS), times(0.004 + 0 * LENGTHS), "T?",
        totals=(times(0.004 * LENGTHS), times(0.004 * LENGTHS)),
    ),
    "texts": lambda: training.text_scores(
        dict.fromkeys(("one", "two", "three", "four"), BLEU), "T?", ["3-gram"]
    ),
    "a dozen heads": lambda: model.attention_maps(attention(12, 11), ODD, "T?"),
    "many tokens": lambda: model.attention_maps(attention(5, 33), ODD * 3, "T?", rows=2),
    "one head": lambda: model.attention_maps(attention(1, 4), ODD[:4], "T?"),
    "sampling": lambda: model.sampling_bars(ways(990), ODD * 90, "T?"),
    "few tokens": lambda: model.sampling_bars(ways(3), ODD[:3], "T?"),
    "lens": lambda: model.logit_lens(LENS, RNG.random((25, 12)), [*ODD, "b"], "T?"),
    "small lens": lambda: model.logit_lens([["a", " b"]] * 2, np.eye(2), ["x", "\n"], "T?"),
    "next": lambda: model.next_tokens({"The capital of France " * 9: NEXT, "中\n$$": NEXT}, "T?"),
    "next of three": lambda: model.next_tokens(dict.fromkeys("abc", NEXT), "T?"),
    "reliability": lambda: model.reliability_curve({f"m{i}": sure(300) for i in range(4)}, "T?"),
    "few items": lambda: model.reliability_curve({"few": sure(3)}, "T?"),
    "masks": lambda: model.mask_picture(
        {"causal": np.tri(11, dtype=bool), "none": np.ones((11, 11), bool)}, ODD
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Iterator[Figure]:
    """A drawn figure; a missing glyph or a layout that fails is a warning, and so an error."""
    with warnings.catch_warnings(), figure_style():
        warnings.simplefilter("error", UserWarning)  # what matplotlib warns with
        made = FIGURES[request.param]()
        FigureCanvasAgg(made).draw()
        yield made


def shown(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def texts(figure: Figure) -> list[Text]:
    """All visible texts; of ticks those within the limits, for the others are not drawn."""
    hidden = {
        tick_text
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        for tick_text in (tick.label1, tick.label2)
        if not axes.get_visible()
        or not tick_text.get_visible()
        or not min(axis.get_view_interval()) - 1e-9
        <= tick.get_loc()
        <= max(axis.get_view_interval()) + 1e-9
    }
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in hidden
        and (text.axes is None or text.axes.get_visible())
    ]  # fmt: skip


def test_texts_keep_apart_and_within_the_width(figure):
    renderer = figure.canvas.get_renderer()
    boxes = [(text, Text.get_window_extent(text, renderer)) for text in texts(figure)]
    for (one, first), (other, second) in combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        down = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across < 1 or down < 1.5, (one.get_text(), other.get_text())
    wide = figure.get_tightbbox(renderer).width
    assert wide <= 1.02 * figure.get_figwidth(), "saving would widen it, and so shrink its letters"
    assert min(text.get_fontsize() for text in texts(figure)) >= 7


def test_what_is_drawn_lies_inside_the_axes(figure):
    for axes in shown(figure):
        (left, right), (bottom, top) = map(sorted, (axes.get_xlim(), axes.get_ylim()))
        for line in axes.lines:
            x, y = np.broadcast_arrays(*map(np.asarray, line.get_data()))
            if line.get_marker() in ("None", "", None, "|", "_"):
                continue  # grey lines and bars' caps, which may be cut at the edge
            assert left <= np.min(x) <= np.max(x) <= right
            assert bottom <= np.min(y) <= np.max(y) <= top
        assert not axes.findobj(PathCollection), "a kind of mark that this test does not see"
        for bar in axes.patches:
            assert bar.get_extents().x1 <= axes.bbox.x1 + 1


def test_it_says_what_it_shows(figure):
    assert figure.get_suptitle().rstrip().endswith("?")
    title = figure.get_suptitle().replace("\n", "")
    assert figure.get_label().replace(" ", "").startswith(title.replace(" ", ""))
    assert len(figure.get_label()) > len(title) + 20, "no alternative text"
    assert any(axes.get_xlabel() for axes in shown(figure))
    assert any(axes.get_ylabel() or axes.get_yticklabels() for axes in shown(figure))
    assert not figure.legends


def test_labels_move_as_little_as_they_must():
    rooms = np.full(3, 10.0)
    np.testing.assert_allclose(apart(np.array([20.0, 80, 50]), rooms, 100), [20, 80, 50])
    np.testing.assert_allclose(apart(np.array([50.0, 50, 50]), rooms, 100), [40, 50, 60])
    np.testing.assert_allclose(apart(np.array([99.0, 1, 98]), rooms, 100), [95, 5, 85])


def test_tokens_show_what_cannot_be_seen():
    assert visible(" the\n") == "␣the⏎"
    assert visible("中") == "�"
    assert visible("a" * 20, 5) == "aaaa…"
    assert visible("$$") == r"\$\$"


def test_colours_of_words_are_readable():
    assert (on("white"), on("black")) == ("black", "white")
    for how in SERIES:
        assert 1.05 / (luminance(ink(how.colour)) + 0.05) >= 4.5
    assert len({how.marker for how in SERIES}) == len(SERIES), "apart in grey print too"


def test_sizes_are_short():
    sizes = (950, 1200, 82_000, 123_456, 8e5, 1.2e7, 1.24e8, 1.5e9)
    expected = ["950", "1.2K", "82K", "0.1M", "0.8M", "12M", "124M", "1.5B"]
    assert [short(size) for size in sizes] == expected


def test_a_written_text_costs_the_sum_of_its_tokens():
    lengths = np.array([1.0, 2, 4])
    written = training._written(lengths, np.array([[1.0, 1, 1], [1, 2, 4]]))
    np.testing.assert_allclose(written, [[1, 2, 4], [1, 2.5, 8.5]])


def test_ablations_are_sorted_by_the_metric():
    names = [label.get_text() for label in FIGURES["ablations"]().axes[0].get_yticklabels()]
    assert names == ["base", "a very long name of it", "no positions"]
    names = [label.get_text() for label in FIGURES["ablations, up"]().axes[0].get_yticklabels()]
    assert names == ["3-gram", r"\$5", "LoRA"]
