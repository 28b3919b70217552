"""What every family of problems keeps to: splits, balance, pools; and the checkers' spellings."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.tasks.problems import Problem, ProblemTask, from_pool
from adaptlab.tasks.reasoning.checks import same_date, same_number, same_option, same_word


def numbered(n: int, group: str = "") -> Problem:
    return Problem(f"Is {n} more than 69?", "yes" if n > 69 else "no", group=group)


def drawn(most: int, balanced: bool = False) -> ProblemTask:
    return ProblemTask(
        "drawn",
        "boolean",
        ("yes", "no"),
        lambda generator: numbered(generator.randrange(most)),
        same_word,
        balanced,
    )


POOL = [numbered(n) for n in range(100)]


def pooled(balanced: bool = False) -> ProblemTask:
    return from_pool("pooled", "boolean", ("yes", "no"), POOL, same_word, balanced)


def of_split(split: str, answer: str = "") -> list[Problem]:
    return [p for p in POOL if p.split == split and answer in ("", p.answer)]


def test_a_question_is_in_one_split_whatever_the_seed():
    split_of = {}
    for task in (drawn(300), drawn(300, balanced=True), pooled()):
        for seed in range(3):
            for split in ("train", "dev", "test"):
                for problem in task.problems(split, 4, seed):
                    assert split_of.setdefault(problem.question, split) == split == problem.split
    assert len(set(split_of.values())) == 3


def test_about_8_1_1():
    share = Counter(numbered(n).split for n in range(5000))
    assert abs(share["train"] - 4000) < 120  # 4 standard deviations are 113
    assert abs(share["dev"] - 500) < 90


@pytest.mark.parametrize("task", [drawn(10**6), drawn(200, balanced=True), pooled()])
def test_the_seed_decides(task):
    assert task.problems("train", 20, 1) == task.problems("train", 20, 1)
    assert task.problems("train", 20, 1) != task.problems("train", 20, 2)


@pytest.mark.parametrize("task", [drawn(10**6), pooled()])
def test_a_longer_list_begins_with_a_shorter_one(task):
    assert task.problems("train", 40)[:15] == task.problems("train", 15)


def test_signs_make_a_difference():
    minus, plus = Problem("What is 3 - 2?", "1"), Problem("What is 3 + 2?", "5")
    assert minus.id != plus.id
    assert len(minus.id) == len(bytes.fromhex(minus.id)) * 2 == 16


@pytest.mark.parametrize("n", [1, 2, 9, 14])
@pytest.mark.parametrize("task", [drawn(200, balanced=True), pooled(balanced=True)])
def test_balance_is_exact(task, n):
    found = Counter(p.answer for p in task.problems("train", n))
    assert abs(found["yes"] - found["no"]) == n % 2


def test_which_answer_is_one_more_is_drawn():
    answers = {drawn(10**4, balanced=True).problems("train", 1, s)[0].answer for s in range(20)}
    assert answers == {"yes", "no"}


def test_what_is_left_over_by_the_balance_does_not_come_last():
    """Of 200 numbers 130 are "yes": "no" is what would be waited for."""
    lists = [drawn(200, balanced=True).problems("train", 20, seed) for seed in range(60)]
    last = Counter(problems[-1].answer for problems in lists)
    assert 15 <= last["no"] <= 45


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_all_of_a_pool_can_be_had_and_no_more(split):
    whole = of_split(split)
    found = pooled().problems(split, len(whole))
    assert sorted(p.id for p in found) == sorted(p.id for p in whole)
    with pytest.raises(AdaptlabError, match=f"pooled/{split} has fewer problems than the"):
        pooled().problems(split, len(whole) + 1)


def test_a_balanced_pool_ends_with_its_rarer_answer():
    most = 2 * min(len(of_split("train", "yes")), len(of_split("train", "no")))
    assert len(pooled(balanced=True).problems("train", most)) == most
    with pytest.raises(AdaptlabError, match="with every answer equally often than the"):
        pooled(balanced=True).problems("train", most + 2)


def test_a_drawn_family_ends_too():
    there = len({numbered(n).id for n in range(50) if numbered(n).split == "train"})
    assert len(drawn(50).problems("train", there)) == there
    with pytest.raises(AdaptlabError, match=f"drawn/train has fewer .* than the {there + 1}"):
        drawn(50).problems("train", there + 1)


def test_a_group_is_in_one_split():
    together = [Problem(f"Question {n}?", "yes", group="the same") for n in range(50)]
    assert len({p.split for p in together}) == 1
    assert len({p.id for p in together}) == 50
    assert {Problem(f"Question {n}?", "yes").split for n in range(50)} == {"train", "dev", "test"}


@pytest.mark.parametrize(
    ("split", "n", "said"), [("tset", 1, "did you mean test"), ("dev", 0, "0")]
)
def test_bad_requests(split, n, said):
    with pytest.raises(AdaptlabError, match=said):
        pooled().problems(split, n)


def test_a_draw_from_a_pool_is_one_of_it():
    assert pooled().draw(random.Random(0)) in POOL


@given(st.integers(-(10**9), 10**9))
def test_numbers_in_their_spellings(n):
    problem = Problem("?", str(n))
    money = f"-${-n}" if n < 0 else f"${n}"
    for spelt in (f"{n}", f"{n:,}", f"{n}.", f"{n}.00", f" {n} ", money, f"{n}".replace("-", "−")):
        assert same_number(spelt, problem), spelt
    for wrong in (f"{n + 1}", f"{n}.5", f"{n} or {n}", f"{n}1", f"{n}/1", f"{-n or 1}"):
        assert not same_number(wrong, problem), wrong


@pytest.mark.parametrize(
    "nonsense", ["", ".", "-", "nan", "inf", "1e3", "1_000", "10,00", "twelve"]
)
def test_what_is_no_number(nonsense):
    assert not same_number(nonsense, Problem("?", "1000"))
    assert not same_number(nonsense, Problem("?", "0"))


def test_words_options_and_dates_in_their_spellings():
    for spelt in ("an", "AN", '"an"', "an.", " an\n", "“an”"):
        assert same_word(spelt, Problem("?", "an"))
    for wrong in ("na", "a n", "ann", "", "a"):
        assert not same_word(wrong, Problem("?", "an"))
    for spelt in ("(B)", "B", "b", "b)", "B.", "(b).", " (B) "):
        assert same_option(spelt, Problem("?", "(B)"))
    for wrong in ("(A)", "C", "", "AB", "(B) (C)", "B because"):
        assert not same_option(wrong, Problem("?", "(B)"))
    for spelt in ("05/03/1943", "5/3/1943", "05/3/1943.", '"05/03/1943"'):
        assert same_date(spelt, Problem("?", "05/03/1943"))
    for wrong in ("03/05/1943", "05/03/43", "13/45/1943", "5-3-1943", "", "0/0/0000"):
        assert not same_date(wrong, Problem("?", "05/03/1943"))
