"""Generation and scoring with 8 examples: beside transformers, and lm-evaluation-harness."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from adaptlab import runtime, tasks
from adaptlab.prompting.local import LocalModel
from adaptlab.prompting.scoring import score_options
from adaptlab.sampling import GREEDY, Sampling
from adaptlab.tasks import reasoning
from tests.bench.pairs import Result, faster

ITEMS, SHOTS, BATCH, NEW = 200, 8, 32, 32
QUESTIONS, SAMPLES, STEPS = 32, 16, 64  # STEPS: tokens of a chain of thought, at most
MODEL = "smollm2-135m-instruct"


def run() -> Iterator[Result]:
    model = LocalModel.load(MODEL, rows=BATCH)
    exact = LocalModel.load(MODEL, runtime.detect(dtype=torch.float32), rows=BATCH)
    task = tasks.load("sentiment")
    examples = task.examples(task.sample(SHOTS, seed=0))
    prompts = [examples + task.question(text) for text in task.first("test", ITEMS)["text"]]
    model.generate(prompts[:4], 2)  # warm-up
    plain(model, prompts[:4], 2)
    yield from generated(model, exact, prompts)
    yield from voted(model)
    yield from scored(model, exact, prompts, task.label_words)


def generated(model: LocalModel, exact: LocalModel, prompts: list[str]) -> Iterator[Result]:
    """200 items in full; those of one round for transformers, whose batches are all alike."""
    rounds = 2
    part = len(prompts) // rounds

    for name, stop in (("to_the_end_of_the_line", ["\n"]), ("32_tokens_each", [])):

        def ours(_: int, stop: list[str] = stop) -> float:
            start = time.perf_counter()
            model.generate(prompts, NEW, stop=stop)
            return len(prompts) / (time.perf_counter() - start)

        def theirs(turn: int, stop: list[str] = stop) -> float:
            start = time.perf_counter()
            plain(model, prompts[turn * part :][:part], NEW, stop)
            return part / (time.perf_counter() - start)

        title = f"few_shot_generation_{name}"
        yield faster(title, ours, theirs, "items/s", target=4, rounds=rounds)
    checked = prompts[:48]
    found = [texts[0].text for texts in exact.generate(checked, NEW)]
    same = float(np.mean([a == b for a, b in zip(found, plain(exact, checked, NEW), strict=True)]))
    yield Result("few_shot_generation_fp32_same_answers", same, 1.0, "share", same, 1.0)


def voted(model: LocalModel) -> Iterator[Result]:
    """16 samples of a worked solution to each of 32 questions, half of them a round."""
    task = reasoning.load("coin flip")
    shown = task.problems("train", 4)
    worked = "".join(
        f"Q: {p.question}\nA: {' '.join(p.steps)} The answer is {p.answer}.\n\n" for p in shown
    )
    asked = [f"{worked}Q: {p.question}\nA:" for p in task.problems("test", QUESTIONS)]
    half = QUESTIONS // 2
    sampling = Sampling(0.7)

    def ours(turn: int) -> float:
        start = time.perf_counter()
        model.generate(
            asked[turn * half :][:half], STEPS, samples=SAMPLES, sampling=sampling, stop=["\n\n"]
        )
        return half / (time.perf_counter() - start)

    def theirs(turn: int) -> float:
        start = time.perf_counter()
        part = asked[turn * half :][:half]
        plain(model, part, STEPS, ["\n\n"], sampling, SAMPLES, BATCH // SAMPLES)
        return half / (time.perf_counter() - start)

    yield faster("self_consistency", ours, theirs, "questions/s", target=3, rounds=2)


def scored(
    model: LocalModel, exact: LocalModel, prompts: list[str], options: Sequence[str]
) -> Iterator[Result]:
    """lm-evaluation-harness runs a prompt once for all options of one token; so do we."""
    rounds = 2
    part = len(prompts) // rounds
    harness = HFLM(model.model, tokenizer=model.tokenizer, batch_size=BATCH, device="cpu")

    def ours(_: int) -> float:
        start = time.perf_counter()
        score_options(model.model, model.tokenizer, prompts, options)
        return len(prompts) / (time.perf_counter() - start)

    def theirs(turn: int) -> float:
        start = time.perf_counter()
        harness_scores(harness, prompts[turn * part :][:part], options)
        return part / (time.perf_counter() - start)

    yield faster("few_shot_scoring_lm_eval", ours, theirs, "items/s", target=8, rounds=rounds)
    checked = prompts[:32]
    other = HFLM(exact.model, tokenizer=exact.tokenizer, batch_size=BATCH, device="cpu")
    mine = score_options(exact.model, exact.tokenizer, checked, options)
    off = abs(mine - harness_scores(other, checked, options)).max()
    name = "few_shot_scoring_lm_eval_fp32_error"
    yield Result(name, off, 1e-3, "nats", 1e-3 / max(off, 1e-12), 1)


def harness_scores(harness: HFLM, prompts: Sequence[str], options: Sequence[str]) -> np.ndarray:
    """(prompts, options) from lm-evaluation-harness."""
    pairs = [(prompt, option) for prompt in prompts for option in options]
    asked = [
        Instance("loglikelihood", doc={}, arguments=pair, idx=i) for i, pair in enumerate(pairs)
    ]
    found = harness.loglikelihood(asked, disable_tqdm=True)
    return np.array([score for score, _ in found]).reshape(len(prompts), len(options))


@torch.inference_mode()
def plain(
    model: LocalModel,
    prompts: Sequence[str],
    new_tokens: int,
    stop: Sequence[str] = (),
    sampling: Sampling = GREEDY,
    samples: int = 1,
    batch: int = BATCH,
) -> list[str]:
    """transformers' generate, batch by batch, padded at the left as its documentation says."""
    tokenizer = model.tokenizer
    how = {"do_sample": False}
    if sampling.temperature:
        how = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0}
        how["num_return_sequences"] = samples
    if stop:
        how |= {"stop_strings": list(stop), "tokenizer": tokenizer}
    found = []
    for start in range(0, len(prompts), batch):
        inputs = tokenizer(
            prompts[start : start + batch], return_tensors="pt", padding=True, padding_side="left"
        )
        ids = model.model.generate(**inputs, max_new_tokens=new_tokens, **how)
        new = ids[:, inputs["input_ids"].shape[1] :]
        found += tokenizer.batch_decode(new, skip_special_tokens=True)
    return found
