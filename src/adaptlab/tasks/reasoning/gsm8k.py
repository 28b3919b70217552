"""Word problems of grade-school arithmetic with worked answers: GSM8K (Cobbe et al., 2021)."""

import gzip
import json
import re

from adaptlab import sources
from adaptlab.tasks.problems import Problem, ProblemTask, from_pool
from adaptlab.tasks.reasoning.checks import same_number

SOURCE = "gsm8k"
CALCULATOR = re.compile(r"<<[^<>]*>>")  # "16 - 3 = <<16-3=13>>13": what a calculator is asked for


def load() -> ProblemTask:
    """1,050 / 137 / 132 problems, all from the 1,319 of the published test set.

    We split them anew, like every task: a score on our 132 is an estimate of one on the published
    test, and a model trained on our train part has seen most of that test.
    """
    with gzip.open(sources.path(SOURCE, "requests.jsonl.gz"), "rt", encoding="utf-8") as lines:
        pool = [_problem(json.loads(line)["doc"]) for line in lines]
    return from_pool("gsm8k", "number", (), pool, same_number, sources=(SOURCE,))


def _problem(row: dict) -> Problem:
    worked, _, answer = row["answer"].partition("\n#### ")
    lines = (line.strip() for line in CALCULATOR.sub("", worked).split("\n"))
    steps = tuple(line if line.endswith((".", "!", "?")) else f"{line}." for line in lines if line)
    return Problem(row["question"].strip(), answer.strip().replace(",", ""), steps)
