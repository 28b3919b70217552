"""A training that was killed goes on bit for bit, and nothing else goes on from its checkpoint."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.gpt import pretrain as pretraining
from adaptlab.gpt.data import Windows
from tests.gpt_small import one_thread as one_thread
from tests.gpt_training import SHORT, SMALL, run, toy


def assert_same(one, other) -> None:
    (model, history), (again, repeated) = one, other
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert history.losses == repeated.losses
    assert history.validation == repeated.validation


class Stops(Windows):
    """The text, until somebody presses the stop button at step 13."""

    def draw(self, size, seed, step):
        if step == 13:
            raise KeyboardInterrupt
        return super().draw(size, seed, step)


def test_a_training_goes_on_bit_for_bit(fp32, tmp_path):
    straight = run(fp32)
    file, text = tmp_path / "checkpoints" / "small.pt", toy()
    with pytest.raises(KeyboardInterrupt):
        run(fp32, text=Stops(text.ids, 16), file=file)
    torch.manual_seed(99)  # another process has another state
    went_on = run(fp32, file=file)
    assert len(went_on[1].losses) == 20
    assert_same(straight, went_on)
    assert_same(straight, run(fp32, file=file))  # it is done; nothing is added
    assert [path.name for path in file.parent.iterdir()] == ["small.pt"]


LONG = replace(SHORT, steps=60, save_every=10)
VICTIM = """
import time
from pathlib import Path
import torch
from adaptlab.gpt.data import Windows
from tests.conftest import FP32
from tests.gpt_training import run, toy
from tests.unit.test_gpt_checkpoint import LONG

class Slow(Windows):
    def draw(self, size, seed, step):
        time.sleep(0.5 if step > 25 else 0)
        return super().draw(size, seed, step)

torch.set_num_threads(1)
run(FP32, LONG, text=Slow(toy().ids, 16), file=Path({file!r}))
"""


def test_a_killed_process_goes_on_bit_for_bit(fp32, tmp_path):
    file = tmp_path / "small.pt"
    process = subprocess.Popen([sys.executable, "-c", VICTIM.format(file=str(file))])
    try:
        deadline = time.monotonic() + 60
        while not file.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "it was to be killed, and not to end"
    saved = len(torch.load(file, weights_only=True)["losses"])
    assert 10 <= saved < 60
    assert_same(run(fp32, LONG), run(fp32, LONG, file=file))


def test_a_loss_that_is_no_number_stops_it(fp32, tmp_path, monkeypatch):
    file = tmp_path / "small.pt"
    whole = pretraining.training_step

    def breaks(model, optimizer, batch, recipe, step, accelerator):
        if step == 12:
            with torch.no_grad():
                model.head.weight[0, 0] = torch.nan
        return whole(model, optimizer, batch, recipe, step, accelerator)

    monkeypatch.setattr(pretraining, "training_step", breaks)
    with pytest.raises(AdaptlabError, match=r"loss is nan at step 12; no checkpoint\. A lower"):
        run(fp32)
    with pytest.raises(AdaptlabError, match=f"at step 12; the last good checkpoint is {file}"):
        run(fp32, file=file)
    assert len(torch.load(file, weights_only=True)["losses"]) == 10
    monkeypatch.undo()
    assert_same(run(fp32), run(fp32, file=file))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": replace(SMALL, mlp_width=20)},
         "another configuration: mlp_width is 64, not 20$"),
        ({"recipe": replace(SHORT, steps=9, seed=4)},
         "another recipe: steps is 6, not 9, seed is 3, not 4$"),
        ({"recipe": replace(SHORT, steps=6, betas=(0.9, 0.95))}, r"betas is \(0.9, 0.99\), not"),
        ({"text": toy(5)}, "of another text: [0-9a-f]{16}, not [0-9a-f]{16}$"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_something_else_is_one_line(fp32, tmp_path, changes, message):
    file = tmp_path / "small.pt"
    run(fp32, replace(SHORT, steps=6), file=file)
    before = file.read_bytes()
    with pytest.raises(AdaptlabError, match=message) as caught:
        run(fp32, **{"recipe": replace(SHORT, steps=6), "file": file} | changes)
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before
