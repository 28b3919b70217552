"""Generated problems: what all families have in common, and bad requests."""

import math
import re
from collections import Counter
from fractions import Fraction

import pytest

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.parsing import form_of, parse
from adaptlab.tasks import reasoning

# Easy and hard settings of every generated family.
SETTINGS = [
    ("analogies", {}), ("analogies", {"options": 3}),
    ("boolean expressions", {}), ("boolean expressions", {"operators": 9}),
    ("coin flip", {}), ("coin flip", {"people": 7}),
    ("dates", {}), ("dates", {"days": 28, "moves": 2}),
    ("great vibes", {}), ("great vibes", {"limit": 2000}),
    ("juggler", {}), ("juggler", {"parts": 3, "most": 900}),
    ("last letters", {}), ("last letters", {"words": 4}),
    ("object counting", {}), ("object counting", {"things": 8, "most": 9}),
    ("sports", {}),
    ("sums", {}), ("sums", {"digits": 6, "terms": 5}), ("sums", {"digits": 1, "terms": 4}),
]  # fmt: skip
IDS = [" ".join([name, *(f"{k}={v}" for k, v in settings.items())]) for name, settings in SETTINGS]
EACH = pytest.mark.parametrize("task", SETTINGS, indirect=True, ids=IDS)
EQUATION = re.compile(r"((?:\d+ [-+*/] )+\d+) = (\d+)")


@pytest.fixture(scope="module")
def task(request):
    name, settings = request.param
    return reasoning.load(name, **settings)


def some(task, n=60):
    n = min(n, 4) if task.name == "great vibes" and len(task.pool) < 1000 else n
    return [p for split in ("train", "dev", "test") for p in task.problems(split, n // 2, seed=3)]


def test_every_generated_family_is_tested():
    assert {name for name, _ in SETTINGS} == set(reasoning.GENERATED)


@EACH
def test_seeds_and_splits(task):
    train, other = task.problems("train", 30, seed=0), task.problems("train", 30, seed=1)
    assert train == task.problems("train", 30, seed=0)
    assert {p.id for p in train} != {p.id for p in other}
    test = task.problems("test", 4, seed=0)
    assert not {p.question for p in train + other} & {p.question for p in test}
    groups = {p.group for p in train + other if p.group}
    assert not groups & {p.group for p in test}


@EACH
def test_labels_are_balanced(task):
    if task.options:
        assert task.balanced
        found = Counter(p.answer for p in task.problems("train", 10 * len(task.options)))
        assert found == dict.fromkeys(task.options, 10)


@EACH
def test_the_checker_takes_the_answer_and_no_other(task):
    problems = some(task)
    answers = {p.answer for p in problems} | set(task.options)
    for problem in problems:
        for spelt in (problem.answer, f" {problem.answer.upper()}.", problem.answer.lower()):
            assert task.check(spelt, problem)
        for wrong in (*(answers - {problem.answer}), "", "no idea", problem.answer * 2):
            assert not task.check(wrong, problem)


@EACH
def test_a_parser_reads_the_answer_from_a_solution(task):
    for problem in some(task):
        solution = " ".join((*problem.steps, f"So the answer is {problem.answer}."))
        assert task.check(parse(solution, form_of(task)).strict, problem)


@EACH
def test_steps_end_at_the_answer(task):
    for problem in some(task):
        last = problem.steps[-1]
        assert all(step.endswith(".") and "answer is" not in step for step in problem.steps)
        if task.options == ("yes", "no"):
            assert bool(re.search(r" not | no longer ", last)) == (problem.answer == "no")
        elif task.name == "juggler":
            assert EQUATION.match(last)[2] == problem.answer
        elif task.kind == "word":
            assert re.findall(r"[\w/]+", last)[-1] == problem.answer
        else:
            assert re.findall(r"\d+|True|False|\([A-E]\)", last)[-1] == problem.answer


@EACH
def test_calculations_in_the_steps_are_right(task):
    found = [EQUATION.findall(step) for problem in some(task) for step in problem.steps]
    for left, right in (equation for equations in found for equation in equations):
        assert Fraction(eval(left)) == int(right), left
    if task.kind == "number" or task.name == "great vibes":
        assert any(found)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("coin flips", {}, "unknown family of problems 'coin flips'; did you mean coin flip"),
        ("sums", {"digit": 3}, "unknown setting of sums 'digit'; did you mean digits"),
        ("sports", {"digits": 3}, "sports has no settings"),
        ("sums", {"digits": 7}, "digits is 7; it is a whole number from 1 to 6"),
        ("last letters", {"words": 1}, "words is 1; .* from 2 to 4"),
        ("dates", {"days": 2.5}, "days is 2.5"),
        ("coin flip", {"people": True}, "people is True"),
        ("great vibes", {"limit": 10}, "limit is 10"),
        ("juggler", {"most": math.inf}, "most is inf"),
    ],
)
def test_bad_settings(name, settings, said):
    with pytest.raises(AdaptlabError, match=said) as error:
        reasoning.load(name, **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("great vibes", {"limit": 1000}), ("sports", {}), ("coin flip", {"people": 1})],
)
def test_asking_for_too_many(name, settings):
    with pytest.raises(AdaptlabError, match=f"{name}/test has fewer problems"):
        reasoning.load(name, **settings).problems("test", 3000)
