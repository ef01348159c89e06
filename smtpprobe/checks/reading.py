"""How checks read the evidence: what depends on an endpoint, how far its service went, and who is meant by a finding.

Role and origin decide what a failure is worth. The MX hosts of a domain owe the world port 25 and nothing else; a host
that was asked for by name owes at least one service; a port that was asked for must answer. These rules stand here
once, so that every check judges alike. Pure, like all checks: nothing here knows a clock or the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType

from smtpprobe.evidence import (
    NOT_PUBLIC,
    Conversation,
    Endpoint,
    Evidence,
    Exchange,
    Failure,
    FailureKind,
    HostOrigin,
    Irregularity,
    Lookup,
    LookupStatus,
    MxHost,
    Phase,
    Reply,
    Role,
    TargetKind,
    TlsMode,
)
from smtpprobe.reference.model import Confidence, Explanation
from smtpprobe.replies import capabilities, parse_reply
from smtpprobe.report import Severity, Where

OWN_LIMITS = frozenset({FailureKind.DEADLINE, FailureKind.INTERRUPTED, FailureKind.LEFT_ALONE, FailureKind.INTERNAL})
"""Failures that tell nothing about the server: the probe's own end. One check reports them, the others pass over."""

SHUT = frozenset({FailureKind.REFUSED, FailureKind.UNREACHABLE, FailureKind.RESET, FailureKind.CLOSED})
"""Failed connects that somebody answered for: the host, or a router on the way. Waiting longer would not help."""

BROKEN = frozenset(
    {
        FailureKind.CLOSED,
        FailureKind.RESET,
        FailureKind.GARBAGE,
        FailureKind.TLS_ALERT,
        FailureKind.TLS_PROTOCOL,
        FailureKind.TLS_CLOSED,
    }
)
"""Failures after the connect that the peer brought about, as against a time that ran out or a limit of ours."""

REFUSALS_OF_THE_CLIENT = frozenset(
    {
        "complaints",
        "connection-rate-limited",
        "dynamic-ip",
        "early-talker",
        "helo-invalid",
        "ip-blocked-local",
        "ip-blocklisted",
        "ip-reputation",
        "provider-blocklisted",
        "ptr-generic",
        "ptr-missing",
        "rate-limited",
        "too-many-connections",
    }
)
"""Diagnoses by which a server turns this very client away; other clients may fare better."""


class Service(Enum):
    """How far a conversation shows that the endpoint does its work."""

    SERVES = "serves"
    """It greeted and took EHLO or HELO, and, where passwords will pass, TLS stood."""
    FAILS = "fails"
    """It said or showed that it does not."""
    UNKNOWN = "unknown"
    """Not known: put off, too slow for us, or something of our own in the way."""


# --- who is meant ---------------------------------------------------------------------------------------------------


def domain_of(evidence: Evidence) -> str | None:
    """The domain or host that was asked for; None where the target was an endpoint."""
    return evidence.resolution.name if evidence.target.kind is TargetKind.NAME else None


def at_domain(evidence: Evidence) -> Where:
    """Point at the target as a whole."""
    target = evidence.target
    if target.kind is TargetKind.NAME:
        return Where(domain=domain_of(evidence))
    return Where(host=target.name, address=target.address, port=target.port)


def at_host(evidence: Evidence, host: MxHost | Endpoint) -> Where:
    """Point at a host."""
    return Where(domain=domain_of(evidence), host=host.host if isinstance(host, Endpoint) else host.name)


def at(evidence: Evidence, conversation: Conversation, phase: Phase | None = None) -> Where:
    """Point at an endpoint, or at one step there."""
    endpoint = conversation.endpoint
    return Where(
        domain=domain_of(evidence),
        host=endpoint.host,
        address=endpoint.address,
        port=endpoint.port,
        role=endpoint.role,
        phase=phase,
    )


# --- what depends on it ---------------------------------------------------------------------------------------------


def must_answer(evidence: Evidence, endpoint: Endpoint) -> bool:
    """Tell whether this very port has to answer: it was asked for, or mail for the domain comes in there."""
    if endpoint.is_required:
        return True
    if endpoint.role is not Role.SMTP:
        return False
    # An address as target (me@example.org) proves that the name is a mail domain, MX or not.
    return endpoint.origin is HostOrigin.MX or (
        endpoint.origin is HostOrigin.IMPLICIT_MX and "@" in evidence.target.text
    )


def matters(endpoint: Endpoint) -> bool:
    """Tell whether anything that was asked depends on the endpoint: submission on a domain's MX hosts is a courtesy."""
    return endpoint.is_required or endpoint.origin is not HostOrigin.MX or endpoint.role is Role.SMTP


def graded(endpoint: Endpoint, severity: Severity) -> Severity:
    """The severity where it matters; else at most a note."""
    return severity if matters(endpoint) or severity is Severity.OK else Severity.INFO


def graded_unknown(endpoint: Endpoint) -> Severity:
    """What it is worth that something is not known: nothing but a note where nothing depends on the endpoint."""
    return Severity.INCONCLUSIVE if matters(endpoint) else Severity.INFO


def by_role(endpoint: Endpoint) -> Severity:
    """What a flaw of transport security is worth: servers among themselves deliver all the same (RFC 7435), whereas
    mail programs, which send a password, refuse (RFC 8314 3)."""
    return Severity.WARNING if endpoint.role is Role.SMTP else Severity.ERROR


# --- the name system ------------------------------------------------------------------------------------------------

FOUND_OUT = frozenset(
    {LookupStatus.ANSWERED, LookupStatus.NO_DATA, LookupStatus.NXDOMAIN, LookupStatus.OVERRIDDEN},
)
"""How a question ends that the DNS answered, with records or by denying them."""


def failed_lookups(host: MxHost) -> tuple[Lookup, ...]:
    """The address questions of a host that remained without an answer, so that it may have more addresses."""
    return tuple(each for each in host.lookups if each.status not in FOUND_OUT)


# --- the conversations ----------------------------------------------------------------------------------------------


def connected(evidence: Evidence) -> Iterator[Conversation]:
    """The conversations whose TCP connection stood."""
    return (each for each in evidence.conversations if each.connected_s is not None)


def lacks_route(conversation: Conversation) -> bool:
    """Tell whether this machine has no way to the address at all, which says nothing about the server."""
    return conversation.failure is not None and conversation.failure.kind is FailureKind.NO_ROUTE


def is_left_alone(conversation: Conversation) -> bool:
    """Tell whether nobody tried to connect, because a scan was told to keep away."""
    return conversation.failure is not None and conversation.failure.kind is FailureKind.LEFT_ALONE


def is_not_public(conversation: Conversation) -> bool:
    """Tell whether it was left alone because its address is nobody's in public."""
    failure = conversation.failure
    return failure is not None and failure.kind is FailureKind.LEFT_ALONE and failure.detail == NOT_PUBLIC


def opening(conversation: Conversation) -> Exchange | None:
    """The exchange whose outcome decides on the service: the last of greeting, first EHLO and HELO; None before it."""
    for phase in (Phase.HELO, Phase.EHLO, Phase.GREETING):
        exchange = conversation.exchange(phase)
        if exchange is not None:
            return exchange
    return None


def is_success(reply: Reply) -> bool:
    """Tell whether the code is of the class 2yz."""
    return reply.code is not None and 200 <= reply.code <= 299


def took_ehlo(conversation: Conversation) -> Reply | None:
    """The reply by which the server took the first EHLO, or the HELO instead; None where it took neither."""
    for phase in (Phase.EHLO, Phase.HELO):
        reply = conversation.reply(phase)
        if reply is not None and is_success(reply):
            return reply
    return None


def keywords(reply: Reply | None) -> Mapping[str, tuple[str, ...]]:
    """The extensions of an EHLO reply: keyword in capitals -> parameters; empty without a reply."""
    return _keywords(reply) if reply is not None and is_success(reply) else MappingProxyType({})


@lru_cache(maxsize=512)
def _keywords(reply: Reply) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({each.keyword.upper(): each.parameters for each in capabilities(reply)})


def service(conversation: Conversation) -> Service:
    """Judge how far the endpoint does its work."""
    if conversation.connected_s is None:
        failure = conversation.failure
        return Service.FAILS if failure is not None and failure.kind in SHUT else Service.UNKNOWN
    endpoint, exchange = conversation.endpoint, opening(conversation)
    if exchange is not None and is_endless(exchange):
        return Service.FAILS
    lost = _lost_after_tls(conversation)
    if lost is not None:
        return lost
    if took_ehlo(conversation) is not None:
        return _submission_service(conversation) if endpoint.role is not Role.SMTP else Service.SERVES
    if conversation.handshake is not None and isinstance(conversation.handshake.outcome, Failure):
        return _after(conversation.handshake.outcome)
    if exchange is None:
        return Service.UNKNOWN if conversation.failure is None else _after(conversation.failure)
    if isinstance(exchange.outcome, Failure):
        return _after(exchange.outcome)
    if is_temporary(exchange.outcome) or refuses_client(conversation, exchange):
        return Service.UNKNOWN
    # A good greeting and nothing after it: we ended before the server had to show what it can do.
    stopped_by_us = exchange.phase is Phase.GREETING and exchange.outcome.code == 220
    return Service.UNKNOWN if stopped_by_us else Service.FAILS


def after_starttls(conversation: Conversation) -> Exchange | None:
    """The EHLO inside TLS, where it did not succeed: then no mail passes, though TLS stands; else None."""
    if conversation.endpoint.tls is not TlsMode.STARTTLS:
        return None
    exchange = conversation.exchange(Phase.EHLO, over_tls=True)
    if exchange is None or (isinstance(exchange.outcome, Reply) and is_success(exchange.outcome)):
        return None
    return exchange


def _lost_after_tls(conversation: Conversation) -> Service | None:
    exchange = after_starttls(conversation)
    if exchange is None:
        return None
    if isinstance(exchange.outcome, Failure):
        return _after(exchange.outcome)
    is_open = is_temporary(exchange.outcome) or refuses_client(conversation, exchange)
    return Service.UNKNOWN if is_open else Service.FAILS


def _submission_service(conversation: Conversation) -> Service:
    """After a good EHLO on a submission port: passwords need TLS (RFC 8314 3)."""
    if conversation.endpoint.tls is TlsMode.NONE or conversation.session is not None:
        return Service.SERVES
    failure = conversation.failure
    starttls = conversation.reply(Phase.STARTTLS)
    if starttls is not None and is_temporary(starttls):
        return Service.UNKNOWN
    return Service.FAILS if failure is None else _after(failure)


def _after(failure: Failure) -> Service:
    return Service.FAILS if failure.kind in BROKEN else Service.UNKNOWN


def is_endless(exchange: Exchange) -> bool:
    """Tell whether the server said more than any client reads, so that the session cannot go on."""
    return isinstance(exchange.outcome, Reply) and Irregularity.TOO_LONG in exchange.outcome.irregularities


def is_temporary(reply: Reply) -> bool:
    """Tell whether the code is of the class 4yz."""
    return reply.code is not None and 400 <= reply.code <= 499


def partial_reply(failure: Failure) -> Reply | None:
    """What had come before a step failed, read as a reply; None where nothing had."""
    if not failure.partial:
        return None
    return parse_reply(failure.partial)


def wait_s(exchange: Exchange) -> float:
    """How long the server took for a whole reply, in seconds, rounded to tenths."""
    return round(max(0.0, exchange.ended_s - exchange.started_s), 1)


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """The network that an address lies in: /24 for IPv4 and /48 for IPv6, the smallest that are routed apart."""
    ip = ip_address(address)
    bits = 24 if ip.version == 4 else 48
    return f"{ip.version}/{int(ip) >> (ip.max_prefixlen - bits)}"


def loss(evidence: Evidence, endpoint: Endpoint, *, is_shut: bool = False) -> Severity:
    """What it is worth that an endpoint does not do its work.

    An error where it must and nothing may do it in its stead; a warning where others do, as far as is known; a note
    where nothing depends on it.

    Args:
        is_shut: the port is closed, which on a host with other services may be meant.
    """
    if endpoint.is_required:
        return Severity.ERROR
    if not matters(endpoint):
        return Severity.INFO
    must = must_answer(evidence, endpoint)
    others = {
        service(each)
        for each in evidence.conversations
        if each.endpoint != endpoint and not lacks_route(each) and (each.endpoint.role is endpoint.role or not must)
    }
    if Service.SERVES in others:
        return Severity.INFO if is_shut and not must else Severity.WARNING
    return Severity.WARNING if Service.UNKNOWN in others else Severity.ERROR


# --- what replies mean ----------------------------------------------------------------------------------------------


def provider_hint(conversation: Conversation) -> str | None:
    """The name that the peer goes by, from which a provider may be told: its host name."""
    return conversation.endpoint.name


@lru_cache(maxsize=512)
def explained(reply: Reply, phase: Phase | None, hint: str | None) -> Explanation:
    """Explain a reply; kept, because a check and the annotations ask the same. A reply is 64 KiB at most."""
    from smtpprobe.reference import explain

    return explain(reply, phase, provider_hint=hint)


def refuses_client(conversation: Conversation, exchange: Exchange) -> bool:
    """Tell whether the server turned away this very client, rather than everybody, by what its reply says."""
    if not isinstance(exchange.outcome, Reply) or is_success(exchange.outcome):
        return False
    explanation = explained(exchange.outcome, exchange.phase, provider_hint(conversation))
    if explanation.diagnosis == "helo-invalid" and exchange.over_tls and took_ehlo(conversation) is not None:
        return False  # the same name was good enough a moment before
    return explanation.diagnosis in REFUSALS_OF_THE_CLIENT and explanation.confidence in (
        Confidence.CERTAIN,
        Confidence.LIKELY,
    )
