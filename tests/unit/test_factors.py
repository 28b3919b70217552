"""The log of both factors' way, against the weights themselves; watching changes nothing."""

import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import lora
from adaptlab.tuning.factors import Watched
from adaptlab.tuning.loop import fit
from adaptlab.tuning.optimizers import AdamW, ScaledAdam
from tests.tuning_small import SHORT, assert_same, labelled, toy, weights


def adapted():
    model = labelled()
    torch.manual_seed(0)
    lora.add(model, lora.Lora(rank=2))
    return model


def rms(model, before, letter: str) -> float:
    now = {n: w for n, w in model.state_dict().items() if f"lora_{letter}" in n}
    moved = torch.cat([(w - before[n]).flatten() for n, w in now.items()])
    return float(moved.square().mean().sqrt())


@pytest.mark.parametrize("optimizer", [AdamW(), ScaledAdam()])  # one step inside another
def test_the_log_is_how_far_the_factors_are_from_their_start(optimizer, fp32):
    model, log = adapted(), []
    before = weights(model)
    history = fit(model, toy(), SHORT, fp32, optimizer=Watched(optimizer, log))
    assert len(log) == len(history.losses)
    assert log[-1] == pytest.approx((rms(model, before, "A"), rms(model, before, "B")), rel=1e-4)
    first_a, first_b = log[0]
    assert first_a == 0 < first_b  # B = 0 gives A no gradient at first


def test_watching_changes_nothing(fp32):
    watched, plain = adapted(), adapted()
    fit(watched, toy(), SHORT, fp32, optimizer=Watched(AdamW()))
    fit(plain, toy(), SHORT, fp32)
    assert_same(watched, plain)


def test_weights_without_pairs_cannot_be_watched(fp32):
    with pytest.raises(AdaptlabError, match="LoRA pairs"):
        fit(labelled(), toy(), SHORT, fp32, optimizer=Watched(AdamW()))
