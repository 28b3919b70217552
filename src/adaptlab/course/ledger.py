"""run.json: what was run in a profile, with what outcome, written so that no kill can tear it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """The last run of one notebook.

    `status` is "ok" or "failed"; `peak_bytes` is the peak resident memory of the kernel and its
    children (`kernel.peak_memory` says how it is measured); `cells` how many cells there are;
    `started` a UTC time in ISO 8601; `error` what failed and where, in a line.
    """

    status: str
    seconds: float
    peak_bytes: int
    cells: int
    fingerprint: str
    started: str
    error: str | None = None


class Ledger:
    """The entries of run.json in a profile's folder, by notebook name."""

    def __init__(self, folder: Path):
        self.path = folder / "run.json"
        self._entries = self._load()

    def _load(self) -> dict[str, Entry]:
        try:
            table = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: Entry(**entry) for name, entry in table.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}  # none yet, or not ours: everything is run again, which is always right

    def get(self, name: str) -> Entry | None:
        """The last run of the notebook `name`, if there was one."""
        return self._entries.get(name)

    def put(self, name: str, entry: Entry) -> None:
        """Keep `entry`, on disk before this returns: the file is replaced whole, never edited."""
        self._entries[name] = entry
        table = {name: asdict(self._entries[name]) for name in sorted(self._entries)}
        draft = self.path.with_name(".run.json.part")
        draft.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        os.replace(draft, self.path)
