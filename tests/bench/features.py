"""Features of all layers against a plain forward over the same batches."""

from collections.abc import Iterator

import torch

from adaptlab import models, tasks
from adaptlab.batching import encode
from adaptlab.probing.features import batches, features
from tests.bench.pairs import Result, faster, seconds

ITEMS, ROUNDS = 200, 7


def run() -> Iterator[Result]:
    task = tasks.load("sentiment")
    texts = [task.question(text) for text in task.first("test", ITEMS)["text"]]
    model, tokenizer = models.load("smollm2-135m-instruct")

    def ours(_: int) -> float:
        return ITEMS / seconds(lambda: features(model, tokenizer, texts))

    @torch.inference_mode()
    def forward() -> None:
        """The decoder without its head, which is the harder rival; nothing is kept."""
        for _, inputs in batches(encode(tokenizer, texts)[0]):
            model.get_decoder()(**inputs, use_cache=False)

    ours(0)  # warm-up
    yield faster(
        "features", ours, lambda _: ITEMS / seconds(forward), "texts/s", target=0.9, rounds=ROUNDS
    )
