"""Trials in blocks: the plain case in registers, targets found by words, and moments of the parts of a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_bars import make_bars

from quantlab.costs import Costs
from quantlab.engine.setup import NOT_KEPT, PARTS, Setup
from quantlab.errors import ParameterError
from quantlab.kernels.lanes import BLOCK
from quantlab.kernels.stats import STATS
from quantlab.kernels.target import flipped_bars, merged_bars, moved_bars
from quantlab.kernels.trial import run_block, run_trial
from quantlab.sizing import Account, Sizing

pytestmark = pytest.mark.kernels

SIZINGS = (
    Sizing(),
    Sizing(allocation=0.5),
    Sizing(price="fill", whole_units=False),
    Sizing(price="fill"),
    Sizing(whole_units=False, max_leverage=2.0, allocation=1.7),
    Sizing.units(10),
    Sizing.value(10_000),
)
COSTS = (Costs.zero(), Costs.percent(0.001), Costs.default(), Costs.per_share(0.005, slippage_bps=5.0))


def outcome(setup, target, *, plain):
    stats, moments = np.empty(len(STATS)), np.empty((len(setup.edges) - 1, 2))
    room = setup.room()
    terms = setup.terms._replace(plain=plain)
    n_trades = run_trial(terms, *setup.changes(target), room, *NOT_KEPT, stats, moments, None)
    return np.concatenate(
        (stats, moments.ravel(), [n_trades, room.bars["ruin_bar"][0], room.bars["n_bars"][0]])
    )


def same_bits(a, b):
    return np.array_equal(a.view(np.int64), b.view(np.int64)) or np.array_equal(a, b, equal_nan=True)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_bars=st.sampled_from([1, 2, 3, 17, 60, BLOCK, BLOCK + 1, 3 * BLOCK + 7]),
    sizing=st.sampled_from(SIZINGS),
    costs=st.sampled_from(COSTS),
    fill=st.sampled_from(["next_open", "next_close", "close"]),
    kind=st.sampled_from(["in or out", "long or short", "fractions", "at once", "wild"]),
)
def test_the_plain_case_gives_the_bits_of_the_general_one(seed, n_bars, sizing, costs, fill, kind):
    rng = np.random.default_rng(seed)
    bars = make_bars(n_bars, "A", seed=seed, scale=0.4 if kind == "wild" else 0.02)
    target = {
        "in or out": (rng.random((n_bars, 1)) < 0.5).astype(float),
        "long or short": rng.choice([-1.0, 0.0, 1.0], (n_bars, 1)),
        "fractions": np.where(rng.random((n_bars, 1)) < 0.3, np.nan, rng.uniform(-1, 1, (n_bars, 1))),
        "at once": np.repeat(rng.choice([0.0, 1.0], (-(-n_bars // 25), 1)), 25, axis=0)[:n_bars],
        "wild": rng.choice([-1.0, 1.0], (n_bars, 1)),
    }[kind]
    setup = Setup.of(bars, costs=costs, sizing=sizing, fill=fill, cash=5_000.0, risk_free=0.02)
    assert setup.terms.plain == 1
    general, plain = outcome(setup, target, plain=0), outcome(setup, target, plain=1)
    assert same_bits(general, plain), [
        (name, a, b)
        for name, a, b in zip([*STATS, *"m" * 99], general, plain, strict=False)
        if not same_bits(np.array([a]), np.array([b]))
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"account": Account.cash()}, "cash is tested"),
        ({"sizing": Sizing(rebalance="every_bar")}, "orders without a change of the target"),
        ({"costs": Costs.default().replace(borrow=0.05)}, "something accrues"),
    ],
)
def test_what_is_not_plain_is_left_to_the_general_case(options, why):
    assert Setup.of(make_bars(50, "A"), **options).terms.plain == 0, why


def test_a_missing_price_is_not_plain():
    assert Setup.of(make_bars(50)).terms.plain == 0
    assert Setup.of(make_bars(50, "A", holes=0.2)).terms.plain == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 30))
def test_flips_found_by_words_are_those_found_bar_by_bar(flags, repeat):
    target = np.repeat(np.array(flags, bool), 1 + repeat)
    n = len(target)
    padded = np.zeros(-(-n // 8) * 8, np.uint8)
    padded[:n] = target
    flat = padded[:n]
    found, wanted = np.empty(n, np.int64), np.empty(n, np.int64)
    count = flipped_bars(flat, flat[: n // 8 * 8].view(np.uint64), found)
    assert count == moved_bars(target[:, None].astype(float), wanted)
    assert np.array_equal(found[:count], wanted[:count])


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_merged_bars_are_the_union_in_order(a, b):
    moved, others = np.array(sorted(a), np.int64), np.array(sorted(b), np.int64)
    out = np.empty(100, np.int64)
    count = merged_bars(moved, len(moved), others, out)
    assert out[:count].tolist() == sorted(a | b)


@pytest.mark.parametrize("n_assets", [1, 3])
@pytest.mark.parametrize("flags", [True, False])
def test_a_block_gives_each_trial_the_bits_of_its_own_run(n_assets, flags):
    rng = np.random.default_rng(3)
    bars = make_bars(333, "ABC"[:n_assets], holes=0.1 * (n_assets > 1))
    setup = Setup.of(bars)
    targets = rng.random((9, *bars.shape)) < 0.6 if flags else rng.uniform(-1, 1, (9, *bars.shape))
    size = bars.n_bars * n_assets
    width = -(-size // 8) * 8
    block = np.zeros((9, width), np.uint8 if flags else float)
    block[:, :size] = targets.reshape(9, size)
    rows = np.arange(9)[::-1].copy()
    out = np.empty((9, len(STATS))), np.empty((9, PARTS, 2)), np.empty(9, np.int64)
    found = np.empty(333, np.int64), np.empty(333, np.int64), np.empty((333, n_assets))
    none = np.empty((0, 0)), np.empty((0, 0), np.uint8)
    run_block(
        setup.terms,
        none[0] if flags else block,
        block if flags else none[1],
        rows,
        setup.room(),
        found,
        *NOT_KEPT,
        out,
    )
    for k in range(9):
        run = setup.run(np.ascontiguousarray(targets[k]))
        assert same_bits(out[0][rows[k]], run.stats)
        assert same_bits(out[1][rows[k]], run.moments)
        assert out[2][rows[k]] == run.ruin_bar


@pytest.mark.parametrize("edges", [None, [0, 1, 2, 300], [0, 128, 128, 129, 300], [0, 300]])
def test_moments_of_the_parts_are_those_of_the_bar_returns(edges):
    rng = np.random.default_rng(5)
    bars = make_bars(300, "A")
    setup = Setup.of(bars, edges=None if edges is None else np.array(edges))
    run = setup.run((rng.random((300, 1)) < 0.7), equity=True)
    line = np.concatenate(([setup.cash], run.equity))
    returns = line[1:] / line[:-1] - 1.0
    for part, (a, b) in enumerate(zip(setup.edges[:-1], setup.edges[1:], strict=True)):
        assert run.moments[part, 0] == pytest.approx(returns[a:b].sum(), abs=1e-13)
        assert run.moments[part, 1] == pytest.approx((returns[a:b] ** 2).sum(), abs=1e-13)


@pytest.mark.parametrize("edges", [[0, 299], [1, 300], [0, 200, 100, 300], [0], [[0, 300]]])
def test_edges_that_do_not_rise_from_the_first_bar_to_the_end_are_refused(edges):
    with pytest.raises(ParameterError, match="edges"):
        Setup.of(make_bars(300, "A"), edges=np.array(edges))
