"""``quantlab doctor``: every state of every check, and that it never sends an order."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from made_bars import make_bars
from scripted_peer import GREETING, LOCAL, Peer

from quantlab.broker import doctor
from quantlab.broker.bridge import Bridge, load_bridge
from quantlab.broker.client import Client
from quantlab.broker.doctor import (
    LOOKED_AT,
    NOT_CHECKED,
    OK,
    PROBLEM,
    WARNING,
    check_gateway,
    check_ibapi,
    providers_of_ibapi,
)
from quantlab.cli import _machine, main
from quantlab.cli import doctor as cli
from quantlab.cli._machine import check_catalog, check_disk, check_packages, check_python, unmet
from quantlab.data.catalog import Catalog
from quantlab.errors import BrokerError, MissingExtraError
from quantlab.wire import messages as wire

pytest.importorskip("ibapi")
pytestmark = pytest.mark.ib

SECOND_NS = 10**9
PEERS_TIME_S = 1_704_466_800  # what the scripted peer tells: 20240105 10:00:00 EST
SENT_AT_MOST = {wire.ClientHello, wire.StartApi, wire.RequestOpenOrders, wire.RequestCurrentTime}


class StoppedClock:
    """A clock that shows what it is told to show."""

    def __init__(self, now_s=PEERS_TIME_S + 0.5):
        self.now_s = now_s

    def now_ns(self):
        return int(self.now_s * SECOND_NS)

    def sleep(self, seconds):
        raise AssertionError("nothing here waits by the clock")


def answer(message):
    if isinstance(message, wire.RequestOpenOrders):
        return (wire.OpenOrderEnd(),)
    if isinstance(message, wire.RequestCurrentTime):
        return (wire.CurrentTime(PEERS_TIME_S),)
    return ()


def looked_at(peer, *, clock=None, named=True, **options):
    """The checks of a gateway by their names, in order."""
    timeout_s = options.pop("timeout_s", 5.0)
    found = check_gateway(
        [(LOCAL, peer.port)], named=named, clock=clock or StoppedClock(), timeout_s=timeout_s, **options
    )
    return {check.what: check for check in found}


def states(checks):
    return {what: check.state for what, check in checks.items()}


def free_port():
    with Peer() as peer:
        return peer.port


# -- the gateway ---------------------------------------------------------------------------------------


def test_a_paper_account_that_answers_is_all_right_and_hears_no_order():
    with Peer(answer) as peer:
        found = looked_at(peer)
        assert states(found) == {**dict.fromkeys(LOOKED_AT, OK), "read-only": NOT_CHECKED}
        assert list(found) == list(LOOKED_AT)
        assert "DU1234567" in found["account"].said
        assert "only an order could show" in found["read-only"].said
        assert {type(m) for m in peer.received} <= SENT_AT_MOST


def test_the_client_of_the_doctor_may_not_place_orders(monkeypatch):
    made = []
    monkeypatch.setattr(doctor, "Client", lambda *a, **k: made.append(k) or Client(*a, **k))
    with Peer(answer) as peer:
        looked_at(peer)
    assert made
    assert not any(k.get("allow_orders") for k in made)


@pytest.mark.parametrize(("named", "state"), [(True, PROBLEM), (False, WARNING)])
def test_nobody_on_the_port_is_a_problem_only_where_somebody_was_named(named, state):
    found = {c.what: c for c in check_gateway([(LOCAL, free_port())], named=named)}
    assert found["gateway"].state == state
    assert "Enable ActiveX and Socket Clients" in found["gateway"].advice
    assert "quantlab gateway" in found["gateway"].advice
    assert [found[what].state for what in LOOKED_AT[1:]] == [NOT_CHECKED] * 5


@pytest.mark.parametrize("host", ["no such host", "256.256.256.256", "x" * 300])
def test_a_host_that_is_none_is_said_and_not_raised(host):
    assert next(iter(check_gateway([(host, 4002)], named=True))).state == PROBLEM


def test_the_first_place_that_listens_is_looked_at_and_the_other_is_named():
    with Peer(answer) as peer, Peer(answer) as other:
        places = [(LOCAL, free_port()), (LOCAL, peer.port), (LOCAL, other.port)]
        found = {c.what: c for c in check_gateway(places, named=False, clock=StoppedClock())}
        assert f"{LOCAL}:{peer.port} accepts" in found["gateway"].said
        assert f"so does {LOCAL}:{other.port}" in found["gateway"].said
        assert found["account"].state == OK
        assert other.received == []


def test_the_usual_ports_of_real_money_are_a_warning(monkeypatch):
    with Peer(answer) as peer:
        monkeypatch.setattr(doctor, "REAL_PORTS", (peer.port,))
        assert looked_at(peer)["gateway"].state == WARNING


@pytest.mark.parametrize("accounts", [("U1234567",), ("DU1234567", "U1234567"), ("DF1234567",)])
def test_an_account_that_is_not_of_paper_money_is_a_warning(accounts):
    with Peer(answer, greeting=(wire.ManagedAccounts(accounts), wire.NextValidId(1))) as peer:
        found = looked_at(peer)["account"]
        assert found.state == WARNING
        assert "U1234567" in found.said or "DF1234567" in found.said
        assert "paper" in found.advice


def mute(opened):
    """Accept, and say nothing."""


def hang_up(opened):
    opened.close()


def web_server(opened):
    opened.recv(65_536)
    opened.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("raw", "said"),
    [(mute, "stays mute"), (hang_up, "API may be off"), (web_server, "does not speak TWS's protocol")],
)
def test_a_port_that_does_not_speak_is_a_problem_of_the_api(raw, said):
    with Peer(raw=raw) as peer:
        found = looked_at(peer, timeout_s=0.3)
        assert states(found) == {"gateway": OK, "API": PROBLEM, **dict.fromkeys(LOOKED_AT[2:], NOT_CHECKED)}
        assert said in found["API"].said


class BusyPeer(Peer):
    """Turns one client id away, as TWS does with an id that is in use."""

    def _replies(self, message):
        if isinstance(message, wire.StartApi) and message.client_id == 1:
            return (wire.ErrorMessage(-1, 326, "Unable to connect as the client id is already in use."),)
        return super()._replies(message)


def test_a_client_id_in_use_is_a_warning_and_the_rest_is_asked_under_another():
    with BusyPeer(answer) as peer:
        found = looked_at(peer)
        assert found["client id"].state == WARNING
        assert "1 is in use" in found["client id"].said
        assert found["account"].state == OK
        assert found["read-only"].said.startswith("no sign of it")


def test_a_peer_that_never_greets_is_a_problem_of_the_connection():
    with Peer(answer, greeting=()) as peer:
        found = looked_at(peer, timeout_s=0.3)
        assert found["client id"].state == PROBLEM
        assert "confirm a dialog" in found["client id"].said
        assert states(found)["account"] == states(found)["read-only"] == NOT_CHECKED


@pytest.mark.parametrize("request_id", [-1, 2**31 - 1])  # as new and as old releases of TWS number it
def test_a_read_only_api_is_told_by_the_question_for_open_orders(request_id):
    text = "Error validating request.-'bY' : cause - The API interface is currently in Read-Only mode."

    def refuse(message):
        if isinstance(message, wire.RequestOpenOrders):
            return (wire.ErrorMessage(request_id, 321, text),)
        return answer(message)

    with Peer(refuse) as peer:
        found = looked_at(peer, timeout_s=0.5)["read-only"]
        assert found.state == WARNING
        assert "read-only" in found.said
        assert "untick 'Read-Only API'" in found.advice


def test_open_orders_that_are_never_told_are_not_checked():
    with Peer() as peer:
        found = looked_at(peer, timeout_s=0.3)["read-only"]
        assert found.state == NOT_CHECKED
        assert "not answered" in found.said


def test_without_the_official_client_the_first_words_are_still_exchanged():
    with Peer(answer) as peer:
        found = looked_at(peer, with_client=False)
        assert states(found) == {
            **dict.fromkeys(LOOKED_AT[:3], OK),
            **dict.fromkeys(LOOKED_AT[3:], NOT_CHECKED),
        }
        assert not any(isinstance(m, wire.StartApi) for m in peer.received)


# -- the clock -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours_s", "state", "said"),
    [
        (0.0, OK, "agrees"),
        (0.9, OK, "agrees"),
        (2.9, OK, "agrees"),
        (-1.9, OK, "agrees"),
        (11.0, WARNING, "10 s behind"),
        (-10.0, WARNING, "10 s ahead"),
        (3601.0, PROBLEM, "60 minutes behind"),
        (-4 * 3600.0, PROBLEM, "4 hours ahead"),
        (11 * 365 * 86_400.0, WARNING, "4015 days behind"),
    ],
)
def test_clocks_are_compared(ours_s, state, said):
    with Peer(answer) as peer:
        found = looked_at(peer, clock=StoppedClock(PEERS_TIME_S + ours_s), with_client=False)["clock"]
        assert found.state == state
        assert said in found.said
        assert bool(found.advice) == (state != OK)


def test_a_time_of_an_unclear_zone_is_asked_for_where_that_can_be_done():
    with Peer(answer, time_text="20240105 10:00:00 Central European Standard Time") as peer:
        assert looked_at(peer)["clock"].state == OK
        assert looked_at(peer, with_client=False)["clock"].state == NOT_CHECKED


def test_a_time_that_is_clear_is_not_asked_for_since_that_would_move_a_simulated_one():
    with Peer(answer) as peer:
        looked_at(peer)
        assert not any(isinstance(m, wire.RequestCurrentTime) for m in peer.received)


# -- the official client -------------------------------------------------------------------------------


def install(folder, name, version, *, record=True):
    """Put what pip leaves of an installed package into a folder."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if record:
        (info / "RECORD").write_text("ibapi/__init__.py,,\nibapi/client.py,,\n")
    else:
        (info / "top_level.txt").write_text("ibapi\n")


def test_the_packages_that_brought_ibapi_are_found_by_what_they_hold(tmp_path):
    install(tmp_path, "ibapi", "9.81.1.post1", record=False)
    install(tmp_path, "ibapi-stable", "10.50.2")
    (tmp_path / "other-1.0.dist-info").mkdir()
    (tmp_path / "other-1.0.dist-info" / "METADATA").write_text("Name: other\nVersion: 1.0\n")
    (tmp_path / "other-1.0.dist-info" / "RECORD").write_text("other/ibapi/__init__.py,,\n")
    found = providers_of_ibapi(metadata.distributions(path=[str(tmp_path)]))
    assert found == {"ibapi": "9.81.1.post1", "ibapi-stable": "10.50.2"}


def test_the_package_of_this_environment_is_found():
    found = providers_of_ibapi()
    assert len(found) == 1
    assert next(iter(found)) in {"ibapi", "ibapi-stable"}


def test_two_packages_of_one_module_are_a_problem_that_names_both():
    checks, _ = check_ibapi(required=True, providers={"ibapi": "9.81.1.post1", "ibapi-stable": "10.50.2"})
    assert checks[0].state == PROBLEM
    assert "ibapi 9.81.1.post1, ibapi-stable 10.50.2" in checks[0].said
    assert "pip uninstall -y ibapi ibapi-stable" in checks[0].advice


def test_the_client_of_this_environment_is_judged_by_what_it_speaks():
    checks, bridge = check_ibapi(required=True)
    assert bridge is not None
    found = {c.what: c for c in checks}
    assert found["package of ibapi"].state == OK
    assert found["ibapi"].state == (OK if bridge.max_version >= 163 else WARNING)


@pytest.mark.parametrize(
    ("bridge", "state", "said"),
    [
        (Bridge("9.81.1-1", 157, 100), WARNING, "10268"),
        (Bridge("10.19.4", 176, 100), OK, "up to 176"),
        (Bridge("10.50.2", 226, 100), OK, "178 is offered"),
    ],
)
def test_what_an_old_release_cannot_do_is_said(monkeypatch, bridge, state, said):
    monkeypatch.setattr(doctor, "load_bridge", lambda: bridge)
    checks, _ = check_ibapi(required=True, providers={})
    assert checks[-1].state == state
    assert said in checks[-1].said


def failing(error):
    def load():
        raise error

    return load


@pytest.mark.parametrize(("required", "state"), [(True, PROBLEM), (False, WARNING)])
def test_a_missing_client_is_a_problem_only_where_one_is_needed(monkeypatch, required, state):
    monkeypatch.setattr(doctor, "load_bridge", failing(MissingExtraError("ibapi-stable", "ib", "this")))
    checks, bridge = check_ibapi(required=required, providers={})
    assert bridge is None
    assert [c.state for c in checks] == [state]
    assert "quantlab[ib]" in checks[0].advice


def broken(cause):
    error = BrokerError(f"the installed ibapi cannot be loaded: {cause}")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (broken(ImportError("No module named 'google'", name="google.protobuf")), "protobuf>=5.29.5"),
        (broken(ImportError("cannot import name 'x'", name="ibapi.utils")), ""),
        (RuntimeError("gencode 5.29.5 does not fit runtime 4.21"), "--force-reinstall"),
    ],
)
def test_a_client_that_cannot_be_loaded_is_a_problem_with_what_to_install(monkeypatch, error, advised):
    monkeypatch.setattr(doctor, "load_bridge", failing(error))
    checks, bridge = check_ibapi(required=False, providers={})
    assert bridge is None
    assert checks[-1].state == PROBLEM
    assert advised in checks[-1].advice


def checks_without(module):
    """What the doctor says in a Python of its own in which a module cannot be imported, and its exit code."""
    argv = ["doctor", "--json", "--gateway", f"{LOCAL}:{free_port()}"]
    program = (
        f"import sys\nsys.modules[{module!r}] = None\nfrom quantlab.cli import main\nsys.exit(main({argv}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return {c["what"]: c for c in json.loads(done.stdout)["checks"]}, done.returncode


def test_it_works_where_the_official_client_is_missing():
    found, code = checks_without("ibapi")
    assert found["ibapi"]["state"] == PROBLEM
    assert "quantlab[ib]" in found["ibapi"]["advice"]
    assert code == 1


def test_it_works_where_protobuf_is_missing():
    needs_it = load_bridge().max_version >= 201
    found, _ = checks_without("google.protobuf")
    assert (found["ibapi"]["state"] == PROBLEM) == needs_it
    assert "protobuf>=5.29.5" in found["ibapi"]["advice"] or not needs_it


# -- this machine --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10, 14), PROBLEM), ((3, 11, 0), OK), ((3, 13, 1), OK), ((4, 0, 0), OK)]
)
def test_the_version_of_python_is_judged(version, state):
    assert next(iter(check_python(version))).state == state


def test_an_environment_is_told_from_none(tmp_path):
    (tmp_path / "conda-meta").mkdir()
    places = {"conda": (str(tmp_path), str(tmp_path)), "venv": ("/a", "/b"), "none": ("/a", "/a")}
    found = {kind: list(check_python((3, 12, 0), *place))[1] for kind, place in places.items()}
    assert [found[kind].state for kind in places] == [OK, OK, WARNING]
    assert all(check.said.startswith(kind) for kind, check in found.items())


def test_packages_that_are_missing_or_too_old_are_told():
    numpy = metadata.version("numpy")
    wanted = ["numpy>=999", "numpy>=1.0", "no-such-package-here>=1", "x>=1; extra == 'all'", "numpy"]
    missing, there = unmet(wanted)
    assert missing == [f"numpy>=999 ({numpy} is installed)", "no-such-package-here>=1 (not installed)"]
    assert there == [f"numpy {numpy}"] * 2


@pytest.mark.parametrize(
    ("installed", "wanted", "met"),
    [("2.10.0", "2.9", True), ("2.1", "2.1.0", True), ("2.0.9", "2.1", False), ("3.0rc1", "3", True)],
)
def test_versions_are_compared_as_numbers(monkeypatch, installed, wanted, met):
    monkeypatch.setattr(_machine.metadata, "version", lambda name: installed)
    assert (unmet([f"x>={wanted}"])[0] == []) is met


def test_a_package_that_is_not_installed_as_one_is_not_checked():
    assert check_packages("no-such-package-here").state == NOT_CHECKED


def test_a_cache_that_cannot_be_written_is_a_warning(monkeypatch):
    monkeypatch.setattr("quantlab.kernels._jit.cache_folder", lambda: None)
    found = _machine.check_kernels()
    assert found.state == WARNING
    assert "NUMBA_CACHE_DIR" in found.advice


def test_compiled_kernels_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr("quantlab.kernels._jit.cache_folder", lambda: str(tmp_path))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    assert _machine.check_kernels().said.startswith("empty")
    (tmp_path / "f.nbi").touch()
    assert _machine.check_kernels().said.startswith("1 compiled")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert _machine.check_kernels().state == WARNING


@pytest.mark.parametrize(("named", "state"), [(True, PROBLEM), (False, NOT_CHECKED)])
def test_a_catalog_that_is_not_there_is_a_problem_only_where_it_was_named(tmp_path, named, state):
    assert check_catalog(str(tmp_path / "none"), named=named).state == state


def test_a_catalog_is_counted_and_a_damaged_one_is_a_problem(tmp_path):
    Catalog(tmp_path).write(make_bars(symbols=("A",)))
    found = check_catalog(str(tmp_path), named=True)
    assert found.state == OK
    file = next(tmp_path.rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])
    found = check_catalog(str(tmp_path), named=True)
    assert found.state == PROBLEM
    assert "quantlab data verify" in found.advice


@pytest.mark.parametrize(("free", "state"), [(10**8, PROBLEM), (10**9, WARNING), (10**11, OK)])
def test_room_on_the_disk_is_judged(monkeypatch, tmp_path, free, state):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_machine.shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert check_disk(str(tmp_path / "not" / "yet")).state == state


# -- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUANTLAB_CATALOG", raising=False)

    def call(*argv):
        code = main(["doctor", *argv])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


def test_a_gateway_that_was_named_and_is_not_there_ends_with_one(run):
    code, out, _ = run("--gateway", f"{LOCAL}:{free_port()}")
    assert code == 1
    assert "PROBLEM" in out
    assert "Enable ActiveX" in out
    assert out.rstrip().splitlines()[-1].startswith("1 problem, ")


def test_without_a_gateway_the_usual_ports_are_tried_and_their_silence_is_no_problem(run, monkeypatch):
    assert cli.USUAL == (("127.0.0.1", 7497), ("127.0.0.1", 4002))
    monkeypatch.setattr(cli, "USUAL", ((LOCAL, free_port()), (LOCAL, free_port())))
    code, out, _ = run("--json")
    said = json.loads(out)
    assert code == said["problems"] == 0
    assert next(c for c in said["checks"] if c["what"] == "gateway")["state"] == WARNING


def test_json_carries_every_check_with_its_state(run):
    with Peer(answer, greeting=GREETING) as peer:
        code, out, err = run("--gateway", f"{LOCAL}:{peer.port}", "--json")
    said = json.loads(out)
    assert (code, err) == (0, "")
    assert all(set(c) == {"what", "state", "said", "advice"} for c in said["checks"])
    assert {c["state"] for c in said["checks"]} <= {OK, WARNING, PROBLEM, NOT_CHECKED}
    names = [c["what"] for c in said["checks"]]
    assert names[-6:] == list(LOOKED_AT)
    assert {"Python", "environment", "packages", "numba cache", "catalog", "disk", "ibapi"} <= set(names)
    assert said["problems"] == 0
    assert said["warnings"] == sum(c["state"] == WARNING for c in said["checks"])


@pytest.mark.parametrize("place", ["4002", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", ""])
def test_a_place_that_is_none_is_refused(run, place):
    code, _, err = run("--gateway", place)
    assert code == 2
    assert "error:" in err


def test_a_simulated_gateway_hears_no_order_and_its_time_is_not_moved(run):
    from quantlab.gateway.market import Market
    from quantlab.gateway.server import Gateway

    with Gateway(Market.of_sample(["AAPL"]), speed="max") as gateway:
        before = gateway.now_ns
        code, out, _ = run("--gateway", gateway.address, "--json")
        assert gateway.now_ns == before
        assert gateway.orders() == ()
        assert gateway.notices == ()
    found = {c["what"]: c for c in json.loads(out)["checks"]}
    assert code == 0
    assert found["account"]["state"] == OK
    assert found["read-only"]["said"].startswith("no sign of it")
    assert found["clock"]["state"] == WARNING
    assert "simulated gateway" in found["clock"]["advice"]
