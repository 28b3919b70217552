"""Pretraining: it learns, it can be killed, and every part of the recipe does what it says."""

import math
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adaptlab.errors import AdaptlabError
from adaptlab.gpt import pretrain as pretraining
from adaptlab.gpt.data import pack_documents
from adaptlab.gpt.pretrain import Recipe, decay_groups, evaluate, pretrain
from adaptlab.runtime import Runtime
from tests.gpt_small import LLAMA, decoder
from tests.gpt_small import one_thread as one_thread
from tests.gpt_training import SHORT, SMALL, fresh, run, toy

BF16 = Runtime(torch.device("cpu"), torch.bfloat16, 1)


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, norm="rms", positions="rotary", mlp="swiglu", kv_heads=1)]
)
@pytest.mark.parametrize("runtime", [None, BF16], ids=["fp32", "bf16"])
def test_it_learns_what_repeats(fp32, config, runtime):
    recipe = replace(SHORT, steps=120, evaluate_every=60)
    model, history = run(runtime or fp32, recipe, replace(config, dropout=0.0))
    assert history.losses[0] == pytest.approx(np.log(12), abs=0.2)
    assert history.final < 0.8
    assert [step for step, _ in history.validation] == [60, 120]
    assert history.final == history.validation[-1][1] < history.validation[0][1]
    assert history.tokens_per_second > 0
    assert not model.training
    assert all(weight.dtype is torch.float32 for weight in model.parameters())


def test_bf16_is_computed_in_bf16(fp32):
    exact, rounded = (run(runtime)[1].losses[0] for runtime in (fp32, BF16))
    assert exact != rounded
    assert exact == pytest.approx(rounded, rel=0.02)


def test_the_seed_decides_all_that_is_random(fp32):
    losses = []
    for before, seed in ((1, 3), (2, 3), (1, 4)):
        model = fresh()
        torch.manual_seed(before)
        losses.append(pretrain(model, toy(), toy(1), replace(SHORT, seed=seed), fp32).losses)
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("parts", [2, 4, 5, 20])
def test_accumulation_changes_no_loss(fp32, parts):
    config = replace(SMALL, dropout=0.0)
    documents = [list(range(n % 7 + 1)) for n in range(60)]
    for text in (toy(), pack_documents(documents, 16, 11)):
        whole = run(fp32, config=config, text=text)[1].losses
        found = run(fp32, replace(SHORT, accumulation=parts), config, text)[1].losses
        np.testing.assert_allclose(found, whole, rtol=1e-5)
        np.testing.assert_allclose(found[0], whole[0], rtol=1e-6)


def test_a_packed_text_is_learned_document_by_document(fp32):
    packed = pack_documents([[1, 2, 3, 4, 5]] * 40, 16, 11)
    config = replace(SMALL, dropout=0.0)
    model = fresh(config)
    batch = packed.draw(8, 3, 0)
    expected = F.cross_entropy(
        model(batch.inputs, documents=batch.documents).flatten(0, 1), batch.targets.flatten()
    )
    history = pretrain(model, packed, packed, SHORT, fp32)
    assert history.losses[0] == pytest.approx(expected.item(), rel=1e-6)


def test_the_learning_rate_rises_and_falls():
    recipe = Recipe(steps=110, learning_rate=0.5, warmup=10, final=0.2)
    rates = np.array([recipe.rate(step) for step in range(111)])
    np.testing.assert_allclose(rates[:10], 0.05 * np.arange(1, 11))
    assert rates[10] == 0.5 == rates.max()
    assert rates[60] == pytest.approx(0.3)  # half way down: (1 + 0.2) / 2 of the peak
    assert rates[110] == pytest.approx(0.1)
    t = np.arange(101) / 100
    np.testing.assert_allclose(rates[10:], 0.1 + 0.4 * np.cos(np.pi * t / 2) ** 2)
    assert replace(recipe, warmup=0).rate(0) == 0.5


def test_only_matrices_decay():
    model = decoder(LLAMA)
    matrices, rest = decay_groups(model, 0.3)
    assert (matrices["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    names = {weight: name for name, weight in model.named_parameters()}
    assert {names[weight].split(".")[-2] for weight in rest["params"]} == {
        "attention_norm", "mlp_norm", "norm"
    }  # fmt: skip
    both = matrices["params"] + rest["params"]
    assert {id(weight) for weight in both} == {id(weight) for weight in model.parameters()}
    model.token_embedding.weight.requires_grad_(False)
    assert len(decay_groups(model, 0.3)[0]["params"]) == len(matrices["params"]) - 1


def test_a_step_is_that_of_adamw(fp32):
    """The first three steps, written out: rate, clipping to a norm, decay, the loss before each."""
    recipe = replace(SHORT, steps=3, clip=0.05, weight_decay=0.5, warmup=2)
    config = replace(SMALL, dropout=0.0)
    model, text = fresh(config), toy()
    optimizer = torch.optim.AdamW(decay_groups(model, 0.5), lr=1.0, betas=recipe.betas)
    losses = []
    for step in range(3):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        batch = text.draw(8, 3, step)
        loss = F.cross_entropy(model(batch.inputs).flatten(0, 1), batch.targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        assert norm > 0.1, "nothing would be clipped"
        optimizer.step()
        losses.append(loss.item())
    trained, history = run(fp32, recipe, config)
    np.testing.assert_allclose(history.losses, losses, rtol=1e-5)
    for (name, weight), expected in zip(
        trained.named_parameters(), model.parameters(), strict=True
    ):
        torch.testing.assert_close(weight, expected, msg=name)


def test_gradients_are_clipped(fp32, monkeypatch):
    norms = []
    step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        gradients = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        norms.append(torch.cat(gradients).norm().item())
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    run(fp32, replace(SHORT, clip=0.05))
    assert max(norms) == pytest.approx(0.05, rel=1e-3)
    norms.clear()
    run(fp32, replace(SHORT, clip=1e9))
    assert max(norms) > 0.1


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("limit", [None, 5])
def test_evaluation_is_the_cross_entropy_of_each_window(fp32, packed, limit):
    text = pack_documents([[1, 2, 3]] * 30 + [[4] * 9] * 9, 16, 11) if packed else toy()
    model = decoder(replace(SMALL, dropout=0.5)).train()
    found = evaluate(model, text, fp32, windows=limit, batch_size=4)
    model.eval()
    expected = [
        F.cross_entropy(model(inputs, documents=documents)[0], targets[0]).item()
        for inputs, targets, documents in text.in_order(1)
    ]
    assert len(expected) == (13 if packed else 24)
    np.testing.assert_allclose(found, expected[:limit], rtol=1e-5)


def test_the_final_loss_is_the_mean_over_windows(fp32):
    model, history = run(fp32, replace(SHORT, steps=7, evaluate_windows=3))
    assert history.validation == [[7, history.final]]
    assert history.final == pytest.approx(evaluate(model, toy(1), fp32, windows=3).mean())


@pytest.mark.parametrize("stop", [None, "a key", "no number", "another text"])
def test_a_model_computes_as_before_once_it_is_trained(fp32, tmp_path, monkeypatch, stop):
    """Mixed precision belongs to the training, not to the model that comes out of it."""
    model, file, recipe = fresh(), tmp_path / "small.pt", replace(SHORT, steps=2)
    if stop == "another text":
        run(BF16, recipe, text=toy(5), file=file)
    elif stop:
        step = Mock(side_effect=KeyboardInterrupt if stop == "a key" else [2.5, math.nan])
        monkeypatch.setattr(pretraining, "training_step", step)
    with pytest.raises((KeyboardInterrupt, AdaptlabError)) if stop else nullcontext():
        pretrain(model, toy(), toy(1), recipe, BF16, file)
    same = fresh()
    same.load_state_dict(model.state_dict())
    assert not model.training
    assert (evaluate(model, toy(1), fp32) == evaluate(same, toy(1), fp32)).all()


def test_a_second_training_is_in_bf16_too():
    recipe = replace(SHORT, steps=3)
    model, again = run(BF16, recipe)[0], fresh()
    again.load_state_dict(model.state_dict())
    second, expected = (
        pretrain(each, toy(), toy(1), recipe, BF16).losses for each in (model, again)
    )
    assert second == expected
    assert not {"forward", "_original_forward", "_is_accelerate_prepared"} & set(vars(model))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"accumulation": 0}, {"warmup": -1}])
def test_a_recipe_without_sense_is_refused(wrong):
    with pytest.raises(AdaptlabError, match="every count of a Recipe"):
        replace(SHORT, **wrong)
