"""The catalog: what is written is read back to the bit, and nothing is ever half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_bars import make_bars, rebuilt

from quantlab.bars import Bars
from quantlab.data.catalog import Catalog
from quantlab.data.source import load_source
from quantlab.data.store import FORMAT, HEADER_KEY, file_name
from quantlab.errors import CatalogError, DataError, InputError, ParameterError, UnknownNameError
from quantlab.model import Instrument

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path):
    return Catalog(tmp_path / "catalog", clock=lambda: NOW)


def files(catalog):
    return sorted(p.name for p in (catalog._folder.folder).rglob("*") if p.is_file() and p.name != ".lock")


def shifted(bars, days):
    return rebuilt(bars, time=bars.time + days * 86_400 * 10**9, session=bars.session + days)


# -- round trip ------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 100), n_bars=st.integers(1, 40), holes=st.sampled_from([0.0, 0.3]))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back_to_the_bit(tmp_path, seed, n_bars, holes):
    bars = make_bars(n_bars=n_bars, seed=seed, holes=holes)
    if np.isnan(bars.close).all(axis=0).any():
        return
    catalog = Catalog(tmp_path / f"{seed}-{n_bars}-{holes}")
    catalog.write(bars)
    again = catalog.bars(["A", "B"], "1 day")
    assert again.content_hash == Bars.join([bars["A"], bars["B"]]).content_hash


def test_factor_member_fields_instrument_and_calendar_survive(catalog):
    bars = make_bars(symbols=("ES",))
    full = replace(
        bars,
        factor=np.linspace(1, 2, 6)[:, None],
        member=(np.arange(6) > 2)[:, None],
        fields={"open_interest": np.arange(6)[:, None], "odd name/": np.ones((6, 1))},
        instruments=(Instrument("ES", "FUT", "CME", "USD", 50.0, 0.25),),
        meta={"calendar": "CMES"},
    )
    catalog.write(full)
    again = catalog.bars("ES", "1 day")
    assert again.content_hash == full.content_hash
    assert again.instruments == full.instruments
    assert again.calendar == "CMES"
    assert again.fields["open_interest"].dtype == np.int64


def test_start_and_end_cut_and_the_recipe_reads_the_same_bars_again(catalog):
    bars = make_bars(n_bars=10)
    catalog.write(bars)
    cut = catalog.bars("A", "1 day", bars.index[2], bars.index[5])
    assert cut.n_bars == 4
    again = load_source(json.loads(json.dumps(cut.meta["source"])))
    assert again.content_hash == bars["A"].content_hash


def test_several_symbols_come_in_the_order_asked_for(catalog):
    catalog.write(make_bars())
    assert catalog.bars(["B", "A"], "1d").symbols == ("B", "A")
    with pytest.raises(ParameterError, match="no symbol given"):
        catalog.bars([], "1 day")


def test_the_file_is_plain_parquet_that_others_can_read(catalog):
    bars = make_bars(symbols=("A",))
    (entry,) = catalog.write(bars)
    table = pq.read_table(entry.path)
    assert table.column_names[:2] == ["time", "session"]
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert table["close"].to_numpy().tolist() == bars.close[:, 0].tolist()


# -- provenance ------------------------------------------------------------------------------------------


def test_the_listing_carries_the_provenance(catalog):
    bars = replace(make_bars(symbols=("EUR.USD",)), meta={"source": {"kind": "file", "path": "x.csv"}})
    catalog.write(bars, what="MIDPOINT", session_kind="extended", adjustment="none")
    (entry,) = catalog.list()
    assert (entry.symbol, entry.bar_size, entry.n_bars) == ("EUR.USD", "1 day", 6)
    assert (entry.what, entry.session_kind, entry.adjustment) == ("MIDPOINT", "extended", "none")
    assert entry.source == {"kind": "file", "path": "x.csv"}
    assert entry.written == "2024-05-06T07:08:09+00:00"
    assert entry.instrument["security_type"] == "STK"
    assert entry.n_bytes > 0
    assert len(entry.content_hash) == 32
    assert catalog.frame().loc[0, "what"] == "MIDPOINT"
    assert catalog.symbols("1 day") == ("EUR.USD",)
    bars = catalog.bars("EUR.USD", "1 day")
    assert (bars.meta["what"], bars.meta["session_kind"]) == ("MIDPOINT", "extended")


def test_an_empty_catalog_lists_nothing_and_makes_no_folder(tmp_path):
    catalog = Catalog(tmp_path / "none")
    assert catalog.list() == ()
    assert catalog.frame().empty
    assert not (tmp_path / "none").exists()


def test_each_source_that_went_into_a_file_is_remembered(catalog):
    bars = make_bars(symbols=("A",), n_bars=9)
    for part, source in ((slice(0, 3), "x"), (slice(3, 6), "x"), (slice(6, 9), "y")):
        (entry,) = catalog.write(bars.take(part), source=source)
    assert [(h["source"]["kind"], h["first"][:10], h["last"][:10]) for h in entry.history] == [
        ("x", "2002-11-09", "2002-11-14"),
        ("y", "2002-11-15", "2002-11-17"),
    ]


@pytest.mark.parametrize("kwargs", [{"session_kind": "night"}, {"replace": "some"}])
def test_unknown_options_of_a_write_are_errors(catalog, kwargs):
    with pytest.raises(UnknownNameError):
        catalog.write(make_bars(), **kwargs)
    assert catalog.list() == ()


# -- merging ---------------------------------------------------------------------------------------------


def test_later_bars_extend_earlier_ones_and_equal_overlap_is_silent(catalog):
    bars = make_bars(symbols=("A",), n_bars=20)
    catalog.write(bars.take(slice(0, 12)))
    catalog.write(bars.take(slice(8, 20)))
    catalog.write(bars.take(slice(3, 5)))
    assert catalog.bars("A", "1 day").content_hash == bars.content_hash


@given(
    cuts=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 20)), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parts_in_any_order_give_their_union(tmp_path, cuts, seed):
    bars = make_bars(symbols=("A",), n_bars=20, seed=seed)
    catalog = Catalog(tmp_path / str(abs(hash((tuple(cuts), seed)))))
    wanted = set()
    for start, length in cuts:
        catalog.write(bars.take(slice(start, start + length)))
        wanted |= set(range(start, min(20, start + length)))
    assert catalog.bars("A", "1 day").content_hash == bars.take(sorted(wanted)).content_hash


def test_an_overlap_with_other_content_is_refused_and_nothing_is_written(catalog):
    bars = make_bars(n_bars=10)
    catalog.write(bars)
    before = {e.symbol: e.content_hash for e in catalog.list()}
    volume = np.array(bars.volume)
    volume[7, 1] += 1
    other = rebuilt(bars, volume=volume)
    with pytest.raises(DataError, match=r"1 differ, first at 2002-11-16.*volume is .*replace=True"):
        catalog.write(other)
    assert {e.symbol: e.content_hash for e in catalog.list()} == before


def test_replace_puts_the_new_bars_in_their_span_and_keeps_the_rest(catalog):
    bars = make_bars(symbols=("A",), n_bars=10)
    catalog.write(bars)
    volume = np.array(bars.volume)
    volume[4:7] *= 2
    new = rebuilt(bars, volume=volume).take([4, 6])  # bar 5 is withdrawn
    catalog.write(new, replace=True)
    again = catalog.bars("A", "1 day")
    assert again.n_bars == 9
    assert again.volume[4, 0] == volume[4, 0]
    assert again.time[5] == bars.time[6]
    assert again.volume[8, 0] == volume[9, 0]


def test_replace_all_drops_what_was_stored(catalog):
    catalog.write(make_bars(symbols=("A",), n_bars=10))
    catalog.write(make_bars(symbols=("A",), n_bars=3, seed=5), replace="all")
    (entry,) = catalog.list()
    assert entry.n_bars == 3
    assert len(entry.history) == 1


def test_readjusted_bars_may_not_stand_beside_old_ones(catalog):
    bars = make_bars(symbols=("A",), n_bars=10)
    catalog.write(bars)
    halves = {c: getattr(bars, c) / 2 for c in ("open", "high", "low", "close")}
    readjusted = rebuilt(bars, **halves).take(slice(5, 10))
    with pytest.raises(DataError, match=r"another basis.*0\.5 times.*whole history"):
        catalog.write(readjusted, replace=True)
    assert catalog.bars("A", "1 day").content_hash == bars.content_hash


KINDS = [
    ({"what": "BID"}, {}, "what"),
    ({"session_kind": "extended"}, {}, "session_kind"),
    ({"adjustment": "split only"}, {}, "adjustment"),
    ({}, {"meta": {"calendar": "XNYS"}}, "calendar"),
    ({}, {"instruments": (Instrument("A", multiplier=10.0),)}, "instrument"),
    ({}, {"fields": {"pe": np.ones((6, 1))}}, "fields"),
]


@pytest.mark.parametrize(("options", "changes", "named"), KINDS)
def test_two_kinds_of_prices_do_not_mix_in_one_series(catalog, options, changes, named):
    bars = make_bars(symbols=("A",))
    catalog.write(bars)
    later = replace(shifted(bars, 30), **changes)
    with pytest.raises(DataError, match=f"holds {named}"):
        catalog.write(later, **options)
    catalog.write(later, replace="all", **options)


# -- names -----------------------------------------------------------------------------------------------

ODD = [
    "../../etc/passwd",
    "..",
    ".",
    ".hidden",
    "a/b",
    "a\\b",
    "CON",
    "con.x",
    "BRK B",
    "^GSPC",
    "ES=F",
    "Ä€",
    "x" * 60,
    "%41",
]


def test_odd_symbols_stay_inside_the_folder_and_come_back(catalog, tmp_path):
    for k, symbol in enumerate(ODD):
        catalog.write(make_bars(symbols=(symbol,), seed=k))
    assert {e.symbol for e in catalog.list()} == set(ODD)
    for k, symbol in enumerate(ODD):
        assert catalog.bars(symbol, "1 day").content_hash == make_bars(symbols=(symbol,), seed=k).content_hash
    assert {p.name for p in tmp_path.iterdir()} == {"catalog"}
    assert {p.parent.name for p in (tmp_path / "catalog").rglob("*.parquet")} == {"1_day"}


@given(st.text(min_size=1, max_size=20))
def test_every_symbol_has_a_file_name_of_its_own_or_an_error(symbol):
    try:
        name = file_name(symbol)
    except DataError:
        return
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.%~")
    assert not name.startswith(".")
    assert "/" not in name
    if symbol != symbol[::-1]:
        with suppress(DataError):
            assert file_name(symbol[::-1]) != name


@pytest.mark.parametrize("symbol", ["", "  ", "\ud800", "x" * 300])
def test_symbols_that_no_file_can_carry_are_errors(symbol):
    with pytest.raises(DataError):
        file_name(symbol)


def test_an_unknown_symbol_or_size_says_the_nearest(catalog):
    catalog.write(make_bars(symbols=("AAPL", "MSFT")))
    with pytest.raises(UnknownNameError, match="did you mean 'AAPL'"):
        catalog.bars("APPL", "1 day")
    with pytest.raises(UnknownNameError, match=r"'1 min'\. Known: 1 day"):
        catalog.bars("AAPL", "1 min")
    with pytest.raises(UnknownNameError):
        catalog.verify("APPL")
    with pytest.raises(ParameterError):
        catalog.bars("AAPL", "1 fortnight")


# -- damage ----------------------------------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path):
    path.write_bytes(b"no parquet at all")


def empty(path):
    path.write_bytes(b"")


def change_a_price(path):
    table = pq.read_table(path)
    close = table["close"].to_numpy().copy()
    close[1] *= 1.0001
    pq.write_table(table.set_column(table.column_names.index("close"), "close", pa.array(close)), path)


def change_the_symbol(path):
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[HEADER_KEY])
    header["instrument"]["multiplier"] = 100.0
    pq.write_table(table.replace_schema_metadata({HEADER_KEY: json.dumps(header)}), path)


def drop_a_column(path):
    pq.write_table(pq.read_table(path).drop_columns(["high"]), path)


def flip_a_bit(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 5] ^= 0x10
    path.write_bytes(raw)


def spoil_the_header(path):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({HEADER_KEY: b"{not json"}), path)


DAMAGE = [
    truncate,
    overwrite,
    empty,
    change_a_price,
    change_the_symbol,
    drop_a_column,
    flip_a_bit,
    spoil_the_header,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_file_is_never_read_and_the_error_says_what_to_do(catalog, damage):
    bars = make_bars(symbols=("A", "B"), n_bars=60)
    entry, _ = catalog.write(bars)
    path = catalog._folder.folder / "1_day" / "A.parquet"
    damage(path)
    with pytest.raises(CatalogError, match=r"A\.parquet is damaged.*(replace='all'|delete)"):
        catalog.bars("A", "1 day")
    assert catalog.bars("B", "1 day").n_bars == 60
    (finding,) = [f for f in catalog.verify() if f.check == "damaged_file"]
    assert (finding.symbol, finding.severity) == ("A", "error")
    with pytest.raises(CatalogError):
        catalog.write(bars["A"])
    catalog.write(bars["A"], replace="all")
    assert catalog.bars("A", "1 day").content_hash == bars["A"].content_hash
    assert entry.symbol == "A"


def test_a_parquet_file_of_somebody_else_is_refused(catalog):
    catalog.write(make_bars(symbols=("A",)))
    pq.write_table(pa.table({"x": [1]}), catalog._folder.folder / "1_day" / "B.parquet")
    with pytest.raises(CatalogError, match="none that a catalog wrote"):
        catalog.bars("B", "1 day")
    with pytest.raises(CatalogError, match="none that a catalog wrote"):
        catalog.list()
    assert not catalog.verify().ok


def test_a_file_of_a_later_format_asks_for_an_update(catalog):
    (entry,) = catalog.write(make_bars(symbols=("A",)))
    table = pq.read_table(entry.path)
    header = json.loads(table.schema.metadata[HEADER_KEY])
    header["format"] = FORMAT + 1
    pq.write_table(table.replace_schema_metadata({HEADER_KEY: json.dumps(header)}), entry.path)
    with pytest.raises(CatalogError, match="update quantlab"):
        catalog.bars("A", "1 day")


def test_a_catalog_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(CatalogError, match="a catalog is a folder"):
        Catalog(tmp_path / "x")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(CatalogError, match="cannot be written"):
        Catalog(tmp_path / "x" / "catalog").write(make_bars())


def test_a_field_of_text_cannot_be_stored(catalog):
    bars = replace(make_bars(symbols=("A",)), fields={"note": np.full((6, 1), "x")})
    with pytest.raises(DataError, match="only numbers can be stored"):
        catalog.write(bars)


# -- killed writers --------------------------------------------------------------------------------------

WRITER = """
    import os, signal, sys
    import pyarrow.parquet as pq
    from quantlab.data import store
    from quantlab.data.catalog import Catalog
    from made_bars import make_bars

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    moment, path = sys.argv[1:]
    write = pq.write_table
    if moment == "before":
        pq.write_table = die
    elif moment == "half":
        def half(table, sink, **options):
            import io
            whole = io.BytesIO()
            write(table, whole, **options)
            sink.write(whole.getvalue()[: len(whole.getvalue()) // 2])
            sink.flush()
            die()
        pq.write_table = half
    elif moment == "synced":
        store.Path.replace = die
    elif moment == "second":
        replace, done = store.Path.replace, []
        def once(self, target):
            replace(self, target)
            done.append(target)
            if len(done) == 1:
                die()
        store.Path.replace = once
    elif moment == "renamed":
        store._sync_folder = die
    bars = make_bars(n_bars=50, symbols=("A", "B"), seed=9)
    Catalog(path).write(bars, replace="all")
"""

MOMENTS = [
    ("before", "old", "old"),
    ("half", "old", "old"),
    ("synced", "old", "old"),
    ("second", "new", "old"),
    ("renamed", "new", "new"),
]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(("moment", "a", "b"), MOMENTS)
def test_a_writer_killed_at_any_moment_leaves_every_file_whole(catalog, project, moment, a, b):
    old = make_bars(n_bars=50, seed=1)
    new = make_bars(n_bars=50, seed=9)
    catalog.write(old)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(project / "tests")])}
    command = [sys.executable, "-c", textwrap.dedent(WRITER), moment, catalog.path]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    for symbol, state in (("A", a), ("B", b)):
        expected = {"old": old, "new": new}[state][symbol]
        assert catalog.bars(symbol, "1 day").content_hash == expected.content_hash
    left = [n for n in files(catalog) if n.endswith(".tmp")]
    assert len(left) <= 1
    assert len(catalog.list()) == 2
    catalog.write(new, replace="all")
    assert files(catalog) == ["A.parquet", "B.parquet"]
    assert catalog.bars(["A", "B"], "1 day").content_hash == new.content_hash


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(catalog, monkeypatch):
    old = make_bars(symbols=("A",))
    catalog.write(old)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(CatalogError, match="No space left"):
        catalog.write(make_bars(symbols=("A",), seed=3), replace="all")
    monkeypatch.undo()
    assert catalog.bars("A", "1 day").content_hash == old.content_hash
    assert files(catalog) == ["A.parquet"]


APPENDER = """
    import sys
    from quantlab.data.catalog import Catalog
    from made_bars import make_bars
    bars = make_bars(n_bars=16, symbols=("A",), seed=2)
    first = int(sys.argv[1])
    for k in range(first, 16, 2):
        Catalog(sys.argv[2]).write(bars.take(slice(k, k + 1)))
"""


@pytest.mark.skipif(os.name == "nt", reason="the lock differs")
def test_two_processes_that_append_at_once_lose_nothing(catalog, project):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(project / "tests")])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(APPENDER), str(k), catalog.path], env=environment
        )
        for k in (0, 1)
    ]
    assert [w.wait() for w in writers] == [0, 0]
    assert (
        catalog.bars("A", "1 day").content_hash == make_bars(n_bars=16, symbols=("A",), seed=2).content_hash
    )


# -- urls ------------------------------------------------------------------------------------------------


def test_a_file_url_is_the_local_folder(tmp_path):
    bars = make_bars(symbols=("A",))
    Catalog(f"file://{tmp_path}/c").write(bars)
    assert Catalog(tmp_path / "c").bars("A", "1 day").content_hash == bars.content_hash


def test_a_remote_file_system_stores_reads_and_lists(monkeypatch):
    catalog = Catalog("mock:///catalog")
    bars = make_bars(n_bars=8)
    catalog.write(bars)
    catalog.write(shifted(bars, 30))
    assert [e.n_bars for e in catalog.list()] == [16, 16]
    assert catalog.bars(["A", "B"], "1 day", end=bars.index[-1]).content_hash == bars.content_hash
    assert catalog.verify().n_series == 2


def test_a_url_that_nobody_knows_is_an_error():
    with pytest.raises(CatalogError, match="cannot be reached"):
        Catalog("nonsense://x/y")


def test_errors_of_the_catalog_are_errors_of_quantlab():
    assert not issubclass(CatalogError, InputError)
