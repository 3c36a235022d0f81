"""Workers in processes of their own, for trials whose time goes into Python: each has its own interpreter lock.

A worker is a plain new interpreter that runs nothing but this module, never the program that started it: scripts and
notebooks need no main guard, and threads of the parent do no harm. It is told what to do through its standard input
and answers through its standard output. It ends when its parent does, however that ended.
"""

from __future__ import annotations

import atexit
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import count, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from quantlab.errors import DataError, QuantlabError
from quantlab.research.shipping import lost_chunk, read_file, write
from quantlab.research.trial import Chunk, Job, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quantlab.research.space import Trials

__all__ = ["ProcessPool", "serve"]

TRIES = 3
"""Worker processes that a chunk may cost before its rows carry the error."""

IDLE_SECONDS = 300.0
"""A worker that is asked nothing for so long ends."""

AHEAD = 2
"""Chunks that are given out for each worker."""

READY = b"quantlab worker is ready\n"

BOOT = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = sys.argv[1:]; del sys.argv[1:]; "
    "from quantlab.research.processes import serve; serve()"
)
"""What a worker runs; its arguments are the parent's import path. An interruption is the parent's to handle."""

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
"""There is a worker for every core; libraries in it start no threads of their own."""


# -- in the worker -------------------------------------------------------------------------------------


def serve() -> None:
    """Run chunks of trials until the parent is gone: the whole life of a worker process."""
    asked = cast("BinaryIO", os.fdopen(os.dup(0), "rb"))
    answers = cast("BinaryIO", os.fdopen(os.dup(1), "wb"))
    # What a strategy prints must not come between the answers.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    tasks: SimpleQueue[Any] = SimpleQueue()
    held: dict[Path, Any] = {}
    Thread(target=_listen, args=(asked, tasks, held), daemon=True).start()
    answers.write(READY)
    # Nobody may be there to read it: then there is nothing to clean up, and nothing to say.
    with suppress(OSError, Empty):
        while True:
            answers.flush()
            task = tasks.get(timeout=IDLE_SECONDS)
            try:
                answer: Any = _run(task, held)
            except BaseException as error:  # noqa: BLE001  # raised where the chunks are taken
                answer = _sendable(error)
                held.clear()  # what was stopped midway would mix into the next chunk
            pickle.dump(answer, answers, protocol=5)
    os._exit(0)


def _listen(asked: BinaryIO, tasks: SimpleQueue[Any], held: dict[Path, Any]) -> None:
    """Take tasks, and end this process with its parent, also in the middle of a chunk."""
    while True:
        try:
            tasks.put(pickle.load(asked))  # noqa: S301  # the parent wrote it
        except Exception:  # noqa: BLE001  # the end, or half a task, which may raise anything
            for path in list(held):  # a parent that ends as it should has had it forgotten
                shutil.rmtree(path.parent, ignore_errors=True)
            os._exit(0)


def _run(task: tuple[Path, Path, int, int] | str, held: dict[Path, Any]) -> Any:
    """Do what is asked; jobs and trials are kept until others come."""
    if isinstance(task, str):
        held.clear()
        return task
    job, trials, start, stop = task
    for path in held.keys() - {job, trials}:
        del held[path]
    if job not in held:
        held[job] = Worker(read_file(job))
    if trials not in held:
        held[trials] = read_file(trials)
    return held[job].run(held[trials], start, stop)


def _sendable(error: BaseException) -> BaseException:
    """Give an error as something that survives the way."""
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):  # noqa: S301  # made in this line
            return error
    except Exception:  # noqa: BLE001, S110  # such an error goes as its text
        pass
    return QuantlabError(
        str(error) if isinstance(error, QuantlabError) else f"{type(error).__name__}: {error}"
    )


# -- in the parent -------------------------------------------------------------------------------------


class _Lost(Exception):  # noqa: N818  # a worker that was lost is what it says
    """A worker process is gone; says how."""


class _Process:
    """One worker process."""

    def __init__(self) -> None:
        self.origin = _origin()
        # What Python itself starts children with: -O and -W change what a strategy does.
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter, and nothing that a user wrote
            [sys.executable, *flags, "-c", BOOT, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD},
        )
        self._ready = False

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, task: Any) -> Any:
        """Answer to a task.

        Raises
        ------
        _Lost
            If the process ended before it answered.
        QuantlabError
            If it could not even start.
        """
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            raise _Lost("it has no pipes")
        try:
            pickle.dump(task, asked, protocol=5)
            asked.flush()
            # Whatever was printed before the worker could see to it is passed over.
            self._ready = self._ready or any(line.endswith(READY) for line in iter(answers.readline, b""))
            answer = pickle.load(answers)  # noqa: S301  # the worker that this process started wrote it
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            self.kill()
            code = self._process.returncode
            if not self._ready and code is not None and code > 0:
                raise QuantlabError(
                    f"a worker process could not start: {sys.executable} ended with code {code}, and its message is "
                    "above. Use workers='threads' meanwhile."
                ) from error
            raise _Lost(_how_it_ended(code)) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def kill(self) -> None:
        """End it now, and wait for it; the pipes are closed by whoever reads them."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Let it end by itself: it sees that there will be no task."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # it was gone already
                    pipe.close()


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        memory = ", as the system does to what takes too much memory" if name == "SIGKILL" else ""
        return f"its worker process was ended by signal {name}{memory}"
    return f"its worker process ended with code {code}"


def _origin() -> tuple[str, ...]:
    """Give what a worker takes over from its parent when it starts."""
    try:
        return (str(Path.cwd()), *sys.path)
    except OSError:  # the folder was removed
        return tuple(sys.path)


class _Crew:
    """Idle worker processes of this program, kept for its next sweep."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._idle: list[_Process] = []
        self._lock = Lock()

    def take(self) -> _Process:
        """Idle process that would be started just so now, or a new one."""
        origin = _origin()
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return _Process()
            if process.alive and process.origin == origin:
                return process
            process.kill()
            process.end()

    def keep(self, process: _Process) -> None:
        """Take a process back, which forgets what it knows."""
        try:
            process.ask("forget")
        except (_Lost, QuantlabError):
            process.end()
            return
        with self._lock:
            self._idle.append(process)

    def dismiss(self) -> None:
        """End all of them."""
        if os.getpid() != self._pid:  # a fork of the program is not their parent
            return
        with self._lock:
            gone, self._idle = self._idle, []
        for process in gone:
            process.kill()
            process.end()


@cache
def _crew(_pid: int) -> _Crew:
    """Crew of this process: of a fork it is another one."""
    crew = _Crew()
    atexit.register(crew.dismiss)
    return crew


class ProcessPool:
    """Runs chunks in worker processes that read the prices from one mapped file.

    Results are those of a `Worker` in this process, to the last bit. A worker that dies costs its chunk, which another
    one runs again; after `TRIES` of them the chunk's rows carry the error.

    Parameters
    ----------
    job : Job
        What the trials have in common. Remembered indicators are shared out among the workers.
    n_workers : int
        Processes.

    Raises
    ------
    StrategyError, ParameterError
        For what cannot be sent to another process.
    DataError
        If the prices cannot be written to the folder of temporary files.
    """

    def __init__(self, job: Job, n_workers: int) -> None:
        self.n_workers = n_workers
        self._job = replace(job, memo_bytes=job.memo_bytes // n_workers)
        self._lock = Lock()
        self._stopped = False
        self._idle: list[_Process] = []
        self._busy: set[_Process] = set()
        self._numbers = count()
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="quantlab-sweep-", ignore_cleanup_errors=True)
        except OSError as error:
            raise DataError(
                f"a folder of temporary files cannot be made: {error}; use workers='threads'."
            ) from error
        try:
            write(self._job, self._path("job"))
        except BaseException:
            self._folder.cleanup()
            raise

    def chunks(self, trials: Trials, ranges: Iterable[tuple[int, int]]) -> Iterator[Chunk]:
        """Run ranges in all processes; closing the iterator ends the processes that are at work.

        Raises
        ------
        QuantlabError
            If workers cannot start, and whatever a worker raised that was not a trial's own error.
        """
        place = self._path(f"trials-{next(self._numbers)}")
        write(trials, place)
        waiting = iter(ranges)
        threads = ThreadPoolExecutor(self.n_workers, "quantlab sweep")
        running: set[Future[Chunk]] = set()

        def give(n: int) -> None:
            for start, stop in islice(waiting, n):
                running.add(threads.submit(self._run, place, start, stop))

        try:
            give(AHEAD * self.n_workers)
            while running:
                # Without a limit some systems hear no interruption while they wait.
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    running.remove(future)
                    give(1)
                    yield future.result()
        finally:
            for future in running:
                future.cancel()
            if running:
                self._stop()
            threads.shutdown(wait=True)
            place.unlink(missing_ok=True)
            self._stopped = False

    def close(self) -> None:
        """Remove the mapped file, and keep the processes for the next sweep of this program."""
        idle, self._idle = self._idle, []
        crew = _crew(os.getpid())
        for process in idle:
            crew.keep(process)
        self._folder.cleanup()

    def _path(self, name: str) -> Path:
        return Path(self._folder.name, name)

    def _run(self, trials: Path, start: int, stop: int) -> Chunk:
        """Have a chunk run, by other processes if one is lost."""
        why = ""
        for _ in range(TRIES):
            process = self._borrow()
            try:
                chunk: Chunk = process.ask((self._path("job"), trials, start, stop))
            except _Lost as lost:
                self._give_back(process)
                why = str(lost)
            except BaseException:
                self._give_back(process)
                raise
            else:
                self._give_back(process)
                return chunk
        return lost_chunk(self._job, start, stop, f"{why}, {TRIES} times in trials {start} to {stop - 1}.")

    def _borrow(self) -> _Process:
        with self._lock:
            if self._stopped:
                raise CancelledError
            process = self._idle.pop() if self._idle else _crew(os.getpid()).take()
            self._busy.add(process)
        return process

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            self._busy.discard(process)
            if process.alive:
                self._idle.append(process)
            else:
                process.end()

    def _stop(self) -> None:
        """End the processes that are at work: a computation cannot be told to stop."""
        with self._lock:
            self._stopped = True
            for process in list(self._busy):
                process.kill()
