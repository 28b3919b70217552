"""Texts become token ids, and ids batches: cut to fit, similar lengths together, then padded.

a text of 7 tokens, 5 fit      <s> a b c d e f   ->   <s> c d e f     the end is kept

lengths 9, 3, 8, 2             [9, 8]  [3, 2]        so that little is padded
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import PreTrainedTokenizerBase

from adaptlab.errors import AdaptlabError

TOKENS_PER_BATCH = 2048


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int | None = None
) -> tuple[list[tuple[int, ...]], int]:
    """The token ids of each text, and how many texts had to be cut to `limit` tokens.

    The beginning is cut off, for a question stands at the end ("... Sentiment:"); a token that the
    tokenizer puts before every text (BOS) stays. Raises AdaptlabError for a text without tokens,
    or a limit below 1.
    """
    coded = [tuple(ids) for ids in tokenizer(list(texts), verbose=False).input_ids]
    for i, ids in enumerate(coded):
        if not ids:
            raise AdaptlabError(f"text {i} is empty: it has no token")
    if limit is None:
        return coded, 0
    if limit < 1:
        raise AdaptlabError(f"a text of at most {limit} tokens has nothing to read")
    cut = [len(ids) > limit for ids in coded]
    return [_end(ids, limit, tokenizer.bos_token_id) for ids in coded], sum(cut)


def _end(ids: tuple[int, ...], limit: int, bos: int | None) -> tuple[int, ...]:
    if len(ids) <= limit:
        return ids
    kept = 1 if ids[0] == bos and limit > 1 else 0
    return ids[:kept] + ids[len(ids) - limit + kept :]


def by_length(lengths: Sequence[int], fits: Callable[[int, int], bool]) -> Iterator[list[int]]:
    """The indices of sequences in batches, longest first: what is too large then fails at once.

    fits: whether a batch may have this count and this longest length; it is padded to the longest.
        A single sequence is always let through.
    Sequences of one length stay in their order. Every index comes once.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and not fits(len(batch) + 1, lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def by_tokens(lengths: Sequence[int], most: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """As `by_length`, with at most so many tokens in a batch, padding included."""
    return by_length(lengths, lambda count, longest: count * longest <= most)


def padded(ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and their mask (1 for a token, 0 for padding), both (B, T).

    Padding is on the right, where no earlier token sees it, whatever the tokenizer would do.
    """
    made = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
    mask = torch.zeros_like(made)
    for i, row in enumerate(ids):
        made[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return made, mask
