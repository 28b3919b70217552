"""Option scoring equals the plain way, and says what it cannot score."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from adaptlab.errors import AdaptlabError
from adaptlab.models import logits_at
from adaptlab.prompting.scoring import score_options
from adaptlab.tuning.peft_methods import add_lora, add_soft_prompt
from tests.plain import plain_scores

OPTIONS = (" negative", " positive")
LONG_OPTIONS = (" no", " yes, and I would see it twice", " yes")
TEXTS = [
    "a film of no importance",
    "great",
    "so bad that it hurts, and yet I laughed all through it",
]


@pytest.fixture(params=["llama", "gpt2"])
def model(request, tiny, tokenizer):
    if request.param == "llama":
        return tiny
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("options", [OPTIONS, LONG_OPTIONS])
@pytest.mark.parametrize(
    "start", ["", "Here are film reviews.\n\nReview: fine\nSentiment: positive\n\n"]
)
@pytest.mark.parametrize("tokens_per_batch", [1, 64, 4096])
def test_scores_equal_the_plain_way(model, tokenizer, options, start, tokens_per_batch):
    prompts = [f"{start}Review: {text}\nSentiment:" for text in TEXTS]
    ours = score_options(model, tokenizer, prompts, options, tokens_per_batch)
    np.testing.assert_allclose(ours, plain_scores(model, tokenizer, prompts, options), atol=1e-4)


def test_scores_of_the_real_model_equal_the_plain_way(bundled, sentiment):
    examples = sentiment.examples(sentiment.sample(4, seed=0))
    prompts = [examples + sentiment.question(text) for text in sentiment.first("dev", 6)["text"]]
    ours = score_options(*bundled, prompts, OPTIONS)
    np.testing.assert_allclose(ours, plain_scores(*bundled, prompts, OPTIONS), atol=1e-3)


def test_prompts_that_share_nothing_or_everything(tiny, tokenizer):
    for prompts in (["good", "bad film"], ["the same", "the same"], ["alone"]):
        ours = score_options(tiny, tokenizer, prompts, LONG_OPTIONS)
        np.testing.assert_allclose(
            ours, plain_scores(tiny, tokenizer, prompts, LONG_OPTIONS), atol=1e-4
        )


def test_a_soft_prompt_counts(tiny, tokenizer):
    """peft's virtual tokens come first; padding beside them must not shift anything."""
    soft = add_soft_prompt(tiny, tokenizer, 3, "good or bad?").eval()
    prompts = [f"Review: {text}\nSentiment:" for text in TEXTS]
    ours = score_options(soft, tokenizer, prompts, LONG_OPTIONS)
    one_by_one = plain_scores(soft, tokenizer, prompts, LONG_OPTIONS)
    np.testing.assert_allclose(ours, one_by_one, atol=1e-4)
    bare = plain_scores(soft.base_model, tokenizer, prompts, LONG_OPTIONS)
    assert abs(one_by_one - bare).max() > 1e-3, "the virtual tokens must matter"


def test_lora_scores_like_any_model(tiny, tokenizer):
    prompts = [f"Review: {text}\nSentiment:" for text in TEXTS]
    before = score_options(tiny, tokenizer, prompts, OPTIONS)
    adapted = add_lora(tiny, rank=2).eval()
    np.testing.assert_array_equal(score_options(adapted, tokenizer, prompts, OPTIONS), before)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight)
    ours = score_options(adapted, tokenizer, prompts, OPTIONS)
    np.testing.assert_allclose(ours, plain_scores(adapted, tokenizer, prompts, OPTIONS), atol=1e-4)
    assert abs(ours - before).max() > 1e-2


def test_logits_at_chosen_positions_are_those_of_the_forward(tiny):
    ids = torch.randint(5, 1000, (3, 7), generator=torch.Generator().manual_seed(0))
    rows, columns = torch.tensor([0, 2, 2]), torch.tensor([6, 0, 3])
    with torch.inference_mode():
        full = tiny(input_ids=ids).logits
        for precise in (False, True):
            some = logits_at(tiny, rows, columns, float32_head=precise, input_ids=ids)
            torch.testing.assert_close(some, full[rows, columns])
        torch.testing.assert_close(tiny(input_ids=ids).logits, full)  # no hook is left behind


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], OPTIONS, "must not be empty"),
        (["a"], [], "must not be empty"),
        (["a film"], [""], "has no tokens"),
        (["a posit"], ["ive"], "merges with the end of its prompt"),
        (["word " * 300], OPTIONS, "the model's context is 256"),
    ],
)
def test_what_cannot_be_scored_is_one_line(tiny, tokenizer, prompts, options, message):
    with pytest.raises(AdaptlabError, match=message):
        score_options(tiny, tokenizer, prompts, options)
