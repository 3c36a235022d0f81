"""Workers on other machines: a `dask.distributed` cluster runs the chunks, and what comes back is rows of the table."""

from __future__ import annotations

import hashlib
import platform
import re
import warnings
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import MissingExtraError, ParameterError, QuantlabError
from quantlab.research.shipping import lost_chunk, read, to_bytes
from quantlab.research.trial import Chunk, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from quantlab.research.space import Trials

__all__ = ["ClusterPool", "Parcel", "run_chunk", "versions"]

ADDRESS = re.compile(r"(tcp|tls|ucx|ucxx|ws|wss)://\S+:\d{1,5}/?")
"""What a scheduler prints when it starts: ``Scheduler at: tcp://10.0.0.5:8786``."""

CONNECT_SECONDS = 5.0
"""Time for a scheduler, and for its first worker, to be there."""

WATCH_SECONDS = 5.0
"""Silence after which the cluster is looked at."""

PATIENCE = 12
"""Looks in a row that find no worker before the sweep ends: a minute, in which a nanny or a queue starts new ones."""

AHEAD = 2
"""Chunks in flight for each thread of the cluster: one that runs and one that waits beside it."""

CHUNKS_PER_SECOND = 25.0
"""Chunks that go out a second: a client and a scheduler on two busy cores manage 65. On many cores neighbouring ones
go out together."""

GONE = frozenset({"FutureCancelledError", "CancelledError", "CommClosedError"})
"""Errors of a chunk that was dropped or whose connection was lost. Their classes differ between versions of dask."""

TRIES = 3
"""Times that a chunk is given out anew after somebody else dropped it, such as by a restart of the cluster."""


# -- on the workers ------------------------------------------------------------------------------------


@cache
def versions() -> dict[str, str]:
    """Give what must be the same everywhere for results to be the same to the last bit."""
    root = Path(__file__).parent.parent
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(root.rglob("*.py")):
        digest.update(str(source.relative_to(root).as_posix()).encode())
        digest.update(source.read_bytes())
    found = {"python": ".".join(platform.python_version_tuple()[:2]), "quantlab": digest.hexdigest()}
    return found | {name: metadata.version(name) for name in ("numpy", "numba", "pandas", "TA-Lib")}


class Parcel:
    """A packed job as it travels; a worker opens it once and lends what is made of it to its threads.

    Parameters
    ----------
    data : bytes-like
        A `Job`, as `quantlab.research.shipping.to_bytes` packs it.
    made_by : mapping
        `versions` of the sender.
    """

    def __init__(self, data: Any, made_by: Mapping[str, str]) -> None:
        self.data = np.frombuffer(data, np.uint8)  # an array travels beside the pickle, without copies
        self.made_by = dict(made_by)
        self._lock = Lock()
        self._first: Worker | None = None
        self._idle: list[Worker] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Parcel, (self.data, self.made_by)

    @contextmanager
    def lent(self) -> Iterator[Worker]:
        """Worker for one chunk.

        Raises
        ------
        ParameterError
            If this machine has other versions than the sender.
        """
        with self._lock:
            if self._first is None:
                refuse_other_versions(self.made_by, {platform.node() or "a worker": versions()})
                self._first = Worker(read(self.data))
                self._idle.append(self._first)
            worker = self._idle.pop() if self._idle else _beside(self._first)
        yield worker
        # After an error it may hold half a block, and another one is made.
        with self._lock:
            self._idle.append(worker)


def _beside(first: Worker) -> Worker:
    """Worker of another thread, which shares kernel arguments and remembered indicators."""
    return Worker(first.job, first.memo, first.setup)


def run_chunk(parcel: Parcel, part: bytes, start: int) -> Chunk:
    """Run trials on a worker of the cluster.

    Parameters
    ----------
    parcel : Parcel
        What the trials have in common.
    part : bytes
        The trials, packed.
    start : int
        Number of the first.
    """
    trials = read(part)
    with parcel.lent() as worker:
        chunk = worker.run(trials, 0, len(trials))
    return replace(chunk, start=start, errors={start + k: text for k, text in chunk.errors.items()})


def refuse_other_versions(ours: Mapping[str, str], theirs: Mapping[str, Mapping[str, str] | str]) -> None:
    """Refuse workers whose results might differ.

    Parameters
    ----------
    ours : mapping
        `versions` here.
    theirs : mapping
        By address `versions` there, or why they could not be told.

    Raises
    ------
    ParameterError
        For the first worker that differs: says in what.
    """
    for address, found in theirs.items():
        if isinstance(found, str):
            raise ParameterError(
                f"the worker {address} cannot load quantlab ({found}); install the same quantlab on every worker."
            )
        differ = [f"{k} {found.get(k)} there, {v} here" for k, v in ours.items() if found.get(k) != v]
        if differ:
            raise ParameterError(
                f"the worker {address} would compute something else: {'; '.join(differ)}. Install the same versions "
                "on every worker (of quantlab a hash of its sources is compared) and restart those that are running."
            )


# -- here ----------------------------------------------------------------------------------------------


class ClusterPool:
    """Runs chunks on a `dask.distributed` cluster.

    The job goes to each worker once; then each chunk's trials go out and its rows come back, a bounded number at a
    time. Results are those of a `Worker` in this process, to the last bit. A worker that dies costs its chunk, which
    the scheduler gives to another; the rows of a chunk that no worker survives carry the error.

    Parameters
    ----------
    cluster : str or dask.distributed.Client
        Address of a scheduler, such as ``"tcp://127.0.0.1:8786"``, or a client, which is left open.
    job : Job
        What the trials have in common.

    Raises
    ------
    MissingExtraError
        Without the extra ``cluster``.
    ParameterError
        For something that is no address and no client, a scheduler or workers that are not there, workers with other
        versions, and options that cannot be sent.
    StrategyError
        For a strategy that cannot be sent.
    """

    def __init__(self, cluster: Any, job: Job) -> None:
        distributed = _load()
        self._job = job
        self._parcel = np.frombuffer(to_bytes(job), np.uint8), versions()
        self._ours = isinstance(cluster, str)
        self._client = _connect(distributed, cluster)
        try:
            self._require_workers()
            refuse_other_versions(versions(), self._ask_versions())
            self.n_workers = self._n_threads()
            self._sent = self._send()
        except BaseException:
            self._hang_up()
            raise

    def chunks(self, trials: Trials, ranges: Iterable[tuple[int, int]]) -> Iterator[Chunk]:
        """Run ranges on the cluster; closing the iterator cancels what has not begun.

        A chunk that is being computed is finished there, and its rows are dropped.

        Raises
        ------
        QuantlabError
            If the scheduler is lost, or no worker is left and none comes back; and whatever a worker raised that was
            not a trial's own error.
        """
        waiting = _Ranges(ranges)
        running: dict[Any, tuple[int, int, int]] = {}
        killers: list[tuple[int, int, str]] = []
        done: SimpleQueue[Any] = SimpleQueue()

        def give(start: int, stop: int, tries: int = 0) -> None:
            part = to_bytes(trials.take(slice(start, stop)))
            future = self._client.submit(run_chunk, self._sent, part, start, pure=False)
            running[future] = start, stop, tries
            future.add_done_callback(done.put)

        n_done, room = 0, AHEAD * self.n_workers
        try:
            for start, stop in waiting.take(room):
                give(start, stop)
            while running:
                future = self._patiently(lambda s: done.get(timeout=s))
                start, stop, tries = running.pop(future)
                chunk = self._chunk_of(future, start, stop, tries)
                if isinstance(chunk, Chunk):
                    n_done += 1
                    if n_done % self.n_workers == 0:
                        room = AHEAD * max(1, self._n_threads())
                        waiting.grow(sum(chunk.seconds), room / AHEAD / CHUNKS_PER_SECOND)
                    yield chunk
                elif chunk is None:
                    give(start, stop, tries + 1)
                else:
                    killers.append((start, stop, chunk))
                for a, b in waiting.take(room - len(running)):
                    give(a, b)
            yield from self._tried_alone(killers, give, running, done)
        finally:
            with suppress(Exception):  # a connection that is lost has nothing left to cancel
                self._client.cancel(list(running), force=True)

    def _tried_alone(
        self,
        killers: list[tuple[int, int, str]],
        give: Callable[[int, int, int], None],
        running: dict[Any, tuple[int, int, int]],
        done: SimpleQueue[Any],
    ) -> Iterator[Chunk]:
        """Chunks that workers died of, or beside: of several each is run once more with nothing beside it."""
        for start, stop, why in killers:
            chunk: Chunk | str | None = why
            if len(killers) > 1:
                give(start, stop, TRIES)
                future = self._patiently(lambda s: done.get(timeout=s))
                running.pop(future)
                chunk = self._chunk_of(future, start, stop, TRIES)
            yield chunk if isinstance(chunk, Chunk) else lost_chunk(self._job, start, stop, chunk or why)

    def close(self) -> None:
        """Let the cluster drop the prices; disconnect if this pool connected."""
        self._sent = None
        self._hang_up()

    def _hang_up(self) -> None:
        if self._ours:
            with suppress(Exception):
                self._client.close(timeout=CONNECT_SECONDS)

    def _require_workers(self) -> None:
        """Wait until there is a worker."""
        seconds = CONNECT_SECONDS
        try:
            self._client.wait_for_workers(1, timeout=seconds)
        except TimeoutError as error:
            raise ParameterError(
                f"the scheduler at {self._address} has had no worker for {seconds:.0f} s; start some, on any machine "
                f"that has quantlab: dask worker {self._address}"
            ) from error

    @property
    def _address(self) -> str:
        return str(self._client.scheduler.address)

    def _n_threads(self) -> int:
        return int(sum(self._client.nthreads().values()))

    def _ask_versions(self) -> dict[str, Any]:
        """`versions` of each worker."""

        def asked() -> Any:  # by value, since a worker may not have this module
            try:
                from quantlab.research.cluster import versions as found
            except ImportError as error:
                return str(error)
            return found()

        try:
            return dict(self._client.run(asked))
        except Exception as error:
            raise ParameterError(
                f"the workers of {self._address} do not say what they have installed ({type(error).__name__}: "
                f"{error}); they need the Python and the dask of this machine."
            ) from error

    def _send(self) -> Any:
        """Give the job to the cluster: to one worker, and from there to each other that runs a chunk.

        It is a task whose argument the scheduler keeps, and not scattered data: that is gone with the workers that have
        it, and all chunks with it.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self._client.submit(Parcel, *self._parcel, pure=False)

    def _patiently(self, waited: Callable[[float], Any]) -> Any:
        """Wait for what comes within some seconds, again and again while the cluster is there.

        Raises
        ------
        QuantlabError
            If the scheduler is lost, or has no worker for long.
        """
        alone = 0
        while True:
            try:
                return waited(WATCH_SECONDS)
            except (Empty, TimeoutError):
                alone = 0 if self._n_threads_or_lost() else alone + 1
            if alone >= PATIENCE:
                raise QuantlabError(
                    f"the scheduler at {self._address} has had no worker for {alone * WATCH_SECONDS:.0f} s; start "
                    "workers and run the sweep again, with resume=... to go on where it was."
                )

    def _n_threads_or_lost(self) -> int:
        if self._client.status != "running":
            raise self._lost_scheduler()
        try:
            return self._n_threads()
        except Exception as error:
            raise self._lost_scheduler() from error

    def _lost_scheduler(self) -> QuantlabError:
        return QuantlabError(
            "the connection to the scheduler was lost; start it and run the sweep again, with resume=... to go on "
            "where it was."
        )

    def _chunk_of(self, future: Any, start: int, stop: int, tries: int) -> Chunk | str | None:
        """Rows of a chunk that ended; why there are none; or None if it has to be given out anew."""
        try:
            # Rows that were lost before they were fetched are computed again.
            chunk: Chunk = self._patiently(lambda s: future.result(timeout=s))
        except Exception as error:
            kind = type(error).__name__
            if kind == "KilledWorker":
                return f"every worker of the cluster that ran trials {start} to {stop - 1} died: {error}"
            if kind not in GONE:
                raise
            self._n_threads_or_lost()
            if tries >= TRIES:
                return f"the cluster dropped trials {start} to {stop - 1} {TRIES + 1} times: {error}"
        else:
            return chunk
        finally:
            future.release()  # an error that is kept would keep it
        if self._sent.status in {"cancelled", "lost"}:
            self._sent = self._send()
        return None


class _Ranges:
    """Ranges of trials, neighbours together where one would be done too soon."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._waiting = deque(ranges)
        self._together = 1

    def grow(self, seconds: float, wanted: float) -> None:
        """Put more together when what was given out took fewer seconds than wanted."""
        if 0.0 < 2.0 * seconds <= wanted:
            self._together = int(self._together * min(wanted / seconds, 8.0))

    def take(self, n: int) -> Iterator[tuple[int, int]]:
        """Next ranges, `n` at most."""
        for _ in range(n):
            if not self._waiting:
                return
            start, stop = self._waiting.popleft()
            for _ in range(self._together - 1):
                if not self._waiting or self._waiting[0][0] != stop:
                    break
                stop = self._waiting.popleft()[1]
            yield start, stop


def _load() -> Any:
    try:
        import distributed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"distributed", "dask"}:
            raise
        raise MissingExtraError("distributed", "cluster", "a sweep on a cluster") from error
    return distributed


def _connect(distributed: Any, cluster: Any) -> Any:
    """Client of what was given."""
    if isinstance(cluster, distributed.Client):
        if cluster.asynchronous or cluster.status != "running":
            raise ParameterError(
                f"cluster is a client that is {'asynchronous' if cluster.asynchronous else cluster.status}; one that "
                "is connected and was made with asynchronous=False is needed."
            )
        return cluster
    if not isinstance(cluster, str) or not ADDRESS.fullmatch(cluster):
        raise ParameterError(
            f"cluster is {cluster!r}; the address of a scheduler, such as 'tcp://127.0.0.1:8786', or a "
            "dask.distributed.Client is needed."
        )
    connect: Callable[..., Any] = distributed.Client
    try:
        return connect(cluster, timeout=CONNECT_SECONDS, set_as_default=False, name="quantlab-sweep")
    except Exception as error:
        cause = f" ({error})" if "Timed out" not in str(error) else ""
        raise ParameterError(
            f"no scheduler answers at {cluster} within {CONNECT_SECONDS:.0f} s{cause}. Start one with 'dask scheduler' "
            "and give the address that it prints; it needs the dask of this machine."
        ) from error
