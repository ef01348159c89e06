"""What is read from certificates, and how trust in them is judged. The certificates are made as the tests run."""

from __future__ import annotations

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpprobe.certificates import Roots, covers, judge_trust, read_certificate
from smtpprobe.errors import OptionError
from smtpprobe.evidence import Certificate, Trust
from smtpprobe.lab.certificates import CertificateKind, Identity, authority, make_identity, trusted_root

HOST = "mx.example.org"
NOW = datetime.now(UTC)


def ders(identity: Identity) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in identity.chain)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Roots:
    path = tmp_path_factory.mktemp("roots") / "lab.pem"
    path.write_bytes(trusted_root())
    return Roots.load(str(path))


def judge(chain: tuple[bytes, ...], roots: Roots, name: str | None = HOST, at: datetime = NOW) -> Trust:
    trust = judge_trust(chain, name, at, roots)
    assert trust is not None
    return trust


# --- reading --------------------------------------------------------------------------------------------------------


def test_a_certificate_is_read_whole() -> None:
    identity = make_identity(CertificateKind.RSA, HOST)
    found = read_certificate(ders(identity)[0])
    assert found.unreadable is None
    assert (found.key_type, found.key_bits, found.curve) == ("RSA", 2048, None)
    assert (found.subject, found.common_name) == (f"CN={HOST}", HOST)
    assert found.issuer == "CN=smtpprobe lab intermediate"
    assert found.dns_names == (HOST,)
    assert found.signature_hash == "sha256"
    assert int(found.serial, 16) == identity.chain[0].serial_number
    assert found.sha256 == identity.chain[0].fingerprint(hashes.SHA256()).hex()
    assert found.not_before == identity.chain[0].not_valid_before_utc
    assert found.is_for_servers
    assert not found.is_ca
    assert not found.is_self_signed


def test_the_key_digest_is_that_of_a_tlsa_record() -> None:
    certificate = make_identity(CertificateKind.TRUSTED, HOST).chain[0]
    digest = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()
    found = read_certificate(certificate.public_bytes(Encoding.DER))
    assert found.spki_sha256 is not None
    assert len(found.spki_sha256) == 64
    assert found.spki_sha256 != digest  # that one is over the bare key, and SHA-1
    same_key = read_certificate(ders(make_identity(CertificateKind.EXPIRED, HOST))[0])
    assert same_key.spki_sha256 == found.spki_sha256
    assert same_key.sha256 != found.sha256


def test_a_self_signed_certificate_is_known_as_such() -> None:
    assert read_certificate(ders(make_identity(CertificateKind.SELF_SIGNED, HOST))[0]).is_self_signed
    assert read_certificate(authority("unknown").root.public_bytes(Encoding.DER)).is_self_signed


def test_an_equal_issuer_name_without_the_signature_is_not_self_signed() -> None:
    der = ders(make_identity(CertificateKind.SELF_SIGNED, HOST))[0]
    forged = der[:-1] + bytes((der[-1] ^ 1,))
    found = read_certificate(forged)
    assert found.subject == found.issuer
    assert not found.is_self_signed


def test_the_hash_of_a_weak_signature_is_named() -> None:
    assert read_certificate(ders(make_identity(CertificateKind.SHA1, HOST))[0]).signature_hash == "sha1"


def test_a_signature_without_a_hash_of_its_own_names_none() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .sign(key, None)
    )
    found = read_certificate(certificate.public_bytes(Encoding.DER))
    assert (found.key_type, found.key_bits, found.signature_hash) == ("Ed25519", 256, None)
    assert found.unreadable is None
    assert found.is_self_signed


@pytest.mark.parametrize("der", [b"", b"\x30", b"not a certificate", b"\x30\x82\xff\xff" + bytes(100)])
def test_what_is_no_certificate_is_named_unreadable(der: bytes) -> None:
    found = read_certificate(der)
    assert found.der == der
    assert found.unreadable
    assert found.not_after is None
    assert judge_trust((der,), HOST, NOW, Roots.load(None)) is None


GOOD = ders(make_identity(CertificateKind.TRUSTED, HOST))[0]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_certificate_never_raises_and_is_kept(data: st.DataObject) -> None:
    der = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is odd in it is said in the evidence, not on stderr
        found = read_certificate(bytes(der))
        judge_trust((bytes(der), bytes(der)), HOST, NOW, Roots.load(None))
    assert found.der == bytes(der)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "is_covered"),
    [
        ("mx.example.org", "mx.example.org", True),
        ("MX.Example.ORG.", "mx.example.org", True),
        ("mx.example.org", "mx.example.org.", True),
        ("mx.example.org", "mx2.example.org", False),
        ("example.org", "mx.example.org", False),
        ("*.example.org", "mx.example.org", True),
        ("*.example.org", "a.mx.example.org", False),  # RFC 9525 6.3: one label
        ("*.example.org", "example.org", False),
        ("*.example.org", ".example.org", False),
        ("mx*.example.org", "mx1.example.org", False),  # RFC 9525 6.3: the whole label
        ("mx.*.org", "mx.example.org", False),
        ("*.*.org", "mx.example.org", False),
        ("*.org", "example.org", False),
        ("*", "localhost", False),
        ("", "", False),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", True),
    ],
)
def test_a_dns_name_covers_what_the_rfc_says(pattern: str, name: str, is_covered: bool) -> None:
    certificate = Certificate(sha256="", der=b"", dns_names=(pattern,))
    assert covers(certificate, name) is is_covered


@pytest.mark.parametrize(
    ("address", "name", "is_covered"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:0db8:0::1", True),
        ("2001:db8::1", "[2001:db8::1]", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.0/24", "192.0.2.1", False),
    ],
)
def test_an_address_is_covered_by_an_equal_address(address: str, name: str, is_covered: bool) -> None:
    assert covers(Certificate(sha256="", der=b"", ip_addresses=(address,)), name) is is_covered


def test_an_address_is_not_covered_by_a_name() -> None:
    assert not covers(Certificate(sha256="", der=b"", dns_names=("192.0.2.1",)), "192.0.2.1")


# --- trust ----------------------------------------------------------------------------------------------------------

ALL_WELL = (True, True, True, False, False)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        # chain, name, dates, self-signed, issuer missing
        (CertificateKind.TRUSTED, ALL_WELL),
        (CertificateKind.RSA, ALL_WELL),
        (CertificateKind.WILDCARD, ALL_WELL),
        (CertificateKind.EXPIRING, ALL_WELL),
        (CertificateKind.WEAK_KEY, ALL_WELL),
        (CertificateKind.SHA1, ALL_WELL),
        (CertificateKind.EXPIRED, (True, True, False, False, False)),
        (CertificateKind.NOT_YET_VALID, (True, True, False, False, False)),
        (CertificateKind.WRONG_NAME, (True, False, True, False, False)),
        (CertificateKind.NO_ALTERNATIVE_NAME, (True, False, True, False, False)),
        (CertificateKind.SELF_SIGNED, (False, True, True, True, False)),
        (CertificateKind.MISSING_INTERMEDIATE, (False, True, True, False, True)),
        (CertificateKind.UNKNOWN_ISSUER, (False, True, True, False, False)),
    ],
)
def test_each_fact_of_trust_stands_by_itself(kind: CertificateKind, facts: tuple[bool, ...], roots: Roots) -> None:
    trust = judge(ders(make_identity(kind, HOST)), roots)
    assert facts == (
        trust.is_chain_trusted,
        trust.is_name_matched,
        trust.is_within_validity,
        trust.is_self_signed,
        trust.is_issuer_missing,
    )
    assert trust.is_trusted is (facts == ALL_WELL)
    assert trust.has_roots


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (CertificateKind.TRUSTED, ()),
        (CertificateKind.EXPIRED, ("10 certificate has expired",)),
        (CertificateKind.SELF_SIGNED, ("18 self-signed certificate",)),
        (CertificateKind.UNKNOWN_ISSUER, ("19 self-signed certificate in certificate chain",)),
        (CertificateKind.MISSING_INTERMEDIATE, ("20 unable to get local issuer certificate",)),
    ],
)
def test_the_reasons_of_openssl_are_kept(kind: CertificateKind, reason: tuple[str, ...], roots: Roots) -> None:
    assert judge(ders(make_identity(kind, HOST)), roots).errors == reason


def test_trust_is_judged_for_the_time_of_the_probe(roots: Roots) -> None:
    chain = ders(make_identity(CertificateKind.TRUSTED, HOST))
    assert not judge(chain, roots, at=NOW + timedelta(days=365)).is_within_validity
    assert judge(chain, roots, at=NOW).is_trusted
    assert not judge(chain, roots, at=NOW - timedelta(days=365)).is_within_validity


def test_the_dates_of_an_intermediate_count_too(roots: Roots, tmp_path: Path) -> None:
    key, root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "root.pem"
    root = sign("root", root_key, "root", root_key, days=100)
    path.write_bytes(root.public_bytes(Encoding.PEM))
    intermediate = sign("intermediate", key, "root", root_key, days=10)
    leaf = sign("leaf", key, "intermediate", key, days=100, host=HOST)
    chain = (leaf.public_bytes(Encoding.DER), intermediate.public_bytes(Encoding.DER))
    own_roots = Roots.load(str(path))
    assert judge(chain, own_roots, at=NOW + timedelta(days=5)).is_trusted
    later = judge(chain, own_roots, at=NOW + timedelta(days=50))
    assert later.is_chain_trusted
    assert not later.is_within_validity


def test_a_certificate_for_clients_only_is_not_trusted(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = sign("leaf", key, "leaf", key, days=10, host=HOST, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    path = tmp_path / "leaf.pem"
    path.write_bytes(leaf.public_bytes(Encoding.PEM))
    trust = judge((leaf.public_bytes(Encoding.DER),), Roots.load(str(path)))
    assert trust.is_chain_trusted
    assert not trust.is_for_servers
    assert not trust.is_trusted


def test_a_self_signed_certificate_that_is_given_as_root_is_trusted(tmp_path: Path) -> None:
    identity = make_identity(CertificateKind.SELF_SIGNED, HOST)
    path = tmp_path / "leaf.pem"
    path.write_bytes(identity.chain[0].public_bytes(Encoding.PEM))
    trust = judge(ders(identity), Roots.load(str(path)))
    assert trust.is_trusted
    assert not trust.is_self_signed


def test_the_order_of_the_chain_does_not_matter(roots: Roots) -> None:
    leaf, intermediate = ders(make_identity(CertificateKind.TRUSTED, HOST))
    unrelated = ders(make_identity(CertificateKind.SELF_SIGNED, "other.example.org"))[0]
    assert judge((leaf, unrelated, b"not a certificate", intermediate), roots).is_trusted


def test_a_leaf_that_is_sent_twice_is_not_its_own_intermediate(roots: Roots) -> None:
    leaf = ders(make_identity(CertificateKind.MISSING_INTERMEDIATE, HOST))[0]
    assert judge((leaf, leaf), roots).is_issuer_missing


def test_an_address_target_needs_the_address_in_the_certificate(roots: Roots, tmp_path: Path) -> None:
    assert judge(ders(make_identity(CertificateKind.TRUSTED, HOST)), roots, "192.0.2.1").is_name_matched is False
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = sign("leaf", key, "leaf", key, days=10, host="192.0.2.1")
    assert judge((leaf.public_bytes(Encoding.DER),), roots, "192.0.2.1").is_name_matched is True


def test_without_a_name_nothing_is_said_of_names(roots: Roots) -> None:
    trust = judge(ders(make_identity(CertificateKind.WRONG_NAME, HOST)), roots, None)
    assert trust.is_name_matched is None
    assert trust.is_trusted


def test_without_a_certificate_there_is_nothing_to_judge(roots: Roots) -> None:
    assert judge_trust((), HOST, NOW, roots) is None


# --- roots ----------------------------------------------------------------------------------------------------------


def test_roots_are_loaded_once_for_each_state_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(trusted_root())
    first = Roots.load(str(path))
    assert Roots.load(str(path)) is first
    assert Roots.load(None) is Roots.load(None)
    path.write_bytes(trusted_root() + authority("unknown").root.public_bytes(Encoding.PEM))
    second = Roots.load(str(path))
    assert second is not first
    assert judge(ders(make_identity(CertificateKind.UNKNOWN_ISSUER, HOST)), second).is_trusted


def test_a_missing_file_of_roots_is_an_option_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot read the roots of .*missing\.pem: No such file"):
        Roots.load(str(tmp_path / "missing.pem"))
    with pytest.raises(OptionError, match="cannot read the roots of"):
        Roots.load(str(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"no PEM at all", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_roots_is_an_option_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(content)
    with pytest.raises(OptionError, match=r"no roots in .*roots\.pem"):
        Roots.load(str(path))


def test_a_file_of_roots_without_end_is_an_option_error() -> None:
    with pytest.raises(OptionError, match="no roots in /dev/zero: it has more than 16 MiB"):
        Roots.load("/dev/zero")


@pytest.mark.parametrize("form", ["directory", "bundle"])
def test_the_roots_of_the_system_are_found(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = authority("smtpprobe lab").root
    (tmp_path / "bundle.pem").write_bytes(root.public_bytes(Encoding.PEM) if form == "bundle" else b"")
    if form == "directory":
        from OpenSSL import crypto

        name = f"{crypto.X509.from_cryptography(root).subject_name_hash():08x}.0"
        (tmp_path / name).write_bytes(root.public_bytes(Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    found = Roots()
    assert judge(ders(make_identity(CertificateKind.TRUSTED, HOST)), found).is_trusted
    assert not judge(ders(make_identity(CertificateKind.UNKNOWN_ISSUER, HOST)), found).is_trusted
    assert not found.is_empty


@pytest.mark.parametrize("is_root", [False, True])
def test_a_bundle_is_not_loaded_for_a_leaf_that_signed_itself_and_is_not_in_it(
    *, is_root: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from OpenSSL import crypto

    leaf = ders(make_identity(CertificateKind.SELF_SIGNED, HOST))
    pem = ssl.DER_cert_to_PEM_cert(leaf[0]).replace("\n", "\r\n") if is_root else ""
    other = authority("smtpprobe lab").root.public_bytes(Encoding.PEM)
    (tmp_path / "bundle.pem").write_bytes(other + b"# ours\r\n" + pem.encode())
    (tmp_path / "00000000.0").write_bytes(other)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    loaded: list[object] = []
    load = crypto.X509Store.load_locations

    def note(store: crypto.X509Store, *where: str) -> None:
        loaded.extend(where)
        load(store, *where)

    monkeypatch.setattr(crypto.X509Store, "load_locations", note)
    trust = judge(leaf, Roots())
    assert (trust.is_chain_trusted, trust.is_self_signed) == (is_root, not is_root)
    assert (str(tmp_path / "bundle.pem") in loaded) is is_root


def test_a_machine_without_roots_is_told_apart_from_an_unknown_issuer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle.pem").write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    trust = judge(ders(make_identity(CertificateKind.TRUSTED, HOST)), Roots())
    assert not trust.has_roots
    assert not trust.is_chain_trusted


def sign(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    days: int,
    host: str | None = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> x509.Certificate:
    """Make a certificate for a host, or an authority where there is no host."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        general: x509.GeneralName = x509.DNSName(host)
        if host[0].isdigit():
            general = x509.IPAddress(ip_address(host))
        builder = builder.add_extension(x509.SubjectAlternativeName([general]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
