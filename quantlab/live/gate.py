"""Orders inside the bar at one bar's close: the targets that count, and the prices of what is sent. Pure.

It runs the kernels that the engine runs: after a stop the target counts as 0 until the next entry event, a time stop is
an exit, an order at a price that was good for one bar is decided anew (docs/fills.md, 29 to 51).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.barsize import BarSize
from quantlab.engine.inside import Path, orders_to_levels
from quantlab.kernels import levels as lv
from quantlab.kernels.guard import arm
from quantlab.kernels.inside import gate_targets, prepare_order
from quantlab.kernels.records import GUARD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.kernels.records import Records
    from quantlab.levels import OrdersInside

__all__ = ["Before", "Gate", "Shape", "entry_row"]

TYPES = {
    lv.MARKET: "MKT",
    lv.ON_OPEN: "MKT",
    lv.ON_CLOSE: "MOC",
    lv.LIMIT: "LMT",
    lv.STOP: "STP",
    lv.STOP_LIMIT: "STP LMT",
}
"""Interactive Brokers' order type of each type of the engine."""

GOOD_FOR = {"bar": "DAY", "day": "DAY", "gtc": "GTC", "ioc": "IOC"}
"""Its time in force of an order at a price; what is good for one bar of a day is cancelled at the next close."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is sent with a quantity: one order, and what will protect the position that it opens.

    Parameters
    ----------
    order_type, tif : str
        In Interactive Brokers' words.
    limit, stop : float or None
        Prices that the order has.
    until : str
        How long an order at a price stands, as in `quantlab.Signal`; empty for a market order.
    opens : {-1, 0, 1}
        Side of the position that it opens; 0 if it changes or closes one.
    protects : bool
        Whether the strategy asks for protective orders at all: a reversal is then two orders.
    stop_level, target_level : float or None
        Prices of the stop and of the target.
    trail_amount, trail_percent : float or None
        What a trailing stop follows the price by.
    hold : float or None
        Bars that the position may be held.
    """

    order_type: str = "MKT"
    tif: str = "DAY"
    limit: float | None = None
    stop: float | None = None
    until: str = ""
    opens: int = 0
    protects: bool = False
    stop_level: float | None = None
    target_level: float | None = None
    trail_amount: float | None = None
    trail_percent: float | None = None
    hold: float | None = None

    def to_body(self) -> dict[str, Any]:
        """Everything that is not as usual, as what JSON holds."""
        return {k: v for k, v in asdict(self).items() if v != getattr(USUAL, k)}

    @classmethod
    def from_body(cls, body: Mapping[str, Any] | None) -> Shape:
        """Restore what `to_body` wrote; a market order for None."""
        return cls(**(body or {}))


USUAL = Shape()


@dataclass(frozen=True, eq=False)
class Before:
    """What is known of each asset before a decision; arrays of shape (n_assets,).

    Parameters
    ----------
    target : ndarray
        Target that counted at the asset's bar before, before anything was gated; 0 at first.
    stopped, renew : ndarray of bool
        Whether a protective order closed the position since the last entry event; whether an order at a price ended
        unfilled, so that the asset is decided anew.
    entry_row : ndarray of int
        Row of the bar at which the position was opened.
    hold : ndarray
        Bars that it may be held; NaN for any.
    """

    target: NDArray[np.float64]
    stopped: NDArray[np.bool_]
    renew: NDArray[np.bool_]
    entry_row: NDArray[np.int64]
    hold: NDArray[np.float64]


def entry_row(time: NDArray[np.int64], opened_ns: int, after_ns: int) -> int:
    """Row of the bar in which a position was opened.

    Parameters
    ----------
    time : ndarray of shape (n_bars,)
        Closes, ns UTC.
    opened_ns : int
        When the fill was made; brokers tell it by the second, so that a fill at an open may seem to be of the bar that
        closed at that instant.
    after_ns : int
        Close of the newest bar that had been decided when the fill was heard of: an order is filled after its decision.
    """
    if opened_ns > after_ns:
        return int(np.searchsorted(time, opened_ns, "left"))
    return int(np.searchsorted(time, after_ns, "right"))


class Gate:
    """Orders inside the bar at the last of some bars. Attributes are what counts after the gate.

    Parameters
    ----------
    bars : Bars
        Closed bars, up to the one that is decided.
    inside : OrdersInside
        What the strategy asks for on these bars.
    assets : structured array of shape (n_assets,)
        Instruments, from `quantlab.sizing.rules_of`.
    before : Before
        State before the decision.
    target : ndarray of shape (n_assets,)
        Target at the last bar; NaN where an asset has no bar.
    position, last_target, mark : ndarray of shape (n_assets,)
        Raw units held, last decided targets, last known closes.

    Attributes
    ----------
    target, last_target : ndarray
        To be sized; a last target that nothing equals means that the asset is decided anew.
    target_before, stopped, renew : ndarray
        State after the decision, as in `Before`.
    """

    def __init__(
        self,
        bars: Bars,
        inside: OrdersInside,
        assets: Records,
        before: Before,
        *,
        target: NDArray[np.float64],
        position: NDArray[np.float64],
        last_target: NDArray[np.float64],
        mark: NDArray[np.float64],
    ) -> None:
        self._row, self._inside = bars.n_bars - 1, inside
        self._intraday = BarSize.parse(bars.bar_size).intraday
        self._levels = orders_to_levels(inside, Path.of(bars, None))
        self._book, self._guards = assets.copy(), np.zeros(len(assets), GUARD)
        book, guards = self._book, self._guards
        book["position"], book["last_close"], book["fill_price"] = position, mark, mark
        book["last_target"], guards["target_before"] = last_target, before.target
        guards["stopped"], guards["renew"] = before.stopped, before.renew
        guards["side"], guards["entry_bar"] = np.sign(position), before.entry_row
        guards["hold_bars"] = np.nan_to_num(before.hold)
        self.target = np.empty(len(assets))
        gate_targets(
            self._row, True, False, np.ascontiguousarray(target, np.float64), bars.close[-1], self._levels, book,
            guards, self.target,
        )  # fmt: skip
        self.last_target = book["last_target"].copy()
        self._update()

    def _update(self) -> None:
        guards = self._guards
        self.target_before = guards["target_before"].copy()
        self.stopped, self.renew = guards["stopped"] != 0, guards["renew"] != 0

    def shape(self, i: int, quantity: float, last_target: float) -> Shape | None:
        """Shape of the order of asset `i`, which was decided with this last target; None if it needs a price it lacks.

        Changes `renew` in that case: the asset is decided anew at its next bar.
        """
        b, g, asked = self._book[i], self._guards[i], self._levels.asked[0]
        b["last_target"] = last_target
        kind = int(prepare_order(self._row, i, 1.0, quantity, self._levels, b, g))
        if kind < 0:
            g["renew"] = 1
            self._update()
            return None
        opens = 0
        children: dict[str, Any] = {}
        if last_target != 0.0 and last_target * b["position"] <= 0.0:
            opens = 1 if last_target > 0.0 else -1
            arm(self._row, opens, 1.0, asked, b, g)
            children = self._children(g)
        at_price = kind in {lv.LIMIT, lv.STOP, lv.STOP_LIMIT}
        return Shape(
            order_type=TYPES[kind],
            tif=self._tif(kind),
            limit=_price(g["limit"]),
            stop=_price(g["stop"]),
            until=self._inside.tif if at_price else "",
            opens=opens,
            protects=self._inside.protects,
            **children,
        )

    def _tif(self, kind: int) -> str:
        if kind in {lv.MARKET, lv.ON_CLOSE}:
            return "DAY"
        if kind == lv.ON_OPEN:
            return "OPG"
        # For the open of the next day alone: an order for the opening; a broker takes no immediate one at night.
        return "OPG" if self._inside.tif == "ioc" and not self._intraday else GOOD_FOR[self._inside.tif]

    def _children(self, g: Any) -> dict[str, Any]:
        """Levels of what protects the position that an order opens."""
        found: dict[str, Any] = {
            "stop_level": _price(g["stop_level"]),
            "target_level": _price(g["target_level"][0]),
            "hold": _price(g["next_time"]),
        }
        if self._levels.asked[0]["trail_is_distance"]:
            found["trail_amount"] = _price(g["trail"])
        elif not math.isnan(g["trail"]):
            found["trail_percent"] = 100.0 * float(g["trail"])
        return found


def _price(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
