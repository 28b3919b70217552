"""Figures of what is inside a model and of what it says next."""

from collections.abc import Mapping, Sequence
from math import ceil

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from adaptlab.evaluation.reliability import Reliability
from adaptlab.report.labels import (
    SMALL,
    SMALLEST,
    End,
    end_labels,
    fill,
    headline,
    on,
    panels,
    plain,
    visible,
)
from adaptlab.report.style import BASELINE, SEQUENTIAL, SERIES, Look, figure_style

WIDTH = 7  # inches of a figure
BAR = SERIES[0].colour
TIGHT = 7  # points, for tokens in and beside cells


def attention_maps(
    weights: np.ndarray, tokens: Sequence[str], title: str, rows: int | None = None
) -> Figure:
    """A small map for each head: how each token shares out its attention.

    weights: (heads, T, T), rows that sum to 1. tokens: T texts.
    rows: of maps; if None, so many that a token's name fits beside its line, where it can.
    """
    heads, length = len(weights), len(tokens)
    beside = 0.068 * max(len(visible(token, 10)) for token in tokens)  # inches of the names
    room = WIDTH - 1.3 - beside
    fitting = int(room * 72 / (1.03 * TIGHT * length + 7.2))
    columns = -(-heads // rows) if rows else min(heads, int(np.clip(fitting, 3 - (heads < 5), 4)))
    rows = -(-heads // columns)
    side = min(room / columns - 0.1, 4.2)
    with figure_style():
        figure = Figure(figsize=(WIDTH, rows * (side + 0.3) + 0.65 + beside))
        headline(figure, title)
        grid = panels(figure, heads, columns)
        for head, axes in enumerate(grid):
            image = axes.imshow(weights[head], cmap=SEQUENTIAL, vmin=0, vmax=1)
            axes.set_title(f"head {head}", fontsize=SMALL, weight="normal")
            axes.grid(False)
            last, first = head + columns >= heads, head % columns == 0
            _token_ticks(axes, tokens, side * 72)
            axes.tick_params(length=2, labelsize=TIGHT, labelbottom=last, labelleft=first)
            axes.set_xlabel("looks at" if last else "", fontsize=SMALL)
            axes.set_ylabel("token" if first else "", fontsize=SMALL)
        high = figure.get_figheight()
        bar = figure.colorbar(image, ax=grid, shrink=min(1, 2.5 / high), aspect=20)
        bar.set_label("share of attention", fontsize=SMALL)
    figure.set_label(
        f"{title} A map for each of {heads} heads of how much each of {length} tokens attends to "
        "each; darker is more"
    )
    return figure


def _token_ticks(axes: Axes, tokens: Sequence[str], points: float) -> None:
    """Token names along both axes of a map `points` wide: all, or every second, third, ..."""
    every = max(1, ceil(1.03 * TIGHT * len(tokens) / points))
    places = range(0, len(tokens), every)
    names = [visible(tokens[place], 10) for place in places]
    axes.set_xticks(places, names, rotation=90)
    axes.set_yticks(places, names)


def sampling_bars(
    distributions: Mapping[str, np.ndarray], tokens: Sequence[str], title: str, top: int = 12
) -> Figure:
    """What each way of sampling leaves of the same next-token distribution.

    distributions: for each way (V,) probabilities. tokens: V texts.
    top: the tokens shown, likeliest first; the others are one grey bar.
    """
    table = np.stack(list(distributions.values()))  # (ways, V)
    shown = np.argsort(-table.sum(0), kind="stable")[:top]
    others = table.shape[1] - len(shown)
    rest = (table.sum(1) - table[:, shown].sum(1)).round(9)
    bars = np.column_stack([table[:, shown], rest])[:, : len(shown) + (others > 0)]
    names = [visible(tokens[token]) for token in shown] + [f"{others:,} others"] * (others > 0)
    columns = min(5, len(table))
    rows = -(-len(table) // columns)
    with figure_style():
        figure = Figure(figsize=(WIDTH, rows * (0.2 * len(names) + 0.9) + 0.35))
        headline(figure, title)
        grid = panels(figure, len(table), columns, sharey=True)
        for axes, way, values in zip(grid, distributions, bars, strict=True):
            _bars(axes, values, names, 1.0)
            if others:
                axes.patches[-1].set_color(BASELINE)
            axes.set_title(fill(plain(way), 66 // columns), fontsize=SMALL)
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ways = ", ".join(distributions)
    figure.set_label(
        f"{title} Bars of the probabilities of the {len(shown)} likeliest next tokens: {ways}"
    )
    return figure


def _bars(axes: Axes, values: Sequence[float], names: Sequence[str], most: float) -> None:
    """Probabilities as bars, likeliest on top, with their numbers."""
    bars = axes.barh(range(len(values)), values, height=0.7, color=BAR)
    numbers = [_probability(value) for value in values]
    axes.bar_label(bars, numbers, padding=2, fontsize=SMALLEST, color="0.2")
    axes.set_yticks(range(len(names)), names, fontsize=SMALL)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.4 * most)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=SMALLEST)
    axes.grid(False)
    axes.set_xlabel("probability", fontsize=SMALL)


def _probability(value: float) -> str:
    if value >= 0.01 or value == 0:
        return f"{value:.2f}" if value else "0"
    return f"{value:.3f}" if value >= 0.001 else "<.001"


def next_tokens(rows: Mapping[str, Sequence[tuple[str, float]]], title: str) -> Figure:
    """The likeliest next tokens and their probabilities, a panel for each prompt or model."""
    columns = min(2, len(rows)) if len(rows) != 3 else 3
    lines = -(-len(rows) // columns)
    longest = max(map(len, rows.values()))
    most = max(probability for pairs in rows.values() for _, probability in pairs)
    heads = [fill(plain(_prompt(name)), (64, 32, 19)[columns - 1]) for name in rows]
    title_room = 0.18 * max(head.count("\n") + 1 for head in heads)
    with figure_style():
        figure = Figure(figsize=(WIDTH, lines * (0.21 * longest + 0.6 + title_room) + 0.35))
        headline(figure, title)
        grid = panels(figure, len(rows), columns)
        for axes, head, pairs in zip(grid, heads, rows.values(), strict=True):
            names, values = zip(*pairs, strict=True)
            _bars(axes, values, [visible(name) for name in names], most)
            axes.set_ylim(longest - 0.4, -0.6)
            axes.set_xticks([tick for tick in MaxNLocator(3).tick_values(0, most) if tick <= 1])
            axes.set_title(head, fontsize=SMALL)
    firsts = "; ".join(f"{name}: {pairs[0][0]!r} {pairs[0][1]:.2f}" for name, pairs in rows.items())
    figure.set_label(f"{title} The likeliest next tokens; first of each: {firsts}")
    return figure


def _prompt(text: str, longest: int = 110) -> str:
    """A prompt as a panel's title: its end, where the next token comes."""
    text = text.replace("\n", "⏎")
    return text if len(text) <= longest else "…" + text[-longest:]


def logit_lens(
    top_tokens: Sequence[Sequence[str]],
    probabilities: np.ndarray,
    prompt_tokens: Sequence[str],
    title: str,
) -> Figure:
    """Each layer's likeliest next token at each place of a prompt; the darker, the surer.

    top_tokens: layers x T texts, layer 0 the embedding. probabilities: (layers, T).
    With more than 16 layers only every second, third, ... and the last are shown.
    """
    layers, length = np.shape(probabilities)
    every = -(-layers // 16)
    shown = sorted({*range(0, layers, every), layers - 1})
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3, 0.32 * len(shown) + 1.6)))
        axes = figure.subplots()
        headline(figure, title)
        values = np.asarray(probabilities)[shown]
        image = axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto", origin="lower")
        axes.grid(False)
        letters = int(5.5 * 72 / length / (0.63 * TIGHT))  # in a cell's line
        for row, layer in enumerate(shown):
            for place in range(length):
                _cell(axes, place, row, top_tokens[layer][place], values[row, place], letters)
        axes.set_xticks(range(length), [visible(token, 10) for token in prompt_tokens])
        if max(map(len, prompt_tokens)) > letters:
            axes.tick_params(axis="x", rotation=90)
        axes.tick_params(length=0, labelsize=SMALL)
        axes.set_yticks(range(len(shown)), shown)
        axes.set_xlabel("token of the prompt; the cells above guess the next one")
        axes.set_ylabel("layer (0: embedding)")
        bar = figure.colorbar(image, ax=axes, aspect=30, pad=0.01)
        bar.set_label("probability of the token", fontsize=SMALL)
    ends = ", ".join(repr(token) for token in top_tokens[-1])
    figure.set_label(
        f"{title} The likeliest next token by layer and place; the last layer's: {ends}"
    )
    return figure


def _cell(axes: Axes, x: int, y: int, token: str, value: float, letters: int) -> None:
    """A token in at most two lines, black or white by its ground."""
    text = visible(token, 2 * letters)
    if len(text) > letters:
        text = f"{text[:letters]}\n{text[letters:]}"
    ground = matplotlib.colormaps[SEQUENTIAL](value)[:3]
    axes.text(x, y, text, ha="center", va="center", fontsize=TIGHT, linespacing=0.95,
              color=on(ground))  # fmt: skip


def reliability_curve(curves: Mapping[str, Reliability], title: str) -> Figure:
    """Accuracy against confidence with 95% intervals, and below it the items of each bin."""
    with figure_style():
        figure = Figure(figsize=(WIDTH, 4.6))
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        headline(figure, title)
        top.plot([0, 1], [0, 1], color=BASELINE, linewidth=1.2, zorder=1)
        ends = [End("perfectly calibrated", 1, 1, BASELINE)]
        for i, (name, curve) in enumerate(curves.items()):
            how = SERIES[i % len(SERIES)]
            ends.append(_curve(top, name, curve, how))
            _counts(bottom, curve, how, 5 * (i - (len(curves) - 1) / 2))
        most = max(each.n for curve in curves.values() for each in curve.bins)
        top.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), ylabel="accuracy, 95% interval")
        bottom.set(ylim=(0, 1.1 * most), ylabel="items", xlabel="confidence, mean of a bin")
        bottom.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        end_labels(top, ends)
    errors = "; ".join(f"{name}: ECE {curve.ece:.3f}" for name, curve in curves.items())
    figure.set_label(f"{title} Accuracy against confidence; {errors}")
    return figure


def _curve(axes: Axes, name: str, curve: Reliability, how: Look) -> End:
    x = np.array([each.confidence for each in curve.bins])
    y = np.array([each.accuracy for each in curve.bins])
    around = [[each.accuracy - each.low for each in curve.bins],
              [each.high - each.accuracy for each in curve.bins]]  # fmt: skip
    axes.errorbar(
        x, y, yerr=np.clip(around, 0, 1), color=how.colour, marker=how.marker, markersize=5,
        capsize=2, elinewidth=1,
    )  # fmt: skip
    return End(f"{name}\nECE {curve.ece:.3f}", x[-1], y[-1], how.colour)


def _counts(axes: Axes, curve: Reliability, how: Look, beside: float) -> None:
    """Bars at the bins' confidences, `beside` points to the right."""
    shift = ScaledTranslation(beside / 72, 0, axes.figure.dpi_scale_trans)
    axes.vlines(
        [each.confidence for each in curve.bins], 0, [each.n for each in curve.bins],
        color=how.colour, linewidth=4, transform=axes.transData + shift,
    )  # fmt: skip


def mask_picture(
    masks: Mapping[str, np.ndarray], tokens: Sequence[str], title: str = "Who may look at whom?"
) -> Figure:
    """Attention masks side by side; a dark cell is a token that may be looked at.

    masks: for each name (T, T) booleans, a row for the token that looks. tokens: T texts.
    """
    columns = min(3, len(masks))
    rows = -(-len(masks) // columns)
    side = min(5.9 / columns, 3)
    with figure_style():
        figure = Figure(figsize=(WIDTH if columns > 1 else 5, rows * (side + 0.75) + 0.55))
        headline(figure, title)
        grid = panels(figure, len(masks), columns, sharey=True)
        for axes, (name, mask) in zip(grid, masks.items(), strict=True):
            edges = np.arange(len(tokens) + 1) - 0.5
            axes.pcolormesh(
                edges, edges, np.asarray(mask, float), cmap=SEQUENTIAL, vmin=-0.08, vmax=1.1,
                edgecolors="white", linewidth=0.6,
            )  # fmt: skip
            axes.set(aspect="equal", ylim=(len(tokens) - 0.5, -0.5), xlabel="looks at")
            axes.set_title(fill(plain(name), 66 // columns), fontsize=SMALL)
            axes.grid(False)
            _token_ticks(axes, tokens, side * 72)
            axes.tick_params(length=0, labelsize=TIGHT)
        figure.axes[0].set_ylabel("token (dark: may look)")
    figure.set_label(f"{title} Attention masks over {len(tokens)} tokens: {', '.join(masks)}")
    return figure
