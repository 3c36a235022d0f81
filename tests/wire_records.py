"""Messages made up for tests: two ends that talk to each other, and any message that a version can carry."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import cache
from math import inf

from hypothesis import strategies as st

from quantlab.wire import Connection
from quantlab.wire import fields as kinds
from quantlab.wire import messages as m
from quantlab.wire.layout import Field, Flags, Items, Layout, When
from quantlab.wire.to_client import TO_CLIENT
from quantlab.wire.to_server import TO_SERVER

VERSIONS = (157, 178)
"""The versions that are promised."""

EVERY_STEP = (157, 159, 163, 164, 166, 169, 176, 177, 178, 182, 187, 190, 192, 195, 196, 200)
"""And those at which something changes."""

APPLE = m.Contract(
    con_id=265598,
    symbol="AAPL",
    security_type="STK",
    exchange="SMART",
    primary_exchange="NASDAQ",
    currency="USD",
    local_symbol="AAPL",
    trading_class="NMS",
)


def two_ends(version=178, *, started=True):
    """A client and a server that agreed on a version."""
    client, server = Connection("client"), Connection("server", ceiling=version)
    server.receive(client.send(m.ClientHello(100, 200)))
    client.receive(server.send(m.ServerHello(version, "20240105 10:00:00 EST")))
    if started:
        server.receive(client.send(m.StartApi(1)))
    return client, server


def spoken_of(record):
    """The table's entry of a class of messages."""
    return next(s for s in (*TO_SERVER, *TO_CLIENT) if s.record is record)


def differs_by_version(record):
    """Whether a message is not the same at every version."""
    spoken = spoken_of(record)
    layout = spoken.layout
    return spoken.since > 0 or any(
        layout.at(v).elements != layout.at(VERSIONS[0]).elements for v in EVERY_STEP
    )


# -- values by kind ------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_SENTINELS = {kinds.UNSET_NUMBER, float(kinds.UNSET_INTEGER), 2.0**63, -(2.0**63)}
"""Numbers that one client or another takes for unset."""
_NUMBER = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x not in _SENTINELS)
_INTEGER = st.integers(-(2**62), 2**62).filter(lambda x: x != kinds.UNSET_INTEGER)
_OPTIONAL_INTEGER = st.none() | _INTEGER
_WHOLE = st.integers(-(10**15), 10**15).map(float).filter(lambda x: x not in _SENTINELS)

BY_KIND = {
    id(kinds.TEXT): _TEXT,
    id(kinds.ESCAPED): _TEXT,
    id(kinds.NAMES): st.lists(
        st.text(st.characters(exclude_characters="\0,", exclude_categories=["Cs"]), min_size=1, max_size=9),
        max_size=3,
    ).map(tuple),
    id(kinds.INTEGER): _INTEGER,
    id(kinds.OPTIONAL_INTEGER): _OPTIONAL_INTEGER,
    id(kinds.FLAG): st.booleans(),
    id(kinds.OPTIONAL_FLAG): st.none() | st.booleans(),
    id(kinds.NUMBER): _NUMBER,
    id(kinds.SIZE): _NUMBER,
    id(kinds.STRIKE): _NUMBER,
    id(kinds.WHOLE_SIZE): _WHOLE,
    id(kinds.OPTIONAL_NUMBER): st.none() | _NUMBER,
    id(kinds.OPTIONAL_SIZE): st.none() | _NUMBER,
    id(kinds.OPTIONAL_WHOLE_SIZE): st.none() | _WHOLE,
    id(kinds.MONEY): st.none() | _NUMBER,
    id(kinds.NUMBER_OR_INFINITY): st.none() | _NUMBER | st.just(inf),
}

REFUSED = {"contract.security_type": ("BAG", "FUND")}
TELLING = {
    "order.order_type": ("MKT", "LMT", "STP", "TRAIL", "PEG BENCH", "PEG MID", "PEG BEST"),
    "contract.exchange": ("SMART", "IBKRATS"),
    "order.compete_against_best_offset": (None, 0.25, inf),
    "order.hedge_type": ("", "D"),
    "order.algo_strategy": ("", "Vwap"),
    "order.delta_neutral_order_type": ("", "None", "LMT"),
    "order.scale_price_increment": (None, 0.0, 0.5),
    "tick_type": None,
}
"""Fields whose value says whether others are there."""


def _values_of(path, kind, record):
    if record is m.TickByTickLast and path == "tick_type":
        return st.sampled_from((1, 2))
    if TELLING.get(path):
        return st.sampled_from(TELLING[path])
    if path in REFUSED:
        return BY_KIND[id(kind)].filter(lambda value: value not in REFUSED[path])
    return BY_KIND[id(kind)]


@cache
def _default_of(record, path, within):
    name, _, inner = path.partition(".")
    record = dict(within)[name] if inner else record
    default = next(f for f in fields(record) if f.name == (inner or name))
    return default.default if default.default_factory is MISSING else default.default_factory()


def _fill(draw, elements, layout, chosen, values):
    """Draw the values of a layout's fields: those that must be given, and those that were chosen."""
    for element in elements:
        if isinstance(element, When):
            if element.holds(values[element.path]):
                _fill(draw, element.elements, layout, chosen, values)
        elif isinstance(element, Flags):
            values.update({path: draw(st.booleans()) for path in element.paths})
        elif isinstance(element, Items):
            values[element.path] = tuple(_items(draw, element.item))
        elif isinstance(element, Field):
            value = _default_of(layout.record, element.path, layout.within)
            if value is MISSING or chosen(element.path):
                value = draw(_values_of(element.path, element.kind, layout.record))
            values[element.path] = value


def _items(draw, item):
    count = draw(st.integers(0, 3))
    for _ in range(count):
        if isinstance(item, Layout):
            values = {}
            _fill(draw, item.elements, item, lambda _: True, values)
            yield item.record(**values)
        elif isinstance(item, tuple):
            yield tuple(draw(BY_KIND[id(kind)]) for kind in item)
        else:
            yield draw(BY_KIND[id(item)])


@st.composite
def any_message(draw, record, version):
    """Any message of a class that this version can carry, with up to a dozen fields away from their defaults."""
    layout = spoken_of(record).layout.at(version)
    seeds = draw(st.lists(st.integers(0, 2**16), max_size=12))
    count = sum(isinstance(e, Field) for e in layout.elements)
    places = {seed % max(count, 1) for seed in seeds} if count > 30 else None
    order = iter(range(10_000))
    values = {}
    _fill(draw, layout.elements, layout, lambda _: places is None or next(order) in places, values)
    return _built(layout, values)


# -- one field at a time -----------------------------------------------------------------------------------

PLAIN = {
    id(kinds.TEXT): ("", "text"),
    id(kinds.ESCAPED): ("", "text"),
    id(kinds.NAMES): ((), ("DU7",)),
    id(kinds.INTEGER): (0, 7),
    id(kinds.OPTIONAL_INTEGER): (None, 7),
    id(kinds.FLAG): (False, True),
    id(kinds.OPTIONAL_FLAG): (None, True),
    id(kinds.NUMBER): (0.0, 7.25),
    id(kinds.SIZE): (0.0, 7.5),
    id(kinds.STRIKE): (0.0, 7.5),
    id(kinds.WHOLE_SIZE): (0.0, 7.0),
    id(kinds.OPTIONAL_NUMBER): (None, 7.25),
    id(kinds.OPTIONAL_SIZE): (None, 7.5),
    id(kinds.OPTIONAL_WHOLE_SIZE): (None, 7.0),
    id(kinds.MONEY): (None, 7.25),
    id(kinds.NUMBER_OR_INFINITY): (None, 7.25),
}
"""For each kind a value that says little, and another."""


def _built(layout, values):
    values = dict(values)
    for name, inner in layout.within:
        own = {path: values.pop(path) for path in list(values) if path.startswith(f"{name}.")}
        values[name] = inner(**{path.removeprefix(f"{name}."): value for path, value in own.items()})
    return layout.record(**values)


def one_at_a_time(record, version):
    """Messages of a class that say little but in one field, each field in its turn: two that change places show."""
    layout = spoken_of(record).layout.at(version)
    base, others = {}, {}
    for element in layout.elements:
        if isinstance(element, Flags):
            base.update(dict.fromkeys(element.paths, False))
            others.update(dict.fromkeys(element.paths, True))
        elif isinstance(element, Items):
            base[element.path] = ()
        elif isinstance(element, Field):
            plain, other = PLAIN[id(element.kind)]
            default = _default_of(record, element.path, layout.within)
            base[element.path] = plain if default is MISSING else default
            others[element.path] = (not default) if isinstance(default, bool) else other
            if element.path in TELLING or (record is m.TickByTickLast and element.path == "tick_type"):
                del others[element.path]
    if record is m.TickByTickLast:
        base["tick_type"] = 1
    yield _built(layout, base)
    for path, value in others.items():
        yield _built(layout, base | {path: value})
