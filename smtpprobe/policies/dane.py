"""DANE for SMTP (RFC 6698, 7671, 7672): what TLSA records promise, and whether a chain keeps it.

A record names a certificate or a key, in DNSSEC-signed data, and so takes the place of the public authorities. For SMTP
two usages count: DANE-EE (3) names the server's own certificate, whose names and dates then mean nothing; DANE-TA (2)
names an authority from which the chain must lead down, with names and dates as usual (RFC 7672 3.1).
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

_DIGESTS: Final = {1: ("sha256", 32), 2: ("sha512", 64)}
"""Matching type -> hash and its length in bytes (RFC 6698 7.4)."""
PKIX_TA, PKIX_EE, DANE_TA, DANE_EE = 0, 1, 2, 3
FULL, SHA256, SHA512 = 0, 1, 2
CERTIFICATE, KEY = 0, 1


class Tlsa(msgspec.Struct, frozen=True, kw_only=True):
    """One TLSA record (RFC 6698 2.1)."""

    usage: int
    selector: int
    """0: the whole certificate, 1: its SubjectPublicKeyInfo."""
    matching: int
    """0: the thing itself, 1: SHA-256 of it, 2: SHA-512."""
    data: bytes

    @property
    def text(self) -> str:
        """In presentation form."""
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


class Unusable(StrEnum):
    """Why a sender passes a record over (RFC 7672 3.1.3, RFC 7671 4)."""

    UNREADABLE = "unreadable"
    PKIX_USAGE = "pkix-usage"
    """Usage 0 or 1: it asks for the public authorities, of which SMTP senders have no agreed list."""
    UNKNOWN_USAGE = "unknown-usage"
    UNKNOWN_SELECTOR = "unknown-selector"
    UNKNOWN_MATCHING = "unknown-matching"
    WRONG_LENGTH = "wrong-length"
    """The digest has not the length of its hash, or a full form cannot be read."""


class Mismatch(StrEnum):
    """Why no usable record fits, in the order of how far a record came."""

    NO_MATCH = "no-match"
    """No record names any certificate of the chain where its usage looks."""
    PATH = "path"
    """A record names an authority, but the server's certificate does not come from it."""
    DATES = "dates"
    """It does, but a certificate is out of date."""
    NAME = "name"
    """It does, but the certificate is for another name."""
    NO_CERTIFICATE = "no-certificate"


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """How a chain stands against the records."""

    record: Tlsa | None = None
    """The one that fits; None where none does."""
    position: int = 0
    """Where in the list of usable records it stands, from 0."""
    mismatch: Mismatch | None = None
    """The reason that came nearest to a match; None where one fits."""


def read_tlsa(record: str) -> Tlsa | None:
    """Read a record in presentation form; None where it cannot be read."""
    parts = record.split(None, 3)
    if len(parts) < 4 or not all(part.isascii() and part.isdigit() for part in parts[:3]):
        return None
    try:
        data = bytes.fromhex("".join(parts[3].split()))
    except ValueError:
        return None
    return Tlsa(usage=int(parts[0]), selector=int(parts[1]), matching=int(parts[2]), data=data)


def why_unusable(record: Tlsa | None) -> Unusable | None:
    """Say why a sender passes a record over; None for one that it uses."""
    if record is None:
        return Unusable.UNREADABLE
    if record.usage in (PKIX_TA, PKIX_EE):
        return Unusable.PKIX_USAGE
    if record.usage not in (DANE_TA, DANE_EE):
        return Unusable.UNKNOWN_USAGE
    if record.selector not in (CERTIFICATE, KEY):
        return Unusable.UNKNOWN_SELECTOR
    if record.matching not in (FULL, SHA256, SHA512):
        return Unusable.UNKNOWN_MATCHING
    wanted = _DIGESTS.get(record.matching)
    if wanted is not None and len(record.data) != wanted[1]:
        return Unusable.WRONG_LENGTH
    if wanted is None and not record.data:
        return Unusable.WRONG_LENGTH
    return None


def usable(records: tuple[str, ...]) -> tuple[Tlsa, ...]:
    """The records that a sender uses, in answer order."""
    read = map(read_tlsa, records)
    return tuple(each for each in read if each is not None and why_unusable(each) is None)


def considered(records: tuple[Tlsa, ...]) -> tuple[Tlsa, ...]:
    """The usable records that a sender compares: of digests of one usage and selector those of the strongest hash
    alone, and full forms always (RFC 7671 9, RFC 7672 5)."""
    strongest: dict[tuple[int, int], int] = {}
    for each in records:
        group = (each.usage, each.selector)
        strongest[group] = max(each.matching, strongest.get(group, FULL))
    return tuple(each for each in records if each.matching in (FULL, strongest[each.usage, each.selector]))


def guards_one_key(records: tuple[Tlsa, ...], leaf: bytes) -> bool:
    """Tell whether all usable records name the certificate or key of today, so that no other can follow it without a
    change of the records first (RFC 7671 8.1)."""
    return bool(records) and all(each.usage == DANE_EE and fits(each, leaf) for each in records)


def fits(record: Tlsa, der: bytes) -> bool:
    """Tell whether a record names this certificate or its key, whatever its usage (RFC 6698 2.1)."""
    from smtpprobe.certificates import key_of  # only where a certificate is read: it takes cryptography and OpenSSL

    subject = der if record.selector == CERTIFICATE else key_of(der)
    if subject is None:
        return False
    if record.matching == FULL:
        return subject == record.data
    digest = _DIGESTS.get(record.matching)
    return digest is not None and hashlib.new(digest[0], subject).digest() == record.data


def match(records: tuple[Tlsa, ...], chain: tuple[bytes, ...], names: tuple[str, ...], at: datetime) -> Match:
    """Hold a chain against usable records.

    Args:
        records: as of `usable`.
        chain: in DER, leaf first, as sent.
        names: any of these may be the certificate's, for DANE-TA (RFC 7672 3.2.2): TLSA base domain, MX host, domain.
        at: the time for which dates must fit, for DANE-TA.
    """
    if not chain:
        return Match(mismatch=Mismatch.NO_CERTIFICATE)
    nearest = Mismatch.NO_MATCH
    compared = considered(records)
    for position, record in enumerate(records):
        if record not in compared:
            continue
        if record.usage == DANE_EE:
            if fits(record, chain[0]):  # RFC 7672 3.1.1: names and dates of the certificate do not count
                return Match(record=record, position=position)
            continue
        found = _match_authority(record, chain, names, at)
        if found is None:
            return Match(record=record, position=position)
        nearest = max(nearest, found, key=tuple(Mismatch).index)
    return Match(mismatch=nearest)


def _match_authority(record: Tlsa, chain: tuple[bytes, ...], names: tuple[str, ...], at: datetime) -> Mismatch | None:
    """Hold the chain against one DANE-TA record; None where it fits (RFC 7672 3.1.2)."""
    from smtpprobe.certificates import covers, leads_to, read_certificate, signed_by

    # A server that sends its own certificate twice is no authority for itself.
    anchors = [der for der in chain[1:] if der != chain[0] and fits(record, der)]
    if not anchors and record.matching == FULL:
        # RFC 7671 5.2.1: the record itself holds the authority or its key, so that it need not be sent.
        anchors = [record.data] if record.selector == CERTIFICATE else list(signed_by(chain, record.data))
    if not anchors:
        return Mismatch.NO_MATCH
    if not any(leads_to(chain, anchor, None) for anchor in anchors):
        return Mismatch.PATH
    if not any(leads_to(chain, anchor, at) for anchor in anchors):
        return Mismatch.DATES
    leaf = read_certificate(chain[0])
    return None if any(covers(leaf, name) for name in names) else Mismatch.NAME


def record_for(der: bytes, *, usage: int = DANE_EE) -> str | None:
    """Write the ``USAGE 1 1`` record that names the key of a certificate; None where it cannot be read.

    RFC 7671 5.1 and 5.2.2 recommend this form: the key outlives renewed certificates.
    """
    from smtpprobe.certificates import key_of

    key = key_of(der)
    return None if key is None else f"{usage} 1 1 {hashlib.sha256(key).hexdigest()}"
