"""The pure middle of the loop: joining, sizing, and the same answer as the engine."""

from __future__ import annotations

import numpy as np
import pytest
from live_parts import BUNDLE, terms, walk

from quantlab.engine.backtest import Wish, backtest
from quantlab.live.book import Book
from quantlab.live.decision import Sizer, join_target, signal_to_decision
from quantlab.live.expected import expected_targets
from quantlab.live.window import Row, Window, body_to_row, row_to_body

NAN = float("nan")


def joins(signal, last, joined):
    target, now = join_target(np.array(signal, float), np.array(last, float), np.array(joined))
    return target.tolist(), now.tolist()


@pytest.mark.parametrize(
    ("signal", "last", "joined", "target", "now"),
    [
        (1.0, 1.0, False, 0.0, False),  # a target that stands is not taken over
        (0.5, 1.0, False, 0.0, False),  # a resize is no entry
        (1.0, 0.0, False, 1.0, True),  # an entry
        (-1.0, 1.0, False, -1.0, True),  # a reversal is an entry
        (0.0, 1.0, False, 0.0, True),  # flat: from here on live and backtest are the same
        (0.5, 1.0, True, 0.5, True),
    ],
)
def test_an_asset_joins_at_an_entry_or_once_it_is_flat(signal, last, joined, target, now):
    assert joins([signal], [last], [joined]) == ([target], [now])


def test_an_asset_without_a_bar_neither_joins_nor_decides():
    target, now = joins([NAN, 1.0], [0.0, 0.0], [False, False])
    assert np.isnan(target[0])
    assert target[1] == 1.0
    assert now == [False, True]


def test_expected_targets_are_those_of_one_bar_after_another():
    bars = walk(40, hole=(slice(10, 13), 1))
    signal = np.sign(np.sin(np.arange(80).reshape(40, 2)))
    raw, effective = expected_targets(Wish(signal, None), bars, 5, "next_entry")
    last = np.nan_to_num(signal[4])
    joined = last == 0.0
    for k in range(35):
        row = np.where(np.isnan(bars.close[5 + k]), np.nan, signal[5 + k])
        target, joined = join_target(row, last, joined)
        np.testing.assert_array_equal(effective[k], target)
        np.testing.assert_array_equal(raw[k], row)
        last = np.where(np.isnan(row), last, row)


def test_joining_now_takes_over_what_stands():
    bars = walk(20)
    signal = np.ones((20, 2))
    assert (expected_targets(Wish(signal, None), bars, 5, "now")[1] == 1.0).all()
    assert (expected_targets(Wish(signal, None), bars, 5, "next_entry")[1] == 0.0).all()


def test_decisions_over_a_run_are_the_orders_of_the_backtest():
    # The book is kept by hand from the backtest's own fills: what is left to agree is the decision.
    bars = walk(60)
    target = np.where(np.sin(np.arange(120).reshape(60, 2) / 3.0) > 0, 1.0, -0.5)
    result = backtest(target, bars)
    sizer = Sizer(terms(), bars)
    book = Book(BUNDLE, 100_000.0, {"A": 1.0, "B": 1.0})
    fills = result.fills.to_dict("records")
    wanted = {}
    for row in result.orders.to_dict("records"):
        wanted[row["time"], row["symbol"]] = row["quantity"]
    assert len(wanted) > 20
    for t in range(60):
        for fill in [f for f in fills if f["time"] == bars.index[t]]:
            book.assets[fill["symbol"]].position += fill["quantity"]
            book.cash -= fill["quantity"] * fill["price"] + fill["commission"] + fill["fees"]
        part = bars.take(slice(0, t + 1))
        decision = signal_to_decision(
            part, Wish(target[: t + 1], None), book, sizer, last_close=bars.close[t]
        )
        for i, symbol in enumerate(bars.symbols):
            assert decision.quantity[i] == wanted.get((bars.index[t], symbol), 0.0)
            book.assets[symbol].last_target = decision.last_target[i]
            book.assets[symbol].last_signal = decision.last_signal[i]
        assert decision.equity == pytest.approx(result.equity.iloc[t], rel=1e-12)


def test_a_window_grows_without_touching_what_it_gave_out():
    bars = walk(30)
    window = Window(bars.take(slice(0, 5)))
    given = [window.bars()]
    for t in range(5, 30):
        values = np.stack([getattr(bars, c)[t] for c in ("open", "high", "low", "close", "volume")], axis=1)
        window.append(Row(int(bars.time[t]), int(bars.session[t]), values))
        given.append(window.bars())
    for k, part in enumerate(given):
        assert part.content_hash == bars.take(slice(0, 5 + k)).content_hash
    np.testing.assert_array_equal(window.at(int(bars.time[7]))[:, 3], bars.close[7])
    assert window.at(int(bars.time[7]) + 1) is None


def test_a_row_that_is_not_newer_is_refused():
    bars = walk(5)
    window = Window(bars)
    with pytest.raises(ValueError, match="not newer"):
        window.append(Row(int(bars.time[4]), int(bars.session[4]), np.ones((2, 5))))


def test_the_last_close_of_an_asset_that_pauses_is_kept():
    bars = walk(30, hole=(slice(20, 30), 1))
    last = Window(bars).last_close()
    assert last.tolist() == [bars.close[29, 0], bars.close[19, 1]]


def test_a_row_survives_the_journal_to_the_bit():
    values = np.array([[1.1, 1.3, 0.1 + 0.2, 1.2, 7.0], [NAN] * 5, [1.0, 1.0, 1.0, 1.0, NAN]])
    row = Row(123, 4, values)
    again = body_to_row(row_to_body(row, ("A", "B", "C")), ("A", "B", "C"))
    assert (again.time_ns, again.session) == (123, 4)
    np.testing.assert_array_equal(again.values, values)
