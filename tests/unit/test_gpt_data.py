"""Training examples: each target is the next token, once, and never another document's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.data import IGNORED, Windows, pack_documents, pack_pairs, split
from tests.gpt_small import CONFIGS, assert_near, decoder
from tests.gpt_small import one_thread as one_thread

END = 60
documents_of = st.lists(st.lists(st.integers(0, 59), max_size=9), min_size=1, max_size=8)


@given(total=st.integers(2, 200), length=st.integers(1, 50), size=st.integers(1, 9))
def test_a_target_is_the_next_token(total, length, size):
    if total <= length:
        with pytest.raises(AdaptlabError, match=f"{total} tokens are too few for a window of"):
            Windows(range(total), length)
        return
    text = Windows(range(total), length)
    for batch in (text.draw(size, seed=0, step=total), *text.in_order(size)):
        assert batch.inputs.shape[1] == batch.targets.shape[1] == length
        assert torch.equal(batch.targets, batch.inputs + 1)
        assert batch.documents is None
        assert batch.inputs.min() >= 0
        assert batch.targets.max() < total
    inputs, targets, _ = map(list, zip(*text.in_order(size), strict=True))
    assert all(len(part) == size for part in inputs[:-1])
    covered = torch.cat(targets).flatten().tolist()
    assert covered == list(range(1, 1 + (total - 1) // length * length))
    few = [batch.inputs for batch in text.in_order(size, limit=3)]
    assert torch.equal(torch.cat(few), torch.cat(inputs)[:3])


def test_seed_and_step_decide_a_draw():
    packed = pack_documents([range(30)] * 9, 5, END)
    for data in (Windows(range(1000), 8), packed):
        again = {
            (seed, step): data.draw(16, seed, step).inputs for seed in (0, 1) for step in (0, 1)
        }
        for (seed, step), inputs in again.items():
            assert torch.equal(data.draw(16, seed, step).inputs, inputs)
        found = {tuple(inputs.flatten().tolist()) for inputs in again.values()}
        assert len(found) == 4, "another seed or step, another draw"


def test_every_window_can_be_drawn():
    places = Windows(range(13), 10).draw(200, seed=0, step=0).inputs[:, 0]
    assert set(places.tolist()) == {0, 1, 2}


@given(documents=documents_of, length=st.integers(1, 20))
def test_packing_keeps_each_document_s_targets(documents, length):
    """Written anew token by token: what stands where, and what it has to predict."""
    plain = []
    for number, document in enumerate(documents):
        closed = [*document, END]
        plain += zip(closed, [*closed[1:], IGNORED], [number] * len(closed), strict=True)
    rows = (len(plain) - 1) // length
    if not rows:
        with pytest.raises(AdaptlabError, match=f"{len(plain)} tokens do not fill one row of"):
            pack_documents(documents, length, END)
        return
    packed = pack_documents(documents, length, END)
    assert packed.inputs.shape == packed.targets.shape == packed.documents.shape == (rows, length)
    for found, expected in zip(
        (packed.inputs, packed.targets, packed.documents), zip(*plain, strict=True), strict=True
    ):
        assert found.flatten().tolist() == list(expected)[: rows * length]
    in_order = [batch.targets for batch in packed.in_order(3)]
    assert torch.equal(torch.cat(in_order), packed.targets)


def test_no_documents_are_one_line():
    with pytest.raises(AdaptlabError, match="0 tokens do not fill one row of 4"):
        pack_documents([], 4, END)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=2, max_size=5).filter(lambda x: sum(x) < 20))
@torch.no_grad()
def test_the_loss_of_packed_documents_is_that_of_each_alone(config, lengths):
    model = decoder(config)
    generator = torch.Generator().manual_seed(len(lengths))
    documents = [torch.randint(60, (n,), generator=generator).tolist() for n in lengths]
    total = sum(lengths) + len(lengths) - 1  # one token must be left over; it is the last end
    packed = pack_documents(documents, total, END)
    logits = model(packed.inputs, documents=packed.documents)[0]
    losses = F.cross_entropy(logits, packed.targets[0], reduction="none")
    at = 0
    for document in documents:
        ids = torch.tensor([*document, END])
        alone = model(ids[None, :-1])[0]
        assert_near(logits[at : at + len(document)], alone)
        assert_near(
            losses[at : at + len(document)], F.cross_entropy(alone, ids[1:], reduction="none")
        )
        at += len(ids)
    assert losses.count_nonzero() == sum(lengths)


def test_a_fingerprint_is_of_everything_that_is_learned():
    ids = list(range(40))
    changed = [*ids[:-1], 7]
    assert Windows(ids, 8).fingerprint == Windows(torch.tensor(ids), 8).fingerprint
    several = [
        Windows(ids, 8),
        Windows(ids, 9),
        Windows(changed, 8),
        pack_documents([ids], 8, END),
        pack_documents([ids[:7], ids[7:]], 8, END),
        pack_documents([[*ids[:7], END, *ids[7:]]], 8, END),  # the same tokens, one document
        pack_documents([ids], 10, END),
        pack_documents([[*ids, 5]], 8, END),
    ]
    assert len({data.fingerprint for data in several}) == len(several)


def test_split_leaves_nothing_out():
    ids = list(range(1003))
    train, validation = split(ids)
    assert [*train, *validation] == ids
    assert len(train) == 902
    assert len(split(ids, 0.5)[0]) == 501


@pytest.mark.parametrize(
    ("prompts", "answers", "said"),
    [
        ([], [], "no pairs"),
        ([[1], []], [[2], [3]], "prompt of pair 1 is empty"),
        ([[1, 2]], [[3, 4, 5]], "pair 0 has 5 tokens; a row has 4"),
    ],
)
def test_pairs_that_cannot_be_packed_are_one_line(prompts, answers, said):
    with pytest.raises(AdaptlabError, match=said):
        pack_pairs(prompts, answers, length=4, end=0)
