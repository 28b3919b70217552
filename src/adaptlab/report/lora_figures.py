"""Figures of LoRA: how low the rank of an update is, which rank, where to put it, how few numbers.

Scores of several tasks side by side are drawn by `training_figures.text_scores`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import SMALL, End, end_labels, headline, plain
from adaptlab.report.marks import count_ticks, drawn, looks, near_labels
from adaptlab.report.series import (
    Interval,
    around,
    bars,
    covered,
    flat,
    grey,
    interval,
    numbers,
    points,
    power_ticks,
    room,
    some,
    tagged,
    told,
)
from adaptlab.report.style import BASELINE, Look, figure_style, look

WIDTH = 7  # inches of a figure
MOST = 90  # percent of the energy, or of the full score, that figures ask for
DODGE = 0.07  # in powers of two, so that intervals at one rank stand side by side


def spectrum(
    curves: Mapping[str, Sequence[float]],
    title: str,
    floor: Sequence[float] | None = None,
    floor_name: str = "random matrix",
) -> Figure:
    """How many directions an update has: the share of its energy in its r largest singular values.

    curves: for each kind of matrix the shares at r = 1, 2, ..., in percent of the sum of the
        squared singular values. floor: the same of a control, a grey line.
    Raises AdaptlabError if there is no curve, or one is empty or not finite.
    """
    some("spectrum", curves)
    shares = {name: numbers(name, curve) for name, curve in curves.items()}
    control = {} if floor is None else {floor_name: numbers(floor_name, floor)}
    hows = looks(shares) | {name: Look(BASELINE, "") for name in control}
    every = control | shares
    most = max(len(curve) for curve in every.values())
    early = min(len(curve) for curve in every.values()) // 4 + 1
    # lines that end at one height are named in the order in which they rise
    rising = dict(sorted(every.items(), key=lambda each: each[1][:early].mean()))
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.36 * len(every))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_xscale("log", base=2)
        ends = []
        for name, curve in rising.items():
            r = np.arange(1, len(curve) + 1)
            marked = [2**i - 1 for i in range(len(curve).bit_length())]
            axes.plot(r, curve, color=hows[name].colour, marker=hows[name].marker, markersize=5,
                      markevery=marked)  # fmt: skip
            if curve[-1] > 99.9:  # a matrix of fewer singular values has all its energy
                axes.plot([r[-1], most], [100, 100], color=hows[name].colour)
                r[-1] = most
            note = f"{tagged(name, hows[name])}\n{_reached(curve)}"
            ends.append(End(note, r[-1], round(curve[-1], 1), hows[name].colour))
        axes.set_xlim(0.9, 1.1 * most)
        axes.set_ylim(0, 105)
        axes.set_xlabel("r, the largest singular values counted, logarithmic")
        axes.set_ylabel("share of the update's energy, %")
        end_labels(axes, ends)
        count_ticks(axes, 2 ** np.arange(most.bit_length()))
    about = "; ".join(
        f"{name} {curve[0]:.1f}% at r = 1, {_reached(curve)}" for name, curve in every.items()
    )
    figure.set_label(f"{title} Share of the energy in the r largest singular values: {about}")
    return figure


def _reached(curve: np.ndarray) -> str:
    enough = np.flatnonzero(curve >= MOST)
    return f"{MOST}% at r = {enough[0] + 1}" if len(enough) else f"{curve[-1]:.0f}% at last"


def against_rank(
    series: Mapping[str, Mapping[int, Interval]],
    title: str,
    xlabel: str,
    ylabel: str,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Which rank is enough: a score with its interval at each rank, a line for each series.

    series: for each name and rank (score, low, high), in the units of `ylabel`.
    references: values of grey lines, such as full fine-tuning's.
    Raises AdaptlabError if there is no series, a rank is not above 0, or a number not finite.
    """
    some("series", series)
    known = {name: points(name, curve) for name, curve in series.items()}
    levels = {name: float(numbers(name, [y])[0]) for name, y in (references or {}).items()}
    ranks = np.unique(np.concatenate([curve[:, 0] for curve in known.values()]))
    hows = looks(known)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.36 * (len(known) + len(levels)))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_xscale("log", base=2)
        ends = []
        for place, (name, curve) in enumerate(known.items()):
            x = curve[:, 0] * 2 ** (DODGE * (place - (len(known) - 1) / 2))
            bars(axes, x, curve[:, 1:], hows[name])
            ends.append(End(f"{name}\n{curve[-1, 1]:.4g}", x[-1], curve[-1, 1], hows[name].colour))
        beside = 2 ** (0.3 + DODGE * len(known) / 2)
        axes.set_xlim(ranks[0] / beside, ranks[-1] * beside)
        room(axes, [*np.concatenate([c[:, 1:].ravel() for c in known.values()]), *levels.values()])
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        end_labels(axes, ends + grey(axes, levels))
        count_ticks(axes, ranks)
    about = [
        f"{name} " + ", ".join(f"{told(each[1:])} at {each[0]:g}" for each in curve)
        for name, curve in known.items()
    ]
    about += [f"{name} {y:.4g}" for name, y in levels.items()]
    figure.set_label(f"{title} {flat(ylabel)} against {xlabel}: {'; '.join(about)}")
    return figure


def targets(
    rows: Mapping[str, tuple[Interval, int | str]],
    title: str,
    xlabel: str,
    counts: str = "trained\nparameters",
    reference: tuple[str, float] | None = None,
    log_x: bool = False,
) -> Figure:
    """What each choice gives and costs: rows of dots with intervals, what it costs at the right.

    rows: for each name ((value, low, high), cost), the value in the unit of `xlabel`; the cost is
        a whole number or, as any other text, written as it is. They stand in the order given.
    counts: what the costs are. reference: a name and a value for a grey line.
    Raises AdaptlabError if there is no row, a number is not finite, or on a logarithmic axis
    not above 0.
    """
    some("row", rows)
    above = 0 if log_x else -np.inf
    known = {name: interval(name, ends, above) for name, (ends, _) in rows.items()}
    costs = [cost if isinstance(cost, str) else f"{cost:,}" for _, cost in rows.values()]
    if reference:
        numbers(reference[0], [reference[1]], above)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.34 * len(rows) + 1.6))
        axes = figure.subplots()
        headline(figure, title)
        for row, (name, (value, low, high)) in enumerate(known.items()):
            how = look(name)
            axes.errorbar(value, row, xerr=around(value, low, high)[:, None], color=how.colour,
                          marker=how.marker, markersize=6, capsize=3, linestyle="none")  # fmt: skip
        for row, cost in enumerate([counts, *costs], -1):
            axes.annotate(
                plain(cost), (1, row if row >= 0 else -0.6), (8, 0),
                xycoords=axes.get_yaxis_transform(), textcoords="offset points", fontsize=SMALL,
                va="center" if row >= 0 else "bottom", color="0.1" if row >= 0 else "0.35",
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), [plain(name) for name in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xscale("log" if log_x else "linear")
        axes.margins(x=0.08)
        if log_x:
            power_ticks(axes.xaxis)
        below = ""
        if reference:
            axes.axvline(reference[1], color=BASELINE, linewidth=1.2, zorder=1)
            below = f"\ngrey: {plain(reference[0])}, {reference[1]:.4g}"
        axes.set_xlabel(xlabel + below)
        axes.grid(axis="x")
    each = zip(known.items(), costs, strict=True)
    about = [f"{name} {told(ends)}, {cost}" for (name, ends), cost in each]
    about += [f"{reference[0]} {reference[1]:.4g}"] if reference else []
    what = counts.replace("\n", " ")
    figure.set_label(f"{title} {flat(xlabel)}, and {what}: {'; '.join(about)}")
    return figure


def intrinsic(
    curve: Mapping[int, Interval],
    full: float,
    baseline: float,
    title: str,
    d90: int | None,
    ylabel: str = "accuracy, %",
) -> Figure:
    """In how few directions a task can be learnt: the score against the dimension d of a subspace.

    curve: for each d (score, low, high), in the unit of `ylabel`. full: the score with all
    parameters trained; baseline: with none. d90: the least d that reaches 90% of full, if any.
    Raises AdaptlabError if there is no point, a d is not above 0, or a number not finite.
    """
    known = points("intrinsic dimension", curve)
    numbers("the full score, the baseline and d90", [full, baseline, 1 if d90 is None else d90])
    if d90 is not None and d90 <= 0:
        raise AdaptlabError(f"d90 is a dimension above 0, not {d90}")
    how, enough = look("LoRA"), MOST / 100 * full
    with figure_style():
        figure = Figure(figsize=(WIDTH, 3.8))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_xscale("log")
        reach = [*known[:, 0], *([] if d90 is None else [d90])]
        axes.set_xlim(min(reach) / 1.5, max(reach) * 1.5)
        bars(axes, known[:, 0], known[:, 1:], how)
        room(axes, [*known[:, 1:].ravel(), full, baseline, enough])
        axes.set_xlabel("d, the trained dimensions, logarithmic")
        axes.set_ylabel(ylabel)
        ends = grey(axes, {"all parameters": full, "untrained": baseline})
        count_ticks(axes, known[:, 0])
        ends += grey(axes, {f"{MOST}% of {full:.4g}": enough}, style="--")
        last = End(f"d dimensions\n{known[-1, 1]:.4g}", *known[-1, :2], how.colour)
        end_labels(axes, [*ends, last])
        if d90 is not None:
            _mark(axes, d90, enough, known, [full, baseline, enough])
    about = ", ".join(f"{told(each[1:])} at d = {each[0]:,.0f}" for each in known)
    reached = "none measured" if d90 is None else f"{d90:,}"
    figure.set_label(
        f"{title} {flat(ylabel)} against d: {about}; all parameters {full:.4g}, {MOST}% of that "
        f"{enough:.4g}, untrained {baseline:.4g}; d90 {reached}"
    )
    return figure


def _mark(axes: Axes, d90: int, enough: float, known: np.ndarray, lines: Sequence[float]) -> None:
    """A ring where the score is enough, and its name where there is room."""
    axes.plot(d90, enough, color="0.1", marker="o", markersize=11, markerfacecolor="none")
    ends = np.array([[[x, x, x], y] for x, *y in known])  # (points, x or y, ends)
    blocked = [*drawn(axes, ends, lines), *covered(axes, known[:, 0], known[:, 1])]
    name = End(f"d90 = {d90:,}", d90, enough, "0.1")
    if not near_labels(axes, [name], blocked):
        axes.set_xlabel(f"{axes.get_xlabel()}\nring: {name.text}")
