"""LoRA: what cannot be done is one line and changes nothing; and a 4-bit base."""

import math

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import lora
from adaptlab.tuning.lora import Lora
from tests.gpt_small import one_thread as one_thread
from tests.lora_small import logits, moved, trained, with_lora
from tests.tuning_small import changed, small_model, weights


def in_four_bits() -> LlamaForCausalLM:
    """A small model whose up_proj are bitsandbytes' 4-bit layers."""
    model = small_model(hidden_size=64, intermediate_size=128)
    for layer in model.model.layers:
        coded = Linear4bit(64, 128, bias=False, quant_type="nf4", compute_dtype=torch.float32)
        coded.load_state_dict(layer.mlp.up_proj.state_dict())
        layer.mlp.up_proj = coded.to("cpu")  # this quantises
    return model.eval()


def test_a_four_bit_base_is_trained_beside_and_never_merged_into():
    model = in_four_bits()
    lora.add(model, Lora(targets=("up_proj", "q_proj")))
    start = logits(model)
    lora.use(model, None)
    assert torch.equal(logits(model), start)
    lora.use(model, "default")
    logits(moved(model))  # this would repack the weights, and spoil the gradients
    layer = model.model.layers[1].mlp.up_proj
    before, x = weights(model), torch.randn(5, 64, requires_grad=True)
    layer(x).sum().backward()
    dense = nn.functional.linear(torch.eye(64), layer.lora_A["default"]) @ layer.lora_B["default"].T
    dense = 2 * dense + layer.base_layer(torch.eye(64))  # (in, out)
    torch.testing.assert_close(x.grad, dense.sum(1).expand(5, 64), atol=1e-5, rtol=1e-4)
    with pytest.raises(
        AdaptlabError, match=r"up_proj is quantised: .* rounding again, so .* beside"
    ):
        lora.merge(model)
    assert not changed(model, before)


def test_a_repacked_four_bit_base_is_refused():
    model = in_four_bits()
    model.model.layers[0].mlp.up_proj.weight.quant_state.packing_format_for_cpu = True
    with pytest.raises(AdaptlabError, match=r"up_proj was repacked .* before its first use"):
        lora.add(model, Lora())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank is a whole number, 1 or more, not 0"),
        ({"rank": 2.5}, "rank is a whole number, 1 or more, not 2.5"),
        ({"alpha": 0}, "alpha must be above 0, not 0"),
        ({"alpha": math.nan}, "alpha must be above 0, not nan"),
        ({"dropout": 1.0}, "dropout is a share below 1, not 1.0"),
        ({"dropout": -0.1}, "dropout is a share below 1, not -0.1"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(AdaptlabError, match=message):
        Lora(**settings)


REFUSED = [
    (lambda m: lora.add(m, Lora(targets="q_prj"), "b"), "'q_prj'; did you mean q_proj"),
    (lambda m: lora.add(m, Lora(targets=("q_proj", "x")), "b"), "linear layer 'x'; known: .*q_pr"),
    (
        lambda m: lora.add(m, Lora(targets="model.layers.1.self_atn.q_proj"), "b"),
        "did you mean model.layers.1.self_attn.q_proj",
    ),
    (lambda m: lora.add(m, Lora(targets=()), "b"), "a LoRA needs targets"),
    (lambda m: lora.add(m, Lora(rank=17), "b"), "rank 17 is above the width of .*k_proj, 16"),
    (lambda m: lora.add(m, Lora()), "has an adapter 'default' already"),
    (lambda m: lora.add(m, Lora(), "a.b"), "'a.b' cannot be an adapter's name"),
    (lambda m: lora.add(m, Lora(), "keys"), "'keys' cannot be an adapter's name"),
    (lambda m: lora.add(m, Lora(), ""), "'' cannot be an adapter's name"),
    (lambda m: lora.use(m, "defualt"), "unknown adapter 'defualt'; did you mean default"),
    (lambda m: lora.unmerge(m), "no adapter is merged"),
]  # fmt: skip


@pytest.mark.parametrize(("job", "message"), REFUSED)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(job, message):
    model = with_lora()
    before, names = weights(model), trained(model)
    with pytest.raises(AdaptlabError, match=message) as caught:
        job(model)
    assert "\n" not in str(caught.value)
    assert set(before) == set(model.state_dict())
    assert not changed(model, before)
    assert trained(model) == names
    assert lora.active(model) == "default"


def test_a_merged_model_must_be_unmerged_first():
    model = with_lora()
    lora.merge(model)
    before = weights(model)
    for job in (
        lambda: lora.add(model, Lora(), "other"),
        lambda: lora.use(model, None),
        lambda: lora.merge(model),
    ):
        with pytest.raises(AdaptlabError, match="'default' is merged: unmerge it first"):
            job()
    assert set(before) == set(model.state_dict())
    assert not changed(model, before)


def test_without_adapters_there_is_nothing_to_use_merge_or_remove():
    model = small_model()
    for job in (lambda: lora.use(model, "default"), lambda: lora.remove(model)):
        with pytest.raises(AdaptlabError, match=r"has no adapters: lora\.add puts one in"):
            job()
    with pytest.raises(AdaptlabError, match="no adapter is active: there is nothing to merge"):
        lora.merge(model)


def test_a_shared_weight_is_not_merged_into():
    model = small_model(tie_word_embeddings=True)
    lora.add(model, Lora(targets=("q_proj", "lm_head")))
    moved(model)
    before = weights(model)
    with pytest.raises(AdaptlabError, match="lm_head shares its weight with another layer"):
        lora.merge(model)
    assert not changed(model, before)


def test_a_model_without_linear_layers_is_refused():
    config = AutoConfig.for_model("gpt2", vocab_size=64, n_embd=16, n_layer=1, n_head=2)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(AdaptlabError, match=r"the decoder of GPT2LMHeadModel has no nn\.Linear"):
        lora.add(model, Lora())
