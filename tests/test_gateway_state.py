"""State that outlives the gateway."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
from gateway_client import TestClient, buy, sell, stock
from hypothesis import given
from hypothesis import strategies as st

import quantlab as ql
from quantlab.errors import GatewayError
from quantlab.gateway.market import Market
from quantlab.gateway.orders import Order
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as m

AAPL = stock("AAPL")


@pytest.fixture(scope="module")
def market():
    return Market.of_sample(["AAPL", "IBM"])


@pytest.fixture
def start(market, tmp_path):
    def make(**options):
        given = {"speed": "max", "start": "2012-01-03", "state": tmp_path / "gateway.db"} | options
        return Gateway(market, **given)

    return make


def trade(client, order_id, ticket, contract=AAPL):
    client.send(m.PlaceOrder(order_id, contract, ticket))
    return client.drive(lambda x: isinstance(x, m.CommissionReport))


def everything(gateway):
    return gateway.orders(), gateway.executions(), gateway.positions(), gateway.cash, gateway.now_ns


def test_orders_executions_money_and_time_are_as_they_were(start):
    with start() as gateway, TestClient(gateway) as client:
        trade(client, 1, buy(100, order_ref="first"))
        client.send(
            m.PlaceOrder(2, AAPL, buy(10, 1.0, tif="GTC")), m.PlaceOrder(3, stock("IBM"), sell(5, 500.0))
        )
        client.sync()
        before = everything(gateway)
    with start() as gateway, TestClient(gateway) as client:
        assert everything(gateway) == before
        assert client.greeting[1] == m.NextValidId(4)
        client.send(m.RequestOpenOrders())
        assert [x.order_id for x in client.sync() if isinstance(x, m.OpenOrder)] == [2, 3]
        client.send(m.CancelOrder(2))
        client.error(202)
        trade(client, 4, sell(100))
    with start() as gateway, TestClient(gateway) as client:
        assert [o.status for o in gateway.orders()] == ["Filled", "Cancelled", "Submitted", "Filled"]
        assert [x.quantity for x in gateway.executions()] == [100.0, -100.0]
        assert gateway.positions() == ()


def test_numbers_are_not_used_twice_across_a_restart(start):
    with start() as gateway, TestClient(gateway) as client:
        trade(client, 1, buy(10))
    with start() as gateway, TestClient(gateway) as client:
        trade(client, 2, buy(10))
        first, second = gateway.executions()
        assert first.exec_id != second.exec_id
        assert first.perm_id < second.perm_id
        client.send(m.PlaceOrder(1, AAPL, buy(10)))
        assert client.error(104)


def test_an_order_that_stood_fills_after_the_restart_as_it_would_have(start, market):
    with Gateway(market, speed="max", start="2012-01-03") as gateway, TestClient(gateway) as client:
        trade(client, 1, buy(10, 409.1, tif="GTC"))
        expected = gateway.executions()
    with start() as gateway, TestClient(gateway) as client:
        client.send(m.PlaceOrder(1, AAPL, buy(10, 409.1, tif="GTC")))
        client.sync()
    while True:
        with start() as gateway, TestClient(gateway) as client:  # a restart between any two moments
            client.now()
            if gateway.executions():
                break
    assert gateway.executions() == expected


def test_monthly_volume_of_tiered_commission_is_remembered(start):
    costs = ql.Costs.ibkr_tiered()
    with start(costs=costs) as gateway, TestClient(gateway) as client:
        trade(client, 1, buy(1000))
        units = gateway._venue.charges.month_units.tolist()
    assert units == [1000.0]
    with start(costs=costs) as gateway:
        assert gateway._venue.charges.month_units.tolist() == units


def test_a_second_gateway_on_the_same_file_is_refused(start):
    with start(), pytest.raises(GatewayError, match="running"):
        start().start()
    with start():
        pass


@pytest.mark.parametrize(
    ("option", "differs"),
    [
        ({"account": "DU7654321"}, "account"),
        ({"fills": "bars"}, "fills"),
        ({"costs": ql.Costs.zero()}, "costs"),
        ({"spread_bps": 7.0}, "spread_bps"),
        ({"seed": 5}, "seed"),
    ],
)
def test_the_state_of_another_gateway_is_refused(start, option, differs):
    with start():
        pass
    with pytest.raises(GatewayError, match=differs):
        start(**option).start()
    with start():  # and let go of
        pass


def test_other_prices_are_refused(start, tmp_path):
    with start():
        pass
    other = Market.of_sample(["AAPL", "IBM"]).base.between("2005", "2012")
    with pytest.raises(GatewayError, match="prices"):
        Gateway(Market.of_bars(other), start="2012-01-03", state=tmp_path / "gateway.db").start()


def test_what_is_no_state_is_refused_and_left_alone(start, tmp_path):
    path = tmp_path / "gateway.db"
    path.write_text("name,price\n" * 100)
    with pytest.raises(GatewayError, match="no state of a gateway"):
        start().start()
    assert path.read_text().startswith("name,price")


def test_a_layout_from_the_future_is_refused(start, tmp_path):
    with start():
        pass
    base = sqlite3.connect(tmp_path / "gateway.db")
    base.execute("UPDATE meta SET value = '99' WHERE name = 'layout'")
    base.commit()
    base.close()
    with pytest.raises(GatewayError, match="layout 99"):
        start().start()


CHILD = """
    import sys
    from quantlab.gateway.market import Market
    from quantlab.gateway.server import Gateway

    gateway = Gateway(Market.of_sample(["AAPL", "IBM"]), speed="max", start="2012-01-03", state=sys.argv[1]).start()
    print(gateway.port, flush=True)
    sys.stdin.read()
"""


def test_killed_at_any_moment_it_knows_everything_that_it_has_told(start, tmp_path):
    path = tmp_path / "gateway.db"
    told = []
    for kill in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(path)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        with child, TestClient(SimpleNamespace(port=int(child.stdout.readline()))) as client:
            number = client.greeting[1].order_id
            for k in range(3 + kill):
                told += [x for x in trade(client, number + k, buy(1 + k)) if isinstance(x, m.ExecutionData)]
            os.kill(child.pid, signal.SIGKILL)
    with start() as gateway:
        assert [x.exec_id for x in gateway.executions()] == [x.exec_id for x in told]
        assert sum(x.quantity for x in told) == gateway.positions()[0].quantity == 6 + 10


@given(
    st.builds(
        m.OrderTicket,
        st.sampled_from(["BUY", "SELL"]),
        st.floats(1, 1e6),
        st.just("LMT"),
        st.floats(0.01, 1e5),
        order_ref=st.text(max_size=20),
        algo_params=st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
    ),
    st.integers(1, 2**31),
)
def test_an_order_is_restored_as_it_was(ticket, number):
    import json

    order = Order(1, number, number + 5, 0, ticket, 7, due_ns=9, reason="x")
    assert Order.restored(json.loads(json.dumps(order.describe()))) == order
