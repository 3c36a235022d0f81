"""Orders as they are sent: one ticket, checked before it leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quantlab.errors import ParameterError, UnknownNameError

__all__ = ["NEEDS_LIMIT", "NEEDS_STOP", "ORDER_TYPES", "TIMES_IN_FORCE", "Ticket", "ascii_text"]

ORDER_TYPES = ("MKT", "LMT", "STP", "STP LMT", "MOC", "LOC", "MIT", "LIT")
"""Order types that can be sent."""

NEEDS_LIMIT = ("LMT", "STP LMT", "LOC", "LIT")
NEEDS_STOP = ("STP", "STP LMT", "MIT", "LIT")
"""Order types with a limit, and with a trigger."""

TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "OPG", "FOK", "DTC")
"""How long an order can be good; OPG with MKT or LMT is an order for the opening auction."""


def ascii_text(name: str, value: str) -> str:
    """`value`, if it can be sent: the protocol carries printable ASCII only.

    Raises
    ------
    ParameterError
        For any other character; shows the first.
    """
    for k, letter in enumerate(value):
        if not " " <= letter <= "~":
            raise ParameterError(
                f"{name} {value!r} has {letter!r} at place {k + 1}; only printable ASCII letters can be sent "
                "to Interactive Brokers. Write it without."
            )
    return value


@dataclass(frozen=True, slots=True)
class Ticket:
    """One order, ready to be sent.

    Parameters
    ----------
    quantity : float
        Signed units, buy > 0.
    order_type : str
        One of `ORDER_TYPES`.
    limit_price, stop_price : float, optional
        Prices of types that have them; a stop price is the trigger.
    tif : str
        One of `TIMES_IN_FORCE`.
    order_ref : str
        Our own name of the order; it comes back with every report of it.
    outside_rth : bool
        Whether it may fill outside regular hours.
    account : str
        Whose order; the connection's only account, if empty.
    transmit : bool
        False holds it at TWS until another order of the bracket sends it.
    parent_id : int
        Order that this one hangs on; 0 for none.

    Raises
    ------
    ParameterError
        For a quantity of zero or no number, prices that the type lacks or does not have, and letters that cannot
        be sent.
    UnknownNameError
        For another order type or time in force.
    """

    quantity: float
    order_type: str = "MKT"
    limit_price: float | None = None
    stop_price: float | None = None
    tif: str = "DAY"
    order_ref: str = ""
    outside_rth: bool = False
    account: str = ""
    transmit: bool = True
    parent_id: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.quantity) or self.quantity == 0.0:
            raise ParameterError(
                f"the order's quantity is {self.quantity!r}; a number of units is needed, above zero to buy and "
                "below to sell."
            )
        if self.order_type not in ORDER_TYPES:
            raise UnknownNameError("order type", self.order_type, ORDER_TYPES)
        if self.tif not in TIMES_IN_FORCE:
            raise UnknownNameError("time in force", self.tif, TIMES_IN_FORCE)
        self._check_price("limit_price", self.limit_price, NEEDS_LIMIT)
        self._check_price("stop_price", self.stop_price, NEEDS_STOP)
        ascii_text("order_ref", self.order_ref)
        ascii_text("account", self.account)

    def _check_price(self, name: str, price: float | None, needed_by: tuple[str, ...]) -> None:
        if (self.order_type in needed_by) != (price is not None):
            verb = "needs" if price is None else "has no"
            raise ParameterError(
                f"an order of type {self.order_type} {verb} {name}, and {price!r} is given; types with a "
                f"{name}: {', '.join(needed_by)}."
            )
        if price is not None and not math.isfinite(price):
            raise ParameterError(f"{name} is {price!r}; a finite number is needed.")
