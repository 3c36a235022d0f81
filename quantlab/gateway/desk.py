"""The desk: takes orders, moves them through their lives, and books what fills."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from quantlab.gateway.admission import (
    NOISE,
    change_refusal,
    ended_refusal,
    needs_more_margin,
    parent_refusal,
    ticket_refusal,
)
from quantlab.gateway.contracts import Listing, Refusal
from quantlab.gateway.executions import book_execution
from quantlab.gateway.fills import Event, session_of
from quantlab.gateway.grid import CLOSE, OPEN, Moment, is_among
from quantlab.gateway.groups import (
    CANCEL_ALL,
    children_of,
    counted,
    join_group,
    partners_of,
    released_with,
)
from quantlab.gateway.matching import Match
from quantlab.gateway.orders import (
    AT_ONCE,
    CANCELLED,
    FILLED,
    HELD,
    INACTIVE,
    PRESUBMITTED,
    SUBMITTED,
    Order,
    has_stop,
)
from quantlab.gateway.statements import (
    commission_report,
    execution_data,
    open_order,
    order_status,
    waiting,
)
from quantlab.wire.messages import ErrorMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.gateway.account import Account
    from quantlab.gateway.charges import Charges
    from quantlab.gateway.clock import Clock
    from quantlab.gateway.contracts import Listings
    from quantlab.gateway.faults import Faults
    from quantlab.gateway.fills import Fills
    from quantlab.gateway.orders import Execution
    from quantlab.gateway.tape import Tape
    from quantlab.wire.messages import CancelOrder, Message, OpenOrder, OrderTicket, PlaceOrder

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
    faults : Faults
        How much of an order may fill at once.
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
        faults: Faults,
        read_only: bool = False,
    ) -> None:
        self.tape, self.listings, self.charges = tape, listings, charges
        self.account, self.clock = account, clock
        self.fills, self._outbox, self._faults, self._read_only = fills, outbox, faults, read_only
        self.orders: dict[tuple[int, int], Order] = {}
        self.executions: list[Execution] = []
        self.next_perm_id = FIRST_PERM_ID
        self.last_order_id: dict[int, int] = {}
        self.changed: set[tuple[int, int]] = set()
        self._standing: dict[tuple[int, int], Order] = {}
        self._spent: set[str] = set()

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
            if order.status == FILLED and order.group:
                self._spent.add(order.group)
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
        refusal = self._refusal(key, message, listing)
        if refusal is not None or not isinstance(listing, Listing) or listing.column is None:
            refused = refusal or Refusal(200, "No security definition has been found for the request")
            self._say(key, refused)
            return
        ticket = replace(message.order, tif=message.order.tif or "DAY", account=self.account.name)
        if existing is not None and not ticket.what_if:
            self._change(existing, ticket)
            return
        order = Order(
            client_id, message.order_id, self.next_perm_id, listing.column, ticket, self.clock.now_ns
        )
        if ticket.what_if:
            self._what_if(order)
        else:
            self._enter(order)

    def _refusal(
        self, key: tuple[int, int], message: PlaceOrder, listing: Listing | Refusal
    ) -> Refusal | None:
        """Why an order or a change is refused at once, or None; what is refused leaves its number free."""
        existing, ticket = self.orders.get(key), message.order
        if self._read_only:
            return READ_ONLY
        if existing is None and message.order_id < self.next_order_id(key[0]):
            return Refusal(103, "Duplicate order id")
        if existing is not None and existing.done:
            return ended_refusal(existing)
        if isinstance(listing, Refusal):
            return listing
        refusal = ticket_refusal(ticket, listing, self.account.name)
        if refusal is None and existing is not None:
            refusal = change_refusal(existing, ticket, listing)
        hangs = ticket.parent_id if existing is None or existing.status != HELD else 0
        if existing is not None and existing.waits:
            hangs = existing.ticket.parent_id
        if refusal is None and hangs:
            refusal = parent_refusal(ticket, self.orders.get((key[0], hangs)), listing)
        return refusal

    def _shortage(self, order: Order, ticket: OrderTicket) -> Refusal | None:
        """Why the account cannot carry an order with a ticket, or None."""
        if self.tape.price(order.column, self.clock.moment) is None:
            return Refusal(201, "Order rejected - reason: no prices of this contract yet")
        if order.group in self._spent:
            return Refusal(
                201, f"Order rejected - reason: an order of the OCA group {order.group} has filled"
            )
        parent = self.orders.get((order.client_id, ticket.parent_id))
        if parent is not None and parent.side != order.side and ticket.quantity <= parent.ticket.quantity:
            return None
        partners = partners_of(order, self._standing.values())
        others = [o for o in self._standing.values() if o.key != order.key and o not in partners]
        signed = order.side * (ticket.quantity - order.filled)
        standing = counted(others, self.account.quantity)
        return needs_more_margin(self.account, standing, order.column, signed, self.price)

    def _enter(self, order: Order) -> None:
        """Enter a new order in the books; it goes out with what waits for it, unless it is not to be sent yet."""
        self.next_perm_id += 1
        self.orders[order.key] = self._standing[order.key] = order
        self.last_order_id[order.client_id] = max(self.last_order_id.get(order.client_id, 0), order.order_id)
        self.changed.add(order.key)
        join_group(order, self.orders.get((order.client_id, order.ticket.parent_id)))
        order.status = HELD
        if order.ticket.transmit:
            self._release(order)
        else:
            self._report(order)

    def _release(self, order: Order) -> None:
        """Send an order and what goes out with it; one that the account cannot carry ends, its children with it."""
        for each in released_with(order, self._standing.values()):
            if each.done:
                continue
            self.changed.add(each.key)
            short = self._shortage(each, each.ticket)
            if short is None:
                self._start(each)
                continue
            each.status, each.reason, each.done_ns = INACTIVE, short.text, self.clock.now_ns
            self._standing.pop(each.key, None)
            self._report(each)
            self._say(each.key, short)
            self._end_children(each, "its parent was rejected")

    def _start(self, order: Order) -> None:
        """Let an order work: at once in a session, else from the next open on; a child when its parent has filled."""
        order.status = PRESUBMITTED
        if order.waits:
            self._report(order)
            return
        self.fills.start(order, self.clock.moment)
        self._show_work(order)

    def _show_work(self, order: Order) -> None:
        """Report an order that works, with what its owner should know of it."""
        hours = self.tape.market.hours
        waits = order.session < hours.day.size and hours.open_ns[order.session] > self.clock.now_ns
        if waits:
            self._say(order.key, waiting(int(hours.open_ns[order.session]), self.tape.market.zone))
        if order.ticket.outside_rth:
            self._say(
                order.key,
                Refusal(2109, "Order event warning: outsideRth is ignored; orders fill in sessions."),
            )
        self._report(order)
        if order.rests and not waits:
            order.status = SUBMITTED
            self._report(order)

    def _change(self, order: Order, ticket: OrderTicket) -> None:
        """Change a standing order, which keeps its number for all clients, its parent and its group."""
        before = order.ticket
        ticket = replace(
            ticket, parent_id=before.parent_id, oca_group=before.oca_group, oca_type=before.oca_type
        )
        if order.status != HELD and (short := self._shortage(order, ticket)) is not None:
            self._say(order.key, short)
            return
        order.ticket = ticket
        self.changed.add(order.key)
        if has_stop(ticket) and ticket.aux_price != before.aux_price:
            order.triggered = False
        self._resize_children(order)
        if order.status == HELD and ticket.transmit:
            self._release(order)
        elif order.status == HELD or order.waits:
            self._report(order)
        else:
            order.status = PRESUBMITTED
            self.fills.revise(order, self.clock.moment, before)
            self._show_work(order)

    def _resize_children(self, order: Order) -> None:
        """Give children that wait for an order its quantity."""
        for child in children_of(order, self._standing.values()):
            if child.waits and child.ticket.quantity != order.ticket.quantity:
                child.ticket = replace(child.ticket, quantity=order.ticket.quantity)
                self.changed.add(child.key)
                self._report(child)
                self._resize_children(child)

    def _what_if(self, order: Order) -> None:
        """Say what an order would cost and need, and forget it."""
        short = self._shortage(order, order.ticket)
        if short is not None:
            self._say(order.key, short)
            return
        price = order.limit or order.stop or self.price(order.column)
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
            if not order.done:  # a child ends with its parent
                self._end(order, "")

    def _end(self, order: Order, reason: str) -> None:
        """Cancel a standing order, and the children that wait for it; they stay for a part that has filled."""
        order.status, order.reason, order.done_ns = CANCELLED, reason, self.clock.now_ns
        self._standing.pop(order.key, None)
        self.changed.add(order.key)
        self._say(order.key, Refusal(202, f"Order Canceled - reason:{reason}"))
        self._outbox.to(order.client_id, order_status(order))
        if order.filled:
            self._activate_children(order)
        self._end_children(order, "its parent was cancelled")

    def _end_children(self, order: Order, reason: str) -> None:
        for child in children_of(order, list(self._standing.values())):
            if child.waits and not child.done:
                self._end(child, reason)

    # -- time passes -----------------------------------------------------------------------------------

    def pass_moment(self, moment: Moment) -> None:
        """Fill and end what the moment fills and ends; the clock is there already."""
        hours = self.tape.market.hours
        if moment.phase == OPEN and is_among(hours.open_ns, moment.time_ns):
            self.account.begin_session()
        if self._standing:
            for order, what in self.fills.at(moment, self._working, self.account.quantity):
                if isinstance(what, Match):
                    self._fill(order, what)
                elif what is Event.MISSED:
                    self._end(order, "not filled at once")
                else:
                    self._note(order, what)
            if moment.phase == OPEN:
                self._submit(moment)
        if moment.phase == CLOSE and is_among(hours.close_ns, moment.time_ns):
            self._close_session(int(hours.close_ns.searchsorted(moment.time_ns)))

    def _working(self) -> list[Order]:
        return [o for o in self._standing.values() if o.working]

    def _note(self, order: Order, event: Event) -> None:
        """Keep what happened to an order; an order that was triggered is at the exchange from now on."""
        self.changed.add(order.key)
        if event is Event.TRIGGERED:
            order.status = SUBMITTED
            self._report(order)

    def _submit(self, moment: Moment) -> None:
        """Limits that waited for the session's open work from it on."""
        number = self.tape.market.hours.at(moment.time_ns)
        for order in self.standing:
            waited = order.status == PRESUBMITTED and order.rests and not order.waits
            if waited and number is not None and order.session <= number:
                order.status = SUBMITTED
                self.changed.add(order.key)
                self._report(order)

    def _close_session(self, number: int) -> None:
        """End day orders, and mark the account; the day of a child begins when its parent has filled."""
        for order in self.standing:
            day_is_over = order.ticket.tif != "GTC" and order.session <= number and not order.waits
            if day_is_over and order.status != HELD and not order.done:
                self._end(order, "the session has ended")
        self.account.end_session(self.price)

    def _day(self) -> int:
        """Session that an execution now belongs to, days since 1970; the next one between sessions."""
        hours = self.tape.market.hours
        number = session_of(hours, self.clock.moment)
        return int(hours.day[min(number, hours.day.size - 1)])

    def _fill(self, order: Order, match: Match) -> None:
        """Book one execution, report it as TWS does, and do to other orders what follows from it."""
        most = self._faults.fill_at_most
        units = order.remaining if most is None or order.ticket.tif == "FOK" else min(order.remaining, most)
        share = units / order.remaining
        execution = book_execution(
            order,
            order.side * units,
            match,
            account=self.account,
            charges=self.charges,
            symbol=self.tape.market.symbols[order.column],
            day=self._day(),
            moment=self.clock.moment,
            number=len(self.executions) + 1,
        )
        self.executions.append(execution)
        if order.remaining == 0.0:
            order.status, order.done_ns = FILLED, self.clock.now_ns
            self._standing.pop(order.key, None)
        else:
            order.status = SUBMITTED
        self.changed.add(order.key)
        for message in self._filled_messages(order, execution):
            self._outbox.to(order.client_id, message)
        self._outbox.filled(order.column)
        self._settle_group(order, share)
        if order.done:
            self._activate_children(order)
        elif order.ticket.tif in AT_ONCE:
            self._end(order, "the rest was not filled at once")
        else:
            self.fills.activate(order, self.clock.moment, None)

    def _settle_group(self, order: Order, share: float) -> None:
        """End the others of an order's group when it has filled; when a `share` of it has, reduce or end them."""
        if order.group and order.done:
            self._spent.add(order.group)
        for other in partners_of(order, list(self._standing.values())):
            lot = self.listings.by_column(other.column).lot
            left = math.floor(other.remaining * (1.0 - share) / lot + NOISE) * lot
            if order.done or order.group_type == CANCEL_ALL or left <= 0.0:
                self._end(other, f"an order of its group has filled: {order.order_id}")
            else:
                other.ticket = replace(other.ticket, quantity=other.filled + left)
                self.changed.add(other.key)
                self._report(other)

    def _activate_children(self, order: Order) -> None:
        """Let the children of an order work, for what has filled of it."""
        for child in children_of(order, list(self._standing.values())):
            if not child.waits:
                continue
            child.waits = False
            child.ticket = replace(child.ticket, quantity=order.filled)
            self.changed.add(child.key)
            if child.status != HELD:
                self.fills.activate(child, self.clock.moment, order.average_price)
                child.status = SUBMITTED if child.rests else PRESUBMITTED
                self._report(child)

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

    def open_order(self, order: Order) -> OpenOrder:
        """Say what a standing order is now."""
        self.fills.refresh(order, self.clock.moment)
        contract = self.listings.by_column(order.column).contract
        return open_order(order, contract, self.account, self.price)

    def _report(self, order: Order) -> None:
        """Send an order and its status to its owner."""
        self._outbox.to(order.client_id, self.open_order(order))
        self._outbox.to(order.client_id, order_status(order))
