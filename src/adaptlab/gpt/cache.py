"""Keys and values that were computed once and are read at every later step."""

import torch

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.config import GPTConfig


class KVCache:
    """Room for the keys and values of `length` positions in every layer.

    The room is taken at once, so that a step writes one column instead of copying all of them.
    `filled` counts the positions that have been written.
    """

    def __init__(
        self,
        config: GPTConfig,
        batch: int,
        length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        shape = (config.layers, batch, config.kv_heads, length, config.head_width)
        self.keys = torch.empty(shape, dtype=dtype, device=device)  # (L, B, K, S, D)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.filled = 0

    def write(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the newest keys and values (B, K, T, D) of a layer; returns all so far.

        Raises AdaptlabError if they do not fit.
        """
        end = self.filled + keys.shape[2]
        if end > self.keys.shape[3]:
            raise AdaptlabError(f"the cache has room for {self.keys.shape[3]} tokens, not {end}")
        self.keys[layer, :, :, self.filled : end] = keys
        self.values[layer, :, :, self.filled : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
