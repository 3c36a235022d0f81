"""Options of a run from text: costs, sizing and account."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quantlab.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from quantlab.costs import Costs
    from quantlab.sizing import Account, Sizing
    from quantlab.strategy import Strategy

__all__ = ["COSTS", "parse_account", "parse_costs", "parse_number", "parse_sizing"]

COSTS = ("default", "zero", "percent", "per-share", "ibkr-fixed", "ibkr-tiered", "ibkr-futures", "ibkr-forex")
"""Names that ``--costs`` knows; ``percent`` and ``per-share`` are followed by ``:rate``."""

RATED = {
    "percent": "percent:0.001 (10 bp of the value)",
    "per-share": "per-share:0.005 (half a cent a share)",
}
FIXED = {"units": "units:10 (10 units)", "value": "value:10000 (money)"}


def parse_number(option: str, text: str, example: str) -> float:
    """Read a number.

    Raises
    ------
    ParameterError
        For a text that is no number; shows the example.
    """
    try:
        return float(text)
    except ValueError as error:
        raise ParameterError(f"{option} got {text!r} where a number is needed, as in {example}.") from error


def parse_costs(text: str, slippage_bps: float | None = None) -> Costs | None:
    """Costs that a name such as ``"percent:0.001"`` stands for.

    Parameters
    ----------
    text : str
        One of `COSTS`; ``percent`` and ``per-share`` with their rate after a colon.
    slippage_bps : float, optional
        Replaces the slippage that the named costs have.

    Returns
    -------
    Costs or None
        None for the plain default.

    Raises
    ------
    UnknownNameError, ParameterError
        For another name, a rate that is missing, not wanted, or no number.
    """
    from quantlab.costs import Costs

    name, colon, rate = text.strip().partition(":")
    if name not in COSTS:
        raise UnknownNameError(
            "costs", name, COSTS, "percent and per-share take a rate, as in percent:0.001."
        )
    if name in RATED and not rate:
        raise ParameterError(f"--costs {name} needs a rate, as in {RATED[name]}.")
    if name not in RATED and colon:
        raise ParameterError(f"--costs {text!r}: {name} takes no rate; write --costs {name}.")
    if name == "default":
        return None if slippage_bps is None else Costs.default().replace(slippage_bps=slippage_bps)
    make: Any = getattr(Costs, name.replace("-", "_"))
    found: Costs = make(parse_number("--costs", rate, RATED[name])) if name in RATED else make()
    return found if slippage_bps is None else found.replace(slippage_bps=slippage_bps)


def parse_sizing(
    strategy: Strategy,
    *,
    sizing: str | None,
    fractional: bool,
    price: str | None,
    rebalance: str | None,
    max_leverage: float | None,
) -> Sizing | None:
    """Sizing of a run: the strategy's own, with the options that were given laid over it.

    Returns
    -------
    Sizing or None
        None where no option was given: the strategy's own applies.

    Raises
    ------
    UnknownNameError, ParameterError
        For a word or number that cannot be used.
    """
    from quantlab.sizing import Sizing

    changes: dict[str, Any] = {}
    if sizing is not None:
        changes |= _amount(sizing)
    if fractional:
        changes["whole_units"] = False
    if price is not None:
        changes["price"] = price
    if rebalance is not None:
        changes["rebalance"] = rebalance.replace("-", "_") if rebalance[:1].isalpha() else _band(rebalance)
    if max_leverage is not None:
        changes["max_leverage"] = max_leverage
    return replace(strategy.sizing or Sizing(), **changes) if changes else None


def _band(text: str) -> float:
    return parse_number("--rebalance", text, "on-change, every-bar, or a band such as 0.05")


def _amount(text: str) -> dict[str, Any]:
    """Read what a target of 1 stands for."""
    name, colon, number = text.strip().partition(":")
    if colon and name not in FIXED:
        raise UnknownNameError("sizing", name, ("equal", *FIXED), "Or give a share of equity, such as 0.5.")
    share = "equal" if colon or name == "equal" else None
    if share is None and name.isalpha():
        allowed = ("equal", *(f"{k}:…" for k in FIXED))
        raise UnknownNameError("sizing", name, allowed, "Or give a share of equity, such as 0.5.")
    return {
        "allocation": share or parse_number("--sizing", text, "equal, 0.5, units:10 or value:10000"),
        "fixed_units": parse_number("--sizing", number, FIXED[name]) if name == "units" else None,
        "fixed_value": parse_number("--sizing", number, FIXED[name]) if name == "value" else None,
    }


def parse_account(text: str) -> Account:
    """Account of its name.

    Raises
    ------
    UnknownNameError
        For a name other than ``margin`` and ``cash``.
    """
    from quantlab.sizing import Account

    return Account(text)
