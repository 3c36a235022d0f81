"""Fields: text between zero bytes, and the kinds of values that it stands for.

A kind writes a value as text and reads it back as an equal value. Floats are written by ``repr``, so a float64
survives the line to the bit. What cannot be written or read raises ValueError; who asked says where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from operator import index
from typing import TYPE_CHECKING, Any

from quantlab.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "COUNT",
    "ESCAPED",
    "FLAG",
    "INTEGER",
    "MONEY",
    "NAMES",
    "NUMBER",
    "NUMBER_OR_INFINITY",
    "OPTIONAL_FLAG",
    "OPTIONAL_INTEGER",
    "OPTIONAL_NUMBER",
    "OPTIONAL_SIZE",
    "OPTIONAL_WHOLE_SIZE",
    "SIZE",
    "STRIKE",
    "TEXT",
    "WHOLE_SIZE",
    "FieldReader",
    "Kind",
    "join_fields",
    "split_fields",
]

UNSET_NUMBER = 1.7976931348623157e308
UNSET_INTEGER = 2**31 - 1
LONGEST = 2**63

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\\abfnrtv'\"])")
_WHOLE_BELOW = 1e16


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value: what is needed (in words, for errors), and its two directions."""

    needed: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


# -- text ----------------------------------------------------------------------------------------------


def _write_text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _write_escaped(value: Any) -> str:
    return _write_text(value).encode("unicode_escape").decode("ascii")


def _read_escaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: found[0].encode("ascii").decode("unicode_escape"), text)


def _write_names(value: Any) -> str:
    names = [_write_text(name) for name in value]
    if isinstance(value, str) or any(not name or "," in name for name in names):
        raise ValueError
    return _write_escaped(",".join(names))


def _read_names(text: str) -> tuple[str, ...]:
    return tuple(name for name in _read_escaped(text).split(",") if name)


# -- integers and flags --------------------------------------------------------------------------------


def _write_integer(value: Any) -> str:
    number = int(index(value))
    if not -LONGEST <= number < LONGEST:
        raise ValueError
    return str(number)


def _read_integer(text: str) -> int:
    number = int(text) if _INTEGER.fullmatch(text) else LONGEST
    if not -LONGEST <= number < LONGEST:
        raise ValueError
    return number


def _write_optional_integer(value: Any) -> str:
    if value is None:
        return ""
    if value == UNSET_INTEGER:
        raise ValueError
    return _write_integer(value)


def _read_optional_integer(text: str) -> int | None:
    number = _read_integer(text) if text else None
    return None if number == UNSET_INTEGER else number


def _read_count(text: str) -> int:
    number = _read_integer(text) if text else 0
    if number < 0:
        raise ValueError
    return number


def _write_flag(value: Any) -> str:
    return "1" if value else "0"


def _read_flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError
    return text == "1"


# -- numbers -------------------------------------------------------------------------------------------


def _write_number(value: Any) -> str:
    number = float(value)
    if isinstance(value, str) or not isfinite(number) or number == UNSET_NUMBER:
        raise ValueError
    return repr(number)


def _read_number(text: str) -> float:
    number = float(text) if _NUMBER.fullmatch(text) else float("nan")
    if not isfinite(number) or number == UNSET_NUMBER:
        raise ValueError
    return number


def _write_size(value: Any) -> str:
    text = _write_number(value)
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < _WHOLE_BELOW else text


def _write_whole_size(value: Any) -> str:
    _write_number(value)
    return str(int(float(value)))


def _write_optional_number(value: Any) -> str:
    return "" if value is None else _write_number(value)


def _read_optional_number(text: str) -> float | None:
    if not text:
        return None
    number = float(text) if _NUMBER.fullmatch(text) else float("nan")
    if not isfinite(number):
        raise ValueError
    return None if number == UNSET_NUMBER else number


def _write_money(value: Any) -> str:
    # Clients read an empty field as 0 here; this number is what they take for unset.
    return "1.7976931348623157E308" if value is None else _write_number(value)


def _write_number_or_infinity(value: Any) -> str:
    return "Infinity" if value == float("inf") else _write_optional_number(value)


def _read_number_or_infinity(text: str) -> float | None:
    # ib_async writes the second.
    return float("inf") if text in {"Infinity", "Infinite"} else _read_optional_number(text)


TEXT = Kind("text without zero bytes", _write_text, str)
ESCAPED = Kind("text with escapes such as \\u00e9", _write_escaped, _read_escaped)
NAMES = Kind("names joined by commas", _write_names, _read_names)
INTEGER = Kind("an integer", _write_integer, _read_integer)
OPTIONAL_INTEGER = Kind("an integer or nothing", _write_optional_integer, _read_optional_integer)
COUNT = Kind("a count", _write_integer, _read_count)
FLAG = Kind("0 or 1", _write_flag, _read_flag)
OPTIONAL_FLAG = Kind(
    "0, 1 or nothing",
    lambda value: "" if value is None else _write_flag(value),
    lambda text: _read_flag(text) if text else None,
)
NUMBER = Kind("a finite number", _write_number, _read_number)
OPTIONAL_NUMBER = Kind("a finite number or nothing", _write_optional_number, _read_optional_number)
NUMBER_OR_INFINITY = Kind(
    "a number, Infinity or nothing", _write_number_or_infinity, _read_number_or_infinity
)
MONEY = Kind("a finite number or nothing", _write_money, _read_optional_number)
SIZE = Kind("a finite number", _write_size, _read_number)
WHOLE_SIZE = Kind("a whole number", _write_whole_size, _read_number)
OPTIONAL_WHOLE_SIZE = Kind(
    "a whole number or nothing",
    lambda value: "" if value is None else _write_whole_size(value),
    _read_optional_number,
)
OPTIONAL_SIZE = Kind(
    "a finite number or nothing",
    lambda value: "" if value is None else _write_size(value),
    _read_optional_number,
)
STRIKE = Kind("a finite number or nothing", _write_size, lambda text: _read_number(text or "0"))
"""A strike: nothing is 0, since newer clients send no strike where older ones send 0.0."""


# -- payloads ------------------------------------------------------------------------------------------


def join_fields(fields: list[str]) -> bytes:
    """Fields, each ended by a zero byte.

    Raises
    ------
    ValueError
        For text that UTF-8 has no bytes for (half a surrogate pair).
    """
    return "".join([f"{field}\0" for field in fields]).encode("utf-8")


def split_fields(payload: bytes) -> list[str]:
    """Split a payload into its fields.

    Raises
    ------
    RemoteProtocolError
        When the last one is not ended by a zero byte, or the bytes are no UTF-8.
    """
    if not payload.endswith(b"\0"):
        raise RemoteProtocolError(
            f"a message ends with {payload[-8:]!r}; each field must end with a zero byte."
            " The peer speaks another protocol, or protobuf (server versions above 200)."
        )
    try:
        return payload[:-1].decode("utf-8").split("\0")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError(f"a message is no UTF-8 text: {error}. Close the connection.") from None


class FieldReader:
    """The fields of one message, taken one by one."""

    __slots__ = ("_fields", "_next", "what")

    def __init__(self, what: str, fields: list[str], first: int = 0) -> None:
        self.what, self._fields, self._next = what, fields, first

    @property
    def left(self) -> int:
        """Fields that were not taken."""
        return len(self._fields) - self._next

    def take(self, name: str) -> str:
        """Take the text of the next field.

        Raises
        ------
        RemoteProtocolError
            When there is none.
        """
        try:
            text = self._fields[self._next]
        except IndexError:
            raise RemoteProtocolError(
                f"{self.what} ends after {len(self._fields)} fields, before its field {name}."
                " The peer writes another version than the one that was agreed."
            ) from None
        self._next += 1
        return text

    def read(self, name: str, kind: Kind) -> Any:
        """Take the value of the next field.

        Raises
        ------
        RemoteProtocolError
            When there is none, or its text is not of that kind.
        """
        text = self.take(name)
        try:
            return kind.read(text)
        except ValueError:
            raise self.refused(name, kind, text) from None

    def refused(self, name: str, kind: Kind, text: str) -> RemoteProtocolError:
        """Make the error about a field whose text is not of its kind."""
        return RemoteProtocolError(f"{self.what}: field {name} is {text[:80]!r}; {kind.needed} is needed.")
