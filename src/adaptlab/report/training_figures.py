"""Figures of training and writing: learning curves, ablations, scaling, growth, text scores."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from adaptlab.gpt.scaling import PowerLaw
from adaptlab.records import Record, format_of
from adaptlab.report.labels import (
    SMALL,
    SMALLEST,
    End,
    end_labels,
    headline,
    ink,
    number_ticks,
    panels,
    plain,
    size_ticks,
)
from adaptlab.report.marks import dot, in_words
from adaptlab.report.style import BASELINE, SERIES, Look, figure_style, look

SMOOTHED = 0.02  # the share of the steps that a running mean covers
BEYOND = 3.0  # how far past the largest size, as a factor, a fitted law is drawn


def learning_curves(
    runs: Mapping[str, tuple[Sequence[float], Sequence[tuple[int, float]]]],
    title: str,
    reference: tuple[str, float] | None = None,
    log_steps: bool = False,
) -> Figure:
    """The training and validation loss of each run, against steps.

    runs: for each name the training loss at steps 1, 2, ..., in nats a token, and the validation
        losses as (step, loss). Either may be empty.
    reference: a name and a loss for a grey line, such as ("guessing: ln 65", 4.17).
    log_steps: a logarithmic axis of steps, for runs whose loss falls early.
    """
    window = max(1, round(SMOOTHED * max(len(training) for training, _ in runs.values())))
    with figure_style():
        figure = Figure(figsize=(7, 3.8))
        axes = figure.subplots()
        headline(figure, title)
        ends = [
            _run(axes, name, *losses, window, SERIES[i % len(SERIES)])
            for i, (name, losses) in enumerate(runs.items())
        ]
        axes.set_xscale("log" if log_steps else "linear")
        axes.set_ylabel("loss, nats a token")
        thin = f"thin: training, mean of {window} steps" if window > 1 else "thin: training"
        axes.set_xlabel(f"step\n{thin}; marked: validation")
        axes.set_xlim(right=max(end.x for end in ends) * (1.1 if log_steps else 1.01))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        if not log_steps:
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=(1, 2, 5, 10)))
        if reference:
            axes.axhline(reference[1], color=BASELINE, linewidth=1.2, zorder=1)
            ends = [*ends, End(reference[0], axes.get_xlim()[1], reference[1], BASELINE)]
        end_labels(axes, ends)
    finals = "; ".join(f"{end.text} {end.y:.2f}" for end in ends)
    figure.set_label(f"{title} Loss in nats a token against steps; at the end: {finals}")
    return figure


def _run(
    axes: Axes, name: str, training: Sequence[float], validation: Sequence[tuple[int, float]],
    window: int, how: Look,
) -> End:  # fmt: skip
    """One run's lines; returns where the validation ends, or else the training."""
    if len(training):
        ones = np.ones(min(window, len(training)))
        seen = np.convolve(np.ones(len(training)), ones, "same")  # fewer at both ends
        smooth = np.convolve(np.asarray(training, float), ones, "same") / seen
        steps = np.arange(1, len(training) + 1)
        axes.plot(steps, smooth, color=how.colour, linewidth=0.8, alpha=0.75)
        x, y = steps[-1], smooth[-1]
    if len(validation):
        steps, losses = np.array(validation, float).T
        few = max(1, len(steps) // 15)  # marks that would touch are left out
        axes.plot(steps, losses, color=how.colour, marker=how.marker, markersize=5, markevery=few)
        x, y = steps[-1], losses[-1]
    return End(name, float(x), float(y), how.colour)


def ablations(records: Sequence[Record], baseline: str, title: str) -> Figure:
    """The score of each variant with its 95% interval, best first; the baseline is a grey band.

    records: of one metric, such as the final validation loss; one is of the method `baseline`.
    """
    form = format_of(records[0].metric)
    ranked = _ranked(records)
    base = next(record for record in ranked if record.method == baseline)
    k = form.factor
    with figure_style():
        figure = Figure(figsize=(7, 0.34 * len(ranked) + 1.3))
        axes = figure.subplots()
        headline(figure, title)
        axes.axvline(k * base.score, color=BASELINE, linewidth=1.2, zorder=1)
        axes.axvspan(k * base.low, k * base.high, color="0.9", linewidth=0, zorder=0)
        for row, record in enumerate(ranked):
            change = f"  ({k * (record.score - base.score):+{form.spec}})".replace("-", "−")
            number = form.number(record.score) + ("" if record is base else change)
            how = Look(BASELINE, "D") if record is base else Look("0.1", "o")
            dot(axes, record, row, how)
            axes.annotate(
                number, (1, row), (8, 0), va="center",
                xycoords=axes.get_yaxis_transform(), textcoords="offset points", fontsize=SMALL,
            )  # fmt: skip
        axes.set_yticks(range(len(ranked)), [plain(record.method) for record in ranked])
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        side = "less" if form.lower_is_better else "more"
        grey = f"bars: 95% intervals; grey: {plain(baseline)} and its interval"
        axes.set_xlabel(f"{form.heading}: {side} is better\n{grey}")
    figure.set_label(f"{title} {in_words(ranked)}")
    return figure


def scaling(
    sizes: Sequence[float], losses: np.ndarray, law: PowerLaw, title: str, unit: str = "parameters"
) -> Figure:
    """Loss against size on logarithmic axes, and the fitted law, dashed beyond the sizes measured.

    sizes: (sizes,) in `unit`, parameters or tokens. losses: (seeds, sizes), in nats a token.
    """
    sizes, losses = np.asarray(sizes, float), np.atleast_2d(losses)
    low, high = sizes.min(), sizes.max()
    with figure_style():
        figure = Figure(figsize=(7, 4))
        axes = figure.subplots()
        headline(figure, title)
        for n, ends in (
            ((low, high), "-"),
            ((low / 1.5, low), "--"),
            ((high, BEYOND * high), "--"),
        ):
            line = np.geomspace(*n, 50)
            axes.plot(line, law.predict(line), color="#D55E00", linestyle=ends, zorder=1)
        axes.plot(sizes, losses.T, "o", color="0.15", markersize=4, alpha=0.7)
        if law.irreducible:
            axes.axhline(law.irreducible, color=BASELINE, linewidth=1.2, zorder=1)
        axes.set(xscale="log", yscale="log", xlim=(low / 1.7, 1.2 * BEYOND * high))
        axes.set_xlabel(f"{unit}; dashed: beyond what was measured")
        axes.set_ylabel("validation loss, nats a token")
        number_ticks(axes)
        size_ticks(axes, sizes)
        text = f"{_law(law)}\n{law.points} points, {len(losses)} seed{'s' * (len(losses) > 1)} each"
        axes.text(
            0.99, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=SMALL + 1,
            color=ink("#D55E00"),
        )  # fmt: skip
        if law.irreducible:
            name = f"E = {law.irreducible:.2f}: no size\nremoves it"
            end_labels(axes, [End(name, axes.get_xlim()[1], law.irreducible, BASELINE)])
    figure.set_label(f"{title} Loss against {unit} on logarithmic axes; {law}")
    return figure


def _law(law: PowerLaw) -> str:
    floor = f"{law.irreducible:.2f} + " if law.irreducible else ""
    top = f"{law.high:.3f}]" if np.isfinite(law.high) else "no upper end)"
    exponent = rf"loss = {floor}{law.coefficient:.3g} / N$^{{\mathregular{{{law.exponent:.3f}}}}}$"
    return f"{exponent}\nexponent {law.exponent:.3f} [{law.low:.3f}, {top}"


def growth(
    lengths: Sequence[int], cached: np.ndarray, uncached: np.ndarray, title: str,
    totals: tuple[np.ndarray, np.ndarray] | None = None,
) -> Figure:  # fmt: skip
    """The time for one more token, and for a whole text, cached keys and values or not.

    lengths: (L,) in tokens. cached, uncached: (repeats, L) seconds for one more token at a length.
    totals: (repeats, L) seconds to write a text of each length, cached and not; if None, the
        sum of the times for one token, on straight lines between the lengths.
    """
    lengths = np.asarray(lengths, float)
    single = {"cached": np.atleast_2d(cached), "no cache": np.atleast_2d(uncached)}
    whole = [_written(lengths, times) for times in single.values()] if totals is None else totals
    with figure_style():
        figure = Figure(figsize=(7, 3.4))
        left, right = figure.subplots(1, 2)
        headline(figure, title)
        ends = _timed(left, lengths, {name: 1e3 * times for name, times in single.items()})
        left.set_ylim(bottom=0)
        left.set_xlim(left=0)
        left.set(title="one more token", xlabel="length so far, tokens", ylabel="milliseconds")
        end_labels(left, ends)
        ends = _timed(right, lengths, dict(zip(single, whole, strict=True)))
        right.set(title="the whole text", xlabel="length, tokens", xscale="log", yscale="log")
        right.set_ylabel("seconds" if totals else "seconds, summed from the left")
        for axis in (right.xaxis, right.yaxis):
            axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        end_labels(right, [*ends, *_slopes(right, lengths, [end.y for end in ends])])
    finals = "; ".join(f"{end.text} {end.y:.3g} s" for end in ends)
    about = "Time for one more token and for a whole text against length"
    figure.set_label(f"{title} {about}; a text of {lengths[-1]:.0f} tokens: {finals}")
    return figure


def _written(lengths: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(repeats, L) seconds for all tokens up to each length; before the first length as at it."""
    steps = np.diff(lengths) * (times[:, 1:] + times[:, :-1]) / 2
    return np.cumsum(np.concatenate([lengths[0] * times[:, :1], steps], axis=1), axis=1)


def _timed(axes: Axes, lengths: np.ndarray, series: Mapping[str, np.ndarray]) -> list[End]:
    """Medians over repeats, with bars from the least to the most; returns the lines' ends."""
    ends = []
    for how, (name, times) in zip(SERIES, series.items(), strict=False):
        middle = np.median(times, 0)  # (L,)
        around = [middle - times.min(0), times.max(0) - middle]
        axes.errorbar(
            lengths, middle, yerr=around, color=how.colour, marker=how.marker, markersize=5,
            capsize=2, elinewidth=1,
        )  # fmt: skip
        ends.append(End(name, lengths[-1], middle[-1], how.colour))
    return ends


def _slopes(axes: Axes, lengths: np.ndarray, finals: Sequence[float]) -> list[End]:
    """Grey lines of linear and of quadratic growth, beside the data; returns their ends."""
    limits = axes.get_xlim(), axes.get_ylim()
    ends = []
    for slope, style, final in ((1, "--", min(finals) / 2.5), (2, ":", max(finals) * 2.5)):
        line = final * (lengths / lengths[-1]) ** slope
        axes.plot(lengths, line, color=BASELINE, linewidth=1.2, linestyle=style, zorder=1)
        ends.append(End(f"slope {slope}", lengths[-1], final, BASELINE))
    axes.set_xlim(*limits[0])
    axes.set_ylim(limits[1][0], max(limits[1][1], 1.5 * ends[-1].y))
    return ends


def text_scores(
    records_by_panel: Mapping[str, Sequence[Record]], title: str, baselines: Collection[str] = ()
) -> Figure:
    """The methods' scores with 95% intervals, a panel for each metric or task.

    All panels share the rows, which stand in the order of the first panel's scores, best first.
    baselines: the methods drawn in grey.
    """
    ranked = [_ranked(records) for records in records_by_panel.values()]
    methods = list(dict.fromkeys(record.method for records in ranked for record in records))
    columns = min(3, len(ranked))
    rows = -(-len(ranked) // columns)
    with figure_style():
        figure = Figure(figsize=(7, rows * (0.45 * len(methods) + 0.9) + 0.35))
        headline(figure, title)
        grid = panels(figure, len(ranked), columns, sharey=True)
        for axes, name, records in zip(grid, records_by_panel, ranked, strict=True):
            _panel(axes, records, methods, baselines)
            axes.set_title(plain(name), fontsize=10)
    parts = zip(records_by_panel, ranked, strict=True)
    figure.set_label(f"{title} " + ". ".join(f"{name}: {in_words(of)}" for name, of in parts))
    return figure


def _ranked(records: Sequence[Record]) -> list[Record]:
    """Best first."""
    lower = format_of(records[0].metric).lower_is_better
    return sorted(records, key=lambda record: record.score, reverse=not lower)


def _panel(
    axes: Axes, records: Sequence[Record], methods: Sequence[str], baselines: Collection[str]
) -> None:
    """One metric's scores, each with its number above it."""
    form = format_of(records[0].metric)
    for record in records:
        row, own = methods.index(record.method), look(record.method)
        how = Look(BASELINE, own.marker) if record.method in baselines else own
        dot(axes, record, row, how)
        axes.annotate(
            form.number(record.score), (form.factor * record.score, row), (0, 6), ha="center",
            textcoords="offset points", fontsize=SMALLEST, color=ink(how.colour),
        )  # fmt: skip
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 5, 10)))
    axes.set_yticks(range(len(methods)), [plain(method) for method in methods])
    axes.set_ylim(len(methods) - 0.5, -0.7)
    axes.set_xlabel(form.heading)
