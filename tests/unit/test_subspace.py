"""Random subspaces: the projection against its matrix, the training against torch's Adam."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import subspace
from adaptlab.tuning.loop import fit
from adaptlab.tuning.subspace import Projection, RandomSubspace, d90
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import SHORT, labelled, toy

SHAPES = [(6, 4), (9,), (3, 8), ()]  # 58 weights


def parameters(shapes=SHAPES, dtype=torch.float64):
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in shapes]


def flat(tensors):
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 7), max_size=3), min_size=1, max_size=4),
    st.floats(0, 1), st.integers(1, 40),
)  # fmt: skip
def test_it_is_its_matrix_and_the_columns_are_orthonormal(shapes, share, at_once):
    weights = parameters(shapes)
    total = len(flat(weights))
    dimensions = 1 + round(share * (total - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subspace, "AT_ONCE", at_once)
        projection = Projection(weights, dimensions, seed=at_once)
        matrix = projection.dense()
        assert matrix.shape == (total, dimensions)
        eye = torch.eye(dimensions, dtype=matrix.dtype)
        torch.testing.assert_close(matrix.T @ matrix, eye)
        gradients = [torch.randn_like(weight) for weight in weights]
        torch.testing.assert_close(projection.down(gradients), matrix.T @ flat(gradients))
        numbers, before = torch.randn(dimensions, dtype=matrix.dtype), flat(weights)
        projection.add(numbers)
        torch.testing.assert_close(flat(weights), before + matrix @ numbers)


def test_a_weight_may_lie_in_memory_in_any_way():
    weights = [nn.Parameter(torch.randn(4, 6, dtype=torch.float64).t()), *parameters([(5,)])]
    projection, before = Projection(weights, 7, seed=0), flat(weights)
    numbers = torch.randn(7, dtype=torch.float64)
    projection.add(numbers)
    torch.testing.assert_close(flat(weights), before + projection.dense() @ numbers)
    assert projection.down([None, weights[1]]).shape == (7,)


def test_training_is_adam_on_the_numbers():
    weights = parameters()
    start, target = flat(weights), torch.linspace(-1, 1, 58, dtype=torch.float64)
    named = {str(i): weight for i, weight in enumerate(weights)}
    ours = RandomSubspace(10, seed=3)(named, 0.0)
    ours.param_groups[0]["lr"] *= 0.1
    matrix = ours.projection.dense()
    numbers = nn.Parameter(torch.zeros(10, dtype=torch.float64))
    adam = torch.optim.Adam([numbers], lr=0.1)
    for _ in range(20):
        ours.zero_grad()
        (torch.cat([w.reshape(-1) for w in weights]) - target).pow(4).sum().backward()
        ours.step()
        adam.zero_grad()
        (start + matrix @ numbers - target).pow(4).sum().backward()
        adam.step()
    torch.testing.assert_close(flat(weights), (start + matrix @ numbers).detach())
    torch.testing.assert_close(ours.numbers, numbers)


def test_what_was_learned_is_so_many_numbers(fp32, tmp_path):
    """Weights in float32: theta_0 + P x, from the numbers in a checkpoint alone."""
    file, trained = tmp_path / "run.pt", labelled()
    spec = RandomSubspace(50, seed=2)
    fit(trained, toy(), replace(SHORT, learning_rate=0.5), fp32, file=file, optimizer=spec)
    numbers = torch.load(file, weights_only=True)["optimizer"]["numbers"]
    assert numbers.shape == (50,)
    assert numbers.abs().max() > 0.1
    again = labelled()
    Projection(list(again.parameters()), 50, seed=2).add(numbers)
    torch.testing.assert_close(list(again.parameters()), list(trained.parameters()))


def test_more_dimensions_learn_more(fp32):
    recipe = replace(SHORT, epochs=15)

    def end(dimensions):
        spec, rate = RandomSubspace(dimensions), 1e-3 * math.sqrt(25_000 / dimensions)
        losses = fit(labelled(), toy(), replace(recipe, learning_rate=rate), fp32, optimizer=spec)
        return sum(losses.losses[-3:]) / 3

    few, many = end(2), end(2000)
    assert many < 0.3 < 0.5 < few


def test_on_average_it_is_a_multiple_of_the_identity():
    weights, dimensions, seeds = parameters([(5, 4), (4,)]), 6, range(2000)
    mean = sum(p @ p.T for p in (Projection(weights, dimensions, s).dense() for s in seeds))
    mean = mean / len(seeds)
    assert mean.trace().item() == pytest.approx(dimensions)
    # 24 weights counted mod 7: number 0 has those of 0 and of 6, and so twice as many as others.
    counts = torch.tensor([7, 4, 4, 3, 3, 3, 7])[torch.arange(24) % 7]
    torch.testing.assert_close(mean.diagonal(), 1 / counts.double())
    assert (mean - mean.diag().diag()).abs().max() < 0.05  # 5 standard errors


def test_lengths_are_kept_on_average():
    """Johnson and Lindenstrauss: |P^T v|^2 D / d is |v|^2, within sqrt(2 / d) or so."""
    weights, dimensions = parameters([(48, 64)], torch.float32), 512
    torch.manual_seed(1)
    ratios = []
    for seed in range(30):
        projection, vector = Projection(weights, dimensions, seed), torch.randn(48, 64)
        shrunk = projection.down([vector]).square().sum() * 3072 / dimensions
        ratios.append((shrunk / vector.square().sum()).item())
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.04)
    assert max(abs(ratio - 1) for ratio in ratios) < 5 * math.sqrt(2 / dimensions)


@pytest.mark.parametrize("dimensions", [2, 3, 16, 64, 96, 577, 1024, 1536])
@pytest.mark.parametrize("width", [576, 1536])
def test_a_column_or_row_spreads_over_the_numbers(dimensions, width):
    """d = 64 divides 576: counted mod d, a column of 600 weights would fall onto one number."""
    weights = [nn.Parameter(torch.zeros(600, width))]
    projection = Projection(weights, dimensions, seed=0)
    numbers = torch.arange(600 * width).view(600, width) % projection.period % dimensions
    for line in (numbers[:, 5], numbers[:, width - 1], numbers[7]):
        counts = line.bincount(minlength=dimensions)
        assert (counts > 0).sum() > 0.6 * min(dimensions, len(line))
        assert counts.max() <= 3 * math.ceil(len(line) / dimensions) + 1
    column = torch.zeros(600, width)
    column[:, 5] = 1
    energy = projection.down([column]).square()
    assert dimensions < 16 or energy.max() < 0.5 * energy.sum()


def test_the_seed_decides_the_signs():
    one, same, other = (Projection(parameters(), 7, seed).dense() for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(one.abs(), other.abs())


@pytest.mark.parametrize(
    ("dimensions", "decay", "message"),
    [
        (0, 0.0, "a subspace of 0 dimensions: it needs 1 or more"),
        (59, 0.0, "a subspace of 59 dimensions in 58 weights"),
        (5, 0.1, "weight decay leads out of the subspace"),
    ],
)
def test_bad_settings_are_one_line(dimensions, decay, message):
    named = {str(i): weight for i, weight in enumerate(parameters())}
    with pytest.raises(AdaptlabError, match=message) as caught:
        RandomSubspace(dimensions)(named, decay)
    assert "\n" not in str(caught.value)


def test_d90_is_the_least_that_reaches_90_percent():
    scores = {1000: 0.88, 10: 0.6, 100: 0.82, 1: 0.5}
    assert d90(scores, full=0.9) == 100  # 0.81
    assert d90(scores, full=0.9, floor=0.5) == 1000  # 0.86
    assert d90(scores, full=0.99) is None  # 0.891
    assert d90({10: 9.0}, full=10) == 10
    assert d90({}, full=1) is None
    with pytest.raises(AdaptlabError, match=r"reaches 0\.5, no more than the floor of 0\.5"):
        d90(scores, full=0.5, floor=0.5)
