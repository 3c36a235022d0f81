"""Where the fields of a server's messages stand, one entry a message: id, layout, and versions that differ."""

from __future__ import annotations

from quantlab.wire import answers as a
from quantlab.wire import reports as p
from quantlab.wire.contract import Contract
from quantlab.wire.fields import (
    ESCAPED,
    FLAG,
    INTEGER,
    MONEY,
    NAMES,
    NUMBER,
    OPTIONAL_INTEGER,
    OPTIONAL_NUMBER,
    OPTIONAL_SIZE,
    OPTIONAL_WHOLE_SIZE,
    SIZE,
    TEXT,
)
from quantlab.wire.layout import Element, Empty, Field, Fixed, Flags, Items, Layout, Refuse, size
from quantlab.wire.order_layouts import COMPLETED_ORDER, OPEN_ORDER, contract_fields
from quantlab.wire.spoken import Spoken

__all__ = ["TO_CLIENT"]

_VERSION_1 = Fixed("1")
_VERSION_6 = Fixed("6")
_REQUEST_ID = Field("request_id", INTEGER)
_TICK_TYPE = Field("tick_type", INTEGER)
_WITH_CONTRACT = (("contract", Contract),)

_CONTRACT: tuple[Element, ...] = (
    *contract_fields("con_id symbol security_type last_trade_date strike right multiplier exchange"),
    *contract_fields("currency local_symbol trading_class"),
)


def _of(message_id: int, record: type, *elements: Element, since: int = 0) -> Spoken:
    return Spoken(message_id, Layout(record, elements), since=since)


def _of_contract(message_id: int, record: type, *elements: Element) -> Spoken:
    return Spoken(message_id, Layout(record, elements, _WITH_CONTRACT))


_SESSION = (
    _of(15, a.ManagedAccounts, _VERSION_1, Field("accounts", NAMES)),
    _of(9, a.NextValidId, _VERSION_1, Field("order_id", INTEGER)),
    _of(
        4,
        a.ErrorMessage,
        Fixed("2", until=194),
        _REQUEST_ID,
        Field("code", INTEGER),
        Field("text", ESCAPED),
        Field("advanced", ESCAPED, since=166),
        Field("time_ms", OPTIONAL_INTEGER, since=194),
    ),
    _of(49, a.CurrentTime, _VERSION_1, Field("time_s", INTEGER)),
)

# -- contracts and history -----------------------------------------------------------------------------

_PRICES = (Field("open", NUMBER), Field("high", NUMBER), Field("low", NUMBER), Field("close", NUMBER))

_BAR = Layout(
    a.HistoricalBar,
    (Field("date", TEXT), *_PRICES, *size("volume"), Field("wap", NUMBER), Field("count", INTEGER)),
)

_HISTORY = (
    _of_contract(
        10,
        a.ContractData,
        Fixed("8", until=164),
        _REQUEST_ID,
        *contract_fields("symbol security_type last_trade_date"),
        Refuse(
            "contract.security_type", lambda value: value == "FUND", "Funds are not spoken here.", since=179
        ),
        Fixed(since=182),
        *contract_fields("strike right exchange currency local_symbol"),
        Field("market_name", TEXT),
        *contract_fields("trading_class con_id"),
        Field("min_tick", NUMBER),
        Fixed("1", until=164),
        *contract_fields("multiplier"),
        Field("order_types", TEXT),
        Field("valid_exchanges", TEXT),
        Field("price_magnifier", INTEGER),
        Field("under_con_id", INTEGER),
        Field("long_name", ESCAPED),
        *contract_fields("primary_exchange"),
        Field("contract_month", TEXT),
        Field("industry", TEXT),
        Field("category", TEXT),
        Field("subcategory", TEXT),
        Field("time_zone", TEXT),
        Field("trading_hours", TEXT),
        Field("liquid_hours", TEXT),
        Field("ev_rule", TEXT),
        Field("ev_multiplier", INTEGER),
        Items("sec_ids", (TEXT, TEXT)),
        Field("agg_group", OPTIONAL_INTEGER),
        Field("under_symbol", TEXT),
        Field("under_security_type", TEXT),
        Field("market_rule_ids", TEXT),
        Field("real_expiration_date", TEXT),
        Field("stock_type", TEXT),
        Fixed("1", since=163, until=164),
        Field("min_size", OPTIONAL_SIZE, since=164),
        Field("size_increment", OPTIONAL_SIZE, since=164),
        Field("suggested_size_increment", OPTIONAL_SIZE, since=164),
        Empty("reasons of ineligibility", "They are not spoken here.", since=186),
    ),
    _of(52, a.ContractDataEnd, _VERSION_1, _REQUEST_ID),
    _of(88, a.HeadTimestamp, _REQUEST_ID, Field("time_text", TEXT)),
    _of(
        17,
        a.HistoricalData,
        _REQUEST_ID,
        Field("start", TEXT, until=196),
        Field("end", TEXT, until=196),
        Items("bars", _BAR),
    ),
    _of(108, a.HistoricalDataEnd, _REQUEST_ID, Field("start", TEXT), Field("end", TEXT), since=196),
    Spoken(
        90,
        Layout(
            a.HistoricalDataUpdate,
            (
                _REQUEST_ID,
                Field("bar.count", INTEGER),
                Field("bar.date", TEXT),
                Field("bar.open", NUMBER),
                Field("bar.close", NUMBER),
                Field("bar.high", NUMBER),
                Field("bar.low", NUMBER),
                Field("bar.wap", NUMBER),
                *size("bar.volume"),
            ),
            (("bar", a.HistoricalBar),),
        ),
    ),
)

# -- ticks ---------------------------------------------------------------------------------------------

_TICK_BY_TICK = (
    Spoken(
        99,
        Layout(
            a.TickByTickLast,
            (
                _REQUEST_ID,
                _TICK_TYPE,
                Field("time_s", INTEGER),
                Field("price", NUMBER),
                *size("size"),
                Flags(("past_limit", "unreported")),
                Field("exchange", TEXT),
                Field("conditions", TEXT),
            ),
        ),
        place=1,
        texts=("1", "2"),
    ),
    Spoken(
        99,
        Layout(
            a.TickByTickBidAsk,
            (
                _REQUEST_ID,
                Fixed("3"),
                Field("time_s", INTEGER),
                Field("bid", NUMBER),
                Field("ask", NUMBER),
                *size("bid_size"),
                *size("ask_size"),
                Flags(("bid_past_low", "ask_past_high")),
            ),
        ),
        place=1,
        texts=("3",),
    ),
    Spoken(
        99,
        Layout(
            a.TickByTickMidPoint,
            (_REQUEST_ID, Fixed("4"), Field("time_s", INTEGER), Field("mid_point", NUMBER)),
        ),
        place=1,
        texts=("4",),
    ),
)

_TICKS = (
    _of(
        50,
        a.RealTimeBar,
        Fixed("3"),
        _REQUEST_ID,
        Field("time_s", INTEGER),
        *_PRICES,
        *size("volume"),
        Field("wap", NUMBER),
        Field("count", INTEGER),
    ),
    _of(
        1,
        a.TickPrice,
        _VERSION_6,
        _REQUEST_ID,
        _TICK_TYPE,
        Field("price", NUMBER),
        Field("size", OPTIONAL_WHOLE_SIZE, until=163),
        Field("size", OPTIONAL_SIZE, since=163),
        Flags(("can_auto_execute", "past_limit", "pre_open")),
    ),
    _of(2, a.TickSize, _VERSION_6, _REQUEST_ID, _TICK_TYPE, *size("size")),
    _of(45, a.TickGeneric, _VERSION_6, _REQUEST_ID, _TICK_TYPE, Field("value", NUMBER)),
    _of(46, a.TickString, _VERSION_6, _REQUEST_ID, _TICK_TYPE, Field("value", ESCAPED)),
    _of(57, a.TickSnapshotEnd, _VERSION_1, _REQUEST_ID),
    _of(58, a.MarketDataType, _VERSION_1, _REQUEST_ID, Field("data_type", INTEGER)),
    _of(
        81,
        a.TickReqParams,
        _REQUEST_ID,
        Field("min_tick", NUMBER),
        Field("bbo_exchange", TEXT),
        Field("snapshot_permissions", INTEGER),
    ),
    *_TICK_BY_TICK,
)

# -- orders --------------------------------------------------------------------------------------------

_ORDERS = (
    Spoken(5, OPEN_ORDER),
    _of(53, p.OpenOrderEnd, _VERSION_1),
    Spoken(101, COMPLETED_ORDER),
    _of(102, p.CompletedOrdersEnd),
    _of(
        3,
        p.OrderStatus,
        Field("order_id", INTEGER),
        Field("status", TEXT),
        Field("filled", SIZE),
        Field("remaining", SIZE),
        Field("average_price", NUMBER),
        Field("perm_id", INTEGER),
        Field("parent_id", INTEGER),
        Field("last_price", NUMBER),
        Field("client_id", INTEGER),
        Field("why_held", TEXT),
        Field("market_cap_price", NUMBER),
    ),
    _of_contract(
        11,
        p.ExecutionData,
        _REQUEST_ID,
        Field("order_id", INTEGER),
        *_CONTRACT,
        Field("exec_id", TEXT),
        Field("time", TEXT),
        Field("account", TEXT),
        Field("exchange", TEXT),
        Field("side", TEXT),
        Field("quantity", SIZE),
        Field("price", NUMBER),
        Field("perm_id", INTEGER),
        Field("client_id", INTEGER),
        Field("liquidation", INTEGER),
        Field("cumulative_quantity", SIZE),
        Field("average_price", NUMBER),
        Field("order_ref", TEXT),
        Field("ev_rule", TEXT),
        Field("ev_multiplier", OPTIONAL_NUMBER),
        Field("model_code", TEXT),
        Field("last_liquidity", INTEGER),
        Field("pending_price_revision", FLAG, since=178),
        Field("submitter", TEXT, since=198),
    ),
    _of(55, p.ExecutionDataEnd, _VERSION_1, _REQUEST_ID),
    _of(
        59,
        p.CommissionReport,
        _VERSION_1,
        Field("exec_id", TEXT),
        Field("commission", NUMBER),
        Field("currency", TEXT),
        Field("realized_pnl", MONEY),
        Field("yield_", MONEY),
        Field("yield_redemption_date", INTEGER),
    ),
)

# -- account -------------------------------------------------------------------------------------------

_ACCOUNT = (
    _of_contract(
        61,
        p.PositionData,
        Fixed("3"),
        Field("account", TEXT),
        *_CONTRACT,
        Field("quantity", SIZE),
        Field("average_cost", NUMBER),
    ),
    _of(62, p.PositionEnd, _VERSION_1),
    _of(
        63,
        p.AccountSummary,
        _VERSION_1,
        _REQUEST_ID,
        Field("account", ESCAPED),
        Field("tag", ESCAPED),
        Field("value", ESCAPED),
        Field("currency", ESCAPED),
    ),
    _of(64, p.AccountSummaryEnd, _VERSION_1, _REQUEST_ID),
    _of(
        6,
        p.AccountValue,
        Fixed("2"),
        Field("key", ESCAPED),
        Field("value", ESCAPED),
        Field("currency", ESCAPED),
        Field("account", ESCAPED),
    ),
    _of_contract(
        7,
        p.PortfolioValue,
        Fixed("8"),
        *contract_fields("con_id symbol security_type last_trade_date strike right multiplier"),
        *contract_fields("primary_exchange currency local_symbol trading_class"),
        Field("quantity", SIZE),
        Field("market_price", NUMBER),
        Field("market_value", NUMBER),
        Field("average_cost", NUMBER),
        Field("unrealized_pnl", NUMBER),
        Field("realized_pnl", NUMBER),
        Field("account", TEXT),
    ),
    _of(8, p.AccountUpdateTime, _VERSION_1, Field("time_text", ESCAPED)),
    _of(54, p.AccountDownloadEnd, _VERSION_1, Field("account", ESCAPED)),
    _of(
        94,
        p.PnL,
        _REQUEST_ID,
        Field("daily", MONEY),
        Field("unrealized", MONEY),
        Field("realized", MONEY),
    ),
    _of(
        95,
        p.PnLSingle,
        _REQUEST_ID,
        *size("quantity"),
        Field("daily", MONEY),
        Field("unrealized", MONEY),
        Field("realized", MONEY),
        Field("value", MONEY),
    ),
)

TO_CLIENT = (*_SESSION, *_HISTORY, *_TICKS, *_ORDERS, *_ACCOUNT)
"""Every message that a server sends, but its hello."""
