"""What a stapled response says, and what must fit for it to count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.lab.certificates import DAY, CertificateKind, authority, make_identity, make_staple
from smtpprobe.ocsp import Answer, Response, read_response

IDENTITY = make_identity(CertificateKind.TRUSTED, "mx.example.org")
OTHER = make_identity(CertificateKind.TRUSTED, "other.example.org")
LEAF, ISSUER = (each.public_bytes(Encoding.DER) for each in IDENTITY.chain)
NOW = datetime.now(UTC)
KNOWN = authority("smtpprobe lab")


def read(response: bytes, issuer: bytes | None = ISSUER, at: datetime = NOW) -> Response:
    return read_response(response, LEAF, issuer, at)


@pytest.mark.parametrize(
    ("made", "answer"),
    [
        ({}, Answer.GOOD),
        ({"status": ocsp.OCSPCertStatus.REVOKED}, Answer.REVOKED),
        ({"status": ocsp.OCSPCertStatus.UNKNOWN}, Answer.UNKNOWN),
        ({"from_": -4 * DAY, "until": -DAY}, Answer.EXPIRED),
        ({"from_": DAY}, Answer.EXPIRED),
        ({"from_": -4 * DAY, "until": timedelta(minutes=-2)}, Answer.GOOD),
        ({"from_": -4 * DAY, "until": -DAY, "status": ocsp.OCSPCertStatus.REVOKED}, Answer.REVOKED),
    ],
)
def test_a_response_counts_only_where_all_of_it_fits(made: dict[str, Any], answer: Answer) -> None:
    assert read(make_staple(IDENTITY, **made)).answer is answer


def test_a_response_about_another_certificate_is_none_about_ours() -> None:
    assert read(make_staple(OTHER)).answer is Answer.OTHER_CERTIFICATE


def test_the_dates_of_a_response_are_read() -> None:
    found = read(make_staple(IDENTITY, status=ocsp.OCSPCertStatus.REVOKED))
    assert found.until is not None
    assert found.revoked_at is not None
    assert abs(found.until - NOW - 3 * DAY) < timedelta(minutes=10)
    assert abs(found.revoked_at - NOW + 2 * DAY) < timedelta(minutes=10)


def test_a_signature_must_be_the_issuers_unless_the_issuer_is_not_known() -> None:
    forged = bytearray(make_staple(IDENTITY))
    forged[-1] ^= 1  # where the signature stands
    assert read(bytes(forged)).answer is Answer.BAD_SIGNATURE
    assert read(bytes(forged), issuer=None).answer is Answer.GOOD


@pytest.mark.parametrize(
    ("usage", "key", "answer"),
    [
        (ExtendedKeyUsageOID.OCSP_SIGNING, KNOWN.key, Answer.GOOD),
        (ExtendedKeyUsageOID.SERVER_AUTH, KNOWN.key, Answer.BAD_SIGNATURE),
        (ExtendedKeyUsageOID.OCSP_SIGNING, ec.generate_private_key(ec.SECP256R1()), Answer.BAD_SIGNATURE),
    ],
    ids=["charged by the issuer", "not charged", "charged by somebody else"],
)
def test_the_issuer_may_charge_another_with_signing(
    usage: x509.ObjectIdentifier, key: ec.EllipticCurvePrivateKey, answer: Answer
) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    responder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "responder")]))
        .issuer_name(KNOWN.intermediate.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .sign(key, hashes.SHA256())
    )
    response = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            IDENTITY.chain[0],
            KNOWN.intermediate,
            hashes.SHA1(),  # noqa: S303 - names the issuer only
            ocsp.OCSPCertStatus.GOOD,
            NOW - DAY,
            NOW + DAY,
            None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, responder)
        .certificates([responder])
        .sign(own, hashes.SHA256())
    )
    assert read(response.public_bytes(Encoding.DER)).answer is answer


def test_a_responder_without_an_answer_is_told_by_name() -> None:
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    found = read(response.public_bytes(Encoding.DER))
    assert (found.answer, found.detail) == (Answer.UNSUCCESSFUL, "try later")


@given(st.binary(max_size=64))
def test_no_bytes_break_it(raw: bytes) -> None:
    assert read(raw).answer is Answer.UNREADABLE


@given(st.integers(0, len(make_staple(IDENTITY)) - 1), st.integers(1, 255))
def test_no_change_in_the_bytes_makes_a_response_good_of_a_revoked_one(place: int, change: int) -> None:
    raw = bytearray(_REVOKED)
    raw[place % len(raw)] ^= change
    assert read(bytes(raw)).answer is not Answer.GOOD


_REVOKED = make_staple(IDENTITY, status=ocsp.OCSPCertStatus.REVOKED)
