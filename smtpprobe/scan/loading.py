"""Reading the results of a scan back, one by one, from whatever they were kept in.

The first bytes say what a file is, whatever it is called: NDJSON, plain or compressed by gzip or zstd; Parquet with the
JSON of each result in the column ``result``; SQLite with it in the column ``json`` of the table ``result``. A record
that is no result is a value too, never the end of the reading: a scan that was cut off must still be of use. Nothing is
held in memory but the record at hand. A folder stands for the parts in it that a distributed scan wrote.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from smtpprobe.errors import EvidenceError, MissingExtraError
from smtpprobe.scan.results import JOURNAL_ENDING, RESULT_SCHEMA, SUCCESS, Result, decode_result
from smtpprobe.scan.unpacking import ZstdFrames

STDIN: Final = "-"

ZSTD_EXTRA: Final = "scan"
PARQUET_EXTRA: Final = "parquet"

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
"""A result of a domain with hundreds of servers has a few hundred kilobytes; a longer line is none."""

BATCH_ROWS: Final = 512
"""Rows of a Parquet file that are read at once."""

PARTS: Final = "part-*"

PARQUET_COLUMN: Final = "result"
SQLITE_QUERY: Final = "SELECT json FROM result"

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_SQLITE: Final = b"SQLite format 3\0"
_BOM: Final = b"\xef\xbb\xbf"


class Unreadable(NamedTuple):
    """A record that is no result."""

    number: int
    """Which line or row, from 1."""
    why: str


class _CutShortError(Exception):
    """The reading ends before the file does; the message says why."""


def read_results(path: str) -> Iterator[Result | Unreadable]:
    """Read the results of a file; ``-`` is the standard input, which must be NDJSON, plain or compressed.

    Of a folder, the files ``part-*`` are read in the order of their names.

    Raises:
        EvidenceError: the file cannot be read, or has no place where results would be; the message names it.
        MissingExtraError: its form needs a package that is not installed.
    """
    files = [] if path == STDIN else sorted(Path(path).glob(PARTS))
    if files:
        yield from _results_in(files)
        return
    if path != STDIN and Path(path).is_dir():
        raise EvidenceError(f"{path}: a folder without results; those of a distributed scan are named {PARTS}")
    name = "standard input" if path == STDIN else path
    number = 0
    try:
        for number, record in enumerate(_records(path), 1):
            if record is None:
                yield Unreadable(number, f"longer than {MAX_LINE_BYTES} bytes, or empty")
            elif record.strip():
                yield _result(number, record)
    except _CutShortError as error:
        yield Unreadable(number + 1, str(error))
    except OSError as error:
        raise EvidenceError(f"{name}: {error.strerror or error}") from error
    except EvidenceError as error:
        raise EvidenceError(f"{name}: {error}") from error


def is_finished(path: str) -> bool:
    """Tell whether nothing says that the scan into a file or folder was broken off or is still going on."""
    if path == STDIN:
        return True
    if any(Path(path).glob(PARTS)):
        return Path(path, SUCCESS).exists()
    return not Path(path + JOURNAL_ENDING).exists()


def _results_in(files: Iterable[Path]) -> Iterator[Result | Unreadable]:
    for file in files:
        for each in read_results(str(file)):
            yield Unreadable(each.number, f"{file.name}: {each.why}") if isinstance(each, Unreadable) else each


def _result(number: int, record: str | bytes) -> Result | Unreadable:
    try:
        result = decode_result(record)
    except EvidenceError as error:
        return Unreadable(number, str(error))
    if result.schema != RESULT_SCHEMA:
        return Unreadable(number, f"of another form, {result.schema[:80]!r} instead of {RESULT_SCHEMA!r}")
    return result


def _records(path: str) -> Iterator[str | bytes | None]:
    """The JSON of each record; None for one that has none or too much."""
    if path == STDIN:
        yield from _lines(*_unpacked(sys.stdin.buffer))
        return
    with Path(path).open("rb") as stream:
        start = stream.peek(len(_SQLITE))[: len(_SQLITE)]
        if start.startswith(_PARQUET):
            yield from _parquet(stream)
        elif start == _SQLITE:
            yield from _sqlite(Path(path))
        else:
            yield from _lines(*_unpacked(stream))


# --- lines ----------------------------------------------------------------------------------------------------------


def _unpacked(stream: IO[bytes]) -> tuple[IO[bytes], tuple[type[Exception], ...]]:
    """What a stream holds, decompressed where it is compressed, and what is raised where that is damaged."""
    peeking: Any = stream if hasattr(stream, "peek") else io.BufferedReader(cast("io.RawIOBase", stream))
    start = peeking.peek(len(_ZSTD))
    if start.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=peeking)), (EOFError, gzip.BadGzipFile, zlib.error)
    if start.startswith(_ZSTD):
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("reading zstd", ZSTD_EXTRA) from None
        reader = ZstdFrames(peeking, zstandard.ZstdDecompressor())
        return io.BufferedReader(reader), (EOFError, zstandard.ZstdError)
    return peeking, ()


def _lines(stream: IO[bytes], damages: tuple[type[Exception], ...]) -> Iterator[bytes | None]:
    try:
        line = stream.readline(MAX_LINE_BYTES).removeprefix(_BOM)
        while line:
            is_whole = len(line) < MAX_LINE_BYTES or line.endswith(b"\n")
            yield line if is_whole else None
            while not is_whole:
                rest = stream.readline(MAX_LINE_BYTES)
                is_whole = not rest or rest.endswith(b"\n")
            line = stream.readline(MAX_LINE_BYTES)
    except damages as error:
        raise _CutShortError(f"damaged from here on: {error}") from error


# --- Parquet and SQLite ---------------------------------------------------------------------------------------------


def _parquet(stream: IO[bytes]) -> Iterator[str | bytes | None]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
        failure: Any = import_module("pyarrow.lib").ArrowException
    except ImportError:
        raise MissingExtraError("reading Parquet", PARQUET_EXTRA) from None
    try:
        with parquet.ParquetFile(stream) as file:
            if PARQUET_COLUMN not in file.schema_arrow.names:
                raise EvidenceError(f"a Parquet file without the column {PARQUET_COLUMN!r}, so not of a scan")
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=[PARQUET_COLUMN]):
                yield from _texts(value.as_py() for value in batch.column(0))
    except failure as error:
        raise _CutShortError(f"damaged from here on: {error}") from error


def _sqlite(path: Path) -> Iterator[str | bytes | None]:
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.text_factory = bytes  # what is no UTF-8 is a broken record, not the end
            yield from _texts(value for (value,) in connection.execute(SQLITE_QUERY))
    except sqlite3.OperationalError as error:
        raise EvidenceError(f"an SQLite file, but not of a scan: {error}") from error
    except sqlite3.DatabaseError as error:
        raise _CutShortError(f"damaged from here on: {error}") from error


def _texts(values: Iterable[object]) -> Iterator[str | bytes | None]:
    """What records a column can hold."""
    for value in values:
        yield value if isinstance(value, (str, bytes)) and 0 < len(value) <= MAX_LINE_BYTES else None
