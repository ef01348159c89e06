"""Taking the targets of a scan in: a list, a table or NDJSON, perhaps compressed, with whatever people keep in them.

A bad line is a fact about the input, never the end of the scan: it is counted, the first few are kept to be shown, and
the reading goes on. Nothing is held in memory but the line at hand.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec

from smtpprobe.errors import OptionError, TargetError
from smtpprobe.evidence import Target, TargetKind
from smtpprobe.names import quoted
from smtpprobe.scan.unpacking import unpacked
from smtpprobe.targets import parse_target

MAX_LINE: Final = 64 * 1024
"""Characters. A longer line is no list of targets; a table may have long ones, up to here."""

MAX_DIGITS: Final = 6
"""Of the number of a column; no line has so many."""

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
        OSError: it cannot be read, or is compressed and damaged.
        OptionError: there is no such column, or none is named where one is needed.
        MissingExtraError: it is compressed with zstd, which needs a package.
    """
    kind = "".join(Path(path).suffixes[-2:]).lower()
    number = _number(column)
    with _opened(path) as stream:
        if ".ndjson" in kind or ".jsonl" in kind:
            yield from _of_objects(stream, _needed(column, path))
        elif ".csv" in kind or ".tsv" in kind or (column is not None and number is None):
            yield from _of_table(stream, _needed(column, path), number, "\t" if ".tsv" in kind else ",")
        else:
            yield from _of_list(stream, 1 if number is None else number)


def _number(column: str | None) -> int | None:
    """The number that a column is given by; None: it is given by its name, or not at all."""
    if column is None or not (column.isascii() and column.isdigit()):
        return None
    number = int(column[:MAX_DIGITS])
    if number == 0:
        raise OptionError("columns are counted from 1")
    return number


def _needed(column: str | None, path: str) -> str:
    if column is None:
        raise OptionError(f"{quoted(path)} has columns; say which one names the target: --column NAME")
    return column


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    if path == STDIN:
        yield io.TextIOWrapper(sys.stdin.buffer, "utf-8-sig", errors="backslashreplace")
        return
    with Path(path).open("rb") as raw, unpacked(path, raw) as stream:
        yield io.TextIOWrapper(stream, "utf-8-sig", errors="backslashreplace")


def _of_list(stream: IO[str], word: int) -> Iterator[Entry | Bad]:
    for number, text in _lines(stream):
        if text is None:
            yield _too_long(number)
            continue
        content = text.partition("#")[0].split() if "#" in text or " " in text or "\t" in text else [text]
        if not content or not content[0]:
            continue
        if len(content) < word:
            yield Bad(number, _shown(text), f"there is no word number {word}")
        else:
            yield _entry(number, content[word - 1])


def _of_table(stream: IO[str], column: str, number: int | None, delimiter: str) -> Iterator[Entry | Bad]:
    too_long: list[int] = []

    def lines() -> Iterator[str]:
        for number, text in _lines(stream):
            if text is None:
                too_long.append(number)
            yield "\n" if text is None else text.replace("\0", "") + "\n"

    rows = csv.reader(lines(), delimiter=delimiter)
    index = None if number is None else number - 1
    while True:
        row: list[str] | None = None
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield Bad(rows.line_num, "", str(error))
            continue
        finally:
            yield from map(_too_long, too_long)
            too_long.clear()
        if row is None:
            return
        if not any(row):
            continue
        if index is None:
            names = [name.strip().lower() for name in row]
            if column.strip().lower() not in names:
                raise OptionError(f"there is no column {quoted(column)}; there are {', '.join(map(quoted, row[:20]))}")
            index = names.index(column.strip().lower())
        else:
            text = row[index].strip() if index < len(row) else ""
            yield _entry(rows.line_num, text) if text else Bad(rows.line_num, _shown(delimiter.join(row)), "empty")


def _of_objects(stream: IO[str], field: str) -> Iterator[Entry | Bad]:
    for number, text in _lines(stream):
        if text is None:
            yield _too_long(number)
            continue
        if not text:
            continue
        try:
            value = msgspec.json.decode(text.encode("utf-8", "surrogateescape"))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            yield Bad(number, _shown(text), f"not JSON: {error}")
            continue
        named = value.get(field) if isinstance(value, dict) else None
        if isinstance(named, str) and named.strip():
            yield _entry(number, named.strip())
        else:
            yield Bad(number, _shown(text), f"no text in the field {quoted(field)}")


def _lines(stream: IO[str]) -> Iterator[tuple[int, str | None]]:
    """The lines without blanks around them; None for one that is too long, so that no file can fill the memory."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) <= MAX_LINE or line.endswith("\n"):
            yield number, line.strip()
            continue
        while line and not line.endswith("\n"):
            line = stream.readline(MAX_LINE)
        yield number, None


def _too_long(number: int) -> Bad:
    return Bad(number, "", f"longer than {MAX_LINE} characters")


def _entry(number: int, text: str) -> Entry | Bad:
    if _IPV4.fullmatch(text):  # spares most of the parsing in a list of addresses
        return Entry(number, Target(text=text, kind=TargetKind.ENDPOINT, address=text))
    try:
        return Entry(number, parse_target(text))
    except TargetError as error:
        return Bad(number, _shown(text), str(error).partition(". A target looks like")[0])


def _shown(text: str) -> str:
    return text[:80]
