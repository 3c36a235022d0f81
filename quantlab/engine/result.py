"""What a backtest did and what it was worth. Frames are made when asked for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.files import write_text
from quantlab.engine.records import PROTECTIVE, REASONS, fills_frame, orders_frame, trades_frame
from quantlab.engine.setup import tail_of
from quantlab.kernels import fill, order
from quantlab.kernels.stats import STATS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.diagnostics import Diagnostic
    from quantlab.engine.setup import Run, Setup
    from quantlab.strategy import Strategy

__all__ = ["Result", "digest"]

DUST = 1e-12
"""Share of the largest position below which a sum of fills is rounding noise."""

CENT = 0.01

COSTS = ("commission", "fees", "slippage", "spread", "borrow", "interest")


@cache
def _stats_index() -> pd.Index:
    """Names of the statistics; made once, since pandas takes longer over it than the engine over a year of days."""
    import pandas as pd

    place = STATS.index("buy_hold_return")
    return pd.Index([*STATS[:place], "var_95", "cvar_95", *STATS[place:]])


class Result:
    """Outcome of one backtest. Made by `quantlab.backtest`.

    Notes
    -----
    Quantities and prices are those of the bars: with adjusted prices, raw units are quantity / factor and raw prices
    are price x factor, at the fill's bar.
    """

    def __init__(
        self,
        setup: Setup,
        run: Run,
        strategy: Strategy | None,
        params: Mapping[str, Any],
        *,
        data: Bars,
        window: tuple[Any, Any],
    ) -> None:
        self._setup, self._run, self._data = setup, run, data
        self.strategy = strategy
        self.params = dict(params)
        self.window = tuple(None if x is None else str(x) for x in window)
        self.count_trials: Callable[[Result], int | None] | None = None

    # -- what was run ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the strategy, or ``"target"`` for a target array."""
        return "target" if self.strategy is None else str(self.strategy.name)

    @property
    def bars(self) -> Bars:
        """Bars that were simulated."""
        return self._setup.bars

    @property
    def cash_start(self) -> float:
        """Starting cash."""
        return self._setup.cash

    @property
    def bars_per_year(self) -> float:
        """Bars a year, the unit of every annual statistic."""
        return self.bars.bars_per_year

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Options of the run, JSON-able: enough to run it again."""
        return {**self._setup.settings(), "start": self.window[0], "end": self.window[1]}

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Hashes of strategy source, parameters, data and settings, and of all together (``digest``)."""
        source = b"".join(x.tobytes() for x in self._run.changes)
        source += b"" if self._run.inside is None else self._run.inside.tobytes()
        if self.strategy is not None:
            source = self.strategy.source.encode()
        parts = {
            "strategy": hashlib.blake2b(source, digest_size=16).hexdigest(),
            "parameters": digest(self.params),
            "data": self._data.content_hash,
            "settings": digest(self.settings),
        }
        return {**parts, "digest": digest(parts)}

    @property
    def ruined_at(self) -> pd.Timestamp | None:
        """Label of the bar at which equity fell to zero and the run ended; None if it did not."""
        ruin = self._run.ruin_bar
        return None if ruin < 0 else self.bars.index[ruin]

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know before believing the numbers."""
        setup, notes = self._setup, []
        if self.ruined_at is not None:
            notes.append(
                f"Ruined: equity fell to {self._run.stats[0]:,.2f} at {self.ruined_at}; the run ended there."
            )
        notes += self._model_notes()
        if setup.fill == "close":
            notes.append("Orders fill at the close of the bar that decides them: this cannot be traded live.")
        if setup.sizing.price == "fill":
            notes.append("Orders are sized at their fill price, which is not known when an order is sent.")
        notes += self._inside_notes()
        if all(self._run.stats[STATS.index(k)] == 0.0 for k in COSTS) and len(self._records.fills):
            notes.append("No cost was charged at all.")
        lowest = float(self._records.fills["cash"].min(initial=0.0))
        if lowest < -CENT:
            notes.append(
                f"Cash fell to {lowest:,.2f}: fills above their decision price, or exposure beyond equity."
            )
        codes = self._records.orders["reason"]
        for code in (order.NO_BUYING_POWER, order.NO_SHORT_SALE, order.CUT_TO_FLAT):
            count = int((codes == code).sum())
            if count:
                notes.append(f"{count} order(s) rejected or cut: {REASONS[code]}.")
        if self._run.n_cut:
            notes.append(
                f"{self._run.n_cut} order(s) were cut to nothing by max_leverage={setup.sizing.max_leverage:g}: one "
                "lot is more than equity allows; raise it with Sizing(max_leverage=...)."
            )
        ended = self._symbols(self._records.fills["asset"][self._records.fills["kind"] == fill.DELISTED])
        if len(ended):
            notes.append(f"Closed at the last close because their data ended: {', '.join(ended)}.")
        short = bool((self._records.trades["quantity"] < 0.0).any())
        said = setup.costs.notes(self.bars, short=short, owing=lowest < -CENT)
        return [*notes, *(f"{text[0].upper()}{text[1:]}." for text in said)]

    def _inside_notes(self) -> list[str]:
        inside = self._run.inside
        notes: list[str] = []
        if inside is None:
            return notes
        if inside.stop_from == "fill":
            notes.append(
                "Protective levels are measured from the fill price, which is not known when orders are sent."
            )
        if self._setup.detail is not None:
            notes.append(
                f"{self.detail_changes} of {len(self._records.fills)} fills differ from those without finer bars."
            )
        return notes

    @cached_property
    def diagnostics(self) -> list[Diagnostic]:
        """Reasons to look twice, each with the rows that prove it; docs/diagnostics.md says what to do about them.

        For the trials on the same bars, `count_trials` is asked, where a ledger set it.
        """
        from quantlab.engine.checks import diagnose

        return diagnose(self)

    @cached_property
    def detail_changes(self) -> int:
        """Fills that would be others, or none, without ``detail``; 0 for a run without it."""
        if self._setup.detail is None or self._run.inside is None:
            return 0
        coarse = replace(self._setup, detail=None).run_changes(
            self._run.changes, self._run.inside, record=True
        )
        names = ["bar", "asset", "kind", "quantity", "price"]
        known = Counter(coarse.fills[names].tolist())
        return sum((Counter(self._records.fills[names].tolist()) - known).values())

    # -- numbers ---------------------------------------------------------------------------------------

    def _model_notes(self) -> list[str]:
        fitting = None if self.strategy is None else self.strategy.fitting
        if fitting is None or fitting.last_ns < self.bars.time[0]:
            return []
        return ["The model was fitted on bars that are traded here: it knew what came."]

    @cached_property
    def stats(self) -> pd.Series:
        """Every statistic by name; docs/statistics.md gives each its formula."""
        import pandas as pd

        place = STATS.index("buy_hold_return")
        stats = self._run.stats
        return pd.Series(
            np.concatenate((stats[:place], self._worst(), stats[place:])), _stats_index(), name=self.name
        )

    def _worst(self) -> tuple[float, float]:
        """Value at risk and the mean beyond it, from the run or else from equity."""
        if self._run.worst is not None:
            return self._run.worst
        return tail_of(self.returns.to_numpy(), self._run.n_bars)

    @cached_property
    def _curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Equity and cash after each bar: the same run again, for the statistics need neither."""
        run = self._setup.run_changes(self._run.changes, self._run.inside, equity=True, cash=True)
        return run.equity, run.cash

    @cached_property
    def _records(self) -> Run:
        """The same run once more, with its orders, fills and trades: the statistics need none of them."""
        return self._setup.recorded(self._run)

    @property
    def _target(self) -> NDArray[np.float64]:
        """Target of every bar, from its changes."""
        rows, changed = self._run.changes
        return np.repeat(changed, np.diff(rows, append=self.bars.n_bars), axis=0)

    @cached_property
    def _index(self) -> pd.DatetimeIndex:
        return self.bars.index[: self._run.n_bars]

    def _series(self, values: NDArray[np.float64], name: str) -> pd.Series:
        import pandas as pd

        return pd.Series(values, index=self._index, name=name)

    @cached_property
    def equity(self) -> pd.Series:
        """Cash plus marked positions after each bar."""
        return self._series(self._curves[0], "equity")

    @cached_property
    def returns(self) -> pd.Series:
        """Fractional change of equity, one a bar; the first is against the starting cash."""
        equity = self._curves[0]
        return self._series(equity / np.concatenate(([self.cash_start], equity[:-1])) - 1.0, "return")

    @cached_property
    def drawdown(self) -> pd.Series:
        """Fractional fall from the running peak, in [-1, 0]; the starting cash counts as a peak."""
        equity = self._curves[0]
        peak = np.maximum(np.maximum.accumulate(equity), self.cash_start)
        return self._series(np.maximum(equity / peak - 1.0, -1.0), "drawdown")

    @cached_property
    def benchmark(self) -> pd.Series:
        """Equity of the benchmark from the same starting cash."""
        growth = np.cumprod(1.0 + self._setup.benchmark[: self._run.n_bars], dtype=np.float64)
        return self._series(self.cash_start * growth, "benchmark")

    @cached_property
    def cash(self) -> pd.Series:
        """Cash after each bar."""
        return self._series(self._curves[1], "cash")

    @cached_property
    def exposure(self) -> pd.Series:
        """Gross position value over equity at each close; NaN where equity is not above zero."""
        value, equity = np.abs(self._values()).sum(axis=1), self._curves[0]
        return self._series(np.where(equity > 0.0, value / equity, np.nan), "exposure")

    def _values(self) -> NDArray[np.float64]:
        """Mark each position after each bar."""
        import pandas as pd

        n = self._run.n_bars
        close = pd.DataFrame(self.bars.close[:n]).ffill().fillna(0.0).to_numpy()
        return np.asarray(self._units() * close * self._setup.rules[1]["multiplier"], np.float64)

    def _units(self) -> NDArray[np.float64]:
        units = np.zeros((self._run.n_bars, self.bars.n_assets))
        fills = self._records.fills
        for i in range(self.bars.n_assets):
            mine = fills[fills["asset"] == i]
            held = np.concatenate(([0.0], np.cumsum(mine["quantity"])))
            held[np.abs(held) < DUST * np.abs(held).max(initial=0.0)] = 0.0
            units[:, i] = held[np.searchsorted(mine["bar"], np.arange(len(units)), "right")]
        return units

    def _frame(self, values: NDArray[np.float64]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(values, index=self._index, columns=list(self.bars.symbols))

    @cached_property
    def positions(self) -> pd.DataFrame:
        """Units held of each asset after each bar, in the units of the bars."""
        return self._frame(self._units())

    @cached_property
    def targets(self) -> pd.DataFrame:
        """Targets as the engine read them; NaN where an asset has no bar."""
        n = self._run.n_bars
        traded = ~np.isnan(self.bars.close[:n])
        return self._frame(np.where(traded, np.nan_to_num(self._target[:n]), np.nan))

    # -- what happened ---------------------------------------------------------------------------------

    def _symbols(self, assets: NDArray[np.int64]) -> NDArray[Any]:
        return np.array(self.bars.symbols, dtype=object)[assets]

    @cached_property
    def orders(self) -> pd.DataFrame:
        """Every order decided: when, what, at which decision price, and what became of it."""
        return orders_frame(self._records.orders, self.bars)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """Every execution: quantity, price with slippage and spread in it, and what it cost in money."""
        return fills_frame(self._records.fills, self.bars)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Round trips from flat to flat, net of their costs; those still open come last, marked at the last close."""
        return trades_frame(self._records.trades, self.bars)

    @cached_property
    def residue(self) -> pd.Series:
        """Share of equity that whole lots left out of what was wanted, at each bar that decided orders.

        Over 0.01 of it in the mean is worth a thought: fewer assets, more money, or fractions.
        """
        import pandas as pd

        rows = self._records.orders
        left = np.bincount(rows["bar"], weights=rows["residue"], minlength=self._run.n_bars)
        decided = np.unique(rows["bar"][~np.isin(rows["type"], list(PROTECTIVE))])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = left[decided] / self._curves[0][decided]
        return pd.Series(share, index=self._index[decided], name="residue")

    # -- showing ---------------------------------------------------------------------------------------

    def content(self) -> Any:
        """Everything a report shows, as `quantlab.report.content.ReportContent`."""
        from quantlab.report.content import ReportContent

        n = self._run.n_bars
        prices = {s: self.bars.take(slice(0, n), [i]).to_frame() for i, s in enumerate(self.bars.symbols)}
        stats = self.stats
        return ReportContent(
            title=self.name,
            stats={str(k): float(v) for k, v in stats.items()},
            equity=self.equity,
            benchmark=self.benchmark,
            drawdown=self.drawdown,
            exposure=self.exposure,
            prices=prices,
            trades=self.trades,
            fills=self.fills,
            costs={k: float(stats[k]) for k in COSTS},
            cash=self.cash_start,
            bars_per_year=self.bars_per_year,
            settings={
                **self.settings,
                "strategy": None if self.strategy is None else self.name,
                "params": self.params,
                "bars": {
                    "symbols": list(self._data.symbols),
                    "bar_size": self._data.bar_size,
                    "n_bars": self._data.n_bars,
                    **{k: v for k, v in self._data.meta.items() if _is_json(v)},
                },
            },
            fingerprint=self.fingerprint,
            notes=self.notes,
            diagnostics=self.diagnostics,
            benchmark_name=self._setup.benchmark_name,
        )

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page and return its path. A file that is there is replaced whole."""
        from quantlab.report import render

        return write_text(path, render(self.content()))

    def plot(self) -> Any:
        """Draw equity against the benchmark, drawdown and exposure, as a Plotly figure."""
        from quantlab.report import overview

        return overview(self.content())

    def to_vectorbt(self) -> Any:
        """Give the same orders as a `vectorbt.Portfolio`; needs the extra ``vectorbt``."""
        from quantlab.engine.crosscheck import to_vectorbt

        return to_vectorbt(self)

    def __repr__(self) -> str:
        s = self.stats
        return (
            f"Result({self.name}: {s['total_return']:+.2%} in {self._run.n_bars} bars, sharpe {s['sharpe']:.2f}, "
            f"max drawdown {s['max_drawdown']:.2%}, {int(s['n_trades'])} trades)"
        )

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(f"<tr><th>{escape(str(k))}</th><td>{v:,.4f}</td></tr>" for k, v in self.stats.items())
        notes = "".join(f"<li>{escape(n)}</li>" for n in [*self.notes, *map(repr, self.diagnostics)])
        return f"<p><b>{escape(repr(self))}</b></p><ul>{notes}</ul><table>{rows}</table>"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def digest(value: Any) -> str:
    """Hash of what JSON can hold (32 hex digits), as the fingerprint has it."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
