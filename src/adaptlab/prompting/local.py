"""A model in this process behind the one interface."""

from collections.abc import Callable, Sequence

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab import models
from adaptlab.errors import AdaptlabError
from adaptlab.prompting.generation import ROWS, Constraint, Request, generate
from adaptlab.prompting.interface import Completion, Prompt, Usage
from adaptlab.prompting.scoring import score_options
from adaptlab.prompting.stopping import Stops, end_tokens
from adaptlab.runtime import Runtime
from adaptlab.sampling import GREEDY, Sampling


class LocalModel:
    """A transformers model and its tokenizer as a `LanguageModel`."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str = "",
        rows: int = ROWS,
    ):
        """rows: texts that are written at once, at most."""
        self.model, self.tokenizer, self.rows = model, tokenizer, rows
        self.name = name or model.config.name_or_path
        self.usage = Usage()
        self._ends = end_tokens(model, tokenizer)

    @classmethod
    def load(cls, name: str, runtime: Runtime | None = None, rows: int = ROWS) -> "LocalModel":
        """The bundled model, a folder, or a Hub model; see `models.load`."""
        return cls(*models.load(name, runtime=runtime), name, rows)

    def generate(
        self,
        prompts: Sequence[Prompt],
        max_tokens: int,
        *,
        samples: int = 1,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        seed: int = 0,
        constraint: Callable[[], Constraint] | None = None,
    ) -> list[list[Completion]]:
        """As `interface.LanguageModel.generate`; a conversation goes through the chat template.

        constraint: makes what each text is held to, such as `constrained.json_grammar(...).new`.
        """
        if samples < 1 or max_tokens < 1:
            raise AdaptlabError(f"{samples} samples of at most {max_tokens} tokens: give 1 or more")
        coded = self._encode(prompts, max_tokens)
        stops = Stops(self.tokenizer, stop, self._ends)
        if sampling.temperature == 0 and samples > 1:  # greedy samples are all the same
            request = Request(max_tokens, 1, sampling, seed, stops, constraint)
            found = [texts * samples for texts in self._run(coded, request)]
        else:
            request = Request(max_tokens, samples, sampling, seed, stops, constraint)
            found = self._run(coded, request)
        self.usage.calls += len(prompts) * samples
        self.usage.prompt_tokens += samples * sum(map(len, coded))
        self.usage.new_tokens += sum(text.tokens for texts in found for text in texts)
        return found

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> np.ndarray:
        """As `interface.LanguageModel.score`."""
        texts = [self._text(prompt) for prompt in prompts]
        scores = score_options(self.model, self.tokenizer, texts, options)
        self.usage.calls += len(texts)
        self.usage.prompt_tokens += self.count(texts)
        return scores

    def count(self, prompts: Sequence[Prompt]) -> int:
        """How many tokens the prompts have together."""
        return sum(map(len, self.tokenizer([*map(self._text, prompts)]).input_ids))

    def _run(self, coded: Sequence[Sequence[int]], request: Request) -> list[list[Completion]]:
        return generate(self.model, self.tokenizer, coded, request, self.rows)

    def _encode(self, prompts: Sequence[Prompt], max_tokens: int) -> list[list[int]]:
        if not prompts:
            raise AdaptlabError("no prompts to continue")
        texts = [self._text(prompt) for prompt in prompts]
        coded = self.tokenizer(texts, verbose=False).input_ids
        limit = getattr(self.model.config, "max_position_embeddings", None)
        for place, ids in enumerate(coded):
            if not ids:
                raise AdaptlabError(f"prompt {place} is empty: give the model something to go on")
            if limit and len(ids) + max_tokens > limit:
                raise AdaptlabError(
                    f"prompt {place} has {len(ids)} tokens, and up to {max_tokens} are to follow; "
                    f"the model's context is {limit}"
                )
        return coded

    def _text(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        if not getattr(self.tokenizer, "chat_template", None):
            raise AdaptlabError(f"{self.name} has no chat template: give it text, not messages")
        return self.tokenizer.apply_chat_template(
            [dict(message) for message in prompt], tokenize=False, add_generation_prompt=True
        )
