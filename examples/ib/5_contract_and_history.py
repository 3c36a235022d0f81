"""Contract details and history: what a symbol stands for, then its bars."""

import sys
import threading

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.wrapper import EWrapper

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 4002
SYMBOL = sys.argv[2] if len(sys.argv) > 2 else "AAPL"
DETAILS, HISTORY = 1, 2


class App(EWrapper, EClient):
    def __init__(self):
        EWrapper.__init__(self)
        EClient.__init__(self, self)
        self.ready = threading.Event()
        self.done = {DETAILS: threading.Event(), HISTORY: threading.Event()}
        self.failed = {}
        self.found, self.bars = [], []

    def nextValidId(self, orderId):
        self.ready.set()

    def contractDetails(self, reqId, contractDetails):
        self.found.append(contractDetails)  # one call for each contract that fits

    def contractDetailsEnd(self, reqId):
        self.done[reqId].set()

    def historicalData(self, reqId, bar):
        self.bars.append(bar)  # one call for each bar, oldest first

    def historicalDataEnd(self, reqId, start, end):
        self.done[reqId].set()

    def error(self, reqId, *rest):
        print(f"message {reqId}: {rest}")
        if reqId in self.done:  # a request that failed gets no end: wake up who waits for it
            self.failed[reqId] = rest
            self.done[reqId].set()

    def wait_for(self, reqId, seconds):
        if not self.done[reqId].wait(timeout=seconds) or reqId in self.failed:
            sys.exit(f"request {reqId} failed: {self.failed.get(reqId, 'no answer in time')}")


app = App()
app.connect("127.0.0.1", PORT, clientId=15)
if not app.isConnected():
    sys.exit(f"nobody listens on port {PORT}; see docs/ib-setup.md")
threading.Thread(target=app.run, daemon=True).start()
try:
    if not app.ready.wait(timeout=10):
        sys.exit("no connection within 10 seconds")

    wanted = Contract()
    wanted.symbol, wanted.secType, wanted.exchange, wanted.currency = SYMBOL, "STK", "SMART", "USD"
    app.reqContractDetails(DETAILS, wanted)
    app.wait_for(DETAILS, 10)
    if len(app.found) > 1:
        sys.exit(f"{SYMBOL} is ambiguous: {len(app.found)} contracts fit; name the primary exchange")
    details = app.found[0]
    stock = details.contract
    print(f"{stock.symbol}: {details.longName}, contract {stock.conId}, tick {details.minTick}")

    # Up to now (""), 30 days back, regular hours only (1), dates as yyyymmdd (1), and no updates after (False).
    app.reqHistoricalData(HISTORY, stock, "", "30 D", "1 day", "TRADES", 1, 1, False, [])
    app.wait_for(HISTORY, 60)
    for bar in app.bars[-3:]:
        print(f"{bar.date}  {bar.open:.2f} {bar.high:.2f} {bar.low:.2f} {bar.close:.2f}  {bar.volume}")
    print(f"{len(app.bars)} bars")
finally:
    app.disconnect()
