"""AdamW whose state takes less of a GPU's memory: 8 bits a number, or pages that can be moved out.

    bytes of state a trained weight      mean    mean square
    AdamW                                   4              4
    AdamW8bit                               1              1      + 4 / 256 each, the blocks' absmax
    PagedAdamW                              4              4      on the GPU only while it is needed

8 bits: every 256 numbers have a scale of their own, and the levels lie close together near zero
(Dettmers et al., 2022). Pages: the driver moves state to the CPU's memory when a long text needs
the GPU's (Dettmers et al., 2023); this helps against a peak, and costs time when it happens.

A setting is called with the weights to train and returns torch's kind of optimizer, with a
learning rate of 1: what the training loop multiplies with its schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import bitsandbytes as bnb
import torch
from torch import nn

from adaptlab.errors import AdaptlabError

SMALLEST = 4096  # numbers; the state of a smaller tensor stays in 32 bits


@dataclass(frozen=True)
class AdamW8bit:
    """AdamW with its two moments in 8 bits, for tensors of at least 4096 numbers.

    betas, eps: as in Adam. Calling it raises AdaptlabError where these cannot be, for weights that
    are not in 16 or 32 bits, or none.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __call__(
        self, weights: Mapping[str, nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        return _made(bnb.optim.AdamW8bit, self, weights, weight_decay, min_8bit_size=SMALLEST)


@dataclass(frozen=True)
class PagedAdamW:
    """AdamW in 32 bits whose state lies in pages that may leave the GPU.

    On a CPU there is nowhere for pages to go. bitsandbytes warns there and goes on unpaged; this
    refuses instead, so that nothing is called paged that is not. Calling it raises AdaptlabError
    for weights on anything but a GPU, and where AdamW8bit does.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __call__(
        self, weights: Mapping[str, nn.Parameter], weight_decay: float
    ) -> torch.optim.Optimizer:
        for weight in weights.values():
            if not paged_is_real(weight.device):
                raise AdaptlabError(why_not_paged(weight.device))
        return _made(bnb.optim.PagedAdamW32bit, self, weights, weight_decay)


def paged_is_real(device: torch.device) -> bool:
    """Whether an optimizer's pages can be moved out of this device's memory."""
    return device.type == "cuda"


def why_not_paged(device: torch.device) -> str:
    """In one line, for a page that wants to say it; empty where pages are real."""
    if paged_is_real(device):
        return ""
    return (
        f"paged optimizers move their state from a GPU's memory to the CPU's; on {device.type} "
        "there is nothing to move: use AdamW or AdamW8bit"
    )


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the optimizer's tensors, each storage once: codebooks are shared."""
    tensors = [
        value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def _made(
    kind: type[torch.optim.Optimizer],
    spec: AdamW8bit | PagedAdamW,
    weights: Mapping[str, nn.Parameter],
    weight_decay: float,
    **options: int,
) -> torch.optim.Optimizer:
    if not weights:
        raise AdaptlabError("nothing to optimise: there are no weights")
    for name, weight in weights.items():
        if weight.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            found = str(weight.dtype).removeprefix("torch.")
            raise AdaptlabError(f"{name} is {found}; 8-bit and paged AdamW take 16 or 32 bits")
    settings = {"lr": 1.0, "betas": spec.betas, "eps": spec.eps, "weight_decay": weight_decay}
    try:
        return kind(list(weights.values()), **settings, **options)
    except ValueError as error:
        raise AdaptlabError(f"{type(spec).__name__} cannot be built: {error}") from error
