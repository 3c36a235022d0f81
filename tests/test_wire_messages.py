"""What one end sends, the other receives: every message, both ways, at every version at which something changes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_records import APPLE, EVERY_STEP, VERSIONS, any_message, differs_by_version, spoken_of, two_ends

from quantlab.errors import LocalProtocolError, RemoteProtocolError
from quantlab.wire import fields as kinds
from quantlab.wire import messages as m
from quantlab.wire.layout import Field, Flags, Items, When
from quantlab.wire.to_client import TO_CLIENT
from quantlab.wire.to_server import TO_SERVER

REQUESTS = [s.record for s in TO_SERVER]
ANSWERS = [s.record for s in TO_CLIENT]
CHANGING = [record for record in (*REQUESTS, *ANSWERS) if differs_by_version(record)]

NEVER_CARRIED = {
    "PlaceOrder": {
        "contract.include_expired",
        "contract.issuer_id",
        "order.basis_points",
        "order.basis_points_type",
        "order.soft_dollar_display_name",
        "order.bond_accrued_interest",
        "order.submitter",
    },
    "OpenOrder": {
        "contract.primary_exchange",
        "contract.include_expired",
        "contract.sec_id_type",
        "contract.sec_id",
        "contract.issuer_id",
        "order.transmit",
        "order.override_percentage_constraints",
        "order.scale_table",
        "order.active_start_time",
        "order.active_stop_time",
        "order.algo_id",
        "order.misc_options",
        "order.mifid2_decision_maker",
        "order.mifid2_decision_algo",
        "order.mifid2_execution_trader",
        "order.mifid2_execution_algo",
        "order.advanced_error_override",
        "order.manual_order_time",
        "state.completed_time",
        "state.completed_status",
    },
}
"""Fields of the two great messages that the protocol has no place for in that direction."""


def exists(record, version):
    return version >= spoken_of(record).since


def exchanged(record, version, message):
    client, server = two_ends(version, started=record is not m.StartApi)
    if record in REQUESTS:
        return server.receive(client.send(message))
    return client.receive(server.send(message))


@pytest.mark.parametrize(
    "record", [r for r in (*REQUESTS, *ANSWERS) if exists(r, 178)], ids=lambda r: r.__name__
)
@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=8)
@given(data=st.data())
def test_what_one_end_sends_the_other_receives(record, version, data):
    message = data.draw(any_message(record, version))
    assert exchanged(record, version, message) == (message,)


@pytest.mark.parametrize("version", EVERY_STEP)
@settings(max_examples=5)
@given(data=st.data())
def test_a_message_that_changed_crosses_at_every_version_that_changed_something(version, data):
    for record in CHANGING:
        if exists(record, version):
            message = data.draw(any_message(record, version))
            assert exchanged(record, version, message) == (message,)


def test_every_record_of_the_module_is_in_a_table_or_part_of_one():
    listed = {*REQUESTS, *ANSWERS, m.ClientHello, m.ServerHello, m.Unknown}
    assert listed == set(get_args(m.Message))
    parts = {m.Contract, m.OrderTicket, m.OrderStateData, m.ExecutionFilter, m.HistoricalBar}
    assert {getattr(m, name) for name in m.__all__ if name != "Message"} == listed | parts


def test_records_are_frozen_and_have_slots():
    for record in (*REQUESTS, *ANSWERS, m.ClientHello, m.ServerHello, m.Unknown, m.Contract, m.OrderTicket):
        assert record.__dataclass_params__.frozen
        assert "__slots__" in vars(record)
        assert "__dict__" not in dir(record)


def carried_by(elements):
    for element in elements:
        if isinstance(element, (Field, Items)):
            yield element.path
        elif isinstance(element, Flags):
            yield from element.paths
        elif isinstance(element, When):
            yield from carried_by(element.elements)


@pytest.mark.parametrize("record", [*REQUESTS, *ANSWERS], ids=lambda r: r.__name__)
def test_every_field_of_a_record_has_its_place_on_the_line(record):
    layout = spoken_of(record).layout
    carried = set(carried_by(layout.elements))
    within = dict(layout.within)
    own = {f.name for f in fields(record) if f.name not in within}
    assert own <= carried
    if record.__name__ in NEVER_CARRIED:
        inner = {f"{name}.{f.name}" for name, part in within.items() for f in fields(part)}
        assert inner - carried == NEVER_CARRIED[record.__name__]


# -- values ----------------------------------------------------------------------------------------------


def texts_of(data):
    return data[4:].split(b"\0")[:-1]


def test_whole_quantities_have_no_decimal_point_and_prices_keep_every_bit():
    client, _ = two_ends()
    order = m.OrderTicket("BUY", 100.0, "LMT", limit_price=0.1 + 0.2)
    texts = texts_of(client.send(m.PlaceOrder(7, APPLE, order)))
    assert texts[16:20] == [b"BUY", b"100", b"LMT", b"0.30000000000000004"]


def test_fractions_of_a_volume_are_cut_below_version_163():
    bar = m.HistoricalBar("20240105", 1.0, 2.0, 0.5, 1.5, volume=62303300.22, wap=1.25, count=7)
    for version, volume in ((157, 62303300.0), (178, 62303300.22)):
        client, server = two_ends(version)
        (arrived,) = client.receive(server.send(m.HistoricalData(1, "a", "b", (bar,))))
        assert arrived.bars == (replace(bar, volume=volume),)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", float("nan"), "MKT")), "order.quantity is nan"),
        (m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", 1, "LMT", float("inf"))), "order.limit_price is inf"),
        (m.PlaceOrder(1, APPLE, m.OrderTicket("B\0Y", 1, "MKT")), "order.action"),
        (m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", "1", "MKT")), "order.quantity is '1'"),
        (m.PlaceOrder(1.5, APPLE, m.OrderTicket("BUY", 1, "MKT")), "order_id is 1.5"),
        (m.PlaceOrder(2**63, APPLE, m.OrderTicket("BUY", 1, "MKT")), "order_id is"),
        (m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", 1, "MKT", min_quantity=2**31 - 1)), "min_quantity"),
        (m.PlaceOrder(1, replace(APPLE, symbol=None), m.OrderTicket("BUY", 1, "MKT")), "contract.symbol"),
        (m.PlaceOrder(1, replace(APPLE, symbol="\ud800"), m.OrderTicket("BUY", 1, "MKT")), "UTF-8"),
        (
            m.PlaceOrder(1, replace(APPLE, security_type="BAG"), m.OrderTicket("BUY", 1, "MKT")),
            "Combinations",
        ),
        (m.RequestHistoricalData(1, replace(APPLE, security_type="BAG")), "Combinations"),
        (m.Unknown(3, ("1",)), "is known"),
        (m.Unknown(800, ("1\0",)), "zero byte"),
    ],
)
def test_what_cannot_be_said_is_refused_and_leaves_the_connection_as_it_was(message, said):
    client, server = two_ends()
    with pytest.raises(LocalProtocolError, match=said):
        client.send(message)
    assert server.receive(client.send(m.RequestCurrentTime())) == (m.RequestCurrentTime(),)


@pytest.mark.parametrize(
    ("version", "message", "lost"),
    [
        (157, m.CancelOrder(1, manual_time="20240105-10:00:00"), "manual_time"),
        (178, m.CancelOrder(1, ext_operator="me"), "ext_operator"),
        (157, m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", 1, "MKT", duration=5)), "order.duration=5"),
        (178, m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", 1, "MKT", imbalance_only=True)), "imbalance_only"),
        (178, m.PlaceOrder(1, APPLE, m.OrderTicket("BUY", 1, "MKT", hedge_param="beta=1")), "hedge_param"),
        (178, m.RequestMarketData(1, replace(APPLE, include_expired=True)), "contract.include_expired"),
        (178, m.RequestExecutions(1, m.ExecutionFilter(last_days=3)), "filter.last_days=3"),
    ],
)
def test_a_request_that_its_version_would_cut_short_is_refused(version, message, lost):
    client, _ = two_ends(version)
    with pytest.raises(LocalProtocolError, match=lost):
        client.send(message)


def test_an_answer_leaves_out_what_an_older_client_has_no_field_for():
    client, server = two_ends(157)
    rejection = m.ErrorMessage(5, 201, "Order rejected", advanced='{"reason":"x"}')
    assert client.receive(server.send(rejection)) == (replace(rejection, advanced=""),)
    client, server = two_ends(178)
    assert client.receive(server.send(rejection)) == (rejection,)


def test_a_text_with_an_accent_goes_as_ascii_and_arrives_as_it_was():
    client, server = two_ends()
    data = server.send(m.ErrorMessage(-1, 2104, "données à jour\n\\ok"))
    assert data.isascii()
    assert client.receive(data)[0].text == "données à jour\n\\ok"


def test_an_id_that_is_not_in_the_table_surfaces_with_its_fields():
    client, server = two_ends()
    request, answer = m.Unknown(104, ("7",)), m.Unknown(107, ("7", "white", ""))
    assert server.receive(client.send(request)) == (request,)
    assert client.receive(server.send(answer)) == (answer,)


def test_a_message_that_a_version_does_not_have_yet_is_not_sent_and_surfaces_when_it_comes():
    client, server = two_ends(178)
    with pytest.raises(LocalProtocolError, match="since version 196"):
        server.send(m.HistoricalDataEnd(1, "a", "b"))
    text = b"108\0001\0a\0b\0"
    assert client.receive(len(text).to_bytes(4, "big") + text) == (m.Unknown(108, ("1", "a", "b")),)


# -- nonsense ----------------------------------------------------------------------------------------------

GOOD = [b"49", b"1"]
ORDER = texts_of(two_ends()[0].send(m.PlaceOrder(7, APPLE, m.OrderTicket("BUY", 100, "MKT"))))
"""A plain order, field by field."""


def framed(texts):
    payload = b"".join(t + b"\0" for t in texts)
    return len(payload).to_bytes(4, "big") + payload


def with_field(place, text):
    return [*ORDER[:place], text, *ORDER[place + 1 :]]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([b"forty", b"1"], "message id is 'forty'"),
        ([b""], "message id is ''"),
        ([b"+49", b"1"], "message id"),
        (["٤٩".encode(), b"1"], "message id"),
        ([b"49"], "ends after 1 fields"),
        ([b"49", b"1", b"2"], "1 more than it has"),
        ([b"8", b"1", b"1_0"], "count is '1_0'"),
        ([b"8", b"1", b" 1"], "count is ' 1'"),
        ([b"8", b"1", b"9" * 19], "count is"),
        ([b"8", b"1", b"9" * 5000], "count is"),
        ([b"15", b"1", b"yes"], "auto_bind is 'yes'"),
        ([b"\xff\xfe", b"1"], "no UTF-8"),
        (ORDER[:-1], "ends after"),
        ([*ORDER, b""], "1 more than it has"),
        (with_field(17, b"nan"), "order.quantity is 'nan'"),
        (with_field(17, b""), "order.quantity is ''"),
        (with_field(17, b"1e999"), "order.quantity is '1e999'"),
        (with_field(17, b"0x10"), "order.quantity is '0x10'"),
        (with_field(19, b"inf"), "order.limit_price is 'inf'"),
        (with_field(4, b"BAG"), "Combinations"),
    ],
)
def test_nonsense_is_refused_with_the_field_and_what_it_is(texts, said):
    _, server = two_ends()
    with pytest.raises(RemoteProtocolError, match=said):
        server.receive(framed(texts))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([b"17", b"1", b"a", b"b", b"1000000000"], "announced"),
        ([b"17", b"1", b"a", b"b", b"-1"], "number of bars is '-1'"),
        ([b"99", b"1", b"9", b"5"], "kind that does not exist"),
        ([b"99"], "kind that does not exist"),
        ([b"4", b"2", b"1", b"201", b"\\U99999999", b""], "text is"),
        ([b"1", b"6", b"1", b"1", b"2.0", b"", b"-1"], "is '-1'"),
    ],
)
def test_nonsense_from_a_server_is_refused_too(texts, said):
    client, _ = two_ends()
    with pytest.raises(RemoteProtocolError, match=said):
        client.receive(framed(texts))


def test_an_order_with_conditions_or_a_hedge_contract_is_refused_by_name():
    client, server = two_ends()
    payload = client.send(m.PlaceOrder(7, APPLE, m.OrderTicket("BUY", 1, "MKT", adjusted_order_type="HERE")))
    texts = texts_of(payload)
    place = texts.index(b"HERE") - 1
    with pytest.raises(RemoteProtocolError, match="2 conditions"):
        server.receive(framed([*texts[:place], b"2", *texts[place + 1 :]]))


def test_the_kinds_say_what_they_need():
    named = {
        name: getattr(kinds, name) for name in kinds.__all__ if isinstance(getattr(kinds, name), kinds.Kind)
    }
    assert all(kind.needed for kind in named.values())
    assert len(named) == 17
