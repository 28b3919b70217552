"""Reading a text equals a full forward pass, whatever it is batched with."""

import numpy as np
import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.reading import read
from tests.gpt_small import CONFIGS, decoder, one_thread, tokens  # noqa: F401


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_reading_is_the_softmax_of_the_logits(name, temperature):
    model = decoder(CONFIGS[name])
    texts = [tokens(1, length, seed=length)[0].tolist() for length in (9, 2, 17, 5)]
    for text, found in zip(texts, read(model, texts, 3, temperature), strict=True):
        with torch.no_grad():
            likely = (model(torch.tensor([text[:-1]]))[0] / temperature).softmax(-1).numpy()
        came = np.array(text[1:])
        expected = np.log(likely[np.arange(len(came)), came])
        np.testing.assert_allclose(found.log_p, expected, atol=1e-4)
        np.testing.assert_allclose(found.confidence, likely.max(1), atol=1e-5)
        assert (found.right == (likely.argmax(1) == came)).all()


def test_a_text_of_one_token_cannot_be_read():
    with pytest.raises(AdaptlabError, match="needs two tokens"):
        read(decoder(next(iter(CONFIGS.values()))), [[1, 2], [3]])
