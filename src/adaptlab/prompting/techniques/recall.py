"""Analogical prompting: the model recalls like problems, solved, and then solves its own.

    instruction
    Q: ...
    A: Recalled problems:
    1. [problem, solution] 2. [...] 3. [...]
    [Solution of the question: ... The answer is 7.]

No demonstration is given: the model makes them to measure, all in one text.
"""

import re
from collections.abc import Sequence

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm, Parsed, parse
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.calls import ask, solution
from adaptlab.prompting.techniques.prompts import QUESTION, asked, check_questions, instructed
from adaptlab.sampling import GREEDY, Sampling

HEADING = "Solution of the question:"
FOUND = re.compile(re.escape(HEADING), re.I)
LEAD = "Recalled problems:\n1."


def analogical(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    *,
    recalled: int = 3,
    max_tokens: int = 512,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = (QUESTION,),
    seed: int = 0,
) -> list[Solution]:
    """Recall relevant problems with their solutions, then solve (Yasunaga et al., 2024).

    recalled: how many, 3 to 5 as published. Only what stands under the last "Solution of the
    question:" is read: a recalled problem's answer is not the question's. Where that heading is
    missing there is no strict answer, and the lenient one is taken from all of the text.
    Raises AdaptlabError for no questions, recalled below 1, and as the model does.
    """
    check_questions(questions)
    if recalled < 1:
        raise AdaptlabError(f"{recalled} problems to recall: give 1 or more")
    task = instruction(recalled)
    prompts = [instructed(asked(question, LEAD), task) for question in questions]
    replies = ask(model, prompts, max_tokens, sampling=sampling, stop=stop, seed=seed)
    return [solution(read(reply.text, form), [reply]) for reply in replies]


def instruction(recalled: int) -> str:
    """What is asked of the model, the same for all questions."""
    problems = "problem" if recalled == 1 else "different problems"
    return (
        f'Answer the question below in two parts. First, under "Recalled problems:", recall '
        f"{recalled} {problems} like it but not the same, and for each write the problem and its "
        f'solution. Then, under "{HEADING}", solve the question step by step and end with '
        f'"The answer is" and the answer.'
    )


def read(text: str, form: AnswerForm) -> Parsed:
    """The answer under the last heading, or leniently that of the text where there is none."""
    parts = FOUND.split(text)
    if len(parts) > 1:
        return parse(parts[-1], form)
    return Parsed(None, parse(text, form).lenient)
