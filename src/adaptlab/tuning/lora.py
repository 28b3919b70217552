"""LoRA: a frozen weight, and beside it a product of two small, trained ones (Hu et al., 2021).

        x  (..., in)
        |
        +-------------------+
        |                   |
        |               A (rank, in)      drawn at random
     W (out, in)            |  (..., rank)
      frozen            B (out, rank)     starts at zero: at first nothing changes
        |                   |
        |                 * scale         alpha / rank, or alpha / sqrt(rank): rsLoRA
        +<------ plus ------+
        |
        y  (..., out)   =   W x + scale B A x   =   (W + scale B A) x      <- what `merge` makes

`add` puts adapters into a model, several side by side; `use` switches between them. Only the active
one is computed and trained. Saving and loading: lora_files.py.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.models import trainable_parameters
from adaptlab.tuning.lora_targets import EVERY_LINEAR, matching


@dataclass(frozen=True)
class Lora:
    """What an adapter is like.

    rank: of B A, the update. alpha: how strongly it counts, 2 * rank by default.
    targets: "all-linear", every linear layer of the decoder; or names and shell patterns of full
        names or their ends: "q_proj", "mlp.*", "layers.2?.self_attn.[qv]_proj".
    rslora: scale by 1 / sqrt(rank), so that the update does not shrink as the rank grows
        (Kalajdzievski, 2023). dropout: the share of the adapter's inputs set to 0 in training.
    Raises AdaptlabError for a rank below 1, an alpha not above 0, a dropout not in [0, 1).
    """

    rank: int = 8
    alpha: float | None = None
    targets: str | tuple[str, ...] = EVERY_LINEAR
    rslora: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not (isinstance(self.rank, int) and self.rank >= 1):
            raise AdaptlabError(f"a LoRA's rank is a whole number, 1 or more, not {self.rank!r}")
        if self.alpha is not None and not 0 < self.alpha < math.inf:
            raise AdaptlabError(f"a LoRA's alpha must be above 0, not {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise AdaptlabError(f"a LoRA's dropout is a share below 1, not {self.dropout}")

    effective_alpha = property(lambda self: 2 * self.rank if self.alpha is None else self.alpha)

    @property
    def scale(self) -> float:
        """The factor of B A."""
        return self.effective_alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class LoraLinear(nn.Module):
    """A frozen linear layer (or bitsandbytes' Linear4bit) and its adapters, of which one is active.

    Their weights are the parameters lora_A.<name> (rank, in) and lora_B.<name> (out, rank).
    """

    def __init__(self, base: nn.Linear):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A, self.lora_B = nn.ParameterDict(), nn.ParameterDict()
        self.in_features, self.out_features = base.in_features, base.out_features
        self.settings: dict[str, Lora] = {}
        self.active: str | None = None
        self.merged = False
        if hasattr(base, "support_avx512bf16_for_cpu"):
            # Else evaluation would repack a 4-bit layer, for good, into a layout with no way back,
            # and the layers below it would train on wrong gradients.
            base.support_avx512bf16_for_cpu = False
        self.train(base.training)

    # Code that asks a linear layer for its weight, or for the weight's format, finds the base's.
    weight = property(lambda self: self.base_layer.weight)
    bias = property(lambda self: self.base_layer.bias)

    def put(self, name: str, settings: Lora) -> None:
        """One more adapter: A kaiming-uniform, B zero, both fp32."""
        A = torch.empty(settings.rank, self.in_features)
        B = torch.zeros(self.out_features, settings.rank)
        nn.init.kaiming_uniform_(A, a=math.sqrt(5))  # on the CPU: the same numbers on a GPU
        self.lora_A[name] = nn.Parameter(A.to(self.weight.device))
        self.lora_B[name] = nn.Parameter(B.to(self.weight.device))
        self.settings[name] = settings

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (..., in)
        y = self.base_layer(x)  # (..., out)
        if self.merged or self.active not in self.settings:
            return y
        A, B = self.lora_A[self.active], self.lora_B[self.active]
        settings = self.settings[self.active]
        if x.dtype is not A.dtype and not torch.is_autocast_enabled(x.device.type):
            x = x.to(A.dtype)  # under autocast the products choose their format themselves
        if settings.dropout:
            x = F.dropout(x, settings.dropout, self.training)
        h = F.linear(x, A) * settings.scale  # (..., rank): scaled here, where it is small
        if h.dtype is y.dtype:  # product and sum in one pass over y
            rows = y.reshape(-1, self.out_features)
            return torch.addmm(rows, h.reshape(len(rows), -1), B.T).view(y.shape)
        return (y + F.linear(h, B)).to(y.dtype)

    def delta(self, name: str) -> torch.Tensor:
        """What the adapter adds to the base's weight: scale B A, (out, in), fp32."""
        A, B = self.lora_A[name].float(), self.lora_B[name].float()
        return (B @ A) * self.settings[name].scale

    @torch.no_grad()
    def merge(self) -> None:
        """Fold the active adapter into the base's weight: summed in fp32, rounded once."""
        weight, delta, before = self.weight, self.delta(self.active), self.weight.clone()
        weight.copy_(before.float() + delta)
        # Taking delta off again brings back nearly all weights; the few it misses, because the sum
        # was rounded more coarsely than they were, are kept.
        missed = (weight.float() - delta).to(weight.dtype) != before
        self._missed = missed.nonzero(as_tuple=True), before[missed]
        self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """The base's weight as it was before `merge`."""
        weight, (places, values) = self.weight, self._missed
        weight.copy_(weight.float() - self.delta(self.active))
        weight[places] = values.to(weight)
        del self._missed
        self.merged = False

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: {each}" for name, each in self.settings.items())


def add(model: PreTrainedModel, settings: Lora, name: str = "default") -> int:
    """Put an adapter into the model, in place, and make it the active one.

    All but its A and B is frozen from then on. A layer may have several adapters. Returns how many
    parameters are trained. A is drawn from torch's generator. Raises AdaptlabError, and leaves the
    model as it was, for a name that is taken or cannot be a part of parameter names (no dots), a
    target that matches no linear layer, a rank above a layer's width, or while one is merged.
    """
    return attach(model, matching(model, linears(model), settings.targets), settings, name)


def attach(model: PreTrainedModel, layers: Sequence[str], settings: Lora, name: str) -> int:
    """`add` for layers that are given by their full names."""
    found = linears(model)
    _check_unmerged(model)
    if name in adapters(model):
        raise AdaptlabError(f"the model has an adapter {name!r} already: take another name")
    if not name or "." in name or hasattr(nn.ParameterDict(), name):
        raise AdaptlabError(f"{name!r} cannot be an adapter's name: take a word without dots")
    for layer in layers:
        _check_fits(layer, found[layer], settings.rank)
    parts = [found[layer] for layer in layers]
    made = {id(p): p if isinstance(p, LoraLinear) else LoraLinear(p) for p in parts}
    for layer in made.values():
        layer.put(name, settings)
    _exchange(model, made)
    model.requires_grad_(False)
    use(model, name)
    return trainable_parameters(model)


def use(model: PreTrainedModel, name: str | None) -> None:
    """Switch to another adapter; None: the base alone. Only the active one's A and B are trained.

    Raises AdaptlabError for a name the model does not have, or while an adapter is merged.
    """
    if name is not None:
        check_known(model, name)
    _check_unmerged(model)
    for layer in layers_with_adapters(model).values():
        layer.active = name
        _train_only(layer, name)


def merge(model: PreTrainedModel) -> None:
    """Fold the active adapter into the base's weights, in place: the model is as fast as its base.

    While it is merged it is not trained, and `add` and `use` are refused. The sum is taken in fp32
    and rounded once to the weight's format. Raises AdaptlabError, and changes nothing, if none is
    active, one is merged already, or a weight is quantised or shared with another layer.
    """
    _check_unmerged(model)
    if (name := active(model)) is None:
        raise AdaptlabError("no adapter is active: there is nothing to merge")
    layers = layers_with_adapters(model).items()
    chosen = {path: layer for path, layer in layers if name in layer.settings}
    times = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    for path, layer in chosen.items():
        if hasattr(layer.weight, "quant_state") or not layer.weight.is_floating_point():
            raise AdaptlabError(
                f"{path} is quantised: adding to its codes means rounding again, so the result is "
                "another model; dequantise to 16 bits first, or keep the adapter beside it"
            )
        if times[id(layer.weight)] > 1:
            raise AdaptlabError(f"{path} shares its weight with another layer: it cannot be merged")
    for layer in chosen.values():
        layer.merge()
        _train_only(layer, None)


def unmerge(model: PreTrainedModel) -> None:
    """Take the merged adapter out of the weights again: they are exactly what they were.

    `merge` kept those that a subtraction does not bring back, so this holds in bf16 too, on the
    same device and number of threads. Raises AdaptlabError if no adapter is merged.
    """
    merged = [layer for layer in layers_with_adapters(model).values() if layer.merged]
    if not merged:
        raise AdaptlabError("no adapter is merged")
    for layer in merged:
        layer.unmerge()
        _train_only(layer, layer.active)


def remove(model: PreTrainedModel) -> None:
    """Put the plain linear layers back, with their weights as they are: merged if they were merged.

    The adapters are gone; `save_pretrained` writes the model like any other. Raises AdaptlabError
    if it has none.
    """
    check_known(model)
    _exchange(model, {id(p): p.base_layer for p in layers_with_adapters(model).values()})


def adapters(model: nn.Module) -> list[str]:
    """The names of the model's adapters, in the order in which they are met."""
    layers = layers_with_adapters(model).values()
    return list(dict.fromkeys(name for each in layers for name in each.settings))


def active(model: nn.Module) -> str | None:
    """The name of the active adapter; None where the base alone is computed."""
    return next((layer.active for layer in layers_with_adapters(model).values()), None)


def layers_with_adapters(model: nn.Module) -> dict[str, LoraLinear]:
    """The layers that have any, by their full names."""
    return {name: part for name, part in model.named_modules() if isinstance(part, LoraLinear)}


def linears(model: nn.Module) -> dict[str, nn.Module]:
    """Linear layers, plain or with adapters, by their full names."""
    bases = {id(layer.base_layer) for layer in layers_with_adapters(model).values()}
    both = {n: p for n, p in model.named_modules() if isinstance(p, nn.Linear | LoraLinear)}
    return {name: part for name, part in both.items() if id(part) not in bases}


def check_known(model: nn.Module, name: str | None = None) -> None:
    """Raises AdaptlabError unless the model has adapters, and one of that name."""
    if not (known := adapters(model)):
        raise AdaptlabError("the model has no adapters: lora.add puts one in")
    if name is not None and name not in known:
        raise unknown("adapter", name, known)


def _exchange(model: nn.Module, new: dict[int, nn.Module]) -> None:
    """Put other modules in the places of some, which are given by their ids."""
    for parent in list(model.modules()):
        for key, child in parent._modules.items():
            parent._modules[key] = new.get(id(child), child)


def _train_only(layer: LoraLinear, name: str | None) -> None:
    for weights in (layer.lora_A, layer.lora_B):
        for key, weight in weights.items():
            weight.requires_grad_(key == name)


def _check_unmerged(model: nn.Module) -> None:
    if any(layer.merged for layer in layers_with_adapters(model).values()):
        raise AdaptlabError(f"the adapter {active(model)!r} is merged: unmerge it first")


def _check_fits(name: str, layer: nn.Module, rank: int) -> None:
    width = min(layer.in_features, layer.out_features)
    if rank > width:
        raise AdaptlabError(f"rank {rank} is above the width of {name}, {width}")
    if getattr(getattr(layer.weight, "quant_state", None), "packing_format_for_cpu", False):
        raise AdaptlabError(
            f"{name} was repacked for use only, and no gradient goes through it: load the model "
            "again, and add the adapter before its first use"
        )
