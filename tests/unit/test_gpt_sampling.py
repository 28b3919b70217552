"""Sampling: transformers' distribution, draws that follow it, and shortcuts that change nothing."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.packing import pack
from adaptlab.gpt.sampling import generate
from adaptlab.gpt.weights import from_transformers
from adaptlab.packing import PackedLinear, can_pack
from adaptlab.runtime import has_bf16
from adaptlab.sampling import Sampling, draw, probabilities
from tests.gpt_small import CONFIGS, GPT2, assert_near, decoder, like, tokens
from tests.gpt_small import one_thread as one_thread

SAMPLINGS = [
    Sampling(1.0),
    Sampling(0.3),
    Sampling(1.7, top_k=5),
    Sampling(1.0, top_k=1),
    Sampling(1.0, top_k=1000),
    Sampling(0.8, top_p=0.9),
    Sampling(1.0, top_p=0.01),
    Sampling(1.0, top_p=1.0),
    Sampling(1.4, top_k=10, top_p=0.7),
]
PROMPTS = [[5, 6, 7], [8], list(range(20)), [1, 2, 3, 4, 5, 6, 7, 8, 9]]
needs_kernels = pytest.mark.skipif(
    not can_pack(torch.zeros(1)), reason="this torch has no packed kernels"
)
each_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def warped(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The same distribution by transformers."""
    scores = TemperatureLogitsWarper(float(sampling.temperature))(None, logits)
    if sampling.top_k is not None:
        scores = TopKLogitsWarper(sampling.top_k)(None, scores)
    if sampling.top_p is not None:
        scores = TopPLogitsWarper(sampling.top_p)(None, scores)
    return scores.softmax(dim=-1)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_the_distribution_is_transformers_(sampling):
    logits = 4 * torch.randn(50, 61, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    torch.testing.assert_close(probabilities(logits, sampling), warped(logits, sampling))
    assert torch.equal(logits, before)


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
def test_equal_logits_leave_as_many_tokens(sampling):
    """Which of two equal tokens is left out is nobody's to say; how many are is."""
    logits = torch.randint(4, (50, 30), generator=torch.Generator().manual_seed(0)).float()
    ours, theirs = (found.sort().values for found in
                    (probabilities(logits, sampling), warped(logits, sampling)))  # fmt: skip
    torch.testing.assert_close(ours, theirs)


def test_top_p_of_one_leaves_out_nothing():
    logits = torch.randn(20, 50_000, generator=torch.Generator().manual_seed(0))
    found = probabilities(logits, Sampling(1.0, top_p=1.0))
    assert (found > 0).all(), "sums of many small numbers pass 1 by rounding"


def test_greedy_is_the_likeliest_token():
    logits = torch.tensor([[1.0, 3.0, 3.0], [5.0, -1.0, 2.0]])
    assert draw(logits, Sampling()).tolist() == [1, 0]
    assert probabilities(logits, Sampling()).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("sampling", [SAMPLINGS[0], SAMPLINGS[2], SAMPLINGS[5]], ids=str)
def test_draws_follow_the_distribution(sampling):
    """20,000 first tokens of one prompt, drawn by `generate` as everywhere."""
    model, draws = decoder(GPT2), 20_000
    with torch.no_grad():
        logits = model(torch.tensor([[5]]))[:, -1]
    shares = warped(logits, sampling)[0].double().numpy()
    found = generate(model, [[5]] * draws, 1, sampling, seed=0)
    counts = np.bincount(np.concatenate(found), minlength=61)
    assert not counts[shares == 0].any()
    rare = draws * shares < 5  # the test wants five expected draws in a cell
    counts, shares = (np.append(x[~rare], x[rare].sum()) for x in (counts, shares))
    possible = shares > 0
    assert agrees(counts[possible], shares[possible]) > 1e-3
    tilted = 1.1 ** np.arange(possible.sum())
    assert agrees(counts[possible], shares[possible] * tilted) < 1e-3, "the test has no power"


def agrees(counts: np.ndarray, shares: np.ndarray) -> float:
    """The p value of the chi-square test."""
    return chisquare(counts, counts.sum() * shares / shares.sum()).pvalue


@pytest.fixture(scope="module")
def ours(bundled):
    return from_transformers(bundled.model)


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=needs_kernels)])
def test_greedy_text_is_transformers_(bundled, ours, packed):
    model, tokenizer = bundled
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"],
        *tokenizer(["The film was", "Once upon a time there was", "1, 2, 3, 4,"])["input_ids"],
    ]
    eos = tokenizer.eos_token_id
    found = generate(pack(ours) if packed else ours, prompts, 12, stop=[eos])
    for prompt, continuation in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        whole = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
        )
        expected = whole[0, len(prompt) :].tolist()
        assert continuation == expected[: expected.index(eos) if eos in expected else None]
    assert len(found[0]) < 12, "one of them should end by itself"
    assert len(found[1]) == 12


@each_config
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, top_k=20, top_p=0.95)], ids=str)
def test_a_cache_changes_no_text(config, sampling):
    """Past the context too: 20 + 40 tokens where 24 fit."""
    model = decoder(config)
    with_cache, without = (
        generate(model, PROMPTS, 40, sampling, seed=3, cached=cached) for cached in (True, False)
    )
    assert with_cache == without
    assert all(len(row) == 40 for row in with_cache)


@each_config
def test_a_batch_gives_the_texts_of_each_alone(config):
    model = decoder(config)
    together = generate(model, PROMPTS, 4)
    assert together == [generate(model, [prompt], 4)[0] for prompt in PROMPTS]


@each_config
@torch.no_grad()
def test_past_the_context_it_goes_on_from_the_last_half(config):
    """Columns of a batch are left behind together, each row's padding first."""
    model, found = decoder(config), generate(decoder(config), PROMPTS, 60)
    for prompt, continuation in zip(PROMPTS, found, strict=True):
        ids, start, first = list(prompt), 20 - len(prompt), 0
        for column in range(20, 80):
            if column - first > 24:
                first = column - 12
            seen = torch.tensor([ids[max(0, first - start) :]])
            ids.append(model(seen)[0, -1].argmax().item())
        assert continuation == ids[len(prompt) :]


def test_the_seed_decides():
    model, sampling = decoder(GPT2), Sampling(1.0)
    one, same, other = (generate(model, PROMPTS, 10, sampling, seed=s) for s in (1, 1, 2))
    assert one == same != other
    assert generate(model, PROMPTS, 0, sampling) == [[], [], [], []]


def test_what_stops_a_text_is_not_in_it():
    model = decoder(GPT2)
    free = generate(model, PROMPTS, 15)
    stop = {free[0][4], free[1][9]}
    stopped = generate(model, PROMPTS, 15, stop=stop)
    for whole, part in zip(free, stopped, strict=True):
        assert not stop & set(part)
        assert part == whole[: len(part)]
        assert len(part) == 15 or whole[len(part)] in stop
    assert len(stopped[0]) <= 4
    assert generate(model, PROMPTS[:1], 15, stop=free[0][:1]) == [[]]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "give the model at least one token"),
        ([[1, 2], []], "a prompt is empty"),
        ([[1] * 25], "a prompt of 25 tokens is longer than the context of 24"),
        ([[1, 61]], "token id 61 is outside the vocabulary of 61"),
        ([[1, 2], [-3]], "token id -3 is outside"),
    ],
)
def test_prompts_that_cannot_be_continued_are_one_line(prompts, message):
    with pytest.raises(AdaptlabError, match=message):
        generate(decoder(GPT2), prompts, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "the temperature is -0.1; it cannot be negative"),
        ({"top_k": 0}, "top_k is 0; at least one token must remain"),
        ({"top_p": 0.0}, "top_p is 0.0; it is a probability above 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
    ],
)
def test_sampling_that_makes_no_sense_is_one_line(settings, message):
    with pytest.raises(AdaptlabError, match=message):
        Sampling(**settings)


@needs_kernels
@each_config
@torch.no_grad()
def test_packed_weights_are_the_same_weights(config):
    model = decoder(config)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    packed = pack(model)
    modules = list(packed.modules())
    assert any(isinstance(module, PackedLinear) for module in modules)
    assert not any(isinstance(module, torch.nn.Linear) for module in modules)
    for shape in ((1, 1), (3, 1), (2, 24)):
        ids = tokens(*shape)
        expected = model(ids)
        assert_near(packed(ids), expected)
    assert generate(packed, PROMPTS, 10) == generate(model, PROMPTS, 10)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name


@needs_kernels
@torch.no_grad()
def test_packed_weights_stay_as_they_were():
    model = decoder(GPT2)
    packed, ids = pack(model), tokens(1, 8)
    head = packed.head(torch.ones(1, 32))
    model.head.weight += 1
    assert torch.equal(packed.head(torch.ones(1, 32)), head)
    assert not torch.equal(packed(ids), model(ids))


@needs_kernels
@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this CPU has no bf16")
@torch.no_grad()
def test_packed_in_bf16():
    model = decoder(CONFIGS["llama"]).bfloat16()
    packed = pack(model)
    assert packed is not model
    assert_near(packed(tokens(2, 24)).float(), model(tokens(2, 24)).float(), relative=0.02)
    assert len(generate(packed, PROMPTS, 30)[0]) == 30


def test_what_cannot_be_packed_comes_back():
    model = like(decoder(GPT2)).double()
    assert pack(model) is model
