"""Tell a student at once whether an exercise is right.

Only the standard library is imported: this runs wherever a notebook does.
"""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 240  # characters of a reason: one line on a screen, not a page


class ExerciseFailed(Exception):
    """An exercise's check did not hold, in a run where that is an error (ADAPTLAB_STRICT=1)."""


@contextmanager
def check(name: str) -> Iterator[None]:
    """Run the asserts of the exercise `name` ("Exercise 1: softmax") and say how they went.

    A mistake in the student's code ends in one line, not in a traceback, so that the rest of
    the notebook still runs. Raises ExerciseFailed instead where ADAPTLAB_STRICT is 1: the
    course runner and the tests set it, for a master's solutions must be right.
    """
    label = name.partition(":")[0]
    try:
        yield
    except Exception as error:
        if os.environ.get("ADAPTLAB_STRICT") == "1":
            raise ExerciseFailed(f"{name}: {reason(error)}") from error
        print(f"{label}: not yet: {reason(error)}")
    else:
        print(f"{label}: right.")


def reason(error: Exception) -> str:
    """Why the check failed, in one line: the assert's message, or the error and where it arose."""
    message = " ".join(str(error).split())
    line = _line(error)
    if isinstance(error, AssertionError):
        text = message or f"this does not hold: {line.removeprefix('assert ')}"
    elif isinstance(error, NotImplementedError):
        text = message or "this is still to be written"
    else:
        text = f"{type(error).__name__}: {message}" + (f" (at: {line})" if line else "")
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _line(error: Exception) -> str:
    """The source line that raised `error`, or nothing where the source is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    return (frames[-1].line or "") if frames else ""
