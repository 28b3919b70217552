"""Optimizers: each against another library or its formula, and all of them in the loop."""

import math
from dataclasses import replace

import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import loop
from adaptlab.tuning.loop import fit
from adaptlab.tuning.optimizers import (
    AdamW,
    Lamb,
    LoraPlus,
    LoraRite,
    ScaledAdam,
    ScaledGradientDescent,
    Shampoo,
    pairs,
)
from adaptlab.tuning.peft_methods import add_lora
from adaptlab.tuning.subspace import RandomSubspace
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, assert_same, labelled, small_model, toy
from tests.unit.test_tuning_state import stop_at

# Each with a rate at which the toy problem is learned in 30 steps.
RATES = [
    (AdamW(), 3e-2), (LoraPlus(4.0), 1e-2), (ScaledAdam(), 3e-2),
    (ScaledGradientDescent(), 1.0), (Lamb(), 0.2), (Shampoo(), 0.3), (Shampoo(every=3), 0.1),
    (LoraRite(), 0.1), (LoraRite(escaped_mass=True), 0.1), (RandomSubspace(200), 1e-1),
]  # fmt: skip


def lora():
    torch.manual_seed(5)
    return add_lora(small_model(), rank=2)


def tensors(*shapes, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, dtype=dtype)) for shape in shapes]


def recipe_for(spec, rate):
    clip = math.inf if isinstance(spec, LoraRite) else 1.0
    return replace(SHORT, learning_rate=rate, epochs=10, clip=clip)


@pytest.mark.parametrize(("spec", "rate"), RATES, ids=str)
def test_each_learns_the_toy_problem(fp32, spec, rate):
    losses = fit(lora(), toy(), recipe_for(spec, rate), fp32, optimizer=spec).losses
    first, last = losses[:3], losses[-3:]
    # The frozen random head bounds what can be gained: about half a nat.
    assert sum(last) / 3 < sum(first) / 3 - 0.25


@pytest.mark.parametrize(("spec", "rate"), RATES, ids=str)
def test_each_goes_on_bit_for_bit(fp32, tmp_path, monkeypatch, spec, rate):
    file, recipe = tmp_path / "run.pt", replace(recipe_for(spec, rate), epochs=3, save_every=2)

    def run(file=None):
        model = lora()
        return model, fit(model, toy(), recipe, fp32, file=file, optimizer=spec)

    model, history = run()
    monkeypatch.setattr(loop._Run, "_step", stop_at(5))
    with pytest.raises(KeyboardInterrupt):
        run(file)
    monkeypatch.undo()
    assert len(torch.load(file, weights_only=True)["losses"]) == 4
    again, repeated = run(file)
    assert repeated.losses == history.losses
    assert_same(model, again)


def test_a_checkpoint_of_another_optimizer_is_refused(fp32, tmp_path):
    file = tmp_path / "run.pt"
    fit(lora(), toy(), SHORT, fp32, file=file, optimizer=LoraPlus(4.0))
    for other in (LoraPlus(2.0), AdamW()):
        with pytest.raises(AdaptlabError, match=r"another optimizer: LoraPlus\(ratio=4\.0"):
            fit(lora(), toy(), SHORT, fp32, file=file, optimizer=other)


def test_the_default_is_adamw_as_it_was(fp32):
    class Before:
        """What the loop once built on its own: a rate in the optimizer, not a multiple of one."""

        def __call__(self, weights, weight_decay):
            return torch.optim.AdamW(weights.values(), 1.0, weight_decay=weight_decay, fused=True)

    for runtime in (fp32, BF16):
        recipe, models = replace(SHORT, weight_decay=0.1), [labelled() for _ in range(3)]
        fit(models[0], toy(), recipe, runtime)
        fit(models[1], toy(), recipe, runtime, optimizer=AdamW())
        fit(models[2], toy(), recipe, runtime, optimizer=Before())
        assert_same(models[0], models[1])
        assert_same(models[0], models[2])


def test_each_group_learns_at_a_multiple_of_the_rate(fp32, monkeypatch):
    used, plain = [], torch.optim.AdamW.step

    def step(optimizer):
        used.append([group["lr"] for group in optimizer.param_groups])
        return plain(optimizer)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    fit(lora(), toy(), SHORT, fp32, optimizer=LoraPlus(4.0))
    rates = [SHORT.rate(step, 6) for step in range(6)]
    assert used == [[rate, 4 * rate] for rate in rates]


def test_no_clipping_leaves_gradients_as_they_are(fp32, monkeypatch):
    plain, norms = nn.utils.clip_grad_norm_, []

    def note(weights, clip):
        before = [weight.grad.clone() for weight in weights]
        norm = plain(weights, clip)
        norms.append(norm.item())
        assert all(torch.equal(b, w.grad) for b, w in zip(before, weights, strict=True))
        return norm

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", note)
    fit(labelled(), toy(), replace(SHORT, clip=math.inf), fp32)
    assert max(norms) > 1  # the usual clip would have changed them


@pytest.mark.parametrize("spec", [AdamW(), LoraRite(), RandomSubspace(5), Shampoo()], ids=str)
def test_a_gradient_that_is_no_number_stops_the_run(fp32, spec, monkeypatch):
    model = lora()
    before = [p.detach().clone() for p in model.parameters()]
    monkeypatch.setattr(loop, "loss", lambda *args, plain=loop.loss: plain(*args) * math.nan)
    with pytest.raises(AdaptlabError, match="not a number at step 0"):
        fit(model, toy(), replace(SHORT, clip=math.inf), fp32, optimizer=spec)
    assert all(torch.equal(b, p) for b, p in zip(before, model.parameters(), strict=True))


def test_pairs_are_found_by_their_names_in_any_order():
    a, b, head = tensors((2, 5), (7, 2), (3,))
    for a_name, b_name in (
        ("m.q_proj.lora_A.default.weight", "m.q_proj.lora_B.default.weight"),
        ("q_proj.lora_A.task", "q_proj.lora_B.task"),
    ):
        for weights in ({b_name: b, "head": head, a_name: a}, {a_name: a, b_name: b}):
            ((found_a, found_b),) = pairs(weights)
            assert found_a is a
            assert found_b is b
    found = pairs(dict(lora().named_parameters()))
    assert len(found) == 3 * 7
    assert all(len(a) == b.shape[1] == 2 for a, b in found)


A, B = "q.lora_A.x", "q.lora_B.x"
LORA_ONLY = [ScaledAdam(), ScaledGradientDescent(), LoraRite()]


@pytest.mark.parametrize("spec", [*LORA_ONLY, LoraPlus()], ids=str)
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"w": (3, 4)}, "works on LoRA pairs, and no weight is named lora_A"),
        ({A: (2, 4)}, "q.lora_A.x is no LoRA pair: its other factor is not trained"),
        ({B: (4, 2)}, "q.lora_B.x is no LoRA pair: its other factor is not trained"),
        ({A: (2, 4), B: (5, 3)}, r"is no LoRA pair: B \(5, 3\) times A \(2, 4\)"),
        ({A: (2, 4, 1), B: (5, 2)}, r"is no LoRA pair: B \(5, 2\) times A \(2, 4, 1\)"),
    ],
)
def test_weights_that_are_no_pair_are_one_line(spec, shapes, message):
    weights = dict(zip(shapes, tensors(*shapes.values()), strict=True))
    with pytest.raises(AdaptlabError, match=message):
        spec(weights, 0.0)


@pytest.mark.parametrize("spec", LORA_ONLY, ids=str)
def test_a_weight_beside_the_pairs_is_one_line(spec):
    weights = dict(zip((A, B, "head"), tensors((2, 4), (5, 2), (3, 3)), strict=True))
    with pytest.raises(AdaptlabError, match="head is in no LoRA pair"):
        spec(weights, 0.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AdamW(betas=(0.9, 1.0)), "from 0 to below 1"),
        (lambda: AdamW(eps=0.0), "eps must be above 0"),
        (lambda: LoraPlus(ratio=0.0), "ratio must be above 0"),
        (lambda: LoraPlus(eps=math.nan), "eps must be above 0"),
        (lambda: ScaledAdam(damping=-1.0), "damping must be above 0"),
        (lambda: ScaledGradientDescent(damping=0.0), "damping must be above 0"),
        (lambda: Lamb(eps=math.inf), "eps must be above 0 and finite"),
        (lambda: Shampoo(momentum=1.0), "from 0 to below 1"),
        (lambda: Shampoo(epsilon=0.0), "epsilon must be above 0"),
        (lambda: Shampoo(longest=0), "at least 1"),
        (lambda: Shampoo(every=0), "at least 1"),
        (lambda: LoraRite(betas=(-0.1, 0.9)), "from 0 to below 1"),
    ],
)
def test_bad_settings_are_one_line(build, message):
    with pytest.raises(AdaptlabError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_lora_plus_is_pefts():
    ours, theirs = (lora(), lora())
    named = {name: p for name, p in ours.named_parameters() if p.requires_grad}
    optimizer = LoraPlus(16.0)(named, 0.0)
    for group in optimizer.param_groups:
        group["lr"] *= 1e-2
    given = {"lr": 1e-2, "loraplus_lr_ratio": 16.0, "fused": True}
    peft = create_loraplus_optimizer(theirs, torch.optim.AdamW, **given)
    ids = torch.arange(20)[None]
    for model, update in ((ours, optimizer), (theirs, peft)):
        for _ in range(3):
            update.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            update.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize("spec", [ScaledAdam(0.1), ScaledGradientDescent(0.1)], ids=str)
def test_gradients_are_scaled_by_the_other_factor(spec):
    (a, b), (other_a, other_b) = tensors((2, 5), (7, 2)), tensors((2, 5), (7, 2))
    if isinstance(spec, ScaledAdam):
        plain = torch.optim.AdamW([other_a, other_b], 1e-2, weight_decay=0.1)
    else:
        plain = torch.optim.SGD([other_a, other_b], 1e-2, weight_decay=0.1)
    ours = spec({B: b, A: a}, 0.1)
    ours.param_groups[0]["lr"] *= 1e-2
    for _ in range(3):
        for one, two in ((a, b), (other_a, other_b)):
            one.grad, two.grad = one.detach().cos(), two.detach().cos()
        with torch.no_grad():
            eye = 0.1 * torch.eye(2, dtype=torch.float64)
            other_a.grad = torch.linalg.solve(other_b.T @ other_b + eye, other_a.grad)
            other_b.grad = torch.linalg.solve(other_a @ other_a.T + eye, other_b.grad.T).T
        ours.step()
        plain.step()
    torch.testing.assert_close([a, b], [other_a, other_b], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "spec", [AdamW(), LoraPlus(), Lamb(), Shampoo(), LoraRite(), RandomSubspace(3)], ids=str
)
def test_a_weight_without_a_gradient_does_no_harm(spec):
    weights = dict(
        zip((A, B, "r.lora_A.x", "r.lora_B.x"), tensors((2, 5), (7, 2)) * 2, strict=True)
    )
    weights = {name: nn.Parameter(weight.detach().clone()) for name, weight in weights.items()}
    optimizer = spec(weights, 0.0)
    for name in (A, B):
        weights[name].grad = torch.ones_like(weights[name])
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    optimizer.step()
    assert not any(torch.equal(weights[name], before[name]) for name in (A, B))
    if not isinstance(spec, RandomSubspace):  # there all weights hang on the same numbers
        assert torch.equal(weights["r.lora_A.x"], before["r.lora_A.x"])
