"""Whether the ports can be reached, and whose fault it is where they cannot.

A closed port is an answer. Silence is not: the packets may be dropped at the server, on the way, or by the network that
the probe runs in, which for port 25 is common. So silence is held against what else could be reached from here, and is
called the server's only where that clears our own side.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.mx_hosts import unrouted_network
from smtpprobe.checks.reading import (
    OWN_LIMITS,
    SHUT,
    at,
    at_domain,
    connected,
    is_left_alone,
    lacks_route,
    loss,
    matters,
    network,
)
from smtpprobe.evidence import Conversation, Endpoint, Evidence, Failure, FailureKind, Role
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Finding, Severity

_LOST = (Severity.ERROR, Severity.WARNING, Severity.INFO)
"""An error, unless others do the work or nothing depends on it."""
OUTBOUND_PORT_25_BLOCKED = kind(
    "outbound-port-25-blocked", Topic.REACHABILITY, Severity.INCONCLUSIVE, params=("hosts", "addresses")
)
CONNECTION_REFUSED = kind("connection-refused", Topic.REACHABILITY, *_LOST, params=("port", "family"))
"""`family`: the kind of address, ``IPv6``, if the host answers on the port by the other kind alone; else ``-``."""
CONNECTION_TIMEOUT = kind(
    "connection-timeout", Topic.REACHABILITY, Severity.INCONCLUSIVE, *_LOST, params=("port", "seconds")
)
HOST_UNREACHABLE = kind(
    "host-unreachable", Topic.REACHABILITY, *_LOST, Severity.INCONCLUSIVE, params=("port", "detail")
)
CONNECTION_FAILED = kind(
    "connection-failed", Topic.REACHABILITY, Severity.INCONCLUSIVE, *_LOST, params=("port", "detail")
)
CONNECTION_DENIED = kind(
    "connection-denied", Topic.REACHABILITY, Severity.INCONCLUSIVE, Severity.INFO, params=("port", "detail")
)
NO_ROUTE = kind("no-route", Topic.REACHABILITY, Severity.INFO, Severity.INCONCLUSIVE, params=("family", "addresses"))
SUBMISSION_NOT_OFFERED = kind("submission-not-offered", Topic.REACHABILITY, Severity.INFO, params=("port",))

SMTP_PORT = 25
"""What networks block, to keep their customers' machines from sending spam."""


def reachability(evidence: Evidence) -> Iterator[Finding]:
    """Judge each connection that did not come about."""
    blocked = _blocked(evidence)
    if blocked:
        yield _port_25_blocked(evidence, blocked)
    yield from _without_route(evidence)
    for conversation in evidence.conversations:
        failure = conversation.failure
        if conversation.connected_s is not None or failure is None or failure.kind in OWN_LIMITS:
            continue
        if not lacks_route(conversation) and conversation not in blocked:
            yield _not_connected(evidence, conversation, failure)


def _not_connected(evidence: Evidence, conversation: Conversation, failure: Failure) -> Finding:
    where, endpoint = at(evidence, conversation, failure.phase), conversation.endpoint
    if not matters(endpoint) and failure.kind in SHUT | {FailureKind.TIMEOUT}:
        # Mail programs are served elsewhere, as is usual.
        return SUBMISSION_NOT_OFFERED.found(where, port=endpoint.port)
    worth = loss(evidence, endpoint, is_shut=True)
    unknown = worth if worth is Severity.INFO else Severity.INCONCLUSIVE
    match failure.kind:
        case FailureKind.REFUSED:
            return CONNECTION_REFUSED.found(
                where, as_=worth, port=endpoint.port, family=_closed_family(evidence, endpoint)
            )
        case FailureKind.TIMEOUT:
            proven = _is_way_proven(evidence, conversation)
            return CONNECTION_TIMEOUT.found(
                where,
                as_=worth if proven else unknown,
                sure=Confidence.LIKELY,
                port=endpoint.port,
                seconds=evidence.options.timeout_s,
            )
        case FailureKind.UNREACHABLE:
            is_ours = ":" in endpoint.address and not _is_way_proven(evidence, conversation)
            return HOST_UNREACHABLE.found(
                where,
                as_=unknown if is_ours else worth,
                sure=Confidence.LIKELY,
                port=endpoint.port,
                detail=failure.detail or "-",
            )
        case FailureKind.DENIED:
            severity = Severity.INCONCLUSIVE if matters(endpoint) else Severity.INFO
            return CONNECTION_DENIED.found(where, as_=severity, port=endpoint.port, detail=failure.detail or "-")
        case _:
            severity = worth if failure.kind in SHUT else unknown
            return CONNECTION_FAILED.found(
                where, as_=severity, port=endpoint.port, detail=failure.detail or failure.kind.value
            )


def _closed_family(evidence: Evidence, endpoint: Endpoint) -> str:
    """The kind of address by which a host refuses what it takes by the other, as a service that listens on IPv4 alone;
    ``-`` where it is not so."""
    answers = {
        ":" in each.endpoint.address
        for each in connected(evidence)
        if (each.endpoint.host, each.endpoint.port) == (endpoint.host, endpoint.port)
    }
    is_ipv6 = ":" in endpoint.address
    return ("IPv6" if is_ipv6 else "IPv4") if answers == {not is_ipv6} else "-"


def _is_way_proven(evidence: Evidence, conversation: Conversation) -> bool:
    """Tell whether something else that worked shows that the silence is not our own network's."""
    endpoint = conversation.endpoint
    for other in evidence.conversations:
        if other.endpoint.address == endpoint.address:
            # Port 25 may be filtered here and nothing else.
            if endpoint.port != SMTP_PORT and _answers(other):
                return True
        elif (
            other.connected_s is not None
            and other.endpoint.port == endpoint.port
            and network(other.endpoint.address) != network(endpoint.address)
            and (":" in other.endpoint.address) is (":" in endpoint.address)
        ):
            return True
    return False


def _answers(conversation: Conversation) -> bool:
    failure = conversation.failure
    return conversation.connected_s is not None or (failure is not None and failure.kind is FailureKind.REFUSED)


def _blocked(evidence: Evidence) -> list[Conversation]:
    """The silent connections to port 25 that look as if this network lets none out; none if any was answered."""
    tried = [
        each
        for each in evidence.conversations
        if each.endpoint.port == SMTP_PORT
        and each.endpoint.role is Role.SMTP
        and not lacks_route(each)
        and not is_left_alone(each)
        and unrouted_network(each.endpoint.address) is None
    ]
    if not all(_is_silent(each) for each in tried):
        return []
    # One silent server proves nothing. Several that have no network in common do, and so does one that answers on
    # another port.
    return tried if _are_unrelated(tried) or _other_ports_answer(evidence, tried) else []


def _is_silent(conversation: Conversation) -> bool:
    failure = conversation.failure
    return conversation.connected_s is None and failure is not None and failure.kind is FailureKind.TIMEOUT


def _are_unrelated(conversations: list[Conversation]) -> bool:
    hosts = {each.endpoint.host for each in conversations}
    return len(hosts) > 1 and len({network(each.endpoint.address) for each in conversations}) > 1


def _other_ports_answer(evidence: Evidence, conversations: list[Conversation]) -> bool:
    addresses = {each.endpoint.address for each in conversations}
    return any(
        _answers(each)
        for each in evidence.conversations
        if each.endpoint.address in addresses and each.endpoint.port != SMTP_PORT
    )


def _port_25_blocked(evidence: Evidence, blocked: list[Conversation]) -> Finding:
    is_sure = _are_unrelated(blocked) and _other_ports_answer(evidence, blocked)
    return OUTBOUND_PORT_25_BLOCKED.found(
        at_domain(evidence),
        sure=Confidence.LIKELY if is_sure else Confidence.POSSIBLE,
        hosts=tuple(dict.fromkeys(each.endpoint.host for each in blocked)),
        addresses=len({each.endpoint.address for each in blocked}),
    )


def _without_route(evidence: Evidence) -> Iterator[Finding]:
    """Say once for each IP version that this machine cannot speak it; of most machines it is IPv6."""
    for version in (4, 6):
        without = [
            each
            for each in evidence.conversations
            if lacks_route(each) and ip_address(each.endpoint.address).version == version
        ]
        if not without:
            continue
        with_route = {each.endpoint.host for each in evidence.conversations if not lacks_route(each)}
        is_covered = all(each.endpoint.host in with_route for each in without if matters(each.endpoint))
        yield NO_ROUTE.found(
            at_domain(evidence),
            as_=Severity.INFO if is_covered else Severity.INCONCLUSIVE,
            family=f"IPv{version}",
            addresses=tuple(dict.fromkeys(each.endpoint.address for each in without)),
        )
