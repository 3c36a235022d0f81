"""A project: the folder whose backtests belong together, marked by a ``quantlab.toml``."""

from __future__ import annotations

import os
import time
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from quantlab.errors import ParameterError, UnknownNameError

__all__ = ["MARKER", "Project", "find_project", "forget_projects", "read_project"]

MARKER = "quantlab.toml"
"""File that makes its folder a project."""

KEYS = {"ledger": {"record": bool}}
"""Sections of the file, and the type of each value in them."""

FRESH_S = 1
"""Seconds for which a search for a project is believed: a loop of backtests does not ask the disk each time."""

REMEMBERED = 16
"""Working folders whose project is remembered."""


@dataclass(frozen=True)
class Project:
    """Folder of a project, and what its ``quantlab.toml`` says.

    Parameters
    ----------
    folder : Path
        Absolute.
    record : bool
        ``[ledger] record``: whether backtests and sweeps are entered in the ledger; True if not said.
    """

    folder: Path
    record: bool = True

    @property
    def ledger_path(self) -> Path:
        """File of the ledger, whether or not it is there yet."""
        return self.folder / ".quantlab" / "ledger.sqlite"


def read_project(folder: str | Path) -> Project:
    """Project of a folder that has a ``quantlab.toml``.

    Raises
    ------
    ParameterError, UnknownNameError
        For a file that cannot be read, is not TOML, or has a setting that does not exist or is of another type.
    """
    place = Path(folder).absolute()
    path = place / MARKER
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ParameterError(
            f"{path} cannot be read ({error}); mend it, or move it away and run 'quantlab init'."
        ) from error
    for section, values in said.items():
        if section not in KEYS:
            raise UnknownNameError("section", section, KEYS, f"See {path}.")
        _check_section(path, section, values)
    return Project(place, **said.get("ledger", {}))


def _check_section(path: Path, section: str, values: Any) -> None:
    if not isinstance(values, dict):
        raise ParameterError(f"{section} is {values!r} in {path}; it is a section: write [{section}].")
    for key, value in values.items():
        if key not in KEYS[section]:
            raise UnknownNameError(f"setting of [{section}]", key, KEYS[section], f"See {path}.")
        wanted = KEYS[section][key]
        if type(value) is not wanted:
            raise ParameterError(
                f"[{section}] {key} is {value!r} in {path}; a {wanted.__name__} is needed, such as {key} = true."
            )


def find_project(folder: str | Path | None = None) -> Project | None:
    """Project that a folder lies in: the nearest ``quantlab.toml``, upward.

    Parameters
    ----------
    folder : str or Path, optional
        Where to begin; the working folder if not given.

    Returns
    -------
    Project or None
        None outside a project.

    Raises
    ------
    ParameterError, UnknownNameError
        If the file cannot be used; see `read_project`.

    Notes
    -----
    What is found, or not found, is believed for a second.
    """
    try:
        # os.getcwd, since this is asked at every backtest and a Path takes ten times as long
        start = os.getcwd() if folder is None else str(Path(folder).absolute())  # noqa: PTH109  # as above
    except FileNotFoundError:  # the working folder was deleted
        return None
    return _found(start, int(time.monotonic()) // FRESH_S)


@lru_cache(REMEMBERED)
def _found(start: str, second: int) -> Project | None:  # noqa: ARG001  # makes an answer grow old
    place = Path(start)
    for folder in (place, *place.parents):
        if (folder / MARKER).is_file():
            return read_project(folder)
    return None


def forget_projects() -> None:
    """Search again the next time: a project was just made."""
    _found.cache_clear()
