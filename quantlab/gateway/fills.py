"""What a way to fill is asked for, and in which sequence orders of one moment fill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from quantlab.gateway.grid import CLOSE, Moment
from quantlab.gateway.matching import Match
from quantlab.gateway.orders import MARKET_ON_CLOSE, Order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantlab.barsize import BarSize
    from quantlab.gateway.market import Hours
    from quantlab.wire.messages import OrderTicket

__all__ = ["Event", "Events", "Fills", "Held", "Standing", "closing", "in_turn", "session_of"]


class Event(Enum):
    """What may happen to an order besides a fill."""

    MISSED = "it did not fill at its only chance"
    TRIGGERED = "its stop was touched, and it has not filled yet"
    CHANGED = "something about it is other than before, and has to be kept"


Held = Callable[[int], float]
"""Units held of a column now."""

Standing = Callable[[], list[Order]]
"""Orders that can fill now, oldest first: what fills first changes which others can."""

Events = Iterator[tuple[Order, Match | Event]]
"""What happens at a moment, in turn; each is acted upon before the next one is looked for."""


class Fills(Protocol):
    """A way to fill."""

    def start(self, order: Order, moment: Moment) -> None:
        """Take in an order that came at a moment: say in which session it can first fill."""

    def activate(self, order: Order, moment: Moment, base: float | None) -> None:
        """Take in an order whose parent has just filled, at the price `base`; it can fill in the session of that."""

    def revise(self, order: Order, moment: Moment, before: OrderTicket) -> None:
        """Take in an order that has a new ticket in the place of the one `before`."""

    def refresh(self, order: Order, moment: Moment) -> None:
        """Bring the level of a trailing stop up to a moment."""

    def next(self, orders: Iterable[Order]) -> Moment | None:
        """Next moment, beyond opens and closes of bars that are in the time line anyway, at which something happens."""

    def size(self) -> BarSize | None:
        """Bar size whose opens and closes have to be in the time line while orders stand."""

    def at(self, moment: Moment, standing: Standing, held: Held) -> Events:
        """Yield what happens at a moment."""


def in_turn(orders: list[Order], held: Held) -> Iterator[Order]:
    """Orders in the engine's sequence: exits first, then entries, each in column order.

    Parameters
    ----------
    orders : list of Order
        Those that may fill at one moment.
    held : callable
        Units held of a column now: what fills first changes what is an exit.
    """
    entries = []
    for order in sorted(orders, key=lambda o: (o.column, o.perm_id)):
        position = held(order.column)
        grows = order.quantity * position >= 0.0 or abs(order.quantity) > abs(position)
        if grows:
            entries.append(order)
        elif order.working:
            yield order
    for order in entries:
        if order.working:
            yield order


def session_of(hours: Hours, moment: Moment) -> int:
    """Session in which something happens: that of the bar that closes, or opens, at an instant which is both."""
    if moment.phase == CLOSE:
        return int(hours.close_ns.searchsorted(moment.time_ns, "left"))
    return int(hours.close_ns.searchsorted(moment.time_ns, "right"))


def closing(standing: Standing, held: Held, number: int) -> Iterator[Order]:
    """Orders for the close of a session, in turn."""
    due = [o for o in standing() if o.ticket.order_type == MARKET_ON_CLOSE and o.session <= number]
    return in_turn(due, held)
