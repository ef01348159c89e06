"""For each kind of finding, evidence that has it: the shortest that we can think of."""

from __future__ import annotations

from smtpprobe.checks import CHECKS, judge
from smtpprobe.checks.protocol import IRREGULAR
from smtpprobe.evidence import (
    EXCLUDED,
    Evidence,
    FailureKind,
    Family,
    HostOrigin,
    Irregularity,
    LookupStatus,
    Options,
    Phase,
    PortSpec,
    Resolution,
    Reverse,
    Role,
    Target,
    TargetKind,
    TlsMode,
)
from smtpprobe.report import Finding, Report
from tests.checks.evidence_builder import (
    A1,
    A2,
    AAAA1,
    DOMAIN,
    EHLO,
    EHLO_INSIDE,
    GOOD,
    GREETING,
    MX1,
    MX2,
    PLAIN_EHLO,
    QUIT,
    STARTTLS,
    certificate,
    dead,
    endpoint,
    evidence,
    failed,
    given,
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
from tests.checks.policy_scenarios import POLICY_SCENARIOS

IRREGULAR_REPLIES: dict[Irregularity, bytes] = {
    Irregularity.BARE_LF: b"250-mx1.example.org\n250 SIZE\r\n",
    Irregularity.BARE_CR: b"250 mx1\rexample\r\n",
    Irregularity.NO_TERMINATOR: b"250 mx1.example.org",
    Irregularity.INCOMPLETE: b"250-mx1.example.org\r\n",
    Irregularity.NOT_A_REPLY: b"250-mx1.example.org\r\nwarning: odd\r\n250 SIZE\r\n",
    Irregularity.CODE_OUT_OF_RANGE: b"299 mx1.example.org\r\n",
    Irregularity.MIXED_CODES: b"250-mx1.example.org\r\n251 SIZE\r\n",
    Irregularity.NO_SEPARATOR: b"250mx1.example.org\r\n",
    Irregularity.NO_TEXT: b"250\r\n",
    Irregularity.EMPTY_LINE: b"250-mx1.example.org\r\n\r\n250 SIZE\r\n",
    Irregularity.NUL: b"250 mx1\0\r\n",
    Irregularity.CONTROL: b"250 \x1b[31mmx1\r\n",
    Irregularity.NOT_ASCII: "250 Grüße\r\n".encode(),
    Irregularity.INVALID_UTF8: b"250 Gr\xfc\xdfe\r\n",
    Irregularity.LONG_LINE: b"250 " + b"x" * 600 + b"\r\n",
    Irregularity.TOO_LONG: b"250-x\r\n" * 10_000,
}


def mx_lookup(status: LookupStatus, **more: object) -> Evidence:
    return evidence(resolution=Resolution(name=DOMAIN, mx=lookup(DOMAIN, "MX", status=status, **more)))


def with_hosts(*hosts: object, options: Options | None = None, **more: object) -> Evidence:
    return evidence(resolution=resolved(*hosts, **more), options=options or Options())  # type: ignore[arg-type]


def with_certificate(leaf: object = GOOD, **facts: object) -> Evidence:
    """The certificate on port 25, and what verification says of it."""
    return evidence(healthy(handshake=tls(leaf, trust=trust(**facts))), shown=(leaf,))  # type: ignore[arg-type]


def with_reply(raw: bytes) -> Evidence:
    """A reply to EHLO in these bytes."""
    return evidence(talk(endpoint(), GREETING, said(Phase.EHLO, raw=raw)))


def greeted(*lines: str, **more: object) -> Evidence:
    return evidence(talk(endpoint(), said(Phase.GREETING, *lines, **more)))  # type: ignore[arg-type]


def at_step(kind: FailureKind, phase: Phase = Phase.EHLO, **more: object) -> Evidence:
    before = () if phase is Phase.GREETING else (GREETING,)
    return evidence(talk(endpoint(), *before, failed(phase, kind, **more)))  # type: ignore[arg-type]


def unconnected(kind: FailureKind, detail: str = "") -> Evidence:
    return evidence(dead(endpoint(), kind, detail))


def reverse(ptr: object, *forward: object) -> Evidence:
    from ipaddress import ip_address

    public = "203.0.112.9"
    assert ip_address(public).is_global
    found = Reverse(address=public, ptr=ptr, forward=forward)  # type: ignore[arg-type]
    return with_hosts(host(MX1, public), reverse=(found,))


def named(own: str, *reverse: str, leaf: object = GOOD, at: str = MX2) -> Evidence:
    """A server that calls itself so, with a reverse name and a certificate."""
    session = tls(leaf, trust=trust(name=at))  # type: ignore[arg-type]
    ehlo = said(Phase.EHLO, f"250-{own}", "250 STARTTLS")
    spoken = talk(endpoint(at), said(Phase.GREETING, f"220 {own} ESMTP"), ehlo, STARTTLS, session)
    found = Reverse(address=A1, ptr=lookup("1.2.0.192.in-addr.arpa", "PTR", *reverse))
    return evidence(spoken, resolution=resolved(host(at, A1), reverse=(found,)), shown=(leaf,))


def raising(_: Evidence) -> list[Finding]:
    raise ZeroDivisionError("of the test")


def judged(id: str) -> Report:
    """The report on the evidence of a kind."""
    return judge(SCENARIOS[id], checks=(*CHECKS, raising) if id == "check-failed" else CHECKS)


ME = Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org")
PORTS = tuple(PortSpec(port=port, role=Role.SMTP, tls=TlsMode.STARTTLS) for port in range(2000, 2150))
_PTR = "9.112.0.203.in-addr.arpa"
_ON_SUBMISSION = (
    said(Phase.GREETING, "220 mail.example.org ESMTP"),
    said(Phase.EHLO, "250-mail.example.org", "250-AUTH PLAIN LOGIN", "250 STARTTLS"),
)
_IMPLICIT_LEAF = certificate(days=50)

SCENARIOS: dict[str, Evidence] = {
    # summary
    "mail-reachable": evidence(healthy()),
    "submission-reachable": evidence(healthy(given(587)), target=ME),
    "mx-all-unreachable": evidence(dead(endpoint()), dead(endpoint(MX2, A2))),
    "no-service": evidence(dead(given(25)), dead(given(587)), target=ME),
    "relay-not-served": evidence(
        dead(given(25, origin=HostOrigin.IMPLICIT_MX)), healthy(given(587, origin=HostOrigin.IMPLICIT_MX)), target=ME
    ),
    "nothing-probed": evidence(resolution=Resolution(name=DOMAIN)),
    # the domain
    "mx-found": evidence(healthy()),
    "implicit-mx": with_hosts(host(DOMAIN, A1, origin=HostOrigin.IMPLICIT_MX)),
    "ipv4-missing": with_hosts(host(MX1, AAAA1)),
    "null-mx": with_hosts(mx=lookup(DOMAIN, "MX", "0 ."), is_null_mx=True),
    "null-mx-beside-others": with_hosts(mx=lookup(DOMAIN, "MX", "0 .", f"10 {MX1}")),
    "domain-not-found": mx_lookup(LookupStatus.NXDOMAIN),
    "no-mail-host": mx_lookup(LookupStatus.NO_DATA),
    "mx-lookup-servfail": mx_lookup(LookupStatus.SERVFAIL),
    "mx-lookup-bogus": mx_lookup(LookupStatus.SERVFAIL, extended_error="6 DNSSEC Bogus"),
    "mx-lookup-timeout": mx_lookup(LookupStatus.TIMEOUT),
    "resolver-refused": mx_lookup(LookupStatus.REFUSED),
    "resolver-unreachable": mx_lookup(LookupStatus.UNREACHABLE),
    "mx-lookup-malformed": mx_lookup(LookupStatus.MALFORMED),
    "mx-lookup-failed": mx_lookup(LookupStatus.OTHER_RCODE, detail="NOTIMP"),
    # the hosts
    "mx-host-not-found": with_hosts(host(status=LookupStatus.NXDOMAIN)),
    "mx-host-without-address": with_hosts(host()),
    "host-not-found": evidence(
        resolution=Resolution(hosts=(host(origin=HostOrigin.GIVEN, status=LookupStatus.NXDOMAIN),))
    ),
    "host-without-address": evidence(resolution=Resolution(hosts=(host(origin=HostOrigin.GIVEN),))),
    "no-address-in-family": with_hosts(host(), options=Options(family=Family.IPV6)),
    "host-lookup-failed": with_hosts(host(status=LookupStatus.SERVFAIL)),
    "mx-is-alias": with_hosts(host(MX1, A1, aliases=(MX1,), canonical_name="real.example.org")),
    "mx-is-address-literal": with_hosts(host(A1)),
    "mx-is-localhost": with_hosts(host("localhost", "127.0.0.1")),
    "mx-address-private": with_hosts(host(MX1, "10.0.0.1")),
    "ptr-missing": reverse(lookup(_PTR, "PTR", status=LookupStatus.NXDOMAIN)),
    "ptr-not-confirmed": reverse(lookup(_PTR, "PTR", "other.example.net"), lookup("other.example.net", "A", A2)),
    "ptr-lookup-failed": reverse(lookup(_PTR, "PTR", status=LookupStatus.SERVFAIL)),
    # reachability
    "outbound-port-25-blocked": evidence(
        dead(endpoint(), FailureKind.TIMEOUT), dead(endpoint(MX2, A2), FailureKind.TIMEOUT)
    ),
    "connection-refused": unconnected(FailureKind.REFUSED),
    "connection-timeout": unconnected(FailureKind.TIMEOUT),
    "host-unreachable": unconnected(FailureKind.UNREACHABLE),
    "connection-failed": unconnected(FailureKind.OTHER, "EMFILE: Too many open files"),
    "connection-denied": unconnected(FailureKind.DENIED, "EACCES: Permission denied"),
    "no-route": unconnected(FailureKind.NO_ROUTE),
    "submission-not-offered": evidence(healthy(), dead(endpoint(port=587))),
    # greeting
    "greeting-timeout": at_step(FailureKind.TIMEOUT, Phase.GREETING),
    "greeting-closed": at_step(FailureKind.CLOSED, Phase.GREETING),
    "not-smtp": at_step(FailureKind.GARBAGE, Phase.GREETING, partial=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "host-accepts-no-mail": greeted("521 5.3.2 mx1.example.org does not accept mail"),
    "greeting-refused": greeted("550 go away"),
    "greeting-unexpected-code": greeted("320 what"),
    "greeting-slow": greeted("220 mx1.example.org ESMTP", seconds=6.2),
    "greeting-without-name": greeted("220 !"),
    "server-name-not-public": greeted("220 localhost ESMTP"),
    "server-names-differ": named("host7.example.net", "a.example.com"),
    "greeting-multiline": greeted("220-mx1.example.org ESMTP", "220 be nice"),
    # put off or turned away
    "greylisted": greeted("451 4.7.1 Greylisting in action, please come back later"),
    "rate-limited": greeted("421 4.7.0 mx1.example.org Error: too many connections from 203.0.113.7"),
    "temporarily-refused": greeted("421 mx1.example.org Service not available, closing transmission channel"),
    "client-refused": greeted(
        "554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org"
    ),
    # EHLO
    "ehlo-refused": evidence(
        talk(
            endpoint(),
            GREETING,
            said(Phase.EHLO, "502 5.5.2 Error: command not recognized"),
            said(Phase.HELO, "250 mx1.example.org"),
        )
    ),
    "helo-refused": evidence(talk(endpoint(), GREETING, said(Phase.EHLO, "502 what"), said(Phase.HELO, "502 what"))),
    "extensions-missing": evidence(talk(endpoint(), GREETING, said(Phase.EHLO, "250-mx1.example.org", "250 SIZE"))),
    "auth-without-tls": evidence(talk(given(587), *_ON_SUBMISSION), target=ME),
    "auth-not-offered": evidence(
        talk(
            given(465),
            tls(_IMPLICIT_LEAF, trust=trust()),
            said(Phase.GREETING, "220 mail.example.org ESMTP", over_tls=True),
            said(Phase.EHLO, "250-mail.example.org", "250 SIZE", over_tls=True),
        ),
        target=ME,
        shown=(_IMPLICIT_LEAF,),
    ),
    # STARTTLS
    "starttls-works": evidence(healthy()),
    "starttls-missing": evidence(talk(endpoint(), GREETING, PLAIN_EHLO)),
    "starttls-stripped": evidence(
        talk(endpoint(), GREETING, said(Phase.EHLO, "250-mx1.example.org", "250-SIZE", "250 XXXXXXXA"))
    ),
    "starttls-temporarily-refused": evidence(
        talk(endpoint(), GREETING, EHLO, said(Phase.STARTTLS, "454 4.7.0 TLS not available due to local problem"))
    ),
    "starttls-refused": evidence(talk(endpoint(), GREETING, EHLO, said(Phase.STARTTLS, "502 5.5.1 no"))),
    "plaintext-after-starttls": evidence(
        talk(endpoint(), GREETING, EHLO, STARTTLS, unasked(b"250 injected\r\n", before_handshake=True), tls())
    ),
    "ehlo-refused-after-tls": evidence(
        talk(endpoint(), GREETING, EHLO, STARTTLS, tls(), said(Phase.EHLO, "503 5.5.1 no", over_tls=True))
    ),
    "starttls-offered-after-tls": evidence(
        talk(
            endpoint(),
            GREETING,
            EHLO,
            STARTTLS,
            tls(),
            said(Phase.EHLO, "250-mx1.example.org", "250 STARTTLS", over_tls=True),
        )
    ),
    "ehlo-changes-after-tls": evidence(
        talk(
            endpoint(),
            GREETING,
            EHLO,
            STARTTLS,
            tls(),
            said(Phase.EHLO, "250-mx1.example.org", "250 DSN", over_tls=True),
        )
    ),
    # TLS
    "tls-works": evidence(healthy(given(465)), target=ME),
    "tls-handshake-alert": evidence(
        talk(endpoint(), GREETING, EHLO, STARTTLS, tls_failed(FailureKind.TLS_ALERT, "internal_error"))
    ),
    "tls-handshake-closed": evidence(talk(endpoint(), GREETING, EHLO, STARTTLS, tls_failed(FailureKind.TLS_CLOSED))),
    "tls-not-spoken": evidence(
        talk(given(465), tls_failed(FailureKind.TLS_PROTOCOL, "wrong version number", b"220 mail.example.org\r\n"))
    ),
    "tls-local-limit": evidence(
        talk(endpoint(), GREETING, EHLO, STARTTLS, tls_failed(FailureKind.TLS_LOCAL, "unsupported protocol"))
    ),
    "tls-handshake-timeout": evidence(talk(endpoint(), GREETING, EHLO, STARTTLS, tls_failed(FailureKind.TIMEOUT))),
    "tls-version-old": evidence(healthy(handshake=tls(version="TLSv1", cipher="ECDHE-RSA-AES256-SHA"))),
    "tls-13-missing": evidence(healthy(handshake=tls(version="TLSv1.2", cipher="ECDHE-RSA-AES256-GCM-SHA384"))),
    "tls-cipher-weak": evidence(healthy(handshake=tls(version="TLSv1.2", cipher="ADH-AES256-SHA"))),
    "tls-no-forward-secrecy": evidence(healthy(handshake=tls(version="TLSv1.2", cipher="AES256-GCM-SHA384"))),
    # certificates
    "certificate-trusted": with_certificate(),
    "certificate-missing": evidence(healthy(handshake=tls())),
    "certificate-unreadable": evidence(
        healthy(handshake=tls(certificate(not_before=None, not_after=None, unreadable="not DER"))),
        shown=(certificate(not_before=None, not_after=None, unreadable="not DER"),),
    ),
    "certificate-expired": with_certificate(certificate(days=-12), in_date=False),
    "certificate-not-yet-valid": with_certificate(certificate(days=95), in_date=False),
    "certificate-chain-out-of-date": with_certificate(in_date=False),
    "certificate-expires-soon": with_certificate(certificate(days=20)),
    "certificate-name-mismatch": with_certificate(certificate("www.example.net"), matched=False),
    "certificate-name-in-common-name": with_certificate(certificate(dns_names=()), matched=False),
    "certificate-self-signed": with_certificate(chain=False, is_self_signed=True),
    "certificate-intermediate-missing": with_certificate(chain=False, is_issuer_missing=True),
    "certificate-issuer-unknown": with_certificate(chain=False, errors=("19 self-signed certificate in chain",)),
    "certificate-not-for-servers": with_certificate(is_for_servers=False),
    "certificate-key-weak": with_certificate(certificate(key_type="RSA", key_bits=1024)),
    "certificate-signature-weak": with_certificate(certificate(signature_hash="sha1")),
    "certificates-differ": evidence(
        healthy(), healthy(endpoint(address=A2), handshake=tls(_IMPLICIT_LEAF, trust=trust())), shown=(_IMPLICIT_LEAF,)
    ),
    "trust-store-missing": with_certificate(chain=False, has_roots=False),
    # protocol
    "reply-timeout": at_step(FailureKind.TIMEOUT),
    "tarpit-suspected": at_step(FailureKind.TIMEOUT, partial=b"250-mx1.exa"),
    "reply-slow": evidence(talk(endpoint(), GREETING, said(Phase.EHLO, "250 mx1.example.org", seconds=7.1))),
    "connection-closed": at_step(FailureKind.CLOSED),
    "reply-not-smtp": at_step(FailureKind.GARBAGE, partial=b"Traceback\r\n"),
    "step-failed": at_step(FailureKind.OTHER, detail="EIO: Input/output error"),
    "unsolicited-reply": evidence(talk(endpoint(), GREETING, EHLO, unasked(b"250 2.0.0 Ok\r\n"))),
    "closed-unasked": evidence(talk(endpoint(), GREETING, EHLO, unasked(b"421 4.3.2 going down\r\n"))),
    "quit-unanswered": evidence(talk(endpoint(), GREETING, PLAIN_EHLO, failed(Phase.QUIT, FailureKind.CLOSED))),
    "quit-unusual-reply": evidence(talk(endpoint(), GREETING, PLAIN_EHLO, said(Phase.QUIT, "421 4.4.2 bye"))),
    **{IRREGULAR[each].id: with_reply(raw) for each, raw in IRREGULAR_REPLIES.items()},
    # the probe
    "interrupted": evidence(
        healthy(), talk(endpoint(MX2, A2), failed(Phase.GREETING, FailureKind.INTERRUPTED)), is_interrupted=True
    ),
    "deadline-reached": evidence(healthy(), dead(endpoint(MX2, A2), FailureKind.DEADLINE)),
    "left-alone": evidence(healthy(), dead(endpoint(MX2, A2), FailureKind.LEFT_ALONE, EXCLUDED)),
    "endpoints-left-out": evidence(
        endpoints=tuple(endpoint(address=A1, role=Role.SMTP, tls=TlsMode.STARTTLS, port=25) for _ in range(128)),
        resolution=resolved(host(MX1, A1)),
        options=Options(ports=PORTS, explicit_ports=True),
    ),
    "internal-error": at_step(FailureKind.INTERNAL, detail="ValueError: of the test"),
    "check-failed": evidence(healthy()),
    **POLICY_SCENARIOS,
}

__all__ = ["EHLO_INSIDE", "IRREGULAR_REPLIES", "QUIT", "SCENARIOS", "judged"]
