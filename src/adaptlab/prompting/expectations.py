"""What an answer must be like, said in a file, checked without a judge.

    expect = { matches = "^(Large|Small)$", max_words = 1 }
    "Large"                    ->   no reason against it
    "It is large, I think."    ->   "nothing matches '^(Large|Small)$'", "5 words, at most 1"

A reason says what is wrong with the answer; an answer without one is right. Outer white space of
an answer never counts, case always does: for an answer in any case, `matches = "(?i)^large$"`.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import regex
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.prompting.parsing import AnswerForm, parse, validator_of

NUMBER = AnswerForm("number")
SECONDS = 1.0  # that a pattern may search one answer: "(a+)+$" could take years
DATA = {"const", "enum", "default", "examples"}  # parts of a schema that hold no schemas


@dataclass(frozen=True)
class Expectation:
    """One thing that an answer must fulfil: a checker's name, and what it wants (see CHECKERS)."""

    checker: str
    wanted: Any

    def reason(self, answer: str) -> str | None:
        """Why the answer is not as wanted, in one line; None if it is. Never raises."""
        return CHECKERS[self.checker].reason(answer.strip(), self.wanted)

    def __str__(self) -> str:
        return f"{self.checker} {json.dumps(self.wanted, ensure_ascii=False)}"


@dataclass(frozen=True)
class Checker:
    """check: raises AdaptlabError if what is wanted makes no sense. reason: as Expectation's."""

    check: Callable[[Any], None]
    reason: Callable[[str, Any], str | None]


def expectations(table: Mapping[str, Any]) -> tuple[Expectation, ...]:
    """Expectations from a table of a TOML file: {"contains": "refund", "max_words": 20}.

    equals, one_of: the whole answer is the text, or one of the texts.
    contains, not_contains: a text, or a list of which all, or none, are in the answer.
    number: the number after "The answer is", else the last one, is this; or {value, tolerance}, at
        most that far from it.
    matches: a regular expression is found in the answer.
    json: `true`, the whole answer is JSON; or a table: `required`, keys of an object; `schema`, a
        JSON schema that the value is valid under.
    max_words: the answer has at most so many words.
    Raises AdaptlabError for an empty table, an unknown checker, or a want that makes no sense.
    """
    if not isinstance(table, Mapping) or not table:
        raise AdaptlabError("it expects nothing; give at least one checker, such as equals")
    found = []
    for name, wanted in table.items():
        if name not in CHECKERS:
            raise unknown("checker", name, CHECKERS)
        try:
            json.dumps(wanted, allow_nan=False)  # a run is kept as JSON
            CHECKERS[name].check(wanted)
        except AdaptlabError as error:
            raise AdaptlabError(f"{name}: {error}") from None
        except (TypeError, ValueError):
            raise AdaptlabError(f"{name}: JSON can hold no date and no nan or inf") from None
        found.append(Expectation(name, wanted))
    return tuple(found)


# What may be wanted.


def _a_text(wanted: Any) -> None:
    if not isinstance(wanted, str):
        raise AdaptlabError(f"needs a text, not {wanted!r:.80}")


def _some_texts(wanted: Any) -> None:
    if not isinstance(wanted, list) or not wanted or not all(isinstance(w, str) for w in wanted):
        raise AdaptlabError(f"needs a list of texts, not {wanted!r:.80}")


def _parts(wanted: Any) -> None:
    _some_texts(wanted if isinstance(wanted, list) else [wanted])
    if "" in _listed(wanted):
        raise AdaptlabError("the empty text is part of every answer")


def _a_number(wanted: Any) -> None:
    if isinstance(wanted, dict):
        _only(wanted, {"value", "tolerance"})
        if "value" not in wanted:
            raise AdaptlabError("the value is missing")
    for part in wanted.values() if isinstance(wanted, dict) else [wanted]:
        if isinstance(part, bool) or not isinstance(part, int | float) or not math.isfinite(part):
            raise AdaptlabError(f"needs a number, not {part!r:.80}")
    if isinstance(wanted, dict) and wanted.get("tolerance", 0) < 0:
        raise AdaptlabError(f"the tolerance is {wanted['tolerance']}; it cannot be negative")


def _a_pattern(wanted: Any) -> None:
    _a_text(wanted)
    try:
        regex.compile(wanted)
    except regex.error as error:
        raise AdaptlabError(f"{wanted!r} is not a regular expression: {error}") from None


def _json_form(wanted: Any) -> None:
    if wanted is True:
        return
    if not isinstance(wanted, dict):
        raise AdaptlabError(f"needs true, or a table of required and schema, not {wanted!r:.80}")
    _only(wanted, {"required", "schema"})
    if "required" in wanted:
        _some_texts(wanted["required"])
    if "schema" in wanted:
        _a_schema(wanted["schema"])


def _a_schema(schema: Any) -> None:
    """The schema is one, and refers to nothing but itself: a page elsewhere needs the network."""
    try:
        validator_of(schema)
        own = DRAFT202012.create_resource(schema)
        resolver = Registry().with_resource("", own).resolver()
        for reference in _references(schema):
            if not reference.startswith("#"):
                raise Unresolvable(ref=reference)
            resolver.lookup(reference)
    except Unresolvable as error:
        raise AdaptlabError(f"the schema refers to {error.ref!r}, which it does not have") from None
    except RecursionError:
        raise AdaptlabError("the schema is nested too deeply") from None


def _references(schema: Any) -> Iterator[str]:
    for key, value in schema.items() if isinstance(schema, dict) else ():
        if key in ("$ref", "$dynamicRef") and isinstance(value, str):
            yield value
        for part in () if key in DATA else value if isinstance(value, list) else [value]:
            yield from _references(part)


def _a_count(wanted: Any) -> None:
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise AdaptlabError(f"needs a whole number above 0, not {wanted!r:.80}")


def _only(table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise unknown("key", key, known)


# What is wrong with an answer.


def _listed(wanted: str | list[str]) -> list[str]:
    return wanted if isinstance(wanted, list) else [wanted]


def _not_equal(answer: str, wanted: str) -> str | None:
    return None if answer == wanted.strip() else f"not {wanted!r}"


def _not_one_of(answer: str, wanted: list[str]) -> str | None:
    if answer in (text.strip() for text in wanted):
        return None
    return f"none of {', '.join(map(repr, wanted))}"


def _lacking(answer: str, wanted: str | list[str]) -> str | None:
    lacking = [repr(part) for part in _listed(wanted) if part not in answer]
    return f"lacks {', '.join(lacking)}" if lacking else None


def _forbidden(answer: str, wanted: str | list[str]) -> str | None:
    found = [repr(part) for part in _listed(wanted) if part in answer]
    return f"contains {', '.join(found)}" if found else None


def _wrong_number(answer: str, wanted: Any) -> str | None:
    found = parse(answer, NUMBER).lenient
    if found is None:
        return "no number"
    form = wanted if isinstance(wanted, dict) else {"value": wanted}
    value, tolerance = (Fraction(str(form.get(key, 0))) for key in ("value", "tolerance"))
    try:
        close = abs(Fraction(found) - value) <= tolerance
    except ValueError:  # Python reads no number of thousands of digits
        return f"a number of {len(found)} digits"
    within = f" within {form['tolerance']}" if tolerance else ""
    return None if close else f"the number is {found}, not {form['value']}{within}"


def _unmatched(answer: str, wanted: str) -> str | None:
    try:
        found = regex.search(wanted, answer, timeout=SECONDS)
    except TimeoutError:
        return f"the search for {wanted!r} was given up after {SECONDS:g} s"
    return None if found else f"nothing matches {wanted!r}"


def _not_json(answer: str, wanted: Any) -> str | None:
    try:
        value = json.loads(answer, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if error.pos >= len(answer) or error.msg.startswith("Unterminated string"):
            return "not JSON: it breaks off" if answer else "not JSON: it is empty"
        return f"not JSON: {error.msg} at character {error.pos + 1} of {len(answer)}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    form = {} if wanted is True else wanted
    required = form.get("required", [])
    if required and not isinstance(value, dict):
        return "not a JSON object"
    if missing := [repr(key) for key in required if key not in value]:
        return f"lacks the key {', '.join(missing)}"
    return _invalid(value, form["schema"]) if "schema" in form else None


def _invalid(value: Any, schema: Any) -> str | None:
    try:
        error = next(validator_of(schema).iter_errors(value), None)
    except (RecursionError, Unresolvable) as error:
        return f"the schema cannot be used: {_short(str(error))}"
    return f"{error.json_path}: {_short(error.message)}" if error else None


def _short(message: str, most: int = 160) -> str:
    line = " ".join(message.split())
    return line if len(line) <= most else f"{line[:most]}..."


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not in its language")


def _too_long(answer: str, wanted: int) -> str | None:
    words = len(answer.split())
    return None if words <= wanted else f"{words} words, at most {wanted}"


CHECKERS = {
    "equals": Checker(_a_text, _not_equal),
    "one_of": Checker(_some_texts, _not_one_of),
    "contains": Checker(_parts, _lacking),
    "not_contains": Checker(_parts, _forbidden),
    "number": Checker(_a_number, _wrong_number),
    "matches": Checker(_a_pattern, _unmatched),
    "json": Checker(_json_form, _not_json),
    "max_words": Checker(_a_count, _too_long),
}
