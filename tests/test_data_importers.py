"""Importers: every vendor's file becomes the same bars, every guess is said, every bad row is named."""

from __future__ import annotations

import gzip
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from made_bars import make_bars

from quantlab.bars import Bars
from quantlab.data.catalog import Catalog
from quantlab.data.columns import guess_roles, parse_columns
from quantlab.data.importers import import_csv, import_file, import_parquet, verify_file
from quantlab.data.source import load_source
from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.model import Instrument

DATES = ("2024-01-16", "2024-01-17", "2024-01-18")
ROWS = ((10.0, 11.5, 9.5, 11.0, 1000), (11.0, 12.0, 10.5, 10.75, 2000), (10.75, 11.25, 10.0, 10.5, 3000))
PLAIN = "Date,Open,High,Low,Close,Volume\n" + "".join(
    f"{d},{','.join(map(str, r))}\n" for d, r in zip(DATES, ROWS, strict=True)
)


@pytest.fixture
def write(tmp_path):
    def write(text, name="AAPL.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return path

    return write


def table(bars):
    return [
        tuple(row)
        for row in np.column_stack([getattr(bars, c) for c in ("open", "high", "low", "close", "volume")])
    ]


def reheaded(header, rows=ROWS, dates=DATES, sep=","):
    return (
        header + "\n" + "".join(sep.join([d, *map(str, r)]) + "\n" for d, r in zip(dates, rows, strict=True))
    )


# -- dialects --------------------------------------------------------------------------------------------

DIALECTS = {
    "yahoo": PLAIN,
    "lower case": PLAIN.lower(),
    "alpha vantage": reheaded("timestamp,1. open,2. high,3. low,4. close,5. volume"),
    "metatrader": reheaded("<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>", sep="\t"),
    "stooq": reheaded("<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", dates=("20240116", "20240117", "20240118")),
    "nasdaq": "Date,Close/Last,Volume,Open,High,Low\n"
    + "".join(
        f"{d},${r[3]},{r[4]},${r[0]},${r[1]},${r[2]}\n"
        for d, r in zip(("01/16/2024", "01/17/2024", "01/18/2024"), ROWS, strict=True)
    ),
    "investing": "\ufeff"
    '"Date","Price","Open","High","Low","Vol.","Change %"\n'
    + "".join(
        f'"{d}","{r[3]}","{r[0]}","{r[1]}","{r[2]}","{r[4] / 1000}K","1%"\n'
        for d, r in zip(("01/16/2024", "01/17/2024", "01/18/2024"), ROWS, strict=True)
    ),
    "german": "Datum;Eröffnung;Hoch;Tief;Schlusskurs;Volumen\n"
    + "".join(
        f"{d};" + ";".join(str(x).replace(".", ",") for x in r[:4]) + f";{r[4]}\n"
        for d, r in zip(("16.01.2024", "17.01.2024", "18.01.2024"), ROWS, strict=True)
    ),
    "newest first": "Date,Open,High,Low,Close,Volume\n"
    + "".join(f"{d},{','.join(map(str, r))}\n" for d, r in reversed(list(zip(DATES, ROWS, strict=True)))),
    "pandas index": reheaded(",open,high,low,close,volume"),
    "extra columns": "Date,Open,High,Low,Close,Volume,OpenInterest,Note\n"
    + "".join(f"{d},{','.join(map(str, r))},0,x\n" for d, r in zip(DATES, ROWS, strict=True)),
    "yfinance": "Price,Close,High,Low,Open,Volume\nTicker,AAPL,AAPL,AAPL,AAPL,AAPL\nDate,,,,,\n"
    + "".join(f"{d},{r[3]},{r[1]},{r[2]},{r[0]},{r[4]}\n" for d, r in zip(DATES, ROWS, strict=True)),
    "comments and blank lines": "# made by hand\n\n" + PLAIN + "\n\n",
    "quoted thousands": reheaded(
        "Date,Open,High,Low,Close,Volume", rows=[(*r[:4], f'"{r[4]:,}"') for r in ROWS]
    ),
    "windows line ends": PLAIN.replace("\n", "\r\n"),
    "null rows": PLAIN.replace("2024-01-17", "2024-01-15,null,null,null,null,null\n2024-01-17"),
}
DIALECTS["null rows"] = PLAIN + "2024-01-19,null,null,null,null,null\n"


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_gives_the_same_bars(write, text):
    bars = import_csv(write(text))
    assert bars.symbols == ("AAPL",)
    assert bars.bar_size == "1 day"
    assert [str(d)[:10] for d in bars.index] == list(DATES)
    assert table(bars) == [tuple(map(float, r)) for r in ROWS]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_are_told_apart(write, encoding):
    assert table(import_csv(write(DIALECTS["german"].lstrip("\ufeff"), encoding=encoding))) == [
        tuple(map(float, r)) for r in ROWS
    ]


def test_packed_files_are_unpacked(write, tmp_path):
    packed = write(gzip.compress(PLAIN.encode()), "AAPL.csv.gz")
    assert import_file(packed).symbols == ("AAPL",)
    with zipfile.ZipFile(tmp_path / "AAPL.zip", "w") as box:
        box.writestr("aapl.csv", PLAIN)
    assert import_file(tmp_path / "AAPL.zip").n_bars == 3
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as box:
        box.writestr("a.csv", PLAIN)
        box.writestr("b.csv", PLAIN)
    with pytest.raises(DataError, match="packs 2 files"):
        import_file(tmp_path / "two.zip")


def test_every_guess_is_said(write):
    notes = " ".join(import_csv(write(DIALECTS["german"])).meta["notes"])
    for part in (
        "separator: ';'",
        "open from 'Eröffnung'",
        "decimal sign: the comma",
        "dmy",
        "symbol: AAPL",
        "bar size: 1 day",
    ):
        assert part in notes
    assert "newest first, turned round" in " ".join(import_csv(write(DIALECTS["newest first"])).meta["notes"])
    assert "columns left out: OpenInterest, Note" in " ".join(
        import_csv(write(DIALECTS["extra columns"])).meta["notes"]
    )
    assert "1 row(s) without any price" in " ".join(import_csv(write(DIALECTS["null rows"])).meta["notes"])


def test_what_was_guessed_can_be_given(write):
    bars = import_csv(
        write(PLAIN),
        symbol="X",
        bar_size="1 day",
        columns="close=open",
        instruments=[Instrument("X", lot=100.0)],
    )
    assert bars.symbols == ("X",)
    assert np.array_equal(bars.close, bars.open)
    assert bars.instruments[0].lot == 100.0


# -- headerless ------------------------------------------------------------------------------------------


def test_a_file_without_a_header_needs_its_columns_named_in_order(write):
    path = write("".join(PLAIN.splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match=r"no header.*--columns date,open,high,low,close,volume"):
        import_csv(path)
    bars = import_csv(path, columns="date,open,high,low,close,volume")
    assert table(bars) == [tuple(map(float, r)) for r in ROWS]
    assert np.isnan(import_csv(path, columns="date,open,high,low,close,-").volume).all()


def test_a_header_that_does_not_fit_its_rows_asks_for_the_columns(write):
    rows = "".join(f"{d},16:00,{','.join(map(str, r))}\n" for d, r in zip(DATES, ROWS, strict=True))
    path = write("Date,Open,High,Low,Close,Volume\n" + rows)
    with pytest.raises(DataError, match=r"names 6 columns.*its rows have 7.*--columns"):
        import_csv(path)
    bars = import_csv(path, columns="date,clock,open,high,low,close,volume", tz="UTC")
    assert table(bars) == [tuple(map(float, r)) for r in ROWS]


def test_columns_named_in_order_may_stand_above_a_header(write):
    assert import_csv(write(PLAIN), columns="date,open,high,low,close,volume").n_bars == 3


@pytest.mark.parametrize(
    ("columns", "error", "says"),
    [
        ("date,open,high,low", ParameterError, "names 4 column"),
        ("date,open,high,low,close,open", ParameterError, "'open' twice"),
        ("date,open,high,low,cloze,volume", UnknownNameError, "did you mean 'close'"),
        ("open=O,close", ParameterError, "mixes two forms"),
        ("open=Opn", UnknownNameError, "did you mean 'Open'"),
        ("opne=Open", UnknownNameError, "did you mean 'open'"),
        ("date,-,high,low,close,volume", DataError, "no column for open"),
    ],
)
def test_columns_that_cannot_be_are_errors(write, columns, error, says):
    with pytest.raises(error, match=says):
        import_csv(write(PLAIN), columns=columns)


def test_a_file_of_closes_only_says_what_can_be_done(write):
    path = write("Date,Value\n2024-01-16,10\n2024-01-17,11\n", "X.csv")
    with pytest.raises(DataError, match="no column for open, high, low, close"):
        import_csv(path)
    bars = import_csv(path, columns="open=Value,high=Value,low=Value,close=Value")
    assert bars.close[:, 0].tolist() == [10.0, 11.0]


def test_roles_prefer_the_better_name_and_given_names_win():
    roles, _ = guess_roles(["Date", "Open", "High", "Low", "Last", "Close", "Vol", "Volume"])
    assert (roles["close"], roles["volume"]) == (5, 7)
    roles, _ = guess_roles(["Date", "Open", "High", "Low", "Last", "Close"], {"close": "Last"})
    assert roles["close"] == 4
    assert parse_columns(None) is None
    assert parse_columns(["date", "open"]) == ["date", "open"]


# -- several symbols -------------------------------------------------------------------------------------


def long_frame(n_symbols=3, n_bars=5):
    bars = make_bars(n_bars=n_bars, symbols=[f"S{k}" for k in range(n_symbols)])
    parts = [bars[s].to_frame().assign(Name=s) for s in bars.symbols]
    return bars, pd.concat(parts).rename_axis("date").reset_index()


def test_a_column_of_symbols_gives_one_asset_each(tmp_path):
    bars, frame = long_frame()
    frame.to_csv(tmp_path / "all.csv", index=False)
    frame.to_parquet(tmp_path / "all.parquet")
    for path in ("all.csv", "all.parquet"):
        again = import_file(tmp_path / path)
        assert again.symbols == bars.symbols
        np.testing.assert_allclose(again.close, bars.close, rtol=1e-12)
    assert import_file(tmp_path / "all.csv", symbol="S1").symbols == ("S1",)
    with pytest.raises(UnknownNameError, match="did you mean 'S1'"):
        import_file(tmp_path / "all.csv", symbol="S1x")


def test_symbols_that_start_later_have_no_bar_before(tmp_path):
    _, frame = long_frame()
    frame = frame[~((frame.Name == "S2") & (frame.date < frame.date.unique()[2]))]
    frame.to_csv(tmp_path / "all.csv", index=False)
    bars = import_file(tmp_path / "all.csv")
    assert np.isnan(bars.close[:2, 2]).all()
    assert not np.isnan(bars.close[2:, 2]).any()


# -- within the day --------------------------------------------------------------------------------------


def minutes(start="09:30", n=390, day="2024-01-16"):
    times = pd.date_range(f"{day} {start}", periods=n, freq="1min")
    return "time,open,high,low,close\n" + "".join(f"{t},10,10,10,10\n" for t in times)


def test_the_calendar_tells_which_end_is_stamped(write):
    opens = import_csv(write(minutes("09:30")), tz="America/New_York", calendar="XNYS")
    closes = import_csv(write(minutes("09:31")), tz="America/New_York", calendar="XNYS")
    assert opens.content_hash == closes.content_hash
    assert "stamp: open, since 100%" in " ".join(opens.meta["notes"])
    assert str(opens.index[-1]) == "2024-01-16 21:00:00+00:00"


def test_intraday_times_need_to_be_told_by_something(write):
    with pytest.raises(DataError, match="no zone; give tz"):
        import_csv(write(minutes()), stamp="open")
    with pytest.raises(DataError, match=r"give stamp='open' or 'close' \(--stamp\)"):
        import_csv(write(minutes()), tz="America/New_York")
    with pytest.raises(DataError, match="--stamp"):
        import_csv(write(minutes(n=391)), tz="America/New_York", calendar="XNYS")
    with pytest.raises(UnknownNameError, match="stamp"):
        import_csv(write(minutes()), tz="UTC", stamp="opne")


def test_the_name_of_the_time_column_may_tell(write):
    bars = import_csv(write(minutes().replace("time", "Open time", 1)), tz="UTC")
    assert str(bars.index[0]) == "2024-01-16 09:31:00+00:00"


def test_counts_since_1970_need_no_zone(write):
    rows = "".join(f"{1_705_415_400 + 60 * k},10,10,10,10\n" for k in range(5))
    bars = import_csv(write("unix,open,high,low,close\n" + rows), stamp="close")
    assert (str(bars.index[0]), bars.bar_size) == ("2024-01-16 14:30:00+00:00", "1 min")


def test_a_zone_in_the_text_is_used(write):
    rows = "".join(f"20240116 09:{30 + k}:00 US/Eastern,10,10,10,10\n" for k in range(5))
    bars = import_csv(write("date,open,high,low,close\n" + rows), stamp="close")
    assert str(bars.index[0]) == "2024-01-16 14:30:00+00:00"


def test_a_zone_that_contradicts_the_text_and_one_that_does_not_exist_are_errors(write):
    rows = "".join(f"20240116 09:{30 + k}:00 US/Eastern,10,10,10,10\n" for k in range(5))
    path = write("date,open,high,low,close\n" + rows)
    with pytest.raises(DataError, match="in US/Eastern, and --tz says UTC"):
        import_csv(path, stamp="close", tz="UTC")
    with pytest.raises(DataError, match="--tz says UTC"):
        verify_file(path, tz="UTC")
    with pytest.raises(DataError, match="zone 'Mars'"):
        import_csv(write(minutes(), "M.csv"), tz="Mars", calendar="XNYS")
    assert verify_file(path).ok


@pytest.mark.parametrize(
    ("dates", "size", "last"),
    [
        (("2024-01-01", "2024-02-01", "2024-03-01"), "1 month", "2024-03-31"),
        (("2024-01-31", "2024-02-29", "2024-03-31"), "1 month", "2024-03-31"),
        (("2024-01-01", "2024-01-08", "2024-01-15"), "1 week", "2024-01-21"),
        (("2024-01-05", "2024-01-12", "2024-01-19"), "1 week", "2024-01-19"),
    ],
)
def test_weeks_and_months_named_by_their_first_day_are_known_at_their_end(write, dates, size, last):
    bars = import_csv(write(reheaded("Date,Open,High,Low,Close,Volume", dates=dates)))
    assert (bars.bar_size, str(bars.index[-1])[:10]) == (size, last)


def test_ticks_and_single_bars_have_no_bar_size(write):
    with pytest.raises(DataError, match="cannot be told from one bar"):
        import_csv(write("".join(PLAIN.splitlines(keepends=True)[:2])))
    rows = "".join(f"2024-01-16 10:00:00.{k}00,1,1,1,1\n" for k in range(5))
    with pytest.raises(DataError, match="may be ticks"):
        import_csv(write("time,open,high,low,close\n" + rows), tz="UTC", stamp="close")


# -- adjusting -------------------------------------------------------------------------------------------

ADJUSTED = """Date,Open,High,Low,Close,Adj Close,Volume
2024-01-16,100,110,90,104,52,1000
2024-01-17,51,54,50,53,53,2400
"""


def test_the_adjusted_close_adjusts_all_four_prices_and_fills_the_factor(write):
    bars = import_csv(write(ADJUSTED), adjust=True)
    assert bars.close[:, 0].tolist() == [52.0, 53.0]
    assert bars.open[:, 0].tolist() == [50.0, 51.0]
    assert bars.factor[:, 0].tolist() == [2.0, 1.0]
    np.testing.assert_allclose((bars.close * bars.factor)[:, 0], [104.0, 53.0])
    np.testing.assert_allclose((bars.close * bars.volume)[:, 0], [104.0 * 1000, 53.0 * 2400])


def test_without_adjust_the_adjusted_close_is_not_used_and_this_is_said(write):
    bars = import_csv(write(ADJUSTED))
    assert bars.is_raw
    assert not bars.fields
    assert any("--adjust" in n for n in bars.meta["notes"])
    with pytest.raises(DataError, match="no column of adjusted closes"):
        import_csv(write(PLAIN), adjust=True)


# -- bad rows --------------------------------------------------------------------------------------------

BAD = [
    ("2024-01-17,11,12,10,abc,5", r"line 3: close 'abc' is no number"),
    ("2024-01-17,11,12,10", r"line 3: another number of columns"),
    ("2024-01-17,11,12,10,11,5,6", r"line 3: another number of columns"),
    ("2024-01-17,11,12,,11,5", r"line 3: a price is missing"),
    ("2024-01-17,11,12,inf,11,5", r"line 3: a price is missing"),
    ("2024-01-17,11,12,0,11,5", r"line 3: a price is zero or negative"),
    ("2024-01-17,11,12,-3,11,5", r"line 3: a price is zero or negative"),
    ("2024-01-17,11,9,10,11,5", r"line 3: high is below low"),
    ("2024-01-17,11,12,10,11,-5", r"line 3: volume is negative"),
    ("2024-02-30,11,12,10,11,5", r"line 3: '2024-02-30' is no time"),
    ("Total,11,12,10,11,5", r"line 3: 'Total' is no time"),
    ("2024-01-17,1.2.3,12,10,11,5", r"line 3: open '1.2.3' is no number"),
    ('2024-01-17,"1,5",12,10,11,5', r"line 3"),
]


@pytest.mark.parametrize(("row", "says"), BAD)
def test_a_bad_row_is_named_by_its_line_and_may_be_left_out(write, row, says):
    lines = PLAIN.splitlines()
    path = write("\n".join([*lines[:2], row, lines[3]]) + "\n")
    if row.startswith('2024-01-17,"1,5"'):
        # A decimal comma among decimal points: whichever is meant, the file is not read.
        with pytest.raises(DataError):
            import_csv(path)
        return
    with pytest.raises(DataError, match=says + r".*--skip-bad"):
        import_csv(path)
    bars = import_csv(path, skip_bad=True)
    assert table(bars) == [tuple(map(float, ROWS[0])), tuple(map(float, ROWS[2]))]
    assert any("1 bad row(s) are left out: line 3" in n for n in bars.meta["notes"])


def test_line_numbers_count_comments_blank_lines_and_the_header(write):
    with pytest.raises(DataError, match="line 7: a price is zero"):
        import_csv(
            write(
                "# one\n\n" + PLAIN.replace("2024-01-18", "\n2024-01-18").replace(",10.0,10.5,", ",0,10.5,")
            )
        )


def test_duplicate_times_are_an_error_that_names_both_lines(write):
    path = write(PLAIN + PLAIN.splitlines()[3] + "\n")
    with pytest.raises(DataError, match=r"stands on lines 4 and 5 \(the same numbers\)"):
        import_csv(path)
    assert import_csv(path, skip_bad=True).n_bars == 3
    with pytest.raises(DataError, match="different numbers"):
        import_csv(write(PLAIN + "2024-01-18,1,1,1,1,1\n"))


def test_times_that_jump_about_are_an_error_and_newest_first_is_not(write):
    lines = PLAIN.splitlines()
    path = write("\n".join([lines[0], lines[2], lines[1], lines[3]]) + "\n")
    with pytest.raises(DataError, match=r"line 3: time 2024-01-16.*comes after 2024-01-17"):
        import_csv(path)
    assert [str(d)[:10] for d in import_csv(path, skip_bad=True).index] == list(DATES)


# -- what is no file of bars -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"", "x.csv", "is empty"),
        (b"   \n \n", "x.csv", "is empty"),
        (b"Date,Open,High,Low,Close\n", "x.csv", "no row"),
        (b"\x00\x01\x02\x00", "x.csv", "no text"),
        (b"PAR1 nothing else", "x.parquet", "damaged Parquet"),
        (b"Date,Open\n1,2\n", "x.parquet", "no Parquet file"),
        (b"", "x.parquet", "is empty"),
        (b"\x1f\x8bnonsense", "x.csv.gz", "packed and damaged"),
        (b"one line of prose", "x.csv", "."),
    ],
)
def test_what_is_no_file_of_bars_is_a_data_error(write, content, name, says):
    with pytest.raises(DataError, match=says):
        import_file(write(content, name))


def test_a_file_that_is_not_there_is_a_data_error(tmp_path, write):
    with pytest.raises(DataError, match="no file"):
        import_file(tmp_path / "none.csv")
    with pytest.raises(DataError):
        import_file(tmp_path)


def test_a_truncated_parquet_file_is_a_data_error(tmp_path):
    _, frame = long_frame()
    frame.to_parquet(tmp_path / "x.parquet")
    raw = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match="damaged Parquet"):
        import_parquet(tmp_path / "x.parquet")


def test_a_parquet_file_is_known_by_its_first_bytes_too(tmp_path):
    _, frame = long_frame(1)
    frame.to_parquet(tmp_path / "x.data")
    assert import_file(tmp_path / "x.data").n_bars == 5
    with pytest.raises(DataError, match="is a Parquet file"):
        import_csv(tmp_path / "x.data")


@pytest.mark.parametrize("kind", ["timestamp", "aware", "date", "text", "number", "epoch"])
def test_times_of_parquet_files_may_have_any_type(tmp_path, kind):
    frame = pd.DataFrame(
        {"date": pd.DatetimeIndex(DATES), **{c: [10.0, 11.0, 12.0] for c in ("open", "high", "low", "close")}}
    )
    column = frame["date"]
    frame["date"] = {
        "timestamp": column,
        "aware": column.dt.tz_localize("UTC"),
        "date": column.dt.date,
        "text": column.dt.strftime("%Y-%m-%d"),
        "number": column.dt.strftime("%Y%m%d").astype(int),
        "epoch": column.astype("datetime64[ms]").astype("int64"),
    }[kind]
    frame.to_parquet(tmp_path / "x.parquet")
    assert [str(d)[:10] for d in import_parquet(tmp_path / "x.parquet").index] == list(DATES)


# -- recipes ---------------------------------------------------------------------------------------------


def test_the_recipe_of_a_file_reads_the_same_bars_again(write):
    bars = import_csv(write(ADJUSTED), adjust=True, symbol="X", calendar="XNYS")
    recipe = json.loads(json.dumps(bars.meta["source"]))
    assert recipe["kind"] == "file"
    again = load_source(recipe)
    assert again.content_hash == bars.content_hash


@pytest.mark.parametrize(
    "source", [{"kind": "moon"}, {}, {"kind": "sample"}, {"kind": "catalog", "path": "x"}]
)
def test_a_recipe_that_cannot_be_followed_is_an_error(source):
    with pytest.raises((DataError, UnknownNameError)):
        load_source(source)


def test_imported_bars_go_into_a_catalog_and_come_back(write, tmp_path):
    bars = import_csv(write(ADJUSTED), adjust=True)
    catalog = Catalog(tmp_path / "c")
    (entry,) = catalog.write(bars)
    assert entry.source["kind"] == "file"
    assert "adjusted close" in entry.adjustment
    assert catalog.bars("AAPL", "1 day").content_hash == bars.content_hash


# -- verifying a file ------------------------------------------------------------------------------------


def test_a_dirty_file_is_verified_row_by_row(write):
    lines = PLAIN.splitlines()
    dirty = [
        lines[0],
        lines[2],
        lines[1],
        lines[1],
        "2024-01-19,1,2,3,abc,5",
        "2024-01-22,0,2,1,1,5",
        lines[3],
    ]
    found = verify_file(write("\n".join(dirty) + "\n"))
    checks = {f.check: f for f in found}
    assert {"rows", "unsorted", "duplicates", "prices"} <= set(checks)
    assert "line 5: close 'abc' is no number" in checks["rows"].detail
    assert not found.ok


def test_a_clean_file_has_no_errors_and_unknown_symbols_are_refused(write):
    assert verify_file(write(PLAIN)).ok
    with pytest.raises(UnknownNameError):
        verify_file(write(PLAIN), symbols=["MSFT"])


def test_from_frame_and_import_agree(write):
    frame = pd.read_csv(write(PLAIN), index_col=0, parse_dates=True)
    assert (
        import_csv(write(PLAIN)).content_hash
        == Bars.from_frame(frame, symbol="AAPL", bar_size="1 day").content_hash
    )
