"""Two processes that share each batch learn what one process learns."""

import json
import os
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.runtime import accelerator_for
from adaptlab.tuning.adversarial import Adversary
from adaptlab.tuning.loop import fit
from adaptlab.tuning.peft_methods import add_lora
from tests.conftest import FP32
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import BF16, SHORT, labelled, small_model, toy

ROOT = Path(__file__).parents[2]
MANY = replace(SHORT, evaluate_every=2, keep_best=True)
CASES = {  # examples, top layers that are trained (None: all), recipe
    "the last batch has one": (25, None, MANY),
    "in parts": (27, None, replace(MANY, accumulation=2)),
    "kept activations": (25, 1, replace(MANY, epochs=3, accumulation=2)),
    "checkpointing": (24, None, replace(MANY, checkpointing=True)),
    "bf16": (25, None, MANY),
    "the last weights": (25, None, replace(MANY, keep_best=False)),
}


def run(case: str, file: Path | None = None) -> dict:
    """What a case comes to: losses, looks at dev, and a weight or two."""
    count, top, recipe = CASES[case]
    model = labelled(top=top)
    runtime = BF16 if case == "bf16" else FP32
    history = fit(model, toy(count), recipe, runtime, toy(9, seed=1), file)
    head = model.lm_head.weight
    return {
        "losses": history.losses,
        "dev": [astuple(look) for look in history.dev],
        "head": head.flatten().tolist(),
    }


def lora(process: int) -> dict:
    """A bf16 LoRA, drawn anew by each process."""
    base = small_model()
    torch.manual_seed(process)
    model = add_lora(base, rank=2)
    fit(model, toy(), replace(SHORT, learning_rate=1e-4), BF16)
    named = model.named_parameters()
    return {name: weight.tolist() for name, weight in named if weight.requires_grad}


def main(folder: Path) -> None:
    """What each of the processes does."""
    accelerator = accelerator_for(FP32)
    assert accelerator.num_processes == 2
    found = {case: run(case, folder / f"{case}.pt") for case in CASES}
    assert run("in parts", folder / "in parts.pt") == found["in parts"]  # goes on from its end
    with pytest.raises(AdaptlabError, match="use one process"):
        fit(labelled(), toy(), SHORT, FP32, adversary=Adversary())
    index = accelerator_for(FP32).process_index
    found["lora"] = lora(index)
    (folder / f"{index}.json").write_text(json.dumps(found))


@pytest.mark.slow
def test_two_processes_do_as_one(tmp_path):
    # --multi_gpu is accelerate's word for several processes here; without a GPU they are on CPUs.
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    options = ["--num_processes=2", "--main_process_port=0", "--module"]
    command = [*launch, *options, "tests.unit.test_tuning_processes", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = (json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2))
    assert one == other
    for name, values in lora(0).items():  # those of the first process are trained
        np.testing.assert_allclose(one["lora"][name], values, atol=2e-3, rtol=0, err_msg=name)
    for case in CASES:
        alone = run(case)
        for part in ("losses", "dev", "head"):
            found, expected = (np.array(each[part]) for each in (one[case], alone))
            most = 5e-3 if case == "bf16" else 1e-5
            np.testing.assert_allclose(
                found, expected, atol=most, rtol=0, err_msg=f"{case}, {part}"
            )
    assert {file.name for file in tmp_path.glob("*.pt*")} == {f"{case}.pt" for case in CASES}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
