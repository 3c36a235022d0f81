"""Requests of clients, each with what is done about it: the table that a session looks them up in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.barsize import SECOND_NS
from quantlab.gateway import history
from quantlab.gateway.contracts import Refusal
from quantlab.gateway.history import PRICE_KINDS, Shape
from quantlab.gateway.streams import BarStream, QuoteStream, RealTimeStream, TickStream
from quantlab.wire import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.gateway.contracts import Listing
    from quantlab.gateway.session import Session

__all__ = ["HANDLERS", "NOT_ANSWERED", "RAW_HANDLERS"]

NO_PRICES = Refusal(
    354, "Requested market data is not subscribed: there are no prices of this contract here."
)
DUPLICATE = Refusal(322, "Error processing request: duplicate request id")
NO_HISTORY = Refusal(
    162,
    "Historical Market Data Service error message:HMDS query returned no data: no prices of this contract here",
)
LIVE = 1
"""The kind of market data that is sent: live, as far as a simulation is."""

# -- session -------------------------------------------------------------------------------------------


def _ids(session: Session, message: m.RequestIds) -> None:  # noqa: ARG001
    session.send(m.NextValidId(session.venue.desk.next_order_id(session.client_id or 0)))


def _accounts(session: Session, message: m.RequestManagedAccounts) -> None:  # noqa: ARG001
    session.send(m.ManagedAccounts((session.venue.account.name,)))


def _time(session: Session, message: m.RequestCurrentTime) -> None:  # noqa: ARG001
    session.venue.asked(session)
    session.send(m.CurrentTime(session.venue.clock.now_ns // SECOND_NS))


# -- contracts -----------------------------------------------------------------------------------------


def _contract(session: Session, message: m.RequestContractData) -> None:
    listings = session.venue.listings
    found = listings.find(message.contract)
    if not found:
        refusal = listings.one(message.contract)
        if isinstance(refusal, Refusal):
            session.refuse(message.request_id, refusal)
        return
    for listing in found:
        session.send(listings.details(listing, message.request_id, session.venue.clock.now_ns))
    session.send(m.ContractDataEnd(message.request_id))


# -- bars ----------------------------------------------------------------------------------------------


def _priced(session: Session, request_id: int, contract: m.Contract, without: Refusal) -> Listing | None:
    """Find a listing that has prices; anything else is answered with an error."""
    listing = session.listing(request_id, contract)
    if listing is not None and listing.column is None:
        session.refuse(request_id, without)
        return None
    return listing


def _history(session: Session, message: m.RequestHistoricalData) -> None:
    venue = session.venue
    if message.request_id in session.streams:
        session.refuse(message.request_id, DUPLICATE)
        return
    listing = _priced(session, message.request_id, message.contract, NO_HISTORY)
    if listing is None or listing.column is None:
        return
    query = history.read_query(message, venue.tape, venue.clock.moment, venue.half_spread)
    if isinstance(query, Refusal):
        session.refuse(message.request_id, query)
        return
    if query.without_zone:
        text = "End Date/Time: a time without a zone was taken as the exchange's; write yyyymmdd-hh:mm:ss in UTC."
        session.refuse(message.request_id, Refusal(2174, text))
    running = None
    if message.keep_up_to_date:
        running = venue.tape.running(listing.column, query.size, venue.clock.moment)
    answer = history.answer_history(message, query, venue.tape, listing.column, running)
    if isinstance(answer, Refusal):
        session.refuse(message.request_id, answer)
        return
    session.send(answer)
    if (session.connection.version or 0) >= 196:
        session.send(m.HistoricalDataEnd(answer.request_id, answer.start, answer.end))
    if message.keep_up_to_date:
        session.streams[message.request_id] = BarStream(
            message.request_id, listing.column, query.size, query.shape, venue.tape.grid(query.size)
        )


def _cancel_history(session: Session, message: m.CancelHistoricalData) -> None:
    if session.streams.pop(message.request_id, None) is None:
        session.refuse(
            message.request_id,
            Refusal(366, f"No historical data query found for ticker id:{message.request_id}"),
        )
    else:
        session.refuse(
            message.request_id,
            Refusal(
                162, "Historical Market Data Service error message:API historical data query cancelled: ok"
            ),
        )


def _head(session: Session, message: m.RequestHeadTimestamp) -> None:
    listing = _priced(session, message.request_id, message.contract, NO_HISTORY)
    if listing is None or listing.column is None:
        return
    venue = session.venue
    size = venue.market.size
    first = next(iter(venue.tape.history(listing.column, size, 0, venue.clock.now_ns)), None)
    if first is None:
        session.refuse(message.request_id, NO_HISTORY)
        return
    session.send(m.HeadTimestamp(message.request_id, history.head_text(first.open_ns, message.format_date)))


def _real_time(session: Session, message: m.RequestRealTimeBars) -> None:
    listing = _follows(session, message.request_id, message.contract)
    if listing is None or listing.column is None:
        return
    if message.what not in PRICE_KINDS:
        kinds = ", ".join(PRICE_KINDS)
        text = f"Error validating request: {message.what!r} is not served; {kinds} are."
        session.refuse(message.request_id, Refusal(321, text))
        return
    venue = session.venue
    shape = Shape(message.what, venue.half_spread, 2, venue.market.zone)
    session.streams[message.request_id] = RealTimeStream(message.request_id, listing.column, shape)


def _follows(session: Session, request_id: int, contract: m.Contract) -> Listing | None:
    """Find the listing of a stream that may begin; anything else is answered with an error."""
    if request_id in session.streams:
        session.refuse(request_id, Refusal(102, "Duplicate ticker ID."))
        return None
    return _priced(session, request_id, contract, NO_PRICES)


def _cancel_stream(session: Session, message: Any) -> None:
    if session.streams.pop(message.request_id, None) is None:
        session.refuse(message.request_id, Refusal(300, f"Can't find EId with tickerId:{message.request_id}"))


# -- quotes --------------------------------------------------------------------------------------------


def _market_data(session: Session, message: m.RequestMarketData) -> None:
    listing = _follows(session, message.request_id, message.contract)
    if listing is None or listing.column is None:
        return
    venue = session.venue
    session.send(m.MarketDataType(message.request_id, LIVE))
    session.send(m.TickReqParams(message.request_id, listing.tick, "simulated", 3))
    stream = QuoteStream(message.request_id, listing.column, venue.charges, venue.half_spread)
    for each in stream.all(venue.tape, venue.clock.moment):
        session.send(each)
    if message.snapshot or message.regulatory_snapshot:
        session.send(m.TickSnapshotEnd(message.request_id))
    else:
        session.streams[message.request_id] = stream


def _ticks(session: Session, message: m.RequestTickByTick) -> None:
    listing = _follows(session, message.request_id, message.contract)
    if listing is None or listing.column is None:
        return
    if message.kind not in {"Last", "AllLast", "BidAsk", "MidPoint"}:
        session.refuse(
            message.request_id,
            Refusal(
                321, f"Error validating request: {message.kind!r} is not Last, AllLast, BidAsk or MidPoint."
            ),
        )
        return
    venue = session.venue
    session.streams[message.request_id] = TickStream(
        message.request_id, listing.column, message.kind, venue.charges, venue.half_spread
    )


# -- what the codec has no record of -------------------------------------------------------------------


def _figures_by_model(session: Session, fields: tuple[str, ...]) -> None:
    """Figures of one account and model: ``1, request id, account, model, ledger and net value only``."""
    request_id, account = fields[1], session.venue.account
    for tag, value, currency in account.figures(session.venue.desk.price):
        session.send(m.Unknown(73, ("1", request_id, account.name, "", tag, value, currency)))
    session.send(m.Unknown(74, ("1", request_id)))


# -- the table -----------------------------------------------------------------------------------------

HANDLERS: dict[type, Callable[[Session, Any], None]] = {
    m.RequestIds: _ids,
    m.RequestManagedAccounts: _accounts,
    m.RequestCurrentTime: _time,
    m.RequestContractData: _contract,
    m.RequestHistoricalData: _history,
    m.CancelHistoricalData: _cancel_history,
    m.RequestHeadTimestamp: _head,
    m.RequestRealTimeBars: _real_time,
    m.CancelRealTimeBars: _cancel_stream,
    m.RequestMarketData: _market_data,
    m.CancelMarketData: _cancel_stream,
    m.RequestTickByTick: _ticks,
    m.CancelTickByTick: _cancel_stream,
    m.PlaceOrder: lambda s, x: s.venue.desk.place(s.client_id or 0, x),
    m.CancelOrder: lambda s, x: s.venue.desk.cancel(s.client_id or 0, x),
    m.RequestGlobalCancel: lambda s, x: s.venue.desk.cancel_all(s.client_id or 0),  # noqa: ARG005
    m.RequestOpenOrders: lambda s, x: s.watch.open_orders(s.client_id),  # noqa: ARG005
    m.RequestAllOpenOrders: lambda s, x: s.watch.open_orders(None),  # noqa: ARG005
    m.RequestCompletedOrders: lambda s, x: s.watch.completed_orders(),  # noqa: ARG005
    m.RequestExecutions: lambda s, x: s.watch.executions(x),
    m.RequestPositions: lambda s, x: s.watch.positions(follow=True),  # noqa: ARG005
    m.CancelPositions: lambda s, x: s.watch.positions(follow=False),  # noqa: ARG005
    m.RequestAccountSummary: lambda s, x: s.watch.summary(x),
    m.CancelAccountSummary: lambda s, x: s.watch.cancel_summary(x.request_id),
    m.RequestAccountUpdates: lambda s, x: s.watch.updates(x),
    m.RequestPnL: lambda s, x: s.watch.pnl(x),
    m.CancelPnL: lambda s, x: s.watch.cancel_pnl(x.request_id),
    m.RequestPnLSingle: lambda s, x: s.watch.pnl_single(x),
    m.CancelPnLSingle: lambda s, x: s.watch.cancel_pnl(x.request_id),
}
"""What is done about each message of a client."""

RAW_HANDLERS: dict[int, Callable[[Session, tuple[str, ...]], None]] = {
    76: _figures_by_model,
    77: lambda s, x: None,  # noqa: ARG005  # nothing was promised, so there is nothing to stop
}
"""What is done about messages that have no record, by id: ib_async sends the first one at every connection."""

NOT_ANSWERED = frozenset(
    {m.CancelHeadTimestamp, m.RequestMarketDataType, m.RequestAutoOpenOrders, m.SetServerLogLevel}
)
"""Messages that TWS does not answer, and that change nothing here."""
