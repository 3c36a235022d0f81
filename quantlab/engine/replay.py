"""The orders of a run through `vectorbt.Portfolio`: what vectorbt is told, and what it works out by itself.

vectorbt gets decisions (quantities, each at the bar that decided it) and market prices. When an order
fills, at which price after slippage, what it costs, which cash is left, what the portfolio is worth and
every statistic are vectorbt's own work. What it cannot compute is handed over and named in `Replay.given`.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import MissingExtraError, ParameterError
from quantlab.kernels import cost
from quantlab.kernels.fill import DELISTED, REJECTED, REPLACED, RUINED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quantlab.engine.result import Result
    from quantlab.kernels.cost import CostTable
    from quantlab.kernels.records import Records

__all__ = [
    "CLOSE_OUTS",
    "YEAR",
    "Replay",
    "frequency",
    "load_vectorbt",
    "naive_index",
    "percent_rates",
    "quiet",
    "replay",
    "shaped",
]

YEAR = "365 days"
"""vectorbt's own year: a bar is this over bars a year long, so that its default annualisation is ours."""

CLOSE_OUTS = (DELISTED, RUINED)
"""Kinds of fills without an order."""

SMALL = 1e-3
"""Share of the starting cash below which equity is small beside a loan of that size."""

AMOUNT, TARGET_AMOUNT = 0, 3
"""vectorbt's `SizeType`: this many units, or as many as lead to this position."""


@dataclass(frozen=True, eq=False)
class Replay:
    """One run in vectorbt.

    Parameters
    ----------
    portfolio : vectorbt.Portfolio
        With the starting cash of the run.
    cash, value : Series of shape (n_bars,)
        vectorbt's cash and value after each bar. vectorbt takes what is left of a sum for nothing if it is
        below a billionth of its parts; these are taken from the portfolio with its loan, which no sum comes
        near.
    given : tuple of str
        What vectorbt was told instead of computing it: ``"costs"``, ``"prices"``, ``"decisions"``.
    left_out : int
        Close-outs at a ruin that vectorbt cannot take, since it has one order per asset and bar.
    """

    portfolio: Any
    cash: Any
    value: Any
    given: tuple[str, ...]
    left_out: int


def load_vectorbt() -> Any:
    """Import vectorbt.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        with quiet():
            import vectorbt
    except ImportError as error:
        raise MissingExtraError("vectorbt", "vectorbt", "a cross-check") from error
    return vectorbt


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of vectorbt and of the libraries it uses, and no others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def shaped(array: NDArray[Any]) -> Any:
    """Array of shape (n_bars, n_assets) or (n_assets,) as vectorbt takes it beside its closes."""
    if array.shape[-1] > 1:
        return array
    return array[:, 0] if array.ndim == 2 else array[0]


def percent_rates(table: CostTable) -> NDArray[np.float64] | None:
    """Commission as fraction of value of each asset, shape (n_assets,); None where it is anything else."""
    rates = table.rates
    if rates.shape[0] != 1:
        return None
    row, first = rates[0], cost.TIERS
    nothing = [cost.UNIT_FEE, cost.SHARE, cost.SEC, cost.TAF, first + cost.PER_UNIT, first + cost.MINIMUM]
    plain = (
        np.isinf(row[:, cost.CAP])
        & np.isinf(row[:, first + cost.UP_TO])
        & (row[:, nothing] == 0.0).all(axis=1)
    )
    return row[:, first + cost.RATE].copy() if plain.all() else None


def fill_bars(
    decided: NDArray[np.int64], assets: NDArray[np.int64], traded: NDArray[np.bool_], fill: str
) -> NDArray[np.int64]:
    """Bar at which each order fills by rule 1 of docs/fills.md: its asset's next bar; -1 for none."""
    if fill == "close":
        return decided.copy()
    bars = np.full(decided.shape, -1, np.int64)
    for i in np.unique(assets):
        mine = np.flatnonzero(assets == i)
        rows = np.append(np.flatnonzero(traded[:, i]), -1)
        bars[mine] = rows[np.minimum(np.searchsorted(rows[:-1], decided[mine], "right"), rows.size - 1)]
    return bars


class _Orders:
    """Everything that `vectorbt.Portfolio.from_orders` takes, on the bars that were simulated."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.setup, self.run = result._setup, result._records  # noqa: SLF001  # one package
        self.n_bars, bars = self.run.n_bars, result.bars
        self.multiplier = np.array([x.multiplier for x in bars.instruments])
        self.traded = ~np.isnan(bars.close[: self.n_bars])
        self.close = _filled(bars.close[: self.n_bars]) * self.multiplier
        at_open = self.setup.fill == "next_open"
        self.price = (bars.open if at_open else bars.close)[: self.n_bars] * self.multiplier
        self.size = np.full(self.traded.shape, np.nan)
        self.size_type: NDArray[np.int64] | None = None
        self.given: list[str] = []
        self.left_out = 0
        self.slippage = self.setup.table.slippage + self.setup.table.half_spread
        self.slippages: NDArray[np.float64] = self.slippage
        self._put_decisions()
        self._put_costs()
        self._put_close_outs()

    def _put_decisions(self) -> None:
        if self.run.inside is not None:
            self._put_fills()
            return
        orders = self.run.orders
        sent = ~np.isin(orders["status"], (REJECTED, REPLACED)) & (orders["quantity"] != 0.0)
        orders = orders[sent]
        filled = fill_bars(orders["bar"], orders["asset"], self.traded, self.setup.fill)
        orders, filled = orders[filled >= 0], filled[filled >= 0]
        where = filled, orders["asset"]
        self.size[where] = 0.0
        np.add.at(self.size, where, orders["quantity"])  # two orders at one bar show as one of twice the size
        if any(x.tick for x in self.result.bars.instruments):
            self.given.append("prices")
            self.slippages = np.zeros_like(self.slippage)
            self.price[where] = orders["fill_price"] * self.multiplier[orders["asset"]]

    def _put_fills(self) -> None:
        """Tell what filled at which price: when orders inside the bar fill, vectorbt has other rules for."""
        fills = _of_orders(self.run.fills)
        where = fills["bar"], fills["asset"]
        self.size[where] = fills["quantity"]
        self.slippages = np.zeros_like(self.slippage)
        self.price[where] = fills["price"] * self.multiplier[fills["asset"]]
        self.given += ["prices", "decisions"]

    def _put_costs(self) -> None:
        rates = percent_rates(self.setup.table)
        self.fees = np.zeros_like(self.slippage) if rates is None else rates
        self.fixed_fees = np.zeros((1, self.slippage.size))
        if rates is None:
            self.given.append("costs")
            self.fixed_fees = np.zeros(self.traded.shape)
            fills = self.run.fills
            np.add.at(self.fixed_fees, (fills["bar"], fills["asset"]), fills["commission"] + fills["fees"])

    def _put_close_outs(self) -> None:
        """Close what the engine closes without an order: assets whose data ended, and all at a ruin."""
        places = []
        for i in range(self.traded.shape[1]):
            rows = np.flatnonzero(self.traded[:, i])
            if (
                rows.size
                and rows[-1] + 1 < self.n_bars
                and np.isnan(self.result.bars.close[rows[-1] + 1 :, i]).all()
            ):
                places.append((int(rows[-1]) + 1, i))
        if self.run.ruin_bar >= 0:
            places += [(self.n_bars - 1, i) for i in range(self.traded.shape[1])]
        free = [(t, i) for t, i in places if np.isnan(self.size[t, i])]
        self.left_out = len(places) - len(free)
        if not free:
            return
        rows, columns = (np.array(x) for x in zip(*free, strict=True))
        shape = self.traded.shape
        self.size_type = np.full(shape, AMOUNT, np.int64)
        self.size[rows, columns], self.size_type[rows, columns] = 0.0, TARGET_AMOUNT
        self.price[rows, columns] = self.close[rows, columns]
        self.fees, self.slippages = (np.broadcast_to(x, shape).copy() for x in (self.fees, self.slippages))
        self.fees[rows, columns] = self.slippages[rows, columns] = 0.0

    def call_sequence(self) -> NDArray[np.int64]:
        """Columns of each bar in the order in which they trade: exits first, then entries in column order."""
        n_assets = self.traded.shape[1]
        rank = np.broadcast_to(np.arange(n_assets) + len(self.run.fills), self.traded.shape).copy()
        rank[self.run.fills["bar"], self.run.fills["asset"]] = np.arange(len(self.run.fills))
        return np.argsort(rank, axis=1, kind="stable").astype(np.int64)


def _of_orders(fills: Records) -> Records:
    """Leave the fills that an order had."""
    return fills[~np.isin(fills["kind"], CLOSE_OUTS)]


def _filled(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace each missing close by the last known."""
    if not np.isnan(close).any():
        return close
    rows = np.where(np.isnan(close), 0, np.arange(close.shape[0])[:, None])
    return np.asarray(np.take_along_axis(close, np.maximum.accumulate(rows, axis=0), axis=0))


def naive_index(result: Result) -> Any:
    """Labels of the simulated bars without a zone: vectorbt is many times slower with one."""
    import pandas as pd

    index = result.bars.index[: result._records.n_bars]  # noqa: SLF001
    return index if index.tz is None else pd.DatetimeIndex(index.tz_convert("UTC").tz_localize(None))


def frequency(result: Result) -> Any:
    """Length of one bar by which vectorbt's year has the run's bars a year."""
    import pandas as pd

    return pd.Timedelta(round(pd.Timedelta(YEAR).value / result.bars_per_year), "ns")


def replay(result: Result) -> Replay:
    """Run the orders of `result` through vectorbt.

    Raises
    ------
    MissingExtraError
        If vectorbt is not installed.
    ParameterError
        For a run that was charged borrow or interest, or that sold something for less than its costs:
        vectorbt has no place for either.

    Notes
    -----
    vectorbt refuses to spend cash that is not there, where a margin account may owe some after a gap. It
    therefore simulates with a loan, which its portfolio is then without: cash, value and returns are those
    of the run's own starting cash.
    """
    vbt = load_vectorbt()
    _refuse(result)
    import pandas as pd

    orders = _Orders(result)
    lowest = float(orders.run.fills["cash"].min(initial=0.0))
    loan = result.cash_start - 2.0 * min(lowest, 0.0)
    shared = orders.traded.shape[1] > 1
    index, close = naive_index(result), shaped(orders.close)
    labelled: Any = (
        pd.DataFrame(close, index, list(result.bars.symbols))
        if shared
        else pd.Series(close, index, name=result.bars.symbols[0])
    )
    with quiet():
        simulated = vbt.Portfolio.from_orders(
            labelled,
            size=shaped(orders.size),
            size_type=AMOUNT if orders.size_type is None else shaped(orders.size_type),
            direction="both",
            price=shaped(orders.price),
            fees=shaped(orders.fees),
            fixed_fees=shaped(orders.fixed_fees[0] if len(orders.fixed_fees) == 1 else orders.fixed_fees),
            slippage=shaped(orders.slippages),
            min_size=0.0,
            max_size=np.inf,
            size_granularity=np.nan,
            reject_prob=0.0,
            lock_cash=False,
            allow_partial=True,
            raise_reject=False,
            log=False,
            init_cash=result.cash_start + loan,
            cash_sharing=shared,
            group_by=True if shared else None,
            call_seq=orders.call_sequence() if shared else "default",
            max_orders=int(np.isfinite(orders.size).sum()) + 1,
            freq=frequency(result),
            attach_call_seq=shared,
        )
        portfolio = simulated.replace(init_cash=np.array([result.cash_start]))
        books = portfolio.cash(), portfolio.value()
        if float(books[1].min()) > result.cash_start * SMALL:  # next to less, the loan would cost digits
            books = simulated.cash() - loan, simulated.value() - loan
    return Replay(portfolio, *books, tuple(orders.given), orders.left_out)


def _refuse(result: Result) -> None:
    """Refuse runs that vectorbt has no place for."""
    run = result._records  # noqa: SLF001  # one package
    fills = _of_orders(run.fills)
    several = len(fills) - len(np.unique(fills[["bar", "asset"]]))
    if run.inside is not None and several:
        raise ParameterError(
            f"{several} fill(s) share their bar and asset with another one, and vectorbt has one order for both; "
            "cross-check the run without orders inside the bar."
        )
    held = float(result.stats["borrow"]), float(result.stats["interest"])
    if any(held):
        raise ParameterError(
            f"the run was charged {held[0]:,.2f} of borrow and {held[1]:,.2f} of interest, which vectorbt "
            "cannot book between orders. Cross-check the run without them: "
            "costs.replace(borrow=0.0, interest=None)."
        )
    fills = run.fills
    multiplier = np.array([x.multiplier for x in result.bars.instruments])[fills["asset"]]
    proceeds = -fills["quantity"] * fills["price"] * multiplier
    paid = fills["commission"] + fills["fees"]
    worthless = (proceeds > 0.0) & (proceeds < paid)
    if worthless.any():
        k = int(np.argmax(worthless))
        raise ParameterError(
            f"fill {k} sold for {proceeds[k]:,.2f} and cost {paid[k]:,.2f}; vectorbt rejects a sale that "
            "does not pay for itself. Cross-check with costs that have no minimum per order."
        )
