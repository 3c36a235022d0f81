"""Frames: a length and a payload, whole or in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.errors import LocalProtocolError, RemoteProtocolError
from quantlab.wire import MAX_PAYLOAD, FrameReader, frame


def test_a_frame_is_four_bytes_of_length_and_the_payload():
    assert frame(b"49\x001\0") == b"\0\0\0\x0549\x001\0"


@given(payloads=st.lists(st.binary(min_size=1, max_size=40), max_size=8), size=st.integers(1, 50))
def test_payloads_come_out_whole_whatever_the_pieces(payloads, size):
    data = b"".join(map(frame, payloads))
    reader = FrameReader()
    found = [p for start in range(0, len(data), size) for p in reader.feed(data[start : start + size])]
    assert found == payloads
    assert len(reader) == 0


def test_several_payloads_in_one_piece_come_out_in_order_and_a_rest_waits():
    reader = FrameReader()
    assert reader.feed(frame(b"a") + frame(b"bc") + frame(b"def")[:-1]) == (b"a", b"bc")
    assert len(reader) == 6
    assert reader.feed(b"f") == (b"def",)


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_a_payload_that_is_empty_or_too_long_is_not_sent(size):
    with pytest.raises(LocalProtocolError, match=f"{size} bytes"):
        frame(bytes(size))


@pytest.mark.parametrize("head", [b"\0\0\0\0", b"\x01\0\0\0", b"\xff\xff\xff\xff"])
def test_a_length_that_cannot_be_is_refused_as_soon_as_it_is_there(head):
    reader = FrameReader()
    assert reader.feed(head[:3]) == ()
    with pytest.raises(RemoteProtocolError, match="was announced"):
        reader.feed(head[3:])


def test_the_longest_payload_passes():
    reader = FrameReader()
    assert reader.feed(frame(bytes(MAX_PAYLOAD))) == (bytes(MAX_PAYLOAD),)
