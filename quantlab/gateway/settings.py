"""How a gateway behaves: its options, each checked once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantlab.barsize import BarSize
from quantlab.errors import GatewayError, UnknownNameError
from quantlab.gateway.matching import BARS, QUOTES
from quantlab.gateway.path import STEP_NS

if TYPE_CHECKING:
    from quantlab.costs import Costs
    from quantlab.gateway.market import Market

__all__ = ["Settings", "day_of", "fill_size", "last_close", "loopback", "not_negative", "paper_account"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a gateway behaves.

    Parameters
    ----------
    account : str
        Number of the account.
    cash : float
        Money it starts with.
    fills : {"quotes", "bars"}
        How orders fill.
    fill_size : BarSize
        Bars whose opens fill, with ``fills="bars"``.
    costs : Costs
        Commission and fees; with ``fills="bars"`` also slippage and spread.
    speed : float or str
        Simulated seconds a second, ``"max"`` or ``"step"``.
    spread_bps, latency_s : float
        Of the quotes.
    end_ns : int or None
        Time does not go beyond this.
    read_only : bool
        Refuse orders.
    """

    account: str
    cash: float
    fills: str
    fill_size: BarSize
    costs: Costs
    speed: float | str
    spread_bps: float = 2.0
    latency_s: float = 0.25
    end_ns: int | None = None
    read_only: bool = False


def loopback(host: str) -> str:
    """Host, if it is loopback.

    Raises
    ------
    GatewayError
        If it is not.
    """
    try:
        good = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        good = False
    if not good:
        raise GatewayError(
            f"host is {host!r}; the simulated gateway listens on loopback only: 127.0.0.1, ::1 or localhost."
        )
    return host


def paper_account(account: str) -> str:
    """Account, if it looks like a paper account.

    Raises
    ------
    GatewayError
        If it does not.
    """
    if not (isinstance(account, str) and account.startswith("DU") and account[2:].isalnum()):
        raise GatewayError(
            f"account is {account!r}; a paper account is needed, DU and digits, such as DU1234567."
        )
    return account


def fill_size(market: Market, fills: str, bar_size: str | None) -> BarSize:
    """Size of the bars that fill.

    Raises
    ------
    UnknownNameError, GatewayError
        For another way to fill, and for a size that does not go with it or is too short.
    """
    if fills not in {QUOTES, BARS}:
        raise UnknownNameError("way to fill", str(fills), (QUOTES, BARS))
    size = market.size if bar_size is None else BarSize.parse(bar_size)
    if size.duration_ns < STEP_NS:
        raise GatewayError(f"bars of {size} cannot fill; the shortest that are served are of 5 secs.")
    return size


def not_negative(name: str, value: float, below: float = float("inf")) -> float:
    """Check that a number is 0 or more.

    Raises
    ------
    GatewayError
        For anything else.
    """
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not 0.0 <= value < below:
        limit = "" if below == float("inf") else f", below {below:g}"
        raise GatewayError(f"{name} is {value!r}; a number of 0 or more{limit} is needed.")
    return float(value)


def day_of(name: str, value: Any) -> int:
    """Day as days since 1970.

    Raises
    ------
    GatewayError
        For what is no day.
    """
    import pandas as pd

    try:
        stamp = pd.Timestamp(value)
    except (ValueError, TypeError) as error:
        raise GatewayError(f"{name} is {value!r}; a day is needed, such as 2012-01-03.") from error
    return int(stamp.normalize().to_datetime64().astype("M8[D]").astype("int64"))


def last_close(market: Market, end: Any) -> int:
    """Last close of a market on a day or before it, ns UTC.

    Raises
    ------
    GatewayError
        For what is no day, and for one before the first session.
    """
    number = int(market.hours.day.searchsorted(day_of("end", end), "right"))
    if number == 0:
        raise GatewayError(
            f"end is {end!r}, before the first session, {market.hours.day[0].astype('M8[D]')}."
        )
    return int(market.hours.close_ns[number - 1])
