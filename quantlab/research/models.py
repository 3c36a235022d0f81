"""Trials of a strategy that is fitted: a model for every parameter set, each run like a trial of a sweep."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from quantlab.engine.backtest import Window, wish_of
from quantlab.errors import QuantlabError
from quantlab.kernels.stats import STATS
from quantlab.research.sweep_result import SweepResult
from quantlab.research.trial import Job, setup_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.setup import Run
    from quantlab.research.folds import Study
    from quantlab.strategy import Strategy

__all__ = ["fitted_sweep"]


def fitted_sweep(
    study: Study,
    training: Bars,
    start: int,
    stop: int,
    *,
    value_of: Callable[[Run], float],
    edges: NDArray[np.int64] | None = None,
) -> tuple[SweepResult, int, Strategy | None]:
    """Fit every parameter set on the same bars, and run each model over the rows from `start` up to `stop`.

    Parameters
    ----------
    study : Study
        Of a strategy with a fit.
    training : Bars
        What is fitted on.
    start, stop : int
        Rows that are simulated.
    value_of : callable
        What a run is worth; NaN for nothing.
    edges : ndarray of int, optional
        As in `sweep`.

    Returns
    -------
    SweepResult
        A row for each parameter set; a fit that raises is the error of its row.
    int
        Number of the best run, the first of equals; -1 if none is worth anything. Runs that ended in ruin are not.
    Strategy or None
        With the model of the best: models may be large, so that no other is kept.
    """
    began, trials = perf_counter(), study.trials
    limits = study.window(start, stop)
    job = Job(study.strategy, study.bars, (limits["start"], limits["end"]), study.options, edges)
    window = Window.of(study.bars, *job.window)
    setup = setup_of(job, window)
    stats = np.full((len(trials), len(STATS)), np.nan)
    moments = np.full((len(trials), len(setup.edges) - 1, 2), np.nan)
    ruin_bar, errors = np.full(len(trials), -1, np.int64), {}
    number, best, kept = -1, np.nan, None
    for k, params in enumerate(trials.iterate()):
        try:
            fitted = study.strategy.fitted(training, params)
            wish, _, _ = wish_of(fitted, window.seen, params)
        except QuantlabError as error:
            errors[k] = str(error)
            continue
        wish = wish.rows(window.rows)
        run = setup.run(wish.target, wish.inside)
        stats[k], moments[k], ruin_bar[k] = run.stats, run.moments, run.ruin_bar
        value = np.nan if run.ruin_bar >= 0 else value_of(run)
        better = value < best if study.smaller else value > best
        if better or (kept is None and not np.isnan(value)):
            number, best, kept = k, value, fitted
    # The same sets with models of other bars are other trials: what they were fitted on tells them apart.
    result = SweepResult(
        job=job if kept is None else replace(job, strategy=kept),
        setup=setup,
        trials=trials,
        stats=stats,
        moments=moments,
        ruin_bar=ruin_bar,
        errors=errors,
        seconds=perf_counter() - began,
        how="one after another",
    )
    return result, number, kept
