"""Texts as vectors, to tell which questions are alike: (texts,) -> (texts, width).

Rows have length 1, so that the nearest in Euclid's distance is the most alike in cosine.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.batching import by_tokens, encode, padded
from adaptlab.errors import AdaptlabError

Embed = Callable[[Sequence[str]], np.ndarray]
TOKEN = r"\w+|[^\w\s]"  # signs count: "2 + 3" and "2 * 3" differ in nothing else


def tf_idf() -> TfidfVectorizer:
    """Weights of words and signs; not fitted yet."""
    return TfidfVectorizer(token_pattern=TOKEN, sublinear_tf=True)


def tf_idf_embeddings(texts: Sequence[str]) -> np.ndarray:
    """tf-idf weights of the texts' own words, (texts, words)."""
    return tf_idf().fit_transform(texts).toarray()


def hidden_state_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: int | None = None
) -> Embed:
    """What embeds a text as the mean over its tokens of a decoder's last hidden states.

    context: of longer texts the last so many tokens are read; by default as many as the model can.
    """
    limit = context or getattr(model.config, "max_position_embeddings", None)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        ids, _ = encode(tokenizer, texts, limit)
        means = np.empty((len(ids), model.config.hidden_size), np.float32)
        for rows in by_tokens([len(row) for row in ids]):
            tokens, mask = (part.to(model.device) for part in padded([ids[row] for row in rows]))
            states = model.get_decoder()(input_ids=tokens, attention_mask=mask, use_cache=False)[0]
            weights = mask[:, :, None].float()  # (B, T, 1)
            summed = (states.float() * weights).sum(1)  # (B, D)
            means[rows] = (summed / weights.sum(1)).cpu().numpy()
        return normalize(means)

    return embed


def checked(vectors: np.ndarray, texts: int) -> np.ndarray:
    """The vectors as (texts, width) of finite numbers. Raises AdaptlabError if they are not."""
    vectors = np.asarray(vectors, float)
    if vectors.ndim != 2 or len(vectors) != texts or not vectors.shape[1]:
        raise AdaptlabError(f"vectors of shape {vectors.shape} for {texts} texts: one row a text")
    if not np.isfinite(vectors).all():
        raise AdaptlabError("the vectors of some texts are not finite numbers")
    return vectors
