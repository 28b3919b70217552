"""Answers of a server on disk, so that a run that broke off asks only for what is missing.

    sha256 of the request  ->  checksum, the request in full, the answer

An item is used only if its checksum is right and its request is, word for word, the one that would
be sent now. Damaged and foreign items are as good as none.
"""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diskcache
import xxhash
from diskcache.core import MODE_PICKLE

from adaptlab.errors import AdaptlabError

FORMAT = 1  # of an item; in the key, so that items of another are not found


class TextOnly(diskcache.Disk):
    """Values are text. A pickle, which may run code when it is read, is never read."""

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        return None if mode == MODE_PICKLE else super().fetch(mode, filename, value, read)


class ResponseCache:
    """Request -> answer, both of what JSON can hold, in a folder. Threads may share it."""

    def __init__(self, folder: Path | str):
        """Raises AdaptlabError where the folder cannot be used."""
        self.folder = Path(folder).expanduser()
        try:
            self._items = diskcache.Cache(
                self.folder, disk=TextOnly, eviction_policy="none", cull_limit=0
            )
        except Exception as error:  # a foreign database can go wrong in any way
            raise self._unusable(error) from error

    def get(self, request: Mapping[str, Any]) -> Any | None:
        """The answer that was kept for exactly this request, or None."""
        text, key = _canonical(request)
        try:
            item = self._items.get(key, retry=True)
        except UnicodeDecodeError:
            return None
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error
        checksum, _, content = item.partition(" ") if isinstance(item, str) else ("", "", "")
        if checksum != xxhash.xxh3_128_hexdigest(content.encode()):
            return None
        kept = json.loads(content)
        return kept["answer"] if kept["request"] == json.loads(text) else None

    def put(self, request: Mapping[str, Any], answer: Any) -> None:
        """Keep an answer. Raises AdaptlabError where it cannot be written."""
        text, key = _canonical(request)
        content = json.dumps({"request": json.loads(text), "answer": answer})
        item = f"{xxhash.xxh3_128_hexdigest(content.encode())} {content}"
        try:
            self._items.set(key, item, retry=True)
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def __len__(self) -> int:
        return len(self._items)

    def close(self) -> None:
        self._items.close()

    def _unusable(self, error: Exception) -> AdaptlabError:
        return AdaptlabError(
            f"the cache of answers {self.folder} cannot be used ({error}): "
            "remove it, or name another folder"
        )


def _canonical(request: Mapping[str, Any]) -> tuple[str, str]:
    """The request as text that does not depend on the order of its fields, and its key."""
    text = json.dumps({"format": FORMAT, **request}, sort_keys=True)
    return text, hashlib.sha256(text.encode()).hexdigest()
