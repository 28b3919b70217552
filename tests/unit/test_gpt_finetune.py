"""Fine-tuning on pairs: only answers are learnt, and answers come back in order."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from adaptlab.errors import AdaptlabError
from adaptlab.gpt import finetune
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.data import IGNORED
from adaptlab.gpt.finetune import answers, encode_pairs, fine_tune, steps_for
from adaptlab.gpt.model import GPT
from adaptlab.gpt.pretrain import Recipe
from adaptlab.gpt.reading import read
from adaptlab.runtime import detect
from tests.gpt_small import one_thread  # noqa: F401

LETTERS = "abcdefghijklmnopqrstuvwxyz >"
PROMPTS = ["cat >", "a dog >", "one bird >", "the old tree >", "red >"]
ANSWERS = [" chat", " chien", " oiseau", " arbre", " rouge"]
CPU = detect("cpu", torch.float32)


@pytest.fixture(scope="module")
def letters() -> PreTrainedTokenizerFast:
    """A token for each letter, a line break, and an end."""
    vocabulary = {letter: i for i, letter in enumerate(["<end>", "\n", *LETTERS])}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>")


def decoder(tokenizer: PreTrainedTokenizerFast) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(len(tokenizer), context_length=48, layers=2, heads=2, width=48)).eval()


def text(tokenizer: PreTrainedTokenizerFast, ids: torch.Tensor) -> str:
    return "".join(tokenizer.convert_ids_to_tokens(ids.tolist()))


def test_only_answers_and_their_ends_are_targets(letters):
    data = encode_pairs(letters, PROMPTS, ANSWERS, 48)
    learnt = data.targets[data.targets != IGNORED]
    assert text(letters, learnt) == "".join(f"{answer}<end>" for answer in ANSWERS)
    # What stands before each target is the token before it in the same pair.
    first = data.documents == 0
    assert text(letters, data.inputs[first]) == PROMPTS[0] + ANSWERS[0]
    assert (data.targets[first][: len(PROMPTS[0]) - 1] == IGNORED).all()


def test_a_prompt_s_own_loss_does_not_train(letters):
    """With only the prompts' tokens changed in the targets' place nothing else would be learnt."""
    model = decoder(letters)
    data = encode_pairs(letters, PROMPTS, ANSWERS, 48)
    recipe = Recipe(steps=60, learning_rate=1e-2, batch_size=1, warmup=3, weight_decay=0)
    before = [reading.log_p.sum() for reading in read(model, letters(PROMPTS).input_ids)]
    history = fine_tune(model, data, data, recipe, CPU)
    after = [reading.log_p.sum() for reading in read(model, letters(PROMPTS).input_ids)]
    assert history.final < 0.1 * history.losses[0]
    assert sum(after) < sum(before) + 30  # prompts were not memorised: 49 letters of ln 30 each


def test_a_handful_of_pairs_is_memorised_and_comes_back_in_order(letters):
    model = decoder(letters)
    data = encode_pairs(letters, PROMPTS, ANSWERS, 48)
    recipe = Recipe(steps=80, learning_rate=1e-2, batch_size=2, warmup=5)
    fine_tune(model, data, data, recipe, CPU)
    expected = [answer.strip() for answer in ANSWERS]
    for size in (1, 2, 32):
        assert answers(model, letters, PROMPTS, 12, batch_size=size) == expected


def test_weights_are_brought_to_fp32(letters):
    model = decoder(letters).to(torch.bfloat16)
    data = encode_pairs(letters, PROMPTS, ANSWERS, 48)
    fine_tune(model, data, data, Recipe(steps=1, batch_size=1), CPU)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(("written", "answer"), [("\n a b \nc", "a b"), ("\n\n", ""), ("c", "c")])
def test_an_answer_is_the_first_line_that_is_written(letters, monkeypatch, written, answer):
    ids = letters(written, add_special_tokens=False).input_ids
    monkeypatch.setattr(finetune, "generate", lambda *_: [ids])
    assert answers(decoder(letters), letters, ["a >"], 9) == [answer]


def test_steps_see_every_row(letters):
    data = encode_pairs(letters, PROMPTS, ANSWERS, 24)
    rows = len(data.inputs)
    assert rows > 2
    assert steps_for(data, 1) == rows
    assert steps_for(data, 2) == -(-rows // 2)
    assert steps_for(data, rows, epochs=3) == 3


def test_a_pair_longer_than_a_row_is_refused(letters):
    with pytest.raises(AdaptlabError, match="pair 2 has"):
        encode_pairs(letters, PROMPTS, ANSWERS, 15)
