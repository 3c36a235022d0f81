"""What commands print: JSON that every reader accepts, and tables for people."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

__all__ = [
    "console",
    "jsonable",
    "print_json",
    "print_pairs",
    "print_table",
    "say_when_compiling",
    "write_report",
]


def jsonable(value: Any) -> Any:
    """`value` as plain JSON types.

    NaN becomes null, infinities become ``"inf"`` and ``"-inf"`` (JSON has neither), numpy scalars become
    numbers, times become ISO 8601 text, mappings and sequences are taken apart, everything else becomes its
    text.
    """
    if hasattr(value, "items"):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [jsonable(v) for v in value]
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()  # noqa: PLR0124  # NaT differs from itself
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def print_json(value: Any) -> None:
    """Print `value` as one JSON document on standard output."""
    typer.echo(json.dumps(jsonable(value), indent=2, allow_nan=False))


def console(*, err: bool = False) -> Console:
    """Rich console on standard output (or error), made now so that a redirected stream is the one in use."""
    from rich.console import Console

    return Console(stderr=err, highlight=False, emoji=False, markup=False)


def say_when_compiling() -> None:
    """Tell a person who waits that the engine is compiled now, and that this happens once."""
    if not sys.stderr.isatty():
        return
    from quantlab.kernels._jit import cache_folder

    folder = cache_folder()
    if folder is None or not any(Path(folder).rglob("simulate.simulate-*.nbi")):
        typer.echo(
            "compiling the engine: the first run takes about half a minute, later ones do not", err=True
        )


def write_report(result: Any, path: str, **options: Any) -> str:
    """Write the report of a result and return where it is.

    Raises
    ------
    ParameterError
        For a place that cannot be written.
    """
    from quantlab.errors import ParameterError

    try:
        return str(result.report(path, **options))
    except OSError as error:
        raise ParameterError(
            f"--report {path} cannot be written ({error.strerror}); name a file in a folder that can be."
        ) from error


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a compact table; every column but the first is set to the right.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequences
        Cells, already formatted.
    title : str, optional
        Line above the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if title is not None:  # by itself: a title in the table is folded to the width of the table
        typer.echo(title)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for k, name in enumerate(columns):
        table.add_column(name, justify="left" if k == 0 else "right", overflow="fold", no_wrap=k == 0)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console().print(table)


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print names and values, one pair a line, the values lined up."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        typer.echo(f"{name:<{width}}  {value}")
