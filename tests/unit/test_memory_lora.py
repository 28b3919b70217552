"""Memory of LoRA and QLoRA: what is predicted from the configuration is what torch allocates."""

from dataclasses import asdict

import pytest
import torch
from torch import nn
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM

from adaptlab.errors import AdaptlabError
from adaptlab.quantize.four_bit import load_4bit, requantised
from adaptlab.runtime import Runtime
from adaptlab.tuning import lora, peft_methods
from adaptlab.tuning.examples import Example, Examples
from adaptlab.tuning.memory import predict
from adaptlab.tuning.memory_lora import (
    NF4_BITS,
    adapter_numbers,
    kept_with_lora,
    linear_numbers,
    linears,
    predict_lora,
    weight_bytes,
)
from adaptlab.tuning.memory_measured import measure_fit
from adaptlab.tuning.parts import with_label_head
from adaptlab.tuning.recipe import Recipe
from tests.gpt_small import one_thread as one_thread

BF16, FP32 = torch.bfloat16, torch.float32
EVERY = tuple(linears(LlamaConfig()))
ATTENTION = ("q_proj", "v_proj")


def llama(layers=4, dtype=BF16, labels=2, **changes) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = {
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**config | changes)).to(dtype)
    if labels:
        model.set_output_embeddings(nn.Linear(64, labels, bias=False, dtype=dtype))
    return model


def texts(batch, length, asked=1) -> Examples:
    at = tuple(range(length - asked, length))
    ids = torch.randint(0, 300, (batch, length), generator=torch.Generator().manual_seed(0))
    return Examples(tuple(Example(tuple(row), at, (1,) * asked) for row in ids.tolist()))


def ours(model, rank, targets="all-linear"):
    lora.add(model, lora.Lora(rank, targets=targets))
    return model


def theirs(model, rank, targets="all-linear"):
    assert targets == "all-linear"
    return peft_methods.add_lora(model, rank)


def both(model, how, batch, length, *, rank=4, dtype=BF16, base_bits=None, **settings):
    """Predicted and measured."""
    labels, asked = settings.pop("labels", 2), settings.pop("asked", 1)
    targets = settings.pop("targets", "all-linear")
    expected = predict_lora(
        model.config, batch, length, rank=rank, targets=targets, labels=labels, asked=asked,
        dtype=dtype, base_bits=base_bits, **settings,
    )  # fmt: skip
    runtime = Runtime(torch.device("cpu"), dtype, torch.get_num_threads())
    tuned = how(model, rank, targets)
    recipe = Recipe(1e-3, batch_size=batch, **settings)
    return expected, measure_fit(tuned, texts(batch, length, asked), recipe, runtime)


def assert_close(expected, found, rel=0.1) -> None:
    """Within 10%: the total of each moment, and each part of it that is above 5%."""
    for moment in ("backward", "update"):
        a, b = getattr(expected, moment), getattr(found, moment)
        assert a.total == pytest.approx(b.total, rel=rel), moment
        for part, size in asdict(b).items():
            if max(size, getattr(a, part)) > 0.05 * b.total:
                assert getattr(a, part) == pytest.approx(size, rel=rel), (moment, part)


@pytest.mark.parametrize("targets", [EVERY, ATTENTION, ("o_proj",), ("up_proj", "down_proj")])
@pytest.mark.parametrize(("attention", "length"), [("eager", 24), ("sdpa", 300)])
@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_a_layer_keeps_what_the_table_says(targets, attention, length, dtype):
    def saved(layers: int) -> int:
        model = ours(llama(layers, dtype).requires_grad_(False), 4, targets).to(dtype).train()
        model.set_attn_implementation(attention)
        weights = {weight.data_ptr() for weight in model.parameters()}
        sizes = {}

        def note(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage  # held, so that no address is used twice
            return tensor

        ids = torch.zeros(3, length, dtype=torch.long)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(input_ids=ids, use_cache=False)
        return sum(storage.nbytes() for storage in sizes.values())

    table = kept_with_lora(llama().config, 3, length, dtype, rank=4, targets=targets)
    assert sum(kept.bytes for kept in table) == saved(3) - saved(2)


@pytest.mark.parametrize("dtype", [BF16, FP32])
@pytest.mark.parametrize("bits", [None, NF4_BITS], ids=["lora", "qlora"])
@pytest.mark.parametrize(
    ("how", "batch", "length", "settings"),
    [
        (ours, 4, 32, {}),
        (theirs, 4, 32, {"rank": 16}),
        (ours, 2, 260, {}),
        (ours, 3, 60, {"targets": ATTENTION}),
        (theirs, 6, 40, {"checkpointing": True}),
        (ours, 4, 32, {"labels": None, "asked": 32}),
    ],
)
def test_what_is_predicted_is_measured(how, batch, length, settings, bits, dtype):
    model = llama(dtype=dtype, labels=settings.get("labels", 2))
    model = requantised(model) if bits else model
    assert_close(*both(model, how, batch, length, dtype=dtype, base_bits=bits, **settings))


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("bits", [None, NF4_BITS], ids=["lora", "qlora"])
def test_the_bundled_model(bundled, bits):
    runtime = Runtime(torch.device("cpu"), BF16, torch.get_num_threads())
    if bits:
        base = load_4bit("smollm2-135m-instruct", runtime=runtime).model
    else:
        base = LlamaForCausalLM(bundled.model.config).to(BF16)
    base = with_label_head(base, bundled.tokenizer, (" negative", " positive"))
    expected, found = both(base, theirs, 4, 40, rank=8, base_bits=bits)
    assert_close(expected, found, rel=0.03)
    again = measure_fit(
        peft_methods.add_lora(base, 8), texts(2, 270), Recipe(1e-3, batch_size=2), runtime
    )
    assert_close(
        predict_lora(base.config, 2, 270, rank=8, labels=2, base_bits=bits), again, rel=0.05
    )


def test_weights_are_counted_as_torch_counts_them():
    for labels, tied in ((2, False), (None, False), (None, True)):
        model = llama(labels=labels, tie_word_embeddings=tied)
        total = sum(weight.nbytes for weight in model.parameters())
        assert weight_bytes(model.config, labels) == total
        assert weight_bytes(model.config, labels, base_bits=16, everything=True) == total
        norms = 9 * 64
        four = weight_bytes(model.config, labels, base_bits=4, everything=True)
        assert four == (total // 2 - norms) // 2 + 2 * norms
    model = llama()
    frozen = sum(weight.numel() for weight in model.parameters())
    small = sum(w.numel() for n, w in model.named_parameters() if "proj" in n)
    assert linear_numbers(model.config) == small
    assert weight_bytes(model.config, 2, FP32, 4) == 4 * (frozen - small) + small // 2
    tuned = ours(model, 3, ATTENTION)
    trained = sum(weight.numel() for weight in tuned.parameters()) - frozen
    assert adapter_numbers(model.config, 3, ATTENTION) == trained


def test_nf4_bits_are_the_papers():
    assert round(NF4_BITS, 3) == 4.127


def test_what_saves_what():
    config = llama().config

    def of(**settings):
        return predict_lora(config, 8, 64, **{"rank": 4, "labels": 2} | settings).backward

    full = predict(config, 8, 64, trained_layers="all", labels=2)
    plain, small = of(), of(base_bits=4.0)
    saved = plain.weights - small.weights
    assert saved == linear_numbers(config) * (16 - 4) // 8
    assert plain.activations == small.activations  # which 4 bits do not touch
    assert plain.total < full.total
    assert 0.7 < plain.activations / full.backward.activations < 1
    assert of(checkpointing=True).activations < 0.5 * plain.activations
    assert of(targets=ATTENTION).activations < plain.activations
    assert of(targets="q_proj") == of(targets=["q_proj", "q_proj"])
    assert of(rank=8).optimizer == 2 * plain.optimizer


def test_the_dequantised_matrix_counts_where_it_decides():
    config = llama(hidden_size=64, intermediate_size=4096).config  # few tokens, large matrices
    one, two = (predict_lora(config, 1, 1, rank=1, labels=2, base_bits=bits)
                for bits in (4.0, None))  # fmt: skip
    assert one.backward.activations - two.backward.activations == pytest.approx(
        2 * 64 * 4096, rel=0.1
    )
    assert one.update.activations == two.update.activations == 0


def test_mistakes_are_one_line():
    def refuse(match: str, config=None, batch=1, **settings) -> None:
        with pytest.raises(AdaptlabError, match=match):
            predict_lora(config or llama().config, batch, 8, **{"rank": 1, "labels": 2} | settings)

    refuse("must be at least 1", batch=0)
    refuse("must be at least 1", rank=0)
    refuse("must be at least 1", asked=0)
    refuse("above 0 and at most 32, not 0", base_bits=0)
    refuse("above 0 and at most 32, not 64", base_bits=64)
    refuse("LoRA needs targets", targets=())
    refuse("unknown target 'q_pro'; did you mean q_proj", targets=("q_pro",))
    refuse("only a model built like Llama", config=GPT2Config())
