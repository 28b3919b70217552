"""Execute one notebook through papermill, to the end or not at all."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from adaptlab.course import kernel
from adaptlab.course.masters import read


@dataclass(frozen=True)
class Outcome:
    """How a notebook's execution went; `error` is None where it went well."""

    seconds: float
    peak_bytes: int
    error: str | None


class Place:
    """Which cell of the master runs now. Papermill adds cells, so places are kept by cell id."""

    def __init__(self, master: NotebookNode, step: Callable[[int], None]):
        self._numbers = {cell.id: number for number, cell in enumerate(master.cells, start=1)}
        self._step = step
        self.number, self.source = 0, ""

    def enter(self, cell: NotebookNode, cell_index: int) -> None:
        """nbclient calls this before each cell."""
        if number := self._numbers.get(cell.id):
            self.number, self.source = number, cell.source
            self._step(number)


def execute(
    master: Path,
    target: Path,
    parameters: Mapping[str, Any],
    step: Callable[[int], None] = lambda number: None,
    tick: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run `master` with `parameters` and write the executed copy to `target`.

    `step` is told each cell's number as it starts, `tick` is called now and then. `target`
    appears whole, at the end; of a notebook that fails it is not touched, and the copy up to
    the failure is NAME.failed.ipynb beside it. The cells run in the master's folder.
    """
    place = Place(read(master), step)
    part = target.with_name(f".{target.stem}.part.ipynb")
    failed = target.with_suffix(".failed.ipynb")
    started = time.monotonic()
    with (
        kernel.started(master.parent, target.parent) as manager,
        kernel.peak_memory(manager.provisioner.pid, tick) as peak,
    ):
        error = _run(master, part, parameters, place, manager)
    if error is None:
        os.replace(part, target)
        failed.unlink(missing_ok=True)
    elif part.exists():
        os.replace(part, failed)
    return Outcome(time.monotonic() - started, peak(), error)


def _run(
    master: Path, part: Path, parameters: Mapping[str, Any], place: Place, manager: Any
) -> str | None:
    """Execute into `part`; what went wrong, in a line, or None."""
    # What papermill would log of a failing cell is in the returned line and in the failed copy.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    try:
        papermill.execute_notebook(
            master,
            part,
            parameters=dict(parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            km=manager,
            on_cell_start=place.enter,
        )
    except PapermillExecutionError as error:
        return _line(place, error.ename, error.evalue)
    except DeadKernelError:
        return _line(place, "DeadKernelError", "its process ended (out of memory?)")
    except Exception as error:  # whatever else breaks one notebook must not stop the others
        return _line(place, type(error).__name__, str(error))
    return None


def _line(place: Place, kind: str, message: str) -> str:
    first = place.source.strip().partition("\n")[0][:60]
    return f"cell {place.number} ({first}): {kind}: {' '.join(message.split())[:300]}"
