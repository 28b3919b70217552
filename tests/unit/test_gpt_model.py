"""The decoder: who sees whom, what is switched, and that every shortcut equals the plain way."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama import modeling_llama as llama

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.attention import rotary_angles, rotate
from adaptlab.gpt.cache import KVCache
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.model import GPT, make_norm
from tests.gpt_small import CONFIGS, GPT2, LLAMA, assert_near, decoder, like, tokens
from tests.gpt_small import one_thread as one_thread

MODELS = {
    (name, fused): like(decoder(config), fused=fused)
    for name, config in CONFIGS.items()
    for fused in (True, False)
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=map(str, MODELS))
some_examples = settings(max_examples=25, deadline=None)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_parameters_are_the_weights_numbers():
    grid = {
        "norm": ("layer", "rms"),
        "positions": ("learned", "rotary", "none"),
        "mlp": ("gelu", "swiglu"),
        "bias": (True, False),
        "tied": (True, False),
        "kv_heads": (None, 2),
        "mlp_width": (40,),
    }
    for values in product(*grid.values()):
        config = GPTConfig(50, 16, 2, 4, 24, **dict(zip(grid, values, strict=True)))
        with torch.device("meta"):
            model = GPT(config)
        assert config.parameters == sum(p.numel() for p in model.parameters()), config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "every size of a GPTConfig must be at least 1"),
        ({"mlp_width": -4}, "must be at least 1"),
        ({"width": 30}, "width 30 is no multiple of 4 heads"),
        ({"kv_heads": 3}, "4 heads cannot share 3 kv_heads evenly"),
        ({"positions": "rotary", "width": 20}, "an even head width, not 5"),
        ({"norm": "batch"}, r"norm is 'batch'; it can be \('layer', 'rms'\)"),
        ({"positions": "alibi"}, "positions is 'alibi'"),
        ({"mlp": "relu"}, "mlp is 'relu'"),
    ],
)
def test_a_shape_that_cannot_be_is_one_line(changes, message):
    with pytest.raises(AdaptlabError, match=message):
        GPTConfig(**{"vocab_size": 61, "context_length": 24, "layers": 2, "heads": 4, "width": 32}
                  | changes)  # fmt: skip


def test_weights_start_as_gpt2_s():
    model = GPT(GPTConfig(500, 64, 8, 4, 128))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif weight.dim() > 1:
            small = name.endswith(("attention.output.weight", "mlp.down.weight"))
            assert weight.std().item() == pytest.approx(0.02 / (4 if small else 1), rel=0.05), name
    assert model.head.weight is model.token_embedding.weight
    assert GPT(LLAMA).head.weight is not GPT(LLAMA).token_embedding.weight


def test_dropout_only_while_training():
    for fused in (True, False):
        model = like(MODELS["gpt2", True], dropout=0.5, fused=fused)
        ids = tokens(1, 8)
        assert torch.equal(model(ids), model(ids))
        assert_near(model(ids), MODELS["gpt2", True](ids))
        model.train()
        assert not torch.equal(model(ids), model(ids))
        # Attention's own: the keys that are left out are not the same ones twice.
        x, view = model.embed(ids)
        attention = model.blocks[0].attention
        assert not torch.equal(attention(x, view), attention(x, view))


def test_dropout_is_on_the_embeddings_and_on_every_branch():
    model = like(MODELS["gpt2", True], dropout=1.0).train()
    nothing = model.head(model.norm(torch.zeros(GPT2.width)))
    assert_near(model(tokens(2, 5)), nothing.expand(2, 5, -1))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", CONFIGS)
@some_examples
@given(data=st.data())
def test_a_later_token_never_changes_an_earlier_logit(name, fused, data):
    length = data.draw(st.integers(2, 24), "length")
    place = data.draw(st.integers(1, length - 1), "place")
    ids = tokens(2, length, seed=data.draw(st.integers(0, 99), "seed"))
    changed = ids.clone()
    changed[:, place] = (ids[:, place] + data.draw(st.integers(1, 60), "by")) % 61
    model = MODELS[name, fused]
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :place], after[:, :place])
    assert not torch.equal(before[:, place], after[:, place])
    blind = like(model, causal=False)
    assert not torch.equal(blind(ids)[:, 0], blind(changed)[:, 0])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_fused_kernel_is_the_formula(name, causal):
    fused, plain = (like(MODELS[name, way], causal=causal) for way in (True, False))
    ids = tokens(3, 24)
    documents = torch.tensor([[0] * 9 + [1] * 15, [0] * 24, [4] * 23 + [7]])
    masks = [{}, {"starts": torch.tensor([0, 5, 23])}, {"documents": documents}]
    for mask in masks:
        assert_near(fused(ids, **mask), plain(ids, **mask))
    assert_near(fused(ids[:, :1]), plain(ids[:, :1]))


@each_model
@some_examples
@given(pieces=st.lists(st.integers(1, 9), min_size=1, max_size=6).filter(lambda p: sum(p) <= 24))
def test_a_cache_changes_no_logit(model, pieces):
    """A prompt in pieces of any sizes, then the rest one by one."""
    ids = tokens(2, 24)
    cache = KVCache(model.config, batch=2, length=24)
    pieces = pieces + [1] * (24 - sum(pieces))
    cached = torch.cat([model(piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
    assert_near(cached, model(ids))
    assert cache.filled == 24


def test_a_full_cache_is_one_line():
    cache = KVCache(GPT2, batch=1, length=5)
    model = MODELS["gpt2", True]
    model(tokens(1, 5), cache)
    with pytest.raises(AdaptlabError, match="the cache has room for 5 tokens, not 6"):
        model(tokens(1, 1), cache)
    with pytest.raises(AdaptlabError, match="25 tokens are more than the context of 24"):
        model(tokens(1, 20), cache)


@each_model
def test_left_padding_is_not_seen(model):
    ids, starts = tokens(3, 14), torch.tensor([0, 3, 13])
    padded = model(ids, starts=starts)
    cache = KVCache(model.config, batch=3, length=14)
    cached = torch.cat([model(p, cache, starts) for p in ids.split([6, 5, 1, 1, 1], 1)], dim=1)
    for row, start in enumerate(starts):
        alone = model(ids[row : row + 1, start:])[0]
        assert_near(padded[row, start:], alone)
        assert_near(cached[row, start:], alone)
    assert padded.isfinite().all()


@each_model
@some_examples
@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_a_document_sees_only_itself(model, lengths):
    pieces = tokens(1, sum(lengths)).split(lengths, dim=1)
    numbers = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))[None]
    together = model(torch.cat(pieces, dim=1), documents=numbers)
    assert_near(together, torch.cat([model(piece) for piece in pieces], dim=1))


@each_model
def test_logits_at_some_places_are_those_of_the_whole(model):
    ids, at = tokens(2, 9), tokens(2, 9, 2, seed=1).bool()
    assert_near(model(ids, at=at), model(ids)[at])


@pytest.mark.parametrize("fused", [True, False])
def test_grouped_heads_are_heads_with_the_same_keys(fused):
    grouped = MODELS["llama", fused]
    full = GPT(replace(grouped.config, kv_heads=4)).eval()
    state = grouped.state_dict()
    for name in [name for name in state if name.endswith("qkv.weight")]:
        q, k, v = state[name].unflatten(0, (-1, 8)).split((4, 2, 2))  # (heads, D, width)
        k, v = (torch.stack([x[0], x[0], x[1], x[1]]) for x in (k, v))
        state[name] = torch.cat((q, k, v)).flatten(0, 1)
    full.load_state_dict(state)
    assert_near(grouped(tokens(2, 24)), full(tokens(2, 24)))


@some_examples
@given(m=st.integers(0, 500), n=st.integers(0, 500), shift=st.integers(1, 500))
def test_rotary_products_see_distances_only(m, n, shift):
    config = GPTConfig(10, 2000, 1, 1, 16, positions="rotary")
    generator = torch.Generator().manual_seed(m)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=generator, dtype=torch.float64)

    def product(m: int, n: int) -> float:
        at = [rotary_angles(torch.tensor([[p]]), config, torch.float64) for p in (m, n)]
        return (rotate(q, *at[0]) * rotate(k, *at[1])).sum().item()

    assert product(m, n) == pytest.approx(product(m + shift, n + shift), abs=1e-3)
    assert product(m, n) != pytest.approx(product(m + shift, n), abs=1e-6)


def test_rotary_positions_are_transformers():
    config = GPTConfig(10, 64, 1, 2, 32, positions="rotary", rope_base=500.0)
    theirs = llama.LlamaRotaryEmbedding(
        LlamaConfig(
            hidden_size=32,
            num_attention_heads=2,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        )
    )
    q, k = torch.randn(2, 3, 2, 20, 16, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(7, 27)[None]
    expected = llama.apply_rotary_pos_emb(q, k, *theirs(q, positions))
    angles = rotary_angles(positions, config, torch.float32)
    for found, wanted in zip((rotate(q, *angles), rotate(k, *angles)), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_rms_norm_is_transformers():
    ours, theirs = make_norm(LLAMA), llama.LlamaRMSNorm(LLAMA.width, LLAMA.norm_epsilon)
    generator = torch.Generator().manual_seed(0)
    ours.weight.copy_(torch.randn(LLAMA.width, generator=generator))
    theirs.weight.copy_(ours.weight)
    for scale in (1e-3, 1.0, 100.0):  # at the smallest, epsilon counts
        x = scale * torch.randn(2, 5, LLAMA.width, generator=generator)
        torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[0] * 25], "25 tokens are more than the context of 24"),
        ([[3, 61, 4]], "token id 61 is outside the vocabulary of 61"),
        ([[3, -1, 4]], "token id -1 is outside the vocabulary of 61"),
    ],
)
def test_ids_that_cannot_be_read_are_one_line(ids, message):
    with pytest.raises(AdaptlabError, match=message):
        MODELS["gpt2", True](torch.tensor(ids))
