"""The master notebooks: which there are, which are meant, and what their cells are."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from adaptlab import paths
from adaptlab.errors import AdaptlabError, unknown

NAME = re.compile(r"\d\d_\w+\.ipynb")
EXERCISE = ("exercise", "stub", "solution", "check")  # the tags of an exercise's cells, in order


@dataclass(frozen=True)
class Exercise:
    """The four cells of one exercise."""

    statement: NotebookNode
    stub: NotebookNode
    solution: NotebookNode
    check: NotebookNode

    @cached_property
    def name(self) -> str:
        """The name that the check prints: "Exercise 1: softmax"."""
        named = re.search(r"""\bcheck\((["'])(.+?)\1\)""", self.check.source)
        return named[2] if named else self.statement.source.strip("# ").partition("\n")[0]


def masters(folder: Path | None = None) -> list[Path]:
    """All masters (NN_name.ipynb) in `folder`, by default the checkout's, in order."""
    folder = folder or paths.notebooks()
    return sorted(path for path in folder.glob("*.ipynb") if NAME.fullmatch(path.name))


def select(only: str | Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """The masters that `only` names by number or name ("00 07", ["7", "00_tour"]); none: all.

    They come in the course's order, each once. Raises AdaptlabError for an unknown one.
    """
    known = {path.stem: path for path in masters(folder)}
    words = only.split() if isinstance(only, str) else [w for item in only for w in item.split()]
    if not words:
        return list(known.values())
    wanted = {_resolve(word, list(known)) for word in words}
    return [path for name, path in known.items() if name in wanted]


def _resolve(word: str, names: list[str]) -> str:
    stem = word.removesuffix(".ipynb")
    number = f"{int(stem):02d}_" if stem.isdecimal() else None
    for name in names:
        if name == stem or (number and name.startswith(number)):
            return name
    raise unknown("notebook", word, names)


def read(path: Path) -> NotebookNode:
    """The notebook at `path`. Raises AdaptlabError where the file is none."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has no common base for what a broken file raises
        reason = " ".join(str(error).split())[:200]
        raise AdaptlabError(f"{path.name} is not a valid notebook: {reason}") from error


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """The cells that carry `tag`, in order."""
    return [cell for cell in notebook.cells if tag in tags(cell)]


def exercises(notebook: NotebookNode) -> list[Exercise]:
    """The exercises of a well-formed master, in order (`lint` says what is malformed)."""
    columns = [tagged(notebook, tag) for tag in EXERCISE]
    return [Exercise(*cells) for cells in zip(*columns, strict=True)]


def parameters(notebook: NotebookNode) -> list[str]:
    """The names that the notebook lets its caller set: those its parameters cell assigns.

    Raises AdaptlabError where that cell is not Python.
    """
    source = "\n".join(cell.source for cell in tagged(notebook, "parameters"))
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise AdaptlabError(f"a parameters cell is not Python: {error.msg}") from error
    return [target.id for statement in statements for target in assigned(statement)]


def assigned(statement: ast.stmt) -> list[ast.Name]:
    """The plain names that an assignment sets; none for any other statement."""
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [target for target in targets if isinstance(target, ast.Name)]
