"""Protective orders as they should be: which cover what is held, which are gone, and what a stop left. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.live.reconcile import UNITS_TOLERANCE

if TYPE_CHECKING:
    from quantlab.live.book import Book, WorkingOrder

__all__ = ["book_to_resizes", "left_by_stop", "lost_protection", "without_position"]


def book_to_resizes(book: Book, symbol: str) -> list[tuple[WorkingOrder, float]]:
    """Protective orders that do not cover what is held, each with the signed units that it should have in all.

    Units that a standing order sells anyway are left out, before it is sent: no two orders may sell the same ones.
    """
    state = book.assets[symbol]
    if state.frozen is not None or abs(state.position) <= UNITS_TOLERANCE:
        return []
    leaving = sum(
        abs(o.remaining)
        for o in book.standing(symbol)
        if o.remaining * state.position < 0.0 and not o.opens and not o.ticket.get("oca_group")
    )
    needed = abs(state.position) - leaving
    if needed <= UNITS_TOLERANCE:
        return []
    found = []
    for order in book.protection(symbol):
        # Children of an order that still fills get what it fills from the broker.
        if book.orders[order.parent].ended is None or order.quantity * state.position > 0.0:
            continue
        side = 1.0 if order.quantity > 0.0 else -1.0
        if abs(abs(order.filled) + needed - abs(order.quantity)) > UNITS_TOLERANCE:
            found.append((order, side * (abs(order.filled) + needed)))
    return found


def left_by_stop(book: Book, symbol: str) -> float:
    """Units that are held although a protective order has filled: they came too late to be covered; else 0."""
    state = book.assets[symbol]
    if abs(state.position) <= UNITS_TOLERANCE or not state.stopped or book.working(symbol):
        return 0.0
    filled = any(o.ended == "filled" for o in book.children(state.bracket))
    opened = book.orders.get(state.bracket)
    # An order that added to a position which was gone when it filled opened one that nothing covers.
    bare = opened is not None and not opened.opens
    return state.position if filled or bare else 0.0


def lost_protection(book: Book, symbol: str) -> str | None:
    """Why a position is not protected as it was sent to be; None if it is, or has nothing to be protected by."""
    state = book.assets[symbol]
    children = book.children(state.bracket)
    # What a stop that has filled left is closed at the market, see `left_by_stop`.
    if abs(state.position) <= UNITS_TOLERANCE or any(o.ended == "filled" for o in children):
        return None
    for order in children:
        if order.ended in {"cancelled", "rejected", "missed"}:
            return (
                f"{state.position:+g} units are held, and their protective order {order.ref} was {order.ended}: look "
                "into TWS, protect or close the position there"
            )
    return None


def without_position(book: Book, symbol: str) -> list[WorkingOrder]:
    """Standing orders that were to add to a position which a protective order has closed meanwhile."""
    state = book.assets[symbol]
    if not state.stopped or abs(state.position) > UNITS_TOLERANCE:
        return []
    return [o for o in book.standing(symbol) if not o.opens and not o.ticket.get("oca_group")]
