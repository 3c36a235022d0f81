"""Stream to order: five-second bars come in, one share is bought and sold again. Paper accounts only."""

import sys
import threading
from decimal import Decimal

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.order import Order
from ibapi.wrapper import EWrapper

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 4002
BARS = 100_000_001  # requests and orders share one number space in errors, so they stay far apart
N_BARS = 3


class App(EWrapper, EClient):
    def __init__(self):
        EWrapper.__init__(self)
        EClient.__init__(self, self)
        self.ready, self.finished = threading.Event(), threading.Event()
        self.accounts, self.order_id, self.why_not = [], 0, ""
        self.closes, self.seen, self.sides, self.n_paid = [], set(), [], 0
        self.stock = Contract()
        self.stock.symbol, self.stock.secType = "AAPL", "STK"
        self.stock.exchange, self.stock.currency = "SMART", "USD"

    def managedAccounts(self, accountsList):
        self.accounts = [a for a in accountsList.split(",") if a]

    def nextValidId(self, orderId):
        self.order_id = orderId
        self.ready.set()

    def realtimeBar(self, reqId, time, open_, high, low, close, volume, wap, count):
        self.closes.append(close)
        print(f"bar {len(self.closes)}: close {close:.2f}")
        if len(self.closes) == N_BARS:  # a strategy would decide here
            self.send("BUY")

    def send(self, action):
        order = Order()
        order.action, order.totalQuantity, order.orderType = action, Decimal(1), "MKT"
        order.tif, order.account = "DAY", self.accounts[0]
        for name in ("eTradeOnly", "firmQuoteOnly"):  # ibapi 9.81 sets them, and TWS now refuses them
            if hasattr(order, name):
                setattr(order, name, False)
        print(f"order {self.order_id}: {action} 1 {self.stock.symbol}")
        self.placeOrder(self.order_id, self.stock, order)
        self.order_id += 1  # each id is used once

    def execDetails(self, reqId, contract, execution):
        if execution.execId in self.seen:  # the same execution may be told twice
            return
        self.seen.add(execution.execId)
        self.sides.append(execution.side)
        print(f"filled: {execution.side} {float(execution.shares):g} at {execution.price:.2f}")
        if execution.side == "BOT":
            self.send("SELL")

    def commissionReport(self, report):  # its name until 10.36
        self.paid(report.commission)

    def commissionAndFeesReport(self, report):  # its name since
        self.paid(report.commissionAndFees)

    def paid(self, commission):
        print(f"commission: {commission:.2f}")
        self.n_paid += 1
        if self.n_paid == 2:
            self.finished.set()

    def connectionClosed(self):  # nobody shall wait for what cannot come any more
        self.why_not = "the connection was closed."
        self.finished.set()

    def error(self, reqId, *rest):
        print(f"message {reqId}: {rest}")
        codes = {value for value in rest[:2] if isinstance(value, int)}
        if codes & {103, 110, 200, 201, 203, 321, 354, 420, 10089, 10168}:  # these end it; others are notes
            self.why_not = f"stopped: {rest}."
            self.finished.set()


app = App()
app.connect("127.0.0.1", PORT, clientId=16)
if not app.isConnected():
    sys.exit(f"nobody listens on port {PORT}; see docs/ib-setup.md")
threading.Thread(target=app.run, daemon=True).start()
try:
    if not app.ready.wait(timeout=10):
        sys.exit("no connection within 10 seconds")
    if not app.accounts or not all(account.startswith("DU") for account in app.accounts):
        sys.exit(f"{', '.join(app.accounts)} is no paper account; this script sends orders, so it ends here")
    app.reqRealTimeBars(BARS, app.stock, 5, "TRADES", True, [])
    came = app.finished.wait(timeout=90)
    app.cancelRealTimeBars(BARS)
    if app.why_not or not came:
        held = " One share is still held." if app.sides == ["BOT"] else ""
        sys.exit((app.why_not or "Not finished within 90 seconds; is the market open?") + held)
    print("bought and sold: the account holds what it held before")
finally:
    app.disconnect()
