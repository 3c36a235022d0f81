"""A peer on a real loopback socket that says what a test's script says: the other end of the broker's client."""

from __future__ import annotations

import contextlib
import socket
import threading

from quantlab.errors import ProtocolError
from quantlab.wire import messages as wire
from quantlab.wire.connection import Connection

LOCAL = "127.0.0.1"
PATIENCE_S = 10.0

GREETING = (wire.ManagedAccounts(("DU1234567",)), wire.NextValidId(101))


class Peer:
    """Listens on loopback, and answers each message by what `answer(message)` gives."""

    def __init__(
        self, answer=None, *, ceiling=178, greeting=GREETING, raw=None, time_text="20240105 10:00:00 EST"
    ):
        self.answer = answer or (lambda message: ())
        self.ceiling, self.greeting, self.raw, self.time_text = ceiling, greeting, raw, time_text
        self.received = []
        self.failures = []
        self._changed = threading.Condition()
        self._listener = socket.create_server((LOCAL, 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = []
        self._connection = None
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):  # wakes the thread, if it waits for a client
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        self._thread.join(timeout=PATIENCE_S)

    # -- what tests say --------------------------------------------------------------------------------------

    def send(self, *messages):
        """Send messages in one burst."""
        self.send_bytes(b"".join(self._connection.send(m) for m in messages))

    def send_bytes(self, data):
        self._sockets[-1].sendall(data)

    def encode(self, message):
        return self._connection.send(message)

    def drop(self):
        """Cut the connections."""
        for opened in self._sockets:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def of(self, kind):
        return [m for m in self.received if isinstance(m, kind)]

    def wait_for(self, kind, count=1):
        """The `count`-th message of a kind, once it is there."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout=PATIENCE_S)
        assert there, f"no {kind.__name__} number {count}; there came {self.received}"
        return self.of(kind)[count - 1]

    # -- the thread ------------------------------------------------------------------------------------------

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                opened, _ = self._listener.accept()
                self._sockets.append(opened)
                if self.raw is not None:
                    self.raw(opened)
                else:
                    self._talk(opened)

    def _talk(self, opened):
        self._connection = connection = Connection("server", self.ceiling)
        try:
            while data := opened.recv(65_536):
                for message in connection.receive(data):
                    reply = b"".join(connection.send(m) for m in self._replies(message))
                    with self._changed:
                        self.received.append(message)
                        self._changed.notify_all()
                    if reply:
                        opened.sendall(reply)
        except OSError:
            return
        except ProtocolError as error:
            self.failures.append(error)
        finally:
            opened.close()

    def _replies(self, message):
        if isinstance(message, wire.ClientHello):
            return (wire.ServerHello(self._connection.version, self.time_text),)
        if isinstance(message, wire.StartApi):
            return self.greeting
        return self.answer(message)
