"""Statistics of many histories at once: a row each, by the formulas of docs/statistics.md."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bar_statistics", "max_drawdown", "trade_statistics"]

PEAK_NOISE = 1e-12
"""Part by which equity may miss its peak and still be at it."""

NOISE = 1e-14
"""Deviation of returns below which they are constant but for rounding."""

TAIL = 0.05
"""Share of the worst bars in value at risk."""


def max_drawdown(growth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lowest equity over its running peak, less 1; the start counts as a peak.

    Parameters
    ----------
    growth : ndarray of shape (n_paths, n_steps)
        Equity over starting cash, not below 0.

    Returns
    -------
    ndarray of shape (n_paths,)
        In [-1, 0].
    """
    peak = np.maximum(np.maximum.accumulate(growth, axis=1), 1.0)
    return np.asarray((growth / peak).min(axis=1, initial=1.0) - 1.0)


def bar_statistics(
    series: NDArray[np.float64], cash: float, risk_free: float, bars_per_year: float
) -> dict[str, NDArray[np.float64]]:
    """Statistics that bars give.

    Parameters
    ----------
    series : ndarray of shape (4, n_paths, n_bars)
        Returns, returns of the benchmark, exposure, and traded value over equity, of each bar. Returns above -1.
    cash : float
        Starting cash.
    risk_free : float
        Return of one bar without risk.
    bars_per_year : float
        Bars a year.

    Returns
    -------
    dict of ndarray of shape (n_paths,)
        By the names of `Result.stats`; NaN where a statistic is not defined.
    """
    returns, benchmark, exposure, traded = series
    n = returns.shape[1]
    total = np.prod(1.0 + returns, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        cagr = total ** (bars_per_year / n) - 1.0
        found = {
            "final_equity": cash * total,
            "total_return": total - 1.0,
            "cagr": cagr,
            **_moments(returns, risk_free, bars_per_year),
            **_drawdowns(returns),
            "exposure": exposure.mean(axis=1),
            "turnover": traded.mean(axis=1) * bars_per_year,
            **_worst(returns),
            "buy_hold_return": np.prod(1.0 + benchmark, axis=1) - 1.0,
            **_line(returns, benchmark, risk_free, bars_per_year),
        }
        found["calmar"] = np.where(found["max_drawdown"] < 0.0, cagr / -found["max_drawdown"], np.nan)
    return found


def _moments(
    returns: NDArray[np.float64], risk_free: float, bars_per_year: float
) -> dict[str, NDArray[np.float64]]:
    """Volatility, the ratios, skewness, kurtosis and PSR."""
    n, year = returns.shape[1], math.sqrt(bars_per_year)
    mean = returns.mean(axis=1)
    centred = returns - mean[:, None]
    square = centred * centred
    variance = square.mean(axis=1)
    variance[variance <= NOISE * NOISE] = 0.0
    deviation = np.sqrt(variance * n / (n - 1))
    sharpe = np.where(variance > 0.0, (mean - risk_free) / deviation, np.nan)
    downside = np.sqrt((np.minimum(returns - risk_free, 0.0) ** 2).mean(axis=1))
    skew = np.where(variance > 0.0, (square * centred).mean(axis=1) / variance**1.5, np.nan)
    kurtosis = np.where(variance > 0.0, (square * square).mean(axis=1) / variance**2, np.nan)
    spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    score = sharpe * np.sqrt((n - 1) / np.where(spread > 0.0, spread, np.nan))
    return {
        "volatility": deviation * year,
        "sharpe": sharpe * year,
        "sortino": np.where(downside > NOISE, (mean - risk_free) / downside * year, np.nan),
        "skew": skew,
        "kurtosis": kurtosis,
        "psr": np.array([0.5 * math.erfc(-x / math.sqrt(2.0)) for x in score.tolist()]),
    }


def _drawdowns(returns: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Depth, mean depth and longest spell below a peak."""
    n_paths, n = returns.shape
    # A column before the first bar: the start is the first peak, and every path begins at one.
    growth = np.cumprod(np.hstack((np.ones((n_paths, 1)), 1.0 + returns)), axis=1)
    peak = np.maximum.accumulate(growth, axis=1)
    at_peak = growth >= peak * (1.0 - PEAK_NOISE)
    depth = np.where(at_peak, 0.0, growth / peak - 1.0)
    bar = np.arange(n + 1)
    since = bar - np.maximum.accumulate(np.where(at_peak, bar, 0), axis=1)
    starts = np.flatnonzero(at_peak)
    lowest = np.minimum.reduceat(depth.ravel(), starts)
    path = starts // (n + 1)
    spells = np.bincount(path, lowest < 0.0, n_paths)
    summed = np.bincount(path, lowest, n_paths)
    return {
        "max_drawdown": depth.min(axis=1),
        "max_drawdown_bars": since.max(axis=1).astype(np.float64),
        "avg_drawdown": np.where(spells > 0, summed / np.maximum(spells, 1), 0.0),
    }


def _worst(returns: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Value at risk and the mean beyond it."""
    rank = TAIL * (returns.shape[1] - 1)
    low = int(rank)
    high = min(low + 1, returns.shape[1] - 1)
    ordered = np.partition(returns, (low, high), axis=1)
    quantile = ordered[:, low] + (rank - low) * (ordered[:, high] - ordered[:, low])
    return {"var_95": quantile, "cvar_95": ordered[:, : low + 1].mean(axis=1)}


def _line(
    returns: NDArray[np.float64], benchmark: NDArray[np.float64], risk_free: float, bars_per_year: float
) -> dict[str, NDArray[np.float64]]:
    """Alpha and beta by least squares on the benchmark."""
    mean, other = returns.mean(axis=1), benchmark.mean(axis=1)
    centred = benchmark - other[:, None]
    scatter = (centred * centred).sum(axis=1)
    scatter[scatter <= returns.shape[1] * NOISE * NOISE] = np.nan
    beta = (returns * centred).sum(axis=1) / scatter
    return {"alpha": (mean - risk_free - beta * (other - risk_free)) * bars_per_year, "beta": beta}


def trade_statistics(trades: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Statistics that closed trades give.

    Parameters
    ----------
    trades : ndarray of shape (3, n_paths, n_trades)
        Profit in money, return on entry value, and bars held, of each trade; at least one trade.

    Returns
    -------
    dict of ndarray of shape (n_paths,)
        By the names of `Result.stats`; NaN where a statistic is not defined.
    """
    pnl, gain, held = trades
    n = pnl.shape[1]
    won = pnl > 0.0
    wins = won.sum(axis=1)
    losses = n - wins
    gained = np.where(won, pnl, 0.0).sum(axis=1)
    lost = -np.where(won, 0.0, pnl).sum(axis=1)
    mean = pnl.mean(axis=1)
    rate = wins / n
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(lost > 0.0, gained / lost, np.where(gained > 0.0, np.inf, np.nan))
        deviation = pnl.std(axis=1, ddof=1) if n > 1 else np.full(len(pnl), np.nan)
        noise = 1e-12 * np.abs(pnl).max(axis=1)
        sqn = np.where(deviation > noise, math.sqrt(n) * mean / deviation, np.nan)
        ratio = (gained / wins) / (lost / losses)
        kelly = rate - np.where(lost > 0.0, np.where(wins > 0, (losses / n) / ratio, np.inf), 0.0)
    return {
        "win_rate": rate,
        "profit_factor": factor,
        "expectancy": mean,
        "avg_trade": gain.mean(axis=1),
        "best_trade": gain.max(axis=1),
        "worst_trade": gain.min(axis=1),
        "avg_bars_held": held.mean(axis=1),
        "sqn": sqn,
        "kelly": kelly,
    }
