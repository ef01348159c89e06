"""The questions to the name system and their answers, in words, a line each."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from smtpprobe.evidence import Evidence, Lookup, LookupStatus, Reverse
from smtpprobe.render.escaping import escape
from smtpprobe.render.words import label


class DnsLine(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the name system and its answer."""

    name: str
    rrtype: str
    answers: tuple[str, ...]
    """The records, or the one reason why there is none."""
    is_found: bool
    remarks: tuple[str, ...] = ()
    elapsed_s: float = 0.0


def lookup_lines(evidence: Evidence, language: str) -> Iterator[DnsLine]:
    """All questions of one report: MX, addresses, reverse names, policies."""
    resolution = evidence.resolution
    if resolution.mx is not None:
        yield _dns_line(resolution.mx, language)
    for host in resolution.hosts:
        for lookup in host.lookups:
            yield _dns_line(lookup, language)
    for reverse in resolution.reverse:
        yield _reverse_line(reverse, language)
    policies = evidence.policies
    policy_host = policies.policy.lookups if policies.policy is not None else ()
    texts = filter(None, (policies.mta_sts, *policy_host, policies.tls_rpt))
    known = {(lookup.name, lookup.rrtype) for host in resolution.hosts for lookup in host.lookups}
    services = (each for each in policies.service_hosts if (each.name, each.rrtype) not in known)
    for lookup in (*(each.lookup for each in policies.tlsa), *texts, *policies.services, *services):
        yield _dns_line(lookup, language)


def _dns_line(lookup: Lookup, language: str, name: str = "", *more: str) -> DnsLine:
    remarks = list(more)
    if lookup.aliases:
        remarks.append(label(language, "dns", "alias", name=lookup.canonical_name or "?"))
    if lookup.ttl_s is not None and lookup.status is not LookupStatus.OVERRIDDEN:
        remarks.append(label(language, "dns", "ttl", seconds=lookup.ttl_s))
    if lookup.authenticated:
        remarks.append(label(language, "dns", "authenticated"))
    remarks.extend(escape(each) for each in (lookup.extended_error, lookup.detail) if each)
    status = label(language, "lookup", lookup.status)
    ordered = sorted(lookup.records, key=_preference) if lookup.rrtype == "MX" else lookup.records
    records = tuple(map(escape, ordered))
    if lookup.status is LookupStatus.OVERRIDDEN:
        remarks.append(status)
    return DnsLine(
        name=name or escape(lookup.name),
        rrtype=escape(lookup.rrtype),
        answers=records or (status,),
        is_found=bool(records),
        remarks=tuple(remarks),
        elapsed_s=lookup.elapsed_s,
    )


def _preference(record: str) -> int:
    number = record.partition(" ")[0]
    return int(number) if number.isdecimal() else 0


def _reverse_line(reverse: Reverse, language: str) -> DnsLine:
    confirmed = any(reverse.address in each.records for each in reverse.forward)
    remark = label(language, "dns", "reverse-confirmed" if confirmed else "reverse-other")
    return _dns_line(reverse.ptr, language, escape(reverse.address), *([remark] if reverse.ptr.records else []))
