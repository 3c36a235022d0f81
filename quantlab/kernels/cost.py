"""What a trade costs: fill price, commission, regulatory fees, borrow and interest, from one flat table.

`quantlab.costs` makes the table and validates every number in it; the functions here only index. They are
called at fills (borrow and interest once a bar, and only where the table says that anything accrues).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from quantlab.kernels._jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CAP",
    "MAX_TIERS",
    "MINIMUM",
    "N_RATES",
    "N_TIER",
    "PER_UNIT",
    "RATE",
    "SEC",
    "SHARE",
    "TAF",
    "TAF_MAX",
    "TIERS",
    "UNIT_FEE",
    "UP_TO",
    "CostTable",
    "borrow_cost",
    "commission",
    "fees",
    "fill_price",
    "interest_cost",
    "month_at",
    "order_commission",
    "order_fees",
    "row_at",
]

CAP, UNIT_FEE, SHARE, SEC, TAF, TAF_MAX, TIERS = 0, 1, 2, 3, 4, 5, 6
"""Last axis of `CostTable.rates`; the tiers follow from `TIERS` on, `N_TIER` numbers each."""

UP_TO, PER_UNIT, RATE, MINIMUM, N_TIER = 0, 1, 2, 3, 4
"""Numbers of one tier."""

MAX_TIERS = 8
"""Tiers a schedule may have; a fixed width lets the rates in force ride in the record of each asset."""

N_RATES = TIERS + MAX_TIERS * N_TIER
"""Length of the last axis of `CostTable.rates`."""

EPSILON = 1e-9
"""Relative slack of rounding prices: products such as 100 * 0.07 miss the grid by less, prices by more."""

CENT_NOISE = 1e-7
"""Part of a cent that is representation: the product that makes a fee of 100,000 dollars misses by less."""

COLLATERAL = 1.02
"""Cash collateral of borrowed stock over its value (Interactive Brokers, short sale cost)."""

BORROW_YEAR = 360.0
"""Days of the year in which borrow rates are quoted (Interactive Brokers)."""


class CostTable(NamedTuple):
    """Every rate a run needs, effective-dated. Arrays are C-contiguous; nothing is ever None.

    Parameters
    ----------
    from_bar : ndarray of int64 of shape (n_rows,)
        Bar from which each row applies; the first is 0.
    rate_row : ndarray of int64 of shape (n_rows,)
        Position in `rates` of each row (rows that differ only in the benchmark share one).
    rates : ndarray of shape (n_rate_rows, n_assets, N_RATES)
        Cap as fraction of trade value (inf without one), passed-on fees per raw unit (negative for a rebate),
        passed-on fees as fraction of commission, SEC section 31 fee as fraction of sold value, FINRA TAF per
        sold unit and its maximum per execution. Then per tier of monthly units: upper bound in raw units (inf
        in the last), commission per raw unit, commission as fraction of value, minimum per order. Money in
        account currency.
    month_from : ndarray of int64 of shape (n_months,)
        Bar at which each calendar month starts; length 1 where no schedule has monthly tiers.
    group : ndarray of int64 of shape (n_assets,)
        Assets of one group have their monthly units counted together.
    n_groups : int
        Number of groups.
    slippage, half_spread : ndarray of shape (n_assets,)
        Fractions of price.
    borrow : ndarray of shape (n_assets,)
        Annual borrow rate.
    benchmark : ndarray of shape (n_rows,)
        Annual benchmark rate of interest.
    debit : ndarray of shape (n_tranches, 2)
        Upper bound of each tranche of debt in money (inf in the last), and its spread over the benchmark.
    debit_scale : float
        Factor on all debit interest (1 unless stressed).
    credit : ndarray of shape (4,)
        Spread below the benchmark, cash that earns nothing, equity from which the full rate is paid, days of
        the interest year.
    days : ndarray of shape (n_bars,) or (1,)
        Calendar days from the previous bar's session to this bar's; length 1 where nothing accrues.
    accrues : int
        1 where borrow or interest is charged at all, else 0.
    charges_interest : int
        1 where interest is charged, else 0.
    """

    from_bar: NDArray[np.int64]
    rate_row: NDArray[np.int64]
    rates: NDArray[np.float64]
    month_from: NDArray[np.int64]
    group: NDArray[np.int64]
    n_groups: int
    slippage: NDArray[np.float64]
    half_spread: NDArray[np.float64]
    borrow: NDArray[np.float64]
    benchmark: NDArray[np.float64]
    debit: NDArray[np.float64]
    debit_scale: float
    credit: NDArray[np.float64]
    days: NDArray[np.float64]
    accrues: int
    charges_interest: int


@kernel(allocates=False)
def row_at(table: CostTable, row: int, t: int) -> int:
    """Row in force at bar `t`, given a row in force at an earlier bar (0 at the start)."""
    while row + 1 < table.from_bar.shape[0] and table.from_bar[row + 1] <= t:
        row += 1
    return row


@kernel(allocates=False)
def month_at(table: CostTable, month: int, t: int) -> int:
    """Month of bar `t`, given that of an earlier bar (0 at the start); monthly units restart with it."""
    while month + 1 < table.month_from.shape[0] and table.month_from[month + 1] <= t:
        month += 1
    return month


@kernel(allocates=False, inline=True)
def fill_price(
    reference: float, side: float, slippage: float, half_spread: float, tick: float, factor: float
) -> float:
    """Worsen a stored price as a marketable fill does.

    Parameters
    ----------
    reference : float
        Stored price before costs.
    side : {1, -1}
        Buy or sell.
    slippage, half_spread : float
        Fractions of price, together below 1.
    tick : float
        Step of raw prices; 0 leaves the price unrounded.
    factor : float
        Raw price / stored price.

    Returns
    -------
    float
        Worsened, then rounded on the raw grid to the worse side. A price on the grid stays to the bit; a sale
        that would round to zero keeps its unrounded price.
    """
    price = reference * (1.0 + side * (slippage + half_spread))
    if not tick > 0.0:
        return price
    steps = price * factor / tick
    nearest = np.rint(steps)
    if abs(steps - nearest) <= EPSILON * max(1.0, abs(steps)):
        return price
    worse = np.ceil(steps) if side > 0.0 else np.floor(steps)
    if worse < 1.0:
        return price
    # 12345 / 100 is the double nearest to 123.45; 12345 * 0.01 is not.
    per_point = np.rint(1.0 / tick)
    if abs(per_point * tick - 1.0) < 1e-12:
        return float(worse / per_point / factor)
    return float(worse * tick / factor)


@kernel(allocates=False, inline=True)
def order_commission(
    rates: NDArray[np.float64], units: float, raw_price: float, multiplier: float, month_units: float
) -> float:
    """Commission of one order, money >= 0, from the rates of its asset in force, ``CostTable.rates[r, i]``.

    As `commission`. The table itself is a dozen counted references, which a call that is not inlined pays for one
    by one: what runs at every fill takes this one array.
    """
    size = abs(units)
    if not size > 0.0:
        return 0.0
    value = size * raw_price * multiplier
    charged = 0.0
    minimum = -1.0
    left = size
    done = month_units
    for k in range(TIERS, rates.shape[0], N_TIER):
        room = rates[k + UP_TO] - done
        if not room > 0.0:
            continue
        if minimum < 0.0:
            minimum = rates[k + MINIMUM]
        if left <= room:
            share = left / size if left < size else 1.0
            charged += left * rates[k + PER_UNIT] + value * share * rates[k + RATE]
            break
        charged += room * rates[k + PER_UNIT] + value * (room / size) * rates[k + RATE]
        done += room
        left -= room
    charged = max(charged, minimum)
    charged = min(charged, rates[CAP] * value)
    passed_on = charged * rates[SHARE] + size * rates[UNIT_FEE]
    return float(max(charged + passed_on, 0.0))


@kernel(allocates=False)
def commission(
    table: CostTable, row: int, i: int, units: float, raw_price: float, multiplier: float, month_units: float
) -> float:
    """Commission of one order, money >= 0.

    Parameters
    ----------
    table, row, i
        The table, its row in force and the asset.
    units : float
        Raw units, of either sign.
    raw_price, multiplier : float
        Price per raw unit before the multiplier, and money per unit and point.
    month_units : float
        Raw units of the asset's group already traded this calendar month: tiers are marginal, so an order may
        span several.

    Notes
    -----
    The minimum is that of the tier in which the order starts. The cap comes after it: where the cap is the
    smaller, the cap applies. Passed-on fees are added to what comes out of that; a rebate never makes the sum
    negative.
    """
    return order_commission(table.rates[table.rate_row[row], i], units, raw_price, multiplier, month_units)


@kernel(allocates=False)
def _up_to_cents(money: float) -> float:
    """Money rounded up to the cent; what is a whole number of cents but for representation stays."""
    cents = money * 100.0
    return float(np.ceil(cents - CENT_NOISE) / 100.0)


@kernel(allocates=False, inline=True)
def order_fees(rates: NDArray[np.float64], units: float, raw_price: float, multiplier: float) -> float:
    """Regulatory fees of one execution, money >= 0, from the rates of its asset in force; as `fees`."""
    if units >= 0.0:
        return 0.0
    section_31 = rates[SEC]
    activity = rates[TAF]
    if section_31 == 0.0 and activity == 0.0:
        return 0.0
    sold = -units
    return _up_to_cents(sold * raw_price * multiplier * section_31) + _up_to_cents(
        min(sold * activity, rates[TAF_MAX])
    )


@kernel(allocates=False)
def fees(table: CostTable, row: int, i: int, units: float, raw_price: float, multiplier: float) -> float:
    """Regulatory fees of one execution of `units` (signed raw units), money >= 0; zero for a buy.

    SEC section 31 on the value sold and FINRA TAF on the units sold, each rounded up to the cent.
    """
    return order_fees(table.rates[table.rate_row[row], i], units, raw_price, multiplier)


@kernel(allocates=False)
def borrow_cost(
    table: CostTable,
    row: int,  # noqa: ARG001 (one calling convention)
    i: int,
    raw_units_short: float,
    raw_price: float,
    multiplier: float,
    days: float,
) -> float:
    """Cost of having `raw_units_short` units borrowed for `days` calendar days, money >= 0.

    Annual rate / 360 on the collateral: 102 % of the raw price rounded up to the next whole unit of currency,
    times units. `row` is not used (borrow rates are not effective-dated) and kept for one calling convention.
    """
    rate = table.borrow[i]
    if rate == 0.0 or days == 0.0:
        return 0.0
    price = raw_price * COLLATERAL
    collateral = np.ceil(price - EPSILON * max(1.0, price))
    return float(collateral * abs(raw_units_short) * multiplier * rate / BORROW_YEAR * days)


@kernel(allocates=False)
def interest_cost(table: CostTable, row: int, cash: float, equity: float, days: float) -> float:
    """Interest on `cash` over `days` calendar days: positive is paid, negative is earned.

    Debt pays benchmark plus the spread of each tranche it reaches into. Cash above the free amount earns the
    benchmark less a spread, never below zero, in proportion to equity where equity is below the full amount.
    Simple interest: what accrues over a weekend does not compound within it.
    """
    if table.charges_interest == 0 or days == 0.0:
        return 0.0
    benchmark = table.benchmark[row]
    year = days / table.credit[3]
    if cash < 0.0:
        debt = -cash
        below = 0.0
        paid = 0.0
        for k in range(table.debit.shape[0]):
            top = table.debit[k, 0]
            paid += (min(debt, top) - below) * max(benchmark + table.debit[k, 1], 0.0)
            if debt <= top:
                break
            below = top
        return float(paid * year * table.debit_scale)
    lent = cash - table.credit[1]
    rate = benchmark - table.credit[0]
    if lent <= 0.0 or rate <= 0.0 or equity <= 0.0:
        return 0.0
    share = min(equity / table.credit[2], 1.0) if table.credit[2] > 0.0 else 1.0
    return float(-lent * rate * share * year)
