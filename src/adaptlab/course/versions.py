"""The two versions of a notebook: the student's, to be worked on, and the solved one."""

import ast
import copy
import json
from collections.abc import Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

from adaptlab.course.masters import EXERCISE, assigned, tagged, tags

BUILDING = {*EXERCISE, "setup", "imports"}  # tags that say something to this package only


def student(notebook: NotebookNode) -> NotebookNode:
    """A copy without solutions, and without what the checks printed about them."""
    version = _without(notebook, "solution")
    for cell in tagged(version, "check"):
        cell.outputs, cell.execution_count = [], None
    return version


def solved(notebook: NotebookNode) -> NotebookNode:
    """A copy in which each stub has made way for the solution."""
    return _without(notebook, "stub")


def clean(notebook: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """A copy to be opened and run: no outputs, none of our tags, and `values` as parameters."""
    version = with_parameters(notebook, values)
    for cell in version.cells:
        if kept := [tag for tag in tags(cell) if tag not in BUILDING]:
            cell.metadata["tags"] = kept
        else:
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    version.metadata.pop("widgets", None)
    nbformat.validate(version)
    return version


def with_parameters(notebook: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """A copy whose parameters cell assigns `values`; papermill's cell, if any, is left out."""
    version = _without(notebook, "injected-parameters")
    for cell in tagged(version, "parameters"):
        cell.source = _assign(cell.source, values)
    return version


def _without(notebook: NotebookNode, tag: str) -> NotebookNode:
    version = copy.deepcopy(notebook)
    version.cells = [cell for cell in version.cells if tag not in tags(cell)]
    return version


def _assign(source: str, values: Mapping[str, Any]) -> str:
    """`source` with the right-hand sides of its assignments replaced, its comments kept."""
    lines = source.encode().splitlines()  # ast counts columns in bytes
    for statement in reversed(ast.parse(source).body):
        names = [target.id for target in assigned(statement)]
        if len(names) == 1 and names[0] in values and statement.value:
            start, stop = statement.value.lineno - 1, statement.value.end_lineno
            before = lines[start][: statement.value.col_offset]
            after = lines[stop - 1][statement.value.end_col_offset :]
            lines[start:stop] = [before + _literal(values[names[0]]).encode() + after]
    return b"\n".join(lines).decode()


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
