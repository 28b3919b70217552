"""Masters are found by number and name, and lint sees each thing that can be wrong with one."""

import json

import nbformat
import pytest
from course_fakes import code, exercise, master, notebook, save, text

from adaptlab.course import masters
from adaptlab.course.lint import lint
from adaptlab.errors import AdaptlabError


@pytest.fixture
def folder(tmp_path):
    for name in ("07_lora", "00_tour", "01_prompting"):
        master(tmp_path, name)
    (tmp_path / "scratch.ipynb").write_text("{}")
    return tmp_path


def names(paths):
    return [path.stem for path in paths]


def test_all_in_order(folder):
    assert names(masters.select((), folder)) == ["00_tour", "01_prompting", "07_lora"]


@pytest.mark.parametrize("only", ["07 00", ["7", "0"], ["07_lora", "00_tour.ipynb"], ["7 0 07"]])
def test_selection_by_number_or_name(folder, only):
    assert names(masters.select(only, folder)) == ["00_tour", "07_lora"]


@pytest.mark.parametrize("only", ["09", "00_tor", "scratch"])
def test_unknown_notebook(folder, only):
    with pytest.raises(AdaptlabError, match=f"unknown notebook '{only}'"):
        masters.select(only, folder)


def test_a_near_name_is_suggested(folder):
    with pytest.raises(AdaptlabError, match="did you mean 00_tour"):
        masters.select("00_tor", folder)


def test_exercises_and_parameters():
    node = notebook(exercise())
    assert [found.name for found in masters.exercises(node)] == ["Exercise 1: double"]
    assert masters.parameters(node) == ["profile", "seed"]


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "00_tour.ipynb").write_text("{")
    with pytest.raises(AdaptlabError, match=r"00_tour\.ipynb is not a valid notebook"):
        masters.read(tmp_path / "00_tour.ipynb")


def found(tmp_path, node):
    """What lint says about `node`."""
    save(node, tmp_path / "00_tour.ipynb")
    return lint(tmp_path)


def test_a_good_master_is_clean(tmp_path):
    assert found(tmp_path, notebook([text("## Run"), code("1 + 1"), *exercise()])) == []


def output(node):
    node.cells[4].outputs = [nbformat.v4.new_output("stream", text="5 seconds")]


def count(node):
    node.cells[4].execution_count = 3


def widgets(node):
    node.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {}}


def no_parameters(node):
    del node.cells[1]


def two_parameters(node):
    node.cells.append(code("n = 1", "parameters"))


def no_profile(node):
    node.cells[1].source = "seed = 0"


def busy_parameters(node):
    node.cells[1].source = 'profile = "cpu"\nprint(profile)'


def other_setup(node):
    node.cells[2].source += "\n"


def imports_elsewhere(node):
    node.cells.insert(3, text("Between."))


def long_cell(node):
    node.cells[4].source = "x = 1\n" * 16


def no_title(node):
    node.cells[0].source = "## Second level"


def no_badge(node):
    node.cells[0].source = "# A title"


def other_badge(node):
    node.cells[0].source = node.cells[0].source.replace("00_tour", "07_lora")


def no_solution(node):
    node.cells[7:8] = []


def disorder(node):
    node.cells[6], node.cells[7] = node.cells[7], node.cells[6]


def unfinished(node):
    del node.cells[8]


def bare_check(node):
    node.cells[8].source = "assert double(2) == 4"


def same_id(node):
    node.cells[4].id = node.cells[0].id


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (output, "cell 5 ('total = 1'): outputs are committed"),
        (count, "cell 5 ('total = 1'): an execution count"),
        (widgets, "widget state"),
        (no_parameters, "no cell is tagged parameters"),
        (two_parameters, "cell 10 ('n = 1'): a second parameters cell"),
        (no_profile, "does not set `profile`"),
        (busy_parameters, "more than plain assignments"),
        (other_setup, "setup cell differs"),
        (imports_elsewhere, "imports cell does not come right after"),
        (long_cell, "16 lines of code"),
        (no_title, "not markdown with a title"),
        (no_badge, "no Colab badge"),
        (other_badge, "does not lead to this notebook"),
        (no_solution, "an exercise's solution cell is due"),
        (disorder, "an exercise's stub cell is due"),
        (unfinished, "its last exercise has no check cell"),
        (bare_check, "a check cell begins with"),
        (same_id, "used twice"),
    ],
)
def test_each_defect_is_found(tmp_path, plant, said):
    node = notebook([code("total = 1"), *exercise()])
    plant(node)
    problems = found(tmp_path, node)
    assert any(said in problem for problem in problems), problems
    assert all(problem.startswith("00_tour.ipynb") for problem in problems)


def test_missing_cell_ids(tmp_path):
    path = master(tmp_path, "00_tour")
    raw = json.loads(path.read_text())
    del raw["cells"][1]["id"]
    path.write_text(json.dumps(raw))
    (problem,) = lint(tmp_path)
    assert "invalid notebook" in problem
    assert "'id'" in problem


def test_not_json(tmp_path):
    (tmp_path / "00_tour.ipynb").write_text("<<<<<<< HEAD")
    (problem,) = lint(tmp_path)
    assert "not a notebook" in problem
