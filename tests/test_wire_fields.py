"""Kinds of fields: what each writes, what each reads, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_records import BY_KIND

from quantlab.errors import RemoteProtocolError
from quantlab.wire import fields as k

KINDS = {name: getattr(k, name) for name in k.__all__ if isinstance(getattr(k, name), k.Kind)}
UNSET = "1.7976931348623157E308"


@pytest.mark.parametrize("name", [n for n in KINDS if n != "COUNT"])
@given(data=st.data())
def test_what_a_kind_writes_it_reads_back(name, data):
    value = data.draw(BY_KIND[id(KINDS[name])])
    assert KINDS[name].read(KINDS[name].write(value)) == value


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (k.NUMBER, 0.1 + 0.2, "0.30000000000000004"),
        (k.NUMBER, 100, "100.0"),
        (k.NUMBER, 5e-324, "5e-324"),
        (k.SIZE, 100.0, "100"),
        (k.SIZE, -3, "-3"),
        (k.SIZE, 0.5, "0.5"),
        (k.SIZE, -0.0, "0"),
        (k.SIZE, 1e20, "1e+20"),
        (k.WHOLE_SIZE, 12.9, "12"),
        (k.WHOLE_SIZE, -12.9, "-12"),
        (k.WHOLE_SIZE, 1e20, "100000000000000000000"),
        (k.OPTIONAL_NUMBER, None, ""),
        (k.OPTIONAL_SIZE, None, ""),
        (k.OPTIONAL_WHOLE_SIZE, None, ""),
        (k.OPTIONAL_WHOLE_SIZE, 7.5, "7"),
        (k.MONEY, None, UNSET),
        (k.NUMBER_OR_INFINITY, float("inf"), "Infinity"),
        (k.OPTIONAL_INTEGER, None, ""),
        (k.INTEGER, True, "1"),
        (k.FLAG, True, "1"),
        (k.FLAG, 0, "0"),
        (k.OPTIONAL_FLAG, None, ""),
        (k.OPTIONAL_FLAG, False, "0"),
        (k.NAMES, ("DU1", "DU2"), "DU1,DU2"),
        (k.NAMES, (), ""),
        (k.ESCAPED, "é\n\\", "\\xe9\\n\\\\"),
    ],
)
def test_a_kind_writes_as_the_protocol_has_it(kind, value, text):
    assert kind.write(value) == text


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (k.NUMBER, "1.5E-7", 1.5e-7),
        (k.NUMBER, "7.", 7.0),
        (k.NUMBER, ".5", 0.5),
        (k.OPTIONAL_NUMBER, UNSET, None),
        (k.OPTIONAL_NUMBER, "1.7976931348623157e+308", None),
        (k.MONEY, UNSET, None),
        (k.MONEY, "", None),
        (k.OPTIONAL_INTEGER, "2147483647", None),
        (k.OPTIONAL_INTEGER, "-1", -1),
        (k.NUMBER_OR_INFINITY, "Infinite", float("inf")),
        (k.NUMBER_OR_INFINITY, "", None),
        (k.COUNT, "", 0),
        (k.STRIKE, "", 0.0),
        (k.STRIKE, "0.0", 0.0),
        (k.NAMES, "DU1,", ("DU1",)),
        (k.ESCAPED, "\\u00e9", "é"),
        (k.ESCAPED, "é", "é"),
        (k.ESCAPED, "日", "日"),
        (k.ESCAPED, "C:\\dir \\u12 \\", "C:\\dir \\u12 \\"),
    ],
)
def test_a_kind_reads_the_spellings_of_real_peers(kind, text, value):
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (k.TEXT, None),
        (k.TEXT, "a\0b"),
        (k.TEXT, 5),
        (k.NAMES, ("a,b",)),
        (k.NAMES, ("",)),
        (k.NAMES, "DU1"),
        (k.INTEGER, 1.0),
        (k.INTEGER, 2**63),
        (k.OPTIONAL_INTEGER, 2**31 - 1),
        (k.NUMBER, None),
        (k.NUMBER, float("nan")),
        (k.NUMBER, float("inf")),
        (k.NUMBER, float(UNSET)),
        (k.NUMBER, "1.0"),
        (k.SIZE, float("-inf")),
        (k.NUMBER_OR_INFINITY, float("-inf")),
    ],
)
def test_a_kind_refuses_to_write_what_it_could_not_read(kind, value):
    with pytest.raises((ValueError, TypeError)):
        kind.write(value)


@pytest.mark.parametrize(
    "kind", [k.INTEGER, k.NUMBER, k.SIZE, k.WHOLE_SIZE, k.FLAG], ids=lambda kind: kind.needed
)
@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1_0", "0x1", "nan", "inf", "1e999", "--1", "٣", "1,0", "true"]
)
def test_a_kind_refuses_to_read_what_only_python_takes_for_a_number(kind, text):
    with pytest.raises(ValueError):  # noqa: PT011 - the place is said by who reads the message
        kind.read(text)


def test_a_flag_or_a_count_that_is_none_is_refused():
    for kind, text in ((k.FLAG, "2"), (k.COUNT, "-1"), (k.ESCAPED, "\\U99999999"), (k.INTEGER, "9" * 5000)):
        with pytest.raises(ValueError):  # noqa: PT011 - the same
            kind.read(text)


def test_fields_end_with_a_zero_byte_each():
    assert k.join_fields(["49", "", "é"]) == b"49\0\0\xc3\xa9\0"
    assert k.split_fields(b"49\0\0\xc3\xa9\0") == ["49", "", "é"]


@pytest.mark.parametrize("payload", [b"49", b"", b"\0\0\0\x31abc"])
def test_a_payload_whose_last_field_is_not_ended_is_refused(payload):
    with pytest.raises(RemoteProtocolError, match="zero byte"):
        k.split_fields(payload)
