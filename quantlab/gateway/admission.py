"""What an order must be to be taken: every reason to refuse one, with Interactive Brokers' code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quantlab.gateway.account import INITIAL_MARGIN, TOLERANCE
from quantlab.gateway.contracts import Refusal
from quantlab.gateway.orders import FILLED, MARKET_ON_CLOSE, has_limit, has_stop, is_trailing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from quantlab.gateway.account import Account
    from quantlab.gateway.contracts import Listing
    from quantlab.gateway.orders import Order
    from quantlab.wire.messages import OrderTicket

__all__ = [
    "NOISE",
    "TIMES_IN_FORCE",
    "change_refusal",
    "ended_refusal",
    "needs_more_margin",
    "parent_refusal",
    "ticket_refusal",
]

ORDER_TYPES = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC")
TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "FOK", "OPG")
TRIGGER_METHODS = frozenset({0, 1, 2, 3, 4, 7, 8})
"""What TWS knows; here every stop is triggered by the price of the path."""

_ATTRIBUTE = "The '{}' order attribute is not supported."
_NOT_SIMULATED = "Order rejected - reason: {} are not simulated by this gateway"

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
    for code, given, text in (
        (10268, ticket.e_trade_only, _ATTRIBUTE.format("EtradeOnly")),
        (10269, ticket.firm_quote_only, _ATTRIBUTE.format("FirmQuoteOnly")),
        (10270, ticket.nbbo_price_cap not in {None, 0.0}, _ATTRIBUTE.format("NbboPriceCap")),
        (
            201,
            ticket.algo_strategy or ticket.cash_quantity,
            _NOT_SIMULATED.format("algorithms and cash quantities"),
        ),
        (201, ticket.hedge_type, _NOT_SIMULATED.format("hedges")),
        (201, ticket.adjusted_order_type not in {"", "None"}, _NOT_SIMULATED.format("adjusted stops")),
        (
            321,
            ticket.oca_type not in {0, 1, 2, 3},
            "Error validating request: the OCA type is not 1, 2 or 3.",
        ),
        (146, ticket.trigger_method not in TRIGGER_METHODS, "Invalid trigger method."),
        (
            413,
            ticket.what_if and not ticket.transmit,
            "What-if order should have the transmit flag set to true.",
        ),
    ):
        if given:
            return Refusal(code, text)
    return None


def _kind_refusal(ticket: OrderTicket) -> Refusal | None:
    if ticket.order_type not in ORDER_TYPES:
        return Refusal(
            387,
            f"Unsupported order type {ticket.order_type!r}: this gateway simulates {', '.join(ORDER_TYPES)}.",
        )
    if ticket.tif not in {"", *TIMES_IN_FORCE}:
        return Refusal(
            321,
            f"Error validating request: time in force {ticket.tif!r} is not simulated; "
            f"{', '.join(TIMES_IN_FORCE)} are.",
        )
    if ticket.order_type == MARKET_ON_CLOSE and ticket.tif not in {"", "DAY"}:
        return Refusal(113, "The Tif option should be set to DAY for MOC and LOC orders.")
    if ticket.tif == "OPG" and (has_stop(ticket) or is_trailing(ticket)):
        return Refusal(111, f"The TIF (OPG) and the order type ({ticket.order_type}) are incompatible.")
    return None


def _price_refusal(ticket: OrderTicket, listing: Listing) -> Refusal | None:
    refusal = None
    if has_limit(ticket):
        refusal = _off_grid("limit", ticket.limit_price, listing)
    if refusal is None and has_stop(ticket):
        refusal = _off_grid("stop", ticket.aux_price, listing)
    if refusal is None and is_trailing(ticket):
        refusal = _trail_refusal(ticket)
        if refusal is None and ticket.trail_stop_price:
            refusal = _off_grid("first stop", ticket.trail_stop_price, listing)
    return refusal


def _trail_refusal(ticket: OrderTicket) -> Refusal | None:
    """Why a trailing order cannot be taken; its amount need not be on the tick, since its level is rounded."""
    amount, percent = ticket.aux_price or 0.0, ticket.trailing_percent or 0.0
    if amount and percent:
        return Refusal(
            321, "Error validating request: a trailing order has an amount or a percentage, not both."
        )
    if not amount and not percent:
        return Refusal(158, "You must specify an offset amount or a percent offset value.")
    if percent and not 0.0 < percent < 100.0:
        return Refusal(159, "The percent offset value must be between 0% and 100%.")
    if amount and not (math.isfinite(amount) and amount > 0.0):
        return Refusal(321, f"Error validating request: the trailing amount {amount!r} is not above zero.")
    return None


def _off_grid(name: str, price: float | None, listing: Listing) -> Refusal | None:
    """Why a price cannot be taken, or None."""
    if price is None or not (math.isfinite(price) and price > 0.0):
        return Refusal(321, f"Error validating request: this order type needs a {name} price above zero.")
    steps = price / listing.tick
    if abs(steps - round(steps)) > NOISE * max(1.0, steps):
        return Refusal(
            110,
            f"The price does not conform to the minimum price variation for this contract, {listing.tick:g}.",
        )
    return None


def ended_refusal(order: Order) -> Refusal:
    """Why an order that has ended may not be changed."""
    if order.status == FILLED:
        return Refusal(104, "Cannot modify a filled order.")
    return Refusal(103, "Duplicate order id")


def change_refusal(order: Order, ticket: OrderTicket, listing: Listing) -> Refusal | None:
    """Why a standing order may not be changed so, or None.

    Its side, its type, its contract, its parent and its group stay as they were; a parent or a group that is not given
    again is not changed.
    """
    own = order.ticket
    parent_id = ticket.parent_id or own.parent_id
    same = (ticket.action, ticket.order_type, parent_id) == (own.action, own.order_type, own.parent_id)
    if listing.column != order.column or not same:
        return Refusal(105, "Order being modified does not match original order")
    if ticket.oca_group not in {"", order.group}:
        return Refusal(10326, "OCA group revision is not allowed.")
    if ticket.oca_type not in {0, own.oca_type, order.group_type}:
        return Refusal(10327, "OCA group type revision is not allowed.")
    if ticket.quantity <= order.filled:
        return Refusal(201, f"Order rejected - reason: {order.filled:g} units have filled already")
    return None


def parent_refusal(ticket: OrderTicket, parent: Order | None, listing: Listing) -> Refusal | None:
    """Why an order may not hang on another one, or None."""
    if parent is None or parent.done:
        return Refusal(135, f"Can't find order with id ={ticket.parent_id}")
    if parent.column != listing.column:
        return Refusal(
            201, "Order rejected - reason: a child is for the contract of its parent in this gateway"
        )
    if ticket.quantity != parent.ticket.quantity:
        return Refusal(405, "The child order quantity should be equivalent to the parent order size.")
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
