"""What the report of a sweep is made of: its table, and what is known of its worth. Plain frames and text."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, UnknownNameError
from quantlab.report.levels import binned, levels_of
from quantlab.report.statistics import STATISTICS, format_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.report.levels import Levels

__all__ = ["WORTH", "Rising", "SweepContent", "column_of", "goodness"]

WORTH = {
    "n_trials": "Trials that count: those of the sweep, or all that a ledger knows of the strategy.",
    "n_effective": "Effective number of independent trials among them.",
    "expected_max_sharpe": "Highest Sharpe ratio, a year, that as many trials without any edge would show (SR0).",
    "deflated_sharpe": "Probability that the true Sharpe ratio of the best is above that.",
    "pbo": "Probability of backtest overfitting: how often the best of one half of the bars is below the "
    "median of the other half.",
    "beats_noise": "Share of histories without an edge whose best the best of the sweep beats.",
    "min_track_record_bars": "Bars after which the best's Sharpe ratio would be above 0 with 95% confidence.",
}
"""What can be said of the best's worth: key -> its meaning. All are optional."""


FINE = 960
"""Bins that stand for the values of a parameter that took more than twice as many."""

MANY = 200
"""Values beyond which a parameter counts as continuous."""

NEAR = 12
"""Bins of a continuous parameter: values in the best trial's are near it."""


def column_of(table: pd.DataFrame, name: str, *, parameter: bool = False) -> pd.Series[Any]:
    """Column of a sweep's table, also where a parameter has the name of a statistic: parameters come first.

    Raises
    ------
    UnknownNameError
        For a name that the table does not have.
    """
    places = np.flatnonzero(np.asarray(table.columns == name))
    if places.size == 0:
        kind = "parameter" if parameter else "column"
        raise UnknownNameError(
            kind, name, [str(c) for c in table.columns], "Take one of the table's columns."
        )
    return table.iloc[:, int(places[0 if parameter else -1])]


def goodness(table: pd.DataFrame, metric: str, *, smaller_is_better: bool = False) -> NDArray[np.float64]:
    """How good each trial is, shape (n_trials,): the metric, its sign turned where smaller is better.

    NaN where the trial failed, went to ruin, or has no such value.
    """
    values = column_of(table, metric).to_numpy(np.float64, na_value=np.nan)
    values = -values if smaller_is_better else values.copy()
    for name in ("error", "ruined_at"):
        if name in table.columns:
            values[column_of(table, name).notna().to_numpy(bool)] = np.nan
    return values


@dataclass(frozen=True, eq=False)
class Rising:
    """Trials of a sweep with a finite metric, by rising metric; those that went to ruin are among them.

    Parameters
    ----------
    levels : mapping of str to Levels
        Parameters of these trials; `Levels.codes` is in their order.
    metric : ndarray of float64, shape (n,)
        The metric, rising.
    usable : ndarray of bool, shape (n,)
        False for trials that went to ruin: they cannot be the best.
    best : int or None
        Place of the best trial.
    """

    levels: Mapping[str, Levels]
    metric: NDArray[np.float64]
    usable: NDArray[np.bool_]
    best: int | None

    @cached_property
    def agreement(self) -> dict[str, NDArray[np.bool_]]:
        """Trials that have the best trial's value of a parameter, or one near it where values are many."""
        found = {}
        for name, levels in self.levels.items() if self.best is not None else ():
            # Continuous values never meet again: near ones stand for them.
            codes = binned(levels, NEAR if len(levels) > MANY else MANY).codes
            found[name] = codes == codes[self.best]
        return found


@dataclass(frozen=True, eq=False)
class SweepContent:
    """Everything that the report of a sweep shows.

    Parameters
    ----------
    title : str
        What was swept: the strategy's name.
    table : DataFrame of shape (n_trials, ...)
        One row a trial: the parameters `names`, then statistics by their keys, then, if known, ``ruined_at``
        (NaT where the trial did not go to ruin) and ``error`` (None, or why the trial failed).
    names : sequence of str
        Parameters that were varied.
    metric : str
        Column by which trials are ranked.
    smaller_is_better : bool
        Whether the smallest value of the metric is the best.
    n_best : int
        Trials in the table of the best.
    worth : mapping of str to float
        What is known of the worth of the best; keys as in `WORTH`, each optional, NaN counts as unknown.
    sentence : str
        Headline. Empty: written from `worth`.
    checks : sequence of mapping
        Verdicts: ``name``, ``value`` (text), ``passed`` (True, False or None) and ``how`` (what it means).
    equities : DataFrame of shape (n_bars, n) or None
        Equity of the best trials, best first; the columns are trial numbers. Money, on a DatetimeIndex.
    benchmark : Series of shape (n_bars,) or None
        Equity of the benchmark on the same index.
    logits : ndarray of float64 or None
        Logits of the out-of-sample rank of each in-sample best (CSCV); NaN is left out.
    tables : mapping of str to DataFrame
        More tables by their heading, such as cost stress; shown with their index, 60 rows at most.
    settings : mapping
        Options of the sweep, of values that JSON knows.
    fingerprint : mapping of str to str
        Hashes of what was run.
    notes : sequence of str
        Warnings that a reader must see first.
    subtitle : str
        One line of what was run. Empty: written from the table.
    currency : str
        Currency of the account.
    benchmark_name : str
        What the benchmark is.

    Raises
    ------
    DataError
        For a table without a row, or series of equity that do not share one rising index.
    UnknownNameError
        For a parameter or metric that the table does not have, or a key of `worth` without a meaning.
    """

    title: str
    table: pd.DataFrame
    names: Sequence[str]
    metric: str = "sharpe"
    smaller_is_better: bool = False
    n_best: int = 20
    worth: Mapping[str, float] = field(default_factory=dict)
    sentence: str = ""
    checks: Sequence[Mapping[str, Any]] = ()
    equities: pd.DataFrame | None = None
    benchmark: pd.Series[float] | None = None
    logits: NDArray[np.float64] | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    subtitle: str = ""
    currency: str = "USD"
    benchmark_name: str = "Buy and hold"

    def __post_init__(self) -> None:
        if len(self.table) == 0:
            raise DataError("the table has no row; a sweep's report needs at least one trial.")
        object.__setattr__(self, "names", tuple(self.names))
        for name in self.names:
            column_of(self.table, name, parameter=True)
        column_of(self.table, self.metric)
        for key in self.worth:
            if key not in WORTH:
                raise UnknownNameError("measure of worth", key, WORTH, "Take one of those.")
        known = {k: float(v) for k, v in self.worth.items() if v is not None and np.isfinite(v)}
        object.__setattr__(self, "worth", known)
        if isinstance(self.notes, str):
            raise DataError(f"notes={self.notes!r} is one text; a list of texts is needed.")
        self._check_equities()

    def _check_equities(self) -> None:
        import pandas as pd

        if self.equities is None:
            return
        index = self.equities.index
        if len(index) == 0 or not isinstance(index, pd.DatetimeIndex) or not index.is_monotonic_increasing:
            raise DataError(
                f"equities has an index of {len(index)} labels ({type(index).__name__}); at least one bar on "
                "a rising DatetimeIndex is needed."
            )
        if self.benchmark is not None and not self.benchmark.index.equals(index):
            raise DataError("benchmark is not on the index of equities; both need the labels of the bars.")

    # -- what the table says -------------------------------------------------------------------------

    @property
    def n_trials(self) -> int:
        """Number of rows of the table."""
        return len(self.table)

    @cached_property
    def levels(self) -> dict[str, Levels]:
        """Levels of the parameters with more than one, in the order of `names`."""
        found = {name: levels_of(column_of(self.table, name, parameter=True)) for name in self.names}
        return {name: levels for name, levels in found.items() if len(levels) > 1}

    @cached_property
    def coarse(self) -> dict[str, Levels]:
        """As `levels`, with numbers that are too many for any picture gathered into fine bins."""
        return {
            name: binned(levels, FINE) if len(levels) > 2 * FINE else levels
            for name, levels in self.levels.items()
        }

    @cached_property
    def rising(self) -> Rising:
        """The trials with a finite metric, sorted by it once for all pictures."""
        rows = np.flatnonzero(np.isfinite(self.metric_values))
        rows = np.asarray(rows[np.argsort(self.metric_values[rows], kind="stable")], np.int64)
        levels = {name: replace(one, codes=one.codes[rows]) for name, one in self.coarse.items()}
        at = np.flatnonzero(rows == self.best) if self.best is not None else rows[:0]
        return Rising(
            levels,
            self.metric_values[rows],
            ~np.isnan(self.goodness[rows]),
            int(at[0]) if at.size else None,
        )

    @cached_property
    def metric_values(self) -> NDArray[np.float64]:
        """The metric of each trial, shape (n_trials,); NaN or infinite where it is not defined."""
        return column_of(self.table, self.metric).to_numpy(np.float64, na_value=np.nan)

    @cached_property
    def goodness(self) -> NDArray[np.float64]:
        """How good each trial is, shape (n_trials,); NaN for those that failed or went to ruin."""
        return goodness(self.table, self.metric, smaller_is_better=self.smaller_is_better)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Row numbers of the trials with a goodness, the best first; equal ones in the order of the table."""
        rows = np.flatnonzero(~np.isnan(self.goodness))
        return np.asarray(rows[np.argsort(-self.goodness[rows], kind="stable")], np.int64)

    @property
    def best(self) -> int | None:
        """Row number of the best trial; None where no trial has a value."""
        return int(self.order[0]) if self.order.size else None

    @cached_property
    def failed(self) -> pd.Series[Any]:
        """Messages of the trials that failed, by trial."""
        if "error" not in self.table.columns:
            return self.table.iloc[:0, 0]
        return column_of(self.table, "error").dropna()

    @cached_property
    def n_ruined(self) -> int:
        """Number of trials that went to ruin."""
        if "ruined_at" not in self.table.columns:
            return 0
        return int(column_of(self.table, "ruined_at").notna().sum())

    # -- how it is said ------------------------------------------------------------------------------

    @property
    def metric_label(self) -> str:
        """Name of the metric for a reader."""
        return STATISTICS[self.metric].label if self.metric in STATISTICS else self.metric

    @property
    def metric_inline(self) -> str:
        """Name of the metric within a sentence: only a person's name keeps its capital."""
        label = self.metric_label
        if self.metric not in STATISTICS or label.startswith(("Sharpe", "Sortino", "Calmar")):
            return label
        return label[:1].lower() + label[1:]

    @property
    def metric_unit(self) -> str:
        """Unit of the metric, as in `quantlab.report.statistics.Statistic`."""
        return STATISTICS[self.metric].unit if self.metric in STATISTICS else "ratio"

    def metric_text(self, value: float) -> str:
        """Show a value of the metric to a reader."""
        return format_value(float(value), self.metric_unit)

    @property
    def headline(self) -> str:
        """What the best is worth, in one sentence; only what is known is said."""
        if self.sentence:
            return self.sentence
        worth = self.worth
        if self.best is None:
            return f"None of {self.n_trials:,} trials has a {self.metric_inline}."
        n_trials = int(worth.get("n_trials", self.n_trials))
        parts = [f"Best of {n_trials:,} trial{'s' * (n_trials != 1)}"]
        if "n_effective" in worth:
            parts.append(f"effectively {worth['n_effective']:,.0f}")
        if "deflated_sharpe" in worth:
            parts.append(f"deflated Sharpe {worth['deflated_sharpe']:.2f}")
        if "pbo" in worth:
            parts.append(f"PBO {worth['pbo']:.2f}")
        if "beats_noise" in worth:
            parts.append(f"beats {100.0 * worth['beats_noise']:.1f}% of the best of noise")
        return ", ".join(parts) + "."
