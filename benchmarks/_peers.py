"""The engines that are measured: each with precomputed signals, at its fastest settings for full statistics.

Every engine is all in, long only, with one commission rate, and fills at the next open. backtesting.py knows whole
units only, so it is compared with our engine in whole units; the others trade fractions.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

os.environ.setdefault("RAPTORBT_NO_VERSION_CHECK", "1")  # importing it asks the package index otherwise

import numpy as np

RATE = 1e-4
CASH = 1e6
FAST, SLOW = 20, 100
MINUTE_NS = 60_000_000_000
SESSION = 390
BARS_PER_YEAR = 252.0 * SESSION


@dataclass(frozen=True)
class Market:
    """Bars and signals.

    Bars move like days (1.2 % each), but are stamped a minute apart: ten million days do not fit into timestamps. Of
    the longest series the moves are smaller, or prices would leave what floating point holds.
    """

    n_bars: int

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Open, high, low, close and volume."""
        rng = np.random.default_rng(20_260_101)
        scale = min(0.012, 12.0 / np.sqrt(self.n_bars))
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, scale, self.n_bars)))
        opens = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0.0, scale / 4.0, self.n_bars))
        high, low = np.maximum(opens, close) * 1.001, np.minimum(opens, close) * 0.999
        volume = np.full(self.n_bars, 1e6)
        return {"open": opens, "high": high, "low": low, "close": close, "volume": volume}

    @cached_property
    def state(self) -> np.ndarray:
        """Whether the fast average is above the slow one, shape (n_bars,)."""
        from quantlab.signals import sma

        close = self.columns["close"][:, None]
        return np.ascontiguousarray((sma(close, FAST) > sma(close, SLOW))[:, 0])

    @cached_property
    def events(self) -> tuple[np.ndarray, np.ndarray]:
        """Entries and exits: where the state changes."""
        before = np.concatenate(([False], self.state[:-1]))
        return self.state & ~before, ~self.state & before

    @cached_property
    def time(self) -> np.ndarray:
        """Closes in ns."""
        day, bar = np.divmod(np.arange(self.n_bars), SESSION)
        return (day * 1440 + bar + 1) * MINUTE_NS

    @cached_property
    def index(self) -> Any:
        """Closes without a zone, as a pandas index."""
        import pandas as pd

        return pd.DatetimeIndex(self.time.view("M8[ns]"))


@dataclass(frozen=True)
class Outcome:
    """What an engine made of a market."""

    final_equity: float
    equity: np.ndarray | None
    n_closed: int
    first_fills: list[tuple[int, float]]


class Quantlab:
    """Our engine, by its public face: target in, statistics out."""

    name = "quantlab"
    whole = False

    def __init__(self, market: Market) -> None:
        import quantlab as ql
        from quantlab.bars import Bars

        columns = {k: v[:, None] for k, v in market.columns.items()}
        session = np.arange(market.n_bars) // SESSION
        self.bars = Bars(
            time=market.time, session=session, **columns, instruments=[ql.Instrument("X")], bar_size="1 min"
        )
        self.target = market.state
        self.backtest = ql.backtest
        self.costs = ql.Costs.percent(RATE)
        self.sizing = ql.Sizing(allocation=1.0, price="fill", whole_units=self.whole)
        _ = self.bars.bars_per_year

    def run(self) -> Any:
        """Run once, statistics included; no frame, no fingerprint."""
        result = self.backtest(self.target, self.bars, cash=CASH, costs=self.costs, sizing=self.sizing)
        _ = result.stats
        return result

    def read(self, raw: Any) -> Outcome:
        """Read what is compared."""
        fills = raw.fills.iloc[:50]
        bars = raw.bars.index.get_indexer(fills["time"])
        return Outcome(
            float(raw.stats["final_equity"]),
            raw.equity.to_numpy(),
            int(raw.stats["n_trades"]),
            list(zip(bars.tolist(), fills["price"].tolist(), strict=True)),
        )


class QuantlabWhole(Quantlab):
    """Our engine in whole units, beside backtesting.py."""

    name = "quantlab (whole units)"
    whole = True


class QuantlabFrames(Quantlab):
    """Our engine, asked for the equity of every bar and the trades too, which the peers make on their way."""

    name = "quantlab, equity and trades too"

    def run(self) -> Any:
        """Run once, and make the frames."""
        result = super().run()
        _ = result.equity, result.trades
        return result


class Vectorbt:
    """vectorbt with its compiled-by-numba engine: statistics by their methods, since `stats()` is slower."""

    name = "vectorbt numba"
    engine = "numba"
    whole = False

    def __init__(self, market: Market) -> None:
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import vectorbt as vbt
        self.vbt = vbt
        self.close = pd.Series(market.columns["close"], market.index)
        self.open = market.columns["open"]
        self.signals = tuple(
            np.concatenate(([False], e[:-1])) for e in market.events
        )  # vectorbt fills at once
        self.max_orders = int(sum(e.sum() for e in market.events)) + 1
        self.freq = pd.Timedelta(round(pd.Timedelta("365 days").value / BARS_PER_YEAR), "ns")

    def run(self) -> Any:
        """Simulate, then take each statistic once; what they share vectorbt keeps."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entries, exits = self.signals
            pf = self.vbt.Portfolio.from_signals(
                self.close, entries, exits, price=self.open, fees=RATE, init_cash=CASH, freq=self.freq,
                max_orders=self.max_orders, max_logs=1, engine=self.engine,
            )  # fmt: skip
            acc, trades, drawdowns = pf.returns_acc, pf.trades.closed, pf.drawdowns
            returns = trades.returns
            stats = (
                pf.final_value(), pf.total_return(), acc.annualized(), acc.annualized_volatility(),
                acc.sharpe_ratio(), acc.sortino_ratio(), acc.calmar_ratio(), acc.max_drawdown(),
                drawdowns.max_duration(), drawdowns.avg_drawdown(), pf.gross_exposure().mean(),
                pf.orders.count(), trades.count(), trades.win_rate(), trades.profit_factor(), trades.expectancy(),
                returns.mean(), returns.max(), returns.min(), trades.duration.mean(), pf.orders.fees.sum(),
                trades.sqn(), acc.value_at_risk(), acc.cond_value_at_risk(), pf.total_benchmark_return(),
                acc.alpha(), acc.beta(),
            )  # fmt: skip
        return pf, stats

    def read(self, raw: Any) -> Outcome:
        """Read what is compared."""
        pf, stats = raw
        records = pf.orders.values[:50]  # noqa: PD011  # records, not a frame
        fills = list(zip(records["idx"].tolist(), records["price"].tolist(), strict=True))
        return Outcome(float(stats[0]), pf.value().to_numpy(), int(stats[12]), fills)


class VectorbtRust(Vectorbt):
    """vectorbt with its Rust engine."""

    name = "vectorbt rust"
    engine = "rust"

    def __init__(self, market: Market) -> None:
        import vectorbt_rust  # noqa: F401  # says by its absence that it is not installed

        super().__init__(market)


class Raptorbt:
    """raptorbt: one call, statistics always included."""

    name = "raptorbt"
    whole = False

    def __init__(self, market: Market) -> None:
        import raptorbt

        c = market.columns
        config = raptorbt.BacktestConfig(
            initial_capital=CASH,
            fees=RATE,
            slippage=0.0,
            fill_timing="next_bar_open",
            periods_per_year=BARS_PER_YEAR,
        )
        arrays = (market.time, c["open"], c["high"], c["low"], c["close"], c["volume"], *market.events)
        self.call = lambda: raptorbt.run_single_backtest(*arrays, config=config)

    def run(self) -> Any:
        """Run once."""
        result = self.call()
        _ = result.metrics
        return result

    def read(self, raw: Any) -> Outcome:
        """Read what is compared; it closes the last position at the last close, and charges for it."""
        trades = raw.trades()
        fills = [f for t in trades[:25] for f in ((t.entry_idx, t.entry_price), (t.exit_idx, t.exit_price))]
        forced = bool(trades) and trades[-1].exit_reason == "EndOfData"
        equity = np.asarray(raw.equity_curve())
        if forced:
            equity[-1] += trades[-1].exit_fees
        return Outcome(float(equity[-1]), equity, len(trades) - forced, fills)


class Backtesting:
    """backtesting.py: a loop in Python, whole units only."""

    name = "backtesting.py"
    whole = True
    most_bars = 1_000_000

    def __init__(self, market: Market) -> None:
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import backtesting

        frame = pd.DataFrame({k.title(): v for k, v in market.columns.items()}, market.index)
        entries, exits = market.events

        class Cross(backtesting.Strategy):
            def init(self) -> None: ...

            def next(self) -> None:
                t = len(self.data) - 1
                if entries[t]:
                    self.buy()
                elif exits[t]:
                    self.position.close()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.job = backtesting.Backtest(frame, Cross, cash=CASH, commission=RATE)

    def run(self) -> Any:
        """Run once; its progress bar is off."""
        from backtesting import backtesting as module

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module._tqdm, kept = (lambda x, **_: x), module._tqdm  # noqa: SLF001
            try:
                return self.job.run()
            finally:
                module._tqdm = kept  # noqa: SLF001

    def read(self, raw: Any) -> Outcome:
        """Read what is compared."""
        trades = raw["_trades"].sort_values("EntryBar")
        rows = trades.iloc[:25].itertuples()
        fills = [f for t in rows for f in ((t.EntryBar, t.EntryPrice), (t.ExitBar, t.ExitPrice))]
        return Outcome(
            float(raw["Equity Final [$]"]), raw["_equity_curve"]["Equity"].to_numpy(), len(trades), fills
        )


PEERS = (Quantlab, QuantlabFrames, QuantlabWhole, Vectorbt, VectorbtRust, Raptorbt, Backtesting)
