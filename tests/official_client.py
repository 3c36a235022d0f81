"""The official client of Interactive Brokers without its socket: what it writes, and what it makes of what it reads."""

from __future__ import annotations

import inspect
from dataclasses import fields
from decimal import Decimal
from functools import cache

import pytest

ibapi = pytest.importorskip("ibapi", reason="could not import 'ibapi': pip install quantlab[ib]")

from ibapi import client as official  # noqa: E402 - after it is known to be there
from ibapi.contract import Contract as official_contract  # noqa: E402, N813 - it is called as a function is
from ibapi.decoder import Decoder  # noqa: E402
from ibapi.order import Order as official_order  # noqa: E402, N813 - the same
from ibapi.tag_value import TagValue  # noqa: E402
from ibapi.wrapper import EWrapper  # noqa: E402

from quantlab.wire import messages as m  # noqa: E402

IS_NEW = "msgId" in inspect.signature(official.EClient.sendMsg).parameters
"""Whether this is a client that announces more than 157."""

NEWEST = official.MAX_CLIENT_VER

UNSET_NUMBER = 1.7976931348623157e308
UNSET_INTEGER = 2**31 - 1

CONTRACT_NAMES = {
    "con_id": "conId",
    "symbol": "symbol",
    "security_type": "secType",
    "last_trade_date": "lastTradeDateOrContractMonth",
    "strike": "strike",
    "right": "right",
    "multiplier": "multiplier",
    "exchange": "exchange",
    "primary_exchange": "primaryExchange",
    "currency": "currency",
    "local_symbol": "localSymbol",
    "trading_class": "tradingClass",
    "include_expired": "includeExpired",
    "sec_id_type": "secIdType",
    "sec_id": "secId",
    "issuer_id": "issuerId",
}

ORDER_NAMES = {
    "quantity": "totalQuantity",
    "limit_price": "lmtPrice",
    "discretionary_amount": "discretionaryAmt",
    "min_quantity": "minQty",
    "rule_80a": "rule80A",
    "scale_init_fill_quantity": "scaleInitFillQty",
    "limit_price_offset": "lmtPriceOffset",
    "cash_quantity": "cashQty",
    "min_trade_quantity": "minTradeQty",
    "fa_group": "faGroup",
    "mifid2_decision_maker": "mifid2DecisionMaker",
}
"""Names that are not merely the camel case of ours."""

NOT_PLAIN = {
    "algo_params",
    "misc_options",
    "soft_dollar_name",
    "soft_dollar_value",
    "soft_dollar_display_name",
    "e_trade_only",
    "firm_quote_only",
    "nbbo_price_cap",
    "quantity",
}
"""Fields of the ticket that are no attribute of the official order, or not in each of its versions."""


def camel(name):
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def order_name(name):
    return ORDER_NAMES.get(name, camel(name))


def as_theirs(value, default):
    """A value of ours as the official client holds it, given the default of its attribute."""
    if value is not None or default is None:
        return value
    return UNSET_INTEGER if isinstance(default, int) else UNSET_NUMBER


def as_ours(value):
    """A value of the official client as we hold it."""
    if isinstance(value, Decimal):
        return None if value == Decimal(2**127 - 1) else float(value)
    return None if value in {UNSET_INTEGER, UNSET_NUMBER, 2**63 - 1} else value


def their_contract(contract):
    made = official_contract()
    for ours, theirs in CONTRACT_NAMES.items():
        if hasattr(made, theirs):
            setattr(made, theirs, getattr(contract, ours))
    return made


def plain_names():
    """Fields of the ticket that are attributes of this client's order, by their names there."""
    order = official_order()
    names = [f.name for f in fields(m.OrderTicket) if f.name not in NOT_PLAIN]
    return {name: order_name(name) for name in names if hasattr(order, order_name(name))}


def their_order(ticket):
    made = official_order()
    for ours, theirs in plain_names().items():
        setattr(made, theirs, as_theirs(getattr(ticket, ours), getattr(made, theirs)))
    made.totalQuantity = Decimal(repr(ticket.quantity)) if IS_NEW else ticket.quantity
    made.algoParams = [TagValue(tag, value) for tag, value in ticket.algo_params]
    made.softDollarTier.name, made.softDollarTier.val = ticket.soft_dollar_name, ticket.soft_dollar_value
    for name in ("eTradeOnly", "firmQuoteOnly"):
        if hasattr(made, name):
            setattr(made, name, False)
    return made


# -- what it writes ----------------------------------------------------------------------------------------


class Collector:
    """A connection that keeps what is sent and says what it was told to say."""

    def __init__(self):
        self.sent, self.answers, self.open = b"", [], True

    def connect(self):
        self.open = True

    def disconnect(self):
        self.open = False

    def isConnected(self):  # noqa: N802 - their name
        return self.open

    def sendMsg(self, data):  # noqa: N802 - their name
        self.sent += data
        return len(data)

    def recvMsg(self):  # noqa: N802 - their name
        return self.answers.pop(0) if self.answers else b""

    def taken(self):
        data, self.sent = self.sent, b""
        return data


def official_client(version):
    """A client that believes to be connected to a server of this version, and the connection that collects."""
    wrapper = Recorder()
    client = official.EClient(wrapper)
    client.conn = Collector()
    client.serverVersion_ = version
    client.setConnState(official.EClient.CONNECTED)
    return client, client.conn


def written(version, call, *arguments):
    """The bytes of one call of the official client."""
    client, collector = official_client(version)
    getattr(client, call)(*arguments)
    assert client.wrapper.calls == [], "the official client refused it"
    return collector.taken()


# -- what it reads -----------------------------------------------------------------------------------------


class Recorder(EWrapper):
    """A wrapper that keeps every callback with its arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []


def _recording(name):
    def record(self, *arguments):
        self.calls.append((name, arguments))

    return record


for _name in dir(EWrapper):
    if not _name.startswith("_") and _name != "logAnswer" and callable(getattr(EWrapper, _name)):
        setattr(Recorder, _name, _recording(_name))


class Fields(list):
    """The fields of one message, which know whether a decoder took them all."""

    def __iter__(self):
        self.taken = list.__iter__(self)
        return self.taken

    def left(self):
        return [] if not hasattr(self, "taken") else list(self.taken)


@cache
def decoder_of(version):
    """A decoder, made once: it looks at every method of its wrapper first."""
    return Decoder(Recorder(), version)


def read_by_official(version, data):
    """The callbacks that the official client makes of a server's bytes; it must read each message to its end."""
    decoder = decoder_of(version)
    decoder.wrapper.calls.clear()
    while data:
        length = int.from_bytes(data[:4], "big")
        payload, data = data[4 : 4 + length], data[4 + length :]
        texts = payload.split(b"\0")
        assert texts.pop() == b"", "a field is not ended"
        # The newer client takes the id off before it hands the fields over.
        read = Fields(texts[1:] if IS_NEW else texts)
        decoder.interpret(read, int(texts[0])) if IS_NEW else decoder.interpret(read)
        assert read.left() == [], f"message {texts[0]} is longer than the official client expects"
    return list(decoder.wrapper.calls)


def picked(thing, names):
    """Attributes of one of their objects, by our names and as our values."""
    return {ours: as_ours(getattr(thing, theirs)) for ours, theirs in names.items() if hasattr(thing, theirs)}
