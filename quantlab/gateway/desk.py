"""The desk: takes orders, moves them through their lives, and books what fills."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from quantlab.gateway.admission import needs_more_margin, ticket_refusal
from quantlab.gateway.contracts import Listing, Refusal, in_zone, tws_zone
from quantlab.gateway.grid import CLOSE, OPEN, Moment, is_among
from quantlab.gateway.orders import (
    CANCELLED,
    FILLED,
    HELD,
    INACTIVE,
    PRESUBMITTED,
    SUBMITTED,
    Execution,
    Order,
)
from quantlab.gateway.statements import commission_report, execution_data, open_order, order_status
from quantlab.wire.messages import ErrorMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.gateway.account import Account
    from quantlab.gateway.charges import Charges
    from quantlab.gateway.clock import Clock
    from quantlab.gateway.contracts import Listings
    from quantlab.gateway.fills import Fills
    from quantlab.gateway.matching import Match
    from quantlab.gateway.tape import Tape
    from quantlab.wire.messages import CancelOrder, Message, PlaceOrder

__all__ = ["Desk", "Outbox"]

FIRST_PERM_ID = 1_000_000_001
"""The first number that an order gets for all clients."""

READ_ONLY = Refusal(321, "Error validating request: the API interface is in read-only mode.")


class Outbox(Protocol):
    """Where the desk's messages go."""

    def to(self, client_id: int, message: Message) -> None:
        """Send to a client, if it is connected."""

    def filled(self, column: int) -> None:
        """Tell who watches the account that a position has changed."""


class Desk:
    """Orders, executions and the account of one simulated gateway.

    Parameters
    ----------
    tape, listings, charges, account, clock
        Prices, contracts, costs, money and time.
    fills : Fills
        How orders fill.
    outbox : Outbox
        Where messages go.
    read_only : bool
        Refuse every order.
    """

    def __init__(
        self,
        tape: Tape,
        listings: Listings,
        charges: Charges,
        account: Account,
        clock: Clock,
        *,
        fills: Fills,
        outbox: Outbox,
        read_only: bool = False,
    ) -> None:
        self.tape, self.listings, self.charges, self.account, self.clock = (
            tape,
            listings,
            charges,
            account,
            clock,
        )
        self.fills, self._outbox, self._read_only = fills, outbox, read_only
        self.orders: dict[tuple[int, int], Order] = {}
        self.executions: list[Execution] = []
        self.next_perm_id = FIRST_PERM_ID
        self.last_order_id: dict[int, int] = {}
        self.changed: set[tuple[int, int]] = set()
        self._standing: dict[tuple[int, int], Order] = {}

    # -- looking ---------------------------------------------------------------------------------------

    @property
    def standing(self) -> list[Order]:
        """Orders that have not ended, oldest first."""
        return list(self._standing.values())

    def next_order_id(self, client_id: int) -> int:
        """Lowest number that a client may use."""
        return self.last_order_id.get(client_id, 0) + 1

    def price(self, column: int) -> float:
        """Price that a position is marked at now; 0 before there is any."""
        return self.tape.price(column, self.clock.moment) or 0.0

    def take_over(self, orders: list[Order], executions: list[Execution]) -> None:
        """Continue with orders and executions of an earlier run."""
        for order in orders:
            key = order.client_id, order.order_id
            self.orders[key] = order
            self.last_order_id[key[0]] = max(self.last_order_id.get(key[0], 0), key[1])
            self.next_perm_id = max(self.next_perm_id, order.perm_id + 1)
            if not order.done:
                self._standing[key] = order
        self.executions = executions

    def next(self) -> Moment | None:
        """Next moment at which something fills, beyond opens and closes of bars."""
        return self.fills.next(self._standing.values()) if self._standing else None

    # -- placing ---------------------------------------------------------------------------------------

    def place(self, client_id: int, message: PlaceOrder) -> None:
        """Take an order, change a standing one, or say why not."""
        key = client_id, message.order_id
        existing = self.orders.get(key)
        listing = self.listings.one(message.contract)
        refusal = READ_ONLY if self._read_only else None
        if refusal is None and existing is None and message.order_id < self.next_order_id(client_id):
            refusal = Refusal(103, "Duplicate order id")
        if refusal is None and existing is not None:
            refusal = _change_refusal(existing, message, listing)
        if refusal is None and isinstance(listing, Refusal):
            refusal = listing
        if refusal is None and isinstance(listing, Listing):
            refusal = ticket_refusal(message.order, listing, self.account.name)
        if refusal is not None or not isinstance(listing, Listing) or listing.column is None:
            refused = refusal or Refusal(200, "No security definition has been found for the request")
            self._say(key, refused)
            return
        ticket = replace(message.order, tif=message.order.tif or "DAY", account=self.account.name)
        standing = [o for o in self._standing.values() if o is not existing and o.status != HELD]
        remaining = ticket.quantity - (existing.filled if existing else 0.0)
        signed = remaining if ticket.action == "BUY" else -remaining
        if self.tape.price(listing.column, self.clock.moment) is None:
            short = Refusal(201, "Order rejected - reason: no prices of this contract yet")
        else:
            margin = needs_more_margin(self.account, standing, listing.column, signed, self.price)
            short = margin or Refusal(0, "")
        order = Order(
            client_id, message.order_id, self.next_perm_id, listing.column, ticket, self.clock.now_ns
        )
        if ticket.what_if:
            self._what_if(order, short)
        elif existing is not None:
            self._change(existing, ticket, short)
        else:
            self._admit(order, short)

    def _admit(self, order: Order, short: Refusal) -> None:
        """Enter a new order in the books; one that the account cannot carry ends at once."""
        key = order.client_id, order.order_id
        self.next_perm_id += 1
        self.orders[key] = order
        self.last_order_id[order.client_id] = max(self.last_order_id.get(order.client_id, 0), order.order_id)
        self.changed.add(key)
        if short.code:
            order.status, order.reason, order.done_ns = INACTIVE, short.text, self.clock.now_ns
            self._report(order)
            self._say(key, short)
            return
        self._standing[key] = order
        if not order.ticket.transmit:
            order.status = HELD
            self._report(order)
            return
        self._start(order)

    def _start(self, order: Order) -> None:
        """Let an order work: at once in a session, else from the next open on."""
        order.status = PRESUBMITTED
        self.fills.start(order, self.clock.moment)
        hours = self.tape.market.hours
        waits = order.session < hours.day.size and hours.open_ns[order.session] > self.clock.now_ns
        key = order.client_id, order.order_id
        if waits:
            self._say(key, _waiting(int(hours.open_ns[order.session]), self.tape.market.zone))
        if order.ticket.outside_rth:
            self._say(
                key, Refusal(2109, "Order event warning: outsideRth is ignored; orders fill in sessions.")
            )
        self._report(order)
        if order.limit is not None and not waits:
            order.status = SUBMITTED
            self._report(order)

    def _change(self, order: Order, ticket: object, short: Refusal) -> None:
        """Change a standing order, which keeps its number for all clients."""
        key = order.client_id, order.order_id
        if short.code:
            self._say(key, short)
            return
        order.ticket = ticket  # type: ignore[assignment]  # the caller made it an OrderTicket
        self.changed.add(key)
        if order.ticket.transmit or order.status != HELD:
            self._start(order)
        else:
            self._report(order)

    def _what_if(self, order: Order, short: Refusal) -> None:
        """Say what an order would cost and need, and forget it."""
        if short.code:
            self._say((order.client_id, order.order_id), short)
            return
        price = order.limit or self.price(order.column)
        charge = self.charges.estimate(order.column, self._day(), order.quantity, price)
        contract = self.listings.by_column(order.column).contract
        worth = abs(self.account.worth(order.column, order.quantity, price))
        self._outbox.to(
            order.client_id, open_order(order, contract, self.account, self.price, charge=charge, worth=worth)
        )

    # -- cancelling ------------------------------------------------------------------------------------

    def cancel(self, client_id: int, message: CancelOrder) -> None:
        """Cancel one order, or say why not."""
        key = client_id, message.order_id
        order = self.orders.get(key)
        if order is None:
            text = f"OrderId {message.order_id} that needs to be cancelled is not found."
            self._say(key, Refusal(10147, text))
        elif order.done:
            text = f"OrderId {message.order_id} that needs to be cancelled can not be cancelled, state: {order.status}."
            self._say(key, Refusal(10148, text))
        elif self._read_only:
            self._say(key, READ_ONLY)
        else:
            self._end(order, "")

    def cancel_all(self, client_id: int) -> None:
        """Cancel every standing order of everybody; `client_id` asked for it."""
        if self._read_only:
            self._say((client_id, -1), READ_ONLY)
            return
        for order in self.standing:
            self._end(order, "")

    def _end(self, order: Order, reason: str) -> None:
        """Cancel a standing order."""
        key = order.client_id, order.order_id
        order.status, order.reason, order.done_ns = CANCELLED, reason, self.clock.now_ns
        self._standing.pop(key, None)
        self.changed.add(key)
        self._say(key, Refusal(202, f"Order Canceled - reason:{reason}"))
        self._outbox.to(order.client_id, order_status(order))

    # -- time passes -----------------------------------------------------------------------------------

    def pass_moment(self, moment: Moment) -> None:
        """Fill and end what the moment fills and ends; the clock is there already."""
        hours = self.tape.market.hours
        if moment.phase == OPEN and is_among(hours.open_ns, moment.time_ns):
            self.account.begin_session()
        if self._standing:
            working = [o for o in self._standing.values() if o.working]
            for order, match in self.fills.at(moment, working, self.account.quantity):
                if match is None:
                    self._end(order, "not filled at once")
                else:
                    self._fill(order, match)
            if moment.phase == OPEN:
                self._submit(moment)
        if moment.phase == CLOSE and is_among(hours.close_ns, moment.time_ns):
            self._close_session(int(hours.close_ns.searchsorted(moment.time_ns)))

    def _submit(self, moment: Moment) -> None:
        """Limits that waited for the session's open work from it on."""
        number = self.tape.market.hours.at(moment.time_ns)
        for order in self.standing:
            waited = order.status == PRESUBMITTED and order.limit is not None
            if waited and number is not None and order.session <= number:
                order.status = SUBMITTED
                self._report(order)

    def _close_session(self, number: int) -> None:
        """End day orders, and mark the account."""
        for order in self.standing:
            if order.ticket.tif != "GTC" and order.session <= number and order.status != HELD:
                self._end(order, "the session has ended")
        self.account.end_session(self.price)

    def _day(self) -> int:
        """Session that an execution now belongs to, days since 1970; the next one between sessions."""
        hours, moment = self.tape.market.hours, self.clock.moment
        side = "left" if moment.phase == CLOSE else "right"
        number = int(hours.close_ns.searchsorted(moment.time_ns, side))  # type: ignore[call-overload]  # a literal
        return int(hours.day[min(number, hours.day.size - 1)])

    def _fill(self, order: Order, match: Match) -> None:
        """Book one execution of all that remains, and report it as TWS does."""
        quantity = order.side * order.remaining
        charge = self.charges.charge(order.column, self._day(), quantity, match.price)
        realized = self.account.book(order.column, quantity, match.price, charge)
        order.filled, order.average_price, order.last_price = order.ticket.quantity, match.price, match.price
        order.status, order.commission = FILLED, charge.commission + charge.fees
        order.done_ns = self.clock.now_ns
        key = order.client_id, order.order_id
        self._standing.pop(key, None)
        self.changed.add(key)
        execution = Execution(
            exec_id=f"0000e0d5.{order.perm_id:08x}.{len(self.executions) + 1:02d}.01",
            order_ref=order.ticket.order_ref,
            symbol=self.tape.market.symbols[order.column],
            client_id=order.client_id,
            order_id=order.order_id,
            perm_id=order.perm_id,
            quantity=quantity,
            price=match.price,
            commission=charge.commission + charge.fees,
            fees=charge.fees,
            realized_pnl=realized,
            time_ns=self.clock.now_ns,
            reference=match.reference,
            mid=match.mid,
            half_spread=match.half_spread,
            slippage=match.slippage,
            rounding=match.rounding,
            latency_move=match.latency_move,
            cumulative=order.filled,
            average_price=order.average_price,
        )
        self.executions.append(execution)
        for message in self._filled_messages(order, execution):
            self._outbox.to(order.client_id, message)
        self._outbox.filled(order.column)

    def _filled_messages(self, order: Order, execution: Execution) -> Iterator[Message]:
        """Yield what TWS sends of a fill, in its sequence: the last status comes twice."""
        contract = self.listings.by_column(order.column).contract
        yield execution_data(execution, contract, self.account.name, self.tape.market.zone)
        yield open_order(replace(order, commission=None), contract, self.account, self.price)
        yield order_status(order)
        yield open_order(order, contract, self.account, self.price)
        yield order_status(order)
        yield commission_report(execution, self.account.currency)

    # -- saying ----------------------------------------------------------------------------------------

    def _say(self, key: tuple[int, int], refusal: Refusal) -> None:
        self._outbox.to(key[0], ErrorMessage(key[1], refusal.code, refusal.text))

    def _report(self, order: Order) -> None:
        """Send an order and its status to its owner."""
        contract = self.listings.by_column(order.column).contract
        self._outbox.to(order.client_id, open_order(order, contract, self.account, self.price))
        self._outbox.to(order.client_id, order_status(order))


def _change_refusal(order: Order, message: PlaceOrder, listing: Listing | Refusal) -> Refusal | None:
    """Why an order that has this number may not be changed so, or None."""
    if order.status == FILLED:
        return Refusal(104, "Cannot modify a filled order.")
    if order.done:
        return Refusal(103, "Duplicate order id")
    same = isinstance(listing, Listing) and listing.column == order.column
    ticket = message.order
    if not same or (ticket.action, ticket.order_type) != (order.ticket.action, order.ticket.order_type):
        return Refusal(105, "Order being modified does not match original order")
    return None


def _waiting(open_ns: int, zone: str) -> Refusal:
    """Warn that an order waits for the next open."""
    text = f"{in_zone(open_ns, zone):%Y-%m-%d %H:%M:%S} {tws_zone(zone)}"
    return Refusal(399, f"Order Message: Warning: your order will not be placed at the exchange until {text}")
