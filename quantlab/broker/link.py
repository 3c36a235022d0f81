"""The socket under the official client: connected by a deadline, no burst lost, nothing sent by half.

It takes the place of the official client's own connection, which drops a burst of exactly 4096 bytes when
silence follows, sends with calls that may send a part, and loses what arrives with the version.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

from quantlab.errors import NotConnectedError, RemoteProtocolError
from quantlab.wire.frames import FrameReader, frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Link", "open_link"]

CHUNK = 65_536
SEND_TIMEOUT_S = 10.0
"""How long a peer may leave what we send unread before it counts as dead."""

PORTS = "TWS listens on 7497 (paper) or 7496 (real money), IB Gateway on 4002 (paper) or 4001 (real money)"
ENABLE = "'Enable ActiveX and Socket Clients' (Configure, API, Settings)"


class Link:
    """An open socket, in the shape that the official client expects of its connection.

    Parameters
    ----------
    opened : socket
        Connected.
    """

    def __init__(self, opened: socket.socket) -> None:
        self.host, self.port = opened.getpeername()[:2]
        self.frames = FrameReader()
        self.early: tuple[bytes, ...] = ()  # payloads that came together with the version
        self.failure = ""  # why the connection is over, once it is
        self.unsent = False  # whether the last message could not be sent whole
        self.left = False  # whether it was we who ended it
        self._socket: socket.socket | None = opened
        self._lock = threading.Lock()

    # -- what the official client calls ----------------------------------------------------------------------

    def isConnected(self) -> bool:  # noqa: N802  # the official client's name
        """Whether the socket is open."""
        return self._socket is not None

    def sendMsg(self, message: bytes) -> int:  # noqa: N802  # the official client's name
        """Send all of `message`, or note that the connection is lost."""
        with self._lock:
            self.unsent = self._socket is None
            if self._socket is None:
                return 0
            try:
                self._socket.sendall(message)
            except OSError as error:
                # A part may be on its way, so nothing can follow it on this socket.
                self.failure, self.unsent = f"sending failed ({error})", True
        if self.unsent:
            self.close()
        return len(message)

    def disconnect(self) -> None:
        """Close the socket."""
        self.close()

    # -- what we call ----------------------------------------------------------------------------------------

    def receive(self) -> bytes:
        """Wait for bytes; empty when the connection is over, with `failure` saying why."""
        while (opened := self._socket) is not None:
            try:
                data = opened.recv(CHUNK)
            except TimeoutError:
                continue  # the timeout is for sending
            except OSError as error:
                self.failure = self.failure or f"the connection broke ({error.strerror or error})"
                return b""
            self.failure = self.failure or ("" if data else "TWS closed the connection")
            return data
        return b""

    def read(self, handle: Callable[[bytes], None]) -> str:
        """Hand every payload to `handle` until the connection is over.

        Returns
        -------
        str
            Why it is over.
        """
        early, self.early = self.early, ()
        for payload in early:
            handle(payload)
        while data := self.receive():
            try:
                payloads = self.frames.feed(data)
            except RemoteProtocolError as error:
                self.failure = f"what came is not TWS's protocol ({error})"
                break
            for payload in payloads:
                handle(payload)
        self.close()
        return self.failure

    def leave(self) -> None:
        """Close the socket because nothing more is wanted; that is no loss."""
        self.left = True
        self.close()

    def close(self) -> None:
        """Close the socket; a reader that waits on it wakes up."""
        with self._lock:
            opened, self._socket = self._socket, None
        if opened is None:
            return
        try:
            opened.shutdown(socket.SHUT_RDWR)
        except OSError:  # the peer was faster
            pass
        finally:
            opened.close()


def open_link(host: str, port: int, versions: tuple[int, int], deadline: float) -> tuple[Link, int, str]:
    """Connect and agree on a version.

    Parameters
    ----------
    host, port
        Where TWS listens.
    versions : tuple of int
        Oldest and newest protocol version to offer.
    deadline : float
        Time of `time.monotonic` by which it must be done.

    Returns
    -------
    tuple of (Link, int, str)
        The open link, the version agreed, and the time that TWS gave.

    Raises
    ------
    NotConnectedError
        Where that did not come to be; says what to do.
    """
    where = f"{host}:{port}"
    link = Link(_connected_socket(host, port, deadline))
    try:
        link.sendMsg(b"API\0" + frame(b"v%d..%d" % versions))
        payload = _first_payload(link, where, deadline)
        version, text = _read_version(payload, where)
    except BaseException:
        link.close()
        raise
    return link, version, text


def _connected_socket(host: str, port: int, deadline: float) -> socket.socket:
    where = f"{host}:{port}"
    try:
        opened = socket.create_connection((host, port), timeout=max(0.001, deadline - time.monotonic()))
    except ConnectionRefusedError as error:
        raise NotConnectedError(
            f"nobody listens on {where}. Start TWS or IB Gateway and log in, tick {ENABLE}, and check the port: "
            f"{PORTS}. Without either, 'quantlab gateway' simulates one."
        ) from error
    except TimeoutError as error:
        raise NotConnectedError(
            f"{where} did not accept a connection in time. Check the address, and that no firewall is between."
        ) from error
    except (OSError, UnicodeError, OverflowError) as error:
        raise NotConnectedError(
            f"{where} cannot be reached: {error}. Check the host and the port; {PORTS}."
        ) from error
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.settimeout(SEND_TIMEOUT_S)
    return opened


def _first_payload(link: Link, where: str, deadline: float) -> bytes:
    """Payload of the answer to our versions; what came after it is kept."""
    opened = link._socket  # noqa: SLF001  # the link is being made
    if opened is None:
        raise NotConnectedError(f"{where}: {link.failure}. {_closed_advice()}")
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        opened.settimeout(left)
        try:
            data = opened.recv(CHUNK)
            payloads = link.frames.feed(data) if data else ()
        except TimeoutError:
            break
        except OSError as error:
            raise NotConnectedError(f"{where} broke the connection ({error}). {_closed_advice()}") from error
        except RemoteProtocolError as error:
            raise NotConnectedError(_stranger(where)) from error
        if not data:
            raise NotConnectedError(f"{where} closed the connection at once. {_closed_advice()}")
        if payloads:
            link.early = tuple(payloads[1:])
            opened.settimeout(SEND_TIMEOUT_S)
            return bytes(payloads[0])
    raise NotConnectedError(
        f"{where} accepted the connection and stays mute. TWS may be waiting for somebody to confirm a dialog "
        "('accept incoming connection', a login, an update), or be still starting; look at its window, add this "
        f"machine to its trusted addresses, or restart it. Perhaps another program has the port: {PORTS}."
    )


def _read_version(payload: bytes, where: str) -> tuple[int, str]:
    fields = payload.decode("utf-8", errors="replace").split("\0")
    if len(fields) >= 5 and fields[0] == "4":  # an error message in place of a version
        raise NotConnectedError(f"{where} refused the connection: {' '.join(f for f in fields[3:] if f)}")
    if len(fields) < 2 or not fields[0].isdigit():
        raise NotConnectedError(_stranger(where))
    return int(fields[0]), fields[1]


def _closed_advice() -> str:
    return (
        f"The API may be off or this machine not trusted: tick {ENABLE}, and add this machine to the trusted "
        "addresses there. If both are set, restart TWS or IB Gateway."
    )


def _stranger(where: str) -> str:
    return f"what listens on {where} does not speak TWS's protocol. Check the port; {PORTS}."
