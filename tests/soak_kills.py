"""Real kills: `quantlab paper` ended by SIGKILL at random moments, started again, until the period is over.

Not collected with the other tests, since each start takes seconds: `make kill` runs it, and CI does.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from live_parts import BIDS, BRACKETS, BUSY, make_bundle, walk

from quantlab.costs import Costs
from quantlab.gateway.market import Market
from quantlab.gateway.server import Gateway
from quantlab.live.journal import read_journal
from quantlab.live.parity import compare
from quantlab.live.replay import collect

KILLS = 20
FIRST, DEADLINE_S = 20, 900.0


def count(journal):
    """Entries of a journal that another process writes; 0 before there is one."""
    if not journal.exists():
        return 0
    try:
        with sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True, timeout=5.0) as database:
            return int(database.execute("SELECT max(seq) FROM entries").fetchone()[0] or 0)
    except sqlite3.OperationalError:
        return 0


def start(bundle, port):
    command = [sys.executable, "-m", "quantlab", "paper", str(bundle.folder)]
    options = ["--gateway", f"127.0.0.1:{port}", "--driven", "--json"]
    return subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


KINDS = {"market orders": (BUSY, "now"), "brackets": (BRACKETS, "next_entry"), "bids": (BIDS, "next_entry")}
"""Strategies, and how they join."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_paper_run_survives_real_kills(kind, tmp_path, capsys):
    bars = walk(240)
    source, join = KINDS[kind]
    whole = make_bundle(tmp_path, bars, source=source, costs=Costs.percent(0.001), join=join, cuts=4)
    known = bars.take(slice(0, FIRST + 1))
    folder = tmp_path / "early"
    folder.mkdir()
    bundle = make_bundle(folder, known, source=source, costs=Costs.percent(0.001), join=join, cuts=4)
    rng = random.Random(list(KINDS).index(kind))
    day = str(np.datetime64(int(bars.session[FIRST + 1]), "D"))
    kills, began = 0, time.monotonic()
    moments = []
    with Gateway(
        Market.of_bars(bars), fills="bars", costs=whole.terms.costs, speed="max", start=day, cash=10_000_000.0
    ) as gateway:
        while True:
            process = start(bundle, gateway.port)
            before = count(bundle.journal_path)
            # From the first entries of a start to well into the run; the last start is left alone.
            target = before + rng.randint(1, 60)
            while kills < KILLS and process.poll() is None and count(bundle.journal_path) < target:
                assert time.monotonic() - began < DEADLINE_S
                time.sleep(0.002)
            if kills < KILLS and process.poll() is None:
                time.sleep(rng.random() * 0.02)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
                moments.append(count(bundle.journal_path))
                continue
            # Driven time ends with the data; then nothing moves any more.
            while process.poll() is None and len(decided(bundle)) < bars.n_bars - FIRST:
                assert time.monotonic() - began < DEADLINE_S
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            break
        assert kills == KILLS, f"the run was over after {kills} kills: {out} {err}"
        served = replace(bundle, bars=known)
        done = collect(
            served, bars, gateway, bundle.journal_path, fills="bars", first=FIRST, client="", began=began
        )
    report = compare(served, bars, done)
    doubled = [r for r, n in Counter(o.order_ref for o in done.orders).items() if n > 1]
    assert doubled == []
    assert report.differences == [], str(report.differences[:4])
    assert report.fill_differences == [], str(report.fill_differences[:4])
    journaled = {
        e.body["exec_id"]: e.body["quantity"] for e in read_journal(bundle.journal_path, "execution")
    }
    assert journaled == {x.exec_id: x.quantity for x in done.executions}
    assert not read_journal(bundle.journal_path, "freeze", "missed", "blocked")
    with capsys.disabled():
        print(  # noqa: T201  # the count of kills is what this is run for
            f"\n{kills} kills in {time.monotonic() - began:.0f} s, at entries {moments}: {report.n_bars} bars, "
            f"{len(done.orders)} orders, {len(done.executions)} fills, none doubled, none lost"
        )


def decided(bundle):
    return read_journal(bundle.journal_path, "decision")
