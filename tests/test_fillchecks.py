"""Diagnostics of fills: each counts what a hand counts, and on random runs what plain loops count."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle.cases import random_runs
from oracle.diagnostics import (
    EVERY,
    FREE,
    found,
    naive_counts,
    naive_extremes,
    naive_profit,
    naive_spells,
    naive_waits,
    run,
)
from oracle.inside_cases import inside_runs

import quantlab as ql
from quantlab.cli._output import jsonable
from quantlab.engine.backtest import backtest
from quantlab.model import Instrument
from quantlab.signal import Signal

approx = pytest.approx


# -- volume ----------------------------------------------------------------------------------------------


def test_fills_in_bars_without_volume_or_nearly_none_are_counted():
    volume = np.full(20, 1000.0)
    volume[[2, 5, 7, 9]] = 0.0, math.nan, 49.0, 50.0
    prices = {"A": [10.0] * 20}
    said = found(run(prices, EVERY, volume={"A": volume}), "thin_volume")
    assert said.severity == "warning"
    assert said.text.startswith("3 of 19 fills (15.8% of the value traded)")
    assert said.evidence["time"].dt.day.tolist() == [
        4,
        7,
        9,
    ]  # bars 2, 5 and 7, of which the first is 2 January
    assert said.evidence["volume"].tolist() == approx([0, math.nan, 49], nan_ok=True)
    assert said.evidence["median_volume"].tolist() == [1000.0] * 3
    assert found(run(prices, EVERY), "thin_volume") is None


def test_thin_bars_that_nothing_filled_in_say_nothing():
    volume = np.full(6, 1000.0)
    volume[[3, 4, 5]] = 0.0
    assert found(
        run({"A": [10.0] * 6}, [1, 1, 0, 0, 0, 0], volume={"A": [1000, 0, 0, 0, 0, 0]}), "thin_volume"
    )
    assert found(run({"A": [10.0] * 6}, [1, 1, 1, 1, 1, 1], volume={"A": volume}), "thin_volume") is None


def test_an_asset_without_any_volume_is_unknown_and_not_thin():
    prices = {"A": [10.0] * 4, "IDX": [10.0] * 4}
    result = run(prices, np.ones((4, 2)), volume={"A": [1000.0] * 4, "IDX": [math.nan, 0, 0, 0]})
    said = found(result, "unknown_volume")
    assert said.severity == "info"
    assert said.text.startswith("IDX: bars without any volume; whether 1 of 2 fills")
    assert said.evidence["symbol"].tolist() == ["IDX"]
    assert found(result, "thin_volume") is None
    assert found(run(prices, np.ones((4, 2))), "unknown_volume") is None


def test_participation_is_the_share_of_a_bars_volume():
    volume = np.full(20, 1000.0)
    volume[[3, 6]] = 100.0, 200.0
    said = found(run({"A": [10.0] * 20}, EVERY, volume={"A": volume}), "participation")
    assert said.severity == "warning"
    assert "In 1 of 19 bars with fills, these are more than 5% of the volume, up to 10.0%" in said.text
    assert said.evidence["participation"].tolist() == [approx(0.1)]
    assert said.evidence["traded"].tolist() == [10.0]
    assert found(run({"A": [10.0] * 20}, EVERY, volume={"A": [200.0] * 20}), "participation") is None


def test_fills_of_one_bar_are_taken_together():
    """A ladder sells 5 and 5 of 10 in one bar of 150 units: 3.3 % each, 6.7 % together."""
    signal = Signal(np.ones(4), take_profit=ql.Ladder((0.1, 0.5), (0.2, 0.5)))
    columns = {"high": {"A": [10, 10, 13, 10]}, "low": {"A": [10, 10, 10, 10]}}
    volume = {"A": [1000, 1000, 150, 1000]}
    said = found(run({"A": [10.0] * 4}, signal, volume=volume, **columns), "participation")
    assert said.evidence[["n_fills", "traded", "volume"]].to_numpy().tolist() == [[2, 10, 150]]
    assert found(run({"A": [10.0] * 4}, signal, **columns), "participation") is None


def test_adjusted_prices_take_the_share_that_raw_ones_take():
    """Stored volume is raw volume x factor: 10 raw units of 100 are 20 stored ones of 200."""
    raw = run({"A": [10.0] * 4}, [1, 1, 1, 1], volume={"A": [100.0] * 4})
    halved = run({"A": [5.0] * 4}, [1, 1, 1, 1], volume={"A": [200.0] * 4}, factor={"A": [2.0] * 4})
    shares = [found(r, "participation").evidence["participation"].tolist() for r in (raw, halved)]
    assert shares == [[approx(0.1)], [approx(0.1)]]


# -- range -----------------------------------------------------------------------------------------------


def lucky(n_lucky, **options):
    """Nineteen fills at opens of 10 in bars from 9 to 11; the first ones at the best price of their bar."""
    high, low = np.full(20, 11.0), np.full(20, 9.0)
    for t in range(1, n_lucky + 1):
        (low if t % 2 else high)[t] = 10.0 + options.get("off", 0.0) * (-1 if t % 2 else 1)
    options.pop("off", None)
    return run({"A": [10.0] * 20}, EVERY, high={"A": high}, low={"A": low}, **options)


def test_buys_at_the_low_and_sales_at_the_high_are_counted_against_chance():
    # Of twenty bars, three have their open at the low and two at the high; ten fills buy and nine sell.
    said = found(lucky(5), "at_extreme")
    assert said.severity == "warning"
    chance = (10 * 3 + 9 * 2) / 20 / 19
    assert said.text.startswith("5 of 19 fills (26.3%) buy at the low of their bar or sell at its high")
    assert said.text.endswith(f"chance would give {chance:.1%}.")
    assert said.evidence["quantity"].tolist() == [10, -10, 10, -10, 10]


def test_one_fill_in_ten_at_the_best_price_is_luck():
    assert found(lucky(1), "at_extreme") is None
    assert found(lucky(2), "at_extreme") is None


def test_what_chance_gives_is_no_reason():
    """Every bar opens at its low: so does every second fill, and chance says the same."""
    result = run({"A": [10.0] * 20}, EVERY, high={"A": [11.0] * 20}, low={"A": [10.0] * 20})
    assert found(result, "at_extreme") is None


def test_a_tick_counts_as_the_extreme_and_bars_of_two_ticks_have_none():
    tick = [Instrument("A", tick=0.5)]
    assert found(lucky(5, off=0.5), "at_extreme") is None
    assert len(found(lucky(5, off=0.5, instruments=tick), "at_extreme").evidence) == 5
    flat = run({"A": [10.0] * 20}, EVERY)
    assert found(flat, "at_extreme") is None


def test_fills_priced_outside_their_bar_are_told():
    slipped = {"costs": FREE.replace(slippage_bps=100)}
    said = found(run({"A": [10.0] * 20}, EVERY, **slipped), "beyond_range")
    assert said.severity == "info"
    assert "19 of 19 fills (100.0%)" in said.text
    assert "by up to 100 bp" in said.text
    assert said.evidence["beyond_bps"].tolist() == approx([100.0] * 19)
    wide = {"high": {"A": [11.0] * 20}, "low": {"A": [9.0] * 20}}
    assert found(run({"A": [10.0] * 20}, EVERY, **slipped, **wide), "beyond_range") is None


# -- order of events -------------------------------------------------------------------------------------


def bracket(ranges):
    """Buy at 100 at every bar; stop at 95, target at 110; `ranges` are highs and lows."""
    n = len(ranges)
    signal = Signal(np.ones(n), entry=np.ones(n, bool), stop_loss=0.05, take_profit=0.1)
    high, low = zip(*ranges, strict=True)
    return run({"A": [100.0] * n}, signal, high={"A": high}, low={"A": low})


def test_trades_that_the_pessimistic_rule_decides_are_counted():
    both, stopped, quiet = (111, 94), (100, 94), (100, 100)
    said = found(bracket([quiet, both, stopped, quiet]), "doubtful")
    assert said.severity == "warning"
    assert said.text.startswith("1 of 2 closed trades (50.0%)")
    assert "detail=" in said.text
    row = said.evidence.iloc[0]
    assert (row["kind"], row["high"], row["low"], row["price"]) == ("stop loss", 111, 94, 95)
    assert found(bracket([quiet, both, *[stopped] * 9, quiet]), "doubtful").severity == "info"
    assert found(bracket([quiet, stopped, stopped, quiet]), "doubtful") is None


# -- bars that are not there -----------------------------------------------------------------------------

HOLES = [10.0, 10.0, None, None, 10.0, None, 10.0, 10.0]
WHOLE = [5.0] * 8


def test_bars_without_a_price_while_a_position_is_held_are_counted():
    result = run({"A": HOLES, "B": WHOLE}, np.ones((8, 2)))
    said = found(result, "missing_bars")
    assert said.severity == "info"
    assert said.text == (
        "3 bars had no price of an asset that was held, the longest spell 2 (A, from 2024-01-04)."
    )
    assert said.evidence["n_bars"].tolist() == [2, 1]
    assert said.evidence["units"].tolist() == [10, 10]
    assert said.evidence["exits_waited"].tolist() == [0, 0]


def test_an_exit_that_had_to_wait_is_a_warning():
    target = np.ones((8, 2))
    target[1:, 0] = 0  # bought at bar 1, and sold at bar 4 instead of bar 2
    said = found(run({"A": HOLES, "B": WHOLE}, target), "missing_bars")
    assert said.severity == "warning"
    assert said.text.endswith("the longest spell 2 (A, from 2024-01-04). 1 exit had to wait.")
    assert said.evidence["exits_waited"].tolist() == [1]


def test_a_stop_that_bars_without_a_price_passed_over_had_to_wait():
    target = np.column_stack([np.ones(8), np.zeros(8)])
    prices = {"A": [10.0, 10.0, None, None, 8.0, 8.0, 8.0, 8.0], "B": WHOLE}
    result = run(prices, Signal(target, stop_loss=0.1))
    assert result.fills["price"].tolist() == [10, 8]
    assert found(result, "missing_bars").evidence["exits_waited"].tolist() == [1]


def test_an_exit_at_the_close_of_the_bar_that_decides_it_waits_for_nothing():
    target = np.ones((8, 2))
    target[4:, 0] = 0
    said = found(run({"A": HOLES, "B": WHOLE}, target, fill="close"), "missing_bars")
    assert said.evidence["exits_waited"].tolist() == [0]


def test_bars_without_a_price_while_nothing_is_held_say_nothing():
    flat = np.column_stack([np.zeros(8), np.ones(8)])
    assert found(run({"A": HOLES, "B": WHOLE}, flat), "missing_bars") is None
    assert found(run({"A": WHOLE, "B": WHOLE}, np.ones((8, 2))), "missing_bars") is None


# -- against naive twins, on random runs ---------------------------------------------------------------


def assert_counts_agree(result):
    said = {each.name: each for each in result.diagnostics}
    assert len(said) == len(result.diagnostics)
    counts, n_fills = naive_counts(result)
    speaks = {
        "thin_volume": counts["thin_volume"] > 0,
        "unknown_volume": counts["unknown_volume"] > 0,
        "participation": counts["participation"] > 0,
        "doubtful": counts["doubtful"] > 0,
        "beyond_range": counts["beyond_range"] > 0.1 * n_fills,
        "rejected": counts["rejected"] > 0.1 * len(result.orders),
    }
    for name, wanted in speaks.items():
        assert (name in said) == wanted, name
        if wanted:
            assert len(said[name].evidence) == counts[name], name
    n_gone, n_spells = naive_spells(result)
    assert ("missing_bars" in said) == (n_gone > 0)
    if n_gone:
        assert said["missing_bars"].evidence["n_bars"].sum() == n_gone
        assert len(said["missing_bars"].evidence) == n_spells
        assert said["missing_bars"].evidence["exits_waited"].sum() == naive_waits(result)
    n_best, n_judged, by_chance = naive_extremes(result)
    best = n_best >= 3 and n_best > 0.1 * n_judged and n_best > 2 * by_chance
    if abs(n_best - 2 * by_chance) > 1e-9:
        assert ("at_extreme" in said) == best
    if best and "at_extreme" in said:
        assert len(said["at_extreme"].evidence) == n_best
    profit, left, n_trades = naive_profit(result)
    # Neither at the border, where a sum in another order decides.
    if abs(profit) > 1e-6 * result.cash_start and abs(left - 0.5 * profit) > 1e-6 * result.cash_start:
        assert ("one_trade" in said) == (n_trades > 1 and profit > 0 and left < 0.5 * profit)
    json.dumps(jsonable([each.describe() for each in result.diagnostics]), allow_nan=False)


def with_volume(bars, seed):
    """The same bars with holes and stretches of little in their volume."""
    rng = np.random.default_rng(seed)
    volume = rng.choice([0.0, math.nan, 1.0, 60.0, 1000.0, 1e5], bars.shape, p=[0.1, 0.1, 0.1, 0.1, 0.3, 0.3])
    volume[:, rng.random(bars.n_assets) < 0.1] = math.nan
    return dataclasses.replace(bars, volume=volume)


@given(random_runs(), st.integers(0, 2**32))
def test_every_random_run_is_diagnosed_as_a_naive_count_says(run, seed):
    given_options = {"cash": run.cash, "risk_free": run.risk_free, **run.options}
    assert_counts_agree(backtest(run.target, with_volume(run.bars, seed), **given_options))


@given(inside_runs(with_detail=False), st.integers(0, 2**32))
def test_every_random_run_inside_the_bar_is_diagnosed_as_a_naive_count_says(run, seed):
    given_options = {"cash": run.cash, "risk_free": run.risk_free, **run.options}
    assert_counts_agree(backtest(run.signal, with_volume(run.bars, seed), **given_options))


@given(inside_runs(with_detail=True))
def test_a_run_through_finer_bars_is_diagnosed_too(run):
    assert [each for each in run.result.diagnostics if not len(each.evidence)] == []
