"""EHLO: whether the server takes it, and what it offers (RFC 5321 4.1.1.1).

Extensions are optional, so one that is missing is a note. A password that would pass in clear text is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import (
    Service,
    at,
    connected,
    graded,
    is_success,
    is_temporary,
    keywords,
    loss,
    opening,
    refuses_client,
    service,
    took_ehlo,
)
from smtpprobe.evidence import Conversation, Evidence, Phase, Reply, Role, TlsMode
from smtpprobe.reference.model import Actor
from smtpprobe.report import Finding, Severity

_LOST = (Severity.ERROR, Severity.WARNING, Severity.INFO)
_FLAW = (Severity.WARNING, Severity.INFO)
EHLO_REFUSED = kind("ehlo-refused", Topic.EHLO, *_FLAW, params=("code",), actor=Actor.RECEIVER)
HELO_REFUSED = kind("helo-refused", Topic.EHLO, *_LOST, params=("code",), actor=Actor.EITHER)
EXTENSIONS_MISSING = kind("extensions-missing", Topic.EHLO, Severity.INFO, params=("keywords",))
AUTH_WITHOUT_TLS = kind("auth-without-tls", Topic.EHLO, *_FLAW, params=("mechanisms",))
AUTH_NOT_OFFERED = kind("auth-not-offered", Topic.EHLO, *_FLAW)

USEFUL = ("SIZE", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES")
"""Extensions that nearly all servers have: RFC 1870, 6152, 2920, 2034."""

NEVER_HAD = {"Exim": ("ENHANCEDSTATUSCODES",), "OpenSMTPD": ("PIPELINING",)}
"""By the first word of the product: what no release of it offers."""

IN_CLEAR = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})
"""Mechanisms that send the password, or a token that is as good, as it is."""


def ehlo(evidence: Evidence) -> Iterator[Finding]:
    """Judge how each server takes EHLO, and what it offers."""
    for conversation in connected(evidence):
        yield from _refusals(evidence, conversation)
        if took_ehlo(conversation) is not None:
            yield from _offers(evidence, conversation)


def _refusals(evidence: Evidence, conversation: Conversation) -> Iterator[Finding]:
    first, last = conversation.exchange(Phase.EHLO), opening(conversation)
    if first is None or last is None or not isinstance(first.outcome, Reply):
        return
    if is_success(first.outcome) or is_temporary(first.outcome):
        return
    where = at(evidence, conversation, Phase.EHLO)
    if took_ehlo(conversation) is not None:
        yield EHLO_REFUSED.found(
            where,
            as_=graded(conversation.endpoint, Severity.WARNING),
            because_of=first.outcome,
            code=first.outcome.code or 0,
        )
    elif isinstance(last.outcome, Reply) and not is_temporary(last.outcome) and not refuses_client(conversation, last):
        yield HELO_REFUSED.found(
            at(evidence, conversation, last.phase),
            as_=loss(evidence, conversation.endpoint),
            because_of=last.outcome,
            code=last.outcome.code or 0,
        )


def _offers(evidence: Evidence, conversation: Conversation) -> Iterator[Finding]:
    endpoint = conversation.endpoint
    before = conversation.reply(Phase.EHLO, over_tls=False)
    after = conversation.reply(Phase.EHLO, over_tls=True)
    offered = keywords(after) or keywords(before)
    where = at(evidence, conversation, Phase.EHLO)
    missing = tuple(each for each in USEFUL if each not in offered) if offered else ()
    if missing and (unusual := _without_unknown(conversation, after or before, missing)):
        yield EXTENSIONS_MISSING.found(where, keywords=unusual)
    mechanisms = _mechanisms(keywords(before))
    if exposed := tuple(each for each in mechanisms if each in IN_CLEAR):
        # RFC 4954 4: PLAIN must not be offered without TLS. RFC 8314 3.1: nor any password.
        yield AUTH_WITHOUT_TLS.found(
            where, as_=graded(endpoint, Severity.WARNING), because_of=before, mechanisms=exposed
        )
    is_ready = endpoint.tls is TlsMode.NONE or (conversation.session is not None and keywords(after))
    if (
        endpoint.role is not Role.SMTP
        and is_ready
        and service(conversation) is Service.SERVES
        and not _mechanisms(keywords(after) or keywords(before))
    ):
        yield AUTH_NOT_OFFERED.found(where, as_=graded(endpoint, Severity.WARNING), because_of=after or before)


def _without_unknown(conversation: Conversation, reply: Reply | None, missing: tuple[str, ...]) -> tuple[str, ...]:
    """The extensions without those that the server's software does not have, so that nobody could switch them on."""
    greeting = conversation.reply(Phase.GREETING)
    if greeting is None or not any(each in missing for unknown in NEVER_HAD.values() for each in unknown):
        return missing
    from smtpprobe.reference import identify

    software = identify(greeting, reply)
    unknown = unknown_to(None if software is None else software.product)
    return tuple(each for each in missing if each not in unknown)


def unknown_to(product: str | None) -> tuple[str, ...]:
    """The extensions that no release of a product offers; none of a product that is not known."""
    return NEVER_HAD.get(product.split()[0], ()) if product else ()


def _mechanisms(offered: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The mechanisms of AUTH (RFC 4954 3), also of the ``AUTH=`` that some servers add for old clients."""
    return tuple(dict.fromkeys(each.upper() for name in ("AUTH", "AUTH=") for each in offered.get(name, ())))
