"""Words in figures: titles, tokens, and labels at the ends of lines that keep apart."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from scipy.optimize import isotonic_regression

SMALL = 9  # points
SMALLEST = 8
LINE = 1.25  # the height of a line of text, in font sizes
MARKS = str.maketrans({" ": "␣", "\n": "⏎", "\r": "⏎", "\t": "⇥"})
READABLE = 4.5  # the contrast of text with its ground (WCAG 2, AA)


@dataclass(frozen=True)
class End:
    """A line that ends at (x, y), in data coordinates, and what it is called."""

    text: str
    x: float
    y: float
    colour: str


def headline(figure: Figure, title: str) -> None:
    """The figure's title at its left, in as many lines as its width asks for."""
    letters = int(figure.get_figwidth() * 9.2)
    figure.suptitle(fill(plain(title), letters), x=0.01, ha="left", weight="bold", fontsize=11)


def fill(text: str, letters: int) -> str:
    """The text in lines of at most so many letters; its own line ends stay."""
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


def panels(figure: Figure, count: int, columns: int, sharey: bool = False) -> list[Axes]:
    """Axes for `count` panels, row by row; what is left of the last row stays empty."""
    grid = figure.subplots(-(-count // columns), columns, sharey=sharey, squeeze=False).ravel()
    for unused in grid[count:]:
        unused.set_visible(False)
    return list(grid[:count])


def end_labels(axes: Axes, ends: Sequence[End], width: int = 24) -> None:
    """Name each line to the right of the axes, at its end's height or as near as there is room.

    Call it when the axes' limits are final. width: the letters in a line of a label.
    """
    axes.figure.draw_without_rendering()  # the layout decides how high the axes are
    height = axes.get_window_extent().height * 72 / axes.figure.dpi  # points
    texts = [fill(plain(end.text), width) for end in ends]
    rooms = np.array([SMALL * LINE * (text.count("\n") + 1) for text in texts])
    data = axes.transData.transform([(end.x, end.y) for end in ends])
    wanted = axes.transAxes.inverted().transform(data)[:, 1] * height
    beside = axes.transAxes + ScaledTranslation(16 / 72, 0, axes.figure.dpi_scale_trans)
    for end, text, y in zip(ends, texts, apart(wanted, rooms, height), strict=True):
        axes.annotate(
            text,
            (end.x, end.y),
            xytext=(1, y / height),
            textcoords=beside,
            va="center",
            fontsize=SMALL,
            color=ink(end.colour),
            linespacing=1.1,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "linewidth": 0.7,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def apart(wanted: np.ndarray, rooms: np.ndarray, height: float) -> np.ndarray:
    """Places nearest to the wanted ones, in least squares and in their order, that do not overlap.

    wanted: (labels,) middles from 0 to `height`. rooms: (labels,) how much each needs.
    """
    order = np.argsort(wanted, kind="stable")
    rooms = rooms[order]
    stacked = np.cumsum(rooms) - rooms / 2  # the middles if the labels stood on each other
    shifts = isotonic_regression(wanted[order] - stacked).x
    shifts = np.clip(shifts, 0, max(height - rooms.sum(), 0))
    places = np.empty_like(shifts)
    places[order] = shifts + stacked
    return places


def visible(token: str, longest: int = 14) -> str:
    """A token's text for a figure: spaces and line ends shown, long ones cut."""
    text = token.translate(MARKS)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return plain(text)


def plain(text: str) -> str:
    """The text without letters that the font lacks; dollars escaped, for two start a formula."""
    has = _font().get_char_index
    text = "".join(c if c == "\n" or has(ord(c)) else "�" for c in text)
    return text.replace("$", r"\$")


def luminance(colour: str | tuple[float, ...]) -> float:
    """Relative luminance, 0 black to 1 white (WCAG 2)."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def on(ground: str | tuple[float, ...]) -> str:
    """Black or white, whichever reads better on the ground."""
    light = luminance(ground) + 0.05
    return "black" if light / 0.05 >= 1.05 / light else "white"


def ink(colour: str) -> tuple[float, ...]:
    """The colour, darkened until a text in it is readable on white."""
    parts = np.array(to_rgb(colour))
    while 1.05 / (luminance(tuple(parts)) + 0.05) < READABLE:
        parts = parts * 0.95
    return tuple(parts)


def number_ticks(axes: Axes) -> None:
    """Plain numbers up a logarithmic axis that may cover less than a power of ten."""
    bottom, top = axes.get_ylim()
    axes.yaxis.set_major_locator(MaxNLocator(6) if top < 8 * bottom else LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(bottom, top)  # a locator may have widened them


def size_ticks(axes: Axes, sizes: Sequence[float]) -> None:
    """A label below each size, in a second row where it would touch the last one."""
    axes.figure.draw_without_rendering()
    ordered = np.unique(sizes)
    free = [-np.inf, -np.inf]  # where each row's last label ends, in points
    names = []
    for size in ordered:
        x = axes.transData.transform((size, axes.get_ylim()[0]))[0] * 72 / axes.figure.dpi
        half = 0.34 * SMALL * len(short(size)) + 2
        row = next((row for row in (0, 1) if x - half >= free[row]), None)
        names.append("" if row is None else "\n" * row + short(size))
        if row is not None:
            free[row] = x + half
    axes.set_xticks(ordered, names, fontsize=SMALL)
    axes.xaxis.set_minor_locator(NullLocator())


def short(number: float) -> str:
    """A number of parameters in two or three digits: 1.2K, 0.8M, 124M, 1.5B."""
    scales = ((1e9, "B"), (1e5, "M"), (1e3, "K"))  # 0.1M to 1B in millions
    unit = next((unit for least, unit in scales if number >= least), "")
    value = number / {"B": 1e9, "M": 1e6, "K": 1e3, "": 1}[unit]
    return f"{value:.0f}{unit}" if value >= 9.95 or not unit else f"{value:.1f}{unit}"


@cache
def _font() -> FT2Font:
    return get_font(findfont("DejaVu Sans"))
