"""The answer in one line, before all details: how many of how many servers do their work.

It rests on conversations alone, so "nothing was reached" can never read as "nothing is wrong".
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Kind, Topic, kind
from smtpprobe.checks.reading import (
    Service,
    at_domain,
    at_host,
    failed_lookups,
    lacks_route,
    must_answer,
    service,
)
from smtpprobe.endpoints import is_relay_left_out
from smtpprobe.evidence import Conversation, Evidence, HostOrigin, MxHost, Role, TargetKind
from smtpprobe.report import Finding, Severity

_COUNTS = ("serving", "hosts", "serving_addresses", "addresses")
MAIL_REACHABLE = kind("mail-reachable", Topic.SUMMARY, Severity.OK, params=_COUNTS)
SUBMISSION_REACHABLE = kind("submission-reachable", Topic.SUMMARY, Severity.OK, params=_COUNTS)
MX_ALL_UNREACHABLE = kind("mx-all-unreachable", Topic.SUMMARY, Severity.ERROR, params=("hosts", "count"))
NO_SERVICE = kind("no-service", Topic.SUMMARY, Severity.ERROR, params=("ports",))
RELAY_NOT_SERVED = kind("relay-not-served", Topic.SUMMARY, Severity.INFO)
NOTHING_PROBED = kind("nothing-probed", Topic.SUMMARY, Severity.INCONCLUSIVE)


def summary(evidence: Evidence) -> Iterator[Finding]:
    """Count the hosts that serve, by role."""
    relay = [each for each in evidence.conversations if each.endpoint.role is Role.SMTP]
    submission = [
        each
        for each in evidence.conversations
        if each.endpoint.role is not Role.SMTP
        # On MX hosts submission is a courtesy; its absence or presence does not belong into the first line.
        and (each.endpoint.origin is not HostOrigin.MX or each.endpoint.is_required)
    ]
    takes_mail = any(service(each) is Service.SERVES for each in relay)
    takes_submissions = any(service(each) is Service.SERVES for each in submission)
    if takes_mail:
        yield _counted(MAIL_REACHABLE, evidence, relay)
    elif _all_mx_fail(evidence, relay):
        hosts = tuple(each.name for each in evidence.resolution.hosts)
        yield MX_ALL_UNREACHABLE.found(at_domain(evidence), hosts=hosts, count=len(hosts))
    elif not takes_submissions and _host_fails(evidence):
        is_named = evidence.target.kind is TargetKind.NAME
        where = at_host(evidence, evidence.endpoints[0]) if is_named else at_domain(evidence)
        yield NO_SERVICE.found(where, ports=_ports(evidence))
    if takes_submissions:
        yield _counted(SUBMISSION_REACHABLE, evidence, submission)
        if not takes_mail:
            yield from _relay_not_served(evidence, relay)


def nothing_probed(evidence: Evidence, findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Say so where no other finding gives an answer: neither that something works nor what is wrong or open."""
    answers = (Severity.ERROR, Severity.INCONCLUSIVE)
    if not any(
        finding.severity in answers or finding.id in (MAIL_REACHABLE.id, SUBMISSION_REACHABLE.id)
        for finding in findings
    ):
        yield NOTHING_PROBED.found(at_domain(evidence))


def _counted(kind: Kind, evidence: Evidence, conversations: list[Conversation]) -> Finding:
    """Count hosts and addresses, all and those where at least one endpoint serves."""
    serving = [each.endpoint for each in conversations if service(each) is Service.SERVES]
    every = [each.endpoint for each in conversations]
    return kind.found(
        at_domain(evidence),
        serving=len({each.host for each in serving}),
        hosts=len({each.host for each in every}),
        serving_addresses=len({each.address for each in serving}),
        addresses=len({each.address for each in every}),
    )


def _all_mx_fail(evidence: Evidence, relay: list[Conversation]) -> bool:
    """Nothing but failure is known of each MX host, something was tried, and none was left out.

    Hosts without any address have findings of their own.
    """
    hosts = [each for each in evidence.resolution.hosts if each.origin is HostOrigin.MX]
    talks = [[each for each in relay if each.endpoint.host == host.name] for host in hosts]
    return (
        any(talks)
        and all(_fails(host, talk) for host, talk in zip(hosts, talks, strict=True))
        and not is_relay_left_out(evidence.target, evidence.resolution, evidence.options)
    )


def _host_fails(evidence: Evidence) -> bool:
    """A host was asked for, no matter on which port, and each endpoint that this machine has a way to fails."""
    talks = [each for each in evidence.conversations if not lacks_route(each)]
    return (
        len(talks) > 1
        and all(each.endpoint.origin is not HostOrigin.MX for each in talks)
        and all(service(each) is Service.FAILS for each in talks)
    )


def _ports(evidence: Evidence) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(each.port) for each in evidence.endpoints))


def _fails(host: MxHost, conversations: list[Conversation]) -> bool:
    if not conversations:
        return not host.addresses and not failed_lookups(host)
    reachable = [each for each in conversations if not lacks_route(each)]
    return bool(reachable) and all(service(each) is Service.FAILS for each in reachable)


def _relay_not_served(evidence: Evidence, relay: list[Conversation]) -> Iterator[Finding]:
    """A name without MX takes submissions only: right for a host, wrong for a mail domain."""
    for conversation in relay:
        endpoint = conversation.endpoint
        if endpoint.origin is HostOrigin.IMPLICIT_MX and not must_answer(evidence, endpoint):
            yield RELAY_NOT_SERVED.found(at_host(evidence, endpoint))
            return
