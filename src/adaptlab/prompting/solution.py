"""What every technique takes and gives back."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Solution:
    """A technique's answer to one question.

    answer: as lenient parsing found it, in the form of `Problem.answer`; None where there is none.
    strict: as strict parsing found it, or None.
    trace: what the model wrote, in order: one text a call (or a sample).
    tokens: generated for it in all calls, demonstrations that were generated for everyone left out.
    prompt_tokens: read for it in all calls.
    """

    answer: str | None
    strict: str | None
    trace: tuple[str, ...]
    tokens: int
    prompt_tokens: int = 0
