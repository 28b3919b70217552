"""Votes and the curve over k, against counting by hand and over all subsets."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from technique_fakes import Scripted, says

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.parsing import AnswerForm
from adaptlab.prompting.techniques.self_consistency import (
    accuracy_by_k,
    answers_of,
    complexity_vote,
    count_steps,
    self_consistency,
    vote,
)
from adaptlab.sampling import GREEDY
from adaptlab.tasks.problems import Problem

NUMBER = AnswerForm("number")
SHOWN = [Problem("Sue has 3 nuts and gets 4. How many?", "7", ("3 + 4 = 7.",))]
ANSWERS = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=9)
SAMPLES = [" Hm. The answer is 5.", " 9, or 4", " 2 + 3.\n= 5", " Who knows?", " The answer is 4."]


def check(answer, problem):
    return answer == problem.answer


def test_samples_vote_and_all_are_kept():
    model = Scripted(lambda prompt, sample: SAMPLES[sample])
    found = self_consistency(model, ["a?", "b?"], NUMBER, SHOWN, k=5, seed=7)
    (call,) = model.calls
    shown = "Q: Sue has 3 nuts and gets 4. How many?\nA: 3 + 4 = 7. The answer is 7.\n\n"
    assert call.prompts == (f"{shown}Q: a?\nA:", f"{shown}Q: b?\nA:")
    assert (call.samples, call.seed, call.sampling.temperature, call.sampling.top_k) == (
        5,
        7,
        0.7,
        40,
    )
    assert [one.trace for one in found] == [tuple(SAMPLES)] * 2
    # Leniently 5, 4, 5, none, 4: of the two with two votes, 5 had them first. Strictly 5, 4.
    assert [(one.answer, one.strict) for one in found] == [("5", "5")] * 2
    assert answers_of(found, NUMBER)[0] == ["5", "4", "5", None, "4"]
    assert answers_of(found, NUMBER, strict=True)[0] == ["5", None, None, None, "4"]


def test_only_the_longest_chains_vote():
    chains = [" The answer is 5.", " The answer is 5.", " One. Two. The answer is 4."]
    model = Scripted(lambda prompt, sample: chains[sample])
    options = {"form": NUMBER, "demonstrations": SHOWN, "k": 3}
    assert self_consistency(model, ["a?"], **options)[0].answer == "5"
    assert self_consistency(model, ["a?"], longest=1, **options)[0].answer == "4"
    assert self_consistency(model, ["a?"], longest=9, **options)[0].answer == "5"


def test_ties_go_to_the_first_to_reach():
    assert vote(["1", "2", "2", "1"]) == "2"
    assert vote(["1", "2"]) == "1"
    assert vote([None, "2", None]) == "2"
    assert vote([None]) is None
    assert vote([]) is None


@settings(deadline=None)
@given(ANSWERS, st.randoms())
def test_the_order_decides_nothing_but_ties(answers, draw):
    counts = Counter(answer for answer in answers if answer is not None).most_common()
    assume(len(counts) < 2 or counts[0][1] > counts[1][1])
    winner = counts[0][0] if counts else None
    mixed = draw.sample(answers, len(answers))
    assert vote(answers) == vote(mixed) == winner


def test_steps_are_lines_or_sentences():
    assert count_steps("2 + 3 = 5. So it is 5.") == 2
    assert count_steps(" 1. Take 2.5 of it.\n2. Done\n\n") == 2
    assert count_steps("") == 0


@settings(deadline=None)
@given(ANSWERS, st.integers(1, 9), st.data())
def test_complexity_vote_by_brute_force(answers, longest, data):
    steps = data.draw(st.lists(st.integers(1, 4), min_size=len(answers), max_size=len(answers)))
    chains = ["So. " * n for n in steps]
    valid = [i for i in range(len(answers)) if answers[i] is not None]
    ahead = {i: sum((-steps[j], j) < (-steps[i], i) for j in valid) for i in valid}
    voters = [answers[i] for i in valid if ahead[i] < longest]
    assert complexity_vote(chains, answers, longest) == vote(voters)


def curve(rows, right, ks, **options):
    problems = [Problem(f"q{i}", answer) for i, answer in enumerate(right)]
    return accuracy_by_k(rows, problems, check, ks, **options)


@settings(deadline=None)
@given(ANSWERS, st.sampled_from(["1", "2"]))
def test_the_curve_s_ends(answers, right):
    found = curve([answers], [right], [1, len(answers)])
    assert found[0, 0] == pytest.approx(np.mean([answer == right for answer in answers]))
    assert found[0, 1] == (vote(answers) == right)


def test_the_curve_s_middle_is_the_mean_over_all_subsets():
    rows = [["1", "2", "2", None, "1"], ["2", "2", "1", "3", "3"]]
    found = curve(rows, ["1", "2"], [1, 2, 3, 4, 5])
    for i, (row, right) in enumerate(zip(rows, "12", strict=True)):
        for k in range(1, 6):
            subsets = itertools.combinations(row, k)
            assert found[i, k - 1] == pytest.approx(np.mean([vote(s) == right for s in subsets]))


def test_random_subsets_come_near_the_exact_curve():
    """40 samples, 60% right against one wrong answer: with k = 5, hypergeometric."""
    row = (["1"] * 3 + ["2"] * 2) * 8
    found = curve([row], ["1"], [1, 5, 40], subsets=4000)
    ways = [comb_of(24, right) * comb_of(16, 5 - right) for right in range(6)]
    exact = sum(ways[3:]) / sum(ways)
    assert found[0, 0] == pytest.approx(0.6)
    assert found[0, 1] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000))
    assert found[0, 2] == 1
    again = curve([row], ["1"], [1, 5, 40], subsets=4000)
    np.testing.assert_array_equal(found, again)


def comb_of(n, k):
    return len(list(itertools.combinations(range(n), k)))


def test_bad_requests():
    options = {"form": NUMBER, "demonstrations": SHOWN}
    for more, message in [
        ({"k": 0}, "k is 0"),
        ({"k": 2, "longest": 0}, "longest is 0"),
        ({"k": 2, "sampling": GREEDY}, "2 greedy samples are all the same"),
    ]:
        model = says(" 1")
        with pytest.raises(AdaptlabError, match=message):
            self_consistency(model, ["a?"], **options, **more)
        assert not model.calls
    assert self_consistency(says(" 1"), ["a?"], k=1, sampling=GREEDY, **options)[0].answer == "1"
    with pytest.raises(AdaptlabError, match="longest is 0"):
        complexity_vote(["a"], ["1"], 0)


@pytest.mark.parametrize(
    ("rows", "right", "ks", "message"),
    [
        ([], [], [1], "answers to 0 questions"),
        ([["1"]], ["1", "2"], [1], "1 questions for 2 problems"),
        ([["1"], ["1", "2"]], ["1", "2"], [1], "different numbers"),
        ([["1"]], ["1"], [0], "k is one of 1 to 1"),
        ([["1"]], ["1"], [2], "k is one of 1 to 1"),
        ([["1"]], ["1"], [], "k is one of 1 to 1"),
    ],
)
def test_bad_curves(rows, right, ks, message):
    with pytest.raises(AdaptlabError, match=message):
        curve(rows, right, ks)
    with pytest.raises(AdaptlabError, match="0 subsets"):
        curve([["1"]], ["1"], [1], subsets=0)
