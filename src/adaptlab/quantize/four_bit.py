r"""The base of QLoRA: linear weights in 4 bits, by bitsandbytes (Dettmers et al., 2023).

    embeddings      16 bits a number        never multiplied, only looked up: as they were
    linear layers    4 bits a number      + 1 absmax a block of 64
                                            32 bits each:       0.5 bits a number
                                             8 bits, doubly:    0.127 bits a number
    norms, head     16 bits a number

    x (bf16) ----> x W'^T ----> y           W' = dequantised(W), in bf16, made for this one
    dy/dx    <---- dy W'  <---- dy          product and thrown away; W itself never changes

Nothing is trained in 4 bits. The gradient passes through W', to adapters that are in 16 or 32.

`prepare_model_for_kbit_training` of peft is not called: it makes embeddings, norms and head fp32,
which for a small model with a large vocabulary costs more than 4 bits save.
"""

import copy
import importlib
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from adaptlab import models
from adaptlab.errors import AdaptlabError, unknown
from adaptlab.runtime import Runtime, detect

KINDS = ("nf4", "fp4")
# What transformers leaves on a quantised model, so that it can be neither cast nor saved as plain.
MARKS = ("is_loaded_in_4bit", "is_quantized", "hf_quantizer", "quantization_method")


def load_4bit(
    name: str,
    revision: str | None = None,
    runtime: Runtime | None = None,
    double: bool = True,
    kind: str = "nf4",
) -> models.Loaded:
    """Load a causal language model with its linear layers, but the head, in 4 bits.

    name, revision, runtime: as for `models.load`. double: the blocks' absmax values are quantised
    in their turn. kind: "nf4", levels at quantiles of a normal distribution, or "fp4".

    The model can be trained through at any time (see `keep_differentiable`).
    Raises AdaptlabError where the device or the installation cannot do it, for another kind, and
    for weights that are not numbers.
    """
    runtime = runtime or detect()
    _check_kind(kind)
    check_device(runtime.device)
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=runtime.dtype,
    )
    loaded = models.load(name, revision, runtime, quantization_config=config)
    keep_differentiable(loaded.model)
    _check_numbers(loaded.model)
    return loaded


def check_device(device: torch.device) -> None:
    """Raises AdaptlabError, in one line, where bitsandbytes cannot keep 4-bit weights."""
    bnb = _bitsandbytes()
    if device.type not in ("cpu", "cuda"):
        raise AdaptlabError(f"4-bit weights work on a CPU or an NVIDIA GPU, not on {device.type}")
    able = torch.cpu.get_capabilities()
    if device.type == "cpu" and able.get("architecture") == "x86_64" and not able.get("avx2"):
        raise AdaptlabError("4-bit weights need a CPU with AVX2; this one has none: use LoRA")
    try:
        there = bnb.functional.quantize_4bit(torch.ones(1, 64, device=device), quant_type="nf4")
        back = bnb.functional.dequantize_4bit(*there)
    except Exception as error:  # a native library that is missing raises whatever it likes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AdaptlabError(f"bitsandbytes fails on this {device.type}: {reason}") from error
    if not torch.equal(back.cpu(), torch.ones(1, 64)):
        raise AdaptlabError(f"bitsandbytes computes wrongly on this {device.type}")


def keep_differentiable(model: nn.Module) -> int:
    """Forbid the packed format, through which no gradient passes; returns the 4-bit layers.

    On a CPU with AVX512-BF16, bitsandbytes (0.50) repacks a weight for good when it is first used
    in evaluation mode, for a kernel without a derivative. Training after that goes on, and looks
    well: only the gradient of everything below is missing or wrong.
    Raises AdaptlabError for a weight that is packed already.
    """
    found = [layer for _, layer in _four_bit_layers(model)]
    for layer in found:
        _check_not_packed(layer)
        layer.support_avx512bf16_for_cpu = False
    return len(found)


def dequantised(model: PreTrainedModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A copy with plain linear layers of the same values: what adapters can be merged into.

    dtype: of the new weights; by default the one that the 4-bit layers compute in.
    A model of peft keeps layers that expect 4 bits under them: dequantise its base, and load the
    adapter on that.
    Raises AdaptlabError if no layer is in 4 bits, or one was packed for inference.
    """
    functional = _bitsandbytes().functional
    made = copy.deepcopy(model)
    layers = list(_four_bit_layers(made))
    if not layers:
        raise AdaptlabError("no layer of the model is in 4 bits")
    for name, layer in layers:
        _check_not_packed(layer)
        weight = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        weight = weight.to(dtype or layer.compute_dtype or weight.dtype)
        made.set_submodule(name, _linear(weight, layer))
    for mark in MARKS:
        vars(made).pop(mark, None)
    vars(getattr(made, "config", made)).pop("quantization_config", None)
    return made


def requantised(model: PreTrainedModel, double: bool = True, kind: str = "nf4") -> PreTrainedModel:
    """A copy of a plain model with its linear layers, but the head, in 4 bits.

    With an adapter merged into `model` this is what 4 bits leave of it: the merged weights lie on
    no level of theirs, so they are rounded once more.
    Raises AdaptlabError where the device cannot do it, for another kind, for a model without
    plain linear layers, and for weights that are not numbers.
    """
    _check_kind(kind)
    check_device(model.device)
    bnb, made = _bitsandbytes(), copy.deepcopy(model)
    layers = [(n, m) for n, m in made.named_modules() if type(m) is nn.Linear]
    layers = [(name, layer) for name, layer in layers if layer is not made.get_output_embeddings()]
    if not layers:
        raise AdaptlabError("the model has no plain linear layers under its head")
    for name, layer in layers:
        small = bnb.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=layer.weight.dtype,
            compress_statistics=double,
            quant_type=kind,
            device="meta",
        )
        small.weight = bnb.nn.Params4bit(
            layer.weight.data, compress_statistics=double, quant_type=kind, module=small
        ).to(layer.weight.device)  # moving it is what quantises it
        small.bias = layer.bias
        made.set_submodule(name, small.train(layer.training))
    keep_differentiable(made)
    _check_numbers(made)
    return made


def _bitsandbytes() -> ModuleType:
    """The library, when it is needed: it takes a second to load."""
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise AdaptlabError(
            "4-bit weights need bitsandbytes, which is missing here: pip install bitsandbytes"
        ) from error


def _four_bit_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    kind = _bitsandbytes().nn.Linear4bit
    return ((name, part) for name, part in model.named_modules() if isinstance(part, kind))


def _linear(weight: torch.Tensor, like: nn.Module) -> nn.Linear:
    """A frozen linear layer of this weight (out, in), with the other one's bias."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if like.bias is not None:
        made.bias = nn.Parameter(like.bias.data.to(weight.dtype), requires_grad=False)
    return made.train(like.training)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise unknown("4-bit format", kind, KINDS)


def _check_not_packed(layer: nn.Module) -> None:
    if getattr(layer.weight.quant_state, "packing_format_for_cpu", False):
        raise AdaptlabError(
            "4-bit weights were packed for inference when the model was evaluated: load it again, "
            "with load_4bit"
        )


def _check_numbers(model: nn.Module) -> None:
    """One weight that is not a number spoils its block's absmax, and doubly all blocks' mean."""
    for name, layer in _four_bit_layers(model):
        state = layer.weight.quant_state
        if not torch.isfinite(state.offset if state.nested else state.absmax).all():
            raise AdaptlabError(f"the model's weights {name} hold something that is not a number")
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise AdaptlabError(f"the model's weights {name} hold something that is not a number")
