"""The gap in profit between live and backtest, taken apart: every cent has a cause, and the parts sum to the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels import fill as fl
from quantlab.live.book import ORDER, STOP, TARGET, TRAIL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.engine.result import Result
    from quantlab.live.replay import Part, Replay

__all__ = ["CAUSES", "EngineFill", "Gap", "attribute", "engine_fills", "last_closes"]

CAUSES = {
    "spread": "half the spread that was paid, less the slippage and spread that the backtest assumed",
    "latency": "what the price moved from the open until the order was there",
    "rounding": "rounding to the tick, live less backtest",
    "commission": "commission and fees, live less backtest",
    "quantity": "other units bought or sold, because the books had drifted apart by then",
}
"""Parts of the gap, each with what it is."""

PARTS = {fl.STOP_LOSS: STOP, fl.TAKE_PROFIT: TARGET, fl.TRAILING_STOP: TRAIL}
"""Leg of the protective order that each kind of fill is of."""

CLOSURE = 1e-6
"""Money that may be left unexplained for each unit of money traded, times machine precision's reach."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What live made less what the backtest made, in money; a negative part cost live something.

    Parameters
    ----------
    total : float
        The whole gap.
    spread, latency, rounding, commission, quantity : float
        Its parts, see `CAUSES`.
    traded : float
        Value traded live, which the parts are small against.
    """

    total: float
    spread: float
    latency: float
    rounding: float
    commission: float
    quantity: float
    traded: float

    @property
    def explained(self) -> float:
        """Sum of the parts."""
        return self.spread + self.latency + self.rounding + self.commission + self.quantity

    @property
    def closes(self) -> bool:
        """Whether the parts sum to the whole."""
        return abs(self.total - self.explained) <= CLOSURE * max(1.0, abs(self.total), self.traded * 1e-3)

    def to_dict(self) -> dict[str, float]:
        """Every part, the sum included."""
        return {**asdict(self), "explained": self.explained}


class EngineFill(NamedTuple):
    """A fill of the backtest: signed units, price, cost with fees, price before costs, and rounding to the tick."""

    quantity: float
    price: float
    cost: float
    reference: float
    rounding: float


def engine_fills(window: Bars, result: Result) -> dict[Part, EngineFill]:
    """Fill of each filled order of a backtest, by decision bar, symbol, and whether it is a protective one."""
    run = result._records  # noqa: SLF001  # the records by number: frames carry labels, not bars
    table = result._setup.table  # noqa: SLF001  # the same
    worse = table.slippage + table.half_spread
    found = {}
    for fill in run.fills:
        if fill["order"] < 0:
            continue
        order, i = run.orders[fill["order"]], int(fill["asset"])
        quantity, price, reference = (float(fill[k]) for k in ("quantity", "price", "reference"))
        unrounded = reference * (1.0 + np.sign(quantity) * float(worse[i]))
        if fill["kind"] == fl.TAKE_PROFIT or order["limit"] == order["limit"]:  # NaN: no limit
            # A limit pays no more than its price: nothing of it is rounding.
            unrounded = price
        cost = float(fill["commission"] + fill["fees"])
        part = PARTS.get(int(fill["kind"]), ORDER)
        found[int(window.time[order["bar"]]), window.symbols[i], part] = EngineFill(
            quantity, price, cost, reference, price - unrounded
        )
    return found


def last_closes(window: Bars) -> NDArray[np.float64]:
    """Last close of each asset, 0 where it has none; shape (n_assets,)."""
    marks = np.zeros(window.n_assets)
    for i in range(window.n_assets):
        known = np.flatnonzero(~np.isnan(window.close[:, i]))
        marks[i] = window.close[known[-1], i] if known.size else 0.0
    return marks


def attribute(window: Bars, result: Result, replay: Replay, total: float) -> Gap:
    """Take the gap apart, decision by decision.

    Parameters
    ----------
    window : Bars
        The bars that were decided.
    result : Result
        The backtest of the same decisions.
    replay : Replay
        The gateway's fills, each with the quote it was made at.
    total : float
        Live profit less backtest profit.

    Notes
    -----
    For a decision with live units q at price p and cost c, and backtest units Q at price P and cost C, both marked at
    the last close M: the gap is -(q - Q)(P - M) [quantity] - q (p - P) [price] - (c - C) [commission]. The price
    difference p - P is the move of the mid from the bar's open O [latency], what live paid beyond the mid less what the
    backtest assumed beyond O, both before rounding [spread], and live's rounding less the backtest's [rounding].
    """
    marks = last_closes(window)
    expected = engine_fills(window, result)
    live = replay.executions_by_decision()
    parts = dict.fromkeys(CAUSES, 0.0)
    traded = 0.0
    for key in live.keys() | expected.keys():
        i = window.column(key[1])
        unit, mark = window.instruments[i].multiplier, float(marks[i])
        fills = live.get(key, [])
        opening = fills[0].reference if fills else mark
        theirs = expected.get(key, EngineFill(0.0, opening, 0.0, opening, 0.0))
        quantity = sum(f.quantity for f in fills)
        parts["quantity"] -= (quantity - theirs.quantity) * (theirs.price - mark) * unit
        parts["commission"] -= sum(f.commission for f in fills) - theirs.cost
        for fill in fills:
            q = fill.quantity * unit
            traded += abs(q) * fill.price
            beyond = fill.price - fill.mid - fill.rounding
            parts["latency"] -= q * (fill.mid - theirs.reference)
            parts["rounding"] -= q * (fill.rounding - theirs.rounding)
            parts["spread"] -= q * (beyond - (theirs.price - theirs.reference - theirs.rounding))
    money = {cause: float(part) for cause, part in parts.items()}
    return Gap(total=float(total), traded=float(traded), **money)
