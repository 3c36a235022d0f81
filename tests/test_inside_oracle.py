"""Orders inside the bar: the engine against its naive twin, and what has to add up in any run whatever it does."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from hypothesis import assume, given, settings
from oracle.inside import AT_PRICE
from oracle.inside_cases import InsideRun, crowded_runs, inside_runs, turning_runs
from test_engine_oracle import (
    FILL,
    ORDER,
    STAT_TOLERANCE,
    TRADE,
    assert_same_frame,
    naive_stats_of,
    noise_of,
    random_examples,
)

from quantlab.engine.backtest import backtest, wish_of
from quantlab.engine.setup import Setup

INSIDE_ORDER = [*ORDER, "type", "limit", "stop"]
INSIDE_FILL = [*FILL, "doubtful"]
STOPS = ("stop loss", "trailing stop")
PROTECTIVE = (*STOPS, "take profit")


def assert_same(run):
    result, twin = run.result, run.twin
    assert len(result.equity) == len(twin.equity_series)
    scale = scale_of(run)
    assert_same_frame(result.orders, twin.frame(twin.orders, INSIDE_ORDER), scale)
    assert_same_frame(result.fills, twin.frame(twin.fills, INSIDE_FILL), scale)
    assert_same_frame(result.trades, twin.frame(twin.trades(), TRADE), scale)
    np.testing.assert_allclose(result.equity, twin.equity_series, rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(result.cash, twin.cash_series, rtol=1e-9, atol=1e-9 * scale)
    assert result.ruined_at == (None if twin.ruin_bar is None else run.bars.index[twin.ruin_bar])
    assert_same_stats(run)


def assert_same_stats(run):
    naive, ours, r = naive_stats_of(run), run.result.stats, run.result.returns.to_numpy()
    noisy = noise_of(run)
    if r.std() < abs(r.mean()) / 20:
        # Higher moments of numbers that hardly differ are mostly rounding.
        noisy |= {"skew", "kurtosis", "psr"}
    wrong = {
        k: (ours[k], naive[k])
        for k in set(naive) - noisy
        if not np.isclose(ours[k], naive[k], rtol=STAT_TOLERANCE, atol=1e-9, equal_nan=True)
    }
    assert not wrong


def scale_of(run):
    """Money that was at stake."""
    return max(run.cash, run.result.equity.abs().max())


def multiplier(run, symbol):
    return run.bars.instruments[run.bars.column(symbol)].multiplier


# -- the twin ----------------------------------------------------------------------------------------------


@settings(random_examples, max_examples=300)
@given(inside_runs(with_detail=False))
def test_twin_and_engine_agree_on_orders_inside_the_bar(run):
    assert_same(run)


@settings(random_examples, max_examples=120)
@given(inside_runs(max_bars=16, with_detail=True))
def test_twin_and_engine_agree_on_the_way_through_finer_bars(run):
    assert_same(run)


@settings(random_examples, max_examples=100)
@given(inside_runs(max_bars=60, max_assets=1))
def test_twin_and_engine_agree_on_one_asset_over_longer_runs(run):
    assert_same(run)


def turns_that_are_charged_as_two(run):
    """Fills through zero of a run whose reversals are two orders to its broker."""
    if run.options["sizing"].price == "fill" or not run.twin.asks_for_protection:
        return 0
    held, found = dict.fromkeys(run.bars.symbols, 0.0), 0
    for fill in run.result.fills.to_dict("records"):
        before = held[fill["symbol"]]
        held[fill["symbol"]] += fill["quantity"]
        found += before * held[fill["symbol"]] < 0
    return found


def test_twin_and_engine_agree_on_what_reversals_cost():
    runs = 0

    @settings(random_examples, max_examples=120)
    @given(turning_runs())
    def agree(run):
        nonlocal runs
        assert_same(run)
        runs += turns_that_are_charged_as_two(run) > 0

    agree()
    assert runs >= 8


def refused(twin):
    return [(order["bar"], order["asset"]) for order in twin.orders if order["status"] == "rejected"]


def is_decided_by_rank(run):
    """Whether other orders would have been refused if columns came in their order."""
    unranked = InsideRun(
        run.bars, None, dataclasses.replace(run.signal, rank=None), run.cash, 0.0, run.options
    )
    return refused(run.twin) != refused(unranked.twin)


def test_twin_and_engine_agree_on_who_comes_first_when_money_is_short():
    decided = dict.fromkeys(("margin", "cash"), 0)

    @settings(random_examples, max_examples=150)
    @given(crowded_runs())
    def agree(run):
        assert_same(run)
        decided[run.options["account"].kind] += is_decided_by_rank(run)

    agree()
    assert min(decided.values()) >= 8, decided


# -- what adds up ------------------------------------------------------------------------------------------


def assert_equity_is_cash_and_positions(run):
    result, bars = run.result, run.bars
    held = np.zeros((len(result.equity), bars.n_assets))
    for fill in result.fills.to_dict("records"):
        held[bars.index.get_loc(fill["time"]) :, bars.column(fill["symbol"])] += fill["quantity"]
    close = bars.frame("close").ffill().fillna(0.0).to_numpy()[: len(held)]
    worth = (held * close * [x.multiplier for x in bars.instruments]).sum(axis=1)
    np.testing.assert_allclose(result.equity, result.cash + worth, rtol=1e-9, atol=1e-9 * scale_of(run))


def assert_trades_make_the_change_of_equity(run):
    result = run.result
    made = result.equity.iloc[-1] - run.cash
    told = result.trades["pnl"].sum() - result.stats["interest"]
    assert abs(made - told) <= 1e-9 * scale_of(run) * max(len(result.trades), 1)


def assert_fills_pay_for_themselves(run):
    """Within a bar, cash moves by what the fills cost; the statistics are their sums."""
    result, fills = run.result, run.result.fills.to_dict("records")
    for before, fill in itertools.pairwise(fills):
        if before["time"] == fill["time"]:
            value = fill["quantity"] * fill["price"] * multiplier(run, fill["symbol"])
            paid = value + fill["commission"] + fill["fees"]
            assert abs(before["cash"] - paid - fill["cash"]) <= 1e-9 * scale_of(run)
    for name in ("commission", "fees", "slippage", "spread"):
        np.testing.assert_allclose(result.stats[name], result.fills[name].sum(), atol=1e-9 * scale_of(run))


def assert_orders_and_fills_are_of_one_mind(run):
    result, orders = run.result, run.result.orders
    ordered = result.fills[result.fills["order"] >= 0]
    assert not ordered["order"].duplicated().any()
    rows = orders.loc[ordered["order"]]
    assert (orders["status"] == "filled").sum() == len(ordered)
    for ours, theirs in (("quantity", "quantity"), ("fill_price", "price"), ("fill_time", "time")):
        assert rows[ours].tolist() == ordered[theirs].tolist()
    protective = ordered["kind"].isin(PROTECTIVE).to_numpy()
    assert (rows["type"].to_numpy()[protective] == ordered["kind"].to_numpy()[protective]).all()


def assert_protective_orders_only_protect(run):
    """A stop leaves nothing, and a target never more than there was, nor anything of the other sign."""
    held = dict.fromkeys(run.bars.symbols, 0.0)
    for fill in run.result.fills.to_dict("records"):
        before = held[fill["symbol"]]
        after = held[fill["symbol"]] = before + fill["quantity"]
        if abs(after) <= 1e-9 * abs(before):
            after = held[fill["symbol"]] = 0.0
        if fill["kind"] in STOPS:
            assert before != 0
            assert after == 0
        if fill["kind"] == "take profit":
            assert before != 0
            assert before * after >= 0
            assert abs(after) < abs(before)


def assert_fills_lie_in_their_bars(run):
    """Every reference price was traded in its bar, and no order at a limit is filled beyond it."""
    result, bars = run.result, run.bars
    entered = {}
    for fill in result.fills[result.fills["order"] >= 0].to_dict("records"):
        t, i = bars.index.get_loc(fill["time"]), bars.column(fill["symbol"])
        order, side = result.orders.loc[fill["order"]], np.sign(fill["quantity"])
        assert side * (fill["price"] - fill["reference"]) >= -1e-9 * fill["price"]
        assert np.isnan(order["limit"]) or side * (fill["price"] - order["limit"]) <= 0
        if fill["kind"] == "order":
            entered[i] = t, order["type"] in AT_PRICE
        elif entered[i] == (t, True):
            # Rule 50 takes the level of the bar of such an entry as it is, also where the entry's price is past it.
            continue
        assert bars.low[t, i] * (1 - 1e-9) <= fill["reference"] <= bars.high[t, i] * (1 + 1e-9)


@settings(random_examples, max_examples=120)
@given(inside_runs())
def test_money_positions_and_orders_add_up(run):
    assert_equity_is_cash_and_positions(run)
    assert_trades_make_the_change_of_equity(run)
    assert_fills_pay_for_themselves(run)
    assert_orders_and_fills_are_of_one_mind(run)
    assert_protective_orders_only_protect(run)
    assert_fills_lie_in_their_bars(run)


# -- what must not matter ----------------------------------------------------------------------------------


@settings(random_examples, max_examples=25)
@given(inside_runs())
def test_a_run_without_records_has_the_same_statistics_to_the_last_bit(run):
    setup = Setup.of(run.bars, cash=run.cash, risk_free=run.risk_free, detail=run.detail, **run.options)
    wish, _, _ = wish_of(run.signal, run.bars, None)
    bare = setup.run(wish.target, wish.inside).stats
    full = setup.run(wish.target, wish.inside, equity=True, cash=True, record=True).stats
    assert bare.tobytes() == full.tobytes()


@settings(random_examples, max_examples=25)
@given(inside_runs(with_detail=False))
def test_finer_bars_that_are_the_bars_themselves_change_nothing(run):
    same = dataclasses.replace(run.bars, bar_size="5 mins")
    fine = backtest(run.signal, run.bars, detail=same, cash=run.cash, risk_free=run.risk_free, **run.options)
    assert fine.detail_changes == 0
    for ours, plain in ((fine.orders, run.result.orders), (fine.fills, run.result.fills)):
        assert ours.drop(columns="time").equals(plain.drop(columns="time"))
    assert fine.equity.tolist() == run.result.equity.tolist()


@settings(random_examples, max_examples=40)
@given(inside_runs())
def test_decisions_do_not_change_when_the_future_is_cut_off(run):
    bars, cut = run.bars, run.bars.n_bars // 2
    # When a session ends is known from the calendar, not from the bars that come after it.
    assume(cut > 1)
    assume(bars.session[cut] != bars.session[cut - 1])
    # An asset whose data ends is delisted one bar later: that the data has ended is known only then.
    assume(not np.isnan(bars.close[cut:]).all(axis=0).any())
    assume(not np.isnan(bars.close[cut - 1]).any())
    wish, _, _ = wish_of(run.signal, bars, None)
    detail = None
    if run.detail is not None:
        detail = run.detail.take(slice(0, int((run.detail.time <= bars.time[cut - 1]).sum())))
    given = {"cash": run.cash, "risk_free": run.risk_free, "detail": detail}
    head = backtest(wish.rows(slice(0, cut)), bars.take(slice(0, cut)), **given, **run.options)
    whole = run.result
    assert head.equity.tolist() == whole.equity.iloc[: len(head.equity)].tolist()
    past = whole.orders[: len(head.orders)]
    for name in ("time", "symbol", "target", "decision_price", "type", "limit", "stop"):
        assert head.orders[name].astype(str).tolist() == past[name].astype(str).tolist()
