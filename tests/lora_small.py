"""Small models with adapters, for the tests of LoRA."""

import torch
from transformers import LlamaForCausalLM

from adaptlab.tuning import lora
from adaptlab.tuning.lora import Lora
from tests.tuning_small import small_model

IDS = torch.arange(2 * 9).reshape(2, 9) + 6


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(IDS).logits


@torch.no_grad()
def moved(model, name: str = "default", size: float = 0.1):
    """B of the adapter as if it had been trained."""
    draw = torch.Generator().manual_seed(1)
    for path, weight in model.named_parameters():
        if path.endswith((f"lora_B.{name}", f"lora_B.{name}.weight")):
            weight.copy_(size * torch.randn(weight.shape, generator=draw))
    return model


def with_lora(name: str = "default", dtype=torch.float32, **settings) -> LlamaForCausalLM:
    model = small_model(dtype)
    lora.add(model, Lora(**settings), name)
    return moved(model, name)


def trained(model) -> list[str]:
    return [name for name, weight in model.named_parameters() if weight.requires_grad]
