"""The script behind ``make demo`` and ``make test``: one line for what is wrong, and nothing done twice."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
TOOLS = ("sh", "awk", "cat", "cmp", "dirname", "env", "mkdir", "mv", "pwd", "rm", "touch")

VERSION = (
    'case "$*" in *"version_info[:2]"*) echo {version};; *"(3, 11)"*) exit {old};; *ensurepip*) exit {bare};;'
)
LOG = (
    '*) echo "$*" >> "$LOG"; if [ "$2" = venv ]; then mkdir -p .venv/bin; cp "$0" .venv/bin/python; fi;; esac'
)


@pytest.fixture
def place(tmp_path):
    """A project folder with a space in its path, and a PATH with nothing on it but what the script needs."""
    folder = tmp_path / "a project"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(PROJECT / ".ci" / "environment", folder / ".ci")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (tmp_path / "bin").mkdir()
    for tool in (*TOOLS, "cp"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return folder


def python(place, name, version="3.11", *, old=0, bare=0):
    """Stand-in interpreter that answers what the script asks, and notes what it is told to do."""
    path = place.parent / "bin" / name
    path.write_text("#!/bin/sh\n" + VERSION.format(version=version, old=old, bare=bare) + LOG + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def run(place, kind="user", **more):
    environment = {"PATH": str(place.parent / "bin"), "LOG": str(place.parent / "log"), **more}
    command = ["sh", str(place / ".ci" / "environment"), kind]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, cwd=place.parent
    )
    log = place.parent / "log"
    told = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return done, told


def test_a_missing_python_gets_one_line(place):
    done, _ = run(place)
    assert done.returncode == 2
    assert done.stderr.startswith("python3 is not found: install Python 3.11 or newer")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": "3.9", "old": 1}, "python3 is Python 3.9 and quantlab needs 3.11 or newer"),
        (
            {"bare": 1},
            "python3 has no venv module: install it (Debian, Ubuntu: sudo apt install python3.11-venv)",
        ),
    ],
)
def test_a_python_that_cannot_be_used_gets_one_line(place, options, said):
    python(place, "python3", **options)
    done, told = run(place)
    assert (done.returncode, told, done.stdout) == (2, [], "")
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_the_interpreter_that_is_named_is_taken(place):
    python(place, "python3", "3.9", old=1)
    python(place, "python3.12", "3.12")
    done, told = run(place, PYTHON="python3.12")
    assert done.returncode == 0
    assert told[0] == "-m venv --clear .venv"
    done, _ = run(place, PYTHON="python3.99")
    assert (done.returncode, done.stderr[:23]) == (2, "python3.99 is not found")


def test_the_second_time_nothing_is_run(place):
    python(place, "python3")
    done, told = run(place)
    assert done.returncode == 0
    assert [line for line in told if "pip install" in line and "--editable ." in line]
    assert run(place)[1] == []


def test_a_developers_environment_serves_a_user(place):
    python(place, "python3")
    assert [line for line in run(place, "dev")[1] if "--editable .[dev]" in line]
    assert run(place, "user")[1] == []


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        ('"numpy>=2.1"', '"numpy>=2.2"', True),
        ("line-length = 110", "line-length = 100", False),
    ],
)
def test_only_the_packaging_part_of_pyproject_makes_it_install_again(place, before, after, again):
    python(place, "python3")
    run(place)
    file = place / "pyproject.toml"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    assert bool(run(place)[1]) is again


def test_a_moved_project_is_installed_again(place):
    python(place, "python3")
    run(place)
    moved = place.rename(place.parent / "moved")
    assert [line for line in run(moved)[1] if "pip install" in line]


def test_another_version_of_python_makes_the_environment_anew(place):
    python(place, "python3")
    python(place, "python3.12", "3.12")
    run(place)
    assert run(place, PYTHON="python3.12")[1][0] == "-m venv --clear .venv"
    assert run(place, PYTHON="python3.12")[1] == []


def test_an_installation_that_fails_is_not_taken_for_done(place):
    python(place, "python3")
    script = place.parent / "bin" / "python3"
    script.write_text(script.read_text().replace("*ensurepip*)", '*"pip install"*) exit 1;; *ensurepip*)'))
    done, _ = run(place)
    assert done.returncode == 2
    assert "installing failed" in done.stderr
    assert not (place / ".venv" / "quantlab-user").exists()
    python(place, "python3")
    shutil.copy(script, place / ".venv" / "bin" / "python")
    assert [line for line in run(place)[1] if "pip install" in line]


def test_ci_fails_where_something_is_skipped(tmp_path):
    shutil.copy(PROJECT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pytest.skip('no reason')\n"
        "@pytest.mark.xfail(strict=True)\ndef test_b(): assert 0\ndef test_c(): pass\n"
    )
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('nosuchmodule')\n")
    options = ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    runs = {}
    for ci in ("", "true"):
        environment = {**os.environ, "CI": ci}
        runs[ci] = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path
        )
    assert runs[""].returncode == 0
    assert "   1  no reason" in runs[""].stdout
    assert "to run: make test" in runs[""].stdout
    assert runs["true"].returncode != 0
    assert "1 failed" in runs["true"].stdout
    assert "1 error" in runs["true"].stdout
    assert "1 xfailed" in runs["true"].stdout
