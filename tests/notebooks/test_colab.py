"""A notebook on its own, as Colab has it: torch is there, the package comes from a git address."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from adaptlab import paths
from adaptlab.course import masters, versions
from adaptlab.course.setup_cell import SETUP, URL

TORCH = version("torch").partition("+")[0]
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3", timeout=1500).execute()
nbformat.write(notebook, sys.argv[1])
"""
STATE = """
import json
from importlib.metadata import distribution, distributions
def state(name):
    record = distribution(name).locate_file(distribution(name)._path / "RECORD")
    return [distribution(name).version, str(record), record.stat().st_mtime_ns]
installed = {d.name for d in distributions()}
print(json.dumps({n: state(n) if n in installed else None for n in ("torch", "numpy", "adaptlab")}))
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command prints, in an environment in which this checkout cannot be imported."""
    kept = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command[:4]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository that holds the files of this checkout as they are now."""
    checkout = paths.checkout()
    if checkout is None or shutil.which("git") is None or not (checkout / ".git").exists():
        pytest.skip("not in a git checkout")
    folder = tmp_path_factory.mktemp("repository")
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=checkout).splitlines()
    for name in listed:
        if (checkout / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, folder / name)
    run("git", "init", "-q", cwd=folder)
    run("git", "add", "-A", cwd=folder)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run("git", *author, "commit", "-qm", "the checkout", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with torch and a kernel, and without adaptlab."""
    folder = tmp_path_factory.mktemp("colab")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    needed = [f"torch=={TORCH}", "numpy", "ipykernel", "nbclient", "nbformat"]
    run(python, "-m", "pip", "install", "-q", *needed, cwd=folder)
    return python


def notebook() -> NotebookNode:
    """The first notebook in smoke; before there is one, the setup cell and a look around."""
    if found := masters.masters()[:1]:
        return versions.with_parameters(masters.read(found[0]), {"profile": "smoke"})
    return new_notebook(cells=[new_code_cell(SETUP), new_code_cell("import adaptlab")])


@pytest.mark.slow
@pytest.mark.model
def test_a_notebook_alone(repository: Path, python: Path, tmp_path: Path):
    alone = tmp_path / "notebook.ipynb"
    text = nbformat.writes(notebook())
    assert text.count(URL) == 1
    alone.write_text(text.replace(URL, f"git+file://{repository}"))
    before = json.loads(run(python, "-c", STATE, cwd=tmp_path))
    assert before["adaptlab"] is None
    environment = {
        "ADAPTLAB_CACHE": str(paths.cache()),
        "ADAPTLAB_STRICT": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not the user's
    }
    run(python, "-c", EXECUTE, alone, cwd=tmp_path, **environment)
    after = json.loads(run(python, "-c", STATE, cwd=tmp_path))
    assert after.pop("adaptlab") is not None
    assert after == {name: before[name] for name in after}, "torch and numpy are as they were"
    executed = nbformat.read(alone, as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code), "each cell ran"
