"""What every trial on the same bars and options shares: prices, rules, costs and benchmark as kernel arguments."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.costs import Costs
from quantlab.engine.inside import Path, check_options, orders_to_levels
from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.kernels import order
from quantlab.kernels import simulate as sim
from quantlab.kernels.curve import TAIL_WARMUP
from quantlab.kernels.lanes import BLOCK
from quantlab.kernels.records import FILL, ORDER, TRADE
from quantlab.kernels.stats import STATS, hold_returns
from quantlab.kernels.target import moved_bars
from quantlab.kernels.trial import Room, Terms, run_trial
from quantlab.sizing import Account, Sizing, rules_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.kernels.cost import CostTable
    from quantlab.kernels.records import Records
    from quantlab.levels import OrdersInside

__all__ = ["FILLS", "NOT_KEPT", "OWN_BENCHMARKS", "PARTS", "TAIL", "Run", "Setup", "tail_of"]

FILLS = {"next_open": sim.NEXT_OPEN, "next_close": sim.NEXT_CLOSE, "close": sim.AT_CLOSE}
"""When an order fills: at the next bar's open or close, or at the signal bar's own close."""

OWN_BENCHMARKS = ("buy-and-hold", "equal-weight buy-and-hold")
"""Names of the benchmark that is taken if none is given: of one asset, and of several."""

TAIL = 0.05
"""Share of the worst bars in value at risk."""

_NOTHING = np.empty(0)
_FIRST = np.zeros(1, np.int64)
_NO_RECORDS = np.empty(0, ORDER), np.empty(0, FILL), np.empty(0, TRADE)

NOT_KEPT = _NO_RECORDS, (_NOTHING, _NOTHING, _NOTHING)
"""Rooms for records and for curves of a run of which the statistics alone are wanted."""

PARTS = 16
"""Parts of a run whose moments are kept apart, of equal length."""


@dataclass(frozen=True, eq=False)
class Run:
    """What one pass of the simulation returned.

    Parameters
    ----------
    stats : ndarray of shape (len(STATS),)
        Statistics in the order of `quantlab.kernels.stats.STATS`.
    moments : ndarray of shape (n_parts, 2)
        Sum and sum of squares of the bar returns in each part of the run; those after a ruin count as 0.
    n_bars : int
        Bars simulated: fewer than the bars there are after a ruin.
    ruin_bar : int
        Bar of the ruin, -1 for none.
    n_cut : int
        Entries that the allowed leverage cut to less than one lot.
    equity, cash : ndarray of shape (n_bars,) or (0,)
        After each bar, if asked for.
    worst : tuple of float, optional
        Quantile of the bar returns at `TAIL` and the mean of those up to it, if asked for and if the run kept enough
        of them; None otherwise.
    changes : tuple of ndarray
        What was simulated: bars at which targets move, shape (n_changes,), and the targets from each on, shape
        (n_changes, n_assets).
    inside : OrdersInside or None
        Orders inside the bar that were simulated.
    counts : tuple of int
        Orders decided, fills and trades, open ones included.
    orders, fills, trades : structured arrays
        Records of layout `ORDER`, `FILL` and `TRADE` (`quantlab.kernels.records`); empty unless asked for.
    """

    stats: NDArray[np.float64]
    moments: NDArray[np.float64]
    n_bars: int
    ruin_bar: int
    n_cut: int
    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    worst: tuple[float, float] | None
    changes: tuple[NDArray[np.int64], NDArray[np.float64]]
    inside: OrdersInside | None
    counts: tuple[int, int, int]
    orders: Records
    fills: Records
    trades: Records


@dataclass(frozen=True, eq=False)
class Setup:
    """Kernel arguments of a set of runs that differ in their target alone. Made by `Setup.of`."""

    bars: Bars
    cash: float
    costs: Costs
    sizing: Sizing
    account: Account
    fill: str
    risk_free: float
    benchmark_name: str
    benchmark_data: str | None
    market: sim.Market
    rules: tuple[Records, Records]
    table: CostTable
    benchmark: NDArray[np.float64]
    benchmark_sums: tuple[float, float, float]
    edges: NDArray[np.int64]
    detail: Bars | None = None

    @classmethod
    def of(
        cls,
        bars: Bars,
        *,
        cash: float = 100_000,
        costs: Costs | None = None,
        sizing: Sizing | None = None,
        account: Account | None = None,
        fill: str = "next_open",
        detail: Bars | None = None,
        benchmark: Any = None,
        risk_free: float = 0.0,
        alive: NDArray[np.bool_] | None = None,
        edges: NDArray[np.int64] | None = None,
    ) -> Setup:
        """Check the options and prepare them.

        Parameters as in `quantlab.engine.backtest.backtest`; `alive`, of shape (n_assets,), says which assets have
        bars after the last of these, so that a pause at the end of a window is not taken for a delisting. `edges`, of
        shape (n_parts + 1,), are the bars at which the parts begin whose moments are kept, and the end: `PARTS` of
        equal length if none are given.
        """
        if fill not in FILLS:
            raise UnknownNameError("fill", str(fill), FILLS)
        for name, value in (("cash", cash), ("risk_free", risk_free)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
                raise ParameterError(f"{name} is {value!r}; a finite number is needed.")
        if cash <= 0:
            raise ParameterError(f"cash is {cash!r}; a positive amount of money is needed.")
        kinds: tuple[tuple[str, Any, type], ...] = (
            ("costs", costs, Costs),
            ("sizing", sizing, Sizing),
            ("account", account, Account),
            ("detail", detail, type(bars)),
        )
        for name, given, kind in kinds:
            if given is not None and not isinstance(given, kind):
                raise ParameterError(
                    f"{name} is {given!r}; a {kind.__name__} is needed, such as {_EXAMPLES[name]}."
                )
        costs, sizing, account = costs or Costs.default(), sizing or Sizing(), account or Account.margin()
        returns, sums, label = _benchmark(benchmark, bars)
        returns.setflags(write=False)  # one kind of array, or kernels compile once more
        foreign = benchmark is not None and not isinstance(benchmark, str)
        return cls(
            bars=bars,
            cash=float(cash),
            costs=costs,
            sizing=sizing,
            account=account,
            fill=fill,
            risk_free=float(risk_free),
            benchmark_name=label,
            benchmark_data=hashlib.blake2b(returns.tobytes(), digest_size=16).hexdigest()
            if foreign
            else None,
            market=_market(bars, alive),
            rules=rules_of(sizing, account, bars.instruments),
            table=costs.table(bars),
            benchmark=returns,
            benchmark_sums=sums,
            edges=_edges(edges, bars.n_bars),
            detail=detail,
        )

    def settings(self) -> dict[str, Any]:
        """Every option, JSON-able: enough to run the same again."""
        return {
            "cash": self.cash,
            "costs": self.costs.describe(),
            "sizing": asdict(self.sizing),
            "account": asdict(self.account),
            "fill": self.fill,
            "risk_free": self.risk_free,
            "benchmark": self.benchmark_name,
            "benchmark_data": self.benchmark_data,
            **({} if self.detail is None else {"detail": self.detail.content_hash}),
        }

    @cached_property
    def path(self) -> Path:
        """How prices go through each bar."""
        return Path.of(self.bars, self.detail)

    def changes(
        self, target: NDArray[Any], inside: OrdersInside | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Bars at which a target moves, an entry event lies or an asset comes or goes; the targets from each on."""
        if target.dtype == bool:
            moved = (
                (target[1:] != target[:-1]).any(axis=1)
                if target.shape[1] > 1
                else target[1:, 0] != target[:-1, 0]
            )
            rows = np.concatenate((_FIRST, np.flatnonzero(moved) + 1))
        else:
            rows = np.empty(len(target), np.int64)
            rows = rows[: moved_bars(target, rows)].copy()
        if len(self.bars.presence):
            rows = np.union1d(rows, self.bars.presence)
        if inside is not None and len(inside.entry_rows):
            rows = np.union1d(rows, inside.entry_rows)
        return rows, target[rows].astype(np.float64)

    def run(self, target: NDArray[Any], inside: OrdersInside | None = None, **keep: bool) -> Run:
        """Simulate one target of shape (n_bars, n_assets), float64 or bool and C-contiguous; see `run_changes`."""
        return self.run_changes(self.changes(target, inside), inside, **keep)

    def run_changes(
        self,
        changes: tuple[NDArray[np.int64], NDArray[np.float64]],
        inside: OrdersInside | None = None,
        *,
        equity: bool = False,
        cash: bool = False,
        worst: bool = False,
        record: bool = False,
    ) -> Run:
        """Simulate a target given by its changes, with orders inside the bar if any, and keep what is asked for.

        Records are written by a second pass, when it is known how many there are.

        Raises
        ------
        ParameterError, DataError
            For options that orders inside the bar cannot be combined with; for finer bars that do not cover the bars.
        """
        if inside is not None:
            check_options(inside, self.sizing, self.fill)
        n_bars = self.bars.n_bars
        equity_out = np.empty(n_bars) if equity else _NOTHING
        cash_out = np.empty(n_bars) if cash else _NOTHING
        tail_out = np.empty(n_bars // 3 + TAIL_WARMUP) if worst else _NOTHING
        stats, moments = np.empty(len(STATS)), np.empty((len(self.edges) - 1, 2))
        room, n_trades = self._simulate(
            changes, inside, _NO_RECORDS, (equity_out, cash_out, tail_out), stats, moments
        )
        bars, money = room.bars[0], room.money[0]
        done = int(bars["n_bars"])
        run = Run(
            stats=stats,
            moments=moments,
            n_bars=done,
            ruin_bar=int(bars["ruin_bar"]),
            n_cut=int(money["n_cut"]),
            equity=equity_out[:done],
            cash=cash_out[:done],
            worst=_worst(bars, tail_out) if worst else None,
            changes=changes,
            inside=inside,
            counts=(int(money["n_rows"]), int(money["n_fills"]), n_trades),
            orders=_NO_RECORDS[0],
            fills=_NO_RECORDS[1],
            trades=_NO_RECORDS[2],
        )
        return self.recorded(run) if record else run

    def recorded(self, run: Run) -> Run:
        """Give the same run with its orders, fills and trades."""
        if len(run.orders) or run.counts[0] == 0:
            return run
        n_orders, n_fills, n_trades = run.counts
        orders, fills, trades = np.empty(n_orders, ORDER), np.empty(n_fills, FILL), np.empty(n_trades, TRADE)
        self._simulate(
            run.changes,
            run.inside,
            (orders, fills, trades),
            NOT_KEPT[1],
            np.empty(len(STATS)),
            np.empty((len(self.edges) - 1, 2)),
        )
        return replace(run, orders=orders, fills=fills, trades=trades)

    def _simulate(  # noqa: PLR0917  # as the kernel takes them
        self,
        changes: tuple[NDArray[np.int64], NDArray[np.float64]],
        inside: OrdersInside | None,
        kept: tuple[Records, Records, Records],
        curves: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        stats: NDArray[np.float64],
        moments: NDArray[np.float64],
    ) -> tuple[Room, int]:
        """Run the kernel; return its sums and the number of trades."""
        room = self.room()
        levels = None if inside is None else orders_to_levels(inside, self.path)
        terms = self.terms_for(inside)
        return room, run_trial(terms, *changes, room, kept, curves, stats, moments, levels)

    @cached_property
    def terms(self) -> Terms:
        """Everything about a trial but its target, as kernels take it."""
        rules, assets = self.rules
        return Terms(
            market=self.market,
            presence=self.bars.presence,
            assets=assets.view(np.int64),
            rules=rules,
            table=self.table,
            fill=FILLS[self.fill],
            cash=self.cash,
            risk_free=self.risk_free / self.bars.bars_per_year,
            bars_per_year=float(self.bars.bars_per_year),
            benchmark=self.benchmark,
            benchmark_sums=self.benchmark_sums,
            edges=self.edges,
            plain=int(self._is_plain()),
        )

    def terms_for(self, inside: OrdersInside | None) -> Terms:
        """Everything about a trial but its target, when it has these orders inside the bar."""
        # An order that is sized at its fill buys what is left after the costs of one order.
        splits = inside is not None and inside.protects and self.sizing.price == "decision"
        return self._splitting if splits else self.terms

    @cached_property
    def _splitting(self) -> Terms:
        """As `terms`, with reversals that are charged as two orders."""
        rules = self.terms.rules.copy()
        rules["splits_reversals"] = 1
        rules.flags.writeable = False  # one kind of array, or kernels compile once more
        return self.terms._replace(rules=rules)

    def _is_plain(self) -> bool:
        """Whether `quantlab.kernels.alone` may run the trials."""
        rules, bars = self.rules[0][0], self.bars
        return (
            bars.n_assets == 1
            and len(bars.presence) == 0
            and not np.isnan(bars.close[:1]).any()
            and not (rules["cash_account"] or self.table.accrues)
            and rules["rebalance"] == order.ON_CHANGE
            and len(self.table.month_from) == 1
        )

    def room(self) -> Room:
        """Working memory of a trial."""
        return Room.of(self.bars.n_bars, self.bars.n_assets, self.table.n_groups)


def _edges(given: NDArray[np.int64] | None, n_bars: int) -> NDArray[np.int64]:
    """Bars at which the parts of a run begin, and its end.

    Raises
    ------
    ParameterError
        For edges that do not rise from 0 to `n_bars`.
    """
    if given is None:
        return np.linspace(0, n_bars, PARTS + 1).astype(np.int64)
    edges = np.array(given, np.int64)  # one kind of array, or kernels compile once more
    if (
        edges.ndim != 1
        or len(edges) < 2
        or edges[0] != 0
        or edges[-1] != n_bars
        or (np.diff(edges) < 0).any()
    ):
        raise ParameterError(
            f"edges are {given!r}; bars are needed that rise from 0 to the number of simulated bars, {n_bars}."
        )
    return edges


_EXAMPLES = {
    "costs": "Costs.ibkr_fixed()",
    "sizing": "Sizing(allocation=1.0)",
    "account": "Account.margin()",
    "detail": "ql.Catalog(path).bars(symbols, '1 min')",
}


def _worst(bars: Any, tail: NDArray[np.float64]) -> tuple[float, float] | None:
    """Quantile at `TAIL` and mean up to it from the returns that were collected; None if those are too few."""
    n, n_tail, limit = int(bars["n_bars"]), int(bars["n_tail"]), float(bars["tail_limit"])
    if n_tail == len(tail):
        return None
    # Only those of the warm-up, and of the block it ended in, can be above the limit: they make room at the front.
    early = tail[: min(n_tail, TAIL_WARMUP + BLOCK)]
    among = early[early <= limit]
    first = len(early) - len(among)
    tail[first : len(early)] = among
    kept = tail[first:n_tail]
    if limit >= 0.0:
        kept = np.concatenate((kept, np.zeros(int(bars["n_flat"]))))
    return tail_of(kept, n) if len(kept) > int(TAIL * (n - 1)) + 1 or len(kept) == n else None


def tail_of(returns: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Quantile at `TAIL` (linear interpolation) of `n` returns, and the mean of the floor(TAIL (n - 1)) + 1 lowest.

    Parameters
    ----------
    returns : ndarray of shape (n_kept,)
        The lowest of the `n` returns, in any order: enough to reach beyond the quantile.
    n : int
        Number of returns in all.
    """
    rank = TAIL * (n - 1)
    low = int(rank)
    high = min(low + 1, n - 1)
    lowest = np.partition(returns, low)  # one place at a time: numpy is four times slower with two
    next_one = lowest[low + 1 :].min() if high > low else lowest[low]
    quantile = lowest[low] + (rank - low) * (next_one - lowest[low])
    return float(quantile), float(lowest[: low + 1].mean())


def _market(bars: Bars, alive: NDArray[np.bool_] | None) -> sim.Market:
    raw = bars.is_raw
    ends: list[tuple[int, int]] = []
    for i in np.flatnonzero(np.isnan(bars.close[-1])):
        held = np.flatnonzero(~np.isnan(bars.close[:, i]))
        if held.size and (alive is None or not alive[i]):
            ends.append((int(held[-1]) + 1, int(i)))
    ends.sort()
    factor = np.ones((1, bars.n_assets)) if raw else bars.factor
    if factor.flags.writeable:
        factor.flags.writeable = False
    return sim.Market(
        open=bars.open,
        close=bars.close,
        factor=factor,
        factor_step=0 if raw else 1,
        end_bar=np.array([t for t, _ in ends], np.int64),
        end_asset=np.array([i for _, i in ends], np.int64),
    )


def _benchmark(given: Any, bars: Bars) -> tuple[NDArray[np.float64], tuple[float, float, float], str]:
    """Bar returns of the benchmark, their sums, and its name."""
    from quantlab.bars import Bars as BarsType

    if given is None:
        return *bars.hold, OWN_BENCHMARKS[bars.n_assets > 1]
    returns = np.empty(bars.n_bars)
    if isinstance(given, str):
        column = np.ascontiguousarray(bars.close[:, [bars.column(given)]])
        return returns, hold_returns(column, returns), f"buy-and-hold {given}"
    if isinstance(given, BarsType):
        rows = np.searchsorted(given.time, bars.time, "right") - 1
        close = np.where((rows >= 0)[:, None], given.close[np.maximum(rows, 0)], np.nan)
        return (
            returns,
            hold_returns(np.ascontiguousarray(close), returns),
            f"buy-and-hold {', '.join(given.symbols)}",
        )
    close = _benchmark_prices(given, bars)
    return returns, hold_returns(close, returns), "given prices"


def _benchmark_prices(given: Any, bars: Bars) -> NDArray[np.float64]:
    import pandas as pd

    if isinstance(given, pd.Series):
        prices = given.reindex(bars.index, method="ffill").to_numpy(np.float64)
    else:
        prices = np.asarray(given, np.float64)
    if prices.shape != (bars.n_bars,):
        raise DataError(
            f"benchmark has shape {prices.shape}; a Series of prices, an array of shape ({bars.n_bars},), a symbol of "
            "the bars or a Bars is needed."
        )
    known = ~np.isnan(prices)
    if not known.any() or (prices[known] <= 0.0).any() or np.isinf(prices).any():
        raise DataError(
            "benchmark prices must be finite and above zero, with at least one on the bars' labels."
        )
    return np.array(prices[:, None])
