"""Checks of this machine: Python and its environment, packages, compiled kernels, catalog, disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from quantlab.broker.doctor import NOT_CHECKED, OK, PROBLEM, WARNING, Check
from quantlab.errors import QuantlabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["check_catalog", "check_disk", "check_kernels", "check_packages", "check_python", "unmet"]

OLDEST_PYTHON = (3, 11)

LOW_BYTES, LITTLE_BYTES = 200_000_000, 2_000_000_000
"""Free bytes below which a write may fail, and below which it is time to look."""

DISTRIBUTION = "quantlab"


def check_python(
    version: tuple[int, ...] = tuple(sys.version_info[:3]),
    prefix: str = sys.prefix,
    base: str = sys.base_prefix,
) -> Iterator[Check]:
    """Look at the Python that runs, and whether it has an environment of its own.

    Parameters
    ----------
    version : tuple of int
        Of Python.
    prefix, base : str
        Folder of the environment, and of the Python that it was made from.
    """
    said = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}, {sys.executable}"
    if version[:2] < OLDEST_PYTHON:
        yield Check("Python", PROBLEM, said, "quantlab needs Python 3.11 or newer; install one.")
    else:
        yield Check("Python", OK, said)
    if (Path(prefix) / "conda-meta").is_dir():
        yield Check("environment", OK, f"conda, {prefix}")
    elif prefix != base:
        yield Check("environment", OK, f"venv, {prefix}")
    else:
        advice = (
            "Make one, so that packages of other projects stay apart: python -m venv .venv (docs/ib-setup.md)"
        )
        yield Check("environment", WARNING, f"none: packages go into {prefix} itself", advice)


# -- packages ----------------------------------------------------------------------------------------------


def check_packages(distribution: str = DISTRIBUTION) -> Check:
    """Look whether everything that quantlab needs is there, and new enough."""
    try:
        wanted = metadata.requires(distribution) or []
        own = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        said = f"{distribution} is not installed as a package, so what it needs is not known"
        return Check("packages", NOT_CHECKED, said, "Install it: pip install -e '.[ib]' in its folder")
    missing, there = unmet(wanted)
    if missing:
        advice = "Run: pip install --upgrade " + " ".join(f"'{m.partition(' (')[0]}'" for m in missing)
        return Check("packages", PROBLEM, f"missing or too old: {'; '.join(missing)}", advice)
    return Check("packages", OK, f"{distribution} {own}, {', '.join(there)}")


def unmet(requirements: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tell requirements that are not met from packages that are there.

    Parameters
    ----------
    requirements : iterable of str
        As in the metadata of a package: ``"numpy>=2.1"``; those of extras, and those that depend on the platform,
        are passed over.

    Returns
    -------
    tuple of (list of str, list of str)
        ``"numpy>=2.1 (1.26.4 is installed)"``, and ``"pandas 2.3.1"``.
    """
    missing, there = [], []
    for text in requirements:
        if ";" in text:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", text.strip(), maxsplit=1)[0]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(f"{text} (not installed)")
            continue
        least = re.search(r">=\s*([0-9.]+)", text)
        if least is not None and _numbers(version) < _numbers(least[1]):
            missing.append(f"{text} ({version} is installed)")
        else:
            there.append(f"{name} {version}")
    return missing, there


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, without zeros at the end: 2.10.0rc1 is (2, 10)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(piece) for piece in found[0].split(".")] if found else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


# -- files -------------------------------------------------------------------------------------------------


def check_kernels() -> Check:
    """Look whether compiled kernels can be kept, and whether they have been compiled."""
    from quantlab.kernels._jit import cache_folder

    folder = cache_folder()
    if folder is None:
        advice = "Name a folder that can be written in the variable NUMBA_CACHE_DIR."
        return Check(
            "numba cache",
            WARNING,
            "no folder can be written: every process compiles for half a minute",
            advice,
        )
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        return Check(
            "numba cache", WARNING, "numba is switched off: everything is slow", "Unset NUMBA_DISABLE_JIT."
        )
    count = sum(1 for _ in Path(folder).rglob("*.nbi"))
    if count == 0:
        return Check("numba cache", OK, f"empty; the first run compiles for half a minute, {folder}")
    return Check("numba cache", OK, f"{count} compiled functions, {folder}")


def check_catalog(place: str, *, named: bool) -> Check:
    """Look whether a catalog can be read and written.

    Parameters
    ----------
    place : str
        Its folder or url.
    named : bool
        Whether somebody said that it is there; then its absence is a problem.
    """
    from quantlab.data.catalog import Catalog

    if "://" not in place and not Path(place).exists():
        advice = "'quantlab data fetch' and 'quantlab data import' make one."
        said = f"there is none at {Path(place).absolute()}"
        return Check("catalog", PROBLEM if named else NOT_CHECKED, said, advice)
    try:
        entries = Catalog(place).list()
    except QuantlabError as error:
        return Check("catalog", PROBLEM, str(error), f"Run: quantlab data verify --catalog {place}")
    said = f"{len(entries)} series, {sum(e.n_bytes for e in entries) / 1e6:,.1f} MB, at {place}"
    if "://" not in place and not os.access(place, os.W_OK):
        return Check(
            "catalog", WARNING, f"{said}; it can be read, not written", "Change its rights to write into it."
        )
    return Check("catalog", OK, said)


def check_disk(place: str) -> Check:
    """Look whether there is room for prices and journals.

    Parameters
    ----------
    place : str
        A folder, which need not exist yet; of a url, the folder of now.
    """
    folder = Path.cwd() if "://" in place else Path(place).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    said = f"{free / 1e9:,.1f} GB free at {folder}"
    if free < LOW_BYTES:
        return Check("disk", PROBLEM, said, "Make room: journals and prices can no longer be written.")
    if free < LITTLE_BYTES:
        return Check("disk", WARNING, said, "Make room before you fetch much.")
    return Check("disk", OK, said)
