"""One client's connection: what it says is looked up in a table and acted upon, and answers go back in order."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from quantlab.errors import ProtocolError
from quantlab.gateway.contracts import Listing, Refusal, in_zone
from quantlab.gateway.faults import AFTER, BEFORE
from quantlab.gateway.requests import HANDLERS, NOT_ANSWERED, RAW_HANDLERS
from quantlab.gateway.watch import Watch
from quantlab.wire.connection import Connection
from quantlab.wire.messages import (
    ClientHello,
    ErrorMessage,
    ManagedAccounts,
    NextValidId,
    ServerHello,
    StartApi,
    Unknown,
)

if TYPE_CHECKING:
    from quantlab.gateway.grid import Moment
    from quantlab.gateway.streams import Stream
    from quantlab.gateway.venue import Venue
    from quantlab.wire.messages import Contract, Message

__all__ = ["Session"]

NOTICES = (
    (2104, "Market data farm connection is OK:simulated"),
    (2106, "HMDS data farm connection is OK:simulated"),
    (2158, "Sec-def data farm connection is OK:simulated"),
)
"""What TWS says at the start of every connection."""


class Session:
    """One client.

    Parameters
    ----------
    venue : Venue
        What it is connected to.
    ceiling : int
        Newest protocol version that is spoken.
    """

    def __init__(self, venue: Venue, ceiling: int) -> None:
        self.venue: Venue = venue
        self.connection = Connection("server", ceiling)
        self.client_id: int | None = None
        self.drives = self.has_asked = False
        self.closing = False
        self.streams: dict[int, Stream] = {}
        self.watch: Watch = Watch(self)
        self._output: list[bytes] = []

    @property
    def is_driving(self) -> bool:
        """Whether time at top speed waits for this client: it follows bars, or has asked for the time."""
        return self.drives or any(s.grid_size is not None for s in self.streams.values())

    # -- in --------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Act upon bytes; what cannot be understood ends the connection, and a notice says why."""
        try:
            for message in self.connection.each(data):
                if self.closing:
                    return
                self._take(message)
        except ProtocolError as error:
            self.venue.notice(f"{self._name()}: {error}")
            self.closing = True

    def _take(self, message: Message) -> None:
        cut = self.venue.faults.cut_at(message)
        if cut == BEFORE:
            self.closing = True
            return
        kept = len(self._output)
        try:
            self._act(message)
        except Exception:  # noqa: BLE001  # a defect here must not end the gateway, nor go unseen
            self.venue.notice(f"{self._name()}: {message!r} failed:\n{traceback.format_exc()}")
            number = getattr(message, "request_id", getattr(message, "order_id", -1))
            self.send(ErrorMessage(int(number), 322, "Error processing request: a defect of the gateway"))
        if cut == AFTER:
            del self._output[kept:]
            self.closing = True

    def _act(self, message: Message) -> None:
        if isinstance(message, ClientHello):
            zone = self.venue.market.zone
            text = f"{in_zone(self.venue.clock.now_ns, zone):%Y%m%d %H:%M:%S %Z}"
            self.send(ServerHello(self.connection.version or 0, text))
        elif isinstance(message, StartApi):
            self._start(message)
        elif isinstance(message, Unknown) and message.message_id in RAW_HANDLERS:
            RAW_HANDLERS[message.message_id](self, message.fields)
        elif isinstance(message, Unknown):
            self.venue.notice(f"{self._name()}: unknown message {message.message_id} {message.fields[:8]!r}")
            self.send(
                ErrorMessage(
                    -1,
                    320,
                    f"Error reading request: message {message.message_id} is not known to this gateway",
                )
            )
        elif type(message) in HANDLERS:
            HANDLERS[type(message)](self, message)
        elif type(message) not in NOT_ANSWERED:
            self.venue.notice(f"{self._name()}: {type(message).__name__} is not answered by this gateway")
            number = getattr(message, "request_id", -1)
            text = f"Error reading request: {type(message).__name__} is not answered by this gateway"
            self.send(ErrorMessage(int(number), 320, text))

    def _start(self, message: StartApi) -> None:
        """Greet a client; one whose id is in use is told so and left."""
        if message.client_id in self.venue.clients:
            self.send(ErrorMessage(-1, 326, "Unable to connect as the client id is already in use."))
            self.closing = True
            return
        self.client_id = message.client_id
        self.venue.clients[message.client_id] = self
        self.send(ManagedAccounts((self.venue.account.name,)))
        self.send(NextValidId(self.venue.desk.next_order_id(message.client_id)))
        for code, text in NOTICES:
            self.send(ErrorMessage(-1, code, text))

    def _name(self) -> str:
        return "a client" if self.client_id is None else f"client {self.client_id}"

    # -- out -------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send a message, or what the faults make of it."""
        if self.closing:
            return
        for each in self.venue.faults.on_send(message, self):
            cut = self.venue.faults.cut_at(each)
            if cut != BEFORE:
                self._output.append(self.connection.send(each))
            if cut is not None:
                self.closing = True
                return

    def refuse(self, request_id: int, refusal: Refusal) -> None:
        """Answer a request with an error."""
        self.send(ErrorMessage(request_id, refusal.code, refusal.text))

    def take_output(self) -> bytes:
        """Give the bytes that are to be written, once."""
        data = b"".join(self._output)
        self._output.clear()
        return data

    # -- for the requests ------------------------------------------------------------------------------

    def listing(self, request_id: int, contract: Contract) -> Listing | None:
        """Find the listing that a request means; one that has no prices, or none at all, is answered with an error."""
        found = self.venue.listings.one(contract)
        if isinstance(found, Refusal):
            self.refuse(request_id, found)
            return None
        return found

    def show(self, moment: Moment) -> None:
        """Send what the client follows, as far as the moment changed it."""
        for stream in list(self.streams.values()):
            for message in stream.at(self.venue.tape, moment):
                self.send(message)
        self.watch.moment_passed(moment)
