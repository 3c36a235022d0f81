"""Sizing and accounts: what they accept, and that live gets the order that the engine gives, bar by bar."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from oracle.cases import ACCOUNTS, hand_bars, random_runs

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.errors import InputError, ParameterError, UnknownNameError
from quantlab.kernels import order
from quantlab.kernels.cost import month_at, row_at
from quantlab.sizing import Account, Sizing, rules_of, target_to_orders

NAN = float("nan")


# -- what is accepted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"allocation": "eqaul"}, UnknownNameError, "did you mean 'equal'"),
        ({"allocation": 0}, ParameterError, "allocation is 0; a finite number > 0"),
        ({"allocation": -0.5}, ParameterError, "allocation"),
        ({"allocation": NAN}, ParameterError, "allocation"),
        ({"allocation": True}, ParameterError, "allocation"),
        ({"allocation": None}, ParameterError, "allocation"),
        ({"price": "close"}, UnknownNameError, "decision, fill"),
        ({"price": None}, UnknownNameError, "sizing price"),
        ({"rebalance": "everybar"}, UnknownNameError, "did you mean 'every_bar'"),
        ({"rebalance": -0.1}, ParameterError, "rebalance band"),
        ({"rebalance": 0}, ParameterError, "rebalance band"),
        ({"max_leverage": 0}, ParameterError, "max_leverage"),
        ({"max_leverage": float("inf")}, ParameterError, "max_leverage"),
        ({"max_leverage": "2"}, ParameterError, "max_leverage"),
        ({"fixed_units": 0}, ParameterError, "units"),
        ({"fixed_value": -5}, ParameterError, "value"),
        ({"fixed_units": 1, "fixed_value": 1}, ParameterError, "not both"),
    ],
)
def test_a_sizing_that_cannot_be_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        Sizing(**options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"kind": "cahs"}, UnknownNameError, "did you mean 'cash'"),
        ({"initial_margin": 0}, ParameterError, "initial_margin"),
        ({"buffer": 1}, ParameterError, "buffer"),
        ({"buffer": -0.1}, ParameterError, "buffer"),
        ({"buffer": "a"}, ParameterError, "buffer"),
    ],
)
def test_an_account_that_cannot_be_is_refused(options, error, text):
    with pytest.raises(error, match=text):
        Account(**options)


def test_sizings_and_accounts_are_frozen_and_compare_by_value():
    assert Sizing() == Sizing(allocation="equal", price="decision", rebalance="on_change")
    assert Sizing.units(10) == Sizing(fixed_units=10)
    assert Sizing.value(10_000, max_leverage=2.0) == Sizing(fixed_value=10_000, max_leverage=2.0)
    assert Account.margin() == Account()
    assert Account.cash(0.1) == Account("cash", buffer=0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sizing().price = "fill"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"cash": 0}, "cash is 0"),
        ({"cash": -1}, "positive amount"),
        ({"cash": "1000"}, "cash is '1000'"),
        ({"cash": NAN}, "finite"),
        ({"risk_free": NAN}, "risk_free"),
        ({"fill": "open"}, "did you mean 'next_open'|Known: close, next_close, next_open"),
        ({"costs": 0.001}, "Costs is needed"),
        ({"costs": Costs}, "Costs is needed"),
        ({"sizing": 0.5}, "Sizing is needed"),
        ({"account": "cash"}, "Account is needed"),
        ({"benchmark": "B"}, "unknown symbol 'B'"),
        ({"benchmark": [1, 2]}, "benchmark has shape"),
        ({"benchmark": [1, 0, 1]}, "above zero"),
        ({"detail": 1}, "detail"),
        ({"params": {"fast": 3}}, "params belong to a strategy"),
        ({"start": "2030-01-01"}, "no bar between"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, text):
    with pytest.raises(InputError, match=text):
        backtest(np.ones(3), hand_bars({"A": [10, 11, 12]}), **options)


def test_bars_must_be_bars():
    with pytest.raises(InputError, match="DataFrame; make Bars"):
        backtest(np.ones(3), hand_bars({"A": [10, 11, 12]}).to_frame())


# -- one bar -------------------------------------------------------------------------------------------------


def one_bar(target, close, *, sizing=None, account=None, costs=None, **state):
    bars = hand_bars({chr(65 + i): [10.0] for i in range(len(close))})
    n = len(close)
    state = {"position": np.zeros(n), "last_target": np.zeros(n), "cash": 1000.0} | state
    return target_to_orders(
        np.asarray(target, float),
        np.asarray(close, float),
        rules=rules_of(sizing or Sizing(allocation=1.0), account or Account.margin(), bars.instruments),
        table=(costs or Costs.zero()).table(bars),
        **{k: np.asarray(v, float) if k != "cash" else v for k, v in state.items()},
    )


def test_one_bar_gives_quantities_targets_and_outcomes():
    decision = one_bar([1, NAN, 0.5], [10, 20, NAN], position=[0, 5, 0], last_target=[0, 0.1, 0.5], cash=900)
    assert decision.quantity.tolist() == [100, -5, 0]
    assert decision.last_target.tolist() == [1, 0, 0.5]
    assert decision.outcome.tolist() == [order.ORDERED, order.ORDERED, order.NONE]


def test_a_newer_decision_replaces_a_standing_order():
    # 50 are on their way; the new target of 0 wants none of them, and nothing is held.
    assert one_bar([0], [10], pending=[50], last_target=[0.5]).quantity.tolist() == [0]
    assert one_bar([0.25], [10], pending=[50], last_target=[0.5]).quantity.tolist() == [25]


def test_a_standing_order_of_another_asset_counts_in_leverage_and_buying_power():
    # A has no bar: its order over 60 x 10 stands, and leaves 400 for B.
    state = {"pending": [60, 0], "last_target": [0.6, 0], "last_close": [10, 0]}
    assert one_bar([0.6, 1], [NAN, 10], **state).quantity.tolist() == [0, 40]
    sizing = Sizing(allocation=1.0, max_leverage=5.0)
    broke = one_bar([0.6, 1], [NAN, 10], account=Account.cash(), sizing=sizing, **state)
    assert broke.quantity.tolist() == [0, 0]
    assert broke.outcome.tolist() == [order.NONE, order.NO_BUYING_POWER]


def test_one_bar_leaves_its_arguments_alone():
    target, close, position = np.array([1.0]), np.array([10.0]), np.array([0.0])
    one_bar(target, close, position=position)
    assert (target.tolist(), close.tolist(), position.tolist()) == ([1.0], [10.0], [0.0])
    assert all(array.flags.writeable for array in (target, close, position))


# -- live equals backtest ------------------------------------------------------------------------------------


def live_book(run, t):
    """Raw units and raw last closes after bar t, as a broker would tell them."""
    bars, result = run.bars, run.result
    has_bar = ~np.isnan(bars.close[: t + 1])
    rows = [np.flatnonzero(has_bar[:, i]).max(initial=-1) for i in range(bars.n_assets)]
    seen = [max(r, 0) for r in rows]
    columns = np.arange(bars.n_assets)
    factor = bars.factor[seen, columns]
    close = np.where(np.array(rows) >= 0, bars.close[seen, columns] * factor, 0.0)
    return result.positions.to_numpy()[t] / factor, close, factor


def month_units_at(run, table, t):
    """Raw units traded in the month of bar t, per group."""
    units, bars = np.zeros(table.n_groups), run.bars
    first = table.month_from[month_at(table, 0, t)]
    for fill in run.result.fills[run.result.fills["kind"] == "order"].to_dict("records"):
        bar, i = bars.index.get_loc(fill["time"]), bars.column(fill["symbol"])
        if first <= bar <= t:
            units[table.group[i]] += abs(fill["quantity"]) / bars.factor[bar, i]
    return units


@settings(
    max_examples=40,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(random_runs(max_bars=16))
def test_the_live_path_gives_the_order_of_the_engine_at_every_bar(run):
    sizing = run.options["sizing"]
    # At the signal bar's own close, and sized at a price that is not known yet, there is no live path.
    assume(sizing.price == "decision" and run.options["fill"] != "close")
    bars, result = run.bars, run.result
    rules = rules_of(sizing, run.options["account"], bars.instruments)
    table = run.options["costs"].table(bars)
    last_target, n = np.zeros(bars.n_assets), len(result.equity)
    index, orders = result.bars.index, result.orders
    for t in range(n if result.ruined_at is None else n - 1):
        position, close, factor = live_book(run, t)
        placed = orders["status"] != "rejected"
        fill_time = orders["fill_time"]
        standing = orders[placed & (orders["time"] < index[t]) & (fill_time.isna() | (fill_time > index[t]))]
        pending = np.zeros(bars.n_assets)
        for row in standing.to_dict("records"):
            i = bars.column(row["symbol"])
            ended = np.isnan(bars.close[t:, i]).all()
            pending[i] = 0.0 if ended else row["quantity"] / factor[i]
        decision = target_to_orders(
            run.target[t].copy(),
            bars.close[t] * bars.factor[t],
            position=position,
            last_target=last_target,
            cash=float(result.cash.iloc[t]),
            rules=rules,
            table=table,
            pending=pending,
            last_close=close,
            row=row_at(table, 0, t),
            month_units=month_units_at(run, table, t),
        )
        wanted = np.zeros(bars.n_assets)
        for row in orders[placed & (orders["time"] == index[t])].to_dict("records"):
            i = bars.column(row["symbol"])
            wanted[i] = row["quantity"] / bars.factor[t, i]
        np.testing.assert_allclose(decision.quantity, wanted, rtol=1e-9, atol=1e-9)
        refused = np.isin(decision.outcome, [order.NO_BUYING_POWER, order.NO_SHORT_SALE])
        rejected = orders[~placed & (orders["time"] == index[t])]["symbol"].tolist()
        assert [bars.symbols[i] for i in np.flatnonzero(refused)] == rejected
        last_target = decision.last_target


def test_the_accounts_of_the_random_runs_include_both_kinds():
    assert {a.kind for a in ACCOUNTS} == {"margin", "cash"}
