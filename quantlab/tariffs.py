"""Published schedules: Interactive Brokers' commissions and interest, the regulators' fees.

Numbers only, each row with its source. Interactive Brokers' pages do not say since when a schedule applies;
the row then starts on the day it was collected, and every earlier bar is reported as before the first row.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.errors import ParameterError, UnknownNameError
from quantlab.schedules import (
    FIRST_OF_ALL,
    CommissionRow,
    FeeRow,
    FeeTable,
    RegulatoryFees,
    Schedule,
    Tier,
    checked_number,
    first_day,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "IBKR_CFD",
    "IBKR_CRYPTO",
    "IBKR_FIXED",
    "IBKR_FOREX",
    "IBKR_INDEX",
    "NO_INTEREST",
    "US_FEES",
    "Interest",
    "ibkr_by_type",
    "ibkr_futures_schedule",
    "ibkr_tiered_schedule",
]

COLLECTED = "2026-11-22"
"""Day on which Interactive Brokers' schedules were collected; since when each applies is not known."""

NO_START = f"collected {COLLECTED}, which is the row's start because the true one is not known"

IBKR_FIXED = Schedule(
    "IBKR fixed, US stocks",
    (
        CommissionRow(
            COLLECTED,
            (Tier(per_unit=0.005, minimum=1.0),),
            f"Interactive Brokers, comparison of fixed and tiered stock pricing; {NO_START}",
            cap=0.01,
        ),
    ),
    ("STK",),
    "USD",
)

EXCHANGE_FEE = {"remove": 0.0030, "add": -0.0021}
"""Exchange fee per share by liquidity, from the worked examples of Interactive Brokers' comparison page."""

CLEARING_FEE = 0.00020
"""NSCC and DTC per share."""

PASS_THROUGH = 0.000175 + 0.00056
"""NYSE and FINRA pass-through as fraction of the tiered commission."""


def ibkr_tiered_schedule(*, liquidity: str = "remove", cat: float = 0.0001) -> Schedule:
    """US stocks, tiered.

    Parameters
    ----------
    liquidity : {"remove", "add"}
        Whether orders take or give liquidity: market orders take.
    cat : float
        Consolidated Audit Trail fee per share. The sources say only that it is below 0.0001, which is the
        default: an upper bound, one cent per hundred shares.

    Raises
    ------
    UnknownNameError, ParameterError
        For another liquidity; for a fee that is negative or not finite.
    """
    if liquidity not in EXCHANGE_FEE:
        raise UnknownNameError("liquidity", liquidity, EXCHANGE_FEE)
    tiers = tuple(
        Tier(per_unit=rate, minimum=0.35, up_to=end)
        for end, rate in ((3e5, 0.0035), (3e6, 0.0020), (2e7, 0.0015), (1e8, 0.0010), (None, 0.0005))
    )
    row = CommissionRow(
        COLLECTED,
        tiers,
        "Interactive Brokers, tiered stock pricing with NSCC/DTC 0.00020, exchange fee as in its worked "
        f"examples (venues differ), NYSE 0.000175 and FINRA 0.00056 of commission; {NO_START}",
        cap=0.01,
        unit_fee=EXCHANGE_FEE[liquidity] + CLEARING_FEE + checked_number("cat", cat),
        share=PASS_THROUGH,
    )
    remark = (
        f"the CAT fee is taken as {cat:g} per share; known is only that it is below 0.0001" if cat else ""
    )
    name = f"IBKR tiered, US stocks, {'removing' if liquidity == 'remove' else 'adding'} liquidity"
    return Schedule(name, (row,), ("STK",), "USD", "IBKR tiered, US stocks", (remark,) if remark else ())


def ibkr_futures_schedule(
    *, tiered: bool = False, micro: bool = False, exchange_fee: float = 0.0, regulatory_fee: float = 0.0
) -> Schedule:
    """US futures, per contract; exchange and regulatory (NFA) fees are the user's to give."""
    rates = (0.25, 0.20, 0.15, 0.10) if micro else (0.85, 0.65, 0.45, 0.25)
    ends = (1e3, 1e4, 2e4, None)
    tiers = tuple(Tier(per_unit=r, up_to=e) for r, e in zip(rates, ends, strict=True))
    given = checked_number("exchange_fee", exchange_fee) + checked_number("regulatory_fee", regulatory_fee)
    kind = f"{'tiered' if tiered else 'fixed'}, US {'micro ' if micro else ''}futures"
    row = CommissionRow(
        COLLECTED,
        tiers if tiered else (Tier(per_unit=rates[0]),),
        "Interactive Brokers, US futures per contract; micro contracts are taken to have the tier limits of "
        f"the others; {NO_START}",
        unit_fee=given,
    )
    remark = "exchange and regulatory fees per contract are not charged (none were given)"
    return Schedule(f"IBKR {kind}", (row,), ("FUT",), "USD", f"IBKR {kind}", () if given else (remark,))


IBKR_FOREX = Schedule(
    "IBKR tiered, forex",
    (
        CommissionRow(
            COLLECTED,
            tuple(
                Tier(rate=rate, minimum=least, up_to=end)
                for end, rate, least in (
                    (1e9, 2e-5, 2.0),
                    (2e9, 1.5e-5, 1.5),
                    (5e9, 1e-5, 1.25),
                    (None, 8e-6, 1.0),
                )
            ),
            "Interactive Brokers, spot currencies; its monthly limits are in USD, here in units of the base "
            f"currency; {NO_START}",
        ),
    ),
    ("CASH",),
    "USD",
)

IBKR_CFD = Schedule(
    "IBKR tiered, US share CFDs",
    (
        CommissionRow(
            COLLECTED,
            tuple(
                Tier(per_unit=rate, minimum=least, up_to=end)
                for end, rate, least in (
                    (3e5, 0.0050, 1.0),
                    (3e6, 0.0045, 1.0),
                    (2e7, 0.0040, 1.0),
                    (1e8, 0.0035, 1.0),
                    (None, 0.0030, 0.65),
                )
            ),
            f"Interactive Brokers, share CFD pricing, exchange and regulatory fees included; {NO_START}",
        ),
    ),
    ("CFD",),
    "USD",
    remarks=("CFDs on indices, currencies and shares outside the US are priced otherwise",),
)

IBKR_CRYPTO = Schedule(
    "IBKR, cryptocurrencies",
    (
        CommissionRow(
            COLLECTED,
            (Tier(rate=0.0018, minimum=1.75),),
            "Interactive Brokers with Paxos, first volume tier (0.18 %, minimum 1.75, at most 1 % of value), "
            f"as quoted by a user forum; {NO_START}",
            cap=0.01,
            confirmed=False,
        ),
    ),
    ("CRYPTO",),
    "USD",
)

IBKR_INDEX = replace(
    IBKR_FIXED,
    name="IBKR fixed, US stocks, for an index",
    security_types=("IND",),
    remarks=("an index cannot be traded; it is charged as if its units were shares of a fund",),
)


# -- regulatory fees ----------------------------------------------------------------------------------------

SIXTY_DAYS = "; start by the rule of 60 days after the appropriation, not read in a notice"

US_FEES = RegulatoryFees(
    FeeTable(
        "SEC section 31",
        (
            FeeRow("2014-03-18", 22.10e-6, "FINRA Information Notice 2014-03-03"),
            FeeRow(
                "2015-02-14",
                22.10e-6,
                "rate of 2015 not found, the one before is kept" + SIXTY_DAYS,
                confirmed=False,
            ),
            FeeRow("2016-02-16", 21.80e-6, "FINRA Information Notice 2016-03-15 (rate)" + SIXTY_DAYS),
            FeeRow("2017-07-04", 23.10e-6, "SEC fee rate advisory for fiscal year 2017"),
            FeeRow("2018-05-22", 13.00e-6, "FINRA Information Notice 2018-05-07"),
            FeeRow("2019-04-16", 20.70e-6, "FINRA Information Notice 2020-02-03 (rate)" + SIXTY_DAYS),
            FeeRow("2020-02-18", 22.10e-6, "FINRA Information Notice 2020-02-03"),
            FeeRow("2021-02-25", 5.10e-6, "FINRA Information Notice 2021-02-16"),
            FeeRow("2022-05-14", 22.90e-6, "SEC announcement of 2023-01-23 (rate)" + SIXTY_DAYS),
            FeeRow("2023-02-27", 8.00e-6, "SEC announcement of 2023-01-23, Rel. 34-96724"),
            FeeRow("2024-05-22", 27.80e-6, "SEC Rel. 34-99973 (rate)" + SIXTY_DAYS),
            FeeRow("2025-05-14", 0.00e-6, "FINRA Information Notice 2025-04-24"),
            FeeRow("2026-04-04", 20.60e-6, "SEC Rel. 34-104909, FR 2026-04233"),
        ),
    ),
    FeeTable(
        "FINRA TAF",
        (
            FeeRow(
                "2020-01-01",
                0.000119,
                "FINRA fee increase schedule, SR-FINRA-2020-032; in force earlier",
                5.95,
            ),
            FeeRow("2022-01-01", 0.000130, "FINRA fee increase schedule, SR-FINRA-2020-032", 6.49),
            FeeRow("2023-01-01", 0.000145, "FINRA fee increase schedule, SR-FINRA-2020-032", 7.27),
            FeeRow("2024-01-01", 0.000166, "FINRA fee increase schedule, SR-FINRA-2020-032", 8.30),
            FeeRow("2026-01-01", 0.000195, "SR-FINRA-2024-019", 9.79),
            FeeRow(
                "2026-10-01",
                0.0,
                "fee holiday as filed, SR-FINRA-2026-021, Rel. 34-106409",
                9.79,
                confirmed=False,
            ),
            FeeRow("2027-01-01", 0.000232, "SR-FINRA-2024-019", 11.61),
            FeeRow("2028-01-01", 0.000240, "SR-FINRA-2024-019", 12.05),
        ),
    ),
)


# -- interest -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interest:
    """Interest on cash by Interactive Brokers' USD rules.

    Parameters
    ----------
    benchmark : float or mapping of date to float
        Annual benchmark rate (for USD the effective federal funds rate), constant or by the date from which
        it applies. It has no default: it changes, and no number that is built in would stay true.
    debit : tuple of (float or None, float)
        Upper bound in money and spread over the benchmark of each tranche of debt; None in the last.
    credit_spread : float
        What cash earns less than the benchmark.
    credit_free : float
        Cash that earns nothing.
    full_credit_equity : float
        Equity from which the full rate is paid; below it, in proportion.
    year_days : float
        Days of the interest year (360 for USD, 365 for GBP).
    debit_scale : float
        Factor on what is paid, for stress.
    source : str
        Where the spreads come from.

    Raises
    ------
    ParameterError
        For a rate that is not finite, a negative amount, tranches that do not rise, or a bad date.
    """

    benchmark: float | Mapping[Any, float]
    debit: tuple[tuple[float | None, float], ...] = (
        (100_000.0, 0.015),
        (1_000_000.0, 0.010),
        (50_000_000.0, 0.0075),
        (None, 0.005),
    )
    credit_spread: float = 0.005
    credit_free: float = 10_000.0
    full_credit_equity: float = 100_000.0
    year_days: float = 360.0
    debit_scale: float = 1.0
    source: str = "Interactive Brokers, USD margin interest; when it applied from is not known"

    def __post_init__(self) -> None:
        put = object.__setattr__
        if hasattr(self.benchmark, "items"):
            rates = {
                str(k)[:10]: checked_number("benchmark", v, signed=True) for k, v in self.benchmark.items()
            }
            if not rates:
                raise ParameterError(
                    "benchmark is an empty mapping; give a rate, or at least one date and rate."
                )
            put(self, "benchmark", dict(sorted(rates.items(), key=lambda pair: first_day(pair[0]))))
        else:
            put(self, "benchmark", checked_number("benchmark", self.benchmark, signed=True))
        put(self, "debit", tuple((e, checked_number("debit spread", s, signed=True)) for e, s in self.debit))
        ends = [math.inf if e is None else checked_number("debit tranche", e) for e, _ in self.debit]
        if not ends or ends[-1] != math.inf or any(a >= b for a, b in pairwise(ends)):
            raise ParameterError(f"debit tranches end at {ends}; ends must rise and the last must be None.")
        for name in ("credit_spread", "credit_free", "full_credit_equity", "debit_scale"):
            checked_number(name, getattr(self, name))
        if not checked_number("year_days", self.year_days) > 0.0:
            raise ParameterError("year_days is 0; the days of an interest year are needed, 360 for USD.")

    def starts(self) -> list[tuple[int, float]]:
        """Day (days since 1970) and benchmark of each row, in order."""
        if isinstance(self.benchmark, dict):
            return [(first_day(k), float(v)) for k, v in self.benchmark.items()]
        return [(FIRST_OF_ALL, float(self.benchmark))]  # type: ignore[arg-type]  # a mapping is a dict by now

    def terms(self) -> dict[str, Any]:
        """Fields `debit`, `debit_scale` and `credit` of a `CostTable`."""
        debit = [[math.inf if end is None else end, spread] for end, spread in self.debit]
        credit = (self.credit_spread, self.credit_free, self.full_credit_equity, self.year_days)
        return {
            "debit": np.array(debit, np.float64),
            "debit_scale": float(self.debit_scale),
            "credit": np.array(credit, np.float64),
        }

    def stressed(self, multiplier: float) -> Interest:
        """Interest with what is paid times `multiplier`; what is earned stays, for stress must not pay."""
        return replace(self, debit_scale=self.debit_scale * multiplier)

    def describe(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return dict(plain(asdict(self)))

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Interest:
        """Restore what `describe` gave."""
        return cls(**{**description, "debit": tuple((end, spread) for end, spread in description["debit"])})


NO_INTEREST = Interest(0.0, debit=((None, 0.0),), credit_spread=0.0, source="none")
"""What stands in a table that charges no interest, so that every table has one type."""


def ibkr_by_type() -> dict[str, Schedule | None]:
    """Interactive Brokers' fixed schedule of each security type, or the only one there is."""
    return {
        "STK": IBKR_FIXED,
        "FUT": ibkr_futures_schedule(),
        "CASH": IBKR_FOREX,
        "CFD": IBKR_CFD,
        "IND": IBKR_INDEX,
        "CRYPTO": IBKR_CRYPTO,
    }
