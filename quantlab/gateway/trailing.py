"""Trailing stops: where one begins, and how it follows the price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.gateway.matching import trail_level
from quantlab.gateway.orders import is_trailing
from quantlab.gateway.path import Trail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantlab.gateway.charges import Charges
    from quantlab.gateway.orders import Order
    from quantlab.wire.messages import OrderTicket

__all__ = ["begin_trail", "follow", "look_ahead", "revise_trail"]


def _distance(ticket: OrderTicket) -> tuple[float | None, float | None]:
    """Amount of money or fraction of the price by which a stop trails; the other one is None."""
    if ticket.trailing_percent:
        return None, ticket.trailing_percent / 100.0
    return ticket.aux_price, None


def _exact(order: Order, charges: Charges, extreme: float) -> float:
    """Level of one extreme, on the tick; a level at or below zero is never reached."""
    level = trail_level(order.side, extreme, *_distance(order.ticket))
    return charges.worsened(order.column, level, order.side, 0.0, 0.0) if level > 0.0 else 0.0


def begin_trail(order: Order, charges: Charges, base: float | None) -> None:
    """Let a stop trail from a price, or from where it was told to begin; one that trails already goes on."""
    if not is_trailing(order.ticket):
        return
    first = order.ticket.trail_stop_price
    if order.extreme is None and first:
        amount, fraction = _distance(order.ticket)
        back = first - order.side * amount if amount is not None else None
        order.extreme = first / (1.0 + order.side * (fraction or 0.0)) if back is None else back
        order.level = first
    elif order.extreme is None and base is not None:
        order.extreme = base
        order.level = _exact(order, charges, base)


def follow(order: Order, charges: Charges, price: float) -> bool:
    """Move a trailing stop by a price that was seen; False if the price is not the best so far."""
    if order.extreme is None or not order.side * price < order.side * order.extreme:
        return False
    order.extreme = price
    order.level = _exact(order, charges, price)
    return True


def revise_trail(order: Order, charges: Charges, before: OrderTicket) -> None:
    """Bring a trailing stop in line with a changed ticket: with another first level it begins anew, else it goes on."""
    ticket = order.ticket
    if not is_trailing(ticket) or order.extreme is None:
        return
    if ticket.trail_stop_price and ticket.trail_stop_price not in {
        before.trail_stop_price,
        order.shown_level,
    }:
        order.extreme = None
        begin_trail(order, charges, None)
    elif _distance(ticket) != _distance(before):
        order.level = _exact(order, charges, order.extreme)


def look_ahead(order: Order, charges: Charges) -> Trail | None:
    """Give a trailing stop as the path follows it; None while it does not trail."""
    if order.extreme is None or order.level is None:
        return None
    side, (amount, fraction) = order.side, _distance(order.ticket)

    def rough(extremes: NDArray[np.float64]) -> NDArray[np.float64]:
        return extremes + side * amount if amount is not None else extremes * (1.0 + side * (fraction or 0.0))

    return Trail(side, order.extreme, order.level, rough, lambda extreme: _exact(order, charges, extreme))
