"""How loss falls as a model grows: a power law, its exponent, and how sure the exponent is.

    L(N) = A / N^alpha          a straight line of log L against log N (Kaplan et al., 2020)
    L(N) = E + A / N^alpha      E: the loss that no size removes (Hoffmann et al., 2022)

Five to eight points decide little. A straight line through them has an R^2 near 1 whether or not
the law is a power law; a fitted E takes one more number from as few points, and trades off
against the exponent, so that its interval is wide. An interval says how sure the exponent is if
the law has the form that was fitted, over the sizes that were measured; beyond them it says
nothing. Hoffmann et al.'s own intervals were later found too narrow (Besiroglu et al., 2024).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from scipy.optimize import brentq, minimize_scalar, nnls
from scipy.stats import f as f_distribution

from adaptlab.errors import AdaptlabError
from adaptlab.records import Score

LEVEL = 0.95
STEEPEST = 4.0  # exponents of language models are below 1; a bound for the search
FLATTEST = 1e-4


def training_flops(parameters: float, tokens: float) -> float:
    """C = 6 N D: operations to train N parameters on D tokens (Kaplan et al., 2020, section 2.1).

    A multiply and an add for each parameter and token going forward, twice that going back.
    Left out: attention's q k^T and p v, which use no parameters and add about context / (12 width)
    of it (1.4% for GPT-3, 17% for a width of 128 and a context of 256), norms, softmax, the
    optimiser's step, and what is computed again to save memory. Token and position tables are
    looked up, not multiplied; a head, tied or not, is. Kaplan's N leaves out the embeddings.
    """
    return 6 * parameters * tokens


def inference_flops(parameters: float, tokens: float) -> float:
    """2 N D: operations to read or write D tokens, the forward part of `training_flops`.

    With a cache of keys and values; without one, each new token costs its whole context again.
    """
    return 2 * parameters * tokens


@dataclass(frozen=True)
class PowerLaw:
    """A fitted loss(n) = irreducible + coefficient / n^exponent."""

    exponent: float
    low: float  # of the exponent's 95% interval
    high: float  # infinite where the data set no upper end
    coefficient: float
    irreducible: float  # nats a token, or whatever the losses were in; 0 where none was fitted
    r_squared: float  # of the log losses
    points: int  # the number of sizes

    def predict(self, n: float | np.ndarray) -> float | np.ndarray:
        """The loss at a size n, in parameters or FLOPs as in the fit. No interval: see above."""
        return self.irreducible + self.coefficient / np.asarray(n, dtype=float) ** self.exponent

    @property
    def score(self) -> Score:
        """The exponent with its interval, for a record."""
        return Score(self.exponent, self.low, self.high, self.points, "exponent")

    def __str__(self) -> str:
        floor = f"{self.irreducible:.3g} + " if self.irreducible else ""
        law = f"loss = {floor}{self.coefficient:.3g} / n^{self.exponent:.3f}"
        return f"{law}, exponent in [{self.low:.3f}, {self.high:.3f}], {self.points} points"


def fit_power_law(
    sizes: Sequence[float], losses: Sequence[float] | np.ndarray, irreducible: bool = False
) -> PowerLaw:
    """The power law of the losses in the sizes, with a 95% interval of its exponent.

    sizes: (sizes,) parameters, tokens or FLOPs. losses: (sizes,), or (seeds, sizes) of several
        runs, whose logs are averaged: a size is one point, however many seeds it has.
    irreducible: also fit a loss E >= 0 that no size removes.

    The unit is the size, not the run, on purpose. What all seeds of a size share, a bend that the
    law does not have, is in no spread between seeds; counting runs as independent, or drawing
    three seeds again in a bootstrap, would report that the bend is not there. Seeds still narrow
    the interval, by making the points scatter less.
    Without E: regression of log loss on log size, Student's t with sizes - 2 degrees of freedom;
    right at any number of points if the logs scatter evenly and normally about the line.
    With E: least squares of relative errors, and all exponents that an F test with 1 and
    sizes - 3 degrees of freedom does not reject. The interval need not be symmetric, and may have
    no upper end; it is approximate, for the law is not linear in the exponent.

    Raises AdaptlabError with fewer than 3 different sizes (4 with E), for numbers that are not
    positive, and for shapes that do not match.
    """
    n, loss = _checked(sizes, losses, 4 if irreducible else 3)
    return _with_floor(n, loss) if irreducible else _straight_line(n, loss)


def _checked(
    sizes: Sequence[float], losses: Sequence[float] | np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (K,) and the geometric mean over seeds of the losses (K,)."""
    n, runs = np.asarray(sizes, dtype=float), np.atleast_2d(np.asarray(losses, dtype=float))
    if n.ndim != 1 or runs.ndim != 2 or runs.shape[1] != n.size:
        raise AdaptlabError(
            f"sizes of shape {n.shape} need losses (sizes,) or (seeds, sizes), not {runs.shape}"
        )
    if len(np.unique(n)) < least:
        raise AdaptlabError(f"{len(np.unique(n))} different sizes; the fit needs at least {least}")
    positive = np.isfinite(n) & (n > 0)
    if not positive.all() or not (np.isfinite(runs) & (runs > 0)).all():
        raise AdaptlabError("sizes and losses must be positive numbers")
    return n, np.exp(np.log(runs).mean(0))


def _straight_line(n: np.ndarray, loss: np.ndarray) -> PowerLaw:
    """log L = log A - alpha log N by ordinary least squares."""
    fit = sm.OLS(np.log(loss), sm.add_constant(np.log(n))).fit()
    (intercept, slope), (low, high) = fit.params, fit.conf_int(1 - LEVEL)[1]
    law = (float(-slope), float(-high), float(-low), float(np.exp(intercept)), 0.0)
    return PowerLaw(*law, _r_squared(loss, np.exp(fit.fittedvalues)), len(n))


def _with_floor(n: np.ndarray, loss: np.ndarray) -> PowerLaw:
    """L = E + A / N^alpha: for a given alpha a linear fit, so only alpha has to be searched."""
    scale = np.exp(np.log(n).mean())  # sizes near 1, for numbers that a solver can weigh

    def linear(exponent: float) -> tuple[np.ndarray, float]:
        """E and A, neither negative, and the sum of squared relative errors."""
        columns = np.stack([np.ones_like(n), (n / scale) ** -exponent], 1)  # (K, 2)
        floor_and_fall, error = nnls(columns / loss[:, None], np.ones_like(n))
        return floor_and_fall, error**2

    def misfit(log_exponent: float) -> float:
        return linear(np.exp(log_exponent))[1]

    grid = np.linspace(np.log(FLATTEST), np.log(STEEPEST), 60)
    start = int(np.argmin([misfit(point) for point in grid]))
    around = grid[max(start - 1, 0)], grid[min(start + 1, len(grid) - 1)]
    best = minimize_scalar(misfit, bounds=around, method="bounded", options={"xatol": 1e-9}).x
    (floor, fall), error = linear(np.exp(best))
    low, high = _not_rejected(misfit, best, error, len(n))
    exponent = float(np.exp(best))
    predicted = floor + fall * (n / scale) ** -exponent
    law = (exponent, low, high, float(fall * scale**exponent), float(floor))
    return PowerLaw(*law, _r_squared(loss, predicted), len(n))


def _not_rejected(
    misfit: Callable[[float], float], best: float, error: float, points: int
) -> tuple[float, float]:
    """The exponents around the best whose misfit an F test does not tell from the best one's."""
    freedom = points - 3
    allowed = error * (1 + f_distribution.ppf(LEVEL, 1, freedom) / freedom) + 1e-24

    def excess(log_exponent: float) -> float:
        return misfit(log_exponent) - allowed

    bottom, top = np.log(FLATTEST), np.log(STEEPEST)
    low = 0.0 if excess(bottom) <= 0 else float(np.exp(brentq(excess, bottom, best)))
    high = np.inf if excess(top) <= 0 else float(np.exp(brentq(excess, best, top)))
    return low, high


def _r_squared(loss: np.ndarray, predicted: np.ndarray) -> float:
    """The share of the variance of the log losses that the law accounts for."""
    logs = np.log(loss)
    spread = np.sum((logs - logs.mean()) ** 2)
    return float(1 - np.sum((logs - np.log(predicted)) ** 2) / spread) if spread > 1e-20 else 0.0
