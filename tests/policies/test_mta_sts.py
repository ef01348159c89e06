"""MTA-STS as the RFC has it: what a sender can read, and which hosts it then delivers to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.policies.mta_sts import Mode, allows, read_policy, read_record
from smtpprobe.policies.txt import fields, text_of

GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.org\r\nmx: *.mail.example.org\r\nmax_age: 604800\r\n"


@pytest.mark.parametrize(
    ("records", "id_", "problem"),
    [
        (('"v=STSv1; id=20260101T000000;"',), "20260101T000000", None),
        (('"v=STSv1; id=1"', '"something else"'), "1", None),
        (('"v=STSv1; " "id=ab" "cd"',), "abcd", None),
        (('"v=STSv1; id=1; x=y"',), "1", None),
        ((), None, None),
        (('"v=spf1 -all"',), None, None),
        (('"v=STSv1; id=1"', '"v=STSv1; id=2"'), None, "several-records"),
        (('"v=STSv1;"',), None, "id-missing"),
        (('"v=STSv1; id=2026-01-01"',), "2026-01-01", "id-invalid"),
        (('"v=STSv1; id="',), "", "id-invalid"),
        (('"V=STSv1; id=1"',), None, "version-invalid"),
        (('" v=STSv1; id=1"',), None, "version-invalid"),
        (('"v = STSv1; id=1"',), None, "version-invalid"),
        (('"v=STSv1 id=1"',), None, "version-invalid"),
        (('"v=STSv1"',), None, "version-invalid"),
        (('"v=STSv12; id=1"',), None, None),
        (('"V=STSv1; id=1"', '"v=STSv1; id=2"'), "2", None),
        (('"v=STSv1 ;\tid=1 ; x=y ; "',), "1", None),
        (('"v=STSv1; id = 1"',), "1", "syntax-invalid"),
        (('"v=STSv1; id=1; x"',), "1", "syntax-invalid"),
        (('"v=STSv1; id=1; x=y z"',), "1", "syntax-invalid"),
        (('"v=STSv1;; id=1"',), "1", "syntax-invalid"),
        (('"v=STSv1; id=' + "a" * 33 + '"',), "a" * 33, "id-invalid"),
        (('"v=STSv1; id=1; id=2"',), "1", "id-invalid"),
    ],
)
def test_a_record_counts_only_where_there_is_exactly_one_that_can_be_read(
    records: tuple[str, ...], id_: str | None, problem: str | None
) -> None:
    record = read_record(records)
    assert (record.id, record.problem) == (id_, problem)
    assert record.is_valid == (id_ is not None and problem is None)


def test_a_policy_is_read_with_either_line_end() -> None:
    for body in (GOOD, GOOD.replace(b"\r\n", b"\n")):
        policy = read_policy(body)
        assert policy.is_valid
        assert (policy.mode, policy.mx, policy.max_age_s) == (
            Mode.ENFORCE,
            ("mx1.example.org", "*.mail.example.org"),
            604800,
        )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"version: STSv1\r\n", b"", "version-missing"),
        (b"STSv1", b"STSv2", "version-unknown"),
        (b"mode: enforce\r\n", b"", "mode-missing"),
        (b"enforce", b"strict", "mode-unknown"),
        (b"max_age: 604800\r\n", b"", "max-age-missing"),
        (b"604800", b"a week", "max-age-invalid"),
        (b"604800", b"31557601", "max-age-invalid"),
        (b"mx1.example.org", b"mx1..example.org", "mx-invalid:mx1..example.org"),
        (b"mx1.example.org", b"mx*.example.org", "mx-invalid:mx*.example.org"),
        (b"mode: enforce", b"<html>", "not-a-field:<html>"),
        (b"mode: enforce", b"mode : enforce", "not-a-field:mode : enforce"),
        (b"version: STSv1", b"\xef\xbb\xbfversion: STSv1", "version-missing"),
        (b"enforce", b"Enforce", "mode-unknown"),
        (b"604800", b"-1", "max-age-invalid"),
        (b"mx1.example.org", b"mx1.example.org.", "mx-invalid:mx1.example.org."),
        (b"mx1.example.org", b"*", "mx-invalid:*"),
        (b"mx1.example.org", b"mx1.example.org, mx2.example.org", "mx-invalid:mx1.example.org, mx2.example.org"),
        (b"enforce", b"enforce\xff", "not-utf8"),
    ],
)
def test_a_policy_that_a_sender_cannot_read_says_why(old: bytes, new: bytes, problem: str) -> None:
    policy = read_policy(GOOD.replace(old, new))
    assert problem in policy.problems
    assert not policy.is_valid


def test_hosts_are_needed_unless_the_mode_is_none() -> None:
    bare = b"version: STSv1\nmode: none\nmax_age: 86400\n"
    assert read_policy(bare).is_valid
    assert read_policy(bare.replace(b"none", b"testing")).problems == ("mx-missing",)


def test_keys_that_nobody_knows_are_passed_over_and_of_a_repeated_one_the_first_counts() -> None:
    policy = read_policy(GOOD + b"colour: blue\nmode: none\n")
    assert policy.is_valid
    assert policy.mode is Mode.ENFORCE


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("mx1.example.org", True),
        ("MX1.Example.ORG.", True),
        ("mx2.example.org", False),
        ("a.mail.example.org", True),
        ("a.b.mail.example.org", False),
        ("mail.example.org", False),
    ],
)
def test_a_wildcard_stands_for_exactly_one_label(host: str, is_allowed: bool) -> None:
    assert allows(read_policy(GOOD), host) is is_allowed


@given(st.binary(max_size=400))
def test_any_body_is_read_without_an_error(body: bytes) -> None:
    policy = read_policy(body)
    assert policy.is_valid or policy.problems


@given(st.text(max_size=200))
def test_any_text_is_cut_into_fields(text: str) -> None:
    assert all(";" not in name for name, _ in fields(text_of(text)))
