"""Auto-CoT: demonstrations that the model makes itself (Zhang et al., 2023).

    pool of questions -> zero-shot chain of thought -> rationale, answer
                      -> vectors -> k-means         -> one demonstration a cluster:
                                                       outward from the centre, the first that is
                                                       short, ends well and holds its answer

Different clusters make the demonstrations different, so that a mistake in one is not repeated in
all. Whether they are right is not checked: no label is used. Solve with

    few_shot_cot(model, questions, form, made.demonstrations, lead=THINK)
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import AnswerForm
from adaptlab.prompting.solution import Solution
from adaptlab.prompting.techniques.chain_of_thought import zero_shot_cot
from adaptlab.prompting.techniques.embeddings import Embed, checked, tf_idf_embeddings
from adaptlab.prompting.techniques.prompts import THINK, check_questions
from adaptlab.tasks.problems import Problem

SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Limits:
    """What a demonstration may be. The published values; for last letters they take 7 lines.

    words: of the question. lines: of the rationale, that of the trigger included.
    """

    words: int = 60
    lines: int = 5


@dataclass(frozen=True)
class AutoCot:
    """Demonstrations, and what it took to make them.

    demonstrations: at most one a cluster, in the order of the clusters; a cluster in which no
        question will do has none. Their answers are the model's.
    clusters: (pool,) the cluster of each question.
    tokens, prompt_tokens: written and read for the whole pool, once for all questions to come.
    """

    demonstrations: tuple[Problem, ...]
    clusters: tuple[int, ...]
    tokens: int
    prompt_tokens: int


def auto_cot(
    model: LanguageModel,
    pool: Sequence[str],
    form: AnswerForm,
    *,
    clusters: int = 8,
    embed: Embed = tf_idf_embeddings,
    limits: Limits = Limits(),
    max_tokens: int = 128,
    seed: int = 192,
) -> AutoCot:
    """Make demonstrations from questions without labels.

    clusters: 8 as published (4 for last letters and AQuA, 7 for CommonsenseQA, 6 for StrategyQA).
    embed: texts -> (texts, width); they used sentence embeddings, the default is tf-idf.
    Raises AdaptlabError for an empty pool, clusters below 1 or above the pool's different
    questions, vectors that do not match, and where no question of any cluster will do.
    """
    check_questions(pool, "questions in the pool")
    if not 1 <= clusters <= len(set(pool)):
        raise AdaptlabError(
            f"{clusters} clusters of {len(set(pool))} different questions: give 1 to as many"
        )
    places, distances = cluster(checked(embed(pool), len(pool)), clusters, seed)
    solutions = zero_shot_cot(model, pool, form, max_tokens=max_tokens, seed=seed)
    chosen = choose(pool, solutions, form, places, distances, limits)
    if not chosen:
        raise AdaptlabError(
            f"Auto-CoT found no demonstration: none of {len(pool)} rationales has at most "
            f"{limits.lines} lines, ends in a full stop and comes to its answer"
        )
    return AutoCot(
        tuple(demonstration(pool[i], solutions[i]) for i in chosen),
        tuple(places.tolist()),
        sum(one.tokens for one in solutions),
        sum(one.prompt_tokens for one in solutions),
    )


def cluster(vectors: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """k-means of vectors (texts, width): each one's cluster and distance to its centre, (texts,).

    Where fewer vectors than clusters differ, some clusters stay empty.
    """
    with warnings.catch_warnings(), threadpool_limits(1):  # the same clusters on every machine
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(clusters, n_init=10, random_state=seed).fit(vectors)
        distances = means.transform(vectors)  # (texts, clusters)
    return means.labels_, distances[np.arange(len(vectors)), means.labels_]


def choose(
    pool: Sequence[str],
    solutions: Sequence[Solution],
    form: AnswerForm,
    places: np.ndarray,
    distances: np.ndarray,
    limits: Limits = Limits(),
) -> list[int]:
    """The index of each cluster's demonstration: nearest to the centre of those that will do.

    solutions: of `zero_shot_cot`. places, distances: as from `cluster`. Of equally near ones the
    earlier is taken.
    """
    chosen = []
    for place in range(max(places) + 1):
        inside = [int(i) for i in np.argsort(distances, kind="stable") if places[i] == place]
        fit = (i for i in inside if will_do(pool[i], solutions[i], form, limits))
        chosen += [i for i in [next(fit, None)] if i is not None]
    return chosen


def will_do(question: str, solution: Solution, form: AnswerForm, limits: Limits) -> bool:
    """Whether a question and its zero-shot chain of thought can be a demonstration.

    The question is short, the rationale short and not cut off, and there is an answer; a number
    has to stand in the rationale's last sentence, as in the published code, which does not ask
    that of other kinds ("yes" is seldom said there).
    """
    rationale = f"{THINK}{solution.trace[0]}".strip()
    lines = [line for line in rationale.splitlines() if line.strip()]
    if len(question.split()) > limits.words or len(lines) > limits.lines:
        return False
    if not rationale.endswith(".") or not solution.trace[0].strip() or not solution.answer:
        return False
    return form.kind != "number" or _holds(SENTENCE.split(rationale)[-1], solution.answer)


def demonstration(question: str, solution: Solution) -> Problem:
    """The rationale on one line as its only step, with the model's own answer."""
    return Problem(question, solution.answer or "", (" ".join(solution.trace[0].split()),))


def _holds(sentence: str, number: str) -> bool:
    """Whether a number stands in a sentence, and not as a part of another one."""
    whole = rf"(?<![\d.]){re.escape(number)}(?!\.?\d)"
    return re.search(whole, sentence.replace(",", "")) is not None
