"""One strategy over one set of bars: signal to target to fills to statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.engine.result import Result
from quantlab.engine.setup import Setup
from quantlab.errors import DataError, ParameterError, RuinError, StrategyError
from quantlab.loading import collector_paused
from quantlab.strategy import Signal, Strategy, as_strategy, signal_to_target

with collector_paused():
    import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quantlab.costs import Costs
    from quantlab.sizing import Account, Sizing

__all__ = ["Window", "backtest", "has_universe", "market_target", "target_of"]


def target_of(
    strategy: Any, bars: Bars, params: Mapping[str, Any] | None
) -> tuple[NDArray[Any], Strategy | None, dict[str, Any]]:
    """Target of a strategy, a plain function or an array on `bars`, with the strategy and its complete parameters.

    Raises
    ------
    StrategyError
        For a wrong shape or type, targets beyond [-1, 1], or orders inside the bar.
    """
    if isinstance(strategy, (Signal, np.ndarray, pd.DataFrame, pd.Series, list)):
        if params:
            raise ParameterError("params belong to a strategy; a target array has none.")
        signal = strategy if isinstance(strategy, Signal) else Signal(strategy)
        found, complete, name = None, {}, "target"
    else:
        found = as_strategy(strategy)
        complete, name = found.params(params), found.name
        signal = found.evaluate(bars, params)
    return market_target(signal, bars, name), found, complete


def market_target(signal: Signal, bars: Bars, name: str) -> NDArray[Any]:
    """Target of a signal, 0 outside the universe: float64 or bool of shape (n_bars, n_assets).

    Raises
    ------
    StrategyError
        For a wrong shape or type, targets beyond [-1, 1], or orders inside the bar.
    """
    if signal.orders_inside_bar:
        raise StrategyError(
            f"strategy {name} asks for {', '.join(signal.orders_inside_bar)}; this version fills market orders only "
            "and would leave them out. Return the target alone."
        )
    target = signal_to_target(signal, bars, name)
    if has_universe(bars):
        target = np.where(bars.member, target, target.dtype.type(0))
    return target


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
        Finer bars for orders inside the bar; not available in this version.
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
    if detail is not None:
        raise ParameterError(
            "detail bars decide orders inside the bar, which this version does not have; leave it out."
        )
    window = Window.of(bars, start, end)
    given = not (callable(strategy) or isinstance(strategy, Strategy))
    target, found, complete = target_of(strategy, bars if given else window.seen, params)
    target = np.ascontiguousarray(target[window.rows])
    chosen = sizing if sizing is not None or found is None else found.sizing
    setup = Setup.of(
        window.simulated,
        cash=cash,
        costs=costs,
        sizing=chosen,
        account=account,
        fill=fill,
        benchmark=benchmark,
        risk_free=risk_free,
        alive=window.alive,
    )
    run = setup.run(target, worst=True)
    result = Result(setup, run, found, complete, data=bars, window=(start, end))
    if strict and run.ruin_bar >= 0:
        raise RuinError(
            f"equity fell to {run.stats[0]:.2f} at {window.simulated.index[run.ruin_bar]}; use strict=False to see "
            "the run up to there."
        )
    return result
