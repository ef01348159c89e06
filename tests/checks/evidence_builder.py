"""Evidence written by hand, in few words: what was said and what failed, with everything else made up.

talk(
    endpoint(),
    said(Phase.GREETING, "220 mx1.example.org ESMTP"),
    said(Phase.EHLO, "250-mx1.example.org", "250 STARTTLS"),
    failed(Phase.STARTTLS, FailureKind.TIMEOUT),
)
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from smtpprobe.checks import judge
from smtpprobe.evidence import (
    Certificate,
    Conversation,
    Endpoint,
    Evidence,
    Exchange,
    Failure,
    FailureKind,
    Handshake,
    HostOrigin,
    Lookup,
    LookupStatus,
    MxHost,
    Options,
    Phase,
    Reply,
    Resolution,
    Role,
    Runtime,
    Target,
    TargetKind,
    TlsMode,
    TlsSession,
    Trust,
    Unsolicited,
)
from smtpprobe.replies import parse_reply
from smtpprobe.report import Finding, Report

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
DOMAIN = "example.org"
MX1, MX2 = "mx1.example.org", "mx2.example.org"
A1, A2, AAAA1 = "192.0.2.1", "198.51.100.1", "2001:db8:1::1"
"""Three networks that have nothing in common."""

_BY_PORT = {
    25: (Role.SMTP, TlsMode.STARTTLS),
    465: (Role.SUBMISSIONS, TlsMode.IMPLICIT),
    587: (Role.SUBMISSION, TlsMode.STARTTLS),
}


def endpoint(host: str = MX1, address: str = A1, port: int = 25, **more: Any) -> Endpoint:
    role, tls = _BY_PORT[port]
    values = {"origin": HostOrigin.MX, "name": None if host == address else host, "role": role, "tls": tls}
    return Endpoint(host=host, address=address, port=port, **(values | more))


def given(port: int = 25, **more: Any) -> Endpoint:
    """An endpoint of a host that was asked for by name."""
    return endpoint("mail.example.org", A1, port, **({"origin": HostOrigin.GIVEN} | more))


# --- what passes ----------------------------------------------------------------------------------------------------


def reply(*lines: str) -> Reply:
    return parse_reply("".join(f"{line}\r\n" for line in lines).encode())


def said(
    phase: Phase, *lines: str, raw: bytes | None = None, over_tls: bool = False, seconds: float = 0.05
) -> Exchange:
    """A reply, given by its lines or by its bytes."""
    return _exchange(phase, parse_reply(raw) if raw is not None else reply(*lines), over_tls, seconds)


def failed(
    phase: Phase,
    kind: FailureKind,
    *,
    partial: bytes = b"",
    detail: str = "",
    over_tls: bool = False,
    seconds: float = 10,
) -> Exchange:
    return _exchange(phase, Failure(phase=phase, kind=kind, partial=partial, detail=detail), over_tls, seconds)


def _exchange(phase: Phase, outcome: Reply | Failure, over_tls: bool, seconds: float) -> Exchange:
    sent = None if phase is Phase.GREETING else f"{phase.value.upper()}\r\n".encode()
    return Exchange(phase=phase, sent=sent, outcome=outcome, over_tls=over_tls, started_s=0.0, ended_s=float(seconds))


def tls(
    leaf: Certificate | None = None,
    *chain: Certificate,
    trust: Trust | None = None,
    version: str = "TLSv1.3",
    cipher: str = "TLS_AES_256_GCM_SHA384",
    secret_bits: int | None = 256,
) -> Handshake:
    """A handshake that came about; without `leaf` the server showed no certificate."""
    shown = () if leaf is None else (leaf, *chain)
    session = TlsSession(
        version=version,
        cipher=cipher,
        secret_bits=secret_bits,
        chain=tuple(each.sha256 for each in shown),
        trust=trust,
    )
    return Handshake(outcome=session, started_s=0.0, ended_s=0.1)


def tls_failed(kind: FailureKind, detail: str = "", partial: bytes = b"") -> Handshake:
    failure = Failure(phase=Phase.TLS, kind=kind, detail=detail, partial=partial)
    return Handshake(outcome=failure, started_s=0.0, ended_s=0.1)


def unasked(raw: bytes, *, after: Phase = Phase.EHLO, before_handshake: bool = False) -> Unsolicited:
    return Unsolicited(after=after, raw=raw, at_s=0.1, before_handshake=before_handshake)


def talk(at: Endpoint, *steps: Exchange | Handshake | Unsolicited, **more: Any) -> Conversation:
    """A conversation on a connection that stands, with its steps in any order of kinds."""
    exchanges = tuple(each for each in steps if isinstance(each, Exchange))
    handshake = next((each for each in steps if isinstance(each, Handshake)), None)
    failures = [each.outcome for each in steps if isinstance(each, Exchange | Handshake)]
    values = {
        "exchanges": exchanges,
        "handshake": handshake,
        "unsolicited": tuple(each for each in steps if isinstance(each, Unsolicited)),
        "failure": next((each for each in reversed(failures) if isinstance(each, Failure)), None),
        "connected_s": 0.02,
    }
    return Conversation(endpoint=at, started_s=0.0, ended_s=1.0, **(values | more))


def dead(at: Endpoint, kind: FailureKind = FailureKind.REFUSED, detail: str = "") -> Conversation:
    """A connection that did not come about."""
    failure = Failure(phase=Phase.CONNECT, kind=kind, detail=detail)
    return Conversation(endpoint=at, started_s=0.0, ended_s=1.0, failure=failure)


GREETING = said(Phase.GREETING, "220 mx1.example.org ESMTP")
_KEYWORDS = ("250-SIZE 1000000", "250-8BITMIME", "250-PIPELINING", "250-ENHANCEDSTATUSCODES")
EHLO = said(Phase.EHLO, "250-mx1.example.org", *_KEYWORDS, "250 STARTTLS")
PLAIN_EHLO = said(Phase.EHLO, "250-mx1.example.org", *_KEYWORDS, "250 HELP")
STARTTLS = said(Phase.STARTTLS, "220 2.0.0 Ready to start TLS")
EHLO_INSIDE = said(Phase.EHLO, "250-mx1.example.org", *_KEYWORDS, "250 AUTH PLAIN", over_tls=True)
QUIT = said(Phase.QUIT, "221 2.0.0 Bye", over_tls=True)


def healthy(at: Endpoint | None = None, handshake: Handshake | None = None) -> Conversation:
    """A conversation in which all is well."""
    at = at or endpoint()
    handshake = handshake or tls(GOOD, trust=trust(name=at.name or at.address))
    if at.tls is TlsMode.IMPLICIT:
        greeting = said(Phase.GREETING, "220 mx1.example.org ESMTP", over_tls=True)
        return talk(at, handshake, greeting, EHLO_INSIDE, QUIT)
    return talk(at, GREETING, EHLO, STARTTLS, handshake, EHLO_INSIDE, QUIT)


# --- certificates ---------------------------------------------------------------------------------------------------


def certificate(name: str = MX1, *, days: float = 60, lifetime: float = 90, **more: Any) -> Certificate:
    """A leaf for one name that ends in so many days."""
    der = f"{name} {days} {lifetime} {sorted(more.items())}".encode()
    values: dict[str, Any] = {
        "subject": f"CN={name}",
        "issuer": "CN=R11,O=An Authority",
        "common_name": name,
        "dns_names": (name,),
        "not_before": NOW + timedelta(days=days - lifetime),
        "not_after": NOW + timedelta(days=days, hours=1),
        "key_type": "EC",
        "key_bits": 256,
        "signature_hash": "sha256",
    }
    return Certificate(sha256=sha256(der).hexdigest(), der=der, **(values | more))


GOOD = certificate()


def trust(
    *, chain: bool = True, matched: bool | None = True, in_date: bool = True, name: str | None = MX1, **more: Any
) -> Trust:
    return Trust(is_chain_trusted=chain, is_name_matched=matched, is_within_validity=in_date, name=name, **more)


# --- the name system ------------------------------------------------------------------------------------------------


def lookup(name: str, rrtype: str, *records: str, status: LookupStatus | None = None, **more: Any) -> Lookup:
    usual = LookupStatus.ANSWERED if records else LookupStatus.NO_DATA
    return Lookup(name=name, rrtype=rrtype, status=status or usual, records=records, **more)


def host(
    name: str = MX1,
    *addresses: str,
    origin: HostOrigin = HostOrigin.MX,
    status: LookupStatus | None = None,
    **more: Any,
) -> MxHost:
    """A host with its A and AAAA look-ups; `status` is that of both."""
    return MxHost(
        name=name,
        origin=origin,
        preference=10 if origin is HostOrigin.MX else None,
        addresses=addresses,
        lookups=(
            lookup(name, "A", *(each for each in addresses if ":" not in each), status=status, **more),
            lookup(name, "AAAA", *(each for each in addresses if ":" in each), status=status, **more),
        ),
    )


# --- all of it ------------------------------------------------------------------------------------------------------

DOMAIN_TARGET = Target(text=DOMAIN, kind=TargetKind.NAME, name=DOMAIN)


def evidence(*conversations: Conversation, **more: Any) -> Evidence:
    """Evidence of a domain whose hosts are those of the conversations; or of what `more` says instead."""
    if "resolution" not in more:
        more["resolution"] = resolved(*_hosts(conversations))
    handshakes = [each.session for each in conversations]
    shown = {each for session in handshakes if session is not None for each in session.chain}
    values: dict[str, Any] = {
        "target": DOMAIN_TARGET,
        "options": Options(),
        "started_at": NOW,
        "elapsed_s": 1.0,
        "ehlo_name": "probe.example.net",
        "endpoints": tuple(each.endpoint for each in conversations),
        "conversations": conversations,
        "certificates": tuple(each for each in (GOOD, *more.pop("shown", ())) if each.sha256 in shown),
        "runtime": Runtime(smtpprobe="0.1.0", python="3.12.9", openssl="OpenSSL 3.0.15", platform="Linux"),
    }
    return Evidence(**(values | more))


def resolved(*hosts: MxHost, mx: Lookup | None = None, **more: Any) -> Resolution:
    """The domain with these hosts; the MX question fits them where none is given."""
    named = [each for each in hosts if each.origin is HostOrigin.MX]
    if mx is None:
        mx = lookup(DOMAIN, "MX", *(f"{each.preference} {each.name}" for each in named))
    return Resolution(name=DOMAIN, mx=mx, hosts=hosts, **more)


def _hosts(conversations: tuple[Conversation, ...]) -> tuple[MxHost, ...]:
    addresses: dict[str, dict[str, None]] = {}
    origins: dict[str, HostOrigin] = {}
    for each in conversations:
        addresses.setdefault(each.endpoint.host, {})[each.endpoint.address] = None
        origins.setdefault(each.endpoint.host, each.endpoint.origin)
    return tuple(host(name, *addresses[name], origin=origins[name]) for name in addresses)


# --- what comes out -------------------------------------------------------------------------------------------------


def findings(*conversations: Conversation, **more: Any) -> tuple[Finding, ...]:
    return judge(evidence(*conversations, **more)).findings


def found(id: str, report: Report | tuple[Finding, ...]) -> Finding:
    """The one finding of this id."""
    every = report.findings if isinstance(report, Report) else report
    matching = [each for each in every if each.id == id]
    assert len(matching) == 1, f"{id}: {len(matching)} among {[each.id for each in every]}"
    return matching[0]


def ids(report: Report | tuple[Finding, ...]) -> set[str]:
    return {each.id for each in (report.findings if isinstance(report, Report) else report)}
