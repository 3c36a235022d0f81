"""From closed bars and the book to orders wanted: the pure middle of the loop, which backtest and live share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import signal_to_wish
from quantlab.kernels import order as od
from quantlab.live.gate import Before, Gate, Shape, entry_row
from quantlab.sizing import rules_of, target_to_orders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.backtest import Wish
    from quantlab.kernels.records import Records
    from quantlab.live.book import Book
    from quantlab.live.bundle import Bundle, Terms

__all__ = [
    "OUTCOMES",
    "Decision",
    "Held",
    "Sizer",
    "bars_to_wish",
    "decision_to_body",
    "is_over",
    "join_target",
    "last_row",
    "signal_to_decision",
    "size",
]

OUTCOMES = {
    od.NONE: "none",
    od.ORDERED: "ordered",
    od.NO_BUYING_POWER: "no buying power",
    od.NO_SHORT_SALE: "no short sale",
    od.CUT_TO_FLAT: "cut to flat",
}
"""What a decision came to, by the codes of `quantlab.kernels.order`."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What one bar's close comes to. Every array has shape (n_assets,).

    Parameters
    ----------
    time_ns, session : int
        The bar.
    signal : ndarray
        Raw target of the strategy; NaN where the asset has no bar.
    target : ndarray
        Target that counts: 0 for an asset that is not joined yet.
    joined : ndarray of bool
        Whether the asset follows the strategy from here on.
    last_signal, last_target : ndarray
        Last known raw target, and last decided target, both after this bar.
    quantity : ndarray
        Signed raw units to order: from the position to what is wanted; 0 for none.
    outcome : ndarray of int
        Codes of `OUTCOMES`.
    position, pending, close, mark : ndarray
        The book at the decision: units held, units on their way, closes (NaN without a bar), and last known closes.
    cash, equity : float
        Money of the book; equity is marked at this bar's close.
    shapes : tuple of Shape or None
        What is sent with each quantity; empty for a strategy of market orders alone.
    target_before, stopped, renew : ndarray or None
        State of orders inside the bar after this one, as in `quantlab.live.gate.Before`; None without any.
    """

    time_ns: int
    session: int
    signal: NDArray[np.float64]
    target: NDArray[np.float64]
    joined: NDArray[np.bool_]
    last_signal: NDArray[np.float64]
    last_target: NDArray[np.float64]
    quantity: NDArray[np.float64]
    outcome: NDArray[np.int64]
    position: NDArray[np.float64]
    pending: NDArray[np.float64]
    close: NDArray[np.float64]
    mark: NDArray[np.float64]
    cash: float
    equity: float
    shapes: tuple[Shape | None, ...] = ()
    target_before: NDArray[np.float64] | None = None
    stopped: NDArray[np.bool_] | None = None
    renew: NDArray[np.bool_] | None = None

    def shape(self, i: int) -> Shape:
        """Shape of the order of asset `i`."""
        return (self.shapes[i] if self.shapes else None) or Shape()


def bars_to_wish(bundle: Bundle, bars: Bars) -> Wish:
    """Evaluate the bundle's strategy: raw targets of shape (n_bars, n_assets), and orders inside the bar.

    Raises
    ------
    StrategyError
        If the strategy raises or breaks its contract.
    """
    wish = signal_to_wish(bundle.strategy.evaluate(bars, bundle.params), bars, bundle.name)
    return replace(wish, target=np.asarray(wish.target, np.float64))


def join_target(
    signal: NDArray[np.float64],
    last_signal: NDArray[np.float64],
    joined: NDArray[np.bool_],
    event: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Target that counts, and who has joined: an asset joins at an entry of the strategy, or once it is flat.

    Parameters
    ----------
    signal : ndarray of shape (n_assets,)
        Raw target at this bar, NaN where the asset has no bar.
    last_signal : ndarray of shape (n_assets,)
        Raw target before it.
    joined : ndarray of bool of shape (n_assets,)
        Who had joined before.
    event : ndarray of bool of shape (n_assets,), optional
        Further entry events at this bar.

    Notes
    -----
    An entry is a target that is not 0 where the one before was 0 or of the other sign, or where there is a further
    event (docs/fills.md).
    """
    there = ~np.isnan(signal)
    begins = np.sign(signal) != np.sign(last_signal)
    entry = (signal != 0.0) & (begins if event is None else begins | event)
    joins = joined | (there & (entry | (signal == 0.0)))
    return np.where(joins | ~there, signal, 0.0), joins


class Sizer:
    """The engine's sizing rule, ready for one bar after another of the same assets."""

    def __init__(self, terms: Terms, bars: Bars) -> None:
        self._terms = terms
        self._rules: tuple[Records, Records] = rules_of(terms.sizing, terms.account, bars.instruments)
        self._table: Any = None
        self._session = -1

    @property
    def assets(self) -> Records:
        """Instruments as kernels take them, one record an asset."""
        return self._rules[1]

    def month_groups(self, bars: Bars) -> NDArray[np.int64]:
        """Group of each asset whose monthly units are counted together, shape (n_assets,)."""
        return np.asarray(self._costs(bars).group, np.int64)

    def _costs(self, bars: Bars) -> Any:
        """Cost table in force at the last bar; it changes with the session at most."""
        session = int(bars.session[-1])
        if session != self._session:
            self._table, self._session = self._terms.costs.table(bars.take(slice(-1, None))), session
        return self._table

    def orders(
        self,
        bars: Bars,
        target: NDArray[np.float64],
        last_target: NDArray[np.float64],
        *,
        position: NDArray[np.float64],
        pending: NDArray[np.float64],
        last_close: NDArray[np.float64],
        cash: float,
        month_units: NDArray[np.float64] | None = None,
        rank: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], float]:
        """Quantities, last targets, outcomes and equity at the last of the bars; see `target_to_orders`."""
        table = self._costs(bars)
        close = bars.close[-1]
        known = np.where(np.isnan(close), last_close, close)
        decided = target_to_orders(
            target,
            close,
            position=position,
            last_target=last_target,
            cash=cash,
            rules=self._rules,
            table=table,
            pending=pending,
            last_close=known,
            month_units=month_units,
            rank=rank,
        )
        multiplier = self._rules[1]["multiplier"]
        equity = cash + float((position * known * multiplier).sum())
        return decided.quantity, decided.last_target, decided.outcome, equity


def signal_to_decision(
    bars: Bars,
    wish: Wish,
    book: Book,
    sizer: Sizer,
    *,
    last_close: NDArray[np.float64],
    month_units: NDArray[np.float64] | None = None,
) -> Decision:
    """Decide the last of the bars with the book as it is.

    Parameters
    ----------
    bars : Bars
        Closed bars, up to the one that is decided.
    wish : Wish
        Raw targets and orders inside the bar on these bars; the last row counts.
    book : Book
        Not changed.
    sizer : Sizer
        The engine's rule.
    last_close : ndarray of shape (n_assets,)
        Last known closes, for assets without a bar.
    month_units : ndarray of shape (n_groups,), optional
        Raw units traded this month, for tiered commissions on a cash account.
    """
    states = [book.assets[s] for s in bars.symbols]
    there = ~np.isnan(bars.close[-1])
    # NaN where there is a bar means 0; where there is none, no decision.
    raw = np.where(there, np.nan_to_num(wish.target[-1]), np.nan)
    before = np.array([s.last_signal for s in states])
    inside = wish.inside
    event = None if inside is None else last_row(inside.entry) != 0
    target, joined = join_target(raw, before, np.array([s.joined for s in states], bool), event)
    mark = np.where(there, bars.close[-1], last_close)
    position = np.array([s.position for s in states])
    held = Held(
        position=position,
        pending=np.array([_pending(book, s, there[i], bars.time[-1]) for i, s in enumerate(bars.symbols)]),
        last_target=np.array([s.last_target for s in states]),
        cash=book.cash,
    )
    known = None if inside is None else _before(bars, book, there)
    quantity, last_target, outcome, equity, gate, shapes = size(
        bars, wish, sizer, held, known, target=target, last_close=last_close, month_units=month_units
    )
    return Decision(
        time_ns=int(bars.time[-1]),
        session=int(bars.session[-1]),
        signal=raw,
        target=target,
        joined=joined,
        last_signal=np.where(there, raw, before),
        last_target=last_target,
        quantity=quantity,
        outcome=outcome,
        position=position,
        pending=held.pending,
        close=bars.close[-1].copy(),
        mark=mark,
        cash=book.cash,
        equity=equity,
        shapes=shapes,
        target_before=None if gate is None else gate.target_before,
        stopped=None if gate is None else gate.stopped,
        renew=None if gate is None else gate.renew,
    )


@dataclass(frozen=True, eq=False)
class Held:
    """A book as sizing takes it; arrays of shape (n_assets,).

    Parameters
    ----------
    position, pending : ndarray
        Raw units held, and on their way.
    last_target : ndarray
        Last decided targets.
    cash : float
        Money.
    """

    position: NDArray[np.float64]
    pending: NDArray[np.float64]
    last_target: NDArray[np.float64]
    cash: float


def size(
    bars: Bars,
    wish: Wish,
    sizer: Sizer,
    held: Held,
    before: Before | None,
    *,
    target: NDArray[np.float64],
    last_close: NDArray[np.float64],
    month_units: NDArray[np.float64] | None = None,
) -> tuple[
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int64],
    float,
    Gate | None,
    tuple[Shape | None, ...],
]:
    """Quantities, last targets, outcomes, equity, the gate, and shapes at the last of the bars, for any book.

    Parameters
    ----------
    before : Before or None
        State of orders inside the bar; None for a strategy of market orders alone.
    target : ndarray of shape (n_assets,)
        Target that counts; NaN where an asset has no bar.
    """
    gate, last_target, rank = None, held.last_target, None
    if wish.inside is not None and before is not None:
        close = bars.close[-1]
        gate = Gate(
            bars,
            wish.inside,
            sizer.assets,
            before,
            target=target,
            position=held.position,
            last_target=last_target,
            mark=np.where(np.isnan(close), last_close, close),
        )
        target, last_target, rank = gate.target, gate.last_target, last_row(wish.inside.rank)
    quantity, last_target, outcome, equity = sizer.orders(
        bars,
        target,
        last_target,
        position=held.position,
        pending=held.pending,
        last_close=last_close,
        cash=held.cash,
        month_units=month_units,
        rank=rank,
    )
    shapes: list[Shape | None] = []
    if gate is not None:
        for i in range(len(quantity)):
            shape = gate.shape(i, float(quantity[i]), float(last_target[i])) if quantity[i] else None
            if shape is None:
                quantity[i] = 0.0
            shapes.append(shape)
    return quantity, last_target, outcome, equity, gate, tuple(shapes)


def last_row(values: NDArray[Any]) -> NDArray[Any]:
    """Row that holds at the last bar, of values with a row a bar or one for all."""
    row: NDArray[Any] = values[len(values) - 1]
    return row


def is_over(until: str, decided_ns: int, there: bool, now_ns: int) -> bool:
    """Whether an order at a price that was decided then, for one bar, has had it when a later bar is decided."""
    return until == "bar" and bool(there) and decided_ns < now_ns


def _pending(book: Book, symbol: str, there: bool, now_ns: int) -> float:
    """Units on their way that count at a decision: what was good for one bar only is over."""
    return sum(
        o.remaining for o in book.standing(symbol) if not is_over(o.until, o.bar_time_ns, there, now_ns)
    )


def _before(bars: Bars, book: Book, there: NDArray[np.bool_]) -> Before:
    """State of orders inside the bar before a decision, from the book."""
    states = [book.assets[s] for s in bars.symbols]
    now_ns = int(bars.time[-1])
    over = [
        any(is_over(o.until, o.bar_time_ns, there[i], now_ns) for o in book.standing(s))
        for i, s in enumerate(bars.symbols)
    ]
    opening = [book.orders.get(s.bracket) for s in states]
    return Before(
        target=np.array([s.target_before for s in states]),
        stopped=np.array([s.stopped for s in states], bool),
        renew=np.array([s.renew for s in states], bool) | np.array(over, bool),
        entry_row=np.array([entry_row(bars.time, s.opened_ns, s.opened_after_ns) for s in states], np.int64),
        hold=np.array([np.nan if o is None or o.hold is None else o.hold for o in opening]),
    )


def decision_to_body(
    decision: Decision, symbols: tuple[str, ...], uncharged: int, now_ns: int
) -> dict[str, Any]:
    """Write a decision as what JSON holds.

    Parameters
    ----------
    uncharged : int
        Fills whose commission was not reported yet when it was made.
    now_ns : int
        When it was made, by the broker's clock.
    """

    def number(value: float) -> float | None:
        return None if value != value else float(value)  # noqa: PLR0124  # NaN differs from itself

    assets: dict[str, dict[str, Any]] = {
        symbol: {
            "signal": number(decision.signal[i]),
            "target": number(decision.target[i]),
            "joined": bool(decision.joined[i]),
            "last_signal": float(decision.last_signal[i]),
            "last_target": float(decision.last_target[i]),
            "quantity": float(decision.quantity[i]),
            "outcome": OUTCOMES[int(decision.outcome[i])],
            "position": float(decision.position[i]),
            "pending": float(decision.pending[i]),
            "close": number(decision.close[i]),
            "mark": float(decision.mark[i]),
        }
        for i, symbol in enumerate(symbols)
    }
    if decision.stopped is not None and decision.renew is not None and decision.target_before is not None:
        for i, symbol in enumerate(symbols):
            assets[symbol] |= {
                "stopped": bool(decision.stopped[i]),
                "renew": bool(decision.renew[i]),
                "target_before": float(decision.target_before[i]),
                "order": decision.shape(i).to_body() if decision.quantity[i] else None,
            }
    return {
        "time_ns": decision.time_ns,
        "session": decision.session,
        "now_ns": now_ns,
        "cash": decision.cash,
        "equity": decision.equity,
        "uncharged": uncharged,
        "assets": assets,
    }
