"""What came out of a prompt on its cases, kept as JSON so that a later version can be compared."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from adaptlab.errors import AdaptlabError


@dataclass(frozen=True)
class Outcome:
    """One case's answers.

    expected: the expectations, as text. outputs: the answers, one a sample.
    failures: for each answer, the expectations that it does not meet and why; none: it is right.
    passed: more than half of the answers are right. tokens: generated, for all answers.
    """

    id: str
    input: str
    expected: tuple[str, ...]
    outputs: tuple[str, ...]
    failures: tuple[tuple[str, ...], ...]
    passed: bool
    tokens: int


@dataclass(frozen=True)
class SuiteRun:
    """One version of a prompt on all cases.

    prompt: the whole file. prompt_hash, cases_hash: two runs are of the same prompt, or on the
        same cases, where these are equal.
    seconds: of all cases together, which a model may answer at once. prompt_tokens: read.
    cost: in the currency of an endpoint's prices. cached: answers that an endpoint's cache gave;
        they took no time, read nothing and cost nothing.
    """

    name: str
    version: int
    prompt: str
    prompt_hash: str
    cases_hash: str
    model: str
    date: str
    seconds: float
    prompt_tokens: int
    cost: float
    cached: int
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> int:
        """How many cases passed."""
        return sum(outcome.passed for outcome in self.outcomes)

    @property
    def tokens(self) -> int:
        """How many tokens were generated."""
        return sum(outcome.tokens for outcome in self.outcomes)

    def __str__(self) -> str:
        return (
            f"{self.name} v{self.version} on {self.model}: {self.passed} of {len(self.outcomes)} "
            f"cases passed; {self.prompt_tokens:,} tokens read, {self.tokens:,} written, "
            f"{self.seconds:.1f} s"
        )

    def save(self, file: Path) -> Path:
        """Write the run as JSON; a file that is there already is replaced whole, or not at all.

        Raises AdaptlabError if it cannot be written.
        """
        partial = file.with_name(f".{file.name}.part")
        try:
            partial.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            os.replace(partial, file)
        except OSError as error:
            raise AdaptlabError(f"cannot write {file}: {error.strerror}") from None
        return file


def read_run(file: Path) -> SuiteRun:
    """A run that was saved. Raises AdaptlabError if the file is missing or holds something else."""
    try:
        data = json.loads(file.read_bytes())
        outcomes = tuple(_made(Outcome, row) for row in data.pop("outcomes"))
        found = _made(SuiteRun, data | {"outcomes": outcomes})
    except OSError as error:
        raise AdaptlabError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AdaptlabError(f"{file} is not a run of a prompt suite: {error}") from None
    if found.prompt_hash != digest(found.prompt):
        raise AdaptlabError(f"{file}: the prompt in it is not the one that was run")
    if any(not each.outputs or len(each.outputs) != len(each.failures) for each in found.outcomes):
        raise AdaptlabError(f"{file}: a case has answers that were not checked")
    return found


def digest(text: str) -> str:
    """16 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _made(kind: type, data: Mapping[str, Any]) -> Any:
    """A dataclass from what JSON made of it. Raises TypeError where a field does not fit."""
    values = {key: _tuples(value) for key, value in data.items()}
    for key, form in get_type_hints(kind).items():
        if not _fits(values.get(key), form):
            raise TypeError(f"the field {key} is {values.get(key)!r}"[:200])
    return kind(**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _fits(value: Any, form: Any) -> bool:
    """Whether a value is of a type, which may be tuple[..., ...] of another."""
    if get_origin(form) is tuple:
        return isinstance(value, tuple) and all(_fits(part, get_args(form)[0]) for part in value)
    if isinstance(value, bool):
        return form is bool
    return isinstance(value, (int, float) if form is float else form)
