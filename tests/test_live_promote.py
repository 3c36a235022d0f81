"""Promotion and bundles: evidence first, sealed, and refused where live could not follow."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from live_parts import STRATEGY, make_bundle, terms, walk

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest
from quantlab.engine.loader import load_strategy
from quantlab.errors import BundleError, DataError, LiveError, ParameterError, UnknownNameError
from quantlab.live.bundle import read_bundle
from quantlab.live.decision import bars_to_wish
from quantlab.live.promote import STRESS, hash_of, promote, refuse_bars, refuse_terms, wish_hash
from quantlab.sizing import Sizing
from quantlab.strategy import strategy

PEEKS = STRATEGY.replace("return roc(bars.close, days) > 0.0", "return bars.close > bars.close.mean(axis=0)")
LEANS = '''\
"""Leans on a file beside it."""

import quantlab as ql
from neighbour import LIMIT


@ql.strategy
def leaning(bars, days=3):
    """Long above a limit."""
    return bars.close > LIMIT
'''


def test_a_bundle_carries_source_bars_terms_and_evidence(tmp_path):
    bars = walk()
    bundle = make_bundle(tmp_path, bars, params={"days": 4})
    again = read_bundle(bundle.folder)
    assert again.params == {"days": 4}
    assert again.bars.content_hash == bars.content_hash
    assert again.terms == terms()
    assert again.strategy.source == (tmp_path / "idea.py").read_text()
    evidence = again.content["evidence"]
    assert evidence["causality"]["causal"]
    assert [run["costs"] for run in evidence["stress"]] == list(STRESS)
    plain = backtest(again.strategy, bars, {"days": 4}, costs=Costs.default())
    assert evidence["stress"][1]["total_return"] == plain.stats["total_return"]
    returns = [run["total_return"] for run in evidence["stress"]]
    assert returns == sorted(returns, reverse=True)
    assert evidence["warmup"] == 5


def test_a_strategy_that_looks_ahead_is_refused_at_its_first_bar(tmp_path):
    with pytest.raises(LiveError, match=r"not promoted: looks ahead.*bar \d+"):
        make_bundle(tmp_path, walk(), source=PEEKS)
    assert not (tmp_path / "bundle").exists()


def test_a_strategy_with_a_model_is_refused(tmp_path):
    def level(bars, _):
        return bars.close.mean()

    @strategy(fit=level)
    def above(bars, *, model=None):
        return bars.close > model

    bars = walk()
    with pytest.raises(LiveError, match="has a model"):
        promote(above.fitted(bars.take(slice(0, 50))), bars, terms=terms(), out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


ENTRY = "roc(bars.close, days) > 0.0"


@pytest.mark.parametrize(
    ("signal", "changes", "said"),
    [
        ("stop_loss=0.05, stop_from='fill'", {}, "stop_from='fill' .*before the fill is known"),
        ("take_profit=ql.Ladder((0.05, 0.5), (0.1, 0.5))", {}, "a ladder .*a bracket of its own"),
        ("take_profit=ql.Ladder((0.05, 0.5))", {}, "a ladder"),
        ("stop=bars.close * 1.01, tif='ioc'", {}, "tif='ioc' with a stop"),
        ("stop_loss=0.05, order_type='moc'", {}, "order_type='moc' with protective orders"),
        ("stop_loss=0.05", {"join": "now"}, "join='now' .*set at its entry"),
        ("time_stop=5", {"join": "now"}, "join='now'"),
    ],
)
def test_orders_that_cannot_be_sent_as_the_backtest_fills_them_are_refused(signal, changes, said, tmp_path):
    source = STRATEGY.replace(ENTRY, f"ql.Signal({ENTRY}, {signal})")
    with pytest.raises(LiveError, match=said):
        make_bundle(tmp_path, walk(), source=source, **changes)
    assert not list(tmp_path.rglob("bundle.json"))


def test_a_bundle_of_a_strategy_with_stops_wants_what_was_promoted_to_the_bit(tmp_path):
    bars = walk()
    source = STRATEGY.replace(ENTRY, f"ql.Signal({ENTRY}, stop_loss=ql.AtrMultiple(3.0))")
    bundle = make_bundle(tmp_path, bars, source=source)
    wish = bars_to_wish(bundle, bars)
    assert wish.inside.protects
    assert wish_hash(str(bundle.folder)) == hash_of(wish)
    # Targets alone do not tell such a strategy from one without its stops.
    assert hash_of(replace(wish, inside=None)) != hash_of(wish)


def test_a_strategy_that_leans_on_a_file_beside_it_is_refused(tmp_path):
    (tmp_path / "neighbour.py").write_text("LIMIT = 50.0\n")
    with pytest.raises(BundleError, match="one file"):
        make_bundle(tmp_path, walk(), source=LEANS)


def test_a_folder_that_is_taken_is_left_alone(tmp_path):
    make_bundle(tmp_path, walk())
    before = (tmp_path / "bundle" / "bundle.json").read_text()
    with pytest.raises(BundleError, match="not empty"):
        make_bundle(tmp_path, walk(seed=8))
    assert (tmp_path / "bundle" / "bundle.json").read_text() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["params"].update(days=5), "its seal does not fit"),
        (lambda c: c["terms"]["limits"].update(max_daily_loss=1e12), "its seal does not fit"),
        (lambda c: c["terms"].pop("limits"), "its seal does not fit"),
        (lambda c: c.update(format=99), "format 99"),
    ],
)
def test_a_bundle_whose_file_was_changed_is_refused(tmp_path, change, said):
    bundle = make_bundle(tmp_path, walk())
    file = bundle.folder / "bundle.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=said):
        read_bundle(bundle.folder)


def test_a_bundle_whose_source_was_changed_is_refused(tmp_path):
    bundle = make_bundle(tmp_path, walk())
    source = bundle.folder / "strategy.py"
    source.write_text(source.read_text().replace("> 0.0", "> 0.1"))
    with pytest.raises(BundleError, match="was changed since it was promoted"):
        read_bundle(bundle.folder)


def test_a_bundle_whose_bars_were_changed_is_refused(tmp_path):
    bundle = make_bundle(tmp_path, walk())
    other = make_bundle(_made(tmp_path / "other"), walk(seed=9))
    (bundle.folder / "data" / "1_day" / "A.parquet").write_bytes(
        (other.folder / "data" / "1_day" / "A.parquet").read_bytes()
    )
    with pytest.raises(BundleError, match="not those that were promoted on"):
        read_bundle(bundle.folder)


def _made(folder):
    folder.mkdir()
    return folder


def test_a_folder_without_a_bundle_says_how_one_is_made(tmp_path):
    with pytest.raises(BundleError, match="quantlab promote STRATEGY --to paper"):
        read_bundle(tmp_path)


def test_a_bundle_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_bundle(tmp_path)


def test_bars_that_the_broker_does_not_give_are_refused():
    bars = walk()
    adjusted = type(bars)(**{**_fields(bars), "factor": np.full(bars.shape, 2.0)})
    with pytest.raises(DataError, match="adjusted"):
        refuse_bars(adjusted)
    with pytest.raises(DataError, match="calendar"):
        refuse_bars(type(bars)(**{**_fields(bars), "meta": {}}))
    with pytest.raises(DataError, match="fields"):
        refuse_bars(bars.with_fields(pe=np.ones(bars.shape)))
    with pytest.raises(ParameterError, match="1 week"):
        refuse_bars(bars.resample("1 week"))
    refuse_bars(bars)


def _fields(bars):
    names = ("time", "open", "high", "low", "close", "volume", "session", "instruments", "bar_size", "meta")
    return {n: getattr(bars, n) for n in names}


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"sizing": Sizing(price="fill")}, ParameterError, "sizing at the fill"),
        ({"costs": Costs.default().replace(borrow=0.01)}, ParameterError, "borrow or interest"),
        ({"join": "nwo"}, UnknownNameError, "did you mean 'now'"),
    ],
)
def test_terms_that_live_cannot_follow_are_refused(changes, error, said):
    with pytest.raises(error, match=said):
        refuse_terms(terms(**changes))


def test_a_strategy_that_never_traded_is_refused(tmp_path):
    file = tmp_path / "idea.py"
    file.write_text(STRATEGY)
    with pytest.raises(LiveError, match="never traded"):
        promote(
            load_strategy(str(file)), walk(8), {"days": 9}, terms=terms(), out=tmp_path / "bundle", cuts=4
        )
