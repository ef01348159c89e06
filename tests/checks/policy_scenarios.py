"""Evidence about published policies and further connections, for each kind of finding that rests on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPCertStatus

from smtpprobe.certificates import read_certificate
from smtpprobe.evidence import (
    Conversation,
    Evidence,
    Failure,
    FailureKind,
    Handshake,
    Lookup,
    LookupStatus,
    Phase,
    Policies,
    PolicyFetch,
    SecurityTrial,
    TlsaLookup,
    TlsSession,
    VersionTrial,
)
from smtpprobe.lab.certificates import DAY, CertificateKind, make_identity, make_staple
from tests.checks.evidence_builder import (
    A1,
    DOMAIN,
    EHLO,
    GREETING,
    MX1,
    MX2,
    PLAIN_EHLO,
    STARTTLS,
    dead,
    endpoint,
    evidence,
    failed,
    healthy,
    host,
    lookup,
    resolved,
    said,
    talk,
    tls,
    tls_failed,
    trust,
    unasked,
)

LOOPBACK = "127.0.0.1:53"
ELSEWHERE = "192.0.2.53:53"

IDENTITY = make_identity(CertificateKind.TRUSTED, MX1)
CHAIN = tuple(read_certificate(each.public_bytes(Encoding.DER)) for each in IDENTITY.chain)
LEAF = CHAIN[0]
KEY = LEAF.spki_sha256 or ""
RIGHT = f"3 1 1 {KEY}"
WRONG = f"3 1 1 {'00' * 32}"
UNUSABLE = f"1 1 1 {KEY}"


def secured(is_trusted: bool = True) -> Conversation:
    """A conversation with a server that shows a real certificate."""
    return healthy(handshake=tls(*CHAIN, trust=trust(chain=is_trusted)))


NOT_NOW = said(Phase.STARTTLS, "454 4.7.0 TLS not available")

# --- DANE -----------------------------------------------------------------------------------------------------------


def tlsa(*records: str, secure: bool = True, resolver: str = LOOPBACK, **more: Any) -> Policies:
    found = lookup(f"_25._tcp.{MX1}", "TLSA", *records, authenticated=secure, resolver=resolver, **more)
    return Policies(tlsa=(TlsaLookup(host=MX1, port=25, base=MX1, lookup=found),))


def signed(
    policies: Policies,
    conversation: Conversation | None = None,
    *,
    mx: bool = True,
    addresses: bool = True,
    resolver: str = LOOPBACK,
    **more: Any,
) -> Evidence:
    """A domain in a signed zone, as far as said."""
    resolution = resolved(
        host(MX1, A1, authenticated=addresses, resolver=resolver),
        mx=lookup(DOMAIN, "MX", f"10 {MX1}", authenticated=mx, resolver=resolver),
    )
    return evidence(conversation or secured(), policies=policies, resolution=resolution, shown=CHAIN, **more)


DANE = {
    "dane-match": signed(tlsa(RIGHT)),
    "dane-mismatch": signed(tlsa(WRONG)),
    "dane-unusable": signed(tlsa(UNUSABLE)),
    "dane-insecure": signed(tlsa(RIGHT, secure=False)),
    "dane-lookup-failed": signed(tlsa(status=LookupStatus.SERVFAIL)),
    "dane-unverifiable": signed(tlsa(RIGHT, resolver=ELSEWHERE), resolver=ELSEWHERE),
    "dane-unvalidated": signed(tlsa(RIGHT, secure=False), mx=False, addresses=False),
    "dane-untested": signed(tlsa(RIGHT), talk(endpoint(), GREETING, EHLO, NOT_NOW)),
    "dane-without-tls": signed(tlsa(RIGHT), talk(endpoint(), GREETING, PLAIN_EHLO)),
    "dane-not-published": signed(tlsa()),
    "dane-without-rollover": signed(tlsa(RIGHT)),
    "dane-mx-insecure": signed(tlsa(RIGHT), mx=False),
    "certificate-only-by-dane": signed(tlsa(RIGHT), secured(is_trusted=False)),
}

# --- MTA-STS --------------------------------------------------------------------------------------------------------

STS_RECORD = '"v=STSv1; id=1;"'
BODY = f"version: STSv1\nmode: enforce\nmx: {MX1}\nmax_age: 604800\n".encode()
URL = f"https://mta-sts.{DOMAIN}/.well-known/mta-sts.txt"


def sts_lookup(*records: str, **more: Any) -> Lookup:
    return lookup(f"_mta-sts.{DOMAIN}", "TXT", *records, **more)


def fetched(body: bytes = BODY, **more: Any) -> PolicyFetch:
    values: dict[str, Any] = {
        "url": URL,
        "status": 200,
        "media_type": "text/plain; charset=utf-8",
        "body": body,
        "trust": trust(name=f"mta-sts.{DOMAIN}"),
        "started_s": 0.0,
        "ended_s": 0.1,
    }
    return PolicyFetch(**(values | more))


def policed(fetch: PolicyFetch | None, conversation: Conversation | None = None, *hosts: str) -> Evidence:
    """A domain with a policy."""
    policies = Policies(mta_sts=sts_lookup(STS_RECORD), policy=fetch)
    resolution = resolved(host(MX1, A1), *(host(each, "198.51.100.1") for each in hosts))
    return evidence(conversation or secured(), policies=policies, resolution=resolution, shown=CHAIN)


def mode(name: str) -> bytes:
    return BODY.replace(b"enforce", name.encode())


MTA_STS = {
    "mta-sts-not-published": evidence(healthy(), policies=Policies(mta_sts=sts_lookup())),
    "mta-sts-lookup-failed": evidence(healthy(), policies=Policies(mta_sts=sts_lookup(status=LookupStatus.TIMEOUT))),
    "mta-sts-record-invalid": evidence(healthy(), policies=Policies(mta_sts=sts_lookup('"v=STSv1; id=a-b"'))),
    "mta-sts-policy-unreachable": policed(
        fetched(status=None, trust=None, failure=Failure(phase=Phase.CONNECT, kind=FailureKind.REFUSED))
    ),
    "mta-sts-policy-certificate": policed(fetched(trust=trust(matched=False))),
    "mta-sts-policy-redirect": policed(fetched(status=301, location="https://www.example.org/")),
    "mta-sts-policy-status": policed(fetched(status=404)),
    "mta-sts-policy-type": policed(fetched(media_type="text/html")),
    "mta-sts-policy-too-large": policed(fetched(is_cut=True)),
    "mta-sts-policy-invalid": policed(fetched(BODY.replace(b"STSv1", b"STSv9"))),
    "mta-sts-enforced": policed(fetched()),
    "mta-sts-testing": policed(fetched(mode("testing"))),
    "mta-sts-none": policed(fetched(mode("none"))),
    "mta-sts-max-age-short": policed(fetched(BODY.replace(b"604800", b"3600"))),
    "mta-sts-mx-not-listed": policed(fetched(), None, MX2),
    "mta-sts-mx-without-tls": policed(fetched(), talk(endpoint(), GREETING, PLAIN_EHLO)),
    "mta-sts-mx-untrusted": policed(fetched(), secured(is_trusted=False)),
}


def reporting(*records: str, **more: Any) -> Evidence:
    return evidence(healthy(), policies=Policies(tls_rpt=lookup(f"_smtp._tls.{DOMAIN}", "TXT", *records, **more)))


TLS_RPT = {
    "tls-rpt-found": reporting('"v=TLSRPTv1; rua=mailto:tls@example.org"'),
    "tls-rpt-not-published": reporting(),
    "tls-rpt-invalid": reporting('"v=TLSRPTv1; rua=nobody"'),
    "tls-rpt-lookup-failed": reporting(status=LookupStatus.SERVFAIL),
}

# --- where mail programs find submission ----------------------------------------------------------------------------

MAIL = "mail.example.org"


def announced(
    *records: str, implicit: tuple[str, ...] = (), hosts: tuple[Lookup, ...] | None = None, talks: Any = (), **more: Any
) -> Evidence:
    """A domain with these SRV records for submission, of which the first host has an address unless said."""
    services = (
        lookup(f"_submissions._tcp.{DOMAIN}", "SRV", *implicit),
        lookup(f"_submission._tcp.{DOMAIN}", "SRV", *records, **more),
    )
    if hosts is None:
        hosts = (lookup(MAIL, "A", A1), lookup(MAIL, "AAAA"))
    return evidence(healthy(), *talks, policies=Policies(services=services, service_hosts=hosts))


def at_mail(port: int = 587) -> Any:
    return endpoint(MAIL, A1, port)


DISCOVERY = {
    "submission-announced": announced(f"10 1 587 {MAIL}", implicit=(f"0 1 465 {MAIL}",)),
    "submission-not-announced": announced(),
    "submission-declared-absent": announced("0 0 0 ."),
    "submission-absent-beside-others": announced("0 0 0 .", f"0 1 587 {MAIL}"),
    "submission-lookup-failed": announced(status=LookupStatus.SERVFAIL),
    "submission-target-is-alias": announced(
        f"0 1 587 {MAIL}", hosts=(lookup(MAIL, "A", A1, aliases=(MAIL,), canonical_name="real.example.org"),)
    ),
    "submission-target-without-address": announced(f"0 1 587 {MAIL}", hosts=(lookup(MAIL, "A"), lookup(MAIL, "AAAA"))),
    "submission-servers-alike": announced(f"0 1 587 {MAIL}", f"0 3 587 {MX2}"),
    "submission-port-unusual": announced(f"0 1 2525 {MAIL}"),
    "submission-announced-unreachable": announced(f"0 1 587 {MAIL}", talks=(dead(at_mail()),)),
    "submission-announced-without-tls": announced(f"0 1 587 {MAIL}", talks=(talk(at_mail(), GREETING, PLAIN_EHLO),)),
}

# --- further connections --------------------------------------------------------------------------------------------


def spoken(
    *versions: str,
    local: tuple[str, ...] = (),
    unfinished: tuple[str, ...] = (),
    ocsp: bytes | None = None,
    **more: Any,
) -> Evidence:
    """A server of which each TLS version was tried."""
    trials = []
    for each in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"):
        kind = FailureKind.TLS_LOCAL if each in local else FailureKind.TLS_ALERT
        outcome: TlsSession | Failure = Failure(phase=Phase.TLS, kind=kind, detail="protocol_version")
        if each in unfinished:
            outcome = Failure(phase=Phase.GREETING, kind=FailureKind.OTHER, detail="the server said 421")
        if each in versions:
            chain = tuple(shown.sha256 for shown in CHAIN)
            outcome = TlsSession(version=each, cipher="ECDHE-RSA-AES256-GCM-SHA384", chain=chain)
        trials.append(VersionTrial(version=each, outcome=outcome, ocsp_response=ocsp, started_s=0.0, ended_s=0.1))
    made = msgspec.structs.replace(secured(), versions=tuple(trials))
    return evidence(made, shown=CHAIN, started_at=datetime.now(UTC), **more)


def tried(name: str, *steps: Any, failure: Failure | None = None, **more: Any) -> Evidence:
    """A server on which one intrusive probe was made."""
    made = talk(endpoint(), *steps)
    trial = SecurityTrial(name=name, exchanges=made.exchanges, unsolicited=made.unsolicited, failure=failure)
    return evidence(msgspec.structs.replace(healthy(), security=(trial,)), **more)


_INSIDE = said(Phase.EHLO, "250-mx1.example.org", "250 SIZE", over_tls=True)
_SMUGGLED = msgspec.structs.replace(unasked(b"250 2.0.0 Ok\r\n", after=Phase.TLS), over_tls=True)
_OK = "250 2.1.0 Ok"

TRIALS = {
    "tls-versions": spoken("TLSv1.2", "TLSv1.3"),
    "tls-versions-old-only": spoken("TLSv1", "TLSv1.1"),
    "tls-versions-old-too": spoken("TLSv1.1", "TLSv1.2"),
    "tls-versions-unfinished": spoken("TLSv1.2", unfinished=("TLSv1.3",)),
    "tls-version-untestable": spoken("TLSv1.2", local=("TLSv1", "TLSv1.1")),
    "tls-ocsp-stapled": spoken("TLSv1.3", ocsp=make_staple(IDENTITY)),
    "tls-ocsp-revoked": spoken("TLSv1.3", ocsp=make_staple(IDENTITY, status=OCSPCertStatus.REVOKED)),
    "tls-ocsp-expired": spoken("TLSv1.3", ocsp=make_staple(IDENTITY, from_=-4 * DAY, until=-DAY)),
    "tls-ocsp-other-certificate": spoken(
        "TLSv1.3", ocsp=make_staple(make_identity(CertificateKind.TRUSTED, "other.example.org"))
    ),
    "tls-ocsp-unusable": spoken("TLSv1.3", ocsp=b"\x30\x03\x0a\x01\x03"),
    "starttls-injection": tried("starttls-injection", GREETING, EHLO, STARTTLS, tls(), _SMUGGLED, _INSIDE),
    "starttls-injection-safe": tried("starttls-injection", GREETING, EHLO, STARTTLS, tls(), _INSIDE),
    "starttls-unadvertised": tried("starttls-unadvertised", GREETING, PLAIN_EHLO, STARTTLS),
    "mail-without-tls-refused": tried(
        "mail-without-tls", GREETING, EHLO, said(Phase.MAIL, "530 5.7.0 Must issue a STARTTLS command first")
    ),
    "mail-without-tls-accepted": tried("mail-without-tls", GREETING, EHLO, said(Phase.MAIL, _OK)),
    "vrfy-discloses": tried("relay", GREETING, EHLO, said(Phase.VRFY, "250 Post Master <postmaster@example.org>")),
    "expn-discloses": tried("relay", GREETING, EHLO, said(Phase.EXPN, "250 <admin@example.org>")),
    "relay-rcpt-accepted": tried("relay", GREETING, EHLO, said(Phase.MAIL, _OK), said(Phase.RCPT, _OK)),
    "relay-rcpt-refused": tried(
        "relay", GREETING, EHLO, said(Phase.MAIL, _OK), said(Phase.RCPT, "554 5.7.1 Relay access denied")
    ),
    "security-probe-unfinished": tried(
        "relay",
        failed(Phase.GREETING, FailureKind.CLOSED),
        failure=Failure(phase=Phase.GREETING, kind=FailureKind.CLOSED),
    ),
}

POLICY_SCENARIOS: dict[str, Evidence] = {**DANE, **MTA_STS, **TLS_RPT, **DISCOVERY, **TRIALS}

BROKEN_TLS: Handshake = tls_failed(FailureKind.TLS_ALERT, "handshake_failure")
