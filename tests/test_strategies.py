"""The strategy files: each one idea, with its source, that does what it says and does not look ahead."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import quantlab as ql
from quantlab.cli import main
from quantlab.engine.loader import load_strategy
from quantlab.errors import StrategyError

FILES = sorted((Path(__file__).parent.parent / "strategies").glob("*.py"))
SYMBOLS = ["AAPL", "IBM", "MSFT", "GOOG"]


def load(name):
    return load_strategy(str(FILES[0].parent / f"{name}.py"))


@pytest.fixture(scope="module")
def one():
    return ql.sample("AAPL")


@pytest.fixture(scope="module")
def many():
    return ql.sample(SYMBOLS)


def test_there_are_at_least_eight():
    assert len(FILES) >= 8


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
class TestEveryFile:
    def test_has_one_idea_named_as_the_file_with_a_grid_and_a_docstring(self, file):
        idea = load_strategy(str(file))
        assert idea.name == file.stem
        assert idea.grid
        assert idea.__doc__
        assert idea.allows(idea.params())

    def test_cites_a_source_with_its_year(self, file):
        text = ast.get_docstring(ast.parse(file.read_text()))
        assert re.search(r"Source: .*\b(19|20)\d\d\b", text, re.DOTALL)

    def test_is_short_and_imports_only_what_a_strategy_needs(self, file):
        text = file.read_text()
        assert len(text.splitlines()) <= 32
        imported = {n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)}
        imported |= {a.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import) for a in n.names}
        assert imported <= {"quantlab", "quantlab.signals", "numpy", "pandas"}

    def test_does_not_look_ahead_and_its_warmup_is_measured(self, file, many):
        report = ql.check(load_strategy(str(file)), many.between("2006", "2008"), cuts=12)
        assert report.causal, report
        assert report.n_parameter_sets == len(list(load_strategy(str(file)).parameter_sets()))
        assert len(report.warmup) == report.n_parameter_sets

    def test_trades_on_the_sample(self, file, many):
        result = ql.backtest(load_strategy(str(file)), many)
        assert len(result.fills) > 10
        assert np.isfinite(result.equity).all()


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_whole_sample_shows_no_look_ahead(file, many):
    assert ql.check(load_strategy(str(file)), many, cuts=24).causal


# -- what each does ------------------------------------------------------------------------------------


def test_sma_cross_is_long_while_the_fast_average_leads(one):
    close = one.frame("close")
    expected = close.rolling(20).mean() > close.rolling(100).mean()
    assert (load("sma_cross")(one, fast=20, slow=100) == expected.to_numpy()).mean() > 0.9999


def test_rsi_reversion_enters_low_above_the_trend_and_leaves_high(one):
    from quantlab.signals import rsi, sma

    target = load("rsi_reversion")(one, days=3, low=20.0, high=60.0)[:, 0]
    strength, trend = rsi(one.close, 3)[:, 0], sma(one.close, 200)[:, 0]
    entered = np.flatnonzero((target[1:] == 1) & (target[:-1] == 0)) + 1
    left = np.flatnonzero((target[1:] == 0) & (target[:-1] == 1)) + 1
    assert len(entered) > 20
    assert (strength[entered] < 20).all()
    assert (one.close[entered, 0] > trend[entered]).all()
    assert (strength[left] > 60).all()


def test_donchian_breakout_enters_beyond_the_range_of_the_bars_before(one):
    target = load("donchian_breakout")(one, entry=50, leave=10)[:, 0]
    high, low = one.frame("high").iloc[:, 0], one.frame("low").iloc[:, 0]
    above = one.close[:, 0] > high.rolling(50).max().shift().to_numpy()
    below = one.close[:, 0] < low.rolling(50).min().shift().to_numpy()
    turned = np.diff(target, prepend=0.0) != 0
    assert set(target) == {-1.0, 0.0, 1.0}
    assert above[turned & (target == 1)].all()
    assert below[turned & (target == -1)].all()
    assert (target[above] == 1).all()


def test_bollinger_reversion_buys_below_the_band_and_sells_above_the_middle(one):
    target = load("bollinger_reversion")(one, days=20, width=2.0)[:, 0]
    close = one.frame("close").iloc[:, 0]
    middle, spread = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    bought = np.flatnonzero(np.diff(target, prepend=0.0) == 1)
    sold = np.flatnonzero(np.diff(target, prepend=0.0) == -1)
    assert len(bought) > 20
    assert (close < middle - 2 * spread).to_numpy()[bought].all()
    assert (close > middle).to_numpy()[sold].all()


def test_macd_trend_agrees_with_exponential_averages_once_the_start_has_faded(one):
    close = one.frame("close")
    line = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
    expected = (line > line.ewm(span=9, adjust=False).mean()).to_numpy()
    assert (load("macd_trend")(one)[500:] == expected[500:]).all()


def test_momentum_voltarget_follows_the_year_and_holds_less_of_what_moves_more(many):
    target = load("momentum_voltarget")(many, lookback=252, risk=0.2)
    close = many.frame("close")
    year = np.sign(close - close.shift(252)).to_numpy()
    known = np.isfinite(target) & np.isfinite(year)
    assert (np.sign(target[known]) == year[known]).all()
    assert np.nanmax(np.abs(target)) <= 1.0
    volatility = np.sqrt(252 * (close.pct_change() ** 2).ewm(com=60).mean()).to_numpy()
    risk = (np.abs(target) * volatility)[1500:]
    assert np.allclose(risk[np.abs(target[1500:]) < 1.0], 0.2, rtol=0.02)
    assert (risk[np.abs(target[1500:]) == 1.0] < 0.204).all()


def test_cross_sectional_momentum_buys_winners_sells_losers_and_changes_on_the_first_bar_of_a_month(many):
    target = load("cross_sectional_momentum")(many, lookback=126, skip=5, share=0.1)
    changed = np.flatnonzero((np.diff(target, axis=0) != 0).any(axis=1)) + 1
    month = many.index.to_period("M")
    assert (month[changed] != month[changed - 1]).all()
    close = many.frame("close")
    past = (close.shift(5) / close.shift(126) - 1.0).to_numpy()
    for t in changed[changed > 1500]:
        assert target[t].argmax() == past[t].argmax()
        assert target[t].argmin() == past[t].argmin()
    assert set(target.sum(axis=1)) == {0.0}
    assert (np.abs(target).sum(axis=1)[1500:] == 2.0).all()


def test_cross_sectional_momentum_leaves_out_what_is_not_a_member(many):
    from dataclasses import replace

    member = np.ones(many.shape, bool)
    member[:, 0] = False
    target = load("cross_sectional_momentum")(replace(many, member=member))
    assert not target[:, 0].any()
    assert target[:, 1:].any()


def test_pairs_spread_holds_each_pair_against_itself_from_a_wide_spread_until_it_closes(many):
    target = load("pairs_spread")(many, days=60, entry=2.0)
    assert (target[:, 0] == -target[:, 1]).all()
    assert (target[:, 2] == -target[:, 3]).all()
    spread = np.log(many.frame("close")["AAPL"] / many.frame("close")["IBM"])
    z = ((spread - spread.rolling(60).mean()) / spread.rolling(60).std(ddof=0)).to_numpy()
    side = target[:, 0]
    step = np.diff(side, prepend=0.0)
    assert (z[(step > 0) & (side == 1)] < -2).all()
    assert (z[(step < 0) & (side == 0)] >= -1e-9).all()
    assert (z[(step < 0) & (side == -1)] > 2).all()
    assert np.count_nonzero(step) > 20


def test_triple_screen_buys_weakness_while_the_weekly_tide_rises_and_leaves_when_it_turns(one):
    from quantlab.signals import macd, rsi

    target = load("triple_screen")(one, days=2, low=30.0)[:, 0]
    close = one.frame("close").iloc[:, 0]
    weeks = close.resample("W-FRI")
    weekly = weeks.last().set_axis(close.index.to_series().resample("W-FRI").last().to_numpy())
    slope = macd(weekly).histogram.diff().reindex(close.index, method="ffill")
    rising = slope.to_numpy() > 0.0
    step, weak = np.diff(target, prepend=0.0), rsi(one.close, 2)[:, 0] < 30.0
    late = np.arange(one.n_bars) > 1500  # the start of the averages has faded
    assert (step == 1)[late].sum() > 20
    assert rising[late & (target == 1)].all()
    assert weak[step == 1].all()
    assert not rising[late & (step == -1)].any()
    assert (target[late & rising & weak] == 1).all()


def test_pairs_spread_refuses_an_odd_number_of_assets(one):
    with pytest.raises(StrategyError, match="even number of assets"):
        load("pairs_spread").evaluate(one)


# -- the command ---------------------------------------------------------------------------------------

CHEAT = """
import quantlab as ql

@ql.strategy(days=(5, 10))
def peek(bars, days=5):
    close = bars.frame("close")
    return close.shift(-1) > close
"""
FAST = ("--start", "2010", "--cuts", "12")


@pytest.fixture
def cheat(tmp_path):
    path = tmp_path / "cheat.py"
    path.write_text(CHEAT)
    return str(path)


def test_the_command_passes_an_honest_strategy(capsys):
    assert main(["check", str(FILES[0].parent / "macd_trend.py"), *FAST]) == 0
    printed = capsys.readouterr().out
    assert "causal" in printed
    assert "cannot be seen this way" in printed


def test_the_command_fails_a_cheat_and_names_bar_asset_and_parameters(capsys, cheat):
    assert main(["check", cheat, "--symbols", "AAPL,MSFT", "-p", "days=10", *FAST]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "the target of AAPL at 2010-01-04 (bar 0) changes" in printed
    assert "days=10; it reads at least 1 bar ahead" in printed


def test_the_command_prints_json_with_every_parameter_set(capsys):
    assert main(["check", str(FILES[0].parent / "macd_trend.py"), "--json", *FAST]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["causal"] is True
    assert len(printed["warmup"]) == printed["n_parameter_sets"] == 27
    assert pd.DataFrame(printed["warmup"])["bars"].between(20, 400).all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py"], "no file"),
        ([str(FILES[0].parent / "sma_cross.py"), "-p", "fst=3"], "did you mean 'fast'"),
        ([str(FILES[0].parent / "pairs_spread.py")], "even number of assets"),
        ([str(FILES[0].parent / "sma_cross.py"), "--symbols", "APPL"], "did you mean 'AAPL'"),
    ],
)
def test_the_command_refuses_bad_input(arguments, said, capsys):
    assert main(["check", *arguments]) == 2
    assert said in capsys.readouterr().err
