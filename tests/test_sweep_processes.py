"""Trials in worker processes: the same rows, whatever happens to a process, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from made_bars import make_bars

from quantlab.bars import Bars
from quantlab.costs import Costs
from quantlab.errors import DataError, QuantlabError, StrategyError
from quantlab.research import processes
from quantlab.research.processes import ProcessPool, _crew
from quantlab.research.space import Trials
from quantlab.research.sweep import sweep
from quantlab.research.trial import Job, Worker
from quantlab.signal import Signal
from quantlab.strategy import Strategy

BARS = make_bars(300, seed=3)
GRID = {"days": list(range(2, 42)), "place": [""]}


def above(bars, days=3, place=""):
    """In where the price is above that of some days ago; `place` is where a test leaves what should happen."""
    if days == 13 and place == "spoil":
        object.__setattr__(bars, "close", np.array(bars.close))
    elif days == 13 and place:
        act(Path(place))
    if days == 27:
        raise ZeroDivisionError
    before = np.vstack((np.full((days, bars.n_assets), np.nan), bars.close[:-days]))
    return bars.close > before


def guarded(bars, days=3, place=""):
    """As `above`, with a stop and orders at a price."""
    return Signal(above(bars, days, place), stop_loss=0.03, limit=bars.close * 0.995, tif="gtc")


def act(place):
    """Do once what a file says, and for ever what it says in capitals."""
    order = place.read_text()
    if order.islower():
        place.write_text("")
    if order.upper() == "KILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if order.upper() == "PRINT":
        print("quantlab worker is ready")  # noqa: T201


@pytest.fixture
def order(tmp_path):
    """Have the trial of 13 days do something."""

    def give(what):
        (tmp_path / "order").write_text(what)
        return {**GRID, "place": [str(tmp_path / "order")]}

    return give


def job_of(function=above, **more):
    return Job(Strategy(function), BARS, **more)


def ranges_of(n, size=6):
    return [(a, min(a + size, n)) for a in range(0, n, size)]


def in_processes(job, grid=None, n_workers=2):
    """Rows of all trials, by worker processes: bytes of what came, and the errors."""
    trials = Trials.of(job.strategy, grid or GRID)
    pool = ProcessPool(job, n_workers)
    try:
        chunks = sorted(pool.chunks(trials, ranges_of(len(trials))), key=lambda c: c.start)
    finally:
        pool.close()
    assert [(c.start, c.stop) for c in chunks] == ranges_of(len(trials))
    return gathered(chunks)


def gathered(chunks):
    errors = {k: text for c in chunks for k, text in c.errors.items()}
    return {
        n: np.concatenate([getattr(c, n) for c in chunks]) for n in ("stats", "moments", "ruin_bar")
    }, errors


def here(job):
    trials = Trials.of(job.strategy, GRID)
    return gathered([Worker(job).run(trials, 0, len(trials))])


def assert_same(found, expected, but=()):
    for name, rows in expected[0].items():
        keep = np.setdiff1d(np.arange(len(rows)), but)
        assert found[0][name][keep].tobytes() == rows[keep].tobytes(), name
    same = {k: v for k, v in found[1].items() if k not in but}
    # An error names the file that a test's order is in.
    assert same.keys() == {k for k in expected[1] if k not in but}


def workers():
    """Living worker processes of this program."""
    children = psutil.Process().children()
    return {
        c.pid
        for c in children
        if c.status() != psutil.STATUS_ZOMBIE and "quantlab.research.processes" in " ".join(c.cmdline())
    }


# -- the same rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "window": ("2003-01-15", "2003-06-30"),
            "options": {
                "cash": 5_000.0,
                "costs": Costs.percent(0.002),
                "fill": "close",
                "benchmark": make_bars(300, ("SPY",), seed=8),
            },
        },
        {"edges": np.array([0, 100, 250, 300])},
    ],
    ids=["plain", "options", "parts"],
)
def test_rows_are_those_of_this_process_to_the_last_bit(more):
    found, expected = in_processes(job_of(**more)), here(job_of(**more))
    assert_same(found, expected)
    assert found[1] == expected[1]
    assert list(found[1]) == [25]
    assert "ZeroDivisionError" in found[1][25]


def test_rows_with_orders_inside_the_bar_are_those_of_this_process_to_the_last_bit():
    hours = Bars(
        time=BARS.time - 1, session=BARS.session, open=BARS.open, high=BARS.high, low=BARS.low, close=BARS.close,
        volume=BARS.volume, instruments=BARS.instruments, bar_size="12 hours",
    )  # fmt: skip
    options = {"options": {"detail": hours}}
    assert_same(in_processes(job_of(guarded, **options)), here(job_of(guarded, **options)))


def test_processes_work_for_the_next_sweep_too():
    in_processes(job_of())
    before = workers()
    assert len(before) >= 2
    assert_same(in_processes(job_of(options={"cash": 1e6})), here(job_of(options={"cash": 1e6})))
    assert workers() == before


def test_what_a_strategy_prints_does_not_come_between(order, capfd):
    _crew(os.getpid()).dismiss()  # those that run write where they were started
    assert_same(in_processes(job_of(), order("PRINT")), here(job_of()))
    assert capfd.readouterr() == ("", "quantlab worker is ready\n")


# -- processes that die --------------------------------------------------------------------------------


def test_a_killed_process_costs_nothing_but_time(order):
    grid = order("kill")
    assert_same(in_processes(job_of(), grid), here(job_of()))
    assert Path(grid["place"][0]).read_text() == ""  # it was done


def test_a_sweep_that_loses_a_process_has_the_table_of_one_thread(order):
    # The first trials of a sweep run here, and 13 days are for a worker.
    grid = {**order(""), "days": [*range(14, 190), 13, *range(190, 200)]}
    expected = sweep(above, BARS, grid, workers=1, progress=False)
    order("kill")
    found = sweep(above, BARS, grid, workers="processes:2", progress=False)
    assert Path(grid["place"][0]).read_text() == ""
    assert found.complete
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    assert found.moments.tobytes() == expected.moments.tobytes()


def test_a_chunk_that_kills_every_process_carries_the_error_and_the_others_are_whole(order):
    found = in_processes(job_of(), order("KILL"))
    lost = range(6, 12)
    assert_same(found, here(job_of()), but=lost)
    for k in lost:
        assert "ended by signal SIGKILL" in found[1][k]
        assert "3 times in trials 6 to 11" in found[1][k]
        assert np.isnan(found[0]["stats"][k]).all()


def test_what_is_no_trials_error_is_raised_and_no_work_is_left():
    job = job_of()
    pool = ProcessPool(job, 2)
    trials = Trials.of(job.strategy, {**GRID, "place": ["spoil"]})
    with pytest.raises(StrategyError, match="above made the bars writeable"):
        list(pool.chunks(trials, ranges_of(len(trials))))
    pool.close()
    # The same processes go on, with a job of their own.
    pool = ProcessPool(job, 2)
    found = gathered(sorted(pool.chunks(Trials.of(job.strategy, GRID), ranges_of(40)), key=lambda c: c.start))
    pool.close()
    assert_same(found, here(job))


def test_a_closed_iterator_ends_what_is_running_and_its_pool_leaves_no_file():
    job = job_of()
    pool = ProcessPool(job, 2)
    folder = Path(pool._folder.name)
    assert (folder / "job").stat().st_size > BARS.close.nbytes * 5
    chunks = pool.chunks(Trials.of(job.strategy, GRID), ranges_of(40))
    next(chunks)
    chunks.close()
    assert pool._busy == set()
    pool.close()
    assert not folder.exists()


# -- programs ------------------------------------------------------------------------------------------

UNGUARDED = """
import sys
import numpy as np
import quantlab as ql
from quantlab.research.processes import ProcessPool
from quantlab.research.space import Trials
from quantlab.research.trial import Job, Worker

print("began", flush=True)
LAG, FOREVER = 1, "forever" in sys.argv

class Before:
    def __call__(self, bars, days):
        return np.r_[np.full((days, 1), np.nan), bars.close[:-days]]

@ql.strategy(days=range(2, 30))
def above(bars, days=3):
    if days == 29 and FOREVER:
        print("waiting", file=sys.stderr, flush=True)
        while True:
            pass
    return Before()(bars, days + LAG) < bars.close

job, trials, chunks = Job(above, ql.sample()), Trials.of(above), []
pool = ProcessPool(job, 2)
try:
    for chunk in pool.chunks(trials, [(k, k + 4) for k in range(0, 28, 4)]):
        chunks.append(chunk)
except KeyboardInterrupt:
    print("interrupted")
else:
    rows = np.concatenate([c.stats for c in sorted(chunks, key=lambda c: c.start)])
    print(rows.tobytes() == Worker(job).run(trials, 0, 28).stats.tobytes())
finally:
    pool.close()
"""


def started(tmp_path, *arguments):
    (tmp_path / "script.py").write_text(UNGUARDED)
    (tmp_path / "temporary").mkdir()
    return subprocess.Popen(
        [sys.executable, "script.py", *arguments],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_script_without_a_main_guard_runs_once(tmp_path):
    process = started(tmp_path)
    out, errors = process.communicate(timeout=120)
    assert (out, errors) == ("began\nTrue\n", "")


@pytest.mark.parametrize("way", ["interrupted", "killed"])
def test_no_process_is_left_of_a_program_that_is(tmp_path, way):
    process = started(tmp_path, "forever")
    assert process.stderr.readline() == "waiting\n"
    children = psutil.Process(process.pid).children(recursive=True)
    try:
        assert len(children) == 2
        if way == "interrupted":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
            out, errors = process.communicate(timeout=60)
            assert (out, errors, process.returncode) == ("began\ninterrupted\n", "", 0)
        else:
            process.kill()
            process.wait()
            # One of them computes without end.
        gone, alive = psutil.wait_procs(children, timeout=60)
        assert (len(gone), alive) == (2, [])
        assert list((tmp_path / "temporary").iterdir()) == []
    finally:
        for child in (*children, process):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()


def test_a_worker_that_nobody_asks_ends_by_itself():
    code = "import quantlab.research.processes as p; p.IDLE_SECONDS = 0.01; p.serve()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.wait(60) == 0
        assert process.stdout.read() == processes.READY
        assert process.stderr.read() == b""


# -- what cannot be ------------------------------------------------------------------------------------


def test_a_strategy_that_cannot_be_sent_is_refused_before_anything_starts():
    counter = (k for k in range(9))

    def counting(bars, days=3):
        return bars.close > days + next(counter)

    with pytest.raises(StrategyError, match=r"counting cannot be sent .*variable counter .*generator"):
        ProcessPool(Job(Strategy(counting), BARS), 2)


def test_no_folder_for_temporary_files_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(DataError, match="workers='threads'"):
        ProcessPool(job_of(), 2)


def test_workers_that_cannot_start_are_an_error_and_not_a_table_of_errors(monkeypatch):
    _crew(os.getpid()).dismiss()
    monkeypatch.setattr(processes, "BOOT", "raise SystemExit(3)")
    job = job_of()
    pool = ProcessPool(job, 2)
    with pytest.raises(QuantlabError, match=r"could not start: .* ended with code 3"):
        list(pool.chunks(Trials.of(job.strategy, GRID), ranges_of(40)))
    pool.close()
