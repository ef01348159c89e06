"""GitHub-flavoured Markdown: for a job's summary, a ticket or a wiki.

What comes from outside stands in code spans or is escaped, so that a banner cannot become a link, an image or a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from smtpprobe.render import Style, writing
from smtpprobe.render.escaping import fenced
from smtpprobe.render.transcript import ConversationView, Step, StepKind, transcript
from smtpprobe.render.view import FindingView, View, view
from smtpprobe.render.words import duration, label
from smtpprobe.report import Report, Severity

SIGNS = {
    Severity.ERROR: "🔴",
    Severity.WARNING: "🟠",
    Severity.INCONCLUSIVE: "🟣",
    Severity.INFO: "🔵",
    Severity.OK: "🟢",
}

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>#|~&@]|(?<=https):(?=//)|(?<=http):(?=//)|(?<=mailto):|(?<=www)\.)")
"""What Markdown acts on wherever it stands: spans, links, tags, cells, mentions, and addresses that become links."""


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give a section for each report."""
    for index, report in enumerate(reports):
        lines = list(_report(report, style))
        yield ("\n" if index else "") + "\n".join(lines) + "\n"


def _report(report: Report, style: Style) -> Iterator[str]:
    shown = view(report, style.language)
    yield f"## {SIGNS[shown.status]} {writing.named(plain(shown.target), plain(shown.status_word), style.language)}"
    yield ""
    yield f"**{plain(shown.headline)}**"
    if shown.lead:
        yield ""
        yield plain(shown.lead)
    if shown.next_step:
        yield ""
        yield f"**{_head('verdict', 'next', style.language)}** {plain(shown.next_step)}"
    if shown.interrupted:
        yield ""
        yield f"_{plain(shown.interrupted)}_"
    yield from _matrix(shown)
    yield from _deliveries(shown)
    yield from _posture(shown)
    yield from _section(shown.problems, "problems", style)
    yield from _section(shown.notes, "notes", style)
    if style.verbosity:
        yield from _section(shown.passed, "passed", style)
        yield from _conversations(report, style)


def _matrix(shown: View) -> Iterator[str]:
    if not shown.hosts:
        return
    heads = [label(shown.language, "table", each) for each in ("address", "port", "state", "software", "tls", "time")]
    yield ""
    yield "| | " + " | ".join(map(plain, heads)) + " |"
    yield "|---" * 6 + "|---:|"
    for host in shown.hosts:
        name = f"{host.kind} {code(host.name)}" if host.name else host.kind
        if not host.endpoints:
            yield f"| {name} | {plain(host.reason)} | | | | | |"
        for row in host.endpoints:
            sign = SIGNS[row.severity] if row.severity is not None else ""
            time = "" if row.elapsed_s is None else duration(row.elapsed_s, shown.language)
            ports = ", ".join(map(str, row.ports))
            cells = (code(row.address), ports, f"{sign} {plain(row.state)}".strip(), plain(row.software))
            yield f"| {name} | {' | '.join(cells)} | {plain(row.tls)} | {time} |"
            name = ""


def _deliveries(shown: View) -> Iterator[str]:
    if not shown.deliveries:
        return
    yield ""
    yield f"### {plain(label(shown.language, 'delivery', 'heading'))}"
    yield ""
    for each in shown.deliveries:
        words = writing.aside(writing.way((each.fate, each.way), shown.language), each.reason, shown.language)
        yield f"- {SIGNS[each.severity]} **{plain(each.sender)}** {plain(words)}"


def _posture(shown: View) -> Iterator[str]:
    if not shown.posture:
        return
    yield ""
    yield f"### {plain(shown.posture_heading)}"
    yield ""
    for each in shown.posture:
        verdict = plain(each.verdict)
        told = writing.named(verdict, code(each.record), shown.language) if each.record else verdict
        yield f"- {SIGNS[each.severity]} **{plain(each.name)}** {told}"
        for remark in each.remarks:
            yield f"  - {plain(remark)}"


def _section(findings: tuple[FindingView, ...], name: str, style: Style) -> Iterator[str]:
    if not findings:
        return
    yield ""
    yield f"### {plain(label(style.language, 'section', name))}"
    for finding in findings:
        yield from _finding(finding, style)


def _finding(finding: FindingView, style: Style) -> Iterator[str]:
    for instance in finding.instances:
        yield ""
        yield f"- {SIGNS[finding.severity]} **{plain(instance.title)}** {code(finding.id)}"
        for place in instance.places:
            yield "  - " + " ".join(map(code, filter(None, (place.host, *place.endpoints))))
        for lines in instance.quotations:
            yield ""
            yield from (f"  {line}" for line in fenced(lines))
    if finding.meaning:
        yield ""
        yield f"  {plain(finding.meaning)}"
    reply = finding.reply
    if reply is not None and reply.diagnosis:
        yield ""
        yield f"  {plain(writing.named(label(style.language, 'finding', 'reason'), reply.diagnosis, style.language))}"
    if finding.steps:
        yield ""
        yield from (f"  {number}. {plain(step)}" for number, step in enumerate(finding.steps, 1))


def _head(table: str, field: str, language: str) -> str:
    """A name with its colon, and no blank behind, at which emphasis would not end."""
    return plain(writing.named(label(language, table, field), "", language)).rstrip()


def _conversations(report: Report, style: Style) -> Iterator[str]:
    for conversation in transcript(report, style.language).conversations:
        yield from _conversation(conversation)


def _conversation(conversation: ConversationView) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{_html(conversation.title)}</summary>"
    yield ""
    yield from (f"    {line}" for step in conversation.steps for line in _step_lines(step))
    yield ""
    yield "</details>"


def _step_lines(step: Step) -> Iterator[str]:
    sign = {StepKind.SENT: "->", StepKind.RECEIVED: "<-", StepKind.EVENT: "=="}[step.kind]
    for line in step.lines:
        yield f"{step.at_s:7.3f} {sign} {line}"


def plain(text: str) -> str:
    """Spell what Markdown would act on as character references, as far as it stands in the text."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[1])};", text)


def code(text: str) -> str:
    """Put text into a code span that it cannot leave; a bar would end the cell of a table even there."""
    inner = text.replace("|", "¦")
    longest = max((len(run) for run in re.findall("`+", inner)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{fence}{pad}{inner}{pad}{fence}" if inner else ""


def _html(text: str) -> str:
    from html import escape

    return escape(text)
