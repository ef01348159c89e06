"""The report for people at a terminal: the answer, the next step, the summary, and then what is wrong in detail.

It is laid out for whoever has three seconds (the first lines), a minute (the summary and the problems) or a ticket to
write (``-v``: the name system and the annotated conversations, from `transcript`). Nothing is decided here about what
is said: that is in `view`. Colour only repeats what a word or a sign says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from smtpprobe.render import writing
from smtpprobe.render.layout import Terminal, cell_width, cut, pad, painted, wrap
from smtpprobe.render.style import Style
from smtpprobe.render.summary_text import summary_lines
from smtpprobe.render.transcript import transcript
from smtpprobe.render.transcript_text import transcript_lines
from smtpprobe.render.view import FindingView, Place, View, view
from smtpprobe.render.words import cause_words, duration, label
from smtpprobe.report import GRAVITY, Outcome, Report, Severity, outcome, worst

NARROW: Final = 60
"""Cells. Below it, a label stands before its text instead of in a column of its own."""
MAX_PLACES: Final = 8
"""So many endpoints of a finding are named without ``-v``."""
MAX_REPLY_LINES: Final = 6
"""So many lines of a reply are quoted in a finding without ``-v``."""
LEAST_INDENT: Final = 4
"""Cells before the further lines of a text with words that are too long for its own indent."""
MAX_LINE_CELLS: Final = 400
"""Cells. A longer line of a server is cut without ``-v``."""
MORE_TIMES: Final = 8
"""So many times as much is quoted with ``-v``; all of it with ``-vv``."""


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give the reports one by one, and in the end what they come to."""
    return render_at_once(((report, True) for report in reports), style)


def render_at_once(stages: Iterable[tuple[Report, bool]], style: Style) -> Iterator[str]:
    """Give each report as soon as its answer is certain, although servers have not yet said goodbye.

    Args:
        stages: reports, and whether each is final. One that is not is followed by the final one of the same target, of
            which only what is new is given then.
    """
    statuses: Counter[Severity] = Counter()
    outcomes: list[Outcome] = []
    is_interrupted = False
    begun: Report | None = None
    for report, is_final in stages:
        lines: list[str] = []
        if begun is None and outcomes and style.verbosity >= 0:
            lines = ["", style.terminal.paint(style.terminal.sign("rule") * 40, "dim"), ""]
        if style.verbosity < 0:
            lines.extend([_line_of(view(report, style.language), style.terminal)] if is_final else ())
        elif begun is None:
            lines.extend(_head(view(report, style.language), style))
        else:
            lines.extend(_what_is_new(begun, report, style))
        begun = None if is_final else report
        if is_final:
            lines.extend(_tail(report, style) if style.verbosity >= 0 else ())
            statuses[report.status] += 1
            outcomes.append(outcome(report, style.fail_on))
            is_interrupted = is_interrupted or report.evidence.is_interrupted
        yield "".join(f"{line}\n" for line in lines)
    if style.verbosity >= 0:
        lines = list(_closing(statuses, None if is_interrupted else worst(outcomes), style))
        yield "".join(f"{line}\n" for line in lines)


def _head(seen: View, style: Style) -> Iterator[str]:
    """The answer and what it rests on."""
    yield from _answer(seen, style)
    yield from summary_lines(seen.hosts, style)
    yield from _deliveries(seen, style)
    yield from _posture(seen, style)
    yield from _findings(seen, style)


def _deliveries(seen: View, style: Style) -> Iterator[str]:
    """How each kind of sender would fare, a line each."""
    if not seen.deliveries:
        return
    terminal = style.terminal
    yield ""
    yield terminal.paint(label(style.language, "delivery", "heading"), "bold")
    cells = max(cell_width(each.sender) for each in seen.deliveries)
    for each in seen.deliveries:
        first = f"  {terminal.sign(each.severity)} {pad(each.sender, cells)}  "
        rest = " " * (6 if terminal.width < NARROW else cell_width(first))
        fate = writing.named(writing.way((each.fate, each.way), style.language), each.reason, style.language)
        lines = wrap(fate, terminal.prose, first=first, rest=rest)
        yield from painted(terminal, lines, first, each.severity, None)


def _posture(seen: View, style: Style) -> Iterator[str]:
    """SPF and DMARC, each with its record and what the library remarks."""
    if not seen.posture:
        return
    terminal = style.terminal
    yield ""
    yield terminal.paint(seen.posture_heading, "bold")
    cells = max(cell_width(each.name) for each in seen.posture)
    for each in seen.posture:
        first = f"  {terminal.sign(each.severity)} {pad(each.name, cells)}  "
        rest = " " * (6 if terminal.width < NARROW else cell_width(first))
        lines = wrap(each.verdict, terminal.prose, first=first, rest=rest)
        yield from painted(terminal, lines, first, each.severity, None)
        for text in filter(None, (each.record, *each.remarks)):
            yield from wrap(text, terminal.prose, first=rest, rest=rest)


def _findings(seen: View, style: Style) -> Iterator[str]:
    left = list(seen.problems)
    while left:
        twins = [each for each in left if _advice(each) == _advice(left[0])]
        left = [each for each in left if each not in twins]
        yield ""
        yield from _problem(twins, style)
    if style.verbosity > 0:
        yield from _short_findings(seen.notes, "notes", style)
    else:
        yield from _notes(seen, style)


def _what_is_new(begun: Report, report: Report, style: Style) -> Iterator[str]:
    """What the end of the conversations added to a report that is on the screen."""
    added = tuple(finding for finding in report.findings if finding not in begun.findings)
    seen = view(msgspec.structs.replace(report, findings=added), style.language)
    if report.status is not begun.status or report.evidence.is_interrupted:
        yield ""
        yield from _answer(view(report, style.language), style)
    yield from _findings(seen, style)


def _tail(report: Report, style: Style) -> Iterator[str]:
    """How it came about, and what it took."""
    seen = view(report, style.language)
    if style.verbosity > 0:
        yield from _short_findings(seen.passed, "passed", style)
        yield from transcript_lines(transcript(report, style.language), style)
    yield ""
    yield from _tally(seen, style)


# --- the answer -----------------------------------------------------------------------------------------------------


def _answer(seen: View, style: Style) -> Iterator[str]:
    """The status, whether mail works, what is in the way, and what to do next."""
    terminal = style.terminal
    yield from _answer_line(seen, terminal)
    if seen.interrupted:
        yield from marked(terminal, "inconclusive", seen.interrupted, indent=2)
    if seen.lead:
        yield from marked(terminal, seen.problems[0].severity, seen.lead, indent=2)
    if seen.next_step:
        following = writing.named(label(style.language, "verdict", "next"), "", style.language)
        first = f"  {terminal.sign('arrow')} {following}"
        rest = _hanging(seen.next_step, terminal.prose, 4 if terminal.width < NARROW else cell_width(first))
        yield from painted(terminal, wrap(seen.next_step, terminal.prose, first=first, rest=rest), first, "bold")


def _answer_line(seen: View, terminal: Terminal) -> Iterator[str]:
    first, rest = _answer_words(seen, terminal)
    lines = wrap(rest, terminal.prose, first=first, rest=" " * 4)
    yield from painted(terminal, lines, first, _look(seen), "bold")


def _line_of(seen: View, terminal: Terminal) -> str:
    """The answer alone on one line, however long, so that lines can be counted and searched."""
    first, rest = _answer_words(seen, terminal)
    return terminal.paint(first, _look(seen)) + terminal.paint(rest, "bold")


def _answer_words(seen: View, terminal: Terminal) -> tuple[str, str]:
    sign = terminal.sign(_look(seen))
    return f"{sign} {seen.status_word}  ", f"{seen.target} {terminal.sign('dash')} {seen.headline}"


def _look(seen: View) -> Severity:
    """Notes are no reason to look less than well."""
    return Severity.OK if seen.status is Severity.INFO else seen.status


# --- the findings ---------------------------------------------------------------------------------------------------


def _advice(finding: FindingView) -> tuple[object, ...]:
    """All that is said of a problem but where it is and how grave it is there."""
    return (finding.id, finding.meaning, finding.steps, finding.reply, finding.references, finding.links)


def _problem(twins: Sequence[FindingView], style: Style) -> Iterator[str]:
    """One problem: what, where, the server's own words, what it means, and what to do.

    Args:
        twins: the same in different places, which matter more or less; the gravest first.
    """
    terminal = style.terminal
    for finding, instance in ((each, instance) for each in twins for instance in each.instances):
        first = f"{terminal.sign(finding.severity)} {writing.named(finding.severity_word, '', style.language)}"
        lines = wrap(instance.title, terminal.prose, first=first, rest="  ")
        yield from painted(terminal, lines, first, finding.severity, "bold")
        yield from _field("where", _shown_places(instance.places, style), style)
        for reply in instance.replies:
            yield from _field("reply", _quoted(reply, style), style)
    finding = twins[0]
    yield from _field("meaning", finding.meaning, style)
    words = finding.reply
    if words is not None:
        yield from _field("reason", reason(finding, style.language), style)
    key = "settle" if all(each.severity is Severity.INCONCLUSIVE for each in twins) else "fix"
    yield from _field(key, _numbered(finding.steps), style)
    if words is not None:
        if style.verbosity > 0 or not finding.steps:
            yield from _field("sender", _numbered(words.sender_steps.splitlines()), style)
            yield from _field("receiver", _numbered(words.receiver_steps.splitlines()), style)
        yield from _field("who", words.actor, style)
        yield from _field("retry", words.retry, style)
    yield from _field("see", ", ".join((*finding.references, *finding.links)), style)
    yield from _field("id", finding.id, style, paint="dim")


def reason(finding: FindingView, language: str) -> str:
    """Say why the server may have replied so: the most specific that is known, and how sure that is."""
    words = finding.reply
    if words is None:
        return ""
    text = cause_words(words, language) or words.enhanced_meaning or words.meaning
    return writing.sentences((text, *words.contradictions), language)


def _numbered(steps: Iterable[str]) -> str:
    lines = [line.strip() for line in steps if line.strip()]
    if len(lines) < 2:
        return "".join(lines)
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _shown_places(places: Sequence[Place], style: Style) -> str:
    """Name the places, one host a line; many are counted instead, but with ``-v``."""
    left = 10_000 if style.verbosity > 0 else MAX_PLACES
    lines = []
    for place in places:
        shown = place.endpoints[: max(left, 1)]
        left -= max(len(shown), 1)
        hidden = len(place.endpoints) - len(shown)
        names = [*shown, *([label(style.language, "section", "more-places", count=hidden)] if hidden else [])]
        lines.append(" ".join(filter(None, (place.host, ", ".join(names)))))
    return "\n".join(lines)


def _quoted(lines: Sequence[str], style: Style) -> str:
    """The server's words, not too many of them."""
    if style.verbosity > 1:
        return "\n".join(lines)
    more, times = style.terminal.sign("more"), MORE_TIMES if style.verbosity == 1 else 1
    # A line that says how many are left out could as well be the last of them.
    limit = MAX_REPLY_LINES * times
    limit += len(lines) == limit + 1
    shown = [cut(line, MAX_LINE_CELLS * times, more) for line in lines[:limit]]
    if len(lines) > len(shown):
        shown.append(label(style.language, "section", "more-lines", count=len(lines) - len(shown)))
    return "\n".join(shown)


def _field(name: str, text: str, style: Style, paint: str | None = None) -> Iterator[str]:
    """A label and its text, which stands in a column of its own where there is room."""
    if not text:
        return
    terminal, head = style.terminal, label(style.language, "finding", name)
    if terminal.width < NARROW:
        first = f"  {writing.named(head, '', style.language)}"
        rest = " " * 4
    else:
        first = "  " + pad(head, _label_cells(style.language)) + "  "
        rest = " " * cell_width(first)
    lines = _listed(text, terminal.prose, first, rest)
    yield from painted(terminal, lines, first, "dim", paint)


def _listed(text: str, cells: int, first: str, rest: str) -> list[str]:
    """Wrap text whose lines may be numbered; what follows a number hangs below its text."""
    lines: list[str] = []
    for line in text.split("\n"):
        number = line[: line.index(". ") + 2] if line[:1].isdigit() and ". " in line[:4] else ""
        hanging = _hanging(line, cells, len(rest) + len(number))
        lines.extend(wrap(line, cells, first=rest if lines else first, rest=hanging))
    return lines


def _hanging(text: str, cells: int, indent: int) -> str:
    """The blanks before the further lines of a text: fewer where a record or an address, which people copy, would
    otherwise be broken."""
    longest = max(map(cell_width, text.split()), default=0)
    return " " * (min(indent, LEAST_INDENT) if cells - indent < longest <= cells - LEAST_INDENT else indent)


_FIELDS: Final = (
    "where",
    "reply",
    "meaning",
    "reason",
    "fix",
    "settle",
    "sender",
    "receiver",
    "who",
    "retry",
    "see",
    "id",
)


def _label_cells(language: str) -> int:
    return max(cell_width(label(language, "finding", name)) for name in _FIELDS)


def _notes(seen: View, style: Style) -> Iterator[str]:
    """Notes in short: each title once, with the hosts; not those of which the problems say the same already."""
    told = {
        (each.title, place.host) for finding in seen.problems for each in finding.instances for place in each.places
    }
    hosts: dict[str, dict[str, None]] = {}
    for finding in seen.notes:
        for instance in finding.instances:
            left = [place for place in instance.places if (instance.title, place.host) not in told]
            if left or not instance.places:
                names = (place.host or place.endpoints[0] for place in left)
                hosts.setdefault(instance.title, {}).update(dict.fromkeys(names))
    if not hosts:
        return
    terminal = style.terminal
    yield ""
    yield terminal.paint(label(style.language, "section", "notes"), "bold")
    for title, there in hosts.items():
        text = writing.aside(title, _some(tuple(there), style), style.language)
        yield from marked(terminal, Severity.INFO, text, indent=2)


def _some(names: Sequence[str], style: Style) -> str:
    """List the names, of many the first."""
    shown, more = names[:MAX_PLACES], len(names) - MAX_PLACES
    others = (label(style.language, "section", "more-places", count=more),) if more > 0 else ()
    return writing.listed((*shown, *others), style.language)


def _short_findings(findings: Sequence[FindingView], section: str, style: Style) -> Iterator[str]:
    """Notes and what passed: one line each, and what the notes mean."""
    if not findings:
        return
    terminal = style.terminal
    yield ""
    yield terminal.paint(label(style.language, "section", section), "bold")
    for finding in findings:
        for instance in finding.instances:
            where = writing.clauses(_shown_places(instance.places, style).splitlines(), style.language)
            text = writing.aside(instance.title, where, style.language)
            yield from marked(terminal, finding.severity, text, indent=2)
        if finding.severity is Severity.INFO:
            for text in (finding.meaning, _numbered(finding.steps)):
                if text:
                    yield from _listed(text, terminal.prose, " " * 4, " " * 4)


# --- the end --------------------------------------------------------------------------------------------------------


def _tally(seen: View, style: Style) -> Iterator[str]:
    """How many findings of which weight, and what the probe took."""
    language, terminal = style.language, style.terminal
    counts = writing.together((words for _, words in seen.counts), language)
    effort = label(language, "closing", "summary", time=duration(seen.elapsed_s, language), count=seen.connections)
    text = f"{counts} {terminal.sign('dot')} {effort}" if counts else effort
    for line in wrap(text, terminal.prose):
        yield terminal.paint(line, "dim")


def _closing(statuses: Counter[Severity], result: Outcome | None, style: Style) -> Iterator[str]:
    """What all targets come to, and with which exit status; without one where the run was stopped."""
    language, terminal = style.language, style.terminal
    if statuses.total() > 1:
        yield ""
        parts = [
            writing.named(label(language, "status", status), f"{statuses[status]}", language)
            for status in GRAVITY
            if statuses[status]
        ]
        heading = label(language, "closing", "targets", count=statuses.total())
        lines = wrap(writing.together(parts, language), terminal.prose, first=f"{heading}  ", rest="  ")
        yield from painted(terminal, lines, heading, "bold")
    key = "interrupted" if result is None else str(result)
    text = label(language, "closing", key, threshold=label(language, "severity", style.fail_on))
    if style.verbosity == 0:
        text = f"{text} {terminal.sign('dot')} {label(language, 'section', 'verbose')}"
    for line in wrap(text, terminal.prose):
        yield terminal.paint(line, "dim")


# --- lines ----------------------------------------------------------------------------------------------------------


def marked(terminal: Terminal, sign: str, text: str, *, indent: int = 0) -> Iterator[str]:
    """A sign and its text, wrapped."""
    first = " " * indent + terminal.sign(sign) + " "
    yield from painted(terminal, wrap(text, terminal.prose, first=first), first, sign)
