"""An entry of the tables: one message, its id, and its layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantlab.wire.layout import Layout

__all__ = ["Spoken"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One message.

    Parameters
    ----------
    message_id : int
        The first field on the line.
    layout : Layout
        The fields after it.
    since : int
        First version that has the message.
    place, texts : int, tuple of str
        Where one id stands for several records: the field (counted after the id) that tells them apart, and
        what it is for this one. No texts: the only record of its id.
    """

    message_id: int
    layout: Layout
    since: int = 0
    place: int = 0
    texts: tuple[str, ...] = ()

    @property
    def record(self) -> Any:
        """The class of the message."""
        return self.layout.record

    def fits(self, fields: list[str]) -> bool:
        """Whether these fields (the id is the first) are of this record."""
        return not self.texts or (len(fields) > self.place + 1 and fields[self.place + 1] in self.texts)
