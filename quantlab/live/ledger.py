"""Journal and book as one: what is recorded is folded at once, and nothing is folded that was not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.live.book import Book

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantlab.live.bundle import Bundle
    from quantlab.live.journal import Entry, Journal

__all__ = ["Ledger"]


class Ledger:
    """The journal of a bundle, and the book that it comes to.

    Parameters
    ----------
    bundle : Bundle
        Whose book it is.
    journal : Journal
        Open for writing; what it holds already is folded.

    Attributes
    ----------
    book : Book
        Read it; only `record` changes it.
    now_ns : int
        The run's clock, which stamps what is recorded.
    """

    def __init__(self, bundle: Bundle, journal: Journal) -> None:
        self.journal = journal
        multipliers = {x.symbol: x.multiplier for x in bundle.instruments}
        self.book = Book.of(bundle.id, bundle.terms.cash, multipliers, journal.entries())
        self.now_ns = 0

    def record(self, *entries: Entry | None) -> None:
        """Write entries in one step, then fold them; None stands for nothing to write."""
        rows = [e for e in entries if e is not None]
        if rows:
            for entry in self.journal.append(rows, self.now_ns):
                self.book.apply(entry)

    def record_all(self, entries: Iterable[Entry]) -> None:
        """Write many entries in one step."""
        self.record(*entries)
