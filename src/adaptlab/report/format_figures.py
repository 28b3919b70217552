"""Figures of number formats: their bits, the values they hold, and how far they round."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import SMALL, SMALLEST, End, end_labels, headline, ink, on, plain
from adaptlab.report.marks import looks
from adaptlab.report.series import few, numbers, scientific, some
from adaptlab.report.style import Look, figure_style

WIDTH = 7  # inches of a figure
GROUNDS = {"sign": "#0072B2", "exponent": "#F0B54A", "mantissa": "0.95"}  # apart in grey print
BOXES = 32  # the bits that a row has room for
LETTER = 0.46  # of a box, the width of a letter of a part's name


def bit_rows(
    rows: Mapping[str, tuple[str, str, str]],
    title: str,
    notes: Mapping[str, str] | None = None,
) -> Figure:
    """How formats store one number: a box for each bit, by sign, exponent and mantissa.

    rows: for each format its three parts as strings of 0 and 1, any of them empty; at most 32
        bits. notes: for some formats what is written at the right, such as the value stored.
    Raises AdaptlabError if there is no row, or one has no bits, more than 32, or other letters.
    """
    some("format", rows)
    for name, parts in rows.items():
        bits = "".join(parts)
        if len(parts) != len(GROUNDS) or not 0 < len(bits) <= BOXES or set(bits) - {"0", "1"}:
            raise AdaptlabError(f"{name}: sign, exponent and mantissa of 1 to 32 bits are asked")
    notes = notes or {}
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.45 * len(rows) + 0.8))
        axes = figure.subplots()
        headline(figure, title)
        for row, (name, parts) in enumerate(rows.items()):
            _boxes(axes, row, parts)
            counted = " + ".join(str(len(part)) for part in parts if part)
            total = sum(map(len, parts))
            size = f"{counted} = {total} bits" if "+" in counted else f"{total} bits"
            note = f"{size}\n{notes[name]}" if name in notes else size
            axes.annotate(plain(note), (1, row), (6, 0), xycoords=axes.get_yaxis_transform(),
                          textcoords="offset points", va="center", fontsize=SMALL,
                          linespacing=1.1)  # fmt: skip
        _part_names(axes, rows)
        axes.set_yticks(range(len(rows)), [plain(name) for name in rows])
        axes.set_xlim(-0.1, BOXES + 0.1)
        axes.set_ylim(len(rows) - 0.6, -0.75)
        axes.set_xticks([])
        axes.set_xlabel("bits, the first at the left", fontsize=SMALL)
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
    about = "; ".join(
        f"{name} {' '.join(part for part in parts if part)}"
        + (f" ({notes[name]})" if name in notes else "")
        for name, parts in rows.items()
    ).replace("\n", ", ")
    figure.set_label(f"{title} Bits by sign, exponent and mantissa: {about}")
    return figure


def _boxes(axes: Axes, row: int, parts: Sequence[str]) -> None:
    """One format's bits, from the left."""
    place = 0
    for ground, part in zip(GROUNDS.values(), parts, strict=True):
        for bit in part:
            axes.add_patch(Rectangle((place, row - 0.27), 1, 0.54, facecolor=ground,
                                     edgecolor="0.45", linewidth=0.7))  # fmt: skip
            axes.text(place + 0.5, row, bit, ha="center", va="center", fontsize=SMALLEST,
                      color=on(ground), family="monospace")  # fmt: skip
            place += 1


def _part_names(axes: Axes, rows: Mapping[str, tuple[str, str, str]]) -> None:
    """Each part's name once, above the first of the rows that have it and the longest exponent."""
    told: dict[str, int] = {}
    order = sorted(enumerate(rows.values()), key=lambda each: -len(each[1][1]))
    for row, parts in order:
        free = place = 0.0
        for name, part in zip(GROUNDS, parts, strict=True):
            if part and told.setdefault(name, row) == row:
                start = max(place, free)
                axes.text(start, row - 0.31, name, fontsize=SMALLEST, va="bottom", color="0.25")
                free = start + LETTER * (len(name) + 1)
            place += len(part)


def number_lines(
    values: Mapping[str, Sequence[float]], title: str, span: tuple[float, float]
) -> Figure:
    """Which values small formats hold from a low to a high end: a tick for each, a line a format.

    values: all that each format holds. span: the low and the high end.
    Raises AdaptlabError if there is no format, one has no value or one that is not finite, or the
    span is none.
    """
    some("format", values)
    low, high = numbers("span", span)
    if low >= high:
        raise AdaptlabError(f"a span from a low to a high end is asked, not {low:g} to {high:g}")
    held = {name: np.unique(numbers(name, own) + 0.0) for name, own in values.items()}
    inside = {name: own[(own >= low) & (own <= high)] for name, own in held.items()}
    hows = looks(values)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.42 * len(values) + 1.2))
        axes = figure.subplots()
        headline(figure, title)
        _ticked(axes, inside, hows)
        axes.set_xlim(*_wider(low, high))
        for row, (name, own) in enumerate(inside.items()):
            axes.annotate(f"{len(own)} of {len(held[name])}\nvalues", (1, row), (8, 0),
                          xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                          va="center", fontsize=SMALL, linespacing=1.1)  # fmt: skip
        axes.set_xlabel(f"value, from {low:g} to {high:g}; a tick for each that the format holds")
    about = "; ".join(
        f"{name} {len(own)} of its {len(held[name])} values" for name, own in inside.items()
    )
    figure.set_label(f"{title} Between {low:g} and {high:g}: {about}")
    return figure


def _wider(low: float, high: float) -> tuple[float, float]:
    beside = 0.015 * (high - low)
    return low - beside, high + beside


def _ticked(axes: Axes, values: Mapping[str, np.ndarray], hows: Mapping[str, Look]) -> None:
    """A row of ticks for each format."""
    for row, (name, own) in enumerate(values.items()):
        axes.axhline(row, color="0.85", linewidth=0.8, zorder=0)
        width = 0.6 if len(own) > 60 else 1.4
        axes.vlines(own, row - 0.32, row + 0.32, color=ink(hows[name].colour), linewidth=width)
    axes.set_yticks(range(len(values)), [plain(name) for name in values])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False)


def levels(
    levels: Mapping[str, Sequence[float]],
    histogram: tuple[Sequence[float], Sequence[float]],
    title: str,
    xlabel: str = "weight / largest magnitude of its block",
) -> Figure:
    """Whether a format's levels lie where the weights are: their histogram, and the levels below.

    levels: for each format its levels, scaled into [-1, 1].
    histogram: the edges of the bins, one more than bins, and the weights in each; drawn as shares.
    Raises AdaptlabError if there is no format, a number is not finite, or the bins do not fit.
    """
    some("format", levels)
    known = {name: np.unique(numbers(name, own) + 0.0) for name, own in levels.items()}
    edges, counts = (numbers("histogram", part) for part in histogram)
    if len(edges) != len(counts) + 1 or (counts < 0).any() or not counts.any():
        raise AdaptlabError("a histogram asks for counts of 0 or more and one edge more than bins")
    share = 100 * counts / counts.sum()
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.36 * len(levels) + 3))
        top, bottom = figure.subplots(
            2, 1, sharex=True, height_ratios=(1.9, 0.36 * len(levels) + 0.1)
        )
        headline(figure, title)
        top.stairs(share, edges, fill=True, color="0.75")
        top.set_ylabel("share of weights, %")
        top.set_ylim(0, 1.08 * share.max())
        _ticked(bottom, known, looks(levels))
        every = np.concatenate([edges, *known.values()])
        bottom.set_xlim(*_wider(every.min(), every.max()))
        bottom.set_xlabel(xlabel)
        for row, own in enumerate(known.values()):
            bottom.annotate(f"{len(own)} levels", (1, row), (8, 0), va="center", fontsize=SMALL,
                            xycoords=bottom.get_yaxis_transform(),
                            textcoords="offset points")  # fmt: skip
    about = "; ".join(
        f"{name} {', '.join(f'{level:.3g}' for level in own)}" for name, own in known.items()
    )
    highest = edges[share.argmax() : share.argmax() + 2]
    figure.set_label(
        f"{title} A histogram, highest from {highest[0]:.2g} to {highest[1]:.2g} with "
        f"{share.max():.3g}% of the weights; levels: {about}"
    )
    return figure


def relative_error(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str
) -> Figure:
    """How far formats round: the relative error against the magnitude, on logarithmic axes.

    curves: for each format magnitudes and their relative errors; a line ends where its magnitudes
        do, so end them where the format overflows. An error of 0 has no place and is left out.
    Raises AdaptlabError if there is no format, the two differ in length, a magnitude is not above
    0, an error below 0, a number not finite, or all errors are 0.
    """
    some("format", curves)
    known = {}
    for name, (magnitudes, errors) in curves.items():
        x, y = numbers(name, magnitudes, 0), numbers(name, errors)
        if len(x) != len(y) or (y < 0).any() or not y.any():
            raise AdaptlabError(f"{name}: an error of 0 or more for each magnitude is asked")
        known[name] = (x, np.where(y > 0, y, np.nan))
    hows = looks(known)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.36 * len(known))))
        axes = figure.subplots()
        headline(figure, title)
        ends = []
        for name, (x, y) in known.items():
            how, last = hows[name], np.flatnonzero(~np.isnan(y))[-1]
            axes.loglog(x, y, color=how.colour, marker=how.marker, markersize=4.5,
                        markevery=few(len(x)))  # fmt: skip
            axes.plot(x[last], y[last], color=how.colour, marker=how.marker, markersize=7)
            ends.append(End(f"{name}\nto {_magnitude(x[-1])}", x[last], y[last], how.colour))
        axes.margins(0.05)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(numticks=9))
            axis.set_minor_locator(NullLocator())
        axes.set_xlabel("magnitude, logarithmic")
        axes.set_ylabel("relative rounding error, logarithmic")
        end_labels(axes, ends)
    about = "; ".join(
        f"{name} {np.nanmedian(y):.2g} in the middle, {np.nanmax(y):.2g} at most, from {x[0]:.3g} "
        f"to {_magnitude(x[-1])}"
        for name, (x, y) in known.items()
    )
    figure.set_label(f"{title} Relative error against magnitude: {about}")
    return figure


def _magnitude(value: float) -> str:
    return f"{value:,.0f}" if 10 <= value < 1e6 else scientific(value, 1)
