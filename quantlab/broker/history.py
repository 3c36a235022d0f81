"""History into the catalog: asked for in chunks, stored as each is complete, taken up where it was left.

Interactive Brokers stamps intraday bars at their open and names longer ones by their date; the catalog holds closes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.barsize import DAY_NS, BarSize
from quantlab.broker.chunks import Chunk, chunks_between
from quantlab.broker.contracts import ContractDetails, find_contract, instrument_of
from quantlab.broker.sending import official_size
from quantlab.broker.times import date_ns, is_date
from quantlab.errors import (
    DataError,
    NoAnswerError,
    ParameterError,
    RequestError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from quantlab.broker.client import Client
    from quantlab.broker.events import HistoryBar
    from quantlab.data.catalog import Catalog
    from quantlab.data.sessions import Sessions
    from quantlab.model import Instrument

__all__ = ["FetchReport", "FetchedSeries", "bars_of", "fetch"]

FETCHED_KINDS = ("TRADES", "MIDPOINT", "BID", "ASK")
"""Prices that can be fetched in chunks; ADJUSTED_LAST can only be asked for up to now."""

WAITS_S = (15.0, 30.0, 60.0, 120.0)
"""Waits before a request is repeated that came too early or was not answered."""

TOO_EARLY = (100, 162, 420)
"""Codes of requests that came too early, if their text speaks of pacing."""

REBASED = 0.05
"""Relative change of a stored close above which its whole history was put on another basis (a split)."""


@dataclass(frozen=True, slots=True)
class FetchedSeries:
    """What was fetched of one symbol.

    Attributes
    ----------
    symbol : str
        Of what.
    n_requests, n_bars : int
        Requests made, and bars that were new.
    first, last : str
        Labels of the first and last bar now stored; empty where nothing is.
    notes : tuple of str
        What was noticed on the way.
    """

    symbol: str
    n_requests: int
    n_bars: int
    first: str
    last: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What was fetched."""

    bar_size: str
    catalog: str
    series: tuple[FetchedSeries, ...]

    @property
    def n_bars(self) -> int:
        """Bars that were new, of all symbols."""
        return sum(s.n_bars for s in self.series)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is wanted, for every symbol alike."""

    size: BarSize
    since_ns: int
    until_ns: int
    what: str
    rth: bool
    calendar: str


@dataclass(slots=True)
class _Job:
    """One symbol: what is known of it, what is stored, what to ask for."""

    details: ContractDetails
    instrument: Instrument
    stored: Bars | None
    chunks: list[Chunk]
    n_requests: int = 0
    n_bars: int = 0
    notes: list[str] = field(default_factory=list)


def bars_of(
    history_bars: Sequence[HistoryBar],
    instrument: Instrument,
    bar_size: str,
    calendar: str | None,
    *,
    closed_by_ns: int | None = None,
    meta: dict[str, Any] | None = None,
) -> Bars | None:
    """Make bars of history, stamped at their closes.

    Parameters
    ----------
    history_bars : sequence of HistoryBar
        As they came, in any order; of two bars of one time the later one counts.
    instrument : Instrument
        What they are of.
    bar_size : str
        Interval of one bar.
    calendar : str or None
        Exchange calendar; gives sessions their closes. Without it a date ends at 24:00 UTC.
    closed_by_ns : int, optional
        Bars that close later are left out: they are still in progress.
    meta : dict, optional
        Provenance to keep with the bars.

    Returns
    -------
    Bars or None
        None where no bar is left.

    Raises
    ------
    DataError
        For bars whose time names no instant, and for prices that no bar can have.
    """
    import pandas as pd

    size = BarSize.parse(bar_size)
    by_time = {_stamp(bar, size): bar for bar in history_bars}
    if not by_time:
        return None
    stamps = sorted(by_time)
    rows = [by_time[k] for k in stamps]
    columns = {n: [getattr(b, n) for b in rows] for n in ("open", "high", "low", "close")}
    columns["volume"] = [np.nan if b.volume is None else b.volume for b in rows]
    index = pd.DatetimeIndex(np.array(stamps, np.int64).view("M8[ns]"), tz="UTC" if size.intraday else None)
    bars = Bars.from_frame(
        pd.DataFrame(columns, index=index, dtype=float),
        symbol=instrument.symbol,
        bar_size=str(size),
        stamp="open" if size.intraday else "close",
        calendar=calendar,
        instruments=[instrument],
        meta=meta,
    )
    return bars if closed_by_ns is None else _rows(bars, bars.time <= closed_by_ns)


def _stamp(bar: HistoryBar, size: BarSize) -> int:
    """Stamp of a bar: its open in ns UTC, or midnight of the date by which it ends."""
    if not size.intraday and is_date(bar.time_text):
        return _period_end(date_ns(bar.time_text), size)
    if bar.time_ns is None:
        raise DataError(
            f"a bar of {size} came with the time {bar.time_text!r}, which names no instant; seconds since 1970, "
            "or a time with its zone, are needed. Ask for formatDate 2."
        )
    if size.intraday:
        return bar.time_ns
    return _period_end(bar.time_ns, size)


def _period_end(time_ns: int, size: BarSize) -> int:
    """Midnight of a date; of a week or month that of its last day, since one in progress is named by today."""
    day = np.datetime64(time_ns // DAY_NS, "D")
    if size.unit == "week":
        day += (6 - (int(day.astype(np.int64)) + 3) % 7) % 7
    elif size.unit == "month":
        day = (day.astype("M8[M]") + 1).astype("M8[D]") - 1
    return int(day.astype(np.int64)) * DAY_NS


def _rows(bars: Bars, keep: Any) -> Bars | None:
    """Bars of the chosen rows; None where there is none."""
    if keep.all():
        return bars
    if not keep.any():
        return None
    columns = {
        n: getattr(bars, n)[keep] for n in ("time", "session", "open", "high", "low", "close", "volume")
    }
    return replace(bars, **columns, factor=None, member=None)  # type: ignore[arg-type]  # None becomes ones


def fetch(
    client: Client,
    symbols: str | Sequence[str],
    bar_size: str,
    since: Any,
    *,
    until: Any = None,
    catalog: Catalog,
    what: str = "TRADES",
    rth: bool = True,
    calendar: str = "XNYS",
    security_type: str = "STK",
    exchange: str = "SMART",
    currency: str = "USD",
    fresh: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> FetchReport:
    """Fetch history into a catalog.

    What is stored already is not asked for again; each chunk is stored when it is complete, so a fetch that was
    killed goes on where it was. Bars that are still in progress are left out.

    Parameters
    ----------
    client : Client
        Connected.
    symbols : str or sequence of str
        As Interactive Brokers writes them.
    bar_size : str
        Interval of one bar, one that Interactive Brokers makes.
    since, until : str, date, datetime or Timestamp
        First and last day or time, UTC where they name no zone; a date as `until` is included; now by default.
    catalog : Catalog
        Where to store.
    what : str
        ``"TRADES"`` (adjusted for splits, not for dividends), ``"MIDPOINT"``, ``"BID"`` or ``"ASK"``.
    rth : bool
        Regular trading hours only.
    calendar : str
        Exchange calendar.
    security_type, exchange, currency : str
        What tells the symbols from their namesakes.
    fresh : bool
        Drop what is stored of these symbols and fetch it all again, which a split makes necessary.
    progress : callable, optional
        Called with (done, all) after each request.

    Raises
    ------
    ContractError
        For a symbol that is unknown or ambiguous; nothing was fetched then.
    DataError
        If stored bars do not fit those that come, such as after a split.
    ParameterError, UnknownNameError
        For options that cannot be used.
    RequestError, NoAnswerError, NotConnectedError
        If Interactive Brokers does not give the history, after several tries.
    """
    names = [symbols] if isinstance(symbols, str) else list(dict.fromkeys(symbols))
    if not names:
        raise ParameterError("no symbol is given; name at least one.")
    if what not in FETCHED_KINDS:
        raise UnknownNameError("kind of price to fetch", what, FETCHED_KINDS)
    size = BarSize.parse(official_size(bar_size))
    now = client.current_time()
    until_ns = now if until is None else min(now, _moment(until, "until", end=True))
    order = _Order(size, _moment(since, "since", end=False), until_ns, what, rth, calendar)
    if order.since_ns >= until_ns:
        raise ParameterError(f"since {since!r} is not before {until or 'now'!r}; there is nothing to fetch.")
    found = [find_contract(client, n, security_type, exchange, currency) for n in names]
    jobs = [_plan(client, details, order, catalog, fresh=fresh) for details in found]
    total = sum(len(job.chunks) for job in jobs)
    done = 0
    for job in jobs:
        replace_all = fresh
        for chunk in job.chunks:
            stored = _fetch_chunk(client, job, chunk, order, catalog, replace_all=replace_all)
            replace_all = replace_all and not stored
            done += 1
            if progress is not None:
                progress(done, total)
    return FetchReport(str(size), catalog.path, tuple(_report(job, catalog, str(size)) for job in jobs))


# -- planning ----------------------------------------------------------------------------------------------


def _moment(given: Any, name: str, *, end: bool) -> int:
    import pandas as pd

    try:
        stamp = pd.Timestamp(given)
    except (ValueError, TypeError) as error:
        raise ParameterError(f"{name} {given!r} is no day or time; write 2010-12-31.") from error
    if pd.isna(stamp):
        raise ParameterError(f"{name} {given!r} is no day or time; write 2010-12-31.")
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    day_long = end and stamp == stamp.normalize()
    return int(stamp.as_unit("ns").value) + (DAY_NS if day_long else 0)


def _plan(client: Client, details: ContractDetails, order: _Order, catalog: Catalog, *, fresh: bool) -> _Job:
    instrument, size = instrument_of(details), order.size
    stored = None if fresh else _stored(catalog, instrument.symbol, str(size))
    job = _Job(details, instrument, stored, [])
    whole = _sessions(order.calendar, order.since_ns, order.until_ns)
    if stored is not None:
        first, over = _span(stored, size)
        later = _closing_after(whole, int(stored.time[-1]))
        job.chunks = chunks_between(size, max(over, order.since_ns), order.until_ns, later)
        if not chunks_between(size, order.since_ns, first, whole):
            return job
    since = max(order.since_ns, _head(client, job, order))
    if stored is None:
        job.chunks = chunks_between(size, since, order.until_ns, whole)
    else:
        # Backwards, so that what is stored has no hole when this is cut short.
        job.chunks += chunks_between(size, since, first, whole, backwards=True)
    return job


def _span(stored: Bars, size: BarSize) -> tuple[int, int]:
    """Where stored bars begin, and where the last of them does: it is asked for again, to be compared."""
    if size.intraday:
        return int(stored.time[0]) - size.duration_ns, int(stored.time[-1]) - size.duration_ns
    return int(stored.session[0]) * DAY_NS, int(stored.session[-1]) * DAY_NS


def _closing_after(sessions: Sessions, time_ns: int) -> Sessions:
    keep = sessions.close > time_ns
    return replace(sessions, day=sessions.day[keep], open=sessions.open[keep], close=sessions.close[keep])


def _sessions(calendar: str, start_ns: int, end_ns: int) -> Sessions:
    from quantlab.data.sessions import sessions_between

    return sessions_between(calendar, start_ns // DAY_NS - 1, end_ns // DAY_NS + 1)


def _stored(catalog: Catalog, symbol: str, size: str) -> Bars | None:
    known = any(e.symbol == symbol and e.bar_size == size for e in catalog.list())
    return catalog.bars(symbol, size) if known else None


def _head(client: Client, job: _Job, order: _Order) -> int:
    """Midnight of the first day that has history; 0 where Interactive Brokers does not tell."""
    try:
        head = client.head_timestamp(job.details.contract, order.what, rth=order.rth)
    except (RequestError, NoAnswerError) as error:
        job.notes.append(f"how far back history goes is not told ({error}); it is asked for from the start.")
        return 0
    return 0 if head is None else head // DAY_NS * DAY_NS


# -- fetching ----------------------------------------------------------------------------------------------


def _fetch_chunk(
    client: Client, job: _Job, chunk: Chunk, order: _Order, catalog: Catalog, *, replace_all: bool
) -> bool:
    """Ask for one chunk and store what is new in it; returns whether anything was stored."""
    came = _ask(client, job, chunk, order)
    inside = [b for b in came if chunk.start_ns <= _stamp(b, order.size) < chunk.end_ns]
    made = bars_of(
        inside,
        job.instrument,
        str(order.size),
        order.calendar,
        closed_by_ns=order.until_ns,
        meta={"source": _source(job, order), "adjustment": _adjustment(job, order)},
    )
    if made is not None and job.stored is not None:
        made = _only_new(made, job.stored, job)
    if made is None:
        return False
    catalog.write(
        made,
        what=order.what,
        session_kind="regular" if order.rth else "extended",
        replace="all" if replace_all else False,
    )
    job.n_bars += made.n_bars
    return True


def _ask(client: Client, job: _Job, chunk: Chunk, order: _Order) -> tuple[HistoryBar, ...]:
    """Ask for a chunk, again and later if it came too early or was not answered."""
    for wait_s in (*WAITS_S, None):
        job.n_requests += 1
        try:
            return client.history(
                job.details.contract,
                end=chunk.until_ns,
                duration=chunk.duration,
                bar_size=str(order.size),
                what=order.what,
                rth=order.rth,
            )
        except NoAnswerError:
            if wait_s is None:
                raise
        except RequestError as error:
            if wait_s is None or error.code not in TOO_EARLY or "pacing" not in error.text.lower():
                raise
        client.clock.sleep(wait_s)
    raise AssertionError  # the last try returns or raises


def _only_new(made: Bars, stored: Bars, job: _Job) -> Bars | None:
    """Bars outside the stored span; those inside are compared.

    Raises
    ------
    DataError
        If stored closes are on another basis than those that come.
    """
    shared, here, there = np.intersect1d(made.time, stored.time, assume_unique=True, return_indices=True)
    if shared.size:
        ratio = made.close[here, 0] / stored.close[there, 0]
        worst = int(np.argmax(np.abs(ratio - 1.0)))
        if abs(ratio[worst] - 1.0) > REBASED:
            raise DataError(
                f"the close of {job.instrument.symbol} at {np.datetime64(int(shared[worst]), 'ns')} is now "
                f"{made.close[here[worst], 0]:g} and {stored.close[there[worst], 0]:g} is stored: its history was "
                "adjusted again, most likely for a split. Nothing is written; fetch it all again with fresh=True "
                "(--fresh)."
            )
        if ratio[worst] != 1.0:
            job.notes.append(
                f"{int((ratio != 1.0).sum())} stored close(s) were corrected since by up to "
                f"{abs(ratio[worst] - 1.0):.2%}; the stored ones stand."
            )
    return _rows(made, (made.time < stored.time[0]) | (made.time > stored.time[-1]))


def _source(job: _Job, order: _Order) -> dict[str, Any]:
    contract = job.details.contract
    return {
        "kind": "interactive brokers",
        "con_id": contract.con_id,
        "symbol": contract.symbol,
        "exchange": contract.exchange,
        "currency": contract.currency,
        "what": order.what,
        "rth": order.rth,
    }


def _adjustment(job: _Job, order: _Order) -> str:
    shares = order.what == "TRADES" and job.instrument.security_type == "STK"
    return "adjusted for splits, not for dividends" if shares else "raw"


def _report(job: _Job, catalog: Catalog, size: str) -> FetchedSeries:
    symbol = job.instrument.symbol
    entry = next((e for e in catalog.list() if e.symbol == symbol and e.bar_size == size), None)
    if job.chunks and not job.n_bars and entry is None:
        job.notes.append("Interactive Brokers has no bars of it in this span.")
    span = ("", "") if entry is None else (entry.first, entry.last)
    return FetchedSeries(symbol, job.n_requests, job.n_bars, *span, tuple(job.notes))
