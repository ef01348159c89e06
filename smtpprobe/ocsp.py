"""A stapled OCSP response (RFC 6960), held against the certificate that it came with. Pure.

A response speaks of one certificate, named by its serial number, for a span of time, and is signed by who issued the
certificate or by whom that issuer charged with it (RFC 6960 4.2.2.2). A client may only rely on it where all of that
fits; `read_response` names the first thing that does not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far our clock and that of the responder may differ, as OpenSSL lets them by default."""


class Answer(StrEnum):
    """What a response comes to."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    """The responder does not know the certificate."""
    EXPIRED = "expired"
    """Its time is over, or has not begun."""
    OTHER_CERTIFICATE = "other-certificate"
    BAD_SIGNATURE = "bad-signature"
    UNSUCCESSFUL = "unsuccessful"
    """The responder had no answer (RFC 6960 2.3): such a response is not to be stapled."""
    UNREADABLE = "unreadable"


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What a response says, as far as it could be read."""

    answer: Answer
    until: datetime | None = None
    """When the responder will know more; None where it does not say, as for a response that is always made anew."""
    revoked_at: datetime | None = None
    detail: str = ""
    """More about `UNSUCCESSFUL` and `UNREADABLE`, in the library's words."""


def read_response(der: bytes, leaf: bytes, issuer: bytes | None, at: datetime) -> Response:
    """Judge a response.

    Args:
        der: the response.
        leaf: the certificate that it came with, in DER.
        issuer: the certificate that the server sent after it; None where it sent no other: then whose signature it is
            cannot be told, and is passed over.
        at: the time of the probe, aware.
    """
    try:
        response = ocsp.load_der_ocsp_response(der)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            name = response.response_status.name.lower().replace("_", " ")
            return Response(answer=Answer.UNSUCCESSFUL, detail=name)
        serial = x509.load_der_x509_certificate(leaf).serial_number
        single = next((each for each in response.responses if each.serial_number == serial), None)
        if single is None:
            return Response(answer=Answer.OTHER_CERTIFICATE)
        found = Response(
            answer=_ANSWERS[single.certificate_status],
            until=single.next_update_utc,
            revoked_at=single.revocation_time_utc,
        )
        begins, ends = single.this_update_utc, single.next_update_utc
        if issuer is not None and not _is_signed_by(response, x509.load_der_x509_certificate(issuer), at):
            return msgspec.structs.replace(found, answer=Answer.BAD_SIGNATURE)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return Response(answer=Answer.UNREADABLE, detail=str(error) or type(error).__name__)
    if found.answer is not Answer.REVOKED and (
        begins > at + CLOCK_SKEW or (ends is not None and ends < at - CLOCK_SKEW)
    ):
        return msgspec.structs.replace(found, answer=Answer.EXPIRED)
    return found


_ANSWERS: Final = {
    ocsp.OCSPCertStatus.GOOD: Answer.GOOD,
    ocsp.OCSPCertStatus.REVOKED: Answer.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN: Answer.UNKNOWN,
}


def _is_signed_by(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> bool:
    """Tell whether the issuer signed, or one whom it charged with OCSP by a certificate that holds now."""
    if _fits(response, issuer):
        return True
    return any(
        _is_charged(each) and each.not_valid_before_utc <= at <= each.not_valid_after_utc and _fits(response, each)
        for each in response.certificates
        if _was_issued_by(each, issuer)
    )


def _is_charged(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _was_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _fits(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    key, hashed = signer.public_key(), response.signature_hash_algorithm
    signature, signed = response.signature, response.tbs_response_bytes
    try:
        match key:
            case rsa.RSAPublicKey() if hashed is not None:
                key.verify(signature, signed, padding.PKCS1v15(), hashed)
            case ec.EllipticCurvePublicKey() if hashed is not None:
                key.verify(signature, signed, ec.ECDSA(hashed))
            case _:
                return False
    except InvalidSignature:
        return False
    return True
