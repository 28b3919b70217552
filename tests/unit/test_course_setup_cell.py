"""The setup cell: nothing where the package is there, pins and one clear line where it is not."""

import importlib.util
import subprocess
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptlab.course.setup_cell import SETUP, URL

TOO_OLD = "ERROR: Package 'adaptlab' requires a different Python: 3.10.6 not in '>=3.11'\n"
NO_NETWORK = (
    "error: subprocess-exited-with-error\n   fatal: unable to access 'https://x'\nnote: y\n"
)


@pytest.fixture
def pip(monkeypatch):
    """Makes adaptlab look absent, and records the command that would install it."""
    real, call = importlib.util.find_spec, SimpleNamespace(command=None, returncode=0, stderr="")

    def run(command, **options):
        call.command = command
        return call

    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "adaptlab" else real(name)
    )
    monkeypatch.setattr(subprocess, "run", run)
    return call


def test_the_address_stands_in_it_once():
    assert SETUP.count(URL) == 1
    assert SETUP.count("git+") == 1


def test_nothing_happens_where_the_package_is(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    exec(SETUP, {})


def test_what_the_kernel_holds_is_pinned(pip):
    exec(SETUP, {})
    assert pip.command[-1] == URL
    pins = Path(pip.command[pip.command.index("-c") + 1]).read_text().split("\n")
    assert f"torch=={version('torch')}" in pins
    assert f"numpy=={version('numpy')}" in pins


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (TOO_OLD, "requires a different Python: 3.10.6 not in '>=3.11'"),
        (NO_NETWORK, "fatal: unable to access 'https://x'"),
        ("pip is gone", "pip is gone"),
    ],
)
def test_a_failure_is_said_in_one_line(pip, stderr, said):
    pip.returncode, pip.stderr = 1, stderr
    with pytest.raises(SystemExit) as stop:
        exec(SETUP, {})
    assert str(stop.value).startswith("adaptlab could not be installed: ")
    assert str(stop.value).endswith(said)
    assert "\n" not in str(stop.value)
