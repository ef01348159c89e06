"""What has changed between two probes, as text, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smtpprobe import texts
from smtpprobe.difference import Change, Difference, Differences
from smtpprobe.evidence import encode
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.layout import Terminal, wrap
from smtpprobe.render.words import fill

_ROOM = "expectations"


def text(found: Differences, language: str, terminal: Terminal) -> Iterator[str]:
    """Give the lines: each target, then each change with what was and what is."""
    for number, each in enumerate(found.targets):
        if number:
            yield ""
        yield terminal.paint(escape(each.target), "bold") + _span(each, language)
        if not each.changes:
            yield f"  {terminal.paint(terminal.sign('ok'), 'ok')} {_say(language, 'diff', 'none')}"
        for change in each.changes:
            yield from wrap(_heading(change, language), terminal.prose, first="  ", rest="      ")
            for sign, style, values in (("-", "error", change.old), ("+", "ok", change.new)):
                for value in values:
                    for line in wrap(escape(value), terminal.prose, first=f"    {sign} ", rest="      "):
                        yield terminal.paint(line, style)


def markdown(found: Differences, language: str) -> Iterator[str]:
    """Give the lines: a section for each target, with a table."""
    from smtpprobe.render.markdown import code, plain

    columns = [plain(_say(language, "diff", name)) for name in ("what", "where", "before", "after")]
    for number, each in enumerate(found.targets):
        if number:
            yield ""
        yield f"## {plain(escape(each.target))}{plain(_span(each, language))}"
        yield ""
        if not each.changes:
            yield plain(_say(language, "diff", "none"))
            continue
        yield f"| {' | '.join(columns)} |"
        yield "|---" * len(columns) + "|"
        for change in each.changes:
            what = plain(_what(change, language)) + (f" {code(escape(change.subject))}" if change.subject else "")
            cells = [
                ", ".join(code(escape(value)) for value in values) for values in (change.where, change.old, change.new)
            ]
            yield f"| {what} | {' | '.join(cells)} |"


def json(found: Differences) -> str:
    """Give the document, in plain ASCII."""
    from smtpprobe.render.json import ascii_json

    return ascii_json(encode(found))


def _span(each: Difference, language: str) -> str:
    if each.old_at is None or each.new_at is None:
        return ""
    times: Mapping[str, str] = {"old": f"{each.old_at:%Y-%m-%d %H:%M}", "new": f"{each.new_at:%Y-%m-%d %H:%M} UTC"}
    return f" ({fill(_say(language, 'diff', 'from-to'), times, language)})"


def _heading(change: Change, language: str) -> str:
    subject = f" {escape(change.subject)}" if change.subject else ""
    return writing.aside(
        _what(change, language) + subject, writing.listed(map(escape, change.where), language), language
    )


def _what(change: Change, language: str) -> str:
    return _say(language, "diff-what", change.kind)


def _say(language: str, table: str, field: str) -> str:
    return texts.phrase(language, _ROOM, table, field)
