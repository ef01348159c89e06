"""Reports to be shown: evidence written by hand, judged by the checks.

A conversation is written as it would be read: ``<`` what the server says, ``>`` what we say, ``tls NAME`` a handshake
with one of `SESSIONS`, ``wait S`` a slow server, ``fail KIND detail`` an early end. All else about it is made up here,
the same every time, so that what is rendered can be compared byte for byte.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

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
    Resolution,
    Reverse,
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
from smtpprobe.report import Report

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
RUNTIME = Runtime(smtpprobe="0.1.0", python="3.12.9", openssl="OpenSSL 3.0.15", platform="Linux")
PORTS = {25: (Role.SMTP, TlsMode.STARTTLS), 465: (Role.SUBMISSIONS, TlsMode.IMPLICIT)} | dict.fromkeys(
    (587, 2525), (Role.SUBMISSION, TlsMode.STARTTLS)
)
ROUND_TRIP_S = 0.0125


# --- certificates ---------------------------------------------------------------------------------------------------


def certificate(name: str, *names: str, days: int = 60, issuer: str = "CN=R11,O=Let's Encrypt,C=US") -> Certificate:
    der = f"{name} {days} {issuer}".encode()
    return Certificate(
        sha256=sha256(der).hexdigest(),
        der=der,
        subject=f"CN={name}",
        issuer=issuer,
        serial="04d2",
        not_before=NOW + timedelta(days=days - 90),
        not_after=NOW + timedelta(days=days, hours=3),
        dns_names=(name, *names),
        common_name=name,
        key_type="EC",
        key_bits=256,
        curve="secp256r1",
        signature_hash="sha256",
        spki_sha256=sha256(der * 2).hexdigest(),
    )


ISSUER = msgspec.structs.replace(
    certificate("R11", days=700, issuer="CN=ISRG Root X1,O=Internet Security Research Group,C=US"),
    subject="CN=R11,O=Let's Encrypt,C=US",
    dns_names=(),
    is_ca=True,
    key_type="RSA",
    key_bits=2048,
    curve=None,
)
GOOD = certificate("mx1.example.org", "mx2.example.org", "mail.example.org")
EXPIRED = certificate("mx2.example.org", days=-12)
FOREIGN = certificate("*.hosting.example")
HOSTILE = msgspec.structs.replace(
    certificate("mx.example.net"),
    subject="CN=\x1b]0;owned\x07mx.example.net",
    issuer="CN=\u202egro.elpmaxe",
    dns_names=("mx.example.net", "\x9b31m.example.net"),
)


def session(leaf: Certificate, trust: Trust | None, *chain: Certificate, version: str = "TLSv1.3") -> TlsSession:
    return TlsSession(
        version=version,
        cipher="TLS_AES_256_GCM_SHA384" if version == "TLSv1.3" else "ECDHE-RSA-AES256-GCM-SHA384",
        secret_bits=256,
        chain=tuple(each.sha256 for each in (leaf, *chain)),
        trust=trust,
    )


def trust(name: str, chain: bool = True, matched: bool = True, valid: bool = True, *errors: str, **more: bool) -> Trust:
    return Trust(
        is_chain_trusted=chain,
        is_name_matched=matched,
        is_within_validity=valid,
        name=name,
        errors=errors,
        **more,
    )


SESSIONS = {
    "good": lambda name: session(GOOD, trust(name), ISSUER),
    "old": lambda name: session(GOOD, trust(name), ISSUER, version="TLSv1.2"),
    "expired": lambda name: session(
        EXPIRED, trust(name, True, True, False, "10 certificate has expired"), ISSUER, version="TLSv1.2"
    ),
    "foreign": lambda name: session(FOREIGN, trust(name, True, False, True, "62 hostname mismatch"), ISSUER),
    "hostile": lambda name: session(
        HOSTILE,
        trust(name, False, True, True, "20 unable to get local issuer certificate\x1b[1A", is_issuer_missing=True),
    ),
}


# --- conversations --------------------------------------------------------------------------------------------------


def endpoint(host: str, address: str, port: int, preference: int | None = 10, **more: object) -> Endpoint:
    role, tls = PORTS[port]
    values = {
        "origin": HostOrigin.GIVEN if preference is None else HostOrigin.MX,
        "name": None if host == address else host,
        "role": role,
        "tls": tls,
    }
    return Endpoint(host=host, address=address, port=port, preference=preference, **(values | more))  # type: ignore[arg-type]


def talk(at: Endpoint, script: str, started_s: float = 0.02) -> Conversation:
    """Read a script into a conversation."""
    return _Talk(at, started_s).read(script)


class _Talk:
    """Where a script has got to."""

    def __init__(self, at: Endpoint, started_s: float) -> None:
        self.endpoint, self.started_s, self.clock = at, started_s, started_s
        self.connected_s: float | None = None
        self.exchanges: list[Exchange] = []
        self.unsolicited: list[Unsolicited] = []
        self.handshake: Handshake | None = None
        self.failure: Failure | None = None
        self.phase = Phase.CONNECT
        self.sent: bytes | None = None
        self.raw = b""
        self.extra_s = 0.0

    def read(self, script: str) -> Conversation:
        for line in script.strip().split("\n"):
            verb, _, rest = line.partition(" ")
            if verb != "<":
                self._end_reply()
            getattr(self, "_" + {"<": "said", ">": "say"}.get(verb, verb))(rest)
        self._end_reply()
        return Conversation(
            endpoint=self.endpoint,
            started_s=self.started_s,
            connected_s=self.connected_s,
            failure=self.failure,
            local_address="203.0.113.7" if self.connected_s is not None else None,
            exchanges=tuple(self.exchanges),
            handshake=self.handshake,
            unsolicited=tuple(self.unsolicited),
            ended_s=round(self.clock, 4),
        )

    def _pass(self) -> tuple[float, float]:
        started = round(self.clock, 4)
        self.clock += ROUND_TRIP_S + self.extra_s
        self.extra_s = 0.0
        return started, round(self.clock, 4)

    def _connect(self, _: str) -> None:
        self.connected_s = self._pass()[1]
        self.phase = Phase.GREETING

    def _wait(self, seconds: str) -> None:
        self.extra_s = float(seconds)

    def _say(self, command: str) -> None:
        self.sent = f"{command}\r\n".encode("latin-1")
        self.phase = Phase(command.split(" ")[0].lower())

    def _said(self, line: str) -> None:
        self.raw += f"{line}\r\n".encode("latin-1")

    def _unasked(self, line: str) -> None:
        raw = f"{line}\r\n".encode("latin-1")
        self.unsolicited.append(
            Unsolicited(after=self.phase, raw=raw, at_s=round(self.clock, 4), over_tls=self._over_tls())
        )

    def _tls(self, name: str) -> None:
        started, ended = self._pass()
        self.handshake = Handshake(
            outcome=SESSIONS[name](self.endpoint.host),
            server_name=self.endpoint.name,
            started_s=started,
            ended_s=ended,
        )
        self.phase = Phase.GREETING if not self.exchanges else Phase.EHLO

    def _fail(self, what: str) -> None:
        kind, _, detail = what.partition(" ")
        started, ended = self._pass()
        self.failure = Failure(phase=self.phase, kind=FailureKind(kind), detail=detail, partial=b"")
        if self.connected_s is not None:
            self._exchange(self.failure, started, ended)

    def _handshake_fails(self, what: str) -> None:
        kind, _, detail = what.partition(" ")
        started, ended = self._pass()
        self.failure = Failure(phase=Phase.TLS, kind=FailureKind(kind), detail=detail)
        self.handshake = Handshake(
            outcome=self.failure, server_name=self.endpoint.name, started_s=started, ended_s=ended
        )

    def _over_tls(self) -> bool:
        return self.handshake is not None and isinstance(self.handshake.outcome, TlsSession)

    def _end_reply(self) -> None:
        if self.raw:
            raw, self.raw = self.raw, b""
            self._exchange(parse_reply(raw), *self._pass())

    def _exchange(self, outcome: object, started: float, ended: float) -> None:
        self.exchanges.append(
            Exchange(
                phase=self.phase,
                sent=self.sent,
                outcome=outcome,  # type: ignore[arg-type]
                over_tls=self._over_tls(),
                started_s=started,
                first_byte_s=ended,
                ended_s=ended,
            )
        )
        self.sent = None


POSTFIX = """
connect
< 220 mx1.example.org ESMTP Postfix (Debian/GNU)
> EHLO probe.example.com
< 250-mx1.example.org
< 250-PIPELINING
< 250-SIZE 52428800
< 250-STARTTLS
< 250-ENHANCEDSTATUSCODES
< 250-8BITMIME
< 250-SMTPUTF8
< 250 CHUNKING
> STARTTLS
< 220 2.0.0 Ready to start TLS
tls good
> EHLO probe.example.com
< 250-mx1.example.org
< 250-PIPELINING
< 250-SIZE 52428800
< 250-ENHANCEDSTATUSCODES
< 250-8BITMIME
< 250-SMTPUTF8
< 250-AUTH PLAIN LOGIN
< 250 CHUNKING
> QUIT
< 221 2.0.0 Bye
"""

EXIM = (
    POSTFIX.replace("ESMTP Postfix (Debian/GNU)", "ESMTP Exim 4.96 Sat, 14 Mar 2026 09:26:53 +0000")
    .replace("mx1.", "mx2.")
    .replace("220 2.0.0 Ready to start TLS", "220 TLS go ahead")
    .replace("221 2.0.0 Bye", "221 mx2.example.org closing connection")
)

BUSY = """
connect
wait 4
< 421-4.7.0 mx3.example.org Too many connections from your network,
< 421 4.7.0 please try again later
"""


# --- the name system ------------------------------------------------------------------------------------------------


def lookup(name: str, rrtype: str, *records: str, status: LookupStatus | None = None, **more: Any) -> Lookup:
    return Lookup(
        name=name,
        rrtype=rrtype,
        status=status or (LookupStatus.ANSWERED if records else LookupStatus.NO_DATA),
        records=records,
        ttl_s=300,
        resolver="192.0.2.53:53",
        elapsed_s=0.0061,
        **more,
    )


def mx_host(name: str, preference: int | None, *addresses: str, **more: Any) -> MxHost:
    return MxHost(
        name=name,
        origin=HostOrigin.MX if preference is not None else HostOrigin.GIVEN,
        preference=preference,
        addresses=addresses,
        lookups=(
            lookup(name, "A", *(each for each in addresses if ":" not in each), **more),
            lookup(name, "AAAA", *(each for each in addresses if ":" in each), **more),
        ),
    )


def reverse(host: MxHost) -> tuple[Reverse, ...]:
    return tuple(
        Reverse(
            address=address,
            ptr=lookup(f"{address}.in-addr.arpa", "PTR", host.name),
            forward=(lookup(host.name, "AAAA" if ":" in address else "A", address),),
        )
        for address in host.addresses
    )


def evidence(
    domain: str, hosts: tuple[MxHost, ...], conversations: tuple[Conversation, ...], **more: object
) -> Evidence:
    mx = lookup(domain, "MX", *(f"{host.preference} {host.name}" for host in hosts))
    values: dict[str, object] = {
        "target": Target(text=domain, kind=TargetKind.NAME, name=domain),
        "options": Options(),
        "started_at": NOW,
        "elapsed_s": max((each.ended_s for each in conversations), default=0.02),
        "ehlo_name": "probe.example.com",
        "resolution": Resolution(
            name=domain,
            mx=mx,
            hosts=hosts,
            reverse=tuple(each for host in hosts for each in reverse(host)),
            elapsed_s=0.0184,
        ),
        "endpoints": tuple(each.endpoint for each in conversations),
        "conversations": conversations,
        "certificates": (GOOD, EXPIRED, FOREIGN, HOSTILE, ISSUER),
        "runtime": RUNTIME,
    }
    return Evidence(**(values | more))  # type: ignore[arg-type]


# --- the worlds -----------------------------------------------------------------------------------------------------

REFUSED = "fail refused Connection refused"
SILENT = "wait 10\nfail timeout"


def _mx(host: MxHost, script: str, submission: str = REFUSED, *, ipv6: str | None = None) -> tuple[Conversation, ...]:
    talks = []
    for address in host.addresses:
        for port in (25, 465, 587):
            words = submission if port != 25 else (ipv6 or script) if ":" in address else script
            talks.append(talk(endpoint(host.name, address, port, host.preference), words))
    return tuple(talks)


def healthy() -> Report:
    """Two servers, each as it should be."""
    mx1 = mx_host("mx1.example.org", 10, "192.0.2.25", "2001:db8::25")
    mx2 = mx_host("mx2.example.org", 20, "198.51.100.25")
    return judge(evidence("example.org", (mx1, mx2), (*_mx(mx1, POSTFIX), *_mx(mx2, EXIM))))


def mixed() -> Report:
    """One server in order, one with an expired certificate, one busy, one of which nothing is heard."""
    mx1 = mx_host("mx1.example.org", 10, "192.0.2.25", "2001:db8::25")
    mx2 = mx_host("mx2.example.org", 20, "198.51.100.25")
    mx3 = mx_host("mx3.example.org", 30, "203.0.113.25")
    mx4 = mx_host("mx4.example.org", 40, "203.0.113.99")
    talks = (
        *_mx(mx1, POSTFIX, ipv6="fail no-route Network is unreachable"),
        *_mx(mx2, EXIM.replace("tls good", "tls expired")),
        *_mx(mx3, BUSY),
        *_mx(mx4, SILENT, SILENT),
    )
    return judge(evidence("example.org", (mx1, mx2, mx3, mx4), talks))


def dead() -> Report:
    """Nobody answers."""
    mx1 = mx_host("mx1.example.org", 10, "192.0.2.25", "2001:db8:1234:5678:90ab:cdef:1234:5678")
    mx2 = mx_host("mx2.example.org", 20)
    return judge(evidence("example.org", (mx1, mx2), _mx(mx1, REFUSED)))


def nowhere() -> Report:
    """The only MX host has no address."""
    return judge(evidence("example.org", (mx_host("mx1.example.org", 10),), ()))


def inconclusive() -> Report:
    """The name system does not tell."""
    mx = lookup(
        "example.org", "MX", status=LookupStatus.SERVFAIL, extended_error="22 No Reachable Authority", detail="SERVFAIL"
    )
    return judge(evidence("example.org", (), (), resolution=Resolution(name="example.org", mx=mx, elapsed_s=2.1)))


def host() -> Report:
    """One host by name: submission, one port with a certificate for another name."""
    mail = mx_host("mail.example.org", None, "192.0.2.26")
    scripts = {
        25: REFUSED,
        465: "connect\ntls foreign\n"
        + POSTFIX.split("connect\n")[1].split("> STARTTLS")[0].replace("250-STARTTLS\n< ", "")
        + "> QUIT\n< 221 2.0.0 Bye",
        587: POSTFIX.replace(
            "> STARTTLS\n< 220 2.0.0 Ready to start TLS\ntls good", "> STARTTLS\n< 454 4.7.0 TLS not available"
        ).split("> EHLO", 2)[0]
        + "> EHLO probe.example.com\n< 250-mail.example.org\n< 250-AUTH PLAIN\n< 250 STARTTLS\n> STARTTLS\n"
        + "< 454 4.7.0 TLS not available due to local problem\n> QUIT\n< 221 2.0.0 Bye",
    }
    talks = tuple(talk(endpoint(mail.name, "192.0.2.26", port, None), script) for port, script in scripts.items())
    return judge(
        evidence(
            "mail.example.org",
            (mail,),
            talks,
            target=Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org"),
        )
    )


HOSTILE_TALK = """
connect
< 220-\x1b[2J\x1b]0;owned\x07mx.example.net \xe2\x80\xaegro.elpmaxe ESMTP \xe6\x9c\x8d\xe5\x8a\xa1 \x9b31mred
< 220 \xff\xfe\x00 {danger} {0.__class__} %s [bold]x[/bold]
> EHLO probe.example.com
< 250-mx.example.net\x1b[1A
< 250-\x1b[31mSTARTTLS
< 250-SIZE \xe2\x80\x8b1
< 250 STARTTLS
unasked \x1b[?1049h 250 unasked
> STARTTLS
< 220 go\x08\x08ahead
tls hostile
> EHLO probe.example.com
< 250-mx.example.net
< 250 HELP
> QUIT
< 554 5.7.1 \x1b]8;;https://evil.example/\x07click\x1b]8;;\x07
"""


def hostile() -> Report:
    """A server that writes on the screen, in every text that it chooses."""
    mx = mx_host("mx.example.net", 10, "192.0.2.66")
    talks = (
        talk(endpoint(mx.name, "192.0.2.66", 25), HOSTILE_TALK),
        talk(endpoint(mx.name, "192.0.2.66", 465), "connect\nhandshake_fails tls-alert \x1b[31malert\x1b[0m"),
        talk(endpoint(mx.name, "192.0.2.66", 587), "connect\n< 554 5.7.1 \x1b[5mgo away\x1b[0m \xe2\x80\xa8 now"),
    )
    mx_lookup = lookup("example.net", "MX", "10 mx.example.net", detail="\x1b[31m", extended_error="0 \u202eevil")
    names = mx_host(
        "mx.example.net", 10, "192.0.2.66", aliases=("\x1b[1m.example.net",), canonical_name="\x9bm.example"
    )
    resolution = Resolution(name="example.net", mx=mx_lookup, hosts=(names,), elapsed_s=0.01)
    target = Target(text="\x1b[7mexample.net", kind=TargetKind.NAME, name="example.net")
    return judge(evidence("example.net", (names,), talks, resolution=resolution, target=target))


ALL = {each.__name__: each for each in (healthy, mixed, dead, nowhere, inconclusive, host, hostile)}
