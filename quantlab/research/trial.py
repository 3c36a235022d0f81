"""Trials of a sweep: signal functions called one after another, their targets simulated a block at a time."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.backtest import Window, Wish, has_universe, signal_to_wish
from quantlab.engine.inside import check_options, orders_to_levels
from quantlab.engine.setup import NOT_KEPT, Setup
from quantlab.errors import QuantlabError, StrategyError
from quantlab.kernels.stats import STATS
from quantlab.kernels.trial import run_block, run_trial
from quantlab.signal import Signal
from quantlab.signals.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from threading import Lock

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.research.space import Trials
    from quantlab.strategy import Strategy

__all__ = ["BLOCK", "Chunk", "Job", "Worker", "n_together"]

BLOCK = 64
"""Trials in which work is handed out."""

BLOCK_BYTES, MOST_TRIALS = 1 << 20, 1024
"""Memory that the targets of one call take, which the processor's caches hold, and most trials in it."""

FIRST_TRIALS = 32
"""Trials of a worker's first call, whose indicators nobody remembers yet: other workers wait for their turn."""

LEAST_MEMO = 1 << 20

FLAG = np.dtype(bool)

SHORT = 50_000
"""Bars x assets below which numpy gives up the interpreter's lock for less time than taking it back costs."""


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that a worker needs besides the trials.

    Parameters
    ----------
    strategy : Strategy
        Whose trials they are.
    bars : Bars
        Prices.
    window : tuple
        Start and end of what is simulated, as in `backtest`.
    options : dict
        cash, costs, sizing, account, fill, benchmark and risk_free, as in `backtest`.
    edges : ndarray of shape (n_parts + 1,), optional
        Bars at which the parts begin whose moments are kept, and the end.
    memo_bytes : int
        Most memory that remembered indicators take.
    """

    strategy: Strategy
    bars: Bars
    window: tuple[Any, Any] = (None, None)
    options: Mapping[str, Any] = field(default_factory=dict)
    edges: NDArray[np.int64] | None = None
    memo_bytes: int = 256 << 20


@dataclass(frozen=True, eq=False)
class Chunk:
    """What consecutive trials came to.

    Parameters
    ----------
    start : int
        Number of the first trial.
    stats : ndarray of shape (n_trials, len(STATS))
        Statistics in the order of `quantlab.kernels.stats.STATS`; NaN for a trial that failed.
    moments : ndarray of shape (n_trials, n_parts, 2)
        Sum and sum of squares of the bar returns in each part; those after a ruin count as 0. NaN for a trial that
        failed.
    ruin_bar : ndarray of shape (n_trials,)
        Simulated bar at which equity was gone, -1 for none.
    errors : dict of int to str
        Message of each trial that failed, by its number.
    seconds : tuple of float
        Time in the signal function, and in the simulation.
    """

    start: int
    stats: NDArray[np.float64]
    moments: NDArray[np.float64]
    ruin_bar: NDArray[np.int64]
    errors: dict[int, str]
    seconds: tuple[float, float]

    @property
    def stop(self) -> int:
        """Number after the last trial."""
        return self.start + len(self.stats)


def n_together(n_bytes: int) -> int:
    """Trials, each with a target of so many bytes, that are simulated in one call.

    Waking the thread that has waited for another one's call takes as long as a few short trials.
    """
    return max(1, min(BLOCK_BYTES // n_bytes, MOST_TRIALS))


class _Block:
    """Targets of one kind that wait to be simulated together: `places` are those of `targets`, in the shape of bars.

    With `enough` of them they are.
    """

    def __init__(self, n_trials: int, width: int, shape: tuple[int, int], kind: type[Any]) -> None:
        self.rows = np.zeros(n_trials, np.int64)
        self.targets = np.zeros((n_trials, width), kind)
        size = shape[0] * shape[1]
        as_written = self.targets.view(FLAG) if kind is np.uint8 else self.targets
        self.places = [row[:size].reshape(shape) for row in as_written]
        self.n = 0
        self.enough = min(FIRST_TRIALS, n_trials)

    def grow(self) -> None:
        """Take more trials the next time, up to the room there is."""
        self.n = 0
        self.enough = min(2 * self.enough, len(self.rows))


class Worker:
    """Runs trials of a job: one for each thread or process.

    Parameters
    ----------
    job : Job
        What they have in common.
    memo : Memo, optional
        Remembered indicators; threads of one process share theirs.
    setup : Setup, optional
        Of the same job, if another worker has one.
    turn : Lock, optional
        Held while signal functions run, where threads share the interpreter: with short histories they only get in
        each other's way.
    """

    def __init__(
        self,
        job: Job,
        memo: Memo | None = None,
        setup: Setup | None = None,
        turn: Lock | None = None,
    ) -> None:
        self.job = job
        self.window = window = Window.of(job.bars, *job.window)
        self.setup = setup or setup_of(job, window)
        self.memo = memo or Memo(window.seen, max(job.memo_bytes, LEAST_MEMO))
        n_bars, n_assets = window.simulated.shape
        width = -(-n_bars * n_assets // 8) * 8  # whole words, which the simulation reads
        self._shape = window.seen.shape
        self._plain = not has_universe(window.seen)
        self._rows = None if window.simulated is window.seen else window.rows
        self._turn: AbstractContextManager[Any] = nullcontext() if turn is None or not self.is_short else turn
        self._room = self.setup.room()
        self._found = (
            np.empty(n_bars, np.int64),
            np.empty(n_bars, np.int64),
            np.empty((n_bars, n_assets)),
        )
        self._flags = _Block(n_together(width), width, window.simulated.shape, np.uint8)
        self._numbers: _Block | None = None

    @property
    def is_short(self) -> bool:
        """Whether the bars are so few that signal functions of two threads get in each other's way."""
        return self.window.seen.close.size < SHORT

    @property
    def n_parts(self) -> int:
        """Parts of the run whose moments are kept."""
        return len(self.setup.edges) - 1

    def run(self, trials: Trials, start: int, stop: int) -> Chunk:
        """Run the trials from `start` up to `stop`.

        Raises
        ------
        StrategyError
            If the strategy made the bars writeable: no trial after it could be trusted.
        """
        n = stop - start
        out = (
            np.full((n, len(STATS)), np.nan),
            np.full((n, self.n_parts, 2), np.nan),
            np.full(n, -1, np.int64),
        )
        errors: dict[int, str] = {}
        began, simulated = perf_counter(), 0.0
        self._flags.n = 0
        with self.memo.active(), self._turn:
            for k, params in enumerate(trials.iterate(start, stop)):
                target = self._evaluated(params)
                if isinstance(target, Wish):
                    simulated += self._simulate_wish(target, k, out)
                    continue
                if isinstance(target, str):
                    errors[start + k] = target
                    continue
                block = self._flags if target.dtype is FLAG else self._for_numbers()
                block.places[block.n][...] = target
                block.rows[block.n] = k
                block.n += 1
                if block.n == block.enough:
                    simulated += self._simulate(block, out)
            for left in (self._flags, self._numbers):
                if left is not None and left.n:
                    simulated += self._simulate(left, out)
        took = perf_counter() - began
        return Chunk(start, *out, errors, (took - simulated, simulated))

    def _evaluated(self, params: dict[str, Any]) -> NDArray[Any] | Wish | str:
        """Target of one parameter set over the simulated bars, or the message of what it raised.

        With orders inside the bar it is a wish, which is simulated alone.
        """
        try:
            target = self.job.strategy.function(self.window.seen, **params)
            # The common case, without a detour: in or out, for every bar and asset.
            usual = type(target) is np.ndarray and target.dtype is FLAG and target.shape == self._shape
            if not (usual and self._plain):
                target = self._target(target)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a strategy raises is its trial's row
            target = self._second_try(params, error)
            if isinstance(target, str):
                return target
        if isinstance(target, Wish):
            return target.rows(self.window.rows)
        found: NDArray[Any] = target if self._rows is None else target[self._rows]
        return found

    def _target(self, result: Any) -> NDArray[Any] | Wish:
        """Target, or wish, of whatever the strategy returned, checked."""
        name = self.job.strategy.name
        if result is None:
            raise StrategyError(f"strategy {name} returned None; return the target (or a Signal).")
        signal = result if isinstance(result, Signal) else Signal(result)
        wish = signal_to_wish(signal, self.window.seen, name)
        if wish.inside is None:
            return wish.target
        check_options(wish.inside, self.setup.sizing, self.setup.fill)
        return wish

    def _second_try(self, params: dict[str, Any], error: BaseException) -> NDArray[Any] | Wish | str:
        """Target of a strategy that wrote into an indicator, which a sweep shares, or the message of its error."""
        strategy = self.job.strategy
        if not isinstance(error, ValueError) or "read-only" not in str(error):
            if isinstance(error, QuantlabError):
                return str(error)
            shown = ", ".join(f"{k}={v!r}" for k, v in params.items())
            return f"strategy {strategy.name}({shown}) raised {type(error).__name__}: {error}."
        try:
            with self.memo.paused():
                return self._target(strategy.evaluate(self.window.seen, params))
        except Exception as again:  # noqa: BLE001  # as above
            return str(again)

    def _simulate_wish(
        self, wish: Wish, row: int, out: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
    ) -> float:
        """Simulate one trial with orders inside the bar; return the seconds it took."""
        assert wish.inside is not None  # noqa: S101  # others go into a block
        stats, moments, ruin_bar = out
        changes = self.setup.changes(wish.target, wish.inside)
        levels, terms = orders_to_levels(wish.inside, self.setup.path), self.setup.terms_for(wish.inside)
        with _released(self._turn):
            began = perf_counter()
            run_trial(terms, *changes, self._room, *NOT_KEPT, stats[row], moments[row], levels)
            ruin_bar[row] = self._room.bars[0]["ruin_bar"]
            return perf_counter() - began

    def _for_numbers(self) -> _Block:
        if self._numbers is None:
            width = self._flags.targets.shape[1]
            self._numbers = _Block(n_together(8 * width), width, self.window.simulated.shape, np.float64)
        return self._numbers

    def _simulate(
        self, block: _Block, out: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
    ) -> float:
        """Simulate and empty a block; return the seconds it took."""
        seen = self.window.seen
        if any(getattr(seen, c).flags.writeable for c in ("open", "high", "low", "close", "volume")):
            raise StrategyError(
                f"strategy {self.job.strategy.name} made the bars writeable; a strategy must not change its input. "
                "Work on a copy (x.copy())."
            )
        in_flags = block is self._flags
        with _released(self._turn):
            began = perf_counter()
            run_block(
                self.setup.terms,
                _NO_NUMBERS if in_flags else block.targets,
                block.targets if in_flags else _NO_FLAGS,
                block.rows[: block.n],
                self._room,
                self._found,
                *NOT_KEPT,
                out,
            )
            took = perf_counter() - began
        block.grow()
        return took


@contextmanager
def _released(turn: AbstractContextManager[Any]) -> Iterator[None]:
    """Give up a turn while inside, if there is one."""
    if isinstance(turn, nullcontext):
        yield
        return
    turn.__exit__(None, None, None)
    try:
        yield
    finally:
        turn.__enter__()


_NO_NUMBERS = np.empty((0, 0))
_NO_FLAGS = np.empty((0, 0), np.uint8)


def setup_of(job: Job, window: Window | None = None) -> Setup:
    """Kernel arguments of a job."""
    window = window or Window.of(job.bars, *job.window)
    options = dict(job.options)
    if options.get("sizing") is None:
        options["sizing"] = job.strategy.sizing
    return Setup.of(window.simulated, alive=window.alive, edges=job.edges, **options)
