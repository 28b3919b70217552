"""Few-shot option scoring: 200 items, 8 examples, two options."""

from collections.abc import Iterator

import numpy as np
import torch

from adaptlab import models, runtime, tasks
from adaptlab.prompting import calibration
from adaptlab.prompting.scoring import score_options
from tests.bench.pairs import Result, faster, seconds
from tests.plain import plain_scores

ITEMS, SHOTS, ROUNDS = 200, 8, 4
MODEL = "smollm2-135m-instruct"


def run() -> Iterator[Result]:
    task = tasks.load("sentiment")
    examples = task.examples(task.sample(SHOTS, seed=0))
    prompts = [examples + task.question(text) for text in task.first("test", ITEMS)["text"]]
    options = task.label_words
    model = models.load(MODEL)
    fp32 = models.load(MODEL, runtime=runtime.detect(dtype=torch.float32))
    score_options(*model, prompts[:8], options)  # warm-up
    plain_scores(*model, prompts[:2], options)
    found = {}

    def ours(_: int) -> float:
        def job() -> None:
            found["ours"] = score_options(*model, prompts, options)

        return ITEMS / seconds(job)

    def theirs(turn: int) -> float:
        # The plain way treats each item alone: a quarter of the items a round shows its speed.
        part = slice(turn * ITEMS // ROUNDS, (turn + 1) * ITEMS // ROUNDS)

        def job() -> None:
            found[turn] = plain_scores(*model, prompts[part], options)

        return (ITEMS // ROUNDS) / seconds(job)

    yield faster("few_shot_scoring", ours, theirs, "items/s", target=10, rounds=ROUNDS)

    exact = score_options(*fp32, prompts, options)
    checked = ITEMS // ROUNDS
    off = abs(exact[:checked] - plain_scores(*fp32, prompts[:checked], options)).max()
    yield Result("few_shot_scoring_fp32_error", off, 1e-3, "nats", 1e-3 / max(off, 1e-12), 1)

    plain = np.concatenate([found[turn] for turn in range(ROUNDS)])
    for kind, decide in (("raw", lambda scores: scores), ("calibrated", calibration.centred)):
        answers = {
            name: decide(scores).argmax(1)
            for name, scores in (("ours", found["ours"]), ("plain", plain), ("exact", exact))
        }
        name = f"few_shot_scoring_bf16_{kind}_decisions"
        mine = float(np.mean(answers["ours"] == answers["exact"]))
        theirs_share = float(np.mean(answers["plain"] == answers["exact"]))
        yield Result(f"{name}_as_fp32", mine, theirs_share, "share", mine, 0.99)
        both = float(np.mean(answers["ours"] == answers["plain"]))
        yield Result(f"{name}_as_plain_bf16", both, 1.0, "share", both, 0.99)
