"""Option scores by a server that echoes log-probabilities, against closed forms and a model."""

import numpy as np
import pytest

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.endpoint import Endpoint, EndpointConfig
from adaptlab.prompting.scoring import score_options
from tests import endpoint_fake as fakes

PROMPTS = ["The film was", "Ça m'a plu ! It was 映画"]
OPTIONS = [" good", " bad", " not so bad at all"]


@pytest.fixture
def fake():
    with fakes.serving() as server:
        server.choose = by_letters
        yield server


def asking(fake, **settings) -> Endpoint:
    return Endpoint(EndpointConfig(fake.url, "m", backoff=0.01, attempts=2, **settings))


def refused(act) -> str:
    with pytest.raises(AdaptlabError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def echoed(text: str, tokens: list[str], logprobs: list[float | None]) -> list[dict]:
    return [{"text": text, "logprobs": {"tokens": tokens, "token_logprobs": logprobs}}]


def letter_logprob(place: int, letter: str) -> float:
    """Of a letter at a place, so that no two of a text are alike."""
    return -(ord(letter) % 13 + 1) / (place + 2)


def by_letters(path, body) -> list[dict]:
    """A model of letters, with a first token that stands for nothing in the text."""
    assert path.endswith("/v1/completions")
    text = body["prompt"]
    known = [letter_logprob(i, letter) for i, letter in enumerate(text)]
    return echoed(text + "!", ["<s>", *text, "!"], [None, *known, -99.0])


@pytest.fixture(autouse=True)
def _one_new_token(fake):
    fake.usage = {"prompt_tokens": 5, "completion_tokens": 1}


def closed_form() -> np.ndarray:
    return np.array(
        [
            [
                sum(letter_logprob(len(prompt) + i, letter) for i, letter in enumerate(option))
                for option in OPTIONS
            ]
            for prompt in PROMPTS
        ]
    )


@pytest.mark.parametrize("counts", [True, False])
def test_a_score_is_the_sum_after_the_prompt(fake, counts):
    fake.usage = fake.usage if counts else None
    model = asking(fake)
    np.testing.assert_allclose(model.score(PROMPTS, OPTIONS), closed_form())
    assert model.usage.calls == len(PROMPTS) * (1 + len(OPTIONS))
    sent = fake.asked[0]
    assert (sent["echo"], sent["logprobs"], sent["max_tokens"]) == (True, 1, 1)


def test_a_server_that_generates_nothing_after_all(fake):
    def without_new(path, body):
        (choice,) = by_letters(path, body)
        return echoed(body["prompt"], *(values[:-1] for values in choice["logprobs"].values()))

    fake.choose, fake.usage = without_new, {"completion_tokens": 0}
    np.testing.assert_allclose(asking(fake).score(PROMPTS, OPTIONS), closed_form())


def test_scores_are_kept(fake, tmp_path):
    first = asking(fake, cache=tmp_path).score(PROMPTS, OPTIONS)
    count = len(fake.asked)
    model = asking(fake, cache=tmp_path)
    np.testing.assert_array_equal(model.score(PROMPTS, OPTIONS), first)
    assert len(fake.asked) == count == model.usage.cached
    asking(fake, cache=tmp_path).score(PROMPTS, [*OPTIONS, " fine"])
    assert len(fake.asked) == count + 2


@pytest.mark.model
def test_the_scores_are_those_of_the_model_itself(fake, tiny, tokenizer):
    import torch

    def by_model(path, body):
        ids = tokenizer(body["prompt"]).input_ids
        with torch.inference_mode():
            logprobs = tiny(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        known = [float(logprobs[i, token]) for i, token in enumerate(ids[1:])]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        return echoed(body["prompt"] + " x", [*tokens, "x"], [None, *known, -99.0])

    fake.choose = by_model
    found = asking(fake, concurrency=1).score(PROMPTS, OPTIONS)
    np.testing.assert_allclose(found, score_options(tiny, tokenizer, PROMPTS, OPTIONS), atol=1e-4)


def test_an_option_that_merges_with_its_prompt(fake):
    def pairs(path, body):
        text = body["prompt"]
        tokens = [text[i : i + 2] for i in range(0, len(text), 2)]
        return echoed(text + "!", [*tokens, "!"], [None] + [-1.0] * len(tokens))

    fake.choose = pairs
    assert "'!' merges" in refused(lambda: asking(fake).score(["abc"], ["!"]))
    np.testing.assert_allclose(asking(fake).score(["ab"], ["cd", "efg"]), [[-1.0, -2.0]])


SILENT = {
    "no logprobs": lambda path, body: [{"text": body["prompt"], "logprobs": None}],
    "empty": lambda path, body: [{"text": "x"}],
    "no echo": lambda path, body: echoed("x", ["x"], [-1.0]),
    "uneven": lambda path, body: echoed(body["prompt"], ["a", "b"], [-1.0]),
}


@pytest.mark.parametrize("kind", SILENT)
def test_a_server_that_cannot_tell(fake, kind):
    fake.choose = SILENT[kind]
    told = refused(lambda: asking(fake).score(["abc"], ["d"]))
    assert "no log-probabilities of a text from this server" in told
    assert "generate an answer and parse it" in told
    assert fake.url in told


@pytest.mark.parametrize("code", [400, 404, 405, 422, 501])
def test_a_server_that_says_no(fake, code):
    fake.script = [fakes.status(code, "Only no echo is supported")] * 20
    told = refused(lambda: asking(fake).score(["abc"], ["d"]))
    assert f"{code}: Only no echo is supported" in told
    assert "generate an answer and parse it" in told


@pytest.mark.parametrize("code", [401, 429, 500])
def test_other_faults_are_told_as_they_are(fake, code):
    fake.script = [fakes.status(code)] * 20
    told = refused(lambda: asking(fake).score(["abc"], ["d"]))
    assert f"{code}: because" in told
    assert "log-probabilities" not in told


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], ["a"], "nothing to score"),
        (["a"], [], "nothing to score"),
        ("abc", ["a"], "a list"),
        (["a", ""], ["a"], "prompt 1 cannot be scored"),
        ([[{"role": "user", "content": "a"}]], ["a"], "must be a text"),
        (["a"], [""], "no tokens"),
    ],
)
def test_bad_input(fake, prompts, options, message):
    assert message in refused(lambda: asking(fake).score(prompts, options))


def test_a_log_probability_that_is_left_out(fake):
    fake.choose = lambda path, body: echoed(
        body["prompt"], [*body["prompt"], "!"], [None] * (len(body["prompt"]) + 1)
    )
    assert "leaves log-probabilities out" in refused(lambda: asking(fake).score(["ab"], ["c"]))
