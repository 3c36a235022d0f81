"""A model that a strategy learns from training bars, and the record of what it learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import StrategyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.bars import Bars

__all__ = ["MODEL", "Fitting", "fit_model", "take_model"]

MODEL = "model"
"""Parameter of the signal function that receives what the fit returned."""


@dataclass(frozen=True)
class Fitting:
    """What a model was fitted on.

    Parameters
    ----------
    data : str
        Content hash of the training bars.
    n_bars : int
        How many they were.
    first_ns, last_ns : int
        Closes of the first and the last of them, ns UTC.
    params : dict
        The complete parameter set.
    fit : str
        Hash of the source of the fit function.
    """

    data: str
    n_bars: int
    first_ns: int
    last_ns: int
    params: dict[str, Any]
    fit: str

    def __str__(self) -> str:
        span = " to ".join(str(np.datetime64(ns, "ns"))[:19] for ns in (self.first_ns, self.last_ns))
        params = ", ".join(f"{k}={v!r}" for k, v in sorted(self.params.items()))
        return f"{self.n_bars} bars {self.data}, {span} UTC, with {params or 'no parameter'}, by {self.fit}"


def take_model(defaults: dict[str, Any], fit: Any, name: str) -> None:
    """Take the model out of the parameters of a fitted strategy.

    Raises
    ------
    StrategyError
        If the fit is no function, or there is no ``model=None`` to receive what it returns.
    """
    if not callable(fit):
        raise StrategyError(f"fit of {name} is {fit!r}; a function of (bars, params) is needed.")
    if defaults.get(MODEL, ...) is not None:
        raise StrategyError(
            f"strategy {name} has a fit, but nothing that receives its model; write def {name}(bars, ..., model=None)."
        )
    del defaults[MODEL]


def fit_model(
    fit: Callable[[Bars, dict[str, Any]], Any], bars: Bars, params: dict[str, Any], name: str
) -> Any:
    """Model that `fit` makes of a copy of `bars` and of `params`.

    Raises
    ------
    StrategyError
        If the fit raises (the cause is chained) or returns None.
    """
    # Rows by number are a copy; a slice would be a view, whose base is the array of all bars.
    alone = bars.take(np.arange(bars.n_bars))
    shown = ", ".join(f"{k}={v!r}" for k, v in params.items())
    try:
        model = fit(alone, dict(params))
    except Exception as error:
        raise StrategyError(
            f"the fit of {name}({shown}) raised {type(error).__name__} on {bars!r}: {error}"
        ) from error
    if model is None:
        raise StrategyError(f"the fit of {name}({shown}) returned None; return the model.")
    return model
