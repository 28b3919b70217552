"""Whole models with rounded weights, and models that are trained for it."""

import copy

import bitsandbytes as bnb
import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from adaptlab.errors import AdaptlabError
from adaptlab.quantize import absmax, blockwise, fake, whole
from adaptlab.tuning.identity import fingerprint
from adaptlab.tuning.loop import fit
from adaptlab.tuning.recipe import Recipe
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, assert_same, changed, labelled, small_model, toy, weights

IDS = torch.arange(6, 26).view(2, 10)
ROUGH = Recipe(1e-2, epochs=5, batch_size=8)


def how(weight: torch.Tensor) -> torch.Tensor:
    return blockwise.quantise(weight).dequantise()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def test_all_linear_weights_and_no_others():
    model = small_model()
    names = [name for name, _ in whole.linear_weights(model)]
    assert len(names) == 3 * 7
    assert not [name for name in names if "proj" not in name]
    before = weights(model)
    assert whole.apply_(model, how) is model
    assert changed(model, before) == set(names)


def test_a_copy_leaves_the_model_as_it_was():
    model = small_model(torch.bfloat16)
    before = weights(model)
    made = whole.quantised(model, how)
    assert_same(model, copy.deepcopy(model).to(torch.bfloat16))
    assert not changed(model, before)
    assert_same(made, whole.apply_(copy.deepcopy(model), how))
    shared = {p.data_ptr() for p in made.parameters()} & {p.data_ptr() for p in model.parameters()}
    assert not shared
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}


def test_as_bitsandbytes_linear_layers_compute():
    model = small_model(hidden_size=64, intermediate_size=128)
    theirs = copy.deepcopy(model)
    for name, layer in list(whole.linear_layers(theirs)):
        made = bnb.nn.LinearNF4(layer.in_features, layer.out_features, bias=False)
        made.weight = bnb.nn.Params4bit(
            layer.weight.data, requires_grad=False, quant_type="nf4", module=made
        )
        made.support_avx512bf16_for_cpu = False
        theirs.set_submodule(name, made.to("cpu"))
    ours = whole.quantised(model, how)
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-5)
    assert not torch.allclose(logits(ours), logits(model), atol=1e-3)


def test_the_bundled_model(bundled):
    """The sizes that are known of it, in bf16 and with QLoRA's 4 bits."""
    assert len(list(whole.linear_weights(bundled.model))) == 30 * 7
    assert whole.model_bytes(bundled.model, 16) == 2 * 134_515_008
    assert round(whole.model_bytes(bundled.model, blockwise.bits_per_parameter()) / 1e6) == 111


def test_a_tied_head_counts_once_and_one_of_its_own_too():
    tied, own = small_model(tie_word_embeddings=True), small_model()
    assert whole.model_bytes(own, 4) - whole.model_bytes(tied, 4) == 2 * 64 * 32


def test_what_cannot_be_quantised_is_one_line():
    with pytest.raises(AdaptlabError, match=r"q_proj\.weight of \[32, 32\] came back as \[32\]"):
        whole.quantised(small_model(), lambda weight: weight[0])
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2))
    with pytest.raises(AdaptlabError, match="GPT2LMHeadModel has no linear layer"):
        whole.apply_(gpt2, how)


@pytest.mark.parametrize("per", ["tensor", "channel", 4])
def test_the_gradient_is_the_plain_one_at_the_rounded_weight(per):
    torch.manual_seed(0)
    weight, x, y = torch.randn(5, 10, requires_grad=True), torch.randn(7, 10), torch.randn(7, 5)
    rounded = absmax.quantise(weight, 3, per).dequantise()
    used = fake.fake_quantise(weight, 3, per)
    assert torch.equal(used, rounded)
    F.mse_loss(F.linear(x, used), y, reduction="sum").backward()
    assert torch.allclose(weight.grad, 2 * (x @ rounded.T - y).T @ x, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weight.grad, 2 * (x @ weight.detach().T - y).T @ x, rtol=1e-2)


def test_a_whole_model_computes_with_the_rounded_weights():
    model = small_model(attention_bias=True)
    rounded = whole.quantised(model, lambda w: absmax.quantise(w, 4, 16).dequantise())
    before = weights(model)
    assert fake.make_quantisation_aware(model, 4, 16) == 21
    assert list(weights(model)) == list(before)
    assert not changed(model, before)
    assert torch.equal(logits(model), logits(rounded))
    aware = logits(model)
    assert fake.finish(model) is model
    assert torch.equal(logits(model), aware)
    assert_same(model, rounded)
    assert {type(layer) for _, layer in whole.linear_layers(model)} == {torch.nn.Linear}
    assert not hasattr(model.config, fake.SETTING)


@pytest.mark.parametrize("runtime", ["fp32", "bf16"])
def test_the_loop_trains_the_full_weights(fp32, runtime):
    model = labelled()
    fake.make_quantisation_aware(model, 3)
    before = weights(model)
    history = fit(model, toy(), ROUGH, fp32 if runtime == "fp32" else BF16)
    assert sum(history.losses[-3:]) < 0.7 * sum(history.losses[:3])
    assert changed(model, before) == set(before)
    _, weight = next(whole.linear_weights(model))
    assert not torch.equal(weight, absmax.quantise(weight, 3).dequantise())  # full, not rounded
    aware = logits(model)
    fake.finish(model)
    assert torch.equal(logits(model), aware)
    assert torch.equal(weight, next(whole.linear_weights(model))[1])
    assert len(weight[0].unique()) <= 7


@pytest.mark.parametrize("per", ["tensor", "channel"])
def test_training_for_it_beats_rounding_afterwards(per):
    """Least squares, whose best full weights are known; inputs that go together make errors that
    could cancel, if only the weights knew of each other's rounding."""
    torch.manual_seed(0)
    x = torch.randn(512, 4) @ torch.randn(4, 24) + 0.1 * torch.randn(512, 24)
    best = torch.randn(8, 24)
    y, weight = x @ best.T, best.clone().requires_grad_(True)

    def loss() -> torch.Tensor:
        return F.mse_loss(F.linear(x, fake.fake_quantise(weight, 3, per)), y)

    afterwards, optimizer = loss().item(), torch.optim.Adam([weight], 1e-2)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 400)
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert loss().item() < 0.6 * afterwards


def test_a_checkpoint_of_other_bits_is_another_model(fp32, tmp_path):
    plain, three, four = labelled(), labelled(), labelled()
    fake.make_quantisation_aware(three, 3)
    fake.make_quantisation_aware(four, 4)
    assert len({fingerprint(model) for model in (plain, three, four)}) == 3


def test_frozen_weights_and_evaluation_stay_as_they_are():
    model = labelled(top=1)
    trained = [p.requires_grad for p in model.parameters()]
    fake.make_quantisation_aware(model, 4)
    assert [p.requires_grad for p in model.parameters()] == trained
    assert not any(layer.training for _, layer in whole.linear_layers(model))
    fake.finish(model)
    assert [p.requires_grad for p in model.parameters()] == trained


def test_what_cannot_be_made_aware_is_one_line():
    model = small_model()
    with pytest.raises(AdaptlabError, match="not quantisation-aware: nothing to finish"):
        fake.finish(model)
    with pytest.raises(AdaptlabError, match="integers of 1 bits"):
        fake.make_quantisation_aware(model, 1)
    assert not any(isinstance(x, fake.FakeQuantLinear) for _, x in whole.linear_layers(model))
    fake.make_quantisation_aware(model, 8)
    with pytest.raises(AdaptlabError, match="quantisation-aware already"):
        fake.make_quantisation_aware(model, 4)
