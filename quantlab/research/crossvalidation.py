"""Purged k-fold and combinatorial cross-validation: every trial once over all bars, judged by its moments in parts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from quantlab.research.folds import Fold, best_of, moment_stats, nothing_chosen
from quantlab.research.models import fitted_sweep
from quantlab.research.record import record_sweep
from quantlab.research.splits import part_edges, part_mask
from quantlab.research.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from quantlab.engine.setup import Run
    from quantlab.research.folds import Study
    from quantlab.research.splits import Span, Split
    from quantlab.research.sweep_result import SweepResult

__all__ = ["cross_validate"]


def cross_validate(study: Study, splits: Sequence[Split]) -> Iterator[Fold]:
    """Choose on the training spans of each split and judge on its test spans.

    Without a fit every trial runs once, over all bars, and a span is judged by what it earned there. With a fit each
    trial is fitted anew on the training bars of each split, joined, and the model runs over all bars.

    Parameters
    ----------
    study : Study
        Its rows are split.
    splits : sequence of Split
        Counted from the first of those rows.
    """
    edges = part_edges(splits, study.n_bars)
    if study.strategy.unfitted:
        for split in splits:
            yield _fitted_fold(study, split, edges)
        return
    window = study.window(study.rows.start, study.rows.stop)
    result = sweep(
        study.strategy, study.bars, study.trials, edges=edges, **study.options, **window, **study.sweeping
    )
    record_sweep(result, "walk_forward")
    if not result.complete:
        return
    ruined = np.flatnonzero(result.table["ruined_at"].notna())
    for split in splits:
        fold = _judged(study, split, result, ruined)
        yield fold if fold.trial < 0 else replace(fold, strategy=study.strategy)


def _fitted_fold(study: Study, split: Split, edges: NDArray[np.int64]) -> Fold:
    def value_of(run: Run) -> float:
        return float(_stats(study, run.moments[None], edges, split.train)[study.metric][0])

    training = study.training_bars(split.shifted(study.rows.start))
    result, best, fitted = fitted_sweep(
        study, training, study.rows.start, study.rows.stop, value_of=value_of, edges=edges
    )
    record_sweep(result, "walk_forward")
    ruined = np.flatnonzero(result.table["ruined_at"].notna())
    return replace(_judged(study, split, result, ruined, best), strategy=fitted)


def _stats(
    study: Study, moments: NDArray[np.float64], edges: NDArray[np.int64], spans: Sequence[Span]
) -> dict[str, NDArray[np.float64]]:
    """Statistics of trials over some spans."""
    mask, rate = part_mask(spans, edges), study.risk_free
    return moment_stats(moments, edges, mask, risk_free=rate, bars_per_year=study.bars.bars_per_year)


def _judged(
    study: Study, split: Split, result: SweepResult, ruined: NDArray[np.int64], best: int | None = None
) -> Fold:
    """Choose by the moments in the training spans, unless it is said which is `best`; its statistics in both parts.

    A trial that was ruined anywhere is chosen nowhere: it did not live to earn the returns of later parts.
    """
    inside = _stats(study, result.moments, result.edges, split.train)
    inside[study.metric][ruined] = np.nan
    moved = split.shifted(study.rows.start)
    best = best_of(inside[study.metric]) if best is None else best
    if best < 0:
        return Fold(moved, error=nothing_chosen(study.metric, len(study.trials), result.errors))
    outside = _stats(study, result.moments[best : best + 1], result.edges, split.test)
    return Fold(
        moved,
        best,
        study.trials.params(best),
        n_trials=int(np.isfinite(inside[study.metric]).sum()),
        inside={name: float(values[best]) for name, values in inside.items()},
        outside={name: float(values[0]) for name, values in outside.items()},
    )
