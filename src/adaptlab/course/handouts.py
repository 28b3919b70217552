"""Handouts: each executed notebook as pages that open offline, and as notebooks to work in."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from adaptlab import paths, profiles
from adaptlab.course import masters, versions

HERE = Path(__file__).parent
FORMS: dict[str, Callable[[NotebookNode], NotebookNode]] = {
    "student": versions.student,
    "solved": versions.solved,
}


def write_handouts(
    profile: str,
    only: str | Sequence[str] = (),
    folder: Path | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Write what is missing or out of date for each executed notebook; the files written.

    For NN_name.ipynb in `out` (build/PROFILE) they are the pages NN_name.html, without the
    solutions, and NN_name.solved.html, and the notebooks NN_name.student.ipynb and
    NN_name.solved.ipynb, clean and set to this profile.

    Raises AdaptlabError for an unknown profile or notebook, and for a formula that cannot be
    typeset.
    """
    profiles.check(profile)
    out = out or paths.build(profile)
    return [
        path
        for master in masters.select(only, folder)
        if (out / master.name).is_file()
        for path in _write(master, out / master.name, profile)
    ]


def _write(master: Path, executed: Path, profile: str) -> list[Path]:
    written = []
    for form, version in FORMS.items():
        page = executed.with_suffix(".html" if form == "student" else f".{form}.html")
        if _stale(page, [executed, *_makers()]):
            _replace(page, _page(version(masters.read(executed)), form, profile, master))
            written.append(page)
        notebook = executed.with_suffix(f".{form}.ipynb")
        if _stale(notebook, [master, executed, *_makers()]):
            working = versions.clean(version(masters.read(master)), {"profile": profile})
            _replace(notebook, nbformat.writes(working) + "\n")
            written.append(notebook)
    return written


def _makers() -> list[Path]:
    """The files of this package that shape a handout."""
    code = [
        HERE / f"{name}.py" for name in ("handouts", "fragments", "render", "typeset", "versions")
    ]
    return [*code, *(HERE / "template").iterdir()]


def _stale(product: Path, inputs: Sequence[Path]) -> bool:
    return not product.is_file() or product.stat().st_mtime <= max(
        path.stat().st_mtime for path in inputs
    )


def _replace(path: Path, text: str) -> None:
    """Write `path` whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def _page(notebook: NotebookNode, form: str, profile: str, master: Path) -> str:
    from adaptlab.course import render  # nbconvert is slow to load: only when there is work

    return render.page(notebook, form, profile, master)
