"""The scripts of ``examples/ib``: each runs against the simulated gateway, and the page shows what is in the files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_peer import Peer

from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.wire import messages as wire

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib

PROJECT = Path(__file__).resolve().parent.parent
FOLDER = PROJECT / "examples" / "ib"
SCRIPTS = sorted(FOLDER.glob("*.py"))
PAGE = PROJECT / "docs" / "ib-python.md"
ORDERS = FOLDER / "6_stream_to_order.py"
PATIENCE_S = 120


@pytest.fixture(scope="module")
def gateway():
    """A minute a second: a bar of five seconds comes every twelfth of one."""
    with Gateway(Market.of_sample(["AAPL", "MSFT"]), speed=60.0) as running:
        yield running


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=FOLDER,
    )


def script(number):
    return next(path for path in SCRIPTS if path.name.startswith(f"{number}_"))


# -- each runs -----------------------------------------------------------------------------------------


def test_there_are_six_and_they_are_numbered():
    assert [path.name[:2] for path in SCRIPTS] == ["1_", "2_", "3_", "4_", "5_", "6_"]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            1,
            r"(?=.*MainThread\] run\(\) is in its own thread)(?=.*\[ib\] TWS's clock shows 20).*MainThread\] done",
        ),
        (2, r"accounts: DU1234567.*DU1234567 NetLiquidation: 1000000.*TotalCashValue: 1000000"),
        (3, r"response: \d{10} seconds.*stream 1: bid \d+\.\d\d.*stream: 6 quotes, then we cancelled it"),
        (4, r"protocol version 1\d\d, connected at 20.*accounts DU1234567, next order id \d+.*paper money"),
        (5, r"AAPL: .*tick 0\.01.*\d{8}  \d+\.\d\d .*\n\d\d bars"),
    ],
    ids=["thread", "event", "stream", "connect", "history"],
)
def test_a_script_that_only_asks_says_what_it_found_and_sends_no_order(gateway, number, said):
    before = gateway.orders()
    done = run(script(number), gateway.port)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.search(said, done.stdout, re.DOTALL), done.stdout
    assert gateway.orders() == before


def test_the_last_one_buys_and_sells_one_share_and_leaves_the_account_as_it_was(gateway):
    done = run(ORDERS, gateway.port)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.count("bar ") >= 3
    assert re.search(r"filled: BOT 1 at \d+\.\d\d.*filled: SLD 1 at \d+\.\d\d", done.stdout, re.DOTALL)
    assert done.stdout.count("commission: 1.") == 2
    orders = [(o.quantity, o.status) for o in gateway.orders()]
    assert orders == [(1.0, "Filled"), (-1.0, "Filled")]
    assert not gateway.positions()


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_a_script_that_finds_nobody_says_so_and_ends(path):
    with Peer() as peer:
        port = peer.port
    done = run(path, port)
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "docs/ib-setup.md" in done.stderr


def test_the_last_one_refuses_an_account_of_real_money_before_it_asks_for_anything():
    with Peer(greeting=(wire.ManagedAccounts(("U1234567",)), wire.NextValidId(1))) as peer:
        done = run(ORDERS, peer.port)
        assert done.returncode == 1
        assert "U1234567 is no paper account" in done.stderr
        assert {type(m) for m in peer.received} == {wire.ClientHello, wire.StartApi}


def test_the_last_one_refuses_where_one_of_several_accounts_is_of_real_money():
    greeting = (wire.ManagedAccounts(("DU1234567", "U1234567")), wire.NextValidId(1))
    with Peer(greeting=greeting) as peer:
        done = run(ORDERS, peer.port)
        assert "no paper account" in done.stderr
        assert not any(isinstance(m, wire.PlaceOrder) for m in peer.received)


def test_the_fourth_tells_real_money_from_paper_money():
    with Peer(greeting=(wire.ManagedAccounts(("U1234567",)), wire.NextValidId(1))) as peer:
        assert "REAL MONEY" in run(script(4), peer.port).stdout


def test_the_fourth_says_that_the_client_id_is_in_use():
    refusal = wire.ErrorMessage(-1, 326, "Unable to connect as the client id is already in use.")
    with Peer(greeting=(refusal,)) as peer:
        done = run(script(4), peer.port)
        assert done.returncode == 1
        assert "326" in done.stderr
        assert "already in use" in done.stderr


@pytest.mark.slow  # it waits its ten seconds
def test_the_fourth_ends_although_the_peer_stays_mute():
    with Peer(raw=lambda opened: None) as peer:
        done = run(script(4), peer.port)
        assert done.returncode == 1
        assert "stays mute" in done.stderr


def test_the_fifth_says_that_a_symbol_is_unknown(gateway):
    done = run(script(5), gateway.port, "NOSUCH")
    assert done.returncode == 1
    assert "200" in done.stderr


# -- what is written -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_only_the_last_one_can_place_orders_and_each_knows_its_port(path):
    text = path.read_text(encoding="utf-8")
    assert ("placeOrder" in text) == (path == ORDERS)
    assert "if len(sys.argv) > 1 else 4002" in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_a_script_uses_the_official_client_and_nothing_else(path):
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
    assert imported - set(sys.stdlib_module_names) == {"ibapi"}


def test_client_ids_differ_so_that_two_scripts_may_run_at_once():
    texts = [path.read_text(encoding="utf-8") for path in SCRIPTS]
    ids = [re.search(r"clientId=(\d+)|CLIENT_ID = .* else (\d+)", text).group(0)[-2:] for text in texts]
    assert len(set(ids)) == len(SCRIPTS)


def test_the_page_shows_each_script_as_it_is():
    shown = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert shown == [path.read_text(encoding="utf-8") for path in SCRIPTS]
