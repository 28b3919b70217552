"""What a linear classifier reads from features; and from bare words, to compare it with."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import spmatrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.probing.features import Features

STEPS = 1000  # of the solver, at most


@dataclass(frozen=True)
class Probe:
    """A linear classifier on one layer, and the choice that led to it."""

    classifier: Pipeline
    layer: int
    strength: float  # scikit-learn's C: the inverse of the regularisation
    dev_accuracy: float
    by_layer: dict[int, float]  # the best accuracy on dev of each layer tried

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Labels (texts,) from features (layers + 1, texts, width)."""
        return self.classifier.predict(features[self.layer])


class Tried(NamedTuple):
    """A fitted classifier, with what was done to its inputs before, and its accuracy on dev."""

    classifier: Pipeline
    strength: float
    dev_accuracy: float


def fit_probe(
    train: np.ndarray,
    train_labels: Sequence[int],
    dev: np.ndarray,
    dev_labels: Sequence[int],
    layers: Sequence[int],
    strengths: Sequence[float],
) -> Probe:
    """Logistic regression on standardised features; layer and regularisation chosen on dev.

    train, dev: (layers + 1, texts, width), one pooling of `Features.values`.
    Raises AdaptlabError if texts and labels do not match in number, training has fewer than two
    labels, or dev has a label that training has not.
    """
    best = dict(_best_of_layers(train, train_labels, dev, dev_labels, layers, strengths))
    by_layer = {layer: tried.dev_accuracy for layer, tried in best.items()}
    layer = max(by_layer, key=by_layer.__getitem__)  # of equals, the first that was named
    return Probe(layer=layer, by_layer=by_layer, **best[layer]._asdict())


def sweep(
    train: Features,
    train_labels: Sequence[int],
    dev: Features,
    dev_labels: Sequence[int],
    layers: Sequence[int],
    strengths: Sequence[float],
) -> np.ndarray:
    """The best accuracy on dev for each pooling and layer, (poolings, layers).

    Its rows are the poolings of `train`, in their order. Raises AdaptlabError as `fit_probe` does.
    """
    accuracies = []
    for pooling, of_train in train.values.items():
        of_dev = dev.values[pooling]
        best = _best_of_layers(of_train, train_labels, of_dev, dev_labels, layers, strengths)
        accuracies.append([tried.dev_accuracy for _, tried in best])
    return np.array(accuracies)


def bag_of_words(texts: Sequence[str], labels: Sequence[int]) -> Pipeline:
    """The baseline: tf-idf weights of single words and logistic regression, fitted.

    Raises AdaptlabError if texts and labels do not match, or there are fewer than two labels.
    """
    labels = _training_labels(labels, len(texts))
    weights = _words("tf-idf")
    return make_pipeline(weights, _fit(weights.fit_transform(texts), labels, strength=1.0))


def fit_bag(
    train_texts: Sequence[str],
    train_labels: Sequence[int],
    dev_texts: Sequence[str],
    dev_labels: Sequence[int],
    strengths: Sequence[float],
    kind: str = "tf-idf",
) -> Tried:
    """A bag of words whose regularisation is chosen on dev, as a probe's is.

    kind: what a word counts, its "tf-idf" weight or how often it occurs ("counts").
    Raises AdaptlabError as `fit_probe` does, and for an unknown kind.
    """
    train_labels = _training_labels(train_labels, len(train_texts))
    dev_labels = _dev_labels(dev_labels, len(dev_texts), train_labels)
    return best_on_dev(_words(kind), train_texts, train_labels, dev_texts, dev_labels, strengths)


def parameters(classifier: Pipeline) -> int:
    """The number of weights and biases of a pipeline's fitted linear classifier."""
    fitted = classifier[-1]
    return fitted.coef_.size + fitted.intercept_.size


def _best_of_layers(
    train: np.ndarray,
    train_labels: Sequence[int],
    dev: np.ndarray,
    dev_labels: Sequence[int],
    layers: Sequence[int],
    strengths: Sequence[float],
) -> Iterator[tuple[int, Tried]]:
    """The best probe of each layer, in the order of `layers`."""
    train_labels = _training_labels(train_labels, train.shape[1])
    dev_labels = _dev_labels(dev_labels, dev.shape[1], train_labels)
    if not len(layers):
        raise AdaptlabError("no layers to choose from")
    for layer in layers:
        scaler = StandardScaler()
        yield (
            layer,
            best_on_dev(scaler, train[layer], train_labels, dev[layer], dev_labels, strengths),
        )


def best_on_dev(
    prepare: StandardScaler | CountVectorizer,
    train: np.ndarray | Sequence[str],
    train_labels: np.ndarray,
    dev: np.ndarray | Sequence[str],
    dev_labels: np.ndarray,
    strengths: Sequence[float],
) -> Tried:
    """The classifier of the strength that is best on dev; of equals, the first that was named.

    train, dev: (texts, width), or the texts themselves where `prepare` counts their words. They
        are prepared once for all strengths, as the texts of train demand.
    Raises AdaptlabError if there are no strengths.
    """
    if not len(strengths):
        raise AdaptlabError("no strengths of regularisation to choose from")
    known, asked = prepare.fit_transform(train), prepare.transform(dev)
    tried = []
    for strength in strengths:
        classifier = _fit(known, train_labels, strength)
        accuracy = float(classifier.score(asked, dev_labels))
        tried.append(Tried(make_pipeline(prepare, classifier), strength, accuracy))
    return max(tried, key=lambda candidate: candidate.dev_accuracy)


def _fit(inputs: np.ndarray | spmatrix, labels: np.ndarray, strength: float) -> LogisticRegression:
    """Logistic regression on inputs (texts, width).

    With hardly any regularisation, separable texts let the weights grow without end: after STEPS
    steps they are taken as they are. The products are so small that sharing them between threads
    takes many times longer than computing them.
    """
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=STEPS).fit(inputs, labels)


def _words(kind: str) -> CountVectorizer:
    if kind == "tf-idf":
        return TfidfVectorizer(sublinear_tf=True)
    if kind == "counts":
        return CountVectorizer()
    raise unknown("kind of bag", kind, ("tf-idf", "counts"))


def _training_labels(labels: Sequence[int], texts: int) -> np.ndarray:
    labels = _as_many(labels, texts, "training")
    kinds = np.unique(labels).tolist()
    if len(kinds) < 2:
        raise AdaptlabError(
            f"a classifier needs two labels to tell apart; training has only {kinds}"
        )
    return labels


def _dev_labels(labels: Sequence[int], texts: int, training: np.ndarray) -> np.ndarray:
    labels = _as_many(labels, texts, "dev")
    if len(strange := np.setdiff1d(labels, training)):
        known = np.unique(training).tolist()
        raise AdaptlabError(
            f"dev has the label {strange[0]}, which no training text has (they have {known})"
        )
    return labels


def _as_many(labels: Sequence[int], texts: int, split: str) -> np.ndarray:
    labels = np.asarray(labels)
    if len(labels) != texts or not texts:
        raise AdaptlabError(f"{split} has {texts} texts and {len(labels)} labels")
    return labels
