"""What walk-forward or cross-validation came to: a table of folds, one stitched run, and the schedule behind it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.backtest import Wish
    from quantlab.engine.result import Result
    from quantlab.research.folds import Fold, Study
    from quantlab.research.splits import Span
    from quantlab.strategy import Strategy

__all__ = ["WalkForwardResult"]

SHOWN = ("train_start", "train_end", "test_start", "test_end", "groups")
"""Columns that a notebook shows, before parameters and metric; those there are."""

HINDSIGHT = (
    "Stitched from tests whose training has later bars in it as well: a distribution to judge by, not a history that "
    "could have been traded."
)


class WalkForwardResult:
    """Outcome of `quantlab.walk_forward`.

    Parameters
    ----------
    study : Study
        Strategy, bars, trials and options.
    method : str
        ``"rolling"``, ``"anchored"``, ``"kfold"`` or ``"cpcv"``.
    folds : sequence of Fold
        One a window or split.
    spans : sequence of (int, int)
        Adjacent spans of rows that every path goes through.
    routes : ndarray of int, shape (n_paths, n_spans)
        Number of the fold that runs in each span, by path.
    wishes : mapping of (int, int) to Wish or None
        Target of a fold in a span; None is flat.
    settings : mapping
        How the bars were split.
    complete : bool
        False if it was interrupted: the folds are then those that were finished.
    """

    def __init__(
        self,
        study: Study,
        method: str,
        folds: Sequence[Fold],
        *,
        spans: Sequence[Span],
        routes: NDArray[np.int64],
        wishes: Mapping[tuple[int, int], Wish | None],
        settings: Mapping[str, Any],
        complete: bool,
    ) -> None:
        self._study, self._spans, self._routes, self._wishes = study, tuple(spans), routes, wishes
        self.method, self.folds, self.complete = method, tuple(folds), complete
        self._split_settings = dict(settings)

    # -- what was run ----------------------------------------------------------------------------------

    @property
    def strategy(self) -> Strategy:
        """The strategy, without a model."""
        return self._study.strategy

    @property
    def bars(self) -> Bars:
        """All bars, those before the first simulated one included."""
        return self._study.bars

    @property
    def metric(self) -> str:
        """Statistic by which parameters were chosen."""
        return self._study.metric

    @property
    def n_trials(self) -> int:
        """Parameter sets that were tried in each window or split."""
        return len(self._study.trials)

    @property
    def trial_names(self) -> tuple[str, ...]:
        """Parameters that differ between trials."""
        return self._study.trials.names

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Options of the run and of the split, JSON-able."""
        return {
            **self.result.settings,
            "method": self.method,
            "metric": self.metric,
            "trials": self.n_trials,
            **self._split_settings,
        }

    # -- folds -----------------------------------------------------------------------------------------

    @property
    def walks(self) -> bool:
        """Whether every test follows its training: no cross-validation."""
        return self.method in {"anchored", "rolling"}

    def _label(self, row: int) -> pd.Timestamp:
        return self.bars.index[row]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a window or split: spans, chosen parameters, metric in and out of sample, statistics of both.

        Starts and ends are labels of bars, both included; of a training or test in several spans, of the first and
        the last. Walk-forward has every statistic of a sweep (``in_*``, ``out_*``), each of a run that starts flat
        with the window; cross-validation those that follow from sums of returns. A window in which nothing could be
        chosen has NaN and says why in ``error``.
        """
        import pandas as pd

        rows = [self._row(fold) for fold in self.folds]
        index = pd.RangeIndex(len(rows), name="window" if self.walks else "split")
        return self._with_params(pd.DataFrame(rows, index=index), [fold.params for fold in self.folds])

    def _with_params(self, frame: pd.DataFrame, chosen: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Put chosen parameters into their columns as they are: an int beside a None is no float."""
        import pandas as pd

        if not all(chosen):
            for name in self.trial_names:
                values = [params.get(name) for params in chosen]
                frame[name] = pd.Series(values, index=frame.index, dtype=object)
        return frame

    def _row(self, fold: Fold) -> dict[str, Any]:
        split, metric = fold.split, self.metric
        row: dict[str, Any] = {
            "train_start": self._label(split.train[0][0]),
            "train_end": self._label(split.train[-1][1] - 1),
            "test_start": self._label(split.test[0][0]),
            "test_end": self._label(split.test[-1][1] - 1),
            "n_train": split.n_train,
            "n_test": split.n_test,
        }
        if not self.walks:
            row["groups"] = ", ".join(map(str, split.groups))
        row |= {name: fold.params.get(name) for name in self.trial_names}
        row |= {
            "n_trials": fold.n_trials,
            "in_sample": fold.inside.get(metric, np.nan),
            "out_of_sample": fold.outside.get(metric, np.nan),
        }
        for prefix, stats in (("in", fold.inside), ("out", fold.outside)):
            row |= {f"{prefix}_{name}": stats.get(name, np.nan) for name in self._study.measured}
        return {**row, "error": fold.error}

    @cached_property
    def schedule(self) -> pd.DataFrame:
        """Which parameters and which model decide from which bar on, in the stitched run.

        One row a span: ``start`` and ``end`` (labels, both included), the fold, the span it was trained on, the
        parameters, and what its model was fitted on (None without a model). A span that stays flat has fold -1.
        """
        import pandas as pd

        rows, chosen = [], []
        for place, (start, stop) in enumerate(self._spans):
            number = int(self._routes[self._shown, place])
            fold, flat = self.folds[number], self._wishes[number, place] is None
            fitting = None if fold.strategy is None else fold.strategy.fitting
            chosen.append({} if flat else fold.params)
            rows.append(
                {
                    "start": self._label(start),
                    "end": self._label(stop - 1),
                    "fold": -1 if flat else number,
                    "train_start": self._label(fold.split.train[0][0]),
                    "train_end": self._label(fold.split.train[-1][1] - 1),
                    **{name: chosen[-1].get(name) for name in self.trial_names},
                    "model": None if flat or fitting is None else str(fitting),
                }
            )
        return self._with_params(pd.DataFrame(rows), chosen)

    @property
    def efficiency(self) -> float:
        """Mean metric out of sample over its mean in sample, over folds that have both.

        NaN where the mean in sample is not above zero. Source: walk-forward efficiency of Pardo, "The Evaluation
        and Optimization of Trading Strategies" (2008), chapter 11, there of annual profit.
        """
        both = self.table[["in_sample", "out_of_sample"]].dropna()
        inside = float(both["in_sample"].mean())
        return float(both["out_of_sample"].mean()) / inside if inside > 0.0 else float("nan")

    # -- stitched --------------------------------------------------------------------------------------

    @property
    def n_paths(self) -> int:
        """Out-of-sample histories that the tests make up: 1, but for ``"cpcv"``."""
        return len(self._routes)

    def path(self, number: int) -> Result:
        """Stitched out-of-sample run of one path: targets of each span by what was chosen for it, run as one."""
        route = self._routes[number].tolist()
        pieces = (
            (start, stop, self._wishes[fold, place])
            for place, (fold, (start, stop)) in enumerate(zip(route, self._spans, strict=True))
        )
        return self._study.stitched(pieces)

    @cached_property
    def paths(self) -> pd.DataFrame:
        """Statistics of every path, one row each: the distribution of what could have come out of sample."""
        import pandas as pd

        rows = [self.path(number).stats for number in range(self.n_paths)]
        return pd.DataFrame(rows, index=pd.RangeIndex(self.n_paths, name="path"))

    @cached_property
    def _shown(self) -> int:
        """Path that stands for all: the one with the median Sharpe ratio."""
        if self.n_paths == 1:
            return 0
        order = np.argsort(self.paths["sharpe"].fillna(0.0).to_numpy(), kind="stable")
        return int(order[(self.n_paths - 1) // 2])

    @cached_property
    def result(self) -> Result:
        """Stitched out-of-sample run; of several paths, that with the median Sharpe ratio."""
        return self.path(self._shown)

    @property
    def equity(self) -> pd.Series:
        """Stitched out-of-sample equity."""
        return self.result.equity

    @property
    def returns(self) -> pd.Series:
        """Stitched out-of-sample bar returns."""
        return self.result.returns

    @property
    def stats(self) -> pd.Series:
        """Statistics of the stitched run."""
        return self.result.stats.rename(self.strategy.name)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know before believing the numbers."""
        notes = [] if self.walks else [HINDSIGHT]
        if self.n_paths > 1:
            notes.append(f"Of {self.n_paths} paths, the one with the median Sharpe ratio is shown.")
        failed = [(number, fold.error) for number, fold in enumerate(self.folds) if fold.error]
        if failed:
            number, error = failed[0]
            notes.append(
                f"{len(failed)} of {len(self.folds)} folds stay flat, the first ({number}) since {error}"
            )
        if not self.complete:
            notes.append(f"Interrupted after {len(self.folds)} windows.")
        return [*notes, *self.result.notes]

    # -- showing ---------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Everything but the frames of bars: table, schedule, statistics, paths; for JSON."""
        return {
            "strategy": self.strategy.name,
            "method": self.method,
            "metric": self.metric,
            "complete": self.complete,
            "efficiency": self.efficiency,
            "table": self.table.to_dict("records"),
            "schedule": self.schedule.to_dict("records"),
            "stats": self.stats,
            "paths": self.paths.to_dict("records") if self.n_paths > 1 else [],
            "notes": self.notes,
            "settings": self.settings,
        }

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page of the stitched run and return its path."""
        from quantlab.report import render

        content = self.result.content()
        schedule = [
            {k: v if isinstance(v, (bool, int, float)) or v is None else str(v) for k, v in row.items()}
            for row in self.schedule.to_dict("records")
        ]
        settings = {**content.settings, **self.settings, "schedule": schedule}
        title = f"{self.strategy.name}, {self.method} {'walk-forward' if self.walks else 'cross-validation'}"
        what = f"{len(self.folds)} {'windows' if self.walks else 'splits'} of {self.n_trials} trials each"
        headline = f"{what}; out of sample, {self.metric} is {self.efficiency:.2f} of what it was in sample."
        notes = [headline, *self.notes]
        return write_text(path, render(replace(content, title=title, settings=settings, notes=notes)))

    def __repr__(self) -> str:
        s = self.stats
        return (
            f"WalkForwardResult({self.strategy.name}, {self.method}: {len(self.folds)} folds of {self.n_trials} "
            f"trials, out of sample {s['total_return']:+.2%}, sharpe {s['sharpe']:.2f}, "
            f"efficiency {self.efficiency:.2f})"
        )

    def _repr_html_(self) -> str:
        from html import escape

        table = self.table
        shown = [c for c in (*SHOWN, *self.trial_names, "in_sample", "out_of_sample") if c in table]
        shown += ["error"] * bool(table["error"].notna().any())
        notes = "".join(f"<li>{escape(n)}</li>" for n in self.notes)
        return f"<p><b>{escape(repr(self))}</b></p><ul>{notes}</ul>{table[shown].to_html()}"
