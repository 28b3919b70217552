"""Trainings of a second or less, for the tests of gpt."""

from pathlib import Path

import numpy as np
import torch

from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.data import Packed, Windows
from adaptlab.gpt.model import GPT
from adaptlab.gpt.pretrain import History, Recipe, pretrain
from adaptlab.runtime import Runtime

SMALL = GPTConfig(vocab_size=12, context_length=16, layers=1, heads=2, width=16, dropout=0.1)
SHORT = Recipe(
    steps=20, learning_rate=1e-2, batch_size=8, warmup=5, evaluate_every=7, save_every=5, seed=3
)


def toy(seed: int = 0, length: int = 400) -> Windows:
    """Counting round and round, with one token in twenty that is not as expected."""
    generator = np.random.default_rng(seed)
    ids = np.arange(length) % 10
    ids[generator.random(length) < 0.05] = 11
    return Windows(ids, 16)


def fresh(config: GPTConfig = SMALL) -> GPT:
    torch.manual_seed(0)
    return GPT(config)


def run(
    runtime: Runtime,
    recipe: Recipe = SHORT,
    config: GPTConfig = SMALL,
    text: Windows | Packed | None = None,
    file: Path | None = None,
) -> tuple[GPT, History]:
    """Train a fresh model on the toy text or another one."""
    model = fresh(config)
    history = pretrain(model, text or toy(), toy(1), recipe, runtime, file)
    return model, history
