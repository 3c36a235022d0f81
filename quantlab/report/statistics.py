"""Every statistic once: its name, its unit, and its formula in one sentence.

The report shows the sentence beside the number; `statistics_page` makes docs/statistics.md of the same table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "COST_KEYS",
    "GROUPS",
    "STATISTICS",
    "Statistic",
    "format_money",
    "format_value",
    "statistics_page",
]

MINUS = "\N{MINUS SIGN}"

GROUPS = {
    "performance": "Performance",
    "risk": "Risk",
    "trades": "Trades",
    "costs": "Costs",
}
"""Groups of statistics, in the order of the page, with their headings."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic.

    Parameters
    ----------
    key : str
        Its name in ``Result.stats`` and in the table of a sweep.
    label : str
        Its name for a reader.
    group : str
        A key of `GROUPS`.
    unit : str
        ``"percent"`` (a fraction, shown times 100), ``"money"``, ``"ratio"``, ``"count"`` (whole numbers), or
        ``"bars"``.
    convention : str
        The formula, as one sentence.
    """

    key: str
    label: str
    group: str
    unit: str
    convention: str


_TABLE = (
    ("final_equity", "Final equity", "performance", "money",
     "Cash plus the value of open positions, marked at the close of the last bar."),
    ("total_return", "Total return", "performance", "percent",
     "Final equity / starting cash − 1."),
    ("buy_hold_return", "Benchmark return", "performance", "percent",
     ("Return of the benchmark over the same bars; unless another is named, equal money in every asset at "
     "its first close, held, without costs.")),
    ("cagr", "Annual growth (CAGR)", "performance", "percent",
     "(final equity / starting cash)^(bpy / n) − 1; −100% after ruin."),
    ("sharpe", "Sharpe ratio", "performance", "ratio",
     "mean(r − rf) / sd(r − rf) × √bpy, with the sample deviation (ddof = 1)."),
    ("sortino", "Sortino ratio", "performance", "ratio",
     "mean(r − rf) / √mean(min(r − rf, 0)²) × √bpy, the lower mean taken over all bars."),
    ("calmar", "Calmar ratio", "performance", "ratio",
     "CAGR / |maximum drawdown|."),
    ("psr", "Probabilistic Sharpe ratio", "performance", "percent",
     ("Probability that the true Sharpe ratio is above 0: "
     "Φ(s √(n − 1) / √(1 − skew·s + (kurtosis − 1)/4·s²)), with s the Sharpe ratio of one bar "
     "(Bailey and López de Prado, 2012).")),
    ("alpha", "Alpha", "performance", "percent",
     "Intercept of the least-squares line of r − rf on the benchmark's bar returns − rf, × bpy."),
    ("beta", "Beta", "performance", "ratio",
     "Slope of the least-squares line of r − rf on the benchmark's bar returns − rf."),
    ("volatility", "Volatility", "risk", "percent",
     "sd(r) × √bpy, with the sample deviation (ddof = 1)."),
    ("max_drawdown", "Maximum drawdown", "risk", "percent",
     "Lowest equity / running peak − 1; the starting cash counts as the first peak."),
    ("max_drawdown_bars", "Longest drawdown, bars", "risk", "bars",
     "Bars of the longest spell below a peak, whether or not it was regained."),
    ("avg_drawdown", "Average drawdown", "risk", "percent",
     "Mean, over the spells below a peak, of the worst drawdown of each spell."),
    ("exposure", "Exposure", "risk", "percent",
     "Mean over all bars of gross position value / equity, at the close."),
    ("var_95", "Value at risk, 95%", "risk", "percent",
     "5% quantile of the bar returns, by linear interpolation; a loss is negative."),
    ("cvar_95", "Expected shortfall, 95%", "risk", "percent",
     "Mean of the worst 5% of the bar returns: the floor(0.05 (n - 1)) + 1 lowest."),
    ("skew", "Skewness", "risk", "ratio",
     "Third central moment of r / (second)^1.5; population moments."),
    ("kurtosis", "Kurtosis", "risk", "ratio",
     "Fourth central moment of r / (second)²; population moments; not in excess: the normal has 3."),
    ("n_orders", "Orders", "trades", "count",
     "Orders decided and not rejected, whether they were filled or replaced."),
    ("n_trades", "Closed trades", "trades", "count",
     "Round trips that were closed; positions open at the end are left out here and in all that follows."),
    ("win_rate", "Win rate", "trades", "percent",
     "Share of closed trades with pnl > 0, after their costs."),
    ("profit_factor", "Profit factor", "trades", "ratio",
     "Sum of winning pnl / |sum of losing pnl|; infinite without losses."),
    ("expectancy", "Expectancy", "trades", "money",
     "Mean pnl of a closed trade, after its costs."),
    ("avg_trade", "Average trade", "trades", "percent",
     "Mean return of a closed trade on its entry value."),
    ("best_trade", "Best trade", "trades", "percent",
     "Highest return of a closed trade on its entry value."),
    ("worst_trade", "Worst trade", "trades", "percent",
     "Lowest return of a closed trade on its entry value."),
    ("avg_bars_held", "Average holding, bars", "trades", "bars",
     "Mean number of bars from the entry fill to the exit fill."),
    ("turnover", "Turnover a year", "trades", "ratio",
     "Sum over all bars of traded value / equity, divided by n and multiplied by bpy."),
    ("sqn", "System quality number", "trades", "ratio",
     "√(closed trades) × mean(pnl) / sd(pnl), with the sample deviation (ddof = 1)."),
    ("kelly", "Kelly fraction", "trades", "percent",
     "p − (1 − p) / (average win / average loss), with p the win rate."),
    ("commission", "Commission", "costs", "money",
     "Charged by the broker per order, with its minimum and cap."),
    ("fees", "Regulatory fees", "costs", "money",
     "Fees of exchanges and regulators, on the dates on which they applied."),
    ("spread", "Spread", "costs", "money",
     "Half the bid-ask spread, × the quantity of each fill that crosses it."),
    ("slippage", "Slippage", "costs", "money",
     "Fill price against the bar's price, × quantity, less the spread; with the rounding to ticks."),
    ("borrow", "Borrow", "costs", "money",
     "Fees for the shares lent to short positions."),
    ("interest", "Interest", "costs", "money",
     "Interest paid on borrowed cash, less interest earned on idle cash; negative where more was earned."),
)  # fmt: skip

STATISTICS = {row[0]: Statistic(*row) for row in _TABLE}
"""Every statistic by its key, in the order of the page."""

COST_KEYS = tuple(s.key for s in STATISTICS.values() if s.group == "costs")
"""Components of the cost of a run, in the order of the page."""


def _grouped(value: float, places: int) -> str:
    text = f"{abs(value):,.{places}f}"
    negative = value < 0.0 and any(c not in "0.," for c in text)
    return MINUS + text if negative else text


def format_money(value: float, places: int = 2) -> str:
    """Money for a reader: grouped digits, a true minus sign, a dash where there is none (NaN)."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    return _grouped(value, places)


def format_value(value: float, unit: str) -> str:
    """Statistic for a reader.

    Parameters
    ----------
    value : float
        NaN is shown as a dash, infinity as its sign.
    unit : str
        As in `Statistic`; a percentage is given as a fraction.

    Returns
    -------
    str
        Such as ``"12.34%"``, ``"−1,204.50"``, ``"1.07"``, ``"46"``, ``"∞"``.
    """
    if not math.isfinite(value):
        return format_money(value)
    if unit == "percent":
        shown = value * 100.0
        return _grouped(shown, 2 if abs(shown) < 1000.0 else 0) + "%"
    if unit == "count" or (unit == "bars" and value == int(value)):
        return _grouped(value, 0)
    if unit == "bars":
        return _grouped(value, 1)
    return _grouped(value, 2)


_UNITS = {
    "percent": "fraction, shown as %",
    "money": "money",
    "ratio": "ratio",
    "count": "number",
    "bars": "bars",
}

_HEAD = """\
# Statistics

<!-- Written by quantlab.report.statistics.statistics_page; a test keeps it up to date. To write it again:
python -c "from quantlab.report.statistics import *; print(statistics_page(), end='')" > docs/statistics.md
-->

Every name has one formula. A backtest, each row of a sweep and the report use the same one, and the report
shows it beside the number. Keys are those of `Result.stats`.

- **r** are the returns of equity, one a bar; the first is taken against the starting cash, which also counts
  as the first peak of the drawdown. **n** is their number.
- **bpy** is the number of bars a year, from the calendar and the bar size: 252 for daily bars of US stocks
  (without a calendar 252, 52 or 12; within the day 252 × the median number of bars a day). Reports have it.
- **rf** is the return of one bar without risk: `risk_free` / bpy, where `risk_free` is a year's.
- **pnl** of a trade is net of the costs of its fills. A trade with a pnl of exactly 0 is no win.
- After ruin (equity at or below zero) the run ends; the statistics go up to that bar.
- What is not defined (a Sharpe ratio of constant equity, a win rate without trades) is NaN, never 0.
"""

_TAIL = """
Cost components are money and already contained in equity: nothing is to be subtracted again. All but interest
are never negative. Their sum is the cost of the run. A report also gives each as a share of the starting cash
and of the profit before costs (final equity − starting cash + all costs), where that is above zero.

`var_95` and `cvar_95` need sorted returns and are left out of the rows of a sweep unless they are named.
"""


def statistics_page() -> str:
    """Text of docs/statistics.md."""
    parts = [_HEAD]
    for group, heading in GROUPS.items():
        parts.append(f"\n## {heading}\n\n| key | name | unit | formula |\n|---|---|---|---|\n")
        parts += [
            f"| `{s.key}` | {s.label} | {_UNITS[s.unit]} | {s.convention.replace('|', chr(92) + '|')} |\n"
            for s in STATISTICS.values()
            if s.group == group
        ]
    return "".join([*parts, _TAIL])
