"""quantlab: a vectorized backtester whose signals run, unchanged, on Interactive Brokers.

Public names load when first asked for, so that ``import quantlab`` costs nothing and ``quantlab --help``
answers at once.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from quantlab import errors, signals
    from quantlab.bars import Bars
    from quantlab.costs import Costs
    from quantlab.data.catalog import Catalog
    from quantlab.data.sample import sample
    from quantlab.engine.result import Result
    from quantlab.levels import AtrMultiple, Distance, Ladder
    from quantlab.model import Instrument
    from quantlab.research import overfitting
    from quantlab.research.causality import check
    from quantlab.research.distributions import Choice, Integers, Uniform
    from quantlab.research.null_worlds import null_worlds
    from quantlab.research.record import backtest
    from quantlab.research.recorded_sweep import sweep
    from quantlab.research.search import search
    from quantlab.research.sweep_result import SweepResult
    from quantlab.research.walkforward import walk_forward
    from quantlab.signal import Signal
    from quantlab.sizing import Account, Sizing
    from quantlab.strategy import Strategy, strategy

    __version__: str

__all__ = [
    "Account",
    "AtrMultiple",
    "Bars",
    "Catalog",
    "Choice",
    "Costs",
    "Distance",
    "Instrument",
    "Integers",
    "Ladder",
    "Result",
    "Signal",
    "Sizing",
    "Strategy",
    "SweepResult",
    "Uniform",
    "__version__",
    "backtest",
    "check",
    "errors",
    "null_worlds",
    "overfitting",
    "sample",
    "search",
    "signals",
    "strategy",
    "sweep",
    "walk_forward",
]

_HOME = {
    "Account": "quantlab.sizing",
    "AtrMultiple": "quantlab.levels",
    "Bars": "quantlab.bars",
    "Catalog": "quantlab.data.catalog",
    "Choice": "quantlab.research.distributions",
    "Costs": "quantlab.costs",
    "Distance": "quantlab.levels",
    "Instrument": "quantlab.model",
    "Integers": "quantlab.research.distributions",
    "Ladder": "quantlab.levels",
    "Result": "quantlab.engine.result",
    "Signal": "quantlab.signal",
    "Sizing": "quantlab.sizing",
    "Strategy": "quantlab.strategy",
    "SweepResult": "quantlab.research.sweep_result",
    "Uniform": "quantlab.research.distributions",
    "backtest": "quantlab.research.record",
    "check": "quantlab.research.causality",
    "null_worlds": "quantlab.research.null_worlds",
    "sample": "quantlab.data.sample",
    "search": "quantlab.research.search",
    "strategy": "quantlab.strategy",
    "sweep": "quantlab.research.recorded_sweep",
    "walk_forward": "quantlab.research.walkforward",
}
_SUBMODULES = {
    "errors": "quantlab.errors",
    "overfitting": "quantlab.research.overfitting",
    "signals": "quantlab.signals",
}


class _Package(ModuleType):
    """The package itself: the import system may not put a submodule in the place of a public name.

    Importing ``quantlab.strategy`` binds the module as ``quantlab.strategy``, which would turn the decorator
    ``ql.strategy`` into a module as soon as anything imports that file.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

if not TYPE_CHECKING:  # hidden from type checkers, which would take any name for granted

    def __getattr__(name: str) -> Any:
        """Load a public name when it is first asked for."""
        from importlib import import_module

        if name == "__version__":
            from importlib.metadata import version

            found = version("quantlab")
        elif name in _HOME:
            found = getattr(import_module(_HOME[name]), name)
        elif name in _SUBMODULES:
            found = import_module(_SUBMODULES[name])
        else:
            raise AttributeError(_unknown(name))
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Public names, loaded or not."""
        return sorted({*globals(), *__all__})


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, __all__, n=1) or [n for n in __all__ if n.lower() == name.lower()]
    advice = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(__all__)}."
    return f"module 'quantlab' has no attribute {name!r}; {advice}"
