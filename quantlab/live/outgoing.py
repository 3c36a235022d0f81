"""Orders on their way out: intents of a decision, tickets, cancels, and changes of protective orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantlab.broker.orders import TRAILING, Ticket
from quantlab.live.bracket import legs_of, ref_of_leg
from quantlab.live.cover import book_to_resizes
from quantlab.live.gate import Shape
from quantlab.live.journal import Entry
from quantlab.live.reconcile import open_to_resize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quantlab.broker.client import Client
    from quantlab.broker.contracts import ContractId
    from quantlab.broker.events import OrderOpen
    from quantlab.live.book import Book, WorkingOrder
    from quantlab.live.bundle import Bundle
    from quantlab.live.ledger import Ledger

__all__ = ["Outgoing", "ticket_text"]


class Outgoing:
    """What a desk sends, on one connection; nothing leaves that was not journaled.

    Parameters
    ----------
    bundle : Bundle
        Whose orders.
    ledger : Ledger
        Journal and book.
    client : Client
        Connected.
    account : str
        Account that is traded.
    contracts : mapping of str to ContractId
        Contract of each symbol, with its number.
    next_order_id : int
        As the broker greeted; the journal may know that more were used.
    say : callable
        Takes one line for people.
    """

    def __init__(
        self,
        bundle: Bundle,
        ledger: Ledger,
        client: Client,
        *,
        account: str,
        contracts: Mapping[str, ContractId],
        next_order_id: int,
        say: Callable[[str], None],
    ) -> None:
        self._bundle, self._ledger, self._client = bundle, ledger, client
        self._account, self.contracts, self._say = account, contracts, say
        self._next_id = max(next_order_id, ledger.book.max_order_id + 1)
        self._cancelling: set[int] = set()
        self._resizing: set[int] = set()

    @property
    def _book(self) -> Book:
        return self._ledger.book

    # -- orders of a decision ------------------------------------------------------------------------------

    def _intents(self, wanted: Mapping[str, Any], symbol: str, quantity: float) -> list[Entry]:
        """Intents of one decision: an order, or all that belong together."""
        position, protection = self._book.assets[symbol].position, self._book.protection(symbol)
        shape = Shape.from_body(wanted.get("shape"))
        return [
            self._intent(wanted, symbol, units, leg, said)
            for leg, units, said in legs_of(wanted["ref"], quantity, position, shape, protection)
        ]

    def _intent(
        self, wanted: Mapping[str, Any], symbol: str, quantity: float, leg: int, said: Mapping[str, Any]
    ) -> Entry:
        ref = ref_of_leg(wanted["ref"], leg)
        body = {
            "ref": ref,
            "symbol": symbol,
            "quantity": quantity,
            "order_id": self._next_id,
            "client_id": self._client.client_id,
            "bar_time_ns": wanted["bar_time_ns"],
            "session": wanted["session"],
            "before": wanted["before"],
            "leg": leg,
            **said,
        }
        self._next_id += 1
        return Entry("intent", body, ref)

    def _send(self, intents: list[Entry]) -> None:
        """Journal orders in one step, then send them."""
        self._ledger.record(*intents)
        self._cover()
        for entry in intents:
            self._place(self._book.orders[entry.body["ref"]])

    def _place(self, order: WorkingOrder) -> None:
        """Send one journaled order."""
        parent = self._book.orders.get(order.parent) if order.is_protective else None
        ticket = Ticket(
            order.quantity,
            **{"order_type": "MKT", "tif": "DAY", **order.ticket},
            order_ref=order.ref,
            account=self._account,
            parent_id=0 if parent is None else parent.order_id,
        )
        self._client.place_order(order.order_id, self.contracts[order.symbol], ticket)
        self._say(f"sent: {order.quantity:+g} {order.symbol} {ticket_text(order.ticket)}  ({order.ref})")

    # -- cancels -------------------------------------------------------------------------------------------

    def _cancel(self, order: WorkingOrder) -> None:
        """Ask for the end of an order, once on a connection."""
        if order.order_id not in self._cancelling:
            self._cancelling.add(order.order_id)
            self._client.cancel_order(order.order_id)

    @property
    def awaits_ends(self) -> bool:
        """Whether orders were cancelled of which the broker has not said yet that they ended."""
        return any(o.order_id in self._cancelling for o in self._book.standing())

    # -- protective orders ---------------------------------------------------------------------------------

    def _cover(self) -> None:
        """Bring protective orders to the units that are held."""
        changes = [c for symbol in self._bundle.symbols for c in book_to_resizes(self._book, symbol)]
        trails: dict[int, float | None] = {}
        if any(order.ticket["order_type"] == TRAILING for order, _ in changes):
            # A change tells where the stop is by now, or it would begin anew at today's price.
            trails = {o.order_id: o.trail_stop_price for o in self._client.open_orders(everyone=False)}
        for order, quantity in changes:
            trail: dict[str, Any] = {}
            if order.ticket["order_type"] == TRAILING:
                if order.order_id not in trails:
                    # It has ended, and what ended it is being told: there is nothing to change.
                    continue
                trail = {"trail_stop_price": trails[order.order_id]}
            self._ledger.record(Entry("resized", {"ref": order.ref, "quantity": quantity}))
            self._resizing.add(order.order_id)
            ticket = Ticket(
                quantity,
                **{**order.ticket, **trail, "transmit": True},
                order_ref=order.ref,
                account=self._account,
            )
            # Its parent is done, and a done order is no parent: a change names none.
            self._client.place_order(order.order_id, self.contracts[order.symbol], ticket)
            self._say(f"covers {quantity:+g} {order.symbol} now  ({order.ref})")

    def _note_protection(self, order: WorkingOrder, event: OrderOpen) -> None:
        """Keep what the broker has made of a protective order: units that others of its group have filled are gone."""
        entry = open_to_resize(order, event)
        if entry is not None:
            self._ledger.record(entry)


def ticket_text(ticket: Mapping[str, Any]) -> str:
    """Type and prices of an order, for people: ``"MKT"``, ``"STP 95"``, ``"TRAIL 8 %"``."""
    prices = [f"{ticket[k]:g}" for k in ("stop_price", "limit_price", "trail_amount") if ticket.get(k)]
    if ticket.get("trail_percent"):
        prices.append(f"{ticket['trail_percent']:g} %")
    return " ".join([str(ticket.get("order_type", "MKT")), *prices])
