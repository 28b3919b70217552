"""The techniques' exact prompts, calls, answers and token counts, with a model by script."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from technique_fakes import Scripted, asked_in, says

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.local import LocalModel
from adaptlab.prompting.parsing import AnswerForm
from adaptlab.prompting.techniques import calls, contrastive, decomposition, direct, prompts, recall
from adaptlab.prompting.techniques.chain_of_thought import few_shot_cot, zero_shot_cot
from adaptlab.prompting.techniques.registry import FEW_SHOT, TECHNIQUES, ZERO_SHOT
from adaptlab.sampling import Sampling
from adaptlab.tasks.problems import Problem
from adaptlab.tasks.reasoning import boolean_expressions, coin_flip, last_letters, sums

NUMBER, YES_NO, WORD = (
    AnswerForm("number"),
    AnswerForm("boolean", ("yes", "no")),
    AnswerForm("word"),
)
LETTERS = AnswerForm("option", ("(A)", "(B)", "(C)"))
SHOWN = [
    Problem("Sue has 3 nuts and gets 4. How many?", "7", ("Sue has 3.", "3 + 4 = 7.")),
    Problem("Tom has 9 and eats 2. How many?", "7", ("Tom has 9.", "9 - 2 = 7.")),
]
ASKED = ["Ann has 5 and loses 1. How many?", "Bob has 6 and finds 2. How many?"]


def test_zero_shot():
    model = says(" 4. Or 5.")
    found = direct.zero_shot(model, ASKED, NUMBER, instruction="Be brief.")
    (call,) = model.calls
    assert call.prompts == tuple(
        f"Be brief.\n\nQ: {question}\nA: The answer (arabic numerals) is" for question in ASKED
    )
    assert (call.stop, call.samples, call.sampling.temperature) == (("\nQ:", "\n\n"), 1, 0)
    assert [(one.answer, one.strict, one.tokens) for one in found] == [("4", "4", 3)] * 2
    assert found[0].trace == (" 4. Or 5.",)


def test_zero_shot_without_a_trigger_takes_the_last_number():
    model = says(" 5 - 1 makes 4")
    (found,) = direct.zero_shot(model, ASKED[:1], NUMBER, trigger="")
    assert model.calls[0].prompts == (f"Q: {ASKED[0]}\nA:",)
    assert (found.answer, found.strict) == ("4", None)


@pytest.mark.parametrize(
    ("form", "trigger"),
    [
        (NUMBER, "the answer (arabic numerals) is"),
        (YES_NO, "the answer (yes or no) is"),
        (LETTERS, "among (A) through (C), the answer is"),
        (WORD, "the answer is"),
    ],
)
def test_the_answer_is_asked_for_by_its_kind(form, trigger):
    model = says(" so")
    zero_shot_cot(model, ASKED, form)
    assert all(prompt.endswith(f"\nTherefore, {trigger}") for prompt in model.calls[1].prompts)


@pytest.mark.parametrize(
    ("form", "text", "answer"),
    [
        (LETTERS, " not clear", None),  # the options that the trigger names are no answer
        (YES_NO, "", None),
        (WORD, "", None),
        (WORD, ' "an".', "an"),
        (LETTERS, " B.", "(B)"),
        (YES_NO, ": No, it is not.", "no"),
        (NUMBER, "\n12 apples, not 13", "12"),
        (NUMBER, "$1,200. That is 3 times 400.", "1200"),
    ],
)
def test_what_follows_the_trigger_is_read_without_it(form, text, answer):
    found = prompts.parse_triggered(text, form)
    assert (found.lenient, found.strict) == (answer, answer)


def test_few_shot_shows_no_steps():
    model = says(" The answer is 4.\n\nQ: more")
    found = direct.few_shot(model, ASKED, NUMBER, SHOWN)
    shared = "".join(f"Q: {p.question}\nA: The answer is {p.answer}.\n\n" for p in SHOWN)
    assert model.calls[0].prompts == tuple(f"{shared}Q: {question}\nA:" for question in ASKED)
    assert [one.strict for one in found] == ["4", "4"]
    assert found[0].trace == (" The answer is 4.",)


def test_each_question_can_have_its_own_demonstrations():
    model = says(" The answer is 4.")
    direct.few_shot(model, ASKED, NUMBER, [SHOWN[:1], SHOWN[1:]])
    for prompt, shown in zip(model.calls[0].prompts, SHOWN, strict=True):
        assert prompt.count("Q: ") == 2
        assert prompt.startswith(f"Q: {shown.question}\n")
    with pytest.raises(AdaptlabError, match="1 lists of demonstrations for 2 questions"):
        direct.few_shot(model, ASKED, NUMBER, [SHOWN])


def test_zero_shot_cot_is_two_calls():
    model = Scripted(
        lambda prompt, _: " 4, not 5." if "Therefore" in prompt else " We think.\n\nOk."
    )
    sampling = Sampling(temperature=0.5)
    found = zero_shot_cot(model, ASKED, NUMBER, sampling=sampling, seed=3)
    first, second = model.calls
    assert first.prompts == tuple(f"Q: {q}\nA: Let's think step by step." for q in ASKED)
    assert (first.max_tokens, first.stop, first.sampling, first.seed) == (
        *(128, ("\nQ:",)),
        *(sampling, 3),
    )
    rest = " We think.\n\nOk.\nTherefore, the answer (arabic numerals) is"
    assert second.prompts == tuple(prompt + rest for prompt in first.prompts)
    assert (second.max_tokens, second.sampling.temperature) == (32, 0)
    assert found[1].trace == (" We think.\n\nOk.", " 4, not 5.")
    assert (found[1].answer, found[1].tokens) == ("4", 6)


def test_few_shot_cot():
    model = says(" Ann has 5. 5 - 1 = 4. The answer is 4.")
    (found,) = few_shot_cot(model, ASKED[:1], NUMBER, SHOWN[:1])
    assert model.calls[0].prompts == (
        "Q: Sue has 3 nuts and gets 4. How many?\nA: Sue has 3. 3 + 4 = 7. The answer is 7.\n\n"
        "Q: Ann has 5 and loses 1. How many?\nA:",
    )
    assert (found.answer, found.strict) == ("4", "4")


def test_a_lead_is_shown_and_asked():
    model = says(" The answer is 4.")
    few_shot_cot(model, ASKED[:1], NUMBER, SHOWN[:1], lead=prompts.THINK)
    (prompt,) = model.calls[0].prompts
    assert f"\nA: {prompts.THINK} Sue has 3." in prompt
    assert prompt.endswith(f"{ASKED[0]}\nA: {prompts.THINK}")


def test_plan_and_solve_is_zero_shot_cot_with_another_trigger():
    for plus, trigger in [(False, decomposition.PLAN), (True, decomposition.PLAN_PLUS)]:
        model = says(" 4.")
        (found,) = decomposition.plan_and_solve(model, ASKED[:1], NUMBER, plus=plus)
        assert model.calls[0].prompts == (f"Q: {ASKED[0]}\nA: {trigger}",)
        assert model.calls[1].prompts[0].startswith(f"Q: {ASKED[0]}\nA: {trigger} 4.\nTherefore,")
        assert (found.answer, len(found.trace)) == ("4", 2)
    decomposition.plan_and_solve(
        model := says(" 4."), ASKED[:1], NUMBER, max_tokens=70, answer_tokens=9
    )
    assert [call.max_tokens for call in model.calls] == [70, 9]
    assert "plan" in decomposition.PLAN
    assert "intermediate" in decomposition.PLAN_PLUS


APART = decomposition.take_apart(SHOWN[0], ["How many has she first?", "How many then?"])
LONG, SHORT = ASKED


def a_model_that_decomposes(prompt: str, sample: int) -> str:
    if prompt.endswith("Questions to answer first:\n1."):
        parts = " What at first?\n2. What is lost?\n3. What at first?" if LONG in prompt else " ?\n"
        return parts + "\n\nProblem: another\nQuestions to answer first:\n1. No?"
    return {"What at first?": " It is 5.", "What is lost?": " 1 is.\nQ: and"}.get(
        asked_in(prompt), " So, the answer is 4."
    )


def test_least_to_most_asks_in_order_and_appends_each_answer():
    model = Scripted(a_model_that_decomposes)
    (found,) = decomposition.least_to_most(model, [LONG], NUMBER, [APART])
    apart, *rounds = (call.prompts[0] for call in model.calls)
    assert apart == (
        f"Problem: {SHOWN[0].question}\nQuestions to answer first:\n"
        "1. How many has she first?\n2. How many then?\n\n"
        f"Problem: {LONG}\nQuestions to answer first:\n1."
    )
    shown = (
        f"Problem: {SHOWN[0].question}\nQ: How many has she first?\nA: Sue has 3.\n"
        f"Q: How many then?\nA: 3 + 4 = 7.\nQ: {SHOWN[0].question}\nA: The answer is 7.\n\n"
    )
    first = f"{shown}Problem: {LONG}\nQ: What at first?\nA:"
    second = f"{first} It is 5.\nQ: What is lost?\nA:"
    assert rounds == [first, second, f"{second} 1 is.\nQ: {LONG}\nA:"]
    assert found.trace[1:] == (" It is 5.", " 1 is.", " So, the answer is 4.")
    assert (found.answer, found.strict) == ("4", "4")


def test_least_to_most_asks_all_problems_of_a_round_at_once():
    model = Scripted(a_model_that_decomposes)
    both = decomposition.least_to_most(model, [LONG, SHORT], NUMBER, [APART])
    assert [len(call.prompts) for call in model.calls] == [2, 2, 2, 1]  # SHORT has one part: "?"
    alone = decomposition.least_to_most(Scripted(a_model_that_decomposes), [SHORT], NUMBER, [APART])
    assert (both[1].trace, both[1].answer) == (alone[0].trace, alone[0].answer)
    assert [len(one.trace) for one in both] == [4, 3]


def test_without_a_sub_question_the_question_is_asked_alone():
    model = Scripted(lambda prompt, _: "" if prompt.endswith("1.") else " The answer is 4.")
    (found,) = decomposition.least_to_most(model, [LONG], NUMBER, [APART])
    assert found.trace == ("", " The answer is 4.")
    assert model.calls[1].prompts[0].endswith(f"Problem: {LONG}\nQ: {LONG}\nA:")


def test_sub_questions_are_the_numbered_lines():
    text = f"1. a?\nprose\n2) b?\n 3. a?\n4.\n5. {LONG}\n6. c?"
    assert decomposition.sub_questions(text, LONG, 9) == ["a?", "b?", "c?"]
    assert decomposition.sub_questions(text, LONG, 2) == ["a?", "b?"]


def test_analogical_reads_under_the_heading_only():
    text = (
        " Q about 3 and 3. The answer is 6.\n2. Other. The answer is 8.\n\n"
        "solution of the question: 5 - 1 = 4. The answer is 4."
    )
    model = says(text)
    (found,) = recall.analogical(model, ASKED[:1], NUMBER, recalled=2)
    (prompt,) = model.calls[0].prompts
    assert prompt == f"{recall.instruction(2)}\n\nQ: {ASKED[0]}\nA: Recalled problems:\n1."
    assert "recall 2 different problems" in prompt
    assert (found.answer, found.strict) == ("4", "4")
    assert recall.read(" One. The answer is 6. Then 4", NUMBER).strict is None
    assert recall.read(f" The answer is 6. {recall.HEADING} who knows", NUMBER).lenient is None


def test_contrastive_cot():
    model = says(" 5 - 1 = 4. The answer is 4.\nWrong explanation: 4 - 1 = 5.")
    (found,) = contrastive.contrastive_cot(
        model, ASKED[:1], NUMBER, SHOWN[:1], wrong=lambda p: ["Sue has 4.", "3 + 7 = 4."]
    )
    assert model.calls[0].prompts == (
        "Q: Sue has 3 nuts and gets 4. How many?\nA: Sue has 3. 3 + 4 = 7. The answer is 7.\n"
        f"Wrong explanation: Sue has 4. 3 + 7 = 4.\n\nQ: {ASKED[0]}\nA:",
    )
    assert found.trace == (" 5 - 1 = 4. The answer is 4.",)
    assert found.strict == "4"


TASKS = [boolean_expressions, coin_flip, last_letters, sums]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__.rsplit(".", 1)[1])
@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_wrong_steps_hold_the_same_words_in_other_places(task, seed):
    problem = task.load().draw(random.Random(seed))
    wrong = contrastive.wrong_steps(problem, seed)
    assert wrong != problem.steps
    assert len(wrong) == len(problem.steps)
    words = (sorted(re.findall(r"\w+", " ".join(steps))) for steps in (problem.steps, wrong))
    assert next(words) == next(words)
    assert contrastive.wrong_steps(problem, seed) == wrong


def test_the_last_object_of_a_kind_changes():
    problem = Problem("q", "7", ("Sue has 3.", "3 + 4 = 7.", "So Sue and Tom have 7."))
    for seed in range(20):
        last = contrastive.wrong_steps(problem, seed)[-1]
        assert re.fullmatch(r"So Tom and Sue have [34]\.", last)


def test_steps_without_objects_are_reversed_and_one_alone_is_refused():
    assert contrastive.wrong_steps(Problem("q", "a", ("it is so.", "it is not."))) == (
        *("it is not.", "it is so."),
    )
    with pytest.raises(AdaptlabError, match="no wrong explanation"):
        contrastive.wrong_steps(Problem("q", "a", ("it is so.",)))


def run(name: str, model: Scripted, questions=ASKED, shown=SHOWN, **more):
    rest = [shown] if name in FEW_SHOT else []
    return TECHNIQUES[name](model, questions, NUMBER, *rest, **more)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_tokens_add_up_to_what_the_model_counted(name):
    model = Scripted(lambda prompt, sample: f" {len(prompt)} and so {'on ' * (sample + 1)}")
    found = run(name, model)
    assert len(found) == len(ASKED)
    assert sum(one.tokens for one in found) == model.usage.new_tokens
    assert sum(one.prompt_tokens for one in found) == model.usage.prompt_tokens
    assert all(one.prompt_tokens > 0 for one in found)
    assert sum(len(one.trace) for one in found) == model.usage.calls


@pytest.mark.parametrize("name", TECHNIQUES)
def test_prompts_begin_alike_and_do_not_depend_on_the_company(name):
    together, alone = says(" 4."), says(" 4.")
    run(name, together)
    run(name, alone, questions=ASKED[1:])
    for call, single in zip(together.calls, alone.calls, strict=True):
        assert call.prompts[1:] == single.prompts
        start = call.prompts[0].index(ASKED[0])
        assert {prompt[:start] for prompt in call.prompts} == {call.prompts[0][:start]}
        assert call.prompts[0].count(ASKED[0]) == 1
        assert not any(ASKED[0] in prompt for prompt in call.prompts[1:])


@pytest.mark.parametrize("name", TECHNIQUES)
@pytest.mark.parametrize(
    ("questions", "message"),
    [([], "no questions"), (["a?", " "], "question 1 is blank"), ("a?", "a list of texts")],
)
def test_bad_questions_are_refused(name, questions, message):
    model = says(" 4.")
    with pytest.raises(AdaptlabError, match=message):
        run(name, model, questions)
    assert not model.calls


@pytest.mark.parametrize("name", FEW_SHOT)
def test_bad_demonstrations_are_refused(name):
    model = says(" 4.")
    with pytest.raises(AdaptlabError, match="no demonstrations"):
        run(name, model, shown=[])
    with pytest.raises(AdaptlabError, match="a question is among its demonstrations"):
        run(name, model, shown=[*SHOWN, Problem(ASKED[1] + "\n", "8", ("6 + 2 = 8.",))])
    if name != "few-shot":
        with pytest.raises(AdaptlabError, match="has no steps"):
            run(name, model, shown=[Problem("How?", "8")])
    assert not model.calls


def test_least_to_most_refuses_what_it_cannot_do():
    def attempt(questions=(LONG,), shown=(APART,), **more):
        decomposition.least_to_most(says(""), questions, NUMBER, shown, **more)

    for message, options in [
        ("no questions", {"questions": []}),
        ("no demonstrations", {"shown": []}),
        ("has no parts", {"shown": [decomposition.Decomposed("q", (), "1")]}),
        ("among its demonstrations", {"questions": [APART.question]}),
        ("most_parts is 0", {"most_parts": 0}),
    ]:
        with pytest.raises(AdaptlabError, match=message):
            attempt(**options)
    with pytest.raises(AdaptlabError, match="1 sub-questions for 2 steps"):
        decomposition.take_apart(SHOWN[0], ["How many?"])
    with pytest.raises(AdaptlabError, match="0 problems to recall"):
        recall.analogical(says(""), ASKED, NUMBER, recalled=0)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(1, 500), min_size=1, max_size=20))
def test_shares_are_whole_and_proportional(total, weights):
    parts = calls.shares(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1


def test_registry():
    assert set(TECHNIQUES) == set(ZERO_SHOT) | set(FEW_SHOT)
    assert not set(ZERO_SHOT) & set(FEW_SHOT)


@pytest.mark.model
def test_with_a_local_model(tiny, tokenizer):
    """A model with random weights: what it says is noise, what it counts is not."""
    model = LocalModel(tiny, tokenizer, "tiny")
    sampling = Sampling(temperature=1.0)
    found = FEW_SHOT["self-consistency"](
        model, ASKED, NUMBER, SHOWN, k=3, sampling=sampling, max_tokens=4
    )
    assert [len(one.trace) for one in found] == [3, 3]
    assert sum(one.tokens for one in found) == model.usage.new_tokens
    texts = prompts.with_demonstrations(ASKED, SHOWN, prompts.explained)
    exact = [3 * len(tokenizer(text).input_ids) for text in texts]
    assert sum(one.prompt_tokens for one in found) == model.usage.prompt_tokens == sum(exact)
    for one, tokens in zip(found, exact, strict=True):
        assert one.prompt_tokens == pytest.approx(tokens, rel=0.05)
