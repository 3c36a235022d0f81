"""How far each statistic of a run would move in other histories of the same kind: bootstrap intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, ParameterError
from quantlab.research.extras import load_arch
from quantlab.research.pathstats import bar_statistics, trade_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.engine.result import Result

__all__ = ["Intervals", "block_length", "bootstrap_intervals", "check_draws"]

FEWEST_BARS = 20
"""Bars below which there is nothing to resample in blocks."""

FEWEST_TRADES = 5
"""Closed trades below which their statistics get no interval."""

CHUNK = 500_000
"""Numbers that are worked on together."""

MOST = 40_000_000
"""Resampled bars in all; of long runs fewer histories are drawn, and never fewer than `FEWEST_DRAWS`."""

FEWEST_DRAWS = 200


@dataclass(frozen=True, eq=False)
class Intervals:
    """Bootstrap intervals of the statistics of a run.

    Parameters
    ----------
    table : DataFrame
        One row a statistic: ``estimate``, ``low``, ``high`` and ``share_below_zero`` of the resampled values. NaN
        where a statistic is not defined in a twentieth of the resampled histories or more.
    block_length : float
        Mean length of the blocks, in bars.
    n_resamples : int
        Histories drawn.
    confidence : float
        Share of the resampled values between ``low`` and ``high``.
    """

    table: pd.DataFrame
    block_length: float
    n_resamples: int
    confidence: float

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold (NaN becomes None)."""
        rows = {
            str(name): {str(k): float(v) if math.isfinite(v) else None for k, v in row.items()}
            for name, row in self.table.iterrows()
        }
        return {
            "statistics": rows,
            "block_length": self.block_length,
            "n_resamples": self.n_resamples,
            "confidence": self.confidence,
        }


def check_draws(name: str, n: int, confidence: float = 0.95) -> None:
    """Check a number of draws and a confidence.

    Raises
    ------
    ParameterError
        For fewer than 100 draws, and a confidence outside (0, 1).
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 100:
        raise ParameterError(f"{name} is {n!r}; a whole number of 100 or more is needed.")
    if not 0.0 < confidence < 1.0:
        raise ParameterError(f"confidence is {confidence!r}; a number above 0 and below 1 is needed.")


def block_length(returns: NDArray[np.float64]) -> float:
    """Mean length of block for a stationary bootstrap of these returns, 1 or more.

    Parameters
    ----------
    returns : ndarray of shape (n_bars,) or (n_bars, n_series)
        Finite. Of several series the median of their lengths is taken; constant ones do not count.

    Returns
    -------
    float
        From 1 to a third of the bars.

    Raises
    ------
    MissingExtraError
        Without arch.

    Notes
    -----
    Politis and White (2004), with the correction of Patton, Politis and White (2009), by ``arch``.
    """
    arch = load_arch("a stationary bootstrap")
    columns = returns[:, None] if returns.ndim == 1 else returns
    columns = columns[:, np.ptp(columns, axis=0) > 0.0]
    if columns.shape[1] == 0:
        return 1.0
    with np.errstate(all="ignore"):
        lengths = arch.optimal_block_length(columns)["stationary"].to_numpy(np.float64)
    length = float(np.median(lengths[np.isfinite(lengths)])) if np.isfinite(lengths).any() else 1.0
    return min(max(length, 1.0), len(columns) / 3.0)


def bootstrap_intervals(
    result: Result,
    *,
    n_resamples: int = 1_000,
    confidence: float = 0.95,
    length: float | None = None,
    seed: int = 0,
) -> Intervals:
    """Percentile intervals of each statistic of a run that bars or trades give.

    Parameters
    ----------
    result : Result
        Of a run of 20 bars or more that was not ruined.
    n_resamples : int
        Histories to draw, 100 or more; of runs of more than 40,000 bars fewer are drawn, never below 200.
    confidence : float
        Share of the resampled values inside the interval.
    length : float, optional
        Mean length of the blocks, in bars; default: `block_length` of the returns.
    seed : int
        Of everything drawn.

    Returns
    -------
    Intervals

    Raises
    ------
    DataError
        For a run that is too short or was ruined.
    ParameterError
        For options out of range.
    MissingExtraError
        Without arch.

    Notes
    -----
    Stationary bootstrap (Politis and Romano, 1994): blocks of random length, geometric with mean `length`, of the bars'
    returns, with the benchmark's return, the exposure and the traded value of the same bars. Statistics of trades
    (win rate to Kelly) come from closed trades drawn one by one, with replacement. The interval holds the middle
    `confidence` of the resampled values. Neither knows a market that the history does not have.

    Money and counts (costs, orders, trades) have no interval.
    """
    import pandas as pd

    check_draws("n_resamples", n_resamples, confidence)
    if result.ruined_at is not None:
        raise DataError("a ruined run has no other histories: its returns end where equity was gone.")
    series = _series(result)
    n_bars = series.shape[1]
    if n_bars < FEWEST_BARS:
        raise DataError(f"the run has {n_bars} bars; a bootstrap needs {FEWEST_BARS} or more.")
    if length is not None and not 1.0 <= length <= n_bars:
        raise ParameterError(f"length is {length!r}; a number of bars from 1 to {n_bars} is needed.")
    chosen = block_length(series[0]) if length is None else float(length)
    draws = max(min(n_resamples, MOST // n_bars), min(n_resamples, FEWEST_DRAWS))
    terms = result.cash_start, result.settings["risk_free"] / result.bars_per_year, result.bars_per_year
    parts = [bar_statistics(series[:, places], *terms) for places in _stationary(n_bars, chosen, draws, seed)]
    values = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    trades = _trades(result)
    if trades.shape[1] >= FEWEST_TRADES:
        values |= _resampled_trades(trades, draws, seed)
    tail = (1.0 - confidence) / 2.0
    rows = {
        str(name): (float(estimate), *_interval(values[str(name)], tail))
        for name, estimate in result.stats.items()
        if str(name) in values
    }
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["estimate", "low", "high", "share_below_zero"], dtype=np.float64
    )
    return Intervals(table.rename_axis("statistic"), chosen, draws, confidence)


def _series(result: Result) -> NDArray[np.float64]:
    """Put together each bar's return, benchmark return, exposure and traded value over equity: (4, n_bars)."""
    import pandas as pd

    equity, benchmark = result.equity.to_numpy(), result.benchmark.to_numpy()
    cash = result.cash_start
    traded = np.zeros(len(equity))
    fills = result.fills
    size = {x.symbol: x.multiplier for x in result.bars.instruments}
    value = (fills["quantity"] * fills["price"]).abs() * fills["symbol"].map(size)
    np.add.at(traded, result.bars.index.get_indexer(pd.Index(fills["time"])), value.to_numpy(np.float64))
    return np.array(
        [
            result.returns.to_numpy(),
            benchmark / np.concatenate(([cash], benchmark[:-1])) - 1.0,
            result.exposure.to_numpy(),
            traded / equity,
        ]
    )


def _trades(result: Result) -> NDArray[np.float64]:
    """Profit, return and bars of each closed trade: shape (3, n_trades)."""
    trades = result.trades
    closed = trades[~trades["open"].to_numpy(np.bool_)]
    return closed[["pnl", "return_", "bars_held"]].to_numpy(np.float64).T


def _stationary(n_bars: int, length: float, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Places of the bars of resampled histories, a chunk of histories at a time."""
    arch = load_arch("a stationary bootstrap")
    drawer = arch.StationaryBootstrap(length, np.arange(n_bars), seed=np.random.default_rng(seed))
    at_once = max(CHUNK // n_bars, 1)
    rows: list[NDArray[np.int64]] = []
    for (places,), _ in drawer.bootstrap(draws):
        rows.append(places)
        if len(rows) == at_once:
            yield np.array(rows)
            rows = []
    if rows:
        yield np.array(rows)


def _resampled_trades(trades: NDArray[np.float64], draws: int, seed: int) -> dict[str, NDArray[np.float64]]:
    n = trades.shape[1]
    rng = np.random.default_rng([seed, n])
    parts = []
    for start in range(0, draws, max(CHUNK // n, 1)):
        rows = min(max(CHUNK // n, 1), draws - start)
        parts.append(trade_statistics(trades[:, rng.integers(0, n, (rows, n))]))
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def _interval(values: NDArray[np.float64], tail: float) -> tuple[float, float, float]:
    known = values[~np.isnan(values)]
    if len(known) <= 0.95 * len(values):
        return math.nan, math.nan, math.nan
    low, high = np.quantile(known, (tail, 1.0 - tail), method="nearest")
    return float(low), float(high), float((known < 0.0).mean())
