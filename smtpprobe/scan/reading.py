"""Taking the targets of a scan in: a list, a table or NDJSON, perhaps compressed, with whatever people keep in them.

A bad line is a fact about the input, never the end of the scan: it is counted, the first few are kept to be shown, and
the reading goes on. Nothing is held in memory but the line at hand.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from smtpprobe.errors import MissingExtraError, OptionError, TargetError
from smtpprobe.evidence import Target, TargetKind
from smtpprobe.names import quoted
from smtpprobe.targets import parse_target

MAX_LINE: Final = 64 * 1024
"""Characters. A longer line is no list of targets; a table may have long ones, up to here."""

MAX_SHOWN: Final = 5
"""So many bad lines are kept to be shown."""

STDIN: Final = "-"

_IPV4: Final = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)


class Entry(msgspec.Struct, frozen=True):
    """One line that names a target."""

    line: int
    """From 1; in a table, the line on which its row ends."""
    target: Target


class Bad(msgspec.Struct, frozen=True):
    """One line that names none."""

    line: int
    text: str
    why: str


def read_entries(path: str, column: str | None = None) -> Iterator[Entry | Bad]:
    """Read targets from a file, or from the standard input where the path is ``-``.

    The ending says what it is: ``.csv``, ``.tsv`` and ``.ndjson`` or ``.jsonl`` need a column; anything else is a list,
    in which ``#`` begins a comment and of several words on a line the first counts. ``.gz`` and ``.zst`` behind it are
    decompressed.

    Args:
        column: the column or field that names the target. For a list: the number of the word, from 1.

    Raises:
        OSError: it cannot be read.
        OptionError: there is no such column, or none is named where one is needed.
        MissingExtraError: it is compressed with zstd, which needs a package.
    """
    kind = "".join(Path(path).suffixes[-2:]).lower()
    with _opened(path) as stream:
        if ".ndjson" in kind or ".jsonl" in kind:
            yield from _of_objects(stream, _needed(column, path))
        elif ".csv" in kind or ".tsv" in kind or (column is not None and not column.isdigit()):
            yield from _of_table(stream, _needed(column, path), "\t" if ".tsv" in kind else ",")
        else:
            yield from _of_list(stream, int(column) if column is not None else 1)


def _needed(column: str | None, path: str) -> str:
    if column is None:
        raise OptionError(f"{quoted(path)} has columns; say which one names the target: --column NAME")
    return column


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    if path == STDIN:
        yield io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", errors="backslashreplace")
        return
    with Path(path).open("rb") as raw:
        if path.lower().endswith(".gz"):
            unpacked: Any = gzip.GzipFile(fileobj=raw)
        elif path.lower().endswith(".zst"):
            unpacked = _unzstd(raw)
        else:
            unpacked = raw
        yield io.TextIOWrapper(unpacked, "utf-8-sig", errors="backslashreplace")


def _unzstd(raw: IO[bytes]) -> Any:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("reading .zst", "scan") from None
    return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)


def _of_list(stream: IO[str], word: int) -> Iterator[Entry | Bad]:
    for number, text in _lines(stream):
        content = text.partition("#")[0].split() if "#" in text or " " in text or "\t" in text else [text]
        if not content or not content[0]:
            continue
        if len(content) < word:
            yield Bad(number, _shown(text), f"there is no word number {word}")
        else:
            yield _entry(number, content[word - 1])


def _of_table(stream: IO[str], column: str, delimiter: str) -> Iterator[Entry | Bad]:
    csv.field_size_limit(MAX_LINE)
    rows = csv.reader((text.replace("\0", "") + "\n" for _, text in _lines(stream)), delimiter=delimiter)
    index = int(column) - 1 if column.isdigit() else None
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Bad(rows.line_num, "", str(error))
            continue
        if index is None:
            names = [name.strip().lower() for name in row]
            if column.strip().lower() not in names:
                raise OptionError(f"there is no column {quoted(column)}; there are {', '.join(map(quoted, row[:20]))}")
            index = names.index(column.strip().lower())
        elif any(row):
            text = row[index].strip() if index < len(row) else ""
            yield _entry(rows.line_num, text) if text else Bad(rows.line_num, _shown(delimiter.join(row)), "empty")


def _of_objects(stream: IO[str], field: str) -> Iterator[Entry | Bad]:
    for number, text in _lines(stream):
        if not text:
            continue
        try:
            value = msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
        except (msgspec.DecodeError, UnicodeError) as error:
            yield Bad(number, _shown(text), f"not JSON: {error}")
            continue
        named = value.get(field) if isinstance(value, dict) else None
        if isinstance(named, str) and named.strip():
            yield _entry(number, named.strip())
        else:
            yield Bad(number, _shown(text), f"no text in the field {quoted(field)}")


def _lines(stream: IO[str]) -> Iterator[tuple[int, str]]:
    """The lines without blanks around them; what is too long is cut, so that no file can fill the memory."""
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        while len(line) == MAX_LINE and not line.endswith("\n"):
            rest = stream.readline(MAX_LINE)
            if not rest or rest.endswith("\n"):
                break
        yield number, line.strip()


def _entry(number: int, text: str) -> Entry | Bad:
    if _IPV4.fullmatch(text):  # spares most of the parsing in a list of addresses
        return Entry(number, Target(text=text, kind=TargetKind.ENDPOINT, address=text))
    try:
        return Entry(number, parse_target(text))
    except TargetError as error:
        return Bad(number, _shown(text), str(error).partition(". A target looks like")[0])


def _shown(text: str) -> str:
    return text[:80]
