"""Batches by length: every sequence once, longest first, none larger than is allowed."""

from hypothesis import given
from hypothesis import strategies as st

from adaptlab.batching import by_length

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
