"""Fine-tuning our decoder on pairs of a prompt and an answer, and what it answers then.

    tokens    I  am  a  student  <to-fr>  je  suis  étudiant  END
    targets   .  .   .  .        je       suis  étudiant  END

The prompt is read and never a target (.). Everything else is as in pretraining: the same loop, the
same loss, every weight trained (Radford et al., 2018).
"""

import math
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from adaptlab.batching import by_length
from adaptlab.gpt.data import Packed, pack_pairs
from adaptlab.gpt.model import GPT
from adaptlab.gpt.pretrain import History, Recipe, pretrain
from adaptlab.gpt.sampling import generate
from adaptlab.runtime import Runtime
from adaptlab.sampling import GREEDY, Sampling


def encode_pairs(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], answers: Sequence[str], length: int
) -> Packed:
    """Pairs of texts in rows of `length` tokens; only answers, each closed by the end, are targets.

    Prompt and answer are tokenised on their own, so that the prompt has the same tokens here as
    when it is asked. Raises AdaptlabError for a pair that is longer than a row.
    """
    coded = [_ids(tokenizer, texts) for texts in (prompts, answers)]
    return pack_pairs(*coded, length, tokenizer.eos_token_id)


def steps_for(data: Packed, batch_size: int, epochs: int = 1) -> int:
    """How many steps see every row at least `epochs` times."""
    return math.ceil(epochs * len(data.inputs) / batch_size)


def fine_tune(
    decoder: GPT, train: Packed, validation: Packed, recipe: Recipe, runtime: Runtime
) -> History:
    """Train all weights of `decoder`, in place, which are brought to fp32 first.

    A bf16 weight has 8 bits of precision: a step of fine-tuning is often smaller than half its
    last digit, and would be rounded away. Products are in bf16 where the hardware has it.
    """
    decoder.to(device=runtime.device).float()
    return pretrain(decoder, train, validation, recipe, runtime)


def answers(
    decoder: GPT,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    new_tokens: int,
    batch_size: int = 32,
    sampling: Sampling = GREEDY,
    seed: int | None = None,
) -> list[str]:
    """What the decoder writes after each prompt, up to its end or `new_tokens`: the first line.

    A line break before any text ends nothing, for a model that was not tuned often begins with one.
    Prompts of similar length go through the model together, so that little padding is computed;
    the answers come back in the order of the prompts, without the spaces around them.
    """
    coded = _ids(tokenizer, prompts)
    written = [""] * len(coded)
    for places in by_length([len(ids) for ids in coded], lambda count, _: count <= batch_size):
        batch = [coded[place] for place in places]
        found = generate(decoder, batch, new_tokens, sampling, {tokenizer.eos_token_id}, seed)
        for place, ids in zip(places, found, strict=True):
            lines = tokenizer.decode(ids, skip_special_tokens=True).strip().splitlines()
            written[place] = lines[0].strip() if lines else ""
    return written


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False).input_ids
