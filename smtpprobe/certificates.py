"""Certificates: what one says, and whether a chain of them can be trusted, each fact by itself.

Verification is left to OpenSSL, as mail servers leave it, and is asked about a chain that was recorded earlier: so a
certificate that fails can still be shown, and "no path to a root", "out of date" and "another name" stay three facts
where a handshake would end with the first. Names are held against the DNS names of the certificate alone; its common
name counts for nothing (RFC 9525 2, 6.3).

This module reads no ASN.1 of its own and touches no network. The only files it reads are roots: those of the system,
found where Python's `ssl` looks for them, and those of a PEM file that the caller names.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from threading import Lock
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from smtpprobe.errors import OptionError
from smtpprobe.evidence import Certificate, Trust
from smtpprobe.names import is_no_address

_T = TypeVar("_T")

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h, which pyOpenSSL passes on but does not name."""

_LINK: Final = _NO_CHECK_TIME | crypto.X509StoreFlags.PARTIAL_CHAIN | crypto.X509StoreFlags.CHECK_SS_SIGNATURE
"""Verify against one certificate as the end of the path, whatever it is, its own signature included."""

_OUT_OF_DATE: Final = frozenset({9, 10})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

_SELF_SIGNED: Final = 18
"""OpenSSL's X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT."""

_TIME_STEP: Final = timedelta(minutes=1)
"""How far the time of a store may be off. OpenSSL sets it once per store, and a store may cost a bundle to load."""

MAX_CA_FILE_BYTES: Final = 16 * 1024 * 1024
"""Of a file of roots: dozens of times what a system trusts."""

MAX_CHAIN: Final = 20
"""Certificates of one chain that are looked at; public chains have two to four, and each costs a signature."""

_READING_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for a certificate, or a part of one, that it cannot read."""

_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""A file of a directory that OpenSSL's rehash prepared."""


# --- one certificate ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def read_certificate(der: bytes) -> Certificate:
    """Read one certificate; never raises: what cannot be read is left out and named in `Certificate.unreadable`.

    The same certificates come again and again, hence the cache.
    """
    sha256 = hashlib.sha256(der).hexdigest()
    with _quiet():
        try:
            read = x509.load_der_x509_certificate(der)
        except _READING_ERRORS as error:
            return Certificate(sha256=sha256, der=der, unreadable=_say(error))
        return _read(read, sha256, der)


def _read(read: x509.Certificate, sha256: str, der: bytes) -> Certificate:
    unread: list[str] = []

    def part(what: str, reader: Callable[[], _T], default: _T) -> _T:
        try:
            return reader()
        except _READING_ERRORS as error:
            unread.append(f"{what}: {_say(error)}")
            return default

    no_key: tuple[str | None, int | None, str | None] = (None, None, None)
    key_type, key_bits, curve = part("public key", lambda: _key(read), no_key)
    alternative = part("subjectAltName", lambda: _extension(read, x509.SubjectAlternativeName), None)
    constraints = part("basicConstraints", lambda: _extension(read, x509.BasicConstraints), None)
    return Certificate(
        sha256=sha256,
        der=der,
        subject=part("subject", lambda: _text(read.subject), ""),
        issuer=part("issuer", lambda: _text(read.issuer), ""),
        serial=part("serial number", lambda: f"{read.serial_number:x}", ""),
        not_before=part("not before", lambda: read.not_valid_before_utc, None),
        not_after=part("not after", lambda: read.not_valid_after_utc, None),
        dns_names=() if alternative is None else tuple(alternative.get_values_for_type(x509.DNSName)),
        ip_addresses=() if alternative is None else tuple(map(str, alternative.get_values_for_type(x509.IPAddress))),
        common_name=part("common name", lambda: _common_name(read), None),
        key_type=key_type,
        key_bits=key_bits,
        curve=curve,
        signature_hash=part("signature", lambda: _signature_hash(read), None),
        spki_sha256=part("public key", lambda: _spki(read), None),
        is_ca=constraints is not None and constraints.ca,
        is_for_servers=part("extendedKeyUsage", lambda: _is_for_servers(read), True),
        is_self_signed=part("self-signature", lambda: read.subject == read.issuer, False) and _signs_itself(der),
        unreadable="; ".join(dict.fromkeys(unread)) or None,
    )


def _key(read: x509.Certificate) -> tuple[str | None, int | None, str | None]:
    """Type, bits and curve of the public key."""
    match read.public_key():
        case rsa.RSAPublicKey() as key:
            return "RSA", key.key_size, None
        case ec.EllipticCurvePublicKey() as key:
            return "EC", key.key_size, key.curve.name
        case ed25519.Ed25519PublicKey():
            return "Ed25519", 256, None
        case ed448.Ed448PublicKey():
            return "Ed448", 456, None
        case dsa.DSAPublicKey() as key:
            return "DSA", key.key_size, None
        case other:
            return type(other).__name__.removesuffix("PublicKey"), None, None


_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def _extension(read: x509.Certificate, wanted: type[_Extension]) -> _Extension | None:
    try:
        return read.extensions.get_extension_for_class(wanted).value
    except x509.ExtensionNotFound:
        return None


def _text(name: x509.Name) -> str:
    return name.rfc4514_string()


def _common_name(read: x509.Certificate) -> str | None:
    for attribute in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        return attribute.value if isinstance(attribute.value, str) else attribute.value.decode("utf-8", "replace")
    return None


def _signature_hash(read: x509.Certificate) -> str | None:
    found = read.signature_hash_algorithm
    return None if found is None else found.name


def _spki(read: x509.Certificate) -> str:
    return hashlib.sha256(read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _is_for_servers(read: x509.Certificate) -> bool:
    """RFC 5280 4.2.1.12: without the extension every purpose is allowed."""
    usage = _extension(read, x509.ExtendedKeyUsage)
    allowed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return usage is None or not allowed.isdisjoint(usage)


def _signs_itself(der: bytes) -> bool:
    try:
        itself = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except crypto.Error:
        return False
    return _issued(itself, itself)


def _say(error: Exception) -> str:
    """The error on one line; an exception without text by its name."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep `cryptography` from warning on stderr of what a certificate of somebody else has odd in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- names ----------------------------------------------------------------------------------------------------------


def covers(certificate: Certificate, name: str) -> bool:
    """Tell whether a certificate covers a host name or an IP address.

    RFC 9525 6.3: DNS names are compared without regard to case; ``*`` may stand for the whole left-most label, of
    which it covers exactly one. As OpenSSL does, it is not believed directly below a top-level domain. RFC 9525 6.5:
    an IP address is matched by an IP address of the certificate, never by a name.
    """
    address = None
    if not is_no_address(name):
        with suppress(ValueError):
            address = ip_address(name.strip("[]"))
    if address is None:
        wanted = name.lower().rstrip(".")
        return any(_matches(pattern.lower().rstrip("."), wanted) for pattern in certificate.dns_names)
    return any(ip_address(each) == address for each in certificate.ip_addresses if _is_address(each))


def _matches(pattern: str, name: str) -> bool:
    if not pattern.startswith("*."):
        return bool(name) and pattern == name
    first, dot, rest = name.partition(".")
    parent = pattern[2:]
    return bool(first and dot) and "." in parent and "*" not in parent and rest == parent


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False  # an address range of a name constraint has no place here, but stands in some certificates
    return True


# --- roots ----------------------------------------------------------------------------------------------------------


class Roots:
    """The roots that are trusted: the system's, and those of a PEM file. Made by `load`.

    Nothing is read from the system's store before a chain asks for it: of a hashed directory OpenSSL reads the one
    file that it needs, and a bundle is loaded only when the directory did not do.
    """

    def __init__(self, extra: tuple[bytes, ...] = ()) -> None:
        """Trust the system's roots and these, each in DER."""
        self._lock = Lock()
        self._extra = tuple(crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in extra)
        where = ssl.get_default_verify_paths()
        self._directory = where.capath if where.capath and _has_roots(where.capath) else None
        self._bundle: str | None = where.cafile
        self._bundle_base64: bytes | None = None
        self._is_complete = False
        """What is not read piece by piece has been asked for: the bundle, or the platform."""
        self._has_system = self._directory is not None
        self._undated = self._store(None)
        self._dated: tuple[datetime, crypto.X509Store] | None = None

    @staticmethod
    def load(ca_file: str | None) -> Roots:
        """The system's roots with those of a PEM file; made once for each state of the file.

        Raises:
            OptionError: the file cannot be read or holds no certificate.
        """
        if ca_file is None:
            return _roots(None, 0, 0)
        try:
            status = os.stat(ca_file)
        except OSError as error:
            raise OptionError(f"cannot read the roots of {ca_file}: {error.strerror or error}") from error
        return _roots(ca_file, status.st_mtime_ns, status.st_size)

    @property
    def is_empty(self) -> bool:
        """There is no root at all, so that nothing can be trusted and nothing follows from it."""
        with self._lock:
            if not (self._extra or self._has_system or self._is_complete):
                self._complete()
            return not (self._extra or self._has_system)

    def verify(
        self, leaf: crypto.X509, others: tuple[crypto.X509, ...], at: datetime | None
    ) -> crypto.X509StoreContextError | None:
        """Look for a path from a leaf to a root.

        Args:
            others: what the server sent besides, in any order.
            at: the time for which the dates must fit, to the minute; None: dates do not matter.

        Returns:
            OpenSSL's reason; None where there is a path.
        """
        with self._lock:
            error = _verify(self._store_for(at), leaf, others)
            if error is not None and not self._is_complete and self._may_have_more(leaf, error.errors[0]):
                self._complete()
                error = _verify(self._store_for(at), leaf, others)
            return error

    def _may_have_more(self, leaf: crypto.X509, reason: int) -> bool:
        """Tell whether what is not loaded yet can make good what is wrong with a leaf.

        One that signed itself is trusted only as a root itself, copied to the letter. To look for it in the text of a
        bundle takes a tenth of what loading that does.
        """
        if reason in _OUT_OF_DATE:
            return False
        if reason != _SELF_SIGNED or self._bundle is None:
            return True
        if self._bundle_base64 is None:
            try:
                with open(self._bundle, "rb") as file:
                    self._bundle_base64 = b"".join(file.read().split())
            except OSError:
                return True
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf)
        # A "trusted certificate" of OpenSSL goes on where this one ends, perhaps within a group of three bytes.
        return b64encode(der[: len(der) // 3 * 3]) in self._bundle_base64

    def _store_for(self, at: datetime | None) -> crypto.X509Store:
        if at is None:
            return self._undated
        if self._dated is None or abs(self._dated[0] - at) >= _TIME_STEP:
            self._dated = (at, self._store(at))
        return self._dated[1]

    def _store(self, at: datetime | None) -> crypto.X509Store:
        store = crypto.X509Store()
        if at is None:
            store.set_flags(_NO_CHECK_TIME)
        else:
            store.set_time(at.astimezone(UTC))
        for root in self._extra:
            store.add_cert(root)
        if self._directory is not None:
            store.load_locations(None, self._directory)
        if self._is_complete:
            self._load_rest(store)
        return store

    def _complete(self) -> None:
        self._is_complete = True
        self._load_rest(self._undated)
        if self._dated is not None:
            self._load_rest(self._dated[1])

    def _load_rest(self, store: crypto.X509Store) -> None:
        """Load what cannot be read piece by piece: the bundle, else what the platform keeps elsewhere."""
        if self._bundle is not None:
            try:
                store.load_locations(self._bundle)
                self._has_system = True
            except crypto.Error:
                self._bundle = None  # it holds no root, which `is_empty` tells
        if self._bundle is None and self._directory is None:
            for der in _of_the_platform():
                store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, der))
                self._has_system = True


def _verify(
    store: crypto.X509Store, leaf: crypto.X509, others: tuple[crypto.X509, ...]
) -> crypto.X509StoreContextError | None:
    try:
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except crypto.X509StoreContextError as error:
        return error
    return None


@lru_cache(maxsize=16)
def _roots(ca_file: str | None, changed_ns: int, size_bytes: int) -> Roots:
    """One `Roots` for each state of a file."""
    if ca_file is None:
        return Roots()
    try:
        with open(ca_file, "rb") as file:
            pem = file.read(MAX_CA_FILE_BYTES + 1)
    except OSError as error:
        raise OptionError(f"cannot read the roots of {ca_file}: {error.strerror or error}") from error
    if len(pem) > MAX_CA_FILE_BYTES:
        raise OptionError(f"no roots in {ca_file}: it has more than {MAX_CA_FILE_BYTES // 1024 // 1024} MiB")
    try:
        with _quiet():
            found = x509.load_pem_x509_certificates(pem)
    except _READING_ERRORS as error:
        raise OptionError(f"no roots in {ca_file}: {_say(error)}") from error
    return Roots(tuple(each.public_bytes(Encoding.DER) for each in found))


def _has_roots(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(_HASHED.fullmatch(entry.name) for entry in entries)
    except OSError:
        return False


@lru_cache(maxsize=1)
def _of_the_platform() -> tuple[bytes, ...]:
    """The roots that `ssl` gets from the operating system itself, as on Windows."""
    return tuple(ssl.create_default_context().get_ca_certs(binary_form=True))


# --- trust ----------------------------------------------------------------------------------------------------------


def judge_trust(chain: tuple[bytes, ...], name: str | None, at: datetime, roots: Roots) -> Trust | None:
    """Verify a recorded chain, each fact by itself.

    Args:
        chain: the certificates as sent, in DER, leaf first; looked at up to `MAX_CHAIN`.
        name: the host name or IP address that the leaf must cover; None: any will do.
        at: the time for which the dates must fit, aware.

    Returns:
        None where there is no leaf, or one that cannot be read.
    """
    if not chain:
        return None
    leaf = read_certificate(chain[0])
    with _quiet():
        try:
            first = crypto.load_certificate(crypto.FILETYPE_ASN1, chain[0])
        except crypto.Error:
            return None
        others = tuple(_readable(each for each in chain[1:MAX_CHAIN] if each != chain[0]))
        dated = roots.verify(first, others, at)
        undated = None if dated is None else roots.verify(first, others, None)
        is_link_missing = (
            undated is not None and not leaf.is_self_signed and not any(_issued(each, first) for each in others)
        )
    starts, ends = leaf.not_before, leaf.not_after
    is_in_date = starts is not None and ends is not None and starts <= at <= ends
    if undated is None and dated is not None and dated.errors[0] in _OUT_OF_DATE:
        is_in_date = False  # a certificate further up the path
    reasons = [each.errors for each in (dated, undated) if each is not None]
    return Trust(
        is_chain_trusted=undated is None,
        is_name_matched=None if name is None else covers(leaf, name),
        is_within_validity=is_in_date,
        is_self_signed=undated is not None and leaf.is_self_signed,
        is_issuer_missing=is_link_missing,
        is_for_servers=leaf.is_for_servers,
        has_roots=not roots.is_empty,
        name=name,
        errors=tuple(dict.fromkeys(f"{code} {text}" for code, _, text in reasons)),
    )


def _readable(chain: Iterable[bytes]) -> Iterator[crypto.X509]:
    for der in chain:
        try:
            yield crypto.load_certificate(crypto.FILETYPE_ASN1, der)
        except crypto.Error:
            continue  # it leads nowhere; the evidence shows it as unreadable


def _issued(issuer: crypto.X509, certificate: crypto.X509) -> bool:
    """Tell whether one certificate signed the other, as OpenSSL sees it."""
    store = crypto.X509Store()
    store.set_flags(_LINK)
    store.add_cert(issuer)
    return _verify(store, certificate, ()) is None


# --- paths that other things than roots vouch for ---------------------------------------------------------------------


def key_of(der: bytes) -> bytes | None:
    """The SubjectPublicKeyInfo of a certificate, in DER; None where it cannot be read (RFC 5280 4.1.2.7)."""
    with _quiet():
        try:
            key = x509.load_der_x509_certificate(der).public_key()
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except _READING_ERRORS:
            return None


def signed_by(chain: tuple[bytes, ...], key: bytes) -> Iterator[bytes]:
    """Find the certificates of a chain that a bare key has signed; none where it cannot be read.

    Args:
        chain: in DER.
        key: a SubjectPublicKeyInfo in DER.
    """
    try:
        public = load_der_public_key(key)
    except _READING_ERRORS:
        return
    with _quiet():
        for der in chain[:MAX_CHAIN]:
            try:
                _verify_signature(public, x509.load_der_x509_certificate(der))
            except (InvalidSignature, *_READING_ERRORS):
                continue
            yield der


def _verify_signature(key: PublicKeyTypes, signed: x509.Certificate) -> None:
    """Hold a signature against a key of any kind.

    Raises:
        InvalidSignature: it is another's.
        TypeError: the key is not of the kind that the signature is made with.
    """
    data, signature, made_with = signed.tbs_certificate_bytes, signed.signature, signed.signature_algorithm_parameters
    match key, made_with, signed.signature_hash_algorithm:
        case rsa.RSAPublicKey(), padding.PKCS1v15() | padding.PSS(), hashes.HashAlgorithm() as hashed:
            key.verify(signature, data, made_with, hashed)
        case ec.EllipticCurvePublicKey(), ec.ECDSA(), _:
            key.verify(signature, data, made_with)
        case ((ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey()), None, _):
            key.verify(signature, data)
        case _:
            raise TypeError("another kind of key")


def leads_to(chain: tuple[bytes, ...], anchor: bytes, at: datetime | None) -> bool:
    """Tell whether a chain leads from its leaf to a certificate that is trusted for a reason of its own.

    Args:
        chain: in DER, leaf first.
        anchor: in DER; trusted whatever it is, so it need not be self-signed (RFC 7671 5.2.2).
        at: the time for which the dates of the path must fit; None: dates do not matter.
    """
    with _quiet():
        try:
            first = crypto.load_certificate(crypto.FILETYPE_ASN1, chain[0])
            end = crypto.load_certificate(crypto.FILETYPE_ASN1, anchor)
        except crypto.Error:
            return False
        store = crypto.X509Store()
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN | (_NO_CHECK_TIME if at is None else 0))
        if at is not None:
            store.set_time(at.astimezone(UTC))
        store.add_cert(end)
        others = tuple(_readable(each for each in chain[1:MAX_CHAIN] if each != chain[0]))
        return _verify(store, first, others) is None
