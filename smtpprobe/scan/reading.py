"""Taking the targets of a scan in: a list, a table or NDJSON, perhaps compressed, with whatever people keep in them.

A bad line is a fact about the input, never the end of the scan: it is counted, the first few are kept to be shown, and
the reading goes on. Nothing is held in memory but the line at hand.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from smtpprobe.errors import OptionError, TargetError
from smtpprobe.evidence import Target, TargetKind
from smtpprobe.names import quoted
from smtpprobe.scan.tables import BadLine, delimiter_of, name_of, names_of, rows_of
from smtpprobe.scan.unpacking import unpacked
from smtpprobe.targets import parse_target

MAX_LINE: Final = 64 * 1024
"""Characters. A longer line is no list of targets; a table may have long ones, up to here."""

MAX_DIGITS: Final = 6
"""Of the number of a column; no line has so many."""

MAX_NAMES: Final = 20
"""So many columns are named where the one that is asked for is missing."""

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

    The ending says what it is: ``.csv`` (with commas, semicolons or tabs), ``.tsv``, and ``.ndjson`` or ``.jsonl`` need
    a column; anything else is a list, in which ``#`` begins a comment and of several words on a line the first counts.
    ``.gz`` and ``.zst`` behind it are decompressed. The text is UTF-8, or UTF-16 where a byte order mark says so.

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
            yield from _of_table(stream, _needed(column, path), number, is_tabbed=".tsv" in kind)
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
        yield _text(sys.stdin.buffer)
        return
    with Path(path).open("rb") as raw, unpacked(path, raw) as stream:
        yield _text(stream)


def _text(stream: Any) -> IO[str]:
    peeking = stream if hasattr(stream, "peek") else io.BufferedReader(stream)
    is_wide = peeking.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return io.TextIOWrapper(peeking, "utf-16" if is_wide else "utf-8-sig", errors="backslashreplace")


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


def _of_table(stream: IO[str], column: str, number: int | None, *, is_tabbed: bool) -> Iterator[Entry | Bad]:
    lines = _lines(stream)
    first = next((line for line in lines if line[1] != ""), None)
    if first is None:
        return
    delimiter = "\t" if is_tabbed else delimiter_of(first[1] or "", column if number is None else None)
    index = None if number is None else number - 1
    for row in rows_of(chain([first], lines), delimiter):
        if isinstance(row, BadLine):
            yield _too_long(row.line) if row.why is None else Bad(row.line, _shown(row.text), row.why)
        elif not any(row.cells):
            continue
        elif index is None:
            names = names_of(row.cells)
            if name_of(column) not in names:
                there = ", ".join(map(quoted, row.cells[:MAX_NAMES]))
                raise OptionError(f"there is no column {quoted(column)}; there are {there}")
            index = names.index(name_of(column))
        else:
            text = row.cells[index].strip() if index < len(row.cells) else ""
            yield _entry(row.line, text) if text else Bad(row.line, _shown(delimiter.join(row.cells)), "empty")


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
