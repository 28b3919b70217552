"""The endpoint against a real server: `transformers serve` with the bundled model, on loopback."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import torch

from adaptlab import paths
from adaptlab.errors import AdaptlabError
from adaptlab.prompting.endpoint import Endpoint, EndpointConfig
from adaptlab.prompting.response_cache import ResponseCache
from adaptlab.sampling import Sampling

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

FOLDER = "models/smollm2-135m-instruct"
TOKENS = 12
PROMPTS = [f"Name a {what}." for what in ("colour", "fruit", "river", "metal")]
UP = 240  # seconds to start in; a quiet machine needs ten


@contextmanager
def serving(port: int, folder: Path, home: Path) -> Iterator[subprocess.Popen]:
    """`transformers serve` for one model in a folder, in fp32, with no network."""
    command = [
        *(sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)),
        *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"),
    ]
    alone = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "TQDM_DISABLE": "1"}
    log = home / "serve.log"
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=os.environ | alone, stdout=out, stderr=out)
    try:
        end = time.monotonic() + UP
        while not is_up(port):
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def is_up(port: int) -> bool:
    try:
        with httpx2.Client(trust_env=False) as client:
            return client.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200
    except httpx2.RequestError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@torch.inference_mode()
def reference(bundled, prompt: str) -> str:
    """The greedy answer by `transformers` itself."""
    model, tokenizer = bundled
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    whole = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    new = whole[0, inputs["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True)


def kill_after(answers: int, cache: Path, server: subprocess.Popen) -> threading.Thread:
    """Kills the server as soon as so many answers are kept, in the middle of the next."""

    def watch() -> None:
        kept = ResponseCache(cache)
        while server.poll() is None and len(kept) < answers + 1:  # one item is about the model
            time.sleep(0.01)
        server.kill()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.model
@pytest.mark.slow
def test_a_real_server_is_killed_and_started_again(bundled, tmp_path):
    expected = [reference(bundled, prompt) for prompt in PROMPTS]
    port, folder, cache = free_port(), paths.cache() / FOLDER, tmp_path / "answers"
    config = EndpointConfig(
        f"http://127.0.0.1:{port}/v1",
        str(folder),
        concurrency=1,
        attempts=2,
        backoff=0.1,
        cache=cache,
    )
    with serving(port, folder, tmp_path) as server:
        killer = kill_after(2, cache, server)
        with pytest.raises(AdaptlabError, match=r"of 4 answers are kept: run it again to go on"):
            Endpoint(config).generate(PROMPTS, TOKENS)
        killer.join()
        kept = len(ResponseCache(cache)) - 1
        assert 2 <= kept < 4
    with serving(port, folder, tmp_path):
        model = Endpoint(config)
        found = model.generate(PROMPTS, TOKENS)
        assert [one.text for (one,) in found] == expected
        assert all(0 < one.tokens <= TOKENS for (one,) in found)
        assert (model.usage.cached, model.usage.calls) == (kept, 4 - kept)
        assert model.usage.new_tokens == sum(one.tokens for (one,) in found[kept:])
        _check_what_the_server_lacks(replace(config, cache=None, n=2), expected[0])


def _check_what_the_server_lacks(config: EndpointConfig, expected: str) -> None:
    """It sends the stop string, ignores n, knows no top_k and tells no log-probabilities."""
    model, stop = Endpoint(config), expected[3:6]
    ((one,),) = model.generate(PROMPTS[:1], TOKENS, stop=[stop])
    assert (one.text, one.finish) == (expected[: expected.index(stop)], "stop")
    ((first, second),) = model.generate(PROMPTS[:1], 1, samples=2, sampling=Sampling(1.0))
    assert (first.tokens, second.tokens, model.usage.calls) == (1, 1, 3)
    with pytest.raises(AdaptlabError, match=r"422: Unexpected fields.*top_k"):
        model.generate(PROMPTS[:1], 1, sampling=Sampling(1.0, top_k=3))
    with pytest.raises(AdaptlabError, match="no log-probabilities"):
        model.score(["The sky is"], [" blue"])
