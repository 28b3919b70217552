"""How much of a weight's update a matrix of low rank holds: the assumption behind LoRA, tested.

    W after - W before = U S V^T      S: singular values, the largest first

    energy in the first r:  (s_1^2 + ... + s_r^2) / (s_1^2 + ... + s_n^2)

No matrix of rank r comes nearer to the update than the first r terms (Eckart and Young, 1936).
"""

import numpy as np
import torch

from adaptlab.errors import AdaptlabError


def energy(update: torch.Tensor) -> np.ndarray:
    """The share of the update's squares in its r largest singular values, for r = 1, 2, ...

    update: (out, in). Returns (min(out, in),), rising to 1. Raises AdaptlabError for an update
    that is zero or not finite.
    """
    squares = _gram(update)[0].flip(0).clamp(min=0)  # the largest first
    return (squares.cumsum(0) / squares.sum()).cpu().numpy()


def nearest(update: torch.Tensor, rank: int) -> torch.Tensor:
    """The matrix of this rank that is nearest to the update, (out, in), in the update's format.

    Rank 0 gives zeros. Raises AdaptlabError for a rank below 0, or an update as in `energy`.
    """
    if rank < 0:
        raise AdaptlabError(f"a rank is 0 or more, not {rank}")
    _, vectors = _gram(update)
    first = vectors[:, vectors.shape[1] - min(rank, vectors.shape[1]) :]  # (short side, rank)
    wide = update.double()
    near = first @ (first.T @ wide) if _is_flat(update) else (wide @ first) @ first.T
    return near.to(update.dtype)


def rank_for(share: float, energies: np.ndarray) -> int:
    """The least rank that holds so large a share of the energy."""
    return int(np.searchsorted(energies, share - 1e-12)) + 1


def _gram(update: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared singular values, rising, and the singular vectors of the shorter side as columns.

    From the product of the matrix with itself: several times as fast as its SVD. In float64 the
    squaring costs nothing that matters here.
    """
    wide = update.detach().double()
    if not wide.isfinite().all() or not wide.any():
        raise AdaptlabError("an update that is zero or not finite has no spectrum")
    return torch.linalg.eigh(wide @ wide.T if _is_flat(update) else wide.T @ wide)


def _is_flat(update: torch.Tensor) -> bool:
    return len(update) <= update.shape[1]
