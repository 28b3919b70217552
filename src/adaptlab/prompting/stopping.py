"""Where a text that is being written ends: at a token of the model's own, or at a string."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError


class Stops:
    """The ends of a text.

    A string can only be complete where a token brings its last character, so only then is the
    text decoded and searched.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, strings: Sequence[str], ends: Collection[int]
    ):
        """strings: the first that comes ends a text. ends: ids of tokens that do.

        Raises AdaptlabError for an empty string.
        """
        if not all(strings):
            raise AdaptlabError("a stop string is empty: it would end every text at once")
        self.tokenizer, self.strings, self.ends = tokenizer, tuple(strings), frozenset(ends)
        last = "".join(sorted({string[-1] for string in strings}))
        self._closing = closing_tokens(tokenizer, last)

    def text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def cut(self, ids: Sequence[int]) -> str | None:
        """The text before the first stop, or None while there is none."""
        if ids[-1] in self.ends:
            return before(self.text(ids[:-1]), self.strings)
        if ids[-1] not in self._closing:
            return None
        text = self.text(ids)
        found = before(text, self.strings)
        return None if found == text else found


def before(text: str, strings: Sequence[str]) -> str:
    """The text up to the first of the strings, all of it where none occurs."""
    return text[: min((at for s in strings if (at := text.find(s)) >= 0), default=len(text))]


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids at which the model itself ends a text."""
    of_model = getattr(model.generation_config, "eos_token_id", None)
    of_model = of_model if isinstance(of_model, list) else [of_model]
    return {end for end in (*of_model, tokenizer.eos_token_id) if end is not None}


@lru_cache(maxsize=32)
def closing_tokens(tokenizer: PreTrainedTokenizerBase, characters: str) -> frozenset[int]:
    """Ids of the tokens with one of these characters, or with a part of any character."""
    if not characters:
        return frozenset()
    pieces = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    wanted = {*characters, "\N{REPLACEMENT CHARACTER}"}  # a part of a character decodes to this
    return frozenset(i for i, piece in enumerate(pieces) if wanted & set(piece))
