"""Lamb and Shampoo, each against its formula, with torch's own where they have a part."""

from itertools import pairwise

import pytest
import torch

from adaptlab.tuning import lamb, shampoo
from tests.gpt_small import one_thread as one_thread
from tests.unit.test_optimizers import tensors


def steps(optimizer, weights, rate=1e-2, count=5):
    """So many steps down a quartic, whose gradient changes on the way."""
    for group in optimizer.param_groups:
        group["lr"] *= rate
    for _ in range(count):
        optimizer.zero_grad()
        sum((weight**2 - 1).square().sum() for weight in weights).backward()
        optimizer.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_lamb_is_adam_with_a_trust_ratio(decay):
    """torch's own Adam makes the step; only its length is Lamb's."""
    shapes = ((3, 4), (5,), (2, 2, 3))
    weights, adams = tensors(*shapes), tensors(*shapes)
    with torch.no_grad():
        weights[1].zero_()
        adams[1].zero_()
    ours = lamb.Lamb(weights, (0.9, 0.99), 1e-6, decay, lr=0.1)
    adam = torch.optim.Adam(adams, lr=1.0, betas=(0.9, 0.99), eps=1e-6)
    for _ in range(4):
        for one, two in zip(weights, adams, strict=True):
            one.grad = two.grad = (one.detach() + 1).sin()
        ours.step()
        before = [weight.detach().clone() for weight in adams]
        adam.step()
        for own, old, new in zip(weights, before, adams, strict=True):
            update = old - new.detach() + decay * old
            trust = old.norm() / update.norm() if old.norm() > 0 else 1.0
            new.data = old - 0.1 * trust * update
            torch.testing.assert_close(own.detach(), new.data, rtol=1e-10, atol=1e-12)


def powers(matrix, exponent):
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


@pytest.mark.parametrize(
    ("shape", "left", "right"),
    [((3, 4), -1 / 4, -1 / 4), ((3, 9), -1 / 2, 0), ((9, 3), 0, -1 / 2), ((5,), -1 / 2, 0)],
)
def test_shampoo_is_its_formula(shape, left, right):
    """Two of a shape, which are one batch, against each alone, matrix by matrix."""
    weights = tensors(shape, shape)
    alone = [weight.detach().reshape(shape[0], -1).clone() for weight in weights]
    ours = shampoo.Shampoo(weights, 0.5, 1e-3, longest=6, every=1, weight_decay=0.2, lr=0.1)
    eyes = [1e-3 * torch.eye(n, dtype=torch.float64) for n in alone[0].shape]
    sums, means = [list(eyes) for _ in alone], [torch.zeros_like(w) for w in alone]
    for step in range(1, 5):
        for i, w in enumerate(alone):
            g = (w + i).sin()
            weights[i].grad = g.reshape(shape)
            sums[i] = [sums[i][0] + g @ g.T, sums[i][1] + g.T @ g]
            means[i] = 0.5 * means[i] + 0.5 * g
            mean = means[i] / (1 - 0.5**step)
            move = powers(sums[i][0], left) @ mean @ powers(sums[i][1], right)
            alone[i] = w - 0.1 * 0.2 * w - 0.1 * move
        ours.step()
    for weight, expected in zip(weights, alone, strict=True):
        torch.testing.assert_close(weight.detach(), expected.reshape(shape), rtol=1e-9, atol=1e-11)


def test_shampoo_without_a_short_side_is_adagrad():
    ours, theirs = tensors((7, 8), (1,)), tensors((7, 8), (1,))
    own = shampoo.Shampoo(ours, 0.0, 1e-3, longest=6, every=1, weight_decay=0.0)
    adagrad = torch.optim.Adagrad(theirs, 1.0, initial_accumulator_value=1e-3, eps=0.0)
    torch.testing.assert_close(steps(own, ours), steps(adagrad, theirs))


def test_shampoo_looks_at_the_roots_every_so_often():
    often, seldom = tensors((3, 4)), tensors((3, 4))
    one, three = (
        shampoo.Shampoo(weights, 0.0, 1e-3, 6, every, 0.0)
        for weights, every in ((often, 1), (seldom, 3))
    )
    roots = []
    for _ in range(5):
        for weights, optimizer in ((often, one), (seldom, three)):
            steps(optimizer, weights, rate=1.0 if roots else 1e-2, count=1)
        roots.append(three.state[seldom[0]]["root1"].clone())
    same = [torch.equal(a, b) for a, b in pairwise(roots)]
    assert same == [True, True, False, True]
    assert not torch.equal(often[0], seldom[0])
