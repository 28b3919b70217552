"""The memory of a training step, predicted from the shape of the model before anything is run.

    always      weights         2 bytes in bf16, 4 in fp32
    trained     copies          4, where the model computes in bf16
                optimizer       8: Adam's mean and mean square
                gradients       2 on the way back, then 4 for the step; in fp32 always 4
    each token  activations     what the way back needs of the way there; see `kept_by_layer`

Activations and gradients are seldom there together: on the way back the former go as the latter
come. So a step has two peaks, "backward" and "update", and the higher one must fit.

The first table of this kind is that of ZeRO (Rajbhandari et al., 2020); the activations are counted
as by Korthikanti et al. (2022), here for Llama as transformers computes it.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from typing import Literal

import torch
from transformers import PreTrainedConfig

from adaptlab.errors import AdaptlabError
from adaptlab.tuning.memory_kept import Pass, heads

ADAM = 4 + 4  # bytes for a trained number: mean and mean square, in fp32


@dataclass(frozen=True)
class Memory:
    """Bytes of each part at one moment."""

    weights: int = 0
    copies: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(astuple(self))

    def parts(self) -> dict[str, int]:
        """The parts by the names that figures use."""
        return {"fp32 copies" if k == "copies" else k: v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Step:
    """The two moments of a training step that ask for most.

    backward: the highest until the last gradient has arrived; often the end of the way there, with
    no gradient yet. update: the highest after it, when gradients are widened and the optimizer
    steps; no activation is left but the kept output of frozen layers.
    """

    backward: Memory
    update: Memory

    @property
    def peak(self) -> Memory:
        """The moment that decides whether the step fits."""
        return max(self.backward, self.update, key=lambda moment: moment.total)

    @property
    def total(self) -> int:
        """Bytes of the peak."""
        return self.peak.total


def rule(parameters: int, trained: int | None = None) -> dict[str, int]:
    """Bytes without activations by the rules of thumb; `trained` of the parameters are trained.

    Adam in mixed precision: 16 for each trained parameter, 2 + 2 + 4 + 4 + 4 (Rajbhandari et al.,
    2020). The gradients of our loop are fp32 when it steps: 18.
    """
    trained = parameters if trained is None else trained
    return {
        "fp32, Adam: 4 + 4 + 8": 4 * parameters + (4 + 8) * trained,
        "mixed, Adam: 2 + 2 + 4 + 8": 2 * parameters + (2 + 4 + 8) * trained,
        "mixed, Adam, fp32 gradients: 2 + 4 + 4 + 8": 2 * parameters + (4 + 4 + 8) * trained,
        "bf16, Adam in bf16: 2 + 2 + 4": 2 * parameters + (2 + 4) * trained,
    }


def predict(
    config: PreTrainedConfig,
    batch: int,
    length: int,
    *,
    trained_layers: int | Literal["all"],
    labels: int | None = None,
    asked: int = 1,
    dtype: torch.dtype = torch.bfloat16,
    checkpointing: bool = False,
    accumulation: int = 1,
    texts: int | None = None,
) -> Step:
    """The memory of a step of `loop.fit` on a CPU, from a Llama's configuration alone.

    batch, length: texts of a step, and tokens of the longest. trained_layers: the top k with the
    head (0: the head alone), or "all" weights. labels: rows of a label head; None: the model's own
    head. asked: positions of a text whose logits are needed. dtype: what the model computes in,
    and its weights are loaded in. checkpointing, accumulation: as in a Recipe. texts: of which the
    output of frozen layers is kept; None: those of one batch.

    Not in it: the copy of the best weights, and what `memory_measured` does not see either.
    Raises AdaptlabError for layers that are not there, or a model that is not built like Llama.
    """
    if min(batch, length, accumulation) < 1:
        raise AdaptlabError("batch, length and accumulation must be at least 1")
    weights = _Weights.of(config, trained_layers, labels)
    parts = min(accumulation, batch)
    part = math.ceil(batch / parts)
    run = Pass(
        config,
        part,
        length,
        dtype,
        layers=weights.layers,
        rows=labels or config.vocab_size,
        asked=part * asked,
        checkpointing=checkpointing,
        cut=weights.layers < config.num_hidden_layers,
        embeddings=trained_layers == "all",
    )
    e, trained = dtype.itemsize, sum(weights.trained)
    backward = list(_way_back(run, weights, parts > 1))
    if parts > 2:  # gradients are added up before the last part, too
        backward += _widening(weights, dtype, True)
    update = _widening(weights, dtype, parts > 1)
    below = e * (texts or batch) * length * config.hidden_size if run.cut else 0
    copies = 4 * trained if e == 2 else 0

    def at(gradients: int, activations: int) -> Memory:
        return Memory(e * weights.all, copies, gradients, ADAM * trained, below + activations)

    return Step(at(*max(backward, key=sum)), at(*max(update, key=sum)))


@dataclass(frozen=True)
class _Weights:
    """How many numbers a model's parameters have.

    all: together. matrices: those of one layer. top: what is trained above the layers, final norm
    and head. layers: how many are trained. trained: all trained ones in the order of the model.
    """

    all: int
    matrices: tuple[int, ...]
    top: int
    layers: int
    trained: tuple[int, ...]

    @classmethod
    def of(cls, config: PreTrainedConfig, layers: int | str, labels: int | None) -> "_Weights":
        try:
            matrices = _matrices(config)
        except AttributeError as error:
            raise AdaptlabError(f"only a model built like Llama is known: {error}") from error
        depth, width = config.num_hidden_layers, config.hidden_size
        if layers != "all" and not 0 <= layers <= depth:
            raise AdaptlabError(f"the model has {depth} layers; {layers} were asked for")
        shared = labels is None and config.tie_word_embeddings
        if shared and layers != "all":
            raise AdaptlabError("the head shares its weights with the embeddings: give labels")
        embeddings = config.vocab_size * width
        head = 0 if shared else width * (labels or config.vocab_size)
        k = depth if layers == "all" else layers
        top = (head,) if k == 0 else (width, head)
        trained = (*([embeddings] if layers == "all" else []), *matrices * k, *top)
        every = embeddings + depth * sum(matrices) + width + head
        return cls(every, matrices, sum(top), k, trained)


def _way_back(run: Pass, weights: _Weights, earlier: bool) -> Iterator[tuple[int, int]]:
    """(gradients, activations) in bytes at the moments where there may be most of both together.

    earlier: the fp32 gradients of another part of the batch wait to be added to.
    """
    e = run.dtype.itemsize
    waiting = 4 * sum(weights.trained) if earlier else 0
    # In fp32 a new gradient is added to the waiting one at once.
    new = 0 if earlier and e == 4 else e
    yield waiting, run.without_gradients()
    yield waiting, run.in_head()
    gradients = waiting + new * weights.top
    for layer in range(run.layers, 0, -1):
        _, _, _, output, gate, up, down, *_ = weights.matrices
        yield gradients + new * down, run.in_mlp(layer)
        yield gradients + new * (output + gate + up + down), run.in_attention(layer)
        gradients += new * sum(weights.matrices)
        yield gradients, run.in_norm(layer)
    passing = 0 if new else 4 * max(weights.trained)
    yield waiting + new * sum(weights.trained) + passing, run.held(0)


def _widening(weights: _Weights, dtype: torch.dtype, earlier: bool) -> Iterator[tuple[int, int]]:
    """(gradients, activations) as bf16 gradients become fp32 ones, matrix by matrix."""
    narrow, wide = 2 * sum(weights.trained), 4 * sum(weights.trained) if earlier else 0
    if dtype.itemsize == 4:
        yield 4 * sum(weights.trained), 0
        return
    for numbers in weights.trained:
        yield narrow + wide + 4 * numbers, 0
        narrow, wide = narrow - 2 * numbers, wide + (0 if earlier else 4 * numbers)


def _matrices(config: PreTrainedConfig) -> tuple[int, ...]:
    """The numbers of each parameter of a layer: attention, MLP, two norms."""
    width, mlp = config.hidden_size, config.intermediate_size
    queries, keys = (width * numbers for numbers in heads(config))
    return (queries, keys, keys, queries, *[width * mlp] * 3, width, width)
