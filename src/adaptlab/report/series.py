"""What figures of sweeps share: checked numbers, intervals along a line, grey references, ticks."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import End
from adaptlab.report.style import BASELINE, Look

Interval = tuple[float, float, float]  # a value, its low and its high end
ROUNDING = 1e-6  # how far, as a share, a value may lie outside its own interval
GLYPHS = dict(zip("os^DvPXh*pd", "●■▲◆▼✚✖⬢★⬟⬧", strict=True))  # markers, within a text
EVERY = 12  # at most so many markers on a line


def numbers(name: str, values: Iterable[float], above: float = -np.inf) -> np.ndarray:
    """The values as an array. Raises AdaptlabError if there is none or one is no number > above."""
    array = np.array([*values], float)
    if not array.size or not np.isfinite(array).all() or (array <= above).any():
        least = "" if above == -np.inf else f" above {above:g}"
        raise AdaptlabError(f"{name}: numbers{least} are asked, at least one")
    return array


def interval(name: str, ends: Interval, above: float = -np.inf) -> np.ndarray:
    """(3,) a value, its low and its high end. Raises AdaptlabError unless low <= value <= high."""
    value, low, high = array = numbers(name, ends, above)
    slack = ROUNDING * max(abs(array))
    if not low - slack <= value <= high + slack:
        raise AdaptlabError(f"{name}: {value:g} is not within its interval [{low:g}, {high:g}]")
    return array


def points(
    name: str, curve: Mapping[float, Interval], above: float = -np.inf, x_above: float = 0
) -> np.ndarray:
    """(points, 4): x, value, low and high, in the order of x. Raises AdaptlabError as the above."""
    xs = np.sort(numbers(name, curve, x_above))
    return np.array([[x, *interval(name, curve[x], above)] for x in xs])


def some(kind: str, given: Mapping) -> None:
    """Raise AdaptlabError if nothing is given."""
    if not given:
        raise AdaptlabError(f"no {kind} to draw")


def around(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far an interval reaches to both sides, as error bars ask for it."""
    return np.maximum([value - low, high - value], 0)


def bars(axes: Axes, x: np.ndarray, curve: np.ndarray, how: Look, **style) -> None:
    """A line through the values, with their intervals. curve: (points, 3)."""
    value, low, high = curve.T
    axes.errorbar(x, value, yerr=around(value, low, high), color=how.colour, marker=how.marker,
                  capsize=2, elinewidth=1, **style)  # fmt: skip


def grey(
    axes: Axes, references: Mapping[str, float], unit: str = "", style: str = "-"
) -> list[End]:
    """A horizontal grey line for each reference; returns where their names belong.

    Call it when the limits along x are final.
    """
    for value in references.values():
        axes.axhline(value, color=BASELINE, linewidth=1.2, linestyle=style, zorder=1)
    right = axes.get_xlim()[1]
    return [End(f"{n}\n{y:.4g}{unit}", right, y, BASELINE) for n, y in references.items()]


def room(axes: Axes, values: Sequence[float], margin: float = 0.07) -> None:
    """Limits up the axes with room around the values, on its scale, and for equal values too."""
    log = axes.get_yscale() == "log"
    low, high = np.log([min(values), max(values)]) if log else (min(values), max(values))
    wider = margin * (high - low) or (0.3 if log else max(0.05 * abs(low), 0.01))
    ends = np.array([low - wider, high + wider])
    axes.set_ylim(*(np.exp(ends) if log else ends))


def told(interval: Sequence[float]) -> str:
    """An interval for an alternative text."""
    value, low, high = interval
    return f"{value:.4g} [{low:.4g}, {high:.4g}]"


def flat(text: str) -> str:
    """A label's text in one line."""
    return text.replace("\n", ", ")


def tagged(name: str, how: Look) -> str:
    """The name after its marker, where leaders are close and a print is grey."""
    return f"{GLYPHS[how.marker]} {name}" if how.marker in GLYPHS else name


def scientific(value: float, decimals: int = 0) -> str:
    """A number as programs write it: 3e-4."""
    digits, power = f"{value:.{decimals}e}".split("e")
    return f"{digits}e{int(power)}"


def power_ticks(axis: Axis) -> None:
    """Ticks at 1 and, where there is room, 3 times the powers of ten: 1e-4, 3e-4.

    An axis that covers less than a power of ten has plain numbers.
    """
    low, high = axis.get_view_interval()
    narrow = high < 10 * low
    subs = (1, 3) if np.log10(high / low) < 5 else (1,)
    locator = MaxNLocator(5) if narrow else LogLocator(subs=subs, numticks=12)
    form = "{:g}".format if narrow else scientific
    places = [place for place in locator.tick_values(low, high) if low <= place <= high]
    axis.set_ticks(places, [form(place) for place in places])
    axis.set_minor_locator(NullLocator())


def covered(axes: Axes, x: Sequence[float], y: Sequence[float]) -> list[Bbox]:
    """Where a line is drawn within the axes, in pixels, for names that are to keep off it."""
    inside = axes.get_window_extent()
    boxes = []
    for start, end in pairwise(axes.transData.transform(np.column_stack([x, y]))):
        rise = (end - start)[1]
        edges = (np.array([inside.y0, inside.y1]) - start[1]) / rise if rise else np.array([0, 1])
        first, last = np.clip(np.sort(edges), 0, 1)  # the shares of the piece that are inside
        count = max(2, int((last - first) * np.hypot(*(end - start)) / 9))
        places = start + np.linspace(first, last, count)[:, None] * (end - start)
        boxes += [Bbox([at - 3, at + 3]) for at in places]
    return boxes


def few(count: int) -> int:
    """Every how many points a marker is drawn."""
    return max(1, -(-count // EVERY))
