"""When a notebook must be run again: the fingerprint of everything its outcome depends on."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from adaptlab import paths, profiles
from adaptlab.course.imports import reachable
from adaptlab.course.masters import read, tags


def fingerprint(master: Path, profile: str, parameters: Mapping[str, Any]) -> str:
    """A hash of what a run of `master` in `profile` with these `parameters` depends on.

    That is: its cells and their tags, its budget, its parameters, its entries in sources.toml,
    the published full records it shows, and each file of this package that it can reach by
    import. Of profiles.toml and sources.toml only its own entries count, so that work on
    another notebook leaves it fresh. Library versions do not count: constraints.txt pins them.

    Raises AdaptlabError for a notebook without a budget and for an invalid one.
    """
    notebook = read(master)
    parts = {
        "cells": [[cell.cell_type, cell.source, tags(cell)] for cell in notebook.cells],
        "budget": dict(profiles.load(profile, master.stem)),
        "parameters": {"profile": profile, **parameters},
        "sources": _sources(master.stem),
        "published": _published(master.stem, profile),
        "files": _code(notebook),
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _sources(name: str) -> dict[str, Any]:
    """The notebook's entries in sources.toml; a missing one is the fetcher's to complain of."""
    file = paths.PACKAGE / "sources.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {source: table.get(source) for source in profiles.sources(name)}


def _published(name: str, profile: str) -> str:
    """The full results that the other profiles show beside their own; full does not read them."""
    return "" if profile == "full" else _digest(paths.results() / "full" / f"{name}.jsonl")


def _code(notebook: NotebookNode) -> dict[str, str]:
    """The hash of each file of the package that the notebook's code can reach."""
    cells = [_plain(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    files = reachable(cells, paths.PACKAGE)
    return {file.relative_to(paths.PACKAGE).as_posix(): _digest(file) for file in files}


def _plain(source: str) -> str:
    """The cell without the lines that only IPython understands."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
