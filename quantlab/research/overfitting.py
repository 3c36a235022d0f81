"""What the best of many trials is worth: Sharpe ratios deflated by the number of tries, and what tells luck from skill.

Sharpe ratios are those of one observation, not annual; kurtosis is not in excess, so the normal has 3.
docs/overfitting.md states every formula with its source.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from quantlab.errors import DataError, ParameterError
from quantlab.research.cscv import Cscv, cscv, pbo_of_moments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Cscv",
    "cscv",
    "deflated_sharpe",
    "effective_trials",
    "expected_max_sharpe",
    "min_track_record_length",
    "pbo",
    "pbo_of_moments",
    "psr",
    "sharpe_variance",
]

NORMAL = NormalDist()

SAME = 0.8
"""Mean correlation from which two clusters of trials count as one; docs/overfitting.md measures what it leads to."""

MOST_TRIALS = 4096
"""Trials that are clustered at most: the matrix of their correlations has the square of it."""


# -- one Sharpe ratio --------------------------------------------------------------------------------------


def psr(sharpe: float, benchmark: float = 0.0, *, n_obs: int, skew: float, kurtosis: float) -> float:
    """Probabilistic Sharpe ratio: how probable it is that the true Sharpe ratio is above `benchmark`.

    Parameters
    ----------
    sharpe, benchmark : float
        Estimated Sharpe ratio and the one to beat, per observation.
    n_obs : int
        Observations that the estimate is of; 2 or more.
    skew, kurtosis : float
        Of the returns; kurtosis not in excess.

    Returns
    -------
    float
        In [0, 1]; NaN where an argument is NaN, or the moments leave no variance for the estimate.

    Raises
    ------
    ParameterError
        For fewer than 2 observations, and a kurtosis below 1, which no returns have.

    Notes
    -----
    Φ((s − s*) √(n − 1) / √(1 − skew s + (kurtosis − 1)/4 s²)): Bailey and López de Prado (2012), "The Sharpe ratio
    efficient frontier", Journal of Risk 15(2).
    """
    if not n_obs >= 2:  # also NaN
        raise ParameterError(f"n_obs is {n_obs!r}; a Sharpe ratio needs 2 observations or more.")
    variance = _estimate_variance(sharpe, skew, kurtosis)
    if not variance > 0.0 or math.isnan(benchmark):
        return math.nan
    return _normal_cdf((sharpe - benchmark) * math.sqrt((n_obs - 1) / variance))


def min_track_record_length(
    sharpe: float, benchmark: float = 0.0, *, skew: float, kurtosis: float, confidence: float = 0.95
) -> float:
    """Observations after which a Sharpe ratio would be above `benchmark` with this confidence.

    Parameters
    ----------
    sharpe, benchmark, skew, kurtosis : float
        As in `psr`.
    confidence : float
        Probability that is asked for, in (0.5, 1).

    Returns
    -------
    float
        Number of observations, not rounded; infinite if `sharpe` is not above `benchmark`, NaN where an argument is.

    Raises
    ------
    ParameterError
        For a confidence outside (0.5, 1), and a kurtosis below 1.

    Notes
    -----
    1 + (1 − skew s + (kurtosis − 1)/4 s²) (z / (s − s*))², z the normal quantile of the confidence: Bailey and López
    de Prado (2012), eq. 11 solved for n.
    """
    if not 0.5 < confidence < 1.0:
        raise ParameterError(f"confidence is {confidence!r}; a probability above 0.5 and below 1 is needed.")
    variance = _estimate_variance(sharpe, skew, kurtosis)
    if math.isnan(variance) or math.isnan(benchmark):
        return math.nan
    if sharpe <= benchmark:
        return math.inf
    return 1.0 + variance * (NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def _estimate_variance(sharpe: float, skew: float, kurtosis: float) -> float:
    """Variance of an estimated Sharpe ratio times the number of observations less one."""
    if kurtosis < 1.0:
        raise ParameterError(
            f"kurtosis is {kurtosis!r}; it is never below 1 when it is not in excess (the normal has 3): add 3 to an "
            "excess kurtosis."
        )
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


# -- the best of many --------------------------------------------------------------------------------------


def expected_max_sharpe(n_trials: float, trials_variance: float) -> float:
    """Sharpe ratio that the best of so many trials without skill is expected to show.

    Parameters
    ----------
    n_trials : float
        Independent trials, 1 or more; the number may be an effective one, with a fraction.
    trials_variance : float
        Variance of the Sharpe ratios over the trials, per observation.

    Returns
    -------
    float
        Per observation, 0 or more; 0 for one trial, NaN where an argument is.

    Raises
    ------
    ParameterError
        For fewer than 1 trial or a negative variance.

    Notes
    -----
    √V ((1 − γ) Φ⁻¹(1 − 1/N) + γ Φ⁻¹(1 − 1/(N e))), γ the Euler-Mascheroni constant: Bailey and López de Prado
    (2014), "The deflated Sharpe ratio", Journal of Portfolio Management 40(5). The formula is for many trials; below
    two it would fall under 0 and is held there.
    """
    if n_trials < 1.0:
        raise ParameterError(f"n_trials is {n_trials!r}; 1 or more is needed.")
    if trials_variance < 0.0:
        raise ParameterError(
            f"trials_variance is {trials_variance!r}; a variance is 0 or more (it is not the deviation)."
        )
    if math.isnan(n_trials) or math.isnan(trials_variance):
        return math.nan
    chance = 1.0 / n_trials
    if chance == 1.0:
        return 0.0
    # Quantiles of the upper tail, by symmetry: 1 - 1/N would round to 1 for very many trials.
    high = -NORMAL.inv_cdf(chance)
    higher = -NORMAL.inv_cdf(chance / math.e)
    most = (1.0 - float(np.euler_gamma)) * high + float(np.euler_gamma) * higher
    return math.sqrt(trials_variance) * max(most, 0.0)


def deflated_sharpe(
    sharpe: float,
    *,
    n_obs: int,
    skew: float,
    kurtosis: float,
    n_trials: float,
    trials_variance: float,
) -> float:
    """Deflated Sharpe ratio: how probable it is that the true Sharpe ratio beats the best of as many lucky trials.

    Parameters
    ----------
    sharpe : float
        The best trial's, per observation.
    n_obs, skew, kurtosis
        Of the best trial's returns, as in `psr`.
    n_trials, trials_variance
        As in `expected_max_sharpe`.

    Returns
    -------
    float
        `psr` against `expected_max_sharpe`, in [0, 1]; NaN where an argument is.

    Raises
    ------
    ParameterError
        As the two functions do.

    Notes
    -----
    Bailey and López de Prado (2014). With one trial it is the probabilistic Sharpe ratio against 0.

    Examples
    --------
    An annual Sharpe ratio of 2.5 over five years of 250 days, the best of 100 trials:

    >>> from quantlab.research.overfitting import deflated_sharpe
    >>> round(deflated_sharpe(2.5 / 250**0.5, n_obs=1250, skew=-3, kurtosis=10, n_trials=100,
    ...                       trials_variance=0.5 / 250), 4)
    0.9004
    """
    noise = expected_max_sharpe(n_trials, trials_variance)
    return psr(sharpe, noise, n_obs=n_obs, skew=skew, kurtosis=kurtosis)


def sharpe_variance(sharpes: ArrayLike, n_obs: int) -> float:
    """Variance of the Sharpe ratios of trials, for `deflated_sharpe`; at least that of one estimate without skill.

    Parameters
    ----------
    sharpes : array_like of shape (n_trials,)
        Per observation; NaN and infinite ones are left out.
    n_obs : int
        Observations that each is of; 2 or more.

    Returns
    -------
    float
        Sample variance over the trials (ddof = 1), or 1 / (n_obs − 1) if that is more.

    Raises
    ------
    ParameterError
        For fewer than 2 observations.

    Notes
    -----
    Trials that are alike rise and fall together: what they have in common is luck as well, and no variance among
    them shows it. The least that the Sharpe ratio of any one of them varies from history to history is 1 / (n − 1)
    (Lo, 2002, at a true ratio of 0).
    """
    if not n_obs >= 2:
        raise ParameterError(f"n_obs is {n_obs!r}; a Sharpe ratio needs 2 observations or more.")
    known = np.asarray(sharpes, np.float64)
    known = known[np.isfinite(known)]
    among = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    return max(among, 1.0 / (n_obs - 1))


def pbo(returns: ArrayLike, blocks: int = 16) -> float:
    """Probability of backtest overfitting: how often the best of one half of time is no better than most in the other.

    Parameters
    ----------
    returns : array_like of shape (n_obs, n_trials)
        Returns of each trial. Trials with a NaN and those whose returns are constant are left out.
    blocks : int
        Blocks of time, an even number from 2 to 24; they differ by one observation at most.

    Returns
    -------
    float
        In [0, 1]; `cscv` gives what is behind it.

    Raises
    ------
    ParameterError
        For a number of blocks that is odd or out of range.
    DataError
        For returns that are no matrix, have fewer observations than blocks, or leave fewer than 2 trials.

    Notes
    -----
    Combinatorially symmetric cross-validation by Sharpe ratio: Bailey, Borwein, López de Prado and Zhu (2017), "The
    probability of backtest overfitting", Journal of Computational Finance 20(4). A logit of 0 counts as overfit.
    """
    return cscv(returns, blocks).pbo


# -- how many trials there really are ----------------------------------------------------------------------


def effective_trials(returns: ArrayLike, n_trials: int | None = None, *, correlation: float = SAME) -> float:
    """Count the different ideas among trials whose returns are alike.

    Parameters
    ----------
    returns : array_like of shape (n_obs, n_trials)
        Returns of each trial, or of a random sample of the trials. Constant columns and those with a NaN never trade
        or never ran: they count as no trial.
    n_trials : int, optional
        Trials that the sample was drawn from, without replacement; default: the columns are all there are.
    correlation : float
        Mean correlation from which two clusters count as one, in (0, 1).

    Returns
    -------
    float
        From 1 to the number of trials.

    Raises
    ------
    DataError
        For returns that are no matrix, or too many columns to cluster.
    ParameterError
        For a correlation outside (0, 1), and fewer trials than the sample has.
    MissingExtraError
        Without scipy.

    Notes
    -----
    In the manner of López de Prado and Lewis (2019), "Detection of false investment strategies using unsupervised
    learning methods", Quantitative Finance 19(9): trials are clustered by the distance √((1 − ρ)/2) of their
    correlation, and the clusters are counted. Theirs chooses the number of clusters by silhouettes; the parameters of
    one strategy shade into each other, where silhouettes prefer two or three big clusters and so deflate too
    little. Here average linkage is cut at the distance of `correlation`.

    A sample misses rare clusters. With f1 clusters seen once and f2 seen twice in n of N trials, f1² / (2 f2 n/(n − 1)
    + f1 q/(1 − q)) more are expected, q = n/N: Chao and Lin (2012), Biometrics 68(3). Trials that are all different
    then count as N, and copies of few as few.
    """
    if not 0.0 < correlation < 1.0:
        raise ParameterError(f"correlation is {correlation!r}; a number above 0 and below 1 is needed.")
    matrix = np.asarray(returns, np.float64)
    if matrix.ndim != 2:
        raise DataError(f"returns have shape {matrix.shape}; (n_obs, n_trials) is needed.")
    n_sample = matrix.shape[1]
    total = n_sample if n_trials is None else n_trials
    if total < n_sample:
        raise ParameterError(f"n_trials is {n_trials}, fewer than the {n_sample} columns of the sample.")
    moving = _moving(matrix)
    n_moving = moving.shape[1]
    if n_moving > MOST_TRIALS:
        raise DataError(
            f"{n_moving} trials are too many to cluster; give a random sample of at most {MOST_TRIALS} and n_trials."
        )
    if n_moving < 2:
        return 1.0
    sizes = np.bincount(_clusters(moving, correlation))
    sizes = sizes[sizes > 0]
    share = n_sample / total
    once, twice = int((sizes == 1).sum()), int((sizes == 2).sum())
    unseen = 0.0
    if share < 1.0 and once:
        unseen = once**2 / (2.0 * twice * n_moving / (n_moving - 1) + once * share / (1.0 - share))
    return float(min(len(sizes) + unseen, n_moving / share))


def _moving(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns that are finite and not constant, scaled to a mean of 0 and a length of 1."""
    with np.errstate(invalid="ignore"):
        centred = matrix - matrix.mean(axis=0)
        length = np.sqrt((centred * centred).sum(axis=0))
        scale = np.sqrt((matrix * matrix).sum(axis=0))
    kept = np.isfinite(length) & (length > 1e-7 * scale)
    return np.asarray(centred[:, kept] / length[kept])


def _clusters(unit: NDArray[np.float64], correlation: float) -> NDArray[np.int64]:
    """Cluster of each column."""
    from quantlab.research.extras import load_scipy

    load_scipy("clustering trials")
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    rho = np.clip(unit.T @ unit, -1.0, 1.0)
    distance = np.sqrt((1.0 - rho) / 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    return np.asarray(fcluster(tree, math.sqrt((1.0 - correlation) / 2.0), "distance"), np.int64)
