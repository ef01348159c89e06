"""The TLS handshake: whether it comes about, and whether what it agrees on is still thought safe (RFC 8996, RFC 9325).

The probe offers whatever the local OpenSSL has, the oldest included, so that an old server can be seen. What that
library refuses by its own policy says nothing about the server and is never counted against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import OWN_LIMITS, at, by_role, connected, graded, graded_unknown, loss, partial_reply
from smtpprobe.evidence import Conversation, Evidence, Failure, FailureKind, Phase, TlsMode, TlsSession
from smtpprobe.reference.model import Actor
from smtpprobe.report import Finding, Severity

_FAILED = (Severity.ERROR, Severity.WARNING, Severity.INFO)
_BY_ROLE = (Severity.WARNING, Severity.ERROR, Severity.INFO)
TLS_WORKS = kind("tls-works", Topic.TLS, Severity.OK, params=("version",))
TLS_HANDSHAKE_ALERT = kind("tls-handshake-alert", Topic.TLS, *_FAILED, params=("alert",))
TLS_HANDSHAKE_CLOSED = kind("tls-handshake-closed", Topic.TLS, *_FAILED)
TLS_NOT_SPOKEN = kind("tls-not-spoken", Topic.TLS, *_FAILED, params=("detail",), actor=Actor.RECEIVER)
TLS_LOCAL_LIMIT = kind("tls-local-limit", Topic.TLS, Severity.INCONCLUSIVE, Severity.INFO, params=("detail", "openssl"))
TLS_HANDSHAKE_TIMEOUT = kind(
    "tls-handshake-timeout", Topic.TLS, Severity.INCONCLUSIVE, Severity.INFO, params=("seconds",)
)
TLS_VERSION_OLD = kind("tls-version-old", Topic.TLS, *_BY_ROLE, params=("version",))
TLS_13_MISSING = kind("tls-13-missing", Topic.TLS, Severity.INFO, params=("version",))
TLS_CIPHER_WEAK = kind("tls-cipher-weak", Topic.TLS, *_BY_ROLE, params=("cipher",))
TLS_NO_FORWARD_SECRECY = kind("tls-no-forward-secrecy", Topic.TLS, Severity.INFO, params=("cipher",))

OLD_VERSIONS = frozenset({"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"})
"""RFC 6176, RFC 7568, RFC 8996: must not be used."""

MIN_SECRET_BITS = 112
"""RFC 9325 4.1: a cipher below 112 bits must not be negotiated."""

_WEAK = re.compile(r"(^|[-_])(RC4|RC2|DES|3DES|IDEA|SEED|NULL|EXP|MD5|ADH|AECDH|ANON)([-_]|$)", re.IGNORECASE)
"""Parts of cipher names, in OpenSSL's spelling or IANA's, that RFC 9325 4.1 and RFC 8758 rule out; 3DES by NIST SP
800-131A, and its blocks of 64 bits."""

_FORWARD_SECRET = re.compile(r"^(TLS_(AES|CHACHA20|SM4)|(TLS_)?(EC)?DHE[-_]|(TLS_)?EDH[-_])")
"""Ciphers with an ephemeral key exchange: all of TLS 1.3, and those that say so."""


def tls(evidence: Evidence) -> Iterator[Finding]:
    """Judge each handshake."""
    for conversation in connected(evidence):
        if conversation.handshake is None:
            continue
        outcome = conversation.handshake.outcome
        if isinstance(outcome, TlsSession):
            yield from _agreed(evidence, conversation, outcome)
        elif outcome.kind not in OWN_LIMITS:
            yield _failed(evidence, conversation, outcome)


def _failed(evidence: Evidence, conversation: Conversation, failure: Failure) -> Finding:
    where, endpoint = at(evidence, conversation, Phase.TLS), conversation.endpoint
    # Without STARTTLS mail still comes in, in clear text; without implicit TLS nothing does.
    worth = loss(evidence, endpoint) if endpoint.tls is TlsMode.IMPLICIT else graded(endpoint, by_role(endpoint))
    match failure.kind:
        case FailureKind.TLS_ALERT:
            return TLS_HANDSHAKE_ALERT.found(where, as_=worth, alert=failure.detail or "-")
        case FailureKind.TLS_PROTOCOL | FailureKind.GARBAGE:
            return TLS_NOT_SPOKEN.found(
                where, as_=worth, because_of=partial_reply(failure), detail=failure.detail or "-"
            )
        case FailureKind.TLS_LOCAL | FailureKind.OTHER:
            return TLS_LOCAL_LIMIT.found(
                where,
                as_=graded_unknown(endpoint),
                detail=failure.detail or failure.kind.value,
                openssl=evidence.runtime.openssl,
            )
        case FailureKind.TIMEOUT:
            return TLS_HANDSHAKE_TIMEOUT.found(where, as_=graded_unknown(endpoint), seconds=evidence.options.timeout_s)
        case _:
            return TLS_HANDSHAKE_CLOSED.found(where, as_=worth)


def _agreed(evidence: Evidence, conversation: Conversation, session: TlsSession) -> Iterator[Finding]:
    where, endpoint = at(evidence, conversation, Phase.TLS), conversation.endpoint
    worth = graded(endpoint, by_role(endpoint))
    if endpoint.tls is TlsMode.IMPLICIT:
        yield TLS_WORKS.found(where, version=session.version)
    if session.version in OLD_VERSIONS:
        yield TLS_VERSION_OLD.found(where, as_=worth, version=session.version)
    elif session.version == "TLSv1.2" and _speaks_13(evidence):
        yield TLS_13_MISSING.found(where, version=session.version)
    is_weak = session.secret_bits is not None and session.secret_bits < MIN_SECRET_BITS
    if session.cipher and (is_weak or _WEAK.search(session.cipher)):
        yield TLS_CIPHER_WEAK.found(where, as_=worth, cipher=session.cipher)
    elif session.cipher and not _FORWARD_SECRET.match(session.cipher):
        yield TLS_NO_FORWARD_SECRECY.found(where, cipher=session.cipher)


def _speaks_13(evidence: Evidence) -> bool:
    """Tell whether our own OpenSSL could have spoken TLS 1.3: since 1.1.1, and LibreSSL since 3.2."""
    library = evidence.runtime.openssl
    return not re.search(r"OpenSSL (0\.|1\.0|1\.1\.0)|LibreSSL ([12]\.|3\.[01]\.)", library)
