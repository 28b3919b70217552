"""Great vibes: a number between two primes, as a rule that no model has read about.

Saha's lecture defines it by examples: 6, 12 and 18 have great vibes, and 24 has not, since 25 is
not prime. "Between two primes" means here that both neighbours are prime, as it does there.
"""

import math
import re

from adaptlab.tasks.problems import Problem, ProblemTask, from_pool
from adaptlab.tasks.reasoning.checks import same_word
from adaptlab.tasks.reasoning.settings import within

RULE = "A number has great vibes if it is between two primes: both its neighbours are prime."


def load(limit: int = 100_000) -> ProblemTask:
    """Multiples of 6 up to `limit`: every number with great vibes is one, but for 4.

    So divisibility by 2 and 3 gives nothing away, but the last digit does: after 4 or 6 a neighbour
    is divisible by 5. "No" after these and else "yes" is right for about seven of ten balanced
    problems, and what a score is to be compared with. They get rare: below 100 there are 7 of 16,
    below 100,000 1,223 of 16,666; the answers are balanced all the same, so that a test split of
    the default limit has about 240 problems and one of 1,000 no more than a few.
    """
    within("limit", limit, 100, 1_000_000)
    factors = least_factors(limit + 1)
    pool = [_problem(n, factors) for n in range(6, limit + 1, 6)]
    return from_pool("great vibes", "boolean", ("yes", "no"), pool, check, balanced=True)


def check(answer: str, problem: Problem) -> bool:
    """Whether a yes or no is right, by trial division of both neighbours of the number."""
    n = int(re.search(r"Does (\d+) have", problem.question)[1])
    right = "yes" if _is_prime(n - 1) and _is_prime(n + 1) else "no"
    return same_word(answer, Problem(problem.question, right))


def least_factors(limit: int) -> list[int]:
    """The least factor above 1 of each number up to `limit`, at its index (Eratosthenes)."""
    factors = list(range(limit + 1))
    for prime in range(2, math.isqrt(limit) + 1):
        if factors[prime] == prime:
            for multiple in range(prime * prime, limit + 1, prime):
                factors[multiple] = min(factors[multiple], prime)
    return factors


def _problem(n: int, factors: list[int]) -> Problem:
    has_them = factors[n - 1] == n - 1 and factors[n + 1] == n + 1
    conclusion = f"So {n} has great vibes." if has_them else f"So {n} does not have great vibes."
    steps = (
        f"{n} - 1 = {_described(n - 1, factors[n - 1])}.",
        f"{n} + 1 = {_described(n + 1, factors[n + 1])}.",
        conclusion,
    )
    return Problem(f"{RULE} Does {n} have great vibes?", "yes" if has_them else "no", steps)


def _described(n: int, factor: int) -> str:
    if factor == n:
        return f"{n}, which is prime"
    return f"{n} = {factor} * {n // factor}, which is not prime"


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % factor for factor in range(2, math.isqrt(n) + 1))
