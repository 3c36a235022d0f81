"""Is the best parameter set a peak or a plateau: what its neighbours reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from quantlab.research.space import Trials

__all__ = ["PLATEAU", "Neighbourhood", "neighbourhood"]

PLATEAU = 0.5
"""Part of the best trial's lead over the median trial that its median neighbour must keep, for a plateau."""


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What the neighbours of one trial reach.

    Parameters
    ----------
    verdict : {"plateau", "peak", "alone", "flat"}
        "plateau" where `retained` is at least 0.5, "peak" below, "alone" without neighbours, and "flat" where the
        trial leads the median trial by nothing.
    retained : float
        (median of the neighbours - median of all trials) / (the trial - median of all trials): 1 where the neighbours
        are as good as the trial, 0 where they are like any other. NaN for "alone" and "flat".
    retained_worst : float
        The same for the worst neighbour.
    value, median, worst : float
        The metric of the trial, and among its neighbours.
    table_median : float
        Its median over all trials.
    percentile_of_median, percentile_of_worst : float
        Share of all trials that are no better than the median and the worst neighbour.
    rows : ndarray of shape (n_neighbours,)
        The neighbours' trial numbers.
    n_failed : int
        Neighbours without a value; each counts as the worst of all trials.
    kind : {"steps", "nearest"}
        Whether neighbours are one step away in one parameter, or, where values were drawn and no grid is there, the
        nearest trials.
    """

    verdict: str
    retained: float
    retained_worst: float
    value: float
    median: float
    worst: float
    table_median: float
    percentile_of_median: float
    percentile_of_worst: float
    rows: NDArray[np.int64]
    n_failed: int
    kind: str

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold (NaN becomes None)."""
        plain = {k: v for k, v in vars(self).items() if k != "rows"}
        plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in plain.items()}
        return {**plain, "rows": self.rows.tolist(), "n_neighbours": len(self.rows)}


def neighbourhood(
    trials: Trials, values: ArrayLike, trial: int, *, smaller_is_better: bool = False
) -> Neighbourhood:
    """Compare one trial with its neighbours.

    Parameters
    ----------
    trials : Trials
        The parameter sets.
    values : array_like of shape (n_trials,)
        The metric of each; NaN for trials that failed.
    trial : int
        Whose neighbours; usually the best.
    smaller_is_better : bool
        Whether a small value is the good one.

    Returns
    -------
    Neighbourhood

    Raises
    ------
    DataError
        For values of another length, and a trial whose own is not finite.
    ParameterError
        For a trial that does not exist.

    Notes
    -----
    A neighbour differs by one step in one parameter, in the order of that parameter's numbers; parameters that are no
    numbers are held. If a set has no such neighbour because values were drawn at random, the 2 x (number of numeric
    parameters) nearest trials are taken, by the largest difference of the parameters' ranks.

    A plateau is needed and proves nothing: neighbours trade nearly the same, so that luck makes plateaus too.
    """
    metric = np.asarray(values, np.float64)
    if metric.shape != (len(trials),):
        raise DataError(f"values have shape {metric.shape}; one for each of {len(trials)} trials is needed.")
    if not 0 <= trial < len(trials):
        raise ParameterError(f"trial {trial} does not exist; there are {len(trials)}, from 0.")
    if not math.isfinite(metric[trial]):
        raise DataError(
            f"trial {trial} has the value {metric[trial]}, beside which no other can be measured."
        )
    score = -metric if smaller_is_better else metric
    finite = score[np.isfinite(score)]
    rows, kind = _neighbours(trials, trial)
    found = np.where(np.isfinite(score[rows]), score[rows], finite.min())
    failed = int((~np.isfinite(score[rows])).sum())
    median = float(np.median(found)) if len(rows) else math.nan
    worst = float(found.min()) if len(rows) else math.nan
    middle, own = float(np.median(finite)), float(score[trial])
    lead = own - middle
    leads = lead > 1e-12 * max(abs(own), abs(middle))
    retained, retained_worst = (
        ((x - middle) / lead if leads and len(rows) else math.nan) for x in (median, worst)
    )
    sign = -1.0 if smaller_is_better else 1.0
    return Neighbourhood(
        verdict=_verdict(retained, n=len(rows), leads=leads),
        retained=retained,
        retained_worst=retained_worst,
        value=sign * own,
        median=sign * median,
        worst=sign * worst,
        table_median=sign * middle,
        percentile_of_median=float((finite <= median).mean()) if len(rows) else math.nan,
        percentile_of_worst=float((finite <= worst).mean()) if len(rows) else math.nan,
        rows=rows,
        n_failed=failed,
        kind=kind,
    )


def _verdict(retained: float, *, n: int, leads: bool) -> str:
    if not n:
        return "alone"
    if not leads:
        return "flat"
    return "plateau" if retained >= PLATEAU else "peak"


def _neighbours(trials: Trials, trial: int) -> tuple[NDArray[np.int64], str]:
    """Find the neighbours of a trial, and how they were found."""
    numeric = [k for k, values in enumerate(trials.values) if len(values) > 1 and _are_numbers(values)]
    held = [k for k in range(len(trials.values)) if k not in numeric]
    codes = trials.codes
    same = np.ones(len(trials), np.bool_)
    for k in held:
        same &= codes[:, k] == codes[trial, k]
    away = np.zeros(len(trials))
    steps = np.zeros(len(trials), np.int64)
    for k in numeric:
        rank = np.argsort(np.argsort(np.array(trials.values[k], np.float64)))[codes[:, k]]
        apart = np.abs(rank - rank[trial])
        steps += apart
        away = np.maximum(away, apart / (len(trials.values[k]) - 1))
    rows = np.flatnonzero(same & (steps == 1))
    if len(rows) or not _drawn(trials, numeric):
        return rows, "steps"
    others = np.flatnonzero(same & (steps > 0))
    nearest = others[np.argsort(away[others], kind="stable")[: 2 * len(numeric)]]
    return np.sort(nearest), "nearest"


def _are_numbers(values: tuple[Any, ...]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _drawn(trials: Trials, numeric: list[int]) -> bool:
    """Whether the trials are too few for the grid of their values: then they were drawn, or listed."""
    size = math.prod(len(trials.values[k]) for k in numeric)
    return bool(numeric) and len(trials) < size
