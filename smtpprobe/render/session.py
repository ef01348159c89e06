"""What a TLS handshake agreed on and what certificates came with it, in words: facts, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from smtpprobe.evidence import Certificate, Evidence, Handshake, TlsSession, Trust
from smtpprobe.render import writing
from smtpprobe.render.escaping import escape
from smtpprobe.render.words import label
from smtpprobe.report import Severity

MAX_NAMES: Final = 12
"""So many names of a certificate are told: shared ones have hundreds. The evidence has them all."""


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing said about a step."""

    name: str
    """A label; empty where the text stands by itself."""
    text: str
    severity: Severity = Severity.INFO
    """How it looks."""


class Certificates:
    """The certificates of one report, each of which is told in full only once."""

    def __init__(self, evidence: Evidence) -> None:
        self.now = evidence.started_at
        self._by_key = {each.sha256: each for each in evidence.certificates}
        self._told: set[str] = set()

    def lines(self, sha256: str, language: str) -> list[str]:
        """The facts of a certificate, a line each; of one that was told before, whose it is."""
        certificate = self._by_key.get(sha256)
        if certificate is None:
            return [escape(sha256)]
        lines = list(_certificate(certificate, self.now, language))
        if sha256 in self._told:
            lines[1:] = [label(language, "session", "told")]
        self._told.add(sha256)
        return lines


def version_words(version: str) -> str:
    """Write ``TLSv1.3`` as people do, and ``TLSv1`` so that it is not taken for all of them."""
    name = version.replace("TLSv", "TLS ")
    return escape(f"{name}.0" if name == "TLS 1" else name)


def session_line(handshake: Handshake, session: TlsSession, language: str) -> str:
    """What was agreed on, in one line."""
    parts = [version_words(session.version), escape(session.cipher)]
    if session.secret_bits is not None:
        parts.append(label(language, "session", "secret", bits=session.secret_bits))
    parts.append(escape(session.group or ""))
    name = escape(handshake.server_name or "")
    parts.append(label(language, "session", "server-name" if name else "without-name", name=name))
    return writing.together(parts, language)


def session_remarks(certificates: Certificates, session: TlsSession, language: str) -> Iterator[Remark]:
    """Whether the chain is trusted, and the certificates of the chain."""
    yield from chain_remarks(certificates, session.trust, session.chain, language)


def chain_remarks(
    certificates: Certificates, trust: Trust | None, chain: tuple[str, ...], language: str
) -> Iterator[Remark]:
    """Whether a chain is trusted, and its certificates."""
    if trust is not None:
        look = Severity.OK if trust.is_trusted else Severity.WARNING
        yield Remark(name=label(language, "session", "trust"), text=_trust_words(trust, language), severity=look)
    for number, sha256 in enumerate(chain, 1):
        name = label(language, "session", "chain", number=number)
        yield Remark(name=name, text="\n".join(certificates.lines(sha256, language)))


def _trust_words(trust: Trust, language: str) -> str:
    if trust.is_name_matched is None:
        name = "name-unknown"
    else:
        name = "name-matched" if trust.is_name_matched else "name-unmatched"
    parts = [
        label(language, "session", "chain-trusted" if trust.is_chain_trusted else "chain-untrusted"),
        label(language, "session", name, name=trust.name or ""),
        label(language, "session", "dates-valid" if trust.is_within_validity else "dates-invalid"),
    ]
    return "\n".join((writing.together(parts, language), *map(escape, trust.errors)))


def _certificate(certificate: Certificate, now: datetime, language: str) -> Iterator[str]:
    """The facts of one certificate, a line each."""

    def line(name: str, *values: str) -> str:
        return " ".join((label(language, "session", name), writing.together(values, language)))

    if certificate.unreadable is not None:
        yield label(language, "session", "unreadable", reason=certificate.unreadable)
        yield label(language, "session", "fingerprint", value=escape(certificate.sha256))
        return
    yield line("subject", escape(certificate.subject) or "-")
    yield line("issuer", escape(certificate.issuer) or "-")
    names = [*certificate.dns_names, *certificate.ip_addresses]
    if names:
        more = len(names) - MAX_NAMES
        others = [label(language, "section", "more-listed", count=more)] if more > 0 else []
        yield line("names", *map(escape, names[:MAX_NAMES]), *others)
    yield line("valid", _validity(certificate, now, language))
    size = str(certificate.key_bits or "")
    key = " ".join(filter(None, (certificate.key_type or "?", certificate.curve or size)))
    hashed = escape(certificate.signature_hash or "")
    yield line("key", escape(key), label(language, "session", "signature", hash=hashed) if hashed else "")
    yield label(language, "session", "fingerprint", value=escape(certificate.sha256))


def _validity(certificate: Certificate, now: datetime, language: str) -> str:
    start, end = certificate.not_before, certificate.not_after
    if start is None or end is None:
        return "?"
    if now < start:
        field, days = "valid-future", (start - now).days
    elif now > end:
        field, days = "valid-past", (now - end).days
    else:
        field, days = "valid-value", (end - now).days
    return label(language, "session", field, start=f"{start:%Y-%m-%d}", end=f"{end:%Y-%m-%d}", days=days)
