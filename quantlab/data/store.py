"""Bars of one symbol in one Parquet file: safe names, atomic writes, and a content hash that is checked."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from quantlab.bars import COLUMNS, Bars
from quantlab.errors import CatalogError, DataError, QuantlabError
from quantlab.model import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray
    from pyarrow.fs import FileSystem

__all__ = [
    "FORMAT",
    "LocalFolder",
    "RemoteFolder",
    "bars_to_table",
    "file_name",
    "label",
    "read_header",
    "table_to_bars",
]

FORMAT = 1
"""Version of the file layout; a reader refuses files of a later one."""

HEADER_KEY = b"quantlab"
"""Key of the provenance (JSON) in a Parquet file's metadata."""

SUFFIX = ".parquet"
TEMPORARY = ".tmp"
LOCK = ".lock"

NAME_LIMIT = 200
"""Longest encoded symbol: file systems end at 255 bytes, and the temporary name is longer than the final
one."""

RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))}
"""Names that Windows keeps for devices, whatever the suffix."""

FIELD = "field."
"""Prefix of the columns that hold `Bars.fields`, so that a field can never shadow a price."""


def file_name(symbol: str) -> str:
    """File name of a symbol: odd characters percent-encoded, so that no symbol leaves the folder.

    Raises
    ------
    DataError
        For an empty symbol and for one too long for a file name.
    """
    if not symbol.strip():
        raise DataError("an empty symbol cannot be stored; give every asset a symbol.")
    try:
        name = quote(symbol, safe="-_.")
    except UnicodeEncodeError as error:
        raise DataError(
            f"symbol {symbol!r} holds characters that no file name can carry: {error}."
        ) from error
    edge = name[0] == "." or name.split(".")[0].upper() in RESERVED
    name = (f"%{ord(name[0]):02X}" if edge else name[0]) + name[1:]
    if len(name) > NAME_LIMIT:
        raise DataError(
            f"symbol {symbol[:40]!r}… is too long to be a file name ({len(name)} > {NAME_LIMIT})."
        )
    return name + SUFFIX


def label(bars: Bars, row: int) -> str:
    """Name of a bar in text: its session's date, or within the day its close in UTC."""
    if bars.intraday:
        return str(np.datetime64(int(bars.time[row]), "ns").astype("M8[s]")) + "Z"
    return str(np.datetime64(int(bars.session[row]), "D"))


# -- bars and tables --------------------------------------------------------------------------------------


def _digest(header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> str:
    """Hash of what a file says: every column to the bit, and what gives the columns their meaning."""
    meaning = {k: header[k] for k in ("format", "symbol", "bar_size", "calendar", "instrument")}
    digest = hashlib.blake2b(json.dumps(meaning, sort_keys=True).encode(), digest_size=16)
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.size}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _arrays(bars: Bars) -> dict[str, NDArray[Any]]:
    """Columns of bars of one symbol, in file order."""
    arrays: dict[str, NDArray[Any]] = {"time": bars.time, "session": bars.session}
    arrays |= {c: getattr(bars, c)[:, 0] for c in COLUMNS}
    if not bars.is_raw:
        arrays["factor"] = bars.factor[:, 0]
    if not bars.member.all():
        arrays["member"] = bars.member[:, 0]
    for name in sorted(bars.fields):
        column = bars.fields[name][:, 0]
        if column.dtype.kind not in "biuf":
            raise DataError(f"field {name!r} holds {column.dtype}, not numbers; only numbers can be stored.")
        arrays[FIELD + name] = column
    return arrays


def bars_to_table(bars: Bars, provenance: dict[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
    """Table of bars of one symbol, with its header in the metadata.

    Parameters
    ----------
    bars : Bars of one asset
    provenance : dict
        JSON-able; what the catalog knows beyond the bars.

    Returns
    -------
    table : pyarrow.Table
        ``time`` (timestamp, ns, UTC), ``session`` (date), prices, volume, and where they say something
        ``factor``, ``member`` and ``field.<name>``.
    header : dict
        Provenance, symbol, span and content hash.
    """
    import pyarrow as pa

    arrays = _arrays(bars)
    header = {
        **provenance,
        "format": FORMAT,
        "symbol": bars.symbols[0],
        "bar_size": str(bars.bar_size),
        "calendar": bars.calendar,
        "instrument": asdict(bars.instruments[0]),
        "n_bars": bars.n_bars,
        "first": label(bars, 0),
        "last": label(bars, -1),
    }
    header["content_hash"] = _digest(header, arrays)
    columns = {name: pa.array(array) for name, array in arrays.items()}
    columns["time"] = columns["time"].cast(pa.timestamp("ns", tz="UTC"))
    columns["session"] = pa.array(arrays["session"].astype(np.int32)).cast(pa.date32())
    table = pa.table(columns)
    return table.replace_schema_metadata({HEADER_KEY: json.dumps(header).encode()}), header


def read_header(metadata: dict[bytes, bytes] | None, where: str) -> dict[str, Any]:
    """Header of a file from its Parquet metadata.

    Raises
    ------
    CatalogError
        For a Parquet file that is none of a catalog, and for one of a later format.
    """
    text = (metadata or {}).get(HEADER_KEY)
    if text is None:
        raise CatalogError(
            f"{where} is a Parquet file, but none that a catalog wrote. Move it out of the catalog, or "
            f"import it: quantlab data import {where}"
        )
    try:
        header: dict[str, Any] = json.loads(text)
        later = header["format"] > FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(where, f"its header cannot be read ({type(error).__name__}: {error})") from error
    if later:
        raise CatalogError(
            f"{where} has format {header['format']}, and this quantlab reads up to {FORMAT}; update quantlab."
        )
    return header


def table_to_bars(table: pa.Table, where: str) -> tuple[Bars, dict[str, Any]]:
    """Bars and header of a file's table, with the content hash checked.

    Raises
    ------
    CatalogError
        For content that is not what was written.
    """
    import pyarrow as pa

    header = read_header(table.schema.metadata, where)
    try:
        arrays = {"time": table["time"].cast(pa.int64()).to_numpy()}
        arrays["session"] = table["session"].cast(pa.int32()).to_numpy().astype(np.int64)
        arrays |= {n: table[n].to_numpy() for n in table.column_names if n not in arrays}
        intact = _digest(header, arrays) == header["content_hash"]
        if intact:
            return _build(arrays, header), header
    except (KeyError, TypeError, pa.ArrowException, QuantlabError) as error:
        raise _damaged(where, f"{type(error).__name__}: {error}") from error
    raise _damaged(where, "its content does not match the hash that was stored with it")


def _build(arrays: dict[str, NDArray[Any]], header: dict[str, Any]) -> Bars:
    column = {n: a[:, None] for n, a in arrays.items() if n not in {"time", "session"}}
    return Bars(
        time=arrays["time"],
        session=arrays["session"],
        **{c: column[c] for c in COLUMNS},
        factor=column.get("factor"),  # type: ignore[arg-type]  # None is raw
        member=column.get("member"),  # type: ignore[arg-type]  # None is always
        fields={n.removeprefix(FIELD): a for n, a in column.items() if n.startswith(FIELD)},
        instruments=(Instrument(**header["instrument"]),),
        bar_size=header["bar_size"],
        meta={"calendar": header["calendar"]} if header["calendar"] else {},
    )


def _damaged(where: str, why: str) -> CatalogError:
    return CatalogError(
        f"{where} is damaged: {why}. Nothing else in the catalog is touched. Get these bars again and write "
        "them with replace='all' (quantlab data import … --replace all), or delete the file."
    )


# -- folders ----------------------------------------------------------------------------------------------


class _Folder:
    """What both kinds of folder share: reading through a pyarrow file system."""

    fs: FileSystem
    root: str

    def path(self, *parts: str) -> str:
        """Path below the root."""
        return "/".join((self.root.rstrip("/"), *parts))

    def exists(self, name: str) -> bool:
        """Whether a file of this name (``folder/file``) is there."""
        from pyarrow.fs import FileType

        return bool(self.fs.get_file_info(self.path(name)).type == FileType.File)

    def names(self) -> list[str]:
        """Every Parquet file, as ``folder/file``, sorted; temporary files are not listed."""
        from pyarrow.fs import FileSelector, FileType

        infos = self.fs.get_file_info(FileSelector(self.root, allow_not_found=True, recursive=True))
        start = len(self.root.rstrip("/")) + 1
        found = [i.path[start:] for i in infos if i.type == FileType.File and i.path.endswith(SUFFIX)]
        return sorted(n for n in found if n.count("/") == 1 and not n.split("/")[1].startswith("."))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return int(self.fs.get_file_info(self.path(name)).size)

    def read(self, name: str) -> pa.Table:
        """Whole table of a file.

        Raises
        ------
        CatalogError
            For a file that cannot be read as Parquet.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self.fs.open_input_file(self.path(name)) as source:
                return pq.ParquetFile(source).read()
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.path(name), f"it cannot be read as Parquet ({error})") from error

    def header(self, name: str) -> dict[str, Any]:
        """Header of a file, read from its footer alone."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        where = self.path(name)
        try:
            with self.fs.open_input_file(where) as source:
                metadata = pq.read_metadata(source).metadata
        except (pa.ArrowException, OSError) as error:
            raise _damaged(where, f"it cannot be read as Parquet ({error})") from error
        return read_header(metadata, where)


class LocalFolder(_Folder):
    """A folder on this machine. A file is either the old one, whole, or the new one, whole.

    Parameters
    ----------
    root : path
        Folder of the catalog; made at the first write.
    """

    def __init__(self, root: str | Path) -> None:
        from pyarrow.fs import LocalFileSystem

        self.fs = LocalFileSystem()
        self.folder = Path(root).expanduser().absolute()
        self.root = self.folder.as_posix()
        if self.folder.exists() and not self.folder.is_dir():
            raise CatalogError(f"{self.folder} is a file; a catalog is a folder. Give another path.")

    @contextmanager
    def writing(self, group: str) -> Iterator[Callable[[str, pa.Table], None]]:
        """Hold the folder `group` for writing; yields ``write(file, table)``.

        One process writes into a folder at a time. Whoever holds it removes what a killed one left behind.

        Raises
        ------
        CatalogError
            Where the folder cannot be made or written.
        """
        folder = self.folder / group
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / LOCK):
                for left in folder.glob(f".*{TEMPORARY}"):
                    left.unlink(missing_ok=True)
                yield lambda name, table: _write_atomically(folder / name, table)
                _sync_folder(folder)
                _sync_folder(self.folder)
        except OSError as error:
            raise CatalogError(
                f"{folder} cannot be written: {error}. Nothing stored is changed by a failed write; free "
                "space or give another --catalog."
            ) from error


class RemoteFolder(_Folder):
    """A folder on a file system that pyarrow reaches by a url, such as ``s3://bucket/catalog``.

    Object stores show a file only when it is complete; elsewhere the move at the end does that. There is no
    lock: let one process write at a time.
    """

    def __init__(self, url: str) -> None:
        from pyarrow.fs import FileSystem

        try:
            self.fs, self.root = FileSystem.from_uri(url)
        except (OSError, ValueError) as error:
            raise CatalogError(
                f"catalog {url!r} cannot be reached: {error}. Give a folder, or a url that pyarrow knows "
                "(file, s3, gs, abfs, hdfs)."
            ) from error

    @contextmanager
    def writing(self, group: str) -> Iterator[Callable[[str, pa.Table], None]]:
        """Yield ``write(file, table)``."""
        import pyarrow.parquet as pq

        self.fs.create_dir(self.path(group), recursive=True)

        def write(name: str, table: pa.Table) -> None:
            temporary = self.path(group, f".{name}{TEMPORARY}")
            pq.write_table(table, temporary, filesystem=self.fs, **_options(table))
            self.fs.move(temporary, self.path(group, name))

        try:
            yield write
        except OSError as error:
            raise CatalogError(f"{self.path(group)} cannot be written: {error}.") from error


def _options(table: pa.Table) -> dict[str, Any]:
    """Writer options: prices hardly repeat, so dictionaries cost time; times rise by small steps."""
    return {
        "compression": "zstd",
        "use_dictionary": False,
        "column_encoding": {"time": "DELTA_BINARY_PACKED"},
        "write_statistics": [n for n in ("time", "session") if n in table.column_names],
    }


def _write_atomically(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        with temporary.open("wb") as sink:
            pq.write_table(table, sink, **_options(table))
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power cut, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system drops when its holder dies."""
    with path.open("a+b") as handle:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
