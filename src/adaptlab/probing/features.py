"""What each layer of a frozen model holds of a text, pooled to one vector.

    tokens       Review  :  a  moving  film
    layer 0      [ . . . . . . . . . . . . ]  hidden states; each token has seen those before it
      ...        first                 last   of one token
    layer 30     [------- mean, max -------]  over all tokens, dimension by dimension

In a decoder the last token alone has seen the whole text, and the first only itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.batching import TOKENS_PER_BATCH, by_tokens, encode, padded
from adaptlab.errors import AdaptlabError, unknown

POOLINGS = ("last", "mean", "max", "first")


@dataclass(frozen=True)
class Features:
    """Hidden states by pooling, and where they come from."""

    values: dict[str, np.ndarray]  # each (layers + 1, texts, width), fp32
    truncated: int  # how many texts were longer than the context; their beginning is cut off
    file: Path | None = None  # where they are kept, if they are
    hit: bool = False  # read from that file: no model was run

    @property
    def disk_bytes(self) -> int:
        """The size of the file; 0 without one."""
        return self.file.stat().st_size if self.file else 0


@torch.inference_mode()
def features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    poolings: Sequence[str] = ("last",),
    tokens_per_batch: int = TOKENS_PER_BATCH,
    context: int | None = None,
) -> Features:
    """What every layer holds of each text, pooled in each of the ways asked for.

    poolings: "last" or "first", the state of that token; "mean" or "max" over the text's tokens.
    context: of longer texts the last so many tokens are kept, and a BOS if the tokenizer adds one
        (see `batching.encode`); by default, and at most, the model's context.

    Index 0 is the token embedding, the last index the output of the final norm. One forward
    through the decoder gives all layers and poolings; the output head is not computed.
    Raises AdaptlabError for no texts, a text without tokens, or an unknown pooling.
    """
    check_request(texts, poolings)
    ids, truncated = encode(tokenizer, texts, _context(model, context))
    decoder = model.get_decoder()
    values: dict[str, np.ndarray] = {}
    for rows, inputs in batches(ids, tokens_per_batch):
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        layers = decoder(**inputs, output_hidden_states=True, use_cache=False).hidden_states
        for name in poolings:
            pooled = [pool(layer, inputs["attention_mask"], name) for layer in layers]  # (B, D)
            stacked = torch.stack(pooled).float().cpu().numpy()
            if name not in values:
                shape = len(stacked), len(texts), stacked.shape[-1]
                values[name] = np.empty(shape, np.float32)
            values[name][:, rows] = stacked
    return Features(values, truncated)


def check_request(texts: Sequence[str], poolings: Sequence[str]) -> None:
    """Raises AdaptlabError for no texts, and for no or an unknown pooling."""
    if not len(texts):
        raise AdaptlabError("no texts to take features from")
    if isinstance(poolings, str) or not poolings:
        raise AdaptlabError(f"poolings are a list of one or more of {', '.join(POOLINGS)}")
    for name in poolings:
        if name not in POOLINGS:
            raise unknown("pooling", name, POOLINGS)


def batches(
    ids: Sequence[Sequence[int]], tokens_per_batch: int = TOKENS_PER_BATCH
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """Texts of similar length together: their indices, and the model's inputs (B, T)."""
    for rows in by_tokens([len(tokens) for tokens in ids], tokens_per_batch):
        inputs, mask = padded([ids[row] for row in rows])
        yield rows, {"input_ids": inputs, "attention_mask": mask}


def _context(model: PreTrainedModel, wanted: int | None) -> int | None:
    if wanted is not None and wanted < 1:
        raise AdaptlabError(f"the context is {wanted}; a text keeps at least one token")
    own = getattr(model.config, "max_position_embeddings", None)
    return min((limit for limit in (own, wanted) if limit), default=None)


def pool(layer: torch.Tensor, mask: torch.Tensor, name: str) -> torch.Tensor:
    """One vector a text, (B, D), of hidden states (B, T, D), padding (mask 0) left out."""
    if name == "first":
        return layer[:, 0]
    lengths = mask.sum(1)  # (B,)
    if name == "last":
        return layer[torch.arange(len(layer), device=layer.device), lengths - 1]
    padding = mask[:, :, None] == 0  # (B, T, 1)
    if name == "max":
        return layer.masked_fill(padding, -torch.inf).amax(1)
    summed = layer.float().masked_fill(padding, 0).sum(1)  # bf16 would lose what it adds
    return summed / lengths[:, None]
