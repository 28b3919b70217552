"""Marks that several figures share: dots with intervals, bands, looks, names beside points."""

from collections.abc import Collection, Iterator, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from adaptlab.records import Record, format_of
from adaptlab.report.labels import SMALL, End, fill, ink, plain
from adaptlab.report.style import LOOKS, SERIES, Look

DISTANCES = (4, 7, 11, 16, 22, 30, 40)  # points from a point to its name
BESIDE = 7  # points up to which a name needs no line to its point
SIDES = ((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1))
ACROSS = {1: "left", 0: "center", -1: "right"}
ALONG = {1: "bottom", 0: "center", -1: "top"}


def dot(axes: Axes, record: Record, row: float, how: Look) -> None:
    """A score and its interval on a row."""
    k = format_of(record.metric).factor
    around = [[k * (record.score - record.low)], [k * (record.high - record.score)]]
    axes.errorbar(
        k * record.score, row, xerr=around, color=how.colour, marker=how.marker, markersize=6,
        capsize=3, linestyle="none",
    )  # fmt: skip


def in_words(records: Sequence[Record]) -> str:
    """Each method's score and interval, for an alternative text."""
    form = format_of(records[0].metric)
    return "; ".join(f"{r.method} {form.interval(r.score, r.low, r.high)}" for r in records)


def looks(names: Collection[str]) -> dict[str, Look]:
    """A look for each name: its method's, or one of SERIES in a colour that no method here has."""
    known = {name: LOOKS[name] for name in names if name in LOOKS}
    taken = {how.colour for how in known.values()}
    every = [how.colour for how in SERIES]
    colours = [colour for colour in every if colour not in taken] or every
    others = [name for name in names if name not in known]
    markers = [how.marker for how in SERIES]
    return known | {
        name: Look(colours[i % len(colours)], markers[(i + i // len(colours)) % len(markers)])
        for i, name in enumerate(others)
    }


def band(
    axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, alpha: float = 0.15
) -> None:
    """A light band from `low` to `high`; a lone point gets a bar, for a band would be no wider."""
    if len(x) == 1:
        axes.vlines(x, low, high, color=colour, linewidth=1)
    axes.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0, zorder=1.5)


def count_ticks(axes: Axes, counts: np.ndarray) -> None:
    """A tick at each of the counts, and its number where that does not touch the last one."""
    axes.figure.draw_without_rendering()
    free = -np.inf  # where the last number ends, in points
    names = []
    for count in counts:
        x = axes.transData.transform((count, axes.get_ylim()[0]))[0] * 72 / axes.figure.dpi
        name = f"{count:,.0f}"
        half = 0.32 * SMALL * len(name) + 2
        names.append(name if x - half >= free else "")
        free = x + half if names[-1] else free
    axes.set_xticks(counts, names, fontsize=SMALL)
    axes.xaxis.set_minor_locator(NullLocator())


def near_labels(axes: Axes, ends: Sequence[End], blocked: Sequence[Bbox], width: int = 22) -> bool:
    """Name each point beside it where nothing else is; False, and no names, if one has no room.

    Call it when the axes' limits are final. blocked: where no name may stand, in pixels.
    width: the letters in a line of a name.
    """
    axes.figure.draw_without_rendering()  # the layout decides how large the axes are
    texts = [fill(plain(end.text), width) for end in ends]
    names: list[Bbox] = []
    leaders: list[Bbox] = []
    places = []
    for end, text in zip(ends, texts, strict=True):
        place = next(_free(axes, end, text, [*blocked, *names, *leaders], names), None)
        if place is None:
            return False
        places.append(place[:2])
        names.append(place[2])
        leaders += place[3]
    for end, text, (side, distance) in zip(ends, texts, places, strict=True):
        leader = {"arrowstyle": "-", "color": end.colour, "linewidth": 0.7, "shrinkB": 4}
        axes.annotate(
            text,
            (end.x, end.y),
            xytext=(side[0] * distance, side[1] * distance),
            textcoords="offset points",
            ha=ACROSS[side[0]],
            va=ALONG[side[1]],
            fontsize=SMALL,
            color=ink(end.colour),
            linespacing=1.1,
            arrowprops=leader if distance > BESIDE else None,
        )
    return True


def drawn(axes: Axes, points: np.ndarray, lines: Sequence[float]) -> list[Bbox]:
    """Where points with their intervals, and level lines, are drawn, in pixels.

    points: (points, 2, 3), the value, low and high end of each x and y.
    """
    axes.figure.draw_without_rendering()
    half = 4 * axes.figure.dpi / 72
    boxes = [
        Bbox.from_extents(inside.x0, at - 1, inside.x1, at + 1)
        for inside in [axes.get_window_extent()]
        for at in [axes.transData.transform((0, y))[1] for y in lines]
    ]
    for x, y in points:
        middle, across, along = axes.transData.transform([(x[0], y[0]), (x[2], y[2]), (x[1], y[1])])
        boxes += [
            Bbox([middle - half, middle + half]),
            Bbox.from_extents(along[0], middle[1] - 1, across[0], middle[1] + 1),
            Bbox.from_extents(middle[0] - 1, along[1], middle[0] + 1, across[1]),
        ]
    return boxes


def _free(
    axes: Axes, end: End, text: str, taken: Sequence[Bbox], names: Sequence[Bbox]
) -> Iterator[tuple[tuple[int, int], float, Bbox, list[Bbox]]]:
    """Places for a name, nearest first: its side, distance, box, and the line to it in pieces.

    The name stands within the axes and off what is taken; the line crosses no other name.
    """
    point = axes.figure.dpi / 72
    probe = axes.text(0, 0, text, fontsize=SMALL, linespacing=1.1)
    size = probe.get_window_extent().size
    probe.remove()
    middle = axes.transData.transform((end.x, end.y))
    inside = axes.get_window_extent()
    around = [box.padded(1.5 * point) for box in taken]
    for distance, side in product(DISTANCES, SIDES):
        corner = middle + np.array(side) * distance * point - size * (1 - np.array(side)) / 2
        box = Bbox([corner, corner + size])
        steps = np.linspace(middle, (corner + corner + size) / 2, 25)
        line = [Bbox([at - 1, at + 1]) for at in steps if not box.contains(*at)]
        line = line if distance > BESIDE else []
        if (
            np.all([inside.contains(*at) for at in (box.p0, box.p1)])
            and not box.count_overlaps(around)
            and not any(piece.count_overlaps(names) for piece in line)
        ):
            yield side, distance, box, line
