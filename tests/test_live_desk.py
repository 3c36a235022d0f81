"""The desk against a broker that says what a script says: races, lost journals, limits and halts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from live_parts import make_bundle, walk
from live_stage import ACCOUNT, CONTRACTS, DAY, Stage

from quantlab.broker import events as ev
from quantlab.broker.contracts import ContractId
from quantlab.errors import LiveError
from quantlab.live.book import UNDECIDED, order_ref
from quantlab.live.journal import read_journal
from quantlab.live.ledger import Ledger
from quantlab.live.risk import Limits


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("desk"), walk(60))


@pytest.fixture
def stage(tmp_path, bundle):
    opened = Stage(tmp_path, replace(bundle, folder=tmp_path))
    yield opened
    opened.journal.close()


# -- a cancel that races with a fill ---------------------------------------------------------------------


@pytest.mark.parametrize("filled", [100.0, 40.0, 0.0])
def test_what_fills_before_its_cancel_is_sold_again_when_nothing_is_wanted_any_more(stage, filled):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.status(first, "Submitted")
    stage.decide([0, 0], [0, 0])
    assert stage.client.cancelled == [first.order_id]
    if filled:
        stage.desk.on_event(stage.report(first, filled, 1))
        stage.hold("A", filled)
    if filled < 100.0:
        stage.status(first, "Cancelled")
    stage.desk.settle()
    sent = [quantity for _, _, quantity, _ in stage.client.placed]
    assert sent == [100.0, *([-filled] if filled else [])]


def test_a_fill_after_its_cancel_is_found_before_anything_is_sized_by_what_is_held(stage):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.status(first, "Submitted")
    stage.decide([0.5, 0], [50, 0])
    stage.status(first, "Cancelled")
    # The fill was made before the cancel, and is reported after it.
    stage.report(first, 100.0, 1)
    stage.desk.settle()
    assert stage.book.assets["A"].position == 100
    assert [q for _, _, q, _ in stage.client.placed] in ([100.0], [100.0, -50.0])
    assert stage.book.assets["A"].frozen or stage.client.placed[-1][2] == -50.0


def test_a_fill_long_after_its_cancel_freezes_the_asset_until_all_was_asked(stage):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.status(first, "Cancelled")
    stage.desk.on_event(stage.report(first, 100.0, 1))
    stage.hold("A", 100.0)
    assert "filled after it was cancelled" in stage.book.assets["A"].frozen
    stage.connect()
    assert stage.book.assets["A"].frozen is None
    # What is held may not be what is wanted: the next bar decides anew.
    assert stage.book.assets["A"].last_target == UNDECIDED


def test_an_exit_that_ends_unfilled_is_decided_again(stage):
    stage.decide([1, 0], [100, 0])
    stage.desk.on_event(stage.report(stage.order(), 100.0, 1))
    stage.hold("A", 100.0)
    stage.decide([0, 0], [-100, 0])
    stage.status(stage.order(), "Cancelled")
    assert stage.book.assets["A"].last_target == UNDECIDED
    assert any(line.startswith("cancelled:") for line in stage.said)


def test_an_entry_that_ends_unfilled_is_not_tried_again(stage):
    stage.decide([1, 0], [100, 0])
    stage.status(stage.order(), "Cancelled")
    assert stage.book.assets["A"].last_target == 1.0


# -- journals that are lost, orders that are gone -----------------------------------------------------------


def test_orders_that_the_journal_does_not_know_freeze_their_asset(stage):
    ref = order_ref(stage.bundle.id, 10**18, "A")
    stage.client.open.append(
        ev.OrderOpen(9, 8, 1, ref, CONTRACTS["A"], "BUY", 10.0, "MKT", None, "Submitted", None, ACCOUNT)
    )
    stage.connect()
    assert "does not know" in stage.book.assets["A"].frozen
    stage.decide([1, 1], [100, 100])
    assert [symbol for _, symbol, _, _ in stage.client.placed] == ["B"]


def test_an_order_of_somebody_else_freezes_its_asset_until_it_is_gone(stage):
    stage.client.open.append(
        ev.OrderOpen(0, 8, 0, "", CONTRACTS["A"], "SELL", -10.0, "LMT", 9.0, "Submitted", None, ACCOUNT)
    )
    stage.connect()
    assert "somebody else" in stage.book.assets["A"].frozen
    stage.client.open.clear()
    stage.connect()
    assert stage.book.assets["A"].frozen is None


def test_an_order_of_another_account_or_of_an_option_is_nobodys_business(stage):
    option = ContractId(99, "A", "OPT")
    for account, contract in (("DU2", CONTRACTS["A"]), (ACCOUNT, option)):
        stage.client.open.append(
            ev.OrderOpen(0, 8, 0, "", contract, "SELL", -10.0, "LMT", 9.0, "Submitted", None, account)
        )
    stage.connect()
    assert stage.book.assets["A"].frozen is None


def test_the_rest_of_a_partly_filled_order_that_is_gone_does_not_stay_alive(stage):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.status(first, "Submitted")
    stage.desk.on_event(stage.report(first, 40.0, 1))
    stage.hold("A", 40.0)
    stage.connect()
    assert first.ended == "cancelled"
    assert stage.book.pending("A") == 0.0


def test_an_order_that_never_arrived_is_lost_and_one_that_was_seen_is_not(stage):
    stage.decide([1, 1], [100, 100])
    a, b = stage.book.orders.values()
    stage.status(b, "Submitted")
    assert stage.connect() == [a]
    assert b.ended == "cancelled"


@pytest.mark.parametrize("code", [135, 136, 161, 10147, 10148])
def test_a_cancel_that_finds_nothing_makes_everything_be_asked_for_anew(stage, code):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.status(first, "Submitted")
    stage.desk.on_event(ev.Notice(first.order_id, code, "no", "warning"))
    assert stage.desk.brakes.must_reconcile
    stage.decide([0, 1], [0, 100])
    assert stage.client.placed[1:] == []
    stage.connect()
    assert not stage.desk.brakes.must_reconcile
    assert first.ended == "cancelled"


def test_orders_of_another_client_id_stop_the_start(stage):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.client.open.append(
        ev.OrderOpen(
            first.order_id,
            7,
            1,
            first.ref,
            CONTRACTS["A"],
            "BUY",
            100.0,
            "MKT",
            None,
            "Submitted",
            None,
            ACCOUNT,
        )
    )
    stage.client.client_id = 2
    with pytest.raises(LiveError, match="--client-id 1"):
        stage.connect()


# -- corrections -----------------------------------------------------------------------------------------


def test_a_correction_and_then_its_original_again_is_booked_once(stage):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    wrong, right = stage.report(first, 100.0, 1), stage.report(first, 90.0, 1, version="02")
    for fill in (wrong, right, wrong, right):
        stage.desk.on_event(fill)
    assert stage.book.assets["A"].position == 90
    again = Ledger(stage.bundle, stage.journal)
    assert again.book.assets["A"].position == 90
    assert again.book.cash == stage.book.cash


def test_the_tenth_correction_is_newer_than_the_ninth(stage):
    stage.decide([1, 0], [100, 0])
    for version, quantity in (("9", 90.0), ("10", 80.0)):
        stage.desk.on_event(stage.report(stage.order(), quantity, 1, version=version))
    assert stage.book.assets["A"].position == 80


# -- limits and halts ----------------------------------------------------------------------------------------


def tight(bundle, **changes):
    limits = {**bundle.terms.limits.describe(), **changes}
    return replace(bundle, terms=replace(bundle.terms, limits=Limits.from_description(limits)))


def test_an_asset_without_a_bar_counts_at_its_last_close(tmp_path, bundle):
    stage = Stage(tmp_path, tight(replace(bundle, folder=tmp_path), max_gross_value=120_000))
    stage.decide([1, 0], [1_000, 0])
    stage.desk.on_event(stage.report(stage.order(), 1_000.0, 1))
    stage.hold("A", 1_000.0)
    stage.decide([1, 1], [0, 1_000], close=(float("nan"), 50.0))
    assert [symbol for _, symbol, _, _ in stage.client.placed] == ["A"]
    assert any("max_gross_value" in line for line in stage.said)
    stage.journal.close()


def test_an_order_that_waited_is_tested_by_the_limits_too(tmp_path, bundle):
    stage = Stage(tmp_path, tight(replace(bundle, folder=tmp_path), max_order_value=60_000))
    stage.decide([0.5, 0], [500, 0])
    first = stage.order()
    stage.status(first, "Submitted")
    stage.decide([-0.5, 0], [-500, 0])
    stage.desk.on_event(stage.report(first, 500.0, 1))
    stage.hold("A", 500.0)
    stage.desk.settle()
    assert [q for _, _, q, _ in stage.client.placed] == [500.0]
    assert any("max_order_value" in e.body["reason"] for e in stage.kinds("blocked"))
    stage.journal.close()


def test_an_exit_that_the_number_of_orders_holds_back_is_tried_at_the_next_bar(tmp_path, bundle):
    stage = Stage(tmp_path, tight(replace(bundle, folder=tmp_path), max_orders_per_day=1))
    stage.decide([1, 0], [100, 0], session=DAY)
    stage.desk.on_event(stage.report(stage.order(), 100.0, 1))
    stage.hold("A", 100.0)
    stage.decide([0, 0], [-100, 0], session=DAY)
    assert [q for _, _, q, _ in stage.client.placed] == [100.0]
    assert stage.book.assets["A"].last_target == 1.0
    stage.decide([0, 0], [-100, 0], session=DAY + 1)
    assert [q for _, _, q, _ in stage.client.placed] == [100.0, -100.0]
    stage.journal.close()


def test_the_daily_loss_halts_also_while_tws_is_cut_off(tmp_path, bundle):
    stage = Stage(tmp_path, tight(replace(bundle, folder=tmp_path), max_daily_loss=1_000))
    stage.decide([0, 0], [0, 0])
    stage.desk.on_event(ev.Notice(-1, 1100, "lost", "connection"))
    stage.decide([1, 0], [100, 0], equity=90_000.0)
    assert stage.bundle.halt_path.exists()
    assert stage.client.placed == []
    stage.journal.close()


def test_a_tws_that_is_cut_off_again_within_one_step_sends_nothing(stage):
    stage.desk.on_event(ev.Notice(-1, 1102, "back", "info"))
    stage.desk.on_event(ev.Notice(-1, 1100, "lost", "connection"))
    assert stage.desk.brakes.must_reconcile
    stage.desk.reconcile()
    stage.decide([1, 0], [100, 0])
    assert stage.client.placed == []
    assert "1100" in stage.kinds("blocked")[0].body["reason"]
    stage.desk.on_event(ev.Notice(-1, 1102, "back", "info"))
    stage.desk.reconcile()
    stage.decide([1, 1], [100, 100])
    assert len(stage.client.placed) == 2


def test_a_halt_ends_standing_orders_on_every_connection(stage):
    stage.decide([1, 0], [100, 0])
    first = stage.order()
    stage.status(first, "Submitted")
    stage.bundle.halt_path.write_text("stop\n")
    stage.desk.settle()
    stage.desk.settle()
    assert stage.client.cancelled == [first.order_id]
    # The cancel was lost with the connection: the order is open, and is cancelled on the new one.
    stage.client.open.append(
        ev.OrderOpen(
            first.order_id,
            7,
            1,
            first.ref,
            CONTRACTS["A"],
            "BUY",
            100.0,
            "MKT",
            None,
            "Submitted",
            None,
            ACCOUNT,
        )
    )
    stage.connect()
    stage.desk.settle()
    assert stage.client.cancelled == [first.order_id] * 2
    stage.status(first, "Cancelled")
    assert stage.book.assets["A"].last_target == UNDECIDED


# -- positions -----------------------------------------------------------------------------------------------


def test_a_position_that_is_reported_late_holds_its_asset_back_and_freezes_nothing(stage):
    stage.decide([1, 0], [100, 0])
    stage.desk.on_event(stage.report(stage.order(), 100.0, 1))
    # The broker has not told of the position yet.
    assert stage.desk.verify()
    stage.decide([0, 1], [-100, 100])
    assert [symbol for _, symbol, _, _ in stage.client.placed] == ["A", "B"]
    assert stage.book.assets["A"].last_target == 1.0
    stage.hold("A", 100.0)
    assert not stage.desk.verify()
    assert stage.book.assets["A"].frozen is None
    stage.decide([0, 1], [-100, 0])
    assert stage.client.placed[-1][2] == -100.0


def test_a_position_that_stays_wrong_freezes_its_asset(stage):
    stage.hold("A", 5.0)
    for _ in range(3):
        assert stage.desk.verify()
    assert "the broker holds 5 A" in stage.book.assets["A"].frozen
    assert read_journal(stage.journal.path, "freeze")[0].body["symbol"] == "A"
