"""The same trades in another order, and other draws of the same trades: how lucky was the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError
from quantlab.research.bootstrap import CHUNK, FEWEST_TRADES, check_draws
from quantlab.research.pathstats import max_drawdown

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.engine.result import Result

__all__ = ["TradePaths", "trade_paths"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class TradePaths:
    """Distributions over the order and the choice of closed trades.

    Parameters
    ----------
    table : DataFrame
        One row each for ``shuffled max_drawdown``, ``resampled max_drawdown`` and ``resampled final_equity``; columns
        are ``actual`` (of the trades in their order) and the quantiles ``5%`` to ``95%``.
    share_of_worse_orders : float
        Share of the shuffled orders whose drawdown is deeper than the actual one: near 1, the order was lucky.
    probability_of_loss : float
        Share of the resampled paths that end below the starting cash.
    shuffled_drawdown, resampled_drawdown, resampled_equity : ndarray of shape (n_paths,)
        The values themselves.
    n_trades, n_paths : int
        Closed trades, and paths drawn of each kind.
    """

    table: pd.DataFrame
    share_of_worse_orders: float
    probability_of_loss: float
    shuffled_drawdown: NDArray[np.float64]
    resampled_drawdown: NDArray[np.float64]
    resampled_equity: NDArray[np.float64]
    n_trades: int
    n_paths: int

    def describe(self) -> dict[str, Any]:
        """Everything but the single values, as what JSON can hold."""
        rows = {str(k): {str(n): float(v) for n, v in row.items()} for k, row in self.table.iterrows()}
        names = ("share_of_worse_orders", "probability_of_loss", "n_trades", "n_paths")
        return {"quantiles": rows, **{k: getattr(self, k) for k in names}}


def trade_paths(result: Result, *, n_paths: int = 1_000, seed: int = 0) -> TradePaths:
    """Shuffle the closed trades of a run, and draw as many with replacement.

    Parameters
    ----------
    result : Result
        Of a run with 5 closed trades or more.
    n_paths : int
        Paths of each kind, 100 or more.
    seed : int
        Of everything drawn.

    Returns
    -------
    TradePaths

    Raises
    ------
    DataError
        For fewer trades.
    ParameterError
        For fewer paths.

    Notes
    -----
    A trade is worth its profit over the equity before it was entered, and paths compound these: 1 + pnl / equity. Where
    trades of several assets overlap, this puts them one after the other. Drawdowns are those after each trade; within
    trades the run's own went deeper or as deep. Shuffling cannot change what is earned in the end, only the way there;
    drawing with replacement changes both. Both take trades for independent, which those of a trend are not.
    """
    import pandas as pd

    check_draws("n_paths", n_paths)
    gains = _gains(result)
    n = len(gains)
    if n < FEWEST_TRADES:
        raise DataError(f"the run closed {n} trades; {FEWEST_TRADES} or more are needed to shuffle them.")
    rng = np.random.default_rng(seed)
    shuffled, drawn, final = np.empty(n_paths), np.empty(n_paths), np.empty(n_paths)
    at_once = max(CHUNK // n, 1)
    for start in range(0, n_paths, at_once):
        rows = slice(start, min(start + at_once, n_paths))
        size = rows.stop - start
        orders = rng.permuted(np.broadcast_to(np.arange(n), (size, n)), axis=1)
        shuffled[rows] = max_drawdown(_growth(gains[orders]))
        growth = _growth(gains[rng.integers(0, n, (size, n))])
        drawn[rows], final[rows] = max_drawdown(growth), growth[:, -1]
    actual = _growth(gains[None, :])
    depth, cash = float(max_drawdown(actual)[0]), result.cash_start
    equity = final * cash
    columns = {f"{q:.0%}": q for q in QUANTILES}
    rows_of = {
        "shuffled max_drawdown": (depth, shuffled),
        "resampled max_drawdown": (depth, drawn),
        "resampled final_equity": (float(actual[0, -1] * cash), equity),
    }
    table = pd.DataFrame(
        {
            name: {"actual": at, **{k: float(np.quantile(v, q)) for k, q in columns.items()}}
            for name, (at, v) in rows_of.items()
        }
    ).T
    return TradePaths(
        table=table,
        share_of_worse_orders=float((shuffled < depth - 1e-12).mean()),
        probability_of_loss=float((final < 1.0).mean()),
        shuffled_drawdown=shuffled,
        resampled_drawdown=drawn,
        resampled_equity=equity,
        n_trades=n,
        n_paths=int(n_paths),
    )


def _gains(result: Result) -> NDArray[np.float64]:
    """Profit of each closed trade over the equity before its entry, in the order of exits."""
    import pandas as pd

    trades = result.trades
    closed = trades[~trades["open"].to_numpy(np.bool_)].sort_values("exit_time", kind="stable")
    entry = result.bars.index.get_indexer(pd.Index(closed["entry_time"]))
    before = np.concatenate(([result.cash_start], result.equity.to_numpy()))[entry]
    return np.asarray(closed["pnl"].to_numpy(np.float64) / before)


def _growth(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Equity over starting cash after each trade; a loss of everything ends it."""
    return np.asarray(np.cumprod(np.maximum(1.0 + gains, 0.0), axis=1), np.float64)
