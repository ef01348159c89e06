"""Where results go: lines to a file or to the standard output as they come, or a table that is made in the end.

A sink that grows tells its length, by which the journal knows what is in it. A table (SQLite, Parquet) is written whole
from what the journal knows, beside its place, and takes its place when it is complete.
"""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from smtpprobe.errors import MissingExtraError, OptionError
from smtpprobe.scan.columns import COLUMNS, flat
from smtpprobe.scan.results import decode_result

ROWS_AT_ONCE: Final = 5_000
"""Rows that are held in memory while a table is written."""

FORMS: Final = {".csv": "csv", ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db": "sqlite", ".parquet": "parquet"}
"""Ending -> form; any other but `NOT_WRITTEN` is NDJSON."""

NOT_WRITTEN: Final = frozenset(
    (
        ".gz",
        ".zst",
        ".xz",
        ".bz2",
        ".zip",
        ".tsv",
        ".xlsx",
        ".xls",
        ".ods",
        ".arrow",
        ".feather",
        ".avro",
        ".html",
        ".md",
    )
)


def form_of(path: str) -> str:
    """Tell by the ending how results are written to a file: as ``ndjson``, ``csv``, ``sqlite`` or ``parquet``.

    Raises:
        OptionError: the ending promises a form that is not written.
    """
    ending = Path(path).suffix.lower()
    if ending in NOT_WRITTEN:
        raise OptionError(f"no results are written as {ending}; --out ends in .ndjson, .csv, .sqlite or .parquet")
    return FORMS.get(ending, "ndjson")


class Sink(Protocol):
    """Where results go as they come."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Add results, each a line of JSON without its end."""

    def length(self) -> int:
        """Hand everything to the system; the bytes that are in it now."""

    def close(self) -> None:
        """Let go of it."""


class Lines:
    """NDJSON, or CSV, in a file or on a stream."""

    def __init__(self, stream: BinaryIO, *, is_csv: bool = False, fields: tuple[str, ...] | None = None) -> None:
        self._stream = stream
        self._is_csv = is_csv
        self._fields = fields
        self._length = 0
        self._is_own = False
        """Nobody else has the stream, so that it is ours to close."""

    @classmethod
    def to_file(
        cls, path: str, *, is_csv: bool = False, fields: tuple[str, ...] | None = None, keep: int | None = None
    ) -> Lines:
        """Write to a file.

        Args:
            keep: go on behind so many bytes of what is there; None: begin anew.

        Raises:
            OSError: it cannot be opened.
            OptionError: it is shorter than that: somebody changed it.
        """
        file = Path(path)
        if keep is not None:
            size = file.stat().st_size if file.exists() else 0
            if size < keep:
                raise OptionError(f"{path} is shorter than the scan left it ({size} of {keep} bytes)")
        stream = file.open("r+b" if keep is not None and file.exists() else "wb")
        sink = cls(stream, is_csv=is_csv, fields=fields)
        sink._is_own = True
        if keep is not None:
            stream.truncate(keep)
            stream.seek(keep)
            sink._length = keep
        return sink

    def write(self, lines: Sequence[bytes]) -> None:
        data = self._narrow(lines) if self._is_csv or self._fields else b"".join([line + b"\n" for line in lines])
        self._stream.write(data)
        self._length += len(data)

    def length(self) -> int:
        self._stream.flush()
        return self._length

    def close(self) -> None:
        self._stream.flush()
        if self._is_own:
            with suppress(OSError):
                os.fsync(self._stream.fileno())
            self._stream.close()

    def _narrow(self, lines: Sequence[bytes]) -> bytes:
        fields = self._fields or tuple(COLUMNS)
        rows = [flat(decode_result(line)) for line in lines]
        if not self._is_csv:
            return b"".join(msgspec.json.encode({each: row[each] for each in fields}) + b"\n" for row in rows)
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if self._length == 0 and rows:
            writer.writerow(fields)
        writer.writerows([_cell(row[each]) for each in fields] for row in rows)
        return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    """A value for a spreadsheet, which must not take a server's words for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        value = value.replace("\r", " ")  # the writer does not quote it, and readers take it for the end of a row
        if value[:1] in ("=", "+", "-", "@", "\t"):
            return "'" + value
    return value


class Nothing:
    """A sink for results that are written in the end."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Forget them: the journal has them."""

    def length(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to do."""


# --- tables ---------------------------------------------------------------------------------------------------------


def write_sqlite(path: str, lines: Iterable[bytes], fields: tuple[str, ...] | None) -> None:
    """Write a table ``result`` to an SQLite file: flat columns, and ``json`` with the whole.

    Raises:
        OSError: it cannot be written; what stood there before is untouched.
    """
    names = fields or tuple(COLUMNS)
    kinds = {int: "INTEGER", bool: "INTEGER", str: "TEXT"}
    columns = ", ".join(f'"{each}" {kinds[COLUMNS[each]]}' for each in names)
    draft = Path(f"{path}.part")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(draft)) as db:
            db.execute("PRAGMA journal_mode = OFF")
            db.execute(f"CREATE TABLE result({columns}, json TEXT NOT NULL)")
            marks = ", ".join("?" * (len(names) + 1))
            for batch in _batched(lines):
                rows = [(*(row[each] for each in names), line.decode()) for line, row in batch]
                db.executemany(f"INSERT INTO result VALUES({marks})", rows)
                db.commit()
        draft.replace(path)
    except sqlite3.Error as error:
        draft.unlink(missing_ok=True)
        raise OSError(f"{path}: {error}") from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_parquet(path: str, lines: Iterable[bytes], fields: tuple[str, ...] | None) -> None:
    """Write a Parquet file: flat columns, and ``result`` with the whole as JSON.

    Raises:
        OSError: it cannot be written; what stood there before is untouched.
        MissingExtraError: pyarrow is not installed.
    """
    draft = Path(f"{path}.part")
    try:
        fill_parquet(str(draft), lines, fields)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def fill_parquet(where: str | BinaryIO, lines: Iterable[bytes], fields: tuple[str, ...] | None) -> None:
    """Write the same to a path or a stream as it is.

    Raises:
        OSError: it cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("writing Parquet", "parquet") from None
    schema = parquet_schema(fields)
    with parquet.ParquetWriter(where, schema, compression="zstd") as writer:
        for batch in _batched(lines):
            writer.write_table(arrow.Table.from_pylist([table_row(line, row) for line, row in batch], schema))


def parquet_schema(fields: tuple[str, ...] | None) -> Any:
    """The Arrow schema of the rows of a Parquet file."""
    import pyarrow as arrow

    kinds = {int: arrow.int64(), bool: arrow.bool_(), str: arrow.string()}
    columns = [(each, kinds[COLUMNS[each]]) for each in fields or COLUMNS]
    return arrow.schema([*columns, ("result", arrow.string())])


def table_row(line: bytes, row: dict[str, Any]) -> dict[str, Any]:
    """A row with the whole result beside its columns."""
    return {**row, "result": line.decode()}


def _batched(lines: Iterable[bytes]) -> Iterator[list[tuple[bytes, dict[str, Any]]]]:
    batch: list[tuple[bytes, dict[str, Any]]] = []
    for line in lines:
        batch.append((line, flat(decode_result(line))))
        if len(batch) >= ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
