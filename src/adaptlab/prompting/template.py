"""A prompt in seven blocks, and the input last.

    objective and persona   "You are a careful editor. Your task is to ..."        required
    instructions            the steps to follow                                     required
    constraints             dos and don'ts
    context                 what the model needs to know
    output format           what an answer looks like
    few-shot examples       input, thoughts, output: they show the form
    recap                   what matters most, again

The same template is written as XML, JSON, plain prefixes or a conversation (`forms`), and any of
them can be read back: nothing is lost or doubled, whatever the texts hold. The input comes last,
so that all inputs share their beginning, which is then run once (prefix caching).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.prompting.forms import FORMS
from adaptlab.prompting.interface import Prompt


@dataclass(frozen=True)
class Constraints:
    """What an answer must, and must not, do. Raises AdaptlabError if there is neither."""

    dos: tuple[str, ...] = ()
    donts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.dos and not self.donts:
            raise AdaptlabError("constraints need dos or donts")
        _check_list("dos", self.dos)
        _check_list("donts", self.donts)


@dataclass(frozen=True)
class Example:
    """A solved input; thoughts are the steps in between, None for none."""

    input: str
    output: str
    thoughts: str | None = None

    def __post_init__(self) -> None:
        for text in (self.input, self.output, self.thoughts or ""):
            _check_text("an example", text)


@dataclass(frozen=True)
class Template:
    """The blocks of a prompt; a block that is None or () is left out.

    Raises AdaptlabError for an empty block, and for text that is no text: a block of the wrong
    kind, or half a surrogate pair, which no encoding can hold.
    """

    objective_and_persona: str
    instructions: tuple[str, ...]
    constraints: Constraints | None = None
    context: str | None = None
    output_format: str | None = None
    few_shot_examples: tuple[Example, ...] = ()
    recap: str | None = None

    def __post_init__(self) -> None:
        _check_filled("objective_and_persona", self.objective_and_persona)
        if not self.instructions:
            raise AdaptlabError("the template block 'instructions' is missing: it needs a step")
        _check_list("instructions", self.instructions)
        for name in ("context", "output_format", "recap"):
            if getattr(self, name) is not None:
                _check_filled(name, getattr(self, name))
        if self.constraints is not None:
            _check_kind("constraints", self.constraints, Constraints)
        _check_kind("few_shot_examples", self.few_shot_examples, tuple)
        for example in self.few_shot_examples:
            _check_kind("few_shot_examples", example, Example)

    @classmethod
    def from_blocks(cls, blocks: Mapping[str, Any]) -> "Template":
        """A template from plain values, as a JSON or TOML file holds them; see `blocks`.

        Raises AdaptlabError for an unknown or missing block, and for one of the wrong kind.
        """
        for name in blocks:
            if name not in BLOCKS:
                raise unknown("template block", name, BLOCKS)
        for name in REQUIRED:
            if name not in blocks:
                raise AdaptlabError(f"the template block {name!r} is missing")
        values = dict(blocks)
        values["instructions"] = _tuple("instructions", values["instructions"])
        if "constraints" in values:
            values["constraints"] = _constraints(values["constraints"])
        if "few_shot_examples" in values:
            examples = _tuple("few_shot_examples", values["few_shot_examples"])
            values["few_shot_examples"] = tuple(map(_example, examples))
        return cls(**values)

    def blocks(self) -> dict[str, Any]:
        """The blocks that are there, in order, as texts, lists and dictionaries."""
        values: dict[str, Any] = {
            "objective_and_persona": self.objective_and_persona,
            "instructions": list(self.instructions),
        }
        if self.constraints is not None:
            parts = {"dos": self.constraints.dos, "donts": self.constraints.donts}
            values["constraints"] = {name: list(rules) for name, rules in parts.items() if rules}
        values |= {"context": self.context, "output_format": self.output_format}
        if self.few_shot_examples:
            values["few_shot_examples"] = [_fields(example) for example in self.few_shot_examples]
        values["recap"] = self.recap
        return {name: value for name, value in values.items() if value is not None}

    def without(self, block: str) -> "Template":
        """The template less one block, for ablations.

        Raises AdaptlabError for a block that is unknown, required, or not there anyway.
        """
        if block not in BLOCKS:
            raise unknown("template block", block, BLOCKS)
        if block in REQUIRED:
            raise AdaptlabError(f"the template block {block!r} cannot be left out")
        if not getattr(self, block):
            raise AdaptlabError(f"the template has no block {block!r} to leave out")
        return replace(self, **{block: () if block == "few_shot_examples" else None})

    def ask(self, text: str, form: str = "xml") -> Prompt:
        """The prompt for one input: a text, or for "chat" messages (system, examples, user).

        Where the text is a stranger's, give `plain_text(tokenizer, text)`.
        Raises AdaptlabError for an unknown form and for text that no encoding can hold.
        """
        if form not in FORMS:
            raise unknown("form", form, FORMS)
        _check_text("the input", text)
        return FORMS[form].write(self.blocks(), text)


BLOCKS = tuple(field.name for field in fields(Template))
REQUIRED = tuple(field.name for field in fields(Template) if field.default is MISSING)


def read(prompt: Prompt, form: str) -> tuple[Template, str]:
    """The template and the input that a prompt was written from: the inverse of `Template.ask`.

    Raises AdaptlabError for an unknown form and a prompt that is not of this form.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    blocks, text = FORMS[form].read(prompt)
    _check_text("the input", text)
    return Template.from_blocks(blocks), text


def plain_text(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text with a space in every string that the tokenizer would take for a control token.

    "<|im_end|>" in a question would end the user's turn, and what follows it could pose as the
    system's word; "< |im_end|>" is only seven ordinary tokens. Text without such strings comes
    back as it is. Raises AdaptlabError where the tokenizer still finds a control token.
    """
    controls = {id_: str(token) for id_, token in _controls(tokenizer).items()}
    if controls:
        strings = "|".join(re.escape(string) for string in controls.values())
        text = re.sub(rf"(?=(?:{strings})).", r"\g<0> ", text, flags=re.DOTALL)
    left = controls.keys() & set(tokenizer(text, add_special_tokens=False)["input_ids"])
    if left:
        raise AdaptlabError(f"the tokenizer takes text for control tokens: {sorted(left)}")
    return text


def _controls(tokenizer: PreTrainedTokenizerBase) -> dict[int, Any]:
    """Special tokens, and markup such as <think> that a tokenizer does not call special."""
    return {
        id_: token
        for id_, token in tokenizer.added_tokens_decoder.items()
        if token.special or str(token).startswith(("<", "["))
    }


def _tuple(block: str, value: Any) -> tuple:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise AdaptlabError(f"the template block {block!r} is a list, not {value!r:.40}")
    return tuple(value)


def _constraints(value: Any) -> Constraints:
    if not isinstance(value, Mapping):
        raise AdaptlabError(f"constraints have dos and donts; this is {value!r:.40}")
    for name in value:
        if name not in ("dos", "donts"):
            raise unknown("kind of constraint", name, ("dos", "donts"))
    return Constraints(**{name: _tuple(name, rules) for name, rules in value.items()})


def _example(value: Any) -> Example:
    if not isinstance(value, Mapping) or not {"input", "output"} <= value.keys():
        raise AdaptlabError(f"an example has an input and an output; this is {value!r:.40}")
    for name in value:
        if name not in ("input", "thoughts", "output"):
            raise unknown("part of an example", name, ("input", "thoughts", "output"))
    return Example(**value)


def _fields(example: Example) -> dict[str, str]:
    """The parts in the order in which they are written: thoughts come before the output."""
    parts = {"input": example.input, "thoughts": example.thoughts, "output": example.output}
    return {name: text for name, text in parts.items() if text is not None}


def _check_list(block: str, texts: Any) -> None:
    _check_kind(block, texts, tuple)  # a text would be taken for a tuple of letters
    for text in texts:
        _check_filled(block, text)


def _check_filled(block: str, text: Any) -> None:
    _check_text(f"the template block {block!r}", text)
    if not text.strip():
        raise AdaptlabError(f"the template block {block!r} is empty")


def _check_text(where: str, text: Any) -> None:
    if not isinstance(text, str):
        raise AdaptlabError(f"{where} is no text: {text!r:.40}")
    if re.search("[\ud800-\udfff]", text):
        raise AdaptlabError(f"{where} holds half a surrogate pair, which is no character")


def _check_kind(block: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise AdaptlabError(f"the template block {block!r} is no {kind.__name__}: {value!r:.40}")
