"""Brackets and groups: which orders wait for which, go out together, and end together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.gateway.orders import HELD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from quantlab.gateway.orders import Order

__all__ = [
    "CANCEL_ALL",
    "REDUCE",
    "children_of",
    "counted",
    "join_group",
    "partners_of",
    "released_with",
]

CANCEL_ALL = 1
"""Type of a group in which a fill of a part cancels the others; the other two types reduce them."""

REDUCE = 3
"""Type of group that TWS gives to the children of one parent, and to a group without a type."""


def join_group(order: Order, parent: Order | None) -> None:
    """Hang a new order on its parent and put it into its group.

    The children of one parent are a group by themselves, named by the parent's number, unless they name another.
    """
    if parent is not None:
        order.parent_perm_id, order.waits = parent.perm_id, True
    order.group = order.ticket.oca_group or (str(parent.perm_id) if parent is not None else "")
    if order.group:
        order.group_type = (order.ticket.oca_group and order.ticket.oca_type) or REDUCE


def children_of(order: Order, standing: Iterable[Order]) -> list[Order]:
    """Orders that hang on an order, oldest first."""
    return [o for o in standing if o.parent_perm_id == order.perm_id]


def partners_of(order: Order, standing: Iterable[Order]) -> list[Order]:
    """Other orders of an order's group, oldest first; its own children do not compete with it."""
    if not order.group:
        return []
    others = (o for o in standing if o is not order and o.parent_perm_id != order.perm_id)
    return [o for o in others if o.group == order.group]


def released_with(order: Order, standing: Iterable[Order]) -> list[Order]:
    """Orders that wait to be sent and go out with one that is: its bracket and its group, parents first."""
    held = [o for o in standing if o.status == HELD and o.client_id == order.client_id]
    found = {order.perm_id: order}
    grown = True
    while grown:
        parents = {o.parent_perm_id for o in found.values()} - {0}
        groups = {o.ticket.oca_group for o in found.values()} - {""}
        near = [
            o
            for o in held
            if o.perm_id not in found
            and (
                o.perm_id in parents
                or o.parent_perm_id in parents
                or o.parent_perm_id in found
                or o.ticket.oca_group in groups
            )
        ]
        found |= {o.perm_id: o for o in near}
        grown = bool(near)
    # A parent always has the lower number.
    return sorted(found.values(), key=lambda o: o.perm_id)


def counted(standing: Iterable[Order], held: Callable[[int], float]) -> list[Order]:
    """Orders that may come on top of what is held, as the test of buying power counts them.

    Children close what their parents open; of a group only one order fills; a stop that would close a position may
    never do so.
    """
    alone: list[Order] = []
    largest: dict[str, Order] = {}
    for order in standing:
        closes = order.side * held(order.column) < 0.0
        if order.status == HELD or order.parent_perm_id or (closes and (order.group or order.is_stop)):
            continue
        if not order.group:
            alone.append(order)
        elif order.group not in largest or order.remaining > largest[order.group].remaining:
            largest[order.group] = order
    return [*alone, *largest.values()]
