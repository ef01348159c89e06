"""The words of findings: ids of closed sets are told in the language of the report."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import pytest

from smtpprobe import texts
from smtpprobe.checks import KINDS
from smtpprobe.evidence import FailureKind, LookupStatus, Phase
from smtpprobe.ocsp import Answer
from smtpprobe.policies.dane import Mismatch, Unusable
from smtpprobe.policies.mta_sts import read_policy, read_record
from smtpprobe.policies.tls_rpt import read_record as read_tls_rpt
from smtpprobe.render.words import finding_words
from smtpprobe.report import Finding, Param, Severity, Where

NOT_OF_POLICIES: Final = {"deadline", "no-route", "denied", "interrupted", "left-alone", "internal"}
"""Ways to fail that the fetching of a policy never ends in."""
TOLD_OTHERWISE: Final = {"good", "revoked", "expired", "other-certificate"}
"""Answers of responders that are findings of their own."""
BAD_POLICIES: Final = (
    b"",
    b"\xff",
    b"version: STSv2\nmode: off\nmax_age: -1\nmx: a_b\nwhat\n",
)
BAD_RECORDS: Final = (
    ("v=STSv1; id=1", "v=STSv1; id=2"),
    ("v=STSv1;",),
    ("v=STSv1; id=a-b",),
    ("V=STSv1",),
    ("v=STSv1; id=a; b",),
)
BAD_REPORT_RECORDS: Final = (("v=TLSRPTv1; rua=a", "v=TLSRPTv1; rua=b"), ("v=TLSRPTv1;",), ("v=TLSRPTv1; rua=ftp:a",))

IDS: Final[Mapping[str, AbstractSet[str]]] = {
    "tlsa-mismatch": set(Mismatch),
    "tlsa-unusable": set(Unusable),
    "lookup": set(LookupStatus),
    "failure": set(FailureKind),
    "phase": set(Phase),
    "policy-fetch": set(FailureKind) - NOT_OF_POLICIES,
    "distrust": {"unreadable", "dates", "name", "chain"},
    "ocsp": set(Answer) - TOLD_OTHERWISE,
    "policy-file": {problem.partition(":")[0] for each in BAD_POLICIES for problem in read_policy(each).problems},
    "policy-record": {
        *(str(read_record(each).problem) for each in BAD_RECORDS),
        *(str(read_tls_rpt(each).problem) for each in BAD_REPORT_RECORDS),
    },
    "trial": {"starttls-injection", "starttls-unadvertised", "mail-without-tls", "relay"},
    "policy-mode": {"enforce", "testing"},
    "tls": {"wrong-name", "self-signed", "issuer-missing", "unknown-issuer", "expired", "not-yet-valid"},
}
"""Table of the labels -> the ids that can come."""


def finding(id_: str, **params: Param) -> Finding:
    return Finding(id=id_, severity=Severity.WARNING, where=Where(), params=params)


@pytest.mark.parametrize("table", {table for kind in KINDS.values() for table in kind.worded.values()})
def test_each_id_that_can_come_has_words(table: str) -> None:
    assert IDS[table] - set(texts.entry("en", "labels", table) or {}) == set()


def test_only_parameters_that_there_are_have_words() -> None:
    assert not [kind.id for kind in KINDS.values() if set(kind.worded) - set(kind.params)]


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize(
    ("id_", "params"),
    [
        ("dane-mismatch", {"reason": "no-match"}),
        ("dane-unusable", {"reasons": ("pkix-usage", "wrong-length")}),
        ("mta-sts-record-invalid", {"problem": "several-records"}),
        ("mta-sts-policy-unreachable", {"kind": "tls-closed"}),
        ("mta-sts-policy-certificate", {"reasons": ("dates",)}),
        ("mta-sts-policy-invalid", {"problems": ("mode-missing", "mx-invalid:a_b")}),
        ("tls-rpt-invalid", {"problem": "rua-missing"}),
        ("ptr-lookup-failed", {"status": "no-data"}),
        ("security-probe-unfinished", {"probe": "mail-without-tls", "phase": "starttls", "kind": "tls-closed"}),
        ("tls-ocsp-unusable", {"answer": "bad-signature"}),
    ],
)
def test_ids_are_told_in_the_language_of_the_report(language: str, id_: str, params: dict[str, Param]) -> None:
    title = finding_words(finding(id_, **params), language).title
    ids = [each for value in params.values() for each in (value if isinstance(value, tuple) else (value,))]
    for each in ids:
        name, _, about = str(each).partition(":")
        assert name not in title
        assert about in title
    assert not any(f"{{{name}}}" in title for name in params)


def test_an_id_without_words_stands_for_itself() -> None:
    assert "brand-new" in finding_words(finding("dane-mismatch", reason="brand-new"), "en").title


def test_what_a_policy_says_is_escaped_once() -> None:
    title = finding_words(finding("mta-sts-policy-invalid", problems=("not-a-field:a\x1b\\b",)), "en").title
    assert "\x1b" not in title
    assert title.endswith("(no field: a\\x1b\\b)")


def test_doubled_braces_are_single_ones_without_parameters_too() -> None:
    assert "${if eq{$tls_in_cipher}{}{}{*}}" in finding_words(finding("auth-without-tls"), "en").fix


def test_a_sentence_names_a_few_members_of_a_long_list_and_counts_the_others() -> None:
    names = tuple(f"h{number}.example.net" for number in range(3000))
    long = finding("certificate-name-mismatch", name="mx1.example.org", names=names)
    assert finding_words(long, "en").title.endswith("but for " + ", ".join(names[:12]) + ", 2988 more")
    short = finding("certificate-name-mismatch", name="mx1.example.org", names=names[:12])
    assert finding_words(short, "en").title.endswith("h11.example.net")


def test_a_step_that_needs_what_is_not_known_is_left_out() -> None:
    owner, wanted, authority = "_25._tcp.mx1.example.org", "3 1 1 ab", "2 1 1 cd"
    fix = finding_words(finding("dane-not-published", owner=owner, wanted=wanted, authority=authority), "en").fix
    assert [each.rpartition("TLSA ")[2] for each in fix.splitlines()] == [wanted, authority]
    fix = finding_words(finding("dane-not-published", owner=owner, wanted=wanted, authority="-"), "en").fix
    assert [each.rpartition("TLSA ")[2] for each in fix.splitlines()] == [wanted]
