"""Greetings, and clients that are put off or turned away by them."""

from __future__ import annotations

import pytest

from smtpprobe.checks.greeting import is_public
from smtpprobe.evidence import FailureKind, Phase
from smtpprobe.report import Severity
from tests.checks.evidence_builder import (
    A2,
    EHLO,
    GREETING,
    MX2,
    endpoint,
    failed,
    findings,
    found,
    healthy,
    ids,
    said,
    talk,
)
from tests.checks.scenarios import at_step, greeted, judged

GREET = Phase.GREETING


def test_a_usual_greeting_is_not_worth_a_word() -> None:
    assert not {each for each in ids(findings(healthy())) if "greeting" in each or "name" in each}


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("521 5.3.2 no mail here", "host-accepts-no-mail"),
        ("554 No SMTP service here", "host-accepts-no-mail"),
        ("521 we are closed", "host-accepts-no-mail"),
        ("550 go away", "greeting-refused"),
        ("500 what", "greeting-refused"),
        ("320 what", "greeting-unexpected-code"),
        ("699 what", "greeting-unexpected-code"),
        ("421 4.3.2 shutting down", "temporarily-refused"),
        ("450 later", "temporarily-refused"),
    ],
)
def test_each_refusal_has_one_finding(line: str, id: str) -> None:
    report = findings(talk(endpoint(), said(GREET, line)))
    among = {"host-accepts-no-mail", "greeting-refused", "greeting-unexpected-code", "temporarily-refused"}
    assert ids(report) & (among | {"client-refused", "rate-limited", "greylisted"}) == {id}
    finding = found(id, report)
    assert finding.params["code"] == int(line[:3])
    assert finding.reply is not None
    assert finding.where.phase is GREET


@pytest.mark.parametrize("line", ["421 4.3.2 shutting down", "451 4.7.1 Greylisted", "450 later"])
def test_a_server_that_puts_us_off_is_neither_good_nor_bad(line: str) -> None:
    report = findings(talk(endpoint(), said(GREET, line)))
    assert {each.severity for each in report} == {Severity.OK, Severity.INCONCLUSIVE}
    assert not ids(report) & {"mail-reachable", "mx-all-unreachable", "starttls-missing"}


@pytest.mark.parametrize("id", ["client-refused", "rate-limited", "greylisted"])
def test_what_is_about_this_client_says_nothing_of_others(id: str) -> None:
    report = judged(id)
    finding = found(id, report)
    assert finding.severity is Severity.INCONCLUSIVE
    assert finding.explanation is not None
    assert finding.explanation.diagnosis is not None
    assert report.status is Severity.INCONCLUSIVE


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("450 4.7.1 Client host rejected: cannot find your hostname, [203.0.113.7]", "client-refused"),
        ("421 4.7.0 [TSS04] Messages from 203.0.113.7 temporarily deferred due to user complaints", "client-refused"),
        ("550 5.7.1 Too many connections from your host", "rate-limited"),
        (
            "554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.",
            "client-refused",
        ),
        ("554 5.7.1 Access denied", "greeting-refused"),
        ("421 4.3.2 System shutting down", "temporarily-refused"),
    ],
)
def test_whom_a_refusal_means_is_read_from_its_words(line: str, id: str) -> None:
    report = findings(talk(endpoint(), said(GREET, line)))
    among = {"client-refused", "rate-limited", "greylisted", "temporarily-refused", "greeting-refused"}
    assert ids(report) & among == {id}


def test_being_put_off_on_a_port_that_nothing_depends_on_is_a_note() -> None:
    report = findings(healthy(), talk(endpoint(port=587), said(GREET, "421 later")))
    assert found("temporarily-refused", report).severity is Severity.INFO


def test_a_421_to_ehlo_puts_off_too() -> None:
    report = findings(talk(endpoint(), GREETING, said(Phase.EHLO, "421 4.7.0 later")))
    finding = found("temporarily-refused", report)
    assert finding.where.phase is Phase.EHLO
    assert finding.explanation is not None
    assert finding.explanation.code_key == "421.ehlo"


def test_refusals_of_one_server_are_milder_where_another_serves() -> None:
    report = findings(talk(endpoint(), said(GREET, "550 go away")), healthy(endpoint(MX2, A2)))
    assert found("greeting-refused", report).severity is Severity.WARNING


@pytest.mark.parametrize(
    ("kind", "partial", "id", "severity"),
    [
        (FailureKind.TIMEOUT, b"", "greeting-timeout", Severity.INCONCLUSIVE),
        (FailureKind.TIMEOUT, b"220-mx1", "tarpit-suspected", Severity.INCONCLUSIVE),
        (FailureKind.CLOSED, b"", "greeting-closed", Severity.ERROR),
        (FailureKind.RESET, b"", "greeting-closed", Severity.ERROR),
        (FailureKind.GARBAGE, b"HTTP/1.1 400 Bad Request\r\n", "not-smtp", Severity.ERROR),
        (FailureKind.OTHER, b"", "step-failed", Severity.INCONCLUSIVE),
    ],
)
def test_each_missing_greeting_has_one_finding(kind: FailureKind, partial: bytes, id: str, severity: Severity) -> None:
    report = findings(talk(endpoint(), failed(GREET, kind, partial=partial)))
    about_it = [each for each in report if each.where.phase is GREET and each.severity is not Severity.INFO]
    assert [(each.id, each.severity) for each in about_it] == [(id, severity)]


def test_what_came_in_place_of_smtp_is_shown() -> None:
    reply = found("not-smtp", judged("not-smtp")).reply
    assert reply is not None
    assert reply.raw == b"SSH-2.0-OpenSSH_9.2\r\n"


def test_the_time_of_the_greeting_is_its_own_budget() -> None:
    report = at_step(FailureKind.TIMEOUT, GREET)
    assert found("greeting-timeout", findings(*report.conversations)).params == {
        "seconds": report.options.greeting_timeout_s
    }


def test_a_slow_greeting_is_a_note_with_its_time() -> None:
    report = findings(talk(endpoint(), said(GREET, "220 mx1.example.org", seconds=6.24), EHLO))
    assert found("greeting-slow", report).params == {"seconds": 6.2}
    report = findings(talk(endpoint(), said(GREET, "220 mx1.example.org", seconds=4.9), EHLO))
    assert "greeting-slow" not in ids(report)


def test_a_greeting_of_another_success_code_lets_the_session_go_on() -> None:
    report = findings(talk(endpoint(), said(GREET, "250 mx1.example.org"), EHLO))
    assert found("greeting-unexpected-code", report).severity is Severity.WARNING
    assert "mail-reachable" in ids(report)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail.example.org", True),
        ("mail.example.org.", True),
        ("[192.0.2.1]", True),
        ("localhost", False),
        ("mail", False),
        ("mail.local", False),
        ("mail.localdomain", False),
        ("EXCHANGE.CORP", False),
    ],
)
def test_public_names_have_a_public_end(name: str, expected: bool) -> None:
    assert is_public(name) is expected


def test_a_private_name_is_told_once_wherever_it_is_said() -> None:
    both = (said(GREET, "220 mail.local ESMTP"), said(Phase.EHLO, "250-mail.local", "250 SIZE"))
    assert found("server-name-not-public", findings(talk(endpoint(), *both))).params == {"name": "mail.local"}
    ehlo_only = (GREETING, said(Phase.EHLO, "250-srv01 Hello", "250 SIZE"))
    finding = found("server-name-not-public", findings(talk(endpoint(), *ehlo_only)))
    assert (finding.params, finding.where.phase) == ({"name": "srv01"}, Phase.EHLO)


def test_a_greeting_without_a_name_is_not_one_with_a_private_name() -> None:
    report = greeted("220 *** ESMTP ready")
    assert "server-name-not-public" not in ids(findings(*report.conversations))
    assert "greeting-without-name" in ids(findings(*report.conversations))
