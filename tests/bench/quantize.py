"""4 bits on the CPU: a QLoRA step against a LoRA step, and our NF4 quantiser against bitsandbytes'.

QLoRA and LoRA are one loop, one LoRA (tests/bench/lora.py) and one batch; only the frozen linear
weights differ: 4 bits, dequantised for each product and again for its gradient, or bf16. That work
is the same for any batch, so the share it costs falls with the tokens in one.

`python -m tests.bench.quantize try` runs everything small, to see that it works.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from transformers import PreTrainedModel

from adaptlab import models, runtime, tasks
from adaptlab.quantize import blockwise, four_bit
from adaptlab.quantize.whole import linear_weights
from adaptlab.tuning import parts
from adaptlab.tuning.examples import Examples, classify
from adaptlab.tuning.loop import fit
from adaptlab.tuning.recipe import Recipe
from tests.bench.lora import RATE, ours
from tests.bench.pairs import Result, faster, peak_elsewhere, print_peak, seconds, try_out
from tests.bench.tuning import BATCH, MODEL, SEED, longest_of

LOAD = {"qlora": four_bit.load_4bit, "lora": models.load}


@dataclass(frozen=True)
class Size:
    """How many reviews, how many turns, and how wide a matrix is quantised."""

    train: int = 500
    part: int = 160  # of them, for the time of a step
    longest: int = 64  # of them, for the peak of memory
    rounds: int = 3
    width: int = 4096
    turns: int = 7


TRY = Size(train=32, part=16, longest=16, rounds=1, width=256, turns=3)


def run(size: Size = Size()) -> Iterator[Result]:
    yield _steps(size)
    peaks = [peak_elsewhere("tests.bench.quantize", n, size.train, size.longest) for n in LOAD]
    ratio = peaks[1] / peaks[0]
    yield Result("qlora_peak_memory_against_lora", *peaks, "GB", ratio, 1)
    yield from _quantisers(size)


def _model_and_reviews(name: str, count: int) -> tuple[PreTrainedModel, Examples]:
    task = tasks.load("sentiment")
    model, tokenizer = LOAD[name](MODEL, runtime=runtime.detect("cpu"))
    data = task.first("train", count)
    reviews = classify(tokenizer, [task.question(text) for text in data["text"]], data["label"])
    return ours(parts.with_label_head(model, tokenizer, task.label_words)), reviews


def _train(model: PreTrainedModel, reviews: Examples) -> float:
    """Examples a second, of the training steps alone."""
    recipe = Recipe(RATE, 1, BATCH, seed=SEED)
    return fit(model, reviews, recipe, runtime.detect("cpu")).examples_per_second


def _steps(size: Size) -> Result:
    speeds = []
    for name in LOAD:
        model, reviews = _model_and_reviews(name, size.part)
        _train(model, reviews[:BATCH])  # warm-up
        speeds.append(lambda _, model=model, reviews=reviews: _train(model, reviews))
    return faster("qlora_step_against_lora", *speeds, "examples/s", 1 / 1.2, size.rounds)


def _quantisers(size: Size) -> Iterator[Result]:
    """All weights of a layer, and a wide matrix; in both formats, with and without doubling."""
    model = models.load(MODEL, runtime=runtime.detect("cpu", torch.float32)).model
    layer = [weight.detach() for name, weight in linear_weights(model) if ".layers.0." in name]
    wide = [torch.randn(size.width, size.width) * 0.02]
    for what, weights in {"layer": layer, str(size.width): wide}.items():
        for dtype in (torch.float32, torch.bfloat16):
            chosen = [weight.to(dtype) for weight in weights]
            for double in (False, True):
                doubled = "_doubled" if double else ""
                name = f"nf4_{what}_{str(dtype).removeprefix('torch.')}{doubled}"
                yield _quantiser(name, chosen, double, size.turns)


def _quantiser(name: str, weights: list[torch.Tensor], double: bool, turns: int) -> Result:
    import bitsandbytes as bnb  # later than `runtime.quiet`: it says what it misses when it loads

    def mine() -> list[torch.Tensor]:
        return [blockwise.quantise(each, double=double).packed for each in weights]

    def other() -> list[torch.Tensor]:
        how = partial(bnb.functional.quantize_4bit, quant_type="nf4", compress_statistics=double)
        return [how(each)[0] for each in weights]

    same = (torch.equal(a, b.view(-1)) for a, b in zip(mine(), other(), strict=True))  # warm-up
    assert all(same), "the two quantisers give different codes"
    count = sum(each.numel() for each in weights) / 1e6
    speeds = (_speed(count, job) for job in (mine, other))
    return faster(name, *speeds, "million weights/s", 1, turns)


def _speed(count: float, job: Callable[[], object]) -> Callable[[int], float]:
    return lambda _: count / seconds(job)


def _measure_peak(name: str, train: int, count: int) -> None:
    """Train on the longest reviews, which decide how much memory is needed, and print the peak."""
    runtime.quiet()
    model, reviews = _model_and_reviews(name, train)
    print_peak(partial(_train, model, longest_of(reviews, count)))


if __name__ == "__main__":
    if sys.argv[1:] == ["try"]:
        try_out(run(TRY))
    else:
        _measure_peak(sys.argv[1], *map(int, sys.argv[2:]))
