"""Many requests to one server: those in the cache are not sent, the others are kept as they come.

wanted  ->  in the cache?  -- yes ------------------------->  answers
                |  no                                            ^
                `->  some at once, samples in one  ->  kept  ----'
"""

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tqdm import tqdm

from adaptlab.prompting.answers import Reply, read_logprobs, read_texts
from adaptlab.prompting.concurrently import run_all
from adaptlab.prompting.interface import Usage
from adaptlab.prompting.response_cache import ResponseCache
from adaptlab.prompting.server import Server, ServerError

MILLION = 1_000_000


@dataclass(frozen=True)
class Request:
    """One answer that is wanted.

    kind: "chat" and "completions" for a text, "echo" for the log-probabilities of the prompt.
    body: JSON of all that is sent but the seed and n.
    """

    kind: Literal["chat", "completions", "echo"]
    body: str
    seed: int | None = None
    sample: int = 0

    def to_send(self, n: int = 1) -> dict[str, Any]:
        seed = {} if self.seed is None else {"seed": self.seed}
        return json.loads(self.body) | seed | ({"n": n} if n > 1 else {})

    def read(self, body: Any) -> Reply:
        """What is wanted of the server's JSON; raises as `answers` does."""
        if self.kind == "echo":
            return read_logprobs(body, json.loads(self.body)["prompt"])
        return read_texts(body)


Answers = dict[Request, dict[str, Any]]


@dataclass
class Asker:
    """Asks a server for a model's answers, and counts in `usage` what that took.

    threads: requests that are out at once. n: samples that one request asks for, at most.
    prices: of a million tokens, of the prompt and new.
    """

    server: Server
    model: str
    cache: ResponseCache | None
    threads: int
    n: int
    prices: tuple[float, float]
    usage: Usage
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _has_n: bool = True  # until the server shows that it has not

    def collect(self, title: str, requests: Iterable[Request]) -> Answers:
        """The answer to each request; the same request twice is asked once. title: of the bar.

        Raises ServerError at the first that fails, AdaptlabError where the cache does.
        """
        wanted = list(dict.fromkeys(requests))
        model, found = self._recall(wanted)
        self.usage.cached += len(found)
        missing = [request for request in wanted if request not in found]
        if not missing:
            return found
        before, start = self.usage.new_tokens, time.perf_counter()
        bar = tqdm(total=len(wanted), initial=len(found), desc=title, unit="text", leave=False)

        def done(answers: Answers) -> None:
            found.update(answers)
            speed = (self.usage.new_tokens - before) / (time.perf_counter() - start)
            bar.set_postfix_str(f"{speed:,.0f} tokens/s", refresh=False)
            bar.update(len(answers))

        kept: list[Request] = []
        with bar:
            try:
                run_all(
                    lambda group, over: self._ask(model, group, over, kept),
                    self._groups(missing),
                    self.threads,
                    done,
                )
            except ServerError as error:
                have = len(wanted) - len(missing) + len(kept)
                raise self._told(error, have, len(wanted)) from error.__cause__
        return found

    def _told(self, error: ServerError, have: int, of: int) -> ServerError:
        """The error, with what is not lost."""
        if self.cache is None or not have:
            return error
        kept = f"{have} of {of} answers are kept: run it again to go on"
        return ServerError(f"{error}; {kept}", error.status)

    def _recall(self, wanted: Sequence[Request]) -> tuple[dict[str, Any], Answers]:
        """What the server says of its model, and the answers that are kept of that very model."""
        if self.cache is None:
            return {}, {}
        about = {"url": self.server.url, "about": self.model}
        last = self.cache.get(about)
        try:
            model = self.server.identity(self.model, attempts=1 if last is not None else None)
        except ServerError:
            found = {} if last is None else self._kept(last, wanted)
            if len(found) == len(wanted):
                return last, found  # nothing is to be asked: the server may be down
            model = self.server.identity(self.model)
        self.cache.put(about, model)
        return model, self._kept(model, wanted)

    def _kept(self, model: dict[str, Any], wanted: Sequence[Request]) -> Answers:
        found = ((request, self.cache.get(self._key(model, request))) for request in wanted)
        return {request: answer for request, answer in found if answer is not None}

    def _key(self, model: dict[str, Any], request: Request) -> dict[str, Any]:
        return {
            "url": self.server.url,
            "model": model,
            "kind": request.kind,
            "body": request.to_send(),
            "sample": request.sample,
        }

    def _groups(self, missing: Sequence[Request]) -> list[list[Request]]:
        """Samples of one prompt together, as many as one request may ask for."""
        alike: dict[str, list[Request]] = {}
        for request in missing:
            alike.setdefault(request.body, []).append(request)
        return [
            group[first : first + self.n]
            for group in alike.values()
            for first in range(0, len(group), self.n)
        ]

    def _ask(
        self,
        model: dict[str, Any],
        group: Sequence[Request],
        over: threading.Event,
        kept: list[Request],
    ) -> Answers:
        """The answers to samples of one prompt, each kept in the cache before anything else."""
        found: Answers = {}
        left = list(group)
        while left:
            n = len(left) if self._has_n else 1
            try:
                reply = self._send(left[0], n, over)
            except ServerError as error:
                if n == 1 or error.status not in (400, 422):
                    raise
                self._has_n = False
                continue
            for request, answer in zip(left[:n], reply.answers, strict=False):
                if self.cache is not None:
                    self.cache.put(self._key(model, request), answer)
                found[request] = answer
                kept.append(request)
            if len(reply.answers) < n:
                self._has_n = False
            left = left[min(n, len(reply.answers)) :]
        return found

    def _send(self, request: Request, n: int, over: threading.Event) -> Reply:
        path = "chat" if request.kind == "chat" else "completions"
        reply = self.server.post(path, request.to_send(n), request.read, over)
        with self._lock:
            self.usage.calls += 1
            self.usage.prompt_tokens += reply.prompt_tokens
            self.usage.new_tokens += reply.new_tokens
            self.usage.cost += reply.prompt_tokens * self.prices[0] / MILLION
            self.usage.cost += reply.new_tokens * self.prices[1] / MILLION
        return reply
