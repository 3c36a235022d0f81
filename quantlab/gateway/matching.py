"""At which price an order fills: by the engine's rule on bars, or against quotes after a delay.

Both ways end in the same record, whose parts add up to the price, so that a difference from a backtest can be
attributed: ``price = reference + latency_move + side * (half_spread + slippage) + rounding``, but for the last bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from quantlab.gateway.charges import Charges

__all__ = [
    "BARS",
    "BY_LIMIT",
    "BY_STOP",
    "QUOTES",
    "Match",
    "Met",
    "Terms",
    "at_limit",
    "at_open",
    "at_quote",
    "is_touched",
    "limit_mid",
    "meet_open",
    "meet_rest",
    "trail_level",
]

BARS, QUOTES = "bars", "quotes"
"""The two ways to fill."""

BY_LIMIT, BY_STOP = "limit", "stop"
"""How an order inside a bar came to fill: at its limit, or at the market once its stop was touched."""


class Terms(NamedTuple):
    """Prices that an order waits for.

    Parameters
    ----------
    stop : float or None
        Touched by the price, it makes a market order, or with a limit a limit order. None without one.
    limit : float or None
        Price that a fill never goes beyond.
    triggered : bool
        Whether the stop was touched before.
    """

    stop: float | None
    limit: float | None
    triggered: bool = False


class Met(NamedTuple):
    """What came of an order that met a price.

    Parameters
    ----------
    reference : float or None
        Price that it fills at, before costs; None if it does not fill.
    way : str
        `BY_LIMIT` or `BY_STOP`, if it fills; else empty.
    triggered : bool
        Whether its stop has been touched, now or before.
    """

    reference: float | None
    way: str
    triggered: bool


@dataclass(frozen=True, slots=True)
class Match:
    """A price and what it is made of, all in the asset's currency.

    Parameters
    ----------
    price : float
        What is paid or received.
    reference : float
        The open of the bar, the level of a stop that fills inside one, or the middle of the quotes when the order
        could first have traded.
    mid : float
        Middle of the quotes at the fill; where bars fill the open, the limit, or the level of the stop.
    half_spread, slippage : float
        By how much the price is worse than the middle because of the spread, and because of slippage.
    rounding : float
        What rounding to the tick and the limit added; signed as the price is.
    """

    price: float
    reference: float
    mid: float
    half_spread: float
    slippage: float
    rounding: float

    @property
    def latency_move(self) -> float:
        """What the price moved between the first chance to trade and the fill."""
        return self.mid - self.reference


# -- the rule of orders inside a bar -------------------------------------------------------------------------


def is_touched(side: int, stop: float, price: float) -> bool:
    """Whether a price is at a stop or beyond it: at or above it for a buy, at or below it for a sale."""
    return side * price >= side * stop


def meet_open(side: int, opened: float, terms: Terms) -> Met:
    """Let an order meet the open of a bar.

    Parameters
    ----------
    side : {1, -1}
        Buy or sell.
    opened : float
        The open.
    terms : Terms
        Stop, limit, or both.

    Returns
    -------
    Met
        It fills at the open if that is at its stop or beyond, and within its limit. A stop-limit whose open is beyond
        the limit is triggered, and its limit stands.
    """
    stop, limit, triggered = terms
    if stop is not None and not triggered:
        if not is_touched(side, stop, opened):
            return Met(None, "", triggered=False)
        triggered = True
    if limit is not None and not side * opened <= side * limit:
        return Met(None, "", triggered)
    return Met(opened, BY_LIMIT if stop is None else BY_STOP, triggered)


def meet_rest(side: int, dear: float, cheap: float, closed: float, terms: Terms) -> Met:
    """Let an order that did not fill at the open meet the rest of the bar.

    Parameters
    ----------
    side : {1, -1}
        Buy or sell.
    dear, cheap : float
        The bar's extremes as the order sees them: high and low for a buy, low and high for a sale.
    closed : float
        The close.
    terms : Terms
        Stop, limit, or both.

    Returns
    -------
    Met
        A stop fills at its level if the bar touches it. A limit fills at its level if the bar goes through it. A
        stop-limit does as its stop does where the limit lies beyond the stop. Where the price has to come back for the
        limit, it fills there only if the close is through it, for only then it came back for certain.
    """
    stop, limit, triggered = terms
    if stop is not None and not triggered:
        if not is_touched(side, stop, dear):
            return Met(None, "", triggered=False)
        if limit is None or side * limit >= side * stop:
            return Met(stop, BY_STOP, triggered=True)
        triggered, cheap = True, closed
    if limit is None or not side * cheap < side * limit:
        return Met(None, "", triggered)
    return Met(limit, BY_LIMIT, triggered)


def trail_level(side: int, extreme: float, amount: float | None, fraction: float | None) -> float:
    """Level of a trailing stop, before it is rounded: `amount`, or a `fraction` of the price, from the best price."""
    if amount is not None:
        return extreme + side * amount
    return extreme * (1.0 + side * (fraction or 0.0))


# -- prices --------------------------------------------------------------------------------------------------


def at_open(charges: Charges, column: int, side: int, opened: float, limit: float | None) -> Match | None:
    """Fill at a bar's open or at the level of a stop, by the engine's rule; None where a limit is not reached there.

    Parameters
    ----------
    charges : Charges
        Slippage, spread and tick.
    column : int
        Of the asset.
    side : {1, -1}
        Buy or sell.
    opened : float
        The open, the close that a market order fills at, or the level of the stop.
    limit : float or None
        Price that a fill never goes beyond; it must be met by the open itself.
    """
    if limit is not None and side * opened > side * limit:
        return None
    slippage, half = charges.slippage(column), charges.half_spread(column)
    price = charges.worsened(column, opened, side, slippage, half)
    if limit is not None and side * price > side * limit:
        price = limit
    exact = opened * (1.0 + side * (slippage + half))
    return Match(price, opened, opened, opened * half, opened * slippage, price - exact)


def at_limit(opened: float, limit: float) -> Match:
    """Fill inside a bar at a limit that it trades through; the bar's open is the reference."""
    return Match(limit, opened, limit, 0.0, 0.0, 0.0)


def at_quote(
    charges: Charges,
    column: int,
    side: int,
    *,
    mid: float,
    reference: float,
    half_spread: float,
    limit: float | None,
) -> Match | None:
    """Fill at the ask or the bid; None where a limit is not reached.

    Parameters
    ----------
    charges : Charges
        Has the tick.
    column, side
        The asset; 1 buy, -1 sell.
    mid, reference : float
        Middle of the quotes now, and when the order could first have traded.
    half_spread : float
        Fraction of price.
    limit : float or None
        Price that a fill never goes beyond.
    """
    price = charges.quoted(column, mid, side, half_spread)
    if limit is not None and side * price > side * limit:
        # The instant of the crossing is a whole nanosecond: the price there may miss the limit by its last bits.
        if side * (limit_mid(limit, side, half_spread) - mid) < -1e-9 * mid:
            return None
        price = limit
    exact = mid * (1.0 + side * half_spread)
    return Match(price, reference, mid, mid * half_spread, 0.0, price - exact)


def limit_mid(limit: float, side: int, half_spread: float) -> float:
    """Middle of the quotes at which the ask (buy) or the bid (sale) is at a limit."""
    return limit / (1.0 + side * half_spread)
