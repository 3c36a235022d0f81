"""Fills by bars, as the engine makes them: at opens, and inside a bar when it has closed.

Each asset goes through a bar in the steps that docs/fills.md states to users. What would open a position, or make it
larger, is an entry here; what is against a position is an exit.

a. entries at a price meet the open;
b. exits at a price meet the open, stops before limits;
c. exits at a price meet the rest of the bar, stops before limits;
d. entries at a price meet the rest of the bar; children of one that fills are covered from there on;
e. trailing stops are moved by the bar's extreme.

Steps a and b happen at the moment of the open, the others at that of the close: nothing else of that close is before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.gateway.fills import Event, closing, in_turn, session_of
from quantlab.gateway.grid import CLOSE, OPEN, Moment, is_among
from quantlab.gateway.groups import children_of
from quantlab.gateway.matching import BY_LIMIT, at_limit, at_open, meet_open, meet_rest
from quantlab.gateway.orders import AT_ONCE, FILLED, MARKET_ON_CLOSE, is_trailing
from quantlab.gateway.trailing import begin_trail, follow, revise_trail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantlab.barsize import BarSize
    from quantlab.gateway.charges import Charges
    from quantlab.gateway.fills import Events, Held, Standing
    from quantlab.gateway.matching import Match, Met
    from quantlab.gateway.orders import Order
    from quantlab.gateway.tape import Bar, Tape
    from quantlab.wire.messages import OrderTicket

__all__ = ["BarFills"]


class BarFills:
    """Fill at the open of the next bar that the asset has, and at a price also inside the bar: the engine's rule.

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

    # -- orders come and change ------------------------------------------------------------------------

    def start(self, order: Order, moment: Moment) -> None:
        """Find the session of the open that comes next, or of the close, for an order that fills there."""
        order.bar_open_ns = None
        begin_trail(order, self._charges, self._tape.price(order.column, moment))
        order.session = self._first_session(order, moment)

    def _first_session(self, order: Order, moment: Moment) -> int:
        hours = self._tape.market.hours
        if order.ticket.order_type == MARKET_ON_CLOSE:
            return int(hours.close_ns.searchsorted(moment.time_ns, "right"))
        if order.ticket.tif == "OPG":
            return int(hours.open_ns.searchsorted(moment.time_ns, "left" if moment.phase < OPEN else "right"))
        found: Moment | None = moment
        while found is not None:
            found = self._grid.after(found)
            if found is not None and found.phase == OPEN:
                break
        number = None if found is None else hours.at(found.time_ns)
        return hours.day.size if number is None else number

    def activate(self, order: Order, moment: Moment, base: float | None) -> None:
        """Let an order work from now on: at a price it meets the open that its parent filled at, else the next one."""
        if order.is_market:
            self.start(order, moment)
            return
        order.bar_open_ns = None
        begin_trail(order, self._charges, base)
        order.session = session_of(self._tape.market.hours, moment)

    def revise(self, order: Order, moment: Moment, before: OrderTicket) -> None:
        """Go on with a changed order: in the bar that has just opened, if it stood there; else from the next one on."""
        revise_trail(order, self._charges, before)
        if order.bar_open_ns is not None and moment == (order.bar_open_ns, OPEN):
            opened = self._tape.opening(order.column, self._size, moment.time_ns)
            # A price that the open is beyond already would fill inside the bar where nobody trades any more.
            if opened is not None and meet_open(order.side, opened, order.terms) == (
                None,
                "",
                order.triggered,
            ):
                return
        self.start(order, moment)

    def refresh(self, order: Order, moment: Moment) -> None:
        """Do nothing: a trailing stop moves when a bar closes."""

    # -- time ------------------------------------------------------------------------------------------

    def next(self, orders: Iterable[Order]) -> Moment | None:  # noqa: ARG002  # every fill is at an open or a close
        """Nothing beyond the bars."""
        return None

    def size(self) -> BarSize | None:
        """Size of the bars that fill."""
        return self._size

    def at(self, moment: Moment, standing: Standing, held: Held) -> Events:
        """Yield what happens at an open, or inside the bar that closes and at its close."""
        if moment.phase == OPEN and self._grid.opens_at(moment.time_ns):
            yield from self._open(moment.time_ns, standing, held)
        elif moment.phase == CLOSE and self._grid.closes_at(moment.time_ns):
            yield from self._close(moment.time_ns, standing, held)

    # -- the open --------------------------------------------------------------------------------------

    def _open(self, time_ns: int, standing: Standing, held: Held) -> Events:
        """Fill market orders, then take each asset through steps a and b."""
        begins = is_among(self._tape.market.hours.open_ns, time_ns)
        for order in in_turn([o for o in standing() if o.is_market and _may_open(o, begins)], held):
            opened = self._tape.opening(order.column, self._size, time_ns)
            if opened is None:
                continue
            order.bar_open_ns = time_ns
            match = at_open(self._charges, order.column, order.side, opened, None)
            if match is not None:
                yield order, match
        for column in sorted({o.column for o in standing() if o.is_at_price}):
            opened = self._tape.opening(column, self._size, time_ns)
            if opened is None:
                continue
            orders = _at_price(standing, column)
            entries = [o for o in orders if not _is_exit(o, held)]
            for order in entries:
                yield from self._meet_open(order, opened, time_ns, begins=begins)
            # Those whose parents have just filled are among them.
            met = {o.perm_id for o in entries}
            for order in _stops_first([o for o in _at_price(standing, column) if o.perm_id not in met]):
                yield from self._meet_open(order, opened, time_ns, begins=begins)

    def _meet_open(self, order: Order, opened: float, time_ns: int, *, begins: bool) -> Events:
        """Let one order meet the open."""
        if not order.working or not _may_open(order, begins):
            return
        order.bar_open_ns = time_ns
        yield order, Event.CHANGED
        met = meet_open(order.side, opened, order.terms)
        match = None
        if met.reference is not None:
            match = at_open(self._charges, order.column, order.side, met.reference, order.limit)
        yield from _told(order, met, match)

    # -- the rest of the bar ---------------------------------------------------------------------------

    def _close(self, time_ns: int, standing: Standing, held: Held) -> Events:
        """Take each asset through steps c to e, then fill orders for the close of the session."""
        for column in sorted({o.column for o in standing() if o.is_at_price}):
            bar = self._tape.closed(column, self._size, time_ns)
            if bar is not None:
                yield from self._pass_bar(column, bar, standing, held)
        hours = self._tape.market.hours
        if not is_among(hours.close_ns, time_ns):
            return
        for order in closing(standing, held, session_of(hours, Moment(time_ns, CLOSE))):
            bar = self._tape.closed(order.column, self._size, time_ns)
            match = None if bar is None else at_open(self._charges, order.column, order.side, bar.close, None)
            if match is not None:
                yield order, match

    def _pass_bar(self, column: int, bar: Bar, standing: Standing, held: Held) -> Events:
        """Take one asset through steps c to e; orders that did not meet the bar's open wait for the next one."""
        stood = [o for o in _at_price(standing, column) if o.bar_open_ns == bar.open_ns]
        exits = [o for o in stood if _is_exit(o, held)]
        for order in _stops_first(exits):
            yield from self._meet_rest(order, bar)
        met = {o.perm_id for o in exits}
        for order in stood:
            if order.perm_id not in met and order.working:
                way = self._met(order, bar).way
                yield from self._meet_rest(order, bar)
                if order.status == FILLED:
                    yield from self._cover_entry(order, way, bar, standing)
        for order in stood:
            gain = bar.low if order.side > 0 else bar.high
            if order.working and is_trailing(order.ticket) and follow(order, self._charges, gain):
                yield order, Event.CHANGED

    def _cover_entry(self, entry: Order, way: str, bar: Bar, standing: Standing) -> Events:
        """Let the children of an entry that filled inside a bar meet what is known to come after it.

        After a limit the extreme on the side of the gain may have come first: only the close is known to be later.
        """
        children = [o for o in children_of(entry, standing()) if o.is_at_price]
        if way == BY_LIMIT:
            bar = bar._replace(high=bar.close) if entry.side > 0 else bar._replace(low=bar.close)
        for order in _stops_first(children):
            if order.ticket.tif not in AT_ONCE:
                yield from self._meet_rest(order, bar)
        gain = bar.high if entry.side > 0 else bar.low
        for order in children:
            if order.working and is_trailing(order.ticket) and follow(order, self._charges, gain):
                yield order, Event.CHANGED

    def _met(self, order: Order, bar: Bar) -> Met:
        dear, cheap = (bar.high, bar.low) if order.side > 0 else (bar.low, bar.high)
        return meet_rest(order.side, dear, cheap, bar.close, order.terms)

    def _meet_rest(self, order: Order, bar: Bar) -> Events:
        """Let one order meet the rest of a bar."""
        if not order.working:
            return
        met = self._met(order, bar)
        match = None
        if met.reference is not None:
            match = (
                at_limit(bar.open, met.reference)
                if met.way == BY_LIMIT
                else at_open(self._charges, order.column, order.side, met.reference, order.limit)
            )
        yield from _told(order, met, match)


def _may_open(order: Order, begins: bool) -> bool:
    """Whether an order may fill at an open that `begins` a session, or does not."""
    return begins or order.ticket.tif != "OPG"


def _at_price(standing: Standing, column: int) -> list[Order]:
    return [o for o in standing() if o.column == column and o.is_at_price]


def _is_exit(order: Order, held: Held) -> bool:
    return order.side * held(order.column) < 0.0


def _stops_first(orders: list[Order]) -> list[Order]:
    """Put stops before limits, and of each the nearest to the price first; at one level a fixed stop goes first."""

    def nearness(order: Order) -> tuple[int, float, bool, int]:
        if order.is_stop:
            return 0, order.side * (order.stop or 0.0), is_trailing(order.ticket), order.perm_id
        return 1, -order.side * (order.limit or 0.0), False, order.perm_id

    return sorted(orders, key=nearness)


def _told(order: Order, met: Met, match: Match | None) -> Events:
    """Yield what came of an order that met a price."""
    touched, order.triggered = met.triggered and not order.triggered, met.triggered
    if match is not None:
        yield order, match
    elif order.ticket.tif in AT_ONCE:
        yield order, Event.MISSED
    elif touched:
        yield order, Event.TRIGGERED
