"""Contracts: what Interactive Brokers calls an instrument, found by its symbol and told apart from its namesakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from quantlab.errors import ContractError, RequestError
from quantlab.model import Instrument

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ContractDetails", "ContractId", "ContractSource", "contract_of", "find_contract", "instrument_of"]

NO_DEFINITION = 200
"""Interactive Brokers' code for a description that fits no contract, or more than one."""

SHOWN = 12
"""Contracts that an error lists."""


@dataclass(frozen=True, slots=True)
class ContractId:
    """Which contract.

    Attributes
    ----------
    con_id : int
        Interactive Brokers' own number; 0 where it is not known.
    symbol, security_type, exchange, primary_exchange, currency : str
        The description by which it is found.
    multiplier : float
        Money per unit and point, before any price magnifier; 1 where Interactive Brokers gives none.
    last_trade_date : str
        ``"yyyymmdd"`` or ``"yyyymm"`` of a future; empty for everything else.
    local_symbol, trading_class : str
        The exchange's own names.
    """

    con_id: int
    symbol: str
    security_type: str = "STK"
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = "USD"
    multiplier: float = 1.0
    last_trade_date: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    def __str__(self) -> str:
        """One line that tells it from its namesakes."""
        place = self.exchange + (f"/{self.primary_exchange}" if self.primary_exchange else "")
        parts = [self.symbol, self.security_type, place, self.currency, self.last_trade_date]
        number = f"con_id {self.con_id}" if self.con_id else ""
        return " ".join(p for p in (*parts, number) if p)


@dataclass(frozen=True, slots=True)
class ContractDetails:
    """What Interactive Brokers knows of a contract.

    Attributes
    ----------
    contract : ContractId
        Which one.
    long_name : str
        Name of the company or the product.
    tick : float
        Smallest price step anywhere in its price range, as Interactive Brokers gives it.
    price_magnifier : int
        Prices are quoted in so many parts of the currency: 100 where they are in cents or pence.
    order_types, exchanges : tuple of str
        What may be sent, and where to.
    time_zone : str
        Zone of the hours.
    trading_hours, liquid_hours : str
        Sessions of the next days as Interactive Brokers writes them; `quantlab.broker.hours` reads them.
    min_size, size_step : float or None
        Smallest size and its step; None from clients and servers that do not say.
    market_rule_ids : tuple of str
        Price steps by price, one rule an exchange.
    market_name, industry, category, contract_month : str
        As Interactive Brokers classifies it.
    """

    contract: ContractId
    long_name: str = ""
    tick: float = 0.01
    price_magnifier: int = 1
    order_types: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    time_zone: str = ""
    trading_hours: str = ""
    liquid_hours: str = ""
    min_size: float | None = None
    size_step: float | None = None
    market_rule_ids: tuple[str, ...] = ()
    market_name: str = ""
    industry: str = ""
    category: str = ""
    contract_month: str = ""


class ContractSource(Protocol):
    """What answers questions about contracts: a connected client."""

    def contract_details(
        self, contract: ContractId, *, timeout_s: float | None = None
    ) -> tuple[ContractDetails, ...]:
        """Everything that fits the description."""


def find_contract(
    client: ContractSource,
    symbol: str,
    security_type: str = "STK",
    exchange: str = "SMART",
    currency: str = "USD",
    *,
    primary_exchange: str = "",
    last_trade_date: str = "",
) -> ContractDetails:
    """Find the one contract that a symbol stands for.

    Parameters
    ----------
    client : Client
        Connected.
    symbol : str
        As Interactive Brokers writes it: ``BRK B``, not ``BRK.B``.
    security_type, exchange, currency, primary_exchange, last_trade_date : str
        What tells it from its namesakes; empty strings leave it open.

    Raises
    ------
    ContractError
        If there is none, or more than one; says which there are.
    NoAnswerError, NotConnectedError, RequestError
        If the question was not answered.
    """
    wanted = ContractId(
        0, symbol, security_type, exchange, primary_exchange, currency, last_trade_date=last_trade_date
    )
    try:
        found = client.contract_details(wanted)
    except RequestError as error:
        if error.code != NO_DEFINITION:
            raise
        if "ambiguous" in error.text.lower():
            raise ContractError(_ambiguous_text(wanted, ())) from error
        found = ()
    distinct = list({d.contract.con_id: d for d in found}.values())
    if not distinct:
        raise ContractError(_unknown_text(wanted, _namesakes(client, wanted)))
    if len(distinct) > 1:
        raise ContractError(_ambiguous_text(wanted, distinct))
    return distinct[0]


def _namesakes(client: ContractSource, wanted: ContractId) -> Sequence[ContractDetails]:
    """Contracts of the same symbol and type anywhere, to show what could have been meant."""
    wider = ContractId(0, wanted.symbol, wanted.security_type, "", "", "")
    if (wider.exchange, wider.currency) == (wanted.exchange, wanted.currency):
        return ()
    try:
        found = client.contract_details(wider)
    except RequestError:
        return ()
    return list({d.contract.con_id: d for d in found}.values())


def _unknown_text(wanted: ContractId, near: Sequence[ContractDetails]) -> str:
    text = f"Interactive Brokers knows no contract {wanted}."
    if near:
        return f"{text} Of that symbol there is: {_listed(near)}. Give one of these exchanges and currencies."
    dotted = "." in wanted.symbol or "/" in wanted.symbol or "-" in wanted.symbol
    hint = f" (share classes are written with a space: {wanted.symbol.split('.')[0]} B)" if dotted else ""
    return f"{text} Check the spelling{hint}, the security type, the exchange and the currency."


def _ambiguous_text(wanted: ContractId, found: Sequence[ContractDetails]) -> str:
    there = f": {_listed(found)}" if found else ""
    return (
        f"{wanted} stands for {len(found) or 'several'} contracts{there}. Say which with exchange, primary "
        "exchange, currency or last trade date."
    )


def _listed(found: Sequence[ContractDetails]) -> str:
    shown = [f"{d.contract}" + (f" ({d.long_name})" if d.long_name else "") for d in found[:SHOWN]]
    return "; ".join(shown) + (f"; … ({len(found)} in all)" if len(found) > SHOWN else "")


def instrument_of(details: ContractDetails) -> Instrument:
    """Make the instrument of a contract.

    A price magnifier goes into the multiplier and the tick, so that both belong to prices as they are quoted.
    Fractions of a share cannot be sent through the socket, so the lot of everything but crypto is one unit.

    Raises
    ------
    UnknownNameError
        For a security type that quantlab does not trade.
    """
    contract, magnifier = details.contract, details.price_magnifier or 1
    step = details.size_step if contract.security_type == "CRYPTO" else None
    return Instrument(
        symbol=contract.symbol,
        security_type=contract.security_type,
        exchange=contract.exchange or "SMART",
        currency=contract.currency,
        multiplier=contract.multiplier / magnifier,
        tick=details.tick * magnifier if details.tick > 0.0 else None,
        lot=step or 1.0,
    )


def contract_of(instrument: Instrument, con_id: int = 0) -> ContractId:
    """Describe an instrument as a contract.

    Parameters
    ----------
    instrument : Instrument
        What is traded.
    con_id : int, optional
        Interactive Brokers' number, where it is known; a future needs it, since an instrument has no date.
    """
    kind = instrument.security_type
    return ContractId(
        con_id,
        instrument.symbol,
        kind,
        instrument.exchange,
        "",
        instrument.currency,
        # With a number nothing else has to tell it apart, and a magnifier may be in the multiplier.
        instrument.multiplier if kind == "FUT" and not con_id else 1.0,
    )
