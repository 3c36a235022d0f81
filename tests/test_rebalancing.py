"""Portfolios: bands, sales before purchases, buffers, whole lots, and who comes first when money is short."""

from __future__ import annotations

import numpy as np
import pytest
from oracle.cases import hand_bars

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.errors import StrategyError
from quantlab.signal import Signal
from quantlab.sizing import Account, Sizing, target_to_orders

FREE = Costs.zero()
DEAR = {"A": [10, 10, 10], "B": [20, 20, 20], "C": [40, 40, 40]}
OVER = Sizing(allocation=0.6, max_leverage=9.0)


def symbols_filled(result):
    filled = result.orders[result.orders["status"] == "filled"]
    return filled["symbol"].tolist()


def all_three(rank=None, prices=DEAR, **options):
    bars = hand_bars(prices)
    options = {"cash": 1000, "account": Account.cash(), "sizing": OVER, "costs": FREE, **options}
    return backtest(Signal(np.ones(bars.shape), rank=rank), bars, **options)


def test_without_a_rank_the_earlier_column_is_paid_first():
    assert symbols_filled(all_three()) == ["A"]


@pytest.mark.parametrize(
    ("rank", "first"),
    [([1.0, 2.0, 3.0], "C"), ([1.0, 3.0, 2.0], "B"), ([2.0, 2.0, 1.0], "A"), ([np.nan, 0.0, -np.inf], "B")],
)
def test_the_highest_rank_is_paid_first(rank, first):
    assert symbols_filled(all_three(np.tile(rank, (3, 1)))) == [first]


def test_a_rank_may_change_from_bar_to_bar_and_counts_at_the_decision():
    bars = hand_bars(DEAR)
    target = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1]], float)
    rank = np.array([[3, 2, 1], [1, 3, 2], [3, 2, 1]], float)
    result = backtest(
        Signal(target, rank=rank), bars, cash=1000, account=Account.cash(), sizing=OVER, costs=FREE
    )
    assert symbols_filled(result) == ["B"]


def test_exits_are_counted_before_the_highest_rank():
    bars = hand_bars({"A": [10, 10, 10], "B": [20, 20, 20], "C": [40, 40, 40]})
    target = np.array([[1, 0, 0], [0, 1, 1], [0, 1, 1]], float)
    result = backtest(
        Signal(target, rank=np.tile([0.0, 1.0, 2.0], (3, 1))),
        bars,
        cash=1000,
        account=Account.cash(),
        sizing=OVER,
        costs=FREE,
    )
    assert symbols_filled(result) == ["A", "A", "C"]


def test_a_margin_account_also_takes_the_highest_rank_first():
    result = all_three([[0.0, 1.0, 2.0]] * 3, account=Account.margin(1.0))
    assert symbols_filled(result) == ["C"]


def test_a_rank_that_is_no_number_is_refused():
    with pytest.raises(StrategyError, match="rank has values of type"):
        all_three("high")


def test_live_sizing_takes_the_same_rank():
    from quantlab.sizing import rules_of

    bars = hand_bars(DEAR)
    rules = rules_of(OVER, Account.cash(), bars.instruments)
    decided = target_to_orders(
        np.ones(3),
        bars.close[0],
        position=np.zeros(3),
        last_target=np.zeros(3),
        cash=1000.0,
        rules=rules,
        table=FREE.table(bars),
        rank=np.array([1.0, 2.0, 3.0]),
    )
    assert decided.quantity.tolist() == [0.0, 0.0, 15.0]


# -- bands, buffers, lots ----------------------------------------------------------------------------------


def test_a_band_lets_weights_drift_and_then_sells_before_it_buys():
    bars = hand_bars({"A": [10, 10, 14, 20, 20], "B": [10, 10, 10, 10, 10]})
    result = backtest(
        np.full(bars.shape, 1.0),
        bars,
        cash=1000,
        costs=FREE,
        account=Account.cash(),
        sizing=Sizing(allocation=0.5, rebalance=0.1),
    )
    # 50 of each; at 14 A is 58 % of equity, within the band; at 20 it is 67 %: 1,500 of equity in halves.
    assert result.fills["quantity"].tolist() == [50.0, 50.0, -13.0, 25.0]
    assert result.fills["symbol"].tolist() == ["A", "B", "A", "B"]
    assert result.fills["time"].tolist() == [bars.index[1]] * 2 + [bars.index[4]] * 2


def test_a_buffer_of_cash_stays():
    bars = hand_bars({"A": [10, 10]})
    result = backtest(np.ones(2), bars, cash=1000, costs=FREE, account=Account.cash(buffer=0.05))
    assert result.cash.iloc[-1] == 50.0


def test_what_whole_lots_leave_out_is_told_by_order_and_as_a_share_of_equity():
    bars = hand_bars({"A": [300, 300], "B": [70, 70]})
    result = backtest(np.ones(bars.shape), bars, cash=1000, costs=FREE)
    # Of 500 each: 1 x 300 and 7 x 70.
    np.testing.assert_allclose(result.orders["residue"], [200.0, 10.0])
    np.testing.assert_allclose(result.residue, [0.21])
    assert result.residue.index.tolist() == [bars.index[0]]


def test_fractions_and_orders_sized_at_the_fill_leave_no_residue():
    bars = hand_bars({"A": [300, 300], "B": [70, 70]})
    for sizing in (Sizing(whole_units=False), Sizing(price="fill")):
        result = backtest(np.ones(bars.shape), bars, cash=1000, costs=FREE, sizing=sizing)
        np.testing.assert_allclose(result.orders["residue"], [0.0, 0.0], atol=1e-9)


def test_what_leverage_cuts_is_no_residue():
    bars = hand_bars({"A": [10, 10], "B": [20, 20]})
    result = backtest(np.ones(bars.shape), bars, cash=1000, costs=FREE, sizing=Sizing(allocation=1.0))
    np.testing.assert_allclose(result.orders["residue"], [0.0, 0.0], atol=1e-9)
