"""Kept activations change nothing, save the frozen layers' work, and belong to their weights."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import network, parts
from adaptlab.tuning.loop import fit
from adaptlab.tuning.parts import Activations, cut
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, labelled, toy, uncut, weights


def test_kept_activations_change_nothing(fp32, monkeypatch):
    def run(epochs, runtime):
        model = labelled(top=1)
        return fit(model, toy(), replace(SHORT, epochs=epochs), runtime), model

    for epochs, runtime, tolerance in ((1, fp32, 0), (1, BF16, 0), (3, fp32, 1e-5)):
        history, model = run(epochs, runtime)
        plain, other = uncut(monkeypatch, partial(run, epochs, runtime))
        np.testing.assert_allclose(history.losses, plain.losses, atol=tolerance, rtol=0)
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(weight, other.state_dict()[name], atol=1e-4, rtol=0)


def counted(model) -> list[int]:
    """The sizes of the batches that go through the lowest layer, as they come."""
    sizes = []
    first = model.model.layers[0]
    first.register_forward_hook(lambda module, args, out: sizes.append(len(out)))
    return sizes


def test_the_frozen_layers_see_each_text_once(fp32):
    model = labelled(top=2)
    sizes = counted(model)
    fit(model, toy() + toy(), replace(SHORT, epochs=3), fp32, dev=toy(9, seed=1))
    assert sum(sizes) == 24 + 9


def test_activations_serve_a_second_run_and_keep_to_their_limit(fp32):
    model = labelled(top=1)
    before = weights(model)
    lower, _ = cut(model, 2)
    first = fit(model, toy(), SHORT, fp32)
    row = 32 * 4  # bytes of a token's hidden state in fp32
    whole = sum(len(each.ids) for each in toy()) * row
    for limit in (4 * 2**30, whole // 2, 0):
        activations = Activations(lower, limit)
        network.Network(model, fp32, activations).keep(toy(), size=8)
        assert activations.bytes == whole if limit > whole else activations.bytes <= limit
        held = [kept.untyped_storage().nbytes() for kept in activations._kept.values()]
        assert activations.bytes == sum(held)  # and not whole batches behind them
        model.load_state_dict(before)
        sizes = counted(model)
        again = fit(model, toy(), SHORT, fp32, activations=activations)
        np.testing.assert_allclose(first.losses, again.losses, atol=1e-5, rtol=0)
        assert (sum(sizes) == 0) == (limit > whole)
        assert (sum(sizes) == 48) == (limit == 0)


def test_with_one_pass_over_the_texts_nothing_is_kept(fp32, monkeypatch):
    kept = []
    monkeypatch.setattr(
        Activations, "keep", lambda self, texts, device, size: kept.append(len(texts))
    )
    once = replace(SHORT, epochs=1)
    fit(labelled(top=1), toy(), once, fp32)
    assert kept == []
    fit(labelled(top=1), toy(), once, fp32, dev=toy(9, seed=1))
    assert kept == [24, 9]


def test_activations_of_other_weights_are_refused(fp32):
    model = labelled(top=1)
    lower, _ = cut(labelled(top=1), 2)
    fit(model, toy(), SHORT, fp32, activations=Activations(lower))  # another copy of the same
    with torch.no_grad():
        lower.layers[1].mlp.up_proj.weight[0, 0] += 1e-3
    with pytest.raises(AdaptlabError, match="a model with other weights"):
        fit(model, toy(), SHORT, fp32, activations=Activations(lower))
    own, _ = cut(model, 2)
    kept = Activations(own)
    fit(model, toy(), SHORT, fp32, activations=kept)
    parts.train_everything(model)
    fit(model, toy(), SHORT, fp32)
    parts.train_top(model, 1)
    with pytest.raises(AdaptlabError, match="a model with other weights"):
        fit(model, toy(), SHORT, fp32, activations=kept)


def test_activations_of_other_layers_are_refused(fp32):
    model = labelled(top=1)
    lower, _ = cut(model, 1)
    with pytest.raises(AdaptlabError, match="above 1 layers; 2 are frozen"):
        fit(model, toy(), SHORT, fp32, activations=Activations(lower))
