"""Looking inside a decoder: where its heads look, and what each layer would already say."""

import torch

from adaptlab.gpt.attention import attention_weights
from adaptlab.gpt.model import GPT


@torch.inference_mode()
def attention_maps(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    """How much each token looks at each earlier one, (layers, B, H, T, T), for ids (B, T)."""
    x, view = model.embed(ids)
    maps = []
    for block in model.blocks:
        q, k, _ = block.attention.project(block.attention_norm(x), view)
        maps.append(attention_weights(q, k, view.mask, view.causal))
        x = block(x, view)
    return torch.stack(maps)


@torch.inference_mode()
def residual_stream(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    """The embeddings and what each block made of them, (layers + 1, B, T, width)."""
    x, view = model.embed(ids)
    stream = [x]
    for block in model.blocks:
        x = block(x, view)
        stream.append(x)
    return torch.stack(stream)


@torch.inference_mode()
def logit_lens(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    """What the model would predict if it ended after each layer, (layers + 1, B, T, V), in fp32.

    The last norm and the head are applied to every layer's output (nostalgebraist, 2020).
    """
    stream = residual_stream(model, ids)
    return torch.stack([model.head(model.norm(x)).float() for x in stream])
