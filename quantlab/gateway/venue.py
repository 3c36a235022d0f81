"""The simulated gateway without sockets: market, time, desk, and who is connected."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantlab.barsize import BarSize
from quantlab.gateway.account import Account
from quantlab.gateway.bar_fills import BarFills
from quantlab.gateway.charges import Charges
from quantlab.gateway.clock import DRIVEN, Clock
from quantlab.gateway.contracts import Listings
from quantlab.gateway.desk import Desk
from quantlab.gateway.faults import Faults
from quantlab.gateway.grid import CLOSE, FILL, OPEN, PULSE, Moment, Pulses
from quantlab.gateway.matching import BARS
from quantlab.gateway.quote_fills import QuoteFills
from quantlab.gateway.tape import Tape

if TYPE_CHECKING:
    from quantlab.gateway.market import Market
    from quantlab.gateway.session import Session
    from quantlab.gateway.settings import Settings
    from quantlab.wire.messages import Message

__all__ = ["Venue"]

DAY = BarSize(1, "day")
"""Sessions: their opens and closes are always in the time line."""

KEPT_NOTICES = 1_000


@dataclass(slots=True)
class _Asked:
    """Which of the driving clients have asked for the time since it last moved."""

    sessions: set[Session] = field(default_factory=set)


class Venue:
    """What the sessions share.

    Parameters
    ----------
    market : Market
        Prices.
    settings : Settings
        Options.
    start : Moment
        Where time begins.
    """

    def __init__(self, market: Market, settings: Settings, start: Moment) -> None:
        self.market, self.settings = market, settings
        self.tape = Tape(market)
        self.listings = Listings(market)
        self.charges = Charges(settings.costs, market)
        self.clock = Clock(start, settings.speed)
        instruments = market.base.instruments
        self.account = Account(
            settings.account, settings.cash, instruments[0].currency, [x.multiplier for x in instruments]
        )
        fills = (
            BarFills(self.tape, self.charges, settings.fill_size)
            if settings.fills == BARS
            else QuoteFills(self.tape, self.charges, settings.spread_bps, settings.latency_s)
        )
        self.faults = Faults()
        self.desk: Desk = Desk(
            self.tape,
            self.listings,
            self.charges,
            self.account,
            self.clock,
            fills=fills,
            outbox=self,
            faults=self.faults,
            read_only=settings.read_only,
        )
        self.half_spread = settings.spread_bps / 20_000.0
        self.notices: deque[str] = deque(maxlen=KEPT_NOTICES)
        self.sessions: list[Session] = []
        self.clients: dict[int, Session] = {}
        self._asked = _Asked()
        self._pulses = Pulses(market.hours)

    # -- who is connected ------------------------------------------------------------------------------

    def to(self, client_id: int, message: Message) -> None:
        """Send to a client, if it is connected."""
        session = self.clients.get(client_id)
        if session is not None:
            session.send(message)

    def filled(self, column: int) -> None:
        """Tell who watches the account that a position has changed."""
        for session in list(self.sessions):
            session.watch.position_changed(column)

    def join(self, session: Session) -> None:
        """Count a new connection."""
        self.sessions.append(session)

    def leave(self, session: Session) -> None:
        """Forget a connection that is gone; its client id is free, and nobody waits for it."""
        if session in self.sessions:
            self.sessions.remove(session)
        if session.client_id is not None and self.clients.get(session.client_id) is session:
            del self.clients[session.client_id]
        self._asked.sessions.discard(session)

    def notice(self, text: str) -> None:
        """Keep something that whoever runs the gateway should know."""
        self.notices.append(text)

    # -- time ------------------------------------------------------------------------------------------

    def asked(self, session: Session) -> None:
        """Take a client's question for the time, before it is answered: at top speed it is what moves time.

        Everything that the client sent before has arrived, since one socket is ordered; so time moves first, what that
        brings is sent, and the answer tells the new time. While other clients drive too and have not asked, time stays.
        One question alone makes nobody a driver: a program that only looks at the clock does not hold up the others.
        """
        session.drives, session.has_asked = session.has_asked, True
        self._asked.sessions.add(session)
        if self.settings.speed == DRIVEN and all(
            s in self._asked.sessions for s in self.sessions if s.is_driving
        ):
            self._asked.sessions.clear()
            self.advance()

    def next(self) -> Moment | None:
        """Next moment at which anything happens; None when time has come to its end."""
        moment = self.clock.moment
        sizes = {DAY}
        pulsed = False
        for session in self.sessions:
            for stream in session.streams.values():
                size = stream.grid_size
                if size is not None:
                    sizes.add(size)
                pulsed = pulsed or stream.is_pulsed or (self.clock.runs and size is not None)
        fill_size = self.desk.fills.size()
        if fill_size is not None and self.desk.standing:
            sizes.add(fill_size)
        found = [self.tape.grid(size).after(moment) for size in sizes]
        found.append(self.desk.next())
        if pulsed:
            found.append(self._pulses.after(moment))
        known = [m for m in found if m is not None]
        if not known:
            return None
        first = max(min(known), moment)
        return None if self.settings.end_ns is not None and first.time_ns > self.settings.end_ns else first

    def advance(self) -> bool:
        """Go to the next moment and let it happen; False when there is none."""
        moment = self.next()
        if moment is None:
            return False
        self.clock.move_to(moment)
        self._happen(moment)
        return True

    def catch_up(self, time_ns: int) -> None:
        """Let everything happen up to an instant, and go there."""
        while (moment := self.next()) is not None and moment.time_ns <= time_ns:
            self.clock.move_to(moment)
            self._happen(moment)
        end = self.settings.end_ns
        self.clock.move_to(Moment(time_ns if end is None else min(time_ns, end), PULSE))

    def _happen(self, moment: Moment) -> None:
        """Fill orders, then show who follows what there is to see."""
        if moment.phase in {CLOSE, OPEN, FILL}:
            self.desk.pass_moment(moment)
        for session in list(self.sessions):
            session.show(moment)
