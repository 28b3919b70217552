"""Pretrained weights: our decoder says what transformers says, and back again without a change."""

import pytest
import torch
from transformers import (
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from adaptlab import models
from adaptlab.errors import AdaptlabError
from adaptlab.gpt.model import GPT
from adaptlab.gpt.weights import config_of, convert, from_transformers, into_transformers
from tests.gpt_small import assert_near, decoder, like, randomise, tokens


def gpt2(seed: int = 0, **changes) -> GPT2LMHeadModel:
    settings = {"vocab_size": 61, "n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 16}
    return randomise(GPT2LMHeadModel(GPT2Config(**settings | changes)), seed)


def llama(seed: int = 0, **changes) -> LlamaForCausalLM:
    settings = {
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 72,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 40,
    }
    return randomise(LlamaForCausalLM(LlamaConfig(**settings | changes)), seed)


MAKERS = [
    (gpt2, {}),
    (gpt2, {"n_embd": 48, "n_head": 3, "n_layer": 3, "n_positions": 40, "n_inner": 100}),
    (gpt2, {"n_head": 1, "n_layer": 1, "tie_word_embeddings": False, "layer_norm_epsilon": 0.1}),
    (llama, {}),
    (llama, {"num_key_value_heads": 1, "tie_word_embeddings": True, "rms_norm_eps": 0.1}),
    (llama, {"num_key_value_heads": 4, "rope_parameters": {"rope_theta": 300.0}}),
]
each_shape = pytest.mark.parametrize(("make", "changes"), MAKERS)


@each_shape
@torch.no_grad()
def test_our_decoder_is_transformers_(make, changes):
    theirs = make(**changes)
    ours = from_transformers(theirs)
    assert not ours.training
    ids = tokens(3, ours.config.context_length)
    expected = theirs(ids).logits
    assert_near(ours(ids), expected)
    assert_near(like(ours, fused=False)(ids), expected)
    assert ours.config.parameters == sum(p.numel() for p in theirs.parameters())


@each_shape
def test_both_ways_is_exact(make, changes):
    theirs, other = make(**changes), make(seed=1, **changes)
    ours = from_transformers(theirs)
    assert into_transformers(ours, other) is other
    found = other.state_dict()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(found[name], weight), name
    again = from_transformers(other).state_dict()
    for name, weight in ours.state_dict().items():
        assert torch.equal(again[name], weight), name


@each_shape
def test_the_weights_are_a_copy_that_can_be_trained(make, changes):
    theirs = make(**changes).bfloat16()
    before = {name: weight.clone() for name, weight in theirs.state_dict().items()}
    ours = from_transformers(theirs)
    assert all(weight.dtype is torch.bfloat16 for weight in ours.parameters())
    assert all(weight.requires_grad for weight in ours.parameters())
    assert (ours.head.weight is ours.token_embedding.weight) == ours.config.tied
    randomise(ours, seed=5)
    for name, weight in theirs.state_dict().items():
        assert torch.equal(weight, before[name]), name


@torch.inference_mode()
def test_smollm2_says_the_same_of_fifty_texts(bundled, sentiment):
    """Rows of several lengths, padded at the right: no token sees what comes after it."""
    theirs, tokenizer = bundled
    ours = from_transformers(theirs)
    texts = sorted(sentiment.first("dev", 50)["text"], key=len)
    assert len(texts) == 50
    worst = 0.0
    for start in range(0, 50, 10):
        batch = tokenizer(texts[start : start + 10], padding=True, return_tensors="pt")
        difference = ours(batch["input_ids"]) - theirs(**batch).logits
        worst = max(worst, difference[batch["attention_mask"].bool()].abs().max().item())
    assert worst <= 1e-4, worst


@torch.no_grad()
def test_gpt2_from_a_folder_and_back_into_one(tokenizer, tmp_path, fp32):
    """What a Hub name gives is loaded in the same way."""
    saved = gpt2(vocab_size=len(tokenizer))
    saved.save_pretrained(tmp_path / "theirs")
    tokenizer.save_pretrained(tmp_path / "theirs")
    loaded, _ = models.load(str(tmp_path / "theirs"), runtime=fp32)
    ours = from_transformers(loaded)
    ids = tokens(2, 16, len(tokenizer))
    assert_near(ours(ids), saved(ids).logits)
    trained = randomise(ours, seed=3)
    into_transformers(trained, loaded).save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    again, _ = models.load(str(tmp_path / "ours"), runtime=fp32)
    assert_near(again(ids).logits, trained(ids))


@torch.no_grad()
def test_what_changes_no_weight_may_differ():
    """Dropout and the kernel are no part of a checkpoint."""
    theirs = gpt2()
    ours = decoder(config_of(theirs.config), seed=2)
    into_transformers(like(ours, fused=False, dropout=0.3), theirs)
    ids = tokens(2, 16)
    assert_near(theirs(ids).logits, ours(ids))


def test_buffers_of_old_checkpoints_are_left_out():
    theirs = gpt2()
    weights = theirs.state_dict()
    weights["transformer.h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
    weights["transformer.h.1.attn.masked_bias"] = torch.tensor(-1e4)
    converted = convert(weights, config_of(theirs.config))
    assert converted.keys() == from_transformers(theirs).state_dict().keys()


QKV = "transformer.h.1.attn.c_attn.weight"
Q, K, V = (f"model.layers.0.self_attn.{part}_proj.weight" for part in "qkv")


@pytest.mark.parametrize(
    ("make", "name", "tensor", "message"),
    [
        (gpt2, "transformer.h.0.ln_3.weight", torch.ones(3), "unknown weights key 'transformer.h"),
        (gpt2, "transformer.h.2.ln_1.bias", torch.ones(3), "unknown weights key .*did you mean"),
        (gpt2, QKV, None, f"the weights have no tensor '{QKV}'"),
        (gpt2, QKV, torch.ones(96, 32),
         rf"{QKV}: expected shape \(96, 32\) for blocks.1.attention.qkv.weight, found \(32, 96\)"),
        (llama, K, torch.ones(32, 32),
         rf"{K} .*expected shape \(64, 32\) .*found \(32, 32\) \+ \(32, 32\) \+ \(16, 32\)"),
        (llama, V, torch.ones(16, 30), r"found \(32, 32\) \+ \(16, 32\) \+ \(16, 30\)"),
        (llama, "lm_head.weight", None, "no tensor 'lm_head.weight'"),
        (llama, "model.layers.0.self_attn.q_proj.bias", torch.ones(32), "unknown weights key"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_one_line(make, name, tensor, message):
    theirs = make()
    weights = dict(theirs.state_dict())
    if tensor is None:
        del weights[name]
    else:
        weights[name] = tensor
    with pytest.raises(AdaptlabError, match=message) as caught:
        convert(weights, config_of(theirs.config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("exchanged", [False, True])
def test_weights_of_the_other_family_are_one_line(exchanged):
    one, other = (llama(), gpt2()) if exchanged else (gpt2(), llama())
    with pytest.raises(AdaptlabError, match="are not of one family"):
        convert(one.state_dict(), config_of(other.config))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BertConfig(), "our decoder knows gpt2 and llama models, not bert"),
        (GPTNeoXConfig(), "not gpt_neox"),
        (GPT2Config(activation_function="relu"), "our decoder has no activation_function='relu'"),
        (GPT2Config(scale_attn_weights=False), "no scale_attn_weights=False"),
        (GPT2Config(scale_attn_by_inverse_layer_idx=True), "no scale_attn_by_inverse_layer_idx"),
        (LlamaConfig(hidden_act="gelu"), "no hidden_act='gelu'"),
        (LlamaConfig(attention_bias=True), "no attention_bias=True"),
        (LlamaConfig(mlp_bias=True), "no mlp_bias=True"),
        (LlamaConfig(head_dim=32), "no head_dim=32"),
        (
            LlamaConfig(
                rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
            ),
            "no 'linear' rotary positions",
        ),
    ],
)
def test_what_our_decoder_does_not_have_is_one_line(config, message):
    with pytest.raises(AdaptlabError, match=message) as caught:
        config_of(config)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"layers": 1}, {"heads": 2}, {"causal": False}, {"norm_epsilon": 1e-3}]
)
def test_another_shape_cannot_be_copied_into(changes):
    theirs = gpt2()
    config = config_of(theirs.config)
    other = GPT(type(config)(**vars(config) | {"kv_heads": None} | changes))
    with pytest.raises(AdaptlabError, match="this gpt2 is not of our decoder's shape"):
        into_transformers(other, theirs)
