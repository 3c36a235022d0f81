"""Is any of many trials better than the benchmark, or is the best merely the luckiest: reality check, SPA and StepM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, ParameterError
from quantlab.research.bootstrap import FEWEST_BARS, block_length, check_draws
from quantlab.research.extras import load_arch

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["RealityCheck", "coarsen", "reality_check"]

MOST_STEPS = 1_000
"""Steps of time that are resampled at most: longer series are summed over neighbouring bars first."""


@dataclass(frozen=True, eq=False)
class RealityCheck:
    """Tests that no trial is better than the benchmark, with all of them looked at together.

    Parameters
    ----------
    p_white : float
        White's reality check: how probable a best mean as high as this is if no trial were better.
    p_spa : float
        Hansen's test of superior predictive ability, consistent: means over their deviations, and hopeless trials
        do not count.
    p_spa_lower, p_spa_upper : float
        Its bounds.
    superior : tuple of int
        Columns that the stepwise test of Romano and Wolf finds better, all at once wrong with probability `size`.
    size : float
        Of that test.
    best : int
        Column of the highest mean.
    n_trials, n_resamples : int
        Trials that were compared, and resampled histories.
    block_length : float
        Mean length of the blocks, in steps of `bars_per_step` bars.
    bars_per_step : float
        Bars that were summed to one step.
    """

    p_white: float
    p_spa: float
    p_spa_lower: float
    p_spa_upper: float
    superior: tuple[int, ...]
    size: float
    best: int
    n_trials: int
    n_resamples: int
    block_length: float
    bars_per_step: float

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold."""
        found = {k: v for k, v in vars(self).items() if k != "superior"}
        return {**found, "superior": list(self.superior)}


def coarsen(returns: NDArray[np.float64], most: int = MOST_STEPS) -> NDArray[np.float64]:
    """Sum neighbouring bars so that at most so many steps are left; the mean over time keeps its proportions.

    Parameters
    ----------
    returns : ndarray of shape (n_bars, ...)
        Returns of bars.
    most : int
        Steps at most.

    Returns
    -------
    ndarray of shape (min(n_bars, most), ...)
        Sums over bars; their numbers differ by one at most.
    """
    n = len(returns)
    if n <= most:
        return returns
    return np.asarray(np.add.reduceat(returns, np.arange(most) * n // most, axis=0))


def reality_check(
    returns: ArrayLike,
    benchmark: ArrayLike | float = 0.0,
    *,
    n_resamples: int = 1_000,
    size: float = 0.05,
    length: float | None = None,
    seed: int = 0,
) -> RealityCheck:
    """Test that no trial has a higher mean return than the benchmark.

    Parameters
    ----------
    returns : array_like of shape (n_bars, n_trials)
        Bar returns of every trial that was tried, or of a sample with the best in it: the more are left out, the more
        the p-values flatter. Trials with a NaN are left out.
    benchmark : array_like of shape (n_bars,) or float
        Its bar returns, or one for all bars: 0 for cash.
    n_resamples : int
        Resampled histories, 100 or more.
    size : float
        Probability that the stepwise test names any trial wrongly, in (0, 0.5).
    length : float, optional
        Mean length of the blocks, in steps; default: the median of what the trials' excess returns ask for.
    seed : int
        Of everything drawn.

    Returns
    -------
    RealityCheck

    Raises
    ------
    DataError
        For shapes that do not fit, fewer than 20 bars, or no trial that differs from the benchmark.
    ParameterError
        For options out of range.
    MissingExtraError
        Without arch.

    Notes
    -----
    White (2000), "A reality check for data snooping", Econometrica 68(5); Hansen (2005), "A test for superior
    predictive ability", Journal of Business & Economic Statistics 23(4); Romano and Wolf (2005), "Stepwise multiple
    testing as formalized data snooping", Econometrica 73(4). By ``arch``, on losses that are returns with their
    sign turned, with the stationary bootstrap. A trial that is in the market half of the time seldom has the mean
    return of buying and holding, however good its timing: compare it with cash as well.
    """
    arch = load_arch("a reality check")
    check_draws("n_resamples", n_resamples)
    if not 0.0 < size < 0.5:
        raise ParameterError(f"size is {size!r}; a probability above 0 and below 0.5 is needed.")
    excess, columns = _excess(returns, benchmark)
    bars_per_step = len(np.asarray(returns)) / len(excess)
    if length is not None and not 1.0 <= length <= len(excess):
        raise ParameterError(f"length is {length!r}; from 1 to {len(excess)} steps are possible.")
    # Fifty trials say how long the market remembers as well as all of them.
    every = max(excess.shape[1] // 50, 1)
    chosen = max(round(block_length(excess[:, ::every]) if length is None else length), 1)

    def test(gains: NDArray[np.float64]) -> Any:
        run = arch.SPA(np.zeros(len(gains)), -gains, block_size=chosen, reps=n_resamples, seed=seed)
        run.compute()
        return run

    white = test(excess).pvalues
    # arch compares means as they are, also when it is asked to studentize: the columns are scaled here.
    studentized = test(excess / _deviation(excess, chosen))
    spa = studentized.pvalues
    superior = _superior(studentized, excess.shape[1], size)
    return RealityCheck(
        p_white=float(white["upper"]),
        p_spa=float(spa["consistent"]),
        p_spa_lower=float(spa["lower"]),
        p_spa_upper=float(spa["upper"]),
        superior=tuple(int(columns[k]) for k in superior),
        size=size,
        best=int(columns[np.argmax(excess.mean(axis=0))]),
        n_trials=excess.shape[1],
        n_resamples=int(n_resamples),
        block_length=float(chosen),
        bars_per_step=bars_per_step,
    )


def _superior(test: Any, n_trials: int, size: float) -> list[int]:
    """Step down: name what is better, leave it out, and test the rest, until nothing more is."""
    found: list[int] = []
    left = np.ones(n_trials, np.bool_)
    while left.any():
        test.subset(left.copy())
        test.compute()
        better = [int(k) for k in test.better_models(size) if left[k]]
        if not better:
            break
        found += better
        left[better] = False
    return sorted(found)


def _deviation(excess: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Deviation of each column's mean over stationary-bootstrap histories, times the root of their length."""
    n, stay = len(excess), 1.0 - 1.0 / length
    centred = excess - excess.mean(axis=0)
    own = (centred * centred).sum(axis=0)
    variance = own.copy()
    for lag in range(1, n):
        weight = (1.0 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
        if weight < 1e-9 and lag < n / 2:
            continue
        variance += 2.0 * weight * (centred[:-lag] * centred[lag:]).sum(axis=0)
    # The weights are those of a positive definite sequence up to rounding.
    return np.asarray(np.sqrt(np.maximum(variance, 1e-6 * own) / n))


def _excess(
    returns: ArrayLike, benchmark: ArrayLike | float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Subtract the benchmark; keep the trials that can be compared, in steps, and their columns."""
    matrix, other = np.asarray(returns, np.float64), np.asarray(benchmark, np.float64)
    if matrix.ndim != 2 or other.shape not in {(), (len(matrix),)}:
        raise DataError(
            f"returns have shape {matrix.shape} and the benchmark {other.shape}; (n_bars, n_trials) and (n_bars,) "
            "are needed."
        )
    if len(matrix) < FEWEST_BARS:
        raise DataError(f"{len(matrix)} bars cannot be resampled; {FEWEST_BARS} or more are needed.")
    if not np.isfinite(other).all():
        raise DataError("the benchmark has returns that are not finite.")
    steps = coarsen(matrix - (other[:, None] if other.ndim else other))
    scatter = steps.std(axis=0)
    with np.errstate(invalid="ignore"):
        kept = np.isfinite(scatter) & (scatter > 1e-12 * np.sqrt((steps * steps).mean(axis=0)))
    if not kept.any():
        raise DataError(
            f"none of {matrix.shape[1]} trials can be compared: each is constant beside the benchmark, or has NaN."
        )
    return steps[:, kept], np.flatnonzero(kept)
