"""Jobs made into bytes for another process, and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Lock

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from made_bars import make_bars

from quantlab.bars import COLUMNS, Bars
from quantlab.costs import Costs
from quantlab.engine.loader import load_strategy
from quantlab.errors import DataError, ParameterError, StrategyError
from quantlab.research.shipping import lost_chunk, read, read_file, to_bytes, write
from quantlab.research.space import Trials
from quantlab.research.trial import Job, Worker
from quantlab.strategy import Strategy, strategy

LOCK = Lock()
LEVEL = 1.0


def above(bars, days=3):
    return bars.close > LEVEL * bars.close[:days].mean()


def locked(bars, days=3):
    with LOCK:
        return bars.close > days


def locked_not(bars, days=3):
    return bars.close > days


def job_of(function=above, bars=None, **options):
    return Job(Strategy(function), make_bars(60) if bars is None else bars, options=options)


def rows_of(job):
    trials = Trials.of(job.strategy, {"days": [2, 3, 5]})
    return Worker(job).run(trials, 0, len(trials)).stats.tobytes()


def same_bars(a, b):
    assert a.content_hash == b.content_hash
    assert (a.instruments, a.bar_size, dict(a.meta), a.is_raw) == (
        b.instruments,
        b.bar_size,
        dict(b.meta),
        b.is_raw,
    )
    for name in ("time", "session", *COLUMNS, "factor", "member"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        assert x.strides == y.strides
        assert np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    assert a.fields.keys() == b.fields.keys()


# -- prices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holes", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["plain", "adjusted", "with a universe", "with fields"])
def test_bars_come_back_as_they_were(kind, holes):
    shape = (40, 2)
    more = {
        "plain": {},
        "adjusted": {"factor": np.full(shape, 2.0)},
        "with a universe": {"member": np.arange(80).reshape(shape) % 7 > 0},
        "with fields": {
            "fields": {"pe": np.arange(80.0).reshape(shape), "name": np.full(shape, "x", object)}
        },
    }[kind]
    bars = make_bars(40, holes=holes, meta={"calendar": "XNYS", "source": "made"}, **more)
    same_bars(read(to_bytes(job_of(bars=bars))).bars, bars)


def test_columns_lie_in_the_block_and_nobody_can_write_to_them(tmp_path):
    bars = make_bars(200)
    write(job_of(bars=bars), tmp_path / "job")
    block = bytearray(to_bytes(job_of(bars=bars)))
    for found in (read(block).bars, read_file(tmp_path / "job").bars):
        for name in (*COLUMNS, "time", "session"):
            column = getattr(found, name)
            assert not column.flags.owndata
            assert not column.flags.writeable
            assert column.ctypes.data % 8 == 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                column.flags.writeable = True


def test_bars_are_not_checked_a_second_time(monkeypatch):
    block = to_bytes(job_of())
    monkeypatch.setattr(Bars, "_validate", lambda _: pytest.fail("checked again"))
    assert read(block).bars.n_bars == 60


def test_bars_go_along_wherever_they_are_held():
    other = make_bars(60, ("SPY",), seed=5)
    job = read(to_bytes(job_of(benchmark=other, costs=Costs.percent(0.001))))
    same_bars(job.options["benchmark"], other)
    assert rows_of(job) == rows_of(job_of(benchmark=other, costs=Costs.percent(0.001)))


@given(
    st.lists(
        st.sampled_from(["<f8", "<i4", "?", "<M8[ns]", ">i2"]).flatmap(
            lambda kind: arrays(kind, st.tuples(st.integers(0, 5), st.integers(0, 9)))
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back_as_they_were(given_arrays):
    found = read(to_bytes(given_arrays))
    assert len(found) == len(given_arrays)
    for a, b in zip(found, given_arrays, strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("writeable", [True, False])
def test_an_array_is_as_writeable_as_it_was(writeable):
    array = np.arange(5)
    array.flags.writeable = writeable
    assert read(to_bytes([array]))[0].flags.writeable == writeable


@pytest.mark.parametrize("block", [b"", b"no parcel", bytes(500)])
def test_bytes_of_something_else_are_refused(block):
    with pytest.raises(DataError, match="no parcel"):
        read(block)


# -- strategies ----------------------------------------------------------------------------------------


def test_a_strategy_goes_by_value_with_its_modules_variables(monkeypatch):
    block = to_bytes(job_of())
    # Were it sent by its name, it would find another level here.
    monkeypatch.setattr(sys.modules[__name__], "LEVEL", 2.0)
    sent = read(block)
    assert rows_of(sent) == rows_of(job_of(lambda bars, days=3: bars.close > bars.close[:days].mean()))
    assert rows_of(sent) != rows_of(job_of())


def test_a_strategy_of_a_file_goes_with_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_it.py").write_text("def level(x, n):\n    return x[:n].mean()\n")
    file = tmp_path / "idea.py"
    file.write_text(
        "import quantlab as ql\nimport neighbour_of_it\nfrom neighbour_of_it import level\n"
        "@ql.strategy(where=lambda days: days > 1)\n"
        "def above(bars, days=3):\n"
        "    return bars.close > 0.5 * (level(bars.close, days) + neighbour_of_it.level(bars.close, days))\n"
    )
    found = load_strategy(str(file))
    expected = rows_of(job_of())
    block = to_bytes(Job(found, make_bars(60)))
    for name in ("neighbour_of_it", found.function.__module__):
        del sys.modules[name]
    sent = read(block)
    assert rows_of(sent) == expected
    assert (sent.strategy.source_hash, sent.strategy.name) == (found.source_hash, "above")
    assert not sent.strategy.allows({"days": 1})


def test_a_model_goes_along():
    @strategy(fit=lambda bars, _: bars.close.mean(axis=0))
    def above_model(bars, days=3, model=None):
        return bars.close > model * days / 3

    fitted = above_model.fitted(make_bars(30))
    sent = read(to_bytes(Job(fitted, make_bars(60))))
    assert str(sent.strategy.fitting) == str(fitted.fitting)
    assert rows_of(sent) == rows_of(Job(fitted, make_bars(60)))


def test_packing_leaves_the_list_of_modules_by_value_as_it_was():
    cloudpickle.register_pickle_by_value(sys.modules["made_bars"])
    try:
        before = cloudpickle.list_registry_pickle_by_value()
        to_bytes(job_of())
        with pytest.raises(StrategyError):
            to_bytes(job_of(locked))
        assert cloudpickle.list_registry_pickle_by_value() == before
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules["made_bars"])


@pytest.mark.parametrize(
    ("job", "error", "named"),
    [
        (lambda: job_of(locked), StrategyError, r"locked .*variable LOCK .*lock"),
        (lambda: job_of(benchmark=LOCK), ParameterError, r"benchmark .*lock"),
        (lambda: job_of(bars=make_bars(9, meta={"by": LOCK})), StrategyError, r"bars.meta\['by'\] .*lock"),
        (lambda: [LOCK], ParameterError, "a parameter value .*lock"),
    ],
)
def test_what_cannot_be_sent_is_named(job, error, named):
    with pytest.raises(error, match=named):
        to_bytes(job())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
def test_a_full_disk_says_what_to_do():
    with pytest.raises(DataError, match=r"cannot be written to /dev: .*TMPDIR"):
        write(job_of(), Path("/dev/full"))


# -- trials --------------------------------------------------------------------------------------------


def test_trials_come_back_as_they_were():
    trials = Trials.of(Strategy(above), {"days": range(2, 40)})
    found = read(to_bytes(trials))
    assert found.digest == trials.digest
    assert list(found.iterate(3, 9)) == list(trials.iterate(3, 9))


def test_a_function_among_the_values_goes_by_value(monkeypatch):
    block = to_bytes(Trials.of(Strategy(lambda bars, by=above: bars), {"by": [above, locked_not]}))
    monkeypatch.setattr(sys.modules[__name__], "LEVEL", 2.0)
    bars = make_bars(60)
    assert np.array_equal(next(read(block).iterate())["by"](bars), bars.close > bars.close[:3].mean())


def test_a_lost_chunk_has_rows_like_any_other():
    job = job_of()
    chunk = lost_chunk(job, 4, 6, "it is gone.")
    good = Worker(job).run(Trials.of(job.strategy, {"days": [2, 3]}), 0, 2)
    assert (chunk.stats.shape, chunk.moments.shape) == (good.stats.shape, good.moments.shape)
    assert np.isnan(chunk.stats).all()
    assert (chunk.ruin_bar == -1).all()
    assert chunk.errors == {4: "it is gone.", 5: "it is gone."}
    assert (chunk.start, chunk.stop) == (4, 6)
