"""The overview of a scan at a terminal: large numbers first, bars that fit the line, tables that wrap or stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from smtpprobe.render import writing
from smtpprobe.render.layout import Column, Terminal, cell_width, cut, pad, table_widths, wrap
from smtpprobe.render.overview import Bar, Chart, Page, Row, Table, page
from smtpprobe.scan.overview import Overview

MAX_BAR: Final = 40
"""Cells of the longest bar."""
MIN_BAR: Final = 10
"""With less, the name stands on a line of its own above its bar."""
MIN_PROSE: Final = 28
"""Cells. With less for its running text, a table is stacked."""
MAX_ASIDE: Final = 60
"""Cells of what stands behind the last cell."""
_GAP: Final = 2
_INDENT: Final = "  "

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
"""A cell filled from the left by 0 to 7 eighths (U+258F and those before it)."""


def render(overview: Overview, language: str, terminal: Terminal) -> Iterator[str]:
    """Give the lines of an overview."""
    shown = page(overview, language)
    yield terminal.paint(shown.title, "bold")
    if shown.period:
        yield from (terminal.paint(line, "dim") for line in wrap(shown.period, terminal.width))
    yield from _tiles(shown, language, terminal)
    for section in shown.sections:
        yield ""
        yield from _chart(section, terminal) if isinstance(section, Chart) else _table(section, language, terminal)
    yield ""
    for note in shown.notes:
        yield from (terminal.paint(line, "dim") for line in wrap(note, terminal.prose))


def _tiles(shown: Page, language: str, terminal: Terminal) -> Iterator[str]:
    cells = max((cell_width(tile.number) for tile in shown.tiles), default=0)
    if shown.tiles:
        yield ""
    for tile in shown.tiles:
        number = pad(tile.number, cells, to_right=True)
        text = writing.aside(tile.label, tile.detail, language)
        first, *rest = wrap(text, terminal.width, first=" " * (cells + 2 * _GAP))
        yield f"{_INDENT}{terminal.paint(number, 'bold')}{first[cells + _GAP :]}"
        yield from rest


def _heading(section: Chart | Table, terminal: Terminal) -> Iterator[str]:
    yield from (terminal.paint(line, "bold") for line in wrap(section.title, terminal.width))
    yield from (terminal.paint(line, "dim") for line in wrap(section.basis, terminal.prose, first=_INDENT))


# --- charts ---------------------------------------------------------------------------------------------------------


def _chart(chart: Chart, terminal: Terminal) -> Iterator[str]:
    yield from _heading(chart, terminal)
    if not chart.bars:
        return
    names = max(cell_width(bar.name) for bar in chart.bars)
    numbers = max(cell_width(bar.number) for bar in chart.bars)
    shares = max(cell_width(bar.share) for bar in chart.bars)
    tail = numbers + shares + 2 * _GAP
    room = terminal.width - len(_INDENT) - names - _GAP - tail
    is_stacked = room < MIN_BAR
    if is_stacked:
        room = terminal.width - 2 * len(_INDENT) - tail
    cells = min(room, MAX_BAR)
    for bar in chart.bars:
        drawn = pad(_bar(bar, cells, terminal), cells)
        painted = terminal.paint(drawn.rstrip(), bar.kind) + " " * (len(drawn) - len(drawn.rstrip()))
        number = f"{pad(bar.number, numbers, to_right=True)}{' ' * _GAP}{pad(bar.share, shares, to_right=True)}"
        if is_stacked:
            yield _INDENT + cut(bar.name, terminal.width - len(_INDENT), terminal.sign("more"))
            yield f"{_INDENT * 2}{painted}{' ' * _GAP}{number}"
        else:
            yield f"{_INDENT}{pad(bar.name, names)}{' ' * _GAP}{painted}{' ' * _GAP}{number}"


def _bar(bar: Bar, cells: int, terminal: Terminal) -> str:
    """Draw a bar; what counts something is never without a sliver of it."""
    if not terminal.is_unicode:
        return "#" * (max(1, round(bar.portion * cells)) if bar.portion else 0)
    eighths = max(1, round(bar.portion * cells * 8)) if bar.portion else 0
    whole, part = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[part] if part else "")


# --- tables ---------------------------------------------------------------------------------------------------------


def _table(table: Table, language: str, terminal: Terminal) -> Iterator[str]:
    yield from _heading(table, terminal)
    if table.rows:
        yield from _wrapping(table, language, terminal) if table.wraps else _fixed(table, language, terminal)
    if table.closing:
        yield from wrap(table.closing, terminal.prose, first=_INDENT)


def _wrapping(table: Table, language: str, terminal: Terminal) -> Iterator[str]:
    """A table of which the last column is running text."""
    columns = table.columns[:-1]
    limit = max(8, terminal.width // 2)
    widths = [
        max(cell_width(each) for each in (column.head, *(row.cells[index] for row in table.rows)))
        for index, column in enumerate(columns)
    ]
    widths = [min(width, limit) if column.shrinks else width for width, column in zip(widths, columns, strict=True)]
    left = len(_INDENT) + sum(widths) + _GAP * len(widths)
    if terminal.width - left < MIN_PROSE:
        yield from _stacked(table, language, terminal)
        return
    head = _line([column.head for column in columns], columns, widths, terminal) + table.columns[-1].head
    yield terminal.paint(head, "dim")
    for row in table.rows:
        first, *more = wrap(_last(row, language), min(terminal.width, left + terminal.prose), first=" " * left)
        begin = _line(row.cells[:-1], columns, widths, terminal)
        yield _marked(begin, row, terminal) + first[left:]
        yield from more


def _last(row: Row, language: str) -> str:
    """The running text of a row, with what stands behind it."""
    aside = cut(row.aside, MAX_ASIDE)
    return writing.aside(row.cells[-1], aside, language)


def _marked(line: str, row: Row, terminal: Terminal) -> str:
    """Paint the first cell of a row as grave as the row is."""
    text = row.cells[0]
    return line.replace(text, terminal.paint(text, row.kind), 1) if text and text in line else line


def _fixed(table: Table, language: str, terminal: Terminal) -> Iterator[str]:
    """A table of numbers: with shares where they fit, else only of how many they are, else stacked."""
    room = terminal.width - len(_INDENT)
    for rows in ([row.cells for row in table.rows], [row.short or row.cells for row in table.rows]):
        widths = table_widths(table.columns, rows, room, _GAP)
        if widths is not None and widths[0] >= min(16, max(cell_width(row[0]) for row in rows)):
            heads = [column.head for column in table.columns]
            yield terminal.paint(_line(heads, table.columns, widths, terminal).rstrip(), "dim")
            yield from (_line(row, table.columns, widths, terminal).rstrip() for row in rows)
            return
    yield from _stacked(table, language, terminal)


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], terminal: Terminal) -> str:
    parts = (
        pad(cut(text, width, terminal.sign("more")), width, to_right=column.to_right) + " " * _GAP
        for text, column, width in zip(cells, columns, widths, strict=True)
    )
    return _INDENT + "".join(parts)


def _stacked(table: Table, language: str, terminal: Terminal) -> Iterator[str]:
    """Rows one below the other, each number behind the head of its column."""
    for row in table.rows:
        first, *rest = row.cells
        for line in wrap(first, terminal.width, first=_INDENT):
            yield terminal.paint(line, row.kind if row.kind != "plain" else "bold")
        for column, text in zip(table.columns[1:], rest, strict=True):
            is_last = table.wraps and column is table.columns[-1]
            told = _last(row, language) if is_last else writing.named(column.head, text, language)
            yield from wrap(told, terminal.width, first=_INDENT * 2)
