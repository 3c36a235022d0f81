"""How far costs may rise until nothing is earned: the decisions of a run, simulated again at other costs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quantlab.kernels.stats import STATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantlab.costs import Costs
    from quantlab.engine.result import Result

__all__ = ["CLOSE_ENOUGH", "MOST", "break_even", "largest_multiple", "stats_at"]

MOST = 100.0
"""Multiple of a run's costs up to which a break-even is looked for: no market raises them that far."""

CLOSE_ENOUGH = 0.01
"""To which a break-even is found: fourteen runs from 0 to `MOST`."""


def stats_at(result: Result, costs: Costs) -> dict[str, float]:
    """Statistics of the same decisions at other costs.

    Parameters
    ----------
    result : Result
        Of a run; its signal is not evaluated again, but sizes are new, since they depend on equity.
    costs : Costs
        In place of the run's own.

    Returns
    -------
    dict of str to float
        The statistics of `quantlab.kernels.stats.STATS`; NaN as there.

    Raises
    ------
    ParameterError, UnknownNameError
        For costs that the run's bars cannot be charged with.
    """
    setup, run = result._setup, result._run  # noqa: SLF001  # one package
    again = replace(setup, costs=costs, table=costs.table(setup.bars)).run_changes(run.changes, run.inside)
    return dict(zip(STATS, again.stats.tolist(), strict=True))


def largest_multiple(costs: Costs) -> float:
    """Multiple up to which slippage and half the spread stay below the price; `MOST` at most."""

    def largest(value: Any) -> float:
        return max(value.values(), default=0.0) if isinstance(value, dict) else float(value)

    worst = largest(costs.slippage_bps) + largest(costs.spread_bps)
    return min(MOST, 0.99 * 10_000.0 / worst) if worst > 0.0 else MOST


def break_even(earned_at: Callable[[float], float], most: float, tolerance: float = CLOSE_ENOUGH) -> float:
    """Find by bisection the cost at which nothing is earned, on the assumption that more cost earns less.

    Parameters
    ----------
    earned_at : callable
        Total return at a cost, a fraction. NaN counts as nothing.
    most : float
        Cost up to which it is looked for.
    tolerance : float
        To which it is found, in the unit of the cost.

    Returns
    -------
    float
        A cost at which nothing is earned, within `tolerance` of one at which something is; 0 if nothing is earned
        without any, infinite if something is at `most`.
    """
    if not earned_at(0.0) > 0.0:
        return 0.0
    if earned_at(most) > 0.0:
        return math.inf
    low, high = 0.0, most
    while high - low > tolerance:
        middle = (low + high) / 2.0
        low, high = (middle, high) if earned_at(middle) > 0.0 else (low, middle)
    return high
