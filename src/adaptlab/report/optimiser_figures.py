"""Figures of optimisers for LoRA: who moves which factor, which rate, what is invariant."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import (
    SMALLEST,
    End,
    end_labels,
    headline,
    ink,
    plain,
)  # fmt: skip
from adaptlab.report.marks import looks
from adaptlab.report.series import (
    Interval,
    bars,
    few,
    flat,
    numbers,
    points,
    power_ticks,
    room,
    scientific,
    some,
    tagged,
    told,
)  # fmt: skip
from adaptlab.report.style import BASELINE, SERIES, Look, figure_style

WIDTH = 7  # inches of a figure
LETTERS = 16  # in a line of a label, where room is dear
DRIFTS = (1e-16, 1e2)  # the least and the greatest drift that have a place
ROUNDED = 1e-10  # a drift below it is rounding in float64


def factor_norms(
    runs: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    ylabel: str = "RMS change of an entry",
    steps: Sequence[float] | None = None,
) -> Figure:
    """Which factor moves: a measure of A and of B by step, on one logarithmic axis.

    runs: for each optimiser the values of A and of B, of one length; 0 has no place and is left
        out, such as a change before the first step. steps: theirs; if None 1, 2, ...
    Raises AdaptlabError if there is no run, a value is below 0 or not finite, a factor is 0
    throughout, or a run is of another length than its steps.
    """
    some("run", runs)
    hows = looks(runs)
    known = {name: [_factor(name, values, steps) for values in two] for name, two in runs.items()}
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.4, 1.3 + 0.36 * len(runs))))
        pair = figure.subplots(1, 2, sharey=True)
        headline(figure, title)
        values = np.concatenate([y for two in known.values() for _, y in two])
        pair[0].set_yscale("log")
        room(pair[0], values)
        power_ticks(pair[0].yaxis)
        pair[0].set_ylabel(f"{ylabel}, logarithmic")
        for axes, factor in zip(pair, (0, 1), strict=True):
            ends = [_line(axes, name, *two[factor], hows[name]) for name, two in known.items()]
            axes.set_title("AB"[factor], fontsize=10)
            axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=(1, 2, 5, 10)))
            end_labels(axes, ends, LETTERS)
    about = "; ".join(
        f"{name} A {a[-1]:.3g}, B {b[-1]:.3g}, B / A {b[-1] / a[-1]:.3g}"
        for name, ((_, a), (_, b)) in known.items()
    )
    figure.set_label(f"{title} {flat(ylabel)} of A and of B by step; at the last step: {about}")
    return figure


def _factor(
    name: str, values: Sequence[float], steps: Sequence[float] | None
) -> tuple[np.ndarray, np.ndarray]:
    """(steps,) and (values,), of those above 0."""
    y = numbers(name, values)
    x = np.arange(1, len(y) + 1) if steps is None else numbers("steps", steps)
    if len(x) != len(y):
        raise AdaptlabError(f"{name}: {len(y)} values for {len(x)} steps")
    if (y < 0).any() or not y.any():
        raise AdaptlabError(f"{name}: a logarithmic axis asks for values above 0")
    return x[y > 0], y[y > 0]


def _line(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, how: Look) -> End:
    axes.plot(x, y, color=how.colour, marker=how.marker, markersize=4.5, markevery=few(len(x)))
    last = f"{y[-1]:.2g}" if 0.01 <= y[-1] < 100 else scientific(y[-1], 1)
    note = f"{tagged(name, how)}\n{last}"
    return End(note, float(x[-1]), float(y[-1]), how.colour)


def rates(curves: Mapping[str, Mapping[float, Interval]], title: str, ylabel: str) -> Figure:
    """Which learning rate each optimiser asks for: the score against it, the best one filled.

    curves: for each optimiser and learning rate (score, low, high), in the unit of `ylabel`;
        the higher is the better.
    Raises AdaptlabError if there is no curve, a rate is not above 0, or a number not finite.
    """
    some("curve", curves)
    known = {name: points(name, curve) for name, curve in curves.items()}
    hows = looks(known)
    best = {name: curve[curve[:, 1].argmax()] for name, curve in known.items()}
    tried = np.concatenate([curve[:, 0] for curve in known.values()])
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.38 * len(known))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set(xscale="log", xlim=(tried.min() / 1.6, tried.max() * 1.6))
        ends = []
        for name, curve in known.items():
            how = hows[name]
            bars(axes, curve[:, 0], curve[:, 1:], how, markerfacecolor="white", markersize=5)
            rate, value = best[name][:2]
            axes.plot(rate, value, color=how.colour, marker=how.marker, markersize=9)
            note = f"{name}\nbest {value:.4g} at {scientific(rate)}"
            ends.append(End(note, curve[-1, 0], curve[-1, 1], how.colour))
        room(axes, np.concatenate([curve[:, 1:].ravel() for curve in known.values()]))
        axes.set_xlabel("learning rate, logarithmic; filled: the best")
        axes.set_ylabel(ylabel)
        power_ticks(axes.xaxis)
        end_labels(axes, ends)
    about = "; ".join(
        f"{name} best {told(best[name][1:])} at {best[name][0]:.2g}, "
        + ", ".join(f"{y:.4g} at {x:.2g}" for x, y, *_ in curve)
        for name, curve in known.items()
    )
    figure.set_label(f"{title} {flat(ylabel)} against the learning rate: {about}")
    return figure


def drifts(table: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Whether equal products give equal updates: how far they drift apart, for each optimiser.

    table: for each optimiser and change of the factors ("scale", "rotation", "any") the relative
        difference of the products. What is less or more than the axis holds stands at its edge.
    Raises AdaptlabError if there is no drift, or one is below 0 or not finite.
    """
    some("optimiser", table)
    for name, own in table.items():
        if (numbers(name, own.values()) < 0).any():
            raise AdaptlabError(f"{name}: a drift is 0 or more")
    changes = list(dict.fromkeys(change for own in table.values() for change in own))
    hows = looks(table)
    slot = len(changes) + 0.7  # rows, with a gap after each optimiser
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.185 * slot * len(table) + 1.35))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_xscale("log")
        axes.set_xlim(DRIFTS[0] / 10, DRIFTS[1] * 10)
        axes.axvline(ROUNDED, color=BASELINE, linewidth=1.2, zorder=1)
        for place, (name, own) in enumerate(table.items()):
            for change, drift in own.items():
                row = place * slot + changes.index(change)
                _drift(axes, row, change, drift, SERIES[changes.index(change)].marker, hows[name])
        middles = [place * slot + (len(changes) - 1) / 2 for place in range(len(table))]
        axes.set_yticks(middles, [plain(name) for name in table])
        axes.set_ylim(len(table) * slot - 0.9, -0.8)
        axes.tick_params(axis="y", length=0)
        axes.grid(False)
        for place in range(1, len(table)):
            axes.axhline(place * slot - 0.85, color="0.9", linewidth=0.8)
        left = "left of the grey line: equal but for rounding"
        axes.set_xlabel(f"relative drift, logarithmic\n{left}")
        axes.set_xticks(10.0 ** np.arange(*np.log10(DRIFTS), 3))
        axes.xaxis.set_minor_locator(NullLocator())
    about = "; ".join(
        f"{name} " + ", ".join(f"{change} {drift:.2g}" for change, drift in own.items())
        for name, own in table.items()
    )
    figure.set_label(f"{title} Relative drift: {about}; below {ROUNDED:g} it is rounding")
    return figure


def _drift(axes: Axes, row: float, change: str, drift: float, marker: str, how: Look) -> None:
    """A dot, and which change it is beside it, on the side that has room."""
    x = float(np.clip(drift, *DRIFTS))
    side = 1 if x < 1e-3 else -1
    axes.plot(x, row, color=how.colour, marker=marker, markersize=5.5)
    value = scientific(drift) if drift else "0"
    axes.annotate(
        plain(f"{change} {value}"), (x, row), (7 * side, 0), textcoords="offset points",
        ha="left" if side > 0 else "right", va="center", fontsize=SMALLEST, color=ink(how.colour),
        bbox={"color": "white", "pad": 0.3},
    )  # fmt: skip
