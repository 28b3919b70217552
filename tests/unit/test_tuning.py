"""Training: the loss is transformers', only what is named learns, and a seed decides everything."""

import numpy as np
import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.models import logits_at, trainable_parameters
from adaptlab.tuning import loop
from adaptlab.tuning.loop import Recipe, encode, fit
from adaptlab.tuning.peft_methods import add_lora, add_soft_prompt

PROMPTS = ["a good film ->", "so bad ->", "what a great and lovely thing to see ->", "awful ->"] * 4
ANSWERS = [" positive", " negative", " positive", " negative"] * 4


def test_the_loss_is_that_of_transformers_on_the_answer(tiny, tokenizer):
    examples = encode(tokenizer, PROMPTS[:4], [" positive, I say", " negative", " yes", " no no"])
    inputs, rows, columns, targets = loop._Collate(tokenizer.pad_token_id)(examples)
    ours = torch.nn.functional.cross_entropy(logits_at(tiny, rows, columns, **inputs), targets)
    width = max(len(example.ids) for example in examples)
    ids = torch.zeros(4, width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, example in enumerate(examples):
        ids[i, : len(example.ids)] = labels[i, : len(example.ids)] = torch.tensor(example.ids)
        mask[i, : len(example.ids)] = 1
        labels[i, : example.start] = -100
    theirs = tiny(input_ids=ids, attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(ours, theirs)


def test_lora_learns_and_the_base_does_not(tiny, tokenizer, fp32):
    before = {name: weight.clone() for name, weight in tiny.state_dict().items()}
    adapted = add_lora(tiny, rank=4)
    losses = fit(adapted, tokenizer, PROMPTS, ANSWERS, Recipe(1e-1, 20, batch_size=8), fp32)
    # The frozen random head bounds what can be gained: about half a nat.
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) - 0.3
    after = adapted.unload().state_dict()
    for name, weight in before.items():
        assert torch.equal(weight, after[name]), name


def test_a_soft_prompt_learns_and_nothing_else_does(tiny, tokenizer, fp32):
    adapted = add_soft_prompt(tiny, tokenizer, 4, "good or bad?")
    assert trainable_parameters(adapted) == 4 * tiny.config.hidden_size
    before = {name: weight.clone() for name, weight in adapted.named_parameters()}
    fit(adapted, tokenizer, PROMPTS, ANSWERS, Recipe(0.3, 2, batch_size=8), fp32)
    changed = {n for n, w in adapted.named_parameters() if not torch.equal(w, before[n])}
    assert changed == {n for n in before if "prompt_encoder" in n}


def test_the_seed_decides_the_run_bit_for_bit(tiny, tokenizer, fp32):
    def run(seed):
        torch.manual_seed(0)
        adapted = add_lora(tiny, rank=2)
        losses = fit(adapted, tokenizer, PROMPTS, ANSWERS, Recipe(1e-2, 2, 4, seed=seed), fp32)
        adapted.unload()
        return losses

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_every_example_comes_once_an_epoch(tokenizer):
    examples = encode(tokenizer, PROMPTS[:3] * 9, ANSWERS[:3] * 9)
    batches = list(loop._shuffled_batches(examples, Recipe(1, epochs=3, batch_size=4)))
    assert len(batches) == 3 * 7
    for epoch in range(3):
        seen = [id(e) for batch in batches[7 * epoch : 7 * epoch + 7] for e in batch]
        assert sorted(seen) == sorted(map(id, examples))


def test_the_learning_rate_rises_then_falls_to_nothing():
    factor = loop._warmup_then_decay(steps=100, warmup=0.1)
    assert [factor(0), factor(9), factor(55), factor(100)] == pytest.approx([0.1, 1, 0.5, 0])


def test_mistakes_are_one_line(tiny, tokenizer, fp32):
    recipe = Recipe(1e-3)
    with pytest.raises(AdaptlabError, match="no examples"):
        fit(tiny, tokenizer, [], [], recipe, fp32)
    for prompt, answer in (("a", ""), ("a posit", "ive")):
        with pytest.raises(AdaptlabError, match="no tokens of its own"):
            fit(tiny, tokenizer, [prompt], [answer], recipe, fp32)
    frozen = tiny.requires_grad_(False)
    with pytest.raises(AdaptlabError, match="nothing to train"):
        fit(frozen, tokenizer, PROMPTS, ANSWERS, recipe, fp32)
    adapted = add_lora(tiny, rank=2)
    with torch.no_grad():
        next(w for n, w in adapted.named_parameters() if "lora_A" in n).fill_(torch.nan)
    with pytest.raises(AdaptlabError, match="loss is nan at step 0"):
        fit(adapted, tokenizer, PROMPTS, ANSWERS, recipe, fp32)
