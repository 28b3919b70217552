"""A training's state on disk, so that one that was killed goes on as if it had not been."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from adaptlab.errors import AdaptlabError


def save(file: Path, state: dict[str, Any], **identity: Any) -> None:
    """Write tensors, numbers and lists to `file`, whole or not at all.

    identity: what the state belongs to, dataclasses or strings by name. `load` asks for the same.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(file.suffix + ".part")
    torch.save({"identity": _plain(identity), **state}, partial)
    os.replace(partial, file)


def load(file: Path, **identity: Any) -> dict[str, Any]:
    """Read what `save` wrote. No code in the file is run.

    Raises AdaptlabError if it is no checkpoint, or one of something else (what, and how it
    differs).
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        found = state.pop("identity")
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AdaptlabError(f"{file} is not a readable checkpoint: {reason}") from error
    for name, wanted in _plain(identity).items():
        if (other := found.get(name)) != wanted:
            raise AdaptlabError(f"{file} is of another {name}: {_differences(wanted, other)}")
    return state


def _plain(identity: dict[str, Any]) -> dict[str, Any]:
    return {k: asdict(v) if hasattr(v, "__dataclass_fields__") else v for k, v in identity.items()}


def _differences(wanted: Any, found: Any) -> str:
    if not (isinstance(wanted, dict) and isinstance(found, dict)):
        return f"{found}, not {wanted}"
    keys = [key for key in {**wanted, **found} if wanted.get(key) != found.get(key)]
    return ", ".join(f"{key} is {found.get(key)!r}, not {wanted.get(key)!r}" for key in keys)
