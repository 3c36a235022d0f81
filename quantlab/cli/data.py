"""The commands ``quantlab data …``: look at, import, fetch and verify stored prices."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from quantlab.cli._commands import make_app
from quantlab.cli._connection import (
    DEFAULT_PLACE,
    CurrencyOption,
    ExchangeOption,
    GatewayOption,
    SecurityTypeOption,
    connected,
)
from quantlab.cli._errors import FAILED
from quantlab.cli._options import JsonOption, SymbolsOption
from quantlab.cli._output import print_json, print_table
from quantlab.errors import DataError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quantlab.bars import Bars
    from quantlab.data.catalog import Catalog, Entry
    from quantlab.data.findings import Findings

__all__ = ["app"]

app = make_app("Look at, import, fetch and verify stored prices.")

CATALOG_VARIABLE = "QUANTLAB_CATALOG"
DEFAULT_CATALOG = "catalog"

FETCHING_ID = 83
"""Client id of a fetch, so that it does not collide with what trades."""

SHOWN_FINDINGS = 50
"""Findings that are printed for a person; `--json` prints all of them."""

CatalogPlace = Annotated[
    str | None,
    typer.Option(
        "--catalog",
        metavar="PATH",
        help=f"Folder or url of the catalog; else ${CATALOG_VARIABLE}, else ./{DEFAULT_CATALOG}.",
    ),
]
BarSizeFilter = Annotated[
    str | None, typer.Option("--bar-size", metavar="SIZE", help="Such as '1 day' or '5 mins'.")
]
ReplaceOption = Annotated[
    str | None,
    typer.Option(
        "--replace",
        metavar="WHAT",
        help="Where stored bars differ: 'overlap' puts the new ones in their span, 'all' drops the old ones.",
    ),
]
StampChoice = Annotated[
    str | None,
    typer.Option(
        "--stamp", metavar="END", help="Which end of an intraday bar its time names: open or close."
    ),
]
ZoneOption = Annotated[
    str | None,
    typer.Option("--tz", metavar="ZONE", help="Zone of times without one, such as America/New_York."),
]
CalendarOption = Annotated[
    str | None, typer.Option("--calendar", metavar="NAME", help="Exchange calendar, such as XNYS.")
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="ROLES",
        help="open=O,close=Last names some columns; date,open,high,low,close,- all of them, in order.",
    ),
]
DateFormatOption = Annotated[
    str | None,
    typer.Option("--date-format", metavar="FORMAT", help="mdy, dmy, ymd, or a pattern such as %d.%m.%Y."),
]
AdjustOption = Annotated[
    bool, typer.Option("--adjust", help="Adjust prices by the column of adjusted closes.")
]
SkipBadOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, instead of refusing the file.")
]


def _place(catalog: str | None) -> str:
    return catalog or os.environ.get(CATALOG_VARIABLE) or DEFAULT_CATALOG


def _open(catalog: str | None) -> Catalog:
    from quantlab.data.catalog import Catalog

    return Catalog(_place(catalog))


@contextmanager
def _progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Progress bar on standard error, where that is a terminal; yields what the catalog calls."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import Progress

    from quantlab.cli._output import console

    with Progress(console=console(err=True), transient=True) as bar:
        task = bar.add_task(label)
        yield lambda done, all_: bar.update(task, completed=done, total=all_)


def _replace(text: str | None) -> bool | Literal["all"]:
    if text not in {None, "overlap", "all"}:
        raise UnknownNameError("--replace", str(text), ("overlap", "all"))
    return "all" if text == "all" else text == "overlap"


def _split(text: str | None) -> list[str]:
    return [] if text is None else [s.strip() for s in text.split(",") if s.strip()]


def _show_entries(entries: tuple[Entry, ...], place: str) -> None:
    rows = [
        (e.symbol, e.bar_size, e.n_bars, e.first[:16], e.last[:16], e.what, _origin(e.source))
        for e in entries
    ]
    columns = ("symbol", "bar size", "bars", "first", "last", "what", "source")
    print_table(columns, rows, title=f"catalog {place}")


def _origin(source: dict[str, Any]) -> str:
    path = source.get("path")
    return f"{source.get('kind', '?')} {Path(path).name}" if path else str(source.get("kind", "?"))


@app.command("sample")
def sample_command(
    symbols: SymbolsOption = None,
    bar_size: BarSizeFilter = None,
    catalog: CatalogPlace = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Write the real daily prices that an installed package ships into the catalog."""
    from quantlab.data.sample import SAMPLE_SYMBOLS, sample

    bars = sample(_split(symbols) or list(SAMPLE_SYMBOLS), bar_size or "1 day")
    store = _open(catalog)
    entries = store.write(bars)
    if as_json:
        print_json({"catalog": store.path, "written": [_entry(e) for e in entries]})
        return
    _show_entries(entries, store.path)
    typer.echo(f"prices: {bars.meta['adjustment']}")


def _entry(entry: Entry) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)


@app.command("import")
def import_command(  # noqa: PLR0917  # typer reads options from parameters
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="CSV or Parquet files.")],
    symbol: Annotated[
        str | None, typer.Option("--symbol", metavar="NAME", help="Symbol; else the file's name or column.")
    ] = None,
    bar_size: BarSizeFilter = None,
    stamp: StampChoice = None,
    tz: ZoneOption = None,
    calendar: CalendarOption = None,
    columns: ColumnsOption = None,
    date_format: DateFormatOption = None,
    security_type: Annotated[
        str, typer.Option("--security-type", help="STK, FUT, CASH, CFD, IND or CRYPTO.")
    ] = "STK",
    currency: Annotated[str, typer.Option("--currency", help="Currency of the prices.")] = "USD",
    multiplier: Annotated[float, typer.Option("--multiplier", help="Money per unit and point.")] = 1.0,
    tick: Annotated[
        float | None, typer.Option("--tick", help="Smallest price step.", show_default=False)
    ] = None,
    lot: Annotated[float, typer.Option("--lot", help="Smallest step of units.")] = 1.0,
    what: Annotated[
        str, typer.Option("--what", help="What the prices are: TRADES, MIDPOINT, BID, ASK …")
    ] = "TRADES",
    session_kind: Annotated[
        str, typer.Option("--session-kind", help="regular or extended trading hours.")
    ] = "regular",
    replace: ReplaceOption = None,
    catalog: CatalogPlace = None,
    *,
    adjust: AdjustOption = False,
    skip_bad: SkipBadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import files into the catalog; everything that was guessed is printed."""
    from quantlab.data.importers import import_file
    from quantlab.model import Instrument

    if symbol is not None and len(files) > 1:
        raise DataError(
            f"--symbol {symbol} names one symbol, and {len(files)} files are given; import them one by one."
        )
    how = _replace(replace)
    store = _open(catalog)
    # Built once here, so that a wrong value is found before any file is read.
    Instrument("X", security_type, "SMART", currency, multiplier, tick, lot)
    done: list[dict[str, Any]] = []
    for file in files:
        bars = import_file(
            file,
            symbol=symbol,
            bar_size=bar_size,
            stamp=stamp,
            tz=tz,
            calendar=calendar,
            columns=columns,
            date_format=date_format,
            adjust=adjust,
            skip_bad=skip_bad,
        )
        records = [
            Instrument(s, security_type, "SMART", currency, multiplier, tick, lot) for s in bars.symbols
        ]
        with _progress(f"writing {Path(file).name}", quiet=as_json) as progress:
            entries = store.write(
                _with_instruments(bars, records),
                what=what,
                session_kind=session_kind,
                replace=how,
                progress=progress,
            )
        done.append({"file": file, "notes": bars.meta["notes"], "written": [_entry(e) for e in entries]})
        if not as_json:
            typer.echo(f"{file}:")
            for note in bars.meta["notes"]:
                typer.echo(f"  {note}")
            _show_entries(entries[:SHOWN_FINDINGS], store.path)
    if as_json:
        print_json({"catalog": store.path, "files": done})


def _with_instruments(bars: Bars, records: list[Any]) -> Bars:
    from dataclasses import replace

    return replace(bars, instruments=tuple(records))


@app.command("fetch")
def fetch_command(  # noqa: PLR0917  # typer reads options from parameters
    symbols: Annotated[
        list[str], typer.Argument(metavar="SYMBOL...", show_default=False, help="Such as AAPL or 'BRK B'.")
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="DATE", show_default=False, help="First day, included.")
    ],
    bar_size: Annotated[str, typer.Option("--bar-size", metavar="SIZE", help="'1 day', '1 min' …")] = "1 day",
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="Last day, included; else now.")
    ] = None,
    what: Annotated[str, typer.Option("--what", help="TRADES, MIDPOINT, BID or ASK.")] = "TRADES",
    extended: Annotated[
        bool, typer.Option("--extended", help="Also bars outside regular trading hours.")
    ] = False,
    calendar: Annotated[str, typer.Option("--calendar", metavar="NAME", help="Exchange calendar.")] = "XNYS",
    security_type: SecurityTypeOption = "STK",
    exchange: ExchangeOption = "SMART",
    currency: CurrencyOption = "USD",
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Drop what is stored of them and fetch all again, as after a split."),
    ] = False,
    gateway: GatewayOption = DEFAULT_PLACE,
    client_id: Annotated[
        int, typer.Option("--client-id", min=0, help="Who we are at the gateway.")
    ] = FETCHING_ID,
    catalog: CatalogPlace = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Fetch history from Interactive Brokers into the catalog, from where it was left.

    Each chunk is stored when it is complete, so a fetch that was interrupted goes on when it is run again.
    """
    from quantlab.broker.history import fetch

    store = _open(catalog)
    with connected(gateway, client_id) as client, _progress("fetching", quiet=as_json) as progress:
        report = fetch(
            client,
            symbols,
            bar_size,
            since,
            until=until,
            catalog=store,
            what=what,
            rth=not extended,
            calendar=calendar,
            security_type=security_type,
            exchange=exchange,
            currency=currency,
            fresh=fresh,
            progress=progress,
        )
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(report), "n_bars": report.n_bars})
        return
    rows = [(s.symbol, s.n_requests, s.n_bars, s.first, s.last) for s in report.series]
    title = f"catalog {report.catalog}, bars of {report.bar_size}"
    print_table(("symbol", "requests", "new bars", "first", "last"), rows, title=title)
    for series in report.series:
        for note in series.notes:
            typer.echo(f"{series.symbol}: {note}")


@app.command("list")
def list_command(
    symbols: SymbolsOption = None,
    bar_size: BarSizeFilter = None,
    catalog: CatalogPlace = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List what the catalog holds, and where it comes from."""
    from quantlab.barsize import BarSize

    store = _open(catalog)
    entries = store.list()
    wanted = _split(symbols)
    for name in wanted:
        if name not in {e.symbol for e in entries}:
            raise UnknownNameError(
                "symbol", name, [e.symbol for e in entries], f"The catalog is {store.path}."
            )
    size = None if bar_size is None else str(BarSize.parse(bar_size))
    entries = tuple(
        e for e in entries if (not wanted or e.symbol in wanted) and (size is None or e.bar_size == size)
    )
    if as_json:
        print_json({"catalog": store.path, "series": [_entry(e) for e in entries]})
    elif entries:
        _show_entries(entries, store.path)
    else:
        typer.echo(
            f"catalog {store.path} is empty; 'quantlab data sample' or 'quantlab data import' fills it."
        )


@app.command("verify")
def verify_command(  # noqa: PLR0917  # typer reads options from parameters
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", show_default=False, help="A CSV or Parquet file; else the catalog."),
    ] = None,
    symbols: SymbolsOption = None,
    bar_size: BarSizeFilter = None,
    stamp: StampChoice = None,
    tz: ZoneOption = None,
    calendar: CalendarOption = None,
    columns: ColumnsOption = None,
    date_format: DateFormatOption = None,
    catalog: CatalogPlace = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Look for defects in prices. Ends with 1 if there is one that makes a backtest wrong."""
    names = _split(symbols)
    if file is not None:
        from quantlab.data.importers import verify_file

        subject = file
        found = verify_file(
            file,
            symbols=names,
            bar_size=bar_size,
            stamp=stamp,
            tz=tz,
            calendar=calendar,
            columns=columns,
            date_format=date_format,
        )
    else:
        subject, found = _verify_stored(names, bar_size, catalog, quiet=as_json)
    if as_json:
        head = {"subject": subject, "ok": found.ok, "n_series": found.n_series, "n_bars": found.n_bars}
        print_json({**head, "findings": found.to_records(), "skipped": list(found.skipped)})
    else:
        _show_findings(subject, found)
    if not found.ok:
        raise typer.Exit(FAILED)


def _verify_stored(
    names: list[str], bar_size: str | None, catalog: str | None, *, quiet: bool
) -> tuple[str, Findings]:
    """Verify the catalog, or the sample prices where no catalog is named and none is there."""
    place = _place(catalog)
    if catalog is None and CATALOG_VARIABLE not in os.environ and not Path(place).exists():
        from quantlab.data.checks import verify
        from quantlab.data.sample import SAMPLE_SYMBOLS, sample

        bars = sample(names or list(SAMPLE_SYMBOLS), bar_size or "1 day")
        return "the sample prices (there is no ./catalog)", verify(bars)
    store = _open(catalog)
    with _progress("verifying", quiet=quiet) as progress:
        return f"catalog {store.path}", store.verify(names or None, bar_size, progress=progress)


def _show_findings(subject: str, found: Findings) -> None:
    typer.echo(f"{subject}: {found.n_series} series, {found.n_bars} bars")
    ranked = [r for severity in ("error", "warning", "info") for r in found.of(severity)]
    for record in ranked[:SHOWN_FINDINGS]:
        typer.echo(f"  {record}")
    if len(ranked) > SHOWN_FINDINGS:
        typer.echo(f"  … and {len(ranked) - SHOWN_FINDINGS} more; --json prints all of them")
    for text in found.skipped:
        typer.echo(f"  not checked: {text}")
    counts = ", ".join(f"{len(found.of(s))} {s}" for s in ("error", "warning", "info"))
    typer.echo(counts if ranked else "nothing found")
