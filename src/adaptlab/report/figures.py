"""Figures from records. Each answers the one question in its title."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter
from matplotlib.transforms import ScaledTranslation

from adaptlab.evaluation import Difference
from adaptlab.records import Record
from adaptlab.report.style import BASELINE, figure_style, look

GAIN_LOOKS = (
    {"color": "0.25", "marker": "o"},
    {"color": "#0072B2", "marker": "s"},
)


def accuracy_against_cost(records: Sequence[Record], baseline: str = "bag of words") -> Figure:
    """Accuracy with its interval against trained parameters, and against seconds.

    The baseline method, if among the records, is a grey line. Names stand in order of accuracy.
    """
    ranked = sorted(records, key=lambda record: record.score, reverse=True)
    shown = [record for record in ranked if record.method != baseline]
    with figure_style():
        figure = Figure(figsize=(9, 4.2))
        left, right = figure.subplots(1, 2, sharey=True)
        figure.suptitle("What does accuracy cost?", x=0.01, ha="left", weight="bold", fontsize=12)
        _points(left, shown, [record.trained_parameters for record in shown])
        left.set_xscale("symlog", linthresh=100, linscale=0.6)
        left.set_xlim(-60, 3 * max(1e6, *(record.trained_parameters for record in shown)))
        left.set_xticks([0, 1e3, 1e5, 1e7])
        left.set_xlabel("trained parameters")
        _points(right, shown, [record.seconds for record in shown])
        right.set_xscale("log")
        right.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        right.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        right.xaxis.set_minor_formatter(NullFormatter())
        seconds = [record.seconds for record in shown]
        right.set_xlim(min(seconds) / 1.5, 2 * max(seconds))
        lowest, highest = min(r.low for r in ranked), max(r.high for r in ranked)
        left.set_ylim(lowest - 0.02, highest + 0.02)  # shifted points set no limits themselves
        right.set_xlabel("seconds to adapt and to answer")
        left.set_ylabel(f"accuracy, {shown[0].n} {shown[0].split} items")
        left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        marks = right.get_legend_handles_labels()
        handles, labels = list(marks[0]), list(marks[1])
        for place, record in enumerate(ranked):
            if record.method == baseline:
                left.axhline(record.score, color=BASELINE, linewidth=1.2, zorder=1)
                handles.insert(
                    place, right.axhline(record.score, color=BASELINE, linewidth=1.2, zorder=1)
                )
                labels.insert(place, record.method)
        figure.legend(
            handles, labels, loc="outside right center", fontsize=9, title="highest first",
            alignment="left", labelspacing=0.8,
        )  # fmt: skip
    figure.set_label(
        "Accuracy with 95% intervals against trained parameters and against seconds; "
        "a grey line is the baseline"
    )
    return figure


def prompt_gains(gains: Mapping[str, Mapping[str, Difference]], items: int) -> Figure:
    """The gain of each prompt W over the bare question, with its interval.

    gains: for each way f of answering, the gain by name of W.
    """
    names = list(next(iter(gains.values())))
    with figure_style():
        figure = Figure(figsize=(7, 0.75 * len(names) + 1.5))
        axes = figure.subplots()
        for offset, (way, by_prompt) in enumerate(gains.items()):
            _gain_rows(axes, list(by_prompt.values()), way, GAIN_LOOKS[offset], 0.26 * offset)
        axes.axvline(0, color=BASELINE, zorder=1)
        axes.set_yticks([row + 0.13 * (len(gains) - 1) for row in range(len(names))], names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="x")
        axes.set_xlabel(f"gain, E[g(f([W, Q]), S)] - E[g(f(Q), S)], in points; {items} dev items")
        axes.set_ylabel("prompt W")
        axes.set_title("What does a prompt W add to the bare question?")
    figure.set_label("The gain in accuracy of each prompt over the bare question, with intervals")
    return figure


def _gain_rows(
    axes: Axes, gains: Sequence[Difference], way: str, style: dict[str, str], offset: float
) -> None:
    """One way of answering: for each prompt a dot, its interval and its number."""
    above = -1 if offset else 1  # the second way's numbers stand below its dots
    for row, gain in enumerate(gains):
        value, low, high = (100 * part for part in (gain.value, gain.low, gain.high))
        axes.errorbar(value, row + offset, xerr=[[value - low], [high - value]], capsize=3, **style)
        axes.annotate(
            f"f {way}: {value:+.1f}" if row == 0 else f"{value:+.1f}",
            (value, row + offset),
            xytext=(0, 9 * above),
            textcoords="offset points",
            fontsize=9,
            color=style["color"],
            ha="center",
            va="center",
        )


def _points(axes: Axes, records: Sequence[Record], costs: Sequence[float]) -> None:
    """A marker and an interval each; those of equal cost stand side by side."""
    for i, (record, cost) in enumerate(zip(records, costs, strict=True)):
        beside = 7 * sum(other == cost for other in costs[:i])  # points
        shift = ScaledTranslation(beside / 72, 0, axes.figure.dpi_scale_trans)
        how = look(record.method)
        axes.errorbar(
            cost,
            record.score,
            yerr=[[record.score - record.low], [record.high - record.score]],
            color=how.colour,
            marker=how.marker,
            linestyle="none",
            capsize=2,
            elinewidth=1,
            label=record.method,
            transform=axes.transData + shift,
        )
