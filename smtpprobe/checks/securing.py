"""How published policies stand against what the servers showed: DANE for each address, MTA-STS for each host.

Both the findings about policies and the verdict on delivery rest on these readings, so that they cannot disagree.
DNSSEC is judged by the AD bit, which is worth as much as the way to the resolver: a resolver on this machine or behind
TLS is believed, any other only where the caller says so (RFC 6840 5.7 and 5.8, RFC 4035 4.9.3).
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import ip_address

import msgspec

from smtpprobe.checks.reading import domain_of
from smtpprobe.checks.resolution import is_bogus
from smtpprobe.evidence import (
    Certificate,
    Conversation,
    Endpoint,
    Evidence,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    TlsaLookup,
    TlsSession,
)
from smtpprobe.policies import dane, mta_sts

# --- DNSSEC ---------------------------------------------------------------------------------------------------------


class Security(StrEnum):
    """What DNSSEC says about one answer (RFC 4035 4.3)."""

    SECURE = "secure"
    INSECURE = "insecure"
    """Not signed, or the resolver does not validate."""
    BOGUS = "bogus"
    """Signed, but the signatures do not hold."""
    UNTRUSTED = "untrusted"
    """The resolver says that it is secure, over a way on which anybody could have said so."""
    UNKNOWN = "unknown"
    """There was no answer."""


def security(evidence: Evidence, lookup: Lookup) -> Security:
    """Judge one answer, a denial included."""
    if lookup.status in (LookupStatus.ANSWERED, LookupStatus.NO_DATA, LookupStatus.NXDOMAIN):
        if not lookup.authenticated:
            return Security.INSECURE
        return Security.SECURE if trusts_resolver(evidence, lookup.resolver) else Security.UNTRUSTED
    if lookup.status is LookupStatus.OVERRIDDEN:
        return Security.INSECURE
    return Security.BOGUS if is_bogus(lookup) else Security.UNKNOWN


def trusts_resolver(evidence: Evidence, resolver: str | None) -> bool:
    """Tell whether what a resolver says of DNSSEC can be believed."""
    if evidence.options.trust_ad:
        return True
    if resolver is None:
        return False
    if resolver.startswith(("tls://", "https://")):
        return True
    host = resolver.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def validates(evidence: Evidence) -> bool:
    """Tell whether the resolver is known to validate: something that it said was authenticated."""
    lookups = [each for host in evidence.resolution.hosts for each in host.lookups]
    lookups += [each.lookup for each in evidence.policies.tlsa]
    lookups += [each for each in (evidence.resolution.mx, evidence.policies.root) if each is not None]
    return any(each.authenticated for each in lookups)


def host_security(evidence: Evidence, host: MxHost | None) -> Security:
    """Judge the addresses of a host: RFC 7672 2.2.2 lets TLSA records count only where they are secure.

    For an address that the caller gave in place of those of the DNS, the caller vouches.
    """
    if host is None or not host.lookups:
        return Security.INSECURE
    if any(each.status is LookupStatus.OVERRIDDEN and each.records for each in host.lookups):
        return Security.SECURE
    answered = [each for each in host.lookups if each.records] or list(host.lookups)
    found = [security(evidence, each) for each in answered]
    order = (Security.BOGUS, Security.UNKNOWN, Security.INSECURE, Security.UNTRUSTED, Security.SECURE)
    return min(found, key=order.index)


# --- DANE -----------------------------------------------------------------------------------------------------------


class DaneState(StrEnum):
    """How one endpoint stands to its TLSA records (RFC 7672 2.2)."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNUSABLE = "unusable"
    """There are records, and a sender can use none of them: it insists on TLS and authenticates nobody."""
    ABSENT = "absent"
    """Denied: no DANE here."""
    INSECURE = "insecure"
    """Records or addresses are not signed: no DANE here, whatever the records say."""
    BOGUS = "bogus"
    """The question for the records failed: a sender does not deliver here now (RFC 7672 2.1)."""
    UNTRUSTED = "untrusted"
    """Whether the answers are secure cannot be known: the resolver says so over an open way."""
    UNVALIDATED = "unvalidated"
    """Whether the answers are secure cannot be known: the resolver does not validate."""
    UNTESTED = "untested"
    """Usable records, but no certificate was seen."""


class Dane(msgspec.Struct, frozen=True, kw_only=True):
    """DANE of one endpoint."""

    state: DaneState
    tlsa: TlsaLookup
    usable: tuple[dane.Tlsa, ...] = ()
    match: dane.Match = dane.Match()
    """Of `MATCH` and `MISMATCH`."""


def dane_of(evidence: Evidence, conversation: Conversation) -> Dane | None:
    """Judge DANE of one endpoint; None where no TLSA question was asked for it."""
    endpoint = conversation.endpoint
    asked = (each for each in evidence.policies.tlsa if (each.host, each.port) == (endpoint.host, endpoint.port))
    tlsa = next(asked, None)
    if tlsa is None:
        return None
    host = next((each for each in evidence.resolution.hosts if each.name == endpoint.host), None)
    records = dane.usable(tlsa.lookup.records)
    state = _state_of_records(evidence, host, tlsa, records)
    if state is not DaneState.UNTESTED:
        return Dane(state=state, tlsa=tlsa, usable=records)
    session = conversation.session
    if session is None:
        return Dane(state=state, tlsa=tlsa, usable=records)
    found = dane.match(records, chain_of(evidence, session), names_for(evidence, endpoint, tlsa), evidence.started_at)
    state = DaneState.MATCH if found.record is not None else DaneState.MISMATCH
    return Dane(state=state, tlsa=tlsa, usable=records, match=found)


def names_for(evidence: Evidence, endpoint: Endpoint, tlsa: TlsaLookup) -> tuple[str, ...]:
    """The names that a certificate may bear where DANE-TA vouches for it (RFC 7672 3.2.2): the base domain; the host,
    where no MX record led to it; else the domain and where that is an alias for, if the way to the host is secure."""
    mx = evidence.resolution.mx
    if endpoint.origin is not HostOrigin.MX:
        others: tuple[str | None, ...] = (endpoint.name,)
    elif mx is not None and security(evidence, mx) is Security.SECURE:
        others = (domain_of(evidence), mx.canonical_name)
    else:
        others = ()
    return tuple(dict.fromkeys(filter(None, (tlsa.base, *others))))


def _state_of_records(
    evidence: Evidence, host: MxHost | None, tlsa: TlsaLookup, usable: tuple[dane.Tlsa, ...]
) -> DaneState:
    """What can be said before the certificate is looked at; `UNTESTED` where it decides."""
    addresses = host_security(evidence, host)
    if addresses is Security.INSECURE and tlsa.alias is not None:
        addresses = security(evidence, tlsa.alias)  # RFC 7672 2.2.2: the alias is secure, where it leads to is not
    records = security(evidence, tlsa.lookup)
    has_records = bool(tlsa.lookup.records)
    if addresses is Security.INSECURE or (records is Security.INSECURE and has_records):
        if not has_records:
            return DaneState.ABSENT
        return DaneState.INSECURE if validates(evidence) else DaneState.UNVALIDATED
    if not {addresses, records}.isdisjoint({Security.BOGUS, Security.UNKNOWN}):
        return DaneState.BOGUS
    if not has_records:
        return DaneState.ABSENT
    if Security.UNTRUSTED in (addresses, records):
        return DaneState.UNTRUSTED
    return DaneState.UNTESTED if usable else DaneState.UNUSABLE


def chain_of(evidence: Evidence, session: TlsSession) -> tuple[bytes, ...]:
    """The certificates of a session in DER, leaf first."""
    return tuple(evidence.certificate(each).der for each in session.chain)


def leaf_of(evidence: Evidence, conversation: Conversation) -> Certificate | None:
    """The certificate that a server showed; None where none was seen."""
    session = conversation.session
    return evidence.certificate(session.chain[0]) if session is not None and session.chain else None


# --- MTA-STS --------------------------------------------------------------------------------------------------------


def policy_of(evidence: Evidence) -> mta_sts.Policy | None:
    """The MTA-STS policy that a sender would act on; None where it would act as without one."""
    return mta_sts.effective_policy(evidence.policies)
