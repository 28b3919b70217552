"""One GPT-2 block, forward and backward, written from its equations; autograd takes no part.

    x ---------------------.      dx = dh + what comes back through attention and norm1
    | norm1 -> attention   |       ^
    + <--------------------'       |
    h ---------------------.      dh = dy + what comes back through the MLP and norm2
    | norm2 -> MLP         |       ^
    + <--------------------'       |
    y                             dy

Backpropagation is the chain rule, walked from the output to the input (Rumelhart, Hinton and
Williams, 1986). Each `..._backward` takes dy, the gradient of the loss with respect to what its
forward returned, and what the forward saved; it returns the gradients with respect to what the
forward took. A gradient has the shape of the thing it belongs to.

Letters: B sequences, T tokens, D width, M width of the MLP, H heads, W = D / H width of a head,
V vocabulary.
"""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor, nn

from adaptlab.errors import AdaptlabError


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """y = x W^T + b.

    x: (..., I). weight: (O, I). bias: (O,). Returns (..., O).
    """
    return x @ weight.T + bias


def linear_backward(dy: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dx = dy W, dW = sum of dy^T x over the rows, db = sum of dy over the rows.

    Every token passed through the same weights, so its contribution is summed.
    dy: (..., O). x: (..., I). weight: (O, I). Returns dx (..., I), dW (O, I), db (O,).
    """
    rows_dy = dy.reshape(-1, dy.shape[-1])  # (N, O)
    rows_x = x.reshape(-1, x.shape[-1])  # (N, I)
    return dy @ weight, rows_dy.T @ rows_x, rows_dy.sum(0)


def layer_norm(
    x: Tensor, gain: Tensor, shift: Tensor, epsilon: float = 1e-5
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """n = (x - mean) / sqrt(variance + epsilon) over the last axis; y = gain n + shift.

    Ba, Kiros and Hinton (2016); the variance divides by D, not by D - 1.
    x: (..., D). gain, shift: (D,). Returns y (..., D), and n with 1 / sqrt(...) for the backward.
    """
    centred = x - x.mean(-1, keepdim=True)  # (..., D)
    inverse = (centred.square().mean(-1, keepdim=True) + epsilon).rsqrt()  # (..., 1)
    normalised = centred * inverse  # (..., D)
    return gain * normalised + shift, (normalised, inverse)


def layer_norm_backward(
    dy: Tensor, gain: Tensor, saved: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """dx = (dn - mean(dn) - n mean(dn n)) / sqrt(variance + epsilon), where dn = dy gain.

    The two means are what dn loses: neither a shift of x nor a stretch of it changes n, so the
    gradient has no part along either.
    dy: (..., D). Returns dx (..., D), dgain (D,), dshift (D,).
    """
    normalised, inverse = saved
    dn = dy * gain  # (..., D)
    along_shift = dn.mean(-1, keepdim=True)  # (..., 1)
    along_stretch = (dn * normalised).mean(-1, keepdim=True)  # (..., 1)
    dx = inverse * (dn - along_shift - normalised * along_stretch)
    rows = tuple(range(dy.ndim - 1))  # every axis but the last
    return dx, (dy * normalised).sum(rows), dy.sum(rows)


def softmax(scores: Tensor) -> Tensor:
    """p_i = exp(s_i) / sum of exp(s_j), over the last axis.

    The largest score is taken off first: p does not change, and exp cannot overflow.
    """
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def softmax_backward(dp: Tensor, p: Tensor) -> Tensor:
    """ds_i = p_i (dp_i - sum of p_j dp_j), from dp_i / ds_j = p_i ((i = j) - p_j).

    What has probability 0, such as a masked place, gets gradient 0.
    """
    return p * (dp - (p * dp).sum(-1, keepdim=True))


def gelu(x: Tensor) -> Tensor:
    """y = x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).

    The approximation that GPT-2 uses of x times the normal distribution function
    (Hendrycks and Gimpel, 2016).
    """
    return 0.5 * x * (1 + torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))


def gelu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """dx = dy [(1 + tanh u) / 2 + x (1 - tanh^2 u) u' / 2], u' = sqrt(2 / pi) (1 + 0.134145 x^2).

    The product rule on x times (1 + tanh u) / 2; 0.134145 is 3 times 0.044715.
    """
    tanh = torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))
    slope = sqrt(2 / pi) * (1 + 3 * 0.044715 * x**2)
    return dy * (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * slope)


def attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """p = softmax(q k^T / sqrt(W)) with the future masked; y = p v.

    Vaswani et al. (2017), equation 1. q, k, v: (B, H, T, W).
    Returns y (B, H, T, W), and the attention p (B, H, T, T) for the backward.
    """
    scores = q @ k.mT / sqrt(q.shape[-1])  # (B, H, T, T)
    future = torch.ones_like(scores, dtype=torch.bool).triu(1)
    p = softmax(scores.masked_fill(future, float("-inf")))
    return p @ v, p


def attention_backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, p: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """dv = p^T dy, dp = dy v^T, ds = softmax_backward(dp, p) / sqrt(W), dq = ds k, dk = ds^T q.

    dy, q, k, v: (B, H, T, W). p: (B, H, T, T). Returns dq, dk, dv, (B, H, T, W) each.
    """
    dv = p.mT @ dy  # (B, H, T, W)
    dp = dy @ v.mT  # (B, H, T, T)
    ds = softmax_backward(dp, p) / sqrt(q.shape[-1])  # (B, H, T, T)
    return ds @ k, ds.mT @ q, dv


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean of -log softmax(logits) at the targets, in nats a token.

    logits: (..., V). targets: (...), integers in [0, V). Returns a scalar.
    """
    log_p = logits - logits.logsumexp(-1, keepdim=True)  # (..., V)
    return -log_p.gather(-1, targets[..., None]).mean()


def cross_entropy_backward(logits: Tensor, targets: Tensor) -> Tensor:
    """dlogits = (softmax(logits) - onehot(targets)) / number of tokens: guess minus truth.

    logits: (..., V). targets: (...). Returns (..., V).
    """
    truth = torch.zeros_like(logits).scatter(-1, targets[..., None], 1.0)
    return (softmax(logits) - truth) / targets.numel()


@dataclass(frozen=True)
class BlockWeights:
    """What a block learns; its gradients come in the same form. Matrices are (out, in)."""

    norm1_gain: Tensor  # (D,)
    norm1_shift: Tensor  # (D,)
    qkv: Tensor  # (3 D, D): queries, keys, values, one below the other
    qkv_bias: Tensor  # (3 D,)
    output: Tensor  # (D, D)
    output_bias: Tensor  # (D,)
    norm2_gain: Tensor  # (D,)
    norm2_shift: Tensor  # (D,)
    up: Tensor  # (M, D)
    up_bias: Tensor  # (M,)
    down: Tensor  # (D, M)
    down_bias: Tensor  # (D,)


def weights_of(block: nn.Module) -> BlockWeights:
    """The weights of a block of `adaptlab.gpt.model`, shared with it, not copied.

    Raises AdaptlabError for a block of other parts than GPT-2's.
    """
    c = block.attention.config
    parts = (c.norm, c.mlp, c.bias, c.causal, c.kv_heads, c.norm_epsilon)
    if parts != ("layer", "gelu", True, True, c.heads, 1e-5) or c.positions == "rotary":
        raise AdaptlabError("only a block with LayerNorm, a GELU MLP and biases is worked by hand")
    return BlockWeights(*(weight.detach() for weight in block.parameters()))


@dataclass(frozen=True)
class Saved:
    """What the backward of a block needs from its forward: the activations kept in memory."""

    weights: BlockWeights
    norm1: tuple[Tensor, Tensor]
    a: Tensor  # (B, T, D), what the attention read
    q: Tensor  # (B, H, T, W), as are k and v
    k: Tensor
    v: Tensor
    p: Tensor  # (B, H, T, T)
    joined: Tensor  # (B, T, D), the heads side by side
    norm2: tuple[Tensor, Tensor]
    m: Tensor  # (B, T, D), what the MLP read
    hidden: Tensor  # (B, T, M), before GELU
    active: Tensor  # (B, T, M), after GELU


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) to (B, H, T, W): head h reads columns h W to (h + 1) W.

    Raises AdaptlabError if the width is not a multiple of the number of heads.
    """
    if x.shape[-1] % heads:
        raise AdaptlabError(f"width {x.shape[-1]} does not split into {heads} heads")
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, H, T, W) to (B, T, D): the way back."""
    return x.transpose(1, 2).flatten(2)


@torch.no_grad()
def block_forward(x: Tensor, weights: BlockWeights, heads: int) -> tuple[Tensor, Saved]:
    """h = x + attention(norm1(x)); y = h + mlp(norm2(h)).

    x: (B, T, D). Returns y (B, T, D), and what the backward needs.
    Raises AdaptlabError if the width is not a multiple of the number of heads.
    """
    w = weights
    a, norm1 = layer_norm(x, w.norm1_gain, w.norm1_shift)  # (B, T, D)
    q, k, v = (split_heads(part, heads) for part in linear(a, w.qkv, w.qkv_bias).chunk(3, -1))
    read, p = attention(q, k, v)  # (B, H, T, W), (B, H, T, T)
    joined = join_heads(read)  # (B, T, D)
    h = x + linear(joined, w.output, w.output_bias)  # (B, T, D)
    m, norm2 = layer_norm(h, w.norm2_gain, w.norm2_shift)  # (B, T, D)
    hidden = linear(m, w.up, w.up_bias)  # (B, T, M)
    active = gelu(hidden)
    y = h + linear(active, w.down, w.down_bias)  # (B, T, D)
    return y, Saved(w, norm1, a, q, k, v, p, joined, norm2, m, hidden, active)


@torch.no_grad()
def block_backward(dy: Tensor, saved: Saved) -> tuple[Tensor, BlockWeights]:
    """The forward read from its last line to its first.

    At each residual, h = x + f(x), the gradient arrives twice: straight, and through f; hence
    dx = dh + ... The straight way is why deep stacks of blocks can be trained.
    dy: (B, T, D). Returns dx (B, T, D), and the gradients of the weights.
    """
    s, w = saved, saved.weights
    d_active, down, down_bias = linear_backward(dy, s.active, w.down)  # (B, T, M)
    d_hidden = gelu_backward(d_active, s.hidden)  # (B, T, M)
    dm, up, up_bias = linear_backward(d_hidden, s.m, w.up)  # (B, T, D)
    through, gain2, shift2 = layer_norm_backward(dm, w.norm2_gain, s.norm2)
    dh = dy + through  # (B, T, D)
    d_joined, output, output_bias = linear_backward(dh, s.joined, w.output)  # (B, T, D)
    d_read = split_heads(d_joined, s.q.shape[1])  # (B, H, T, W)
    parts = attention_backward(d_read, s.q, s.k, s.v, s.p)
    d_qkv = torch.cat([join_heads(part) for part in parts], -1)  # (B, T, 3 D)
    da, qkv, qkv_bias = linear_backward(d_qkv, s.a, w.qkv)  # (B, T, D)
    through, gain1, shift1 = layer_norm_backward(da, w.norm1_gain, s.norm1)
    dx = dh + through  # (B, T, D)
    first = (gain1, shift1, qkv, qkv_bias, output, output_bias)
    second = (gain2, shift2, up, up_bias, down, down_bias)
    return dx, BlockWeights(*first, *second)
