"""A training that was killed goes on bit for bit, and nothing else goes on from its checkpoint."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import loop
from adaptlab.tuning.examples import Examples
from adaptlab.tuning.loop import fit
from adaptlab.tuning.peft_methods import add_lora
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, assert_same, labelled, small_model, toy

# Noise, so that the best weights are some that no checkpoint shows as the last ones.
LONG = replace(SHORT, epochs=8, save_every=1, evaluate_every=2, keep_best=True)
DEV = toy(40, seed=1)


def stop_at(step: int):
    """The stop button, pressed when this step of the training is done."""
    plain, done = loop._Run._step, []

    def stops(run, *args):
        if len(done) == step:
            raise KeyboardInterrupt
        done.append(args)
        return plain(run, *args)

    return stops


def lora():
    torch.manual_seed(5)
    return add_lora(small_model(), rank=2)


@pytest.mark.parametrize(
    ("build", "changes", "dev", "bf16"),
    [
        (labelled, {}, None, False),
        (labelled, {}, None, True),
        (partial(labelled, torch.bfloat16), {"keep_best": True, "evaluate_every": 2}, DEV, True),
        (partial(labelled, top=1), {"evaluate_every": 2, "patience": 5}, DEV, False),
        (partial(labelled, attention_dropout=0.2), {"accumulation": 2}, None, False),
        (lora, {}, None, True),
    ],
)  # fmt: skip
def test_a_run_goes_on_bit_for_bit(fp32, tmp_path, monkeypatch, build, changes, dev, bf16):
    runtime, file = BF16 if bf16 else fp32, tmp_path / "checkpoints" / "run.pt"
    recipe = replace(SHORT, epochs=4, save_every=3, **changes)

    def run(file=None):
        model = build()
        torch.manual_seed(99 if file else 1)  # what was drawn before does not matter
        return model, fit(model, toy(noise=0.4), recipe, runtime, dev, file)

    model, history = run()
    monkeypatch.setattr(loop._Run, "_step", stop_at(8))
    with pytest.raises(KeyboardInterrupt):
        run(file)
    monkeypatch.undo()
    assert len(torch.load(file, weights_only=True)["losses"]) == 6
    for _ in range(2):  # the second time it is done, and nothing is added
        again, repeated = run(file)
        assert_same(model, again)
        assert (repeated.losses, repeated.dev) == (history.losses, history.dev)
    assert [path.name for path in file.parent.iterdir()] == ["run.pt"]


def test_a_run_that_was_out_of_patience_is_kept_and_not_written_again(fp32, tmp_path):
    file = tmp_path / "run.pt"
    recipe = replace(LONG, learning_rate=3e-2, save_every=1000, patience=2)

    def run():
        model = labelled()
        return model, fit(model, toy(noise=0.4), recipe, fp32, DEV, file)

    model, history = run()
    assert len(history.losses) < 24
    written = file.stat().st_mtime_ns
    again, repeated = run()
    assert (repeated.losses, repeated.dev) == (history.losses, history.dev)
    assert_same(model, again)
    assert file.stat().st_mtime_ns == written


@pytest.mark.parametrize("stop", [2, 4, 5])
def test_kept_activations_go_on_bit_for_bit_where_dev_shares_texts(
    fp32, tmp_path, monkeypatch, stop
):
    file, dev = tmp_path / "run.pt", toy()[:10] + DEV[:5]
    recipe = replace(SHORT, epochs=3, save_every=1, evaluate_every=2)

    def run(file=None):
        model = labelled(top=1)
        return model, fit(model, toy(), recipe, fp32, dev, file)

    model, history = run()
    monkeypatch.setattr(loop._Run, "_step", stop_at(stop))
    with pytest.raises(KeyboardInterrupt):
        run(file)
    monkeypatch.undo()
    again, repeated = run(file)
    assert (repeated.losses, repeated.dev) == (history.losses, history.dev)
    assert_same(model, again)


@pytest.mark.parametrize("stop", [2, 4])
def test_kept_activations_are_made_again_in_the_same_batches(fp32, tmp_path, monkeypatch, stop):
    """With fused attention a text's last digits depend on what it is batched with."""
    file, recipe = tmp_path / "run.pt", replace(SHORT, save_every=1, accumulation=2)

    def run(file=None):
        model, shapes = labelled(top=1), []
        lowest = model.model.layers[0]
        lowest.register_forward_hook(lambda module, args, out: shapes.append(out.shape))
        fit(model, toy(), recipe, fp32, file=file)
        return shapes

    straight = run()
    monkeypatch.setattr(loop._Run, "_step", stop_at(stop))
    with pytest.raises(KeyboardInterrupt):
        run(file)
    monkeypatch.undo()
    assert run(file) == straight
    assert run(file) == []  # it is done


VICTIM = """
import time
from pathlib import Path
import torch
from adaptlab.tuning import loop
from tests.conftest import FP32
from tests.tuning_small import labelled, toy
from tests.unit.test_tuning_state import DEV, LONG

def slow(*args, plain=loop.loss):
    time.sleep(0.3)
    return plain(*args)

loop.loss = slow
torch.set_num_threads(1)
loop.fit(labelled(), toy(noise=0.4), LONG, FP32, DEV, Path({file!r}))
"""


def test_a_killed_process_goes_on_bit_for_bit(fp32, tmp_path):
    file = tmp_path / "run.pt"

    def steps() -> int:
        return len(torch.load(file, weights_only=True)["losses"]) if file.exists() else 0

    process = subprocess.Popen([sys.executable, "-c", VICTIM.format(file=str(file))])
    try:
        deadline = time.monotonic() + 100
        while steps() < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "it was to be killed, and not to end"
    assert 5 <= steps() < 24
    model, again = labelled(), labelled()
    history = fit(model, toy(noise=0.4), LONG, fp32, DEV)
    repeated = fit(again, toy(noise=0.4), LONG, fp32, DEV, file)
    assert_same(model, again)
    assert (repeated.losses, repeated.dev) == (history.losses, history.dev)
    assert history.best is not history.dev[-1]


def other_model(layer):
    model = labelled(top=1)
    with torch.no_grad():
        model.model.layers[layer].mlp.up_proj.weight[0, 0] += 1e-3
    return model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": partial(labelled, top=2)}, "another model: "),
        ({"model": partial(other_model, 0)}, "another model: "),
        ({"model": partial(other_model, 2)}, "another model: "),  # of what is trained
        ({"model": partial(labelled, top=1, attention_dropout=0.1)}, "another model: "),
        ({"model": partial(labelled, top=1, hidden_size=16)}, "another model: "),
        ({"recipe": replace(SHORT, seed=4, epochs=1)},
         "another recipe: epochs is 2, not 1, seed is 3, not 4$"),
        ({"examples": toy(seed=2)}, "another examples: [0-9a-f]{16}, not [0-9a-f]{16}$"),
        ({"examples": toy(noise=1.0)}, "another examples: "),  # the labels
        ({"examples": Examples(toy().rows[::-1])}, "another examples: "),
        ({"dev": toy(8)}, "another examples: "),
        ({"runtime": BF16}, "another format: torch.float32, not torch.bfloat16$"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_something_else_is_one_line(fp32, tmp_path, changes, message):
    file = tmp_path / "run.pt"
    same = {"model": partial(labelled, top=1), "recipe": SHORT, "examples": toy(), "runtime": fp32}

    def run(**given):
        return fit(given.pop("model")(), file=file, **given)

    run(**same)
    before = file.read_bytes()
    with pytest.raises(AdaptlabError, match=message) as caught:
        run(**same | changes)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before
    run(**same | {"recipe": replace(SHORT, save_every=1)})  # how often it is saved is no matter


def test_the_same_model_is_known_whatever_the_threads(fp32, tmp_path):
    """A sum of many numbers depends on how many threads share it; a checksum does not."""
    file, model = tmp_path / "run.pt", partial(labelled, top=0, vocab_size=20_000)
    fit(model(), toy(), SHORT, fp32, file=file)
    torch.set_num_threads(2)
    try:
        fit(model(), toy(), SHORT, fp32, file=file)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", None])
def test_a_damaged_checkpoint_is_one_line(fp32, tmp_path, damage):
    file = tmp_path / "run.pt"
    fit(labelled(), toy(), SHORT, fp32, file=file)
    file.write_bytes(file.read_bytes()[:2000] if damage is None else damage)
    with pytest.raises(AdaptlabError, match=f"{file} is not a readable checkpoint") as caught:
        fit(labelled(), toy(), SHORT, fp32, file=file)
    assert "\n" not in str(caught.value)
