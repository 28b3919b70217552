"""Ask a model, and count what each question cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from adaptlab.prompting.interface import LanguageModel
from adaptlab.prompting.parsing import Parsed
from adaptlab.prompting.solution import Solution
from adaptlab.sampling import GREEDY, Sampling


@dataclass(frozen=True)
class Reply:
    """What came of one prompt: a text a sample, and the tokens written and read for all of them."""

    texts: tuple[str, ...]
    tokens: int
    prompt_tokens: int

    @property
    def text(self) -> str:
        """The first sample."""
        return self.texts[0]


def ask(
    model: LanguageModel,
    prompts: Sequence[str],
    max_tokens: int,
    *,
    samples: int = 1,
    sampling: Sampling = GREEDY,
    stop: Sequence[str] = (),
    seed: int = 0,
) -> list[Reply]:
    """One call of the model for all prompts.

    The tokens read are what `model.usage` grew by, shared out among the prompts by their length in
    characters: the sum is exact, and a prompt's part is as good as its tokens are evenly long. An
    answer from an endpoint's cache adds nothing to `usage`, so nothing was read for it.
    """
    before = model.usage.prompt_tokens
    written = model.generate(
        prompts, max_tokens, samples=samples, sampling=sampling, stop=stop, seed=seed
    )
    read = shares(model.usage.prompt_tokens - before, [len(prompt) for prompt in prompts])
    return [
        Reply(tuple(one.text for one in texts), sum(one.tokens for one in texts), part)
        for texts, part in zip(written, read, strict=True)
    ]


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """A total in whole parts, in proportion to positive weights; they sum to it exactly."""
    ends = [total * weight // sum(weights) for weight in accumulate(weights)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def solution(parsed: Parsed, replies: Sequence[Reply]) -> Solution:
    """The answer of a question, with all that was written and read for it."""
    return Solution(
        answer=parsed.lenient,
        strict=parsed.strict,
        trace=tuple(text for reply in replies for text in reply.texts),
        tokens=sum(reply.tokens for reply in replies),
        prompt_tokens=sum(reply.prompt_tokens for reply in replies),
    )
