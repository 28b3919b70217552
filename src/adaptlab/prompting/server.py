"""One OpenAI-compatible server: a request in, its JSON out, or one line that says what is wrong."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import httpx2
import openai

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.retrying import Garbled, may_pass, persistently, retry_after

CONNECT = 10.0  # seconds; a server that is there accepts a connection at once
SHOWN = 300  # characters of what a server says
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
LASTING = ("id", "root", "parent", "owned_by", "max_model_len", "meta")  # the rest is by the clock
# Statuses of a server that does not tell its models: 500 is what `transformers serve` says where
# there is no folder of the Hub's.
NO_LISTING = {400, 401, 403, 404, 405, 422, 500, 501}
T = TypeVar("T")


class ServerError(AdaptlabError):
    """A request that was not answered. status: of the HTTP response; None if none could be read."""

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


class Server:
    """Requests to one base URL, each tried up to `attempts` times."""

    def __init__(
        self, url: str, api_key: str | None, timeout: float, attempts: int, backoff: float
    ):
        """timeout: seconds for one whole answer. backoff: before the second attempt."""
        try:
            host = httpx2.URL(url).host
        except httpx2.InvalidURL as error:
            raise AdaptlabError(f"the base URL {url!r} is none: {error}") from error
        self.url, self.timeout, self.attempts, self.backoff = url, timeout, attempts, backoff
        own = host in LOOPBACK  # a proxy cannot reach what runs on this machine
        self._client = openai.OpenAI(
            base_url=url,
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,  # tenacity retries
            timeout=openai.Timeout(timeout, connect=min(timeout, CONNECT)),
            http_client=openai.DefaultHttpxClient(trust_env=False) if own else None,
        )

    def post(
        self,
        path: Literal["chat", "completions"],
        body: Mapping[str, Any],
        read: Callable[[Any], T],
        over: threading.Event,
    ) -> T:
        """POST chat/completions or completions; what `read` takes from the JSON that comes back.

        read: raises Garbled for what may be well at the next attempt, AdaptlabError for what will
        not. over: when it is set, no further attempt is made.
        Raises ServerError in one line that names the URL.
        """
        resource = self._client.chat.completions if path == "chat" else self._client.completions
        named = {name: body[name] for name in ("model", "messages", "prompt") if name in body}
        rest = {name: value for name, value in body.items() if name not in named}
        create = resource.with_streaming_response.create
        return self._ask(lambda: create(**named, extra_body=rest), read, over)

    def identity(self, model: str, attempts: int | None = None) -> dict[str, Any]:
        """What the server's list of models tells of `model`; {} where it has no such list.

        A server that lists one model only is taken to answer with that one, whatever the name:
        llama.cpp does so. Raises ServerError where the server is down or busy.
        """
        listing = self._client.models.with_streaming_response.list
        try:
            body = self._ask(listing, lambda body: body, attempts=attempts, again=_is_away)
        except ServerError as error:
            if error.status not in NO_LISTING:
                raise
            return {}
        entries = body.get("data") if isinstance(body, Mapping) else None
        entries = [e for e in entries or () if isinstance(e, Mapping)]
        named = [e for e in entries if e.get("id") == model]
        entry = (named or entries)[0] if named or len(entries) == 1 else {}
        return {field: entry[field] for field in LASTING if field in entry}

    def _ask(
        self,
        send: Callable[[], Any],
        read: Callable[[Any], T],
        over: threading.Event | None = None,
        attempts: int | None = None,
        again: Callable[[BaseException], bool] = may_pass,
    ) -> T:
        attempts, over = attempts or self.attempts, over or threading.Event()
        try:
            return persistently(lambda: read(self._json(send)), attempts, self.backoff, over, again)
        except (openai.OpenAIError, httpx2.RequestError, TimeoutError, Garbled) as error:
            status = getattr(error, "status_code", None)
            raise ServerError(self._explained(error), status) from error
        except AdaptlabError as error:
            raise ServerError(f"{self.url}: {error}", 200) from error

    def _json(self, send: Callable[[], Any]) -> Any:
        """The body, read as it comes: one that trickles in must not outlast the timeout either."""
        end = time.monotonic() + self.timeout
        content = bytearray()
        with send() as response:
            for chunk in response.iter_bytes():
                content += chunk
                if time.monotonic() > end:
                    raise TimeoutError
        try:
            return json.loads(content)
        except ValueError as error:
            raise Garbled(content[:SHOWN].decode(errors="replace") or "nothing") from error

    def _explained(self, error: Exception) -> str:
        """What went wrong at which URL, and what to do, in one line."""
        url = self.url
        if isinstance(error, openai.APIStatusError):
            return f"{url} {_of_status(error)}"
        if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException | TimeoutError):
            return (
                f"{url} gave no whole answer within {self.timeout:g} s: raise timeout, or lower "
                "concurrency or max_tokens"
            )
        if isinstance(error, Garbled):
            return (
                f"{url} sends what is no answer ({_line(error)}): does this URL speak OpenAI's API?"
            )
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        if isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError):
            return f"{url} broke off in the middle of an answer ({_line(cause)}): did it stop?"
        return (
            f"{url} does not answer ({_line(cause)}): is the server running, and is this its URL?"
        )


def _is_away(error: BaseException) -> bool:
    """Whether a server may tell its models in a moment."""
    return may_pass(error) and getattr(error, "status_code", None) not in NO_LISTING


def _of_status(error: openai.APIStatusError) -> str:
    status, said = error.status_code, f"({error.status_code}: {_said(error)})"
    if status in (401, 403):
        return f"refuses the key {said}: set OPENAI_API_KEY, or api_key"
    if status == 404:
        return (
            f"has no such thing {said}: does the base URL end as this server's does (most end in "
            "/v1), and is the model's name one that it lists?"
        )
    if status == 429:
        asked = retry_after(error)
        then = f"in {asked:.0f} s" if asked else "later"
        return f"is busy, or the quota is used up {said}: lower concurrency, or try again {then}"
    if status >= 500:
        return f"failed {said}: see the server's own log"
    return f"refuses the request {said}"


def _said(error: openai.APIStatusError) -> str:
    """The server's own words; they stand in one of several places."""
    body = error.body
    if isinstance(body, Mapping):
        body = body.get("message") or body.get("detail") or body.get("error") or body
    return _line(body or error.response.reason_phrase or "no reason given")


def _line(text: object) -> str:
    """In one line, and not too long a one."""
    line = " ".join(str(text).split())
    return line if len(line) <= SHOWN else line[:SHOWN] + " ..."
