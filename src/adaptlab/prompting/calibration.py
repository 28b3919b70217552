"""Take out of option scores what the model would have answered anyway.

A model leans towards some label words whatever the text is. Each correction subtracts an
estimate of that leaning, one number an option, before the largest score is taken.
"""

import numpy as np
from scipy.special import log_softmax, logsumexp


def contextual(scores: np.ndarray, content_free: np.ndarray) -> np.ndarray:
    """Contextual calibration (Zhao et al., 2021): the leaning is what inputs without content get.

    scores: (items, options) and content_free: (inputs, options), both log-likelihoods; the
    content-free inputs are texts such as "N/A" in the same template. Needs no data.
    """
    shares = log_softmax(content_free, axis=1)  # among the options
    return scores - logsumexp(shares, axis=0, b=1 / len(shares))


def pmi(scores: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """Pointwise mutual information (Holtzman et al., 2021): the leaning is what no input gets.

    scores: (items, options) and neutral: (options,), both log-likelihoods; the neutral prompt is
    the end of the template alone, such as "Sentiment:". What is left is how much more likely the
    item makes an option: log p(option | item) - log p(option), each option by itself.
    """
    return scores - neutral


def centred(scores: np.ndarray) -> np.ndarray:
    """Centring: the leaning is the mean log-probability over the items themselves.

    scores: (items, options) log-likelihoods. No labels are used, but the items have to come
    together, and it assumes that their labels are about equally frequent. A simple relative of
    batch calibration (Zhou et al., 2023), which averages probabilities instead of their logarithms.
    """
    return scores - log_softmax(scores, axis=1).mean(axis=0)
