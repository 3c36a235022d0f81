"""Statistics of one run, from sums that the simulation streams: no array of returns is needed.

Every formula is that of the design, section 5; docs/statistics.md states them to users.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.kernels.records import Record

__all__ = ["SMALLER_IS_BETTER", "STATS", "finish_stats", "hold_returns", "hold_sums"]

STATS = (
    "final_equity",
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "calmar",
    "max_drawdown",
    "max_drawdown_bars",
    "avg_drawdown",
    "exposure",
    "turnover",
    "n_orders",
    "n_trades",
    "win_rate",
    "profit_factor",
    "expectancy",
    "avg_trade",
    "best_trade",
    "worst_trade",
    "avg_bars_held",
    "commission",
    "fees",
    "slippage",
    "spread",
    "borrow",
    "interest",
    "sqn",
    "kelly",
    "skew",
    "kurtosis",
    "buy_hold_return",
    "alpha",
    "beta",
    "psr",
)
"""Names of the statistics that `finish_stats` returns, in order (those that need sorted returns are apart)."""

SMALLER_IS_BETTER = frozenset(
    {
        "volatility",
        "max_drawdown_bars",
        "turnover",
        "commission",
        "fees",
        "slippage",
        "spread",
        "borrow",
        "interest",
    }
)
"""Statistics of which the smallest value is the best (drawdowns are negative: the largest is)."""

# Places in `STATS`.
(
    FINAL_EQUITY, TOTAL_RETURN, CAGR, VOLATILITY, SHARPE, SORTINO, CALMAR, MAX_DRAWDOWN,
    MAX_DRAWDOWN_BARS, AVG_DRAWDOWN, EXPOSURE, TURNOVER, N_ORDERS, N_TRADES, WIN_RATE,
    PROFIT_FACTOR, EXPECTANCY, AVG_TRADE, BEST_TRADE, WORST_TRADE, AVG_BARS_HELD, COMMISSION, FEES,
    SLIPPAGE, SPREAD, BORROW, INTEREST, SQN, KELLY, SKEW, KURTOSIS, BUY_HOLD_RETURN, ALPHA, BETA,
    PSR,
) = range(len(STATS))  # fmt: skip

RETURN_NOISE = 1e-14
"""A return, or a deviation of returns, below this is rounding noise."""

VARIANCE_NOISE = 1e-13
"""Share of the raw second moment below which a variance is rounding noise of a constant series."""


@kernel
def hold_returns(close: NDArray[np.float64], returns: NDArray[np.float64]) -> tuple[float, float, float]:
    """Bar returns of buying every asset for equal money at its first close and holding, without cost.

    Parameters
    ----------
    close : ndarray of shape (n_bars, n_assets)
        NaN where an asset has no bar; it is then marked at its last close, before its first at cash.
    returns : ndarray of shape (n_bars,)
        Filled in; the first is measured against the starting cash and so is 0.

    Returns
    -------
    tuple of float
        Sum and sum of squares of the returns, and the total return.
    """
    n_bars, n_assets = close.shape
    units, last = np.zeros(n_assets), np.zeros(n_assets)
    each = 1.0 / n_assets
    free = equity = before = 1.0
    n_held = 0
    total = squares = 0.0
    for t in range(n_bars):
        equity = free
        for i in range(n_assets):
            price = close[t, i]
            if price == price:
                last[i] = price
                if units[i] == 0.0:
                    units[i] = each / price
                    n_held += 1
                    free = 1.0 - n_held * each if n_held < n_assets else 0.0
                    equity -= each
            equity += units[i] * last[i]
        gain = equity / before - 1.0
        before = equity
        returns[t] = gain
        total += gain
        squares += gain * gain
        if n_assets == 1 and n_held == 1:
            # From here on one price says it all, and the division is the only work of a bar.
            for k in range(t + 1, n_bars):
                price = close[k, 0]
                if price == price:
                    gain = price / last[0] - 1.0
                    last[0] = price
                else:
                    gain = 0.0
                returns[k] = gain
                total += gain
                squares += gain * gain
            return total, squares, units[0] * last[0] - 1.0
    return total, squares, equity - 1.0


@kernel(allocates=False)
def hold_sums(returns: NDArray[np.float64], n: int) -> tuple[float, float, float]:
    """Sum, sum of squares and total return of the first `n` bar returns of a benchmark, as of `hold_returns`."""
    total = squares = 0.0
    growth = 1.0
    for t in range(n):
        total += returns[t]
        squares += returns[t] * returns[t]
        growth *= 1.0 + returns[t]
    return total, squares, growth - 1.0


@kernel(allocates=False)
def _return_stats(out: NDArray[np.float64], bars: Record, risk_free: float, bars_per_year: float) -> None:
    """Volatility, Sharpe, Sortino, skewness, kurtosis and PSR into their places of `out`."""
    n = float(bars["n_bars"])
    mean = bars["return_1"] / n
    second = bars["return_2"] / n
    variance = second - mean * mean
    if n < 2.0 or variance <= max(VARIANCE_NOISE * second, RETURN_NOISE * RETURN_NOISE):
        variance = 0.0
    deviation = math.sqrt(variance * n / (n - 1.0)) if n > 1.0 else np.nan
    year = math.sqrt(bars_per_year)
    excess = mean - risk_free
    out[VOLATILITY] = deviation * year
    sharpe = excess / deviation if deviation > 0.0 else np.nan
    out[SHARPE] = sharpe * year
    downside = math.sqrt(bars["downside_2"] / n)
    out[SORTINO] = excess / downside * year if downside > RETURN_NOISE else np.nan
    skew, kurtosis, psr = np.nan, np.nan, np.nan
    if variance > 0.0:
        third, fourth = bars["return_3"] / n, bars["return_4"] / n
        square = mean * mean
        skew = (third - 3.0 * mean * second + 2.0 * mean * square) / (variance * math.sqrt(variance))
        kurtosis = (fourth - 4.0 * mean * third + 6.0 * square * second - 3.0 * square * square) / (
            variance * variance
        )
        spread = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
        if spread > 0.0:
            psr = 0.5 * math.erfc(-sharpe * math.sqrt((n - 1.0) / spread / 2.0))
    out[SKEW], out[KURTOSIS], out[PSR] = skew, kurtosis, psr


@kernel(allocates=False)
def _trade_stats(out: NDArray[np.float64], tally: Record) -> None:
    """Statistics of closed trades into their places of `out`; NaN without trades."""
    n = float(tally["n_trades"])
    out[N_TRADES] = n
    if n == 0.0:
        return
    wins = float(tally["n_wins"])
    losses = n - wins
    gained, lost = tally["win_sum"], -tally["loss_sum"]
    mean = (gained - lost) / n
    out[WIN_RATE] = wins / n
    out[PROFIT_FACTOR] = gained / lost if lost > 0.0 else (np.inf if gained > 0.0 else np.nan)
    out[EXPECTANCY] = mean
    out[AVG_TRADE] = tally["return_sum"] / n
    out[BEST_TRADE], out[WORST_TRADE] = tally["best"], tally["worst"]
    out[AVG_BARS_HELD] = tally["bars_held"] / n
    second = tally["pnl_squared"] / n
    variance = second - mean * mean
    if n > 1.0 and variance > VARIANCE_NOISE * second:
        out[SQN] = math.sqrt(n) * mean / math.sqrt(variance * n / (n - 1.0))
    out[KELLY] = wins / n
    if lost > 0.0:
        out[KELLY] -= (losses / n) / ((gained / wins) / (lost / losses)) if wins > 0.0 else np.inf


@kernel(allocates=False)
def finish_stats(
    bars: Record,
    tally: Record,
    money: Record,
    cash: float,
    risk_free: float,
    bars_per_year: float,
    benchmark: tuple[float, float, float],
    out: NDArray[np.float64],
) -> None:
    """Turn streamed sums into statistics.

    Parameters
    ----------
    bars, tally, money : record
        Sums over bars, over closed trades, and money; layouts `records.BARS`, `TALLY` and `MONEY`.
    cash : float
        Starting cash.
    risk_free : float
        Return of one bar without risk.
    bars_per_year : float
        Bars a year.
    benchmark : tuple of float
        Sum and sum of squares of the benchmark's bar returns, and its total return, over the same bars.
    out : ndarray of shape (len(STATS),)
        Filled in, in the order of `STATS`; NaN where a statistic is not defined.
    """
    for k in range(out.shape[0]):
        out[k] = np.nan
    n = float(bars["n_bars"])
    growth = bars["equity"] / cash
    out[FINAL_EQUITY] = bars["equity"]
    out[TOTAL_RETURN] = growth - 1.0
    out[CAGR] = growth ** (bars_per_year / n) - 1.0 if growth > 0.0 else -1.0
    _return_stats(out, bars, risk_free, bars_per_year)
    out[MAX_DRAWDOWN] = bars["max_drawdown"]
    if bars["max_drawdown"] < 0.0:
        out[CALMAR] = out[CAGR] / -bars["max_drawdown"]
    out[MAX_DRAWDOWN_BARS] = bars["max_spell"]
    out[AVG_DRAWDOWN] = bars["drawdown_sum"] / bars["n_drawdowns"] if bars["n_drawdowns"] > 0 else 0.0
    out[EXPOSURE] = bars["exposure"] / n
    out[TURNOVER] = bars["turnover"] / n * bars_per_year
    out[N_ORDERS] = money["n_orders"]
    _trade_stats(out, tally)
    out[COMMISSION], out[FEES], out[SLIPPAGE] = money["commission"], money["fees"], money["slippage"]
    out[SPREAD], out[BORROW], out[INTEREST] = money["spread"], money["borrow"], money["interest"]
    total, squares, out[BUY_HOLD_RETURN] = benchmark
    scatter = squares - total * total / n
    if scatter > max(VARIANCE_NOISE * squares, n * RETURN_NOISE * RETURN_NOISE):
        beta = (bars["return_benchmark"] - bars["return_1"] * total / n) / scatter
        out[BETA] = beta
        out[ALPHA] = (bars["return_1"] / n - risk_free - beta * (total / n - risk_free)) * bars_per_year
