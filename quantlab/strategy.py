"""The strategy contract: a pure function of bars and parameters, and its grid."""

from __future__ import annotations

import hashlib
import inspect
import itertools
from functools import cached_property, partial, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from quantlab.condition import parse_condition
from quantlab.errors import ParameterError, StrategyError, UnknownNameError
from quantlab.fitting import MODEL, Fitting, fit_model, take_model
from quantlab.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType

    from quantlab.bars import Bars
    from quantlab.sizing import Sizing

__all__ = ["Strategy", "as_strategy", "strategy"]


class Strategy:
    """A signal function with its parameters, default grid and sizing; still callable as the function.

    Parameters
    ----------
    function : callable
        ``function(bars, **parameters)`` with a default for every parameter.
    grid : mapping of str to sequence
        Values of the default sweep; parameters not named keep their default.
    where : str or callable, optional
        Condition on the parameters of a set, such as ``"fast < slow"``.
    sizing : Sizing, optional
        How the idea sizes its positions; a run may override it.
    name : str, optional
        Name in reports; the function's name otherwise.
    fit : callable, optional
        ``fit(bars, params)`` learns from training bars and a complete parameter set and returns a model, which the
        signal function receives as its keyword ``model``. The function needs a parameter ``model=None``, which is
        no parameter of the grid. See `fitted`.

    Attributes
    ----------
    fitting : Fitting or None
        What the model was fitted on; None where there is no model.

    Raises
    ------
    StrategyError
        For a function without `bars`, or with a parameter that has no default; for a fit without ``model=None``.
    UnknownNameError
        For a grid or condition on a parameter that the function does not have.
    ParameterError
        For a grid value of another type than the default.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        grid: Mapping[str, Sequence[Any]] | None = None,
        where: str | Callable[..., bool] | None = None,
        sizing: Sizing | None = None,
        name: str | None = None,
        fit: Callable[[Bars, dict[str, Any]], Any] | None = None,
    ) -> None:
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", "strategy"))
        self.sizing = sizing
        self.defaults = _defaults(function, self.name)
        self.fit = fit
        self.fitting: Fitting | None = None
        if fit is not None:
            take_model(self.defaults, fit, self.name)
        self.where = where
        self.grid = {k: tuple(v) for k, v in (grid or {}).items()}
        for key, values in self.grid.items():
            for value in values:
                self.check_value(key, value)
        self._condition = parse_condition(where, self.defaults)
        self.__doc__ = function.__doc__
        self.__name__ = self.name
        self.__module__ = function.__module__

    def __call__(self, bars: Bars, **params: Any) -> Any:
        """Call the signal function as it is."""
        return self.function(bars, **params)

    def __getstate__(self) -> dict[str, Any]:
        # A function that was sent to another process has no file there to read its source from.
        return {**self.__dict__, "source": self.source}

    def __repr__(self) -> str:
        params = ", ".join(f"{k}={v!r}" for k, v in self.defaults.items())
        return f"Strategy({self.name}: {params})"

    @property
    def unfitted(self) -> bool:
        """Whether a model is needed that is not there."""
        return self.fit is not None and self.fitting is None

    def require_model(self) -> None:
        """Refuse to go on without the model that the strategy needs.

        Raises
        ------
        StrategyError
            For a strategy with a fit that was not fitted.
        """
        if self.unfitted:
            raise StrategyError(
                f"strategy {self.name} is fitted, and to fit it on the bars that are traded would look ahead; use "
                f"ql.walk_forward({self.name}, bars), or {self.name}.fitted(training_bars) for one model."
            )

    def fitted(self, bars: Bars, params: Mapping[str, Any] | None = None) -> Strategy:
        """Fit on training bars and return the strategy with that model: a plain one from then on.

        Its defaults are the parameters it was fitted with, and it has no default grid: another parameter set would
        run with a model that was not fitted for it. Its source names the fit, and so does every fingerprint.

        Parameters
        ----------
        bars : Bars
            Training bars. The fit gets a copy, so that nothing around them can be reached.
        params : mapping, optional
            Parameters that differ from the defaults.

        Raises
        ------
        StrategyError
            If the strategy has no fit, or its fit raises (the cause is chained) or returns None.
        """
        if self.fit is None:
            raise StrategyError(f"strategy {self.name} has no fit; make it with @ql.strategy(fit=function).")
        complete = self.params(params)
        model = fit_model(self.fit, bars, complete, self.name)
        # As a parameter of the function, the model goes wherever the function goes, also to another process.
        function = update_wrapper(partial(self.function, **{MODEL: model}), self.function)
        bound = Strategy(function, where=self.where, sizing=self.sizing, name=self.name, fit=self.fit)
        span, by = (int(bars.time[0]), int(bars.time[-1])), _digest(_source_of(self.fit))
        bound.fitting = Fitting(bars.content_hash, bars.n_bars, *span, complete, by)
        bound.defaults = complete
        return bound

    def check_value(self, name: str, value: Any) -> Any:
        """Value of parameter `name`, as the type of its default (an int may stand for a float).

        Raises
        ------
        UnknownNameError, ParameterError
            For a parameter that does not exist; for a value of another type.
        """
        if name not in self.defaults:
            raise UnknownNameError(
                "parameter", name, self.defaults, f"These are the parameters of {self.name}."
            )
        default = self.defaults[name]
        if isinstance(value, np.generic):
            value = value.item()
        wanted = type(default)
        if default is None or type(value) is wanted:
            return value
        if wanted is float and type(value) is int:
            return float(value)
        raise ParameterError(
            f"parameter {name!r} of {self.name} got {value!r} ({type(value).__name__}); its default {default!r} "
            f"says that {wanted.__name__} is needed."
        )

    def params(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Complete parameter set: the defaults, with `given` checked and laid over them."""
        return {**self.defaults, **{k: self.check_value(k, v) for k, v in (given or {}).items()}}

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Whether `where` holds for a complete parameter set."""
        return self._condition(params)

    def parameter_sets(
        self, grid: Mapping[str, Sequence[Any]] | None = None, where: str | Callable[..., bool] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every complete parameter set of a grid (the default one, if none is given) that `where` allows."""
        grid = self.grid if grid is None else grid
        where = self.where if where is None else where
        condition = parse_condition(where, self.defaults)
        names = list(grid)
        values = [[self.check_value(n, v) for v in grid[n]] for n in names]
        for combination in itertools.product(*values):
            params = {**self.defaults, **dict(zip(names, combination, strict=True))}
            if condition(params):
                yield params

    @cached_property
    def source(self) -> str:
        """Source text that defines the strategy: its whole file, or the function where it has no file.

        With a model, a comment at its end says what that was fitted on.
        """
        text = _source_of(self.function)
        return text if self.fitting is None else f"{text}\n# fitted: {self.fitting}\n"

    @cached_property
    def source_hash(self) -> str:
        """Hash of `source` (32 hex digits)."""
        return _digest(self.source)

    def evaluate(self, bars: Bars, params: Mapping[str, Any] | None = None) -> Signal:
        """Call the function on `bars` and return its result as a `Signal`.

        Raises
        ------
        StrategyError
            If the function raises (the cause is chained), or tries to write into the bars; if a model is needed.
        """
        self.require_model()
        complete = self.params(params)
        try:
            result = self.function(bars, **complete)
        except Exception as error:
            shown = ", ".join(f"{k}={v!r}" for k, v in complete.items())
            advice = ""
            if isinstance(error, ValueError) and "read-only" in str(error):
                advice = (
                    " Bars are read-only: a strategy must not change its input; work on a copy (x.copy())."
                )
            raise StrategyError(
                f"strategy {self.name}({shown}) raised {type(error).__name__}: {error}.{advice}"
            ) from error
        if any(getattr(bars, c).flags.writeable for c in ("open", "high", "low", "close", "volume")):
            raise StrategyError(
                f"strategy {self.name} made the bars writeable; a strategy must not change its input. "
                "Work on a copy (x.copy())."
            )
        if result is None:
            raise StrategyError(f"strategy {self.name} returned None; return the target (or a Signal).")
        return result if isinstance(result, Signal) else Signal(result)


@overload
def strategy(function: Callable[..., Any], /) -> Strategy: ...
@overload
def strategy(
    *,
    where: str | Callable[..., bool] | None = None,
    sizing: Sizing | None = None,
    name: str | None = None,
    fit: Callable[[Bars, dict[str, Any]], Any] | None = None,
    **grid: Sequence[Any],
) -> Callable[[Callable[..., Any]], Strategy]: ...


def strategy(
    function: Callable[..., Any] | None = None,
    /,
    *,
    where: str | Callable[..., bool] | None = None,
    sizing: Sizing | None = None,
    name: str | None = None,
    fit: Callable[[Bars, dict[str, Any]], Any] | None = None,
    **grid: Sequence[Any],
) -> Strategy | Callable[[Callable[..., Any]], Strategy]:
    """Make a signal function a strategy; keywords that are not options are its default grid.

    Parameters
    ----------
    where, sizing, name, fit
        As in `Strategy`.
    **grid : sequences
        Values of each parameter in the default sweep.

    Examples
    --------
    >>> from quantlab.strategy import strategy
    >>> @strategy(days=range(5, 30, 5))
    ... def above_mean(bars, days=20):
    ...     return bars.close > bars.close.mean()
    >>> above_mean.grid["days"]
    (5, 10, 15, 20, 25)
    """
    if function is not None:
        return Strategy(function)

    def decorate(function: Callable[..., Any]) -> Strategy:
        return Strategy(function, grid=grid, where=where, sizing=sizing, name=name, fit=fit)

    return decorate


def as_strategy(given: Any) -> Strategy:
    """Strategy of a strategy or of a plain function.

    Raises
    ------
    StrategyError
        For anything else.
    """
    if isinstance(given, Strategy):
        return given
    if callable(given):
        return Strategy(given)
    raise StrategyError(
        f"a strategy, a function of bars or a target array is needed, not {type(given).__name__}."
    )


def _defaults(function: Callable[..., Any], name: str) -> dict[str, Any]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise StrategyError(f"{name}() takes no argument; its first argument must be the bars.")
    defaults: dict[str, Any] = {}
    for parameter in parameters[1:]:
        if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            raise StrategyError(
                f"{name} takes *{parameter.name}; every parameter needs a name and a default."
            )
        if parameter.default is parameter.empty:
            raise StrategyError(f"parameter {parameter.name!r} of {name} has no default; give it one.")
        defaults[parameter.name] = parameter.default
    return defaults


def _source_of(function: Callable[..., Any]) -> str:
    """Text of the file of a function, or of the function where it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    if path is not None and path.is_file():
        return path.read_text(encoding="utf-8")
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return "" if code is None else _code_text(code)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _code_text(code: CodeType) -> str:
    """Text of a compiled function that has no source: the same code gives the same text in every process."""
    constants = [
        _code_text(c)
        if isinstance(c, type(code))
        else repr(sorted(c, key=repr) if isinstance(c, frozenset) else c)
        for c in code.co_consts
    ]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"
