"""Dates some days before or after a date (BIG-bench: date understanding)."""

import calendar
import random
from datetime import date, timedelta
from functools import partial

from adaptlab.tasks.problems import Problem, ProblemTask
from adaptlab.tasks.reasoning.checks import same_date
from adaptlab.tasks.reasoning.settings import within

FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
EVENTS = ("concert", "match", "meeting", "wedding", "exam", "trip", "party", "play")


def load(days: int = 10, moves: int = 1) -> ProblemTask:
    """Up to `days` days from a date in 1900 to 2099, in one move or in two.

    days: 1 to 28, so that a move crosses the end of one month at most.
    """
    within("days", days, 1, 28)
    within("moves", moves, 1, 2)
    return ProblemTask("dates", "word", (), partial(draw, days=days, moves=moves), same_date)


def draw(generator: random.Random, days: int, moves: int) -> Problem:
    """Two moves are an event that was put off or brought forward to today, and the question."""
    apart = (LAST - FIRST).days - 4 * days
    start = FIRST + timedelta(2 * days + generator.randrange(apart))
    steps: list[str] = []
    if moves == 2:
        told, start = _moved_event(generator, start, days, steps)
    else:
        told = f"Today is {written(start)}."
    shift = _shift(generator, days)
    when = f"{_days(shift)} {'from now' if shift > 0 else 'ago'}"
    end = _walk(start, shift, steps)
    return Problem(f"{told} What is the date {when} in MM/DD/YYYY?", written(end), tuple(steps))


def written(day: date) -> str:
    """MM/DD/YYYY."""
    return f"{day:%m/%d/}{day.year:04d}"


def _moved_event(
    generator: random.Random, planned: date, days: int, steps: list[str]
) -> tuple[str, date]:
    shift = _shift(generator, days)
    what = "put off" if shift > 0 else "brought forward"
    today = _walk(planned, shift, steps)
    steps.append(f"So today is {written(today)}.")
    return (
        f"The {generator.choice(EVENTS)} was planned for {written(planned)}, but was {what} by "
        f"{_days(shift)} to today.",
        today,
    )


def _walk(start: date, shift: int, steps: list[str]) -> date:
    """The day `shift` days on; over the end of a month in two steps, through its last day."""
    end = start + timedelta(shift)
    if (start.year, start.month) != (end.year, end.month):
        early, late = min(start, end), max(start, end)
        length = calendar.monthrange(early.year, early.month)[1]
        edge = early.replace(day=length) if shift > 0 else late.replace(day=1) - timedelta(1)
        steps.append(f"{early:%B} {early.year} has {length} days.")
        if start != edge:
            steps.append(_step(start, edge))
        start = edge
    if start != end:
        steps.append(_step(start, end))
    return end


def _step(start: date, end: date) -> str:
    shift = (end - start).days
    return (
        f"{_days(shift)} {'after' if shift > 0 else 'before'} {written(start)} is {written(end)}."
    )


def _shift(generator: random.Random, days: int) -> int:
    return generator.choice((-1, 1)) * generator.randint(1, days)


def _days(shift: int) -> str:
    return "1 day" if abs(shift) == 1 else f"{abs(shift)} days"
