"""What a report says to people: walked once, every word resolved, every foreign text escaped.

A format for people (text, Markdown, HTML) lays a `View` out and decides nothing about content. The order is that of
interest: whether mail works, what to do next, which server is how, what is wrong, what else is worth knowing.
`transcript` holds the second half, the conversations, for those who want to see them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Evidence,
    Failure,
    HostOrigin,
    LookupStatus,
    MxHost,
    Phase,
    Reply,
    TlsSession,
)
from smtpprobe.render.escaping import escape as escape
from smtpprobe.render.words import ExplanationWords, explanation_words, finding_words, label
from smtpprobe.report import Finding, Report, Severity, Where

GRAVITY: Final = (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE, Severity.INFO, Severity.OK)
"""Gravest first, as people want to read; what is not known stands behind what is known to be wrong."""

_PROBLEMS: Final = (Severity.ERROR, Severity.WARNING, Severity.INCONCLUSIVE)

_HEADLINES: Final = (
    "mail-reachable",
    "mx-all-unreachable",
    "null-mx",
    "submission-reachable",
    "domain-nxdomain",
    "nothing-probed",
)
"""The findings that answer whether mail works, in the order of preference."""


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the summary: an endpoint, or several ports of an address of which the same is to be said."""

    address: str
    ports: tuple[int, ...]
    severity: Severity | None
    """The gravest that was found there; `OK` where it answers and nothing is wrong; None: nothing to say."""
    state: str
    software: str = ""
    tls: str = ""
    tls_severity: Severity | None = None
    elapsed_s: float | None = None
    """From the first packet to the last; None where it never began."""


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """A host with its endpoints."""

    kind: str
    """``MX 10``, ``Host`` ..."""
    name: str
    """Empty for a bare address, which stands in the rows."""
    reason: str = ""
    """Why there is no address; empty where there is one."""
    endpoints: tuple[EndpointView, ...] = ()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where something was found: a host, and which of its endpoints; without any, the host as such."""

    host: str
    endpoints: tuple[str, ...] = ()


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One wording of a finding, with all places that have it."""

    title: str
    places: tuple[Place, ...]
    replies: tuple[Reply, ...] = ()
    """The different replies that it rests on, first met first. Not escaped: use `transcript.reply_lines`."""


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


class View(msgspec.Struct, frozen=True, kw_only=True):
    """One report in words."""

    language: str
    target: str
    status: Severity
    status_word: str
    headline: str
    next_step: str
    """The first thing to do; empty where nothing is."""
    counts: tuple[tuple[Severity, str], ...]
    """In words, gravest first, without those of which there are none."""
    hosts: tuple[HostView, ...]
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
    findings = _grouped(report.findings, language)
    problems = tuple(each for each in findings if each.severity in _PROBLEMS)
    return View(
        language=language,
        target=escape(evidence.target.text),
        status=report.status,
        status_word=label(language, "status", report.status),
        headline=_headline(report, problems, language),
        next_step=_next_step(problems),
        counts=_counts(report.findings, language),
        hosts=tuple(_hosts(report, language)),
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
    finished = sum(1 for each in evidence.conversations if each.failure is None or each.failure.kind != "interrupted")
    return label(language, "verdict", "interrupted", done=finished, total=total)


# --- the summary ----------------------------------------------------------------------------------------------------


def _hosts(report: Report, language: str) -> Iterator[HostView]:
    evidence = report.evidence
    seen: set[str] = set()
    for host in evidence.resolution.hosts:
        seen.add(host.name)
        rows = tuple(_rows(report, host.name, language))
        yield HostView(
            kind=_host_kind(host, language),
            name="" if host.addresses == (host.name,) else escape(host.name),
            reason="" if host.addresses else _no_address(host, language),
            endpoints=rows,
        )
    for name in dict.fromkeys(each.host for each in evidence.endpoints):
        if name not in seen:
            yield HostView(
                kind=label(language, "host", "given"), name=escape(name), endpoints=tuple(_rows(report, name, language))
            )


def _host_kind(host: MxHost, language: str) -> str:
    if host.origin is HostOrigin.MX:
        return label(language, "host", "mx", preference="?" if host.preference is None else host.preference)
    if host.origin is HostOrigin.GIVEN and host.addresses == (host.name,):
        return label(language, "host", "address")
    return label(language, "host", host.origin)


def _no_address(host: MxHost, language: str) -> str:
    """Name the gravest reason why no address is known: a failed look-up before a name that has none."""
    statuses = [lookup.status for lookup in host.lookups]
    clear = (LookupStatus.NO_DATA, LookupStatus.NXDOMAIN, LookupStatus.ANSWERED)
    failed = [status for status in statuses if status not in clear]
    status = (failed or statuses or [LookupStatus.NO_DATA])[0]
    return label(language, "host", "no-address", reason=label(language, "lookup", status))


def _rows(report: Report, host: str, language: str) -> Iterator[EndpointView]:
    """The endpoints of a host; ports of one address of which nothing but the same failure is to be said are merged."""
    evidence = report.evidence
    conversations = {(each.endpoint.address, each.endpoint.port): each for each in evidence.conversations}
    pending: EndpointView | None = None
    for endpoint in evidence.endpoints:
        if endpoint.host != host:
            continue
        conversation = conversations.get((endpoint.address, endpoint.port))
        row = _row(report, endpoint, conversation, language)
        if pending is not None and _is_alike(pending, row):
            pending = msgspec.structs.replace(
                pending,
                ports=pending.ports + row.ports,
                elapsed_s=max(pending.elapsed_s or 0.0, row.elapsed_s or 0.0),
            )
            continue
        if pending is not None:
            yield pending
        pending = row
    if pending is not None:
        yield pending


def _is_alike(one: EndpointView, other: EndpointView) -> bool:
    said = (one.software, one.tls, other.software, other.tls)
    return not any(said) and (one.address, one.state, one.severity) == (other.address, other.state, other.severity)


def _row(report: Report, endpoint: Endpoint, conversation: Conversation | None, language: str) -> EndpointView:
    gravest = _gravest(report.findings, endpoint)
    if conversation is None:
        return EndpointView(
            address=endpoint.address,
            ports=(endpoint.port,),
            severity=gravest,
            state=label(language, "state", "unfinished"),
        )
    answers, state = _state(conversation, language)
    tls, tls_severity = _tls(report.evidence, conversation, language)
    return EndpointView(
        address=endpoint.address,
        ports=(endpoint.port,),
        severity=Severity.OK if answers and gravest in (None, Severity.INFO) else gravest,
        state=state,
        software=_software(conversation),
        tls=tls,
        tls_severity=tls_severity,
        elapsed_s=conversation.ended_s - conversation.started_s,
    )


def _gravest(findings: Iterable[Finding], endpoint: Endpoint) -> Severity | None:
    there = {
        finding.severity
        for finding in findings
        if (finding.where.address, finding.where.port) == (endpoint.address, endpoint.port)
        and finding.where.host in (None, endpoint.host)
    }
    return next((severity for severity in GRAVITY if severity in there and severity is not Severity.OK), None)


def _state(conversation: Conversation, language: str) -> tuple[bool, str]:
    """Tell whether the endpoint greeted and took EHLO or HELO, and say how it stands."""
    failure = conversation.failure
    if failure is not None and failure.phase is not Phase.QUIT:
        what = label(language, "failure", failure.kind)
        return False, what if failure.phase is Phase.CONNECT else _at(what, failure.phase, language)
    for phases in ((Phase.GREETING,), (Phase.HELO, Phase.EHLO)):
        exchange = next(filter(None, map(conversation.exchange, phases)), None)
        if exchange is None:
            return False, label(language, "state", "unfinished")
        reply = exchange.outcome
        if isinstance(reply, Failure):
            return False, _at(label(language, "failure", reply.kind), exchange.phase, language)
        if reply.code is None:
            return False, _at(label(language, "failure", "garbage"), exchange.phase, language)
        if not 200 <= reply.code <= 299:
            return False, _at(str(reply.code), exchange.phase, language)
    return True, label(language, "state", "answers")


def _at(what: str, phase: Phase, language: str) -> str:
    return label(language, "state", "at", what=what, phase=label(language, "phase", phase))


def _tls(evidence: Evidence, conversation: Conversation, language: str) -> tuple[str, Severity | None]:
    """Say how TLS stands: version and trust, or why there is none; empty where it was not reached."""
    session = conversation.session
    if session is not None:
        version = session.version.replace("TLSv", "TLS ")
        flaws = trust_flaws(evidence, session)
        words = [label(language, "tls", flaw) for flaw in flaws] or [label(language, "tls", "trusted")]
        return ", ".join([escape(version), *words]), Severity.WARNING if flaws else Severity.OK
    if conversation.handshake is not None:
        return label(language, "tls", "failed"), Severity.WARNING
    starttls = conversation.reply(Phase.STARTTLS)
    if starttls is not None:
        return label(language, "tls", "refused", code=str(starttls.code)), Severity.WARNING
    if conversation.reply(Phase.EHLO) is not None and conversation.failure is None:
        return label(language, "tls", "none"), Severity.WARNING
    return "", None


def trust_flaws(evidence: Evidence, session: TlsSession) -> list[str]:
    """Name what keeps a certificate from being trusted, as fields of the label table ``tls``; empty if nothing does."""
    trust = session.trust
    if trust is None:
        return ["unread" if session.chain else "no-certificate"]
    flaws = []
    if not trust.is_within_validity:
        starts = evidence.certificate(session.chain[0]).not_before if session.chain else None
        flaws.append("not-yet-valid" if starts is not None and starts > evidence.started_at else "expired")
    if trust.is_name_matched is False:
        flaws.append("wrong-name")
    if not trust.is_chain_trusted:
        if trust.is_self_signed:
            flaws.append("self-signed")
        else:
            flaws.append("issuer-missing" if trust.is_issuer_missing else "unknown-issuer")
    return flaws


def _software(conversation: Conversation) -> str:
    """What the greeting says about itself: its first line without the host's name and the protocol's."""
    greeting = conversation.reply(Phase.GREETING)
    if greeting is None or not greeting.lines or not 200 <= (greeting.code or 0) <= 299:
        return ""
    words = greeting.lines[0].split()[1:]
    return escape(" ".join(word for word in words if word.upper() not in ("ESMTP", "SMTP", "LMTP")))


# --- the findings ---------------------------------------------------------------------------------------------------


def _grouped(findings: Iterable[Finding], language: str) -> list[FindingView]:
    """Group findings that give the same advice, gravest first, else in report order."""
    groups: dict[tuple[object, ...], list[tuple[str, Finding]]] = {}
    for finding in findings:
        words = finding_words(finding, language)
        explanation = finding.explanation
        reason = (
            None if explanation is None else (explanation.code_key, explanation.diagnosis, explanation.enhanced_key)
        )
        key = (finding.id, finding.severity, words.meaning, words.fix, reason)
        groups.setdefault(key, []).append((words.title, finding))
    views = [_finding_view(members, language) for members in groups.values()]
    return sorted(views, key=lambda each: GRAVITY.index(each.severity))


def _finding_view(members: list[tuple[str, Finding]], language: str) -> FindingView:
    first = members[0][1]
    words = finding_words(first, language)
    explanation = first.explanation
    by_title: dict[str, list[Finding]] = {}
    for title, finding in members:
        by_title.setdefault(title, []).append(finding)
    reply = None if explanation is None else explanation_words(explanation, language)
    steps = tuple(line.strip() for line in words.fix.splitlines() if line.strip())
    return FindingView(
        id=escape(first.id),
        severity=first.severity,
        severity_word=label(language, "severity", first.severity),
        instances=tuple(
            Instance(
                title=title,
                places=_places(finding.where for finding in same),
                replies=tuple({each.reply.raw: each.reply for each in same if each.reply is not None}.values()),
            )
            for title, same in by_title.items()
        ),
        meaning=words.meaning,
        steps=steps,
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
        host = where.host or (endpoint and "") or ""
        if host == where.address:
            host = ""
        if not host and endpoint is None:
            continue
        endpoints = by_host.setdefault(escape(host), {})
        if endpoint is not None:
            endpoints[endpoint] = None
    return tuple(Place(host=host, endpoints=tuple(endpoints)) for host, endpoints in by_host.items())
