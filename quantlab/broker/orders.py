"""Orders as they are sent: one ticket, checked before it leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quantlab.errors import ParameterError, UnknownNameError

__all__ = [
    "NEEDS_LIMIT",
    "NEEDS_STOP",
    "OCA_TYPES",
    "ORDER_TYPES",
    "TIMES_IN_FORCE",
    "TRAILING",
    "Ticket",
    "ascii_text",
]

ORDER_TYPES = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "MOC", "LOC", "MIT", "LIT")
"""Order types that can be sent."""

NEEDS_LIMIT = ("LMT", "STP LMT", "LOC", "LIT")
NEEDS_STOP = ("STP", "STP LMT", "MIT", "LIT")
"""Order types with a limit, and with a trigger."""

TRAILING = "TRAIL"
"""Order type of a stop that follows the price, by an amount or by a percentage."""

OCA_TYPES = {"cancel with block": 1, "reduce with block": 2, "reduce without block": 3}
"""What a fill does to the other orders of a group; with block, only one of them is at an exchange at a time."""

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
    trail_amount, trail_percent : float, optional
        One of the two for TRAIL: by how much the stop follows the price, in money or in percent of the price.
    trail_stop_price : float, optional
        Where the stop of a TRAIL order is now: a change of such an order tells it again, so that it goes on from there.
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
    oca_group : str
        Orders of one group end each other ("one cancels all"); empty for none.
    oca_type : str
        One of `OCA_TYPES`, for an order of a group.

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
    trail_amount: float | None = None
    trail_percent: float | None = None
    trail_stop_price: float | None = None
    oca_group: str = ""
    oca_type: str = "reduce with block"

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
        self._check_trail()
        if self.oca_type not in OCA_TYPES:
            raise UnknownNameError("type of an OCA group", self.oca_type, OCA_TYPES)
        ascii_text("oca_group", self.oca_group)
        ascii_text("order_ref", self.order_ref)
        ascii_text("account", self.account)

    def _check_trail(self) -> None:
        if self.trail_stop_price is not None and self.order_type != TRAILING:
            raise ParameterError(f"an order of type {self.order_type} has no trail_stop_price.")
        given = [v for v in (self.trail_amount, self.trail_percent) if v is not None]
        if len(given) != (self.order_type == TRAILING):
            raise ParameterError(
                f"an order of type {self.order_type} comes with trail_amount={self.trail_amount!r} and "
                f"trail_percent={self.trail_percent!r}; {TRAILING} needs one of the two, other types have neither."
            )
        if given and not (math.isfinite(given[0]) and given[0] > 0.0):
            raise ParameterError(f"a trailing stop follows by {given[0]!r}; a number above zero is needed.")

    def _check_price(self, name: str, price: float | None, needed_by: tuple[str, ...]) -> None:
        if (self.order_type in needed_by) != (price is not None):
            verb = "needs" if price is None else "has no"
            raise ParameterError(
                f"an order of type {self.order_type} {verb} {name}, and {price!r} is given; types with a "
                f"{name}: {', '.join(needed_by)}."
            )
        if price is not None and not math.isfinite(price):
            raise ParameterError(f"{name} is {price!r}; a finite number is needed.")
