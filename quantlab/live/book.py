"""The bundle's own book: cash, positions, orders and decisions, folded from the journal and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantlab.live.journal import Entry

__all__ = [
    "CLOSE",
    "ORDER",
    "PROTECTIVE",
    "REST",
    "STOP",
    "TARGET",
    "TRAIL",
    "UNDECIDED",
    "AssetState",
    "Book",
    "WorkingOrder",
    "order_ref",
]

FILL_TOLERANCE = 1e-9
"""Units that count as nothing left of an order."""

ORDER, STOP, TARGET, TRAIL, CLOSE, REST = range(6)
"""Legs of a decision: its order; the protective orders that hang on it; the order that closes the old position where a
reversal is two; and what is sold at the market where a stop did not cover all."""

PROTECTIVE = frozenset({STOP, TARGET, TRAIL})

UNDECIDED = 2.0
"""A last target that no strategy can have: the next bar of the asset decides anew, from what is held."""


def order_ref(bundle: str, bar_time_ns: int, symbol: str, leg: int = 0) -> str:
    """Identity of one order of one decision: bundle, bar, asset, leg. The same decision has the same one, always."""
    import numpy as np

    stamp = str(np.datetime64(bar_time_ns, "ns").astype("M8[s]")).translate({ord(c): None for c in "-:"})
    return f"QL-{bundle[:8]}-{stamp}-{symbol}-{leg}"


@dataclass(slots=True)
class AssetState:
    """State of one asset.

    Parameters
    ----------
    position : float
        Raw units held, from executions alone.
    last_target : float
        Last decided target.
    last_signal : float
        Last raw target of the strategy on a bar of the asset.
    joined : bool
        Whether the live run follows the strategy yet; before that its target counts as 0.
    frozen : str or None
        Why the asset is not traded.
    decision_price : float
        Close at which the last order was decided; NaN before.
    target_before : float
        Target that counted at the asset's last bar, before a stop or a time limit changed it.
    stopped : bool
        Whether the target counts as 0 until the next entry event, since a protective order closed the position.
    renew : bool
        Whether an order at a price ended unfilled, so that the next bar decides anew.
    bracket : str
        Reference of the order that opened the position; empty while nothing is held.
    opened_ns, opened_after_ns : int
        When that order first filled, and the close of the newest bar that had been decided then.
    """

    position: float = 0.0
    last_target: float = 0.0
    last_signal: float = 0.0
    joined: bool = True
    frozen: str | None = None
    decision_price: float = float("nan")
    target_before: float = 0.0
    stopped: bool = False
    renew: bool = False
    bracket: str = ""
    opened_ns: int = 0
    opened_after_ns: int = 0


@dataclass(slots=True)
class WorkingOrder:
    """An order of ours.

    Parameters
    ----------
    ref, symbol : str
        Identity and asset.
    quantity, filled : float
        Signed units ordered and filled.
    order_id, client_id, perm_id : int
        The broker's names for it; perm_id is 0 until it told.
    bar_time_ns : int
        Close of the bar that decided it.
    status : str
        What the broker said last; "" if it has not said anything.
    before : float
        Last decided target of the asset before this decision, which comes back if the order never left.
    ended : str or None
        "filled", "cancelled", "rejected" or "missed"; None while it is alive or unknown.
    leg : int
        Which order of its decision it is.
    parent : str
        Reference of the order that a protective one hangs on, or that goes out with one that closes; else empty.
    opens : {-1, 0, 1}
        Side of the position that it opens; 0 if it does not.
    until : str
        How long it stands at a price, as in `quantlab.Signal`; empty for a market order.
    hold : float or None
        Bars that the position that it opens may be held.
    ticket : dict
        What it was sent with, beside quantity and reference: fields of `quantlab.broker.orders.Ticket`.
    """

    ref: str
    symbol: str
    quantity: float
    order_id: int
    client_id: int
    bar_time_ns: int
    before: float = 0.0
    filled: float = 0.0
    perm_id: int = 0
    status: str = ""
    ended: str | None = None
    leg: int = ORDER
    parent: str = ""
    opens: int = 0
    until: str = ""
    hold: float | None = None
    ticket: dict[str, Any] = field(default_factory=dict)

    @property
    def is_protective(self) -> bool:
        """Whether it closes a position at a price, and waits at the broker for that."""
        return self.leg in PROTECTIVE

    @property
    def remaining(self) -> float:
        """Signed units that may still fill."""
        return 0.0 if self.ended else self.quantity - self.filled


@dataclass
class Book:
    """Everything a run has to know after a crash. `apply` is the only way it changes.

    ``wanted`` holds, by symbol, decisions to order that have become neither an order nor been held back yet.

    Parameters
    ----------
    bundle : str
        Id of the bundle.
    cash : float
        Allotted money, then what fills made of it.
    multipliers : dict of str to float
        Money per unit and point of each asset.
    """

    bundle: str
    cash: float
    multipliers: dict[str, float]
    assets: dict[str, AssetState] = field(default_factory=dict)
    orders: dict[str, WorkingOrder] = field(default_factory=dict)
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    commissions: dict[str, float] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    bars: list[dict[str, Any]] = field(default_factory=list)
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: tuple[int, int] = (-1, 0)
    account: str | None = None
    seeded: bool = False
    halted: str | None = None
    decided_ns: int = 0
    decided: dict[str, Any] | None = None
    max_order_id: int = 0
    equity_at: tuple[int, float] = (-1, 0.0)
    equity_before: float = float("nan")
    _alive: dict[str, WorkingOrder] = field(default_factory=dict)
    _by_id: dict[tuple[int, int], WorkingOrder] = field(default_factory=dict)
    _by_perm: dict[int, WorkingOrder] = field(default_factory=dict)
    _fill_of: dict[str, str] = field(default_factory=dict)
    _children: dict[str, list[WorkingOrder]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for symbol in self.multipliers:
            self.assets.setdefault(symbol, AssetState())
        self.equity_before = self.cash

    @classmethod
    def of(cls, bundle: str, cash: float, multipliers: dict[str, float], entries: Iterable[Entry]) -> Book:
        """Fold a journal."""
        book = cls(bundle, cash, multipliers)
        for entry in entries:
            book.apply(entry)
        return book

    # -- asking ----------------------------------------------------------------------------------------

    def working(self, symbol: str | None = None) -> list[WorkingOrder]:
        """Orders that may still fill, of one asset or of all."""
        return [o for o in self._alive.values() if symbol in {None, o.symbol}]

    def working_id(self, order_id: int) -> WorkingOrder | None:
        """Order of ours that may still fill, by the id it was sent under."""
        return next((o for o in self._alive.values() if o.order_id == order_id), None)

    def standing(self, symbol: str | None = None) -> list[WorkingOrder]:
        """Orders of decisions that may still fill, of one asset or of all; protective ones are none of them."""
        return [o for o in self.working(symbol) if not o.is_protective]

    def protection(self, symbol: str) -> list[WorkingOrder]:
        """Protective orders of an asset that may still fill."""
        return [o for o in self.working(symbol) if o.is_protective]

    def children(self, ref: str) -> list[WorkingOrder]:
        """Protective orders that were sent with an order, whatever became of them."""
        return self._children.get(ref, [])

    def pending(self, symbol: str) -> float:
        """Signed units of an asset that are on their way; what protective orders may do is not."""
        return sum(o.remaining for o in self.standing(symbol))

    def sent_in(self, session: int) -> int:
        """Orders sent in a session, if it is the newest one in which any was; else 0."""
        return self.sent[1] if self.sent[0] == session else 0

    def uncharged(self) -> int:
        """Count executions whose commission was not reported yet."""
        return len(self.executions.keys() - self.commissions.keys())

    def order_of(self, ref: str, perm_id: int = 0, ids: tuple[int, int] | None = None) -> WorkingOrder | None:
        """Our order of a reference, else of a permanent id, else of (client id, order id)."""
        if ref:
            return self.orders.get(ref)
        return self._by_perm.get(perm_id) or (self._by_id.get(ids) if ids is not None else None)

    # -- folding ---------------------------------------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        """Fold one entry. Entries of a kind that changes nothing pass."""
        step = getattr(self, f"_on_{entry.kind}", None)
        if step is not None:
            step(entry.body)

    def _on_account(self, body: dict[str, Any]) -> None:
        self.account = body["account"]

    def _on_seed(self, body: dict[str, Any]) -> None:
        self.seeded = True
        for symbol, said in body["assets"].items():
            state = self.assets[symbol]
            state.last_signal, state.joined = said["signal"], said["joined"]

    def _on_bar(self, body: dict[str, Any]) -> None:
        self.bars.append(body)

    def _on_decision(self, body: dict[str, Any]) -> None:
        self.decided_ns, self.decided = body["time_ns"], body
        session, equity = body["session"], body["equity"]
        if self.equity_at[0] not in {-1, session}:
            self.equity_before = self.equity_at[1]
        self.equity_at = (session, equity)
        gross = sum(abs(a["position"]) * a["mark"] * self.multipliers[s] for s, a in body["assets"].items())
        for symbol, said in body["assets"].items():
            state = self.assets[symbol]
            before = state.last_target
            state.last_target, state.last_signal = said["last_target"], said["last_signal"]
            state.joined = said["joined"]
            state.stopped, state.renew = said.get("stopped", False), said.get("renew", False)
            state.target_before = said.get("target_before", 0.0)
            if said["outcome"] != "none":
                self.wanted.pop(symbol, None)
            if said["quantity"]:
                state.decision_price = said["close"]
            # Where an order is on its way, even an order of nothing has to wait and see what that one fills.
            if said["quantity"] or (said["outcome"] != "none" and said["pending"]):
                self.wanted[symbol] = {
                    "ref": order_ref(self.bundle, body["time_ns"], symbol),
                    "bar_time_ns": body["time_ns"],
                    "session": session,
                    "desired": said["position"] + said["quantity"],
                    "before": before,
                    "unit": said["mark"] * self.multipliers[symbol],
                    "gross": gross,
                    "shape": said.get("order"),
                }

    def _on_missed(self, body: dict[str, Any]) -> None:
        self.decided_ns, self.decided = body["time_ns"], None

    def _on_intent(self, body: dict[str, Any]) -> None:
        order = WorkingOrder(
            **{k: body[k] for k in INTENT_FIELDS}, **{k: body[k] for k in FURTHER_FIELDS if k in body}
        )
        self.orders[order.ref] = self._alive[order.ref] = order
        self._by_id[order.client_id, order.order_id] = order
        self.max_order_id = max(self.max_order_id, order.order_id)
        if order.is_protective:
            self._children.setdefault(order.parent, []).append(order)
            return
        self._not_wanted(order.symbol, order.ref)
        self.sent = (body["session"], self.sent_in(body["session"]) + 1)

    def _on_resized(self, body: dict[str, Any]) -> None:
        order = self.orders.get(body["ref"])
        if order is not None:
            order.quantity = body["quantity"]

    def _not_wanted(self, symbol: str, ref: str) -> None:
        if self.wanted.get(symbol, {}).get("ref") == ref:
            del self.wanted[symbol]

    def _on_blocked(self, body: dict[str, Any]) -> None:
        self._not_wanted(body["symbol"], body["ref"])
        if body["before"] is not None:
            self.assets[body["symbol"]].last_target = body["before"]

    def _on_status(self, body: dict[str, Any]) -> None:
        order = self.orders.get(body["ref"])
        if order is not None:
            order.status, order.perm_id = body["status"], body["perm_id"] or order.perm_id
            if order.perm_id:
                self._by_perm[order.perm_id] = order

    def _on_ended(self, body: dict[str, Any]) -> None:
        order = self.orders.get(body["ref"])
        if order is not None:
            order.ended = body["how"]
            self._alive.pop(order.ref, None)
            state = self.assets[order.symbol]
            if body["how"] == "missed" and not order.is_protective:
                state.last_target = order.before
            # What a newer decision replaced is not decided anew.
            if body["how"] == "cancelled" and order.until == "bar" and order.bar_time_ns >= self.decided_ns:
                state.renew = True

    def _on_execution(self, body: dict[str, Any]) -> None:
        exec_id = body["exec_id"]
        if exec_id in self.seen:
            return
        self.seen.add(exec_id)
        # What follows the last dot of an execution's id counts its corrections.
        fill, _, version = exec_id.rpartition(".")
        other = self._fill_of.get(fill or exec_id)
        if other is not None:
            if _count(other.rpartition(".")[2]) >= _count(version):
                return
            self._undo(other)
        fill = fill or exec_id
        self._fill_of[fill] = exec_id
        self.executions[exec_id] = body
        self._book(body, 1.0)
        self.cash -= self.commissions.get(exec_id, 0.0)

    def _undo(self, exec_id: str) -> None:
        """Take back a fill that a correction replaces; its commission stays known, so that it is not booked again."""
        self._book(self.executions.pop(exec_id), -1.0)
        self.cash += self.commissions.get(exec_id, 0.0)

    def _book(self, body: dict[str, Any], sign: float) -> None:
        symbol, quantity = body["symbol"], sign * body["quantity"]
        state = self.assets[symbol]
        before = state.position
        state.position += quantity
        self.cash -= quantity * body["price"] * self.multipliers[symbol]
        if _side(state.position) != _side(before):
            state.bracket = self._opening(body["ref"]) if _side(state.position) else ""
            state.opened_ns, state.opened_after_ns = body["time_ns"] or 0, self.decided_ns
        order = self.orders.get(body["ref"])
        if order is not None:
            order.filled += quantity
            if abs(order.quantity - order.filled) <= FILL_TOLERANCE:
                order.ended = "filled"
                self._alive.pop(order.ref, None)
                if order.is_protective:
                    self._stop_out(order)
            elif order.ended == "filled":
                order.ended = None
                self._alive[order.ref] = order

    def _opening(self, ref: str) -> str:
        """Give the order that a fill opened a position by: of a reversal's two orders the one that opens."""
        order = self.orders.get(ref)
        return order.parent if order is not None and order.leg == CLOSE else ref

    def _stop_out(self, order: WorkingOrder) -> None:
        """Stay flat until the next entry event after a protective order, unless a reversal is on its way."""
        if not any(o.opens == _side(order.quantity) for o in self.standing(order.symbol)):
            state = self.assets[order.symbol]
            state.last_target, state.stopped = 0.0, True

    def _on_commission(self, body: dict[str, Any]) -> None:
        exec_id, amount = body["exec_id"], body["amount"]
        before = self.commissions.get(exec_id, 0.0)
        self.commissions[exec_id] = amount
        if exec_id in self.executions:
            self.cash -= amount - before

    def _on_freeze(self, body: dict[str, Any]) -> None:
        self.assets[body["symbol"]].frozen = body["reason"]

    def _on_thaw(self, body: dict[str, Any]) -> None:
        state = self.assets[body["symbol"]]
        state.frozen, state.last_target = None, UNDECIDED

    def _on_again(self, body: dict[str, Any]) -> None:
        self.assets[body["symbol"]].last_target = UNDECIDED

    def _on_halt(self, body: dict[str, Any]) -> None:
        self.halted = body["reason"]

    def _on_resume(self, body: dict[str, Any]) -> None:  # noqa: ARG002  # every step takes its entry's body
        self.halted = None


INTENT_FIELDS = ("ref", "symbol", "quantity", "order_id", "client_id", "bar_time_ns", "before")
FURTHER_FIELDS = ("leg", "parent", "opens", "until", "hold", "ticket")


def _side(quantity: float) -> int:
    """Sign of a quantity; what is within the tolerance of nothing is nothing."""
    return 0 if abs(quantity) <= FILL_TOLERANCE else 1 if quantity > 0.0 else -1


def _count(version: str) -> int:
    """Count a correction by its number; text that is no number counts as the first."""
    return int(version) if version.isdigit() else 0
