"""``quantlab walk-forward``: what it prints, and its exit codes."""

from __future__ import annotations

import json

import pytest
import typer

import quantlab as ql
from quantlab.cli import walk_forward
from quantlab.cli._errors import report_error
from quantlab.research.walkforward import walk_forward as run_it
from quantlab.strategy import strategy

CROSS = """
import quantlab as ql
from quantlab.signals import sma

@ql.strategy(fast=(5, 10), slow=(20, 50))
def cross(bars, fast=5, slow=20):
    return sma(bars.close, fast) > sma(bars.close, slow)
"""
LATE = """
import numpy as np
import quantlab as ql

@ql.strategy
def late(bars):
    if bars.n_bars < 1700:
        raise ValueError("too early")
    return np.ones(bars.shape, bool)
"""


@pytest.fixture
def run(capsys, tmp_path):
    command = typer.main.get_command(walk_forward.app)
    for name, text in (("cross", CROSS), ("late", LATE)):
        (tmp_path / f"{name}.py").write_text(text)

    def call(name, *argv):
        arguments = [str(tmp_path / f"{name}.py"), *map(str, argv)]
        try:
            code = command.main(args=arguments, prog_name="quantlab walk-forward", standalone_mode=False)
        except Exception as error:  # noqa: BLE001  # as the main program does
            code = report_error(error, as_json="--json" in argv)
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def test_it_prints_windows_and_the_stitched_run(run):
    code, out, _ = run("cross", "--train", "3 years", "--test", "2 years")
    assert code == 0
    assert out.startswith("cross, rolling, 4 trials: sharpe in and out of sample")
    assert out.count("\n 4 ") == 1
    assert "Efficiency" in out


def test_json_is_what_the_call_returns(run):
    code, out, _ = run(
        "cross", "--method", "cpcv", "-p", "fast=5", "-p", "slow=20,50", "--purge", "5", "--json"
    )
    said = json.loads(out)
    assert code == 0

    @strategy
    def cross(bars, fast=5, slow=20):
        return ql.signals.sma(bars.close, fast) > ql.signals.sma(bars.close, slow)

    grid = {"fast": [5], "slow": [20, 50]}
    found = run_it(cross, ql.sample("AAPL"), grid, method="cpcv", purge=5, progress=False)
    assert said["stats"]["sharpe"] == found.stats["sharpe"]
    assert len(said["paths"]) == 5
    assert [row["slow"] for row in said["table"]] == found.table.slow.tolist()
    assert said["settings"]["test_groups"] == 2


def test_lengths_are_bars_shares_or_times(run):
    for text, n_bars in (("1500", 1500), ("0.4", 1308), ("2 years", 504)):
        said = json.loads(
            run("cross", "-p", "fast=5", "-p", "slow=20", "--train", text, "--test", 900, "--json")[1]
        )
        assert said["settings"]["train"] == n_bars


def test_a_flat_window_ends_with_1(run):
    code, out, _ = run("late", "--train", "1500", "--test", "900")
    assert code == 1
    assert "note: 1 of 2 folds stay flat" in out
    assert "too early" in out


def test_a_report_is_written(run, tmp_path):
    code, out, _ = run("cross", "--train", "2000", "--test", "900", "--report", tmp_path / "walk.html")
    assert code == 0
    assert f"report: {tmp_path / 'walk.html'}" in out
    assert "rolling walk-forward" in (tmp_path / "walk.html").read_text(encoding="utf-8")
    code, _, err = run("cross", "--train", "2000", "--report", "/dev/null/x.html")
    assert code == 2
    assert "cannot be written" in err


def test_bad_input_ends_with_2(run):
    for argv, message in (
        (("--method", "roling"), "did you mean 'rolling'"),
        (("--train", "soon"), "train='soon'"),
        (("-p", "fats=3"), "did you mean 'fast'"),
        (("--groups", "3"), "means nothing with method='rolling'"),
    ):
        code, _, err = run("cross", *argv)
        assert (code, message in err) == (2, True), err
