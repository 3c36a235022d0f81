"""One end of a connection: bytes in, messages out, and what may be said when.

Rules
-----
Both ends keep the same four states, and three messages move them::

    HELLO  -- ClientHello -->  REPLY  -- ServerHello -->  START  -- StartApi -->  READY

After bytes that make no sense an end is in ERROR, for good. A message that we may not send raises and changes
nothing: no byte of it has left.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Literal

from quantlab.errors import LocalProtocolError, ParameterError, RemoteProtocolError
from quantlab.wire import answers, requests
from quantlab.wire.codec import Direction, decode, encode, is_spoken
from quantlab.wire.fields import split_fields
from quantlab.wire.frames import FrameReader, frame
from quantlab.wire.messages import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.wire.messages import Message

__all__ = ["NEWEST_VERSION", "OLDEST_VERSION", "TESTED_CEILING", "Connection", "Role", "State"]

Role = Literal["client", "server"]
"""Which end this is."""

OLDEST_VERSION = 157
"""Oldest version that is spoken: that of the official client 9.81."""
NEWEST_VERSION = 200
"""Newest version that is text in both directions."""
TESTED_CEILING = 178
"""What is announced unless another ceiling is asked for."""

_PREFIX = b"API\0"
_HELLO = re.compile(r"v([0-9]{1,6})\.\.([0-9]{1,6})(?: (.+))?", re.DOTALL)
_DISPUTED_VERSION = 158
"""Clients do not agree whether orders have a duration at this version."""


class State(Enum):
    """Where a connection is."""

    HELLO = "the client has said nothing"
    REPLY = "the client has said hello"
    START = "the version is agreed"
    READY = "the client has said who it is"
    CLOSED = "closed by us"
    ERROR = "broken by the peer"


_NEXT = {
    (State.HELLO, requests.ClientHello): State.REPLY,
    (State.REPLY, answers.ServerHello): State.START,
    (State.START, requests.StartApi): State.READY,
}
_OPENING: dict[tuple[State, Direction], frozenset[type]] = {
    (State.HELLO, "to_server"): frozenset({requests.ClientHello}),
    (State.HELLO, "to_client"): frozenset(),
    (State.REPLY, "to_server"): frozenset(),
    (State.REPLY, "to_client"): frozenset({answers.ServerHello}),
    (State.START, "to_server"): frozenset({requests.StartApi}),
    # A server that greets without waiting is one of the things that clients meet.
    (State.START, "to_client"): frozenset(
        {answers.ManagedAccounts, answers.NextValidId, answers.ErrorMessage, Unknown}
    ),
}


class Connection:
    r"""One end of the protocol, without a socket.

    What one end sends is what the other receives: an equal record.

    Parameters
    ----------
    role : {"client", "server"}
        Which end this is.
    ceiling : int
        A server agrees to the lower of this and the client's newest version. 157 to 200; tested at 157 and 178.

    Raises
    ------
    ParameterError
        For another role or ceiling.

    Examples
    --------
    >>> server = Connection("server")
    >>> server.receive(b"API\0" + bytes([0, 0, 0, 9]) + b"v100..178")
    (ClientHello(min_version=100, max_version=178, options=''),)
    >>> server.version
    178
    """

    __slots__ = ("_failure", "_hello", "_reader", "_role", "_start", "_state", "_version", "ceiling")

    def __init__(self, role: Role, ceiling: int = TESTED_CEILING) -> None:
        if role not in {"client", "server"}:
            raise ParameterError(f'role is {role!r}; "client" or "server" is needed.')
        if not OLDEST_VERSION <= ceiling <= NEWEST_VERSION:
            raise ParameterError(
                f"ceiling is {ceiling!r}; {OLDEST_VERSION} to {NEWEST_VERSION} are spoken, and"
                f" {OLDEST_VERSION} and {TESTED_CEILING} are tested."
            )
        self._role: Role = role
        self.ceiling = ceiling
        self._state = State.HELLO
        self._version: int | None = None
        self._hello: requests.ClientHello | None = None
        self._reader = FrameReader()
        # What is left of the four bytes that come before the first frame of a client.
        self._start = _PREFIX if role == "server" else b""
        self._failure = ""

    @property
    def role(self) -> Role:
        """Which end this is."""
        return self._role

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._state

    @property
    def version(self) -> int | None:
        """The version that was agreed; a server knows it after the client's hello. None before."""
        return self._version

    @property
    def waiting(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._reader)

    def close(self) -> None:
        """Say no more, and hear no more: the socket is gone. A connection in ERROR stays there."""
        if self._state is not State.ERROR:
            self._state = State.CLOSED

    # -- sending ---------------------------------------------------------------------------------------

    def send(self, message: Message) -> bytes:
        """Give the bytes of a message, which from now on counts as sent.

        Parameters
        ----------
        message : Message
            One that goes this way.

        Returns
        -------
        bytes
            What to write to the socket, whole and in order.

        Raises
        ------
        LocalProtocolError
            For a message that does not go this way, may not be sent in this state, or has a value that the
            version cannot carry. Nothing has changed then.
        """
        direction: Direction = "to_server" if self._role == "client" else "to_client"
        refusal = self._refusal(message, direction)
        if refusal:
            raise LocalProtocolError(refusal)
        if isinstance(message, requests.ClientHello):
            data = self._client_hello(message)
        elif isinstance(message, answers.ServerHello):
            data = self._server_hello(message)
        else:
            data = frame(encode(message, direction, self._agreed()))
        self._state = _NEXT.get((self._state, type(message)), self._state)
        return data

    def _client_hello(self, message: requests.ClientHello) -> bytes:
        words = f"v{message.min_version}..{message.max_version}"
        text = words + (f" {message.options}" if message.options else "")
        if _HELLO.fullmatch(text) is None or not message.options.isascii() or "\0" in text:
            raise LocalProtocolError(
                f"{message!r} cannot be sent; versions 0 to 999999 and ASCII are allowed."
            )
        self._hello = message
        return _PREFIX + frame(text.encode("ascii"))

    def _server_hello(self, message: answers.ServerHello) -> bytes:
        if message.version != self._version:
            raise LocalProtocolError(
                f"version {message.version} was to be announced; {self._version} was agreed: send that."
            )
        if not message.time_text.isascii() or "\0" in message.time_text:
            raise LocalProtocolError(
                f"time_text is {message.time_text!r}; ASCII without zero bytes is needed."
            )
        return frame(f"{message.version}\0{message.time_text}\0".encode("ascii"))

    def _refusal(self, message: object, direction: Direction) -> str:
        """Why a message may not go this way now, or nothing."""
        name = type(message).__name__
        if self._state in {State.CLOSED, State.ERROR}:
            return f"{name} cannot be sent: the connection is {self._state.value}. {self._failure}".strip()
        hello = isinstance(message, requests.ClientHello | answers.ServerHello)
        allowed = _OPENING.get((self._state, direction))
        if allowed is None:
            begun = hello or isinstance(message, requests.StartApi)
            if not begun and is_spoken(message, direction):
                return ""
        elif type(message) in allowed:
            return ""
        if not hello and not is_spoken(message, direction):
            return f"{name} is no message {direction.replace('_', ' the ')}."
        names = ", ".join(sorted(each.__name__ for each in allowed or ())) or (
            "nothing" if allowed is not None else "everything but the opening messages"
        )
        return f"{name} does not fit now: {self._state.value}. Allowed {direction.replace('_', ' the ')}: {names}."

    def _agreed(self) -> int:
        if self._version is None:
            raise LocalProtocolError("no version was agreed yet; the client's hello comes first.")
        return self._version

    # -- receiving -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> tuple[Message, ...]:
        """Every message that is complete with these bytes, oldest first.

        Parameters
        ----------
        data : bytes
            What came, in any pieces.

        Returns
        -------
        tuple of Message
            Empty while nothing is complete.

        Raises
        ------
        RemoteProtocolError
            For what cannot be understood, and ever after. Messages before it in the same bytes are not handed
            out; who wants them takes ``each``.
        LocalProtocolError
            When the connection was closed by us.
        """
        return tuple(self.each(data))

    def each(self, data: bytes) -> Iterator[Message]:
        """As ``receive``, one by one: what comes before nonsense is handed out before the error is raised."""
        if self._state is State.CLOSED:
            raise LocalProtocolError("bytes came after the connection was closed by us. Open a new one.")
        if self._state is State.ERROR:
            raise RemoteProtocolError(self._failure)
        try:
            self._reader.append(self._without_prefix(data))
            while (payload := self._reader.take()) is not None:
                yield self._understood(payload)
        except RemoteProtocolError as error:
            self._failure = str(error)
            self._state = State.ERROR
            raise

    def _without_prefix(self, data: bytes) -> bytes:
        here = min(len(self._start), len(data))
        if data[:here] != self._start[:here]:
            raise RemoteProtocolError(
                f"a connection begins with {data[:16]!r}; a client of TWS begins with {_PREFIX!r}."
                " Something else talks to this port: close the connection."
            )
        self._start = self._start[here:]
        return data[here:]

    def _understood(self, payload: bytes) -> Message:
        direction: Direction = "to_client" if self._role == "client" else "to_server"
        if self._state is State.HELLO and self._role == "server":
            message: Message = self._read_client_hello(payload)
        elif self._state is State.REPLY and self._role == "client":
            message = self._read_server_hello(payload)
        elif self._version is None or self._state is State.REPLY:
            raise RemoteProtocolError(
                f"the peer speaks before the version is agreed: {payload[:40]!r}. It has to wait for the reply."
            )
        else:
            message = decode(payload, direction, self._version)
            refusal = self._refusal(message, direction)
            if refusal:
                raise RemoteProtocolError(refusal)
        self._state = _NEXT.get((self._state, type(message)), self._state)
        return message

    def _read_client_hello(self, payload: bytes) -> requests.ClientHello:
        found = _HELLO.fullmatch(payload.decode("ascii", "replace"))
        if found is None or not payload.isascii():
            raise RemoteProtocolError(
                f"a client's hello is {payload[:40]!r}; b'v100..178' or the like is needed. It is no client of"
                " TWS, or one from before 2012."
            )
        hello = requests.ClientHello(int(found[1]), int(found[2]), found[3] or "")
        version = min(hello.max_version, self.ceiling)
        if version == _DISPUTED_VERSION:
            version -= 1
        if hello.max_version < OLDEST_VERSION:
            raise RemoteProtocolError(
                f"the client speaks versions {hello.min_version} to {hello.max_version}; {OLDEST_VERSION} is the"
                " oldest that is spoken here. Install a newer one: pip install ibapi (9.81) or ibapi-stable."
            )
        if version < hello.min_version:
            raise RemoteProtocolError(
                f"the client speaks no version below {hello.min_version}; {self.ceiling} is the ceiling here."
                " Raise the ceiling, or use an older client."
            )
        self._version = version
        return hello

    def _read_server_hello(self, payload: bytes) -> answers.ServerHello:
        fields = split_fields(payload)
        hello = self._hello
        if hello is None or len(fields) != 2 or re.fullmatch("[0-9]{1,6}", fields[0]) is None:
            raise RemoteProtocolError(
                f"a server's reply is {payload[:40]!r}; a version and a time are needed. It is no TWS."
            )
        version = int(fields[0])
        low, high = max(hello.min_version, OLDEST_VERSION), min(hello.max_version, NEWEST_VERSION)
        if not low <= version <= high:
            raise RemoteProtocolError(
                f"the server announces version {version}; {low} to {high} are possible."
                " Update the older of the two."
            )
        self._version = version
        return answers.ServerHello(version, fields[1])
