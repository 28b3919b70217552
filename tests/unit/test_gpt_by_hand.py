"""The backward written by hand against autograd, and own optimisers against torch's."""

from dataclasses import asdict, fields, replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.gpt import by_hand
from adaptlab.gpt.attention import View
from adaptlab.gpt.by_hand import BlockWeights, block_backward, block_forward, weights_of
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.model import GPT
from adaptlab.gpt.optimisers import Adam, AdamW, bias_correction, sgd_step


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours, theirs) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def by_autograd(function, *tensors: torch.Tensor, dy: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Autograd's gradients of sum(dy * function(...)) with respect to each tensor."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    return torch.autograd.grad(function(*leaves), leaves, dy)


def random_weights(width: int, mlp_width: int, seed: int = 0) -> BlockWeights:
    shapes = {
        "qkv": (3 * width, width),
        "qkv_bias": (3 * width,),
        "output": (width, width),
        "up": (mlp_width, width),
        "up_bias": (mlp_width,),
        "down": (width, mlp_width),
    }
    names = [field.name for field in fields(BlockWeights)]
    drawn = {
        name: normal(*shapes.get(name, (width,)), seed=100 * seed + number)
        for number, name in enumerate(names)
    }
    return BlockWeights(**drawn)


def torch_block(x, heads, **w):
    """The same block from torch's own functions, for autograd to differentiate."""
    width = x.shape[-1:]
    a = F.layer_norm(x, width, w["norm1_gain"], w["norm1_shift"])
    q, k, v = F.linear(a, w["qkv"], w["qkv_bias"]).chunk(3, -1)
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    read = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
    h = x + F.linear(read, w["output"], w["output_bias"])
    m = F.layer_norm(h, width, w["norm2_gain"], w["norm2_shift"])
    hidden = F.gelu(F.linear(m, w["up"], w["up_bias"]), approximate="tanh")
    return h + F.linear(hidden, w["down"], w["down_bias"])


def test_linear():
    x, weight, bias, dy = normal(2, 3, 5), normal(4, 5), normal(4), normal(2, 3, 4, seed=1)
    close(by_hand.linear(x, weight, bias), F.linear(x, weight, bias))
    close(by_hand.linear_backward(dy, x, weight), by_autograd(F.linear, x, weight, bias, dy=dy))


def test_layer_norm():
    x, gain, shift, dy = 3 * normal(2, 3, 5) + 1, normal(5), normal(5, seed=2), normal(2, 3, 5)

    def reference(x, gain, shift):
        return F.layer_norm(x, (5,), gain, shift)

    y, saved = by_hand.layer_norm(x, gain, shift)
    close(y, reference(x, gain, shift))
    gradients = by_hand.layer_norm_backward(dy, gain, saved)
    close(gradients, by_autograd(reference, x, gain, shift, dy=dy))
    close(gradients[0].sum(-1), torch.zeros(2, 3, dtype=torch.float64))  # none along a shift


def test_softmax_and_gelu():
    x, dy = 5 * normal(3, 7), normal(3, 7, seed=1)
    p = by_hand.softmax(x)
    close(p, x.softmax(-1))
    close(by_hand.softmax(1e4 * x), (1e4 * x).softmax(-1))  # no overflow
    close((by_hand.softmax_backward(dy, p),), by_autograd(lambda x: x.softmax(-1), x, dy=dy))

    def reference(x):
        return F.gelu(x, approximate="tanh")

    close(by_hand.gelu(x), reference(x))
    close((by_hand.gelu_backward(dy, x),), by_autograd(reference, x, dy=dy))


def test_attention():
    q, k, v, dy = (normal(2, 3, 6, 4, seed=seed) for seed in range(4))

    def reference(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    y, p = by_hand.attention(q, k, v)
    close(y, reference(q, k, v))
    assert p.triu(1).count_nonzero() == 0, "no attention to the future"
    close(by_hand.attention_backward(dy, q, k, v, p), by_autograd(reference, q, k, v, dy=dy))


def test_cross_entropy():
    logits, targets = 3 * normal(2, 5, 11), torch.arange(10).reshape(2, 5)

    def reference(logits):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    close(by_hand.cross_entropy(logits, targets), reference(logits))
    ours = by_hand.cross_entropy_backward(logits, targets)
    close((ours,), by_autograd(reference, logits, dy=torch.tensor(1.0, dtype=torch.float64)))


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    tokens=st.integers(1, 6),
    heads=st.integers(1, 3),
    head_width=st.integers(2, 4),
    mlp_width=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_a_block_equals_autograd(batch, tokens, heads, head_width, mlp_width, seed):
    width = heads * head_width
    weights = random_weights(width, mlp_width, seed)
    x = normal(batch, tokens, width, seed=seed + 1)
    dy = normal(batch, tokens, width, seed=seed + 2)
    names = [field.name for field in fields(BlockWeights)]

    def reference(x, *tensors):
        return torch_block(x, heads, **dict(zip(names, tensors, strict=True)))

    y, saved = block_forward(x, weights, heads)
    dx, gradients = block_backward(dy, saved)
    tensors = [getattr(weights, name) for name in names]
    ours = (dx, *(getattr(gradients, name) for name in names))
    theirs = by_autograd(reference, x, *tensors, dy=dy)
    close(y, reference(x, *tensors))
    scale = max(1.0, *(float(t.abs().max()) for t in theirs))
    for mine, other in zip(ours, theirs, strict=True):  # a sum may cancel: relative to the whole
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12 * scale)


def test_a_block_of_our_gpt_equals_autograd():
    config = GPTConfig(vocab_size=5, context_length=8, layers=1, heads=2, width=6)
    block, view = GPT(config).double().blocks[0], View(None, True, None, None)
    x, dy = normal(2, 4, 6).requires_grad_(), normal(2, 4, 6, seed=1)
    y, saved = block_forward(x, weights_of(block), config.heads)
    close(y, block(x, view).detach())
    dx, gradients = block_backward(dy, saved)
    theirs = torch.autograd.grad(block(x, view), [x, *block.parameters()], dy)
    close((dx, *(getattr(gradients, field.name) for field in fields(gradients))), theirs)


@pytest.mark.parametrize(
    "parts",
    [
        {"norm": "rms", "mlp": "swiglu", "bias": False},
        {"norm": "rms", "mlp": "swiglu"},  # as many tensors as GPT-2's block has
        {"positions": "rotary", "width": 8},
        {"causal": False},
        {"kv_heads": 1},
    ],
)
def test_a_block_of_other_parts_is_refused(parts):
    config = GPTConfig(vocab_size=5, context_length=8, layers=1, heads=2, width=6)
    with pytest.raises(AdaptlabError, match="LayerNorm"):
        weights_of(GPT(replace(config, **parts)).blocks[0])


def test_a_block_equals_finite_differences():
    """Nothing of torch's derivatives: the slope of the loss along random directions."""
    weights, x, dy = random_weights(6, 8), normal(1, 4, 6), normal(1, 4, 6, seed=1)
    dx, gradients = block_backward(dy, block_forward(x, weights, 2)[1])
    direction, small = random_weights(6, 8, seed=3), 1e-6
    dx_direction = normal(1, 4, 6, seed=4)

    def loss(distance):
        moved = {
            name: value + distance * getattr(direction, name)
            for name, value in asdict(weights).items()
        }
        y, _ = block_forward(x + distance * dx_direction, BlockWeights(**moved), 2)
        return (dy * y).sum()

    measured = (loss(small) - loss(-small)) / (2 * small)
    expected = (dx * dx_direction).sum() + sum(
        (value * getattr(direction, name)).sum() for name, value in asdict(gradients).items()
    )
    assert measured == pytest.approx(float(expected), rel=1e-6)


def test_autograd_takes_no_part():
    weights = random_weights(4, 5)
    x = normal(1, 3, 4).requires_grad_()
    y, saved = block_forward(x, weights, 2)
    assert not y.requires_grad
    assert not block_backward(y, saved)[0].requires_grad


def test_heads_must_divide_the_width():
    with pytest.raises(AdaptlabError, match="width 5 does not split into 2 heads"):
        block_forward(normal(1, 2, 5), random_weights(5, 4), 2)


def problem():
    """A small least-squares problem: its parameters, and what gives their gradients."""
    inputs, wanted = normal(20, 4), normal(20, 3, seed=1)

    def gradients(parameters):
        residual = inputs @ parameters[0] + parameters[1] - wanted  # (20, 3)
        return [inputs.T @ residual / 20, residual.mean(0)]

    return [normal(4, 3, seed=2), normal(3, seed=3)], gradients


def run(make, steps: int = 100) -> list[torch.Tensor]:
    """Where `steps` steps lead; `make` gives a function of the gradients that steps."""
    parameters, gradients = problem()
    step = make(parameters)
    for _ in range(steps):
        step(gradients(parameters))
    return parameters


def stepped_by_torch(optimiser, **settings):
    def make(parameters):
        reference = optimiser(parameters, **settings)

        def step(gradients):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            reference.step()

        return step

    return make


def test_sgd_equals_torch():
    ours = run(lambda parameters: lambda gradients: sgd_step(parameters, gradients, 0.1))
    theirs = run(stepped_by_torch(torch.optim.SGD, lr=0.1))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_adam_equals_torch():
    ours = run(lambda parameters: Adam(parameters, 0.02).step)
    theirs = run(stepped_by_torch(torch.optim.Adam, lr=0.02))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_adamw_equals_torch_and_is_not_adam_with_l2():
    ours = run(lambda parameters: AdamW(parameters, 0.02, (0.9, 0.95), decay=0.1).step)
    chosen = {"lr": 0.02, "betas": (0.9, 0.95), "weight_decay": 0.1}
    theirs = run(stepped_by_torch(torch.optim.AdamW, **chosen))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    coupled = run(stepped_by_torch(torch.optim.Adam, **chosen))
    assert not torch.allclose(ours[0], coupled[0], rtol=1e-3)


def test_the_lectures_bias_correction_is_another_algorithm():
    """Without the power: equal at step 1, up to twice as long, in the end 0.32 times as long."""

    def without_power(beta, step):
        return 1 - beta

    def stepped(steps, **settings):
        return run(lambda parameters: Adam(parameters, 0.02, **settings).step, steps)[0]

    torch.testing.assert_close(stepped(1), stepped(1, correction=without_power))
    assert (stepped(100) - stepped(100, correction=without_power)).abs().max() > 0.1

    def length(step):  # of the lecture's step, against the right one
        right, wrong = ([f(0.9, step), f(0.999, step)] for f in (bias_correction, without_power))
        return right[0] / right[1] ** 0.5 / (wrong[0] / wrong[1] ** 0.5)

    assert max(range(1, 200), key=length) == 12
    assert length(12) == pytest.approx(2.1, abs=0.05)
    assert length(105) > 1 > length(106)
    assert length(10_000) == pytest.approx(0.32, abs=0.005)


def test_own_optimiser_takes_autograds_gradients():
    parameter = normal(3).requires_grad_()
    (parameter**2).sum().backward()
    before = parameter.detach().clone()
    Adam([parameter], 0.1).step([parameter.grad])
    first = before - 0.1 * before.sign()  # the first step is the rate, signed
    torch.testing.assert_close(parameter.detach(), first, rtol=1e-7, atol=1e-7)


def test_gradients_must_match_the_parameters():
    parameter = normal(3)
    before = parameter.clone()
    for step in (
        Adam([parameter]).step,
        AdamW([parameter]).step,
        lambda gradients: sgd_step([parameter], gradients, 0.1),
    ):
        for bad in ([], [normal(4)], [None]):
            with pytest.raises(AdaptlabError, match="one gradient of its own shape"):
                step(bad)
    close(parameter, before)
