"""4-bit blocks and their scales, against bitsandbytes, bit for bit."""

import bitsandbytes.functional as reference
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.quantize import blockwise, codebooks
from adaptlab.quantize.blockwise import DoubleScales, bits_per_parameter, measured_bits, quantise
from adaptlab.quantize.whole import linear_weights
from tests.gpt_small import one_thread as one_thread

THEIRS = pytest.mark.parametrize("name", ["nf4", "fp4"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
DOUBLE = pytest.mark.parametrize("double", [True, False])


def assert_as_bitsandbytes(weight: torch.Tensor, name: str, block: int, double: bool) -> None:
    """Of a flat tensor: bitsandbytes 0.50.2 dequantises rows wrongly on AVX-512 where a block
    begins in one row and ends in the next."""
    packed, state = reference.quantize_4bit(
        weight.reshape(-1), blocksize=block, quant_type=name, compress_statistics=double
    )
    made = quantise(weight, name, block, double)
    assert torch.equal(made.packed, packed.view(-1))
    if double:
        assert torch.equal(made.scales.codes, state.absmax)
        assert torch.equal(made.scales.absmax, state.state2.absmax)
        assert made.scales.offset == state.offset
    else:
        assert torch.equal(made.scales, state.absmax)
    again = made.dequantise()
    assert again.dtype is weight.dtype
    assert torch.equal(again.view(-1), reference.dequantize_4bit(packed, state).view(-1))


@THEIRS
@DTYPES
@DOUBLE
@pytest.mark.parametrize("shape", [(64, 64), (96, 1536), (7, 34), (1, 2)])
def test_random_weights(shape, double, dtype, name):
    torch.manual_seed(0)
    for block in (32, 64, 256):
        assert_as_bitsandbytes(torch.randn(shape).to(dtype), name, block, double)


@THEIRS
@DTYPES
def test_some_real_weights(bundled, dtype, name):
    for _, weight in list(linear_weights(bundled.model))[::70]:
        assert_as_bitsandbytes(weight.detach().to(dtype), name, 64, double=True)


@THEIRS
def test_a_bf16_result_of_real_rows(bundled, name):
    """As the model's layers hold them: in two dimensions, where rows are whole blocks."""
    _, weight = next(linear_weights(bundled.model))
    state = reference.quantize_4bit(weight.detach(), quant_type=name, compress_statistics=True)
    assert torch.equal(quantise(weight, name).dequantise(), reference.dequantize_4bit(*state))


@THEIRS
def test_an_odd_number_of_weights(name):
    weight = torch.randn(3, 333)
    packed, state = reference.quantize_4bit(weight, quant_type=name)
    made = quantise(weight, name, double=False)
    assert torch.equal(made.packed, packed.view(-1))
    assert torch.equal(made.scales, state.absmax)
    assert made.dequantise().shape == weight.shape
    assert torch.equal(
        made.codes().view(-1)[:2], torch.stack([packed[0] >> 4, packed[0] & 15])[:, 0]
    )


@THEIRS
def test_halves_and_their_neighbours(name):
    """Of two equally near levels the same one is taken, and just beside it the nearer."""
    middle = codebooks.codebook(name).midpoints
    edges = [torch.nextafter(middle, torch.tensor(end)) for end in (-2.0, 2.0)]
    row = torch.cat([torch.ones(1), middle, *edges, torch.zeros(18)])
    assert len(row) == 64
    assert_as_bitsandbytes(torch.stack([row, -row]), name, 64, double=False)


@THEIRS
@DOUBLE
def test_blocks_of_zeros_give_zeros(name, double):
    weight = torch.randn(8, 64)
    weight[2], weight[5] = 0.0, -0.0
    made = quantise(weight, name, double=False)
    assert made.dequantise()[[2, 5]].count_nonzero() == 0
    assert_as_bitsandbytes(weight, name, 64, double)
    assert_as_bitsandbytes(torch.zeros(64 * 300), name, 64, double)
    assert quantise(torch.zeros(3, 5), name, double=double).dequantise().count_nonzero() == 0


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 700), st.floats(-30, 30))
@settings(max_examples=60, deadline=None)
def test_the_error_is_at_most_half_the_widest_gap(seed, block, count, power):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(count, generator=generator) * 10.0**power
    for name in codebooks.CODEBOOKS:
        made = quantise(weight, name, block, double=False)
        levels = codebooks.codebook(name).levels
        levels = levels[levels >= -1]
        limit = (levels.diff().max() / 2) * made.scales.repeat_interleave(block)[:count]
        again = made.dequantise()
        assert ((weight - again).abs() <= limit * (1 + 1e-5)).all()
        twice = quantise(again, name, block, double=False)
        assert torch.equal(twice.dequantise(), again)  # what is on the levels stays there


def test_the_double_scales_are_near_the_scales():
    absmax = torch.rand(5000) + 1
    made = blockwise._double(absmax)
    theirs, state = reference.quantize_blockwise(absmax - absmax.mean(), blocksize=256)
    assert torch.equal(made.codes, theirs)
    assert (made.decode() - absmax).abs().max() < 0.01
    expected = reference.dequantize_blockwise(theirs, state) + absmax.mean()
    assert torch.equal(made.decode(), expected)


@given(st.floats(-1, 1, width=32), st.sampled_from(sorted(codebooks.CODEBOOKS)))
def test_nearest_is_bucketize(x, name):
    book = codebooks.codebook(name)
    rank = torch.bucketize(torch.tensor([x]), book.midpoints)
    assert book.nearest(torch.tensor([x])).item() == book.order[rank].item()


def test_the_cost_of_a_weight():
    assert bits_per_parameter(64, double=False) == 4.5
    assert round(bits_per_parameter(64, double=True), 3) == 4.127
    weight = torch.randn(1024, 1024)
    for double in (True, False):
        found = measured_bits(quantise(weight, double=double))
        assert found == pytest.approx(bits_per_parameter(64, double), abs=5e-5)


def test_dequantised_in_another_format():
    made = quantise(torch.randn(64, 64))
    assert torch.equal(made.dequantise(torch.bfloat16), made.dequantise().bfloat16())


@pytest.mark.parametrize(("name", "count"), [("nf4", 16), ("fp4", 15), ("int4", 16)])
def test_the_codebooks(name, count):
    book = codebooks.codebook(name)
    assert len(book.values) == 16
    assert len(book.levels.unique()) == count
    if name != "int4":
        assert torch.equal(book.values, reference.get_4bit_type(name, "cpu"))


def test_nf4_is_not_symmetric_and_not_the_formula_of_the_text():
    levels = codebooks.nf4().levels
    assert (levels < 0).sum() == 7
    assert (levels > 0).sum() == 8
    formula = codebooks.averaged_quantiles()
    assert len(formula) == 15
    assert torch.allclose(formula, -formula.flip(0), atol=1e-6)
    assert min((formula - level).abs().min() for level in levels[1:7]) > 1e-3


def test_the_dynamic_codebook():
    assert torch.equal(codebooks.dynamic(), reference.create_dynamic_map())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [3, 190])  # in a whole block, and in the shorter last one
def test_weights_that_are_no_numbers(bad, place):
    weight = torch.randn(191)
    weight[place] = bad
    with pytest.raises(AdaptlabError, match="a weight to be quantised is not a finite number"):
        quantise(weight)


def test_scales_that_are_no_numbers():
    with pytest.raises(AdaptlabError, match="a scale of the quantised weights is not a finite"):
        quantise(torch.full((64, 64), 3e38))  # their sum, and so their mean, is infinite
    made = quantise(torch.randn(64))
    broken = DoubleScales(made.scales.codes, made.scales.absmax, torch.tensor(torch.nan))
    with pytest.raises(AdaptlabError, match="a scale of the quantised weights is not a finite"):
        blockwise.Blocks(made.packed, broken, made.shape, made.dtype, 64, "nf4")


def test_bad_input_is_one_line():
    with pytest.raises(AdaptlabError, match="there are no weights"):
        quantise(torch.zeros(0, 64))
    with pytest.raises(AdaptlabError, match="a block of 0 weights"):
        quantise(torch.ones(4), block=0)
    with pytest.raises(AdaptlabError, match="unknown codebook 'nf5'; did you mean"):
        quantise(torch.ones(4), "nf5")
