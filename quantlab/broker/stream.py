"""Streams: bars and ticks of several contracts as they come, as rows for a table and rows for a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantlab.barsize import DAY_NS, BarSize
from quantlab.broker import events as ev
from quantlab.broker.codes import advice_of
from quantlab.broker.times import date_ns
from quantlab.errors import ParameterError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from quantlab.broker.client import Client
    from quantlab.broker.contracts import ContractId

__all__ = ["TICK_COLUMNS", "Row", "Stream", "StreamState"]

REAL_TIME = BarSize(5, "sec")
"""The bar size that Interactive Brokers streams as it closes; others are history that stays up to date."""

BACK = {"sec": "1800 S", "min": "1 D", "hour": "1 W", "day": "1 M", "week": "1 Y", "month": "1 Y"}
"""How far back a stream of bars begins, by the unit of its bar size."""

BAR_COLUMNS = ("time", "open", "high", "low", "close", "volume", "count")
TICK_COLUMNS = ("bid_size", "bid", "ask", "ask_size", "last", "last_size", "volume", "time")
"""Columns of the table of ticks."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row for a file.

    Attributes
    ----------
    table : str
        ``"bars"``, ``"ticks"``, ``"trades"`` or ``"quotes"``.
    symbol : str
        Of what.
    values : dict
        ``time`` (ns UTC; of bars their close), ``received`` (ns UTC) and what the table has.
    """

    table: str
    symbol: str
    values: dict[str, Any]


@dataclass(slots=True)
class StreamState:
    """What is known of each symbol now.

    Attributes
    ----------
    columns : tuple of str
        Columns of the table.
    rows : dict
        Values by symbol and column.
    counts : dict
        Events by symbol.
    notices : list of str
        What Interactive Brokers said, newest last.
    """

    columns: tuple[str, ...]
    rows: dict[str, dict[str, Any]]
    counts: dict[str, int]
    notices: list[str] = field(default_factory=list)


class Stream:
    """Subscriptions of several contracts, and what came of them.

    Parameters
    ----------
    client : Client
        Connected.
    contracts : sequence of ContractId
        Of what.
    bar_size : str, optional
        Bars of this size.
    ticks : str, optional
        Ticks of this kind, as in `Client.subscribe_ticks`; one of both is given.
    rth : bool
        Regular trading hours only, of bars.

    Raises
    ------
    ParameterError
        If neither or both are given, or no contract.
    """

    def __init__(
        self,
        client: Client,
        contracts: Sequence[ContractId],
        *,
        bar_size: str | None = None,
        ticks: str | None = None,
        rth: bool = True,
    ) -> None:
        if (bar_size is None) == (ticks is None):
            raise ParameterError(
                "a stream has bars or ticks; give a bar size, or a kind of ticks, and not both."
            )
        symbols = [c.symbol for c in contracts]
        if not symbols or len(set(symbols)) < len(symbols):
            raise ParameterError(f"symbols are {symbols}; at least one, and each once, is needed.")
        self._client, self._contracts, self._ticks, self._rth = client, tuple(contracts), ticks, rth
        self._size = None if bar_size is None else BarSize.parse(bar_size)
        self._symbols: dict[int, str] = {}
        self._pending: dict[str, ev.HistoryBar] = {}
        columns = TICK_COLUMNS if self._size is None else BAR_COLUMNS
        self.state = StreamState(columns, {s: {} for s in symbols}, dict.fromkeys(symbols, 0))

    def start(self) -> None:
        """Subscribe."""
        for contract in self._contracts:
            self._symbols[self._subscribe(contract)] = contract.symbol

    def _subscribe(self, contract: ContractId) -> int:
        client = self._client
        if self._ticks is not None:
            return client.subscribe_ticks(contract, self._ticks)
        if self._size is None or self._size == REAL_TIME:
            return client.subscribe_real_time_bars(contract, rth=self._rth)
        return client.subscribe_bars(contract, str(self._size), BACK[self._size.unit], rth=self._rth)

    def stop(self) -> None:
        """Unsubscribe, where there is still a connection."""
        for number in list(self._symbols):
            if self._client.connected:
                self._client.unsubscribe(number)
        self._symbols.clear()

    def take(self, event: ev.Event) -> Iterator[Row]:
        """Let an event change the state.

        Parameters
        ----------
        event : Event
            From the client's queue.

        Yields
        ------
        Row
            What a file should keep of it: ticks at once, bars when they are final.

        Raises
        ------
        RequestError
            If a subscription was refused.
        """
        if isinstance(event, ev.Notice):
            self._take_notice(event)
            return
        symbol = self._symbols.get(getattr(event, "request_id", ev.GENERAL))
        if symbol is None:
            return
        row, now = self.state.rows[symbol], self._client.clock.now_ns()
        match event:
            case ev.RealTimeBar():
                yield from self._close_bar(symbol, event, event.time_ns, now)
            case ev.BarUpdate():
                yield from self._take_update(symbol, event.bar, now)
            case ev.HistoryBar():
                self._pending[symbol] = event  # history is in the catalog's care; the newest is in progress
                self._show_bar(symbol, event, event.time_ns)
            case ev.Tick():
                row[event.kind.removeprefix("delayed_").replace("last_time", "time")] = (
                    event.time_ns or event.value
                )
                yield self._row(
                    "ticks", symbol, event.time_ns or now, now, kind=event.kind, value=event.value
                )
            case ev.TradeTick():
                row |= {"last": event.price, "last_size": event.size, "time": event.time_ns}
                parts = {n: getattr(event, n) for n in ("price", "size", "exchange", "conditions")}
                yield self._row("trades", symbol, event.time_ns, now, **parts)
            case ev.QuoteTick():
                parts = {n: getattr(event, n) for n in ("bid", "ask", "bid_size", "ask_size")}
                row |= parts | {"time": event.time_ns}
                yield self._row("quotes", symbol, event.time_ns, now, **parts)
            case ev.MidTick():
                row |= {"last": event.price, "time": event.time_ns}
                yield self._row("ticks", symbol, event.time_ns, now, kind="midpoint", value=event.price)
            case _:
                return
        self.state.counts[symbol] += 1

    def _take_update(self, symbol: str, bar: ev.HistoryBar, now: int) -> Iterator[Row]:
        """Take the bar in progress as it is now; the one before it is final once a later one comes."""
        before = self._pending.get(symbol)
        self._pending[symbol] = bar
        self._show_bar(symbol, bar, bar.time_ns)
        if before is not None and before.time_text != bar.time_text:
            yield self._bar_row(symbol, before, before.time_ns, now)

    def _close_bar(self, symbol: str, bar: ev.RealTimeBar, opened: int, now: int) -> Iterator[Row]:
        self._show_bar(symbol, bar, opened)
        yield self._bar_row(symbol, bar, opened, now)

    def _show_bar(self, symbol: str, bar: ev.HistoryBar | ev.RealTimeBar, opened: int | None) -> None:
        values = {n: getattr(bar, n) for n in BAR_COLUMNS[1:]}
        self.state.rows[symbol] |= {"time": self._closed(bar, opened)} | values

    def _bar_row(self, symbol: str, bar: Any, opened: int | None, now: int) -> Row:
        values = {n: getattr(bar, n) for n in BAR_COLUMNS[1:]}
        return self._row("bars", symbol, self._closed(bar, opened), now, **values)

    def _closed(self, bar: Any, opened: int | None) -> int:
        """Close of a bar, ns UTC; bars of a day or longer are dated, and end with that date."""
        size = self._size or REAL_TIME
        if opened is not None and size.intraday:
            return opened + size.duration_ns
        return date_ns(bar.time_text) + DAY_NS

    @staticmethod
    def _row(table: str, symbol: str, time_ns: int, received_ns: int, **values: Any) -> Row:
        return Row(table, symbol, {"time": time_ns, "received": received_ns, **values})

    def _take_notice(self, event: ev.Notice) -> None:
        symbol = self._symbols.get(event.request_id)
        if event.severity == "request" and symbol is not None:
            raise RequestError(event.code, f"{symbol}: {event.text}", advice_of(event.code))
        if event.severity != "info":
            self.state.notices.append(f"{event.code}: {event.text}")
