"""Worked problems: their steps and answers against Python's own arithmetic."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.tasks import SPLITS, worked

FAMILIES = sorted(worked.MOST)
WORDS = {"T": "True", "F": "False", "&": " and ", "|": " or ", "^": " != "}


def bracketed(question: str, spelt: dict[str, str]) -> list[str]:
    """What each operation of a chain asks for, as Python writes it, all before it in brackets."""
    found = [spelt.get(question[0], question[0])]
    for sign, operand in re.findall(r"[a-p](.)(.)", question):
        found.append(f"({found[-1]}{spelt.get(sign, sign)}{spelt.get(operand, operand)})")
    return found[1:]


@given(st.integers(0, 10**9), st.integers(1, worked.MOST["boolean"]))
def test_a_boolean_chain_is_what_python_says(seed, length):
    problem = worked.draw_chain(random.Random(seed), length, "boolean")
    values = [str(eval(text))[0] for text in bracketed(problem.question, WORDS)]
    assert len(values) == length
    assert problem.steps == tuple(map("".join, zip(worked.HINTS, values, strict=False)))
    assert problem.answer == values[-1]


@given(st.integers(0, 10**9), st.integers(1, worked.MOST["modular"]))
def test_a_modular_chain_is_the_whole_number_s_rest(seed, length):
    problem = worked.draw_chain(random.Random(seed), length, "modular")
    values = [str(eval(text) % 5) for text in bracketed(problem.question, {})]  # once, at the end
    assert problem.steps == tuple(map("".join, zip(worked.HINTS, values, strict=False)))
    assert problem.answer == values[-1]
    assert len(values) == length


@given(st.integers(0, 10**9), st.integers(1, worked.DIGITS))
def test_the_columns_of_a_sum(seed, digits):
    problem = worked.draw_sum(random.Random(seed), digits)
    first, second = (int(number) for number in problem.question.split("+"))
    assert len(str(first)) == len(str(second)) == digits or digits == 1
    for column, step in enumerate(problem.steps):
        below = 10 ** (column + 1)  # a column with its carry is the sum of all up to it, cut off
        assert int(step[-2:]) == (first % below + second % below) // 10**column
        assert (step[0], step[1]) == (str(first // 10**column)[-1], str(second // 10**column)[-1])
        assert step[2] == (problem.steps[column - 1][-2] if column else "0")
    assert int(problem.answer) == first + second
    # The answer can be read off: the last column's carry, and from each step its last digit.
    read_off = problem.steps[-1][-2] + "".join(step[-1] for step in reversed(problem.steps))
    assert problem.answer == read_off


@pytest.mark.parametrize("family", FAMILIES)
def test_all_is_written_in_the_characters_and_of_one_length(family):
    for size in (1, worked.MOST[family]):
        shapes = set()
        for problem in worked.load(family, size, size).problems("train", 5 if size == 1 else 100):
            text = problem.question + "".join(problem.steps) + problem.answer
            assert set(text) <= set(worked.CHARACTERS)
            assert {len(step) for step in problem.steps} == {5 if family == "sum" else 2}
            shapes.add(tuple(map(len, (problem.question, problem.steps, problem.answer))))
        assert len(shapes) == 1
    assert len(set(worked.CHARACTERS)) == len(worked.CHARACTERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_is_in_one_split_whatever_it_was_drawn_from(family):
    split_of: dict[str, str] = {}
    for least, most, seed in [(1, 4, 0), (2, 3, 0), (3, 3, 1)]:
        for split in SPLITS:
            task = worked.load(family, least, most)
            for problem in task.problems(split, 25, seed) + worked.drawn(task, split, 25, seed):
                assert split_of.setdefault(problem.question, split) == split
    assert set(split_of.values()) == set(SPLITS)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_drawn_is_even_in_size_where_different_problems_cannot_be(family):
    task = worked.load(family, 1, 4)
    sizes = Counter(size_of(problem.question) for problem in worked.drawn(task, "train", 2000))
    assert sorted(sizes) == [1, 2, 3, 4]
    assert max(sizes.values()) < 1.5 * min(sizes.values())  # a split has not its share of the few
    assert worked.drawn(task, "train", 2000) == worked.drawn(task, "train", 2000, 0)
    assert worked.drawn(task, "train", 2000) != worked.drawn(task, "train", 2000, 1)
    assert worked.drawn(task, "train", 2000)[:50] == worked.drawn(task, "train", 50)
    # One operation: there are twelve boolean questions, and so they must come again.
    if family == "boolean":
        short = [p for p in worked.drawn(task, "train", 2000) if size_of(p.question) == 1]
        assert len({p.question for p in short}) <= 12 < len(short)


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_come_equally_often(family):
    draw = worked.load(family, 2, 5).draw
    generator = random.Random(0)
    sizes = Counter(size_of(draw(generator).question) for _ in range(4000))
    assert sorted(sizes) == [2, 3, 4, 5]
    assert all(abs(count - 1000) < 150 for count in sizes.values())  # 5 standard deviations


def size_of(question: str) -> int:
    if "+" in question and not re.search("[a-p]", question):
        return len(question.split("+")[0].lstrip("0"))
    return len(re.findall("[a-p]", question))


def test_a_guesser_that_looks_at_the_end_of_a_boolean_chain_is_mostly_lost():
    """The best answer to each ending, chosen with the answers known."""
    generator = random.Random(0)
    drawn = [worked.draw_chain(generator, 8, "boolean") for _ in range(4000)]
    ends: dict[str, Counter] = {}
    for problem in drawn:
        ends.setdefault(problem.question[-6:], Counter())[problem.answer] += 1  # two operations
    right = sum(max(answers.values()) for answers in ends.values()) / len(drawn)
    assert 0.6 < right < 0.72


def test_checks():
    chain, total = (worked.load(name, 3, 3) for name in ("boolean", "sum"))
    problem = chain.problems("test", 1)[0]
    wrong = "F" if problem.answer == "T" else "T"
    assert chain.check(problem.answer, problem)
    assert not chain.check(wrong, problem)
    problem = total.problems("test", 1)[0]
    assert total.check(problem.answer, problem)
    assert total.check(str(int(problem.answer)), problem)
    assert not total.check(str(int(problem.answer) + 1), problem)


@pytest.mark.parametrize(
    ("family", "least", "most", "says"),
    [
        ("boolaen", 1, 2, "did you mean boolean"),
        ("boolean", 0, 2, "1 to 16"),
        ("boolean", 3, 2, "not 3 to 2"),
        ("modular", 1, 17, "1 to 16"),
        ("sum", 1, 6, "1 to 5"),
    ],
)
def test_refusals(family, least, most, says):
    with pytest.raises(AdaptlabError, match=says):
        worked.load(family, least, most)


def test_drawing_refuses_and_ends():
    task = worked.load("boolean", 1, 2)
    with pytest.raises(AdaptlabError, match="unknown split 'trian'"):
        worked.drawn(task, "trian", 3)
    with pytest.raises(AdaptlabError, match="0 problems"):
        worked.drawn(task, "train", 0)
    splits = {
        p.split for p in (worked.draw_chain(random.Random(i), 1, "boolean") for i in range(99))
    }
    for split in set(SPLITS) - splits:  # of twelve questions a split may have none
        with pytest.raises(AdaptlabError, match="fewer problems"):
            worked.drawn(worked.load("boolean", 1, 1), split, 1)
