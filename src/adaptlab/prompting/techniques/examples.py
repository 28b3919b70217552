"""Which problems to show, and in which order: the choice moves few-shot accuracy a lot.

    at_random       any                             balanced       as many of each answer
    most_complex    those with most steps           most_similar   a choice for each question
    orders          the same ones, in every order

A choice is a list of problems. Take the pool from the train split: what is shown is not asked.
"""

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import normalize

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.techniques.embeddings import checked, tf_idf
from adaptlab.prompting.techniques.prompts import check_questions
from adaptlab.tasks.problems import Problem


def at_random(pool: Sequence[Problem], k: int, seed: int = 0) -> list[Problem]:
    """k different problems in random order. Raises AdaptlabError for k below 1 or above the pool's.

    For one seed, a smaller k gives the beginning of what a larger one gives.
    """
    _check_k(pool, k)
    order = list(range(len(pool)))
    random.Random(seed).shuffle(order)
    return [pool[i] for i in order[:k]]


def balanced(pool: Sequence[Problem], k: int, seed: int = 0) -> list[Problem]:
    """k problems in random order, as many of each answer as k allows.

    The answers are those of the pool; which ones come once more, where k does not divide among
    them, is random. Raises AdaptlabError as `at_random`, and where an answer has too few problems.
    """
    _check_k(pool, k)
    draw = random.Random(seed)
    of_answer: dict[str, list[Problem]] = {}
    for problem in pool:
        of_answer.setdefault(problem.answer, []).append(problem)
    answers = sorted(of_answer)
    draw.shuffle(answers)
    chosen = []
    for place, answer in enumerate(answers):
        wanted = k // len(answers) + (place < k % len(answers))
        if wanted > len(of_answer[answer]):
            raise AdaptlabError(
                f"the pool has {len(of_answer[answer])} problems with the answer {answer!r}; "
                f"a balanced choice of {k} needs {wanted}"
            )
        chosen += draw.sample(of_answer[answer], wanted)
    draw.shuffle(chosen)
    return chosen


def most_complex(pool: Sequence[Problem], k: int) -> list[Problem]:
    """The k problems with most steps, the one with most first (Complex CoT, Fu et al., 2023).

    Of problems with as many steps the earlier ones are taken. Raises AdaptlabError as `at_random`.
    """
    _check_k(pool, k)
    return sorted(pool, key=lambda problem: -len(problem.steps))[:k]


def most_similar(
    pool: Sequence[Problem],
    questions: Sequence[str],
    k: int,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[list[Problem]]:
    """For each question the k problems most like it, the most similar last (Liu et al., 2022).

    vectors: of the pool (problems, width) and of the questions (questions, width), compared by
        cosine; by default tf-idf weights of the pool's words. Of equals the earlier is nearer.
    A problem that is the question itself is passed over.
    Raises AdaptlabError as `at_random`, for no questions, and for vectors that do not match.
    """
    check_questions(questions)
    _check_k(pool, k)
    likeness = _cosines(pool, questions, vectors)  # (questions, problems)
    chosen = []
    for question, row in zip(questions, likeness, strict=True):
        nearest = np.argsort(-row, kind="stable")
        others = [pool[i] for i in nearest if pool[i].question.strip() != question.strip()]
        _check_k(others, k)
        chosen.append(others[:k][::-1])
    return chosen


def orders(
    demonstrations: Sequence[Problem], most: int | None = None, seed: int = 0
) -> list[list[Problem]]:
    """The same demonstrations in every order, or in `most` different random ones.

    Raises AdaptlabError for no demonstrations, most below 1, and for more than 40,320 orders (of
    eight) where `most` is not given.
    """
    if not demonstrations or (most is not None and most < 1):
        raise AdaptlabError(f"{most} orders of {len(demonstrations)} demonstrations: nothing to do")
    n = len(demonstrations)
    if most is None and n > 8:
        raise AdaptlabError(f"{n} demonstrations have {math.factorial(n)} orders: say how many")
    if most is None or most >= math.factorial(n):
        return [list(order) for order in itertools.permutations(demonstrations)]
    draw, found = random.Random(seed), {}
    while len(found) < most:
        order = tuple(draw.sample(range(n), n))
        found[order] = [demonstrations[i] for i in order]
    return list(found.values())


def _cosines(
    pool: Sequence[Problem],
    questions: Sequence[str],
    vectors: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    if vectors is None:  # fitted on the pool: a question's neighbours depend on no other question
        weights = tf_idf()
        known = weights.fit_transform([problem.question for problem in pool])
        return (weights.transform(questions) @ known.T).toarray()  # rows have length 1
    known, wanted = checked(vectors[0], len(pool)), checked(vectors[1], len(questions))
    if known.shape[1] != wanted.shape[1]:
        raise AdaptlabError(f"vectors of widths {known.shape[1]} and {wanted.shape[1]}: not alike")
    return normalize(wanted) @ normalize(known).T


def _check_k(pool: Sequence[Problem], k: int) -> None:
    if not 1 <= k <= len(pool):
        raise AdaptlabError(f"{k} demonstrations were asked for; the pool has {len(pool)}")
