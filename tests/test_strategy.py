"""The contract of a strategy: what it may return, how labels are matched, and what it must not do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from oracle.cases import hand_bars

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.errors import ParameterError, StrategyError, UnknownNameError
from quantlab.signal import Signal
from quantlab.sizing import Sizing
from quantlab.strategy import Strategy, as_strategy, strategy

PRICES = {"A": [10, 11, 12, 13], "B": [20, 21, 22, 23]}


@pytest.fixture
def one():
    return hand_bars({"A": PRICES["A"]})


@pytest.fixture
def two():
    return hand_bars(PRICES)


def prices_at(times):
    """Four bars of the same price all through, at these times."""
    return pd.DataFrame({c: [10.0, 11, 12, 13] for c in ("open", "high", "low", "close")}, index=times)


def targets_of(given, bars):
    """Targets that the engine read, as lists by bar."""
    return backtest(given, bars, costs=Costs.zero()).targets.to_numpy().tolist()


# -- what may be returned ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        [0, 1, 1, 0],
        [[0], [1], [1], [0]],
        np.array([False, True, True, False]),
        np.array([0, 1, 1, 0], np.int8),
        np.array([0, 1, 1, 0], np.float32)[:, None],
        np.array([0.0, 1.0, 1.0, np.nan]),
        np.asfortranarray(np.array([[0.0], [1.0], [1.0], [0.0]])),
    ],
)
def test_one_asset_takes_arrays_of_bool_int_and_float_with_one_or_two_dimensions(one, given):
    wanted = [[0], [1], [1], [0]]
    assert targets_of(given, one) == wanted
    assert targets_of(lambda bars: given, one) == wanted
    assert targets_of(Signal(given), one) == wanted


def test_frames_and_series_of_every_numeric_type_are_taken(one):
    wanted = [[0], [1], [1], [0]]
    for dtype in (bool, int, float, "boolean", "Int64", "Float64"):
        series = pd.Series([0, 1, 1, 0], index=one.index).astype(dtype)
        assert targets_of(lambda bars, s=series: s, one) == wanted, dtype
        assert targets_of(lambda bars, s=series: s.to_frame("A"), one) == wanted, dtype


def test_a_frame_is_matched_by_labels_and_not_by_position(two):
    target = pd.DataFrame({"A": [0, 1, 1, 0], "B": [0.5, 0, -0.5, -1]}, index=two.index)
    wanted = [[0, 0.5], [1, 0], [1, -0.5], [0, -1]]
    shuffled = target.iloc[[2, 0, 3, 1]][["B", "A"]]
    assert targets_of(target, two) == wanted
    assert targets_of(shuffled, two) == wanted
    assert targets_of(lambda bars: shuffled, two) == wanted


def test_labels_that_are_missing_mean_no_position(two):
    target = pd.DataFrame({"B": [1.0, 1.0]}, index=two.index[[1, 3]])
    assert targets_of(target, two) == [[0, 0], [0, 1], [0, 0], [0, 1]]


@pytest.mark.parametrize("dtype", [bool, "boolean", float])
def test_a_series_without_its_warm_up_is_matched_by_labels(one, dtype):
    series = pd.Series([1, 0], index=one.index[2:]).astype(dtype)
    assert targets_of(lambda bars: series, one) == [[0], [0], [1], [0]]


def test_missing_values_of_nullable_types_count_as_nan(one):
    series = pd.Series([None, True, True, False], index=one.index, dtype="boolean")
    assert targets_of(series, one) == [[0], [1], [1], [0]]
    assert targets_of(series.to_frame("A"), one) == [[0], [1], [1], [0]]


def test_labels_that_the_bars_do_not_have_are_left_out(one):
    longer = pd.date_range(one.index[0] - pd.Timedelta(days=5), periods=12)
    series = pd.Series(np.arange(12) % 2, index=longer)
    assert targets_of(series, one) == [[1], [0], [1], [0]]


def test_closes_with_a_zone_are_matched_as_instants():
    times = pd.date_range("2024-01-02 09:31", periods=4, freq="1min", tz="America/New_York")
    frame = prices_at(times)
    bars = Bars.from_frame(frame, symbol="A", bar_size="1 min")
    series = pd.Series([0, 1, 1, 0], index=times)
    for zone in ("America/New_York", "UTC", "Asia/Tokyo"):
        assert targets_of(series.tz_convert(zone), bars) == [[0], [1], [1], [0]]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_midnights_with_a_zone_name_sessions_as_they_do_in_from_frame(zone):
    """Read as instants they would be the closes of the sessions before: a look ahead of one bar."""
    times = pd.date_range("2024-01-02", periods=4, tz=zone)
    frame = prices_at(times)
    bars = Bars.from_frame(frame, symbol="A", bar_size="1 day")
    assert targets_of(pd.Series([0, 1, 1, 0], index=times), bars) == [[0], [1], [1], [0]]


def test_targets_are_kept_where_they_are_nan_and_read_as_zero():
    bars = hand_bars({"A": [10, None, 12], "B": [1, 2, 3]})
    read = backtest(np.full((3, 2), np.nan), bars).targets
    assert read["B"].tolist() == [0, 0, 0]
    assert read["A"].isna().tolist() == [False, True, False]


# -- what may not --------------------------------------------------------------------------------------------


def test_a_shape_of_bars_by_bars_names_broadcasting_and_the_frame(one):
    with pytest.raises(StrategyError, match=r"(?s)shape \(4, 4\).*broadcasting.*bars\.frame\('close'\)"):
        backtest(lambda bars: bars.close > np.arange(4), one)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.ones(4), r"returned shape \(4,\); \(n_bars, n_assets\) = \(4, 2\).*one column per asset"),
        (np.ones((3, 2)), r"shape \(3, 2\)"),
        (np.ones((4, 3)), r"shape \(4, 3\)"),
        (np.ones((4, 2, 1)), r"shape \(4, 2, 1\)"),
        (1.0, r"shape \(\)"),
        (None, "returned None; return the target"),
        ("long", "type <U4"),
        (np.full((4, 2), 1j), "type complex128"),
        (np.full((4, 2), "1"), "type <U1"),
        ({"A": 1}, "type object"),
        (np.full((4, 2), "2024-01-01", "M8[D]"), "type datetime64"),
        (np.full((4, 2), 1.0000001), r"target of 1\.0000001 for A at 2024-01-02"),
        (np.array([[0, 0], [0, -2], [0, 0], [0, 0]]), r"target of -2\.0 for B at 2024-01-03"),
        (np.full((4, 2), np.inf), "target of inf"),
    ],
)
def test_what_is_no_target_is_an_error_that_says_what_was_given(two, given, text):
    with pytest.raises(StrategyError, match=text):
        backtest(lambda bars: given, two)


def test_frames_with_labels_of_something_else_are_refused(two):
    close = two.frame("close")
    wrong = {
        "shares no label": close.set_axis(close.index + pd.Timedelta(days=400)) * 0,
        "shares no label.": close.reset_index(drop=True) * 0,
        "repeated labels": pd.concat([close, close]) * 0,
        "unknown symbol 'AA'; did you mean 'A'": close.rename(columns={"A": "AA"}) * 0,
    }
    for text, frame in wrong.items():
        with pytest.raises(StrategyError, match=text.rstrip(".")):
            backtest(lambda bars, f=frame: f, two)


def test_a_frame_of_text_is_refused(two):
    with pytest.raises(StrategyError, match="bool, int or float"):
        backtest(lambda bars: bars.frame("close").map(lambda _: "long"), two)


@pytest.mark.parametrize("member", ["stop_from", "tif", "order_type"])
def test_a_choice_of_a_signal_that_there_is_not_is_refused(member):
    with pytest.raises(UnknownNameError, match=member):
        Signal([1], **{member: "close"})


def test_what_a_strategy_raises_is_named_with_its_parameters_and_kept_as_cause(one):
    def broken(bars, days=3):
        return 1 / 0

    with pytest.raises(StrategyError, match=r"broken\(days=5\) raised ZeroDivisionError") as caught:
        backtest(broken, one, {"days": 5})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_strategy_that_writes_into_the_bars_is_told_to_copy(one):
    def writes(bars):
        bars.close[0] = 1.0
        return bars.close > 0

    def unlocks(bars):
        bars.close.flags.writeable = True
        bars.close[0] = 1.0
        return bars.close > 0

    for function in (writes, unlocks):
        with pytest.raises(StrategyError, match=r"x\.copy\(\)"):
            backtest(function, one)
        one.close.flags.writeable = False


def test_a_frame_of_the_bars_is_the_strategys_own(one):
    def changes(bars):
        close = bars.frame("close")
        close.iloc[0] = 1.0
        return close > 11

    assert targets_of(changes, one) == [[0], [0], [1], [1]]
    assert one.close[0, 0] == 10


@pytest.mark.parametrize("given", [3, 1.5, "sma", object(), {"a": 1}])
def test_what_is_no_strategy_is_refused(one, given):
    with pytest.raises(StrategyError, match="a strategy, a function of bars or a target array is needed"):
        backtest(given, one)


# -- functions and parameters --------------------------------------------------------------------------------


def test_a_decorated_function_stays_callable_and_keeps_its_name_and_doc(one):
    @strategy(days=range(2, 5))
    def above(bars, days=2):
        """Above a number."""
        return bars.close > 8 + days

    assert above(one, days=3).tolist() == [[False], [False], [True], [True]]
    assert (above.name, above.__name__, above.__doc__) == ("above", "above", "Above a number.")
    assert above.grid == {"days": (2, 3, 4)}
    assert targets_of(above, one) == [[0], [1], [1], [1]]


def test_the_decorator_works_with_and_without_arguments():
    @strategy
    def bare(bars):
        return bars.close > 0

    @strategy(name="called", sizing=Sizing(allocation=0.5))
    def other(bars):
        return bars.close > 0

    assert isinstance(bare, Strategy)
    assert (other.name, other.sizing) == ("called", Sizing(allocation=0.5))


def test_the_sizing_of_the_idea_holds_unless_the_run_has_its_own(one):
    @strategy(sizing=Sizing.units(7))
    def idea(bars):
        return bars.close > 0

    assert backtest(idea, one).orders["quantity"].tolist() == [7]
    assert backtest(idea, one, sizing=Sizing.units(3)).orders["quantity"].tolist() == [3]


def test_parameters_are_checked_against_the_type_of_their_default(one):
    def idea(bars, days=3, level=0.5, kind="a", flag=True, anything=None):
        return bars.close > 0

    found = as_strategy(idea)
    assert found.params({"level": 1})["level"] == 1.0
    assert found.params({"days": np.int64(4)}) == found.defaults | {"days": 4}
    assert found.params({"anything": object})["anything"] is object
    for name, value in (
        ("days", 3.0),
        ("days", "3"),
        ("days", True),
        ("flag", 1),
        ("level", "x"),
        ("kind", 1),
    ):
        with pytest.raises(ParameterError, match=f"parameter '{name}' of idea got"):
            backtest(idea, one, {name: value})
    with pytest.raises(UnknownNameError, match="unknown parameter 'day'; did you mean 'days'"):
        backtest(idea, one, {"day": 3})


def test_a_function_must_take_bars_and_have_a_default_for_everything_else():
    for function, text in (
        (lambda: 1, "takes no argument"),
        (lambda bars, days: 1, "'days' of <lambda> has no default"),
        (lambda bars, *days: 1, r"takes \*days"),
        (lambda bars, **days: 1, "takes .*days"),
    ):
        with pytest.raises(StrategyError, match=text):
            Strategy(function)


CELL = """
@strategy(days=[1, 2])
def cell(bars, days={days}):
    levels = [8 + days for _ in range(1)]
    return bars.close > levels[0]
"""


def from_notebook(days=1):
    """Run a cell as a notebook does: the function has no file."""
    names = {"strategy": strategy}
    exec(compile(CELL.format(days=days), "<cell 7>", "exec"), names)
    return names["cell"]


def test_a_strategy_of_a_notebook_cell_runs(one):
    assert targets_of(from_notebook(), one) == [[1], [1], [1], [1]]
    assert targets_of(from_notebook(2), one) == [[0], [1], [1], [1]]


def test_the_same_cell_has_the_same_hash_and_another_has_another():
    assert from_notebook().source_hash == from_notebook().source_hash
    other = {"strategy": strategy}
    exec(compile(CELL.format(days=1).replace("8", "9"), "<cell 7>", "exec"), other)
    assert other["cell"].source_hash != from_notebook().source_hash


# -- grids ---------------------------------------------------------------------------------------------------


@strategy(fast=[5, 10, 20], slow=(10, 20), where="fast < slow")
def crossing(bars, fast=5, slow=20, level=0.5):
    return bars.close > 0


def test_a_grid_gives_every_complete_set_that_where_allows():
    assert list(crossing.parameter_sets()) == [
        {"fast": 5, "slow": 10, "level": 0.5},
        {"fast": 5, "slow": 20, "level": 0.5},
        {"fast": 10, "slow": 20, "level": 0.5},
    ]
    assert crossing.allows({"fast": 10, "slow": 20, "level": 0.5})
    assert not crossing.allows({"fast": 20, "slow": 20, "level": 0.5})


def test_a_grid_can_be_given_instead_of_the_default_one():
    assert [p["level"] for p in crossing.parameter_sets({"level": [0, 1.5]})] == [0.0, 1.5]
    assert [p["fast"] for p in crossing.parameter_sets({"fast": [1, 30]}, where="fast > slow")] == [30]
    given = crossing.parameter_sets({"fast": [1, 2, 3]}, where=lambda fast, slow, level: fast % 2 == 1)
    assert [p["fast"] for p in given] == [1, 3]


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("fast < slow and fast > 5", 1),
        ("fast < slow or slow == 10", 5),
        ("not fast < slow", 3),
        ("fast * 2 <= slow", 3),
        ("5 < fast <= slow - 0", 3),
        ("slow - fast >= -10 and slow // 2 != 5", 3),
        ("fast + slow > 25", 3),
        ("fast % 2 == 1", 2),
        ("slow / fast == 2.0", 2),
        ("True", 6),
    ],
)
def test_where_understands_comparisons_logic_and_arithmetic(where, count):
    assert len(list(crossing.parameter_sets(where=where))) == count


@pytest.mark.parametrize(
    ("where", "error", "text"),
    [
        ("fast <", ParameterError, "is not an expression"),
        ("fats < slow", UnknownNameError, "did you mean 'fast'"),
        ("__import__('os').getcwd()", UnknownNameError, "__import__"),
        ("fast.real < slow", ParameterError, "fast.real"),
        ("[fast][0] < slow", ParameterError, "are allowed"),
        ("(lambda: fast)() < slow", ParameterError, "are allowed"),
        ("fast ** 9 < slow", ParameterError, "are allowed"),
        ("fast < (slow if slow else 3)", ParameterError, "are allowed"),
    ],
)
def test_where_runs_no_code(where, error, text):
    with pytest.raises(error, match=text):
        list(crossing.parameter_sets(where=where))


def test_a_grid_of_the_wrong_name_or_type_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'fast'"):
        strategy(fats=[1])(lambda bars, fast=1: 1)
    with pytest.raises(ParameterError, match=r"got 1\.5"):
        strategy(fast=[1, 1.5])(lambda bars, fast=1: 1)
    with pytest.raises(ParameterError, match="got '5'"):
        list(crossing.parameter_sets({"fast": ["5"]}))
