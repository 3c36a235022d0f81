"""A small client of the gateway for tests: the protocol's own records over a real socket."""

from __future__ import annotations

import contextlib
import socket

from quantlab.errors import RemoteProtocolError
from quantlab.wire import messages as m
from quantlab.wire.connection import Connection

STOCK = {"security_type": "STK", "exchange": "SMART", "currency": "USD"}


def stock(symbol, **more):
    return m.Contract(symbol=symbol, **(STOCK | more))


def buy(quantity, limit=None, **more):
    return m.OrderTicket("BUY", quantity, "MKT" if limit is None else "LMT", limit_price=limit, **more)


def sell(quantity, limit=None, **more):
    return m.OrderTicket("SELL", quantity, "MKT" if limit is None else "LMT", limit_price=limit, **more)


class Closed(Exception):  # noqa: N818  # what happened, not an error
    """The gateway hung up."""


class TestClient:
    """Sends records, hands out records; waits on the socket, never on a clock."""

    __test__ = False

    def __init__(self, gateway, client_id=1, version=178, timeout=10.0, *, start=True):
        self.socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = Connection("client")
        self.waiting = []
        self.greeting = []
        self.send(m.ClientHello(100, version))
        if start:
            self.hello = self.wait(m.ServerHello)
            self.send(m.StartApi(client_id))
            self.greeting = self.until(lambda x: isinstance(x, m.ErrorMessage) and x.code in {2158, 326})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, *messages):
        self.socket.sendall(b"".join(self.connection.send(x) for x in messages))

    def _read(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError as error:
            raise Closed from error
        if not data:
            raise Closed
        self.waiting += self.connection.receive(data)

    def until(self, good):
        """Messages up to and with the first that is `good`."""
        found = []
        while True:
            while self.waiting:
                found.append(self.waiting.pop(0))
                if good(found[-1]):
                    return found
            self._read()

    def wait(self, kind, **fields):
        """The first message of a kind with these fields; those before it are kept in `passed`."""

        def good(x):
            return isinstance(x, kind) and all(getattr(x, k) == v for k, v in fields.items())

        *self.passed, found = self.until(good)
        return found

    def error(self, code):
        return self.wait(m.ErrorMessage, code=code)

    def ask(self, message, kind, **fields):
        self.send(message)
        return self.wait(kind, **fields)

    def now(self):
        """Simulated time; at top speed, time moves after the answer."""
        return self.ask(m.RequestCurrentTime(), m.CurrentTime).time_s

    def sync(self):
        """Everything that the gateway had to say so far: what comes before an answer that moves no time."""
        self.send(m.RequestIds())
        return self.until(lambda x: isinstance(x, m.NextValidId))[:-1]

    def drive(self, good, limit=10_000):
        """Ask for the time again and again until a message is `good`; the messages on the way."""
        found = []
        for _ in range(limit):
            self.send(m.RequestCurrentTime())
            found += self.sync()
            for k, message in enumerate(found):
                if good(message):
                    self.waiting = found[k + 1 :] + self.waiting
                    return found[: k + 1]
        raise AssertionError(f"nothing good in {limit} steps: {found[-5:]}")

    def is_closed(self):
        with contextlib.suppress(Closed, RemoteProtocolError):
            while True:
                self._read()
        return True
