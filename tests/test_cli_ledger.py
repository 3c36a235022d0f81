"""``quantlab init`` and ``quantlab ledger``: a project made, and what was tried in it shown."""

from __future__ import annotations

import json
import sqlite3

import pytest
from made_bars import make_bars

from quantlab.cli import main
from quantlab.engine.loader import load_strategy
from quantlab.research import record
from quantlab.research.project import forget_projects, read_project
from quantlab.strategy import strategy

BARS = make_bars(60, ("A",))
MADE = {"quantlab.toml", "sma_cross.py", "README.md", ".gitignore"}


@strategy()
def above(bars, level=50.0):
    return bars.close > level


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; returns its exit code and what it wrote to both streams."""
    monkeypatch.chdir(tmp_path)
    forget_projects()
    record._recorder.cache_clear()

    def call(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    yield call
    forget_projects()


@pytest.fixture
def tried(run):
    """A project in which two levels of one strategy and one of another were tried."""
    run("init")
    for level in (45.0, 50.0, 50.0):
        record.backtest(above, BARS, {"level": level})
    record.backtest(lambda bars: bars.close < 50.0, BARS)
    return run


# -- init ----------------------------------------------------------------------------------------------


def test_init_makes_a_project_whose_example_runs(run, tmp_path):
    code, out, err = run("init")
    assert (code, err) == (0, "")
    assert {p.name for p in tmp_path.iterdir()} == MADE
    assert all(f"made: {name}" in out for name in MADE)
    assert read_project(tmp_path).record
    assert load_strategy("sma_cross.py").evaluate(make_bars(300, ("A",))).target.any()
    assert ".quantlab/" in (tmp_path / ".gitignore").read_text().splitlines()
    assert tmp_path.name in (tmp_path / "README.md").read_text()


def test_init_makes_the_folder_that_is_named(run, tmp_path):
    assert run("init", "new/idea")[0] == 0
    assert {p.name for p in (tmp_path / "new" / "idea").iterdir()} == MADE


def test_init_leaves_what_is_there_as_it_is(run, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "sma_cross.py").mkdir()
    code, out, _ = run("init", "--json")
    assert code == 0
    assert json.loads(out) == {
        "project": str(tmp_path),
        "already": False,
        "made": [".gitignore", "quantlab.toml"],
    }
    assert (tmp_path / "README.md").read_text() == "mine"


def test_init_of_a_project_changes_nothing(run, tmp_path):
    run("init")
    (tmp_path / "README.md").unlink()
    (tmp_path / "quantlab.toml").write_text("[ledger]\nrecord = false\n")
    code, out, _ = run("init")
    assert code == 0
    assert "is a project already; nothing was changed" in out
    assert not (tmp_path / "README.md").exists()
    assert not read_project(tmp_path).record
    assert json.loads(run("init", "--json")[1])["already"] is True


def test_init_within_a_project_says_so(run, tmp_path):
    run("init")
    assert f"it lies in the project {tmp_path}" in run("init", "inner")[1]


def test_init_of_what_is_no_folder_is_refused(run, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, err = run("init", "file")
    assert code == 2
    assert "name a folder that can be written" in err


# -- ledger --------------------------------------------------------------------------------------------


def test_outside_a_project_the_ledger_says_how_to_make_one(run):
    code, out, err = run("ledger")
    assert (code, out) == (2, "")
    assert "lies in no project" in err
    assert "quantlab init" in err


def test_a_new_project_has_tried_nothing(run, tmp_path):
    run("init")
    code, out, _ = run("ledger")
    assert code == 0
    assert "nothing was tried yet" in out
    assert json.loads(run("ledger", "--json")[1])["entries"] == []
    assert not (tmp_path / ".quantlab").exists()


def test_the_ledger_shows_totals_and_entries(tried):
    code, out, err = tried("ledger")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith("above 2 2 1 ") for line in lines)
    assert any(line.startswith("<lambda> 1 1 1 ") for line in lines)
    (row,) = [line for line in lines if "above(level=50.0)" in line]
    best = record.find_ledger().entries("above")["best_sharpe"].iloc[1]
    assert row.endswith(f" backtest 1 {best:.2f} 2 above(level=50.0) on A, 1 day")


def test_the_ledger_as_json_is_the_same_numbers(tried, tmp_path):
    code, out, _ = tried("ledger", "above", "--json")
    shown = json.loads(out)
    assert code == 0
    assert shown["ledger"] == str(tmp_path / ".quantlab" / "ledger.sqlite")
    (total,) = shown["totals"]
    assert (total["strategy"], total["n_trials"], total["n_entries"], total["n_sources"]) == (
        "above",
        2,
        2,
        1,
    )
    assert [e["parameters"] for e in shown["entries"]] == ["level=45.0", "level=50.0"]
    assert [e["runs"] for e in shown["entries"]] == [1, 2]
    best = max(e["best_sharpe"] for e in shown["entries"])
    assert best == pytest.approx(total["largest"] * total["bars_per_year"] ** 0.5)


@pytest.mark.parametrize(("last", "shown"), [(0, 0), (1, 1), (20, 3)])
def test_so_many_of_the_last_entries_are_shown(tried, last, shown):
    found = json.loads(tried("ledger", "--json", "--last", last)[1])
    assert (len(found["entries"]), found["n_entries"]) == (shown, 3)
    assert ("last run" in tried("ledger", "--last", last)[1]) is bool(shown)


def test_a_kind_is_chosen_and_an_unknown_one_refused(tried):
    assert json.loads(tried("ledger", "--kind", "sweep", "--json")[1])["n_entries"] == 0
    assert json.loads(tried("ledger", "--kind", "backtest", "--json")[1])["n_entries"] == 3
    code, _, err = tried("ledger", "--kind", "sweeps")
    assert code == 2
    assert "did you mean 'sweep'" in err


def test_a_strategy_is_named_by_its_file_too(tried, tmp_path):
    (tmp_path / "idea.py").write_text("def above(bars, level=50.0):\n    return bars.close > level\n")
    assert json.loads(tried("ledger", "idea.py:above", "--json")[1])["n_entries"] == 2


@pytest.mark.parametrize(
    ("given", "said"), [("abve", "did you mean 'above'"), ("sma_cross.py", "Known: <lambda>, above")]
)
def test_a_strategy_that_was_not_tried_is_refused_with_those_that_were(tried, given, said):
    code, _, err = tried("ledger", given)
    assert code == 2
    assert said in err


def test_another_project_is_looked_at_by_its_folder(tried, tmp_path, monkeypatch):
    elsewhere = tmp_path.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    assert tried("ledger")[0] == 2
    assert json.loads(tried("ledger", "--project", tmp_path, "--json")[1])["n_entries"] == 3


def test_a_damaged_ledger_ends_with_a_message_and_is_kept(tried, tmp_path):
    record.find_ledger().close()
    path = tmp_path / ".quantlab" / "ledger.sqlite"
    path.write_bytes(b"scribble" * 1000)
    code, _, err = tried("ledger")
    assert code == 2
    assert "move it aside rather than delete it" in err
    assert path.read_bytes().startswith(b"scribble")


def test_settings_that_cannot_be_read_end_with_a_message(run, tmp_path):
    (tmp_path / "quantlab.toml").write_text("[ledger")
    for command in ("ledger", "init"):
        code, _, err = run(command)
        assert code == 2
        assert "quantlab.toml cannot be read" in err


def test_the_ledger_is_read_while_another_process_writes(tried, tmp_path):
    record.find_ledger().flush()
    with sqlite3.connect(tmp_path / ".quantlab" / "ledger.sqlite", isolation_level=None) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE entries SET runs = 99")
        assert json.loads(tried("ledger", "--json")[1])["n_entries"] == 3
        connection.execute("ROLLBACK")
