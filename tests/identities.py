"""What holds for every run, whatever was traded: checked on runs of the whole suite, as `conftest` hands them over."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

NEAR = 1e-9
"""Relative difference of two sums of the same money."""


def assert_money_is_neither_made_nor_lost(result):
    """Check the identities of one result: equity, profits, and what fills alone say."""
    bars, fills, stats = result.bars, result.fills, result.stats
    equity, cash = result.equity.to_numpy(), result.cash.to_numpy()
    close = pd.DataFrame(bars.close[: len(equity)]).ffill().fillna(0.0).to_numpy()
    multiplier = np.array([x.multiplier for x in bars.instruments])
    value = result.positions.to_numpy() * close * multiplier
    scale = NEAR * max(result.cash_start, np.abs(equity).max(), np.abs(value).max(), np.abs(cash).max())

    def same(a, b):
        return math.isclose(a, b, rel_tol=NEAR, abs_tol=scale)

    np.testing.assert_allclose(cash + value.sum(axis=1), equity, rtol=NEAR, atol=scale)
    earned = result.trades["pnl"].sum() - stats["interest"]
    assert same(earned, equity[-1] - result.cash_start), "profits of trades are not the change of equity"
    unit = fills["symbol"].map(dict(zip(bars.symbols, multiplier, strict=True))).to_numpy(float)
    signed = fills["quantity"].to_numpy() * fills["price"].to_numpy() * unit
    paid = (
        signed.sum() + fills["commission"].sum() + fills["fees"].sum() + stats["borrow"] + stats["interest"]
    )
    assert same(result.cash_start - paid, cash[-1]), "fills and charges do not give the cash"
    for name in ("commission", "fees", "slippage", "spread"):
        assert same(fills[name].sum(), stats[name]), f"{name} is not that of the fills"
        assert (fills[name] >= -scale).all(), f"{name} below zero"
    traded = pd.Series(np.abs(signed)).groupby(fills["time"].to_numpy()).sum()
    traded = traded.reindex(result.equity.index.to_numpy(), fill_value=0.0).to_numpy()
    alive = equity > 0.0
    turnover = (traded[alive] / equity[alive]).sum() / len(equity) * result.bars_per_year
    assert math.isclose(turnover, stats["turnover"], rel_tol=NEAR, abs_tol=NEAR), (
        "turnover is not of the fills"
    )
