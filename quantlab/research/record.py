"""The recording faces: what a user calls, and what enters it in the ledger of the project around it."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from functools import lru_cache, partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec
from weakref import WeakKeyDictionary

import numpy as np

from quantlab.engine import backtest as engine
from quantlab.engine.result import Result, digest
from quantlab.research.attempts import Data, Entry, Moments
from quantlab.research.ledger import ledger_at, tell
from quantlab.research.project import find_project
from quantlab.signal import Signal
from quantlab.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from quantlab.bars import Bars
    from quantlab.research.ledger import Ledger
    from quantlab.research.project import Project
    from quantlab.research.sweep_result import SweepResult

__all__ = ["Recorder", "backtest", "find_ledger", "record_sweep"]

POSITIONAL = ("strategy", "bars", "params")
"""What `backtest` takes by position; everything else is an option."""

REMEMBERED = 256
"""Sets of options, and functions, whose hash is remembered."""

SAID = 300
"""Longest text of the parameters, in characters."""

SYMBOLS = 8
"""Symbols that are named; of more, their number is."""

_P = ParamSpec("_P")
_ENCODER = json.JSONEncoder(sort_keys=True, default=str)


class Recorder:
    """Makes entries and gives them to a ledger, in microseconds.

    Parameters
    ----------
    ledger : Ledger
        Where they go.

    Notes
    -----
    A backtest of some thousand bars takes as long as describing its costs does, so what repeats from one backtest to
    the next is hashed once: options by the objects given, the source by the function's code, and bars by themselves.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        # With each hash goes the object whose id is in the key, so that the id cannot become another's.
        self._options: dict[Any, tuple[Any, str]] = {}
        self._sources: dict[int, tuple[Any, str]] = {}
        self._data: WeakKeyDictionary[Bars, Data] = WeakKeyDictionary()

    def enter(self, given: Any, bars: Bars, options: Mapping[str, Any], result: Result) -> None:
        """Enter a backtest: `given` is the strategy as it was passed, `options` the keywords."""
        params = result.params
        draft = partial(
            Entry,
            kind="backtest",
            strategy=result.name,
            source=self._source_hash(given, result),
            settings=_with_window(self._options_hash(options, result), *result.window),
            parameters=_params_hash(params),
            said=_shortened(", ".join(f"{k}={v!r}" for k, v in params.items())),
            n_bars=result.bars.n_bars,
            bars_per_year=result.bars_per_year,
            n_trials=1,
            moments=Moments.of_one(float(result.stats["sharpe"]) / math.sqrt(result.bars_per_year)),
            at_ns=time.time_ns(),
        )
        self.ledger.defer(lambda: draft(data=self.data_of(bars)))

    def data_of(self, bars: Bars) -> Data:
        """Describe bars as an entry does; their hash takes a second a gigabyte, once."""
        found = self._data.get(bars)
        if found is None:
            index, symbols = bars.index, bars.symbols
            named = ", ".join(symbols[:SYMBOLS]) + (f", … ({len(symbols)})" if len(symbols) > SYMBOLS else "")
            first, last = ("", "") if bars.n_bars == 0 else (_label(bars, index[0]), _label(bars, index[-1]))
            found = self._data[bars] = Data(bars.content_hash, named, bars.bar_size, first, last)
        return found

    def _source_hash(self, given: Any, result: Result) -> str:
        if result.strategy is None:
            if isinstance(given, Signal) and given.orders_inside_bar:
                return str(result.fingerprint["strategy"])
            target = given.target if isinstance(given, Signal) else given
            array = np.ascontiguousarray(target)
            return hashlib.blake2b(f"{array.shape}".encode() + array.tobytes(), digest_size=16).hexdigest()
        code = None if isinstance(given, Strategy) else getattr(given, "__code__", None)
        if code is None:
            return result.strategy.source_hash
        if id(code) not in self._sources:
            _make_room(self._sources)
            self._sources[id(code)] = code, result.strategy.source_hash
        return self._sources[id(code)][1]

    def _options_hash(self, options: Mapping[str, Any], result: Result) -> str:
        """Hash of the settings without the window, which often differs from one backtest to the next."""
        costs, benchmark = options.get("costs"), options.get("benchmark")
        foreign = benchmark is not None and not isinstance(benchmark, str)
        if foreign or options.get("detail") is not None:
            return _settings_hash(result.settings)  # an array may be another the next time, in the same place
        rest = tuple((k, v) for k, v in options.items() if k not in {"costs", "start", "end", "strict"})
        sizing = None if result.strategy is None else result.strategy.sizing
        key = rest, id(costs), sizing, result.bars.symbols
        found = self._options.get(key)
        if found is None:
            _make_room(self._options)
            found = self._options[key] = costs, _settings_hash(result.settings)
        return found[1]


def _make_room(memo: dict[Any, Any]) -> None:
    if len(memo) >= REMEMBERED:
        memo.clear()


def _params_hash(params: Mapping[str, Any]) -> str:
    """Give what `digest` gives, with an encoder that is made once."""
    return hashlib.blake2b(_ENCODER.encode(params).encode(), digest_size=16).hexdigest()


def _settings_hash(settings: Mapping[str, Any]) -> str:
    return digest({k: v for k, v in settings.items() if k not in {"start", "end"}})


def _with_window(settings: str, start: str | None, end: str | None) -> str:
    return settings if start is None and end is None else digest([settings, start, end])


def _shortened(text: str) -> str:
    return text if len(text) <= SAID else f"{text[: SAID - 2]} …"


def _label(bars: Bars, time: Any) -> str:
    return str(time)[: 16 if bars.intraday else 10]


# -- where it is entered -------------------------------------------------------------------------------


@lru_cache(REMEMBERED)
def _recorder(project: Project) -> Recorder:
    return Recorder(ledger_at(project.ledger_path))


def _find_recorder() -> Recorder | None:
    project = find_project()
    return _recorder(project) if project is not None and project.record else None


def find_ledger() -> Ledger | None:
    """Ledger of the project that the working folder lies in; None outside a project.

    It is there also where ``record = false`` stops new entries: what was tried stays tried.

    Raises
    ------
    ParameterError, UnknownNameError
        For a ``quantlab.toml`` that cannot be used.
    """
    project = find_project()
    return None if project is None else ledger_at(project.ledger_path)


# -- the faces -----------------------------------------------------------------------------------------


def _recording(run: Callable[_P, Result]) -> Callable[_P, Result]:
    @wraps(run, assigned=[n for n in functools.WRAPPER_ASSIGNMENTS if n != "__module__"])
    def recorded(*args: _P.args, **options: _P.kwargs) -> Result:
        result = run(*args, **options)
        try:
            recorder = _find_recorder()
            if recorder is not None:
                given: dict[str, Any] = {**dict(zip(POSITIONAL, args, strict=False)), **options}
                strategy, bars, _ = (given.pop(name, None) for name in POSITIONAL)
                recorder.enter(strategy, bars, given, result)
                result.count_trials = partial(_trials_on_bars, recorder.ledger.path)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with a record, the result stands
            tell(f"this backtest is not entered in the ledger: {error}")
        return result

    return recorded


def _trials_on_bars(path: Path, result: Result) -> int | None:
    """Trials of a result's strategy on its bars by the ledger at a path; None where that cannot be read.

    A function of a path, not of a ledger: a result goes to other processes, and an open ledger does not.
    """
    try:
        return ledger_at(path).tried(result.name, data=result.fingerprint["data"]).n_trials
    except Exception as error:  # noqa: BLE001  # whatever is wrong with the ledger, the result stands
        tell(f"the trials of {result.name} are not counted: {error}")
        return None


backtest = _recording(engine.backtest)
"""`quantlab.engine.backtest.backtest`, which is also entered in the ledger when run inside a project."""


def record_sweep(result: SweepResult, kind: str = "sweep") -> None:
    """Enter what a sweep tried in the ledger of the project around it, at once; outside a project, do nothing.

    Parameters
    ----------
    result : SweepResult
        Complete or not. Trials that raised, or were not reached, are not counted.
    kind : str
        One of `quantlab.research.attempts.KINDS`.

    Notes
    -----
    Never raises: a ledger that cannot be written gives a `LedgerWarning`. A sweep that goes on where it was
    interrupted has the same trials, and so renews its entry.
    """
    try:
        recorder = _find_recorder()
        if recorder is not None:
            recorder.ledger.append(_entry_of_sweep(recorder, result, kind))
    except Exception as error:  # noqa: BLE001  # hours of trials must not be lost over their record
        tell(f"this {kind} is not entered in the ledger: {error}")


def _entry_of_sweep(recorder: Recorder, result: SweepResult, kind: str) -> Entry:
    table, trials, settings = result.table, result.trials, result.settings
    ran = table["final_equity"].notna()
    if "pruned_at" in table.columns:  # stopped early, but looked at
        ran |= table["pruned_at"].notna()
    numbers = zip(trials.names, trials.values, strict=True)
    said = ", ".join(f"{n}={v[0]!r}" if len(v) == 1 else f"{n}: {len(v)} values" for n, v in numbers)
    window = (settings.get("start"), settings.get("end"))
    return Entry(
        kind=kind,
        strategy=result.strategy.name,
        source=result.strategy.source_hash,
        settings=_with_window(_settings_hash(settings), *window),
        parameters=trials.digest,
        said=_shortened(said),
        data=recorder.data_of(result.bars),
        n_bars=int(result.n_bars),
        bars_per_year=float(result.bars_per_year),
        n_trials=int(ran.sum()),
        moments=Moments.of(result.sharpes()),
        at_ns=time.time_ns(),
    )
