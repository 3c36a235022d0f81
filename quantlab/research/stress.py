"""What is left of a run when trading costs more: the same decisions with costs and slippage scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.breakeven import break_even, largest_multiple, stats_at
from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from quantlab.costs import Costs
    from quantlab.engine.result import Result

__all__ = ["CostStress", "cost_stress"]

MULTIPLIERS = (1.0, 2.0, 3.0, 5.0)
SLIPPAGES = (0.0, 1.0, 2.0, 5.0, 10.0)

WIDEST = 1_000.0
"""Slippage in bp up to which a break-even is looked for."""

SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown", "n_trades")
PAID = ("commission", "fees", "slippage", "spread", "borrow", "interest")


@dataclass(frozen=True, eq=False)
class CostStress:
    """A run at other costs.

    Parameters
    ----------
    table : DataFrame
        One row a variant: ``kind`` ("costs x" or "slippage bps"), ``value``, ``total_return``, ``cagr``, ``sharpe``,
        ``max_drawdown``, ``n_trades`` and ``costs`` in money.
    break_even_bps : float
        Slippage in bp, in place of the run's own and beside its other costs, at which nothing is earned: 0 if nothing
        is earned without any, infinite if 1,000 bp do not eat it up.
    break_even_multiple : float
        What all costs of the run may be multiplied by until nothing is earned; bounds as above, up to 100.
    """

    table: pd.DataFrame
    break_even_bps: float
    break_even_multiple: float

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold (NaN becomes None, infinity the text "inf")."""
        rows = [{str(k): _plain(v) for k, v in row.items()} for row in self.table.to_dict(orient="records")]
        return {
            "variants": rows,
            "break_even_bps": _plain(self.break_even_bps),
            "break_even_multiple": _plain(self.break_even_multiple),
        }


def cost_stress(
    result: Result,
    *,
    multipliers: Sequence[float] = MULTIPLIERS,
    slippages_bps: Sequence[float] = SLIPPAGES,
) -> CostStress:
    """Run the same decisions again with every cost multiplied, and with other slippages.

    Parameters
    ----------
    result : Result
        Of a run; everything but its costs is kept.
    multipliers : sequence of float
        What all costs are multiplied by (`Costs.stressed`).
    slippages_bps : sequence of float
        Slippages in place of the run's own, in bp, from 0 to below 10,000.

    Returns
    -------
    CostStress

    Raises
    ------
    ParameterError
        For multipliers and slippages that costs cannot have, and for none at all.

    Notes
    -----
    Targets do not depend on costs, so the signal is not evaluated again; sizes are, since they depend on equity. The
    break-even is found by bisection, on the assumption that more cost earns less.
    """
    import pandas as pd

    if not len(multipliers) + len(slippages_bps):
        raise ParameterError("neither multipliers nor slippages_bps are given; name at least one.")
    costs = result._setup.costs  # noqa: SLF001  # a run knows its own costs
    variants = [("costs x", float(m), costs.stressed(m)) for m in multipliers]
    variants += [("slippage bps", float(b), costs.replace(slippage_bps=float(b))) for b in slippages_bps]
    rows = []
    for kind, value, changed in variants:
        stats = stats_at(result, changed)
        paid = sum(stats[k] for k in PAID)
        rows.append({"kind": kind, "value": value, **{k: stats[k] for k in SHOWN}, "costs": paid})
    return CostStress(
        table=pd.DataFrame(rows),
        break_even_bps=_break_even(result, lambda bps: costs.replace(slippage_bps=bps), WIDEST),
        break_even_multiple=_break_even(result, costs.stressed, largest_multiple(costs)),
    )


def _break_even(result: Result, costs_at: Callable[[float], Costs], most: float) -> float:
    """Find the cost at which the total return is 0."""
    return break_even(lambda x: stats_at(result, costs_at(x))["total_return"], most)


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else ("inf" if math.isinf(value) else float(value))
    return value.item() if isinstance(value, np.generic) else value
