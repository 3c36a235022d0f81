from __future__ import annotations

import dataclasses
from decimal import Decimal
from importlib import import_module

import pytest
from scripted_peer import LOCAL, Peer

from quantlab.broker import bridge, codes
from quantlab.broker import events as ev
from quantlab.broker.callbacks import Callbacks
from quantlab.broker.client import Client
from quantlab.broker.contracts import ContractDetails, ContractId, contract_of, find_contract, instrument_of
from quantlab.broker.orders import Ticket
from quantlab.errors import BrokerError, ContractError, ParameterError, RequestError, UnknownNameError
from quantlab.model import Instrument
from quantlab.wire import messages as wire

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib

BY_NOW_S = 5.0
AAPL = ContractId(265598, "AAPL")
WIRE_AAPL = wire.Contract(con_id=265598, symbol="AAPL", security_type="STK", exchange="SMART", currency="USD")
WIRE_DETAILS = wire.Contract(
    con_id=265598,
    symbol="AAPL",
    security_type="STK",
    exchange="SMART",
    primary_exchange="NASDAQ",
    currency="USD",
    local_symbol="AAPL",
    trading_class="NMS",
)


@pytest.fixture(params=[157, 178])
def peer(request):
    with Peer(ceiling=request.param) as opened:
        yield opened


@pytest.fixture
def client(peer):
    with Client(LOCAL, peer.port, 7, messages_per_s=None, allow_orders=True) as made:
        made.connect(BY_NOW_S)
        yield made


def next_of(client, *kinds):
    found = []
    for kind in kinds:
        while not found or not isinstance(found[-1], kind):
            event = client.next(BY_NOW_S)
            assert event is not None, f"no {kind.__name__} came"
            assert not isinstance(event, ev.CallbackFailure), event
            if isinstance(event, kind):
                found.append(event)
    return found[0] if len(found) == 1 else found


# -- orders ---------------------------------------------------------------------------------------------------


def test_an_order_carries_everything_on_which_presets_and_releases_disagree(client, peer):
    client.place_order(101, AAPL, Ticket(-100, "LMT", limit_price=187.25, order_ref="b1:2024-01-05:AAPL"))
    placed = peer.wait_for(wire.PlaceOrder)
    order = placed.order
    assert (placed.order_id, placed.contract.con_id, placed.contract.symbol) == (101, 265598, "AAPL")
    assert (order.action, order.quantity, order.order_type, order.limit_price) == (
        "SELL",
        100.0,
        "LMT",
        187.25,
    )
    assert (order.tif, order.account, order.order_ref) == ("DAY", "DU1234567", "b1:2024-01-05:AAPL")
    assert (order.outside_rth, order.transmit, order.e_trade_only, order.firm_quote_only) == (
        False,
        True,
        False,
        False,
    )
    assert not peer.failures


def test_a_whole_order_is_the_default_of_the_protocol(client, peer):
    """Nothing but what the ticket says differs from a plain order as the protocol's own record has it."""
    client.place_order(101, AAPL, Ticket(100.0))
    plain = wire.OrderTicket("BUY", 100.0, "MKT", account="DU1234567")
    assert peer.wait_for(wire.PlaceOrder).order == plain


@pytest.mark.parametrize(
    ("ticket", "sent"),
    [
        (Ticket(-9, "TRAIL", trail_amount=1.25), {"aux_price": 1.25, "trailing_percent": None}),
        (Ticket(-9, "TRAIL", trail_percent=8.0), {"aux_price": None, "trailing_percent": 8.0}),
        (
            Ticket(-9, "TRAIL", trail_amount=1.25, trail_stop_price=98.5),
            {"aux_price": 1.25, "trail_stop_price": 98.5},
        ),
        (
            Ticket(-9, "STP", stop_price=95.0, oca_group="g"),
            {"aux_price": 95.0, "oca_group": "g", "oca_type": 2},
        ),
        (
            Ticket(-9, "LMT", limit_price=99.0, oca_group="g", oca_type="cancel with block"),
            {"limit_price": 99.0, "oca_group": "g", "oca_type": 1},
        ),
        (
            Ticket(-9, "STP", stop_price=95.0, parent_id=7, transmit=False),
            {"parent_id": 7, "transmit": False, "oca_group": "", "oca_type": 0},
        ),
    ],
    ids=lambda x: x.order_type if isinstance(x, Ticket) else "",
)
def test_protective_orders_arrive_with_what_they_follow_and_whom_they_end(client, peer, ticket, sent):
    client.place_order(101, AAPL, ticket)
    order = peer.wait_for(wire.PlaceOrder).order
    assert {name: getattr(order, name) for name in sent} == sent


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"order_type": "TRAIL"}, "TRAIL needs one of the two"),
        ({"order_type": "TRAIL", "trail_amount": 1.0, "trail_percent": 2.0}, "TRAIL needs one of the two"),
        ({"order_type": "STP", "stop_price": 9.0, "trail_amount": 1.0}, "other types have neither"),
        ({"order_type": "TRAIL", "trail_amount": 0.0}, "above zero"),
        ({"order_type": "TRAIL", "trail_percent": float("nan")}, "above zero"),
        ({"order_type": "STP", "stop_price": 9.0, "trail_stop_price": 8.0}, "has no trail_stop_price"),
        ({"oca_type": "all"}, "OCA group"),
    ],
)
def test_a_trailing_stop_follows_by_one_thing_and_a_group_has_a_known_type(given, said):
    with pytest.raises((ParameterError, UnknownNameError), match=said):
        Ticket(-9.0, **given)


def test_flags_that_old_releases_set_are_unset():
    order = bridge.load_bridge().order(Ticket(1.0), account="DU1")
    for name in ("eTradeOnly", "firmQuoteOnly"):
        assert getattr(order, name, False) is False
    assert order.totalQuantity == Decimal(1)
    assert str(order.totalQuantity) == "1"


def test_flags_that_an_old_release_sets_are_unset_also_where_the_installed_one_has_none(monkeypatch):
    class OldOrder(import_module("ibapi.order").Order):
        def __init__(self):
            super().__init__()
            self.eTradeOnly = self.firmQuoteOnly = True

    monkeypatch.setattr("ibapi.order.Order", OldOrder)
    order = bridge.load_bridge().order(Ticket(1.0), account="DU1")
    assert (order.eTradeOnly, order.firmQuoteOnly) == (False, False)


def test_a_cancel_takes_what_its_release_wants():
    calls = []

    class Of981:
        def cancelOrder(self, orderId):  # noqa: N802, N803  # the official names
            calls.append((orderId,))

    class Of1019:
        def cancelOrder(self, orderId, manualCancelOrderTime):  # noqa: N802, N803
            calls.append((orderId, manualCancelOrderTime))

    for release in (Of981(), Of1019()):
        bridge.load_bridge().cancel_order(release, 5)
    assert calls == [(5,), (5, "")]


@pytest.mark.parametrize("quantity", [1.0, 150.0, 2_000_000.0, 1e12, 0.5])
def test_a_quantity_arrives_as_it_was_meant(client, peer, quantity):
    client.place_order(101, AAPL, Ticket(quantity))
    assert peer.wait_for(wire.PlaceOrder).order.quantity == quantity


@pytest.mark.parametrize("price", [0.1 + 0.2, 187.255, 1e-4, 123456.789])
def test_a_price_reaches_the_other_side_to_the_bit(client, peer, price):
    client.place_order(101, AAPL, Ticket(1.0, "STP LMT", limit_price=price, stop_price=price, tif="GTC"))
    order = peer.wait_for(wire.PlaceOrder).order
    assert (order.limit_price, order.aux_price, order.tif) == (price, price, "GTC")


def test_orders_need_a_client_that_may_place_them(peer):
    with Client(LOCAL, peer.port, 7, messages_per_s=None) as reading:
        reading.connect(BY_NOW_S)
        for touch in (
            lambda: reading.place_order(101, AAPL, Ticket(1.0)),
            lambda: reading.cancel_order(101),
            reading.request_global_cancel,
        ):
            with pytest.raises(BrokerError, match="allow_orders=True"):
                touch()
        reading.request_current_time()
        peer.wait_for(wire.RequestCurrentTime)
    assert not peer.of(wire.PlaceOrder)


@pytest.mark.parametrize("order_id", [0, -5, 100_000_000])
def test_an_order_id_outside_the_orders_numbers_is_refused(client, order_id):
    with pytest.raises(ParameterError, match="out of range"):
        client.place_order(order_id, AAPL, Ticket(1.0))


def test_an_order_without_an_account_is_refused_where_there_are_several():
    greeting = (wire.ManagedAccounts(("DU1", "DU2")), wire.NextValidId(1))
    with Peer(greeting=greeting) as peer, Client(LOCAL, peer.port, 1, allow_orders=True) as client:
        client.connect(BY_NOW_S)
        with pytest.raises(ParameterError, match="DU1, DU2"):
            client.place_order(1, AAPL, Ticket(1.0))
        client.place_order(1, AAPL, Ticket(1.0, account="DU2"))
        assert peer.wait_for(wire.PlaceOrder).order.account == "DU2"


@pytest.mark.parametrize(
    ("ticket", "said"),
    [
        ({"quantity": 0.0}, "quantity"),
        ({"quantity": float("nan")}, "quantity"),
        ({"quantity": 1.0, "order_type": "LMT"}, "needs limit_price"),
        ({"quantity": 1.0, "limit_price": 1.0}, "has no limit_price"),
        ({"quantity": 1.0, "order_type": "STP"}, "needs stop_price"),
        ({"quantity": 1.0, "order_type": "LMT", "limit_price": float("inf")}, "finite"),
        ({"quantity": 1.0, "order_ref": "café"}, "é"),
        ({"quantity": 1.0, "account": "DU\x001"}, "ASCII"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused_before_it_is_sent(ticket, said):
    with pytest.raises(ParameterError, match=said):
        Ticket(**ticket)


@pytest.mark.parametrize("field", [{"order_type": "BEST"}, {"tif": "FOREVER"}])
def test_an_unknown_order_type_or_time_in_force_lists_the_known(field):
    with pytest.raises(UnknownNameError, match="Known"):
        Ticket(1.0, **field)


def test_letters_that_the_protocol_cannot_carry_are_refused_in_contracts(client, peer):
    with pytest.raises(ParameterError, match=r"symbol 'SÜD'.*ASCII"):
        client.contract_details(ContractId(0, "SÜD"))
    with pytest.raises(ParameterError, match="ASCII"):
        client.place_order(101, ContractId(0, "A\x00B"), Ticket(1.0))
    assert not peer.of(wire.PlaceOrder)


def test_orders_are_cancelled_one_and_all(client, peer):
    client.cancel_order(101)
    client.request_global_cancel()
    assert peer.wait_for(wire.CancelOrder).order_id == 101
    peer.wait_for(wire.RequestGlobalCancel)
    assert not peer.failures


# -- what comes back ------------------------------------------------------------------------------------------


def test_an_order_s_life_comes_as_events(client, peer):
    order = wire.OrderTicket("SELL", 100.0, "LMT", limit_price=5.5, account="DU1", order_ref="r")
    peer.send(
        wire.OpenOrder(101, WIRE_AAPL, order, wire.OrderStateData(status="PreSubmitted"), 7, 0),
        wire.OrderStatus(101, "PreSubmitted", 0.0, 100.0, client_id=7),
        wire.ExecutionData(
            -1, 101, WIRE_AAPL, "0001.01", "20240105 10:00:01 America/New_York", "DU1", "NASDAQ", "SLD", 100.0, 5.5,
            perm_id=99, client_id=7, cumulative_quantity=100.0, average_price=5.5, order_ref="r",
        ),
        wire.OpenOrder(101, WIRE_AAPL, order, wire.OrderStateData(status="Filled", commission=1.25), 7, 99),
        wire.OrderStatus(101, "Filled", 100.0, 0.0, 5.5, 99, 0, 5.5, 7),
        wire.CommissionReport("0001.01", 1.25, "USD", None),
    )  # fmt: skip
    opened, status, done, filled, last, paid = next_of(
        client, ev.OrderOpen, ev.OrderStatus, ev.Execution, ev.OrderOpen, ev.OrderStatus, ev.Commission
    )
    assert (opened.quantity, opened.status, opened.perm_id, opened.commission) == (
        -100.0,
        "PreSubmitted",
        None,
        None,
    )
    assert (opened.limit_price, opened.stop_price, opened.order_ref, opened.client_id) == (5.5, None, "r", 7)
    assert (status.filled, status.remaining, status.average_price, status.perm_id) == (0.0, 100.0, None, None)
    assert (done.quantity, done.price, done.order_ref, done.perm_id, done.request_id) == (
        -100.0,
        5.5,
        "r",
        99,
        -1,
    )
    assert done.time_ns == 1_704_466_801 * 10**9
    assert done.symbol == done.contract.symbol == "AAPL"
    assert (filled.commission, filled.perm_id) == (1.25, 99)
    assert (last.status, last.average_price, last.last_price) == ("Filled", 5.5, 5.5)
    assert paid == ev.Commission("0001.01", 1.25, "USD", None)


def test_a_market_order_has_no_limit(client, peer):
    order = wire.OrderTicket("BUY", 1.0, "MKT", limit_price=0.0, aux_price=0.0)
    peer.send(wire.OpenOrder(101, WIRE_AAPL, order, wire.OrderStateData(status="Submitted"), 7, 1))
    opened = next_of(client, ev.OrderOpen)
    assert (opened.limit_price, opened.stop_price) == (None, None)


def test_open_orders_positions_executions_and_figures_are_asked_for_and_answered(client, peer):
    order = wire.OrderTicket("BUY", 5.0, "MKT", account="DU1")
    state = wire.OrderStateData(status="Submitted")

    def answer(message):
        match message:
            case wire.RequestAllOpenOrders():
                return [
                    wire.OpenOrder(0, WIRE_AAPL, order, state, 0, 55),
                    wire.OrderStatus(0, "Submitted", 0.0, 5.0, perm_id=55),
                    wire.OpenOrderEnd(),
                ]
            case wire.RequestExecutions(request_id=number):
                report = ("e.1", "20240105 10:00:01 UTC", "DU1", "SMART", "BOT", 5.0, 2.0)
                live = ("e.2", *report[1:])
                return [
                    wire.ExecutionData(number, 1, WIRE_AAPL, *report),
                    wire.ExecutionData(-1, 1, WIRE_AAPL, *live),
                    wire.CommissionReport("e.1", 1.0, "USD"),
                    wire.ExecutionDataEnd(number),
                ]
            case wire.RequestPositions():
                return [wire.PositionData("DU1", WIRE_AAPL, -3.0, 2.5), wire.PositionEnd()]
            case wire.RequestAccountSummary(request_id=number):
                return [
                    wire.AccountSummary(number, "DU1", "NetLiquidation", "1000000.5", "USD"),
                    wire.AccountSummaryEnd(number),
                ]
            case wire.RequestCompletedOrders():
                return [wire.CompletedOrdersEnd()]
        return []

    peer.answer = answer
    (opened,) = client.open_orders()
    assert (opened.order_id, opened.perm_id, opened.quantity) == (0, 55, 5.0)
    assert [e.exec_id for e in client.executions()] == ["e.1"]
    (held,) = client.positions()
    assert (held.account, held.quantity, held.average_cost) == ("DU1", -3.0, 2.5)
    peer.wait_for(wire.CancelPositions)
    (figure,) = client.account_summary(["NetLiquidation", "BuyingPower"])
    assert (figure.tag, figure.value, figure.currency) == ("NetLiquidation", "1000000.5", "USD")
    assert peer.wait_for(wire.RequestAccountSummary).tags == "NetLiquidation,BuyingPower"
    peer.wait_for(wire.CancelAccountSummary)
    assert client.completed_orders_end() == ()
    status, live, paid = next_of(client, ev.OrderStatus, ev.Execution, ev.Commission)
    assert (status.perm_id, live.exec_id, paid.exec_id) == (55, "e.2", "e.1")


def test_positions_that_were_subscribed_stay_subscribed(client, peer):
    peer.answer = lambda m: [wire.PositionEnd()] if isinstance(m, wire.RequestPositions) else []
    client.request_positions()
    assert client.positions() == ()
    client.request_current_time()
    peer.wait_for(wire.RequestCurrentTime)
    assert not peer.of(wire.CancelPositions)


def test_a_completed_order_comes_as_an_event(client, peer):
    order = wire.OrderTicket("BUY", 10.0, "LMT", limit_price=3.0, account="DU1", order_ref="r9")
    state = wire.OrderStateData(status="Cancelled", completed_status="Cancelled by Trader")
    done = wire.CompletedOrder(WIRE_AAPL, order, state, perm_id=77, filled_quantity=4.0)
    peer.answer = lambda m: (
        [done, wire.CompletedOrdersEnd()] if isinstance(m, wire.RequestCompletedOrders) else []
    )
    (found,) = client.completed_orders()
    assert (found.perm_id, found.order_ref, found.status, found.filled) == (77, "r9", "Cancelled", 4.0)


def test_account_updates_and_profit_come_as_events(client, peer):
    client.request_account_updates()
    number = client.request_pnl()
    asked = peer.wait_for(wire.RequestPnL)
    assert (asked.request_id, asked.account) == (number, "DU1234567")
    peer.send(
        wire.AccountValue("CashBalance", "12.5", "USD", "DU1"),
        wire.PortfolioValue(WIRE_AAPL, 10.0, 5.0, 50.0, 4.0, 10.0, 0.0, "DU1"),
        wire.AccountDownloadEnd("DU1"),
        wire.PnL(number, -1.5, None, None),
    )
    figure, part, _, profit = next_of(
        client, ev.AccountFigure, ev.PortfolioFigure, ev.AccountEnd, ev.PnlFigure
    )
    assert figure == ev.AccountFigure(-1, "DU1", "CashBalance", "12.5", "USD")
    assert (part.quantity, part.value, part.unrealized) == (10.0, 50.0, 10.0)
    assert profit == ev.PnlFigure(number, -1.5, None, None)


# -- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [(201, "no"), (201, "no", ""), (1_704_466_801_000, 201, "no", "")],
    ids=["of 9.81", "of 10.19", "of 10.37"],
)
def test_an_error_is_read_in_each_of_its_three_shapes(args):
    found = []
    Callbacks(found.append).error(101, *args)
    assert found == [ev.Notice(101, 201, "no", "order")]


def test_the_details_of_a_reject_are_in_the_text():
    found = []
    Callbacks(found.append).error(101, 201, "no", '{"reason": "margin"}')
    assert "margin" in found[0].text


class Report:
    def __init__(self, name, amount, realized):
        self.execId, self.currency, self.realizedPNL = "e.1", "USD", realized
        setattr(self, name, amount)


@pytest.mark.parametrize(
    ("callback", "field"),
    [("commissionReport", "commission"), ("commissionAndFeesReport", "commissionAndFees")],
)
def test_a_commission_is_read_under_both_of_its_names(callback, field):
    found = []
    getattr(Callbacks(found.append), callback)(Report(field, 1.25, 1.7976931348623157e308))
    assert found == [ev.Commission("e.1", 1.25, "USD", None)]


@pytest.mark.parametrize("amount", [-1.0, 1.7976931348623157e308])
def test_a_commission_that_is_not_known_yet_is_none(amount):
    found = []
    Callbacks(found.append).commissionReport(Report("commission", amount, 0.0))
    assert found[0].amount is None


@pytest.mark.parametrize(
    "unset",
    [None, "", 1.7976931348623157e308, 2**31 - 1, 2**63 - 1, Decimal(2**127 - 1), float("nan"), float("inf")],
)
def test_every_way_of_saying_unset_becomes_none(unset):
    assert bridge.number(unset) is None
    assert bridge.whole(unset) is None


@pytest.mark.parametrize(
    ("given", "made"), [(0, 0.0), (Decimal("9390.73"), 9390.73), (-3.5, -3.5), ("2", 2.0)]
)
def test_what_is_set_becomes_a_float(given, made):
    assert bridge.number(given) == made


@pytest.mark.parametrize(
    ("code", "about", "severity"),
    [
        (2104, -1, "info"),
        (10349, 101, "info"),
        (399, 101, "warning"),
        (2109, 101, "warning"),
        (10167, 100_000_001, "warning"),
        (104, 101, "warning"),
        (10147, 101, "warning"),
        (1101, -1, "warning"),
        (1102, -1, "info"),
        (1100, -1, "connection"),
        (326, -1, "connection"),
        (201, 101, "order"),
        (202, 101, "order"),
        (110, 101, "order"),
        (434, 101, "order"),
        (200, 101, "order"),
        (200, 100_000_000, "request"),
        (321, -1, "request"),
        (99_999, 101, "warning"),
    ],
)
def test_a_code_has_the_severity_of_what_it_is_about(code, about, severity):
    assert codes.severity_of(code, about) == severity


def test_no_code_of_information_fails_an_order():
    harmless = [399, 10167, 10349, 1101, 1102, *range(2100, 2200)]
    assert {codes.severity_of(c, 101) for c in harmless} <= {"info", "warning", "connection"}
    assert [c for c in harmless if codes.severity_of(c, 101) == "connection"] == [2110]


def test_a_history_query_that_we_cancelled_is_no_failure():
    assert codes.severity_of(162, 100_000_000, "API historical data query cancelled: 100000000") == "info"
    assert codes.severity_of(162, 100_000_000, "pacing violation") == "request"


def test_a_request_answered_by_a_code_raises_it_with_advice(client, peer):
    def answer(message):
        if isinstance(message, wire.RequestHistoricalData):
            return [wire.ErrorMessage(message.request_id, 354, "Requested market data is not subscribed.")]
        return []

    peer.answer = answer
    with pytest.raises(RequestError, match=r"error 354.*delayed") as caught:
        client.history(AAPL, duration="1 D", bar_size="1 day")
    assert caught.value.code == 354


# -- contracts ------------------------------------------------------------------------------------------------


def details(contract=WIRE_DETAILS, **fields):
    return wire.ContractData(
        100_000_000,
        contract,
        min_tick=fields.pop("min_tick", 0.01),
        long_name="APPLE INC",
        order_types="LMT,MKT",
        valid_exchanges="SMART,NASDAQ",
        time_zone="US/Eastern",
        liquid_hours="20240105:0930-20240105:1600",
        market_rule_ids="26,26",
        **fields,
    )


def answering(*found):
    def answer(message):
        if isinstance(message, wire.RequestContractData):
            return [*found, wire.ContractDataEnd(message.request_id)]
        return []

    return answer


def test_a_contract_is_found_with_its_details(client, peer):
    peer.answer = answering(details())
    found = find_contract(client, "AAPL")
    asked = peer.wait_for(wire.RequestContractData).contract
    assert (asked.symbol, asked.security_type, asked.exchange, asked.currency) == (
        "AAPL",
        "STK",
        "SMART",
        "USD",
    )
    assert (found.contract.con_id, found.contract.primary_exchange, found.long_name) == (
        265598,
        "NASDAQ",
        "APPLE INC",
    )
    assert (found.tick, found.order_types, found.exchanges) == (0.01, ("LMT", "MKT"), ("SMART", "NASDAQ"))
    assert instrument_of(found) == Instrument("AAPL", tick=0.01)


def test_an_ambiguous_symbol_lists_what_there_is(client, peer):
    other = wire.Contract(con_id=2, symbol="AAPL", security_type="STK", exchange="SMART", currency="EUR")
    peer.answer = answering(details(), details(other))
    with pytest.raises(ContractError, match=r"2 contracts.*USD.*EUR.*Say which"):
        find_contract(client, "AAPL", currency="")


def test_an_unknown_symbol_says_what_to_check(client, peer):
    peer.answer = lambda m: (
        [wire.ErrorMessage(m.request_id, 200, "No security definition has been found for the request")]
        if isinstance(m, wire.RequestContractData)
        else []
    )
    with pytest.raises(
        ContractError, match=r"no contract BRK\.B.*share classes are written with a space: BRK B"
    ):
        find_contract(client, "BRK.B")


def test_a_symbol_on_another_exchange_is_shown(client, peer):
    def answer(message):
        if not isinstance(message, wire.RequestContractData):
            return []
        if message.contract.currency == "GBP":
            return [wire.ErrorMessage(message.request_id, 200, "No security definition has been found")]
        return [
            dataclasses.replace(details(), request_id=message.request_id),
            wire.ContractDataEnd(message.request_id),
        ]

    peer.answer = answer
    with pytest.raises(ContractError, match=r"there is: AAPL STK SMART/NASDAQ USD"):
        find_contract(client, "AAPL", currency="GBP")


def test_a_price_magnifier_goes_into_multiplier_and_tick():
    corn = ContractDetails(
        ContractId(1, "ZC", "FUT", "CBOT", multiplier=5000.0), tick=0.0025, price_magnifier=100
    )
    made = instrument_of(corn)
    assert (made.multiplier, made.tick, made.lot) == (50.0, 0.25, 1.0)


def test_a_size_step_is_the_lot_of_crypto_only():
    coin = ContractDetails(ContractId(1, "BTC", "CRYPTO", "PAXOS"), size_step=1e-8)
    share = ContractDetails(ContractId(1, "AAPL"), size_step=1e-4)
    assert instrument_of(coin).lot == 1e-8
    assert instrument_of(share).lot == 1.0


def test_an_instrument_is_described_as_a_contract_and_back():
    assert contract_of(Instrument("AAPL")) == ContractId(0, "AAPL")
    assert contract_of(Instrument("ES", "FUT", "CME", multiplier=50.0)).multiplier == 50.0
    assert contract_of(Instrument("ES", "FUT", "CME", multiplier=50.0), 5).con_id == 5


# -- data -----------------------------------------------------------------------------------------------------


def test_history_comes_with_unset_volumes_as_none(client, peer):
    def answer(message):
        if isinstance(message, wire.RequestHistoricalData):
            bars = (
                wire.HistoricalBar("1704465000", 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 7),
                wire.HistoricalBar("1704465060", 1.5, 2.0, 1.0, 1.75),
            )
            return [wire.HistoricalData(message.request_id, "", "", bars)]
        return []

    peer.answer = answer
    first, second = client.history(AAPL, end=1_704_470_400 * 10**9, duration="1 D", bar_size="1 min")
    asked = peer.wait_for(wire.RequestHistoricalData)
    assert (asked.end, asked.bar_size, asked.duration) == ("20240105-16:00:00", "1 min", "1 D")
    assert (asked.what, asked.regular_hours, asked.format_date, asked.keep_up_to_date) == (
        "TRADES",
        True,
        2,
        False,
    )
    assert (first.time_ns, first.time_text) == (1_704_465_000 * 10**9, "1704465000")
    assert (first.open, first.high, first.low, first.close) == (1.0, 2.0, 0.5, 1.5)
    assert (first.volume, first.average, first.count) == (100.0, 1.25, 7)
    assert (second.volume, second.average, second.count) == (None, None, None)


def test_a_daily_bar_has_a_date_and_no_instant(client, peer):
    bars = (wire.HistoricalBar("20240105", 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 7),)
    peer.answer = lambda m: (
        [wire.HistoricalData(m.request_id, "", "", bars)] if isinstance(m, wire.RequestHistoricalData) else []
    )
    (bar,) = client.history(AAPL, duration="1 D", bar_size="1 day")
    assert (bar.time_text, bar.time_ns) == ("20240105", None)
    assert peer.wait_for(wire.RequestHistoricalData).end == ""


def test_no_data_is_an_empty_answer(client, peer):
    text = "Historical Market Data Service error message:HMDS query returned no data: AAPL@SMART Trades"
    peer.answer = lambda m: (
        [wire.ErrorMessage(m.request_id, 162, text)] if isinstance(m, wire.RequestHistoricalData) else []
    )
    assert client.history(AAPL, duration="1 D", bar_size="1 day") == ()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"bar_size": "7 mins"}, UnknownNameError),
        ({"bar_size": "1 day", "what": "PRICES"}, UnknownNameError),
        ({"bar_size": "1 day", "what": "ADJUSTED_LAST", "end": 10**18}, ParameterError),
        ({"bar_size": "1 day", "duration": "1 Jahr…"}, ParameterError),
    ],
)
def test_history_that_cannot_be_asked_for_is_refused(client, options, error):
    with pytest.raises(error):
        client.history(AAPL, **{"duration": "1 D", **options})


def test_a_head_timestamp_is_asked_for_and_cancelled(client, peer):
    peer.answer = lambda m: (
        [wire.HeadTimestamp(m.request_id, "19801212-14:30:00")]
        if isinstance(m, wire.RequestHeadTimestamp)
        else []
    )
    assert client.head_timestamp(AAPL) == 345_479_400 * 10**9
    peer.wait_for(wire.CancelHeadTimestamp)


def test_bars_that_stay_up_to_date_come_as_updates_until_they_are_unsubscribed(client, peer):
    number = client.subscribe_bars(AAPL, "1 min", "1 D")
    asked = peer.wait_for(wire.RequestHistoricalData)
    assert (asked.keep_up_to_date, asked.end, asked.request_id) == (True, "", number)
    bar = wire.HistoricalBar("1704465000", 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 7)
    peer.send(wire.HistoricalData(number, "a", "b", (bar,)), wire.HistoricalDataUpdate(number, bar))
    first, end, update = next_of(client, ev.HistoryBar, ev.HistoryEnd, ev.BarUpdate)
    assert (end.request_id, update.request_id) == (number, number)
    assert update.bar == first
    client.unsubscribe(number)
    assert peer.wait_for(wire.CancelHistoricalData).request_id == number
    with pytest.raises(ParameterError, match="no subscription"):
        client.unsubscribe(number)


def test_real_time_bars_come_with_their_open_time(client, peer):
    number = client.subscribe_real_time_bars(AAPL)
    assert peer.wait_for(wire.RequestRealTimeBars).bar_size_s == 5
    peer.send(wire.RealTimeBar(number, 1_704_465_000, 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 7))
    bar = next_of(client, ev.RealTimeBar)
    assert bar == ev.RealTimeBar(number, 1_704_465_000 * 10**9, 1.0, 2.0, 0.5, 1.5, 100.0, 1.25, 7)


def test_ticks_come_by_their_names_and_what_is_not_there_does_not_come(client, peer):
    number = client.subscribe_ticks(AAPL)
    peer.wait_for(wire.RequestMarketData)
    peer.send(
        wire.MarketDataType(number, 3),
        wire.TickPrice(number, 1, 187.2, 5.0),
        wire.TickPrice(number, 2, -1.0, 0.0),
        wire.TickSize(number, 8, 1000.0),
        wire.TickString(number, 45, "1704465000"),
        wire.TickPrice(number, 68, 187.1, 1.0),
        wire.TickGeneric(number, 49, 0.0),
    )
    kind = next_of(client, ev.MarketDataKind)
    assert kind.kind == "delayed"
    ticks = {}
    while "halted" not in ticks:
        tick = next_of(client, ev.Tick)
        ticks[tick.kind] = tick
    assert ticks["bid"].value == 187.2
    assert ticks["bid_size"].value == 5.0
    assert "ask" not in ticks
    assert ticks["volume"].value == 1000.0
    assert ticks["last_time"].time_ns == 1_704_465_000 * 10**9
    assert ticks["delayed_last"].value == 187.1


def test_each_trade_quote_and_midpoint_comes(client, peer):
    trades = client.subscribe_ticks(AAPL, "trades")
    quotes = client.subscribe_ticks(AAPL, "quotes")
    middle = client.subscribe_ticks(AAPL, "midpoint")
    assert [peer.wait_for(wire.RequestTickByTick, k).kind for k in (1, 2, 3)] == [
        "Last",
        "BidAsk",
        "MidPoint",
    ]
    peer.send(
        wire.TickByTickLast(trades, 5, 187.2, 100.0, exchange="NASDAQ", conditions="@"),
        wire.TickByTickBidAsk(quotes, 6, 187.1, 187.3, 1.0, 2.0),
        wire.TickByTickMidPoint(middle, 7, 187.2),
    )
    assert next_of(client, ev.TradeTick) == ev.TradeTick(trades, 5 * 10**9, 187.2, 100.0, "NASDAQ", "@")
    assert next_of(client, ev.QuoteTick) == ev.QuoteTick(quotes, 6 * 10**9, 187.1, 187.3, 1.0, 2.0)
    assert next_of(client, ev.MidTick) == ev.MidTick(middle, 7 * 10**9, 187.2)
    for number in (trades, quotes, middle):
        client.unsubscribe(number)
    peer.wait_for(wire.CancelTickByTick, 3)


def test_what_was_subscribed_ends_with_its_connection(client, peer):
    number = client.subscribe_ticks(AAPL)
    client.close()
    client.connect(BY_NOW_S)
    with pytest.raises(ParameterError, match="no subscription"):
        client.unsubscribe(number)
    assert client.subscribe_ticks(AAPL) > number


def test_requests_for_data_and_orders_never_share_a_number(client):
    numbers = [
        client.subscribe_ticks(AAPL),
        client.request_executions(),
        client.subscribe_bars(AAPL, "1 day", "1 Y"),
    ]
    assert numbers == sorted(set(numbers))
    assert min(numbers) >= 100_000_000
