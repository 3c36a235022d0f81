"""Walk-forward and cross-validation of a strategy: choose on some bars, judge on others, stitch the judgements."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.errors import DataError, ParameterError, QuantlabError, UnknownNameError
from quantlab.kernels.stats import SMALLER_IS_BETTER, STATS
from quantlab.research.crossvalidation import cross_validate
from quantlab.research.folds import MOMENT_METRICS, Study
from quantlab.research.space import Trials
from quantlab.research.splits import combinatorial_splits, group_spans, path_splits, walk_forward_splits
from quantlab.research.walkforward_result import WalkForwardResult
from quantlab.research.windows import walk
from quantlab.strategy import as_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from quantlab.costs import Costs
    from quantlab.engine.backtest import Wish
    from quantlab.research.folds import Fold
    from quantlab.research.splits import Span
    from quantlab.sizing import Account, Sizing

    Wishes = dict[tuple[int, int], Wish | None]

__all__ = ["METHODS", "WalkForwardResult", "walk_forward"]

METHODS = ("rolling", "anchored", "kfold", "cpcv")

TRAIN, TEST = 0.5, 0.1
"""Shares of the bars of the first training window and of each test, if nothing is said: five windows."""

GROUPS, TEST_GROUPS = 6, 2
"""Groups of bars, and how many of them test at a time with ``"cpcv"``: 15 splits, 5 paths."""

LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(year|month|week)s?\s*")
PER_YEAR = {"year": 1.0, "month": 12.0, "week": 52.0}


def walk_forward(
    strategy: Any,
    bars: Bars,
    grid: Any = None,
    *,
    method: str = "rolling",
    train: float | str | None = None,
    test: float | str | None = None,
    purge: int = 0,
    embargo: int = 0,
    groups: int | None = None,
    test_groups: int | None = None,
    metric: str = "sharpe",
    cash: float = 100_000,
    costs: Costs | None = None,
    sizing: Sizing | None = None,
    account: Account | None = None,
    fill: str = "next_open",
    detail: Bars | None = None,
    start: Any = None,
    end: Any = None,
    benchmark: Any = None,
    risk_free: float = 0.0,
    where: str | Callable[..., bool] | None = None,
    n_trials: int | None = None,
    seed: int = 0,
    workers: Any = None,
    max_memory: Any = "1GB",
    cluster: Any = None,
    progress: bool = True,
) -> WalkForwardResult:
    """Choose parameters on some bars, judge them on others, and stitch what came of it into one run.

    Parameters
    ----------
    strategy : Strategy or callable
        With a fit, it is fitted anew on each training window, once for every parameter set.
    bars : Bars
        Prices. Signals see all bars before the one they decide on, also those before their training.
    grid : mapping, sequence of mappings or Trials, optional
        Parameter sets to choose from, as in `sweep`; the strategy's own grid if not given.
    method : {"rolling", "anchored", "kfold", "cpcv"}
        Train on the latest `train` bars, or on all from the first one; or cut the bars into `groups`, of which one
        (k-fold) or every choice of `test_groups` (combinatorial purged cross-validation) tests while the rest trains.
    train, test : int, float or str, optional
        Length of the (first) training window and of each test: bars, a share of the bars below 1, or a text such as
        ``"2 years"``, ``"6 months"`` or ``"10 weeks"``, in bars by `Bars.bars_per_year`. Default: a half and a tenth.
    purge : int
        Bars left out of the training beside each test: as many as a position or a label may last.
    embargo : int
        Further bars left out after each test, for cross-validation.
    groups, test_groups : int, optional
        Of cross-validation; default 6 and 2.
    metric : str
        Statistic to choose by: any of a sweep for walk-forward; ``"sharpe"`` or ``"mean_return"`` for
        cross-validation, since only those follow from the returns of scattered bars.
    cash, costs, sizing, account, fill, start, end, benchmark, risk_free
        As in `backtest`. Bars before `start` are warm-up: they neither train nor test.
    where, n_trials, seed, workers, max_memory, cluster, progress
        As in `sweep`.

    Returns
    -------
    WalkForwardResult
        ``table``, ``equity``, ``stats``, ``schedule``, ``efficiency``, and ``paths`` with ``"cpcv"``.

    Raises
    ------
    ParameterError, UnknownNameError, DataError, StrategyError
        For input that cannot be used; each says what is allowed.
    KeyboardInterrupt
        If nothing was finished; otherwise an interrupted walk-forward returns the windows that were.

    Notes
    -----
    The stitched run is one run of the engine over the targets of all tests, so that positions carry over from one
    window to the next and changes pay their costs. docs/walk-forward.md says more. A window in which every trial
    fails stays flat and says why. Sources: Pardo (2008), chapter 11; López de Prado, "Advances in Financial Machine
    Learning" (2018), chapters 7 and 12.
    """
    idea = as_strategy(strategy)
    if not isinstance(bars, Bars):
        raise DataError(
            f"bars is a {type(bars).__name__}; make Bars of it first, with ql.Bars.from_frame(...)."
        )
    _check_choice(method, metric)
    study = Study(
        idea,
        bars,
        bars.rows(start, end),
        Trials.of(idea, grid, where, n_trials=n_trials, seed=seed),
        metric,
        metric in SMALLER_IS_BETTER,
        {
            "cash": cash,
            "costs": costs,
            "sizing": sizing if sizing is not None else idea.sizing,
            "account": account,
            "fill": fill,
            "detail": detail,
            "benchmark": benchmark,
            "risk_free": risk_free,
        },
        {"workers": workers, "max_memory": max_memory, "cluster": cluster, "progress": progress},
        STATS if method in METHODS[:2] else MOMENT_METRICS,
    )
    if method in METHODS[:2]:
        _refuse(method, embargo=embargo or None, groups=groups, test_groups=test_groups)
        return _walked(study, method, train=train, test=test, purge=purge)
    _refuse(method, train=train, test=test, test_groups=test_groups if method == "kfold" else None)
    return _cross_validated(
        study, method, groups=groups, test_groups=test_groups, purge=purge, embargo=embargo
    )


def _walked(
    study: Study, method: str, *, train: float | str | None, test: float | str | None, purge: int
) -> WalkForwardResult:
    n_bars, per_year = study.n_bars, study.bars.bars_per_year
    lengths = {
        "train": _length("train", train, n_bars, per_year, TRAIN),
        "test": _length("test", test, n_bars, per_year, TEST),
    }
    splits = walk_forward_splits(n_bars, **lengths, anchored=method == "anchored", purge=purge)
    folds = _finished(walk(study, [split.shifted(study.rows.start) for split in splits]))
    if not folds:
        raise KeyboardInterrupt
    spans = [fold.split.test[0] for fold in folds]
    routes = np.arange(len(folds))[None, :]
    settings = {**lengths, "purge": purge}
    complete = len(folds) == len(splits)
    return _stitched(study, method, folds, spans=spans, routes=routes, settings=settings, complete=complete)


def _cross_validated(
    study: Study, method: str, *, groups: int | None, test_groups: int | None, purge: int, embargo: int
) -> WalkForwardResult:
    groups = GROUPS if groups is None else groups
    chosen = 1 if method == "kfold" else TEST_GROUPS if test_groups is None else test_groups
    sizes = {"groups": groups, "test_groups": chosen, "purge": purge, "embargo": embargo}
    splits = combinatorial_splits(study.n_bars, **sizes)
    folds = list(cross_validate(study, splits))
    if len(folds) < len(splits):
        raise KeyboardInterrupt
    first = study.rows.start
    spans = [(start + first, stop + first) for start, stop in group_spans(study.n_bars, groups)]
    routes = path_splits(splits, groups)
    return _stitched(study, method, folds, spans=spans, routes=routes, settings=sizes, complete=True)


def _finished(folds: Iterator[Fold]) -> list[Fold]:
    """Folds up to an interruption."""
    done: list[Fold] = []
    try:
        for fold in folds:
            done.append(fold)  # noqa: PERF402  # what is done must outlive the interruption
    except KeyboardInterrupt:
        pass
    return done


def _stitched(
    study: Study,
    method: str,
    folds: list[Fold],
    *,
    spans: list[Span],
    routes: NDArray[np.int64],
    settings: Mapping[str, Any],
    complete: bool,
) -> WalkForwardResult:
    """Make the target of every fold in every span that it decides."""
    wishes: Wishes = {}
    known: Wishes = {}
    for place, number in sorted({(p, int(f)) for route in routes for p, f in enumerate(route)}):
        fold = folds[number]
        if fold.strategy is None:
            wishes[number, place] = None
            continue
        # Without a model, one parameter set has one target wherever it was chosen.
        key = (number if fold.strategy.fitting else -1 - fold.trial, place)
        if key not in known:
            try:
                known[key] = study.target(fold.strategy, fold.params, *spans[place])
            except QuantlabError as error:
                known[key], folds[number] = None, fold.failed(str(error))
        wishes[number, place] = known[key]
    return WalkForwardResult(
        study,
        method,
        folds,
        spans=spans,
        routes=routes,
        wishes=wishes,
        settings=settings,
        complete=complete,
    )


def _length(name: str, given: float | str | None, n_bars: int, per_year: float, default: float) -> int:
    """Length in bars.

    Raises
    ------
    ParameterError
        For what is neither bars, a share, nor a time.
    """
    if given is None:
        given = default
    if isinstance(given, str):
        found = LENGTH.fullmatch(given)
        if found is not None:
            return max(1, round(float(found[1]) / PER_YEAR[found[2]] * per_year))
    elif isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        return int(given)
    elif isinstance(given, float) and 0.0 < given < 1.0:
        return max(1, round(given * n_bars))
    raise ParameterError(
        f"{name}={given!r}; a number of bars, a share of them between 0 and 1, or a text such as '2 years' or "
        "'6 months' is needed."
    )


def _check_choice(method: str, metric: str) -> None:
    if method not in METHODS:
        raise UnknownNameError("method", str(method), METHODS)
    if metric in (STATS if method in METHODS[:2] else MOMENT_METRICS):
        return
    if metric not in {*STATS, *MOMENT_METRICS}:
        raise UnknownNameError("metric", str(metric), STATS)
    if metric in MOMENT_METRICS:
        raise ParameterError(
            f"metric={metric!r} is one of cross-validation; with {method!r} take a statistic of a sweep, such as "
            "'total_return' or 'cagr'."
        )
    raise ParameterError(
        f"metric={metric!r} needs equity bar by bar, which the scattered training bars of {method!r} do not make up; "
        f"there are {', '.join(MOMENT_METRICS)}. Walk-forward windows ('rolling', 'anchored') have every statistic."
    )


def _refuse(method: str, **given: Any) -> None:
    """Refuse options that the method has no use for."""
    for name, value in given.items():
        if value is not None:
            raise ParameterError(
                f"{name}={value!r} means nothing with method={method!r}; leave it out. Windows ('rolling', 'anchored') "
                "have train, test and purge; 'kfold' has groups, purge and embargo; 'cpcv' has test_groups as well."
            )
