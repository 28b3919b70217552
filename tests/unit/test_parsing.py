"""Strict and lenient parsing: what is said comes back, and nothing that a model writes raises."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.parsing import AnswerForm, Parsed, form_of, parse, parse_json
from adaptlab.tasks.problems import ProblemTask

NUMBER, WORD = AnswerForm("number"), AnswerForm("word")
YES = AnswerForm("boolean", ("yes", "no"))
LETTERS = AnswerForm("option", ("(A)", "(B)", "(C)"))
FORMS = [NUMBER, WORD, YES, LETTERS, AnswerForm("option", ("positive", "St. Ives", "not positive"))]

quick = settings(max_examples=60, deadline=None)

SAYING = st.sampled_from(
    [
        "The answer is {}.",
        "so the answer is {}",
        "Therefore, THE ANSWER IS: {}!",
        "The answer is 7. No. The final answer is\t{}.\n\nQ: What of 9 (C) maybe?",
        "It is 3. The answer (in the form asked for) is {}. I hope that this helps: no.",
        "The answer is:\n\n{}",
    ]
)
words = st.text(st.characters(categories=("Ll", "Nd")), min_size=1).map(str.lower)
# No category that holds "!" or "?", and none of the words of the marker.
names = st.text(st.characters(categories=("L", "N", "Zs"), include_characters="()-.,'"), min_size=1)


def both(answer: str | None) -> Parsed:
    return Parsed(answer, answer)


class TestWhatIsSaidComesBack:
    @quick
    @given(SAYING, st.integers(-(10**12), 10**12))
    def test_integer(self, saying, n):
        assert parse(saying.format(n), NUMBER) == both(str(n))
        assert parse(saying.format(f"${n:,}.00"), NUMBER) == both(str(n))

    @quick
    @given(SAYING, st.decimals(-(10**6), 10**6, allow_nan=False, places=3))
    def test_decimal(self, saying, value):
        found = parse(saying.format(f"{value:,f}"), NUMBER)
        assert found.strict == found.lenient
        assert Decimal(found.strict) == value
        assert not re.search(r"\.\d*0$|\.$|,", found.strict)  # in its normal form

    @quick
    @given(SAYING, words, st.sampled_from(["{}", '"{}"', "“{}”", "'{}'", "`{}`", "**{}**"]))
    def test_word(self, saying, word, quotes):
        assert parse(saying.format(quotes.format(word)), WORD) == both(word)
        assert parse(saying.format(quotes.format(word.capitalize())), WORD).strict in (
            word,
            word.capitalize().lower(),  # not the same for a few letters
        )

    @quick
    @given(SAYING, st.sampled_from(["yes", "YES", "Yes", "**Yes**", '"yes"']))
    def test_boolean(self, saying, spelt):
        assert parse(saying.format(spelt), YES) == both("yes")

    @quick
    @given(SAYING, st.sampled_from("ABC"), st.sampled_from(["({})", "[{}]", "{})", "{}", "**{}**"]))
    def test_label(self, saying, letter, spelling):
        for spelt in (letter, letter.lower()):
            text = re.sub("I hope.*|Q:.*", "", saying).format(spelling.format(spelt))
            assert parse(text, LETTERS) == both(f"({letter})")

    @quick
    @given(SAYING, st.lists(names, min_size=1, max_size=4), st.data())
    def test_any_options(self, saying, options, data):
        options = {option.strip().casefold(): option.strip() for option in options}
        options.pop("", None)
        if not options:
            return
        form = AnswerForm("option", tuple(options.values()))
        said = data.draw(st.sampled_from(form.options))
        assert parse(saying.format(said), form) == both(said)


class TestLenient:
    @pytest.mark.parametrize(
        ("text", "form", "last", "first"),
        [
            ("3 apples and 1,204 pears.", NUMBER, "1204", "3"),
            ("It costs -$0.50, not 1,2,3.", NUMBER, "3", "-0.5"),
            ("9-7", NUMBER, "7", "9"),
            ("nothing", NUMBER, None, None),
            ("Yes. Or no?", YES, "no", "yes"),
            ("Nothing, not known, eyes.", YES, None, None),
            ("I choose b).", LETTERS, "(B)", "(B)"),
            ("(a) is wrong, so (b); A cat", LETTERS, "(B)", "(A)"),
            ("A cat is C", LETTERS, "(C)", "(C)"),
            ("A or B", LETTERS, None, None),
            ("i.e. a cat and a dog", LETTERS, None, None),
            ('"a" and "n" are "an". Good', WORD, "an", "a"),
            ("It is AN.", WORD, "an", "it"),
            ("?!", WORD, None, None),
        ],
    )
    def test_by_kind(self, text, form, last, first):
        assert parse(text, form) == Parsed(None, last)
        assert parse(text, form, first=True) == Parsed(None, first)

    def test_longest_name_wins(self):
        assert parse("Sadly NOT POSITIVE here", FORMS[-1]).lenient == "not positive"

    def test_the_sentence_of_the_marker_comes_before_the_rest(self):
        said = "The answer is the letters an. I hope this helps"
        assert parse(said, WORD) == Parsed(None, "an")

    def test_a_cut_off_marker_leaves_the_one_before(self):
        assert parse("The answer is 5.\nQ: 2?\nA: The answer is", NUMBER) == both("5")

    @pytest.mark.parametrize("form", FORMS)
    @quick
    @given(st.text() | st.text(alphabet="theanswris :.()AB$1,\"'\n"))
    def test_never_raises(self, form, text):
        for start in ("", "The answer is ", "The answer is: "):
            found = parse(start + text, form)
            assert found.strict in (None, found.lenient)
            if form.options:
                assert found.lenient in (None, *form.options)


class TestForms:
    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            ("option", (), "needs options"),
            ("boolean", ("yes", " "), "needs options"),
            ("option", ("a", "A"), "the same but for case"),
            ("nubmer", (), "did you mean number"),
        ],
    )
    def test_bad_form(self, kind, options, message):
        with pytest.raises(AdaptlabError, match=message):
            AnswerForm(kind, options)

    def test_of_a_task(self):
        task = ProblemTask("coin", "boolean", ("yes", "no"), lambda _: None, lambda *_: True)
        assert form_of(task) == YES


json_values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
containers = st.lists(json_values, max_size=4) | st.dictionaries(st.text(), json_values, max_size=4)
AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


class TestJson:
    @quick
    @given(json_values, st.sampled_from([None, 2]))
    def test_a_whole_value_comes_back(self, value, indent):
        assert parse_json(f" {json.dumps(value, indent=indent)}\n") == (value, value)

    @quick
    @given(containers, st.sampled_from(["Here: ", "```json\n", "{it is} [so]: "]))
    def test_a_value_in_a_text_is_found_leniently(self, value, before):
        assert parse_json(f"{before}{json.dumps(value)}\n```\nOr: {{}}") == (None, value)

    @quick
    @given(containers, st.data())
    def test_a_cut_off_value_is_none(self, value, data):
        whole = json.dumps(value)
        assert parse_json(whole[: data.draw(st.integers(0, len(whole) - 1))]) == (None, None)

    @quick
    @given(st.text() | st.text(alphabet='{}[]",:1ntrue \\'))
    def test_never_raises_and_agrees(self, text):
        for schema in (None, AGE):
            strict, lenient = parse_json(text, schema)
            assert strict is None or strict == lenient

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ('{"age": 3}', ({"age": 3}, {"age": 3})),
            ('{"age": "3"}', (None, None)),
            ('{"age": "3"} no, {"age": 4}', (None, {"age": 4})),
            ('{"person": {"age": 4}}', (None, None)),
            ("3", (None, None)),
        ],
    )
    def test_under_a_schema(self, text, found):
        assert parse_json(text, AGE) == found

    @pytest.mark.parametrize("text", ["NaN", "[Infinity]", "1" * 5000, "[" * 100_000, "'a'", ""])
    def test_what_is_not_json(self, text):
        assert parse_json(text) == (None, None)

    @pytest.mark.parametrize(
        "schema", [{"type": "objec"}, {"$ref": "#/nowhere"}, {"$ref": "#"}, {"pattern": "("}, 3]
    )
    def test_invalid_schema(self, schema):
        with pytest.raises(AdaptlabError, match="invalid JSON schema") as caught:
            parse_json("{}", schema)
        assert "\n" not in str(caught.value)
