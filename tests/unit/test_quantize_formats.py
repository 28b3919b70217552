"""Number formats against torch's own: every pattern of 8 and 16 bits, and rounding."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.quantize import codebooks
from adaptlab.quantize.formats import FORMATS, number_format

DTYPES = {
    "fp32": (torch.float32, torch.int32),
    "fp16": (torch.float16, torch.int16),
    "bf16": (torch.bfloat16, torch.int16),
    "fp8_e4m3": (torch.float8_e4m3fn, torch.uint8),
    "fp8_e5m2": (torch.float8_e5m2, torch.uint8),
}
SMALL = sorted(set(DTYPES) - {"fp32"})
each_dtype = pytest.mark.parametrize("name", DTYPES)


def all_patterns(name: str) -> torch.Tensor:
    """All 2^8 or 2^16 numbers that the dtype can store, fp32."""
    dtype, whole = DTYPES[name]
    count = 2 ** (8 * dtype.itemsize)
    first = 0 if whole is torch.uint8 else -count // 2
    return torch.arange(first, first + count).to(whole).view(dtype).float()


@each_dtype
def test_the_limits_are_those_of_torch(name):
    info, ours = torch.finfo(DTYPES[name][0]), number_format(name)
    assert (ours.largest, ours.smallest, ours.width) == (info.max, info.tiny, info.bits)
    assert ours.spacing(1.0) == info.eps
    subnormal = torch.tensor([1], dtype=DTYPES[name][1]).view(DTYPES[name][0])
    assert ours.smallest_subnormal == subnormal.double().item() == ours.spacing(0.0)


@pytest.mark.parametrize("name", SMALL)
def test_the_values_are_all_patterns_of_torch(name):
    patterns = all_patterns(name)
    expected = patterns[patterns.isfinite()].unique()
    assert torch.equal(number_format(name).values(), expected)


@pytest.mark.parametrize("name", SMALL)
def test_every_pattern_has_its_bits(name):
    dtype, whole = DTYPES[name]
    form = number_format(name)
    for number in all_patterns(name).unique(dim=0)[:: 37 if form.width == 16 else 1].tolist():
        stored = torch.tensor([number]).to(dtype).view(whole).item() % 2**form.width
        found = form.bits(number)
        assert int("".join(found[:3]), 2) & (2**form.width - 1) == stored or math.isnan(number)
        assert len("".join(found[:3])) == form.width


def test_bits_as_they_are_drawn():
    assert number_format("bf16").bits(0.1) == ("0", "01111011", "1001101", 0.10009765625)
    assert number_format("fp32").bits(-math.pi)[:3] == ("1", "10000000", "10010010000111111011011")
    assert number_format("fp16").bits(1e6)[:3] == ("0", "11111", "0000000000")
    assert number_format("int8").bits(-3.4) == ("1", "", "1111101", -3.0)
    assert number_format("nf4").bits(0.99) == ("", "", "1111", 1.0)
    assert number_format("fp4").bits(-2 / 3)[:3] == ("", "", "1010")  # bitsandbytes' code 10


@each_dtype
def test_the_bits_of_a_nan_are_a_nan_to_torch(name):
    dtype, whole = DTYPES[name]
    code = int("".join(number_format(name).bits(math.nan)[:3]), 2)
    assert torch.tensor([code]).to(whole).view(dtype).isnan().all()


@each_dtype
def test_rounding_is_that_of_torch(name):
    """At random sizes, subnormals, every midpoint and its neighbours, and beyond the range."""
    dtype, form = DTYPES[name][0], number_format(name)
    torch.manual_seed(0)
    bits = torch.randint(-(2**31), 2**31, (200_000,)).to(torch.int32)
    cases = [bits.view(torch.float32), torch.randn(50_000) * form.smallest * 2]
    cases += [torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, form.largest])]
    cases += [torch.linspace(-1.1, 1.1, 1001) * min(form.largest, 1e38)]
    if name != "fp32":
        values = form.values()
        middle = (values[1:].double() + values[:-1].double()).div(2).float()
        cases += [torch.nextafter(middle, torch.tensor(end)) for end in (-math.inf, math.inf)]
        cases += [middle, values]
    x = torch.cat(cases)
    expected, found = x.to(dtype).float(), form.round(x)
    assert torch.equal(expected.isnan(), found.isnan())
    there = ~expected.isnan()
    assert torch.equal(expected[there].view(torch.int32), found[there].view(torch.int32))  # and -0


@given(st.floats(-1e5, 1e5), st.sampled_from(sorted(FORMATS)))
def test_rounding_goes_to_a_nearest_value(x, name):
    form = number_format(name)
    rounded = form.round(torch.tensor(x, dtype=torch.float64)).item()
    lowest = -form.largest - (form.kind == "integer")
    if lowest <= x <= form.largest:
        gap = max(form.spacing(x), form.spacing(rounded))
        assert abs(rounded - x) <= gap / 2 + 1e-12
    elif form.kind != "float" or form.top != "ieee":
        assert rounded == (form.largest if x > 0 else lowest)
    assert form.round(torch.tensor(rounded)).item() == torch.tensor(rounded).float().item()


def test_spacing_is_the_distance_between_neighbours():
    for name in ("fp16", "fp8_e4m3", "fp8_e5m2", "fp4_e2m1", "int8", "nf4", "fp4"):
        form = number_format(name)
        values = form.values().double()
        for below, above in zip(values[:-1:7], values[1::7], strict=False):
            at = below if below >= 0 else above  # the one nearer to 0
            assert form.spacing(at.item()) == pytest.approx((above - below).item(), rel=1e-6)


def test_the_ocp_e2m1_numbers():
    form = number_format("fp4_e2m1")  # as table 5 of the OCP microscaling standard has them
    positive = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    assert form.values().tolist() == [-v for v in positive[::-1]] + [0.0] + positive
    assert form.round(torch.tensor([100.0, -5.0])).tolist() == [6.0, -4.0]


def test_integers_and_codebooks():
    int8, nf4 = number_format("int8"), number_format("nf4")
    assert int8.values().tolist() == list(range(-128, 128))
    assert int8.round(torch.tensor([0.5, 1.5, -200.0, 300.0])).tolist() == [0, 2, -128, 127]
    assert (int8.smallest, int8.smallest_subnormal, int8.spacing(5.0)) == (1.0, 1.0, 1.0)
    assert number_format("int4").values().tolist() == list(range(-8, 8))
    assert torch.equal(nf4.values(), codebooks.nf4().values)
    assert nf4.smallest == nf4.smallest_subnormal == pytest.approx(0.0795803)
    assert nf4.round(torch.tensor([5.0, math.nan])).isnan().tolist() == [False, True]


def test_bad_input_is_one_line():
    with pytest.raises(AdaptlabError, match="unknown number format 'fp61'; did you mean"):
        number_format("fp61")
    with pytest.raises(AdaptlabError, match="fp32 has 2\\^32 values"):
        number_format("fp32").values()
    for x in (1e6, math.nan):
        with pytest.raises(AdaptlabError, match="fp16 goes up to 65504"):
            number_format("fp16").spacing(x)
    for name in ("int4", "nf4", "fp4_e2m1"):
        with pytest.raises(AdaptlabError, match=f"{name} cannot store a NaN"):
            number_format(name).bits(math.nan)
