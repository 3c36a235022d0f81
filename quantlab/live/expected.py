"""What should have been decided, from what the gateway received and filled and from nothing that the runner says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.gateway.grid import CLOSE
from quantlab.live.book import PROTECTIVE, REST
from quantlab.live.bracket import legs_of, ref_of_leg
from quantlab.live.decision import Held, is_over, join_target, size
from quantlab.live.gate import Before, Shape
from quantlab.live.replay import is_before

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.backtest import Wish
    from quantlab.live.decision import Sizer
    from quantlab.live.gate import Gate
    from quantlab.live.replay import Replay

__all__ = ["Expectation", "expected_targets", "order_text"]

ENDED_UNFILLED = frozenset({"Inactive"})
"""Statuses of orders that were refused: nothing is decided anew for them."""


def expected_targets(
    wish: Wish, bars: Bars, first: int, join: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Raw and effective targets from row `first` on, from one pass over the whole history.

    Parameters
    ----------
    wish : Wish
        Raw targets of shape (n_bars, n_assets), and orders inside the bar.
    bars : Bars
        The same bars.
    first : int
        Row that is decided first.
    join : {"next_entry", "now"}
        How a standing target is taken over.

    Returns
    -------
    tuple of ndarray of shape (n_bars - first, n_assets)
        NaN where an asset has no bar.
    """
    there = ~np.isnan(bars.close)
    raw = np.where(there, np.nan_to_num(wish.target), np.nan)
    last = np.zeros(bars.n_assets)
    for i in range(bars.n_assets):
        known = np.flatnonzero(there[:first, i])
        last[i] = raw[known[-1], i] if known.size else 0.0
    entry = None if wish.inside is None else wish.inside.entry
    joined = np.full(bars.n_assets, join == "now") | (last == 0.0)
    effective = np.empty_like(raw[first:])
    for k in range(len(effective)):
        t = first + k
        event = None if entry is None else entry[t if len(entry) > 1 else 0] != 0
        effective[k], joined = join_target(raw[t], last, joined, event)
        last = np.where(there[t], raw[t], last)
    return raw[first:], effective


class Expectation:
    """The engine's decision for the book that the gateway's fills come to, bar by bar.

    Parameters
    ----------
    bars : Bars
        The whole history.
    wish : Wish
        What the strategy wants on it.
    replay : Replay
        What the gateway received and filled.
    sizer : Sizer
        The engine's rule.

    Attributes
    ----------
    cash : float
        Money of the book at the last decision.
    """

    def __init__(self, bars: Bars, wish: Wish, replay: Replay, sizer: Sizer) -> None:
        n = bars.n_assets
        self._bars, self._wish, self._replay, self._sizer = bars, wish, replay, sizer
        self._column = {s: i for i, s in enumerate(bars.symbols)}
        self._views = {o.order_ref: o for o in replay.orders}
        self._last_target, self._position = np.zeros(n), np.zeros(n)
        self._target, self._hold = np.zeros(n), np.full(n, np.nan)
        self._stopped, self._renew = np.zeros(n, bool), np.zeros(n, bool)
        self._entry_row, self._n_taken = np.zeros(n, np.int64), 0
        self.cash = 0.0
        self._filled: dict[str, float] = {}
        # Side of the position that each decided order opens, 0 for none.
        self._opens: dict[str, int] = {}
        # Orders at a price that are good for one bar, by column: reference and close of the bar that decided it.
        self._standing: dict[int, tuple[str, int]] = {}

    def decide(
        self, t: int, target: NDArray[np.float64], last_close: NDArray[np.float64], cash: float
    ) -> tuple[NDArray[np.float64], tuple[Shape | None, ...], NDArray[np.float64]]:
        """Quantities and shapes at row `t`, and the positions that they start from; arrays of shape (n_assets,)."""
        time_ns = int(self._bars.time[t])
        multiplier = np.array([x.multiplier for x in self._bars.instruments])
        position, pending, self.cash = self._replay.book_at(time_ns, self._bars.symbols, multiplier, cash)
        self._take(time_ns)
        there = ~np.isnan(self._bars.close[t])
        self._expire(time_ns, there, pending)
        held = Held(position, pending, self._last_target, self.cash)
        # Two rows, so that values by bar are told from one value for all.
        rows = slice(max(t - 1, 0), t + 1)
        wish = self._wish.rows(rows)
        before = None
        if wish.inside is not None:
            shift = rows.start
            before = Before(
                self._target, self._stopped, self._renew, self._entry_row - shift, self._hold.copy()
            )
        quantity, self._last_target, _, _, gate, shapes = size(
            self._bars.take(rows), wish, self._sizer, held, before, target=target, last_close=last_close
        )
        if gate is not None:
            self._keep(gate, shapes, time_ns)
        return quantity, shapes, position

    def _keep(self, gate: Gate, shapes: tuple[Shape | None, ...], time_ns: int) -> None:
        """Keep the state that a decision leaves."""
        self._target, self._stopped, self._renew = gate.target_before, gate.stopped, gate.renew
        for i, shape in enumerate(shapes):
            if shape is None:
                continue
            ref = self._replay.ref(time_ns, self._bars.symbols[i])
            self._opens[ref] = shape.opens
            self._standing.pop(i, None)
            if shape.until == "bar":
                self._standing[i] = ref, time_ns

    def _expire(self, time_ns: int, there: NDArray[np.bool_], pending: NDArray[np.float64]) -> None:
        """End orders that were good for one bar: what they did not fill is not on its way, and is decided anew."""
        for i, (ref, decided_ns) in list(self._standing.items()):
            if not is_over("bar", decided_ns, bool(there[i]), time_ns):
                continue
            del self._standing[i]
            pending[i] = 0.0
            view = self._views.get(ref)
            if view is None or view.status in ENDED_UNFILLED:
                continue
            if self._filled.get(ref, 0.0) != view.quantity:
                self._renew[i] = True

    # -- fills -----------------------------------------------------------------------------------------

    def _take(self, time_ns: int) -> None:
        """Take the fills that were made before the decision of a bar."""
        for fill in self._replay.executions[self._n_taken :]:
            if not is_before(fill, time_ns):
                break
            self._n_taken += 1
            if fill.symbol in self._column:
                self._fill(fill, self._column[fill.symbol])

    def _fill(self, fill: Any, i: int) -> None:
        self._filled[fill.order_ref] = self._filled.get(fill.order_ref, 0.0) + fill.quantity
        before = self._position[i]
        self._position[i] += fill.quantity
        if np.sign(before) != np.sign(self._position[i]) and self._wish.inside is not None:
            # What happens at the instant of a close and after it belongs to the bar that opens then.
            opened_ns = fill.time_ns - 1 if fill.phase == CLOSE else fill.time_ns
            self._entry_row[i] = self._bars.time.searchsorted(opened_ns, "right")
            decided = int(self._bars.time.searchsorted(self._replay.bar_of(fill.order_ref)))
            time_stop = self._wish.inside.time_stop
            self._hold[i] = time_stop[decided if len(time_stop) > 1 else 0, i]
        view = self._views[fill.order_ref]
        ended = view.status == "Filled" and fill.cumulative == view.filled
        if ended and self._replay.leg_of(fill.order_ref) in PROTECTIVE and not self._turns(fill):
            self._last_target[i], self._stopped[i] = 0.0, True

    def _turns(self, fill: Any) -> bool:
        """Whether an order that opens a position of the other side stood when a protective order filled."""
        return any(
            o.symbol == fill.symbol
            and self._opens.get(o.order_ref, 0) * fill.quantity > 0.0
            and o.time_ns <= fill.time_ns
            and self._filled.get(o.order_ref, 0.0) != o.quantity
            and (o.done_ns is None or o.done_ns >= fill.time_ns)
            for o in self._replay.orders
        )

    # -- orders ----------------------------------------------------------------------------------------

    def orders(
        self, t: int, i: int, quantity: float, position: float, shape: Shape | None
    ) -> dict[str, tuple[float, str]]:
        """Orders that a decision comes to, by reference: signed units, and the rest as text."""
        if quantity == 0.0:
            return {}
        symbol, time_ns = self._bars.symbols[i], int(self._bars.time[t])
        ref = self._replay.ref(time_ns, symbol)
        protection: list[Any] = [
            SimpleNamespace(ticket={"oca_group": o.oca_group})
            for o in self._replay.orders
            if o.symbol == symbol
            and self._replay.leg_of(o.order_ref) in PROTECTIVE
            and self._replay.bar_of(o.order_ref) < time_ns
            and not (o.done_ns is not None and self._ended(o, time_ns))
        ]
        found = {}
        for leg, units, said in legs_of(ref, quantity, position, shape or Shape(), protection):
            found[ref_of_leg(ref, leg)] = (units, _ticket_text(said["ticket"]))
        return found

    def _ended(self, order: Any, time_ns: int) -> bool:
        """Whether a protective order had ended before the decision of a bar; a fill at the next open is later."""
        last = [x for x in self._replay.executions if x.order_ref == order.order_ref]
        if order.status == "Filled" and last:
            return is_before(last[-1], time_ns)
        partners = [
            x for x in self._replay.executions if x.time_ns == order.done_ns and x.symbol == order.symbol
        ]
        if partners:
            return is_before(partners[-1], time_ns)
        return bool(order.done_ns <= time_ns)

    def rests(self) -> Iterator[tuple[Any, str]]:
        """Orders that close what a stop left, each with what is wrong about it; "" if nothing is."""
        for order in self._replay.orders:
            if self._replay.leg_of(order.order_ref) != REST or not self._replay.bar_of(order.order_ref):
                continue
            fills = [
                x
                for x in self._replay.executions
                if x.symbol == order.symbol and x.time_ns <= order.time_ns and x.order_ref != order.order_ref
            ]
            held = sum(x.quantity for x in fills)
            stopped = any(self._replay.leg_of(x.order_ref) in PROTECTIVE for x in fills)
            yield order, "" if stopped and held == -order.quantity else f"{-held:+g} after a stop"


def _ticket_text(ticket: dict[str, Any]) -> str:
    """Type, time in force and prices of a ticket."""
    names = ("limit_price", "stop_price", "trail_amount", "trail_percent")
    prices = " ".join(f"{n}={ticket[n]!r}" for n in names if ticket.get(n) is not None)
    group = " in a group" if ticket.get("oca_group") else ""
    return f"{ticket.get('order_type', 'MKT')} {ticket.get('tif', 'DAY')} {prices}".rstrip() + group


def order_text(view: Any) -> str:
    """Write an order that the gateway received as `Expectation.orders` writes what it should be."""
    return _ticket_text(
        {
            "order_type": view.order_type,
            "tif": view.tif,
            "limit_price": view.limit_price,
            "stop_price": view.stop_price if view.order_type != "TRAIL" else None,
            "trail_amount": view.trail_amount,
            "trail_percent": view.trail_percent,
            "oca_group": view.oca_group,
        }
    )
