"""What servers offer in reply to EHLO, and how they refuse it."""

from __future__ import annotations

import pytest

from smtpprobe.evidence import Phase, Target, TargetKind, TlsMode
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A2,
    EHLO,
    EHLO_INSIDE,
    GREETING,
    MX2,
    STARTTLS,
    endpoint,
    findings,
    found,
    given,
    healthy,
    ids,
    said,
    talk,
    tls,
)
from tests.checks.scenarios import judged

MAIL = Target(text="mail.example.org", kind=TargetKind.NAME, name="mail.example.org")


def test_helo_in_place_of_ehlo_still_takes_mail() -> None:
    report = judged("ehlo-refused")
    assert found("ehlo-refused", report).severity is Severity.WARNING
    assert "mail-reachable" in ids(report)
    assert not ids(report) & {"starttls-missing", "extensions-missing", "helo-refused"}


def test_a_server_that_takes_neither_takes_no_mail() -> None:
    report = judged("helo-refused")
    assert found("helo-refused", report).severity is Severity.ERROR
    assert "ehlo-refused" not in ids(report)
    assert "mx-all-unreachable" in ids(report)


def test_helo_that_is_put_off_is_not_refused() -> None:
    report = findings(
        talk(endpoint(), GREETING, said(Phase.EHLO, "502 what"), said(Phase.HELO, "450 4.7.1 come back later"))
    )
    assert "temporarily-refused" in ids(report)
    assert "helo-refused" not in ids(report)


def test_missing_extensions_are_one_note_that_lists_them() -> None:
    finding = found("extensions-missing", judged("extensions-missing"))
    assert finding.params == {"keywords": ("8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES")}
    assert finding.severity is Severity.INFO


@pytest.mark.parametrize(
    ("words", "offered", "missing"),
    [
        ("Exim 4.98", "SIZE 8BITMIME PIPELINING", ()),
        ("Exim 4.98", "SIZE 8BITMIME", ("PIPELINING",)),
        ("OpenSMTPD", "SIZE 8BITMIME ENHANCEDSTATUSCODES", ()),
        ("OpenSMTPD", "SIZE 8BITMIME", ("ENHANCEDSTATUSCODES",)),
        ("Postfix", "SIZE 8BITMIME PIPELINING", ("ENHANCEDSTATUSCODES",)),
        ("ready", "SIZE 8BITMIME ENHANCEDSTATUSCODES", ("PIPELINING",)),
    ],
)
def test_what_no_release_of_the_server_has_is_not_missed(words: str, offered: str, missing: tuple[str, ...]) -> None:
    lines = ["mx1.example.org", *offered.split()]
    ehlo = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
    talked = talk(endpoint(), said(Phase.GREETING, f"220 mx1.example.org ESMTP {words}"), said(Phase.EHLO, *ehlo))
    told = [each.params["keywords"] for each in findings(talked) if each.id == "extensions-missing"]
    assert told == ([missing] if missing else [])


def test_what_is_offered_inside_tls_counts() -> None:
    first = said(Phase.EHLO, "250-mx1.example.org", "250 STARTTLS")
    report = findings(talk(endpoint(), GREETING, first, STARTTLS, tls(), EHLO_INSIDE))
    assert "extensions-missing" not in ids(report)


def test_keywords_are_read_without_regard_to_case() -> None:
    lines = ("250-mx1.example.org", "250-size 1", "250-8bitmime", "250-Pipelining", "250-EnhancedStatusCodes")
    report = findings(talk(endpoint(), GREETING, said(Phase.EHLO, *lines, "250 StartTLS")))
    assert not ids(report) & {"extensions-missing", "starttls-missing"}


@pytest.mark.parametrize(
    ("line", "mechanisms"),
    [
        ("250 AUTH PLAIN LOGIN CRAM-MD5", ("PLAIN", "LOGIN")),
        ("250 AUTH=login", ("LOGIN",)),
        ("250 AUTH XOAUTH2", ("XOAUTH2",)),
        ("250 AUTH CRAM-MD5 SCRAM-SHA-256", None),
        ("250 SIZE", None),
    ],
)
def test_passwords_in_clear_text_are_a_warning(line: str, mechanisms: tuple[str, ...] | None) -> None:
    report = findings(talk(given(587), GREETING, said(Phase.EHLO, "250-mail.example.org", line)), target=MAIL)
    if mechanisms is None:
        assert "auth-without-tls" not in ids(report)
    else:
        finding = found("auth-without-tls", report)
        assert (finding.severity, finding.params) == (Severity.WARNING, {"mechanisms": mechanisms})


def test_a_login_that_is_offered_inside_tls_is_as_it_should_be() -> None:
    report = findings(healthy(given(587)), healthy(given(465)), target=MAIL)
    assert not ids(report) & {"auth-without-tls", "auth-not-offered"}


@pytest.mark.parametrize("port", [465, 587])
def test_submission_without_a_login_is_a_warning_where_it_matters(port: int) -> None:
    def without_login(on_mx: bool) -> object:
        at = endpoint(MX2, A2, port) if on_mx else given(port)
        greeting = said(Phase.GREETING, "220 mail.example.org", over_tls=port == 465)
        inside = said(Phase.EHLO, "250-mail.example.org", "250 SIZE", over_tls=True)
        before = () if port == 465 else (EHLO, STARTTLS)
        return talk(at, greeting, *before, tls(), inside)

    asked_for = findings(without_login(False), target=MAIL)  # type: ignore[arg-type]
    assert found("auth-not-offered", asked_for).severity is Severity.WARNING
    courtesy = findings(healthy(), without_login(True))  # type: ignore[arg-type]
    assert found("auth-not-offered", courtesy).severity is Severity.INFO


def test_no_login_is_missed_where_tls_did_not_come_about() -> None:
    report = findings(talk(given(587), GREETING, EHLO, said(Phase.STARTTLS, "454 4.7.0 later")), target=MAIL)
    assert "auth-not-offered" not in ids(report)


def test_a_login_is_missed_too_where_no_tls_was_wanted() -> None:
    plain = endpoint(MX2, A2, 587, tls=TlsMode.NONE, is_required=True)
    without = said(Phase.EHLO, "250-mx2.example.org", "250 SIZE")
    assert "auth-not-offered" in ids(findings(talk(plain, GREETING, without)))
    with_login = said(Phase.EHLO, "250-mx2.example.org", "250 AUTH CRAM-MD5")
    assert "auth-not-offered" not in ids(findings(talk(plain, GREETING, with_login)))
