"""Answers at once, without reasoning.

zero-shot    Q: ...                                    few-shot   Q: ...
             A: The answer (arabic numerals) is                   A: The answer is 7.

                                                                  Q: ...
                                                                  A:
"""

from collections.abc import Sequence

from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm, parse
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.calls import ask, solution
from adaptlab.prompting.techniques.prompts import (
    STOP,
    Demonstrations,
    answer_trigger,
    answered,
    asked,
    check_questions,
    instructed,
    parse_triggered,
    with_demonstrations,
)
from adaptlab.sampling import GREEDY, Sampling


def zero_shot(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    *,
    instruction: str = "",
    trigger: str | None = None,
    max_tokens: int = 32,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = STOP,
    seed: int = 0,
) -> list[Solution]:
    """The question alone, under an instruction or persona if there is one.

    trigger: the words that the answer begins with; by default those of Kojima et al. (2022) for
        its kind, and "" leaves it open. After a trigger the first thing that could be an answer is
        taken, after none the last.
    Raises AdaptlabError for no questions, and as the model does.
    """
    check_questions(questions)
    lead = _capitalised(answer_trigger(form)) if trigger is None else trigger
    prompts = [instructed(asked(question, lead), instruction) for question in questions]
    replies = ask(model, prompts, max_tokens, sampling=sampling, stop=stop, seed=seed)
    read = parse_triggered if lead else parse
    return [solution(read(reply.text, form), [reply]) for reply in replies]


def few_shot(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    demonstrations: Demonstrations,
    *,
    instruction: str = "",
    max_tokens: int = 32,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = STOP,
    seed: int = 0,
) -> list[Solution]:
    """Demonstrations with their answers, then the question (Brown et al., 2020).

    demonstrations: one list for all questions, or one for each (see `examples`). Their steps are
        left out.
    Raises AdaptlabError for no questions, no demonstrations, a question that is among them, and as
    the model does.
    """
    prompts = with_demonstrations(questions, demonstrations, answered, instruction=instruction)
    replies = ask(model, prompts, max_tokens, sampling=sampling, stop=stop, seed=seed)
    return [solution(parse(reply.text, form), [reply]) for reply in replies]


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
