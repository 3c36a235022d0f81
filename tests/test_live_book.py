"""The book: a fold of the journal, in which nothing counts twice and nothing is forgotten."""

from __future__ import annotations

import random

import pytest
from live_parts import BAR, BUNDLE, commission, execution, intent

from quantlab.live.book import Book, order_ref
from quantlab.live.journal import Entry


def book_of(*entries):
    return Book.of(BUNDLE, 1_000.0, {"A": 1.0, "B": 50.0}, entries)


def test_a_reference_names_bundle_bar_and_asset():
    ref = order_ref(BUNDLE, BAR, "A")
    assert ref == "QL-01234567-20120315T210000-A-0"
    others = {order_ref(BUNDLE, BAR + 10**9, "A"), order_ref(BUNDLE, BAR, "B"), order_ref("f" * 16, BAR, "A")}
    assert ref not in others
    assert len(others) == 3


def test_a_fill_moves_position_and_cash_and_ends_its_order():
    book = book_of(intent(), execution(price=50.5), commission(1.25))
    assert book.assets["A"].position == 10
    assert book.cash == pytest.approx(1_000 - 505 - 1.25)
    assert book.working() == []
    assert book.orders[order_ref(BUNDLE, BAR, "A")].ended == "filled"


def test_the_multiplier_counts():
    book = book_of(intent("B", 1.0), execution("B", 1.0, 10.0))
    assert book.cash == 1_000 - 500


def test_a_partial_fill_leaves_the_rest_on_its_way():
    book = book_of(intent(), execution(quantity=4.0))
    assert book.pending("A") == 6
    assert book.uncharged() == 1


def test_the_same_fill_counts_once():
    assert book_of(intent(), execution(), execution()).assets["A"].position == 10


def test_a_correction_replaces_the_fill_and_an_older_report_of_it_does_not_come_back():
    wrong, right = execution(quantity=10.0), execution(quantity=8.0, exec_id="0001.0001.01.02")
    book = book_of(intent(), wrong, commission(), right)
    assert book.assets["A"].position == 8
    assert book.cash == 1_000 - 8 * 50.0
    assert book.pending("A") == 2
    book.apply(wrong)
    assert book.assets["A"].position == 8


def test_a_commission_before_its_fill_counts_once_and_a_changed_one_replaces_it():
    early = book_of(intent(), commission(2.0), execution())
    assert early.cash == 1_000 - 500 - 2
    early.apply(commission(3.0))
    assert early.cash == 1_000 - 500 - 3


def test_an_order_that_was_missed_gives_its_target_back():
    decided = Entry("decision", decision_body(quantity=10.0, last_target=1.0))
    book = book_of(decided, intent(before=0.0))
    assert book.assets["A"].last_target == 1.0
    book.apply(Entry("ended", {"ref": order_ref(BUNDLE, BAR, "A"), "how": "missed", "text": ""}))
    assert book.assets["A"].last_target == 0.0


def test_an_order_that_was_rejected_keeps_its_target():
    decided = Entry("decision", decision_body(quantity=10.0, last_target=1.0))
    book = book_of(decided, intent())
    book.apply(Entry("ended", {"ref": order_ref(BUNDLE, BAR, "A"), "how": "rejected", "text": ""}))
    assert book.assets["A"].last_target == 1.0
    assert book.pending("A") == 0


def decision_body(*, quantity=0.0, last_target=0.0, position=0.0, session=1, equity=1_000.0, time_ns=BAR):
    asset = {
        "signal": last_target,
        "target": last_target,
        "joined": True,
        "last_signal": last_target,
        "last_target": last_target,
        "quantity": quantity,
        "outcome": "ordered" if quantity else "none",
        "position": position,
        "pending": 0.0,
        "close": 50.0,
        "mark": 50.0,
    }
    nothing = {**asset, "quantity": 0.0, "outcome": "none", "last_target": 0.0}
    return {
        "time_ns": time_ns,
        "session": session,
        "now_ns": time_ns,
        "cash": 1_000.0,
        "equity": equity,
        "uncharged": 0,
        "assets": {"A": asset, "B": nothing},
    }


def test_what_was_decided_stays_wanted_until_it_is_an_order_or_held_back():
    decided = Entry("decision", decision_body(quantity=10.0, last_target=1.0, position=3.0))
    book = book_of(decided)
    assert book.wanted["A"]["desired"] == 13
    assert book_of(decided, intent()).wanted == {}
    blocked = Entry(
        "blocked",
        {"ref": order_ref(BUNDLE, BAR, "A"), "symbol": "A", "quantity": 10.0, "reason": "x", "before": 0.25},
    )
    held = book_of(decided, blocked)
    assert held.wanted == {}
    assert held.assets["A"].last_target == 0.25


def test_orders_are_counted_by_session():
    book = book_of(intent(), intent("B", 1.0))
    session = BAR // 86_400_000_000_000
    assert book.sent_in(session) == 2
    assert book.sent_in(session + 1) == 0


def test_equity_of_the_session_before_is_kept_for_the_daily_loss():
    entries = [
        Entry("decision", decision_body(session=s, equity=e, time_ns=BAR + k))
        for k, (s, e) in enumerate([(1, 990.0), (1, 980.0), (2, 970.0), (2, 960.0)])
    ]
    book = book_of(*entries)
    assert (book.equity_before, book.equity_at) == (980.0, (2, 960.0))


def test_halts_freezes_and_their_ends_are_folded():
    book = book_of(Entry("halt", {"reason": "r"}), Entry("freeze", {"symbol": "A", "reason": "f"}))
    assert (book.halted, book.assets["A"].frozen, book.assets["B"].frozen) == ("r", "f", None)
    book.apply(Entry("resume", {}))
    book.apply(Entry("thaw", {"symbol": "A", "reason": ""}))
    assert (book.halted, book.assets["A"].frozen) == (None, None)


def test_the_order_in_which_fills_and_commissions_arrive_does_not_matter():
    ids = [f"0001.000{k}.01.01" for k in range(1, 6)]
    reports = [execution(quantity=2.0, price=50.0 + k, exec_id=e) for k, e in enumerate(ids)]
    reports += [commission(1.0 + k, e) for k, e in enumerate(ids)]
    expected = book_of(intent(), *reports)
    rng = random.Random(3)
    for _ in range(50):
        rng.shuffle(reports)
        found = book_of(intent(), *reports, *reports)
        assert found.assets["A"].position == expected.assets["A"].position == 10
        assert found.cash == pytest.approx(expected.cash, rel=1e-12)
        assert found.working() == []


def test_an_order_is_found_by_reference_permanent_id_or_numbers():
    status = Entry("status", {"ref": order_ref(BUNDLE, BAR, "A"), "status": "Submitted", "perm_id": 77})
    book = book_of(intent(), status)
    ref = order_ref(BUNDLE, BAR, "A")
    assert book.order_of(ref).ref == ref
    assert book.order_of("", 77).ref == ref
    assert book.order_of("", 0, (1, 5)).ref == ref
    assert book.order_of("", 0, (2, 5)) is None
    assert book.order_of("QL-of-somebody-else", 77, (1, 5)) is None
