"""What the broker says against what the book says: pure, from reports to entries, and to what must not be traded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantlab.live.journal import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from quantlab.broker.events import CompletedOrder, Execution, OrderOpen, PositionHeld
    from quantlab.live.book import Book, WorkingOrder

__all__ = [
    "DEAD",
    "UNITS_TOLERANCE",
    "Report",
    "commission_to_entry",
    "execution_to_entry",
    "foreign_orders",
    "positions_of",
    "positions_to_disagreements",
    "report_to_entries",
    "unknown_orders",
]

DEAD = {"Cancelled": "cancelled", "ApiCancelled": "cancelled", "Inactive": "rejected"}
"""Statuses of completed orders that were not filled, and how they end."""

UNITS_TOLERANCE = 1e-9
"""Units by which two positions may differ."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a broker was asked after a connection, each answered to its end.

    Parameters
    ----------
    open_orders, executions, completed, positions : sequence
        Answers of the broker. An answer that did not come is no answer: there is no report then.
    """

    open_orders: Sequence[OrderOpen]
    executions: Sequence[Execution]
    completed: Sequence[CompletedOrder]
    positions: Sequence[PositionHeld]


def execution_to_entry(book: Book, event: Execution) -> Entry | None:
    """Entry of a fill of ours; None for one that is known, or that is not ours."""
    order = book.order_of(event.order_ref, event.perm_id or 0, (event.client_id, event.order_id))
    if order is None or event.exec_id in book.executions:
        return None
    body = {
        "exec_id": event.exec_id,
        "ref": order.ref,
        "symbol": order.symbol,
        "quantity": event.quantity,
        "price": event.price,
        "time_ns": event.time_ns,
        "order_id": event.order_id,
        "perm_id": event.perm_id or 0,
    }
    return Entry("execution", body, event.exec_id)


def commission_to_entry(book: Book, exec_id: str, amount: float | None, currency: str) -> Entry | None:
    """Entry of what a fill cost; None without an amount, and for one that is known."""
    if amount is None or exec_id in book.commissions:
        return None
    return Entry("commission", {"exec_id": exec_id, "amount": amount, "currency": currency}, exec_id)


def report_to_entries(book: Book, report: Report) -> list[Entry]:
    """Entries that bring the book's orders to what the broker reports: fills first, then ends, then statuses."""
    entries: list[Entry] = []
    for event in report.executions:
        entry = execution_to_entry(book, event)
        if entry is not None and all(e.key != entry.key for e in entries):
            entries.append(entry)
    filled: dict[str, float] = {}
    for entry in entries:
        filled[entry.body["ref"]] = filled.get(entry.body["ref"], 0.0) + entry.body["quantity"]
    for done in report.completed:
        order = book.order_of(done.order_ref, done.perm_id or 0)
        if order is None or order.ended is not None or done.status not in DEAD:
            continue
        if abs(order.remaining - filled.get(order.ref, 0.0)) > UNITS_TOLERANCE:
            body = {"ref": order.ref, "how": DEAD[done.status], "text": done.status_text or done.status}
            entries.append(Entry("ended", body, order.ref))
    for live in report.open_orders:
        order = book.order_of(live.order_ref, live.perm_id or 0, (live.client_id, live.order_id))
        if order is not None and (order.status, order.perm_id) != (live.status, live.perm_id or 0):
            entries.append(
                Entry("status", {"ref": order.ref, "status": live.status, "perm_id": live.perm_id or 0})
            )
    return entries


def unknown_orders(book: Book, report: Report) -> list[WorkingOrder]:
    """Orders of ours that the broker knows nothing of, although it answered everything: they never arrived."""
    known: list[OrderOpen | Execution | CompletedOrder]
    known = [*report.open_orders, *report.executions, *report.completed]
    refs, perms = {e.order_ref for e in known}, {e.perm_id for e in known if e.perm_id}
    return [o for o in book.working() if o.ref not in refs and o.perm_id not in perms and not o.filled]


def foreign_orders(bundle: str, symbols: Iterable[str], report: Report) -> list[OrderOpen]:
    """Open orders of other bundles, programs or people on the bundle's assets."""
    ours, traded = f"QL-{bundle[:8]}-", set(symbols)
    return [o for o in report.open_orders if not o.order_ref.startswith(ours) and o.contract.symbol in traded]


def positions_of(
    events: Iterable[PositionHeld], numbers: Mapping[int, str], account: str
) -> dict[str, float]:
    """Units the broker holds of each of our assets, by contract number; 0 where it names none.

    Parameters
    ----------
    numbers : mapping of int to str
        Contract number to symbol.
    """
    held = dict.fromkeys(numbers.values(), 0.0)
    for event in events:
        symbol = numbers.get(event.contract.con_id)
        if symbol is not None and event.account == account:
            held[symbol] = event.quantity
    return held


def positions_to_disagreements(book: Book, held: Mapping[str, float]) -> dict[str, str]:
    """Assets whose position in the book is not what the broker holds, each with what is said."""
    found = {}
    for symbol, quantity in held.items():
        ours = book.assets[symbol].position
        if abs(ours - quantity) > UNITS_TOLERANCE:
            found[symbol] = (
                f"the broker holds {quantity:g} {symbol}, the bundle's book {ours:g}: a fill that nobody reported, or "
                "somebody else trades this asset in this account"
            )
    return found
