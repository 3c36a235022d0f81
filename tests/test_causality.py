"""Causality: planted cheats are caught at the right bar, honest strategies never are, coverage is as told."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from cheats import CHEATS
from cheats.hidden import honest
from cheats.peeks import shifted_back
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.causality import earliest_offence, warmup

from quantlab.bars import Bars
from quantlab.errors import DataError, ParameterError, StrategyError, UnknownNameError
from quantlab.research.causality import check
from quantlab.research.coverage import choose_sets, place_cuts, plan_cuts
from quantlab.research.scramble import FALL, HOLES, RISE, TRUNCATED, Future, Scrambler, take
from quantlab.signal import Signal
from quantlab.strategy import as_strategy, strategy

COLUMNS = ("open", "high", "low", "close", "volume", "factor", "member")


def random_bars(n_bars=400, n_assets=3, *, seed=1, start="2015-01-07", freq="B", bar_size="1 day", **options):
    """Random walks with a field, on the days of the working week."""
    rng = np.random.default_rng(seed)
    index = pd.date_range(start, periods=n_bars, freq=freq)
    parts = []
    for k in range(n_assets):
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.015, n_bars)))
        opened = np.append(100.0, close[:-1]) * np.exp(rng.normal(0.0, 0.004, n_bars))
        frame = pd.DataFrame(
            {
                "open": opened,
                "high": np.maximum(opened, close) * 1.003,
                "low": np.minimum(opened, close) * 0.997,
                "close": close,
                "volume": rng.integers(100_000, 1_000_000, n_bars),
                "earnings": rng.normal(size=n_bars),
            },
            index,
        )
        parts.append(Bars.from_frame(frame, symbol="ABCDEFGH"[k], bar_size=bar_size, **options))
    return Bars.join(parts)


def with_missing(bars, seed=3):
    """The same with assets that begin late or end early, and holes."""
    gone = np.random.default_rng(seed).random(bars.shape) < 0.05
    gone[: bars.n_bars // 3, -1] = True
    gone[-bars.n_bars // 5 :, 0] = True
    columns = {
        n: np.where(gone, np.nan, getattr(bars, n)) for n in ("open", "high", "low", "close", "volume")
    }
    return replace(bars, **columns)


@pytest.fixture(scope="module")
def bars():
    return random_bars()


@pytest.fixture(scope="module")
def reports(bars):
    """Reports of the cheats, each made once."""
    return cache(lambda name: check(CHEATS[name], bars))


# -- cheats --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHEATS)
def test_every_planted_cheat_is_caught_at_its_first_bar(name, bars, reports):
    cheat = CHEATS[name]
    report = reports(name)
    assert (report.verdict, report.causal) == ("looks ahead", False)
    assert report.first_offence.bar == cheat.first_bar(bars)
    assert report.first_offence.time == bars.index[cheat.first_bar(bars)]
    assert report.warmup == {}


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", ["at_one_bar_in_twenty", "at_month_ends_only", "at_random_bars"])
def test_a_rare_peek_is_caught_whatever_is_drawn(name, seed):
    bars = random_bars(1200, 1, seed=seed)
    report = check(CHEATS[name], bars, seed=seed)
    assert report.first_offence.bar == CHEATS[name].first_bar(bars)


@pytest.mark.parametrize("name", ["shifted_back", "centred_window", "fit_on_all_data", "index_that_wraps"])
def test_the_bar_named_is_that_of_a_search_through_all_cuts(name):
    bars = random_bars(40, 2, seed=8)
    assert check(CHEATS[name], bars).first_offence.bar == earliest_offence(as_strategy(CHEATS[name]), bars)


@pytest.mark.parametrize(
    ("name", "symbol", "sources"),
    [
        ("another_assets_future", "B", ("A",)),
        ("best_asset_of_tomorrow", "A", ("A", "B", "C")),
        ("divided_by_the_final_price", "A", ("A",)),
    ],
)
def test_the_offence_names_the_asset_and_whose_future_it_reads(name, symbol, sources, reports):
    offence = reports(name).first_offence
    assert (offence.symbol, offence.sources) == (symbol, sources)


@pytest.mark.parametrize(
    ("name", "ahead"),
    [("shifted_back", 1), ("five_bars_ahead", 5), ("centred_window", 5), ("entry_before_a_rise", 2)],
)
def test_the_offence_says_how_far_ahead_it_reads(name, ahead, reports):
    assert reports(name).first_offence.reads_ahead == ahead


@pytest.mark.parametrize(
    ("name", "member"), [("stop_set_by_the_next_bar", "stop_loss"), ("entry_before_a_rise", "entry")]
)
def test_a_level_or_an_event_that_looks_ahead_is_named(name, member, reports):
    assert reports(name).first_offence.member == member


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("with_one_parameter_value", {"days": 45}),
        ("with_one_pair_of_values_at_month_ends", {"days": 45, "mode": "c"}),
    ],
)
def test_only_the_parameter_set_that_looks_ahead_is_accused(name, params, reports):
    report = reports(name)
    assert report.first_offence.params == params
    assert report.offending == (params,)
    assert report.n_parameter_sets == math.prod(len(v) for v in CHEATS[name].grid.values())


def test_filling_backwards_shows_on_bars_without_holes(bars):
    def filled(bars):
        close = bars.frame("close").bfill()
        return close > close.rolling(5).mean()

    report = check(filled, bars, cuts=24)
    assert report.verdict == "looks ahead"
    assert "holes" in " ".join(report.notes)


def test_a_member_that_is_only_there_with_some_futures_is_an_offence(bars):
    def sometimes(bars):
        rising = bars.close[-1, 0] > bars.close[0, 0]
        return Signal(bars.close > 0, stop_loss=0.05 if rising else None)

    offence = check(sometimes, bars).first_offence
    assert (offence.member, offence.bar) == ("stop_loss", 0)
    assert {offence.before, offence.after} == {0.05, None}


# -- honesty -------------------------------------------------------------------------------------------


def mean_cross(bars):
    close = bars.frame("close")
    return close.rolling(5).mean() > close.rolling(20).mean()


def exponential(bars):
    close = bars.frame("close")
    return np.tanh(close / close.ewm(span=20).mean() - 1.0)


def expanding_z(bars):
    close = bars.frame("close")
    return np.tanh((close - close.expanding(10).mean()) / close.expanding(10).std())


def filled_forwards(bars):
    close = bars.frame("close").ffill()
    return close > close.shift(10)


def last_finished_week(bars):
    close = bars.frame("close")
    week = pd.Series((bars.session + 3) // 7, close.index)
    finished = close.groupby(week.to_numpy()).last().shift(1)
    return close > finished.reindex(week.to_numpy()).set_axis(close.index)


def ranked_across(bars):
    return bars.frame("close").pct_change(20, fill_method=None).rank(axis=1, pct=True).fillna(0.0)


def state_machine(bars):
    close, held = np.nan_to_num(bars.close, nan=0.0), np.zeros(bars.shape)
    for t in range(1, bars.n_bars):
        held[t] = np.where(
            close[t] > 1.02 * close[t - 1], 1.0, np.where(close[t] < close[t - 1], 0.0, held[t - 1])
        )
    return held


def convolution(bars):
    weights = np.arange(1.0, 11.0)
    smooth = [np.convolve(column, weights / weights.sum())[: bars.n_bars] for column in bars.close.T]
    return bars.close > np.column_stack(smooth)


def by_the_calendar(bars):
    return np.repeat(bars.index.day.to_numpy()[:, None] <= 5, bars.n_assets, axis=1)


def buy_and_hold(bars):
    return np.ones(bars.shape)


def with_levels(bars):
    close = bars.frame("close")
    return Signal(
        mean_cross(bars),
        stop_loss=0.05,
        take_profit=close.pct_change(fill_method=None).abs().rolling(20).mean(),
    )


def least_squares(bars):
    close, slope = np.nan_to_num(bars.close, nan=1.0), np.zeros(bars.shape)
    t = np.arange(15.0)
    for end in range(15, bars.n_bars + 1):
        slope[end - 1] = np.polyfit(t, close[end - 15 : end], 1)[0]
    return slope > 0


HONEST = (
    mean_cross,
    exponential,
    expanding_z,
    filled_forwards,
    last_finished_week,
    ranked_across,
    state_machine,
)
HONEST += (convolution, by_the_calendar, buy_and_hold, with_levels, least_squares, honest)


@pytest.mark.parametrize("function", HONEST)
@pytest.mark.parametrize("missing", [False, True])
def test_an_honest_strategy_is_never_accused(function, missing):
    bars = random_bars(90, 2, seed=4)
    report = check(function, with_missing(bars) if missing else bars, cuts=24)
    assert report.causal, report
    assert report.first_offence is None


@settings(max_examples=8)
@given(
    n_bars=st.integers(2, 60),
    n_assets=st.integers(1, 3),
    seed=st.integers(0, 10_000),
    function=st.sampled_from((mean_cross, state_machine, filled_forwards, by_the_calendar)),
)
def test_no_sample_makes_an_honest_strategy_look_guilty(n_bars, n_assets, seed, function):
    report = check(function, random_bars(n_bars, n_assets, seed=seed), seed=seed, cuts=20)
    assert report.verdict == "causal"


@settings(max_examples=8)
@given(n_bars=st.integers(2, 60), seed=st.integers(0, 10_000))
def test_no_sample_lets_a_peek_at_the_next_bar_pass(n_bars, seed):
    assert check(shifted_back, random_bars(n_bars, 2, seed=seed), seed=seed).first_offence.bar == 0


def test_constant_prices_and_intraday_bars_are_fine():
    flat = random_bars(60, 1)
    flat = replace(flat, **{n: np.full(flat.shape, 10.0) for n in ("open", "high", "low", "close")})
    minutes = random_bars(120, 1, freq="5min", bar_size="5 mins", tz="UTC")
    assert check(mean_cross, flat, cuts=20).causal
    assert check(mean_cross, minutes, cuts=20).causal
    assert not check(shifted_back, minutes, cuts=40).causal


def test_a_strategy_that_draws_at_random_is_not_reproducible(bars):
    generator = np.random.default_rng(1)
    report = check(lambda bars: generator.random(bars.shape), bars)
    assert (report.causal, report.verdict, report.first_offence.bar) == (False, "not reproducible", 0)
    assert "two calls" in str(report.first_offence)


def test_a_strategy_that_counts_its_calls_is_not_reproducible(bars):
    calls = []

    def tired(bars):
        calls.append(1)
        return np.full(bars.shape, 0.0 if len(calls) > 100 else 1.0)

    assert check(tired, bars).verdict == "not reproducible"


def test_a_strategy_that_always_raises_on_other_prices_is_not_called_causal(bars):
    whole = bars.close.sum()

    def picky(given):
        if given.close.sum() != whole:
            raise ValueError("these are not my prices")
        return given.close > 0

    report = check(picky, bars, cuts=10)
    assert (report.causal, report.verdict) == (False, "not tested")
    assert "not my prices" in " ".join(report.notes)


def test_a_result_kept_from_an_earlier_call_does_not_pass(bars):
    kept = {}

    def remembers(bars, days=5):
        return kept.setdefault(days, shifted_back(bars).to_numpy())

    report = check(remembers, bars)
    assert (report.causal, report.verdict) == (False, "not tested")
    assert "earlier call" in " ".join(report.notes)


def test_a_cheat_that_writes_into_one_array_does_not_pass(bars):
    kept = np.zeros(bars.shape)

    def reuses(bars):
        kept[: bars.n_bars] = shifted_back(bars)
        return kept[: bars.n_bars]

    assert check(reuses, bars).verdict == "looks ahead"


def test_parameters_may_be_of_any_type(bars):
    @strategy(lengths=([5, 20], [10, 30]))
    def several(bars, lengths=[5, 20]):  # noqa: B006  # read only
        close = bars.frame("close")
        return close.rolling(lengths[0]).mean() > close.rolling(lengths[1]).mean()

    report = check(several, bars, cuts=6)
    assert list(report.warmup) == [("[5, 20]",), ("[10, 30]",)]
    assert json.dumps(report.to_dict())


def test_defaults_outside_the_grid_are_tested_too(bars):
    @strategy(days=(5, 10))
    def above(bars, days=7):
        return honest(bars, days)

    report = check(above, bars, cuts=6)
    assert report.n_parameter_sets == 3
    assert "all 2 parameter sets of the grid and the defaults" in report.coverage


def test_a_strategy_that_needs_more_history_than_the_early_cuts_leave_is_still_tested(bars):
    def impatient(bars):
        windows = np.lib.stride_tricks.sliding_window_view(bars.close, 20, axis=0)
        start = np.zeros((19, bars.n_assets), bool)
        return np.vstack([start, bars.close[19:] > windows.mean(axis=2)])

    report = check(impatient, bars, cuts=60)
    assert report.causal
    assert "raised" in " ".join(report.notes)


def test_what_never_reacts_to_prices_is_said(bars):
    assert "times only" in " ".join(check(by_the_calendar, bars, cuts=10).notes)
    assert "times only" not in " ".join(check(mean_cross, bars, cuts=10).notes)


# -- warm-up -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [1, 7, 20, 50])
def test_the_warmup_of_a_window_is_its_length(days, bars):
    def window(bars):
        return np.tanh(bars.close / pd.DataFrame(bars.close).rolling(days).mean().to_numpy())

    assert check(window, bars, cuts=4).warmup == {(): None if days == 1 else days}


def test_the_warmup_of_a_truth_is_that_of_its_window(bars):
    @strategy(days=(10, 30, 60))
    def above(bars, days=30):
        return bars.close > pd.DataFrame(bars.close).rolling(days).mean().to_numpy()

    report = check(above, bars, cuts=4)
    assert report.warmup == {(30,): 30, (10,): 10, (60,): 60}
    assert "true or false" in " ".join(report.notes)


def test_a_rare_signal_does_not_hide_its_window(bars):
    def rare(bars):
        close = pd.DataFrame(bars.close)
        return (close < close.rolling(40).mean() - 2.3 * close.rolling(40).std()).to_numpy()

    assert check(rare, bars, cuts=4).warmup == {(): 40}


def test_the_warmup_is_that_of_a_search_through_all_lengths():
    bars = random_bars(80, 1, seed=6)
    for days in (3, 11, 25):

        def idea(bars, days=days):
            return np.tanh(pd.DataFrame(bars.close).pct_change(days).to_numpy())

        assert (
            check(idea, bars, cuts=4).warmup[days,] == warmup(as_strategy(idea), bars, (50, 79)) == days + 1
        )


def test_an_exponential_average_settles_by_tolerance():
    decay = 1.0 - 2.0 / 11.0

    def settling(bars):
        close = pd.DataFrame(bars.close)
        return np.tanh(10.0 * (close / close.ewm(span=10, adjust=False).mean() - 1.0)).to_numpy()

    settled = check(settling, random_bars(800, 1), cuts=4).settling[()]
    assert settled[1e-3] < settled[1e-6] < settled[1e-9]
    for coarse, fine in ((1e-3, 1e-6), (1e-6, 1e-9)):
        assert settled[fine] - settled[coarse] == pytest.approx(math.log(1e-3) / math.log(decay), abs=12)


def test_what_is_held_until_an_event_needs_the_whole_history():
    def breakout(bars):
        close = pd.DataFrame(bars.close)
        high, low = close.rolling(20).max().shift(), close.rolling(20).min().shift()
        events = np.where(close > high, 1.0, np.where(close < low, 0.0, np.nan))
        return pd.DataFrame(events).ffill().fillna(0.0).to_numpy()

    report = check(breakout, random_bars(800, 1), cuts=4)
    assert report.warmup == {(): None}
    assert "until an event" in report.warmup_reasons[()]
    assert 20 <= report.settling[()][1e-9] < 400


def test_what_sums_from_the_start_never_settles(bars):
    report = check(expanding_z, bars, cuts=4)
    assert report.warmup == {(): None}
    assert "sample ends" in report.warmup_reasons[()] or "until an event" in report.warmup_reasons[()]


# -- coverage ------------------------------------------------------------------------------------------


@strategy(fast=range(5, 60, 5), slow=range(20, 260, 10), where="fast < slow")
def cross(bars, fast=20, slow=100):
    sums = np.cumsum(bars.close, axis=0)
    return sums[-1] * 0.0 + bars.close > bars.close[:1]


def test_the_whole_default_grid_is_tested():
    report = check(cross, random_bars(60, 1), cuts=8)
    assert report.n_parameter_sets == 244
    assert "all 244 parameter sets" in report.coverage


def test_a_huge_grid_is_sampled_and_the_size_reported():
    bars = random_bars(12, 1)

    @strategy(a=range(1, 200), b=range(1, 200), c=(True, False))
    def wide(bars, a=1, b=1, c=True):
        return bars.close > a + b

    report = check(wide, bars, cuts=3, max_sets=210)
    assert report.n_parameter_sets <= 600
    assert "sampled evenly from a grid too large to count (every value of every parameter)" in report.coverage


@pytest.mark.parametrize(
    "grid", [{"a": range(1, 30), "b": range(1, 30)}, {"a": range(1, 400), "b": range(1, 400)}]
)
def test_a_sample_of_a_grid_holds_the_defaults_and_every_value(grid):
    idea = as_strategy(lambda bars, a=1, b=1: bars.close > a + b)
    sets, total = choose_sets(idea, grid, None, 100, 0)
    assert sets[0] == {"a": 1, "b": 1}
    assert total == (841 if len(grid["a"]) < 100 else None)
    if total:
        assert len(sets) == 100
        assert all({p[n] for p in sets} == set(values) for n, values in grid.items())
    assert sets == choose_sets(idea, grid, None, 100, 0)[0]


def test_cuts_lie_early_late_and_at_the_ends_of_periods(bars):
    places = place_cuts(bars, 128, 0)
    every = np.unique(np.concatenate(list(places.values())))
    assert (every[0], every[-1]) == (0, bars.n_bars - 2)
    assert 100 <= every.size <= 128
    months = bars.session.astype("M8[D]").astype("M8[M]")
    assert (months[places["month end"]] != months[places["month end"] + 1]).all()
    assert set(bars.index[every].day_of_week) == set(range(5))
    assert np.diff(every).max() < 20


@pytest.mark.parametrize("n_sets", [1, 3, 40, 500])
def test_every_parameter_set_is_cut_for_every_reason_and_the_first_everywhere(n_sets, bars):
    places = place_cuts(bars, 128, 0)
    plan = plan_cuts(places, n_sets, 1000)
    assert all(0 in wanting for wanting in plan.values())
    assert all(any(k in plan[cut] for cut in group) for group in places.values() for k in range(n_sets))


@pytest.mark.parametrize("n_bars", [2, 3, 10, 30])
def test_a_short_sample_is_cut_after_every_bar(n_bars):
    assert check(honest, random_bars(n_bars, 1), cuts=64).cuts == tuple(range(n_bars - 1))


def test_the_same_seed_gives_the_same_report(bars):
    one, two = (check(CHEATS["at_random_bars"], bars, seed=7).to_dict() for _ in range(2))
    assert one == two


def test_a_report_is_json_and_html_and_says_what_it_cannot_see(bars):
    report = check(CHEATS["stop_set_by_the_next_bar"], bars)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["first_offence"]["member"] == "stop_loss"
    assert again["first_offence"]["bar"] == 1
    assert len(report.blind_spots) >= 5
    for text in (str(report), report._repr_html_()):
        assert "looks ahead" in text
        assert "survived" in text


def test_progress_is_told_to_the_end(bars):
    seen = []
    check(honest, bars, cuts=60, progress=lambda done, planned: seen.append((done, planned)))
    assert seen
    assert all(done <= planned for done, planned in seen)


# -- other futures -------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    seed=st.integers(0, 1000),
    n_bars=st.integers(2, 50),
    n_assets=st.integers(1, 4),
    future=st.sampled_from([RISE, FALL, HOLES, Future("rise", 0)]),
    data=st.data(),
)
def test_a_future_changes_everything_after_the_cut_and_nothing_before(seed, n_bars, n_assets, future, data):
    bars = random_bars(n_bars, n_assets, seed=seed)
    bars = replace(bars, factor=np.full(bars.shape, 2.0), member=np.ones(bars.shape, bool))
    cut = data.draw(st.integers(0, n_bars - 2))
    other = Scrambler(bars, seed).future(cut, future)
    assert (other.time == bars.time).all()
    assert (other.session == bars.session).all()
    assets = slice(None) if future.asset is None else slice(0, 1)
    for name in (*COLUMNS, "earnings"):
        old, new = ((x.fields[name] if name == "earnings" else getattr(x, name)) for x in (bars, other))
        assert np.array_equal(old[: cut + 1], new[: cut + 1])
        if name != "member":
            assert (old[cut + 1 :, assets] != new[cut + 1 :, assets]).all()
    if future.asset is not None and n_assets > 1:
        assert np.array_equal(other.close[:, 1:], bars.close[:, 1:])


def test_a_rise_and_a_fall_move_the_next_bar_either_way(bars):
    scrambler = Scrambler(bars, 3)
    for cut in range(0, bars.n_bars - 1, 17):
        up, down = (scrambler.future(cut, f) for f in (RISE, FALL))
        for name in ("open", "close"):
            moves = [np.sign(getattr(x, name)[cut + 1] - bars.close[cut]) for x in (up, down)]
            assert (moves[0] == -moves[1]).all()
            assert (moves[0] != 0).all()


def test_the_rest_of_truncated_bars_cannot_be_reached(bars):
    short = Scrambler(bars, 0).future(10, TRUNCATED)
    assert short.shape == (11, bars.n_assets)
    assert short.close.base is None or short.close.base.shape == short.close.shape


def test_other_pasts_keep_what_follows_and_quiet_bars_what_precedes(bars):
    scrambler = Scrambler(bars, 0)
    past, quiet = scrambler.past(100, "rise"), scrambler.quiet(100)
    assert np.array_equal(past.close[100:], bars.close[100:])
    assert (past.close[:100] != bars.close[:100]).all()
    assert np.array_equal(quiet.close[:100], bars.close[:100])
    swings = np.abs(quiet.close[101:] / quiet.close[100:-1] - 1.0)
    assert swings.max() < 0.025
    assert (np.abs(quiet.close[104:] - quiet.close[99]) < np.abs(quiet.close[102:-2] - quiet.close[99])).all()


def test_taking_rows_keeps_every_column(bars):
    part = take(bars, slice(5, 25))
    for field in fields(Bars):
        if field.name in {"instruments", "bar_size", "meta", "fields"}:
            continue
        assert np.array_equal(getattr(part, field.name), getattr(bars, field.name)[5:25])
    assert np.array_equal(part.fields["earnings"], bars.fields["earnings"][5:25])


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"strategy": np.ones((400, 3))}, StrategyError, "Give the function"),
        ({"bars": pd.DataFrame({"close": [1.0]})}, DataError, "Bars.from_frame"),
        ({"cuts": 0}, ParameterError, "at least one cut"),
        ({"cuts": [399]}, ParameterError, "rows from 0 to 398"),
        ({"cuts": []}, ParameterError, "number of cuts"),
        ({"max_sets": 0}, ParameterError, "max_sets"),
        ({"grid": {"dayz": (1, 2)}}, UnknownNameError, "days"),
        ({"grid": {"days": (1, 2)}, "where": "days > 5"}, ParameterError, "allows none of the 2 sets"),
        ({"strategy": lambda bars: bars.close[:5]}, StrategyError, "shape"),
        ({"strategy": lambda bars: bars.close}, StrategyError, "wants a target"),
        ({"strategy": lambda bars: 1 / 0}, StrategyError, "ZeroDivisionError"),
        ({"strategy": lambda bars: Signal(bars.close > 0, stop_loss=np.ones(7))}, StrategyError, "stop_loss"),
        (
            {"strategy": lambda bars: Signal(bars.close > 0, limit="dear")},
            StrategyError,
            "numbers are needed",
        ),
    ],
)
def test_bad_input_says_what_to_do(arguments, error, said, bars):
    call = {"strategy": honest, "bars": bars, **arguments}
    with pytest.raises(error, match=said):
        check(call.pop("strategy"), call.pop("bars"), **call)


def test_one_bar_cannot_be_checked():
    with pytest.raises(DataError, match="two bars"):
        check(honest, random_bars(1, 1))


def test_cuts_can_be_given_as_rows(bars):
    assert check(honest, bars, cuts=[10, 50, 50]).cuts == (10, 50)
