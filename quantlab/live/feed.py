"""The feed: what the broker streams or tells, made into closed bars; nothing unfinished gets through.

Daily bars are asked for after the session's close, because what Interactive Brokers keeps as history is what a backtest
sees; intraday bars come from the stream of the bar in progress, because they are wanted at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from quantlab.barsize import DAY_NS, BarSize
from quantlab.broker.events import BarUpdate, Event, HistoryBar, HistoryEnd, Notice
from quantlab.data.sessions import Sessions, sessions_between
from quantlab.errors import BrokerError, LiveError, ParameterError
from quantlab.live.window import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quantlab.broker.client import Client
    from quantlab.broker.contracts import ContractId
    from quantlab.live.window import Window

__all__ = ["Feed", "SessionFeed", "StreamFeed", "Timing", "compare_overlap", "make_feed"]

SECOND_NS = 1_000_000_000

AHEAD_DAYS = 400
"""Days of the calendar that are looked up at a time."""

OVERLAP = 5
"""Bars that are fetched again although they are known, to see that history is still the same."""

HISTORY_TOLERANCE = 1e-9
"""Relative difference up to which two prices of one bar are the same: what was promoted on does not change."""

LIVE_TOLERANCE = 0.02
"""The same for bars that were taken live: history corrects them by a little, a split does not."""

ASK_AGAIN_S = 30.0
"""Between two questions for a daily bar that is late."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the loop waits for what.

    Parameters
    ----------
    grace_s : float
        After a bar's close by the broker's clock, until it counts as closed though no later one has come.
    late_s : float
        After that, until an asset without the bar is taken to have none.
    poll_s : float
        Between two looks at the broker's clock.
    stale_s : float
        Age beyond its interval at which the newest bar is too old to trade on.
    """

    grace_s: float = 5.0
    late_s: float = 900.0
    poll_s: float = 1.0
    stale_s: float = 120.0

    @classmethod
    def replay(cls) -> Timing:
        """For simulated time that stands still until it is asked for: nothing has to be waited for."""
        return cls(0.0, 0.0, 0.0, 0.0)


class Feed(Protocol):
    """Where closed bars come from."""

    def start(self, client: Client, contracts: Mapping[str, ContractId], now_ns: int) -> None:
        """Subscribe on a new connection."""

    def on_event(self, event: Event) -> bool:
        """Take an event; whether it was one of the feed's."""

    def closed(self, now_ns: int) -> list[Row]:
        """Bars that are closed and were not given yet, oldest first."""

    def is_stale(self, row: Row, now_ns: int) -> bool:
        """Whether a later bar should have closed by now: the data have stopped, and the bar is too old to trade on."""


def make_feed(bar_size: str, calendar: str, symbols: Sequence[str], window: Window, timing: Timing) -> Feed:
    """Feed of a bar size.

    Raises
    ------
    ParameterError
        For bars longer than a day.
    """
    size = BarSize.parse(bar_size)
    if not size.intraday and str(size) != "1 day":
        raise ParameterError(f"bars of {size} are not traded live; use '1 day' or a shorter bar.")
    kind = StreamFeed if size.intraday else SessionFeed
    return kind(size, calendar, tuple(symbols), window, timing)


def compare_overlap(symbol: str, bar: HistoryBar, close_ns: int, window: Window, column: int) -> None:
    """Test that the broker's history still is what is known of a bar.

    Raises
    ------
    LiveError
        If a bar differs: a split, a correction, or other data.
    """
    known = window.at(close_ns)
    if known is None or np.isnan(known[column, 3]):
        return
    before, close = float(known[column, 3]), bar.close
    tolerance = HISTORY_TOLERANCE if window.is_first(close_ns) else LIVE_TOLERANCE
    if not abs(close - before) <= tolerance * abs(before):
        when = str(np.datetime64(close_ns, "ns"))[:16]
        raise LiveError(
            f"the broker's history of {symbol} differs from the bundle's: its close of {when} UTC is {close!r}, the "
            f"bundle has {before!r} (ratio {close / before:.6g}). A split or a correction changes history: fetch it "
            "again ('quantlab data fetch'), and promote again."
        )


@dataclass
class SessionFeed:
    """Daily bars, asked for once the session is over."""

    size: BarSize
    calendar: str
    symbols: tuple[str, ...]
    window: Window
    timing: Timing
    _client: Client | None = None
    _contracts: Mapping[str, ContractId] = field(default_factory=dict)
    _sessions: Sessions | None = None
    _given: int = -1
    _ask_ns: int = 0

    def start(self, client: Client, contracts: Mapping[str, ContractId], now_ns: int) -> None:
        """Begin on a new connection: history must still be what the known bars are, or nothing is decided on it."""
        self._client, self._contracts = client, contracts
        self._given = max(self._given, self.window.last_session)
        self._look_up(now_ns)
        gap = int((self._known.day > self._given).sum() - (self._known.close > now_ns).sum())
        for i, (symbol, found) in enumerate(self._ask(max(gap, 0) + OVERLAP).items()):
            self._compare(symbol, i, found)

    def on_event(self, event: Event) -> bool:  # noqa: ARG002  # daily bars are asked for, nothing is streamed
        """Nothing is streamed."""
        return False

    @property
    def _known(self) -> Sessions:
        """Sessions that were looked up."""
        assert self._sessions is not None  # noqa: S101  # for the type checker: `start` looks them up
        return self._sessions

    def _look_up(self, now_ns: int) -> None:
        """Look up the sessions around a time, some behind the last bar and many ahead."""
        if self._sessions is None or now_ns // DAY_NS >= self._sessions.asked[1] - 1:
            day = max(now_ns // DAY_NS, self._given)
            self._sessions = sessions_between(self.calendar, self._given - 3 * OVERLAP, day + AHEAD_DAYS)

    def _due(self, now_ns: int) -> Sessions | None:
        """Sessions that are over and were not given yet."""
        self._look_up(now_ns)
        known = self._known
        first = int(np.searchsorted(known.day, self._given, "right"))
        stop = int((known.close + int(self.timing.grace_s * SECOND_NS) <= now_ns).sum())
        return known.between(int(known.day[first]), int(known.day[stop - 1])) if first < stop else None

    def closed(self, now_ns: int) -> list[Row]:
        """Ask for the sessions that are over; a bar that an asset lacks is waited for up to ``late_s``."""
        due = self._due(now_ns)
        if due is None or self._client is None or now_ns < self._ask_ns:
            return []
        found = self._ask(len(due.day) + 1)
        for i, symbol in enumerate(self.symbols):
            self._compare(symbol, i, found[symbol])
        late = now_ns - int((self.timing.grace_s + self.timing.late_s) * SECOND_NS)
        rows = []
        for day, close in zip(due.day.tolist(), due.close.tolist(), strict=True):
            values = np.full((len(self.symbols), 5), np.nan)
            for i, symbol in enumerate(self.symbols):
                bar = found[symbol].get(day)
                if bar is not None:
                    values[i] = _values(bar)
            missing = np.isnan(values[:, 3])
            if missing.any() and close > late and not self._later_than(day, due):
                self._ask_ns = now_ns + int(ASK_AGAIN_S * SECOND_NS)
                break
            self._given = day
            if not missing.all():
                rows.append(Row(close, day, values))
        return rows

    @staticmethod
    def _later_than(day: int, due: Sessions) -> bool:
        return int(due.day[-1]) > day

    def is_stale(self, row: Row, now_ns: int) -> bool:
        """Whether the session after the bar's is over too, with all that is waited for."""
        wait = int((self.timing.grace_s + self.timing.late_s + self.timing.stale_s) * SECOND_NS)
        self._look_up(now_ns)
        k = int(np.searchsorted(self._known.close, row.time_ns, "right"))
        return k < len(self._known.close) and int(self._known.close[k]) + wait < now_ns

    def _ask(self, n_sessions: int) -> dict[str, dict[int, HistoryBar]]:
        """History of every asset by session day."""
        assert self._client is not None  # noqa: S101  # for the type checker: `start` has set it
        found: dict[str, dict[int, HistoryBar]] = {}
        for symbol in self.symbols:
            duration = _duration(n_sessions)
            bars = self._client.history(self._contracts[symbol], duration=duration, bar_size=str(self.size))
            found[symbol] = {_day(b): b for b in bars}
        return found

    def _compare(self, symbol: str, column: int, found: Mapping[int, HistoryBar]) -> None:
        """Compare what an asset's history says of sessions that are known."""
        days, closes = self._known.day, self._known.close
        for day, bar in found.items():
            k = int(np.searchsorted(days, day))
            if day <= self._given and k < len(days) and days[k] == day:
                compare_overlap(symbol, bar, int(closes[k]), self.window, column)


@dataclass
class StreamFeed:
    """Intraday bars from the stream of the bar in progress: closed when a later one has come, or by the clock."""

    size: BarSize
    calendar: str
    symbols: tuple[str, ...]
    window: Window
    timing: Timing
    _client: Client | None = None
    _requests: dict[int, int] = field(default_factory=dict)
    _bars: dict[int, dict[int, HistoryBar]] = field(default_factory=dict)
    _newest: list[int] = field(default_factory=list)
    _waiting: set[int] = field(default_factory=set)
    _given_ns: int = 0
    _asked_ns: int = 0
    _gap_ns: int = 0
    _contracts: Mapping[str, ContractId] = field(default_factory=dict)
    _sessions: Sessions | None = None

    def start(self, client: Client, contracts: Mapping[str, ContractId], now_ns: int) -> None:
        """Subscribe every asset; what is missing since the last bar comes first."""
        if self._client is client:
            for request in self._requests:
                client.unsubscribe(request)
        self._client, self._contracts, self._asked_ns = client, contracts, now_ns
        self._given_ns = max(self._given_ns, self.window.last_ns)
        self._bars, self._newest = {}, [0] * len(self.symbols)
        gap_s = (
            max(now_ns - self._given_ns, 0) // SECOND_NS + 2 * OVERLAP * self.size.duration_ns // SECOND_NS
        )
        duration = f"{gap_s} S" if gap_s <= 86_400 else f"{gap_s // 86_400 + 1} D"
        self._requests = {}
        for i, symbol in enumerate(self.symbols):
            request = client.subscribe_bars(
                contracts[symbol], str(self.size), duration, what="TRADES", rth=True
            )
            self._requests[request] = i
        self._waiting = set(self._requests)

    @property
    def ready(self) -> bool:
        """Whether every subscription has brought its history."""
        return not self._waiting

    def on_event(self, event: Event) -> bool:
        """Take history, its end, and updates of the feed's subscriptions."""
        request = getattr(event, "request_id", None)
        column = self._requests.get(request) if request is not None else None
        if column is None:
            return False
        if isinstance(event, HistoryBar):
            self._take(column, event)
        elif isinstance(event, BarUpdate):
            self._take(column, event.bar)
        elif isinstance(event, HistoryEnd):
            self._waiting.discard(event.request_id)
        elif isinstance(event, Notice):
            if event.severity == "request":
                raise BrokerError(
                    f"the stream of {self.symbols[column]} ended: {event.code} {event.text}; it has to be made anew."
                )
            return False
        return True

    def _take(self, column: int, bar: HistoryBar) -> None:
        if bar.time_ns is None:
            raise LiveError(f"a bar of {self.symbols[column]} has no instant as its time: {bar.time_text!r}.")
        close = self._close_of(bar.time_ns)
        if close <= self._given_ns:
            if self._waiting:
                compare_overlap(self.symbols[column], bar, close, self.window, column)
            return
        self._bars.setdefault(close, {})[column] = bar
        self._newest[column] = max(self._newest[column], close)

    def _session_index(self, open_ns: int) -> int:
        if self._sessions is None or open_ns // DAY_NS > self._sessions.asked[1] - 2:
            day = open_ns // DAY_NS
            self._sessions = sessions_between(self.calendar, day - 2 * OVERLAP, day + AHEAD_DAYS)
        return int(np.searchsorted(self._sessions.close, open_ns, "right"))

    def _close_of(self, open_ns: int) -> int:
        """Close of the bar that opened at an instant: a session's end cuts it short."""
        k = self._session_index(open_ns)
        assert self._sessions is not None  # noqa: S101  # for the type checker: `_session_index` has made it
        close = open_ns + self.size.duration_ns
        end = int(self._sessions.close[k])
        return min(close, end) if open_ns >= int(self._sessions.open[k]) else close

    def closed(self, now_ns: int) -> list[Row]:
        """Bars that are over: for every asset a later one has come, or the clock has passed their close."""
        if not self.ready or self._begin_again(now_ns):
            return []
        rows = []
        grace = int(self.timing.grace_s * SECOND_NS)
        for close in sorted(self._bars):
            passed = all(newest > close for newest in self._newest)
            if not passed and now_ns < close + grace:
                break
            bars = self._bars.pop(close)
            if not passed and self.timing.grace_s:
                self._confirm(close, bars)
            values = np.full((len(self.symbols), 5), np.nan)
            for column, bar in bars.items():
                values[column] = _values(bar)
            k = self._session_index(close - 1)
            assert self._sessions is not None  # noqa: S101  # for the type checker
            if not np.isnan(values[:, 3]).all():
                rows.append(Row(close, int(self._sessions.day[k]), values))
            self._given_ns = close
        return rows

    def _next_ns(self) -> int:
        """Close of the bar that follows the last one given, in its session or in the next one."""
        k = self._session_index(self._given_ns)
        assert self._sessions is not None  # noqa: S101  # for the type checker
        return self._close_of(max(self._given_ns, int(self._sessions.open[k])))

    def _begin_again(self, now_ns: int) -> bool:
        """Subscribe anew where bars are missing: a stream can die, or skip, without a word. Once for each gap.

        A bar that is still missing then is one without a trade.
        """
        if not self.timing.grace_s or self._client is None:
            return False
        wanted = self._next_ns()
        wait = int((self.timing.grace_s + self.timing.stale_s) * SECOND_NS)
        skipped = bool(self._bars) and min(self._bars) > wanted
        silent = not self._bars and now_ns > wanted + wait
        if not (skipped or silent) or self._gap_ns == wanted:
            return False
        self._gap_ns = wanted
        self.start(self._client, self._contracts, now_ns)
        return True

    def _confirm(self, close: int, bars: dict[int, HistoryBar]) -> None:
        """Ask history for a bar that only the clock has closed: its last update may be from its middle."""
        assert self._client is not None  # noqa: S101  # for the type checker
        for column, symbol in enumerate(self.symbols):
            if self._newest[column] > close:
                continue
            seconds = max(5 * self.size.duration_ns // SECOND_NS, 60)
            duration = f"{seconds} S" if seconds <= 86_400 else "2 D"
            found = self._client.history(self._contracts[symbol], duration=duration, bar_size=str(self.size))
            final = [b for b in found if b.time_ns is not None and self._close_of(b.time_ns) == close]
            bars.pop(column, None)
            if final:
                bars[column] = final[-1]

    def is_stale(self, row: Row, now_ns: int) -> bool:
        """Whether the next bar of the session, or the first one of the next session, is overdue."""
        wait = int((self.timing.grace_s + self.timing.stale_s) * SECOND_NS)
        k = self._session_index(row.time_ns)
        assert self._sessions is not None  # noqa: S101  # for the type checker: `_session_index` has made it
        begins = max(row.time_ns, int(self._sessions.open[k]))
        return begins + self.size.duration_ns + wait < now_ns


def _values(bar: HistoryBar) -> tuple[float, float, float, float, float]:
    """Prices and volume of a bar; all NaN, which is no bar, where a price cannot be one."""
    prices = bar.open, bar.high, bar.low, bar.close
    if not all(0.0 < p < np.inf for p in prices):
        return (np.nan,) * 5
    return *prices, np.nan if bar.volume is None else bar.volume


def _day(bar: HistoryBar) -> int:
    """Session day of a daily bar, whose stamp is a date."""
    text = bar.time_text.strip()
    try:
        return int(np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:8]}", "D").astype(np.int64))
    except ValueError as error:
        raise LiveError(
            f"a daily bar is stamped {bar.time_text!r}; a date such as 20240105 is needed."
        ) from error


def _duration(n_sessions: int) -> str:
    """Interactive Brokers' duration that covers so many sessions."""
    days = n_sessions + 1
    return f"{days} D" if days <= 365 else f"{days // 250 + 1} Y"
