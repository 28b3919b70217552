"""What autograd keeps on the way there, tensor by tensor, for Llama as transformers computes it.

    x ---> norm ---> q, k, v ---> scores ---> softmax ---> outputs ---> product ---> + ---> norm ...
           kept      kept                     kept         kept

An operation keeps what its derivative needs: a product its factors, a softmax its output, a sum
nothing. Parameters are not counted: they are there anyway. Korthikanti et al. (2022, section 4.1)
count a layer of GPT in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers import PreTrainedConfig

from adaptlab.models import SHORT

# Rows of the table that depend on which weights are trained.
FOR_GAINS = "2 norms: x / rms(x), for the gains"
NORMS_OUTPUT = "2 norms: output, for the products after it"
HEADS_OUTPUT = "the heads' outputs, for the output product"
MLP_OUTPUT = "MLP: SiLU(gate) * up, for the down product"


class Kept(NamedTuple):
    """Tensors that are kept for the way back."""

    name: str
    numbers: int
    size: int  # bytes of each number

    @property
    def bytes(self) -> int:
        return self.numbers * self.size


def kept_by_layer(
    config: PreTrainedConfig, batch: int, length: int, dtype: torch.dtype = torch.bfloat16
) -> tuple[Kept, ...]:
    """What autograd keeps of one layer of transformers' Llama on a CPU.

    Texts of up to 256 tokens go through plain ("eager") attention, where each pair of tokens counts
    in each head; longer ones through torch's fused attention, which keeps no pairs.
    """
    e, tokens = dtype.itemsize, batch * length
    width, mlp = config.hidden_size, config.intermediate_size
    queries, keys = heads(config)
    pairs = tokens * length * config.num_attention_heads
    norms = (
        Kept("2 norms: x in fp32", 2 * tokens * width, 4),
        Kept("2 norms: 1 / rms(x)", 2 * tokens, 4),
        Kept(FOR_GAINS, 2 * tokens * width, e),
        Kept(NORMS_OUTPUT, 2 * tokens * width, e),
    )
    plain = (
        Kept("queries, rotated", tokens * queries, e),
        Kept("keys, rotated, one for each query head", tokens * queries, e),
        Kept("values, one for each query head", tokens * queries, e),
        Kept("softmax of the scores, fp32", pairs, 4),
        *([Kept("the same in bf16, for the product with the values", pairs, 2)] if e == 2 else []),
    )
    fused = (
        Kept("queries, rotated", tokens * queries, e),
        Kept("keys, rotated", tokens * keys, e),
        Kept("values", tokens * keys, e),
        Kept("log of the softmax's denominator", tokens * config.num_attention_heads, 4),
    )
    return (
        *norms,
        *(plain if length <= SHORT else fused),
        Kept(HEADS_OUTPUT, tokens * queries, e),
        Kept("MLP: gate", tokens * mlp, e),
        Kept("MLP: SiLU(gate)", tokens * mlp, e),
        Kept("MLP: up", tokens * mlp, e),
        Kept(MLP_OUTPUT, tokens * mlp, e),
    )


def heads(config: PreTrainedConfig) -> tuple[int, int]:
    """The numbers of a token's queries in all heads, and of its keys."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_attention_heads * width, config.num_key_value_heads * width


@dataclass(frozen=True)
class Pass:
    """What is alive as a batch goes through the layers of a model and back, in bytes.

    layers: how many are trained; the methods count them from 1, the lowest. rows: of the head.
    asked: positions in all texts whose logits are needed. checkpointing: see `held`. cut: frozen
    layers below are cut off, and the batch is their output. embeddings: these are trained too.
    """

    config: PreTrainedConfig
    batch: int
    length: int
    dtype: torch.dtype
    layers: int
    rows: int
    asked: int
    checkpointing: bool
    cut: bool
    embeddings: bool
    table: Callable[..., tuple[Kept, ...]] = kept_by_layer
    gains: bool = True

    def held(self, layer: int) -> int:
        """Kept of the layers up to this one while the way back is above them or in it.

        With checkpointing (Chen et al., 2016) a layer keeps its input; once the way back reaches
        the layer, all that it would have kept is made anew.
        """
        fed = self._states(self.dtype.itemsize) if self.cut else 0
        if layer == 0:
            return fed
        if self.checkpointing:
            return layer * self._states(self.dtype.itemsize) + self._mask()
        return fed + (layer - 1) * self._layer(2) + self._layer(1)

    def in_head(self) -> int:
        """The most on the way back through the head and the final norm."""
        e, logits = self.dtype.itemsize, 4 * self.asked * self.rows  # log-probabilities, fp32
        head = logits + e * self.asked * self.config.hidden_size
        norm = self._states(4) + (self._states(e) if self.gains else 0) if self.layers else 0
        gradients = max(2 * logits, 5 * self._states(4) - logits if self.layers else 0)
        return self.held(self.layers) + norm + head + gradients

    def in_mlp(self, layer: int) -> int:
        """The most on the way back through a layer's MLP: nearly all it kept is still there."""
        e = self.dtype.itemsize
        anew = self._layer(layer) if self.checkpointing else 0
        gradients = 2 * e * self.batch * self.length * self.config.intermediate_size
        return self.held(layer) + anew + gradients + self._states(e)

    def in_attention(self, layer: int) -> int:
        """The most on the way back through plain attention: 3 numbers a pair and head, in fp32.

        These are the softmax, its gradient and that of the scores. The layer's MLP has gone.
        """
        e, queries = self.dtype.itemsize, self.batch * self.length * heads(self.config)[0]
        return (
            self.held(layer - 1)
            + self._states(4) + 3 * self._states(e)  # the first norm, and a gradient
            + 3 * e * queries  # queries, keys, the gradient of values
            + 3 * 4 * self._pairs()
        )  # fmt: skip

    def in_norm(self, layer: int) -> int:
        """The most on the way back through a layer's first norm: the rest of it has gone."""
        kept, gradients = 2, 5  # in fp32
        return self.held(layer - 1) + (kept + gradients) * self._states(4)

    def without_gradients(self) -> int:
        """The most on the way through frozen layers, of which nothing is kept."""
        e, tokens = self.dtype.itemsize, self.batch * self.length
        pairs = self._pairs()
        softmax = (4 + 4 + (2 if e == 2 else 0)) * pairs  # two steps in fp32, and the scores
        attention = softmax + 4 * e * tokens * heads(self.config)[0]
        # The layer's local variables hold on to the softmax while the MLP runs.
        mlp = 3 * e * tokens * self.config.intermediate_size + self._states(e) + e * pairs
        return max(attention, mlp) + 3 * self._states(e) + self._mask()

    def _layer(self, layer: int) -> int:
        kept = self.table(self.config, self.batch, self.length, self.dtype)
        # Where nothing below is trained, the first norm has no use for its x in fp32.
        unused = self._states(4) if layer == 1 and not self.embeddings else 0
        return sum(each.bytes for each in kept) - unused

    def _states(self, size: int) -> int:
        """The hidden states of all tokens once, with so many bytes a number."""
        return size * self.batch * self.length * self.config.hidden_size

    def _pairs(self) -> int:
        """Pairs of tokens in all heads of plain attention; fused attention makes none."""
        plain = self.length <= SHORT
        return self.batch * self.length**2 * self.config.num_attention_heads if plain else 0

    def _mask(self) -> int:
        """What plain attention adds to the scores, so that no token sees a later one."""
        return self._pairs() // self.config.num_attention_heads * self.dtype.itemsize
