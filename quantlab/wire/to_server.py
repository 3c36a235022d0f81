"""Where the fields of a client's messages stand, one entry a message: id, layout, and versions that differ."""

from __future__ import annotations

from quantlab.wire import requests as r
from quantlab.wire.contract import Contract
from quantlab.wire.fields import FLAG, INTEGER, OPTIONAL_INTEGER, TEXT
from quantlab.wire.layout import Element, Empty, Field, Fixed, Items, Layout, Refuse
from quantlab.wire.order_layouts import PLACE_ORDER, contract_fields
from quantlab.wire.spoken import Spoken

__all__ = ["TO_SERVER"]

_VERSION_1 = Fixed("1")
_REQUEST_ID = Field("request_id", INTEGER)
_WITH_CONTRACT = (("contract", Contract),)

_CONTRACT: tuple[Element, ...] = (
    *contract_fields("con_id symbol security_type last_trade_date strike right multiplier exchange"),
    *contract_fields("primary_exchange currency local_symbol trading_class"),
    Refuse(
        "contract.security_type",
        lambda value: value == "BAG",
        "Combinations are not spoken here: ask for the legs one by one.",
    ),
)


def _of_request(message_id: int, record: type, version: str | None = "1") -> Spoken:
    """Describe a message that says nothing but the id of a request."""
    head = () if version is None else (Fixed(version),)
    return Spoken(message_id, Layout(record, (*head, _REQUEST_ID)))


def _of_nothing(message_id: int, record: type) -> Spoken:
    return Spoken(message_id, Layout(record, (_VERSION_1,)))


def _of_contract(message_id: int, record: type, *elements: Element, version: str | None = None) -> Spoken:
    head = () if version is None else (Fixed(version),)
    body = (*head, _REQUEST_ID, *_CONTRACT, *elements)
    return Spoken(message_id, Layout(record, body, _WITH_CONTRACT))


_SESSION = (
    Spoken(71, Layout(r.StartApi, (Fixed("2"), Field("client_id", INTEGER), Field("capabilities", TEXT)))),
    Spoken(8, Layout(r.RequestIds, (_VERSION_1, Field("count", INTEGER)))),
    _of_nothing(17, r.RequestManagedAccounts),
    _of_nothing(49, r.RequestCurrentTime),
    Spoken(14, Layout(r.SetServerLogLevel, (_VERSION_1, Field("level", INTEGER)))),
)

_PRICES = (
    _of_contract(
        9,
        r.RequestContractData,
        *contract_fields("include_expired sec_id_type sec_id"),
        Field("contract.issuer_id", TEXT, since=176),
        version="8",
    ),
    _of_contract(
        87,
        r.RequestHeadTimestamp,
        *contract_fields("include_expired"),
        Field("regular_hours", FLAG),
        Field("what", TEXT),
        Field("format_date", INTEGER),
    ),
    _of_request(90, r.CancelHeadTimestamp, version=None),
    _of_contract(
        20,
        r.RequestHistoricalData,
        *contract_fields("include_expired"),
        Field("end", TEXT),
        Field("bar_size", TEXT),
        Field("duration", TEXT),
        Field("regular_hours", FLAG),
        Field("what", TEXT),
        Field("format_date", INTEGER),
        Field("keep_up_to_date", FLAG),
        Field("chart_options", TEXT),
    ),
    _of_request(25, r.CancelHistoricalData),
    _of_contract(
        50,
        r.RequestRealTimeBars,
        Field("bar_size_s", INTEGER),
        Field("what", TEXT),
        Field("regular_hours", FLAG),
        Field("options", TEXT),
        version="3",
    ),
    _of_request(51, r.CancelRealTimeBars),
    _of_contract(
        1,
        r.RequestMarketData,
        Empty("delta-neutral contracts", "Delta-neutral contracts are not spoken here."),
        Field("generic_ticks", TEXT),
        Field("snapshot", FLAG),
        Field("regulatory_snapshot", FLAG),
        Field("options", TEXT),
        version="11",
    ),
    _of_request(2, r.CancelMarketData, version="2"),
    Spoken(59, Layout(r.RequestMarketDataType, (_VERSION_1, Field("data_type", INTEGER)))),
    _of_contract(
        97,
        r.RequestTickByTick,
        Field("kind", TEXT),
        Field("count", INTEGER),
        Field("ignore_size", FLAG),
    ),
    _of_request(98, r.CancelTickByTick, version=None),
)

_ORDERS = (
    Spoken(3, PLACE_ORDER),
    Spoken(
        4,
        Layout(
            r.CancelOrder,
            (
                Fixed("1", until=192),
                Field("order_id", INTEGER),
                Field("manual_time", TEXT, since=169),
                Fixed(since=187, until=190),
                Fixed(since=187, until=190),
                Fixed("2147483647", since=187, until=190),
                Field("ext_operator", TEXT, since=192),
                Field("manual_order_indicator", OPTIONAL_INTEGER, since=192),
            ),
        ),
    ),
    Spoken(
        58,
        Layout(
            r.RequestGlobalCancel,
            (
                Fixed("1", until=192),
                Field("ext_operator", TEXT, since=192),
                Field("manual_order_indicator", OPTIONAL_INTEGER, since=192),
            ),
        ),
    ),
    _of_nothing(5, r.RequestOpenOrders),
    _of_nothing(16, r.RequestAllOpenOrders),
    Spoken(15, Layout(r.RequestAutoOpenOrders, (_VERSION_1, Field("auto_bind", FLAG)))),
    Spoken(99, Layout(r.RequestCompletedOrders, (Field("api_only", FLAG),))),
    Spoken(
        7,
        Layout(
            r.RequestExecutions,
            (
                Fixed("3"),
                _REQUEST_ID,
                Field("filter.client_id", INTEGER),
                Field("filter.account", TEXT),
                Field("filter.time", TEXT),
                Field("filter.symbol", TEXT),
                Field("filter.security_type", TEXT),
                Field("filter.exchange", TEXT),
                Field("filter.side", TEXT),
                Field("filter.last_days", OPTIONAL_INTEGER, since=200),
                Items("filter.dates", INTEGER, since=200),
            ),
            (("filter", r.ExecutionFilter),),
        ),
    ),
)

_ACCOUNT = (
    _of_nothing(61, r.RequestPositions),
    _of_nothing(64, r.CancelPositions),
    Spoken(
        62,
        Layout(r.RequestAccountSummary, (_VERSION_1, _REQUEST_ID, Field("group", TEXT), Field("tags", TEXT))),
    ),
    _of_request(63, r.CancelAccountSummary),
    Spoken(
        6,
        Layout(r.RequestAccountUpdates, (Fixed("2"), Field("subscribe", FLAG), Field("account", TEXT))),
    ),
    Spoken(92, Layout(r.RequestPnL, (_REQUEST_ID, Field("account", TEXT), Field("model_code", TEXT)))),
    _of_request(93, r.CancelPnL, version=None),
    Spoken(
        94,
        Layout(
            r.RequestPnLSingle,
            (_REQUEST_ID, Field("account", TEXT), Field("model_code", TEXT), Field("con_id", INTEGER)),
        ),
    ),
    _of_request(95, r.CancelPnLSingle, version=None),
)

TO_SERVER = (*_SESSION, *_PRICES, *_ORDERS, *_ACCOUNT)
"""Every message that a client sends, but its hello."""
