"""Features are the hidden states of each text alone, however they are batched and pooled."""

import copy

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from adaptlab.errors import AdaptlabError
from adaptlab.probing.features import POOLINGS, features

TEXTS = ["short", "a text that is a good deal longer than the first", "of middle length", "end"]
BY_HAND = {
    "last": lambda states: states[-1],
    "first": lambda states: states[0],
    "mean": lambda states: states.mean(0),
    "max": lambda states: states.max(0),
}


@pytest.fixture(params=["llama", "gpt2"])
def model(request, tiny, tokenizer):
    if request.param == "llama":
        return tiny
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def alone(model, ids: list[int]) -> list[np.ndarray]:
    """Every layer's hidden states (T, D) of one text, which needs no padding."""
    with torch.inference_mode():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    return [layer[0].numpy() for layer in states]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tokens_per_batch", [1, 20, 4096])
def test_features_are_the_hidden_states_of_each_text_alone(
    model, tokenizer, side, tokens_per_batch
):
    padder = copy.deepcopy(tokenizer)
    padder.padding_side = side
    found = features(model, padder, TEXTS, POOLINGS, tokens_per_batch)
    assert tuple(found.values) == POOLINGS
    assert (found.truncated, found.hit, found.file, found.disk_bytes) == (0, False, None, 0)
    for name, values in found.values.items():
        assert values.shape == (3, 4, 32)
        assert values.dtype == np.float32
        for i, text in enumerate(TEXTS):
            states = alone(model, tokenizer(text)["input_ids"])
            expected = np.array([BY_HAND[name](layer) for layer in states])
            np.testing.assert_allclose(values[:, i], expected, atol=1e-5)


def test_a_pooling_is_the_same_asked_for_alone(tiny, tokenizer):
    together = features(tiny, tokenizer, TEXTS, POOLINGS).values
    for name in POOLINGS:
        (by_itself,) = features(tiny, tokenizer, TEXTS, (name,)).values.values()
        np.testing.assert_array_equal(by_itself, together[name])


def test_the_last_features_lead_to_the_model_s_logits(tiny, tokenizer):
    last = features(tiny, tokenizer, TEXTS).values["last"][-1]
    ids = torch.tensor([tokenizer(TEXTS[1])["input_ids"]])
    expected = tiny(ids).logits[0, -1].detach().numpy()
    head = tiny.lm_head.weight.detach().numpy()
    np.testing.assert_allclose(head @ last[1], expected, atol=1e-5)


def test_a_bf16_model_gives_fp32_features(tiny, tokenizer):
    exact = features(tiny, tokenizer, TEXTS, POOLINGS).values
    rounded = features(tiny.to(torch.bfloat16), tokenizer, TEXTS, POOLINGS).values
    for name in POOLINGS:
        assert rounded[name].dtype == np.float32
        np.testing.assert_allclose(rounded[name], exact[name], atol=0.1)


@pytest.mark.parametrize(("context", "kept"), [(None, 256), (7, 7), (4096, 256)])
def test_a_text_beyond_the_context_keeps_its_end_and_is_counted(tiny, tokenizer, context, kept):
    texts = ["word and " * 150 + "end", "short", "good " * 400]
    found = features(tiny, tokenizer, texts, POOLINGS, context=context)
    assert found.truncated == 2
    states = alone(tiny, tokenizer(texts[0])["input_ids"][-kept:])
    for name in POOLINGS:
        expected = np.array([BY_HAND[name](layer) for layer in states])
        np.testing.assert_allclose(found.values[name][:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "no texts"),
        (["a", "", ""], {}, "text 1 is empty"),
        (["a"], {"poolings": ["lats"]}, "unknown pooling 'lats'; did you mean last"),
        (["a"], {"poolings": []}, "poolings are a list"),
        (["a"], {"poolings": "last"}, "poolings are a list"),
        (["a"], {"context": 0}, "the context is 0"),
    ],
)
def test_what_has_no_features_is_one_line(tiny, tokenizer, texts, options, message):
    with pytest.raises(AdaptlabError, match=message):
        features(tiny, tokenizer, texts, **options)
