"""The sweep's report: every picture says what its table says, and a million trials make a small file."""

from __future__ import annotations

import base64
import json
import re
import time
from itertools import product
from typing import Any

import made_sweep as made
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.report import SweepContent, contour_figure, heatmap_figure, pivot, sweep_page
from quantlab.report import parallel as parallel_module
from quantlab.report.heatmap import colours
from quantlab.report.levels import binned, fewest, levels_of
from quantlab.report.palette import light
from quantlab.report.parallel import MAX_LINES, parallel
from quantlab.report.slices import neighbourhood, parameter_slice
from quantlab.report.surface import MAX_CELLS, group_quantiles, importance, surface, surfaces
from quantlab.report.sweep_figures import distribution, equity_fan, logit_histogram

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>%{x}"


def numbers(array: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(array["bdata"]), "<f8")


def content_of(columns: dict[str, Any], metric: Any, **changes: Any) -> SweepContent:
    table = made.table_of(columns, np.asarray(metric, float))
    return SweepContent("s", table, tuple(columns), **changes)


def body_of(page: str) -> str:
    return page[page.index("<main>") : page.index("</main>")]


def words_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", body_of(page)).split())


# -- levels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "choices", "labels"),
    [
        ([30, 10, 20, 10], [10, 20, 30], ["10", "20", "30"]),
        ([0.5, 0.25, 0.5], [0.25, 0.5], ["0.25", "0.5"]),
        (["sma", "ema", "sma"], ["sma", "ema"], ["sma", "ema"]),
        ([True, False], [True, False], ["True", "False"]),
        ([None, 5, "x"], [None, 5, "x"], ["None", "5", "x"]),
        ([1.0000001, 1.0000002], [1.0000001, 1.0000002], ["1.0000001", "1.0000002"]),
        (["a" * 40 + "1", "a" * 40 + "2"], None, ["a" * 25 + "… (1)", "a" * 25 + "… (2)"]),
    ],
)
def test_levels_are_the_distinct_values_numbers_rising_and_others_as_they_came(given_, choices, labels):
    levels = levels_of(pd.Series(given_, dtype=object, name="p"))
    assert list(levels.labels) == labels
    if choices is not None:
        assert list(levels.choices) == choices
        assert [levels.choices[k] for k in levels.codes] == given_


def test_values_that_cannot_be_hashed_are_told_apart_by_their_text():
    levels = levels_of(pd.Series([[1, 2], [3], [1, 2]], name="p"))
    assert levels.codes.tolist() == [0, 1, 0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.integers(-(10**6), 10**6),
            st.floats(allow_nan=True, allow_infinity=True),
            st.text(max_size=40),
            st.none(),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_values_get_one_distinct_label_a_level(values):
    levels = levels_of(pd.Series(values, dtype=object, name="p"))
    assert len(set(levels.labels)) == len(levels) == len(levels.choices)
    assert levels.codes.min() == 0
    assert levels.codes.max() == len(levels) - 1


def test_bins_of_whole_numbers_hold_equally_many_and_are_named_by_first_and_last():
    levels = binned(levels_of(pd.Series(range(1, 40), name="p")), 15)
    assert list(levels.labels[:2]) == ["1–3", "4–6"]
    assert np.bincount(levels.codes).tolist() == [3] * 13


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=60, unique=True),
    st.integers(2, 12),
)
def test_bins_keep_the_order_of_the_values_and_hold_them_all(values, n_bins):
    column = pd.Series(values, name="p")
    levels = binned(levels_of(column), n_bins)
    codes = levels.codes[np.argsort(column.to_numpy())]
    assert (np.diff(codes) >= 0).all()
    assert codes[0] >= 0
    assert codes[-1] < len(levels)
    assert len(set(levels.labels)) == len(levels)
    if len(values) > n_bins:
        assert len(levels) <= n_bins


def test_values_over_decades_are_gathered_in_bins_of_equal_ratio():
    levels = levels_of(pd.Series(np.geomspace(1e-4, 1.0, 1000), name="p"))
    assert np.bincount(binned(levels, 4).codes).tolist() == [250] * 4
    assert binned(levels, 4).bins == "ratio"
    assert not levels_of(pd.Series(np.linspace(1, 1000, 1000), name="p")).by_ratio


def test_of_many_names_those_of_the_best_trials_are_kept():
    levels = levels_of(pd.Series([f"n{k}" for k in range(50)], name="p"))
    kept = fewest(levels, 4, np.array([40, 7, 7, 20, 3]))
    assert list(kept.labels) == ["n7", "n20", "n40", "47 others"]
    assert kept.codes[[7, 20, 40, 0, 49]].tolist() == [0, 1, 2, 3, 3]


# -- two parameters ------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.data(), st.booleans())
def test_a_surface_shows_best_median_and_fixed_as_a_naive_loop_finds_them(data, smaller):
    n = data.draw(st.integers(1, 40))
    columns = {
        name: data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)) for name in ("a", "b", "c")
    }
    columns["a"][0], columns["b"][0] = 7, 7
    columns = {k: [*v, 0] for k, v in columns.items()}
    metric = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=n + 1, max_size=n + 1)))
    table = made.table_of(columns, metric)
    failed = data.draw(st.sets(st.integers(1, n), max_size=5)) if n > 1 else set()
    ruined = data.draw(st.sets(st.integers(1, n), max_size=5)) if n > 1 else set()
    made.fail(table, sorted(failed), "x")
    made.ruin(table, sorted(ruined))
    content = SweepContent("s", table, ("a", "b", "c"), smaller_is_better=smaller)
    found = surface(content, "a", "b", max_cells=1000)
    pick = min if smaller else max
    usable = [k for k in range(n + 1) if k not in failed | ruined]
    best = pick(usable, key=lambda k: metric[k])
    best = next(k for k in usable if metric[k] == metric[best])
    for (i, a), (j, b) in product(enumerate(found.x.choices), enumerate(found.y.choices)):
        here = [k for k in range(n + 1) if columns["a"][k] == a and columns["b"][k] == b]
        good = [metric[k] for k in here if k in usable]
        alive = [metric[k] for k in here if k not in failed]
        same = [metric[k] for k in here if k in usable and columns["c"][k] == columns["c"][best]]
        expected = {
            "best": pick(good, default=np.nan),
            "median": np.median(alive) if alive else np.nan,
            "fixed": pick(same, default=np.nan),
        }
        for mode, cells in found.cells.items():
            np.testing.assert_allclose(cells[j, i], expected[mode], rtol=1e-12, atol=1e-15)
    assert found.at == (
        list(found.x.choices).index(columns["a"][best]),
        list(found.y.choices).index(columns["b"][best]),
    )


def test_with_two_parameters_and_one_trial_a_cell_there_is_only_one_mode():
    a, b = zip(*product(range(4), range(5)), strict=True)
    assert list(surface(content_of({"a": a, "b": b}, np.arange(20.0)), "a", "b").cells) == ["best"]


def test_a_sample_of_continuous_values_is_gathered_so_that_cells_hold_trials():
    rng = np.random.default_rng(1)
    content = content_of({"a": rng.uniform(0, 1, 400), "b": rng.uniform(5, 9, 400)}, rng.normal(size=400))
    found = surface(content, "a", "b")
    assert found.is_binned
    assert np.isfinite(found.cells["best"]).mean() > 0.7
    assert np.nanmax(found.cells["best"]) == content.table["sharpe"].max()


def test_two_long_axes_stay_within_the_cells_allowed():
    a, b = np.meshgrid(np.arange(700), np.arange(300))
    metric = np.sin(a.ravel() / 100) + b.ravel() / 300
    content = content_of({"a": a.ravel(), "b": b.ravel()}, metric)
    found = surface(content, "a", "b")
    assert found.cells["best"].size <= MAX_CELLS
    assert np.nanmax(found.cells["best"]) == metric.max()
    assert np.isfinite(found.cells["best"]).all()


def test_group_quantiles_are_those_of_numpy_in_each_group():
    rng = np.random.default_rng(4)
    values = np.sort(rng.normal(size=500))
    group = rng.integers(0, 20, 500)
    group[group == 7] = 8
    found = group_quantiles(group, values, 21, (0.25, 0.5, 1.0))
    for g in range(21):
        if (group == g).any():
            np.testing.assert_allclose(found[:, g], np.quantile(values[group == g], [0.25, 0.5, 1.0]))
        else:
            assert np.isnan(found[:, g]).all()


def test_importance_is_the_share_of_variance_of_an_additive_model():
    a, b, c = (v.ravel().astype(float) for v in np.meshgrid([0, 1, 2], [0, 1], [5, 6, 7, 8]))
    shares = importance(content_of({"a": a, "b": b, "c": c}, 3 * a + b))
    parts = {"a": 9 * np.var([0, 1, 2]), "b": np.var([0, 1])}
    assert list(shares) == ["a", "b", "c"]
    for name, part in parts.items():
        assert shares[name] == pytest.approx(part / sum(parts.values()))
    assert shares["c"] == pytest.approx(0.0, abs=1e-12)


def test_the_pair_that_matters_most_comes_first_and_at_most_eight_parameters_are_offered():
    rng = np.random.default_rng(2)
    columns = {f"p{k}": rng.integers(0, 4, 3000) for k in range(12)}
    found = surfaces(content_of(columns, columns["p9"] + 0.5 * columns["p2"] + 0.01 * columns["p5"]))
    assert len(found) == 28
    assert (found[0].x.name, found[0].y.name) == ("p2", "p9")


def test_pivot_is_the_table_that_pandas_makes():
    table = made.grid()
    best = pivot(table, "fast", "slow")
    expected = table.pivot_table(index="slow", columns="fast", values="sharpe", aggfunc="max")
    np.testing.assert_array_equal(best.to_numpy(), expected.reindex_like(best).to_numpy())
    assert (best.index.name, best.columns.name) == ("slow", "fast")
    middle = pivot(table, "fast", "kind", others="median")
    expected = table.pivot_table(index="kind", columns="fast", values="sharpe", aggfunc="median")
    np.testing.assert_allclose(middle.to_numpy(), expected.loc[list(middle.index)].to_numpy())
    fixed = pivot(table, "fast", "slow", others={"kind": "wma"})
    wma = table[table["kind"] == "wma"].set_index(["fast", "slow"])["sharpe"]
    assert fixed.loc[170, 30] == wma[30, 170]
    lowest = pivot(table, "fast", "slow", "volatility", smaller_is_better=True)
    assert np.nanmin(lowest.to_numpy()) == table["volatility"].min()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        ({"x": "fast", "y": "fast"}, ParameterError, "two parameters"),
        ({"x": "fast", "y": "slwo"}, UnknownNameError, "did you mean 'slow'"),
        ({"x": "fast", "y": "slow", "metric": "sharp"}, UnknownNameError, "did you mean 'sharpe'"),
        ({"x": "fast", "y": "slow", "others": "mean"}, UnknownNameError, "best, median"),
        ({"x": "fast", "y": "slow", "others": {"kind": "hma"}}, ParameterError, "kind='hma'"),
    ],
)
def test_a_pivot_that_cannot_be_is_refused_with_what_can(call, error, said):
    with pytest.raises(error, match=said):
        pivot(made.grid(), **call)


def test_a_heat_map_for_a_notebook_shows_the_frame_and_rings_its_best():
    frame = pivot(made.grid(), "fast", "slow")
    for draw, kind in ((heatmap_figure, "heatmap"), (contour_figure, "contour")):
        figure = draw(frame)
        assert figure.data[0].type == kind
        drawn = np.array([[np.nan if v is None else v for v in row] for row in figure.data[0].z], float)
        np.testing.assert_allclose(drawn, frame.to_numpy(), rtol=1e-5)
        x, y = figure.data[1].x[0], figure.data[1].y[0]
        assert frame.loc[int(y), int(x)] == np.nanmax(frame.to_numpy())
        assert figure.layout.xaxis.title.text == "fast"
        json.loads(figure.to_json())


def test_colours_are_grey_at_zero_and_pale_for_a_small_loss():
    both = colours(np.linspace(-1.0, 1.0, 201))
    at = {c: s for s, c in both["colorscale"]}
    assert both["zmin"] + at[light("rule")] * (both["zmax"] - both["zmin"]) == pytest.approx(0.0)
    assert light("loss") in at
    assert light("loss") not in {c for _, c in colours(np.linspace(-0.1, 1.0, 201))["colorscale"]}
    assert colours(np.linspace(1, 2, 9))["colorscale"][-1][1] == light("gain")
    assert colours(np.linspace(1, 2, 9), smaller_is_better=True)["colorscale"][0][1] == light("gain")
    for empty in (np.array([]), np.array([np.nan]), np.full(3, 2.0)):
        scale = colours(empty)
        assert scale["zmin"] < scale["zmax"]


# -- ranking -------------------------------------------------------------------------------------------


def test_trials_that_failed_or_went_to_ruin_are_never_the_best():
    table = made.table_of({"a": range(5)}, np.array([1.0, 9.0, 8.0, np.nan, 2.0]))
    made.ruin(table, [1])
    made.fail(table, [2], "x")
    assert SweepContent("s", table, ("a",)).order.tolist() == [4, 0]
    assert SweepContent("s", table, ("a",), smaller_is_better=True).order.tolist() == [0, 4]


def test_equal_trials_keep_the_order_of_the_table():
    assert content_of({"a": range(4)}, [1.0, 2.0, 2.0, 1.0]).order.tolist() == [1, 2, 0, 3]


def test_a_parameter_may_have_the_name_of_a_statistic():
    table = made.table_of({"b": [1, 2, 1, 2]}, np.array([1.0, 2.0, 3.0, 4.0]))
    table.insert(0, "sharpe", [10, 10, 20, 20], allow_duplicates=True)
    content = SweepContent("s", table, ("sharpe", "b"))
    assert content.best == 3
    assert list(content.levels["sharpe"].choices) == [10, 20]
    assert surface(content, "sharpe", "b").cells["best"].tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert "Best of 4 trials." in sweep_page(content)


def test_neighbours_are_the_trials_one_step_away_in_one_parameter():
    a, b, kind = zip(*product([1, 2, 3], [10, 20], ["x", "y"]), strict=True)
    metric = np.arange(12.0)
    metric[4] = 50.0
    found = neighbourhood(content_of({"a": a, "b": b, "kind": kind}, metric))
    assert list(found.index) == ["a", "b"]
    assert found.loc["a"].tolist() == [1, 0.0, 2, 3, 8.0]
    assert found.loc["b"].tolist()[3:] == [20, 6.0]
    assert found.loc["b", "below"] is None
    assert np.isnan(found.loc["b", "metric_below"])


def test_a_sample_has_no_neighbours():
    rng = np.random.default_rng(3)
    content = content_of({"a": rng.uniform(size=50), "b": rng.uniform(size=50)}, rng.normal(size=50))
    found = neighbourhood(content)
    assert found[["metric_below", "metric_above"]].isna().all(axis=None)
    assert "Peak or plateau" not in sweep_page(content)


# -- figures -------------------------------------------------------------------------------------------


def test_the_histogram_counts_every_trial_and_marks_the_best_and_what_noise_would_reach():
    content = made.full_content()
    drawing = distribution(content)
    trace = drawing.spec["data"][0]
    known = content.table["sharpe"].notna()
    assert numbers(trace["y"]).sum() == known.sum()
    marked = [s["x0"] for s in drawing.spec["layout"]["shapes"]]
    assert marked == [content.table["sharpe"].iloc[content.best], 1.04]
    above = int((content.table["sharpe"] > 1.04).sum())
    assert f"{above:,} trials are above it" in drawing.caption
    assert "41 trials without a value are left out" in drawing.caption
    assert {light("gain"), light("benchmark")} == set(trace["marker"]["color"])


def test_the_noise_threshold_is_drawn_for_the_sharpe_ratio_alone():
    assert len(distribution(made.full_content(metric="cagr")).spec["layout"]["shapes"]) == 1


def test_a_million_values_with_outliers_make_few_bins_with_the_best_among_them():
    rng = np.random.default_rng(1)
    metric = rng.normal(size=100_000)
    metric[77] = 1000.0
    drawing = distribution(content_of({"a": np.arange(100_000)}, metric))
    assert len(numbers(drawing.spec["data"][0]["x"])) < 300
    assert drawing.spec["layout"]["xaxis"]["range"][1] > 1000.0


def test_a_logit_of_exactly_zero_is_drawn_as_overfit():
    logits = np.array([-1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 2.0, 3.0, np.nan])
    drawing = logit_histogram(made.full_content(logits=logits, worth={}))
    trace = drawing.spec["data"][0]
    orange = np.array(trace["marker"]["color"]) == light("loss")
    assert numbers(trace["y"])[orange].sum() == pytest.approx(0.5)
    assert numbers(trace["y"]).sum() == pytest.approx(1.0)
    assert "in 50% of the cuts" in drawing.caption
    assert logit_histogram(made.full_content(logits=None)) is None
    assert logit_histogram(made.full_content(logits=np.array([np.nan]))) is None


def test_parallel_coordinates_are_thinned_and_the_best_is_always_there():
    content = made.full_content()
    drawing = parallel(content)
    lines = [t for t in drawing.spec["data"] if t["x"] != [None]]
    n_axes = 4
    count = sum(len(numbers(t["y"])) // (n_axes + 1) for t in lines)
    assert count == MAX_LINES < content.order.size
    best = numbers(lines[-1]["y"])
    assert lines[-1]["name"] == "best"
    assert best[n_axes - 1] == pytest.approx(1.0)
    assert np.isnan(best[n_axes])
    fast = content.levels["fast"]
    expected = fast.codes[content.best] / (len(fast) - 1)
    assert best[0] == pytest.approx(expected, abs=0.02)
    assert parallel(content_of({"a": range(9)}, np.arange(9.0))) is None


def test_of_many_trials_the_top_is_drawn_whole_and_the_rest_evenly_and_none_twice():
    places = parallel_module._drawn(100_000)
    assert len(set(places.tolist())) == MAX_LINES
    assert places[: MAX_LINES // 5].tolist() == list(range(MAX_LINES // 5))
    assert places[-1] == 99_999
    gaps = np.diff(places[MAX_LINES // 5 :])
    assert gaps.max() - gaps.min() <= 1


def test_the_fan_draws_the_best_on_top_and_keeps_every_extreme():
    curves, benchmark = made.equities(12, 9000)
    drawing = equity_fan(made.full_content(equities=curves, benchmark=benchmark))
    data = drawing.spec["data"]
    assert [t["name"] for t in data[-3:]] == ["next 11", "Buy and hold", f"trial {curves.columns[0]}"]
    assert sum(len(t["x"]) for t in data) < 40_000
    assert numbers(data[-1]["y"]).max() == curves.iloc[:, 0].max()
    assert numbers(data[-1]["y"])[-1] == curves.iloc[-1, 0]
    assert equity_fan(made.full_content(equities=None)) is None


def test_a_slice_shows_quartiles_median_and_best_at_each_value():
    content = made.full_content()
    drawing = parameter_slice(content, "fast")
    low, high, middle, best = (numbers(t["y"]) for t in drawing.spec["data"])
    table = content.table[content.table["error"].isna()]
    groups = table.groupby("fast")["sharpe"]
    np.testing.assert_allclose(low, groups.quantile(0.25))
    np.testing.assert_allclose(high, groups.quantile(0.75))
    np.testing.assert_allclose(middle, groups.median())
    alive = table[table["ruined_at"].isna()]
    np.testing.assert_allclose(best, alive.groupby("fast")["sharpe"].max())
    kinds = parameter_slice(content, "kind").spec["data"]
    assert kinds[1]["x"] == ["sma", "ema", "wma"]


# -- the page ------------------------------------------------------------------------------------------


def test_the_headline_says_what_is_known_and_nothing_else():
    full = made.full_content()
    assert full.headline == (
        "Best of 4,312 trials, effectively 187, deflated Sharpe 0.41, PBO 0.38, "
        "beats 71.3% of the best of noise."
    )
    assert made.full_content(worth={"pbo": 0.25, "n_effective": np.nan}).headline == (
        "Best of 6,264 trials, PBO 0.25."
    )
    assert made.full_content(sentence="It is noise.").headline == "It is noise."
    words = words_of(sweep_page(full))
    assert words.index(full.headline) < words.index("All trials")


def test_the_page_shows_the_best_trials_with_exact_statistics_and_what_failed():
    content = made.full_content()
    page = sweep_page(content)
    words = words_of(page)
    for row in content.order[:20]:
        assert f'<data value="{float(content.table["sharpe"].iloc[row])!r}">' in page
        assert f'<th scope="row">{row}</th>' in page
    assert "41 of 6,264 trials failed" in words
    assert "ZeroDivisionError: float division by zero 30 0" in words
    assert "ValueError: window is longer than the data 11 5" in words
    for said in ("Costs under stress", "Peak or plateau", "Deflated Sharpe ratio at least 0.95 0.41 fails"):
        assert said in words
    assert "where fast &lt; slow" in words


def test_equal_content_gives_equal_text():
    assert sweep_page(made.full_content()) == sweep_page(made.full_content())


def evil_content() -> SweepContent:
    table = made.grid().rename(columns={"kind": EVIL})
    table[EVIL] = table[EVIL].map({"sma": EVIL, "ema": "b", "wma": "c"})
    made.fail(table, table.index[::50], EVIL)
    extra = pd.DataFrame({EVIL: [EVIL]}, index=pd.Index([EVIL], name=EVIL))
    curves, benchmark = made.equities()
    return made.full_content(
        title=EVIL, table=table, names=("fast", "slow", EVIL), sentence=EVIL, subtitle=EVIL, notes=[EVIL],
        checks=[{"name": EVIL, "value": EVIL, "how": EVIL, "passed": None}], tables={EVIL: extra},
        settings={EVIL: EVIL}, fingerprint={EVIL: EVIL}, currency=EVIL, benchmark_name=EVIL,
        equities=curves.rename(columns={3: EVIL}), benchmark=benchmark,
    )  # fmt: skip


def test_text_from_outside_is_escaped_wherever_it_appears():
    page = sweep_page(evil_content())
    assert page.lower().count("<script>") == 2
    assert page.count("</script>") == 3
    assert "<img" not in page[: page.index("<script>")]
    # Plotly reads its own tags and templates in text: what is drawn has neither.
    start = page.index('id="quantlab-figures">') + len('id="quantlab-figures">')
    drawn = json.loads(page[start : page.index("</script>", start)])
    for value in texts_of({k: v for k, v in drawn.items() if k != "dark"}):
        assert "<script" not in value
        assert "<img" not in value
        assert "%{x}>" not in value.replace("%{x}<br>", "")


def texts_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [t for v in value.values() for t in texts_of(v)] + list(value)
    if isinstance(value, list):
        return [t for v in value for t in texts_of(v)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize(
    ("columns", "metric"),
    [
        ({"a": [3]}, [1.2]),
        ({"a": [3]}, [np.nan]),
        ({}, [0.0]),
        ({"a": [1, 2]}, [0.5, 0.5]),
        ({"a": list(range(30))}, np.linspace(-1, 1, 30)),
        ({"a": ["x", "y", "z"]}, [1.0, 2.0, np.nan]),
        ({"a": [1, 2, 1, 2], "b": ["x", "x", "y", "y"]}, [np.inf, 1.0, -np.inf, 2.0]),
        ({"a": [None, 1.5, np.nan], "b": [(1, 2), [3], {"k": 1}]}, [1.0, 2.0, 3.0]),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, [np.nan, np.nan, np.nan]),
    ],
)
def test_small_and_odd_sweeps_make_a_page(columns, metric):
    page = sweep_page(content_of(columns, metric))
    assert "</html>" in page
    assert "NaN" not in page[page.index('id="quantlab-figures">') : page.index("<script>")]


def test_a_sweep_in_which_everything_failed_says_so():
    table = made.grid()
    made.fail(table, table.index, "Boom")
    words = words_of(sweep_page(SweepContent("s", table, ("fast", "slow", "kind"))))
    assert "None of 6,264 trials has a Sharpe ratio." in words
    assert "Boom 6,264 0" in words
    assert "Two parameters" not in words


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"table": made.grid().iloc[:0]}, DataError, "at least one trial"),
        ({"names": ("fast", "slov")}, UnknownNameError, "did you mean 'slow'"),
        ({"metric": "sharpee"}, UnknownNameError, "did you mean 'sharpe'"),
        ({"worth": {"dsr": 0.4}}, UnknownNameError, "deflated_sharpe"),
        ({"notes": "one"}, DataError, "list of texts"),
        (
            {"benchmark": pd.Series([1.0], index=pd.DatetimeIndex(["2020-01-01"]))},
            DataError,
            "index of equities",
        ),
        ({"equities": pd.DataFrame({"a": [1.0]})}, DataError, "DatetimeIndex"),
        ({"settings": {"x": object()}}, DataError, "a report cannot carry"),
    ],
)
def test_what_a_report_cannot_be_made_of_is_refused(changes, error, said):
    with pytest.raises(error, match=said):
        sweep_page(made.full_content(**changes))


def test_a_million_trials_make_a_small_file_in_a_few_seconds():
    n = 1_000_000
    rng = np.random.default_rng(5)
    columns = {"a": rng.integers(0, 300, n), "u": rng.uniform(size=n), "kind": rng.choice(["x", "y"], n)}
    table = pd.DataFrame({**columns, "sharpe": rng.normal(size=n)})
    from plotly.offline import get_plotlyjs

    content = SweepContent("s", table, tuple(columns))
    before = time.process_time()
    page = sweep_page(content)
    # Alone it takes about two; the limit only tells a loop over trials from a pass over arrays.
    assert time.process_time() - before < 20.0
    assert len(page) - len(get_plotlyjs()) < 2_000_000
