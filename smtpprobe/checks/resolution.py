"""What the MX look-up says about a domain: where its mail goes, that it wants none, or that nobody can know now.

A name that does not exist, one without mail, and a question that remained unanswered are told apart: the last is never
read as "no MX" (RFC 5321 5.1: a temporary failure means trying later, not falling back to the address).
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import at_domain, failed_lookups
from smtpprobe.evidence import Evidence, Family, Lookup, LookupStatus
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Finding, Severity

MX_FOUND = kind("mx-found", Topic.DNS, Severity.OK, params=("count", "hosts"))
IMPLICIT_MX = kind("implicit-mx", Topic.DNS, Severity.INFO, params=("name",))
NULL_MX = kind("null-mx", Topic.DNS, Severity.INFO, params=("name",))
NULL_MX_BESIDE_OTHERS = kind("null-mx-beside-others", Topic.DNS, Severity.ERROR, params=("name", "hosts"))
DOMAIN_NOT_FOUND = kind("domain-not-found", Topic.DNS, Severity.ERROR, params=("name",))
IPV4_MISSING = kind("ipv4-missing", Topic.DNS, Severity.WARNING)
NO_MAIL_HOST = kind("no-mail-host", Topic.DNS, Severity.ERROR, params=("name",))
_FAILED = ("name", "detail")
"""Of all failed look-ups: `detail` is what the resolver or the library said about it."""
MX_LOOKUP_SERVFAIL = kind("mx-lookup-servfail", Topic.DNS, Severity.INCONCLUSIVE, params=_FAILED)
MX_LOOKUP_BOGUS = kind("mx-lookup-bogus", Topic.DNS, Severity.ERROR, params=_FAILED)
MX_LOOKUP_TIMEOUT = kind("mx-lookup-timeout", Topic.DNS, Severity.INCONCLUSIVE, params=_FAILED)
RESOLVER_REFUSED = kind("resolver-refused", Topic.DNS, Severity.INCONCLUSIVE, params=_FAILED)
RESOLVER_UNREACHABLE = kind("resolver-unreachable", Topic.DNS, Severity.INCONCLUSIVE, params=_FAILED)
MX_LOOKUP_MALFORMED = kind("mx-lookup-malformed", Topic.DNS, Severity.INCONCLUSIVE, params=_FAILED)
MX_LOOKUP_FAILED = kind("mx-lookup-failed", Topic.DNS, Severity.INCONCLUSIVE, params=_FAILED)

_BY_STATUS = {
    LookupStatus.SERVFAIL: MX_LOOKUP_SERVFAIL,
    LookupStatus.TIMEOUT: MX_LOOKUP_TIMEOUT,
    LookupStatus.REFUSED: RESOLVER_REFUSED,
    LookupStatus.UNREACHABLE: RESOLVER_UNREACHABLE,
    LookupStatus.MALFORMED: MX_LOOKUP_MALFORMED,
    LookupStatus.OTHER_RCODE: MX_LOOKUP_FAILED,
}

BOGUS = range(6, 13)
"""Extended errors (RFC 8914 4.7 to 4.13) by which a resolver says that validation failed, not that it had no luck."""


def resolution(evidence: Evidence) -> Iterator[Finding]:
    """Judge the MX question, where one was asked."""
    found = evidence.resolution
    if found.mx is None or found.name is None:
        return
    yield from _mx(evidence, found.name, found.mx)
    if _lacks_ipv4(evidence):
        yield IPV4_MISSING.found(at_domain(evidence))


def _mx(evidence: Evidence, name: str, mx: Lookup) -> Iterator[Finding]:
    """Say what the answer, or the lack of one, means for mail."""
    found, where, status = evidence.resolution, at_domain(evidence), mx.status
    exchanges = [record.split()[-1] for record in mx.records]
    has_addresses = any(host.addresses for host in found.hosts)
    if found.is_null_mx or (exchanges and set(exchanges) == {"."}):
        yield NULL_MX.found(where, name=name)
    elif "." in exchanges:
        # RFC 7505 3: a domain that publishes a null MX MUST NOT publish any other MX record.
        yield NULL_MX_BESIDE_OTHERS.found(where, name=name, hosts=_by_preference(mx))
    elif exchanges:
        yield MX_FOUND.found(where, count=len(exchanges), hosts=_by_preference(mx))
    elif status in _BY_STATUS:
        yield _failed(evidence, name, mx)
    elif has_addresses and status is LookupStatus.NO_DATA:
        yield IMPLICIT_MX.found(where, name=name)
    elif has_addresses or any(failed_lookups(host) for host in found.hosts):
        return  # given by hand in spite of the DNS, or open: then the look-up of the host has a finding
    elif status is LookupStatus.NXDOMAIN:
        yield DOMAIN_NOT_FOUND.found(where, name=name)
    elif evidence.options.family is Family.ANY:
        yield NO_MAIL_HOST.found(where, name=name)


def _lacks_ipv4(evidence: Evidence) -> bool:
    """Tell whether the mail hosts have addresses, all of them IPv6; no where an IPv4 address may have been missed."""
    hosts = evidence.resolution.hosts
    addresses = [address for host in hosts for address in host.addresses]
    if not addresses or any(":" not in address for address in addresses) or evidence.options.family is not Family.ANY:
        return False
    asked = [lookup for host in hosts for lookup in host.lookups if lookup.rrtype == "A"]
    denied = (LookupStatus.NO_DATA, LookupStatus.NXDOMAIN)
    return len(asked) == len(hosts) and all(each.status in denied for each in asked)


def is_bogus(lookup: Lookup) -> bool:
    """Tell whether the resolver says that DNSSEC validation failed."""
    codes = (error.strip().partition(" ")[0] for error in (lookup.extended_error or "").split(";"))
    return any(code.isdigit() and int(code) in BOGUS for code in codes)


def explain_failure(lookup: Lookup) -> str:
    """What is known about a failed look-up, in the words of the resolver or of the library, and behind an ``@``, as in
    dig, who was asked; ``-`` for nothing."""
    asked = f"@{lookup.resolver}" if lookup.resolver else None
    return "; ".join(filter(None, (lookup.extended_error, lookup.detail, asked))) or "-"


def _failed(evidence: Evidence, name: str, mx: Lookup) -> Finding:
    if mx.status is LookupStatus.SERVFAIL and is_bogus(mx):
        # The resolver's own clock or trust anchor may be at fault, hence not certain.
        return MX_LOOKUP_BOGUS.found(at_domain(evidence), sure=Confidence.LIKELY, name=name, detail=explain_failure(mx))
    return _BY_STATUS[mx.status].found(at_domain(evidence), name=name, detail=explain_failure(mx))


def _by_preference(mx: Lookup) -> tuple[str, ...]:
    """The records as ``10 mx1.example.org``, in the order in which senders try them."""

    def preference(record: str) -> tuple[int, str]:
        number, _, host = record.partition(" ")
        return (int(number) if number.isdigit() else 0, host)

    return tuple(sorted(mx.records, key=preference))
