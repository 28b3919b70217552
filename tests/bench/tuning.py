"""Fine-tuning a classifier: our loop against transformers' Trainer, on the CPU.

500 reviews, one epoch, batches of 16, the same rate and seed, a head of two labels. Trainer runs as
its documentation writes it (fp32, random batches), and tuned (bf16, batches of like length).

`python -m tests.bench.tuning try` runs everything on a handful of reviews, to see that it works.
"""

import copy
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from adaptlab import models, runtime, tasks
from adaptlab.evaluation import paired_difference
from adaptlab.tuning import parts
from adaptlab.tuning.examples import Examples, classify
from adaptlab.tuning.loop import fit
from adaptlab.tuning.network import Network
from adaptlab.tuning.recipe import Recipe
from adaptlab.tuning.trainer import rows, sequence_classifier
from tests.bench.pairs import Result, faster, peak_elsewhere, print_peak, seconds, try_out

MODEL, BATCH, RATE, SEED = "smollm2-135m-instruct", 16, 5e-5, 0
TOP, EPOCHS = 4, 3  # layers that are trained, and how often, where the others are frozen
WAYS = {"plain": {}, "tuned": {"bf16": True, "train_sampling_strategy": "group_by_length"}}


@dataclass(frozen=True)
class Size:
    """How many reviews, for what, and how wide a matrix product."""

    train: int = 500
    test: int = 200
    part: int = 160  # of the training ones, for what is done in several rounds
    rounds: int = 3
    longest: int = 64  # of the training ones, for the peak of memory
    width: int = 4096


TRY = Size(train=32, test=20, part=16, rounds=1, longest=16, width=256)


class Runs:
    """The same training in our loop and in Trainer, from the same weights each time.

    ours, theirs: what our loop, and Trainer, are given for a model with a label head.
    """

    def __init__(
        self,
        size: Size,
        rate: float = RATE,
        ours: Callable[[PreTrainedModel], PreTrainedModel] = lambda labelled: labelled,
        theirs: Callable[[PreTrainedModel], PreTrainedModel] = sequence_classifier,
    ):
        self.runtime = runtime.detect("cpu")
        self._rate, self._ours, self._theirs = rate, ours, theirs
        task = tasks.load("sentiment")
        self._words = task.label_words
        self._bases = {}
        tokenizer = self._base(self.runtime.dtype).tokenizer
        self._collator = DataCollatorWithPadding(tokenizer)
        self.train, self.test = (
            classify(tokenizer, [task.question(text) for text in part["text"]], part["label"])
            for part in (task.first("train", size.train), task.first("test", size.test))
        )

    def _base(self, dtype: torch.dtype) -> models.Loaded:
        if dtype not in self._bases:
            here = runtime.Runtime(self.runtime.device, dtype, self.runtime.threads)
            self._bases[dtype] = models.load(MODEL, runtime=here)
        return self._bases[dtype]

    def classifier(self, dtype: torch.dtype, top: int | None) -> PreTrainedModel:
        """A fresh model with a label head; all of it is to be trained, or its top layers."""
        model, tokenizer = self._base(dtype)
        made = parts.with_label_head(copy.deepcopy(model), tokenizer, self._words)
        parts.train_everything(made) if top is None else parts.train_top(made, top)
        return made

    def ours(self, examples: Examples, epochs: int = 1, top: int | None = None):
        """(seconds, the trained model)"""
        model = self._ours(self.classifier(self.runtime.dtype, top))
        recipe = Recipe(self._rate, epochs, BATCH, seed=SEED)
        return seconds(partial(fit, model, examples, recipe, self.runtime)), model

    def trainer(
        self, way: str, examples: Examples, epochs: int = 1, top: int | None = None
    ) -> Trainer:
        """Trainer, ready to train; saving its checkpoints is left out."""
        model = self._theirs(self.classifier(torch.float32, top))
        arguments = TrainingArguments(
            tempfile.mkdtemp(), learning_rate=self._rate, num_train_epochs=epochs, seed=SEED,
            per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH, use_cpu=True,
            save_strategy="no", report_to="none", disable_tqdm=True, **WAYS[way],
        )  # fmt: skip
        trainer = Trainer(model, arguments, self._collator, rows(examples))
        trainer.remove_callback(PrinterCallback)
        return trainer

    def theirs(self, way: str, examples: Examples, epochs: int = 1, top: int | None = None):
        """(seconds, the trainer that was run)"""
        trainer = self.trainer(way, examples, epochs, top)
        return seconds(trainer.train), trainer

    def against_tuned(self, name: str, examples: Examples, rounds: int) -> Result:
        """How much faster our loop is on these examples than Trainer is, tuned."""

        def ours(_: int) -> float:
            return len(examples) / self.ours(examples)[0]

        def theirs(_: int) -> float:
            return len(examples) / self.theirs("tuned", examples)[0]

        name = f"{name}_against_tuned_trainer_{len(examples)}_examples"
        return faster(name, ours, theirs, "examples/s", target=1.1, rounds=rounds)

    def equally_right(self, name: str, trained: dict[str, PreTrainedModel | Trainer]):
        """For each way of Trainer, whether what it trained is as accurate as "ours"."""
        right = {each: self.right(model) for each, model in trained.items()}
        for way in WAYS:
            difference = paired_difference(right["ours"], right[way])
            same = float(difference.low <= 0 <= difference.high)
            accuracies = (float(right[each].mean()) for each in ("ours", way))
            row = f"{name}_accuracy_as_{way}_trainer_within_interval"
            yield Result(row, *accuracies, "share right", same, 1)

    def right(self, trained: PreTrainedModel | Trainer) -> np.ndarray:
        """Which of the test's labels it gets right."""
        if isinstance(trained, Trainer):
            trained.args.train_sampling_strategy = "random"  # by length, it would sort the test
            scores = trained.predict(rows(self.test)).predictions
        else:
            scores = Network(trained, self.runtime).scores(self.test)
        return scores.argmax(1) == [each.targets[0] for each in self.test]


def run(size: Size = Size()) -> Iterator[Result]:
    runs = Runs(size)
    few = runs.train[: 2 * BATCH]
    for job in (runs.ours, partial(runs.theirs, "plain"), partial(runs.theirs, "tuned")):
        job(few)  # warm-up
    trained = {}

    def ours(_: int) -> float:
        took, trained["ours"] = runs.ours(runs.train)
        return size.train / took

    def theirs(_: int) -> float:
        took, trained["plain"] = runs.theirs("plain", runs.train)
        return size.train / took

    name = "tuning_against_plain_trainer"
    yield (whole := faster(name, ours, theirs, "examples/s", target=1.5, rounds=1))
    yield _flops(runs, whole.ours, size.width)
    yield runs.against_tuned("tuning", runs.train[: size.part], size.rounds)
    for way in WAYS:
        yield _kept_activations(runs, way, runs.train[: size.part], few)

    trained["tuned"] = runs.theirs("tuned", runs.train)[1]
    yield from runs.equally_right("tuning", trained)

    numbers = size.train, size.longest
    peaks = {name: peak_elsewhere("tests.bench.tuning", name, *numbers) for name in ("ours", *WAYS)}
    for way in WAYS:
        ratio = peaks[way] / peaks["ours"]
        name = f"tuning_peak_memory_against_{way}_trainer"
        yield Result(name, peaks["ours"], peaks[way], "GB", ratio, 1)


def _kept_activations(runs: Runs, way: str, examples: Examples, few: Examples) -> Result:
    """The top layers alone: the frozen ones below are run once, or in every epoch."""
    seen = EPOCHS * len(examples)

    def ours(_: int) -> float:
        return seen / runs.ours(examples, EPOCHS, TOP)[0]

    def theirs(_: int) -> float:
        return seen / runs.theirs(way, examples, EPOCHS, TOP)[0]

    runs.ours(few, top=TOP), runs.theirs(way, few, top=TOP)  # warm-up
    name = f"tuning_top_{TOP}_layers_{EPOCHS}_epochs_against_{way}_trainer"
    return faster(name, ours, theirs, "examples/s", target=4, rounds=1)


def _flops(runs: Runs, speed: float, width: int) -> Result:
    """What a full fine-tuning computes a second, of what a plain matrix product does.

    6 operations a weight and token (Kaplan et al., 2020): embeddings are looked up, and padding
    is no work done.
    """
    layers = runs.classifier(runs.runtime.dtype, None).get_decoder().layers
    tokens = np.mean([len(each.ids) for each in runs.train])
    ours = 6 * sum(p.numel() for p in layers.parameters()) * tokens * speed
    a = torch.randn(width, width).to(runs.runtime.dtype)
    a @ a  # warm-up
    theirs = 2 * width**3 / np.median([seconds(lambda: a @ a) for _ in range(5)])
    ratio = ours / theirs
    return Result("tuning_share_of_matmul", ours / 1e9, theirs / 1e9, "GFLOP/s", ratio, 0.6)


def _measure_peak(name: str, train: int, count: int) -> None:
    """Train on the longest reviews, which decide how much memory is needed, and print the peak."""
    runtime.quiet()
    runs = Runs(Size(train=train))
    longest = longest_of(runs.train, count)
    if name == "ours":
        model = runs.classifier(runs.runtime.dtype, None)
        job = partial(fit, model, longest, Recipe(RATE, 1, BATCH, seed=SEED), runs.runtime)
    else:
        job = runs.trainer(name, longest).train
    runs._bases.clear()  # the weights that it began with are needed no more
    print_peak(job)


def longest_of(examples: Examples, count: int) -> Examples:
    """The longest ones, the longest first."""
    return Examples(tuple(sorted(examples, key=lambda each: -len(each.ids))[:count]))


if __name__ == "__main__":
    if sys.argv[1:] == ["try"]:
        try_out(run(TRY))
    else:
        _measure_peak(sys.argv[1], *map(int, sys.argv[2:]))
