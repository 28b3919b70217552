"""LoRA on every linear layer: our loop against transformers' Trainer with peft, on the CPU.

500 reviews, one epoch, batches of 16, rank 8, alpha 16, the same rate and seed, a head of two
labels. Trainer and peft run as their documentation writes it (fp32, random batches), and tuned
(bf16, batches of like length). peft trains the new head as well, so here ours does: both train the
same numbers. What differs: our frozen weights are bf16, theirs fp32, and our rate warms up.

Besides, one layer's worth of code against another's: forward and backward of our LoRA and peft's
with the same A and B, and a merged model's forward against its base's.

`python -m tests.bench.lora try` runs everything on a handful of reviews, to see that it works.
"""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import peft
import torch
from torch import nn
from transformers import PreTrainedModel

from adaptlab import models, runtime
from adaptlab.models import output_head, trainable_parameters
from adaptlab.runtime import Runtime
from adaptlab.tuning import lora, peft_methods
from adaptlab.tuning.trainer import sequence_classifier
from tests.bench import tuning
from tests.bench.pairs import Result, faster, seconds, try_out
from tests.bench.tuning import BATCH, MODEL, SEED, WAYS, Runs

RANK, ALPHA, RATE = 8, 16, 1e-3


@dataclass(frozen=True)
class Size:
    """How many reviews, how many turns, and the tokens of a text in a single step."""

    reviews: tuning.Size = field(default_factory=tuning.Size)
    steps: int = 12
    forwards: int = 40
    tokens: int = 32


TRY = Size(tuning.Size(train=16, test=8, part=16, rounds=1), steps=1, forwards=3, tokens=8)


def run(size: Size = Size()) -> Iterator[Result]:
    yield from _epochs(size.reviews)
    here = runtime.detect("cpu")
    base = models.load(MODEL, runtime=here).model
    ids = torch.randint(0, base.config.vocab_size, (BATCH, size.tokens))
    yield _steps("fp32", torch.float32, base, ids, here, size.steps)
    yield _steps("as_in_fit", here.dtype, base, ids, here, size.steps)
    yield _merged(base, ids, size.forwards)


def ours(labelled: PreTrainedModel) -> PreTrainedModel:
    """Our LoRA beside all linear layers of a labelled model, and its head trained as well."""
    torch.manual_seed(SEED)
    lora.add(labelled, lora.Lora(RANK, ALPHA))
    output_head(labelled).requires_grad_(True)
    return labelled


def theirs(labelled: PreTrainedModel) -> peft.PeftModel:
    """The same as peft's documentation writes it."""
    torch.manual_seed(SEED)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=RANK, lora_alpha=ALPHA, target_modules="all-linear"
    )
    return peft.get_peft_model(sequence_classifier(labelled), config)


def _epochs(size: tuning.Size) -> Iterator[Result]:
    runs = Runs(size, RATE, ours, theirs)
    few = runs.train[: 2 * BATCH]
    trained = {"ours": runs.ours(few)[1]}  # warm-up
    trained |= {way: runs.theirs(way, few)[1].model for way in WAYS}
    counts = {name: trainable_parameters(model) for name, model in trained.items()}
    assert len({*counts.values()}) == 1, f"they train different numbers of weights: {counts}"

    def our_speed(_: int) -> float:
        took, trained["ours"] = runs.ours(runs.train)
        return size.train / took

    def their_speed(_: int) -> float:
        took, trained["plain"] = runs.theirs("plain", runs.train)
        return size.train / took

    name = "lora_against_plain_trainer_and_peft"
    yield faster(name, our_speed, their_speed, "examples/s", target=1.5, rounds=1)
    yield runs.against_tuned("lora", runs.train[: size.part], size.rounds)
    trained["tuned"] = runs.theirs("tuned", runs.train)[1]
    yield from runs.equally_right("lora", trained)


def _steps(
    name: str,
    dtype: torch.dtype,
    base: PreTrainedModel,
    ids: torch.Tensor,
    here: Runtime,
    rounds: int,
) -> Result:
    """Forward and backward through the layers, with adapters of this format, of A and B alike.

    fp32 adapters widen what they are given themselves; those of the runtime's format are under
    autocast, as inside `fit`.
    """
    mine, other = copy.deepcopy(base), copy.deepcopy(base)
    lora.add(mine, lora.Lora(RANK, ALPHA))
    peft_methods.add_lora(other, RANK, ALPHA)  # in place
    with torch.no_grad():
        for each, twin in zip(_trained(mine), _trained(other), strict=True):
            twin.copy_(each.normal_(std=0.01))
            each.data, twin.data = each.to(dtype), twin.to(dtype)
    context = nullcontext
    if dtype is not torch.float32:
        context = partial(torch.autocast, here.device.type, dtype)
    jobs = [partial(_step, each.get_decoder(), ids, context) for each in (mine, other)]
    losses = [job() for job in jobs]  # warm-up
    assert abs(losses[0] / losses[1] - 1) < 0.01, f"they compute other numbers: {losses}"
    speeds = (lambda _, job=job: ids.numel() / seconds(job) for job in jobs)
    return faster(f"lora_step_against_peft_{name}", *speeds, "tokens/s", target=1, rounds=rounds)


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def _step(decoder: nn.Module, ids: torch.Tensor, context: Callable) -> float:
    decoder.zero_grad()
    with context():
        hidden = decoder.train()(input_ids=ids, use_cache=False).last_hidden_state
        loss = hidden.float().square().mean()
    loss.backward()
    return loss.item()


def _merged(base: PreTrainedModel, ids: torch.Tensor, rounds: int) -> Result:
    """A forward through a merged model against one through the model it was made from."""
    merged = copy.deepcopy(base)
    lora.add(merged, lora.Lora(RANK, ALPHA))
    with torch.no_grad():
        for weight in _trained(merged):
            weight.normal_(std=0.01)
    lora.merge(merged)
    jobs = [partial(_forward, each.get_decoder(), ids) for each in (merged, base)]
    for job in jobs:
        job()  # warm-up
    speeds = (lambda _, job=job: ids.numel() / seconds(job) for job in jobs)
    return faster("lora_merged_forward_against_base", *speeds, "tokens/s", 0.97, rounds)


@torch.no_grad()
def _forward(decoder: nn.Module, ids: torch.Tensor) -> None:
    decoder.eval()(input_ids=ids, use_cache=False)


if __name__ == "__main__":
    if sys.argv[1:] != ["try"]:
        sys.exit("the real run is `make bench ONLY=lora`; here only `try`")
    try_out(run(TRY))
