"""A training's state on disk, so that one that was killed goes on as if it had not been."""

import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from adaptlab.errors import AdaptlabError


def save(file: Path, state: dict[str, Any], **identity: Any) -> None:
    """Write tensors, numbers and lists to `file`, whole or not at all.

    identity: what the state belongs to, dataclasses or strings by name. `load` asks for the same.
    Raises AdaptlabError if it cannot be written, as on a full disk; an earlier file is kept.
    """
    partial = file.with_suffix(file.suffix + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:  # given a name, torch does not say why a write failed
            torch.save({"identity": _plain(identity), **state}, stream)
        os.replace(partial, file)
    except (OSError, RuntimeError) as error:  # RuntimeError is torch's own
        with suppress(OSError):
            partial.unlink()
        raise AdaptlabError(f"{file} could not be written: {_reason(error)}") from error


def load(file: Path, **identity: Any) -> dict[str, Any]:
    """Read what `save` wrote. No code in the file is run.

    Raises AdaptlabError if it is no checkpoint, or one of something else (what, and how it
    differs).
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        found = state.pop("identity")
    except Exception as error:  # torch raises many kinds for a damaged file
        raise AdaptlabError(f"{file} is not a readable checkpoint: {_reason(error)}") from error
    for name, wanted in _plain(identity).items():
        if (other := found.get(name)) != wanted:
            raise AdaptlabError(f"{file} is of another {name}: {_differences(wanted, other)}")
    return state


def _reason(error: BaseException) -> str:
    """One line; the system's own words where torch raised its error on top of them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__context__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _plain(identity: dict[str, Any]) -> dict[str, Any]:
    return {k: asdict(v) if hasattr(v, "__dataclass_fields__") else v for k, v in identity.items()}


def _differences(wanted: Any, found: Any) -> str:
    if not (isinstance(wanted, dict) and isinstance(found, dict)):
        return f"{found}, not {wanted}"
    keys = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    return ", ".join(f"{key} is {found.get(key)!r}, not {wanted.get(key)!r}" for key in keys)
