"""Parameter counts against the published tables and against transformers' own models."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.sizes import GPT1_VOCABULARY, SIZES, decoder_parameters, readings, size_rows

BY_NAME = {size.name: size for size in SIZES}
GPT2 = [size for size in SIZES if size.name.startswith("GPT-2")]
GPT3 = [size for size in SIZES if size.name.startswith("GPT-3")]


def count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())  # a tied one counts once


def millions(parameters: int) -> int:
    return round(parameters / 1e6)


def test_the_closed_form():
    d, layers, vocabulary, context = 48, 3, 100, 32
    expected = layers * (12 * d**2 + 13 * d) + (vocabulary + context) * d + 2 * d
    assert decoder_parameters(layers, d, vocabulary, context) == expected
    without = decoder_parameters(layers, d, vocabulary, context, final_norm=False)
    assert without == expected - 2 * d
    assert decoder_parameters(layers, d, vocabulary, context, mlp_width=4 * d) == expected


@pytest.mark.parametrize("size", GPT2, ids=lambda size: size.name)
def test_gpt2_equals_transformers(size):
    config = GPT2Config(
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.heads,
        vocab_size=size.vocab_size,
        n_positions=size.context_length,
    )
    with torch.device("meta"):
        assert count(GPT2LMHeadModel(config)) == size.computed


def test_gpt1_equals_transformers():
    size = BY_NAME["GPT-1"]
    config = OpenAIGPTConfig()
    assert (config.vocab_size, config.n_positions) == (size.vocab_size, size.context_length)
    with torch.device("meta"):
        assert count(OpenAIGPTLMHeadModel(config)) == size.computed == 116_534_784


@pytest.mark.parametrize("size", [*GPT2, *GPT3], ids=lambda size: size.name)
def test_our_decoder_counts_the_same(size):
    width = size.true_width or size.width
    config = GPTConfig(
        size.vocab_size, size.context_length, size.layers, width // size.head_width, width
    )
    assert config.parameters == size.computed


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_counts_round_to_the_published_ones(size):
    """To the digits of the corrected count; the printed ones of GPT-3 are names, within 2%."""
    assert abs(size.computed / 1e6 - size.restated) <= size.unit / 2
    if size not in GPT2:
        assert size.computed / 1e6 == pytest.approx(size.printed, rel=0.02)


def test_gpt2s_wrong_counts_are_those_of_gpt1s_vocabulary():
    with_gpt1s = [millions(size.count(vocab_size=GPT1_VOCABULARY)) for size in GPT2]
    assert with_gpt1s == [117, 345, 762, 1542] == [size.printed for size in GPT2]
    assert [millions(size.computed) for size in GPT2] == [124, 355, 774, 1558]
    agrees = [row["agrees with"] for row in readings() if row["model"].startswith("GPT-2")]
    assert agrees == ["printed", "restated"] * 4


def test_heads_times_head_width_is_the_width_but_for_two():
    odd = {size.name for size in SIZES if size.heads * size.head_width != size.width}
    assert odd == {"GPT-3 XL", "GPT-3 13B"}
    agrees = {row["reading"]: row["agrees with"] for row in readings()}
    assert agrees["width 5,120 = 40 heads of 128"] == "restated"
    assert agrees["width 5,140, as printed"] == "neither"
    assert agrees["16 heads of 128 = 2,048, the width"] == "restated"
    assert agrees["24 heads of 128 = 3,072"] == "neither"
    large = BY_NAME["GPT-3 13B"]
    assert millions(large.computed) == 12_853
    assert millions(large.count(width=5140)) == 12_953


def test_rows_are_a_table():
    rows = size_rows()
    assert [row["model"] for row in rows] == [size.name for size in SIZES]
    assert {row["agrees with"] for row in rows} == {"restated"}
    assert len({tuple(row) for row in rows}) == len({tuple(row) for row in readings()}) == 1
