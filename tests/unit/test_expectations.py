"""Every checker says yes to what it wants, no to the rest, and why."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.expectations import CHECKERS, expectations

CATEGORY = {"type": "object", "minProperties": 1, "additionalProperties": {"pattern": "^pri"}}
RIGHT = [
    ("equals", "Large", " Large\n"),
    ("equals", "", "\n"),
    ("one_of", ["yes", "no"], "no"),
    ("contains", "refund", "A refund is due."),
    ("contains", ["a", "b"], "b a"),
    ("not_contains", ["sorry", "cannot"], "Yes."),
    ("number", 1234, "It makes 1,234.00 in all."),
    ("number", 0.1, "0.1"),
    ("number", {"value": 3.14159, "tolerance": 0.01}, "about 3.15"),
    ("number", -2, "It is -2."),
    ("matches", "(?i)^large$", "LARGE"),
    ("matches", r"\d{3}", "call 112 now"),
    ("json", True, ' {"a": [1, null]} '),
    ("json", True, "3"),
    ("json", {"required": ["a", "b"]}, '{"b": 1, "a": null}'),
    ("json", {"schema": CATEGORY}, '{"bill": "pricing"}'),
    ("max_words", 3, "one two  three"),
]
WRONG = [
    ("equals", "Large", "large", "not 'Large'"),
    ("equals", "Large", "", "not 'Large'"),
    ("one_of", ["yes", "no"], "maybe", "none of 'yes', 'no'"),
    ("contains", "refund", "Refund", "lacks 'refund'"),
    ("contains", ["a", "b", "c"], "b", "lacks 'a', 'c'"),
    ("not_contains", ["sorry", "cannot"], "I cannot.", "contains 'cannot'"),
    ("number", 12, "12 or 13", "the number is 13, not 12"),
    ("number", 12, "twelve", "no number"),
    ("number", 10**30, f"{10**30 + 1}", f"the number is {10**30 + 1}, not {10**30}"),
    ("number", 1, "9" * 5000, "a number of 5000 digits"),
    ("number", {"value": 3, "tolerance": 0.5}, "3.6", "the number is 3.6, not 3 within 0.5"),
    ("matches", "^[0-9]+$", "12a", "nothing matches '^[0-9]+$'"),
    ("json", True, "", "not JSON: it is empty"),
    ("json", True, '{"a": "b', "not JSON: it breaks off"),
    ("json", True, '{"a": ', "not JSON: it breaks off"),
    ("json", True, "{'a': 1}", "not JSON: Expecting property name enclosed in double quotes at"),
    ("json", True, '{"a": 1} done', "not JSON: Extra data at character 10 of 13"),
    ("json", True, "NaN", "not JSON: NaN is not in its language"),
    ("json", True, "[" * 100_000 + "]" * 100_000, "not JSON: "),
    ("json", {"required": ["a", "b"]}, '{"a": 1}', "lacks the key 'b'"),
    ("json", {"required": ["a"]}, "[1]", "not a JSON object"),
    ("json", {"schema": CATEGORY}, "{}", "$: "),
    ("json", {"schema": CATEGORY}, '{"bill": "other"}', "$.bill: 'other' does not match '^pri'"),
    ("max_words", 3, "a b c d", "4 words, at most 3"),
]
MISTAKES = [
    ({}, "it expects nothing"),
    ({"contain": "x"}, "unknown checker 'contain'; did you mean contains"),
    ({"equals": 3}, "equals: needs a text, not 3"),
    ({"one_of": []}, "one_of: needs a list of texts"),
    ({"one_of": "yes"}, "one_of: needs a list of texts"),
    ({"contains": ""}, "the empty text is part of every answer"),
    ({"not_contains": ["a", ""]}, "the empty text is part of every answer"),
    ({"contains": [1]}, "contains: needs a list of texts"),
    ({"number": True}, "number: needs a number, not True"),
    ({"number": "3"}, "number: needs a number, not '3'"),
    ({"number": float("nan")}, "number: JSON can hold no date and no nan"),
    ({"number": {"tolerance": 1}}, "number: the value is missing"),
    ({"number": {"value": 1, "tolerance": -1}}, "it cannot be negative"),
    ({"number": {"value": 1, "within": 1}}, "unknown key 'within'"),
    ({"matches": "(a"}, "matches: '(a' is not a regular expression: missing )"),
    ({"json": False}, "json: needs true, or a table"),
    ({"json": {"scheme": {}}}, "unknown key 'scheme'; did you mean schema"),
    ({"json": {"required": "a"}}, "needs a list of texts"),
    ({"json": {"schema": {"type": "objekt"}}}, "invalid JSON schema: the schema.type"),
    ({"json": {"schema": {"properties": {"a": {"pattern": "("}}}}}, "'(' is not a 'regex'"),
    ({"json": {"schema": {"patternProperties": {"[": {}}}}}, "'[' is not a 'regex'"),
    ({"json": {"schema": {"$ref": "#/$defs/no"}}}, "refers to '/$defs/no', which it does not"),
    ({"json": {"schema": {"$ref": "https://example.org/s"}}}, "refers to 'https://example.org/s'"),
    ({"max_words": 0}, "max_words: needs a whole number above 0"),
    ({"max_words": 2.5}, "max_words: needs a whole number above 0"),
]


@pytest.mark.parametrize(("checker", "wanted", "answer"), RIGHT)
def test_right_answers_are_right(checker, wanted, answer):
    (expected,) = expectations({checker: wanted})
    assert expected.reason(answer) is None


@pytest.mark.parametrize(("checker", "wanted", "answer", "why"), WRONG)
def test_wrong_answers_are_wrong_for_a_reason(checker, wanted, answer, why):
    (expected,) = expectations({checker: wanted})
    assert expected.reason(answer).startswith(why)


def test_every_checker_is_tried_both_ways():
    assert {row[0] for row in RIGHT} == {row[0] for row in WRONG} == set(CHECKERS)


@pytest.mark.parametrize(("table", "message"), MISTAKES)
def test_a_want_that_makes_no_sense_is_refused(table, message):
    with pytest.raises(AdaptlabError) as refused:
        expectations(table)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_schema_may_refer_to_itself_and_hold_odd_data():
    schema = {
        "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        "$ref": "#/$defs/tree",
        "enum": [[], [[]], {"pattern": "("}],
    }
    (expected,) = expectations({"json": {"schema": schema}})
    assert expected.reason("[[]]") is None
    assert expected.reason("[1]") is not None


def test_a_pattern_that_would_search_for_years_is_given_up(monkeypatch):
    monkeypatch.setattr("adaptlab.prompting.expectations.SECONDS", 0.1)
    (expected,) = expectations({"matches": "^(a|a)+$"})
    start = time.perf_counter()
    assert "given up after 0.1 s" in expected.reason("a" * 60 + "b")
    assert time.perf_counter() - start < 10


@given(st.integers(), st.integers())
def test_a_number_is_equal_to_itself_alone(wanted, other):
    (expected,) = expectations({"number": wanted})
    assert (expected.reason(f"So it is {other:,}.") is None) == (other == wanted)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES.filter(lambda v: v != float("inf")), max_size=3))
def test_what_json_writes_is_json_and_no_beginning_of_it_is(value):
    (expected,) = expectations({"json": True})
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return
    assert expected.reason(text) is None
    assert all(expected.reason(text[:end]) for end in range(len(text)))


@given(st.text())
def test_a_reason_is_none_or_one_line_whatever_the_answer(answer):
    for checker, wanted, *_ in RIGHT:
        (expected,) = expectations({checker: wanted})
        reason = expected.reason(answer)
        assert reason is None or (reason and "\n" not in reason)
