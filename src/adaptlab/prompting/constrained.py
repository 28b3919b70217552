"""Constrained decoding: only tokens that keep a text within its grammar can be drawn.

    text so far      {"size": "          the schema says: "large" or "small"
    logits           tiny  7.1   large  5.0   small  4.2   } 3.3
    masked           tiny  -inf  large  5.0   small  4.2   } -inf

A JSON schema or a list of options becomes a grammar (`json_grammar`, `option_grammar`), and
`Grammar.new` makes what holds one text to it. The parser is the library llguidance. The end token
is allowed where a text is whole: where it may also go on, the model decides.

What a mask cannot do. It says nothing about when a string or a list must end: a small model can
write one for ever, so give the schema `maxLength` and `maxItems`. A text that max_tokens cuts off
ends with the finish "length", and is to be counted as incomplete, not as invalid JSON. And greedy
decoding within a grammar takes the likeliest first token, not the likeliest option: for that,
score the options (`LanguageModel.score`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from transformers import PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.prompting.parsing import one_line, validator_of

WHITESPACE = {
    "none": {"whitespace_flexible": False},  # {"a":1,"b":2}
    "single": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    "any": {"whitespace_flexible": True},
}


class Constraint:
    """Holds one text to a grammar, token by token."""

    def __init__(self, matcher: LLMatcher, vocabulary: int):
        self._matcher, self._vocabulary = matcher, vocabulary

    @property
    def done(self) -> bool:
        """The text is whole: the end token came, or nothing can follow."""
        return self._matcher.is_stopped()

    @property
    def complete(self) -> bool:
        """The text could end here, and be valid."""
        return self._matcher.is_accepting()

    def allowed(self) -> torch.Tensor:
        """The tokens that may come next, booleans (vocabulary,); the end token alone if done.

        Raises AdaptlabError where no token can, or the grammar is too complex to go on with.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        mask = np.unpackbits(bits, count=self._vocabulary, bitorder="little")
        if not mask.any():
            raise AdaptlabError("the grammar cannot be followed: no token can come next")
        return torch.from_numpy(mask).bool()  # (V,)

    def advance(self, token: int) -> None:
        """Go on with the token that was drawn. Raises AdaptlabError if it is not allowed."""
        if not 0 <= token < self._vocabulary or not self._matcher.validate_tokens([token]):
            raise AdaptlabError(f"token {token} is not allowed here by the grammar")
        self._matcher.consume_token(token)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            reason = self._matcher.get_error().partition("<state>")[0]
            raise AdaptlabError(f"the grammar cannot be followed: {one_line(reason)}")


@dataclass(frozen=True)
class Grammar:
    """What texts may be. `new` makes what holds one text to it, from its first token on."""

    start: LLMatcher
    vocabulary: int

    def new(self) -> Constraint:
        return Constraint(self.start.deep_copy(), self.vocabulary)


def json_grammar(
    tokenizer: PreTrainedTokenizerBase, schema: Mapping[str, Any] | bool, whitespace: str = "single"
) -> Grammar:
    """Texts that are one JSON value, valid under a JSON schema.

    whitespace: between the parts of a value. "single" is {"a": 1, "b": 2}, as texts have it;
        "none" is the shortest, {"a":1,"b":2}; under "any" a model can draw spaces for ever.
    Raises AdaptlabError for an invalid schema, one that no value meets, a keyword that cannot be
    held to (such as "not" or "uniqueItems"), and a tokenizer without an end token.
    """
    if whitespace not in WHITESPACE:
        raise unknown("whitespace", whitespace, WHITESPACE)
    validator_of(schema)
    if schema is False:
        raise AdaptlabError("no value is valid under the schema False")
    try:
        plain = json.dumps({} if schema is True else schema)
        grammar = LLMatcher.grammar_from_json_schema(plain, overrides=WHITESPACE[whitespace])
    except (TypeError, ValueError) as error:
        raise AdaptlabError(f"invalid JSON schema: {one_line(str(error))}") from None
    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar)
    if failed:
        raise AdaptlabError(f"the schema cannot be made a grammar: {one_line(messages[0])}")
    merged = json.loads(grammar)["grammars"][0]["json_schema"]
    return _grammar(tokenizer, f"%json {json.dumps(merged)}")


def option_grammar(tokenizer: PreTrainedTokenizerBase, options: Sequence[str]) -> Grammar:
    """Texts that are one of the options, letter by letter; lead with a space where one belongs.

    Where an option begins another ("yes", "yes please"), both can be reached: after the short one
    the end token is allowed beside what goes on.
    Raises AdaptlabError for no options, one that is empty or has a character that the tokenizer
    has no tokens for, and a tokenizer without an end token.
    """
    if isinstance(options, str) or not options:
        raise AdaptlabError(f"options are a list of texts, at least one; this is {options!r}")
    for option in options:
        if not isinstance(option, str) or not option.strip():
            raise AdaptlabError(f"an option is empty: {list(options)!r}")
        _check_writable(tokenizer, option)
    quoted = " | ".join(json.dumps(option) for option in dict.fromkeys(options))
    return _grammar(tokenizer, quoted)


def _check_writable(tokenizer: PreTrainedTokenizerBase, option: str) -> None:
    """A byte tokenizer may lack tokens for bytes that it never saw: the bundled one has no 0xf1."""
    reader = _reader(tokenizer, len(tokenizer))
    try:
        written = reader.decode_bytes(reader.tokenize_str(option)) == option.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        written = False
    if not written:
        raise AdaptlabError(f"the tokenizer has no tokens for all of option {option!r}")


def _grammar(tokenizer: PreTrainedTokenizerBase, rule: str) -> Grammar:
    """A grammar of one rule, in the library's own syntax.

    Without forcing: where only one text can follow, the library would else allow only the tokens
    that the tokenizer makes of it, and "<|im_end|>" in a text would become the control token.
    """
    reader = _reader(tokenizer, len(tokenizer))
    grammar = f'%llguidance {{"no_forcing": true}}\nstart: {rule}'
    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, reader)
    if failed:
        raise AdaptlabError(f"this cannot be made a grammar: {one_line(messages[0])}")
    return Grammar(LLMatcher(reader, grammar), reader.vocab_size)


@lru_cache(maxsize=4)  # it takes about a second
def _reader(tokenizer: PreTrainedTokenizerBase, size: int) -> LLTokenizer:
    """The tokenizer as llguidance wants it; size: so that one with new tokens is read again."""
    if tokenizer.eos_token_id is None:
        raise AdaptlabError("the tokenizer has no end token, so that no text could end")
    try:
        return llguidance.hf.from_tokenizer(tokenizer, n_vocab=size)
    except ValueError as error:
        raise AdaptlabError(f"constrained decoding: {one_line(str(error))}") from None
