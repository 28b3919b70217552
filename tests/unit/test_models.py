"""Models: the bundled one is what its file says, and what cannot be loaded is one line."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from adaptlab import models, paths, sources
from adaptlab.errors import AdaptlabError


def test_it_knows_the_capital_of_france(bundled):
    model, tokenizer = bundled
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )
    answer = model.generate(**ids, max_new_tokens=12, do_sample=False)[0]
    assert "The capital of France is Paris." in tokenizer.decode(answer)


def test_the_converted_weights_are_the_file_s(bundled):
    """gguf's own dequantiser is the witness, for a tensor of each kind that is not permuted."""
    file = sources.path("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf")
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.3.ffn_down.weight": "model.layers.3.mlp.down_proj.weight",
        "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
        "output_norm.weight": "model.norm.weight",
    }
    weights = bundled.model.state_dict()
    for theirs, ours in pairs.items():
        expected = gguf.dequantize(stored[theirs].data, stored[theirs].tensor_type)
        np.testing.assert_array_equal(weights[ours].numpy(), expected)


def test_it_is_a_plain_model(bundled):
    assert sum(p.numel() for p in bundled.model.parameters()) == 134_515_008
    assert not getattr(bundled.model, "is_quantized", False)
    assert not bundled.model.training
    assert bundled.tokenizer.padding_side == "right"


@pytest.mark.slow
def test_a_damaged_conversion_is_made_again(bundled, monkeypatch, tmp_path, fp32):
    for part in ("sources", "models"):
        shutil.copytree(paths.cache() / part, tmp_path / part)
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    weights = tmp_path / "models" / "smollm2-135m-instruct" / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(100_000_000)
        file.write(b"\0" * 64)
    model, _ = models.load("smollm2-135m-instruct", runtime=fp32)
    for (name, ours), theirs in zip(
        model.state_dict().items(), bundled.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_a_folder_is_a_model_too(tiny, tokenizer, tmp_path, fp32):
    tiny.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, _ = models.load(str(tmp_path), runtime=fp32)
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model(ids).logits, tiny(ids).logits)


def test_what_lies_in_the_hub_s_cache_needs_no_network(
    tiny, tokenizer, tmp_path, monkeypatch, fp32
):
    """A folder laid out as the Hub's client leaves it behind after a download."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--someone--tiny"
    snapshot = home / "snapshots" / commit
    tiny.save_pretrained(snapshot)
    tokenizer.save_pretrained(snapshot)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "HfApi", lambda: _Hub(error=OSError("no network")))
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path / "cache"))
    model, _ = models.load("someone/tiny", runtime=fp32)
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(model(ids).logits, tiny(ids).logits)


class _Hub:
    """The one call that is made to the Hub's API."""

    def __init__(self, sha: str = "", error: Exception | None = None):
        self.sha, self.error, self.asked = sha, error, 0

    def model_info(self, name: str, revision: str | None, timeout: float) -> "_Hub":
        self.asked += 1
        if self.error:
            raise self.error
        return self


def test_a_hub_model_is_pinned_at_its_first_use(monkeypatch, tmp_path):
    hub = _Hub("abc123")
    monkeypatch.setattr(models, "HfApi", lambda: hub)
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    assert models._hub_options("someone/tiny", None) == {"revision": "abc123"}
    hub.sha = "newer"
    assert models._hub_options("someone/tiny", None) == {"revision": "abc123"}
    assert models._hub_options("someone/tiny", "v2") == {"revision": "newer"}
    assert json.loads((tmp_path / "revisions.json").read_text())["someone/tiny"] == "abc123"
    assert hub.asked == 2


def test_no_network_names_the_bundled_model(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "HfApi", lambda: _Hub(error=OSError("Name or service not known")))
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    with pytest.raises(AdaptlabError, match=r"'gpt3': Name .*without a network: smollm2-135m"):
        models.load("gpt3")


def test_code_beside_a_model_is_not_run(tiny, tokenizer, tmp_path):
    tiny.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "stranger", "auto_map": {"AutoConfig": "evil.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("open('executed', 'w')\n")
    with pytest.raises(AdaptlabError, match="cannot load the model"):
        models.load(str(tmp_path))
    assert not list(tmp_path.rglob("executed"))


def test_a_tokenizer_without_padding_gets_the_end_of_text(tiny, tokenizer, tmp_path, fp32):
    tiny.save_pretrained(tmp_path)
    bare = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    bare.pad_token = None
    bare.save_pretrained(tmp_path)
    assert models.load(str(tmp_path), runtime=fp32).tokenizer.pad_token == bare.eos_token
