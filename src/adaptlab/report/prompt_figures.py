"""Figures of prompting: what texts answer, accuracy along what a prompt shows, and its spread.

Paired differences of many prompts in one picture are drawn by `reasoning_figures.gains`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import SMALL, End, end_labels, headline, ink, on, plain
from adaptlab.report.marks import count_ticks, looks
from adaptlab.report.series import (
    Interval,
    around,
    bars,
    flat,
    grey,
    interval,
    numbers,
    points,
    room,
    some,
    tagged,
    told,
)
from adaptlab.report.style import BASELINE, figure_style

WIDTH = 7  # inches of a figure
GROUNDS = {"blue": "#0072B2", "orange": "#E69F00", "grey": "0.88"}  # of the parts of a bar
NARROW = 7  # percent of a bar, below which a part has no room for its number
DODGE = 0.03  # of the axis, between the intervals of two series at one place
Drawn = tuple[Interval, Sequence[float]]  # a mean with its interval, and the draws it is of


def outcomes(
    rows: Mapping[str, Mapping[str, int]],
    title: str,
    xlabel: str,
    intervals: Mapping[str, Interval] | None = None,
) -> Figure:
    """What became of the items: a bar for each row, in parts that sum to all items.

    rows: for each name the number of items of each kind; all rows have the same kinds, up to
        three, in the order in which they are drawn.
    intervals: of the share of the first kind, in percent.
    Raises AdaptlabError if there is no row, one has other kinds or no item, or a count below 0.
    """
    some("row", rows)
    kinds = list(next(iter(rows.values())))
    shares = {name: _shares(name, counts, kinds) for name, counts in rows.items()}
    known = {name: interval(name, ends) for name, ends in (intervals or {}).items()}
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.5 * len(rows) + 1.7))
        axes = figure.subplots()
        headline(figure, title)
        for row, (name, parts) in enumerate(shares.items()):
            _bar(axes, row, parts)
            if name in known:
                value, low, high = known[name]
                axes.errorbar(value, row + 0.22, xerr=around(value, low, high)[:, None],
                              color="black", capsize=2, elinewidth=1, linestyle="none")  # fmt: skip
        axes.set_yticks(range(len(rows)), [plain(name) for name in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        key = (f"{shade}: {plain(kind)}" for shade, kind in zip(GROUNDS, kinds, strict=False))
        axes.set_xlabel(f"{xlabel}\n{', '.join(key)}")
    about = "; ".join(
        f"{name} " + ", ".join(f"{kinds[i]} {part:.0f}%" for i, part in enumerate(parts))
        for name, parts in shares.items()
    )
    figure.set_label(f"{title} {flat(xlabel)}: {about}")
    return figure


def _shares(name: str, counts: Mapping[str, int], kinds: Sequence[str]) -> np.ndarray:
    if list(counts) != list(kinds) or len(kinds) > len(GROUNDS):
        raise AdaptlabError(f"{name}: counts of {', '.join(kinds)} are asked, at most three kinds")
    array = numbers(name, counts.values(), -1)
    if not array.sum() or (array < 0).any():
        raise AdaptlabError(f"{name}: counts of 0 or more are asked, not all of them 0")
    return 100 * array / array.sum()


def _bar(axes: Axes, row: int, parts: np.ndarray) -> None:
    start = 0.0
    for share, ground in zip(parts, GROUNDS.values(), strict=False):
        axes.barh(row, share, left=start, height=0.66, color=ground, edgecolor="white")
        if share >= NARROW:
            axes.text(start + share / 2, row - 0.04, f"{share:.0f}%", ha="center", va="center",
                      fontsize=SMALL, color=on(ground))  # fmt: skip
        start += share


def along(
    series: Mapping[str, Mapping[float, Drawn]],
    title: str,
    xlabel: str,
    ylabel: str,
    references: Mapping[str, float] | None = None,
    log_x: bool = False,
) -> Figure:
    """A score against what a prompt shows: small dots are draws, a line goes through their means.

    series: for each name and x ((mean, low, high), the draws), in the unit of `ylabel`.
    references: values of grey lines. log_x: a logarithmic axis, of powers of two.
    Raises AdaptlabError if there is no series, a number is not finite, or x on a logarithmic axis
    not above 0.
    """
    some("series", series)
    above = 0 if log_x else -np.inf
    lines = {
        name: points(name, {x: ends for x, (ends, _) in curve.items()}, x_above=above)
        for name, curve in series.items()
    }
    draws = {
        name: {x: numbers(name, found) for x, (_, found) in sorted(curve.items())}
        for name, curve in series.items()
    }
    levels = {name: float(numbers(name, [y])[0]) for name, y in (references or {}).items()}
    hows = looks(lines)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.5 + 0.4 * (len(lines) + len(levels)))))
        axes = figure.subplots()
        headline(figure, title)
        ticks = np.unique(np.concatenate([curve[:, 0] for curve in lines.values()]))
        places = _places(axes, ticks, log_x)
        ends = []
        for number, (name, curve) in enumerate(lines.items()):
            how, beside = hows[name], DODGE * (number - (len(lines) - 1) / 2)
            xs = [places(x, beside) for x in curve[:, 0]]
            bars(axes, np.array(xs), curve[:, 1:], how)
            for x, found in zip(xs, draws[name].values(), strict=True):
                axes.plot([x] * len(found), found, color=how.colour, marker=how.marker,
                          markersize=3, alpha=0.5, linestyle="none")  # fmt: skip
            ends.append(End(f"{tagged(name, how)}\n{curve[-1, 1]:.4g}", xs[-1], curve[-1, 1],
                            how.colour))  # fmt: skip
        heights = [curve[:, 1:].ravel() for curve in lines.values()]
        heights += [found for own in draws.values() for found in own.values()]
        room(axes, [*np.concatenate(heights), *levels.values()])
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        end_labels(axes, ends + grey(axes, levels))
        if log_x:
            count_ticks(axes, ticks)
        else:
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    figure.set_label(f"{title} {flat(ylabel)} against {flat(xlabel)}: {_about(lines, levels)}")
    return figure


def _places(axes: Axes, ticks: np.ndarray, log_x: bool) -> Callable[[float, float], float]:
    """Sets the axis's limits; gives where x stands, moved aside by a share of the axis."""
    if log_x:
        axes.set_xscale("log", base=2)
        span = max(np.log2(ticks[-1] / ticks[0]), 1)
        axes.set_xlim(ticks[0] * 2 ** (-0.08 * span), ticks[-1] * 2 ** (0.08 * span))
        return lambda x, beside: x * 2 ** (beside * span)
    span = max(ticks[-1] - ticks[0], 1e-9) if len(ticks) > 1 else 1
    axes.set_xlim(ticks[0] - 0.08 * span, ticks[-1] + 0.08 * span)
    return lambda x, beside: x + beside * span


def _about(lines: Mapping[str, np.ndarray], levels: Mapping[str, float]) -> str:
    about = [
        f"{name} " + ", ".join(f"{told(each[1:])} at {each[0]:g}" for each in curve)
        for name, curve in lines.items()
    ]
    return "; ".join(about + [f"{name} {y:.4g}" for name, y in levels.items()])


def spread(
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    title: str,
    xlabel: str,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """How far scores lie apart that should be equal: a row of dots for each group and method.

    groups: for each thing that is changed, such as the order, and method the scores, in the unit
        of `xlabel`. A bar is their mean; the lowest and the highest stand at the right.
    references: values of grey lines, named below the axis.
    Raises AdaptlabError if there is no group, one is empty, or a number is not finite.
    """
    some("group", groups)
    for group, methods in groups.items():
        some(f"method of {group!r}", methods)
    rows = {
        (group, method): numbers(f"{group}, {method}", values)
        for group, methods in groups.items()
        for method, values in methods.items()
    }
    levels = {name: float(numbers(name, [x])[0]) for name, x in (references or {}).items()}
    hows = looks(dict.fromkeys(method for _, method in rows))
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.55 * len(rows) + 1.6))
        axes = figure.subplots()
        headline(figure, title)
        for value in levels.values():
            axes.axvline(value, color=BASELINE, linewidth=1.2, zorder=1)
        for row, ((_, method), values) in enumerate(rows.items()):
            how = hows[method]
            axes.plot(values, row + _apart(values), color=how.colour, marker=how.marker,
                      markersize=5, alpha=0.8, linestyle="none")  # fmt: skip
            axes.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color="black", linewidth=1)
            axes.annotate(
                f"{values.min():.1f} to {values.max():.1f}", (1, row), (8, 0), fontsize=SMALL,
                xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center",
                color=ink(how.colour),
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), [plain(f"{g}\n{method}") for g, method in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.margins(x=0.08)
        axes.grid(axis="x")
        named = "; ".join(f"{plain(name)}, {x:.4g}" for name, x in levels.items())
        axes.set_xlabel(f"{xlabel}\ngrey: {named}" if levels else xlabel)
    about = "; ".join(
        f"{group}, {method} {len(values)} scores from {values.min():.4g} to {values.max():.4g}, "
        f"mean {values.mean():.4g}"
        for (group, method), values in rows.items()
    )
    held = "".join(f"; {name} {x:.4g}" for name, x in levels.items())
    figure.set_label(f"{title} {flat(xlabel)}: {about}{held}")
    return figure


def _apart(values: np.ndarray, step: float = 0.09) -> np.ndarray:
    """Heights on a row, so that equal scores do not hide each other: 0, then up and down."""
    heights = np.zeros(len(values))
    for place, value in enumerate(values):
        before = int(np.isclose(values[:place], value).sum())
        heights[place] = step * ((before + 1) // 2) * (-1) ** before
    return np.clip(heights, -0.36, 0.36)
