"""Rules 29 to 43 of docs/fills.md with the numbers that they give, once by the engine and once by its twin."""

from __future__ import annotations

import numpy as np
import pytest
from oracle.inside_play import by_engine, by_twin, candles, player

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.levels import AtrMultiple, Distance, Ladder
from quantlab.schedules import CommissionRow, FeeRow, FeeTable, RegulatoryFees, Schedule, Tier
from quantlab.signal import Signal
from quantlab.sizing import Sizing

approx = pytest.approx

NAN = np.nan
FLAT = (100, 100, 100, 100)


@pytest.fixture(params=[by_engine, by_twin], ids=["engine", "twin"])
def play(request):
    return player(request.param)


# -- 29 to 31: entries -------------------------------------------------------------------------------------


def test_an_event_buys_again_where_the_target_stands_and_nothing_is_held(play):
    stopped = [FLAT, (100, 100, 94, 96), (96, 97, 95, 96), (97, 97, 97, 97)]
    p = play(stopped, stop_loss=0.05, entry=[0, 0, 1, 0])
    assert p.moves == [(1, 10, 100), (1, -10, 95), (3, 10, 97)]


def test_an_event_does_nothing_while_a_position_of_its_sign_is_held(play):
    p = play([FLAT, FLAT, (110, 110, 110, 110), FLAT], stop_loss=0.5, entry=True)
    assert p.moves == [(1, 10, 100)]
    assert len(p.orders) == 1


def test_an_event_does_not_call_back_a_time_stop_that_waits_for_its_auction(play):
    p = play(
        [FLAT, FLAT, FLAT, FLAT, FLAT, FLAT],
        sessions=[0, 1, 1, 1, 2, 2],
        entry=[0, 0, 1, 0, 0, 0],
        time_stop=1,
        order_type="moo",
    )
    assert p.moves == [(1, 10, 100), (4, -10, 100)]
    assert p.column("status") == ["filled", "filled"]


def test_after_a_stop_a_standing_target_buys_nothing(play):
    p = play([FLAT, (100, 100, 94, 96), 97, 98, 99], stop_loss=0.05)
    assert p.moves == [(1, 10, 100), (1, -10, 95)]


def test_after_a_stop_a_target_that_returns_from_zero_buys(play):
    p = play([FLAT, (100, 100, 94, 96), 97, 98, 99], [1, 1, 0, 1, 1], stop_loss=0.05)
    assert p.moves == [(1, 10, 100), (1, -10, 95), (4, 10, 99)]


@pytest.mark.parametrize(
    ("fill", "again"), [("next_open", (2, 10, 97)), ("next_close", (3, 10, 98)), ("close", None)]
)
def test_an_event_on_the_bar_of_the_exit_acts_at_the_next_price_and_not_at_the_same_close(play, fill, again):
    at = {"next_open": 1, "next_close": 2, "close": 1}[fill]
    bars = [FLAT, FLAT, 97, 98, 99]
    bars[at] = (100, 100, 94, 96)
    p = play(bars, fill=fill, stop_loss=0.05, entry=[int(k == at) for k in range(5)])
    assert p.moves[1] == (at, -10, 95)
    assert p.moves[2:] == ([] if again is None else [again])


def test_a_resize_keeps_the_levels_and_they_cover_all(play):
    p = play([FLAT, (100, 110, 100, 110), 110, (100, 100, 95, 96)], [0.5, 1, 1, 1], stop_loss=0.05)
    assert p.moves == [(1, 5, 100), (2, 5, 110), (3, -10, 95)]


def test_a_reversal_has_levels_of_its_own(play):
    p = play([FLAT, FLAT, (100, 105, 90, 105)], [1, -1, -1], stop_loss=[0.05, 0.04, NAN])
    assert p.moves == [(1, 10, 100), (2, -20, 100), (2, 10, 104)]


DEAR = Costs.per_share(0.005, minimum=1.0)
TURN = [(100, 101, 99, 100)] * 4
LONG_THEN_SHORT = [1, 1, -1, -1]


@pytest.mark.parametrize(
    "asked",
    [
        {"stop_loss": 0.5},
        {"take_profit": 0.5},
        {"take_profit": Ladder((0.5, 0.5), (0.6, 0.5))},
        {"trailing_stop": 0.5},
        {"trailing_stop": Distance(50.0)},
        {"stop_loss": AtrMultiple(3.0, 2)},
        {"stop_loss": [0.5, 0.5, NAN, NAN]},
        {"stop_loss": [NAN] * 4},
        {"stop_loss": 0.5, "fill": "next_close"},
        {"stop_loss": 0.5, "fill": "close"},
        {"stop_loss": 0.5, "order_type": "moc"},
    ],
)
def test_a_reversal_with_protective_orders_is_charged_as_two_orders(play, asked):
    p = play(TURN, LONG_THEN_SHORT, costs=DEAR, **asked)
    assert [(q, x) for _, q, x in p.moves] == [(10, 100), (-20, 100)]
    assert p.fills["commission"].tolist() == [1, 2]
    assert p.column("quantity") == [10, -20]


@pytest.mark.parametrize(
    "asked",
    [
        {"time_stop": 9},
        {"entry": True},
        {"rank": 1.0},
        {"order_type": "moo"},
        {"order_type": "moc"},
        {"stop_loss": NAN, "rank": 1.0},
        {"stop_loss": 0.5, "sizing": Sizing.units(10, max_leverage=10.0, price="fill")},
    ],
)
def test_a_reversal_without_protective_orders_or_sized_at_the_fill_is_charged_as_one(play, asked):
    p = play(TURN, LONG_THEN_SHORT, costs=DEAR, **asked)
    assert [(q, x) for _, q, x in p.moves] == [(10, 100), (-20, 100)]
    assert p.fills["commission"].tolist() == [1, 1]


def test_what_only_closes_or_only_opens_is_one_order_with_protective_orders_too(play):
    p = play([FLAT] * 6, [0.5, 1, 0.5, 0, -1, -1], costs=DEAR, stop_loss=0.5)
    assert [q for _, q, _ in p.moves] == [5, 5, -5, -5, -10]
    assert p.fills["commission"].tolist() == [1] * 5


def test_of_a_reversal_with_protective_orders_only_what_a_stop_left_is_charged_as_two(play):
    bars = [FLAT, FLAT, (100, 106, 100, 100), 100]
    p = play(bars, [1, -1, -1, -1], fill="next_close", take_profit=Ladder((0.05, 0.4)), costs=DEAR)
    assert [(q, round(x, 6)) for _, q, x in p.moves] == [(10, 100), (-4, 105), (-16, 100)]
    assert p.fills["commission"].tolist() == [1, 1, 2]


def test_both_parts_of_a_reversal_have_fees_of_their_own(play):
    fees = RegulatoryFees(
        FeeTable("SEC", (FeeRow(None, 0.0001, "made up"),)),
        FeeTable("TAF", (FeeRow(None, 0.0011, "made up"),)),
    )
    costs = Costs.percent(0.001, fees=fees)
    # Of 1,000: 0.10; of 10 units 0.011, up to the cent 0.02. Of 2,000 and 20 units together: 0.20 + 0.03.
    assert play(TURN, LONG_THEN_SHORT, costs=costs, stop_loss=0.5).fills["fees"].tolist() == approx([0, 0.24])
    assert play(TURN, LONG_THEN_SHORT, costs=costs, rank=1.0).fills["fees"].tolist() == approx([0, 0.23])
    short_then_long = [-x for x in LONG_THEN_SHORT]
    assert play(TURN, short_then_long, costs=costs, stop_loss=0.5).fills["fees"].tolist() == approx([0.12, 0])


def test_the_part_of_a_reversal_that_closes_comes_first_in_the_volume_of_the_month(play):
    tiers = Tier(per_unit=0.1, minimum=3.0, up_to=20.0), Tier(per_unit=0.01, minimum=0.5)
    costs = Costs(commission=Schedule("two tiers", (CommissionRow(None, tiers, "made up"),)))
    p = play([FLAT] * 6, [1, 1, -1, -1, 1, 1], costs=costs, stop_loss=0.5)
    # 10 in the first tier; 10 more there, and 10 in the second; then all in the second.
    assert [q for _, q, _ in p.moves] == [10, -20, 20]
    assert p.fills["commission"].tolist() == approx([3, 3 + 0.5, 0.5 + 0.5])


def test_each_trade_bears_its_share_of_a_reversal_by_quantity():
    bars = candles([FLAT] * 4)
    sizing = Sizing.units(10, max_leverage=10.0)
    target = np.array([[1.0], [1.0], [-0.5], [-0.5]])
    result = backtest(Signal(target, stop_loss=0.5), bars, costs=DEAR, sizing=sizing)
    assert result.fills["commission"].tolist() == [1, 2]
    assert result.trades["commission"].tolist() == approx([1 + 2 * 10 / 15, 2 * 5 / 15])
    assert result.stats["commission"] == 3
    assert len(result.orders) == 2


# -- 32 to 34: levels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stop_from", "level"), [("decision", 95), ("fill", 96.9)])
def test_levels_are_measured_from_the_decision_or_from_the_fill(play, stop_from, level):
    p = play([FLAT, (102, 102, 90, 91)], stop_loss=0.05, stop_from=stop_from)
    assert p.moves == [(1, 10, 102), (1, -10, level)]
    assert p.column("stop") == [pytest.approx(level)]


def test_a_short_has_its_stop_above_and_its_target_below(play):
    assert play([FLAT, (100, 106, 96, 100)], -1.0, stop_loss=0.05, take_profit=0.05).moves[1] == (1, 10, 105)
    assert play([FLAT, (100, 104, 94, 100)], -1.0, stop_loss=0.05, take_profit=0.05).moves[1] == (1, 10, 95)


def test_a_distance_is_taken_from_the_price(play):
    assert play([FLAT, (100, 100, 90, 91)], stop_loss=Distance(4.0)).moves[1] == (1, -10, 96)


def test_a_multiple_of_the_true_range_is_taken_from_the_price(play):
    # Ranges of 2 throughout: three times that is 6.
    bars = [(100, 101, 99, 100)] * 3 + [(100, 100, 90, 91)]
    assert play(bars, [0, 0, 1, 1], stop_loss=AtrMultiple(3, 2)).moves[1] == (3, -10, 94)


def test_the_value_of_the_decision_bar_is_read_and_kept(play):
    bars = [FLAT, FLAT, (100, 100, 96, 96), (96, 96, 94, 94)]
    assert play(bars, stop_loss=[0.05, 0.02, 0.02, 0.02]).moves[1:] == [(3, -10, 95)]
    assert play(bars, stop_loss=[NAN, 0.02, 0.02, 0.02]).moves[1:] == []


def test_a_level_at_zero_is_never_reached(play):
    assert play([FLAT, (100, 100, 0.01, 0.01)], stop_loss=1.0).moves[1:] == []


def test_levels_lie_on_the_tick(play):
    p = play([99.9, (99.9, 99.9, 94.75, 96)], stop_loss=0.05, tick=0.25)
    assert (p.moves[1][2], p.column("stop")) == (94.75, [94.75])
    assert play([99.9, (99.9, 99.9, 94.8, 96)], stop_loss=0.05, tick=0.25).moves[1:] == []
    p = play([99.9, (99.9, 105.25, 99.9, 100)], take_profit=0.05, tick=0.25)
    assert (p.moves[1][2], p.column("limit")) == (105, [105])


# -- 35 to 40: stops, targets, trailing stops --------------------------------------------------------------


def test_a_stop_is_triggered_by_a_touch_and_slips(play):
    p = play([FLAT, FLAT, (98, 99, 95, 97)], stop_loss=0.05, slippage=0.01)
    assert p.moves[1] == (2, -10, 94.05)
    assert p.fills["slippage"][1] == pytest.approx(9.5)


def test_a_target_is_filled_at_its_level_once_the_price_goes_through_it(play):
    bars = [FLAT, (100, 110, 100, 100), (100, 110.01, 100, 100)]
    p = play(bars, take_profit=Distance(10.0), slippage=0.01)
    assert p.moves[1] == (2, -10, 110)
    assert p.fills["slippage"][1] == 0


def test_a_gap_through_a_stop_fills_at_the_open(play):
    assert play([FLAT, FLAT, (92, 93, 90, 91)], stop_loss=0.05).moves[1] == (2, -10, 92)
    assert play([FLAT, FLAT, (92, 93, 90, 91)], stop_loss=0.05, slippage=0.01).moves[1] == (2, -10, 91.08)


@pytest.mark.parametrize(
    ("open_", "slippage", "price"), [(112, 0, 112), (112, 0.01, 110.88), (112, 0.03, 110), (110, 0.01, 110)]
)
def test_a_gap_through_a_target_fills_at_the_open_but_never_below_it(play, open_, slippage, price):
    bars = [FLAT, FLAT, (open_, 113, 100, 100)]
    assert play(bars, take_profit=Distance(10.0), slippage=slippage).moves[1] == (2, -10, price)


def test_what_is_entered_at_the_open_is_protected_at_once(play):
    assert play([FLAT, (96, 97, 94, 96)], stop_loss=0.05).moves == [(1, 10, 96), (1, -10, 95)]
    assert play([FLAT, (94, 96, 93, 95)], stop_loss=0.05).moves == [(1, 10, 94), (1, -10, 94)]


@pytest.mark.parametrize(("fill", "bar"), [("next_close", 1), ("close", 0)])
def test_what_is_entered_at_a_close_is_protected_from_the_next_bar_on(play, fill, bar):
    bars = [(100, 100, 90, 100), (100, 100, 90, 100), (100, 100, 90, 100)]
    p = play(bars, stop_loss=0.05, fill=fill)
    assert p.moves == [(bar, 10, 100), (bar + 1, -10, 95)]


def test_the_stop_comes_before_the_target_and_is_marked_as_doubtful(play):
    p = play([FLAT, FLAT, (100, 112, 94, 108)], stop_loss=0.05, take_profit=0.1)
    assert p.moves[1:] == [(2, -10, 95)]
    assert p.fills["doubtful"].tolist() == [False, True]
    p = play([FLAT, FLAT, (100, 109, 94, 108)], stop_loss=0.05, take_profit=0.1)
    assert p.fills["doubtful"].tolist() == [False, False]


def test_a_trailing_stop_is_tested_before_it_is_moved(play):
    p = play([FLAT, (100, 110, 93, 109), (108, 109, 101, 102)], trailing_stop=0.08)
    assert p.moves == [(1, 10, 100), (2, -10, 101.2)]


def test_a_trailing_stop_by_distance_keeps_that_distance(play):
    p = play([FLAT, (100, 110, 93, 109), (108, 109, 101, 102)], trailing_stop=Distance(8.0))
    assert p.moves[1] == (2, -10, 102)


def test_the_nearer_stop_counts_and_the_stop_loss_at_the_same_level(play):
    bars = [FLAT, (100, 100, 80, 80)]
    assert play(bars, trailing_stop=0.08, stop_loss=0.05).fills["kind"][1] == "stop loss"
    assert play(bars, trailing_stop=0.04, stop_loss=0.05).fills["kind"][1] == "trailing stop"
    assert play(bars, trailing_stop=Distance(8.0), stop_loss=Distance(8.0)).fills["kind"][1] == "stop loss"


def test_levels_that_lie_on_the_same_tick_are_the_same_whatever_rounding_makes_of_them(play):
    levels = {"stop_loss": Distance(0.171), "trailing_stop": Distance(0.18)}
    p = play([10.72, (10.72, 10.72, 10.5, 10.6)], tick=0.01, **levels)
    # 10.549 becomes 10.54, and 10.72 - 0.18 is 10.540000000000001.
    assert p.moves[1] == (1, -10, 10.54)
    assert p.fills["kind"][1] == "stop loss"


# -- 41 to 43: time stops, ladders, what else stands -------------------------------------------------------


@pytest.mark.parametrize(("fill", "first"), [("next_open", 4), ("close", 5), ("next_close", 4)])
def test_a_time_stop_fills_so_many_bars_after_the_entry(play, fill, first):
    p = play([FLAT] * 11, [0] * first + [1] * (11 - first), time_stop=3, fill=fill)
    assert p.moves == [(5, 10, 100), (8, -10, 100)]
    assert p.decided == [first, 8 if fill == "close" else 7]
    assert p.column("reason") == ["", "time stop"]


def test_a_time_stop_of_one_bar_after_an_entry_at_the_close(play):
    assert play([FLAT] * 4, time_stop=1, fill="next_close").moves == [(1, 10, 100), (2, -10, 100)]


def test_a_target_that_turns_around_comes_before_a_time_stop(play):
    p = play([FLAT] * 5, [1, 1, -1, -1, -1], time_stop=2)
    assert p.moves[:2] == [(1, 10, 100), (3, -20, 100)]
    assert p.column("reason")[1] == ""


def test_a_target_that_turns_around_and_back_before_its_auction_does_not_call_a_time_stop_off(play):
    p = play([FLAT] * 6, [1, 1, -1, 1, 1, 1], sessions=[0, 1, 1, 1, 2, 2], time_stop=2, order_type="moo")
    assert p.moves == [(1, 10, 100), (4, -10, 100)]
    assert p.column("status") == ["filled", "replaced", "filled"]
    assert p.column("reason") == ["", "", "time stop"]


def test_an_exit_that_waits_for_its_auction_stands_when_the_time_is_up(play):
    p = play([FLAT] * 6, [1, 1, 0, 1, 1, 1], sessions=[0, 1, 1, 1, 2, 2], time_stop=2, order_type="moo")
    assert p.moves == [(1, 10, 100), (4, -10, 100)]
    assert p.column("status") == ["filled", "filled"]


def test_a_ladder_takes_profit_in_parts(play):
    bars = [FLAT, (100, 106, 100, 105), (105, 111, 105, 108), (108, 108, 94, 96)]
    p = play(bars, take_profit=Ladder((0.05, 0.5), (0.1, 0.3)), stop_loss=0.05)
    assert [(q, round(x, 6)) for _, q, x in p.moves] == [(10, 100), (-5, 105), (-3, 110), (-2, 95)]
    assert p.column("type") == ["market", "take profit", "take profit", "stop loss"]


def test_several_rungs_fill_in_one_bar_and_the_last_one_closes_all(play):
    p = play([FLAT, (100, 120, 100, 110)], take_profit=Ladder((0.1, 0.5), (0.05, 0.5)), units=5.0)
    assert [(q, round(x, 6)) for _, q, x in p.moves] == [(5, 100), (-2, 105), (-3, 110)]


def test_a_rung_of_less_than_a_lot_does_nothing_and_is_done(play):
    bars = [FLAT, (100, 106, 100, 105), (105, 111, 105, 108)]
    p = play(bars, take_profit=Ladder((0.05, 0.1), (0.10, 0.45)), units=5.0)
    # A tenth of 5 is no lot; 0.45 / 0.9 of 5 are 2.
    assert [q for _, q, _ in p.moves] == [5, -2]


def test_a_partial_exit_is_not_bought_back(play):
    p = play([FLAT, (100, 106, 100, 105), 100, 100], take_profit=Ladder((0.05, 0.5)))
    assert [q for _, q, _ in p.moves] == [10, -5]


def test_every_protective_order_has_its_own_commission(play):
    costs = Costs.per_share(0.005, minimum=1.0)
    bars = [FLAT, (100, 111, 100, 105)]
    p = play(bars, take_profit=Ladder((0.05, 0.5), (0.1, 0.5)), costs=costs)
    assert p.fills["commission"].tolist() == [1, 1, 1]


def test_an_order_against_the_position_is_cut_by_what_a_stop_sold(play):
    bars = [FLAT, FLAT, (100, 100, 94, 94), 94]
    p = play(bars, [1, -1, -1, -1], fill="next_close", stop_loss=0.05)
    assert p.moves == [(1, 10, 100), (2, -10, 95), (2, -10, 94)]
    assert p.column("quantity") == [10, -10, -10]


def test_the_levels_of_the_old_position_stay_while_a_reversal_waits(play):
    bars = [FLAT, (100, 102, 100, 102), (102, 102, 96, 96), 96]
    p = play(bars, [1, -1, -1, -1], fill="next_close", stop_loss=[0.05, 0.01, NAN, NAN])
    assert p.moves[:2] == [(1, 10, 102), (2, -20, 96)]


def test_an_order_that_only_closes_is_cancelled_by_a_stop(play):
    p = play([FLAT, FLAT, (100, 100, 94, 94), 94], [1, 0, 0, 0], fill="next_close", stop_loss=0.05)
    assert p.moves == [(1, 10, 100), (2, -10, 95)]
    assert p.column("status") == ["filled", "cancelled", "filled"]
    assert p.column("reason")[1] == "its position was closed by a protective order"


def test_an_order_that_would_add_to_a_closed_position_is_cancelled(play):
    p = play([FLAT, FLAT, (100, 100, 94, 94), 94], [0.5, 1, 1, 1], fill="next_close", stop_loss=0.05)
    assert p.moves == [(1, 5, 100), (2, -5, 95)]
    assert p.column("status")[1] == "cancelled"


def test_rebalancing_does_not_buy_back_what_was_stopped(play):
    sizing = Sizing.units(10, rebalance="every_bar")
    p = play([FLAT, (100, 100, 94, 96), 97, 98], stop_loss=0.05, sizing=sizing)
    assert len(p.moves) == 2
