"""What goes on being sent: bars kept up to date, bars of five seconds, quotes and single ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quantlab.barsize import SECOND_NS, BarSize
from quantlab.gateway.grid import CLOSE, OPEN, PULSE, Moment
from quantlab.wire.messages import (
    HistoricalDataUpdate,
    RealTimeBar,
    TickByTickBidAsk,
    TickByTickLast,
    TickByTickMidPoint,
    TickPrice,
    TickSize,
    TickString,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.gateway.charges import Charges
    from quantlab.gateway.grid import Grid
    from quantlab.gateway.history import Shape
    from quantlab.gateway.tape import Tape
    from quantlab.wire.messages import Message

__all__ = [
    "FIVE_SECONDS",
    "BarStream",
    "Quote",
    "QuoteStream",
    "RealTimeStream",
    "Stream",
    "TickStream",
    "quote_at",
]

FIVE_SECONDS = BarSize(5, "sec")

BID, ASK, LAST, HIGH, LOW, PREVIOUS, OPENED = 1, 2, 4, 6, 7, 9, 14
BID_SIZE, ASK_SIZE, LAST_SIZE, VOLUME, LAST_TIME = 0, 3, 5, 8, 45
"""Types of ticks."""


@dataclass(frozen=True, slots=True)
class Quote:
    """Bid, ask and the middle they are made from; sizes in units, made up."""

    bid: float
    ask: float
    mid: float
    bid_size: float
    ask_size: float


def quote_at(tape: Tape, charges: Charges, column: int, moment: Moment, half_spread: float) -> Quote | None:
    """Quotes of an asset now; None before its first price."""
    mid = tape.price(column, moment)
    if mid is None:
        return None
    bid = charges.quoted(column, mid, -1, half_spread)
    ask = charges.quoted(column, mid, 1, half_spread)
    # Any number that changes with time and asset; nothing is decided by it.
    mixed = (moment.time_ns // SECOND_NS) * 2_654_435_761 + column * 40_503
    return Quote(bid, ask, mid, 100.0 * (1 + mixed % 9), 100.0 * (1 + mixed // 16 % 9))


@dataclass(slots=True)
class BarStream:
    """Bars kept up to date: the bar in progress again and again, a last time when it has closed."""

    request_id: int
    column: int
    size: BarSize
    shape: Shape
    grid: Grid

    @property
    def grid_size(self) -> BarSize | None:
        """Size whose opens and closes have to be in the time line."""
        return self.size

    @property
    def is_pulsed(self) -> bool:
        """Whether prices between opens and closes matter."""
        return False

    def at(self, tape: Tape, moment: Moment) -> Iterator[Message]:
        """Messages of a moment."""
        time_ns, phase = moment
        bar = None
        if phase == CLOSE:
            if self.grid.closes_at(time_ns):
                bar = tape.closed(self.column, self.size, time_ns)
        elif phase == PULSE or (phase == OPEN and self.grid.opens_at(time_ns)):
            bar = tape.running(self.column, self.size, moment)
        if bar is not None:
            yield HistoricalDataUpdate(self.request_id, self.shape.bar(bar, self.size))


@dataclass(slots=True)
class RealTimeStream:
    """Bars of five seconds, each sent once when it has closed."""

    request_id: int
    column: int
    shape: Shape

    @property
    def grid_size(self) -> BarSize | None:
        """Size whose opens and closes have to be in the time line."""
        return FIVE_SECONDS

    @property
    def is_pulsed(self) -> bool:
        """Whether prices between opens and closes matter."""
        return False

    def at(self, tape: Tape, moment: Moment) -> Iterator[Message]:
        """Messages of a moment."""
        if moment.phase == CLOSE and tape.grid(FIVE_SECONDS).closes_at(moment.time_ns):
            bar = tape.closed(self.column, FIVE_SECONDS, moment.time_ns)
            if bar is not None:
                yield RealTimeBar(self.request_id, bar.open_ns // SECOND_NS, *self.shape.numbers(bar))


@dataclass(slots=True)
class QuoteStream:
    """Bid, ask, last price and volume, every five seconds while there is trading."""

    request_id: int
    column: int
    charges: Charges
    half_spread: float

    @property
    def grid_size(self) -> BarSize | None:
        """Size whose opens and closes have to be in the time line."""
        return None

    @property
    def is_pulsed(self) -> bool:
        """Whether prices between opens and closes matter."""
        return True

    def at(self, tape: Tape, moment: Moment) -> Iterator[Message]:
        """Messages of a moment."""
        if moment.phase == PULSE and tape.trades_at(self.column, moment.time_ns - 1):
            yield from self.all(tape, moment)

    def all(self, tape: Tape, moment: Moment) -> Iterator[Message]:
        """Everything there is now; also out of hours."""
        quote = quote_at(tape, self.charges, self.column, moment, self.half_spread)
        if quote is None:
            return
        yield TickPrice(self.request_id, BID, quote.bid, quote.bid_size, can_auto_execute=True)
        yield TickPrice(self.request_id, ASK, quote.ask, quote.ask_size, can_auto_execute=True)
        yield TickPrice(self.request_id, LAST, quote.mid, 100.0)
        day = tape.running(self.column, BarSize(1, "day"), Moment(max(moment.time_ns - 1, 0), PULSE))
        if day is not None:
            for tick, price in ((HIGH, day.high), (LOW, day.low), (OPENED, day.open)):
                yield TickPrice(self.request_id, tick, price)
            if not np.isnan(day.volume):
                yield TickSize(self.request_id, VOLUME, day.volume)
        before = tape.previous_close(self.column, moment)
        if before is not None:
            yield TickPrice(self.request_id, PREVIOUS, before)
        yield TickString(self.request_id, LAST_TIME, str(moment.time_ns // SECOND_NS))


@dataclass(slots=True)
class TickStream:
    """Single ticks of one kind, one every five seconds: there are no others in the data."""

    request_id: int
    column: int
    kind: str
    charges: Charges
    half_spread: float

    @property
    def grid_size(self) -> BarSize | None:
        """Size whose opens and closes have to be in the time line."""
        return None

    @property
    def is_pulsed(self) -> bool:
        """Whether prices between opens and closes matter."""
        return True

    def at(self, tape: Tape, moment: Moment) -> Iterator[Message]:
        """Messages of a moment."""
        if moment.phase != PULSE or not tape.trades_at(self.column, moment.time_ns - 1):
            return
        time_s = moment.time_ns // SECOND_NS
        if self.kind in {"Last", "AllLast"}:
            bar = tape.closed(self.column, FIVE_SECONDS, moment.time_ns)
            if bar is not None and bar.volume != 0.0:
                size = 0.0 if np.isnan(bar.volume) else bar.volume
                kind = 1 if self.kind == "Last" else 2
                yield TickByTickLast(self.request_id, time_s, bar.close, size, kind)
            return
        quote = quote_at(tape, self.charges, self.column, moment, self.half_spread)
        if quote is None:
            return
        if self.kind == "MidPoint":
            yield TickByTickMidPoint(self.request_id, time_s, quote.mid)
        else:
            yield TickByTickBidAsk(
                self.request_id, time_s, quote.bid, quote.ask, quote.bid_size, quote.ask_size
            )


Stream = BarStream | RealTimeStream | QuoteStream | TickStream
"""Anything that a client may follow."""
