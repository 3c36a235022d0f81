"""From target exposure to whole units and orders: one rule for the engine and for live trading.

The numbers are made by `quantlab.kernels.order`; `Sizing` and `Account` say how, and `target_to_orders` is the same
kernel, called for one bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quantlab.kernels.cost import CostTable
    from quantlab.kernels.records import Records
    from quantlab.model import Instrument

__all__ = ["Account", "Decision", "Sizing", "rules_of", "target_to_orders"]

REGULATION_T = 0.5
"""Initial margin of stock positions held overnight, as share of their value (Federal Reserve Regulation T)."""


def _positive(name: str, value: Any, *, zero: bool = False) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value)
    if not good or value < 0 or (value == 0 and not zero):
        raise ParameterError(f"{name} is {value!r}; a finite number {'>=' if zero else '>'} 0 is needed.")
    return float(value)


@dataclass(frozen=True)
class Sizing:
    """How a target becomes units.

    Parameters
    ----------
    allocation : "equal" or float
        Share of equity that a target of 1 stands for, of each asset; "equal" is 1 / n_assets.
    price : {"decision", "fill"}
        Size at the decision bar's close (known when the order is sent, so live can do the same), or at the fill
        price with its costs included, for comparison with other engines.
    rebalance : "on_change", "every_bar" or float
        Trade only when the target changes; at every bar; or when the position's share of equity has drifted from
        its target by more than this band.
    whole_units : bool
        Cut to whole lots; otherwise fractions are traded.
    max_leverage : float
        Limit of gross position value over equity at decision prices; a bar's new orders shrink by one factor to it.
    fixed_units, fixed_value : float, optional
        A target of 1 stands for this many raw units, or this much money, instead of a share of equity. Usually made
        by `Sizing.units` and `Sizing.value`.

    Raises
    ------
    ParameterError, UnknownNameError
        For values that are not the above.
    """

    allocation: str | float = "equal"
    price: str = "decision"
    rebalance: str | float = "on_change"
    whole_units: bool = True
    max_leverage: float = 1.0
    fixed_units: float | None = None
    fixed_value: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.allocation, str):
            if self.allocation != "equal":
                raise UnknownNameError(
                    "allocation", self.allocation, ("equal",), "Or give a share of equity, such as 0.5."
                )
        else:
            _positive("allocation", self.allocation)
        if self.price not in ("decision", "fill"):
            raise UnknownNameError("sizing price", str(self.price), ("decision", "fill"))
        if isinstance(self.rebalance, str):
            if self.rebalance not in ("on_change", "every_bar"):
                raise UnknownNameError(
                    "rebalance rule",
                    self.rebalance,
                    ("on_change", "every_bar"),
                    "Or give a band, such as 0.05.",
                )
        else:
            _positive("rebalance band", self.rebalance)
        _positive("max_leverage", self.max_leverage)
        if self.fixed_units is not None:
            _positive("units", self.fixed_units)
        if self.fixed_value is not None:
            _positive("value", self.fixed_value)
        if self.fixed_units is not None and self.fixed_value is not None:
            raise ParameterError("a sizing has fixed units or a fixed value, not both.")

    @classmethod
    def units(cls, units: float, **options: Any) -> Sizing:
        """Make a target of 1 stand for this many raw units."""
        return cls(fixed_units=units, **options)

    @classmethod
    def value(cls, value: float, **options: Any) -> Sizing:
        """Make a target of 1 stand for this much money."""
        return cls(fixed_value=value, **options)


@dataclass(frozen=True)
class Account:
    """What an account may hold.

    Parameters
    ----------
    kind : {"margin", "cash"}
        A margin account may be short and may owe cash; a cash account may not, and rejects what it cannot pay.
    initial_margin : float
        Margin account: equity needed for an entry, as share of the value of all positions after it.
    buffer : float
        Cash account: share of equity that sizing leaves alone, so that costs and small gaps are paid for.
    """

    kind: str = "margin"
    initial_margin: float = REGULATION_T
    buffer: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("margin", "cash"):
            raise UnknownNameError("account", str(self.kind), ("margin", "cash"))
        _positive("initial_margin", self.initial_margin)
        if not 0.0 <= _positive("buffer", self.buffer, zero=True) < 1.0:
            raise ParameterError(f"buffer is {self.buffer!r}; a share of equity in [0, 1) is needed.")

    @classmethod
    def margin(cls, initial_margin: float = REGULATION_T) -> Account:
        """Margin account."""
        return cls("margin", initial_margin=initial_margin)

    @classmethod
    def cash(cls, buffer: float = 0.0) -> Account:
        """Cash account."""
        return cls("cash", buffer=buffer)


def rules_of(sizing: Sizing, account: Account, instruments: Sequence[Instrument]) -> tuple[Records, Records]:
    """Sizing, account and instruments as kernels take them: one row of `records.RULES`, and one of `BOOK` an asset."""
    from quantlab.kernels import order
    from quantlab.kernels.records import BOOK, RULES

    n = len(instruments)
    mode, amount = order.ALLOCATION, 1.0 / n if sizing.allocation == "equal" else float(sizing.allocation)
    if sizing.fixed_units is not None:
        mode, amount = order.UNITS, float(sizing.fixed_units)
    elif sizing.fixed_value is not None:
        mode, amount = order.VALUE, float(sizing.fixed_value)
    rules = np.zeros(1, RULES)
    rules["mode"] = mode
    rules["at_fill"] = sizing.price == "fill"
    if isinstance(sizing.rebalance, str):
        rules["rebalance"] = {"on_change": order.ON_CHANGE, "every_bar": order.EVERY_BAR}[sizing.rebalance]
    else:
        rules["rebalance"], rules["band"] = order.WITHIN_BAND, sizing.rebalance
    rules["whole_units"] = sizing.whole_units
    rules["max_leverage"] = sizing.max_leverage
    rules["cash_account"] = account.kind == "cash"
    rules["buffer"] = account.buffer
    rules["initial_margin"] = account.initial_margin
    assets = np.zeros(n, BOOK)
    assets["amount"] = amount
    assets["multiplier"] = [x.multiplier for x in instruments]
    assets["tick"] = [x.tick or 0.0 for x in instruments]
    assets["lot"] = [x.lot for x in instruments]
    rules.flags.writeable = assets.flags.writeable = False
    return rules, assets


@dataclass(frozen=True)
class Decision:
    """What one bar's close comes to, per asset.

    Parameters
    ----------
    quantity : ndarray of shape (n_assets,)
        Raw units to order, signed; 0 where nothing is ordered.
    last_target : ndarray of shape (n_assets,)
        Last decided target after this bar.
    outcome : ndarray of int of shape (n_assets,)
        Codes of `quantlab.kernels.order`: NONE, ORDERED, NO_BUYING_POWER, NO_SHORT_SALE, CUT_TO_FLAT.
    """

    quantity: NDArray[np.float64]
    last_target: NDArray[np.float64]
    outcome: NDArray[np.int64]


def _as_row(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Read-only view, the kind of array that bars hand to the same kernel."""
    row = values.view()
    row.flags.writeable = False
    return row


def target_to_orders(
    target: NDArray[np.float64],
    raw_close: NDArray[np.float64],
    *,
    position: NDArray[np.float64],
    last_target: NDArray[np.float64],
    cash: float,
    rules: tuple[Records, Records],
    table: CostTable,
    pending: NDArray[np.float64] | None = None,
    last_close: NDArray[np.float64] | None = None,
    row: int = 0,
    month_units: NDArray[np.float64] | None = None,
    rank: NDArray[np.float64] | None = None,
) -> Decision:
    """Orders of one bar, by the kernel that the engine runs.

    Parameters
    ----------
    target : ndarray of shape (n_assets,)
        Target at this bar; NaN counts as 0 where the asset has a bar.
    raw_close : ndarray of shape (n_assets,)
        Raw close; NaN where the asset has no bar, which means no decision.
    position, last_target : ndarray of shape (n_assets,)
        Raw units held, and the last decided targets.
    cash : float
        Cash of the book; equity is cash plus positions at `raw_close` (at `last_close` without a bar).
    rules
        From `rules_of`.
    table, row, month_units
        Costs, their row in force, and raw units traded this month per group of the table.
    pending : ndarray of shape (n_assets,), optional
        Quantity of standing orders, 0 for none.
    last_close : ndarray of shape (n_assets,), optional
        Last known raw closes, for assets without a bar.
    rank : ndarray of shape (n_assets,), optional
        Who comes first when the account cannot carry every entry; see `quantlab.Signal`.
    """
    from quantlab.kernels import order

    rule_rows, assets = rules
    n = target.shape[0]
    close = np.ascontiguousarray(raw_close, np.float64)
    book = assets.copy()
    book["position"], book["last_target"] = position, last_target
    book["last_close"] = np.nan_to_num(
        close if last_close is None else np.where(np.isnan(close), last_close, close)
    )
    if pending is not None:
        book["pending"], book["is_pending"] = pending, pending != 0.0
    equity = cash + float((book["position"] * book["last_close"] * book["multiplier"]).sum())
    wanted = np.ascontiguousarray(target, np.float64)
    units = np.zeros(table.n_groups) if month_units is None else month_units
    order.load_costs(book, table, row)
    order.decide(
        _as_row(wanted), _as_row(close), _as_row(np.ones(n)), book, rule_rows[0], units, float(cash), equity,
        None if rank is None else _as_row(np.ascontiguousarray(rank, np.float64)),
    )  # fmt: skip
    placed = (book["outcome"] == order.ORDERED) | (book["outcome"] == order.CUT_TO_FLAT)
    quantity = np.zeros(n)
    for i in np.flatnonzero(placed):
        quantity[i] = order.order_units(rule_rows[0], book[i], 1.0)
    return Decision(quantity, book["last_target"].copy(), book["outcome"].copy())
