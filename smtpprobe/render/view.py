"""What a report says to people: walked once, every word resolved, every foreign text escaped.

A format for people (text, Markdown, HTML) lays a `View` out and decides nothing about content. The order is that of
interest: whether mail works, what to do next, which server is how, what is wrong, what else is worth knowing.
`transcript` holds the second half, the conversations, for those who want to see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from smtpprobe.checks import KINDS
from smtpprobe.checks.delivery import tried_hosts
from smtpprobe.checks.kinds import Topic
from smtpprobe.evidence import DmarcRecord, Evidence, Failure, FailureKind, Posture, SpfRecord
from smtpprobe.render import writing
from smtpprobe.render.advice import steps
from smtpprobe.render.escaping import escape, quoted, show_lines
from smtpprobe.render.summary import HostView, hosts
from smtpprobe.render.words import ExplanationWords, explanation_words, finding_words, label
from smtpprobe.report import GRAVITY, Delivery, Fate, Finding, Report, Severity, Where

_PROBLEMS: Final = (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE)

_HEADLINES: Final = ("mail-reachable", "mx-all-unreachable", "null-mx", "submission-reachable", "nothing-probed")
"""The findings that answer whether mail works, in the order of preference; else the gravest problem does."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something was found: a host, and which of its endpoints; without any, the host as such."""

    host: str
    endpoints: tuple[str, ...] = ()


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One wording of a finding, with all places that have it."""

    title: str
    places: tuple[Place, ...]
    replies: tuple[tuple[str, ...], ...] = ()
    """The different replies that it rests on, first met first, each as its lines."""

    @property
    def quotations(self) -> tuple[tuple[str, ...], ...]:
        """The same, shortened for documents that may only become so large."""
        return tuple(map(quoted, self.replies))


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of one kind with the same advice: said once, for all places."""

    id: str
    severity: Severity
    severity_word: str
    instances: tuple[Instance, ...]
    meaning: str = ""
    steps: tuple[str, ...] = ()
    """What to do, in order."""
    reply: ExplanationWords | None = None
    """What the reply means that it rests on."""
    references: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    provider: str = ""
    rule: str = ""

    @property
    def title(self) -> str:
        """The wording of the first instance."""
        return self.instances[0].title


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of sender would fare."""

    sender: str
    fate: str
    severity: Severity
    way: str
    """Where the mail would go, and past which hosts; empty where it would go nowhere."""
    reason: str


class PostureView(msgspec.Struct, frozen=True, kw_only=True):
    """SPF or DMARC of the domain, as another library sees it."""

    name: str
    severity: Severity
    """How it looks; it is no finding and counts for nothing else."""
    verdict: str
    record: str
    """Empty where there is none."""
    remarks: tuple[str, ...]
    """In the library's words."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One report in words."""

    language: str
    target: str
    status: Severity
    status_word: str
    headline: str
    """Whether mail works, in one sentence."""
    lead: str
    """The gravest problem and where it is, a cause before what sums up; empty where there is none or the headline tells
    it already."""
    next_step: str
    """The first thing to do about it; empty where nothing is."""
    counts: tuple[tuple[Severity, str], ...]
    """In words, gravest first, without those of which there are none."""
    hosts: tuple[HostView, ...]
    deliveries: tuple[DeliveryView, ...]
    posture_heading: str
    """Names the library; empty where nobody asked for it."""
    posture: tuple[PostureView, ...]
    problems: tuple[FindingView, ...]
    """Errors, warnings and what is not known."""
    notes: tuple[FindingView, ...]
    passed: tuple[FindingView, ...]
    elapsed_s: float
    connections: int
    interrupted: str
    """Says how far the probe came when it was stopped; empty where it was not."""


def view(report: Report, language: str) -> View:
    """Put a report into words."""
    evidence = report.evidence
    findings = _grouped(report, language)
    problems = tuple(each for each in findings if each.severity in _PROBLEMS)
    headline = _headline(report, problems, language)
    foremost = _foremost(problems)
    return View(
        language=language,
        target=escape(evidence.target.text),
        status=report.status,
        status_word=label(language, "status", report.status),
        headline=headline,
        lead=_lead(foremost[0], language) if foremost and foremost[0].title != headline else "",
        next_step=_next_step(foremost),
        counts=_counts(report.findings, language),
        hosts=tuple(hosts(report, language)),
        deliveries=_deliveries(report.deliveries, language),
        posture_heading=_posture_heading(evidence.posture, language),
        posture=tuple(_posture(evidence.posture, language)) if evidence.posture is not None else (),
        problems=problems,
        notes=tuple(each for each in findings if each.severity is Severity.INFO),
        passed=tuple(each for each in findings if each.severity is Severity.OK),
        elapsed_s=evidence.elapsed_s,
        connections=sum(each.connections for each in evidence.conversations),
        interrupted=_interrupted(evidence, language),
    )


# --- the answer -----------------------------------------------------------------------------------------------------


def _headline(report: Report, problems: tuple[FindingView, ...], language: str) -> str:
    by_id = {finding.id: finding for finding in reversed(report.findings)}
    for id_ in _HEADLINES:
        if id_ in by_id:
            return finding_words(by_id[id_], language).title
    if problems:
        return problems[0].title
    return (
        finding_words(report.findings[0], language).title if report.findings else label(language, "verdict", "nothing")
    )


def _foremost(problems: tuple[FindingView, ...]) -> tuple[FindingView, ...]:
    """The problems, but of equally grave ones those that sum up behind those that they sum up: causes can be mended."""

    def rank(problem: FindingView) -> tuple[int, bool]:
        kind = KINDS.get(problem.id)
        return GRAVITY.index(problem.severity), kind is not None and kind.topic is Topic.SUMMARY

    return tuple(sorted(problems, key=rank))


def _lead(problem: FindingView, language: str) -> str:
    places = [" ".join((each.host, *each.endpoints[:1])).strip() for each in problem.instances[0].places]
    more = sum(max(1, len(place.endpoints)) for each in problem.instances for place in each.places) - 1
    if not places:
        return problem.title
    others = [label(language, "section", "more-places", count=more)] if more else []
    return writing.aside(problem.title, writing.listed((places[0], *others), language), language)


def _next_step(problems: tuple[FindingView, ...]) -> str:
    for problem in problems:
        if problem.steps:
            return problem.steps[0]
    return ""


def _counts(findings: Iterable[Finding], language: str) -> tuple[tuple[Severity, str], ...]:
    severities = [finding.severity for finding in findings]
    return tuple(
        (severity, label(language, "counts", severity, count=severities.count(severity)))
        for severity in GRAVITY
        if severity in severities
    )


def _interrupted(evidence: Evidence, language: str) -> str:
    if not evidence.is_interrupted:
        return ""
    total = len(evidence.endpoints)
    finished = sum(1 for each in evidence.conversations if not _is_stopped(each.failure))
    return label(language, "verdict", "interrupted", done=finished, total=total)


def _is_stopped(failure: Failure | None) -> bool:
    return failure is not None and failure.kind is FailureKind.INTERRUPTED


# --- the delivery ---------------------------------------------------------------------------------------------------

_FATES: Final = {
    Fate.AUTHENTICATED: Severity.OK,
    Fate.ENCRYPTED: Severity.OK,
    Fate.CLEAR: Severity.WARNING,
    Fate.DEFERS: Severity.ERROR,
    Fate.BOUNCES: Severity.ERROR,
    Fate.UNKNOWN: Severity.INCONCLUSIVE,
}


def _deliveries(deliveries: tuple[Delivery, ...], language: str) -> tuple[DeliveryView, ...]:
    """How each kind of sender would fare; where that is the same for all of them, how any would."""
    views = tuple(_delivery(each, language) for each in deliveries)
    outcomes = {(each.fate, each.way, each.reason) for each in views}
    return views if len(outcomes) > 1 else views[:1]


def _delivery(delivery: Delivery, language: str) -> DeliveryView:
    """Put the fate of one kind of sender into words. That a domain takes no mail is no fault where it says so."""
    is_meant = delivery.reason == "null-mx"
    return DeliveryView(
        sender=label(language, "sender", delivery.sender),
        fate=label(language, "fate", delivery.fate),
        severity=Severity.INFO if is_meant else _FATES[delivery.fate],
        way=writing.way(_way(delivery, language), language),
        reason=label(language, "delivery-reason", delivery.reason),
    )


# --- who may send ---------------------------------------------------------------------------------------------------


def _posture_heading(posture: Posture | None, language: str) -> str:
    return label(language, "posture", "heading", library=escape(posture.library)) if posture is not None else ""


def _posture(posture: Posture, language: str) -> Iterator[PostureView]:
    for name, found in (("SPF", posture.spf), ("DMARC", posture.dmarc)):
        if found is None:
            yield PostureView(
                name=name,
                severity=Severity.INCONCLUSIVE,
                verdict=label(language, "posture", "unknown"),
                record="",
                remarks=(escape(posture.failure or "-"),),
            )
            continue
        words = [
            label(language, "posture", "valid" if found.is_valid else "missing" if not found.record else "invalid")
        ]
        if isinstance(found, DmarcRecord) and found.policy is not None:
            words.append(label(language, "posture", "policy", policy=escape(found.policy)))
        if isinstance(found, SpfRecord) and found.lookups is not None:
            words.append(label(language, "posture", "lookups", count=found.lookups))
        remarks = (*((found.error,) if found.error is not None else ()), *found.warnings)
        yield PostureView(
            name=name,
            severity=Severity.OK if found.is_valid and not remarks else Severity.WARNING,
            verdict=writing.together(words, language),
            record=escape(found.record or ""),
            remarks=tuple(map(escape, remarks)),
        )


def _way(delivery: Delivery, language: str) -> Iterator[str]:
    """Where the mail goes, which hosts did not take it before, and which of them might take it from others."""
    if delivery.host is None:
        return
    yield label(language, "delivery", "at", host=escape(delivery.host))
    failed = tried_hosts(delivery, (Fate.DEFERS, Fate.BOUNCES))
    if failed:
        yield label(language, "delivery", "passed-over", hosts=tuple(map(escape, failed)))
    unjudged = tried_hosts(delivery, (Fate.UNKNOWN,))
    if unjudged:
        yield label(language, "delivery", "unjudged", hosts=tuple(map(escape, unjudged)))


# --- the findings ---------------------------------------------------------------------------------------------------


def _grouped(report: Report, language: str) -> list[FindingView]:
    """Group findings that give the same advice, gravest first, else in report order."""
    groups: dict[tuple[object, ...], list[tuple[str, Finding]]] = {}
    for finding in report.findings:
        words = finding_words(finding, language)
        explanation = finding.explanation
        reason = (
            None if explanation is None else (explanation.code_key, explanation.diagnosis, explanation.enhanced_key)
        )
        key = (finding.id, finding.severity, words.meaning, words.fix, reason)
        groups.setdefault(key, []).append((words.title, finding))
    views = [_finding_view(report.evidence, members, language) for members in groups.values()]
    return sorted(views, key=lambda each: GRAVITY.index(each.severity))


def _finding_view(evidence: Evidence, members: list[tuple[str, Finding]], language: str) -> FindingView:
    first = members[0][1]
    words = finding_words(first, language)
    explanation = first.explanation
    by_title: dict[str, list[Finding]] = {}
    for title, finding in members:
        by_title.setdefault(title, []).append(finding)
    reply = None if explanation is None else explanation_words(explanation, language)
    return FindingView(
        id=escape(first.id),
        severity=first.severity,
        severity_word=label(language, "severity", first.severity),
        instances=tuple(
            Instance(
                title=title,
                places=_places(finding.where for finding in same),
                replies=tuple(show_lines(raw) for raw in dict.fromkeys(each.reply.raw for each in same if each.reply)),
            )
            for title, same in by_title.items()
        ),
        meaning=words.meaning,
        steps=steps(words.fix, [(evidence, each) for _, each in members]),
        reply=reply,
        references=() if explanation is None else explanation.references,
        links=() if explanation is None else explanation.links,
        provider="" if explanation is None else escape(explanation.provider or ""),
        rule="" if explanation is None else escape(explanation.rule),
    )


def _places(wheres: Iterable[Where]) -> tuple[Place, ...]:
    """Collect places by host; what is about the whole target has none."""
    by_host: dict[str, dict[str, None]] = {}
    for where in wheres:
        endpoint = where.endpoint or where.address
        endpoint = None if endpoint is None else escape(endpoint)
        host = "" if where.host is None or where.host == where.address else where.host
        if not host and endpoint is None:
            continue
        endpoints = by_host.setdefault(escape(host), {})
        if endpoint is not None:
            endpoints[endpoint] = None
    return tuple(Place(host=host, endpoints=tuple(endpoints)) for host, endpoints in by_host.items())
