"""In bf16 the small steps are not lost, and no model comes back in another format."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import loop, network, parts
from adaptlab.tuning.examples import collate
from adaptlab.tuning.loop import fit
from adaptlab.tuning.precision import master_weights
from adaptlab.tuning.recipe import Recipe
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, changed, labelled, toy, weights

BOTH = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
SMALL_STEPS = Recipe(2e-5, epochs=10, batch_size=8)  # half a digit of a bf16 0.03 is 6e-5


def formats(model: nn.Module) -> list[torch.dtype]:
    return [weight.dtype for weight in model.state_dict().values()]


def loses_no_digits(weight: torch.Tensor) -> bool:
    return torch.equal(weight, weight.bfloat16().to(weight.dtype))


@BOTH
def test_a_model_keeps_its_format_and_what_is_not_trained(dtype):
    model = labelled(dtype, top=1)
    before = weights(model)
    history = fit(model, toy(), SHORT, BF16, dev=toy(9, seed=1))
    assert formats(model) == [dtype] * len(before)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert changed(model, before) == trained
    assert all(p.grad is None for p in model.parameters())
    assert all(isinstance(loss, float) for loss in history.losses)


def test_an_fp32_model_comes_back_with_digits_that_bf16_has_not():
    model = labelled(torch.float32)
    fit(model, toy(), SHORT, BF16)
    assert not any(loses_no_digits(p.data) for p in model.parameters())
    rounded = labelled(torch.bfloat16)
    fit(rounded, toy(), SHORT, BF16)
    assert {p.dtype for p in rounded.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("runtime", ["fp32", "bf16"])
def test_bf16_products_are_near_those_of_fp32(fp32, runtime):
    """A bf16 run is another run by a little; so is one of a model that was loaded in bf16."""
    recipe = replace(SHORT, learning_rate=1e-3)
    exact = fit(labelled(), toy(), recipe, fp32)
    other = fit(labelled(torch.bfloat16), toy(), recipe, fp32 if runtime == "fp32" else BF16)
    differences = torch.tensor(exact.losses) - torch.tensor(other.losses)
    assert 0 < differences.abs().max() < 5e-3


@BOTH
@pytest.mark.parametrize("runtime", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "choose",
    [lambda m: parts.train_top(m, 0), lambda m: parts.train_bottom(m, 1), parts.train_everything],
)
def test_any_format_is_trained_in_any_runtime(fp32, dtype, runtime, choose):
    model = labelled(dtype)
    choose(model)
    before = weights(model)
    fit(model, toy(), SHORT, fp32 if runtime == "fp32" else BF16, dev=toy(9, seed=1))
    assert formats(model) == [dtype] * len(before)
    assert changed(model, before) == {n for n, p in model.named_parameters() if p.requires_grad}


def test_steps_below_half_a_digit_add_up():
    model, plain = labelled(torch.bfloat16), labelled(torch.bfloat16)
    before = weights(model)
    fit(model, toy(), SMALL_STEPS, BF16)

    optimizer = torch.optim.AdamW(plain.parameters(), SMALL_STEPS.learning_rate, weight_decay=0)
    for step in range(30):  # as many steps, on the bf16 weights themselves
        examples = toy()[step % 3 * 8 : step % 3 * 8 + 8]
        network.loss(plain, collate(examples)).backward()
        optimizer.step()
        optimizer.zero_grad()

    def moved(other) -> float:
        """Of the weights of 0.03 and more, the share that moved."""
        large = {name: weight.abs() > 0.03 for name, weight in before.items()}
        found = [(w != before[n])[large[n]] for n, w in other.state_dict().items()]
        used = [part for part in found if part.numel()]
        return torch.cat(used).float().mean().item()

    assert moved(plain) < 0.01
    assert moved(model) > 0.3


def test_a_thousand_thousandths_are_one():
    weight, plain = (nn.Parameter(torch.ones(3, dtype=torch.bfloat16)) for _ in range(2))
    with master_weights([weight], torch.bfloat16) as masters:
        assert masters.trained[0].dtype is torch.float32
        for _ in range(1000):
            for parameter in (plain, masters.trained[0]):
                parameter.data += 1e-3
            masters.give_weights()
            assert weight.dtype is torch.bfloat16
    assert plain.tolist() == [1.0] * 3
    assert weight.tolist() == pytest.approx([2.0] * 3)


def test_gradients_add_up_in_fp32():
    """256 + 1 is 256 in bf16."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    with master_weights([weight], torch.bfloat16) as masters:
        for gradient in (256.0, 1.0, 1.0):
            weight.grad = torch.tensor([gradient], dtype=torch.bfloat16)
            masters.take_gradients()
            assert weight.grad is None
        assert masters.trained[0].grad.tolist() == [258.0]


def test_fp32_weights_in_an_fp32_run_are_trained_themselves(fp32):
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)  # of something else
    with master_weights([weight], torch.float32) as masters:
        assert masters.trained[0] is weight
        assert weight.grad is None
        weight.grad = torch.full((1,), 2.0)
        masters.take_gradients()
        assert weight.grad.tolist() == [2.0]
    assert weight.grad is None


@BOTH
def test_a_run_that_breaks_gives_the_formats_back(dtype, monkeypatch):
    model = labelled(dtype)
    before, plain = formats(model), loop.loss
    calls = []

    def breaks(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(*args)

    monkeypatch.setattr(loop, "loss", breaks)
    with pytest.raises(KeyboardInterrupt):
        fit(model, toy(), SHORT, BF16)
    assert formats(model) == before
    assert all(p.grad is None for p in model.parameters())
    monkeypatch.undo()
    fit(model, toy(), SHORT, BF16)  # and the model can be trained again


def test_a_lost_number_gives_the_formats_back():
    model = labelled(torch.float32)
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    with pytest.raises(AdaptlabError, match="not a number at step 0"):
        fit(model, toy(), SHORT, BF16)
    assert set(formats(model)) == {torch.float32}
    assert all(p.grad is None for p in model.parameters())
