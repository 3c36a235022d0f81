"""Orders inside the bar at one close: what the gate lets through, the prices that are sent, and rows of openings."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from live_parts import walk

import quantlab as ql
from quantlab.engine.backtest import backtest, signal_to_wish
from quantlab.live.gate import Before, Gate, Shape, entry_row
from quantlab.sizing import Account, Sizing, rules_of

NOTHING = Before(
    target=np.zeros(2),
    stopped=np.zeros(2, bool),
    renew=np.zeros(2, bool),
    entry_row=np.zeros(2, np.int64),
    hold=np.full(2, np.nan),
)
FLAT = np.zeros(2)


def gate(bars, signal, *, before=NOTHING, position=FLAT, last_target=FLAT):
    """The gate at the last of the bars."""
    wish = signal_to_wish(signal, bars, "test")
    assets = rules_of(Sizing(), Account.margin(), bars.instruments)[1]
    target = np.asarray(wish.target[-1], float)
    return Gate(
        bars, wish.inside, assets, before, target=target, position=np.array(position, float),
        last_target=np.array(last_target, float), mark=bars.close[-1],
    )  # fmt: skip


@pytest.fixture(scope="module")
def bars():
    return walk(40)


def test_a_stopped_asset_is_kept_flat_until_the_next_entry(bars):
    stopped = replace(NOTHING, target=np.ones(2), stopped=np.array([True, False]))
    always = np.ones(bars.shape)
    assert gate(bars, ql.Signal(always, stop_loss=0.05), before=stopped).target.tolist() == [0.0, 1.0]
    entry = np.zeros(bars.shape, bool)
    entry[-1] = True
    again = gate(bars, ql.Signal(always, entry=entry, stop_loss=0.05), before=stopped)
    assert again.target.tolist() == [1.0, 1.0]
    assert not again.stopped.any()


def test_a_position_is_closed_once_it_was_held_for_as_long_as_it_may_be(bars):
    last = bars.n_bars - 1
    for since, kept in ((4, 1.0), (5, 0.0)):
        held = replace(
            NOTHING, target=np.ones(2), entry_row=np.full(2, last - since + 1), hold=np.full(2, 5.0)
        )
        found = gate(
            bars,
            ql.Signal(np.ones(bars.shape), time_stop=5),
            before=held,
            position=[9, 0],
            last_target=[1, 1],
        )
        assert found.target[0] == kept
        assert found.stopped[0] == (kept == 0.0)


def test_an_asset_that_is_undecided_is_decided_anew_and_its_time_stop_goes_on(bars):
    short = replace(NOTHING, target=-np.ones(2), entry_row=np.full(2, 20), hold=np.full(2, 5.0))
    found = gate(
        bars,
        ql.Signal(-np.ones(bars.shape), time_stop=5),
        before=short,
        position=[-9, -9],
        last_target=[2, -1],
    )
    assert found.target.tolist() == [0.0, 0.0]
    assert abs(found.last_target[0]) > 1.0


def test_without_a_bar_nothing_is_decided_and_nothing_forgotten():
    bars = walk(40, hole=(slice(39, 40), 1))
    before = replace(
        NOTHING, target=np.ones(2), renew=np.array([True, True]), stopped=np.array([False, True])
    )
    found = gate(
        bars, ql.Signal(np.ones(bars.shape), limit=bars.close * 0.99), before=before, last_target=[1, 2]
    )
    assert (found.renew[1], found.stopped[1], found.target_before[1], found.last_target[1]) == (
        True,
        True,
        1.0,
        2.0,
    )
    assert abs(found.last_target[0]) > 1.0


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_levels_are_those_that_the_backtest_fills_at(bars, side):
    # The engine says at which levels it filled; what would have been sent at the decision says the same.
    target = np.full(bars.shape, side)
    target[:8] = 0.0
    signal = ql.Signal(
        target,
        entry=np.arange(40)[:, None] % 4 == np.zeros(2),
        stop_loss=ql.AtrMultiple(0.7, 5),
        take_profit=0.0171,
    )
    result = backtest(signal, bars, costs=ql.Costs.zero())
    opened = {}
    n_seen = 0
    for order in result.orders.to_dict("records"):
        t, i = bars.index.get_loc(order["time"]), bars.symbols.index(order["symbol"])
        if order["type"] == "market":
            part = bars.take(slice(0, t + 1))
            found = gate(part, signal_rows(signal, t + 1))
            opened[order["symbol"]] = found.shape(i, order["quantity"], side)
            continue
        n_seen += 1
        shape = opened[order["symbol"]]
        level = shape.stop_level if order["type"] == "stop loss" else shape.target_level
        assert level == (order["stop"] if order["type"] == "stop loss" else order["limit"])
    assert n_seen > 5


def signal_rows(signal, n):
    return replace(signal, target=signal.target[:n], entry=signal.entry[:n])


def test_a_trailing_distance_is_sent_in_whole_ticks(bars):
    found = gate(bars, ql.Signal(np.ones(bars.shape), trailing_stop=ql.Distance(1.2301)))
    assert found.shape(0, 10.0, 1.0).trail_amount == 1.24
    found = gate(bars, ql.Signal(np.ones(bars.shape), trailing_stop=0.08))
    assert found.shape(0, 10.0, 1.0).trail_percent == 8.0


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        ({}, ("MKT", "DAY", "")),
        ({"order_type": "moo"}, ("MKT", "OPG", "")),
        ({"order_type": "moc"}, ("MOC", "DAY", "")),
        ({"limit": 40.0}, ("LMT", "DAY", "bar")),
        ({"limit": 40.0, "tif": "day"}, ("LMT", "DAY", "day")),
        ({"limit": 40.0, "tif": "gtc"}, ("LMT", "GTC", "gtc")),
        # Nobody takes an immediate order at night: for the open alone is an order for the opening.
        ({"limit": 40.0, "tif": "ioc"}, ("LMT", "OPG", "ioc")),
        ({"stop": 400.0}, ("STP", "DAY", "bar")),
        ({"stop": 400.0, "limit": 404.0, "tif": "gtc"}, ("STP LMT", "GTC", "gtc")),
    ],
)
def test_orders_are_sent_as_interactive_brokers_calls_them(bars, members, sent):
    values = {k: np.full(bars.shape, v) if k in {"limit", "stop"} else v for k, v in members.items()}
    shape = gate(bars, ql.Signal(np.ones(bars.shape), time_stop=3, **values)).shape(0, 10.0, 1.0)
    assert (shape.order_type, shape.tif, shape.until) == sent
    assert (shape.limit, shape.stop) == (members.get("limit"), members.get("stop"))
    assert (shape.opens, shape.hold, shape.protects) == (1, 3.0, False)


def test_within_the_day_an_order_for_the_open_of_its_bar_is_immediate():
    from quantlab.gateway.market import Market

    daily = Market.of_sample(["AAPL", "MSFT"]).base.between("2012-02-06", "2012-02-08")
    bars = Market.of_bars(daily).bars(["AAPL", "MSFT"], "15 mins")
    signal = ql.Signal(np.ones(bars.shape), limit=bars.close, tif="ioc")
    assert gate(bars, signal).shape(0, 10.0, 1.0).tif == "IOC"


def test_an_order_whose_price_is_not_known_is_not_sent_and_decided_anew(bars):
    found = gate(bars, ql.Signal(np.ones(bars.shape), limit=np.full(bars.shape, np.nan)))
    assert found.shape(0, 10.0, 1.0) is None
    assert found.renew.tolist() == [True, False]


def test_what_changes_or_closes_a_position_brings_no_levels(bars):
    signal = ql.Signal(np.ones(bars.shape), stop_loss=0.05)
    held = gate(bars, signal, position=[9, 9], last_target=[1, 1])
    for quantity, target in ((5.0, 1.0), (-9.0, 0.0)):
        shape = held.shape(0, quantity, target)
        assert (shape.opens, shape.stop_level, shape.protects) == (0, None, True)


def test_a_shape_survives_the_journal(bars):
    shape = gate(bars, ql.Signal(np.ones(bars.shape), stop_loss=0.05, take_profit=0.1, time_stop=5)).shape(
        0, 9.0, 1.0
    )
    assert Shape.from_body(json.loads(json.dumps(shape.to_body()))) == shape
    assert Shape().to_body() == {}
    assert Shape.from_body(None) == Shape()


def test_a_fill_at_the_instant_of_a_close_is_of_the_bar_that_was_not_decided_yet():
    time = np.array([10, 20, 30, 40])
    assert entry_row(time, 15, 10) == 1
    assert entry_row(time, 20, 10) == 1  # inside the bar, told at its close, before it was decided
    assert entry_row(time, 20, 20) == 2  # at the open of the next one, heard after the decision
    assert entry_row(time, 35, 10) == 3  # bars went by that nobody decided
    assert entry_row(time, 0, 20) == 2  # a broker that did not say when
