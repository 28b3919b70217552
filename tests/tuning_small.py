"""Models and examples of a few kilobytes, for the tests of tuning."""

import copy
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from adaptlab.runtime import Runtime
from adaptlab.tuning import parts
from adaptlab.tuning.examples import Example, Examples
from adaptlab.tuning.recipe import Recipe

BF16 = Runtime(torch.device("cpu"), torch.bfloat16, 1)
SHORT = Recipe(1e-2, epochs=2, batch_size=8, seed=3)


def small_model(dtype: torch.dtype = torch.float32, **changes) -> LlamaForCausalLM:
    """Three layers over 64 token ids, with random weights."""
    torch.manual_seed(0)
    config = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**config | changes)).eval().to(dtype)


def numbers(word: str, add_special_tokens: bool = False) -> SimpleNamespace:
    """A tokenizer to which the word "5 7" is the tokens 5 and 7."""
    return SimpleNamespace(input_ids=[int(part) for part in word.split()])


def labelled(dtype: torch.dtype = torch.float32, top: int | None = None, **changes):
    """A small model with a head for two labels; all of it is trained, or its top layers."""
    model = parts.with_label_head(small_model(dtype, **changes), numbers, ("3", "5"))
    parts.train_everything(model) if top is None else parts.train_top(model, top)
    return model


def toy(count: int = 24, seed: int = 0, noise: float = 0.0) -> Examples:
    """Texts of 3 to 12 ids, all different; the label says whether the last id is odd.

    noise: the share of the labels that are wrong.
    """
    draw, rows = np.random.default_rng(seed), []
    for number in range(count):
        ids = (*draw.integers(6, 64, draw.integers(2, 12)).tolist(), 6 + number % 58)
        wrong = draw.random() < noise
        rows.append(Example(ids, (len(ids) - 1,), (int(ids[-1] % 2 != wrong),)))
    return Examples(tuple(rows))


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the model's weights, by name."""
    return copy.deepcopy(model.state_dict())


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The names of the weights that are not as they were."""
    return {n for n, weight in model.state_dict().items() if not torch.equal(weight, before[n])}


def assert_same(model: nn.Module, other: nn.Module) -> None:
    """The weights are equal bit for bit."""
    assert not changed(model, weights(other))


def uncut(monkeypatch, job: Callable):
    """`job` done without cutting any model: all layers are run each time."""
    with monkeypatch.context() as patch:
        patch.setattr("adaptlab.tuning.network.frozen_layers", lambda model: 0)
        return job()


def last_logits(model: PreTrainedModel, examples: Examples) -> np.ndarray:
    """The plain way: each text alone through the model, the logits at its last token."""
    with torch.no_grad():
        rows = [model(torch.tensor([each.ids])).logits[0, -1] for each in examples]
    return torch.stack(rows).float().numpy()
