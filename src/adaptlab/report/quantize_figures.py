"""Figures of quantised models: what fewer bits cost, and what memory they save.

Their formats are in `format_figures`; fidelity after merging is drawn by `lora_figures.targets`.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adaptlab.report.labels import (
    LINE,
    SMALLEST,
    End,
    end_labels,
    headline,
    ink,
    number_ticks,
    short,
    size_ticks,
)  # fmt: skip
from adaptlab.report.marks import drawn, looks, near_labels
from adaptlab.report.series import (
    Interval,
    bars,
    covered,
    flat,
    grey,
    numbers,
    points,
    room,
    scientific,
    some,
    tagged,
    told,
)  # fmt: skip
from adaptlab.report.style import Look, figure_style

WIDTH = 7  # inches of a figure
LETTERS = 20  # in a line of a label


def against_bits(
    series: Mapping[str, Mapping[float, Interval]],
    title: str,
    ylabel: str,
    reference: tuple[str, float] | None = None,
    log_y: bool = True,
    limit: float | None = None,
) -> Figure:
    """What fewer bits cost: a measure with its interval against the bits a weight, a line a way.

    series: for each way and its bits (value, low, high), in the unit of `ylabel`.
    reference: a name and a value for a grey line, such as the 16-bit model's perplexity.
    limit: values above it are an arrow at the top, with their number; intervals end there.
    Raises AdaptlabError if there is no series, bits are not above 0, a number is not finite, all
    are above the limit, or on a logarithmic axis one is not above 0.
    """
    some("series", series)
    above = 0 if log_y else -np.inf
    known = {name: points(name, curve, above) for name, curve in series.items()}
    ceiling = np.inf if limit is None else limit
    seen = {name: curve[curve[:, 1] <= ceiling] for name, curve in known.items()}
    level = {reference[0]: numbers(reference[0], [reference[1]], above)[0]} if reference else {}
    heights = np.concatenate([*(c[:, 1:].ravel() for c in seen.values()), [*level.values()]])
    heights = numbers(f"values up to {ceiling:g}", np.minimum(heights, ceiling))
    over = [(n, x, y) for n, curve in known.items() for x, y in curve[:, :2] if y > ceiling]
    hows = looks(known)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(4, 1.5 + 0.36 * len(known))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_yscale("log" if log_y else "linear")
        bits = np.concatenate([curve[:, 0] for curve in known.values()])
        beside = 0.06 * np.ptp(bits) or 0.5
        axes.set_xlim(bits.min() - beside, bits.max() + beside)
        room(axes, [*heights, *([ceiling] if over else [])])
        for name, curve in seen.items():
            _way(axes, known[name], curve, hows[name], ceiling)
        axes.set_xlabel("bits a weight" + "; arrows: beyond the axis" * bool(over))
        axes.set_ylabel(ylabel + ", logarithmic" * log_y)
        axes.xaxis.set_major_locator(MaxNLocator(9, steps=(1, 2, 5, 10)))
        if log_y:
            number_ticks(axes)
        _beyond(axes, over, hows)
        _ways(axes, known, seen, hows, grey(axes, level))
    about = [
        f"{name} " + ", ".join(f"{told(each[1:])} at {each[0]:.4g}" for each in curve)
        for name, curve in known.items()
    ]
    about += [f"{name} {y:.4g}" for name, y in level.items()]
    figure.set_label(f"{title} {flat(ylabel)} against bits a weight: {'; '.join(about)}")
    return figure


def _way(axes: Axes, all_: np.ndarray, seen: np.ndarray, how: Look, ceiling: float) -> None:
    """One line, cut by the axes' top; marks and intervals where the value is not beyond it."""
    axes.plot(all_[:, 0], all_[:, 1], color=how.colour)
    if len(seen):
        bars(axes, seen[:, 0], np.minimum(seen[:, 1:], ceiling), how, linestyle="none")


def _ways(
    axes: Axes, known: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray],
    hows: Mapping[str, Look], level: Sequence[End],
) -> None:  # fmt: skip
    """The lines' names: beside their points of fewest bits, or if one has no room at the right.

    Lines run together where bits are many, so that names at their ends would say little.
    """
    for end in level:
        end_labels(axes, [end], LETTERS)
    top = axes.get_ylim()[1]
    shown = {n: c if len(c) else [[known[n][-1, 0], top]] for n, c in seen.items()}
    firsts = [End(name, *curve[0][:2], hows[name].colour) for name, curve in shown.items()]
    marks = np.concatenate([np.stack([c[:, [0, 0, 0]], c[:, 1:]], 1) for c in seen.values()])
    blocked = drawn(axes, marks, [end.y for end in level])
    for curve in known.values():
        blocked += covered(axes, curve[:, 0], curve[:, 1])
    tries = product((LETTERS, LETTERS // 2), (firsts, firsts[::-1]))
    if not any(near_labels(axes, ends, blocked, width) for width, ends in tries):
        for text in [text for text in axes.texts if text.get_text() in {e.text for e in level}]:
            text.remove()
        lasts = [
            End(tagged(name, hows[name]), *curve[-1][:2], hows[name].colour)
            for name, curve in shown.items()
        ]
        end_labels(axes, [*lasts, *level], LETTERS)


def _beyond(axes: Axes, over: Sequence[tuple[str, float, float]], hows: Mapping[str, Look]) -> None:
    """Above the axes an arrow and a number for each value beyond, in rows that keep apart."""
    axes.figure.draw_without_rendering()
    taken: list[float] = []  # where each row's last number ends, in points
    for name, x, value in sorted(over, key=lambda each: (each[1], each[2])):
        how = hows[name]
        text = tagged(f"{value:,.0f}↑" if value < 1e4 else f"{scientific(value)}↑", how)
        middle = axes.transData.transform((x, 1))[0] * 72 / axes.figure.dpi
        half = 0.36 * SMALLEST * len(text) + 2
        row = next((i for i, end in enumerate(taken) if middle - half >= end), len(taken))
        taken[row : row + 1] = [middle + half]
        axes.annotate(
            text, (x, 1), (0, 2 + row * SMALLEST * LINE), xycoords=axes.get_xaxis_transform(),
            textcoords="offset points", ha="center", va="bottom", fontsize=SMALLEST,
            color=ink(how.colour), annotation_clip=False,
        )  # fmt: skip


def memory_by_size(
    series: Mapping[str, Mapping[float, float]],
    title: str,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Which models a card can train: the memory of a step against the model's parameters.

    series: for each method and number of parameters the memory in GB. marks: heights of grey
        lines in GB, such as a card's memory.
    Raises AdaptlabError if there is no series, or a number is not finite and above 0.
    """
    some("series", series)
    known = {
        name: np.array([(n, curve[n]) for n in np.sort(numbers(name, curve, 0))])
        for name, curve in series.items()
    }  # (sizes, parameters and GB)
    heights = [numbers(name, curve[:, 1], 0) for name, curve in known.items()]
    heights += [numbers(name, [gb], 0) for name, gb in (marks or {}).items()]
    hows = looks(known)
    sizes = np.concatenate([curve[:, 0] for curve in known.values()])
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.36 * len(heights))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set(xscale="log", yscale="log", xlim=(sizes.min() / 1.4, sizes.max() * 1.4))
        ends = []
        for name, curve in known.items():
            how, (last, gb) = hows[name], curve[-1]
            axes.plot(*curve.T, color=how.colour, marker=how.marker)
            ends.append(End(f"{name}\n{_gb(gb)}", last, gb, how.colour))
        room(axes, np.concatenate(heights))
        axes.set_xlabel("parameters of the model, logarithmic")
        axes.set_ylabel("memory of a training step, GB, logarithmic")
        number_ticks(axes)
        size_ticks(axes, sizes)
        end_labels(axes, ends + grey(axes, marks or {}, " GB"))
    about = [
        f"{name} " + ", ".join(f"{_gb(gb)} at {short(n)}" for n, gb in curve)
        for name, curve in known.items()
    ]
    about += [f"{name} {_gb(gb)}" for name, gb in (marks or {}).items()]
    figure.set_label(f"{title} Memory of a training step by parameters: {'; '.join(about)}")
    return figure


def _gb(value: float) -> str:
    return f"{value:,.0f} GB" if value >= 100 else f"{value:.3g} GB"
