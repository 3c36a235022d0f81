"""How prices changed: earlier values, rate of change, relative strength."""

from __future__ import annotations

from typing import Any

from quantlab.kernels.averages import rate_of_change, relative_strength
from quantlab.kernels.columns import shifted
from quantlab.signals.columns import as_columns, as_like, window
from quantlab.signals.memo import remembered

__all__ = ["roc", "rsi", "shift"]


@remembered
def shift(x: Any, n: int = 1) -> Any:
    """Return the value of the n-th bar before, counted in each asset's own bars.

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Numbers; not finite where an asset has no bar. NaN of an indicator's start counts as no bar too.
    n : int
        Bars to look back, not negative: a later value is not known yet.

    Returns
    -------
    same kind as `x`
        float64; NaN for an asset's first n bars and where it has none.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 0, or for input that is not numbers.
    """
    return as_like(shifted(as_columns(x), window(n, "n", 0)), x)


@remembered
def roc(x: Any, n: int = 10) -> Any:
    """Return the change over n bars in percent, as TA-Lib's ROC: ``100 (x / x[n bars before] - 1)``.

    NaN for an asset's first n bars, where it has none, and where the value before is 0 (TA-Lib: 0).
    Parameters and errors as in `rsi`.
    """
    return as_like(rate_of_change(as_columns(x), window(n)), x)


@remembered
def rsi(x: Any, n: int = 14) -> Any:
    """Return Wilder's relative strength index: 100 x mean gain / (mean gain + mean loss).

    Started as in TA-Lib and by Wilder (New Concepts in Technical Trading Systems, 1978): the first means, at
    an asset's bar n (counted from 0), are those of its first n changes; then each change counts 1/n. As in
    TA-Lib it is 0 while there has been no change at all (TA-Lib also calls means below 1e-14 zero; here only
    zero is).

    Parameters
    ----------
    x : array_like, Series or DataFrame of shape (n_bars,) or (n_bars, n_assets)
        Prices; not finite where an asset has no bar.
    n : int
        Length in the asset's own bars, at least 1.

    Returns
    -------
    same kind as `x`
        In 0..100; NaN for an asset's first n bars and where it has none.

    Raises
    ------
    ParameterError
        For a length that is no whole number of at least 1, or for input that is not numbers.
    """
    return as_like(relative_strength(as_columns(x), window(n)), x)
