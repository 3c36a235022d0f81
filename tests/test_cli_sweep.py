"""The command that runs every set of a grid."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import quantlab as ql
from quantlab.cli import main
from quantlab.cli._trials import parse_grid
from quantlab.errors import ParameterError, UnknownNameError
from quantlab.kernels.stats import STATS

STRATEGY = """
import quantlab as ql
from quantlab.signals import sma

@ql.strategy(fast=range(5, 50, 15), slow=range(20, 120, 40), where="fast < slow")
def cross(bars, fast=20, slow=100):
    return sma(bars.close, fast) > sma(bars.close, slow)

@ql.strategy(n=(2, 3, 4))
def broken(bars, n=2):
    if n == 3:
        raise RuntimeError("three")
    return sma(bars.close, n) > bars.close
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cross.py"
    path.write_text(STRATEGY)
    return path


@pytest.fixture
def run(capsys):
    def call(*argv):
        code = main(["sweep", *map(str, argv)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def test_the_best_are_printed_best_first(file, run):
    code, out, _ = run(f"{file}:cross", "--best", "3", "--metric", "calmar")
    assert code == 0
    assert "the best of 7 trials" in out
    assert "with one thread" in out or "threads" in out
    assert sum(line.strip()[:1].isdigit() for line in out.splitlines()) == 4  # three trials, and the time


def test_json_has_the_rows_of_the_table(file, run):
    code, out, _ = run(f"{file}:cross", "--json", "-p", "fast=5:11:5", "-p", "slow=50", "--costs", "zero")
    said = json.loads(out)
    assert code == 0
    assert said["n_trials"] == 2
    assert [row["fast"] for row in said["best"]] in ([5, 10], [10, 5])
    first = said["best"][0]
    run_again = main_stats(file, first["fast"], 50)
    assert first["sharpe"] == run_again["sharpe"]
    assert set(STATS) <= set(first)


def main_stats(file, fast, slow):
    from quantlab.engine.loader import load_strategy

    return ql.backtest(
        load_strategy(f"{file}:cross"), ql.sample("AAPL"), {"fast": fast, "slow": slow}, costs=ql.Costs.zero()
    ).stats


def test_a_trial_that_raised_is_said_and_ends_with_one(file, run):
    code, out, _ = run(f"{file}:broken")
    assert code == 1
    assert "1 trials raised" in out
    assert "RuntimeError: three" in out


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_whole_table_is_written_where_it_is_asked_for(file, run, tmp_path, kind):
    code, _, _ = run(f"{file}:cross", "--out", f"deep/trials.{kind}")
    path = tmp_path / "deep" / f"trials.{kind}"
    table = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)
    assert code == 0
    assert len(table) == 7


def test_a_sweep_goes_on_where_its_parts_are(file, run, tmp_path):
    for _ in range(2):
        code, out, _ = run(f"{file}:cross", "--resume", "parts", "--json")
        assert code == 0
        assert json.loads(out)["n_trials"] == 7
    assert list((tmp_path / "parts").glob("trials-*.parquet"))


def test_sets_are_chosen_at_random_or_by_a_model(file, run):
    code, out, _ = run(f"{file}:cross", "--method", "random", "--n-trials", "4", "--json")
    assert code == 0
    assert json.loads(out)["n_trials"] == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-p", "fats=1,2"], "fast"),
        (["-p", "fast=60:5:5"], "start:stop:step"),
        (["-p", "fast"], "name=start:stop:step"),
        (["--where", "fast > slow and"], "not an expression"),
        (["--metric", "sharp"], "sharpe"),
        (["--method", "magic"], "tpe"),
        (["--prune", "0.5"], "leave it out"),
        (["--method", "tpe", "--resume", "x"], "leave it out"),
        (["--out", "table.xls"], ".parquet"),
        (["--max-memory", "1KB"], "max_memory"),
        (["--workers", "many"], "workers"),
    ],
)
def test_what_cannot_be_used_ends_with_two_and_says_what_is_allowed(file, run, options, said):
    code, _, err = run(f"{file}:cross", *options)
    assert code == 2
    assert said in err


def test_a_range_leaves_its_stop_out():
    @ql.strategy
    def idea(bars, n=1, x=1.0, kind="a"):
        return bars.close > n

    assert parse_grid(idea, ["n=5:60:5"])["n"] == tuple(range(5, 60, 5))
    assert parse_grid(idea, ["n=3:6"])["n"] == (3, 4, 5)
    assert parse_grid(idea, ["x=0.1:0.4:0.1"])["x"] == pytest.approx((0.1, 0.2, 0.3))
    assert parse_grid(idea, ["kind=a:b,c"])["kind"] == ("a:b", "c")
    with pytest.raises(ParameterError, match="twice"):
        parse_grid(idea, ["n=1", "n=2"])
    with pytest.raises(UnknownNameError):
        parse_grid(idea, ["m=1"])
