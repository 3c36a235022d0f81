"""Costs: constructors, tables for given bars, notes, descriptions, stress and bad input."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.cost import naive_commission, naive_fees, naive_row

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.errors import ParameterError, UnknownNameError
from quantlab.kernels.cost import (
    commission,
    fees,
    interest_cost,
    month_at,
    row_at,
)
from quantlab.model import SECURITY_TYPES, Instrument
from quantlab.schedules import CommissionRow, FeeRow, FeeTable, RegulatoryFees, Schedule, Tier, row_in_force
from quantlab.tariffs import IBKR_FIXED, US_FEES, Interest, ibkr_by_type, ibkr_tiered_schedule

STOCK = Instrument("A")
EVERY_TYPE = tuple(Instrument(kind.lower(), kind, multiplier=2.0) for kind in SECURITY_TYPES)


def bars_on(sessions: list[str], *instruments: Instrument) -> Bars:
    days = np.array(sessions, "M8[D]").astype(np.int64)
    instruments = instruments or (STOCK,)
    prices = np.full((days.size, len(instruments)), 100.0)
    within = np.arange(days.size, dtype=np.int64)  # several bars of one session stay in order
    return Bars(
        time=days * 86_400_000_000_000 + within * 60_000_000_000,
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=prices,
        session=days,
        instruments=instruments,
        bar_size="1 min" if len(set(sessions)) < len(sessions) else "1 day",
    )


def every_day(first: str, last: str) -> list[str]:
    return [str(d) for d in np.arange(first, last, dtype="M8[D]")]


EXAMPLES = {
    "default": Costs.default(),
    "zero": Costs.zero(),
    "percent": Costs.percent(0.001, slippage_bps=2.0),
    "per share": Costs.per_share(0.005, minimum=1.0, cap=0.01),
    "fixed": Costs.ibkr_fixed(borrow=0.01),
    "tiered": Costs.ibkr_tiered(liquidity="add", cat=0.0),
    "futures": Costs.ibkr_futures(exchange_fee={"ES": 1.38}, regulatory_fee=0.02, micro=["MES"], tiered=True),
    "forex": Costs.ibkr_forex(spread_bps={"EUR.USD": 0.4}),
    "interest": Costs(interest=Interest({"2024-01-01": 0.0533, "2024-09-19": 0.0483})),
    "by key": Costs(commission={"A": 0.001, "B": None, "STK": IBKR_FIXED}, borrow={"A": 0.2}),
    "stressed": Costs.default().stressed(2.5),
}


# -- constructors -------------------------------------------------------------------------------------------


def test_costs_that_were_not_given_are_never_zero():
    table = Costs().table(bars_on(["2026-06-01"], *EVERY_TYPE))
    for i in range(len(EVERY_TYPE)):
        assert commission(table, 0, i, 100.0, 100.0, 2.0, 0.0) > 0.0
    assert Costs.default() == Costs(slippage_bps=1.0)
    assert Costs.default().table(bars_on(["2026-06-01"])).slippage[0] == 0.0001


def test_the_default_is_each_types_own_schedule():
    assert set(ibkr_by_type()) == set(SECURITY_TYPES)
    table = Costs.default().table(bars_on(["2026-06-01"], *EVERY_TYPE))
    charged = {
        x.security_type: commission(table, 0, i, 10.0, 100.0, 2.0, 0.0) for i, x in enumerate(EVERY_TYPE)
    }
    assert charged == pytest.approx(
        {"STK": 1.0, "FUT": 8.5, "CASH": 2.0, "CFD": 1.0, "IND": 1.0, "CRYPTO": 0.0018 * 2000}
    )


def test_only_sales_of_stocks_in_dollars_pay_regulatory_fees():
    assets = (*EVERY_TYPE, Instrument("SAP", currency="EUR"))
    table = Costs.default().table(bars_on(["2026-06-01"], *assets))
    paid = [fees(table, 0, i, -1000.0, 100.0, 1.0) > 0.0 for i in range(len(assets))]
    assert paid == [x.security_type == "STK" and x.currency == "USD" for x in assets]


@pytest.mark.parametrize(
    ("costs", "has_fees"),
    [
        (Costs.ibkr_fixed(), True),
        (Costs.ibkr_tiered(), True),
        (Costs.percent(0.001), False),
        (Costs.per_share(0.01), False),
        (Costs.zero(), False),
        (Costs(commission=0.001), False),
        (Costs(commission=None), False),
        (Costs(commission=IBKR_FIXED), True),
        (Costs(commission=0.001, fees=US_FEES), True),
        (Costs.ibkr_fixed(fees=None), False),
    ],
)
def test_which_costs_bring_regulatory_fees(costs, has_fees):
    table = costs.table(bars_on(["2026-06-01"]))
    assert (fees(table, 0, 0, -1000.0, 100.0, 1.0) > 0.0) is has_fees


def test_a_number_is_a_fraction_of_value():
    assert Costs(commission=0.001) == Costs.percent(0.001)


def test_futures_take_their_fees_by_symbol():
    es, mes, nq = (Instrument(s, "FUT") for s in ("ES", "MES", "NQ"))
    costs = Costs.ibkr_futures(exchange_fee={"ES": 1.38, "MES": 0.35}, regulatory_fee=0.02, micro=["MES"])
    table = costs.table(bars_on(["2026-06-01"], es, mes, nq))
    paid = [commission(table, 0, i, 1.0, 5000.0, 50.0, 0.0) for i in range(3)]
    assert paid == pytest.approx([0.85 + 1.40, 0.25 + 0.37, 0.85 + 0.02])


def test_futures_without_exchange_fees_are_noted():
    bars = bars_on(["2026-06-01"], Instrument("ES", "FUT"))
    assert any("exchange and regulatory fees" in note for note in Costs.ibkr_futures().notes(bars))
    assert not any("exchange" in note for note in Costs.ibkr_futures(exchange_fee=1.38).notes(bars))


def test_symbols_win_over_security_types():
    costs = EXAMPLES["by key"]
    table = costs.table(bars_on(["2026-06-01"], *(Instrument(s) for s in "ABC")))
    paid = [commission(table, 0, i, 100.0, 250.0, 1.0, 0.0) for i in range(3)]
    assert paid == pytest.approx([25.0, 0.0, 1.0])


# -- the table ----------------------------------------------------------------------------------------------


@given(
    first=st.integers(15_500, 21_000),
    gaps=st.lists(st.integers(0, 90), min_size=1, max_size=15),
    units=st.integers(1, 100_000),
)
def test_every_bar_gets_the_rates_of_its_session(first, gaps, units):
    sessions = [str(np.datetime64(first, "D") + int(g)) for g in np.cumsum(gaps)]
    costs = Costs(commission=Schedule("dated", DATED))
    table = costs.table(bars_on(sessions))
    row = 0
    for t, session in enumerate(sessions):
        row = row_at(table, row, t)
        assert commission(table, row, 0, units, 20.0, 1.0, 0.0) == pytest.approx(
            float(naive_commission(naive_row(DATED, session), units, 20.0)), rel=1e-12
        )
        assert fees(table, row, 0, -units, 20.0, 1.0) == pytest.approx(
            float(naive_fees(US_FEES, session, -units, 20.0)), rel=1e-12
        )


DATED = (
    CommissionRow("2013-03-01", (Tier(per_unit=0.01, minimum=2.0),), "test"),
    CommissionRow("2020-02-29", (Tier(rate=0.0005, up_to=1000.0), Tier(rate=0.0001)), "test", cap=0.02),
    CommissionRow("2024-07-04", (Tier(per_unit=0.001),), "test", unit_fee=0.002),
)


def test_a_rate_changes_on_the_very_day_that_its_row_names():
    days = every_day("2020-02-25", "2020-03-05")
    table = Costs(commission=Schedule("dated", DATED), fees=None).table(bars_on(days))
    row, paid = 0, {}
    for t, day in enumerate(days):
        row = row_at(table, row, t)
        paid[day] = commission(table, row, 0, 500.0, 10.0, 1.0, 0.0)
    # 0.01 a unit until the 28th, 5 bp of 5,000 from the 29th on.
    assert paid == pytest.approx({day: 5.0 if day < "2020-02-29" else 2.5 for day in days})


def test_a_table_is_small_whatever_the_number_of_bars():
    bars = bars_on(every_day("1990-01-01", "2029-01-01"))
    table = Costs.default().table(bars)
    numbers = sum(np.asarray(member).size for member in table)
    assert numbers < 2_000 < bars.n_bars
    assert table.accrues == 0
    assert table.days.shape == (1,)


def test_daily_benchmarks_do_not_repeat_the_rates_of_every_asset():
    days = every_day("2024-01-02", "2025-01-01")
    interest = Interest({day: 0.05 + k * 1e-5 for k, day in enumerate(days)})
    table = Costs(interest=interest).table(bars_on(days, *(Instrument(f"S{i}") for i in range(50))))
    assert table.from_bar.size == len(days)
    assert table.rates.shape[:2] == (2, 50)
    row = 0
    for t in range(len(days)):
        row = row_at(table, row, t)
        assert interest_cost(table, row, -1000.0, 1e6, 1.0) == pytest.approx(
            1000 * (0.05 + t * 1e-5 + 0.015) / 360, rel=1e-12
        )


@pytest.mark.parametrize("costs", EXAMPLES.values(), ids=EXAMPLES)
def test_tables_hold_nothing_but_contiguous_arrays_and_numbers(costs):
    """One signature for the compiler: no None, no other dtype, no other order."""
    symbols = {"futures": ("ES", "MES"), "forex": ("EUR.USD",), "by key": ("A", "B", "C")}
    name = next(k for k, v in EXAMPLES.items() if v is costs)
    kind = {"futures": "FUT", "forex": "CASH"}.get(name, "STK")
    bars = bars_on(["2026-06-01", "2026-06-02"], *(Instrument(s, kind) for s in symbols.get(name, ("A",))))
    ints = {"from_bar", "rate_row", "month_from", "group"}
    for member, value in costs.table(bars)._asdict().items():
        if isinstance(value, np.ndarray):
            assert value.dtype == (np.int64 if member in ints else np.float64), member
            assert value.flags.c_contiguous, member
            assert value.flags.writeable, member
        else:
            assert type(value) in {int, float}, member


def test_benchmarks_and_commissions_change_each_on_their_own_days():
    days = every_day("2020-02-20", "2020-03-10")
    interest = Interest({"2020-02-22": 0.01, "2020-02-29": 0.02, "2020-03-04": 0.03})
    table = Costs(commission=Schedule("dated", DATED), fees=None, interest=interest).table(bars_on(days))
    row = 0
    for t, day in enumerate(days):
        row = row_at(table, row, t)
        expected = float(naive_commission(naive_row(DATED, day), 500, 10.0))
        assert commission(table, row, 0, 500.0, 10.0, 1.0, 0.0) == pytest.approx(expected), day
        benchmark = 0.01 if day < "2020-02-29" else 0.02 if day < "2020-03-04" else 0.03
        assert interest_cost(table, row, -100.0, 1e6, 1.0) == pytest.approx(
            100 * (benchmark + 0.015) / 360
        ), day


def test_calendar_days_count_weekends_and_not_bars_of_one_session():
    bars = bars_on(["2026-06-05", "2026-06-05", "2026-06-08", "2026-06-09"])
    table = Costs(borrow=0.01).table(bars)
    assert table.accrues == 1
    assert table.days.tolist() == [0.0, 0.0, 3.0, 1.0]


def test_months_start_at_the_first_bar_of_a_month_only_where_tiers_need_it():
    bars = bars_on(["2026-01-30", "2026-02-02", "2026-02-27", "2026-04-01"])
    assert Costs.ibkr_tiered().table(bars).month_from.tolist() == [0, 1, 3]
    assert Costs.ibkr_fixed().table(bars).month_from.tolist() == [0]


def test_tiers_restart_with_the_month():
    """A naive run: units of a group add up within a calendar month and start at zero with the next."""
    days = every_day("2026-01-05", "2026-03-20")
    table = Costs.ibkr_tiered(cat=0.0).table(bars_on(days, Instrument("A"), Instrument("B")))
    assert table.group.tolist() == [0, 0]
    assert table.n_groups == 1
    row = ibkr_tiered_schedule(cat=0.0).rows[0]
    month, done, traded = 0, 0.0, dict.fromkeys({day[:7] for day in days}, 0.0)
    for t, day in enumerate(days):
        now = month_at(table, month, t)
        month, done = now, 0.0 if now != month else done
        for i in (0, 1):
            expected = naive_commission(row, 20_000, 10.0, 1, traded[day[:7]])
            assert commission(table, 0, i, 20_000.0, 10.0, 1.0, done) == pytest.approx(
                float(expected), rel=1e-12
            )
            traded[day[:7]] += 20_000.0
            done += 20_000.0


def test_different_schedules_are_counted_apart():
    assets = (Instrument("A"), Instrument("ES", "FUT"), Instrument("B"))
    assert Costs.default().table(bars_on(["2026-06-01"], *assets)).group.tolist() == [0, 1, 0]


def test_slippage_spread_and_borrow_go_by_symbol():
    assets = tuple(Instrument(s) for s in "AB")
    costs = Costs(slippage_bps={"A": 5.0}, spread_bps={"B": 4.0}, borrow={"B": 0.3})
    table = costs.table(bars_on(["2026-06-01"], *assets))
    assert table.slippage.tolist() == [0.0005, 0.0]
    assert table.half_spread.tolist() == [0.0, 0.0002]
    assert table.borrow.tolist() == [0.0, 0.3]
    assert "slippage_bps names no number for B; 0 is used" in costs.notes(bars_on(["2026-06-01"], *assets))


def test_futures_and_currencies_are_not_borrowed_unless_named():
    assets = (Instrument("A"), Instrument("ES", "FUT"), Instrument("EUR.USD", "CASH"))
    bars = bars_on(["2026-06-01"], *assets)
    assert Costs(borrow=0.01).table(bars).borrow.tolist() == [0.01, 0.0, 0.0]
    assert Costs(borrow={"ES": 0.02}).table(bars).borrow.tolist() == [0.0, 0.02, 0.0]
    assert Costs(borrow=0.01).table(bars_on(["2026-06-01"], assets[1])).accrues == 0


# -- notes --------------------------------------------------------------------------------------------------


def test_bars_before_a_table_are_counted_with_its_first_date():
    notes = Costs.ibkr_fixed().notes(bars_on(every_day("2019-12-20", "2020-01-10")))
    assert (
        "bars before a table's first row are charged by that row: IBKR fixed, US stocks from 2026-11-22 (all bars); "
        "FINRA TAF from 2020-01-01 (12 of 21 bars)" in notes
    )
    assert not any("SEC" in note for note in notes)


def test_unconfirmed_rows_are_noted_where_they_are_used():
    costs = Costs.ibkr_fixed()
    notes = costs.notes(bars_on(every_day("2026-09-29", "2026-10-04")))
    assert any(
        n.startswith("3 of 5 bars use the unconfirmed row of 2026-10-01 of the FINRA TAF") for n in notes
    )
    assert not any("unconfirmed" in n for n in costs.notes(bars_on(["2026-09-30"])))


def test_what_is_not_charged_is_said():
    bars = bars_on(["2026-12-01"])
    notes = Costs.zero().notes(bars)
    assert notes == [
        "borrow is not charged on short positions",
        "interest on cash is neither charged nor paid",
    ]
    assert Costs.zero().replace(borrow=0.01, interest=Interest(0.05)).notes(bars) == []
    late = Interest({"2026-12-02": 0.04})
    assert Costs.zero().replace(borrow=0.01, interest=late).notes(bars) == [
        "1 of 1 bars are before the first benchmark rate (2026-12-02)"
    ]


def test_another_currency_is_noted():
    bars = bars_on(["2026-12-01"], Instrument("SAP", currency="EUR"))
    assert any("SAP trades in EUR" in note and "USD" in note for note in Costs.ibkr_fixed().notes(bars))
    assert not any("SAP" in note for note in Costs.percent(0.001).notes(bars))


# -- writing down, changing, stress -------------------------------------------------------------------------


@pytest.mark.parametrize("costs", EXAMPLES.values(), ids=EXAMPLES)
def test_a_description_restores_the_costs(costs):
    text = json.dumps(costs.describe(), allow_nan=False)
    restored = Costs.from_description(json.loads(text))
    assert restored == costs
    assert json.dumps(restored.describe()) == text
    assert pickle.loads(pickle.dumps(costs)) == costs


def test_a_description_names_source_and_date_of_every_row():
    told = Costs.default().describe()
    tables = [*told["commission"]["by_key"].values(), told["fees"]["sec"], told["fees"]["taf"]]
    rows = [row for table in tables for row in table["rows"]]
    assert len(rows) > 25
    assert all(row["source"] and row["start"] for row in rows)


@pytest.mark.parametrize("wrong", [{}, {"commission": None}, {**Costs().describe(), "commission": {"x": 1}}])
def test_what_is_no_description_is_refused(wrong):
    with pytest.raises(ParameterError, match="no description of costs"):
        Costs.from_description(wrong)


def test_replace_changes_one_thing():
    costs = Costs.ibkr_tiered().replace(slippage_bps=3.0)
    assert costs.slippage_bps == 3.0
    assert costs.commission == Costs.ibkr_tiered().commission
    with pytest.raises(UnknownNameError, match="did you mean 'slippage_bps'"):
        costs.replace(slipage_bps=3.0)


@given(
    multiplier=st.floats(0.0, 10.0),
    units=st.integers(1, 3_000_000),
    price=st.floats(0.05, 5000.0),
    name=st.sampled_from(["default", "percent", "per share", "fixed"]),
)
def test_stress_multiplies_every_cost(multiplier, units, price, name):
    plain, stressed = (c.table(BAR) for c in (EXAMPLES[name], EXAMPLES[name].stressed(multiplier)))
    assert commission(stressed, 0, 0, units, price, 1.0, 0.0) == pytest.approx(
        multiplier * commission(plain, 0, 0, units, price, 1.0, 0.0), rel=1e-9, abs=1e-12
    )
    assert stressed.slippage[0] == pytest.approx(multiplier * plain.slippage[0])
    assert stressed.borrow[0] == pytest.approx(multiplier * plain.borrow[0])
    # Two fees of up to a cent of rounding each.
    difference = fees(stressed, 0, 0, -units, price, 1.0) - multiplier * fees(plain, 0, 0, -units, price, 1.0)
    assert abs(difference) <= 0.02 * max(1.0, multiplier) + 1e-9


BAR = bars_on(["2026-06-01"])


def test_stress_never_pays():
    """A rebate and interest that is earned do not grow."""
    plain = Costs.ibkr_tiered(liquidity="add", cat=0.0, interest=Interest(0.05))
    for multiplier in (1.0, 2.0, 10.0):
        table, base = plain.stressed(multiplier).table(BAR), plain.table(BAR)
        own = (300_000 * 0.0035 + 700_000 * 0.0020) * (1 + 0.000175 + 0.00056)
        assert commission(table, 0, 0, 1e6, 50.0, 1.0, 0.0) == pytest.approx(
            multiplier * own + 1e6 * (0.0002 - 0.0021), rel=1e-12
        )
        assert interest_cost(table, 0, 1e6, 1e6, 1.0) == interest_cost(base, 0, 1e6, 1e6, 1.0)
        assert interest_cost(table, 0, -1e6, 1e6, 1.0) == pytest.approx(
            multiplier * interest_cost(base, 0, -1e6, 1e6, 1.0)
        )


def test_costs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Costs.zero().borrow = 1.0


# -- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Costs(slippage_bps=-1.0), "slippage_bps is -1.0"),
        (lambda: Costs(spread_bps=float("nan")), "spread_bps is nan"),
        (lambda: Costs(slippage_bps=10_000.0), "below 10000"),
        (lambda: Costs(slippage_bps="1"), "slippage_bps is '1'"),
        (lambda: Costs(borrow=float("inf")), "borrow is inf"),
        (lambda: Costs(borrow={"A": -0.1}), "borrow of A is -0.1"),
        (lambda: Costs(commission=-0.001), "commission is -0.001"),
        (lambda: Costs(commission=1.5), "below 1"),
        (lambda: Costs(commission="ibkr"), "commission is 'ibkr'"),
        (lambda: Costs(commission=True), "commission is True"),
        (lambda: Costs(fees="us"), "fees is 'us'"),
        (lambda: Costs(interest=0.05), "Interest"),
        (lambda: Costs.percent(float("nan")), "nan"),
        (lambda: Costs.per_share(-0.005), "per_unit is -0.005"),
        (lambda: Costs.per_share(0.005, minimum=-1.0), "minimum is -1.0"),
        (lambda: Costs.per_share(0.005, cap=float("nan")), "cap is nan"),
        (lambda: Costs.ibkr_futures(exchange_fee=-1.0), "exchange_fee is -1.0"),
        (lambda: Costs.ibkr_tiered(cat=-1e-5), "cat is -1e-05"),
        (lambda: Costs.ibkr_tiered(liquidity="take"), "unknown liquidity"),
        (lambda: Costs.percent(0.001, slippage=1.0), "unknown cost 'slippage'"),
        (lambda: Costs.default().stressed(-1.0), "multiplier is -1.0"),
        (lambda: Costs(slippage_bps=100.0).stressed(100.0), "below 10000"),
        (lambda: Interest(float("nan")), "benchmark is nan"),
        (lambda: Interest({}), "empty mapping"),
        (lambda: Interest({"soon": 0.05}), "'soon' is no date"),
        (lambda: Interest(0.05, debit=((1e5, 0.01),)), "last must be None"),
        (lambda: Interest(0.05, year_days=0.0), "year_days"),
        (lambda: Schedule("x", ()), "no row"),
        (lambda: Schedule("x", IBKR_FIXED.rows, ("STOCK",)), "unknown security type"),
        (lambda: Schedule("x", (DATED[1], DATED[0])), "starts must rise"),
        (lambda: CommissionRow(None, (Tier(up_to=5.0),), "x"), "last must be None"),
        (lambda: CommissionRow(None, (), "x"), "last must be None"),
        (lambda: CommissionRow("2024-13-01", (Tier(),), "x"), "is no date"),
        (lambda: Tier(up_to=0.0), "above 0"),
        (lambda: FeeRow(None, -1.0, "x"), "rate is -1.0"),
        (lambda: FeeRow(None, 1.0, "x", maximum=float("nan")), "maximum is nan"),
    ],
)
def test_bad_numbers_are_refused_with_what_was_given(make, says):
    with pytest.raises((ParameterError, UnknownNameError)) as caught:
        make()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("costs", "error", "says"),
    [
        (Costs(slippage_bps={"AAPL": 1.0}), UnknownNameError, "unknown symbol 'AAPL'"),
        (Costs(spread_bps={"a": 1.0}), UnknownNameError, "did you mean 'A'"),
        (Costs(borrow={"B": 0.1}), UnknownNameError, "unknown symbol 'B'"),
        (Costs(commission={"STK": 0.001, "FUTS": 0.1}), UnknownNameError, "'FUTS'; did you mean 'FUT'"),
        (Costs(commission={"FUT": 0.001}), ParameterError, "no schedule for A (STK)"),
        (Costs.ibkr_forex(), ParameterError, "is for CASH, and A is STK"),
        (Costs.ibkr_futures(), ParameterError, "Costs.default()"),
        (Costs(slippage_bps=9000.0, spread_bps=2000.0), ParameterError, "slippage and half the spread of A"),
    ],
)
def test_costs_that_do_not_fit_the_bars_are_refused(costs, error, says):
    with pytest.raises(error) as caught:
        costs.table(BAR)
    assert says in str(caught.value)


def test_a_users_own_schedule_and_fees_are_possible():
    rows = (CommissionRow("2020-01-01", (Tier(per_unit=0.002, minimum=0.1),), "my broker's page"),)
    own = RegulatoryFees(
        FeeTable("SEC", (FeeRow(None, 1e-5, "x"),)), FeeTable("TAF", (FeeRow(None, 0.0, "x"),))
    )
    table = Costs(commission=Schedule("mine", rows), fees=own).table(BAR)
    assert commission(table, 0, 0, 100.0, 10.0, 1.0, 0.0) == 0.2
    assert fees(table, 0, 0, -1000.0, 100.0, 1.0) == 1.0


@pytest.mark.parametrize(
    ("day", "row"), [("2013-02-28", 0), ("2013-03-01", 0), ("2020-02-29", 1), ("2030-01-01", 2)]
)
def test_the_row_in_force(day, row):
    assert row_in_force(DATED, int(np.datetime64(day, "D").astype(np.int64))) == row


# -- the page -----------------------------------------------------------------------------------------------


def test_the_page_names_every_row_of_the_fee_tables(project):
    page = (project / "docs" / "costs.md").read_text(encoding="utf-8")
    for row in US_FEES.sec.rows:
        assert f"| {row.start} | {row.rate * 1e6:.2f} | " in page
    for row in US_FEES.taf.rows:
        rate = f"{row.rate:.6f}" if row.rate else "0"
        assert f"| {row.start} | {rate} | {row.maximum:.2f} | " in page
    unconfirmed = [row for table in (US_FEES.sec, US_FEES.taf) for row in table.rows if not row.confirmed]
    lines = [line for line in page.splitlines() if "**unconfirmed**" in line]
    assert all(any(row.start in line for line in lines) for row in unconfirmed)


def test_the_page_names_every_amount_of_the_brokers_schedules(project):
    page = (project / "docs" / "costs.md").read_text(encoding="utf-8")
    schedules = [*ibkr_by_type().values(), ibkr_tiered_schedule()]
    for tier in (tier for schedule in schedules for row in schedule.rows for tier in row.tiers):
        if tier.per_unit:
            assert f"{tier.per_unit:.4f}" in page or f"{tier.per_unit:g}" in page, tier
        if tier.minimum:
            assert f"{tier.minimum:.2f}" in page, tier
