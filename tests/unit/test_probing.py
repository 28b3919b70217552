"""Features are the plain forward's hidden states; a probe is chosen on dev."""

import numpy as np
import pytest
import torch

from adaptlab import probing
from adaptlab.errors import AdaptlabError

TEXTS = ["short", "a text that is a good deal longer than the first", "of middle length", "end"]


@pytest.mark.parametrize("tokens_per_batch", [1, 20, 4096])
def test_features_are_the_hidden_states_of_each_text_alone(tiny, tokenizer, tokens_per_batch):
    found = probing.last_token_features(tiny, tokenizer, TEXTS, tokens_per_batch)
    assert found.shape == (3, 4, 32)
    for i, text in enumerate(TEXTS):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            states = tiny(ids, output_hidden_states=True).hidden_states
        alone = np.array([layer[0, -1].numpy() for layer in states])
        np.testing.assert_allclose(found[:, i], alone, atol=1e-5)


def test_the_last_features_lead_to_the_model_s_logits(tiny, tokenizer):
    features = probing.last_token_features(tiny, tokenizer, TEXTS)[-1]
    ids = torch.tensor([tokenizer(TEXTS[1])["input_ids"]])
    expected = tiny(ids).logits[0, -1].detach().numpy()
    head = tiny.lm_head.weight.detach().numpy()
    np.testing.assert_allclose(head @ features[1], expected, atol=1e-5)


def test_the_probe_takes_the_layer_that_knows_the_label():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 200)
    features = draw.normal(size=(3, 200, 5))
    features[1, :, 2] += 6 * labels
    probe = probing.fit_probe(
        features[:, :100], labels[:100], features[:, 100:150], labels[100:150], [0, 1, 2], [1e-2, 1]
    )
    assert probe.layer == 1
    assert probe.by_layer[1] == probe.dev_accuracy > max(probe.by_layer[0], probe.by_layer[2])
    assert np.mean(probe.predict(features[:, 150:]) == labels[150:]) > 0.95
    assert probing.parameters(probe.classifier) == 6


def test_a_bag_of_words_learns_words():
    texts = ["good good film", "a good one", "bad film", "really bad"]
    bag = probing.bag_of_words(texts, [1, 1, 0, 0])
    assert bag.predict(["good", "bad"]).tolist() == [1, 0]


def test_no_texts_is_one_line(tiny, tokenizer):
    with pytest.raises(AdaptlabError, match="no texts"):
        probing.last_token_features(tiny, tokenizer, [])
