"""Rows of a table in text (RFC 4180), as people's programs write them: quotes that are wrong lose no more than a line.

A quote that is never closed would take in all that follows, up to the next quote or the end. Two signs tell it: text
behind a closing quote, and a row that grows beyond all measure or into the end of the file. The line where the row
began is then a bad one, and the reading goes on with the line behind it.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

MAX_ROW: Final = 128 * 1024
"""Characters of all lines of a row together."""

UNCLOSED: Final = "a quote that begins here is never closed"

DELIMITERS: Final = (",", ";", "\t")
"""The semicolon is what spreadsheets write where the comma stands in numbers."""


class Row(NamedTuple):
    """One row."""

    line: int
    """On which it ends."""
    cells: list[str]


class BadLine(NamedTuple):
    """One line that is no row, nor the beginning of one."""

    line: int
    text: str
    """Empty where it was too long to be kept."""
    why: str | None
    """None where it was too long."""


class _TooLargeError(Exception):
    """The lines of a row are more than a row has."""


class _Lines:
    """The lines of a table for its reader, some of them perhaps once more."""

    def __init__(self, lines: Iterable[tuple[int, str | None]]) -> None:
        self._lines = iter(lines)
        self._again: deque[tuple[int, str | None]] = deque()
        self.row: list[tuple[int, str | None]] = []
        """Those since the row began."""
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.row.append(line)
        text = line[1] or ""
        self._size += len(text)
        if self._size > MAX_ROW:
            raise _TooLargeError
        return text.replace("\0", "") + "\n"

    def begin(self) -> None:
        """Begin a row."""
        self.row.clear()
        self._size = 0

    def begin_again(self) -> None:
        """Give the lines of this row once more, but for the first."""
        self._again.extendleft(reversed(self.row[1:]))
        self.begin()


def rows_of(lines: Iterable[tuple[int, str | None]], delimiter: str) -> Iterator[Row | BadLine]:
    """Read the rows of a table.

    Args:
        lines: number and text of each without its end; None for one that is too long.
    """
    given = _Lines(lines)
    reader = csv.reader(given, delimiter=delimiter, strict=True)
    while True:
        given.begin()
        try:
            cells = next(reader, None)
        except (csv.Error, _TooLargeError):
            line, text = given.row[0]
            lenient = _lenient(text or "", delimiter)
            yield BadLine(line, text or "", UNCLOSED) if lenient is None else Row(line, lenient)
            given.begin_again()
            reader = csv.reader(given, delimiter=delimiter, strict=True)
            continue
        if cells is None:
            return
        yield from (BadLine(number, "", None) for number, text in given.row if text is None)
        yield Row(given.row[-1][0], cells)


def _lenient(text: str, delimiter: str) -> list[str] | None:
    """The cells of a line that is a row by itself, though its quotes are odd; None for one with an open quote."""
    open_ended = csv.reader([text.replace("\0", "") + "\n", "\n"], delimiter=delimiter)
    cells = next(open_ended)
    return cells if next(open_ended, None) is not None else None


def delimiter_of(header: str, column: str | None) -> str:
    """Find the delimiter of a table: that by which it has the column, or most columns where none is named.

    Args:
        header: its first line.
        column: the name of a column.
    """
    line = header.replace("\0", "")
    by = {each: names_of(next(csv.reader([line], delimiter=each), [])) for each in DELIMITERS}
    named = [each for each in DELIMITERS if column is not None and name_of(column) in by[each]]
    return named[0] if named else max(DELIMITERS, key=lambda each: len(by[each]))


def names_of(cells: Iterable[str]) -> list[str]:
    """The names of columns as they are compared."""
    return [name_of(each) for each in cells]


def name_of(cell: str) -> str:
    """The name of a column as it is compared."""
    return cell.strip().lower()
