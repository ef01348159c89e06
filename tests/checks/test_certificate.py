"""Certificates: each flaw its own finding, worth what it costs those who look."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from smtpprobe.checks import judge
from smtpprobe.evidence import Certificate, Endpoint, Evidence, Options, Target, TargetKind, Trust
from smtpprobe.reference.model import Confidence
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A2,
    GOOD,
    certificate,
    endpoint,
    evidence,
    found,
    given,
    healthy,
    ids,
    tls,
    trust,
)
from tests.checks.scenarios import judged, with_certificate

MAIL = Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org")
FLAWS = [
    (certificate(days=-1), trust(in_date=False), "certificate-expired"),
    (certificate(days=95), trust(in_date=False), "certificate-not-yet-valid"),
    (GOOD, trust(in_date=False), "certificate-chain-out-of-date"),
    (GOOD, trust(matched=False, name="other.example.org"), "certificate-name-mismatch"),
    (certificate(dns_names=()), trust(matched=False), "certificate-name-in-common-name"),
    (GOOD, trust(chain=False, is_self_signed=True), "certificate-self-signed"),
    (GOOD, trust(chain=False, is_issuer_missing=True), "certificate-intermediate-missing"),
    (GOOD, trust(chain=False), "certificate-issuer-unknown"),
    (GOOD, trust(is_for_servers=False), "certificate-not-for-servers"),
    (certificate(key_type="RSA", key_bits=1024), trust(), "certificate-key-weak"),
    (certificate(signature_hash="sha1"), trust(), "certificate-signature-weak"),
]


def shown(leaf: Certificate, facts: Trust | None, at: Endpoint, *chain: Certificate) -> Evidence:
    target = (
        MAIL if at.host == "mail.example.org" else Target(text="example.org", kind=TargetKind.NAME, name="example.org")
    )
    return evidence(healthy(at, tls(leaf, *chain, trust=facts)), shown=(leaf, *chain), target=target)


@pytest.mark.parametrize(("leaf", "facts", "id"), FLAWS, ids=[each[2] for each in FLAWS])
def test_a_flaw_is_a_warning_between_servers_and_an_error_on_submission(
    leaf: Certificate, facts: Trust, id: str
) -> None:
    assert found(id, judge(shown(leaf, facts, endpoint()))).severity is Severity.WARNING
    for port in (465, 587):
        assert found(id, judge(shown(leaf, facts, given(port)))).severity is Severity.ERROR
    beside = evidence(healthy(), healthy(endpoint(port=587), tls(leaf, trust=facts)), shown=(leaf,))
    assert found(id, judge(beside)).severity is Severity.INFO


@pytest.mark.parametrize(("leaf", "facts", "id"), FLAWS, ids=[each[2] for each in FLAWS])
def test_a_flaw_is_told_alone_and_only_trust_is_praised(leaf: Certificate, facts: Trust, id: str) -> None:
    report = judge(shown(leaf, facts, endpoint()))
    about_it = {each for each in ids(report) if each.startswith("certificate-")}
    assert about_it - {"certificate-trusted"} == {id}
    assert ("certificate-trusted" in about_it) is facts.is_trusted


def test_several_flaws_are_several_findings() -> None:
    facts = trust(chain=False, matched=False, in_date=False, is_self_signed=True, name="mx.example.net")
    report = judge(shown(certificate(days=-30, key_type="RSA", key_bits=512), facts, endpoint()))
    assert {each for each in ids(report) if each.startswith("certificate-")} == {
        "certificate-expired",
        "certificate-name-mismatch",
        "certificate-self-signed",
        "certificate-key-weak",
    }


def test_an_expired_certificate_says_since_when() -> None:
    finding = found("certificate-expired", judge(shown(certificate(days=-12), trust(in_date=False), endpoint())))
    assert finding.params == {"subject": "mx1.example.org", "date": "2026-03-02", "days": 11}


@pytest.mark.parametrize(
    ("days", "lifetime", "relay", "submission"),
    [
        (22, 90, None, None),
        (20, 90, Severity.WARNING, Severity.WARNING),
        (8, 90, Severity.WARNING, Severity.WARNING),
        (6, 90, Severity.WARNING, Severity.ERROR),
        (0, 90, Severity.WARNING, Severity.ERROR),
        # Short lives are measured by their own length: renewal is usual when a third is left.
        (15, 45, None, None),
        (11, 45, Severity.WARNING, Severity.WARNING),
        (3, 6, None, None),
        (1, 6, Severity.WARNING, Severity.WARNING),
        (0, 6, Severity.WARNING, Severity.ERROR),
        (20, 365, Severity.WARNING, Severity.WARNING),
        (30, 365, None, None),
    ],
)
def test_a_certificate_that_ends_soon(
    days: int, lifetime: int, relay: Severity | None, submission: Severity | None
) -> None:
    leaf = certificate(days=days, lifetime=lifetime)
    for at, expected in ((endpoint(), relay), (given(587), submission)):
        report = judge(shown(leaf, trust(), at))
        if expected is None:
            assert "certificate-expires-soon" not in ids(report)
        else:
            finding = found("certificate-expires-soon", report)
            assert (finding.severity, finding.params["days"]) == (expected, days)


def test_the_days_of_warning_can_be_set() -> None:
    probed = shown(certificate(days=40, lifetime=365), trust(), endpoint())
    assert "certificate-expires-soon" not in ids(judge(probed))
    assert "certificate-expires-soon" in ids(judge(replace(probed, options=Options(expiry_warning_days=45))))


def test_the_names_of_the_certificate_are_listed() -> None:
    leaf = certificate(dns_names=("www.example.net", "example.net"), ip_addresses=("192.0.2.9",))
    finding = found("certificate-name-mismatch", judge(shown(leaf, trust(matched=False), endpoint())))
    assert finding.params == {"name": "mx1.example.org", "names": ("www.example.net", "example.net", "192.0.2.9")}


def test_without_alternative_names_the_common_name_is_shown() -> None:
    leaf = certificate("www.example.net", dns_names=())
    report = judge(shown(leaf, trust(matched=False), endpoint()))
    assert found("certificate-name-mismatch", report).params["names"] == ("www.example.net",)
    report = judge(shown(certificate(dns_names=(), common_name=None), trust(matched=False), endpoint()))
    assert found("certificate-name-mismatch", report).params["names"] == ("-",)


def test_without_a_name_to_compare_a_certificate_is_neither_praised_nor_blamed() -> None:
    report = judge(shown(GOOD, trust(matched=None, name=None), endpoint()))
    assert not {each for each in ids(report) if each.startswith("certificate-")}


def test_a_missing_intermediate_is_only_likely() -> None:
    finding = found("certificate-intermediate-missing", judged("certificate-intermediate-missing"))
    assert finding.confidence is Confidence.LIKELY
    assert finding.params["issuer"] == "CN=R11,O=An Authority"


def test_the_last_issuer_of_the_chain_is_the_unknown_one() -> None:
    above = certificate("R11", issuer="CN=Nobody Knows", is_ca=True)
    report = judge(shown(GOOD, trust(chain=False, errors=("20 no issuer",)), endpoint(), above))
    assert found("certificate-issuer-unknown", report).params == {
        "subject": "mx1.example.org",
        "issuer": "CN=Nobody Knows",
        "errors": ("20 no issuer",),
    }


def test_without_roots_nobody_is_blamed() -> None:
    report = judge(with_certificate(chain=False, has_roots=False, errors=("20 no issuer",)))
    assert found("trust-store-missing", report).severity is Severity.INCONCLUSIVE
    assert "certificate-issuer-unknown" not in ids(report)


@pytest.mark.parametrize(
    ("key_type", "bits", "is_weak"),
    [
        ("RSA", 2047, True),
        ("RSA", 2048, False),
        ("DSA", 1024, True),
        ("EC", 192, True),
        ("EC", 256, False),
        ("Ed25519", 256, False),
    ],
)
def test_weak_keys(key_type: str, bits: int, is_weak: bool) -> None:
    report = judge(with_certificate(certificate(key_type=key_type, key_bits=bits)))
    assert ("certificate-key-weak" in ids(report)) is is_weak


def test_a_weak_signature_counts_on_the_way_up_but_not_on_the_root() -> None:
    intermediate = certificate("R11", signature_hash="sha1", is_ca=True)
    report = judge(shown(GOOD, trust(), endpoint(), intermediate))
    assert found("certificate-signature-weak", report).params == {"subject": "R11", "hash": "sha1"}
    root = certificate("Root", signature_hash="sha1", is_ca=True, is_self_signed=True)
    assert "certificate-signature-weak" not in ids(judge(shown(GOOD, trust(), endpoint(), root)))


def test_the_same_certificate_everywhere_is_not_worth_a_word() -> None:
    report = judge(evidence(healthy(), healthy(endpoint(address=A2))))
    assert "certificates-differ" not in ids(report)


def test_the_certificate_that_has_expired_above_is_named() -> None:
    old = certificate("R3", days=-5, is_ca=True)
    report = judge(shown(GOOD, trust(in_date=False), endpoint(), old))
    assert found("certificate-chain-out-of-date", report).params == {"subject": "mx1.example.org", "issuers": ("R3",)}
