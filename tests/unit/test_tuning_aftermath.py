"""What a training leaves behind: the trained weights, and nothing else."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from adaptlab.runtime import accelerator_for
from adaptlab.tuning import loop, parts
from adaptlab.tuning.loop import fit
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, assert_same, labelled, toy, weights


def test_checkpointing_runs_layers_twice_and_is_switched_off_again(fp32):
    def runs(**changes) -> int:
        model, calls = labelled(), []
        model.model.layers[1].self_attn.register_forward_hook(lambda *args: calls.append(1))
        fit(model, toy(), replace(SHORT, **changes), fp32)
        assert not any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
        return len(calls)

    assert (runs(), runs(checkpointing=True)) == (6, 12)


@pytest.mark.parametrize("breaks", [False, True])
def test_nothing_is_left_patched(breaks, monkeypatch):
    model = labelled()
    attention = model.config._attn_implementation
    if breaks:
        monkeypatch.setattr(loop, "loss", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt) if breaks else nullcontext():
        fit(model, toy(), replace(SHORT, checkpointing=True), BF16)
    assert not {"forward", "_original_forward", "_is_accelerate_prepared"} & set(vars(model))
    assert model.config._attn_implementation == attention
    assert not model.training
    assert not any(m.training or m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    ids = torch.ones(1, 3, dtype=torch.long)
    assert isinstance(model(ids, return_dict=False), tuple)
    assert model(ids).logits.dtype is torch.float32
    assert parts.cut(model, 1)[1](inputs_embeds=torch.ones(1, 3, 32)).logits.shape == (1, 3, 2)


def test_a_model_can_be_trained_again_and_again():
    """Of all of it in bf16, then of its top, then with another head: each like a first run."""

    def second(model, prepare):
        prepare(model)
        return fit(model, toy(), SHORT, BF16).losses

    model = labelled()
    fit(model, toy(), SHORT, BF16)
    for prepare in (parts.train_everything, lambda m: parts.train_top(m, 1)):
        fresh = labelled()
        fresh.load_state_dict(weights(model))
        assert second(model, prepare) == second(fresh, prepare)


@pytest.mark.parametrize("top", [None, 1])
def test_a_model_that_accelerate_left_patched_is_trained_all_the_same(top):
    """As one is that went through transformers' Trainer."""
    model = labelled(top=top)
    accelerator_for(BF16).prepare(model)
    found = fit(model, toy(), SHORT, BF16).losses
    assert found == fit(labelled(top=top), toy(), SHORT, BF16).losses


def test_old_gradients_are_not_added(fp32):
    model = labelled()
    model(torch.tensor([[7, 8, 9]])).logits.sum().backward()
    fit(model, toy(), SHORT, fp32)
    other = labelled()
    fit(other, toy(), SHORT, fp32)
    assert_same(model, other)


def test_the_callers_random_numbers_go_on_as_if_nothing_had_been(fp32):
    model = labelled(attention_dropout=0.1)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(model, toy(), SHORT, fp32)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("top", [None, 1])
def test_the_callers_own_checkpointing_stays_and_the_model_is_ready_to_be_used(fp32, top):
    model = labelled(top=top).train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    fit(model, toy(), replace(SHORT, checkpointing=True), fp32)
    assert model.is_activation_checkpointing
    assert not any(module.training for module in model.modules())
