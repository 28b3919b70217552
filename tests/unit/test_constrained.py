"""Constrained decoding: whatever the model, what is finished is valid."""

import json

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptlab import models
from adaptlab.errors import AdaptlabError
from adaptlab.prompting.constrained import WHITESPACE, json_grammar, option_grammar
from adaptlab.prompting.parsing import parse_json

pytestmark = pytest.mark.model
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ANIMAL = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "size": {"enum": ["small", "large"]},
        "legs": {"type": "integer", "minimum": 0, "maximum": 8},
    },
    "required": ["name", "size", "legs"],
    "additionalProperties": False,
}
# All of them have an end that a random model comes to within TOKENS.
TOKENS = 200
SCHEMAS = [
    ANIMAL,
    {"enum": ["a", "ab", 3, None, [1, {"b": "é"}], "<|im_end|>"]},
    {"const": "<|im_end|>"},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    {"type": "string", "format": "date"},
    {"type": "string", "pattern": "^[A-C]{2,4}$"},
    {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 3, "maximum": 500}]},
    {"type": "array", "items": ANIMAL, "maxItems": 2},
]


def random_text(tokenizer, grammar, seed: int, tokens: int = TOKENS) -> tuple[str, bool]:
    """What a model of random logits writes, and whether it came to an end."""
    generator, constraint, ids = torch.Generator().manual_seed(seed), grammar.new(), []
    while not constraint.done and len(ids) < tokens:
        logits = torch.randn(len(tokenizer), generator=generator)
        ids.append(int(logits.masked_fill(~constraint.allowed(), -torch.inf).argmax()))
        constraint.advance(ids[-1])
    return tokenizer.decode(ids, skip_special_tokens=True), constraint.done


def write(constraint, tokenizer, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    for token in ids:
        assert constraint.allowed()[token]
        constraint.advance(token)


class TestJson:
    @quick
    @given(st.sampled_from(SCHEMAS), st.sampled_from(["none", "single"]), st.integers(0, 2**40))
    def test_a_random_model_writes_valid_values(self, tokenizer, schema, whitespace, seed):
        text, done = random_text(tokenizer, json_grammar(tokenizer, schema, whitespace), seed)
        assert done
        value = json.loads(text)
        jsonschema.validate(value, schema)
        assert parse_json(text, schema) == (value, value)

    @quick
    @given(st.integers(0, 2**40))
    def test_cut_off_is_incomplete_not_invalid(self, tokenizer, seed):
        grammar = json_grammar(tokenizer, ANIMAL)
        text, done = random_text(tokenizer, grammar, seed, tokens=5)
        assert not done
        assert parse_json(text, ANIMAL) == (None, None)

    @pytest.mark.parametrize(
        ("whitespace", "layout"),
        [("none", {"separators": (",", ":")}), ("single", {}), ("any", {"indent": 2})],
    )
    def test_whitespace(self, tokenizer, whitespace, layout):
        value = {"name": "Rhino", "size": "large", "legs": 4}
        wanted = json.dumps(value, **layout)
        constraint = json_grammar(tokenizer, ANIMAL, whitespace).new()
        write(constraint, tokenizer, wanted)
        assert constraint.done
        assert constraint.complete
        for other in set(WHITESPACE) - {whitespace, "any"}:
            constraint = json_grammar(tokenizer, ANIMAL, other).new()
            with pytest.raises((AdaptlabError, AssertionError)):
                write(constraint, tokenizer, wanted)

    def test_a_number_may_end_or_go_on(self, tokenizer):
        constraint = json_grammar(tokenizer, {"type": "integer"}).new()
        assert not constraint.complete
        write(constraint, tokenizer, "12")
        assert constraint.complete
        assert not constraint.done
        constraint.advance(tokenizer.eos_token_id)
        assert constraint.done

    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ({"type": "objec"}, "invalid JSON schema: the schema.type: 'objec'"),
            ({"type": "object", "properties": {"a": 3}}, "the schema.properties.a: 3 is not"),
            ({"type": "string", "pattern": "("}, "is not a 'regex'"),
            ({"enum": [{1}]}, "not JSON serializable"),
            ({"not": {"type": "null"}}, 'cannot be made a grammar: .*"not"'),
            ({"type": "array", "uniqueItems": True}, "uniqueItems"),
            ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
            ({"$ref": "#/nowhere"}, "does not exist"),
            ({"type": "integer", "minimum": 2, "maximum": 1}, "Unsatisfiable"),
            (False, "no value is valid"),
            (3, "3 is not of type"),
        ],
    )
    def test_invalid_schema(self, tokenizer, schema, message):
        with pytest.raises(AdaptlabError, match=message) as caught:
            json_grammar(tokenizer, schema)
        assert "\n" not in str(caught.value)

    def test_schema_true_and_no_way_to_start(self, tokenizer):
        write(json_grammar(tokenizer, True).new(), tokenizer, '{"a": [1, null]}')
        with pytest.raises(AdaptlabError, match="the grammar cannot be followed"):
            json_grammar(tokenizer, {"$ref": "#"}).new().allowed()

    def test_unknown_whitespace(self, tokenizer):
        with pytest.raises(AdaptlabError, match="did you mean single"):
            json_grammar(tokenizer, True, "singel")


# The bundled tokenizer has no tokens for some control characters, nor for planes that are unused.
characters = st.characters(exclude_categories=["Cs", "Cc"], max_codepoint=0x3FFFF)
option = st.text(characters, min_size=1, max_size=12).filter(str.strip)
option_lists = st.lists(option | st.sampled_from(["a", "ab", "abc", "<|im_end|>"]), min_size=1)


class TestOptions:
    @quick
    @given(option_lists, st.integers(0, 2**40))
    def test_a_random_model_writes_one_of_them(self, tokenizer, options, seed):
        text, done = random_text(tokenizer, option_grammar(tokenizer, options), seed)
        assert done
        assert text in options

    @quick
    @given(option_lists, st.data())
    def test_each_can_be_reached_by_its_own_tokens(self, tokenizer, options, data):
        option = data.draw(st.sampled_from([*options, "<|im_end|>", '"', "\\n"]))
        constraint = option_grammar(tokenizer, [*options, option]).new()
        write(constraint, tokenizer, option)
        assert constraint.complete

    def test_the_end_token_decides_between_an_option_and_its_beginning(self, tokenizer):
        grammar = option_grammar(tokenizer, ["yes", "yes please", "no"])
        short, long, only = grammar.new(), grammar.new(), grammar.new()
        write(short, tokenizer, "yes")
        assert not short.done
        assert short.allowed()[tokenizer.eos_token_id]
        short.advance(tokenizer.eos_token_id)
        assert short.done
        write(long, tokenizer, "yes please")
        assert long.done
        write(only, tokenizer, "no")
        assert only.done
        assert only.allowed().nonzero().tolist() == [[tokenizer.eos_token_id]]

    def test_texts_do_not_share_a_state(self, tokenizer):
        grammar = option_grammar(tokenizer, ["yes", "no"])
        first = grammar.new()
        write(first, tokenizer, "yes")
        assert not grammar.new().done

    @pytest.mark.parametrize("token", ["other", "end", -1, 10**9])
    def test_a_token_that_is_not_allowed(self, tokenizer, token):
        named = {"other": tokenizer("no")["input_ids"][0], "end": tokenizer.eos_token_id}
        constraint = option_grammar(tokenizer, ["yes", "yellow"]).new()
        with pytest.raises(AdaptlabError, match="not allowed here"):
            constraint.advance(named.get(token, token))
        write(constraint, tokenizer, "yes")  # the refusal has changed nothing
        assert constraint.done

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ([], "at least one"),
            ("yes", "a list of texts"),
            (["yes", ""], "an option is empty"),
            (["yes", " "], "an option is empty"),
            (["yes", None], "an option is empty"),
            (["yes", "\ud800"], "no tokens for all of option"),
            (["yes", "\U00040000"], "no tokens for all of option"),
        ],
    )
    def test_bad_options(self, tokenizer, options, message):
        with pytest.raises(AdaptlabError, match=message) as caught:
            option_grammar(tokenizer, options)
        assert "\n" not in str(caught.value)

    def test_a_tokenizer_without_an_end(self, tokenizer):
        class NoEnd:
            eos_token_id = None

            def __len__(self):
                return 3

        with pytest.raises(AdaptlabError, match="no end token"):
            option_grammar(NoEnd(), ["a"])


@torch.inference_mode()
def greedy(bundled: models.Loaded, prompt: str, constraint, tokens: int) -> str:
    """The plain loop, which knows no batches: the text that the model likes best, if allowed."""
    ids, cache, written = bundled.tokenizer(prompt, return_tensors="pt")["input_ids"], None, []
    while not constraint.done and len(written) < tokens:
        out = bundled.model(input_ids=ids, past_key_values=cache, use_cache=True)
        allowed = constraint.allowed()
        logits = out.logits[0, -1, : len(allowed)].masked_fill(~allowed, -torch.inf)
        written.append(int(logits.argmax()))
        constraint.advance(written[-1])
        ids, cache = torch.tensor([written[-1:]]), out.past_key_values
    return bundled.tokenizer.decode(written, skip_special_tokens=True)


def test_the_real_model_writes_valid_json(bundled):
    grammar = json_grammar(bundled.tokenizer, ANIMAL)
    finished = 0
    for animal in ("snail", "rhino"):
        constraint = grammar.new()
        text = greedy(bundled, f"The {animal} as JSON:\n", constraint, tokens=36)
        if constraint.done:
            finished += 1
            jsonschema.validate(json.loads(text), ANIMAL)
    assert finished  # a string of 12 letters and two short parts: there is time to end
