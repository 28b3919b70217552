"""Generative pretraining: learn to say which token comes next (Radford et al., 2018).

The recipe is the one that GPT-2 and GPT-3 made usual: AdamW with weight decay on matrices only,
a linear warm-up, a cosine down to a tenth, gradients clipped by their norm.
"""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F
from torch.optim import AdamW
from tqdm import tqdm

from adaptlab import checkpoint
from adaptlab.errors import AdaptlabError
from adaptlab.gpt.data import Batch, Packed, Windows
from adaptlab.gpt.model import GPT
from adaptlab.runtime import Runtime, accelerator_for


@dataclass(frozen=True)
class Recipe:
    """How to pretrain.

    batch_size: windows per step. accumulation: in how many parts they go through the model, for a
        batch that does not fit into memory; without dropout it changes no result but for rounding.
    warmup: steps of rising learning rate; from there it falls to `final` times its peak.
    evaluate_every, evaluate_windows: when to compute the validation loss, on how much; it is
        always computed at the end.
    save_every: steps between two checkpoints.
    """

    steps: int
    learning_rate: float = 1e-3
    batch_size: int = 32
    accumulation: int = 1
    warmup: int = 50
    final: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    evaluate_every: int = 250
    evaluate_windows: int | None = None
    save_every: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.steps, self.batch_size, self.accumulation)
        if min(*counts, self.evaluate_every, self.save_every) < 1 or self.warmup < 0:
            raise AdaptlabError("every count of a Recipe must be at least 1, warmup at least 0")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        passed = (step - self.warmup) / max(1, self.steps - self.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * passed))
        return self.learning_rate * (self.final + (1 - self.final) * cosine)


@dataclass
class History:
    """What happened: the loss of each step, and (steps done, validation loss), in nats a token."""

    losses: list[float] = field(default_factory=list)
    validation: list[list[float]] = field(default_factory=list)
    tokens_per_second: float = 0.0

    @property
    def final(self) -> float:
        """The last validation loss."""
        return self.validation[-1][1]


def pretrain(
    model: GPT,
    train: Windows | Packed,
    validation: Windows | Packed,
    recipe: Recipe,
    runtime: Runtime,
    file: Path | None = None,
) -> History:
    """Train `model` in place, from its weights as they are.

    file: where checkpoints go. If it is there, training goes on from it and ends with the same
        weights, bit for bit, as if it had never stopped: on the same CPU, or on the same GPU after
        `runtime.seed_everything`.
    Weights stay in fp32; where the runtime is bf16, matrices are multiplied in it. Raises
    AdaptlabError if the loss is not a number (at which step, and the last good checkpoint), or the
    checkpoint is of another configuration, recipe or text, or cannot be written.
    """
    accelerator = accelerator_for(runtime)
    optimizer = AdamW(decay_groups(model, recipe.weight_decay), betas=recipe.betas, fused=True)
    # What accelerate prepares it leaves patched: a shallow copy, whose weights are the model's.
    wrapped, optimizer = accelerator.prepare(copy.copy(model), optimizer)
    history, done = History(), 0
    identity = {
        "configuration": model.config,
        "recipe": recipe,
        "format": str(runtime.dtype),
        "text": train.fingerprint,
        "validation": validation.fingerprint,
    }
    try:
        if file is not None and file.exists():
            history, done = _resume(file, model, optimizer, identity)
        else:
            torch.manual_seed(recipe.seed)  # of the dropout
        wrapped.train()
        tokens, seconds = 0, 0.0
        with tqdm(range(done, recipe.steps), "pretraining", unit="step", initial=done) as bar:
            for step in bar:
                begin = time.perf_counter()
                batch = train.draw(recipe.batch_size, recipe.seed, step)
                loss = training_step(wrapped, optimizer, batch, recipe, step, accelerator)
                if not math.isfinite(loss):
                    raise AdaptlabError(_not_a_number(loss, step, file))
                history.losses.append(loss)
                tokens += batch.targets.numel()
                seconds += time.perf_counter() - begin
                speed = f"{tokens / seconds:,.0f} tokens/s"
                bar.set_postfix_str(f"loss {loss:.3f}, {speed}", refresh=False)
                last = step + 1 == recipe.steps
                if (step + 1) % recipe.evaluate_every == 0 or last:
                    found = evaluate(model, validation, runtime, recipe.evaluate_windows)
                    history.validation.append([step + 1, float(found.mean())])
                    wrapped.train()
                if file is not None and ((step + 1) % recipe.save_every == 0 or last):
                    _save(file, model, optimizer, history, identity, accelerator)
    finally:
        model.eval()
    history.tokens_per_second = tokens / max(seconds, 1e-9)
    return history


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    recipe: Recipe,
    step: int,
    accelerator: Accelerator,
) -> float:
    """One update of the weights; returns the batch's loss, NaN if its gradient is no number."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate(step)
    optimizer.zero_grad()
    loss = torch.zeros((), device=accelerator.device)
    targets = (batch.targets >= 0).sum().item()
    for part in _parts(batch, recipe.accumulation, accelerator):
        counted = part.targets >= 0
        logits = model(part.inputs, documents=part.documents, at=counted)  # (N, V)
        # The sum over all parts, divided by all targets: the mean of the whole batch.
        share = F.cross_entropy(logits.float(), part.targets[counted], reduction="sum") / targets
        accelerator.backward(share * accelerator.num_processes)  # gradients are averaged over them
        loss += share.detach()
    norm = accelerator.clip_grad_norm_(model.parameters(), recipe.clip)
    if not math.isfinite(norm):
        return math.nan  # the weights stay as they were, so that a checkpoint of them is good
    optimizer.step()
    return accelerator.reduce(loss, "sum").item()


def _parts(batch: Batch, accumulation: int, accelerator: Accelerator) -> Iterator[Batch]:
    """This process's share of the batch, in `accumulation` parts, none of them empty."""
    own = slice(accelerator.process_index, None, accelerator.num_processes)
    count = min(accumulation, len(batch.inputs) // accelerator.num_processes)
    if count < 1:
        raise AdaptlabError(
            f"a batch of {len(batch.inputs)} is too small for {accelerator.num_processes} processes"
        )
    parts = [
        [None] * count if whole is None else whole[own].to(accelerator.device).tensor_split(count)
        for whole in batch
    ]
    yield from (Batch(*part) for part in zip(*parts, strict=True))


@torch.no_grad()
def evaluate(
    model: GPT,
    data: Windows | Packed,
    runtime: Runtime,
    windows: int | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """The mean loss on each of a text's first `windows` windows (all by default), nats a token."""
    model.eval()
    found = []
    for batch in data.in_order(batch_size, windows):
        inputs, targets, documents = (
            None if part is None else part.to(runtime.device) for part in batch
        )
        counted = targets >= 0
        with torch.autocast(runtime.device.type, torch.bfloat16, runtime.dtype is torch.bfloat16):
            logits = model(inputs, documents=documents, at=counted)  # (N, V)
        losses = torch.zeros(targets.shape, device=runtime.device)
        losses[counted] = F.cross_entropy(logits.float(), targets[counted], reduction="none")
        found.append((losses.sum(dim=1) / counted.sum(dim=1)).cpu())  # (B,)
    return torch.cat(found).numpy()


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Weight decay on matrices only: a bias or a norm's scale has no reason to be near zero."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]


def _save(file, model, optimizer, history, identity, accelerator) -> None:
    if accelerator.is_main_process:
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "losses": history.losses,
            "validation": history.validation,
        }
        checkpoint.save(file, state, **identity)


def _resume(file, model, optimizer, identity) -> tuple[History, int]:
    state = checkpoint.load(file, **identity)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random_gpu"])
    return History(state["losses"], state["validation"]), len(state["losses"])


def _not_a_number(loss: float, step: int, file: Path | None) -> str:
    kept = f"the last good checkpoint is {file}" if file and file.exists() else "no checkpoint"
    return f"the loss is {loss} at step {step}; {kept}. A lower learning rate may help"
