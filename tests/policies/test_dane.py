"""DANE: which records count, and which chains keep what they promise."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from smtpprobe.lab.certificates import CertificateKind, authority, make_identity
from smtpprobe.policies.dane import (
    Mismatch,
    Tlsa,
    Unusable,
    guards_one_key,
    match,
    read_tlsa,
    record_for,
    usable,
    why_unusable,
)

HOST = "mx1.example.org"
NOW = datetime.now(UTC)


def chain_of(kind: CertificateKind = CertificateKind.TRUSTED) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in make_identity(kind, HOST).chain)


INTERMEDIATE = authority("smtpprobe lab").intermediate
STRANGER = authority("unknown").intermediate


def tlsa(usage: int, selector: int, matching: int, certificate: bytes) -> Tlsa:
    from cryptography import x509

    subject = certificate
    if selector == 1:
        key = x509.load_der_x509_certificate(certificate).public_key()
        subject = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    data = {0: subject, 1: hashlib.sha256(subject).digest(), 2: hashlib.sha512(subject).digest()}[matching]
    return Tlsa(usage=usage, selector=selector, matching=matching, data=data)


def der(certificate: object) -> bytes:
    return certificate.public_bytes(Encoding.DER)  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("3 1 1 " + "ab" * 32, None),
        ("2 0 2 " + "ab" * 64, None),
        ("3 1 1 " + "AB" * 16 + " " + "ab" * 16, None),
        ("3 0 0 3082", None),
        ("0 0 1 " + "ab" * 32, Unusable.PKIX_USAGE),
        ("1 1 1 " + "ab" * 32, Unusable.PKIX_USAGE),
        ("4 1 1 " + "ab" * 32, Unusable.UNKNOWN_USAGE),
        ("3 2 1 " + "ab" * 32, Unusable.UNKNOWN_SELECTOR),
        ("3 1 3 " + "ab" * 32, Unusable.UNKNOWN_MATCHING),
        ("3 1 1 " + "ab" * 20, Unusable.WRONG_LENGTH),
        ("3 1 2 " + "ab" * 32, Unusable.WRONG_LENGTH),
        ("3 1 1 xyz", Unusable.UNREADABLE),
        ("3 1", Unusable.UNREADABLE),
        ("", Unusable.UNREADABLE),
    ],
)
def test_a_record_is_used_or_passed_over_for_a_named_reason(record: str, reason: Unusable | None) -> None:
    assert why_unusable(read_tlsa(record)) is reason
    assert len(usable((record,))) == (reason is None)


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_dane_ee_fits_the_leaf_in_every_form(selector: int, matching: int) -> None:
    chain = chain_of()
    record = tlsa(3, selector, matching, chain[0])
    assert match((record,), chain, (HOST,), NOW).record == record


def test_dane_ee_does_not_look_beyond_the_leaf() -> None:
    found = match((tlsa(3, 1, 1, der(INTERMEDIATE)),), chain_of(), (HOST,), NOW)
    assert (found.record, found.mismatch) == (None, Mismatch.NO_MATCH)


@pytest.mark.parametrize("kind", [CertificateKind.EXPIRED, CertificateKind.WRONG_NAME, CertificateKind.SELF_SIGNED])
def test_dane_ee_ignores_dates_names_and_issuers(kind: CertificateKind) -> None:
    chain = chain_of(kind)
    assert match((tlsa(3, 1, 1, chain[0]),), chain, (HOST,), NOW).mismatch is None


@pytest.mark.parametrize(("selector", "matching"), [(0, 1), (1, 1), (1, 2), (0, 0), (1, 0)])
def test_dane_ta_fits_a_chain_that_comes_from_the_authority(selector: int, matching: int) -> None:
    record = tlsa(2, selector, matching, der(INTERMEDIATE))
    assert match((record,), chain_of(), (HOST,), NOW).record == record


def test_dane_ta_in_full_need_not_be_sent() -> None:
    chain = chain_of(CertificateKind.MISSING_INTERMEDIATE)
    assert match((tlsa(2, 0, 0, der(INTERMEDIATE)),), chain, (HOST,), NOW).mismatch is None
    assert match((tlsa(2, 0, 1, der(INTERMEDIATE)),), chain, (HOST,), NOW).mismatch is Mismatch.NO_MATCH


@pytest.mark.parametrize(
    ("kind", "mismatch"),
    [(CertificateKind.EXPIRED, Mismatch.DATES), (CertificateKind.WRONG_NAME, Mismatch.NAME)],
)
def test_dane_ta_does_look_at_dates_and_names(kind: CertificateKind, mismatch: Mismatch) -> None:
    assert match((tlsa(2, 1, 1, der(INTERMEDIATE)),), chain_of(kind), (HOST,), NOW).mismatch is mismatch


def test_dane_ta_takes_any_of_the_names() -> None:
    record = tlsa(2, 1, 1, der(INTERMEDIATE))
    assert match((record,), chain_of(), ("example.org", HOST), NOW).record == record
    assert match((record,), chain_of(), ("example.org",), NOW).mismatch is Mismatch.NAME


def test_an_authority_that_was_only_sent_along_does_not_help() -> None:
    chain = (*chain_of(), der(STRANGER))
    assert match((tlsa(2, 1, 1, der(STRANGER)),), chain, (HOST,), NOW).mismatch is Mismatch.PATH


def test_the_first_record_that_fits_is_told_with_its_position() -> None:
    chain = chain_of()
    wrong, right = tlsa(3, 1, 1, der(STRANGER)), tlsa(3, 1, 1, chain[0])
    assert match((wrong, right), chain, (HOST,), NOW).position == 1
    assert match((wrong,), (), (HOST,), NOW).mismatch is Mismatch.NO_CERTIFICATE


def test_dates_are_those_of_the_probe() -> None:
    record = tlsa(2, 1, 1, der(INTERMEDIATE))
    assert match((record,), chain_of(), (HOST,), NOW + timedelta(days=80)).mismatch is None
    assert match((record,), chain_of(), (HOST,), NOW + timedelta(days=100)).mismatch is Mismatch.DATES


def test_the_record_to_publish_fits_the_certificate() -> None:
    chain = chain_of()
    for usage, certificate in ((3, chain[0]), (2, chain[1])):
        record = record_for(certificate, usage=usage)
        assert record is not None
        assert match(usable((record,)), chain, (HOST,), NOW).mismatch is None
    assert record_for(b"nothing") is None


def test_of_two_digests_of_one_thing_only_the_stronger_counts() -> None:
    """RFC 7671 9: what a weaker hash says is not looked at where there is a stronger one."""
    chain = chain_of()
    weak, strong = tlsa(3, 1, 1, chain[0]), tlsa(3, 1, 2, der(STRANGER))
    assert match((weak, strong), chain, (HOST,), NOW).mismatch is Mismatch.NO_MATCH
    assert match((weak, tlsa(3, 1, 2, chain[0])), chain, (HOST,), NOW).position == 1
    # Another selector or usage is another thing, and a full form has no digest.
    for other in (tlsa(3, 0, 2, der(STRANGER)), tlsa(2, 1, 2, der(STRANGER)), tlsa(3, 1, 0, der(STRANGER))):
        assert match((weak, other), chain, (HOST,), NOW).record == weak
    assert match((tlsa(3, 1, 0, chain[0]), strong), chain, (HOST,), NOW).position == 0


def test_the_key_of_an_authority_in_full_need_not_be_sent() -> None:
    chain = chain_of(CertificateKind.MISSING_INTERMEDIATE)
    assert match((tlsa(2, 1, 0, der(INTERMEDIATE)),), chain, (HOST,), NOW).mismatch is None
    assert match((tlsa(2, 1, 0, der(INTERMEDIATE)),), chain, ("mx9.example.org",), NOW).mismatch is Mismatch.NAME
    assert match((tlsa(2, 1, 0, der(STRANGER)),), chain, (HOST,), NOW).mismatch is Mismatch.NO_MATCH
    root = der(authority("smtpprobe lab").root)
    assert match((tlsa(2, 1, 0, root),), chain_of(), (HOST,), NOW).mismatch is None
    assert match((Tlsa(usage=2, selector=1, matching=0, data=b"no key"),), chain, (HOST,), NOW).record is None


def test_records_for_the_key_of_today_alone_leave_no_way_to_the_next() -> None:
    leaf = chain_of()[0]
    today, also_today, later = tlsa(3, 1, 1, leaf), tlsa(3, 1, 2, leaf), tlsa(3, 1, 1, der(STRANGER))
    assert guards_one_key((today,), leaf)
    assert guards_one_key((today, also_today), leaf)
    assert not guards_one_key((today, later), leaf)
    assert not guards_one_key((today, tlsa(2, 1, 1, der(INTERMEDIATE))), leaf)
    assert not guards_one_key((), leaf)
