"""The training loop: a causal language model learns to give an answer after a prompt.

The loss is cross-entropy on the answer's tokens only; the prompt's tokens are read, not learnt.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError
from adaptlab.models import logits_at, trainable_parameters
from adaptlab.runtime import Runtime, accelerator_for

POOL = 8  # batches that are sorted by length together


@dataclass(frozen=True)
class Recipe:
    """How to train: AdamW, a linear warm-up and decay, gradients clipped to norm `clip`."""

    learning_rate: float
    epochs: int = 1
    batch_size: int = 16
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.0
    clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Example:
    """Token ids of prompt and answer together; `start` is where the answer begins."""

    ids: tuple[int, ...]
    start: int


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    answers: Sequence[str],
    recipe: Recipe,
    runtime: Runtime,
) -> list[float]:
    """Train `model`'s trainable parameters in place; returns the loss of each step, in nats.

    Weights that are trained should be fp32: where the runtime computes in bf16 the forward is run
    in mixed precision. Raises AdaptlabError if nothing is trainable, there are no examples, or
    the loss is not a number.
    """
    if not trainable_parameters(model):
        raise AdaptlabError("nothing to train: no parameter requires a gradient")
    examples = encode(tokenizer, prompts, answers)
    accelerator = accelerator_for(runtime)
    batches = list(_shuffled_batches(examples, recipe))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = LambdaLR(optimizer, _warmup_then_decay(len(batches), recipe.warmup))
    loader = DataLoader(batches, batch_size=None, collate_fn=_Collate(tokenizer.pad_token_id))
    wrapped, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
    wrapped.train()
    losses = []
    with tqdm(loader, desc="training", unit="step") as bar:
        for step, (inputs, rows, columns, targets) in enumerate(bar):
            logits = logits_at(wrapped, rows, columns, **inputs, use_cache=False)  # (N, V)
            loss = torch.nn.functional.cross_entropy(logits.float(), targets)
            if not torch.isfinite(loss):
                raise AdaptlabError(f"the loss is {loss.item()} at step {step}: lower the rate?")
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(trained, recipe.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{loss.item():.3f}")
    accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False).eval()
    return losses


def encode(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str]
) -> list[Example]:
    """Tokenise each prompt with its answer.

    Raises AdaptlabError if there is none, an answer has no tokens, or it merges with its prompt.
    """
    if not prompts:
        raise AdaptlabError("no examples to train on")
    joined = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    examples = []
    for ids, start, text in zip(
        tokenizer(joined)["input_ids"], tokenizer(list(prompts))["input_ids"], joined, strict=True
    ):
        if ids[: len(start)] != start or len(ids) == len(start):
            raise AdaptlabError(f"the answer in {text[-40:]!r} has no tokens of its own")
        examples.append(Example(tuple(ids), len(start)))
    return examples


def _shuffled_batches(examples: Sequence[Example], recipe: Recipe) -> Iterator[list[Example]]:
    """Every epoch in a new order; within a pool of batches, examples of like length together."""
    draw = np.random.default_rng(recipe.seed)
    size = recipe.batch_size
    for _ in range(recipe.epochs):
        order = draw.permutation(len(examples))
        for pool in np.split(order, range(POOL * size, len(order), POOL * size)):
            by_length = sorted(pool, key=lambda i: len(examples[i].ids))
            parts = [by_length[i : i + size] for i in range(0, len(by_length), size)]
            for part in draw.permutation(len(parts)):
                yield [examples[i] for i in parts[part]]


@dataclass(frozen=True)
class _Collate:
    """A batch of examples as tensors: the padded inputs, and the positions that predict answers."""

    pad: int

    def __call__(self, batch: Sequence[Example]) -> tuple:
        width = max(len(example.ids) for example in batch) - 1  # the last token is only predicted
        ids = torch.full((len(batch), width), self.pad)
        mask = torch.zeros(len(batch), width, dtype=torch.long)
        asked = []
        for i, example in enumerate(batch):
            fed = example.ids[:-1]
            ids[i, : len(fed)] = torch.tensor(fed)
            mask[i, : len(fed)] = 1
            asked += [(i, at - 1, example.ids[at]) for at in range(example.start, len(example.ids))]
        rows, columns, targets = torch.tensor(asked).T
        return {"input_ids": ids, "attention_mask": mask}, rows, columns, targets


def _warmup_then_decay(steps: int, warmup: float):
    """Learning rate factor by step: up to 1 over the first share `warmup`, then linearly to 0."""
    rising = max(1, math.ceil(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return max(0.0, (steps - step) / max(1, steps - rising))

    return factor
