"""Take a problem apart before it is solved: in sub-questions, or in a plan.

least-to-most                                    plan-and-solve, two calls
Problem: ...                                     Q: ...
Questions to answer first:                       A: Let's first understand the problem and
1. [...] 2. [...]                                   make a plan ... [plan, its steps]
                                                 Therefore, the answer ... is [7]
Problem: ...
Q: first sub-question     A: [...]      a call each; the next one
Q: second sub-question    A: [...]      sees what was answered before
Q: the problem            A: [... The answer is 7.]
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm, parse
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.calls import ask, solution
from adaptlab.prompting.techniques.chain_of_thought import zero_shot_cot
from adaptlab.prompting.techniques.prompts import BLANK_LINE, STOP, check_questions
from adaptlab.sampling import GREEDY, Sampling
from adaptlab.tasks.problems import Problem

PLAN = (
    "Let's first understand the problem and make a plan to solve it. "
    "Then, let's carry out the plan and solve the problem step by step."
)
PLAN_PLUS = (
    "Let's first understand the problem, write down the quantities that matter with their values, "
    "and make a plan. Then, let's carry out the plan, work out every intermediate result (with "
    "care for the arithmetic and for common sense), and solve the problem step by step."
)
NEXT_PROBLEM = "\nProblem:"
NUMBERED = re.compile(r"^[ \t]*\d+[.)][ \t]*(\S.*)$", re.M)


@dataclass(frozen=True)
class Decomposed:
    """A problem taken apart: what least-to-most is shown.

    parts: sub-questions from the easiest to the hardest, each with its answer in a sentence.
    answer: of the whole, in the form of `Problem.answer`.
    """

    question: str
    parts: tuple[tuple[str, str], ...]
    answer: str


def take_apart(problem: Problem, asks: Sequence[str]) -> Decomposed:
    """A problem whose steps are the answers to sub-questions: one for each step, in their order.

    Raises AdaptlabError where there are not as many of both, or none.
    """
    if not problem.steps or len(asks) != len(problem.steps):
        shown = problem.question[:60]
        raise AdaptlabError(
            f"{len(asks)} sub-questions for {len(problem.steps)} steps of {shown!r}"
        )
    return Decomposed(
        problem.question, tuple(zip(asks, problem.steps, strict=True)), problem.answer
    )


def plan_and_solve(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    *,
    plus: bool = False,
    max_tokens: int = 256,
    answer_tokens: int = 32,
    sampling: Sampling = GREEDY,
    seed: int = 0,
) -> list[Solution]:
    """Zero-shot, but asked for a plan first (Wang et al., 2023, "Plan-and-solve prompting").

    plus: PS+, which also asks for the variables, intermediate results and care. The words are
    ours. max_tokens: of plan and steps; answer_tokens: of the answer's call.
    Raises AdaptlabError as `zero_shot_cot`.
    """
    trigger = PLAN_PLUS if plus else PLAN
    return zero_shot_cot(
        model,
        questions,
        form,
        trigger=trigger,
        max_tokens=max_tokens,
        answer_tokens=answer_tokens,
        sampling=sampling,
        seed=seed,
    )


def least_to_most(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    demonstrations: Sequence[Decomposed],
    *,
    most_parts: int = 6,
    max_tokens: int = 128,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = (*STOP, NEXT_PROBLEM),
    seed: int = 0,
) -> list[Solution]:
    """Decompose, then answer the sub-questions in order and last the question (Zhou et al., 2023).

    most_parts: further sub-questions are dropped. max_tokens: of each call. A round asks the next
    sub-question of all problems at once; where no sub-question can be read, the question is asked
    alone. A trace is (decomposition, answers to the sub-questions ..., last answer).
    Raises AdaptlabError for no questions, no demonstrations or one without parts, a question that
    is among them, most_parts below 1, and as the model does.
    """
    _check(questions, demonstrations, most_parts)
    options = {"sampling": sampling, "seed": seed}
    shown = "".join(map(_taken_apart, demonstrations))
    prompts = [f"{shown}{_to_take_apart(question)}1." for question in questions]
    first = ask(model, prompts, max_tokens, stop=(BLANK_LINE, NEXT_PROBLEM), **options)
    chains = [
        [*sub_questions(f"1.{reply.text}", question, most_parts), question]
        for question, reply in zip(questions, first, strict=True)
    ]
    shown = "".join(map(_solved, demonstrations))
    prompts = [f"{shown}Problem: {question}" for question in questions]
    told = [[reply] for reply in first]
    for turn in range(max(map(len, chains))):
        active = [i for i, chain in enumerate(chains) if turn < len(chain)]
        for i in active:
            prompts[i] += f"\nQ: {chains[i][turn]}\nA:"
        replies = ask(model, [prompts[i] for i in active], max_tokens, stop=stop, **options)
        for i, reply in zip(active, replies, strict=True):
            prompts[i] += f" {reply.text.strip()}"
            told[i].append(reply)
    return [solution(parse(replies[-1].text, form), replies) for replies in told]


def sub_questions(text: str, question: str, most: int) -> list[str]:
    """The numbered lines of a decomposition, each once, without the question itself."""
    found = [line.strip() for line in NUMBERED.findall(text)]
    return [line for line in dict.fromkeys(found) if line != question.strip()][:most]


def _to_take_apart(question: str) -> str:
    return f"Problem: {question}\nQuestions to answer first:\n"


def _taken_apart(shown: Decomposed) -> str:
    lines = [f"{number}. {part}" for number, (part, _) in enumerate(shown.parts, start=1)]
    return _to_take_apart(shown.question) + "\n".join(lines) + "\n\n"


def _solved(shown: Decomposed) -> str:
    lines = "".join(f"\nQ: {part}\nA: {answer}" for part, answer in shown.parts)
    last = f"\nQ: {shown.question}\nA: The answer is {shown.answer}."
    return f"Problem: {shown.question}{lines}{last}\n\n"


def _check(questions: Sequence[str], demonstrations: Sequence[Decomposed], most_parts: int) -> None:
    check_questions(questions)
    if not demonstrations:
        raise AdaptlabError("no demonstrations: least-to-most needs at least one problem apart")
    if most_parts < 1:
        raise AdaptlabError(f"most_parts is {most_parts}: give 1 or more")
    for shown in demonstrations:
        if not shown.parts:
            raise AdaptlabError(f"a demonstration has no parts: {shown.question[:60]!r}")
    both = {shown.question.strip() for shown in demonstrations} & {q.strip() for q in questions}
    if both:
        raise AdaptlabError(f"a question is among its demonstrations: {min(both)[:60]!r}")
