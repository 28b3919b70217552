"""A LoRA adapter on disk, in the peft library's format: each reads what the other wrote.

    <folder>/adapter_config.json          rank, alpha, which layers
    <folder>/adapter_model.safetensors    base_model.model.<layer>.lora_A.weight   (rank, in)
                                          base_model.model.<layer>.lora_B.weight   (out, rank)

The base is not in it: an adapter of a few megabytes means something only beside its own base.
"""

import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import lora
from adaptlab.tuning.lora import Lora
from adaptlab.tuning.lora_targets import shortest

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KEY_OF = "base_model.model.{}.lora_{}.weight"
KEY = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
# peft's settings that are read here, or decide nothing once an adapter is trained: which layers it
# has is told by its weights.
READ = {
    "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "init_lora_weights", "task_type",
    "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "runtime_config",
    "megatron_config", "megatron_core", "qalora_group_size", "eva_config",
}  # fmt: skip
# How peft may have drawn A and B. Its other ways (PiSSA, OLoRA, ...) change the base as well.
STARTS = (True, False, "gaussian", "orthogonal", "eva")


def save(model: PreTrainedModel, folder: str | Path, name: str | None = None) -> None:
    """Write an adapter, whole or not at all, as `peft.PeftModel.from_pretrained(base, folder)`
    reads it.

    name: which one; by default the active one. Other files in the folder stay.
    Raises AdaptlabError for a name the model does not have, if none is active, or if the folder
    cannot be written; an adapter that was there before is kept.
    """
    folder, name = Path(folder), lora.active(model) if name is None else name
    lora.check_known(model, name)
    if name is None:
        raise AdaptlabError("no adapter is active: name the one to save")
    layers = lora.layers_with_adapters(model).items()
    chosen = {path: layer for path, layer in layers if name in layer.settings}
    settings = next(iter(chosen.values())).settings[name]
    tensors = {}
    for path, layer in chosen.items():
        for letter, weights in (("A", layer.lora_A), ("B", layer.lora_B)):
            tensors[KEY_OF.format(path, letter)] = weights[name].detach().cpu().contiguous()
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=getattr(model.config, "_name_or_path", "") or None,
        r=settings.rank,
        lora_alpha=_whole(settings.effective_alpha),
        lora_dropout=settings.dropout,
        use_rslora=settings.rslora,
        target_modules=shortest(model, list(chosen)),
        inference_mode=True,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            config.save_pretrained(made)
            save_file(tensors, Path(made, WEIGHTS), metadata={"format": "pt"})
            for file in (WEIGHTS, CONFIG):  # both are whole by now
                os.replace(Path(made, file), folder / file)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            folder.rmdir()  # if it is empty
        raise AdaptlabError(f"the adapter could not be written: {_line(error)}") from error


def load(model: PreTrainedModel, folder: str | Path, name: str = "default") -> int:
    """Put an adapter that was saved here, or by peft, into the model and make it the active one.

    As with `lora.add`, its A and B are trained from then on, in fp32, and nothing else; returns how
    many parameters they have.
    Raises AdaptlabError, and leaves the model as it was, if a file is missing or damaged, the
    adapter is of a kind that is not read here, or of another base, or what `lora.add` refuses.
    """
    folder = Path(folder)
    settings = _settings(folder)
    tensors = _tensors(folder)
    layers = _layers(model, folder, settings, tensors)
    count = lora.attach(model, layers, settings, name)
    for path, layer in lora.layers_with_adapters(model).items():
        if name in layer.settings:
            for letter, weights in (("A", layer.lora_A), ("B", layer.lora_B)):
                weights[name].data.copy_(tensors[path, letter])
    return count


def _settings(folder: Path) -> Lora:
    """What the config says, if all of it can be done here."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdaptlabError(f"{folder} has no readable {CONFIG}: {_line(error)}") from error
    if kind != "LORA":
        raise AdaptlabError(f"the adapter in {folder} is of the kind {kind}; only LORA is read")
    plain = LoraConfig().to_dict()
    for key, value in config.items():
        if key not in READ and value and value != plain.get(key):
            raise AdaptlabError(f"the adapter in {folder} has {key} = {value}, which is not read")
    if (start := config.get("init_lora_weights", True)) not in STARTS:
        raise AdaptlabError(
            f"the adapter in {folder} was started by {start}, which changes its base as well: "
            "have peft convert it to a plain LoRA (path_initial_model_for_weight_conversion)"
        )
    try:
        rank, alpha = config["r"], config["lora_alpha"]
        dropout, rslora = config.get("lora_dropout", 0.0), config.get("use_rslora", False)
        return Lora(rank, alpha, rslora=bool(rslora), dropout=dropout)
    except (KeyError, TypeError) as error:
        raise AdaptlabError(f"{folder} has no readable {CONFIG}: {_line(error)}") from error


def _tensors(folder: Path) -> dict[tuple[str, str], torch.Tensor]:
    """The weights by layer and letter, A or B."""
    try:
        stored = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise AdaptlabError(f"{folder} has no readable {WEIGHTS}: {_line(error)}") from error
    found = {}
    for key, tensor in stored.items():
        if not (match := KEY.fullmatch(key)):
            raise AdaptlabError(f"{folder / WEIGHTS} holds {key}: no LoRA of a linear layer")
        if not tensor.isfinite().all():
            raise AdaptlabError(f"{key} in {folder / WEIGHTS} has values that are not numbers")
        found[match[1], match[2]] = tensor
    return found


def _layers(
    model: nn.Module, folder: Path, settings: Lora, tensors: dict[tuple[str, str], torch.Tensor]
) -> list[str]:
    """The layers the adapter is for, checked against those the model has."""
    linears = lora.linears(model)
    for (path, letter), tensor in tensors.items():
        key, layer = KEY_OF.format(path, letter), linears.get(path)
        if layer is None:
            raise AdaptlabError(f"{folder} is for another base: the model has no layer for {key}")
        down, up = (settings.rank, layer.in_features), (layer.out_features, settings.rank)
        wanted = down if letter == "A" else up
        if tuple(tensor.shape) != wanted:
            raise AdaptlabError(
                f"{folder} is for another base: {key} is {tuple(tensor.shape)}, "
                f"the model needs {wanted}"
            )
    layers = [path for path in linears if (path, "A") in tensors or (path, "B") in tensors]
    for path in layers:
        for letter in "AB":
            if (path, letter) not in tensors:
                raise AdaptlabError(f"{folder / WEIGHTS} lacks {KEY_OF.format(path, letter)}")
    if not layers:
        raise AdaptlabError(f"{folder / WEIGHTS} holds no weights")
    return layers


def _whole(number: float) -> int | float:
    return int(number) if number == int(number) else number


def _line(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
