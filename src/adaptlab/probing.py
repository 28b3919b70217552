"""Frozen features, and what a linear classifier reads from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
    encoded = [tokenizer(text)["input_ids"] for text in texts]
    features = None
    for batch in _batches([len(ids) for ids in encoded], tokens_per_batch):
        inputs = tokenizer.pad({"input_ids": [encoded[i] for i in batch]}, return_tensors="pt")
        last = inputs["attention_mask"].sum(1) - 1
        hidden = decoder(**inputs.to(model.device), output_hidden_states=True, use_cache=False)
        at_last = [layer[range(len(batch)), last] for layer in hidden.hidden_states]  # (B, D) each
        stacked = torch.stack(at_last).float().cpu().numpy()
        if features is None:
            features = np.empty((len(stacked), len(texts), stacked.shape[-1]), np.float32)
        features[:, batch] = stacked
    return features


def _batches(lengths: Sequence[int], tokens_per_batch: int) -> list[list[int]]:
    """Indices of texts of similar length together, each batch within the token limit."""
    batches: list[list[int]] = [[]]
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        width = lengths[batches[-1][0]] if batches[-1] else 0
        if batches[-1] and (len(batches[-1]) + 1) * width > tokens_per_batch:
            batches.append([])
        batches[-1].append(i)
    return batches


@dataclass(frozen=True)
class Probe:
    """A linear classifier on one layer, and the choice that led to it."""

    classifier: Pipeline
    layer: int
    strength: float  # scikit-learn's C: the inverse of the regularisation
    dev_accuracy: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Labels (texts,) from features (layers + 1, texts, width)."""
        return self.classifier.predict(features[self.layer])

    @property
    def parameters(self) -> int:
        """The number of trained weights and biases."""
        fitted = self.classifier[-1]
        return fitted.coef_.size + fitted.intercept_.size


def fit_probe(
    train: np.ndarray,
    train_labels: Sequence[int],
    dev: np.ndarray,
    dev_labels: Sequence[int],
    layers: Sequence[int],
    strengths: Sequence[float] = (1e-4, 1e-3, 1e-2),
) -> Probe:
    """Logistic regression on standardised features; layer and regularisation chosen on dev.

    train, dev: (layers + 1, texts, width), as `last_token_features` gives them.
    """
    candidates = []
    for layer in layers:
        for strength in strengths:
            classifier = make_pipeline(
                StandardScaler(), LogisticRegression(C=strength, max_iter=1000)
            )
            classifier.fit(train[layer], train_labels)
            score = float(classifier.score(dev[layer], dev_labels))
            candidates.append(Probe(classifier, layer, strength, score))
    return max(candidates, key=lambda probe: probe.dev_accuracy)
