"""``quantlab contracts``, ``stream`` and ``data fetch``: against a simulated gateway on a real socket."""

from __future__ import annotations

import json
import socket

import pytest
from scripted_peer import LOCAL, Peer

from quantlab.broker.client import Client
from quantlab.broker.recorder import read_recorded
from quantlab.cli import main
from quantlab.data.catalog import Catalog
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as wire

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib


@pytest.fixture(scope="module")
def gateway():
    with Gateway(Market.of_sample(["AAPL", "MSFT", "IBM"]), speed="max") as opened:
        yield opened


@pytest.fixture(scope="module")
def place(gateway):
    return f"{LOCAL}:{gateway.port}"


@pytest.fixture
def run(capsys):
    def run(*arguments, code=0):
        given = main(list(arguments))
        out, err = capsys.readouterr()
        assert given == code, (out, err)
        return json.loads(out) if "--json" in arguments else out + err

    return run


# -- contracts ------------------------------------------------------------------------------------------------


def test_a_contract_is_shown_with_tick_lot_and_hours(run, place):
    text = run("contracts", "AAPL", "--gateway", place)
    assert "AAPL STK SMART/NASDAQ USD con_id 265598" in text
    assert "0.01 USD" in text
    assert "09:30 to 16:00" in text
    assert "US/Eastern" in text


def test_contracts_are_one_document(run, place):
    found = run("contracts", "AAPL", "MSFT", "--gateway", place, "--json")["contracts"]
    assert [c["contract"]["symbol"] for c in found] == ["AAPL", "MSFT"]
    assert found[0]["instrument"]["tick"] == 0.01
    assert found[0]["sessions"][0]["open"].endswith("+00:00")


def test_an_unknown_symbol_ends_with_two(run, place):
    assert "no contract NOPE" in run("contracts", "NOPE", "--gateway", place, code=2)
    error = run("contracts", "NOPE", "--gateway", place, "--json", code=2)["error"]
    assert (error["type"], error["exit_code"]) == ("ContractError", 2)


def test_an_ambiguous_symbol_lists_its_namesakes(run, place):
    text = run("contracts", "IBM", "--currency", "", "--exchange", "", "--gateway", place, code=2)
    assert "stands for" in text
    assert "USD" in text
    assert "EUR" in text


@pytest.mark.parametrize(
    "command",
    [
        ("contracts", "AAPL"),
        ("stream", "AAPL", "--ticks"),
        ("data", "fetch", "AAPL", "--since", "2012-01-01"),
    ],
)
def test_no_gateway_on_the_port_ends_with_two_and_says_what_to_start(run, command):
    with socket.create_server((LOCAL, 0)) as free:
        port = free.getsockname()[1]
    assert "Start TWS or IB Gateway" in run(*command, "--gateway", f"{LOCAL}:{port}", code=2)


@pytest.mark.parametrize("place", ["4002", "localhost:", "host:port", "127.0.0.1:99999"])
def test_a_place_that_is_none_ends_with_two(run, place):
    assert "port" in run("contracts", "AAPL", "--gateway", place, code=2)


def test_a_client_id_in_use_ends_with_two_and_says_so(run, gateway, place):
    with Client(LOCAL, gateway.port, 55) as holding:
        holding.connect()
        assert "client id 55" in run("contracts", "AAPL", "--gateway", place, "--client-id", "55", code=2)


# -- data fetch -----------------------------------------------------------------------------------------------


def test_history_is_fetched_into_the_catalog_and_a_second_time_nothing_is_new(run, place, tmp_path):
    arguments = ("data", "fetch", "AAPL", "MSFT", "--since", "2012-01-01", "--until", "2012-12-31",
                 "--catalog", str(tmp_path), "--gateway", place)  # fmt: skip
    text = run(*arguments)
    assert "2012-12-31" in text
    bars = Catalog(tmp_path).bars(["AAPL", "MSFT"], "1 day")
    assert bars.n_bars == 250
    assert bars.calendar == "XNYS"
    again = run(*arguments, "--json")
    assert again["n_bars"] == 0
    assert [s["n_requests"] for s in again["series"]] == [0, 0]


def test_minutes_are_fetched_as_well(run, place, tmp_path):
    report = run("data", "fetch", "AAPL", "--bar-size", "1 min", "--since", "2012-12-24", "--until", "2012-12-26",
                 "--catalog", str(tmp_path), "--gateway", place, "--json")  # fmt: skip
    assert report["n_bars"] == 210 + 390  # half a day before Christmas, and a whole one after it
    assert Catalog(tmp_path).bars("AAPL", "1 min").index[0].isoformat() == "2012-12-24T14:31:00+00:00"


def test_an_unknown_symbol_fetches_nothing(run, place, tmp_path):
    arguments = ("AAPL", "NOPE", "--since", "2012-01-01", "--catalog", str(tmp_path), "--gateway", place)
    assert "NOPE" in run("data", "fetch", *arguments, code=2)
    assert list(tmp_path.iterdir()) == []


# -- stream ---------------------------------------------------------------------------------------------------


def quotes(message):
    """A peer that answers a subscription of ticks with two of them, again and again as is asked."""
    match message:
        case wire.RequestContractData(request_id=number, contract=contract):
            found = wire.Contract(1, contract.symbol, "STK", exchange="SMART", currency="USD")
            return [wire.ContractData(number, found), wire.ContractDataEnd(number)]
        case wire.RequestMarketData(request_id=number):
            return [wire.TickPrice(number, 1, 187.25, 5.0), wire.TickPrice(number, 2, 187.5, 3.0)]
        case wire.RequestRealTimeBars(request_id=number):
            return [wire.RealTimeBar(number, 1_704_465_000, 1.0, 2.0, 0.5, 1.5, 20.0, 1.1, 4)]
    return []


@pytest.fixture
def until_silence(monkeypatch):
    """Ctrl-C as soon as nothing more comes."""
    read = Client.next

    def reading(self, timeout_s):
        event = read(self, timeout_s)
        if event is None:
            raise KeyboardInterrupt
        return event

    monkeypatch.setattr(Client, "next", reading)


@pytest.mark.usefixtures("until_silence")
def test_ticks_are_shown_and_an_interrupt_is_a_good_end(run):
    with Peer(quotes) as peer:
        text = run("stream", "AAPL", "--ticks", "--gateway", f"{LOCAL}:{peer.port}")
        peer.wait_for(wire.CancelMarketData)
    assert "187.25" in text
    assert "187.5" in text


@pytest.mark.usefixtures("until_silence")
def test_a_stream_is_recorded_to_its_last_row(run, tmp_path):
    with Peer(quotes) as peer:
        done = run("stream", "AAPL", "MSFT", "--bars", "5 secs", "--record", str(tmp_path), "--json",
                   "--gateway", f"{LOCAL}:{peer.port}")  # fmt: skip
    assert done["recorded"] == 2
    assert done["symbols"]["MSFT"]["close"] == 1.5
    table = read_recorded(tmp_path, "bars", "AAPL")
    assert table["time"].to_pylist() == [1_704_465_005 * 10**9]
    assert table["close"].to_pylist() == [1.5]


def test_a_stream_ends_after_its_seconds(run):
    with Peer(quotes) as peer:
        done = run(
            "stream", "AAPL", "--ticks", "--seconds", "0.2", "--json", "--gateway", f"{LOCAL}:{peer.port}"
        )
    assert done["symbols"]["AAPL"]["bid"] == 187.25


def test_a_stream_that_loses_its_connection_keeps_what_it_recorded_and_ends_with_two(run, tmp_path):
    def cut_after_a_bar(message):
        if isinstance(message, wire.CancelRealTimeBars):
            raise OSError("cut")
        return quotes(message)

    with Peer(cut_after_a_bar) as peer:
        read = peer._replies

        def replies(message):
            given = tuple(read(message))
            if isinstance(message, wire.RequestRealTimeBars):
                peer._sockets[-1].sendall(b"".join(peer.encode(m) for m in given))
                raise OSError("cut")
            return given

        peer._replies = replies
        text = run("stream", "AAPL", "--bars", "5 secs", "--record", str(tmp_path),
                   "--gateway", f"{LOCAL}:{peer.port}", code=2)  # fmt: skip
    assert "the stream ended" in text
    assert read_recorded(tmp_path, "bars", "AAPL").num_rows == 1


@pytest.mark.parametrize("options", [(), ("--ticks", "--bars", "1 min")])
def test_bars_or_ticks_must_be_said(run, options):
    assert "one of them" in run("stream", "AAPL", *options, code=2)


def test_bars_that_interactive_brokers_does_not_make_are_refused(run):
    with Peer(quotes) as peer:
        assert "7 mins" in run(
            "stream", "AAPL", "--bars", "7 mins", "--gateway", f"{LOCAL}:{peer.port}", code=2
        )
