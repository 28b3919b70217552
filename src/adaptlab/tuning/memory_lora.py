"""The memory of a step with LoRA or QLoRA, predicted from the shape of the model.

    always      embeddings, norms, head     2 bytes a number in bf16
                linear weights              2;  QLoRA: 4.127 bits
                A and B                     2
    trained     fp32 copies of A and B      4   of a weight of A or B, of which there are few
                optimizer, gradients        8 + 4
    each token  activations                 nearly those of full training
    one matrix  QLoRA's product             the largest, dequantised: 2 bytes a number, for a moment

What falls away is what belongs to trained weights; the way back still goes through every layer.
Of the activations a frozen norm drops one tensor, and a frozen product would drop its input, but A
needs it. So with long texts LoRA saves little, and 4 bits save nothing more of that.

The parts are those of memory.py; what a layer keeps is the table of memory_kept.py, changed here.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from transformers import PreTrainedConfig

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.models import SHORT
from adaptlab.tuning.memory import ADAM, Memory, Step
from adaptlab.tuning.memory_kept import (
    FOR_GAINS,
    HEADS_OUTPUT,
    MLP_OUTPUT,
    NORMS_OUTPUT,
    Kept,
    Pass,
    heads,
    kept_by_layer,
)

# NF4: 4 bits, an 8-bit absmax for 64 numbers, a 32-bit one for 64 * 256 (Dettmers et al., 2023).
NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)
EVERY_LINEAR = "all-linear"


def predict_lora(
    config: PreTrainedConfig,
    batch: int,
    length: int,
    *,
    rank: int,
    targets: str | Sequence[str] = EVERY_LINEAR,
    labels: int | None = None,
    asked: int = 1,
    dtype: torch.dtype = torch.bfloat16,
    base_bits: float | None = None,
    checkpointing: bool = False,
) -> Step:
    """The memory of a step of `loop.fit` on a CPU, from a Llama's configuration alone.

    batch, length: texts of a step, and tokens of the longest. rank, targets: of the adapters, on
    "all-linear" layers or on some, such as ("q_proj", "v_proj"). labels: rows of a label head;
    None: the model's own head. Both are frozen; a label head that is trained adds a few kilobytes.
    asked: positions of a text whose logits are needed. dtype: what the model computes in, and what
    is not quantised is loaded in. base_bits: of a linear weight with all its scales, such as
    NF4_BITS; None: those of `dtype`. checkpointing: as in a Recipe.

    Not in it: the copy of the best weights, and what `memory_measured` does not see either.
    Raises AdaptlabError for a count below 1, bits that are not above 0, targets that are not there,
    or a model that is not built like Llama.
    """
    if min(batch, length, asked, rank) < 1:
        raise AdaptlabError("batch, length, asked and rank must be at least 1")
    chosen = _chosen(config, targets)
    run = Pass(
        config,
        batch,
        length,
        dtype,
        layers=config.num_hidden_layers,
        rows=labels or config.vocab_size,
        asked=batch * asked,
        checkpointing=checkpointing,
        cut=False,
        embeddings=False,
        table=partial(kept_with_lora, rank=rank, targets=chosen),
        gains=False,
    )
    e, adapters = dtype.itemsize, adapter_numbers(config, rank, chosen)
    weights = weight_bytes(config, labels, dtype, base_bits) + e * adapters
    copies = 4 * adapters if e == 2 else 0
    whole = max(rows * columns for rows, columns in linears(config).values())
    way_back = _way_back(run, adapters, scratch=0 if base_bits is None else e * whole)

    def at(gradients: int, activations: int) -> Memory:
        return Memory(weights, copies, gradients, ADAM * adapters, activations)

    return Step(at(*max(way_back, key=sum)), at(4 * adapters, 0))


def weight_bytes(
    config: PreTrainedConfig,
    labels: int | None = None,
    dtype: torch.dtype = torch.bfloat16,
    base_bits: float | None = None,
    everything: bool = False,
) -> int:
    """Bytes of a model's weights, with its linear layers at `base_bits` bits a number.

    everything: embeddings and head are at `base_bits` too, which bitsandbytes leaves in `dtype`.
    Raises AdaptlabError for bits that are not above 0, or a model that is not built like Llama.
    """
    if base_bits is not None and not 0 < base_bits <= 32:
        raise AdaptlabError(f"bits of a weight are above 0 and at most 32, not {base_bits}")
    bits = 8 * dtype.itemsize if base_bits is None else base_bits
    inner = linear_numbers(config)
    ends, norms = _other_numbers(config, labels)
    small, large = (inner + ends, norms) if everything else (inner, ends + norms)
    return round(small * bits / 8) + large * dtype.itemsize


def linear_numbers(config: PreTrainedConfig) -> int:
    """The weights of all linear layers but the head: what QLoRA keeps in 4 bits."""
    return config.num_hidden_layers * sum(
        rows * columns for rows, columns in linears(config).values()
    )


def adapter_numbers(
    config: PreTrainedConfig, rank: int, targets: str | Sequence[str] = EVERY_LINEAR
) -> int:
    """The weights of A and B in all layers: rank * (in + out) for each target.

    Raises AdaptlabError for targets that are not there.
    """
    shapes = linears(config)
    each = (sum(shapes[name]) for name in _chosen(config, targets))
    return config.num_hidden_layers * rank * sum(each)


def linears(config: PreTrainedConfig) -> dict[str, tuple[int, int]]:
    """A layer's linear weights by name, (out, in).

    Raises AdaptlabError for a model that is not built like Llama.
    """
    try:
        width, mlp = config.hidden_size, config.intermediate_size
        queries, keys = heads(config)
    except AttributeError as error:
        raise AdaptlabError(f"only a model built like Llama is known: {error}") from error
    return {
        "q_proj": (queries, width),
        "k_proj": (keys, width),
        "v_proj": (keys, width),
        "o_proj": (width, queries),
        "gate_proj": (mlp, width),
        "up_proj": (mlp, width),
        "down_proj": (width, mlp),
    }


def kept_with_lora(
    config: PreTrainedConfig,
    batch: int,
    length: int,
    dtype: torch.dtype = torch.bfloat16,
    *,
    rank: int,
    targets: Sequence[str],
) -> tuple[Kept, ...]:
    """What autograd keeps of one layer: `kept_by_layer`, where only A and B are trained.

    A product with a frozen weight needs the weight alone on the way back. Its input is kept where
    an A needs it: once for queries, keys and values together, once for gate and up.
    """
    e, tokens, has = dtype.itemsize, batch * length, set(targets)
    norms = bool(has & {"q_proj", "k_proj", "v_proj"}) + bool(has & {"gate_proj", "up_proj"})
    changed = {
        FOR_GAINS: 0,
        NORMS_OUTPUT: norms * tokens * config.hidden_size,
    }
    if "o_proj" not in has and length <= SHORT:  # fused attention keeps its output for itself
        changed[HEADS_OUTPUT] = 0
    if "down_proj" not in has:
        changed[MLP_OUTPUT] = 0
    table = kept_by_layer(config, batch, length, dtype)
    return (
        *(kept._replace(numbers=changed.get(kept.name, kept.numbers)) for kept in table),
        Kept("x A of each adapter, for its B", len(has) * tokens * rank, e),
    )


def _way_back(run: Pass, adapters: int, scratch: int) -> Iterator[tuple[int, int]]:
    """(gradients, activations) in bytes at the moments where there may be most of both together.

    scratch: a dequantised matrix, for one product.
    """
    e, depth = run.dtype.itemsize, run.layers
    yield 0, run.in_head()
    for layer in range(depth, 0, -1):
        arrived = e * adapters * (depth - layer) // depth
        yield arrived, run.in_mlp(layer) + scratch
        yield arrived, run.in_attention(layer)
        yield arrived + e * adapters // depth, run.in_norm(layer)
    yield e * adapters, run.held(0)


def _chosen(config: PreTrainedConfig, targets: str | Sequence[str]) -> tuple[str, ...]:
    known = linears(config)
    if targets == EVERY_LINEAR:
        return tuple(known)
    names = (targets,) if isinstance(targets, str) else tuple(dict.fromkeys(targets))
    if not names:
        raise AdaptlabError(f'LoRA needs targets, such as ("q_proj", "v_proj") or "{EVERY_LINEAR}"')
    for name in names:
        if name not in known:
            raise unknown("target", name, (EVERY_LINEAR, *known))
    return names


def _other_numbers(config: PreTrainedConfig, labels: int | None) -> tuple[int, int]:
    """The weights of embeddings and head, and those of all norms."""
    width = config.hidden_size
    shared = labels is None and config.tie_word_embeddings
    head = 0 if shared else width * (labels or config.vocab_size)
    return config.vocab_size * width + head, width * (2 * config.num_hidden_layers + 1)
