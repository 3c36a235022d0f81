"""Trials of a search, run on a prefix of the bars first: those that are hopeless there are not run further."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import Window
from quantlab.errors import ParameterError
from quantlab.kernels.stats import STATS
from quantlab.research.space import listed_sets
from quantlab.research.trial import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quantlab.research.space import Trials
    from quantlab.research.trial import Chunk, Job

__all__ = ["Outcome", "Prefix", "Stage", "Stages", "prefix_of"]

LEAST_PREFIX = 20
"""Bars below which a prefix says nothing."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one parameter set came to.

    Parameters
    ----------
    stats : ndarray of shape (len(STATS),)
        Statistics over all bars; NaN if it failed or was stopped.
    moments : ndarray of shape (n_parts, 2)
        As in `Chunk`; NaN likewise.
    ruin_bar : int
        -1 for none.
    error : str, optional
        Message, if it failed.
    score : float, optional
        The metric, larger is better; None where it is no number, and for a ruin or an error.
    prefixes : list of float
        Scores on the prefixes it was run on; NaN where there is none.
    stopped : int
        Number of the prefix after which it was stopped, -1 if it was not.
    """

    stats: NDArray[np.float64]
    moments: NDArray[np.float64]
    ruin_bar: int
    error: str | None
    score: float | None
    prefixes: list[float]
    stopped: int


class Stage:
    """All or the first of the bars, with the workers that run trials on them.

    Parameters
    ----------
    job : Job
        What the trials have in common.
    n_workers : int
        Threads.
    """

    def __init__(self, job: Job, n_workers: int) -> None:
        first = Worker(job)
        self.n_bars = first.window.simulated.n_bars
        self.n_parts = first.n_parts
        self.setup = first.setup
        self._workers = [first, *(Worker(job, first.memo, first.setup) for _ in range(n_workers - 1))]

    def run(self, trials: Trials) -> list[Chunk]:
        """Run all of some trials, a part by each worker."""
        n = len(trials)
        cuts = [n * k // len(self._workers) for k in range(len(self._workers) + 1)]
        work = [(w, a, b) for w, a, b in zip(self._workers, cuts, cuts[1:], strict=False) if b > a]
        if len(work) == 1:
            return [work[0][0].run(trials, 0, n)]
        with ThreadPoolExecutor(len(work)) as pool:
            return list(pool.map(lambda one: one[0].run(trials, one[1], one[2]), work))


@dataclass(frozen=True, eq=False)
class Prefix:
    """The first bars, and the scores on them of the trials that were run in full.

    Parameters
    ----------
    stage : Stage
        Runs trials on those bars alone.
    label : Timestamp
        Label of the last of them.
    scores : list of float
        Without those that are no number.
    """

    stage: Stage
    label: Any
    scores: list[float]

    def hopeless(self, score: float, share: float) -> bool:
        """Whether a score is below this quantile of the others; one that is no number never is."""
        return bool(self.scores) and not math.isnan(score) and score < float(np.quantile(self.scores, share))


class Stages:
    """Runs parameter sets prefix by prefix, then on all bars.

    A trial is stopped after a prefix if its score there is below the `prune` quantile of the scores that the trials run
    in full had there, in earlier batches: nothing of the first is stopped. A trial that raises, is ruined or
    has no number on a prefix goes on: its row must say what it does on all bars.

    Parameters
    ----------
    job : Job
        What the trials have in common.
    metric : str
        Name of the statistic.
    sign : float
        1.0 if larger is better, -1.0 if smaller is.
    prefixes : sequence of float
        Shares of the simulated bars, rising.
    prune : float
        The quantile: 0.5 is the median.
    n_workers : int
        Threads.

    Notes
    -----
    The median stopping rule of Golovin, Solnik, Moitra, Kochanski, Karro and Sculley (2017), "Google Vizier: a service
    for black-box optimization", at fixed prefixes.
    """

    def __init__(
        self,
        job: Job,
        metric: str,
        sign: float,
        *,
        prefixes: Sequence[float] = (),
        prune: float = 0.0,
        n_workers: int = 1,
    ) -> None:
        self._job, self._place, self._sign = job, STATS.index(metric), sign
        self._prune = prune
        shared = replace(job, memo_bytes=job.memo_bytes // (1 + len(prefixes)))
        self.full = Stage(shared, n_workers)
        self.prefixes = [prefix_of(shared, self.full.n_bars, share, n_workers) for share in prefixes]
        self.bars_run = 0

    def run(self, sets: Sequence[dict[str, Any]]) -> list[Outcome]:
        """Run some parameter sets as one batch."""
        scores: list[list[float]] = [[] for _ in sets]
        stopped = np.full(len(sets), -1)
        going = list(range(len(sets)))
        for number, prefix in enumerate(self.prefixes):
            found = self._scores(self._chunks(prefix.stage, sets, going))
            for k, score in zip(going, found, strict=True):
                scores[k].append(score)
                if prefix.hopeless(score, self._prune):
                    stopped[k] = number
            going = [k for k in going if stopped[k] < 0]
        none = np.full(len(STATS), np.nan), np.full((self.full.n_parts, 2), np.nan)
        outcomes = [Outcome(*none, -1, None, None, s, int(at)) for s, at in zip(scores, stopped, strict=True)]
        places = iter(going)
        for chunk in self._chunks(self.full, sets, going):
            for j, score in enumerate(self._scores([chunk])):
                k = next(places)
                outcomes[k] = Outcome(
                    chunk.stats[j],
                    chunk.moments[j],
                    int(chunk.ruin_bar[j]),
                    chunk.errors.get(chunk.start + j),
                    None if math.isnan(score) else score,
                    scores[k],
                    -1,
                )
        for number, prefix in enumerate(self.prefixes):
            prefix.scores.extend(scores[k][number] for k in going if not math.isnan(scores[k][number]))
        return outcomes

    def _chunks(self, stage: Stage, sets: Sequence[dict[str, Any]], going: list[int]) -> list[Chunk]:
        if not going:
            return []
        self.bars_run += stage.n_bars * len(going)
        return stage.run(listed_sets(self._job.strategy, [sets[k] for k in going]))

    def _scores(self, chunks: list[Chunk]) -> list[float]:
        """Metric of each trial, larger is better; NaN for a ruin, an error and where it is no number."""
        found: list[float] = []
        for chunk in chunks:
            metric = self._sign * chunk.stats[:, self._place]
            found.extend(np.where(chunk.ruin_bar < 0, metric, np.nan).tolist())
        return found


def prefix_of(job: Job, n_bars: int, share: float, n_workers: int) -> Prefix:
    """Make the prefix that ends after this share of the simulated bars: the strategy sees none of those after it.

    Raises
    ------
    ParameterError
        If it would be of less than `LEAST_PREFIX` bars.
    """
    import pandas as pd

    n = int(share * n_bars)
    if n < LEAST_PREFIX:
        raise ParameterError(
            f"a prefix of {share} of {n_bars:,} bars has {n}; at least {LEAST_PREFIX} are needed. Take larger "
            "prefixes, or search without prune."
        )
    simulated = Window.of(job.bars, *job.window).simulated
    end = pd.Timestamp(int(simulated.time[n - 1]), tz="UTC")
    stage = Stage(replace(job, window=(job.window[0], end), edges=None), n_workers)
    return Prefix(stage, simulated.index[n - 1], [])
