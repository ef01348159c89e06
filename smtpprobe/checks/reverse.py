"""Whether the addresses have reverse names that point back (RFC 1912 2.1).

Receiving needs none. The same hosts often send, though, and receivers refuse senders without one; so these are notes.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.mx_hosts import unrouted_network
from smtpprobe.checks.reading import FOUND_OUT, domain_of
from smtpprobe.checks.resolution import explain_failure
from smtpprobe.evidence import Evidence, LookupStatus, Reverse
from smtpprobe.report import Finding, Severity, Where

PTR_MISSING = kind("ptr-missing", Topic.DNS, Severity.INFO)
PTR_NOT_CONFIRMED = kind("ptr-not-confirmed", Topic.DNS, Severity.INFO, params=("names",))
PTR_LOOKUP_FAILED = kind(
    "ptr-lookup-failed", Topic.DNS, Severity.INFO, params=("status", "detail"), worded={"status": "lookup"}
)


def reverse(evidence: Evidence) -> Iterator[Finding]:
    """Judge the reverse name of each public address."""
    for found in evidence.resolution.reverse:
        if unrouted_network(found.address) is not None:
            continue  # Nobody outside asks for those.
        where = Where(domain=domain_of(evidence), host=_host_of(evidence, found.address), address=found.address)
        failed = next((each for each in (found.ptr, *found.forward) if each.status not in FOUND_OUT), None)
        if _points_back(found):
            continue
        if failed is not None:
            yield PTR_LOOKUP_FAILED.found(where, status=failed.status.value, detail=explain_failure(failed))
        elif found.ptr.status is LookupStatus.ANSWERED and found.ptr.records:
            yield PTR_NOT_CONFIRMED.found(where, names=found.ptr.records)
        else:
            yield PTR_MISSING.found(where)


def _points_back(found: Reverse) -> bool:
    return any(found.address in each.records for each in found.forward)


def _host_of(evidence: Evidence, address: str) -> str | None:
    return next((host.name for host in evidence.resolution.hosts if address in host.addresses), None)
