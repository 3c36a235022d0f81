"""The fill rules of docs/fills.md, one test a line, with numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from oracle.cases import FIRST_DAY, hand_bars

from quantlab.costs import Costs, Interest
from quantlab.engine.backtest import backtest
from quantlab.errors import RuinError, StrategyError
from quantlab.kernels.order import to_lot
from quantlab.model import Instrument
from quantlab.schedules import FeeRow, FeeTable, RegulatoryFees
from quantlab.sizing import Account, Sizing

approx = pytest.approx

ALL = Sizing(allocation=1.0)
AT_FILL = Sizing(allocation=1.0, price="fill")
FRACTIONS_AT_FILL = Sizing(allocation=1.0, price="fill", whole_units=False)


def run(prices, target, *, cash=1000, days=None, factor=None, instruments=None, **options):
    """Backtest prices by symbol with targets by symbol; no cost unless given."""
    bars = hand_bars(prices, days=days, factor=factor, instruments=instruments)
    options.setdefault("costs", Costs.zero())
    return backtest(
        np.column_stack([np.asarray(target[s], float) for s in prices]), bars, cash=cash, **options
    )


def quantities(result):
    return result.orders["quantity"].tolist()


def statuses(result):
    return result.orders["status"].tolist()


# -- 1: when an order fills ----------------------------------------------------------------------------------


def test_an_order_fills_at_the_open_of_the_next_bar():
    result = run({"A": [(10, 10), (11, 10.5), (12, 12)]}, {"A": [1, 1, 1]})
    order, fill = result.orders.iloc[0], result.fills.iloc[0]
    assert (order["time"], fill["time"]) == tuple(result.bars.index[:2])
    assert (order["decision_price"], fill["price"], fill["quantity"]) == (10, 11, 100)
    assert result.equity.tolist() == [1000, 950, 1100]
    assert result.cash.tolist() == [1000, -100, -100]


def test_an_order_waits_for_the_next_bar_of_its_own_asset():
    result = run(
        {"A": [(10, 10), None, None, (12, 13)], "B": [5, 5, 5, 5]}, {"A": [1, 1, 1, 1], "B": [0, 0, 0, 0]}
    )
    assert result.orders["fill_time"].tolist() == [result.bars.index[3]]
    assert result.fills["price"].tolist() == [12]


def test_an_order_of_the_last_bar_stays_open():
    result = run({"A": [10, 10]}, {"A": [0, 1]})
    assert statuses(result) == ["open"]
    assert result.fills.empty
    assert result.trades.empty


@pytest.mark.parametrize(
    ("fill", "time", "price", "equity"),
    [
        ("next_open", 1, 11, [1000, 950]),
        ("next_close", 1, 10.5, [1000, 1000]),
        ("close", 0, 10, [1000, 1050]),
    ],
)
def test_an_order_fills_where_it_was_asked_to(fill, time, price, equity):
    result = run({"A": [(9, 10), (11, 10.5)]}, {"A": [1, 1]}, fill=fill)
    assert result.fills["time"].tolist() == [result.bars.index[time]]
    assert result.fills["price"].tolist() == [price]
    assert result.equity.tolist() == equity


def test_a_fill_at_the_signal_bars_own_close_is_labelled():
    labelled = run({"A": [10, 11]}, {"A": [1, 1]}, fill="close").notes
    assert any("cannot be traded live" in note for note in labelled)
    assert not any("cannot be traded live" in note for note in run({"A": [10, 11]}, {"A": [1, 1]}).notes)


# -- 2: how many units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "price", "instrument", "cash", "units"),
    [
        (1, 10, Instrument("A"), 1000, 100),
        (0.5, 10.5, Instrument("A"), 1000, 47),  # 500 / 10.50 = 47.6
        (-0.5, 10.5, Instrument("A"), 1000, -47),  # towards zero
        (0.5, 10.5, Instrument("A", lot=5), 1000, 45),
        (0.5, 10.5, Instrument("A", lot=0.1), 1000, 47.6),
        (1, 100, Instrument("A", "FUT", multiplier=50), 99_999, 19),  # 99,999 / (100 x 50) = 19.9998
        (1, 1001, Instrument("A"), 1000, None),  # less than one lot: no order
    ],
)
def test_quantity_is_target_times_equity_over_price_cut_to_the_lot(target, price, instrument, cash, units):
    result = run({"A": [price, price]}, {"A": [target] * 2}, cash=cash, instruments=[instrument])
    assert quantities(result) == ([] if units is None else [approx(units)])


def test_two_point_nine_repeating_lots_are_three():
    # 0.3 / 0.1 is 2.9999999999999996.
    result = run({"A": [10, 10]}, {"A": [0.3, 0.3]}, cash=10, instruments=[Instrument("A", lot=0.1)])
    assert quantities(result) == [approx(0.3)]


def test_of_eight_million_lots_none_is_lost_to_rounding():
    below = 8e6
    for _ in range(4):
        below = np.nextafter(below, 0.0)
    assert below < 8e6 - 1e-9
    assert to_lot(below, 1.0) == 8e6
    assert to_lot(-below, 1.0) == -8e6
    assert to_lot(7_999_999.999_999, 1.0) == 7_999_999.0


def test_an_equal_allocation_is_one_over_the_number_of_assets():
    prices = {"A": [10, 10], "B": [20, 20], "C": [30, 30], "D": [40, 40]}
    result = run(prices, {s: [1, 1] for s in prices})
    assert quantities(result) == [25, 12, 8, 6]


def test_fractions_are_traded_when_asked_for():
    sizing = Sizing(allocation=1.0, whole_units=False)
    assert quantities(run({"A": [12, 12]}, {"A": [0.5, 0.5]}, sizing=sizing)) == [approx(500 / 12)]


def test_a_target_of_one_can_stand_for_units_or_for_money():
    assert quantities(run({"A": [10, 10]}, {"A": [0.5, 0.5]}, sizing=Sizing.units(15))) == [7]
    assert quantities(run({"A": [12, 12]}, {"A": [0.5, 0.5]}, sizing=Sizing.value(600))) == [25]


def test_the_quantity_is_what_the_position_lacks_at_the_equity_of_that_bar():
    # 50 at 10; at 12 equity is 1100 and a target of 1 wants 91.
    result = run({"A": [10, 10, 12, 12]}, {"A": [0.5, 0.5, 1, 1]})
    assert quantities(result) == [50, 41]


def test_lots_are_raw_units_and_the_quantity_is_in_units_of_the_bars():
    # Stored 5.05 with factor 2 is a raw price of 10.10: 99 raw units are 198 stored ones.
    result = run({"A": [5.05, 5.05]}, {"A": [1, 1]}, factor={"A": [2, 2]})
    assert quantities(result) == [198]
    raw = run({"A": [10.1, 10.1]}, {"A": [1, 1]})
    assert quantities(raw) == [99]
    assert result.equity.tolist() == raw.equity.tolist()


def test_an_order_is_sized_at_the_decision_and_not_resized_at_the_fill():
    result = run({"A": [(10, 10), (20, 20)]}, {"A": [1, 1]})
    assert result.fills[["quantity", "cash"]].values.tolist() == [[100, -1000]]
    assert any("Cash fell to -1,000.00" in note for note in result.notes)


def test_sizing_at_the_fill_buys_what_the_open_allows():
    result = run({"A": [(10, 10), (11, 11)]}, {"A": [1, 1]}, sizing=AT_FILL)
    assert result.fills[["quantity", "cash"]].values.tolist() == [[90, 10]]
    assert any("not known when an order is sent" in note for note in result.notes)


def test_all_in_at_the_fill_leaves_no_cash_costs_included():
    costs = Costs.percent(0.01, slippage_bps=100)
    result = run({"A": [(10, 10), (11, 11)]}, {"A": [1, 1]}, sizing=FRACTIONS_AT_FILL, costs=costs)
    assert result.fills["quantity"].tolist() == [approx(1000 / (11 * 1.01 * 1.01))]
    assert result.fills["cash"].tolist() == [approx(0, abs=1e-9)]


def test_a_reversal_all_in_at_the_fill_leaves_no_cash_either():
    """What the closing part loses to slippage is not there to be invested."""
    prices = {"A": [10, 10, 10, 10]}
    costs = Costs.zero().replace(slippage_bps=100)
    result = run(prices, {"A": [-0.5, -0.5, 1, 1]}, sizing=FRACTIONS_AT_FILL, costs=costs)
    assert result.fills["cash"].iloc[-1] == approx(0, abs=1e-9)


def test_adding_all_in_at_the_fill_leaves_no_cash_either():
    prices = {"A": [10, 10, 10, 10]}
    costs = Costs.zero().replace(slippage_bps=100)
    result = run(prices, {"A": [0.5, 0.5, 1, 1]}, sizing=FRACTIONS_AT_FILL, costs=costs)
    assert result.fills["cash"].iloc[-1] == approx(0, abs=1e-9)


def test_a_minimum_commission_beyond_the_budget_buys_nothing_at_the_fill():
    costs, sizing = Costs.per_share(0.01, minimum=20), Sizing(allocation=0.01, price="fill")
    result = run({"A": [1, 1]}, {"A": [1, 1]}, sizing=sizing, costs=costs)
    assert result.orders[["status", "reason"]].values.tolist() == [
        ["cancelled", "less than one lot at the fill price"]
    ]


def test_new_orders_shrink_by_one_common_factor_to_the_allowed_leverage():
    # 100 x 10 and 50 x 20 would be 2000 on an equity of 1000.
    prices, target = {"A": [10, 10], "B": [20, 20]}, {"A": [1, 1], "B": [1, 1]}
    assert quantities(run(prices, target, sizing=ALL)) == [50, 25]
    assert quantities(run(prices, target, sizing=Sizing(allocation=1.0, max_leverage=2.0))) == [100, 50]


def test_what_is_held_already_does_not_shrink():
    # A is held with 500 of 1000; what B adds is cut from 1000 to 500.
    prices, target = {"A": [10] * 4, "B": [20] * 4}, {"A": [0.5] * 4, "B": [0, 1, 1, 1]}
    assert quantities(run(prices, target, sizing=ALL)) == [50, 25]


def test_what_is_sold_in_the_same_bar_makes_room_for_what_is_bought():
    prices, target = {"A": [10] * 4, "B": [20] * 4}, {"A": [0, 1, 1, 1], "B": [1, 0, 0, 0]}
    assert quantities(run(prices, target, sizing=ALL)) == [50, 100, -50]


def test_only_the_opening_part_of_a_reversal_shrinks():
    # From 50 long to 200 short: 50 are sold to be flat, and of 200 short only 100 are allowed.
    result = run({"A": [10] * 4}, {"A": [0.25, 0.25, -1, -1]}, sizing=Sizing(allocation=2.0))
    assert quantities(result) == [50, -150]


@pytest.mark.parametrize("sizing", [Sizing(allocation=1.0, price=p) for p in ("decision", "fill")])
def test_an_addition_that_shrinks_keeps_what_is_held(sizing):
    # Equity 1000: A holds 600 and B 300; A wants 400 more and B nothing: 100 are left for A.
    prices = {"A": [10] * 4, "B": [10] * 4}
    result = run(prices, {"A": [0.6, 0.6, 1, 1], "B": [0.3] * 4}, sizing=sizing)
    assert result.fills["quantity"].tolist() == [60, 30, 10]


@pytest.mark.parametrize("sizing", [Sizing(allocation=1.0, price=p) for p in ("decision", "fill")])
def test_a_reduction_never_shrinks(sizing):
    # A goes from 800 to 500, which leaves 500 of the 1000 that B wants.
    prices = {"A": [10] * 4, "B": [10] * 4}
    result = run(prices, {"A": [0.8, 0.8, 0.5, 0.5], "B": [0, 0, 1, 1]}, sizing=sizing)
    assert result.fills["quantity"].tolist() == [80, -30, 50]


# -- 3: when there is a decision -----------------------------------------------------------------------------


def test_an_order_is_decided_when_the_target_changes_and_not_before():
    result = run({"A": [10, 12, 9, 11]}, {"A": [1, 1, 1 - 5e-10, 1]})
    assert quantities(result) == [100]


def test_the_change_is_measured_from_the_last_decision():
    # Steps of 6e-10 add up: the second is more than 1e-9 away from what was decided.
    result = run(
        {"A": [10] * 4}, {"A": [0.5, 0.5 - 6e-10, 0.5 - 1.2e-9, 0.5]}, sizing=Sizing.units(1e10), cash=1e12
    )
    assert len(result.orders) == 3


def test_every_bar_rebalances_when_asked_to():
    # 500 of 1000 at 10 is 50; at 20 equity is 1500, of which half is 37.
    result = run({"A": [10, 10, 20, 20]}, {"A": [0.5] * 4}, sizing=Sizing(rebalance="every_bar"))
    assert quantities(result) == [50, -13]


@pytest.mark.parametrize(("band", "orders"), [(0.1, [50, -13]), (0.2, [50])])
def test_a_band_rebalances_once_the_share_of_equity_has_drifted_beyond_it(band, orders):
    # At 20 the share is 1000 / 1500 = 0.667, which is 0.167 above its target.
    result = run({"A": [10, 10, 20, 20]}, {"A": [0.5] * 4}, sizing=Sizing(rebalance=band))
    assert quantities(result) == orders


def test_the_band_is_measured_from_what_the_sizing_wants():
    """A cash account with a buffer of 10 % wants 0.9 of equity: that is no drift."""
    account, sizing = Account.cash(buffer=0.1), Sizing(rebalance=0.05)
    result = run({"A": [10, 10, 10, 11]}, {"A": [1] * 4}, sizing=sizing, account=account)
    assert quantities(result) == [90]


def test_the_band_of_fixed_units_is_measured_in_raw_units():
    # 20 stored units are 10 raw ones, and 9.9 after a dividend of 1 %: 0.1 % of equity, not 5 %.
    sizing = Sizing.units(10, rebalance=0.01, whole_units=False)
    result = run({"A": [5] * 4}, {"A": [1] * 4}, factor={"A": [2, 2, 2.02, 2.02]}, sizing=sizing)
    assert quantities(result) == [20]


def test_rebalancing_fractions_makes_no_orders_of_rounding_noise():
    sizing = Sizing.units(7, whole_units=False, rebalance="every_bar")
    target = [-0.5, 0.5, -1, -0.5, 0.3, 0.1, 0.7, 0.7, 0.7, 0.7]
    result = run({"A": [10] * 10}, {"A": target}, sizing=sizing, costs=Costs.per_share(0.005, minimum=1))
    assert (result.orders["quantity"].abs() > 1e-6).all()
    assert result.stats["n_orders"] == 7


def test_nan_where_the_asset_has_a_bar_means_flat():
    result = run({"A": [10] * 4}, {"A": [1, 1, np.nan, np.nan]})
    assert quantities(result) == [100, -100]


@pytest.mark.parametrize("meanwhile", [np.nan, 0, -1])
def test_without_a_bar_there_is_no_decision_and_the_last_one_stands(meanwhile):
    result = run({"A": [10, 10, None, 10], "B": [1, 1, 1, 1]}, {"A": [1, 1, meanwhile, 1], "B": [0] * 4})
    assert quantities(result) == [50]
    assert result.positions["A"].tolist() == [0, 50, 50, 50]


@pytest.mark.parametrize("wrong", [1.5, -1.01, np.inf, -np.inf])
def test_a_target_beyond_one_is_an_error_that_names_bar_and_asset(wrong):
    with pytest.raises(StrategyError, match=r"B at 2024-01-03.*\[-1, 1\]"):
        run({"A": [10, 10], "B": [10, 10]}, {"A": [0, 0], "B": [0, wrong]})


def test_a_reversal_is_one_order_with_one_minimum_commission():
    costs = Costs.per_share(0.001, minimum=5)
    result = run({"A": [10] * 4}, {"A": [0.5, 0.5, -0.5, -0.5]}, costs=costs)
    assert quantities(result) == [50, -99]  # equity 995 wants 49 short
    assert result.fills["commission"].tolist() == [5, 5]
    closed, still_open = result.trades.to_dict("records")
    assert closed["commission"] == approx(5 + 5 * 50 / 99)
    assert still_open["commission"] == approx(5 * 49 / 99)
    assert (still_open["quantity"], still_open["open"]) == (-49, True)


def test_membership_of_the_universe_ends_with_a_target_of_zero():
    bars = hand_bars({"A": [10] * 4})
    import dataclasses

    bars = dataclasses.replace(bars, member=np.array([[True], [True], [False], [False]]))
    result = backtest(np.ones((4, 1)), bars, cash=1000, costs=Costs.zero())
    assert quantities(result) == [100, -100]


# -- 4: buying power -----------------------------------------------------------------------------------------

LEVERAGED = {"max_leverage": 10.0}


def test_a_cash_account_shares_its_cash_in_column_order_and_rejects_the_rest():
    # 60 x 10 are paid; 400 are left for the other 600.
    prices = {"A": [10, 10], "B": [10, 10]}
    result = run(
        prices, {"A": [1, 1], "B": [1, 1]}, sizing=Sizing.units(60, **LEVERAGED), account=Account.cash()
    )
    assert statuses(result) == ["filled", "rejected"]
    assert result.orders["reason"].tolist() == ["", "not enough buying power"]
    assert any("1 order(s) rejected" in note for note in result.notes)


def test_a_rejected_order_says_what_was_asked_for():
    result = run(
        {"A": [10, 10]}, {"A": [1, 1]}, sizing=Sizing.units(101, **LEVERAGED), account=Account.cash()
    )
    assert result.orders[["status", "quantity"]].values.tolist() == [["rejected", 101]]


def test_exits_are_counted_before_entries():
    # The exit of B, in the later column, pays for the entry of A.
    prices, target = {"A": [10] * 4, "B": [10] * 4}, {"A": [0, 0, 1, 1], "B": [1, 1, 0, 0]}
    result = run(prices, target, sizing=Sizing.units(100), account=Account.cash())
    assert statuses(result) == ["filled"] * 3
    assert result.fills["symbol"].tolist() == ["B", "B", "A"]


def test_costs_at_the_decision_price_count_on_a_cash_account():
    # 100 x 10 + 1 of commission is more than there is; with a buffer of 1 % there are 99 units.
    costs = Costs.per_share(0, minimum=1)
    rejected = run({"A": [10, 10]}, {"A": [1, 1]}, costs=costs, account=Account.cash())
    assert statuses(rejected) == ["rejected"]
    sized = run({"A": [10, 10]}, {"A": [1, 1]}, costs=costs, account=Account.cash(buffer=0.01))
    assert sized.fills[["quantity", "cash"]].values.tolist() == [[99, 9]]


def test_a_rejected_order_is_not_sent_again_until_the_target_changes():
    account, sizing = Account.cash(), Sizing.units(101, **LEVERAGED)
    result = run({"A": [10, 5, 5, 5, 5]}, {"A": [1, 1, 1, 0.5, 0.5]}, account=account, sizing=sizing)
    assert statuses(result) == ["rejected", "filled"]
    assert result.orders["target"].tolist() == [1, 0.5]


def test_a_margin_account_needs_its_initial_margin():
    # With Regulation T an equity of 1000 carries 2000, not 2010.
    for units, status in ((200, "filled"), (201, "rejected")):
        assert statuses(run({"A": [10, 10]}, {"A": [1, 1]}, sizing=Sizing.units(units, **LEVERAGED))) == [
            status
        ]
    account = Account.margin(0.25)
    sizing = Sizing.units(400, **LEVERAGED)
    assert statuses(run({"A": [10, 10]}, {"A": [1, 1]}, sizing=sizing, account=account)) == ["filled"]


def test_a_gap_may_leave_the_cash_of_any_account_below_zero():
    result = run({"A": [(10, 10), (11, 11)]}, {"A": [1, 1]}, account=Account.cash())
    assert result.fills["cash"].tolist() == [-100]
    assert result.stats["interest"] == 0


def test_a_cash_account_sells_no_shares_it_does_not_have():
    result = run({"A": [10] * 3}, {"A": [-1, -1, -1]}, account=Account.cash())
    assert result.orders[["status", "reason"]].values.tolist() == [
        ["rejected", "short sale on a cash account"]
    ]


def test_a_reversal_on_a_cash_account_ends_flat():
    result = run({"A": [10] * 4}, {"A": [1, 1, -1, -1]}, account=Account.cash())
    assert quantities(result) == [100, -100]
    assert "only the long position is closed" in result.orders["reason"].iloc[1]


def test_sizing_at_the_fill_is_cut_to_the_cash_of_a_cash_account():
    prices, target = (
        {"A": [(10, 10), (12, 12)], "B": [(10, 10), (12, 12)]},
        {"A": [0.75, 0.75], "B": [0.75, 0.75]},
    )
    sizing = Sizing(allocation=1.0, price="fill", max_leverage=2.0)
    result = run(prices, target, sizing=sizing, account=Account.cash())
    assert result.fills[["quantity", "cash"]].values.tolist() == [[62, 256], [21, 4]]


# -- 5: costs ------------------------------------------------------------------------------------------------


def test_slippage_and_spread_worsen_the_price():
    costs = Costs.zero().replace(slippage_bps=100, spread_bps=200)  # 1 % and half of 2 %
    result = run({"A": [10] * 4}, {"A": [0.5, 0.5, 0, 0]}, costs=costs)
    assert result.fills["price"].tolist() == [approx(10.2), approx(9.8)]
    assert result.fills["slippage"].tolist() == [approx(5), approx(5)]
    assert result.fills["spread"].tolist() == [approx(5), approx(5)]
    assert result.equity.iloc[-1] == approx(1000 - 20)


def test_fills_round_to_the_worse_tick():
    costs = Costs.zero().replace(slippage_bps=100)
    result = run(
        {"A": [10] * 4}, {"A": [0.5, 0.5, 0, 0]}, costs=costs, instruments=[Instrument("A", tick=0.25)]
    )
    assert result.fills["price"].tolist() == [10.25, 9.75]


def test_ticks_are_steps_of_the_raw_price():
    # Raw 10.10 rounds up to 10.25; stored at half of that.
    costs = Costs.zero().replace(slippage_bps=100)
    result = run(
        {"A": [5] * 2},
        {"A": [0.5, 0.5]},
        factor={"A": [2, 2]},
        costs=costs,
        instruments=[Instrument("A", tick=0.25)],
    )
    assert result.fills["price"].tolist() == [5.125]


@pytest.mark.parametrize(
    ("costs", "commission"),
    [
        (Costs.percent(0.001), 0.5),
        (Costs.per_share(0.05), 2.5),
        (Costs.per_share(0.005, minimum=1), 1),  # 0.25 is below the minimum
        (Costs.per_share(0.05, minimum=5, cap=0.01), 5),
        (Costs.per_share(0.5, minimum=1, cap=0.01), 5),  # 25 is above 1 % of 500
    ],
)
def test_commission_is_charged_per_order_with_its_minimum_and_cap(costs, commission):
    result = run({"A": [10] * 2}, {"A": [0.5, 0.5]}, costs=costs)
    assert result.fills["commission"].tolist() == [approx(commission)]
    assert result.cash.iloc[-1] == approx(500 - commission)


def test_commission_per_share_counts_raw_units():
    # 50 raw units are 100 stored ones.
    result = run({"A": [5] * 2}, {"A": [0.5, 0.5]}, factor={"A": [2, 2]}, costs=Costs.per_share(0.01))
    assert result.fills[["quantity", "commission"]].values.tolist() == [[100, 0.5]]


def test_regulatory_fees_are_a_field_of_their_own_and_on_sales():
    fees = RegulatoryFees(
        FeeTable("SEC", (FeeRow(None, 0.0001, "made up"),)),
        FeeTable("TAF", (FeeRow(None, 0.0011, "made up"),)),
    )
    costs = Costs.percent(0.001, fees=fees)
    result = run({"A": [10] * 4}, {"A": [0.5, 0.5, 0, 0]}, costs=costs)
    # 500 x 0.0001 = 0.05; 50 x 0.0011 = 0.055, up to the cent 0.06.
    assert result.fills[["commission", "fees"]].values.tolist() == [[0.5, 0], [0.5, approx(0.11)]]
    assert result.stats["fees"] == approx(0.11)
    assert result.stats["commission"] == approx(1)


def test_dates_before_the_first_row_of_a_table_use_it_and_are_flagged():
    days = np.arange(3) + 1000  # 1972
    result = run({"A": [10] * 3}, {"A": [1, 1, 1]}, days=days, costs=Costs.ibkr_fixed())
    assert any("first row" in note for note in result.notes)


def test_a_short_position_pays_borrow_for_every_calendar_day():
    # 102 % of 9.00 is 9.18, up to 10; 10 x 55 x 3.6 % / 360 = 0.055 a day, three days over the weekend.
    days = FIRST_DAY + np.array([0, 1, 2, 5])
    costs = Costs.zero().replace(borrow=0.036)
    result = run({"A": [9] * 4}, {"A": [-0.5] * 4}, days=days, costs=costs)
    assert result.equity.tolist() == approx([1000, 1000, 1000 - 0.055, 1000 - 0.22])
    assert result.stats["borrow"] == approx(0.22)
    assert result.trades["pnl"].tolist() == [approx(-0.22)]


def test_interest_is_paid_on_debt_and_belongs_to_no_trade():
    # 1000 owed at 5 % + 1.5 %, three days over the weekend.
    days = FIRST_DAY + np.array([0, 1, 4])
    costs = Costs.zero().replace(interest=Interest(0.05))
    result = run(
        {"A": [10] * 3}, {"A": [1] * 3}, days=days, costs=costs, sizing=Sizing.units(200, max_leverage=2)
    )
    assert result.stats["interest"] == approx(1000 * 0.065 * 3 / 360)
    assert result.trades["pnl"].tolist() == [0]


# -- 7: ruin -------------------------------------------------------------------------------------------------


def test_equity_at_or_below_zero_ends_the_run_and_closes_everything():
    result = run({"A": [10, 10, 25, 10]}, {"A": [-1] * 4})
    assert result.ruined_at == result.bars.index[2]
    assert result.equity.tolist() == [1000, 1000, -500]
    assert result.fills[["quantity", "price", "kind"]].values.tolist() == [
        [-100, 10, "order"],
        [100, 25, "ruin"],
    ]
    assert result.positions["A"].tolist() == [0, -100, 0]
    assert result.trades["pnl"].tolist() == [-1500]
    assert result.stats["total_return"] == -1.5
    assert (result.stats["cagr"], result.stats["max_drawdown"]) == (-1, -1)
    assert any("Ruined" in note for note in result.notes)


def test_an_equity_of_exactly_zero_is_ruin():
    assert run({"A": [10, 10, 20, 5]}, {"A": [-1] * 4}).ruined_at is not None


def test_ruin_by_the_cost_of_a_fill_at_the_close_ends_the_run_on_that_bar():
    costs = Costs.per_share(0, minimum=2000)
    result = run({"A": [10] * 3}, {"A": [1] * 3}, fill="close", costs=costs)
    assert result.ruined_at == result.bars.index[0]
    assert result.equity.tolist() == [-1000]


def test_ruin_raises_when_asked_to_be_strict():
    with pytest.raises(RuinError, match="2024-01-04"):
        run({"A": [10, 10, 25, 10]}, {"A": [-1] * 4}, strict=True)


# -- 8: assets without a bar ---------------------------------------------------------------------------------


def test_an_asset_without_a_bar_is_marked_at_its_last_close():
    result = run({"A": [10, 10, (10, 12), None, 9], "B": [1] * 5}, {"A": [1] * 5, "B": [0] * 5})
    assert result.equity.tolist() == [1000, 1000, 1100, 1100, 950]


def test_an_asset_whose_data_end_is_closed_at_its_last_close_and_flagged():
    result = run({"A": [10, 10, 12, None, None], "B": [1] * 5}, {"A": [1] * 5, "B": [0] * 5})
    assert result.fills[["quantity", "price", "kind"]].values.tolist() == [
        [50, 10, "order"],
        [-50, 12, "delisted"],
    ]
    assert result.fills["commission"].tolist() == [0, 0]
    assert any("data ended: A" in note for note in result.notes)
    assert result.trades[["pnl", "open"]].values.tolist() == [[100, False]]


def test_an_order_for_an_asset_whose_data_end_is_cancelled():
    result = run({"A": [10, None, None], "B": [1] * 3}, {"A": [1] * 3, "B": [0] * 3})
    assert result.orders[["status", "reason"]].values.tolist() == [["cancelled", "the asset's data ended"]]


def test_positions_at_the_end_are_marked_and_kept_out_of_trade_statistics():
    result = run({"A": [10, 10, 12, 12, 12, 15]}, {"A": [1, 1, 0, 1, 1, 1]})
    assert result.trades["open"].tolist() == [False, True]
    assert result.trades["exit_time"].iloc[-1] == result.bars.index[-1]
    assert result.trades["exit_price"].iloc[-1] == 15
    assert result.stats["n_trades"] == 1
    assert result.stats["win_rate"] == 1


def test_a_late_listing_trades_from_its_first_bar_on():
    result = run({"A": [None, None, 10, 10], "B": [1] * 4}, {"A": [1] * 4, "B": [0] * 4})
    assert result.orders["time"].tolist() == [result.bars.index[2]]


# -- trades from flat to flat --------------------------------------------------------------------------------


def test_additions_and_reductions_belong_to_one_trade():
    # 40 at 10, 40 more at 20, 30 sold at 30, 50 at 15.
    prices = {"A": [10, 10, (20, 20), (30, 30), 15, 15]}
    target = {"A": [0.4, 0.8, 0.5, 0, 0, 0]}
    result = run(prices, target, sizing=Sizing.units(100, **LEVERAGED))
    trade = result.trades.iloc[0]
    assert len(result.trades) == 1
    assert (trade["quantity"], trade["entry_price"]) == (80, 15)  # (400 + 800) / 80
    assert trade["exit_price"] == (30 * 30 + 50 * 15) / 80
    assert trade["pnl"] == 30 * 30 + 50 * 15 - 1200
    assert trade["return_"] == trade["pnl"] / 1200
    assert trade["bars_held"] == 3
