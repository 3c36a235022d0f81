"""Diagnostics: each speaks with the numbers that a hand gives, or is silent where there is nothing to say."""

from __future__ import annotations

import dataclasses
import math
import pickle

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from made_bars import make_bars
from oracle.diagnostics import EVERY, found, run

from quantlab.costs import Costs
from quantlab.engine import diagnostics as d
from quantlab.engine.breakeven import break_even
from quantlab.report import read_result, render
from quantlab.report.diagnostics import MAX_ROWS
from quantlab.research import record
from quantlab.sizing import Account, Sizing
from quantlab.strategy import strategy

approx = pytest.approx

# -- what one is -----------------------------------------------------------------------------------------


def test_a_diagnostic_says_its_text_and_writes_itself_down():
    rows = pd.DataFrame({"n": range(d.LISTED + 7)})
    one = d.Diagnostic("few_trades", d.WARNING, "3 trades say little.", rows)
    assert repr(one) == "warning: 3 trades say little. [few_trades]"
    written = one.describe()
    assert (written["name"], written["severity"], written["n_rows"]) == ("few_trades", "warning", len(rows))
    assert written["evidence"] == [{"n": n} for n in range(d.LISTED)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.text = "nothing"


def test_where_there_is_nothing_to_say_the_list_is_empty():
    """Sixty small trades that all earn a little, in bars with range and volume, without costs."""
    n = 121
    prices = {"A": [(10 + t, 11 + t) for t in range(n)]}
    result = run(
        prices, np.tile([1.0, 0.0], 61)[:n], high={"A": np.arange(n) + 12.0}, low={"A": np.arange(n) + 9}
    )
    assert result.stats["n_trades"] == 60
    assert result.diagnostics == []


def test_warnings_come_first():
    result = run(
        {"A": [10.0] * 20}, EVERY, costs=Costs.percent(0.01), sizing=Sizing(), volume={"A": [1.0] * 20}
    )
    kinds = [each.severity for each in result.diagnostics]
    assert set(kinds) == {"warning", "info"}
    assert kinds == sorted(kinds, reverse=True)


# -- what the result hangs on ------------------------------------------------------------------------------


def gains(*steps):
    """In at every other bar: one trade of 10 units for each step of the price, in order."""
    prices, at = [100.0], 100.0
    for step in steps:
        prices += [at, at + step]
        at += step
    return run({"A": [*prices, at]}, [*[1.0, 0.0] * len(steps), 0.0, 0.0], cash=10_000)


def test_a_result_that_one_trade_makes_says_which():
    result = gains(-1, 4, -2)
    assert result.trades["pnl"].tolist() == approx([-10, 40, -20])
    said = found(result, "one_trade")
    assert said.severity == "warning"
    assert said.text.startswith("Without its best trade of 3 (A, from 2024-01-05) the run earns -30.00")
    assert said.evidence[["pnl", "profit", "profit_without"]].to_numpy().tolist() == [[40, 10, -30]]


def test_a_result_of_which_one_trade_makes_more_than_half_is_told():
    assert found(gains(1, 3, 1), "one_trade").severity == "info"
    assert found(gains(2, 2), "one_trade") is None  # half remains
    assert found(gains(-1, -2), "one_trade") is None
    assert found(gains(3), "one_trade") is None  # it says itself that there is but one


MONTHS = pd.period_range("2024-01", periods=14, freq="M")


def monthly(growths):
    """Hold everything; one bar at the middle of each month, each of which grows by so much."""
    price = 100 * np.cumprod([1.0, *growths])
    days = [(m.to_timestamp() - pd.Timestamp(0)).days + 14 for m in MONTHS[: len(price)]]
    # Fractions, bought at the first month's close: each later month returns what the price did.
    sizing = Sizing(whole_units=False)
    return run({"A": list(price)}, np.ones(len(price)), days=days, sizing=sizing, fill="close")


def test_a_result_that_one_month_makes_says_which():
    said = found(monthly([0.99, 1.5, *[0.99] * 11]), "one_month")
    total, left = 1.5 * 0.99**12 - 1, 0.99**12 - 1
    assert said.severity == "warning"
    assert said.text == (
        f"Without its best month of 14 (2024-03, +50.0%) the total return is {left:+.1%} instead of {total:+.1%}."
    )
    assert said.evidence["without"].tolist() == [approx(left)]


def test_a_result_that_many_months_make_hangs_on_none():
    assert found(monthly([1.02] * 13), "one_month") is None
    assert found(monthly([0.98] * 13), "one_month") is None
    assert (
        found(monthly([1.5, 0.99, 0.99]), "one_month") is None
    )  # of four months, one is always a large part
    assert found(monthly([1.2, *[1.01] * 12]), "one_month").severity == "info"


# -- costs -----------------------------------------------------------------------------------------------


def rising(rate, growth=1.01, n_trades=20):
    prices = list(100 * growth ** np.arange(2 * n_trades + 1))
    options = {"costs": Costs.percent(rate), "sizing": Sizing(whole_units=False, price="fill")}
    return run({"A": prices}, [*[1.0, 0.0] * n_trades, 0.0], **options)


def break_even_by_hand(rate, growth):
    """Multiple m at which a round trip returns nothing: growth x (1 - m rate) = 1 + m rate."""
    return (growth - 1) / (growth + 1) / rate


@pytest.mark.parametrize(("rate", "severity"), [(0.0005, "info"), (0.003, "warning"), (0.006, "warning")])
def test_the_break_even_multiple_is_where_a_round_trip_earns_nothing(rate, severity):
    result = rising(rate)
    said = found(result, "cost_break_even")
    wanted = break_even_by_hand(rate, 1.01)
    assert said.severity == severity
    rows = said.evidence
    assert rows["cost_multiple"].is_monotonic_increasing
    last_gain = rows["cost_multiple"][rows["total_return"] > 0].max()
    first_loss = rows["cost_multiple"][rows["total_return"] <= 0].min()
    assert last_gain <= wanted <= first_loss <= last_gain + 0.01
    assert ("ate the profit" in said.text) == (wanted < 1.0)
    assert f"{first_loss:.3g}" in said.text or f"{first_loss:.2f}" in said.text
    assert rows["total_return"][rows["cost_multiple"] == 1.0].tolist() == [result.stats["total_return"]]


def test_costs_that_may_rise_a_hundredfold_and_losses_without_any_are_told_apart():
    assert found(rising(0.00001), "cost_break_even").text.startswith("The run earns something at 100 times")
    loser = found(rising(0.001, growth=0.99), "cost_break_even")
    assert loser.severity == "info"
    assert loser.text.startswith("Costs are not to blame: without any the total return is -18.")


def test_without_costs_there_is_no_break_even_and_a_long_run_says_that_it_is_not_looked_for(monkeypatch):
    assert found(rising(0.0), "cost_break_even") is None
    monkeypatch.setattr(d, "COST_LIMIT", 40)
    said = found(rising(0.001), "cost_break_even")
    assert said.text.startswith("How far costs may rise is not looked for: 41 bars x assets")
    monkeypatch.setattr(d, "COST_LIMIT", 41)
    assert "not looked for" not in found(rising(0.001), "cost_break_even").text


def test_a_break_even_is_found_within_its_tolerance_in_few_steps():
    asked = []
    at = break_even(lambda x: asked.append(x) or 3.21 - x, 100.0)
    assert 3.21 <= at <= 3.22
    assert len(asked) == 16
    assert break_even(lambda x: -1.0, 100.0) == break_even(lambda x: math.nan, 100.0) == 0.0
    assert break_even(lambda x: 1.0, 100.0) == math.inf


# -- trades and orders -----------------------------------------------------------------------------------


def in_and_out(n_trades):
    n = 2 * n_trades + 1
    return {"A": [10.0] * n}, np.tile([1.0, 0.0], n_trades + 1)[:n]


def with_parameters(target, n_parameters, **grid):
    defaults = ", ".join(f"p{k}=1" for k in range(n_parameters))
    space = {}
    exec(f"def idea(bars, {defaults}): return target", {"target": target}, space)
    return strategy(**grid)(space["idea"])


@pytest.mark.parametrize(("n_trades", "fires"), [(0, True), (1, True), (29, True), (30, False)])
def test_fewer_than_thirty_trades_are_few(n_trades, fires):
    said = found(run(*in_and_out(n_trades)), "few_trades")
    assert (said is not None) is fires
    if fires:
        assert said.text == (
            f"{n_trades} closed trade{'s say' if n_trades != 1 else ' says'} little: 30 at least are wanted."
        )
        assert said.evidence["n_trades"].tolist() == [n_trades]


@pytest.mark.parametrize(("n_trades", "fires"), [(39, True), (40, False)])
def test_ten_trades_are_wanted_for_each_parameter(n_trades, fires):
    prices, target = in_and_out(n_trades)
    said = found(run(prices, with_parameters(target, 4)), "few_trades")
    assert (said is not None) is fires
    if fires:
        assert "30 at least, and 10 for each of 4 parameters, are wanted." in said.text
        assert said.evidence[["n_wanted", "n_parameters"]].to_numpy().tolist() == [[40, 4]]


def test_parameters_that_a_grid_leaves_alone_are_not_free():
    prices, target = in_and_out(35)
    assert found(run(prices, with_parameters(target, 4)), "few_trades") is not None
    assert found(run(prices, with_parameters(target, 4, p1=[1, 2], p3=[1, 2])), "few_trades") is None


def test_the_ledger_tells_how_many_sets_were_tried_on_the_same_bars(tmp_path, monkeypatch):
    (tmp_path / "quantlab.toml").touch()
    monkeypatch.chdir(tmp_path)
    bars = make_bars(60, ("A",))
    idea = strategy(lambda bars, p=1: bars.close > 40 + p)
    for p in range(3):
        result = record.backtest(idea, bars, {"p": p})
    record.backtest(idea, make_bars(60, ("A",), seed=1))
    kept = cloudpickle.loads(cloudpickle.dumps(result))
    for each in (result, kept):
        said = found(each, "few_trades")
        assert said.text.endswith("Parameter sets tried on these bars: 3.")
        assert said.evidence["n_tried"].tolist() == [3]


def test_a_ledger_that_cannot_be_read_leaves_the_diagnostics_whole(tmp_path, monkeypatch):
    (tmp_path / "quantlab.toml").touch()
    monkeypatch.chdir(tmp_path)
    result = record.backtest(np.ones(60), make_bars(60, ("A",)))
    place = result.count_trials.args[0]
    record.ledger_at(place).close()
    place.write_bytes(b"no ledger at all" * 100)
    with pytest.warns(UserWarning, match="not counted"):
        assert "tried" not in found(result, "few_trades").text


def test_outside_a_project_nobody_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = record.backtest(np.ones(60), make_bars(60, ("A",)))
    assert result.count_trials is None
    assert "tried" not in found(result, "few_trades").text
    assert pickle.loads(pickle.dumps(result.count_trials)) is None


def test_a_result_of_which_many_orders_were_rejected_says_so():
    prices = {"A": [10.0] * 20}
    short = np.where(np.arange(20) % 8 == 0, -1.0, EVERY)  # three of the ten entries would sell short
    cash = run(prices, short, account=Account.cash())
    said = found(cash, "rejected")
    n_orders = len(cash.orders)
    assert said.severity == "warning"
    assert said.text.startswith(f"3 of {n_orders} orders ({3 / n_orders:.1%}) were rejected")
    assert said.evidence["reason"].unique().tolist() == ["short sale on a cash account"]
    assert found(run(prices, short), "rejected") is None


# -- where they are shown ------------------------------------------------------------------------------

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def evil():
    """A run that says much, of an asset whose name is a script."""
    n = 200
    return run(
        {EVIL: [10.0 + t % 2 for t in range(n)]},
        np.tile([1.0, 0.0], n // 2),
        volume={EVIL: [20.0, 20.0, 0.0, *[20.0] * (n - 3)]},
        costs=Costs.percent(0.001),
    )


def test_the_page_shows_every_diagnostic_with_its_rows_escaped(evil):
    page = render(evil.content())
    section = page.partition(">Diagnostics</h2>")[2].partition("</section>")[0]
    assert section.count("<details>") == len(evil.diagnostics) >= 3
    assert EVIL not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in section
    for name in ("participation", "few_trades"):
        assert (f"Evidence: {name}" in section) == (found(evil, name) is not None)
    rows = found(evil, "participation").evidence
    assert f"The first {MAX_ROWS} of {len(rows)} rows." in section
    assert section.count("<tr>") < 4 * MAX_ROWS


def test_a_page_without_diagnostics_has_no_section_for_them(evil):
    page = render(dataclasses.replace(evil.content(), diagnostics=()))
    assert "Diagnostics</h2>" not in page


def test_diagnostics_do_not_change_what_a_report_carries(evil):
    plain = render(dataclasses.replace(evil.content(), diagnostics=()))
    assert read_result(plain) == read_result(render(evil.content()))


def test_a_notebook_shows_them_escaped(evil):
    html = evil._repr_html_()
    assert "[participation]</li>" in html
    assert "<img" not in html


def test_a_result_that_is_not_asked_makes_none(evil, monkeypatch):
    monkeypatch.setattr("quantlab.engine.checks.diagnose", lambda result: pytest.fail("nobody asked"))
    result = run({"A": [10.0] * 20}, EVERY)
    assert repr(result)
    assert len(result.fills) == 19
    assert result.notes
