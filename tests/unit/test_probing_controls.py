"""Controls keep what they should (labels' frequencies, the architecture) and lose the rest."""

import numpy as np
import pytest
import torch

from adaptlab.probing import controls, probes
from adaptlab.probing.features import features


def test_shuffled_labels_are_as_frequent_and_somewhere_else():
    labels = [0] * 30 + [1] * 50 + [2] * 20
    found = controls.shuffled(labels, seed=3)
    assert np.bincount(found).tolist() == [30, 50, 20]
    assert (found != labels).any()
    np.testing.assert_array_equal(found, controls.shuffled(labels, seed=3))
    assert (found != controls.shuffled(labels, seed=4)).any()


def test_a_probe_of_shuffled_labels_is_at_chance():
    labels = np.arange(1000) % 2
    known = np.random.default_rng(0).normal(size=(1, 1000, 4)) + 3 * labels[:, None]
    accuracies = []
    for given in (labels, controls.shuffled(labels, seed=0)):
        probe = probes.fit_probe(
            known[:, :500], given[:500], known[:, 500:], given[500:], [0], [1.0]
        )
        accuracies.append(probe.dev_accuracy)
    assert accuracies[0] > 0.99
    assert accuracies[1] == pytest.approx(0.5, abs=0.07)


def test_random_weights_are_the_architecture_newly_drawn(tiny, tokenizer):
    before = {name: weight.clone() for name, weight in tiny.state_dict().items()}
    state = torch.get_rng_state()
    drawn = controls.random_weights(tiny, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(drawn) is type(tiny)
    assert not drawn.training
    for name, weight in drawn.state_dict().items():
        assert torch.equal(tiny.state_dict()[name], before[name])
        assert weight.shape == before[name].shape
        if weight.ndim == 2:
            assert not torch.equal(weight, before[name]), name
            spread = tiny.config.initializer_range
            assert weight.std().item() == pytest.approx(spread, rel=0.1), name
    same, other = (controls.random_weights(tiny, seed) for seed in (1, 2))
    texts = ["a film", "a much longer text"]
    found = features(drawn, tokenizer, texts).values["last"]
    np.testing.assert_array_equal(found, features(same, tokenizer, texts).values["last"])
    assert abs(found - features(other, tokenizer, texts).values["last"]).max() > 1e-3


def test_random_weights_keep_the_dtype_and_the_draw(tiny):
    exact = controls.random_weights(tiny, seed=1).state_dict()
    rounded = controls.random_weights(tiny.to(torch.bfloat16), seed=1).state_dict()
    for name, weight in rounded.items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, exact[name].to(torch.bfloat16)), name


def test_random_weights_of_the_bundled_model_share_its_embeddings_with_the_head(bundled):
    drawn = controls.random_weights(bundled.model, seed=0)
    assert drawn.lm_head.weight is drawn.model.embed_tokens.weight
