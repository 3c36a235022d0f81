"""The line to Interactive Brokers: connected by a deadline, one queue of events, answers told from the rest."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any, Self

from quantlab.broker import events as ev
from quantlab.broker.bridge import OLDEST, Bridge, load_bridge
from quantlab.broker.callbacks import Callbacks
from quantlab.broker.clock import Clock, SystemClock
from quantlab.broker.codes import FIRST_REQUEST_ID, advice_of
from quantlab.broker.link import Link, open_link
from quantlab.broker.pacing import HistoryPacing, RateLimit
from quantlab.broker.times import time_of_text
from quantlab.errors import BrokerError, NoAnswerError, NotConnectedError, ParameterError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["CEILING", "Greeting", "Line"]

CEILING = 178
"""Newest protocol version that is offered: the newest that the simulated gateway is tested at."""

NEWEST_TEXT = 200
"""Newest version of the text protocol; above it, numbers and records are binary."""

ID_IN_USE = 326


@dataclass(frozen=True, slots=True)
class Greeting:
    """What TWS said when the line was connected.

    Attributes
    ----------
    server_version : int
        Protocol version that both speak.
    accounts : tuple of str
        Accounts that may be used.
    next_order_id : int
        First order id that may be used.
    time_ns : int or None
        TWS's clock, ns UTC; None where its zone is not told clearly.
    """

    server_version: int
    accounts: tuple[str, ...]
    next_order_id: int
    time_ns: int | None


class Line:
    """A connection, its queue, and what waits for answers. `Client` adds the requests.

    Parameters and errors as in `quantlab.broker.client.Client`.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 4002,
        client_id: int = 1,
        *,
        account: str | None = None,
        ceiling: int = CEILING,
        clock: Clock | None = None,
        messages_per_s: float | None = 45.0,
        allow_orders: bool = False,
    ) -> None:
        _check_place(host, port, client_id)
        if not OLDEST <= ceiling <= NEWEST_TEXT:
            raise ParameterError(
                f"ceiling is {ceiling}; protocol versions {OLDEST} to {NEWEST_TEXT} can be spoken."
            )
        if messages_per_s is not None and not messages_per_s >= 1.0:
            raise ParameterError(
                f"messages_per_s is {messages_per_s!r}; give a number of at least 1, or None for no pacing."
            )
        self.host, self.port, self.client_id = host, port, client_id
        self.allow_orders, self.clock = allow_orders, clock or SystemClock()
        self._account, self._ceiling = account, ceiling
        paced = messages_per_s is not None
        self._rate = RateLimit(int(messages_per_s or 1), 1.0, self.clock) if paced else None
        self._history_pacing = HistoryPacing(self.clock) if paced else None
        self._queue: SimpleQueue[ev.Event] = SimpleQueue()
        self._backlog: deque[ev.Event] = deque()
        self._owed: Counter[type] = Counter()  # answers without a request id that are still to come
        self._ids = itertools.count(FIRST_REQUEST_ID)
        self._bridge: Bridge | None = None
        self._callbacks = Callbacks(self._queue.put)
        self._link: Link | None = None
        self._official: Any = None
        self._reader: Thread | None = None
        self._lost = "it was never made"
        self.accounts: tuple[str, ...] = ()
        self.server_version: int | None = None

    # -- connecting ----------------------------------------------------------------------------------------

    def connect(self, timeout_s: float = 10.0) -> Greeting:
        """Connect, and wait for accounts and the next order id.

        Parameters
        ----------
        timeout_s : float
            By when it must be done.

        Raises
        ------
        NotConnectedError
            Where nobody listens, the peer is mute, closes at once or is no TWS, or the client id is in use;
            says what to do.
        MissingExtraError, BrokerError
            If the official client is not installed, or too old; if the line is connected already.
        """
        if self.connected:
            raise BrokerError(f"{self._where} is connected already; close() it first.")
        self.close()
        self._bridge = load_bridge()
        self._forget_lost_connections()
        deadline = time.monotonic() + timeout_s
        newest = min(self._bridge.max_version, self._ceiling)
        link, version, text = open_link(self.host, self.port, (self._bridge.min_version, newest), deadline)
        try:
            _check_version(self._where, version, newest)
            self._start(link, version, text)
            accounts, order_id = self._greeted(deadline)
        except BaseException:
            link.leave()
            raise
        self.accounts, self.server_version = accounts, version
        return Greeting(version, accounts, order_id, time_of_text(text))

    def _start(self, link: Link, version: int, text: str) -> None:
        """Hand the link to the official client, start to read, and start the API."""
        bridge, callbacks = self._loaded, self._callbacks
        official = bridge.make_client(callbacks, link, server=(version, text), client_id=self.client_id)
        handle = callbacks.guard(bridge.interpreter(official))
        self._link, self._official = link, official
        self._owed.clear()
        self._reader = Thread(
            target=_read, args=(link, handle, self._queue.put), name=f"ib-{self.client_id}", daemon=True
        )
        self._reader.start()
        with suppress(NotConnectedError):  # the reader tells it, with what came before
            self._send(official.startApi)

    def _greeted(self, deadline: float) -> tuple[tuple[str, ...], int]:
        """Accounts and next order id; other events are kept for `next`."""
        accounts, order_id = None, None
        said: list[str] = []
        while accounts is None or order_id is None:
            event = self._pull(deadline)
            match event:
                case ev.Accounts():
                    accounts = event.accounts
                case ev.NextOrderId():
                    order_id = event.order_id
                case ev.Disconnected():
                    raise NotConnectedError(self._turned_away(event.reason, said))
                case ev.Notice(code=code) if code == ID_IN_USE:
                    raise NotConnectedError(self._turned_away("", [event.text]))
                case ev.Notice(severity="connection"):
                    said.append(f"{event.code}: {event.text}")
                case None:
                    raise NotConnectedError(
                        f"{self._where} agreed on a version and then sent "
                        f"{'no accounts' if accounts is None else 'no order id'} in time. TWS may be waiting for "
                        "somebody to confirm a dialog, or is still logging in; look at its window."
                        + (f" It said: {'; '.join(said)}" if said else "")
                    )
            if event is not None:
                self._backlog.append(event)
        return accounts, order_id

    def _turned_away(self, reason: str, said: list[str]) -> str:
        text = f" ({'; '.join(said) or reason})" if said or reason else ""
        guess = (
            "" if said else "Most often that means that the client id is in use, or TWS locked or closing. "
        )
        return (
            f"{self._where} turned client id {self.client_id} away{text}. {guess}{advice_of(ID_IN_USE)} After a "
            "crash, TWS frees the id within seconds."
        )

    def _forget_lost_connections(self) -> None:
        """Keep unread events of an earlier connection, but not that it was lost: this is a new one."""
        while not self._queue.empty():
            self._backlog.append(self._queue.get())
        kept = [e for e in self._backlog if not isinstance(e, ev.Disconnected)]
        self._backlog.clear()
        self._backlog.extend(kept)

    def close(self) -> None:
        """Close the connection, if there is one; events that came before can still be read."""
        link, self._link, self._official = self._link, None, None
        if link is not None:
            self._lost = link.failure or "it was closed by close()"
            link.leave()
        if self._reader is not None and self._reader.ident != get_ident():
            self._reader.join(timeout=1.0)
            self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the connection is open, as far as this side knows."""
        return self._link is not None and self._link.isConnected()

    @property
    def account(self) -> str:
        """The account that orders go to: the one given, or the only one there is; empty if neither."""
        return self._account or (self.accounts[0] if len(self.accounts) == 1 else "")

    @property
    def _where(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def _loaded(self) -> Bridge:
        if self._bridge is None:
            self._bridge = load_bridge()
        return self._bridge

    # -- events --------------------------------------------------------------------------------------------

    def next(self, timeout_s: float) -> ev.Event | None:
        """Give the next event, or None if none comes within `timeout_s` seconds.

        Events that came while an answer was waited for, and did not belong to it, come first, in order.
        """
        if self._backlog:
            return self._backlog.popleft()
        return self._pull(time.monotonic() + timeout_s)

    def _pull(self, deadline: float) -> ev.Event | None:
        """Next event from the queue itself."""
        try:
            event = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return None
        kind = type(event)
        if self._owed[kind] > 0:
            self._owed[kind] -= 1
        return event

    # -- sending and asking --------------------------------------------------------------------------------

    def _send(self, request: Callable[..., Any], *args: Any, answer: type | None = None) -> None:
        """Call a request of the official client.

        Parameters
        ----------
        request : callable
            The request.
        *args
            What it takes.
        answer : type, optional
            Event that ends its answer, where that names no request.

        Raises
        ------
        NotConnectedError
            If there is no connection, or sending broke it.
        BrokerError
            If the official client refuses; nothing was sent.
        """
        link, callbacks = self._link, self._callbacks
        if link is None or not link.isConnected():
            raise NotConnectedError(self._not_connected())
        if self._rate is not None:
            self._rate.take()
        callbacks.refusals.clear()
        callbacks.sender = get_ident()
        try:
            request(*args)
        finally:
            callbacks.sender = 0
        if link.unsent or (callbacks.refusals and not link.isConnected()):
            raise NotConnectedError(self._not_connected())
        if callbacks.refusals:
            raise BrokerError(
                f"the installed ibapi {self._loaded.version} refused the request: {callbacks.refusals[0]}"
            )
        if answer is not None:
            self._owed[answer] += 1

    def _not_connected(self) -> str:
        reason = self._lost if self._link is None else self._link.failure or "it was lost"
        return f"there is no connection to {self._where}: {reason}. Call connect()."

    def _collect(
        self,
        what: str,
        kind: type,
        end: type,
        timeout_s: float,
        *,
        request_id: int | None = None,
        cancel: Callable[[], None] | None = None,
    ) -> list[Any]:
        """Wait for an answer to the end; everything else is set aside for `next`, in order.

        Parameters
        ----------
        what : str
            What was asked, for messages.
        kind, end : type
            Events that make the answer, and the one that ends it (itself in the list if it is of `kind`).
        timeout_s : float
            How long to wait.
        request_id : int, optional
            Request that the answer names; without it, the answers to one kind of question come in the order in
            which they were asked.
        cancel : callable, optional
            Called when no answer came.
        """
        deadline = time.monotonic() + timeout_s
        mine: list[Any] = []
        while True:
            event = self._pull(deadline)
            if event is None:
                if cancel is not None and self.connected:
                    cancel()
                raise NoAnswerError(
                    f"{what} got no answer from {self._where} within {timeout_s:g} s, which does not mean that "
                    "there is nothing. Ask again, or connect again if it stays so."
                )
            self._refuse_failure(event, what, request_id)
            if request_id is not None and getattr(event, "request_id", None) != request_id:
                self._backlog.append(event)
            elif isinstance(event, end):
                if request_id is not None or self._owed[end] == 0:
                    return [*mine, event] if kind is end else mine
                # The end of an earlier answer, to somebody who only sent, or no longer waits.
                self._backlog.extend([*mine, event])
                mine = []
            elif isinstance(event, kind):
                mine.append(event)
            else:
                self._backlog.append(event)

    def _refuse_failure(self, event: ev.Event, what: str, request_id: int | None) -> None:
        """Raise for an event that says that the answer will not come."""
        if isinstance(event, ev.Disconnected):
            self._backlog.append(event)
            raise NotConnectedError(
                f"the connection to {self._where} was lost while {what} was waited for: {event.reason}. "
                "Call connect()."
            )
        if isinstance(event, ev.Notice) and event.severity == "request":
            about = ev.GENERAL if request_id is None else request_id
            if event.request_id == about:
                raise RequestError(event.code, event.text, advice_of(event.code))

    def _take_history_turn(self, *request: Any) -> None:
        """Wait until a request of history is allowed."""
        if self._history_pacing is not None:
            contract, what, size, *rest = request
            self._history_pacing.take(contract, what, size, (contract, what, size, *rest))


def _read(link: Link, handle: Callable[[bytes], None], put: Callable[[ev.Event], None]) -> None:
    """Read until the connection is over; what the reading thread does."""
    reason = link.read(handle)
    if not link.left:
        put(ev.Disconnected(reason or "the connection is over"))


def _check_version(where: str, version: int, newest: int) -> None:
    if not OLDEST <= version <= newest:
        raise NotConnectedError(
            f"{where} speaks protocol version {version}; {OLDEST} to {newest} are understood. Update TWS or IB "
            "Gateway."
        )


def _check_place(host: str, port: int, client_id: int) -> None:
    if not host or not isinstance(port, int) or not 0 < port < 65_536:
        raise ParameterError(
            f"{host!r} and port {port!r} name no place; give a host and a port from 1 to 65535."
        )
    if not isinstance(client_id, int) or not 0 <= client_id < 2**31:
        raise ParameterError(f"client id {client_id!r} is not a whole number from 0 up; give another.")
