"""Tables of made-up sweeps, for the tests of the sweep's report: no engine, no file."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from quantlab.kernels.stats import STATS
from quantlab.report.sweep_content import SweepContent


def table_of(columns: dict[str, Any], sharpe: np.ndarray, seed: int = 1) -> pd.DataFrame:
    """Table of a sweep with the Sharpe ratios given; the other statistics follow from them or from chance."""
    rng = np.random.default_rng(seed)
    n = len(sharpe)
    stats = {key: rng.uniform(0.1, 2.0, n) for key in STATS}
    stats["sharpe"] = sharpe
    stats["total_return"] = sharpe * 0.8 + rng.normal(0.0, 0.05, n)
    stats["cagr"] = stats["total_return"] / 10
    stats["max_drawdown"] = -np.clip(0.35 - 0.1 * sharpe + rng.normal(0.0, 0.02, n), 0.01, 1.0)
    stats["n_trades"] = rng.integers(3, 400, n).astype(float)
    stats["final_equity"] = 100_000 * (1 + stats["total_return"])
    frame = pd.DataFrame({**columns, **stats})
    frame["ruined_at"] = pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ns]")
    frame["error"] = pd.Series(None, index=frame.index, dtype=object)
    frame.index.name = "trial"
    return frame


def fail(table: pd.DataFrame, rows: Any, text: str) -> None:
    """Make rows those of trials that raised."""
    table.loc[rows, list(STATS)] = np.nan
    table.loc[rows, "error"] = text


def ruin(table: pd.DataFrame, rows: Any, when: str = "2008-10-10") -> None:
    """Make rows those of trials that went to ruin."""
    table.loc[rows, "ruined_at"] = pd.Timestamp(when)


def grid(seed: int = 1) -> pd.DataFrame:
    """Grid of 40 x 60 x 3 sets with a plateau, fast < slow, failed and ruined rows."""
    fast, slow, kind = zip(
        *(s for s in product(range(2, 82, 2), range(5, 305, 5), ("sma", "ema", "wma")) if s[0] < s[1]),
        strict=True,
    )
    f, s = np.array(fast, float), np.array(slow, float)
    k = np.array([{"sma": 0.0, "ema": 0.12, "wma": -0.25}[x] for x in kind])
    hill = 1.3 * np.exp(-(((f - 30) / 18) ** 2) - ((s - 170) / 70) ** 2)
    sharpe = hill + k - 0.15 + np.random.default_rng(seed).normal(0.0, 0.08, len(f))
    return table_of({"fast": list(fast), "slow": list(slow), "kind": list(kind)}, sharpe, seed)


def equities(n: int = 10, n_bars: int = 3000, seed: int = 2) -> tuple[pd.DataFrame, pd.Series]:
    """Equity of `n` alike trials and of a benchmark."""
    rng = np.random.default_rng(seed)
    index = pd.bdate_range("2004-08-19", periods=n_bars, name="session")
    market = rng.normal(3e-4, 0.012, n_bars)
    moves = 0.6 * market[:, None] + rng.normal(2e-4, 0.004, (n_bars, n))
    frame = pd.DataFrame(
        1e5 * np.cumprod(1 + moves, axis=0), index=index, columns=[7 * k + 3 for k in range(n)]
    )
    return frame, pd.Series(1e5 * np.cumprod(1 + market), index=index)


def full_content(**changes: Any) -> SweepContent:
    """Everything that a report can show."""
    table = grid()
    fail(table, table.index[::211], "ZeroDivisionError: float division by zero")
    fail(table, table.index[5::611], "ValueError: window is longer than the data")
    ruin(table, table.index[table["sharpe"] < -0.55])
    curves, benchmark = equities()
    rng = np.random.default_rng(3)
    given: dict[str, Any] = {
        "title": "sma_cross",
        "table": table,
        "names": ("fast", "slow", "kind"),
        "worth": {
            "n_trials": 4312, "n_effective": 187.0, "expected_max_sharpe": 1.04, "deflated_sharpe": 0.41,
            "pbo": 0.38, "beats_noise": 0.713, "min_track_record_bars": 1830.0,
        },
        "checks": [
            {"name": "Deflated Sharpe ratio", "value": "0.41", "passed": False, "how": "at least 0.95"},
            {"name": "Plateau", "value": "0.94", "passed": True, "how": "neighbours keep 94% of the best"},
            {"name": "Reality check", "value": "–", "passed": None, "how": "needs the package arch"},
        ],
        "equities": curves,
        "benchmark": benchmark,
        "logits": rng.normal(0.35, 1.1, 12_870),
        "tables": {
            "Costs under stress": pd.DataFrame(
                {"sharpe": [1.31, 1.02, 0.7, 0.12], "total_return": [1.9, 1.4, 0.8, -0.1]},
                index=pd.Index([1, 2, 3, 5], name="costs ×"),
            )
        },
        "settings": {"cash": 100_000, "fill": "next_open", "where": "fast < slow", "costs": {"slippage_bps": 1.0}},
        "fingerprint": {"strategy": "ab" * 16, "data": "cd" * 16},
        "subtitle": "AAPL, MSFT · 19 Aug 2004 to 17 Feb 2016 · 3,000 bars · 252 bars a year",
    }  # fmt: skip
    return SweepContent(**(given | changes))
