"""What a student is told about an exercise, and what the course's own runs make of a failure."""

import linecache
import subprocess
import sys

import pytest

from adaptlab.course.check import ExerciseFailed, check


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setenv("ADAPTLAB_STRICT", "1")


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.delenv("ADAPTLAB_STRICT", raising=False)


def say(capsys, error: Exception | None) -> str:
    with check("Exercise 1: softmax"):
        if error:
            raise error
    return capsys.readouterr().out


@pytest.mark.usefixtures("lenient")
class TestStudent:
    def test_right(self, capsys):
        assert say(capsys, None) == "Exercise 1: right.\n"

    def test_assert_with_message(self, capsys):
        said = say(capsys, AssertionError("the sum\nis 2, not 1"))
        assert said == "Exercise 1: not yet: the sum is 2, not 1\n"

    def test_assert_without_message_shows_what_does_not_hold(self, capsys):
        cell = 'with check("Exercise 2: sums"):\n    assert sum([1, 1]) == 3\n'
        linecache.cache["<cell>"] = (len(cell), None, cell.splitlines(True), "<cell>")
        exec(compile(cell, "<cell>", "exec"), {"check": check})
        assert "does not hold: sum([1, 1]) == 3" in capsys.readouterr().out

    def test_unwritten_stub(self, capsys):
        assert say(capsys, NotImplementedError()).endswith("this is still to be written\n")

    def test_any_other_error_names_its_kind_and_line(self, capsys):
        said = say(capsys, ValueError("bad shape"))
        assert "ValueError: bad shape (at: raise error)" in said

    def test_one_line_however_long_the_message(self, capsys):
        said = say(capsys, ValueError("x\n" * 1000))
        assert said.count("\n") == 1
        assert len(said) < 300

    def test_an_interrupt_is_not_swallowed(self):
        with pytest.raises(KeyboardInterrupt), check("Exercise 1: stop"):
            raise KeyboardInterrupt


@pytest.mark.usefixtures("strict")
class TestStrict:
    def test_right(self, capsys):
        assert say(capsys, None) == "Exercise 1: right.\n"

    @pytest.mark.parametrize("error", [AssertionError("no"), NotImplementedError(), KeyError("k")])
    def test_failure_is_an_error(self, error):
        with (
            pytest.raises(ExerciseFailed, match="Exercise 1: softmax: "),
            check("Exercise 1: softmax"),
        ):
            raise error


def test_it_needs_nothing_beyond_the_standard_library():
    found = "import sys, adaptlab.course.check; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", found], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"nbformat", "papermill", "nbconvert", "torch"} & set(loaded)
