"""A model's identity: found without loading it, and another one for another model."""

import json
import shutil

import pytest

from adaptlab import models, paths
from adaptlab.errors import AdaptlabError

BUNDLED = "smollm2-135m-instruct"


@pytest.fixture
def folder(tiny, tokenizer, tmp_path) -> str:
    tiny.save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


@pytest.fixture(autouse=True)
def _nothing_is_loaded(monkeypatch):
    for loader in ("AutoModelForCausalLM", "AutoTokenizer"):
        monkeypatch.setattr(models, loader, None)


def test_the_bundled_model_s_is_that_of_its_converted_files(bundled, monkeypatch, tmp_path):
    found = models.identity(BUNDLED)
    assert found.startswith(f"{BUNDLED} xxh3 ")
    kept = tmp_path / "models" / BUNDLED
    kept.mkdir(parents=True)
    checksums = json.loads((paths.cache() / "models" / BUNDLED / "checksums.json").read_text())
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    (kept / "checksums.json").write_text(json.dumps(checksums))
    assert models.identity(BUNDLED) == found
    (kept / "checksums.json").write_text(json.dumps(checksums | {"model.safetensors": "other"}))
    assert models.identity(BUNDLED) != found


def test_the_bundled_model_is_converted_first_if_it_is_not_yet(bundled, monkeypatch, tmp_path):
    found, real = models.identity(BUNDLED), paths.cache() / "models" / BUNDLED
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "_converted", lambda name: real)
    assert models.identity(BUNDLED) == found


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_folder_s_is_that_of_its_files(folder, file, tmp_path):
    found = models.identity(folder)
    (tmp_path / "tiny" / "notes.md").write_text("not a part of the model")
    assert models.identity(folder) == found
    with (tmp_path / "tiny" / file).open("ab") as stream:
        stream.write(b" ")
    assert models.identity(folder) != found


class _Hub:
    def __init__(self, sha: str | None) -> None:
        self.sha = sha

    def model_info(self, name: str, revision: str | None, timeout: float) -> "_Hub":
        if self.sha is None:
            raise OSError("no network")
        return self


def test_a_hub_model_s_is_its_pinned_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "HfApi", lambda: _Hub("abc123"))
    assert models.identity("someone/tiny") == "someone/tiny commit abc123"
    monkeypatch.setattr(models, "HfApi", lambda: _Hub("newer"))
    assert models.identity("someone/tiny") == "someone/tiny commit abc123"
    assert models.identity("someone/tiny", "main") == "someone/tiny commit newer"


def test_without_a_network_it_is_the_commit_in_the_hub_s_cache(folder, monkeypatch, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "hub" / "models--someone--tiny"
    shutil.copytree(folder, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", tmp_path / "hub")
    monkeypatch.setattr(models, "HfApi", lambda: _Hub(None))
    assert models.identity("someone/tiny") == f"someone/tiny commit {commit}"
    with pytest.raises(AdaptlabError, match="cannot load the model 'someone/other'"):
        models.identity("someone/other")
