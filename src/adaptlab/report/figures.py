"""Figures from records. Each answers the one question in its title."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from adaptlab.evaluation import Difference
from adaptlab.records import Record
from adaptlab.report.style import BASELINE, figure_style, look

GAIN_LOOKS = (
    {"color": look("zero-shot").colour, "marker": "o"},
    {"color": look("few-shot").colour, "marker": "s"},
)


def accuracy_against_cost(records: Sequence[Record], baseline: str = "bag of words") -> Figure:
    """Accuracy with its interval against trained parameters, and against seconds.

    The baseline method, if among the records, is the grey line.
    """
    base = [record for record in records if record.method == baseline]
    shown = [record for record in records if record.method != baseline]
    with figure_style():
        figure = Figure(figsize=(9, 4.6))
        left, right = figure.subplots(1, 2, sharey=True)
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
            text = f"{baseline}, {record.score:.0%}"
            _beside(left, text, left.get_xlim()[1], record.score, (0, 6), "0.4", ha="right")
        for axes, costs in (
            (left, [record.trained_parameters for record in shown]),
            (right, [record.seconds for record in shown]),
        ):
            _names(axes, shown, costs)
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
    """One way of answering: a dot, its interval and its number for each prompt, and one name."""
    for row, gain in enumerate(gains):
        value, low, high = (100 * part for part in (gain.value, gain.low, gain.high))
        axes.errorbar(value, row + offset, xerr=[[value - low], [high - value]], capsize=3, **style)
        text = f"f {way}, {value:+.1f}" if row == 0 else f"{value:+.1f}"
        _beside(axes, text, value, row + offset, (0, 9), style["color"], ha="center")


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
        _beside(axes, records[i].method, costs[i], height, (9, 0), look(records[i].method).colour)


def _beside(
    axes: Axes,
    text: str,
    x: float,
    y: float,
    points: tuple[float, float],
    colour: str,
    ha: str = "left",
) -> None:
    """Write `text` so many points off the data position (x, y)."""
    axes.annotate(
        text,
        (x, y),
        xytext=points,
        textcoords="offset points",
        fontsize=8.5,
        color=colour,
        ha=ha,
        va="center",
    )


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """The ascending values, moved as little as a sweep allows so that all are `gap` apart."""
    placed: list[float] = []
    for value in values:
        placed.append(max(value, placed[-1] + gap) if placed else value)
    shift = sum(p - v for p, v in zip(placed, values, strict=True)) / max(1, len(placed))
    return [p - shift for p in placed]
