"""Every statistic the slow way: from the finished series of equity and the lists of fills and trades."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats as sc

NOISE = 1e-14
"""Deviation of bar returns below which a series is constant but for rounding."""


def buy_and_hold(close):
    """Bar returns of equal money in every asset at its first close, held; cash before that."""
    n_bars, n_assets = close.shape
    each = 1 / n_assets
    equity = []
    for t in range(n_bars):
        total = 0.0
        for i in range(n_assets):
            known = close[: t + 1, i][~np.isnan(close[: t + 1, i])]
            total += each * known[-1] / known[0] if known.size else each
        equity.append(total)
    return np.diff(equity, prepend=1.0) / np.array([1.0, *equity[:-1]])


def spells_below_peak(equity, cash):
    """Depth and length of each spell below the running peak, the starting cash being the first peak."""
    spells, peak, depth, length = [], cash, 0.0, 0
    for e in equity:
        if e >= peak * (1 - 1e-12):
            if length:
                spells.append((depth, length))
            peak, depth, length = max(peak, e), 0.0, 0
        else:
            depth, length = min(depth, max(e / peak - 1, -1.0)), length + 1
    return [*spells, (depth, length)] if length else spells


def naive_stats(
    *, equity, gross, cash, fills, trades, n_orders, borrow, interest, multipliers, benchmark, bpy, risk_free
):
    """Statistics by name.

    `equity` and `gross` are one number a bar, `fills` and `trades` lists of dicts as `oracle.engine` makes them
    (`trades` may hold open ones), `benchmark` bar returns over the same bars, `bpy` bars a year.
    """
    equity, gross, benchmark = (np.asarray(x, float) for x in (equity, gross, benchmark))
    n, nan = len(equity), math.nan
    before = np.concatenate(([cash], equity[:-1]))
    r = equity / before - 1
    rf = risk_free / bpy
    growth = equity[-1] / cash
    constant = n < 2 or r.std() <= NOISE
    sd = r.std(ddof=1) if n > 1 else nan
    one_bar = (r.mean() - rf) / sd if not constant else nan
    downside = math.sqrt(np.mean(np.minimum(r - rf, 0) ** 2))
    skew = sc.skew(r) if not constant else nan
    kurtosis = sc.kurtosis(r, fisher=False) if not constant else nan
    spells = spells_below_peak(equity, cash)
    worst = min((d for d, _ in spells), default=0.0)
    cagr = growth ** (bpy / n) - 1 if growth > 0 else -1.0
    alive = equity > 0
    traded = np.zeros(n)
    for f in fills:
        traded[f["bar"]] += abs(f["quantity"]) * f["price"] * multipliers[f["asset"]]
    var = np.quantile(r, 0.05)
    if benchmark.std() > NOISE:
        fit = sc.linregress(benchmark - rf, r - rf)
        alpha, beta = fit.intercept * bpy, fit.slope
    else:
        alpha = beta = nan
    spread = 1 - skew * one_bar + (kurtosis - 1) / 4 * one_bar**2 if not constant else nan
    return {
        "final_equity": equity[-1],
        "total_return": growth - 1,
        "cagr": cagr,
        "volatility": (0.0 if constant and n > 1 else sd) * math.sqrt(bpy),
        "sharpe": one_bar * math.sqrt(bpy),
        "sortino": (r.mean() - rf) / downside * math.sqrt(bpy) if downside > NOISE else nan,
        "calmar": cagr / -worst if worst < 0 else nan,
        "max_drawdown": worst,
        "max_drawdown_bars": max((k for _, k in spells), default=0),
        "avg_drawdown": np.mean([d for d, _ in spells]) if spells else 0.0,
        "exposure": np.where(alive, gross / np.where(alive, equity, 1), 0).mean(),
        "turnover": np.where(alive, traded / np.where(alive, equity, 1), 0).sum() / n * bpy,
        "n_orders": n_orders,
        **trade_stats([x for x in trades if not x["open"]]),
        "commission": sum(f["commission"] for f in fills),
        "fees": sum(f["fees"] for f in fills),
        "slippage": sum(f["slippage"] for f in fills),
        "spread": sum(f["spread"] for f in fills),
        "borrow": borrow,
        "interest": interest,
        "skew": skew,
        "kurtosis": kurtosis,
        "var_95": var,
        "cvar_95": np.sort(r)[: int(0.05 * (len(r) - 1)) + 1].mean(),
        "buy_hold_return": np.prod(1 + benchmark) - 1,
        "alpha": alpha,
        "beta": beta,
        "psr": sc.norm.cdf(one_bar * math.sqrt((n - 1) / spread)) if not constant and spread > 0 else nan,
    }


def trade_stats(closed):
    """Statistics of closed trades; NaN without any."""
    names = [
        "win_rate",
        "profit_factor",
        "expectancy",
        "avg_trade",
        "best_trade",
        "worst_trade",
        "avg_bars_held",
        "sqn",
        "kelly",
    ]
    if not closed:
        return {"n_trades": 0} | dict.fromkeys(names, math.nan)
    pnl = np.array([x["pnl"] for x in closed])
    noise = np.abs([x["pnl"] / x["return_"] if x["return_"] else 0.0 for x in closed]) * 1e-12
    pnl = np.where(np.abs(pnl) <= noise, 0.0, pnl)
    gain = np.array([x["return_"] for x in closed])
    wins, losses = pnl[pnl > 0], pnl[pnl <= 0]
    p, n = len(wins) / len(pnl), len(pnl)
    lost = -losses.sum()
    kelly = p
    if lost > 0:
        ratio = wins.mean() / -losses.mean() if len(wins) else 0.0
        kelly = p - (1 - p) / ratio if ratio else -math.inf
    varies = n > 1 and np.ptp(pnl) > 1e-12 * np.abs(pnl).max()
    return {
        "n_trades": n,
        "win_rate": p,
        "profit_factor": wins.sum() / lost if lost > 0 else (math.inf if len(wins) else math.nan),
        "expectancy": pnl.mean(),
        "avg_trade": gain.mean(),
        "best_trade": gain.max(),
        "worst_trade": gain.min(),
        "avg_bars_held": np.mean([x["bars_held"] for x in closed]),
        "sqn": math.sqrt(n) * pnl.mean() / pnl.std(ddof=1) if varies else math.nan,
        "kelly": kelly,
    }
