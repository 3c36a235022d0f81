"""``quantlab doctor``: what is installed, what answers, and what to do about each."""

from __future__ import annotations

import os
import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._errors import FAILED
from quantlab.cli._options import JsonOption
from quantlab.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quantlab.broker.doctor import Check

__all__ = ["app"]

app = make_app()

USUAL = (("127.0.0.1", 7497), ("127.0.0.1", 4002))
"""Where TWS and IB Gateway listen for paper accounts."""

MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "not checked": "-"}
NARROW, WIDE = 60, 120
"""Widths between which lines are folded."""


@app.command()
def doctor(
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway",
            metavar="HOST:PORT",
            help="Where TWS or IB Gateway is; else 127.0.0.1:7497 and 127.0.0.1:4002 are tried.",
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog", metavar="PATH", help="Folder or url of the catalog, as in 'quantlab data'."
        ),
    ] = None,
    client_id: Annotated[
        int, typer.Option("--client-id", min=1, max=1_000_000, help="Who we are at the gateway.")
    ] = 1,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long each answer may take.")
    ] = 5.0,
    as_json: JsonOption = False,
) -> int:
    """Check this machine, the official client, TWS or IB Gateway and the catalog, and say what to do.

    Each line is ok, a warning (it works, but know this), a problem, or not checked. No order is ever sent, changed or
    cancelled. The exit code is 1 if there is a problem, else 0.
    """
    from quantlab.cli._connection import parse_place

    places = USUAL if gateway is None else (parse_place(gateway),)
    if not 0 < places[0][1] < 65_536:
        raise ParameterError(f"there is no port {places[0][1]}; give one from 1 to 65535.")
    found = []
    for check in _checks(places, gateway is not None, catalog, client_id, timeout):
        found.append(check)
        if not as_json:
            _print(check)
    n_problems, n_warnings = (sum(c.state == state for c in found) for state in ("problem", "warning"))
    if as_json:
        from dataclasses import asdict

        from quantlab.cli._output import print_json

        print_json({"checks": [asdict(c) for c in found], "problems": n_problems, "warnings": n_warnings})
    else:
        typer.echo(f"\n{_count(n_problems, 'problem')}, {_count(n_warnings, 'warning')}")
    return FAILED if n_problems else 0


def _checks(
    places: tuple[tuple[str, int], ...], named: bool, catalog: str | None, client_id: int, timeout_s: float
) -> Iterator[Check]:
    """Everything that is checked, in order; each as soon as it is known."""
    from quantlab.broker.doctor import check_gateway, check_ibapi
    from quantlab.cli._machine import check_catalog, check_disk, check_kernels, check_packages, check_python
    from quantlab.cli.data import CATALOG_VARIABLE, DEFAULT_CATALOG

    yield from check_python()
    yield check_packages()
    yield check_kernels()
    given = catalog or os.environ.get(CATALOG_VARIABLE)
    yield check_catalog(given or DEFAULT_CATALOG, named=given is not None)
    yield check_disk(given or DEFAULT_CATALOG)
    about, bridge = check_ibapi(required=named)
    yield from about
    with_client = bridge is not None
    yield from check_gateway(
        places, named=named, client_id=client_id, with_client=with_client, timeout_s=timeout_s
    )


def _print(check: Check) -> None:
    """Print a line, and below it what to do."""
    head = f"{MARKS[check.state]:<8} {check.what:<17} "
    indent = " " * len(head)
    typer.echo(_fold(check.said, head, indent))
    if check.advice:
        typer.echo(_fold(check.advice, f"{indent}> ", f"{indent}  "))


def _fold(text: str, first: str, later: str) -> str:
    width = min(max(shutil.get_terminal_size().columns, NARROW), WIDE)
    # Paths and names of packages stay whole, so that they can be copied.
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
