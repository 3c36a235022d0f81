"""A report, run again: what was changed is named, and no code in it runs."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from quantlab.cli import main
from quantlab.costs import Costs, Interest
from quantlab.data.catalog import Catalog
from quantlab.data.importers import import_file
from quantlab.data.sample import sample
from quantlab.engine.backtest import backtest
from quantlab.engine.loader import load_strategy
from quantlab.report import read_result
from quantlab.report.record import ELEMENT
from quantlab.sizing import Account, Sizing

STRATEGY = """
import quantlab as ql
from quantlab.signals import sma

@ql.strategy(fast=range(5, 30, 5))
def cross(bars, fast=10, slow=40, weights=(1.0, 0.5)):
    return (sma(bars.close, fast) > sma(bars.close, slow)) * weights[0]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cross.py"
    path.write_text(STRATEGY)
    return path


@pytest.fixture
def verify(capsys, file):
    """Run the command; returns its exit code and what it printed to both streams."""

    def call(report, *argv, strategy=file):
        code = main(["verify", str(report), "--strategy", str(strategy), *(str(a) for a in argv)])
        streams = capsys.readouterr()
        return code, streams.out + streams.err

    return call


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Text of a report of a run on sample prices; what strategy it is of is its hash, not its place."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "cross.py").write_text(STRATEGY)
    result = backtest(load_strategy(str(folder / "cross.py")), sample("AAPL"), {"fast": 20})
    return result.report(folder / "report.html").read_text()


@pytest.fixture
def report(tmp_path, page):
    """Report of a run on sample prices."""
    path = tmp_path / "report.html"
    path.write_text(page)
    return path


def changed(path, edit):
    """The same report with its data block edited."""
    html = path.read_text()
    start = html.index(ELEMENT) + len(ELEMENT)
    end = html.index("</script>", start)
    data = json.loads(html[start:end])
    edit(data)
    path.write_text(html[:start] + json.dumps(data) + html[end:])
    return path


# -- the same ------------------------------------------------------------------------------------------


def test_an_untouched_report_is_the_same_to_the_last_bit(report, verify):
    code, out = verify(report)
    assert (code, out) == (0, f"{report}: every number is the same\n")


OPTIONS = [
    {
        "costs": Costs.percent(0.001, spread_bps=3.0),
        "sizing": Sizing.value(5000.0, whole_units=False),
        "cash": 12_345.6,
    },
    {"costs": Costs.ibkr_tiered(interest=Interest(0.05), borrow=0.01), "account": Account.margin(0.3)},
    {"costs": Costs(commission={"STK": 0.001}, slippage_bps={"AAPL": 4.0}), "fill": "next_close"},
    {"sizing": Sizing(price="fill", rebalance=0.05), "fill": "close", "risk_free": 0.02},
    {"account": Account.cash(buffer=0.01), "start": "2005-01-01", "end": "2009-12-31", "benchmark": "AAPL"},
    {"start": pd.Timestamp("2005-01-01"), "params": {"weights": (0.5, 0.1)}},
]


@pytest.mark.parametrize("options", OPTIONS, ids=", ".join)
def test_every_option_of_a_run_is_carried_and_restored(options, tmp_path, file, verify):
    result = backtest(load_strategy(str(file)), sample("AAPL"), **options)
    code, out = verify(result.report(tmp_path / "r.html"))
    assert code == 0, out


def test_a_run_that_ended_in_ruin_is_the_same(tmp_path, verify):
    path = tmp_path / "short.py"
    path.write_text("def short(bars):\n    return bars.close * 0.0 - 1.0\n")
    sizing = Sizing(allocation=3.0, max_leverage=3.0)
    result = backtest(load_strategy(str(path)), sample("AAPL"), sizing=sizing, account=Account.margin(0.1))
    assert result.ruined_at is not None
    assert verify(result.report(tmp_path / "r.html"), strategy=path)[0] == 0


def test_bars_of_a_catalog_are_read_again_from_it(tmp_path, file, verify):
    folder = tmp_path / "prices"
    Catalog(folder).write(sample(["AAPL", "IBM"]))
    bars = Catalog(folder).bars(["IBM", "AAPL"], "1 day")
    report = backtest(load_strategy(str(file)), bars).report(tmp_path / "r.html")
    assert verify(report)[0] == 0
    # Elsewhere the folder is another one: it can be named.
    folder.rename(tmp_path / "moved")
    assert verify(report)[0] == 2
    code, out = verify(report, "--catalog", tmp_path / "moved", "--symbols", "IBM,AAPL")
    assert code == 0, out


def test_bars_of_a_file_are_read_again_from_it(tmp_path, file, verify):
    prices = tmp_path / "aapl.csv"
    sample("AAPL").to_frame().iloc[:600].to_csv(prices)
    report = backtest(load_strategy(str(file)), import_file(prices)).report(tmp_path / "r.html")
    code, out = verify(report)
    assert code == 0, out


def test_resampled_bars_and_chosen_symbols_are_made_again(tmp_path, file, verify):
    bars = sample(["AAPL", "IBM", "MSFT"]).resample("1 week")
    code, out = verify(backtest(load_strategy(str(file)), bars[["IBM", "MSFT"]]).report(tmp_path / "r.html"))
    assert code == 0, out


def test_of_a_file_with_several_strategies_the_recorded_one_is_taken(tmp_path, verify):
    path = tmp_path / "two.py"
    path.write_text(STRATEGY + "\n@ql.strategy\ndef other(bars):\n    return bars.close > 0\n")
    report = backtest(load_strategy(f"{path}:other"), sample("AAPL")).report(tmp_path / "r.html")
    assert verify(report, strategy=path)[0] == 0
    assert verify(report, strategy=f"{path}:other")[0] == 0
    code, out = verify(report, strategy=f"{path}:cross")
    assert code != 0, out


def test_a_benchmark_that_the_report_does_not_carry_is_left_out_and_said(tmp_path, file, verify):
    prices = sample("IBM").frame("close")["IBM"]
    result = backtest(load_strategy(str(file)), sample("AAPL"), benchmark=prices)
    code, out = verify(result.report(tmp_path / "r.html"))
    assert code == 0, out
    assert "buy_hold_return, alpha, beta are not compared" in re.sub(r"\s+", " ", out)


# -- changed -------------------------------------------------------------------------------------------


def put(data, path, value):
    *way, last = path
    for key in way:
        data = data[key]
    data[last] = value(data[last]) if callable(value) else value


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("stats", "sharpe"), lambda x: np.nextafter(x, 9.0), "stats.sharpe differs"),
        (("stats", "n_trades"), lambda x: x + 1.0, "stats.n_trades differs"),
        (("costs", "commission"), 0.0, "costs.commission differs"),
        (("equity", "values", 1000), lambda x: x * 2.0, "equity.values[1000] differs"),
        (("equity", "last"), 1e9, "equity.last differs"),
        (("fills", "columns", "price", 3), lambda x: x + 0.01, "fills.price[3] differs"),
        (("trades", "columns", "pnl", 0), 1e6, "trades.pnl[0] differs"),
        (("cash",), 5.0, "cash differs"),
        (("bars_per_year",), 365.0, "bars_per_year differs"),
        (("fingerprint", "strategy"), "0" * 32, "fingerprint.strategy differs"),
        (("fingerprint", "data"), "0" * 32, "fingerprint.data differs"),
        (("fingerprint", "parameters"), "0" * 32, "fingerprint.parameters differs"),
        (("fingerprint", "digest"), "0" * 32, "fingerprint.digest differs"),
        (("settings", "params", "fast"), 10, "fingerprint.parameters differs"),
        (("settings", "cash"), 1000.0, "fingerprint.settings differs"),
        (("settings", "bars", "n_bars"), 7, "settings.bars.n_bars differs"),
        (("settings", "strategy"), "other", "settings.strategy differs"),
        (("settings", "fill"), "close", "fingerprint.settings differs"),
        (("settings", "costs", "slippage_bps"), 0.0, "fingerprint.settings differs"),
    ],
)
def test_a_changed_number_is_named(path, value, named, report, verify):
    code, out = verify(changed(report, lambda data: put(data, path, value)))
    assert code == 1
    assert named in out


def test_the_relative_difference_is_said_and_json_carries_both_numbers(report, verify):
    changed(report, lambda data: put(data, ("stats", "cagr"), lambda x: x * (1.0 + 1e-6)))
    code, out = verify(report)
    assert (code, "a relative difference of 1e-06" in out) == (1, True)
    code, out = verify(report, "--json")
    shown = json.loads(out)
    assert (code, shown["same"], shown["difference"]["where"]) == (1, False, "stats.cagr")
    assert shown["difference"]["recorded"] == pytest.approx(shown["difference"]["again"], rel=2e-6)


def test_a_changed_strategy_is_named_and_not_run(report, file, verify, tmp_path):
    witness = tmp_path / "witness"
    file.write_text(STRATEGY + f"\nopen({str(witness)!r}, 'w').close()\n")
    code, out = verify(report)
    assert code == 1
    assert "the strategy is another one, or was changed since" in out
    assert not witness.exists()


def test_changed_bars_are_named(tmp_path, file, verify):
    folder = tmp_path / "prices"
    bars = sample("AAPL")
    Catalog(folder).write(bars)
    report = backtest(load_strategy(str(file)), Catalog(folder).bars("AAPL", "1 day")).report(
        tmp_path / "r.html"
    )
    Catalog(folder).write(bars.between(None, "2012-12-31"), replace="all")
    code, out = verify(report)
    assert code == 1
    assert "the bars are others, or were changed since" in out


def test_a_number_edited_on_the_page_alone_is_named(report, verify):
    html = report.read_text()
    shown = f"{read_result(html)['stats']['sharpe']:.2f}"
    places = [m.start() for m in re.finditer(f">{re.escape(shown)}<", html)]
    assert places
    report.write_text(html[: places[0]] + ">9.99<" + html[places[0] + len(shown) + 2 :])
    code, out = verify(report)
    assert code == 1
    assert "what the page shows after" in out
    assert f"'9.99' in the report, '{shown}' now" in out


def test_another_script_on_the_page_is_noted(report, verify):
    report.write_text(report.read_text().replace("</body>", "<script>1</script></body>"))
    code, out = verify(report)
    assert code == 0
    assert "charts or scripts are not those this version writes" in out


# -- refused -------------------------------------------------------------------------------------------


def test_a_report_of_a_target_array_cannot_be_run_again_and_says_so(tmp_path, verify):
    result = backtest(np.ones(sample("AAPL").shape), sample("AAPL"))
    code, out = verify(result.report(tmp_path / "r.html"))
    assert code == 2
    assert "target array, which is not in it" in out


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda d: d["settings"].pop("costs"), "does not record 'costs'"),
        (lambda d: d["fingerprint"].pop("data"), "does not record 'data'"),
        (lambda d: put(d, ("settings", "sizing"), {"allocation": "all"}), "cannot be run again"),
        (lambda d: put(d, ("settings", "sizing"), {"no such": 1}), "cannot be run again"),
        (lambda d: put(d, ("settings", "costs"), {}), "cannot be run again"),
        (lambda d: put(d, ("settings", "params"), {"fats": 3}), "did you mean 'fast'"),
        (lambda d: put(d, ("settings", "params"), [1]), "no setting of a run"),
        (lambda d: d["settings"]["bars"].pop("source"), "does not say where its bars come from"),
        (
            lambda d: put(d, ("settings", "bars", "source"), {"kind": "catalog", "path": "s3://x/y"}),
            "no report may open",
        ),
        (lambda d: put(d, ("settings", "bars", "source"), {"kind": "spell"}), "unknown kind of source"),
    ],
)
def test_a_report_that_cannot_be_run_again_says_why(edit, said, report, verify):
    code, out = verify(changed(report, edit))
    assert code == 2
    assert said in out


def test_what_is_no_report_is_refused(tmp_path, file, verify):
    for name, content in (("a.html", b"<html></html>"), ("b.html", b"\xff\xfe\x00")):
        (tmp_path / name).write_bytes(content)
        assert verify(tmp_path / name)[0] == 2
    code, out = verify(tmp_path / "missing.html")
    assert code == 2
    assert "cannot be read" in out


def test_a_strategy_that_is_not_there_is_refused(report, verify, tmp_path):
    code, out = verify(report, strategy=tmp_path / "crosss.py")
    assert code == 2
    assert "did you mean" in out
