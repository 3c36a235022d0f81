"""Fills by quotes: against bid and ask around the synthetic path, some time after an order could first trade.

When a price is reached is looked up ahead, session by session, and happens when time gets there. Stops are touched by
the path itself, as TWS touches those of stocks by the last price; a trailing stop follows it from corner to corner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.barsize import SECOND_NS
from quantlab.gateway.fills import Event, closing, in_turn, session_of
from quantlab.gateway.grid import FILL, OPEN, Moment, is_among
from quantlab.gateway.matching import at_quote, is_touched, limit_mid
from quantlab.gateway.orders import AT_ONCE, MARKET_ON_CLOSE, is_trailing
from quantlab.gateway.trailing import begin_trail, follow, look_ahead, revise_trail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantlab.barsize import BarSize
    from quantlab.gateway.charges import Charges
    from quantlab.gateway.fills import Events, Held, Standing
    from quantlab.gateway.matching import Match
    from quantlab.gateway.orders import Order
    from quantlab.gateway.tape import Tape
    from quantlab.wire.messages import OrderTicket

__all__ = ["QuoteFills"]


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

    # -- orders come and change ------------------------------------------------------------------------

    def start(self, order: Order, moment: Moment) -> None:
        """Find the session in which the order can first trade, and what will happen to it there."""
        hours = self._tape.market.hours
        self._begin_trail(order, moment, self._tape.price(order.column, moment))
        number = hours.after(moment.time_ns)
        begun = number is not None and hours.open_ns[number] <= moment.time_ns
        if order.ticket.tif == "OPG" and begun and number is not None:
            number += 1
        if number is None or number >= hours.day.size:
            order.session = hours.day.size
            order.due_ns = order.eligible_ns = None
            return
        order.session = number
        self._look(order, number, max(moment.time_ns, int(hours.open_ns[number])))

    def activate(self, order: Order, moment: Moment, base: float | None) -> None:
        """Let an order work from now on, in the session that is open; what closes it, closes the order's chance too."""
        self._begin_trail(order, moment, base)
        order.session = min(session_of(self._tape.market.hours, moment), self._tape.market.hours.day.size - 1)
        self._look(order, order.session, moment.time_ns)

    def revise(self, order: Order, moment: Moment, before: OrderTicket) -> None:
        """Go on with a changed order as if it had come now; a trailing stop keeps what it has seen."""
        self.refresh(order, moment)
        revise_trail(order, self._charges, before)
        self.start(order, moment)

    def refresh(self, order: Order, moment: Moment) -> None:
        """Bring the level of a trailing stop up to a moment."""
        if not (order.working and order.is_stop and is_trailing(order.ticket)) or order.seen_ns is None:
            return
        if moment.time_ns > order.seen_ns:
            best = self._tape.best(order.column, order.side, order.seen_ns, moment.time_ns)
            order.seen_ns = moment.time_ns
            if best is not None:
                follow(order, self._charges, best)

    def _begin_trail(self, order: Order, moment: Moment, base: float | None) -> None:
        if is_trailing(order.ticket) and order.extreme is None:
            begin_trail(order, self._charges, base)
            order.seen_ns = moment.time_ns

    # -- looking ahead ---------------------------------------------------------------------------------

    def _look(self, order: Order, number: int, from_ns: int) -> None:
        """Find what will happen to an order in one session, from an instant on."""
        order.due_ns = order.eligible_ns = None
        closes = int(self._tape.market.hours.close_ns[number])
        if from_ns >= closes or order.ticket.order_type == MARKET_ON_CLOSE:
            return
        first = self._first_trade(order.column, from_ns, closes)
        if first is None:
            return
        arrival = min(first + self._latency_ns, closes - 1)
        order.eligible_ns = first
        if order.is_stop:
            order.due_ns = first if order.ticket.tif in AT_ONCE else self._trigger(order, first, closes)
        elif order.limit is None or order.ticket.tif in AT_ONCE:
            order.due_ns = arrival
        else:
            wanted = limit_mid(order.limit, order.side, self.half_spread)
            order.due_ns = self._tape.first_reach(order.column, wanted, order.side, arrival, closes)

    def _trigger(self, order: Order, from_ns: int, until_ns: int) -> int | None:
        """Find when the stop of an order will be touched."""
        if not is_trailing(order.ticket):
            # A stop is reached from the other side than a limit.
            return self._tape.first_reach(order.column, order.stop or 0.0, -order.side, from_ns, until_ns)
        self.refresh(order, Moment(from_ns, FILL))
        trail = look_ahead(order, self._charges)
        return None if trail is None else self._tape.first_trailed(order.column, trail, from_ns, until_ns)

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

    # -- time ------------------------------------------------------------------------------------------

    def next(self, orders: Iterable[Order]) -> Moment | None:
        """Earliest fill, or touch of a stop, that is known."""
        due = [o.due_ns for o in orders if o.working and o.due_ns is not None]
        return Moment(min(due), FILL) if due else None

    def size(self) -> BarSize | None:
        """No bars fill."""
        return None

    def at(self, moment: Moment, standing: Standing, held: Held) -> Events:
        """Yield what happens now; at a session's open, look ahead for what stands from the session before."""
        hours = self._tape.market.hours
        if moment.phase == OPEN:
            number = hours.at(moment.time_ns)
            if number is not None and hours.open_ns[number] == moment.time_ns:
                for order in standing():
                    if order.due_ns is None and order.session < number:
                        self._look(order, number, moment.time_ns)
                        yield order, Event.CHANGED
        elif moment.phase == FILL:
            for order in in_turn([o for o in standing() if o.is_due(moment)], held):
                yield from self._due(order, moment)
        elif is_among(hours.close_ns, moment.time_ns):
            for order in closing(standing, held, session_of(hours, moment)):
                match = self._at_close(order, moment.time_ns)
                if match is not None:
                    yield order, match

    def _due(self, order: Order, moment: Moment) -> Events:
        """Let an order meet the quotes; one whose stop is touched meets them later."""
        if order.is_stop:
            yield order, self._touch(order, moment)
            return
        mid = self._tape.price(order.column, moment)
        reference = self._tape.price(order.column, Moment(order.eligible_ns or 0, FILL))
        match = None
        if mid is not None and reference is not None:
            match = self._quoted(order, mid, reference)
        if match is not None or order.ticket.tif in AT_ONCE:
            yield order, match or Event.MISSED

    def _touch(self, order: Order, moment: Moment) -> Event:
        """Make of a stop what it becomes, unless it had this chance only and the price is not there."""
        if order.ticket.tif in AT_ONCE:
            price = self._tape.price(order.column, moment)
            if price is None or order.stop is None or not is_touched(order.side, order.stop, price):
                return Event.MISSED
        self.refresh(order, moment)
        order.triggered = True
        self._look(order, session_of(self._tape.market.hours, moment), moment.time_ns)
        return Event.TRIGGERED

    def _at_close(self, order: Order, close_ns: int) -> Match | None:
        """Fill at the close of a session, if the asset has one then."""
        bar = self._tape.closed(order.column, self._tape.market.size, close_ns)
        return None if bar is None else self._quoted(order, bar.close, bar.close)

    def _quoted(self, order: Order, mid: float, reference: float) -> Match | None:
        return at_quote(
            self._charges,
            order.column,
            order.side,
            mid=mid,
            reference=reference,
            half_spread=self.half_spread,
            limit=order.limit,
        )
