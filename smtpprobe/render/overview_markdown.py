"""The overview of a scan in GitHub-flavoured Markdown: a table for each question."""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe import texts
from smtpprobe.render import writing
from smtpprobe.render.markdown import SIGNS, code, plain
from smtpprobe.render.overview import PLAIN, Chart, Row, Table, page
from smtpprobe.report import Severity
from smtpprobe.scan.overview import Overview


def render(overview: Overview, language: str) -> Iterator[str]:
    """Give the lines of an overview."""
    shown = page(overview, language)
    yield f"## {plain(shown.title)}"
    if shown.period:
        yield from ("", plain(shown.period))
    if shown.tiles:
        yield ""
    for tile in shown.tiles:
        yield f"- **{plain(tile.number)}** {plain(writing.aside(tile.label, tile.detail, language))}"
    for section in shown.sections:
        yield from ("", f"### {plain(section.title)}", "", plain(section.basis))
        yield from _chart(section, language) if isinstance(section, Chart) else _table(section)
    for note in shown.notes:
        yield from ("", f"_{plain(note)}_")


def _chart(chart: Chart, language: str) -> Iterator[str]:
    if not chart.bars:
        return
    heads = (texts.phrase(language, "overview", "table", each) for each in ("name", "count", "share"))
    yield from ("", f"| {' | '.join(map(plain, heads))} |", "|---|---:|---:|")
    for bar in chart.bars:
        yield f"| {_sign(bar.kind)}{plain(bar.name)} | {plain(bar.number)} | {plain(bar.share)} |"


def _table(table: Table) -> Iterator[str]:
    if table.rows:
        yield from ("", f"| {' | '.join(plain(column.head) for column in table.columns)} |")
        yield f"|{'|'.join('---:' if column.to_right else '---' for column in table.columns)}|"
        yield from map(_row, table.rows)
    if table.closing:
        yield from ("", plain(table.closing))


def _row(row: Row) -> str:
    cells = [plain(each) for each in row.cells]
    aside = f" {code(row.aside)}" if row.aside else ""
    return f"| {_sign(row.kind)}{' | '.join(cells)}{aside} |"


def _sign(kind: str) -> str:
    return "" if kind == PLAIN else f"{SIGNS[Severity(kind)]} "
