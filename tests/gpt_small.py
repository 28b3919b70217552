"""Small decoders with random weights, in which nothing is zero, one or the same by accident."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.model import GPT

GPT2 = GPTConfig(vocab_size=61, context_length=24, layers=2, heads=4, width=32)
LLAMA = replace(
    GPT2, kv_heads=2, mlp_width=48, norm="rms", positions="rotary", mlp="swiglu", bias=False,
    tied=False,
)  # fmt: skip
ODD = replace(GPT2, heads=6, width=36, kv_heads=1, positions="none", mlp="swiglu")
CONFIGS = {"gpt2": GPT2, "llama": LLAMA, "odd": ODD}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small matrices are not worth a second thread, least of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@torch.no_grad()
def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all weights anew, biases and norms too: at their start they are zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        noise = torch.randn(weight.shape, generator=generator).to(weight.dtype)
        weight.copy_(0.2 * noise if weight.dim() > 1 else weight + 0.5 * noise)
    return module.eval()


def decoder(config: GPTConfig, seed: int = 0) -> GPT:
    return randomise(GPT(config), seed)


def like(model: GPT, **changes) -> GPT:
    """A decoder with `model`'s weights and another configuration."""
    other = GPT(replace(model.config, **changes)).eval()
    other.load_state_dict(model.state_dict())
    return other


def tokens(batch: int, length: int, vocab_size: int = 61, seed: int = 0) -> torch.Tensor:
    return torch.randint(vocab_size, (batch, length), generator=torch.Generator().manual_seed(seed))


def assert_near(found: torch.Tensor, expected: torch.Tensor, relative: float = 1e-5) -> None:
    """The largest difference is small beside the largest value."""
    assert found.shape == expected.shape
    worst = (found - expected).abs().max() / expected.abs().max()
    assert worst <= relative, f"{worst:.1e}"
