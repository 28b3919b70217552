"""The README says what the records say, and names only what exists."""

import re
import subprocess

from adaptlab import paths
from adaptlab.course.masters import masters
from adaptlab.report import readme

TEXT = (paths.checkout() / "README.md").read_text()


def test_numbers_and_figure_come_from_the_published_records():
    assert readme.update(write=False) == [], "run `make readme`"


def test_a_changed_number_is_noticed(monkeypatch, tmp_path):
    changed = re.sub(r"\| (\d\d\.\d) \|", "| 99.9 |", TEXT, count=1)
    assert changed != TEXT
    (tmp_path / "README.md").write_text(changed)
    published = paths.results()
    monkeypatch.setattr(readme.paths, "checkout", lambda: tmp_path)
    monkeypatch.setattr(readme.paths, "results", lambda: published)
    assert readme.update(write=False) == ["README.md"]
    readme.update(write=True)
    assert (tmp_path / "README.md").read_text() == TEXT


def test_every_make_target_it_names_exists():
    described = subprocess.run(
        ["make", "help"], cwd=paths.checkout(), capture_output=True, text=True, check=True
    ).stdout
    targets = set(re.findall(r"^  make (\w+)", described, re.MULTILINE))
    assert {
        "setup",
        "fetch",
        "course",
        "handouts",
        "lab",
        "test",
        "lint",
        "bench",
        "clean",
    } <= targets
    assert set(re.findall(r"\bmake ([a-z]+)", TEXT)) <= targets | {"help"}


def test_it_lists_every_notebook():
    for master in masters():
        assert f"notebooks/{master.name}" in TEXT


def test_its_links_to_files_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (paths.checkout() / target).exists(), target
