"""Contrastive chain of thought: each demonstration also shows how not to reason.

    Q: ...
    A: Sue has 3. 3 + 4 = 7. The answer is 7.
    Wrong explanation: Sue has 4. 3 + 7 = 4.

A wrong explanation has the words of the right one with its objects in other places. It comes to
no answer of its own, so that "The answer is" stands only before right ones.
"""

import random
import re
from collections.abc import Callable, Sequence

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm, parse
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.calls import ask, solution
from adaptlab.prompting.techniques.prompts import (
    STOP,
    Demonstrations,
    explained,
    with_demonstrations,
)
from adaptlab.sampling import GREEDY, Sampling
from adaptlab.tasks.problems import Problem

WRONG = "Wrong explanation:"
OBJECT = re.compile(
    r'(?P<quoted>"[^"\n]+")'
    r"|(?P<state>\b(?:[Tt]rue|[Ff]alse|heads|tails)\b)"
    r"|(?P<number>\d+(?:[.,]\d+)*)"
    r"|(?P<name>(?<=[a-z,] )[A-Z][a-z]+\b)"  # a sentence's first word need not be a name
)


def wrong_steps(problem: Problem, seed: int = 0) -> tuple[str, ...]:
    """The steps with their objects in other places: quoted texts, states, numbers and names.

    Each kind is shuffled among its own, so that the sentences stay sentences, and the last of a
    kind, which is mostly a result, changes wherever two of them differ. Where no kind has two
    different objects, the steps come in another order.
    Raises AdaptlabError where that changes nothing either.
    """
    text = "\n".join(problem.steps)
    draw = random.Random(f"{seed} {problem.question}")
    found = list(OBJECT.finditer(text))
    placed: dict[int, str] = {}  # by the place in `found`
    for kind in OBJECT.groupindex:
        places = [i for i, match in enumerate(found) if match.lastgroup == kind]
        objects = [found[i][0] for i in places]
        placed |= dict(zip(places, _shuffled(objects, draw), strict=True))
    order = iter(range(len(found)))
    wrong = OBJECT.sub(lambda _: placed[next(order)], text)
    if wrong == text:
        wrong = "\n".join(reversed(problem.steps))
    if wrong == text:
        shown = problem.question[:60]
        raise AdaptlabError(f"no wrong explanation can be made from the steps of {shown!r}")
    return tuple(wrong.split("\n"))


def contrastive_cot(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    demonstrations: Demonstrations,
    *,
    wrong: Callable[[Problem], Sequence[str]] = wrong_steps,
    max_tokens: int = 128,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = (*STOP, f"\n{WRONG}"),
    seed: int = 0,
) -> list[Solution]:
    """Few-shot chain of thought with a right and a wrong explanation each (Chia et al., 2023).

    wrong: makes the wrong steps of a demonstration; by default the steps in disorder.
    Raises AdaptlabError as `few_shot_cot` and `wrong_steps`.
    """

    def write(problem: Problem) -> str:
        right = explained(problem).rstrip()
        return f"{right}\n{WRONG} {' '.join(wrong(problem))}\n\n"

    prompts = with_demonstrations(questions, demonstrations, write)
    replies = ask(model, prompts, max_tokens, sampling=sampling, stop=stop, seed=seed)
    return [solution(parse(reply.text, form), [reply]) for reply in replies]


def _shuffled(objects: Sequence[str], draw: random.Random) -> list[str]:
    """The objects in another order, the last one changed if any two differ."""
    mixed = draw.sample(objects, len(objects))
    turns = [mixed[turn:] + mixed[:turn] for turn in range(len(mixed))]
    return next((turn for turn in turns if turn[-1] != objects[-1]), mixed)
