"""The account over a real socket: positions, figures, profit and loss, executions, orders."""

from __future__ import annotations

import pytest
from gateway_client import TestClient, buy, sell, stock
from hypothesis import given
from hypothesis import strategies as st

from quantlab.gateway.account import Account, Holding
from quantlab.gateway.admission import needs_more_margin
from quantlab.gateway.charges import Charge
from quantlab.gateway.market import Market
from quantlab.gateway.orders import Order
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as m

AAPL = stock("AAPL")


@pytest.fixture(scope="module")
def market():
    return Market.of_sample()


@pytest.fixture
def gateway(market):
    with Gateway(market, speed="max", start="2012-01-03", fills="bars") as running:
        yield running


@pytest.fixture
def client(gateway):
    with TestClient(gateway) as connected:
        yield connected


def trade(client, order_id, ticket, contract=AAPL):
    client.send(m.PlaceOrder(order_id, contract, ticket))
    return client.drive(lambda x: isinstance(x, m.CommissionReport))


# -- the books -----------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 500).map(float), st.floats(0, 5)),
        min_size=1,
        max_size=12,
    )
)
def test_realized_and_unrealized_profit_add_up_to_the_change_of_equity(trades):
    account = Account("DU1", 1e6, "USD", [1.0])
    for quantity, price, cost in trades:
        account.book(0, float(quantity), price, Charge(cost, 0.0))
    last = trades[-1][1]
    equity = account.equity(lambda _: last)
    profit = account.realized() + account.unrealized(0, lambda _: last)
    assert equity - 1e6 == pytest.approx(profit, abs=1e-6)
    assert account.quantity(0) == sum(q for q, _, _ in trades)


def test_what_opens_realizes_nothing_and_what_closes_does_after_costs():
    account = Account("DU1", 1000.0, "USD", [1.0])
    assert account.book(0, 10.0, 5.0, Charge(1.0, 0.0)) is None
    assert account.holdings[0].average_cost == 5.1
    assert account.book(0, -4.0, 6.0, Charge(1.0, 0.5)) == pytest.approx(4 * (6 - 5.1) - 1.5)
    assert account.cash == 1000 - 51 + 24 - 1.5


@pytest.mark.parametrize(
    ("standing", "quantity", "refused"),
    [
        (0, -5, False),
        (0, -10, False),
        (0, -20, False),  # as much on the other side is no more than before
        (0, -21, True),
        (0, 1, True),
        (-10, 3, True),  # an exit that stands makes what it closes an entry again
        (5, -15, False),
    ],
)
def test_without_equity_only_what_makes_a_position_smaller_passes(standing, quantity, refused):
    account = Account("DU1", -90.0, "USD", [1.0])
    account.holdings[0] = Holding(10.0, 10.0)
    action = "BUY" if standing > 0 else "SELL"
    orders = [Order(1, 1, 1, 0, m.OrderTicket(action, abs(standing), "MKT"), 0)] if standing else []
    found = needs_more_margin(account, orders, 0, quantity, lambda _: 10.0)
    assert (found is not None) is refused
    assert found is None or found.code == 201


# -- over the socket -----------------------------------------------------------------------------------


def test_positions_are_told_at_once_and_at_every_change(gateway, client):
    client.send(m.RequestPositions())
    assert client.sync() == [m.PositionEnd()]
    heard = trade(client, 1, buy(100))
    (held,) = (x for x in (*heard, *client.sync()) if isinstance(x, m.PositionData))
    price = gateway.executions()[0].price
    assert (held.account, held.contract.symbol, held.quantity) == ("DU1234567", "AAPL", 100.0)
    assert held.average_cost == pytest.approx(price + 0.01)
    with TestClient(gateway, client_id=2) as other:
        other.send(m.RequestPositions())
        assert [type(x) for x in other.sync()] == [m.PositionData, m.PositionEnd]
    client.send(m.CancelPositions())
    trade(client, 2, sell(100))
    assert not [x for x in client.sync() if isinstance(x, m.PositionData)]


def test_a_position_that_is_closed_is_told_as_zero(client):
    client.send(m.RequestPositions())
    trade(client, 1, buy(100))
    client.sync()
    heard = trade(client, 2, sell(100)) + client.sync()
    assert [x.quantity for x in heard if isinstance(x, m.PositionData)] == [0.0]


def test_the_commission_report_of_a_closing_trade_has_its_profit(gateway, client):
    trade(client, 1, buy(100))
    report = trade(client, 2, sell(100))[-1]
    bought, sold = gateway.executions()
    gain = 100 * (sold.price - bought.price) - bought.commission - sold.commission
    assert report.realized_pnl == pytest.approx(gain)
    assert report.commission == sold.commission > sold.fees > 0.0  # section 31 and TAF
    assert gateway.cash == pytest.approx(1_000_000 + gain)


def test_figures_of_the_account_agree_with_each_other_and_with_the_gateway(gateway, client):
    trade(client, 1, buy(100))
    client.now()
    client.sync()
    client.send(m.RequestAccountSummary(4, "All", "NetLiquidation,TotalCashValue,GrossPositionValue"))
    heard = client.sync()
    assert isinstance(heard[-1], m.AccountSummaryEnd)
    figures = {x.tag: float(x.value) for x in heard[:-1]}
    assert set(figures) == {"NetLiquidation", "TotalCashValue", "GrossPositionValue"}
    assert figures["NetLiquidation"] == pytest.approx(gateway.equity, abs=0.01)
    total = figures["TotalCashValue"] + figures["GrossPositionValue"]
    assert total == pytest.approx(figures["NetLiquidation"], abs=0.02)
    client.send(m.RequestAccountSummary(4, "All", "NetLiquidation"))
    assert client.error(322).request_id == 4
    client.now()
    client.now()
    assert [x for x in client.sync() if isinstance(x, m.AccountSummary)] or client.passed
    client.send(m.CancelAccountSummary(4))


def test_followed_the_account_sends_figures_and_portfolio_and_the_end_of_them(gateway, client):
    trade(client, 1, buy(100))
    client.send(m.RequestAccountUpdates(subscribe=True, account="DU1234567"))
    heard = client.sync()
    assert isinstance(heard[-1], m.AccountDownloadEnd)
    (item,) = (x for x in heard if isinstance(x, m.PortfolioValue))
    assert item.market_value == pytest.approx(item.quantity * item.market_price)
    keys = {x.key for x in heard if isinstance(x, m.AccountValue)}
    assert {"NetLiquidation", "BuyingPower", "AvailableFunds", "AccountType"} <= keys
    again = trade(client, 2, sell(50)) + client.sync()
    assert [x.quantity for x in again if isinstance(x, m.PortfolioValue)] == [50.0]
    client.send(m.RequestAccountUpdates(subscribe=False))
    client.send(m.RequestAccountUpdates(subscribe=True, account="U999"))
    assert "U999" in client.error(321).text


def test_profit_and_loss_are_told_and_told_again(gateway, client):
    trade(client, 1, buy(100))
    client.send(m.RequestPnL(3, "DU1234567"), m.RequestPnLSingle(4, "DU1234567", "", 265598))
    first = client.sync()
    assert [type(x) for x in first if not isinstance(x, m.CurrentTime)] == [m.PnL, m.PnLSingle]
    client.now()
    changed = [*client.passed, *client.sync()]
    (single,) = (x for x in changed if isinstance(x, m.PnLSingle))
    (whole,) = (x for x in changed if isinstance(x, m.PnL))
    close = gateway.positions()[0].price
    price = gateway.executions()[0].price
    assert single.unrealized == whole.unrealized == pytest.approx(100 * (close - price) - 1.0)
    assert single.value == 100 * close
    assert whole.daily == pytest.approx(gateway.equity - 1_000_000)
    client.send(m.CancelPnL(3), m.CancelPnLSingle(4))
    client.sync()
    client.now()
    assert not [x for x in client.passed if isinstance(x, (m.PnL, m.PnLSingle))]


def test_executions_of_today_are_told_again_with_their_costs_and_filtered(gateway, client):
    trade(client, 1, buy(100))
    client.send(m.PlaceOrder(2, stock("IBM"), sell(10)))
    client.drive(lambda x: isinstance(x, m.CommissionReport))
    client.sync()
    client.send(m.RequestExecutions(9))
    heard = client.sync()
    assert [type(x) for x in heard] == [m.ExecutionData, m.ExecutionDataEnd, m.CommissionReport]
    assert heard[0].contract.symbol == "IBM"  # the other one was on the day before
    for chosen, n in [
        ({"symbol": "IBM"}, 1),
        ({"symbol": "AAPL"}, 0),
        ({"side": "SELL"}, 1),
        ({"side": "BUY"}, 0),
        ({"client_id": 1}, 1),
        ({"client_id": 2}, 0),
        ({"time": "20120104-09:29:00"}, 1),
        ({"time": "20120104-09:31:00"}, 0),
    ]:
        client.send(m.RequestExecutions(9, m.ExecutionFilter(**chosen)))
        assert len([x for x in client.sync() if isinstance(x, m.ExecutionData)]) == n, chosen


def test_what_fills_while_its_client_is_away_is_there_when_it_asks(gateway, client):
    client.send(m.PlaceOrder(1, AAPL, buy(100)))
    client.sync()
    client.close()
    with TestClient(gateway, client_id=2) as other:
        other.now()
        while not gateway.executions():
            other.now()
        assert not [x for x in other.passed if isinstance(x, m.ExecutionData)]
    with TestClient(gateway) as again:
        assert again.greeting[1] == m.NextValidId(2)
        again.send(m.RequestExecutions(9))
        assert again.wait(m.ExecutionData).order_id == 1


def test_open_orders_are_ones_own_or_everybodys_and_completed_ones_are_told_apart(gateway, client):
    with TestClient(gateway, client_id=2) as other:
        client.send(m.PlaceOrder(1, AAPL, buy(10, 1.0)), m.PlaceOrder(2, AAPL, buy(20)))
        client.sync()  # two connections are read in any order
        other.send(m.PlaceOrder(1, AAPL, buy(30, 2.0)))
        other.sync()

        def told(request):
            client.send(request)
            return [(x.client_id, x.order_id) for x in client.sync() if isinstance(x, m.OpenOrder)]

        assert told(m.RequestOpenOrders()) == [(1, 1), (1, 2)]
        assert told(m.RequestAllOpenOrders()) == [(1, 1), (1, 2), (2, 1)]
        client.send(m.RequestCompletedOrders())
        assert client.sync() == [m.CompletedOrdersEnd()]
        client.now()
        client.sync()
        assert told(m.RequestOpenOrders()) == [(1, 1)]
        client.send(m.RequestCompletedOrders())
        done, end = client.sync()
        assert (done.state.status, done.filled_quantity, done.order.quantity) == ("Filled", 20.0, 20.0)
        assert isinstance(end, m.CompletedOrdersEnd)
