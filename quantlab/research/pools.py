"""Who runs the chunks of a sweep: this thread or several threads of this process (others: `processes`, `cluster`)."""

from __future__ import annotations

import os
from collections import deque
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Protocol

from quantlab.research.trial import Chunk, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quantlab.research.space import Trials

__all__ = ["InlinePool", "Pool", "ThreadPool", "n_cores"]


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool(Protocol):
    """Runs chunks of trials."""

    n_workers: int

    def chunks(self, trials: Trials, ranges: Iterable[tuple[int, int]]) -> Iterator[Chunk]:
        """Chunks of the given ranges of trials, in the order in which they are done.

        Closing the iterator, as an interruption does, gives up what has not begun and waits for what has.
        """
        ...

    def close(self) -> None:
        """Let go of what the pool holds."""
        ...


class InlinePool:
    """Runs everything in the calling thread.

    Parameters
    ----------
    worker : Worker
        Who does it.
    """

    n_workers = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def chunks(self, trials: Trials, ranges: Iterable[tuple[int, int]]) -> Iterator[Chunk]:
        """Run one range after another."""
        for start, stop in ranges:
            yield self.worker.run(trials, start, stop)

    def close(self) -> None:
        """Nothing is held."""


class ThreadPool:
    """Runs chunks in threads that share prices, kernel arguments and remembered indicators.

    The simulation of a block, and numpy on long arrays, run without the interpreter's lock; the signal functions of
    short series take turns.

    Parameters
    ----------
    job : Job
        What the trials have in common.
    n_workers : int
        Threads.
    first : Worker
        Whose memo and kernel arguments the others share.
    """

    def __init__(self, job: Job, n_workers: int, first: Worker) -> None:
        self.n_workers = n_workers
        turn = Lock()
        self._workers = [Worker(job, first.memo, first.setup, turn) for _ in range(n_workers)]

    def chunks(self, trials: Trials, ranges: Iterable[tuple[int, int]]) -> Iterator[Chunk]:
        """Run ranges in all threads."""
        waiting, stopped = deque(ranges), Event()
        done: SimpleQueue[Chunk | BaseException | None] = SimpleQueue()
        threads = [
            Thread(target=_work, args=(w, trials, waiting, stopped, done), name="quantlab sweep", daemon=True)
            for w in self._workers
        ]
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                chunk = done.get()
                if isinstance(chunk, BaseException):
                    raise chunk
                if chunk is None:
                    running -= 1
                else:
                    yield chunk
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def close(self) -> None:
        """Nothing is held: threads end with their chunks."""


def _work(
    worker: Worker,
    trials: Trials,
    waiting: deque[tuple[int, int]],
    stopped: Event,
    done: SimpleQueue[Chunk | BaseException | None],
) -> None:
    """Run waiting ranges until there is none; what happens is raised where the chunks are taken."""
    try:
        while waiting and not stopped.is_set():
            try:
                start, stop = waiting.popleft()
            except IndexError:  # another thread was quicker
                break
            done.put(worker.run(trials, start, stop))
    except BaseException as error:  # noqa: BLE001  # as said above
        done.put(error)
    else:
        done.put(None)
