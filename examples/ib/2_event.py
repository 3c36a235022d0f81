"""An event: one thread waits until another says that the answer is there. No sleeping, no guessing."""

import sys
import threading

from ibapi.client import EClient
from ibapi.wrapper import EWrapper

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 4002


class App(EWrapper, EClient):
    def __init__(self):
        EWrapper.__init__(self)
        EClient.__init__(self, self)
        self.ready = threading.Event()  # connected, ids and accounts are known
        self.summed = threading.Event()  # the account summary is complete
        self.accounts = []
        self.figures = {}

    def managedAccounts(self, accountsList):
        self.accounts = [a for a in accountsList.split(",") if a]

    def nextValidId(self, orderId):
        self.ready.set()

    def accountSummary(self, reqId, account, tag, value, currency):
        self.figures[account, tag] = f"{value} {currency}"

    def accountSummaryEnd(self, reqId):
        self.summed.set()  # first the data, then the event: whoever waits finds all of it

    def error(self, reqId, *rest):
        print(f"message {reqId}: {rest}")


def wait_for(event, what):
    """Wait at most 10 seconds. A wait without an end is the commonest way to hang."""
    if not event.wait(timeout=10):
        sys.exit(f"{what} did not come within 10 seconds")


app = App()
app.connect("127.0.0.1", PORT, clientId=12)
if not app.isConnected():
    sys.exit(f"nobody listens on port {PORT}; see docs/ib-setup.md")
threading.Thread(target=app.run, daemon=True).start()
try:
    wait_for(app.ready, "the connection")
    print(f"accounts: {', '.join(app.accounts)}")
    app.reqAccountSummary(1, "All", "NetLiquidation,TotalCashValue")
    wait_for(app.summed, "the account summary")
    app.cancelAccountSummary(1)
    for (account, tag), value in sorted(app.figures.items()):
        print(f"{account} {tag}: {value}")
finally:
    app.disconnect()
