"""Search: parameter sets that are chosen one after another by what the earlier ones came to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.kernels.stats import STATS
from quantlab.research.pools import n_cores
from quantlab.research.progress import shown
from quantlab.research.record import record_sweep
from quantlab.research.sampler import ModelSampler, RandomSampler
from quantlab.research.space import COUNTED, Space, Trials, listed_sets
from quantlab.research.stages import Stages
from quantlab.research.sweep import Memory, parse_bytes
from quantlab.research.sweep_result import SMALLER_IS_BETTER, SweepResult
from quantlab.research.trial import Job
from quantlab.strategy import as_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.costs import Costs
    from quantlab.engine.setup import Setup
    from quantlab.research.sampler import Asked, Sampler
    from quantlab.research.stages import Outcome
    from quantlab.sizing import Account, Sizing
    from quantlab.strategy import Strategy

__all__ = ["METHODS", "PREFIXES", "Found", "Plan", "run_search", "search"]

METHODS = ("tpe", "random")
"""How the next sets are chosen: by a model of the earlier ones (Optuna), or at random."""

PREFIXES = (0.1, 0.3)
"""Shares of the bars after which hopeless trials are stopped."""

STARTUP = 10
"""Trials at random before the model is asked, at least; one in ten of a long search."""

LONG = 50_000
"""Values of a price column above which a trial is long enough for threads to pay."""

RANDOM_BATCH = 64

N_PARTS = 16
"""Parts whose moments a row keeps."""


@dataclass(frozen=True)
class Plan:
    """How a search goes about it; the options of `search` of the same names.

    Raises
    ------
    UnknownNameError
        For a metric or a method that there is not.
    ParameterError
        For numbers that make no sense.
    """

    n_trials: int = 200
    metric: str = "sharpe"
    method: str = "tpe"
    seed: int = 0
    prune: float | None = None
    prefixes: tuple[float, ...] = PREFIXES
    batch: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.metric not in STATS:
            raise UnknownNameError("metric", str(self.metric), STATS)
        if self.method not in METHODS:
            raise UnknownNameError("method", str(self.method), METHODS)
        for name in ("n_trials", "batch", "workers"):
            value = getattr(self, name)
            optional = value is None and name != "n_trials"
            if not optional and (type(value) is not int or value < 1):
                raise ParameterError(f"{name} is {value!r}; a whole number of 1 or more is needed.")
        if self.prune is not None and not (_is_number(self.prune) and 0.0 < self.prune < 1.0):
            raise ParameterError(
                f"prune is {self.prune!r}; a quantile between 0 and 1 is needed, such as 0.5: what is below it on "
                "a prefix is stopped."
            )
        rising = all(_is_number(p) and 0.0 < p < 1.0 for p in self.prefixes) and all(
            a < b for a, b in zip(self.prefixes, self.prefixes[1:], strict=False)
        )
        if not self.prefixes or not rising:
            raise ParameterError(
                f"prefixes is {self.prefixes!r}; rising shares of the bars between 0 and 1 are needed, such as "
                f"{PREFIXES}."
            )

    @property
    def n_startup(self) -> int:
        """Trials that are chosen at random before the model is asked."""
        return min(self.n_trials, max(STARTUP, self.n_trials // 10))

    def n_workers(self, bars: Bars) -> int:
        """Threads: all cores where trials are long enough."""
        return self.workers or (n_cores() if bars.close.size > LONG else 1)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to.

    Parameters
    ----------
    setup : Setup
        Kernel arguments of the full runs.
    trials : Trials
        Sets in the order they were run in.
    stats : ndarray of shape (n_trials, len(STATS))
        Statistics; NaN for trials that failed or were stopped.
    moments : ndarray of shape (n_trials, n_parts, 2)
        As in `Chunk`; NaN likewise.
    ruin_bar : ndarray of shape (n_trials,), int64
        -1 for none.
    errors : dict of int to str
        Message of each trial that failed.
    pruned_at : ndarray of shape (n_trials,), object
        Label of the last bar that a stopped trial saw; None for one that was run in full.
    share_run : float
        Bars that were simulated, as a share of those that full runs of all trials would take.
    complete : bool
        False after an interruption.
    seconds : float
        Time it took.
    """

    setup: Setup
    trials: Trials
    stats: NDArray[np.float64]
    moments: NDArray[np.float64]
    ruin_bar: NDArray[np.int64]
    errors: dict[int, str]
    pruned_at: NDArray[np.object_]
    share_run: float
    complete: bool
    seconds: float


def search(
    strategy: Any,
    bars: Bars,
    grid: Any = None,
    *,
    n_trials: int = 200,
    metric: str = "sharpe",
    method: str = "tpe",
    seed: int = 0,
    where: str | Callable[..., bool] | None = None,
    prune: float | None = None,
    prefixes: Sequence[float] = PREFIXES,
    batch: int | None = None,
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
    workers: int | None = None,
    max_memory: str | int = "1GB",
    progress: bool | Callable[[int, int], None] = True,
) -> SweepResult:
    """Run parameter sets that are chosen one after another, by what the earlier ones came to.

    A row is that of a sweep, and so of `quantlab.backtest`, to the last bit. No set is run twice. A space of no more
    than `n_trials` sets is run whole.

    Parameters
    ----------
    strategy : Strategy or callable
        A signal function of bars and parameters.
    bars : Bars
        Prices.
    grid : mapping, optional
        By parameter a sequence of values, one value, or a distribution, as in `quantlab.sweep`; a sequence of sets
        only with ``method="random"``. Default: the strategy's own grid.
    n_trials : int
        Sets to run.
    metric : str
        Statistic that is made large (small, if it is one of `SMALLER_IS_BETTER`).
    method : {"tpe", "random"}
        Optuna's tree-structured Parzen estimator, of which the first ``max(10, n_trials // 10)`` sets are random; or
        all at random.
    seed : int
        The same seed and `batch` choose the same sets.
    where : str or callable, optional
        Condition on a set; one that it excludes is never run. Default: the strategy's own.
    prune : float, optional
        Stop a trial whose metric on a prefix of the bars is below this quantile of what the trials run in full had
        there; 0.5 is the median. What is ruined, raises or has no number there goes on.
    prefixes : sequence of float
        Shares of the simulated bars, rising; the strategy sees nothing after them.
    batch : int, optional
        Sets that are chosen together. Default: 4, or twice the threads; at random 64.
    cash, costs, sizing, account, fill, start, end, benchmark, risk_free
        As in `quantlab.backtest`.
    workers : int, optional
        Threads. Default: all cores where trials are long.
    max_memory : str or int
        What the search may add to the bars, such as ``"1GB"`` (10**9 bytes).
    progress : bool or callable
        True: a bar on a terminal; or a function of trials done and of all.

    Returns
    -------
    SweepResult
        Rows in the order they were run in. With `prune` its table has a column ``pruned_at``: the label of the last bar
        that a stopped trial was run on (NaT for none); such a row has no statistics. After Ctrl-C it has what was done.

    Raises
    ------
    MissingExtraError
        If Optuna is needed and not installed.
    ParameterError, UnknownNameError, StrategyError, DataError
        For a grid, condition or option that cannot be used; each says what is allowed.

    Notes
    -----
    docs/search.md says when a model pays: a suggestion takes some milliseconds.
    """
    if not isinstance(bars, Bars):
        raise DataError(
            f"bars is a {type(bars).__name__}; make Bars of it first, with ql.Bars.from_frame(...)."
        )
    idea = as_strategy(strategy)
    idea.require_model()
    plan = Plan(n_trials, metric, method, seed, prune, tuple(prefixes), batch, workers)
    options = {
        "cash": cash, "costs": costs, "sizing": sizing, "account": account, "fill": fill, "detail": detail,
        "benchmark": benchmark, "risk_free": risk_free,
    }  # fmt: skip
    space = Space.of(idea, grid, where)
    memory = Memory.plan(parse_bytes(max_memory), n_trials, N_PARTS, bars, plan.n_workers(bars))
    job = Job(idea, bars, (start, end), options, memo_bytes=memory.memo_bytes)
    sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
    with shown(progress, n_trials, idea.name) as told:
        found = run_search(job, space, replace(plan, workers=memory.n_workers), sign=sign, told=told)
    result = SweepResult(
        job=job,
        setup=found.setup,
        trials=found.trials,
        stats=found.stats,
        moments=found.moments,
        ruin_bar=found.ruin_bar,
        errors=found.errors,
        complete=found.complete,
        seconds=found.seconds,
        how=f"{method}, {found.share_run:.0%} of the bars of full runs",
        more=None if prune is None else {"pruned_at": _labels(found)},
    )
    record_sweep(result, "search")
    return result


def _labels(found: Found) -> pd.Series[Any]:
    """Labels at which trials were stopped, NaT for none, of the type of the bars' labels."""
    import pandas as pd

    index = found.setup.bars.index
    labels: pd.Series[Any] = pd.Series(index[:0].take([]), dtype=index.dtype).reindex(
        pd.RangeIndex(len(found.trials))
    )
    for k, label in enumerate(found.pruned_at):
        if label is not None:
            labels.iloc[k] = label
    return labels


def run_search(
    job: Job, space: Space, plan: Plan, *, sign: float = 1.0, told: Callable[[int], None] | None = None
) -> Found:
    """Choose and run the trials of a search.

    Parameters
    ----------
    job : Job
        What the trials have in common.
    space : Space
        What may be tried.
    plan : Plan
        How.
    sign : float
        1.0 if a larger metric is better, -1.0 if a smaller one is.
    told : callable, optional
        Called after each batch with the number of trials that are done.

    Raises
    ------
    ParameterError
        For a list of sets with ``method="tpe"``, and for prefixes that are too short.
    MissingExtraError
        If Optuna is needed and not installed.
    """
    began = perf_counter()
    n_workers = plan.n_workers(job.bars)
    sampler, first, batch = _sampler(space, plan, n_workers)
    stages = Stages(
        job,
        plan.metric,
        sign,
        prefixes=() if plan.prune is None else plan.prefixes,
        prune=plan.prune or 0.0,
        n_workers=n_workers,
    )
    done: list[tuple[Asked, Outcome]] = []
    complete = True
    try:
        while len(done) < plan.n_trials:
            new = sampler.ask(min(batch if done else first, plan.n_trials - len(done)))
            if not new:
                break
            ran = list(zip(new, stages.run([asked.named for asked in new]), strict=True))
            done.extend(ran)
            for asked, outcome in ran:
                sampler.tell(asked, outcome.score, outcome.prefixes, stopped=outcome.stopped >= 0)
            if told is not None:
                told(len(done))
    except KeyboardInterrupt:
        if not done:
            raise
        complete = False
    return _found(job.strategy, done, stages, complete=complete, seconds=perf_counter() - began)


def _sampler(space: Space, plan: Plan, n_workers: int) -> tuple[Sampler, int, int]:
    """Sampler, size of its first batch and of the others."""
    every = space.every() if space.size is not None and space.size <= COUNTED else None
    if every is not None and len(every) <= plan.n_trials:
        return RandomSampler(every, plan.seed), plan.n_startup, plan.batch or RANDOM_BATCH
    if plan.method == "random":
        drawn = space.trials(plan.n_trials, plan.seed)
        return RandomSampler(drawn, plan.seed), plan.n_startup, plan.batch or RANDOM_BATCH
    if space.sets is not None:
        raise ParameterError(
            "a list of parameter sets has no axes to search along; give the values of each parameter, or take "
            "method='random' or ql.sweep."
        )
    return ModelSampler(space, plan.seed, plan.n_startup), plan.n_startup, plan.batch or max(4, 2 * n_workers)


def _found(
    strategy: Strategy,
    done: Sequence[tuple[Asked, Outcome]],
    stages: Stages,
    *,
    complete: bool,
    seconds: float,
) -> Found:
    outcomes = [outcome for _, outcome in done]
    pruned = np.full(len(done), None, object)
    for k, outcome in enumerate(outcomes):
        if outcome.stopped >= 0:
            pruned[k] = stages.prefixes[outcome.stopped].label
    return Found(
        setup=stages.full.setup,
        trials=listed_sets(strategy, [asked.named for asked, _ in done]),
        stats=np.array([o.stats for o in outcomes]),
        moments=np.array([o.moments for o in outcomes]),
        ruin_bar=np.array([o.ruin_bar for o in outcomes], np.int64),
        errors={k: o.error for k, o in enumerate(outcomes) if o.error is not None},
        pruned_at=pruned,
        share_run=stages.bars_run / (stages.full.n_bars * len(outcomes)),
        complete=complete,
        seconds=seconds,
    )


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool)
