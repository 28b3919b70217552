"""Choices of demonstrations, and the vectors that some are made by."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.techniques import examples
from adaptlab.prompting.techniques.embeddings import hidden_state_embeddings, tf_idf_embeddings
from adaptlab.tasks.problems import Problem

POOL = [Problem(f"q{i}", "yes" if i % 3 else "no", ("s.",) * (i % 4)) for i in range(12)]
FRUIT = [
    Problem("How many apples has Ann?", "1"),
    Problem("How many pears has Bob?", "2"),
    Problem("What is 2 + 3?", "5"),
    Problem("What is 2 * 3?", "6"),
]


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_random_choices_are_different_problems_and_nested(k, seed):
    chosen = examples.at_random(POOL, k, seed)
    assert len({problem.question for problem in chosen}) == k
    assert examples.at_random(POOL, 12, seed)[:k] == chosen


def test_random_choices_differ_by_seed():
    assert len({tuple(examples.at_random(POOL, 3, seed)) for seed in range(20)}) > 10


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 99))
def test_balanced_choices(k, seed):
    chosen = examples.balanced(POOL, k, seed)
    counts = Counter(problem.answer for problem in chosen)
    assert len(set(chosen)) == k
    assert abs(counts["yes"] - counts["no"]) == k % 2


def test_the_odd_one_of_a_balanced_choice_is_of_any_answer_and_place():
    choices = [examples.balanced(POOL, 3, seed) for seed in range(40)]
    patterns = {"".join(problem.answer[0] for problem in chosen) for chosen in choices}
    assert patterns == {"yyn", "yny", "nyy", "nny", "nyn", "ynn"}


def test_a_pool_can_be_too_small_to_balance():
    with pytest.raises(AdaptlabError, match=r"has 4 problems with the answer 'no'.* needs 5"):
        examples.balanced(POOL, 10)


def test_most_complex():
    assert [p.question for p in examples.most_complex(POOL, 4)] == ["q3", "q7", "q11", "q2"]


def test_most_similar_are_nearest_last():
    (chosen,) = examples.most_similar(FRUIT, ["How many apples has Bob?"], 2)
    assert {problem.answer for problem in chosen} == {"1", "2"}
    (chosen,) = examples.most_similar(FRUIT, ["What is 7 * 8?"], 2)
    assert [problem.answer for problem in chosen] == ["5", "6"]  # "*" is a word too


def test_the_question_itself_is_never_shown():
    for chosen in examples.most_similar(FRUIT, [p.question for p in FRUIT], 3):
        assert len(chosen) == 3
    chosen = examples.most_similar(FRUIT, [FRUIT[0].question + " "], 3)[0]
    assert FRUIT[0] not in chosen
    with pytest.raises(AdaptlabError, match="4 demonstrations were asked for; the pool has 3"):
        examples.most_similar(FRUIT, [FRUIT[0].question], 4)


def test_the_nearest_by_brute_force():
    draw = np.random.default_rng(0)
    known, wanted = draw.normal(size=(12, 5)), draw.normal(size=(3, 5))
    found = examples.most_similar(POOL, ["a", "b", "c"], 4, (known, wanted))
    for vector, chosen in zip(wanted, found, strict=True):
        cosine = [v @ vector / math.hypot(*v) / math.hypot(*vector) for v in known]
        order = sorted(range(12), key=lambda i: cosine[i])
        assert chosen == [POOL[i] for i in order[-4:]]


def test_a_question_s_neighbours_do_not_depend_on_the_others():
    asked = ["How many apples?", "What is 2?"]
    both = examples.most_similar(FRUIT, asked, 2)
    assert both == [examples.most_similar(FRUIT, [one], 2)[0] for one in asked]


def test_orders():
    shown = POOL[:3]
    assert {tuple(order) for order in examples.orders(shown)} == set(itertools.permutations(shown))
    assert examples.orders(shown, 99) == examples.orders(shown)
    some = examples.orders(POOL, 30, seed=1)
    assert len({tuple(order) for order in some}) == 30
    assert all(sorted(order, key=POOL.index) == POOL for order in some)
    assert some == examples.orders(POOL, 30, seed=1) != examples.orders(POOL, 30, seed=2)


@pytest.mark.parametrize("choose", [examples.at_random, examples.balanced, examples.most_complex])
@pytest.mark.parametrize("k", [0, 13])
def test_too_many_or_none(choose, k):
    with pytest.raises(AdaptlabError, match=f"{k} demonstrations were asked for; the pool has 12"):
        choose(POOL, k)


def test_bad_requests():
    for vectors, message in [
        ((np.ones((3, 2)), np.ones((1, 2))), "for 4 texts"),
        ((np.ones((4, 2)), np.ones((1, 3))), "widths 2 and 3"),
        ((np.full((4, 2), np.nan), np.ones((1, 2))), "not finite"),
    ]:
        with pytest.raises(AdaptlabError, match=message):
            examples.most_similar(FRUIT, ["a"], 1, vectors)
    for shown, most, message in [
        ([], None, "nothing to do"),
        (POOL, 0, "nothing to do"),
        (POOL, None, "12 demonstrations have 479001600 orders"),
    ]:
        with pytest.raises(AdaptlabError, match=message):
            examples.orders(shown, most)
    with pytest.raises(AdaptlabError, match="no questions"):
        examples.most_similar(FRUIT, [], 1)


def test_tf_idf_rows_have_length_one():
    vectors = tf_idf_embeddings(["2 + 3", "2 * 3", "+ +"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    assert not np.allclose(vectors[0], vectors[1])


@pytest.mark.model
def test_hidden_state_embeddings_one_text_at_a_time(tiny, tokenizer):
    texts = ["How many apples has Ann?", "2", "What is the date, then, a week from now?"]
    found = hidden_state_embeddings(tiny, tokenizer)(texts)
    for row, text in zip(found, texts, strict=True):
        ids = tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            states = tiny(ids, output_hidden_states=True).hidden_states[-1][0]  # (T, D)
        mean = states.mean(0).numpy()
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
