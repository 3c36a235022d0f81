"""The whole sweep again on histories without an edge, to see how good the best of it is there."""

from __future__ import annotations

import math
import warnings
from collections import deque
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import DataError, ParameterError
from quantlab.kernels.stats import SMALLER_IS_BETTER, STATS
from quantlab.research.pools import n_cores
from quantlab.research.progress import shown
from quantlab.research.trial import BLOCK, Job, Worker
from quantlab.research.worlds import Worlds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.research.space import Trials
    from quantlab.research.sweep_result import SweepResult

__all__ = ["NullWorlds", "Rerun", "null_worlds"]

MEMO_BYTES = 128 << 20
"""Most memory that the remembered indicators of one world take."""

PIECE_SECONDS = 0.5
"""Time between two looks at the clock, and at whether to stop."""

MOST_IN_PIECE = 1 << 16
"""Trials whose statistics are held together."""


@dataclass(frozen=True, eq=False)
class NullWorlds:
    """Best of a sweep on the real history, and on each of many histories without an edge.

    Parameters
    ----------
    metric : str
        Statistic that the best is chosen by.
    observed : float
        Of the best trial on the real history.
    best : ndarray of shape (n_worlds,)
        Of the best trial in each world; NaN where no trial has it.
    numbers : ndarray of int64 of shape (n_worlds,)
        Numbers of the worlds, rising.
    n_asked : int
        Worlds that were asked for.
    n_trials : int
        Trials run in each.
    worlds : Worlds
        What makes them: length of the blocks, drift, mirror and seed.
    seconds : float
        Time it took.
    complete : bool
        False after an interruption, or if the time allowed was too short.
    notes : tuple of str
        What a reader should know.
    """

    metric: str
    observed: float
    best: NDArray[np.float64]
    numbers: NDArray[np.int64]
    n_asked: int
    n_trials: int
    worlds: Worlds
    seconds: float
    complete: bool
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.best)

    @property
    def n_as_good(self) -> int:
        """Worlds whose best is at least as good as the observed one."""
        # Comparisons with NaN are False: a world in which nothing could be chosen is a worse one.
        as_good = (
            self.best <= self.observed if self.metric in SMALLER_IS_BETTER else self.best >= self.observed
        )
        return int(as_good.sum())

    @property
    def p_value(self) -> float:
        """Probability of so good a best without an edge: (1 + worlds at least as good) / (1 + worlds).

        The real history counts as one of the worlds, so that a test at this level is wrong no more often than it says
        (Davison and Hinkley, 1997, section 4.2).
        """
        return (1 + self.n_as_good) / (1 + len(self))

    @property
    def beats(self) -> float:
        """Share of the worlds whose best is worse than the observed one."""
        return 1.0 - self.n_as_good / len(self)

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        middle = float(np.nanmedian(self._known))
        return (
            f"your best of {self.n_trials:,} trials ({self.metric} {self.observed:.3g}) beats {self.beats:.1%} of the "
            f"best of noise ({len(self):,} null worlds, median {middle:.3g}); p = {self.p_value:.3g}"
        )

    @property
    def _known(self) -> NDArray[np.float64]:
        known = self.best[~np.isnan(self.best)]
        return known if len(known) else np.full(1, np.nan)

    @property
    def table(self) -> pd.DataFrame:
        """One row a world, labelled by its number, with the metric of its best trial: what a histogram draws."""
        import pandas as pd

        return pd.DataFrame({self.metric: self.best}, index=pd.Index(self.numbers, name="world"))

    def describe(self) -> dict[str, Any]:
        """Everything but the single worlds, as what JSON can hold (NaN and infinities become None)."""
        points = (0.05, 0.25, 0.5, 0.75, 0.95)
        values = np.quantile(self._known, points, method="nearest")
        return {
            "metric": self.metric,
            "observed": _plain(self.observed),
            "beats": self.beats,
            "p_value": self.p_value,
            "n_worlds": len(self),
            "n_asked": self.n_asked,
            "n_as_good": self.n_as_good,
            "n_trials": self.n_trials,
            "best_of_noise": {f"{p:g}": _plain(float(v)) for p, v in zip(points, values, strict=True)},
            "block_length": self.worlds.block,
            "drift": self.worlds.drift,
            "mirror": self.worlds.mirror,
            "seed": self.worlds.seed,
            "seconds": self.seconds,
            "complete": self.complete,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"NullWorlds({self.sentence})"


def _plain(x: float) -> float | None:
    return x if math.isfinite(x) else None


def null_worlds(
    sweep: SweepResult,
    n: int = 1_000,
    *,
    metric: str = "sharpe",
    seed: int = 0,
    max_seconds: float | None = None,
    block: float | None = None,
    drift: str = "keep",
    mirror: bool = True,
    workers: int | None = None,
    progress: bool | Callable[[int, int], None] = True,
) -> NullWorlds:
    """Run a whole sweep again on histories without an edge, and compare the best of each with the best there is.

    Parameters
    ----------
    sweep : SweepResult
        The trials on the real history; of one that was stopped, those that ran.
    n : int
        Histories ("worlds"): 1 or more. The smallest p-value is 1 / (n + 1).
    metric : str
        Statistic that the best is chosen by, as in `SweepResult.best`.
    seed : int
        World `k` depends on it and on `k` alone, whatever is run before or beside it.
    max_seconds : float, optional
        Time allowed. The first world tells how many fit; a warning says so before the others begin.
    block, drift, mirror
        How worlds are made: mean length of the blocks, mean returns, and whether rows are turned upside down; see
        `quantlab.research.worlds.Worlds`.
    workers : int, optional
        Threads; default: one for each core.
    progress : bool or callable
        As in `quantlab.sweep`, counted in worlds.

    Returns
    -------
    NullWorlds
        After Ctrl-C those that were done.

    Raises
    ------
    ParameterError, UnknownNameError
        For options out of range, a sweep without a best trial, and a time that is too short for one world.
    DataError
        For fewer than 20 moves of prices.
    StrategyError
        If the strategy changes its input.

    Notes
    -----
    With ``drift="keep"`` and ``mirror=True`` the question is: would the best of these trials be as good if returns had
    the same mean, volatility and correlation, and nothing in them could be foreseen? Being long in a rising market is
    no edge then, since it earns the same in every world. With ``drift="remove"`` the market's rise counts as one.

    Costs, sizing and everything else are those of the sweep. A `benchmark` that was given as prices stays as it is.
    Nothing is written to the ledger: worlds are no tries.
    """
    began = perf_counter()
    for name, given in (("n", n), ("workers", 1 if workers is None else workers)):
        if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 1:
            raise ParameterError(f"{name} is {given!r}; a whole number of 1 or more is needed.")
    if max_seconds is not None and not max_seconds > 0.0:
        raise ParameterError(f"max_seconds is {max_seconds!r}; a number above 0 is needed.")
    observed = float(sweep.metric(metric)[sweep.best_trial(metric)])
    worlds = Worlds.of(sweep.bars, sweep.window, block=block, drift=drift, mirror=mirror, seed=seed)
    again = Rerun(sweep, worlds, metric, math.inf if max_seconds is None else began + max_seconds)
    notes: list[str] = []
    with shown(progress, n, "null worlds") as told:
        complete = again.run(int(n), int(workers or n_cores()), told, notes)
    numbers = np.array(sorted(again.best), np.int64)
    best = np.array([again.best[k] for k in numbers.tolist()])
    if np.isnan(best).any():
        notes.append(again.told_empty(int(np.isnan(best).sum())))
    return NullWorlds(
        metric=metric,
        observed=observed,
        best=best,
        numbers=numbers,
        n_asked=int(n),
        n_trials=len(again.trials),
        worlds=worlds,
        seconds=perf_counter() - began,
        complete=complete,
        notes=tuple(notes),
    )


class Rerun:
    """Runs the trials of a sweep in one world after another.

    Parameters
    ----------
    sweep : SweepResult
        The trials, with their options.
    worlds : Worlds
        What makes the worlds.
    metric : str
        Statistic whose best is kept.
    deadline : float
        Time, by `time.perf_counter`, at which to stop.
    """

    def __init__(self, sweep: SweepResult, worlds: Worlds, metric: str, deadline: float = math.inf) -> None:
        self.worlds, self.deadline = worlds, deadline
        self.trials = _tried(sweep)
        self.best: dict[int, float] = {}
        self._place = STATS.index(metric)
        self._sign = -1.0 if metric in SMALLER_IS_BETTER else 1.0
        self._strategy, self._window, self._edges = sweep.strategy, sweep.window, sweep.edges
        self._options = {k: v for k, v in sweep.options.items() if k not in {"start", "end", "detail"}}
        self._stopped = Event()
        self._first_error = ""

    def in_world(self, k: int) -> float:
        """Metric of the best trial in world `k`; NaN where no trial has it.

        Raises
        ------
        TimeoutError
            At the deadline, or when another thread was interrupted.
        """
        return self.on(self.worlds.make(k))

    def on(self, bars: Bars) -> float:
        """Metric of the best trial on some bars, as `in_world`."""
        job = Job(self._strategy, bars, self._window, self._options, self._edges, MEMO_BYTES)
        worker = Worker(job)
        best = math.nan
        for start, stop in self._pieces():
            chunk = worker.run(self.trials, start, stop)
            values = chunk.stats[chunk.ruin_bar < 0, self._place]
            values = values[~np.isnan(values)] * self._sign
            if len(values):
                best = float(np.fmax(best, values.max()))
            if chunk.errors and not self._first_error:
                self._first_error = next(iter(chunk.errors.values()))
        return best * self._sign

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Ranges of trials that take about `PIECE_SECONDS`; stops between two of them."""
        start, size = 0, BLOCK
        while start < len(self.trials):
            if self._stopped.is_set() or perf_counter() > self.deadline:
                raise TimeoutError
            began, stop = perf_counter(), min(start + size, len(self.trials))
            yield start, stop
            rate = (stop - start) / max(perf_counter() - began, 1e-9)
            start, size = stop, min(max(int(rate * PIECE_SECONDS) // BLOCK * BLOCK, BLOCK), MOST_IN_PIECE)

    def run(self, n: int, n_workers: int, told: Callable[[int], None], notes: list[str]) -> bool:
        """Run worlds 0 to `n` - 1 into `best`; whether all of them were run.

        Raises
        ------
        ParameterError
            If the first world does not fit into the time.
        """
        began = perf_counter()
        try:
            self.best[0] = self.in_world(0)
        except TimeoutError:
            raise ParameterError(
                f"not one world was done within max_seconds={self.deadline - began:.3g}: the {len(self.trials):,} "
                "trials take longer. Allow more, or sweep fewer of them (n_trials)."
            ) from None
        each = perf_counter() - began
        told(1)
        wanted = n
        left, whole = self.deadline - perf_counter(), each * (n - 1) / n_workers
        if whole > left:
            wanted = 1 + max(int(left * n_workers / each), 0)
            notes.append(
                f"{n:,} worlds would take about {_duration(each + whole)}; the time allowed is enough for about "
                f"{wanted:,}."
            )
            warnings.warn(notes[-1], stacklevel=3)
        try:
            for k, value in self._threads(range(1, wanted), n_workers):
                self.best[k] = value
                told(len(self.best))
        except KeyboardInterrupt:
            notes.append(f"interrupted after {len(self.best):,} of {n:,} worlds.")
        return len(self.best) == n

    def _threads(self, numbers: range, n_workers: int) -> Iterator[tuple[int, float]]:
        """Worlds in threads, each as it is done; waits for all threads when it is closed."""
        waiting = deque(numbers)
        done: SimpleQueue[tuple[int, float] | BaseException | None] = SimpleQueue()
        threads = [
            Thread(target=self._work, args=(waiting, done), name="quantlab null world", daemon=True)
            for _ in range(min(n_workers, len(numbers)))
        ]
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                found = done.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    running -= 1
                else:
                    yield found
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def _work(self, waiting: deque[int], done: SimpleQueue[tuple[int, float] | BaseException | None]) -> None:
        """Run worlds until none is left; the last thing put is None, or the error that ended it."""
        end: BaseException | None = None
        try:
            while waiting:
                k = waiting.popleft()
                done.put((k, self.in_world(k)))
        except (IndexError, TimeoutError):  # another thread took the last one, or time is up
            pass
        except BaseException as error:  # noqa: BLE001  # raised where the worlds are taken
            end = error
        done.put(end)

    def told_empty(self, n_empty: int) -> str:
        """Say that there are worlds in which nothing could be chosen."""
        why = f" The first error: {self._first_error}" if self._first_error else ""
        return (
            f"in {n_empty:,} worlds no trial had the metric; they count as worse than the real history.{why}"
        )


def _tried(sweep: SweepResult) -> Trials:
    """Trials that the sweep ran."""
    if sweep.complete:
        return sweep.trials
    ran = ~np.isnan(sweep.metric("final_equity"))
    ran[list(sweep.errors)] = True
    if not ran.any():
        raise DataError("no trial of the sweep was run; there is nothing to run again.")
    return sweep.trials.take(np.flatnonzero(ran))


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"
