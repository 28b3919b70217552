"""The simplest tokenizer: one token for each character of the training text."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from adaptlab.errors import AdaptlabError


@dataclass(frozen=True)
class CharTokenizer:
    """A character's id is its place in `characters`."""

    characters: str  # each once

    @classmethod
    def train(cls, text: str) -> "CharTokenizer":
        """The distinct characters of `text` in the order of their code points.

        Raises AdaptlabError if there is no text.
        """
        if not text:
            raise AdaptlabError("no text to take characters from")
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """One id for each character. Raises AdaptlabError for one that was not in training."""
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            name = f"{error.args[0]!r} (U+{ord(error.args[0]):04X})"
            raise AdaptlabError(
                f"character {name} is not among the {self.vocab_size} of the vocabulary"
            ) from error

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`. Raises AdaptlabError for an id outside the vocabulary."""
        return "".join(self._character(i) for i in ids)

    def _character(self, i: int) -> str:
        if not 0 <= i < self.vocab_size:
            raise AdaptlabError(f"id {i} is outside the vocabulary of {self.vocab_size} tokens")
        return self.characters[i]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {character: i for i, character in enumerate(self.characters)}
