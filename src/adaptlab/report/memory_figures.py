"""A figure of memory: what accounting predicts beside what was measured."""

from collections.abc import Collection, Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from adaptlab.errors import AdaptlabError
from adaptlab.report.labels import SMALL, headline, ink, plain
from adaptlab.report.style import figure_style

WIDTH = 7  # inches of a figure
PARTS = {  # of memory: a colour, and a hatch for grey print
    "weights": ("#0072B2", ""),
    "fp32 copies": ("#56B4E9", "////"),
    "gradients": ("#E69F00", "...."),
    "optimizer": ("#D55E00", "\\\\\\\\"),
    "activations": ("#009E73", "xxxx"),
    "other": ("0.7", "----"),
}
MORE_PARTS = (("#CC79A7", "||||"), ("#F0E442", "++++"), ("0.4", "oo"))
Bytes = Mapping[str, Mapping[str, float]]  # setup -> part -> bytes


def memory_bars(predicted: Bytes, measured: Bytes, title: str) -> Figure:
    """Memory by part, predicted above measured, and the error of the predicted total.

    predicted, measured: for each setup the bytes of each part. A part that is lacking is 0; a
        setup that is lacking among the measured, or has no part, is said not to be.
    Raises AdaptlabError if nothing was predicted, or a part's bytes are no number or below 0.
    """
    every = [parts for setups in (predicted, measured) for parts in setups.values()]
    if not predicted or not all(b >= 0 for parts in every for b in parts.values()):
        raise AdaptlabError("memory asks for at least one setup, and for bytes of 0 or more")
    looks = _part_looks(dict.fromkeys(n for parts in every for n, size in parts.items() if size))
    largest = max(sum(parts.values()) for parts in every)
    unit, size = ("GB", 1e9) if largest >= 1e8 else ("MB", 1e6)
    most = max(largest / size, 1e-3)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.82 * len(predicted) + 1.35))
        axes = figure.subplots()
        headline(figure, title)
        rows = []
        for setup, parts in predicted.items():
            top = 3.2 * len(rows) / 2
            axes.text(
                0.005 * most, top - 0.72, plain(setup), fontsize=SMALL, weight="bold", va="center"
            )
            for row, own in ((top, parts), (top + 1, measured.get(setup, {}))):
                end = _stack(axes, own, row, looks, size)
                total = f"{end:.3g} {unit}" if own else "not measured"
                axes.text(end + 0.01 * most, row, total, va="center", fontsize=SMALL)
            if measured.get(setup):
                axes.text(1.24 * most, top + 0.5, _error(parts, measured[setup]), va="center",
                          ha="center", fontsize=SMALL + 1, weight="bold")  # fmt: skip
            rows += [top, top + 1]
        axes.text(1.24 * most, -0.72, "error", fontsize=SMALL, va="center", ha="center")
        axes.set_yticks(rows, ["predicted", "measured"] * len(predicted), fontsize=SMALL)
        axes.set_ylim(rows[-1] + 0.6, -1.2)
        axes.set_xlim(0, 1.32 * most)
        axes.set_xlabel(f"memory, {unit}; error: of the predicted total")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        _key(axes, looks)
    figure.set_label(f"{title} Memory in {unit}: {_told(predicted, measured, size)}")
    return figure


def _part_looks(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """The colour and hatch of each part, in the order of the bars."""
    others = [name for name in names if name not in PARTS]
    more = {name: MORE_PARTS[i % len(MORE_PARTS)] for i, name in enumerate(others)}
    return {name: look for name, look in (PARTS | more).items() if name in names}


def _stack(
    axes: Axes, parts: Mapping[str, float], row: float, looks: Mapping[str, tuple[str, str]],
    size: float,
) -> float:  # fmt: skip
    """One bar of parts, in units of so many bytes; returns its end."""
    start = 0.0
    for name, (colour, hatch) in looks.items():
        width = parts.get(name, 0) / size
        axes.barh(row, width, left=start, height=0.86, color=colour, hatch=hatch,
                  edgecolor="white", linewidth=0.6)  # fmt: skip
        start += width
    return start


def _error(parts: Mapping[str, float], seen: Mapping[str, float]) -> str:
    """How far the predicted total is from the measured one, as a share of the measured."""
    measured = sum(seen.values())
    if not measured:
        return "-"
    return f"{sum(parts.values()) / measured - 1:+.1%}".replace("-", "−")


def _key(axes: Axes, looks: Mapping[str, tuple[str, str]]) -> None:
    """The parts' names above the bars, each after its colour and hatch."""
    marks = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=plain(name))
        for name, (colour, hatch) in looks.items()
    ]
    axes.legend(
        handles=marks, loc="lower right", bbox_to_anchor=(1, 1), ncols=min(len(marks), 6),
        fontsize=SMALL, labelcolor=[ink(colour) for colour, _ in looks.values()],
        columnspacing=1, handlelength=1.6, handletextpad=0.4, borderaxespad=0,
    )  # fmt: skip


def _told(predicted: Bytes, measured: Bytes, size: float) -> str:
    said = []
    for setup, parts in predicted.items():
        held = ", ".join(f"{name} {part / size:.3g}" for name, part in parts.items())
        text = f"{setup}: predicted {sum(parts.values()) / size:.3g} ({held})"
        if measured.get(setup):
            seen = measured[setup]
            text += f", measured {sum(seen.values()) / size:.3g}, error {_error(parts, seen)}"
        said.append(text)
    return "; ".join(said)
