"""Only what is named is trained, and a cut model is the same model."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.scoring import score_options
from adaptlab.tuning import network, parts
from adaptlab.tuning.examples import classify, collate
from adaptlab.tuning.loop import fit
from adaptlab.tuning.parts import cut, frozen_layers
from adaptlab.tuning.peft_methods import add_lora, add_soft_prompt
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import (
    SHORT,
    changed,
    labelled,
    last_logits,
    numbers,
    small_model,
    toy,
    weights,
)  # fmt: skip

QUESTIONS = ["A moving film.\nSentiment:", "Dull.\nSentiment:", "So bad that it hurts.\nSentiment:"]
WORDS = (" negative", " positive")
NORM, HEAD, EMBEDDINGS = "model.norm.weight", "lm_head.weight", "model.embed_tokens.weight"


def layer(*numbers: int) -> set[str]:
    names = [name for name, _ in small_model().named_parameters()]
    return {n for n in names for number in numbers if n.startswith(f"model.layers.{number}.")}


CHOICES = [
    (lambda m: parts.train_top(m, 0), {HEAD}, 3),
    (lambda m: parts.train_top(m, 1), {HEAD, NORM} | layer(2), 2),
    (lambda m: parts.train_top(m, 3), {HEAD, NORM} | layer(0, 1, 2), 0),
    (lambda m: parts.train_bottom(m, 0), {HEAD}, 3),
    (lambda m: parts.train_bottom(m, 1), {HEAD} | layer(0), 0),
    (lambda m: parts.train_bottom(m, 3), {HEAD, NORM} | layer(0, 1, 2), 0),
    (lambda m: parts.train_layers(m, range(1, 2)), {HEAD} | layer(1), 1),
    (lambda m: parts.train_layers(m, range(0, 3, 2)), {HEAD, NORM} | layer(0, 2), 0),
    (parts.train_everything, {HEAD, NORM, EMBEDDINGS} | layer(0, 1, 2), 0),
]


@pytest.mark.parametrize(("choose", "expected", "frozen"), CHOICES)
def test_exactly_what_is_named_is_trained(choose, expected, frozen, fp32):
    model = labelled()
    count = choose(model)
    network.loss(model, collate(toy(8))).backward()
    named = dict(model.named_parameters())
    assert {name for name, p in named.items() if p.grad is not None} == expected
    assert all(named[name].grad.abs().sum() > 0 for name in expected)
    assert count == sum(named[name].numel() for name in expected)
    assert frozen_layers(model) == frozen
    before = weights(model)
    fit(model, toy(), SHORT, fp32)
    assert changed(model, before) == expected


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda m: parts.train_top(m, 4), "has 3 layers; 4 were asked for"),
        (lambda m: parts.train_top(m, -1), "has 3 layers; -1 were"),
        (lambda m: parts.train_bottom(m, 4), "has 3 layers; 4 were asked for"),
        (lambda m: parts.train_layers(m, range(2, 4)), r"layers 0 to 2, not \[2, 3\]"),
        (lambda m: parts.with_label_head(m, numbers, ("5 6", "7")), "one token of its own"),
        (lambda m: parts.with_label_head(m, numbers, ("5", "5")), "one token of its own"),
    ],
)
def test_what_the_model_does_not_have_is_one_line(choose, message):
    model = small_model()
    trained = [p.requires_grad for p in model.parameters()]
    with pytest.raises(AdaptlabError, match=message) as caught:
        choose(model)
    assert "\n" not in str(caught.value)
    assert [p.requires_grad for p in model.parameters()] == trained


@pytest.mark.parametrize(
    ("kind", "norm"), [("gpt2", "transformer.ln_f"), ("gpt_neox", "gpt_neox.final_layer_norm")]
)
def test_models_of_another_build(kind, norm, fp32):
    config = AutoConfig.for_model(
        kind, vocab_size=64, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
        intermediate_size=16, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    model = parts.with_label_head(model, numbers, ("3", "5"))
    head = next(n for n, p in model.named_parameters() if p is model.get_output_embeddings().weight)

    def layer(number):
        return {n for n, _ in model.named_parameters() if f".{number}." in n}

    above = {head, f"{norm}.weight", f"{norm}.bias"}
    for choose, expected in (
        (lambda: parts.train_top(model, 0), {head}),
        (lambda: parts.train_top(model, 1), above | layer(2)),
        (lambda: parts.train_bottom(model, 2), {head} | layer(0) | layer(1)),
    ):
        choose()
        before = weights(model)
        fit(model, toy(), SHORT, fp32)
        assert changed(model, before) == expected
    with pytest.raises(AdaptlabError, match="has 3 layers; 4 were"):
        parts.train_top(model, 4)
    getattr(model, norm.split(".")[0]).register_module(norm.split(".")[1], None)
    with pytest.raises(AdaptlabError, match="has no final norm"):
        parts.train_top(model, 1)
    parts.train_top(model, 0)


def test_the_bias_of_an_output_head_is_kept(fp32):
    model = small_model()
    head = torch.nn.Linear(32, 64)
    model.set_output_embeddings(head)
    made = parts.with_label_head(model, numbers, ("3", "5"))
    found = network.Network(made, fp32).scores(toy())
    np.testing.assert_allclose(found, last_logits(model, toy())[:, [3, 5]], atol=1e-6)
    assert torch.equal(made.get_output_embeddings().bias, head.bias[[3, 5]])
    assert parts.train_top(made, 0) == 2 * 32 + 2


def test_a_model_without_a_head_is_one_line():
    for job in (
        lambda m: parts.with_label_head(m, numbers, ("3", "5")),
        partial(parts.train_top, k=0),
    ):
        with pytest.raises(AdaptlabError, match="LlamaModel has no output head"):
            job(small_model().model)


def test_before_training_the_label_head_is_zero_shot(bundled, fp32):
    model = parts.with_label_head(bundled.model, bundled.tokenizer, WORDS)
    examples = classify(bundled.tokenizer, QUESTIONS, [0, 0, 0])
    ours = network.Network(model, fp32).scores(examples)
    theirs = score_options(*bundled, QUESTIONS, WORDS)
    np.testing.assert_allclose(np.diff(ours, axis=1), np.diff(theirs, axis=1), atol=1e-4)
    assert bundled.model.get_output_embeddings().out_features > 2  # the model keeps its own head


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_has_the_same_label_logits(tiny, tokenizer, fp32, side):
    model = parts.with_label_head(tiny, tokenizer, WORDS)
    texts = [*QUESTIONS, "A"]
    batch = tokenizer(texts, padding=True, padding_side=side, return_tensors="pt")
    last = (batch.attention_mask * torch.arange(1, 1 + batch.input_ids.shape[1])).argmax(1)
    with torch.no_grad():
        theirs = model(**batch).logits[range(len(texts)), last]
    sided = copy.deepcopy(tokenizer)
    sided.padding_side = side
    ours = network.Network(model, fp32).scores(classify(sided, texts, [0] * 4))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_what_peft_adds_and_a_tied_head_leave_nothing_to_cut(tiny, tokenizer):
    tied = small_model(tie_word_embeddings=True)
    parts.train_top(tied, 1)
    assert frozen_layers(tied) == 0
    free = parts.with_label_head(tied, numbers, ("3", "5"))  # a head of its own
    parts.train_top(free, 1)
    assert frozen_layers(free) == 2
    soft = add_soft_prompt(tiny, tokenizer, 4, "good or bad?")
    assert frozen_layers(soft) == 0
    assert frozen_layers(add_lora(small_model(), rank=2)) == 0


def test_lora_on_the_top_layers_is_not_cut_but_trained(fp32):
    config = LoraConfig(task_type="CAUSAL_LM", r=2, layers_to_transform=[2])
    model = get_peft_model(small_model(), config)
    assert frozen_layers(model) == 0
    before = weights(model)
    fit(model, toy(), SHORT, fp32)
    assert {"layers.2" in name and "lora" in name for name in changed(model, before)} == {True}


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_cut_model_is_the_same_model(layers):
    model = small_model()
    forward, depth = model.forward, len(model.model.layers)
    lower, upper = cut(model, layers)
    ids = torch.randint(64, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = lower(input_ids=ids, use_cache=False).last_hidden_state
        found = upper(inputs_embeds=hidden, use_cache=False).logits
        torch.testing.assert_close(found, model(ids).logits, atol=1e-6, rtol=0)
    assert (len(lower.layers), len(model.model.layers)) == (layers, depth)
    assert model.forward == forward
    assert all(upper.model.layers[i] is model.model.layers[i] for i in range(layers, depth))
    assert {id(p) for p in upper.parameters()} < {id(p) for p in model.parameters()}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gemma2", {"sliding_window": 4}),  # every other layer sees a window only
        ("olmo3", {"sliding_window": 4}),
        ("gemma", {}),  # embeddings are scaled
        ("smollm3", {}),  # every fourth layer has no positions
        ("granite", {"embedding_multiplier": 12.0}),  # scales what it is fed: it is left whole
    ],
)
def test_other_models_are_cut_rightly_or_not_at_all(kind, changes, fp32, monkeypatch):
    config = AutoConfig.for_model(kind, **{
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
    } | changes)  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4 if weight.dim() > 1 else 1)  # at first all layers do next to nothing
    parts.train_top(model, 1)
    assert frozen_layers(model) == (0 if kind == "granite" else 3)
    found = network.Network(model, fp32).scores(toy())
    np.testing.assert_allclose(found, last_logits(model, toy()), atol=1e-4)
