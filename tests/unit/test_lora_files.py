"""Adapters on disk: peft reads ours, we read peft's, and what does not fit is one line."""

import json

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import lora, lora_files, parts
from adaptlab.tuning.loop import fit
from adaptlab.tuning.lora import Lora
from tests.gpt_small import one_thread as one_thread
from tests.lora_small import logits, moved, with_lora
from tests.tuning_small import SHORT, changed, labelled, small_model, toy, weights

FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def pefts(**config):
    config = {"r": 4, "lora_alpha": 4, "target_modules": "all-linear", **config}
    return moved(get_peft_model(small_model(), LoraConfig(**config)))


@pytest.mark.parametrize(
    ("settings", "targets"),
    [
        (Lora(), 7),
        (Lora(rank=3, alpha=5.5, targets=("q_proj", "v_proj"), dropout=0.2), 2),
        (Lora(rank=4, rslora=True, targets="layers.[12].mlp.*"), 6),
        (Lora(rank=16, targets=("o_proj", "layers.1.mlp.up_proj")), 4),
        (Lora(rank=2, targets=("k_proj", "lm_head")), 2),
    ],
)
def test_peft_and_we_read_what_we_saved(settings, targets, tmp_path):
    model = with_lora(**vars(settings))
    lora_files.save(model, tmp_path / "deep" / "folder")
    folder = tmp_path / "deep" / "folder"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert len(config["target_modules"]) == targets
    assert sorted(file.name for file in folder.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    wanted = logits(model)
    assert (wanted - logits(small_model())).abs().max() > 0.01
    theirs = PeftModel.from_pretrained(small_model(), folder).eval()
    torch.testing.assert_close(logits(theirs), wanted, atol=1e-6, rtol=1e-6)
    ours = small_model()
    count = lora_files.load(ours, folder, "again")
    assert torch.equal(logits(ours), wanted)
    assert lora.active(ours) == "again"
    assert count == sum(p.numel() for p in model.parameters() if p.requires_grad)
    layer = next(iter(lora.layers_with_adapters(ours).values())).settings["again"]
    assert (layer.rank, layer.scale, layer.dropout) == (
        settings.rank, settings.scale, settings.dropout,
    )  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_rslora": True, "lora_dropout": 0.1},
        {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1]},
        {"target_modules": r".*\.2\..*up_proj", "init_lora_weights": "gaussian"},
        {"task_type": "CAUSAL_LM", "target_modules": ["k_proj"]},
    ],
)
def test_we_read_what_peft_saved(config, tmp_path):
    theirs = pefts(**config)
    theirs.save_pretrained(tmp_path)
    model = small_model()
    lora_files.load(model, tmp_path)
    torch.testing.assert_close(logits(model), logits(theirs.eval()), atol=1e-6, rtol=1e-6)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)


def test_a_name_is_saved_or_the_active_adapter(tmp_path):
    model = with_lora("one", rank=2)
    one = logits(model)
    lora.add(model, Lora(rank=3, targets="up_proj"), "two")
    lora_files.save(model, tmp_path, "one")
    lora_files.save(model, tmp_path / "two")
    assert load_file(tmp_path / "adapter_model.safetensors")[FIRST].shape == (2, 32)
    assert len(load_file(tmp_path / "two" / "adapter_model.safetensors")) == 6
    lora_files.load(model, tmp_path, "three")
    assert torch.equal(logits(model), one)
    assert lora.adapters(model) == ["one", "three", "two"]
    with pytest.raises(AdaptlabError, match="unknown adapter 'tow'; did you mean two"):
        lora_files.save(model, tmp_path, "tow")
    lora.use(model, None)
    with pytest.raises(AdaptlabError, match="no adapter is active: name the one to save"):
        lora_files.save(model, tmp_path)
    with pytest.raises(AdaptlabError, match="has no adapters"):
        lora_files.save(small_model(), tmp_path)
    with pytest.raises(AdaptlabError, match="has an adapter 'one' already"):
        lora_files.load(model, tmp_path, "one")


def test_trained_with_a_label_head_and_read_by_peft_onto_the_plain_model(fp32, tmp_path):
    model = labelled()
    lora.add(model, Lora(rank=4))
    fit(model, toy(), SHORT, fp32)
    lora_files.save(model, tmp_path)
    plain = PeftModel.from_pretrained(small_model(), tmp_path).eval()
    wanted = logits(plain)[..., [3, 5]]
    torch.testing.assert_close(logits(model), wanted, atol=1e-6, rtol=1e-6)
    assert (wanted - logits(small_model())[..., [3, 5]]).abs().max() > 0.01


def test_the_bundled_models_adapter_is_read_by_peft(bundled, tmp_path):
    # Its decoder is shared and must stay as it is: adapters go in last and out first.
    model = parts.twin(bundled.model)
    try:
        lora.add(model, Lora(rank=2, targets=("q_proj", "v_proj")))
        wanted = logits(moved(model))
        lora_files.save(model, tmp_path)
    finally:
        lora.remove(model)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == bundled.model.config._name_or_path
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    theirs = PeftModel.from_pretrained(bundled.model, tmp_path).eval()
    try:
        torch.testing.assert_close(logits(theirs), wanted, atol=1e-4, rtol=1e-5)
    finally:
        theirs.unload()
        bundled.model.requires_grad_(True)


def test_a_failed_save_keeps_the_adapter_that_was_there(tmp_path, monkeypatch):
    model = with_lora()
    lora_files.save(model, tmp_path / "a")
    before = {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()}

    def full(tensors, file, **options):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(lora_files, "save_file", full)
    moved(model, size=0.2)
    for folder in ("a", "b"):
        with pytest.raises(AdaptlabError, match="could not be written: No space left"):
            lora_files.save(model, tmp_path / folder)
    assert {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()} == before
    assert not (tmp_path / "b").exists()


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AdaptlabError, match=r"could not be written: (Not a directory|File exists)"):
        lora_files.save(with_lora(), tmp_path / "file")


def edited(folder, **changes) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def with_tensors(change):
    def damage(folder):
        file = folder / "adapter_model.safetensors"
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)

    return damage


BAD = [
    (lambda f: (f / "adapter_config.json").unlink(), "no readable adapter_config.json: No such"),
    (lambda f: (f / "adapter_config.json").write_text("{"), "no readable adapter_config.json: Exp"),
    (lambda f: (f / "adapter_config.json").write_text("{}"), "adapter_config.json: 'peft_type'"),
    (lambda f: (f / "adapter_config.json").write_text("[]"), "no readable adapter_config.json: "),
    (lambda f: edited(f, r=None), "rank is a whole number, 1 or more, not None"),
    (lambda f: edited(f, lora_alpha="x"), "no readable adapter_config.json: "),
    (lambda f: (f / "adapter_model.safetensors").unlink(), "adapter_model.safetensors: No such"),
    (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x" * 99), "readable adapter_model"),
    (lambda f: edited(f, use_dora=True), "has use_dora = True, which is not read"),
    (lambda f: edited(f, bias="all"), "has bias = all, which is not read"),
    (lambda f: edited(f, modules_to_save=["lm_head"]), r"modules_to_save = \['lm_head'\], which"),
    (lambda f: edited(f, rank_pattern={"q_proj": 2}), "has rank_pattern = .*, which is not read"),
    (lambda f: edited(f, alpha_pattern={"q_proj": 2}), "has alpha_pattern = .*, which is not read"),
    (lambda f: edited(f, of_next_year=1), "has of_next_year = 1, which is not read"),
    (
        lambda f: edited(f, init_lora_weights="pissa"),
        "was started by pissa, which changes its base",
    ),
    (
        with_tensors(lambda t: t[FIRST].fill_(torch.nan)),
        f"{FIRST} in .* values that are not numbers",
    ),
    (with_tensors(lambda t: t.pop(FIRST)), f"lacks {FIRST}"),
    (with_tensors(lambda t: t.clear()), "holds no weights"),
    (
        with_tensors(lambda t: t.update({FIRST.replace("lora_A", "lora_E"): torch.ones(1)})),
        "lora_E.weight: no LoRA of a linear layer",
    ),
    (
        with_tensors(lambda t: t.update({FIRST: torch.ones(8, 31)})),
        rf"is for another base: {FIRST} is \(8, 31\), the model needs \(8, 32\)",
    ),
    (
        with_tensors(lambda t: t.update({FIRST.replace(".0.", ".3."): torch.ones(8, 32)})),
        r"is for another base: the model has no layer for .*layers\.3\.self_attn\.q_proj\.lora_A",
    ),
    (
        lambda f: edited(f, r=4),
        r"another base: .*lora_A.weight is \(8, .*\), the model needs \(4, ",
    ),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_what_cannot_be_loaded_is_one_line_and_changes_nothing(damage, message, tmp_path):
    lora_files.save(with_lora(), tmp_path)
    damage(tmp_path)
    model = small_model()
    before = weights(model)
    with pytest.raises(AdaptlabError, match=message) as caught:
        lora_files.load(model, tmp_path)
    assert "\n" not in str(caught.value)
    assert set(model.state_dict()) == set(before)
    assert not changed(model, before)
    assert not lora.adapters(model)
    assert all(p.requires_grad for p in model.parameters())


def test_what_else_peft_can_save_is_refused(tmp_path):
    pefts(target_modules=["lm_head"]).save_pretrained(tmp_path)  # with the head's own weight
    with pytest.raises(AdaptlabError, match=r"lm_head\.base_layer\.weight: no LoRA of a linear"):
        lora_files.load(small_model(), tmp_path)
    config = IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    get_peft_model(small_model(), config).save_pretrained(tmp_path)
    with pytest.raises(AdaptlabError, match="is of the kind IA3; only LORA is read"):
        lora_files.load(small_model(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 64}, r"another base: .* is \(.*\), the model needs \("),
        ({"num_hidden_layers": 2}, r"another base: the model has no layer for .*layers\.2\."),
    ],
)
def test_an_adapter_of_another_base(changes, message, tmp_path):
    lora_files.save(with_lora(), tmp_path)
    with pytest.raises(AdaptlabError, match=message):
        lora_files.load(small_model(**changes), tmp_path)
