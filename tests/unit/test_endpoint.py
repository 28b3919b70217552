"""What an endpoint asks and what it makes of answers and faults, by a scripted fake server."""

import asyncio
import email.utils
import re
import socket
import threading
import time
from concurrent.futures import CancelledError

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.prompting import endpoint as subject
from adaptlab.prompting.answers import completion
from adaptlab.prompting.concurrently import run_all
from adaptlab.prompting.endpoint import Endpoint, EndpointConfig
from adaptlab.prompting.retrying import Garbled, persistently, retry_after
from adaptlab.sampling import Sampling
from tests import endpoint_fake as fakes

WARM = Sampling(0.7)


@pytest.fixture
def fake():
    with fakes.serving() as server:
        yield server


def asking(fake, **settings) -> Endpoint:
    return Endpoint(EndpointConfig(fake.url, "m", **{"backoff": 0.01} | settings))


def texts(found) -> list[list[str]]:
    return [[one.text for one in row] for row in found]


def refused(act) -> str:
    """The one line that an AdaptlabError says."""
    with pytest.raises(AdaptlabError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# What is asked


def test_answers_stand_where_their_prompts_do_and_seeds_differ(fake):
    prompts = [f"question {i}" for i in range(5)]
    found = texts(asking(fake).generate(prompts, 8, samples=3, sampling=WARM, seed=1))
    assert all(text.startswith(prompt) for prompt, row in zip(prompts, found, strict=True)
               for text in row)  # fmt: skip
    assert len({text for row in found for text in row}) == 15
    again = texts(asking(fake).generate(prompts, 8, samples=3, sampling=WARM, seed=1))
    other = texts(asking(fake).generate(prompts, 8, samples=3, sampling=WARM, seed=2))
    assert again == found
    assert not {t for row in other for t in row} & {t for row in found for t in row}
    assert all(0 <= body["seed"] < 2**31 for body in fake.asked)


def test_a_text_is_a_message_or_a_text_to_continue(fake):
    asking(fake).generate(["hello"], 8)
    asking(fake, mode="completions").generate(["hello"], 8)
    talk = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hello"}]
    asking(fake, limit="max_completion_tokens", extra={"min_p": 0.1}).generate([talk], 8)
    chat, text, long = fake.asked
    plain = {"model": "m", "max_tokens": 8, "temperature": 0.0}
    assert chat == plain | {"messages": [{"role": "user", "content": "hello"}]}
    assert text == plain | {"prompt": "hello"}
    assert long["messages"] == talk
    assert long["max_completion_tokens"] == 8
    assert long["min_p"] == 0.1
    assert "max_tokens" not in long


def test_how_tokens_are_drawn_is_sent_only_where_it_is_set(fake):
    model = asking(fake)
    model.generate(["a"], 8, sampling=Sampling(0.5, top_k=3, top_p=0.9), stop=["\n", "Q:"])
    model.generate(["a"], 8, sampling=WARM)
    full, bare = fake.asked
    assert (full["temperature"], full["top_k"], full["top_p"]) == (0.5, 3, 0.9)
    assert full["stop"] == ["\n", "Q:"]
    assert not {"top_k", "top_p", "stop", "n"} & set(bare)


def test_what_is_the_same_is_asked_once(fake):
    model = asking(fake)
    found = model.generate(["a", "b", "a"], 8, samples=4)
    assert [body["messages"][0]["content"] for body in fake.asked] in (["a", "b"], ["b", "a"])
    assert texts(found) == [["a seed None"] * 4, ["b seed None"] * 4, ["a seed None"] * 4]
    assert model.usage.calls == 2


@pytest.mark.parametrize("n", [2, 3, 8])
def test_samples_in_one_request_are_those_of_single_ones(fake, n):
    single = asking(fake).generate(["a", "b"], 8, samples=5, sampling=WARM)
    fake.choose = fakes.n_choices
    fake.asked.clear()
    grouped = asking(fake, n=n).generate(["a", "b"], 8, samples=5, sampling=WARM)
    assert texts(grouped) == texts(single)
    assert len(fake.asked) == 2 * -(-5 // n)
    assert sum(body.get("n", 1) for body in fake.asked) == 10


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_without_n_is_asked_singly(fake, refuses):
    single = asking(fake).generate(["a"], 8, samples=5, sampling=WARM)
    fake.asked.clear()
    fake.script = [fakes.status(400, "n must be 1")] if refuses else []
    model = asking(fake, n=4, concurrency=1)
    assert texts(model.generate(["a"], 8, samples=5, sampling=WARM)) == texts(single)
    assert [body.get("n", 1) for body in fake.asked] == [4] + [1] * (5 if refuses else 4)
    assert model.usage.calls == 5


def test_tokens_of_many_choices_add_up_to_what_the_server_counts(fake):
    fake.choose, fake.usage = fakes.n_choices, {"prompt_tokens": 7, "completion_tokens": 11}
    model = asking(fake, n=4, prompt_price=2.0, new_price=10.0)
    (row,) = model.generate(["a"], 8, samples=4, sampling=WARM)
    assert sum(one.tokens for one in row) == 11
    assert max(one.tokens for one in row) - min(one.tokens for one in row) <= 1
    usage = model.usage
    assert (usage.calls, usage.prompt_tokens, usage.new_tokens) == (1, 7, 11)
    assert usage.cost == pytest.approx((7 * 2 + 11 * 10) / 1e6)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "completion_tokens": None}])
def test_a_server_that_counts_nothing_counts_as_nothing(fake, usage):
    fake.usage = usage
    model = asking(fake, prompt_price=1.0)
    assert model.generate(["a"], 8)[0][0].tokens == 0
    assert (model.usage.calls, model.usage.prompt_tokens, model.usage.cost) == (1, 0, 0.0)


def test_as_many_requests_are_out_as_may_be(fake):
    fake.delay = 0.05
    asking(fake, concurrency=4).generate([f"{i}" for i in range(16)], 8)
    assert 2 <= fake.most <= 4


def test_it_works_where_an_event_loop_runs(fake):
    async def cell():
        return asking(fake).generate(["a"], 8)

    assert texts(asyncio.run(cell())) == [["a seed None"]]


def test_a_proxy_is_not_asked_for_what_runs_here(fake, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert texts(asking(fake, attempts=1).generate(["a"], 8)) == [["a seed None"]]


# What an answer is


@given(st.text("ab\n", max_size=12), st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3))
def test_no_stop_is_left_in_a_text(text, stop):
    found = completion({"text": text, "finish": "length", "tokens": 4}, stop, 4)
    assert text.startswith(found.text)
    assert not any(string in found.text for string in stop)
    assert (found.finish == "stop") == any(string in text for string in stop)
    if found.finish == "stop":
        assert any(text[len(found.text) :].startswith(string) for string in stop)


@pytest.mark.parametrize(
    ("said", "tokens", "means"),
    [("stop", 3, "stop"), ("length", 8, "length"), ("max_tokens", 8, "length"),
     (None, 8, "length"), (None, 3, "stop"), ("eos", 3, "stop")],
)  # fmt: skip
def test_why_a_text_ended(fake, said, tokens, means):
    fake.choose = lambda path, body: [fakes.choice(path, "x", said)]
    fake.usage = {"completion_tokens": tokens}
    (one,) = asking(fake).generate(["a"], 8)[0]
    assert (one.finish, one.tokens) == (means, tokens)


# Faults

TOO_LONG = "This model's maximum context length is 2048 tokens"
FAULTS = {
    "401": (fakes.status(401), "refuses the key.*OPENAI_API_KEY", 1),
    "403": (fakes.status(403), "refuses the key", 1),
    "404": (fakes.status(404), "404: because.*/v1", 1),
    "400": (fakes.status(400, TOO_LONG), f"400: {TOO_LONG}", 1),
    "422": (fakes.says({"detail": "Unexpected fields"}, 422), "422: Unexpected fields", 1),
    "500": (fakes.status(500), "failed .500: because.*log", 3),
    "503": (fakes.says({"error": "still loading"}, 503), "503: still loading", 3),
    "proxy": (fakes.says(b"<html>\n<h1>Bad\ngateway</h1>", 502), "502: <html> <h1>Bad gateway", 3),
    "429": (fakes.status(429), "429: because.*lower concurrency", 3),
    "slow down": (fakes.status(429, retry_after="3600"), "again in 3600 s", 1),
    "quota": (
        fakes.says({"error": {"message": "pay", "code": "insufficient_quota"}}, 429),
        "quota is used up .429: pay", 1,
    ),
    "html": (fakes.says(b"<html>\nhello</html>"), "no answer .<html> hello</html>", 3),
    "nothing": (fakes.says(b""), "no answer .nothing", 3),
    "list": (fakes.says([1, 2]), "no answer", 3),
    "error in 200": (fakes.says({"error": {"message": "overloaded"}}), "overloaded", 3),
    "no choices": (fakes.says({"choices": []}), "no choices", 3),
    "odd choices": (fakes.says({"choices": ["x"]}), "no objects", 3),
    "null": (
        fakes.says({"choices": [{"message": {"content": None}, "finish_reason": "length"}]}),
        "no text .it ended by 'length'.*max_tokens", 1,
    ),
    "no message": (fakes.says({"choices": [{}]}), "no text", 1),
    "half": (fakes.cut, "broke off in the middle of an answer", 3),
    "slow": (fakes.hang, "no whole answer within 0.3 s: raise timeout", 3),
    "trickle": (fakes.trickle, "no whole answer within 0.3 s", 3),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_a_line(fake, name):
    step, message, attempts = FAULTS[name]
    fake.script = [step] * attempts
    model = asking(fake, attempts=3, timeout=0.3)
    told = refused(lambda: model.generate(["a"], 8))
    assert fake.url in told
    assert re.search(message, told), told
    assert len(fake.asked) == attempts
    assert model.usage == subject.Usage()
    assert texts(model.generate(["a"], 8)) == [["a seed None"]]  # it is well again


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault[2] == 3])
def test_a_fault_that_passes_is_not_told(fake, name):
    fake.script = [FAULTS[name][0]] * 2
    assert texts(asking(fake, attempts=3, timeout=0.3).generate(["a"], 8)) == [["a seed None"]]


def test_a_server_that_is_down(fake):
    config = EndpointConfig(f"http://127.0.0.1:{free_port()}/v1", "m", attempts=2, backoff=0.01)
    told = refused(lambda: Endpoint(config).generate(["a"], 8))
    assert config.base_url in told
    assert "is the server running" in told
    assert "refused" in told


def test_the_first_fault_ends_the_run(fake):
    fake.script = [None, fakes.status(401)]
    model = asking(fake, concurrency=1)
    refused(lambda: model.generate([f"{i}" for i in range(50)], 8))
    assert len(fake.asked) <= 3  # the third may have been out already


def test_a_fault_ends_the_waits_of_the_others(fake):
    fake.script = [fakes.status(503, retry_after="60"), fakes.status(401)]
    start = time.perf_counter()
    assert "refuses the key" in refused(lambda: asking(fake, concurrency=2).generate(["a", "b"], 8))
    assert time.perf_counter() - start < 5


def test_an_interrupt_waits_for_nothing():
    def interrupt(_):
        raise KeyboardInterrupt

    start, free = time.perf_counter(), threading.Event()
    with pytest.raises(KeyboardInterrupt):
        run_all(lambda job, over: free.wait(job), [0, 5], 2, interrupt)
    assert time.perf_counter() - start < 1
    free.set()


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        ([], {}, "no prompts"),
        ("one text", {}, "a list"),
        (["a", ""], {}, "prompt 1 is empty"),
        ([[]], {}, "prompt 0 is empty"),
        ([[{"role": "user", "content": ""}]], {}, "prompt 0 is empty"),
        ([["hi"]], {}, "neither a text nor a list of messages"),
        (["a", "half \ud83d"], {}, "prompt 1 cannot be sent as JSON"),
        ([[{"role": "user", "content": {1}}]], {}, "prompt 0 cannot be sent as JSON"),
        (["a"], {"samples": 0}, "0 samples"),
        (["a"], {"max_tokens": 0}, "at most 0 tokens"),
        (["a"], {"stop": [""]}, "none of them is empty"),
        (["a"], {"stop": "Q:"}, "a list of strings"),
    ],
)
def test_bad_input_is_not_sent(fake, prompts, settings, message):
    limit = settings.pop("max_tokens", 8)
    assert message in refused(lambda: asking(fake).generate(prompts, limit, **settings))
    assert not fake.asked


def test_a_conversation_cannot_be_continued(fake):
    model = asking(fake, mode="completions")
    talk = [{"role": "user", "content": "hi"}]
    assert "mode='chat'" in refused(lambda: model.generate([talk], 8))


# Waiting


class Told(threading.Event):
    """An event that notes how long it was to be waited for, and does not wait."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return False


def an_error(status: int, **headers: str) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://here/v1")
    response = httpx2.Response(status, headers=headers, request=request)
    kind = openai.RateLimitError if status == 429 else openai.InternalServerError
    return kind("busy", response=response, body=None)


def failing(error, over, attempts=5, backoff=1.0):
    def call():
        raise error

    persistently(call, attempts, backoff, over)


def test_waits_double_and_jitter():
    runs = []
    for _ in range(2):
        over = Told()
        with pytest.raises(Garbled):
            failing(Garbled("x"), over)
        assert all(2**i <= wait <= 2**i + 1 for i, wait in enumerate(over.waits))
        runs.append(over.waits)
    assert [len(waits) for waits in runs] == [4, 4]
    assert runs[0] != runs[1]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_how_long_to_wait(status):
    over = Told()
    with pytest.raises(openai.APIStatusError):
        failing(an_error(status, **{"Retry-After": "17"}), over, attempts=3)
    assert over.waits == [17.0, 17.0]


@pytest.mark.parametrize("said", ["", "soon", "nan", "1e999", "-4", "Mon, 99 Foo 2020"])
def test_an_odd_wait_is_no_wait_or_a_long_one(said):
    assert retry_after(an_error(429, **{"Retry-After": said})) in (None, 0.0, float("inf"))


def test_a_wait_until_a_date():
    then = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert retry_after(an_error(429, **{"Retry-After": then})) == pytest.approx(30, abs=2)


def test_nothing_is_tried_when_it_is_over():
    over = threading.Event()
    over.set()
    with pytest.raises(CancelledError):
        failing(Garbled("x"), over)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "localhost:8000"}, "neither http nor https"),
        ({"base_url": "http://[::1"}, "base URL"),
        ({"model": ""}, "no name"),
        ({"mode": "talk"}, "unknown mode 'talk'"),
        ({"timeout": 0}, "timeout"),
        ({"attempts": 0}, "attempts is 0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"n": 0}, "n is 0"),
        ({"extra": {"n": 3, "stream": True}}, "extra cannot set n, stream"),
        ({"extra": {"x": {1}}}, "as JSON"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    whole = {"base_url": "http://localhost:1/v1", "model": "m"} | settings
    assert message in refused(lambda: Endpoint(EndpointConfig(**whole)))


def test_the_key_is_told_to_the_server_only(fake, monkeypatch, tmp_path):
    keys = []
    monkeypatch.setattr(
        fakes.Handler, "parse_request",
        lambda self, real=fakes.Handler.parse_request: (
            real(self) and (keys.append(self.headers["Authorization"]) or True)
        ),
    )  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    asking(fake).generate(["a"], 8)
    model = asking(fake, api_key="sesame", cache=tmp_path)
    model.generate(["a"], 8)
    fake.script = [fakes.status(401)]
    told = refused(lambda: model.generate(["b"], 8))
    assert keys[0] == "Bearer of-the-environment"
    assert set(keys[1:]) == {"Bearer sesame"}
    assert "sesame" not in told + repr(model.config)
    assert not any(b"sesame" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_an_endpoint_by_the_environment(fake, monkeypatch, tmp_path):
    monkeypatch.setenv("ADAPTLAB_CACHE", str(tmp_path))
    names = {"ADAPTLAB_ENDPOINT": fake.url, "ADAPTLAB_ENDPOINT_MODEL": "m"}
    assert subject.from_environment({}) is None
    assert subject.from_environment(dict.fromkeys(names, "")) is None
    for name in names:
        assert "set both" in refused(lambda name=name: subject.from_environment({name: "x"}))
    assert texts(subject.from_environment(names).generate(["a"], 8)) == [["a seed None"]]
    subject.from_environment(names).generate(["a"], 8)
    assert len(fake.asked) == 1
