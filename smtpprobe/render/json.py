"""Reports for programs: the whole evidence, the findings with their words, and the explanation of every reply.

One document, always of the same shape, whether one target was checked or many; each report stands on a line of its own.
Nothing in it depends on when or where it is written: the same evidence gives the same bytes. It is plain ASCII,
so that no encoding spoils it and no terminal acts on what a server put into it.

The values below are the definition of the form; `schema_of` makes the JSON Schema of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from smtpprobe.evidence import Evidence, Fact, encode
from smtpprobe.render.advice import steps
from smtpprobe.render.style import Style
from smtpprobe.render.words import finding_words
from smtpprobe.report import REPORT_SCHEMA, Annotation, Delivery, Finding, Report, Severity

REPORTS_SCHEMA: Final = "smtpprobe/reports/1"
"""Name and version of the form; the number changes when a reader must change."""


class WordedFinding(Finding, frozen=True, kw_only=True):
    """A finding with its words. The ids are stable; the words are for people and may change."""

    title: str
    meaning: str
    """Empty where no words are shipped for the id."""
    fix: tuple[str, ...]
    """What to do, step by step; empty where nothing is to be done."""


class WordedReport(Fact, frozen=True, kw_only=True):
    """One target: what was found, what it means, and in `evidence` everything that was seen."""

    schema: Literal["smtpprobe/report/1"] = REPORT_SCHEMA
    language: str
    """Of the words, as a BCP 47 tag."""
    target: str
    """As it was typed."""
    status: Severity
    """The gravest of the findings; ``inconclusive`` where something that matters is not known."""
    findings: tuple[WordedFinding, ...]
    annotations: tuple[Annotation, ...]
    """What each reply in the evidence means."""
    deliveries: tuple[Delivery, ...]
    """How each kind of sender would fare; empty where the target is no mail domain."""
    evidence: Evidence


class Reports(Fact, frozen=True, kw_only=True):
    """The document that ``--format json`` prints."""

    schema: Literal["smtpprobe/reports/1"] = REPORTS_SCHEMA
    reports: tuple[WordedReport, ...]
    """In the order in which the targets were given."""


def render(reports: Iterable[Report], style: Style) -> Iterator[str]:
    """Give the document piece by piece; it is whole even where there is no report."""
    yield f'{{"schema":"{REPORTS_SCHEMA}","reports":['
    separator = "\n"
    for report in reports:
        yield separator + ascii_json(encode(worded(report, style.language)))
        separator = ",\n"
    yield "\n]}\n"


def worded(report: Report, language: str) -> WordedReport:
    """Put the words of one language to a report."""
    return WordedReport(
        language=language,
        target=report.evidence.target.text,
        status=report.status,
        findings=tuple(_worded_finding(report.evidence, finding, language) for finding in report.findings),
        annotations=report.annotations,
        deliveries=report.deliveries,
        evidence=report.evidence,
    )


def _worded_finding(evidence: Evidence, finding: Finding, language: str) -> WordedFinding:
    words = finding_words(finding, language)
    return WordedFinding(
        **msgspec.structs.asdict(finding),
        title=words.title,
        meaning=words.meaning,
        fix=steps(words.fix, [(evidence, finding)]),
    )


_NOT_PLAIN: Final = re.compile("[^ -~]")


def ascii_json(document: bytes) -> str:
    """Spell out what is not plain ASCII in compact JSON, where it can only stand inside strings (RFC 8259 7).

    So is the second of two ``#``, since some CI servers take ``##[`` in the log of a job for a command.
    """
    text = document.decode().replace("##", "#\\u0023")
    return text if text.isascii() and "\x7f" not in text else _NOT_PLAIN.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
