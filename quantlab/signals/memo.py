"""A memo of indicators: in a sweep the same average of the same prices is wanted by many trials."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from quantlab.bars import Bars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["Memo", "remembered"]

P = ParamSpec("P")
R = TypeVar("R")

SCALARS = frozenset({float, str, bool, type(None)})
"""Types that say with their value all that an argument says (int is looked at first)."""

KEPT = 0.9
"""Part of the allowed bytes that is kept when there are too many."""

_CURRENT: ContextVar[Memo | None] = ContextVar("memo", default=None)


class Memo:
    """Results of indicators of prices that never change, up to a number of bytes.

    Known are the arrays of `bars`, what indicators made of them, and read-only views of either. They are held as long
    as they are known, so that an array made in the place of a freed one is not taken for it. Results that are
    handed out are read-only and cannot be made writeable.

    Parameters
    ----------
    bars : Bars
        Prices whose indicators are remembered.
    max_bytes : int
        Above it results are dropped, spread over all of them: a sweep asks for its indicators in turn, and whoever
        drops the oldest drops just what is asked for next.
    """

    def __init__(self, bars: Bars, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._held: dict[int, tuple[Any, object]] = {id(bars): (bars, object())}
        self._owners: dict[int, object] = {}
        self._results: dict[tuple[Any, ...], Any] = {}
        # The same by function, place in memory of the array and number; the array is held, and so keeps its place.
        self.quick: dict[tuple[Any, int, int], tuple[Any, Any]] = {}
        for column in (bars.open, bars.high, bars.low, bars.close, bars.volume, *bars.fields.values()):
            if not column.flags.writeable:
                self._know(column)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Remember what is computed inside, in this thread."""
        before = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(before)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Compute afresh what is computed inside, for a function that writes into its results."""
        before = _CURRENT.set(None)
        try:
            yield
        finally:
            _CURRENT.reset(before)

    def call(self, function: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Give the result of a function of prices and numbers, remembered where the prices are known.

        Parameters
        ----------
        function : callable
            Whose result depends on its arguments alone, and which writes into none.
        given, named
            Its arguments.
        """
        key = self._key(function, given, named)
        if key is None:
            return function(*given, **named)
        found = self._results.get(key)
        if found is None:
            mine = self._frozen(function(*given, **named))
            found = self._results.setdefault(key, mine)
            if found is not mine:  # another thread was first
                self._forget(mine)
            if self.n_bytes > self.max_bytes:
                self._drop()
        if len(given) == 2 and not named and type(given[1]) is int and id(given[0]) in self._held:
            self.quick[(function, id(given[0]), given[1])] = given[0], found
        return found

    def _key(
        self, function: Callable[..., Any], given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[Any, ...] | None:
        parts: list[Any] = [function]
        for x in given if not named else (*given, *named.values()):
            kind = type(x)
            if kind is int:
                parts.append(x)
            elif kind is np.ndarray or kind is Bars:
                held = self._held.get(id(x))
                token = self._token_of_view(x) if held is None else held[1]
                if token is None:
                    return None
                parts.append(token)
            elif kind in SCALARS:
                parts.extend((kind, x))
            elif isinstance(x, np.generic):
                parts.extend((kind, x.item()))
            else:
                return None
        if named:
            parts.extend(named)
        return tuple(parts)

    def _token_of_view(self, x: Any) -> Any:
        """Give what stands in keys for a read-only view of something known: which memory, and how it is read."""
        base = getattr(x, "base", None)
        token = self._owners.get(id(base)) if base is not None else None
        if token is None or x.flags.writeable:
            return None
        return token, x.__array_interface__["data"][0], x.shape, x.strides, x.dtype.str

    def _know(self, array: NDArray[Any]) -> None:
        token = object()
        self._held[id(array)] = array, token
        owner = array if array.base is None else array.base
        self._owners.setdefault(id(owner), token)

    def _frozen(self, result: Any) -> Any:
        """Make a result read-only for good: a view of an array that is read-only itself cannot be made writeable."""
        if isinstance(result, tuple):
            return type(result)(*(self._frozen(x) for x in result))
        if type(result) is not np.ndarray:
            return result
        if result.base is not None or not result.flags.owndata:
            result = np.array(result)
        result.setflags(write=False)
        view = result.view()
        self._know(view)
        self.n_bytes += view.nbytes
        return view

    def _drop(self) -> None:
        """Drop results spread over all of them until few enough bytes are left."""
        keys = list(self._results)
        step = 7 if len(keys) % 7 else 5
        self.n_bytes = sum(_n_bytes(self._results.get(key)) for key in keys)
        place = 0
        for _ in range(len(keys)):
            if self.n_bytes <= KEPT * self.max_bytes:
                return
            place = (place + step) % len(keys)
            self._forget(self._results.pop(keys[place], None))

    def _forget(self, result: Any) -> None:
        self.quick.clear()
        self.n_bytes -= _n_bytes(result)
        for array in result if isinstance(result, tuple) else (result,):
            self._held.pop(id(array), None)
            self._owners.pop(id(getattr(array, "base", None)), None)


def _n_bytes(result: Any) -> int:
    """Bytes of an array or of a tuple of arrays."""
    if isinstance(result, tuple):
        return sum(_n_bytes(x) for x in result)
    return int(getattr(result, "nbytes", 0))


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of prices and numbers be remembered wherever a `Memo` is active."""

    @wraps(function)
    def call(*given: P.args, **named: P.kwargs) -> R:
        memo = _CURRENT.get()
        if memo is None:
            return function(*given, **named)
        # Prices and a length: what most calls are.
        if len(given) == 2 and not named and type(given[1]) is int:
            found = memo.quick.get((function, id(given[0]), given[1]))
            if found is not None:
                return found[1]  # type: ignore[no-any-return]
        return memo.call(function, given, named)  # type: ignore[no-any-return]

    return call
