"""One small GPT, three ways to be taught the same problems: when do worked steps help?

form      read        written, and all of it a target
direct    3a+4b*2=    >4
steps     3a+4b*2=    a2b4>4
filler    3a+4b*2=    ....>4

Steps change two things at once: the model computes for longer before it answers, and it writes what
it found. Fillers change the first alone (Pfau et al., 2024), so steps against fillers is the worth
of what is written. Rows are packed: at equal steps of training all forms cost the same, and the
direct form, being short, sees the most problems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from adaptlab.batching import by_length
from adaptlab.errors import AdaptlabError, unknown
from adaptlab.gpt.characters import CharTokenizer
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.data import Packed, pack_pairs
from adaptlab.gpt.model import GPT
from adaptlab.gpt.pretrain import History, Recipe, pretrain
from adaptlab.gpt.sampling import generate
from adaptlab.runtime import Runtime
from adaptlab.sampling import GREEDY, Sampling
from adaptlab.tasks.problems import Problem
from adaptlab.tasks.worked import CHARACTERS

Form = Literal["direct", "steps", "filler"]
FORMS: tuple[Form, ...] = get_args(Form)
ASK, ANSWER, FILLER, END = "=", ">", ".", "\n"
TOKENIZER = CharTokenizer(END + ASK + ANSWER + FILLER + CHARACTERS)
END_ID = TOKENIZER.encode(END)[0]


@dataclass(frozen=True)
class Written:
    """What a model wrote after a question: what stands before the ">", and after it.

    answer: None where there is no ">", or nothing after it.
    """

    work: str
    answer: str | None


def pair(problem: Problem, form: Form) -> tuple[str, str]:
    """What is read, and what is to be written: its end excluded. See the top of this file.

    Raises AdaptlabError for an unknown form.
    """
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    work = "" if form == "direct" else "".join(problem.steps)
    if form == "filler":
        work = FILLER * len(work)
    return problem.question + ASK, f"{work}{ANSWER}{problem.answer}"


def encode(problems: Sequence[Problem], form: Form, length: int) -> Packed:
    """Problems in rows of `length` tokens, none cut; the questions are no targets.

    Raises AdaptlabError for no problems, one that is longer than a row, or a character that
    `tasks.worked` does not use.
    """
    read, written = _coded(problems, form)
    return pack_pairs(read, written, length, END_ID)


def taught(
    form: Form,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    config: GPTConfig,
    recipe: Recipe,
    runtime: Runtime,
    length: int,
) -> tuple[GPT, History]:
    """A new model, trained on problems in one form. The seed of the recipe decides its weights.

    length: of a row in tokens; at most the context of `config`, whose vocabulary is TOKENIZER's.
    """
    train, validation = (encode(some, form, length) for some in (problems, held_out))
    torch.manual_seed(recipe.seed)
    model = GPT(config).to(runtime.device)
    return model, pretrain(model, train, validation, recipe, runtime)


def solve(
    model: GPT,
    problems: Sequence[Problem],
    form: Form,
    samples: int = 1,
    sampling: Sampling = GREEDY,
    seed: int = 0,
    batch_size: int = 256,
) -> list[list[Written]]:
    """`samples` attempts at each problem, (problems, samples), as a model of this form writes.

    It may write as many tokens as the longest right text of its batch. The same problems, seed and
    batch size give the same attempts. Raises AdaptlabError for no problems, samples or batch_size
    below 1, or a problem that does not fit into the context with what is to be written.
    """
    if samples < 1 or batch_size < 1:
        raise AdaptlabError(f"{samples} samples in batches of {batch_size}: both are at least 1")
    if not problems:
        raise AdaptlabError("no problems to solve")
    read, written = _coded(problems, form)
    room = [len(question) + len(text) for question, text in zip(read, written, strict=True)]
    if max(room) > model.config.context_length:
        raise AdaptlabError(
            f"a problem of {max(room)} tokens in the form {form} is longer than the context of "
            f"{model.config.context_length}"
        )
    order = [place for place in range(len(read)) for _ in range(samples)]
    attempts: list[list[Written]] = [[] for _ in read]
    # Questions of a batch are alike in length, or the longest one's room would not fit all.
    groups = by_length([len(read[place]) for place in order], lambda count, _: count <= batch_size)
    for number, places in enumerate(groups):
        batch = [order[place] for place in places]
        longest = max(len(written[place]) + 1 for place in batch)
        prompts = [read[place] for place in batch]
        found = generate(model, prompts, longest, sampling, {END_ID}, seed * 1_000_003 + number)
        for place, ids in zip(batch, found, strict=True):
            attempts[place].append(parse(TOKENIZER.decode(ids)))
    return attempts


def parse(text: str) -> Written:
    """The work and the answer of what a model wrote; a second ">" belongs to the answer."""
    work, _, answer = text.partition(ANSWER)
    return Written(work, answer or None)


def _coded(problems: Sequence[Problem], form: Form) -> tuple[list[list[int]], list[list[int]]]:
    pairs = [pair(problem, form) for problem in problems]
    read, written = ([TOKENIZER.encode(texts[side]) for texts in pairs] for side in (0, 1))
    return read, written
