"""One JSON line per run: what was run, on what, and what came out.

A notebook writes `build/PROFILE/records/NOTEBOOK.jsonl`; `adaptlab publish` copies that to
`data/results/PROFILE/NOTEBOOK.jsonl`, where tables, figures and the README read it.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from adaptlab import paths, profiles, sources
from adaptlab.errors import AdaptlabError
from adaptlab.runtime import Measurement, Runtime

PACKAGES = (
    *("adaptlab", "torch", "transformers", "peft", "bitsandbytes", "accelerate"),
    *("datasets", "scikit-learn", "numpy", "scipy"),
)


@dataclass(frozen=True)
class Format:
    """How the values of a metric are written: as `spec` says, after `factor`, before `unit`."""

    heading: str  # of a table's column
    spec: str
    factor: float = 1
    unit: str = ""
    lower_is_better: bool = False
    of: str = "items"  # what n counts

    def number(self, value: float) -> str:
        """The value without its unit, as under the heading."""
        return f"{self.factor * value:{self.spec}}"

    def interval(self, value: float, low: float, high: float) -> str:
        """The value and its interval, with units."""
        value, low, high = (f"{self.number(part)}{self.unit}" for part in (value, low, high))
        return f"{value} [{low}, {high}]"


SHARE = {"spec": ".1f", "factor": 100, "unit": "%"}
LOSS = {"spec": ".3f", "lower_is_better": True}
FORMATS = {
    "accuracy": Format("accuracy, %", **SHARE),
    "exact match": Format("exact match, %", **SHARE),
    "BLEU": Format("BLEU", ".1f"),
    "chrF": Format("chrF", ".1f"),
    "rouge1": Format("ROUGE-1 F1", ".1f"),
    "rouge2": Format("ROUGE-2 F1", ".1f"),
    "rougeL": Format("ROUGE-L F1", ".1f"),
    "loss": Format("loss, nats", **LOSS, of="windows"),
    "ECE": Format("ECE", **LOSS, of="predictions"),
    "Brier": Format("Brier score", **LOSS),
    "bits per character": Format("bits per character", ".2f", lower_is_better=True, of="lines"),
    "AUROC": Format("AUROC", ".2f"),
    "share": Format("share, %", **SHARE),
    "perplexity": Format("perplexity", ".1f", lower_is_better=True),
}


def format_of(metric: str) -> Format:
    """How a metric is written; one that is not in FORMATS with three significant digits."""
    return FORMATS.get(metric, Format(metric, ".3g"))


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95% interval, over n items (times seeds)."""

    value: float
    low: float
    high: float
    n: int
    metric: str = "accuracy"

    def __str__(self) -> str:
        return format_of(self.metric).interval(self.value, self.low, self.high)


def exact(value: float, metric: str, n: int = 1) -> Score:
    """A value that no chance has touched, or whose interval is not known: its ends are itself."""
    return Score(value, value, value, n, metric)


@dataclass(frozen=True)
class Record:
    """One result. `seed` is None for a score over several seeds, which are in `config`."""

    notebook: str
    experiment: str
    method: str
    task: str
    split: str
    model: str
    seed: int | None
    n: int
    metric: str
    score: float
    low: float
    high: float
    seconds: float
    peak_bytes: int
    trained_parameters: int
    config: dict[str, Any]
    predictions: list[int | str] = field(default_factory=list)  # by item; empty over several seeds
    items: str = ""  # a hash of the item ids: predictions compare only where it is equal
    provenance: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        score = Score(self.score, self.low, self.high, self.n, self.metric)
        trained = f", {self.trained_parameters:,} trained" if self.trained_parameters else ""
        counted = f"{self.n} {format_of(self.metric).of}"
        return f"{self.method}: {score} on {counted}, {self.seconds:.1f} s{trained}"


class Book:
    """The records of one run of one notebook.

    They are written as they come, to a file of their own; `close` puts them in place of the last
    run's, so that a run that breaks off leaves the earlier records as they were. What is added
    twice, as when a reader runs a cell again, replaces the earlier record.
    """

    def __init__(self, notebook: str, profile: str, runtime: Runtime, folder: Path | None = None):
        self.notebook, self.profile = notebook, profile
        self.file = (
            folder or paths.build(profiles.check(profile)) / "records"
        ) / f"{notebook}.jsonl"
        self._partial = self.file.with_suffix(".jsonl.part")
        self._provenance = provenance(notebook, runtime)
        self._records: dict[tuple, Record] = {}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    @property
    def records(self) -> list[Record]:
        """All records so far, in the order of their first coming."""
        return list(self._records.values())

    def add(
        self,
        *,
        experiment: str,
        method: str,
        task: str,
        split: str,
        model: str,
        seed: int | None,
        score: Score,
        took: Measurement,
        trained_parameters: int = 0,
        config: dict[str, Any] | None = None,
        predictions: Iterable[int | str] = (),
        items: Sequence[str] = (),
    ) -> Record:
        """Write one record down and return it.

        predictions: by item, labels or written texts.
        """
        record = Record(
            notebook=self.notebook,
            experiment=experiment,
            method=method,
            task=task,
            split=split,
            model=model,
            seed=seed,
            n=score.n,
            metric=score.metric,
            score=score.value,
            low=score.low,
            high=score.high,
            seconds=round(took.seconds, 3),
            peak_bytes=took.peak_bytes,
            trained_parameters=trained_parameters,
            config=config or {},
            predictions=[p if isinstance(p, str) else int(p) for p in predictions],
            items=items_hash(items),
            provenance=self._provenance,
        )
        self._records[experiment, method, task, split, model, seed, score.metric] = record
        self._write()
        return record

    def close(self) -> Path:
        """Put this run's records in place; returns their file. It may be called again."""
        self._write()
        self._partial.replace(self.file)
        return self.file

    def _write(self) -> None:
        lines = (json.dumps(asdict(record)) + "\n" for record in self.records)
        self._partial.write_text("".join(lines))


def read(file: Path) -> list[Record]:
    """The records of a file. Raises AdaptlabError if it is missing or a line is not a record."""
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise AdaptlabError(f"no records at {file}: {error.strerror}") from error
    try:
        return [Record(**json.loads(line)) for line in lines]
    except (ValueError, TypeError) as error:
        raise AdaptlabError(f"{file} is not a file of records: {error}") from error


def published_file(profile: str, notebook: str) -> Path:
    """Where in data/results a notebook's records are, or would be.

    Raises AdaptlabError for an unknown profile.
    """
    return paths.results() / profiles.check(profile) / f"{notebook}.jsonl"


def published(profile: str, notebook: str) -> list[Record]:
    """The records in data/results. Raises AdaptlabError if none were published."""
    return read(published_file(profile, notebook))


def publish(profile: str, notebook: str) -> Path:
    """Copy a finished run's records into data/results; returns the new file.

    Raises AdaptlabError if there is no such run, or it was made by code that is not committed.
    """
    built = paths.build(profiles.check(profile)) / "records" / f"{notebook}.jsonl"
    origins = [record.provenance for record in read(built)]
    if any(made["uncommitted"] or not made["revision"] for made in origins):
        raise AdaptlabError(f"{built} was made by uncommitted code: commit, run again, publish")
    target = published_file(profile, notebook)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(built.read_bytes())
    return target


def items_hash(items: Sequence[str]) -> str:
    """A short hash of item ids in their order."""
    return hashlib.sha256("\n".join(items).encode()).hexdigest()[:16] if len(items) else ""


def provenance(notebook: str, runtime: Runtime) -> dict[str, Any]:
    """When, by which code, with which data and packages, on which machine."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **_revision(),
        "sources": sources.hashes(profiles.sources(notebook)),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": _device_name(runtime),
        "dtype": str(runtime.dtype).removeprefix("torch."),
        "threads": runtime.threads,
    }


@cache
def _revision() -> dict[str, Any]:
    """The git commit of the code, and whether what computes differs from it."""
    root = paths.checkout()
    if root is None:
        return {"revision": None, "uncommitted": False}
    try:
        revision = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "src", "notebooks", "pyproject.toml")
    except (OSError, subprocess.CalledProcessError):
        return {"revision": None, "uncommitted": False}
    return {"revision": revision, "uncommitted": bool(changed)}


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", root, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _device_name(runtime: Runtime) -> str:
    return torch.cuda.get_device_name() if runtime.device.type == "cuda" else "cpu"
