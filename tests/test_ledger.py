"""The trial ledger: what it counts, and that it survives writers, kills and full disks."""

from __future__ import annotations

import inspect
import math
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_bars import make_bars

from quantlab.costs import Costs
from quantlab.engine.backtest import backtest as plain
from quantlab.errors import DataError, ParameterError, UnknownNameError
from quantlab.research import record
from quantlab.research.attempts import Data, Entry, Moments, shape_of
from quantlab.research.ledger import Ledger, LedgerWarning
from quantlab.research.project import find_project, forget_projects, read_project
from quantlab.signal import Signal
from quantlab.sizing import Sizing
from quantlab.strategy import strategy

BARS = make_bars(60, ("A",))


def entry(parameters="p", *, sharpes=(0.1,), name="cross", bars_per_year=252.0, **changed):
    made = Entry(
        kind="backtest",
        strategy=name,
        source="s",
        settings="o",
        parameters=parameters,
        said=f"p={parameters}",
        data=Data("d", "A", "1 day", "2020-01-01", "2020-12-31"),
        n_bars=250,
        bars_per_year=bars_per_year,
        n_trials=len(sharpes),
        moments=Moments.of(sharpes),
        at_ns=1_000,
    )
    return made._replace(**changed)


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "deep" / "ledger.sqlite", delay_s=1e6, patience_s=0.05)
    yield made
    made._waiting.clear()  # what a test left behind on purpose is not written when the tests end
    made.close()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project that is the working folder; gives its folder."""
    (tmp_path / "quantlab.toml").touch()
    monkeypatch.chdir(tmp_path)
    forget_projects()
    record._recorder.cache_clear()
    yield tmp_path
    record.find_ledger().close()
    forget_projects()


@strategy(level=(40.0, 50.0))
def above(bars, level=50.0):
    return bars.close > level


# -- adding up -----------------------------------------------------------------------------------------


def naive_shape(x):
    x = np.asarray(x)
    c = x - x.mean()
    m2 = (c**2).mean()
    return x.mean(), x.var(ddof=1), (c**3).mean() / m2**1.5, (c**4).mean() / m2**2


def test_a_worked_example_of_the_moments():
    # Mean 3; deviations -2, -1, 0, 3: squares sum to 14, cubes to 18, fourth powers to 98.
    m = Moments.of([1.0, 2.0, 3.0, 6.0, math.nan, math.inf])
    assert m == (4, 12.0, 50.0, 252.0, 1394.0, 6.0)
    assert shape_of(4, m[1:5]) == pytest.approx((3.0, 14 / 3, 4.5 / 3.5**1.5, 24.5 / 3.5**2))


@pytest.mark.parametrize("sharpe", [0.3, -0.2, 0.0, math.nan, math.inf, -math.inf])
def test_one_ratio_is_summed_as_an_array_of_one(sharpe):
    assert Moments.of_one(sharpe) == pytest.approx(Moments.of([sharpe]), nan_ok=True)


@given(st.lists(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=8), min_size=1, max_size=6))
@settings(max_examples=30)
def test_entries_add_up_to_the_trials_they_were_made_of(tmp_path_factory, groups):
    every = [x for group in groups for x in group]
    assume(len(every) > 1 and np.std(every) > 1e-2)
    ledger = Ledger(tmp_path_factory.mktemp("l") / "l.sqlite")
    ledger.append(*(entry(str(k), sharpes=group) for k, group in enumerate(groups)))
    tried = ledger.tried("cross")
    ledger.close()
    assert (tried.n_trials, tried.n_entries, tried.n_finite) == (len(every), len(groups), len(every))
    found = (tried.mean, tried.variance, tried.skew, tried.kurtosis)
    assert found == pytest.approx(naive_shape(every), rel=1e-7, abs=1e-9)
    assert tried.largest == max(every)


@pytest.mark.parametrize(
    ("sharpes", "mean", "variance", "largest"),
    [
        ([0.1], 0.1, math.nan, 0.1),
        ([0.1] * 1000, 0.1, 0.0, 0.1),
        ([math.nan], math.nan, math.nan, math.nan),
        ([math.nan, -0.1, -0.3], -0.2, 0.02, -0.1),
    ],
)
def test_few_equal_and_undefined_ratios_are_told_as_such(ledger, sharpes, mean, variance, largest):
    ledger.append(entry(sharpes=sharpes))
    tried = ledger.tried()
    assert tried.n_trials == len(sharpes)
    assert (tried.mean, tried.variance, tried.largest) == pytest.approx(
        (mean, variance, largest), nan_ok=True
    )


def test_nothing_tried_is_no_trials(ledger):
    tried = ledger.tried("cross")
    assert (tried.n_trials, tried.n_entries, tried.n_sources) == (0, 0, 0)
    assert math.isnan(tried.mean)
    assert math.isnan(tried.largest)
    assert ledger.entries().empty
    assert not ledger.path.parent.exists()  # reading makes nothing


def test_ratios_of_other_bars_are_brought_to_one_observation(ledger):
    daily, minutes = [0.05, 0.10], [0.002, 0.004]
    ledger.append(entry("a", sharpes=minutes, bars_per_year=252.0 * 390, at_ns=1))
    ledger.append(entry("b", sharpes=daily, at_ns=2))
    tried = ledger.tried()
    assert tried.bars_per_year == 252.0  # of the latest
    assert tried.mean == pytest.approx(np.mean([*daily, *(x * math.sqrt(390) for x in minutes)]))
    fine = ledger.tried(bars_per_year=252.0 * 390)
    assert fine.largest == pytest.approx(0.10 / math.sqrt(390))
    assert fine.variance == pytest.approx(tried.variance / 390)
    assert fine.kurtosis == pytest.approx(tried.kurtosis)


def test_all_versions_of_a_strategy_count_and_other_strategies_do_not(ledger):
    ledger.append(entry("a"), entry("a", source="edited"), entry("b", kind="sweep", sharpes=[0.1, 0.2, 0.3]))
    ledger.append(entry("a", name="other"), entry("a", data=Data("e", "B", "1 day", "", "")))
    tried = ledger.tried("cross")
    assert (tried.n_trials, tried.n_entries, tried.n_sources) == (6, 4, 2)
    assert ledger.tried("cross", data="e").n_trials == 1
    assert ledger.tried().n_trials == 7
    assert ledger.tried("nobody").n_trials == 0
    assert set(ledger.strategies()) == {"cross", "other"}


# -- one entry -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["kind", "strategy", "source", "settings", "parameters", "data"])
def test_whatever_differs_makes_another_entry(ledger, part):
    ledger.append(entry(), entry(**{part: Data("other", "", "", "", "") if part == "data" else "other"}))
    assert ledger.entries()["runs"].tolist() == [1, 1]


def test_the_same_trial_again_counts_a_run_and_not_a_trial(ledger):
    ledger.append(entry(at_ns=1_000_000_000))
    ledger.append(entry(at_ns=5_000_000_000, sharpes=[0.9]))
    table = ledger.entries()
    assert table["runs"].tolist() == [2]
    assert [t.second for t in (table["first_at"].iloc[0], table["last_at"].iloc[0])] == [1, 5]
    assert ledger.tried().n_trials == 1
    assert ledger.tried().largest == 0.1


def test_a_sweep_that_went_on_renews_its_entry_and_one_that_was_cut_does_not(ledger):
    ledger.append(entry(sharpes=[0.1, 0.2]))
    ledger.append(entry(sharpes=[0.1, 0.2, 0.6]))
    ledger.append(entry(sharpes=[0.1, 0.2]))
    tried = ledger.tried()
    assert (tried.n_trials, tried.n_finite, tried.largest) == (3, 3, 0.6)
    assert tried.mean == pytest.approx(0.3)
    assert ledger.entries()["runs"].tolist() == [3]


def test_the_frame_of_entries_is_annual_and_says_what_was_run(ledger):
    ledger.append(entry("a", sharpes=[0.1, 0.3]), entry("b", sharpes=[math.nan], name="other"))
    table = ledger.entries()
    assert table.index.name == "entry"
    first = table.iloc[0]
    assert first["mean_sharpe"] == pytest.approx(0.2 * math.sqrt(252))
    assert first["best_sharpe"] == pytest.approx(0.3 * math.sqrt(252))
    assert (first["symbols"], first["bar_size"], first["parameters"]) == ("A", "1 day", "p=a")
    assert math.isnan(table.iloc[1]["best_sharpe"])
    assert ledger.entries("other").index.tolist() == [2]
    assert ledger.entries(kind="sweep").empty


def test_more_entries_than_one_statement_takes_are_all_written(ledger):
    ledger.append(*(entry(str(k)) for k in range(1_201)), *(entry(str(k)) for k in range(600)))
    table = ledger.entries()
    assert len(table) == 1_201
    assert table["runs"].tolist() == [2] * 600 + [1] * 601


# -- writers and kills ---------------------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_ledger_entry import entry, Ledger
ledger = Ledger({path!r})
{body}
"""


@pytest.fixture
def spawn(tmp_path):
    """Start a process that writes to a ledger; it has `ledger` and `entry`."""
    source = inspect.getsource(entry)
    (tmp_path / "test_ledger_entry.py").write_text(
        "from quantlab.research.attempts import Data, Entry, Moments\n"
        f"from quantlab.research.ledger import Ledger\n\n\n{source}"
    )
    started = []

    def start(body, path):
        text = WRITER.format(tests=str(tmp_path), path=str(path), body=body)
        process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_writers_at_once_lose_nothing_and_count_what_they_share_once(ledger, spawn):
    body = """
for k in range(40):
    ledger.append(entry(f"own {sys.argv[0]} {%d} {k}"), entry(f"shared {k}"))
"""
    processes = [spawn(body % w, ledger.path) for w in range(4)]
    assert [p.wait(60) for p in processes] == [0] * 4
    table = ledger.entries()
    shared = table["parameters"].str.contains("shared")
    assert (len(table), int(shared.sum())) == (4 * 40 + 40, 40)
    assert table["runs"][shared].tolist() == [4] * 40
    assert table["runs"][~shared].tolist() == [1] * 160


@pytest.mark.parametrize("seed", range(3))
def test_killed_writers_leave_every_entry_they_finished_and_none_by_half(ledger, spawn, seed):
    body = """
from quantlab.research import ledger_tables
ledger_tables._TOGETHER = 1  # a statement an entry: only the transaction holds them together
k = 0
while True:
    ledger.append(*(entry(f"{%d} {k} {j}", sharpes=[0.5] * (2 + j)) for j in range(3)))
    print(k, flush=True)
    k += 1
"""
    rng = random.Random(seed)
    processes = [spawn(body % w, ledger.path) for w in range(3)]
    finished = [0] * 3
    for w, process in enumerate(processes):
        for _ in range(rng.randrange(5, 60)):
            finished[w] = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        finished[w] = max([finished[w], *map(int, process.stdout.read().split("\n")[:-1])])
    with sqlite3.connect(ledger.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    table = ledger.entries()
    written = set(table["parameters"])
    for w, last in enumerate(finished):
        assert {f"p={w} {k} {j}" for k in range(last + 1) for j in range(3)} <= written
    sets = table["parameters"].str.rsplit(" ", n=1).str[0].value_counts()
    assert set(sets) == {3}  # those of one transaction are there together
    assert (table["n_finite"] == 2 + table["parameters"].str[-1].astype(int)).all()
    ledger.append(entry("after"))
    assert ledger.tried().n_entries == len(table) + 1


def test_what_was_deferred_is_written_when_the_process_ends(ledger, spawn):
    process = spawn(
        "ledger.delay_s = 1e6\nfor k in range(5): ledger.defer(lambda k=k: entry(str(k)))", ledger.path
    )
    assert process.wait(60) == 0
    assert len(ledger.entries()) == 5


def test_a_killed_process_loses_only_what_it_had_deferred(ledger, spawn):
    body = """
ledger.append(entry("kept"))
ledger.delay_s = 1e6
ledger.defer(lambda: entry("lost"))
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert spawn(body, ledger.path).wait(60) == -signal.SIGKILL
    assert ledger.entries()["parameters"].tolist() == ["p=kept"]


def test_forked_workers_write_their_own_entries_at_once_and_their_parents_never(ledger, spawn):
    body = """
import multiprocessing
def work(k):
    ledger.defer(lambda: entry(f"worker {k}"))
ledger.delay_s = 1e6
ledger.append(entry("before"))
ledger.defer(lambda: entry("parent"))
with multiprocessing.get_context("fork").Pool(2) as pool:  # which ends by killing its workers
    pool.map(work, range(6), 1)
"""
    assert spawn(body, ledger.path).wait(60) == 0
    table = ledger.entries()
    assert sorted(table["parameters"]) == ["p=before", "p=parent", *(f"p=worker {k}" for k in range(6))]
    assert table["runs"].tolist() == [1] * 8


def test_deferred_entries_are_written_together_by_another_thread(tmp_path):
    ledger = Ledger(tmp_path / "l.sqlite", delay_s=0.01)
    for k in range(20):
        ledger.defer(lambda k=k: entry(str(k)))
    timer = ledger._timer
    if timer is not None:
        timer.join()
    ledger.flush()
    with sqlite3.connect(ledger.path) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (20,)


def test_a_ledger_that_was_removed_begins_anew(ledger):
    ledger.append(entry("a"))
    for path in ledger.path.parent.iterdir():
        path.unlink()
    ledger.append(entry("b"))
    assert ledger.entries()["parameters"].tolist() == ["p=b"]


# -- what goes wrong -----------------------------------------------------------------------------------


def locked(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_a_locked_ledger_warns_and_keeps_the_entries_for_later(ledger):
    ledger.append(entry("a"))
    holder = locked(ledger.path)
    ledger.defer(lambda: entry("b"))
    with pytest.warns(LedgerWarning, match="another process holds it"):
        assert ledger.flush() is False
    holder.close()
    ledger.defer(lambda: entry("c"))
    assert ledger.flush() is True
    assert ledger.entries()["parameters"].tolist() == ["p=a", "p=b", "p=c"]


def test_what_is_lost_at_the_end_is_counted(ledger):
    ledger.append(entry("a"))
    holder = locked(ledger.path)
    ledger.defer(lambda: entry("b"))
    ledger.defer(lambda: entry("c"))
    with pytest.warns(LedgerWarning) as told:
        ledger._end()
    assert ["tried again" in str(t.message) for t in told] == [True, False]
    assert "2 entries are lost" in str(told[1].message)
    holder.close()


def test_a_ledger_that_cannot_be_written_for_long_does_not_fill_the_memory(ledger, monkeypatch):
    monkeypatch.setattr("quantlab.research.ledger.LIMIT", 3)
    monkeypatch.setattr(ledger, "_writer", refuse)
    for k in range(5):
        ledger.defer(lambda k=k: entry(str(k)))
        with pytest.warns(LedgerWarning, match="read-only; make it writable"):
            ledger.flush()
    assert (len(ledger._waiting), ledger._lost) == (3, 2)


def refuse():
    raise sqlite3.OperationalError("attempt to write a readonly database")


def test_an_entry_that_cannot_be_made_is_told_and_the_others_are_written(ledger):
    ledger.defer(lambda: 1 / 0)
    ledger.defer(lambda: entry("b"))
    with pytest.warns(LedgerWarning, match="ZeroDivisionError"):
        ledger.flush()
    assert len(ledger.entries()) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"not a database at all" * 100, "is no ledger; move it away"), (b"SQLite format 3\0junk", "")],
)
def test_a_file_that_is_no_ledger_is_told_and_left_as_it_is(ledger, content, said):
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(content)
    with pytest.raises(DataError, match=f"cannot be read.*{said}"):
        ledger.entries()
    ledger.defer(entry)
    with pytest.warns(LedgerWarning, match=said):
        ledger.flush()
    assert ledger.path.read_bytes() == content


def test_a_ledger_of_a_later_version_is_neither_read_nor_written(ledger):
    ledger.append(entry())
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("PRAGMA user_version=99")
    again = Ledger(ledger.path)
    with pytest.raises(DataError, match=r"version 99.*Update quantlab"):
        again.entries()
    with pytest.raises(DataError, match="version 99"):
        again.append(entry("b"))


def test_an_empty_file_becomes_a_ledger(ledger):
    ledger.path.parent.mkdir()
    ledger.path.touch()
    assert ledger.entries().empty
    ledger.append(entry())
    assert ledger.tried().n_trials == 1


def test_where_warnings_are_errors_a_fault_is_printed_and_nothing_raised(ledger, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "_writer", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ledger.defer(entry)
        assert ledger.flush() is False
    assert "read-only" in capsys.readouterr().err


# -- projects ------------------------------------------------------------------------------------------


def test_a_project_is_found_upward_and_the_nearest_wins(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    forget_projects()
    assert find_project(deep) is None
    (tmp_path / "quantlab.toml").touch()
    forget_projects()
    assert find_project(deep).folder == tmp_path
    (tmp_path / "a" / "quantlab.toml").write_text("[ledger]\nrecord = false\n")
    forget_projects()
    found = find_project(deep)
    assert (found.folder, found.record) == (tmp_path / "a", False)
    assert find_project(tmp_path).ledger_path == tmp_path / ".quantlab" / "ledger.sqlite"


def test_a_search_is_believed_for_a_second(tmp_path, monkeypatch):
    now = [100.2]
    monkeypatch.setattr("quantlab.research.project.time.monotonic", lambda: now[0])
    assert find_project(tmp_path) is None
    (tmp_path / "quantlab.toml").touch()
    assert find_project(tmp_path) is None
    now[0] = 101.3
    assert find_project(tmp_path).folder == tmp_path


def test_a_working_folder_that_was_deleted_is_in_no_project(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert find_project() is None


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("[ledger", ParameterError, "cannot be read"),
        ("[leger]\nrecord = true", UnknownNameError, "did you mean 'ledger'"),
        ("[ledger]\nrecrd = true", UnknownNameError, "did you mean 'record'"),
        ("[ledger]\nrecord = 1", ParameterError, "a bool is needed"),
        ("ledger = true", ParameterError, r"write \[ledger\]"),
    ],
)
def test_settings_that_cannot_be_used_say_what_can(project, text, error, said):
    (project / "quantlab.toml").write_text(text)
    with pytest.raises(error, match=said):
        read_project(project)
    forget_projects()
    with pytest.warns(LedgerWarning, match="not entered"):
        assert record.backtest(above, BARS).stats["n_trades"] >= 0
    (project / "quantlab.toml").write_text("")
    forget_projects()


# -- the faces -----------------------------------------------------------------------------------------


def test_outside_a_project_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forget_projects()
    record.backtest(above, BARS)
    record.record_sweep(swept())
    assert record.find_ledger() is None
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_does_not_record_is_left_alone(project):
    (project / "quantlab.toml").write_text("[ledger]\nrecord = false\n")
    forget_projects()
    record.backtest(above, BARS)
    record.record_sweep(swept())
    assert record.find_ledger().entries().empty
    assert not (project / ".quantlab").exists()


def test_a_backtest_in_a_project_is_the_same_and_is_entered(project):
    result, unseen = record.backtest(above, BARS, {"level": 45.0}), plain(above, BARS, {"level": 45.0})
    pd.testing.assert_series_equal(result.stats, unseen.stats)
    row = record.find_ledger().entries().iloc[0]
    print_of = unseen.fingerprint
    assert row["source_hash"] == print_of["strategy"]
    assert row["data_hash"] == print_of["data"]
    assert row["parameters_hash"] == print_of["parameters"]
    assert (row["kind"], row["strategy"], row["parameters"]) == ("backtest", "above", "level=45.0")
    assert (row["n_bars"], row["n_trials"], row["symbols"]) == (60, 1, "A")
    assert row["best_sharpe"] == pytest.approx(unseen.stats["sharpe"])


@pytest.mark.parametrize(
    "options",
    [
        {"cash": 5_000},
        {"costs": Costs.zero()},
        {"sizing": Sizing(allocation=0.5)},
        {"fill": "next_close"},
        {"start": BARS.index[5]},
        {"end": BARS.index[50]},
        {"risk_free": 0.02},
        {"benchmark": BARS.close[:, 0]},
    ],
    ids=lambda o: next(iter(o)),
)
def test_each_option_makes_another_entry_and_said_again_does_not(project, options):
    for _ in range(2):
        record.backtest(above, BARS)
        record.backtest(above, BARS, **options)
    assert record.find_ledger().entries()["runs"].tolist() == [2, 2]


def test_defaults_that_are_spelled_out_are_the_same_trial(project):
    record.backtest(above, BARS)
    record.backtest(above, BARS, {"level": 50.0}, cash=100_000.0, costs=Costs.default(), fill="next_open")
    record.backtest(strategy=above, bars=BARS, params=None, strict=True)
    assert record.find_ledger().entries()["runs"].tolist() == [3]


def test_plain_functions_arrays_and_signals_are_entered_by_what_they_are(project):
    target = BARS.close > 50.0
    for _ in range(2):
        record.backtest(lambda bars: bars.close > 50.0, BARS)
        record.backtest(target, BARS)
        record.backtest(Signal(target), BARS)
        record.backtest(~target, BARS)
    table = record.find_ledger().entries()
    assert table["strategy"].tolist() == ["<lambda>", "target", "target"]
    assert table["runs"].tolist() == [2, 4, 2]


def test_a_memory_of_options_never_outlives_what_it_remembers(project):
    # Short-lived objects of one size get each other's address, which is what the memory is keyed by.
    for k in range(600):
        record.backtest(above, BARS, costs=Costs.percent(0.0001 * (k % 300)))
    table = record.find_ledger().entries()
    assert len(table) == 300
    assert set(table["runs"]) == {2}


def test_a_backtest_that_raises_is_not_entered(project):
    with pytest.raises(ParameterError):
        record.backtest(above, BARS, cash=-1)
    assert record.find_ledger().entries().empty


def test_a_record_that_cannot_be_made_costs_no_result(project, monkeypatch):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(record.Recorder, "enter", fail)
    with pytest.warns(LedgerWarning, match="no room"):
        assert record.backtest(above, BARS).bars is BARS


def test_the_face_has_the_signature_of_the_engine_and_can_be_pickled():
    assert inspect.signature(record.backtest) == inspect.signature(plain)
    assert record.backtest.__doc__ == plain.__doc__
    assert pickle.loads(pickle.dumps(record.backtest)) is record.backtest


def swept(sharpes=(0.1, 0.2, math.nan), final=(1.0, 2.0, math.nan), **changed):
    """What `record_sweep` asks of a result of a sweep."""
    parts = {
        "strategy": above,
        "bars": BARS,
        "settings": {"cash": 1.0, "start": None, "end": None},
        "trials": SimpleNamespace(names=("level",), values=((40.0, 45.0, 50.0),), digest="t"),
        "table": pd.DataFrame({"final_equity": final}),
        "n_bars": 60,
        "bars_per_year": 252.0,
        "sharpes": lambda: np.array(sharpes),
    }
    return SimpleNamespace(**{**parts, **changed})


def test_a_sweep_is_entered_with_the_trials_that_ran(project):
    record.record_sweep(swept())
    record.record_sweep(swept(), kind="search")
    record.record_sweep(swept(sharpes=(0.1, 0.2, 0.6), final=(1.0, 2.0, 3.0)))
    table = record.find_ledger().entries()
    assert table["kind"].tolist() == ["sweep", "search"]
    assert table["n_trials"].tolist() == [3, 2]
    assert table["parameters"].tolist() == ["level: 3 values"] * 2
    assert record.find_ledger().tried("above").largest == pytest.approx(0.6)


def test_a_trial_that_was_stopped_early_was_tried(project):
    table = pd.DataFrame({"final_equity": [1.0, math.nan, math.nan], "pruned_at": [math.nan, 30.0, math.nan]})
    record.record_sweep(swept(table=table))
    assert record.find_ledger().entries()["n_trials"].tolist() == [2]


def test_a_sweep_that_cannot_be_entered_warns(project):
    (project / ".quantlab").write_text("in the way")
    with pytest.warns(LedgerWarning, match="this sweep is not entered"):
        record.record_sweep(swept())
    assert (project / ".quantlab").read_text() == "in the way"
    (project / ".quantlab").unlink()
