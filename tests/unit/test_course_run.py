"""The runner: what it runs, what it skips, and what is left after a failure, a kill, Ctrl-C."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import nbformat
import psutil
import pytest
from course_fakes import master
from filelock import FileLock

from adaptlab import paths, profiles
from adaptlab.course.ledger import Ledger
from adaptlab.course.run import run_course
from adaptlab.errors import AdaptlabError

NAMES = ("00_one", "01_two", "02_three")
LOG = 'with open("log", "a") as log:\n    log.write("{} " + profile + " " + str(seed) + "\\n")'
SCRIPT = """
import sys
from pathlib import Path
from adaptlab import profiles
from adaptlab.course.run import run_course
profiles._tables = lambda: {name: {} for name in %r}
sys.exit(run_course("smoke", folder=Path(sys.argv[1]), out=Path(sys.argv[2])))
"""


class Course:
    """A folder of masters that log their runs, and a folder for what comes out."""

    def __init__(self, tmp_path):
        self.folder, self.out = tmp_path / "notebooks", tmp_path / "build"

    def master(self, name, *sources):
        return master(self.folder, name, LOG.format(name), *sources)

    def run(self, profile="smoke", **options):
        return run_course(profile, folder=self.folder, out=self.out, **options)

    def start(self):
        """The runner in a process of its own."""
        arguments = [sys.executable, "-c", SCRIPT % (NAMES,), str(self.folder), str(self.out)]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(arguments, preexec_fn=hear_ctrl_c, **output)

    @property
    def log(self):
        """Which notebooks were executed so far, in order."""
        return [line.split()[0] for line in (self.folder / "log").read_text().splitlines()]

    def entry(self, name):
        return json.loads((self.out / "run.json").read_text())[name]


def hear_ctrl_c() -> None:
    """A test run in the background of a shell ignores it, and so would the runner it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "_tables", lambda: {name: {} for name in NAMES})
    return Course(tmp_path)


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.05)


def ended(pid):
    """Whether the process `pid` ends within ten seconds."""
    try:
        psutil.Process(pid).wait(timeout=10)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_a_run_and_its_record(course, capsys):
    course.master("00_one", "import sys\nprint(sys.executable)\nblock = bytearray(300_000_000)")
    assert course.run() == 0
    entry = course.entry("00_one")
    assert entry["status"] == "ok"
    assert entry["cells"] == 6
    assert entry["seconds"] > 0
    assert entry["error"] is None
    assert entry["started"].endswith("+00:00")
    executed = nbformat.read(course.out / "00_one.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text.strip() == sys.executable
    assert executed.metadata.papermill.parameters.profile == "smoke"
    assert "00_one" in capsys.readouterr().out


def test_no_socket_is_left_open(course):
    """A warning of the collector would hit whichever test happens to run then."""
    course.master("00_one", "raise ValueError('an error must not keep it open either')")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        course.run()
        gc.collect()
    assert not [str(warning.message) for warning in seen if "socket" in str(warning.message)]


def test_peak_memory_counts_what_the_cells_hold(course):
    hold = "block = bytearray(b'1' * 400_000_000)\nimport time\ntime.sleep(1)"
    course.master("00_one", hold)
    course.run()
    assert course.entry("00_one")["peak_bytes"] > 400_000_000


def test_up_to_date_executes_nothing(course, capsys):
    course.master("00_one")
    course.run()
    capsys.readouterr()
    assert course.run() == 0
    assert course.log == ["00_one"]
    assert "up to date" in capsys.readouterr().out
    course.run(force=True)
    assert course.log == ["00_one"] * 2


def test_what_makes_a_notebook_run_again(course):
    course.master("00_one")
    course.run()
    course.run(parameters={"seed": 1})
    assert course.log == ["00_one"] * 2
    (course.out / "00_one.ipynb").unlink()
    course.run(parameters={"seed": 1})
    assert course.log == ["00_one"] * 3
    course.master("00_one", "changed = True")
    course.run(parameters={"seed": 1})
    assert course.log == ["00_one"] * 4


def test_reachable_source_runs_again_and_another_does_not(course, tmp_path, monkeypatch):
    package = tmp_path / "adaptlab"
    package.mkdir()
    for name in ("__init__", "near", "far"):
        (package / f"{name}.py").write_text("")
    monkeypatch.setattr(paths, "PACKAGE", package)
    course.master("00_one", "if False:\n    import adaptlab.near")
    course.run()
    (package / "far.py").write_text("x = 1")
    course.run()
    assert course.log == ["00_one"]
    (package / "near.py").write_text("x = 1")
    course.run()
    assert course.log == ["00_one"] * 2


def test_a_failing_notebook_is_named_and_the_rest_run(course, capsys):
    course.master("00_one", "answer = 42\nraise ValueError('too\\nbad')")
    course.master("01_two")
    assert course.run() == 1
    said = capsys.readouterr().out
    assert "00_one" in said
    assert "cell 6 (answer = 42): ValueError: too bad" in said
    assert course.log == ["00_one", "01_two"]
    assert [course.entry(name)["status"] for name in NAMES[:2]] == ["failed", "ok"]
    assert "ValueError: too bad" in course.entry("00_one")["error"]
    assert (course.out / "00_one.failed.ipynb").is_file()
    assert not (course.out / "00_one.ipynb").exists()
    course.master("00_one")
    assert course.run() == 0
    assert course.log == ["00_one", "01_two", "00_one"]
    assert not (course.out / "00_one.failed.ipynb").exists()


def test_a_wrong_exercise_fails_the_run(course, capsys):
    wrong = (
        'from adaptlab.course.check import check\nwith check("Exercise 1: x"):\n    assert 0, "no"'
    )
    course.master("00_one", wrong)
    assert course.run() == 1
    assert "ExerciseFailed: Exercise 1: x: no" in capsys.readouterr().out


def test_a_dying_kernel_is_a_failure_like_another(course, capsys):
    course.master("00_one", "import os\nos._exit(9)")
    course.master("01_two")
    assert course.run() == 1
    assert "cell 6 (import os): DeadKernelError" in capsys.readouterr().out
    assert course.log == ["00_one", "01_two"]


def test_only_some(course):
    for name in NAMES:
        course.master(name)
    course.run(only="2 00")
    assert course.log == ["00_one", "02_three"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "cpus"}, "unknown profile 'cpus'"),
        ({"only": "05"}, "unknown notebook '05'"),
        ({"parameters": {"profile": "cpu"}}, "the profile is no parameter"),
        ({"parameters": {"sead": 1}}, "unknown parameter of 00_one 'sead'; did you mean seed"),
    ],
)
def test_refused_before_anything_runs(course, options, said):
    course.master("00_one")
    with pytest.raises(AdaptlabError, match=said):
        course.run(**options)
    assert not (course.folder / "log").exists()


def test_a_folder_that_cannot_be_written(course):
    course.master("00_one")
    course.out.write_text("a file where the folder should be")
    with pytest.raises(AdaptlabError, match="cannot write in"):
        course.run()


def test_two_runners_do_not_meet(course):
    course.master("00_one")
    course.out.mkdir()
    with FileLock(course.out / ".run.lock"), pytest.raises(AdaptlabError, match="another run"):
        course.run()
    assert course.run() == 0


def test_killed_then_only_the_unfinished_one_runs(course):
    course.master("00_one")
    slow = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))"
    wait = "while not pathlib.Path('go').exists():\n    time.sleep(0.1)"
    course.master("01_two", slow, wait)
    runner = course.start()
    wait_for(course.folder / "pid")
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    assert ended(int((course.folder / "pid").read_text())), "the kernel outlived its runner"
    assert {path.name for path in course.out.glob("*.ipynb") if path.name[0] != "."} == {
        "00_one.ipynb"
    }
    (course.folder / "go").touch()
    assert course.run() == 0
    assert course.log == ["00_one", "01_two", "01_two"]
    assert not list(course.out.glob(".*.part*"))


def test_ctrl_c_shuts_the_kernel_down(course):
    course.master("00_one")
    slow = (
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(99)"
    )
    course.master("01_two", slow)
    runner = course.start()
    wait_for(course.folder / "pid")
    runner.send_signal(signal.SIGINT)
    said, _ = runner.communicate(timeout=30)
    assert runner.returncode == 130, said
    assert b"interrupted" in said
    assert b"Traceback" not in said
    assert ended(int((course.folder / "pid").read_text()))
    assert Ledger(course.out).get("00_one").status == "ok"
    assert Ledger(course.out).get("01_two") is None


def test_a_torn_ledger_means_nothing_is_known(tmp_path):
    (tmp_path / "run.json").write_text('{"00_one": {"status"')
    assert Ledger(tmp_path).get("00_one") is None
