from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from scripted_peer import LOCAL, Peer

from quantlab.broker import events as ev
from quantlab.broker.bridge import load_bridge
from quantlab.broker.client import Client
from quantlab.errors import (
    BrokerError,
    NoAnswerError,
    NotConnectedError,
    ParameterError,
)
from quantlab.wire import messages as wire
from quantlab.wire.frames import frame

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib

BY_NOW_S = 5.0


def client_of(peer, **options):
    return Client(LOCAL, peer.port, options.pop("client_id", 7), messages_per_s=None, **options)


def events_until(client, kind):
    found = []
    while not found or not isinstance(found[-1], kind):
        event = client.next(BY_NOW_S)
        assert event is not None, f"no {kind.__name__} came; there came {found}"
        found.append(event)
    return found


def test_a_connection_is_greeted_with_its_version_accounts_order_id_and_time():
    with Peer() as peer, client_of(peer) as client:
        greeting = client.connect(BY_NOW_S)
        assert greeting.accounts == ("DU1234567",)
        assert greeting.next_order_id == 101
        assert greeting.server_version == min(178, load_bridge().max_version)
        assert greeting.time_ns == 1_704_466_800 * 10**9  # 10:00 in New York in winter
        assert client.connected
        assert client.account == "DU1234567"
        assert peer.wait_for(wire.StartApi).client_id == 7


def test_at_most_version_178_is_offered_also_by_a_newer_client():
    with Peer(ceiling=200) as peer, client_of(peer) as client:
        greeting = client.connect(BY_NOW_S)
        newest = min(178, load_bridge().max_version)
        assert peer.wait_for(wire.ClientHello).max_version == newest
        assert greeting.server_version == newest


@pytest.mark.parametrize("ceiling", [157, 178])
def test_both_tested_versions_are_spoken(ceiling):
    with Peer(ceiling=ceiling) as peer, client_of(peer) as client:
        assert client.connect(BY_NOW_S).server_version == min(ceiling, load_bridge().max_version)


@pytest.mark.parametrize("ceiling", [156, 201, 226])
def test_a_ceiling_outside_the_text_protocol_is_refused(ceiling):
    with pytest.raises(ParameterError, match="157 to 200"):
        Client(ceiling=ceiling)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": 0}, "port"),
        ({"port": 70000}, "port"),
        ({"client_id": -1}, "client id"),
        ({"host": ""}, "host"),
    ],
)
def test_a_place_that_is_none_is_refused(options, said):
    with pytest.raises(ParameterError, match=said):
        Client(**options)


# -- failures -------------------------------------------------------------------------------------------------


def test_a_refused_connection_names_the_port_and_what_to_start():
    with socket.create_server((LOCAL, 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NotConnectedError, match=r"nobody listens.*Start TWS.*7497.*quantlab gateway"):
        Client(LOCAL, port).connect(BY_NOW_S)


def test_a_mute_peer_is_given_up_at_the_deadline():
    began = time.monotonic()
    with (
        Peer(raw=lambda opened: opened.recv(1000)) as peer,
        pytest.raises(NotConnectedError, match=r"stays mute.*dialog"),
    ):
        client_of(peer).connect(0.2)
    assert time.monotonic() - began < BY_NOW_S


def test_a_peer_that_is_mute_after_its_version_is_given_up_at_the_deadline():
    with Peer(greeting=()) as peer, client_of(peer) as client:
        with pytest.raises(NotConnectedError, match=r"no accounts.*in time"):
            client.connect(0.2)
        assert not client.connected


def test_a_peer_that_closes_at_once_means_that_the_api_is_off():
    with (
        Peer(raw=lambda opened: opened.close()) as peer,
        pytest.raises(NotConnectedError, match=r"API may be off.*Enable ActiveX and Socket Clients"),
    ):
        client_of(peer).connect(BY_NOW_S)


def test_a_peer_that_is_no_tws_is_told_as_such():
    with (
        Peer(raw=lambda opened: opened.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer,
        pytest.raises(NotConnectedError, match="does not speak TWS's protocol"),
    ):
        client_of(peer).connect(BY_NOW_S)


def test_a_version_that_is_too_old_asks_for_an_update():
    with (
        Peer(raw=lambda opened: opened.sendall(frame(b"110\x0020200101 10:00:00 EST\x00"))) as peer,
        pytest.raises(NotConnectedError, match=r"version 110.*Update TWS"),
    ):
        client_of(peer).connect(BY_NOW_S)


def test_a_client_id_in_use_is_told_at_once_and_by_its_number():
    in_use = (wire.ErrorMessage(-1, 326, "Unable to connect as the client id is already in use."),)
    with (
        Peer(greeting=in_use) as peer,
        client_of(peer, client_id=9) as client,
        pytest.raises(NotConnectedError, match=r"client id 9.*already in use.*another client id"),
    ):
        client.connect(60.0)


def test_a_peer_that_closes_after_start_is_taken_for_a_client_id_in_use():
    def close_after_start(opened):
        opened.recv(1000)
        opened.sendall(frame(b"157\x0020240105 10:00:00 EST\x00"))
        opened.recv(1000)
        opened.shutdown(socket.SHUT_RDWR)

    with (
        Peer(raw=close_after_start) as peer,
        client_of(peer) as client,
        pytest.raises(NotConnectedError, match=r"client id 7.*in use"),
    ):
        client.connect(60.0)


def test_an_unknown_host_is_told():
    with pytest.raises(NotConnectedError, match="cannot be reached"):
        Client("no such host", 4002).connect(BY_NOW_S)


def test_a_connected_client_cannot_connect_twice():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        with pytest.raises(BrokerError, match="connected already"):
            client.connect(BY_NOW_S)


def test_requests_without_a_connection_say_to_connect():
    with pytest.raises(NotConnectedError, match=r"connect\(\)"):
        Client().request_current_time()


def test_a_lost_connection_is_an_event_and_what_is_asked_then_says_so():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        peer.drop()
        lost = events_until(client, ev.Disconnected)[-1]
        assert "closed" in lost.reason or "broke" in lost.reason
        assert not client.connected
        with pytest.raises(NotConnectedError, match=r"closed|broke"):
            client.current_time()


def test_a_connection_lost_while_an_answer_is_waited_for_ends_the_wait_and_is_still_an_event():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        waker = threading.Thread(target=lambda: (peer.wait_for(wire.RequestCurrentTime), peer.drop()))
        waker.start()
        with pytest.raises(NotConnectedError, match="while the time was waited for"):
            client.current_time(60.0)
        waker.join()
        assert isinstance(events_until(client, ev.Disconnected)[-1], ev.Disconnected)


def test_closing_is_no_loss_and_can_be_done_twice():
    with Peer() as peer:
        client = client_of(peer)
        client.connect(BY_NOW_S)
        client.close()
        client.close()
        kinds = [type(e) for e in iter(lambda: client.next(0.0), None)]
        assert ev.Disconnected not in kinds
        assert not client.connected


def test_a_client_connects_again_and_keeps_what_it_has_not_read():
    notice = wire.ErrorMessage(-1, 2104, "Market data farm connection is OK")
    with Peer(greeting=(wire.ManagedAccounts(("DU1",)), wire.NextValidId(5), notice)) as peer:
        client = client_of(peer)
        client.connect(BY_NOW_S)
        peer.drop()
        with pytest.raises(NotConnectedError):
            client.current_time(BY_NOW_S)
        client.connect(BY_NOW_S)
        kinds = []
        while len([k for k in kinds if k is ev.Notice]) < 2:
            kinds.append(type(client.next(BY_NOW_S)))
        assert ev.Disconnected not in kinds  # the lost connection is history
        client.close()


# -- the official client's known bugs -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4095, 4096, 8192, 65_536])
def test_a_burst_of_any_size_followed_by_silence_is_delivered_whole(size):
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        first = peer.encode(wire.CurrentTime(1_700_000_000))
        head = peer.encode(wire.ErrorMessage(-1, 2104, ""))
        burst = first + peer.encode(wire.ErrorMessage(-1, 2104, "x" * (size - len(first) - len(head))))
        assert len(burst) == size
        peer.send_bytes(burst)
        found = events_until(client, ev.CurrentTime)
        assert found[-1].time_ns == 1_700_000_000 * 10**9
        assert isinstance(client.next(BY_NOW_S), ev.Notice)


def test_what_comes_in_one_segment_with_the_version_is_not_lost():
    def all_at_once(opened):
        opened.recv(1000)
        opened.sendall(
            frame(b"157\x0020240105 10:00:00 EST\x00")
            + frame(b"15\x001\x00DU1,DU2\x00")
            + frame(b"9\x001\x0042\x00")
        )
        opened.recv(1000)
        opened.recv(1000)

    with Peer(raw=all_at_once) as peer, client_of(peer) as client:
        greeting = client.connect(BY_NOW_S)
        assert greeting.accounts == ("DU1", "DU2")
        assert greeting.next_order_id == 42


def test_a_message_that_comes_byte_by_byte_is_put_together():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        for letter in peer.encode(wire.CurrentTime(1_700_000_000)):
            peer.send_bytes(bytes([letter]))
        assert events_until(client, ev.CurrentTime)[-1].time_ns == 1_700_000_000 * 10**9


def test_a_message_that_cannot_be_decoded_is_an_event_and_the_next_one_is_read():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        peer.send_bytes(frame(b"17\x001\x00nonsense\x00"))
        peer.send(wire.CurrentTime(1_700_000_000))
        failure, *_, _ = [
            e
            for e in events_until(client, ev.CurrentTime)
            if not isinstance(e, (ev.Accounts, ev.NextOrderId))
        ]
        assert isinstance(failure, ev.CallbackFailure)
        assert failure.callback.startswith("process")


def test_a_message_with_a_field_too_many_is_an_event_and_not_dropped():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        peer.send_bytes(frame(b"9\x001\x007\x00surplus\x00"))
        failure = events_until(client, ev.CallbackFailure)[-1]
        assert "nextValidId" in failure.text


def test_an_exception_in_a_callback_is_an_event_and_the_loop_goes_on(monkeypatch):
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)

        def broken(self, time):
            raise ZeroDivisionError("a planted defect")

        monkeypatch.setattr(type(client._callbacks), "currentTime", broken)
        peer.send(wire.CurrentTime(1), wire.NextValidId(500))
        failure = events_until(client, ev.CallbackFailure)[-1]
        assert "a planted defect" in failure.text
        assert client.next(BY_NOW_S) == ev.NextOrderId(500)


def test_bytes_that_are_no_frame_end_the_connection_with_a_reason():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        peer.send_bytes(b"\xff\xff\xff\xff garbage")
        assert "protocol" in events_until(client, ev.Disconnected)[-1].reason


def test_an_open_connection_does_not_keep_the_process_alive():
    program = """
        import sys
        from quantlab.broker.client import Client
        client = Client("127.0.0.1", int(sys.argv[1]), 3)
        client.connect()
        print("connected", flush=True)
    """
    with Peer() as peer:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(peer.port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    assert done.stdout == "connected\n"


def test_nothing_of_the_official_package_is_changed():
    program = """
        import ibapi.client as official, sys
        parts = lambda: (official.Connection, official.MAX_CLIENT_VER, official.EClient.connect, official.EClient.run)
        before = parts()
        from quantlab.broker.client import Client
        client = Client("127.0.0.1", int(sys.argv[1]), 3)
        client.connect()
        print(before == parts())
    """
    with Peer() as peer:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(peer.port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    assert done.stdout == "True\n"


# -- answers --------------------------------------------------------------------------------------------------


def test_no_answer_is_an_error_and_not_an_empty_list():
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        with pytest.raises(NoAnswerError, match="does not mean that there is nothing"):
            client.positions(timeout_s=0.05)


def test_an_empty_answer_is_empty():
    answers = {wire.RequestPositions: wire.PositionEnd(), wire.RequestAllOpenOrders: wire.OpenOrderEnd()}
    with Peer(lambda m: [answers[type(m)]] if type(m) in answers else []) as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        assert client.positions(BY_NOW_S) == ()
        assert client.open_orders(timeout_s=BY_NOW_S) == ()


def test_what_does_not_belong_to_an_answer_stays_for_next_in_order():
    def answer(message):
        if isinstance(message, wire.RequestCurrentTime):
            return [wire.NextValidId(7), wire.CurrentTime(5), wire.NextValidId(8)]
        return []

    with Peer(answer) as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        assert client.current_time(BY_NOW_S) == 5 * 10**9
        ids = [e.order_id for e in (client.next(BY_NOW_S) for _ in range(4)) if isinstance(e, ev.NextOrderId)]
        assert ids == [101, 7, 8]


def test_a_late_answer_to_an_earlier_question_is_not_taken_for_this_one():
    held = wire.PositionData("DU1", wire.Contract(symbol="AAPL", security_type="STK"), 100.0, 1.0)
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        with pytest.raises(NoAnswerError):
            client.positions(timeout_s=0.05)
        # The end of the first answer comes late, when the second question is asked: it must not end that one.
        peer.answer = lambda m: (
            [wire.PositionEnd(), held, wire.PositionEnd()] if isinstance(m, wire.RequestPositions) else []
        )
        assert [p.quantity for p in client.positions(BY_NOW_S)] == [100.0]


def test_nothing_is_polled_between_socket_and_consumer():
    """A hundred times: a message is sent while the consumer waits; the median from socket to event is taken."""
    with Peer() as peer, client_of(peer) as client:
        client.connect(BY_NOW_S)
        while client.next(0.05) is not None:
            pass
        payload = peer.encode(wire.CurrentTime(1_700_000_000))
        took = []
        for _ in range(100):
            began = time.perf_counter()
            peer.send_bytes(payload)
            assert client.next(BY_NOW_S) is not None
            took.append(time.perf_counter() - began)
        assert sorted(took)[50] < 0.01  # some 0.1 ms where nothing else runs
