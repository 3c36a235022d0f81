"""What a backtest hands back: frames, fingerprint, windows, benchmarks, notes and how it shows itself."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from oracle.cases import hand_bars

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.kernels.stats import STATS
from quantlab.model import Instrument
from quantlab.sizing import Account, Sizing
from quantlab.strategy import strategy

approx = pytest.approx

RISING = {"A": [10, 11, 12, 13, 14, 15], "B": [20, 20, 20, 20, 20, 20]}


@strategy
def above(bars, level=0.0):
    return bars.close > level


@pytest.fixture
def bars():
    return hand_bars(RISING)


@pytest.fixture
def result(bars):
    return backtest(above, bars, costs=Costs.zero())


# -- frames --------------------------------------------------------------------------------------------------


def test_series_and_frames_have_the_labels_of_the_bars(bars, result):
    for series in (
        result.equity,
        result.returns,
        result.drawdown,
        result.benchmark,
        result.exposure,
        result.cash,
    ):
        assert series.index.equals(bars.index)
    for frame in (result.positions, result.targets):
        assert frame.index.equals(bars.index)
        assert frame.columns.tolist() == ["A", "B"]


def test_records_have_their_columns_even_when_they_are_empty(bars, result):
    flat = backtest(np.zeros((6, 2)), bars)
    for name in ("orders", "fills", "trades"):
        empty, full = getattr(flat, name), getattr(result, name)
        assert len(empty) == 0 < len(full)
        assert empty.columns.tolist() == full.columns.tolist()


def test_statistics_have_every_name_of_the_design(result):
    assert set(result.stats.index) == {*STATS, "var_95", "cvar_95"}
    assert result.stats.dtype == float
    assert result.stats.name == "above"


def test_frames_are_made_once_and_are_safe_to_ask_for_in_any_order(bars):
    result = backtest(above, bars)
    cash = result.cash.tolist()
    assert result.equity is result.equity
    assert result.trades is result.trades
    assert result.cash.tolist() == cash


def test_exposure_is_gross_value_over_equity():
    bars = hand_bars({"A": [10, 10, 12], "B": [10, 10, 10]})
    result = backtest(np.array([[1, -1]] * 3), bars, cash=1000, costs=Costs.zero())
    assert result.exposure.tolist() == [0, 1, approx((50 * 12 + 500) / 1100)]
    assert result.stats["exposure"] == approx(result.exposure.mean())


def test_changing_the_target_afterwards_does_not_change_the_result(bars):
    target = np.ones((6, 2))
    result = backtest(target, bars, costs=Costs.zero())
    untouched = backtest(np.ones((6, 2)), bars, costs=Costs.zero())
    target[:] = 0
    assert result.cash.tolist() == untouched.cash.tolist()
    assert result.targets.equals(untouched.targets)
    assert result.fingerprint == untouched.fingerprint


# -- fingerprint ---------------------------------------------------------------------------------------------


def test_the_same_run_has_the_same_fingerprint(bars):
    first, again = (backtest(above, hand_bars(RISING), {"level": 1.0}).fingerprint for _ in range(2))
    assert first == again
    assert set(first) == {"strategy", "parameters", "data", "settings", "digest"}


CHANGES = {
    "cash": {"cash": 5},
    "costs": {"costs": Costs.zero()},
    "sizing": {"sizing": Sizing(allocation=0.5)},
    "account": {"account": Account.cash()},
    "fill": {"fill": "close"},
    "start": {"start": "2024-01-03"},
    "end": {"end": "2024-01-05"},
    "benchmark": {"benchmark": "A"},
    "benchmark of other prices": {"benchmark": [1, 2, 3, 4, 5, 6]},
    "risk_free": {"risk_free": 0.02},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_changes_the_settings_and_nothing_else(bars, name):
    plain, other = backtest(above, bars).fingerprint, backtest(above, bars, **CHANGES[name]).fingerprint
    changed = {k for k in plain if plain[k] != other[k]}
    assert changed == {"settings", "digest"}


def test_other_benchmark_prices_are_another_fingerprint(bars):
    one, other = (
        backtest(above, bars, benchmark=p).fingerprint for p in ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])
    )
    assert one["settings"] != other["settings"]


def test_parameters_data_and_strategy_change_their_own_part(bars):
    plain = backtest(above, bars).fingerprint
    changed = {
        "parameters": backtest(above, bars, {"level": 12.0}).fingerprint,
        "data": backtest(above, hand_bars({**RISING, "B": [20, 20, 20, 20, 20, 21]})).fingerprint,
        "strategy": backtest(np.ones((6, 2)), bars).fingerprint,
    }
    for part, other in changed.items():
        differs = {k for k in plain if plain[k] != other[k]}
        assert part in differs
        assert differs <= {part, "digest", "parameters"}
    named = dataclasses.replace(bars, member=np.array([[True, True]] * 5 + [[True, False]]))
    assert backtest(above, named).fingerprint["data"] != plain["data"]


def test_options_that_say_the_default_are_the_default(bars):
    plain = backtest(above, bars).fingerprint
    said = backtest(
        above, bars, {"level": 0.0}, cash=100_000.0, costs=Costs.default(), sizing=Sizing(),
        account=Account.margin(), fill="next_open", strict=True,
    )  # fmt: skip
    assert said.fingerprint == plain


def test_settings_are_json_and_enough_to_run_again(bars):
    options = {
        "costs": Costs.per_share(0.01, minimum=1, slippage_bps=2),
        "sizing": Sizing(rebalance=0.1),
        "account": Account.cash(0.05),
        "fill": "next_close",
        "start": "2024-01-03",
    }
    result = backtest(above, bars, **options)
    told = json.loads(json.dumps(result.settings))
    again = backtest(
        above, bars, cash=told["cash"], costs=Costs.from_description(told["costs"]), sizing=Sizing(**told["sizing"]),
        account=Account(**told["account"]), fill=told["fill"], start=told["start"], end=told["end"],
        risk_free=told["risk_free"],
    )  # fmt: skip
    assert again.equity.tolist() == result.equity.tolist()
    assert again.fingerprint == result.fingerprint


# -- windows -------------------------------------------------------------------------------------------------


def test_a_strategy_sees_its_warm_up_before_the_start_and_nothing_after_the_end(bars):
    seen = []

    def spy(bars):
        seen.append(bars.index)
        return bars.close > 0

    result = backtest(spy, bars, start="2024-01-04", end="2024-01-06")
    assert (seen[0][0], seen[0][-1]) == (bars.index[0], pd.Timestamp("2024-01-06"))
    assert result.bars.index.tolist() == bars.index[2:5].tolist()
    assert result.equity.index.equals(bars.index[2:5])
    # The first decision is that of the first bar simulated, whatever the target was before.
    assert result.orders["time"].iloc[0] == bars.index[2]


def test_a_window_is_the_run_on_those_bars_with_that_target(bars):
    target = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, -1], [0, 1]])
    whole = backtest(target, bars, start="2024-01-04", end="2024-01-06")
    part = backtest(target[2:5], bars.between("2024-01-04", "2024-01-06"))
    assert whole.equity.tolist() == part.equity.tolist()
    assert whole.stats.equals(part.stats)


def test_an_asset_that_only_pauses_at_the_end_of_the_window_is_not_delisted():
    bars = hand_bars({"A": [10, 10, None, 10], "B": [1, 1, 1, 1]})
    result = backtest(above, bars, end="2024-01-04", costs=Costs.zero())
    assert result.trades["open"].all()
    assert not any("data ended" in note for note in result.notes)


# -- benchmarks ----------------------------------------------------------------------------------------------


def test_the_benchmark_is_equal_money_in_every_asset_bought_at_its_first_close(bars, result):
    # 50 in A at 10 becomes 75; B stands still.
    assert result.benchmark.tolist() == approx([100_000 * (0.5 * c / 10 + 0.5) for c in RISING["A"]])
    assert result.stats["buy_hold_return"] == approx(0.25)


def test_an_asset_that_is_listed_late_is_cash_before(bars):
    late = hand_bars({"A": [None, None, 10, 20], "B": [10, 10, 10, 10]})
    assert backtest(np.zeros((4, 2)), late, cash=100).benchmark.tolist() == approx([100, 100, 100, 150])


def test_a_benchmark_can_be_a_symbol_bars_a_series_or_prices(bars):
    for given in ("A", bars["A"], bars.frame("close")["A"], RISING["A"], np.array(RISING["A"], float)):
        result = backtest(above, bars, benchmark=given)
        assert result.stats["buy_hold_return"] == approx(0.5)
        assert result.benchmark.tolist() == approx([100_000 * c / 10 for c in RISING["A"]])


def test_a_benchmark_with_other_times_counts_with_its_last_known_price(bars):
    weekly = hand_bars({"SPY": [100, 110, 121]}, days=[19_724, 19_726, 19_729])
    result = backtest(above, bars, benchmark=weekly)
    assert result.benchmark.tolist() == approx([100_000 * x for x in (1, 1, 1.1, 1.1, 1.1, 1.21)])
    series = pd.Series([100, 110], index=bars.index[[1, 3]])
    assert backtest(above, bars, benchmark=series).benchmark.tolist() == approx(
        [100_000 * x for x in (1, 1, 1, 1.1, 1.1, 1.1)]
    )


def test_alpha_and_beta_are_those_of_a_line_through_the_returns(bars):
    rng = np.random.default_rng(3)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 40)))
    market = hand_bars({"A": list(prices)})
    held = backtest(
        np.full(40, 0.5), market, costs=Costs.zero(), sizing=Sizing(rebalance="every_bar", whole_units=False)
    )
    # Half invested, from the second bar on.
    x, y = held.benchmark.pct_change().fillna(0.0), held.returns
    slope, intercept = np.polyfit(x, y, 1)
    assert held.stats["beta"] == approx(slope)
    assert held.stats["alpha"] == approx(intercept * 252)


def test_a_benchmark_that_does_not_move_has_no_beta():
    flat = hand_bars({s: [10.0, 10, 10, 10] for s in "ABC"})
    moving = backtest(np.ones((4, 3)), flat, costs=Costs.percent(0.01))
    assert math.isnan(moving.stats["beta"])
    assert math.isnan(moving.stats["alpha"])


def test_a_run_that_never_loses_has_no_sortino():
    prices = {"A": [100, 100, 100.3, 100.3, 100.7, 100.7, 100.7, 101.1]}
    result = backtest(np.ones(8), hand_bars(prices), cash=5009, costs=Costs.zero())
    assert (result.equity.diff().dropna() >= 0).all()
    assert math.isnan(result.stats["sortino"])


def test_a_benchmark_of_late_listings_that_do_not_move_has_no_beta():
    """A third of the money three times is one less a rounding error, which is no return."""
    prices = {
        "A": [None, None, 5.36, 5.36, 5.36, 5.36],
        "B": [None, None, None, 110.46, 110.46, 110.46],
        "C": [None, None, None, 10.33, 10.33, 10.33],
    }
    result = backtest(np.ones((6, 3)), hand_bars(prices), costs=Costs.percent(0.01))
    assert abs(result.stats["buy_hold_return"]) < 1e-12
    assert math.isnan(result.stats["beta"])


def test_a_trade_that_breaks_even_but_for_rounding_is_neither_won_nor_lost():
    """Two sales of parts of 69.3 units at the price they were bought at sum to it within 1e-13."""
    for price in (10.1, 9.7, 3.3, 12.34):
        bars = hand_bars({"A": [price] * 8})
        target = np.array([0.7, 0.7, 0.1, 0.1, 0, 0, 0, 0])
        stats = backtest(target, bars, cash=1000, costs=Costs.zero(), sizing=Sizing(whole_units=False)).stats
        assert stats["n_trades"] == 1
        assert stats["win_rate"] == 0
        assert math.isnan(stats["profit_factor"])
        assert stats[["sharpe", "sortino", "sqn"]].isna().all()
        assert stats["max_drawdown_bars"] == 0


# -- notes and looks -----------------------------------------------------------------------------------------


def test_notes_say_what_makes_a_number_doubtful(bars):
    def notes(**options):
        return " ".join(backtest(above, bars, **options).notes)

    assert "No cost was charged at all" in notes(costs=Costs.zero())
    assert "No cost was charged at all" not in notes()
    assert "cannot be traded live" in notes(fill="close")
    assert "not known when an order is sent" in notes(sizing=Sizing(price="fill"))
    assert "rejected or cut: short sale" in " ".join(
        backtest(-np.ones((6, 2)), bars, account=Account.cash()).notes
    )


def test_a_result_shows_itself_in_one_line_and_as_a_table(result):
    assert repr(result).startswith("Result(above: ")
    html = result._repr_html_()
    assert "<th>sharpe</th>" in html
    assert "No cost was charged" in html


def test_names_are_escaped_where_a_browser_reads_them(bars):
    named = strategy(name="<script>alert(1)</script>")(above.function)
    html = backtest(named, bars)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_ruined_run_shows_and_reports(tmp_path):
    bars = hand_bars({"A": [10.0, 10, 25, 30]})
    result = backtest(-np.ones(4), bars, costs=Costs.zero(), benchmark="A")
    assert len(result.benchmark) == len(result.equity) == 3
    assert result.stats["buy_hold_return"] == approx(1.5)
    assert "ruin" in result._repr_html_().lower()
    assert result.report(tmp_path / "ruin.html").stat().st_size > 1000


def test_a_contract_that_equity_cannot_carry_is_not_left_out_in_silence():
    future = Instrument("ES", "FUT", multiplier=50.0)
    bars = hand_bars({"ES": [5000, 5000, 5000]}, instruments=[future])
    result = backtest(np.ones((3, 1)), bars, cash=100_000, costs=Costs.zero(), sizing=Sizing.units(1))
    assert result.orders.empty
    assert any("cut to nothing by max_leverage=1" in note for note in result.notes)
