"""Stops by quotes: touched by the made-up path, filled as market orders some time later; and trails along the path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gateway_desk import Desk, bracket, codes, daily, order, told
from hypothesis import given, settings
from hypothesis import strategies as st

import quantlab as ql
from quantlab.gateway.path import Path, Trail
from quantlab.wire import messages as m

SECOND = 1_000_000_000
QUIET = (100, 100.5, 99.5, 100)
FALL = (100, 101, 90, 92)


def quoted(*rows, **more):
    return Desk(daily(*rows), fills="quotes", **more)


def path_of(desk, row=1):
    return desk.venue.market.path(0, row)


def corners(path):
    """Instants and prices between which the path is straight."""
    return path.points(int(path.open_ns[0]), int(path.close_ns[-1]))


def first_at(path, good, from_ns=0):
    """First corner, by looking at one after the other, whose price is good; and the corner before it."""
    times, prices = corners(path)
    for k, (t, p) in enumerate(zip(times.tolist(), prices.tolist(), strict=True)):
        if t >= from_ns and good(p):
            return int(times[max(k - 1, 0)]), t
    return None


# -- what is taken -------------------------------------------------------------------------------------

STOP = order("BUY", 1, "STP", stop=105.0)
TRAIL = order("SELL", 1, "TRAIL")


@pytest.mark.parametrize(
    ("ticket", "code"),
    [
        (replace(STOP, aux_price=None), 321),
        (replace(STOP, aux_price=0.0), 321),
        (replace(STOP, aux_price=105.005), 110),
        (replace(STOP, order_type="STP LMT"), 321),
        (replace(STOP, order_type="STP LMT", limit_price=-1.0), 321),
        (replace(STOP, order_type="STP LMT", limit_price=105.005), 110),
        (replace(STOP, tif="OPG"), 111),
        (replace(STOP, trigger_method=5), 146),
        (replace(STOP, hedge_type="D"), 201),
        (replace(STOP, adjusted_order_type="TRAIL"), 201),
        (replace(STOP, oca_group="x", oca_type=4), 321),
        (replace(STOP, what_if=True, transmit=False), 413),
        (TRAIL, 158),
        (replace(TRAIL, aux_price=1.0, trailing_percent=2.0), 321),
        (replace(TRAIL, aux_price=-1.0), 321),
        (replace(TRAIL, trailing_percent=100.0), 159),
        (replace(TRAIL, trailing_percent=-1.0), 159),
        (replace(TRAIL, aux_price=1.0, trail_stop_price=95.005), 110),
        (replace(TRAIL, aux_price=1.0, tif="OPG"), 111),
        (order("BUY", 1, "MOC", tif="GTC"), 113),
        *((order("BUY", 1, kind, limit=99.0, stop=105.0), 387) for kind in ("LOC", "MIT", "TRAIL LIMIT")),
    ],
)
def test_an_order_that_cannot_be_taken_is_refused_with_its_code_and_its_number_stays_free(ticket, code):
    desk = quoted(QUIET)
    assert codes(desk.place(1, ticket)) == [code]
    assert desk.desk.orders == {}
    assert codes(desk.place(1, STOP)) == [399]


# -- stops ---------------------------------------------------------------------------------------------


def test_a_stop_is_touched_by_the_path_told_as_submitted_and_meets_the_quotes_after_the_latency():
    desk = quoted(FALL, spread_bps=10.0, latency_s=7.5)
    desk.place(1, order("SELL", 10, "STP", stop=95.0))
    desk.open()
    heard = desk.hear(desk.venue.advance)
    assert (told(heard, 1), desk.order(1).why_held) == (["Submitted"], "")
    touched = desk.now.time_ns
    before, after = first_at(path_of(desk), lambda p: p <= 95.0)
    assert before < touched <= after
    assert path_of(desk).at(touched) == pytest.approx(95.0, abs=1e-9)
    desk.venue.advance()
    (done,) = desk.desk.executions
    assert done.time_ns == touched + 15 * SECOND // 2
    assert done.reference == pytest.approx(95.0, abs=1e-9)
    assert done.mid == path_of(desk).at(done.time_ns)
    assert done.price == np.floor(done.mid * (1 - 5e-4) * 100) / 100


def test_a_stop_that_the_open_is_beyond_is_touched_there():
    desk = quoted((94, 96, 93, 95))
    desk.place(1, order("SELL", 10, "STP", stop=95.0))
    desk.place(2, order("BUY", 10, "STP", stop=93.0, tif="GTC"))  # on the wrong side of the market
    desk.open()
    opened = desk.now.time_ns
    desk.close()
    assert [x.time_ns - opened for x in desk.desk.executions] == [SECOND // 4] * 2
    assert [x.reference for x in desk.desk.executions] == [94.0, 94.0]


def test_a_stop_that_is_not_touched_is_looked_for_again_in_the_next_session():
    desk = quoted(QUIET, FALL)
    desk.place(1, order("SELL", 10, "STP", stop=95.0, tif="GTC"))
    desk.place(2, order("SELL", 10, "STP", stop=95.0))
    desk.close()
    assert desk.statuses() == ["PreSubmitted", "Cancelled"]
    desk.close()
    assert [n for n, _, _ in desk.fills] == [1]


def test_a_stop_limit_is_a_limit_once_it_is_touched():
    desk = quoted((100, 104, 90, 103), (103, 104, 90, 92))
    desk.place(1, order("SELL", 10, "STP LMT", stop=95.0, limit=97.0, tif="GTC"))
    desk.open()
    desk.venue.advance()
    touched = desk.now.time_ns
    assert (desk.order(1).triggered, desk.order(1).status) == (True, "Submitted")
    for _ in range(2):
        desk.close()
    (done,) = desk.desk.executions
    assert done.price >= 97.0
    assert done.time_ns > touched


@pytest.mark.parametrize(("stop", "status"), [(95.0, "Cancelled"), (100.0, "Filled")])
def test_an_immediate_stop_is_touched_when_it_can_first_trade_or_ends(stop, status):
    desk = quoted(FALL)
    desk.place(1, order("SELL", 10, "STP", stop=stop, tif="IOC"))
    desk.close()
    assert desk.statuses() == [status]


def test_of_two_children_the_path_decides_which_comes_first():
    rows = (100, 104, 95, 100)
    seen = set()
    for seed in range(6):
        desk = quoted(rows, seed=seed)
        desk.place_all(bracket(order("BUY", 10), target=103.0, stop=96.0))
        desk.close()
        low = first_at(path_of(desk), lambda p: p <= 96.0)
        high = first_at(path_of(desk), lambda p: p >= 103.0)
        filled = desk.fills[1][0]
        assert filled == (3 if low < high else 2)
        assert desk.position == 0.0
        seen.add(filled)
    assert seen == {2, 3}


def test_orders_for_the_close_meet_the_quotes_there_and_those_for_the_opening_after_the_latency():
    desk = quoted(FALL, QUIET, spread_bps=10.0)
    desk.place(1, order("SELL", 10, "MOC"))
    desk.place(2, order("SELL", 10, tif="OPG"))
    desk.close()
    opening, closing = desk.desk.executions
    assert (closing.order_id, closing.mid, closing.price) == (1, 92.0, 91.95)
    assert closing.time_ns == desk.now.time_ns
    opened = desk.venue.market.hours.open_ns[1]
    assert (opening.order_id, opening.time_ns) == (2, opened + SECOND // 4)
    desk.place(3, order("BUY", 10, "MOC"))  # at a close: for the next one
    desk.close()
    assert desk.fills[-1] == (3, 100.05, "close")


# -- trailing stops ------------------------------------------------------------------------------------


def naive_trail(path, start_ns, extreme, amount):
    """When a sale that trails by an amount is touched: every tenth of a second is looked at."""
    corner_times, _ = corners(path)
    times = np.unique(np.concatenate((np.arange(start_ns, path.close_ns[-1], SECOND // 10), corner_times)))
    for t in times[times >= start_ns].tolist():
        price = path.at(t)
        if price <= np.floor((extreme - amount) * 100 + 1e-6) / 100 + 1e-9:
            return t, extreme
        extreme = max(extreme, price)
    return None, extreme


@pytest.mark.parametrize("seed", range(5))
def test_a_trailing_stop_follows_the_path_from_the_fill_of_its_parent(seed):
    desk = quoted((100, 106, 94, 97), seed=seed)
    desk.place_all(bracket(order("BUY", 10), trail={"aux_price": 2.0}))
    desk.close()
    bought, sold = desk.desk.executions
    touched, extreme = naive_trail(path_of(desk), bought.time_ns, bought.price, 2.0)
    assert sold.time_ns == pytest.approx(touched + SECOND // 4, abs=SECOND // 5)
    assert sold.reference == pytest.approx(extreme - 2.0, abs=0.011)
    assert desk.order(2).level == pytest.approx(extreme - 2.0, abs=0.011)


def test_where_a_trailing_stop_is_now_is_told_and_never_what_will_be():
    desk = quoted((100, 106, 99, 105), (105, 106, 90, 91))
    desk.place_all(bracket(order("BUY", 10), trail={"trailing_percent": 8.0}))
    desk.place(3, order("BUY", 1, "LMT", limit=99.5))
    desk.open()
    path, best = path_of(desk), 0.0
    while not desk.order(3).done:
        desk.venue.advance()
        _, prices = path.points(desk.desk.executions[0].time_ns, desk.now.time_ns)
        best = max(best, desk.desk.executions[0].price, prices.max())
        shown = desk.desk.open_order(desk.order(2)).order.trail_stop_price
        assert shown == pytest.approx(np.floor(best * 0.92 * 100 + 1e-6) / 100)
    desk.close()
    assert desk.desk.open_order(desk.order(2)).order.trail_stop_price == pytest.approx(97.52)
    desk.close()
    assert desk.desk.executions[-1].reference == pytest.approx(97.52, abs=1e-6)


def test_a_trailing_stop_goes_on_across_a_night_and_is_touched_by_a_gap():
    desk = quoted((100, 106, 99, 105), (96, 97, 95, 96))
    desk.place_all(bracket(order("BUY", 10), trail={"aux_price": 8.0}))
    desk.close()
    desk.open()
    opened = desk.now.time_ns
    desk.close()
    assert desk.desk.executions[-1].time_ns == opened + SECOND // 4


def steps(seed, n=40):
    """A path of small steps that go anywhere."""
    rng = np.random.default_rng(seed)
    points = np.round(100 + np.cumsum(rng.normal(0, 0.3, n + 1)), 2)
    begin = np.arange(n) * 5 * SECOND
    high = np.maximum(points[:-1], points[1:]) + np.round(rng.random(n), 2)
    low = np.minimum(points[:-1], points[1:]) - np.round(rng.random(n), 2)
    return Path(begin, begin + 5 * SECOND, points[:-1], high, low, points[1:], np.ones(n))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, -1]), st.floats(0.3, 4.0), st.integers(0, 150 * SECOND))
def test_along_any_path_a_trailing_stop_is_touched_when_the_price_first_falls_back_to_it(
    seed, side, amount, start
):
    path = steps(seed)
    if side > 0:
        path = replace(
            path, open=200 - path.open, high=200 - path.low, low=200 - path.high, close=200 - path.close
        )
    begun = path.at(start)

    def exact(extreme):
        raw = (extreme + side * amount) * 100
        return (np.ceil(raw - 1e-6) if side > 0 else np.floor(raw + 1e-6)) / 100

    trail = Trail(side, begun, exact(begun), lambda x: x + side * amount, exact)
    found, extreme = path.first_trailed(trail, start, int(path.close_ns[-1]))
    times, prices = path.points(start, int(path.close_ns[-1]))
    best = begun
    for k in range(1, len(times)):
        if side * prices[k] >= side * exact(best):
            assert times[k - 1] <= found <= times[k]
            assert side * path.at(found) >= side * exact(best) - 1e-6
            assert extreme == best
            return
        best = side * min(side * best, side * prices[k])
    assert (found, extreme) == (None, best)


def test_the_corners_of_a_path_are_what_it_goes_through_in_straight_lines():
    path = steps(3)
    times, prices = path.points(7 * SECOND, 93 * SECOND)
    assert (times[0], times[-1]) == (7 * SECOND, 93 * SECOND)
    assert (np.diff(times) >= 0).all()
    for t in np.linspace(7 * SECOND, 93 * SECOND, 501).astype(np.int64).tolist():
        assert path.at(t) == pytest.approx(np.interp(t, times, prices), abs=1e-6)


def test_a_trailing_order_that_is_never_touched_ends_with_its_day():
    desk = quoted(QUIET)
    desk.place(1, m.OrderTicket("SELL", 10, "TRAIL", trailing_percent=20.0))
    desk.close()
    assert desk.statuses() == ["Cancelled"]


def test_costs_and_sizes_of_stops_are_those_of_every_order():
    desk = quoted(FALL, costs=ql.Costs.default())
    desk.place_all(bracket(order("BUY", 300), stop=95.0))
    desk.close()
    assert [x.commission - x.fees for x in desk.desk.executions] == [1.5, 1.5]
