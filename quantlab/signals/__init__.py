"""Pure functions of prices: indicators, crossings, ranks and latches; `ta` brings every function of TA-Lib.

Each takes an array of shape (n_bars,) or (n_bars, n_assets), a Series or a frame, and returns the same kind.
An asset's rows without a finite value are no bars of it: indicators run on its own bars (a window is the
last n of *them*) and give NaN where it has none. None looks ahead. A function that works on a moving window
depends on that window alone, to the bit, whatever history came before it.

Names load when first asked for, since compiled kernels and TA-Lib take time to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from quantlab.errors import UnknownNameError

if TYPE_CHECKING:
    from quantlab.signals import ta
    from quantlab.signals.averages import MACD, ema, macd, session_vwap, sma, wma
    from quantlab.signals.dispersion import Bands, atr, bollinger, rolling_std, zscore
    from quantlab.signals.events import crossed_above, crossed_below, from_vectorbt, latch
    from quantlab.signals.extremes import Channel, donchian, rolling_max, rolling_min
    from quantlab.signals.momentum import roc, rsi, shift
    from quantlab.signals.ranking import rank, rolling_rank
    from quantlab.signals.timeframes import Coarse, resample_to

__all__ = [
    "MACD",
    "Bands",
    "Channel",
    "Coarse",
    "atr",
    "bollinger",
    "crossed_above",
    "crossed_below",
    "donchian",
    "ema",
    "from_vectorbt",
    "latch",
    "macd",
    "rank",
    "resample_to",
    "roc",
    "rolling_max",
    "rolling_min",
    "rolling_rank",
    "rolling_std",
    "rsi",
    "session_vwap",
    "shift",
    "sma",
    "ta",
    "wma",
    "zscore",
]

_HOMES = {
    "averages": ("MACD", "ema", "macd", "session_vwap", "sma", "wma"),
    "dispersion": ("Bands", "atr", "bollinger", "rolling_std", "zscore"),
    "events": ("crossed_above", "crossed_below", "from_vectorbt", "latch"),
    "extremes": ("Channel", "donchian", "rolling_max", "rolling_min"),
    "momentum": ("roc", "rsi", "shift"),
    "ranking": ("rank", "rolling_rank"),
    "timeframes": ("Coarse", "resample_to"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "ta":
        return import_module("quantlab.signals.ta")
    if name.startswith("_"):
        raise AttributeError(name)
    if name not in _HOME_OF:
        raise UnknownNameError("signal", name, __all__, "TA-Lib's functions are under quantlab.signals.ta.")
    return getattr(import_module(f"quantlab.signals.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
