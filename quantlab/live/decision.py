"""From closed bars and the book to orders wanted: the pure middle of the loop, which backtest and live share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import StrategyError
from quantlab.kernels import order as od
from quantlab.signal import signal_to_target
from quantlab.sizing import rules_of, target_to_orders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.kernels.records import Records
    from quantlab.live.book import Book
    from quantlab.live.bundle import Bundle, Terms

__all__ = [
    "OUTCOMES",
    "Decision",
    "Sizer",
    "bars_to_signal",
    "decision_to_body",
    "join_target",
    "signal_to_decision",
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


def bars_to_signal(bundle: Bundle, bars: Bars) -> NDArray[np.float64]:
    """Raw targets of the bundle's strategy on bars, shape (n_bars, n_assets).

    Raises
    ------
    StrategyError
        If the strategy raises, breaks its contract, or asks for orders inside the bar.
    """
    signal = bundle.strategy.evaluate(bars, bundle.params)
    if signal.orders_inside_bar:
        raise StrategyError(
            f"strategy {bundle.name} asks for {', '.join(signal.orders_inside_bar)}; orders inside the bar are not "
            "traded live in this version."
        )
    return np.asarray(signal_to_target(signal, bars, bundle.name), np.float64)


def join_target(
    signal: NDArray[np.float64], last_signal: NDArray[np.float64], joined: NDArray[np.bool_]
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

    Notes
    -----
    An entry is a target that is not 0 where the one before was 0 or of the other sign (docs/fills.md).
    """
    there = ~np.isnan(signal)
    entry = (signal != 0.0) & (np.sign(signal) != np.sign(last_signal))
    joins = joined | (there & (entry | (signal == 0.0)))
    return np.where(joins | ~there, signal, 0.0), joins


class Sizer:
    """The engine's sizing rule, ready for one bar after another of the same assets."""

    def __init__(self, terms: Terms, bars: Bars) -> None:
        self._terms = terms
        self._rules: tuple[Records, Records] = rules_of(terms.sizing, terms.account, bars.instruments)
        self._table: Any = None
        self._session = -1

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
        )
        multiplier = self._rules[1]["multiplier"]
        equity = cash + float((position * known * multiplier).sum())
        return decided.quantity, decided.last_target, decided.outcome, equity


def signal_to_decision(
    bars: Bars,
    signal: NDArray[np.float64],
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
    signal : ndarray of shape (n_assets,)
        Raw target at the last bar.
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
    raw = np.where(there, np.nan_to_num(signal), np.nan)
    before = np.array([s.last_signal for s in states])
    target, joined = join_target(raw, before, np.array([s.joined for s in states], bool))
    position = np.array([s.position for s in states])
    pending = np.array([book.pending(s) for s in bars.symbols])
    quantity, last_target, outcome, equity = sizer.orders(
        bars,
        target,
        np.array([s.last_target for s in states]),
        position=position,
        pending=pending,
        last_close=last_close,
        cash=book.cash,
        month_units=month_units,
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
        pending=pending,
        close=bars.close[-1].copy(),
        mark=np.where(there, bars.close[-1], last_close),
        cash=book.cash,
        equity=equity,
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

    assets = {
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
    return {
        "time_ns": decision.time_ns,
        "session": decision.session,
        "now_ns": now_ns,
        "cash": decision.cash,
        "equity": decision.equity,
        "uncharged": uncharged,
        "assets": assets,
    }
