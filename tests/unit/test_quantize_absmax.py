"""Absmax rounding against numbers by hand, torch's own per-channel quantiser, and its bounds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.quantize import absmax, blockwise


def test_by_hand():
    weight = torch.tensor([[0.30, -1.27, 0.02, 0.64]])
    made = absmax.quantise(weight, 8, "tensor")
    assert made.codes.dtype is torch.int8
    assert made.codes.tolist() == [[30, -127, 2, 64]]
    assert made.scales.tolist() == [[pytest.approx(0.01)]]
    assert absmax.quantise(torch.tensor([[1.0, 0.5, -0.4]]), 2).codes.tolist() == [[1, 0, 0]]


def test_the_parts_that_share_a_scale():
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 0.0, 0.0, 0.0, -7.0]])
    scales = {per: absmax.quantise(weight, 4, per).scales * 7 for per in ("tensor", "channel", 2)}
    assert torch.allclose(scales["tensor"], torch.tensor([[10.0]]))
    assert torch.allclose(scales["channel"], torch.tensor([[5.0], [10.0]]))
    assert torch.allclose(scales[2], torch.tensor([[2.0, 4.0, 5.0], [10.0, 0.0, 7.0]]))


@pytest.mark.parametrize("bits", range(2, 9))
def test_channels_as_torch_quantises_them(bits):
    torch.manual_seed(0)
    weight, most = torch.randn(40, 60), 2 ** (bits - 1) - 1
    made = absmax.quantise(weight, bits, "channel")
    zeros = torch.zeros(40, dtype=torch.int32)
    expected = torch.fake_quantize_per_channel_affine(
        weight, made.scales[:, 0], zeros, 0, -most, most
    )
    assert torch.allclose(made.dequantise(), expected, atol=1e-7)
    assert torch.equal(made.scales[:, 0] * most, weight.abs().amax(1).div(most) * most)


def test_groups_of_4_bits_are_the_int4_codebook():
    torch.manual_seed(0)
    weight = torch.randn(16, 256)
    blocks = blockwise.quantise(weight, "int4", 64, double=False)
    made = absmax.quantise(weight, 4, 64)
    assert torch.equal(made.codes % 16, blocks.codes().to(torch.int8))
    assert made.bits_per_parameter == 4.5


@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(2, 8),
    per=st.sampled_from(["tensor", "channel", 1, 3, 8, 50]),
    rows=st.integers(1, 9),
    width=st.integers(1, 40),
    power=st.floats(-44, 37),
)
@settings(max_examples=80, deadline=None)
def test_the_error_is_at_most_half_a_step(seed, bits, per, rows, width, power):
    generator = torch.Generator().manual_seed(seed)
    weight = (torch.rand(rows, width, generator=generator) * 2 - 1) * 10.0**power
    made = absmax.quantise(weight, bits, per)
    again, most = made.dequantise(), 2 ** (bits - 1) - 1
    assert made.codes.abs().max() <= most
    assert again.shape == weight.shape
    assert again.isfinite().all()
    steps = made.scales.repeat_interleave(made.group, 1)
    limit = (steps[:, :width] / 2).double() * (1 + 1e-4) + most * 1e-45  # fp32's own last digit
    assert ((weight.double() - again.double()).abs() <= limit).all()
    if power > -30:
        twice = absmax.quantise(again, bits, per)
        assert torch.equal(twice.codes, made.codes)


def test_zeros_stay_zeros():
    weight = torch.randn(4, 6)
    weight[1], weight[2, :3] = 0.0, 0.0
    for per in ("tensor", "channel", 3):
        again = absmax.quantise(weight, 4, per).dequantise()
        assert again[1].count_nonzero() == again[2, :3].count_nonzero() == 0
        assert again.isfinite().all()
        assert again.count_nonzero() > 0
    assert absmax.quantise(torch.zeros(2, 2), 8, "tensor").dequantise().tolist() == [[0, 0], [0, 0]]


def test_the_cost_of_a_weight():
    weight = torch.randn(64, 576)
    cost = {
        per: absmax.quantise(weight, 4, per).bits_per_parameter for per in ("tensor", "channel", 32)
    }
    assert cost == {"tensor": 4.001, "channel": 4.056, 32: 5.0}


def test_the_format_asked_for():
    made = absmax.quantise(torch.randn(4, 8).bfloat16(), 8)
    assert made.dequantise().dtype is torch.float32
    assert torch.equal(made.dequantise(torch.bfloat16), made.dequantise().bfloat16())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("per", ["tensor", "channel", 2])
def test_weights_that_are_no_numbers(bad, per):
    weight = torch.ones(3, 5)
    weight[1, 4] = bad
    with pytest.raises(AdaptlabError, match="a weight to be quantised is not a finite number"):
        absmax.quantise(weight, 4, per)


@pytest.mark.parametrize(
    ("shape", "bits", "per", "said"),
    [
        ((3,), 4, "tensor", r"a matrix \(out, in\) is quantised, not a tensor of \[3\]"),
        ((0, 3), 4, "tensor", r"not a tensor of \[0, 3\]"),
        ((2, 3), 1, "tensor", "integers of 1 bits: choose from 2 to 8"),
        ((2, 3), 9, "tensor", "integers of 9 bits"),
        ((2, 3), 4, "row", "scales are per 'tensor', 'channel' or a group of 1 or more: 'row'"),
        ((2, 3), 4, 0, "a group of 1 or more: 0"),
    ],
)
def test_bad_input_is_one_line(shape, bits, per, said):
    with pytest.raises(AdaptlabError, match=said):
        absmax.quantise(torch.ones(shape), bits, per)
