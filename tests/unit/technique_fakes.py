"""A language model by script: it says what a function of the prompt says, and records all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adaptlab.prompting.interface import Completion, Usage
from adaptlab.sampling import GREEDY, Sampling


@dataclass(frozen=True)
class Call:
    """One call of `generate`."""

    prompts: tuple[str, ...]
    max_tokens: int
    samples: int
    sampling: Sampling
    stop: tuple[str, ...]
    seed: int


@dataclass
class Scripted:
    """say: prompt, number of the sample -> text. A token is a word; prompts count per sample."""

    say: Callable[[str, int], str]
    name: str = "scripted"
    usage: Usage = field(default_factory=Usage)
    calls: list[Call] = field(default_factory=list)

    def generate(
        self,
        prompts: Sequence[str],
        max_tokens: int,
        *,
        samples: int = 1,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[list[Completion]]:
        self.calls.append(Call(tuple(prompts), max_tokens, samples, sampling, tuple(stop), seed))
        written = [[self._one(prompt, i, stop) for i in range(samples)] for prompt in prompts]
        self.usage.calls += len(prompts) * samples
        self.usage.prompt_tokens += samples * sum(len(prompt.split()) for prompt in prompts)
        self.usage.new_tokens += sum(one.tokens for row in written for one in row)
        return written

    def _one(self, prompt: str, sample: int, stop: Sequence[str]) -> Completion:
        text = self.say(prompt, sample)
        tokens = len(text.split())
        found = [text.index(end) for end in stop if end in text]
        return Completion(text[: min(found)] if found else text, tokens, "stop")


def says(text: str) -> Scripted:
    """A model that always says the same."""
    return Scripted(lambda prompt, sample: text)


def asked_in(prompt: str) -> str:
    """The question that a prompt asks last."""
    return prompt.rsplit("Q: ", 1)[1].split("\nA:")[0]
