"""What a language model costs in memory, operations, hours and money, from its shape.

Everything is arithmetic on published figures, so that it can be held against the other published
figures: GPT-3's operations, Llama 2's GPU hours. What is an assumption (the hardware, how well it
is used, its price) is an argument, never a constant in here.

One lecture gives "LLaMA" 1,720,320 GPU hours and 130 GB in 16 bits. These are two models: the
hours are those of Llama 2 70B (138 GB), the 130 GB those of the first LLaMA's 65B.

GB are 10^9 bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.scaling import training_flops

A100_BF16 = 312e12  # FLOP/s, dense: NVIDIA's data sheet; what the published hours were spent on
ADAM_BYTES = 2 + 2 + 4 + 4 + 4  # a parameter; see training_bytes


def weight_bytes(parameters: int, bits: int) -> float:
    """Bytes that the weights take at 32, 16, 8 or 4 bits each.

    Quantised weights also need their scales (NF4 in blocks of 64: 0.5 bit a weight, 0.127 with
    double quantisation; Dettmers et al., 2023), and the embeddings usually stay in 16 bits.
    """
    return parameters * bits / 8


def training_bytes(parameters: int) -> float:
    """16 bytes a parameter: Adam in mixed precision (Rajbhandari et al., 2020).

    A 16-bit weight and gradient, 2 + 2, and in 32 bits the weight that is updated, the mean and
    the mean square, 4 + 4 + 4. All in 32 bits comes to the same: 4 + 4 + 4 + 4.
    Left out: activations, which grow with batch and context.
    """
    return parameters * ADAM_BYTES


def cache_bytes(layers: int, kv_heads: int, head_width: int, bits: int = 16) -> float:
    """Bytes of cache a token: a key and a value in every layer and key-value head.

    Heads that share keys and values save here, and only here do they save much
    (Ainslie et al., 2023).
    """
    return 2 * layers * kv_heads * head_width * bits / 8


def gpu_hours(flops: float, throughput: float, utilisation: float) -> float:
    """Hours on one GPU that could do `throughput` FLOP/s and does a share `utilisation` of it.

    Raises AdaptlabError for a throughput or share that cannot be.
    """
    if throughput <= 0 or not 0 < utilisation <= 1:
        raise AdaptlabError("throughput must be positive, utilisation above 0 and at most 1")
    return flops / (throughput * utilisation) / 3600


def implied_utilisation(flops: float, hours: float, throughput: float) -> float:
    """The share of `throughput` FLOP/s that was used, if `flops` took these GPU hours."""
    return flops / (hours * 3600 * throughput)


@dataclass(frozen=True)
class Model:
    """A model's shape and what was published about its training; None: not published."""

    name: str
    parameters: int
    layers: int
    kv_heads: int
    head_width: int
    context_length: int  # tokens
    training_tokens: float | None = None
    published_flops: float | None = None
    published_a100_hours: float | None = None

    @classmethod
    def of(cls, name: str, config: GPTConfig, training_tokens: float | None = None) -> "Model":
        """A decoder of ours."""
        shape = (config.layers, config.kv_heads, config.head_width, config.context_length)
        return cls(name, config.parameters, *shape, training_tokens)

    @property
    def flops(self) -> float | None:
        """6 N D, if the training tokens are known (see `training_flops` for what is left out)."""
        if self.training_tokens is None:
            return None
        return training_flops(self.parameters, self.training_tokens)


# SmolLM2: Ben Allal et al. (2025) and its model card, 2 trillion tokens. GPT-2: Radford et al.
# (2019), who give no number of tokens. GPT-3: Brown et al. (2020), tables 2.1 and D.1.
# Llama 2: Touvron et al. (2023), table 2, GPU hours of an A100 with 80 GB.
MODELS = (
    Model("SmolLM2-135M", 134_515_008, 30, 3, 64, 8192, 2e12),
    Model("GPT-2 XL", 1_557_611_200, 48, 25, 64, 1024),
    Model("Llama 2 7B", 6_738_415_616, 32, 32, 128, 4096, 2e12, None, 184_320),
    Model("Llama 2 70B", 68_976_648_192, 80, 8, 128, 4096, 2e12, None, 1_720_320),
    Model("GPT-3 175B", 174_604_259_328, 96, 96, 128, 2048, 300e9, 3.14e23),
)


def cost_rows(
    throughput: float, utilisation: float, rate: float, models: Sequence[Model] = MODELS
) -> list[dict[str, object]]:
    """The table of costs, a row for each model; None where the training tokens are not known.

    throughput: FLOP/s that one GPU can do, such as A100_BF16.
    utilisation: the share of it that is used; Llama 2's published hours imply 0.39 and 0.43.
    rate: the price of an hour of one GPU, in any currency.
    Raises AdaptlabError for a throughput, share or rate that cannot be.
    """
    if rate < 0:
        raise AdaptlabError(f"the price of a GPU hour cannot be {rate}")
    return [_row(model, throughput, utilisation, rate) for model in models]


def _row(model: Model, throughput: float, utilisation: float, rate: float) -> dict[str, object]:
    memory = {
        f"{name} (GB)": weight_bytes(model.parameters, bits) / 1e9
        for name, bits in (("fp32", 32), ("bf16", 16), ("int8", 8), ("int4", 4))
    }
    cache = cache_bytes(model.layers, model.kv_heads, model.head_width)
    hours = price = used = None
    if model.flops is not None:
        hours = gpu_hours(model.flops, throughput, utilisation)
        price = hours * rate
        if model.published_a100_hours is not None:
            used = implied_utilisation(model.flops, model.published_a100_hours, A100_BF16)
    return {
        "model": model.name,
        "parameters": model.parameters,
        **memory,
        "training (GB)": training_bytes(model.parameters) / 1e9,
        "cache (kB a token)": cache / 1e3,
        "cache of a full context (GB)": cache * model.context_length / 1e9,
        "training tokens": model.training_tokens,
        "FLOPs": model.flops,
        "published FLOPs": model.published_flops,
        "GPU hours": hours,
        "published A100 hours": model.published_a100_hours,
        "utilisation of the A100": used,
        "price": price,
    }
