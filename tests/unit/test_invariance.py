"""Which optimizers do not care how a product is written, and which do."""

import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.tuning.invariance import drift
from adaptlab.tuning.optimizers import (
    AdamW,
    Lamb,
    LoraPlus,
    LoraRite,
    ScaledAdam,
    ScaledGradientDescent,
    Shampoo,
)
from tests.gpt_small import one_thread as one_thread

TRANSFORMS = ("scale", "rotation", "any")


def descent(weights, weight_decay):
    return torch.optim.SGD(weights.values(), lr=1.0, weight_decay=weight_decay)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("escaped", [False, True])
def test_rite_is_invariant(transform, seed, escaped):
    assert drift(LoraRite(escaped_mass=escaped), transform, seed=seed) < 1e-10


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_scaled_descent_is_invariant_without_damping(transform):
    assert drift(ScaledGradientDescent(damping=1e-12), transform) < 1e-8
    if transform != "rotation":
        assert drift(ScaledGradientDescent(damping=1e-2), transform) > 1e-2


def test_descent_is_invariant_under_rotation_alone():
    assert drift(descent, "rotation") < 1e-12
    assert drift(Shampoo(), "rotation") < 1e-10
    for spec in (descent, Shampoo()):
        assert min(drift(spec, "scale"), drift(spec, "any")) > 0.1


@pytest.mark.parametrize(
    "spec", [AdamW(), LoraPlus(), ScaledAdam(), ScaledAdam(damping=1e-12), Lamb()], ids=str
)
def test_steps_by_coordinate_are_not_invariant(spec):
    assert min(drift(spec, "rotation"), drift(spec, "any")) > 0.1


def test_lamb_is_invariant_under_scale_but_for_its_epsilon():
    assert drift(Lamb(), "scale") < 1e-3 < 0.1 < drift(AdamW(), "scale")
    assert drift(Lamb(eps=1e-12), "scale") < 1e-8


def test_both_trainings_start_from_one_product_and_learn():
    """One step of a rate near 0: the products are still the same, relative to their length."""
    distances = [drift(AdamW(), "any", steps=steps) for steps in (1, 30)]
    assert all(0 < distance < 2 for distance in distances)
    assert drift(AdamW(), "any", seed=0) != drift(AdamW(), "any", seed=1)
    assert drift(AdamW(), "any") == drift(AdamW(), "any")


def test_an_unknown_transform_is_one_line():
    with pytest.raises(AdaptlabError, match="unknown transform 'rotate'; did you mean rotation"):
        drift(AdamW(), "rotate")
