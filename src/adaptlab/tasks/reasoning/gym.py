"""Any generator of reasoning-gym as a task, with its own score as the checker.

Stojanovski et al. (2025), Reasoning Gym: Reasoning Environments for Reinforcement Learning with
Verifiable Rewards. arXiv:2505.24760. Its coin_flip is about probabilities; ours keeps a state.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.tasks.problems import Kind, Problem, ProblemTask

ALL = {"seed": 0, "size": 10_000}  # its problems are numbered: so many there are, unless said
NONSENSE = "no answer at all"


def from_reasoning_gym(
    name: str, kind: Kind = "word", options: tuple[str, ...] = (), **config: Any
) -> ProblemTask:
    """The task that reasoning-gym's generator `name` makes with this configuration.

    kind, options: what its answers are, for a parser; reasoning-gym does not say.
    config: fields of the generator's own configuration, its `size` (10,000) and `seed` included.
    There are no worked steps. An answer is right if it scores 1; it may differ in case from the
    one given. A generator that has many right answers and gives none leaves `Problem.answer` empty.
    A few (isomorphic_strings, knight_swap, polynomial_multiplication, ransom_note) give the same
    problems again only under the same PYTHONHASHSEED.
    Raises AdaptlabError where the package is missing, for an unknown name or a configuration that
    the generator refuses, and for a generator that scores any answer 1.
    """
    gym, registered = _package()
    if name not in registered:
        raise unknown("generator of reasoning-gym", name, registered)
    config = ALL | config
    try:
        dataset = gym.create_dataset(name, **config)
        first = _entry(dataset, 0)
    except (TypeError, ValueError, AssertionError, LookupError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise AdaptlabError(f"reasoning-gym refuses {name} with {config}: {why}") from error
    check = partial(_check, dataset.score_answer)
    if check(NONSENSE, first):
        raise AdaptlabError(f"reasoning-gym's {name} takes any answer for right")
    draw = partial(_draw, dataset, config["size"])
    return ProblemTask(f"reasoning-gym {name}", kind, options, draw, check)


def generators() -> list[str]:
    """The names of reasoning-gym's generators. Raises AdaptlabError where it is not installed."""
    return sorted(_package()[1])


def _package() -> tuple[Any, dict]:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise AdaptlabError(
            "reasoning-gym is not installed: pip install 'adaptlab[reasoning]'"
        ) from error
    return reasoning_gym, DATASETS


def _draw(dataset: Any, size: int, generator: random.Random) -> Problem:
    return _entry(dataset, generator.randrange(size))


def _entry(dataset: Any, number: int) -> Problem:
    with _global_randomness(number):
        entry = dataset[number]
    return Problem(entry["question"], str(entry["answer"] or ""), data=entry)


def _check(score: Any, answer: str, problem: Problem) -> bool:
    if problem.answer and answer.casefold() == problem.answer.casefold():
        answer = problem.answer
    try:
        return bool(score(answer, entry=problem.data) >= 1)
    except Exception:  # some of its scorers fail on what they cannot read
        return False


@contextmanager
def _global_randomness(seed: int) -> Iterator[None]:
    """A few generators draw from the global states: seed these, and put them back."""
    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
