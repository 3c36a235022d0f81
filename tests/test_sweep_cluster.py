"""Trials on a dask cluster of real processes on this machine: the same rows, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
import pytest
from made_bars import make_bars

from quantlab.errors import MissingExtraError, ParameterError, QuantlabError, StrategyError
from quantlab.research import cluster
from quantlab.research.cluster import ClusterPool, Parcel, refuse_other_versions, run_chunk, versions
from quantlab.research.shipping import to_bytes
from quantlab.research.space import Trials
from quantlab.research.sweep import sweep
from quantlab.research.trial import Job, Worker
from quantlab.strategy import Strategy

distributed = pytest.importorskip("distributed")

BARS = make_bars(300, seed=3)
GRID = {"days": list(range(2, 42)), "place": [""]}


def above(bars, days=3, place=""):
    """In where the price is above that of some days ago; `place` is where a test leaves what should happen."""
    if days == 13 and place:
        order = Path(place).read_text()
        if order == "kill once":
            Path(place).write_text("done")
        if order.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "spoil":
            object.__setattr__(bars, "close", np.array(bars.close))
    if days == 27:
        raise ZeroDivisionError
    before = np.vstack((np.full((days, bars.n_assets), np.nan), bars.close[:-days]))
    return bars.close > before


class Cluster:
    """A scheduler and workers, as processes."""

    def __init__(self, folder):
        self.folder, self.workers = folder, []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        self.address = self.said(self.scheduler, "Scheduler at:").split()[-1]

    def start(self, what, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard", *arguments]
        environment = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "info", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    @staticmethod
    def said(process, words):
        """First line that a process says with these words; what follows is read, so that it never has to wait."""
        line = next(line for line in process.stderr if words in line)
        Thread(target=process.stderr.read, daemon=True).start()
        return line

    def add(self, n=1, threads=1):
        """Start workers and wait until they are there."""
        started = [
            self.start(
                "worker", self.address, "--nthreads", str(threads), "--no-nanny", "--host", "127.0.0.1"
            )
            for _ in range(n)
        ]
        for worker in started:
            self.said(worker, "Registered to:")
        self.workers += started

    @property
    def alive(self):
        return [w for w in self.workers if w.poll() is None]

    def need(self, n):
        self.add(n - len(self.alive))

    def stop(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.add(2)
        yield found
    finally:
        found.stop()


@pytest.fixture
def two(running):
    """The cluster, with two workers at least."""
    running.need(2)
    return running


@pytest.fixture
def client(two):
    with distributed.Client(two.address, set_as_default=False) as found:
        yield found


@pytest.fixture
def order(tmp_path):
    """Have the trial of 13 days do something."""

    def give(what):
        (tmp_path / "order").write_text(what)
        return {**GRID, "place": [str(tmp_path / "order")]}

    give.path = tmp_path / "order"
    return give


def job_of(**more):
    return Job(Strategy(above), BARS, **more)


def ranges_of(n, size=6):
    return [(a, min(a + size, n)) for a in range(0, n, size)]


def gathered(chunks):
    chunks = sorted(chunks, key=lambda c: c.start)
    errors = {k: text for c in chunks for k, text in c.errors.items()}
    return {
        n: np.concatenate([getattr(c, n) for c in chunks]) for n in ("stats", "moments", "ruin_bar")
    }, errors


def on_cluster(given, job, grid=None):
    trials = Trials.of(job.strategy, grid or GRID)
    pool = ClusterPool(given, job)
    try:
        chunks = list(pool.chunks(trials, ranges_of(len(trials))))
    finally:
        pool.close()
    assert sorted(k for c in chunks for k in range(c.start, c.stop)) == list(range(len(trials)))
    return gathered(chunks)


def here(job):
    trials = Trials.of(job.strategy, GRID)
    return gathered([Worker(job).run(trials, 0, len(trials))])


def assert_same(found, expected, but=()):
    for name, rows in expected[0].items():
        keep = np.setdiff1d(np.arange(len(rows)), but)
        assert found[0][name][keep].tobytes() == rows[keep].tobytes(), name
    assert {k for k in found[1] if k not in but} == {k for k in expected[1] if k not in but}


def tasks_of(client):
    return client.run_on_scheduler(lambda dask_scheduler: sorted(map(str, dask_scheduler.tasks)))


def nothing_left(client):
    """Whether the scheduler comes to have no task; what is let go of is told to it in its own time."""
    return any(tasks_of(client) == [] for _ in range(5000))


# -- the same rows -------------------------------------------------------------------------------------


def test_rows_are_those_of_this_process_to_the_last_bit(two):
    job = job_of(
        window=("2003-01-15", None),
        options={"cash": 5_000.0, "benchmark": make_bars(300, ("SPY",), seed=8)},
        edges=np.array([0, 100, 200, 233]),
    )
    found, expected = on_cluster(two.address, job), here(job)
    assert_same(found, expected)
    assert found[1] == expected[1]
    assert "ZeroDivisionError" in found[1][25]


def test_a_given_client_stays_open_and_nothing_is_left_on_the_cluster(client):
    assert_same(on_cluster(client, job_of()), here(job_of()))
    assert client.status == "running"
    assert nothing_left(client)


def test_the_prices_go_out_once_and_few_chunks_are_in_flight(client):
    job = job_of()
    trials = Trials.of(job.strategy, {"days": range(10, 80)})
    before = client.run(lambda dask_worker: dask_worker.state.transfer_incoming_count_total)
    pool = ClusterPool(client, job)
    most = 0
    for _ in pool.chunks(trials, [(k, k + 1) for k in range(0, 60, 2)]):
        most = max(most, len(tasks_of(client)))
    after = client.run(lambda dask_worker: dask_worker.state.transfer_incoming_count_total)
    held = client.run(lambda dask_worker: [type(v).__name__ for v in dask_worker.data.values()])
    pool.close()
    assert most <= cluster.AHEAD * pool.n_workers + 2  # the prices, and the chunk that was just taken
    assert any("Parcel" in names for names in held.values())
    # One got it from the scheduler, the others from each other: not once for each of 30 chunks.
    assert sum(after[k] - before[k] for k in after) <= 4


def test_threads_of_one_worker_share_what_they_can():
    job = job_of()
    parcel = Parcel(to_bytes(job), versions())
    part = to_bytes(Trials.of(job.strategy, GRID))
    with parcel.lent() as a, parcel.lent() as b:
        assert a is not b
        assert (a.setup, a.memo) == (b.setup, b.memo)
    assert_same(gathered([run_chunk(parcel, part, 0)]), here(job))


def test_on_many_cores_neighbouring_chunks_go_out_together(client, monkeypatch):
    monkeypatch.setattr(cluster, "CHUNKS_PER_SECOND", 0.1)
    job = job_of()
    trials = Trials.of(job.strategy, GRID)
    pool = ClusterPool(client, job)
    ranges = [(a, a + 1) for a in range(40) if a not in {11, 12}]
    chunks = sorted(pool.chunks(trials, ranges), key=lambda c: c.start)
    pool.close()
    assert [k for c in chunks for k in range(c.start, c.stop)] == [a for a, _ in ranges]
    assert 2 <= len(chunks) < len(ranges)
    expected = here(job)
    keep = [a for a, _ in ranges]
    assert gathered(chunks)[0]["stats"].tobytes() == expected[0]["stats"][keep].tobytes()


def test_a_sweep_on_a_cluster_that_loses_a_worker_has_the_local_table(two, order):
    # The first trials of a sweep run here, and 13 days are for a worker.
    grid = {**order(""), "days": [*range(14, 190), 13, *range(190, 200)]}
    local = sweep(above, BARS, grid, workers=1, progress=False)
    order("kill once")
    found = sweep(above, BARS, grid, cluster=two.address, progress=False)
    assert order.path.read_text() == "done"
    assert found.complete
    pd.testing.assert_frame_equal(found.table, local.table, check_exact=True)
    assert found.moments.tobytes() == local.moments.tobytes()


# -- workers that die ----------------------------------------------------------------------------------


def test_a_killed_worker_costs_nothing_but_time(two, order):
    assert_same(on_cluster(two.address, job_of(), order("kill once")), here(job_of()))
    assert order.path.read_text() == "done"
    assert len(two.alive) == 1


def test_the_last_worker_may_die_with_the_prices_if_another_one_comes(two):
    job = job_of()
    trials = Trials.of(job.strategy, GRID)
    pool = ClusterPool(two.address, job)
    chunks = []
    for chunk in pool.chunks(trials, ranges_of(len(trials), 2)):
        chunks.append(chunk)
        if len(chunks) == 3:
            for worker in two.alive:
                worker.kill()
                worker.wait()
            two.add(1)
    pool.close()
    assert_same(gathered(chunks), here(job))


def test_a_chunk_that_kills_every_worker_carries_the_error_and_the_others_are_whole(two, order):
    ended = Event()

    def keep_two():
        while not ended.wait(0.1):
            two.need(2)

    # A chunk that waited beside the killer may be blamed as well: then both are run once more, alone.
    keeper = Thread(target=keep_two)
    keeper.start()
    try:
        found = on_cluster(two.address, job_of(), order("kill"))
    finally:
        ended.set()
        keeper.join()
    lost = range(6, 12)
    assert_same(found, here(job_of()), but=lost)
    for k in lost:
        assert "every worker of the cluster that ran trials 6 to 11 died" in found[1][k]


def test_what_is_no_trials_error_is_raised_and_what_waits_is_cancelled(client, order):
    job = job_of()
    pool = ClusterPool(client, job)
    chunks = pool.chunks(Trials.of(job.strategy, order("spoil")), ranges_of(40))
    with pytest.raises(StrategyError, match="above made the bars writeable"):
        list(chunks)
    pool.close()
    assert nothing_left(client)


def test_a_worker_that_joins_with_other_versions_ends_the_sweep(client):
    job = job_of()
    pool = ClusterPool(client, job)
    pool._sent = client.submit(Parcel, to_bytes(job), {**versions(), "quantlab": "abc"}, pure=False)
    with pytest.raises(ParameterError, match=r"would compute something else: quantlab \w+ there, abc here"):
        list(pool.chunks(Trials.of(job.strategy, GRID), ranges_of(40)))
    pool.close()


def test_a_closed_iterator_cancels_what_waits(client):
    job = job_of()
    pool = ClusterPool(client, job)
    chunks = pool.chunks(Trials.of(job.strategy, GRID), ranges_of(40))
    next(chunks)
    chunks.close()
    pool.close()
    assert nothing_left(client)


# -- what cannot be ------------------------------------------------------------------------------------


def test_a_scheduler_that_is_not_there_is_an_error_within_seconds(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    with pytest.raises(ParameterError, match=r"no scheduler answers at tcp://127.0.0.1:1 .*dask scheduler"):
        ClusterPool("tcp://127.0.0.1:1", job_of())


@pytest.mark.parametrize("given", ["127.0.0.1:8786", "tcp://host", "http://a:1", "", 8786, object()])
def test_what_is_no_address_and_no_client_is_refused(given):
    with pytest.raises(ParameterError, match=r"such as 'tcp://127.0.0.1:8786', or a dask.distributed.Client"):
        ClusterPool(given, job_of())


def test_a_closed_client_is_refused(two):
    client = distributed.Client(two.address, set_as_default=False)
    client.close()
    with pytest.raises(ParameterError, match="client that is closed"):
        ClusterPool(client, job_of())


def test_a_cluster_without_workers_says_how_to_start_some_and_a_lost_scheduler_how_to_go_on(
    tmp_path, monkeypatch
):
    alone = Cluster(tmp_path)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "CONNECT_SECONDS", 1.0)
            with pytest.raises(ParameterError, match=rf"no worker for 1 s; .*dask worker {alone.address}"):
                ClusterPool(alone.address, job_of())
        alone.add(1)
        monkeypatch.setattr(cluster, "WATCH_SECONDS", 0.2)
        pool = ClusterPool(alone.address, job_of())
        chunks = pool.chunks(Trials.of(Strategy(above), GRID), ranges_of(40, 1))
        next(chunks)
        alone.scheduler.kill()
        with pytest.raises(QuantlabError, match=r"connection to the scheduler was lost; .*resume="):
            list(chunks)
        pool.close()
    finally:
        alone.stop()


def test_workers_that_are_gone_for_long_end_the_sweep(two, monkeypatch):
    monkeypatch.setattr(cluster, "WATCH_SECONDS", 0.1)
    monkeypatch.setattr(cluster, "PATIENCE", 5)
    pool = ClusterPool(two.address, job_of())
    chunks = pool.chunks(Trials.of(Strategy(above), GRID), ranges_of(40, 1))
    next(chunks)
    for worker in two.alive:
        worker.kill()
        worker.wait()
    with pytest.raises(QuantlabError, match="no worker for"):
        list(chunks)
    pool.close()


def test_a_worker_with_other_versions_is_refused():
    ours = versions()
    assert ours["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    refuse_other_versions(ours, {"tcp://a:1": dict(ours)})
    with pytest.raises(ParameterError, match=r"worker tcp://b:1 would .*: numba 0\.1 there, \S+ here\."):
        refuse_other_versions(ours, {"tcp://a:1": ours, "tcp://b:1": {**ours, "numba": "0.1"}})
    with pytest.raises(ParameterError, match=r"worker tcp://a:1 cannot load quantlab \(No module"):
        refuse_other_versions(ours, {"tcp://a:1": "No module named 'quantlab'"})
    with (
        pytest.raises(ParameterError, match=r"quantlab \w+ there, abc here"),
        Parcel(to_bytes(job_of()), {**ours, "quantlab": "abc"}).lent(),
    ):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"quantlab\[cluster\]"):
        ClusterPool("tcp://127.0.0.1:8786", job_of())
