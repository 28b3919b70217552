"""What is wrong with the masters, a line for each problem."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.validator import iter_validate

from adaptlab.course.masters import EXERCISE, assigned, masters, tagged, tags
from adaptlab.course.setup_cell import SETUP

LONGEST = 15  # lines of a code cell
BADGE = "https://colab.research.google.com/"


def lint(folder: Path | None = None) -> list[str]:
    """One line for each problem of each master in `folder`, by default the checkout's."""
    return [f"{path.name}{problem}" for path in masters(folder) for problem in problems(path)]


def problems(path: Path) -> Iterator[str]:
    """The problems of one notebook, each as ", cell N (first words): what is wrong"."""
    try:
        # The file as it is: nbformat.read would mend it while reading.
        raw = json.loads(path.read_text(encoding="utf-8"))
        notebook = nbformat.from_dict(raw)
        invalid = next(iter_validate(raw, version=4, version_minor=5), None)
    except ValueError as error:
        yield f": not a notebook: {error}"
        return
    if invalid:
        where = "".join(f"[{step!r}]" for step in list(invalid.absolute_path)[:3])
        yield f": invalid notebook: {invalid.message.splitlines()[0][:160]} {where}".rstrip()
        return
    for cell in notebook.cells:  # the tools behind these notebooks write either form
        cell.source = "".join(cell.source)
    if "widgets" in notebook.metadata:
        yield ": widget state is stored in its metadata"
    yield from _repeated_ids(notebook)
    yield from _head(notebook, path.name)
    yield from _frame(notebook)
    yield from _products(notebook)
    yield from _sequence(notebook)


def _at(notebook: NotebookNode, cell: NotebookNode, problem: str) -> str:
    number = next(n for n, other in enumerate(notebook.cells, start=1) if other is cell)
    first = " ".join(cell.source.split()[:6])
    return f", cell {number} ({first[:50]!r}): {problem}"


def _repeated_ids(notebook: NotebookNode) -> Iterator[str]:
    seen = set()
    for cell in notebook.cells:
        if cell.id in seen:
            yield _at(notebook, cell, f"the cell id {cell.id!r} is used twice")
        seen.add(cell.id)


def _head(notebook: NotebookNode, name: str) -> Iterator[str]:
    """The first cell must hold the title and this notebook's own way into Colab."""
    head = notebook.cells[0] if notebook.cells else None
    if head is None or head.cell_type != "markdown" or not head.source.startswith("# "):
        yield ": the first cell is not markdown with a title (# ...)"
    elif BADGE not in head.source:
        yield _at(notebook, head, "no Colab badge")
    elif f"notebooks/{name}" not in head.source:
        yield _at(notebook, head, "the Colab badge does not lead to this notebook")


def _frame(notebook: NotebookNode) -> Iterator[str]:
    """There must be one parameters cell, and one setup cell with the imports after it."""
    found = {tag: tagged(notebook, tag) for tag in ("parameters", "setup", "imports")}
    for tag, cells in found.items():
        if not cells:
            yield f": no cell is tagged {tag}"
        for cell in cells[1:]:
            yield _at(notebook, cell, f"a second {tag} cell")
    for cell in found["parameters"][:1]:
        yield from (_at(notebook, cell, problem) for problem in _parameter_problems(cell))
    for cell in found["setup"]:
        if cell.source != SETUP:
            yield _at(notebook, cell, "the setup cell differs from the course's")
        place = notebook.cells.index(cell) + 1
        if found["imports"] and notebook.cells[place : place + 1] != found["imports"][:1]:
            yield _at(notebook, cell, "the imports cell does not come right after it")


def _parameter_problems(cell: NotebookNode) -> Iterator[str]:
    try:
        statements = ast.parse(cell.source).body
    except SyntaxError as error:
        yield f"the parameters cell is not Python: {error.msg}"
        return
    names = [[target.id for target in assigned(statement)] for statement in statements]
    if not all(names):
        yield "the parameters cell holds more than plain assignments"
    if ["profile"] not in names:
        yield "the parameters cell does not set `profile`"


def _products(notebook: NotebookNode) -> Iterator[str]:
    """A master holds nothing that a run leaves behind, and no cell that fills a screen."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.outputs:
            yield _at(notebook, cell, "outputs are committed; clear them")
        if cell.execution_count is not None:
            yield _at(notebook, cell, "an execution count is committed; clear it")
        lines = len(cell.source.splitlines())
        if lines > LONGEST and not {"setup", "imports"} & set(tags(cell)):
            yield _at(notebook, cell, f"{lines} lines of code; at most {LONGEST} are read at once")


def _sequence(notebook: NotebookNode) -> Iterator[str]:
    """The cells of exercises come in fours: statement, stub, solution, check."""
    due = 0  # how many cells of the exercise at hand have come
    for cell in notebook.cells:
        tag = next((tag for tag in EXERCISE if tag in tags(cell)), None)
        if tag == EXERCISE[due]:
            yield from _form(notebook, cell, tag)
            due = (due + 1) % len(EXERCISE)
        elif tag or due:
            yield _at(notebook, cell, f"here an exercise's {EXERCISE[due]} cell is due")
            due = (EXERCISE.index(tag) + 1) % len(EXERCISE) if tag else 0
    if due:
        yield f": its last exercise has no {EXERCISE[due]} cell"


def _form(notebook: NotebookNode, cell: NotebookNode, tag: str) -> Iterator[str]:
    kind = "markdown" if tag == "exercise" else "code"
    if cell.cell_type != kind:
        yield _at(notebook, cell, f"an exercise's {tag} cell is {kind}")
    elif tag == "check" and not cell.source.startswith("with check("):
        yield _at(notebook, cell, 'a check cell begins with `with check("Exercise 1: ..."):`')
