"""One strategy over one set of bars: signal to target to fills to statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.engine.result import Result
from quantlab.engine.setup import Setup
from quantlab.errors import DataError, ParameterError, RuinError
from quantlab.loading import collector_paused
from quantlab.signal import Signal, signal_to_target
from quantlab.strategy import Strategy, as_strategy

with collector_paused():
    import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quantlab.costs import Costs
    from quantlab.levels import OrdersInside
    from quantlab.sizing import Account, Sizing

__all__ = ["Window", "Wish", "backtest", "has_universe", "signal_to_wish", "wish_of"]


@dataclass(frozen=True, eq=False)
class Wish:
    """What a strategy wants, checked.

    Parameters
    ----------
    target : ndarray of shape (n_bars, n_assets)
        Float64 or bool, C-contiguous; 0 outside the universe.
    inside : OrdersInside or None
        Orders inside the bar; None for market orders alone.
    """

    target: NDArray[Any]
    inside: OrdersInside | None

    def rows(self, rows: slice) -> Wish:
        """Give the wish for part of the bars."""
        if rows == slice(0, len(self.target)):
            return self
        inside = None if self.inside is None else self.inside.rows(rows)
        return Wish(np.ascontiguousarray(self.target[rows]), inside)


def wish_of(
    strategy: Any, bars: Bars, params: Mapping[str, Any] | None
) -> tuple[Wish, Strategy | None, dict[str, Any]]:
    """Find what a strategy, a function, a signal or an array wants on `bars`, the strategy and complete parameters.

    Raises
    ------
    StrategyError
        As `signal_to_wish`.
    """
    if isinstance(strategy, Wish):
        return strategy, None, {}
    if isinstance(strategy, (Signal, np.ndarray, pd.DataFrame, pd.Series, list)):
        if params:
            raise ParameterError("params belong to a strategy; a target array has none.")
        signal = strategy if isinstance(strategy, Signal) else Signal(strategy)
        found, complete, name = None, {}, "target"
    else:
        found = as_strategy(strategy)
        complete, name = found.params(params), found.name
        signal = found.evaluate(bars, params)
    return signal_to_wish(signal, bars, name), found, complete


def signal_to_wish(signal: Signal, bars: Bars, name: str) -> Wish:
    """Check a signal; its target is 0 outside the universe.

    Raises
    ------
    StrategyError
        For a wrong shape or type, targets beyond [-1, 1], or levels and prices that cannot be.
    """
    target = signal_to_target(signal, bars, name)
    if has_universe(bars):
        target = np.where(bars.member, target, target.dtype.type(0))
    if not signal.orders_inside_bar:
        return Wish(target, None)
    from quantlab.levels import signal_to_orders

    return Wish(target, signal_to_orders(signal, target, bars, name))


def has_universe(bars: Bars) -> bool:
    """Whether some asset is outside the universe at some bar."""
    return bars.member.strides != (0, 0) and not bool(bars.member.all())


@dataclass(frozen=True, eq=False)
class Window:
    """Part of the bars that is simulated, and what the strategy sees of them.

    Parameters
    ----------
    seen : Bars
        Up to the end of the window: what precedes it is warm-up.
    simulated : Bars
        The window.
    rows : slice
        Rows of `seen` that are simulated.
    alive : ndarray of shape (n_assets,), optional
        Assets that have bars after the window; None where it ends with the bars.
    """

    seen: Bars
    simulated: Bars
    rows: slice
    alive: NDArray[np.bool_] | None

    @classmethod
    def of(cls, bars: Bars, start: Any = None, end: Any = None) -> Window:
        """Window from `start` to `end`, both inclusive."""
        seen = bars if end is None else bars.between(None, end)
        alive = None if end is None else np.asarray(~np.isnan(bars.close[seen.n_bars :]).all(axis=0))
        if start is None:
            return cls(seen, seen, slice(0, seen.n_bars), alive)
        return cls(seen, seen.between(start, None), seen.rows(start, None), alive)


def backtest(
    strategy: Any,
    bars: Bars,
    params: Mapping[str, Any] | None = None,
    *,
    cash: float = 100_000,
    costs: Costs | None = None,
    sizing: Sizing | None = None,
    account: Account | None = None,
    fill: str = "next_open",
    start: Any = None,
    end: Any = None,
    detail: Bars | None = None,
    benchmark: Any = None,
    risk_free: float = 0.0,
    strict: bool = False,
) -> Result:
    """Run a strategy over bars and return what it did and what it was worth.

    Parameters
    ----------
    strategy : Strategy, callable or array_like
        A signal function of bars and parameters, or a target of shape (n_bars, n_assets) (a frame is matched by
        its labels).
    bars : Bars
        Prices. Assets outside their universe (`bars.member` False) have a target of 0.
    params : mapping, optional
        Parameters that differ from the defaults.
    cash : float
        Starting cash, in the account's currency.
    costs : Costs, optional
        Default: Interactive Brokers' fixed schedule for each instrument's type plus 1 bp of slippage.
    sizing : Sizing, optional
        Default: the strategy's own, else equal shares of equity in whole units, sized at the decision.
    account : Account, optional
        Default: a margin account.
    fill : {"next_open", "next_close", "close"}
        When orders fill. "close" is the signal bar's own close, which cannot be traded; the result says so.
    start, end : str or datetime, optional
        Part that is simulated, both inclusive. The strategy sees the bars before `start` as its warm-up and nothing
        after `end`.
    detail : Bars, optional
        Finer bars of the same assets, through which orders inside the bar go; `Result.detail_changes` says how many
        fills that changed.
    benchmark : Bars, str, Series or array, optional
        What to compare with; default: equal-weight buy-and-hold of the bars' assets, without cost.
    risk_free : float
        Annual return without risk; a bar's is this over bars a year.
    strict : bool
        Raise `RuinError` when equity falls to zero, instead of ending the run there.

    Raises
    ------
    StrategyError, ParameterError, DataError, UnknownNameError
        For input that cannot be used; each says what is allowed.
    RuinError
        With ``strict=True``.

    Notes
    -----
    docs/fills.md states the fill rules, docs/statistics.md every statistic.
    """
    if not isinstance(bars, Bars):
        raise DataError(
            f"bars is a {type(bars).__name__}; make Bars of it first, with ql.Bars.from_frame(...)."
        )
    window = Window.of(bars, start, end)
    given = not (callable(strategy) or isinstance(strategy, Strategy))
    wish, found, complete = wish_of(strategy, bars if given else window.seen, params)
    wish = wish.rows(window.rows)
    chosen = sizing if sizing is not None or found is None else found.sizing
    setup = Setup.of(
        window.simulated,
        cash=cash,
        costs=costs,
        sizing=chosen,
        account=account,
        fill=fill,
        detail=detail,
        benchmark=benchmark,
        risk_free=risk_free,
        alive=window.alive,
    )
    run = setup.run(wish.target, wish.inside, worst=True)
    result = Result(setup, run, found, complete, data=bars, window=(start, end))
    if strict and run.ruin_bar >= 0:
        raise RuinError(
            f"equity fell to {run.stats[0]:.2f} at {window.simulated.index[run.ruin_bar]}; use strict=False to see "
            "the run up to there."
        )
    return result
