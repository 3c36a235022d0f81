"""The market: real bars at every size, their hours, and what is cut from them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_bars import make_bars

import quantlab as ql
from quantlab.bars import COLUMNS
from quantlab.barsize import BarSize
from quantlab.errors import DataError, GatewayError, ParameterError
from quantlab.gateway.clock import opening_moment
from quantlab.gateway.contracts import Listing, Listings
from quantlab.gateway.grid import CLOSE, OPEN, PULSE, Moment, Pulses, grid_of
from quantlab.gateway.market import Market
from quantlab.gateway.tape import Tape
from quantlab.model import Instrument
from quantlab.wire.messages import Contract

DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def market():
    return Market.of_sample(["AAPL", "MSFT"])


def utc(text):
    return int(np.datetime64(text, "ns").astype(np.int64))


def test_it_serves_the_sample_adjusted_for_splits_with_cents_as_ticks(market):
    bars = ql.sample(["AAPL", "MSFT"], adjustment="splits")
    assert all(np.array_equal(getattr(market.base, c), getattr(bars, c)) for c in COLUMNS)
    assert [x.tick for x in market.base.instruments] == [0.01, 0.01]
    assert market.zone == "America/New_York"


def test_sessions_have_the_hours_of_the_exchange_early_closes_included(market):
    hours = market.hours
    k = int(np.searchsorted(hours.day, np.datetime64("2012-11-23", "D").astype(np.int64)))
    assert (hours.open_ns[k], hours.close_ns[k]) == (utc("2012-11-23T14:30"), utc("2012-11-23T18:00"))
    assert np.array_equal(hours.close_ns, market.base.time)


@pytest.mark.parametrize("size", ["1 min", "30 mins", "1 hour", "5 secs"])
def test_short_bars_are_made_into_the_real_days_again(market, size):
    short = market.bars("AAPL", size, "2012-11-20", "2012-11-30")
    days = short.resample("1 day")
    real = market.bars("AAPL", None, "2012-11-20", "2012-11-30")
    for name in (*COLUMNS, "time", "session"):
        assert np.array_equal(getattr(days, name), getattr(real, name)), name
    assert "synthetic" in short.meta
    assert "synthetic" not in real.meta


def test_bars_of_an_hour_are_cut_on_the_clock_as_resampling_cuts_them(market):
    minutes = market.bars("MSFT", "1 min", "2012-11-20", "2012-11-30").resample("1 hour")
    hours = market.bars("MSFT", "1 hour", "2012-11-20", "2012-11-30")
    for name in (*COLUMNS, "time"):
        assert np.array_equal(getattr(minutes, name), getattr(hours, name)), name


def test_longer_bars_are_made_of_real_ones(market):
    weekly = market.bars("AAPL", "1 week")
    assert np.array_equal(weekly.close, ql.sample("AAPL", "1 week", adjustment="splits").close)


def test_paths_do_not_depend_on_what_else_is_in_the_market(market):
    alone = Market.of_sample("MSFT")
    a, b = (m.bars("MSFT", "1 hour", "2012-11-20", "2012-11-21") for m in (market, alone))
    assert np.array_equal(a.close, b.close)
    other = market.with_seed(1).bars("MSFT", "1 hour", "2012-11-20", "2012-11-21")
    assert not np.array_equal(a.close, other.close)


def test_a_market_of_minutes_serves_minutes_as_they_are_and_cuts_only_shorter_ones():
    minutes = Market.of_sample("AAPL").bars("AAPL", "1 min", "2012-11-20", "2012-11-21")
    market = Market.of_bars(minutes)
    assert np.array_equal(market.bars("AAPL", "1 min").close, minutes.close)
    again = market.bars("AAPL", "10 secs").resample("1 min")
    for name in COLUMNS:
        assert np.array_equal(getattr(again, name), getattr(minutes, name)), name
    daily = market.bars("AAPL", "1 day")
    assert daily.time.tolist() == [utc("2012-11-20T21:00"), utc("2012-11-21T21:00")]


def test_a_range_that_leaves_out_open_or_close_is_made_to_hold_them():
    bars = make_bars(4, ("A",))
    low = bars.low.copy()
    low[1] = bars.close[1] + 1e-9
    market = Market.of_bars(replace(bars, low=low, high=np.maximum(bars.high, low)))
    assert market.base.low[1, 0] == min(bars.close[1, 0], bars.open[1, 0])


@pytest.mark.parametrize("size", ["1 week", "1 month", "1 sec"])
def test_bars_of_more_than_a_day_or_less_than_five_seconds_are_refused(size):
    with pytest.raises(GatewayError, match="5 secs to 1 day"):
        Market.of_bars(make_bars(3, bar_size=size))


def test_bars_shorter_than_five_seconds_are_not_served(market):
    with pytest.raises(ParameterError, match="5 secs"):
        market.bars("AAPL", "1 sec", "2012-11-20", "2012-11-21")


def test_a_catalog_is_served_by_its_shortest_bars_unless_others_are_named(tmp_path):
    catalog = ql.Catalog(tmp_path)
    daily = ql.sample(["AAPL", "MSFT"]).between("2012-11-20", "2012-11-21")
    catalog.write(daily)
    catalog.write(Market.of_bars(daily["AAPL"]).bars("AAPL", "1 hour"))
    assert Market.of_catalog(tmp_path, "AAPL").size == BarSize(1, "hour")
    both = Market.of_catalog(catalog, bar_size="1 day")
    assert (both.symbols, both.size) == (("AAPL", "MSFT"), BarSize(1, "day"))


def test_a_catalog_without_bars_is_refused(tmp_path):
    with pytest.raises(DataError, match="no bars of a day or less"):
        Market.of_catalog(str(tmp_path / "empty"))


# -- grids ---------------------------------------------------------------------------------------------


def moments(grid, start, end):
    found, moment = [], start
    while (moment := grid.after(moment)) is not None and moment.time_ns <= end:
        found.append(moment)
    return found


@pytest.mark.parametrize("size", ["1 day", "1 hour", "7 mins", "5 secs"])
def test_a_grid_steps_through_the_opens_and_closes_of_its_bars_and_no_others(market, size):
    bars = market.bars("AAPL", size, "2012-11-21", "2012-11-23")
    parsed = BarSize.parse(size)
    start, end = Moment(utc("2012-11-20T22:00"), CLOSE), utc("2012-11-23T23:00")
    found = moments(grid_of(market, parsed), start, end)
    assert [m.time_ns for m in found if m.phase == CLOSE] == bars.time.tolist()
    opens = [m.time_ns for m in found if m.phase == OPEN]
    assert len(opens) == bars.n_bars
    assert found == sorted(found)
    for opened, closed in zip(opens, bars.time.tolist(), strict=True):
        grid = grid_of(market, parsed)
        assert grid.opens_at(opened)
        assert grid.closes_at(closed)
        assert grid.length_at(opened) == (opened, closed)
        assert grid.length_at(closed - 1) == (opened, closed)
    assert not grid_of(market, parsed).opens_at(opens[0] + 1)
    assert not grid_of(market, parsed).closes_at(opens[0])


def test_an_open_at_the_instant_of_a_close_comes_after_it(market):
    grid = grid_of(market, BarSize(1, "min"))
    noon = utc("2012-11-21T17:00")
    before = Moment(noon - 1, PULSE)
    assert grid.after(before) == Moment(noon, CLOSE)
    assert grid.after(Moment(noon, CLOSE)) == Moment(noon, OPEN)
    assert grid.after(Moment(noon, OPEN)) == Moment(noon + 60 * 10**9, CLOSE)


def test_pulses_come_every_five_seconds_of_a_session(market):
    pulses = Pulses(market.hours)
    opened, closed = utc("2012-11-23T14:30"), utc("2012-11-23T18:00")
    found = moments(pulses, Moment(opened - DAY_NS // 2, PULSE), closed)
    times = [m.time_ns for m in found]
    assert times[0] == opened + 5 * 10**9
    assert times[-1] == closed
    assert set(np.diff(times)) == {5 * 10**9}


# -- what can be known ---------------------------------------------------------------------------------


def test_without_a_calendar_a_day_is_a_session_from_midnight_to_midnight():
    market = Market.of_bars(make_bars(3, ("A",)))
    assert market.zone == "UTC"
    assert (market.hours.close_ns - market.hours.open_ns).tolist() == [DAY_NS] * 3
    start = opening_moment(market.hours, "max", 12_001)
    assert start == Moment(12_001 * DAY_NS, CLOSE)
    grid = grid_of(market, BarSize(1, "day"))
    assert grid.after(start) == Moment(12_001 * DAY_NS, OPEN)


def test_the_bar_in_progress_has_what_has_traded_and_nothing_more(market):
    tape = Tape(market)
    opened = utc("2012-11-21T14:30")
    day, minute = BarSize(1, "day"), BarSize(1, "min")
    path = market.bars("AAPL", "5 secs", "2012-11-21", "2012-11-21")
    for seconds in (5, 65, 3600):
        now = opened + seconds * 10**9
        done = path.time <= now
        bar = tape.running(0, day, Moment(now, PULSE))
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (
            path.open[0, 0],
            path.high[done, 0].max(),
            path.low[done, 0].min(),
            path.close[done, 0][-1],
            path.volume[done, 0].sum(),
        )
    assert tape.running(0, day, Moment(opened, CLOSE)) is None
    first = tape.running(0, day, Moment(opened, OPEN))
    assert (first.open, first.high, first.low, first.close, first.volume) == (*[path.open[0, 0]] * 4, 0.0)
    half = tape.running(0, minute, Moment(opened + 62_500_000_000, PULSE))
    assert half.open == path.open[12, 0]
    assert half.volume == 0.0  # the step that has begun has traded, but how much is not known yet
    assert half.low <= half.close <= half.high


def test_the_price_now_is_the_open_at_an_open_the_close_at_a_close_and_the_last_one_in_between(market):
    tape = Tape(market)
    day = market.bars("AAPL", None, "2012-11-20", "2012-11-21")
    opened = utc("2012-11-21T14:30")
    assert tape.price(0, Moment(opened, CLOSE)) == day.close[0, 0]
    assert tape.price(0, Moment(opened, OPEN)) == day.open[1, 0]
    assert tape.price(0, Moment(utc("2012-11-21T21:00"), CLOSE)) == day.close[1, 0]
    assert tape.price(0, Moment(utc("2012-11-22T12:00"), PULSE)) == day.close[1, 0]
    assert day.low[1, 0] <= tape.price(0, Moment(opened + 10**12, PULSE)) <= day.high[1, 0]
    assert tape.price(0, Moment(0, PULSE)) is None


# -- contracts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "n"),
    [
        ({"symbol": "IBM", "security_type": "STK", "currency": "USD"}, 1),
        ({"symbol": "ibm", "security_type": "STK", "exchange": "SMART", "currency": "EUR"}, 1),
        ({"symbol": "IBM", "security_type": "STK", "exchange": "SMART"}, 2),
        ({"symbol": "IBM", "security_type": "STK", "exchange": "IBIS"}, 1),
        ({"symbol": "AAPL", "security_type": "STK", "primary_exchange": "ISLAND"}, 1),
        ({"con_id": 8314}, 1),
        ({"con_id": 8315}, 0),
        ({"symbol": "IBM", "security_type": "FUT"}, 0),
        ({"symbol": "IBM", "security_type": "STK", "currency": "GBP"}, 0),
        ({"symbol": "", "security_type": "STK"}, 0),
    ],
)
def test_a_contract_means_what_fits_everything_it_names(wanted, n):
    assert len(Listings(Market.of_sample()).find(Contract(**wanted))) == n


def test_other_instruments_keep_their_type_currency_and_multiplier():
    bars = replace(make_bars(3, ("ES",)), instruments=(Instrument("ES", "FUT", "CME", "USD", 50.0, 0.25),))
    found = Listings(Market.of_bars(bars)).one(Contract(symbol="ES", security_type="FUT"))
    assert isinstance(found, Listing)
    assert (found.contract.multiplier, found.tick, found.contract.primary_exchange) == ("50", 0.25, "CME")
