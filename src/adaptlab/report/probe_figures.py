"""Figures of probes: which layer and pooling, what is encoded where, how many examples it takes."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import SMALL, SMALLEST, End, end_labels, fill, headline, on, plain
from adaptlab.report.marks import band, count_ticks, looks
from adaptlab.report.style import BASELINE, SEQUENTIAL, SERIES, Look, figure_style

WIDTH = 7  # inches of a figure
TIGHT = 7  # points, for numbers in cells
LETTERS = 16  # in a line of a control's name
BEST = "#D55E00"
Interval = tuple[float, float, float]  # a value, its low and its high end
Curve = np.ndarray | tuple[np.ndarray, np.ndarray, np.ndarray]


def layer_pooling_map(
    accuracy: np.ndarray,
    poolings: Sequence[str],
    layers: Sequence[int],
    controls: Mapping[str, float],
    title: str,
) -> Figure:
    """Accuracy by pooling and layer as a map, and the controls beside it on the same colours.

    accuracy: (poolings, layers) shares; NaN where nothing was measured, which is hatched.
    controls: accuracies that the map is to be held against, by name.
    Raises AdaptlabError if the shape is not that of the names, or nothing was measured.
    """
    values = 100 * np.asarray(accuracy, float)
    if values.shape != (len(poolings), len(layers)) or np.isnan(values).all():
        raise AdaptlabError(
            f"a map of {len(poolings)} poolings by {len(layers)} layers from {values.shape} values"
        )
    others = {name: 100 * share for name, share in controls.items()}
    y, x = np.unravel_index(np.nanargmax(values), values.shape)
    best = f"{poolings[y]}, layer {layers[x]}: {values[y, x]:.1f}%"
    norm = _norm(np.concatenate([values.ravel(), list(others.values())]))
    lines = max((fill(name, LETTERS).count("\n") + 2 for name in others), default=0)
    with figure_style():
        height = max(0.36 * len(poolings), (0.15 * lines + 0.09) * len(others))
        figure = Figure(figsize=(WIDTH, height + 1.35))
        headline(figure, title)
        grid = figure.subplots(1, 1 + bool(others), width_ratios=(4.1, 1.15)[: 1 + bool(others)])
        left = np.ravel(grid)[0]
        image = left.imshow(values, cmap=SEQUENTIAL, norm=norm, aspect="auto")
        left.set_yticks(range(len(poolings)), [fill(plain(name), 14) for name in poolings])
        left.set_ylabel("pooling")
        left.set_xlabel(_layer_name(layers))
        left.set_title(plain(f"outlined: {best}"), fontsize=SMALL, weight="normal")
        if others:
            _controls(np.ravel(grid)[1], others, norm)
        bar = figure.colorbar(image, ax=grid, aspect=25, pad=0.015)
        bar.set_label("accuracy on dev, %", fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)
        _layer_cells(left, values, layers, norm)
        for colour, width in (("white", 4), (BEST, 2)):  # white, for the darkest cell in grey print
            left.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=colour,
                                     linewidth=width, clip_on=False))  # fmt: skip
    held = "".join(f"; {name} {share:.1f}%" for name, share in others.items())
    figure.set_label(
        f"{title} A map of accuracy by {len(poolings)} poolings and {len(layers)} layers, from "
        f"{np.nanmin(values):.1f}% to {np.nanmax(values):.1f}%; best {best}{held}"
    )
    return figure


def _layer_name(layers: Sequence[int]) -> str:
    return "layer (0: embeddings)" if 0 in layers else "layer"


def _norm(values: np.ndarray) -> Normalize:
    """From the least to the most, in percent; at least two points wide."""
    low, high = np.nanmin(values), np.nanmax(values)
    wider = max(0, 2 - (high - low)) / 2
    return Normalize(low - wider, high + wider)


def _layer_cells(axes: Axes, values: np.ndarray, layers: Sequence[int], norm: Normalize) -> None:
    """The layers' ticks, and the numbers in the cells where the cells are wide enough."""
    axes.figure.draw_without_rendering()  # the layout decides how wide the cells are
    cell = axes.get_window_extent().width * 72 / axes.figure.dpi / len(layers)  # points
    every = next((step for step in (1, 2, 5) if step * cell >= 15), 10)
    places = range(0, len(layers), every)
    axes.set_xticks(places, [str(layers[place]) for place in places])
    axes.tick_params(length=0, labelsize=SMALL)
    axes.grid(False)
    decimals = 1 if cell > 20 else 0
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, hatch="////",
                                     facecolor="white", edgecolor="0.8", linewidth=0))  # fmt: skip
        elif cell > 12:
            axes.text(column, row, f"{value:.{decimals}f}", ha="center", va="center",
                      fontsize=TIGHT, color=_ink_on(value, norm))  # fmt: skip


def _ink_on(value: float, norm: Normalize) -> str:
    return on(matplotlib.colormaps[SEQUENTIAL](norm(value))[:3])


def _controls(axes: Axes, others: Mapping[str, float], norm: Normalize) -> None:
    """A column of cells, each with a control's name and number."""
    axes.imshow(np.array([[*others.values()]]).T, cmap=SEQUENTIAL, norm=norm, aspect="auto")
    for row, (name, value) in enumerate(others.items()):
        text = f"{fill(plain(name), LETTERS)}\n{value:.1f}"
        axes.text(0, row, text, ha="center", va="center", fontsize=SMALLEST, linespacing=1.1,
                  color=_ink_on(value, norm))  # fmt: skip
    axes.set_yticks(np.arange(len(others) - 1) + 0.5, [])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(axis="y", color="white", linewidth=3)
    axes.set_axisbelow(False)
    axes.set_title("controls", fontsize=SMALL, weight="normal")


def by_layer(
    curves: Mapping[str, Curve],
    layers: Sequence[int],
    title: str,
    ylabel: str = "accuracy",
    floors: Mapping[str, float] | None = None,
    normalised: bool = True,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """What is encoded where: a line for each property against the layer, its best layer filled.

    curves: shares, (seeds, layers), drawn as their mean and a band from the least to the most;
        or (layers,); or a tuple (value, low, high) of (layers,) each. NaN: not measured.
    floors: for each property what knowing nothing gives, as the share of the largest class. With
        them the height is (share - floor) / (1 - floor), so that properties of unlike floors
        compare; `normalised=False` keeps the shares and draws the floors as grey marks.
    ylabel: what the shares are, without a unit.
    limits: the least and the greatest height in percent, where figures are to be compared.
    Raises AdaptlabError for a curve of another length, without a number, or without its floor.
    """
    floors = floors or {}
    normalised = normalised and bool(floors)
    if normalised and (lacking := [n for n in curves if not floors.get(n, 1) < 1]):
        raise AdaptlabError(f"no floor below 1 for {', '.join(lacking)}")
    parts = {name: _middle(name, curve, len(layers)) for name, curve in curves.items()}
    if normalised:
        parts = {n: (all_ - floors[n]) / (1 - floors[n]) for n, all_ in parts.items()}
    ends = []
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.4 * len(curves))))
        axes = figure.subplots()
        headline(figure, title)
        for i, (name, curve) in enumerate(parts.items()):
            how = SERIES[i % len(SERIES)]
            style = ("-", "--", ":")[i // len(SERIES) % 3]
            mark = None if normalised else floors.get(name)
            ends.append(_property(axes, name, np.array(layers), 100 * curve, how, style, mark))
        grey = "; grey marks: floors" if floors and not normalised else ""
        axes.set_xlabel(_layer_name(layers) + grey)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=(1, 2, 5, 10)))
        if len(layers) <= 10:
            axes.set_xticks(layers)
        if normalised:
            axes.axhline(0, color=BASELINE, linewidth=1.2, zorder=1)
            axes.set_ylabel(f"{ylabel} above its floor,\n% of the way from the floor to 100")
            ends.append(End("the floor: nothing read", layers[-1], 0, BASELINE))
        else:
            axes.set_ylabel(f"{ylabel}, %")
        axes.margins(y=0.07)
        axes.set_ylim(limits)
        end_labels(axes, ends, 26)
    words = "; ".join(_read(n, layers, c, floors.get(n)) for n, c in parts.items())
    how = f"{ylabel} as a share of the way from the floor to 100%" if normalised else ylabel
    figure.set_label(f"{title} By layer, {how}: {words}")
    return figure


def _middle(name: str, curve: Curve, count: int) -> np.ndarray:
    """(3, layers): a curve's values and the ends of its band."""
    if isinstance(curve, tuple):
        parts = np.array(curve, float)
    else:
        seeds = np.atleast_2d(np.asarray(curve, float))  # (seeds, layers)
        lost = np.isnan(seeds).all(0)
        filled = np.where(lost, 0, seeds)
        parts = np.stack([f(filled, axis=0) for f in (np.nanmean, np.nanmin, np.nanmax)])
        parts[:, lost] = np.nan
    if parts.shape[1:] != (count,) or np.isnan(parts[0]).all():
        raise AdaptlabError(f"{name}: no curve over {count} layers in {parts.shape[1:]} values")
    return parts


def _property(
    axes: Axes, name: str, layers: np.ndarray, curve: np.ndarray, how: Look, style: str,
    floor: float | None,
) -> End:  # fmt: skip
    """One property's line, band and best layer, in percent; returns where its line ends."""
    value, low, high = curve
    band(axes, layers, low, high, how.colour)
    axes.plot(layers, value, color=how.colour, linestyle=style, marker=how.marker, markersize=4.5,
              markerfacecolor="white", markeredgewidth=1)  # fmt: skip
    best = np.nanargmax(value)
    axes.plot(layers[best], value[best], color=how.colour, marker=how.marker, markersize=8)
    note = f"{name}\nbest {value[best]:.0f}% at layer {layers[best]}"
    if floor is not None:
        reach = max(np.ptp(layers), 1)
        left = layers[0] - 0.03 * reach
        axes.plot([left - 0.03 * reach, left], [100 * floor] * 2, color=BASELINE, linewidth=2.5)
        note += f"\nfloor {100 * floor:.0f}%"
    last = np.flatnonzero(~np.isnan(value))[-1]
    return End(note, float(layers[last]), float(value[last]), how.colour)


def _read(name: str, layers: Sequence[int], curve: np.ndarray, floor: float | None) -> str:
    value = 100 * curve[0]
    best = np.nanargmax(value)
    known = np.flatnonzero(~np.isnan(value))
    under = "" if floor is None else f" (floor {100 * floor:.1f}%)"
    first, last = (f"{value[i]:.1f}% at layer {layers[i]}" for i in known[[0, -1]])
    return f"{name}{under} {first}, best {value[best]:.1f}% at layer {layers[best]}, {last}"


def data_efficiency(
    curves: Mapping[str, Mapping[int, Interval]],
    constants: Mapping[str, Interval],
    title: str,
    ylabel: str = "accuracy",
) -> Figure:
    """How a score grows with the number of training examples, against what needs none.

    curves: for each method and number of examples (score, low, high), as shares.
    constants: the same for methods that use no or few examples; they are horizontal lines.
    Raises AdaptlabError for a curve without a number, or of no examples: that is a constant.
    """
    known = {name: _sorted(name, curve) for name, curve in curves.items()}
    if not known:
        raise AdaptlabError("no curve to draw against the number of examples")
    counts = np.unique(np.concatenate([curve[:, 0] for curve in known.values()]))
    how = looks([*known, *constants])
    with figure_style():
        figure = Figure(figsize=(WIDTH, max(3.8, 1.4 + 0.3 * len(how))))
        axes = figure.subplots()
        headline(figure, title)
        axes.set_xscale("log", base=2)
        axes.set_xlim(counts[0] / 1.25, counts[-1] * 1.25)
        ends = []
        for name, curve in known.items():
            n, value, low, high = curve.T
            band(axes, n, 100 * low, 100 * high, how[name].colour)
            axes.plot(n, 100 * value, color=how[name].colour, marker=how[name].marker)
            ends.append(End(f"{name}\n{100 * value[-1]:.1f}%", n[-1], 100 * value[-1],
                            how[name].colour))  # fmt: skip
        for i, (name, interval) in enumerate(constants.items()):
            value, low, high = (100 * part for part in interval)
            colour = how[name].colour
            axes.axhspan(low, high, color=colour, alpha=0.1, linewidth=0, zorder=0)
            axes.axhline(value, color=colour, linewidth=1.2, linestyle=("--", "-.", ":")[i % 3])
            ends.append(End(f"{name}\n{value:.1f}%", axes.get_xlim()[1], value, colour))
        axes.set_xlabel("training examples, logarithmic")
        axes.set_ylabel(f"{ylabel}, %")
        axes.margins(y=0.06)
        end_labels(axes, ends, 22)
        count_ticks(axes, counts)
    lines = [
        f"{name} " + ", ".join(f"{_percent(*each[1:])} at {each[0]:,.0f}" for each in curve)
        for name, curve in known.items()
    ]
    level = [f"{name} {_percent(*interval)}" for name, interval in constants.items()]
    about = f"{ylabel.capitalize()} against training examples"
    figure.set_label(f"{title} {about}: {'; '.join([*lines, *level])}")
    return figure


def _sorted(name: str, curve: Mapping[int, Interval]) -> np.ndarray:
    """(points, 4): examples, score, low and high, without points that are no number."""
    rows = np.array([(n, *curve[n]) for n in sorted(curve)], float).reshape(-1, 4)
    rows = rows[~np.isnan(rows[:, 1])]
    if not len(rows) or rows[0, 0] < 1:
        raise AdaptlabError(f"{name}: scores at 1 example or more are asked; others are constants")
    return rows


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
