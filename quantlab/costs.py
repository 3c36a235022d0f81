"""Costs: what trading and holding costs, as schedules that are made into one flat table for the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from quantlab.errors import ParameterError, UnknownNameError
from quantlab.kernels.cost import CostTable
from quantlab.model import SECURITY_TYPES
from quantlab.schedules import (
    RegulatoryFees,
    Row,
    Schedule,
    bars_before,
    bars_of_starts,
    checked_number,
    days_between,
    first_day,
    month_starts,
    rows_to_notes,
    schedules_to_rates,
)
from quantlab.tariffs import (
    IBKR_FIXED,
    IBKR_FOREX,
    NO_INTEREST,
    US_FEES,
    Interest,
    ibkr_by_type,
    ibkr_futures_schedule,
    ibkr_tiered_schedule,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.model import Instrument

__all__ = ["Costs", "Interest", "RegulatoryFees", "Schedule"]

BPS = 10_000.0
"""Basis points of the whole price."""

NEVER_BORROWED = ("FUT", "CASH")
"""Security types whose short positions are not borrowed; a rate for all assets skips them."""


def _as_schedule(value: Any) -> Schedule | None:
    """Read a schedule, a fraction of value, or None."""
    if value is None or isinstance(value, Schedule):
        return value
    return Schedule.percent(checked_number("commission", value, below=1.0))


def _as_rates(name: str, value: Any, below: float) -> float | dict[str, float]:
    """Check a number, or one per symbol."""
    if hasattr(value, "items"):
        return {str(k): checked_number(f"{name} of {k}", v, below=below) for k, v in value.items()}
    return checked_number(name, value, below=below)


def _schedule_by_key(by_key: Mapping[str, Schedule | None], instrument: Instrument) -> Schedule | None:
    """Schedule of an instrument by its symbol or, failing that, its security type."""
    for key in (instrument.symbol, instrument.security_type):
        if key in by_key:
            return by_key[key]
    raise ParameterError(
        f"commission has no schedule for {instrument.symbol} ({instrument.security_type}); it names "
        f"{', '.join(by_key)}. Add its symbol or its security type, with None for no commission."
    )


class CostOptions(TypedDict, total=False):
    """Keywords that every named constructor of `Costs` takes beside its own."""

    slippage_bps: float | Mapping[str, float]
    spread_bps: float | Mapping[str, float]
    fees: RegulatoryFees | str | None
    borrow: float | Mapping[str, float]
    interest: Interest | None


@dataclass(frozen=True)
class Costs:
    """What trading and holding costs. Immutable; `replace` makes variants.

    Parameters
    ----------
    commission : Schedule, float, None or mapping, optional
        A schedule, a fraction of trade value, None for no commission, or a mapping to these whose keys are
        symbols or security types (the symbol wins). Left out, it is Interactive Brokers' fixed schedule for
        each instrument's security type.
    slippage_bps : float or mapping of symbol to float
        Hundredths of a percent by which a marketable fill is worse than its reference price; symbols that a
        mapping leaves out have none.
    spread_bps : float or mapping of symbol to float
        Bid-ask spread; a marketable fill pays half of it.
    fees : RegulatoryFees, None or "auto"
        Fees on sales of stocks in USD. ``"auto"``: the US ones where commission is a schedule or a mapping,
        none where it is a number or None.
    borrow : float or mapping of symbol to float
        Annual rate paid for borrowed units of short positions, 0.0025 for 25 basis points. A number leaves
        out futures and currencies.
    interest : Interest or None
        Interest on cash; None charges and pays none.

    Raises
    ------
    ParameterError
        For a rate that is negative, not finite or not a number.
    UnknownNameError
        When a table is made, for a symbol that the bars do not have.
    """

    commission: Schedule | float | Mapping[str, Any] | None = field(default_factory=ibkr_by_type)
    slippage_bps: float | Mapping[str, float] = 0.0
    spread_bps: float | Mapping[str, float] = 0.0
    fees: RegulatoryFees | str | None = "auto"
    borrow: float | Mapping[str, float] = 0.0
    interest: Interest | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.fees == "auto":
            free = self.commission is None or isinstance(self.commission, (int, float))
            put(self, "fees", None if free else US_FEES)
        if not (self.fees is None or isinstance(self.fees, RegulatoryFees)):
            raise ParameterError(f"fees is {self.fees!r}; a RegulatoryFees, None or 'auto' is needed.")
        if not (self.interest is None or isinstance(self.interest, Interest)):
            raise ParameterError(
                f"interest is {self.interest!r}; an Interest or None is needed, for example Interest(0.05)."
            )
        given: Any = self.commission
        by_key = {k: _as_schedule(v) for k, v in given.items()} if hasattr(given, "items") else None
        put(self, "commission", _as_schedule(given) if by_key is None else by_key)
        for name, below in (("slippage_bps", BPS), ("spread_bps", BPS), ("borrow", np.inf)):
            put(self, name, _as_rates(name, getattr(self, name), below))

    @classmethod
    def _make(cls, commission: Any, options: CostOptions) -> Costs:
        """Costs of a named constructor."""
        for name in options:
            if name not in CostOptions.__annotations__:
                raise UnknownNameError("cost", name, CostOptions.__annotations__)
        return cls(commission=commission, **options)

    # -- making ----------------------------------------------------------------------------------------

    @classmethod
    def default(cls) -> Costs:
        """Interactive Brokers' fixed schedule for each security type, US fees, and 1 bp of slippage."""
        return cls(slippage_bps=1.0)

    @classmethod
    def zero(cls) -> Costs:
        """Nothing costs anything."""
        return cls(commission=None)

    @classmethod
    def percent(cls, rate: float, **options: Unpack[CostOptions]) -> Costs:
        """Commission of a fraction of trade value (0.001 is 10 bp), no regulatory fees.

        Further keywords, here and below: slippage_bps, spread_bps, fees, borrow, interest.
        """
        return cls._make(Schedule.percent(rate), {"fees": None, **options})

    @classmethod
    def per_share(
        cls,
        per_unit: float,
        *,
        minimum: float = 0.0,
        cap: float | None = None,
        **options: Unpack[CostOptions],
    ) -> Costs:
        """Commission per raw unit, minimum per order, cap as fraction of value, no regulatory fees."""
        return cls._make(Schedule.per_share(per_unit, minimum, cap), {"fees": None, **options})

    @classmethod
    def ibkr_fixed(cls, **options: Unpack[CostOptions]) -> Costs:
        """Interactive Brokers, US stocks, fixed, with US fees on sales."""
        return cls._make(IBKR_FIXED, options)

    @classmethod
    def ibkr_tiered(
        cls, *, liquidity: str = "remove", cat: float = 0.0001, **options: Unpack[CostOptions]
    ) -> Costs:
        """Interactive Brokers, US stocks, tiered by monthly volume; see `tariffs.ibkr_tiered_schedule`."""
        return cls._make(ibkr_tiered_schedule(liquidity=liquidity, cat=cat), options)

    @classmethod
    def ibkr_futures(
        cls,
        *,
        tiered: bool = False,
        micro: bool | Iterable[str] = False,
        exchange_fee: float | Mapping[str, float] = 0.0,
        regulatory_fee: float | Mapping[str, float] = 0.0,
        **options: Unpack[CostOptions],
    ) -> Costs:
        """Interactive Brokers, US futures, per contract.

        Parameters
        ----------
        tiered : bool
            By monthly volume rather than fixed.
        micro : bool or iterable of str
            Whether the contracts are micro contracts, or the symbols of those that are.
        exchange_fee, regulatory_fee : float or mapping of symbol to float
            Money per contract. Their default is 0, and `notes` says so, since they differ by contract.
        **options
            As for `percent`.
        """
        exchange = _as_rates("exchange_fee", exchange_fee, np.inf)
        regulatory = _as_rates("regulatory_fee", regulatory_fee, np.inf)
        micros = set() if isinstance(micro, bool) else {micro} if isinstance(micro, str) else set(micro)
        named = micros.union(*(rates for rates in (exchange, regulatory) if isinstance(rates, dict)))

        def schedule(symbol: str | None) -> Schedule:
            ours = [r.get(symbol or "", 0.0) if isinstance(r, dict) else r for r in (exchange, regulatory)]
            return ibkr_futures_schedule(
                tiered=tiered,
                micro=micro is True or symbol in micros,
                exchange_fee=ours[0],
                regulatory_fee=ours[1],
            )

        by_symbol = {s: schedule(s) for s in sorted(named)}
        return cls._make({"FUT": schedule(None), **by_symbol} if named else schedule(None), options)

    @classmethod
    def ibkr_forex(cls, **options: Unpack[CostOptions]) -> Costs:
        """Interactive Brokers, spot currencies, tiered by monthly volume."""
        return cls._make(IBKR_FOREX, options)

    def replace(self, **changes: Any) -> Costs:
        """Costs with some parameters changed.

        Raises
        ------
        UnknownNameError
            For a parameter that does not exist.
        """
        names = [f.name for f in fields(self)]
        for name in changes:
            if name not in names:
                raise UnknownNameError("cost", name, names)
        return replace(self, **changes)

    def stressed(self, multiplier: float) -> Costs:
        """Every cost times `multiplier`: rates, minimums, caps and fees. Rebates and interest earned stay.

        Raises
        ------
        ParameterError
            For a multiplier that is negative or not finite, or that makes slippage reach the whole price.
        """
        m = checked_number("multiplier", multiplier)

        def times(value: Any) -> Any:
            if isinstance(value, dict):
                return {k: times(v) for k, v in value.items()}
            if isinstance(value, (Schedule, RegulatoryFees, Interest)):
                return value.stressed(m)
            return None if value is None else value * m

        return Costs(**{f.name: times(getattr(self, f.name)) for f in fields(self)})

    # -- writing down ----------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Everything, as what JSON can hold; `from_description` restores it."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {"by_key": {k: plain(v) for k, v in value.items()}}
            return value.describe() if hasattr(value, "describe") else value

        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Costs:
        """Restore what `describe` gave.

        Raises
        ------
        ParameterError
            For a description that `describe` does not give.
        """

        def restore(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            if "by_key" in value:
                return {k: restore(v) for k, v in value["by_key"].items()}
            kind = RegulatoryFees if "sec" in value else Interest if "benchmark" in value else Schedule
            return kind.from_description(value)

        try:
            return cls(**{f.name: restore(description[f.name]) for f in fields(cls)})
        except (KeyError, TypeError, AttributeError) as error:
            raise ParameterError(
                f"this is no description of costs ({type(error).__name__}: {error}); "
                "give what Costs.describe() returned, or read it from the report that holds it."
            ) from error

    # -- the table -------------------------------------------------------------------------------------

    def table(self, bars: Bars) -> CostTable:
        """Table of rates for exactly these bars.

        Parameters
        ----------
        bars : Bars
            The bars that are simulated; rows apply from their sessions.

        Returns
        -------
        CostTable
            O(rows x assets x tiers) numbers, and one per bar only where borrow or interest is charged.

        Raises
        ------
        UnknownNameError
            For a symbol of a mapping that is not among the bars.
        ParameterError
            For an instrument without a schedule or with one of another security type, and for slippage and
            half the spread that together reach the whole price.
        """
        schedules = self._schedules(bars)
        charged = self._charged_fees(bars)
        edges = bars_of_starts(bars.session, self._starts(schedules, charged))
        rates = schedules_to_rates(schedules, charged, [int(bars.session[t]) for t in edges])
        benchmarks = [] if self.interest is None else self.interest.starts()
        changes = bars_of_starts(bars.session, [day for day, _ in benchmarks])
        from_bar = np.array(sorted({*edges.tolist(), *changes.tolist()}), np.int64)
        names = [s.group or s.name if s else "" for s in schedules]
        groups = list(dict.fromkeys(names))
        slippage, half_spread = self._worsening(bars)
        borrow = self._borrow(bars)
        monthly = any(len(row.tiers) > 1 for s in schedules if s for row in s.rows)
        accrues = bool((borrow > 0.0).any()) or self.interest is not None
        return CostTable(
            from_bar=from_bar,
            rate_row=np.asarray(np.searchsorted(edges, from_bar, "right") - 1, np.int64),
            rates=rates,
            month_from=month_starts(bars.session) if monthly else np.zeros(1, np.int64),
            group=np.array([groups.index(n) for n in names], np.int64),
            n_groups=len(groups),
            slippage=slippage,
            half_spread=half_spread,
            borrow=borrow,
            benchmark=_benchmarks(benchmarks, bars.session[from_bar]),
            **(self.interest or NO_INTEREST).terms(),
            days=days_between(bars.session) if accrues else np.zeros(1),
            accrues=int(accrues),
            charges_interest=int(self.interest is not None),
        )

    def _schedules(self, bars: Bars) -> list[Schedule | None]:
        """Find the schedule of each asset."""
        given: Any = self.commission
        if not isinstance(given, dict):
            found: list[Schedule | None] = [given for _ in bars.instruments]
        else:
            allowed = {*SECURITY_TYPES, *bars.symbols}
            unknown = [k for k in given if k not in allowed]
            if unknown:
                raise UnknownNameError(
                    "symbol or security type", unknown[0], allowed, "commission names symbols of the bars."
                )
            found = [_schedule_by_key(given, x) for x in bars.instruments]
        for instrument, schedule in zip(bars.instruments, found, strict=True):
            kinds = schedule.security_types if schedule else ()
            if schedule and kinds and instrument.security_type not in kinds:
                raise ParameterError(
                    f"commission {schedule.name!r} is for {', '.join(kinds)}, and {instrument.symbol} is "
                    f"{instrument.security_type}. Use Costs.default(), which takes each type's own schedule, "
                    "or a mapping of security types to schedules."
                )
        return found

    def _charged_fees(self, bars: Bars) -> list[RegulatoryFees | None]:
        """Regulatory fees of each asset: of stocks in USD."""
        fees: RegulatoryFees | None = self.fees  # type: ignore[assignment]  # "auto" is resolved
        return [fees if x.security_type == "STK" and x.currency == "USD" else None for x in bars.instruments]

    def _starts(
        self, schedules: Sequence[Schedule | None], charged: Sequence[RegulatoryFees | None]
    ) -> list[int]:
        """Days on which a rate of any asset changes."""
        rows: list[Row] = [row for s in schedules if s for row in s.rows]
        rows += [row for f in charged if f for fee in (f.sec, f.taf) for row in fee.rows]
        return [first_day(row.start) for row in rows]

    def _per_symbol(self, name: str, bars: Bars) -> tuple[NDArray[np.float64], bool]:
        """Spread a number over the assets; whether it was given by symbol."""
        value = getattr(self, name)
        if not isinstance(value, dict):
            return np.full(bars.n_assets, float(value)), False
        for symbol in value:
            if symbol not in bars.symbols:
                raise UnknownNameError("symbol", symbol, bars.symbols, f"{name} names symbols of the bars.")
        return np.array([value.get(s, 0.0) for s in bars.symbols], np.float64), True

    def _worsening(self, bars: Bars) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slippage and half the spread of each asset, fractions of price."""
        slippage = self._per_symbol("slippage_bps", bars)[0] / BPS
        half_spread = self._per_symbol("spread_bps", bars)[0] / BPS / 2.0
        both = slippage + half_spread
        if (both >= 1.0).any():
            i = int(np.argmax(both >= 1.0))
            raise ParameterError(
                f"slippage and half the spread of {bars.symbols[i]} are {both[i] * BPS:g} bp together; they "
                "must stay below 10000 bp, the whole price."
            )
        return slippage, half_spread

    def _borrow(self, bars: Bars) -> NDArray[np.float64]:
        """Annual borrow rate of each asset."""
        rates, by_symbol = self._per_symbol("borrow", bars)
        if not by_symbol:
            rates[[x.security_type in NEVER_BORROWED for x in bars.instruments]] = 0.0
        return rates

    # -- what a reader should know ---------------------------------------------------------------------

    def notes(self, bars: Bars, *, short: bool = True, owing: bool = True) -> list[str]:
        """Say what a reader of a result on these bars should know, one sentence each.

        Bars before the first row of a table, unconfirmed rows in use, fees that were not given, amounts in
        another currency, and what is not charged at all.

        Parameters
        ----------
        bars : Bars
            The bars that were simulated.
        short, owing : bool
            Whether there were short positions and negative cash, so that it matters what those cost.
        """
        schedules = self._schedules(bars)
        used = list(dict.fromkeys(s for s in schedules if s))
        fees = [
            fee for f in dict.fromkeys(f for f in self._charged_fees(bars) if f) for fee in (f.sec, f.taf)
        ]
        tables: list[tuple[str, Sequence[Row]]] = [(s.name, s.rows) for s in used] + [
            (f.name, f.rows) for f in fees
        ]
        early = [text for name, rows in tables for text in bars_before(name, rows, bars.session)]
        found = (
            [f"bars before a table's first row are charged by that row: {'; '.join(early)}"] if early else []
        )
        for name, rows in tables:
            found += rows_to_notes(f"the {name} table", rows, bars.session)
        found += [f"{schedule.name}: {remark}" for schedule in used for remark in schedule.remarks]
        found += _currency_notes(bars, schedules)
        for name in ("slippage_bps", "spread_bps"):
            value = getattr(self, name)
            left_out = [s for s in bars.symbols if isinstance(value, dict) and s not in value]
            if left_out:
                found.append(f"{name} names no number for {', '.join(left_out)}; 0 is used")
        if short and not self._borrow(bars).any():
            found.append("borrow is not charged on short positions")
        if self.interest is None and owing:
            found.append("interest on cash is neither charged nor paid")
        elif self.interest is not None:
            day = self.interest.starts()[0][0]
            before = int((bars.session < day).sum())
            if before:
                first = np.datetime64(day, "D")
                found.append(f"{before} of {bars.n_bars} bars are before the first benchmark rate ({first})")
        return found


def _benchmarks(rows: Sequence[tuple[int, float]], session: NDArray[np.int64]) -> NDArray[np.float64]:
    """Benchmark rate in force at each session; the first rate before its date."""
    if not rows:
        return np.zeros(session.size)
    at = np.searchsorted(np.array([day for day, _ in rows]), session, "right") - 1
    return np.array([rate for _, rate in rows])[np.maximum(at, 0)]


def _currency_notes(bars: Bars, schedules: Sequence[Schedule | None]) -> Iterator[str]:
    """Assets whose schedule is in another currency than their prices."""
    for instrument, schedule in zip(bars.instruments, schedules, strict=True):
        if schedule and schedule.currency not in {None, instrument.currency}:
            yield (
                f"{instrument.symbol} trades in {instrument.currency}; the amounts of {schedule.name!r} are "
                f"in {schedule.currency} and are charged as if they were in {instrument.currency}"
            )
