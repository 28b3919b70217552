"""Our decoder beside the plain way, on the CPU: training steps, and cached generation."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from adaptlab import models, runtime
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.model import GPT
from adaptlab.gpt.packing import pack
from adaptlab.gpt.pretrain import decay_groups
from adaptlab.gpt.sampling import generate
from adaptlab.gpt.weights import from_transformers
from tests.bench.pairs import Result, faster, seconds

PROMPT = "The capital of France is Paris. The capital of Italy is"
NEW_TOKENS = 64


def training() -> Iterator[Result]:
    """A step at GPT-2 small's shape, 4 windows of 256 tokens, against GPT2LMHeadModel."""
    hardware = runtime.detect("cpu")
    theirs = GPT2LMHeadModel(GPT2Config(resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))
    ours = from_transformers(theirs)
    ids = torch.randint(0, theirs.config.vocab_size, (4, 257))
    inputs, targets = ids[:, :-1], ids[:, 1:]

    def our_loss() -> torch.Tensor:
        return _cross_entropy(ours(inputs, at=targets >= 0), targets)

    def their_loss() -> torch.Tensor:
        return _cross_entropy(theirs(inputs, use_cache=False).logits, targets)

    tokens = inputs.numel()
    yield _pair("gpt2_training_step", ours, our_loss, theirs, their_loss, hardware, tokens, 1)


def characters() -> Iterator[Result]:
    """Twenty steps of notebook 01's model against one on torch.nn.TransformerEncoder."""
    hardware = runtime.detect("cpu", torch.float32)
    config = GPTConfig(vocab_size=65, context_length=64, layers=4, heads=4, width=128)
    ours, theirs = GPT(config), Plain(config)
    ids = torch.randint(0, config.vocab_size, (32, config.context_length + 1))
    inputs, targets = ids[:, :-1], ids[:, 1:]

    def our_loss() -> torch.Tensor:
        return _cross_entropy(ours(inputs, at=targets >= 0), targets)

    def their_loss() -> torch.Tensor:
        return _cross_entropy(theirs(inputs), targets)

    name, tokens = "character_model_training", inputs.numel()
    yield _pair(name, ours, our_loss, theirs, their_loss, hardware, tokens, 20)


class Plain(nn.Module):
    """A decoder as one would put it together from torch's own layers."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.width)
        self.positions = nn.Embedding(config.context_length, config.width)
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.mlp_width, 0.0, partial(F.gelu, approximate="tanh"),
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        mask = nn.Transformer.generate_square_subsequent_mask(config.context_length)
        self.register_buffer("mask", mask)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.layers(x, mask=self.mask, is_causal=True) @ self.tokens.weight.T


def generation() -> Iterator[Result]:
    """Greedy continuations by SmolLM2, batch 1 and 16, against transformers' generate.

    Packing the weights, once for all texts, is not timed.
    """
    for dtype in dict.fromkeys((torch.float32, runtime.detect("cpu").dtype)):
        model, tokenizer = models.load(
            "smollm2-135m-instruct", runtime=runtime.detect("cpu", dtype)
        )
        model.generation_config.eos_token_id = None  # both write all the tokens
        decoder = pack(from_transformers(model))
        prompt = tokenizer(PROMPT)["input_ids"]
        for batch in (1, 16):
            prompts = [prompt] * batch
            name = f"generation_batch_{batch}_{str(dtype).removeprefix('torch.')}"
            yield from _generation(name, model, decoder, prompts, dtype is torch.float32)


def _generation(
    name: str, model: PreTrainedModel, decoder: GPT, prompts: list[list[int]], compare: bool
) -> Iterator[Result]:
    written = {}
    ids = torch.tensor(prompts)

    def ours(_: int) -> float:
        def job() -> None:
            written["ours"] = generate(decoder, prompts, NEW_TOKENS)

        return len(prompts) * NEW_TOKENS / seconds(job)

    def theirs(_: int) -> float:
        def job() -> None:
            mask = torch.ones_like(ids)
            out = model.generate(
                ids, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False
            )
            written["theirs"] = out[:, ids.shape[1] :].tolist()

        return len(prompts) * NEW_TOKENS / seconds(job)

    ours(0), theirs(0)  # warm-up
    assert {len(row) for rows in written.values() for row in rows} == {NEW_TOKENS}
    yield faster(name, ours, theirs, "tokens/s", target=1.3, rounds=5)
    if compare:
        same = float(written["ours"] == written["theirs"])
        yield Result(f"{name}_same_tokens", same, 1.0, "equal", same, 1)


def _pair(
    name: str,
    ours: nn.Module,
    our_loss: Callable[[], torch.Tensor],
    theirs: nn.Module,
    their_loss: Callable[[], torch.Tensor],
    hardware: runtime.Runtime,
    tokens: int,
    steps: int,
) -> Result:
    """Training steps of two models, taking turns; the same optimiser and number format."""
    jobs = []
    for model, loss in ((ours, our_loss), (theirs, their_loss)):
        optimizer = torch.optim.AdamW(decay_groups(model.train(), 0.1), lr=1e-4, fused=True)

        def job(loss=loss, optimizer=optimizer, model=model) -> None:
            for _ in range(steps):
                mixed = hardware.dtype is torch.bfloat16
                with torch.autocast(hardware.device.type, torch.bfloat16, enabled=mixed):
                    value = loss()
                value.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

        job()  # warm-up
        jobs.append(lambda _, job=job: steps * tokens / seconds(job))
    return faster(name, *jobs, "tokens/s", target=1.0, rounds=7)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.float().reshape(targets.numel(), -1), targets.flatten())
