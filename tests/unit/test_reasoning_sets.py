"""Fixed sets of problems, and the generators of reasoning-gym."""

import gzip
import hashlib
import json
import random
import re
import sys
from collections import Counter

import numpy as np
import pytest

from adaptlab import sources
from adaptlab.errors import AdaptlabError
from adaptlab.prompting.parsing import form_of, parse
from adaptlab.tasks import reasoning
from adaptlab.tasks.reasoning import from_reasoning_gym

# sha256 over the sorted ids and answers of each split. A change here moves published results.
SPLITS = {
    "disambiguation": {
        "train": (210, "16148afdbb09f1ab"),
        "dev": (24, "eeffae8881c8c760"),
        "test": (21, "09cfa0b4cd2caab4"),
    },
    "gsm8k": {
        "train": (1050, "a62d4f42cf18cddc"),
        "dev": (137, "258feea9ecc3fb88"),
        "test": (132, "797e0aae237f06e5"),
    },
}


@pytest.mark.parametrize("name", SPLITS)
def test_the_splits_have_not_moved(name):
    task = reasoning.load(name)
    found = {}
    for split, (n, _) in SPLITS[name].items():
        lines = sorted(f"{p.id} {p.answer}" for p in task.problems(split, n))
        found[split] = n, hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
        with pytest.raises(AdaptlabError, match="has fewer problems"):
            task.problems(split, n + 1)
    assert found == SPLITS[name]
    assert task.sources[0] in sources.catalogue()


@pytest.mark.parametrize("name", SPLITS)
def test_answers_pass_parser_and_checker(name):
    task = reasoning.load(name)
    for problem in task.pool:
        assert task.check(problem.answer, problem)
        assert task.check(parse(f"The answer is {problem.answer}.", form_of(task)).strict, problem)
        others = task.options or (str(int(problem.answer) + 1), f"{problem.answer}5")
        assert not any(task.check(o, problem) for o in others if o != problem.answer)


def test_gsm8k_steps_are_the_package_s_own_clean_solution():
    task = reasoning.load("gsm8k")
    with gzip.open(sources.path("gsm8k", "requests.jsonl.gz"), "rt", encoding="utf-8") as lines:
        rows = {row["question"]: row for row in (json.loads(line)["doc"] for line in lines)}
    for problem in task.pool:
        row = rows[problem.question]
        clean, answer = re.fullmatch(r"(.*) So the answer is (.*)\.", row["choices"][0]).groups()
        assert bare("".join(problem.steps)) == bare(clean)
        assert problem.answer == re.sub("[, ]", "", answer)
        assert "<<" not in "".join(problem.steps)
        assert all(step.endswith((".", "!", "?")) for step in problem.steps)


def bare(text: str) -> str:
    """Without spaces, full stops and capitals, which the package's version changes."""
    return re.sub(r"[\s.]", "", text).casefold()


def test_gsm8k_calculations_are_right():
    """The annotations say what is calculated: nearly all are right as they stand."""
    with gzip.open(sources.path("gsm8k", "requests.jsonl.gz"), "rt", encoding="utf-8") as lines:
        answers = [json.loads(line)["doc"]["answer"] for line in lines]
    sums = [s for a in answers for s in re.findall(r"<<([-+*/.()\d]+)=(-?[.\d]+)>>", a)]
    right = sum(abs(eval(re.sub(r"\b0+(?=\d)", "", s)) - float(v)) < 0.05 for s, v in sums)
    assert len(sums) > 3500
    assert right / len(sums) > 0.99


def test_variants_of_a_sentence_are_in_one_split():
    task = reasoning.load("disambiguation")
    splits = {}
    for problem in task.pool:
        sentence = re.search(r'"(.*)"', problem.question)[1].casefold()
        bare = re.sub(r"\b(he|him|his|she|her|they|them|their|is|are|was|were)\b", "_", sentence)
        splits.setdefault(re.sub(r"(ed|s|es)\b", "", bare), set()).add(problem.split)
    assert len(splits) < len(task.pool) / 2
    assert all(len(found) == 1 for found in splits.values())


def test_disambiguation_asks_with_three_options():
    task = reasoning.load("disambiguation")
    for problem in task.pool:
        labels = re.findall(r"^\([A-D]\)", problem.question, re.M)
        assert tuple(labels) == task.options
        assert problem.question.endswith("(C) Ambiguous")
    assert Counter(p.answer for p in task.pool) == {"(A)": 77, "(B)": 100, "(C)": 78}


def test_a_sum_of_reasoning_gym():
    task = from_reasoning_gym("chain_sum", "number", min_terms=2, max_terms=2, max_digits=2)
    for problem in task.problems("test", 20):
        right = eval(re.search(r"[-+\d ]*\d [-+] [-+\d ]*\d", problem.question)[0])
        assert int(problem.answer) == right
        assert task.check(parse(f"That is {right}.", form_of(task)).lenient, problem)
        assert not task.check(str(right + 1), problem)
        assert not task.check("", problem)


def test_reasoning_gym_keeps_seeds_and_splits():
    task = from_reasoning_gym("leg_counting", "number")
    train = task.problems("train", 10)
    assert train == from_reasoning_gym("leg_counting", "number").problems("train", 10)
    assert train != task.problems("train", 10, seed=1)
    assert not {p.id for p in train} & {p.id for p in task.problems("test", 10)}


def test_reasoning_gym_accepts_any_of_many_right_answers():
    """A colouring: it gives no answer, and takes whatever fits."""
    task = from_reasoning_gym("graph_color", num_colors=3, min_num_vertices=3, max_num_vertices=3)
    (problem,) = task.problems("train", 1)
    assert problem.answer == ""
    everyone_another = json.dumps({"0": 1, "1": 2, "2": 3})
    assert task.check(everyone_another, problem)
    assert not task.check("{}", problem)


def test_a_scorer_that_fails_says_no():
    task = from_reasoning_gym("prime_factorization")
    (problem,) = task.problems("train", 1)
    assert task.check(problem.answer, problem)
    assert not task.check("I cannot factor that", problem)


def test_its_size_is_how_many_there_are():
    task, generator = from_reasoning_gym("leg_counting", "number", size=50), random.Random(0)
    assert 45 <= len({task.draw(generator).id for _ in range(500)}) <= 50


def test_case_makes_no_difference():
    task = from_reasoning_gym("spell_backward")
    problem = next(p for p in task.problems("train", 200) if p.answer != p.answer.upper())
    assert task.check(problem.answer.upper(), problem)


@pytest.mark.parametrize("name", ["pool_matrix", "list_functions"])
def test_global_randomness_is_left_alone_and_makes_no_difference(name):
    task = from_reasoning_gym(name)
    np.random.seed(5)
    expected = np.random.rand(3)
    np.random.seed(5)
    first = task.problems("train", 8)
    np.testing.assert_array_equal(np.random.rand(3), expected)
    assert first == task.problems("train", 8)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("chain_sums", {}, "did you mean chain_sum"),
        ("chain_sum", {"terms": 3}, "reasoning-gym refuses chain_sum with .*terms"),
        ("chain_sum", {"min_terms": 0}, "reasoning-gym refuses chain_sum"),
        ("chain_sum", {"size": -1}, "reasoning-gym refuses chain_sum"),
        ("composite", {}, "at least one dataset"),
        ("game_of_life_halting", {}, "takes any answer for right"),
    ],
)
def test_bad_generators(name, config, said):
    with pytest.raises(AdaptlabError, match=said) as error:
        from_reasoning_gym(name, **config)
    assert "\n" not in str(error.value)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(AdaptlabError, match=r"pip install 'adaptlab\[reasoning\]'"):
        from_reasoning_gym("chain_sum")
