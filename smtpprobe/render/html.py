"""One self-contained HTML file: the answer, the matrix, what to mend, and each conversation as a waterfall.

No script, no request to anywhere, light and dark as the reader's system wishes, fit for a ticket's attachment. The
template escapes everything that is put into it; text of servers has passed `escape` before, as for every format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from smtpprobe import __version__, texts
from smtpprobe.evidence import Evidence
from smtpprobe.render import Style, writing
from smtpprobe.render.pages import environment
from smtpprobe.render.transcript import ConversationView, DnsLine, Step, transcript
from smtpprobe.render.view import FindingView, View, view
from smtpprobe.render.words import cause_words, duration, label
from smtpprobe.report import Report, Severity

BAR_WIDTH: Final = 640.0
"""Units of the drawing's own measure that the longest conversation takes."""
ROW_HEIGHT: Final = 20
MIN_BAR: Final = 1.5
"""The thinnest bar that the eye finds."""

SIGNS: Final = {
    Severity.ERROR: "✖",
    Severity.WARNING: "▲",
    Severity.INCONCLUSIVE: "?",
    Severity.INFO: "•",
    Severity.OK: "✔",
}


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a waterfall."""

    name: str
    time: str
    x: float
    y: float
    width: float
    kind: str
    """``network``, ``reply``, ``refused`` or ``failed``: chooses the colour, the name says the same."""


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """The steps of a conversation that took time, drawn against the time."""

    bars: tuple[Bar, ...]
    height: float
    caption: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One target."""

    view: View
    told: tuple[str, ...]
    """The columns that may be left out, apart from those in which nothing stands."""
    groups: tuple[tuple[str, tuple[FindingView, ...]], ...]
    lookups: tuple[DnsLine, ...]
    conversations: tuple[tuple[ConversationView, Waterfall], ...]
    began: str


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give one document over all reports.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    pages = environment()
    language = style.language
    pages.filters["duration"] = lambda seconds: duration(seconds, language)
    pages.globals["label"] = lambda table, field, **params: label(language, table, field, **params)
    pages.globals["way"] = lambda *phrases: writing.way(phrases, language)
    pages.globals["named"] = lambda name, text="": writing.named(name, text, language)
    pages.globals["cause"] = lambda words: cause_words(words, language)
    page = pages.get_template("report.html.jinja")
    yield page.render(
        language=language,
        direction="rtl" if language.split("-")[0] in texts.RIGHT_TO_LEFT else "ltr",
        version=__version__,
        signs={severity.value: sign for severity, sign in SIGNS.items()},
        sections=[_section(report, style) for report in reports],
        bar_width=BAR_WIDTH,
    )


def _section(report: Report, style: Style) -> Section:
    shown = view(report, style.language)
    passed = transcript(report, style.language)
    longest = max((_length(each) for each in passed.conversations), default=0.0)
    groups = (("problems", shown.problems), ("notes", shown.notes), ("passed", shown.passed))
    return Section(
        view=shown,
        told=tuple(
            name
            for name in ("software", "tls")
            if any(getattr(row, name) for host in shown.hosts for row in host.endpoints)
        ),
        groups=tuple((name, findings) for name, findings in groups if findings),
        lookups=passed.lookups,
        conversations=tuple((each, waterfall(each, longest, style.language)) for each in passed.conversations),
        began=_began(report.evidence),
    )


def _began(evidence: Evidence) -> str:
    return evidence.started_at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _length(conversation: ConversationView) -> float:
    return max((step.at_s for step in conversation.steps), default=0.0)


def waterfall(conversation: ConversationView, longest_s: float, language: str) -> Waterfall:
    """Draw a conversation; `longest_s` is the time that fills the width, so that conversations can be compared."""
    scale = BAR_WIDTH / longest_s if longest_s > 0 else 0.0
    bars: list[Bar] = []
    name = ""
    for step in conversation.steps:
        if step.took_s is None:
            name = step.lines[0] if step.lines else ""
            continue
        began_s = max(0.0, step.at_s - step.took_s)
        width = max(MIN_BAR, step.took_s * scale)
        bars.append(
            Bar(
                name=name or (step.lines[0] if step.lines else ""),
                time=duration(step.took_s, language),
                x=round(min(began_s * scale, BAR_WIDTH - width), 2),
                y=len(bars) * ROW_HEIGHT,
                width=round(width, 2),
                kind=_kind(step),
            )
        )
        name = ""
    return Waterfall(bars=tuple(bars), height=len(bars) * ROW_HEIGHT, caption=conversation.title)


def _kind(step: Step) -> str:
    if step.severity is Severity.ERROR or step.severity is Severity.WARNING:
        return "refused"
    return "network" if step.kind == "event" else "reply"
