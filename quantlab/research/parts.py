"""What a sweep has done so far, as Parquet files in a folder, so that a killed sweep goes on where it was."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.engine.files import write_text
from quantlab.errors import ParameterError
from quantlab.kernels.stats import STATS
from quantlab.research.trial import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

__all__ = ["MANIFEST", "Parts"]

MANIFEST = "sweep.json"
"""File that says whose parts they are."""

FORMAT = 1


class Parts:
    """Folder of the parts of one sweep.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there. A folder that has files of another sweep, or of something else, is refused.
    identity : mapping of str to str
        What makes two sweeps the same: hashes of source, data, settings, trials and kernels.

    Raises
    ------
    ParameterError
        For the folder of another sweep (says what differs), and for one that cannot be used.
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, str]) -> None:
        self.folder = Path(folder)
        self.identity = dict(identity)
        self._full = False
        manifest = self.folder / MANIFEST
        try:
            if manifest.is_file():
                self._compare(json.loads(manifest.read_text(encoding="utf-8")))
                return
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise ParameterError(
                    f"resume={str(folder)!r} is not the folder of a sweep: it has no {MANIFEST} and is not empty. "
                    "Name a new folder, or that of a sweep that was interrupted."
                )
            write_text(manifest, json.dumps({"format": FORMAT, **self.identity}, indent=1))
        except OSError as error:
            raise ParameterError(f"resume={str(folder)!r} cannot be used: {error}.") from error
        except ValueError as error:
            if isinstance(error, ParameterError):
                raise
            raise ParameterError(
                f"{manifest} cannot be read ({error}); name a new folder, or remove this one."
            ) from error

    def _compare(self, there: Any) -> None:
        if not isinstance(there, dict) or there.get("format") != FORMAT:
            raise ParameterError(
                f"resume={str(self.folder)!r} was written by another version of quantlab; name a new folder."
            )
        differing = [name for name, value in self.identity.items() if there.get(name) != value]
        if differing:
            raise ParameterError(
                f"resume={str(self.folder)!r} belongs to another sweep: {', '.join(differing)} differ. Give what it "
                "was begun with, or name a new folder."
            )

    def chunks(self) -> Iterator[Chunk]:
        """Give what is there already; a file that cannot be read is left out, and its trials are run again."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in sorted(self.folder.glob("trials-*.parquet")):
            try:
                table = pq.read_table(path)
                yield _chunk_of(table)
            except (OSError, pa.ArrowException, KeyError, ValueError) as error:
                warnings.warn(
                    f"{path} cannot be read and its trials are run again: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def write(self, chunk: Chunk) -> None:
        """Write a part, whole or not at all. A disk that is full ends the writing, not the sweep."""
        import pyarrow.parquet as pq

        if self._full:
            return
        target = self.folder / f"trials-{chunk.start:012d}-{chunk.stop:012d}.parquet"
        temporary = ""
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".trials-", suffix=".tmp")
            with os.fdopen(handle, "wb") as stream:
                pq.write_table(_table_of(chunk), stream, compression="zstd")
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(target)
        except OSError as error:
            Path(temporary or target).unlink(missing_ok=True)
            self._full = True
            warnings.warn(
                f"parts of this sweep can no longer be written to {self.folder} ({error}); those written stay good, "
                "the sweep goes on in memory.",
                RuntimeWarning,
                stacklevel=2,
            )


def _table_of(chunk: Chunk) -> pa.Table:
    import pyarrow as pa

    n_trials, n_parts, _ = chunk.moments.shape
    columns: dict[str, Any] = {"trial": np.arange(chunk.start, chunk.stop)}
    columns |= {name: chunk.stats[:, j] for j, name in enumerate(STATS)}
    columns["ruin_bar"] = chunk.ruin_bar
    columns["error"] = pa.array([chunk.errors.get(chunk.start + k) for k in range(n_trials)], pa.string())
    for part in range(n_parts):
        columns[f"sum_{part}"] = chunk.moments[:, part, 0]
        columns[f"squares_{part}"] = chunk.moments[:, part, 1]
    return pa.table(columns)


def _chunk_of(table: pa.Table) -> Chunk:
    start, n_trials = int(table["trial"][0].as_py()), table.num_rows
    n_parts = sum(name.startswith("squares_") for name in table.column_names)

    def column(name: str) -> Any:
        return table[name].to_numpy()

    moments = np.empty((n_trials, n_parts, 2))
    for part in range(n_parts):
        moments[:, part, 0], moments[:, part, 1] = column(f"sum_{part}"), column(f"squares_{part}")
    errors = {start + k: text for k, text in enumerate(table["error"].to_pylist()) if text is not None}
    return Chunk(
        start=start,
        stats=np.column_stack([column(name) for name in STATS]),
        moments=moments,
        ruin_bar=column("ruin_bar").astype(np.int64),
        errors=errors,
        seconds=(0.0, 0.0),
    )
