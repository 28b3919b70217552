"""LoRA-RITE, batched over pairs, against one pair at a time, from the published equations."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning.loop import fit
from adaptlab.tuning.lora_rite import LoraRite as Rite
from adaptlab.tuning.optimizers import LoraRite
from adaptlab.tuning.peft_methods import add_lora
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, small_model, toy

BETAS = (0.9, 0.99)
SHAPES = [(7, 5), (6, 9), (7, 5), (7, 5)]  # (out, in): three pairs are one batch


def factors(rank=3, zero=False, dtype=torch.float64):
    torch.manual_seed(0)
    return [
        (
            nn.Parameter(torch.randn(rank, width, dtype=dtype)),
            nn.Parameter(torch.randn(out, rank, dtype=dtype) * (not zero)),
        )
        for out, width in SHAPES
    ]


def set_gradients(pairs, size):
    """Those of a product near a target, and for the last pair 100 times as large."""
    torch.manual_seed(1)
    for i, (a, b) in enumerate(pairs):
        target = torch.randn(len(b), a.shape[1], dtype=torch.float64).to(a.dtype)
        factor = size * (100 if i == len(pairs) - 1 else 1)
        a.grad = b.grad = None
        (factor * (b @ a - target).square().mean()).backward()


class Plain:
    """The equations for Z = X Y^T, X (m, r), Y (n, r); each pair alone, X first, then Y."""

    def __init__(self, pairs, escaped=False):
        self.pairs, self.escaped, self.t = pairs, escaped, 0
        self.kept = {}

    @torch.no_grad()
    def step(self, rate):
        self.t += 1
        t, (b1, b2) = self.t, BETAS
        b1, b2 = (b * (1 - b ** (t - 1)) / (1 - b**t) for b in (b1, b2))
        work = []
        for i, (a, b) in enumerate(self.pairs):
            for side, x, g, y in (("a", a, a.grad.T, b), ("b", b, b.grad, a.T)):
                u, r = torch.linalg.qr(y)
                bar = g @ torch.linalg.pinv(r)
                if bar.square().mean().sqrt() > 1:
                    bar = torch.zeros_like(bar)
                work.append(((i, side), x, bar, u, r))
        size = math.sqrt(sum(bar.square().sum().item() for _, _, bar, _, _ in work))
        self.size, moves = size, []
        for key, x, bar, u, r in work:
            bar = bar / max(1.0, size)
            rank = u.shape[1]
            zeros = torch.zeros(rank, rank, dtype=bar.dtype)
            old_u, v, m, rho = self.kept.get(key, (u, zeros, torch.zeros_like(bar), 0.0))
            p = u.T @ old_u
            turned = p @ v @ p.T
            if self.escaped:
                before, after = torch.linalg.eigvalsh(v), torch.linalg.eigvalsh(turned)
                trace = (v.trace() - turned.trace()).item()
                rho = b2 * (rho + max(0.0, min((before - after).max().item(), trace)))
            v = b2 * turned + (1 - b2) * bar.T @ bar / len(bar)
            eye = rho * torch.eye(rank, dtype=v.dtype)
            values, q = torch.linalg.eigh(v + eye)
            s = bar @ q @ torch.diag(1 / (values.clamp(min=0).sqrt() + 1e-6)) @ q.T
            m = b1 * m @ p.T + (1 - b1) * s
            self.kept[key] = (u, v, m, rho)
            move = rate * m @ torch.linalg.pinv(r).T
            moves.append((x, move.T if key[1] == "a" else move))
        for x, move in moves:
            x -= move


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("size", [0.05, 3.0])  # 3: one pair counts as 0
def test_it_is_the_published_equations(zero, escaped, size):
    ours, theirs = factors(zero=zero), factors(zero=zero)
    rite, plain = Rite(ours, BETAS, escaped, lr=1e-2), Plain(theirs, escaped)
    for _ in range(8):
        for pairs in (ours, theirs):
            set_gradients(pairs, size)
        rite.step()
        plain.step(1e-2)
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8)
    start = factors(zero=zero)
    assert not torch.allclose(ours[0][1], start[0][1], atol=1e-4)  # it did move
    moved = not torch.equal(ours[-1][1], start[-1][1])
    assert moved == (size == 0.05)


def test_all_gradients_together_are_clipped():
    """Adam forgives a factor that stays. A clipped gradient is followed by one that is not."""
    ours, theirs, sizes = factors()[:2], factors()[:2], (1.0, 0.02, 0.5)
    rite, plain = Rite(ours, BETAS, False, lr=1e-2), Plain(theirs)
    draws = torch.Generator().manual_seed(2)
    for size in sizes:
        for one, two in zip(sum(ours, ()), sum(theirs, ()), strict=True):
            one.grad = size * torch.randn(one.shape, generator=draws, dtype=one.dtype)
            two.grad = one.grad.clone()
        rite.step()
        plain.step(1e-2)
        assert (plain.size > 1) == (size > 0.1)
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8)


def test_the_first_step_is_even_and_as_long_as_adams():
    """Its root mean square in the basis is the rate, whatever the gradient's size and shape."""
    (a, b), *_ = pairs = factors()[:1]
    before_a, before_b = a.detach().clone(), b.detach().clone()
    a.grad, b.grad = torch.randn_like(a) * 0.01, torch.randn_like(b) * 0.1
    Rite(pairs, BETAS, False, lr=1e-3).step()
    for move, numbers in ((before_b @ (a - before_a), a), ((b - before_b) @ before_a, b)):
        expected = 1e-3 * math.sqrt(numbers.numel())
        assert move.norm().item() == pytest.approx(expected, rel=1e-2)
        values = torch.linalg.svdvals(move.detach())[:3]
        assert values.max() / values.min() < 1.02


def test_a_stays_while_b_is_zero():
    pairs = factors(zero=True)[:1]
    (a, b), before = pairs[0], pairs[0][0].detach().clone()
    rite = Rite(pairs, BETAS, False, lr=1e-2)
    set_gradients(pairs, 1e-3)
    rite.step()
    assert torch.equal(a, before)
    assert b.abs().max() > 1e-3
    set_gradients(pairs, 1e-3)
    rite.step()
    assert not torch.equal(a, before)
    assert torch.isfinite(a).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_in_any_order_and_format(dtype):
    names = [f"l{i}.lora_{letter}.x" for i in range(len(SHAPES)) for letter in "AB"]
    ends = []
    for order in (names, names[::-1], sorted(names, key=lambda name: name[3:])):
        pairs = factors(dtype=dtype)
        weights = dict(zip(names, [w for pair in pairs for w in pair], strict=True))
        rite = LoraRite()({name: weights[name] for name in order}, 0.0)
        rite.param_groups[0]["lr"] *= 1e-2
        for _ in range(4):
            set_gradients(pairs, 0.1)
            rite.step()
        ends.append([w.detach() for pair in pairs for w in pair])
        assert ends[-1][0].dtype == dtype
    close = 1e-3 if dtype is torch.float32 else 1e-9  # sums are taken in another order
    for other in ends[1:]:
        torch.testing.assert_close(ends[0], other, rtol=close, atol=close)


def test_more_ranks_than_columns():
    torch.manual_seed(0)
    pair = (nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(6, 4)))
    rite = Rite([pair], BETAS, True, lr=1e-2)
    target, sizes = torch.randn(6, 3), []
    for _ in range(50):
        rite.zero_grad()
        loss = (pair[1] @ pair[0] - target).square().mean()
        loss.backward()
        rite.step()
        sizes.append(loss.item())
    assert sizes[-1] < 0.7 * sizes[0]


def test_it_trains_in_bf16_with_fp32_weights():
    torch.manual_seed(5)
    model = add_lora(small_model(), rank=2)
    recipe = replace(SHORT, learning_rate=0.1, epochs=10, clip=math.inf)
    losses = fit(model, toy(), recipe, BF16, optimizer=LoraRite()).losses
    assert sum(losses[-3:]) / 3 < sum(losses[:3]) / 3 - 0.25


def test_weight_decay_is_refused(fp32):
    model = add_lora(small_model(), rank=2)
    with pytest.raises(AdaptlabError, match=r"no weight decay: take 0, not 0\.1"):
        fit(model, toy(), replace(SHORT, weight_decay=0.1), fp32, optimizer=LoraRite())
