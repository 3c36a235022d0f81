"""Layouts: the order of a message's fields on the line, said once and used in both directions.

A layout is a tuple of elements. Each element writes its part of a record as fields and reads it back; an element
that belongs to some versions only says so, and ``at`` leaves out what does not belong to the one that was agreed.
A path such as ``"contract.symbol"`` names a field of a record within the record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from quantlab.errors import LocalProtocolError, RemoteProtocolError
from quantlab.wire.fields import COUNT, SIZE, WHOLE_SIZE, FieldReader, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Element",
    "Empty",
    "Field",
    "Fixed",
    "Flags",
    "Items",
    "Layout",
    "Refuse",
    "Values",
    "When",
    "at",
    "size",
]

NEWEST = 200
"""Newest version that is text in both directions."""

Values = dict[str, Any]
"""What was read so far, by path."""


class Element(Protocol):
    """A part of a layout."""

    @property
    def since(self) -> int:
        """First version that has it."""

    @property
    def until(self) -> int:
        """First version that has it no more."""

    def write(self, record: Any, out: list[str]) -> None:
        """Append the fields of this part of a record."""

    def read(self, values: Values, reader: FieldReader) -> None:
        """Take the fields of this part and keep their values."""

    def at(self, version: int) -> Element:
        """Make the same, without what is inside and not of that version."""


@cache
def _getter(path: str) -> Callable[[Any], Any]:
    return attrgetter(path)


def _written(record: Any, name: str, kind: Kind, value: Any) -> str:
    try:
        return kind.write(value)
    except (ValueError, TypeError, OverflowError):
        raise LocalProtocolError(
            f"{type(record).__name__}: {name} is {value!r}, which cannot be sent; {kind.needed} is needed."
        ) from None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the record."""

    path: str
    kind: Kind
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:
        """Append it."""
        value = _getter(self.path)(record)
        try:
            out.append(self.kind.write(value))
        except (ValueError, TypeError, OverflowError):
            out.append(_written(record, self.path, self.kind, value))

    def read(self, values: Values, reader: FieldReader) -> None:
        """Take it."""
        text = reader.take(self.path)
        try:
            values[self.path] = self.kind.read(text)
        except ValueError:
            raise reader.refused(self.path, self.kind, text) from None

    def at(self, version: int) -> Field:  # noqa: ARG002 - nothing inside
        """Itself."""
        return self


def size(path: str, since: int = 0) -> tuple[Field, Field]:
    """Lay out a quantity: whole units below version 163, which knows no fractions."""
    return Field(path, WHOLE_SIZE, since=since, until=163), Field(path, SIZE, since=max(since, 163))


@dataclass(frozen=True, slots=True)
class Fixed:
    """A field that says nothing: written as it stands, whatever it is when it is read."""

    text: str = ""
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:  # noqa: ARG002 - the record has no say
        """Append it."""
        out.append(self.text)

    def read(self, values: Values, reader: FieldReader) -> None:  # noqa: ARG002 - nothing to keep
        """Take it."""
        reader.take("without meaning")

    def at(self, version: int) -> Fixed:  # noqa: ARG002 - nothing inside
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class Flags:
    """Several flags as the bits of one number, lowest first."""

    paths: tuple[str, ...]
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:
        """Append the number."""
        bits = [bool(_getter(path)(record)) << place for place, path in enumerate(self.paths)]
        out.append(str(sum(bits)))

    def read(self, values: Values, reader: FieldReader) -> None:
        """Take the number; bits that mean nothing here are left alone, as clients do."""
        bits = reader.read(" ".join(self.paths), COUNT)
        values.update({path: bool(bits >> place & 1) for place, path in enumerate(self.paths)})

    def at(self, version: int) -> Flags:  # noqa: ARG002 - nothing inside
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class Items:
    """A count, and as many items.

    Parameters
    ----------
    path : str
        Field of the record, a tuple.
    item : Kind or tuple of Kind or Layout
        What each is: one value, a tuple of values, or a record.
    """

    path: str
    item: Kind | tuple[Kind, ...] | Layout
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:
        """Append the count and the items."""
        items = _getter(self.path)(record)
        out.append(str(len(items)))
        for each in items:
            if isinstance(self.item, Layout):
                self.item.write(each, out)
            elif isinstance(self.item, Kind):
                out.append(_written(record, self.path, self.item, each))
            else:
                if len(each) != len(self.item):
                    raise LocalProtocolError(
                        f"{type(record).__name__}: {self.path} holds {each!r}; each must have {len(self.item)} parts."
                    )
                pairs = zip(self.item, each, strict=True)
                out.extend(_written(record, self.path, kind, value) for kind, value in pairs)

    def read(self, values: Values, reader: FieldReader) -> None:
        """Take the count and the items."""
        count = reader.read(f"number of {self.path}", COUNT)
        if count > reader.left:
            raise RemoteProtocolError(
                f"{reader.what}: {count} {self.path} were announced and {reader.left} fields are left."
            )
        item = self.item
        if isinstance(item, Layout):
            values[self.path] = tuple(item.read(reader) for _ in range(count))
        elif isinstance(item, Kind):
            values[self.path] = tuple(reader.read(self.path, item) for _ in range(count))
        else:
            values[self.path] = tuple(tuple(reader.read(self.path, k) for k in item) for _ in range(count))

    def at(self, version: int) -> Items:
        """Make the same with items of that version."""
        return replace(self, item=self.item.at(version)) if isinstance(self.item, Layout) else self


@dataclass(frozen=True, slots=True)
class When:
    """Elements that are there if a field that came before them says so.

    Parameters
    ----------
    path : str
        The field that decides.
    holds : callable
        From its value to whether they are there.
    elements : tuple of Element
        What is there then.
    """

    path: str
    holds: Callable[[Any], bool]
    elements: tuple[Element, ...]
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:
        """Append them, if they are there."""
        if self.holds(_getter(self.path)(record)):
            for element in self.elements:
                element.write(record, out)

    def read(self, values: Values, reader: FieldReader) -> None:
        """Take them, if they are there."""
        if self.holds(values[self.path]):
            for element in self.elements:
                element.read(values, reader)

    def at(self, version: int) -> When:
        """Make the same with elements of that version."""
        return replace(self, elements=at(self.elements, version))


@dataclass(frozen=True, slots=True)
class Refuse:
    """Stop where a field that came before has a value whose message is not spoken here.

    Parameters
    ----------
    path : str
        The field that decides.
    holds : callable
        From its value to whether it is refused.
    why : str
        A sentence, with what to do.
    """

    path: str
    holds: Callable[[Any], bool]
    why: str
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:  # noqa: ARG002 - nothing is written
        """Raise LocalProtocolError for such a value."""
        value = _getter(self.path)(record)
        if self.holds(value):
            raise LocalProtocolError(f"{type(record).__name__}: {self.path} is {value!r}. {self.why}")

    def read(self, values: Values, reader: FieldReader) -> None:
        """Raise RemoteProtocolError for such a value."""
        if self.holds(values[self.path]):
            raise RemoteProtocolError(f"{reader.what}: {self.path} is {values[self.path]!r}. {self.why}")

    def at(self, version: int) -> Refuse:  # noqa: ARG002 - nothing inside
        """Itself."""
        return self


@dataclass(frozen=True, slots=True)
class Empty:
    """The count of a list that is not spoken here: always 0.

    Parameters
    ----------
    name : str
        What the list holds.
    why : str
        A sentence, with what to do.
    """

    name: str
    why: str
    since: int = 0
    until: int = NEWEST + 1

    def write(self, record: Any, out: list[str]) -> None:  # noqa: ARG002 - a record has no such list
        """Append 0."""
        out.append("0")

    def read(self, values: Values, reader: FieldReader) -> None:  # noqa: ARG002 - nothing to keep
        """Take it, and raise RemoteProtocolError if it is not 0."""
        count = reader.read(f"number of {self.name}", COUNT)
        if count:
            raise RemoteProtocolError(f"{reader.what} has {count} {self.name}. {self.why}")

    def at(self, version: int) -> Empty:  # noqa: ARG002 - nothing inside
        """Itself."""
        return self


def at(elements: tuple[Element, ...], version: int) -> tuple[Element, ...]:
    """Choose the elements that belong to a version."""
    return tuple(e.at(version) for e in elements if e.since <= version < e.until)


@dataclass(frozen=True, slots=True)
class Layout:
    """A record on the line.

    Parameters
    ----------
    record : type
        What is made of the values.
    elements : tuple of Element
        Its parts, in order.
    within : tuple of (str, type)
        Records within the record, by the name of their field.
    """

    record: Callable[..., Any]
    elements: tuple[Element, ...]
    within: tuple[tuple[str, Callable[..., Any]], ...] = ()

    def at(self, version: int) -> Layout:
        """Make the layout of a version."""
        return replace(self, elements=at(self.elements, version))

    def write(self, record: Any, out: list[str]) -> None:
        """Append the fields of a record.

        Raises
        ------
        LocalProtocolError
            For a value that cannot be sent.
        """
        for element in self.elements:
            element.write(record, out)

    def read(self, reader: FieldReader) -> Any:
        """Take the fields of a record and make it.

        Raises
        ------
        RemoteProtocolError
            For fields that are missing or not of their kind.
        """
        values: Values = {}
        for element in self.elements:
            element.read(values, reader)
        if not self.within:
            return self.record(**values)
        parts: dict[str, Values] = {name: {} for name, _ in self.within}
        own: Values = {}
        for path, value in values.items():
            name, dot, inner = path.partition(".")
            if dot:
                parts[name][inner] = value
            else:
                own[name] = value
        return self.record(**own, **{name: record(**parts[name]) for name, record in self.within})
