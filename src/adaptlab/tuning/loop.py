"""The training loop: examples in, trained weights in the model out.

    for each epoch, for each batch:
        loss      cross-entropy at the asked positions; no other logit is computed
        gradient  backwards down to the lowest trained weight; what lies below was run once
        step      an optimizer on fp32 weights; the gradient is clipped, the rate rises, then falls

It is written on accelerate: the same code runs on one CPU, one GPU, or in many processes, which
share each batch.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError
from adaptlab.models import attention_for, output_head
from adaptlab.runtime import Runtime, accelerator_for, memory_in_use
from adaptlab.tuning.adversarial import Adversary
from adaptlab.tuning.examples import Example, Examples, shuffled
from adaptlab.tuning.identity import fingerprint
from adaptlab.tuning.network import Network, loss
from adaptlab.tuning.optimizers import AdamW, Optimize
from adaptlab.tuning.parts import Activations, twin
from adaptlab.tuning.precision import MasterWeights, master_weights
from adaptlab.tuning.recipe import History, Look, Recipe
from adaptlab.tuning.state import Keeper


def fit(
    model: PreTrainedModel,
    examples: Examples,
    recipe: Recipe,
    runtime: Runtime,
    dev: Examples | None = None,
    file: Path | None = None,
    activations: Activations | None = None,
    adversary: Adversary | None = None,
    optimizer: Optimize = AdamW(),  # noqa: B008, it is frozen
) -> History:
    """Train the parameters of `model` that require a gradient, in place.

    The model may be of any number format and keeps it; while a weight is trained it is fp32.
    dev: examples to look at on the way. activations: those of the same frozen layers from an
        earlier run. adversary: what moves the input embeddings. optimizer: what makes a step of a
        gradient; each of its groups learns at a multiple of the recipe's rate.
    file: where checkpoints go. If it is there, training goes on from it: give the weights that the
        run began with. It ends with the same weights, bit for bit, as if it had never stopped: on
        the same CPU, or on the same GPU after `runtime.seed_everything`.
    What is random depends on the recipe's seed alone, and torch's generators are left as they were.
    Raises AdaptlabError if nothing is trainable, there are no examples or all have one and the same
    label, one does not fit the model (its length, a token, its label), the optimizer cannot work on
    these weights, the loss is not a number, or the file is a checkpoint of something else.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trained = list(named.values())
    if not trained:
        raise AdaptlabError("nothing to train: no parameter requires a gradient")
    _check(model, examples, dev or ())
    if (recipe.keep_best or recipe.patience) and not dev:
        raise AdaptlabError("keep_best and patience need dev examples to look at")
    accelerator = accelerator_for(runtime)
    if adversary and accelerator.num_processes > 1:
        raise AdaptlabError("an adversary needs the input embeddings at hand: use one process")
    device = torch.empty(0, device=accelerator.device).device  # "cuda" is "cuda:0" by now
    if any(weight.device != device for weight in model.parameters()):
        model.to(device)
    for weight in trained:  # each process may have drawn its own
        broadcast(weight.data)
    runtime, data = replace(runtime, device=device), (examples, dev or ())
    began = fingerprint(model) if file else ""
    longest = max(len(each.ids) for part in data for each in part)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        master_weights(trained, runtime.dtype) as masters,
        attention_for(model, longest),
    ):
        weights = dict(zip(named, masters.trained, strict=True))
        update = optimizer(weights, recipe.weight_decay)
        network = Network(model, runtime, activations, whole=adversary is not None)
        kinds = (str(adversary), str(optimizer))
        keeper = Keeper(file, began, masters, recipe, data, runtime, *kinds)
        with _prepared(model, network.model, recipe, accelerator) as wrapped:
            run = _Run(network, wrapped, masters, keeper, recipe, accelerator, adversary, update)
            return run.over(examples, dev, again=activations is not None)


def _check(model: PreTrainedModel, examples: Examples, dev: Sequence[Example]) -> None:
    """Raises AdaptlabError, in one line, for examples that cannot be trained on."""
    if not examples:
        raise AdaptlabError("no examples to train on")
    rows, words = (len(part.weight) for part in (output_head(model), model.get_input_embeddings()))
    same = len(examples) > 1 and len({each.targets for each in examples}) == 1
    if same and rows < words and len(examples[0].targets) == 1:  # a head of labels
        raise AdaptlabError("all examples have the same label: there is nothing to tell apart")
    context = getattr(model.config, "max_position_embeddings", None) or math.inf
    for i, each in enumerate((*examples, *dev)):
        if not 0 <= min(each.targets) <= max(each.targets) < rows:
            raise AdaptlabError(f"example {i} has label {max(each.targets)}, the head {rows} rows")
        if not 0 <= min(each.ids) <= max(each.ids) < words:
            raise AdaptlabError(
                f"example {i} has token {max(each.ids)}, the model knows 0 to {words - 1}"
            )
        if len(each.ids) > context:
            raise AdaptlabError(
                f"example {i} has {len(each.ids)} tokens, the model's context is {context}"
            )


@dataclass
class _Run:
    """One training: what it works on, and its steps."""

    network: Network
    wrapped: nn.Module  # the network's model as accelerate prepared it
    masters: MasterWeights
    keeper: Keeper
    recipe: Recipe
    accelerator: Accelerator
    adversary: Adversary | None
    optimizer: torch.optim.Optimizer

    def __post_init__(self) -> None:
        self.multiples = [group["lr"] for group in self.optimizer.param_groups]

    def over(self, examples: Examples, dev: Examples | None, again: bool) -> History:
        """All steps that are left. again: what the frozen layers make of texts will be reused."""
        per_epoch = math.ceil(len(examples) / self.recipe.batch_size)
        steps, every = self.recipe.epochs * per_epoch, self.recipe.evaluate_every or per_epoch
        history = self.keeper.resume(self.optimizer)
        done, seen, seconds = len(history.losses), 0, 0.0
        over = done == steps or self._is_out_of_patience(history)
        if not over and (again or dev or self.recipe.epochs > 1):
            at_once = math.ceil(self.recipe.batch_size / self.recipe.accumulation)  # what fits
            self.network.keep(examples, dev or (), size=at_once)
        quiet = not self.accelerator.is_main_process  # one bar is enough
        with tqdm(total=steps, desc="training", unit="step", initial=done, disable=quiet) as bar:
            for step, batch in _batches(examples, self.recipe, per_epoch, done):
                if over:
                    break
                begin = time.perf_counter()
                history.losses.append(self._step(batch, self.recipe.rate(step, steps), step))
                seen, seconds = seen + len(batch), seconds + time.perf_counter() - begin
                history.examples_per_second = seen / seconds
                bar.set_postfix_str(_shown(history), refresh=False)
                bar.update()
                if dev and ((step + 1) % every == 0 or step + 1 == steps):
                    history.dev.append(self._look(dev, step + 1))
                    self.keeper.note(history)
                over = step + 1 == steps or self._is_out_of_patience(history)
                if (step + 1) % self.recipe.save_every == 0 or over:
                    self.keeper.save(self.optimizer, history, self.accelerator)
        self.keeper.restore_best()
        return history

    def _step(self, batch: Sequence[Example], rate: float, step: int) -> float:
        """One update of the weights; returns the mean loss of the batch's examples."""
        self._seed(step)
        for group, multiple in zip(self.optimizer.param_groups, self.multiples, strict=True):
            group["lr"] = multiple * rate
        processes = self.accelerator.num_processes
        total = torch.zeros((), device=self.accelerator.device)
        parts, factor = self._parts(batch)
        for part in parts:
            for share in self._losses(part):
                total += share.detach() * factor
                # Gradients are averaged over the processes, which share the batch.
                self.accelerator.backward(share * (processes * factor))
            self.masters.take_gradients()
        norm = nn.utils.clip_grad_norm_(self.masters.trained, self.recipe.clip)
        if not math.isfinite(norm):
            raise self.keeper.not_a_number(step)  # the weights stay as they were
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.masters.give_weights()
        return self.accelerator.reduce(total, "sum").item()

    def _parts(self, batch: Sequence[Example]) -> tuple[list[list[Example]], float]:
        """This process's examples in parts, and the weight of each one in the batch's loss."""
        processes, index = self.accelerator.num_processes, self.accelerator.process_index
        own = batch[index::processes]
        # All processes must go forwards and backwards equally often. One that has no example left
        # takes the first once more, and counts it 0 times.
        factor = 1 / len(batch) if own else 0.0
        parts = min(self.recipe.accumulation, max(1, len(batch) // processes))
        return _split(own or batch[:1], parts), factor

    def _seed(self, step: int) -> None:
        """What is random (dropout, an adversary) is that of the step, whatever came before it."""
        place = (self.recipe.seed, step, self.accelerator.process_index)
        seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])
        torch.default_generator.manual_seed(seed)
        if self.accelerator.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _losses(self, part: Sequence[Example]) -> Iterator[torch.Tensor]:
        """What is to be taken backwards, one after the other; the sum is the part's loss."""
        batch = self.network.batch(part)
        if self.adversary is None:
            yield loss(self.wrapped, batch)
        else:
            yield from self.adversary.losses(self.wrapped, batch)

    def _look(self, dev: Examples, step: int) -> Look:
        own = range(self.accelerator.process_index, len(dev), self.accelerator.num_processes)
        self.wrapped.eval()
        found = self.network.losses([dev[i] for i in own])
        self.wrapped.train()
        sums = torch.tensor([each.sum() for each in found], device=self.accelerator.device)
        return Look(step, *(self.accelerator.reduce(sums, "sum") / len(dev)).tolist())

    def _is_out_of_patience(self, history: History) -> bool:
        if self.recipe.patience is None or not history.dev:
            return False
        return len(history.dev) - 1 - history.dev.index(history.best) >= self.recipe.patience


@contextmanager
def _prepared(
    whole: PreTrainedModel, model: PreTrainedModel, recipe: Recipe, accelerator: Accelerator
) -> Iterator[nn.Module]:
    """The model, or a part of the whole one, ready to be trained.

    Afterwards the whole one is as it was, whatever happened, and ready to be used.
    """
    checkpointing = recipe.checkpointing and not whole.is_activation_checkpointing
    if checkpointing:  # else the caller's own stays
        model.activation_checkpointing_enable({"use_reentrant": False})
        # It also asks for a gradient of the embeddings' output, for good, which only reentrant
        # checkpointing needs: the way back would not end at the lowest trained weight.
        model.disable_input_require_grads()
    try:
        wrapped = accelerator.prepare(twin(model))  # what it prepares it leaves patched
        wrapped.train()
        yield wrapped
    finally:
        whole.eval()
        if checkpointing:
            model.activation_checkpointing_disable()


def _batches(
    examples: Examples, recipe: Recipe, per_epoch: int, done: int
) -> Iterator[tuple[int, list[Example]]]:
    """(step, batch) from step `done` on, over all epochs."""
    for epoch in range(done // per_epoch, recipe.epochs):
        batches = shuffled(examples, recipe.batch_size, recipe.seed, epoch)
        yield from (pair for pair in enumerate(batches, epoch * per_epoch) if pair[0] >= done)


def _split(examples: Sequence[Example], parts: int) -> list[list[Example]]:
    """In so many parts, as equal as can be."""
    return [[examples[i] for i in part] for part in np.array_split(range(len(examples)), parts)]


def _shown(history: History) -> str:
    memory = f"{memory_in_use() / 1e9:.1f} GB"
    return f"loss {history.losses[-1]:.3f}, {history.examples_per_second:.1f} examples/s, {memory}"
