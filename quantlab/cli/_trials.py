"""Options that commands over many trials share: grid, condition, and what `backtest` takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli._options import BarsChoice, number, parse_value
from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantlab.strategy import Strategy

__all__ = [
    "AccountOption",
    "CashOption",
    "CostsOption",
    "FillOption",
    "FractionalOption",
    "GridOption",
    "MaxMemoryOption",
    "MetricOption",
    "RiskFreeOption",
    "SeedOption",
    "SizingOption",
    "SlippageOption",
    "TrialsOption",
    "WhereOption",
    "WorkersOption",
    "parse_grid",
    "parse_workers",
    "run_options",
]

GridOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--param",
        metavar="NAME=VALUES",
        help="Values of a parameter: fast=5:60:5 (from 5, below 60), kind=a,b or slow=50 (repeatable). [default: the "
        "strategy's own grid]",
    ),
]
WhereOption = Annotated[
    str | None,
    typer.Option("--where", metavar="CONDITION", help="Which sets are tried, such as 'fast < slow'."),
]
TrialsOption = Annotated[
    int | None, typer.Option("--n-trials", min=1, metavar="N", help="Draw so many of the sets at random.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of everything drawn.")]
CashOption = Annotated[float, typer.Option("--cash", parser=number, metavar="MONEY", help="Starting cash.")]
CostsOption = Annotated[
    str, typer.Option("--costs", metavar="NAME[:RATE]", help="As for 'quantlab backtest'.")
]
SlippageOption = Annotated[
    float | None,
    typer.Option(
        "--slippage-bps", parser=number, metavar="BPS", help="Slippage in place of that of --costs."
    ),
]
SizingOption = Annotated[
    str | None,
    typer.Option(
        "--sizing", help="What a target of 1 is: equal, a share of equity, units:10 or value:10000."
    ),
]
FractionalOption = Annotated[bool, typer.Option("--fractional", help="Trade fractions of a unit.")]
AccountOption = Annotated[str, typer.Option("--account", metavar="KIND", help="margin or cash.")]
FillOption = Annotated[str, typer.Option("--fill", metavar="WHEN", help="next_open, next_close or close.")]
RiskFreeOption = Annotated[
    float, typer.Option("--risk-free", parser=number, metavar="RATE", help="Annual return without risk.")
]
MetricOption = Annotated[
    str, typer.Option("--metric", metavar="NAME", help="Statistic that the best is chosen by.")
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Number of workers, threads, processes, or both as in processes:4. [default: by measurement]",
    ),
]
MaxMemoryOption = Annotated[
    str,
    typer.Option("--max-memory", metavar="SIZE", help="What the sweep may add to the bars, such as 300MB."),
]


def parse_grid(strategy: Strategy, given: Sequence[str] | None) -> dict[str, tuple[Any, ...]]:
    """Values by parameter from ``-p name=start:stop:step``, ``-p name=a,b`` or ``-p name=value``.

    A range leaves its stop out, as Python's do.

    Raises
    ------
    ParameterError
        For an option without ``=``, a parameter given twice, a range that does not rise, or a value of another type.
    UnknownNameError
        For a parameter that the strategy does not have.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for option in given or ():
        name, equals, text = option.partition("=")
        name = name.strip()
        if not equals or not name or not text.strip():
            raise ParameterError(
                f"-p {option!r} is not understood; write name=start:stop:step, name=a,b or name=value."
            )
        if name in grid:
            raise ParameterError(f"parameter {name!r} is given twice; give all its values at once.")
        grid[name] = _values(strategy, name, text)
    return grid


def _values(strategy: Strategy, name: str, text: str) -> tuple[Any, ...]:
    pieces = text.split(":")
    if 2 <= len(pieces) <= 3 and not isinstance(strategy.defaults.get(name), str):
        low, stop, *more = (parse_value(strategy, name, piece.strip()) for piece in pieces)
        step = more[0] if more else 1
        if not step > 0 or stop <= low:
            raise ParameterError(
                f"-p {name}={text}: a range is start:stop:step with a rising stop, which is left out, and a positive "
                "step, such as 5:60:5."
            )
        count = math.ceil((stop - low) / step - 1e-9)
        return tuple(strategy.check_value(name, low + k * step) for k in range(count))
    return tuple(parse_value(strategy, name, piece.strip()) for piece in text.split(","))


def parse_workers(text: str | None) -> int | str | None:
    """Workers as `quantlab.sweep` takes them."""
    return int(text) if text is not None and text.isdecimal() else text


def run_options(
    strategy: Strategy,
    *,
    cash: float,
    costs: str,
    slippage_bps: float | None,
    sizing: str | None,
    fractional: bool,
    account: str,
    fill: str,
    risk_free: float,
    start: str | None,
    end: str | None,
) -> dict[str, Any]:
    """Options of `quantlab.backtest` from those of a command."""
    from quantlab.cli._settings import parse_account, parse_costs, parse_sizing

    window = BarsChoice(start=start, end=end).window
    return {
        "cash": cash,
        "costs": parse_costs(costs, slippage_bps),
        "sizing": parse_sizing(
            strategy, sizing=sizing, fractional=fractional, price=None, rebalance=None, max_leverage=None
        ),
        "account": parse_account(account),
        "fill": fill.replace("-", "_"),
        "risk_free": risk_free,
        "start": window[0],
        "end": window[1],
    }
