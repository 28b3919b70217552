"""A decoder-only transformer (Radford et al., 2019), with Llama's parts as switches.

    ids (B, T)
     |  token embedding  (+ position embedding)
     x ----------------------------.
     |  norm -> attention          |   a token reads what came before it
     + <---------------------------'
     x ----------------------------.
     |  norm -> MLP                |   each token by itself
     + <---------------------------'   ... as many blocks as there are layers
     |  norm -> head
    logits (B, T, vocabulary): what comes next, at every position

B batch, T tokens, S tokens that can be seen.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.attention import Attention, View, rotary_angles
from adaptlab.gpt.cache import KVCache
from adaptlab.gpt.config import GPTConfig


class GPT(nn.Module):
    """The decoder. Weights start as GPT-2's: N(0, 0.02), residual outputs smaller."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = make_norm(config)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied:
            self.head.weight = self.token_embedding.weight
        self.apply(_initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.output.weight", "mlp.down.weight")):
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.layers))

    def forward(
        self,
        ids: torch.Tensor,
        cache: KVCache | None = None,
        starts: torch.Tensor | None = None,
        documents: torch.Tensor | None = None,
        at: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits (B, T, vocabulary) for token ids (B, T). Arguments as for `hidden`, and

        at: (B, T) booleans, N of them true: the logits of those positions only, (N, vocabulary).
        """
        hidden = self.hidden(ids, cache, starts, documents)
        return self.head(hidden if at is None else hidden[at])

    def hidden(
        self,
        ids: torch.Tensor,
        cache: KVCache | None = None,
        starts: torch.Tensor | None = None,
        documents: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The normed output of the last block, (B, T, width), for token ids (B, T).

        cache: keys and values of the tokens before `ids`; those of `ids` are added to it.
        starts: (B,) how many tokens of padding stand at the left of each sequence.
        documents: (B, T) a number for each token's document: a token sees its own document only,
            and positions count from the document's first token. Not together with a cache.
        Raises AdaptlabError for an id outside the vocabulary, or a context that is too long.
        """
        x, view = self.embed(ids, cache, starts, documents)
        for block in self.blocks:
            x = block(x, view)
        if cache is not None:
            cache.filled += ids.shape[1]
        return self.norm(x)

    def embed(
        self,
        ids: torch.Tensor,
        cache: KVCache | None = None,
        starts: torch.Tensor | None = None,
        documents: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, View]:
        """What goes into the first block, (B, T, width), and what every block will need."""
        seen = cache.filled if cache is not None else 0
        if seen + ids.shape[1] > self.config.context_length:
            raise AdaptlabError(
                f"{seen + ids.shape[1]} tokens are more than the context of "
                f"{self.config.context_length}"
            )
        lowest, highest = ids.aminmax()
        if lowest < 0 or highest >= self.config.vocab_size:  # a GPU would say so late, and break
            worst = lowest if lowest < 0 else highest
            raise AdaptlabError(
                f"token id {worst} is outside the vocabulary of {self.config.vocab_size}"
            )
        x = self.token_embedding(ids)  # (B, T, width)
        positions = _positions(ids, seen, starts, documents)  # (B or 1, T)
        rotary = None
        if self.config.positions == "learned":
            x = x + self.position_embedding(positions)
        elif self.config.positions == "rotary":
            rotary = rotary_angles(positions, self.config, x.dtype)
        mask = _mask(ids, seen, starts, documents, self.config.causal)
        # One new token may look at all that is in the cache, so it needs no causal mask.
        causal = self.config.causal and mask is None and ids.shape[1] > 1
        return self.dropout(x), View(mask, causal, rotary, cache)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): the residual stream is only added to."""

    def __init__(self, config: GPTConfig, layer: int):
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = Attention(config, layer)
        self.mlp_norm = make_norm(config)
        self.mlp = SwiGLU(config) if config.mlp == "swiglu" else MLP(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor, view: View) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), view))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class MLP(nn.Module):
    """down(gelu(up(x))), in the tanh form that GPT-2 was trained with."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.up = nn.Linear(config.width, config.mlp_width, bias=config.bias)
        self.down = nn.Linear(config.mlp_width, config.width, bias=config.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)): one half decides how much of the other passes."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.gate = nn.Linear(config.width, config.mlp_width, bias=config.bias)
        self.up = nn.Linear(config.width, config.mlp_width, bias=config.bias)
        self.down = nn.Linear(config.mlp_width, config.width, bias=config.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


def make_norm(config: GPTConfig) -> nn.Module:
    """LayerNorm centres and scales each vector; RMSNorm only scales it, by its mean square."""
    if config.norm == "rms":
        return nn.RMSNorm(config.width, eps=config.norm_epsilon)
    return nn.LayerNorm(config.width, eps=config.norm_epsilon, bias=config.bias)


def _positions(
    ids: torch.Tensor,
    seen: int,
    starts: torch.Tensor | None,
    documents: torch.Tensor | None,
) -> torch.Tensor:
    """The position of each token, (B or 1, T): counted over the cache, not over padding, and
    anew in every document."""
    positions = torch.arange(seen, seen + ids.shape[1], device=ids.device)[None]
    if starts is not None:
        positions = (positions - starts[:, None]).clamp(min=0)
    if documents is not None:
        new = documents[:, 1:] != documents[:, :-1]
        first = F.pad(torch.where(new, positions[:, 1:], 0), (1, 0)).cummax(dim=1).values
        positions = positions - first
    return positions


def _mask(
    ids: torch.Tensor,
    seen: int,
    starts: torch.Tensor | None,
    documents: torch.Tensor | None,
    causal: bool,
) -> torch.Tensor | None:
    """Which of the S = seen + T tokens each of the T tokens may look at, if that needs saying."""
    tokens = ids.shape[1]
    ahead = causal and seen > 0 and tokens > 1  # several tokens after a cache
    if starts is None and documents is None and not ahead:
        return None
    key = torch.arange(seen + tokens, device=ids.device)
    query = key[seen:, None]  # (T, 1)
    mask = (key <= query if causal else key >= 0)[None, None].expand(1, 1, tokens, len(key))
    if starts is not None:
        real = key >= starts[:, None, None, None]  # (B, 1, 1, S)
        mask = mask & real | (key == query)  # padding sees itself, or its softmax were 0 / 0
    if documents is not None:
        mask = mask & (documents[:, None, :, None] == documents[:, None, None])
    return mask


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
