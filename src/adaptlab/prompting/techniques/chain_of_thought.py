"""Reasons before the answer: asked for in words (zero-shot) or shown (few-shot).

zero-shot, two calls                              few-shot, one call
Q: ...                                            Q: ...
A: Let's think step by step. [rationale]          A: {steps} The answer is 7.
Therefore, the answer (arabic numerals) is [7]
                                                  Q: ...
                                                  A: [steps The answer is 9.]
"""

from collections.abc import Sequence
from functools import partial

from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm, parse
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.calls import ask, solution
from adaptlab.prompting.techniques.prompts import (
    QUESTION,
    STOP,
    THINK,
    Demonstrations,
    answer_trigger,
    asked,
    check_questions,
    explained,
    parse_triggered,
    with_demonstrations,
)
from adaptlab.sampling import GREEDY, Sampling


def zero_shot_cot(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    *,
    trigger: str = THINK,
    max_tokens: int = 128,
    answer_tokens: int = 32,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = (QUESTION,),
    answer_stop: Sequence[str] = STOP,
    seed: int = 0,
) -> list[Solution]:
    """Zero-shot chain of thought (Kojima et al., 2022): a call for reasons, one for the answer.

    trigger: what the reasons begin with. stop: ends them; a blank line does not, for models set
        their reasons in paragraphs. The answer is always greedy, and the first thing in it that
        could be one is taken. A trace is (rationale, answer).
    Raises AdaptlabError for no questions, and as the model does.
    """
    check_questions(questions)
    prompts = [asked(question, trigger) for question in questions]
    reasons = ask(model, prompts, max_tokens, sampling=sampling, stop=stop, seed=seed)
    extraction = f"\nTherefore, {answer_trigger(form)}"
    prompts = [
        prompt + reason.text.rstrip() + extraction
        for prompt, reason in zip(prompts, reasons, strict=True)
    ]
    answers = ask(model, prompts, answer_tokens, stop=answer_stop, seed=seed)
    return [
        solution(parse_triggered(answer.text, form), [reason, answer])
        for reason, answer in zip(reasons, answers, strict=True)
    ]


def few_shot_cot(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    demonstrations: Demonstrations,
    *,
    lead: str = "",
    max_tokens: int = 128,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = STOP,
    seed: int = 0,
) -> list[Solution]:
    """Few-shot chain of thought (Wei et al., 2022): demonstrations with steps, then the question.

    demonstrations: one list for all questions, or one for each. Complex CoT (Fu et al., 2023) is
        this with `examples.most_complex`; with what `auto_cot` made, give lead=THINK.
    lead: the words that every answer begins with, shown and asked.
    Raises AdaptlabError for no questions, no demonstrations, one without steps, a question that is
    among them, and as the model does.
    """
    write = partial(explained, lead=lead)
    prompts = with_demonstrations(questions, demonstrations, write, lead)
    replies = ask(model, prompts, max_tokens, sampling=sampling, stop=stop, seed=seed)
    return [solution(parse(reply.text, form), [reply]) for reply in replies]
