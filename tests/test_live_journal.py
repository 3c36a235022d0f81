"""The journal: append-only, one writer, one bundle, damage said and nothing lost."""

from __future__ import annotations

import sqlite3

import pytest

from quantlab.errors import JournalError
from quantlab.live.journal import Entry, Journal, is_written, read_journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def test_what_was_written_is_read_in_order(path):
    with Journal.open(path, "abc") as journal:
        journal.append([Entry("halt", {"reason": "x"}), Entry("resume", {})], 5)
        journal.append([Entry("notice", {"code": 1})], 6)
    entries = read_journal(path)
    assert [(e.kind, e.at_ns) for e in entries] == [("opened", 0), ("halt", 5), ("resume", 5), ("notice", 6)]
    assert [e.seq for e in entries] == [1, 2, 3, 4]
    assert entries[1].body == {"reason": "x"}


def test_some_kinds_and_what_came_later_can_be_read(path):
    with Journal.open(path, "abc") as journal:
        journal.append([Entry("halt", {"reason": "x"}), Entry("resume", {})], 5)
    assert [e.kind for e in read_journal(path, "halt", "resume")] == ["halt", "resume"]
    assert [e.kind for e in read_journal(path, after=2)] == ["resume"]


def test_the_same_intent_is_refused_and_nothing_of_its_step_is_written(path):
    with Journal.open(path, "abc") as journal:
        journal.append([Entry("intent", {"a": 1}, "ref-1")], 1)
        with pytest.raises(JournalError, match="cannot be written"):
            journal.append([Entry("notice", {}), Entry("intent", {"a": 2}, "ref-1")], 2)
        assert [e.kind for e in journal.entries()] == ["opened", "intent"]


def test_entries_can_be_neither_changed_nor_deleted(path):
    with Journal.open(path, "abc") as journal:
        journal.append([Entry("halt", {"reason": "x"})], 1)
    database = sqlite3.connect(path)
    for query in ("UPDATE entries SET body = '{}'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="only added to"):
            database.execute(query)
    database.close()


def test_a_second_writer_is_refused_and_the_first_goes_on(path):
    with Journal.open(path, "abc") as journal:
        assert is_written(path)
        with pytest.raises(JournalError, match="one runner a bundle"):
            Journal.open(path, "abc")
        journal.append([Entry("resume", {})], 1)
    assert not is_written(path)
    Journal.open(path, "abc").close()


def test_the_journal_can_be_read_while_it_is_written(path):
    with Journal.open(path, "abc") as journal:
        journal.append([Entry("halt", {"reason": "x"})], 1)
        assert [e.kind for e in read_journal(path)] == ["opened", "halt"]


def test_a_journal_of_another_bundle_is_refused(path):
    Journal.open(path, "abc").close()
    with pytest.raises(JournalError, match="bundle abc, not of xyz"):
        Journal.open(path, "xyz")


def test_a_damaged_journal_is_refused_and_kept(path):
    with Journal.open(path, "abc") as journal:
        journal.append([Entry("notice", {"text": "x" * 5000}) for _ in range(50)], 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\x00" * 4096 + whole[8192:])
    with pytest.raises(JournalError, match="only record"):
        list(Journal.open(path, "abc").entries())
    with pytest.raises(JournalError, match="only record"):
        read_journal(path)
    assert path.stat().st_size == len(whole)


def test_a_file_that_is_no_journal_is_refused(path):
    path.write_bytes(b"not a database at all, whatever its name may say" * 40)
    with pytest.raises(JournalError):
        read_journal(path)


def test_a_journal_whose_first_step_is_not_written_yet_has_no_entries(path):
    path.write_bytes(b"")
    assert read_journal(path) == []
    Journal.open(path, "abc").close()
    assert [e.kind for e in read_journal(path)] == ["opened"]


def test_another_database_is_refused(path):
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE t (x)")
    database.commit()
    database.close()
    with pytest.raises(JournalError, match="no journal of a live run"):
        Journal.open(path, "abc")


def test_a_missing_journal_says_how_one_begins(path):
    with pytest.raises(JournalError, match="quantlab paper BUNDLE"):
        read_journal(path)


def test_a_write_that_was_cut_off_leaves_what_was_there(path):
    journal = Journal.open(path, "abc")
    journal.append([Entry("halt", {"reason": "x"})], 1)
    journal.append([Entry("resume", {})], 2)
    # What a power cut leaves: the files as they are now, the end of the log torn.
    log = path.with_name(path.name + "-wal")
    torn = log.read_bytes()[:-1500]
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    copy.with_name("copy.db-wal").write_bytes(torn)
    journal.close()
    with Journal.open(copy, "abc") as again:
        kinds = [e.kind for e in again.entries()]
    assert kinds == ["opened", "halt"]
