"""Run the course: each master that is not up to date, in order, as often as it is killed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from adaptlab import paths, profiles
from adaptlab.course import masters
from adaptlab.course.freshness import fingerprint
from adaptlab.course.ledger import Entry, Ledger
from adaptlab.course.progress import Progress, duration
from adaptlab.errors import AdaptlabError, unknown

INTERRUPTED = 130  # the exit code of a program ended by Ctrl-C


def run_course(
    profile: str,
    only: str | Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
    folder: Path | None = None,
    out: Path | None = None,
) -> int:
    """Execute the masters of `folder` that `only` names into `out`; the exit code: 0, 1, 130.

    A notebook is skipped where its last run went well and nothing it depends on has changed
    since, unless `force`. One that fails is named, and the rest still run. `parameters` are set
    in every chosen notebook. Defaults: the checkout's notebooks, all of them, build/PROFILE.

    Raises AdaptlabError, before anything runs, for an unknown profile, notebook or parameter,
    where another run in this profile is under way, and where `out` cannot be written.
    """
    profiles.check(profile)
    chosen = masters.select(only, folder)
    given = dict(parameters or {})
    _refuse_unknown(profile, given, chosen)
    out = (out or paths.build(profile)).absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _alone(out, profile):
            return _run_all(chosen, profile, given, force, out)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what was done stays done in {_shown(out)}")
        return INTERRUPTED
    except OSError as error:
        raise AdaptlabError(f"cannot write in {out}: {error.strerror or error}") from error


def _refuse_unknown(profile: str, given: Mapping[str, Any], chosen: Sequence[Path]) -> None:
    """Papermill would only warn, and run for an hour with a misspelt parameter unset."""
    if "profile" in given:
        raise AdaptlabError("the profile is no parameter of a run: its results lie by profile")
    for master in chosen:
        profiles.load(profile, master.stem)
        declared = masters.parameters(masters.read(master))
        for name in ["profile", *given]:
            if name not in declared:
                raise unknown(f"parameter of {master.stem}", name, declared)


@contextmanager
def _alone(out: Path, profile: str) -> Iterator[None]:
    """Hold the profile's lock, which the system frees even when this process is killed."""
    lock = FileLock(out / ".run.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AdaptlabError(f"another run of profile {profile} is at work in {out}") from None
    try:
        yield
    finally:
        lock.release()


def _run_all(
    chosen: Sequence[Path], profile: str, given: Mapping[str, Any], force: bool, out: Path
) -> int:
    for leftover in out.glob(".*.part*"):  # of a run that was killed
        leftover.unlink()
    ledger, progress = Ledger(out), Progress()
    counts = {"ok": 0, "failed": 0, "up to date": 0}
    for master in chosen:
        mark = fingerprint(master, profile, given)
        if not force and _up_to_date(ledger, master.stem, mark, out):
            progress.end(f"{master.stem:<28} up to date")
            counts["up to date"] += 1
            continue
        entry = _run_one(master, {"profile": profile, **given}, mark, out, progress)
        ledger.put(master.stem, entry)
        counts[entry.status] += 1
        progress.end(_result(master.stem, entry))
    tally = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    progress.end(f"{_shown(out)}: {tally or 'no notebooks'}")
    return 1 if counts["failed"] else 0


def _up_to_date(ledger: Ledger, name: str, mark: str, out: Path) -> bool:
    entry = ledger.get(name)
    fresh = entry is not None and entry.status == "ok" and entry.fingerprint == mark
    return fresh and (out / f"{name}.ipynb").is_file()


def _run_one(
    master: Path, parameters: Mapping[str, Any], mark: str, out: Path, progress: Progress
) -> Entry:
    from adaptlab.course.execute import execute  # papermill is slow to load: only when needed

    started = datetime.now(UTC)
    cells = len(masters.read(master).cells)
    progress.begin(master.stem, cells)
    target = out / master.name
    outcome = execute(master, target, parameters, progress.step, progress.tick)
    return Entry(
        status="failed" if outcome.error else "ok",
        seconds=round(outcome.seconds, 2),
        peak_bytes=outcome.peak_bytes,
        cells=cells,
        fingerprint=mark,
        started=started.isoformat(timespec="seconds"),
        error=outcome.error,
    )


def _result(name: str, entry: Entry) -> str:
    if entry.error:
        return f"{name:<28} FAILED at {entry.error}"
    memory = f"{entry.peak_bytes / 1e9:.1f} GB"
    return f"{name:<28} ok  {entry.cells} cells  {duration(entry.seconds)}  peak {memory}"


def _shown(path: Path) -> str:
    """`path` from here, where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
