"""The engine against its naive twin: random markets, targets and options; every order, fill, trade and number."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from oracle.cases import random_runs
from oracle.stats import buy_and_hold, naive_stats

from quantlab.engine.backtest import backtest
from quantlab.engine.setup import Setup

ORDER = ["bar", "asset", "target", "quantity", "decision_price", "status", "reason", "fill_bar", "fill_price"]
FILL = [
    "bar", "asset", "quantity", "price", "reference", "commission", "fees", "slippage", "spread", "order",
    "cash", "kind",
]  # fmt: skip
TRADE = [
    "asset", "entry_bar", "exit_bar", "quantity", "entry_price", "exit_price", "pnl", "return_", "bars_held",
    "commission", "fees", "open",
]  # fmt: skip

STAT_TOLERANCE = 1e-8

random_examples = settings(
    suppress_health_check=list(HealthCheck),
    # A failing run prints itself; to shrink it takes minutes, for it has some thirty options.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


def assert_same_frame(engine, twin, scale):
    """Equal to 1e-9 of the numbers themselves, or of the money that was at stake."""
    assert len(engine) == len(twin)
    for name in twin.columns:
        ours, naive = engine[name], twin[name]
        if ours.dtype.kind in "fi":
            money = name in ("pnl", "cash", "slippage", "spread", "commission", "fees")
            np.testing.assert_allclose(
                ours.to_numpy(float),
                naive.to_numpy(float),
                rtol=1e-9,
                atol=1e-9 * scale if money else 1e-9,
                err_msg=name,
            )
        else:
            # NaT and NaN are not equal to themselves.
            assert ours.astype(str).tolist() == naive.astype(str).tolist(), name


def assert_same(run):
    result, twin = run.result, run.twin
    assert len(result.equity) == len(twin.equity_series)
    scale = max(run.cash, np.abs(twin.equity_series).max())
    assert_same_frame(result.orders, twin.frame(twin.orders, ORDER), scale)
    assert_same_frame(result.fills, twin.frame(twin.fills, FILL), scale)
    assert_same_frame(result.trades, twin.frame(twin.trades(), TRADE), scale)
    np.testing.assert_allclose(result.equity, twin.equity_series, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(result.cash, twin.cash_series, rtol=1e-9, atol=1e-9 * scale)
    ruined = None if twin.ruin_bar is None else run.bars.index[twin.ruin_bar]
    assert result.ruined_at == ruined


def rows_of(frame, bars):
    """Rows of a frame of fills or trades with bar and asset numbers, as the naive statistics take them."""
    numbered = frame.copy()
    numbered["asset"] = [bars.column(s) for s in frame["symbol"]]
    if "time" in frame:
        numbered["bar"] = bars.index.get_indexer(frame["time"])
    return numbered.to_dict("records")


def naive_stats_of(run):
    """Statistics from the engine's own equity, fills and trades, so that both read the same last bit."""
    result, bars, twin = run.result, run.bars, run.twin
    n = len(result.equity)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return naive_stats(
            equity=result.equity.to_numpy(),
            gross=twin.gross_series,
            cash=run.cash,
            fills=rows_of(result.fills, bars),
            trades=rows_of(result.trades, bars),
            n_orders=int((result.orders["status"] != "rejected").sum()),
            borrow=sum(x["money"] for x in twin.borrowed),
            interest=twin.interest,
            multipliers=[x.multiplier for x in bars.instruments],
            benchmark=buy_and_hold(bars.close)[:n],
            bpy=bars.bars_per_year,
            risk_free=run.risk_free,
        )


NOISE = 1e-12
"""Deviation of bar returns below which what is divided by it says nothing."""


def noise_of(run):
    """Statistics that divide by rounding noise in this run: test_result.py has them one by one."""
    r = run.result.returns.to_numpy()
    rf = run.risk_free / run.bars.bars_per_year
    noisy = set()
    if len(r) < 2 or r.std() < NOISE:
        noisy |= {"volatility", "sharpe", "skew", "kurtosis", "psr"}
    if np.sqrt(np.mean(np.minimum(r - rf, 0) ** 2)) < NOISE:
        noisy.add("sortino")
    if buy_and_hold(run.bars.close)[: len(r)].std() < NOISE:
        noisy |= {"alpha", "beta"}
    return noisy


def assert_same_stats(run):
    naive, ours = naive_stats_of(run), run.result.stats
    assert set(naive) == set(ours.index)
    wrong = {
        k: (ours[k], naive[k])
        for k in set(naive) - noise_of(run)
        if not np.isclose(ours[k], naive[k], rtol=STAT_TOLERANCE, atol=1e-9, equal_nan=True)
    }
    assert not wrong


@settings(random_examples, max_examples=120)
@given(random_runs())
def test_twin_and_engine_agree_on_every_order_fill_trade_and_statistic(run):
    assert_same(run)
    assert_same_stats(run)


@settings(random_examples, max_examples=30)
@given(random_runs(max_bars=60, max_assets=1))
def test_twin_and_engine_agree_on_one_asset_over_longer_runs(run):
    assert_same(run)
    assert_same_stats(run)


@settings(random_examples, max_examples=25)
@given(random_runs())
def test_a_run_without_records_has_the_same_statistics_to_the_last_bit(run):
    """A sweep row equals a backtest because both are the same pass; recording must not change it."""
    setup = Setup.of(run.bars, cash=run.cash, risk_free=run.risk_free, **run.options)
    target = np.ascontiguousarray(run.target)
    bare = setup.run(target).stats
    full = setup.run(target, equity=True, cash=True, record=True).stats
    assert bare.tobytes() == full.tobytes()


@settings(random_examples, max_examples=25)
@given(random_runs())
def test_decisions_do_not_change_when_the_future_is_cut_off(run):
    """The engine itself must not look ahead: a run over the first bars is the start of the whole run."""
    n = run.bars.n_bars
    assume(n > 2)
    cut = n // 2
    # An asset whose data ends is delisted one bar later: that the data has ended is known only then.
    assume(not np.isnan(run.bars.close[cut:]).all(axis=0).any())
    assume(not np.isnan(run.bars.close[cut - 1]).any())
    head = backtest(
        run.target[:cut], run.bars.take(slice(0, cut)), cash=run.cash, risk_free=run.risk_free, **run.options
    )
    whole = run.result
    assert head.equity.tolist() == whole.equity.iloc[: len(head.equity)].tolist()
    past = whole.orders[whole.orders["time"] <= head.bars.index[-1]]
    for name in ("time", "symbol", "target", "decision_price"):
        assert head.orders[name].tolist() == past[name].tolist()
