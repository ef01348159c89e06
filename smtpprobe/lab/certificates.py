"""Certificates of the lab, good and bad, made when they are needed.

One authority (root and intermediate) stands for the CAs that the world trusts, another for those that nobody knows.
Both and their keys are made once per process, since keys are slow to make; leaves are cheap and made per host name.
Keys are worth nothing outside the lab: they live in memory and in the world's private folder, because OpenSSL's
server side reads them from files only.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY = timedelta(days=1)
LIFETIME = 90 * DAY
"""How long a leaf is valid; what public authorities give out today."""
WEAK_RSA_BITS = 1024
"""Below the 2048 bits that NIST SP 800-131A and the CA/Browser Forum ask for."""


class CertificateKind(StrEnum):
    """What is right or wrong with the certificate that a server shows."""

    TRUSTED = "trusted"
    EXPIRED = "expired"
    """Ended three days ago."""
    NOT_YET_VALID = "not-yet-valid"
    """Begins in three days."""
    EXPIRING = "expiring"
    """Ends in five days."""
    WRONG_NAME = "wrong-name"
    """Issued to ``www.example.net``."""
    NO_ALTERNATIVE_NAME = "no-alternative-name"
    """The host stands in the common name alone, which RFC 9525 2 no longer looks at."""
    WILDCARD = "wildcard"
    """``*.`` and the host's parent domain."""
    SELF_SIGNED = "self-signed"
    MISSING_INTERMEDIATE = "missing-intermediate"
    """Good, but sent without the intermediate that links it to its root."""
    UNKNOWN_ISSUER = "unknown-issuer"
    """A whole chain, from a root that nobody trusts."""
    WEAK_KEY = "weak-key"
    """RSA of `WEAK_RSA_BITS`."""
    SHA1 = "sha1"
    """Signed over SHA-1 (deprecated by RFC 9155 for TLS itself and by every public CA)."""
    RSA = "rsa"
    """Good, with an RSA key of 2048 bits; the others have EC keys."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server presents: its key and the certificates that it sends, leaf first."""

    key: Key
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True, slots=True)
class Authority:
    """A root and the intermediate that signs leaves."""

    root: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    """The intermediate's."""


@cache
def authority(name: str) -> Authority:
    """Make the authority of this name, once per process."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    root_name, intermediate_name = _name(f"{name} root"), _name(f"{name} intermediate")
    root = _sign_authority(root_name, root_key, root_name, root_key, path_length=1)
    intermediate = _sign_authority(intermediate_name, key, root_name, root_key, path_length=0)
    return Authority(root, intermediate, key)


def trusted_root() -> bytes:
    """The PEM form of the root that a probe of the lab is to trust."""
    return authority("smtpprobe lab").root.public_bytes(Encoding.PEM)


def make_identity(kind: CertificateKind, host: str) -> Identity:
    """Make what a server of this name presents.

    Args:
        host: the name or IP address that the certificate is to cover, unless its kind says otherwise.
    """
    known, now = authority("smtpprobe lab"), datetime.now(UTC)
    key, starts, ends = _leaf_key(), now - DAY, now - DAY + LIFETIME
    common_name, issuer = host, known
    names: tuple[str, ...] = (host,)
    match kind:
        case CertificateKind.EXPIRED:
            starts, ends = now - LIFETIME, now - 3 * DAY
        case CertificateKind.NOT_YET_VALID:
            starts, ends = now + 3 * DAY, now + LIFETIME
        case CertificateKind.EXPIRING:
            starts, ends = now + 5 * DAY - LIFETIME, now + 5 * DAY
        case CertificateKind.WRONG_NAME:
            common_name, names = "www.example.net", ("www.example.net", "example.net")
        case CertificateKind.NO_ALTERNATIVE_NAME:
            names = ()
        case CertificateKind.WILDCARD:
            names = (f"*.{host.partition('.')[2]}",)
        case CertificateKind.UNKNOWN_ISSUER:
            issuer = authority("unknown")
        case CertificateKind.WEAK_KEY:
            key = _rsa_key(WEAK_RSA_BITS)
        case CertificateKind.RSA:
            key = _rsa_key(2048)
    builder = _builder(_name(common_name), key, starts, ends).add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
    if kind is CertificateKind.SELF_SIGNED:
        leaf = builder.issuer_name(_name(common_name)).sign(key, hashes.SHA256())
        return Identity(key, (leaf,))
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False
    )
    leaf = builder.issuer_name(issuer.intermediate.subject).sign(issuer.key, hashes.SHA256())
    match kind:
        case CertificateKind.SHA1:
            leaf = sign_with_sha1(leaf, issuer.key)
        case CertificateKind.MISSING_INTERMEDIATE:
            return Identity(key, (leaf,))
        case CertificateKind.UNKNOWN_ISSUER:
            return Identity(key, (leaf, issuer.intermediate, issuer.root))
    return Identity(key, (leaf, issuer.intermediate))


def make_staple(
    identity: Identity,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    from_: timedelta = -DAY,
    until: timedelta = 3 * DAY,
) -> bytes:
    """Make the OCSP response of the lab's authority about an identity, in DER.

    Args:
        status: what it says of the certificate.
        from_: when it begins to hold, from now.
        until: when it ends, from now.
    """
    known, now = authority("smtpprobe lab"), datetime.now(UTC)
    is_revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=identity.chain[0],
        issuer=known.intermediate,
        algorithm=hashes.SHA1(),  # noqa: S303 - names the issuer only, as is usual (RFC 5019 2.1.1)
        cert_status=status,
        this_update=now + from_,
        next_update=now + until,
        revocation_time=now - 2 * DAY if is_revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if is_revoked else None,
    )
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, known.intermediate).sign(known.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def server_context(
    identity: Identity,
    folder: Path,
    *,
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
) -> ssl.SSLContext:
    """Make the server side of TLS for an identity.

    Args:
        folder: where key and chain are written, for OpenSSL to read; must be private to this user.
        minimum: the lowest version to speak; below TLS 1.2 OpenSSL's security level is lowered as well.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    is_old = minimum < ssl.TLSVersion.TLSv1_2
    is_weak = isinstance(identity.key, rsa.RSAPrivateKey) and identity.key.key_size < 2048
    is_weak = is_weak or isinstance(identity.chain[0].signature_hash_algorithm, hashes.SHA1)
    if is_old or is_weak:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    _limit_versions(context, minimum, maximum)
    path = folder / f"{identity.chain[0].serial_number:x}.pem"
    path.write_bytes(
        identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in identity.chain)
    )
    context.load_cert_chain(path)
    return context


def can_serve(version: ssl.TLSVersion, folder: Path) -> bool:
    """Tell whether the local OpenSSL, as configured, completes a handshake of an old version with itself."""
    server_side = server_context(
        make_identity(CertificateKind.TRUSTED, "trial.test"), folder, minimum=version, maximum=version
    )
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.verify_mode = ssl.CERT_NONE
    client_side.set_ciphers("DEFAULT:@SECLEVEL=0")
    _limit_versions(client_side, version, version)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(down, up)
    server = server_side.wrap_bio(up, down, server_side=True)
    for _ in range(4):  # a full handshake is two round trips at most
        done = True
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError:
                return False
        if done:
            return True
    return False


def _limit_versions(context: ssl.SSLContext, minimum: ssl.TLSVersion, maximum: ssl.TLSVersion) -> None:
    import warnings

    with warnings.catch_warnings():  # naming an old version at all warns since Python 3.10, and here it is meant
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = minimum
        context.maximum_version = maximum


ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA1 = bytes.fromhex("300906072a8648ce3d0401")
"""The AlgorithmIdentifiers of RFC 5758 3.2 and RFC 3279 2.2.3, in DER."""


def sign_with_sha1(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Sign anew over SHA-1 what was signed over SHA-256; cryptography's own builder rightly refuses to."""
    body = certificate.tbs_certificate_bytes
    content = body[2 + (body[1] & 0x7F if body[1] & 0x80 else 0) :]
    tbs = _der(0x30, content.replace(ECDSA_SHA256, ECDSA_SHA1, 1))
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA1()))  # noqa: S303 - the weakness is the point
    return x509.load_der_x509_certificate(_der(0x30, tbs + ECDSA_SHA1 + _der(0x03, b"\0" + signature)))


def _der(tag: int, content: bytes) -> bytes:
    """Write one DER element (X.690 8.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@cache
def _leaf_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _builder(subject: x509.Name, key: Key, starts: datetime, ends: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _sign_authority(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    path_length: int,
) -> x509.Certificate:
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(subject, key, now - LIFETIME - DAY, now + 10 * LIFETIME)
        .issuer_name(issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
