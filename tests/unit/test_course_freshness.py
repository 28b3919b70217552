"""A notebook is stale exactly when something it can reach has changed."""

import pytest
from course_fakes import code, notebook, save

from adaptlab import paths, profiles
from adaptlab.course.freshness import fingerprint
from adaptlab.course.imports import reachable

PACKAGE = {
    "__init__.py": "",
    "alpha.py": "from adaptlab import beta",
    "beta.py": "def late():\n    import adaptlab.deep.leaf\n",
    "deep/__init__.py": "from . import near",
    "deep/near.py": "",
    "deep/leaf.py": "from ..gamma import thing",
    "deep/style.mplstyle": "font.size: 9",
    "gamma.py": "thing = 1",
    "island.py": "import adaptlab.alpha",
    "plug/__init__.py": "from importlib import import_module\nimport_module('adaptlab.plug.one')",
    "plug/one.py": "",
    "broken.py": "def",
    "sources.toml": '[model]\nsha256 = "1"\n[other]\nsha256 = "1"\n',
    "notes.txt": "beside the top",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small stand-in for the package, and budgets for two notebooks."""
    root = tmp_path / "adaptlab"
    for name, source in PACKAGE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source)
    tables = {"00_one": {"sources": ["model"], "n": 1, "smoke": {"n": 2}}, "01_two": {"n": 3}}
    monkeypatch.setattr(paths, "PACKAGE", root)
    monkeypatch.setattr(paths, "checkout", lambda: None)
    monkeypatch.setattr(profiles, "_tables", lambda: tables)
    return root


def reached(source, package):
    return {path.relative_to(package).as_posix() for path in reachable([source], package)}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("import math", set()),
        ("import adaptlab", {"__init__.py"}),
        ("import adaptlab.gamma as g", {"__init__.py", "gamma.py"}),
        ("from adaptlab import gamma, island", None),
        ("from adaptlab.gamma import thing", {"__init__.py", "gamma.py"}),
        ("def f():\n    from adaptlab import gamma", {"__init__.py", "gamma.py"}),
        ("import adaptlab.broken", {"__init__.py", "broken.py"}),
        ("import adaptlab.plug", {"__init__.py", "plug/__init__.py", "plug/one.py"}),
        ("not python (", set()),
    ],
)
def test_closure(package, source, files):
    found = reached(source, package)
    if files is None:
        files = {name for name in PACKAGE if name.endswith(".py")} - {
            "broken.py",
            "plug/__init__.py",
            "plug/one.py",
        } | {"deep/style.mplstyle"}
    assert found == files


def mark(tmp_path, name="00_one", profile="smoke", **parameters):
    node = notebook([code("%time\nimport adaptlab.alpha"), code("1 + 1")])
    for number, cell in enumerate(node.cells):
        cell.id = f"cell-{number}"
    return fingerprint(save(node, tmp_path / "nb" / f"{name}.ipynb"), profile, parameters)


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("alpha.py", True),
        ("beta.py", True),
        ("deep/leaf.py", True),
        ("deep/style.mplstyle", True),
        ("gamma.py", True),
        ("island.py", False),
        ("plug/one.py", False),
        ("notes.txt", False),
    ],
)
def test_only_reachable_files_count(package, tmp_path, file, stale):
    before = mark(tmp_path)
    with (package / file).open("a") as stream:
        stream.write("\n# a change\n")
    assert (mark(tmp_path) != before) == stale


def test_own_source_counts_and_another_does_not(package, tmp_path):
    before = mark(tmp_path)
    toml = package / "sources.toml"
    toml.write_text(toml.read_text().replace('[other]\nsha256 = "1"', '[other]\nsha256 = "2"'))
    assert mark(tmp_path) == before
    toml.write_text(toml.read_text().replace('[model]\nsha256 = "1"', '[model]\nsha256 = "2"'))
    assert mark(tmp_path) != before


def test_budget_parameters_and_profile_count(package, tmp_path):
    marks = {mark(tmp_path), mark(tmp_path, profile="cpu"), mark(tmp_path, seed=1)}
    profiles._tables()["00_one"]["smoke"]["n"] = 7
    assert len(marks | {mark(tmp_path)}) == 4


def test_another_notebooks_budget_does_not_count(package, tmp_path):
    before = mark(tmp_path)
    profiles._tables()["01_two"]["n"] = 99
    assert mark(tmp_path) == before


def test_published_full_results_count_except_in_full(package, tmp_path):
    before = {profile: mark(tmp_path, profile=profile) for profile in ("cpu", "full")}
    published = package / "results" / "full" / "00_one.jsonl"
    published.parent.mkdir(parents=True)
    published.write_text("{}\n")
    assert mark(tmp_path, profile="cpu") != before["cpu"]
    assert mark(tmp_path, profile="full") == before["full"]
