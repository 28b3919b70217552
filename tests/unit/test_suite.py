"""The prompt test-bench: files are read strictly, runs say what happened, and are kept whole."""

import dataclasses
import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab import paths
from adaptlab.errors import AdaptlabError
from adaptlab.prompting.local import LocalModel
from adaptlab.prompting.suite import Case, hash_of, load_cases, load_prompt, run
from adaptlab.prompting.suite_run import Outcome, SuiteRun, digest, read_run
from adaptlab.prompting.template import Template
from adaptlab.sampling import Sampling
from tests.suite_fakes import FakeModel, cases

TEXT = 'text = "Say {input}"\n'
HEAD = 'name = "toy"\nversion = 1\nmax_tokens = 5\n'
CASE = '[[cases]]\nid = "a"\ninput = "A"\nexpect = { equals = "x" }\n'


def prompt_of(tmp_path, toml: str):
    (tmp_path / "v1.toml").write_text(toml)
    return load_prompt(tmp_path / "v1.toml")


def cases_of(tmp_path, toml: str) -> tuple[Case, ...]:
    (tmp_path / "cases.toml").write_text(toml)
    return load_cases(tmp_path / "cases.toml")


def refusal(call, *arguments) -> str:
    with pytest.raises(AdaptlabError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# Prompts


@given(st.text())
def test_the_input_stands_once_and_whole_where_its_field_was(tmp_path_factory, text):
    prompt = prompt_of(tmp_path_factory.mktemp("p"), HEAD + "text = 'JSON {\"a\": {input}} {}'\n")
    assert prompt.fill(text) == 'JSON {"a": ' + text + "} {}"
    chat = dataclasses.replace(prompt, chat=True)
    assert chat.fill(text) == [{"role": "user", "content": prompt.fill(text)}]


def test_settings_and_their_defaults(tmp_path):
    prompt = prompt_of(tmp_path, HEAD + TEXT)
    assert (prompt.sampling, prompt.samples, prompt.stop) == (Sampling(), 1, ())
    assert not prompt.is_conversation
    table = "[sampling]\ntemperature = 1\ntop_p = 0.9\nsamples = 3\nseed = 7\n"
    prompt = prompt_of(tmp_path, HEAD + TEXT + 'stop = ["\\n"]\nchat = true\n' + table)
    assert prompt.sampling == Sampling(1, top_p=0.9)
    assert (prompt.samples, prompt.seed, prompt.stop) == (3, 7, ("\n",))
    assert prompt.is_conversation


BLOCKS = """
[blocks]
objective_and_persona = "You are a clerk. Your task is to sort letters."
instructions = ["Read the letter.", "Name its pile."]
few_shot_examples = [{ input = "Pay up!", output = "bills" }]
"""


@pytest.mark.parametrize("form", ["xml", "json", "plain", "chat"])
def test_blocks_are_lecture_003_s_template(tmp_path, form):
    prompt = prompt_of(tmp_path, HEAD + f'form = "{form}"\n' + BLOCKS)
    template = Template.from_blocks(tomllib.loads(BLOCKS)["blocks"])
    assert prompt.fill("</INPUT> {input}") == template.ask("</INPUT> {input}", form)
    assert prompt.is_conversation == (form == "chat")


BAD_PROMPTS = {
    HEAD: "give the prompt either as text or as blocks",
    HEAD + TEXT + BLOCKS: "give the prompt either as text or as blocks",
    HEAD + 'text = "Say it"\n': "{input} stands 0 times in the text",
    HEAD + 'text = "{input} {input}"\n': "{input} stands 2 times in the text",
    HEAD + BLOCKS.replace("clerk", "{input}"): "{input} has no place in blocks",
    HEAD + "[blocks]\ninstructions = ['a']\n": "block 'objective_and_persona' is missing",
    HEAD + TEXT + 'form = "xml"\n': "form says how blocks are written",
    HEAD + 'form = "yaml"\n' + BLOCKS: "unknown form 'yaml'",
    HEAD + TEXT + "max_token = 3\n": "unknown key 'max_token'; did you mean max_tokens?",
    'name = "toy"\nversion = 1\n' + TEXT: "the key 'max_tokens' is missing",
    HEAD.replace("= 5", '= "5"') + TEXT: "max_tokens must be a whole number, not '5'",
    HEAD.replace("= 5", "= true") + TEXT: "max_tokens must be a whole number, not True",
    HEAD.replace("= 5", "= 0") + TEXT: "max_tokens is 0; it must be at least 1",
    HEAD.replace("version = 1", "version = 2") + TEXT: "the file says version 2",
    HEAD + TEXT + 'stop = "x"\n': "stop must be a list, not 'x'",
    HEAD + TEXT + 'stop = [""]\n': "stop must be a list of texts, none of them empty",
    HEAD + TEXT + "[sampling]\ntemp = 1\n": "unknown sampling key 'temp'; did you mean temperature",
    HEAD + TEXT + "[sampling]\ntop_k = 1\n": "the sampling key 'temperature' is missing",
    HEAD + TEXT + "[sampling]\ntemperature = -1\n": "the temperature is -1; it cannot be negative",
    HEAD + TEXT + "[sampling]\ntemperature = 0\nsamples = 2\n": "2 samples at temperature 0 would",
    "name = \n": "is not a TOML file: Invalid value (at line 1, column 8)",
    "a = " + "[" * 9999: "is not a TOML file",
}


@pytest.mark.parametrize(("toml", "message"), BAD_PROMPTS.items())
def test_a_mistake_in_a_prompt_is_one_line_with_its_file(tmp_path, toml, message):
    said = refusal(prompt_of, tmp_path, toml)
    assert message in said
    assert str(tmp_path / "v1.toml") in said


def test_files_that_cannot_be_read_are_refused(tmp_path):
    assert "No such file" in refusal(load_prompt, tmp_path / "v1.toml")
    assert "Is a directory" in refusal(load_cases, tmp_path)
    (tmp_path / "v1.toml").write_bytes(b"\xff\xfe")
    assert "is not a TOML file" in refusal(load_prompt, tmp_path / "v1.toml")


# Cases

BAD_CASES = {
    "": "there are no cases; a case begins with [[cases]]",
    "cases = []\n": "there are no cases",
    "cases = [3]\n": "case 1: it must be a table",
    CASE + CASE: "case 'a': another case has the same id",
    CASE.replace('"a"', '" "'): "the id must be one line of text, not empty",
    CASE.replace('"a"', '"a\\nb"'): "the id must be one line of text",
    CASE.replace('id = "a"\n', ""): "case 1: the key 'id' is missing",
    CASE.replace('input = "A"\n', ""): "case 'a': the key 'input' is missing",
    CASE.replace("input", "imput"): "case 'a': unknown key 'imput'; did you mean input?",
    CASE.replace('{ equals = "x" }', "{}"): "case 'a': it expects nothing",
    CASE.replace("equals", "equal"): "case 'a': unknown checker 'equal'; did you mean equals?",
    CASE.replace('equals = "x"', 'matches = "["'): "case 'a': matches: '[' is not a regular",
    CASE.replace('equals = "x"', "json = { schema = { type = 1 } }"): "case 'a': json: invalid",
    CASE.replace('equals = "x"', "number = 2020-01-01"): "case 'a': number: JSON can hold no date",
    CASE + "[extra]\n": "unknown key 'extra'",
}


@pytest.mark.parametrize(("toml", "message"), BAD_CASES.items())
def test_a_mistake_in_the_cases_is_one_line_with_file_and_case(tmp_path, toml, message):
    said = refusal(cases_of, tmp_path, toml)
    assert message in said
    assert str(tmp_path / "cases.toml") in said


def test_the_hash_is_of_what_is_asked_and_expected(tmp_path):
    other = CASE.replace('"a"', '"b"')
    first = hash_of(cases_of(tmp_path, CASE + other))
    assert hash_of(cases_of(tmp_path, f"# a comment\n{other}{CASE}")) == first
    changes = [('"A"', '"B"'), ('"x"', '"y"'), ('id = "a"', 'id = "c"'), ("equals", "contains")]
    for change in changes:
        assert hash_of(cases_of(tmp_path, CASE.replace(*change) + other)) != first
    assert hash_of(cases_of(tmp_path, CASE)) != first


# Runs


def test_a_run_asks_everything_at_once_and_says_what_failed(tmp_path):
    prompt = prompt_of(tmp_path, HEAD + TEXT + 'stop = ["."]\n')
    model = FakeModel({"the mouse": [" small\n"], "the whale": ["it is large"]})
    found = run(model, prompt, cases({"mouse": "small", "whale": "large"}))
    (asked,) = model.asked
    how = {"max_tokens": 5, "samples": 1, "sampling": Sampling(), "stop": (".",), "seed": 0}
    assert asked == (["Say the mouse", "Say the whale"], how)
    mouse, whale = found.outcomes
    assert mouse == Outcome(
        "mouse", "the mouse", ('equals "small"',), (" small\n",), ((),), True, 1
    )
    assert (whale.passed, whale.failures) == (False, (("equals: not 'large'",),))
    assert (found.passed, found.tokens, found.prompt_tokens, found.cost) == (1, 4, 6, 0.25)
    assert found.prompt_hash == digest((tmp_path / "v1.toml").read_text())
    assert "toy v1 on fake: 1 of 2 cases passed; 6 tokens read, 4 written" in str(found)


@pytest.mark.parametrize(("right", "passes"), [(0, False), (1, False), (2, False), (3, True)])
def test_more_than_half_of_the_samples_must_be_right(tmp_path, right, passes):
    table = "[sampling]\ntemperature = 1\nsamples = 4\nseed = 3\n"
    prompt = prompt_of(tmp_path, HEAD + TEXT + table)
    model = FakeModel({"mouse": ["small"] * right + ["big"] * (4 - right)})
    (outcome,) = run(model, prompt, cases({"mouse": "small"})).outcomes
    assert outcome.passed is passes
    assert sum(not reasons for reasons in outcome.failures) == right
    assert model.asked[0][1]["samples"] == 4
    assert model.asked[0][1]["seed"] == 3


def test_a_run_needs_cases_with_ids_of_their_own(tmp_path):
    prompt, some = prompt_of(tmp_path, HEAD + TEXT), cases({"a": "b"})
    for wrong in ((), some * 2):
        assert "at least one case" in refusal(run, FakeModel({}), prompt, wrong)


TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates as well
OUTCOMES = st.builds(
    Outcome,
    id=TEXTS,
    input=TEXTS,
    expected=st.just(('equals "x"',)),
    outputs=st.tuples(TEXTS, TEXTS),
    failures=st.tuples(st.just(()), st.tuples(TEXTS)),
    passed=st.booleans(),
    tokens=st.integers(0),
)
RUNS = st.builds(
    lambda prompt, **rest: SuiteRun(prompt=prompt, prompt_hash=digest(prompt), **rest),
    prompt=TEXTS,
    name=TEXTS,
    version=st.integers(1),
    cases_hash=TEXTS,
    model=TEXTS,
    date=TEXTS,
    seconds=st.floats(0, allow_infinity=False),
    prompt_tokens=st.integers(0),
    cost=st.floats(0, allow_infinity=False),
    cached=st.integers(0),
    outcomes=st.lists(OUTCOMES, max_size=3).map(tuple),
)


@given(RUNS)
def test_a_run_comes_back_from_its_file_as_it_was(tmp_path_factory, made):
    file = made.save(tmp_path_factory.mktemp("run") / "run.json")
    assert read_run(file) == made
    assert [each.name for each in file.parent.iterdir()] == ["run.json"]


def test_what_is_no_run_is_refused(tmp_path):
    prompt = prompt_of(tmp_path, HEAD + TEXT)
    made = run(FakeModel({"a": ["b"]}), prompt, cases({"a": "b"}))
    file = made.save(tmp_path / "run.json")
    whole = json.loads(file.read_text())
    wrong = [
        (whole | {"prompt": "another"}, "the prompt in it is not the one that was run"),
        (whole | {"version": "1"}, "the field version is '1'"),
        (whole | {"cost": True}, "the field cost is True"),
        (whole | {"extra": 1}, "extra"),
        ({key: whole[key] for key in whole if key != "model"}, "the field model is None"),
        (whole | {"outcomes": [whole["outcomes"][0] | {"outputs": [1]}]}, "the field outputs is"),
        (whole | {"outcomes": [whole["outcomes"][0] | {"failures": []}]}, "were not checked"),
        (whole | {"outcomes": ["a"]}, "is not a run"),
        (whole | {"outcomes": None}, "is not a run"),
        ([whole], "is not a run"),
    ]
    for content, message in wrong:
        file.write_text(json.dumps(content))
        assert message in refusal(read_run, file)
        assert str(file) in refusal(read_run, file)
    file.write_text(json.dumps(whole)[:-5])
    assert "is not a run of a prompt suite" in refusal(read_run, file)
    assert "No such file" in refusal(read_run, tmp_path / "none.json")
    assert "cannot write" in refusal(made.save, tmp_path / "none" / "run.json")


# The examples


@pytest.mark.parametrize("name", ["objects", "feedback"])
def test_the_examples_can_be_run_and_do_not_give_their_answers_away(name):
    folder = paths.prompts() / name
    first, second = (load_prompt(folder / f"v{version}.toml") for version in (1, 2))
    asked = load_cases(folder / "cases.toml")
    assert first.name == second.name == name
    assert len(asked) >= 10
    for version in (first, second):
        assert not any(case.input.lower() in version.prompt.lower() for case in asked)


def test_the_examples_travel_with_the_package(monkeypatch):
    project = tomllib.loads((paths.checkout() / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert carried["data/prompts"] == "adaptlab/prompts"
    monkeypatch.setattr(paths, "checkout", lambda: None)
    assert paths.prompts() == paths.PACKAGE / "prompts"


@pytest.mark.model
def test_the_bundled_model_keeps_to_the_second_version_s_form(bundled):
    """On the lecture's own four objects: v1 is answered in sentences, v2 by a class."""
    model = LocalModel(bundled.model, bundled.tokenizer, "bundled")
    folder = paths.prompts() / "objects"
    asked = load_cases(folder / "cases.toml")[:4]
    found = [run(model, load_prompt(folder / f"v{version}.toml"), asked) for version in (1, 2)]
    said = [{outcome.outputs[0].strip() for outcome in each.outcomes} for each in found]
    assert not said[0] & {"Large", "Small"}
    assert said[1] <= {"Large", "Small"}
    assert found[0].passed == 0 < found[1].passed
    assert found[0].prompt_tokens + found[1].prompt_tokens == model.usage.prompt_tokens
