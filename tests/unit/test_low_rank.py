"""Energy and nearest matrices against torch's SVD."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.tuning.low_rank import energy, nearest, rank_for


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (5, 5), (1, 7)])
def test_energy_and_nearest_are_those_of_the_svd(shape):
    update = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, s, vt = torch.linalg.svd(update, full_matrices=False)
    shares = (s**2).cumsum(0) / (s**2).sum()
    assert np.allclose(energy(update), shares.numpy(), atol=1e-6)
    for rank in range(len(s) + 1):
        near = (u[:, :rank] * s[:rank]) @ vt[:rank]
        assert torch.allclose(nearest(update, rank), near, atol=1e-5)
    assert torch.allclose(nearest(update, 99), update, atol=1e-5)


@given(rank=st.integers(1, 4), seed=st.integers(0, 50))
def test_a_product_of_rank_r_has_all_its_energy_in_r(rank, seed):
    draw = torch.Generator().manual_seed(seed)
    product = torch.randn(8, rank, generator=draw) @ torch.randn(rank, 11, generator=draw)
    shares = energy(product)
    assert shares[rank - 1] == pytest.approx(1, abs=1e-9)
    assert rank_for(0.999999, shares) <= rank
    assert torch.allclose(nearest(product, rank), product, atol=1e-4)


def test_rank_for_is_the_least_that_reaches_the_share():
    shares = np.array([0.5, 0.75, 0.9, 1.0])
    assert [rank_for(share, shares) for share in (0.4, 0.5, 0.6, 0.9, 1.0)] == [1, 1, 2, 3, 4]


def test_the_format_stays():
    assert nearest(torch.randn(4, 3, dtype=torch.bfloat16), 2).dtype is torch.bfloat16


@pytest.mark.parametrize("update", [torch.zeros(3, 2), torch.tensor([[float("nan"), 1.0]])])
def test_nothing_has_no_spectrum(update):
    with pytest.raises(AdaptlabError, match="zero or not finite"):
        energy(update)


def test_a_rank_below_zero_is_refused():
    with pytest.raises(AdaptlabError, match="0 or more, not -1"):
        nearest(torch.eye(2), -1)
