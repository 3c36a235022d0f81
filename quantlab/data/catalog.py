"""The catalog: stored bars with their provenance, one Parquet file per bar size and symbol."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from quantlab.bars import Bars
from quantlab.barsize import BarSize
from quantlab.data.findings import Finding, Findings
from quantlab.data.merge import lay_over, refuse_other_kind, with_record
from quantlab.data.store import (
    LocalFolder,
    RemoteFolder,
    bars_to_table,
    file_name,
    label,
    table_to_bars,
)
from quantlab.errors import CatalogError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from quantlab.data.sessions import Sessions

__all__ = ["Catalog", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalog knows of one stored series.

    Attributes
    ----------
    symbol, bar_size, calendar
        As in `Bars`.
    first, last : str
        Labels of the first and the last bar: session dates, or closes in UTC for intraday bars.
    n_bars : int
        Number of bars.
    source : dict
        Where the bars come from, as given when they were written; the newest of `history`.
    what : str
        What the prices are, in Interactive Brokers' words: ``"TRADES"``, ``"MIDPOINT"``, ``"BID"`` …
    session_kind : str
        ``"regular"`` or ``"extended"`` trading hours.
    adjustment : str
        What was done to the prices.
    written : str
        Time of the last write, ISO, UTC.
    content_hash : str
        Hash of every column, checked at each reading.
    version : str
        quantlab that wrote the file.
    instrument : dict
        Fields of the instrument.
    history : list of dict
        The writes that made the file, since it was last replaced whole: source, first, last, written.
    path : str
        The file.
    n_bytes : int
        Its size.
    """

    symbol: str
    bar_size: str
    calendar: str | None
    first: str
    last: str
    n_bars: int
    source: dict[str, Any]
    what: str
    session_kind: str
    adjustment: str
    written: str
    content_hash: str
    version: str
    instrument: dict[str, Any]
    history: list[dict[str, Any]]
    path: str
    n_bytes: int


class Catalog:
    """Stored bars.

    Parameters
    ----------
    path_or_url : path or str
        A folder, made at the first write, or a url that `pyarrow.fs` knows (``s3://…``).
    clock : callable, optional
        Gives the time that is recorded as the time of writing; the system's clock by default.

    Raises
    ------
    CatalogError
        For a path that is a file, or a url that cannot be reached.

    Notes
    -----
    Each file is replaced as a whole or not at all: a process killed while writing leaves the old file and at
    most a temporary one, which the next write removes. A write of many symbols is one such step per symbol.
    """

    def __init__(self, path_or_url: str | Path, *, clock: Callable[[], datetime] | None = None) -> None:
        text = str(path_or_url)
        self._folder: LocalFolder | RemoteFolder
        if "://" in text and not text.startswith("file://"):
            self._folder = RemoteFolder(text)
        else:
            self._folder = LocalFolder(_local_path(text))
        self._clock = clock or (lambda: datetime.now(UTC))

    def __repr__(self) -> str:
        return f"Catalog({self.path!r})"

    @property
    def path(self) -> str:
        """Folder or path of the catalog."""
        return self._folder.root

    # -- reading ---------------------------------------------------------------------------------------

    def bars(self, symbols: str | Sequence[str], bar_size: str, start: Any = None, end: Any = None) -> Bars:
        """Read bars of one symbol, or of several on the union of their times.

        Parameters
        ----------
        symbols : str or sequence of str
            What to read, in this order.
        bar_size : str
            Interval of one bar, as it was stored (longer bars: ``.resample``).
        start, end : str, date, datetime or Timestamp, optional
            Both inclusive, as in `Bars.between`.

        Returns
        -------
        Bars
            ``meta`` carries ``source``, by which `quantlab.data.source.load_source` reads them again,
            ``adjustment``, ``what``, ``session_kind`` and ``calendar`` where all symbols agree.

        Raises
        ------
        UnknownNameError
            For a symbol or a bar size that is not stored; says the nearest.
        CatalogError
            For a file that is damaged.
        DataError
            If no bar lies between `start` and `end`.
        """
        names = [symbols] if isinstance(symbols, str) else [str(s) for s in symbols]
        if not names:
            raise ParameterError("no symbol given; name at least one, or take catalog.symbols('1 day').")
        size = str(BarSize.parse(bar_size))
        parts = [self._read(name, size) for name in names]
        bars = parts[0] if len(parts) == 1 else Bars.join(parts)
        source = {"kind": "catalog", "path": self.path, "symbols": names, "bar_size": size}
        meta = {**bars.meta, "source": source}
        if "adjustment" not in meta:
            meta["adjustment"] = "; ".join(sorted({str(p.meta["adjustment"]) for p in parts}))
        bars = replace(bars, meta=meta)
        return bars if start is None and end is None else bars.between(start, end)

    def _read(self, symbol: str, size: str) -> Bars:
        name = _place(symbol, size)
        if not self._folder.exists(name):
            self._fail_unknown(symbol, size)
        bars, header = table_to_bars(self._folder.read(name), self._folder.path(name))
        if header["symbol"] != symbol:
            raise CatalogError(
                f"{self._folder.path(name)} holds {header['symbol']!r}, not {symbol!r}: this file system "
                "does not tell upper from lower case. Use the symbol as it is stored."
            )
        kept = {k: header[k] for k in ("what", "session_kind", "adjustment")}
        return replace(bars, meta={**bars.meta, **kept})

    def _fail_unknown(self, symbol: str, size: str) -> None:
        stored = self.list()
        sizes = sorted({e.bar_size for e in stored if e.symbol == symbol})
        if sizes:
            raise UnknownNameError(
                "bar size",
                size,
                sizes,
                f"These are stored for {symbol} in {self.path}; longer ones: .resample().",
            )
        advice = f"The catalog is {self.path}; 'quantlab data import' adds to it."
        raise UnknownNameError("symbol", symbol, [e.symbol for e in stored if e.bar_size == size], advice)

    def symbols(self, bar_size: str) -> tuple[str, ...]:
        """Symbols that are stored at a bar size, sorted."""
        size = str(BarSize.parse(bar_size))
        return tuple(sorted(e.symbol for e in self.list() if e.bar_size == size))

    def list(self) -> tuple[Entry, ...]:
        """Every stored series, sorted by bar size and symbol, from the files' footers alone.

        Raises
        ------
        CatalogError
            For a file whose footer cannot be read (`verify` reports all of them).
        """
        return tuple(self._entry(name) for name in self._folder.names())

    def frame(self) -> pd.DataFrame:
        """`list` as a frame, one row a series."""
        import pandas as pd

        return pd.DataFrame([asdict(e) for e in self.list()], columns=list(Entry.__slots__))

    def _entry(self, name: str) -> Entry:
        header = self._folder.header(name)
        try:
            known = {k: header[k] for k in Entry.__slots__ if k not in {"path", "n_bytes", "source"}}
            source = header["history"][-1]["source"]
        except (KeyError, IndexError) as error:
            raise CatalogError(
                f"{self._folder.path(name)} lacks {error} in its header; write it again, or delete it."
            ) from error
        return Entry(**known, source=source, path=self._folder.path(name), n_bytes=self._folder.size(name))

    def verify(
        self,
        symbols: str | Sequence[str] | None = None,
        bar_size: str | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Findings:
        """Read every stored series, check its hash and its prices.

        Parameters
        ----------
        symbols, bar_size : optional
            What to verify; everything by default.
        progress : callable, optional
            Called with (done, all) after each series.

        Returns
        -------
        Findings
            Of `quantlab.data.checks.verify` for each series, and ``damaged_file`` where one cannot be read.

        Raises
        ------
        UnknownNameError
            For a symbol that is not stored.
        """
        from quantlab.data.checks import verify

        chosen = self._chosen(symbols, bar_size)
        found = Findings((), 0, 0, ())
        calendars: dict[str, Sessions] = {}
        for k, name in enumerate(chosen, start=1):
            try:
                bars, _ = table_to_bars(self._folder.read(name), self._folder.path(name))
                found += verify(bars, sessions=_sessions(bars, calendars))
            except CatalogError as error:
                symbol = name.split("/")[1].removesuffix(".parquet")
                advice = "Write the series again with replace='all', or delete the file."
                found += Findings(
                    (Finding("damaged_file", "error", symbol, "", "", 1, str(error), advice),), 1, 0, ()
                )
            if progress:
                progress(k, len(chosen))
        return found

    def _chosen(self, symbols: str | Sequence[str] | None, bar_size: str | None) -> Sequence[str]:
        names = self._folder.names()
        if bar_size is not None:
            folder = _group(str(BarSize.parse(bar_size)))
            names = [n for n in names if n.startswith(f"{folder}/")]
        if symbols is None:
            return names
        wanted = [symbols] if isinstance(symbols, str) else list(symbols)
        files = {file_name(s): s for s in wanted}
        missing = [s for f, s in files.items() if not any(n.endswith(f"/{f}") for n in names)]
        if missing:
            raise UnknownNameError("symbol", missing[0], [e.symbol for e in self.list()])
        return [n for n in names if n.split("/")[1] in files]

    # -- writing ---------------------------------------------------------------------------------------

    def write(
        self,
        bars: Bars,
        *,
        source: Mapping[str, Any] | str | None = None,
        what: str = "TRADES",
        session_kind: str = "regular",
        adjustment: str | None = None,
        replace: bool | Literal["all"] = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[Entry, ...]:
        """Store bars, each symbol in its file; bars of a stored symbol extend it.

        Parameters
        ----------
        bars : Bars
            What to store.
        source : mapping or str, optional
            Where they come from; ``bars.meta["source"]`` by default.
        what : str
            What the prices are: ``"TRADES"``, ``"MIDPOINT"``, ``"BID"``, ``"ASK"``, ``"ADJUSTED_LAST"`` …
        session_kind : {"regular", "extended"}
            Trading hours that the bars cover.
        adjustment : str, optional
            What was done to the prices; ``bars.meta["adjustment"]`` by default.
        replace : bool or "all"
            False: a stored bar of the same time must be equal, or nothing is written. True: within the span
            of the new bars the new ones stand, stored bars before and after it stay. ``"all"``: the stored
            series is dropped.
        progress : callable, optional
            Called with (done, all) after each symbol.

        Returns
        -------
        tuple of Entry
            One per symbol.

        Raises
        ------
        DataError
            If stored bars differ, or were made in another way (other hours, prices, adjustment, calendar,
            instrument).
        CatalogError
            If a stored file is damaged, or nothing can be written.
        """
        if session_kind not in {"regular", "extended"}:
            raise UnknownNameError("session kind", session_kind, ("regular", "extended"))
        if replace not in (False, True, "all"):
            raise UnknownNameError("replace", str(replace), ("False", "True", "all"))
        given = bars.meta.get("source", "unknown") if source is None else source
        text = adjustment or bars.meta.get("adjustment") or ("raw" if bars.is_raw else "adjusted by factor")
        provenance = {
            "what": what,
            "session_kind": session_kind,
            "adjustment": str(text),
            "written": self._clock().astimezone(UTC).isoformat(timespec="seconds"),
            "version": _version(),
        }
        origin = {"kind": given} if isinstance(given, str) else dict(given)
        size = str(bars.bar_size)
        # Every symbol is merged before any is written, so that a conflict leaves all files as they are.
        parts = [bars[s] for s in bars.symbols]
        with self._folder.writing(_group(size)) as write:
            tables = [self._merge(part, provenance, origin, replace) for part in parts]
            for k, (part, table) in enumerate(zip(parts, tables, strict=True), start=1):
                write(file_name(part.symbols[0]), table)
                if progress:
                    progress(k, len(parts))
        return tuple(self._entry(_place(s, size)) for s in bars.symbols)

    def _merge(
        self, new: Bars, provenance: dict[str, Any], origin: dict[str, Any], replace: bool | str
    ) -> pa.Table:
        """Table of the stored bars of a symbol with the new ones laid over them."""
        name = _place(new.symbols[0], str(new.bar_size))
        history: Sequence[dict[str, Any]] = ()
        merged = new
        if replace != "all" and self._folder.exists(name):
            where = self._folder.path(name)
            old, header = table_to_bars(self._folder.read(name), where)
            refuse_other_kind(old, header, new, provenance, where)
            merged = lay_over(old, new, where, replace=bool(replace))
            history = header["history"]
        written = provenance["written"]
        record = {
            "source": origin,
            "first": label(new, 0),
            "last": label(new, -1),
            "written": written,
        }
        return bars_to_table(merged, {**provenance, "history": with_record(history, record)})[0]


def _sessions(bars: Bars, known: dict[str, Sessions]) -> Sessions | None:
    """Sessions over the span of the bars; a calendar takes a quarter of a second, so it is loaded once."""
    from quantlab.data.sessions import sessions_between

    name = bars.calendar
    if name is None:
        return None
    first, last = int(bars.session[0]), int(bars.session[-1])
    held = known.get(name)
    if held is None or first < held.asked[0] or last > held.asked[1]:
        span = (first, last) if held is None else (min(first, held.asked[0]), max(last, held.asked[1]))
        held = known[name] = sessions_between(name, *span)
    return held


# -- places ----------------------------------------------------------------------------------------------


def _group(size: str) -> str:
    return size.replace(" ", "_")


def _place(symbol: str, size: str) -> str:
    return f"{_group(size)}/{file_name(symbol)}"


def _local_path(text: str) -> str:
    if not text.startswith("file://"):
        return text
    from pyarrow.fs import FileSystem

    return str(FileSystem.from_uri(text)[1])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("quantlab")
    except PackageNotFoundError:
        return "unknown"
