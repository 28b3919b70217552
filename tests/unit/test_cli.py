"""The command line: a mistake is one line on stderr and exit code 2, never a traceback."""

import subprocess
import sys

import pytest

from adaptlab import paths
from adaptlab.__main__ import _value, main

MISTAKES = {
    "fetch movie-review": "unknown source 'movie-review'; did you mean movie-reviews?",
    "run --profile smokee": "unknown profile 'smokee'; did you mean smoke?",
    "run --only 77": "unknown notebook '77'",
    "handouts --only 00_tuor": "unknown notebook '00_tuor'; did you mean 00_tour",
    "run --profile smoke -p sed 3": "sed",
    "publish --profile gpu 00_tour": "no records at",
}


@pytest.mark.parametrize(("command", "message"), MISTAKES.items())
def test_a_mistake_is_one_line(command, message, capsys):
    assert main(command.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("adaptlab: ")
    assert message in said
    assert said.count("\n") == 1


def test_an_unwritable_cache_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path / "file"))
    assert main(["fetch"]) == 2
    assert "cannot create the cache" in capsys.readouterr().err


def test_list_says_what_is_here(capsys):
    assert main(["list"]) == 0
    assert "movie-reviews            here" in capsys.readouterr().out


def test_lint_names_the_cell_with_outputs(tmp_path, monkeypatch, capsys):
    master = (paths.notebooks() / "00_tour.ipynb").read_text()
    (tmp_path / "00_tour.ipynb").write_text(
        master.replace('"execution_count": null', '"execution_count": 7', 1)
    )
    monkeypatch.setattr(paths, "notebooks", lambda: tmp_path)
    assert main(["lint"]) == 1
    assert "00_tour.ipynb, cell 2" in capsys.readouterr().out


def test_parameters_are_python_literals_or_text():
    assert [_value(text) for text in ("3", "1e-3", "[1, 2]", "smoke")] == [3, 1e-3, [1, 2], "smoke"]


def test_make_refuses_a_python_that_is_too_old(tmp_path):
    """A stand-in interpreter that says it is 3.9, as `python3` may be on an old machine."""
    old = tmp_path / "python3"
    pretend = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{pretend}" "$2"\n')
    old.chmod(0o755)
    make = ["make", "-s", "setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(make, cwd=paths.checkout(), capture_output=True, text=True)
    assert done.returncode != 0
    assert "adaptlab: Python 3.11 to 3.13 is needed, this is 3.9" in done.stderr
    assert not (tmp_path / "venv").exists()
