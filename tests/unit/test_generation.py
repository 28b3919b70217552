"""Generation beside transformers' own: the same texts, fewer of the same computations."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import goodness_of_fit
from adaptlab.packing import PackedLinear, can_pack, packed_linears
from adaptlab.prompting.local import LocalModel
from adaptlab.prompting.shared_prefix import common_length
from adaptlab.prompting.stopping import Stops, before
from adaptlab.sampling import Sampling, draw_at, probabilities

PROMPTS = [
    "Review: a film of charm\nSentiment:",
    "Review: dull, long and very, very loud, and then it rains for an hour\nSentiment:",
    "Review: a\nSentiment:",
]
pytestmark = pytest.mark.model
MANY = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def small(tiny, tokenizer) -> LocalModel:
    return LocalModel(tiny, tokenizer, "tiny")


def references(model, tokenizer, prompts, max_tokens) -> list[str]:
    """Each prompt alone through transformers' own greedy generation."""
    found = []
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        whole = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False
        )
        found.append(tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))
    return found


def texts(completions) -> list[list[str]]:
    return [[completion.text for completion in row] for row in completions]


@pytest.mark.parametrize("shared", ["", "The same beginning for all of them.\n\n"])
def test_greedy_is_transformers_greedy(small, shared):
    prompts = [shared + prompt for prompt in PROMPTS]
    found = small.generate(prompts, 12)
    assert [row[0].text for row in found] == references(small.model, small.tokenizer, prompts, 12)
    assert {row[0].tokens for row in found} == {12}


def test_the_real_model_writes_what_transformers_lets_it_write(bundled):
    prompts = ["The capital of France is", "The capital of Italy is the city of"]
    found = LocalModel(*bundled).generate(prompts, 8)
    assert [row[0].text for row in found] == references(*bundled, prompts, 8)


def test_the_model_is_packed_within_a_call_and_as_it_was_after_it(small):
    before = [(name, id(part)) for name, part in small.model.named_modules()]
    with packed_linears(small.model):
        kinds = {type(part) for part in small.model.modules()}
        if can_pack(small.model.lm_head.weight):
            assert PackedLinear in kinds
            assert torch.nn.Linear not in kinds
    assert [(name, id(part)) for name, part in small.model.named_modules()] == before


def test_layers_that_read_their_weights_are_not_packed(small):
    class Reader(torch.nn.Module):  # as an adapter is
        def __init__(self, base):
            super().__init__()
            self.base = base

    model = Reader(small.model)
    with packed_linears(model):
        assert type(small.model.lm_head) is torch.nn.Linear


def test_other_architectures(tokenizer):
    """Learned positions and one key head a query head, as in GPT-2."""
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=128, n_embd=32, n_layer=2, n_head=4)
    model = GPT2LMHeadModel(config).eval()
    found = LocalModel(model, tokenizer, "gpt2").generate(PROMPTS, 10)
    assert [row[0].text for row in found] == references(model, tokenizer, PROMPTS, 10)
    assert model.config._attn_implementation == "sdpa"  # as it was


def test_attention_that_cannot_be_shared_is_refused(tokenizer):
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    with pytest.raises(AdaptlabError, match="sliding_window"):
        LocalModel(MistralForCausalLM(config), tokenizer, "m").generate(PROMPTS, 4)


@MANY
@given(
    kept=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
    rows=st.integers(1, 7),
    samples=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_company_changes_nothing(small, kept, rows, samples, seed):
    """A prompt's samples are its own, whatever else is in the batch and however it is cut."""
    how = {"sampling": Sampling(0.8, top_k=50), "seed": seed, "stop": ["e"]}
    alone = {i: small.generate([PROMPTS[i]], 6, samples=4, **how)[0] for i in kept}
    together = LocalModel(small.model, small.tokenizer, "tiny", rows=rows)
    found = together.generate([PROMPTS[i] for i in kept], 6, samples=samples, **how)
    assert found == [alone[i][:samples] for i in kept]


def test_seeds_and_samples_differ(small):
    how = {"samples": 3, "sampling": Sampling(1.0)}
    first, again, other = (small.generate(PROMPTS[:1], 8, seed=s, **how) for s in (0, 0, 1))
    assert first == again
    assert len({text for row in texts(first + other) for text in row}) == 6


def test_samples_follow_the_distribution(small):
    """10,000 first tokens against the model's own probabilities: a chi-square test."""
    ids = torch.tensor([small.tokenizer(PROMPTS[2]).input_ids])
    sampling = Sampling(0.5, top_k=8)
    logits = 40 * small.model(ids).logits[:, -1].detach()  # a random model's are nearly flat
    uniforms = torch.from_numpy(np.random.default_rng(0).random(10_000))
    drawn = draw_at(logits.expand(10_000, -1), sampling, uniforms)
    counts = torch.bincount(drawn, minlength=logits.shape[1]).numpy()
    assert goodness_of_fit(counts, probabilities(logits, sampling)[0].numpy()) > 0.01


def test_a_stop_ends_a_text_and_is_not_part_of_it(small):
    whole = small.generate(PROMPTS, 20)
    stop = whole[1][0].text[5:8]
    for row, full in zip(small.generate(PROMPTS, 20, stop=[stop]), whole, strict=True):
        assert row[0].text == before(full[0].text, [stop])
        assert row[0].finish == ("stop" if stop in full[0].text else "length")
        assert row[0].tokens <= full[0].tokens


def test_the_first_of_several_stops_counts():
    assert before("a b. c\nd", ["\n", "."]) == "a b"
    assert before("a b", ["\n"]) == "a b"


def test_a_stop_may_begin_in_the_middle_of_a_token(tokenizer):
    stops = Stops(tokenizer, ["lo wor"], ())
    ids = tokenizer("hello world").input_ids
    assert len(ids) == 2
    assert stops.cut(ids[:1]) is None
    assert stops.cut(ids) == "hel"


class OnlyEven:
    """A constraint for the test: even ids, three of them."""

    def __init__(self):
        self.seen, self.done = [], False

    def allowed(self) -> torch.Tensor:
        return torch.arange(40_000) % 2 == 0

    def advance(self, token: int) -> None:
        self.seen.append(token)
        self.done = len(self.seen) == 3


def test_a_constraint_is_obeyed(small):
    made = []

    def new() -> OnlyEven:
        made.append(OnlyEven())
        return made[-1]

    found = small.generate(PROMPTS, 9, samples=2, sampling=Sampling(1.0), constraint=new)
    assert {text.tokens for row in found for text in row} == {3}
    assert all(token % 2 == 0 and token < 40_000 for each in made for token in each.seen)


@pytest.mark.parametrize(
    ("prompts", "settings", "message"),
    [
        ([], {}, "no prompts"),
        (["a", ""], {}, "prompt 1 is empty"),
        (["a"], {"samples": 0}, "give 1 or more"),
        (["a"], {"max_tokens": 0}, "give 1 or more"),
        (["a"], {"stop": [""]}, "stop string is empty"),
        (["a " * 250], {}, "prompt 0 has 25. tokens, and up to 16 are to follow"),
    ],
)
def test_bad_input(small, prompts, settings, message):
    with pytest.raises(AdaptlabError, match=message):
        small.generate(prompts, **{"max_tokens": 16, **settings})


def test_no_chat_template(tiny):
    class Plain:
        chat_template, eos_token_id = None, 0

    with pytest.raises(AdaptlabError, match="no chat template"):
        LocalModel(tiny, Plain(), "plain").generate([[{"role": "user", "content": "hi"}]], 4)


def test_usage_counts_what_was_read_and_written(small):
    found = small.generate(PROMPTS, 5, samples=2, sampling=Sampling(1.0))
    assert small.usage.calls == 6
    assert small.usage.new_tokens == sum(text.tokens for row in found for text in row)
    assert small.usage.prompt_tokens == 2 * small.count(PROMPTS)


@given(st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=6))
def test_the_shared_beginning_is_the_longest(rows):
    length = common_length(rows)
    assert all(row[:length] == rows[0][:length] for row in rows)
    assert any(row[: length + 1] != rows[0][: length + 1] or len(row) == length for row in rows)
