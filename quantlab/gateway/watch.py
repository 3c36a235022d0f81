"""What one client follows of the account: positions, figures, profit and loss; and executions when it asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from quantlab.gateway.contracts import in_zone
from quantlab.gateway.grid import CLOSE, Moment, is_among
from quantlab.gateway.statements import (
    commission_report,
    completed_order,
    execution_data,
    order_status,
    portfolio_value,
    position_data,
)
from quantlab.wire.messages import (
    AccountDownloadEnd,
    AccountSummary,
    AccountSummaryEnd,
    AccountUpdateTime,
    AccountValue,
    CompletedOrdersEnd,
    ErrorMessage,
    ExecutionDataEnd,
    OpenOrderEnd,
    PnL,
    PnLSingle,
    PositionEnd,
    RequestAccountSummary,
    RequestAccountUpdates,
    RequestExecutions,
    RequestPnL,
    RequestPnLSingle,
)

if TYPE_CHECKING:
    from quantlab.gateway.account import Figure, Holding
    from quantlab.gateway.orders import Execution
    from quantlab.gateway.session import Session

__all__ = ["Watch"]

LEDGER = "$LEDGER"
"""Tag that asks for the figures of each currency."""

DIGITS = re.compile(r"\D")


class Watch:
    """One client's view of orders and account.

    Parameters
    ----------
    session : Session
        Whose view it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._venue = session.venue
        self._positions = False
        self._updates = False
        self._summaries: dict[int, frozenset[str]] = {}
        self._told: dict[int, dict[str, Figure]] = {}
        self._pnl: set[int] = set()
        self._singles: dict[int, int] = {}

    # -- orders ----------------------------------------------------------------------------------------

    def open_orders(self, client_id: int | None) -> None:
        """Send the open orders of a client, or of everybody."""
        desk = self._venue.desk
        for order in desk.standing:
            if client_id is None or order.client_id == client_id:
                self._session.send(desk.open_order(order))
                self._session.send(order_status(order))
        self._session.send(OpenOrderEnd())

    def completed_orders(self) -> None:
        """Send the orders that ended today."""
        venue = self._venue
        for order in venue.desk.orders.values():
            if order.done and self._is_today(order.done_ns or order.placed_ns):
                contract = venue.listings.by_column(order.column).contract
                self._session.send(completed_order(order, contract, venue.market.zone))
        self._session.send(CompletedOrdersEnd())

    def executions(self, message: RequestExecutions) -> None:
        """Send today's executions that fit, each with what it cost."""
        venue = self._venue
        found = [e for e in venue.desk.executions if self._is_today(e.time_ns) and self._fits(e, message)]
        for execution in found:
            contract = venue.listings.by_column(venue.market.column(execution.symbol)).contract
            self._session.send(
                execution_data(execution, contract, venue.account.name, venue.market.zone, message.request_id)
            )
        self._session.send(ExecutionDataEnd(message.request_id))
        for execution in found:
            self._session.send(commission_report(execution, venue.account.currency))

    def _is_today(self, time_ns: int) -> bool:
        """Whether an instant is after the midnight that was last, at the exchange."""
        zone = self._venue.market.zone
        return in_zone(time_ns, zone).date() == in_zone(self._venue.clock.now_ns, zone).date()

    def _fits(self, execution: Execution, message: RequestExecutions) -> bool:
        wanted = message.filter
        since = DIGITS.sub("", wanted.time)[:14]
        at = f"{in_zone(execution.time_ns, self._venue.market.zone):%Y%m%d%H%M%S}"
        side = "BUY" if execution.quantity > 0 else "SELL"
        return (
            wanted.client_id in {0, execution.client_id}
            and wanted.account in {"", self._venue.account.name}
            and wanted.symbol in {"", execution.symbol}
            and wanted.side in {"", side}
            and at >= since
        )

    # -- account ---------------------------------------------------------------------------------------

    def positions(self, *, follow: bool) -> None:
        """Send every position, and its changes from now on; or stop."""
        self._positions = follow
        if not follow:
            return
        for column, held in self._venue.account.held():
            if held.quantity != 0.0:
                self._send_position(column, held)
        self._session.send(PositionEnd())

    def _send_position(self, column: int, held: Holding) -> None:
        contract = self._venue.listings.by_column(column).contract
        self._session.send(position_data(held, contract, self._venue.account.name))

    def updates(self, message: RequestAccountUpdates) -> None:
        """Send figures and portfolio, and their changes from now on; or stop."""
        self._updates = message.subscribe
        if not message.subscribe:
            return
        name = self._venue.account.name
        if message.account not in {"", name}:
            self._session.send(
                ErrorMessage(-1, 321, f"Error validating request: account {message.account} is not {name}.")
            )
            self._updates = False
            return
        self._send_figures()
        for column, held in self._venue.account.held():
            self._send_portfolio(column, held)
        self._session.send(AccountDownloadEnd(name))

    def _send_figures(self) -> None:
        venue = self._venue
        for tag, value, currency in venue.account.figures(venue.desk.price):
            self._session.send(AccountValue(tag, value, currency, venue.account.name))
        self._session.send(AccountUpdateTime(f"{in_zone(venue.clock.now_ns, venue.market.zone):%H:%M}"))

    def _send_portfolio(self, column: int, held: Holding) -> None:
        venue = self._venue
        contract = venue.listings.by_column(column).contract
        self._session.send(portfolio_value(column, held, contract, venue.account, venue.desk.price))

    def summary(self, message: RequestAccountSummary) -> None:
        """Send the figures that are asked for, and their changes from now on."""
        if message.request_id in self._summaries:
            self._session.send(ErrorMessage(message.request_id, 322, "Duplicate request id"))
            return
        tags = frozenset(tag.strip() for tag in message.tags.split(",") if tag.strip())
        self._summaries[message.request_id] = tags
        self._told[message.request_id] = {}
        self._send_summary(message.request_id)
        self._session.send(AccountSummaryEnd(message.request_id))

    def cancel_summary(self, request_id: int) -> None:
        """Stop figures."""
        self._summaries.pop(request_id, None)
        self._told.pop(request_id, None)

    def _send_summary(self, request_id: int) -> None:
        tags, told = self._summaries[request_id], self._told[request_id]
        everything = any(tag.startswith(LEDGER) for tag in tags)
        for figure in self._venue.account.figures(self._venue.desk.price):
            if (everything or figure.tag in tags or not tags) and told.get(figure.tag) != figure:
                told[figure.tag] = figure
                self._session.send(AccountSummary(request_id, self._venue.account.name, *figure))

    # -- profit and loss -------------------------------------------------------------------------------

    def pnl(self, message: RequestPnL) -> None:
        """Send the account's profit, and its changes from now on."""
        self._pnl.add(message.request_id)
        self._send_pnl(message.request_id)

    def pnl_single(self, message: RequestPnLSingle) -> None:
        """Send the profit of one position, and its changes from now on."""
        for column in range(len(self._venue.market.symbols)):
            if self._venue.listings.by_column(column).contract.con_id == message.con_id:
                self._singles[message.request_id] = column
                self._send_single(message.request_id, column)
                return
        self._session.send(
            ErrorMessage(message.request_id, 200, "No security definition has been found for the request")
        )

    def cancel_pnl(self, request_id: int) -> None:
        """Stop profits."""
        self._pnl.discard(request_id)
        self._singles.pop(request_id, None)

    def _send_pnl(self, request_id: int) -> None:
        account, price = self._venue.account, self._venue.desk.price
        daily = account.equity(price) - account.day_equity
        unrealized = sum(account.unrealized(i, price) for i in account.holdings)
        self._session.send(PnL(request_id, daily, unrealized, account.realized()))

    def _send_single(self, request_id: int, column: int) -> None:
        account, price = self._venue.account, self._venue.desk.price
        held = account.holdings.get(column)
        quantity, realized = (held.quantity, held.realized_pnl) if held else (0.0, 0.0)
        unrealized = account.unrealized(column, price)
        self._session.send(
            PnLSingle(
                request_id,
                quantity,
                None,
                unrealized,
                realized,
                account.worth(column, quantity, price(column)),
            )
        )

    # -- changes ---------------------------------------------------------------------------------------

    def position_changed(self, column: int) -> None:
        """Something was bought or sold."""
        held = self._venue.account.holdings[column]
        if self._positions:
            self._send_position(column, held)
        if self._updates:
            self._send_portfolio(column, held)
            self._send_figures()
        for request_id in self._pnl:
            self._send_pnl(request_id)
        for request_id, which in self._singles.items():
            if which == column:
                self._send_single(request_id, column)

    def moment_passed(self, moment: Moment) -> None:
        """Prices have changed; figures are sent anew at closes."""
        if not (self._pnl or self._singles or self._updates or self._summaries):
            return
        for request_id in self._pnl:
            self._send_pnl(request_id)
        for request_id, column in self._singles.items():
            self._send_single(request_id, column)
        if moment.phase == CLOSE and is_among(self._venue.market.hours.close_ns, moment.time_ns):
            if self._updates:
                self._send_figures()
            for request_id in self._summaries:
                self._send_summary(request_id)
