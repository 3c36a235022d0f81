"""What the gateway says of orders, executions and the account: its records into messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.gateway.account import INITIAL_MARGIN, MAINTENANCE_MARGIN
from quantlab.gateway.contracts import Refusal, in_zone, tws_zone
from quantlab.wire.messages import (
    CommissionReport,
    CompletedOrder,
    ExecutionData,
    OpenOrder,
    OrderStateData,
    OrderStatus,
    PortfolioValue,
    PositionData,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.gateway.account import Account, Holding
    from quantlab.gateway.charges import Charge
    from quantlab.gateway.orders import Execution, Order
    from quantlab.wire.messages import Contract

__all__ = [
    "commission_report",
    "completed_order",
    "execution_data",
    "moment_text",
    "open_order",
    "order_status",
    "portfolio_value",
    "position_data",
    "waiting",
]


def moment_text(time_ns: int, zone: str) -> str:
    """Write an instant as TWS does: ``"20120103 09:30:00 US/Eastern"``."""
    return f"{in_zone(time_ns, zone):%Y%m%d %H:%M:%S} {tws_zone(zone)}"


def waiting(open_ns: int, zone: str) -> Refusal:
    """Warn that an order waits for the next open."""
    text = f"{in_zone(open_ns, zone):%Y-%m-%d %H:%M:%S} {tws_zone(zone)}"
    return Refusal(399, f"Order Message: Warning: your order will not be placed at the exchange until {text}")


def order_status(order: Order) -> OrderStatus:
    """Say how far an order is."""
    return OrderStatus(
        order_id=order.order_id,
        status=order.status,
        filled=order.filled,
        remaining=order.remaining,
        average_price=order.average_price,
        perm_id=order.perm_id,
        parent_id=order.ticket.parent_id,
        last_price=order.last_price,
        client_id=order.client_id,
        why_held=order.why_held,
    )


def open_order(
    order: Order,
    contract: Contract,
    account: Account,
    price: Callable[[int], float],
    *,
    charge: Charge | None = None,
    worth: float = 0.0,
) -> OpenOrder:
    """Say what an order is; with `charge` and `worth`, what it would cost and need if it were sent."""
    state = OrderStateData(status=order.status)
    if order.commission is not None:
        state = OrderStateData(
            status=order.status, commission=order.commission, commission_currency=account.currency
        )
    if charge is not None:
        equity, gross = account.equity(price), account.gross(price)
        after = gross + worth
        cost = charge.commission + charge.fees
        state = OrderStateData(
            status=order.status,
            init_margin_before=f"{gross * INITIAL_MARGIN:.2f}",
            maint_margin_before=f"{gross * MAINTENANCE_MARGIN:.2f}",
            equity_with_loan_before=f"{equity:.2f}",
            init_margin_change=f"{worth * INITIAL_MARGIN:.2f}",
            maint_margin_change=f"{worth * MAINTENANCE_MARGIN:.2f}",
            equity_with_loan_change=f"{-cost:.2f}",
            init_margin_after=f"{after * INITIAL_MARGIN:.2f}",
            maint_margin_after=f"{after * MAINTENANCE_MARGIN:.2f}",
            equity_with_loan_after=f"{equity - cost:.2f}",
            commission=cost,
            min_commission=cost,
            max_commission=cost,
            commission_currency=account.currency,
        )
    return OpenOrder(
        order.order_id,
        contract,
        order.shown,
        state,
        client_id=order.client_id,
        perm_id=0 if charge is not None else order.perm_id,
    )


def completed_order(order: Order, contract: Contract, zone: str) -> CompletedOrder:
    """Say how an order ended."""
    done = (
        "Filled Size: " + f"{order.filled:g}" if order.filled else f"Cancelled by the gateway: {order.reason}"
    )
    return CompletedOrder(
        contract,
        order.shown,
        OrderStateData(
            status=order.status,
            commission=order.commission,
            completed_time=moment_text(order.done_ns or order.placed_ns, zone),
            completed_status=done,
        ),
        perm_id=order.perm_id,
        parent_perm_id=order.parent_perm_id,
        filled_quantity=order.filled,
    )


def execution_data(
    execution: Execution, contract: Contract, account: str, zone: str, request_id: int = -1
) -> ExecutionData:
    """Say that an order was executed."""
    return ExecutionData(
        request_id=request_id,
        order_id=execution.order_id,
        contract=contract,
        exec_id=execution.exec_id,
        time=moment_text(execution.time_ns, zone),
        account=account,
        exchange=contract.primary_exchange or contract.exchange,
        side="BOT" if execution.quantity > 0 else "SLD",
        quantity=abs(execution.quantity),
        price=execution.price,
        perm_id=execution.perm_id,
        client_id=execution.client_id,
        cumulative_quantity=execution.cumulative,
        average_price=execution.average_price,
        order_ref=execution.order_ref,
        last_liquidity=2,
    )


def commission_report(execution: Execution, currency: str) -> CommissionReport:
    """Say what an execution cost."""
    return CommissionReport(execution.exec_id, execution.commission, currency, execution.realized_pnl)


def position_data(held: Holding, contract: Contract, account: str) -> PositionData:
    """Say what is held of a contract."""
    return PositionData(account, contract, held.quantity, held.average_cost)


def portfolio_value(
    column: int, held: Holding, contract: Contract, account: Account, price: Callable[[int], float]
) -> PortfolioValue:
    """Say what is held of a contract, and what it is worth."""
    return PortfolioValue(
        contract,
        held.quantity,
        market_price=price(column),
        market_value=account.worth(column, held.quantity, price(column)),
        average_cost=held.average_cost,
        unrealized_pnl=account.unrealized(column, price),
        realized_pnl=held.realized_pnl,
        account=account.name,
    )
