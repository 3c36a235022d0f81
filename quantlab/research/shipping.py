"""A job on its way to another process: strategies by value, prices as bytes that are read where they lie.

What is sent is one block of bytes: a table of lengths, a pickle, and beside it the memory of every read-only array, so
that a process that maps the file, or holds the bytes, reads prices without a copy of its own.
"""

from __future__ import annotations

import inspect
import io
import mmap
import pickle
import sys
import sysconfig
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from threading import RLock
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.engine.setup import PARTS
from quantlab.errors import DataError, ParameterError, StrategyError
from quantlab.kernels.stats import STATS
from quantlab.research.space import Trials
from quantlab.research.trial import Chunk, Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["lost_chunk", "read", "read_file", "to_bytes", "write"]

MARK = b"quantlab parcel 1\n".ljust(64)
ALIGNED = 64
"""Bytes on whose multiples pieces begin: what the widest instructions of a processor ask for."""

PLAIN = frozenset({int, float, str, bool, type(None)})

_REGISTERING = RLock()
"""cloudpickle keeps one list of modules for all threads."""


# -- packing -------------------------------------------------------------------------------------------


def to_bytes(what: Any) -> bytes:
    """Pack a `Job` or `Trials` as one block of bytes.

    Parameters
    ----------
    what : object
        Functions go by value, also those of ``__main__``, of a notebook and of files that are no package; modules
        that are installed go by name, and must be installed there too.

    Returns
    -------
    bytes
        For `read`.

    Raises
    ------
    StrategyError
        For a strategy that holds something that cannot be sent, such as an open file: says what.
    ParameterError
        For an option or a parameter value that cannot be sent.
    """
    return b"".join(_pieces(what))


def write(what: Any, path: Path) -> None:
    """Write what `to_bytes` gives to a file, without holding it whole.

    Raises
    ------
    DataError
        If there is no room on the disk.
    StrategyError, ParameterError
        As in `to_bytes`.
    """
    pieces = _pieces(what)
    try:
        with path.open("wb") as file:
            file.writelines(pieces)
    except OSError as error:
        raise DataError(
            f"what the worker processes need cannot be written to {path.parent}: {error.strerror or error}. Name a "
            "folder with room in the variable TMPDIR, or use workers='threads'."
        ) from error


def _pieces(what: Any) -> list[bytes | memoryview]:
    """Everything that is sent, in order."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        main = _pickled(what, buffers)
    except Exception as error:
        raise _refusal(what, error) from error
    parts = [memoryview(main), *(b.raw() for b in buffers)]
    lengths = np.array([len(parts), *(p.nbytes for p in parts)], "<i8")
    found: list[bytes | memoryview] = [MARK]
    for part in (memoryview(lengths.tobytes()), *parts):
        found += [part, bytes(-part.nbytes % ALIGNED)]
    return found


def _pickled(what: Any, beside: list[pickle.PickleBuffer]) -> bytes:
    """Pickle with functions by value; the memory of read-only arrays goes to `beside`."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        """Takes bars apart by itself."""

        def reducer_override(self, given: Any) -> Any:
            return (_bars_again, (_state(given),)) if type(given) is Bars else super().reducer_override(given)

    def stays_inside(buffer: pickle.PickleBuffer) -> bool:
        # Writeable arrays come back writeable: a strategy may write to its own, and kernels are compiled for either.
        inside = not buffer.raw().readonly
        if not inside:
            beside.append(buffer)
        return inside

    file = io.BytesIO()
    with nullcontext() if _is_plain(what) else _own_modules_by_value():
        Pickler(file, protocol=5, buffer_callback=stays_inside).dump(what)
    return file.getvalue()


def _is_plain(what: Any) -> bool:
    """Whether these are trials whose values name no module, as those of every chunk mostly are."""
    return isinstance(what, Trials) and all(
        type(v) in PLAIN for values in (what.defaults.values(), *what.values) for v in values
    )


def _state(bars: Bars) -> dict[str, Any]:
    """Everything that bars are made of; what follows from it is made anew."""
    state = {f.name: getattr(bars, f.name) for f in fields(bars)}
    for name in ("factor", "member"):
        if state[name].strides == (0, 0):
            state[name] = None
    return state | {"fields": dict(bars.fields), "meta": dict(bars.meta)}


# -- whose modules are sent ----------------------------------------------------------------------------


@contextmanager
def _own_modules_by_value() -> Iterator[None]:
    """Let the user's own modules, which another machine does not have, be pickled by value."""
    import cloudpickle
    from numba import cloudpickle as numbas  # compiled functions are pickled by numba's copy

    with _REGISTERING, ExitStack() as stack:
        for module in _own_modules():
            for kind in (cloudpickle, numbas):
                if module.__name__ not in kind.list_registry_pickle_by_value():
                    kind.register_pickle_by_value(module)
                    stack.callback(kind.unregister_pickle_by_value, module)
        yield


def _own_modules() -> list[ModuleType]:
    """Modules from Python files that are neither installed, nor Python's, nor ours."""
    paths = sysconfig.get_paths()
    not_own = tuple({paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
    found = []
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or name.partition(".")[0] in {
            "quantlab",
            "__main__",
            "__mp_main__",
        }:
            continue
        held = object.__getattribute__(
            module, "__dict__"
        )  # does not wake a module that is loaded when it is used
        file = held.get("__file__")
        if not isinstance(file, str) or not file.endswith(".py") or held.get("__name__") != name:
            continue
        if not (file.startswith(not_own) or "site-packages" in file or "dist-packages" in file):
            found.append(module)
    return found


# -- what cannot be sent -------------------------------------------------------------------------------


def _refusal(what: Any, error: Exception) -> StrategyError | ParameterError:
    """Error that names what cannot be pickled."""
    if not isinstance(what, Job):
        return ParameterError(
            f"a parameter value cannot be sent to another process ({error}); use numbers, texts or functions, or "
            "workers='threads'."
        )
    for name, value in what.options.items():
        if (reason := _reason(value)) is not None:
            return ParameterError(
                f"{name} cannot be sent to another process ({reason}); use what is made of numbers, or "
                "workers='threads'."
            )
    culprit = next(
        (f"{name} ({reason})" for name, value in _held(what) if (reason := _reason(value)) is not None),
        str(error),
    )
    return StrategyError(
        f"strategy {what.strategy.name} cannot be sent to another process: {culprit}. Make it inside the function, or "
        "use workers='threads'."
    )


def _reason(value: Any) -> str | None:
    """Why a value cannot be pickled, or None."""
    try:
        _pickled(value, [])
    except Exception as error:  # noqa: BLE001  # whatever a user's object raises is the reason
        return f"{type(error).__name__}: {error}"
    return None


def _held(job: Job) -> Iterator[tuple[str, Any]]:
    """Everything that a strategy holds, one by one, with its name."""
    strategy = job.strategy
    yield from ((f"default of {k}", v) for k, v in strategy.defaults.items())
    for function in (strategy.function, strategy.fit, strategy.where):
        if isinstance(function, partial):
            yield from ((str(k), v) for k, v in function.keywords.items())
        inner = inspect.unwrap(function) if callable(function) else None
        if not inspect.isfunction(inner):
            continue
        names = inspect.getclosurevars(inner)
        yield from ((f"variable {k}", v) for k, v in {**names.globals, **names.nonlocals}.items())
    yield from ((f"bars.meta[{k!r}]", v) for k, v in job.bars.meta.items())
    yield from ((f"bars.fields[{k!r}]", v) for k, v in job.bars.fields.items())


# -- unpacking -----------------------------------------------------------------------------------------


def read(block: Any) -> Any:
    """Unpack what `to_bytes` packed; what was read-only lies in the block, which it keeps alive.

    Parameters
    ----------
    block : bytes-like
        Read where it lies; what is writeable is not written to.

    Raises
    ------
    DataError
        For bytes that are not such a block.
    """
    view = memoryview(block).toreadonly().cast("B")
    if view[: len(MARK)] != MARK:
        raise DataError("these bytes are no parcel of quantlab; both sides need the same version.")
    place = len(MARK)
    n = int(np.frombuffer(view, "<i8", 1, place)[0])
    lengths = np.frombuffer(view, "<i8", n + 1, place)[1:].tolist()
    place += 8 * (n + 1)
    parts = []
    for length in lengths:
        place += -place % ALIGNED
        parts.append(view[place : place + length])
        place += length
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301  # written by the process that started this one


def read_file(path: Path) -> Any:
    """Unpack a file of `write`; the file is mapped, so that processes share its pages."""
    with path.open("rb") as file:
        return read(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _bars_again(state: dict[str, Any]) -> Bars:
    """Bars of checked columns, without a second check, which would read all of them in every process."""
    shape = state["close"].shape
    given = dict(state)
    for name, kind in (("factor", float), ("member", bool)):
        if given[name] is None:
            given[name] = np.broadcast_to(np.ones((1, 1), kind), shape)
    for column in (*given.values(), *given["fields"].values()):
        if isinstance(column, np.ndarray):
            column.setflags(write=False)
    bars = Bars.__new__(Bars)
    vars(bars).update(given | {name: MappingProxyType(given[name]) for name in ("fields", "meta")})
    return bars


# -- what is lost --------------------------------------------------------------------------------------


def lost_chunk(job: Job, start: int, stop: int, why: str) -> Chunk:
    """Rows of trials that no worker lived to finish.

    Parameters
    ----------
    job : Job
        Whose trials they are.
    start, stop : int
        Number of the first trial, and that after the last.
    why : str
        What happened, a sentence; it becomes the error of each row.
    """
    n, n_parts = stop - start, PARTS if job.edges is None else len(job.edges) - 1
    return Chunk(
        start,
        np.full((n, len(STATS)), np.nan),
        np.full((n, n_parts, 2), np.nan),
        np.full(n, -1, np.int64),
        dict.fromkeys(range(start, stop), why),
        (0.0, 0.0),
    )
