"""Servers whose TLS does not come about, or not as it should; and certificates, good and bad."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from smtpprobe.evidence import Role
from smtpprobe.lab.certificates import CertificateKind
from smtpprobe.lab.scenarios.model import (
    ERROR,
    INFO,
    KEYWORDS,
    LOST,
    OPEN,
    WARNING,
    Part,
    Play,
    Scenario,
    Stage,
    collect_plays,
)
from smtpprobe.lab.scripted import (
    START_TLS_REPLY,
    Answer,
    Close,
    Stall,
    StartTls,
    Swallow,
    ehlo_reply,
    serve,
)
from smtpprobe.report import Severity

HANDSHAKE_FAILURE: Final = bytes.fromhex("15 0303 0002 02 28")
"""A TLS record with the fatal alert 40 (RFC 8446 6.2)."""

_SCENARIOS, scenario = collect_plays()


def _after_starttls(stage: Stage, *steps: Answer) -> Part:
    """Offer STARTTLS, and answer it so."""
    keywords = ehlo_reply(stage.host, *KEYWORDS, "STARTTLS")
    script = tuple(part for step in steps for part in (step if isinstance(step, tuple) else (step,)))
    return (stage.greeting, serve(stage.host, changes={"EHLO": keywords, "STARTTLS": script}))


# --- STARTTLS -------------------------------------------------------------------------------------------------------


@scenario(finds={"starttls-missing": WARNING})
def no_starttls(stage: Stage) -> Part:
    """Does not offer STARTTLS."""
    return (stage.greeting, serve(stage.host, *KEYWORDS))


@scenario(finds={"starttls-stripped": WARNING})
def starttls_stripped(stage: Stage) -> Part:
    """Has a firewall before it that overwrites STARTTLS with XXXXXXXA."""
    return (stage.greeting, serve(stage.host, *KEYWORDS, "XXXXXXXA"))


@scenario(finds={"starttls-temporarily-refused": OPEN})
def starttls_454(stage: Stage) -> Part:
    """Offers STARTTLS and answers it with 454: not just now."""
    return _after_starttls(stage, b"454 4.7.0 TLS not available due to temporary reason\r\n")


@scenario(finds={"starttls-refused": WARNING})
def starttls_refused(stage: Stage) -> Part:
    """Offers STARTTLS and does not know it."""
    return _after_starttls(stage, b"502 5.5.1 Command not implemented\r\n")


@scenario(finds={"tls-not-spoken": WARNING})
def starttls_then_text(stage: Stage) -> Part:
    """Accepts STARTTLS and goes on in plain text."""
    return _after_starttls(stage, START_TLS_REPLY, (Swallow(), b"500 5.5.2 Syntax error\r\n", Stall()))


@scenario(finds={"plaintext-after-starttls": WARNING})
def starttls_injection(stage: Stage) -> Part:
    """Sends a reply in plain text behind the 220 to STARTTLS, as somebody in between might."""
    injected = START_TLS_REPLY + ehlo_reply("injected.example", "AUTH PLAIN")
    return _after_starttls(stage, (StartTls(stage.tls(), injected), serve(stage.host, *KEYWORDS)))


@scenario(finds={"tls-handshake-alert": WARNING})
def tls_alert(stage: Stage) -> Part:
    """Accepts STARTTLS and ends the handshake with an alert."""
    return _after_starttls(stage, START_TLS_REPLY, (Swallow(), HANDSHAKE_FAILURE, Close()))


@scenario(finds={"tls-handshake-closed": WARNING})
def tls_hangup(stage: Stage) -> Part:
    """Accepts STARTTLS and hangs up in the handshake."""
    return _after_starttls(stage, START_TLS_REPLY, (Swallow(), Close()))


@scenario(finds={"tls-handshake-timeout": OPEN}, is_stalling=True)
def tls_stall(stage: Stage) -> Part:
    """Accepts STARTTLS and says nothing more."""
    return _after_starttls(stage, START_TLS_REPLY, (Stall(),))


# --- inside TLS -----------------------------------------------------------------------------------------------------


@scenario(finds={"starttls-offered-after-tls": INFO})
def starttls_offered_after_tls(stage: Stage) -> Part:
    """Offers STARTTLS once more inside TLS."""
    again = serve(stage.host, *KEYWORDS, "STARTTLS")
    return _after_starttls(stage, (StartTls(stage.tls()), again))


@scenario(finds={"ehlo-changes-after-tls": INFO})
def ehlo_differs_after_tls(stage: Stage) -> Part:
    """Offers an extension inside TLS that it does not offer before."""
    return _after_starttls(stage, (StartTls(stage.tls()), serve(stage.host, *KEYWORDS, "SMTPUTF8")))


@scenario(finds=LOST | {"ehlo-refused-after-tls": ERROR})
def ehlo_refused_after_tls(stage: Stage) -> Part:
    """Refuses EHLO inside TLS."""
    inside = serve(stage.host, changes={"EHLO": b"503 5.5.1 Duplicate EHLO\r\n"})
    return _after_starttls(stage, (StartTls(stage.tls()), inside))


@scenario(finds=LOST | {"connection-closed": ERROR})
def closed_after_tls(stage: Stage) -> Part:
    """Closes as soon as TLS stands."""
    return _after_starttls(stage, (StartTls(stage.tls()), Close()))


# --- implicit TLS ---------------------------------------------------------------------------------------------------


@scenario(finds={"tls-not-spoken": ERROR}, role=Role.SUBMISSIONS)
def plain_text_on_465(stage: Stage) -> Part:
    """Speaks plain text where TLS comes first."""
    return (stage.greeting, stage.serve())


@scenario(finds={"tls-handshake-closed": ERROR}, role=Role.SUBMISSIONS)
def hangup_on_465(stage: Stage) -> Part:
    """Hangs up in the handshake where TLS comes first."""
    return (Swallow(), Close())


# --- versions and ciphers -------------------------------------------------------------------------------------------


def _with(stage: Stage, context: ssl.SSLContext) -> Part:
    return (stage.greeting, stage.serve(context=context))


@scenario(finds={"tls-version-old": WARNING}, needs=ssl.TLSVersion.TLSv1)
def tls10_only(stage: Stage) -> Part:
    """Speaks TLS 1.0 and nothing newer."""
    return _with(stage, stage.tls(minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1))


@scenario(finds={"tls-version-old": WARNING}, needs=ssl.TLSVersion.TLSv1_1)
def tls11_only(stage: Stage) -> Part:
    """Speaks TLS 1.1 and nothing newer."""
    return _with(stage, stage.tls(minimum=ssl.TLSVersion.TLSv1_1, maximum=ssl.TLSVersion.TLSv1_1))


@scenario(finds={"tls-13-missing": INFO})
def tls12_only(stage: Stage) -> Part:
    """Speaks TLS 1.2 and nothing newer."""
    return _with(stage, stage.tls(maximum=ssl.TLSVersion.TLSv1_2))


@scenario(finds={"tls-13-missing": INFO, "tls-no-forward-secrecy": INFO})
def no_forward_secrecy(stage: Stage) -> Part:
    """Agrees on keys with RSA alone, so that who gets the key later can read everything."""
    context = stage.tls(CertificateKind.RSA, maximum=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-GCM-SHA256")
    return _with(stage, context)


# --- certificates ---------------------------------------------------------------------------------------------------

_CERTIFICATES: Final[Mapping[CertificateKind, tuple[str, Mapping[str, Severity]]]] = {
    CertificateKind.EXPIRED: ("ended three days ago", {"certificate-expired": WARNING}),
    CertificateKind.NOT_YET_VALID: ("begins in three days", {"certificate-not-yet-valid": WARNING}),
    CertificateKind.EXPIRING: ("ends in five days", {"certificate-expires-soon": WARNING}),
    CertificateKind.WRONG_NAME: ("was issued to another name", {"certificate-name-mismatch": WARNING}),
    CertificateKind.NO_ALTERNATIVE_NAME: (
        "has its name in the common name alone",
        {"certificate-name-in-common-name": WARNING},
    ),
    CertificateKind.WILDCARD: ("covers its name with a wildcard", {}),
    CertificateKind.SELF_SIGNED: ("was signed with its own key", {"certificate-self-signed": WARNING}),
    CertificateKind.MISSING_INTERMEDIATE: (
        "comes without the intermediate that it needs",
        {"certificate-intermediate-missing": WARNING},
    ),
    CertificateKind.UNKNOWN_ISSUER: (
        "comes from an authority that nobody knows",
        {"certificate-issuer-unknown": WARNING},
    ),
    CertificateKind.WEAK_KEY: ("has a key of 1024 bits", {"certificate-key-weak": WARNING}),
    CertificateKind.SHA1: ("was signed over SHA-1", {"certificate-signature-weak": WARNING}),
    CertificateKind.RSA: ("has an RSA key of 2048 bits", {}),
}


def showing(kind: CertificateKind) -> Play:
    """Behave, but for the certificate."""

    def play(stage: Stage) -> Part:
        return _with(stage, stage.tls(kind))

    return play


def _certificates() -> tuple[Scenario, ...]:
    return tuple(
        Scenario(
            name=f"certificate-{kind.value}",
            description=f"Shows a certificate that {what}",
            hosts=(showing(kind),),
            finds=finds,
        )
        for kind, (what, finds) in _CERTIFICATES.items()
    )


@scenario(finds={"certificate-expired": ERROR}, role=Role.SUBMISSIONS)
def submission_certificate_expired(stage: Stage) -> Part:
    """Shows an expired certificate to mail programs, which refuse it."""
    serving = serve(stage.host, *KEYWORDS, "AUTH PLAIN LOGIN")
    return (StartTls(stage.tls(CertificateKind.EXPIRED), b""), stage.greeting, serving)


SCENARIOS: Final[tuple[Scenario, ...]] = (*_SCENARIOS, *_certificates())
