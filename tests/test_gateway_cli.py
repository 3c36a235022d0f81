"""The command ``quantlab gateway``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from gateway_client import TestClient, buy, stock

import quantlab as ql
from quantlab.cli import main
from quantlab.wire import messages as m


@contextmanager
def running(*options):
    """A gateway as a process, its first line, and its end by Ctrl-C."""
    command = [sys.executable, "-m", "quantlab", "gateway", "--port", "0", *options]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **streams) as process:
        process.line = process.stdout.readline()
        assert process.line, process.stderr.read()
        yield process
        process.send_signal(signal.SIGINT)
        _, process.said = process.communicate(timeout=20)
    assert process.returncode == 0, process.said
    assert "stopped" in process.said


def test_it_says_where_it_is_serves_and_ends_well_by_ctrl_c():
    with running("--speed", "max", "--start", "2012-01-03", "--fills", "bars") as process:
        assert re.fullmatch(
            r"gateway 127\.0\.0\.1:\d+, account DU1234567, 20111230 16:00:00 US/Eastern \(speed max, fills bars\); "
            r'connect with EClient\.connect\("127\.0\.0\.1", \d+, clientId=1\), end with Ctrl-C\n',
            process.line,
        )
        port = int(re.search(r":(\d+),", process.line)[1])
        with TestClient(SimpleNamespace(port=port)) as client:
            client.send(m.PlaceOrder(1, stock("AAPL"), buy(10)))
            client.drive(lambda x: isinstance(x, m.CommissionReport))
            client.socket.sendall(b"\0\0\0\x04999\0")  # is not known, and that is said
            client.error(320)
    assert "unknown message 999" in process.said


def test_as_json_it_says_the_same_for_programs_and_moves_by_enter(tmp_path):
    catalog = ql.Catalog(tmp_path / "prices")
    catalog.write(ql.sample("IBM").between("2012-01-03", "2012-01-05"))
    options = (
        "--catalog",
        catalog.path,
        "--start",
        "2012-01-04",
        "--json",
        "--account",
        "DU99",
        "--cash",
        "5000",
    )
    with running(*options, "--speed", "step", "--state", str(tmp_path / "state.db")) as process:
        facts = json.loads(process.line)
        assert (facts["account"], facts["symbols"], facts["speed"]) == ("DU99", ["IBM"], "step")
        assert facts["time"] == "20120103 16:00:00 US/Eastern"
        for expected in ("20120104 09:30:00", "20120104 16:00:00"):
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith(expected)
        with TestClient(SimpleNamespace(port=facts["port"])) as client:
            client.send(m.RequestAccountSummary(1, "All", "TotalCashValue"))
            assert client.wait(m.AccountSummary).value == "5000.00"
    with running(*options, "--state", str(tmp_path / "state.db")) as process:
        assert json.loads(process.line)["time"] == "20120104 16:00:00 US/Eastern"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "loopback"),
        (["--account", "U1234567"], "paper account"),
        (["--speed", "warp"], "'max'"),
        (["--fills", "kindly"], "quotes"),
        (["--symbols", "APPL"], "did you mean 'AAPL'"),
        (["--symbols", "AAPL,,IBM"], "empty name"),
        (["--start", "2020-01-01"], "2013-03-01"),
        (["--bar-size", "1 min"], "catalog"),
        (["--port", "99999"], "65535"),
        (["--ceiling", "300"], "157"),
        (["--cash", "-5"], "cash"),
    ],
)
def test_what_cannot_be_used_is_told_with_exit_code_2(options, says, capsys):
    assert main(["gateway", *options]) == 2
    assert says in capsys.readouterr().err
