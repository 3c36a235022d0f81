"""The command line: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import typer

from quantlab.cli import main
from quantlab.cli._commands import COMMANDS
from quantlab.cli._errors import report_error
from quantlab.cli._options import BarsChoice, parse_params
from quantlab.cli._output import jsonable
from quantlab.cli._settings import parse_account, parse_costs, parse_sizing
from quantlab.costs import Costs
from quantlab.errors import DataError, MismatchError, ParameterError, UnknownNameError
from quantlab.sizing import Account, Sizing
from quantlab.strategy import Strategy

STRATEGY = """
import quantlab as ql

@ql.strategy(days=range(5, 30, 5))
def trend(bars, days=20, level=0.5, kind="plain", strict=False):
    close = bars.close
    past = close[:-days]
    target = close > close
    target[days:] = close[days:] > past
    return target
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "trend.py"
    path.write_text(STRATEGY)
    return path


@pytest.fixture
def run(capsys):
    """Run a command; returns its exit code and what it wrote to both streams."""

    def call(*argv):
        code = main([str(a) for a in argv])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def idea(bars, *, fast=20, level=0.5, kind="plain", strict=False, window=None):
    return bars.close > level


# -- the frame -----------------------------------------------------------------------------------------


def commands(name):
    """(path, command) of a command and of all below it."""
    top = typer.main.get_command(import_module(f"quantlab.cli.{name.replace('-', '_')}").app)
    below = getattr(top, "commands", {})
    return [(f"{name} {k}", c) for k, c in below.items()] or [(name, top)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_loads_and_its_line_is_its_own(name):
    app = import_module(f"quantlab.cli.{name.replace('-', '_')}").app
    assert (typer.main.get_command(app).help or "").partition("\n")[0].strip() == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_explains_every_option(name):
    for path, command in commands(name):
        options = {o for p in command.params for o in p.opts}
        assert "--json" in options, path
        assert command.help, path
        assert [p.name for p in command.params if not getattr(p, "help", "")] == [], path


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_says_nothing_of_completion(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert "Usage: quantlab" in out
    assert "--install-completion" not in out


def test_help_lists_the_commands(run):
    for argv in (["--help"], ["-h"]):
        code, out, _ = run(*argv)
        assert code == 0
        assert [name for name in COMMANDS if f"\n  {name} " not in out] == []


def test_nothing_given_is_help_on_standard_error(run):
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "Usage: quantlab" in err


def test_version_is_the_installed_one(run):
    from importlib.metadata import version

    assert run("--version") == (0, version("quantlab") + "\n", "")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["bactest"], "unknown command 'bactest'; did you mean 'backtest'?"),
        (["--versoin"], "unknown option '--versoin'; did you mean '--version'?"),
        (["backtest", "x.py", "--symbls", "A"], "unknown option '--symbls'; did you mean '--symbols'?"),
        (["backtest", "x.py", "--slipage-bps", "1"], "did you mean '--slippage-bps'?"),
        (["backtest"], "Missing argument 'STRATEGY'. See 'quantlab backtest --help'."),
        (["backtest", "x.py", "y.py"], "See 'quantlab backtest --help'."),
        (["backtest", "x.py", "--cash"], "--cash"),
        (["backtest", "x.py", "--cash", "lots"], "'lots' is no number; write it as in 10000 or 0.5."),
        (["backtest", "x.py", "--max-leverage", "nan"], "'nan' is no number"),
    ],
)
def test_a_command_line_that_cannot_be_read_says_what_is_near(run, argv, said):
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_errors_are_objects_with_json(run):
    code, out, err = run("backtest", "x.py", "--symbls", "A", "--json")
    found = json.loads(out)["error"]
    assert (code, err) == (2, "")
    assert found["type"] == "UsageError"
    assert found["exit_code"] == 2
    assert "did you mean '--symbols'" in found["message"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("bad prices."), 2),
        (MismatchError("differ by 1."), 1),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (ZeroDivisionError("division by zero"), 70),
        (typer.BadParameter("no."), 2),
    ],
)
def test_every_error_has_its_exit_code(capsys, error, code):
    assert report_error(error, as_json=True) == code
    streams = capsys.readouterr()
    assert json.loads(streams.out)["error"]["exit_code"] == code
    assert report_error(error, as_json=False) == code
    assert capsys.readouterr().out == ""


def test_a_defect_shows_its_traceback_and_says_that_it_is_ours(capsys):
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        report_error(error, as_json=False)
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "test_cli.py" in text
    assert "This is a defect of quantlab" in text


def test_an_unknown_name_carries_the_nearest_into_json(capsys):
    report_error(UnknownNameError("symbol", "AAPLE", ["AAPL", "IBM"]), as_json=True)
    found = json.loads(capsys.readouterr().out)["error"]
    assert (found["given"], found["nearest"], found["allowed"]) == ("AAPLE", "AAPL", ["AAPL", "IBM"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), "inf"),
        (-np.inf, "-inf"),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([1.0, np.nan]), [1.0, None]),
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        (np.datetime64("2020-01-02"), "2020-01-02"),
        (range(3), [0, 1, 2]),
        (None, None),
        (object, "<class 'object'>"),
    ],
)
def test_json_takes_every_value(value, expected):
    found = jsonable(value)
    assert found == expected
    json.dumps(found, allow_nan=False)


def test_json_takes_frames_of_times():
    import pandas as pd

    assert jsonable(pd.Series({"a": pd.NaT, "b": pd.Timestamp("2020-01-02")})) == {
        "a": None,
        "b": "2020-01-02T00:00:00",
    }


# -- shared options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        (None, {}),
        (["fast=10"], {"fast": 10}),
        (["fast=10", "level=2"], {"fast": 10, "level": 2.0}),
        (["level=1e-3"], {"level": 0.001}),
        (["kind=a=b"], {"kind": "a=b"}),
        (["kind=7"], {"kind": "7"}),
        (["strict=true"], {"strict": True}),
        (["strict=No"], {"strict": False}),
        (["window=5"], {"window": 5}),
        (["window=None"], {"window": None}),
        (["window=long"], {"window": "long"}),
        ([" fast =10"], {"fast": 10}),
    ],
)
def test_parameters_take_the_type_of_their_default(given, expected):
    found = parse_params(Strategy(idea), given)
    assert found == expected
    assert [type(v) for v in found.values()] == [type(v) for v in expected.values()]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (["fast"], ParameterError, "write name=value"),
        (["=3"], ParameterError, "write name=value"),
        (["fats=3"], UnknownNameError, "did you mean 'fast'"),
        (["fast=ten"], ParameterError, "'ten' (str); its default 20 says that int is needed"),
        (["fast=1.5"], ParameterError, "int is needed"),
        (["fast="], ParameterError, "int is needed"),
        (["strict=maybe"], ParameterError, "bool is needed"),
        (["fast=1", "fast=2"], ParameterError, "given twice"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(given, error, said):
    with pytest.raises(error) as caught:
        parse_params(Strategy(idea), given)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zero", Costs.zero()),
        ("percent:0.001", Costs.percent(0.001)),
        ("per-share:0.005", Costs.per_share(0.005)),
        ("ibkr-fixed", Costs.ibkr_fixed()),
        ("ibkr-tiered", Costs.ibkr_tiered()),
        ("ibkr-futures", Costs.ibkr_futures()),
        ("ibkr-forex", Costs.ibkr_forex()),
    ],
)
def test_costs_come_from_their_names(text, expected):
    assert parse_costs(text).describe() == expected.describe()
    assert parse_costs(text, 3.0).describe() == expected.replace(slippage_bps=3.0).describe()


def test_default_costs_are_those_of_the_engine():
    assert parse_costs("default") is None
    assert parse_costs("default", 0.0).describe() == Costs.default().replace(slippage_bps=0.0).describe()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ibkr-fixd", "did you mean 'ibkr-fixed'"),
        ("percent", "needs a rate, as in percent:0.001"),
        ("percent:", "needs a rate"),
        ("percent:many", "'many' where a number is needed"),
        ("percent:-1", "commission"),
        ("percent:nan", "commission"),
        ("zero:1", "takes no rate"),
        ("", "unknown costs"),
    ],
)
def test_costs_that_cannot_be_used_are_refused(text, said):
    with pytest.raises((UnknownNameError, ParameterError)) as caught:
        parse_costs(text)
    assert said in str(caught.value)


NO_SIZING = {"sizing": None, "fractional": False, "price": None, "rebalance": None, "max_leverage": None}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"sizing": "equal"}, Sizing()),
        ({"sizing": "0.5"}, Sizing(allocation=0.5)),
        ({"sizing": "units:10"}, Sizing.units(10.0)),
        ({"sizing": "value:1e4"}, Sizing.value(10_000.0)),
        ({"fractional": True, "price": "fill"}, Sizing(whole_units=False, price="fill")),
        ({"rebalance": "every-bar"}, Sizing(rebalance="every_bar")),
        ({"rebalance": "on_change"}, Sizing(rebalance="on_change")),
        ({"rebalance": "0.05", "max_leverage": 2.0}, Sizing(rebalance=0.05, max_leverage=2.0)),
    ],
)
def test_sizing_comes_from_its_options(given, expected):
    assert parse_sizing(Strategy(idea), **(NO_SIZING | given)) == expected


def test_sizing_options_are_laid_over_the_strategys_own():
    own = Strategy(idea, sizing=Sizing.units(5.0, max_leverage=3.0))
    assert parse_sizing(own, **(NO_SIZING | {"fractional": True})) == Sizing.units(
        5.0, max_leverage=3.0, whole_units=False
    )
    assert parse_sizing(own, **(NO_SIZING | {"sizing": "0.5"})) == Sizing(allocation=0.5, max_leverage=3.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sizing": "half"}, "unknown sizing 'half'"),
        ({"sizing": "unit:10"}, "did you mean 'units'"),
        ({"sizing": "units:ten"}, "'ten' where a number is needed"),
        ({"sizing": "units:"}, "'' where a number is needed"),
        ({"sizing": "-1"}, "allocation is -1.0"),
        ({"sizing": "nan"}, "unknown sizing 'nan'"),
        ({"price": "fil"}, "did you mean 'fill'"),
        ({"rebalance": "always"}, "unknown rebalance rule"),
        ({"rebalance": "-x"}, "where a number is needed"),
        ({"max_leverage": 0.0}, "max_leverage is 0.0"),
    ],
)
def test_sizing_that_cannot_be_used_is_refused(given, said):
    with pytest.raises((UnknownNameError, ParameterError)) as caught:
        parse_sizing(Strategy(idea), **(NO_SIZING | given))
    assert said in str(caught.value)


def test_account_comes_from_its_name():
    assert (parse_account("margin"), parse_account("cash")) == (Account.margin(), Account.cash())
    with pytest.raises(UnknownNameError, match="did you mean 'cash'"):
        parse_account("csh")


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        ({"catalog": "a", "data": "b"}, ParameterError, "two sources of bars"),
        ({"tz": "UTC"}, ParameterError, "give --data FILE with them"),
        ({"symbols": "AAPL,,IBM"}, ParameterError, "empty name"),
        ({"symbols": ""}, ParameterError, "empty name"),
        ({"symbols": "APPL"}, UnknownNameError, "did you mean 'AAPL'"),
        ({"bar_size": "1 dya"}, ParameterError, "bar size"),
        ({"start": "soon"}, ParameterError, "--start 'soon' is no day or time"),
        ({"end": "2010-13-01"}, ParameterError, "--end '2010-13-01' is no day or time"),
        ({"start": "2050-01-01"}, DataError, "no bar between 2050-01-01"),
    ],
)
def test_bars_that_cannot_be_had_are_refused(choice, error, said):
    with pytest.raises(error) as caught:
        BarsChoice(**choice).load()
    assert said in str(caught.value)


def test_bars_come_from_the_sample_cut_to_their_window():
    bars = BarsChoice(symbols="IBM, MSFT", start="2005-01-01", end="2005-12-31").load()
    assert bars.symbols == ("IBM", "MSFT")
    assert bars.n_bars == 252


def test_bars_come_from_a_catalog(tmp_path):
    from quantlab.data.catalog import Catalog

    bars = BarsChoice(symbols="IBM").load()
    Catalog(tmp_path / "cat").write(bars, source="sample")
    assert BarsChoice(catalog=str(tmp_path / "cat")).load().symbols == ("IBM",)
    with pytest.raises(UnknownNameError, match="AAPL"):
        BarsChoice(catalog=str(tmp_path / "cat"), symbols="AAPL").load()
    with pytest.raises((DataError, UnknownNameError), match="5 mins"):
        BarsChoice(catalog=str(tmp_path / "cat"), bar_size="5 mins").load()


def test_bars_come_from_a_file(tmp_path):
    bars = BarsChoice(symbols="IBM").load()
    path = tmp_path / "ibm.csv"
    bars.to_frame().rename_axis("date").to_csv(path)
    found = BarsChoice(data=str(path)).load()
    assert found.n_bars == bars.n_bars
    np.testing.assert_array_equal(found.close, bars.close)


# -- backtest ------------------------------------------------------------------------------------------


def test_backtest_prints_the_strategy_beside_buy_and_hold(run, file, tmp_path):
    code, out, err = run("backtest", file, "-p", "days=60", "--report", tmp_path / "r" / "report.html")
    assert (code, err) == (0, "")
    for text in ("trend(days=60", "AAPL", "Total return", "Sharpe ratio", "buy-and-hold", f"{tmp_path}"):
        assert text in out.replace("\n", "")
    assert re.search(r"^(warning|info): .+ \[cost_break_even\]$", out, re.MULTILINE)
    assert (tmp_path / "r" / "report.html").read_text().startswith("<!")


def test_backtest_prints_everything_as_json(run, file):
    code, out, err = run("backtest", file, "-p", "days=60", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert set(found) >= {
        "strategy",
        "params",
        "bars",
        "stats",
        "benchmark",
        "settings",
        "fingerprint",
        "notes",
        "diagnostics",
    }
    assert found["params"]["days"] == 60
    said = {each["name"]: each for each in found["diagnostics"]}
    assert said["cost_break_even"]["n_rows"] == len(said["cost_break_even"]["evidence"])
    assert found["bars"]["symbols"] == ["AAPL"]
    assert found["report"] is None
    assert {"sharpe", "final_equity", "max_drawdown", "commission", "var_95"} <= set(found["stats"])


def test_backtest_gives_the_numbers_of_the_library(run, file):
    import quantlab as ql
    from quantlab.engine.loader import load_strategy

    options = ["--cash", "50000", "--costs", "percent:0.001", "--slippage-bps", "2", "--sizing", "0.5"]
    more = [
        "--fractional",
        "--account",
        "cash",
        "--fill",
        "next-close",
        "--start",
        "2005-01-01",
        "--end",
        "2010-12-31",
    ]
    code, out, _ = run("backtest", file, "--symbols", "AAPL,IBM", *options, *more, "--json")
    assert code == 0
    result = ql.backtest(
        load_strategy(str(file)),
        ql.sample(["AAPL", "IBM"]),
        cash=50_000,
        costs=Costs.percent(0.001, slippage_bps=2.0),
        sizing=Sizing(allocation=0.5, whole_units=False),
        account=Account.cash(),
        fill="next_close",
        start="2005-01-01",
        end="2010-12-31",
    )
    found = json.loads(out)
    assert found["stats"] == jsonable(result.stats)
    assert found["fingerprint"] == result.fingerprint


def test_the_benchmarks_statistics_follow_the_formulas_of_the_engine():
    import quantlab as ql
    from quantlab.cli.backtest import equity_stats

    for symbols in ("AAPL", ["AAPL", "IBM", "MSFT"]):
        result = ql.backtest(lambda bars: bars.close > 20, ql.sample(symbols), risk_free=0.02)
        found = equity_stats(result.equity.to_numpy(), result.cash_start, result.bars_per_year, 0.02)
        assert found == pytest.approx({k: result.stats[k] for k in found}, rel=1e-9)


def test_the_benchmarks_return_is_the_one_in_the_statistics():
    import quantlab as ql
    from quantlab.cli.backtest import hold_stats

    result = ql.backtest(lambda bars: bars.close > 20, ql.sample("IBM"))
    assert hold_stats(result)["total_return"] == pytest.approx(result.stats["buy_hold_return"], rel=1e-12)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["{folder}/tred.py"], "did you mean {folder}/trend.py?"),
        (["{file}:trnd"], "unknown strategy 'trnd'; did you mean 'trend'?"),
        (["{file}", "-p", "dyas=3"], "unknown parameter 'dyas'; did you mean 'days'?"),
        (["{file}", "-p", "days=3.5"], "int is needed"),
        (["{file}", "--symbols", "APPL"], "did you mean 'AAPL'?"),
        (["{file}", "--costs", "zeroo"], "did you mean 'zero'?"),
        (["{file}", "--fill", "next_opn"], "did you mean 'next_open'?"),
        (["{file}", "--cash", "-5"], "cash is -5.0"),
        (["{file}", "--account", "margn"], "did you mean 'margin'?"),
        (["{file}", "--start", "2050-01-01"], "no bar"),
        (["{file}", "--start", "x"], "--start 'x' is no day or time"),
        (["{file}", "--catalog", "{folder}/none"], "{folder}/none"),
        (["{file}", "--data", "{folder}/none.csv"], "none.csv"),
        (["{file}", "--report", "{file}/report.html"], "report"),
    ],
)
def test_backtest_refuses_what_it_cannot_use(run, file, argv, said):
    names = {"file": file, "folder": file.parent}
    argv = [a.format(**names) for a in argv]
    code, out, err = run("backtest", *argv)
    assert (code, out) == (2, "")
    assert said.format(**names) in err
    assert "Traceback" not in err
    code, out, err = run("backtest", *argv, "--json")
    assert (code, err) == (2, "")
    assert said.format(**names) in json.loads(out)["error"]["message"]


def test_a_strategy_that_raises_shows_its_own_line(run, tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def f(bars):\n    x = bars.close\n    return x.nothing\n")
    code, _, err = run("backtest", path)
    assert code == 2
    assert f"{path}, line 3: return x.nothing" in err


def test_a_strategy_that_changes_its_input_is_told_so(run, tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("def f(bars):\n    bars.close[0] = 1\n    return bars.close > 0\n")
    code, _, err = run("backtest", path)
    assert code == 2
    assert "must not change its input" in err


def test_a_report_in_a_place_that_cannot_be_written_loses_nothing(run, file):
    before = file.read_text()
    code, _, err = run("backtest", file, "--report", file.parent)
    assert code == 2
    assert "error: " in err
    assert file.read_text() == before


def test_a_second_opinion_is_asked_for_and_agrees(run, file):
    code, out, err = run("backtest", file, "--symbols", "AAPL,IBM", "--cross-check")
    assert (code, err) == (0, "")
    assert "cross-check: vectorbt agrees on" in out
    found = json.loads(run("backtest", file, "--cross-check", "--json")[1])["cross_check"]
    assert found["agrees"] is True
    assert found["largest_difference"] <= found["tolerance"] == 1e-9


def test_a_second_opinion_that_differs_fails_the_command(run, file, monkeypatch):
    from quantlab.engine import crosscheck

    wrong = crosscheck.Comparison("final_equity", 100.0, 101.0, 0.01)
    right = crosscheck.Comparison("cash", 1.0, 1.0, 0.0)
    monkeypatch.setattr(crosscheck, "crosscheck", lambda result: crosscheck.CrossCheck((right, wrong)))
    code, out, _ = run("backtest", file, "--cross-check")
    assert code == 1
    assert "vectorbt disagrees on final_equity" in out
    assert "Total return" in out
    code, out, _ = run("backtest", file, "--cross-check", "--json")
    assert (code, json.loads(out)["cross_check"]["agrees"]) == (1, False)


# -- demo ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo in a process of its own: its folder, and what it printed."""
    place = tmp_path_factory.mktemp("demo")
    done = start("demo", cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    return place, done.stdout


def test_the_demo_goes_the_whole_way_and_says_where_everything_is(demo):
    place, out = demo
    assert "report: quantlab-demo/report.html" in out
    assert "page: quantlab-demo/index.html" in out
    folder = place / "quantlab-demo"
    assert (folder / "report.html").stat().st_size > 10_000
    names = {p.name for p in folder.iterdir()}
    assert names == {"report.html", "index.html", "sma_cross.py", "cheat.py", "bundle"}


def test_the_demo_refuses_a_cheat_at_its_first_bar(demo):
    assert re.search(r"^cheat +tomorrow is not promoted: looks ahead.*\(bar 0\)", demo[1], re.MULTILINE)


def test_the_demos_decisions_are_equal_and_its_kill_doubles_and_loses_nothing(demo):
    _, out = demo
    parity = re.findall(r"^parity .*: ([\d,]+) decisions equal", out, re.MULTILINE)
    assert parity == ["1,012", "1,012"]
    assert re.search(r"killed \(kill -9\) after \d+ decisions; started again", out)
    paper = re.search(
        r"^paper +252 decisions on 4 assets in \d+ s, all those of the backtest; (\d+) orders, 0 doubled; "
        r"(\d+) fills, (\d+) in the journal",
        out,
        re.MULTILINE,
    )
    assert int(paper[1]) > 10
    assert paper[2] == paper[3]


def test_the_demos_page_leads_to_its_files_and_asks_for_nothing(demo):
    page = (demo[0] / "quantlab-demo" / "index.html").read_text(encoding="utf-8")
    for link in re.findall(r'href="([^"]+)"', page):
        assert (demo[0] / "quantlab-demo" / link).exists(), link
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_every_command_that_the_demo_names_works(demo, run, monkeypatch):
    place, out = demo
    monkeypatch.chdir(place)
    steps = [line.split() for line in out.partition("Each step by itself:")[2].splitlines() if line]
    assert {Path(program).name for program, *_ in steps} == {"quantlab"}
    assert shutil.which(steps[0][0]), "the program can be called as the demo writes it"
    named = [argv for _, *argv in steps]
    assert {argv[0] for argv in named} >= {"promote", "parity", "status", "journal", "backtest", "check"}
    for argv in named:
        code, _, err = run(*argv)
        assert (code, err) == (0, ""), argv


def test_the_demo_keeps_a_strategy_file_that_the_user_changed(run, tmp_path):
    from quantlab.cli.demo import STRATEGY

    folder = tmp_path / "mine"
    folder.mkdir()
    changed = STRATEGY.replace("fast=20", "fast=30")
    (folder / "sma_cross.py").write_text(changed)
    code, out, _ = run("demo", "--folder", folder, "--json")
    assert code == 0
    assert json.loads(out)["backtests"]["AAPL net"]["params"]["fast"] == 30
    assert (folder / "sma_cross.py").read_text() == changed


def test_the_demo_fails_when_its_strategy_looks_ahead(run, tmp_path):
    (tmp_path / "sma_cross.py").write_text(
        "import numpy as np\ndef f(bars):\n    return np.roll(bars.close, -1, axis=0) > bars.close\n"
    )
    code, out, _ = run("demo", "--folder", tmp_path)
    assert code == 1
    assert "looks ahead" in out


def test_the_demo_says_when_its_folder_cannot_be_written(run, file):
    code, _, err = run("demo", "--folder", file)
    assert code == 2
    assert f"--folder {file} cannot be written" in err


# -- in a process of its own ---------------------------------------------------------------------------


def start(*argv, **more):
    command = [sys.executable, "-m", "quantlab", *argv]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **more
    )


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom quantlab.cli import main\nmain(['--help'])\n"
        "print([m for m in ('numpy', 'pandas', 'numba', 'rich', 'plotly', 'talib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_exit_codes_reach_the_shell(file):
    done = start("backtest", str(file.with_name("tred.py")))
    assert done.returncode == 2
    assert "did you mean" in done.stderr
    assert done.stdout == ""


def test_a_reader_that_goes_away_is_no_defect():
    command = f'"{sys.executable}" -m quantlab --help | head -1'
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.stdout.startswith("Usage: quantlab")
    assert "Traceback" not in done.stderr


def test_an_interrupted_command_ends_with_130(run, tmp_path):
    path = tmp_path / "slow.py"
    path.write_text("raise KeyboardInterrupt\n")
    assert run("backtest", path)[0] == 130
