"""One line that says where a run is."""

import sys
import threading
import time
from typing import TextIO

QUIET = 30  # seconds between two lines where lines cannot be overwritten


class Progress:
    """Says which cell of which notebook runs: one living line on a terminal, few lines else."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self._lock = threading.Lock()  # `tick` comes from another thread than the rest
        self._name, self._cell, self._cells = "", 0, 0
        self._started = self._shown = 0.0

    def begin(self, name: str, cells: int) -> None:
        """A notebook of so many cells starts."""
        with self._lock:
            self._name, self._cell, self._cells = name, 0, cells
            self._started = self._shown = time.monotonic()
            if self.live:
                self._show()

    def step(self, cell: int) -> None:
        """Its cell with this number (from 1) starts."""
        with self._lock:
            self._cell = cell
            if self.live:
                self._show()

    def tick(self) -> None:
        """Time has passed: show it, if it is worth a new look."""
        with self._lock:
            if self._name and time.monotonic() - self._shown >= (1 if self.live else QUIET):
                self._show()

    def end(self, line: str) -> None:
        """The notebook is done; `line` says how it went and stays."""
        with self._lock:
            self._name = ""
            self._write(line, "\n")

    def elapsed(self) -> float:
        """Seconds since `begin`."""
        return time.monotonic() - self._started

    def _show(self) -> None:
        self._shown = time.monotonic()
        line = f"{self._name:<28} cell {self._cell}/{self._cells}  {duration(self.elapsed())}"
        self._write(line, "" if self.live else "\n")

    def _write(self, line: str, end: str) -> None:
        start = "\r\x1b[2K" if self.live else ""  # back to the margin, the old line wiped
        self.stream.write(start + line + end)
        self.stream.flush()


def duration(seconds: float) -> str:
    """Seconds as one reads them: "8.4 s", "3 min 07 s", "2 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
