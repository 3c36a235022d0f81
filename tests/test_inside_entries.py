"""Rules 44 to 52 of docs/fills.md with the numbers that they give, once by the engine and once by its twin."""

from __future__ import annotations

import numpy as np
import pytest
from oracle.inside_play import by_engine, by_twin, player

from quantlab.costs import Costs
from quantlab.errors import ParameterError, StrategyError
from quantlab.levels import Distance
from quantlab.signal import Signal
from quantlab.sizing import Account, Sizing

NAN = np.nan
FLAT = (100, 100, 100, 100)
EXPIRED = "not filled within its time in force"


@pytest.fixture(params=[by_engine, by_twin], ids=["engine", "twin"])
def play(request):
    return player(request.param)


# -- 44: what has a price ----------------------------------------------------------------------------------


def test_what_makes_a_position_smaller_is_a_market_order(play):
    p = play([FLAT] * 4, [1, 1, 0.5, 0.5], limit=[101, 101, 90, 90])
    assert p.moves == [(1, 10, 100), (3, -5, 100)]
    assert p.column("type") == ["limit", "market"]
    assert p.column("limit") == [101]


def test_what_makes_a_position_larger_waits_for_its_price(play):
    p = play([FLAT, FLAT, (100, 100, 97, 99), 100], [0.5, 1, 1, 1], limit=[101, 98, 98, 98])
    assert p.moves == [(1, 5, 100), (2, 5, 98)]


def test_a_reversal_closes_at_the_market_and_enters_at_its_price_a_bar_later(play):
    bars = [FLAT, FLAT, FLAT, (100, 103, 100, 101), 100]
    p = play(bars, [1, -1, -1, -1, -1], limit=[101, 102, 102, 102, 102])
    assert p.moves == [(1, 10, 100), (2, -10, 100), (3, -10, 102)]
    assert p.column("target") == [1, 0, -1]
    assert p.column("type") == ["limit", "market", "limit"]
    assert p.decided == [0, 1, 2]


@pytest.mark.parametrize("tif", ["bar", "day", "gtc", "ioc"])
def test_no_order_is_sent_where_its_price_is_missing_and_it_is_decided_at_the_next_bar(play, tif):
    p = play([FLAT, FLAT, FLAT, FLAT], limit=[NAN, NAN, 101, 101], tif=tif)
    assert p.moves == [(3, 10, 100)]
    assert p.decided == [2]


def test_a_stop_limit_needs_both_of_its_prices(play):
    p = play([FLAT] * 4, limit=[106, NAN, 106, 106], stop=[NAN, 105, 105, 105], tif="gtc")
    assert p.decided == [2]


def test_an_order_at_a_price_is_not_sized_at_its_fill():
    with pytest.raises(ParameterError):
        player(by_engine)([FLAT] * 3, limit=98.0, sizing=Sizing(price="fill"))


# -- 45 to 47: how they fill -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "slippage", "price"),
    [
        ((97, 99, 96, 98), 0, 97),
        ((97, 99, 96, 98), 0.01, 97.97),
        ((97, 99, 96, 98), 0.02, 98),
        ((98, 99, 98, 98), 0.01, 98),
        ((100, 101, 98, 99), 0, None),
        ((100, 101, 97.99, 99), 0.02, 98),
    ],
)
def test_a_buy_limit_fills_at_the_open_or_once_the_bar_goes_below_it(play, bar, slippage, price):
    p = play([FLAT, bar], limit=98.0, slippage=slippage)
    assert p.moves == ([] if price is None else [(1, 10, price)])


def test_a_sell_limit_is_the_mirror_of_a_buy_limit(play):
    assert play([FLAT, (100, 102, 99, 101)], -1.0, limit=102.0).moves == []
    assert play([FLAT, (100, 102.01, 99, 101)], -1.0, limit=102.0).moves == [(1, -10, 102)]
    assert play([FLAT, (103, 104, 99, 101)], -1.0, limit=102.0).moves == [(1, -10, 103)]


def test_a_limit_that_caps_the_price_caps_the_spread_that_is_paid(play):
    costs = Costs.zero().replace(spread_bps=400.0)
    p = play([FLAT, (97.5, 99, 96, 98)], limit=98.0, costs=costs)
    assert p.moves == [(1, 10, 98)]
    assert (p.fills["spread"][0], p.fills["slippage"][0]) == (pytest.approx(5), pytest.approx(0))


@pytest.mark.parametrize(
    ("bar", "slippage", "price"),
    [
        ((103, 105, 102, 104), 0, 105),
        ((103, 105, 102, 104), 0.01, 106.05),
        ((107, 108, 102, 104), 0, 107),
        ((103, 104.99, 102, 104), 0, None),
    ],
)
def test_a_buy_stop_fills_at_the_open_or_once_the_bar_touches_it(play, bar, slippage, price):
    p = play([FLAT, bar], stop=105.0, slippage=slippage)
    assert p.moves == ([] if price is None else [(1, 10, price)])


def test_a_buy_stop_that_would_be_a_market_order_is_an_error():
    with pytest.raises(StrategyError):
        player(by_engine)([FLAT] * 2, stop=100.0)


@pytest.mark.parametrize(
    ("limit", "bar", "slippage", "price"),
    [
        (106, (103, 107, 102, 106), 0, 105),
        (106, (103, 107, 102, 106), 0.05, 106),
        (106, (105.5, 107, 102, 106), 0, 105.5),
        (106, (108, 109, 105, 107), 0.05, 106),
        (106, (108, 109, 106, 107), 0, None),
        (104, (103, 107, 102, 103.9), 0, 104),
        (104, (103, 107, 102, 104), 0, None),
    ],
)
def test_a_stop_limit_is_a_limit_once_it_is_triggered(play, limit, bar, slippage, price):
    p = play([FLAT, bar], stop=105.0, limit=float(limit), slippage=slippage)
    assert p.moves == ([] if price is None else [(1, 10, price)])
    assert p.column("type")[0] == "stop limit"


def test_an_order_that_was_triggered_stays_a_limit_order(play):
    bars = [FLAT, (103, 107, 102, 106), (103, 104, 102.5, 104), (103.5, 104, 103, 104)]
    p = play(bars, stop=105.0, limit=102.0, tif="gtc")
    assert p.moves == []
    p = play([*bars, (103, 104, 101, 104)], stop=105.0, limit=102.0, tif="gtc")
    assert p.moves == [(4, 10, 102)]


def test_prices_of_entries_lie_on_the_tick(play):
    assert play([FLAT, FLAT], limit=98.3, tick=0.25).column("limit")[0] == 98.25
    assert play([FLAT, FLAT], -1.0, limit=101.3, tick=0.25).column("limit")[0] == 101.5
    assert play([FLAT, FLAT], stop=101.3, tick=0.25).column("stop")[0] == 101.5
    assert play([FLAT, FLAT], -1.0, stop=98.3, tick=0.25).column("stop")[0] == 98.25


# -- 48 and 49: how long they stand ------------------------------------------------------------------------


def test_an_order_at_a_price_is_decided_anew_at_each_close(play):
    p = play([FLAT, FLAT, FLAT, (100, 100, 95, 97)], limit=[98, 97, 96, 95])
    assert p.moves == [(3, 10, 96)]
    assert p.column("limit") == [98, 97, 96]
    assert p.column("status") == ["cancelled", "cancelled", "filled"]
    assert p.column("reason")[:2] == [EXPIRED, EXPIRED]


def test_the_levels_are_those_of_the_renewed_decision(play):
    bars = [FLAT, (100, 100, 99, 99), (99, 99, 97, 98), (98, 98, 90, 90)]
    p = play(bars, limit=[98, 98, 98, 98], stop_loss=[0.5, 0.05, 0.5, 0.5])
    # Second decision: 5 % below a close of 99.
    assert p.moves == [(2, 10, 98), (3, -10, 94.05)]


def test_an_order_at_a_price_that_was_refused_is_not_tried_again(play):
    p = play([FLAT] * 4, limit=98.0, cash=100.0)
    assert p.column("status") == ["rejected"]
    assert p.column("type") == ["limit"]


@pytest.mark.parametrize(
    ("tif", "statuses", "moves"),
    [
        ("day", ["cancelled"], []),
        ("gtc", ["filled"], [(4, 10, 98)]),
        ("ioc", ["cancelled"], []),
    ],
)
def test_an_order_stands_as_long_as_its_time_in_force_says(play, tif, statuses, moves):
    bars = [FLAT, FLAT, FLAT, FLAT, (100, 100, 97, 97)]
    p = play(bars, sessions=[0, 1, 1, 2, 2], limit=98.0, tif=tif)
    assert p.moves == moves
    assert p.column("status") == statuses


def test_an_order_for_the_day_stands_through_its_session(play):
    bars = [FLAT, FLAT, (100, 100, 97, 97), 97]
    assert play(bars, sessions=[0, 1, 1, 2], limit=98.0, tif="day").moves == [(2, 10, 98)]


def test_an_order_for_the_open_alone_is_filled_there_or_not_at_all(play):
    assert play([FLAT, (98, 99, 97, 97)], limit=98.0, tif="ioc").moves == [(1, 10, 98)]
    assert play([FLAT, (99, 99, 97, 97)], limit=98.0, tif="ioc").moves == []


def test_a_newer_decision_replaces_an_order_that_stands(play):
    p = play([FLAT] * 4, [1, 1, 0.5, 0.5], limit=[98, 97, 96, 95], tif="gtc")
    assert p.column("status") == ["replaced", "open"]
    assert p.column("limit") == [98, 96]


def test_an_entry_event_decides_anew_while_nothing_is_held(play):
    p = play([FLAT] * 4, limit=[98, 97, 96, 95], entry=[0, 0, 1, 0], tif="gtc")
    assert p.column("status") == ["replaced", "open"]
    assert p.column("limit") == [98, 96]


# -- 50: what an entry inside the bar is protected by ------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "moves", "doubtful"),
    [
        ((100, 101, 95, 99), [(1, 10, 98), (1, -10, 95)], [False, False]),
        ((100, 106, 97, 103), [(1, 10, 98)], [False]),
        ((100, 106, 97, 105), [(1, 10, 98), (1, -10, 104)], [False, False]),
        ((100, 106, 97, 104), [(1, 10, 98)], [False]),
        ((100, 106, 94, 105), [(1, 10, 98), (1, -10, 95)], [False, False]),
    ],
)
def test_after_a_buy_limit_the_low_is_certain_and_the_high_is_not(play, bar, moves, doubtful):
    p = play([FLAT, bar], limit=98.0, stop_loss=0.05, take_profit=0.04)
    assert p.moves == moves
    assert p.fills["doubtful"].tolist() == doubtful


@pytest.mark.parametrize(
    ("bar", "moves", "doubtful"),
    [
        ((103, 111, 102, 104), [(1, 10, 105), (1, -10, 110)], [False, False]),
        ((103, 110, 102, 104), [(1, 10, 105)], [False]),
        ((103, 111, 101, 104), [(1, 10, 105), (1, -10, 101)], [False, True]),
        ((103, 106, 100, 101), [(1, 10, 105), (1, -10, 101)], [False, False]),
    ],
)
def test_after_a_buy_stop_the_worse_is_taken(play, bar, moves, doubtful):
    p = play([102, bar], stop=105.0, stop_loss=Distance(1.0), take_profit=Distance(8.0), stop_from="decision")
    assert p.moves == moves
    assert p.fills["doubtful"].tolist() == doubtful


def test_after_a_limit_a_trailing_stop_is_moved_by_the_close(play):
    p = play([FLAT, (100, 110, 97, 102), (102, 102, 90, 90)], limit=98.0, trailing_stop=Distance(5.0))
    assert p.moves == [(1, 10, 98), (2, -10, 97)]


def test_after_a_stop_a_trailing_stop_is_moved_by_the_high(play):
    p = play([FLAT, (103, 110, 102, 104), (106, 106, 90, 90)], stop=105.0, trailing_stop=Distance(5.0))
    assert p.moves == [(1, 10, 105), (2, -10, 105)]


def test_an_addition_inside_the_bar_changes_no_level(play):
    bars = [FLAT, (100, 101, 100, 100), (100, 106, 97, 101), (101, 101, 90, 90)]
    p = play(bars, [0.5, 1, 1, 1], limit=[101, 98, 98, 98], trailing_stop=Distance(8.0))
    assert p.moves == [(1, 5, 100), (2, 5, 98), (3, -10, 98)]


# -- 51 and 52: auctions, and the finer path ---------------------------------------------------------------

PRICES = [(k, k, k, k) for k in (100, 101, 102, 103, 104, 105)]
SESSIONS = [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("order_type", "decided", "fill"),
    [("moo", 0, 2), ("moo", 1, 2), ("moo", 2, 4), ("moc", 0, 1), ("moc", 1, 3), ("moc", 2, 3)],
)
def test_auctions_are_those_after_the_decision(play, order_type, decided, fill):
    target = [0.0] * decided + [1.0] * (6 - decided)
    p = play(PRICES, target, sessions=SESSIONS, order_type=order_type)
    assert p.moves == [(fill, 10, 100 + fill)]
    assert p.column("type") == [order_type]


def test_auctions_of_days_are_the_next_open_and_close(play):
    bars = [FLAT, (101, 103, 101, 103)]
    assert play(bars, order_type="moo", fill="next_close").moves == [(1, 10, 101)]
    assert play(bars, order_type="moc").moves == [(1, 10, 103)]


def test_an_auction_is_no_close_of_the_decision():
    with pytest.raises(ParameterError):
        player(by_engine)([FLAT] * 2, order_type="moc", fill="close")


def test_finer_bars_decide_what_a_bar_leaves_open(play):
    bars = [FLAT, FLAT, (100, 112, 94, 108)]
    up = [[FLAT], [FLAT], [(100, 112, 100, 111), (111, 111, 94, 108)]]
    down = [[FLAT], [FLAT], [(100, 100, 94, 95), (95, 112, 95, 108)]]
    asked = {"stop_loss": 0.05, "take_profit": Distance(10.0)}
    assert play(bars, **asked).moves[1] == (2, -10, 95)
    assert play(bars, detail=up, **asked).moves[1] == (2, -10, 110)
    assert play(bars, detail=down, **asked).moves[1] == (2, -10, 95)
    assert not play(bars, detail=down, **asked).fills["doubtful"].any()


def test_a_trailing_stop_is_moved_by_finer_bars(play):
    bars = [FLAT, (100, 110, 100, 101)]
    fine = [[FLAT], [(100, 110, 100, 110), (110, 110, 101, 101)]]
    assert play(bars, trailing_stop=Distance(5.0)).moves == [(1, 10, 100)]
    assert play(bars, trailing_stop=Distance(5.0), detail=fine).moves == [(1, 10, 100), (1, -10, 105)]


def test_an_order_for_one_bar_stands_through_the_finer_ones(play):
    fine = [[FLAT], [FLAT, (100, 100, 97, 99)], [FLAT, FLAT]]
    p = play([FLAT, (100, 100, 97, 99), FLAT], limit=98.0, detail=fine)
    assert p.moves == [(1, 10, 98)]
    p = play([FLAT, (100, 100, 97, 99), FLAT], limit=98.0, detail=fine, tif="ioc")
    assert p.moves == []


def test_a_protected_bar_goes_on_after_an_entry_in_a_finer_one(play):
    fine = [[FLAT], [(100, 100, 97, 99), (99, 106, 99, 100), (100, 100, 94, 100)]]
    bars = [FLAT, (100, 106, 94, 100)]
    p = play(bars, limit=98.0, stop_loss=0.05, take_profit=0.04, detail=fine)
    assert p.moves == [(1, 10, 98), (1, -10, 104)]


# -- 54: who comes first -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rank", "bought"),
    [(None, ["A"]), ([1.0, 2.0, 3.0], ["C"]), ([1.0, NAN, 1.0], ["A"]), ([NAN, NAN, 2.0], ["C"])],
)
def test_the_highest_rank_gets_what_the_account_can_carry(rank, bought):
    for how in (by_engine, by_twin):
        given = {} if rank is None else {"rank": np.array([rank])}
        bars = {"A": [10] * 3, "B": [10] * 3, "C": [10] * 3}
        sizing, account = Sizing.value(600, max_leverage=10.0), Account.cash()
        p = player(how)(bars, sizing=sizing, account=account, cash=1000.0, **given)
        assert p.fills["symbol"].tolist() == bought
        assert p.column("status").count("rejected") == 2


def test_a_signal_without_orders_inside_the_bar_is_a_target(play):
    assert Signal(1.0).orders_inside_bar == ()
    assert play([FLAT] * 3, [1, 1, 0]).moves == [(1, 10, 100)]
