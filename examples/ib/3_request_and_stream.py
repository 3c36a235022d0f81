"""Request and response against streaming: one question has one end, a subscription lasts until cancelled."""

import sys
import threading

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.wrapper import EWrapper

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 4002
QUOTES = 1  # our number of the subscription; each of its callbacks brings it back
NAMES = {1: "bid", 2: "ask", 4: "last", 66: "delayed bid", 67: "delayed ask", 68: "delayed last"}
WANTED = 6


class App(EWrapper, EClient):
    def __init__(self):
        EWrapper.__init__(self)
        EClient.__init__(self, self)
        self.ready, self.answered, self.enough = threading.Event(), threading.Event(), threading.Event()
        self.time, self.n_ticks, self.why_not = None, 0, ""

    def nextValidId(self, orderId):
        self.ready.set()

    def currentTime(self, time):  # request and response: it comes once
        self.time = time
        self.answered.set()

    def tickPrice(self, reqId, tickType, price, attrib):  # streaming: it comes again and again
        if tickType in NAMES and price > 0 and not self.enough.is_set():
            print(f"stream {reqId}: {NAMES[tickType]} {price:.2f}")
            self.n_ticks += 1
            if self.n_ticks == WANTED:
                self.enough.set()

    def connectionClosed(self):  # nobody shall wait for what cannot come any more
        self.why_not = "the connection was closed"
        self.enough.set()

    def error(self, reqId, *rest):
        print(f"message {reqId}: {rest}")
        if reqId == QUOTES and not {10167, 10090} & set(rest[:2]):  # those only say that data are delayed
            self.why_not = f"no quotes: {rest}"
            self.enough.set()


app = App()
app.connect("127.0.0.1", PORT, clientId=13)
if not app.isConnected():
    sys.exit(f"nobody listens on port {PORT}; see docs/ib-setup.md")
threading.Thread(target=app.run, daemon=True).start()
try:
    if not app.ready.wait(timeout=10):
        sys.exit("no connection within 10 seconds")

    app.reqCurrentTime()
    if not app.answered.wait(timeout=10):
        sys.exit("no answer within 10 seconds")
    print(f"response: {app.time} seconds since 1970, and that was all")

    stock = Contract()
    stock.symbol, stock.secType, stock.exchange, stock.currency = "AAPL", "STK", "SMART", "USD"
    app.reqMarketDataType(3)  # delayed quotes where this login has no live ones
    app.reqMktData(QUOTES, stock, "", False, False, [])
    came = app.enough.wait(timeout=30)
    app.cancelMktData(QUOTES)  # or it goes on, and takes one of the market data lines
    if app.why_not or not came:
        sys.exit(app.why_not or "too few quotes within 30 seconds; is the market open?")
    print(f"stream: {app.n_ticks} quotes, then we cancelled it")
finally:
    app.disconnect()
