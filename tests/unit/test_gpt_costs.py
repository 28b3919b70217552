"""Costs against published figures, and the counts they start from against transformers."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.costs import (
    A100_BF16,
    MODELS,
    Model,
    cache_bytes,
    cost_rows,
    gpu_hours,
    implied_utilisation,
    training_bytes,
    weight_bytes,
)
from adaptlab.gpt.sizes import SIZES

BY_NAME = {model.name: model for model in MODELS}
LLAMAS = {  # layers, width, heads, kv heads, width of the MLP, vocabulary, tied
    "SmolLM2-135M": (30, 576, 9, 3, 1536, 49_152, True),
    "Llama 2 7B": (32, 4096, 32, 32, 11_008, 32_000, False),
    "Llama 2 70B": (80, 8192, 64, 8, 28_672, 32_000, False),
}


@pytest.mark.parametrize("name", LLAMAS)
def test_llamas_equal_transformers(name):
    layers, width, heads, kv_heads, mlp_width, vocabulary, tied = LLAMAS[name]
    config = LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        intermediate_size=mlp_width,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
    )
    with torch.device("meta"):
        llama = LlamaForCausalLM(config)
    model = BY_NAME[name]
    assert sum(weight.numel() for weight in llama.parameters()) == model.parameters
    key = llama.model.layers[0].self_attn.k_proj.weight
    assert key.shape[0] == model.kv_heads * model.head_width
    assert len(llama.model.layers) == model.layers


@pytest.mark.parametrize("name", ["GPT-2 XL", "GPT-3 175B"])
def test_gpts_are_those_of_the_size_table(name):
    size = next(size for size in SIZES if size.name == name)
    model = BY_NAME[name]
    assert model.parameters == size.computed
    shape = (size.layers, size.heads, size.head_width, size.context_length)
    assert (model.layers, model.kv_heads, model.head_width, model.context_length) == shape


def test_bytes():
    assert [weight_bytes(10, bits) for bits in (32, 16, 8, 4)] == [40, 20, 10, 5]
    assert training_bytes(10) == 160
    assert cache_bytes(2, 3, 4) == 2 * 2 * 3 * 4 * 2
    assert cache_bytes(2, 3, 4, bits=8) == 2 * 2 * 3 * 4
    assert weight_bytes(BY_NAME["Llama 2 70B"].parameters, 16) / 1e9 == pytest.approx(138, abs=0.5)


def test_the_cache_is_as_large_as_a_real_one():
    config = GPTConfig(100, 16, layers=3, heads=4, width=32, kv_heads=2)
    model = Model.of("ours", config, training_tokens=1e6)
    keys = torch.zeros(config.layers, 2, config.kv_heads, config.head_width, dtype=torch.bfloat16)
    assert cache_bytes(model.layers, model.kv_heads, model.head_width) == keys.nbytes
    assert model.flops == 6 * config.parameters * 1e6
    assert cost_rows(1e12, 0.5, 1.0, [model])[0]["parameters"] == config.parameters


def test_sharing_keys_makes_the_cache_of_70b_smaller_than_that_of_7b():
    small, large = (
        cache_bytes(model.layers, model.kv_heads, model.head_width)
        for model in (BY_NAME["Llama 2 7B"], BY_NAME["Llama 2 70B"])
    )
    assert (small, large) == (524_288, 327_680)


def test_gpt3s_published_operations():
    """3.14e23: to its digits, half a unit of the last one."""
    model = BY_NAME["GPT-3 175B"]
    assert model.flops == pytest.approx(model.published_flops, abs=0.005e23)


def test_llama_2s_published_hours():
    """At 40% of an A100, within 10%: how well they used it was 39% and 43%."""
    for name, used in (("Llama 2 7B", 0.39), ("Llama 2 70B", 0.43)):
        model = BY_NAME[name]
        hours = gpu_hours(model.flops, A100_BF16, 0.4)
        assert hours == pytest.approx(model.published_a100_hours, rel=0.10)
        share = implied_utilisation(model.flops, model.published_a100_hours, A100_BF16)
        assert share == pytest.approx(used, abs=0.005)


def test_rows():
    rows = {row["model"]: row for row in cost_rows(A100_BF16, 0.4, 2.0)}
    assert list(rows) == list(BY_NAME)
    assert len({tuple(row) for row in rows.values()}) == 1
    xl, llama = rows["GPT-2 XL"], rows["Llama 2 70B"]
    assert xl["FLOPs"] is xl["GPU hours"] is xl["price"] is None, "its tokens were not published"
    assert llama["price"] == 2 * llama["GPU hours"]
    assert llama["bf16 (GB)"] * 8 == pytest.approx(llama["training (GB)"])
    half = cost_rows(A100_BF16 / 2, 0.4, 2.0)[3]
    assert half["GPU hours"] == pytest.approx(2 * llama["GPU hours"])
    assert half["utilisation of the A100"] == llama["utilisation of the A100"]


@pytest.mark.parametrize("bad", [(0, 0.4, 1), (1e12, 0, 1), (1e12, 1.1, 1), (1e12, 0.4, -1)])
def test_what_cannot_be_is_one_line(bad):
    with pytest.raises(AdaptlabError, match=r"must be|cannot be"):
        cost_rows(*bad)
