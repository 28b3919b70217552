"""The masters as they are: in good form, with exercises that can be solved and are not yet."""

from collections.abc import Iterable
from typing import Any

import pytest
from nbformat import NotebookNode

from adaptlab.course import masters
from adaptlab.course.check import ExerciseFailed
from adaptlab.course.lint import lint, problems
from adaptlab.course.masters import Exercise, tagged
from adaptlab.course.setup_cell import SETUP

# A malformed master is lint's to report; the tests after it need good form.
NOTEBOOKS = [
    pytest.param(masters.read(path), id=path.stem)
    for path in masters.masters()
    if not list(problems(path))
]
EXERCISES = [
    pytest.param(notebook.values[0], exercise, id=f"{notebook.id}: {exercise.name}")
    for notebook in NOTEBOOKS
    for exercise in masters.exercises(notebook.values[0])
]


def test_lint_is_clean():
    assert lint() == []


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_setup_cell_is_the_course_s(notebook: NotebookNode):
    assert [cell.source for cell in tagged(notebook, "setup")] == [SETUP]


def ready(notebook: NotebookNode) -> dict[str, Any]:
    """The names an exercise may use: those of the parameters, setup and imports cells."""
    names: dict[str, Any] = {"__name__": "__main__"}
    head = [tagged(notebook, tag)[0] for tag in ("parameters", "setup", "imports")]
    return run(head, names)


def run(cells: Iterable[NotebookNode], names: dict[str, Any]) -> dict[str, Any]:
    for cell in cells:
        exec(compile(cell.source, f"<cell {cell.id}>", "exec"), names)
    return names


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ADAPTLAB_STRICT", "1")
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(("notebook", "exercise"), EXERCISES)
def test_the_stub_fails_its_check(notebook: NotebookNode, exercise: Exercise):
    names = run([exercise.stub], ready(notebook))
    with pytest.raises(ExerciseFailed):
        run([exercise.check], names)


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize(("notebook", "exercise"), EXERCISES)
def test_the_solution_passes_its_check(notebook: NotebookNode, exercise: Exercise):
    run([exercise.solution, exercise.check], ready(notebook))
