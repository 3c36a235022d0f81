"""``quantlab data``: what is written, listed and found, for people and for programs."""

from __future__ import annotations

import json

import pytest

from quantlab.cli import main
from quantlab.data.catalog import Catalog

CSV = """Date,Open,High,Low,Close,Adj Close,Volume
2024-01-16,100,110,90,104,52,1000
2024-01-17,51,54,50,53,53,2400
2024-01-18,53,55,52,54,54,2500
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUANTLAB_CATALOG", raising=False)


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "XYZ.csv"
    path.write_text(CSV)
    return str(path)


@pytest.fixture
def run(capsys):
    def run(*arguments, code=0):
        given = main(["data", *arguments])
        out, err = capsys.readouterr()
        assert given == code, (out, err)
        return out if "--json" not in arguments else json.loads(out)

    return run


def test_the_sample_is_written_listed_and_verified(run, tmp_path):
    done = run("sample", "--json")
    assert [e["symbol"] for e in done["written"]] == ["AAPL", "GOOG", "IBM", "MSFT"]
    assert (tmp_path / "catalog" / "1_day" / "AAPL.parquet").is_file()
    listed = run("list", "--json")["series"]
    assert (listed[0]["symbol"], listed[0]["n_bars"], listed[0]["source"]["kind"]) == ("AAPL", 3270, "sample")
    found = run("verify", "--json")
    assert (found["ok"], found["n_series"]) == (True, 4)
    assert {f["check"] for f in found["findings"]} == {"repeated"}


def test_people_read_tables(run):
    assert "AAPL" in run("sample", "--symbols", "AAPL,IBM")
    text = run("list")
    assert "IBM" in text
    assert "3270" in text
    assert "MSFT" not in text
    assert "0 error, 1 warning" in run("verify")


def test_writing_the_sample_twice_changes_nothing(run):
    first = run("sample", "--json")["written"]
    second = run("sample", "--json")["written"]
    assert [e["content_hash"] for e in first] == [e["content_hash"] for e in second]


def test_an_import_prints_every_guess_and_stores_the_bars(run, csv):
    text = run("import", csv, "--adjust", "--calendar", "XNYS")
    assert "columns: date from 'Date'" in text
    assert "symbol: XYZ" in text
    bars = Catalog("catalog").bars("XYZ", "1 day")
    assert bars.close[:, 0].tolist() == [52.0, 53.0, 54.0]
    assert bars.factor[0, 0] == 2.0


def test_an_import_takes_the_record_of_the_instrument(run, csv):
    run("import", csv, "--symbol", "ES", "--security-type", "FUT", "--multiplier", "50", "--tick", "0.25")
    (instrument,) = Catalog("catalog").bars("ES", "1 day").instruments
    assert (instrument.security_type, instrument.multiplier, instrument.tick) == ("FUT", 50.0, 0.25)


def test_json_of_an_import_is_one_document(run, csv):
    done = run("import", csv, "--json")
    assert done["files"][0]["written"][0]["what"] == "TRADES"
    assert any("--adjust" in n for n in done["files"][0]["notes"])


def test_an_overlap_that_differs_needs_replace(run, csv, tmp_path):
    run("import", csv)
    other = tmp_path / "new" / "XYZ.csv"
    other.parent.mkdir()
    other.write_text(CSV.replace("54,54,2500", "55,55,2500"))
    run("import", str(other), code=2)
    assert Catalog("catalog").bars("XYZ", "1 day").close[-1, 0] == 54.0
    run("import", str(other), "--replace", "overlap")
    assert Catalog("catalog").bars("XYZ", "1 day").close[-1, 0] == 55.0
    run("import", str(other), "--replace", "all")
    run("import", str(other), "--replace", "some", code=2)


def test_the_catalog_is_taken_from_option_then_environment_then_here(run, csv, tmp_path, monkeypatch):
    run("import", csv, "--catalog", str(tmp_path / "one"))
    monkeypatch.setenv("QUANTLAB_CATALOG", str(tmp_path / "two"))
    run("import", csv)
    monkeypatch.delenv("QUANTLAB_CATALOG")
    run("import", csv)
    assert all((tmp_path / n / "1_day" / "XYZ.parquet").is_file() for n in ("one", "two", "catalog"))


def test_an_empty_catalog_says_how_to_fill_it(run):
    assert "quantlab data sample" in run("list")
    assert run("list", "--json")["series"] == []


def test_a_listing_can_be_narrowed(run):
    run("sample", "--symbols", "AAPL,IBM")
    run("sample", "--symbols", "IBM", "--bar-size", "1 week")
    assert [e["symbol"] for e in run("list", "--symbols", "IBM", "--json")["series"]] == ["IBM", "IBM"]
    assert len(run("list", "--bar-size", "1w", "--json")["series"]) == 1
    run("list", "--symbols", "IMB", code=2)


def test_verify_ends_with_1_when_a_backtest_would_be_wrong(run, csv, tmp_path):
    rows = "".join(f"2024-01-{d:02d},100,101,99,100.5,100.5,1000\n" for d in range(2, 6))
    dirty = tmp_path / "DIRTY.csv"
    dirty.write_text("Date,Open,High,Low,Close,Adj Close,Volume\n" + rows + "2024-01-05,0,1,1,1,1,1\n")
    found = run("verify", str(dirty), "--json", code=1)
    assert {"duplicates"} <= {f["check"] for f in found["findings"]}
    assert found["ok"] is False
    assert "error: DIRTY" in run("verify", str(dirty), code=1)


def test_verify_of_a_damaged_catalog_ends_with_1_and_names_the_file(run, tmp_path):
    run("sample", "--symbols", "AAPL,IBM")
    path = tmp_path / "catalog" / "1_day" / "IBM.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    found = run("verify", "--json", code=1)
    assert [f["symbol"] for f in found["findings"] if f["check"] == "damaged_file"] == ["IBM"]
    assert found["n_series"] == 2
    run("verify", "--symbols", "AAPL")
    run("list", code=2)


def test_verify_without_a_catalog_looks_at_the_sample(run):
    found = run("verify", "--symbols", "AAPL", "--json")
    assert "sample" in found["subject"]
    assert found["n_series"] == 1


BAD = [
    ["import", "none.csv"],
    ["import"],
    ["import", "XYZ.csv", "--columns", "open=Opn"],
    ["import", "XYZ.csv", "--bar-size", "1 fortnight"],
    ["import", "XYZ.csv", "--calendar", "XNYSS"],
    ["import", "XYZ.csv", "--security-type", "OPT"],
    ["import", "XYZ.csv", "--tick", "-1"],
    ["import", "XYZ.csv", "XYZ.csv", "--symbol", "A"],
    ["import", "XYZ.csv", "--session-kind", "night"],
    ["sample", "--symbols", "APPL"],
    ["sample", "--bar-size", "1 min"],
    ["verify", "none.csv"],
    ["verify", "--catalog", "XYZ.csv"],
    ["verify", "XYZ.csv", "--symbols", "ABC"],
    ["nonsense"],
]


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_bad_input_ends_with_2_and_one_message(run, csv, capsys, arguments):
    main(["data", *arguments])
    capsys.readouterr()
    assert main(["data", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.strip()
    assert "Traceback" not in err


def test_help_of_each_command_names_its_options(run):
    for command in ("sample", "import", "list", "verify"):
        text = run(command, "--help")
        assert "--json" in text
        assert "--catalog" in text
