"""Another try where it can help, after a wait that grows or that the server asked for.

    attempt 1  ->  500                      wait 1 s
    attempt 2  ->  429, Retry-After: 5      wait 5 s
    attempt 3  ->  200

A server that is down, busy or broken may be well in a moment. One that says no to the request
itself (401, 404, 400) will say it again, so that is never asked twice.
"""

import email.utils
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import TypeVar

import httpx2
import openai
import tenacity

LONGEST = 120.0  # seconds that a server may ask to wait for; after that it is an error
SLOWEST = 60.0  # seconds between two attempts where the server asks for nothing
PASSING = {408, 409, 425, 429}  # client errors that may be gone in a moment
T = TypeVar("T")


class Garbled(ValueError):
    """What came is no answer: not JSON, or not the JSON that was to come."""


def may_pass(error: BaseException) -> bool:
    """Whether the same request may be answered in a moment."""
    if isinstance(error, openai.APIStatusError):
        if error.code == "insufficient_quota" or (retry_after(error) or 0.0) > LONGEST:
            return False
        return error.status_code in PASSING or 500 <= error.status_code != 501
    return isinstance(
        error, openai.APIConnectionError | httpx2.RequestError | TimeoutError | Garbled
    )


def persistently(
    call: Callable[[], T],
    attempts: int,
    backoff: float,
    over: threading.Event,
    again: Callable[[BaseException], bool] = may_pass,
) -> T:
    """The result of `call`, tried up to `attempts` times; its last exception where all fail.

    backoff: seconds before the second attempt, doubled for each after it, with jitter.
    over: when it is set no wait goes on and no attempt begins: CancelledError is raised.
    again: after which exceptions another attempt is made.
    """

    def attempt() -> T:
        if over.is_set():
            raise CancelledError
        return call()

    growing = tenacity.wait_exponential_jitter(multiplier=backoff, max=SLOWEST, jitter=backoff)

    def wait(state: tenacity.RetryCallState) -> float:
        return max(growing(state), retry_after(state.outcome.exception()) or 0.0)

    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        retry=tenacity.retry_if_exception(again),
        wait=wait,
        sleep=tenacity.nap.sleep_using_event(over),
        reraise=True,
    )(attempt)


def retry_after(error: BaseException | None) -> float | None:
    """Seconds that the server asks to wait for, from its Retry-After: a number or a date."""
    if not isinstance(error, openai.APIStatusError):
        return None
    asked = error.response.headers.get("retry-after", "")
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(asked).timestamp() - time.time()
        except ValueError:
            return None
    return None if math.isnan(seconds) else max(seconds, 0.0)
