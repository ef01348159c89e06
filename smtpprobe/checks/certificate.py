"""Certificates: who is named, by whom they were issued, until when, and with what key. Each fact has its own finding.

What a flaw is worth depends on who looks. Servers among themselves deliver all the same, since they would otherwise
have to deliver in clear text (RFC 7435, RFC 7672 2.1): a warning, or a note where DANE vouches for the server. Mail
programs stop and ask a person, before a password is sent: an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from smtpprobe.checks.kinds import Topic, kind
from smtpprobe.checks.reading import at, at_domain, at_host, by_role, connected, graded
from smtpprobe.checks.securing import DaneState, dane_of, policy_of
from smtpprobe.evidence import Certificate, Conversation, Evidence, Phase, Role, TlsSession, Trust
from smtpprobe.policies.dane import DANE_TA
from smtpprobe.policies.mta_sts import Mode
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Finding, Severity, Where

_BY_ROLE = (Severity.WARNING, Severity.ERROR, Severity.INFO)
CERTIFICATE_TRUSTED = kind("certificate-trusted", Topic.CERTIFICATE, Severity.OK, params=("subject", "days"))
CERTIFICATE_MISSING = kind("certificate-missing", Topic.CERTIFICATE, *_BY_ROLE)
CERTIFICATE_UNREADABLE = kind("certificate-unreadable", Topic.CERTIFICATE, *_BY_ROLE, params=("reason",))
CERTIFICATE_EXPIRED = kind("certificate-expired", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "date", "days"))
CERTIFICATE_NOT_YET_VALID = kind(
    "certificate-not-yet-valid", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "date", "days")
)
CERTIFICATE_CHAIN_OUT_OF_DATE = kind(
    "certificate-chain-out-of-date", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "issuers")
)
CERTIFICATE_EXPIRES_SOON = kind(
    "certificate-expires-soon", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "date", "days")
)
CERTIFICATE_NAME_MISMATCH = kind("certificate-name-mismatch", Topic.CERTIFICATE, *_BY_ROLE, params=("name", "names"))
CERTIFICATE_NAME_IN_COMMON_NAME = kind(
    "certificate-name-in-common-name", Topic.CERTIFICATE, *_BY_ROLE, params=("name",)
)
CERTIFICATE_SELF_SIGNED = kind("certificate-self-signed", Topic.CERTIFICATE, *_BY_ROLE, params=("subject",))
CERTIFICATE_INTERMEDIATE_MISSING = kind(
    "certificate-intermediate-missing", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "issuer")
)
CERTIFICATE_ISSUER_UNKNOWN = kind(
    "certificate-issuer-unknown", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "issuer", "errors")
)
CERTIFICATE_NOT_FOR_SERVERS = kind("certificate-not-for-servers", Topic.CERTIFICATE, *_BY_ROLE, params=("subject",))
CERTIFICATE_KEY_WEAK = kind("certificate-key-weak", Topic.CERTIFICATE, *_BY_ROLE, params=("key_type", "bits"))
CERTIFICATE_SIGNATURE_WEAK = kind(
    "certificate-signature-weak", Topic.CERTIFICATE, *_BY_ROLE, params=("subject", "hash")
)
CERTIFICATE_ONLY_BY_DANE = kind(
    "certificate-only-by-dane", Topic.CERTIFICATE, Severity.INFO, params=("flaws",), worded={"flaws": "tls"}
)
CERTIFICATES_DIFFER = kind("certificates-differ", Topic.CERTIFICATE, Severity.INFO, params=("count",))
TRUST_STORE_MISSING = kind("trust-store-missing", Topic.CERTIFICATE, Severity.INCONCLUSIVE)

_ISSUER_FLAWS = {
    CERTIFICATE_SELF_SIGNED.id: "self-signed",
    CERTIFICATE_INTERMEDIATE_MISSING.id: "issuer-missing",
    CERTIFICATE_ISSUER_UNKNOWN.id: "unknown-issuer",
}
"""What DANE makes up for, whatever the record's usage, with a word for each."""
_OTHER_FLAWS = {
    CERTIFICATE_EXPIRED.id: "expired",
    CERTIFICATE_NOT_YET_VALID.id: "not-yet-valid",
    CERTIFICATE_CHAIN_OUT_OF_DATE.id: "untrusted",
    CERTIFICATE_NAME_MISMATCH.id: "wrong-name",
    CERTIFICATE_NAME_IN_COMMON_NAME.id: "wrong-name",
    CERTIFICATE_NOT_FOR_SERVERS.id: "untrusted",
}
"""What a record of the usage DANE-EE makes up for besides (RFC 7671 5.1)."""

MIN_KEY_BITS = {"RSA": 2048, "DSA": 2048, "EC": 224}
"""NIST SP 800-131A: what 112 bits of security take."""

WEAK_HASHES = frozenset({"md2", "md4", "md5", "sha1"})
"""RFC 9155, RFC 6151: collisions can be made."""

WARNING_OF_LIFETIME = 4
"""A warning never comes before the last quarter of a certificate's life, so that one of a few days does not stand under
warning all its life; renewal is usual when a third is left."""
ALARM_OF_LIFETIME = 12


def certificate(evidence: Evidence) -> Iterator[Finding]:
    """Judge the certificate of each TLS session."""
    is_store_missing = False
    for conversation in connected(evidence):
        session = conversation.session
        if session is None:
            continue
        yield from _session(evidence, conversation, session)
        is_store_missing |= session.trust is not None and not session.trust.has_roots
    if is_store_missing:
        yield TRUST_STORE_MISSING.found(at_domain(evidence))
    yield from _differences(evidence)


def _session(evidence: Evidence, conversation: Conversation, session: TlsSession) -> Iterator[Finding]:
    where, endpoint = at(evidence, conversation, Phase.TLS), conversation.endpoint
    worth = graded(endpoint, by_role(endpoint))
    chain = [evidence.certificate(each) for each in session.chain]
    trust = session.trust
    if not chain:
        yield CERTIFICATE_MISSING.found(where, as_=worth)
        return
    leaf = chain[0]
    if trust is None or (leaf.unreadable is not None and leaf.not_after is None):
        yield CERTIFICATE_UNREADABLE.found(where, as_=worth, reason=leaf.unreadable or "-")
        return
    flaws = [
        *_dates(evidence, where, worth, chain, trust),
        *_name(where, worth, leaf, trust),
        *_issuer(where, worth, chain, trust),
    ]
    yield from _with_dane(evidence, conversation, where, flaws)
    yield from _strength(where, worth, chain)
    if trust.is_trusted and leaf.not_after is not None and trust.is_name_matched is not None:
        yield CERTIFICATE_TRUSTED.found(where, subject=subject(leaf), days=(leaf.not_after - evidence.started_at).days)


def _with_dane(evidence: Evidence, conversation: Conversation, where: Where, flaws: list[Finding]) -> Iterator[Finding]:
    """Sum up in a note what nobody looks at, since a TLSA record vouches for the server and no MTA-STS policy asks for
    more (RFC 7672 3.1.1, RFC 8461 4.1); all other flaws stay what they are."""
    covered = _covered(evidence, conversation) if flaws else {}
    words: dict[str, None] = {}
    for flaw in flaws:
        if flaw.id in covered:
            words[covered[flaw.id]] = None
        elif flaw.id == CERTIFICATE_EXPIRES_SOON.id and CERTIFICATE_EXPIRED.id in covered:
            yield replace(flaw, severity=Severity.INFO)
        else:
            yield flaw
    if words:
        yield CERTIFICATE_ONLY_BY_DANE.found(where, flaws=tuple(words))


def _covered(evidence: Evidence, conversation: Conversation) -> Mapping[str, str]:
    """The findings, by id, that DANE makes up for between servers, with a word for each."""
    if conversation.endpoint.role is not Role.SMTP:
        return {}
    policy = policy_of(evidence)
    if policy is not None and policy.mode is not Mode.NONE:
        return {}
    found = dane_of(evidence, conversation)
    record = found.match.record if found is not None and found.state is DaneState.MATCH else None
    if record is None:
        return {}
    return _ISSUER_FLAWS if record.usage == DANE_TA else _ISSUER_FLAWS | _OTHER_FLAWS


def subject(certificate: Certificate) -> str:
    """What to call a certificate: its first DNS name, else its common name, else its subject."""
    names = (*certificate.dns_names[:1], *certificate.ip_addresses[:1])
    return next((each for each in (*names, certificate.common_name, certificate.subject) if each), "-")


def _dates(
    evidence: Evidence, where: Where, worth: Severity, chain: list[Certificate], trust: Trust
) -> Iterator[Finding]:
    leaf, now = chain[0], evidence.started_at
    starts, ends = leaf.not_before, leaf.not_after
    if starts is None or ends is None:
        return
    if now > ends:
        yield CERTIFICATE_EXPIRED.found(
            where, as_=worth, subject=subject(leaf), date=_date(ends), days=(now - ends).days
        )
    elif now < starts:
        yield CERTIFICATE_NOT_YET_VALID.found(
            where, as_=worth, subject=subject(leaf), date=_date(starts), days=(starts - now).days
        )
    elif not trust.is_within_validity:
        yield CERTIFICATE_CHAIN_OUT_OF_DATE.found(
            where, as_=worth, subject=subject(leaf), issuers=tuple(_out_of_date(chain[1:], now)) or (leaf.issuer,)
        )
    else:
        left, lifetime = ends - now, ends - starts
        options = evidence.options
        is_alarm = left <= min(timedelta(days=options.expiry_alarm_days), lifetime / ALARM_OF_LIFETIME)
        if is_alarm or left <= min(timedelta(days=options.expiry_warning_days), lifetime / WARNING_OF_LIFETIME):
            mild = worth if is_alarm or worth is Severity.INFO else Severity.WARNING
            yield CERTIFICATE_EXPIRES_SOON.found(
                where, as_=mild, subject=subject(leaf), date=_date(ends), days=left.days
            )


def _out_of_date(certificates: list[Certificate], now: datetime) -> Iterator[str]:
    for each in certificates:
        if (each.not_after is not None and now > each.not_after) or (
            each.not_before is not None and now < each.not_before
        ):
            yield subject(each)


def _name(where: Where, worth: Severity, leaf: Certificate, trust: Trust) -> Iterator[Finding]:
    if trust.is_name_matched is not False:
        return
    name, names = trust.name or "-", (*leaf.dns_names, *leaf.ip_addresses)
    if not leaf.dns_names and (leaf.common_name or "").lower() == name:
        # RFC 9525 2: the common name is no longer looked at.
        yield CERTIFICATE_NAME_IN_COMMON_NAME.found(where, as_=worth, name=name)
    else:
        shown = names or ((leaf.common_name,) if leaf.common_name else ("-",))
        yield CERTIFICATE_NAME_MISMATCH.found(where, as_=worth, name=name, names=shown)


def _issuer(where: Where, worth: Severity, chain: list[Certificate], trust: Trust) -> Iterator[Finding]:
    leaf = chain[0]
    if not trust.is_for_servers:
        yield CERTIFICATE_NOT_FOR_SERVERS.found(where, as_=worth, subject=subject(leaf))
    if trust.is_chain_trusted or not trust.has_roots:
        return
    if trust.is_self_signed:
        yield CERTIFICATE_SELF_SIGNED.found(where, as_=worth, subject=subject(leaf))
    elif trust.is_issuer_missing:
        # A private authority that signs without an intermediate looks the same from outside.
        yield CERTIFICATE_INTERMEDIATE_MISSING.found(
            where, as_=worth, sure=Confidence.LIKELY, subject=subject(leaf), issuer=leaf.issuer or "-"
        )
    else:
        last = next((each for each in reversed(chain) if each.issuer), leaf)
        yield CERTIFICATE_ISSUER_UNKNOWN.found(
            where, as_=worth, subject=subject(leaf), issuer=last.issuer or "-", errors=trust.errors or ("-",)
        )


def _strength(where: Where, worth: Severity, chain: list[Certificate]) -> Iterator[Finding]:
    leaf = chain[0]
    if leaf.key_bits is not None and leaf.key_bits < MIN_KEY_BITS.get(leaf.key_type or "", 0):
        yield CERTIFICATE_KEY_WEAK.found(where, as_=worth, key_type=leaf.key_type or "-", bits=leaf.key_bits)
    for each in chain:
        # The signature of a root proves nothing: it is trusted for being in the store.
        if each.signature_hash in WEAK_HASHES and not (each.is_self_signed and each is not leaf):
            yield CERTIFICATE_SIGNATURE_WEAK.found(
                where, as_=worth, subject=subject(each), hash=each.signature_hash or "-"
            )


def _differences(evidence: Evidence) -> Iterator[Finding]:
    """Note hosts that show different certificates on their addresses and ports."""
    shown: dict[str, set[str]] = {}
    places: dict[str, Where] = {}
    for conversation in connected(evidence):
        session = conversation.session
        if session is not None and session.chain:
            shown.setdefault(conversation.endpoint.host, set()).add(session.chain[0])
            places.setdefault(conversation.endpoint.host, at_host(evidence, conversation.endpoint))
    for host, leaves in shown.items():
        if len(leaves) > 1:
            yield CERTIFICATES_DIFFER.found(places[host], count=len(leaves))


def _date(when: datetime) -> str:
    return when.date().isoformat()
