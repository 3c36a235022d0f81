"""Frozen records of trading: what is traded, asked for, done and held. Quantities are signed, buy > 0."""

from __future__ import annotations

from dataclasses import dataclass

from quantlab.errors import ParameterError, UnknownNameError

__all__ = ["SECURITY_TYPES", "Fill", "Instrument", "Order", "Position", "Trade"]

SECURITY_TYPES = ("STK", "FUT", "CASH", "CFD", "IND", "CRYPTO")
"""Security types, by Interactive Brokers' abbreviations (options are out of scope)."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded.

    Parameters
    ----------
    symbol : str
        Ticker, unique within a set of bars.
    security_type : str
        One of ``SECURITY_TYPES``; chooses the default commission schedule.
    exchange, currency : str
        Routing exchange and account currency code.
    multiplier : float
        Money per unit and point of price (1 for stocks, 50 for an ES future).
    tick : float or None
        Smallest price step of raw prices; None leaves fill prices unrounded.
    lot : float
        Smallest step of raw units.

    Raises
    ------
    UnknownNameError
        For a security type that is not on the list.
    ParameterError
        For a multiplier, tick or lot that is not above zero.
    """

    symbol: str
    security_type: str = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    multiplier: float = 1.0
    tick: float | None = None
    lot: float = 1.0

    def __post_init__(self) -> None:
        if self.security_type not in SECURITY_TYPES:
            raise UnknownNameError("security type", self.security_type, SECURITY_TYPES)
        for name in ("multiplier", "tick", "lot"):
            number = getattr(self, name)
            if number is not None and not 0.0 < number < float("inf"):
                raise ParameterError(
                    f"{name} of {self.symbol} is {number!r}; a positive finite number is needed."
                )


@dataclass(frozen=True, slots=True)
class Order:
    """One instruction. ``time_ns`` is the close of the bar that decided it, UTC."""

    time_ns: int
    symbol: str
    quantity: float
    target: float
    decision_price: float
    status: str


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution; ``price`` already carries slippage and spread, ``commission`` and ``fees`` are money."""

    time_ns: int
    symbol: str
    quantity: float
    price: float
    commission: float
    fees: float


@dataclass(frozen=True, slots=True)
class Position:
    """Units held of one instrument, marked at its last close."""

    symbol: str
    quantity: float
    price: float
    value: float


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed round trip, from flat to flat; ``pnl`` is net of its costs, ``return_`` is on entry value."""

    symbol: str
    entry_time_ns: int
    exit_time_ns: int
    quantity: float
    entry_price: float
    exit_price: float
    pnl: float
    return_: float
    bars_held: int
