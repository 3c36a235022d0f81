"""The loop: closed bar, signal, target, orders wanted, reconcile, risk, journal, send.

One thread, one queue. The runner asks the broker's clock; the answer says which bars are closed, and since one socket
is ordered, it also says that everything sent before has arrived and everything that came of it has been heard.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.broker.events import CurrentTime, Disconnected, Execution
from quantlab.errors import BrokerError, JournalError, NoAnswerError, NotConnectedError, QuantlabError
from quantlab.live.decision import Decision, Sizer, bars_to_wish, decision_to_body, signal_to_decision
from quantlab.live.desk import Desk
from quantlab.live.feed import Timing, make_feed
from quantlab.live.journal import Entry
from quantlab.live.opening import choose_account, find_contracts
from quantlab.live.window import Row, Window, body_to_row, row_to_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.broker.client import Client
    from quantlab.broker.events import Event
    from quantlab.broker.line import Greeting
    from quantlab.engine.backtest import Wish
    from quantlab.live.book import Book, WorkingOrder
    from quantlab.live.bundle import Bundle
    from quantlab.live.ledger import Ledger

__all__ = ["Runner", "Seams"]

CLOCK_TIMEOUT_S = 30.0
"""The broker's clock answers within this, or the connection counts as dead."""

RECONNECTS = 100
"""Attempts to connect again before the run ends: the broker's nightly restart takes up to an hour."""

FIRST_ATTEMPTS = 3
"""The same where a run has only begun: somebody is there to read what is wrong."""

LOST = (NotConnectedError, NoAnswerError)
"""Faults of a first start that are tried again; others, such as an unknown symbol, are said at once."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


def _nothing(_: str) -> None:
    """Say nothing."""


def _at_once(_: float) -> None:
    """Wait for nothing: simulated time stands still."""


@dataclass(frozen=True)
class Seams:
    """The steps that a run is made of, so that a test can put a wrong one in their place.

    Parameters
    ----------
    signal : callable
        ``signal(bundle, bars)``: what the strategy wants on all bars.
    decide : callable
        ``decide(bars, wish, book, sizer, last_close, month_units)``: what the last bar comes to.
    desk : callable
        Makes the desk of a connection.
    """

    signal: Callable[..., Wish] = bars_to_wish
    decide: Callable[..., Decision] = signal_to_decision
    desk: Callable[..., Desk] = Desk


@dataclass(eq=False)
class Runner:
    """A live run of one bundle.

    Parameters
    ----------
    bundle : Bundle
        What is run.
    make_client : callable
        Makes a client, not yet connected and allowed to send orders; called again after a connection is lost.
    ledger : Ledger
        Journal and book.
    timing : Timing
        How long to wait for what.
    until_ns : int, optional
        The run ends when a bar that closes at or after this has been decided.
    end_ns : int, optional
        The run also ends when the broker's clock has reached this and has brought no more bars.
    say : callable
        Takes one line for people.
    pause : callable
        ``pause(seconds)``: waits between attempts to connect again.
    seams : Seams
        The steps that a test may put a wrong one in the place of.
    """

    bundle: Bundle
    make_client: Callable[[], Client]
    ledger: Ledger
    timing: Timing = field(default_factory=Timing)
    until_ns: int | None = None
    end_ns: int | None = None
    say: Callable[[str], None] = _nothing
    pause: Callable[[float], None] = _at_once
    seams: Seams = field(default_factory=Seams)

    def __post_init__(self) -> None:
        self.window = Window(self.bundle.bars)
        self.sizer = Sizer(self.bundle.terms, self.bundle.bars)
        for body in self.book.bars:
            self.window.append(body_to_row(body, self.bundle.symbols))
        self.feed = make_feed(
            self.bundle.bars.bar_size, self.bundle.calendar, self.bundle.symbols, self.window, self.timing
        )
        self.client: Client | None = None
        self.desk: Desk | None = None
        self._connected: Entry | None = None
        self.server_version = self.n_decided = 0
        self._live = self._stopping = False
        self._idle = 0

    @property
    def book(self) -> Book:
        """The bundle's book."""
        return self.ledger.book

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until `until_ns`, `stop`, or a fault that cannot be mended.

        Raises
        ------
        LiveError
            If the run may not start or go on.
        BrokerError
            If the broker cannot be reached (again).
        """
        reason = "an error that nobody expected; what was printed says more"
        try:
            greeting = self._dial()
            self._guarded(lambda: self._start(greeting), LOST, FIRST_ATTEMPTS)
            while not self._stopping:
                self._guarded(self._turn, (BrokerError,))
            self._guarded(self._part, (BrokerError,))
            reason = "it was done, or was asked to"
        except QuantlabError as error:
            reason = str(error)
            raise
        finally:
            self.close()
            if self.book.decided_ns:
                # A journal that cannot be written has said so already; it must not hide why the run ended.
                with suppress(JournalError):
                    self.ledger.record(Entry("stopped", {"reason": reason}))

    def _guarded(
        self, step: Callable[[], None], faults: tuple[type[BrokerError], ...], attempts: int = RECONNECTS
    ) -> None:
        """Do a step; connect again after a fault: what was subscribed and asked for is then made anew."""
        try:
            step()
        except faults as error:
            self._reconnect(str(error), attempts)

    def _part(self) -> None:
        """Make sure that what was sent has arrived: closing a socket may throw away what is still in it."""
        if self.client is not None and self.client.connected:
            self.client.open_orders(everyone=False)
            self._drain()

    def stop(self) -> None:
        """End the loop after the present turn."""
        self._stopping = True

    def close(self) -> None:
        """Let go of the broker; the journal stays with whoever opened it."""
        if self.client is not None:
            self.client.close()
            self.client = None

    def _turn(self) -> None:
        """Ask the broker's clock, take what comes before the answer, and do what its time is due for."""
        assert self.client is not None and self.desk is not None  # noqa: S101, PT018  # for the type checker
        self.client.request_current_time()
        event = self._take_until(lambda e: isinstance(e, CurrentTime), "the broker's clock did not answer")
        before, self.ledger.now_ns = self.ledger.now_ns, event.time_ns
        if self.desk.brakes.must_reconcile:
            self._resume(self.client, self.desk)
        if self.desk.verify():
            self._drain()
        worked = self._decide_closed()
        if self.desk.awaits_ends:
            # What replaces a cancelled order is sent once that has ended: in this step, where the broker is quick.
            self._part()
        self.desk.settle()
        if self.end_ns is not None and event.time_ns >= self.end_ns:
            self._idle = 0 if worked or event.time_ns != before else self._idle + 1
            self._stopping = self._stopping or self._idle > 1
        if self.timing.poll_s and not self._stopping:
            self._wait(self.timing.poll_s)

    def _take_until(self, wanted: Callable[[Event], bool], failure: str) -> Any:
        """Take events until one is wanted, which is given back and not taken.

        Raises
        ------
        NoAnswerError
            If it does not come in time, whatever else comes.
        """
        assert self.client is not None  # noqa: S101  # for the type checker
        deadline = time.monotonic() + CLOCK_TIMEOUT_S
        while True:
            event = self.client.next(max(0.0, deadline - time.monotonic()))
            if event is not None and wanted(event):
                return event
            if event is None or time.monotonic() > deadline:
                raise NoAnswerError(f"{failure} within {CLOCK_TIMEOUT_S:g} s")
            self._take(event)

    def _drain(self) -> None:
        """Take everything that has come already."""
        assert self.client is not None  # noqa: S101  # for the type checker
        while (event := self.client.next(0.0)) is not None:
            self._take(event)

    def _wait(self, seconds: float) -> None:
        """Take events for a while; a bar that is closed by a later one is decided as it comes."""
        assert self.client is not None  # noqa: S101  # for the type checker
        deadline = self.client.clock.now_ns() + int(seconds * 1e9)
        while not self._stopping:
            left = (deadline - self.client.clock.now_ns()) / 1e9
            event = self.client.next(left) if left > 0 else None
            if event is None:
                return
            self._take(event)
            if isinstance(event, Execution) and self.desk is not None and self.desk.lacks_protection():
                # The next step does not wait.
                return

    def _take(self, event: Event) -> None:
        """Hand an event to whom it belongs."""
        assert self.desk is not None  # noqa: S101  # for the type checker
        if isinstance(event, Disconnected):
            raise NotConnectedError(event.reason)
        if not self.feed.on_event(event):
            self.desk.on_event(event)
        elif self._live and self.timing.poll_s:
            self._decide_closed()

    # -- connecting ------------------------------------------------------------------------------------

    def _dial(self) -> Greeting:
        """Connect; what goes wrong here is said at once, since nobody waits for a broker that is not there."""
        self.client = self.make_client()
        return self.client.connect()

    def _start(self, greeting: Greeting) -> None:
        """Reconcile, subscribe, catch up on a new connection: only then is anything traded."""
        assert self.client is not None  # noqa: S101  # for the type checker
        account = choose_account(self.book.account, greeting.accounts)
        if self.book.account is None:
            self.ledger.record(Entry("account", {"account": account}, "account"))
        # Simulated time moves when it is asked for, and the greeting tells it without. A real greeting is no clock: its
        # zone is an abbreviation, which some write wrongly in summer.
        told = greeting.time_ns if self.timing.poll_s == 0.0 else None
        self.ledger.now_ns = told or self.client.current_time()
        contracts = find_contracts(self.client, self.bundle.instruments)
        self.desk = self.seams.desk(
            self.bundle,
            self.ledger,
            self.client,
            account=account,
            contracts=contracts,
            next_order_id=greeting.next_order_id,
            say=self.say,
        )
        self.server_version = greeting.server_version
        self._connected = Entry("connected", {"account": account, "server_version": greeting.server_version})
        self._resume(self.client, self.desk)

    def _resume(self, client: Client, desk: Desk) -> None:
        """Reconcile, subscribe, catch up: also where the socket held and only TWS was cut off."""
        self._live = False
        lost = desk.reconcile()
        self.feed.start(client, desk.contracts, self.ledger.now_ns)
        self.ledger.record(self._connected)
        self._catch_up(lost)
        self._live = True

    def _reconnect(self, reason: str, attempts: int = RECONNECTS) -> None:
        """Connect again, with growing pauses; orders stay where they are and are asked for afterwards.

        Raises
        ------
        BrokerError
            If it does not work.
        """
        self.say(f"connection lost: {reason}")
        self.ledger.record(Entry("lost", {"reason": reason}))
        pause = FIRST_PAUSE_S
        for attempt in range(1, attempts + 1):
            self.close()
            try:
                self._start(self._dial())
            except BrokerError as error:
                self.say(f"attempt {attempt} to connect again failed: {error}")
                for _ in range(int(pause)):
                    self.pause(1.0)
                    if self._stopping:
                        return
                pause = min(2.0 * pause, LONGEST_PAUSE_S)
            else:
                return
        raise BrokerError(
            f"the connection was lost ({reason}) and {attempts} attempts to connect again failed. Standing orders "
            "stay at the broker; start 'quantlab paper' again when it is back, it reconciles first."
        )

    # -- deciding --------------------------------------------------------------------------------------

    def _catch_up(self, lost: list[WorkingOrder]) -> None:
        """Take the bars that closed while nobody looked: the newest is decided, earlier ones were missed.

        Orders that never arrived are sent now if their bar still is the newest, and given up otherwise: before anything
        new is decided, since that depends on what became of them.
        """
        assert self.client is not None and self.desk is not None  # noqa: S101, PT018  # for the type checker
        deadline = time.monotonic() + CLOCK_TIMEOUT_S
        while not getattr(self.feed, "ready", True):
            event = self.client.next(max(0.0, deadline - time.monotonic()))
            if event is None:
                raise NoAnswerError(f"history was not complete within {CLOCK_TIMEOUT_S:g} s")
            self._take(event)
        self._drain()
        if self.desk.verify():
            self._drain()
        rows = self.feed.closed(self.ledger.now_ns)
        newest_ns = rows[-1].time_ns if rows else self.window.last_ns
        for order in lost:
            self.desk.send_late(order, newest_ns)
        self.desk.drop_late(newest_ns)
        self.desk.protect()
        if not self.book.seeded:
            self._begin(rows)
            return
        for row in rows[:-1]:
            self._miss(row, "nobody was connected")
        for row in rows[-1:]:
            self._decide(row)
        if not rows and self.book.decided_ns < newest_ns:
            self._decide_known()

    def _begin(self, rows: list[Row]) -> None:
        """Start for the first time: what the strategy wanted so far is taken over, the newest bar is decided."""
        for row in rows[:-1]:
            self._keep(row)
        newest = rows[-1] if rows else None
        bars = self.window.bars()
        signal = self.seams.signal(self.bundle, bars).target
        before = signal if newest is not None else signal[:-1]
        last = _last_known(before, bars.close[: len(before)])
        joined = (last == 0.0) | (self.bundle.terms.join == "now")
        assets = {
            s: {"signal": float(last[i]), "joined": bool(joined[i])}
            for i, s in enumerate(self.bundle.symbols)
        }
        self.ledger.record(Entry("seed", {"time_ns": self.window.last_ns, "assets": assets}, "seed"))
        if newest is not None:
            self._decide(newest)
        else:
            self._decide_known()

    def _decide_known(self) -> None:
        """Decide the newest bar that the run began with, unless a later one is overdue."""
        last = Row(self.window.last_ns, self.window.last_session, np.empty((0, 5)))
        if self.feed.is_stale(last, self.ledger.now_ns):
            self.say("waiting: the newest bar is too old to trade on")
            reason = "a later bar is overdue: the data have stopped"
            self.ledger.record(
                Entry("missed", {"time_ns": last.time_ns, "reason": reason}, str(last.time_ns))
            )
        else:
            self._decide_newest([])

    def _keep(self, row: Row) -> None:
        """Add a bar that is history."""
        self.window.append(row)
        self.ledger.record(_bar_entry(row, self.bundle.symbols))

    def _miss(self, row: Row, reason: str) -> None:
        """Journal a bar that could not be decided in time."""
        when = str(np.datetime64(row.time_ns, "ns"))[:19]
        self.say(f"missed: the bar of {when} UTC was not decided: {reason}")
        self.window.append(row)
        missed = Entry("missed", {"time_ns": row.time_ns, "reason": reason}, str(row.time_ns))
        self.ledger.record(_bar_entry(row, self.bundle.symbols), missed)

    def _decide_closed(self) -> bool:
        """Decide what has closed; whether there was anything."""
        rows = self.feed.closed(self.ledger.now_ns)
        for row in rows[:-1]:
            self._miss(row, "a later bar had closed already")
        for row in rows[-1:]:
            self._decide(row)
        return bool(rows)

    def _decide(self, row: Row) -> None:
        """Decide one closed bar: everything it comes to is journaled in one step, then the orders are sent."""
        if self.feed.is_stale(row, self.ledger.now_ns):
            self._miss(row, "a later bar is overdue: the data have stopped, or came too late")
            return
        self.window.append(row)
        self._decide_newest([_bar_entry(row, self.bundle.symbols)])
        if self.until_ns is not None and row.time_ns >= self.until_ns:
            self._stopping = True

    def _decide_newest(self, entries: list[Entry]) -> None:
        """Decide the newest bar of the window; `entries` are journaled in the same step."""
        assert self.desk is not None  # noqa: S101  # for the type checker
        bars = self.window.bars()
        decision = self.seams.decide(
            bars,
            self.seams.signal(self.bundle, bars),
            self.book,
            self.sizer,
            last_close=self.window.last_close(),
            month_units=self._month_units(bars),
        )
        body = decision_to_body(decision, self.bundle.symbols, self.book.uncharged(), self.ledger.now_ns)
        self.desk.execute(decision, body, entries)
        self.n_decided += 1

    def _month_units(self, bars: Any) -> Any:
        """Raw units traded in the month of the newest bar, per group; only a cash account asks for them."""
        if self.bundle.terms.account.kind != "cash":
            return None
        groups = self.sizer.month_groups(bars)
        units = np.zeros(int(groups.max()) + 1)
        month = np.datetime64(self.window.last_session, "D").astype("M8[M]")
        column = {s: i for i, s in enumerate(self.bundle.symbols)}
        for fill in self.book.executions.values():
            if fill["time_ns"] is not None and np.datetime64(fill["time_ns"], "ns").astype("M8[M]") == month:
                units[groups[column[fill["symbol"]]]] += abs(fill["quantity"])
        return units


def _bar_entry(row: Row, symbols: tuple[str, ...]) -> Entry:
    return Entry("bar", row_to_body(row, symbols), str(row.time_ns))


def _last_known(signal: Any, close: Any) -> Any:
    """Raw target of each asset at its last bar, 0 where it never had one; shape (n_assets,)."""
    last = np.zeros(signal.shape[1])
    for i in range(signal.shape[1]):
        known = np.flatnonzero(~np.isnan(close[:, i]))
        if known.size:
            last[i] = np.nan_to_num(signal[known[-1], i])
    return last
