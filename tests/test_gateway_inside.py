"""Orders inside a bar, as the gateway fills them by bars: the rules of docs/fills.md, and the engine's own fills."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from gateway_desk import Desk, bracket, codes, daily, order, told
from hypothesis import given
from hypothesis import strategies as st

import quantlab as ql
from quantlab.gateway.market import Market
from quantlab.gateway.matching import BY_LIMIT, BY_STOP, Met, Terms, meet_open, meet_rest, trail_level
from quantlab.wire import messages as m

SLIPPED = ql.Costs.zero().replace(slippage_bps=100.0)


def run(ticket, *rows, costs=None, **more):
    """Let one order, or one bracket, live through bars; the desk at the last close."""
    desk = Desk(daily(*rows), costs=costs or ql.Costs.zero())
    desk.place_all(ticket if isinstance(ticket, list) else [replace(ticket, tif="GTC")], **more)
    for _ in rows:
        desk.close()
    return desk


def held(target=None, stop=None, trail=None):
    """Bracket around ten units that are bought at the open of the first bar."""
    return bracket(order("BUY", 10), target=target, stop=stop, trail=trail)


# -- stops, limits, gaps -------------------------------------------------------------------------------


def test_a_stop_is_triggered_by_a_touch_and_pays_slippage_and_spread_on_its_level():
    assert run(held(stop=95.0), (98, 99, 95, 97), costs=SLIPPED).fills == [
        (1, 98.98, "open"),
        (2, 94.05, "close"),
    ]
    assert run(held(stop=94.99), (98, 99, 95, 97)).fills == [(1, 98.0, "open")]


def test_what_a_stop_costs_is_told_in_parts_that_add_up_to_its_price():
    costs = ql.Costs.zero().replace(slippage_bps=13.0, spread_bps=9.0)
    desk = run(held(stop=95.0, target=120.0), (98, 99, 95, 97), costs=costs)
    for x in desk.desk.executions:
        parts = x.reference + x.latency_move + np.sign(x.quantity) * (x.half_spread + x.slippage) + x.rounding
        assert parts == pytest.approx(x.price, rel=1e-12)
    assert [x.reference for x in desk.desk.executions] == [98.0, 95.0]


def test_a_target_fills_at_its_level_once_the_price_goes_through_it_and_not_by_a_touch():
    assert run(held(target=110.0), (100, 110, 99, 105)).fills == [(1, 100.0, "open")]
    through = run(held(target=110.0), (100, 110.01, 99, 105), costs=SLIPPED)
    assert through.fills == [(1, 101.0, "open"), (2, 110.0, "close")]


def test_a_gap_through_a_level_fills_at_the_open_and_a_target_never_below_its_level():
    flat = (100, 100, 100, 100)
    assert run(held(stop=95.0), flat, (92, 93, 91, 92), costs=SLIPPED).fills[1] == (2, 91.08, "open")
    assert run(held(target=110.0), flat, (112, 113, 111, 112), costs=SLIPPED).fills[1] == (2, 110.88, "open")
    # At the level the open counts as reached, and slippage may not take it below.
    assert run(held(target=110.0), flat, (110, 110, 109, 109), costs=SLIPPED).fills[1] == (2, 110.0, "open")


def test_a_position_is_protected_from_the_bar_on_that_it_was_entered_at_the_open_of():
    assert run(held(stop=95.0), (96, 97, 94, 96)).fills == [(1, 96.0, "open"), (2, 95.0, "close")]
    assert run(held(stop=95.0), (94, 96, 93, 95)).fills == [(1, 94.0, "open"), (2, 94.0, "open")]


def test_a_position_that_was_entered_at_a_close_is_protected_from_the_next_bar_on():
    entry = bracket(order("BUY", 10, "MOC"), stop=95.0)
    desk = run(entry, (96, 97, 94, 96), (96, 97, 94, 96))
    assert desk.fills == [(1, 96.0, "close"), (2, 95.0, "close")]
    assert [x.time_ns for x in desk.desk.executions] == desk.venue.market.base.time[1:].tolist()


def test_when_both_could_fill_within_a_bar_the_stop_comes_first():
    desk = run(held(stop=95.0, target=110.0), (100, 112, 94, 108))
    assert desk.fills == [(1, 100.0, "open"), (3, 95.0, "close")]
    assert desk.statuses() == ["Filled", "Cancelled", "Filled"]


def test_the_nearer_of_two_stops_comes_first_and_at_one_level_the_fixed_one():
    rows = (100, 100, 90, 95)
    assert run(held(stop=95.0, trail={"aux_price": 4.0}), rows).fills[1:] == [(3, 96.0, "close")]
    assert run(held(stop=97.0, trail={"aux_price": 4.0}), rows).fills[1:] == [(2, 97.0, "close")]
    assert run(held(stop=96.0, trail={"aux_price": 4.0}), rows).fills[1:] == [(2, 96.0, "close")]


def test_protective_orders_of_a_short_lie_on_the_other_side():
    short = bracket(order("SELL", 10), stop=105.0, target=90.0)
    assert run(short, (100, 105, 95, 96)).fills == [(1, 100.0, "open"), (3, 105.0, "close")]
    assert run(short, (100, 104.99, 89.99, 96)).fills == [(1, 100.0, "open"), (2, 90.0, "close")]
    assert run(short, (100, 104, 90, 96)).fills == [(1, 100.0, "open")]


# -- trailing ------------------------------------------------------------------------------------------


def test_a_trailing_stop_starts_from_the_fill_is_tested_first_and_moved_by_the_extreme_afterwards():
    rows = (100, 110, 93, 109), (108, 109, 101, 102)
    desk = Desk(daily(*rows))
    desk.place_all(held(trail={"trailing_percent": 8.0}))
    opened = desk.open()
    (shown,) = (x for x in opened if isinstance(x, m.OpenOrder) and x.order_id == 2)
    assert (shown.order.trail_stop_price, shown.order.trailing_percent) == (92.0, 8.0)
    desk.close()
    assert desk.order(2).shown.trail_stop_price == pytest.approx(101.2)
    desk.close()
    assert desk.fills == [(1, 100.0, "open"), (2, 101.2, "close")]


def test_a_distance_trails_by_that_distance_and_its_level_is_rounded_to_the_worse_side():
    desk = run(held(trail={"aux_price": 4.005}), (100, 103.0, 97, 102), (101, 102, 98.99, 100))
    assert desk.fills[1] == (2, 98.99, "close")
    short = bracket(order("SELL", 10), trail={"aux_price": 4.005})
    assert run(short, (100, 101, 97, 98), (98, 101.01, 98, 100)).fills[1] == (2, 101.01, "close")


def test_a_trailing_order_may_be_told_where_it_begins():
    trail = {"aux_price": 4.0, "trail_stop_price": 90.0}
    desk = run(held(trail=trail), (100, 101, 95.9, 100), (99, 99, 97, 98))
    # 90 belongs to a best price of 94: at 101 it has gone to 97.
    assert desk.fills[1] == (2, 97.0, "close")
    desk = Desk(daily((93, 93.5, 92, 93)))
    desk.place_all(held(trail=trail))
    desk.close()
    assert desk.order(2).shown.trail_stop_price == 90.0


def test_a_trailing_order_without_a_parent_trails_from_the_price_that_it_came_at():
    desk = Desk(daily((100, 104, 98, 103), (102, 103, 99.5, 101)))
    desk.place(1, order("BUY", 10))
    desk.place(2, order("SELL", 10, "TRAIL", stop=4.0, tif="GTC"))
    assert desk.order(2).shown.trail_stop_price == 96.0
    desk.close()
    assert desk.order(2).shown.trail_stop_price == 100.0
    desk.close()
    assert desk.fills[1:] == [(2, 100.0, "close")]


def test_a_trailing_distance_beyond_the_price_is_never_reached():
    desk = run(held(trail={"aux_price": 200.0}), (100, 104, 1, 2))
    assert (desk.fills, desk.order(2).stop) == ([(1, 100.0, "open")], 0.0)


# -- entries at a price --------------------------------------------------------------------------------


def test_a_buy_limit_fills_at_an_open_at_or_below_it_else_at_its_price_if_the_bar_goes_below_it():
    limit = order("BUY", 10, "LMT", limit=98.0)
    assert run(limit, (97, 99, 96, 98), costs=SLIPPED).fills == [(1, 97.97, "open")]
    assert run(limit, (97.5, 99, 96, 98), costs=SLIPPED).fills == [(1, 98.0, "open")]
    assert run(limit, (100, 101, 98, 99)).fills == []
    assert run(limit, (100, 101, 97.99, 99), costs=SLIPPED).fills == [(1, 98.0, "close")]


def test_a_buy_stop_fills_at_an_open_at_or_above_it_else_at_its_price_if_the_bar_touches_it():
    stop = order("BUY", 10, "STP", stop=105.0)
    assert run(stop, (103, 105, 102, 104)).fills == [(1, 105.0, "close")]
    assert run(stop, (107, 108, 106, 107)).fills == [(1, 107.0, "open")]
    assert run(stop, (103, 104.99, 102, 104)).fills == []
    assert run(stop, (103, 106, 102, 104), costs=SLIPPED).fills == [(1, 106.05, "close")]


def test_a_stop_on_the_wrong_side_is_taken_and_triggers_at_once():
    assert run(order("BUY", 10, "STP", stop=95.0), (100, 101, 99, 100)).fills == [(1, 100.0, "open")]
    assert run(order("SELL", 10, "STP", stop=105.0), (100, 101, 99, 100)).fills == [(1, 100.0, "open")]


def test_once_the_stop_of_a_stop_limit_is_touched_a_limit_order_stands():
    both = order("BUY", 10, "STP LMT", stop=105.0, limit=106.0)
    assert run(both, (103, 107, 102, 106)).fills == [(1, 105.0, "close")]
    assert run(both, (103, 107, 102, 106), costs=SLIPPED).fills == [(1, 106.0, "close")]
    assert run(both, (108, 109, 105.9, 107)).fills == [(1, 106.0, "close")]
    assert run(both, (105.5, 109, 105.2, 107)).fills == [(1, 105.5, "open")]
    assert run(both, (108, 109, 106, 107)).fills == []
    assert run(both, (103, 104, 102, 103)).fills == []


def test_a_limit_below_the_stop_fills_in_the_bar_of_the_touch_only_if_the_close_is_below_it():
    both = order("BUY", 10, "STP LMT", stop=105.0, limit=104.0)
    assert run(both, (103, 105, 102, 104)).fills == []
    assert run(both, (103, 105, 102, 103.99)).fills == [(1, 104.0, "close")]
    # It was triggered, so from the next bar on it is a limit order.
    assert run(both, (103, 105, 102, 104), (104.5, 104.6, 103.9, 104.2)).fills == [(1, 104.0, "close")]


def test_a_triggered_stop_limit_is_told_as_submitted_and_stays_triggered():
    desk = Desk(daily((108, 109, 107, 108), (108, 109, 107, 108)))
    desk.place(1, order("BUY", 10, "STP LMT", stop=105.0, limit=106.0, tif="GTC"))
    assert (desk.order(1).status, desk.order(1).why_held) == ("PreSubmitted", "trigger")
    assert told(desk.open(), 1) == ["Submitted"]
    assert (desk.order(1).triggered, desk.order(1).why_held) == (True, "")


# -- protected from inside the bar on ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bar", "fills"),
    [
        ((100, 101, 96, 99), [(1, 98.0)]),
        ((100, 101, 95, 99), [(1, 98.0), (3, 95.0)]),  # it fell through 98 first
        ((100, 110, 96, 99), [(1, 98.0)]),  # the high may have come before
        ((100, 110, 96, 104), [(1, 98.0)]),
        ((100, 110, 96, 104.01), [(1, 98.0), (2, 104.0)]),
        ((100, 110, 94, 105), [(1, 98.0), (3, 95.0)]),
    ],
)
def test_after_a_limit_entry_the_stop_meets_the_low_and_the_target_the_close(bar, fills):
    entry = bracket(order("BUY", 10, "LMT", limit=98.0), target=104.0, stop=95.0)
    assert run(entry, bar).fills == [(n, price, "close") for n, price in fills]


@pytest.mark.parametrize(
    ("bar", "fills"),
    [
        ((103, 109, 102, 108), [(1, 105.0)]),
        ((103, 110, 102, 108), [(1, 105.0)]),
        ((103, 110.01, 102, 108), [(1, 105.0), (2, 110.0)]),
        ((103, 112, 101, 108), [(1, 105.0), (3, 101.0)]),  # the worse is taken
    ],
)
def test_after_a_stop_entry_the_target_meets_the_high_unless_the_low_is_at_the_stop(bar, fills):
    entry = bracket(order("BUY", 10, "STP", stop=105.0), target=110.0, stop=101.0)
    assert run(entry, bar).fills == [(n, price, "close") for n, price in fills]


def test_after_an_entry_inside_the_bar_a_trailing_stop_is_moved_by_what_came_after_it_for_certain():
    after_limit = run(
        bracket(order("BUY", 10, "LMT", limit=98.0), trail={"aux_price": 4.0}), (100, 110, 96, 101)
    )
    assert after_limit.order(2).level == 97.0
    after_stop = run(
        bracket(order("BUY", 10, "STP", stop=105.0), trail={"aux_price": 4.0}), (103, 110, 102, 106)
    )
    assert after_stop.order(2).level == 106.0
    touched = run(bracket(order("BUY", 10, "LMT", limit=98.0), trail={"aux_price": 4.0}), (100, 110, 94, 101))
    assert touched.fills == [(1, 98.0, "close"), (2, 94.0, "close")]


def test_an_entry_that_a_stop_limit_made_at_its_limit_is_one_at_a_limit():
    entry = bracket(order("BUY", 10, "STP LMT", stop=105.0, limit=104.0), target=104.5, stop=100.0)
    assert run(entry, (103, 106, 102, 103)).fills == [(1, 104.0, "close")]
    entry = bracket(order("SELL", 10, "STP LMT", stop=95.0, limit=96.0), target=93.0, stop=100.0)
    assert run(entry, (97, 99, 92, 97)).fills == [(1, 96.0, "close")]
    assert run(entry, (97, 100, 92, 97)).fills == [(1, 96.0, "close"), (3, 100.0, "close")]


# -- when they may fill --------------------------------------------------------------------------------


def test_orders_for_a_close_fill_there_after_everything_inside_the_bar():
    desk = Desk(daily((100, 110, 95, 104), (104, 105, 103, 104)))
    desk.place_all(held(stop=95.0))
    desk.place(3, order("SELL", 10, "MOC"))
    desk.close()
    assert desk.fills == [(1, 100.0, "open"), (2, 95.0, "close"), (3, 104.0, "close")]
    assert desk.position == -10.0


def test_an_order_for_the_close_that_comes_at_a_close_waits_for_the_next_one():
    desk = Desk(daily((100, 110, 95, 104), (104, 105, 103, 105)), costs=SLIPPED)
    desk.close()
    desk.place(1, order("BUY", 10, "MOC"))
    desk.open()
    desk.close()
    assert desk.fills == [(1, 106.05, "close")]


def test_an_order_for_the_opening_fills_at_the_first_open_of_a_session_or_ends():
    desk = Desk(daily((100, 101, 99, 100)))
    desk.place(1, order("BUY", 10, tif="OPG"))
    desk.place(2, order("BUY", 10, "LMT", limit=99.0, tif="OPG"))
    desk.open()
    assert (desk.fills, desk.statuses()) == ([(1, 100.0, "open")], ["Filled", "Cancelled"])


def test_on_bars_within_the_day_orders_for_the_opening_and_the_close_wait_for_those_of_a_session():
    desk = Desk(daily((100, 101, 99, 100), (104, 105, 103, 104)), bar_size="1 hour")
    noon = desk.venue.market.hours.close_ns[1] - 3 * 3600 * 10**9
    desk.closed(noon)
    desk.place(1, order("BUY", 10, tif="OPG"))
    desk.place(2, order("BUY", 10, "LMT", limit=103.5, tif="OPG"))
    desk.place(3, order("SELL", 5, "MOC"))
    desk.closed(desk.venue.market.base.time[2])
    assert desk.fills == [(3, 100.0, "close"), (1, 104.0, "open")]
    assert desk.statuses() == ["Filled", "Cancelled", "Filled"]


@pytest.mark.parametrize("tif", ["IOC", "FOK"])
@pytest.mark.parametrize(
    ("kind", "prices"), [("STP", {"stop": 105.0}), ("STP LMT", {"stop": 105.0, "limit": 106.0})]
)
def test_an_immediate_order_at_a_price_has_the_open_of_its_first_bar_alone(tif, kind, prices):
    ticket = order("BUY", 10, kind, tif=tif, **prices)
    for row, status in [((103, 109, 102, 104), "Cancelled"), ((105.5, 109, 102, 104), "Filled")]:
        desk = Desk(daily(row))
        desk.place(1, ticket)
        desk.open()
        assert desk.statuses() == [status]


def test_a_day_order_at_a_price_ends_with_its_session_and_one_good_till_cancelled_goes_on():
    desk = Desk(daily((100, 101, 99, 100), (103, 105, 102, 104)))
    for number, tif in ((1, "DAY"), (2, "GTC")):
        desk.place(number, order("BUY", 10, "STP", stop=105.0, tif=tif))
    heard = desk.close()
    assert (codes(heard), desk.statuses()) == ([202], ["Cancelled", "PreSubmitted"])
    desk.close()
    assert desk.fills == [(2, 105.0, "close")]


def test_an_order_that_comes_within_a_bar_waits_for_the_next_one():
    desk = Desk(daily((100, 106, 94, 100), (100, 101, 99, 100)))
    desk.open()
    desk.place(1, order("BUY", 10, "STP", stop=105.0, tif="GTC"))
    desk.close()
    desk.close()
    assert desk.fills == []


def test_fills_of_a_bar_come_market_orders_first_then_asset_by_asset_then_those_for_the_close():
    flat = (100, 100, 100, 100)
    bars = ql.Bars.join([daily(flat, (100, 106, 94, 100), symbol=s) for s in ("A", "B")])
    desk = Desk(bars)
    for number, symbol in ((1, "A"), (4, "B")):
        desk.place_all(bracket(order("BUY", 10), stop=95.0), first=number) if symbol == "A" else None
    desk.place(3, order("SELL", 5, "MOC"), "A")
    desk.close()
    desk.place(4, order("BUY", 1), "B")
    desk.place(5, order("BUY", 1, "STP", stop=105.0), "B")
    desk.place(6, order("BUY", 1, "LMT", limit=101.0), "A")
    desk.place(7, order("BUY", 1, "MOC"), "A")
    desk.close()
    assert [n for n, _, _ in desk.fills] == [1, 3, 4, 6, 2, 5, 7]


# -- the rule alone ------------------------------------------------------------------------------------

PRICES = st.integers(90, 110).map(float)
MAYBE = st.one_of(st.none(), PRICES)


@given(st.sampled_from([1, -1]), PRICES, MAYBE, MAYBE, st.booleans())
def test_at_an_open_nothing_fills_beyond_its_limit_or_before_its_stop(side, opened, stop, limit, triggered):
    met = meet_open(side, opened, Terms(stop, limit, triggered and stop is not None))
    waits = stop is not None and not triggered and side * opened < side * stop
    beyond = limit is not None and side * opened > side * limit
    assert (met.reference is None) == (waits or beyond)
    assert met.reference in {None, opened}
    assert met.triggered == (stop is not None and not waits)


@given(st.sampled_from([1, -1]), PRICES, PRICES, PRICES, MAYBE, MAYBE)
def test_inside_a_bar_a_fill_lies_within_the_bar_and_within_its_limit(side, a, b, closed, stop, limit):
    high, low = max(a, b, closed), min(a, b, closed)
    dear, cheap = (high, low) if side > 0 else (low, high)
    met = meet_rest(side, dear, cheap, closed, Terms(stop, limit))
    if met.reference is None:
        return
    assert met.way == (
        BY_STOP if met.reference == stop and (limit is None or side * limit >= side * stop) else BY_LIMIT
    )
    assert limit is None or side * met.reference <= side * limit
    if met.way == BY_STOP:
        assert side * met.reference <= side * dear
    if met.way == BY_LIMIT:
        assert side * cheap < side * met.reference
    # A sale is a purchase in a mirror.
    mirror = [None if x is None else -x for x in (stop, limit)]
    assert meet_rest(-side, -dear, -cheap, -closed, Terms(*mirror)) == Met(
        -met.reference, met.way, met.triggered
    )


def test_a_trailing_level_lies_an_amount_or_a_fraction_from_the_best_price():
    assert trail_level(-1, 100.0, 4.0, None) == 96.0
    assert trail_level(1, 100.0, None, 0.08) == 108.0


# -- the engine ----------------------------------------------------------------------------------------

ENTRIES = ("market", "limit", "stop", "stop limit")
PROTECTION = ("stop_loss", "take_profit", "trailing_stop")
VALUES = {"stop_loss": (0.02, 0.035), "take_profit": (0.02, 0.04), "trailing_stop": (0.02, 0.03)}


def drawn_bars(rng, n_bars):
    """Bars that move a lot, in cents."""
    rows, price = [], 100.0
    for _ in range(n_bars):
        opened = round(price * (1 + rng.normal(0, 0.01)), 2)
        path = [opened, *np.round(opened * np.exp(np.cumsum(rng.normal(0, 0.01, 6))), 2).tolist()]
        price = path[-1]
        rows.append((opened, max(path), min(path), price))
    return daily(*rows)


def drawn_signal(rng, close, kind, scale=1.0):
    """A signal of one side, with one kind of entry, and what it protects with."""
    side = int(rng.choice([1, -1]))
    target = side * (np.cumsum(rng.random(len(close)) < 0.3) % 2).astype(float)
    chosen = rng.permutation(PROTECTION)[: rng.integers(1, 4)]
    levels = {str(name): scale * float(rng.choice(VALUES[name])) for name in chosen}
    prices = {}
    if kind.startswith("stop"):
        prices["stop"] = close * (1 + side * rng.choice([0.003, 0.01]))
    if kind == "limit":
        prices["limit"] = close * (1 - side * rng.choice([0.0, 0.005, 0.01]))
    if kind == "stop limit":
        prices["limit"] = prices["stop"] * (1 + side * rng.choice([-0.006, 0.0, 0.004]))
    return ql.Signal(target, entry=rng.random(len(close)) < 0.3, **levels, **prices), levels


def live_tickets(row, close, levels, charges, first):
    """The bracket that a decided order of the engine is sent as."""
    side = 1 if row.quantity > 0 else -1
    kind = {"market": "MKT", "limit": "LMT", "stop": "STP", "stop limit": "STP LMT"}[row.type]
    prices = {n: getattr(row, n) for n in ("limit", "stop") if not math.isnan(getattr(row, n))}
    parent = order("BUY" if side > 0 else "SELL", abs(row.quantity), kind, **prices)

    def level(away, fraction):
        return charges.worsened(0, close * (1.0 + away * fraction), away, 0.0, 0.0)

    children = {}
    if "stop_loss" in levels:
        children["stop"] = level(-side, levels["stop_loss"])
    if "take_profit" in levels:
        children["target"] = level(side, levels["take_profit"])
    if "trailing_stop" in levels:
        children["trail"] = {"trailing_percent": 100.0 * levels["trailing_stop"]}
    return bracket(parent, first=first, **children) if row.target else [parent]


def compare_with_engine(rng, bars, size, kind, scale=1.0):
    """Run a signal through the engine and its orders through the gateway; kinds of the fills, which are equal."""
    market = Market.of_bars(bars)
    served = market.bars(None, size, None if size == "1 day" else bars.index[1])
    signal, levels = drawn_signal(rng, served.close[:, 0], kind, scale)
    costs = ql.Costs.zero().replace(
        slippage_bps=float(rng.choice([0, 7])), spread_bps=float(rng.choice([0, 5]))
    )
    result = ql.backtest(signal, served, costs=costs, cash=1e6, sizing=ql.Sizing.units(10))
    decided = {}
    for row in result.orders.itertuples():
        if row.type in ENTRIES:
            decided.setdefault(row.time, []).append(row)
    desk, number = Desk(bars, costs=costs, bar_size=size), 1
    for t in range(served.n_bars):
        desk.closed(served.time[t])
        for row in decided.get(served.index[t], ()):
            if row.target == 0.0:
                desk.desk.cancel_all(1)
            tickets = live_tickets(row, served.close[t, 0], levels, desk.venue.charges, number)
            desk.place_all(tickets, first=number)
            number += len(tickets)
    days = np.array([x.time_ns for x in desk.desk.executions], "M8[ns]").astype("M8[D]").astype(str).tolist()
    got = [(x.quantity, x.price, day) for x, day in zip(desk.desk.executions, days, strict=True)]
    assert got == [(x.quantity, x.price, str(x.time)[:10]) for x in result.fills.itertuples()]
    return result.fills["kind"].tolist()


@pytest.mark.parametrize("kind", ENTRIES)
def test_brackets_fill_by_bars_as_the_engine_fills_its_protective_orders_to_the_bit(kind):
    kinds = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        kinds.update(compare_with_engine(rng, drawn_bars(rng, 60), "1 day", kind))
    assert kinds == {"order", "stop loss", "take profit", "trailing stop"}


def test_on_bars_within_the_day_they_do_too():
    kinds = set()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        kinds.update(compare_with_engine(rng, drawn_bars(rng, 12), "15 mins", "market", scale=0.3))
    assert kinds == {"order", "stop loss", "take profit", "trailing stop"}
