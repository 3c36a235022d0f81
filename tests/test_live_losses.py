"""The connection lost at every step of an order's life, and of a start; a peer that is mute; TWS that is cut off."""

from __future__ import annotations

import pytest
from live_parts import make_bundle, walk

from quantlab.costs import Costs
from quantlab.live.parity import run_parity
from quantlab.wire import messages as m

pytestmark = pytest.mark.ib

START = "2012-02-15"

SOURCE = '''\
import quantlab as ql
from quantlab.signals import sma


@ql.strategy
def busy(bars, fast=1, slow=3):
    """With every move, both ways."""
    return (sma(bars.close, fast) > sma(bars.close, slow)) * 2.0 - 1.0
'''

STEPS = [
    (m.PlaceOrder, 5),
    (m.OpenOrder, 9),
    (m.OrderStatus, 9),
    (m.OrderStatus, 10),
    (m.ErrorMessage, 12),
    (m.ExecutionData, 5),
    (m.CommissionReport, 5),
    (m.PositionData, 6),
    (m.CurrentTime, 30),
    (m.RequestCurrentTime, 30),
    (m.RequestHistoricalData, 14),
    (m.HistoricalData, 14),
    # What is asked at a start: the second time is after the first loss.
    (m.RequestContractData, 2),
    (m.RequestAllOpenOrders, 1),
    (m.RequestExecutions, 1),
    (m.ExecutionDataEnd, 1),
    (m.PositionEnd, 2),
    (m.CompletedOrdersEnd, 1),
]
"""A message of the run, and which one of its kind."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(
        tmp_path_factory.mktemp("losses"), walk(50), source=SOURCE, costs=Costs.percent(0.001), join="now"
    )


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(("kind", "n"), STEPS, ids=lambda x: getattr(x, "__name__", str(x)))
def test_a_connection_lost_once_changes_nothing(bundle, kind, n, side):
    said = []
    report = run_parity(
        bundle,
        start=START,
        say=said.append,
        prepare=lambda gateway, runner: gateway.faults.close_after(kind, n, side=side),
    )
    assert report.ok, f"{report.differences[:3]} {report.fill_differences[:3]}"
    assert report.n_orders > 15
    assert [line for line in said if line.startswith("connection lost")], "the step does not occur"


def test_messages_that_come_twice_count_once(bundle):
    doubled = (m.ExecutionData, m.CommissionReport, m.OrderStatus, m.OpenOrder, m.PositionData)

    def twice(gateway, runner):
        gateway.faults.on_send = lambda message, session: (
            (message, message) if isinstance(message, doubled) else (message,)
        )

    assert run_parity(bundle, start=START, prepare=twice).ok


def test_statuses_that_never_come_are_not_missed(bundle):
    silent = (m.OrderStatus, m.OpenOrder)

    def mute(gateway, runner):
        gateway.faults.on_send = lambda message, session: () if isinstance(message, silent) else (message,)

    assert run_parity(bundle, start=START, prepare=mute).ok


def test_commissions_that_come_before_their_fills_are_booked(bundle):
    def swapped(gateway, runner):
        held = []

        def on_send(message, session):
            if isinstance(message, m.ExecutionData) and message.request_id == -1:
                held.append(message)
                return ()
            if isinstance(message, m.CommissionReport) and held:
                return (message, held.pop(0))
            return (message,)

        gateway.faults.on_send = on_send

    assert run_parity(bundle, start=START, prepare=swapped).ok


def test_an_unknown_code_on_a_live_order_freezes_its_asset(bundle):
    said = []

    def strange(gateway, runner):
        seen = []

        def on_send(message, session):
            if isinstance(message, m.OpenOrder) and not seen:
                seen.append(message)
                return (message, m.ErrorMessage(message.order_id, 9999, "Something new"))
            return (message,)

        gateway.faults.on_send = on_send

    report = run_parity(bundle, start=START, prepare=strange, say=said.append)
    frozen = [line for line in said if line.startswith("frozen")]
    assert len(frozen) == 1
    assert "9999" in frozen[0]
    assert not report.decisions_equal


@pytest.mark.parametrize("code", [2104, 2137, 399, 10349, 2109])
def test_a_harmless_code_on_a_live_order_changes_nothing(bundle, code):
    def remark(gateway, runner):
        gateway.faults.on_send = lambda message, session: (
            (message, m.ErrorMessage(message.order_id, code, "By the way"))
            if isinstance(message, m.OpenOrder)
            else (message,)
        )

    assert run_parity(bundle, start=START, prepare=remark).ok


def test_a_tws_that_is_cut_off_for_a_while_holds_orders_back_and_reconciles(bundle):
    said = []

    def cut_off(gateway, runner):
        seen = []

        def on_send(message, session):
            if isinstance(message, m.CurrentTime):
                seen.append(message)
                if len(seen) == 21:
                    return (
                        m.ErrorMessage(-1, 1100, "Connectivity between IB and TWS has been lost"),
                        message,
                    )
                if len(seen) == 31:
                    return (m.ErrorMessage(-1, 1102, "Connectivity restored - data maintained"), message)
            return (message,)

        gateway.faults.on_send = on_send

    report = run_parity(bundle, start=START, prepare=cut_off, say=said.append)
    held_back = [line for line in said if line.startswith("held back")]
    assert held_back
    assert all("1100" in line for line in held_back)
    assert not report.decisions_equal
    # What was held back is wanted again at the next bar, and the run ends where the backtest does.
    last = max(r.time_ns for r in report.rows)
    assert [d for d in report.differences if d.time_ns == last and d.what in {"signal", "target"}] == []


def test_an_order_that_the_broker_rejects_is_not_sent_again_until_the_target_changes(bundle):
    said = []

    def poor(gateway, runner):
        seen = []

        def on_send(message, session):
            if isinstance(message, m.OpenOrder) and len(seen) == 0:
                seen.append(message.order_id)
                return (m.ErrorMessage(message.order_id, 201, "Order rejected - reason: no"),)
            lost = getattr(message, "order_id", None) in seen and not isinstance(message, m.NextValidId)
            return () if lost else (message,)

        gateway.faults.on_send = on_send

    run_parity(bundle, start=START, prepare=poor, say=said.append)
    assert any("201" in line for line in said)
