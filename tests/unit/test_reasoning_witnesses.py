"""Generated problems: each answer, and each step, found again by something independent."""

import re
from collections import Counter
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
import sympy

from adaptlab.tasks import reasoning
from adaptlab.tasks.reasoning import analogies, great_vibes, sports
from adaptlab.tasks.reasoning.object_counting import SORTS, WORDS


def of(name: str, hard: dict):
    """The family as it is by default, and a hard one."""
    return pytest.mark.parametrize("task", [(name, {}), (name, hard)], indirect=True, ids=str)


@pytest.fixture(scope="module")
def task(request):
    name, settings = request.param
    return reasoning.load(name, **settings)


def some(task, n=60):
    n = min(n, 4) if task.name == "great vibes" and len(task.pool) < 1000 else n
    return [p for split in ("train", "dev", "test") for p in task.problems(split, n // 2, seed=3)]


@of("great vibes", {"limit": 2000})
def test_great_vibes(task):
    for problem in some(task):
        n = int(re.search(r"Does (\d+)", problem.question)[1])
        right = sympy.isprime(n - 1) and sympy.isprime(n + 1)
        assert problem.answer == ("yes" if right else "no")
        for step, neighbour in zip(problem.steps, (n - 1, n + 1), strict=False):
            assert f"= {neighbour}" in step
            assert ("is prime" in step) == sympy.isprime(neighbour)
            if factors := re.search(r"(\d+) \* (\d+)", step):
                assert min(map(int, factors.groups())) > 1


def test_great_vibes_are_those_of_the_lecture():
    answers = {p.question: p for p in reasoning.load("great vibes", limit=1500).pool}
    for n, answer in {6: "yes", 12: "yes", 18: "yes", 24: "no", 1302: "yes"}.items():
        (problem,) = (p for q, p in answers.items() if f" {n} " in q)
        assert problem.answer == answer
        assert great_vibes.check(answer, problem)
        assert not great_vibes.check({"yes": "no", "no": "yes"}[answer], problem)
    assert Counter(p.answer for p in answers.values())["yes"] == sum(
        sympy.isprime(n - 1) and sympy.isprime(n + 1) for n in range(5, 1501)
    )


@of("last letters", {"words": 4})
def test_last_letters(task):
    for problem in some(task):
        words = re.search(r'"(.*)"', problem.question)[1].split()
        assert problem.answer == "".join(word[-1] for word in words)
        assert len(set(words)) == len(words) == len(problem.steps) - 1


@of("coin flip", {"people": 7})
def test_coin_flip(task):
    for problem in some(task):
        flips = problem.question.count("flips it over")
        assert problem.answer == ("no" if flips % 2 else "yes")
        *states, _ = problem.steps
        assert len(states) == flips + problem.question.count("does not flip")
        seen = [step.split()[-2] for step in states]
        flipped = [sum("flips it over" in s for s in states[: i + 1]) for i in range(len(states))]
        assert seen == ["tails" if n % 2 else "heads" for n in flipped]


@of("boolean expressions", {"operators": 9})
def test_boolean_expressions(task):
    for problem in some(task):
        expression = problem.question.removeprefix("What is ").removesuffix("?")
        assert str(eval(expression)) == problem.answer
        for step in problem.steps:
            done, value, left = re.fullmatch(
                r"(.+?) is (True|False)(?:, and what is left is (.+))?\.", step
            ).groups()
            assert str(eval(done)) == value
            assert f"({done})" in expression or done in expression
            assert str(eval(left or value)) == problem.answer
            assert len(left or value) < len(expression)
            expression = left or value


def day(text: str) -> datetime:
    return datetime.strptime(text, "%m/%d/%Y")


MOVES = {"ago": -1, "before": -1, "brought forward by": -1}


@of("dates", {"days": 28, "moves": 2})
def test_dates(task):
    shown = r"(\d\d/\d\d/\d{4})"
    for problem in some(task):
        today = day(re.search(shown, problem.question)[1])
        if moved := re.search(r"(put off by|brought forward by) (\d+) days?", problem.question):
            today += timedelta(MOVES.get(moved[1], 1) * int(moved[2]))
        asked = re.search(r"(\d+) days? (ago|from now)", problem.question)
        assert day(problem.answer) == today + timedelta(MOVES.get(asked[2], 1) * int(asked[1]))
        for step in problem.steps:
            if found := re.fullmatch(rf"(\d+) days? (before|after) {shown} is {shown}\.", step):
                n, way, start, end = found.groups()
                assert day(start) + timedelta(MOVES.get(way, 1) * int(n)) == day(end)
            elif found := re.fullmatch(r"(\w+ \d{4}) has (\d+) days\.", step):
                first = datetime.strptime(found[1], "%B %Y")
                assert (first + timedelta(int(found[2]))).day == 1
            else:
                assert step == f"So today is {today:%m/%d/%Y}."


def test_a_date_over_the_end_of_february():
    told = [p for p in some(reasoning.load("dates", days=28), 600) if "February" in str(p.steps)]
    lengths = {re.search(r"February (\d+) has (\d+)", str(p.steps)).groups() for p in told}
    assert {int(days) for _, days in lengths} == {28, 29}


@of("juggler", {"parts": 3, "most": 900})
def test_juggler(task):
    share = {"half": 2, "third": 3, "quarter": 4}
    for problem in some(task):
        count = Fraction(re.search(r"\d+", problem.question)[0])
        of_which = re.search(r"\d+ (\w+)", problem.question)[1]
        for part, whole, name in re.findall(r"(\w+) of the (.+?) are (.+?)\.", problem.question):
            assert whole == of_which, "each part is said to be of the one before"
            count, of_which = count / share[part.lower()], name
        assert count == int(problem.answer)
        assert problem.question.endswith(f"How many {of_which} are there?")


@of("object counting", {"things": 8, "most": 9})
def test_object_counting(task):
    sort_of = {name: sort for sort, kinds in SORTS.items() for kind in kinds for name in kind}
    assert len(sort_of) == 2 * sum(map(len, SORTS.values())), "nothing is of two sorts"
    for problem in some(task):
        told, asked = problem.question.split(". ")
        listed = re.split(r", | and ", told.split(" has ")[1])
        counts = Counter()
        for item in listed:
            number, name = item.split()
            counts[sort_of[name]] += WORDS.index(number)
            assert (name in [one for kinds in SORTS.values() for one, _ in kinds]) == (
                number == "one"
            )
        sort = re.search(r"How many (.+) does", asked)[1]
        assert counts[sort] == int(problem.answer)
        assert len(counts) == 2


@of("sums", {"digits": 6, "terms": 5})
def test_sums(task):
    for problem in some(task, 40):
        numbers = list(map(int, re.findall(r"\d+", problem.question)))
        assert sum(numbers) == int(problem.answer)
        written = "".join(re.search(r"write (\d)", step)[1] for step in problem.steps[:-1])
        assert written[::-1] == problem.answer
        carried = [re.search(r"carry (\d)", step) for step in problem.steps[:-1]]
        for place, found in enumerate(carried):
            below = sum(number % 10 ** (place + 1) for number in numbers)
            carry = below // 10 ** (place + 1) if place < len(str(max(numbers))) else 0
            assert int(found[1] if found else 0) == carry


def test_the_order_of_a_sum_makes_no_new_problem():
    seen = {}
    for problem in some(reasoning.load("sums"), 700):
        numbers = frozenset(re.findall(r"\d+", problem.question))
        assert seen.setdefault(numbers, problem.split) == problem.split


def test_sports():
    athletes = [athlete for sport in sports.SPORTS for athlete in sport.athletes]
    deeds = [deed for sport in sports.SPORTS for deed in (*sport.actions, *sport.events)]
    assert len(set(athletes)) == len(athletes)
    assert len(set(deeds)) == len(deeds)
    counts = Counter(p.answer for p in reasoning.load("sports").pool)
    assert counts == {"yes": 945, "no": 5670}
    answers = {p.question: p.answer for p in reasoning.load("sports").pool}
    for sentence, answer in {
        "Babe Ruth hit a home run in the ninth inning": "yes",
        "Wayne Gretzky scored with a slap shot in an NHL season opener": "yes",
        "Lionel Messi completed a screen pass in an NFL play-off game": "no",
        "Roger Federer made par at the Masters in Augusta": "no",
    }.items():
        assert answers[f'Is this sentence plausible? "{sentence}."'] == answer


def test_no_pair_of_words_has_two_relations():
    pairs = [pair for relation in analogies.RELATIONS for pair in relation.pairs]
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 for pair in pairs)
    names = {relation.name for relation in analogies.RELATIONS}
    assert {near for relation in analogies.RELATIONS for near in relation.near} < names


@of("analogies", {"options": 3})
def test_analogies(task):
    of_pair = {" : ".join(pair): r for r in analogies.RELATIONS for pair in r.pairs}
    for problem in some(task):
        given, *offered = re.findall(r"(\w+ : \w+)", problem.question)
        assert len(offered) == len(task.options)
        relations = [of_pair[pair].name for pair in offered]
        same = [at for at, name in enumerate(relations) if name == of_pair[given].name]
        assert [task.options[at] for at in same] == [problem.answer]
        assert len(set(relations)) == len(relations)
        for step, pair in zip(problem.steps, (given, *offered), strict=False):
            assert step.endswith(f"the second word is {of_pair[pair].says}.")
