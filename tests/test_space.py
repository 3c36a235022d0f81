"""The parameter space of a sweep: what is tried, in which order, and what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.condition import condition_on_columns, names_in_condition, parse_condition
from quantlab.errors import ParameterError, UnknownNameError
from quantlab.research.distributions import Choice, Integers, Uniform
from quantlab.research.space import Space, Trials
from quantlab.strategy import strategy


@strategy(fast=range(5, 60, 5), slow=range(20, 260, 10), where="fast < slow")
def cross(bars, fast=20, slow=100, band=0.5, kind="sma", short=False):
    return bars.close > 0


@strategy
def plain(bars, fast=20, slow=100, band=0.5, kind="sma", short=False):
    return bars.close > 0


@strategy
def free(bars, a=None, b=None, c=None):
    return bars.close > 0


# -- grids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [None, "fast * 2 < slow", lambda fast, slow, **_: fast + slow > 100])
@pytest.mark.parametrize(
    "grid",
    [
        None,
        {"slow": [100, 50], "fast": range(5, 30, 5)},
        {"kind": ["ema", "sma"], "short": [True, False], "band": np.linspace(0, 1, 3), "slow": 90},
    ],
)
def test_a_grid_has_the_sets_of_the_strategy_in_their_order(grid, where):
    single = {k: [v] if isinstance(v, int) else v for k, v in grid.items()} if grid else grid
    expected = list(cross.parameter_sets(single, where))
    trials = Trials.of(cross, grid, where)
    found = list(trials.iterate())
    assert found == expected
    assert [list(map(type, p.values())) for p in found] == [list(map(type, p.values())) for p in expected]
    assert [trials.params(k) for k in range(len(trials))] == expected
    assert trials.names == tuple(cross.grid if grid is None else grid)


def test_sets_are_dicts_of_their_own_and_parts_of_the_list_are_the_same_sets():
    trials = Trials.of(plain, {"fast": range(1000), "kind": ["sma", "ema"]})
    every = list(trials.iterate())
    assert list(trials.iterate(700, 1300)) == every[700:1300]
    assert list(trials.iterate(1990, 5000)) == every[1990:]
    every[0]["fast"] = -1
    assert trials.params(0)["fast"] == 0
    assert plain.defaults["fast"] == 20


def test_a_strategy_without_a_grid_has_one_trial_of_its_defaults():
    for grid in (None, {}):
        trials = Trials.of(plain, grid)
        assert list(trials.iterate()) == [plain.defaults]
        assert trials.params(0) == plain.defaults
    assert trials.named(0) == {}


def test_one_value_and_a_string_stand_for_a_list_of_one():
    trials = Trials.of(plain, {"kind": "ema", "fast": 7, "slow": np.int64(9), "band": 1})
    assert trials.named(0) == {"kind": "ema", "fast": 7, "slow": 9, "band": 1.0}
    assert type(trials.named(0)["slow"]) is int
    assert type(trials.named(0)["band"]) is float
    assert len(trials) == 1


def test_a_value_named_twice_is_tried_once():
    assert list(Trials.of(plain, {"fast": [5, 10, 5]}).column("fast")) == [5, 10]
    mixed = Trials.of(free, {"a": [1, 1.0, True, float("nan"), float("nan"), "1", None]})
    assert [type(v).__name__ for v in dict(zip(mixed.names, mixed.values, strict=True))["a"]] == [
        "int",
        "float",
        "bool",
        "float",
        "str",
        "NoneType",
    ]


def test_sets_are_listed_one_by_one_and_a_repeated_one_is_counted():
    trials = Trials.of(cross, [{"fast": 5}, {"slow": 60}, {"fast": 20, "slow": 60}, {"fast": 5, "slow": 100}])
    assert trials.names == ("fast", "slow")
    assert [trials.named(k) for k in range(len(trials))] == [
        {"fast": 5, "slow": 100},
        {"fast": 20, "slow": 60},
    ]
    assert trials.n_duplicates == 2
    dropped = Trials.of(cross, [{"fast": 5}, {"fast": 500}])
    assert len(dropped) == 1
    assert dropped.n_excluded == 1


def test_rows_of_a_table_are_sets():
    frame = pd.DataFrame({"fast": [5, 10], "band": [0.1, 0.2]})
    assert [p["band"] for p in Trials.of(plain, frame).iterate()] == [0.1, 0.2]


def test_trials_are_taken_as_they_are_and_may_be_narrowed():
    trials = Trials.of(plain, {"fast": range(100)}, n_trials=10)
    assert Trials.of(plain, trials).digest == trials.digest
    assert (Trials.of(plain, trials, "fast > 40").column("fast") > 40).all()


# -- samples -------------------------------------------------------------------------------------------------


def test_a_sample_of_a_grid_is_without_replacement_and_keeps_its_order():
    every = [tuple(p.items()) for p in cross.parameter_sets()]
    trials = Trials.of(cross, n_trials=100, seed=3)
    found = [tuple(p.items()) for p in trials.iterate()]
    places = [every.index(f) for f in found]
    assert places == sorted(set(places))
    assert len(found) == 100
    assert Trials.of(cross, n_trials=100, seed=3).digest == trials.digest
    assert Trials.of(cross, n_trials=100, seed=4).digest != trials.digest
    assert len(Trials.of(cross, n_trials=len(every))) == len(every)


def test_a_grid_too_large_to_write_out_can_be_sampled():
    grid = {"fast": range(10_000), "slow": range(10_000), "band": np.arange(10_000.0)}
    trials = Trials.of(plain, grid, "fast + slow < band", n_trials=500)
    assert len({tuple(p.values()) for p in trials.iterate()}) == 500
    assert all(p["fast"] + p["slow"] < p["band"] for p in trials.iterate())


def test_distributions_draw_within_their_bounds_the_same_by_seed():
    grid = {
        "fast": Integers(2, 10, step=4),
        "slow": Integers(1, 10**9),
        "band": Uniform(0.01, 100, log=True),
        "kind": Choice("sma", "ema"),
    }
    trials = Trials.of(plain, grid, n_trials=2000)
    assert set(trials.column("fast")) == {2, 6, 10}
    assert trials.column("slow").dtype == np.int64
    assert trials.column("slow").min() >= 1
    assert trials.column("slow").max() > 10**8
    band = trials.column("band")
    assert band.min() >= 0.01
    assert band.max() <= 100
    # log-uniform: half of the draws below the geometric mean, which is 1 here (4.5 standard errors)
    assert abs((band < 1).mean() - 0.5) < 0.05
    assert set(trials.column("kind")) == {"sma", "ema"}
    assert Trials.of(plain, grid, n_trials=2000).digest == trials.digest


def test_whole_numbers_on_a_logarithmic_scale_have_their_stated_weights():
    values, weights = Integers(1, 4, log=True).listed()
    assert values == (1, 2, 3, 4)
    # log(1.5/0.5), log(2.5/1.5), ... over log(4.5/0.5) = log 9
    assert weights == pytest.approx([0.5, 0.23249, 0.15314, 0.11438], abs=1e-5)
    drawn = Counter(Integers(1, 4, log=True).draw(np.random.default_rng(0), 40_000).tolist())
    assert [drawn[k] / 40_000 for k in values] == pytest.approx(weights, abs=0.01)
    first = Counter(
        Trials.of(plain, {"fast": Integers(1, 4, log=True)}, n_trials=1, seed=k).params(0)["fast"]
        for k in range(2000)
    )
    assert [first[k] / 2000 for k in values] == pytest.approx(weights, abs=0.05)


@pytest.mark.parametrize(
    "source", [Uniform(2, 8), Uniform(0.1, 10, log=True), Integers(0, 9), Integers(3, 90, log=True)]
)
def test_a_quantile_is_that_of_the_draws(source):
    drawn = np.sort(source.draw(np.random.default_rng(1), 50_000))
    for share in (0.05, 0.3, 0.5, 0.77, 0.99):
        below, upto = (drawn < source.quantile(share)).mean(), (drawn <= source.quantile(share)).mean()
        assert below - 0.02 <= share <= upto + 0.02


def test_a_frozen_distribution_of_scipy_is_one_too():
    from scipy import stats

    trials = Trials.of(plain, {"band": stats.norm(3, 0.1), "fast": stats.randint(5, 9)}, n_trials=500)
    assert abs(trials.column("band").mean() - 3) < 0.05
    assert set(trials.column("fast")) == {5, 6, 7, 8}
    assert all(type(p["fast"]) is int and type(p["band"]) is float for p in trials.iterate())


def test_a_sample_meets_its_condition_and_has_no_set_twice():
    trials = Trials.of(cross, {"fast": Integers(1, 30), "slow": Integers(1, 30)}, n_trials=435)
    assert len({tuple(p.items()) for p in trials.iterate()}) == 435  # every pair there is
    some = Trials.of(
        plain, {"fast": Integers(1, 10**6, log=True)}, n_trials=2000
    )  # small ones are drawn often
    assert len(set(some.column("fast"))) == 2000
    wide = Trials.of(cross, {"fast": Integers(1, 10**7), "slow": Integers(1, 10**7)}, n_trials=1000)
    assert (wide.column("fast") < wide.column("slow")).all()
    assert wide.n_excluded > 300


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_grid", "options", "kind", "words"),
    [
        ({"fast": []}, {}, ParameterError, ["'fast'", "no values", "default 20"]),
        ({"fsat": [1]}, {}, UnknownNameError, ["'fsat'", "did you mean 'fast'"]),
        ({"fsat": []}, {}, UnknownNameError, ["did you mean 'fast'"]),
        ([{"fsat": 1}], {}, UnknownNameError, ["did you mean 'fast'"]),
        ({"fast": [1.5]}, {}, ParameterError, ["1.5", "int is needed"]),
        ({"fast": {3, 4}}, {}, ParameterError, ["'fast'", "no order", "list"]),
        ({"fast": {"low": 3}}, {}, ParameterError, ["'fast'", "mapping"]),
        ([], {}, ParameterError, ["empty list"]),
        ([3], {}, ParameterError, ["3", "parameter set"]),
        ("fast", {}, ParameterError, ["'fast'", "mapping"]),
        (7, {}, ParameterError, ["7", "mapping"]),
        (None, {"where": "fast < sloww"}, UnknownNameError, ["did you mean 'slow'"]),
        (None, {"where": "fast > 1000"}, ParameterError, ["excludes all 264", "fast=5, slow=20", "widen"]),
        ([{"fast": 3}], {"where": "fast > 9"}, ParameterError, ["excludes all 1 ", "fast=3"]),
        (None, {"where": "1 / (fast - 25) > 0"}, ParameterError, ["ZeroDivisionError", "fast=25, slow=20"]),
        (None, {"where": lambda fast: True}, ParameterError, ["TypeError", "slow"]),
        ({"fast": Integers(1, 9)}, {}, ParameterError, ["fast", "n_trials"]),
        ({"fast": Uniform(1, 9)}, {"n_trials": 5}, ParameterError, ["whole numbers", "Integers(low, high)"]),
        ({"kind": Uniform(1, 9)}, {"n_trials": 5}, ParameterError, ["'kind'", "str is needed"]),
        (None, {"n_trials": 0}, ParameterError, ["n_trials is 0"]),
        (None, {"n_trials": 2.5}, ParameterError, ["n_trials is 2.5"]),
        (None, {"n_trials": True}, ParameterError, ["n_trials is True"]),
        (None, {"n_trials": 245}, ParameterError, ["245", "244 sets", "'fast < slow'"]),
        ({"fast": Integers(1, 3)}, {"n_trials": 4}, ParameterError, ["has 3 sets"]),
        ({"band": Uniform(0, 1)}, {"n_trials": 5, "where": "band > 2"}, ParameterError, ["0 of n_trials=5"]),
        (
            {"fast": range(10**5), "slow": range(10**5)},
            {},
            ParameterError,
            ["10,000,000,000 sets", "n_trials"],
        ),
        (
            {"fast": range(10**4), "slow": range(2 * 10**4)},
            {"where": None},
            ParameterError,
            ["200,000,000 trials", "n_trials"],
        ),
    ],
)
def test_what_cannot_be_tried_says_why(given_grid, options, kind, words):
    idea = plain if options.get("where", "") is None else cross
    with pytest.raises(kind) as error:
        Trials.of(idea, given_grid, **options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Uniform(5, 1), ["Uniform(5, 1)", "swap"]),
        (lambda: Uniform(1, 1), ["one value"]),
        (lambda: Uniform(0, 1, log=True), ["above zero"]),
        (lambda: Uniform(0, float("inf")), ["finite"]),
        (lambda: Uniform("a", 1), ["finite numbers"]),
        (lambda: Integers(5, 1), ["swap"]),
        (lambda: Integers(1, 2.5), ["whole numbers"]),
        (lambda: Integers(True, 5), ["whole numbers"]),
        (lambda: Integers(0, 5, log=True), ["above zero"]),
        (lambda: Integers(1, 5, step=0), ["step", "0"]),
        (lambda: Integers(1, 5, log=True, step=2), ["step of 1"]),
        (Choice, ["at least one"]),
    ],
)
def test_contradictory_bounds_are_refused(make, words):
    with pytest.raises(ParameterError) as error:
        make()
    for word in words:
        assert word in str(error.value)


def test_a_trial_that_is_not_there_is_refused():
    with pytest.raises(ParameterError, match="from 0 to 243"):
        Trials.of(cross).params(244)
    with pytest.raises(ParameterError, match="no trial -1"):
        Trials.of(cross).params(-1)


# -- rows, columns, hashes -----------------------------------------------------------------------------------


def test_columns_have_the_type_of_their_values():
    trials = Trials.of(
        plain, {"fast": [5, 10], "band": [0.5, 1], "kind": ["x", "yy"], "short": [False, True]}
    )
    kinds = {name: trials.column(name).dtype for name in plain.defaults}
    assert kinds == {"fast": np.int64, "band": float, "kind": object, "short": bool, "slow": np.int64}
    assert list(trials.column("fast")) == [p["fast"] for p in trials.iterate()]
    assert set(trials.column("slow")) == {100}
    assert Trials.of(free, {"a": [2**70, 1]}).column("a").tolist() == [2**70, 1]
    assert Trials.of(free, {"a": [(1, 2), (3, 4)]}).column("a").tolist() == [(1, 2), (3, 4)]


def test_some_trials_are_taken_with_the_values_they_use():
    trials = Trials.of(plain, {"slow": Integers(1, 10**9), "fast": [5, 6, 7]}, n_trials=5000)
    rows = [4000, 3, 3, 77]
    part = trials.take(rows)
    assert list(part.iterate()) == [trials.params(k) for k in rows]
    assert list(map(len, part.values)) == [3, 3]
    assert list(trials.take(slice(10, 12)).iterate()) == list(trials.iterate(10, 12))
    assert len(pickle.dumps(part)) < 1000
    mask = np.arange(5000) % 2 == 0
    assert len(trials.take(mask)) == 2500
    assert len(trials.take([])) == 0


def test_the_hash_is_that_of_the_sets_in_every_process():
    made = (
        "from quantlab.research.space import Trials\nfrom quantlab.strategy import strategy\n"
        "@strategy\ndef idea(bars, fast=20, kind='a', pair=(1, 2), how=len):\n    return bars.close\n"
        "print(Trials.of(idea, {'fast': [1, 2], 'kind': ['b', 'a'], 'pair': [(1, 2), (3, 4)]}).digest)"
    )
    digests = {
        subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(digests) == 1
    base = Trials.of(plain, {"fast": [1, 2]}).digest
    others = [{"fast": [2, 1]}, {"fast": [1, 3]}, {"slow": [1, 2]}, {"fast": [1, 2], "slow": 7}]
    assert len({base, *(Trials.of(plain, g).digest for g in others)}) == 5
    assert Trials.of(plain, {"fast": [1, 2], "slow": [7]}).digest != base


def test_trials_survive_pickling_without_what_can_be_made_again():
    trials = Trials.of(cross)
    digest, size = trials.digest, len(pickle.dumps(trials))
    list(trials.iterate())
    assert len(pickle.dumps(trials)) == size
    assert pickle.loads(pickle.dumps(trials)).digest == digest


def test_a_million_sets_are_made_and_held_in_little():
    grid = {"fast": range(1, 101), "slow": range(1, 201), "band": [k / 50 for k in range(50)]}
    trials = Trials.of(plain, grid, "fast != slow or band > 0.5")
    assert len(trials) > 900_000
    assert trials.codes.nbytes <= 12 * len(trials)
    assert len(pickle.dumps(trials)) < 12 * len(trials) + 10_000


# -- conditions on columns -----------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.booleans(),
    st.integers(-4, 4),
    st.sampled_from([2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**62), 2**63, 10**30, 94_906_266]),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.5, 2.0**53, 1e300, float("inf"), float("-inf"), float("nan")]),
)
TEXTS = st.one_of(NUMBERS, st.sampled_from(["", "a", "b", None]))
ATOMS = st.one_of(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["(c == 'a')", "(c < 'b')", "(not c)", "(c != a)"]),
    st.sampled_from(["0", "1", "2", "-1", "0.5", "True", str(2**53), str(10**25), "1e308"]),
)


def grown(inner):
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner),
        st.builds(
            "({} {} {} {} {})".format,
            inner, st.sampled_from(["<", "<=", "==", "!="]), inner, st.sampled_from(["<", ">=", "!="]), inner,
        ),
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner),
        st.builds("({} or {} and {})".format, inner, inner, inner),
        st.builds("({} {})".format, st.sampled_from(["not", "-", "+"]), inner),
    )  # fmt: skip


EXPRESSIONS = st.recursive(ATOMS, grown, max_leaves=6)


def columns_of(draw_lists):
    """Typed as trials type them: one type gives an array of it, several give objects."""
    return Trials.of(free, [dict(zip("abc", row, strict=True)) for row in draw_lists], "True")


@settings(max_examples=400, deadline=None)
@given(
    EXPRESSIONS,
    st.one_of(
        st.lists(st.tuples(NUMBERS, NUMBERS, TEXTS), min_size=1, max_size=8),
        st.lists(st.tuples(st.integers(-9, 9), st.floats(), st.floats()), min_size=1, max_size=8),
        st.lists(
            st.tuples(st.booleans(), st.integers(-(2**62), 2**62), st.text(max_size=2)),
            min_size=1,
            max_size=8,
        ),
    ),
)
def test_a_condition_on_columns_says_what_it_says_row_by_row(where, rows):
    trials = columns_of(rows)
    columns = {name: trials.column(name) for name in names_in_condition(where)}
    try:
        test = parse_condition(where, {"a": 1, "b": 2, "c": 3})
    except (ParameterError, OverflowError):
        return
    expected: list | None = []
    try:
        expected = [test(params) for params in trials.iterate()]
    except (ArithmeticError, TypeError, ValueError):
        expected = None
    try:
        found = condition_on_columns(where, columns, len(trials)).tolist()
    except (ArithmeticError, TypeError, ValueError):
        found = None
    assert found == expected


@pytest.mark.parametrize(
    ("where", "columns", "expected"),
    [
        ("a == 0 or 1 / a > 3", {"a": [0.0, 0.25, 0.5]}, [True, True, False]),
        ("a != 0 and b // a == 2 and b % a == 1", {"a": [0, 2, 2], "b": [5, 5, 4]}, [False, True, False]),
        ("a * b == a * b + 1", {"a": [2**31, 3], "b": [2**31, 4]}, [False, False]),
        ("a * b > 0", {"a": [2**40, 3], "b": [2**40, 4]}, [True, True]),
        ("a * b - 1.0 == a * b", {"a": [2**31], "b": [2**31]}, [True]),
        ("a + b > 1", {"a": [True, True], "b": [True, False]}, [True, False]),
        ("-a < -b", {"a": [True, False], "b": [False, True]}, [True, False]),
        ("1 < a < b", {"a": [1, 2, 3], "b": [5, 5, 3]}, [False, True, False]),
        ("a == 'x'", {"a": [1, 2]}, [False, False]),
        ("not a", {"a": [0.0, float("nan"), 2.0]}, [True, False, False]),
    ],
)
def test_a_condition_on_columns_counts_as_python_does(where, columns, expected):
    arrays = {name: np.array(values) for name, values in columns.items()}
    assert condition_on_columns(where, arrays, len(expected)).tolist() == expected


def test_a_part_that_is_not_needed_is_not_evaluated():
    where = "band == 0 or 1 / band > 3"
    trials = Trials.of(plain, {"band": [0.0, 0.25, 0.5]}, where)
    assert list(trials.column("band")) == [0.0, 0.25]


def test_a_space_knows_its_size_where_it_has_one():
    assert Space.of(cross).size == 264
    assert Space.of(plain, {"fast": Integers(1, 10), "kind": ["a", "b"]}).size == 20
    assert Space.of(plain, {"band": Uniform(0, 1)}).size is None
    assert Space.of(plain, [{"fast": 1}, {"fast": 2}]).size == 2
