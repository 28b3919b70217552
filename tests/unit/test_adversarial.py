"""Moved embeddings: up the loss, within epsilon, and averaged over the ascents."""

from dataclasses import replace

import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import adversarial, loop
from adaptlab.tuning.adversarial import Adversary
from adaptlab.tuning.examples import collate
from adaptlab.tuning.loop import fit
from adaptlab.tuning.network import loss
from adaptlab.tuning.recipe import Recipe
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, assert_same, changed, labelled, toy, weights


def lengths(deltas: torch.Tensor) -> torch.Tensor:
    return deltas.flatten(1).norm(dim=1)


def ascend(adversary: Adversary, model, batch, monkeypatch) -> tuple[list[torch.Tensor], list]:
    """How each ascent moved the embeddings, and the shares of the loss, taken backwards."""
    embedded = model.get_input_embeddings()(batch.inputs).detach()
    moves, shares = [], []
    with monkeypatch.context() as patch:

        def seen(model, moved):
            moves.append((moved.inputs - embedded).detach())
            return loss(model, moved)

        patch.setattr(adversarial, "loss", seen)
        for share in adversary.losses(model, batch):
            share.backward()
            shares.append(share.item())
    return moves, shares


def measure(model, batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (B, T, D) and how long each text's are, without its padding."""
    embedded = model.get_input_embeddings()(batch.inputs).detach()
    read = torch.arange(batch.inputs.shape[1]) <= batch.columns[:, None]  # one is asked a text
    return embedded, lengths(embedded * read[..., None])


def test_the_loss_is_higher_than_after_a_random_move(monkeypatch):
    model, batch = labelled(), collate(toy(16))
    embedded, _ = measure(model, batch)
    moves, shares = ascend(
        Adversary(steps=3, step_size=0.1, epsilon=0.2), model, batch, monkeypatch
    )
    assert len(shares) == 3
    assert shares == sorted(shares)  # each ascent finds more
    drawn = torch.Generator().manual_seed(0)
    read = (moves[-1] != 0).float()
    with torch.no_grad():
        assert shares[-1] * 3 == pytest.approx(
            loss(model, replace(batch, inputs=embedded + moves[-1])).item(), rel=1e-5
        )
        for _ in range(20):
            noise = torch.randn(embedded.shape, generator=drawn) * read
            noise *= (lengths(moves[-1]) / lengths(noise))[:, None, None]
            other = loss(model, replace(batch, inputs=embedded + noise)).item()
            assert shares[-1] * 3 > other + 0.1


@pytest.mark.parametrize("epsilon", [0.05, 0.12, 1.0])
def test_no_text_moves_further_than_epsilon(epsilon, monkeypatch):
    model, batch = labelled(), collate(toy(16))
    _, length = measure(model, batch)
    moves, _ = ascend(Adversary(steps=4, step_size=0.1, epsilon=epsilon), model, batch, monkeypatch)
    for step, move in enumerate(moves, 1):
        assert (lengths(move) <= min(epsilon, step * 0.1) * length * (1 + 1e-5)).all()
    # The first move, at random, is one `step_size` long; later epsilon is reached.
    torch.testing.assert_close(lengths(moves[0]), min(epsilon, 0.1) * length)
    if epsilon < 0.2:
        torch.testing.assert_close(lengths(moves[-1]), epsilon * length)


def test_padding_is_not_moved_and_does_not_count(monkeypatch):
    """A text is moved as far alone as beside a longer one."""
    model = labelled(pad_token_id=None)  # whose embedding would be zero
    short, long = sorted(toy(16), key=lambda each: len(each.ids))[::15]
    assert len(short.ids) < len(long.ids)
    (alone, *_), _ = ascend(Adversary(), model, collate([short]), monkeypatch)
    (both, *_), _ = ascend(Adversary(), model, collate([short, long]), monkeypatch)
    assert both[0, len(short.ids) :].abs().max() == 0
    torch.testing.assert_close(lengths(alone)[0], lengths(both)[0])


def gradients(model, adversary: Adversary | None, batch) -> dict[str, torch.Tensor]:
    shares = adversary.losses(model, batch) if adversary else [loss(model, batch)]
    for share in shares:
        share.backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("steps", [1, 3])
def test_a_tiny_move_gives_nearly_the_plain_gradient(steps):
    """Of the mean over the ascents, however many they are."""
    model, batch = labelled(), collate(toy(16))
    plain = gradients(model, None, batch)
    for name, found in gradients(model, Adversary(steps, 1e-6, 1e-6), batch).items():
        torch.testing.assert_close(found, plain[name], rtol=1e-2, atol=1e-4)


def test_the_gradient_is_the_mean_over_the_ascents(monkeypatch):
    model, batch = labelled(), collate(toy(16))
    adversary = Adversary(steps=3, step_size=0.1, epsilon=0.2)
    torch.manual_seed(1)
    moves, _ = ascend(adversary, model, batch, monkeypatch)
    model.zero_grad()
    torch.manual_seed(1)
    found = gradients(model, adversary, batch)
    wanted = dict.fromkeys(found, 0.0)
    for move in moves:
        embedded = model.get_input_embeddings()(batch.inputs) + move
        one = gradients(model, None, replace(batch, inputs=embedded))
        wanted = {name: wanted[name] + one[name] / 3 for name in found}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-6)


ADVERSARY = Adversary(steps=2, step_size=0.05, epsilon=0.1)


@pytest.mark.parametrize("bf16", [False, True])
def test_it_trains_and_learns(fp32, bf16):
    model, recipe = labelled(), Recipe(3e-3, 10, batch_size=8)
    history = fit(model, toy(48), recipe, BF16 if bf16 else fp32, toy(48), adversary=ADVERSARY)
    assert history.dev[-1].accuracy == 1
    assert history.losses[0] > 0.5
    plain = fit(labelled(), toy(48), recipe, BF16 if bf16 else fp32).losses
    # The loss it reports is that of the moved inputs.
    assert sum(history.losses) > sum(plain)


def test_what_is_frozen_stays_and_the_seed_decides(fp32):
    def run():
        model = labelled(top=1)
        before = weights(model)
        fit(model, toy(), SHORT, fp32, adversary=ADVERSARY)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert changed(model, before) == trained
        return model

    assert_same(run(), run())


def test_accumulation_gives_a_step_from_the_whole_batch(fp32):
    def run(accumulation):
        recipe = replace(SHORT, accumulation=accumulation)
        tiny_moves = Adversary(2, 1e-6, 1e-6)
        return fit(labelled(), toy(), recipe, fp32, adversary=tiny_moves).losses

    assert run(1) == pytest.approx(run(4), abs=1e-3)
    assert run(1) == pytest.approx(fit(labelled(), toy(), SHORT, fp32).losses, abs=1e-3)


def test_a_stopped_run_goes_on_bit_for_bit_and_only_with_its_adversary(fp32, tmp_path, monkeypatch):
    file, recipe = tmp_path / "run.pt", replace(SHORT, save_every=1)
    straight, again = labelled(), labelled()
    fit(straight, toy(), recipe, fp32, adversary=ADVERSARY)
    plain, calls = loop._Run._step, []

    def stops(run, *args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(run, *args)

    monkeypatch.setattr(loop._Run, "_step", stops)
    with pytest.raises(KeyboardInterrupt):
        fit(labelled(), toy(), recipe, fp32, file=file, adversary=ADVERSARY)
    monkeypatch.undo()
    for other in (None, Adversary(3)):
        with pytest.raises(AdaptlabError, match="of another adversary: "):
            fit(labelled(), toy(), recipe, fp32, file=file, adversary=other)
    fit(again, toy(), recipe, fp32, file=file, adversary=ADVERSARY)
    assert_same(straight, again)


def test_an_adversary_without_sense_is_one_line():
    for wrong in ({"steps": 0}, {"step_size": 0.0}, {"epsilon": float("nan")}, {"epsilon": -1.0}):
        with pytest.raises(AdaptlabError, match="adversary") as caught:
            Adversary(**wrong)
        assert "\n" not in str(caught.value)
