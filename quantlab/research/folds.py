"""What walk-forward and cross-validation share: the bars and options of a study, its trials, and one fold of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import Wish, backtest, wish_of
from quantlab.kernels.stats import RETURN_NOISE, STATS, VARIANCE_NOISE
from quantlab.levels import stitched_orders

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.result import Result
    from quantlab.research.space import Trials
    from quantlab.research.splits import Split
    from quantlab.strategy import Strategy

__all__ = ["MOMENT_METRICS", "Fold", "Study", "best_of", "moment_stats", "nothing_chosen"]

MOMENT_METRICS = ("sharpe", "mean_return")
"""Statistics of any set of bars that follow from sums of returns and of their squares, both annual."""


@dataclass(frozen=True, eq=False)
class Study:
    """One strategy on one set of bars: what every fold has in common.

    Parameters
    ----------
    strategy : Strategy
        Whose trials they are; with or without a fit.
    bars : Bars
        All bars, those before the first simulated one included.
    rows : slice
        Rows that are split; what precedes them is warm-up.
    trials : Trials
        Parameter sets that are tried in every fold.
    metric : str
        Statistic by which a trial is chosen.
    smaller : bool
        Whether less of it is better.
    options : mapping
        cash, costs, sizing, account, fill, benchmark and risk_free, as in `backtest`.
    sweeping : mapping
        workers, max_memory, cluster and progress, as in `sweep`.
    measured : tuple of str
        Statistics that a fold has.
    """

    strategy: Strategy
    bars: Bars
    rows: slice
    trials: Trials
    metric: str
    smaller: bool
    options: Mapping[str, Any]
    sweeping: Mapping[str, Any]
    measured: tuple[str, ...] = STATS

    @property
    def n_bars(self) -> int:
        """Number of bars that are split."""
        return int(self.rows.stop - self.rows.start)

    @property
    def risk_free(self) -> float:
        """Return of one bar without risk."""
        return float(self.options["risk_free"]) / self.bars.bars_per_year

    def window(self, start: int, stop: int) -> dict[str, Any]:
        """Options ``start`` and ``end`` that simulate the rows from `start` up to `stop`."""
        import pandas as pd

        first, last = (pd.Timestamp(int(self.bars.time[k]), tz="UTC") for k in (start, stop - 1))
        return {"start": first, "end": last}

    def training_bars(self, split: Split) -> Bars:
        """Bars of all training spans, joined."""
        return self.bars.take(np.concatenate([np.arange(*span) for span in split.train]))

    def run(self, strategy: Any, start: int, stop: int, params: Mapping[str, Any] | None = None) -> Result:
        """Backtest a strategy or a target over the rows from `start` up to `stop`."""
        return backtest(strategy, self.bars, params, **self.options, **self.window(start, stop))

    def target(self, strategy: Strategy, params: Mapping[str, Any], start: int, stop: int) -> Wish:
        """Find what is wanted in the rows from `start` up to `stop`; later bars are not seen."""
        seen = self.bars if stop == self.bars.n_bars else self.bars.take(slice(0, stop))
        wish, _, _ = wish_of(strategy, seen, params)
        return wish.rows(slice(start, stop))

    def stitched(self, pieces: Iterable[tuple[int, int, Wish | None]]) -> Result:
        """Run what is wanted in adjacent spans as one: positions carry over, at the cost of the orders of changes.

        Parameters
        ----------
        pieces : iterable of (int, int, Wish or None)
            Start and stop of each span, rising and adjacent, and what is wanted there; None is flat.

        Raises
        ------
        StrategyError
            If the orders inside the bar of two spans are of different kinds.
        """
        whole = np.zeros(self.bars.shape)
        spans, inside = [], []
        for start, stop, wish in pieces:
            spans.append((start, stop))
            if wish is not None:
                whole[start:stop] = wish.target
                inside.append((start, stop, wish.inside))
        return self.run(Wish(whole, stitched_orders(inside, self.bars.n_bars)), spans[0][0], spans[-1][1])


@dataclass(frozen=True, eq=False)
class Fold:
    """One split: what was chosen on its training bars, and what that came to.

    Parameters
    ----------
    split : Split
        Rows of all bars.
    trial : int
        Number of the chosen trial, -1 if none could be chosen.
    params : dict
        Its complete parameter set; empty if there is none.
    strategy : Strategy or None
        What runs in the test: the strategy, with its model if it is fitted.
    n_trials : int
        Trials that gave a value of the metric in the training.
    inside, outside : dict of str to float
        Statistics in the training and in the test.
    error : str or None
        Why nothing was chosen, or why the test failed.
    """

    split: Split
    trial: int = -1
    params: dict[str, Any] = field(default_factory=dict)
    strategy: Strategy | None = None
    n_trials: int = 0
    inside: dict[str, float] = field(default_factory=dict)
    outside: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    def failed(self, error: str) -> Fold:
        """Return the same fold, which stays flat because of `error`."""
        return replace(self, strategy=None, outside={}, error=error)


def best_of(values: NDArray[np.float64]) -> int:
    """Give the number of the largest value, the first of equals; -1 if all are NaN."""
    return -1 if np.isnan(values).all() else int(np.nanargmax(values))


def nothing_chosen(metric: str, n_trials: int, errors: Mapping[int, str]) -> str:
    """Say why no trial of a training could be chosen; `errors` holds the message of each that failed."""
    text = f"none of {n_trials} trials has a {metric} in the training"
    if errors:
        return f"{text}; {len(errors)} failed, the first with: {errors[min(errors)]}"
    return f"{text}: they never traded, or were ruined"


def moment_stats(
    moments: NDArray[np.float64],
    edges: NDArray[np.int64],
    mask: NDArray[np.bool_],
    *,
    risk_free: float,
    bars_per_year: float,
) -> dict[str, NDArray[np.float64]]:
    """Statistics over some parts of a run, by the names of `MOMENT_METRICS`.

    Parameters
    ----------
    moments : ndarray of shape (n_trials, n_parts, 2)
        Sum and sum of squares of the bar returns in each part; NaN for a trial that failed.
    edges : ndarray of shape (n_parts + 1,)
        Bars at which the parts begin, and the end.
    mask : ndarray of bool of shape (n_parts,)
        Parts that count.
    risk_free : float
        Return of one bar without risk.
    bars_per_year : float
        Bars a year.

    Returns
    -------
    dict of str to ndarray of shape (n_trials,)
        ``sharpe`` by the formula of docs/statistics.md, NaN for a constant or fewer than two bars; ``mean_return``,
        the mean bar return times bars a year.
    """
    n = float(np.diff(edges)[mask].sum())
    # Sums and squares lie side by side; so one product adds up both, and copies neither.
    weights = np.zeros((len(mask), 2, 2))
    weights[mask] = np.eye(2)
    total, squares = (moments.reshape(len(moments), -1) @ weights.reshape(-1, 2)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, second = total / n, squares / n
        variance = second - mean * mean
        steady = variance <= np.maximum(VARIANCE_NOISE * second, RETURN_NOISE**2)
        deviation = np.sqrt(np.where(steady, np.nan, variance) * n / (n - 1.0))
        sharpe = (mean - risk_free) / deviation * np.sqrt(bars_per_year)
    return {"sharpe": sharpe, "mean_return": mean * bars_per_year}
