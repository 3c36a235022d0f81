"""What a sweep came to: a row for every trial, the best of them, and what they are worth."""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import backtest
from quantlab.engine.result import Result, digest
from quantlab.errors import ParameterError, UnknownNameError
from quantlab.kernels._jit import source_hash
from quantlab.kernels.stats import SMALLER_IS_BETTER, STATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.setup import Setup
    from quantlab.research.space import Trials
    from quantlab.research.trial import Job
    from quantlab.research.validation import Validation
    from quantlab.strategy import Strategy

__all__ = ["SMALLER_IS_BETTER", "SweepResult"]


class SweepResult:
    """Outcome of a sweep or a search. Made by `quantlab.sweep` and `quantlab.search`.

    Attributes
    ----------
    trials : Trials
        Parameter sets, column by column.
    moments : ndarray of shape (n_trials, n_parts, 2)
        Sum and sum of squares of the bar returns in each part of the simulated bars (`edges`); those after a ruin
        count as 0. NaN for trials that failed.
    complete : bool
        False if the sweep was interrupted: rows of trials that were not reached are NaN.
    seconds : float
        Time it took.
    how : str
        Who ran the trials.
    """

    def __init__(
        self,
        *,
        job: Job,
        setup: Setup,
        trials: Trials,
        stats: NDArray[np.float64],
        moments: NDArray[np.float64],
        ruin_bar: NDArray[np.int64],
        errors: Mapping[int, str],
        done: NDArray[np.bool_] | None = None,
        complete: bool = True,
        seconds: float = math.nan,
        how: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._job, self._setup = job, setup
        self.trials, self.moments = trials, moments
        self._stats, self._ruin_bar, self._errors = stats, ruin_bar, dict(errors)
        self._done = np.ones(len(trials), bool) if done is None else done
        self.complete, self.seconds, self.how = complete, seconds, how
        self._more = dict(more or {})

    # -- what was run ----------------------------------------------------------------------------------

    @property
    def strategy(self) -> Strategy:
        """Strategy whose trials they are."""
        return self._job.strategy

    @property
    def bars(self) -> Bars:
        """Bars as they were given."""
        return self._job.bars

    @property
    def window(self) -> tuple[Any, Any]:
        """Start and end as they were given."""
        return self._job.window

    @property
    def options(self) -> dict[str, Any]:
        """Options of `quantlab.backtest` as they were given, for running a trial again."""
        start, end = self._job.window
        return {**self._job.options, "start": start, "end": end}

    @property
    def edges(self) -> NDArray[np.int64]:
        """Simulated bars at which the parts of `moments` begin, and the end, of shape (n_parts + 1,)."""
        return self._setup.edges

    @property
    def n_bars(self) -> int:
        """Bars that were simulated."""
        return self._setup.bars.n_bars

    @property
    def bars_per_year(self) -> float:
        """Bars a year, the unit of every annual statistic."""
        return self._setup.bars.bars_per_year

    @property
    def risk_free(self) -> float:
        """Annual return without risk."""
        return self._setup.risk_free

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Options of the sweep, JSON-able."""
        return _settings(self._setup, self.window)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """Hashes of strategy source, data, settings, trials and engine, and of all together (``digest``)."""
        parts = self.identity(self._job, self._setup, self.trials)
        return {**parts, "digest": digest(parts)}

    @staticmethod
    def identity(job: Job, setup: Setup, trials: Trials) -> dict[str, str]:
        """Give what makes two sweeps the same, each as a hash."""
        return {
            "strategy": job.strategy.source_hash,
            "data": job.bars.content_hash,
            "settings": digest(_settings(setup, job.window)),
            "parameters": trials.digest,
            "parts": hashlib.blake2b(setup.edges.tobytes(), digest_size=16).hexdigest(),
            "engine": source_hash(),
        }

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        done = "" if self.complete else f", {int(self._done.sum()):,} of them done"
        failed = f", {len(self._errors):,} failed" if self._errors else ""
        return f"SweepResult({self.strategy.name}: {len(self):,} trials{done}{failed} on {self.bars!r})"

    # -- what came of it -------------------------------------------------------------------------------

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a trial: its parameters, its statistics, ``ruined_at`` and ``error``.

        Statistics are those of docs/statistics.md but for ``var_95`` and ``cvar_95``, which need sorted returns; NaN
        where one is not defined, and for trials that failed (``error`` says why) or were not reached. ``ruined_at`` is
        the label of the bar at which equity was gone, NaT for none.
        """
        import pandas as pd

        index = pd.RangeIndex(len(self), name="trial")
        labels = self._setup.bars.index
        # `take` can fill with NaT by itself, but pandas 2 reads a fill value of None as "count -1 from the end".
        bar = self._ruin_bar
        ruined = pd.Series(labels.take(np.maximum(bar, 0)), index).where(bar >= 0)
        errors = np.full(len(self), None, object)
        for k, text in self._errors.items():
            errors[k] = text
        parameters = pd.DataFrame({n: self.trials.column(n) for n in self.trials.names}, index=index)
        stats = pd.DataFrame(self._stats, index=index, columns=list(STATS), copy=False)
        end = pd.DataFrame(
            {"ruined_at": ruined, "error": pd.Series(errors, index, object), **self._more}, index=index
        )
        return pd.concat([parameters, stats, end], axis=1)

    @property
    def errors(self) -> dict[int, str]:
        """Message of each trial that failed, by its number."""
        return dict(self._errors)

    def metric(self, name: str = "sharpe") -> NDArray[np.float64]:
        """One statistic of every trial, of shape (n_trials,); NaN where it is not defined.

        Raises
        ------
        UnknownNameError
            For a name that is no statistic of a sweep.
        """
        if name not in STATS:
            raise UnknownNameError("metric", str(name), STATS)
        values: NDArray[np.float64] = self._stats[:, STATS.index(name)]
        return values

    def ranked(self, metric: str = "sharpe", n: int | None = None) -> NDArray[np.int64]:
        """Numbers of the best trials, best first: those with a value, that neither failed nor went to ruin.

        Equal ones are in the order of the trials.
        """
        values = self.metric(metric)
        usable = np.flatnonzero(~np.isnan(values) & (self._ruin_bar < 0))
        key = values[usable] if metric in SMALLER_IS_BETTER else -values[usable]
        if n is not None and 0 < n < len(usable):
            limit = np.partition(key, n - 1)[n - 1]
            near = key <= limit
            usable, key = usable[near], key[near]
        return usable[np.argsort(key, kind="stable")][:n]

    def best(self, metric: str = "sharpe", n: int = 1) -> pd.DataFrame:
        """Return the rows of the `n` best trials, best first; failed and ruined ones never are among them."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ParameterError(f"n is {n!r}; a whole number of at least 1 is needed.")
        return self.table.iloc[self.ranked(metric, n)]

    def best_trial(self, metric: str = "sharpe") -> int:
        """Return the number of the best trial.

        Raises
        ------
        ParameterError
            If no trial has that statistic.
        """
        found = self.ranked(metric, 1)
        if not len(found):
            why = f" The first error: {next(iter(self._errors.values()))}" if self._errors else ""
            raise ParameterError(f"no trial of this sweep has a {metric}; there is no best one.{why}")
        return int(found[0])

    def trial(self, k: int) -> Result:
        """Run trial `k` again, as `quantlab.backtest` with the same options."""
        return backtest(self.strategy, self.bars, self.trials.params(k), **self.options)

    def sharpes(self) -> NDArray[np.float64]:
        """Sharpe ratio of every trial per bar, not a year, of shape (n_trials,); NaN where it is not defined."""
        return self.metric("sharpe") / math.sqrt(self.bars_per_year)

    def returns(self, rows: Iterable[int]) -> NDArray[np.float64]:
        """Bar returns of some trials, of shape (n_bars, n_rows), by running them again; 0 after a ruin."""
        rows = list(rows)
        found = np.zeros((self.n_bars, len(rows)))
        for j, k in enumerate(rows):
            values = self.trial(int(k)).returns.to_numpy()
            found[: len(values), j] = values
        return found

    def equities(self, metric: str = "sharpe", n: int = 10) -> pd.DataFrame:
        """Equity of the `n` best trials, of shape (n_bars, n), best first; columns are trial numbers."""
        import pandas as pd

        lines = {int(k): self.trial(int(k)).equity for k in self.ranked(metric, n)}
        return pd.DataFrame(lines, index=self._setup.bars.index)

    # -- what it is worth ------------------------------------------------------------------------------

    def pbo(self, blocks: int = 16) -> float:
        """Probability of backtest overfitting, from the moments of the parts: see `quantlab.overfitting.pbo`.

        Raises
        ------
        ParameterError
            For another number of blocks than the parts can be joined to.
        """
        from quantlab.research.cscv import pbo_of_moments

        rate = self.risk_free / self.bars_per_year
        return pbo_of_moments(self.moments, np.diff(self.edges), blocks=blocks, risk_free=rate).pbo

    def validate(self, metric: str = "sharpe", **options: Any) -> Validation:
        """Say what the best trial is worth after so many: see `quantlab.research.validate.validate`."""
        from quantlab.research.validate import validate

        return validate(self, metric=metric, **options)

    def deflated_sharpe(self, **options: Any) -> float:
        """Probability that the true Sharpe ratio of the best is above what so many trials show without an edge."""
        from quantlab.research.validate import sharpe_worth

        return sharpe_worth(self, **options).deflated_sharpe

    # -- pictures --------------------------------------------------------------------------------------

    def heatmap(self, x: str, y: str, metric: str = "sharpe", others: Any = "best") -> pd.DataFrame:
        """Metric over two parameters, of shape (n_y, n_x).

        Parameters
        ----------
        x, y : str
            Parameters along columns and rows.
        metric : str
            A statistic.
        others : {"best", "median"} or mapping
            What stands for the trials that share both values: the best, the median, or those with the given values of
            other parameters (of several left, the best).

        Raises
        ------
        UnknownNameError
            For what is no parameter of the sweep or no statistic.
        """
        from quantlab.report.surface import pivot

        names = self.trials.names
        for name in (x, y, *(others if isinstance(others, dict) else ())):
            if name not in names:
                raise UnknownNameError("parameter", str(name), names)
        self.metric(metric)
        return pivot(self.table, x, y, metric, others=others, smaller_is_better=metric in SMALLER_IS_BETTER)

    def report(
        self, path: str | Path, *, metric: str = "sharpe", validation: Validation | None = None
    ) -> Path:
        """Write a self-contained HTML report and return its path.

        Parameters
        ----------
        path : str or Path
            Where to.
        metric : str
            By which trials are ranked.
        validation : Validation, optional
            What `validate` found, to be shown.
        """
        from quantlab.engine.files import write_text
        from quantlab.report.sweep_page import sweep_page
        from quantlab.research.sweep_report import content_of

        return write_text(path, sweep_page(content_of(self, metric, validation)))

    def _repr_html_(self) -> str:
        return str(self.best(n=min(10, len(self))).to_html())


def _settings(setup: Setup, window: tuple[Any, Any]) -> dict[str, Any]:
    start, end = (None if x is None else str(x) for x in window)
    return {**setup.settings(), "start": start, "end": end}
