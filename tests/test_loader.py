"""A strategy from a file or a module."""

from __future__ import annotations

import sys

import pytest

from quantlab.engine.loader import load_strategy
from quantlab.errors import StrategyError, UnknownNameError

ONE = """
import quantlab as ql

@ql.strategy(days=range(5, 30, 5))
def above(bars, days=20):
    return bars.close > bars.close.mean()
"""
TWO = ONE + "\n@ql.strategy\ndef below(bars):\n    return bars.close < 1\n"
PLAIN = "def above(bars, days=20):\n    return bars.close > days\n\ndef number(x):\n    return x\n"


@pytest.fixture
def write(tmp_path):
    def put(text, name="idea.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return put


def test_the_only_strategy_of_a_file_needs_no_name(write):
    found = load_strategy(str(write(ONE)))
    assert (found.name, found.defaults, found.grid) == ("above", {"days": 20}, {"days": (5, 10, 15, 20, 25)})


def test_a_name_chooses_one_of_several(write):
    assert load_strategy(f"{write(TWO)}:below").name == "below"


def test_an_imported_strategy_is_not_one_of_the_file(write):
    write(ONE, "other.py")
    text = "from other import above\nimport quantlab as ql\n"
    text += "@ql.strategy\ndef mine(bars):\n    return bars.close\n"
    file = write(text)
    assert load_strategy(str(file)).name == "mine"
    sys.modules.pop("other")


def test_a_plain_function_of_bars_is_a_strategy(write):
    assert load_strategy(str(write(PLAIN))).defaults == {"days": 20}
    assert load_strategy(f"{write(PLAIN)}:above").name == "above"


def test_the_source_that_is_hashed_is_the_file_that_ran(write):
    file = write(ONE)
    first = load_strategy(str(file))
    file.write_text(ONE.replace("20", "25"))
    second = load_strategy(str(file))
    assert second.defaults == {"days": 25}
    assert second.source == file.read_text()
    assert first.name == second.name


def test_nothing_is_left_beside_the_file_and_the_path_is_put_back(write):
    file, before = write(ONE), list(sys.path)
    load_strategy(str(file))
    assert [p.name for p in file.parent.iterdir()] == ["idea.py"]
    assert sys.path == before


def test_a_strategy_comes_from_a_module_in_the_present_folder(write, monkeypatch):
    monkeypatch.chdir(write(ONE, "ideas_for_test/trend.py").parent.parent)
    assert load_strategy("ideas_for_test.trend:above").name == "above"
    for name in [m for m in sys.modules if m.startswith("ideas_for_test")]:
        sys.modules.pop(name)


def test_a_dataclass_in_a_strategy_file_works(write):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += "@dataclass\nclass A:\n    x: int = 1\n" + PLAIN
    assert load_strategy(str(write(text))).name == "above"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = = 1\n", "line 1: invalid syntax"),
        ("\nraise RuntimeError('no luck')\n", "it raised RuntimeError: no luck"),
        ("import sys\nsys.exit(3)\n", "it raised SystemExit: 3"),
        ("import nosuchmodule\n", "No module named 'nosuchmodule'"),
        ("x = 1\n", "has no strategy; decorate a function"),
        (TWO, "has 2 strategies (above, below); name one:"),
        (
            "import quantlab as ql\n@ql.strategy(dys=[1])\ndef f(bars, days=1):\n    return 1\n",
            "did you mean 'days'",
        ),
    ],
)
def test_a_file_that_cannot_be_used_says_why(write, text, said):
    file = write(text)
    with pytest.raises(StrategyError) as error:
        load_strategy(str(file))
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_that_is_no_text_says_so(tmp_path):
    (tmp_path / "a.py").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(StrategyError, match="cannot be read"):
        load_strategy(str(tmp_path / "a.py"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{folder}/idae.py", "did you mean {folder}/idea.py?"),
        ("{folder}/zzzz.py", "{folder} has idea.py"),
        ("{folder}/nowhere/idea.py", "has no Python file"),
        ("{folder}", "is not understood"),
        ("no.such.module:f", "there is no module 'no.such.module'"),
        ("", "is not understood"),
    ],
)
def test_a_place_that_is_not_there_says_what_is(write, monkeypatch, given, said):
    folder = write(ONE).parent
    monkeypatch.chdir(folder)
    with pytest.raises(StrategyError) as error:
        load_strategy(given.format(folder=folder))
    assert said.format(folder=folder).lower() in str(error.value).lower()


def test_an_unknown_name_suggests_the_nearest(write):
    with pytest.raises(UnknownNameError) as error:
        load_strategy(f"{write(TWO)}:abve")
    assert error.value.nearest == "above"


def test_a_name_that_is_no_function_is_refused(write):
    with pytest.raises(StrategyError, match="not int"):
        load_strategy(f"{write('x = 1')}:x")
