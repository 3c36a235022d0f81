"""Frames: four bytes of length, most significant first, and as many bytes of payload."""

from __future__ import annotations

from quantlab.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["MAX_PAYLOAD", "FrameReader", "frame"]

MAX_PAYLOAD = 0xFFFFFF
"""Longest payload, bytes: the limit of the official clients."""

_HEAD = 4


def frame(payload: bytes) -> bytes:
    """Put its length in front of a payload.

    Parameters
    ----------
    payload : bytes
        1 to ``MAX_PAYLOAD`` bytes.

    Returns
    -------
    bytes
        What goes over the line.

    Raises
    ------
    LocalProtocolError
        For a payload that is empty or too long.
    """
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise LocalProtocolError(
            f"a message of {len(payload)} bytes cannot be sent; 1 to {MAX_PAYLOAD} are allowed."
            " Ask or answer in smaller parts."
        )
    return len(payload).to_bytes(_HEAD, "big") + payload


class FrameReader:
    """Bytes as they come, made into payloads as soon as each is complete."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes that are waiting for the rest of their frame, or to be taken."""
        return len(self._buffer)

    def append(self, data: bytes) -> None:
        """Keep bytes; none is looked at."""
        self._buffer += data

    def take(self) -> bytes | None:
        """Take the next payload, or None while it is not complete.

        Raises
        ------
        RemoteProtocolError
            For a length of 0 or above ``MAX_PAYLOAD``: nothing after it can be trusted.
        """
        if len(self._buffer) < _HEAD:
            return None
        length = int.from_bytes(self._buffer[:_HEAD], "big")
        if not 0 < length <= MAX_PAYLOAD:
            raise RemoteProtocolError(
                f"a message of {length} bytes was announced; 1 to {MAX_PAYLOAD} are possible."
                " Close the connection: what follows cannot be read."
            )
        if len(self._buffer) < _HEAD + length:
            return None
        payload = bytes(self._buffer[_HEAD : _HEAD + length])
        del self._buffer[: _HEAD + length]
        return payload

    def feed(self, data: bytes) -> tuple[bytes, ...]:
        """Keep bytes and return every payload that is complete with them, oldest first.

        Raises
        ------
        RemoteProtocolError
            As ``take`` does.
        """
        self.append(data)
        payloads = []
        while (payload := self.take()) is not None:
            payloads.append(payload)
        return tuple(payloads)
