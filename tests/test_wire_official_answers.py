"""Our server's bytes, read by the official client's decoder: every answer, field by field and to its end."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibapi.ticktype import TickTypeEnum
from official_client import (
    CONTRACT_NAMES,
    IS_NEW,
    NEWEST,
    as_ours,
    picked,
    plain_names,
    read_by_official,
)
from wire_records import APPLE, VERSIONS, any_message, differs_by_version, one_at_a_time, spoken_of, two_ends

from quantlab.wire import messages as m
from quantlab.wire.layout import When
from quantlab.wire.to_client import TO_CLIENT

pytestmark = pytest.mark.ib

AT = [
    v
    for v in (157, 159, 163, 164, 166, 170, 176, 177, 178, 182, 186, 189, 193, 194, 196, 198, 199, 200)
    if v <= NEWEST
]
"""Versions that this official client speaks."""
PROMISED = [v for v in VERSIONS if v <= NEWEST]
ANSWERS = [s.record for s in TO_CLIENT]
CHANGING = [record for record in ANSWERS if differs_by_version(record)]

LEFT_OUT = {"include_expired", "sec_id_type", "sec_id", "issuer_id"}
CONTRACT = {ours: theirs for ours, theirs in CONTRACT_NAMES.items() if ours not in LEFT_OUT}

DETAILS = {
    "market_name": "marketName",
    "min_tick": "minTick",
    "order_types": "orderTypes",
    "valid_exchanges": "validExchanges",
    "price_magnifier": "priceMagnifier",
    "under_con_id": "underConId",
    "long_name": "longName",
    "contract_month": "contractMonth",
    "industry": "industry",
    "category": "category",
    "subcategory": "subcategory",
    "time_zone": "timeZoneId",
    "trading_hours": "tradingHours",
    "liquid_hours": "liquidHours",
    "ev_rule": "evRule",
    "ev_multiplier": "evMultiplier",
    "agg_group": "aggGroup",
    "under_symbol": "underSymbol",
    "under_security_type": "underSecType",
    "market_rule_ids": "marketRuleIds",
    "real_expiration_date": "realExpirationDate",
    "stock_type": "stockType",
    "min_size": "minSize",
    "size_increment": "sizeIncrement",
    "suggested_size_increment": "suggestedSizeIncrement",
}

EXECUTION = {
    "order_id": "orderId",
    "exec_id": "execId",
    "time": "time",
    "account": "acctNumber",
    "exchange": "exchange",
    "side": "side",
    "quantity": "shares",
    "price": "price",
    "perm_id": "permId",
    "client_id": "clientId",
    "liquidation": "liquidation",
    "cumulative_quantity": "cumQty",
    "average_price": "avgPrice",
    "order_ref": "orderRef",
    "ev_rule": "evRule",
    "ev_multiplier": "evMultiplier",
    "model_code": "modelCode",
    "last_liquidity": "lastLiquidity",
    "pending_price_revision": "pendingPriceRevision",
    "submitter": "submitter",
}

MARGINS = [
    f"{figure}_{when}"
    for when in ("before", "change", "after")
    for figure in ("init_margin", "maint_margin", "equity_with_loan")
]
STATE = {
    **{
        name: "".join([w if i == 0 else w.capitalize() for i, w in enumerate(name.split("_"))])
        for name in MARGINS
    },
    "status": "status",
    "warning_text": "warningText",
    "commission": "commissionAndFees" if IS_NEW else "commission",
    "min_commission": "minCommissionAndFees" if IS_NEW else "minCommission",
    "max_commission": "maxCommissionAndFees" if IS_NEW else "maxCommission",
    "commission_currency": "commissionAndFeesCurrency" if IS_NEW else "commissionCurrency",
    "completed_time": "completedTime",
    "completed_status": "completedStatus",
}

COMPLETED = {
    "perm_id": "permId",
    "parent_perm_id": "parentPermId",
    "filled_quantity": "filledQuantity",
    "auto_cancel_date": "autoCancelDate",
    "shareholder": "shareholder",
    "ref_futures_con_id": "refFuturesConId",
    "route_marketable_to_bbo": "routeMarketableToBbo",
}

READ_AS_ZERO = {
    "volatility_type",
    "display_size",
    "reference_price_type",
    "use_price_mgmt_algo",
    "agg_group",
    "ev_multiplier",
    "size",
}
"""Where the official decoder makes 0 of what is unset."""


def own(message, names):
    return {name: getattr(message, name) for name in names}


def check(expected, found):
    """Compare by name: every name that both have."""
    both = expected.keys() & found.keys()
    for name in both:
        theirs = found[name]
        if expected[name] is None and name in READ_AS_ZERO:
            assert theirs in {None, 0}, name
        else:
            assert theirs == expected[name], name
    return both


def arguments(message, version):
    """The one callback that a message brings."""
    ((call, found),) = calls_of(message, version)
    return call, found


@cache
def server_of(version):
    return two_ends(version)[1]


def calls_of(message, version):
    """Every callback that a message brings, its arguments as they are."""
    return read_by_official(version, server_of(version).send(message))


# -- callbacks of plain values -----------------------------------------------------------------------------

PLAIN = {
    m.ManagedAccounts: ("managedAccounts", lambda x: (",".join(x.accounts),)),
    m.NextValidId: ("nextValidId", lambda x: (x.order_id,)),
    m.CurrentTime: ("currentTime", lambda x: (x.time_s,)),
    m.ContractDataEnd: ("contractDetailsEnd", lambda x: (x.request_id,)),
    m.HeadTimestamp: ("headTimestamp", lambda x: (x.request_id, x.time_text)),
    m.HistoricalDataEnd: ("historicalDataEnd", lambda x: (x.request_id, x.start, x.end)),
    m.RealTimeBar: (
        "realtimeBar",
        lambda x: (x.request_id, x.time_s, x.open, x.high, x.low, x.close, x.volume, x.wap, x.count),
    ),
    m.TickSize: ("tickSize", lambda x: (x.request_id, x.tick_type, x.size)),
    m.TickGeneric: ("tickGeneric", lambda x: (x.request_id, x.tick_type, x.value)),
    m.TickString: ("tickString", lambda x: (x.request_id, x.tick_type, x.value)),
    m.TickSnapshotEnd: ("tickSnapshotEnd", lambda x: (x.request_id,)),
    m.MarketDataType: ("marketDataType", lambda x: (x.request_id, x.data_type)),
    m.TickReqParams: (
        "tickReqParams",
        lambda x: (x.request_id, x.min_tick, x.bbo_exchange, x.snapshot_permissions),
    ),
    m.TickByTickMidPoint: ("tickByTickMidPoint", lambda x: (x.request_id, x.time_s, x.mid_point)),
    m.OpenOrderEnd: ("openOrderEnd", lambda _: ()),
    m.CompletedOrdersEnd: ("completedOrdersEnd", lambda _: ()),
    m.OrderStatus: (
        "orderStatus",
        lambda x: (
            *(x.order_id, x.status, x.filled, x.remaining, x.average_price, x.perm_id, x.parent_id),
            *(x.last_price, x.client_id, x.why_held, x.market_cap_price),
        ),
    ),
    m.ExecutionDataEnd: ("execDetailsEnd", lambda x: (x.request_id,)),
    m.PositionEnd: ("positionEnd", lambda _: ()),
    m.AccountSummary: ("accountSummary", lambda x: (x.request_id, x.account, x.tag, x.value, x.currency)),
    m.AccountSummaryEnd: ("accountSummaryEnd", lambda x: (x.request_id,)),
    m.AccountValue: ("updateAccountValue", lambda x: (x.key, x.value, x.currency, x.account)),
    m.AccountUpdateTime: ("updateAccountTime", lambda x: (x.time_text,)),
    m.AccountDownloadEnd: ("accountDownloadEnd", lambda x: (x.account,)),
    m.PnL: ("pnl", lambda x: (x.request_id, x.daily, x.unrealized, x.realized)),
    m.PnLSingle: (
        "pnlSingle",
        lambda x: (x.request_id, x.quantity, x.daily, x.unrealized, x.realized, x.value),
    ),
}


def check_plain(message, version):
    name, expected = PLAIN[type(message)]
    called, found = arguments(message, version)
    assert called == name
    assert tuple(map(as_ours, found)) == expected(message)


# -- callbacks of objects ----------------------------------------------------------------------------------


def check_error(message, version):
    called, found = arguments(message, version)
    assert called == "error"
    found = list(found)
    if IS_NEW:
        time_ms = found.pop(1)
        assert time_ms == ((message.time_ms or 0) if version >= 194 else 0) or message.time_ms is None
    advanced = (message.advanced,) if IS_NEW else ()
    assert tuple(found) == (message.request_id, message.code, message.text, *advanced)


def check_contract_data(message, version):
    called, (request_id, details) = arguments(message, version)
    assert (called, request_id) == ("contractDetails", message.request_id)
    assert len(check(own(message.contract, CONTRACT), picked(details.contract, CONTRACT))) == len(CONTRACT)
    found = picked(details, DETAILS)
    sizes = {"min_size", "size_increment", "suggested_size_increment"} if version < 164 else set()
    check(own(message, DETAILS.keys() - sizes), found)
    assert [(t.tag, t.value) for t in details.secIdList or []] == list(message.sec_ids)


BAR = {
    "date": "date",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "wap": "wap" if IS_NEW else "average",
    "count": "barCount",
}


def check_bars(message, version):
    calls = calls_of(message, version)
    if version < 196:
        assert calls.pop() == ("historicalDataEnd", (message.request_id, message.start, message.end))
    assert [(name, request_id) for name, (request_id, _) in calls] == [
        ("historicalData", message.request_id) for _ in message.bars
    ]
    for (_, (_, found)), bar in zip(calls, message.bars, strict=True):
        assert len(check(own(bar, BAR), picked(found, BAR))) == len(BAR)


def check_bar_update(message, version):
    called, (request_id, found) = arguments(message, version)
    assert (called, request_id) == ("historicalDataUpdate", message.request_id)
    assert len(check(own(message.bar, BAR), picked(found, BAR))) == len(BAR)


SIZE_OF = {1: 0, 2: 3, 4: 5, 66: 69, 67: 70, 68: 71}


def check_tick_price(message, version):
    calls = calls_of(message, version)
    name, (request_id, tick_type, price, attributes) = calls[0]
    assert (name, request_id, tick_type, price) == (
        "tickPrice",
        message.request_id,
        message.tick_type,
        message.price,
    )
    assert attributes.canAutoExecute == message.can_auto_execute
    assert attributes.pastLimit == message.past_limit
    assert attributes.preOpen == message.pre_open
    if message.tick_type in SIZE_OF:
        name, (request_id, size_type, size) = calls[1]
        assert (name, request_id, size_type) == ("tickSize", message.request_id, SIZE_OF[message.tick_type])
        check({"size": message.size}, {"size": as_ours(size)})
    else:
        assert len(calls) == 1


def check_trade(message, version):
    called, found = arguments(message, version)
    request_id, tick_type, time_s, price, size, attributes, exchange, conditions = map(as_ours, found)
    assert called == "tickByTickAllLast"
    assert (request_id, tick_type, time_s) == (message.request_id, message.tick_type, message.time_s)
    assert (price, size, exchange, conditions) == (
        message.price,
        message.size,
        message.exchange,
        message.conditions,
    )
    assert (attributes.pastLimit, attributes.unreported) == (message.past_limit, message.unreported)


def check_quote(message, version):
    called, found = arguments(message, version)
    *values, attributes = map(as_ours, found)
    assert called == "tickByTickBidAsk"
    assert values == [
        message.request_id,
        message.time_s,
        message.bid,
        message.ask,
        message.bid_size,
        message.ask_size,
    ]
    assert (attributes.bidPastLow, attributes.askPastHigh) == (message.bid_past_low, message.ask_past_high)


WITHOUT_PRIMARY = {ours: theirs for ours, theirs in CONTRACT.items() if ours != "primary_exchange"}


def check_order(message, order):
    names = plain_names()
    expected = own(message.order, names)
    assert len(check(expected, picked(order, names))) == len(names)
    assert as_ours(order.totalQuantity) == message.order.quantity
    assert [(t.tag, t.value) for t in order.algoParams or []] == list(message.order.algo_params)


def check_open_order(message, version):
    called, (order_id, contract, order, state) = arguments(message, version)
    assert (called, order_id) == ("openOrder", message.order_id)
    check(own(message.contract, WITHOUT_PRIMARY), picked(contract, WITHOUT_PRIMARY))
    check_order(message, order)
    tier, ticket = order.softDollarTier, message.order
    assert (tier.name, tier.val, tier.displayName) == (
        ticket.soft_dollar_name,
        ticket.soft_dollar_value,
        ticket.soft_dollar_display_name,
    )
    assert (order.clientId, order.permId) == (message.client_id, message.perm_id)
    assert len(check(own(message.state, STATE), picked(state, STATE))) == len(STATE)


def check_completed_order(message, version):
    called, (contract, order, state) = arguments(message, version)
    assert called == "completedOrder"
    check(own(message.contract, WITHOUT_PRIMARY), picked(contract, WITHOUT_PRIMARY))
    check_order(message, order)
    assert len(check(own(message, COMPLETED), picked(order, COMPLETED))) == len(COMPLETED)
    assert len(check(own(message.state, STATE), picked(state, STATE))) == len(STATE)


def check_execution(message, version):
    called, (request_id, contract, execution) = arguments(message, version)
    assert (called, request_id) == ("execDetails", message.request_id)
    check(own(message.contract, WITHOUT_PRIMARY), picked(contract, WITHOUT_PRIMARY))
    assert len(check(own(message, EXECUTION), picked(execution, EXECUTION))) >= 18


def check_commission(message, version):
    called, (report,) = arguments(message, version)
    assert called == ("commissionAndFeesReport" if IS_NEW else "commissionReport")
    names = {
        "exec_id": "execId",
        "commission": "commissionAndFees" if IS_NEW else "commission",
        "currency": "currency",
        "realized_pnl": "realizedPNL",
        "yield_": "yield_",
        "yield_redemption_date": "yieldRedemptionDate",
    }
    assert len(check(own(message, names), picked(report, names))) == len(names)


def check_position(message, version):
    called, (account, contract, quantity, cost) = arguments(message, version)
    assert (called, account) == ("position", message.account)
    check(own(message.contract, WITHOUT_PRIMARY), picked(contract, WITHOUT_PRIMARY))
    assert (as_ours(quantity), cost) == (message.quantity, message.average_cost)


def check_portfolio(message, version):
    called, (contract, *found) = arguments(message, version)
    assert called == "updatePortfolio"
    names = {ours: theirs for ours, theirs in CONTRACT.items() if ours != "exchange"}
    check(own(message.contract, names), picked(contract, names))
    assert [as_ours(value) for value in found] == [
        message.quantity,
        message.market_price,
        message.market_value,
        message.average_cost,
        message.unrealized_pnl,
        message.realized_pnl,
        message.account,
    ]


OBJECTS = {
    m.ErrorMessage: check_error,
    m.ContractData: check_contract_data,
    m.HistoricalData: check_bars,
    m.HistoricalDataUpdate: check_bar_update,
    m.TickPrice: check_tick_price,
    m.TickByTickLast: check_trade,
    m.TickByTickBidAsk: check_quote,
    m.OpenOrder: check_open_order,
    m.CompletedOrder: check_completed_order,
    m.ExecutionData: check_execution,
    m.CommissionReport: check_commission,
    m.PositionData: check_position,
    m.PortfolioValue: check_portfolio,
}

CHECKS = {**dict.fromkeys(PLAIN, check_plain), **OBJECTS}


def readable(message):
    """What a decoder that takes dates apart, and drops the type that it means by none, can give back unchanged."""
    if isinstance(message, m.TickSize) and message.tick_type == TickTypeEnum.NOT_SET:
        return replace(message, tick_type=0)
    if isinstance(message, m.ContractData):
        date = "20241220" if message.contract.last_trade_date else ""
        message = replace(message, contract=replace(message.contract, last_trade_date=date))
    return message


def test_every_answer_of_the_table_is_checked_here():
    assert set(CHECKS) == set(ANSWERS)


@pytest.mark.parametrize(
    "record", [r for r in ANSWERS if spoken_of(r).since <= 178], ids=lambda r: r.__name__
)
@pytest.mark.parametrize("version", PROMISED)
@settings(max_examples=8)
@given(data=st.data())
def test_the_official_client_reads_what_our_server_sends(record, version, data):
    CHECKS[record](readable(data.draw(any_message(record, version))), version)


@pytest.mark.parametrize("version", AT)
@settings(max_examples=5)
@given(data=st.data())
def test_the_official_client_reads_an_answer_that_changed_at_every_version(version, data):
    for record in CHANGING:
        if spoken_of(record).since <= version:
            CHECKS[record](readable(data.draw(any_message(record, version))), version)


@pytest.mark.parametrize("record", ANSWERS, ids=lambda r: r.__name__)
def test_each_field_of_an_answer_alone_is_read_in_its_place(record):
    for version in sorted({*PROMISED, AT[-1]}):
        if spoken_of(record).since <= version:
            for message in one_at_a_time(record, version):
                CHECKS[record](readable(message), version)


CONDITIONAL = {
    "a hedge": {"hedge_type": "P", "hedge_param": "2"},
    "an algorithm": {"algo_strategy": "Vwap", "algo_params": (("maxPctVol", "0.1"), ("noTakeLiq", "1"))},
    "a scale": {
        "scale_price_increment": 0.5,
        "scale_price_adjust_value": 0.1,
        "scale_price_adjust_interval": 60,
        "scale_profit_offset": 1.0,
        "scale_auto_reset": True,
        "scale_init_position": 3,
        "scale_init_fill_quantity": 2,
        "scale_random_percent": True,
    },
    "pegged to a benchmark": {
        "order_type": "PEG BENCH",
        "reference_contract_id": 5,
        "is_pegged_change_amount_decrease": True,
        "pegged_change_amount": 0.5,
        "reference_change_amount": 0.25,
        "reference_exchange_id": "ISLAND",
    },
    "a volatility order": {
        "delta_neutral_order_type": "LMT",
        "delta_neutral_con_id": 5,
        "delta_neutral_settling_firm": "f",
        "delta_neutral_clearing_account": "c",
        "delta_neutral_clearing_intent": "i",
        "delta_neutral_open_close": "O",
        "delta_neutral_short_sale": True,
        "delta_neutral_short_sale_slot": 2,
        "delta_neutral_designated_location": "l",
    },
}


@pytest.mark.parametrize("version", AT)
@pytest.mark.parametrize("name", CONDITIONAL)
def test_the_official_client_reads_an_open_order_of_each_kind(name, version):
    ticket = m.OrderTicket(**{"action": "BUY", "quantity": 10, "order_type": "LMT"} | CONDITIONAL[name])
    check_open_order(m.OpenOrder(7, APPLE, ticket, m.OrderStateData("Submitted"), 3, 99), version)


def test_each_conditional_part_of_an_open_order_was_tried():
    for element in spoken_of(m.OpenOrder).layout.elements:
        if isinstance(element, When):
            name = element.path.removeprefix("order.")
            assert any(name in c and element.holds(c[name]) for c in CONDITIONAL.values()), element.path


def test_a_ticket_has_no_field_that_the_official_client_calls_otherwise():
    known = set(plain_names())
    newer = {
        *("duration", "post_to_ats", "advanced_error_override", "manual_order_time", "min_trade_quantity"),
        *("min_compete_size", "compete_against_best_offset", "mid_offset_at_whole", "mid_offset_at_half"),
        *("customer_account", "professional_customer", "bond_accrued_interest", "include_overnight"),
        *("manual_order_indicator", "submitter"),
    }
    apart = {"e_trade_only", "firm_quote_only", "nbbo_price_cap", "quantity", "algo_params", "misc_options"}
    apart |= {"soft_dollar_name", "soft_dollar_value", "soft_dollar_display_name"}
    missing = {f.name for f in fields(m.OrderTicket)} - known - apart
    assert missing == (set() if IS_NEW else newer)
