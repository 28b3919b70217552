"""The same colour, marker and name for a method in every notebook."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib.style
from IPython.display import Image, display
from matplotlib.figure import Figure

from adaptlab.paths import PACKAGE

BASELINE = "0.55"  # grey


@dataclass(frozen=True)
class Look:
    """How a method is drawn; the colours are Okabe and Ito's, apart for colour-blind readers.

    Optimisers have Tol's "muted" ones, so that none looks like a method.
    """

    colour: str
    marker: str


LOOKS = {
    "bag of words": Look(BASELINE, "x"),
    "zero-shot": Look("#0072B2", "o"),
    "zero-shot, contextual": Look("#0072B2", "^"),
    "zero-shot, centred": Look("#0072B2", "s"),
    "few-shot": Look("#56B4E9", "o"),
    "few-shot, centred": Look("#56B4E9", "s"),
    "raw": Look("0.25", "o"),  # of one prompt's scores, as the tour has them
    "centred": Look("#0072B2", "s"),
    "prompt tuning": Look("#E69F00", "D"),
    "probe": Look("#009E73", "v"),
    "LoRA": Look("#D55E00", "P"),
    "QLoRA": Look("#7A3300", "X"),  # LoRA's family: darker, and lighter once merged
    "LoRA, merged": Look("#EE8A4A", "p"),
    "norm gains": Look("#6A51A3", "d"),
    # chain of thought and its relatives, in Tol's "medium contrast"
    "zero-shot CoT": Look("#004488", "^"),
    "few-shot CoT": Look("#994455", "s"),
    "self-consistency": Look("#997700", "D"),
    "few-shot, voted": Look("#3A8FBF", "v"),  # few-shot's family, darker
    "Auto-CoT": Look("#6699CC", "P"),
    "complex CoT": Look("#EE99AA", "h"),
    "contrastive CoT": Look("#BB5566", "X"),
    "analogical CoT": Look("#DDAA33", "p"),
    "plan-and-solve": Look("#228833", ">"),
    "least-to-most": Look("#AA3377", "<"),
    # the small GPT's three ways of answering
    "direct": Look("#56B4E9", "o"),  # as few-shot: the answer alone
    "filler": Look("#228833", "v"),
    "steps": Look("#994455", "s"),  # as few-shot CoT
    "instruction": Look("#0072B2", "o"),  # zero-shot, as its colour says
    "the format, untrained": Look("#0072B2", "^"),
    "TL;DR": Look("#0072B2", "s"),
    "fine-tuned": Look("#CC79A7", "h"),
    "full fine-tuning": Look("#CC79A7", "h"),
    # parts of the model fine-tuned: the fewer the layers, the darker
    "head only": Look("#551D40", "<"),
    "top 1": Look("#6C2F55", "^"),
    "top 2": Look("#7A3B62", ">"),
    "top 4": Look("#8C4A72", "s"),
    "top 8": Look("#9F5982", "D"),
    "top 15": Look("#AF658F", "X"),
    "top 16": Look("#AF658F", "X"),
    "top 24": Look("#BA6D98", "P"),
    "top 30": Look("#C3739F", "*"),
    # optimisers, apart in grey print too
    "AdamW": Look("#332288", "o"),
    "Adam": Look("#332288", "o"),
    "LoRA-RITE": Look("#882255", "P"),
    "ScaledAdam": Look("#117733", "^"),
    "Shampoo": Look("#CC6677", "D"),
    "Lamb": Look("#999933", "v"),
    "ScaledGD": Look("#44AA99", "X"),
    "LoRA+": Look("#77BBDD", "s"),
    "SGD": Look("#AA4499", "*"),
    # number formats, by their names in print and in quantize
    "fp32": Look("0.2", "o"),
    "fp16": Look("#0072B2", "s"),
    "bf16": Look("#009E73", "^"),
    "fp8 e4m3": Look("#E69F00", "v"),
    "fp8_e4m3": Look("#E69F00", "v"),
    "fp8 e5m2": Look("#56B4E9", "D"),
    "fp8_e5m2": Look("#56B4E9", "D"),
    "int8": Look("#CC79A7", "P"),
    "int4": Look("#882255", "X"),
    "fp4": Look("#332288", "*"),
    "fp4_e2m1": Look("#44AA99", "p"),
    "NF4": Look("#D55E00", "h"),
    "nf4": Look("#D55E00", "h"),
}
OTHER = Look("0.2", "o")
SERIES = (  # for what is no method: runs, models; told apart by marker in grey print
    Look("#0072B2", "o"),
    Look("#D55E00", "s"),
    Look("#009E73", "^"),
    Look("#CC79A7", "D"),
    Look("#E69F00", "v"),
    Look("#56B4E9", "P"),
    Look("0.2", "X"),
)
SEQUENTIAL = "Blues"  # white to dark, so it prints in grey


def look(method: str) -> Look:
    """The look of a method; black circles for one that has none yet."""
    return LOOKS.get(method, OTHER)


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw within the course's style."""
    with matplotlib.style.context(PACKAGE / "report" / "style.mplstyle"):
        yield


def show(figure: Figure) -> None:
    """Display the figure as a picture in a notebook; its label becomes the alternative text.

    It is drawn here, whatever backend a notebook's kernel has chosen.
    """
    data = io.BytesIO()
    with figure_style():
        figure.savefig(data, format="png")
    picture = Image(data.getvalue(), format="png", retina=True)
    display(picture, metadata={"image/png": {"alt": figure.get_label()}})
