"""Contracts of the simulated gateway: who is listed, which of them a request means, and their details."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from quantlab.barsize import SECOND_NS
from quantlab.wire.messages import Contract, ContractData

if TYPE_CHECKING:
    from quantlab.gateway.market import Market
    from quantlab.model import Instrument

__all__ = ["Listing", "Listings", "Refusal", "in_zone", "tws_zone"]

DAYS_AHEAD = 7
"""Calendar days of trading hours that contract details list, today included."""


class Refusal(NamedTuple):
    """Why a request is refused: Interactive Brokers' code, and words."""

    code: int
    text: str


class Known(NamedTuple):
    """What is publicly known of a sample stock."""

    con_id: int
    name: str
    primary_exchange: str
    industry: str


KNOWN = {
    "AAPL": Known(265598, "APPLE INC", "NASDAQ", "Technology"),
    "GOOG": Known(208813720, "ALPHABET INC-CL C", "NASDAQ", "Communications"),
    "IBM": Known(8314, "INTL BUSINESS MACHINES CORP", "NYSE", "Technology"),
    "MSFT": Known(272093, "MICROSOFT CORP", "NASDAQ", "Technology"),
}
"""Stocks of the sample under their real numbers, so that what is looked up here can be looked up there."""

ABROAD = "IBM"
"""The symbol that is listed twice: in USD, and in EUR without prices, so that an ambiguity can be met."""

ABROAD_EXCHANGE, ABROAD_CURRENCY = "IBIS", "EUR"

HOME = {"CASH": "IDEALPRO", "FUT": "CME", "CRYPTO": "PAXOS"}
"""Where an instrument is taken to be listed that does not say so, by security type; stocks at NASDAQ."""

ALIASES = {"ISLAND": "NASDAQ"}
"""Other names of exchanges."""

UNKNOWN = Refusal(200, "No security definition has been found for the request")

SYNTHETIC = "REAL BARS, SYNTHETIC PATH INSIDE THEM"
"""What the long name of every contract ends with."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One contract that may be asked for.

    Parameters
    ----------
    contract : Contract
        In full, routed to SMART.
    column : int or None
        Of its prices in the market; None for a contract without any.
    tick : float
        Step of its prices.
    lot : float
        Step of its quantities.
    multiplier : float
        Money per unit and point.
    long_name, industry : str
        Words about it.
    """

    contract: Contract
    column: int | None
    tick: float
    lot: float
    multiplier: float
    long_name: str
    industry: str = ""


class Listings:
    """Every contract of a market.

    Parameters
    ----------
    market : Market
        Whose instruments are listed, and one foreign listing of `ABROAD` where that is among them.
    """

    def __init__(self, market: Market) -> None:
        self._all = [_listed(x, i) for i, x in enumerate(market.base.instruments)]
        for x in market.base.instruments:
            if (x.symbol, x.security_type, x.currency) == (ABROAD, "STK", "USD"):
                self._all.append(_abroad(x))
        self._hours = market.hours
        self._zone = market.zone

    def by_column(self, column: int) -> Listing:
        """Give the listing of an asset of the market."""
        return self._all[column]

    def find(self, wanted: Contract) -> tuple[Listing, ...]:
        """Every listing that fits a contract as far as it is named."""
        return tuple(x for x in self._all if _fits(x.contract, wanted))

    def one(self, wanted: Contract) -> Listing | Refusal:
        """Give the listing that a contract means, or error 200: nothing fits, or more than one."""
        found = self.find(wanted)
        if len(found) == 1:
            return found[0]
        if not found:
            return UNKNOWN
        return Refusal(
            200,
            f"The contract description specified for {wanted.symbol} is ambiguous; "
            f"name its currency or primary exchange: "
            + ", ".join(f"{x.contract.currency} at {x.contract.primary_exchange}" for x in found),
        )

    def details(self, listing: Listing, request_id: int, now_ns: int) -> ContractData:
        """Answer a request for details."""
        hours = self._trading_hours(now_ns)
        exchanges = ["SMART", listing.contract.primary_exchange]
        return ContractData(
            request_id=request_id,
            contract=listing.contract,
            market_name=listing.contract.trading_class,
            min_tick=listing.tick,
            order_types="DAY,FOK,GTC,IOC,LMT,MKT,MOC,OPG,STP,STPLMT,TRAIL",
            valid_exchanges=",".join(dict.fromkeys(exchanges)),
            long_name=f"{listing.long_name} ({SYNTHETIC})",
            industry=listing.industry,
            time_zone=tws_zone(self._zone),
            trading_hours=hours,
            liquid_hours=hours,
            market_rule_ids=",".join("26" for _ in dict.fromkeys(exchanges)),
            stock_type="COMMON" if listing.contract.security_type == "STK" else "",
            agg_group=1,
            min_size=listing.lot,
            size_increment=listing.lot,
            suggested_size_increment=100.0 * listing.lot,
        )

    def _trading_hours(self, now_ns: int) -> str:
        """Sessions of the days ahead, in the exchange's zone; a day without one is closed."""
        today = in_zone(now_ns, self._zone).date()
        parts = []
        for ahead in range(DAYS_AHEAD):
            day = today + timedelta(days=ahead)
            number = (day - datetime(1970, 1, 1, tzinfo=UTC).date()).days
            k = int(self._hours.day.searchsorted(number))
            if k < self._hours.day.size and self._hours.day[k] == number:
                opened, closed = (
                    in_zone(int(t), self._zone).strftime("%Y%m%d:%H%M")
                    for t in (self._hours.open_ns[k], self._hours.close_ns[k])
                )
                parts.append(f"{opened}-{closed}")
            else:
                parts.append(f"{day:%Y%m%d}:CLOSED")
        return ";".join(parts)


def in_zone(time_ns: int, zone: str) -> datetime:
    """Show an instant on the clocks of a zone, whole seconds."""
    return datetime.fromtimestamp(time_ns // SECOND_NS, ZoneInfo(zone))


def tws_zone(zone: str) -> str:
    """Name that TWS has for a time zone."""
    return {"America/New_York": "US/Eastern", "America/Chicago": "US/Central"}.get(zone, zone)


def _listed(instrument: Instrument, column: int) -> Listing:
    """Make the listing of an instrument of the market."""
    symbol = instrument.symbol
    known = KNOWN.get(symbol) if (instrument.security_type, instrument.currency) == ("STK", "USD") else None
    own = "" if instrument.exchange == "SMART" else instrument.exchange
    primary = known.primary_exchange if known else own or HOME.get(instrument.security_type, "NASDAQ")
    multiplier = "" if instrument.multiplier == 1.0 else f"{instrument.multiplier:g}"
    contract = Contract(
        con_id=known.con_id if known else _con_id(symbol, instrument.security_type, instrument.currency),
        symbol=symbol,
        security_type=instrument.security_type,
        multiplier=multiplier,
        exchange="SMART",
        primary_exchange=primary,
        currency=instrument.currency,
        local_symbol=symbol,
        trading_class=symbol,
    )
    return Listing(
        contract,
        column,
        instrument.tick or 1e-4,
        instrument.lot,
        instrument.multiplier,
        known.name if known else symbol,
        known.industry if known else "",
    )


def _abroad(instrument: Instrument) -> Listing:
    """Make the listing of the same stock elsewhere, in another currency and without prices."""
    home = _listed(instrument, 0)
    contract = Contract(
        con_id=_con_id(instrument.symbol, "STK", ABROAD_CURRENCY),
        symbol=instrument.symbol,
        security_type="STK",
        exchange="SMART",
        primary_exchange=ABROAD_EXCHANGE,
        currency=ABROAD_CURRENCY,
        local_symbol=instrument.symbol,
        trading_class="XETRA",
    )
    return Listing(
        contract, None, home.tick, 1.0, 1.0, f"{home.long_name}, WITHOUT PRICES HERE", home.industry
    )


def _con_id(symbol: str, security_type: str, currency: str) -> int:
    """Give a number that stays the same; not Interactive Brokers'."""
    digest = hashlib.blake2b(f"{symbol}\0{security_type}\0{currency}".encode(), digest_size=4).digest()
    return 1_000_000_000 + int.from_bytes(digest, "big") % 1_000_000_000


def _fits(listed: Contract, wanted: Contract) -> bool:
    """Whether a listing is what a request names; what it does not name fits everything."""
    if wanted.con_id:
        return wanted.con_id == listed.con_id
    exchange = ALIASES.get(wanted.exchange, wanted.exchange)
    primary = ALIASES.get(wanted.primary_exchange, wanted.primary_exchange)
    return (
        (wanted.symbol or wanted.local_symbol).upper() == listed.symbol.upper()
        and wanted.security_type == listed.security_type
        and wanted.currency in {"", listed.currency}
        and exchange in {"", "SMART", listed.primary_exchange}
        and primary in {"", "SMART", listed.primary_exchange}
        and wanted.local_symbol in {"", listed.local_symbol}
        and wanted.trading_class in {"", listed.trading_class}
    )
