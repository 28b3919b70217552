"""Many texts at once: shared beginnings run once, finished texts leave the batch.

    step          1  2  3  4  5  6
    text 1        a  b  c  .            ended: its row is dropped, and costs no more
    text 2        d  e  f  g  h  .
    text 3        i  .

Each text draws from numbers of its own, seeded by its prompt and sample: the same prompt gets the
same samples whatever else is in the batch (up to rounding of the logits).
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from adaptlab.batching import by_length, padded
from adaptlab.packing import packed_linears
from adaptlab.prompting.interface import Completion
from adaptlab.prompting.shared_prefix import Rows, common_length, run_prefix, shared_attention
from adaptlab.prompting.stopping import Stops
from adaptlab.sampling import Sampling, draw_at

ROWS = 64  # in a batch
HELD = 65_536  # tokens whose own keys and values are held at once
DROP = 0.75  # rows are dropped as soon as fewer than this share is still being written


class Constraint(Protocol):
    """What one text may go on with (see `constrained`)."""

    done: bool

    def allowed(self) -> torch.Tensor:
        """(vocabulary,) booleans."""
        ...

    def advance(self, token: int) -> None:
        """Tell it the token that was chosen."""
        ...


@dataclass(frozen=True)
class Request:
    """How every prompt of a call is continued; see `interface.LanguageModel.generate`."""

    max_tokens: int
    samples: int
    sampling: Sampling
    seed: int
    stops: Stops
    constraint: Callable[[], Constraint] | None = None


@dataclass
class Text:
    """One continuation while it is written."""

    item: int
    sample: int
    uniforms: np.ndarray  # (max_tokens,) what its tokens are drawn with
    constraint: Constraint | None
    ids: list[int] = field(default_factory=list)
    done: Completion | None = None


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    request: Request,
    rows: int = ROWS,
) -> list[list[Completion]]:
    """Continue each prompt of token ids, (prompts, samples). rows: texts in a batch, at most."""
    shared = min(common_length(prompts), min(map(len, prompts)) - 1)  # each keeps one to read
    prefix = run_prefix(model, prompts[0][:shared]) if shared else []
    own = [prompt[shared:] for prompt in prompts]
    found: list[list[Completion | None]] = [[None] * request.samples for _ in prompts]
    count, tokens, start = len(prompts) * request.samples, 0, time.perf_counter()
    bar = tqdm(total=count, desc="generating", unit="text", leave=False)
    with packed_linears(model), shared_attention(model), bar:
        for items, samples in _batches([*map(len, own)], request, rows):
            room = max(len(own[item]) for item in items) + request.max_tokens
            batch = Rows(model, prefix, shared, len(items), room)
            logits = batch.read(model, *padded([own[item] for item in items]))
            texts = [_start(i, sample, prompts[i], request) for i in items for sample in samples]
            copies = torch.arange(len(items)).repeat_interleave(len(samples)).to(model.device)
            if len(samples) > 1:
                batch.select(copies)
            for text in _write(model, tokenizer, batch, logits[copies], texts, request):
                found[text.item][text.sample] = text.done
                tokens += text.done.tokens
                speed = f"{tokens / (time.perf_counter() - start):,.0f} tokens/s"
                bar.set_postfix_str(speed, refresh=False)
                bar.update()
    return found


def _batches(
    lengths: Sequence[int], request: Request, rows: int
) -> Iterator[tuple[list[int], range]]:
    """Prompts of similar length, and which of their samples, to be written together."""
    together = min(request.samples, rows)

    def fits(count: int, longest: int) -> bool:
        texts = count * together
        return texts <= rows and texts * (longest + request.max_tokens) <= HELD

    for items in by_length(lengths, fits):
        for first in range(0, request.samples, together):
            yield items, range(first, min(first + together, request.samples))


def _start(item: int, sample: int, prompt: Sequence[int], request: Request) -> Text:
    if request.sampling.temperature == 0:
        uniforms = np.zeros(0)
    else:
        name = zlib.crc32(np.asarray(prompt, dtype=np.int64).tobytes())
        uniforms = np.random.default_rng((request.seed, name, sample)).random(request.max_tokens)
    return Text(item, sample, uniforms, request.constraint() if request.constraint else None)


@torch.inference_mode()
def _write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: Rows,
    logits: torch.Tensor,
    texts: list[Text],
    request: Request,
) -> Iterator[Text]:
    """Write the texts of a batch to their ends, and give each as it ends. logits: (B, V)."""
    for step in range(request.max_tokens):
        chosen = _draw(logits, texts, request, step)  # (B,)
        for text, token in zip(texts, chosen.tolist(), strict=True):
            if not text.done:
                text.done = _advance(text, token, request)
                if text.done:
                    yield text
        left = [row for row, text in enumerate(texts) if not text.done]
        if not left:
            return
        if len(left) < DROP * len(texts):
            kept = torch.tensor(left, device=logits.device)
            batch.select(kept)
            texts, chosen = [texts[row] for row in left], chosen[kept]
        logits = batch.read(model, chosen[:, None], torch.ones_like(chosen[:, None]))


def _draw(logits: torch.Tensor, texts: Sequence[Text], request: Request, step: int) -> torch.Tensor:
    """The next token of each text, (B,), for logits (B, V)."""
    if request.constraint:
        logits = logits.clone()
        for row, text in enumerate(texts):
            if not text.done:
                allowed = text.constraint.allowed().to(logits.device)
                logits[row, : len(allowed)].masked_fill_(~allowed, -torch.inf)
                logits[row, len(allowed) :] = -torch.inf  # padding of the vocabulary
    if request.sampling.temperature == 0:
        return logits.argmax(dim=-1)
    uniforms = torch.tensor([text.uniforms[step] for text in texts], device=logits.device)
    return draw_at(logits, request.sampling, uniforms)


def _advance(text: Text, token: int, request: Request) -> Completion | None:
    """Add a token to a text; what has been completed if that ends it."""
    text.ids.append(token)
    if text.constraint:
        text.constraint.advance(token)
    stops, count = request.stops, len(text.ids)
    if (cut := stops.cut(text.ids)) is not None:
        return Completion(cut, count, "stop")
    if text.constraint and text.constraint.done:
        return Completion(stops.text(text.ids), count, "stop")
    if count == request.max_tokens:
        return Completion(stops.text(text.ids), count, "length")
    return None
