"""What the README and the pages of docs/ say is run: Python blocks, commands and what they print, links.

- ```` ```python ```` blocks run top to bottom in one namespace for each page; a block whose first line is a
  comment with a file's name (``# sma_cross.py``) is also written to that file.
- ```` ```console ```` blocks: each ``$ quantlab …`` line runs and prints what follows; ``...`` stands
  for anything. ``$ make x`` must name a target of the Makefile; other commands are not run.
- ```` ```text ```` and every other kind of block is left alone.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from quantlab.cli import main

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")), PROJECT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"#\s*(\w+\.py)\s*$")


def blocks(page, *kinds):
    """(line, kind, text) of the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = [(text[: m.start()].count("\n") + 1, m[1], m[2]) for m in FENCE.finditer(text)]
    return [b for b in found if not kinds or b[1] in kinds]


def commands(text):
    """(command, expected output) pairs of a console block."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:].strip(), []))
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(lines).rstrip()) for command, lines in found]


def squeeze(text):
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines() if line.strip())


def agrees(expected, printed):
    """Whether output is as expected; runs of blanks count as one, ``...`` stands for anything."""
    pattern = ".*".join(re.escape(piece) for piece in squeeze(expected).split("..."))
    return re.fullmatch(pattern, squeeze(printed), re.DOTALL) is not None


def run_command(command, capsys):
    """Run ``quantlab …`` in this process; its exit code and output."""
    code = main(shlex.split(command)[1:])
    streams = capsys.readouterr()
    return code, streams.out + streams.err


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").symlink_to(PROJECT / "strategies")
    namespace = {"__name__": "__page__"}
    for line, kind, text in blocks(page, "python", "console"):
        where = f"{page.name}, line {line}"
        if kind == "python":
            named = FILE_NAME.match(text.partition("\n")[0])
            target = tmp_path / (named[1] if named else f"block_{line}.py")
            target.write_text(text, encoding="utf-8")
            exec(compile(text, str(target), "exec"), namespace)
            capsys.readouterr()
            continue
        for command, expected in commands(text):
            if not command.startswith("quantlab "):
                continue
            code, printed = run_command(command, capsys)
            assert code == 0, f"{where}: {command} ended with {code}:\n{printed}"
            if expected:
                assert agrees(expected, printed), f"{where}: {command} prints\n{printed}\nand not\n{expected}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ |^)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_shows_a_strategy_a_command_and_its_output():
    page = PROJECT / "README.md"
    assert any("@ql.strategy" in text for _, _, text in blocks(page, "python"))
    ran = [pair for _, _, text in blocks(page, "console") for pair in commands(text)]
    assert any(command.startswith("quantlab ") and expected for command, expected in ran)
    assert "make demo" in page.read_text(encoding="utf-8")


def test_the_readmes_strategy_is_the_demos():
    from quantlab.cli.demo import STRATEGY

    code = STRATEGY.partition("import quantlab as ql")[2].strip()
    assert any(code in text for _, _, text in blocks(PROJECT / "README.md", "python"))


# -- the checks themselves can fail --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a  b", " a b \n", True),
        ("a ... z", "a b\nc z", True),
        ("a\nb", "a\n\nb", True),
        ("a", "b", False),
        ("a", "a\nb", False),
        ("1.5 ...", "1x5 2", False),
    ],
)
def test_output_is_compared(expected, printed, same):
    assert agrees(expected, printed) is same


def test_commands_are_told_from_what_they_print():
    assert commands("$ quantlab x\none\ntwo\n\n$ ls\n") == [("quantlab x", "one\ntwo"), ("ls", "")]
