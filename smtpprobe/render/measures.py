"""What can be counted about each endpoint: times, codes, days left. The numbers behind the formats for monitoring.

Read straight from the evidence, so that a number in a graph is one that somebody measured. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from smtpprobe.checks.reading import Service, is_success, keywords, service, took_ehlo
from smtpprobe.evidence import Conversation, Endpoint, Evidence, Phase, Reply
from smtpprobe.report import Finding, Report

DAY_S = 86400.0


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint in numbers; None is what was not reached."""

    endpoint: Endpoint
    conversation: Conversation | None = None
    """None where the endpoint was never begun."""
    is_serving: bool
    is_known: bool
    """False where the endpoint could not be judged: put off, too slow, or something of our own in the way."""
    failed_at: Phase | None = None
    """Where it failed, was refused, or was put off; of an endpoint that serves, whatever failed after that."""
    connect_s: float | None = None
    greeting_s: float | None = None
    """From the TCP connection (or the TLS handshake on an implicit port) to the end of the greeting."""
    ehlo_s: float | None = None
    """Of the first EHLO or HELO."""
    tls_s: float | None = None
    """Of the TLS handshake."""
    total_s: float | None = None
    greeting_code: int | None = None
    ehlo_code: int | None = None
    starttls_code: int | None = None
    offers_starttls: bool | None = None
    tls_version: str | None = None
    tls_cipher: str | None = None
    is_trusted: bool | None = None
    expires_at: datetime | None = None
    days_left: float | None = None
    """Until the leaf certificate ends, counted from the probe; negative where it has ended."""


def measures(evidence: Evidence) -> Iterator[Measure]:
    """Measure each endpoint, in the order of the evidence; one that was never begun has no numbers."""
    conversations = {id_of(each.endpoint): each for each in evidence.conversations}
    for endpoint in evidence.endpoints:
        conversation = conversations.get(id_of(endpoint))
        if conversation is None:
            yield Measure(endpoint=endpoint, is_serving=False, is_known=False)
        else:
            yield _measure(evidence, conversation)


def id_of(endpoint: Endpoint) -> tuple[str, str, int]:
    """What tells an endpoint from the others of a probe."""
    return endpoint.host, endpoint.address, endpoint.port


def findings_at(report: Report, endpoint: Endpoint) -> tuple[Finding, ...]:
    """The findings about this endpoint alone."""
    return tuple(
        each
        for each in report.findings
        if (each.where.host, each.where.address, each.where.port) == (endpoint.host, endpoint.address, endpoint.port)
    )


def _measure(evidence: Evidence, conversation: Conversation) -> Measure:
    state = service(conversation)
    session = conversation.session
    leaf = evidence.certificate(session.chain[0]) if session is not None and session.chain else None
    expires_at = leaf.not_after if leaf is not None else None
    handshake = conversation.handshake
    connected = conversation.connected_s
    ehlo = conversation.exchange(Phase.EHLO) or conversation.exchange(Phase.HELO)
    taken = took_ehlo(conversation)
    return Measure(
        endpoint=conversation.endpoint,
        conversation=conversation,
        is_serving=state is Service.SERVES,
        is_known=state is not Service.UNKNOWN,
        failed_at=_failed_at(conversation, state),
        connect_s=None if connected is None else max(0.0, connected - conversation.started_s),
        greeting_s=_took(conversation, Phase.GREETING),
        ehlo_s=None if ehlo is None or not isinstance(ehlo.outcome, Reply) else ehlo.ended_s - ehlo.started_s,
        tls_s=None if handshake is None or session is None else handshake.ended_s - handshake.started_s,
        total_s=max(0.0, conversation.ended_s - conversation.started_s),
        greeting_code=_code(conversation, Phase.GREETING),
        ehlo_code=_code(conversation, Phase.EHLO),
        starttls_code=_code(conversation, Phase.STARTTLS),
        offers_starttls=None if taken is None else _offers_starttls(conversation),
        tls_version=None if session is None else session.version,
        tls_cipher=None if session is None else session.cipher,
        is_trusted=None if session is None or session.trust is None else session.trust.is_trusted,
        expires_at=expires_at,
        days_left=None if expires_at is None else (expires_at - evidence.started_at).total_seconds() / DAY_S,
    )


def _failed_at(conversation: Conversation, state: Service) -> Phase | None:
    failure = conversation.failure
    if failure is not None and (failure.phase is not Phase.QUIT or state is Service.SERVES):
        return failure.phase
    if state is Service.SERVES:
        return None
    # Who refuses us may hang up on QUIT; that is not what we failed of.
    replies = ((each.phase, each.outcome) for each in conversation.exchanges)
    return next((phase for phase, reply in replies if isinstance(reply, Reply) and not is_success(reply)), None)


def _took(conversation: Conversation, phase: Phase) -> float | None:
    exchange = conversation.exchange(phase)
    if exchange is None or not isinstance(exchange.outcome, Reply):
        return None
    return max(0.0, exchange.ended_s - exchange.started_s)


def _code(conversation: Conversation, phase: Phase) -> int | None:
    reply = conversation.reply(phase)
    return None if reply is None else reply.code


def _offers_starttls(conversation: Conversation) -> bool:
    return "STARTTLS" in keywords(conversation.reply(Phase.EHLO, over_tls=False))
