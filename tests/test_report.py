"""The report says what it was given, what it carries reads back exactly, and nothing in it runs."""

from __future__ import annotations

import base64
import json
import math
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_content import CASH, random_content

from quantlab.errors import DataError, UnknownNameError
from quantlab.kernels.stats import STATS
from quantlab.report import content_to_data, first_difference, overview, read_result, render
from quantlab.report import figures as fig
from quantlab.report.content import ReportContent
from quantlab.report.decimate import thin
from quantlab.report.page import describe
from quantlab.report.palette import PALETTE
from quantlab.report.record import ELEMENT, MAX_BARS, MAX_ROWS, data_to_json, script_element
from quantlab.report.statistics import COST_KEYS, STATISTICS, format_value, statistics_page
from quantlab.report.trades import MAX_ASSETS, asset_order, price

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&quot;\u2028"


def numbers(array: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["bdata"]), "<f8")


# -- the table of statistics ---------------------------------------------------------------------------


def test_every_statistic_of_the_engine_has_a_convention_and_none_is_left_over():
    assert set(STATISTICS) == {*STATS, "var_95", "cvar_95"}
    for statistic in STATISTICS.values():
        assert statistic.convention.endswith("."), statistic.key


def test_the_page_of_statistics_is_up_to_date(project: Path):
    assert (project / "docs" / "statistics.md").read_text(encoding="utf-8") == statistics_page()


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.12345, "percent", "12.35%"),
        (-0.5, "percent", "−50.00%"),
        (-1e-9, "percent", "0.00%"),
        (1234.5, "percent", "123,450%"),
        (-1204.5, "money", "−1,204.50"),
        (46.0, "count", "46"),
        (19.84, "bars", "19.8"),
        (412.0, "bars", "412"),
        (1.005, "ratio", "1.00"),
        (math.nan, "percent", "–"),
        (math.inf, "ratio", "∞"),
        (-math.inf, "money", "−∞"),
    ],
)
def test_a_value_is_shown_for_its_unit(value, unit, shown):
    assert format_value(value, unit) == shown


# -- what a report says --------------------------------------------------------------------------------


def test_the_page_shows_each_statistic_with_its_exact_value_and_its_convention():
    content = random_content(400)
    page = render(content)
    for key, value in content.stats.items():
        known = STATISTICS[key]
        assert f'<data value="{value!r}">{format_value(value, known.unit)}</data>' in page, key
        assert known.label in page, key
    for convention in ("Mean pnl of a closed trade, after its costs.", "Final equity / starting cash − 1."):
        assert convention in page


def test_the_line_under_the_title_says_what_was_run():
    content = random_content(400, ("A", "B", "C", "D", "E", "F"))
    said = describe(content)
    assert said == (
        "fast=20, slow=100 · A, B, C, D and 2 more · 19 Aug 2004 to 1 Mar 2006 · 400 bars · 252 bars a year"
    )
    assert said in render(content)
    assert "what I ran" in render(random_content(30, subtitle="what I ran"))


def test_notes_come_before_every_number():
    page = render(random_content(60, notes=["Filled at the close <of> the signal's bar."]))
    body = page[page.index("<body>") :]
    assert body.index("Filled at the close &lt;of&gt; the signal&#x27;s bar.") < body.index("<data ")
    assert "Read this first" not in render(random_content(60))


def test_costs_are_shown_in_money_and_as_shares_of_cash_and_of_profit_before_costs():
    costs = dict.fromkeys(COST_KEYS, 0.0) | {"commission": 300.0, "slippage": 100.0}
    content = random_content(60)
    equity = content.equity * (101_600.0 / content.equity.iloc[-1])
    content = random_content(60, costs=costs, equity=equity)
    assert content.total_cost == 400.0
    assert content.profit_before_costs == pytest.approx(2000.0)
    table = render(content)
    table = re.sub(
        r"<[^>]+>", " ", table[table.index('<table class="costs">') : table.index("Profit before costs =")]
    )
    words = " ".join(table.split())
    assert "300.00 0.30% 15.00%" in words
    assert words.endswith("All costs 400.00 0.40% 20.00%")


def test_settings_are_shown_in_lines_with_tables_by_name_and_in_full():
    rows = [{"start": "2020-01-01", "rate": 2.21e-05}]
    page = render(
        random_content(
            20, settings={"fees": {"sec": {"name": "SEC section 31", "rows": rows}}, "whole": True}
        )
    )
    body = page[page.index("<main>") :]
    assert '<th scope="row" class="key">fees.sec</th><td>SEC section 31</td>' in body
    assert '<th scope="row" class="key">whole</th><td>yes</td>' in body
    assert "&quot;rate&quot;: 2.21e-05" in body


def test_the_benchmark_keeps_its_capitals_only_where_it_is_a_symbol():
    assert random_content(5, benchmark_name="Buy and hold").benchmark_inline == "buy and hold"
    assert random_content(5, benchmark_name="SPY held").benchmark_inline == "SPY held"


def test_without_a_profit_before_costs_its_share_is_a_dash():
    content = random_content(60)
    page = render(random_content(60, equity=content.equity * 0.5))
    assert "no profit before costs" in page


def test_interest_earned_is_a_negative_cost_and_is_drawn():
    content = random_content(
        60, costs=dict.fromkeys(COST_KEYS, 0.0) | {"interest": -50.0, "commission": 10.0}
    )
    assert content.total_cost == -40.0
    drawing = fig.costs(content)
    assert drawing.spec["data"][0]["x"] == [-50.0, 10.0]
    low, high = drawing.spec["layout"]["xaxis"]["range"]
    assert low < -50.0
    assert high > 10.0


@pytest.mark.parametrize("n_bars", [1, 2, 3, 30])
def test_short_runs_make_a_page(n_bars):
    content = random_content(n_bars)
    assert first_difference(read_result(render(content)), content_to_data(content)) is None


def test_a_run_without_trades_and_without_costs_makes_a_page():
    content = random_content(50)
    content = random_content(
        50, trades=content.trades.iloc[:0], fills=content.fills.iloc[:0], costs=dict.fromkeys(COST_KEYS, 0.0)
    )
    page = render(content)
    assert "There was no trade." in page
    assert "No cost was charged." in page


def test_a_ruined_run_makes_a_page_without_a_log_scale():
    content = random_content(50)
    equity = content.equity.copy()
    equity.iloc[-1] = -500.0
    exposure = content.exposure.copy()
    exposure.iloc[-1] = math.nan
    page = render(random_content(50, equity=equity, exposure=exposure))
    assert 'id="log"' not in page
    assert 'id="log"' in render(content)


def test_open_trades_have_no_exit_marker():
    content = random_content(60)
    trades = content.trades.iloc[[0, 0]].reset_index(drop=True)
    trades["open"] = [False, True]
    marks = [
        t
        for t in price(random_content(60, trades=trades), "AAPL").spec["data"]
        if t["mode" if "mode" in t else "type"] == "markers"
    ]
    assert [(t["name"], len(t["x"])) for t in marks] == [
        ("Won" if trades["pnl"][0] > 0 else "Lost", 2),
        ("Open", 1),
    ]


def test_equal_content_gives_equal_text():
    assert render(random_content(200)) == render(random_content(200))


# -- nothing from outside runs -------------------------------------------------------------------------


def test_text_from_outside_is_escaped_wherever_it_appears():
    page = render(
        random_content(
            120,
            (EVIL, "MSFT"),
            title=EVIL,
            notes=[EVIL],
            currency=EVIL,
            benchmark_name=EVIL,
            settings={EVIL: {"inner": EVIL}, "list": [EVIL]},
            fingerprint={EVIL: EVIL},
        )
    )
    library = max(re.findall(r"<script>.*?</script>", page, re.DOTALL), key=len)
    own = page.replace(library, "")
    assert "<script>alert" not in own
    assert "<img" not in own
    assert own.count("<script") == own.count("</script>") == 3
    assert read_result(page)["title"] == EVIL


def test_the_page_makes_no_request_and_allows_only_its_own_scripts():
    page = render(random_content(60))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert policy[1].count("'sha256-") == 2
    assert "unsafe-eval" not in policy[1]
    library = max(re.findall(r"<script>.*?</script>", page, re.DOTALL), key=len)
    own = page.replace(library, "")
    assert not re.search(r"https?://|\bsrc=|\bhref=|url\(|@import", own)


# -- what a report carries -----------------------------------------------------------------------------


def test_what_is_carried_reads_back_to_the_last_bit():
    stats = {
        "sharpe": 0.1 + 0.2,
        "profit_factor": math.inf,
        "win_rate": math.nan,
        "calmar": -math.inf,
        "alpha": 5e-324,
    }
    content = random_content(
        300, stats=stats, settings={"risk_free": math.nan, "n": 10**18, "none": None, "yes": True}
    )
    data = read_result(render(content))
    assert first_difference(data, content_to_data(content), list(data)) is None
    assert data["stats"]["sharpe"] == 0.1 + 0.2
    assert data["stats"]["profit_factor"] == math.inf
    assert math.isnan(data["stats"]["win_rate"])
    assert data["stats"]["alpha"] == 5e-324
    assert data["settings"]["n"] == 10**18
    assert data["equity"]["values"] == content.equity.tolist()
    assert data["trades"]["columns"]["pnl"] == content.trades["pnl"].tolist()
    assert data["trades"]["columns"]["open"] == content.trades["open"].tolist()
    assert data["fills"]["columns"]["time"][0] == content.fills["time"].iloc[0].isoformat()


@given(st.dictionaries(st.sampled_from(sorted(STATISTICS)), st.floats(), max_size=8), st.text(max_size=40))
@settings(max_examples=25)
def test_any_number_and_any_text_reads_back(stats, text):
    content = random_content(4, stats=stats, notes=[text], settings={text: text})
    element = script_element(data_to_json(content), "quantlab-result")
    assert (
        first_difference(read_result(element), content_to_data(content), list(content_to_data(content)))
        is None
    )


def test_a_long_series_is_carried_as_its_ends_and_a_hash_and_a_changed_bar_changes_it():
    index = pd.date_range("2024-01-02 14:31", periods=MAX_BARS + 1, freq="min", tz="UTC", name="time")
    content = random_content(MAX_BARS + 1, index=index)
    equity = content.equity.copy()
    equity.iloc[10_000] = np.nextafter(equity.iloc[10_000], np.inf)
    again = random_content(MAX_BARS + 1, index=index, equity=equity, stats=content.stats)
    one, other = content_to_data(content), content_to_data(again)
    assert "values" not in one["equity"]
    assert one["equity"]["last"] == content.equity.iloc[-1]
    found = first_difference(one, other)
    assert found is not None
    assert found.where == "equity.hash"


def test_of_many_trades_the_last_are_carried_with_their_row_numbers():
    content = random_content(100)
    many = pd.concat([content.trades] * (MAX_ROWS // len(content.trades) + 2), ignore_index=True)
    data = content_to_data(random_content(100, trades=many, stats={}))
    assert data["trades"]["n"] == len(many)
    assert data["trades"]["first_row"] == len(many) - MAX_ROWS
    assert len(data["trades"]["columns"]["pnl"]) == MAX_ROWS


def test_the_first_number_that_differs_is_named():
    content = random_content(900)
    fills = content.fills.copy()
    fills.loc[2, "commission"] += 1e-9
    fills.loc[3, "quantity"] += 1.0
    stats = dict(content.stats) | {"sharpe": 9.0}
    again = content_to_data(random_content(900, fills=fills, stats=stats))
    recorded = content_to_data(content)
    found = first_difference(recorded, again)
    assert found is not None
    assert found.where == "fills.commission[2]"
    assert found.again - found.recorded == pytest.approx(1e-9)
    found = first_difference(recorded, again, ["stats"])
    assert found is not None
    assert (found.where, found.again) == ("stats.sharpe", 9.0)
    assert first_difference(recorded, content_to_data(random_content(900))) is None


def test_a_fill_more_or_less_is_a_difference():
    content = random_content(300)
    found = first_difference(
        content_to_data(content), content_to_data(random_content(300, fills=content.fills.iloc[:-1]))
    )
    assert found is not None
    assert found.where.startswith("fills")


def page_of(data: object) -> str:
    return f"<html>{ELEMENT}{data if isinstance(data, str) else json.dumps(data)}</script></html>"


GOOD = json.loads(data_to_json(random_content(40)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "carries no result"),
        ("<html><script>1</script></html>", "carries no result"),
        (page_of(GOOD) + page_of(GOOD), "more than one"),
        (page_of(GOOD)[:-60], "cut short"),
        (page_of("{"), "cannot be read"),
        (page_of("[1]"), "not of the format"),
        (page_of('{"a": NaN}'), "NaN"),
        (page_of('{"a": 1, "a": 2}'), "twice"),
        (page_of("[" * 100_000), "cannot be read"),
        (page_of("[" * 60 + "]" * 60), "nested"),
        (page_of("9" * 5000), "cannot be read"),
        (page_of(GOOD | {"format": "x"}), "not of the format"),
        (page_of(GOOD | {"version": 2}), "version"),
        (page_of(GOOD | {"stats": [1]}), "'stats'"),
        (page_of(GOOD | {"stats": {"sharpe": "1"}}), "stats.sharpe"),
        (page_of({k: v for k, v in GOOD.items() if k != "fills"}), "'fills'"),
        (page_of(GOOD | {"fills": {"columns": {"a": [1], "b": []}}}), "differ in length"),
        (page_of(GOOD | {"trades": {"columns": {"a": 1}}}), "mapping of lists"),
        (page_of("1" * (17 * 2**20)), "characters"),
    ],
)
def test_what_is_no_report_is_refused_with_a_reason(text, said):
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        read_result(text)
    assert "unchanged" in str(caught.value)


@given(st.text(max_size=300))
def test_any_text_reads_or_is_refused(text):
    with pytest.raises(DataError):
        read_result(page_of(text.replace("</script>", "")))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", pd.Timestamp("2024-01-01")])
def test_settings_that_json_cannot_carry_are_refused_by_name(value):
    with pytest.raises(DataError, match=r"settings\.cost\.deep\[1\]"):
        render(random_content(4, settings={"cost": {"deep": [1, value]}}))


def test_settings_that_contain_themselves_are_refused():
    endless: dict = {}
    endless["again"] = endless
    with pytest.raises(DataError, match="deep"):
        render(random_content(4, settings=endless))


# -- bad content ---------------------------------------------------------------------------------------


def test_series_on_another_index_are_refused():
    content = random_content(20)
    with pytest.raises(DataError, match="exposure is not on the index"):
        random_content(20, exposure=content.exposure.iloc[1:])
    with pytest.raises(DataError, match="at least one bar"):
        random_content(20, equity=content.equity.iloc[:0], stats={})
    with pytest.raises(DataError, match="rising"):
        random_content(20, equity=content.equity.iloc[::-1], stats={})


def test_unknown_statistics_and_missing_columns_are_named():
    content = random_content(20)
    trades = content.trades.drop(columns="pnl")
    with pytest.raises(UnknownNameError, match="did you mean 'sharpe'"):
        random_content(20, stats={"sharp": 1.0})
    with pytest.raises(UnknownNameError, match="commission"):
        random_content(20, costs={"comission": 1.0})
    with pytest.raises(DataError, match="trades has no column 'pnl'"):
        random_content(20, trades=trades, costs={}, stats={})
    with pytest.raises(DataError, match="cash=0"):
        random_content(20, cash=0.0)
    with pytest.raises(DataError, match="one text"):
        random_content(20, notes="text")


def test_statistics_may_come_as_a_series():
    content = random_content(20, stats=pd.Series({"sharpe": 1.5}))
    assert isinstance(content, ReportContent)
    assert content.stats == {"sharpe": 1.5}


# -- figures -------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(allow_infinity=False) | st.just(math.nan), min_size=1, max_size=400),
    st.integers(min_value=4, max_value=60),
)
def test_thinning_keeps_the_ends_and_every_extreme(values, limit):
    array = np.array(values)
    rows = thin(array, limit)
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] == len(array) - 1
    assert len(rows) <= max(limit, 4)
    kept = array[rows]
    if not np.isnan(array).all():
        assert np.nanmin(kept) == np.nanmin(array)
        assert np.nanmax(kept) == np.nanmax(array)
    if len(array) <= limit:
        assert len(rows) == len(array)


def test_thinning_keeps_the_extremes_of_each_stretch():
    values = np.zeros(10_000)
    values[[1234, 5678]] = 1.0, -1.0
    assert {1234, 5678} <= set(thin(values, 100).tolist())


def test_a_thinned_line_says_so_and_a_whole_one_does_not():
    content = random_content(fig.MAX_POINTS + 1)
    drawing = fig.equity(content)
    assert "at most 4,000 of 4,001 points" in drawing.caption
    assert len(numbers(drawing.spec["data"][1]["y"])) <= fig.MAX_POINTS
    whole = fig.equity(random_content(100))
    assert "points" not in whole.caption
    assert np.array_equal(numbers(whole.spec["data"][1]["y"]), random_content(100).equity.to_numpy())


def test_months_compound_to_years_and_years_to_the_whole():
    content = random_content(600)
    years, table = fig.monthly_returns(content)
    assert years == [2004, 2005, 2006]
    for row in table:
        months = row[:12][np.isfinite(row[:12])]
        assert np.prod(1.0 + months) - 1.0 == pytest.approx(row[12])
    assert np.prod(1.0 + table[:, 12]) == pytest.approx(content.equity.iloc[-1] / CASH)
    assert np.isnan(table[0, :7]).all()


def test_monthly_returns_are_those_of_a_naive_loop():
    content = random_content(300)
    _, table = fig.monthly_returns(content)
    before = CASH
    for (year, month), group in content.equity.groupby(
        [content.equity.index.year, content.equity.index.month]
    ):
        assert table[year - 2004, month - 1] == pytest.approx(group.iloc[-1] / before - 1.0)
        before = group.iloc[-1]


def test_a_year_without_a_bar_is_an_empty_row():
    index = pd.DatetimeIndex(["2001-03-01", "2003-05-02"])
    years, table = fig.monthly_returns(random_content(2, index=index))
    assert years == [2001, 2002, 2003]
    assert np.isnan(table[1]).all()


@given(st.lists(st.floats(min_value=-0.9, max_value=5.0).filter(lambda x: x != 0.0), max_size=200))
def test_every_return_is_in_one_bin_and_no_bin_mixes_gains_and_losses(values):
    array = np.array(values)
    edges = fig.histogram_edges(array)
    assert np.histogram(array, edges)[0].sum() == array.size
    assert (np.diff(edges) > 0).all()
    assert np.abs(edges).min() == 0.0
    assert edges.size < 140


def test_every_figure_is_one_that_plotly_accepts():
    content = random_content(300, ("AAPL", "MSFT"), notes=["x"])
    drawings = [
        f(content) for f in (fig.equity, fig.drawdown, fig.exposure, fig.monthly, fig.distribution, fig.costs)
    ]
    drawings += [price(content, s) for s in content.prices] + [price(random_content(900), "AAPL")]
    for drawing in drawings:
        made = fig.figure(drawing)
        assert len(made.data) == len(drawing.spec["data"])
        assert drawing.caption
        assert drawing.summary
    assert len(overview(content).data) == 4


def test_every_colour_of_a_figure_has_a_dark_twin():
    assert len({light for light, _ in PALETTE.values()}) == len(PALETTE)
    page = render(random_content(300))
    text = page.split('id="quantlab-figures">', 1)[1].split("</script>", 1)[0]
    packed = json.loads(text)
    used = set(re.findall(r"#[0-9a-f]{6}", json.dumps(packed["figures"])))
    assert used
    assert used <= set(packed["dark"])


def test_bars_are_drawn_when_few_and_a_line_when_many():
    assert price(random_content(300), "AAPL").spec["data"][0]["type"] == "candlestick"
    assert price(random_content(900), "AAPL").spec["data"][0]["type"] == "scatter"


def test_of_many_assets_those_with_the_most_trades_get_a_chart():
    content = random_content(40, tuple(f"S{k:03}" for k in range(MAX_ASSETS + 5)))
    trades = content.trades[content.trades["symbol"] >= "S005"].reset_index(drop=True)
    content = random_content(40, tuple(content.prices), trades=trades)
    assert asset_order(content) == [f"S{k:03}" for k in range(5, MAX_ASSETS + 5)]
    assert f"{MAX_ASSETS} of {MAX_ASSETS + 5} assets" in render(content)


def test_of_many_trades_the_largest_are_drawn_and_the_caption_says_so():
    content = random_content(500)
    many = pd.concat([content.trades] * 400, ignore_index=True)
    many["pnl"] = np.arange(len(many), dtype=float)
    drawing = price(random_content(500, trades=many, stats={}), "AAPL")
    assert f"the 1,000 trades with the largest gain or loss of {len(many):,}" in drawing.caption
    assert (
        sum(len(t["x"]) // 3 for t in drawing.spec["data"] if t.get("legendgroup") and t["mode"] == "lines")
        == 1000
    )


# -- size and speed ------------------------------------------------------------------------------------


def test_a_very_long_run_makes_a_page_of_a_few_megabytes():
    n = 300_000
    index = pd.date_range("2015-01-02 14:31", periods=n, freq="min", tz="UTC", name="time")
    assert len(render(random_content(n, index=index))) < 9_000_000


def test_drawing_a_page_imports_no_figure_library_and_is_quick():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from report_content import random_content\n"
        "from quantlab.report import render\n"
        "import time; content = random_content(3000); start = time.process_time(); page = render(content)\n"
        "print(time.process_time() - start, len(page), 'plotly.graph_objects' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(out[0]) < 2.0
    assert int(out[1]) < 6_000_000
    assert out[2] == "False"
