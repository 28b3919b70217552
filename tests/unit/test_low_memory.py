"""AdamW in 8 bits follows AdamW in 32, in a quarter of its memory; pages are not made up."""

import copy
import io
import warnings

import pytest
import torch
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import loop
from adaptlab.tuning.low_memory import (
    AdamW8bit,
    PagedAdamW,
    paged_is_real,
    state_bytes,
    why_not_paged,
)
from adaptlab.tuning.recipe import Recipe
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, assert_same, labelled, toy

RECIPE = Recipe(1e-3, epochs=4, batch_size=8, save_every=2)
CPU = torch.device("cpu")


def made_weights(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    shapes = {"large": (128, 64), "small": (40, 10)}
    return {name: nn.Parameter(torch.randn(shape, dtype=dtype)) for name, shape in shapes.items()}


def train(weights, optimizer, steps: range, rate: float = 0.01) -> None:
    """Towards 0 along a gradient with noise, which depends on the step alone."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    for step in steps:
        noise = torch.Generator().manual_seed(step)
        for weight in weights.values():
            weight.grad = weight.detach() + 0.3 * torch.randn(weight.shape, generator=noise)
        optimizer.step()


def torchs(weights, spec, decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        weights.values(), lr=1.0, betas=spec.betas, eps=spec.eps, weight_decay=decay
    )


@pytest.mark.parametrize("spec", [AdamW8bit(), AdamW8bit(betas=(0.8, 0.95), eps=1e-6)])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_8_bits_follow_32(spec, decay):
    ours, theirs, start = made_weights(), made_weights(), made_weights()
    train(ours, spec(ours, decay), range(30))
    train(theirs, torchs(theirs, spec, decay), range(30))
    for name, limit in (("large", 0.05), ("small", 1e-5)):  # the small one stays in 32 bits
        way = (theirs[name] - start[name]).norm()
        assert (ours[name] - theirs[name]).norm() < limit * way
    apart = (ours["large"] - theirs["large"]).norm()
    assert apart > 1e-3 * (theirs["large"] - start["large"]).norm()  # else nothing was in 8 bits


def test_2_bytes_a_weight_instead_of_8():
    ours, theirs = made_weights(), made_weights()
    small, large = (weight.numel() for weight in reversed(ours.values()))
    optimizer, reference = AdamW8bit()(ours, 0.0), torchs(theirs, AdamW8bit(), 0.0)
    for weights, each in ((ours, optimizer), (theirs, reference)):
        train(weights, each, range(1))
    blocks, codebooks = 2 * 4 * large // 256, 2 * 4 * 256
    assert state_bytes(optimizer) == 2 * large + blocks + codebooks + 8 * small
    assert state_bytes(reference) == 8 * (large + small) + 2 * 4  # with the counts of steps


def test_training_goes_on_from_a_saved_state():
    ours, other = made_weights(), made_weights()
    train(ours, AdamW8bit()(ours, 0.1), range(8))
    first = AdamW8bit()(other, 0.1)
    train(other, first, range(4))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    fresh = {name: nn.Parameter(weight.detach().clone()) for name, weight in other.items()}
    second = AdamW8bit()(fresh, 0.1)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert state_bytes(second) == state_bytes(first)
    train(fresh, second, range(4, 8))
    for name in ours:
        assert torch.equal(fresh[name], ours[name])


def test_fit_trains_with_it_and_resumes_bit_for_bit(tmp_path, monkeypatch):
    plain = loop._Run._step

    def run(file=None):
        model = labelled(torch.bfloat16, hidden_size=64, intermediate_size=128)
        settings = {"file": file, "optimizer": AdamW8bit()}
        return model, loop.fit(model, toy(), RECIPE, BF16, **settings).losses

    def stops(step, *args):
        if args[2] == 5:
            raise KeyboardInterrupt
        return plain(step, *args)

    model, losses = run()
    assert sum(losses[-3:]) < sum(losses[:3])
    monkeypatch.setattr(loop._Run, "_step", stops)
    file = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(file)
    monkeypatch.setattr(loop._Run, "_step", plain)
    again, same = run(file)
    assert same == losses
    assert_same(again, model)


def test_the_rate_is_a_multiple_and_settings_reach_every_group():
    for group in AdamW8bit(betas=(0.5, 0.6), eps=1e-3)(made_weights(), 0.7).param_groups:
        assert group["lr"] == 1.0
        assert tuple(group["betas"]) == (0.5, 0.6)
        assert (group["eps"], group["weight_decay"]) == (1e-3, 0.7)


def test_pages_are_real_on_a_gpu_alone():
    assert paged_is_real(torch.device("cuda"))
    assert why_not_paged(torch.device("cuda", 0)) == ""
    assert not paged_is_real(CPU)
    assert "on cpu there is nothing to move" in why_not_paged(CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # bitsandbytes would warn, and go on
        with pytest.raises(AdaptlabError, match="on cpu there is nothing to move"):
            PagedAdamW()(made_weights(), 0.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pages need a GPU; there is none")
def test_paged_adamw_is_adamw():
    ours = {n: nn.Parameter(w.detach().cuda()) for n, w in made_weights().items()}
    theirs = copy.deepcopy(ours)
    for weights, each in ((ours, PagedAdamW()(ours, 0.1)), (theirs, None)):
        each = each or torchs(theirs, PagedAdamW(), 0.1)
        for group in each.param_groups:
            group["lr"] = 0.01
        for _ in range(5):
            for weight in weights.values():
                weight.grad = weight.detach().clone()
            each.step()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [AdamW8bit(), PagedAdamW()], ids=["8 bits", "paged"])
def test_mistakes_are_one_line(spec):
    with pytest.raises(AdaptlabError, match="there are no weights"):
        spec({}, 0.0)


def test_more_mistakes_are_one_line():
    with pytest.raises(AdaptlabError, match="large is float64; 8-bit and paged"):
        AdamW8bit()(made_weights(torch.float64), 0.0)
    with pytest.raises(AdaptlabError, match=r"AdamW8bit cannot be built: .*beta"):
        AdamW8bit(betas=(0.9, 1.5))(made_weights(), 0.0)
    with pytest.raises(AdaptlabError, match=r"AdamW8bit cannot be built: .*epsilon"):
        AdamW8bit(eps=-1.0)(made_weights(), 0.0)
