"""A report's content from a random walk, for the tests of the report: no engine, no file."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from quantlab.report.content import ReportContent

CASH = 100_000.0
FINGERPRINT = ("strategy", "parameters", "data", "settings", "digest")


def walk(n_bars: int, seed: int, start: float = 60.0) -> pd.DataFrame:
    """OHLCV of a random walk, with `n_bars` rows and no index of its own."""
    rng = np.random.default_rng(seed)
    scale = 3000 / max(n_bars, 3000)
    close = start * np.exp(np.cumsum(rng.normal(4e-4 * scale, 0.014 * scale**0.5, n_bars)))
    opens = np.concatenate([[start], close[:-1]]) * np.exp(rng.normal(0.0, 0.003, n_bars))
    high = np.maximum(opens, close) * np.exp(np.abs(rng.normal(0.0, 0.004, n_bars)))
    low = np.minimum(opens, close) * np.exp(-np.abs(rng.normal(0.0, 0.004, n_bars)))
    return pd.DataFrame({"open": opens, "high": high, "low": low, "close": close, "volume": 1e6})


def _trades(
    frame: pd.DataFrame, symbol: str, spans: list[tuple[int, int]], money: float
) -> list[dict[str, Any]]:
    rows = []
    last = len(frame) - 1
    for k, (entry, leave) in enumerate(spans):
        side = -1.0 if k % 5 == 4 else 1.0
        into, out = frame["open"].iloc[entry], frame["open"].iloc[min(leave, last)]
        quantity = side * float(money // into)
        is_open = leave > last
        commission = max(1.0, 0.005 * abs(quantity)) * (1 if is_open else 2)
        pnl = quantity * (out - into) - commission
        rows.append({
            "symbol": symbol, "entry_time": frame.index[entry], "exit_time": frame.index[min(leave, last)],
            "quantity": quantity, "entry_price": into, "exit_price": out, "pnl": pnl,
            "return_": pnl / abs(quantity * into), "bars_held": min(leave, last) - entry,
            "commission": commission, "fees": 0.02, "open": is_open,
        })  # fmt: skip
    return rows


def _spans(n_bars: int, seed: int) -> list[tuple[int, int]]:
    """Entry and exit rows of one position after the other; the last one may end beyond the last bar."""
    rng = np.random.default_rng(seed)
    spans, t = [], min(5, n_bars - 1)
    while t < n_bars:
        spans.append((t, t + int(rng.integers(4, 90))))
        t = spans[-1][1] + int(rng.integers(3, 60))
    return spans


def random_content(
    n_bars: int = 750,
    symbols: tuple[str, ...] = ("AAPL",),
    *,
    seed: int = 7,
    index: pd.DatetimeIndex | None = None,
    **changes: Any,
) -> ReportContent:
    """Content of a made-up run of `n_bars` bars that holds all assets or none."""
    if index is None:
        index = pd.bdate_range("2004-08-19", periods=n_bars, name="session")
    frames = {s: walk(n_bars, seed + k).set_index(index) for k, s in enumerate(symbols)}
    money = CASH / len(frames)
    spans = _spans(n_bars, seed)
    trades = pd.DataFrame([r for s, f in frames.items() for r in _trades(f, s, spans, money)])
    trades = trades.sort_values(["open", "exit_time"], kind="stable", ignore_index=True)
    held = np.zeros(n_bars)
    for k, (entry, leave) in enumerate(spans):
        held[entry:leave] = 0.9 + 0.1 * (k % 2)
    moves = np.mean([f["close"].pct_change().fillna(0.0) for f in frames.values()], axis=0)
    equity = pd.Series(
        CASH * np.cumprod(1.0 + np.concatenate([[0.0], held[:-1]]) * moves - 2e-5 * held), index=index
    )
    benchmark = pd.Series(CASH * np.cumprod(1.0 + moves), index=index)
    drawdown = equity / equity.cummax().clip(lower=CASH) - 1.0
    fills = pd.DataFrame({
        "time": trades["entry_time"], "symbol": trades["symbol"], "quantity": trades["quantity"],
        "price": trades["entry_price"], "commission": trades["commission"], "fees": trades["fees"],
        "slippage": 0.4, "spread": 0.0, "order": np.arange(len(trades)),
    })  # fmt: skip
    costs = {
        "commission": float(trades["commission"].sum()), "fees": 0.02 * len(trades), "spread": 0.0,
        "slippage": 9.5 * len(trades), "borrow": 12.25, "interest": 0.0,
    }  # fmt: skip
    given: dict[str, Any] = {
        "title": "sma_cross",
        "equity": equity,
        "benchmark": benchmark,
        "drawdown": drawdown,
        "exposure": pd.Series(held, index=index),
        "prices": frames,
        "trades": trades,
        "fills": fills,
        "costs": costs,
        "cash": CASH,
        "bars_per_year": 252.0,
        "settings": {
            "cash": CASH, "fill": "next_open", "start": None, "params": {"fast": 20, "slow": 100},
            "sizing": {"allocation": "equal", "price": "decision", "whole_units": True},
            "costs": {"commission": "IBKR fixed, stocks", "slippage_bps": 1.0},
        },
        "fingerprint": dict.fromkeys(FINGERPRINT, f"{seed:02x}" * 16),
    }  # fmt: skip
    given |= changes
    if "stats" not in given:
        given["stats"] = _stats(given)
    return ReportContent(**given)


def _quotient(a: float, b: float) -> float:
    return a / b if b else math.inf


def _stats(given: dict[str, Any]) -> dict[str, float]:
    equity, trades = given["equity"].to_numpy(), given["trades"]
    r = equity / np.concatenate([[CASH], equity[:-1]]) - 1.0
    closed = trades[~trades["open"].astype(bool)]
    won = closed["pnl"] > 0
    n = len(closed)
    tail = float(np.quantile(r, 0.05))
    growth = equity[-1] / CASH
    year = math.sqrt(252.0)
    some = n > 0
    bar_sharpe = float(r.mean() / r.std(ddof=1)) if len(r) > 1 else math.nan
    return {
        "final_equity": equity[-1], "total_return": growth - 1.0,
        "cagr": max(growth, 0.0) ** (252.0 / len(r)) - 1.0,
        "volatility": float(r.std(ddof=1)) * year if len(r) > 1 else math.nan,
        "sharpe": float(r.mean() / r.std(ddof=1)) * year if len(r) > 1 else math.nan,
        "sortino": 1.61, "calmar": 0.42, "max_drawdown": float(given["drawdown"].min()),
        "max_drawdown_bars": 412.0,
        "avg_drawdown": -0.031, "exposure": float(given["exposure"].mean()), "turnover": 16.4,
        "n_orders": 2.0 * len(trades), "n_trades": float(n),
        "win_rate": float(won.mean()) if some else math.nan,
        "profit_factor": _quotient(closed["pnl"][won].sum(), -closed["pnl"][~won].sum()),
        "expectancy": float(closed["pnl"].mean()) if some else math.nan,
        "avg_trade": float(closed["return_"].mean()) if some else math.nan,
        "best_trade": float(closed["return_"].max()) if some else math.nan,
        "worst_trade": float(closed["return_"].min()) if some else math.nan,
        "avg_bars_held": 19.8, **given["costs"], "sqn": 1.32, "kelly": 0.11, "skew": -0.24, "kurtosis": 5.31,
        "var_95": tail, "cvar_95": float(r[r <= tail].mean()),
        "buy_hold_return": given["benchmark"].iloc[-1] / CASH - 1.0, "alpha": 0.024, "beta": 0.63,
        "psr": NormalDist().cdf(bar_sharpe * math.sqrt(len(r) - 1)) if len(r) > 1 else math.nan,
    }  # fmt: skip
