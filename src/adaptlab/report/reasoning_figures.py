"""Figures of reasoning: what writing steps gains on the same items, and what it costs in tokens."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from matplotlib.transforms import Bbox

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import SMALL, End, end_labels, headline, ink, plain
from adaptlab.report.marks import count_ticks, drawn, looks, near_labels
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
from adaptlab.report.style import BASELINE, Look, figure_style

WIDTH = 7  # inches of a figure
LETTERS = 16  # in a line of a label
APART = 0.22  # of a row, between the series on it
Place = tuple[float, Interval]  # tokens, and a score with its interval


def gains(
    series: Mapping[str, Mapping[str, Interval]], title: str, xlabel: str, zero: str
) -> Figure:
    """Differences on the same items: a row for each task, on it a dot for each series.

    series: for each name and row (difference, low, high), in the unit of `xlabel`; all have the
        same rows. zero: what a difference of 0 means, named below the axis.
    Raises AdaptlabError if there is no series, one lacks a row, or a number is not finite.
    """
    some("series", series)
    names = list(next(iter(series.values())))
    for name, own in series.items():
        if list(own) != names or not own:
            raise AdaptlabError(f"{name}: differences of the rows {names}, at least one, are asked")
    known = {n: np.array([interval(n, own[row]) for row in names]) for n, own in series.items()}
    hows = looks(known)
    middle = (len(known) - 1) / 2
    with figure_style():
        figure = Figure(figsize=(WIDTH, (0.12 + 0.24 * len(known)) * len(names) + 1.7))
        axes = figure.subplots()
        headline(figure, title)
        axes.axvline(0, color=BASELINE, linewidth=1.2, zorder=1)
        for place, (name, ends) in enumerate(known.items()):
            rows = np.arange(len(names)) + APART * (place - middle)
            axes.errorbar(
                ends[:, 0], rows, xerr=around(*ends.T), color=hows[name].colour,
                marker=hows[name].marker, markersize=6, capsize=3, linestyle="none",
            )  # fmt: skip
            for row, value in zip(rows, ends[:, 0], strict=True):
                axes.annotate(
                    f"{value:+.1f}".replace("-", "−"), (1, row), (8, 0), fontsize=SMALL,
                    xycoords=axes.get_yaxis_transform(), textcoords="offset points", va="center",
                    color=ink(hows[name].colour),
                )  # fmt: skip
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.margins(x=0.08)
        axes.grid(axis="x")
        key = ", ".join(tagged(plain(name), hows[name]) for name in known)
        axes.set_xlabel(f"{xlabel}\n{key}; grey: {plain(zero)}")
    about = "; ".join(
        f"{name} " + ", ".join(f"{row} {told(e)}" for row, e in zip(names, ends, strict=True))
        for name, ends in known.items()
    )
    figure.set_label(f"{title} {flat(xlabel)}: {about}; 0 is {zero}")
    return figure


def voting(
    curves: Mapping[str, Mapping[int, Place]],
    title: str,
    ylabel: str,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """A score against k, the samples that vote, and against the tokens they cost; both axes log.

    curves: for each name and k (tokens a question, (score, low, high)), in the unit of `ylabel`;
        a way that is asked only once has the single k = 1. levels: values of grey lines.
    Raises AdaptlabError if there is no curve, tokens or k not above 0, or a number not finite.
    """
    some("curve", curves)
    levels = {name: float(numbers(name, [y])[0]) for name, y in (levels or {}).items()}
    by_k = {n: points(n, {k: ends for k, (_, ends) in c.items()}) for n, c in curves.items()}
    tokens = {
        name: numbers(f"{name}, tokens", [curve[k][0] for k in sorted(curve)], 0)
        for name, curve in curves.items()
    }
    hows = looks(by_k)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.6, 1.6 + 0.3 * len(curves))))
        left, right = figure.subplots(1, 2, sharey=True)
        headline(figure, title)
        for axes, xs in ((left, {n: c[:, 0] for n, c in by_k.items()}), (right, tokens)):
            _lines(axes, xs, by_k, hows)
        heights = np.concatenate([curve[:, 1:].ravel() for curve in by_k.values()])
        room(left, [*heights, *levels.values()])
        left.set_xlabel("k, samples that vote")
        right.set_xlabel("tokens for a question")
        left.set_ylabel(ylabel)
        count_ticks(left, np.unique(np.concatenate([curve[:, 0] for curve in by_k.values()])))
        _token_ticks(right)
        ends = [
            End(tagged(name, hows[name]), tokens[name][-1], curve[-1, 1], hows[name].colour)
            for name, curve in by_k.items()
        ]
        grey(left, levels)
        end_labels(right, ends + grey(right, levels, "%"), LETTERS)
    about = [
        f"{name} "
        + ", ".join(
            f"{told(each[1:])} at k = {each[0]:g} and {spent:.4g} tokens"
            for each, spent in zip(curve, tokens[name], strict=True)
        )
        for name, curve in by_k.items()
    ]
    about += [f"{name} {y:.4g}" for name, y in levels.items()]
    figure.set_label(f"{title} {flat(ylabel)}: {'; '.join(about)}")
    return figure


def _lines(
    axes: Axes, xs: Mapping[str, np.ndarray], curves: Mapping[str, np.ndarray],
    hows: Mapping[str, Look],
) -> None:  # fmt: skip
    """Each curve (points, 4) over its own x, on a logarithmic axis with room at both ends."""
    axes.set_xscale("log", base=10)
    for name, curve in curves.items():
        bars(axes, xs[name], curve[:, 1:], hows[name], markersize=5)
    every = np.concatenate([*xs.values()])
    axes.set_xlim(every.min() / 1.25, every.max() * 1.25)


def _token_ticks(axes: Axes) -> None:
    """Plain numbers along a logarithmic axis of tokens, final in its limits."""
    low, high = axes.get_xlim()
    places = LogLocator(subs=(1, 2, 5)).tick_values(low, high)
    count_ticks(axes, np.array([place for place in places if low <= place <= high]))


def against_tokens(
    places: Mapping[str, Place],
    title: str,
    xlabel: str,
    ylabel: str,
    reference: tuple[str, float] | None = None,
) -> Figure:
    """What each technique gives for its tokens: scores with intervals, tokens on a log axis.

    places: for each name (tokens a question, (score, low, high)), in the units of the labels.
    reference: a name and a score for a grey line, such as guessing's.
    Raises AdaptlabError if there is no point, tokens are not above 0, or a number is not finite.
    """
    some("point", places)
    known = {name: interval(name, ends) for name, (_, ends) in places.items()}
    spent = {name: numbers(f"{name}, tokens", [x], 0)[0] for name, (x, _) in places.items()}
    level = {reference[0]: float(numbers(reference[0], [reference[1]])[0])} if reference else {}
    hows = looks(known)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(4.2, 1.6 + 0.3 * len(known))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_xscale("log")
        for name, (value, low, high) in known.items():
            axes.errorbar(
                spent[name], value, yerr=around(value, low, high)[:, None],
                color=hows[name].colour, marker=hows[name].marker, capsize=2, elinewidth=1,
            )  # fmt: skip
        axes.set_xlim(min(spent.values()) / 1.4, max(spent.values()) * 1.4)
        room(axes, [*np.concatenate([*known.values()]), *level.values()])
        axes.set_xlabel(f"{xlabel}, logarithmic")
        axes.set_ylabel(ylabel)
        _token_ticks(axes)
        table = np.array([[[spent[n]] * 3, ends] for n, ends in known.items()])  # (N, x or y, 3)
        ends = [End(n, spent[n], known[n][0], hows[n].colour) for n in known]
        _beside(axes, ends, grey(axes, level, "%"), drawn(axes, table, [*level.values()]), hows)
    about = "; ".join(f"{n} {told(ends)} at {spent[n]:.4g}" for n, ends in known.items())
    held = "".join(f"; {name} {y:.4g}" for name, y in level.items())
    figure.set_label(f"{title} {flat(ylabel)} against {xlabel}: {about}{held}")
    return figure


def by_difficulty(
    series: Mapping[str, Mapping[int, Interval]],
    title: str,
    xlabel: str,
    ylabel: str,
    chance: float | None = None,
) -> Figure:
    """How a score falls where problems get longer: a line with intervals for each way of answering.

    series: for each name and difficulty (score, low, high), in the unit of `ylabel`.
    chance: guessing's score, a grey line.
    Raises AdaptlabError if there is no series, a difficulty not above 0, or a number not finite.
    """
    some("series", series)
    known = {name: points(name, curve, x_above=-1) for name, curve in series.items()}
    level = {} if chance is None else {"guessing": float(numbers("guessing", [chance])[0])}
    hows = looks(known)
    sizes = np.unique(np.concatenate([curve[:, 0] for curve in known.values()]))
    step = np.diff(sizes).min() if len(sizes) > 1 else 1
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.36 * len(known))))
        axes = figure.subplots()
        headline(figure, title)
        for place, (name, curve) in enumerate(known.items()):
            beside = 0.08 * step * (place - (len(known) - 1) / 2)  # so that intervals stand apart
            bars(axes, curve[:, 0] + beside, curve[:, 1:], hows[name])
        axes.set_xlim(sizes[0] - 0.4 * step, sizes[-1] + 0.4 * step)
        room(axes, [*np.concatenate([c[:, 1:].ravel() for c in known.values()]), *level.values()])
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        ends = [
            End(f"{tagged(name, hows[name])}\n{curve[-1, 1]:.4g}", curve[-1, 0], curve[-1, 1],
                hows[name].colour)
            for name, curve in known.items()
        ]  # fmt: skip
        end_labels(axes, ends + grey(axes, level, "%"))
    about = [
        f"{name} " + ", ".join(f"{told(each[1:])} at {each[0]:g}" for each in curve)
        for name, curve in known.items()
    ]
    about += [f"{name} {y:.4g}" for name, y in level.items()]
    figure.set_label(f"{title} {flat(ylabel)} against {xlabel}: {'; '.join(about)}")
    return figure


def _beside(
    axes: Axes, ends: Sequence[End], level: Sequence[End], blocked: Sequence[Bbox],
    hows: Mapping[str, Look],
) -> None:  # fmt: skip
    """The points' names beside them, or if one has no room all at the right, with markers."""
    if level:
        end_labels(axes, level, LETTERS)
    if not near_labels(axes, ends, blocked):
        for text in list(axes.texts):
            text.remove()
        named = [End(tagged(e.text, hows[e.text]), e.x, e.y, e.colour) for e in ends]
        end_labels(axes, [*named, *level])
