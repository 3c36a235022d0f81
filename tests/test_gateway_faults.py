"""Faults on purpose: messages lost, doubled and held back, connections cut, a mute peer."""

from __future__ import annotations

import pytest
from gateway_client import Closed, TestClient, buy, stock

from quantlab.errors import GatewayError
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as m

AAPL = stock("AAPL")


@pytest.fixture(scope="module")
def market():
    return Market.of_sample(["AAPL", "IBM"])


@pytest.fixture
def gateway(market):
    with Gateway(market, speed="max", start="2012-01-03") as running:
        yield running


def reports(messages):
    return [type(x) for x in messages if isinstance(x, (m.ExecutionData, m.CommissionReport, m.OrderStatus))]


def test_messages_can_be_lost_doubled_and_put_in_another_order(gateway):
    held = []

    def meddle(message, session):
        if isinstance(message, m.OrderStatus):
            return ()
        if isinstance(message, m.ExecutionData):
            held.append(message)
            return ()
        if isinstance(message, m.CommissionReport):
            return message, held[0], held[0]
        return (message,)

    gateway.faults.on_send = meddle
    with TestClient(gateway) as client:
        client.send(m.PlaceOrder(1, AAPL, buy(10)))
        heard = client.drive(lambda x: isinstance(x, m.ExecutionData)) + client.sync()
    assert reports(heard) == [m.CommissionReport, m.ExecutionData, m.ExecutionData]


@pytest.mark.parametrize(("side", "seen"), [("after", True), ("before", False)])
def test_a_connection_is_cut_after_or_before_a_message_to_the_client(gateway, side, seen):
    gateway.faults.close_after(m.ExecutionData, side=side)
    client = TestClient(gateway)
    client.send(m.PlaceOrder(1, AAPL, buy(10)))
    while not gateway.executions():
        client.send(m.RequestCurrentTime())
    assert client.is_closed()
    assert any(isinstance(x, m.ExecutionData) for x in client.waiting) is seen
    with TestClient(gateway) as again:
        again.send(m.RequestExecutions(9))
        assert again.wait(m.ExecutionData).order_id == 1


def test_a_connection_is_cut_after_or_before_a_message_of_the_client_and_the_answer_is_lost(gateway):
    gateway.faults.close_after(m.PlaceOrder, 2, side="before")
    client = TestClient(gateway)
    client.send(m.PlaceOrder(1, AAPL, buy(10)), m.PlaceOrder(2, AAPL, buy(10)))
    with pytest.raises(Closed):
        client.wait(m.OrderStatus, order_id=2)
    assert [o.order_id for o in gateway.orders()] == [1]
    gateway.faults.close_after(m.PlaceOrder, side="after")
    client = TestClient(gateway)
    client.send(m.PlaceOrder(2, AAPL, buy(10)))
    assert client.is_closed()
    assert not [x for x in client.waiting if isinstance(x, m.OrderStatus)]
    assert [o.order_id for o in gateway.orders()] == [1, 2]


@pytest.mark.parametrize(("n", "side"), [(0, "after"), (1, "beside")])
def test_a_cut_that_makes_no_sense_is_refused(gateway, n, side):
    with pytest.raises(GatewayError, match="close_after"):
        gateway.faults.close_after(m.OrderStatus, n, side=side)


def test_dropped_connections_are_gone_and_their_ids_free(gateway):
    first, second = TestClient(gateway), TestClient(gateway, client_id=2)
    gateway.drop_connections()
    assert first.is_closed()
    assert second.is_closed()
    with TestClient(gateway) as again:
        assert again.greeting[-1].code == 2158


def test_a_mute_gateway_accepts_and_reads_and_does_nothing(gateway):
    with TestClient(gateway) as client:
        gateway.mute()
        client.send(m.PlaceOrder(1, AAPL, buy(10)), m.RequestIds())
        with TestClient(gateway, 2, start=False) as other:
            other.socket.settimeout(0.05)
            with pytest.raises(TimeoutError):
                other.wait(m.ServerHello)
        gateway.mute(on=False)
        assert client.sync() == []
        assert gateway.orders() == ()


def test_a_defect_in_a_hook_is_surfaced_and_the_gateway_goes_on(gateway):
    def broken(message, session):
        if isinstance(message, m.HeadTimestamp):
            raise ZeroDivisionError
        return (message,)

    gateway.faults.on_send = broken
    with TestClient(gateway) as client:
        client.send(m.RequestHeadTimestamp(5, AAPL))
        assert client.error(322).request_id == 5
        assert "ZeroDivisionError" in gateway.notices[-1]
        assert client.sync() == []
