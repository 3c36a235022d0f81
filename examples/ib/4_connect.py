"""Connect: EClient sends, EWrapper is told. Two objects here, so that it is plain which does what."""

import sys
import threading

from ibapi.client import EClient
from ibapi.wrapper import EWrapper

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 4002
CLIENT_ID = int(sys.argv[2]) if len(sys.argv) > 2 else 14
NO_ID = -1  # a message about the connection, not about a request
HARMLESS = {2104, 2106, 2107, 2108, 2119, 2158}  # data farms report that they are there


class Callbacks(EWrapper):
    """Everything that TWS says arrives here."""

    def __init__(self):
        super().__init__()
        self.settled = threading.Event()  # connected, or known why not
        self.accounts, self.order_id, self.trouble = "", None, []

    def managedAccounts(self, accountsList):
        self.accounts = accountsList

    def nextValidId(self, orderId):
        self.order_id = orderId  # the first id that an order may have
        self.settled.set()

    def connectionClosed(self):
        self.settled.set()

    def error(self, reqId, *rest):
        # (code, text), (code, text, details), or since 10.37 (time, code, text, details).
        code, text = rest[1:3] if len(rest) > 2 and isinstance(rest[1], int) else rest[:2]
        if reqId == NO_ID and code not in HARMLESS:
            self.trouble.append(f"{code} {text}")
            if code in {326, 502, 503, 504, 507}:  # id in use, nobody there, too old, not connected, cut off
                self.settled.set()


def talk(client):
    """Connect and read, all in one thread: connect() itself waits forever for a TWS that stays mute."""
    client.connect("127.0.0.1", PORT, CLIENT_ID)
    if client.isConnected():
        client.run()


callbacks = Callbacks()
client = EClient(callbacks)
threading.Thread(target=talk, args=(client,), daemon=True).start()
came = callbacks.settled.wait(timeout=10)
if callbacks.order_id is None:
    reason = "; ".join(callbacks.trouble) or (
        "it was closed" if came else "TWS stays mute; look at its window"
    )
    client.disconnect()
    sys.exit(f"no connection to port {PORT}: {reason}. See docs/ib-setup.md")
print(f"protocol version {client.serverVersion()}, connected at {client.twsConnectionTime().decode()}")
print(f"accounts {callbacks.accounts}, next order id {callbacks.order_id}")
paper = all(account.startswith("DU") for account in callbacks.accounts.split(",") if account)
print("paper money" if paper else "REAL MONEY: log in with the paper user before you try anything")
client.disconnect()
