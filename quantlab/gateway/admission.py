"""What an order must be to be taken: every reason to refuse one, with Interactive Brokers' code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantlab.gateway.account import INITIAL_MARGIN, TOLERANCE
from quantlab.gateway.contracts import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from quantlab.gateway.account import Account
    from quantlab.gateway.contracts import Listing
    from quantlab.gateway.orders import Order
    from quantlab.wire.messages import OrderTicket

__all__ = ["TIMES_IN_FORCE", "needs_more_margin", "ticket_refusal"]

ORDER_TYPES = ("MKT", "LMT")
TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "FOK", "OPG")
NOISE = 1e-9
"""Part of a tick or a lot that is representation."""


def ticket_refusal(ticket: OrderTicket, listing: Listing, account: str) -> Refusal | None:
    """Why an order cannot be taken whatever the account holds, or None.

    Parameters
    ----------
    ticket : OrderTicket
        The order.
    listing : Listing
        What it is for.
    account : str
        The only account there is.
    """
    said = (
        _quantity_refusal(ticket, listing)
        or _attribute_refusal(ticket)
        or _kind_refusal(ticket)
        or _price_refusal(ticket, listing)
    )
    if said is None and ticket.account not in {"", account}:
        said = Refusal(
            321, f"Error validating request: account {ticket.account} is not known; it is {account}."
        )
    if said is None and listing.column is None:
        said = Refusal(
            201, "Order rejected - reason: no trading permission, since there are no prices of this contract"
        )
    return said


def _quantity_refusal(ticket: OrderTicket, listing: Listing) -> Refusal | None:
    quantity = ticket.quantity
    if quantity == 0:
        return Refusal(434, "The order size cannot be zero.")
    if not (math.isfinite(quantity) and quantity > 0):
        return Refusal(321, f"Error validating request: quantity {quantity!r} is not above zero.")
    if ticket.action not in {"BUY", "SELL"}:
        return Refusal(321, f"Error validating request: action {ticket.action!r} is not BUY or SELL.")
    lots = quantity / listing.lot
    if abs(lots - round(lots)) > NOISE * max(1.0, lots):
        return Refusal(10243, f"Fractional-sized order cannot be placed: the step is {listing.lot:g}.")
    return None


def _attribute_refusal(ticket: OrderTicket) -> Refusal | None:
    for code, given, name in (
        (10268, ticket.e_trade_only, "EtradeOnly"),
        (10269, ticket.firm_quote_only, "FirmQuoteOnly"),
        (10270, ticket.nbbo_price_cap not in {None, 0.0}, "NbboPriceCap"),
    ):
        if given:
            return Refusal(code, f"The '{name}' order attribute is not supported.")
    if ticket.parent_id or ticket.oca_group:
        return Refusal(
            201, "Order rejected - reason: brackets and groups of orders are not simulated by this gateway"
        )
    if ticket.algo_strategy or ticket.cash_quantity:
        return Refusal(
            201, "Order rejected - reason: algorithms and cash quantities are not simulated by this gateway"
        )
    return None


def _kind_refusal(ticket: OrderTicket) -> Refusal | None:
    if ticket.order_type not in ORDER_TYPES:
        return Refusal(
            387,
            f"Unsupported order type {ticket.order_type!r}: this gateway simulates {' and '.join(ORDER_TYPES)}.",
        )
    if ticket.tif not in {"", *TIMES_IN_FORCE}:
        return Refusal(
            321,
            f"Error validating request: time in force {ticket.tif!r} is not simulated; "
            f"{', '.join(TIMES_IN_FORCE)} are.",
        )
    return None


def _price_refusal(ticket: OrderTicket, listing: Listing) -> Refusal | None:
    if ticket.order_type != "LMT":
        return None
    limit = ticket.limit_price
    if limit is None or not (math.isfinite(limit) and limit > 0.0):
        return Refusal(321, "Error validating request: a limit order needs a limit price above zero.")
    steps = limit / listing.tick
    if abs(steps - round(steps)) > NOISE * max(1.0, steps):
        return Refusal(
            110,
            f"The price does not conform to the minimum price variation for this contract, {listing.tick:g}.",
        )
    return None


def needs_more_margin(
    account: Account,
    standing: Iterable[Order],
    column: int,
    quantity: float,
    price: Callable[[int], float],
) -> Refusal | None:
    """Why the account cannot carry an order of signed `quantity`, or None.

    As the engine's test of buying power: an order that makes a position larger needs equity for the value of all
    positions and standing orders after it. Exits always pass.
    """
    wanted = {i: h.quantity for i, h in account.holdings.items()}
    for order in standing:
        wanted[order.column] = wanted.get(order.column, 0.0) + order.side * order.remaining
    before = wanted.get(column, 0.0)
    wanted[column] = before + quantity
    if abs(wanted[column]) <= abs(before):
        return None
    gross = sum(abs(account.worth(i, q, price(i))) for i, q in wanted.items() if q != 0.0)
    equity = account.equity(price)
    if gross * INITIAL_MARGIN <= equity * (1.0 + TOLERANCE):
        return None
    return Refusal(
        201,
        "Order rejected - reason: equity with loan value is not enough for the initial margin: "
        f"{equity:.2f} {account.currency} of {gross * INITIAL_MARGIN:.2f} {account.currency}",
    )
