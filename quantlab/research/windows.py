"""Walk-forward: the best trial of each training window, tested on the bars that follow it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quantlab.errors import QuantlabError
from quantlab.kernels.stats import STATS
from quantlab.research.folds import Fold, nothing_chosen
from quantlab.research.models import fitted_sweep
from quantlab.research.record import record_sweep
from quantlab.research.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quantlab.research.folds import Study
    from quantlab.research.splits import Split

__all__ = ["walk"]


def walk(study: Study, splits: Iterable[Split]) -> Iterator[Fold]:
    """Choose and test, window after window; ends early where a sweep was interrupted."""
    for split in splits:
        fold = _chosen(study, split)
        if fold is None:
            return
        yield _tested(study, fold)


def _chosen(study: Study, split: Split) -> Fold | None:
    """Choose by one sweep over the training window; None if that was interrupted."""
    window, strategy = split.train[0], study.strategy
    if strategy.unfitted:
        place = STATS.index(study.metric)
        result, _, fitted = fitted_sweep(
            study, study.training_bars(split), *window, value_of=lambda run: float(run.stats[place])
        )
        strategy = strategy if fitted is None else fitted
    else:
        result = sweep(
            strategy, study.bars, study.trials, **study.options, **study.window(*window), **study.sweeping
        )
    record_sweep(result, "walk_forward")
    if not result.complete:
        return None
    ranked = result.ranked(study.metric)
    if not len(ranked):
        return Fold(split, error=nothing_chosen(study.metric, len(study.trials), result.errors))
    best = int(ranked[0])
    inside = {name: float(result.metric(name)[best]) for name in STATS}
    return Fold(split, best, study.trials.params(best), strategy, len(ranked), inside)


def _tested(study: Study, fold: Fold) -> Fold:
    """Add the statistics of the test window, run by itself."""
    if fold.strategy is None:
        return fold
    try:
        result = study.run(fold.strategy, *fold.split.test[0], fold.params)
    except QuantlabError as error:
        return fold.failed(str(error))
    return replace(fold, outside={name: float(result.stats[name]) for name in STATS})
