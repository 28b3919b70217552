"""What a decoder thinks of a text that is already written: how likely each token was to it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from adaptlab.batching import by_length
from adaptlab.errors import AdaptlabError
from adaptlab.gpt.model import GPT


class Reading(NamedTuple):
    """For each token of a text but the first, (T - 1,)."""

    log_p: np.ndarray  # the log-probability of the token that came, in nats
    confidence: np.ndarray  # the probability of the token that was likeliest
    right: np.ndarray  # booleans: the likeliest was the one that came


@torch.inference_mode()
def read(
    decoder: GPT,
    texts: Sequence[Sequence[int]],
    batch_size: int = 16,
    temperature: float = 1.0,
) -> list[Reading]:
    """Read each text, given as token ids, once; the readings are in the order of the texts.

    The head is applied in fp32, to one text at a time: the logits of a batch would take more
    memory than the model, and in bf16 they would be rounded to steps that calibration can see.
    A packed decoder cannot be read. Raises AdaptlabError for a text of fewer than two tokens.
    """
    if not all(len(text) > 1 for text in texts):
        raise AdaptlabError("a text to read needs two tokens: the first one is not predicted")
    head = decoder.head.weight.float()  # (V, width)
    readings: dict[int, Reading] = {}
    for places in by_length([len(text) for text in texts], lambda count, _: count <= batch_size):
        for place, hidden in _hidden(decoder, texts, places):
            logits = hidden.float() @ head.T / temperature  # (T - 1, V)
            came = torch.tensor(texts[place][1:], device=logits.device)
            readings[place] = _reading(logits.log_softmax(dim=-1), came)
    return [readings[place] for place in range(len(texts))]


def _hidden(
    decoder: GPT, texts: Sequence[Sequence[int]], places: Sequence[int]
) -> Iterator[tuple[int, torch.Tensor]]:
    """What the last layer makes of each text but its last token, (T - 1, width).

    Short texts are filled up at the right, where no earlier token can see it.
    """
    width = max(len(texts[place]) for place in places) - 1
    rows = [[*texts[place][:-1]] for place in places]
    padded = [row + [0] * (width - len(row)) for row in rows]
    hidden = decoder.hidden(torch.tensor(padded, device=decoder.token_embedding.weight.device))
    for place, row, of_row in zip(places, rows, hidden, strict=True):
        yield place, of_row[: len(row)]


def _reading(log_p: torch.Tensor, came: torch.Tensor) -> Reading:
    best, likeliest = log_p.max(dim=-1)
    of_came = log_p.gather(1, came[:, None]).squeeze(1)
    parts = (of_came, best.exp().clamp(max=1), likeliest == came)  # rounding may pass 1
    return Reading(*(part.cpu().numpy() for part in parts))
