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
    "open_to_resize",
    "positions_of",
    "positions_to_disagreements",
    "report_to_entries",
    "strange_orders",
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
    if order is None or event.exec_id in book.seen:
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
            entries.append(Entry("ended", body))
    for live in report.open_orders:
        order = book.order_of(live.order_ref, live.perm_id or 0, (live.client_id, live.order_id))
        resized = None if order is None else open_to_resize(order, live)
        entries += [resized] if resized is not None else []
        if order is not None and (order.status, order.perm_id) != (live.status, live.perm_id or 0):
            entries.append(
                Entry("status", {"ref": order.ref, "status": live.status, "perm_id": live.perm_id or 0})
            )
    return entries


def open_to_resize(order: WorkingOrder, event: OrderOpen) -> Entry | None:
    """Entry of a protective order of which the broker has other units than the book; None where they agree."""
    if not order.is_protective or order.ended is not None:
        return None
    if event.quantity == order.quantity or event.quantity * order.quantity <= 0.0:
        return None
    return Entry("resized", {"ref": order.ref, "quantity": event.quantity})


def unknown_orders(book: Book, report: Report) -> tuple[list[WorkingOrder], list[WorkingOrder]]:
    """Tell orders of ours that never arrived from those that were at the broker and are gone.

    Returns
    -------
    lost : list of WorkingOrder
        The broker knows nothing of them, although it answered everything.
    gone : list of WorkingOrder
        They have been there, and are not open any more: cancelled or expired, what they filled is in the executions.
    """
    is_open = {o.order_ref for o in report.open_orders} | {o.perm_id for o in report.open_orders if o.perm_id}
    known: list[Execution | CompletedOrder] = [*report.executions, *report.completed]
    seen = {e.order_ref for e in known} | {e.perm_id for e in known if e.perm_id}
    missing = [o for o in book.working() if o.ref not in is_open and o.perm_id not in is_open]
    gone = [o for o in missing if o.status or o.filled or o.ref in seen or o.perm_id in seen]
    return [o for o in missing if o not in gone], gone


def strange_orders(book: Book, symbols: Iterable[str], account: str, report: Report) -> dict[str, str]:
    """Assets on which something stands or happened that the journal does not know, each with what it is.

    Open orders of other bundles, programs or people; and orders, fills and finished orders that carry the bundle's own
    name though the journal never heard of them: it was lost, or copied.
    """
    ours, traded = f"QL-{book.bundle[:8]}-", set(symbols)
    found: dict[str, str] = {}
    items: list[OrderOpen | Execution | CompletedOrder]
    items = [*report.open_orders, *report.executions, *report.completed]
    for item in items:
        contract = item.contract
        if (
            item.account != account
            or contract.symbol not in traded
            or contract.security_type in {"OPT", "FOP"}
        ):
            continue
        if item.order_ref.startswith(ours) and item.order_ref not in book.orders:
            found[contract.symbol] = (
                f"the broker has {item.order_ref}, which this journal does not know: it was lost, or the bundle was "
                "copied"
            )
    for order in report.open_orders:
        mine = order.order_ref.startswith(ours) or order.contract.symbol not in traded
        if not mine and order.account == account and order.contract.security_type not in {"OPT", "FOP"}:
            found[order.contract.symbol] = (
                f"an order of somebody else stands on it ({order.quantity:+g}, reference {order.order_ref or 'none'}); "
                "one bundle owns an asset"
            )
    return found


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
