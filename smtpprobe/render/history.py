"""The history of a watch: for each target a sign for each probe, what came and went, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from smtpprobe.evidence import encode
from smtpprobe.history import Past, Pasts
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.json import ascii_json
from smtpprobe.render.layout import Terminal, cell_width, cut, pad, wrap
from smtpprobe.render.markdown import SIGNS, plain
from smtpprobe.render.watch import said, status_sign, timeline
from smtpprobe.render.words import duration, label
from smtpprobe.report import Severity

INDENT: Final = "  "
GAP: Final = 2


def json(pasts: Pasts) -> str:
    """Write the whole as one JSON document."""
    return ascii_json(encode(pasts)) + "\n"


# --- text -----------------------------------------------------------------------------------------------------------


def text(pasts: Pasts, language: str, terminal: Terminal) -> Iterator[str]:
    """Give the lines for people."""
    if not pasts.targets:
        yield said(language, "history", "empty")
    for index, past in enumerate(pasts.targets):
        if index:
            yield ""
        yield from _past(past, language, terminal)
    if any(past.problems for past in pasts.targets):
        yield ""
        for line in wrap(said(language, "history", "words"), terminal.width):
            yield terminal.paint(line, "dim")


def _past(past: Past, language: str, terminal: Terminal) -> Iterator[str]:
    status = past.sightings[-1].status
    sign = terminal.paint(status_sign(status, terminal), "ok" if status is Severity.INFO else status.value)
    yield f"{sign} {terminal.paint(escape(past.target), 'bold')}"
    parts = f" {terminal.sign('dot')} ".join(_summary(past, language))
    yield from wrap(parts, terminal.width, first=INDENT)
    room = terminal.width - len(INDENT)
    statuses = [each.status for each in past.sightings]
    for start in range(0, len(statuses), room):
        yield INDENT + timeline(statuses[start : start + room], terminal)
    if past.problems:
        yield from _table(
            [_head(language, "problem", "share-of", "first", "last"), *_problem_rows(past, language, terminal)],
            terminal,
        )
    if past.stages:
        yield from _table([_head(language, "stage", "median", "longest"), *_stage_rows(past, language)], terminal)


def _summary(past: Past, language: str) -> Iterator[str]:
    """How many probes, of what time, and how they ended."""
    count = len(past.sightings)
    if count < past.kept:
        yield said(language, "history", "shown", count=count, kept=past.kept)
    else:
        yield said(language, "history", "probes", count=count)
    first, last = _minute(past.sightings[0].at), _minute(past.sightings[-1].at)
    yield said(language, "history", "span", first=first, last=last)
    for word, number in _by_word(past, language).items():
        yield writing.named(word, f"{number}", language)
    yield said(language, "history", "changes", count=past.changes)


def _by_word(past: Past, language: str) -> dict[str, int]:
    """The statuses by the words for them, of which ok and info share one; gravest first."""
    counts: dict[str, int] = {}
    for status in (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE, Severity.INFO, Severity.OK):
        if number := past.statuses.get(status.value, 0):
            word = label(language, "status", status)
            counts[word] = counts.get(word, 0) + number
    return counts


def _head(language: str, *names: str) -> list[str]:
    return [said(language, "history", name) for name in names]


def _problem_rows(past: Past, language: str, terminal: Terminal) -> Iterator[list[str]]:
    for each in past.problems:
        last = said(language, "history", "present") if each.is_present else _minute(each.last)
        share = said(language, "history", "share", count=each.probes, total=len(past.sightings))
        yield [f"{terminal.sign(each.severity.value)} {escape(each.id)}", share, _minute(each.first), last]


def _stage_rows(past: Past, language: str) -> Iterator[list[str]]:
    for name, found in past.stages.items():
        yield [_stage(name, language), duration(found.median_s, language), duration(found.longest_s, language)]


def _stage(name: str, language: str) -> str:
    return said(language, "history", "total") if name == "total" else label(language, "phase", name)


def _table(rows: Sequence[Sequence[str]], terminal: Terminal) -> Iterator[str]:
    """Lines of a table whose first row is its heading; on a narrow terminal the last columns are left out."""
    count = len(rows[0])
    while count > 1:
        widths = [max(cell_width(row[index]) for row in rows) for index in range(count)]
        if sum(widths) + GAP * (count - 1) + len(INDENT) <= terminal.width:
            break
        count -= 1
    else:
        widths = [terminal.width - len(INDENT)]
    for index, row in enumerate(rows):
        cells = (pad(cut(text, width, terminal.sign("more")), width) for text, width in zip(row, widths, strict=False))
        line = INDENT + (" " * GAP).join(cells).rstrip()
        yield terminal.paint(line, "dim") if index == 0 else line


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


# --- Markdown -------------------------------------------------------------------------------------------------------


def markdown(pasts: Pasts, language: str) -> Iterator[str]:
    """Give the lines of a document in GitHub-flavoured Markdown."""
    plain_terminal = Terminal()
    yield f"# {plain(said(language, 'history', 'heading'))}"
    if not pasts.targets:
        yield ""
        yield plain(said(language, "history", "empty"))
    for past in pasts.targets:
        status = past.sightings[-1].status
        yield ""
        yield f"## {SIGNS[status]} {plain(escape(past.target))}"
        yield ""
        yield plain(" · ".join(_summary(past, language)))
        yield ""
        yield f"`{timeline([each.status for each in past.sightings], plain_terminal)}`"
        if past.problems:
            rows = [
                _head(language, "problem", "share-of", "first", "last"),
                *_problem_rows(past, language, plain_terminal),
            ]
            yield from _markdown_table(rows)
        if past.stages:
            yield from _markdown_table([_head(language, "stage", "median", "longest"), *_stage_rows(past, language)])


def _markdown_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    for index, row in enumerate(rows):
        yield f"| {' | '.join(map(plain, row))} |"
        if index == 0:
            yield f"|{' --- |' * len(row)}"
