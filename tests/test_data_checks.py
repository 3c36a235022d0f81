"""Verify: clean prices are silent, and each planted defect fires its own check and no other."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_bars import make_bars

from quantlab.bars import Bars
from quantlab.data.checks import verify, verify_frame
from quantlab.data.findings import SEVERITIES
from quantlab.data.sample import sample
from quantlab.errors import DataError

N_DAYS = 400
AT = 200


def clean_frame(seed=0, n_days=N_DAYS):
    """Daily prices on real sessions that no check has anything to say about."""
    rng = np.random.default_rng(seed)
    sessions = sample("IBM").index[:n_days]
    close = 80 * np.exp(np.cumsum(rng.normal(0, 0.012, n_days)))
    open_ = np.append(80.0, close[:-1]) * np.exp(rng.normal(0, 0.004, n_days))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.004, n_days)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.004, n_days)))
    volume = np.round(1e6 * np.exp(rng.normal(0, 0.25, n_days)))
    columns = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    return pd.DataFrame(columns, index=sessions)


def minute_frame(seed=0, n_days=8, stamp_offset=1):
    """Minute bars of whole New York sessions, stamped at the close."""
    rng = np.random.default_rng(seed)
    parts = []
    price = 100.0
    for day in sample("IBM").index[100 : 100 + n_days]:
        times = pd.date_range(f"{day:%Y-%m-%d} 09:30", periods=390, freq="1min", tz="America/New_York")
        close = price * np.exp(np.cumsum(rng.normal(0, 0.0004, 390)))
        open_ = np.append(price, close[:-1]) * np.exp(rng.normal(0, 0.0001, 390))
        high, low = np.maximum(open_, close) * 1.0002, np.minimum(open_, close) * 0.9998
        volume = np.round(1000 * np.exp(rng.normal(0, 0.5, 390)))
        columns = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
        parts.append(pd.DataFrame(columns, index=times + pd.Timedelta(stamp_offset, "min")))
        price = close[-1]
    return pd.concat(parts)


def found_in(frame, **options):
    options = {"symbol": "X", "bar_size": "1 day", "calendar": "XNYS", **options}
    return verify(Bars.from_frame(frame, **options))


def checks_of(found):
    return {f.check for f in found}


PRICES = ["open", "high", "low", "close"]

# -- clean -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_clean_daily_prices_are_silent(seed):
    found = found_in(clean_frame(seed))
    assert found.records == ()
    assert (found.n_series, found.n_bars, found.skipped) == (1, N_DAYS, ())
    assert found.ok


@pytest.mark.parametrize("seed", range(3))
def test_clean_minutes_are_silent(seed):
    assert found_in(minute_frame(seed), bar_size="1 min").records == ()


def test_adjusted_prices_with_a_factor_are_silent():
    frame = clean_frame()
    frame["factor"] = np.where(np.arange(N_DAYS) < AT, 2.1, 1.05)
    assert found_in(frame).records == ()


# -- planted in daily bars -------------------------------------------------------------------------------


def plant_gap(frame):
    return frame.drop(frame.index[[AT, AT + 1, AT + 7]])


def plant_closed_day(frame):
    row = frame.iloc[[AT]].set_axis([pd.Timestamp("2000-12-25")], axis=0) * 1.001
    return pd.concat([frame, row]).sort_index()


def plant_inconsistency(frame):
    frame.iloc[AT, frame.columns.get_loc("high")] = frame.iloc[AT][["open", "close"]].max() * 0.995
    return frame


def plant_spike(frame):
    frame.loc[frame.index[AT], ["high", "close"]] *= 1.3
    return frame


def plant_spike_down(frame):
    frame.loc[frame.index[AT], ["low", "close"]] *= 0.75
    return frame


def plant_wick(frame):
    frame.loc[frame.index[AT], "low"] *= 0.6
    return frame


def plant_halving(frame):
    frame.loc[frame.index[AT], PRICES] /= 2
    return frame


def plant_halved_stretch(frame):
    frame.loc[frame.index[AT : AT + 6], PRICES] /= 2
    return frame


def plant_cents(frame):
    frame.loc[frame.index[AT], PRICES] *= 100
    return frame


def plant_split(ratio):
    def plant(frame):
        frame.loc[frame.index[AT:], PRICES] /= ratio
        frame.loc[frame.index[AT:], "volume"] *= ratio
        return frame

    plant.__name__ = f"plant_split_{ratio:g}"
    return plant


def plant_double_adjustment(frame):
    """Prices already adjusted for 2:1 are divided by two once more before the split."""
    frame.loc[frame.index[:AT], PRICES] /= 2
    frame["factor"] = np.where(np.arange(len(frame)) < AT, 2.0, 1.0)
    frame["volume"] *= frame["factor"]
    return frame


def plant_stale(frame):
    rows = frame.index[AT : AT + 7]
    frame.loc[rows, PRICES] = frame["close"].iloc[AT - 1]
    return frame


def plant_repeat(frame):
    frame.loc[frame.index[AT], PRICES] = frame[PRICES].iloc[AT - 1].to_numpy()
    return frame


def plant_volume_hole(frame):
    frame.loc[frame.index[[AT, AT + 50]], "volume"] = [0.0, np.nan]
    return frame


def plant_negative_volume(frame):
    frame.loc[frame.index[AT], "volume"] = -1.0
    return frame


def plant_no_volume(frame):
    frame["volume"] = 0.0
    return frame


def plant_made_up_opens(frame):
    frame["open"] = frame["close"].shift().fillna(frame["open"])
    frame["high"] = frame[PRICES].max(axis=1)
    frame["low"] = frame[PRICES].min(axis=1)
    return frame


PLANTED = [
    (plant_gap, "gap", "warning", 3),
    (plant_closed_day, "closed_day", "warning", 1),
    (plant_inconsistency, "ohlc", "error", 1),
    (plant_spike, "spike", "warning", 1),
    (plant_spike_down, "spike", "warning", 1),
    (plant_wick, "wick", "warning", 1),
    (plant_halving, "halving", "error", 1),
    (plant_halved_stretch, "halving", "error", 6),
    (plant_cents, "halving", "error", 1),
    (plant_split(2), "unadjusted_split", "error", 1),
    (plant_split(3), "unadjusted_split", "error", 1),
    (plant_split(1.5), "unadjusted_split", "error", 1),
    (plant_split(7), "unadjusted_split", "error", 1),
    (plant_split(0.1), "unadjusted_split", "error", 1),
    (plant_double_adjustment, "double_adjustment", "error", 1),
    (plant_stale, "stale", "warning", 7),
    (plant_repeat, "repeated", "warning", 1),
    (plant_volume_hole, "volume_hole", "warning", 2),
    (plant_negative_volume, "volume", "warning", 1),
    (plant_no_volume, "no_volume", "info", N_DAYS),
    (plant_made_up_opens, "open_equals_close", "info", N_DAYS - 1),
]


@pytest.mark.parametrize(
    ("plant", "check", "severity", "count"), PLANTED, ids=[p[0].__name__ for p in PLANTED]
)
@pytest.mark.parametrize("seed", range(2))
def test_a_planted_defect_fires_its_check_and_no_other(plant, check, severity, count, seed):
    found = found_in(plant(clean_frame(seed)))
    assert [(f.check, f.severity, f.count) for f in found] == [(check, severity, count)]
    (finding,) = found
    assert finding.symbol == "X"
    assert finding.detail
    assert finding.advice
    assert found.ok == (severity != "error")


def test_a_finding_says_when_in_session_dates():
    frame = plant_split(2)(clean_frame())
    (finding,) = found_in(frame)
    assert finding.first == finding.last == str(frame.index[AT])[:10]
    assert "2:1 down" in finding.detail


def test_a_crash_on_heavy_volume_is_news_and_no_split():
    frame = clean_frame()
    frame.loc[frame.index[AT:], PRICES] *= 0.5
    frame.loc[frame.index[AT], "volume"] *= 20
    assert "unadjusted_split" not in checks_of(found_in(frame))


def test_a_split_that_a_split_column_names_and_prices_do_not_show_is_silent():
    frame = clean_frame()
    frame["split"] = 1.0
    frame.loc[frame.index[AT], "split"] = 2.0
    assert found_in(frame).records == ()
    frame.loc[frame.index[:AT], PRICES] /= 2
    assert checks_of(found_in(frame)) == {"double_adjustment"}


def test_a_split_without_volume_is_a_warning():
    frame = plant_split(2)(clean_frame())
    frame["volume"] = np.nan
    severities = {f.check: f.severity for f in found_in(frame)}
    assert severities == {"unadjusted_split": "warning", "no_volume": "info"}


def test_a_quarter_without_bars_is_an_error_and_its_jump_no_split():
    frame = clean_frame()
    frame.loc[frame.index[AT:], PRICES] *= 2
    frame = frame.drop(frame.index[AT - 70 : AT])
    (finding,) = found_in(frame)
    assert (finding.check, finding.severity, finding.count) == ("gap", "error", 70)
    assert "another company" in finding.advice


def test_without_a_calendar_only_holes_longer_than_holidays_are_found():
    frame = clean_frame()
    assert found_in(frame, calendar=None).records == ()
    assert found_in(frame, calendar=None).skipped
    (finding,) = found_in(frame.drop(frame.index[AT : AT + 8]), calendar=None)
    assert finding.check == "gap"
    row = frame.iloc[[AT]].set_axis([pd.Timestamp("2000-12-23")], axis=0) * 1.001
    (finding,) = found_in(pd.concat([frame, row]).sort_index(), calendar=None)
    assert (finding.check, finding.first) == ("closed_day", "2000-12-23")


def test_weeks_and_months_that_are_missing_are_found():
    bars = sample("IBM", "1 week")
    assert verify(bars).records == ()
    cut = bars.take(np.delete(np.arange(bars.n_bars), [100, 101]))
    (finding,) = verify(cut)
    assert (finding.check, finding.count) == ("gap", 1)
    monthly = sample("IBM", "1 month")
    assert checks_of(verify(monthly.take(np.delete(np.arange(157), 50)))) == {"gap"}


def test_each_symbol_is_checked_on_its_own_bars():
    good, bad = clean_frame(1), plant_halving(clean_frame(2))
    wide = pd.concat({"GOOD": good.iloc[50:], "BAD": bad}, axis=1, sort=True)
    found = verify(Bars.from_frame(wide, bar_size="1 day", calendar="XNYS"))
    assert [(f.symbol, f.check) for f in found] == [("BAD", "halving")]
    assert found.n_bars == 2 * N_DAYS - 50


# -- planted in minutes ----------------------------------------------------------------------------------


def test_minutes_that_are_missing_are_counted():
    frame = minute_frame()
    (finding,) = found_in(frame.drop(frame.index[1000:1040]), bar_size="1 min")
    assert (finding.check, finding.severity, finding.count) == ("gap", "warning", 40)


def test_a_single_quiet_minute_is_for_information():
    frame = minute_frame()
    (finding,) = found_in(frame.drop(frame.index[1000]), bar_size="1 min")
    assert (finding.check, finding.severity, finding.count) == ("gap", "info", 1)


def test_minutes_that_are_never_there_are_no_gap():
    frame = minute_frame()
    lunch = frame.between_time("12:01", "13:00")
    assert found_in(frame.drop(lunch.index), bar_size="1 min").records == ()


def test_a_file_that_begins_and_ends_within_a_session_has_no_gap():
    assert found_in(minute_frame().iloc[100:-100], bar_size="1 min").records == ()


def test_a_thinly_traded_instrument_is_called_that():
    frame = minute_frame(n_days=12)
    keep = np.random.default_rng(1).random(len(frame)) < 0.7
    (finding,) = found_in(frame[keep], bar_size="1 min")
    assert (finding.check, finding.severity) == ("thin", "info")


def test_bars_stamped_at_their_open_are_an_error():
    frame = minute_frame(stamp_offset=0)
    found = found_in(frame, bar_size="1 min")
    assert "stamp" in checks_of(found)
    assert not found.ok
    assert "--stamp open" in next(f.advice for f in found if f.check == "stamp")
    assert found_in(frame, bar_size="1 min", stamp="open").records == ()


def test_a_spike_and_a_stale_hour_in_minutes_are_found():
    frame = minute_frame()
    frame.iloc[500, frame.columns.get_loc("close")] *= 1.03
    frame.iloc[500, frame.columns.get_loc("high")] *= 1.03
    assert checks_of(found_in(frame, bar_size="1 min")) == {"spike"}
    frame = minute_frame()
    rows = frame.index[400:480]
    frame.loc[rows, PRICES] = frame["close"].iloc[399]
    assert checks_of(found_in(frame, bar_size="1 min")) == {"stale"}


def test_a_short_session_is_found_without_a_calendar():
    frame = minute_frame(n_days=16)
    day = frame.index[390 * 7]
    here = frame.index[(frame.index >= day + pd.Timedelta("1h")) & (frame.index < day + pd.Timedelta("8h"))]
    (finding,) = found_in(frame.drop(here), bar_size="1 min", calendar=None)
    assert finding.check == "short_session"


# -- raw frames ------------------------------------------------------------------------------------------


def raw(frame, **options):
    return verify_frame(frame, **{"symbol": "X", "bar_size": "1 day", "calendar": "XNYS", **options})


def unsorted_rows(frame):
    order = np.arange(N_DAYS)
    order[[50, 51]] = order[[51, 50]]
    return frame.iloc[order]


def spoil(value, column="close"):
    def plant(frame):
        frame = frame.astype(object)
        frame.iloc[AT, frame.columns.get_loc(column)] = value
        return frame

    plant.__name__ = f"spoil_{value}"
    return plant


def cross(frame):
    frame.iloc[AT, frame.columns.get_loc("high")] = frame["low"].iloc[AT] * 0.9
    return frame


RAW = [
    (unsorted_rows, ["unsorted"]),
    (lambda f: f.iloc[::-1], ["unsorted"]),
    (lambda f: f.iloc[[*range(N_DAYS), N_DAYS - 1]], ["duplicates"]),
    (spoil(np.nan), ["prices", "gap"]),
    (spoil(np.inf), ["prices", "gap"]),
    (spoil(0.0), ["prices", "gap"]),
    (spoil(-5.0), ["prices", "gap"]),
    (spoil("ten"), ["prices", "gap"]),
    (cross, ["ohlc", "gap"]),
    (lambda f: f.set_axis([*f.index[:-1], pd.NaT], axis=0), ["times"]),
]


@pytest.mark.parametrize(("plant", "expected"), RAW)
def test_rows_that_cannot_become_bars_are_found_and_put_aside(plant, expected):
    found = raw(plant(clean_frame()))
    assert [f.check for f in found] == expected
    assert found.records[0].severity == "error"


def test_a_clean_frame_says_what_its_bars_say():
    assert raw(clean_frame()).records == ()
    frame = plant_halving(clean_frame())
    assert raw(frame).records == found_in(frame).records


def test_mixed_bar_sizes_are_found():
    frame = minute_frame(n_days=1)
    frame = pd.concat([frame, frame.iloc[[5]].set_axis(frame.index[[5]] + pd.Timedelta("30s"))]).sort_index()
    assert [f.check for f in raw(frame, bar_size="1 min")] == ["spacing"]


def test_duplicates_say_whether_they_agree():
    frame = clean_frame()
    (same,) = raw(pd.concat([frame, frame.iloc[[-1]]]))
    (other,) = raw(pd.concat([frame, frame.iloc[[-1]] * 2]))
    assert "the same numbers" in same.detail
    assert "other numbers" in other.detail


def test_several_symbols_in_a_raw_frame_are_checked_one_by_one():
    wide = pd.concat({"A": clean_frame(1), "B": spoil(0.0)(clean_frame(2)).astype(float)}, axis=1)
    assert {(f.symbol, f.check) for f in verify_frame(wide, bar_size="1 day", calendar="XNYS")} == {
        ("B", "prices"),
        ("B", "gap"),
    }


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame({"close": [1.0]}, index=[pd.Timestamp("2020-01-02")]), "x"]
)
def test_what_is_no_frame_of_prices_is_an_error(frame):
    with pytest.raises(DataError):
        verify_frame(frame, bar_size="1 day")


def test_a_frame_without_a_usable_row_has_findings_and_no_crash():
    frame = clean_frame(n_days=3) * 0
    found = verify_frame(frame, bar_size="1 day")
    assert [f.check for f in found] == ["prices"]


# -- records ---------------------------------------------------------------------------------------------


def test_findings_are_records_that_json_and_pandas_take():
    found = found_in(plant_halving(clean_frame())) + found_in(plant_gap(clean_frame()))
    assert found.n_series == 2
    assert len(found) == 2
    records = json.loads(json.dumps(found.to_records()))
    assert records[0]["check"] == "halving"
    assert list(found.to_frame()["severity"]) == ["error", "warning"]
    assert found.of("error")[0].check == "halving"
    assert "1 error, 1 warning, 0 info" in str(found)


# -- anything at all -------------------------------------------------------------------------------------


@given(
    n_bars=st.integers(1, 80),
    holes=st.sampled_from([0.0, 0.2, 0.9]),
    seed=st.integers(0, 500),
    size=st.sampled_from(["1 day", "1 min", "1 week", "1 month"]),
    constant=st.booleans(),
)
def test_whatever_the_bars_are_the_checks_end_with_records(n_bars, holes, seed, size, constant):
    bars = make_bars(
        n_bars=n_bars, holes=holes, seed=seed, bar_size=size, per_session=7 if size == "1 min" else 1
    )
    if constant:
        flat = {c: np.where(np.isnan(bars.close), np.nan, 5.0) for c in PRICES}
        bars = Bars(**{**{n: getattr(bars, n) for n in bars.__dataclass_fields__}, **flat})
    found = verify(bars)
    assert found.n_bars == int((~np.isnan(bars.close)).sum())
    for f in found:
        assert f.severity in SEVERITIES
        assert f.count >= 0
        assert json.dumps(found.to_records())
