"""Identities that hold on every run: money is neither made nor lost, and every frame tells the same story."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracle.cases import cost_models, hand_bars, markets, random_runs, targets

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.sizing import Account, Sizing

some_examples = settings(
    max_examples=30,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a run has some thirty options: no shrinking
)


def marked_value(result):
    """Value of each position at its last close, shape (n_bars, n_assets)."""
    close = result.bars.frame("close").ffill().fillna(0.0).to_numpy()[: len(result.equity)]
    multiplier = np.array([x.multiplier for x in result.bars.instruments])
    return result.positions.to_numpy() * close * multiplier


def signed_value(fills, bars):
    """Money that each fill took, without its costs."""
    multiplier = fills["symbol"].map({x.symbol: x.multiplier for x in bars.instruments}).astype(float)
    return fills["quantity"] * fills["price"] * multiplier


def scale_of(run):
    return 1e-9 * max(run.cash, run.result.equity.abs().max(), np.abs(marked_value(run.result)).max())


@some_examples
@given(random_runs())
def test_cash_and_positions_are_equity_at_every_bar(run):
    result = run.result
    total = result.cash.to_numpy() + marked_value(result).sum(axis=1)
    np.testing.assert_allclose(total, result.equity.to_numpy(), rtol=1e-9, atol=scale_of(run))


@some_examples
@given(random_runs())
def test_profits_of_trades_less_interest_are_the_change_of_equity(run):
    result = run.result
    earned = result.trades["pnl"].sum() - result.stats["interest"]
    assert math.isclose(earned, result.equity.iloc[-1] - run.cash, rel_tol=1e-9, abs_tol=scale_of(run))


@some_examples
@given(random_runs())
def test_fills_alone_give_cash_positions_costs_and_turnover(run):
    result, bars, stats = run.result, run.bars, run.result.stats
    fills = result.fills
    paid = signed_value(fills, bars).sum() + fills["commission"].sum() + fills["fees"].sum()
    cash = run.cash - paid - stats["borrow"] - stats["interest"]
    assert math.isclose(cash, result.cash.iloc[-1], rel_tol=1e-9, abs_tol=scale_of(run))
    for name in ("commission", "fees", "slippage", "spread"):
        assert math.isclose(fills[name].sum(), stats[name], rel_tol=1e-9, abs_tol=scale_of(run))
        assert (fills[name] >= -scale_of(run)).all()
    by_bar = (
        signed_value(fills, bars)
        .abs()
        .groupby(fills["time"])
        .sum()
        .reindex(result.equity.index, fill_value=0)
    )
    alive = result.equity > 0
    turnover = (by_bar[alive] / result.equity[alive]).sum() / len(result.equity) * result.bars_per_year
    assert math.isclose(turnover, stats["turnover"], rel_tol=1e-9, abs_tol=1e-9)
    held = fills.pivot_table(index="time", columns="symbol", values="quantity", aggfunc="sum")
    held = held.reindex(index=result.positions.index, columns=list(bars.symbols)).fillna(0.0).cumsum()
    np.testing.assert_allclose(result.positions.to_numpy(), held.to_numpy(), rtol=1e-9, atol=1e-6)


@some_examples
@given(random_runs())
def test_slippage_and_spread_are_what_the_price_was_worsened_by(run):
    fills = run.result.fills
    own = fills[fills["kind"] == "order"]
    worse = (own["price"] - own["reference"]) * np.sign(own["quantity"])
    assert (worse >= -1e-9 * own["price"]).all()
    multiplier = own["symbol"].map({x.symbol: x.multiplier for x in run.bars.instruments}).astype(float)
    lost = worse * own["quantity"].abs() * multiplier
    np.testing.assert_allclose(own["slippage"] + own["spread"], lost, rtol=1e-9, atol=scale_of(run))


@some_examples
@given(random_runs())
def test_orders_fills_and_trades_refer_to_each_other(run):
    result = run.result
    orders, fills, trades = result.orders, result.fills, result.trades
    own = fills[fills["kind"] == "order"]
    filled = orders[orders["status"] == "filled"]
    assert sorted(own["order"]) == filled.index.tolist()
    matched = orders.loc[own["order"]]
    for ours, theirs in (
        ("quantity", "quantity"),
        ("symbol", "symbol"),
        ("time", "fill_time"),
        ("price", "fill_price"),
    ):
        assert own[ours].tolist() == matched[theirs].tolist()
    assert set(orders["status"]) <= {
        "filled",
        "rejected",
        "open",
        "cancelled",
    }  # a market order is never replaced
    assert (orders.loc[orders["status"].isin(["rejected", "cancelled"]), "reason"] != "").all()
    assert result.stats["n_orders"] == (orders["status"] != "rejected").sum()
    assert math.isclose(trades["commission"].sum(), fills["commission"].sum(), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(trades["fees"].sum(), fills["fees"].sum(), rel_tol=1e-9, abs_tol=1e-9)
    assert trades["open"].is_monotonic_increasing
    still_held = [s for s in run.bars.symbols if result.positions[s].iloc[-1] != 0]
    assert trades.loc[trades["open"], "symbol"].tolist() == still_held


@some_examples
@given(random_runs())
def test_whole_units_are_whole_raw_lots_except_when_everything_is_closed(run):
    if not run.options["sizing"].whole_units:
        return
    result, bars = run.result, run.bars
    sized_at = "fill_time" if run.options["sizing"].price == "fill" else "time"
    for order in result.orders[result.orders["status"] == "filled"].to_dict("records"):
        i = bars.column(order["symbol"])
        t, fill_bar = bars.index.get_loc(order[sized_at]), bars.index.get_loc(order["fill_time"])
        lots = order["quantity"] / bars.factor[t, i] / bars.instruments[i].lot
        if result.positions.iloc[fill_bar, i] != 0:
            assert abs(lots - round(lots)) < 1e-6 * max(1.0, abs(lots)), order


@some_examples
@given(random_runs(sizing=Sizing(), account=Account.margin()))
def test_gross_value_stays_within_the_allowed_leverage_when_orders_fill_at_the_decision_price(run):
    result = backtest(
        run.target, run.bars, cash=run.cash, costs=Costs.zero(), sizing=run.options["sizing"], fill="close"
    )
    filled = result.fills.loc[result.fills["kind"] == "order", ["time", "symbol"]]
    opened = [
        t for t, s in filled.itertuples(index=False)
        if abs(result.positions[s].loc[t]) > abs(result.positions[s].shift(fill_value=0).loc[t])
    ]  # fmt: skip
    assert (result.exposure.loc[opened] <= 1 + 1e-6).all() or any(x.tick for x in run.bars.instruments)


@some_examples
@given(st.data())
def test_twice_the_money_is_twice_the_equity_where_costs_are_shares_of_value(data):
    bars = data.draw(markets())
    target = data.draw(targets(bars.shape))
    sizing = Sizing(whole_units=False)
    once, twice = (
        backtest(target, bars, cash=c, costs=Costs.percent(0.001, slippage_bps=5), sizing=sizing)
        for c in (1000, 2000)
    )
    np.testing.assert_allclose(twice.equity, 2 * once.equity, rtol=1e-9, atol=1e-7)


@some_examples
@given(st.data())
def test_the_order_of_the_columns_does_not_matter_on_a_margin_account(data):
    bars = data.draw(markets(max_assets=3))
    target = data.draw(targets(bars.shape))
    costs = data.draw(cost_models().filter(lambda c: "tiers" not in repr(c.commission)))
    swapped = bars.take(slice(None), range(bars.n_assets)[::-1])
    ours = backtest(target, bars, cash=5000, costs=costs)
    theirs = backtest(np.ascontiguousarray(target[:, ::-1]), swapped, cash=5000, costs=costs)
    np.testing.assert_allclose(ours.equity, theirs.equity, rtol=1e-9, atol=1e-6)


@some_examples
@given(st.data())
def test_an_asset_that_is_never_wanted_changes_nothing_but_the_equal_share(data):
    bars = data.draw(markets(max_assets=2))
    if bars.n_assets < 2 or np.isnan(bars.close).all(axis=1).any():
        return
    target = data.draw(targets(bars.shape))
    target[:, 1] = 0.0
    sizing = Sizing(allocation=0.5)
    both = backtest(target, bars, cash=5000, costs=Costs.percent(0.001), sizing=sizing)
    alone = backtest(
        np.ascontiguousarray(target[:, :1]), bars.take(slice(None), [0]), cash=5000,
        costs=Costs.percent(0.001), sizing=sizing,
    )  # fmt: skip
    assert both.equity.tolist() == alone.equity.tolist()


@some_examples
@given(st.data())
def test_adjusted_prices_trade_and_cost_what_raw_prices_do(data):
    """Prices divided by a constant factor, which is handed over, are the same market."""
    bars = data.draw(markets())
    target = data.draw(targets(bars.shape))
    costs = data.draw(cost_models())
    factor = data.draw(st.sampled_from([2.0, 0.5, 4.0]))
    columns = {c: getattr(bars, c) / factor for c in ("open", "high", "low", "close")}
    adjusted = dataclasses.replace(bars, factor=bars.factor * factor, **columns)
    raw = backtest(target, bars, cash=5000, costs=costs)
    made = backtest(target, adjusted, cash=5000, costs=costs)
    np.testing.assert_allclose(made.equity, raw.equity, rtol=1e-9, atol=1e-6)
    assert made.fills["quantity"].tolist() == pytest.approx((raw.fills["quantity"] * factor).tolist())
    assert made.stats["commission"] == pytest.approx(raw.stats["commission"])


def test_a_flat_run_does_nothing_at_all():
    result = backtest(np.zeros(5), hand_bars({"A": [10, 11, 12, 11, 10]}), cash=1000)
    assert (result.equity == 1000).all()
    assert result.orders.empty
    assert result.fills.empty
    assert result.trades.empty
    assert result.stats[["sharpe", "sortino", "calmar", "win_rate", "skew", "psr"]].isna().all()
    assert (result.stats[["volatility", "max_drawdown", "turnover", "exposure", "commission"]] == 0).all()


def test_one_bar_is_a_run():
    result = backtest(np.ones(1), hand_bars({"A": [10]}), cash=1000, costs=Costs.zero())
    assert result.equity.tolist() == [1000]
    assert result.orders["status"].tolist() == ["open"]
    assert math.isnan(result.stats["sharpe"])


def test_returns_compound_to_the_final_equity_and_drawdown_counts_the_start():
    result = backtest(np.ones(5), hand_bars({"A": [10, (10, 9), 8, 12, 6]}), cash=1000, costs=Costs.zero())
    assert (1 + result.returns).prod() * 1000 == pytest.approx(result.equity.iloc[-1])
    assert result.equity.tolist() == [1000, 900, 800, 1200, 600]
    assert result.drawdown.tolist() == pytest.approx([0, -0.1, -0.2, 0, -0.5])
    assert result.stats["max_drawdown_bars"] == 2
    assert result.stats["avg_drawdown"] == pytest.approx(-0.35)


def test_frames_are_labelled_as_the_bars():
    result = backtest(np.ones(3), hand_bars({"A": [10, 11, 12]}), cash=1000)
    assert result.equity.index.equals(result.bars.index)
    assert isinstance(result.orders["time"].dtype, type(pd.Series(result.bars.index).dtype))
