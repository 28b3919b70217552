"""Prompts as versioned files, cases with what is expected of the answers, and a run of both.

    prompts/feedback/v1.toml   the prompt, with {input} where a case's text goes
    prompts/feedback/v2.toml   the same after a change
    prompts/feedback/cases.toml

Define, write, test, evaluate, refine (lecture 003): write `cases.toml` first, then a version; run
it, read what failed, write the next version, and compare the two runs on the same cases
(`scoreboard.regression`). A version that has been run is not edited again.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.prompting.expectations import Expectation, expectations
from adaptlab.prompting.forms import FORMS
from adaptlab.prompting.interface import Completion, LanguageModel, Prompt
from adaptlab.prompting.suite_run import Outcome, SuiteRun, digest
from adaptlab.prompting.template import Template
from adaptlab.prompting.toml_tables import REQUIRED, keys, naming, read
from adaptlab.sampling import Sampling

FIELD = "{input}"
# The keys of a prompt's file: the type of each, and its value where it is left out.
PROMPT_KEYS = {
    "name": (str, REQUIRED),
    "version": (int, REQUIRED),
    "max_tokens": (int, REQUIRED),
    "notes": (str, ""),
    "text": (str, ""),
    "blocks": (dict, {}),
    "form": (str, "xml"),
    "chat": (bool, False),
    "stop": (list, ()),
    "sampling": (dict, {}),
}
SAMPLING_KEYS = {
    "temperature": (float, REQUIRED),
    "top_k": (int, None),
    "top_p": (float, None),
    "samples": (int, 1),
    "seed": (int, 0),
}
CASE_KEYS = {"id": (str, REQUIRED), "input": (str, REQUIRED), "expect": (dict, REQUIRED)}


@dataclass(frozen=True)
class PromptVersion:
    """One version of a prompt.

    prompt: a text in which {input} stands once, other braces meaning nothing; or a template.
    form: how a template is written; see `forms`.
    chat: a text is one user message, put into the model's chat template; else it is continued.
    source: the whole file, as it is.
    """

    name: str
    version: int
    prompt: str | Template
    max_tokens: int
    notes: str
    form: str
    chat: bool
    stop: tuple[str, ...]
    sampling: Sampling
    samples: int
    seed: int
    source: str

    @property
    def is_conversation(self) -> bool:
        """Whether `fill` gives messages and not a text."""
        return self.chat or (isinstance(self.prompt, Template) and self.form == "chat")

    def fill(self, text: str) -> Prompt:
        """The prompt for one input. Braces in the input mean nothing."""
        if isinstance(self.prompt, Template):
            filled = self.prompt.ask(text, self.form)
        else:
            before, _, after = self.prompt.partition(FIELD)
            filled = f"{before}{text}{after}"
        if self.chat and isinstance(filled, str):
            return [{"role": "user", "content": filled}]
        return filled


@dataclass(frozen=True)
class Case:
    """One input, and what is expected of the answer."""

    id: str
    input: str
    expected: tuple[Expectation, ...]


def load_prompt(file: Path) -> PromptVersion:
    """The prompt of a TOML file, whose keys are in PROMPT_KEYS and, under sampling, SAMPLING_KEYS.

    It has a text, in which {input} stands once, or [blocks], those of `Template.from_blocks`.
    Raises AdaptlabError if the file cannot be read, a key is unknown, missing or of the wrong type,
    {input} is not once in the text, or a value makes no sense; and if a file v2.toml says that it
    is of another version, as a copy of v1.toml would.
    """
    source, table = read(file)
    with naming(file):
        found = keys(table, PROMPT_KEYS)
        if "form" in table and not found["blocks"]:
            raise AdaptlabError("form says how blocks are written, and there are none")
        drawn = keys(found.pop("sampling") or {"temperature": 0.0}, SAMPLING_KEYS, "sampling key")
        times = {key: drawn.pop(key) for key in ("samples", "seed")}
        stop, prompt = tuple(found.pop("stop")), _prompt(found.pop("text"), found.pop("blocks"))
        version = PromptVersion(
            **found, **times, prompt=prompt, stop=stop, sampling=Sampling(**drawn), source=source
        )
        if re.fullmatch("v[0-9]+", file.stem) and file.stem != f"v{version.version}":
            raise AdaptlabError(f"the file says version {version.version}; one of them is wrong")
        _check(version)
    return version


def load_cases(file: Path) -> tuple[Case, ...]:
    """The cases of a TOML file: [[cases]] with id, input and expect (see `expectations`).

    Raises AdaptlabError, naming file and case, if the file cannot be read, there are no cases, an
    id comes twice, a key is unknown, missing or of the wrong type, or an expectation is no good.
    """
    _, table = read(file)
    with naming(file):
        rows = keys(table, {"cases": (list, [])})["cases"]
        if not rows:
            raise AdaptlabError("there are no cases; a case begins with [[cases]]")
    cases: dict[str, Case] = {}
    for place, row in enumerate(rows, 1):
        named = isinstance(row, dict) and row.get("id")
        with naming(f"{file}, case {named!r}" if named else f"{file}, case {place}"):
            case = _case(row)
            if case.id in cases:
                raise AdaptlabError("another case has the same id")
        cases[case.id] = case
    return tuple(cases.values())


def run(model: LanguageModel, prompt: PromptVersion, cases: Sequence[Case]) -> SuiteRun:
    """Ask a model every case of a prompt, and check the answers.

    Several samples of a case are checked one by one, and it passes where more than half of them do.
    Raises AdaptlabError for no cases, or two of one id, and as `model.generate` does.
    """
    if not cases or len({case.id for case in cases}) < len(cases):
        raise AdaptlabError("give at least one case, and each an id of its own")
    before, start = replace(model.usage), time.perf_counter()
    answers = model.generate(
        [prompt.fill(case.input) for case in cases],
        prompt.max_tokens,
        samples=prompt.samples,
        sampling=prompt.sampling,
        stop=prompt.stop,
        seed=prompt.seed,
    )
    return SuiteRun(
        name=prompt.name,
        version=prompt.version,
        prompt=prompt.source,
        prompt_hash=digest(prompt.source),
        cases_hash=hash_of(cases),
        model=model.name,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.perf_counter() - start,
        prompt_tokens=model.usage.prompt_tokens - before.prompt_tokens,
        cost=model.usage.cost - before.cost,
        cached=model.usage.cached - before.cached,
        outcomes=tuple(_outcome(*pair) for pair in zip(cases, answers, strict=True)),
    )


def hash_of(cases: Sequence[Case]) -> str:
    """A short hash of the cases: their order, and comments in the file, do not matter."""
    rows = {c.id: [c.input, {e.checker: e.wanted for e in c.expected}] for c in cases}
    return digest(json.dumps(rows, sort_keys=True))


def _outcome(case: Case, answers: Sequence[Completion]) -> Outcome:
    reasons = [
        tuple(
            f"{expected.checker}: {reason}"
            for expected in case.expected
            if (reason := expected.reason(answer.text)) is not None
        )
        for answer in answers
    ]
    return Outcome(
        id=case.id,
        input=case.input,
        expected=tuple(map(str, case.expected)),
        outputs=tuple(answer.text for answer in answers),
        failures=tuple(reasons),
        passed=2 * sum(not each for each in reasons) > len(reasons),
        tokens=sum(answer.tokens for answer in answers),
    )


def _prompt(text: str, blocks: dict[str, Any]) -> str | Template:
    if bool(text) == bool(blocks):
        raise AdaptlabError("give the prompt either as text or as blocks")
    if blocks:
        if FIELD in json.dumps(blocks, default=str):
            raise AdaptlabError(f"{FIELD} has no place in blocks: the input comes after them")
        return Template.from_blocks(blocks)
    if (count := text.count(FIELD)) != 1:
        raise AdaptlabError(f"{FIELD} stands {count} times in the text, and must stand there once")
    return text


def _check(prompt: PromptVersion) -> None:
    if prompt.form not in FORMS:
        raise unknown("form", prompt.form, FORMS)
    for name in ("version", "max_tokens", "samples"):
        if (value := getattr(prompt, name)) < 1:
            raise AdaptlabError(f"{name} is {value}; it must be at least 1")
    if not all(isinstance(stop, str) and stop for stop in prompt.stop):
        raise AdaptlabError("stop must be a list of texts, none of them empty")
    if prompt.samples > 1 and prompt.sampling.temperature == 0:
        raise AdaptlabError(f"{prompt.samples} samples at temperature 0 would all be the same")


def _case(row: Any) -> Case:
    if not isinstance(row, dict):
        raise AdaptlabError("it must be a table; a case begins with [[cases]]")
    found = keys(row, CASE_KEYS)
    if not found["id"].strip() or not found["id"].isprintable():
        raise AdaptlabError("the id must be one line of text, not empty")
    return Case(found["id"], found["input"], expectations(found["expect"]))
