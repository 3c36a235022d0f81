"""Many trials of one strategy: a grid, a list or draws of parameter sets, each with the statistics of a backtest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.errors import DataError, ParameterError
from quantlab.kernels.stats import STATS
from quantlab.research.parts import Parts
from quantlab.research.pools import InlinePool, Pool, ThreadPool, n_cores
from quantlab.research.progress import shown
from quantlab.research.space import Trials
from quantlab.research.sweep_result import SweepResult
from quantlab.research.trial import BLOCK, Chunk, Job, Worker, n_together
from quantlab.strategy import as_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from quantlab.costs import Costs
    from quantlab.sizing import Account, Sizing

__all__ = ["parse_bytes", "sweep"]

SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

CHUNK_SECONDS = 0.25
"""Time that a chunk of trials should take: progress moves, and an interruption is heard, about as often."""

PART_SECONDS = 2.0
"""Least time between two parts that are written."""

PILOT_SECONDS = 0.02
"""Seconds of a block of trials above which a few trials say enough of what one takes."""

SHARES = 2
"""Parts into which what is left is thought to be cut for each worker, whenever one takes its next."""

FAR = 4.0
"""How many times less work than is worth processes leaves no doubt, whatever the first trials are like."""

WORTH_THREADS = 0.02
"""Seconds of work below which a second thread is not started."""

WORTH_PROCESSES = 6.0
"""Seconds of work below which starting processes costs more than they save."""

BOUND_BY_PYTHON = 0.4
"""Share of the time in signal functions from which processes are quicker than threads, with short histories."""

PYTHON_ALONE = 0.9
"""The same with long ones, on which numpy runs without the interpreter's lock: only loops in Python take so much."""


def sweep(
    strategy: Any,
    bars: Bars,
    grid: Any = None,
    *,
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
    edges: NDArray[np.int64] | None = None,
    workers: int | str | None = None,
    max_memory: str | int = "1GB",
    cluster: Any = None,
    resume: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
) -> SweepResult:
    """Run every parameter set of a grid and return one row of statistics for each.

    A row equals `quantlab.backtest` with the same parameters and options to the last bit: both call the same kernel
    with the same arguments. Memory is that of the table and of what the workers need for the trials at hand; it does
    not grow with bars x trials.

    Parameters
    ----------
    strategy : Strategy or callable
        A signal function of bars and parameters.
    bars : Bars
        Prices. Several assets are one portfolio, as in `backtest`.
    grid : mapping, sequence of mappings, optional
        By parameter a sequence of values, one value, or a distribution (`Uniform`, `Integers`, `Choice`, or a frozen
        one of `scipy.stats`); or complete sets one by one. Default: the strategy's own grid.
    cash, costs, sizing, account, fill, start, end, benchmark, risk_free
        As in `backtest`.
    where : str or callable, optional
        Condition on a set, such as ``"fast < slow"``; default: the strategy's own.
    n_trials, seed : int, optional
        How many sets to draw, and with which seed; needed with distributions.
    edges : ndarray of int, optional
        Bars at which the parts begin whose moments are kept (`SweepResult.moments`), and the end; default: 16 parts of
        equal length, as `SweepResult.pbo` needs. With others the last bits of a row may differ from `backtest`.
    workers : int or str, optional
        Number of workers, ``"threads"`` or ``"processes"``, or both as in ``"processes:4"``. Default: all cores, as
        threads or as processes by what the first trials took.
    max_memory : str or int
        What the sweep may add to the bars, such as ``"1GB"`` (10**9 bytes): table, buffers, remembered indicators.
    cluster : str or dask.distributed.Client, optional
        Address of a scheduler, such as ``"tcp://127.0.0.1:8786"``, or a client: trials run there.
    resume : path, optional
        Folder to which finished trials are written as they come. Given again after a kill, the sweep goes on there.
    progress : bool or callable
        True: a bar on a terminal; or a function of trials done and of all.

    Returns
    -------
    SweepResult
        Its table has a row for every trial, also for one that raised: its ``error`` says why. After Ctrl-C it has
        what was done, and ``complete`` is False.

    Raises
    ------
    ParameterError, UnknownNameError, StrategyError, DataError
        For a grid, condition or option that cannot be used; each says what is allowed.
    """
    began = perf_counter()
    if not isinstance(bars, Bars):
        raise DataError(
            f"bars is a {type(bars).__name__}; make Bars of it first, with ql.Bars.from_frame(...)."
        )
    found = as_strategy(strategy)
    found.require_model()
    trials = Trials.of(found, grid, where, n_trials=n_trials, seed=seed)
    kind, n_workers = _workers(workers)
    options = {
        "cash": cash, "costs": costs, "sizing": sizing, "account": account, "fill": fill, "detail": detail,
        "benchmark": benchmark, "risk_free": risk_free,
    }  # fmt: skip
    n_parts = 16 if edges is None else len(edges) - 1
    memory = Memory.plan(parse_bytes(max_memory), len(trials), n_parts, bars, n_workers)
    job = Job(found, bars, (start, end), options, edges, memory.memo_bytes)
    worker = Worker(job)
    out = Rows(len(trials), worker.n_parts)
    parts = None
    if resume is not None:
        parts = Parts(resume, SweepResult.identity(job, worker.setup, trials))
        for chunk in parts.chunks():
            out.put(chunk)
    complete = True
    with shown(progress, len(trials), found.name) as told:
        told(out.n_done)
        runner = Runner(worker, trials, out, parts, told)
        try:
            runner.run(kind, memory.n_workers, cluster)
        except KeyboardInterrupt:
            complete = False
        finally:
            runner.flush()
    return SweepResult(
        job=job,
        setup=worker.setup,
        trials=trials,
        stats=out.stats,
        moments=out.moments,
        ruin_bar=out.ruin_bar,
        errors=out.errors,
        done=out.done,
        complete=complete,
        seconds=perf_counter() - began,
        how=runner.how,
    )


@dataclass(frozen=True)
class Memory:
    """How the memory of a sweep is shared out: workers, and bytes of remembered indicators for each process."""

    n_workers: int
    memo_bytes: int

    @classmethod
    def plan(cls, allowed: int, n_trials: int, n_parts: int, bars: Bars, n_workers: int) -> Memory:
        """Share out `allowed` bytes.

        Raises
        ------
        ParameterError
            If the table and the buffers of one worker do not fit.
        """
        cells = bars.n_bars * bars.n_assets
        # The table, with a copy of its columns; targets and changes of a block, and what a signal function makes.
        table = n_trials * (8 * len(STATS) + 16 * n_parts + 9 + 16)
        each = n_together(cells) * cells + 32 * cells + 40 * bars.n_bars
        if table + each > allowed:
            raise ParameterError(
                f"max_memory allows {_shown_bytes(allowed)}; the table of {n_trials:,} trials takes "
                f"{_shown_bytes(table)} and a worker on {bars.n_bars:,} bars {_shown_bytes(each)}. Give "
                f"max_memory={_shown_bytes(table + 2 * each)!r}, or fewer trials (n_trials=... draws some of the grid)."
            )
        fit = max(1, min(n_workers, (allowed - table) // each))
        return cls(fit, allowed - table - fit * each)


class Rows:
    """Rows of the table, filled in as chunks come."""

    def __init__(self, n_trials: int, n_parts: int) -> None:
        self.stats = np.full((n_trials, len(STATS)), np.nan)
        self.moments = np.full((n_trials, n_parts, 2), np.nan)
        self.ruin_bar = np.full(n_trials, -1, np.int64)
        self.errors: dict[int, str] = {}
        self.done = np.zeros(n_trials, bool)
        self.n_done = 0

    def put(self, chunk: Chunk) -> None:
        """Enter a chunk."""
        rows = slice(chunk.start, chunk.stop)
        self.n_done += len(chunk.stats) - int(self.done[rows].sum())
        self.stats[rows], self.moments[rows], self.ruin_bar[rows] = chunk.stats, chunk.moments, chunk.ruin_bar
        self.errors |= chunk.errors
        self.done[rows] = True

    def copy(self, start: int, stop: int) -> Chunk:
        """Chunk of rows that are done."""
        rows = slice(start, stop)
        errors = {k: self.errors[k] for k in range(start, stop) if k in self.errors} if self.errors else {}
        return Chunk(start, self.stats[rows], self.moments[rows], self.ruin_bar[rows], errors, (0.0, 0.0))

    def missing(self) -> Iterator[tuple[int, int]]:
        """Give the runs of trials that are not done."""
        borders = np.flatnonzero(np.diff(np.concatenate(([True], self.done, [True])).astype(np.int8)))
        yield from ((int(a), int(b)) for a, b in zip(borders[::2], borders[1::2], strict=True))


class Runner:
    """Runs what is missing of a sweep and writes its parts."""

    def __init__(
        self, worker: Worker, trials: Trials, out: Rows, parts: Parts | None, told: Callable[[int], None]
    ) -> None:
        self.worker, self.trials, self.out, self.parts, self.told = worker, trials, out, parts, told
        self.how = "one thread"
        self._written = out.done.copy() if parts is not None else out.done
        self._last_part = perf_counter()

    def run(self, kind: str, n_workers: int, cluster: Any) -> None:
        """Run the first trials here; by what they took, the others in threads or processes, or on the cluster."""
        # The first trial fills the memo, and may compile; those in the middle of a grid say what a trial takes, where
        # its corner, with the shortest windows and the most orders, would not.
        signal = kernel = each = 0.0
        pilot, left = 1, 0
        for wanted in (1, 3, BLOCK):
            start, stop = max(self.out.missing(), key=lambda r: r[1] - r[0], default=(0, 0))
            pilot = min(stop - start, wanted)
            if not pilot:
                return
            start += (stop - start - pilot) // 2 if wanted > 1 else 0
            chunk = self.worker.run(self.trials, start, start + pilot)
            self._take(chunk)
            signal, kernel = chunk.seconds
            each = (signal + kernel) / pilot
            left = sum(b - a for a, b in self.out.missing())
            if wanted > 1 and (each * BLOCK > PILOT_SECONDS or each * left < WORTH_PROCESSES / FAR):
                break
        bound = BOUND_BY_PYTHON if self.worker.is_short else PYTHON_ALONE
        pool = self._pool(kind, n_workers, cluster, each * left, signal > bound * (signal + kernel))
        self._drain(pool, _chunk_size(each, left, pool.n_workers))

    def _pool(self, kind: str, n_workers: int, cluster: Any, seconds: float, by_python: bool) -> Pool:
        """Who runs the rest, which would take one thread so many seconds, bound by the interpreter's lock or not."""
        job = self.worker.job
        if cluster is not None:
            from quantlab.research.cluster import ClusterPool

            found = ClusterPool(cluster, job)
            self.how = f"{found.n_workers} workers of a cluster"
            return found
        if n_workers > 1 and (kind == "processes" or (not kind and by_python and seconds > WORTH_PROCESSES)):
            from quantlab.research.processes import ProcessPool

            self.how = f"{n_workers} processes"
            return ProcessPool(job, n_workers)
        if n_workers > 1 and (kind == "threads" or seconds > WORTH_THREADS):
            self.how = f"{n_workers} threads"
            return ThreadPool(job, n_workers, self.worker)
        return InlinePool(self.worker)

    def _drain(self, pool: Pool, size: int) -> None:
        """Take every chunk of a pool."""
        chunks = pool.chunks(self.trials, list(_ranges(self.out.missing(), size, pool.n_workers)))
        try:
            for chunk in chunks:
                self._take(chunk)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
            pool.close()

    def _take(self, chunk: Chunk) -> None:
        self.out.put(chunk)
        self.told(self.out.n_done)
        if self.parts is not None and perf_counter() - self._last_part > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was done since the last part."""
        if self.parts is None:
            return
        fresh = self.out.done & ~self._written
        borders = np.flatnonzero(np.diff(np.concatenate(([False], fresh, [False])).astype(np.int8)))
        for a, b in zip(borders[::2], borders[1::2], strict=True):
            self.parts.write(self.out.copy(int(a), int(b)))
        self._written |= fresh
        self._last_part = perf_counter()


def _ranges(missing: Iterable[tuple[int, int]], size: int, n_workers: int) -> Iterator[tuple[int, int]]:
    """Ranges of trials of at most `size`, shorter towards the end: then no worker has much left when the others end."""
    runs = list(missing)
    left = sum(stop - start for start, stop in runs)
    for begin, stop in runs:
        start = begin
        while start < stop:
            n = min(size, max(BLOCK, left // (SHARES * n_workers) // BLOCK * BLOCK), stop - start)
            yield start, start + n
            start += n
            left -= n


def _chunk_size(each: float, left: int, n_workers: int) -> int:
    """Trials of a chunk: whole blocks, about `CHUNK_SECONDS` long, and enough of them for every worker."""
    wanted = min(CHUNK_SECONDS / max(each, 1e-7), left / (SHARES * n_workers))
    return max(1, int(wanted)) if wanted < BLOCK else int(wanted) // BLOCK * BLOCK


def _workers(given: int | str | None) -> tuple[str, int]:
    """Kind of workers ("" for either) and their number.

    Raises
    ------
    ParameterError
        For anything but a number, a kind, or both.
    """
    if given is None:
        return "", n_cores()
    if isinstance(given, str):
        kind, _, number = given.partition(":")
        if kind in {"threads", "processes"} and (not number or (number.isdecimal() and int(number) > 0)):
            return kind, int(number) if number else n_cores()
    elif isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return "", given
    raise ParameterError(
        f"workers is {given!r}; a number of at least 1, 'threads', 'processes', or both as in 'processes:4' is needed."
    )


def parse_bytes(given: str | int) -> int:
    """Bytes of a size such as ``"1GB"`` or ``"300 MB"`` (powers of ten), or of a number.

    Raises
    ------
    ParameterError
        For anything else.
    """
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return given
    match = (
        re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kKmMgGtT]?[bB]?)\s*", given)
        if isinstance(given, str)
        else None
    )
    if match is None or float(match[1]) <= 0.0:
        raise ParameterError(
            f"max_memory is {given!r}; a size such as '1GB', '300MB' or a number of bytes is needed."
        )
    unit = match[2].upper()
    return int(float(match[1]) * SIZES[unit if unit in SIZES else f"{unit}B"])


def _shown_bytes(n: float) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if n >= size:
            return f"{n / size:.3g}{unit}"
    return f"{n:.0f}B"
