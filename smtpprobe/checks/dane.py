"""DANE (RFC 6698, 7671, 7672): whether the TLSA records of each server fit the certificate that it shows.

One finding for each endpoint, whatever comes out, since senders treat each outcome differently. Where nothing is
published the record that would fit is told instead of a fault: DANE is a choice.
"""

from __future__ import annotations

from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import BROKEN, at, at_domain, connected, is_temporary, keywords, took_ehlo
from smtpprobe.checks.resolution import explain_failure
from smtpprobe.checks.securing import Dane, DaneState, Security, chain_of, dane_of, leaf_of, names_for, security
from smtpprobe.evidence import Conversation, Evidence, Failure, HostOrigin, Phase, Role, TlsaLookup
from smtpprobe.policies.dane import DANE_TA, guards_one_key, match, read_tlsa, record_for, usable, why_unusable
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Finding, Severity

DANE_MATCH = kind("dane-match", Topic.DANE, Severity.OK, params=("record", "owner"))
DANE_MISMATCH = kind(
    "dane-mismatch",
    Topic.DANE,
    Severity.ERROR,
    params=("owner", "reason", "records", "wanted", "authority"),
    worded={"reason": "tlsa-mismatch"},
)
DANE_UNUSABLE = kind(
    "dane-unusable",
    Topic.DANE,
    Severity.WARNING,
    params=("owner", "records", "reasons", "wanted", "authority"),
    worded={"reasons": "tlsa-unusable"},
)
DANE_INSECURE = kind("dane-insecure", Topic.DANE, Severity.WARNING, params=("owner", "records"))
DANE_LOOKUP_FAILED = kind("dane-lookup-failed", Topic.DANE, Severity.ERROR, params=("owner", "detail"))
DANE_UNVERIFIABLE = kind("dane-unverifiable", Topic.DANE, Severity.INCONCLUSIVE, params=("owner", "resolver"))
DANE_UNVALIDATED = kind("dane-unvalidated", Topic.DANE, Severity.INCONCLUSIVE, params=("owner", "resolver"))
DANE_UNTESTED = kind("dane-untested", Topic.DANE, Severity.INCONCLUSIVE, params=("owner", "records"))
DANE_WITHOUT_TLS = kind("dane-without-tls", Topic.DANE, Severity.ERROR, params=("owner", "records"))
DANE_NOT_PUBLISHED = kind("dane-not-published", Topic.DANE, Severity.INFO, params=("owner", "wanted", "authority"))
DANE_WITHOUT_ROLLOVER = kind("dane-without-rollover", Topic.DANE, Severity.INFO, params=("owner", "record"))
DANE_MX_INSECURE = kind("dane-mx-insecure", Topic.DANE, Severity.WARNING, params=("name",))

MAX_AUTHORITIES = 4
"""Certificates behind the leaf that are tried as authorities; public chains have one to three."""


def dane(evidence: Evidence) -> Iterator[Finding]:
    """Judge DANE of each endpoint that was connected to, then of the domain."""
    has_records = False
    for conversation in connected(evidence):
        found = dane_of(evidence, conversation)
        if found is not None:
            has_records = has_records or found.state in (DaneState.MATCH, DaneState.MISMATCH, DaneState.UNUSABLE)
            yield from _of_endpoint(evidence, conversation, found)
    mx = evidence.resolution.mx
    if has_records and mx is not None and mx.records and security(evidence, mx) is Security.INSECURE:
        # RFC 7672 2.2.1: who can forge the MX record need not touch the TLSA records.
        yield DANE_MX_INSECURE.found(at_domain(evidence), name=evidence.resolution.name or "")


def _of_endpoint(evidence: Evidence, conversation: Conversation, found: Dane) -> Iterator[Finding]:
    where = at(evidence, conversation)
    owner = _owner(found.tlsa)
    records = found.tlsa.lookup.records
    match found.state:
        case DaneState.MATCH:
            record = found.match.record
            text = "" if record is None else record.text
            yield DANE_MATCH.found(where, record=text, owner=owner)
            leaf = leaf_of(evidence, conversation)
            if leaf is not None and guards_one_key(found.usable, leaf.der):
                # RFC 7671 8.1 and 8.4: the next key's record is published before the key is used.
                yield DANE_WITHOUT_ROLLOVER.found(where, owner=owner, record=text)
        case DaneState.MISMATCH:
            reason = str(found.match.mismatch)
            wanted, authority = _wanted(evidence, conversation), _authority(evidence, conversation, found.tlsa)
            # RFC 7672 8.1: a sender asks for the certificate of the base domain, the probe for that of the host.
            sure = Confidence.CERTAIN if found.tlsa.base == found.tlsa.host else Confidence.LIKELY
            yield DANE_MISMATCH.found(
                where, sure=sure, owner=owner, reason=reason, records=records, wanted=wanted, authority=authority
            )
        case DaneState.UNUSABLE:
            if _lacks_tls(conversation):  # RFC 7672 2.2: records that cannot be used demand encryption all the same
                yield DANE_WITHOUT_TLS.found(where, owner=owner, records=records)
            reasons = tuple(dict.fromkeys(str(why_unusable(read_tlsa(each))) for each in records))
            wanted, authority = _wanted(evidence, conversation), _authority(evidence, conversation, found.tlsa)
            yield DANE_UNUSABLE.found(
                where, owner=owner, records=records, reasons=reasons, wanted=wanted, authority=authority
            )
        case DaneState.INSECURE:
            yield DANE_INSECURE.found(where, owner=owner, records=records)
        case DaneState.BOGUS:
            yield DANE_LOOKUP_FAILED.found(where, owner=owner, detail=explain_failure(found.tlsa.lookup))
        case DaneState.UNTRUSTED:
            yield DANE_UNVERIFIABLE.found(where, owner=owner, resolver=found.tlsa.lookup.resolver or "-")
        case DaneState.UNVALIDATED:
            yield DANE_UNVALIDATED.found(where, owner=owner, resolver=found.tlsa.lookup.resolver or "-")
        case DaneState.UNTESTED:
            untested = DANE_WITHOUT_TLS if _lacks_tls(conversation) else DANE_UNTESTED
            yield untested.found(where, owner=owner, records=records)
        case DaneState.ABSENT:
            yield from _not_published(evidence, conversation, found.tlsa)


def _lacks_tls(conversation: Conversation) -> bool:
    """Tell whether a server for mail from others has no TLS for them, rather than not just now or not for us."""
    if conversation.endpoint.role is not Role.SMTP:
        return False
    if conversation.handshake is not None:
        outcome = conversation.handshake.outcome
        return isinstance(outcome, Failure) and outcome.kind in BROKEN
    starttls = conversation.reply(Phase.STARTTLS)
    if starttls is not None:
        return not is_temporary(starttls)
    taken = took_ehlo(conversation)
    return taken is not None and conversation.failure is None and "STARTTLS" not in keywords(taken)


def _not_published(evidence: Evidence, conversation: Conversation, tlsa: TlsaLookup) -> Iterator[Finding]:
    """Tell the records that would fit, on the hosts that take a domain's mail."""
    endpoint = conversation.endpoint
    if endpoint.role is not Role.SMTP or endpoint.origin is HostOrigin.GIVEN:
        return
    wanted = _wanted(evidence, conversation)
    if wanted != "-":
        authority = _authority(evidence, conversation, tlsa)
        owner = _owner(tlsa)
        yield DANE_NOT_PUBLISHED.found(at(evidence, conversation), owner=owner, wanted=wanted, authority=authority)


def _wanted(evidence: Evidence, conversation: Conversation) -> str:
    """The record that fits the key that the server uses now; ``-`` where none was seen."""
    leaf = leaf_of(evidence, conversation)
    return (record_for(leaf.der) if leaf is not None else None) or "-"


def _owner(tlsa: TlsaLookup) -> str:
    return f"_{tlsa.port}._tcp.{tlsa.base}"


def _authority(evidence: Evidence, conversation: Conversation, tlsa: TlsaLookup) -> str:
    """The record that fits an authority that the server sends, the nearest first; ``-`` where none would fit."""
    session = conversation.session
    chain = chain_of(evidence, session) if session is not None else ()
    names = names_for(evidence, conversation.endpoint, tlsa)
    for authority in chain[1:MAX_AUTHORITIES]:
        record = record_for(authority, usage=DANE_TA)
        if record is not None and match(usable((record,)), chain, names, evidence.started_at).record is not None:
            return record
    return "-"
