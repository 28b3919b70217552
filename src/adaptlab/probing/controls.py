"""What a probe finds where there is nothing to find: without these, its accuracy says little.

A probe that is right may have learnt the task itself, from whatever the features hold (Hewitt and
Liang, 2019, "Designing and Interpreting Probes with Control Tasks"). So it is compared with itself
on labels, and on a model, that know nothing of the task.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel


def shuffled(labels: Sequence[int], seed: int) -> np.ndarray:
    """The same labels, each as frequent as before, on texts drawn at random, (texts,).

    A relative of Hewitt and Liang's control tasks. What a probe gets on the texts it was fitted to
    is what it can learn by heart; on others only luck is left, and the best of many layers on dev
    shows how much luck the choice alone brings. The real accuracy minus this one is the probe's
    selectivity. (Theirs gives each word one random label, also in the test: there, learning by
    heart pays. Sentences do not come twice.)
    """
    return np.random.default_rng(seed).permutation(np.asarray(labels))


def random_weights(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """A model of the same architecture, dtype and device whose weights are newly drawn.

    They are drawn as before pretraining, by the model's own initialisation, and the same for every
    dtype and device. What is read from it above chance comes from the words, which random layers
    mix but do not erase, and from the probe; only what `model` gives beyond that was learnt in
    pretraining (Zhang and Bowman, 2018). `model` stays as it is, and so do torch's random numbers.
    """
    with torch.random.fork_rng(devices=[]):  # drawn on the CPU: no device's generator is touched
        torch.default_generator.manual_seed(seed)
        drawn = type(model)(copy.deepcopy(model.config))
    return drawn.to(device=model.device, dtype=model.dtype).eval()
