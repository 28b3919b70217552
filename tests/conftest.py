"""What several tests need: the bundled model, a tiny one of the same kind, the course's task."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from adaptlab import models, runtime, tasks

FP32 = runtime.Runtime(torch.device("cpu"), torch.float32, torch.get_num_threads())


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> None:
    runtime.quiet()


@pytest.fixture(scope="session")
def fp32() -> runtime.Runtime:
    return FP32


@pytest.fixture(scope="session")
def bundled() -> models.Loaded:
    """The real default model, in fp32. Tests must leave it as it is."""
    return models.load("smollm2-135m-instruct", runtime=FP32)


@pytest.fixture(scope="session")
def tokenizer(bundled) -> PreTrainedTokenizerBase:
    return bundled.tokenizer


@pytest.fixture
def tiny(tokenizer) -> LlamaForCausalLM:
    """A two-layer model of the bundled one's architecture with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def sentiment() -> tasks.Task:
    return tasks.load("sentiment")
