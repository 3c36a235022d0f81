"""State that outlives the gateway."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
from gateway_client import TestClient, buy, sell, stock
from gateway_desk import bracket, daily, order
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


# -- brackets ------------------------------------------------------------------------------------------

ROWS = (100, 101, 97, 100), (100, 106, 98, 105), (104, 105, 99, 100), (100, 101, 99, 100)
"""The entry fills inside the first day, the trailing stop moves on the second one, and is touched on the third."""

ENTRY = order("BUY", 10, "LMT", limit=98.0, tif="GTC")
TICKETS = bracket(ENTRY, target=120.0, stop=90.0, trail={"trailing_percent": 4.0})


def placed(gateway):
    """Send the bracket."""
    with TestClient(gateway) as client:
        for number, ticket in enumerate(TICKETS, 1):
            client.send(m.PlaceOrder(number, stock("A"), ticket))
        client.sync()


@pytest.mark.parametrize("fills", ["bars", "quotes"])
def test_a_standing_bracket_goes_on_after_a_restart_between_any_two_moments(fills, tmp_path):
    market = Market.of_bars(daily(*ROWS))
    options = {"speed": "step", "start": "2012-01-04", "fills": fills}
    with Gateway(market, **options) as gateway:
        placed(gateway)
        while len(gateway.executions()) < 2:
            assert gateway.advance()
        expected = gateway.executions(), gateway.orders(), gateway.cash
    options["state"] = tmp_path / "gateway.db"
    with Gateway(market, **options) as gateway:
        placed(gateway)
    for _ in range(60):
        with Gateway(market, **options) as gateway:
            if len(gateway.executions()) == 2:
                break
            assert gateway.advance()
    assert (gateway.executions(), gateway.orders(), gateway.cash) == expected
    assert [o.status for o in gateway.orders()] == ["Filled", "Cancelled", "Cancelled", "Filled"]


def test_a_bracket_is_told_after_a_restart_as_it_was_before(tmp_path):
    market = Market.of_bars(daily(*ROWS))
    options = {"speed": "step", "start": "2012-01-04", "fills": "bars", "state": tmp_path / "gateway.db"}

    def told(gateway):
        with TestClient(gateway) as client:
            client.send(m.RequestOpenOrders(), m.RequestCompletedOrders())
            kinds = (m.OpenOrder, m.OrderStatus, m.CompletedOrder)
            return [x for x in client.sync() if isinstance(x, kinds)]

    with Gateway(market, **options) as gateway:
        placed(gateway)
        before = told(gateway)
    assert {x.why_held for x in before if isinstance(x, m.OrderStatus)} == {"", "child", "child,trigger"}
    with Gateway(market, **options) as gateway:
        assert told(gateway) == before
        while len(gateway.executions()) < 1 or gateway.orders()[3].stop_price < 100:
            assert gateway.advance()
        before = told(gateway)
    with Gateway(market, **options) as gateway:
        assert told(gateway) == before
        (trail,) = (x.order for x in before if isinstance(x, m.OpenOrder) and x.order_id == 4)
        assert (trail.trail_stop_price, trail.trailing_percent, trail.oca_type) == (101.76, 4.0, 3)
        while len(gateway.executions()) < 2:
            assert gateway.advance()
        done = [x for x in told(gateway) if isinstance(x, m.CompletedOrder)]
        parents = {x.order.order_type: x.parent_perm_id for x in done}
        perm_id = gateway.orders()[0].perm_id
        assert parents == {"LMT": perm_id, "STP": perm_id, "TRAIL": perm_id}


def test_a_group_that_is_over_stays_over_after_a_restart(start):
    ticket = buy(10, oca_group="g")
    with start() as gateway, TestClient(gateway) as client:
        trade(client, 1, ticket)
    with start() as gateway, TestClient(gateway) as client:
        client.send(m.PlaceOrder(2, AAPL, ticket))
        assert client.error(201).request_id == 2


def test_a_state_from_before_there_were_brackets_goes_on(start, tmp_path):
    with start() as gateway, TestClient(gateway) as client:
        client.send(m.PlaceOrder(1, AAPL, buy(10, 1.0, tif="GTC")))
        client.sync()
        before = everything(gateway)
    new = {"parent_perm_id", "waits", "group", "group_type", "triggered", "extreme", "level", "seen_ns"}
    base = sqlite3.connect(tmp_path / "gateway.db")
    for perm_id, body in base.execute("SELECT perm_id, body FROM orders").fetchall():
        old = {name: value for name, value in json.loads(body).items() if name not in new}
        base.execute("UPDATE orders SET body = ? WHERE perm_id = ?", (json.dumps(old), perm_id))
    base.execute("UPDATE meta SET value = '1' WHERE name = 'layout'")
    base.commit()
    base.close()
    for _ in range(2):
        with start() as gateway:
            assert everything(gateway) == before
    base = sqlite3.connect(tmp_path / "gateway.db")
    assert base.execute("SELECT value FROM meta WHERE name = 'layout'").fetchone() == ("2",)
    base.close()


@given(
    st.builds(
        m.OrderTicket,
        st.sampled_from(["BUY", "SELL"]),
        st.floats(1, 1e6),
        st.sampled_from(["LMT", "STP", "STP LMT", "TRAIL", "MOC"]),
        st.floats(0.01, 1e5),
        st.one_of(st.none(), st.floats(0.01, 1e5)),
        trailing_percent=st.one_of(st.none(), st.floats(0.1, 99.0)),
        parent_id=st.integers(0, 100),
        order_ref=st.text(max_size=20),
        algo_params=st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2).map(tuple),
    ),
    st.integers(1, 2**31),
    st.fixed_dictionaries(
        {
            "parent_perm_id": st.integers(0, 2**31),
            "waits": st.booleans(),
            "group": st.text(max_size=5),
            "group_type": st.integers(0, 3),
            "triggered": st.booleans(),
            "extreme": st.one_of(st.none(), st.floats(0.01, 1e5)),
            "level": st.one_of(st.none(), st.floats(0.01, 1e5)),
            "seen_ns": st.one_of(st.none(), st.integers(0, 2**62)),
        }
    ),
)
def test_an_order_is_restored_as_it_was(ticket, number, state):
    order = Order(1, number, number + 5, 0, ticket, 7, due_ns=9, reason="x", **state)
    again = Order.restored(json.loads(json.dumps(order.describe())))
    assert again == order
    assert (again.terms, again.shown, again.why_held) == (order.terms, order.shown, order.why_held)
