"""LoRA folded into the base's weights, and taken out again."""

import copy

import pytest
import torch
from transformers import LlamaForCausalLM

from adaptlab.tuning import lora
from tests.gpt_small import one_thread as one_thread
from tests.lora_small import logits, trained, with_lora
from tests.tuning_small import assert_same, changed, small_model, weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unmerge_brings_back_the_very_weights(dtype):
    model = with_lora(dtype=dtype)
    before, beside = weights(model), logits(model)
    lora.merge(model)
    assert trained(model) == []
    bases = {name for name in before if ".base_layer." in name}
    assert changed(model, before) == bases
    merged = copy.deepcopy(model)
    lora.unmerge(model)
    assert not changed(model, before)
    assert torch.equal(logits(model), beside)
    assert len(trained(model)) == 42
    lora.unmerge(merged)
    assert_same(merged, model)


def test_a_merged_model_gives_the_same_logits_as_a_plain_one():
    model = with_lora()
    beside = logits(model)
    lora.merge(model)
    torch.testing.assert_close(logits(model), beside, atol=1e-5, rtol=1e-5)
    assert (logits(model) - logits(small_model())).abs().max() > 0.1
    plain = copy.deepcopy(model)
    lora.remove(plain)
    assert set(plain.state_dict()) == set(small_model().state_dict())
    assert torch.equal(logits(model), logits(plain))


def test_merging_rounds_once():
    model = with_lora(dtype=torch.bfloat16)
    layer = model.model.layers[1].self_attn.k_proj
    exact = layer.weight.double() + layer.settings["default"].scale * (
        layer.lora_B["default"].double() @ layer.lora_A["default"].double()
    )
    lora.merge(model)
    nearest = exact.float().bfloat16()
    assert (layer.weight == nearest).float().mean() > 0.99  # fp32 may round the sum to a tie


def test_a_removed_merged_model_is_an_ordinary_checkpoint(tmp_path):
    model = with_lora()
    beside = logits(model)
    lora.merge(model)
    lora.remove(model)
    model.save_pretrained(tmp_path)
    again = LlamaForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(again), beside, atol=1e-5, rtol=1e-5)
