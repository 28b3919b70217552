"""LoRA: nothing at first, then what peft's LoRA computes, merged or beside the base."""

import copy
import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from adaptlab.tuning import lora, network, parts
from adaptlab.tuning.examples import collate
from adaptlab.tuning.loop import fit
from adaptlab.tuning.lora import Lora, LoraLinear
from tests.gpt_small import one_thread as one_thread
from tests.lora_small import IDS, logits, moved, trained, with_lora
from tests.tuning_small import (
    BF16,
    SHORT,
    changed,
    labelled,
    numbers,
    small_model,
    toy,
    weights,
)  # fmt: skip


def peft_twin(model, **config):
    """peft's LoRA on the same base with the same A and B."""
    other = get_peft_model(small_model(), LoraConfig(target_modules="all-linear", **config))
    values = {name: weight for name, weight in model.named_parameters() if "lora_" in name}
    with torch.no_grad():
        for name, weight in other.named_parameters():
            if "lora_" in name:
                weight.copy_(values.pop(name[len("base_model.model.") : -len(".weight")]))
    assert not values
    return other


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_changes_before_training(dtype):
    model = small_model(dtype)
    before = logits(model)
    lora.add(model, Lora(dropout=0.5))
    assert torch.equal(logits(model), before)
    assert logits(model).dtype is dtype
    with torch.autocast("cpu", torch.bfloat16):
        plain = small_model(dtype)(IDS).logits
        assert torch.equal(model(IDS).logits, plain)


def test_nothing_changes_in_the_bundled_model(bundled):
    model = parts.twin(bundled.model)  # the decoder is shared: it is put back at the end
    before = logits(model)
    try:
        assert lora.add(model, Lora(rank=8)) == 2_442_240
        assert torch.equal(logits(model), before)
    finally:
        lora.remove(model)
        model.requires_grad_(True)
    assert not any(isinstance(part, LoraLinear) for part in bundled.model.modules())


VARIANTS = [
    (Lora(), {"r": 8, "lora_alpha": 16}),
    (Lora(rank=1, alpha=1), {"r": 1, "lora_alpha": 1}),
    (Lora(rank=4, alpha=32), {"r": 4, "lora_alpha": 32}),
    (Lora(rank=16, alpha=8, rslora=True), {"r": 16, "lora_alpha": 8, "use_rslora": True}),
    (Lora(rank=4, rslora=True), {"r": 4, "lora_alpha": 8, "use_rslora": True}),
]


@pytest.mark.parametrize(("settings", "config"), VARIANTS)
def test_logits_gradients_and_merged_weights_are_pefts(settings, config):
    model = small_model()
    lora.add(model, settings)
    other = peft_twin(moved(model), **config)
    torch.testing.assert_close(logits(model), logits(other), atol=1e-6, rtol=1e-6)
    for each in (model, other):
        each(IDS, labels=IDS).loss.backward()
    theirs = {n: p.grad for n, p in other.named_parameters() if p.grad is not None}
    for name in trained(model):
        grad = model.get_parameter(name).grad
        wanted = theirs.pop(f"base_model.model.{name}.weight")
        assert grad.abs().max() > 0
        torch.testing.assert_close(grad, wanted, atol=1e-6, rtol=1e-5)
    assert not theirs
    lora.merge(model)
    lora.remove(model)
    for name, weight in other.merge_and_unload().named_parameters():
        torch.testing.assert_close(model.get_parameter(name), weight, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("autocast", [False, True])
def test_fp32_adapters_of_a_bf16_model_are_pefts(autocast):
    model = with_lora(dtype=torch.bfloat16)
    other = peft_twin(model, r=8, lora_alpha=16)
    for part in other.modules():  # all but A and B in bf16, as peft leaves a bf16 model
        if hasattr(part, "base_layer"):
            part.base_layer.bfloat16()
        elif isinstance(part, nn.Embedding | LlamaRMSNorm):
            part.bfloat16()
    other.get_output_embeddings().bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.no_grad():
        ours, theirs = model(IDS).logits, other(IDS).logits
    assert ours.dtype is theirs.dtype is torch.bfloat16
    base = logits(small_model(torch.bfloat16))
    assert (ours - theirs).abs().max() < 0.05 * (theirs - base).abs().max()


def test_scale():
    assert Lora(rank=8).scale == 2
    assert Lora(rank=4, alpha=1).scale == 0.25
    assert Lora(rank=16, alpha=8, rslora=True).scale == 2


def test_a_is_drawn_as_pefts_is_and_b_is_zero():
    model = small_model()
    lora.add(model, Lora(rank=16))
    other = get_peft_model(small_model(), LoraConfig(r=16, target_modules="all-linear"))
    for path, layer in lora.layers_with_adapters(model).items():
        A, B = layer.lora_A["default"], layer.lora_B["default"]
        assert A.dtype is B.dtype is torch.float32
        assert not B.any()
        theirs = other.get_parameter(f"base_model.model.{path}.lora_A.default.weight")
        bound = 1 / math.sqrt(layer.in_features)  # both are uniform up to it
        for drawn in (A, theirs):
            assert 0.97 * bound < drawn.abs().max() <= bound
            assert drawn.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_only_b_has_a_gradient_at_the_first_step():
    model = small_model()
    lora.add(model, Lora())
    model(IDS, labels=IDS).loss.backward()
    for name in trained(model):
        assert model.get_parameter(name).grad.any() == (".lora_B." in name)


def test_parameters_come_as_a_b_a_b():
    names = trained(with_lora())
    assert len(names) == 2 * 3 * 7  # 3 layers of 7 matrices
    for a, b in zip(names[::2], names[1::2], strict=True):
        assert a.endswith(".lora_A.default")
        assert b == a.replace(".lora_A.", ".lora_B.")


def test_dropout_is_of_the_adapters_input_and_only_in_training():
    model = with_lora(dropout=0.5)
    calm = with_lora()
    assert torch.equal(logits(model), logits(calm))
    layer = model.model.layers[0].mlp.up_proj.train()
    x = torch.randn(400, 32)
    with torch.no_grad():
        base, update = layer.base_layer(x), layer.delta("default")
        mean = torch.stack([layer(x) - base for _ in range(400)]).mean(0)
        torch.manual_seed(3)
        once = layer(x)
        torch.manual_seed(3)
        by_hand = base + nn.functional.dropout(x, 0.5) @ update.T
    torch.testing.assert_close(once, by_hand, atol=1e-5, rtol=1e-5)
    assert (mean - x @ update.T).std() < 0.1 * (x @ update.T).std()  # unbiased


@pytest.mark.parametrize(
    ("targets", "count", "one"),
    [
        ("all-linear", 21, "model.layers.2.mlp.down_proj"),
        ("q_proj", 3, "model.layers.1.self_attn.q_proj"),
        (("q_proj", "v_proj"), 6, "model.layers.1.self_attn.v_proj"),
        ("mlp.*", 9, "model.layers.0.mlp.gate_proj"),
        ("layers.[12].self_attn.[qv]_proj", 4, "model.layers.2.self_attn.q_proj"),
        ("model.layers.0.mlp.up_proj", 1, "model.layers.0.mlp.up_proj"),
        (("up_proj", "mlp.up_proj"), 3, "model.layers.0.mlp.up_proj"),
        ("lm_head", 1, "lm_head"),
    ],
)
def test_targets(targets, count, one):
    model = small_model()
    lora.add(model, Lora(rank=2, targets=targets))
    found = lora.layers_with_adapters(model)
    assert len(found) == count
    assert one in found
    assert all(type(layer.base_layer) is nn.Linear for layer in found.values())


def test_all_linear_leaves_out_a_head_of_any_name():
    config = AutoConfig.for_model(
        "gpt_neox", vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    before = logits(model)
    lora.add(model, Lora(rank=2))
    found = lora.layers_with_adapters(model)
    assert len(found) == 8
    assert all(name.startswith("gpt_neox.layers.") for name in found)
    assert torch.equal(logits(model), before)  # its layers have biases


def test_adapters_are_switched_and_do_not_touch_each_other():
    model = with_lora("first", rank=4)
    base, alone = logits(small_model()), logits(model)
    lora.add(model, Lora(rank=2, targets=("q_proj", "lm_head")), "second")
    assert lora.adapters(model) == ["first", "second"]
    assert lora.active(model) == "second"
    assert torch.equal(logits(model), base)
    moved(model, "second")
    only = with_lora("second", rank=2, targets=("q_proj", "lm_head"))
    with torch.no_grad():
        for name, weight in only.named_parameters():
            weight.copy_(model.get_parameter(name))
    assert torch.equal(logits(model), logits(only))
    assert len(trained(model)) == 8
    assert all(name.endswith(".second") for name in trained(model))
    lora.use(model, "first")
    assert torch.equal(logits(model), alone)
    assert lora.active(model) == "first"
    assert len(trained(model)) == 42
    assert all(name.endswith(".first") for name in trained(model))
    lora.merge(model)
    torch.testing.assert_close(logits(model), alone, atol=1e-5, rtol=1e-5)
    lora.unmerge(model)
    lora.use(model, None)
    assert torch.equal(logits(model), base)
    assert lora.active(model) is None
    assert not trained(model)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("targets", ["all-linear", "layers.2.mlp.*"])
def test_training_changes_a_and_b_only(targets, bf16, fp32):
    model = labelled()
    assert lora.add(model, Lora(rank=4, targets=targets)) == sum(
        model.get_parameter(name).numel() for name in trained(model)
    )
    assert all(".lora_" in name for name in trained(model))
    assert parts.frozen_layers(model) == (0 if targets == "all-linear" else 2)
    before, expected = weights(model), set(trained(model))
    history = fit(model, toy(), SHORT, BF16 if bf16 else fp32)
    assert changed(model, before) == expected
    assert history.losses[-1] < history.losses[0]


def test_a_label_heads_twin_shares_the_adapter():
    plain = small_model()
    model = parts.with_label_head(plain, numbers, ("3", "5"))
    lora.add(model, Lora())
    moved(model)
    assert lora.active(plain) == "default"
    torch.testing.assert_close(logits(model), logits(plain)[..., [3, 5]], atol=1e-6, rtol=1e-6)
    lora.use(plain, None)
    assert lora.active(model) is None


def test_a_copy_is_a_model_of_its_own():
    model = with_lora()
    before = logits(model)
    other = copy.deepcopy(model)
    assert torch.equal(logits(other), before)
    moved(other, size=0.2)
    lora.merge(other)
    assert torch.equal(logits(model), before)


def test_code_that_asks_for_the_weight_finds_the_bases():
    layer = with_lora(dtype=torch.bfloat16).model.layers[0].mlp.down_proj
    assert layer.weight is layer.base_layer.weight
    assert layer.weight.dtype is torch.bfloat16
    assert layer.bias is None
    assert (layer.in_features, layer.out_features) == (64, 32)
    assert "rank=8" in repr(layer)


def test_the_loss_of_a_label_reaches_every_adapter():
    model = labelled()
    lora.add(model, Lora())
    moved(model)
    network.loss(model, collate(toy(8))).backward()
    assert all(model.get_parameter(name).grad.any() for name in trained(model))
