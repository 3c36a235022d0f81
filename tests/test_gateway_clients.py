"""Clients that were written elsewhere: the official one, old and new, and ib_async."""
# ruff: noqa: N802, N803  # callbacks have the official client's names

from __future__ import annotations

import queue
import threading

import pytest

from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway

pytestmark = pytest.mark.ib


@pytest.fixture(scope="module")
def market():
    return Market.of_sample()


# -- ib_async, which nobody here wrote -----------------------------------------------------------------


@pytest.fixture
def ib(market):
    ib_async = pytest.importorskip("ib_async", reason="could not import 'ib_async'")
    with Gateway(market, speed="max", start="2012-01-04") as gateway:
        connected = ib_async.IB()
        connected.connect("127.0.0.1", gateway.port, clientId=7, timeout=10, raiseSyncErrors=True)
        connected.gateway = gateway
        yield connected
        connected.disconnect()


def drive(ib, good):
    """Let simulated time pass until something is good."""
    for _ in range(50):
        if good():
            return
        ib.reqCurrentTime()
    raise AssertionError("nothing good came")


def test_ib_async_gets_a_year_of_daily_bars(ib):
    from ib_async import Stock, util

    (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
    assert contract.conId == 265598
    bars = ib.reqHistoricalData(contract, "", "1 Y", "1 day", "TRADES", useRTH=True)
    real = ib.gateway.market.bars("AAPL", None, "2011-01-04", "2012-01-03")
    assert len(bars) == 252 == real.n_bars
    assert util.df(bars)["close"].tolist() == real.close[:, 0].tolist()
    assert [b.date.isoformat() for b in bars] == [str(x)[:10] for x in real.index]


def test_ib_async_trades_a_hundred_shares_to_their_commission_and_sees_position_and_account(ib):
    from ib_async import MarketOrder, Stock

    (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
    trade = ib.placeOrder(contract, MarketOrder("BUY", 100, orderRef="mine"))
    drive(ib, lambda: trade.fills and trade.fills[0].commissionReport.execId)
    (fill,) = trade.fills
    (record,) = ib.gateway.executions()
    assert trade.orderStatus.status == "Filled"
    assert (fill.execution.price, fill.execution.shares) == (record.price, 100)
    assert fill.commissionReport.commission == record.commission == 1.0
    (held,) = ib.positions()
    assert (held.contract.symbol, held.position) == ("AAPL", 100)
    (item,) = ib.portfolio()
    assert item.position == 100
    figures = {v.tag: v.value for v in ib.accountValues()}
    assert float(figures["TotalCashValue"]) == pytest.approx(ib.gateway.cash, abs=0.01)
    assert ib.managedAccounts() == ["DU1234567"]
    assert {x.tag for x in ib.accountSummary()} >= {"NetLiquidation", "TotalCashValue"}


def test_ib_async_cancels_a_limit_order(ib):
    from ib_async import LimitOrder, Stock

    (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
    trade = ib.placeOrder(contract, LimitOrder("BUY", 10, 100.0))
    ib.reqAllOpenOrders()
    assert trade.orderStatus.status == "PreSubmitted"
    ib.cancelOrder(trade.order)
    ib.reqAllOpenOrders()
    assert trade.orderStatus.status == "Cancelled"
    assert ib.gateway.executions() == ()


def test_ib_async_follows_bars(ib):
    from ib_async import Stock

    (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
    bars = ib.reqHistoricalData(contract, "", "2 D", "1 day", "TRADES", useRTH=True, keepUpToDate=True)
    drive(ib, lambda: len(bars) == 4)
    real = ib.gateway.market.bars("AAPL", None, "2011-12-30", "2012-01-04")
    assert [b.close for b in bars][1:3] == real.close[1:3, 0].tolist()


def test_ib_async_is_told_that_a_contract_is_ambiguous(ib):
    from ib_async import Stock

    assert ib.qualifyContracts(Stock("IBM", "SMART", "")) == [None]
    assert len(ib.reqContractDetails(Stock("IBM", "SMART", ""))) == 2


# -- the official client -------------------------------------------------------------------------------


def make_app(port):  # noqa: C901  # one short callback after another
    """Client and wrapper in one, in whatever version is installed; callbacks go into a queue."""
    pytest.importorskip("ibapi", reason="could not import 'ibapi'")
    from ibapi.client import EClient
    from ibapi.wrapper import EWrapper

    class App(EWrapper, EClient):
        def __init__(self):
            EClient.__init__(self, self)
            self.heard = queue.Queue()
            self.hangs = {}

        def put(self, name, *values):
            self.heard.put((name, *values))

        def nextValidId(self, orderId):
            self.put("nextValidId", orderId)

        def error(self, reqId, *rest):
            new = len(rest) > 2 and isinstance(rest[1], int)
            code, text = (rest[1], rest[2]) if new else rest[:2]
            self.put("error", reqId, code, text)

        def currentTime(self, time):
            self.put("currentTime", time)

        def contractDetails(self, reqId, contractDetails):
            self.put("contractDetails", reqId, contractDetails)

        def contractDetailsEnd(self, reqId):
            self.put("contractDetailsEnd", reqId)

        def historicalData(self, reqId, bar):
            self.put("historicalData", reqId, bar)

        def historicalDataEnd(self, reqId, start, end):
            self.put("historicalDataEnd", reqId, start, end)

        def historicalDataUpdate(self, reqId, bar):
            self.put("historicalDataUpdate", reqId, bar)

        def openOrder(self, orderId, contract, order, orderState):
            self.put("openOrder", orderId, contract, order, orderState)

        def orderStatus(self, orderId, status, filled, remaining, *rest):
            self.put("orderStatus", orderId, status, float(filled), float(remaining))
            self.hangs[orderId] = rest[2], rest[5]

        def execDetails(self, reqId, contract, execution):
            self.put("execDetails", reqId, contract, execution)

        def commissionReport(self, report):
            self.put("commission", report.execId, report.commission)

        def commissionAndFeesReport(self, report):
            self.put("commission", report.execId, report.commissionAndFees)

        def position(self, account, contract, position, avgCost):
            self.put("position", account, contract.symbol, float(position), avgCost)

        def positionEnd(self):
            self.put("positionEnd")

        def accountSummary(self, reqId, account, tag, value, currency):
            self.put("accountSummary", tag, value)

        def accountSummaryEnd(self, reqId):
            self.put("accountSummaryEnd", reqId)

        def completedOrder(self, contract, order, orderState):
            self.put("completedOrder", contract.symbol, orderState.status)

        def completedOrdersEnd(self):
            self.put("completedOrdersEnd")

        def updatePortfolio(self, contract, position, *rest):
            self.put("updatePortfolio", contract.symbol, float(position))

        def accountDownloadEnd(self, accountName):
            self.put("accountDownloadEnd", accountName)

        def headTimestamp(self, reqId, headTimestamp):
            self.put("headTimestamp", reqId, headTimestamp)

        def realtimeBar(self, reqId, time, *prices):
            self.put("realtimeBar", reqId, time)

        def tickPrice(self, reqId, tickType, price, attrib):
            self.put("tickPrice", tickType, price)

        def until(self, name, *values):
            """Everything up to a callback with these first values."""
            found = []
            while True:
                found.append(self.heard.get(timeout=10))
                if found[-1][: 1 + len(values)] == (name, *values):
                    return found

    app = App()
    app.connect("127.0.0.1", port, clientId=3)
    threading.Thread(target=app.run, daemon=True).start()
    app.until("nextValidId")
    return app


def official_stock(symbol):
    from ibapi.contract import Contract

    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = symbol, "STK", "SMART", "USD"
    return contract


def official_order(action, quantity, limit=None, **more):
    from decimal import Decimal

    from ibapi.order import Order

    order = Order()
    order.action, order.totalQuantity, order.orderType = (
        action,
        Decimal(quantity),
        "MKT" if limit is None else "LMT",
    )
    order.tif = "DAY"
    if limit is not None:
        order.lmtPrice = limit
    for name, value in more.items():
        setattr(order, name, value)
    for name in ("eTradeOnly", "firmQuoteOnly"):
        if hasattr(order, name):
            setattr(order, name, False)
    return order


def cancel_official(app, order_id):
    import inspect

    if len(inspect.signature(app.cancelOrder).parameters) == 1:
        app.cancelOrder(order_id)
        return
    from ibapi.order_cancel import OrderCancel

    app.cancelOrder(order_id, OrderCancel())


@pytest.fixture
def app(market):
    with Gateway(market, speed="max", start="2012-01-04", ceiling=178) as gateway:
        connected = make_app(gateway.port)
        connected.gateway = gateway
        yield connected
        connected.disconnect()


def test_the_official_client_asks_for_contracts_bars_and_the_head_of_the_data(app):
    app.reqContractDetails(5, official_stock("AAPL"))
    (details,) = (x[2] for x in app.until("contractDetailsEnd", 5) if x[0] == "contractDetails")
    assert (details.contract.conId, details.minTick) == (265598, 0.01)
    app.reqHistoricalData(6, official_stock("AAPL"), "", "1 Y", "1 day", "TRADES", 1, 1, False, [])
    bars = [x[2] for x in app.until("historicalDataEnd", 6) if x[0] == "historicalData"]
    real = app.gateway.market.bars("AAPL", None, "2011-01-04", "2012-01-03")
    assert [b.close for b in bars] == real.close[:, 0].tolist()
    assert [int(b.volume) for b in bars] == real.volume[:, 0].astype(int).tolist()
    app.reqHeadTimeStamp(7, official_stock("AAPL"), "TRADES", 1, 1)
    assert app.until("headTimestamp")[-1][2] == "20000301-14:30:00"


def test_the_official_client_trades_and_cancels(app):
    app.placeOrder(1, official_stock("AAPL"), official_order("BUY", 100))
    app.placeOrder(2, official_stock("IBM"), official_order("BUY", 10, 1.0))
    heard = app.until("orderStatus", 2, "PreSubmitted")
    assert ("orderStatus", 1, "PreSubmitted", 0.0, 100.0) in heard
    app.reqCurrentTime()
    app.until("currentTime")
    app.reqCurrentTime()
    commission = app.until("commission")
    execution = next(x[3] for x in commission if x[0] == "execDetails")
    (record,) = app.gateway.executions()
    assert (execution.price, float(execution.shares), execution.execId) == (
        record.price,
        100.0,
        record.exec_id,
    )
    assert commission[-1][2] == 1.0
    cancel_official(app, 2)
    assert app.until("orderStatus", 2, "Cancelled")
    app.reqPositions()
    assert ("position", "DU1234567", "AAPL", 100.0) in [x[:4] for x in app.until("positionEnd")]
    app.reqAccountSummary(9, "All", "NetLiquidation,TotalCashValue")
    assert {x[1] for x in app.until("accountSummaryEnd") if x[0] == "accountSummary"} == {
        "NetLiquidation",
        "TotalCashValue",
    }
    app.reqAccountUpdates(True, "")
    assert ("updatePortfolio", "AAPL", 100.0) in app.until("accountDownloadEnd")
    app.reqCompletedOrders(False)
    done = app.until("completedOrdersEnd")
    assert ("completedOrder", "AAPL", "Filled") in done
    assert ("completedOrder", "IBM", "Cancelled") in done


def test_the_official_client_follows_bars_and_ticks(app):
    app.reqHistoricalData(6, official_stock("AAPL"), "", "2 D", "1 day", "TRADES", 1, 1, True, [])
    app.until("historicalDataEnd", 6)
    app.reqCurrentTime()
    app.until("historicalDataUpdate", 6)
    app.reqMktData(7, official_stock("IBM"), "", False, False, [])
    assert app.until("tickPrice", 4)[-1][2] > 0
    app.reqRealTimeBars(8, official_stock("AAPL"), 5, "TRADES", True, [])
    for _ in range(10):
        app.reqCurrentTime()
    app.until("realtimeBar", 8)


def test_the_official_client_is_told_the_codes_it_knows(app):
    for order_id, symbol, order, code in [
        (1, "NOPE", official_order("BUY", 1), 200),
        (1, "AAPL", official_order("BUY", 0), 434),
        (1, "AAPL", official_order("BUY", 1, 0.123), 110),
        (1, "AAPL", official_order("BUY", 100_000), 201),
    ]:
        app.placeOrder(order_id, official_stock(symbol), order)
        assert app.until("error", order_id, code)
    cancel_official(app, 77)
    assert app.until("error", 77, 10147)


# -- brackets ------------------------------------------------------------------------------------------


def official_bracket(app, stop, target, first=1):
    """Send a market order with a target and a stop, as the manual of the official client does it."""
    child = {"parentId": first, "tif": "GTC"}
    app.placeOrder(first, official_stock("AAPL"), official_order("BUY", 100, transmit=False))
    app.placeOrder(
        first + 1, official_stock("AAPL"), official_order("SELL", 100, target, transmit=False, **child)
    )
    stop_loss = official_order("SELL", 100, orderType="STP", auxPrice=stop, **child)
    app.placeOrder(first + 2, official_stock("AAPL"), stop_loss)


def drive_app(app, name, *values):
    """Let time pass until a callback with these first values has come; everything up to it."""
    found = []
    for _ in range(200):
        app.reqCurrentTime()
        found += app.until("currentTime")
        for k, heard in enumerate(found):
            if heard[: 1 + len(values)] == (name, *values):
                return found[: k + 1]
    raise AssertionError(f"{name} {values} has not come: {found[-5:]}")


def day_of_fall(market):
    """A day from 2012 on that trades well below its open, with a stop within its range and a target beyond it."""
    bars = market.bars("AAPL", None, "2012-01-03", "2012-12-31")
    t = next(t for t in range(1, bars.n_bars) if bars.low[t, 0] < bars.open[t, 0] * 0.985)
    return str(bars.index[t])[:10], round(bars.open[t, 0] * 0.99, 2), round(bars.high[t, 0] + 50.0, 2)


@pytest.mark.parametrize("fills", ["quotes", "bars"])
def test_the_official_client_places_a_bracket_whose_stop_is_hit_and_target_cancelled(market, fills):
    start, stop, target = day_of_fall(market)
    with Gateway(market, speed="max", start=start, ceiling=178, fills=fills) as gateway:
        app = make_app(gateway.port)
        official_bracket(app, stop, target)
        placed = app.until("orderStatus", 3, "PreSubmitted")
        kinds = [x[:3] for x in placed if x[0] == "orderStatus"]
        assert kinds == [
            ("orderStatus", 1, "PendingSubmit"),
            ("orderStatus", 2, "PendingSubmit"),
            ("orderStatus", 1, "PreSubmitted"),
            ("orderStatus", 2, "PreSubmitted"),
            ("orderStatus", 3, "PreSubmitted"),
        ]
        assert app.hangs == {1: (0, ""), 2: (1, "child"), 3: (1, "child,trigger")}
        (child,) = (x for x in placed[-2:] if x[0] == "openOrder")
        assert (child[3].auxPrice, child[3].parentId, child[3].ocaType) == (stop, 1, 3)
        assert child[3].ocaGroup
        entered = [x[:3] for x in drive_app(app, "orderStatus", 3, "PreSubmitted") if x[0] != "currentTime"]
        assert [x[0] for x in entered] == [
            *("execDetails", "openOrder", "orderStatus", "openOrder", "orderStatus", "commission"),
            *("openOrder", "orderStatus"),
            *("openOrder", "orderStatus"),
        ]
        assert entered[7] == ("orderStatus", 2, "Submitted")
        assert app.hangs[3] == (1, "trigger")
        left = [x[:3] for x in drive_app(app, "orderStatus", 2, "Cancelled") if x[0] != "currentTime"]
        if fills == "quotes":  # the stop is touched before it fills
            assert [x[0] for x in left[:2]] == ["openOrder", "orderStatus"]
            assert left[1] == ("orderStatus", 3, "Submitted")
            left = left[2:]
        assert [x[0] for x in left] == [
            *("execDetails", "openOrder", "orderStatus", "openOrder", "orderStatus", "commission"),
            *("error", "orderStatus"),
        ]
        assert left[2] == ("orderStatus", 3, "Filled")
        assert left[6] == ("error", 2, 202)
        bought, sold = gateway.executions()
        assert (bought.quantity, sold.quantity, sold.order_id) == (100.0, -100.0, 3)
        assert sold.price == pytest.approx(stop, rel=0.002)
        assert gateway.positions() == ()
        app.disconnect()


def test_the_official_client_changes_and_cancels_a_bracket(app):
    official_bracket(app, 300.0, 500.0)
    app.until("orderStatus", 3, "PreSubmitted")
    changed = official_order("SELL", 100, orderType="STP", auxPrice=310.0, parentId=1, tif="GTC")
    app.placeOrder(3, official_stock("AAPL"), changed)
    assert app.until("openOrder", 3)[-1][3].auxPrice == 310.0
    trail = official_order("SELL", 100, orderType="TRAIL", trailingPercent=5.0, parentId=1, tif="GTC")
    app.placeOrder(4, official_stock("AAPL"), trail)
    assert app.until("openOrder", 4)[-1][3].trailingPercent == 5.0
    app.placeOrder(5, official_stock("AAPL"), official_order("SELL", 100, 500.0, parentId=77))
    assert app.until("error", 5, 135)
    app.placeOrder(5, official_stock("AAPL"), official_order("SELL", 1, orderType="STP", auxPrice=0.123))
    assert app.until("error", 5, 110)
    cancel_official(app, 1)
    heard = app.until("orderStatus", 4, "Cancelled")
    assert [x[1] for x in heard if x[0] == "error"] == [1, 2, 3, 4]
    assert {o.status for o in app.gateway.orders()} == {"Cancelled"}


def test_the_official_client_finds_a_standing_bracket_after_a_restart_of_the_gateway(market, tmp_path):
    options = {"speed": "max", "start": "2012-01-04", "ceiling": 178, "state": tmp_path / "gateway.db"}
    with Gateway(market, **options) as gateway:
        app = make_app(gateway.port)
        official_bracket(app, 300.0, 500.0)
        app.until("orderStatus", 3, "PreSubmitted")
        app.disconnect()
    with Gateway(market, **options) as gateway:
        app = make_app(gateway.port)
        app.reqOpenOrders()
        app.until("orderStatus", 3, "PreSubmitted")
        assert app.hangs == {1: (0, ""), 2: (1, "child"), 3: (1, "child,trigger")}
        drive_app(app, "orderStatus", 3, "PreSubmitted")
        assert [o.status for o in gateway.orders()] == ["Filled", "Submitted", "PreSubmitted"]
        app.disconnect()


def test_ib_async_places_its_own_bracket(ib):
    from ib_async import Stock

    (contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
    trades = [ib.placeOrder(contract, x) for x in ib.bracketOrder("BUY", 100, 1000.0, 1200.0, 300.0)]
    drive(ib, lambda: trades[0].orderStatus.status == "Filled")
    assert [t.orderStatus.status for t in trades] == ["Filled", "Submitted", "PreSubmitted"]
    assert trades[2].orderStatus.whyHeld == "trigger"
    group = str(trades[0].order.permId)
    assert [o.oca_group for o in ib.gateway.orders()] == ["", group, group]
    ib.cancelOrder(trades[1].order)
    ib.reqAllOpenOrders()
    assert [t.orderStatus.status for t in trades[1:]] == ["Cancelled", "PreSubmitted"]
