"""A probe is chosen on dev, and what it cannot be fitted to is said in a line."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from adaptlab.errors import AdaptlabError
from adaptlab.probing import probes
from adaptlab.probing.features import Features

STRENGTHS = [1e-2, 1]


def drawn(labels: np.ndarray) -> np.ndarray:
    """Features (3, texts, 5) whose layer 1 alone knows the label."""
    features = np.random.default_rng(0).normal(size=(3, len(labels), 5)).astype(np.float32)
    features[1, :, :2] += 6 * np.stack([labels, labels**2], 1)
    return features


@pytest.mark.parametrize(("kinds", "parameters"), [(2, 6), (6, 36)])
def test_the_probe_takes_the_layer_that_knows_the_label(kinds, parameters):
    labels = np.random.default_rng(1).integers(0, kinds, 400)
    features = drawn(labels)
    probe = probes.fit_probe(
        features[:, :200], labels[:200], features[:, 200:300], labels[200:300], [0, 1, 2], STRENGTHS
    )
    assert probe.layer == 1
    assert probe.by_layer[1] == probe.dev_accuracy > max(probe.by_layer[0], probe.by_layer[2])
    assert np.mean(probe.predict(features[:, 300:]) == labels[300:]) > 0.9
    assert probes.parameters(probe.classifier) == parameters


def test_a_sweep_is_the_plain_way_at_every_place():
    labels = np.random.default_rng(1).integers(0, 3, 200)
    of = {"last": drawn(labels), "mean": drawn(labels[::-1])}
    train, dev = (
        Features({name: values[:, part] for name, values in of.items()}, 0)
        for part in (slice(120), slice(120, None))
    )
    found = probes.sweep(train, labels[:120], dev, labels[120:], [1, 2], STRENGTHS)
    for i, name in enumerate(of):
        for j, layer in enumerate([1, 2]):
            plain = (make_pipeline(StandardScaler(), LogisticRegression(C=c)) for c in STRENGTHS)
            inputs, asked = train.values[name][layer], dev.values[name][layer]
            best = max(p.fit(inputs, labels[:120]).score(asked, labels[120:]) for p in plain)
            assert found[i, j] == best
        probe = probes.fit_probe(
            train.values[name], labels[:120], dev.values[name], labels[120:], [1, 2], STRENGTHS
        )
        assert list(probe.by_layer.values()) == list(found[i])


def test_of_equal_places_the_first_one_named_is_taken():
    labels = np.array([0, 1] * 20)
    features = np.repeat(drawn(labels)[1:2], 3, axis=0)
    for layers, strengths in (([2, 0], [1, 10]), ([1, 2], [10, 1])):
        probe = probes.fit_probe(features, labels, features, labels, layers, strengths)
        assert (probe.layer, probe.strength) == (layers[0], strengths[0])


def test_no_warning_leaks_where_weights_grow_without_end(monkeypatch):
    labels = np.array([0, 1] * 20)
    monkeypatch.setattr(probes, "STEPS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probes.fit_probe(drawn(labels), labels, drawn(labels), labels, [1], [1e9])


def test_a_layer_that_is_the_same_for_all_texts_is_read_as_chance():
    """As layer 0 is at the first token, where all texts begin alike."""
    labels = np.array([0, 0, 1] * 10)
    features = np.full((1, 30, 5), 0.1, np.float32)
    probe = probes.fit_probe(features, labels, features, labels, [0], STRENGTHS)
    assert probe.dev_accuracy == pytest.approx(2 / 3)


def test_a_bag_of_words_learns_words():
    texts = ["good good film", "a good one", "bad film", "really bad"]
    bag = probes.bag_of_words(texts, [1, 1, 0, 0])
    assert bag.predict(["good", "bad"]).tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["tf-idf", "counts"])
def test_a_bag_is_chosen_on_dev(kind):
    train = ["good film", "good film", "good film", "bad film"]
    labels, dev = [1, 1, 1, 0], ["bad", "bad", "good"]
    bag = probes.fit_bag(train, labels, dev, [0, 0, 1], [1e-6, 1e3], kind)
    assert (bag.strength, bag.dev_accuracy) == (1e3, 1)  # the weak one says 1 to everything
    assert bag.classifier.predict(dev).tolist() == [0, 0, 1]
    assert probes.parameters(bag.classifier) == 4
    plain = probes.bag_of_words(train, labels)
    same = probes.fit_bag(train, labels, dev, [0, 0, 1], [1.0]).classifier
    np.testing.assert_array_equal(plain.predict_proba(dev), same.predict_proba(dev))


@pytest.mark.parametrize(
    ("train_labels", "dev_labels", "message"),
    [
        ([0, 1, 0], [0, 1], "training has 4 texts and 3 labels"),
        ([0, 1, 0, 1], [0], "dev has 2 texts and 1 labels"),
        ([3, 3, 3, 3], [3, 3], r"needs two labels to tell apart; training has only \[3\]"),
        ([0, 1, 0, 1], [1, 7], r"dev has the label 7, which no training text has .*\[0, 1\]"),
    ],
)
def test_labels_that_cannot_be_learnt_are_one_line(train_labels, dev_labels, message):
    features, texts = np.zeros((1, 4, 2)), ["a good", "bad one", "good", "bad"]
    with pytest.raises(AdaptlabError, match=message):
        probes.fit_probe(features, train_labels, features[:, :2], dev_labels, [0], [1])
    with pytest.raises(AdaptlabError, match=message):
        probes.fit_bag(texts, train_labels, texts[:2], dev_labels, [1])
    if "training" in message and "dev" not in message:
        with pytest.raises(AdaptlabError, match=message):
            probes.bag_of_words(texts, train_labels)


def test_nothing_to_choose_from_is_one_line():
    labels, features = [0, 1, 0, 1], np.zeros((1, 4, 2))
    for layers, strengths, message in (([], [1], "no layers"), ([0], [], "no strengths")):
        with pytest.raises(AdaptlabError, match=message):
            probes.fit_probe(features, labels, features, labels, layers, strengths)
    with pytest.raises(AdaptlabError, match="unknown kind of bag"):
        probes.fit_bag(["a b", "c d"], [0, 1], ["a b"], [0], [1], "count")
