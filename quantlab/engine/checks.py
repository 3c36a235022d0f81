"""Every diagnostic of a result: those of its fills, and what it hangs on as a whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quantlab.engine import diagnostics as d
from quantlab.engine.breakeven import MOST, break_even, largest_multiple, stats_at
from quantlab.engine.diagnostics import INFO, WARNING, Diagnostic
from quantlab.engine.fillchecks import check_fills
from quantlab.engine.records import orders_frame, trades_frame
from quantlab.kernels import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.engine.result import Result

__all__ = ["diagnose"]

PAID = ("commission", "fees", "slippage", "spread", "borrow", "interest")

DUST = 1e-9
"""Total return that is rounding noise."""


def diagnose(result: Result) -> list[Diagnostic]:
    """Every diagnostic that has something to say of a result, warnings first.

    Parameters
    ----------
    result : Result
        Of a run. Its records and equity are made where they are not there yet, and for the break-even of costs its
        decisions are simulated about sixteen times more.

    Returns
    -------
    list of Diagnostic
        Empty where there is nothing to say.

    Notes
    -----
    Source of the thresholds: `quantlab.engine.diagnostics`; docs/diagnostics.md says what to do.
    """
    checks = (_few_trades, _one_trade, _one_month, _cost_break_even, _rejected, check_fills)
    found = [said for check in checks for said in check(result)]
    return sorted(found, key=lambda each: each.severity != WARNING)


# -- what it hangs on -----------------------------------------------------------------------------------


def _few_trades(result: Result) -> Iterator[Diagnostic]:
    import pandas as pd

    n_trades = int(result.stats["n_trades"])
    n_parameters = 0 if result.strategy is None else len(result.strategy.grid or result.strategy.defaults)
    wanted = max(d.TRADES, d.TRADES_PER_PARAMETER * n_parameters)
    if n_trades >= wanted:
        return
    n_tried = None if result.count_trials is None else result.count_trials(result)
    why = f"{d.TRADES} at least"
    if n_parameters:
        why += (
            f", and {d.TRADES_PER_PARAMETER} for each of {n_parameters} parameter{'s' * (n_parameters > 1)},"
        )
    tried = f" Parameter sets tried on these bars: {n_tried:,}." if n_tried else ""
    evidence = {"n_trades": n_trades, "n_wanted": wanted, "n_parameters": n_parameters, "n_tried": n_tried}
    yield Diagnostic(
        "few_trades",
        WARNING,
        f"{n_trades} closed trade{'s say' if n_trades != 1 else ' says'} little: {why} are wanted.{tried}",
        pd.DataFrame([evidence]),
    )


def _one_trade(result: Result) -> Iterator[Diagnostic]:
    rows = result._records.trades  # noqa: SLF001  # one package
    profit = float(result.stats["final_equity"]) - result.cash_start
    if len(rows) < 2 or profit <= DUST * result.cash_start:
        return
    best = int(rows["pnl"].argmax())
    left = profit - float(rows["pnl"][best])
    if left >= d.LEFT * profit:
        return
    trade = trades_frame(rows[best : best + 1], result.bars)
    symbol, since = trade["symbol"].iloc[0], trade["entry_time"].iloc[0]
    yield Diagnostic(
        "one_trade",
        WARNING if left <= 0.0 else INFO,
        f"Without its best trade of {len(rows):,} ({symbol}, from {since:%Y-%m-%d}) the run earns {left:,.2f} instead "
        f"of {profit:,.2f}.",
        trade.assign(profit=profit, profit_without=left),
    )


def _one_month(result: Result) -> Iterator[Diagnostic]:
    import pandas as pd

    total = float(result.stats["total_return"])
    if total <= DUST:
        return
    growth = 1.0 + result.returns.to_numpy()
    months = result.bars.session[: len(growth)].astype("M8[D]").astype("M8[M]")
    starts = np.flatnonzero(np.concatenate(([True], months[1:] != months[:-1])))
    if len(starts) < d.MONTHS:
        return
    by_month = np.multiply.reduceat(growth, starts)
    best = int(by_month.argmax())
    left = (1.0 + total) / float(by_month[best]) - 1.0
    if left >= d.LEFT * total:
        return
    month, gain = str(months[starts[best]]), float(by_month[best]) - 1.0
    yield Diagnostic(
        "one_month",
        WARNING if left <= 0.0 else INFO,
        f"Without its best month of {len(starts):,} ({month}, {gain:+.1%}) the total return is {left:+.1%} instead of "
        f"{total:+.1%}.",
        pd.DataFrame([{"month": month, "return_": gain, "total_return": total, "without": left}]),
    )


# -- costs and orders -----------------------------------------------------------------------------------


def _cost_break_even(result: Result) -> Iterator[Diagnostic]:
    import pandas as pd

    setup = result._setup  # noqa: SLF001  # one package
    if max(float(result.stats[k]) for k in PAID) <= 0.0:
        return
    size = setup.bars.close.size + (0 if setup.detail is None else setup.detail.close.size)
    if size > d.COST_LIMIT:
        yield Diagnostic(
            "cost_break_even",
            INFO,
            f"How far costs may rise is not looked for: {size:,} bars x assets are more than {d.COST_LIMIT:,}. "
            "quantlab.research.stress.cost_stress(result) does.",
            pd.DataFrame([{"size": size, "limit": d.COST_LIMIT}]),
        )
        return
    most, seen = largest_multiple(setup.costs), {1.0: float(result.stats["total_return"])}

    def earned_at(multiple: float) -> float:
        seen[multiple] = stats_at(result, setup.costs.stressed(multiple))["total_return"]
        return seen[multiple]

    multiple = break_even(earned_at, most)
    if multiple == 0.0 and seen[1.0] > 0.0:
        return  # costs changed what could be bought, for the better: no multiple says that
    severity, text = _cost_text(multiple, most, seen[1.0], seen[0.0])
    evidence = pd.DataFrame(sorted(seen.items()), columns=["cost_multiple", "total_return"])
    yield Diagnostic("cost_break_even", severity, text, evidence)


def _cost_text(multiple: float, most: float, total: float, without: float) -> tuple[str, str]:
    if multiple == 0.0:
        return INFO, f"Costs are not to blame: without any the total return is {without:+.1%}."
    if math.isinf(multiple):
        said = f"{most:.3g} times its costs" + (" and more" if most == MOST else "")
        return INFO, f"The run earns something at {said}."
    if total <= 0.0:
        return WARNING, (
            f"Costs ate the profit: {without:+.1%} without any became {total:+.1%}; at {multiple:.2f} times the costs "
            "nothing is earned."
        )
    severity = WARNING if multiple < d.COST_MULTIPLE else INFO
    return severity, f"At {multiple:.3g} times its costs the run earns nothing."


def _rejected(result: Result) -> Iterator[Diagnostic]:
    rows = result._records.orders  # noqa: SLF001  # one package
    refused = rows["status"] == fill.REJECTED
    if refused.sum() <= d.REJECTED * len(rows):
        return
    yield Diagnostic(
        "rejected",
        WARNING,
        f"{refused.sum():,} of {len(rows):,} orders ({refused.mean():.1%}) were rejected: this is the result of "
        "another strategy than the one that was written.",
        orders_frame(rows[refused], result.bars),
    )
