"""A thread: run() reads until the connection ends, so it gets a thread, and the program stays free."""

import sys
import threading
from datetime import UTC, datetime

from ibapi.client import EClient
from ibapi.wrapper import EWrapper

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 4002


def say(text):
    """Print a line, and which thread printed it; in one piece, or two threads mix their lines."""
    print(f"[{threading.current_thread().name}] {text}\n", end="", flush=True)


class App(EWrapper, EClient):
    def __init__(self):
        EWrapper.__init__(self)
        EClient.__init__(self, self)
        self.answered = False

    # Callbacks are called by run(), so they are executed by the thread of run().

    def nextValidId(self, orderId):
        say("connected; only from here on may anything be asked")
        self.reqCurrentTime()

    def currentTime(self, time):
        say(f"TWS's clock shows {datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC")
        self.answered = True
        self.disconnect()  # ends run(), which ends the thread

    def error(self, reqId, *rest):  # its arguments differ from release to release
        say(f"message {reqId}: {rest}")


app = App()
app.connect("127.0.0.1", PORT, clientId=11)
if not app.isConnected():
    sys.exit(f"nobody listens on port {PORT}; see docs/ib-setup.md")

thread = threading.Thread(target=app.run, name="ib", daemon=True)
thread.start()
say("run() is in its own thread, and this one goes on")
thread.join(timeout=10)  # without a timeout, a mute TWS would keep the program forever
if not app.answered:
    app.disconnect()
    sys.exit("no answer within 10 seconds")
say("done")
