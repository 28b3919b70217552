"""The plain ways that ours are held against: in tests for equality, in `make bench` for speed."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.inference_mode()
def plain_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    options: Sequence[str],
) -> np.ndarray:
    """log p(option | prompt), (prompts, options): the full text of each through the model."""
    scores = np.zeros((len(prompts), len(options)))
    for i, prompt in enumerate(prompts):
        start = len(tokenizer(prompt)["input_ids"])
        for j, option in enumerate(options):
            ids = torch.tensor([tokenizer(prompt + option)["input_ids"]])
            logits = model(input_ids=ids).logits[:, -ids.shape[1] :]  # soft prompts come first
            at = torch.arange(start, ids.shape[1])
            scores[i, j] = logits[0].float().log_softmax(-1)[at - 1, ids[0, at]].sum()
    return scores
