"""Brackets and groups at the gateway: who waits for whom, who ends with whom, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gateway_desk import Desk, Recorder, bracket, codes, daily, order, told
from hypothesis import given, settings
from hypothesis import strategies as st

import quantlab as ql
from quantlab.wire import messages as m

FLAT = (100, 101, 99, 100)


@pytest.fixture(params=["bars", "quotes"])
def desk(request):
    return Desk(daily(FLAT, FLAT, FLAT), fills=request.param)


def statuses(messages):
    return [(x.order_id, x.status, x.why_held, x.parent_id) for x in messages if isinstance(x, m.OrderStatus)]


def open_orders(messages):
    return {x.order_id: x.order for x in messages if isinstance(x, m.OpenOrder)}


def entry(**more):
    """Bracket around a limit that the flat bars never reach, unless another parent is given."""
    given = {"target": 110.0, "stop": 90.0} | more
    return bracket(given.pop("parent", order("BUY", 10, "LMT", limit=95.0, tif="GTC")), **given)


# -- placing -------------------------------------------------------------------------------------------


def test_nothing_goes_out_until_the_last_order_says_so_and_then_the_parent_goes_first(desk):
    parent, target, stop = entry()
    assert statuses(desk.place(1, parent)) == [(1, "PendingSubmit", "", 0)]
    assert statuses(desk.place(2, target)) == [(2, "PendingSubmit", "", 1)]
    assert statuses(desk.place(3, stop)) == [
        (1, "PreSubmitted", "", 0),
        (2, "PreSubmitted", "child", 1),
        (3, "PreSubmitted", "child,trigger", 1),
    ]


def test_what_is_never_transmitted_never_fills(desk):
    for number, ticket in enumerate(entry(parent=order("BUY", 10))[:2], 1):
        desk.place(number, ticket)
    desk.close()
    assert (desk.fills, desk.statuses()) == ([], ["PendingSubmit"] * 2)


def test_a_child_that_is_sent_after_its_parent_has_filled_works_at_once(desk):
    parent, stop = bracket(order("BUY", 10), stop=90.0)
    desk.place(1, replace(parent, transmit=True))
    desk.place(2, replace(stop, transmit=False))
    desk.close()
    assert desk.statuses() == ["Filled", "PendingSubmit"]
    desk.place(2, stop)
    assert (desk.statuses(2), desk.order(2).why_held) == (["PreSubmitted"], "trigger")


def test_a_group_without_a_parent_goes_out_with_its_last_order_too(desk):
    for number in (1, 2):
        ticket = order("BUY", 10, "LMT", limit=95.0, oca_group="g", transmit=number == 2)
        heard = desk.place(number, ticket)
    assert [x[:2] for x in statuses(heard)] == [(1, "PreSubmitted"), (2, "PreSubmitted")]


def test_children_are_a_group_by_themselves_named_by_their_parents_number(desk):
    heard = open_orders(desk.place_all(entry()))
    perm_id = desk.order(1).perm_id
    assert (heard[1].oca_group, heard[1].parent_id) == ("", 0)
    for number in (2, 3):
        child = heard[number]
        assert (child.oca_group, child.oca_type, child.parent_id) == (str(perm_id), 3, 1)
    parent, target, stop = entry()
    named = [replace(x, oca_group="mine", oca_type=1) for x in (target, stop)]
    heard = open_orders(desk.place_all([parent, *(replace(x, parent_id=4) for x in named)], first=4))
    assert [(heard[n].oca_group, heard[n].oca_type) for n in (5, 6)] == [("mine", 1)] * 2


@pytest.mark.parametrize("ended", [False, True])
def test_a_child_of_an_order_that_is_not_there_or_has_ended_is_refused_with_135(desk, ended):
    if ended:
        desk.place(1, order("BUY", 10))
        desk.open()
        while not desk.fills:
            desk.venue.advance()
    assert codes(desk.place(2, order("SELL", 10, "STP", stop=90.0, parent_id=1))) == [135]
    assert codes(desk.place(2, order("SELL", 10, "STP", stop=90.0))) != [103]  # the number is still free


def test_a_child_has_the_quantity_and_the_contract_of_its_parent():
    bars = ql.Bars.join([daily(FLAT, FLAT, symbol=s) for s in ("A", "B")])
    desk = Desk(bars)
    desk.place(1, order("BUY", 10, transmit=False))
    child = order("SELL", 5, "STP", stop=90.0, parent_id=1)
    assert codes(desk.place(2, child)) == [405]
    assert codes(desk.place(2, replace(child, quantity=10), "B")) == [201]
    assert codes(desk.place(2, replace(child, quantity=10), "A")) == [399]


def test_a_parent_that_the_account_cannot_carry_ends_and_its_children_with_it(desk):
    big = order("BUY", 1_000_000)
    heard = desk.place_all(entry(parent=big))
    assert desk.statuses() == ["Inactive", "Cancelled", "Cancelled"]
    assert [codes(heard, n) for n in (1, 2, 3)] == [[201], [202], [202]]


def test_protective_orders_neither_use_nor_free_buying_power():
    desk = Desk(daily(FLAT, FLAT), cash=1_000.0)
    desk.place_all(entry(parent=order("BUY", 10)))
    desk.close()
    assert desk.statuses() == ["Filled", "Submitted", "PreSubmitted"]
    assert codes(desk.place(4, order("BUY", 15))) == [201]
    assert codes(desk.place(5, order("BUY", 9))) == [399]


# -- a bracket lives -----------------------------------------------------------------------------------


def test_children_work_once_their_parent_has_filled(desk):
    desk.place_all(entry(parent=order("BUY", 10)))
    heard = desk.open()
    while not desk.fills:
        heard += desk.hear(desk.venue.advance)
    done = [x for x in heard if isinstance(x, m.OrderStatus)]
    assert [(x.order_id, x.status, x.why_held) for x in done] == [
        (1, "Filled", ""),
        (1, "Filled", ""),
        (2, "Submitted", ""),
        (3, "PreSubmitted", "trigger"),
    ]
    assert [o.parent_id for o in done] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("bar", "filled", "price"), [((100, 111, 99, 105), 2, 110.0), ((100, 101, 89, 95), 3, 90.0)]
)
@pytest.mark.parametrize("fills", ["bars", "quotes"])
def test_when_one_child_fills_the_other_is_cancelled_with_202_and_nothing_is_held(bar, filled, price, fills):
    desk = Desk(daily(FLAT, bar), fills=fills)
    desk.place_all(entry(parent=order("BUY", 10)))
    desk.close()
    heard = desk.close()
    other = 5 - filled
    assert (told(heard, filled)[-1], told(heard, other)) == ("Filled", ["Cancelled"])
    assert codes(heard, other) == [202]
    assert desk.position == 0.0
    assert desk.fills[-1][1] == pytest.approx(price, abs=0.02)
    assert desk.statuses() == [
        "Filled",
        *(["Filled", "Cancelled"] if filled == 2 else ["Cancelled", "Filled"]),
    ]


def test_a_parent_that_is_cancelled_takes_its_children_along(desk):
    desk.place_all(entry())
    heard = desk.cancel(1)
    assert desk.statuses() == ["Cancelled"] * 3
    assert codes(heard) == [202] * 3
    assert [x.request_id for x in heard if isinstance(x, m.ErrorMessage)] == [1, 2, 3]


def test_a_child_that_is_cancelled_leaves_the_others(desk):
    desk.place_all(entry())
    assert codes(desk.cancel(2)) == [202]
    assert desk.statuses() == ["PreSubmitted", "Cancelled", "PreSubmitted"]


def test_a_global_cancel_tells_every_order_once(desk):
    desk.place_all(entry())
    assert codes(desk.hear(lambda: desk.desk.cancel_all(1))) == [202] * 3


def test_children_end_with_a_parent_whose_day_is_over_or_that_misses_its_only_chance(desk):
    desk.place_all(entry(parent=order("BUY", 10, "LMT", limit=95.0, tif="DAY")))
    desk.place_all(entry(parent=order("BUY", 10, "LMT", limit=95.0, tif="IOC"), first=4), first=4)
    desk.open()
    while not desk.order(4).done:
        desk.venue.advance()
    assert desk.statuses(4, 5, 6) == ["Cancelled"] * 3
    desk.close()
    assert desk.statuses(1, 2, 3) == ["Cancelled"] * 3


def test_a_day_order_that_waits_for_its_parent_has_its_day_when_that_has_filled():
    desk = Desk(daily(FLAT, FLAT, (96, 97, 94, 96), FLAT))
    parent, target, stop = entry()
    desk.place_all([parent, target, replace(stop, tif="DAY")])
    desk.close()
    desk.close()
    assert desk.statuses() == ["Submitted", "PreSubmitted", "PreSubmitted"]
    desk.close()
    assert desk.fills == [(1, 95.0, "close")]
    assert desk.statuses() == ["Filled", "Submitted", "Cancelled"]


def test_a_child_may_be_an_order_for_the_close_of_the_day_of_its_parent(desk):
    parent, stop = bracket(order("BUY", 10), stop=90.0)
    way_out = order("SELL", 10, "MOC", parent_id=1, transmit=False)
    desk.place_all([parent, way_out, replace(stop, transmit=True)])
    desk.close()
    assert [(n, when) for n, _, when in desk.fills][1] == (2, "close")
    assert desk.statuses() == ["Filled", "Filled", "Cancelled"]


# -- groups without a parent ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_in_a_group_the_first_that_fills_cancels_the_others_whatever_they_are_for(kind):
    bars = ql.Bars.join([daily((100, 101, 98, 100), FLAT, symbol="A"), daily(FLAT, FLAT, symbol="B")])
    desk = Desk(bars)
    other = desk.venue.clients[2] = Recorder()
    shared = {"oca_group": "g", "oca_type": kind, "tif": "GTC"}
    desk.place(1, order("BUY", 10, "LMT", limit=99.0, **shared), "A")
    desk.place(2, order("BUY", 30, "LMT", limit=95.0, **shared), "B")
    contract = m.Contract(symbol="B", security_type="STK", exchange="SMART", currency="USD")
    desk.desk.place(2, m.PlaceOrder(1, contract, order("SELL", 7, "LMT", limit=105.0, **shared)))
    heard = desk.close()
    assert desk.fills == [(1, 99.0, "close")]
    assert desk.statuses(1, 2) == ["Filled", "Cancelled"]
    assert codes(heard) == codes(other.heard[-2:]) == [202]
    assert open_orders(desk.client.heard)[2].oca_type == (kind or 3)


def test_a_group_of_which_one_has_filled_takes_no_more_orders():
    desk = Desk(daily(FLAT, FLAT))
    desk.place(1, order("BUY", 10, oca_group="g"))
    desk.close()
    heard = desk.place(2, order("BUY", 10, "LMT", limit=95.0, oca_group="g"))
    assert (codes(heard), desk.statuses(2)) == ([201], ["Inactive"])


def test_of_a_group_of_entries_only_the_largest_counts_against_the_account():
    desk = Desk(daily(FLAT, FLAT), cash=1_000.0)
    for number, quantity in ((1, 15), (2, 12)):
        assert codes(desk.place(number, order("BUY", quantity, "LMT", limit=95.0, oca_group="g"))) == [399]
    assert codes(desk.place(3, order("BUY", 6))) == [201]
    assert codes(desk.place(4, order("BUY", 5))) == [399]


# -- changes -------------------------------------------------------------------------------------------


def test_a_parents_quantity_is_its_childrens_and_prices_change_one_by_one(desk):
    desk.place_all(entry())
    heard = desk.place(1, order("BUY", 20, "LMT", limit=94.0, tif="GTC"))
    assert {n: x.quantity for n, x in open_orders(heard).items()} == {1: 20, 2: 20, 3: 20}
    assert codes(desk.place(3, order("SELL", 10, "STP", stop=91.0, tif="GTC"))) == [405]
    desk.place(3, order("SELL", 20, "STP", stop=91.0, tif="GTC", parent_id=1))
    assert (desk.order(3).stop, desk.order(3).ticket.parent_id, desk.order(3).why_held) == (
        91.0,
        1,
        "child,trigger",
    )


def test_a_child_whose_parent_has_filled_is_changed_without_naming_it(desk):
    desk.place_all(entry(parent=order("BUY", 10)))
    desk.close()
    stop = order("SELL", 10, "STP", stop=97.0, tif="GTC")
    assert codes(desk.place(3, replace(stop, parent_id=1))) == [135]
    assert (desk.statuses(3), desk.order(3).stop) == (["PreSubmitted"], 90.0)
    heard = desk.place(3, replace(stop, quantity=4))
    assert open_orders(heard)[3].oca_group == str(desk.order(1).perm_id)
    desk.open()
    assert (desk.order(3).stop, desk.order(3).ticket.quantity) == (97.0, 4)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"oca_group": "other"}, 10326),
        ({"oca_type": 1}, 10327),
        ({"parent_id": 7}, 105),
        ({"tif": "GTC"}, None),
    ],
)
def test_a_change_leaves_group_and_parent_as_they_are_or_is_refused(desk, changed, code):
    desk.place_all(entry())
    heard = desk.place(3, replace(order("SELL", 10, "STP", stop=91.0), **changed))
    assert codes(heard) == ([] if code is None else [code])
    assert desk.order(3).stop == (91.0 if code is None else 90.0)


def test_a_change_may_name_the_group_as_it_was_told(desk):
    shown = open_orders(desk.place_all(entry()))[3]
    assert codes(desk.place(3, replace(shown, aux_price=91.0))) == []
    assert desk.order(3).stop == 91.0


def test_a_stop_that_is_changed_at_the_open_of_its_bar_stands_in_that_bar():
    desk = Desk(daily((100, 101, 94, 100), FLAT))
    desk.place_all(entry(parent=order("BUY", 10)))
    desk.open()
    desk.place(3, order("SELL", 10, "STP", stop=95.0, tif="GTC"))
    desk.close()
    assert desk.fills[1:] == [(3, 95.0, "close")]


def test_a_stop_that_is_moved_beyond_the_open_of_its_bar_waits_for_the_next_one():
    desk = Desk(daily((100, 101, 94, 100), (97, 98, 96, 97)))
    desk.place_all(entry(parent=order("BUY", 10)))
    desk.open()
    desk.place(3, order("SELL", 10, "STP", stop=105.0, tif="GTC"))
    desk.close()
    desk.close()
    assert desk.fills[1:] == [(3, 97.0, "open")]


def test_a_stop_limit_with_another_stop_has_to_be_triggered_again():
    desk = Desk(daily((108, 109, 107, 108), FLAT, (104, 106, 103, 105)))
    ticket = order("BUY", 10, "STP LMT", stop=105.0, limit=104.5, tif="GTC")
    desk.place(1, ticket)
    desk.open()
    assert desk.order(1).triggered
    desk.place(1, replace(ticket, aux_price=110.0, limit_price=111.0))
    assert (desk.order(1).triggered, desk.order(1).status) == (False, "PreSubmitted")
    desk.close()
    desk.close()
    assert desk.fills == []


def test_a_trailing_stop_with_another_distance_goes_on_and_with_another_beginning_begins_anew(desk):
    desk.place_all(bracket(order("BUY", 10), trail={"aux_price": 8.0}))
    desk.close()
    best = desk.order(2).extreme if desk.gateway._venue.settings.fills == "bars" else 101.0
    assert best == 101.0
    ticket = order("SELL", 10, "TRAIL", tif="GTC")
    assert open_orders(desk.place(2, replace(ticket, aux_price=6.0)))[2].trail_stop_price == 95.0
    assert open_orders(desk.place(2, replace(ticket, trailing_percent=10.0)))[2].trail_stop_price == 90.9
    first = replace(ticket, aux_price=6.0, trail_stop_price=92.0)
    assert open_orders(desk.place(2, first))[2].trail_stop_price == 92.0
    assert desk.order(2).extreme == 98.0
    # The same beginning again changes nothing.
    desk.close()
    level = desk.order(2).level
    assert level == 95.0 or desk.gateway._venue.settings.fills == "quotes"
    assert open_orders(desk.place(2, first))[2].trail_stop_price == 95.0


@pytest.mark.parametrize("kind", ["STP", "STP LMT", "TRAIL", "MOC", "LMT"])
def test_what_if_answers_every_type_and_keeps_nothing(desk, kind):
    prices = {"STP": {"stop": 105.0}, "STP LMT": {"stop": 105.0, "limit": 106.0}, "LMT": {"limit": 99.0}}
    more = prices.get(kind, {"stop": 3.0} if kind == "TRAIL" else {})
    (answer,) = desk.place(1, order("BUY", 10, kind, what_if=True, **more))
    assert (
        float(answer.state.init_margin_change)
        == 10 * (more.get("limit") or prices.get(kind, {}).get("stop", 100.0)) / 2
    )
    assert desk.desk.orders == {}


# -- parts of orders, which only faults make ------------------------------------------------------------


def in_parts(kind=3, fills="bars", most=4):
    desk = Desk(daily((100, 101, 98, 100), (100, 101, 98, 100), (100, 101, 98, 100)), fills=fills)
    desk.venue.faults.fill_at_most = most
    shared = {"oca_group": "g", "oca_type": kind, "tif": "GTC"}
    desk.place(1, order("BUY", 10, "LMT", limit=99.0, **shared))
    desk.place(2, order("BUY", 20, "LMT", limit=95.0, **shared))
    return desk


def test_a_part_that_fills_reduces_the_others_of_its_group_by_the_same_share():
    desk = in_parts()
    heard = desk.close()
    assert [x.quantity for x in desk.desk.executions] == [4.0]
    assert [(x.order_id, x.status, x.filled, x.remaining) for x in heard if isinstance(x, m.OrderStatus)][
        -3:
    ] == [
        (1, "Submitted", 4.0, 6.0),
        (1, "Submitted", 4.0, 6.0),
        (2, "Submitted", 0.0, 12.0),
    ]
    desk.close()
    desk.close()
    assert [x.quantity for x in desk.desk.executions] == [4.0, 4.0, 2.0]
    assert [x.cumulative for x in desk.desk.executions] == [4.0, 8.0, 10.0]
    assert desk.statuses() == ["Filled", "Cancelled"]


def test_in_a_group_of_type_one_a_part_that_fills_cancels_the_others():
    desk = in_parts(kind=1)
    desk.close()
    assert desk.statuses() == ["Submitted", "Cancelled"]


@pytest.mark.parametrize("fills", ["bars", "quotes"])
def test_a_stop_that_filled_in_part_is_a_market_order_for_the_rest(fills):
    desk = Desk(daily((100, 101, 94, 98), (99, 99.5, 98.5, 99), (99, 99.5, 98.5, 99)), fills=fills)
    desk.place_all(bracket(order("BUY", 10), stop=95.0))
    desk.open()
    while not desk.fills:
        desk.venue.advance()
    desk.venue.faults.fill_at_most = 6
    for _ in range(3):
        desk.close()
    assert [x.quantity for x in desk.desk.executions] == [10.0, -6.0, -4.0]
    assert desk.statuses() == ["Filled", "Filled"]


def test_children_are_for_what_has_filled_of_a_parent_that_is_cancelled():
    desk = Desk(daily((100, 101, 98, 100), FLAT))
    desk.venue.faults.fill_at_most = 4
    desk.place_all(entry(parent=order("BUY", 10, "LMT", limit=99.0, tif="GTC")))
    desk.close()
    assert desk.statuses() == ["Submitted", "PreSubmitted", "PreSubmitted"]
    desk.cancel(1)
    assert [desk.order(n).ticket.quantity for n in (2, 3)] == [4.0, 4.0]
    assert desk.statuses() == ["Cancelled", "Submitted", "PreSubmitted"]


def test_an_immediate_order_keeps_what_filled_at_once_and_all_or_nothing_fills_whole():
    desk = Desk(daily(FLAT))
    desk.venue.faults.fill_at_most = 4
    desk.place(1, order("BUY", 10, tif="IOC"))
    desk.place(2, order("BUY", 10, tif="FOK"))
    desk.open()
    assert [x.quantity for x in desk.desk.executions] == [4.0, 10.0]
    assert desk.statuses() == ["Cancelled", "Filled"]
    assert codes(desk.place(2, order("BUY", 20))) == [104]


# -- whatever happens ----------------------------------------------------------------------------------

CENTS = st.integers(9_300, 10_700).map(lambda x: x / 100)


@st.composite
def bars(draw):
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        prices = draw(st.lists(CENTS, min_size=4, max_size=4))
        rows.append((prices[0], max(prices), min(prices), prices[1]))
    return rows


@st.composite
def tickets(draw):
    side = draw(st.sampled_from(["BUY", "SELL"]))
    kind = draw(st.sampled_from(["MKT", "LMT", "STP", "STP LMT", "MOC"]))
    prices = {"limit": draw(CENTS) if "LMT" in kind else None, "stop": draw(CENTS) if "STP" in kind else None}
    trail = draw(st.sampled_from([None, {"aux_price": 2.0}, {"trailing_percent": 1.5}]))
    parent = order(
        side, 10, kind, **prices, tif="DAY" if kind == "MOC" else draw(st.sampled_from(["DAY", "GTC"]))
    )
    target, stop = draw(st.one_of(st.none(), CENTS)), draw(CENTS)
    return bracket(parent, target=target, stop=stop, trail=trail)


@settings(max_examples=60, deadline=None)
@given(bars(), tickets(), st.sampled_from(["bars", "quotes"]), st.sampled_from([0.0, 0.25, 100.0]))
def test_never_do_two_children_fill_and_after_the_end_of_a_bracket_nothing_is_held(
    rows, orders, fills, latency
):
    desk = Desk(daily(*rows), fills=fills, latency_s=latency)
    desk.place_all(orders)
    for _ in rows:
        desk.close()
    parent, *children = [desk.order(n).status for n in range(1, len(orders) + 1)]
    assert children.count("Filled") <= (parent == "Filled")
    if "Filled" in children:
        assert desk.position == 0.0
        assert set(children) <= {"Filled", "Cancelled"}
    elif parent == "Filled":
        assert abs(desk.position) == 10.0
        assert "Cancelled" not in children
    else:
        assert desk.position == 0.0
        assert parent != "Cancelled" or set(children) == {"Cancelled"}
    assert len(desk.fills) == [parent, *children].count("Filled")
