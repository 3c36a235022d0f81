"""One end of the protocol: who may say what when, how versions are agreed, and what nonsense does."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_records import APPLE, any_message, two_ends

from quantlab.errors import LocalProtocolError, ParameterError, RemoteProtocolError
from quantlab.wire import Connection, State
from quantlab.wire import messages as m
from quantlab.wire.to_client import TO_CLIENT
from quantlab.wire.to_server import TO_SERVER

HELLO = m.ClientHello(100, 178)
TIME = "20240105 10:00:00 EST"


def at_state(role, state, version=178):
    """One end of a connection in a state."""
    client, server = Connection("client"), Connection("server", ceiling=version)
    ours = client if role == "client" else server
    if ours.state is not state:
        server.receive(client.send(HELLO))
    if ours.state is not state:
        client.receive(server.send(m.ServerHello(version, TIME)))
    if ours.state is not state:
        server.receive(client.send(m.StartApi(1)))
    assert ours.state is state
    return ours


def hello(text):
    return b"API\0" + len(text).to_bytes(4, "big") + text


# -- the greeting ------------------------------------------------------------------------------------------


def test_both_ends_go_through_the_same_states():
    client, server = Connection("client"), Connection("server")
    assert (client.state, server.state) == (State.HELLO, State.HELLO)
    assert server.receive(client.send(HELLO)) == (HELLO,)
    assert (client.state, server.state) == (State.REPLY, State.REPLY)
    assert (client.version, server.version) == (None, 178)
    reply = m.ServerHello(178, TIME)
    assert client.receive(server.send(reply)) == (reply,)
    assert (client.state, server.state) == (State.START, State.START)
    assert (client.version, server.version) == (178, 178)
    assert server.receive(client.send(m.StartApi(7, "caps"))) == (m.StartApi(7, "caps"),)
    assert (client.state, server.state) == (State.READY, State.READY)


def test_the_greeting_is_the_bytes_of_a_real_client_and_a_real_server():
    client, server = Connection("client"), Connection("server")
    data = client.send(m.ClientHello(100, 178, "+PACEAPI"))
    assert data == b"API\0\0\0\0\x12v100..178 +PACEAPI"
    server.receive(data)
    assert server.send(m.ServerHello(178, TIME)) == b"\0\0\0\x1a178\0" + TIME.encode() + b"\0"
    client.receive(b"\0\0\0\x1a178\0" + TIME.encode() + b"\0")
    assert client.send(m.StartApi(3)) == b"\0\0\0\x0871\x002\x003\0\0"


@pytest.mark.parametrize(
    ("client_range", "ceiling", "agreed"),
    [
        ((100, 226), 178, 178),
        ((100, 226), 157, 157),
        ((100, 157), 178, 157),
        ((100, 187), 200, 187),
        ((157, 178), 178, 178),
        ((100, 158), 178, 157),
        ((100, 226), 158, 157),
        ((100, 226), 200, 200),
    ],
)
def test_a_server_agrees_to_the_lower_of_its_ceiling_and_the_clients_newest(client_range, ceiling, agreed):
    server = Connection("server", ceiling=ceiling)
    server.receive(hello(b"v%d..%d" % client_range))
    assert server.version == agreed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"v100..151", "pip install ibapi"),
        (b"v100..156", "157 is the oldest"),
        (b"v179..226", "Raise the ceiling"),
        (b"v158..158", "no version below 158"),
        (b"v100", "hello is"),
        (b"hello", "hello is"),
        (b"v100..17\xb2", "hello is"),
        (b"v1..99999999999999", "hello is"),
    ],
)
def test_a_client_that_cannot_be_served_is_told_why(text, said):
    server = Connection("server")
    with pytest.raises(RemoteProtocolError, match=said):
        server.receive(hello(text))
    assert server.state is State.ERROR
    assert server.version is None


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"178\0", "no TWS"),
        (b"178\0t\0more\0", "no TWS"),
        (b"abc\0t\0", "no TWS"),
        (b"178\0t", "zero byte"),
        (b"99\0t\0", "157 to 178 are possible"),
        (b"179\0t\0", "157 to 178 are possible"),
    ],
)
def test_a_reply_that_is_none_is_refused(payload, said):
    client = at_state("client", State.REPLY)
    with pytest.raises(RemoteProtocolError, match=said):
        client.receive(len(payload).to_bytes(4, "big") + payload)
    assert client.state is State.ERROR


def test_a_browser_on_the_port_is_recognized_at_its_first_byte():
    server = Connection("server")
    with pytest.raises(RemoteProtocolError, match="Something else"):
        server.receive(b"G")


def test_what_a_server_says_with_its_reply_in_one_piece_is_not_lost():
    client, server = Connection("client"), Connection("server")
    server.receive(client.send(HELLO))
    reply, accounts, first = m.ServerHello(178, TIME), m.ManagedAccounts(("DU1", "DU2")), m.NextValidId(5)
    data = server.send(reply) + server.send(accounts) + server.send(first)
    assert client.receive(data) == (reply, accounts, first)


def test_the_version_of_the_reply_must_be_the_one_that_was_agreed():
    server = at_state("server", State.REPLY)
    with pytest.raises(LocalProtocolError, match="178 was agreed"):
        server.send(m.ServerHello(177, TIME))
    with pytest.raises(LocalProtocolError, match="time_text"):
        server.send(m.ServerHello(178, "\0"))
    assert server.state is State.REPLY


@pytest.mark.parametrize("bad", [m.ClientHello(100, 10**7), m.ClientHello(-1, 178), m.ClientHello(1, 2, "é")])
def test_a_hello_that_no_server_reads_is_not_sent(bad):
    client = Connection("client")
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        client.send(bad)
    assert client.state is State.HELLO


@pytest.mark.parametrize("ceiling", [0, 156, 201])
def test_a_ceiling_that_is_not_spoken_is_refused(ceiling):
    with pytest.raises(ParameterError, match="157 to 200"):
        Connection("server", ceiling=ceiling)


def test_a_role_is_client_or_server():
    with pytest.raises(ParameterError, match='"client" or "server"'):
        Connection("peer")


# -- who may say what when ---------------------------------------------------------------------------------

TICKET = m.OrderTicket("BUY", 100, "MKT")
SAID_BY = {
    "client": [HELLO, m.StartApi(1), m.RequestIds(), m.PlaceOrder(1, APPLE, TICKET), m.Unknown(999)],
    "server": [
        m.ServerHello(178, TIME),
        m.NextValidId(1),
        m.ErrorMessage(-1, 326, "taken"),
        m.CurrentTime(1),
        m.Unknown(999),
    ],
}
MAY = {
    ("client", State.HELLO): {m.ClientHello},
    ("client", State.REPLY): set(),
    ("client", State.START): {m.StartApi},
    ("client", State.READY): {m.RequestIds, m.PlaceOrder, m.Unknown},
    ("server", State.HELLO): set(),
    ("server", State.REPLY): {m.ServerHello},
    ("server", State.START): {m.NextValidId, m.ErrorMessage, m.Unknown},
    ("server", State.READY): {m.NextValidId, m.ErrorMessage, m.CurrentTime, m.Unknown},
}
"""What may be said, by role and state: nothing else."""


@pytest.mark.parametrize(("role", "state"), list(MAY), ids=str)
def test_each_end_says_only_what_its_state_allows(role, state):
    other = "server" if role == "client" else "client"
    for message in SAID_BY[role]:
        ours = at_state(role, state)
        if type(message) in MAY[role, state]:
            ours.send(message)
        else:
            with pytest.raises(LocalProtocolError, match=r"does not fit now|no message"):
                ours.send(message)
            assert ours.state is state
    for message in SAID_BY[other]:
        if not isinstance(message, m.Unknown):
            with pytest.raises(LocalProtocolError):
                at_state(role, state).send(message)


def test_a_client_that_does_not_wait_for_the_reply_is_refused():
    server = at_state("server", State.REPLY)
    with pytest.raises(RemoteProtocolError, match="before the version is agreed"):
        server.receive(b"\0\0\0\x0871\x002\x003\0\0")


def test_a_client_that_starts_with_something_else_is_refused():
    server = at_state("server", State.START)
    with pytest.raises(RemoteProtocolError, match="Allowed to the server: StartApi"):
        server.receive(b"\0\0\0\x0549\x001\0")


def test_a_client_that_starts_twice_is_refused():
    server = at_state("server", State.READY)
    with pytest.raises(RemoteProtocolError, match="StartApi does not fit"):
        server.receive(b"\0\0\0\x0871\x002\x003\0\0")


def test_a_server_that_speaks_before_it_was_greeted_is_refused():
    client = Connection("client")
    with pytest.raises(RemoteProtocolError, match="before the version"):
        client.receive(b"\0\0\0\x0549\x001\0")


def test_what_was_closed_stays_closed():
    _, server = two_ends()
    server.close()
    assert server.state is State.CLOSED
    with pytest.raises(LocalProtocolError, match="closed by us"):
        server.send(m.CurrentTime(1))
    with pytest.raises(LocalProtocolError, match="closed by us"):
        server.receive(b"")


# -- bytes in pieces ---------------------------------------------------------------------------------------

SCRIPT = [
    m.RequestIds(),
    m.PlaceOrder(7, APPLE, TICKET),
    m.Unknown(104, ("3", "")),
    m.RequestHistoricalData(5, APPLE, keep_up_to_date=True),
    m.RequestCurrentTime(),
]


def whole_talk(version=178):
    """Every byte that a client says from its hello on, and what it means; the server's reply is inserted."""
    client = Connection("client")
    first = client.send(HELLO)
    client.receive(b"\0\0\0\x06%d\0t\0" % version)
    rest = client.send(m.StartApi(1)) + b"".join(client.send(message) for message in SCRIPT)
    return first, rest


@pytest.mark.parametrize("version", [157, 178])
def test_byte_by_byte_is_the_same_as_at_once(version):
    first, rest = whole_talk(version)
    server = Connection("server", ceiling=version)
    heard = [message for byte in first for message in server.receive(bytes([byte]))]
    server.send(m.ServerHello(version, "t"))
    for byte in rest:
        heard += server.receive(bytes([byte]))
    assert heard == [HELLO, m.StartApi(1), *SCRIPT]
    assert server.waiting == 0


@given(cuts=st.lists(st.integers(0, 2000), max_size=20))
def test_any_pieces_mean_the_same(cuts):
    first, rest = whole_talk()
    server = Connection("server")
    server.receive(first)
    server.send(m.ServerHello(178, "t"))
    places = [0, *sorted(min(cut, len(rest)) for cut in cuts), len(rest)]
    pieces = [rest[a:b] for a, b in pairwise(places)]
    assert [message for piece in pieces for message in server.receive(piece)] == [m.StartApi(1), *SCRIPT]


def test_what_follows_a_message_waits_for_its_rest():
    client, server = two_ends()
    data = server.send(m.CurrentTime(1)) + server.send(m.CurrentTime(2))
    assert client.receive(data[:-1]) == (m.CurrentTime(1),)
    assert client.waiting == len(data) // 2 - 1
    assert client.receive(data[-1:]) == (m.CurrentTime(2),)


# -- nonsense ----------------------------------------------------------------------------------------------


def test_after_nonsense_a_connection_is_broken_for_good():
    client, server = two_ends()
    with pytest.raises(RemoteProtocolError, match="0 bytes was announced"):
        server.receive(b"\0\0\0\0")
    assert server.state is State.ERROR
    with pytest.raises(RemoteProtocolError, match="0 bytes was announced"):
        server.receive(client.send(m.RequestIds()))
    with pytest.raises(LocalProtocolError, match="broken by the peer"):
        server.send(m.CurrentTime(1))
    server.close()
    assert server.state is State.ERROR


def test_what_came_before_nonsense_is_handed_out_one_by_one_and_then_the_error():
    client, server = two_ends()
    data = client.send(m.RequestIds()) + b"\0\0\0\0"
    coming = server.each(data)
    assert next(coming) == m.RequestIds()
    with pytest.raises(RemoteProtocolError, match="0 bytes"):
        next(coming)


def test_a_length_that_no_client_sends_is_refused_before_its_bytes_are_kept():
    _, server = two_ends()
    with pytest.raises(RemoteProtocolError, match="16777216 bytes"):
        server.receive(b"\x01\0\0\0")


@given(data=st.binary(max_size=200), role=st.sampled_from(["client", "server"]))
def test_any_bytes_give_messages_or_the_one_error(data, role):
    ours = at_state(role, State.READY)
    try:
        heard = ours.receive(len(data).to_bytes(4, "big") + data)
    except RemoteProtocolError:
        assert ours.state is State.ERROR
    else:
        assert ours.state is State.READY
        assert len(heard) == 1


@given(data=st.data())
def test_a_damaged_message_gives_a_message_or_the_one_error(data):
    spoken = data.draw(st.sampled_from([s for s in (*TO_SERVER, *TO_CLIENT) if s.since <= 178][1:]))
    client, server = two_ends()
    sender, receiver = (client, server) if spoken in TO_SERVER else (server, client)
    whole = bytearray(sender.send(data.draw(any_message(spoken.record, 178))))
    place = data.draw(st.integers(4, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    try:
        heard = receiver.receive(bytes(whole))
    except RemoteProtocolError:
        assert receiver.state is State.ERROR
    else:
        assert len(heard) == 1
