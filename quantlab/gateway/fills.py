"""When orders fill: at the opens of bars as the engine does it, or against quotes some time after they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from quantlab.barsize import SECOND_NS
from quantlab.gateway.grid import CLOSE, FILL, OPEN, Moment, is_among
from quantlab.gateway.matching import Match, at_limit, at_open, at_quote, limit_mid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from quantlab.barsize import BarSize
    from quantlab.gateway.charges import Charges
    from quantlab.gateway.orders import Order
    from quantlab.gateway.tape import Tape

__all__ = ["BarFills", "Fills", "QuoteFills", "in_turn"]

AT_ONCE = frozenset({"IOC", "FOK", "OPG"})
"""Times in force of orders that fill at their first chance or are cancelled."""


class Fills(Protocol):
    """A way to fill."""

    def start(self, order: Order, moment: Moment) -> None:
        """Take in an order that came, or changed, at a moment: say in which session it can first fill."""

    def next(self, orders: Iterable[Order]) -> Moment | None:
        """Next moment, beyond opens and closes of bars that are in the time line anyway, at which an order fills."""

    def size(self) -> BarSize | None:
        """Bar size whose opens and closes have to be in the time line while orders stand."""

    def at(
        self, moment: Moment, orders: list[Order], held: Callable[[int], float]
    ) -> Iterator[tuple[Order, Match | None]]:
        """Yield what fills at a moment, in turn; None for an order that missed its only chance."""


def in_turn(orders: list[Order], held: Callable[[int], float]) -> Iterator[Order]:
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


class BarFills:
    """Fill at the open of the next bar that the asset has, limits also inside the bar: the engine's rule.

    Parameters
    ----------
    tape : Tape
        Prices.
    charges : Charges
        Slippage, spread and tick.
    size : BarSize
        Of the bars that fill.
    """

    def __init__(self, tape: Tape, charges: Charges, size: BarSize) -> None:
        self._tape, self._charges, self._size = tape, charges, size
        self._grid = tape.grid(size)

    def start(self, order: Order, moment: Moment) -> None:
        """Find the session of the next open."""
        hours = self._tape.market.hours
        order.bar_open_ns = None
        found: Moment | None = moment
        while found is not None:
            found = self._grid.after(found)
            if found is not None and found.phase == OPEN:
                break
        number = None if found is None else hours.at(found.time_ns)
        order.session = hours.day.size if number is None else number

    def next(self, orders: Iterable[Order]) -> Moment | None:  # noqa: ARG002  # every fill is at an open or a close
        """Nothing beyond the bars."""
        return None

    def size(self) -> BarSize | None:
        """Size of the bars that fill."""
        return self._size

    def at(
        self, moment: Moment, orders: list[Order], held: Callable[[int], float]
    ) -> Iterator[tuple[Order, Match | None]]:
        """Yield what fills at an open, or at a limit inside the bar that closes."""
        time_ns = moment.time_ns
        if moment.phase == OPEN and self._grid.opens_at(time_ns):
            begins = is_among(self._tape.market.hours.open_ns, time_ns)
            for order in in_turn(orders, held):
                if order.ticket.tif == "OPG" and not begins:
                    continue
                opened = self._tape.opening(order.column, self._size, time_ns)
                if opened is None:
                    continue
                order.bar_open_ns = time_ns
                match = at_open(self._charges, order.column, order.side, opened, order.limit)
                if match is not None or order.ticket.tif in AT_ONCE:
                    yield order, match
        elif moment.phase == CLOSE and self._grid.closes_at(time_ns):
            for order in in_turn([o for o in orders if o.limit is not None], held):
                match = self._inside(order, time_ns)
                if match is not None:
                    yield order, match

    def _inside(self, order: Order, close_ns: int) -> Match | None:
        """Fill of a limit that stood for the whole bar."""
        bar = self._tape.closed(order.column, self._size, close_ns)
        if bar is None or order.limit is None or order.bar_open_ns != bar.open_ns:
            return None
        extreme = bar.low if order.side > 0 else bar.high
        return at_limit(order.side, bar.open, extreme, order.limit)


class QuoteFills:
    """Fill against bid and ask around the synthetic path, some time after the order could first trade.

    Parameters
    ----------
    tape : Tape
        Prices.
    charges : Charges
        Tick.
    spread_bps : float
        Bid-ask spread, hundredths of a percent of the price.
    latency_s : float
        Simulated seconds between the first chance to trade and the quotes that the order meets.
    """

    def __init__(self, tape: Tape, charges: Charges, spread_bps: float, latency_s: float) -> None:
        self._tape, self._charges = tape, charges
        self.half_spread = spread_bps / 20_000.0
        self._latency_ns = round(latency_s * SECOND_NS)

    def start(self, order: Order, moment: Moment) -> None:
        """Find the session in which the order can first trade, and when it will fill there."""
        hours = self._tape.market.hours
        order.due_ns = order.eligible_ns = None
        number = hours.after(moment.time_ns)
        begun = number is not None and hours.open_ns[number] <= moment.time_ns
        if order.ticket.tif == "OPG" and begun and number is not None:
            number += 1
        if number is None or number >= hours.day.size:
            order.session = hours.day.size
            return
        order.session = number
        self._look(order, number, max(moment.time_ns, int(hours.open_ns[number])))

    def _look(self, order: Order, number: int, from_ns: int) -> None:
        """Look ahead in one session."""
        closes = int(self._tape.market.hours.close_ns[number])
        first = self._first_trade(order.column, from_ns, closes)
        if first is None:
            return
        arrival = min(first + self._latency_ns, closes - 1)
        order.eligible_ns = first
        limit = order.limit
        if limit is None or order.ticket.tif in AT_ONCE:
            order.due_ns = arrival
        else:
            wanted = limit_mid(limit, order.side, self.half_spread)
            order.due_ns = self._tape.first_reach(order.column, wanted, order.side, arrival, closes)

    def _first_trade(self, column: int, from_ns: int, until_ns: int) -> int | None:
        """First instant at which an asset has a bar."""
        if self._tape.trades_at(column, from_ns):
            return from_ns
        own = self._tape.market.series(self._tape.market.size)
        row = int(own.open_ns.searchsorted(from_ns))
        while row < own.open_ns.size and own.open_ns[row] < until_ns:
            if self._tape.trades_at(column, int(own.open_ns[row])):
                return int(own.open_ns[row])
            row += 1
        return None

    def next(self, orders: Iterable[Order]) -> Moment | None:
        """Earliest fill that is known."""
        due = [o.due_ns for o in orders if o.working and o.due_ns is not None]
        return Moment(min(due), FILL) if due else None

    def size(self) -> BarSize | None:
        """No bars fill."""
        return None

    def at(
        self, moment: Moment, orders: list[Order], held: Callable[[int], float]
    ) -> Iterator[tuple[Order, Match | None]]:
        """Yield what fills now; at a session's open, look ahead for what stands from the session before."""
        hours = self._tape.market.hours
        if moment.phase == OPEN:
            number = hours.at(moment.time_ns)
            if number is not None and hours.open_ns[number] == moment.time_ns:
                for order in orders:
                    if order.due_ns is None and order.session < number:
                        self._look(order, number, moment.time_ns)
        elif moment.phase == FILL:
            for order in in_turn([o for o in orders if o.is_due(moment)], held):
                mid = self._tape.price(order.column, moment)
                reference = self._tape.price(order.column, Moment(order.eligible_ns or 0, FILL))
                match = None
                if mid is not None and reference is not None:
                    match = at_quote(
                        self._charges,
                        order.column,
                        order.side,
                        mid=mid,
                        reference=reference,
                        half_spread=self.half_spread,
                        limit=order.limit,
                    )
                if match is not None or order.ticket.tif in AT_ONCE:
                    yield order, match
