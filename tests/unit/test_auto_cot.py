"""Auto-CoT's demonstrations, against a choice made by brute force from the published rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from technique_fakes import Scripted, asked_in, says

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.parsing import AnswerForm
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.auto_cot import Limits, auto_cot, choose, cluster, will_do
from adaptlab.prompting.techniques.chain_of_thought import few_shot_cot
from adaptlab.prompting.techniques.prompts import THINK
from adaptlab.tasks.problems import Problem

NUMBER, YES_NO = AnswerForm("number"), AnswerForm("boolean", ("yes", "no"))
GOOD = " First, 2 + 3.\n\nThat makes 5."


def solved(rationale: str, answer: str | None = "5") -> Solution:
    return Solution(answer, answer, (rationale, f" {answer}."), 9)


@pytest.mark.parametrize(
    ("form", "question", "rationale", "answer", "fit"),
    [
        (NUMBER, "q", GOOD, "5", True),
        (NUMBER, "w " * 60, GOOD, "5", True),
        (NUMBER, "w " * 61, GOOD, "5", False),
        (NUMBER, "q", "\na.\n\nb.\n c.\nThat makes 5.", "5", True),  # with the trigger's: 5 lines
        (NUMBER, "q", "\na.\nb.\nc.\nd.\nThat makes 5.", "5", False),
        (NUMBER, "q", " That makes 5", "5", False),  # cut off
        (NUMBER, "q", " That makes 5.\n ", "5", True),
        (NUMBER, "q", "", "5", False),
        (NUMBER, "q", GOOD, None, False),
        (NUMBER, "q", GOOD, "", False),
        (NUMBER, "q", " That makes 5. So be it.", "5", False),  # not in the last sentence
        (NUMBER, "q", " That makes 15.", "5", False),
        (NUMBER, "q", " That makes 5.5.", "5", False),
        (NUMBER, "q", " That makes $1,500.", "1500", True),
        (NUMBER, "q", " That makes 2.5 kg.", "2.5", True),
        (YES_NO, "q", " So it is still heads up.", "yes", True),
        (YES_NO, "q", " So it is still heads up.", None, False),
    ],
)
def test_what_can_be_a_demonstration(form, question, rationale, answer, fit):
    assert will_do(question, solved(rationale, answer), form, Limits()) is fit


def test_limits_can_be_others():
    assert will_do("q", solved("\na.\nb.\nc.\nd.\nMakes 5."), NUMBER, Limits(lines=7))
    assert not will_do("two words", solved(GOOD), NUMBER, Limits(words=1))


@settings(deadline=None)
@given(st.data())
def test_the_choice_by_brute_force(data):
    """One that will do in each cluster, such that none that will do is nearer to the centre."""
    n = data.draw(st.integers(1, 12))
    places = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    distances = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=n, max_size=n))
    good = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    solutions = [solved(GOOD if fit else " cut off") for fit in good]
    arrays = np.array(places), np.array(distances)
    chosen = choose(["q"] * n, solutions, NUMBER, *arrays)
    expected = []
    for place in range(4):
        fit = [(distances[i], i) for i in range(n) if places[i] == place and good[i]]
        expected += [min(fit)[1]] if fit else []
    assert chosen == expected


def test_clusters_and_their_centres_are_found_again():
    """Three heaps far apart: their members and their distance to the mean are plain to see."""
    draw = np.random.default_rng(0)
    heap = np.repeat([0, 1, 2], 6)
    vectors = draw.normal(size=(18, 4)) * 0.3 + np.eye(3, 4)[heap] * 20
    places, distances = cluster(vectors, 3, seed=192)
    assert len(set(zip(heap, places, strict=True))) == len(set(places)) == 3
    for i in range(18):
        centre = vectors[heap == heap[i]].mean(0)
        assert distances[i] == pytest.approx(np.linalg.norm(vectors[i] - centre))


HEAPS = [[0.0, 0.0], [1.0, 0.0], [0.2, 0.1], [9.0, 9.0], [9.5, 9.0], [9.2, 9.1], [50.0, 0.0]]
POOL = [f"How many are {i} and {i}?" for i in range(7)]
BAD = {0, 2, 6}  # the centre of the first heap is nearest to 2, then 0, then 1


def a_model_that_adds(prompt: str, sample: int) -> str:
    number = POOL.index(asked_in(prompt))
    if "Therefore" in prompt:
        return f" {2 * number}, I think"
    end = "" if number in BAD else "."
    return f" We  add.\n{number} + {number} = {2 * number}{end}"


def make(**options):
    model = Scripted(a_model_that_adds)
    embed = options.pop("embed", lambda texts: np.array(HEAPS)[[POOL.index(t) for t in texts]])
    return model, auto_cot(model, POOL, NUMBER, clusters=3, embed=embed, **options)


def test_demonstrations_are_made_without_labels():
    model, made = make()
    assert [len(call.prompts) for call in model.calls] == [7, 7]
    assert all(prompt.count("Q: ") == 1 for call in model.calls for prompt in call.prompts)
    # No question of the third heap will do; of the second, 5 is nearest to the centre.
    assert {problem.question for problem in made.demonstrations} == {POOL[1], POOL[5]}
    shown = next(p for p in made.demonstrations if p.question == POOL[5])
    assert shown == Problem(POOL[5], "10", ("We add. 5 + 5 = 10.",))
    heaps = made.clusters
    assert len(set(heaps)) == 3
    assert len(set(heaps[:3])) == len(set(heaps[3:6])) == 1
    assert heaps.index(heaps[6]) == 6
    order = [heaps[POOL.index(problem.question)] for problem in made.demonstrations]
    assert order == sorted(order)
    assert made.tokens == model.usage.new_tokens
    assert made.prompt_tokens == model.usage.prompt_tokens
    assert make()[1] == made


def test_what_is_made_is_shown_with_the_trigger():
    _, made = make()
    model = says(" 3 + 4 = 7. The answer is 7.")
    few_shot_cot(model, ["How many are 3 and 4?"], NUMBER, made.demonstrations, lead=THINK)
    (prompt,) = model.calls[0].prompts
    assert f"Q: {POOL[5]}\nA: {THINK} We add. 5 + 5 = 10. The answer is 10.\n\n" in prompt
    assert prompt.endswith(f"Q: How many are 3 and 4?\nA: {THINK}")


def test_by_default_questions_are_alike_in_their_words():
    pool = ["The red cat sat", "The blue dog ran", "A red cat sat", "A blue dog ran"]
    model = Scripted(lambda prompt, _: " So it is 5.")
    made = auto_cot(model, pool, NUMBER, clusters=2)
    assert made.clusters[0] == made.clusters[2] != made.clusters[1] == made.clusters[3]
    assert len(made.demonstrations) == 2


def test_bad_requests():
    model = says(" So it is 5.")
    for pool, options, message in [
        ([], {}, "no questions in the pool"),
        (POOL, {"clusters": 8}, "8 clusters of 7 different questions"),
        (["a?", "a?"], {"clusters": 2}, "2 clusters of 1 different questions"),
        (POOL, {"clusters": 0}, "0 clusters"),
        (POOL, {"clusters": 2, "embed": lambda texts: np.zeros((2, 3))}, "for 7 texts"),
    ]:
        with pytest.raises(AdaptlabError, match=message):
            auto_cot(model, pool, NUMBER, **options)
    assert not model.calls
    with pytest.raises(AdaptlabError, match="found no demonstration: none of 7 rationales"):
        auto_cot(says(" cut"), POOL, NUMBER, clusters=2)


def test_questions_that_look_the_same_leave_clusters_empty():
    made = auto_cot(says(" So it is 5."), POOL, NUMBER, clusters=3, embed=lambda t: np.ones((7, 2)))
    assert len(made.demonstrations) == 1
