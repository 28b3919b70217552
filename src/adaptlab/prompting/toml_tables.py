"""TOML files that people write: read strictly, every mistake named with its place in one line."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adaptlab.errors import AdaptlabError, unknown

REQUIRED = object()  # as a default: the key must be there
KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
KINDS |= {list: "a list", dict: "a table"}


def keys(
    table: Mapping[str, Any], known: Mapping[str, tuple[type, Any]], kind: str = "key"
) -> dict[str, Any]:
    """The values of the known keys, with defaults where keys were left out.

    known: the type of each key's value, and its default, which may be REQUIRED.
    Raises AdaptlabError for a key that is unknown, missing or of the wrong type.
    """
    for key in table:
        if key not in known:
            raise unknown(kind, key, known)
    found = {}
    for key, (form, default) in known.items():
        value = table.get(key, default)
        if value is REQUIRED:
            raise AdaptlabError(f"the {kind} {key!r} is missing")
        fits = isinstance(value, (int, float) if form is float else form)
        if key in table and (not fits or (isinstance(value, bool) and form is not bool)):
            raise AdaptlabError(f"{key} must be {KINDS[form]}, not {value!r:.80}")
        found[key] = value
    return found


def read(file: Path) -> tuple[str, dict[str, Any]]:
    """A TOML file as text and as a table. Raises AdaptlabError if it cannot be read as one."""
    try:
        source = file.read_bytes().decode()
        return source, tomllib.loads(source)
    except OSError as error:
        raise AdaptlabError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise AdaptlabError(f"{file} is not a TOML file: {error}") from None


@contextmanager
def naming(where: object) -> Iterator[None]:
    """Put the place before the message of an AdaptlabError."""
    try:
        yield
    except AdaptlabError as error:
        raise AdaptlabError(f"{where}: {error}") from None
