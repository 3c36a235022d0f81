"""Brackets at the desk: what protects a position is sent with it, follows it, and outlives the process that sent it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from live_parts import make_bundle, walk
from live_stage import ACCOUNT, CONTRACTS, Stage

from quantlab.broker import events as ev
from quantlab.live.book import CLOSE, ORDER, REST, STOP, TARGET, TRAIL, UNDECIDED
from quantlab.live.bracket import legs_of, ref_of_leg
from quantlab.live.gate import Shape

LONG = Shape(opens=1, protects=True, stop_level=95.0, target_level=110.0)
SHORT = Shape(opens=-1, protects=True, stop_level=105.0, target_level=90.0)
PLAIN = Shape(protects=True)
REF = "QL-01234567-20120315T200000-A-0"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("brackets"), walk(60))


@pytest.fixture
def stage(tmp_path, bundle):
    opened = Stage(tmp_path, replace(bundle, folder=tmp_path))
    yield opened
    opened.journal.close()


def enter(stage, shape=LONG, quantity=100.0, *, fill=True):
    """Decide a bracket in A, and let its parent fill; the parent and its children."""
    side = 1.0 if quantity > 0 else -1.0
    stage.decide([side, 0], [quantity, 0], shapes=(shape, None))
    parent, *children = stage.book.orders.values()
    for order in (parent, *children):
        stage.status(order, "PreSubmitted")
    if fill:
        fills(stage, parent, quantity)
    return parent, *children


def fills(stage, order, quantity, price=100.0):
    """The broker fills an order, and tells the position."""
    number = len(stage.client.fills) + 1
    stage.desk.on_event(stage.report(order, quantity, number, price=price))
    stage.hold("A", stage.book.assets["A"].position)


def is_open(stage, order, **changes):
    """The broker tells an open order."""
    kind = order.ticket["order_type"]
    shown = ev.OrderOpen(
        order.order_id, None, 1, order.ref, CONTRACTS["A"], "SELL", order.quantity, kind, None, "PreSubmitted", None,
        ACCOUNT,
    )  # fmt: skip
    return replace(shown, **changes)


def legs(stage):
    return [int(ref.rpartition("-")[2]) for *_, ref in stage.client.placed]


# -- what is sent --------------------------------------------------------------------------------------------


def test_an_entry_goes_out_with_what_protects_it_and_the_last_one_sends_them_all(stage):
    parent, stop, target = enter(stage, fill=False)
    assert legs(stage) == [ORDER, STOP, TARGET]
    assert [t.transmit for t in stage.client.tickets] == [False, False, True]
    assert [t.parent_id for t in stage.client.tickets] == [0, parent.order_id, parent.order_id]
    assert [t.quantity for t in stage.client.tickets] == [100.0, -100.0, -100.0]
    assert [(t.order_type, t.stop_price, t.limit_price) for t in stage.client.tickets[1:]] == [
        ("STP", 95.0, None),
        ("LMT", None, 110.0),
    ]
    assert [t.tif for t in stage.client.tickets] == ["DAY", "GTC", "GTC"]
    assert {t.oca_group for t in stage.client.tickets[1:]} == {parent.ref}
    assert [o.parent for o in (stop, target)] == [parent.ref] * 2
    # The journal had all of them before the first one left: they are one step.
    at = [e.seq for e in stage.kinds("decision", "intent")]
    assert at == list(range(at[0], at[0] + 4))


def test_a_trailing_stop_goes_out_by_an_amount_or_by_a_percentage():
    by_amount = legs_of(REF, 100.0, 0.0, replace(LONG, stop_level=None, trail_amount=1.5), [])
    by_percent = legs_of(REF, 100.0, 0.0, replace(LONG, target_level=None, trail_percent=8.0), [])
    assert [leg for leg, *_ in by_amount] == [ORDER, TARGET, TRAIL]
    assert by_amount[-1][2]["ticket"]["trail_amount"] == 1.5
    assert by_percent[-1][2]["ticket"]["trail_percent"] == 8.0


def test_an_entry_without_levels_goes_out_alone():
    bare = legs_of(REF, 100.0, 0.0, Shape(opens=1, protects=True), [])
    assert bare == [(ORDER, 100.0, {"ticket": {"order_type": "MKT", "tif": "DAY"}, "opens": 1})]


def test_an_exit_joins_the_group_of_what_protects_the_position(stage):
    parent, stop, target = enter(stage)
    stage.decide([0, 0], [-100, 0], shapes=(PLAIN, None))
    assert legs(stage)[3:] == [ORDER]
    ticket = stage.client.tickets[-1]
    assert (ticket.quantity, ticket.oca_group, ticket.oca_type) == (-100.0, parent.ref, "reduce with block")
    # Nothing was cancelled: the position is protected until it is gone.
    assert stage.client.cancelled == []
    fills(stage, stage.order(), -100.0)
    stage.status(stop, "Cancelled")
    stage.status(target, "Cancelled")
    stage.desk.settle()
    assert not stage.desk.verify()
    assert not stage.book.working()
    assert (stage.book.assets["A"].stopped, stage.book.assets["A"].bracket) == (False, "")


def test_a_reversal_of_a_protected_position_is_two_orders(stage):
    parent, *_ = enter(stage)
    stage.decide([-1, 0], [-190, 0], shapes=(SHORT, None))
    assert legs(stage)[3:] == [CLOSE, ORDER, STOP, TARGET]
    closing, opening, stop, _ = stage.client.tickets[3:]
    assert (closing.quantity, closing.oca_group, closing.transmit) == (-100.0, parent.ref, True)
    assert (opening.quantity, opening.transmit, opening.oca_group) == (-90.0, False, "")
    assert (stop.quantity, stop.stop_price) == (90.0, 105.0)
    # Whichever of the two is reported first: the new position hangs on the order that opened it.
    close_order, open_order = list(stage.book.orders.values())[3:5]
    fills(stage, open_order, -90.0)
    fills(stage, close_order, -100.0)
    assert stage.book.assets["A"].bracket == open_order.ref
    assert len(stage.book.children(open_order.ref)) == 2


def test_a_market_order_of_a_strategy_without_protection_is_one_order_also_where_it_reverses():
    assert [(leg, q) for leg, q, _ in legs_of(REF, -20.0, 10.0, Shape(opens=-1), [])] == [(ORDER, -20.0)]
    two = legs_of(REF, -20.0, 10.0, Shape(opens=-1, protects=True), [])
    assert [(leg, q) for leg, q, _ in two] == [(CLOSE, -10.0), (ORDER, -10.0)]


def test_a_bracket_counts_as_one_order_of_the_day(stage):
    enter(stage)
    assert stage.book.sent[1] == 1


# -- what fills ----------------------------------------------------------------------------------------------


def test_a_stop_that_fills_keeps_the_asset_flat_until_the_next_entry(stage):
    _, stop, target = enter(stage)
    fills(stage, stop, -100.0, price=95.0)
    stage.status(target, "Cancelled")
    state = stage.book.assets["A"]
    assert (state.position, state.last_target, state.stopped) == (0.0, 0.0, True)
    stage.desk.settle()
    assert not stage.desk.verify()
    assert legs(stage) == [ORDER, STOP, TARGET]
    assert state.frozen is None


def test_a_protective_order_on_its_way_is_no_order_that_anything_waits_for(stage):
    enter(stage)
    assert stage.book.pending("A") == 0.0
    assert len(stage.book.protection("A")) == 2
    assert stage.book.standing("A") == []


def test_a_stop_that_fills_while_a_reversal_is_on_its_way_leaves_the_reversal(stage):
    _, stop, _ = enter(stage)
    stage.decide([-1, 0], [-190, 0], shapes=(SHORT, None))
    closing = stage.book.orders[ref_of_leg(stage.order().ref, CLOSE)]
    fills(stage, stop, -100.0, price=95.0)
    stage.status(closing, "Cancelled")
    state = stage.book.assets["A"]
    assert (state.last_target, state.stopped) == (-1.0, False)
    assert stage.client.cancelled == []


def test_an_order_that_was_to_add_is_cancelled_once_the_position_is_gone(stage):
    _, stop, target = enter(stage, quantity=50.0)
    more = replace(PLAIN, order_type="LMT", limit=98.0, until="gtc", tif="GTC")
    stage.decide([0.5, 0], [50, 0], shapes=(more, None))
    adding = stage.order()
    fills(stage, stop, -50.0, price=95.0)
    stage.status(target, "Cancelled")
    stage.desk.settle()
    assert stage.client.cancelled == [adding.order_id]
    # It fills all the same before its cancel: what it bought is sold at once, since nothing covers it.
    fills(stage, adding, 50.0, price=98.0)
    stage.desk.settle()
    assert legs(stage)[-1] == REST
    assert stage.client.placed[-1][2] == -50.0
    stage.desk.settle()
    assert legs(stage).count(REST) == 1


def test_units_that_a_stop_did_not_cover_are_sold_at_the_market(stage):
    _, stop, target = enter(stage)
    stage.decide([0.5, 0], [50, 0], shapes=(PLAIN, None))
    adding = stage.order()
    # Both at one open: the stop had not been made larger yet.
    stage.desk.on_event(stage.report(adding, 50.0, 7))
    stage.desk.on_event(stage.report(stop, -100.0, 8, price=94.0))
    stage.hold("A", 50.0)
    stage.status(target, "Cancelled")
    stage.desk.settle()
    assert (legs(stage)[-1], stage.client.placed[-1][2]) == (REST, -50.0)
    # While that order stands the asset is not in doubt, however long it takes.
    assert not stage.desk.verify()
    fills(stage, stage.order(), -50.0)
    assert not stage.desk.verify()
    assert stage.book.assets["A"].stopped


# -- what covers ---------------------------------------------------------------------------------------------


def test_protective_orders_grow_once_more_is_held(stage):
    _, stop, target = enter(stage, quantity=50.0)
    stage.decide([0.5, 0], [30, 0], shapes=(PLAIN, None))
    assert legs(stage) == [ORDER, STOP, TARGET, ORDER]
    assert not stage.desk.lacks_protection()
    fills(stage, stage.order(), 30.0)
    # The runner does not wait for its next look at the clock.
    assert stage.desk.lacks_protection()
    stage.desk.settle()
    assert not stage.desk.lacks_protection()
    changed = stage.client.placed[4:]
    assert [(number, quantity) for number, _, quantity, _ in changed] == [
        (stop.order_id, -80.0),
        (target.order_id, -80.0),
    ]
    assert [(t.parent_id, t.transmit) for t in stage.client.tickets[4:]] == [(0, True)] * 2
    stage.desk.settle()
    assert len(stage.client.placed) == 6


def test_protective_orders_shrink_before_a_part_is_sold(stage):
    _, stop, target = enter(stage)
    stage.decide([0.5, 0], [-40, 0], shapes=(PLAIN, None))
    assert [q for _, _, q, _ in stage.client.placed[3:]] == [-60.0, -60.0, -40.0]
    # The sale ends unfilled: all of the position is covered again.
    stage.status(stage.order(), "Cancelled")
    stage.desk.settle()
    assert [q for _, _, q, _ in stage.client.placed[6:]] == [-100.0, -100.0]
    assert [o.quantity for o in (stop, target)] == [-100.0, -100.0]


def test_a_trailing_stop_is_changed_from_where_it_is_by_now(stage):
    trail = enter(stage, replace(LONG, stop_level=None, target_level=None, trail_amount=4.0), 50.0)[1]
    stage.decide([0.5, 0], [30, 0], shapes=(PLAIN, None))
    fills(stage, stage.order(), 30.0)
    stage.client.open = [is_open(stage, trail, trail_stop_price=103.5)]
    stage.desk.settle()
    ticket = stage.client.tickets[-1]
    assert (ticket.quantity, ticket.trail_amount, ticket.trail_stop_price) == (-80.0, 4.0, 103.5)


def test_a_trailing_stop_that_the_broker_does_not_have_any_more_is_not_changed(stage):
    trail = enter(stage, replace(LONG, stop_level=None, target_level=None, trail_amount=4.0), 50.0)[1]
    stage.decide([0.5, 0], [30, 0], shapes=(PLAIN, None))
    fills(stage, stage.order(), 30.0)
    sent = len(stage.client.placed)
    stage.desk.settle()
    assert len(stage.client.placed) == sent
    assert trail.quantity == -50.0


def test_a_parent_that_fills_in_part_and_ends_leaves_protection_of_that_part(stage):
    parent, stop, target = enter(stage, fill=False)
    fills(stage, parent, 40.0)
    stage.desk.settle()
    # While it may still fill, the broker sees to its children.
    assert len(stage.client.placed) == 3
    stage.status(parent, "Cancelled")
    for child in (stop, target):
        stage.desk.on_event(is_open(stage, child, quantity=-40.0))
    stage.desk.settle()
    assert [o.quantity for o in (stop, target)] == [-40.0, -40.0]
    assert len(stage.client.placed) == 3
    assert not stage.desk.verify()


def test_a_change_that_the_broker_refuses_freezes_the_asset_and_ends_no_order(stage):
    _, stop, _ = enter(stage, quantity=50.0)
    stage.decide([0.5, 0], [30, 0], shapes=(PLAIN, None))
    fills(stage, stage.order(), 30.0)
    stage.desk.settle()
    stage.desk.on_event(ev.Notice(stop.order_id, 201, "Order rejected", "order"))
    assert "could not be made to cover -80 units" in stage.book.assets["A"].frozen
    assert stop.ended is None
    sent = len(stage.client.placed)
    stage.desk.settle()
    assert len(stage.client.placed) == sent


# -- what goes wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["Cancelled", "rejected"])
def test_a_protective_order_that_is_gone_while_its_position_is_held_freezes_the_asset(stage, how):
    _, stop, _ = enter(stage)
    if how == "Cancelled":
        stage.status(stop, how)
    else:
        stage.desk.on_event(ev.Notice(stop.order_id, 201, "Order rejected", "order"))
    for _ in range(3):
        assert stage.desk.verify()
    assert f"their protective order {stop.ref} was" in stage.book.assets["A"].frozen
    stage.decide([0.5, 0], [50, 0], shapes=(PLAIN, None))
    assert len(stage.client.placed) == 3


def test_an_entry_whose_protection_is_refused_is_cancelled(stage):
    parent, stop, target = enter(stage, fill=False)
    stage.desk.on_event(ev.Notice(stop.order_id, 201, "Order rejected", "order"))
    assert stage.client.cancelled == [parent.order_id]
    for order in (parent, target):
        stage.status(order, "Cancelled")
    assert not stage.book.working()
    assert stage.book.assets["A"].frozen is None


def test_a_halt_leaves_protective_orders_where_they_are(stage):
    enter(stage)
    stage.bundle.halt_path.write_text("stop\n")
    stage.desk.settle()
    assert stage.client.cancelled == []
    stage.decide([0, 0], [-100, 0], shapes=(PLAIN, None))
    assert legs(stage) == [ORDER, STOP, TARGET]


def test_a_halt_cancels_an_entry_that_waits_and_its_protection_ends_with_it(stage):
    limit = replace(LONG, order_type="LMT", limit=98.0, until="day")
    parent, stop, target = enter(stage, limit, fill=False)
    stage.bundle.halt_path.write_text("stop\n")
    stage.desk.settle()
    assert stage.client.cancelled == [parent.order_id]
    for order in (parent, stop, target):
        stage.status(order, "Cancelled")
    assert not stage.book.working()
    assert not stage.desk.verify()


def test_an_order_for_one_bar_that_ends_unfilled_is_decided_anew_and_one_for_the_day_is_not(stage):
    for until, renews in (("bar", True), ("day", False)):
        shape = replace(LONG, order_type="LMT", limit=98.0, until=until)
        stage.decide([0, 0], [0, 0], shapes=(None, None))
        stage.decide([1, 0], [100, 0], shapes=(shape, None))
        parent = [o for o in stage.book.working() if o.leg == ORDER][-1]
        for order in (parent, *stage.book.children(parent.ref)):
            stage.status(order, "Cancelled")
        assert stage.book.assets["A"].renew == renews
        stage.book.assets["A"].renew = False


def test_what_a_newer_decision_replaced_is_not_decided_anew_by_its_cancel(stage):
    shape = replace(LONG, order_type="LMT", limit=98.0, until="bar")
    parent, *_ = enter(stage, shape, fill=False)
    stage.decide([0.5, 0], [50, 0], shapes=(replace(shape, limit=96.0), None))
    assert stage.client.cancelled == [parent.order_id]
    stage.status(parent, "Cancelled")
    assert not stage.book.assets["A"].renew
    stage.desk.settle()
    # What replaced it brings levels of its own.
    assert legs(stage)[3:] == [ORDER, STOP, TARGET]
    assert stage.client.tickets[3].limit_price == 96.0


def test_a_resize_whose_position_is_gone_by_then_opens_nothing(stage):
    _, stop, _ = enter(stage, quantity=50.0)
    more = replace(PLAIN, order_type="LMT", limit=98.0, until="gtc", tif="GTC")
    stage.decide([0.7, 0], [20, 0], shapes=(more, None))
    standing = stage.order()
    stage.decide([1.0, 0], [50, 0], shapes=(more, None))
    fills(stage, stop, -50.0, price=95.0)
    stage.status(standing, "Cancelled")
    sent = len(stage.client.placed)
    stage.desk.settle()
    assert len(stage.client.placed) == sent
    assert "the position that it was to change is gone" in stage.kinds("blocked")[-1].body["reason"]


# -- a restart -----------------------------------------------------------------------------------------------


def test_after_a_restart_protective_orders_are_found_by_their_reference(stage):
    _, stop, target = enter(stage)
    stage.client.open = [is_open(stage, o, order_id=0, perm_id=50 + o.leg) for o in (stop, target)]
    assert stage.connect() == []
    assert [o.perm_id for o in (stop, target)] == [50 + STOP, 50 + TARGET]
    stage.desk.protect()
    assert not stage.desk.verify()
    assert len(stage.client.placed) == 3


def test_after_a_restart_a_position_whose_protection_is_gone_is_frozen(stage):
    _, _, target = enter(stage)
    stage.client.open = [is_open(stage, target)]
    stage.connect()
    for _ in range(3):
        stage.desk.verify()
    assert "protective order" in stage.book.assets["A"].frozen


def test_a_change_that_a_crash_swallowed_is_made_after_the_restart(stage):
    _, stop, target = enter(stage, quantity=50.0)
    stage.decide([0.5, 0], [30, 0], shapes=(PLAIN, None))
    stage.desk.on_event(stage.report(stage.order(), 30.0, 9))
    stage.hold("A", 80.0)
    stage.client.place_order = crash
    with pytest.raises(RuntimeError):
        stage.desk.settle()
    assert stop.quantity == -80.0
    del stage.client.place_order
    # The broker has it as it was.
    stage.client.open = [is_open(stage, o, quantity=-50.0) for o in (stop, target)]
    stage.connect()
    stage.desk.protect()
    assert [q for _, _, q, _ in stage.client.placed[4:]] == [-80.0, -80.0]


def crash(*_):
    raise RuntimeError("the process is gone")


def test_a_bracket_that_a_crash_cut_is_sent_to_its_end_while_its_bar_is_the_newest(stage):
    parent, stop, target = cut_bracket(stage)
    lost = stage.connect()
    assert lost == [stop, target]
    for order in lost:
        stage.desk.send_late(order, parent.bar_time_ns)
    assert [ref for *_, ref in stage.client.placed[-2:]] == [stop.ref, target.ref]
    assert [t.transmit for t in stage.client.tickets[-2:]] == [False, True]
    assert [t.parent_id for t in stage.client.tickets[-2:]] == [parent.order_id] * 2


def test_a_bracket_that_a_crash_cut_is_given_up_once_a_later_bar_has_closed(stage):
    parent, stop, target = cut_bracket(stage)
    for order in stage.connect():
        stage.desk.send_late(order, parent.bar_time_ns + 1)
    assert [o.ended for o in (parent, stop, target)] == [None, "missed", "missed"]
    assert stage.client.cancelled == [parent.order_id]
    assert len(stage.client.placed) == 1
    stage.status(parent, "Cancelled")
    assert not stage.book.working()


def test_a_bracket_that_never_left_is_given_up_as_a_whole(stage):
    stage.client.place_order = crash
    with pytest.raises(RuntimeError):
        stage.decide([1, 0], [100, 0], shapes=(LONG, None))
    del stage.client.place_order
    for order in stage.connect():
        stage.desk.send_late(order, 10**19)
    assert {o.ended for o in stage.book.orders.values()} == {"missed"}
    assert stage.book.assets["A"].last_target == 0.0
    assert stage.client.placed == stage.client.cancelled == []


def cut_bracket(stage):
    """Send a bracket of which only the parent arrives, not yet to be sent on."""
    placed = stage.client.place_order

    def once(*args):
        placed(*args)
        stage.client.place_order = crash

    stage.client.place_order = once
    with pytest.raises(RuntimeError):
        stage.decide([1, 0], [100, 0], shapes=(LONG, None))
    del stage.client.place_order
    parent, stop, target = stage.book.orders.values()
    shown = is_open(stage, parent, action="BUY", status="PendingSubmit")
    stage.client.open = [shown]
    return parent, stop, target


def test_an_exit_that_fails_beside_its_protection_is_decided_again(stage):
    enter(stage)
    stage.decide([0, 0], [-100, 0], shapes=(PLAIN, None))
    stage.status(stage.order(), "Cancelled")
    assert stage.book.assets["A"].last_target == UNDECIDED
    assert len(stage.book.protection("A")) == 2
