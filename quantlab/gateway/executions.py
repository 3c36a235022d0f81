"""Executions: one fill entered in the books, and the record that is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.gateway.orders import Execution

if TYPE_CHECKING:
    from quantlab.gateway.account import Account
    from quantlab.gateway.charges import Charges
    from quantlab.gateway.grid import Moment
    from quantlab.gateway.matching import Match
    from quantlab.gateway.orders import Order

__all__ = ["book_execution"]


def book_execution(
    order: Order,
    quantity: float,
    match: Match,
    *,
    account: Account,
    charges: Charges,
    symbol: str,
    day: int,
    moment: Moment,
    number: int,
) -> Execution:
    """Enter an execution in the books of the account and in its order.

    `quantity` is signed, and all that remains of the order or less; `day` counts from 1970, and `number` is that
    of the execution, from 1 on. Every execution pays for itself.
    """
    charge = charges.charge(order.column, day, quantity, match.price)
    cost = charge.commission + charge.fees
    realized = account.book(order.column, quantity, match.price, charge)
    if abs(quantity) == order.ticket.quantity:
        order.filled, order.average_price, order.commission = abs(quantity), match.price, cost
    else:
        done = order.filled + abs(quantity)
        order.average_price = (order.average_price * order.filled + match.price * abs(quantity)) / done
        # Sums of parts of a unit may miss the whole by a bit.
        order.filled = order.ticket.quantity if abs(quantity) == order.remaining else done
        order.commission = cost + (order.commission or 0.0)
    order.last_price = match.price
    return Execution(
        exec_id=f"0000e0d5.{order.perm_id:08x}.{number:02d}.01",
        order_ref=order.ticket.order_ref,
        symbol=symbol,
        client_id=order.client_id,
        order_id=order.order_id,
        perm_id=order.perm_id,
        quantity=quantity,
        price=match.price,
        commission=cost,
        fees=charge.fees,
        realized_pnl=realized,
        time_ns=moment.time_ns,
        reference=match.reference,
        mid=match.mid,
        half_spread=match.half_spread,
        slippage=match.slippage,
        rounding=match.rounding,
        latency_move=match.latency_move,
        cumulative=order.filled,
        average_price=order.average_price,
        phase=moment.phase,
    )
