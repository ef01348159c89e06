"""The summary at a terminal: MX by address by port, with state, TLS, software and time, in the widest form that fits.

On most terminals it is one table; on narrower ones, or with long IPv6 addresses, each address has a line of its own
above its ports; on the narrowest an endpoint is running text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from smtpprobe.render import writing
from smtpprobe.render.layout import Column, Terminal, cell_width, cut, pad, painted, table_widths, wrap
from smtpprobe.render.style import Style
from smtpprobe.render.summary import EndpointView, HostView
from smtpprobe.render.words import duration, label

MIN_SOFTWARE_CELLS: Final = 10
"""Cells. With less room, the address gets a line of its own."""


def summary_lines(hosts: Sequence[HostView], style: Style) -> Iterator[str]:
    """Each host with its addresses and ports, as one table where that fits, else a block for each address."""
    if not hosts:
        return
    yield ""
    terminal = style.terminal
    rows = [_cells(row, style.language) for host in hosts for row in host.endpoints]
    table = _Table.fitting(rows, style, has_addresses=True) or _Table.fitting(rows, style, has_addresses=False)
    if table is not None and rows:
        yield terminal.paint(table.line(table.heads), "dim")
    for host in hosts:
        previous = None
        for row in host.endpoints:
            is_next = row.address != previous
            if previous is None or (is_next and not (table and table.has_addresses)):
                yield from _host_line(host, "" if table and table.has_addresses else row.address, style)
            cells = _cells(row, style.language)
            previous = row.address
            if table is None:
                yield from _stacked(row, cells, terminal)
            else:
                yield table.row(row, cells if is_next else cells | {"address": ""})
        if previous is None:
            yield from _host_line(host, "", style)


def _cells(row: EndpointView, language: str) -> dict[str, str]:
    return {
        "address": row.address,
        "port": ", ".join(map(str, row.ports)),
        "state": row.state,
        "tls": row.tls,
        "software": row.software,
        "time": "" if row.elapsed_s is None else duration(row.elapsed_s, language),
    }


class _Table(NamedTuple):
    """The columns of the summary, as wide as they must be."""

    terminal: Terminal
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    widths: tuple[int, ...]

    @classmethod
    def fitting(cls, rows: Sequence[dict[str, str]], style: Style, *, has_addresses: bool) -> _Table | None:
        """Make the table, without columns that would be empty; None where it does not fit."""
        names = tuple(
            name
            for name in ("address", "port", "state", "tls", "software", "time")
            if any(row[name] for row in rows) and (has_addresses or name != "address")
        )
        columns = tuple(
            Column(label(style.language, "table", name), to_right=name == "time", shrinks=name == "software")
            for name in names
        )
        texts = [[row[name] for name in names] for row in rows]
        widths = table_widths(columns, texts, style.terminal.width - (2 if has_addresses else 4))
        if widths is None:
            return None
        table = cls(style.terminal, names, columns, tuple(widths))
        needed = max((cell_width(row["software"]) for row in rows), default=0)
        is_roomy = "software" not in names or table.width("software") >= min(MIN_SOFTWARE_CELLS, needed)
        return table if is_roomy or not has_addresses else None

    @property
    def has_addresses(self) -> bool:
        """The addresses are a column; else they stand above their rows."""
        return "address" in self.names

    @property
    def heads(self) -> dict[str, str]:
        """What stands above the columns."""
        return {name: column.head for name, column in zip(self.names, self.columns, strict=True)}

    def width(self, name: str) -> int:
        """The cells of a column."""
        return self.widths[self.names.index(name)]

    def line(self, cells: dict[str, str], sign: str = " ", paints: dict[str, str | None] | None = None) -> str:
        """Set one line, each cell cut to its column and painted."""
        parts = []
        for name, column, width in zip(self.names, self.columns, self.widths, strict=True):
            text = cut(cells[name], width, self.terminal.sign("more"))
            padded = pad(text, width, to_right=column.to_right)
            paint = None if paints is None else paints.get(name)
            parts.append(padded.replace(text, self.terminal.paint(text, paint), 1) if text else padded)
        indent = "" if self.has_addresses else "  "
        return f"{indent}{sign} {'  '.join(parts)}".rstrip()

    def row(self, row: EndpointView, cells: dict[str, str]) -> str:
        """Set one row behind its sign; one of which nothing is to be said steps back."""
        sign = self.terminal.sign(row.severity or "none")
        if row.severity is None:
            return self.terminal.paint(self.line(cells, sign), "dim")
        paints = {"state": row.severity, "tls": row.tls_severity, "time": "dim"}
        return self.line(cells, self.terminal.paint(sign, row.severity), paints)


def _host_line(host: HostView, address: str, style: Style) -> Iterator[str]:
    text = "  ".join(filter(None, (host.kind, host.name, address)))
    if host.reason:
        text = writing.named(text, host.reason, style.language)
    for line in wrap(text, style.terminal.width, rest="  "):
        yield style.terminal.paint(line, "bold")


def _stacked(row: EndpointView, cells: dict[str, str], terminal: Terminal) -> Iterator[str]:
    """One endpoint in running text, where no table fits."""
    first = f"  {terminal.sign(row.severity or 'none')} {cells['port']}  "
    rest = (cells[name] for name in ("state", "tls", "software", "time"))
    text = f" {terminal.sign('dot')} ".join(filter(None, rest))
    lines = wrap(text, terminal.width, first=first, rest=" " * 6)
    yield from painted(terminal, lines, first, row.severity or "dim", None if row.severity else "dim")
