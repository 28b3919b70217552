"""A server on loopback that speaks as much of OpenAI's API as a test needs, and errs by script."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["Handler", dict[str, Any]], None]


@dataclass
class Fake:
    """What the server was asked, and how it goes on.

    script: what it does with the next requests; after that, and for None, it answers.
    choose: the choices of an answer. models: its listing, the status it has instead, or None for
        a server without one.
    """

    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    script: list[Step | None] = field(default_factory=list)
    choose: Callable[[str, dict[str, Any]], list[dict[str, Any]]] | None = None
    usage: dict[str, Any] | None = field(
        default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 3}
    )
    models: list[dict[str, Any]] | int | None = None
    delay: float = 0.0
    listed: int = 0
    now: int = 0
    most: int = 0  # requests that were being answered at one time
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: Fake

    def handle_error(self, request, client_address) -> None:
        """A client that went away is what some tests want."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        models = self.server.fake.models
        self.server.fake.listed += 1
        if isinstance(models, int):
            self.send(models, {"error": {"message": "no listing now"}})
        elif models is None:
            self.send(404, {"error": {"message": "no listing here"}})
        else:
            self.send(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        fake, body = self.server.fake, self.read()
        with fake.lock:
            fake.asked.append(body)
            step = fake.script.pop(0) if fake.script else None
            fake.now += 1
            fake.most = max(fake.most, fake.now)
        try:
            time.sleep(fake.delay)
            if step:
                step(self, body)
            else:
                self.send(200, self.answer(body))
        finally:
            with fake.lock:
                fake.now -= 1

    def read(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        fake = self.server.fake
        choices = (fake.choose or one_choice)(self.path, body)
        return {"choices": choices} | ({"usage": fake.usage} if fake.usage else {})

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def prompt_of(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"] if "messages" in body else body["prompt"]


def choice(path: str, text: str | None, finish: str | None = "stop") -> dict[str, Any]:
    """A choice in the form that the path has."""
    if path.endswith("/chat/completions"):
        return {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"text": text, "finish_reason": finish}


def one_choice(path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The prompt and the seed, said back: a reader can tell which request it answers."""
    return [choice(path, f"{prompt_of(body)} seed {body.get('seed')}")]


def n_choices(path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """As vLLM: n choices, whose seeds follow each other."""
    said = [f"{prompt_of(body)} seed {body.get('seed', 0) + i}" for i in range(body.get("n", 1))]
    return [choice(path, text) for text in said]


def status(code: int, message: str = "because", **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.send(code, {"error": {"message": message}}, named)


def says(body: Any, code: int = 200) -> Step:
    return lambda handler, _: handler.send(code, body)


def cut(handler: Handler, body: dict[str, Any]) -> None:
    """Half an answer: fewer bytes than were promised, and the connection is closed."""
    content = json.dumps(handler.answer(body)).encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True


def hang(handler: Handler, body: dict[str, Any]) -> None:
    """No answer before any test's timeout."""
    time.sleep(2)
    handler.close_connection = True


def trickle(handler: Handler, body: dict[str, Any]) -> None:
    """A byte now and then, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


@contextmanager
def serving(port: int = 0) -> Iterator[Fake]:
    server = Server(("127.0.0.1", port), Handler)
    server.fake = Fake(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.fake
    finally:
        server.shutdown()
        server.server_close()
