"""Every function of TA-Lib over (n_bars, n_assets), on each asset's own bars.

``ta.RSI(bars.close, timeperiod=14)``, ``ta.STOCH(bars.high, bars.low, bars.close)``, ``ta.ADX(bars, 14)``:
names, parameters, their defaults and the order of inputs and outputs are TA-Lib's. Inputs may be arrays,
Series or frames, and the results are of the same kind; with bars as the only input, the columns that TA-Lib
names are taken from them. A row where one of the inputs is not finite is no bar of that asset: it is left out
before TA-Lib sees the prices, and NaN comes back there.

All results are float64. Whole-number results (candlestick patterns, for instance) are NaN for the bars that
TA-Lib looks back over, where it returns 0 itself; positions (MAXINDEX and its like) count rows of the array
given, not of the bars that are left.
"""

from __future__ import annotations

from collections import namedtuple
from functools import cache, cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.bars import Bars
from quantlab.errors import ParameterError, UnknownNameError
from quantlab.signals.columns import as_columns, as_like, broadcast
from quantlab.signals.memo import remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

POSITIONS = ("MAXINDEX", "MININDEX", "MINMAXINDEX")
"""Functions whose results are positions in their input."""


class Function:
    """One function of TA-Lib, made by ``ta.<NAME>``.

    Attributes
    ----------
    inputs : tuple of str
        What it takes first, in order; those that are columns of bars are read from bars.
    parameters : mapping of str to number
        Its parameters, in order, with their defaults.
    outputs : tuple of str
        What it returns; more than one come as a named tuple.
    """

    def __init__(self, name: str) -> None:
        import talib
        from talib import abstract

        info = abstract.Function(name).info  # type: ignore[attr-defined]
        given = (v if isinstance(v, list) else [v] for v in info["input_names"].values())
        self.__name__ = self.__qualname__ = name
        self.inputs: tuple[str, ...] = tuple(chain.from_iterable(given))
        self.parameters: Mapping[str, float] = dict(info["parameters"])
        self.outputs: tuple[str, ...] = tuple(info["output_names"])
        self.function: Callable[..., Any] = getattr(talib, name)
        self.__doc__ = self.function.__doc__
        self._bundle = namedtuple(name, self.outputs) if len(self.outputs) > 1 else None  # noqa: PYI024

    def __repr__(self) -> str:
        parameters = "".join(f", {k}={v}" for k, v in self.parameters.items())
        return f"ta.{self.__name__}({', '.join(self.inputs)}{parameters})"

    def __call__(self, *given: Any, **params: Any) -> Any:
        """Compute over every asset.

        Parameters
        ----------
        *given : Bars, or array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
            The inputs, then parameters by position if wanted.
        **params : int or float
            Parameters by TA-Lib's names.

        Returns
        -------
        same kind as the inputs, or a named tuple of them
            float64; NaN where the asset has no bar, and during TA-Lib's look-back.

        Raises
        ------
        UnknownNameError
            For a parameter that the function does not have.
        ParameterError
            For a value that TA-Lib refuses, a missing input, or inputs of different shapes.
        """
        return self._remembered(*given, **params)

    def _fresh(self, *given: Any, **params: Any) -> Any:
        """Compute what `__call__` gives."""
        prices, rest = self._split(given)
        chosen = self._chosen(rest, params)
        columns = broadcast(*((n, as_columns(p, n)) for n, p in zip(self.inputs, prices, strict=True)))
        n_bars, n_assets = columns[0].shape
        results = np.full((len(self.outputs), n_bars, n_assets), np.nan)
        for i in range(n_assets):
            rows = np.flatnonzero(np.isfinite([c[:, i] for c in columns]).all(axis=0))
            if rows.size:
                own = [np.ascontiguousarray(c[rows, i]) for c in columns]
                for k, values in enumerate(self._compute(own, chosen, rows)):
                    results[k, rows, i] = values
        shaped = [as_like(result, *prices) for result in results]
        return self._bundle(*shaped) if self._bundle else shaped[0]

    @cached_property
    def _remembered(self) -> Callable[..., Any]:
        return remembered(self._fresh)

    def _split(self, given: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Split what was given into inputs and parameters by position."""
        if given and isinstance(given[0], Bars):
            bars = given[0]
            absent = [name for name in self.inputs if not hasattr(bars, name)]
            if absent:
                raise ParameterError(
                    f"{self!r} needs {', '.join(absent)}, which bars do not have; give the inputs as arrays."
                )
            return tuple(getattr(bars, name) for name in self.inputs), given[1:]
        n_inputs = len(self.inputs)
        if len(given) < n_inputs:
            raise ParameterError(
                f"{self!r} got {len(given)} of its {n_inputs} inputs ({', '.join(self.inputs)}); give them "
                "all as arrays of one shape, or give bars."
            )
        return given[:n_inputs], given[n_inputs:]

    def _chosen(self, rest: tuple[Any, ...], params: Mapping[str, Any]) -> dict[str, float]:
        """Complete parameters, checked for names and types."""
        if len(rest) > len(self.parameters):
            raise ParameterError(
                f"{self!r} got {len(rest)} parameters by position; it has {len(self.parameters)}."
            )
        named = dict(zip(self.parameters, rest, strict=False))
        for name in params:
            if name not in self.parameters:
                raise UnknownNameError("parameter", name, self.parameters, f"Call it as {self!r}.")
            if name in named:
                raise ParameterError(f"{self!r} got {name} twice, by position and by name.")
        chosen = {**self.parameters, **named, **params}
        for name, value in chosen.items():
            whole = isinstance(self.parameters[name], int)
            allowed = (int, np.integer) if whole else (int, float, np.integer, np.floating)
            if isinstance(value, (bool, np.bool_)) or not isinstance(value, allowed):
                raise ParameterError(
                    f"{self!r} got {name}={value!r}; {'a whole number' if whole else 'a number'} is needed."
                )
            chosen[name] = int(value) if whole else float(value)
        return chosen

    def _compute(
        self, own: list[NDArray[np.float64]], chosen: Mapping[str, float], rows: NDArray[np.int64]
    ) -> list[NDArray[np.float64]]:
        """Compute the outputs over one asset's own bars."""
        try:
            raw = self.function(*own, **chosen)
        except Exception as error:  # TA-Lib raises no narrower class
            raise ParameterError(f"{self!r} was refused by TA-Lib with {dict(chosen)}: {error}") from error
        outputs = []
        for values in raw if isinstance(raw, tuple) else (raw,):
            if values.dtype.kind == "i":
                numbers = (rows[values] if self.__name__ in POSITIONS else values).astype(np.float64)
                numbers[: self._lookback(chosen)] = np.nan
                outputs.append(numbers)
            else:
                outputs.append(values)
        return outputs

    def _lookback(self, chosen: Mapping[str, float]) -> int:
        from talib import abstract

        return int(abstract.Function(self.__name__, **chosen).lookback)  # type: ignore[attr-defined]


@cache
def _names() -> tuple[str, ...]:
    import talib

    return tuple(sorted(talib.get_functions()))


@cache
def _function(name: str) -> Function:
    if name not in _names():
        raise UnknownNameError("TA-Lib function", name, _names())
    return Function(name)


def __getattr__(name: str) -> Function:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _function(name)


def __dir__() -> list[str]:
    return list(_names())
