"""Results as scans make them, made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from smtpprobe.evidence import FailureKind, LookupStatus, Phase, TargetKind
from smtpprobe.report import Fate, Severity
from smtpprobe.scan.results import Found, Host, Result, SeenCertificate, SeenReply, Session, Standing, Verdict

AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def certificate(**changes: Any) -> SeenCertificate:
    """One that is in order, for two months more."""
    return SeenCertificate(
        **{
            "sha256": "ab" * 32,
            "not_after": AT + timedelta(days=60),
            "is_chain_trusted": True,
            "is_name_matched": True,
            "is_within_validity": True,
            **changes,
        }
    )


def good(address: str = "192.0.2.1", **changes: Any) -> Session:
    """A session that came to its end, over TLS."""
    return Session(
        **{
            "address": address,
            "port": 25,
            "reached": Phase.QUIT,
            "greeting": "220 mx.example.org ESMTP Postfix",
            "software": "Postfix",
            "capabilities": ("PIPELINING", "STARTTLS"),
            "starttls": True,
            "tls": "TLSv1.3",
            "certificate": certificate(),
            **changes,
        }
    )


def silent(address: str = "192.0.2.9", failure: FailureKind = FailureKind.TIMEOUT) -> Session:
    """A session without a word from the server."""
    return Session(address=address, port=25, failure=failure, failed=Phase.CONNECT)


def refused(code: int | None = 554, phase: Phase = Phase.GREETING, **changes: Any) -> Session:
    """A session that a server turned away."""
    reply = SeenReply(**{"phase": phase, "code": code, "text": "go away", **changes})
    return Session(address="192.0.2.8", port=25, reached=Phase.CONNECT, refusal=reply)


def result(target: str = "example.org", *sessions: Session, **changes: Any) -> Result:
    """The result of a domain with one mail host."""
    host = Host(name=f"mx.{target}", preference=10, status=LookupStatus.ANSWERED, sessions=sessions)
    return Result(
        **{
            "line": 1,
            "target": target,
            "kind": TargetKind.NAME,
            "name": target,
            "outcome": Standing.OK,
            "mx": LookupStatus.ANSWERED,
            "hosts": (host,),
            "at": AT,
            **changes,
        }
    )


def found(id: str, severity: Severity = Severity.ERROR, count: int = 1) -> Found:
    return Found(id=id, severity=severity, count=count)


def town() -> list[Result]:
    """A small scan in which there is some of everything."""
    error, warning = Severity.ERROR, Severity.WARNING
    return [
        result("alpha.example", good(), good("192.0.2.2"), provider="Google", line=1),
        result(
            "beta.example",
            good("192.0.2.3", certificate=certificate(not_after=AT + timedelta(days=5))),
            outcome=Standing.WARNING,
            findings=(found("certificate-expires-soon", warning),),
            provider="Google",
            line=2,
            at=AT + timedelta(minutes=1),
        ),
        result(
            "gamma.test",
            good(
                "192.0.2.4",
                software="Exim",
                tls="TLSv1.2",
                certificate=certificate(not_after=AT - timedelta(days=3), is_within_validity=False),
            ),
            outcome=Standing.ERROR,
            findings=(found("certificate-expired"), found("tls-13-missing", Severity.INFO)),
            line=3,
        ),
        result(
            "delta.test",
            good("192.0.2.5", software=None, starttls=False, tls=None, certificate=None, capabilities=("SIZE",)),
            good(
                "192.0.2.6",
                certificate=certificate(is_self_signed=True, is_chain_trusted=False, is_name_matched=False),
            ),
            outcome=Standing.ERROR,
            findings=(
                found("starttls-missing"),
                found("certificate-self-signed", warning),
                found("certificate-name-mismatch", error, 2),
            ),
            line=4,
        ),
        result("epsilon.test", silent(), outcome=Standing.ERROR, findings=(found("mx-all-unreachable"),), line=5),
        result(
            "zeta.test",
            refused(554, enhanced="5.7.1", category="ip_blocklisted", text="5.7.1 listed by zen.spamhaus.org"),
            refused(421, Phase.EHLO, enhanced="4.7.0", category="rate_limited", text="4.7.0 Too many connections"),
            outcome=Standing.INCONCLUSIVE,
            findings=(found("client-refused", Severity.INCONCLUSIVE),),
            line=6,
        ),
        result("null.test", hosts=(), is_null_mx=True, outcome=Standing.NULL_MX, line=7),
        result(
            "gone.test",
            hosts=(),
            mx=LookupStatus.NXDOMAIN,
            outcome=Standing.ERROR,
            findings=(found("domain-not-found"),),
        ),
        result("lost.test", hosts=(), mx=LookupStatus.SERVFAIL, outcome=Standing.INCONCLUSIVE, line=9),
    ]


def full() -> list[Result]:
    """A scan that asked for the policies too."""

    def verdicts(*fates: Fate) -> tuple[Verdict, ...]:
        return tuple(
            Verdict(sender=s, fate=f) for s, f in zip(("opportunistic", "mta-sts", "dane"), fates, strict=True)
        )

    return [
        result(
            "signed.example",
            good(),
            dane="match",
            mta_sts="enforce",
            deliveries=verdicts(Fate.ENCRYPTED, Fate.AUTHENTICATED, Fate.AUTHENTICATED),
        ),
        result(
            "plain.example",
            good("192.0.2.7"),
            dane="not-published",
            mta_sts="not-published",
            findings=(found("mta-sts-not-published", Severity.INFO),),
            deliveries=verdicts(Fate.ENCRYPTED, Fate.ENCRYPTED, Fate.ENCRYPTED),
        ),
        result(
            "null.example",
            hosts=(),
            is_null_mx=True,
            outcome=Standing.NULL_MX,
            deliveries=verdicts(*[Fate.BOUNCES] * 3),
        ),
    ]
