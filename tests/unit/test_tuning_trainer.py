"""Our loop and transformers' Trainer, given the same, do the same."""

import copy

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    DataCollatorWithPadding,
    LlamaForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import parts
from adaptlab.tuning.examples import Examples, answer, classify, shuffled
from adaptlab.tuning.loop import fit
from adaptlab.tuning.network import Network
from adaptlab.tuning.recipe import Recipe
from adaptlab.tuning.trainer import rows, sequence_classifier
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, numbers, small_model

WORDS = (" negative", " positive")
RECIPE = Recipe(1e-2, epochs=1, batch_size=4, seed=1)


@pytest.fixture
def labelled(tiny, tokenizer):
    return parts.with_label_head(tiny, tokenizer, WORDS)


@pytest.fixture
def examples(tokenizer) -> Examples:
    texts = [f"a {kind} {thing} {tail}" for kind, thing, tail in zip(
        ["good", "bad", "lovely", "awful"] * 4, ["film", "story"] * 8,
        ["", "to see", "that nobody will ever want to see again", "again"] * 4, strict=True,
    )]  # fmt: skip
    return classify(tokenizer, [f"{text} {n}" for n, text in enumerate(texts)], [1, 0] * 8)


def trainer(model, tokenizer, examples, recipe, folder, **changes) -> Trainer:
    """A Trainer that does what `fit` does: our order, our rates, AdamW without decay."""
    steps = len(examples) // recipe.batch_size * recipe.epochs
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=0)
    rates = LambdaLR(optimizer, lambda step: recipe.rate(step, steps) / recipe.learning_rate)
    batches = shuffled(examples, recipe.batch_size, recipe.seed, epoch=0)
    arguments = TrainingArguments(
        str(folder), per_device_train_batch_size=recipe.batch_size, num_train_epochs=1,
        train_sampling_strategy="sequential", logging_steps=1, save_strategy="no",
        report_to="none", disable_tqdm=True, use_cpu=True, **changes,
    )  # fmt: skip
    return Trainer(
        model, arguments, DataCollatorWithPadding(tokenizer),
        rows([each for batch in batches for each in batch]), optimizers=(optimizer, rates),
    )  # fmt: skip


@pytest.mark.parametrize("top", [None, 1])
def test_the_first_losses_are_those_of_trainer(labelled, tokenizer, examples, fp32, tmp_path, top):
    parts.train_everything(labelled) if top is None else parts.train_top(labelled, top)
    theirs = sequence_classifier(labelled)
    run = trainer(theirs, tokenizer, examples, RECIPE, tmp_path)
    run.train()
    log = [row for row in run.state.log_history if "loss" in row]
    history = fit(labelled, examples, RECIPE, fp32)
    assert [row["learning_rate"] for row in log] == pytest.approx(
        [RECIPE.rate(step, 4) for step in range(4)]
    )
    np.testing.assert_allclose(history.losses, [row["loss"] for row in log], atol=1e-5, rtol=0)
    assert max(history.losses) - min(history.losses) > 0.01
    np.testing.assert_allclose(
        theirs.score.weight.detach(), labelled.lm_head.weight.detach(), atol=1e-4
    )


def test_they_do_not_meddle_with_each_other(labelled, tokenizer, examples, fp32, tmp_path):
    """Both go through accelerate, which remembers the first number format it was asked for."""
    kept = copy.deepcopy(labelled)
    ours, theirs = [], []
    for bf16 in (True, False, True):
        model = copy.deepcopy(kept)
        ours.append(fit(model, examples, RECIPE, BF16 if bf16 else fp32).losses)
        run = trainer(
            sequence_classifier(kept), tokenizer, examples, RECIPE, tmp_path, bf16=not bf16
        )
        run.train()
        theirs.append([row["loss"] for row in run.state.log_history if "loss" in row])
    for losses in (ours, theirs):
        assert losses[0] == losses[2] != losses[1]
    np.testing.assert_allclose(ours[1], theirs[0], atol=1e-5, rtol=0)  # those in fp32
    np.testing.assert_allclose(ours[0], theirs[1], atol=0.05, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_logits_are_ours_whatever_the_padding(labelled, tokenizer, examples, fp32, side):
    theirs = sequence_classifier(labelled)
    assert isinstance(theirs, LlamaForSequenceClassification)
    batch = tokenizer.pad(
        {"input_ids": [list(each.ids) for each in examples]}, padding_side=side, return_tensors="pt"
    )
    with torch.no_grad():
        found = theirs(**batch).logits
    np.testing.assert_allclose(found, Network(labelled, fp32).scores(examples), atol=1e-5)


def test_the_weights_are_copies_and_are_trained_where_ours_are(labelled):
    parts.train_top(labelled, 1)
    theirs = sequence_classifier(labelled)
    ours = {id(p) for p in labelled.parameters()}
    assert not any(id(p) in ours for p in theirs.parameters())
    trained = {n for n, p in theirs.named_parameters() if p.requires_grad}
    assert "score.weight" in trained
    assert {n.split(".")[2] for n in trained if "layers" in n} == {"1"}
    assert sum(p.numel() for p in theirs.parameters() if p.requires_grad) == sum(
        p.numel() for p in labelled.parameters() if p.requires_grad
    )
    assert labelled.config.num_labels == theirs.config.num_labels == 2


def test_three_labels_and_no_padding_token():
    model = parts.with_label_head(
        small_model(pad_token_id=None, eos_token_id=[2, 1]), numbers, ("3", "4", "5")
    )
    theirs = sequence_classifier(model)
    assert (theirs.config.num_labels, theirs.config.pad_token_id) == (3, 2)
    assert model.config.num_labels == 2


def test_what_cannot_be_is_one_line(tokenizer, labelled):
    with pytest.raises(AdaptlabError, match="only examples with one label"):
        rows(answer(tokenizer, ["a film"], [" good, I say"]))
    labelled.config.__class__ = type("OtherConfig", (type(labelled.config),), {})
    with pytest.raises(AdaptlabError, match="no sequence classifier for LlamaForCausalLM"):
        sequence_classifier(labelled)
