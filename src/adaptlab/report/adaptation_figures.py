"""Figures of fine-tuning: how deep to train, what is forgotten, when it overfits."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from adaptlab.errors import AdaptlabError
from adaptlab.records import Format, Record, format_of
from adaptlab.report.labels import (
    SMALL,
    SMALLEST,
    End,
    end_labels,
    fill,
    headline,
    ink,
    number_ticks,
)
from adaptlab.report.marks import drawn, in_words, looks, near_labels
from adaptlab.report.style import BASELINE, Look, figure_style, look

WIDTH = 7  # inches of a figure
FAMILY = look("full fine-tuning").colour
GB = 1e9  # bytes
LETTERS = 16  # in a line of a label, where room is dear
Interval = tuple[float, float, float]  # a value, its low and its high end
Losses = tuple[Sequence[float], Sequence[float]]  # on training and on dev, by epoch


def against_depth(
    records: Sequence[Record], title: str, baselines: Sequence[Record] = ()
) -> Figure:
    """What it gives and costs to train the top k layers: score, seconds, memory, parameters.

    records: of one metric, one for each k = config["k"], the number of trained layers; 0 is the
        head only. A second record of the same k, which trains more, stands beside it as "all".
    baselines: records of the same metric that are grey lines among the scores.
    Raises AdaptlabError if a record has no k, a k has three records, or a score is no number.
    """
    ranked = sorted(records, key=lambda record: (_depth(record), record.trained_parameters))
    names = _depth_names([_depth(record) for record in ranked])
    form = format_of(ranked[0].metric)
    costs = (
        ("time, seconds", [record.seconds for record in ranked]),
        ("peak memory, GB", [record.peak_bytes / GB for record in ranked]),
        ("trained parameters, M", [r.trained_parameters / 1e6 for r in ranked]),
    )
    with figure_style():
        figure = Figure(figsize=(WIDTH, 5))
        headline(figure, title)
        grid = figure.subplot_mosaic([[0, 0, 0], [1, 2, 3]], height_ratios=(1.25, 1))
        few = [n if len(names) < 7 or (len(names) - i) % 2 else "" for i, n in enumerate(names)]
        for panel, axes in grid.items():
            axes.set_xticks(range(len(ranked)), few if panel else names)
            axes.set_xlim(-1.1 if panel else -0.6, len(ranked) - 0.4)  # room for a number
        for axes, (name, values) in zip([grid[1], grid[2], grid[3]], costs, strict=True):
            _cost(axes, values, [look(record.method) for record in ranked])
            axes.set_title(name, fontsize=SMALL, weight="normal")
            axes.set_xlabel("k", fontsize=SMALL)
        _parameter_scale(grid[3], costs[2][1])
        beyond = "; all: the embeddings too" if "all" in names else ""
        grid[0].set_xlabel(f"k, trained layers from the top (0: the head only{beyond})")
        items = f"{ranked[0].n:,} {ranked[0].split} {form.of}"
        grid[0].set_ylabel(f"{form.heading}\n95% interval, {items}")
        _scores(grid[0], ranked, form, baselines)
    cheap, dear = (
        f"{r.seconds:.3g} s, {r.peak_bytes / GB:.3g} GB, {r.trained_parameters:,} parameters"
        for r in (ranked[0], ranked[-1])
    )
    grey = f"; baselines: {in_words(baselines)}" if baselines else ""
    figure.set_label(
        f"{title} By trained layers: {in_words(ranked)}; k = {names[0]} takes {cheap}; "
        f"k = {names[-1]} takes {dear}{grey}"
    )
    return figure


def _depth(record: Record) -> int:
    if "k" not in record.config or np.isnan([record.score, record.low, record.high]).any():
        raise AdaptlabError(f"{record.method}: config['k'] and a score with its interval are asked")
    return record.config["k"]


def _depth_names(depths: Sequence[int]) -> list[str]:
    """Each k as its tick; the second of the same k is "all"."""
    if not depths:
        raise AdaptlabError("no record to draw against the trained layers")
    names = [str(k) if i == 0 or depths[i - 1] != k else "all" for i, k in enumerate(depths)]
    if len(set(names)) < len(names):
        raise AdaptlabError(f"one record for each k is asked, not these k: {depths}")
    return names


def _scores(
    axes: Axes, records: Sequence[Record], form: Format, baselines: Sequence[Record]
) -> None:
    """The scores with their intervals and numbers, and the baselines in grey."""
    k = form.factor
    scores = [k * record.score for record in records]
    axes.plot(range(len(records)), scores, color=FAMILY, linewidth=1, alpha=0.6)
    for place, record in enumerate(records):
        how = look(record.method)
        around = [[k * (record.score - record.low)], [k * (record.high - record.score)]]
        axes.errorbar(place, k * record.score, yerr=around, color=how.colour, marker=how.marker,
                      capsize=3, elinewidth=1)  # fmt: skip
        axes.annotate(form.number(record.score), (place, k * record.high), (0, 3), ha="center",
                      textcoords="offset points", fontsize=SMALLEST, color=ink(how.colour),
                      bbox={"color": "white", "pad": 0.3})  # fmt: skip
    for record in baselines:
        axes.axhline(k * record.score, color=BASELINE, linewidth=1.2, zorder=1)
    axes.margins(y=0.15)
    right = axes.get_xlim()[1]
    ends = [
        End(f"{r.method}\n{form.number(r.score)}{form.unit}", right, k * r.score, BASELINE)
        for r in baselines
    ]
    if ends:
        end_labels(axes, ends, LETTERS)


def _cost(axes: Axes, values: Sequence[float], hows: Sequence[Look]) -> None:
    """One cost against the depth; numbers at both ends."""
    axes.plot(range(len(values)), values, color=FAMILY, linewidth=1, alpha=0.6)
    for place, (value, how) in enumerate(zip(values, hows, strict=True)):
        axes.plot(place, value, color=how.colour, marker=how.marker, markersize=6)
    for place in sorted({0, len(values) - 1}):
        axes.annotate(_digits(values[place]), (place, values[place]), (0, 5), ha="center",
                      textcoords="offset points", fontsize=SMALLEST, color=ink(FAMILY))  # fmt: skip
    axes.set_ylim(0, 1.25 * max(values) or 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=SMALL)


def _digits(value: float) -> str:
    spec = ",.0f" if value >= 1000 else ".3g" if value >= 0.01 else ".1g"
    return f"{value:{spec}}"


def _parameter_scale(axes: Axes, millions: Sequence[float]) -> None:
    """A logarithmic axis; below the least number but 0 it is linear down to 0."""
    positive = [value for value in millions if value > 0]
    if not positive:
        return
    least = 10 ** np.floor(np.log10(min(positive)))
    if min(millions) > 0:
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=least, linscale=0.5)
    axes.set_ylim(0.5 * least if min(millions) > 0 else -0.3 * least, 6 * max(positive))
    powers = np.arange(np.log10(least), np.log10(6 * max(positive)))
    few = powers[:: -(-len(powers) // 5)]
    axes.set_yticks([0] * (min(millions) == 0) + list(10**few))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def trade_off(
    points: Mapping[str, tuple[Interval, Interval]],
    title: str,
    xlabel: str,
    ylabel: str,
    reference: tuple[str, float] | None = None,
    log_y: bool = False,
) -> Figure:
    """What one gain costs elsewhere: two measures of each method, with intervals in both.

    points: for each name (x, low, high) and (y, low, high), in the units of the labels.
    reference: a name and a y for a grey line, such as the untouched model's perplexity.
    Raises AdaptlabError for a point without numbers, or not above 0 on a logarithmic axis.
    """
    table = np.array([*points.values()], float).reshape(-1, 2, 3)  # (points, x or y, ends)
    heights = [*table[:, 1].ravel(), *([reference[1]] if reference else [])]
    if not len(table) or np.isnan(table).any():
        raise AdaptlabError("each point asks for two values, each with its low and high end")
    if log_y and min(heights) <= 0:
        raise AdaptlabError("a logarithmic axis asks for values above 0")
    hows = looks(points)
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.3 * len(points))))
        axes = figure.subplots()
        headline(figure, title)
        for name, ((x, left, right), (y, low, high)) in zip(points, table, strict=True):
            axes.errorbar(
                x, y, xerr=[[x - left], [right - x]], yerr=[[y - low], [high - y]],
                color=hows[name].colour, marker=hows[name].marker, capsize=2, elinewidth=1,
            )  # fmt: skip
        axes.set(xlabel=xlabel, ylabel=ylabel + ", logarithmic" * log_y)
        axes.set_xlim(*_wider(table[:, 0].ravel(), False))
        axes.set_yscale("log" if log_y else "linear")
        axes.set_ylim(*_wider(heights, log_y))
        if log_y:
            number_ticks(axes)
        ends = [End(name, *table[i, :, 0], hows[name].colour) for i, name in enumerate(points)]
        grey = [
            End(f"{name}\n{y:.4g}", axes.get_xlim()[1], y, BASELINE)
            for name, y in ([reference] if reference else [])
        ]
        _names(axes, ends, grey, table)
    about = "; ".join(
        f"{name} {_span(x)} and {_span(y)}" for name, (x, y) in zip(points, table, strict=True)
    )
    held = f"; {reference[0]} {reference[1]:.4g}" if reference else ""
    figure.set_label(f"{title} {ylabel} against {xlabel}, x and y: {about}{held}")
    return figure


def _span(interval: np.ndarray) -> str:
    value, low, high = interval
    return f"{value:.4g} [{low:.4g}, {high:.4g}]"


def _wider(values: Sequence[float], log: bool) -> tuple[float, float]:
    """Limits with room around the values, and for equal values too."""
    ends = np.array([np.min(values), np.max(values)])
    ends = np.log(ends) if log else ends
    room = 0.12 * (ends[1] - ends[0]) or (0.1 if log else max(0.05 * abs(ends[0]), 0.01))
    low, high = ends[0] - room, ends[1] + room
    return (np.exp(low), np.exp(high)) if log else (low, high)


def _names(axes: Axes, ends: Sequence[End], grey: Sequence[End], table: np.ndarray) -> None:
    """The points' names beside them, or if one has no room all at the right; grey lines there."""
    for end in grey:
        axes.axhline(end.y, color=BASELINE, linewidth=1.2, zorder=1)
        end_labels(axes, [end], LETTERS)
    if not near_labels(axes, ends, drawn(axes, table, [end.y for end in grey])):
        for text in list(axes.texts):
            text.remove()
        end_labels(axes, [*ends, *grey])


def overfitting(
    epochs: Sequence[float],
    curves: Mapping[str, Losses],
    accuracies: Mapping[str, Sequence[float]],
    title: str,
) -> Figure:
    """Losses on training and on dev by epoch, and the accuracy on dev, with each one's best epoch.

    epochs: when it was measured. curves: for each run its losses in nats, on training and on dev.
    accuracies: for each run shares on dev. NaN: not measured.
    Raises AdaptlabError for a run of another length, or without a number on dev.
    """
    if not curves or not accuracies:
        raise AdaptlabError("losses and accuracies of at least one run are asked")
    for name, values in [*((n, v) for n, two in curves.items() for v in two), *accuracies.items()]:
        if len(values) != len(epochs):
            raise AdaptlabError(f"{name}: {len(values)} values for {len(epochs)} epochs")
    hows = looks(list(dict.fromkeys([*curves, *accuracies])))
    lines = sum(fill(name, LETTERS).count("\n") + 3 for name in hows)  # of labels
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.6, 1.3 + 0.16 * lines)))
        left, right = figure.subplots(1, 2)
        headline(figure, title)
        losses, shares = [], []
        for name, (training, dev) in curves.items():
            left.plot(epochs, training, color=hows[name].colour, linewidth=1.2, linestyle="--",
                      marker="." if len(epochs) == 1 else "")  # fmt: skip
            losses.append(_by_epoch(left, name, epochs, dev, hows[name], np.nanargmin, ".2f"))
        for name, values in accuracies.items():
            percents = 100 * np.array(values, float)
            how = hows[name]
            shares.append(_by_epoch(right, name, epochs, percents, how, np.nanargmax, ".1f", "%"))
        left.set(ylabel="loss, nats", xlabel="epoch\ndashed: training; marked: dev")
        right.set(ylabel="accuracy on dev, %", xlabel="epoch\nfilled: the best epoch")
        for axes, ends in ((left, losses), (right, shares)):
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 5, 10)))
            if len(epochs) <= 6:
                axes.set_xticks(epochs)
            axes.margins(y=0.08)
            end_labels(axes, ends, LETTERS)
    on_loss, on_dev = ([end.text.replace("\n", ", ") for end in of] for of in (losses, shares))
    last = [f"{on[-1]:.2f} on training and {dev[-1]:.2f} on dev" for on, dev in curves.values()]
    fell = "; ".join(f"{best}, at last {end}" for best, end in zip(on_loss, last, strict=True))
    figure.set_label(f"{title} Loss on dev: {fell}. Accuracy on dev: {'; '.join(on_dev)}")
    return figure


def _by_epoch(
    axes: Axes, name: str, epochs: Sequence[float], values: Sequence[float], how: Look,
    best_of: Callable[[np.ndarray], int], spec: str, unit: str = "",
) -> End:  # fmt: skip
    """One run on dev, its best epoch filled; returns the line's end, which names that epoch."""
    values = np.array(values, float)
    if np.isnan(values).all():
        raise AdaptlabError(f"{name}: no number on dev")
    best, last = best_of(values), np.flatnonzero(~np.isnan(values))[-1]
    few = max(1, len(values) // 12)  # marks that would touch are left out
    axes.plot(epochs, values, color=how.colour, marker=how.marker, markersize=4.5, markevery=few,
              markerfacecolor="white", markeredgewidth=1)  # fmt: skip
    axes.plot(epochs[best], values[best], color=how.colour, marker=how.marker, markersize=8)
    note = f"{name}\nbest {values[best]:{spec}}{unit}\nat epoch {epochs[best]:g}"
    return End(note, float(epochs[last]), float(values[last]), how.colour)
