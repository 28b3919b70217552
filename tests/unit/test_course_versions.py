"""The student's version holds no solution, the solved one no stub, and both are notebooks."""

import nbformat
import pytest
from course_fakes import code, exercise, notebook

from adaptlab.course import versions
from adaptlab.course.masters import tagged


@pytest.fixture
def executed():
    """A notebook with an exercise, as papermill leaves it."""
    node = notebook([code("print(1)"), *exercise()])
    node.cells.insert(2, code('# Parameters\nprofile = "smoke"\n', "injected-parameters"))
    for cell in node.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="said\n")]
            cell.execution_count = 1
    return node


def sources(node):
    return "\n".join(cell.source for cell in node.cells)


def test_student(executed):
    version = versions.student(executed)
    assert "return 2 * x" not in sources(version)
    assert "NotImplementedError" in sources(version)
    assert tagged(version, "check")[0].outputs == []
    assert version.cells[5].outputs, "what the rest printed stays"
    assert "return 2 * x" in sources(executed), "the original is as it was"


def test_solved(executed):
    version = versions.solved(executed)
    assert "return 2 * x" in sources(version)
    assert "NotImplementedError" not in sources(version)
    assert tagged(version, "check")[0].outputs


@pytest.mark.parametrize("form", [versions.student, versions.solved])
def test_clean(executed, form):
    executed.metadata.widgets = {}
    version = versions.clean(form(executed), {"profile": "gpu"})
    nbformat.validate(version)
    assert 'profile = "gpu"  # smoke, cpu, full or gpu\nseed = 0' in sources(version)
    assert not tagged(version, "injected-parameters")
    assert all(not cell.outputs for cell in version.cells if cell.cell_type == "code")
    kept = {tag for cell in version.cells for tag in cell.metadata.get("tags", [])}
    assert kept == {"parameters"}
    assert "widgets" not in version.metadata


def test_parameters_of_any_form():
    node = notebook()
    node.cells[1].source = 'profile: str = "cpu"\nnames = [\n    "é",\n    "b",\n]  # two\nseed = 0'
    version = versions.with_parameters(node, {"profile": "full", "names": ["c"], "seed": None})
    assert version.cells[1].source == "profile: str = \"full\"\nnames = ['c']  # two\nseed = None"
