"""Power-law fits against laws that are known, and how often their intervals hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress
from scipy.stats import t as student

from adaptlab.errors import AdaptlabError
from adaptlab.gpt.scaling import fit_power_law, inference_flops, training_flops
from adaptlab.gpt.sizes import SIZES

SIX = np.geomspace(1e5, 1e8, 6)


@settings(max_examples=50, deadline=None)
@given(exponent=st.floats(0.02, 1.0), coefficient=st.floats(0.1, 1e3), points=st.integers(3, 9))
def test_an_exact_law_is_found(exponent, coefficient, points):
    sizes = np.geomspace(1e4, 1e9, points)
    law = fit_power_law(sizes, coefficient / sizes**exponent)
    assert law.exponent == pytest.approx(exponent, rel=1e-6)
    assert law.coefficient == pytest.approx(coefficient, rel=1e-5)
    assert (law.irreducible, law.points) == (0, points)
    assert law.r_squared == pytest.approx(1)
    assert law.high - law.low < 1e-6
    assert law.predict(1e10) == pytest.approx(coefficient / 1e10**exponent, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(exponent=st.floats(0.1, 0.8), floor=st.floats(0.5, 2.5), fall=st.floats(0.5, 4))
def test_an_exact_law_with_a_floor_is_found(exponent, floor, fall):
    losses = floor + fall * (SIX / 1e5) ** -exponent
    law = fit_power_law(SIX, losses, irreducible=True)
    assert law.exponent == pytest.approx(exponent, rel=1e-3)
    assert law.irreducible == pytest.approx(floor, rel=1e-2)
    np.testing.assert_allclose(law.predict(SIX), losses, rtol=1e-6)
    assert law.low <= law.exponent <= law.high


def test_hoffmanns_law_in_its_own_numbers():
    """Hoffmann et al. (2022): E = 1.69, A = 406.4, alpha = 0.34, at unlimited data."""
    sizes = np.geomspace(44e6, 16e9, 8)
    law = fit_power_law(sizes, 1.69 + 406.4 / sizes**0.34, irreducible=True)
    found = (law.irreducible, law.coefficient, law.exponent)
    assert found == pytest.approx((1.69, 406.4, 0.34), rel=1e-3)


def test_the_interval_is_students():
    losses = 20 * SIX**-0.08 * np.exp(0.01 * np.array([1, -2, 0, 1, 2, -1]))
    law, line = fit_power_law(SIX, losses), linregress(np.log(SIX), np.log(losses))
    half = student.ppf(0.975, 4) * line.stderr
    assert law.exponent == pytest.approx(-line.slope)
    assert (law.low, law.high) == pytest.approx((-line.slope - half, -line.slope + half))
    assert law.r_squared == pytest.approx(line.rvalue**2)


def covered(draws: int, seeds: int, floor: float, noise: float, points: int = 6) -> float:
    """How often the interval holds 0.3, the true exponent, over many noisy draws."""
    draw, sizes, held = np.random.default_rng(7), np.geomspace(1e5, 1e8, points), 0
    truth = floor + 2 * (sizes / 1e5) ** -0.3
    for _ in range(draws):
        losses = truth * np.exp(noise * draw.normal(size=(seeds, points)))
        law = fit_power_law(sizes, losses, irreducible=floor > 0)
        held += law.low <= 0.3 <= law.high
    return held / draws


@pytest.mark.parametrize(("seeds", "points"), [(1, 5), (1, 8), (3, 5)])
def test_the_interval_covers(seeds, points):
    """600 draws: 95% give or take three standard errors."""
    share = covered(600, seeds, 0, 0.05, points)
    assert share == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 600) ** 0.5)


def test_the_interval_with_a_floor_covers():
    assert covered(200, 1, 1.5, 0.01) == pytest.approx(0.95, abs=0.05)


def test_noise_may_leave_the_exponent_open():
    draw = np.random.default_rng(0)
    losses = (1.5 + 2 * (SIX[:5] / 1e5) ** -0.3) * np.exp(0.1 * draw.normal(size=5))
    law = fit_power_law(SIX[:5], losses, irreducible=True)
    assert law.low == 0 or law.high == np.inf or law.high - law.low > 0.3


def test_a_bend_that_all_seeds_share_is_not_averaged_away():
    """Runs as independent points would say that they are surer the more seeds there are."""
    bent = 1.5 + 2 * (SIX / 1e5) ** -0.3
    one = fit_power_law(SIX, bent)
    many = fit_power_law(SIX, np.tile(bent, (10, 1)))
    assert (many.low, many.high) == pytest.approx((one.low, one.high))
    assert one.exponent < 0.2, "a floor makes a straight line flatter than the law"
    assert one.r_squared > 0.95, "and R^2 does not tell"


def test_seeds_narrow_the_interval():
    draw, widths = np.random.default_rng(5), {1: [], 8: []}
    for seeds, found in widths.items():
        for _ in range(40):
            losses = 20 * SIX**-0.08 * np.exp(0.02 * draw.normal(size=(seeds, 6)))
            law = fit_power_law(SIX, losses)
            found.append(law.high - law.low)
    assert np.mean(widths[8]) < 0.5 * np.mean(widths[1])


def test_losses_that_do_not_fall_are_no_law():
    flat = fit_power_law(SIX, np.full(6, 2.0), irreducible=True)
    assert (flat.low, flat.high, flat.r_squared) == (0, np.inf, 0)
    rising = fit_power_law(SIX, SIX**0.1)
    assert rising.exponent == pytest.approx(-0.1)


def test_the_law_in_words():
    law = fit_power_law(SIX, 20 * SIX**-0.08)
    assert str(law) == "loss = 20 / n^0.080, exponent in [0.080, 0.080], 6 points"


@pytest.mark.parametrize(
    ("sizes", "losses", "irreducible", "message"),
    [
        ([1, 2], [2, 1], False, "2 different sizes; the fit needs at least 3"),
        ([1, 1, 2], [3, 2, 1], False, "2 different sizes"),
        ([1, 2, 3], [3, 2, 1], True, "at least 4"),
        ([0, 1, 2], [3, 2, 1], False, "positive"),
        ([1, 2, 3], [3, 2, -1], False, "positive"),
        ([1, 2, 3], [3, 2, float("nan")], False, "positive"),
        ([1, 2, 3], [3, 2], False, "losses"),
        ([[1, 2, 3]], [3, 2, 1], False, "losses"),
    ],
)
def test_bad_input_is_one_line(sizes, losses, irreducible, message):
    with pytest.raises(AdaptlabError, match=message) as raised:
        fit_power_law(sizes, losses, irreducible)
    assert "\n" not in str(raised.value)


def test_flops_of_gpt3():
    """Brown et al. (2020), table D.1: 300 billion tokens; what they print, to its digits."""
    printed = {
        "GPT-3 Small": 2.25e20,
        "GPT-3 Medium": 6.41e20,
        "GPT-3 Large": 1.37e21,
        "GPT-3 XL": 2.38e21,
        "GPT-3 2.7B": 4.77e21,
        "GPT-3 6.7B": 1.20e22,
        "GPT-3 13B": 2.31e22,
        "GPT-3 175B": 3.14e23,
    }
    for size in SIZES:
        if size.name in printed:
            computed = training_flops(size.computed, 300e9)
            assert computed == pytest.approx(printed[size.name], rel=0.005), size.name
    assert inference_flops(10, 7) * 3 == training_flops(10, 7) == 420
