"""Risk limits: what an order, a position, a day may come to, and what happens to an order beyond them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from quantlab.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Exposure", "Limits", "order_to_breach"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a live run may do; every number has to be given, since none is right for everybody.

    Parameters
    ----------
    max_order_value : float
        Largest value of one order, at the price of its decision, in the account's currency.
    max_position_value : float
        Largest absolute value of one position after an order.
    max_gross_value : float
        Largest sum of absolute position values after an order.
    max_orders_per_day : int
        Orders sent in one session, all assets together.
    max_daily_loss : float
        Fall of equity since the last close before this session that halts the run, as an amount of money.

    Raises
    ------
    ParameterError
        For a limit that is not above zero and finite, and for one that is missing.
    """

    max_order_value: float
    max_position_value: float
    max_gross_value: float
    max_orders_per_day: int
    max_daily_loss: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            good = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not good or not math.isfinite(value) or value <= 0:
                raise ParameterError(f"{field.name} is {value!r}; a finite number above zero is needed.")
        if self.max_orders_per_day != int(self.max_orders_per_day):
            raise ParameterError(
                f"max_orders_per_day is {self.max_orders_per_day!r}; a whole number is needed."
            )

    def describe(self) -> dict[str, Any]:
        """Every limit, as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_description(cls, given: Mapping[str, Any]) -> Limits:
        """Restore what `describe` gave.

        Raises
        ------
        ParameterError
            For a limit that is missing.
        UnknownNameError
            For one that does not exist.
        """
        names = [f.name for f in fields(cls)]
        for name in given:
            if name not in names:
                raise UnknownNameError("limit", name, names)
        missing = [n for n in names if n not in given]
        if missing:
            raise ParameterError(f"risk limits lack {', '.join(missing)}; a live run needs all of them.")
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is held and was done when an order is tested.

    Parameters
    ----------
    position : float
        Units of the order's asset held and on their way.
    unit_value : float
        Money per unit at the decision.
    gross_value : float
        Absolute value of all positions, those on their way included.
    n_orders : int
        Orders sent in this session so far.
    """

    position: float
    unit_value: float
    gross_value: float
    n_orders: int


def order_to_breach(quantity: float, exposure: Exposure, limits: Limits) -> str | None:
    """Name the limit that an order would break, in one sentence; None if it breaks none.

    An order that only makes a position smaller is held back by nothing but its number: getting out must stay possible.

    Parameters
    ----------
    quantity : float
        Signed units of the order.
    """
    if exposure.n_orders + 1 > limits.max_orders_per_day:
        return (
            f"order {exposure.n_orders + 1} of the session, max_orders_per_day is {limits.max_orders_per_day}"
        )
    before, after = exposure.position, exposure.position + quantity
    if before * after >= 0.0 and abs(after) < abs(before):
        return None
    value = abs(quantity) * exposure.unit_value
    if value > limits.max_order_value:
        return f"order value {value:,.2f}, max_order_value is {limits.max_order_value:,.2f}"
    held = abs(after) * exposure.unit_value
    if held > limits.max_position_value:
        return f"position value {held:,.2f}, max_position_value is {limits.max_position_value:,.2f}"
    gross = exposure.gross_value + (abs(after) - abs(before)) * exposure.unit_value
    if gross > limits.max_gross_value:
        return f"gross value {gross:,.2f}, max_gross_value is {limits.max_gross_value:,.2f}"
    return None
