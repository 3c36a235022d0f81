"""The cost kernels against their naive twins, by table and by property."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.cost import (
    naive_borrow,
    naive_commission,
    naive_fees,
    naive_fill_price,
    naive_interest,
)

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.kernels.cost import (
    CostTable,
    borrow_cost,
    commission,
    fees,
    fill_price,
    interest_cost,
    month_at,
    order_commission,
    order_fees,
    row_at,
)
from quantlab.model import Instrument
from quantlab.schedules import Schedule
from quantlab.tariffs import (
    IBKR_CFD,
    IBKR_FIXED,
    IBKR_FOREX,
    US_FEES,
    Interest,
    ibkr_futures_schedule,
    ibkr_tiered_schedule,
)


def one_day(*instruments: Instrument, session: str = "2026-06-01", n_bars: int = 1) -> Bars:
    first = np.datetime64(session, "D").astype(np.int64)
    days = first + np.arange(n_bars, dtype=np.int64)
    prices = np.full((n_bars, len(instruments)), 100.0)
    return Bars(
        time=(days + 1) * 86_400_000_000_000,
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=prices,
        session=days,
        instruments=instruments,
        bar_size="1 day",
    )


def table_of(schedule: Schedule | None, *, session: str = "2026-06-01", **options) -> CostTable:
    kind = schedule.security_types[0] if schedule and schedule.security_types else "STK"
    return Costs(commission=schedule, **options).table(one_day(Instrument("A", kind), session=session))


SCHEDULES = {
    "fixed": IBKR_FIXED,
    "tiered, removing": ibkr_tiered_schedule(),
    "tiered, adding": ibkr_tiered_schedule(liquidity="add", cat=0.0),
    "futures": ibkr_futures_schedule(exchange_fee=1.38, regulatory_fee=0.02),
    "micro futures, tiered": ibkr_futures_schedule(tiered=True, micro=True),
    "forex": IBKR_FOREX,
    "CFD": IBKR_CFD,
    "percent": Schedule.percent(0.001),
    "per share": Schedule.per_share(0.01, minimum=2.0, cap=0.02),
}
TABLES = {name: table_of(schedule) for name, schedule in SCHEDULES.items()}

units_ = st.integers(1, 400_000_000).map(lambda n: n / 4)
prices_ = st.integers(1, 50_000_000).map(lambda n: n / 10_000)
month_ = st.sampled_from([0.0, 1.0, 299_900.0, 300_000.0, 2_999_999.0, 3e6, 1.9e7, 1e8, 9e8, 4.9e9, 1e10])


# -- commission ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "price", "expected"), [(100, 250, 1.0), (1000, 10, 5.0), (100, 0.5, 0.5), (10_000, 20, 50.0)]
)
def test_the_fixed_schedule_charges_what_the_broker_says(units, price, expected):
    assert commission(TABLES["fixed"], 0, 0, units, price, 1.0, 0.0) == expected
    assert commission(TABLES["fixed"], 0, 0, -units, price, 1.0, 0.0) == expected


@pytest.mark.parametrize(
    ("liquidity", "units", "expected"),
    [
        ("add", 30e6, -13_811.9 - 1200 - 7.27),
        ("remove", 30e6, 139_188.1 - 1200 - 7.27),
        ("remove", 200e3, 1355.78 - 8.0 - 7.27),
    ],
)
def test_the_tiered_schedule_gives_the_brokers_worked_examples(liquidity, units, expected):
    """Interactive Brokers' comparison page, shares at 5 dollars; without fees on sales, and no CAT then."""
    table = table_of(ibkr_tiered_schedule(liquidity=liquidity, cat=0.0))
    assert commission(table, 0, 0, -units, 5.0, 1.0, 0.0) == pytest.approx(max(expected, 0.0), abs=0.01)


@pytest.mark.parametrize(("units", "fixed"), [(30e6, 151_207.27), (200e3, 1015.27)])
def test_a_sale_of_2023_gives_the_brokers_worked_examples_with_fees(units, fixed):
    table = table_of(IBKR_FIXED, session="2023-06-01")
    total = commission(table, 0, 0, -units, 5.0, 1.0, 0.0) + fees(table, 0, 0, -units, 5.0, 1.0)
    assert total == pytest.approx(fixed, abs=1e-9)


def test_the_monthly_example_of_share_cfds():
    """Interactive Brokers: 500,000 in a month cost 2,400, in one order or in five."""
    assert commission(TABLES["CFD"], 0, 0, 500_000.0, 100.0, 1.0, 0.0) == pytest.approx(2400.0)
    parts = [commission(TABLES["CFD"], 0, 0, 100_000.0, 100.0, 1.0, k * 100_000.0) for k in range(5)]
    assert sum(parts) == pytest.approx(2400.0)


@pytest.mark.parametrize(
    ("name", "units", "price", "expected"),
    [
        ("futures", 3, 5000.0, 3 * (0.85 + 1.40)),
        ("micro futures, tiered", 2000, 5000.0, 1000 * 0.25 + 1000 * 0.20),
        ("forex", 20_000, 1.1, 2.0),
        ("forex", 1_000_000, 1.1, 22.0),
        ("percent", 10, 100.0, 1.0),
        ("tiered, removing", 100, 250.0, 0.35 * (1 + 0.000175 + 0.00056) + 100 * (0.003 + 0.0002 + 0.0001)),
        ("tiered, adding", 100, 250.0, 0.35 * (1 + 0.000175 + 0.00056) + 100 * (-0.0021 + 0.0002)),
    ],
)
def test_commission_by_hand(name, units, price, expected):
    assert commission(TABLES[name], 0, 0, units, price, 1.0, 0.0) == pytest.approx(expected, rel=1e-12)


@given(name=st.sampled_from(sorted(SCHEDULES)), units=units_, price=prices_, month=month_)
def test_commission_agrees_with_its_naive_twin(name, units, price, month):
    given_ = commission(TABLES[name], 0, 0, units, price, 1.0, month)
    expected = naive_commission(SCHEDULES[name].rows[0], units, price, 1, month)
    assert given_ == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
    assert given_ >= 0.0


@given(name=st.sampled_from(sorted(SCHEDULES)), units=units_, more=units_, price=prices_, month=month_)
def test_a_larger_order_never_costs_less(name, units, more, price, month):
    if name == "tiered, adding":
        return  # a rebate grows with the order
    small = commission(TABLES[name], 0, 0, units, price, 1.0, month)
    assert commission(TABLES[name], 0, 0, units + more, price, 1.0, month) >= small * (1 - 1e-12)


@given(
    name=st.sampled_from(["tiered, removing", "forex", "CFD", "micro futures, tiered"]),
    k=st.integers(0, 2),
    month=st.floats(0.0, 1.0),
    price=st.floats(10.0, 1000.0),
)
def test_marginal_tiers_are_continuous(name, k, month, price):
    """One unit more, across the end of a tier, costs at most one unit at the dearer rate."""
    end = SCHEDULES[name].rows[0].tiers[k].up_to
    before = np.floor(month * end / 2)
    below = commission(TABLES[name], 0, 0, end - before, price, 1.0, before)
    above = commission(TABLES[name], 0, 0, end - before + 1.0, price, 1.0, before)
    row = SCHEDULES[name].rows[0]
    one = row.tiers[k].per_unit + row.tiers[k].rate * price
    assert -1e-9 * below <= above - below <= one * (1 + row.share) + row.unit_fee + 1e-9 * below


@given(name=st.sampled_from(["tiered, removing", "micro futures, tiered"]), units=st.integers(2, 2_000_000))
def test_splitting_an_order_saves_nothing(name, units):
    half = units // 2
    whole = commission(TABLES[name], 0, 0, units, 50.0, 1.0, 0.0)
    first = commission(TABLES[name], 0, 0, half, 50.0, 1.0, 0.0)
    assert first + commission(TABLES[name], 0, 0, units - half, 50.0, 1.0, half) >= whole * (1 - 1e-12)


def test_no_units_cost_nothing_and_the_multiplier_is_part_of_the_value():
    for table in TABLES.values():
        assert commission(table, 0, 0, 0.0, 100.0, 1.0, 0.0) == 0.0
    assert commission(TABLES["percent"], 0, 0, 2.0, 100.0, 50.0, 0.0) == pytest.approx(10.0)


def test_a_rebate_never_makes_a_commission_negative():
    assert commission(TABLES["tiered, adding"], 0, 0, 1e7, 50.0, 1.0, 1e9) == 0.0


# -- fees ---------------------------------------------------------------------------------------------------


def test_regulatory_fees_of_june_2026_are_rounded_up_to_the_cent_each():
    """SEC 2.06 is a whole number of cents and stays; TAF is 0.195 before rounding, 0.20 after."""
    table = TABLES["fixed"]
    assert table.rates[0, 0, 3] * 1000 * 100 == pytest.approx(2.06, rel=1e-12)
    assert table.rates[0, 0, 4] * 1000 == pytest.approx(0.195, rel=1e-12)
    assert fees(table, 0, 0, -1000.0, 100.0, 1.0) == pytest.approx(2.06 + 0.20, abs=1e-12)
    assert fees(table, 0, 0, 1000.0, 100.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ("2025-05-13", 2.78 + 0.17),  # 0.166
        ("2025-05-14", 0.00 + 0.17),
        ("2026-01-02", 0.00 + 0.20),
        ("2026-04-03", 0.00 + 0.20),
        ("2026-04-04", 2.06 + 0.20),
        ("2026-10-01", 2.06 + 0.00),
        ("2027-01-01", 2.06 + 0.24),  # 0.232
        ("2028-06-01", 2.06 + 0.24),
        ("1990-01-02", 2.21 + 0.12),  # before the tables: their first rows
    ],
)
def test_fees_follow_the_session(session, expected):
    table = table_of(IBKR_FIXED, session=session)
    assert fees(table, 0, 0, -1000.0, 100.0, 1.0) == pytest.approx(expected, abs=1e-12)


def test_the_activity_fee_has_a_maximum():
    table = TABLES["fixed"]
    assert fees(table, 0, 0, -1e6, 1e-9, 1.0) == pytest.approx(9.79 + 0.01, abs=1e-12)


@given(units=st.integers(1, 10**7), price=prices_, year=st.integers(2015, 2028))
def test_fees_agree_with_their_naive_twin(units, price, year):
    session = f"{year}-06-01"
    table = table_of(IBKR_FIXED, session=session)
    expected = float(naive_fees(US_FEES, session, -units, price))
    # An amount within 1e-9 of a whole cent may round to it; nothing else may differ.
    assert fees(table, 0, 0, -float(units), price, 1.0) == pytest.approx(expected, abs=1e-9, rel=1e-9)


def test_a_cent_is_not_lost_of_a_large_fee():
    # 6,967,315 x 2,558.3165 x 0.000013 is 231,725.710 and a fraction of a cent.
    fee = fees(table_of(IBKR_FIXED, session="2018-06-01"), 0, 0, -6_967_315.0, 2558.3165, 1.0)
    assert fee == pytest.approx(float(naive_fees(US_FEES, "2018-06-01", -6_967_315, 2558.3165)), abs=1e-6)


def test_the_array_versions_are_the_same_numbers():
    for table in TABLES.values():
        for units in (-12_345.0, 100.0):
            assert order_commission(table.rates[0, 0], units, 12.34, 1.0, 5.0) == commission(
                table, 0, 0, units, 12.34, 1.0, 5.0
            )
            assert order_fees(table.rates[0, 0], units, 12.34, 1.0) == fees(table, 0, 0, units, 12.34, 1.0)


# -- fill price ---------------------------------------------------------------------------------------------


def test_without_costs_the_reference_stays_to_the_bit():
    for reference in (0.1, 1 / 3, 250.07, 1e-6, 123456.789):
        for side in (1.0, -1.0):
            assert fill_price(reference, side, 0.0, 0.0, 0.0, 1.0) == reference


def test_a_price_on_the_grid_stays_to_the_bit():
    for cents in range(1, 30_000, 7):
        for factor in (1.0, 2.0, 7.3):
            stored = cents / 100 / factor
            for side in (1.0, -1.0):
                assert fill_price(stored, side, 0.0, 0.0, 0.01, factor) == stored


@pytest.mark.parametrize(
    ("reference", "side", "slippage", "half_spread", "tick", "factor", "expected"),
    [
        (100.0, 1, 0.0001, 0.0, 0.0, 1.0, 100.01),
        (100.0, -1, 0.0001, 0.0002, 0.0, 1.0, 99.97),
        (100.001, 1, 0.0, 0.0, 0.01, 1.0, 100.01),
        (100.009, -1, 0.0, 0.0, 0.01, 1.0, 100.00),
        (5000.10, 1, 0.0, 0.0, 0.25, 1.0, 5000.25),
        (50.002, 1, 0.0, 0.0, 0.01, 2.0, 50.005),  # raw 100.004 becomes 100.01
        (0.004, -1, 0.0, 0.0, 0.01, 1.0, 0.004),  # would round to zero
        (0.004, 1, 0.0, 0.0, 0.01, 1.0, 0.01),
        (1.23456, 1, 0.0, 0.0, 0.00005, 1.0, 1.2346),
    ],
)
def test_fill_price_by_hand(reference, side, slippage, half_spread, tick, factor, expected):
    price = fill_price(reference, float(side), slippage, half_spread, tick, factor)
    assert price == pytest.approx(expected, rel=1e-14)


@given(
    steps=st.integers(1, 10**7),
    side=st.sampled_from([1, -1]),
    worse=st.integers(0, 9_000).map(lambda n: n / 10_000),
    tick=st.sampled_from([0.0, 0.0001, 0.01, 0.05, 0.25, 1.0]),
)
def test_fill_price_agrees_with_its_naive_twin(steps, side, worse, tick):
    reference = steps / 1000
    expected = float(naive_fill_price(reference, side, worse, tick))
    assert fill_price(reference, float(side), worse, 0.0, tick, 1.0) == pytest.approx(expected, rel=1e-8)


@given(
    reference=st.floats(1e-4, 1e6),
    worse=st.floats(0.0, 0.49),
    spread=st.floats(0.0, 0.49),
    tick=st.sampled_from([0.0, 0.01, 0.25, 5.0]),
    factor=st.floats(1e-3, 1e3),
)
def test_a_fill_is_never_better_than_its_reference_and_never_free(reference, worse, spread, tick, factor):
    bought = fill_price(reference, 1.0, worse, spread, tick, factor)
    sold = fill_price(reference, -1.0, worse, spread, tick, factor)
    assert 0.0 < sold <= reference * (1 + 1e-12)
    assert bought >= reference * (1 - 1e-12)


# -- borrow and interest ------------------------------------------------------------------------------------


def test_borrow_cost_by_the_brokers_rule():
    """102 % of 50.25 is 51.255, so 52 a share; 1,000 shares at 5 % over a weekend."""
    table = table_of(IBKR_FIXED, borrow=0.05)
    assert borrow_cost(table, 0, 0, 1000.0, 50.25, 1.0, 3.0) == pytest.approx(52 * 1000 * 0.05 / 360 * 3)
    assert borrow_cost(table, 0, 0, 1000.0, 50.0, 1.0, 1.0) == pytest.approx(51 * 1000 * 0.05 / 360)
    assert borrow_cost(table, 0, 0, 1000.0, 50.0, 1.0, 0.0) == 0.0
    assert borrow_cost(TABLES["fixed"], 0, 0, 1000.0, 50.0, 1.0, 1.0) == 0.0


@given(units=st.integers(1, 10**6), price=prices_, days=st.integers(0, 10))
def test_borrow_cost_agrees_with_its_naive_twin(units, price, days):
    table = table_of(IBKR_FIXED, borrow=0.0325)
    expected = float(naive_borrow(0.0325, units, price, days))
    assert borrow_cost(table, 0, 0, float(units), price, 1.0, float(days)) == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize(
    ("cash", "equity", "expected"),
    [
        (-50_000.0, 1e6, 50_000 * 0.065 / 360),
        (-150_000.0, 1e6, (100_000 * 0.065 + 50_000 * 0.06) / 360),
        (-2_000_000.0, 1e7, (100_000 * 0.065 + 900_000 * 0.06 + 1_000_000 * 0.0575) / 360),
        (10_000.0, 1e6, 0.0),
        (110_000.0, 1e6, -100_000 * 0.045 / 360),
        (30_000.0, 50_000.0, -20_000 * 0.045 * 0.5 / 360),
        (30_000.0, -1.0, 0.0),
        (0.0, 1e6, 0.0),
    ],
)
def test_interest_by_hand(cash, equity, expected):
    table = table_of(IBKR_FIXED, interest=Interest(0.05))
    assert interest_cost(table, 0, cash, equity, 1.0) == pytest.approx(expected, rel=1e-12)
    assert interest_cost(table, 0, cash, equity, 3.0) == pytest.approx(3 * expected, rel=1e-12)


def test_without_a_schedule_no_interest_is_charged_or_paid():
    assert interest_cost(TABLES["fixed"], 0, -1e6, 1e6, 30.0) == 0.0
    assert interest_cost(TABLES["fixed"], 0, 1e6, 1e6, 30.0) == 0.0


@given(
    cash=st.integers(-400_000_000, 10_000_000),
    equity=st.integers(-1000, 500_000),
    benchmark=st.integers(-200, 800).map(lambda n: n / 10_000),
    days=st.integers(0, 5),
)
def test_interest_agrees_with_its_naive_twin(cash, equity, benchmark, days):
    interest = Interest(benchmark)
    table = table_of(IBKR_FIXED, interest=interest)
    expected = float(naive_interest(interest, benchmark, cash, equity, days))
    given_ = interest_cost(table, 0, float(cash), float(equity), float(days))
    assert given_ == pytest.approx(expected, rel=1e-12, abs=1e-12)


# -- rows and months ----------------------------------------------------------------------------------------


@given(
    starts=st.lists(st.integers(1, 60), unique=True, max_size=8).map(sorted),
    stops=st.lists(st.integers(0, 70), min_size=1, max_size=30).map(sorted),
)
def test_the_row_pointer_finds_what_a_search_finds(starts, stops):
    from_bar = np.array([0, *starts], np.int64)
    table = TABLES["fixed"]._replace(from_bar=from_bar, month_from=from_bar)
    row = month = 0
    for t in stops:
        row, month = row_at(table, row, t), month_at(table, month, t)
        assert row == month == int(np.searchsorted(from_bar, t, "right")) - 1


# -- without the compiler -----------------------------------------------------------------------------------


def numbers_of_every_table() -> str:
    """Commission, fees and fill price on a grid of orders, to the last bit."""
    return "\n".join(
        float(number).hex()
        for name in sorted(TABLES)
        for units in (-250_000.0, 7.0, 3e6)
        for price in (0.07, 33.333, 4000.0)
        for number in (
            commission(TABLES[name], 0, 0, units, price, 1.0, 1e5),
            fees(TABLES[name], 0, 0, units, price, 1.0),
            fill_price(price, 1.0, 1e-4, 2e-4, 0.01, 1.0),
        )
    )


def test_the_kernels_give_the_same_numbers_as_plain_python():
    """The compiled and the interpreted functions of one source agree to the last bit."""
    tests = Path(__file__).parent
    code = "import test_kernels_cost as here; print(here.numbers_of_every_table())"
    plain = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout.split() == numbers_of_every_table().split()
    assert len(plain.stdout.split()) == 27 * len(TABLES)
