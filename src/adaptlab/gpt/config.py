"""What a decoder looks like: GPT-2, Llama and everything between are values of one dataclass."""

from dataclasses import dataclass
from typing import Literal

from adaptlab.errors import AdaptlabError


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a decoder. The defaults are GPT-2's choices (Radford et al., 2019).

    kv_heads: key and value heads, each shared by heads / kv_heads query heads (grouped-query
        attention, Ainslie et al., 2023); None: as many as there are query heads.
    mlp_width: width inside the MLP; None: four times the width.
    norm: "layer" (Ba et al., 2016) or "rms" (Zhang and Sennrich, 2019).
    positions: "learned" vectors, "rotary" (Su et al., 2021), or "none".
    mlp: "gelu" (its tanh form, Hendrycks and Gimpel, 2016) or "swiglu" (Shazeer, 2020).
    tied: the output head is the token embedding (Press and Wolf, 2017).
    causal: a token sees itself and what came before. False breaks a language model, on purpose.
    fused: attention in one kernel; False computes the formula step by step.

    What is None is filled in at once, so `replace` keeps it: to change the width of a config, pass
    kv_heads=None and mlp_width=None as well. Raises AdaptlabError where numbers do not fit.
    """

    vocab_size: int
    context_length: int
    layers: int
    heads: int
    width: int
    kv_heads: int | None = None
    mlp_width: int | None = None
    norm: Literal["layer", "rms"] = "layer"
    positions: Literal["learned", "rotary", "none"] = "learned"
    mlp: Literal["gelu", "swiglu"] = "gelu"
    bias: bool = True
    tied: bool = True
    dropout: float = 0.0
    norm_epsilon: float = 1e-5
    rope_base: float = 10_000.0
    causal: bool = True
    fused: bool = True

    def __post_init__(self) -> None:
        # A frozen dataclass still has to fill in what follows from its other fields.
        if self.kv_heads is None:
            object.__setattr__(self, "kv_heads", self.heads)
        if self.mlp_width is None:
            object.__setattr__(self, "mlp_width", 4 * self.width)
        sizes = (self.vocab_size, self.context_length, self.layers, self.heads, self.width)
        if min(*sizes, self.kv_heads, self.mlp_width) < 1:
            raise AdaptlabError("every size of a GPTConfig must be at least 1")
        if not 0 <= self.dropout <= 1:
            raise AdaptlabError(f"dropout is {self.dropout}; it is a share")
        if self.width % self.heads:
            raise AdaptlabError(f"width {self.width} is no multiple of {self.heads} heads")
        if self.heads % self.kv_heads:
            raise AdaptlabError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        if self.positions == "rotary" and self.head_width % 2:
            raise AdaptlabError(f"rotary positions need an even head width, not {self.head_width}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise AdaptlabError(f"{name} is {getattr(self, name)!r}; it can be {allowed}")

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        """How many scalars are trained, counted from the shapes alone."""
        d, m, biases = self.width, self.mlp_width, int(self.bias)
        qkv = (self.heads + 2 * self.kv_heads) * self.head_width
        attention = d * qkv + d * d + biases * (qkv + d)
        up = 2 if self.mlp == "swiglu" else 1  # a gate beside the values
        mlp = (up + 1) * d * m + biases * (up * m + d)
        norm = d * (2 if self.norm == "layer" and self.bias else 1)
        tokens = self.vocab_size * d * (1 if self.tied else 2)
        positions = self.context_length * d if self.positions == "learned" else 0
        return tokens + positions + self.layers * (attention + mlp + 2 * norm) + norm


CHOICES = {
    "norm": ("layer", "rms"),
    "positions": ("learned", "rotary", "none"),
    "mlp": ("gelu", "swiglu"),
}
