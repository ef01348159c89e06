"""The summary of a report: each host, each of its addresses, each port, and how it stands in a few words.

The rows are made from the conversations, so that each endpoint has one however little is known of it, and coloured by
the findings. Ports of one address of which nothing but the same failure can be said share a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from smtpprobe.checks.reading import after_starttls
from smtpprobe.evidence import (
    Conversation,
    Endpoint,
    Evidence,
    Failure,
    FailureKind,
    HostOrigin,
    LookupStatus,
    MxHost,
    Phase,
    Reply,
    TlsMode,
    TlsSession,
)
from smtpprobe.reference.model import Confidence
from smtpprobe.render import writing
from smtpprobe.render.advice import identified
from smtpprobe.render.escaping import escape
from smtpprobe.render.session import version_words
from smtpprobe.render.words import label
from smtpprobe.report import GRAVITY, Finding, Report, Severity


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


def hosts(report: Report, language: str) -> Iterator[HostView]:
    """The hosts in the order in which a sender tries them, with their endpoints."""
    evidence = report.evidence
    seen: set[str] = set()
    for host in evidence.resolution.hosts:
        seen.add(host.name)
        yield HostView(
            kind=_host_kind(host, language),
            name="" if host.addresses == (host.name,) else escape(host.name),
            reason="" if host.addresses else _no_address(host, language),
            endpoints=tuple(_rows(report, host.name, language)),
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


def _standing(conversation: Conversation, answers: bool, gravest: Severity | None) -> Severity | None:
    """How an endpoint stands: well where it answers and nothing is wrong; not known where our own time ended first."""
    if answers and gravest in (None, Severity.INFO):
        return Severity.OK
    failure = conversation.failure
    if gravest is None and failure is not None and failure.kind in (FailureKind.DEADLINE, FailureKind.INTERRUPTED):
        return Severity.INCONCLUSIVE
    return gravest


def _is_alike(one: EndpointView, other: EndpointView) -> bool:
    said = (one.software, one.tls, other.software, other.tls)
    return not any(said) and (one.address, one.state, one.severity) == (other.address, other.state, other.severity)


def _row(report: Report, endpoint: Endpoint, conversation: Conversation | None, language: str) -> EndpointView:
    gravest = _gravest(report.findings, endpoint)
    if conversation is None:
        return EndpointView(
            address=escape(endpoint.address),
            ports=(endpoint.port,),
            severity=gravest,
            state=label(language, "state", "unfinished"),
        )
    answers, state = _state(conversation, language)
    tls, tls_severity = _tls(report.evidence, conversation, language)
    return EndpointView(
        address=escape(endpoint.address),
        ports=(endpoint.port,),
        severity=_standing(conversation, answers, gravest),
        state=state,
        software=software(conversation),
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
    """Tell whether the endpoint greeted and took EHLO or HELO, inside TLS too, and say how it stands."""
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
    inside = after_starttls(conversation)
    if inside is not None and isinstance(inside.outcome, Reply):
        return False, _at(str(inside.outcome.code), inside.phase, language)
    return True, label(language, "state", "answers")


def _at(what: str, phase: Phase, language: str) -> str:
    return label(language, "state", "at", what=what, phase=label(language, "phase", phase))


def _tls(evidence: Evidence, conversation: Conversation, language: str) -> tuple[str, Severity | None]:
    """Say how TLS stands: version and trust, or why there is none; empty where it was not reached."""
    session = conversation.session
    if session is not None:
        flaws = trust_flaws(evidence, session)
        words = [label(language, "tls", flaw) for flaw in flaws] or [label(language, "tls", "trusted")]
        told = writing.together((version_words(session.version), *words), language)
        return told, Severity.WARNING if flaws else Severity.OK
    if conversation.handshake is not None:
        return label(language, "tls", "failed"), Severity.WARNING
    if conversation.endpoint.tls is TlsMode.NONE:
        return label(language, "tls", "unwanted"), None
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
        leaf = next((each for each in evidence.certificates if each.sha256 in session.chain[:1]), None)
        starts = None if leaf is None else leaf.not_before
        flaws.append("not-yet-valid" if starts is not None and starts > evidence.started_at else "expired")
    if trust.is_name_matched is False:
        flaws.append("wrong-name")
    if not trust.is_chain_trusted:
        if trust.is_self_signed:
            flaws.append("self-signed")
        else:
            flaws.append("issuer-missing" if trust.is_issuer_missing else "unknown-issuer")
    return flaws


def software(conversation: Conversation) -> str:
    """What answers: the product and version that its words or its name give away, else the words of its greeting.

    A product that is only guessed at has a question mark.
    """
    greeting = conversation.reply(Phase.GREETING)
    if greeting is None:
        return ""
    found = identified(conversation)
    if found is not None:
        doubt = "?" if found.confidence in (Confidence.POSSIBLE, Confidence.GENERIC) else ""
        return escape(" ".join(filter(None, (found.product + doubt, found.version))))
    if not greeting.lines or not 200 <= (greeting.code or 0) <= 299:
        return ""
    # RFC 5321 4.2: the host's name, then whatever the server likes.
    words = greeting.lines[0].split()[1:]
    return escape(" ".join(word for word in words if word.upper() not in ("ESMTP", "SMTP", "LMTP")))
