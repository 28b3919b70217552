"""What a text answers: read strictly, as it was asked for, and leniently, as a reader would.

    "Two and 3 more make 1,005. So the answer is $1,005.00."   strict "1005"   lenient "1005"
    "2 + 1003 = 1005, which is odd."                           strict None     lenient "1005"

Both are reported: the gap between them is what a model knows but does not say in form. Zero-shot
chain of thought takes the first number of its last text, few-shot the first after "The answer is",
else the last (the published code of Kojima et al., 2022; Wei et al., 2022).
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import jsonschema
from referencing.exceptions import Unresolvable

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks.problems import Kind, ProblemTask

# With a colon the answer may stand on the next line: "The answer (in numerals) is:\n5".
MARKER = re.compile(r"\bthe (?:final )?answer(?: \([^()\n]{1,40}\))? is(?:: *\s*|[ \t]*)", re.I)
SENTENCE_END = re.compile(r"[.!?][\"'”’)*\]]*(?=\s|$)|\n")
# Commas only between thousands, so that "1,2,3" is three numbers; "7-3" is 7 and 3, not -3.
NUMBER = re.compile(
    r"(?:(?<![\w)])[-−])?[$€£¥]?"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|(?<![0-9.])\.[0-9]+)"
)
QUOTED = re.compile(
    r"[\"“]([^\"“”\n]+)[\"”]|`([^`\n]+)`|‘([^‘’\n]+)’(?!\w)|(?<!\w)'([^'\n]+)'(?!\w)"
)
OPENING = re.compile(r"[{\[]")
CUT_OFF = re.compile(r"[\w.+\\-]*\s*\Z")  # from the error on: a piece of a word, at most


@dataclass(frozen=True)
class AnswerForm:
    """What an answer looks like.

    options: all answers there are, for the kinds "boolean" and "option"; ("(A)", "(B)") are
        labels, ("yes", "no") are names. Raises AdaptlabError where they are needed and missing,
        empty, or differ in nothing but case, and for an unknown kind.
    """

    kind: Kind
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown("kind of answer", self.kind, get_args(Kind))
        if self.kind in ("boolean", "option"):
            if not self.options or not all(option.strip() for option in self.options):
                raise AdaptlabError(f"an answer of kind {self.kind!r} needs options, none empty")
            if len({option.casefold() for option in self.options}) < len(self.options):
                raise AdaptlabError(f"two of the options {self.options} are the same but for case")


@dataclass(frozen=True)
class Parsed:
    """The answer of a text in its normal form, or None.

    Numbers have no commas, currency, leading or trailing zeros ("1,234.00" is "1234"); options are
    spelt as in the form; words are in lower case, without quotes.

    strict: what stands after the last "The answer is" that has an answer in its sentence.
    lenient: that, else the last (or first) thing in the text that could be an answer.
    """

    strict: str | None
    lenient: str | None


def form_of(task: ProblemTask) -> AnswerForm:
    """What the answers of a task look like."""
    return AnswerForm(task.kind, task.options)


def parse(text: str, form: AnswerForm, *, first: bool = False) -> Parsed:
    """The answer that a text gives. Never raises, whatever the text.

    first: without "The answer is", take the first number, option or word and not the last. Where
        the prompt itself ends on "the answer is", put those words before the text.
    """
    pick = 0 if first else -1
    ends = [found.end() for found in MARKER.finditer(text)]
    stated = (_stated(text[end:], form) for end in reversed(ends))
    strict = next((answer for answer in stated if answer is not None), None)
    if strict is not None:
        return Parsed(strict, strict)
    last_sentence = _sentence(text[ends[-1] :]) if ends else ""
    found = _found(last_sentence, form) or _found(text, form)
    return Parsed(None, found[pick] if found else None)


def parse_json(text: str, schema: Mapping[str, Any] | bool | None = None) -> tuple[Any, Any]:
    """The JSON value of a text: (strict, lenient), each None where there is none.

    strict: the whole text is one value. lenient: that, else the first object or array in the text,
    as in a Markdown fence. Both are valid under the schema, if one is given. No part is taken of a
    value that is cut off or is not valid. The value `null` cannot be told from none.
    Never raises for a text; raises AdaptlabError for a schema that is not one.
    """
    validator = None if schema is None else validator_of(schema)
    strict = _decoded(text.strip())
    if strict is not None and _is_valid(strict, validator):
        return strict, strict
    at = 0
    while (opening := OPENING.search(text, at)) is not None:
        at = opening.start() + 1
        try:
            value, end = DECODER.raw_decode(text, opening.start())
        except json.JSONDecodeError as error:
            if CUT_OFF.match(text, error.pos) or error.msg.startswith("Unterminated string"):
                break  # what follows stands inside it
            continue
        except ValueError:  # NaN, or a number of thousands of digits
            continue
        except RecursionError:
            break  # nested beyond all sense, and so are its parts
        if _is_valid(value, validator):
            return None, value
        at = end
    return None, None


def validator_of(schema: Mapping[str, Any] | bool) -> jsonschema.Draft202012Validator:
    """What says whether a value is valid. Raises AdaptlabError for an invalid JSON schema."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = error.json_path.replace("$", "the schema", 1)
        raise AdaptlabError(f"invalid JSON schema: {place}: {one_line(error.message)}") from None
    return jsonschema.Draft202012Validator(schema)


def _stated(tail: str, form: AnswerForm) -> str | None:
    """The answer of the sentence that begins with `tail`, right after "The answer is"."""
    sentence = _sentence(tail)
    if form.kind == "number":
        return next(iter(_found(sentence, form)), None)
    if form.kind == "word":
        return _stated_word(tail, sentence)
    named = _leading(tail, form.options) or _named(sentence, form.options)
    return named[0] if named else None


def _stated_word(tail: str, sentence: str) -> str | None:
    """Quoted, or else the only word: "the answer is not known" states none."""
    opening = QUOTED.match(tail)  # in the tail: what is quoted may hold the end of a sentence
    quoted = _quoted(opening[0] if opening else sentence)
    if quoted:
        return quoted[0]
    words = _words(sentence)
    return words[0] if len(words) == 1 else None


def _sentence(text: str) -> str:
    end = SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def _found(text: str, form: AnswerForm) -> list[str]:
    """All that could be answers, in their order in the text."""
    if form.kind == "number":
        return [_number(found) for found in NUMBER.findall(text)]
    if form.kind == "word":
        return _quoted(text) or _words(text)
    return _named(text, form.options)


def _number(found: str) -> str:
    whole, _, fraction = re.sub(r"[^0-9.]", "", found).partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    digits = f"{whole}.{fraction}" if fraction else whole
    return f"-{digits}" if found[0] in "-−" and digits != "0" else digits


def _quoted(text: str) -> list[str]:
    inner = ("".join(groups) for groups in QUOTED.findall(text))
    return [word for word in map(_bare, inner) if word]


def _words(text: str) -> list[str]:
    return [word for word in map(_bare, text.split()) if word]


def _bare(text: str) -> str:
    return re.sub(r"^[\W_]+|[\W_]+$", "", text).lower()


def _named(text: str, options: Sequence[str]) -> list[str]:
    """The options that a text names, from the surest spelling that it uses at all.

    A label without its brackets counts only where the text names one label so and no other.
    """
    exact = {rf"(?<!\w){re.escape(option)}(?!\w)": option for option in options}
    cores = {option.strip("()[]. :"): option for option in options}
    if not all(re.fullmatch("[A-Za-z0-9]{1,2}", core) for core in cores):
        return _mentions(exact, text)
    bracketed = {rf"(?<!\w)[(\[]{core}[)\]](?!\w)": option for core, option in cores.items()}
    if named := _mentions(bracketed, text):
        return named
    for pattern, flags in [
        (r"\A\W*{}\W*\Z", re.I),
        (r"(?<![\w.]){}[).:](?!\w)", re.I),
        (r"(?<![\w'’]){}(?![\w'’])", 0),
    ]:
        spelt = {pattern.format(core) + _no_article(core): core for core in cores}
        named = [cores[core] for core in _mentions(spelt, text, flags)]
        if len(set(named)) == 1:
            return named
    return []


def _leading(text: str, options: Sequence[str]) -> list[str]:
    """The option that a text begins with, as it is spelt or, for labels, without brackets."""
    exact = {rf"\A\W*?{re.escape(option)}(?!\w)": option for option in options if len(option) > 2}
    return _mentions(exact, text) or _mentions(
        {
            rf"\A\W*?{core}(?!\w){_no_article(core)}": option
            for option in options
            if re.fullmatch("[A-Za-z0-9]{1,2}", core := option.strip("()[]. :"))
        },
        text,
        flags=0,
    )


def _no_article(core: str) -> str:
    """A look ahead: neither "A cat" nor "I think" names an option, but "A is right" does."""
    return r"(?! (?!(?:and|because|is|or)\b)[a-z])" if core in ("A", "I") else ""


def _mentions(spelt: Mapping[str, str], text: str, flags: int = re.I) -> list[str]:
    """The names of the patterns that a text matches, in its order; the longest pattern first."""
    patterns = sorted(spelt, key=len, reverse=True)
    joined = re.compile("|".join(f"({pattern})" for pattern in patterns) or r"(?!)", flags)
    return [spelt[patterns[found.lastindex - 1]] for found in joined.finditer(text)]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _decoded(text: str) -> Any:
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _is_valid(value: Any, validator: jsonschema.Draft202012Validator | None) -> bool:
    if validator is None:
        return True
    try:
        return validator.is_valid(value)
    except (Unresolvable, RecursionError, re.error) as error:
        raise AdaptlabError(f"invalid JSON schema: {one_line(str(error))}") from None


def one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= 200 else f"{line[:200]}..."
