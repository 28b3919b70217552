"""Features on disk: the model is run once, and every later probe does without it.

    identity, texts, poolings, dtype, context  --sha256-->  KEY.safetensors  --mapped-->  Features
                                                                   |
                                                   none, or damaged: load the model, run it, write

KEY is a hash of all that the values depend on but the versions of the libraries: a file is not
brought up to date, another question has another file. To start anew, remove the folder.
"""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from adaptlab import models, paths, runtime
from adaptlab.batching import TOKENS_PER_BATCH
from adaptlab.errors import AdaptlabError
from adaptlab.probing.features import Features, check_request, features

FORMAT = 2  # part of the key: to be raised when features are computed differently


class FeatureStore:
    """A folder of features, by default `features` in the cache."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = Path(folder) if folder else paths.cache() / "features"

    def features(
        self,
        identity: str,
        texts: Sequence[str],
        poolings: Sequence[str] = ("last",),
        *,
        load: Callable[[], models.Loaded],
        dtype: torch.dtype | None = None,
        context: int | None = None,
        tokens_per_batch: int = TOKENS_PER_BATCH,
    ) -> Features:
        """The features of `texts`, from disk where they are there, else computed and kept.

        identity: what the model is, from `models.identity`. A model that was changed needs one of
            its own: two models of one identity would share their features.
        load: called only if the features are not there.
        dtype: what the loaded model computes in; by default that of `runtime.detect`.
        context, tokens_per_batch: as for `features`.

        What was read is mapped, not copied into memory. Where the disk is full, or the folder
        cannot be written, the features stay in memory and a warning says so.
        Raises AdaptlabError as `features` does, and if `load` gives a model of another dtype.
        """
        check_request(texts, poolings)
        dtype = dtype or runtime.detect().dtype
        key = _key(identity, sorted(set(poolings)), str(dtype), context, list(texts))
        file = self.folder / f"{key}.safetensors"
        if found := _read(file, poolings):
            return found
        model, tokenizer = load()
        if model.dtype != dtype:
            raise AdaptlabError(
                f"the model computes in {model.dtype}, but features in {dtype} were asked for"
            )
        return _keep(file, features(model, tokenizer, texts, poolings, tokens_per_batch, context))


def _key(*parts: str | int | list[str] | None) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()


def _read(file: Path, poolings: Sequence[str]) -> Features | None:
    """What `file` holds, mapped; None if there is no such file, or it is damaged."""
    try:
        with safe_open(file, framework="pt") as stored:  # NumPy's own reader would copy
            about = stored.metadata()
            values = {name: stored.get_tensor(name).numpy() for name in poolings}
        sound = about["xxh3"] == _checksum_of_data(file)
        return Features(values, int(about["truncated"]), file, hit=True) if sound else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _keep(file: Path, computed: Features) -> Features:
    """The features with the file they were written to, or as they are if that failed."""
    try:
        _write(file, computed)
    except (OSError, SafetensorError) as error:  # a full disk is either
        reason = str(error).splitlines()[0]
        message = f"the features stay in memory: they cannot be kept in {file.parent} ({reason})"
        warnings.warn(message, stacklevel=3)
        return computed
    return replace(computed, file=file)


def _write(file: Path, computed: Features) -> None:
    """Write the file whole or not at all."""
    checksum = xxhash.xxh3_128()
    for name in sorted(computed.values):  # the order in which tensors of one dtype are written
        checksum.update(computed.values[name])
    about = {"truncated": str(computed.truncated), "xxh3": checksum.hexdigest()}
    tensors = {name: torch.from_numpy(values) for name, values in computed.values.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as made:
        partial = Path(made, file.name)
        save_file(tensors, partial, about)
        os.replace(partial, file)


def _checksum_of_data(file: Path) -> str:
    """xxh3 of a safetensors file from the end of its header on, read in small pieces."""
    with file.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
        stream.seek(8 + header)
        return hashlib.file_digest(stream, xxhash.xxh3_128).hexdigest()
