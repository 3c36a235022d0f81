"""What a report is made of: plain frames, numbers and text. Nothing here knows the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, UnknownNameError
from quantlab.report.statistics import COST_KEYS, STATISTICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.report.diagnostics import Finding

__all__ = ["FILL_COLUMNS", "TRADE_COLUMNS", "ReportContent"]

TRADE_COLUMNS = (
    "symbol", "entry_time", "exit_time", "quantity", "entry_price", "exit_price", "pnl", "return_",
    "bars_held", "commission", "fees", "open",
)  # fmt: skip
FILL_COLUMNS = ("time", "symbol", "quantity", "price", "commission", "fees", "slippage", "spread", "order")
PRICE_COLUMNS = ("open", "high", "low", "close")


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything that a report shows of one run.

    Parameters
    ----------
    title : str
        What was run, in a few words: the strategy's name.
    stats : mapping of str to float
        Statistics by key, as a mapping or a Series; the keys of `quantlab.report.statistics.STATISTICS`. A
        key that is left out is not shown.
    equity, benchmark, drawdown, exposure : Series of shape (n_bars,)
        On one DatetimeIndex: money; money; fractions in [-1, 0]; gross position value / equity.
    prices : mapping of str to DataFrame
        Symbol -> columns open, high, low, close on the labels of its own bars; NaN rows are left out.
    trades, fills : DataFrame
        With the columns `TRADE_COLUMNS` and `FILL_COLUMNS`; times are labels of `equity`.
    costs : mapping of str to float
        Money by component; the keys are those of `COST_KEYS`.
    cash : float
        Starting cash, above zero.
    bars_per_year : float
        Bars a year.
    settings : mapping
        Options of the run, of values that JSON knows.
    fingerprint : mapping of str to str
        Hashes of strategy, parameters, data, settings and of all together.
    notes : sequence of str
        Warnings that a reader must see first.
    diagnostics : sequence of Finding
        Reasons to look twice, each with its rows.
    subtitle : str
        One line of what was run: period, bars, assets, bars a year. Empty: written from the frames.
    currency : str
        Currency of the account.
    benchmark_name : str
        What the benchmark is.

    Raises
    ------
    DataError
        For series that do not share one rising index, missing columns, no bars, or cash that is not above
        zero.
    UnknownNameError
        For a statistic or a cost that has no stated convention.
    """

    title: str
    stats: Mapping[str, float]
    equity: pd.Series[float]
    benchmark: pd.Series[float]
    drawdown: pd.Series[float]
    exposure: pd.Series[float]
    prices: Mapping[str, pd.DataFrame]
    trades: pd.DataFrame
    fills: pd.DataFrame
    costs: Mapping[str, float]
    cash: float
    bars_per_year: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    diagnostics: Sequence[Finding] = ()
    subtitle: str = ""
    currency: str = "USD"
    benchmark_name: str = "Buy and hold"

    def __post_init__(self) -> None:
        for name in ("stats", "costs"):
            object.__setattr__(self, name, {str(k): float(v) for k, v in dict(getattr(self, name)).items()})
        self._check_series()
        self._check_frames()
        if not (np.isfinite(self.cash) and self.cash > 0.0):
            raise DataError(f"cash={self.cash!r}; the starting cash must be above zero.")
        if isinstance(self.notes, str):
            raise DataError(f"notes={self.notes!r} is one text; a list of texts is needed.")
        for kind, given, known in (("statistic", self.stats, STATISTICS), ("cost", self.costs, COST_KEYS)):
            for key in given:
                if key not in known:
                    advice = "Give it a convention in quantlab.report.statistics."
                    raise UnknownNameError(kind, key, known, advice)

    def _check_series(self) -> None:
        import pandas as pd

        index = self.equity.index
        if len(index) == 0 or not isinstance(index, pd.DatetimeIndex) or not index.is_monotonic_increasing:
            raise DataError(
                f"equity has an index of {len(index)} labels ({type(index).__name__}); at least one bar on a "
                "rising DatetimeIndex is needed."
            )
        for name in ("benchmark", "drawdown", "exposure"):
            if not getattr(self, name).index.equals(index):
                raise DataError(
                    f"{name} is not on the index of equity; all four series need the labels of the bars."
                )

    def _check_frames(self) -> None:
        frames = {"trades": (self.trades, TRADE_COLUMNS), "fills": (self.fills, FILL_COLUMNS)}
        frames |= {f"prices[{s!r}]": (df, PRICE_COLUMNS) for s, df in self.prices.items()}
        for name, (frame, columns) in frames.items():
            missing = [c for c in columns if c not in frame.columns]
            if missing:
                raise DataError(f"{name} has no column {missing[0]!r}; it needs {', '.join(columns)}.")

    @property
    def index(self) -> Any:
        """Labels of the bars: a DatetimeIndex."""
        return self.equity.index

    @property
    def benchmark_inline(self) -> str:
        """Name of the benchmark within a sentence: only a symbol keeps its first capital."""
        name = self.benchmark_name
        return name[:1].lower() + name[1:] if name[1:2].islower() else name

    @property
    def n_bars(self) -> int:
        """Number of bars."""
        return len(self.equity)

    @property
    def returns(self) -> NDArray[np.float64]:
        """Bar returns of equity, shape (n_bars,), the first against the starting cash; NaN after ruin."""
        equity = self.equity.to_numpy(np.float64)
        before = np.concatenate([[self.cash], equity[:-1]])
        return equity / np.where(before > 0.0, before, np.nan) - 1.0

    @property
    def total_cost(self) -> float:
        """Sum of all costs, in money."""
        return float(sum(self.costs.values()))

    @property
    def profit_before_costs(self) -> float:
        """Final equity - starting cash + all costs, in money."""
        return float(self.equity.iloc[-1]) - self.cash + self.total_cost
