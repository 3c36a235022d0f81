"""Orders over a real socket: their lives, their codes, and both ways to fill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gateway_client import TestClient, buy, sell, stock

import quantlab as ql
from quantlab.barsize import BarSize
from quantlab.gateway.grid import CLOSE, grid_of
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.schedules import CommissionRow, Schedule, Tier
from quantlab.wire import messages as m

AAPL = stock("AAPL")


@pytest.fixture(scope="module")
def market():
    return Market.of_sample()


@pytest.fixture(params=["quotes", "bars"])
def gateway(market, request):
    with Gateway(market, speed="max", start="2012-01-03", fills=request.param) as running:
        yield running


@pytest.fixture
def client(gateway):
    with TestClient(gateway) as connected:
        yield connected


def place(client, order_id, ticket, contract=AAPL):
    client.send(m.PlaceOrder(order_id, contract, ticket))
    return client.sync()


def statuses(messages, order_id=1):
    return [x.status for x in messages if isinstance(x, m.OrderStatus) and x.order_id == order_id]


def is_report(x):
    return isinstance(x, m.CommissionReport)


def codes(messages):
    return [x.code for x in messages if isinstance(x, m.ErrorMessage)]


def day(gateway, date):
    return gateway.market.bars("AAPL", None, date, date)


# -- the life of an order ------------------------------------------------------------------------------


def test_a_market_order_out_of_hours_waits_and_fills_at_the_next_open_in_the_sequence_of_tws(client):
    waiting = place(client, 1, buy(100, order_ref="mine"))
    assert [type(x) for x in waiting] == [m.ErrorMessage, m.OpenOrder, m.OrderStatus]
    assert waiting[0].code == 399
    assert "2012-01-03 09:30:00 US/Eastern" in waiting[0].text
    assert statuses(waiting) == ["PreSubmitted"]
    filled = [x for x in client.drive(is_report) if not isinstance(x, m.CurrentTime)]
    assert [type(x) for x in filled] == [
        m.ExecutionData,
        m.OpenOrder,
        m.OrderStatus,
        m.OpenOrder,
        m.OrderStatus,
        m.CommissionReport,
    ]
    execution, first, status, second, again, report = filled
    assert (execution.request_id, execution.side, execution.quantity, execution.order_ref) == (
        -1,
        "BOT",
        100.0,
        "mine",
    )
    assert execution.time == "20120103 09:30:00 US/Eastern"
    assert (status.status, status.filled, status.remaining) == ("Filled", 100.0, 0.0)
    assert status == again
    assert first.state.commission is None
    assert second.state.commission == report.commission == 1.0
    assert report.exec_id == execution.exec_id
    assert execution.perm_id == status.perm_id == first.perm_id > 0


def test_what_the_gateway_says_is_what_it_did(gateway, client):
    place(client, 1, buy(100, order_ref="mine"))
    messages = client.drive(is_report)
    (done,) = (x for x in messages if isinstance(x, m.ExecutionData))
    (record,) = gateway.executions()
    assert (record.price, record.quantity, record.order_ref, record.exec_id) == (
        done.price,
        100.0,
        "mine",
        done.exec_id,
    )
    assert gateway.cash == 1_000_000.0 - (100 * record.price + record.commission)
    (held,) = gateway.positions()
    assert (held.symbol, held.quantity) == ("AAPL", 100.0)
    (order,) = gateway.orders()
    assert (order.status, order.filled, order.average_price) == ("Filled", 100.0, record.price)


def test_the_parts_of_a_price_add_up_to_it(gateway, client):
    place(client, 1, buy(100))
    place(client, 2, sell(50), stock("IBM"))
    client.drive(is_report)
    client.drive(lambda x: isinstance(x, m.CurrentTime))
    for x in gateway.executions():
        side = np.sign(x.quantity)
        parts = x.reference + x.latency_move + side * (x.half_spread + x.slippage) + x.rounding
        assert parts == pytest.approx(x.price, rel=1e-12)
        assert x.latency_move == pytest.approx(x.mid - x.reference)
    assert len(gateway.executions()) == 2


def test_a_cancelled_order_is_told_202_and_cancelled_and_nothing_fills(gateway, client):
    place(client, 1, buy(100, 1.0))
    client.send(m.CancelOrder(1))
    answer = client.sync()
    assert codes(answer) == [202]
    assert statuses(answer) == ["Cancelled"]
    assert gateway.orders()[0].status == "Cancelled"
    for _ in range(4):
        client.now()
    assert gateway.executions() == ()


def test_cancelling_what_is_not_there_or_has_ended_has_codes_of_its_own(client):
    client.send(m.CancelOrder(5))
    assert client.error(10147).request_id == 5
    place(client, 1, buy(100, 1.0))
    client.send(m.CancelOrder(1), m.CancelOrder(1))
    answer = client.sync()
    assert codes(answer) == [202, 10148]
    assert "state: Cancelled" in answer[-1].text
    place(client, 2, buy(100))
    client.drive(is_report)
    client.send(m.CancelOrder(2))
    assert "state: Filled" in client.error(10148).text


def test_a_global_cancel_ends_everybodys_orders(gateway, client):
    with TestClient(gateway, client_id=2) as other:
        place(client, 1, buy(100, 1.0))
        place(other, 1, buy(100, 2.0), stock("IBM"))
        client.send(m.RequestGlobalCancel())
        client.sync()
        assert statuses(other.sync()) == ["Cancelled"]
    assert {o.status for o in gateway.orders()} == {"Cancelled"}


def test_a_changed_order_keeps_its_number_and_fills_as_it_is_now(gateway, client):
    before = place(client, 1, buy(100, 1.0))
    changed = place(client, 1, buy(50, 500.0))
    perm_ids = {x.perm_id for x in (*before, *changed) if isinstance(x, m.OrderStatus)}
    assert len(perm_ids) == 1
    client.drive(is_report)
    assert [x.quantity for x in gateway.executions()] == [50.0]


def test_orders_that_are_not_transmitted_wait_until_they_are(gateway, client):
    assert statuses(place(client, 1, buy(100, transmit=False))) == ["PendingSubmit"]
    for _ in range(4):
        client.now()
    assert gateway.executions() == ()
    place(client, 1, buy(100))
    client.drive(is_report)


def test_a_what_if_order_is_answered_with_its_cost_and_margin_and_forgotten(gateway, client):
    (answer,) = place(client, 1, buy(100, what_if=True))
    assert answer.state.commission == 1.0
    assert float(answer.state.init_margin_change) == 100 * 405.0 / 2
    assert gateway.orders() == ()
    assert client.ask(m.RequestIds(), m.NextValidId).order_id == 1


# -- codes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ticket", "code"),
    [
        (buy(0), 434),
        (buy(-5), 321),
        (buy(1.5), 10243),
        (replace(buy(1), action="HOLD"), 321),
        (replace(buy(1), order_type="LOC"), 387),
        (buy(1, tif="GTX"), 321),
        (buy(1, 400.005), 110),
        (buy(1, 0.0), 321),
        (replace(buy(1, 1.0), limit_price=None), 321),
        (buy(1, account="DU999"), 321),
        (buy(1, e_trade_only=True), 10268),
        (buy(1, firm_quote_only=True), 10269),
        (buy(1, nbbo_price_cap=1.0), 10270),
        (buy(1, parent_id=7), 135),
        (buy(1, algo_strategy="Twap"), 201),
    ],
)
def test_an_order_that_cannot_be_taken_is_refused_with_its_code(gateway, client, ticket, code):
    assert codes(place(client, 1, ticket)) == [code]
    assert gateway.orders() == ()
    assert statuses(place(client, 1, buy(1))) == ["PreSubmitted"]  # the number is still free


def test_an_order_for_no_contract_is_refused(client):
    assert codes(place(client, 1, buy(1), stock("NOPE"))) == [200]


def test_an_order_that_the_account_cannot_carry_is_rejected_and_ends_inactive(gateway, client):
    answer = place(client, 1, buy(10_000))
    assert statuses(answer) == ["Inactive"]
    assert "initial margin" in answer[-1].text
    assert codes(answer) == [201]
    assert gateway.orders()[0].status == "Inactive"
    assert statuses(place(client, 2, buy(4_900)), 2) == ["PreSubmitted"]
    assert codes(place(client, 3, sell(10_000), stock("IBM"))) == [201]  # standing orders count


def test_what_makes_a_position_smaller_always_passes(market):
    with Gateway(market, speed="max", start="2012-01-03", cash=25_000, fills="bars") as gateway:
        client = TestClient(gateway)
        place(client, 1, buy(110))
        client.drive(is_report)
        assert codes(place(client, 2, buy(50))) == [201]
        assert statuses(place(client, 3, sell(110)), 3) == ["PreSubmitted"]
        assert 201 in codes(place(client, 4, sell(300)))  # through zero it grows on the other side


def test_a_number_is_used_once(gateway, client):
    place(client, 5, buy(100, 1.0))
    assert codes(place(client, 4, buy(1))) == [103]
    client.send(m.CancelOrder(5))
    client.sync()
    assert codes(place(client, 5, buy(100, 1.0))) == [103]
    place(client, 6, buy(10))
    client.drive(is_report)
    assert codes(place(client, 6, buy(10))) == [104]
    assert client.ask(m.RequestIds(), m.NextValidId).order_id == 7


@pytest.mark.parametrize(
    ("ticket", "contract"), [(sell(100, 1.0), AAPL), (buy(100), AAPL), (buy(100, 1.0), stock("IBM"))]
)
def test_a_change_of_side_type_or_contract_is_refused_and_the_order_stands(gateway, client, ticket, contract):
    place(client, 1, buy(100, 1.0))
    assert codes(place(client, 1, ticket, contract)) == [105]
    assert gateway.orders()[0].status == "PreSubmitted"


def test_before_its_first_bar_an_asset_cannot_be_traded(market):
    with Gateway(market, speed="max", start="2004-01-05") as gateway, TestClient(gateway) as client:
        answer = place(client, 1, buy(1), stock("GOOG"))
        assert codes(answer) == [201]
        assert "no prices" in answer[-1].text


def test_attributes_that_are_ignored_are_said_to_be(client):
    assert 2109 in codes(place(client, 1, buy(1, outside_rth=True)))


# -- times in force ------------------------------------------------------------------------------------


def test_a_day_order_ends_with_its_session_and_another_one_goes_on(gateway, client):
    place(client, 1, buy(100, 1.0, tif="DAY"))
    place(client, 2, buy(100, 1.0, tif="GTC"))
    passed = client.drive(lambda x: isinstance(x, m.ErrorMessage) and x.code == 202)
    assert passed[-1].request_id == 1
    assert gateway.now_ns == day(gateway, "2012-01-03").time[0]
    assert [o.status for o in gateway.orders()] == ["Cancelled", "Submitted"]


def test_an_order_good_till_cancelled_fills_on_the_day_that_reaches_it(gateway, client):
    bars = gateway.market.bars("AAPL", None, "2012-01-03", "2012-03-30")
    t = 10
    limit = float(np.ceil(bars.high[t, 0] * 100) / 100) + 0.01
    first = int(np.argmax(bars.high[:, 0] > limit * 1.001))
    place(client, 1, sell(10, limit, tif="GTC"))
    client.drive(is_report)
    (done,) = gateway.executions()
    assert done.price >= limit
    assert bars.session[first] * 86_400 * 10**9 < done.time_ns <= bars.time[first]


@pytest.mark.parametrize(("limit", "fills"), [(1.0, 0), (1000.0, 1)])
def test_an_immediate_order_fills_at_its_first_chance_or_ends(gateway, client, limit, fills):
    place(client, 1, buy(100, limit, tif="IOC"))
    client.drive(lambda x: isinstance(x, m.OrderStatus) and x.status in {"Filled", "Cancelled"})
    assert len(gateway.executions()) == fills


def test_an_order_for_the_opening_waits_for_the_next_session(market):
    with Gateway(market, speed="step", start="2012-01-03") as gateway, TestClient(gateway) as client:
        gateway.advance()  # the session has begun
        place(client, 1, buy(10, tif="OPG"))
        while not gateway.executions():
            assert gateway.advance()
        second = gateway.market.hours.open_ns[
            gateway.market.session_number(day(gateway, "2012-01-04").session[0])
        ]
        assert gateway.executions()[0].time_ns == second + 250_000_000


# -- limits --------------------------------------------------------------------------------------------


def test_by_bars_a_limit_fills_at_an_open_that_is_through_it_else_inside_the_bar(market):
    with Gateway(market, speed="max", start="2012-01-03", fills="bars") as gateway:
        client = TestClient(gateway)
        bar = day(gateway, "2012-01-03")
        opened, low, high = (float(x[0, 0]) for x in (bar.open, bar.low, bar.high))
        place(client, 1, buy(1, opened + 5.0))
        place(client, 2, buy(2, round(opened - 0.2, 2)))
        place(client, 3, sell(3, round(opened + 1.0, 2)), AAPL)
        place(client, 4, buy(4, low), AAPL)  # touched, not traded through
        place(client, 5, sell(5, round(high + 0.01, 2)))
        client.drive(lambda x: isinstance(x, m.ErrorMessage) and x.code == 202)
        client.sync()
        prices = {x.order_id: (x.price, x.time_ns) for x in gateway.executions()}
        start, end = gateway.market.hours.open_ns[gateway.market.session_number(bar.session[0])], bar.time[0]
        slipped = np.ceil(opened * 1.0001 * 100) / 100
        assert prices == {
            1: (slipped, start),
            2: (round(opened - 0.2, 2), end),
            3: (round(opened + 1.0, 2), end),
        }


def test_by_quotes_a_limit_fills_at_its_price_when_the_path_first_gets_there(market):
    with Gateway(market, speed="max", start="2012-01-03") as gateway, TestClient(gateway) as client:
        bar = day(gateway, "2012-01-03")
        limit = round(float(bar.low[0, 0] + bar.open[0, 0]) / 2, 2)
        place(client, 1, buy(10, limit))
        client.drive(is_report)
        (done,) = gateway.executions()
        assert done.price == limit
        assert done.mid == pytest.approx(limit / 1.0001, rel=1e-9)
        path = gateway.market.bars("AAPL", "5 secs", "2012-01-03", "2012-01-03")
        before = path.time <= done.time_ns - 5 * 10**9
        assert (path.low[before, 0] * 1.0001 > limit - 0.005).all()


def test_by_quotes_a_limit_that_is_through_the_market_fills_better_than_its_price(market):
    with Gateway(market, speed="max", start="2012-01-03") as gateway, TestClient(gateway) as client:
        place(client, 1, buy(10, 450.0))
        place(client, 2, sell(10, 300.0), stock("AAPL"))
        client.drive(lambda x: is_report(x) and len(gateway.executions()) == 2)
        bought, sold = gateway.executions()
        assert bought.price < 411
        assert sold.price > 408
        assert bought.price > sold.price


# -- fills by quotes -----------------------------------------------------------------------------------


def test_by_quotes_an_order_meets_the_ask_or_the_bid_some_time_after_it_came(market):
    with (
        Gateway(market, speed="max", start="2012-01-03", spread_bps=10, latency_s=7.5) as gateway,
        TestClient(gateway) as client,
    ):
        place(client, 1, buy(10))
        place(client, 2, sell(10), stock("IBM"))
        client.drive(lambda x: is_report(x) and len(gateway.executions()) == 2)
        bought, sold = gateway.executions()
        opened = day(gateway, "2012-01-03").open[0, 0]
        start = gateway.market.hours.open_ns[
            gateway.market.session_number(day(gateway, "2012-01-03").session[0])
        ]
        assert bought.time_ns == sold.time_ns == start + 7_500_000_000
        assert bought.reference == opened
        assert bought.half_spread == pytest.approx(bought.mid * 5e-4)
        assert bought.price == np.ceil(bought.mid * 1.0005 * 100) / 100
        assert sold.price == np.floor(sold.mid * 0.9995 * 100) / 100


def test_within_a_session_an_order_fills_after_its_latency(market):
    with Gateway(market, speed="step", start="2012-01-03") as gateway, TestClient(gateway) as client:
        gateway.advance()
        place(client, 1, buy(10))
        began = gateway.now_ns
        gateway.advance()
        assert gateway.executions()[0].time_ns == began + 250_000_000


# -- fills by bars are the engine's --------------------------------------------------------------------


@ql.strategy()
def weather(bars, seed=1):
    """Targets that change often, of both signs, with pauses."""
    rng = np.random.default_rng(seed)
    kept = rng.random(bars.shape) < 0.3
    raw = np.where(kept, np.round(rng.uniform(-1, 1, bars.shape), 2), np.nan)
    for t in range(1, len(raw)):
        raw[t] = np.where(np.isnan(raw[t]), raw[t - 1], raw[t])
    return np.nan_to_num(raw)


DATED = ql.Costs(
    commission=Schedule(
        "two tiers, dearer from 2005 on",
        (
            CommissionRow("2000-01-01", (Tier(0.003, up_to=1_000_000.0), Tier(0.001)), "made up"),
            CommissionRow("2005-01-10", (Tier(0.007, minimum=2.0, up_to=500_000.0), Tier(0.002)), "made up"),
        ),
    ),
    fees=None,
)
"""Tiers by monthly volume, and rates that change on a day: both matter for large orders."""


def replayed(market, bars, orders, size, start, costs):
    """Send the orders of a backtest to the gateway, each after the bar that decided it; what it made of them."""
    with (
        Gateway(
            market, speed="max", start=start, fills="bars", bar_size=size, costs=costs, cash=1e9
        ) as gateway,
        TestClient(gateway) as client,
    ):
        follow = m.RequestHistoricalData(
            9, stock(bars.symbols[0]), duration="2 D", bar_size=size, keep_up_to_date=True
        )
        client.ask(follow, m.HistoricalData)
        number = 0
        while gateway.now_ns < bars.time[-1]:
            client.now()
            closed = gateway._call(lambda: gateway._venue.clock.moment.phase) == CLOSE
            # The gateway puts exits first, then entries by column, in whatever order they come.
            for row in reversed(orders.get(gateway.now_ns, ())) if closed else ():
                number += 1
                ticket = (buy if row.quantity > 0 else sell)(abs(row.quantity))
                client.send(m.PlaceOrder(number, stock(row.symbol), ticket))
        return gateway.executions()


def time_ns(stamp, bars, size):
    """Close of the bar that a frame's label names."""
    day = np.datetime64(stamp.tz_localize(None) if stamp.tzinfo else stamp, "ns").astype(np.int64)
    if size != "1 day":
        return int(day)
    return int(bars.time[np.searchsorted(bars.session, day // (86_400 * 10**9))])


@pytest.mark.parametrize(
    ("symbols", "size", "span", "costs"),
    [
        (["AAPL", "IBM", "MSFT"], "1 day", ("2010-01-04", "2011-12-30"), ql.Costs.default()),
        (
            ["MSFT", "GOOG"],
            "1 day",
            ("2004-06-01", "2005-06-30"),
            DATED.replace(slippage_bps=3, spread_bps=4),
        ),
        (["AAPL", "IBM"], "5 mins", ("2012-02-06", "2012-02-10"), ql.Costs.ibkr_fixed(slippage_bps=2.5)),
    ],
)
def test_fills_by_bars_and_their_costs_are_the_engines_to_the_bit(symbols, size, span, costs):
    market = Market.of_sample(symbols)
    bars = market.bars(symbols, size, *span)
    cash = 50_000_000 if costs.commission == DATED.commission else 1_000_000
    result = ql.backtest(weather, bars, costs=costs, cash=cash, sizing=ql.Sizing(max_leverage=10.0))
    fills = [x for x in result.fills.itertuples() if x.kind == "order"]
    assert len(fills) > 100
    orders = {}
    for x in fills:
        decided = result.orders.loc[x.order, "time"]
        orders.setdefault(time_ns(decided, bars, size), []).append(x)
    got = replayed(market, bars, orders, size, span[0], costs)
    opens = dict(zip(bars.time.tolist(), opens_of(market, bars, size), strict=True))
    assert [(x.symbol, x.quantity, x.price, x.fees, x.time_ns) for x in got] == [
        (x.symbol, x.quantity, x.price, x.fees, opens[time_ns(x.time, bars, size)]) for x in fills
    ]
    assert [x.commission for x in got] == [x.commission + x.fees for x in fills]


def opens_of(market, bars, size):
    """When each bar opens."""
    grid = grid_of(market, BarSize.parse(size))
    return [grid.length_at(int(t) - 1)[0] for t in bars.time]
