"""The sweeps of others on the same prices and parameters, each at its best settings."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from _peers import BARS_PER_YEAR
from _sweep_cases import CASH, MINUTE_RATE, Sweep

from quantlab.signals import sma

if TYPE_CHECKING:
    import quantlab as ql


class VectorbtSweep:
    """vectorbt's dual-average example: signals included, three statistics of every column.

    Its time index has no zone, which would take it minutes; order records are no more than are needed; the statistics
    share one set of returns and leave the benchmark out, which `Portfolio.sharpe_ratio` would make.

    Parameters
    ----------
    sweep : Sweep
        Prices, windows and commission.
    rate : float
        Commission as a fraction.
    engine : {"numba", "rust"}
        Which engine.
    n_orders : int
        Orders of all columns, at most.
    crossings : bool
        Signals as the example makes them: events at which the averages cross, rather than who is above.
    """

    def __init__(
        self, sweep: Sweep, rate: float, engine: str, n_orders: int, *, crossings: bool = False
    ) -> None:
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import vectorbt as vbt
        if engine == "rust":
            import vectorbt_rust  # noqa: F401  # says by its absence that it is not installed
        self.vbt, self.engine, self.crossings = vbt, engine, crossings
        self.rate, self.n_orders = rate, n_orders
        closes = np.column_stack([bars.close[:, 0] for bars in sweep.markets])
        names = [bars.symbols[0] for bars in sweep.markets]
        index = pd.DatetimeIndex(sweep.markets[0].time.view("M8[ns]"))
        self.close = pd.DataFrame(closes, index, names)
        self.windows = np.array(sweep.grid["fast"])
        per_year = sweep.markets[0].bars_per_year
        self.freq = pd.Timedelta(round(pd.Timedelta("365 days").value / per_year), "ns")

    def run(self) -> np.ndarray:
        """Statistics, of shape (n_pairs, n_assets, 3)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            portfolio = self.vbt.Portfolio.from_signals(
                self.close, *self._signals(), size=np.inf, fees=self.rate, init_cash=CASH, freq=self.freq,
                max_orders=self.n_orders, max_logs=1, engine=self.engine,
            )  # fmt: skip
            returns = portfolio.returns().vbt.returns(freq=self.freq)
            found = [returns.total(), returns.sharpe_ratio(), returns.max_drawdown()]
        return np.stack([x.to_numpy().reshape(-1, self.close.shape[1]) for x in found], axis=2)

    def same_signals(self) -> np.ndarray:
        """Whether the signals of each column are exactly ours, of shape (n_pairs, n_assets); sums may round apart."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entries, _ = self._signals()
        above = entries.to_numpy()
        pairs = list(combinations(self.windows.tolist(), 2))
        same = np.empty((len(pairs), self.close.shape[1]), bool)
        for i, name in enumerate(self.close):
            close = np.ascontiguousarray(self.close[name].to_numpy())[:, None]
            mean = {n: sma(close, n)[:, 0] for n in self.windows.tolist()}
            for k, (fast, slow) in enumerate(pairs):
                column = k * self.close.shape[1] + i
                assert entries.columns[column][:2] == (fast, slow)
                same[k, i] = np.array_equal(above[:, column], mean[fast] > mean[slow])
        return same

    def _signals(self) -> tuple[Any, Any]:
        self.vbt.settings["engine"] = self.engine
        fast, slow = self.vbt.MA.run_combs(self.close, window=self.windows, r=2, short_names=["fast", "slow"])
        if self.crossings:
            return fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
        above = fast.ma_above(slow)
        return above, ~above


class RaptorbtSweep:
    """raptorbt's batch call, signals included: every average once, by its own function, on both sides of each pair.

    Parameters
    ----------
    sweep : Sweep
        Prices and windows.
    """

    def __init__(self, sweep: Sweep) -> None:
        import raptorbt

        self.raptorbt = raptorbt
        bars = sweep.markets[0]
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        self.prices = (bars.time, *(np.ascontiguousarray(c[:, 0]) for c in columns))
        self.pairs = [(f, s) for f in sweep.grid["fast"] for s in sweep.grid["slow"] if f < s]
        self.config = raptorbt.BacktestConfig(
            initial_capital=CASH,
            fees=MINUTE_RATE,
            slippage=0.0,
            fill_timing="next_bar_open",
            periods_per_year=BARS_PER_YEAR,
        )

    def _states(self) -> list[np.ndarray]:
        close = self.prices[4]
        mean = {n: np.asarray(self.raptorbt.sma(close, n)) for n in {n for pair in self.pairs for n in pair}}
        return [mean[fast] > mean[slow] for fast, slow in self.pairs]

    def run(self) -> list[Any]:
        """Results of all pairs, with their statistics."""
        items = []
        for k, state in enumerate(self._states()):
            before = np.concatenate(([False], state[:-1]))
            items.append(self.raptorbt.BatchSingleItem(str(k), state & ~before, ~state & before))
        results = self.raptorbt.batch_single_backtest(*self.prices, items, self.config)
        return [(result, result.metrics) for _, result in results]

    def differences(self, sweep: Sweep, ours: ql.SweepResult, n_fills: int = 5) -> tuple[list[str], int]:
        """List where it differs from our table on trials with the same signals, and say how many those are.

        It closes the last position at the last close and charges for it; that is taken back. The first fills are
        looked at for a few trials.
        """
        found, n_same = [], 0
        close = np.ascontiguousarray(self.prices[4])[:, None]
        for k, (state, (raw, _)) in enumerate(zip(self._states(), self.run(), strict=True)):
            params = ours.trials.params(k)
            assert (params["fast"], params["slow"]) == self.pairs[k]
            if not np.array_equal(state, (sma(close, params["fast"]) > sma(close, params["slow"]))[:, 0]):
                continue
            n_same += 1
            trades, final = raw.trades(), float(np.asarray(raw.equity_curve())[-1])
            forced = bool(trades) and trades[-1].exit_reason == "EndOfData"
            final += trades[-1].exit_fees if forced else 0.0
            row = ours.table.loc[k]
            if not abs(final / row["final_equity"] - 1.0) <= 1e-9 or len(trades) - forced != row["n_trades"]:
                found.append(f"{self.pairs[k]}: equity {row['final_equity']!r} and {final!r}")
            elif n_same <= n_fills:
                fills = ours.trial(k).fills.iloc[:50]
                bars = sweep.markets[0].index.get_indexer(fills["time"]).tolist()
                legs = [
                    leg
                    for t in trades[:25]
                    for leg in ((t.entry_idx, t.entry_price), (t.exit_idx, t.exit_price))
                ]
                mine = list(zip(bars, fills["price"].tolist(), strict=True))
                if any(
                    a[0] != b[0] or abs(a[1] / b[1] - 1.0) > 1e-9 for a, b in zip(mine, legs, strict=False)
                ):
                    found.append(f"{self.pairs[k]}: the first fills differ")
        return found, n_same
