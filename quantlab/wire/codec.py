"""Messages into payloads and back, by one table a direction."""

from __future__ import annotations

from dataclasses import fields as fields_of
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from quantlab.errors import LocalProtocolError, RemoteProtocolError
from quantlab.wire.fields import INTEGER, FieldReader, join_fields, split_fields
from quantlab.wire.messages import Unknown
from quantlab.wire.to_client import TO_CLIENT
from quantlab.wire.to_server import TO_SERVER

if TYPE_CHECKING:
    from quantlab.wire.layout import Layout
    from quantlab.wire.messages import Message
    from quantlab.wire.spoken import Spoken

__all__ = ["Direction", "decode", "encode", "is_spoken"]

Direction = Literal["to_server", "to_client"]
"""Which way a message goes."""

_TABLES: dict[Direction, tuple[Spoken, ...]] = {"to_server": TO_SERVER, "to_client": TO_CLIENT}

_ENCODE: dict[Direction, dict[type, Spoken]] = {
    direction: {spoken.record: spoken for spoken in table} for direction, table in _TABLES.items()
}
_DECODE: dict[Direction, dict[int, tuple[Spoken, ...]]] = {
    direction: {
        message_id: tuple(s for s in table if s.message_id == message_id)
        for message_id in {s.message_id for s in table}
    }
    for direction, table in _TABLES.items()
}


@cache
def _layout(direction: Direction, record: Any, version: int) -> Layout:
    return _ENCODE[direction][record].layout.at(version)


def is_spoken(message: object, direction: Direction) -> bool:
    """Whether a message is one that goes this way."""
    return type(message) is Unknown or type(message) in _ENCODE[direction]


def encode(message: Message, direction: Direction, version: int) -> bytes:
    """Write a message as a payload.

    A client's message is refused if it says what this version has no field for: an order must arrive as it was
    meant. A server's message leaves such fields out, as TWS does for older clients.

    Parameters
    ----------
    message : Message
        One of ``quantlab.wire.messages``.
    direction : {"to_server", "to_client"}
        Which way it goes.
    version : int
        The version that was agreed.

    Returns
    -------
    bytes
        The payload, without its length.

    Raises
    ------
    LocalProtocolError
        For a message that does not go this way, or that cannot be said.
    """
    out: list[str] = []
    if isinstance(message, Unknown):
        if message.message_id in _DECODE[direction]:
            raise LocalProtocolError(
                f"message {message.message_id} is known; send its record instead of {message!r}."
            )
        if any("\0" in text for text in message.fields):
            raise LocalProtocolError(f"{message!r} has a zero byte, which ends a field. Take it out.")
        out = [str(int(message.message_id)), *message.fields]
    else:
        record: Any = type(message)
        spoken = _ENCODE[direction].get(record)
        if spoken is None:
            raise LocalProtocolError(
                f"{type(message).__name__} is no message {direction.replace('_', ' the ')}."
            )
        if version < spoken.since:
            raise LocalProtocolError(
                f"{type(message).__name__} exists since version {spoken.since}; {version} was agreed."
            )
        out.append(str(spoken.message_id))
        _layout(direction, record, version).write(message, out)
    payload = _join(message, out)
    if direction == "to_server":
        _check_complete(message, payload, version)
    return payload


def _join(message: Message, out: list[str]) -> bytes:
    try:
        return join_fields(out)
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"{type(message).__name__} cannot be written as UTF-8: {error}.") from None


def _differences(sent: Any, arrived: Any, prefix: str = "") -> list[str]:
    found = []
    for each in fields_of(sent):
        ours, theirs = getattr(sent, each.name), getattr(arrived, each.name)
        if ours == theirs:
            continue
        if hasattr(ours, "__dataclass_fields__"):
            found += _differences(ours, theirs, f"{prefix}{each.name}.")
        else:
            found.append(f"{prefix}{each.name}={ours!r}")
    return found


def _check_complete(message: Message, payload: bytes, version: int) -> None:
    arrived = decode(payload, "to_server", version)
    if arrived != message:
        lost = ", ".join(_differences(message, arrived))
        raise LocalProtocolError(
            f"{type(message).__name__} at version {version} cannot carry {lost}."
            " Leave it at its default, or agree on a newer version."
        )


def decode(payload: bytes, direction: Direction, version: int) -> Message:
    """Read a payload as a message.

    Parameters
    ----------
    payload : bytes
        Without its length.
    direction : {"to_server", "to_client"}
        Which way it came.
    version : int
        The version that was agreed.

    Returns
    -------
    Message
        ``Unknown`` for an id that is not in the table.

    Raises
    ------
    RemoteProtocolError
        For what is no message, or has other fields than this version.
    """
    fields = split_fields(payload)
    message_id = FieldReader("a message", fields).read("message id", INTEGER)
    candidates = [s for s in _DECODE[direction].get(message_id, ()) if version >= s.since]
    if not candidates:
        return Unknown(message_id, tuple(fields[1:]))
    spoken = next((s for s in candidates if s.fits(fields)), None)
    if spoken is None:
        raise RemoteProtocolError(
            f"message {message_id} of a kind that does not exist: {fields[1:4]!r} at its beginning."
        )
    reader = FieldReader(spoken.record.__name__, fields, first=1)
    message = _layout(direction, spoken.record, version).read(reader)
    if reader.left:
        raise RemoteProtocolError(
            f"{reader.what} has {len(fields)} fields, {reader.left} more than it has at version {version}."
            " The peer writes another version than the one that was agreed."
        )
    return cast("Message", message)
