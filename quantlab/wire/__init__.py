"""The socket protocol of TWS without a socket: frozen records, and bytes as their other face.

>>> from quantlab.wire import Connection, messages
>>> client, server = Connection("client"), Connection("server")
>>> server.receive(client.send(messages.ClientHello(157, 178)))
(ClientHello(min_version=157, max_version=178, options=''),)

``Connection`` speaks for either end; ``messages`` has every record; ``frames``, ``fields`` and ``codec`` are what
it is built from.
"""

from __future__ import annotations

from quantlab.wire import messages
from quantlab.wire.codec import decode, encode
from quantlab.wire.connection import (
    NEWEST_VERSION,
    OLDEST_VERSION,
    TESTED_CEILING,
    Connection,
    Role,
    State,
)
from quantlab.wire.frames import MAX_PAYLOAD, FrameReader, frame

__all__ = [
    "MAX_PAYLOAD",
    "NEWEST_VERSION",
    "OLDEST_VERSION",
    "TESTED_CEILING",
    "Connection",
    "FrameReader",
    "Role",
    "State",
    "decode",
    "encode",
    "frame",
    "messages",
]
