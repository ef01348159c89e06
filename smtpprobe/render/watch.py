"""A watch as people and programs see it: a table that is drawn again and again, and a line for what is new.

The table is a function of what is known now, in lines that fit the terminal; who redraws it in place is the command
line's affair. What does not fit is left out column by column, since a line that wraps could not be drawn over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from smtpprobe import texts
from smtpprobe.evidence import encode
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.json import ascii_json
from smtpprobe.render.layout import Column, Terminal, cell_width, cut, pad, table_widths
from smtpprobe.render.words import duration, fill, label
from smtpprobe.report import Param, Severity
from smtpprobe.watching import Change, Line, Sighting

ROOM: Final = "watching"
"""The room of the texts."""

GAP: Final = 2
"""Cells between two columns."""

READABLE: Final = 16
"""Cells. Less of a target's name is shown only where there is no other way."""

_LAYOUTS: Final = (
    (("status", "target", "recent", "time", "pause", "problems"), 30),
    (("status", "target", "recent", "time", "pause", "problems"), 12),
    (("status", "target", "recent", "time", "problems"), 12),
    (("status", "target", "recent", "time"), 10),
    (("status", "target", "recent"), 10),
    (("status", "target"), 0),
)
"""Columns, and how many of the latest probes are shown: from the widest terminal to the narrowest."""
_SHRINKING: Final = ("target", "problems")
_TO_RIGHT: Final = ("time", "pause")

MAX_RECENT: Final = 30
"""So many of the latest probes are ever shown in the table."""


class Row(NamedTuple):
    """One target of the table."""

    target: str
    recent: tuple[Severity, ...] = ()
    """Of the latest probes, the last one last."""
    latest: Sighting | None = None
    """None: the first probe is under way."""
    pause_s: float | None = None
    """From the last probe to the next."""


def said(language: str, table: str, field: str, /, **params: Param) -> str:
    """A phrase of the room ``watching``, with its parameters escaped."""
    return fill(texts.phrase(language, ROOM, table, field), params, language)


def status_sign(status: Severity, terminal: Terminal) -> str:
    """One cell for a status; a mere note is as good as none."""
    return terminal.sign(_style(status))


def _style(status: Severity) -> str:
    return "ok" if status is Severity.INFO else status.value


def timeline(statuses: Sequence[Severity], terminal: Terminal) -> str:
    """One coloured sign for each probe; neighbours of the same kind share their colour codes."""
    pieces: list[str] = []
    start = 0
    for index in range(1, len(statuses) + 1):
        if index == len(statuses) or _style(statuses[index]) != _style(statuses[start]):
            signs = status_sign(statuses[start], terminal) * (index - start)
            pieces.append(terminal.paint(signs, _style(statuses[start])))
            start = index
    return "".join(pieces)


def table(
    rows: Sequence[Row], *, every_s: float, probes: int, language: str, terminal: Terminal, height: int
) -> list[str]:
    """Draw the table, in at most `height` lines, none wider than the terminal."""
    room = max(1, height - 3)  # below the heading, above the footer and the line of the cursor
    shown = rows if len(rows) <= room else rows[: max(1, room - 1)]
    lines = list(_body(shown, language, terminal))
    if len(shown) < len(rows):
        lines.append(cut(said(language, "live", "more", count=len(rows) - len(shown)), terminal.width))
    parts = (
        said(language, "live", "probes", count=probes),
        said(language, "live", "every", duration=duration(every_s, language)),
        said(language, "live", "end"),
    )
    footer = cut(f" {terminal.sign('dot')} ".join(parts), terminal.width, terminal.sign("more"))
    return [*lines, terminal.paint(footer, "dim")]


def _body(rows: Sequence[Row], language: str, terminal: Terminal) -> Iterator[str]:
    names, count, widths = _layout(rows, language, terminal)
    columns = [_column(name, language) for name in names]
    cells = [[_cell(row, name, count, language, terminal) for name in names] for row in rows]
    more = terminal.sign("more")
    heads = (
        pad(cut(each.head, width, more), width, to_right=each.to_right)
        for each, width in zip(columns, widths, strict=True)
    )
    yield terminal.paint((" " * GAP).join(heads).rstrip(), "dim")
    for row, texts_ in zip(rows, cells, strict=True):
        pieces = []
        for name, text, column, width in zip(names, texts_, columns, widths, strict=True):
            plain = pad(cut(text, width, more), width, to_right=column.to_right)
            pieces.append(_painted(row, name, plain, count, terminal))
        yield (" " * GAP).join(pieces).rstrip()


def _layout(rows: Sequence[Row], language: str, terminal: Terminal) -> tuple[tuple[str, ...], int, list[int]]:
    """Choose the columns, how many of the latest probes are shown, and how wide each column is.

    The richest layout wins in which the names of the targets are whole, or at least long enough to be told apart; else
    the richest that fits at all.
    """
    longest = max((cell_width(escape(row.target)) for row in rows), default=0)
    fitting = []
    for names, count in _LAYOUTS:
        cells = [[_cell(row, name, count, language, terminal) for name in names] for row in rows]
        widths = table_widths([_column(name, language) for name in names], cells, terminal.width, GAP)
        if widths is not None:
            if widths[names.index("target")] >= min(longest, READABLE):
                return names, count, widths
            fitting.append((names, count, widths))
    return fitting[0] if fitting else (("target",), 0, [terminal.width])


def _column(name: str, language: str) -> Column:
    return Column(said(language, "table", name), to_right=name in _TO_RIGHT, shrinks=name in _SHRINKING)


def _cell(row: Row, name: str, count: int, language: str, terminal: Terminal) -> str:
    latest = row.latest
    match name:
        case "target":
            return escape(row.target)
        case "status" if latest is None:
            return said(language, "live", "waiting")
        case "status" if latest is not None:
            return f"{status_sign(latest.status, terminal)} {label(language, 'status', latest.status)}"
        case "recent":
            return "".join(status_sign(each, terminal) for each in row.recent[-count:])
        case "time" if latest is not None:
            return duration(latest.elapsed_s, language)
        case "pause" if row.pause_s is not None:
            return duration(row.pause_s, language)
        case "problems" if latest is not None:
            return ", ".join(escape(each.id) for each in latest.problems)
        case _:
            return ""


def _painted(row: Row, name: str, text: str, count: int, terminal: Terminal) -> str:
    """Colour a cell that has its width already."""
    if name == "status":
        return terminal.paint(text, "dim" if row.latest is None else _style(row.latest.status))
    if name == "recent":
        shown = row.recent[-count:]
        return timeline(shown, terminal) + " " * (cell_width(text) - len(shown))
    return terminal.paint(text, "bold") if name == "target" else text


def change_line(sighting: Sighting, change: Change, *, language: str, terminal: Terminal) -> str:
    """Say in one line what is new: when, of which target, and which problems came and went."""
    after = label(language, "status", change.after)
    if change.before is None:
        what = said(language, "change", "first", after=after)
    else:
        before = label(language, "status", change.before)
        what = said(language, "change", "changed", before=before, after=after)
    parts = [what]
    if change.appeared:
        parts.append(said(language, "change", "appeared", ids=change.appeared))
    if change.gone:
        parts.append(said(language, "change", "gone", ids=change.gone))
    sign = terminal.paint(status_sign(change.after, terminal), _style(change.after))
    target = terminal.paint(escape(sighting.target), "bold")
    return f"{sighting.at:%Y-%m-%d %H:%M:%S} UTC  {sign} {target}  {writing.clauses(parts, language)}"


def ndjson_line(sighting: Sighting, change: Change | None, *, number: int, next_s: float) -> str:
    """Write a probe as one line of JSON, with its end of line."""
    fields = {name: getattr(sighting, name) for name in sighting.__struct_fields__}
    return ascii_json(encode(Line(**fields, number=number, change=change, next_s=round(next_s, 3)))) + "\n"
