"""Masked multi-head self-attention, its query heads in groups, its positions rotary or not.

B batch, T tokens, S tokens that can be seen, H heads, K key and value heads, D head width.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from adaptlab.gpt.cache import KVCache
from adaptlab.gpt.config import GPTConfig


@dataclass(frozen=True)
class View:
    """What every layer needs to know of the sequence, computed once.

    mask: (B or 1, 1, T, S) booleans, True where a token may look; None where attention is plainly
        causal or may look everywhere, as `causal` says.
    rotary: cosines and sines (B or 1, 1, T, D) of the positions, if the model has them.
    """

    mask: torch.Tensor | None
    causal: bool
    rotary: tuple[torch.Tensor, torch.Tensor] | None
    cache: KVCache | None


class Attention(nn.Module):
    """Masked multi-head self-attention (Vaswani et al., 2017), its query heads in groups."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.config, self.layer = config, layer
        heads = config.heads + 2 * config.kv_heads
        self.qkv = nn.Linear(config.width, heads * config.head_width, bias=config.bias)
        self.output = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, x: torch.Tensor, view: View) -> torch.Tensor:
        q, k, v = self.project(x, view)
        dropout = self.config.dropout if self.training else 0.0
        if self.config.fused:
            y = fused_attention(q, k, v, view.mask, view.causal, dropout)
        else:
            weights = attention_weights(q, k, view.mask, view.causal)  # (B, H, T, S)
            y = F.dropout(weights, dropout) @ repeat_heads(v, weights.shape[1])  # (B, H, T, D)
        return self.output(y.transpose(1, 2).flatten(2))  # (B, T, width)

    def project(self, x: torch.Tensor, view: View) -> tuple[torch.Tensor, ...]:
        """Queries (B, H, T, D), and keys and values (B, K, S, D), the cached ones included."""
        c = self.config
        heads = self.qkv(x).unflatten(-1, (-1, c.head_width)).transpose(1, 2)  # (B, H+2K, T, D)
        if view.rotary is not None:
            turned = rotate(heads[:, : c.heads + c.kv_heads], *view.rotary)
            q, k = turned.split((c.heads, c.kv_heads), dim=1)
            v = heads[:, c.heads + c.kv_heads :]
        else:
            q, k, v = heads.split((c.heads, c.kv_heads, c.kv_heads), dim=1)
        if view.cache is not None:
            k, v = view.cache.write(self.layer, k, v)
        return q, k, v


def attention_weights(
    q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor | None, causal: bool
) -> torch.Tensor:
    """softmax(q k' / sqrt(D)) over what may be seen, (B, H, T, S).

    q: (B, H, T, D); k: (B, K, S, D), each of its heads read by H / K query heads.
    """
    scores = q @ repeat_heads(k, q.shape[1]).transpose(-2, -1) / math.sqrt(q.shape[-1])
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1)


def fused_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    causal: bool,
    dropout: float = 0.0,
) -> torch.Tensor:
    """The same in one kernel, which never holds the (T, S) weights (Dao et al., 2022).

    Returns (B, H, T, D).
    """
    groups = q.shape[1] // k.shape[1]
    if q.shape[2] == 1 and groups > 1:
        # One new token: the heads of a group ask the same keys, as if they were G tokens.
        together = q.unflatten(1, (-1, groups)).squeeze(3)  # (B, K, G, D)
        y = F.scaled_dot_product_attention(together, k, v, attn_mask=mask, dropout_p=dropout)
        return y.flatten(1, 2).unsqueeze(2)
    k, v = repeat_heads(k, q.shape[1]), repeat_heads(v, q.shape[1])
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, dropout_p=dropout
    )


def repeat_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Keys or values (B, K, S, D) for each of the query heads that share them, (B, H, S, D)."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def rotary_angles(
    positions: torch.Tensor, config: GPTConfig, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines (B or 1, 1, T, D) of position x base^(-2i/D) (Su et al., 2021).

    They are computed in fp32: far positions turn far, and bf16 would lose count.
    """
    half = torch.arange(0, config.head_width, 2, device=positions.device) / config.head_width
    angles = positions[..., None].float() * config.rope_base**-half  # (B, T, D / 2)
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair (x_i, x_{i + D/2}) by its angle; a product q k' then sees distances only."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin
