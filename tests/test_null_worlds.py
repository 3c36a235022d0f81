"""Histories without an edge, and the whole sweep run again on them: against plain twins and on made-up markets."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quantlab as ql
from quantlab.errors import DataError, ParameterError, StrategyError, UnknownNameError
from quantlab.research import null_worlds as module
from quantlab.research.null_worlds import NullWorlds, null_worlds
from quantlab.research.sweep import sweep
from quantlab.research.worlds import PRICES, Worlds
from tests.made_bars import make_bars, rebuilt

FREE = {"costs": ql.Costs.zero(), "sizing": ql.Sizing(whole_units=False)}


@ql.strategy(days=range(1, 6), sign=[1, -1])
def follow(bars, days=1, sign=1):
    """Hold with (or against) the move of the last days."""
    move = np.zeros_like(bars.close)
    move[days:] = np.sign(bars.close[days:] / bars.close[:-days] - 1.0)
    return sign * move


@ql.strategy(size=[0.25, 0.5, 1.0])
def hold(bars, size=1.0):
    """Always long."""
    return np.full(bars.shape, size)


def market(returns, **more):
    """Bars of these close-to-close returns, shape (n_bars, n_assets)."""
    returns = np.asarray(returns, float)
    bars = make_bars(len(returns), tuple("ABCDEFG"[: returns.shape[1]]))
    close = 100.0 * np.cumprod(1.0 + returns, axis=0)
    opened = np.vstack((close[:1], close[:-1])) * (1.0 + 0.2 * returns)
    high, low = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.996
    return rebuilt(bars, open=opened, high=high, low=low, close=close, **more)


def noise(n_bars=500, n_assets=1, *, seed=0, mean=0.0):
    return market(np.random.default_rng(seed).normal(mean, 0.01, (n_bars, n_assets)))


def momentum(n_bars=500, *, seed=0, after=0.35):
    """A market in which a move goes on for a day."""
    shocks = np.random.default_rng(seed).normal(0.0, 0.01, n_bars)
    returns = np.zeros(n_bars)
    for t in range(1, n_bars):
        returns[t] = after * returns[t - 1] + shocks[t]
    return market(returns[:, None])


def simple_returns(bars):
    """Bar returns of each asset over its own bars."""
    columns = [c[~np.isnan(c)] for c in bars.close.T]
    return [c[1:] / c[:-1] - 1.0 for c in columns]


# -- worlds ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    n_assets=st.integers(1, 3),
    holes=st.sampled_from([0.0, 0.1, 0.6]),
    mirror=st.booleans(),
    drift=st.sampled_from(["keep", "remove"]),
    block=st.sampled_from([1.0, 3.5, 20.0]),
)
def test_a_world_is_valid_has_its_bars_where_they_were_and_the_mean_return_asked_for(
    seed, n_assets, holes, mirror, drift, block
):
    bars = make_bars(60, tuple("ABC"[:n_assets]), seed=seed, holes=holes)
    worlds = Worlds.of(bars, block=block, mirror=mirror, drift=drift, seed=seed)
    world = worlds.make(seed)
    assert np.array_equal(world.time, bars.time)
    assert np.array_equal(world.session, bars.session)
    assert world.instruments == bars.instruments
    assert np.array_equal(np.isnan(world.close), np.isnan(bars.close))
    assert np.array_equal(np.isnan(world.volume), np.isnan(bars.volume))
    there = ~np.isnan(world.close)
    for name in ("open", "close"):
        assert (getattr(world, name) <= world.high)[there].all()
        assert (getattr(world, name) >= world.low)[there].all()
    for made, real in zip(simple_returns(world), simple_returns(bars), strict=True):
        if len(real):
            assert made.mean() == pytest.approx(real.mean() if drift == "keep" else 0.0, abs=1e-12)


def slow_world(worlds, k):
    """The same world, bar by bar and asset by asset."""
    bars, start = worlds.bars, worlds.rows.start
    rows, turned = worlds.draw(k)
    out = {name: getattr(bars, name).copy() for name in (*PRICES, "volume")}
    for i in range(bars.n_assets):
        own = [t for t in range(worlds.rows.stop) if not math.isnan(bars.close[t, i])]
        before = dict(zip(own[1:], own[:-1], strict=True))
        own = [t for t in own[1:] if t >= start]
        moves = {
            t: {x: math.log(getattr(bars, x)[t, i] / bars.close[before[t], i]) for x in PRICES} for t in own
        }
        if not own:
            continue
        centre = sum(m["close"] for m in moves.values()) / len(moves)
        real = sum(math.expm1(m["close"]) for m in moves.values()) / len(moves)
        life = own[-1] - own[0] + 1
        drawn = {}
        for t in own:
            source = own[0] + (start + int(rows[t - start]) - own[0]) % life
            source = min(s for s in own if s >= source)
            m = {x: moves[source][x] - centre for x in PRICES}
            if turned[t - start]:
                m = {"open": -m["open"], "high": -m["low"], "low": -m["high"], "close": -m["close"]}
            drawn[t] = m
            out["volume"][t, i] = bars.volume[source, i]
        wanted = real if worlds.drift == "keep" else 0.0
        got = sum(math.exp(m["close"]) for m in drawn.values()) / len(drawn)
        shift = math.log((1.0 + wanted) / got)
        close = bars.close[before[own[0]], i]
        for t, m in drawn.items():
            for x in PRICES:
                out[x][t, i] = close * math.exp(m[x] + shift)
            close = out["close"][t, i]
    return out


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("window", [(None, None), ("2003-01-01", "2003-03-01")])
def test_a_world_is_what_a_plain_loop_makes_of_the_same_draws(holes, mirror, window):
    bars = make_bars(160, seed=4, holes=holes)
    worlds = Worlds.of(bars, window, block=5.0, mirror=mirror, seed=2)
    world, slow = worlds.make(3), slow_world(worlds, 3)
    for name, column in slow.items():
        np.testing.assert_allclose(getattr(world, name), column, rtol=1e-11)


def test_an_asset_is_listed_and_delisted_when_it_was():
    bars = noise(200, 2, seed=3)
    gone = np.zeros(bars.shape, bool)
    gone[:80, 1] = gone[150:, 1] = True
    bars = rebuilt(bars, **{n: np.where(gone, np.nan, getattr(bars, n)) for n in (*PRICES, "volume")})
    world = Worlds.of(bars, block=10.0).make(1)
    assert np.array_equal(np.isnan(world.close), gone)
    for name in PRICES:
        assert getattr(world, name)[80, 1] == pytest.approx(getattr(bars, name)[80, 1])
    made, real = (x[1] for x in map(simple_returns, (world, bars)))
    assert made.std() == pytest.approx(real.std(), rel=0.4)


def test_blocks_keep_whole_rows_of_the_real_history_and_have_the_length_asked_for():
    worlds = Worlds.of(noise(2_000, 3, seed=1), block=25.0, mirror=False, seed=7)
    rows, turned = worlds.draw(0)
    assert not turned.any()
    goes_on = (np.diff(rows) % len(rows) == 1).mean()
    assert goes_on == pytest.approx(1.0 - 1.0 / 25.0, abs=0.015)
    made, real = (np.diff(np.log(b.close), axis=0) for b in (worlds.make(0), worlds.bars))
    shift = made - real[rows]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-12)
    assert np.array_equal(worlds.make(0).volume[1:], worlds.bars.volume[1:][rows])


def test_every_row_is_drawn_about_as_often_as_any_other():
    worlds = Worlds.of(noise(101, seed=1), block=20.0)
    counts = np.bincount(np.concatenate([worlds.draw(k)[0] for k in range(3_000)]), minlength=100)
    assert len(counts) == 100
    # Rows that are drawn together come in blocks: the spread of a count is that of twenty times fewer draws.
    assert counts.min() > 3_000 * (1 - 5 * math.sqrt(40 / 3_000))
    assert counts.max() < 3_000 * (1 + 5 * math.sqrt(40 / 3_000))


def test_turning_rows_upside_down_takes_away_what_a_block_would_keep():
    bars = momentum(1_500, seed=5)

    def dependence(mirror):
        worlds = Worlds.of(bars, block=30.0, mirror=mirror)
        return np.mean(
            [np.corrcoef(r[1:], r[:-1])[0, 1] for k in range(40) for r in simple_returns(worlds.make(k))]
        )

    assert dependence(False) > 0.25
    assert abs(dependence(True)) < 0.03


def test_clusters_of_volatility_and_correlation_stay():
    rng = np.random.default_rng(8)
    size = np.repeat(rng.choice([0.005, 0.02], 40), 50)[:, None]
    both = rng.normal(0.0, 1.0, (2_000, 1))
    bars = market(size * (0.8 * both + 0.6 * rng.normal(0.0, 1.0, (2_000, 2))))

    def of(world):
        a, b = simple_returns(world)
        return np.corrcoef(np.abs(a[1:]), np.abs(a[:-1]))[0, 1], np.corrcoef(a, b)[0, 1]

    worlds = Worlds.of(bars, block=50.0)
    found = np.mean([of(worlds.make(k)) for k in range(30)], axis=0)
    np.testing.assert_allclose(found, of(bars), atol=0.05)
    alone = Worlds.of(bars, block=1.0)
    assert abs(np.mean([of(alone.make(k))[0] for k in range(30)])) < 0.05


def test_world_k_depends_on_the_seed_and_on_k_alone():
    bars = noise(100)
    worlds = Worlds.of(bars, block=5.0, seed=1)
    third = worlds.make(3)
    worlds.make(9)
    assert np.array_equal(worlds.make(3).close, third.close)
    assert np.array_equal(Worlds.of(bars, block=5.0, seed=1).make(3).close, third.close)
    assert not np.array_equal(worlds.make(4).close, third.close)
    assert not np.array_equal(Worlds.of(bars, block=5.0, seed=2).make(3).close, third.close)


def test_intraday_bars_are_drawn_from_their_own_place_in_the_session():
    bars = make_bars(30 * 13, ("A",), "30 mins", per_session=13)
    short = np.ones(bars.n_bars, bool)
    short[13 * 4 + 7 : 13 * 5] = False  # a session that ends early
    bars = bars.take(short)
    worlds = Worlds.of(bars, block=8.0)
    place = np.concatenate([np.arange(n) for n in np.bincount(bars.session - bars.session[0])])[1:]
    for k in range(20):
        assert np.array_equal(place[worlds.draw(k)[0]], place)
    assert len({tuple(worlds.draw(k)[0]) for k in range(20)}) == 20


def test_of_few_sessions_intraday_bars_are_drawn_from_all():
    bars = make_bars(2 * 60, ("A",), "5 mins", per_session=60)
    rows, _ = Worlds.of(bars, block=2.0).draw(0)
    assert (rows % 60 != np.arange(len(rows)) % 60).mean() > 0.5


def test_bars_outside_the_window_stay_as_they_are():
    bars = noise(120, 2)
    worlds = Worlds.of(bars, (bars.index[40], bars.index[79]), block=5.0)
    world = worlds.make(0)
    for name in (*PRICES, "volume"):
        assert np.array_equal(getattr(world, name)[:40], getattr(bars, name)[:40])
        assert np.array_equal(getattr(world, name)[80:], getattr(bars, name)[80:])
        assert not np.array_equal(getattr(world, name)[40:80], getattr(bars, name)[40:80])


def test_factors_members_and_fields_stay_at_their_bars():
    bars = noise(80, 2)
    factor = np.linspace(4.0, 1.0, 160).reshape(80, 2)
    member = np.arange(160).reshape(80, 2) % 3 > 0
    bars = rebuilt(bars, factor=factor, member=member, fields={"pe": factor * 2})
    world = Worlds.of(bars, block=5.0).make(0)
    assert np.array_equal(world.factor, factor)
    assert np.array_equal(world.member, member)
    assert np.array_equal(world.fields["pe"], factor * 2)


def test_the_length_of_blocks_follows_the_clusters_of_volatility(monkeypatch):
    pytest.importorskip("arch")
    rng = np.random.default_rng(8)
    size = np.repeat(rng.choice([0.005, 0.02], 40), 50)[:, None]
    clustered = market(size * rng.normal(0.0, 1.0, (2_000, 1)))
    assert Worlds.of(clustered).block > 3 * Worlds.of(noise(2_000)).block
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    monkeypatch.setitem(sys.modules, "arch", None)
    assert Worlds.of(noise(2_001)).block == pytest.approx(2 * 2_000 ** (1 / 3))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"block": 0.5}, "block is 0.5; a number of bars from 1 to 99"),
        ({"block": 100}, "from 1 to 99"),
        ({"block": True}, "block is True"),
        ({"drift": "none"}, "drift"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options, error):
    with pytest.raises((ParameterError, UnknownNameError), match=error):
        Worlds.of(noise(100), **options)


def test_too_short_a_history_is_refused():
    with pytest.raises(DataError, match="19 moves of prices are too few"):
        Worlds.of(noise(20))


# -- the sweep again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["sharpe", "total_return", "volatility"])
def test_the_best_of_a_world_is_that_of_a_sweep_on_its_bars(metric):
    bars = make_bars(150, seed=3)
    window = {"start": str(bars.index[30].date()), "end": str(bars.index[140].date())}
    real = sweep(follow, bars, progress=False, **window, **FREE)
    found = null_worlds(real, 5, metric=metric, seed=4, block=6, progress=False)
    worlds = Worlds.of(bars, (window["start"], window["end"]), seed=4, block=6)
    for k in range(5):
        there = sweep(follow, worlds.make(k), progress=False, **window, **FREE)
        assert found.best[k] == there.best(metric)[metric].iloc[0]
    assert found.observed == real.best(metric)[metric].iloc[0]
    assert found.numbers.tolist() == list(range(5))
    assert found.complete
    assert found.n_trials == 10


def test_a_trial_that_is_ruined_in_a_world_is_not_its_best():
    @ql.strategy(size=[-1.0, -0.2, 0.2])
    def hold_some(bars, size=1.0):
        return np.full(bars.shape, size)

    wild = market(np.expm1(np.random.default_rng(5).normal(0.02, 0.25, (60, 1))))
    metric = "max_drawdown_bars"  # few, for one that is ruined at once
    real = sweep(hold_some, wild, progress=False, **FREE)
    found = null_worlds(real, 10, metric=metric, block=3, progress=False)
    n_ruined = 0
    for k in range(10):
        there = sweep(hold_some, Worlds.of(wild, block=3).make(k), progress=False, **FREE)
        assert found.best[k] == there.best(metric)[metric].iloc[0]
        n_ruined += there.table[metric].idxmin() != there.best(metric).index[0]
    assert n_ruined > 0


def test_workers_and_the_number_of_worlds_change_no_world():
    real = sweep(follow, noise(120), progress=False)
    one = null_worlds(real, 12, workers=1, progress=False)
    assert np.array_equal(one.best, null_worlds(real, 12, workers=3, progress=False).best)
    assert np.array_equal(one.best[:5], null_worlds(real, 5, workers=2, progress=False).best)


def made(best, observed=1.0, metric="sharpe"):
    best = np.array(best, float)
    worlds = Worlds.of(noise(50), block=3)
    return NullWorlds(metric, observed, best, np.arange(len(best)), len(best), 7, worlds, 1.0, complete=True)


def test_the_p_value_counts_the_real_history_and_ties_against_it():
    found = made([0.5, 0.9, 1.0, 1.2])
    assert found.n_as_good == 2
    assert found.p_value == pytest.approx(3 / 5)
    assert found.beats == pytest.approx(0.5)
    assert made([0.1] * 99).p_value == pytest.approx(0.01)


def test_where_less_is_better_fewer_worlds_are_as_good():
    found = made([0.1, 0.2, 0.3, 0.4], 0.2, "volatility")
    assert found.n_as_good == 2


def test_a_world_without_a_best_counts_as_worse():
    found = made([math.nan, math.nan, 2.0])
    assert found.n_as_good == 1
    assert found.p_value == pytest.approx(0.5)
    assert found.describe()["best_of_noise"]["0.5"] == pytest.approx(2.0)


def test_what_was_found_is_told_in_a_sentence_as_json_and_as_a_table():
    found = made([0.5, 0.9, 0.2, 1.2])
    assert (
        "your best of 7 trials (sharpe 1) beats 75.0% of the best of noise (4 null worlds" in found.sentence
    )
    told = json.loads(json.dumps(found.describe()))
    assert told["p_value"] == pytest.approx(0.4)
    assert told["n_worlds"] == 4
    assert told["block_length"] == 3
    assert found.table["sharpe"].tolist() == [0.5, 0.9, 0.2, 1.2]
    assert found.table.index.name == "world"


def test_an_edge_within_a_day_stands_out_of_the_worlds():
    real = sweep(follow, momentum(800, seed=2), progress=False, **FREE)
    assert null_worlds(real, 99, progress=False).p_value <= 0.02
    # Blocks that are not turned keep the edge: the test is then blind to it.
    assert null_worlds(real, 99, block=50, mirror=False, progress=False).p_value > 0.05


def test_being_long_in_a_rising_market_is_no_edge_unless_drift_is_removed():
    real = sweep(hold, noise(800, seed=3, mean=0.0015), progress=False, **FREE)
    assert null_worlds(real, 99, progress=False).p_value > 0.2
    assert null_worlds(real, 99, drift="remove", progress=False).p_value <= 0.02


def test_of_sweeps_on_noise_few_pass():
    """One in ten p-values is 0.1 or less; with 80 of them 16 or more would be chance in 1 of 300 cases."""
    p_values = []
    for seed in range(80):
        real = sweep(follow, noise(150, seed=seed), progress=False, **FREE)
        p_values.append(null_worlds(real, 19, seed=seed, block=5, workers=1, progress=False).p_value)
    assert sum(p <= 0.1 for p in p_values) <= 15
    assert sum(p <= 0.5 for p in p_values) >= 25


# -- time, interruption, faults ----------------------------------------------------------------------------


class Clock:
    """Stands for the clock: every look at it takes a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_a_time_that_is_too_short_for_all_worlds_is_said_before_and_kept(monkeypatch):
    real = sweep(follow, noise(100), progress=False)
    monkeypatch.setattr(module, "perf_counter", Clock())
    with pytest.warns(
        UserWarning, match=r"1,000 worlds would take about .*; the time allowed is enough for about"
    ):
        found = null_worlds(real, 1_000, max_seconds=60, workers=1, progress=False)
    assert 5 < len(found) < 20
    assert not found.complete
    assert found.n_asked == 1_000
    assert found.seconds < 70
    assert found.notes[0].startswith("1,000 worlds would take about")
    assert np.array_equal(found.best, null_worlds(real, len(found), progress=False).best)


def test_a_time_that_is_too_short_for_one_world_is_an_error(monkeypatch):
    real = sweep(follow, noise(100), {"days": range(1, 90)}, progress=False)
    monkeypatch.setattr(module, "perf_counter", Clock())
    with pytest.raises(ParameterError, match="not one world was done within max_seconds"):
        null_worlds(real, 10, max_seconds=3, progress=False)


def test_ctrl_c_returns_the_worlds_that_are_done(monkeypatch):
    real = sweep(follow, noise(100), progress=False)
    made, make = [], Worlds.make
    monkeypatch.setattr(Worlds, "make", lambda self, k: made.append(k) or make(self, k))

    def interrupt(done, _):
        if done == 5:
            raise KeyboardInterrupt

    found = null_worlds(real, 500, progress=interrupt, workers=2)
    assert len(found) == 5
    assert len(made) < 250  # the threads were told to stop
    assert not found.complete
    assert "interrupted after 5 of 500 worlds" in found.notes[0]
    assert 0.0 < found.p_value <= 1.0


def test_progress_is_told_up_to_the_last_world():
    told = []
    null_worlds(sweep(follow, noise(100), progress=False), 4, progress=lambda *x: told.append(x))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_of_a_stopped_sweep_the_trials_that_ran_are_run_again():
    def interrupt(done, _):
        if done:
            raise KeyboardInterrupt

    grid = {"days": range(1, 90), "sign": [1, -1]}
    real = sweep(follow, noise(200), grid, progress=interrupt)
    assert not real.complete
    ran = int((~np.isnan(real.metric("final_equity"))).sum())
    assert 0 < ran < 178
    assert null_worlds(real, 2, progress=False).n_trials == ran


def test_worlds_in_which_nothing_runs_are_told_with_the_reason():
    @ql.strategy(days=[1, 2])
    def picky(bars, days=1):
        if "world" in bars.meta:
            raise ZeroDivisionError("no such world")
        return follow(bars, days=days)

    found = null_worlds(sweep(picky, noise(100), progress=False), 3, progress=False)
    assert np.isnan(found.best).all()
    assert "in 3 worlds no trial had the metric" in found.notes[0]
    assert "no such world" in found.notes[0]


def test_a_strategy_that_changes_its_bars_ends_the_run():
    @ql.strategy(days=[1, 2])
    def sly(bars, days=1):
        if "world" in bars.meta and not bars.meta["world"].startswith("0 of"):
            bars.close.base.flags.writeable = True
            bars.close.flags.writeable = True
        return follow(bars, days=days)

    with pytest.raises(StrategyError, match="made the bars writeable"):
        null_worlds(sweep(sly, noise(100), progress=False), 5, progress=False)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"n": 0}, "n is 0"),
        ({"n": 2.5}, r"n is 2\.5"),
        ({"workers": 0}, "workers is 0"),
        ({"max_seconds": 0}, "max_seconds is 0"),
        ({"metric": "sharp"}, "metric"),
    ],
)
def test_what_cannot_be_run_is_refused(options, error):
    real = sweep(follow, noise(60), progress=False)
    with pytest.raises((ParameterError, UnknownNameError), match=error):
        null_worlds(real, progress=False, **options)


def test_a_sweep_without_a_best_trial_is_refused():
    @ql.strategy(days=[1, 2])
    def idle(bars, days=1):
        return np.zeros(bars.shape)

    with pytest.raises(ParameterError, match="no trial of this sweep has a sharpe"):
        null_worlds(sweep(idle, noise(60), progress=False), progress=False)
