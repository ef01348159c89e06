"""Certificates for the real servers, good and bad, each in one PEM file with its key and what is sent beside it.

A root made for one run signs an intermediate, which signs the servers' certificates, as public authorities do. Every
EC certificate has a key of its own, so that a TLSA record which fits one of them fits no other; RSA keys, slow to make,
are shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smtpprobe.lab.certificates import sign_with_sha1

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

ELSEWHERE = "elsewhere.example.org"
"""Whom a certificate with the wrong name was issued to."""


class Make(StrEnum):
    """What a server's certificate is like."""

    GOOD = "good"
    RSA = "rsa"
    """Good, with an RSA key of 2048 bits; the others have EC keys."""
    BOTH = "both"
    """Two good ones in one file, RSA and EC; the client's wishes decide which is sent."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_NAME = "wrong-name"
    SELF_SIGNED = "self-signed"
    NO_INTERMEDIATE = "no-intermediate"
    """Good, but the intermediate is not sent."""
    WITH_ROOT = "with-root"
    """Good; the root is sent as well, which a TLSA record for it needs (RFC 7671 5.2.2)."""
    RSA_1024 = "rsa-1024"
    SHA1 = "sha1"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that a server will show."""

    file: Path
    """Key, certificate, and what is sent beside it."""
    leaf: x509.Certificate


class Authority:
    """A root and an intermediate made for one run."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._rsa_keys: dict[int, rsa.RSAPrivateKey] = {}
        root_key = ec.generate_private_key(ec.SECP256R1())
        self._key = ec.generate_private_key(ec.SECP256R1())
        root_name, name = _name("smtpprobe tests root"), _name("smtpprobe tests intermediate")
        self.root = _authority(root_name, root_key, root_name, root_key)
        self.intermediate = _authority(name, self._key, root_name, root_key)
        self.file = folder / "ca.pem"
        """The root alone, for a client to trust."""
        self.file.write_bytes(self.root.public_bytes(Encoding.PEM))

    def issue(self, host: str, make: Make = Make.GOOD, *, also: Sequence[str] = ()) -> Issued:
        """Make what the server of this name, and of those in ``also``, will show."""
        if make is Make.BOTH:
            first, second = self.issue(host, Make.RSA), self.issue(host)
            path = self._folder / f"{host}-both.pem"
            path.write_bytes(first.file.read_bytes() + second.file.read_bytes())
            return Issued(path, second.leaf)
        key: Key = ec.generate_private_key(ec.SECP256R1())
        if make in (Make.RSA, Make.RSA_1024):
            key = self._rsa_key(2048 if make is Make.RSA else 1024)
        first_day, last_day = {Make.EXPIRED: (-90, -30), Make.NOT_YET_VALID: (2, 90)}.get(make, (-1, 60))
        names = (ELSEWHERE,) if make is Make.WRONG_NAME else (host, *also)
        subject = _name(names[0])
        is_own = make is Make.SELF_SIGNED
        issuer, signer = (subject, key) if is_own else (self.intermediate.subject, self._key)
        leaf = (
            _builder(subject, issuer, key, first_day, last_day)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        if make is Make.SHA1:
            leaf = sign_with_sha1(leaf, self._key)
        beside: tuple[x509.Certificate, ...] = (self.intermediate,)
        if make in (Make.SELF_SIGNED, Make.NO_INTERMEDIATE):
            beside = ()
        elif make is Make.WITH_ROOT:
            beside = (self.intermediate, self.root)
        path = self._folder / f"{host}-{make}.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in (leaf, *beside))
        )
        path.chmod(0o600)
        return Issued(path, leaf)

    def _rsa_key(self, bits: int) -> rsa.RSAPrivateKey:
        if bits not in self._rsa_keys:
            self._rsa_keys[bits] = rsa.generate_private_key(65537, bits)
        return self._rsa_keys[bits]


def tlsa_data(certificate: x509.Certificate, *, selector: int, matching: int) -> str:
    """What a TLSA record (RFC 6698 2.1) holds for a certificate, in hexadecimal."""
    if selector == 0:
        data = certificate.public_bytes(Encoding.DER)
    else:
        data = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    match matching:
        case 0:
            return data.hex()
        case 1:
            return hashlib.sha256(data).hexdigest()
        case _:
            return hashlib.sha512(data).hexdigest()


def _authority(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(subject, issuer, key, -365, 365)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, first_day: int, last_day: int) -> x509.CertificateBuilder:
    """Begin a certificate whose validity is counted in days from now."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=first_day))
        .not_valid_after(now + timedelta(days=last_day))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
