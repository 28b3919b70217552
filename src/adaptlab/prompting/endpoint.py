"""A model behind an OpenAI-compatible server: vLLM, Ollama, llama.cpp, `transformers serve`, ...

    generate   prompt, max_tokens, sampling, stop, seed   ->   one request for each sample
    score      prompt, options   ->   the prompt, and the prompt with each option, echoed

Each answer is on disk before the next is waited for: a run that breaks off is started again as it
was, and asks only for what is missing.
"""

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from adaptlab import paths
from adaptlab.errors import AdaptlabError
from adaptlab.prompting.answers import completion, option_score
from adaptlab.prompting.asking import Asker, Request
from adaptlab.prompting.interface import Completion, Prompt, Usage
from adaptlab.prompting.response_cache import ResponseCache
from adaptlab.prompting.server import Server, ServerError
from adaptlab.sampling import GREEDY, Sampling

OURS = {"model", "messages", "prompt", "n", "seed", "stream", "stop", "temperature"}
SAY_NO = {200, 400, 404, 405, 422, 501}  # statuses of a server that cannot echo
SEEDS = 2**31  # more would be no number for some servers


@dataclass(frozen=True)
class EndpointConfig:
    """Where a server is and how it is asked.

    base_url: up to where "/chat/completions" follows. model: its name on the server.
    api_key: by default OPENAI_API_KEY; servers at home want none.
    mode: "chat" sends a text as a user's message; "completions" sends it as a text to continue.
    timeout: seconds for one whole answer. attempts: at one request. backoff: seconds before the
        second attempt, doubled for each after it. concurrency: requests that are out at once.
    n: samples that one request asks for. More than one pays for the prompt once; a server that
        does not give them is asked for one at a time.
    prompt_price, new_price: of a million tokens.
    cache: the folder where answers are kept, or None.
    limit: what the server calls max_tokens.
    extra: fields of the request that only this server knows, such as {"min_p": 0.1}. What neither
        `Sampling` nor this sets is as the server has it: vLLM takes top_k from the model's files.
    Raises AdaptlabError for values that make no sense.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    mode: Literal["chat", "completions"] = "chat"
    timeout: float = 120.0
    attempts: int = 4
    backoff: float = 1.0
    concurrency: int = 8
    n: int = 1
    prompt_price: float = 0.0
    new_price: float = 0.0
    cache: Path | str | None = None
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise AdaptlabError(f"the base URL {self.base_url!r} begins neither http nor https://")
        if not self.model:
            raise AdaptlabError("the endpoint's model has no name")
        if self.mode not in ("chat", "completions"):
            raise AdaptlabError(f"unknown mode {self.mode!r}: 'chat' or 'completions'")
        if self.timeout <= 0 or self.backoff < 0:
            raise AdaptlabError("the timeout must be above 0 seconds, the backoff not below")
        for name in ("attempts", "concurrency", "n"):
            if getattr(self, name) < 1:
                raise AdaptlabError(f"{name} is {getattr(self, name)}: at least 1 is needed")
        if taken := OURS & set(self.extra):
            raise AdaptlabError(f"extra cannot set {', '.join(sorted(taken))}")
        try:
            json.dumps(dict(self.extra))
        except (TypeError, ValueError) as error:
            raise AdaptlabError(f"extra is sent as JSON, and cannot be: {error}") from error


class Endpoint:
    """A server's model as a `LanguageModel`.

    Every method raises AdaptlabError where the server cannot be had, or says no: the URL, what is
    wrong and what to do. What had been answered by then is in the cache.
    """

    def __init__(self, config: EndpointConfig):
        self.config, self.name, self.usage = config, config.model, Usage()
        url = config.base_url.rstrip("/")
        self._asker = Asker(
            Server(url, config.api_key, config.timeout, config.attempts, config.backoff),
            config.model,
            ResponseCache(config.cache) if config.cache else None,
            config.concurrency,
            config.n,
            (config.prompt_price, config.new_price),
            self.usage,
        )

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
        """As `interface.LanguageModel.generate`; greedy samples are asked for once."""
        if samples < 1 or max_tokens < 1:
            raise AdaptlabError(f"{samples} samples of at most {max_tokens} tokens: give 1 or more")
        if isinstance(stop, str) or not all(stop):
            raise AdaptlabError("stop is a list of strings, and none of them is empty")
        how = {self.config.limit: int(max_tokens), **_how(sampling, stop), **self.config.extra}
        distinct = 1 if sampling.temperature == 0 else samples
        wanted = [
            self._requests(_as_json(place, self._what(place, prompt)) | how, seed, distinct)
            for place, prompt in enumerate(_some(prompts))
        ]
        found = self._asker.collect("generating", (r for row in wanted for r in row))
        texts = [[completion(found[r], stop, max_tokens) for r in row] for row in wanted]
        return [row * (samples // distinct) for row in texts]

    def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> np.ndarray:
        """As `interface.LanguageModel.score`, for texts, where the server echoes log-probabilities.

        A prompt is sent alone and with each option: the tokens that both have are the prompt's,
        however the server cuts texts into tokens.
        """
        if not prompts or not options:
            raise AdaptlabError("nothing to score: prompts and options must not be empty")
        for place, prompt in enumerate(_some(prompts)):
            if not isinstance(prompt, str) or not prompt:
                raise AdaptlabError(
                    f"prompt {place} cannot be scored: it must be a text, not empty"
                )
        wanted = [[self._echo(prompt + end) for end in ("", *options)] for prompt in prompts]
        try:
            found = self._asker.collect("scoring", (r for row in wanted for r in row))
        except ServerError as error:
            if error.status not in SAY_NO:
                raise
            raise AdaptlabError(
                f"no log-probabilities of a text from this server ({error}): "
                "generate an answer and parse it instead"
            ) from error
        scores = np.zeros((len(prompts), len(options)))
        for item, (alone, *rest) in enumerate(wanted):
            for column, (joined, option) in enumerate(zip(rest, options, strict=True)):
                scores[item, column] = option_score(found[alone], found[joined], option)
        return scores

    def _requests(self, body: Mapping[str, Any], seed: int, samples: int) -> list[Request]:
        """One for each sample, with seeds that follow each other; greedy needs none."""
        text = json.dumps(body)
        if body["temperature"] == 0:
            return [Request(self.config.mode, text)]
        first = zlib.crc32(f"{seed} {text}".encode())
        return [Request(self.config.mode, text, (first + i) % SEEDS, i) for i in range(samples)]

    def _echo(self, text: str) -> Request:
        """Asks for the log-probabilities of a text; one token more, as many servers want it."""
        body = {"model": self.config.model, "prompt": text, "max_tokens": 1, "temperature": 0}
        return Request("echo", json.dumps(body | {"echo": True, "logprobs": 1}))

    def _what(self, place: int, prompt: Prompt) -> dict[str, Any]:
        """The model and the prompt, as the mode has them."""
        model = {"model": self.config.model}
        if isinstance(prompt, str):
            if not prompt:
                raise AdaptlabError(f"prompt {place} is empty: give the model something to go on")
            if self.config.mode == "completions":
                return model | {"prompt": prompt}
            return model | {"messages": [{"role": "user", "content": prompt}]}
        if self.config.mode == "completions":
            raise AdaptlabError(f"prompt {place} is a conversation: it needs mode='chat'")
        if not all(isinstance(message, Mapping) for message in prompt):
            raise AdaptlabError(f"prompt {place} is neither a text nor a list of messages")
        if not any(message.get("content") for message in prompt):
            raise AdaptlabError(f"prompt {place} is empty: give the model something to go on")
        return model | {"messages": [dict(message) for message in prompt]}


def from_environment(environment: Mapping[str, str] = os.environ) -> Endpoint | None:
    """The endpoint that ADAPTLAB_ENDPOINT (a base URL) and ADAPTLAB_ENDPOINT_MODEL name, or None.

    Its key is OPENAI_API_KEY, and its answers are kept in the course's cache folder.
    Raises AdaptlabError if only one of the two is set.
    """
    url, model = (
        environment.get(name) for name in ("ADAPTLAB_ENDPOINT", "ADAPTLAB_ENDPOINT_MODEL")
    )
    if not url and not model:
        return None
    if not url or not model:
        raise AdaptlabError("set both ADAPTLAB_ENDPOINT and ADAPTLAB_ENDPOINT_MODEL, or neither")
    return Endpoint(EndpointConfig(url, model, cache=paths.cache() / "answers"))


def _as_json(place: int, what: Mapping[str, Any]) -> dict[str, Any]:
    """What can be sent, as it is. Raises AdaptlabError for what JSON in UTF-8 cannot hold."""
    try:
        json.dumps(what, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:  # half a character is a ValueError
        raise AdaptlabError(f"prompt {place} cannot be sent as JSON: {error}") from error
    return dict(what)


def _some(prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    if isinstance(prompts, str):
        raise AdaptlabError("prompts is one text; give a list of them")
    if not prompts:
        raise AdaptlabError("no prompts to continue")
    return prompts


def _how(sampling: Sampling, stop: Sequence[str]) -> dict[str, Any]:
    """The fields of a request that say how tokens are drawn and where a text ends."""
    how: dict[str, Any] = {"temperature": float(sampling.temperature)}
    if sampling.temperature > 0:
        chosen = {"top_p": sampling.top_p, "top_k": sampling.top_k}
        how |= {name: value for name, value in chosen.items() if value is not None}
    return how | ({"stop": list(stop)} if stop else {})
