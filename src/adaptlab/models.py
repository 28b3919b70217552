"""A name becomes a model and its tokenizer: the bundled one, or any on the Hub.

The bundled model is a GGUF file inside a package. It is converted once to safetensors, under
the cache folder, and loaded from there.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import torch
import xxhash
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.utils import httpx as hub_http
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from adaptlab import paths, sources
from adaptlab.errors import AdaptlabError
from adaptlab.runtime import Runtime, detect

BUNDLED = {"smollm2-135m-instruct": "SmolLM2-135M-Instruct.Q4_1.gguf"}
SHORT = 256  # tokens
CHECKED = ("model.safetensors", "config.json", "tokenizer.json")  # files of a converted model
MODEL_FILES = {".safetensors", ".bin", ".json", ".model", ".txt"}  # weights, tokenizer, settings


class Loaded(NamedTuple):
    """A model in evaluation mode, and its tokenizer (right padding)."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load(
    name: str,
    revision: str | None = None,
    runtime: Runtime | None = None,
    quantization_config: BitsAndBytesConfig | None = None,
) -> Loaded:
    """Load a causal language model by name.

    name: a bundled name ("smollm2-135m-instruct"), a folder, or a Hub name ("gpt2").
    revision: a Hub commit, branch or tag. Without it the commit that is newest at the first load
        is written down in the cache (revisions.json) and used from then on.
    runtime: device and dtype; by default those of `runtime.detect()`.
    quantization_config: how bitsandbytes makes the weights smaller as they are read; see
        `adaptlab.quantize.four_bit`, which also keeps such a model trainable.

    Code from the Hub is never run. Raises AdaptlabError where the model cannot be had.
    """
    runtime = runtime or detect()
    if name in BUNDLED:
        where, options = _converted(name), {}
    elif Path(name).is_dir():
        where, options = Path(name), {}
    else:
        where, options = name, _hub_options(name, revision)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
        if quantization_config:  # each weight goes to its device as it is read
            options |= {"quantization_config": quantization_config, "device_map": runtime.device}
        model = AutoModelForCausalLM.from_pretrained(where, dtype=runtime.dtype, **options)
    except (OSError, ValueError) as error:
        raise _cannot_load(name, error) from error
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    context = getattr(model.config, "max_position_embeddings", None)
    if context:  # some files of tokenizers do not say it
        tokenizer.model_max_length = min(tokenizer.model_max_length, context)
    return Loaded(model.to(runtime.device).eval(), tokenizer)


def identity(name: str, revision: str | None = None) -> str:
    """What `load` would load, in one line and without loading it: the name and what fixes it.

    A Hub model is fixed by its commit; the bundled one (which is converted if it is not yet) and a
    folder by a checksum of their weights, tokenizer and settings.
    Raises AdaptlabError where a Hub model's commit cannot be had.
    """
    if name in BUNDLED:
        return f"{name} xxh3 {_fingerprint(_kept_checksums(name))}"
    if Path(name).is_dir():
        files = sorted(file for file in Path(name).iterdir() if file.suffix in MODEL_FILES)
        return f"{name} xxh3 {_fingerprint({file.name: _xxh3(file) for file in files})}"
    options = _hub_options(name, revision)
    if options.get("local_files_only"):  # its file lies in a folder named by the commit
        file = try_to_load_from_cache(name, "config.json", revision=revision)
        return f"{name} commit {Path(file).parent.name}"
    return f"{name} commit {options['revision']}"


def trainable_parameters(model: nn.Module) -> int:
    """The number of scalars that training would change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def output_head(model: PreTrainedModel) -> nn.Module:
    """What turns hidden states into logits. Raises AdaptlabError for a model that has none."""
    head = model.get_output_embeddings()
    if head is None:
        raise AdaptlabError(f"{type(model).__name__} has no output head: load it as a causal LM")
    return head


def logits_at(
    model: PreTrainedModel,
    rows: torch.Tensor,
    columns: torch.Tensor,
    float32_head: bool = False,
    **inputs,
) -> torch.Tensor:
    """The model's logits at chosen positions only, (N, vocabulary).

    rows, columns: (N,) sequence in the batch and position in `inputs["input_ids"]` (B, T), or in
        `inputs["inputs_embeds"]` (B, T, D).
    The output head sees just those N hidden states: with a vocabulary of 49,152 the logits that
    nobody reads would cost a fifth of the forward and most of its memory. Positions are counted
    from the end, so that virtual tokens, which a soft prompt puts in front, do no harm.
    float32_head: multiply by the head in fp32. A bf16 logit near 16 is rounded to steps of 0.125,
        more than what often decides between two answers.
    """
    fed = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
    length = fed.shape[1]
    inner = getattr(model, "module", model)  # what DistributedDataParallel wraps
    head = output_head(inner)

    def select(head: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        hidden = args[0]  # (B, virtual + T, D)
        return (hidden[rows, columns + hidden.shape[1] - length][None],)  # (1, N, D)

    def in_float32(
        head: nn.Linear, args: tuple[torch.Tensor, ...], _: torch.Tensor
    ) -> torch.Tensor:
        bias = None if head.bias is None else head.bias.float()
        return nn.functional.linear(args[0].float(), head.weight.float(), bias)

    hooks = [head.register_forward_pre_hook(select)]
    if float32_head and type(head) is nn.Linear:
        hooks.append(head.register_forward_hook(in_float32))
    try:
        return model(**inputs).logits[0]  # (N, V)
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def attention_for(model: PreTrainedModel, longest: int) -> Iterator[None]:
    """The attention that is fastest to train with on texts of at most `longest` tokens.

    On a CPU torch's fused attention is slow on the way back; for short texts, whose weights fit
    into memory anyway, plain matrix products are faster.
    """
    before = model.config._attn_implementation
    plain = model.device.type == "cpu" and longest <= SHORT
    model.set_attn_implementation("eager" if plain else before)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _converted(name: str) -> Path:
    """The folder of a bundled model as safetensors, made now if it is missing or damaged."""
    folder = paths.cache() / "models" / name
    if not _is_sound(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_suffix(".lock")):
            if not _is_sound(folder):  # another process may have made it meanwhile
                _convert(name, folder)
    return folder


def _convert(name: str, folder: Path) -> None:
    gguf = sources.path(name, BUNDLED[name])
    # fp32: a model that stays marked as quantised can be neither saved nor trained.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    plain = type(model)(_plain_config(model.config, name))
    plain.load_state_dict(model.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            plain.save_pretrained(made)
            tokenizer.save_pretrained(made)
            Path(made, "checksums.json").write_text(json.dumps(_checksums(Path(made))))
            shutil.rmtree(folder, ignore_errors=True)
            Path(made).rename(folder)
            Path(made).mkdir()  # for TemporaryDirectory to remove
    except OSError as error:
        raise AdaptlabError(f"cannot store the converted model in {folder}: {error}") from error


def _plain_config(config: AutoConfig, name: str) -> AutoConfig:
    settings = config.to_dict()
    settings.pop("quantization_config", None)
    return type(config)(**settings | {"_name_or_path": name})


def _is_sound(folder: Path) -> bool:
    """Whether the converted files are all there and unchanged since they were written."""
    try:
        return json.loads((folder / "checksums.json").read_text()) == _checksums(folder)
    except (OSError, ValueError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    """xxh3 of each file: it finds damage, as sha256 would, in a twentieth of the time."""
    return {file: _xxh3(folder / file) for file in CHECKED}


def _kept_checksums(name: str) -> dict[str, str]:
    """The checksums that a bundled model's files should have; `load` mends those that have not."""
    try:
        file = paths.cache() / "models" / name / "checksums.json"
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return _checksums(_converted(name))


def _fingerprint(checksums: dict[str, str]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(checksums, sort_keys=True).encode())


def _xxh3(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def _hub_options(name: str, revision: str | None) -> dict[str, Any]:
    """Which commit of a Hub model to load: that of `revision`, or the one pinned at first use.

    Where the Hub does not answer, its own cache on this machine is used as it is.
    """
    file = paths.cache() / "revisions.json"
    try:
        pinned = json.loads(file.read_text())
    except (OSError, ValueError):  # none yet, or damaged: pin anew
        pinned = {}
    key = f"{name}@{revision}" if revision else name
    if key not in pinned:
        try:
            pinned[key] = HfApi().model_info(name, revision=revision, timeout=10).sha
        except (hub_http.HTTPError, OSError, ValueError) as error:
            if not isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
                raise _cannot_load(name, error) from error
            return {"revision": revision, "local_files_only": True}
        file.write_text(json.dumps(pinned, indent=1))
    return {"revision": pinned[key]}


def _cannot_load(name: str, error: Exception) -> AdaptlabError:
    reason = str(error).strip().splitlines()[0]
    bundled = ", ".join(BUNDLED)
    return AdaptlabError(
        f"cannot load the model {name!r}: {reason} (bundled, without a network: {bundled})"
    )
