"""Frozen features, and what a linear classifier reads from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError

TOKENS_PER_BATCH = 2048


@torch.inference_mode()
def last_token_features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> np.ndarray:
    """What every layer holds at each text's last token, (layers + 1, texts, width), fp32.

    Index 0 is the token embedding, the last index the output of the final norm. One forward
    through the decoder gives all layers; the output head is not computed.
    Raises AdaptlabError if there are no texts.
    """
    if not texts:
        raise AdaptlabError("no texts to take features from")
    decoder = model.get_decoder()
    features = None
    for rows, inputs in batches(tokenizer, texts, tokens_per_batch):
        last = inputs["attention_mask"].sum(1) - 1
        hidden = decoder(**inputs.to(model.device), output_hidden_states=True, use_cache=False)
        at_last = [layer[range(len(rows)), last] for layer in hidden.hidden_states]  # (B, D) each
        stacked = torch.stack(at_last).float().cpu().numpy()
        if features is None:
            features = np.empty((len(stacked), len(texts), stacked.shape[-1]), np.float32)
        features[:, rows] = stacked
    return features


def batches(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Iterator[tuple[list[int], BatchEncoding]]:
    """Texts of similar length together, padded on the right: their indices, and the batch."""
    encoded = tokenizer(list(texts))["input_ids"]
    rows: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: -len(encoded[i])):
        if rows and (len(rows) + 1) * len(encoded[rows[0]]) > tokens_per_batch:
            yield (
                rows,
                _padded(tokenizer, encoded, rows),
            )
            rows = []
        rows.append(i)
    yield rows, _padded(tokenizer, encoded, rows)


def _padded(
    tokenizer: PreTrainedTokenizerBase, encoded: list[list[int]], rows: list[int]
) -> BatchEncoding:
    chosen = {"input_ids": [encoded[row] for row in rows]}
    return tokenizer.pad(chosen, padding_side="right", return_tensors="pt")


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


def bag_of_words(texts: Sequence[str], labels: Sequence[int]) -> Pipeline:
    """The baseline: tf-idf weights of single words and logistic regression, fitted."""
    return make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000)).fit(
        texts, labels
    )


def parameters(classifier: Pipeline) -> int:
    """The number of weights and biases of a pipeline's fitted linear classifier."""
    fitted = classifier[-1]
    return fitted.coef_.size + fitted.intercept_.size


def fit_probe(
    train: np.ndarray,
    train_labels: Sequence[int],
    dev: np.ndarray,
    dev_labels: Sequence[int],
    layers: Sequence[int],
    strengths: Sequence[float],
) -> Probe:
    """Logistic regression on standardised features; layer and regularisation chosen on dev.

    train, dev: (layers + 1, texts, width), as `last_token_features` gives them.
    """
    tried = []
    for layer in layers:
        for strength in strengths:
            classifier = make_pipeline(
                StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
            )
            classifier.fit(train[layer], train_labels)
            score = float(classifier.score(dev[layer], dev_labels))
            tried.append((score, layer, strength, classifier))
    score, layer, strength, classifier = max(tried, key=lambda candidate: candidate[0])
    by_layer = {layer: max(t[0] for t in tried if t[1] == layer) for layer in layers}
    return Probe(classifier, layer, strength, score, by_layer)
