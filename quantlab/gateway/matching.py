"""At which price an order fills: by the engine's rule on bars, or against quotes after a delay.

Both ways end in the same record, whose parts add up to the price, so that a difference from a backtest can be
attributed: ``price = reference + latency_move + side * (half_spread + slippage) + rounding``, but for the last bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantlab.gateway.charges import Charges

__all__ = ["BARS", "QUOTES", "Match", "at_limit", "at_open", "at_quote", "limit_mid"]

BARS, QUOTES = "bars", "quotes"
"""The two ways to fill."""


@dataclass(frozen=True, slots=True)
class Match:
    """A price and what it is made of, all in the asset's currency.

    Parameters
    ----------
    price : float
        What is paid or received.
    reference : float
        The open of the bar, or the middle of the quotes when the order could first have traded.
    mid : float
        Middle of the quotes at the fill; the open, or the limit, where bars fill.
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


def at_open(charges: Charges, column: int, side: int, opened: float, limit: float | None) -> Match | None:
    """Fill at a bar's open, by the engine's rule; None where a limit is not reached there.

    Parameters
    ----------
    charges : Charges
        Slippage, spread and tick.
    column : int
        Of the asset.
    side : {1, -1}
        Buy or sell.
    opened : float
        The open.
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


def at_limit(side: int, opened: float, extreme: float, limit: float) -> Match | None:
    """Fill at a limit that a bar trades through; None where it only touches it, or does not get there.

    Parameters
    ----------
    side : {1, -1}
        Buy or sell.
    opened : float
        The bar's open, which is the reference.
    extreme : float
        Its low for a buy, its high for a sale.
    limit : float
        The limit.
    """
    if not side * extreme < side * limit:
        return None
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
