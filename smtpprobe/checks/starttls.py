"""STARTTLS: offered, accepted, and what a server says before and after (RFC 3207).

Offered, negotiated and trusted are three facts. This check has the first and what belongs to the command; the handshake
is judged by `tls`, the certificate by `certificate`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import (
    at,
    by_role,
    connected,
    graded,
    graded_unknown,
    is_success,
    is_temporary,
    keywords,
    loss,
)
from smtpprobe.evidence import Conversation, Evidence, Exchange, Phase, Reply, Role, TlsMode
from smtpprobe.reference.model import Actor, Confidence
from smtpprobe.replies import parse_reply
from smtpprobe.report import Finding, Severity

_BY_ROLE = (Severity.WARNING, Severity.ERROR, Severity.INFO)
"""A warning between servers, an error on submission, a note where nothing depends on the endpoint."""
STARTTLS_WORKS = kind("starttls-works", Topic.STARTTLS, Severity.OK, params=("version",))
STARTTLS_MISSING = kind("starttls-missing", Topic.STARTTLS, *_BY_ROLE)
STARTTLS_STRIPPED = kind("starttls-stripped", Topic.STARTTLS, *_BY_ROLE, params=("keyword",))
STARTTLS_TEMPORARILY_REFUSED = kind(
    "starttls-temporarily-refused", Topic.STARTTLS, Severity.INCONCLUSIVE, Severity.INFO, params=("code",)
)
STARTTLS_REFUSED = kind("starttls-refused", Topic.STARTTLS, *_BY_ROLE, params=("code",), actor=Actor.RECEIVER)
PLAINTEXT_AFTER_STARTTLS = kind("plaintext-after-starttls", Topic.STARTTLS, *_BY_ROLE)
EHLO_REFUSED_AFTER_TLS = kind(
    "ehlo-refused-after-tls", Topic.STARTTLS, *_BY_ROLE, Severity.INCONCLUSIVE, params=("code",), actor=Actor.RECEIVER
)
STARTTLS_OFFERED_AFTER_TLS = kind("starttls-offered-after-tls", Topic.STARTTLS, Severity.INFO)
EHLO_CHANGES_AFTER_TLS = kind("ehlo-changes-after-tls", Topic.STARTTLS, Severity.INFO, params=("before", "after"))

EXPECTED_TO_CHANGE = frozenset({"STARTTLS", "AUTH", "AUTH=", "REQUIRETLS"})
"""Keywords that may, or must, differ on the two sides of TLS (RFC 3207 4.2, RFC 8314 3.1, RFC 8689 2)."""

_OVERWRITTEN = re.compile(r"X{4,}[A-Z]?")
"""What a firewall leaves of a keyword that it does not want to pass."""


def starttls(evidence: Evidence) -> Iterator[Finding]:
    """Judge STARTTLS on each endpoint where TLS comes about by it."""
    for conversation in connected(evidence):
        if conversation.endpoint.tls is not TlsMode.STARTTLS:
            continue
        before = conversation.reply(Phase.EHLO, over_tls=False)
        offered = keywords(before)
        if before is not None and is_success(before) and "STARTTLS" not in offered:
            yield _not_offered(evidence, conversation, before, offered)
        exchange = conversation.exchange(Phase.STARTTLS, over_tls=False)
        if exchange is not None and isinstance(exchange.outcome, Reply):
            yield from _accepted(evidence, conversation, exchange.outcome)
        second = conversation.exchange(Phase.EHLO, over_tls=True)
        if second is not None and isinstance(second.outcome, Reply):
            yield from _after_tls(evidence, conversation, second, second.outcome, offered)


def _not_offered(
    evidence: Evidence, conversation: Conversation, reply: Reply, offered: Mapping[str, tuple[str, ...]]
) -> Finding:
    where, endpoint = at(evidence, conversation, Phase.EHLO), conversation.endpoint
    worth = graded(endpoint, by_role(endpoint))
    overwritten = next((each for each in offered if _OVERWRITTEN.fullmatch(each)), None)
    if overwritten is not None:
        return STARTTLS_STRIPPED.found(where, as_=worth, sure=Confidence.LIKELY, because_of=reply, keyword=overwritten)
    return STARTTLS_MISSING.found(where, as_=worth, because_of=reply)


def _accepted(evidence: Evidence, conversation: Conversation, reply: Reply) -> Iterator[Finding]:
    where, endpoint = at(evidence, conversation, Phase.STARTTLS), conversation.endpoint
    worth = graded(endpoint, by_role(endpoint))
    for unasked in conversation.unsolicited:
        if unasked.before_handshake:
            yield PLAINTEXT_AFTER_STARTTLS.found(where, as_=worth, because_of=parse_reply(unasked.raw))
    if is_temporary(reply):
        yield STARTTLS_TEMPORARILY_REFUSED.found(
            where, as_=graded_unknown(endpoint), because_of=reply, code=reply.code or 0
        )
    elif reply.code != 220:
        yield STARTTLS_REFUSED.found(where, as_=worth, because_of=reply, code=reply.code or 0)
    elif conversation.session is not None:
        yield STARTTLS_WORKS.found(where, version=conversation.session.version)


def _after_tls(
    evidence: Evidence,
    conversation: Conversation,
    exchange: Exchange,
    reply: Reply,
    offered_before: Mapping[str, tuple[str, ...]],
) -> Iterator[Finding]:
    where, endpoint = at(evidence, conversation, exchange.phase), conversation.endpoint
    if not is_success(reply):
        # No mail passes here; a login would fail on any endpoint.
        worth = loss(evidence, endpoint) if endpoint.role is Role.SMTP else graded(endpoint, by_role(endpoint))
        if is_temporary(reply):
            worth = graded_unknown(endpoint)
        yield EHLO_REFUSED_AFTER_TLS.found(where, as_=worth, because_of=reply, code=reply.code or 0)
        return
    offered = keywords(reply)
    if "STARTTLS" in offered:
        # RFC 3207 4.2: a server must not offer STARTTLS once TLS stands.
        yield STARTTLS_OFFERED_AFTER_TLS.found(where, because_of=reply)
    only_before = tuple(each for each in offered_before if each not in offered and each not in EXPECTED_TO_CHANGE)
    only_after = tuple(each for each in offered if each not in offered_before and each not in EXPECTED_TO_CHANGE)
    if only_before or only_after:
        yield EHLO_CHANGES_AFTER_TLS.found(where, before=only_before or ("-",), after=only_after or ("-",))
