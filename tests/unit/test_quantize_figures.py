"""The figures of formats and quantised models: the checks of all figures, and what these show."""

import struct
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
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
from adaptlab.report import format_figures as formats
from adaptlab.report import quantize_figures as quantize
from adaptlab.report.labels import luminance
from adaptlab.report.style import LOOKS, figure_style

__all__ = [
    "test_it_says_what_it_shows",
    "test_texts_keep_apart_and_within_the_width",
    "test_texts_lie_within_the_figure",
    "test_what_is_drawn_lies_inside_the_axes",
]

NAN = float("nan")
FORMATS = ("fp32", "fp16", "bf16", "fp8 e4m3", "fp8 e5m2", "int8", "int4", "fp4", "fp4_e2m1", "NF4")


def stored(value: float, code: str, exponent: int) -> tuple[str, str, str]:
    """The bits that the processor itself stores."""
    raw = struct.pack(f">{code}", value)
    bits = f"{int.from_bytes(raw):0{8 * len(raw)}b}"
    return bits[0], bits[1 : 1 + exponent], bits[1 + exponent :]


FP32 = stored(0.1, "f", 8)
BITS = {
    "fp32": FP32, "fp16": stored(0.1, "e", 5), "bf16": (*FP32[:2], FP32[2][:7]),
    "fp8 e4m3": ("0", "0011", "101"), "int8": ("0", "", "0001101"), "fp4": ("0", "00", "0"),
    "NF4": ("", "", "1000"),
}  # fmt: skip
NOTES = {"fp32": "0.100000001", "int8": "13 of 127"}
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6]) / 6
VALUES = {
    "fp8 e5m2": np.outer(2.0 ** np.arange(-14, 16), [1, 1.25, 1.5, 1.75]).ravel(),
    "int8": np.arange(-127, 128) / 127, "int4": np.arange(-7, 8) / 7,
    "fp4": np.concatenate([FP4, -FP4]),
}  # fmt: skip
WEIGHTS = np.histogram(np.random.default_rng(0).normal(0, 0.3, 5000), 60, (-1, 1))[::-1]
MAGNITUDES = np.geomspace(1e-8, 1e6, 200)


def error(bits: int, most: float) -> tuple[np.ndarray, np.ndarray]:
    held = MAGNITUDES[most >= MAGNITUDES]
    return held, 2.0**-bits * (0.75 + 0.25 * np.sin(40 * np.log(held)))


ERRORS = {
    "fp32": error(24, 3e38), "fp16": error(11, 65504), "bf16": error(8, 3e38),
    "fp8 e4m3": error(4, 448), "fp8 e5m2": error(3, 57344),
    "int8": (np.geomspace(0.01, 127, 60), 0.5 / np.geomspace(0.01, 127, 60)),
}  # fmt: skip


def lost(share: float, *bits: float) -> dict[float, tuple[float, float, float]]:
    values = {b: 18.9 * (1 + share * 4 ** (4 - b)) for b in bits}
    return {b: (value, 0.97 * value, 1.03 * value) for b, value in values.items()}


WAYS = {
    "PTQ, per tensor": lost(5, 2, 3, 4, 5, 6, 8), "PTQ, per channel": lost(0.9, 2, 3, 4, 5, 6, 8),
    "PTQ, groups of 128": lost(0.4, 2.125, 3.125, 4.125, 8.125),
    "PTQ, groups of 64": lost(0.3, 2.25, 3.25, 4.25, 8.25), "QAT": lost(0.15, 2.25, 3.25, 4.25),
    "NF4": {4.127: (20.1, 19.8, 20.5)}, "fp4": {4.5: (21.3, 21, 21.6)},
}  # fmt: skip
CROWDED = {f"a way with a long name {i}": lost(0.1 + i / 1000, 4, 4.1) for i in range(9)}
SIZES = (1.35e8, 3.6e8, 1.1e9, 7e9, 1.3e10, 7e10)
MEMORY = {
    name: {n: n * factor / 1e9 + 0.5 for n in SIZES}
    for name, factor in (("full fine-tuning", 16), ("LoRA", 2.1), ("QLoRA", 0.6))
}
CARDS = {"a 24 GB card": 24, "an 80 GB card": 80}
FIGURES: dict[str, Callable[[], Figure]] = {
    "bits": lambda: formats.bit_rows(BITS, "T?", NOTES),
    "few bits": lambda: formats.bit_rows({"$e2m1$": ("0", "01", "1")}, "T?" * 60),
    "numbers": lambda: formats.number_lines(VALUES, "T?", (-1, 1)),
    "no number within": lambda: formats.number_lines({"$a$": [5.0]}, "T?", (0, 1)),
    "levels": lambda: formats.levels(dict(list(VALUES.items())[1:]), WEIGHTS, "T?"),
    "one bin": lambda: formats.levels({"a": [0.5]}, ([-1, 1], [7]), "T?"),
    "errors": lambda: formats.relative_error(ERRORS, "T?"),
    "one error": lambda: formats.relative_error({"a": ([1.0], [0.1])}, "T?"),
    "bits a weight": lambda: quantize.against_bits(
        WAYS, "T?", "perplexity", ("bf16", 18.9), limit=60
    ),
    "no limit": lambda: quantize.against_bits(WAYS, "T?", "perplexity"),
    "crowded": lambda: quantize.against_bits(
        CROWDED, "T?", "accuracy, %", ("bf16", 18.9), log_y=False
    ),
    "all of one way beyond": lambda: quantize.against_bits(
        {"a": lost(0.1, 4), "b": {2: (1e6, 1e6, 1e6), 3: (123.0, 99, 145)}}, "T?", "loss", limit=50
    ),
    "memory": lambda: quantize.memory_by_size(MEMORY, "T?", CARDS),
    "one size": lambda: quantize.memory_by_size({"$a$": {1e6: 0.02}}, "T?"),
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
        ("bits", ("fp32 0 01111011 10011001100110011001101 (0.100000001)", "NF4 1000")),
        ("numbers", ("Between -1 and 1: ", "int8 255 of its 255 values", "fp8 e5m2 57 of its 120")),
        ("levels", ("fp4 -1, -0.667, -0.5", "% of the weights")),
        ("errors", ("fp32 4.", "from 0.01 to 127", "to 1.0e6")),
        ("bits a weight", ("NF4 20.1 [19.8, 20.5] at 4.127", "at 2, ", "bf16 18.9")),
        ("memory", ("LoRA 0.783 GB at 135M", "1,120 GB at 70B", "a 24 GB card 24 GB")),
    ],
)
def test_the_alternative_text_reads_the_numbers(of, numbers):
    label = FIGURES[of]().get_label()
    assert all(number in label for number in numbers), label


def test_a_box_for_each_bit_coloured_by_its_part():
    (axes,) = FIGURES["bits"]().axes
    boxes = [(round(box.get_y() + 0.27), box.get_x(), to_hex(box.get_facecolor()))
             for box in axes.patches]  # fmt: skip
    digits = [text.get_text() for text in axes.texts if text.get_text() in ("0", "1")]
    expected = [
        (row, place, to_hex(ground))
        for row, parts in enumerate(BITS.values())
        for place, ground in enumerate(
            ground
            for part, ground in zip(parts, formats.GROUNDS.values(), strict=True)
            for _ in part
        )
    ]
    assert boxes == expected
    assert "".join(digits) == "".join("".join(parts) for parts in BITS.values())
    shades = sorted(luminance(ground) for ground in formats.GROUNDS.values())
    assert min(np.diff(shades)) > 0.25, "apart in grey print"
    said = [text.get_text() for text in axes.texts]
    assert [said.count(name) for name in formats.GROUNDS] == [1, 1, 1]
    assert {"1 + 8 + 23 = 32 bits\n0.100000001", "4 bits", "1 + 7 = 8 bits\n13 of 127"} <= {*said}


def test_a_tick_for_each_value_in_the_span_alone():
    (axes,) = FIGURES["numbers"]().axes
    for ticks, own in zip(axes.collections, VALUES.values(), strict=True):
        places = [segment[0, 0] for segment in ticks.get_segments()]
        np.testing.assert_allclose(places, np.unique(own[np.abs(own) <= 1]))
    notes = [text.get_text() for text in axes.texts]
    assert notes == ["57 of 120\nvalues", "255 of 255\nvalues", "15 of 15\nvalues",
                     "15 of 15\nvalues"]  # fmt: skip


def test_the_histogram_is_of_shares():
    top, bottom = FIGURES["levels"]().axes
    (stairs,) = top.patches
    assert stairs.get_data().values.sum() == pytest.approx(100)
    assert top.get_xlim() == bottom.get_xlim()


def test_a_line_ends_where_its_format_overflows():
    (axes,) = FIGURES["errors"]().axes
    lasts = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert lasts == [x[-1] for x, _ in ERRORS.values()]


def test_an_error_of_0_is_left_out():
    figure = formats.relative_error({"a": ([1.0, 2, 3], [0.1, 0, 0.2])}, "T?")
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).tolist() == [False, True, False]


def test_values_beyond_the_limit_are_numbers_above_the_axes():
    with figure_style():
        figure = FIGURES["bits a weight"]()
        FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    beyond = [text for text in axes.texts if "↑" in text.get_text()]
    expected = {f"{value:,.0f}↑" for way in WAYS.values() for value, *_ in way.values()
                if value > 60}  # fmt: skip
    assert {text.get_text().split()[-1] for text in beyond} == expected
    for text in beyond:
        box = Text.get_window_extent(text, figure.canvas.get_renderer())
        assert box.y0 >= axes.get_window_extent().y1
    marked = [line for line in axes.lines if line.get_marker() not in ("None", "_")]
    assert max(line.get_ydata().max() for line in marked) <= 60
    assert "arrows" in axes.get_xlabel()
    assert not any("↑" in text.get_text() for text in FIGURES["no limit"]().axes[0].texts)


@pytest.mark.parametrize("of", ["bits a weight", "crowded", "all of one way beyond"])
def test_each_way_is_named_once_and_off_the_points(of):
    with figure_style():
        figure = FIGURES[of]()
        FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    names = {"bits a weight": WAYS, "crowded": CROWDED, "all of one way beyond": ("a", "b")}[of]
    said = [text.get_text().replace("\n", " ") for text in axes.texts if "↑" not in text.get_text()]
    assert sorted(text.lstrip("●■▲◆▼✚✖⬢★ ") for text in said if "bf16" not in text) == sorted(names)
    marks = [
        Bbox([at - 3, at + 3])
        for line in axes.lines
        if line.get_marker() not in ("None", "_")
        for at in axes.transData.transform(np.column_stack(line.get_data()))
    ]
    for text in axes.texts:
        box = Text.get_window_extent(text, figure.canvas.get_renderer())
        assert not box.count_overlaps(marks), text.get_text()


def test_memory_is_drawn_as_given_with_the_cards_in_grey():
    (axes,) = FIGURES["memory"]().axes
    for line, (name, curve) in zip(axes.lines, MEMORY.items(), strict=False):
        assert (line.get_color(), line.get_marker()) == (LOOKS[name].colour, LOOKS[name].marker)
        np.testing.assert_allclose(line.get_data(), [[*curve], [*curve.values()]])
    assert [line.get_ydata()[0] for line in axes.lines[3:]] == [24, 80]
    assert "135M" in [tick.get_text() for tick in axes.get_xticklabels()]


def test_looks_of_formats_keep_apart():
    for one, other in combinations(FORMATS, 2):
        assert LOOKS[one].colour != LOOKS[other].colour
        assert LOOKS[one].marker != LOOKS[other].marker
    assert LOOKS["nf4"] == LOOKS["NF4"]


WHOLE = {"a": lost(0.1, 4)}


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: formats.bit_rows({}, "T?"), "no format"),
        (lambda: formats.bit_rows({"a": ("", "", "")}, "T?"), "of 1 to 32 bits"),
        (lambda: formats.bit_rows({"a": ("0", "1" * 32, "")}, "T?"), "of 1 to 32 bits"),
        (lambda: formats.bit_rows({"a": ("2", "", "")}, "T?"), "of 1 to 32 bits"),
        (lambda: formats.number_lines({}, "T?", (0, 1)), "no format"),
        (lambda: formats.number_lines({"a": []}, "T?", (0, 1)), "a: numbers"),
        (lambda: formats.number_lines({"a": [1, np.inf]}, "T?", (0, 1)), "a: numbers"),
        (lambda: formats.number_lines({"a": [1]}, "T?", (1, 1)), "not 1 to 1"),
        (lambda: formats.levels({}, WEIGHTS, "T?"), "no format"),
        (lambda: formats.levels({"a": [NAN]}, WEIGHTS, "T?"), "a: numbers"),
        (lambda: formats.levels({"a": [1]}, ([0, 1], [1, 2]), "T?"), "one edge more"),
        (lambda: formats.levels({"a": [1]}, ([0, 1], [0]), "T?"), "one edge more"),
        (lambda: formats.relative_error({}, "T?"), "no format"),
        (lambda: formats.relative_error({"a": ([1], [NAN])}, "T?"), "a: numbers"),
        (lambda: formats.relative_error({"a": ([0], [1])}, "T?"), "above 0"),
        (lambda: formats.relative_error({"a": ([1, 2], [1])}, "T?"), "for each magnitude"),
        (lambda: formats.relative_error({"a": ([1], [0])}, "T?"), "for each magnitude"),
        (lambda: quantize.against_bits({}, "T?", "%"), "no series"),
        (lambda: quantize.against_bits({"a": {}}, "T?", "%"), "a: numbers"),
        (lambda: quantize.against_bits({"a": {4: (1, 0, 2)}}, "T?", "%"), "above 0"),
        (lambda: quantize.against_bits(WHOLE, "T?", "%", ("b", NAN)), "b: numbers"),
        (lambda: quantize.against_bits(WHOLE, "T?", "%", limit=1), "values up to 1"),
        (lambda: quantize.memory_by_size({}, "T?"), "no series"),
        (lambda: quantize.memory_by_size({"a": {1e6: 0}}, "T?"), "above 0"),
        (lambda: quantize.memory_by_size(MEMORY, "T?", {"b": NAN}), "b: numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, said):
    with pytest.raises(AdaptlabError, match=said) as caught:
        draw()
    assert "\n" not in str(caught.value)
