"""One interface to a language model: continue prompts, and score options.

    generate   "Q: 2 + 2?\\nA:"           ->   " 4", in k samples, until a stop string
    score      "Q: 2 + 2?\\nA:", " 4"     ->   log p(" 4" | "Q: 2 + 2?\\nA:")

`local.LocalModel` runs a model in this process, `endpoint.Endpoint` asks a server. What is written
against this interface runs on both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from adaptlab.sampling import GREEDY, Sampling

Message = Mapping[str, str]  # {"role": "user", "content": "..."}
Prompt = str | Sequence[Message]  # a text to continue, or a conversation to answer


@dataclass(frozen=True)
class Completion:
    """One continuation of a prompt.

    text: without the stop string that ended it.
    tokens: how many were generated, those of the stop included.
    finish: "stop" where a stop string or the model's own end came, "length" where the limit did.
    """

    text: str
    tokens: int
    finish: Literal["stop", "length"]


@dataclass
class Usage:
    """What a model was asked for so far. Shared prefixes count in full, however they are run.

    cost: in the currency of the prices that an endpoint was given; 0 for a local model.
    cached: answers that an endpoint's cache gave; they are in none of the other counts.
    """

    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    cost: float = 0.0
    cached: int = 0


class LanguageModel(Protocol):
    """What every technique is written against."""

    name: str
    usage: Usage

    def generate(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        *,
        samples: int = 1,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> list[list[Completion]]:
        """`samples` continuations of each prompt, (prompts, samples).

        max_tokens: of one continuation. stop: strings, the first of which ends a continuation.
        seed: of the draws; a local model gives the same prompt the same samples in any company.
        Raises AdaptlabError for no or an empty prompt, samples or max_tokens below 1, an empty
        stop, and a prompt that leaves no room for max_tokens in the context.
        """
        ...

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> np.ndarray:
        """The log-likelihood in nats of each option after each prompt, (prompts, options).

        Raises AdaptlabError as `scoring.score_options` does, or where a server cannot tell.
        """
        ...
