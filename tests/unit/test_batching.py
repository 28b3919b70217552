"""Of a long text the end is kept; batches hold every sequence once, none larger than allowed."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.batching import by_length, by_tokens, encode, padded
from adaptlab.errors import AdaptlabError

LENGTHS = st.lists(st.integers(0, 30), max_size=40)


@given(LENGTHS, st.integers(0, 100), st.integers(1, 8))
def test_batches_hold_every_index_once_and_fit(lengths, room, most):
    def fits(count, longest):
        return count * longest <= room and count <= most

    batches = list(by_length(lengths, fits))
    order = [index for batch in batches for index in batch]
    assert order == sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for batch in batches:
        assert len(batch) == 1 or fits(len(batch), lengths[batch[0]])
    for batch in batches[:-1]:  # none ends too early
        assert not fits(len(batch) + 1, lengths[batch[0]])


def test_a_limit_of_the_count_cuts_even_batches():
    assert list(by_length([5] * 7, lambda count, _: count <= 3)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_so_many_tokens_with_their_padding():
    assert list(by_tokens([3, 9, 2, 4], 9)) == [[1], [3, 0], [2]]


def test_padding_is_on_the_right():
    ids, mask = padded([(5, 6, 7), (8,)])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


class Letters:
    """A token for each letter, and <s>, which is 1, before them if so wanted."""

    def __init__(self, bos: bool):
        self.bos_token_id, self.start = 1, [1] if bos else []

    def __call__(self, texts, verbose):
        return SimpleNamespace(input_ids=[self.start + [ord(c) for c in text] for text in texts])


@pytest.mark.parametrize(
    ("bos", "limit", "expected"),
    [
        (False, 3, "cde"), (False, 5, "abcde"), (False, 1, "e"), (False, None, "abcde"),
        (True, 3, "\1de"), (True, 6, "\1abcde"), (True, 5, "\1bcde"), (True, 1, "e"),
    ],
)  # fmt: skip
def test_of_a_long_text_its_end_and_its_bos_are_kept(bos, limit, expected):
    coded, cut = encode(Letters(bos), ["abcde", "f"], limit)
    assert "".join(map(chr, coded[0])) == expected
    assert cut == (len(expected) < 5 + bos) + (limit == 1 and bos)


def test_what_cannot_be_encoded_is_one_line():
    with pytest.raises(AdaptlabError, match="text 1 is empty"):
        encode(Letters(False), ["a", ""])
    with pytest.raises(AdaptlabError, match="at most 0 tokens"):
        encode(Letters(False), ["a"], 0)
