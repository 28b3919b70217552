"""Figures from records. Each answers the one question in its title."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from adaptlab.records import Record
from adaptlab.report.style import BASELINE, figure_style, look


def accuracy_against_cost(records: Sequence[Record], baseline: str = "bag of words") -> Figure:
    """Accuracy with its interval against trained parameters, and against seconds.

    The baseline method, if among the records, is the grey line.
    """
    base = [record for record in records if record.method == baseline]
    shown = [record for record in records if record.method != baseline]
    with figure_style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.4), sharey=True)
        figure.suptitle("What does accuracy cost?", x=0.01, ha="left", weight="bold", fontsize=12)
        _points(left, shown, [record.trained_parameters for record in shown])
        left.set_xscale("symlog", linthresh=100, linscale=0.6)
        left.set_xlim(-40, 2e9)
        left.set_xticks([0, 1e3, 1e5, 1e7])
        left.set_xlabel("trained parameters")
        _points(right, shown, [record.seconds for record in shown])
        right.set_xscale("log")
        low, high = right.get_xlim()
        right.set_xlim(low / 1.3, high * 30)  # room for the names
        right.set_xlabel("seconds to adapt and answer")
        left.set_ylabel(f"accuracy, {shown[0].n} {shown[0].split} items")
        left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        for axes in (left, right):
            for record in base:
                axes.axhline(record.score, color=BASELINE, linewidth=1.2, zorder=1)
        for record in base:
            left.annotate(
                f"{baseline}, {record.score:.0%}",
                (0.99, record.score),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="right",
                color="0.4",
                fontsize=9,
            )
        for axes, costs in (
            (left, [record.trained_parameters for record in shown]),
            (right, [record.seconds for record in shown]),
        ):
            _names(axes, shown, costs)
    return figure


def _points(axes: Axes, records: Sequence[Record], costs: Sequence[float]) -> None:
    for record, cost in zip(records, costs, strict=True):
        how = look(record.method)
        axes.errorbar(
            cost,
            record.score,
            yerr=[[record.score - record.low], [record.high - record.score]],
            color=how.colour,
            marker=how.marker,
            capsize=2,
            elinewidth=1,
        )


def _names(axes: Axes, records: Sequence[Record], costs: Sequence[float]) -> None:
    """Write each method's name beside its point, pushed apart where they would overlap."""
    low, high = axes.get_ylim()
    order = sorted(range(len(records)), key=lambda i: records[i].score)
    heights = _spread([records[i].score for i in order], gap=0.062 * (high - low))
    for i, height in zip(order, heights, strict=True):
        axes.annotate(
            records[i].method,
            (costs[i], records[i].score),
            xytext=(costs[i], height),
            textcoords="data",
            fontsize=8.5,
            color=look(records[i].method).colour,
            va="center",
        ).set_transform(axes.transData + _points_right(axes, 9))


def _points_right(axes: Axes, points: float):
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """The ascending values, moved as little as a sweep allows so that all are `gap` apart."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + gap) if placed else value)
    shift = sum(p - v for p, v in zip(placed, values, strict=True)) / max(1, len(placed))
    return [p - shift for p in placed]
