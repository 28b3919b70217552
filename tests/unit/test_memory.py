"""Memory: what is predicted from the configuration is what torch allocates."""

from dataclasses import asdict

import pytest
import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import GPT2Config, LlamaConfig, LlamaForCausalLM

from adaptlab.errors import AdaptlabError
from adaptlab.runtime import Runtime
from adaptlab.tuning.examples import Example, Examples
from adaptlab.tuning.memory import Step, predict, rule
from adaptlab.tuning.memory_kept import kept_by_layer
from adaptlab.tuning.memory_measured import measure_fit, measured
from adaptlab.tuning.parts import train_everything, train_top, with_label_head
from adaptlab.tuning.recipe import Recipe

BF16, FP32 = torch.bfloat16, torch.float32
SHAPES = {  # width, MLP, heads, key-value heads, width of a head
    "plain": (64, 160, 4, 4, 16),
    "grouped": (64, 96, 8, 2, 8),
    "wide heads": (48, 200, 2, 2, 48),
}


def llama(shape="grouped", layers=4, dtype=BF16, labels=2, tied=False) -> LlamaForCausalLM:
    torch.manual_seed(0)
    names = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    config = LlamaConfig(
        vocab_size=300,
        num_hidden_layers=layers,
        tie_word_embeddings=tied,
        **dict(zip((*names, "head_dim"), SHAPES[shape], strict=True)),
    )
    model = LlamaForCausalLM(config).to(dtype)
    if labels:
        model.set_output_embeddings(nn.Linear(config.hidden_size, labels, bias=False, dtype=dtype))
    return model


def choose(model, layers) -> None:
    train_everything(model) if layers == "all" else train_top(model, layers)


def texts(batch, length, asked=1) -> Examples:
    """Random tokens; a label is asked at the end, or a token at each of the last positions."""
    at = tuple(range(length - asked, length))
    ids = torch.randint(0, 300, (batch, length), generator=torch.Generator().manual_seed(0))
    return Examples(tuple(Example(tuple(row), at, (1,) * asked) for row in ids.tolist()))


def both(model, layers, batch, length, *, labels=2, asked=1, dtype=BF16, **settings):
    """Predicted and measured."""
    choose(model, layers)
    recipe = Recipe(1e-3, batch_size=batch, **settings)
    runtime = Runtime(torch.device("cpu"), dtype, torch.get_num_threads())
    expected = predict(
        model.config, batch, length, trained_layers=layers, labels=labels, asked=asked,
        dtype=dtype, **settings,
    )  # fmt: skip
    return expected, measure_fit(model, texts(batch, length, asked), recipe, runtime)


def assert_close(expected: Step, found: Step) -> None:
    """Within 10%: the total of each moment, and each part of it that is above 5%."""
    assert expected.total == pytest.approx(found.total, rel=0.1)
    for moment in ("backward", "update"):
        ours, theirs = getattr(expected, moment), getattr(found, moment)
        assert ours.total == pytest.approx(theirs.total, rel=0.1), moment
        for part, size in asdict(theirs).items():
            if max(size, getattr(ours, part)) > 0.05 * theirs.total:
                assert getattr(ours, part) == pytest.approx(size, rel=0.1), (moment, part)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("attention", "length"), [("eager", 24), ("sdpa", 300)])
@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_a_layer_keeps_what_the_table_says(shape, attention, length, dtype):
    def saved(layers: int) -> int:
        model = llama(shape, layers, dtype).train()
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

    table = kept_by_layer(llama(shape).config, 3, length, dtype)
    assert sum(kept.bytes for kept in table) == saved(2) - saved(1)


@pytest.mark.parametrize("dtype", [BF16, FP32])
@pytest.mark.parametrize(
    ("layers", "batch", "length", "settings"),
    [
        (0, 4, 32, {}),
        (0, 6, 90, {}),
        (1, 4, 32, {}),
        (2, 3, 50, {}),
        (4, 4, 32, {}),
        ("all", 4, 32, {}),
        ("all", 2, 260, {}),
        ("all", 4, 40, {"checkpointing": True}),
        (2, 6, 80, {"checkpointing": True}),
        ("all", 6, 40, {"accumulation": 3}),
        (2, 8, 60, {"accumulation": 2}),
    ],
)
def test_what_is_predicted_is_measured(layers, batch, length, settings, dtype):
    assert_close(*both(llama(dtype=dtype), layers, batch, length, dtype=dtype, **settings))


@pytest.mark.parametrize("shape", ["plain", "wide heads"])
def test_other_shapes(shape):
    assert_close(*both(llama(shape), "all", 5, 27))
    assert_close(*both(llama(shape), 2, 3, 64))


@pytest.mark.parametrize("tied", [True, False])
def test_every_position_may_be_asked_for_a_token(tied):
    model = llama(labels=None, tied=tied)
    assert_close(*both(model, "all", 4, 32, labels=None, asked=32))


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("layers", ["all", 4])
def test_the_bundled_model(bundled, layers):
    model = LlamaForCausalLM(bundled.model.config).to(BF16)
    labelled = with_label_head(model, bundled.tokenizer, (" negative", " positive"))
    assert_close(*both(labelled, layers, 4, 32))


def test_measuring_leaves_the_model_as_it_was():
    model = llama(dtype=FP32)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    both(model, 2, 4, 16)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_the_peak_is_that_of_torchs_own_tracker(dtype):
    # Which knows neither frozen weights nor a second step, so that a loop needs ours.
    model = llama(dtype=dtype, labels=None).train()
    ids = torch.zeros(4, 32, dtype=torch.long)

    def step() -> None:
        optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
        model(input_ids=ids, use_cache=False).logits.float().logsumexp(-1).mean().backward()
        optimizer.step()
        model.zero_grad()

    theirs = MemTracker()
    theirs.track_external(model)
    with theirs:
        step()
    assert measured(step, model).total == theirs.get_tracker_snapshot("peak")[ids.device]["Total"]


def test_an_optimizer_from_before_counts():
    model = llama(layers=1, labels=None)
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        model(input_ids=torch.zeros(1, 4, dtype=torch.long)).logits.sum().backward()
        optimizer.step()

    step()
    numbers = sum(weight.numel() for weight in model.parameters())
    assert measured(step, model).backward.optimizer == 0
    assert measured(step, model, optimizer).backward.optimizer >= 2 * 2 * numbers


def test_fewer_layers_and_checkpoints_save_memory():
    config = llama().config
    totals = [predict(config, 8, 64, trained_layers=k, labels=2).total for k in range(5)]
    assert totals == sorted(set(totals))
    whole = predict(config, 8, 64, trained_layers="all", labels=2)
    assert totals[-1] < whole.total
    less = predict(config, 8, 64, trained_layers="all", labels=2, checkpointing=True)
    assert less.backward.activations < 0.7 * whole.backward.activations
    assert less.update == whole.update


def test_the_output_of_frozen_layers_is_kept_of_every_text():
    one, many = (predict(llama().config, 8, 64, trained_layers=1, labels=2, texts=n).total
                 for n in (8, 108))  # fmt: skip
    assert many - one == 100 * 64 * 64 * 2  # texts, tokens, width, bytes


def test_rules_of_thumb():
    assert sorted(rule(1000).values()) == [8000, 16000, 16000, 18000]
    assert sorted(rule(1000, 0).values()) == [2000, 2000, 2000, 4000]
    step = predict(llama(labels=None).config, 1, 1, trained_layers="all")
    numbers = sum(weight.numel() for weight in llama(labels=None).parameters())
    assert step.update.total == pytest.approx(18 * numbers, rel=0.1)


def test_mistakes_are_one_line():
    def refuse(match: str, config, batch=1, **settings) -> None:
        with pytest.raises(AdaptlabError, match=match):
            predict(config, batch, 8, **{"trained_layers": 1, "labels": 2} | settings)

    refuse("the model has 4 layers; 5 were asked for", llama().config, trained_layers=5)
    refuse("the model has 4 layers; -1 were asked for", llama().config, trained_layers=-1)
    refuse("at least 1", llama().config, batch=0)
    refuse("shares its weights", llama(tied=True).config, labels=None)
    refuse("only a model built like Llama", GPT2Config())
