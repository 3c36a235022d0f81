"""Effective-dated schedules of commission and regulatory fees: what they are made of.

A row applies from its `start` (a session's date) until the next row's. A date before the first row uses
that row; `quantlab.costs.Costs.notes` says so. Rows that could not be confirmed carry ``confirmed=False``.
Money is in account currency, units and prices are raw (before any adjustment of the stored prices).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quantlab.errors import ParameterError, UnknownNameError
from quantlab.kernels.cost import (
    CAP,
    MINIMUM,
    N_RATES,
    N_TIER,
    PER_UNIT,
    RATE,
    SEC,
    SHARE,
    TAF,
    TAF_MAX,
    TIERS,
    UNIT_FEE,
    UP_TO,
)
from quantlab.model import SECURITY_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "FIRST_OF_ALL",
    "CommissionRow",
    "FeeRow",
    "FeeTable",
    "RegulatoryFees",
    "Schedule",
    "Tier",
    "bars_before",
    "bars_of_starts",
    "checked_number",
    "days_between",
    "first_day",
    "month_starts",
    "plain",
    "row_in_force",
    "rows_to_notes",
    "schedules_to_rates",
]


class Row(Protocol):
    """What every row has."""

    @property
    def start(self) -> str | None:
        """ISO date from which it applies."""

    @property
    def confirmed(self) -> bool:
        """Whether its numbers are in force."""

    @property
    def source(self) -> str:
        """Where its numbers come from."""


EPOCH = date(1970, 1, 1)

FIRST_OF_ALL = -(2**62)
"""Day of a row that has always applied."""


def checked_number(name: str, value: Any, *, below: float = math.inf, signed: bool = False) -> float:
    """`value` as a float, finite, not negative (unless `signed`) and under `below`.

    Raises
    ------
    ParameterError
        For anything else, naming it.
    """
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (number < 0.0 and not signed) or number >= below:
        low = "a finite number" if signed else "a finite number of at least 0"
        limit = "" if below == math.inf else f" and below {below:g}"
        raise ParameterError(f"{name} is {value!r}; {low}{limit} is needed.")
    return number


def first_day(start: str | None) -> int:
    """Days from 1970-01-01 to an ISO date; None, a row that has always applied, is before every date.

    Raises
    ------
    ParameterError
        For a string that is no ISO date.
    """
    if start is None:
        return FIRST_OF_ALL
    try:
        return (date.fromisoformat(start) - EPOCH).days
    except (TypeError, ValueError):
        raise ParameterError(
            f"{start!r} is no date; give it as 'YYYY-MM-DD', for example '2024-05-22'."
        ) from None


def row_in_force(rows: Sequence[Row], day: int) -> int:
    """Position of the row that applies on `day` (days since 1970); the first for a day before it."""
    return max(bisect_right([first_day(row.start) for row in rows], day) - 1, 0)


def _check_rows(name: str, rows: Sequence[Row]) -> None:
    days = [first_day(row.start) for row in rows]
    if not days:
        raise ParameterError(f"schedule {name!r} has no row; at least one is needed.")
    if any(a >= b for a, b in pairwise(days)):
        raise ParameterError(
            f"rows of schedule {name!r} start at {[r.start for r in rows]}; starts must rise."
        )


def plain(value: Any) -> Any:
    """Tuples as lists, all the way down: what JSON gives back."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


# -- commission ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates up to a monthly number of units; tiers are marginal.

    Parameters
    ----------
    per_unit : float
        Money per raw unit.
    rate : float
        Fraction of trade value.
    minimum : float
        Money per order, for orders that start in this tier.
    up_to : float or None
        Raw units a calendar month at which the tier ends; None in the last.
    """

    per_unit: float = 0.0
    rate: float = 0.0
    minimum: float = 0.0
    up_to: float | None = None

    def __post_init__(self) -> None:
        for name in ("per_unit", "rate", "minimum"):
            object.__setattr__(self, name, checked_number(name, getattr(self, name)))
        if self.up_to is not None and not checked_number("up_to", self.up_to) > 0.0:
            raise ParameterError("up_to is 0; a tier ends above 0, and the last has None.")


@dataclass(frozen=True, slots=True)
class CommissionRow:
    """Commission in force from `start`.

    Parameters
    ----------
    start : str or None
        ISO date; None for a row that has always applied.
    tiers : tuple of Tier
        In rising order; the last without `up_to`.
    source : str
        Where the numbers come from, and what is not known about them.
    cap : float or None
        Largest commission as a fraction of trade value; it also beats the minimum. None without one.
    unit_fee : float
        Fees of exchange and clearing passed on per raw unit, outside minimum and cap; negative for a rebate.
    share : float
        Fees passed on as a fraction of the commission.
    confirmed : bool
        Whether the numbers are in force, rather than announced or filed.
    """

    start: str | None
    tiers: tuple[Tier, ...]
    source: str
    cap: float | None = None
    unit_fee: float = 0.0
    share: float = 0.0
    confirmed: bool = True

    def __post_init__(self) -> None:
        first_day(self.start)
        ends = [math.inf if t.up_to is None else t.up_to for t in self.tiers]
        if not ends or ends[-1] != math.inf or any(a >= b for a, b in pairwise(ends)):
            raise ParameterError(f"tiers end at {ends}; ends must rise and the last must be None (no end).")
        if self.cap is not None:
            checked_number("cap", self.cap)
        checked_number("unit_fee", self.unit_fee, signed=True)
        checked_number("share", self.share)

    def stressed(self, multiplier: float) -> CommissionRow:
        """Row with every amount times `multiplier`; a rebate stays, for stress must not pay."""
        tiers = tuple(
            Tier(t.per_unit * multiplier, t.rate * multiplier, t.minimum * multiplier, t.up_to)
            for t in self.tiers
        )
        cap = None if self.cap is None else self.cap * multiplier
        fee = self.unit_fee * multiplier if self.unit_fee > 0.0 else self.unit_fee
        return replace(self, tiers=tiers, cap=cap, unit_fee=fee)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A broker's commission over time.

    Parameters
    ----------
    name : str
        What reports call it.
    rows : tuple of CommissionRow
        In order of their start.
    security_types : tuple of str
        What it may be used for; empty for everything.
    currency : str or None
        Currency of its amounts; None where they are fractions or the user's own.
    group : str
        Assets whose schedules share a group have their monthly units counted together; the name otherwise.
    remarks : tuple of str
        What a reader of a result should know.
    """

    name: str
    rows: tuple[CommissionRow, ...]
    security_types: tuple[str, ...] = ()
    currency: str | None = None
    group: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_rows(self.name, self.rows)
        for kind in self.security_types:
            if kind not in SECURITY_TYPES:
                raise UnknownNameError("security type", kind, SECURITY_TYPES)

    def __repr__(self) -> str:
        return f"Schedule({self.name!r})"

    def stressed(self, multiplier: float) -> Schedule:
        """Schedule with every amount times `multiplier`."""
        return replace(self, rows=tuple(row.stressed(multiplier) for row in self.rows))

    def describe(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return dict(plain(asdict(self)))

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Schedule:
        """Restore what `describe` gave."""
        rows = tuple(
            CommissionRow(**{**row, "tiers": tuple(Tier(**tier) for tier in row["tiers"])})
            for row in description["rows"]
        )
        lists = {k: tuple(description[k]) for k in ("security_types", "remarks")}
        return cls(**{**description, "rows": rows, **lists})

    @classmethod
    def percent(cls, rate: float) -> Schedule:
        """Fraction `rate` of trade value, without minimum or cap."""
        rate = checked_number("commission", rate, below=1.0)
        return cls(f"{rate:.6%} of value", (CommissionRow(None, (Tier(rate=rate),), "given by the user"),))

    @classmethod
    def per_share(cls, per_unit: float, minimum: float = 0.0, cap: float | None = None) -> Schedule:
        """Money per raw unit, with a minimum per order and a cap as fraction of trade value."""
        row = CommissionRow(None, (Tier(per_unit, minimum=minimum),), "given by the user", cap=cap)
        return cls(f"{per_unit:g} per unit, minimum {minimum:g}, cap {cap}", (row,))


# -- regulatory fees ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FeeRow:
    """Regulatory fee in force from `start`.

    Parameters
    ----------
    start : str or None
        ISO date; None for a row that has always applied.
    rate : float
        Fraction of value sold (SEC) or money per unit sold (TAF).
    source : str
        Where the number comes from.
    maximum : float or None
        Most money per execution; None without one.
    confirmed : bool
        Whether the number is in force, rather than announced or filed.
    """

    start: str | None
    rate: float
    source: str
    maximum: float | None = None
    confirmed: bool = True

    def __post_init__(self) -> None:
        first_day(self.start)
        checked_number("rate", self.rate)
        if self.maximum is not None:
            checked_number("maximum", self.maximum)

    def stressed(self, multiplier: float) -> FeeRow:
        """Row with rate and maximum times `multiplier`."""
        top = None if self.maximum is None else self.maximum * multiplier
        return replace(self, rate=self.rate * multiplier, maximum=top)


@dataclass(frozen=True, slots=True)
class FeeTable:
    """One regulatory fee over time: its name and its rows in order of their start."""

    name: str
    rows: tuple[FeeRow, ...]

    def __post_init__(self) -> None:
        _check_rows(self.name, self.rows)

    def __repr__(self) -> str:
        return f"FeeTable({self.name!r})"


@dataclass(frozen=True, slots=True)
class RegulatoryFees:
    """What is charged on sales of US stocks, each rounded up to the cent per execution.

    Parameters
    ----------
    sec : FeeTable
        SEC section 31, a fraction of the value sold.
    taf : FeeTable
        FINRA trading activity fee, money per share sold with a maximum.
    """

    sec: FeeTable
    taf: FeeTable

    def stressed(self, multiplier: float) -> RegulatoryFees:
        """Fees with every rate and maximum times `multiplier` (the rounding to cents stays)."""
        sec, taf = (
            FeeTable(t.name, tuple(r.stressed(multiplier) for r in t.rows)) for t in (self.sec, self.taf)
        )
        return RegulatoryFees(sec, taf)

    def describe(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return dict(plain(asdict(self)))

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> RegulatoryFees:
        """Restore what `describe` gave."""
        sec, taf = (
            FeeTable(t["name"], tuple(FeeRow(**row) for row in t["rows"]))
            for t in (description["sec"], description["taf"])
        )
        return cls(sec, taf)


# -- for the table ------------------------------------------------------------------------------------------


def schedules_to_rates(
    schedules: Sequence[Schedule | None],
    charged: Sequence[RegulatoryFees | None],
    days: Sequence[int],
) -> NDArray[np.float64]:
    """Fill the array `rates` of a `CostTable`.

    Parameters
    ----------
    schedules : sequence of Schedule or None
        Commission of each asset.
    charged : sequence of RegulatoryFees or None
        Regulatory fees of each asset.
    days : sequence of int
        Day (days since 1970) of each row.

    Returns
    -------
    ndarray of shape (n_rows, n_assets, N_RATES)
        As `CostTable` says; without a schedule nothing is charged, and inf stands for no limit.
    """
    rates = np.zeros((len(days), len(schedules), N_RATES))
    rates[..., [CAP, TAF_MAX]] = np.inf
    rates[..., TIERS + UP_TO :: N_TIER] = np.inf
    alike: dict[tuple[Schedule | None, RegulatoryFees | None], list[int]] = {}
    for i, pair in enumerate(zip(schedules, charged, strict=True)):
        alike.setdefault(pair, []).append(i)
    for r, day in enumerate(days):
        for (schedule, fees), assets in alike.items():
            cell = rates[r, assets[0]]
            if schedule is not None:
                row = schedule.rows[row_in_force(schedule.rows, day)]
                for k, tier in enumerate(row.tiers):
                    start = TIERS + k * N_TIER
                    cell[start + UP_TO] = np.inf if tier.up_to is None else tier.up_to
                    cell[start + PER_UNIT] = tier.per_unit
                    cell[start + RATE] = tier.rate
                    cell[start + MINIMUM] = tier.minimum
                cell[UNIT_FEE] = row.unit_fee
                cell[SHARE] = row.share
                cell[CAP] = np.inf if row.cap is None else row.cap
            if fees is not None:
                activity = fees.taf.rows[row_in_force(fees.taf.rows, day)]
                cell[SEC] = fees.sec.rows[row_in_force(fees.sec.rows, day)].rate
                cell[TAF] = activity.rate
                cell[TAF_MAX] = np.inf if activity.maximum is None else activity.maximum
            rates[r, assets] = cell
    return rates


def bars_of_starts(session: NDArray[np.int64], starts: Iterable[int]) -> NDArray[np.int64]:
    """Bars from which a row may differ from the one before: 0, and the first bar on or after each start."""
    bars = np.searchsorted(session, np.array(sorted(set(starts)), np.int64), "left").tolist()
    return np.array(sorted({0, *(t for t in bars if t < session.size)}), np.int64)


def month_starts(session: NDArray[np.int64]) -> NDArray[np.int64]:
    """First bar of each calendar month that has bars."""
    month = session.view("M8[D]").astype("M8[M]").astype(np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.flatnonzero(np.diff(month)) + 1]).astype(np.int64)


def days_between(session: NDArray[np.int64]) -> NDArray[np.float64]:
    """Calendar days from the session of the bar before; 0 for the first bar and within a session."""
    return np.diff(session, prepend=session[:1]).astype(np.float64)


def bars_before(what: str, rows: Sequence[Row], session: NDArray[np.int64]) -> Iterator[str]:
    """Say how many bars are before the first row of `what`, if any."""
    before = int((session < first_day(rows[0].start)).sum())
    if before:
        count = "all" if before == session.size else f"{before} of {session.size}"
        yield f"{what} from {rows[0].start} ({count} bars)"


def rows_to_notes(what: str, rows: Sequence[Row], session: NDArray[np.int64]) -> Iterator[str]:
    """Say how many bars use unconfirmed rows of `what`."""
    days = np.array([first_day(row.start) for row in rows])
    in_force = np.maximum(np.searchsorted(days, session, "right") - 1, 0)
    for k, row in enumerate(rows):
        count = int((in_force == k).sum())
        if count and not row.confirmed:
            since = f" of {row.start}" if row.start else ""
            yield f"{count} of {session.size} bars use the unconfirmed row{since} of {what}: {row.source}"
