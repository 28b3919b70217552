"""Whether an answer is right, in the spellings that a reader would take."""

import re
from datetime import date

from adaptlab.tasks.problems import Problem

NUMBER = re.compile(r"([-−+]?)[$€£¥]? ?([0-9]+(?:,[0-9]{3})*)(?:\.([0-9]*))?")
DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})")
AROUND = " \t\n\"'“”‘’`.!"  # what a text puts around a word


def same_number(answer: str, problem: Problem) -> bool:
    """12 in any spelling of it: "12", "12.0", "+12", "$12", "012"; with thousands, "1,234"."""
    found, right = _number(answer), _number(problem.answer)
    return found is not None and found == right


def same_word(answer: str, problem: Problem) -> bool:
    """The same letters, whatever their case and the quotes or the full stop around them."""
    return answer.strip(AROUND).casefold() == problem.answer.strip(AROUND).casefold()


def same_option(answer: str, problem: Problem) -> bool:
    """The same letter, with or without brackets: "(B)", "B", "b)", "B."."""
    found = re.fullmatch(r"\(?([a-z])[).:]*", answer.strip().casefold())
    return bool(found) and f"({found[1]})" == problem.answer.casefold()


def same_date(answer: str, problem: Problem) -> bool:
    """The same day as MM/DD/YYYY; zeros in front of month and day may be left out."""
    found = _date(answer.strip(AROUND))
    return found is not None and found == _date(problem.answer)


def _number(text: str) -> tuple[bool, str, str] | None:
    """Sign, whole part and fraction, with no zeros that say nothing."""
    found = NUMBER.fullmatch(text.strip().removesuffix("."))
    if not found:
        return None
    sign, whole, fraction = found.groups(default="")
    whole, fraction = whole.replace(",", "").lstrip("0"), fraction.rstrip("0")
    return sign in ("-", "−") and bool(whole or fraction), whole, fraction


def _date(text: str) -> date | None:
    found = DATE.fullmatch(text)
    try:
        month, day, year = map(int, found.groups()) if found else (0, 0, 0)
        return date(year, month, day)
    except ValueError:  # no such day
        return None
