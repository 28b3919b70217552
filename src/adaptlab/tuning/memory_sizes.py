"""How large models are in 16 and 4 bits, and what training them takes: published and computed.

    bytes of a step                          ____ LoRA      2 bytes a weight + the texts' share
      |                               ____---
      |                        ___---         ____ QLoRA    0.52 bytes a weight + the same share
      |              ___--- ___________-------
      |   ======------------
      +------------------------------------------> weights
         the share of texts, and              QLoRA saves half
         of 16-bit embeddings, rules          (`crossing`)

QLoRA takes less at every size: of a dequantised matrix only one is there at a time. The curves meet
on the left, where what 4 bits do not touch is nearly all, and part by up to 4:1 on the right.

Published are the two lectures' figures, kept as they are printed; everything else is arithmetic on
the models' shapes, by memory.py and memory_lora.py. GB are 10^9 bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaConfig

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tuning.memory import predict, rule
from adaptlab.tuning.memory_lora import (
    NF4_BITS,
    linear_numbers,
    predict_lora,
    weight_bytes,
)

GB = 1e9


def shape(
    width: int, mlp: int, layers: int, heads: int, keys: int, vocabulary: int, tied: bool = False
) -> LlamaConfig:
    """A Llama's configuration; keys: heads of keys and values."""
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
    )


# SmolLM2: their config.json; Llama 2: Touvron et al. (2023b). There is no Llama 2 of 30B: that
# column of the lecture is the first LLaMA's 33B (Touvron et al., 2023a).
SHAPES = {
    "SmolLM2 135M": shape(576, 1536, 30, 9, 3, 49_152, tied=True),
    "SmolLM2 360M": shape(960, 2560, 32, 15, 5, 49_152, tied=True),
    "SmolLM2 1.7B": shape(2048, 8192, 24, 32, 32, 49_152, tied=True),
    "Llama 2 7B": shape(4096, 11_008, 32, 32, 32, 32_000),
    "Llama 2 13B": shape(5120, 13_824, 40, 40, 40, 32_000),
    "LLaMA 33B": shape(6656, 17_920, 60, 52, 52, 32_000),
    "Llama 2 70B": shape(8192, 28_672, 80, 64, 8, 32_000),
}


def parameters(name: str) -> int:
    """The weights of a model of SHAPES. Raises AdaptlabError for another name."""
    return weight_bytes(_config(name)) // 2


@dataclass(frozen=True)
class Quantised:
    """A row of the lecture's table "size of quantized models": GB in fp16 and in INT4."""

    name: str
    fp16: float
    int4: float


PUBLISHED_SIZES = (
    Quantised("Llama 2 7B", 13.5, 3.9),
    Quantised("Llama 2 13B", 26.1, 7.3),
    Quantised("Llama 2 70B", 138, 40.7),
)

# Bits of a number with its scales. INT4 as GPTQ's files hold it: a 16-bit scale and a 4-bit zero
# for each group. The lecture does not say which its figures are; see `size_rows`.
BITS = {
    "NF4": NF4_BITS,
    "INT4, groups of 128": 4 + (16 + 4) / 128,
    "INT4, groups of 32": 4 + (16 + 4) / 32,
}


def size_rows() -> list[dict[str, object]]:
    """Published and computed GB of Llama 2, a row for each model.

    "all at 4 bits" has neither scales nor 16-bit embeddings: nothing in use is that small. In the
    other columns embeddings, norms and head are in 16 bits. The lecture's 3.9 and 7.3 GB are those
    of groups of 128 (or NF4), its 40.7 GB that of groups of 32: two formats in one column.
    """
    rows = []
    for size in PUBLISHED_SIZES:
        config = SHAPES[size.name]
        computed = {name: weight_bytes(config, base_bits=bits) / GB for name, bits in BITS.items()}
        nearest = min(computed, key=lambda name: abs(computed[name] - size.int4))
        rows.append(
            {
                "model": size.name,
                "parameters": parameters(size.name),
                "lecture, fp16 (GB)": size.fp16,
                "computed, 16 bits (GB)": weight_bytes(config) / GB,
                "lecture, INT4 (GB)": size.int4,
                **{f"computed, {name} (GB)": value for name, value in computed.items()},
                "computed, all at 4 bits (GB)": parameters(size.name) * 4 / 8 / GB,
                "the lecture's is nearest to": nearest,
            }
        )
    return rows


@dataclass(frozen=True)
class Published:
    """A row of the lecture's table "VRAM usage": GB for each of COLUMNS."""

    method: str
    bits: int
    sizes: tuple[float, ...]


COLUMNS = ("7B", "13B", "30B", "70B", "110B", "8x7B", "8x22B")
PUBLISHED_VRAM = (
    Published("full", 32, (120, 240, 600, 1200, 2000, 900, 2400)),
    Published("full", 16, (60, 120, 300, 600, 900, 400, 1200)),
    Published("LoRA/GaLore/BAdam", 16, (16, 32, 64, 160, 240, 120, 320)),
    Published("QLoRA", 8, (10, 20, 40, 80, 140, 60, 160)),
    Published("QLoRA", 4, (6, 12, 24, 48, 72, 30, 96)),
    Published("QLoRA", 2, (4, 8, 16, 24, 48, 18, 48)),
)
COMPUTED_FOR = {"7B": "Llama 2 7B", "13B": "Llama 2 13B", "30B": "LLaMA 33B", "70B": "Llama 2 70B"}


def vram_rows(batch: int = 1, length: int = 512, rank: int = 8) -> list[dict[str, object]]:
    """The lecture's VRAM by method and ours for the same, a row for each method and size.

    Every position of a text is asked for its next token. "full, 32" is computed in fp32, 16 bytes a
    parameter; "full, 16" in bf16 throughout, Adam's moments too, 8 bytes. Our loop does neither
    where it computes in bf16: with fp32 copies it takes 18, as the lecture's 120 GB for 7B do.
    QLoRA's 8 and 2 bits are without scales, which depend on the format.
    Three of the lecture's sizes are of models that are not built like Llama: None.
    Raises AdaptlabError for a count below 1.
    """
    rows = []
    for published in PUBLISHED_VRAM:
        for column, lecture in zip(COLUMNS, published.sizes, strict=True):
            known = COMPUTED_FOR.get(column)
            step = _computed(published, known, batch, length, rank) if known else None
            full = known and published.method == "full"
            ours = _mixed(known, batch, length) if full else step
            rows.append(
                {
                    "method": published.method,
                    "bits": published.bits,
                    "size": column,
                    "lecture (GB)": lecture,
                    "computed (GB)": step / GB if step else None,
                    "computed, our loop (GB)": ours / GB if ours else None,
                }
            )
    return rows


def family_rows(
    batch: int, length: int, rank: int = 8, bits: float = NF4_BITS, checkpointing: bool = False
) -> list[dict[str, object]]:
    """A step of LoRA and of QLoRA in GB, from 135M to 70B, and the share that QLoRA saves.

    Each text is asked at its last position. Raises AdaptlabError for a count below 1.
    """
    rows = []
    for name in SHAPES:
        lora, qlora = _steps(name, batch, length, rank, bits, checkpointing)
        rows.append(
            {
                "model": name,
                "parameters": parameters(name),
                "share of linear weights": linear_numbers(SHAPES[name]) / parameters(name),
                "LoRA (GB)": lora / GB,
                "QLoRA (GB)": qlora / GB,
                "QLoRA saves": 1 - qlora / lora,
            }
        )
    return rows


def crossing(
    batch: int,
    length: int,
    saving: float = 0.5,
    rank: int = 8,
    bits: float = NF4_BITS,
    checkpointing: bool = False,
    names: Sequence[str] = tuple(SHAPES),
) -> float | None:
    """The parameters from which on QLoRA saves this share of LoRA's step; None: it does nowhere.

    Between two models of the family, straight over the logarithm of their parameters; the first
    model's own count where it saves as much already. saving: above 0 and below 1.
    Raises AdaptlabError for another share, a count below 1, no name, or one that is not in SHAPES.
    """
    if not 0 < saving < 1:
        raise AdaptlabError(f"a share that is saved is above 0 and below 1, not {saving}")
    if not names:
        raise AdaptlabError("give crossing at least one model")
    points = []
    for name in sorted(names, key=parameters):
        lora, qlora = _steps(name, batch, length, rank, bits, checkpointing)
        points.append((math.log(parameters(name)), 1 - qlora / lora))
    below = [place for place, (_, saved) in enumerate(points) if saved < saving]
    if not below:
        return math.exp(points[0][0])
    if below[-1] == len(points) - 1:
        return None
    (x0, y0), (x1, y1) = points[below[-1] : below[-1] + 2]
    return math.exp(x0 + (x1 - x0) * (saving - y0) / (y1 - y0))


def _config(name: str) -> LlamaConfig:
    if name not in SHAPES:
        raise unknown("model", name, SHAPES)
    return SHAPES[name]


def _steps(
    name: str, batch: int, length: int, rank: int, bits: float, checkpointing: bool
) -> tuple[int, int]:
    """Bytes of a step of LoRA, and of QLoRA."""
    lora, qlora = (
        predict_lora(
            _config(name), batch, length, rank=rank, base_bits=each, checkpointing=checkpointing
        ).total
        for each in (None, bits)
    )
    return lora, qlora


def _computed(method: Published, name: str, batch: int, length: int, rank: int) -> float:
    """Bytes of a step by this method."""
    config = _config(name)
    if method.method == "full" and method.bits == 32:
        every = {"trained_layers": "all", "asked": length, "dtype": torch.float32}
        return predict(config, batch, length, **every).total
    bits = {8: 8.0, 4: NF4_BITS, 2: 2.0}.get(method.bits)
    step = predict_lora(config, batch, length, rank=rank, asked=length, base_bits=bits)
    if method.method == "full":  # its activations, nearly LoRA's, have gone as gradients come
        update = rule(parameters(name))["bf16, Adam in bf16: 2 + 2 + 4"]
        return max(update, update - 2 * parameters(name) + step.backward.activations)
    return step.total


def _mixed(name: str, batch: int, length: int) -> float:
    """Bytes of a step of full training by our loop in bf16, with fp32 copies."""
    return predict(_config(name), batch, length, trained_layers="all", asked=length).total
