"""Option scoring: log p(option | prompt) for many prompts that begin alike.

    prompt 1   [ instruction, examples ][ question 1 ]  positive | negative
    prompt 2   [ instruction, examples ][ question 2 ]  positive | negative
                \\____ run once, keys ____/\\_ run in batches of similar _/
                     and values kept       length, on top of them

An option's score is the sum of the log-probabilities of its tokens. Two savings make it fast and
change nothing: the tokens that all prompts share are run once (prefix caching), and the output
head is computed only at the positions that predict an option's token.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.batching import TOKENS_PER_BATCH, by_length, padded
from adaptlab.errors import AdaptlabError
from adaptlab.models import logits_at
from adaptlab.prompting.shared_prefix import Pairs, common_length, run_prefix

CACHED_PER_BATCH = 65_536  # whose keys and values are held, copies of the shared prefix included


@dataclass(frozen=True)
class Row:
    """One sequence to run, and the tokens it is asked for: (option column, position, token id)."""

    item: int
    ids: tuple[int, ...]
    wanted: tuple[tuple[int, int, int], ...]


def score_options(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    options: Sequence[str],
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> np.ndarray:
    """The log-likelihood in nats of each option after each prompt, (prompts, options).

    options: continuations, with their leading space where the template wants one.
    Raises AdaptlabError if there is nothing to score, an option has no tokens, prompt and option
    merge into one token, or the text is longer than the model's context.
    """
    if not prompts or not options:
        raise AdaptlabError("nothing to score: prompts and options must not be empty")
    rows = _rows(tokenizer, prompts, options)
    _check_length(model, rows)
    shared = _shared_prefix(model, rows)
    prefix = run_prefix(model, rows[0].ids[:shared]) if shared else None
    scores = torch.zeros(len(prompts), len(options), dtype=torch.float64)
    for batch in _batches(rows, shared, tokens_per_batch):
        _score_batch(model, batch, shared, prefix, scores)
    return scores.numpy()


def _rows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], options: Sequence[str]
) -> list[Row]:
    """Tokenise prompt and option together, and share a row between options where one will do.

    Options of one token differ in nothing that is fed to the model: one row serves them all.
    """
    prompt_ids = tokenizer(list(prompts), add_special_tokens=True)["input_ids"]
    joined = [prompt + option for prompt in prompts for option in options]
    joined_ids = iter(tokenizer(joined, add_special_tokens=True)["input_ids"])
    rows = []
    for item, start in enumerate(prompt_ids):
        wanted: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
        for column, option in enumerate(options):
            ids = next(joined_ids)
            if ids[: len(start)] != start or not start:
                raise AdaptlabError(
                    f"option {option!r} merges with the end of its prompt "
                    f"{prompts[item][-20:]!r}: move the space between them into the option"
                )
            if len(ids) == len(start):
                raise AdaptlabError(f"option {option!r} has no tokens")
            fed = tuple(ids[:-1])
            targets = [(column, at - 1, ids[at]) for at in range(len(start), len(ids))]
            wanted.setdefault(fed, []).extend(targets)
        rows += [Row(item, fed, tuple(targets)) for fed, targets in wanted.items()]
    return rows


def _check_length(model: PreTrainedModel, rows: Sequence[Row]) -> None:
    limit = getattr(model.config, "max_position_embeddings", None)
    longest = max(rows, key=lambda row: len(row.ids))
    if limit and len(longest.ids) > limit:
        raise AdaptlabError(
            f"prompt {longest.item} has {len(longest.ids)} tokens; the model's context is {limit}"
        )


def _shared_prefix(model: PreTrainedModel, rows: Sequence[Row]) -> int:
    """How many first tokens all rows share and none of them is asked to predict from."""
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        return 0  # virtual tokens stand before the first token: peft adds them in every forward
    asked = min(position for row in rows for _, position, _ in row.wanted)
    return min(asked, common_length([row.ids for row in rows]))


def _batches(rows: Sequence[Row], shared: int, tokens_per_batch: int) -> Iterator[list[Row]]:
    """Rows of similar length together, as many as may be run, and held, at once."""

    def fits(count: int, longest: int) -> bool:
        run, held = count * (longest - shared), count * longest
        return run <= tokens_per_batch and held <= CACHED_PER_BATCH

    for chosen in by_length([len(row.ids) for row in rows], fits):
        yield [rows[index] for index in chosen]


@torch.inference_mode()
def _score_batch(
    model: PreTrainedModel,
    batch: Sequence[Row],
    shared: int,
    prefix: Pairs | None,
    scores: torch.Tensor,
) -> None:
    """Add each option's token log-probabilities to `scores` (prompts, options)."""
    ids, mask = (part.to(model.device) for part in padded([row.ids for row in batch]))
    asked = [(i, at - shared, token) for i, row in enumerate(batch) for _, at, token in row.wanted]
    rows, columns, tokens = torch.tensor(asked, device=model.device).T
    inputs = {"input_ids": ids[:, shared:], "attention_mask": mask}
    if prefix is not None:
        copies = [
            (k.expand(len(batch), *k.shape[1:]), v.expand(len(batch), *v.shape[1:]))
            for k, v in prefix
        ]  # views: the one copy is made when new keys are appended
        inputs["past_key_values"] = DynamicCache(copies, config=model.config)
    inputs["use_cache"] = prefix is not None
    logits = logits_at(model, rows, columns, float32_head=True, **inputs)  # (N, V)
    found = logits.float().log_softmax(-1).gather(-1, tokens[:, None])[:, 0].double().cpu()
    places = [(row.item, column) for row in batch for column, _, _ in row.wanted]
    items, options = torch.tensor(places).T
    scores.index_put_((items, options), found, accumulate=True)
