"""Tiny masters for the tests of the course: whole in form, done in a second."""

import json
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from adaptlab.course.setup_cell import SETUP

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
LINK = "https://colab.research.google.com/github/x/y/blob/main/notebooks/00_tour.ipynb"
TITLE = f"# A tiny notebook\n\n[![Open in Colab]({BADGE})]({LINK})"


def code(source: str, *tags: str) -> NotebookNode:
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def text(source: str, *tags: str) -> NotebookNode:
    return new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})


def exercise() -> list[NotebookNode]:
    return [
        text("### Exercise 1: double\n\nDouble a number.", "exercise"),
        code("def double(x):\n    raise NotImplementedError", "stub"),
        code("def double(x):\n    return 2 * x", "solution"),
        code('with check("Exercise 1: double"):\n    assert double(2) == 4, "2 + 2"', "check"),
    ]


def notebook(cells: Sequence[NotebookNode] = (), imports: str = "import math") -> NotebookNode:
    """A master with title, parameters, setup and imports, and then `cells`."""
    head = [
        text(TITLE),
        code('profile = "cpu"  # smoke, cpu, full or gpu\nseed = 0', "parameters"),
        code(SETUP, "setup"),
        code(imports, "imports"),
    ]
    return new_notebook(cells=[*head, *cells])


def save(node: NotebookNode, path: Path) -> Path:
    """`node` at `path` as it is (nbformat would mend it), in a folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(node, indent=1) + "\n", encoding="utf-8")
    return path


def master(folder: Path, name: str, *sources: str) -> Path:
    """A master called `name` with these code cells."""
    return save(notebook([code(source) for source in sources]), folder / f"{name}.ipynb")
