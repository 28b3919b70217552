"""`adaptlab prompts`: run two versions, compare, and be told mistakes in one line."""

import pytest

from adaptlab import paths
from adaptlab.__main__ import main
from adaptlab.prompting.local import LocalModel
from adaptlab.prompting.suite import load_cases
from adaptlab.prompting.suite_run import read_run
from tests import endpoint_fake
from tests.suite_fakes import VERSION, FakeModel

CASES = """
[[cases]]
id = "mouse"
input = "the mouse"
expect = { equals = "small" }

[[cases]]
id = "whale"
input = "the whale"
expect = { one_of = ["large", "huge"], max_words = 1 }
"""
SCRIPT = {
    "Version 1. Size of the mouse": ["small"],
    "Version 1. Size of the whale": ["very large\x1b[31m"],
    "Version 2. Size of the mouse": ["tiny"],
    "Version 2. Size of the whale": ["huge"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two versions and their cases, and the model that a name loads."""
    (tmp_path / "cases.toml").write_text(CASES)
    for version in (1, 2):
        (tmp_path / f"v{version}.toml").write_text(VERSION.format(version=version))
    monkeypatch.setattr(LocalModel, "load", lambda name: FakeModel(SCRIPT, name))
    return tmp_path


def test_two_versions_are_run_and_compared(folder, capsys):
    for version in (1, 2):
        out = str(folder / f"run{version}.json")
        assert main(["prompts", "run", str(folder / f"v{version}.toml"), "--out", out]) == 0
    said = capsys.readouterr().out
    assert "pass mouse: 'small'" in said
    assert "FAIL whale: 'very large\\x1b[31m'\n     one_of: none of 'large', 'huge'\n" in said
    assert "     max_words: 2 words, at most 1\n" in said
    assert "sizes v1 on smollm2-135m-instruct: 1 of 2 cases passed" in said
    both = [str(folder / "run1.json"), str(folder / "run2.json")]
    page = folder / "page.html"
    assert main(["prompts", "compare", *both, "--page", str(page)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["broken      mouse: 'tiny'", "fixed       whale: 'huge'"]
    assert "1 broken, 1 fixed, 0 still wrong, 0 still right" in said[2]
    assert said[3] == str(page)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert main(["prompts", "compare", *both, "--strict"]) == 1
    assert main(["prompts", "compare", *both[::-1], "--strict"]) == 1  # the whale
    assert main(["prompts", "compare", both[0], both[0], "--strict"]) == 0


def test_an_endpoint_is_asked_and_remembered(folder, capsys, monkeypatch):
    monkeypatch.setenv("ADAPTLAB_CACHE", str(folder / "cache"))
    with endpoint_fake.serving() as server:
        server.choose = lambda path, body: [endpoint_fake.choice(path, "small")]
        server_is = ["--endpoint", server.url, "--endpoint-model", "remote"]
        asked = ["prompts", "run", str(folder / "v1.toml"), *server_is]
        assert main([*asked, "--out", str(folder / "run1.json")]) == 0
        assert main([*asked, "--out", str(folder / "run2.json")]) == 0
        prompts = {endpoint_fake.prompt_of(body) for body in server.asked}
    assert prompts == {f"Version 1. Size of the {name}:" for name in ("mouse", "whale")}
    runs = [read_run(folder / f"run{version}.json") for version in (1, 2)]
    assert [(run.model, run.passed, run.cached) for run in runs] == [
        ("remote", 1, 0),
        ("remote", 1, 2),
    ]


def test_an_example_can_be_named_without_its_folder(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    asked = load_cases(paths.prompts() / "objects" / "cases.toml")
    script = {f"- {case.input}\n": ["Large"] for case in asked}
    script = {key.replace("\n", "\\n"): said for key, said in script.items()}  # as repr has it
    monkeypatch.setattr(LocalModel, "load", lambda name: FakeModel(script, name))
    assert main(["prompts", "run", "objects/v1.toml", "--model", "other"]) == 0
    assert f"objects v1 on other: 7 of {len(asked)} cases passed" in capsys.readouterr().out


MISTAKES = {
    "run {0}/v3.toml": "cannot read {0}/v3.toml: No such file",
    "run {0}/v1.toml --cases {0}/none.toml": "cannot read {0}/none.toml",
    "run {0}/v1.toml --endpoint http://127.0.0.1:9/v1": "--endpoint and --endpoint-model belong",
    "run {0}/v1.toml --endpoint-model x": "--endpoint and --endpoint-model belong together",
    "run {0}/v1.toml --endpoint localhost --endpoint-model x": "begins neither http nor https",
    "run {0}/v1.toml --out {0}/none/run.json": "there is no folder {0}/none",
    "run {0}/cases.toml": "unknown key 'cases'",
    "compare {0}/run1.json {0}/run2.json": "cannot read {0}/run1.json",
    "compare {0}/v1.toml {0}/v2.toml": "{0}/v1.toml is not a run of a prompt suite",
}


@pytest.mark.parametrize(("command", "message"), MISTAKES.items())
def test_a_mistake_is_one_line(command, message, folder, capsys):
    assert main(["prompts", *command.format(folder).split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith("adaptlab: ")
    assert message.format(folder) in said
    assert said.count("\n") == 1


def test_a_model_is_either_here_or_there(capsys):
    with pytest.raises(SystemExit):
        main(["prompts", "run", "v1.toml", "--model", "a", "--endpoint", "http://b"])
    assert "not allowed with argument" in capsys.readouterr().err
