"""Where a domain sends mail programs for submission: its SRV records (RFC 6186 3.1, RFC 8314 5.1).

Nothing is connected to for this. What a record promises is held against the servers that were probed anyway; of a
server that was not, only the record and its name are judged. Domains need no such records: most mail programs guess.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import FOUND_OUT, Service, at_domain, service, took_ehlo
from smtpprobe.checks.resolution import explain_failure
from smtpprobe.evidence import Conversation, Evidence, Lookup
from smtpprobe.report import Finding, Severity, Where

_OF_ONE = ("name", "server")
SUBMISSION_ANNOUNCED = kind("submission-announced", Topic.DNS, Severity.OK, params=("name", "servers"))
SUBMISSION_NOT_ANNOUNCED = kind("submission-not-announced", Topic.DNS, Severity.INFO, params=("names",))
SUBMISSION_DECLARED_ABSENT = kind("submission-declared-absent", Topic.DNS, Severity.INFO, params=("name",))
SUBMISSION_ABSENT_BESIDE_OTHERS = kind(
    "submission-absent-beside-others", Topic.DNS, Severity.WARNING, params=("name", "servers")
)
SUBMISSION_LOOKUP_FAILED = kind(
    "submission-lookup-failed",
    Topic.DNS,
    Severity.INFO,
    params=("name", "rrtype", "status", "detail"),
    worded={"status": "lookup"},
)
SUBMISSION_TARGET_IS_ALIAS = kind(
    "submission-target-is-alias", Topic.DNS, Severity.WARNING, params=("name", "host", "canonical")
)
SUBMISSION_TARGET_WITHOUT_ADDRESS = kind(
    "submission-target-without-address", Topic.DNS, Severity.ERROR, Severity.WARNING, params=("name", "host")
)
SUBMISSION_SERVERS_ALIKE = kind("submission-servers-alike", Topic.DNS, Severity.INFO, params=("name", "servers"))
SUBMISSION_PORT_UNUSUAL = kind("submission-port-unusual", Topic.DNS, Severity.INFO, params=("name", "server", "usual"))
SUBMISSION_ANNOUNCED_UNREACHABLE = kind(
    "submission-announced-unreachable", Topic.REACHABILITY, Severity.ERROR, Severity.WARNING, params=_OF_ONE
)
SUBMISSION_ANNOUNCED_WITHOUT_TLS = kind(
    "submission-announced-without-tls", Topic.REACHABILITY, Severity.ERROR, params=_OF_ONE
)

USUAL_PORTS = {"_submission": 587, "_submissions": 465}
"""RFC 6409 3.1, RFC 8314 7.3."""


class Server(msgspec.Struct, frozen=True):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    host: str
    """``.`` where the service is said not to exist."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_server(record: str) -> Server | None:
    """Read an SRV record in the form of the evidence; None where it is none."""
    *numbers, host = record.split()
    if len(numbers) != 3 or not all(each.isascii() and each.isdigit() for each in numbers):
        return None
    priority, weight, port = (int(each[:9]) for each in numbers)
    return Server(priority, weight, port, host)


def discovery(evidence: Evidence) -> Iterator[Finding]:
    """Judge the records, where they were asked for."""
    lookups = evidence.policies.services
    if not lookups:
        return
    where = at_domain(evidence)
    for lookup in lookups:
        if lookup.status not in FOUND_OUT:
            yield _failed(where, lookup)
        elif servers := _servers(lookup):
            yield from _announced(evidence, where, lookup.name, servers)
    if all(each.status in FOUND_OUT and not _servers(each) for each in lookups):
        yield SUBMISSION_NOT_ANNOUNCED.found(where, names=tuple(each.name for each in lookups))


def _servers(lookup: Lookup) -> tuple[Server, ...]:
    """The servers in the order in which mail programs try them."""
    read = (server for record in lookup.records if (server := read_server(record)) is not None)
    return tuple(sorted(read, key=lambda each: (each.priority, -each.weight, each.host, each.port)))


def _failed(where: Where, lookup: Lookup) -> Finding:
    return SUBMISSION_LOOKUP_FAILED.found(
        where, name=lookup.name, rrtype=lookup.rrtype, status=lookup.status.value, detail=explain_failure(lookup)
    )


def _announced(evidence: Evidence, where: Where, name: str, every: tuple[Server, ...]) -> Iterator[Finding]:
    servers = tuple(each for each in every if each.host != ".")
    if not servers:
        yield SUBMISSION_DECLARED_ABSENT.found(where, name=name)  # RFC 6186 3.4
        return
    if servers != every:
        # RFC 2782: "." says that there is no such service, so it can only stand alone.
        yield SUBMISSION_ABSENT_BESIDE_OTHERS.found(where, name=name, servers=tuple(map(str, servers)))
    flaws = [
        *_names(evidence, where, name, servers),
        *(flaw for server in servers for flaw in _service(evidence, where, name, server, servers)),
    ]
    if not any(each.severity in (Severity.ERROR, Severity.WARNING) for each in flaws):
        yield SUBMISSION_ANNOUNCED.found(where, name=name, servers=tuple(map(str, servers)))
    yield from flaws
    alike = tuple(str(each) for each in servers if each.priority == servers[0].priority)
    if len(alike) > 1:
        yield SUBMISSION_SERVERS_ALIKE.found(where, name=name, servers=alike)
    usual = USUAL_PORTS.get(name.partition(".")[0])
    for each in servers:
        if usual is not None and each.port != usual:
            yield SUBMISSION_PORT_UNUSUAL.found(where, name=name, server=str(each), usual=usual)


def _names(evidence: Evidence, where: Where, name: str, servers: tuple[Server, ...]) -> Iterator[Finding]:
    """Judge the addresses of the hosts that are named."""
    found = {host: _addresses(evidence, host) for host in dict.fromkeys(each.host for each in servers)}
    has_any = any(lookup.records for lookups in found.values() for lookup in lookups)
    for host, lookups in found.items():
        failed = next((each for each in lookups if each.status not in FOUND_OUT), None)
        if any(each.records for each in lookups):
            pass
        elif failed is not None:
            yield _failed(where, failed)
        elif lookups:
            worth = Severity.WARNING if has_any else Severity.ERROR
            yield SUBMISSION_TARGET_WITHOUT_ADDRESS.found(where, as_=worth, name=name, host=host)
        alias = next((each for each in lookups if each.aliases), None)
        if alias is not None:  # RFC 2782: the target must not be an alias
            canonical = alias.canonical_name or alias.aliases[-1]
            yield SUBMISSION_TARGET_IS_ALIAS.found(where, name=name, host=host, canonical=canonical)


def _addresses(evidence: Evidence, host: str) -> tuple[Lookup, ...]:
    return tuple(each for each in evidence.policies.service_hosts if each.name == host)


def _service(
    evidence: Evidence, where: Where, name: str, server: Server, servers: tuple[Server, ...]
) -> Iterator[Finding]:
    """Hold an announced server against what the probe saw of it, on any of its addresses."""
    seen = _conversations(evidence, server)
    if any(service(each) is Service.SERVES and each.session is not None for each in seen):
        return
    if any(took_ehlo(each) is not None and each.session is None and each.failure is None for each in seen):
        yield SUBMISSION_ANNOUNCED_WITHOUT_TLS.found(where, name=name, server=str(server))
    elif seen and all(service(each) is Service.FAILS for each in seen):
        others = [each for other in servers if other != server for each in _conversations(evidence, other)]
        is_served = any(service(each) is Service.SERVES for each in others)
        worth = Severity.WARNING if is_served else Severity.ERROR
        yield SUBMISSION_ANNOUNCED_UNREACHABLE.found(where, as_=worth, name=name, server=str(server))


def _conversations(evidence: Evidence, server: Server) -> list[Conversation]:
    place = (server.host, server.port)
    return [each for each in evidence.conversations if (each.endpoint.host, each.endpoint.port) == place]
