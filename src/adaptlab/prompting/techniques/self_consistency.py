"""Self-consistency: sample many chains of thought, and let their answers vote.

    Q: ...   A: [9 - 4 = 5 ... The answer is 5.]   5 \\
             A: [9 + 4 = 13 ... The answer is 13.] 13  > 5
             A: [4 are gone ... The answer is 5.]   5 /
"""

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm, Parsed, parse
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.calls import ask, solution
from adaptlab.prompting.techniques.prompts import (
    STOP,
    Demonstrations,
    explained,
    with_demonstrations,
)
from adaptlab.sampling import Sampling
from adaptlab.tasks.problems import Problem

WANG = Sampling(temperature=0.7, top_k=40)  # as for PaLM in Wang et al., 2023
STEP_END = re.compile(r"\n|(?<=[.!?])\s+")
NUMBERING = re.compile(r"\W*\d*\W*")


def self_consistency(
    model: LanguageModel,
    questions: Sequence[str],
    form: AnswerForm,
    demonstrations: Demonstrations,
    *,
    k: int = 16,
    longest: int | None = None,
    lead: str = "",
    max_tokens: int = 128,
    sampling: Sampling = WANG,
    stop: Sequence[str] = STOP,
    seed: int = 0,
) -> list[Solution]:
    """k chains of thought for each question, and the majority of their answers (Wang et al., 2023).

    longest: only so many chains of most steps vote (complexity-based consistency, Fu et al., 2023).
    The rest is as in `few_shot_cot`. A trace holds all k samples, in their order; strict votes are
    counted apart from lenient ones.
    Raises AdaptlabError as `few_shot_cot` does, for k or longest below 1, and for more than one
    greedy sample, which would all be the same.
    """
    if k < 1 or (longest is not None and longest < 1):
        raise AdaptlabError(f"k is {k} and longest is {longest}: at least one sample has to vote")
    if k > 1 and sampling.temperature == 0:
        raise AdaptlabError(f"{k} greedy samples are all the same: give a temperature above 0")
    prompts = with_demonstrations(questions, demonstrations, partial(explained, lead=lead), lead)
    replies = ask(model, prompts, max_tokens, samples=k, sampling=sampling, stop=stop, seed=seed)
    return [solution(_voted(reply.texts, form, longest), [reply]) for reply in replies]


def vote(answers: Sequence[str | None]) -> str | None:
    """The answer that most give; of equals, the one that was the first to have so many votes.

    None is no vote; without any vote the result is None.
    """
    counts: Counter[str] = Counter()
    winner, most = None, 0
    for answer in answers:
        if answer is None:
            continue
        counts[answer] += 1
        if counts[answer] > most:
            winner, most = answer, counts[answer]
    return winner


def complexity_vote(
    chains: Sequence[str], answers: Sequence[str | None], longest: int
) -> str | None:
    """The majority among the chains of most steps that have an answer (Fu et al., 2023).

    Of chains with as many steps the earlier one votes. Raises AdaptlabError for longest below 1.
    """
    if longest < 1:
        raise AdaptlabError(f"longest is {longest}: at least one chain has to vote")
    voters = [i for i, answer in enumerate(answers) if answer is not None]
    voters = sorted(voters, key=lambda i: -count_steps(chains[i]))[:longest]
    return vote([answers[i] for i in sorted(voters)])  # in the order in which they were drawn


def count_steps(chain: str) -> int:
    """The steps of a chain: its lines, or the sentences in them. A bare "1." is none."""
    return sum(not NUMBERING.fullmatch(piece) for piece in STEP_END.split(chain))


def answers_of(
    solutions: Sequence[Solution], form: AnswerForm, *, strict: bool = False
) -> list[list[str | None]]:
    """The answer of every sample, (questions, k), read again from what self_consistency gave."""
    parsed = [[parse(text, form) for text in one.trace] for one in solutions]
    return [[found.strict if strict else found.lenient for found in row] for row in parsed]


def accuracy_by_k(
    answers: Sequence[Sequence[str | None]],
    problems: Sequence[Problem],
    check: Callable[[str, Problem], bool],
    ks: Sequence[int],
    *,
    subsets: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """How often k of a question's samples vote for a right answer, (questions, ks).

    answers: (questions, samples), as from `answers_of`. check: as `ProblemTask.check`.
    subsets: all choices of k samples are tried where there are no more of them, else as many
        random ones, the same for all questions. Samples stay in the order in which they were
        drawn, so that each choice is what k samples would have given: no k is favoured.
    The mean over questions is the curve; at k = 1 it is the mean accuracy of a sample, at all
    samples that of the plain vote.
    Raises AdaptlabError for no questions, other problems than answers, rows of different length,
    and a k below 1 or above the samples there are.
    """
    samples = _check_curve(answers, problems, ks, subsets)
    generator = random.Random(seed)
    chosen = [_subsets(samples, k, subsets, generator) for k in ks]
    accuracy = np.zeros((len(problems), len(ks)))
    for i, (row, problem) in enumerate(zip(answers, problems, strict=True)):
        right = {answer: bool(check(answer, problem)) for answer in {*row} - {None}}
        right[None] = False
        for j, choices in enumerate(chosen):
            accuracy[i, j] = np.mean([right[vote([row[s] for s in c])] for c in choices])
    return accuracy


def _voted(chains: Sequence[str], form: AnswerForm, longest: int | None) -> Parsed:
    parsed = [parse(chain, form) for chain in chains]
    strict, lenient = [one.strict for one in parsed], [one.lenient for one in parsed]
    if longest is None:
        return Parsed(vote(strict), vote(lenient))
    return Parsed(*(complexity_vote(chains, answers, longest) for answers in (strict, lenient)))


def _check_curve(
    answers: Sequence[Sequence[str | None]],
    problems: Sequence[Problem],
    ks: Sequence[int],
    subsets: int,
) -> int:
    """The number of samples a question."""
    if not len(answers) or len(answers) != len(problems):
        raise AdaptlabError(f"answers to {len(answers)} questions for {len(problems)} problems")
    samples = {len(row) for row in answers}
    if len(samples) > 1:
        raise AdaptlabError(f"questions have different numbers of samples: {sorted(samples)}")
    (samples,) = samples
    if not len(ks) or not all(1 <= k <= samples for k in ks):
        raise AdaptlabError(f"k is one of 1 to {samples}, the samples there are, not {list(ks)}")
    if subsets < 1:
        raise AdaptlabError(f"{subsets} subsets of the samples tell nothing: give 1 or more")
    return samples


def _subsets(samples: int, k: int, most: int, generator: random.Random) -> list[Sequence[int]]:
    if math.comb(samples, k) <= max(most, samples):  # one sample alone, and all but one, are exact
        return list(itertools.combinations(range(samples), k))
    return [sorted(generator.sample(range(samples), k)) for _ in range(most)]
