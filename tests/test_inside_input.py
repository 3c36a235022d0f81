"""Levels, ladders and finer bars that cannot be: errors that name asset and bar; and what a signal becomes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from oracle.cases import hand_bars

import quantlab as ql
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.errors import DataError, ParameterError, StrategyError
from quantlab.levels import AtrMultiple, Distance, Ladder, signal_members, signal_to_orders, stitched_orders
from quantlab.signal import Signal
from quantlab.signals import atr
from quantlab.sizing import Sizing

NAN = np.nan


@pytest.fixture
def two():
    return hand_bars({"A": [10, 11, 12, 13], "B": [20, 21, 22, 23]})


@pytest.fixture
def one():
    return hand_bars({"A": [10, 11, 12, 13]})


def run(bars, **members):
    target = members.pop("target", np.ones(bars.shape))
    options = {k: members.pop(k) for k in ("sizing", "fill", "detail") if k in members}
    return backtest(Signal(target, **members), bars, costs=Costs.zero(), **options)


# -- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["stop_loss", "take_profit", "trailing_stop"])
@pytest.mark.parametrize("value", [0.0, -0.05, 5.0, np.inf])
def test_a_fraction_outside_zero_to_one_names_asset_and_bar(two, member, value):
    values = np.full(two.shape, 0.05)
    values[2, 1] = value
    with pytest.raises(StrategyError, match=rf"{member} is {value} for B at 2024-01-04.*5 percent is 0.05"):
        run(two, **{member: values})


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf])
def test_a_distance_that_is_not_above_zero_names_asset_and_bar(two, value):
    values = np.full(two.shape, 1.0)
    values[1, 0] = value
    with pytest.raises(StrategyError, match=rf"stop_loss is {value} for A at 2024-01-03.*above zero"):
        run(two, stop_loss=Distance(values))


@pytest.mark.parametrize("member", ["limit", "stop"])
@pytest.mark.parametrize("value", [0.0, -3.0, np.inf])
def test_a_price_of_an_entry_that_is_not_above_zero_names_asset_and_bar(two, member, value):
    values = np.full(two.shape, 100.0)
    values[3, 0] = value
    with pytest.raises(StrategyError, match=rf"{member} is {value} for A at 2024-01-05"):
        run(two, **{member: values})


@pytest.mark.parametrize("value", [0, -1, 1.5, np.inf])
def test_a_time_that_is_no_number_of_bars_names_asset_and_bar(one, value):
    with pytest.raises(StrategyError, match=r"time_stop is .* for A at 2024-01-02.*whole number"):
        run(one, time_stop=float(value))


def test_values_where_nothing_is_wanted_are_not_looked_at(two):
    target = np.ones(two.shape)
    target[2:] = 0.0
    stop = np.full(two.shape, 0.05)
    stop[3, 1] = -1.0
    assert len(run(two, target=target, stop_loss=stop).orders) > 0


def test_a_buy_stop_below_the_close_and_a_sell_stop_above_it_are_on_the_wrong_side(one):
    with pytest.raises(
        StrategyError, match=r"buy stop of A at 2024-01-02 00:00:00 is 9, at or below the close of 10.*limit="
    ):
        run(one, stop=9.0)
    with pytest.raises(
        StrategyError, match=r"sell stop of A at 2024-01-02 00:00:00 is 14, at or above the close of 10"
    ):
        run(one, target=-np.ones(one.shape), stop=14.0)


def test_a_stop_is_only_looked_at_where_an_entry_is_decided(one):
    run(
        one, stop=[10.5, 10.5, 10.5, 10.5]
    )  # from the second bar on the close is above it, and the position is held
    with pytest.raises(StrategyError, match=r"2024-01-04"):
        run(one, stop=[10.5] * 4, entry=[0, 0, 1, 0])


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("stop_loss", np.full((3, 2), 0.1), r"stop_loss has shape \(3, 2\)"),
        ("limit", "dear", "limit has values of type"),
        ("entry", np.ones((4, 3)), r"entry has shape \(4, 3\)"),
        ("take_profit", np.full((4, 4), 0.1), r"take_profit has shape"),
    ],
)
def test_a_shape_or_a_type_that_cannot_be_is_named(two, member, value, text):
    with pytest.raises(StrategyError, match=text):
        run(two, **{member: value})


def test_members_of_a_frame_are_matched_by_their_labels(two):
    stop = pd.DataFrame({"B": [0.05] * 4, "A": [0.5] * 4}, index=two.index)
    orders = signal_to_orders(Signal(np.ones(two.shape), stop_loss=stop), np.ones(two.shape), two)
    assert orders.stop_loss[0].tolist() == [0.5, 0.05]


# -- combinations ------------------------------------------------------------------------------------------


def test_an_order_at_a_price_is_not_sized_at_its_fill(one):
    with pytest.raises(ParameterError, match=r"sized when it is sent"):
        run(one, limit=9.0, sizing=Sizing(price="fill"))


def test_a_ladder_does_not_go_with_rebalancing(one):
    with pytest.raises(ParameterError, match=r"would buy back"):
        run(one, take_profit=Ladder((0.1, 0.5)), sizing=Sizing(rebalance="every_bar"))
    run(one, take_profit=Ladder((0.1, 1.0)), sizing=Sizing(rebalance="every_bar"))


def test_an_auction_goes_neither_with_the_close_of_the_decision_nor_with_a_price(one):
    with pytest.raises(ParameterError, match=r"fill='close'"):
        run(one, order_type="moc", fill="close")
    with pytest.raises(ParameterError, match=r"a limit or a stop is none"):
        Signal(1.0, limit=3.0, order_type="moo")


@pytest.mark.parametrize(
    "rungs",
    [(), ((0.1, 0.5),) * 5, ((0.1, 0.6), (0.2, 0.6)), ((0.1, 0.0),), ((0.1,),), (0.1, 0.5)],
)
def test_a_ladder_that_cannot_be_says_what_is_allowed(rungs):
    with pytest.raises(ParameterError, match=r"ladder|rung"):
        Ladder(*rungs)


def test_a_ladder_has_levels_of_one_kind(one):
    with pytest.raises(StrategyError, match=r"mixes fractions and distances"):
        run(one, take_profit=Ladder((0.1, 0.5), (Distance(3.0), 0.5)))


@pytest.mark.parametrize(
    ("multiple", "n"), [(0.0, 14), (-1.0, 14), (np.inf, 14), (2.0, 0), (2.0, 1.5), (2.0, True)]
)
def test_a_multiple_of_ranges_that_cannot_be_is_refused(multiple, n):
    with pytest.raises(ParameterError, match=r"multiple is|n is"):
        AtrMultiple(multiple, n)


def test_a_multiple_of_ranges_is_that_distance():
    bars = ql.sample("AAPL")
    expected = 3.0 * atr(bars, 10)
    np.testing.assert_array_equal(AtrMultiple(3.0, 10).on(bars).values, expected)
    assert signal_members(Signal(1.0, stop_loss=AtrMultiple(3.0, 10)), bars)["stop_loss"].shape == bars.shape


# -- finer bars --------------------------------------------------------------------------------------------


def fine(days, prices, symbol="A", factor=1.0):
    """Two bars a day, at noon and at the end of the day, from (open, high, low, close) each."""
    times = [pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=h) for day in days for h in (12, 24)]
    frame = pd.DataFrame(prices, index=pd.DatetimeIndex(times), columns=["open", "high", "low", "close"])
    frame = frame * factor
    frame["volume"] = 100.0
    return ql.Bars.from_frame(frame, symbol=symbol, bar_size="12 hours")


@pytest.fixture
def coarse():
    index = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04"])
    prices = [(100, 101, 99, 100), (100, 112, 94, 108), (108, 109, 107, 108)]
    frame = pd.DataFrame(prices, index=index, columns=["open", "high", "low", "close"], dtype=float)
    frame["volume"] = 1000.0
    return ql.Bars.from_frame(frame, symbol="A", bar_size="1 day")


DAYS = ("2024-01-02", "2024-01-03", "2024-01-04")
UP_FIRST = [
    (100, 101, 99, 100), (100, 101, 99, 100), (100, 112, 100, 111), (111, 111, 94, 108), (108, 109, 107, 108),
    (108, 109, 107, 108),
]  # fmt: skip


def test_finer_bars_decide_which_of_stop_and_target_came_first(coarse):
    members = {"stop_loss": 0.05, "take_profit": 0.10, "sizing": Sizing.units(10)}
    alone = run(coarse, **members)
    assert alone.fills["kind"].tolist() == ["order", "stop loss"]
    assert alone.fills["doubtful"].tolist() == [False, True]
    assert alone.detail_changes == 0
    finer = run(coarse, detail=fine(DAYS, UP_FIRST), **members)
    assert finer.fills["kind"].tolist() == ["order", "take profit"]
    assert finer.fills["price"].tolist() == [100.0, pytest.approx(110.0)]
    assert not finer.fills["doubtful"].any()
    assert finer.detail_changes == 1
    assert "1 of 2 fills differ from those without finer bars." in finer.notes
    assert finer.fingerprint["settings"] != alone.fingerprint["settings"]


def test_a_trailing_stop_moves_along_the_finer_path(coarse):
    members = {"trailing_stop": 0.08, "sizing": Sizing.units(10)}
    assert run(coarse, **members).fills["kind"].tolist() == ["order"]
    finer = run(coarse, detail=fine(DAYS, UP_FIRST), **members)
    assert finer.fills["price"].tolist() == [100.0, pytest.approx(112 * 0.92)]


def test_finer_bars_without_need_change_nothing(coarse):
    plain = backtest(np.ones(coarse.shape), coarse, detail=fine(DAYS, UP_FIRST), costs=Costs.zero())
    assert plain.detail_changes == 0
    assert plain.fills["kind"].tolist() == ["order"]


def test_a_bar_that_finer_bars_leave_out_is_named(coarse):
    short = fine(DAYS[:2], UP_FIRST[:4])
    with pytest.raises(DataError, match=r"no bar of A within the bar of 2024-01-04.*1 bar"):
        run(coarse, stop_loss=0.05, detail=short)


def test_finer_bars_at_other_prices_are_named(coarse):
    with pytest.raises(
        DataError, match=r"detail of A goes from .* within the bar of 2024-01-02.*Adjust both"
    ):
        run(coarse, stop_loss=0.05, detail=fine(DAYS, UP_FIRST, factor=2.0))


def test_finer_bars_are_finer_and_of_the_same_assets(coarse):
    with pytest.raises(DataError, match=r"not finer"):
        run(coarse, stop_loss=0.05, detail=coarse)
    with pytest.raises(DataError, match=r"detail has no bars of A"):
        run(coarse, stop_loss=0.05, detail=fine(DAYS, UP_FIRST, symbol="B"))


# -- spans -------------------------------------------------------------------------------------------------


def test_orders_of_spans_are_joined_where_they_are_of_one_kind(one):
    target = np.ones(one.shape)
    first = signal_to_orders(Signal(target, stop_loss=0.05), target, one)
    other = signal_to_orders(Signal(target, stop_loss=[0.1, 0.2, 0.3, 0.4]), target, one)
    joined = stitched_orders([(0, 2, first.rows(slice(0, 2))), (2, 4, other.rows(slice(2, 4)))], 5)
    np.testing.assert_array_equal(joined.stop_loss[:, 0], [0.05, 0.05, 0.3, 0.4, NAN])
    assert not joined.entry.any()
    assert stitched_orders([(0, 4, None)], 5) is None


def test_what_no_span_asks_for_is_not_asked_for_by_all_of_them(two):
    target = np.ones(two.shape)

    def joined(**members):
        orders = signal_to_orders(Signal(target, entry=[[1, 0]] * 4, **members), target, two)
        pieces = [(0, 2, orders.rows(slice(0, 2))), (2, 4, orders.rows(slice(2, 4)))]
        return stitched_orders(pieces, 6)

    assert not joined(rank=[[0.0, NAN]]).protects
    np.testing.assert_array_equal(joined(rank=[[0.0, NAN]]).rank[:4], [[0.0, NAN]] * 4)
    assert joined().entry.tolist() == [[1, 0]] * 4 + [[0, 0]] * 2
    for member in ("stop_loss", "trailing_stop", "take_profit"):
        assert joined(**{member: 0.05}).protects
        assert joined(**{member: np.full(two.shape, NAN)}).protects
        assert not joined(**{member: NAN}).protects
    assert joined(take_profit=Ladder((NAN, 0.5), (0.1, 0.5))).protects
    assert not joined(take_profit=Ladder((NAN, 0.5), (NAN, 0.5))).protects


def test_orders_of_spans_of_different_kinds_are_refused(one):
    target = np.ones(one.shape)
    fraction = signal_to_orders(Signal(target, stop_loss=0.05), target, one)
    distance = signal_to_orders(Signal(target, stop_loss=Distance(1.0)), target, one)
    for pieces in ([(0, 2, fraction), (2, 4, distance)], [(0, 2, fraction), (2, 4, None)]):
        with pytest.raises(StrategyError, match=r"different kinds"):
            stitched_orders(pieces, 4)
