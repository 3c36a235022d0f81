"""The command that says what the best of a sweep is worth."""

from __future__ import annotations

import json
import sys

import pytest

from quantlab.cli import main

pytest.importorskip("arch")

STRATEGY = """
import quantlab as ql
from quantlab.signals import sma

@ql.strategy(fast=range(5, 50, 15), slow=range(20, 120, 40), where="fast < slow")
def cross(bars, fast=20, slow=100):
    return sma(bars.close, fast) > sma(bars.close, slow)

@ql.strategy(days=(1, 2))
def never(bars, days=1):
    return bars.close < 0
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # outside any project
    path = tmp_path / "cross.py"
    path.write_text(STRATEGY)
    return path


@pytest.fixture
def run(capsys):
    def call(*argv):
        code = main(["validate", *map(str, argv), "--resamples", "100"])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def test_the_text_has_the_sentence_every_check_and_the_verdict(file, run):
    code, out, _ = run(f"{file}:cross", "--start", "2008-01-01")
    assert "best of 7 trials, effectively" in out
    for name in ("deflated Sharpe", "PBO", "better than cash (SPA)", "plateau", "order of trades"):
        assert f"{name}: " in out
    assert f"verdict: {'passes' if code == 0 else 'does not pass'}" in out
    assert code in {0, 1}


def test_json_is_one_document_and_the_exit_code_is_its_verdict(file, run):
    code, out, _ = run(f"{file}:cross", "--json", "--start", "2008-01-01")
    said = json.loads(out)
    assert code == (0 if said["passes"] else 1)
    assert said["deflation"]["n_trials"] == 7
    assert said["pbo"]["n_blocks"] == 16


def test_a_grid_and_a_condition_are_taken_from_the_options(file, run):
    _, out, _ = run(
        f"{file}:cross",
        "--json",
        "-p",
        "fast=5:25:5",
        "-p",
        "slow=20,40",
        "--where",
        "fast < slow",
        "--blocks",
        8,
    )
    said = json.loads(out)
    assert said["deflation"]["n_trials"] == 7
    assert said["pbo"]["n_blocks"] == 8


def test_a_strategy_that_cannot_pass_ends_with_one(file, run):
    code, out, _ = run(f"{file}:cross", "--costs", "percent:0.05", "--start", "2008-01-01")
    assert code == 1
    assert "verdict: does not pass" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metric", "sharp"), "sharpe"),
        (("--blocks", 7), "even"),
        (("-p", "fats=1:3:1"), "fast"),
    ],
)
def test_what_cannot_be_used_ends_with_two(file, run, options, said):
    code, _, err = run(f"{file}:cross", *options)
    assert code == 2
    assert said in err


def test_a_strategy_that_never_trades_has_no_best(file, run):
    code, _, err = run(f"{file}:never")
    assert code == 2
    assert "no trial" in err


def test_a_missing_library_is_said_before_the_sweep(file, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    code, _, err = run(f"{file}:cross")
    assert code == 2
    assert "quantlab[research]" in err


def test_inside_a_project_earlier_trials_count(file, run):
    (file.parent / "quantlab.toml").write_text("")
    days = ("--start", "2008-01-01", "--json")
    first = json.loads(run(f"{file}:cross", *days)[1])["deflation"]
    again = json.loads(run(f"{file}:cross", *days)[1])["deflation"]
    more = json.loads(run(f"{file}:cross", *days, "-p", "fast=5:40:5", "-p", "slow=50,90")[1])["deflation"]
    alone = json.loads(run(f"{file}:cross", *days, "--no-ledger")[1])["deflation"]
    assert first["n_tried"] == again["n_tried"] == alone["n_tried"] == 7
    assert (more["n_trials"], more["n_tried"]) == (14, 21)
