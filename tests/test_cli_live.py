"""``promote``, ``parity``, ``paper``, ``status``, ``halt`` and ``journal``: the way through them, and bad input."""

from __future__ import annotations

import json
import shutil
import socket

import pytest
from scripted_peer import LOCAL, Peer

from quantlab.cli import main
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.live.bundle import read_bundle
from quantlab.live.journal import Journal, read_journal
from quantlab.wire import messages as m

pytestmark = pytest.mark.ib

END = "2012-12-31"

IDEA = '''\
import quantlab as ql
from quantlab.signals import sma


@ql.strategy(fast=range(2, 10))
def quick(bars, fast=2, slow=6):
    """Long while the fast average is above the slow one."""
    return sma(bars.close, fast) > sma(bars.close, slow)
'''

LIMITS = [
    *("--max-order-value", "90000", "--max-position-value", "90000", "--max-gross-value", "200000"),
    *("--max-orders-per-day", "10", "--max-daily-loss", "50000"),
]


@pytest.fixture
def run(capsys):
    """Run a command; its exit code, and what it wrote."""

    def call(*argv):
        code = main([str(a) for a in argv])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


@pytest.fixture(scope="module")
def promoted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("promoted")
    (folder / "idea.py").write_text(IDEA)
    arguments = [
        "promote",
        str(folder / "idea.py"),
        "--symbols",
        "AAPL,IBM",
        "--start",
        "2011-01-03",
        "--end",
        END,
    ]
    assert main([*arguments, *LIMITS, "--join", "now", "--out", str(folder / "bundle"), "--json"]) == 0
    return folder / "bundle"


@pytest.fixture
def bundle(promoted, tmp_path):
    """A fresh copy, without a journal."""
    return shutil.copytree(promoted, tmp_path / "bundle")


@pytest.fixture
def gateway():
    with Gateway(Market.of_sample(["AAPL", "IBM"]), speed="max", start="2013-01-02") as opened:
        yield opened


# -- the way through -------------------------------------------------------------------------------------


def test_promote_says_what_was_found_and_what_comes_next(run, tmp_path):
    (tmp_path / "idea.py").write_text(IDEA)
    out = tmp_path / "made"
    code, text, err = run(
        "promote", tmp_path / "idea.py", "-p", "fast=3", "--end", END, *LIMITS, "--out", out
    )
    assert (code, err) == (0, "")
    assert "causality  causal" in text
    assert "quantlab parity" in text
    assert read_bundle(out).params["fast"] == 3
    # The year that was held back is not in it.
    assert str(read_bundle(out).bars.index[-1])[:10] == END


def test_parity_is_printed_and_is_one_document(run, bundle):
    code, text, _ = run("parity", bundle, "--start", "2012-10-01")
    assert code == 0
    assert text.count("equal") >= 2
    assert "equal by construction" in text.replace("\n", " ").replace("  ", " ") or "by construction" in text
    code, text, _ = run("parity", bundle, "--start", "2012-10-01", "--fills", "quotes", "--json")
    (report,) = json.loads(text)
    assert code == 0
    assert report["ok"]
    assert report["decisions_equal"]
    gap = report["gap"]
    assert gap["total"] == pytest.approx(gap["explained"], abs=1e-6)


def test_paper_trades_what_follows_the_bundle_and_goes_on_where_it_stopped(run, bundle):
    code, text, err = run("paper", bundle, "--simulate", "--until", "2013-01-31", "--json")
    assert (code, err) == (0, "")
    first = json.loads(text)
    assert first["decided"] == 22
    assert first["orders"] > 2
    code, text, _ = run("paper", bundle, "--simulate", "--json")
    second = json.loads(text)
    assert code == 0
    assert second["decided"] == 20
    assert second["orders"] > first["orders"]
    decided = [e.body["time_ns"] for e in read_journal(bundle / "journal.db", "decision")]
    assert len(decided) == len(set(decided)) == 42
    held = read_journal(bundle / "journal.db", "freeze", "missed", "blocked")
    assert held == []


def test_status_and_journal_tell_what_happened(run, bundle):
    run("paper", bundle, "--simulate", "--until", "2013-01-15")
    code, text, _ = run("status", bundle, "--json")
    said = json.loads(text)
    assert code == 0
    assert said["account"] == "DU1234567"
    assert not said["running"]
    assert set(said["assets"]) == {"AAPL", "IBM"}
    code, text, _ = run("status", bundle)
    assert "last decision  2013-01-15" in text
    code, text, _ = run("journal", bundle, "--kind", "intent", "--kind", "execution", "--json")
    kinds = [e["kind"] for e in json.loads(text)]
    assert set(kinds) == {"intent", "execution"}
    code, text, _ = run("journal", bundle, "--last", "3")
    assert len(text.splitlines()) == 3


def test_a_halt_holds_orders_back_until_it_is_resumed(run, bundle):
    assert run("halt", bundle, "--reason", "looking into it")[0] == 0
    code, text, _ = run("paper", bundle, "--simulate", "--until", "2013-01-31", "--json")
    said = json.loads(text)
    assert code == 1
    assert said["orders"] == 0
    assert said["halted"] == "looking into it"
    assert read_journal(bundle / "journal.db", "blocked")
    assert run("status", bundle)[0] == 1
    assert run("halt", bundle, "--resume")[0] == 0
    code, text, _ = run("paper", bundle, "--simulate", "--json")
    assert code == 0
    assert json.loads(text)["orders"] > 0
    assert [e.kind for e in read_journal(bundle / "journal.db", "halt", "resume")] == ["halt", "resume"]


def test_a_limit_holds_an_order_back_and_says_so(run, promoted, tmp_path):
    tight = [
        ("10" if x == "90000" and LIMITS[k - 1] == "--max-order-value" else x) for k, x in enumerate(LIMITS)
    ]
    (tmp_path / "idea.py").write_text(IDEA)
    out = tmp_path / "tight"
    assert run("promote", tmp_path / "idea.py", "--end", END, *tight, "--join", "now", "--out", out)[0] == 0
    _, text, _ = run("paper", out, "--simulate", "--until", "2013-01-31")
    assert "held back" in text
    assert "max_order_value is 10.00" in text
    assert read_journal(out / "journal.db", "intent") == []


# -- bad input -------------------------------------------------------------------------------------------


def test_a_promotion_without_limits_names_them_all(run, tmp_path):
    (tmp_path / "idea.py").write_text(IDEA)
    code, _, err = run("promote", tmp_path / "idea.py", *LIMITS[2:6], "--out", tmp_path / "x")
    assert code == 2
    assert "--max-order-value" in err
    assert "--max-daily-loss" in err
    assert "--max-position-value" not in err


def test_real_money_is_no_mode(run, tmp_path):
    (tmp_path / "idea.py").write_text(IDEA)
    code, _, err = run("promote", tmp_path / "idea.py", "--to", "live", *LIMITS, "--out", tmp_path / "x")
    assert code == 2
    assert "'live'" in err


def test_no_gateway_on_the_port_is_said_with_advice(run, bundle):
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))
        port = taken.getsockname()[1]
    code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{port}")
    assert code == 2
    assert str(port) in err
    assert "TWS" in err
    # Nothing was decided, and the journal can be used the next time.
    assert [e.kind for e in read_journal(bundle / "journal.db")] == ["opened"]


@pytest.mark.parametrize("port", [7496, 4001])
def test_real_money_ports_are_refused_before_anything_is_sent(run, bundle, port):
    code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{port}")
    assert code == 2
    assert "real-money" in err
    assert "7497" in err


def test_a_real_money_account_is_refused_and_nothing_is_ordered(run, bundle):
    greeting = (m.ManagedAccounts(("U7654321",)), m.NextValidId(1))
    with Peer(greeting=greeting) as peer:
        code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{peer.port}")
        received = list(peer.received)
    assert code == 2
    assert "U7654321 is a real-money account" in err
    assert not any(isinstance(x, m.PlaceOrder) for x in received)


def test_a_client_id_in_use_is_said_with_advice(run, bundle, gateway):
    from quantlab.broker.client import Client

    with Client(port=gateway.port, client_id=1) as other:
        other.connect()
        code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{gateway.port}", "--driven")
    assert code == 2
    assert "client id" in err


def test_a_symbol_that_the_broker_does_not_know_is_refused(run, bundle):
    with Gateway(Market.of_sample(["AAPL"]), speed="max", start="2013-01-02") as gateway:
        code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{gateway.port}", "--driven")
    assert code == 2
    assert "IBM" in err


def test_two_runners_on_one_bundle_are_refused(run, bundle, gateway):
    with Journal.open(bundle / "journal.db", read_bundle(bundle).id):
        code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{gateway.port}", "--driven")
    assert code == 2
    assert "one runner a bundle" in err


def test_a_changed_strategy_is_refused(run, bundle):
    source = bundle / "strategy.py"
    source.write_text(source.read_text().replace(">", "<"))
    code, _, err = run("paper", bundle, "--simulate")
    assert code == 2
    assert "was changed since it was promoted" in err


def test_the_journal_of_another_bundle_is_refused(run, bundle):
    Journal.open(bundle / "journal.db", "f" * 16).close()
    code, _, err = run("paper", bundle, "--simulate")
    assert code == 2
    assert "journal of bundle ffffffffffffffff" in err


def test_a_damaged_journal_is_refused_and_kept(run, bundle):
    run("paper", bundle, "--simulate", "--until", "2013-01-15")
    file = bundle / "journal.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:100] + b"\xff" * 4000 + whole[4100:])
    code, _, err = run("paper", bundle, "--simulate")
    assert code == 2
    assert "keep it" in err
    assert len(file.read_bytes()) == len(whole)


def test_a_position_that_nobody_knows_freezes_its_asset_and_the_other_trades(run, bundle, gateway):
    from quantlab.broker.client import Client
    from quantlab.broker.contracts import find_contract
    from quantlab.broker.orders import Ticket

    with Client(port=gateway.port, client_id=9, allow_orders=True, messages_per_s=None) as other:
        greeting = other.connect()
        contract = find_contract(other, "IBM").contract
        other.place_order(greeting.next_order_id, contract, Ticket(30))
        other.open_orders()
        # Two steps: to the open, where it fills, and to the close after it.
        other.current_time()
        other.current_time()
    code, text, _ = run(
        "paper", bundle, "--gateway", f"{LOCAL}:{gateway.port}", "--driven", "--until", "2013-01-31", "--json"
    )
    said = json.loads(text)
    assert code == 1
    assert "the broker holds 30 IBM" in said["frozen"]
    sent = {e.body["symbol"] for e in read_journal(bundle / "journal.db", "intent")}
    assert sent == {"AAPL"}


def test_history_that_is_not_the_bundles_any_more_stops_the_start(run, bundle):
    bars = Market.of_sample(["AAPL", "IBM"]).base
    halved = type(bars)(
        **{n: getattr(bars, n) for n in ("time", "session", "instruments", "bar_size", "meta", "volume")},
        **{c: getattr(bars, c) / 2.0 for c in ("open", "high", "low", "close")},
    )
    with Gateway(Market.of_bars(halved), speed="max", start="2013-01-02") as gateway:
        code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{gateway.port}", "--driven")
    assert code == 2
    assert "differs from the bundle's" in err
    assert "promote again" in err
    assert read_journal(bundle / "journal.db", "intent") == []


def test_a_bundle_with_nothing_left_to_trade_says_what_to_do(run, tmp_path):
    (tmp_path / "idea.py").write_text(IDEA)
    run("promote", tmp_path / "idea.py", *LIMITS, "--out", tmp_path / "late")
    code, _, err = run("paper", tmp_path / "late", "--simulate")
    assert code == 2
    assert "--end" in err


def test_paper_needs_one_place_to_trade(run, bundle):
    for arguments in ([], ["--simulate", "--gateway", f"{LOCAL}:4002"]):
        code, _, err = run("paper", bundle, *arguments)
        assert code == 2
        assert "--simulate" in err


@pytest.mark.parametrize("place", ["4002", "localhost", "a:b", ":1"])
def test_a_place_that_is_none_is_refused(run, bundle, place):
    code, _, err = run("paper", bundle, "--gateway", place)
    assert code == 2
    assert "host:port" in err


def test_a_mute_peer_ends_the_start_within_its_deadline(run, bundle):
    with Peer(greeting=()) as peer:
        code, _, err = run("paper", bundle, "--gateway", f"{LOCAL}:{peer.port}")
    assert code == 2
    assert str(peer.port) in err


def test_a_run_that_is_stopped_while_it_has_no_connection_ends_without_a_fault(promoted, tmp_path):
    from quantlab.broker.client import Client
    from quantlab.live.feed import Timing
    from quantlab.live.ledger import Ledger
    from quantlab.live.runner import Runner

    place = shutil.copytree(promoted, tmp_path / "bundle")
    bundle, said = read_bundle(place), []
    gateway = Gateway(Market.of_sample(["AAPL", "IBM"]), speed="max", start="2013-01-02").start()
    port = gateway.port
    with Journal.open(bundle.journal_path, bundle.id, durable=False) as journal:
        runner = Runner(
            bundle,
            lambda: Client(port=port, client_id=1, allow_orders=True, messages_per_s=None),
            Ledger(bundle, journal),
            timing=Timing.replay(),
            say=said.append,
            # The first pause is the time at which somebody presses Ctrl-C.
            pause=lambda _: runner.stop(),
        )
        real, turns = runner._turn, []

        def turn():
            turns.append(1)
            if len(turns) == 5:
                gateway.stop()
            real()

        runner._turn = turn
        runner.run()
    kinds = [e.kind for e in read_journal(bundle.journal_path)]
    assert kinds.count("lost") == 1
    assert kinds[-1] == "stopped"
    assert len([line for line in said if line.startswith("attempt")]) == 1
