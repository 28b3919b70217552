"""The loop: what learns, what is looked at, when it stops, and what it leaves behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.models import trainable_parameters
from adaptlab.tuning import loop
from adaptlab.tuning.examples import Example, Examples, answer
from adaptlab.tuning.loop import fit
from adaptlab.tuning.network import Network
from adaptlab.tuning.peft_methods import add_lora, add_soft_prompt
from adaptlab.tuning.recipe import Recipe
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import (
    BF16,
    SHORT,
    assert_same,
    changed,
    labelled,
    small_model,
    toy,
    weights,
)  # fmt: skip

PROMPTS = ["a good film ->", "so bad ->", "what a great and lovely thing to see ->", "awful ->"] * 4
ANSWERS = [" positive", " negative", " positive", " negative"] * 4


def test_lora_learns_and_the_base_does_not(tiny, tokenizer, fp32):
    before = weights(tiny)
    adapted = add_lora(tiny, rank=4)
    recipe = Recipe(1e-1, 20, batch_size=8)
    history = fit(adapted, answer(tokenizer, PROMPTS, ANSWERS), recipe, fp32)
    # The frozen random head bounds what can be gained: about half a nat.
    assert np.mean(history.losses[-2:]) < np.mean(history.losses[:2]) - 0.3
    assert not changed(adapted.unload(), before)


def test_a_soft_prompt_learns_and_nothing_else_does(tiny, tokenizer, fp32):
    adapted = add_soft_prompt(tiny, tokenizer, 4, "good or bad?")
    assert trainable_parameters(adapted) == 4 * tiny.config.hidden_size
    before = {name: weight.clone() for name, weight in adapted.named_parameters()}
    fit(adapted, answer(tokenizer, PROMPTS, ANSWERS), Recipe(0.3, 2, batch_size=8), fp32)
    moved = {n for n, w in adapted.named_parameters() if not torch.equal(w, before[n])}
    assert moved == {n for n in before if "prompt_encoder" in n}


def test_everything_learns_the_labels(fp32):
    model = labelled()
    history = fit(model, toy(48), Recipe(3e-3, 10, batch_size=8), fp32, dev=toy(48))
    assert history.dev[-1].accuracy == 1
    assert history.dev[-1].loss < 0.1 < history.dev[0].loss
    assert history.examples_per_second > 0
    assert not model.training


def test_the_seed_decides_the_run_bit_for_bit(fp32):
    def run(seed, runtime=fp32, **changes):
        model = labelled(top=2, attention_dropout=0.1)
        history = fit(model, toy(), replace(SHORT, seed=seed, **changes), runtime)
        return history.losses, model

    (losses, model), (again, repeated) = run(1), run(1)
    assert losses == again
    assert_same(model, repeated)
    assert run(2)[0] != losses
    assert run(1, BF16)[0] == run(1, BF16)[0]


def test_the_rate_rises_then_falls_to_nothing(fp32, monkeypatch):
    rates = [Recipe(2.0, warmup=0.1).rate(step, 100) for step in (0, 9, 10, 55, 99, 100)]
    assert rates == pytest.approx([0.2, 2, 2, 1, 2 / 90, 0])
    assert [Recipe(1.0, warmup=0).rate(step, 4) for step in range(4)] == [1, 1, 2 / 3, 1 / 3]
    used, plain = [], torch.optim.AdamW.step

    def step(optimizer):
        used.append([group["lr"] for group in optimizer.param_groups])
        return plain(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    fit(labelled(), toy(), SHORT, fp32)
    assert used == [[SHORT.rate(step, 6)] for step in range(6)]


def test_weights_decay_and_gradients_are_clipped(fp32, monkeypatch):
    def size(model) -> float:
        return sum(weight.square().sum().item() for weight in model.parameters())

    kept, decayed = labelled(), labelled()
    fit(kept, toy(), SHORT, fp32)
    fit(decayed, toy(), replace(SHORT, weight_decay=10.0), fp32)
    assert size(decayed) < 0.8 * size(kept)

    plain, norms = torch.optim.AdamW.step, []

    def step(optimizer):
        gradients = [p.grad.flatten() for p in optimizer.param_groups[0]["params"]]
        norms.append(torch.cat(gradients).norm().item())
        return plain(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    for runtime in (fp32, BF16):
        norms.clear()
        fit(labelled(), toy(), replace(SHORT, clip=0.01), runtime)
        assert norms == pytest.approx([0.01] * 6, rel=1e-3)


@pytest.mark.parametrize("every", [None, 4])
def test_dev_is_looked_at_every_so_often_and_at_the_end(fp32, every):
    model, dev = labelled(), toy(20, seed=1)
    history = fit(model, toy(20), replace(SHORT, evaluate_every=every), fp32, dev=dev)
    assert [look.step for look in history.dev] == ([3, 6] if every is None else [4, 6])
    losses, right = Network(model, fp32).losses(dev)
    assert history.dev[-1].loss == pytest.approx(losses.mean())
    assert history.dev[-1].accuracy == pytest.approx(right.mean())


def test_looking_at_dev_changes_nothing(fp32):
    one, other = (labelled(attention_dropout=0.1) for _ in range(2))
    fit(one, toy(), SHORT, fp32)
    fit(other, toy(), replace(SHORT, evaluate_every=1), fp32, dev=toy(9, seed=1))
    assert_same(one, other)


# It learns the labels of training, a third of which are wrong, by heart: dev gets worse.
WORSE = Recipe(1e-2, epochs=12, batch_size=8, evaluate_every=2)


@pytest.mark.parametrize("runtime", ["fp32", "bf16"])
def test_the_best_weights_are_kept(fp32, runtime):
    runtime, dev = BF16 if runtime == "bf16" else fp32, toy(40, seed=1)
    last, best = labelled(), labelled()
    history = fit(last, toy(noise=0.4), WORSE, runtime, dev=dev)
    kept = fit(best, toy(noise=0.4), replace(WORSE, keep_best=True), runtime, dev=dev)
    assert kept.losses == history.losses
    assert kept.best == min(kept.dev, key=lambda look: look.loss)
    assert kept.best.loss < kept.dev[-1].loss - 0.1
    for model, look in ((last, history.dev[-1]), (best, kept.best)):
        found = Network(model, runtime).losses(dev)[0].mean()
        assert found == pytest.approx(look.loss, abs=1e-5 if runtime is fp32 else 0.02)
    # They are those of the step at which dev was looked at, as another run can tell.
    first = labelled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "_is_out_of_patience", lambda run, h: len(h.dev) == 1)
        stopped = fit(first, toy(noise=0.4), replace(WORSE, evaluate_every=kept.best.step),
                      runtime, dev=dev)  # fmt: skip
    assert len(stopped.losses) == kept.best.step
    assert_same(first, best)


def test_patience_ends_a_run_that_gets_worse(fp32):
    model, dev = labelled(), toy(40, seed=1)
    whole = fit(labelled(), toy(noise=0.4), WORSE, fp32, dev=dev)
    short = fit(model, toy(noise=0.4), replace(WORSE, patience=2), fp32, dev=dev)
    assert len(short.losses) < len(whole.losses) == 36
    assert short.losses == whole.losses[: len(short.losses)]
    looks = [look.loss for look in short.dev]
    assert looks.index(min(looks)) == len(looks) - 3


@pytest.mark.parametrize("runtime", ["fp32", "bf16"])
def test_a_loss_that_is_no_number_stops_it_before_it_does_harm(
    fp32, monkeypatch, tmp_path, runtime
):
    model, file = labelled(), tmp_path / "run.pt"
    plain, seen = loop.loss, []

    def breaks(wrapped, batch):
        seen.append(weights(model))
        return plain(wrapped, batch) * (torch.nan if len(seen) == 4 else 1)

    monkeypatch.setattr(loop, "loss", breaks)
    runtime = fp32 if runtime == "fp32" else BF16
    with pytest.raises(AdaptlabError, match=r"not a number at step 3; a lower.*no checkpoint was"):
        fit(model, toy(), SHORT, runtime)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight.to(seen[3][name].dtype), seen[3][name]), name
    seen.clear()
    with pytest.raises(AdaptlabError, match=f"the last checkpoint is {file}"):
        fit(labelled(), toy(), replace(SHORT, save_every=1), runtime, file=file)
    assert len(torch.load(file, weights_only=True)["losses"]) == 3
    monkeypatch.undo()
    fit(model, toy(), SHORT, runtime)  # nothing of the bad gradient is left


def losses(fp32, top: int | None = None, **changes) -> list[float]:
    return fit(labelled(top=top), toy(27), replace(SHORT, **changes), fp32).losses


@pytest.mark.parametrize("top", [None, 1])
def test_neither_accumulation_nor_checkpointing_changes_the_losses(fp32, top):
    whole = losses(fp32, top)
    for changes in ({"accumulation": 4}, {"accumulation": 100}, {"checkpointing": True}):
        np.testing.assert_allclose(losses(fp32, top, **changes), whole, atol=1e-5, rtol=0)


def test_one_example_is_enough(fp32):
    history = fit(labelled(), toy(1), replace(SHORT, accumulation=4), fp32, dev=toy(1))
    assert len(history.losses) == len(history.dev) == 2


def test_mistakes_are_one_line(fp32):
    def line(match, *args, **more):
        with pytest.raises(AdaptlabError, match=match) as caught:
            fit(*args, fp32, **more)
        assert "\n" not in str(caught.value)

    line("no examples to train on", labelled(), Examples(()), SHORT)
    one = tuple(each for each in toy(40) if each.targets == (1,))
    line("the same label: there is nothing to tell apart", labelled(), Examples(one), SHORT)
    strange = Examples((Example((3, 4), (1,), (7,)),))
    line("example 40 has label 7", labelled(), toy(40), SHORT, dev=strange)
    unknown = Examples((Example((3, 64), (1,), (0,)),))
    line("example 4 has token 64, the model knows 0 to 63", labelled(), toy(4) + unknown, SHORT)
    line("LlamaModel has no output head", small_model().model, toy(), SHORT)
    long = Examples((Example((3,) * 3000, (2999,), (0,)),))
    line("has 3000 tokens, the model's context is", labelled(), toy(4) + long, SHORT)
    line("nothing to train", small_model().requires_grad_(False), toy(), SHORT)
    line("need dev examples", labelled(), toy(), replace(SHORT, keep_best=True))
    line("need dev examples", labelled(), toy(), replace(SHORT, patience=1), dev=Examples(()))
    for count in (
        "epochs",
        "batch_size",
        "accumulation",
        "save_every",
        "evaluate_every",
        "patience",
    ):
        with pytest.raises(AdaptlabError, match="at least 1"):
            Recipe(1e-3, **{count: 0})
    nan = float("nan")
    for wrong in (
        *({"learning_rate": rate} for rate in (-1e-3, nan, float("inf"))),
        *({"warmup": share} for share in (-0.1, 1.1, nan)),
        *({"clip": clip} for clip in (0.0, -1.0, nan)),
        {"seed": -1},
    ):
        with pytest.raises(AdaptlabError, match=r"learning rate|warm-up|clipped|seed") as caught:
            Recipe(**{"learning_rate": 1e-3} | wrong)
        assert "\n" not in str(caught.value)
    assert Recipe(0.0).rate(0, 10) == 0
    with pytest.raises(AdaptlabError, match="dev was never looked at"):
        _ = fit(labelled(), toy(), SHORT, fp32).best


def test_plain_text_may_ask_for_the_same_everywhere(fp32):
    same = Examples(tuple(Example((i, 7, 8), (1,), (8,)) for i in range(9, 17)))
    assert len(fit(small_model(), same, SHORT, fp32).losses) == 2
    rows = Examples((Example((7, 8), (0, 1), (1, 1)),) * 2)
    fit(labelled(), rows, SHORT, fp32)  # asked at several positions: not a label


def test_attention_is_chosen_for_dev_as_well(fp32, monkeypatch):
    chosen, plain = [], loop.attention_for

    def seen(model, longest):
        chosen.append(longest)
        return plain(model, longest)

    monkeypatch.setattr(loop, "attention_for", seen)
    long = Examples((Example((3,) * 60, (59,), (0,)),))
    fit(labelled(), toy(), SHORT, fp32, dev=long)
    assert chosen == [60]
